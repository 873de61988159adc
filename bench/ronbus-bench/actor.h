/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * actor.h - other members of a bus: threads of this process, or, on the device, processes
 */
#ifndef RONBUS_BENCH_ACTOR_H
#define RONBUS_BENCH_ACTOR_H

#include <libronbus.h>

#include "cell.h"

#define ACTORS_MOST 64U
#define ACTOR_BUSES 2U

struct actors;

/**
 * typedef actor_fn - what an actor does
 * @actors: the actors; @actors->buses are handles that it may use
 * @self: its number
 *
 * Calls actors_ready() when it has joined, and returns when the bus has ended.
 */
typedef void (*actor_fn)(struct actors *actors, unsigned int self);

/**
 * struct actors - some actors that do the same
 * @buses: the buses, in an actor that is a process its own handles
 * @nr_buses: how many
 * @payload: bytes of a message
 * @sleeping: sleep for messages instead of looking for them
 * @spread: over all CPUs but the first, instead of all on the second, where peers have theirs
 * @count: how many actors
 * @context: what else they want to know
 * @shared: memory that all see
 * @threads: they, if they are threads
 * @pids: they, if they are processes
 */
struct actors {
	struct ronbus *buses[ACTOR_BUSES];
	unsigned int nr_buses;
	unsigned int payload;
	bool sleeping;
	bool spread;
	unsigned int count;
	const void *context;
	struct shared *shared;
	struct handout *threads;
	pid_t pids[ACTORS_MOST];
};

/* Start them, and wait until each is ready. There must be no publisher yet. */
void actors_start(struct actors *actors, actor_fn fn);
void actors_ready(struct actors *actors, unsigned int self);
struct seat *actors_seat(const struct actors *actors, unsigned int number);

/* Wait until all have returned, and give back what they used up, all together. */
struct usage actors_join(struct actors *actors);

/* The same; @got[i] is how many messages actor i received, if it counted them. */
struct usage actors_join_each(struct actors *actors, uint64_t *got);

/**
 * struct stage - one bus, actors that subscribe to it, and its publisher: this thread
 * @actors: the subscribers
 * @pub: the publisher
 */
struct stage {
	struct actors actors;
	struct ronbus_pub *pub;
};

/**
 * stage_open() - make the bus, start the actors, publish from the first CPU
 * @stage: zeroed, but for @actors.spread and @actors.context
 * @cell: what is measured
 * @fn: what an actor does
 *
 * Return: whether that could be; if not, @cell->skipped says why.
 */
bool stage_open(struct stage *stage, struct cell *cell, actor_fn fn);

/* The publisher leaves: that is the end of the bus. What the actors have used up. */
struct usage stage_end(struct stage *stage);

/* Count what was counted, and close the bus, which has ended. */
void stage_close(struct stage *stage, struct cell *cell);

/* What this thread has used up since it began. */
struct usage usage_now(void);
struct usage usage_since(struct usage begin);

/* For a loop that looks again and again: where there is one CPU only, let another thread run. */
void relax(void);

/* The next message, sleeping or looking. Returns as ronbus_recv(), with losses passed over. */
int next_message(struct ronbus_sub *sub, bool sleeping, __u64 *buffer, size_t size);

#endif /* RONBUS_BENCH_ACTOR_H */
