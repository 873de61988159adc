// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * case_shape_c.c - shape C: one publisher at a fixed rate, and readers that sleep
 *
 * Each reader notes when it received a message. The publisher sleeps until the next tick and only then
 * looks at these times: looking earlier would take a CPU from the readers that are to wake up.
 */
#include "actor.h"
#include "bus.h"
#include "cases.h"

#define INTERVAL_NS 1000000ULL
#define TICKS_MOST 20000U /* that a message may take before we give up: seconds */

/* The series, in order. */
enum {
	PUBLISH,
	LAST_WAKE,
	SWITCHES,
	CPU
};

struct audience {
	struct stage stage;
	uint64_t next; /* tick */
};

static void sleeper(struct actors *actors, unsigned int self)
{
	struct message buffer;
	struct seat *seat = actors_seat(actors, self);
	struct ronbus_sub *sub;

	must(ronbus_subscribe(actors->buses[0], NULL, &sub), "subscribe");
	actors_ready(actors, self);
	while (next_message(sub, true, buffer.words, actors->payload) == RONBUS_MESSAGE) {
		seat->when = now_ns();
		__atomic_store_n(&seat->number, buffer.words[0], __ATOMIC_RELEASE);
	}
	ronbus_sub_close(sub);
}

static void *shape_c_setup(struct cell *cell)
{
	struct audience *audience = calloc(1, sizeof(*audience));

	if (!audience)
		die("no memory");
	if (!stage_open(&audience->stage, cell, sleeper)) {
		free(audience);
		return NULL;
	}
	audience->next = now_ns() + INTERVAL_NS;
	return audience;
}

/* One message: what the call took, and, with readers, until the last one was awake. */
static void one_message(struct audience *audience, uint64_t number, double *call, double *wake)
{
	struct message message = { .words = { number } };
	unsigned int ticks = 0;
	uint64_t begin, end, last;

	begin = now_ns();
	must(ronbus_publish(audience->stage.pub, 0, message.words, audience->stage.actors.payload),
	     "publish");
	end = now_ns();
	*call = (double)(end - begin) - settings.clock_ns;
	do {
		sleep_to_tick(&audience->next, INTERVAL_NS);
		last = last_wake(actors_seat(&audience->stage.actors, 0),
				 audience->stage.actors.count, number);
		if (ticks++ == TICKS_MOST)
			die("a reader sleeps on");
	} while (!last && audience->stage.actors.count);
	*wake = (double)(last - begin);
}

static bool shape_c_turn(struct cell *cell, void *state)
{
	unsigned int i, count = cell->burst, warm = count / 4;
	double *calls = malloc(2 * count * sizeof(*calls)), *wakes = calls + count;
	struct audience *audience = state;
	struct usage begin = usage_now(), used, of_readers;

	if (!calls)
		die("no memory");
	sleep_to_tick(&audience->next, INTERVAL_NS);
	for (i = 0; i < warm; i++)
		one_message(audience, 1 + i, &calls[0], &wakes[0]);
	for (i = 0; i < count; i++)
		one_message(audience, 1 + warm + i, &calls[i], &wakes[i]);
	used = usage_since(begin);
	of_readers = stage_end(&audience->stage);

	series_add_latencies(&cell->series[PUBLISH], calls, count);
	if (cell->subscribers)
		series_add_latencies(&cell->series[LAST_WAKE], wakes, count);
	samples_add(&cell->series[SWITCHES].samples,
		    (double)(used.switches + of_readers.switches) / (warm + count));
	samples_add(&cell->series[CPU].samples,
		    (double)(used.cpu_ns + of_readers.cpu_ns) / (warm + count));
	free(calls);
	return true;
}

static void shape_c_teardown(struct cell *cell, void *state)
{
	struct audience *audience = state;

	stage_close(&audience->stage, cell);
	free(audience);
}

static const struct cell_ops shape_c_ops = {
	.name = GROUP_SHAPE_C,
	.what = "one publisher, a message a millisecond, and readers that sleep",
	.setup = shape_c_setup,
	.turn = shape_c_turn,
	.teardown = shape_c_teardown,
};

void add_shape_c(struct cells *cells)
{
	static const unsigned int readers[] = { 0, 1, 4, 16, 64 };
	struct cell template = {
		.group = GROUP_SHAPE_C,
		.engine = "ronbus",
		.ops = &shape_c_ops,
		.features = RONBUS_FEATURES_RECOMMENDED,
		.features_name = "recommended",
		.capacity = 64,
		.payload = 32,
		.publishers = 1,
		.burst = settings.quick ? 60 : 200,
		.sleeping = true,
		.shape = 'c',
		.turns = settings.turns,
	};
	struct cell *cell;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(readers); i++) {
		template.subscribers = readers[i];
		cell = cells_add(cells, &template, "shape-c/readers%u/pay32/ronbus", readers[i]);
		cell_add_latencies(cell, "publish");
		cell_add_latencies(cell, "lastwake");
		cell_add_series(cell, "switches", "per msg");
		cell_add_series(cell, "cpu", "ns/msg");
	}
}
