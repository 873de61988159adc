/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * schedule.h - coroutines of one thread, any of which may be stopped before each access
 *
 * To be included before every header with atomic accesses, for it puts access_point() in front of
 * them. Dice choose which one goes on; their seed is printed when something goes wrong. So this
 * explores what the code does, one access at a time, under sequential consistency. A test may
 * define ON_LOAD(address, value, order), ON_STORE(address) and ON_FENCE() to look at what is
 * accessed; they run together with the access.
 */
#ifndef RONBUS_SCHEDULE_H
#define RONBUS_SCHEDULE_H

#include <stdbool.h>
#include <stdlib.h>
#include <ucontext.h>

static void access_point(void);

#ifndef ON_LOAD
#define ON_LOAD(address, value, order) ((void)0)
#endif
#ifndef ON_STORE
#define ON_STORE(address) ((void)0)
#endif
#ifndef ON_FENCE
#define ON_FENCE() ((void)0)
#endif

#define __atomic_load_n(p, order)                                                   \
	__extension__({                                                             \
		__auto_type address_ = (p);                                         \
		access_point();                                                     \
		__auto_type value_ = __atomic_load_n(address_, order);              \
		ON_LOAD((const void *)address_, (unsigned long long)value_, order); \
		value_;                                                             \
	})
#define __atomic_store_n(p, v, order)                      \
	__extension__({                                    \
		__auto_type address_ = (p);                \
		__typeof__(*address_) value_ = (v);        \
		access_point();                            \
		__atomic_store_n(address_, value_, order); \
		ON_STORE((const void *)address_);          \
	})
#define __atomic_exchange_n(p, v, order)                               \
	__extension__({                                                \
		__auto_type address_ = (p);                            \
		__typeof__(*address_) value_ = (v);                    \
		access_point();                                        \
		value_ = __atomic_exchange_n(address_, value_, order); \
		ON_STORE((const void *)address_);                      \
		value_;                                                \
	})
#define __atomic_compare_exchange_n(p, old, new, weak, yes, no) \
	(access_point(), __atomic_compare_exchange_n(p, old, new, weak, yes, no))
#define __atomic_fetch_add(p, v, order) (access_point(), __atomic_fetch_add(p, v, order))
#define __atomic_fetch_or(p, v, order) (access_point(), __atomic_fetch_or(p, v, order))
#define __atomic_fetch_and(p, v, order) (access_point(), __atomic_fetch_and(p, v, order))
#define __atomic_thread_fence(order) (ON_FENCE(), __atomic_thread_fence(order))

#include "test.h"

#define STACK_SIZE (128 * 1024)

/**
 * struct coroutine - one that takes part; first in what a test has of it
 * @run: what it does
 * @done: it has
 */
struct coroutine {
	ucontext_t context;
	char *stack;
	void (*run)(struct coroutine *me);
	bool done;
};

static struct coroutine *players[80];
static unsigned int players_count;
static ucontext_t scheduler;
static struct coroutine *running;
static __u64 seed;
static unsigned int stickiness; /* accesses before another goes on, on the average */
static unsigned int accesses, look_at; /* the access after which schedule_play() returns, or 0 */

static void access_point(void)
{
	if (running && (++accesses == look_at || dice(&seed) % stickiness == 0))
		swapcontext(&running->context, &scheduler);
}

/* Let others go on: there is nothing to do but wait. */
static inline void schedule_yield(void)
{
	accesses++;
	swapcontext(&running->context, &scheduler);
}

static void schedule_enter(void)
{
	running->run(running);
	running->done = true;
	setcontext(&scheduler);
}

/* It takes part: from its beginning, also if it has begun: what it did is at an end then. */
static void schedule_start(struct coroutine *co, void (*run)(struct coroutine *me))
{
	unsigned int i;

	for (i = 0; i < players_count && players[i] != co; i++)
		;
	players[i] = co;
	if (i == players_count)
		players_count++;
	if (!co->stack)
		co->stack = malloc(STACK_SIZE);
	assert_non_null(co->stack);
	getcontext(&co->context);
	co->context.uc_stack.ss_sp = co->stack;
	co->context.uc_stack.ss_size = STACK_SIZE;
	co->context.uc_link = NULL;
	co->run = run;
	co->done = false;
	makecontext(&co->context, schedule_enter, 0);
}

/**
 * schedule_play() - play to the end, or to access @look_at
 * @most: accesses before nobody is thought to get on
 *
 * Return: 0 at the end; 1 at @look_at; -1: nobody gets on.
 */
static int schedule_play(unsigned int most)
{
	unsigned int i, left;

	for (;;) {
		for (i = 0, left = 0; i < players_count; i++)
			left += !players[i]->done;
		if (!left) {
			players_count = 0;
			return 0;
		}
		if (accesses >= most)
			return -1;
		do
			running = players[dice(&seed) % players_count];
		while (running->done);
		swapcontext(&scheduler, &running->context);
		running = NULL;
		if (look_at && accesses >= look_at) {
			look_at = 0;
			return 1;
		}
	}
}

#endif /* RONBUS_SCHEDULE_H */
