// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * case_shape_b.c - shape B: ping and pong between two CPUs, half of the time there and back
 *
 * Two buses, one each way. The other side is a thread, or, on the device, a process.
 */
#include "actor.h"
#include "bus.h"
#include "cases.h"

#define PING 0
#define PONG 1

struct table_tennis {
	struct actors actors;
	struct ronbus_pub *ping;
	struct ronbus_sub *pong;
};

static void echo(struct actors *actors, unsigned int self)
{
	struct message buffer;
	struct ronbus_sub *ping;
	struct ronbus_pub *pong;

	must(ronbus_subscribe(actors->buses[PING], NULL, &ping), "subscribe");
	must(ronbus_publisher(actors->buses[PONG], 0, &pong), "publisher");
	actors_ready(actors, self);
	while (next_message(ping, actors->sleeping, buffer.words, actors->payload) ==
	       RONBUS_MESSAGE)
		must(ronbus_publish(pong, 0, buffer.words, actors->payload), "publish");
	ronbus_sub_close(ping);
	ronbus_pub_close(pong);
}

static void *shape_b_setup(struct cell *cell)
{
	struct table_tennis *game = calloc(1, sizeof(*game));
	struct actors *actors = &game->actors;

	if (!game)
		die("no memory");
	*actors = (struct actors){
		.nr_buses = 2, .payload = cell->payload, .sleeping = cell->sleeping, .count = 1
	};
	actors->buses[PING] = bus_create(cell);
	actors->buses[PONG] = actors->buses[PING] ? bus_create(cell) : NULL;
	if (!actors->buses[PONG]) {
		ronbus_close(actors->buses[PING]);
		free(game);
		return NULL;
	}
	actors_start(actors, echo);
	topology_pin(&settings.cpus, 0);
	must(ronbus_subscribe(actors->buses[PONG], NULL, &game->pong), "subscribe");
	must(ronbus_publisher(actors->buses[PING], 0, &game->ping), "publisher");
	return game;
}

/* There and back; returns half of what it took. */
static double one_way(struct table_tennis *game, __u64 *message)
{
	const struct actors *actors = &game->actors;
	uint64_t start = now_ns();

	must(ronbus_publish(game->ping, 0, message, actors->payload), "publish");
	if (next_message(game->pong, actors->sleeping, message, actors->payload) != RONBUS_MESSAGE)
		die("the other side has gone");
	return ((double)(now_ns() - start) - settings.clock_ns) / 2;
}

static bool shape_b_turn(struct cell *cell, void *state)
{
	struct message message = { 0 };
	unsigned int i, count = cell->burst;
	double *values = malloc(count * sizeof(*values));

	if (!values)
		die("no memory");
	for (i = 0; i < count / 4; i++) /* to warm up */
		one_way(state, message.words);
	for (i = 0; i < count; i++)
		values[i] = one_way(state, message.words);
	series_add_latencies(&cell->series[0], values, count);
	free(values);
	return true;
}

static void shape_b_teardown(struct cell *cell, void *state)
{
	struct table_tennis *game = state;

	ronbus_pub_close(game->ping);
	actors_join(&game->actors);
	bus_count(cell, game->actors.buses[PING]);
	ronbus_sub_close(game->pong);
	ronbus_close(game->actors.buses[PING]);
	ronbus_close(game->actors.buses[PONG]);
	free(game);
}

static const struct cell_ops shape_b_ops = {
	.name = GROUP_SHAPE_B,
	.what = "ping and pong between two CPUs: half of the time there and back",
	.setup = shape_b_setup,
	.turn = shape_b_turn,
	.teardown = shape_b_teardown,
};

static void add_game(struct cells *cells, unsigned int payload, bool sleeping)
{
	unsigned int round_trips = settings.quick ? 1000 : 5000;
	const struct cell template = {
		.group = GROUP_SHAPE_B,
		.engine = "ronbus",
		.ops = &shape_b_ops,
		.features = RONBUS_FEATURES_RECOMMENDED,
		.features_name = "recommended",
		.capacity = 64,
		.payload = payload,
		.subscribers = 1,
		.publishers = 1,
		.burst = sleeping ? round_trips / 5 : round_trips,
		.sleeping = sleeping,
		.shape = 'b',
		.turns = settings.turns,
	};

	cell_add_latencies(cells_add(cells, &template, "shape-b/%s/pay%u/ronbus",
				     sleeping ? "sleep" : "spin", payload),
			   "oneway");
}

void add_shape_b(struct cells *cells)
{
	add_game(cells, 8, false);
	add_game(cells, 8, true);
	if (settings.quick)
		return;
	add_game(cells, 32, false);
	add_game(cells, 32, true);
}
