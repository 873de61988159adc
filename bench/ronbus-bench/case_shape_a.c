// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * case_shape_a.c - shape A: one thread, 256 sends, then each of the readers drains
 *
 * The loop is that of the peers (peers/shapes.h): messages are numbered, and who receives them looks
 * whether the number and the length are right.
 */
#include "bus.h"
#include "cases.h"

#define BURST SHAPE_A_MESSAGES
#define ROUNDS 8U /* a sample; for a clock that ticks in steps */
#define LONGEST 32U /* bytes */

struct shape_a {
	struct bus *bus;
	__u64 last; /* number of the last message */
	__u64 messages[BURST][LONGEST / sizeof(__u64)]; /* of a batch */
	struct iovec vec[BURST];
};

static void *shape_a_setup(struct cell *cell)
{
	struct shape_a *state = calloc(1, sizeof(*state));
	unsigned int i;

	if (!state)
		die("no memory");
	state->bus = bus_open(cell);
	if (!state->bus) {
		free(state);
		return NULL;
	}
	for (i = 0; i < BURST; i++)
		state->vec[i] = (struct iovec){ state->messages[i], cell->payload };
	return state;
}

static void shape_a_teardown(struct cell *cell, void *opaque)
{
	struct shape_a *state = opaque;

	bus_close(cell, state->bus);
	free(state);
}

static ALWAYS_INLINE void send_single(struct shape_a *state, size_t len)
{
	unsigned int i;

	for (i = 0; i < BURST; i++) {
		state->bus->message[0] = ++state->last;
		forget();
		ronbus_publish(state->bus->pub, 0, state->bus->message, len);
	}
}

static ALWAYS_INLINE void send_many(struct shape_a *state)
{
	unsigned int i;

	for (i = 0; i < BURST; i++)
		state->messages[i][0] = ++state->last;
	forget();
	ronbus_publish_many(state->bus->pub, 0, state->vec, BURST);
}

static ALWAYS_INLINE void drain(const struct shape_a *state, struct ronbus_sub *sub, size_t len)
{
	__u64 buffer[LONGEST / sizeof(__u64)], expected = state->last - BURST, wrong = 0;
	unsigned int got = 0;
	struct ronbus_msg msg;

	while (ronbus_try_recv(sub, buffer, len, &msg) == RONBUS_MESSAGE) {
		wrong |= buffer[0] ^ ++expected;
		wrong |= msg.len ^ len;
		forget();
		got++;
	}
	if (wrong || got != BURST)
		die("a reader got %u messages of %u, or wrong ones", got, BURST);
}

static ALWAYS_INLINE void rounds(const struct cell *cell, struct shape_a *state, size_t len)
{
	unsigned int round, i;

	for (round = 0; round < ROUNDS; round++) {
		if (cell->op == OP_MANY)
			send_many(state);
		else
			send_single(state, len);
		for (i = 0; i < state->bus->nr_subs; i++)
			drain(state, state->bus->subs[i], len);
	}
}

static void shape_a_sample(struct cell *cell, void *state, double *values)
{
	uint64_t start = now_ns();

	if (cell->payload == 8)
		rounds(cell, state, 8);
	else
		rounds(cell, state, 32);
	values[0] = ((double)(now_ns() - start) - settings.clock_ns) / ROUNDS / BURST;
}

static const struct cell_ops shape_a_ops = {
	.name = GROUP_SHAPE_A,
	.what = "one thread: 256 sends, then each reader drains; everything timed, a message",
	.setup = shape_a_setup,
	.sample = shape_a_sample,
	.teardown = shape_a_teardown,
};

/* The ways there are to use ronbus here. */
static const struct variant {
	const char *engine;
	enum op op;
	__u32 bus_flags;
} variants[] = {
	{ "ronbus", OP_SINGLE, 0 },
	{ "ronbus-batch", OP_MANY, 0 },
	{ "ronbus-exclusive", OP_SINGLE, RONBUS_BUS_EXCLUSIVE },
};

static void add_variants(struct cells *cells, unsigned int readers, unsigned int payload)
{
	struct cell template = {
		.group = GROUP_SHAPE_A,
		.ops = &shape_a_ops,
		.features = RONBUS_FEATURES_RECOMMENDED,
		.features_name = "recommended",
		.capacity = BURST,
		.payload = payload,
		.subscribers = readers,
		.publishers = 1,
		.burst = BURST,
		.shape = 'a',
		.turns = settings.turns,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(variants); i++) {
		template.engine = variants[i].engine;
		template.op = variants[i].op;
		template.bus_flags = variants[i].bus_flags;
		cell_add_series(cells_add(cells, &template, "shape-a/readers%u/pay%u/%s", readers,
					  payload, template.engine),
				"cycle", "ns/msg");
	}
}

void add_shape_a(struct cells *cells)
{
	static const unsigned int readers[] = { 1, 4, 16 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(readers); i++) {
		add_variants(cells, readers[i], 8);
		add_variants(cells, readers[i], 32);
	}
}
