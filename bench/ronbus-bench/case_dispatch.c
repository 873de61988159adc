// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * case_dispatch.c - sixteen workers that each subscribe, against four subscribers that hand on to
 * four workers each
 *
 * Everybody sleeps between two bursts. What a publish costs is the publisher's; what it takes to
 * deliver a message is the CPU time of all, publisher included, over the messages that workers got.
 */
#include <pthread.h>

#include "actor.h"
#include "bus.h"
#include "cases.h"

#define WORKERS DISPATCH_WORKERS
#define INTERVAL_NS 1000000ULL
#define BURSTS_A_TURN 200U

enum {
	PUBLISH,
	CPU
};

/**
 * struct hand - a worker
 * @worker: its queue
 * @thread: it
 * @usage: what it used up
 */
struct hand {
	struct ronbus_worker *worker;
	pthread_t thread;
	struct usage usage;
};

static int count(void *arg, int what, const struct ronbus_msg *msg)
{
	uint64_t *got = arg;

	(void)msg;
	*got += what == RONBUS_MESSAGE;
	return 0;
}

static void *work(void *arg)
{
	struct usage begin = usage_now();
	struct hand *hand = arg;
	int ret;

	do {
		ret = ronbus_worker_drain(hand->worker, count, &begin.got, 64, -1);
	} while (ret > 0 || ret == -EINTR);
	hand->usage = usage_since(begin);
	return NULL;
}

static void direct(struct actors *actors, unsigned int self)
{
	struct seat *seat = actors_seat(actors, self);
	struct ronbus_sub *sub;
	int ret;

	must(ronbus_subscribe(actors->buses[0], NULL, &sub), "subscribe");
	actors_ready(actors, self);
	do {
		ret = ronbus_drain(sub, count, &seat->usage.got, 64, -1);
	} while (ret > 0 || ret == -EINTR);
	ronbus_sub_close(sub);
}

/* A role: it hands on to its workers. What they use up counts as its own. */
static void role(struct actors *actors, unsigned int self)
{
	struct ronbus_dispatch_options opts = { .workers = WORKERS / actors->count };
	struct seat *seat = actors_seat(actors, self);
	struct hand hands[WORKERS] = { 0 };
	struct ronbus_dispatch *dispatch;
	struct ronbus_sub *sub;
	unsigned int i;

	must(ronbus_subscribe(actors->buses[0], NULL, &sub), "subscribe");
	must(ronbus_dispatch_open(sub, &opts, &dispatch), "dispatch");
	for (i = 0; i < opts.workers; i++) {
		hands[i].worker = ronbus_dispatch_worker(dispatch, i);
		if (pthread_create(&hands[i].thread, NULL, work, &hands[i]))
			die("cannot start a thread");
	}
	actors_ready(actors, self);
	while (ronbus_dispatch_run(dispatch, -1) != RONBUS_CLOSED)
		;
	for (i = 0; i < opts.workers; i++) {
		pthread_join(hands[i].thread, NULL);
		seat->usage.got += hands[i].usage.got;
		/* It is what is subtracted from what this thread will have used. */
		seat->usage.cpu_ns -= hands[i].usage.cpu_ns;
		seat->usage.switches -= hands[i].usage.switches;
	}
	ronbus_dispatch_close(dispatch);
	ronbus_sub_close(sub);
}

static void *dispatch_setup(struct cell *cell)
{
	struct stage *stage = calloc(1, sizeof(*stage));

	if (!stage)
		die("no memory");
	if (stage_open(stage, cell, cell->subscribers == WORKERS ? direct : role))
		return stage;
	free(stage);
	return NULL;
}

static bool dispatch_turn(struct cell *cell, void *state)
{
	struct message message = { 0 };
	struct usage begin = usage_now(), used, of_readers;
	struct timespec pause = { .tv_nsec = INTERVAL_NS };
	struct stage *stage = state;
	double calls[BURSTS_A_TURN];
	unsigned int burst, i;
	uint64_t start;

	for (burst = 0; burst < BURSTS_A_TURN; burst++) {
		nanosleep(&pause, NULL);
		start = now_ns();
		for (i = 0; i < cell->burst; i++)
			must(ronbus_publish(stage->pub, 0, message.words, cell->payload),
			     "publish");
		calls[burst] =
			((double)(now_ns() - start) - settings.clock_ns) / (double)cell->burst;
	}
	used = usage_since(begin);
	of_readers = stage_end(stage);

	for (i = 0; i < BURSTS_A_TURN; i++)
		samples_add(&cell->series[PUBLISH].samples, calls[i]);
	samples_add(&cell->series[CPU].samples,
		    (double)(used.cpu_ns + of_readers.cpu_ns) / (double)of_readers.got);
	return true;
}

static void dispatch_teardown(struct cell *cell, void *state)
{
	struct stage *stage = state;

	stage_close(stage, cell);
	free(stage);
}

static const struct cell_ops dispatch_ops = {
	.name = "dispatch",
	.what = "bursts for sixteen workers that sleep: each a subscriber, or four to a subscriber",
	.setup = dispatch_setup,
	.turn = dispatch_turn,
	.teardown = dispatch_teardown,
};

void add_dispatch(struct cells *cells, const char *name, unsigned int subscribers,
		  unsigned int burst)
{
	const struct cell template = {
		.group = GROUP_GATES,
		.engine = "ronbus",
		.ops = &dispatch_ops,
		.features = RONBUS_FEATURES_RECOMMENDED,
		.features_name = "recommended",
		.capacity = 64,
		.payload = 32,
		.publishers = 1,
		.subscribers = subscribers,
		.burst = burst,
		.sleeping = true,
		.turns = settings.turns,
	};
	struct cell *cell = cells_add(cells, &template, "%s", name);

	cell_add_series(cell, "publish", "ns/msg");
	cell_add_series(cell, "cpu", "ns/delivery");
}
