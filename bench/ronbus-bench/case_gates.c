// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * case_gates.c - features on against off: the cells, and what MOG.md asks of them
 *
 * A feature is switched in two places: with the rest of the recommended set, where it is judged,
 * and alone, for information. Cells that belong together stand beside each other, so the turns go
 * on, off, on, off.
 *
 * What concerns waking is judged twice: in one thread, where subscribers are never asleep and every
 * nanosecond is the publisher's, and with subscribers that sleep and wake on another CPU, which
 * is what a program sees.
 */
#include "cases.h"
#include "gate.h"

#define EDGE RONBUS_F_EDGE_NOTIFY
#define METRICS RONBUS_F_METRICS_BUF
#define BATCH RONBUS_F_BATCH

static const unsigned int edge_subs[] = { 1, 4, 8, 16, 64 };
static const unsigned int live_subs[] = { 1, 4, 8, 16 };
static const unsigned int bursts[] = { 1000, 5000, 10000 };
static const unsigned int audiences[] = { 1, 4, 16 };
static const unsigned int capacities[] = { 32, 64, 128, 256, 512, 1024 };
static const unsigned int thresholds[] = { 32, 64, 128, 256 };

/* What @template leaves out is what most of these cells have. */
__attribute__((format(printf, 3, 4))) static void
add(struct cells *cells, const struct cell *template, const char *format, ...)
{
	char name[NAME_SIZE];
	struct cell *cell;
	va_list args;

	va_start(args, format);
	vsnprintf(name, sizeof(name), format, args);
	va_end(args);
	cell = cells_add(cells, template, "gates/%s", name);
	cell->group = GROUP_GATES;
	cell->engine = "ronbus";
	if (!cell->ops)
		cell->ops = &loop_ops;
	if (!cell->payload)
		cell->payload = 32;
	cell->publishers = 1;
	cell->turns = settings.quick ? 16 : 40;
	cell_add_series(cell, "publish", "ns/msg");
	if (cell->ops != &stream_ops)
		cell_add_series(cell, "cycle", "ns/msg");
}

/* Two cells side by side, with @feature and without it. */
static void add_pair(struct cells *cells, struct cell template, __u64 feature, const char *name)
{
	template.features |= feature;
	add(cells, &template, "%s/on", name);
	template.features &= ~feature;
	if (feature == BATCH)
		template.op = OP_SINGLE;
	add(cells, &template, "%s/off", name);
}

static void add_edge(struct cells *cells, const char *where, __u64 rest)
{
	struct cell template = { .features = rest, .capacity = 64, .burst = 64 };
	char name[NAME_SIZE];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(edge_subs); i++) {
		template.subscribers = edge_subs[i];
		snprintf(name, sizeof(name), "A1/%s/subs%u", where, edge_subs[i]);
		add_pair(cells, template, EDGE, name);
	}
}

static void add_batch(struct cells *cells, const char *where, __u64 rest)
{
	struct cell template = { .features = rest, .capacity = 64, .op = OP_MANY };
	char name[NAME_SIZE];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bursts); i++) {
		template.burst = template.batch = bursts[i];
		for (template.subscribers = 1; template.subscribers <= 4;
		     template.subscribers += 3) {
			snprintf(name, sizeof(name), "A2/%s/burst%u/subs%u", where, bursts[i],
				 template.subscribers);
			add_pair(cells, template, BATCH, name);
		}
	}
}

/* Subscribers that read in threads of their own, and sleep. */
static void add_stream(struct cells *cells, __u64 rest)
{
	struct cell template = {
		.features = rest, .capacity = 64, .ops = &stream_ops, .sleeping = true
	};
	char name[NAME_SIZE];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(live_subs); i++) {
		template.subscribers = live_subs[i];
		snprintf(name, sizeof(name), "A1/stream/subs%u", live_subs[i]);
		add_pair(cells, template, EDGE, name);
	}
}

/* Bursts that even the smallest ring holds, so that all capacities deliver the same. */
static void add_capacity(struct cells *cells)
{
	struct cell template = { .features = RONBUS_FEATURES_RECOMMENDED, .burst = 32 };
	size_t i, c;

	for (i = 0; i < ARRAY_SIZE(audiences); i++) {
		template.subscribers = audiences[i];
		template.capacity = 0;
		add(cells, &template, "A3/subs%u/auto", audiences[i]);
		for (c = 0; c < ARRAY_SIZE(capacities); c++) {
			template.capacity = capacities[c];
			add(cells, &template, "A3/subs%u/cap%u", audiences[i], capacities[c]);
		}
	}
}

