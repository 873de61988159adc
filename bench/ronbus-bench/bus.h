/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * bus.h - a bus for a cell, and the loops that are timed
 */
#ifndef RONBUS_BENCH_BUS_H
#define RONBUS_BENCH_BUS_H

#include "cell.h"

/**
 * struct message - room for a message
 * @words: its number first
 *
 * On cache lines of its own, as in programs that care: a stack begins at any multiple of 16, another
 * one in each process, and a copy of 4096 bytes to where a line does not begin takes a quarter longer.
 */
struct message {
	__u64 words[RONBUS_PAYLOAD_MAX / sizeof(__u64)];
} __attribute__((aligned(RONBUS_CACHE_LINE)));

/**
 * struct bus - a bus with a publisher and subscribers, all in this thread
 * @bus: the bus
 * @pub: its publisher, or NULL
 * @subs: its subscribers
 * @nr_subs: how many
 * @vec: a batch, all of it the same message
 * @message: the message
 */
struct bus {
	struct ronbus *bus;
	struct ronbus_pub *pub;
	struct ronbus_sub *subs[RONBUS_SUBSCRIBERS_MAX];
	unsigned int nr_subs;
	struct iovec *vec;
	struct message message;
};

/* Make a bus as @cell says, without publishers; NULL, and why in @cell->skipped. */
struct ronbus *bus_create(struct cell *cell);

/* A bus, a publisher and the subscribers; NULL, and why in @cell->skipped. */
struct bus *bus_open(struct cell *cell);

/* Close everything, and add the counters to those of @cell. */
void bus_close(struct cell *cell, struct bus *bus);

/* Of message @number: mixed, but the same ones each time; 0 if there are no topics. */
unsigned int bus_topic(const struct cell *cell, unsigned int number);

/* Which topics subscriber @index wants: as many as @cell says, each one others. */
__u64 bus_topics(const struct cell *cell, unsigned int index);

/* Subscriber @index: to all, or with RONBUS_F_INTEREST to what it wants. */
struct ronbus_sub *bus_subscribe(const struct cell *cell, struct ronbus *bus, unsigned int index);

/* What a function of the library returned; says why and ends the program if it is an error. */
int must(int ret, const char *what);

/* Add the counters of @bus, whose publishers have left, to those of @cell. */
void bus_count(struct cell *cell, struct ronbus *bus);

/**
 * bus_publish() - publish a burst, in the way the cell says
 * @cell: the cell
 * @pub: a publisher
 * @vec: with OP_MANY, as many as a batch has
 * @message: the message
 */
void bus_publish(const struct cell *cell, struct ronbus_pub *pub, const struct iovec *vec,
		 const __u64 *message);

/* Receive all there is; returns how many messages. */
unsigned int bus_drain(const struct cell *cell, struct ronbus_sub *sub);

#endif /* RONBUS_BENCH_BUS_H */
