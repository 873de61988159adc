// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * case_loop.c - bursts that all subscribers read, in one thread; the matrix, the bursts, and the
 * baseline
 */
#include "bus.h"
#include "cases.h"

#define SAMPLE_MESSAGES 1024U /* at least: a clock may tick in steps of 10 ns */

/* What a sample took, in nanoseconds. */
struct times {
	double publish;
	double receive;
	uint64_t messages;
	uint64_t received;
};

static void *loop_setup(struct cell *cell)
{
	return bus_open(cell);
}

static void loop_teardown(struct cell *cell, void *state)
{
	bus_close(cell, state);
}

static double since(uint64_t start)
{
	return (double)(now_ns() - start) - settings.clock_ns;
}

static void one_burst(const struct cell *cell, struct bus *bus, struct times *times)
{
	uint64_t start = now_ns();
	unsigned int i, got, whole = cell->burst;

	bus_publish(cell, bus->pub, bus->vec, bus->message.words);
	times->publish += since(start);
	times->messages += cell->burst;
	if (whole > cell->capacity_selected)
		whole = cell->capacity_selected;
	for (i = 0; i < bus->nr_subs; i++) {
		start = now_ns();
		got = bus_drain(cell, bus->subs[i]);
		times->receive += since(start);
		times->received += got;
		if (got != whole)
			die("%s: a subscriber got %u messages of %u", cell->name, got, whole);
	}
}

static double value_of(const char *series, const struct times *times)
{
	switch (*series) {
	case 'p': /* publish: the publisher's cost of a message */
		return times->publish / (double)times->messages;
	case 'r': /* receive: a subscriber's cost of a message */
		return times->receive / (double)times->received;
	default: /* cycle: everybody's cost of a message */
		return (times->publish + times->receive) / (double)times->messages;
	}
}

static void loop_sample(struct cell *cell, void *state, double *values)
{
	unsigned int i, bursts = (SAMPLE_MESSAGES + cell->burst - 1) / cell->burst;
	struct times times = { 0 };

	while (bursts--)
		one_burst(cell, state, &times);
	for (i = 0; i < cell->nr_series; i++)
		values[i] = value_of(cell->series[i].name, &times);
}

const struct cell_ops loop_ops = {
	.name = "loop",
	.what = "one thread: a burst, then every subscriber drains; each side timed by itself",
	.setup = loop_setup,
	.sample = loop_sample,
	.teardown = loop_teardown,
};

/* ---- the matrix ----------------------------------------------------------------------- */

static const struct feature_set {
	const char *name;
	__u64 features;
	enum op op;
} feature_sets[] = {
	{ "none", 0, OP_SINGLE },
	{ "metrics", RONBUS_F_METRICS_BUF, OP_SINGLE },
	{ "metrics+edge", RONBUS_F_METRICS_BUF | RONBUS_F_EDGE_NOTIFY, OP_SINGLE },
	{ "metrics+edge+batch", RONBUS_F_METRICS_BUF | RONBUS_F_EDGE_NOTIFY | RONBUS_F_BATCH,
	  OP_MANY },
	{ "recommended", RONBUS_FEATURES_RECOMMENDED, OP_SINGLE },
};

static const unsigned int audiences[] = { 0, 1, 4, 16, 64 };
static const unsigned int capacities[] = { 32, 64, 128, 256, 4096 };
static const unsigned int payloads[] = { 8, 32, 256, 4096 };

#define MATRIX_BATCH 32U /* fits into the least capacity */

static void add_matrix_cell(struct cells *cells, const struct feature_set *set,
			    unsigned int capacity, unsigned int payload, unsigned int subscribers)
{
	const struct cell template = {
		.group = GROUP_MATRIX,
		.engine = "ronbus",
		.ops = &loop_ops,
		.op = set->op,
		.features = set->features,
		.features_name = set->name,
		.capacity = capacity,
		.payload = payload,
		.subscribers = subscribers,
		.publishers = 1,
		.burst = capacity,
		.batch = MATRIX_BATCH,
		.turns = settings.turns,
	};
	struct cell *cell = cells_add(cells, &template, "matrix/%s/cap%u/pay%u/subs%u", set->name,
				      capacity, payload, subscribers);

	cell_add_series(cell, "publish", "ns/msg");
	if (subscribers)
		cell_add_series(cell, "receive", "ns/msg");
}

/* Quick: the lines through capacity 64 and 32 bytes; what else there is, with the recommended set. */
static bool in_quick(const struct feature_set *set, unsigned int capacity, unsigned int payload)
{
	if (set->features != RONBUS_FEATURES_RECOMMENDED)
		return capacity == 64 && payload == 32;
	return capacity == 64 || payload == 32;
}

