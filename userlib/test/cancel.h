/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * cancel.h - threads that are cancelled, with pthread_cancel(), in the library
 *
 * A thread ends where it sleeps for messages, and what it used is as if it had returned: another
 * thread can go on with it. Elsewhere in the library it does not end, least of all with a lock.
 *
 * For unit tests and selftests alike, so it prints nothing and returns what is wrong.
 */
#ifndef RONBUS_THREAD_CANCEL_H
#define RONBUS_THREAD_CANCEL_H

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <libronbus.h>

#define THREAD_CANCEL_ROUNDS 100U

struct thread_cancel {
	struct ronbus *bus, *echo_bus;
	struct ronbus_pub *pub, *echo;
	struct ronbus_sub *sub;
	bool stays_armed; /* as after any wait that found nothing: the kernel leaves the bit to the next one */
	int way;
	__u64 received; /* by the thread, whenever it ends */
	char *wrong;
	size_t size;
};

#define CANCEL_EXPECT(c, is, expected) \
	cancel_expect(c, #is, __LINE__, (long long)(is), (long long)(expected))

static bool cancel_expect(struct thread_cancel *c, const char *what, int line, long long is,
			  long long expected)
{
	if (is != expected && !*c->wrong)
		snprintf(c->wrong, c->size, "line %d: %s: %lld, not %lld", line, what, is,
			 expected);
	return is == expected;
}

static bool cancel_armed(struct thread_cancel *c)
{
	struct ronbus_stats stats;

	return !ronbus_stats(c->bus, ronbus_sub_index(c->sub), &stats) && stats.armed;
}

static __u64 cancel_published(struct ronbus *bus)
{
	struct ronbus_stats s;

	if (ronbus_stats(bus, RONBUS_STATS_BUS, &s))
		return ~0ULL;
	return s.counters.published_total + s.counters.no_receivers_total;
}

static int cancel_count(void *arg, int what, const struct ronbus_msg *msg)
{
	struct thread_cancel *c = arg;

	(void)msg;
	c->received += what == RONBUS_MESSAGE;
	return 0;
}

/* Receives, and passes on what it got, until it is cancelled. */
static void *cancel_reader(void *arg)
{
	struct thread_cancel *c = arg;
	struct ronbus_msg msg;
	__u64 data, before;
	int ret = 0;

	do {
		before = c->received;
		if (c->way == 0) {
			ret = ronbus_recv(c->sub, &data, sizeof(data), &msg, -1);
			c->received += ret == RONBUS_MESSAGE;
		} else if (c->way == 1) {
			ret = ronbus_wait(c->sub, 1000000000000LL);
			while (ronbus_try_recv(c->sub, &data, sizeof(data), &msg) > 0)
				c->received++;
		} else {
			ret = ronbus_drain(c->sub, cancel_count, c, 8, -1);
		}
		for (; before < c->received; before++)
			ronbus_publish(c->echo, 0, "", 0);
	} while (ret >= 0);
	return NULL;
}

static void cancel_thread(struct thread_cancel *c, pthread_t thread)
{
	void *ret = NULL;

	CANCEL_EXPECT(c, pthread_cancel(thread), 0);
	CANCEL_EXPECT(c, pthread_join(thread, &ret), 0);
	CANCEL_EXPECT(c, ret == PTHREAD_CANCELED, true);
}

/* Nothing is left of the thread that slept, and the next one is woken. */
static void cancel_asleep(struct thread_cancel *c)
{
	struct ronbus_msg msg;
	pthread_t thread;
	__u64 data;

	for (c->way = 0; c->way < 3; c->way++) {
		if (!CANCEL_EXPECT(c, pthread_create(&thread, NULL, cancel_reader, c), 0))
			return;
		while (!cancel_armed(c))
			sched_yield();
		cancel_thread(c, thread);
		CANCEL_EXPECT(c, cancel_armed(c), c->stays_armed);
		CANCEL_EXPECT(c, ronbus_wait(c->sub, 0), -ETIMEDOUT);
		CANCEL_EXPECT(c, ronbus_arm(c->sub), 0);
		CANCEL_EXPECT(c, cancel_armed(c), true);
		CANCEL_EXPECT(c, ronbus_publish(c->pub, 0, "", 0), 1);
		CANCEL_EXPECT(c, cancel_armed(c), false);
		CANCEL_EXPECT(c, ronbus_recv(c->sub, &data, 8, &msg, -1), RONBUS_MESSAGE);
	}
	CANCEL_EXPECT(c, c->received, 0);
}

/* Whenever it comes: what was received has been counted by whoever received it, and nothing twice. */
static void cancel_at_any_time(struct thread_cancel *c)
{
	struct ronbus_msg msg;
	__u64 data, sent = 0;
	pthread_t thread;

	for (unsigned int round = 0; round < THREAD_CANCEL_ROUNDS; round++) {
		c->way = (int)round % 3;
		if (!CANCEL_EXPECT(c, pthread_create(&thread, NULL, cancel_reader, c), 0))
			return;
		for (unsigned int i = 0; i < round % 7; i++) {
			sent += ronbus_publish(c->pub, 0, &sent, sizeof(sent)) == 1;
			for (unsigned int k = 0; k < round % 5; k++)
				sched_yield();
		}
		cancel_thread(c, thread);
		CANCEL_EXPECT(c, cancel_armed(c) && !c->stays_armed, false);
		CANCEL_EXPECT(c, cancel_published(c->echo_bus), c->received);
	}
	while (ronbus_try_recv(c->sub, &data, sizeof(data), &msg) > 0)
		c->received++;
	CANCEL_EXPECT(c, c->received, sent);
}

static void *cancel_publisher(void *arg)
{
	struct thread_cancel *c = arg;

	for (;;) {
		ronbus_publish(c->pub, 0, "", 0);
		pthread_testcancel();
	}
	return NULL;
}

/* One that publishes wakes somebody, or has a lock, as often as not. */
static void cancel_waker(struct thread_cancel *c)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	struct ronbus_msg msg;
	pthread_t thread;
	__u64 data;

	CANCEL_EXPECT(c, ronbus_sub_set_eventfd(c->sub, fd), 0);
	for (unsigned int round = 0; round < THREAD_CANCEL_ROUNDS; round++) {
		if (!CANCEL_EXPECT(c, pthread_create(&thread, NULL, cancel_publisher, c), 0))
			break;
		for (unsigned int i = 0; i < 10 + round; i++) {
			while (ronbus_try_recv(c->sub, &data, sizeof(data), &msg) > 0)
				;
			ronbus_arm(c->sub);
			CANCEL_EXPECT(c, read(fd, &data, sizeof(data)) <= 8, true);
		}
		cancel_thread(c, thread);
		/* This takes the locks. */
		CANCEL_EXPECT(c, cancel_published(c->bus) != ~0ULL, true);
	}
	CANCEL_EXPECT(c, ronbus_sub_set_eventfd(c->sub, -1), 0);
	close(fd);
}

