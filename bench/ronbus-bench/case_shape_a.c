// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * case_shape_a.c - shape A: one thread, 256 sends, then each of the readers drains
 *
 * The loop is that of the peers (peers/shapes.h): messages are numbered, and a reader checks the
 * number and the length.
 *
 * Each way to use ronbus has a cell, so that one table shows what each costs: the way to join as a
 * publisher, how many messages a call takes, how they are read, with features and without.
 */
#include "bus.h"
#include "cases.h"

#define BURST SHAPE_A_MESSAGES
#define ROUNDS 8U /* a sample; for a clock that ticks in steps */
#define LONGEST 32U /* bytes */
#define ALIGNED __attribute__((aligned(RONBUS_CACHE_LINE))) /* as struct message */
#define READ_BATCH 32U /* messages in a call of ronbus_recv_many() */

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
	struct ronbus_pub *pub = state->bus->pub;
	__u64 *message = state->bus->message.words;
	unsigned int i;

	for (i = 0; i < BURST; i++) {
		message[0] = ++state->last;
		forget();
		ronbus_publish(pub, 0, message, len);
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

/* What a reader has seen of a burst. */
struct seen {
	__u64 expected; /* number of the last one */
	__u64 wrong;
	unsigned int count;
	unsigned int len; /* that each has */
};

static ALWAYS_INLINE void see(struct seen *seen, __u64 number, const struct ronbus_msg *msg)
{
	seen->wrong |= number ^ ++seen->expected;
	seen->wrong |= msg->len ^ seen->len;
	forget();
	seen->count++;
}

static ALWAYS_INLINE void read_single(struct ronbus_sub *sub, struct seen *seen, size_t len)
{
	__u64 buffer[LONGEST / sizeof(__u64)] ALIGNED;
	struct ronbus_msg msg;

	while (ronbus_try_recv(sub, buffer, len, &msg) == RONBUS_MESSAGE)
		see(seen, buffer[0], &msg);
}

static ALWAYS_INLINE void read_many(struct ronbus_sub *sub, struct seen *seen, size_t len)
{
	__u64 buffer[READ_BATCH * LONGEST / sizeof(__u64)] ALIGNED;
	struct ronbus_msg msgs[READ_BATCH];
	int i, n;

	while ((n = ronbus_recv_many(sub, buffer, len, msgs, READ_BATCH)) > 0)
		for (i = 0; i < n; i++)
			see(seen, buffer[(size_t)i * len / sizeof(__u64)], &msgs[i]);
}

static int see_drained(void *arg, int what, const struct ronbus_msg *msg)
{
	(void)what;
	see(arg, *(const __u64 *)msg->data, msg);
	return 0;
}

/* By value: only here does a callback need the address, and memory for it. */
static NOINLINE struct seen read_drain(struct ronbus_sub *sub, struct seen seen)
{
	while (ronbus_drain(sub, see_drained, &seen, 2 * BURST, 0) > 0)
		;
	return seen;
}

static ALWAYS_INLINE void read_in_place(struct ronbus_sub *sub, struct seen *seen)
{
	struct ronbus_msg msg;

	while (ronbus_peek(sub, &msg) == RONBUS_MESSAGE) {
		see(seen, *(const volatile __u64 *)msg.data, &msg);
		if (ronbus_release(sub))
			die("a message was overwritten that nobody overwrites");
	}
}

static ALWAYS_INLINE void drain(const struct cell *cell, const struct shape_a *state,
				struct ronbus_sub *sub, size_t len)
{
	struct seen seen = { .expected = state->last - BURST, .len = (unsigned int)len };

	switch (cell->read_op) {
	case OP_MANY:
		read_many(sub, &seen, len);
		break;
	case OP_DRAIN:
		seen = read_drain(sub, seen);
		break;
	case OP_PEEK:
		read_in_place(sub, &seen);
		break;
	default:
		read_single(sub, &seen, len);
	}
	if (seen.wrong || seen.count != BURST)
		die("a reader got %u messages of %u, or wrong ones", seen.count, BURST);
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
			drain(cell, state, state->bus->subs[i], len);
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

#define EXCLUSIVE RONBUS_BUS_EXCLUSIVE
#define RECOMMENDED RONBUS_FEATURES_RECOMMENDED

/* The ways to use ronbus here. A new one goes after the others, and keeps its name. */
static const struct variant {
	const char *engine;
	enum op op;
	enum op read_op;
	__u32 bus_flags;
	__u64 features;
} variants[] = {
	{ "ronbus", OP_SINGLE, OP_SINGLE, 0, RECOMMENDED },
	{ "ronbus-batch", OP_MANY, OP_SINGLE, 0, RECOMMENDED },
	{ "ronbus-exclusive", OP_SINGLE, OP_SINGLE, EXCLUSIVE, RECOMMENDED },
	{ "ronbus-many", OP_MANY, OP_MANY, 0, RECOMMENDED },
	{ "ronbus-exclusive-many", OP_MANY, OP_MANY, EXCLUSIVE, RECOMMENDED },
	{ "ronbus-exclusive-recvmany", OP_SINGLE, OP_MANY, EXCLUSIVE, RECOMMENDED },
	{ "ronbus-exclusive-drain", OP_SINGLE, OP_DRAIN, EXCLUSIVE, RECOMMENDED },
	{ "ronbus-exclusive-peek", OP_SINGLE, OP_PEEK, EXCLUSIVE, RECOMMENDED },
	{ "ronbus-none", OP_SINGLE, OP_SINGLE, 0, 0 },
	{ "ronbus-exclusive-none", OP_SINGLE, OP_SINGLE, EXCLUSIVE, 0 },
};

static void add_variants(struct cells *cells, unsigned int readers, unsigned int payload)
{
	struct cell template = {
		.group = GROUP_SHAPE_A,
		.ops = &shape_a_ops,
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
		template.read_op = variants[i].read_op;
		template.features = variants[i].features;
		template.features_name = variants[i].features ? "recommended" : "none";
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