static void add_metrics(struct cells *cells, const char *where, __u64 rest)
{
	struct cell template = { .capacity = 64, .burst = 64 };
	size_t i, t;

	for (i = 0; i < ARRAY_SIZE(audiences); i++) {
		template.subscribers = audiences[i];
		template.features = rest;
		template.flush_threshold = 0;
		add(cells, &template, "A4/%s/subs%u/off", where, audiences[i]);
		template.features = rest | METRICS;
		for (t = 0; t < ARRAY_SIZE(thresholds); t++) {
			template.flush_threshold = thresholds[t];
			add(cells, &template, "A4/%s/subs%u/flush%u", where, audiences[i],
			    thresholds[t]);
		}
	}
}

/* The ways to read: disciplined, and asking for each message. */
static const struct way {
	const char *name;
	enum op op;
} ways[] = { { "drain", OP_DRAIN }, { "wait", OP_WAIT }, { "poll", OP_POLL } };

static void add_drain(struct cells *cells, const char *where, const struct cell_ops *ops)
{
	struct cell template = { .features = EDGE | METRICS | BATCH,
				 .capacity = 64,
				 .burst = 64,
				 .ops = ops,
				 .sleeping = ops == &bursts_ops };
	size_t i, w;

	for (i = 0; i < ARRAY_SIZE(audiences); i++) {
		template.subscribers = audiences[i];
		for (w = 0; w < ARRAY_SIZE(ways); w++) {
			template.op = ways[w].op;
			add(cells, &template, "A5/%s/subs%u/%s", where, audiences[i], ways[w].name);
		}
	}
}

static const unsigned int dispatch_bursts[] = { 1, 32 };

static void add_local_dispatch(struct cells *cells)
{
	char name[NAME_SIZE];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(dispatch_bursts); i++) {
		snprintf(name, sizeof(name), "gates/B3/burst%u/subs4", dispatch_bursts[i]);
		add_dispatch(cells, name, DISPATCH_WORKERS / 4, dispatch_bursts[i]);
		snprintf(name, sizeof(name), "gates/B3/burst%u/subs16", dispatch_bursts[i]);
		add_dispatch(cells, name, DISPATCH_WORKERS, dispatch_bursts[i]);
	}
}

/*
 * B1, bus_publish_matrix_soa: the same bus with arrays and with slots, dense and filtered streams, in
 * one thread, and across CPUs ("live"). What a subscriber costs depends on how it reads: message by
 * message ("single"), or by ronbus_drain().
 */
static const struct soa_way {
	const char *name;
	const struct cell_ops *ops;
	enum op op;
	unsigned int subs;
	unsigned int capacity;
	unsigned int payload;
	double bound; /* in percent, or 0 */
} soa_ways[] = {
	{ "drain/cap64/pay8/subs1", &loop_ops, OP_DRAIN, 1, 64, 8, 0 },
	{ "drain/cap64/pay8/subs4", &loop_ops, OP_DRAIN, 4, 64, 8, 20 },
	{ "drain/cap128/pay8/subs16", &loop_ops, OP_DRAIN, 16, 128, 8, 30 },
	{ "drain/cap64/pay32/subs1", &loop_ops, OP_DRAIN, 1, 64, 32, 0 },
	{ "drain/cap64/pay32/subs4", &loop_ops, OP_DRAIN, 4, 64, 32, 20 },
	{ "drain/cap128/pay32/subs16", &loop_ops, OP_DRAIN, 16, 128, 32, 30 },
	{ "single/cap64/pay8/subs4", &loop_ops, OP_SINGLE, 4, 64, 8, 0 },
	{ "single/cap128/pay8/subs16", &loop_ops, OP_SINGLE, 16, 128, 8, 0 },
	{ "single/cap64/pay32/subs4", &loop_ops, OP_SINGLE, 4, 64, 32, 0 },
	{ "single/cap128/pay32/subs16", &loop_ops, OP_SINGLE, 16, 128, 32, 0 },
	{ "filtered30/cap64/pay32/subs4", &topics_ops, OP_DRAIN, 4, 64, 32, 0 },
	{ "filtered30/cap128/pay32/subs16", &topics_ops, OP_DRAIN, 16, 128, 32, 0 },
	{ "filtered3/cap64/pay32/subs4", &topics_ops, OP_DRAIN, 4, 64, 32, 0 },
	{ "filtered3/cap128/pay32/subs16", &topics_ops, OP_DRAIN, 16, 128, 32, 0 },
	{ "live/cap64/pay8/subs1", &bursts_ops, OP_DRAIN, 1, 64, 8, 0 },
	{ "live/cap64/pay8/subs4", &bursts_ops, OP_DRAIN, 4, 64, 8, 0 },
	{ "live/cap64/pay32/subs1", &bursts_ops, OP_DRAIN, 1, 64, 32, 0 },
	{ "live/cap64/pay32/subs4", &bursts_ops, OP_DRAIN, 4, 64, 32, 0 },
};

