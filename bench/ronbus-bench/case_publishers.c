// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * case_publishers.c - several publishers at once, each a thread with a handle of its own
 *
 * All publish the same number of messages, begun together. The time is from the first one's
 * beginning to the last one's end, a message of all. Subscribers drain in between, untimed: with
 * one ring's worth of slots and thousands of messages they have lost most of them.
 */
#include <pthread.h>

#include "actor.h"
#include "bus.h"
#include "cases.h"

#define PUBLISHERS_MOST 4U
#define MESSAGES 5000U

struct publisher {
	struct crowd *crowd;
	struct ronbus_pub *pub;
	pthread_t thread;
	unsigned int self;
	uint64_t begin;
	uint64_t end;
};

/**
 * struct crowd - publishers and their bus
 * @cell: what is measured
 * @bus: the bus and its subscribers; its own publisher does nothing
 * @gate: where publishers and the thread that measures meet before and after a burst
 * @there: publishers that have left the gate, which lets go one after the other
 * @over: nothing more to do
 * @publishers: one for each thread
 */
struct crowd {
	struct cell *cell;
	struct bus *bus;
	pthread_barrier_t gate;
	unsigned int there;
	bool over;
	struct publisher publishers[PUBLISHERS_MOST];
};

/* Wait for the others by looking: to be woken takes longer than a burst. */
static void line_up(struct crowd *crowd)
{
	__atomic_fetch_add(&crowd->there, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&crowd->there, __ATOMIC_ACQUIRE) % crowd->cell->publishers)
		sched_yield();
}

static void *publisher_main(void *arg)
{
	struct publisher *publisher = arg;
	struct crowd *crowd = publisher->crowd;

	topology_pin(&settings.cpus, publisher->self);
	for (;;) {
		pthread_barrier_wait(&crowd->gate);
		if (crowd->over)
			return NULL;
		line_up(crowd);
		publisher->begin = now_ns();
		bus_publish(crowd->cell, publisher->pub, NULL, crowd->bus->message.words);
		publisher->end = now_ns();
		pthread_barrier_wait(&crowd->gate);
	}
}

static void *crowd_setup(struct cell *cell)
{
	struct crowd *crowd = calloc(1, sizeof(*crowd));
	unsigned int i;

	if (!crowd)
		die("no memory");
	crowd->cell = cell;
	crowd->bus = bus_open(cell);
	if (!crowd->bus) {
		free(crowd);
		return NULL;
	}
	pthread_barrier_init(&crowd->gate, NULL, cell->publishers + 1);
	for (i = 0; i < cell->publishers; i++) {
		struct publisher *publisher = &crowd->publishers[i];

		publisher->crowd = crowd;
		publisher->self = i;
		must(ronbus_publisher(crowd->bus->bus, cell->pub_flags, &publisher->pub),
		     "publisher");
		if (pthread_create(&publisher->thread, NULL, publisher_main, publisher))
			die("cannot start a thread");
	}
	return crowd;
}

static void crowd_sample(struct cell *cell, void *state, double *values)
{
	struct crowd *crowd = state;
	uint64_t begin = UINT64_MAX, end = 0;
	unsigned int i;

	pthread_barrier_wait(&crowd->gate);
	pthread_barrier_wait(&crowd->gate);
	for (i = 0; i < cell->publishers; i++) {
		const struct publisher *publisher = &crowd->publishers[i];

		begin = publisher->begin < begin ? publisher->begin : begin;
		end = publisher->end > end ? publisher->end : end;
	}
	values[0] = ((double)(end - begin) - settings.clock_ns) / cell->burst / cell->publishers;
	for (i = 0; i < crowd->bus->nr_subs; i++)
		bus_drain(cell, crowd->bus->subs[i]);
}

static void crowd_teardown(struct cell *cell, void *state)
{
	struct crowd *crowd = state;
	unsigned int i;

	crowd->over = true;
	pthread_barrier_wait(&crowd->gate);
	for (i = 0; i < cell->publishers; i++) {
		pthread_join(crowd->publishers[i].thread, NULL);
		ronbus_pub_close(crowd->publishers[i].pub);
	}
	pthread_barrier_destroy(&crowd->gate);
	bus_close(cell, crowd->bus);
	free(crowd);
}

static const struct cell_ops publishers_ops = {
	.name = GROUP_PUBLISHERS,
	.what = "several threads publish at once, from the first one's begin to the last one's end",
	.setup = crowd_setup,
	.sample = crowd_sample,
	.teardown = crowd_teardown,
};

static void add_crowd(struct cells *cells, unsigned int publishers, unsigned int capacity,
		      unsigned int subscribers)
{
	const struct cell template = {
		.group = GROUP_PUBLISHERS,
		.engine = "ronbus",
		.ops = &publishers_ops,
		.features = RONBUS_FEATURES_RECOMMENDED,
		.features_name = "recommended",
		.capacity = capacity,
		.payload = 32,
		.subscribers = subscribers,
		.publishers = publishers,
		.burst = MESSAGES,
		.turns = settings.turns,
	};

	cell_add_series(cells_add(cells, &template, "publishers/pubs%u/cap%u/pay32/subs%u",
				  publishers, capacity, subscribers),
			"publish", "ns/msg");
}

void add_publishers(struct cells *cells)
{
	static const unsigned int counts[] = { 1, 2, 4 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		add_crowd(cells, counts[i], 64, 1);
		add_crowd(cells, counts[i], 64, 4);
		if (settings.quick)
			continue;
		add_crowd(cells, counts[i], 256, 1);
		add_crowd(cells, counts[i], 256, 4);
	}
}
