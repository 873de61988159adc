// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * baseline.c - what publishing and receiving cost on the embedded transport
 *
 * One thread on one CPU. A burst fills the ring exactly once; between bursts everybody drains.
 * Publishing is timed without the drain, receiving without the publishing. Some bursts are a
 * sample, since a clock may tick in steps of 10 ns; a run's value for a cell is the median of its
 * samples; the program prints the spread over the runs. The peers (peers/) time the same loop in
 * the same way and print the same columns.
 */
#include <getopt.h>
#include <stdbool.h>

#include <libronbus.h>

#include "bench.h"

const char bench_name[] = "baseline";

static const char usage[] =
	"usage: baseline [OPTION]...\n"
	"Cost of publishing and receiving on the embedded transport, in nanoseconds a message.\n"
	"  --runs N       visit every cell N times, and print the spread over the visits (10)\n"
	"  --cpu N        run on this CPU (the last one allowed)\n"
	"  --filter TEXT  only cells whose name contains TEXT; may be repeated, all must match\n"
	"  --list         print the names of the cells, and do nothing\n";

enum op {
	OP_PUBLISH, /* ronbus_publish() */
	OP_PUBLISH_MANY, /* ronbus_publish_many(), BATCH messages a call */
	OP_RECEIVE, /* ronbus_try_recv() */
	OP_PEEK, /* ronbus_peek(), ronbus_release() */
};

static const char *const op_names[] = { "publish", "publish_many", "receive", "peek" };

#define BATCH 64U

/* Who publishes. */
static const struct kind {
	const char *name;
	__u32 bus_flags;
	unsigned int pub_flags;
} kinds[] = {
	{ "many", 0, 0 },
	{ "many-single", 0, RONBUS_PUB_SINGLE },
	{ "exclusive", RONBUS_BUS_EXCLUSIVE, 0 },
};

#define EDGE RONBUS_F_EDGE_NOTIFY

static const struct feature_set {
	const char *name;
	__u64 features;
	enum op op;
} feature_sets[] = {
	{ "edge", EDGE, OP_PUBLISH },
	{ "edge+metrics", EDGE | RONBUS_F_METRICS_BUF, OP_PUBLISH },
	{ "edge+batch", EDGE | RONBUS_F_BATCH, OP_PUBLISH_MANY },
	{ "edge+metrics+batch", EDGE | RONBUS_F_METRICS_BUF | RONBUS_F_BATCH, OP_PUBLISH_MANY },
};

static const unsigned int capacities[] = { 64, 128 };
static const unsigned int payloads[] = { 8, 32 };
static const unsigned int audiences[] = { 1, 4, 16, 64 };

#define CAPACITY_MOST 128U
#define PAYLOAD_MOST 32U
#define SAMPLES_MOST 51U
#define SAMPLE_BURSTS 16U

struct cell {
	enum op op;
	const struct kind *kind;
	const struct feature_set *features;
	unsigned int capacity;
	unsigned int payload;
	unsigned int subscribers;
	double *runs;
};

struct bench {
	struct ronbus *bus;
	struct ronbus_pub *pub;
	struct ronbus_sub *subs[RONBUS_SUBSCRIBERS_MAX];
	const struct cell *cell;
	struct iovec vec[BATCH];
	__u64 message[PAYLOAD_MOST / sizeof(__u64)];
};

static struct cell cells[512];
static unsigned int nr_cells;

static void cell_name(const struct cell *cell, char *name, size_t size)
{
	snprintf(name, size, "%s/%s/%s/cap%u/pay%u/subs%u", op_names[cell->op], cell->kind->name,
		 cell->features->name, cell->capacity, cell->payload, cell->subscribers);
}

static bool wanted(const struct cell *cell, char **filters, unsigned int nr_filters)
{
	char name[128];

	cell_name(cell, name, sizeof(name));
	while (nr_filters--)
		if (!strstr(name, filters[nr_filters]))
			return false;
	return true;
}

static void add_cell(struct cell cell, char **filters, unsigned int nr_filters)
{
	if (!wanted(&cell, filters, nr_filters))
		return;
	if (nr_cells == ARRAY_SIZE(cells))
		die("too many cells");
	cells[nr_cells++] = cell;
}

/* All geometries of one operation. */
static void add_cells(enum op op, const struct kind *kind, const struct feature_set *features,
		      char **filters, unsigned int nr_filters)
{
	size_t c, p, a;

	for (c = 0; c < ARRAY_SIZE(capacities); c++)
		for (p = 0; p < ARRAY_SIZE(payloads); p++)
			for (a = 0; a < ARRAY_SIZE(audiences); a++)
				add_cell((struct cell){ op, kind, features, capacities[c],
							payloads[p], audiences[a], NULL },
					 filters, nr_filters);
}