/* "filtered30": 30 percent of the stream are for the subscribers, which have said so to the bus. */
static unsigned int relevant_of(const struct soa_way *way)
{
	unsigned int percent;

	return sscanf(way->name, "filtered%u/", &percent) == 1 ? percent : 0;
}

static void add_soa(struct cells *cells)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(soa_ways); i++) {
		const struct soa_way *way = &soa_ways[i];
		struct cell template = {
			.features = EDGE | METRICS | BATCH | RONBUS_F_SOA,
			.ops = way->ops,
			.op = way->op,
			.subscribers = way->subs,
			.capacity = way->capacity,
			.payload = way->payload,
			.burst = way->ops == &topics_ops ? TOPICS_BURST : way->capacity,
			.relevant = relevant_of(way),
			.sleeping = way->ops == &bursts_ops,
		};

		if (template.relevant)
			template.features |= RONBUS_F_INTEREST;
		add(cells, &template, "B1/%s/arrays", way->name);
		template.features &= ~(__u64)RONBUS_F_SOA;
		add(cells, &template, "B1/%s/slots", way->name);
	}
}

/*
 * B2: a mixed stream, percent of it relevant: subscribers that have said what they want, against
 * subscribers that get all and look. In one thread, and asleep until there is a message.
 */
static const unsigned int relevants[] = { 3, 10, 30, 100 };

static void add_interest(struct cells *cells, bool paced)
{
	struct cell template = { .capacity = 64, .burst = TOPICS_BURST, .ops = &topics_ops };
	char name[NAME_SIZE];
	size_t i, r;
	int on;

	for (r = 0; r < ARRAY_SIZE(relevants); r++) {
		template.relevant = relevants[r];
		for (i = 0; i < ARRAY_SIZE(audiences); i++) {
			template.subscribers = audiences[i];
			for (on = 1; on >= 0; on--) {
				template.features = EDGE | METRICS | BATCH;
				template.features |= on ? RONBUS_F_INTEREST : 0;
				snprintf(name, sizeof(name), "B2/%s/relevant%u/subs%u/%s",
					 paced ? "asleep" : "loop", relevants[r], audiences[i],
					 on ? "on" : "off");
				if (paced)
					add_paced(cells, &template, name);
				else
					add(cells, &template, "%s", name);
			}
		}
	}
}

/*
 * B4: a stream of a message every 50 us, for subscribers that are woken for each, or for several.
 * "time": there are never as many within the time. A message waits no longer than the time.
 */
static const struct coalescing {
	const char *name;
	bool on;
	unsigned int messages;
	unsigned int delay_ns;
} coalescings[] = {
	{ "off", false, 0, 0 },	      { "k1", true, 1, 1000000 },    { "k8", true, 8, 1000000 },
	{ "k32", true, 32, 2000000 }, { "time", true, 64, 1000000 },
};

#define FIRST_OF_SEVERAL 2U

static const unsigned int coalesced_subs[] = { 1, 4 };

