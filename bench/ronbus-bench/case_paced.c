// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * case_paced.c - a message now and then, for subscribers that sleep until it comes: what is won by
 * sparing wake-ups (interest, coalescing), and what the messages wait for it
 *
 * The publisher looks at the clock until it is time, on a CPU of its own. Each subscriber notes how
 * long ago a message was sent when it gets it. CPU time is that of all but the publisher's looking.
 */
#include <sys/mman.h>

#include "actor.h"
#include "bus.h"
#include "cases.h"

#define INTERVAL_NS 50000ULL
#define TAIL_BLOCK 200U /* latencies of which one 95th percentile is taken */

/* The series, in order. */
enum {
	PUBLISH,
	LATENCY,
	TAIL,
	CPU
};

/* What a message says. */
enum {
	NUMBER,
	SENT_AT
};

/**
 * struct pace - a bus, its publisher and its subscribers
 * @stage: all three of them
 * @cell: what is measured
 * @latencies: as many for each subscriber as there are messages, in memory that all share
 */
struct pace {
	struct stage stage;
	const struct cell *cell;
	double *latencies;
};

/**
 * struct listener - a subscriber
 * @topics: it wants
 * @latencies: where it puts them
 * @got: how many
 */
struct listener {
	__u64 topics;
	double *latencies;
	uint64_t got;
};

static size_t latencies_size(const struct cell *cell)
{
	return (size_t)(cell->subscribers + 1) * cell->burst * sizeof(double);
}

/* ---- subscribers ---------------------------------------------------------------------- */

static int hear(void *arg, int what, const struct ronbus_msg *msg)
{
	struct listener *listener = arg;

	/* Without RONBUS_F_INTEREST it is for us to look. */
	if (what == RONBUS_MESSAGE && listener->topics >> msg->topic & 1)
		listener->latencies[listener->got++] =
			(double)(now_ns() - ((const __u64 *)msg->data)[SENT_AT]);
	return 0;
}

static void listen_to_all(struct actors *actors, unsigned int self)
{
	const struct pace *pace = actors->context;
	const struct cell *cell = pace->cell;
	struct listener listener = { .topics = bus_topics(cell, self),
				     .latencies = pace->latencies + (size_t)self * cell->burst };
	struct ronbus_sub *sub = bus_subscribe(cell, actors->buses[0], self);
	int ret;

	if (cell->features & RONBUS_F_COALESCE)
		must(ronbus_sub_set_coalesce(sub, cell->coalesce, cell->delay_ns), "coalesce");
	actors_ready(actors, self);
	do {
		ret = ronbus_drain(sub, hear, &listener, cell->capacity, -1);
	} while (ret > 0 || ret == -EINTR);
	actors_seat(actors, self)->usage.got = listener.got;
	ronbus_sub_close(sub);
}

/* ---- publisher ------------------------------------------------------------------------ */

static void *paced_setup(struct cell *cell)
{
	struct pace *pace = calloc(1, sizeof(*pace));

	if (!pace)
		die("no memory");
	pace->cell = cell;
	pace->stage.actors.context = pace;
	pace->latencies = mmap(NULL, latencies_size(cell), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (pace->latencies == MAP_FAILED)
		die("no memory");
	if (stage_open(&pace->stage, cell, listen_to_all))
		return pace;
	munmap(pace->latencies, latencies_size(cell));
	free(pace);
	return NULL;
}

/* Publishes @count messages, one each interval; returns the time of the calls, each in @calls. */
static double publish_paced(struct pace *pace, double *calls, unsigned int count)
{
	struct message message = { 0 };
	uint64_t due = now_ns(), begin;
	double sum = 0;
	unsigned int i;

	for (i = 0; i < count; i++, due += INTERVAL_NS) {
		while ((begin = now_ns()) < due)
			relax();
		message.words[NUMBER] = i;
		message.words[SENT_AT] = begin;
		must(ronbus_publish(pace->stage.pub, bus_topic(pace->cell, i), message.words,
				    pace->cell->payload),
		     "publish");
		calls[i] = (double)(now_ns() - begin) - settings.clock_ns;
		sum += calls[i];
	}
	return sum;
}

/* The 95th percentiles of blocks of latencies, which are put in order. */
static void add_tails(struct samples *samples, double *latencies, size_t count)
{
	size_t blocks = count / TAIL_BLOCK ? count / TAIL_BLOCK : 1, block;

	for (block = 0; block < blocks; block++) {
		size_t begin = block * count / blocks, end = (block + 1) * count / blocks;

		samples_add(samples, quantile_of(latencies + begin, end - begin, 0.95));
	}
}

static void add_latencies(struct cell *cell, struct pace *pace, const uint64_t *got)
{
	unsigned int i;

	for (i = 0; i < cell->subscribers; i++) {
		double *latencies = pace->latencies + (size_t)i * cell->burst;

		if (!got[i])
			continue;
		series_add_latencies(&cell->series[LATENCY], latencies, got[i]);
		add_tails(&cell->series[TAIL].samples, latencies, got[i]);
	}
}

/* What others of this process have used: subscribers that are threads, and threads of the library. */
static uint64_t used_by_others(void)
{
	struct timespec all;

	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &all))
		die("no clock for the time of a process");
	return (uint64_t)all.tv_sec * 1000000000ULL + (uint64_t)all.tv_nsec - usage_now().cpu_ns;
}

static bool paced_turn(struct cell *cell, void *state)
{
	double *calls = malloc(cell->burst * sizeof(*calls)), publishing;
	uint64_t others = used_by_others(), got[ACTORS_MOST];
	struct pace *pace = state;
	struct usage of_readers;

	if (!calls)
		die("no memory");
	publishing = publish_paced(pace, calls, cell->burst);
	ronbus_pub_close(pace->stage.pub);
	of_readers = actors_join_each(&pace->stage.actors, got);
	others = settings.device ? of_readers.cpu_ns : used_by_others() - others;

	series_add_latencies(&cell->series[PUBLISH], calls, cell->burst);
	add_latencies(cell, pace, got);
	samples_add(&cell->series[CPU].samples, (publishing + (double)others) / cell->burst);
	free(calls);
	return true;
}

static void paced_teardown(struct cell *cell, void *state)
{
	struct pace *pace = state;

	stage_close(&pace->stage, cell);
	munmap(pace->latencies, latencies_size(cell));
	free(pace);
}

static const struct cell_ops paced_ops = {
	.name = "paced",
	.what = "one publisher, a message every 50 us, and subscribers that sleep",
	.setup = paced_setup,
	.turn = paced_turn,
	.teardown = paced_teardown,
};

void add_paced(struct cells *cells, const struct cell *template, const char *name)
{
	struct cell *cell = cells_add(cells, template, "gates/%s", name);

	cell->group = GROUP_GATES;
	cell->engine = "ronbus";
	cell->ops = &paced_ops;
	cell->capacity = 128;
	cell->payload = 32;
	cell->publishers = 1;
	cell->burst = settings.quick ? 400 : 1000;
	cell->sleeping = true;
	if (!cell->turns)
		cell->turns = settings.turns;
	cell_add_latencies(cell, "publish");
	cell_add_latencies(cell, "latency");
	cell_add_series(cell, "p95", "ns");
	cell_add_series(cell, "cpu", "ns/msg");
}