static void *cancel_waits(void *arg)
{
	struct thread_cancel *c = arg;

	__atomic_store_n(&c->received, 1, __ATOMIC_RELEASE); /* it has begun */
	while (ronbus_pub_wait(c->echo, -1) == -EINTR)
		;
	return NULL;
}

/* A publisher that waits for its first subscriber. */
static void cancel_waiting(struct thread_cancel *c)
{
	struct ronbus_sub *sub = NULL;
	pthread_t thread;

	if (!CANCEL_EXPECT(c, pthread_create(&thread, NULL, cancel_waits, c), 0))
		return;
	while (!__atomic_load_n(&c->received, __ATOMIC_ACQUIRE))
		sched_yield();
	cancel_thread(c, thread);
	CANCEL_EXPECT(c, ronbus_pub_wait(c->echo, 0), -ETIMEDOUT);
	CANCEL_EXPECT(c, ronbus_subscribe(c->echo_bus, NULL, &sub), 0);
	CANCEL_EXPECT(c, ronbus_pub_wait(c->echo, -1), 0);
	ronbus_sub_close(sub);
}

static const struct {
	const char *name;
	void (*run)(struct thread_cancel *c);
} thread_cancel_cases[] = {
	{ "asleep", cancel_asleep },
	{ "at any time", cancel_at_any_time },
	{ "waker", cancel_waker },
	{ "waiting for a subscriber", cancel_waiting },
};

#define THREAD_CANCEL_CASES (sizeof(thread_cancel_cases) / sizeof(thread_cancel_cases[0]))

/* One of them. Returns whether all is right; if not, @wrong says what is. */
static bool thread_cancel_case(const char *where, __u64 features, unsigned int i, char *wrong,
			       size_t size)
{
	const struct ronbus_options options = { .features = features, .capacity = 1024 };
	struct thread_cancel c = { .stays_armed = strcmp(where, RONBUS_EMBEDDED),
				   .wrong = wrong,
				   .size = size };

	*wrong = '\0';
	if (CANCEL_EXPECT(&c, ronbus_create(where, &options, &c.bus), 0) &&
	    CANCEL_EXPECT(&c, ronbus_create(where, &options, &c.echo_bus), 0) &&
	    CANCEL_EXPECT(&c, ronbus_publisher(c.bus, 0, &c.pub), 0) &&
	    CANCEL_EXPECT(&c, ronbus_publisher(c.echo_bus, 0, &c.echo), 0) &&
	    CANCEL_EXPECT(&c, ronbus_subscribe(c.bus, NULL, &c.sub), 0))
		thread_cancel_cases[i].run(&c);
	ronbus_sub_close(c.sub);
	ronbus_pub_close(c.echo);
	ronbus_pub_close(c.pub);
	ronbus_close(c.echo_bus);
	ronbus_close(c.bus);
	return !*wrong;
}

#endif /* RONBUS_THREAD_CANCEL_H */