static void add_coalescing(struct cells *cells)
{
	char name[NAME_SIZE];
	size_t i, c;

	for (i = 0; i < ARRAY_SIZE(coalesced_subs); i++) {
		for (c = 0; c < ARRAY_SIZE(coalescings); c++) {
			const struct coalescing *how = &coalescings[c];
			const struct cell template = {
				.features =
					EDGE | METRICS | BATCH | (how->on ? RONBUS_F_COALESCE : 0),
				.subscribers = coalesced_subs[i],
				.coalesce = how->messages,
				.delay_ns = how->delay_ns,
				.turns = settings.quick ? 8 : 40,
			};

			snprintf(name, sizeof(name), "B4/subs%u/%s", coalesced_subs[i], how->name);
			add_paced(cells, &template, name);
		}
	}
}

void add_gates(struct cells *cells)
{
	add_edge(cells, "rest", METRICS | BATCH);
	add_edge(cells, "alone", 0);
	add_stream(cells, METRICS | BATCH);
	add_batch(cells, "rest", EDGE | METRICS);
	add_batch(cells, "alone", 0);
	add_capacity(cells);
	add_metrics(cells, "rest", EDGE | BATCH);
	add_metrics(cells, "alone", 0);
	add_drain(cells, "loop", &loop_ops);
	add_drain(cells, "live", &bursts_ops);
	add_events(cells);
	add_soa(cells);
	add_interest(cells, false);
	add_interest(cells, true);
	add_local_dispatch(cells);
	add_coalescing(cells);
}

/* ---- what is asked of them ------------------------------------------------------------ */

static struct gate *ask(struct gates *gates, enum gate_kind kind, double bound, const char *series,
			const char *format, ...) __attribute__((format(printf, 5, 6)));

static struct gate *ask(struct gates *gates, enum gate_kind kind, double bound, const char *series,
			const char *format, ...)
{
	struct gate *gate;
	va_list args;

	if (gates->count == gates->room) {
		gates->room = gates->room ? 2 * gates->room : 64;
		gates->gates = realloc(gates->gates, gates->room * sizeof(*gates->gates));
		if (!gates->gates)
			die("no memory");
	}
	gate = &gates->gates[gates->count++];
	*gate = (struct gate){ .kind = kind, .bound = bound, .series = series, .quantile = 0.5 };
	va_start(args, format);
	vsnprintf(gate->name, sizeof(gate->name), format, args);
	va_end(args);
	return gate;
}

/* Name the two cells: both begin like the gate. */
static void between(struct gate *gate, const char *on, const char *off)
{
	snprintf(gate->on, sizeof(gate->on), "gates/%.60s/%s", gate->name, on);
	snprintf(gate->off, sizeof(gate->off), "gates/%.60s/%s", gate->name, off);
}

/* Name the two cells: both are called as the gate is, but for the last part of its name. */
static void beside(struct gate *gate, const char *on, const char *off)
{
	int stem = (int)(strrchr(gate->name, '/') + 1 - gate->name);

	snprintf(gate->on, sizeof(gate->on), "gates/%.*s%s", stem, gate->name, on);
	snprintf(gate->off, sizeof(gate->off), "gates/%.*s%s", stem, gate->name, off);
}

static void ask_edge(struct gates *gates)
{
	struct gate *gate;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(edge_subs); i++) {
		unsigned int subs = edge_subs[i];
		enum gate_kind kind = subs >= 4 ? GATE_GAIN : GATE_INFO;
		double bound = subs >= 8 ? 20 : 10;

		between(ask(gates, kind, bound, "publish", "A1/rest/subs%u", subs), "on", "off");
		between(ask(gates, GATE_INFO, 0, "cycle", "A1/rest/subs%u", subs), "on", "off");
		between(ask(gates, GATE_INFO, 0, "publish", "A1/alone/subs%u", subs), "on", "off");
		gate = ask(gates, GATE_SHARE, 99, "publish", "A1/suppressed/loop/subs%u", subs);
		snprintf(gate->on, sizeof(gate->on), "gates/A1/rest/subs%u/on", subs);
	}
	gate = ask(gates, GATE_COST, 10, "publish", "A1/flat/subs64-to-1");
	snprintf(gate->on, sizeof(gate->on), "gates/A1/rest/subs64/on");
	snprintf(gate->off, sizeof(gate->off), "gates/A1/rest/subs1/on");
}