static void make_cells(char **filters, unsigned int nr_filters)
{
	size_t k, f;

	for (k = 0; k < ARRAY_SIZE(kinds); k++)
		for (f = 0; f < ARRAY_SIZE(feature_sets); f++)
			add_cells(feature_sets[f].op, &kinds[k], &feature_sets[f], filters,
				  nr_filters);
	add_cells(OP_RECEIVE, &kinds[0], &feature_sets[0], filters, nr_filters);
	add_cells(OP_PEEK, &kinds[0], &feature_sets[0], filters, nr_filters);
}

static void must(int ret, const char *what)
{
	if (ret < 0)
		die("%s: %s", what, ronbus_why(RONBUS_EMBEDDED, ret));
}

static void bench_open(struct bench *bench, const struct cell *cell)
{
	struct ronbus_options opts = {
		.features = cell->features->features,
		.flags = cell->kind->bus_flags,
		.capacity = cell->capacity,
		.payload = cell->payload,
	};
	unsigned int i;

	memset(bench, 0, sizeof(*bench));
	bench->cell = cell;
	must(ronbus_create(RONBUS_EMBEDDED, &opts, &bench->bus), "create");
	must(ronbus_publisher(bench->bus, cell->kind->pub_flags, &bench->pub), "publisher");
	for (i = 0; i < cell->subscribers; i++)
		must(ronbus_subscribe(bench->bus, NULL, &bench->subs[i]), "subscribe");
	for (i = 0; i < BATCH; i++) {
		bench->vec[i].iov_base = bench->message;
		bench->vec[i].iov_len = cell->payload;
	}
}

static void bench_close(struct bench *bench)
{
	unsigned int i;

	for (i = 0; i < bench->cell->subscribers; i++)
		ronbus_sub_close(bench->subs[i]);
	ronbus_pub_close(bench->pub);
	ronbus_close(bench->bus);
}

/* ---- what is timed: programs know the length of their messages when they are compiled --- */

static ALWAYS_INLINE unsigned int publish(struct bench *bench, size_t len)
{
	unsigned int i, receivers = 0;

	for (i = 0; i < bench->cell->capacity; i++) {
		forget();
		receivers += (unsigned int)ronbus_publish(bench->pub, 0, bench->message, len);
	}
	return receivers;
}

static ALWAYS_INLINE unsigned int publish_many(struct bench *bench)
{
	unsigned int i, sent = 0;

	for (i = 0; i < bench->cell->capacity; i += BATCH) {
		forget();
		sent += (unsigned int)ronbus_publish_many(bench->pub, 0, bench->vec, BATCH);
	}
	return sent * bench->cell->subscribers;
}

static NOINLINE unsigned int publish_burst(struct bench *bench)
{
	if (bench->cell->op == OP_PUBLISH_MANY)
		return publish_many(bench);
	return bench->cell->payload == 8 ? publish(bench, 8) : publish(bench, 32);
}

static ALWAYS_INLINE unsigned int receive(struct ronbus_sub *sub, __u64 *sum, size_t len)
{
	unsigned int received = 0;
	struct ronbus_msg msg;
	__u64 buffer[PAYLOAD_MOST / sizeof(__u64)];

	while (ronbus_try_recv(sub, buffer, len, &msg) == RONBUS_MESSAGE) {
		*sum += buffer[0];
		forget();
		received++;
	}
	return received;
}

static ALWAYS_INLINE unsigned int peek(struct ronbus_sub *sub, __u64 *sum)
{
	unsigned int received = 0;
	struct ronbus_msg msg;

	while (ronbus_peek(sub, &msg) == RONBUS_MESSAGE) {
		*sum += *(const __u64 *)msg.data;
		forget();
		if (ronbus_release(sub))
			break;
		received++;
	}
	return received;
}

static NOINLINE unsigned int receive_burst(const struct cell *cell, struct ronbus_sub *sub,
					   __u64 *sum)
{
	if (cell->op == OP_PEEK)
		return peek(sub, sum);
	return cell->payload == 8 ? receive(sub, sum, 8) : receive(sub, sum, 32);
}

/* ---------------------------------------------------------------------------------------- */

/* Nanoseconds between two looks at the clock with nothing between them. */
static double clock_cost(void)
{
	double cost[101];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cost); i++) {
		uint64_t start = now_ns();

		cost[i] = (double)(now_ns() - start);
	}
	sort(cost, ARRAY_SIZE(cost));
	return quantile(cost, ARRAY_SIZE(cost), 0.5);
}