static void add_geometries(struct cells *cells, const struct feature_set *set)
{
	size_t c, p, a;

	for (c = 0; c < ARRAY_SIZE(capacities); c++) {
		for (p = 0; p < ARRAY_SIZE(payloads); p++) {
			if (settings.quick && !in_quick(set, capacities[c], payloads[p]))
				continue;
			for (a = 0; a < ARRAY_SIZE(audiences); a++)
				add_matrix_cell(cells, set, capacities[c], payloads[p],
						audiences[a]);
		}
	}
}

void add_matrix(struct cells *cells)
{
	size_t f;

	for (f = 0; f < ARRAY_SIZE(feature_sets); f++)
		add_geometries(cells, &feature_sets[f]);
}

/* ---- bursts --------------------------------------------------------------------------- */

static void add_burst(struct cells *cells, enum op op, unsigned int burst, unsigned int subscribers)
{
	const struct cell template = {
		.group = GROUP_BURST,
		.engine = "ronbus",
		.ops = &loop_ops,
		.op = op,
		.features = RONBUS_FEATURES_RECOMMENDED,
		.features_name = "recommended",
		.capacity = 64,
		.payload = 32,
		.subscribers = subscribers,
		.publishers = 1,
		.burst = burst,
		.batch = burst,
		.turns = settings.turns,
	};

	cell_add_series(cells_add(cells, &template, "burst/%u/%s/cap64/pay32/subs%u", burst,
				  op == OP_MANY ? "many" : "single", subscribers),
			"publish", "ns/msg");
}

void add_bursts(struct cells *cells)
{
	static const unsigned int bursts[] = { 1000, 5000, 10000 };
	size_t b;

	for (b = 0; b < ARRAY_SIZE(bursts); b++) {
		add_burst(cells, OP_SINGLE, bursts[b], 1);
		add_burst(cells, OP_MANY, bursts[b], 1);
		add_burst(cells, OP_SINGLE, bursts[b], 4);
		add_burst(cells, OP_MANY, bursts[b], 4);
	}
}

/* ---- the baseline: beside tokio's broadcast channel, whose program has the same loop --------- */

#define BASELINE_BURST 64U /* fills the ring once */
#define EDGE RONBUS_F_EDGE_NOTIFY

static const struct way {
	const char *engine;
	__u64 features;
	__u32 bus_flags;
	unsigned int pub_flags;
} ways[] = {
	{ "ronbus", EDGE, 0, 0 },
	{ "ronbus-metrics", EDGE | RONBUS_F_METRICS_BUF, 0, 0 },
	{ "ronbus-single", EDGE, 0, RONBUS_PUB_SINGLE },
	{ "ronbus-exclusive", EDGE, RONBUS_BUS_EXCLUSIVE, 0 },
	{ "ronbus-batch", EDGE | RONBUS_F_BATCH, 0, 0 },
	{ "ronbus-single-batch", EDGE | RONBUS_F_BATCH, 0, RONBUS_PUB_SINGLE },
	{ "ronbus-exclusive-batch", EDGE | RONBUS_F_BATCH, RONBUS_BUS_EXCLUSIVE, 0 },
};

static void add_way(struct cells *cells, const struct way *way, unsigned int subscribers)
{
	const struct cell template = {
		.group = GROUP_BASELINE,
		.engine = way->engine,
		.ops = &loop_ops,
		.op = way->features & RONBUS_F_BATCH ? OP_MANY : OP_SINGLE,
		.features = way->features,
		.features_name = strchr(way->engine, '-') ? strchr(way->engine, '-') + 1 : "edge",
		.bus_flags = way->bus_flags,
		.pub_flags = way->pub_flags,
		.capacity = BASELINE_BURST,
		.payload = 32,
		.subscribers = subscribers,
		.publishers = 1,
		.burst = BASELINE_BURST,
		.batch = BASELINE_BURST,
		.shape = SHAPE_APART,
		.turns = settings.turns,
	};
	struct cell *cell =
		cells_add(cells, &template, "baseline/subs%u/%s", subscribers, way->engine);

	cell_add_series(cell, "publish", "ns/msg");
	/* All of them are read in the same way. */
	if (!strcmp(way->engine, "ronbus"))
		cell_add_series(cell, "receive", "ns/msg");
}

void add_baseline(struct cells *cells)
{
	size_t a, w;

	for (a = 0; a < ARRAY_SIZE(audiences); a++)
		for (w = 0; audiences[a] && w < ARRAY_SIZE(ways); w++)
			add_way(cells, &ways[w], audiences[a]);
}