static void ask_stream(struct gates *gates)
{
	struct gate *gate;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(live_subs); i++) {
		unsigned int subs = live_subs[i];
		enum gate_kind kind = subs >= 4 ? GATE_GAIN : GATE_INFO;

		between(ask(gates, kind, subs >= 8 ? 20 : 10, "publish", "A1/stream/subs%u", subs),
			"on", "off");
		/* They sleep whenever they have read all: how often depends on which side is faster. */
		gate = ask(gates, GATE_SHARE, 0, "publish", "A1/suppressed/stream/subs%u", subs);
		snprintf(gate->on, sizeof(gate->on), "gates/A1/stream/subs%u/on", subs);
	}
}

static void ask_batch(struct gates *gates)
{
	unsigned int subs;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bursts); i++) {
		for (subs = 1; subs <= 4; subs += 3) {
			between(ask(gates, GATE_GAIN, 15, "publish", "A2/rest/burst%u/subs%u",
				    bursts[i], subs),
				"on", "off");
			between(ask(gates, GATE_INFO, 0, "publish", "A2/alone/burst%u/subs%u",
				    bursts[i], subs),
				"on", "off");
		}
	}
}

static void ask_capacity(struct gates *gates)
{
	static const double quantiles[] = { 0.5, 0.95 };
	struct gate *gate;
	size_t i, q;

	for (i = 0; i < ARRAY_SIZE(audiences); i++) {
		for (q = 0; q < ARRAY_SIZE(quantiles); q++) {
			gate = ask(gates, GATE_BEST, 3, "cycle", "A3/subs%u/p%.0f", audiences[i],
				   100 * quantiles[q]);
			gate->quantile = quantiles[q];
			beside(gate, "auto", "cap");
		}
	}
}

static void ask_metrics(struct gates *gates)
{
	struct gate *gate;
	size_t i, t;

	for (i = 0; i < ARRAY_SIZE(audiences); i++) {
		for (t = 0; t < ARRAY_SIZE(thresholds); t++) {
			bool judged = audiences[i] == 4 && thresholds[t] == 64;

			gate = ask(gates, judged ? GATE_GAIN : GATE_INFO, judged ? 8 : 0, "publish",
				   "A4/rest/subs%u/flush%u", audiences[i], thresholds[t]);
			beside(gate, strrchr(gate->name, '/') + 1, "off");
		}
		between(ask(gates, GATE_INFO, 0, "publish", "A4/alone/subs%u", audiences[i]),
			"flush64", "off");
	}
}

/* Four subscribers instead of sixteen: the publisher has fewer to wake. */
static void ask_local_dispatch(struct gates *gates)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(dispatch_bursts); i++) {
		between(ask(gates, GATE_GAIN, 20, "publish", "B3/burst%u", dispatch_bursts[i]),
			"subs4", "subs16");
		between(ask(gates, GATE_INFO, 0, "cpu", "B3/burst%u", dispatch_bursts[i]), "subs4",
			"subs16");
	}
}

static void ask_drain(struct gates *gates, const char *where, bool live)
{
	struct gate *gate;
	size_t i, w;

	for (i = 0; i < ARRAY_SIZE(audiences); i++) {
		for (w = 1; w < ARRAY_SIZE(ways); w++) {
			/* Asleep, ronbus_wait() is as disciplined: it looks before and after arming. */
			bool judged = audiences[i] >= 4 && !(live && ways[w].op == OP_WAIT);
			enum gate_kind kind = judged ? GATE_GAIN : GATE_INFO;

			gate = ask(gates, kind, 5, "cycle", "A5/%s/drain-to-%s/subs%u", where,
				   ways[w].name, audiences[i]);
			snprintf(gate->on, sizeof(gate->on), "gates/A5/%s/subs%u/drain", where,
				 audiences[i]);
			snprintf(gate->off, sizeof(gate->off), "gates/A5/%s/subs%u/%s", where,
				 audiences[i], ways[w].name);
		}
	}
}

static void ask_events(struct gates *gates)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(audiences); i++) {
		between(ask(gates, GATE_GAIN, 5, "cycle", "B5/subs%u", audiences[i]), "compact",
			"naive");
		between(ask(gates, GATE_INFO, 0, "publish", "B5/subs%u", audiences[i]), "compact",
			"naive");
		between(ask(gates, GATE_INFO, 0, "cycle", "B5/subs%u", audiences[i]), "compact",
			"plain");
	}
}