/* One burst, and everybody reads all of it. What the operation took, a message. */
static double one_burst(struct bench *bench, __u64 number, double clock)
{
	const struct cell *cell = bench->cell;
	bool receiving = cell->op == OP_RECEIVE || cell->op == OP_PEEK;
	double published, received = 0;
	unsigned int i, got;
	uint64_t start;
	__u64 sum;

	bench->message[0] = number;
	start = now_ns();
	got = publish_burst(bench);
	published = (double)(now_ns() - start) - clock;
	if (got != cell->capacity * cell->subscribers)
		die("a burst went to %u receivers, not to %u", got,
		    cell->capacity * cell->subscribers);

	for (i = 0; i < cell->subscribers; i++) {
		sum = 0;
		start = now_ns();
		got = receive_burst(cell, bench->subs[i], &sum);
		received += (double)(now_ns() - start) - clock;
		if (got != cell->capacity || sum != number * cell->capacity)
			die("subscriber %u got %u messages of %u, or wrong ones", i, got,
			    cell->capacity);
	}
	return receiving ? received / cell->capacity / cell->subscribers
			 : published / cell->capacity;
}

static double one_sample(struct bench *bench, __u64 number, double clock)
{
	double sum = 0;
	unsigned int i;

	for (i = 0; i < SAMPLE_BURSTS; i++)
		sum += one_burst(bench, number + i, clock);
	return sum / SAMPLE_BURSTS;
}

static double one_run(const struct cell *cell, double clock)
{
	unsigned int i, samples = cell->subscribers < 16 ? SAMPLES_MOST : 15;
	double times[SAMPLES_MOST];
	struct bench bench;

	bench_open(&bench, cell);
	one_sample(&bench, 0, clock); /* to warm up */
	for (i = 0; i < samples; i++)
		times[i] = one_sample(&bench, i, clock);
	bench_close(&bench);
	sort(times, samples);
	return quantile(times, samples, 0.5);
}

static void print_cell(struct cell *cell, unsigned int runs)
{
	sort(cell->runs, runs);
	printf("ronbus\t%s\t%s\t%s\t%u\t%u\t%u\t%u\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\n",
	       op_names[cell->op], cell->kind->name, cell->features->name, cell->capacity,
	       cell->payload, cell->subscribers, runs, cell->runs[0],
	       quantile(cell->runs, runs, 0.25), quantile(cell->runs, runs, 0.5),
	       quantile(cell->runs, runs, 0.75), cell->runs[runs - 1]);
}

static unsigned int number(const char *text, const char *option)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (!*text || *end || value > 1000000) {
		fprintf(stderr, "baseline: --%s wants a number, not \"%s\"\n", option, text);
		exit(2);
	}
	return (unsigned int)value;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "runs", required_argument, NULL, 'r' },   { "cpu", required_argument, NULL, 'c' },
		{ "filter", required_argument, NULL, 'f' }, { "list", no_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },	    { NULL, 0, NULL, 0 },
	};
	char *filters[16], name[128];
	unsigned int nr_filters = 0, runs = 10, run, i;
	bool list = false;
	int cpu = -1, option;
	double clock;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'r':
			runs = number(optarg, "runs");
			break;
		case 'c':
			cpu = (int)number(optarg, "cpu");
			break;
		case 'f':
			if (nr_filters == ARRAY_SIZE(filters))
				die("too many filters");
			filters[nr_filters++] = optarg;
			break;
		case 'l':
			list = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (optind < argc || !runs) {
		fputs(usage, stderr);
		return 2;
	}

	make_cells(filters, nr_filters);
	if (list) {
		for (i = 0; i < nr_cells; i++) {
			cell_name(&cells[i], name, sizeof(name));
			puts(name);
		}
		return 0;
	}
	if (!nr_cells)
		die("no cell has such a name (--list)");

	pin(cpu);
	clock = clock_cost();
	for (i = 0; i < nr_cells; i++) {
		cells[i].runs = calloc(runs, sizeof(*cells[i].runs));
		if (!cells[i].runs)
			die("no memory");
	}
	for (run = 0; run < runs; run++)
		for (i = 0; i < nr_cells; i++)
			cells[i].runs[run] = one_run(&cells[i], clock);

	puts("engine\top\tkind\tfeatures\tcapacity\tpayload\tsubscribers\truns\tmin\tq1\tmedian\tq3"
	     "\tmax");
	for (i = 0; i < nr_cells; i++)
		print_cell(&cells[i], runs);
	return fflush(stdout) ? 1 : 0;
}