static void ask_soa(struct gates *gates)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(soa_ways); i++) {
		const struct soa_way *way = &soa_ways[i];

		between(ask(gates, way->bound > 0 ? GATE_GAIN : GATE_INFO, way->bound, "cycle",
			    "B1/%s", way->name),
			"arrays", "slots");
		between(ask(gates, GATE_INFO, 0, "publish", "B1/%s", way->name), "arrays", "slots");
	}
}

static void ask_interest(struct gates *gates, const char *where, const char *cost)
{
	size_t i, r;

	for (r = 0; r < ARRAY_SIZE(relevants); r++) {
		bool judged = relevants[r] == 30;

		for (i = 0; i < ARRAY_SIZE(audiences); i++) {
			between(ask(gates, judged ? GATE_GAIN : GATE_INFO, judged ? 15 : 0, cost,
				    "B2/%s/relevant%u/subs%u", where, relevants[r], audiences[i]),
				"on", "off");
			between(ask(gates, GATE_INFO, 0, "publish", "B2/%s/relevant%u/subs%u",
				    where, relevants[r], audiences[i]),
				"on", "off");
		}
	}
}

static void ask_of_coalescing(struct gates *gates, unsigned int subs, const char *how,
			      enum gate_kind kind, double bound, const char *series)
{
	beside(ask(gates, kind, bound, series, "B4/subs%u/%s", subs, how), how, "off");
}

/* Waking for several saves time, and nobody waits longer than agreed; for one it changes nothing. */
static void ask_coalescing(struct gates *gates)
{
	size_t i, c;

	for (i = 0; i < ARRAY_SIZE(coalesced_subs); i++) {
		unsigned int subs = coalesced_subs[i];

		ask_of_coalescing(gates, subs, "k1", GATE_COST, 10, "latency");
		ask_of_coalescing(gates, subs, "k1", GATE_COST, 10, "p95");
		for (c = FIRST_OF_SEVERAL; c < ARRAY_SIZE(coalescings); c++) {
			const struct coalescing *how = &coalescings[c];

			ask_of_coalescing(gates, subs, how->name, GATE_GAIN, 8, "publish");
			ask_of_coalescing(gates, subs, how->name, GATE_GAIN, 8, "cpu");
			/* A tenth more, for it takes its time to get up. */
			ask_of_coalescing(gates, subs, how->name, GATE_MOST, 1.1 * how->delay_ns,
					  "p95");
		}
	}
}

void gates_of_features(struct gates *gates)
{
	ask_edge(gates);
	ask_stream(gates);
	ask_batch(gates);
	ask_capacity(gates);
	ask_metrics(gates);
	ask_drain(gates, "loop", false);
	ask_drain(gates, "live", true);
	ask_events(gates);
	ask_soa(gates);
	ask_interest(gates, "loop", "cycle");
	ask_interest(gates, "asleep", "cpu");
	ask_local_dispatch(gates);
	ask_coalescing(gates);
}

/* ---- ronbus beside its peers ---------------------------------------------------------- */

/* Up to the engine, which is the last part of the name. */
static size_t stem(const struct cell *cell)
{
	return (size_t)(strrchr(cell->name, '/') + 1 - cell->name);
}

static void ask_versus(struct gates *gates, const struct cell *ours, const struct cell *peer)
{
	unsigned int i;

	for (i = 0; i < ours->nr_series; i++) {
		struct gate *gate = ask(gates, GATE_VERSUS, 0, ours->series[i].name, "%.80s:%s",
					ours->name, peer->engine);

		memcpy(gate->on, ours->name, sizeof(gate->on));
		memcpy(gate->off, peer->name, sizeof(gate->off));
	}
}

#define BARE "shm-" /* shared memory without anything that keeps its members from each other */

static struct gate *ask_ratio(struct gates *gates, const struct cell *ours, double bound,
			      const char *series, const char *name)
{
	struct gate *gate = ask(gates, GATE_RATIO, bound, series, "%s", name);

	memcpy(gate->on, ours->name, sizeof(gate->on));
	snprintf(gate->off, sizeof(gate->off), "%.*s", (int)stem(ours), ours->name);
	return gate;
}

/* The ways of shape A that are judged: as most programs do it, and those that leave out something. */
static bool is_judged(const struct cell *ours)
{
	return !strcmp(ours->engine, "ronbus") || !strcmp(ours->engine, "ronbus-exclusive") ||
	       !strcmp(ours->engine, "ronbus-exclusive-many");
}

/* Against the best peer, and against the best that does more than bare memory. */
static void ask_shape_a(struct gates *gates, const struct cell *ours)
{
	double bound = ours->subscribers == 1 ? 0.8 : ours->subscribers == 4 ? 0.6 : 0.5;
	bool plain = !strcmp(ours->engine, "ronbus");
	char name[NAME_SIZE];

	snprintf(name, sizeof(name), "aim/shape-a/readers%u%s", ours->subscribers,
		 ours->engine + strlen("ronbus"));
	ask_ratio(gates, ours, bound, "cycle", name);
	if (!plain)
		return;
	snprintf(name, sizeof(name), "aim/shape-a/readers%u/but-bare-memory", ours->subscribers);
	ask_ratio(gates, ours, bound, "cycle", name)->except = BARE;
}

/* Apart from waking them, sleepers cost the publisher nothing: one of many costs what one does. */
static void ask_shape_c(struct gates *gates, const struct cell *ours)
{
	char name[NAME_SIZE];
	struct gate *gate;

	snprintf(name, sizeof(name), "aim/shape-c/readers%u", ours->subscribers);
	gate = ask_ratio(gates, ours, 1.1, "publish", name);
	gate->shares = ours->subscribers;
	snprintf(gate->off, sizeof(gate->off), "shape-c/readers1/pay%u/ronbus", ours->payload);
}

/* Beside tokio's broadcast: so many times as fast; and 64 subscribers cost the publisher what one does. */
static void ask_baseline(struct gates *gates, const struct cell *ours)
{
	const char *way = strrchr(ours->name, '/') + 1;
	bool exclusive = ours->bus_flags & RONBUS_BUS_EXCLUSIVE;
	char name[NAME_SIZE];
	struct gate *gate;

	snprintf(name, sizeof(name), "aim/%.80s", ours->name);
	ask_ratio(gates, ours, exclusive ? 1 / 4.0 : 1 / 2.5, "publish", name);
	if (!strcmp(way, "ronbus"))
		ask_ratio(gates, ours, 1 / 5.0, "receive", name);
	if (ours->subscribers != 64)
		return;
	snprintf(name, sizeof(name), "aim/baseline/subs64-to-1/%.40s", way);
	gate = ask_ratio(gates, ours, 1.1, "publish", name);
	snprintf(gate->off, sizeof(gate->off), "baseline/subs1/%.40s", way);
}

/* What is aimed at: in shape A with small messages, in B asleep, in C with many that sleep. */
static void ask_aim(struct gates *gates, const struct cell *ours)
{
	struct gate *gate;

	if (ours->shape == 'a' && ours->payload == 8 && is_judged(ours)) {
		ask_shape_a(gates, ours);
	} else if (ours->shape == 'b' && ours->sleeping && ours->payload == 8) {
		gate = ask_ratio(gates, ours, 1.15, "oneway", "aim/shape-b/sleep");
		strncat(gate->off, "shm-futex", sizeof(gate->off) - strlen(gate->off) - 1);
	} else if (ours->shape == 'c' && ours->subscribers > 1 && !settings.one_cpu) {
		/* On one CPU the reader that is woken runs within the publisher's call. */
		ask_shape_c(gates, ours);
	} else if (ours->shape == SHAPE_APART) {
		ask_baseline(gates, ours);
	}
}

/* Beside every peer as most programs use it; other ways of shape A only beside bare memory. */
static bool is_beside(const struct cell *ours, const struct cell *peer)
{
	return peer->shape && !cell_is_ronbus(peer) && stem(peer) == stem(ours) &&
	       !strncmp(peer->name, ours->name, stem(ours)) &&
	       (ours->shape == SHAPE_APART || !strcmp(ours->engine, "ronbus") ||
		!strncmp(peer->engine, BARE, strlen(BARE)));
}

void gates_of_peers(struct gates *gates, const struct cells *cells)
{
	size_t i, j;

	for (i = 0; i < cells->count; i++) {
		const struct cell *ours = &cells->cells[i];

		if (!ours->shape || !cell_is_ronbus(ours))
			continue;
		for (j = 0; j < cells->count; j++)
			if (is_beside(ours, &cells->cells[j]))
				ask_versus(gates, ours, &cells->cells[j]);
		ask_aim(gates, ours);
	}
}
