// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * dispatch_test.c - one subscription, and the workers it is handed on to
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "common.h"

#include <poll.h>

#define WATCHDOG 30000000000LL /* nanoseconds */
#define CAPACITY 64U

/**
 * struct fixture - a bus, its one subscriber, and what that hands on to
 * @bus: the bus
 * @pub: its publisher
 * @sub: the subscriber
 * @dispatch: the dispatch
 */
struct fixture {
	struct ronbus *bus;
	struct ronbus_pub *pub;
	struct ronbus_sub *sub;
	struct ronbus_dispatch *dispatch;
};

static int setup(void **state)
{
	struct ronbus_options opts = { .features = RONBUS_FEATURES_RECOMMENDED,
				       .capacity = CAPACITY };
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	ok(ronbus_create(RONBUS_EMBEDDED, &opts, &f->bus));
	ok(ronbus_publisher(f->bus, 0, &f->pub));
	ok(ronbus_subscribe(f->bus, NULL, &f->sub));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	ronbus_dispatch_close(f->dispatch);
	ronbus_sub_close(f->sub);
	ronbus_pub_close(f->pub);
	ronbus_close(f->bus);
	free(f);
	return 0;
}

static void open_with(struct fixture *f, unsigned int workers, unsigned int capacity,
		      ronbus_route_fn route)
{
	struct ronbus_dispatch_options opts = { .workers = workers,
						.capacity = capacity,
						.route = route };

	ok(ronbus_dispatch_open(f->sub, &opts, &f->dispatch));
}

static void put(struct fixture *f, __u64 from, __u64 to)
{
	for (; from < to; from++)
		assert_int_equal(ronbus_publish(f->pub, from % 64, &from, sizeof(from)), 1);
}

static struct ronbus_worker *worker(struct fixture *f, unsigned int number)
{
	struct ronbus_worker *found = ronbus_dispatch_worker(f->dispatch, number);

	assert_non_null(found);
	return found;
}

static int take(struct fixture *f, unsigned int number, __u64 *value, struct ronbus_msg *msg)
{
	return ronbus_worker_recv(worker(f, number), value, sizeof(*value), msg, 0);
}

/* The next thing that a worker gets is this message, as it stood on the bus. */
static void expect(struct fixture *f, unsigned int number, __u64 value)
{
	struct ronbus_msg msg = { 0 };
	__u64 got = ~value;

	assert_int_equal(take(f, number, &got, &msg), RONBUS_MESSAGE);
	assert_int_equal(got, value);
	assert_int_equal(msg.position, CAPACITY + value);
	assert_int_equal(msg.topic, value % 64);
	assert_int_equal(msg.len, sizeof(value));
	assert_int_equal(msg.lost, 0);
	assert_int_equal(msg.publisher, f->pub->id);
}

static void expect_nothing(struct fixture *f, unsigned int number, int what)
{
	struct ronbus_msg msg;
	__u64 got;

	assert_int_equal(take(f, number, &got, &msg), what);
}

/* ---- handing on ----------------------------------------------------------------------- */

static void options(void **state)
{
	struct fixture *f = *state;
	struct ronbus_dispatch_options opts = { .workers = 0 };

	assert_int_equal(ronbus_dispatch_open(f->sub, &opts, &f->dispatch), -EINVAL);
	opts.workers = 65;
	assert_int_equal(ronbus_dispatch_open(f->sub, &opts, &f->dispatch), -EINVAL);
	opts.workers = 1;
	opts.capacity = 3;
	assert_int_equal(ronbus_dispatch_open(f->sub, &opts, &f->dispatch), -EINVAL);
	opts.capacity = 24;
	assert_int_equal(ronbus_dispatch_open(f->sub, &opts, &f->dispatch), -EINVAL);
	opts.capacity = RONBUS_CAPACITY_MAX;
	assert_int_equal(ronbus_dispatch_open(f->sub, &opts, &f->dispatch), -EINVAL);
	opts.capacity = 0;
	opts.reserved[3] = 1;
	assert_int_equal(ronbus_dispatch_open(f->sub, &opts, &f->dispatch), -EINVAL);
	opts.reserved[3] = 0;
	opts.workers = 64;
	ok(ronbus_dispatch_open(f->sub, &opts, &f->dispatch));
	assert_non_null(ronbus_dispatch_worker(f->dispatch, 63));
	assert_null(ronbus_dispatch_worker(f->dispatch, 64));
	ronbus_dispatch_close(NULL);
}

static void to_all(void **state)
{
	struct fixture *f = *state;
	struct ronbus_stats stats;
	unsigned int number;
	__u64 value;

	open_with(f, 3, 0, NULL);
	ok(ronbus_stats(f->bus, RONBUS_STATS_BUS, &stats));
	assert_int_equal(stats.subscribers, 1); /* for the bus there is one */
	assert_int_equal(ronbus_dispatch_run(f->dispatch, 0), -EAGAIN);
	put(f, 0, 20);
	assert_int_equal(ronbus_dispatch_run(f->dispatch, 0), 20);
	for (number = 0; number < 3; number++) {
		for (value = 0; value < 20; value++)
			expect(f, number, value);
		expect_nothing(f, number, -EAGAIN);
	}
}

static __u64 by_topic(void *arg, const struct ronbus_msg *msg)
{
	(void)arg;
	/* One of three; of every fourth message nobody; and bits of workers that are not there. */
	return msg->topic % 4 == 3 ? 0xffULL << 56 : 1ULL << msg->topic % 4;
}

static void routed(void **state)
{
	struct fixture *f = *state;
	unsigned int number;
	__u64 value;

	open_with(f, 3, 0, by_topic);
	put(f, 0, 40);
	assert_int_equal(ronbus_dispatch_run(f->dispatch, 0), 40);
	for (number = 0; number < 3; number++) {
		for (value = number; value < 40; value += 4)
			expect(f, number, value);
		expect_nothing(f, number, -EAGAIN);
	}
}

/* At most a batch at a time, so that no worker waits for the rest. */
static void batches(void **state)
{
	struct fixture *f = *state;
	__u64 value;

	open_with(f, 1, 16, NULL);
	put(f, 0, 20);
	assert_int_equal(ronbus_dispatch_run(f->dispatch, 0), 8);
	for (value = 0; value < 8; value++)
		expect(f, 0, value);
	expect_nothing(f, 0, -EAGAIN);
	assert_int_equal(ronbus_dispatch_run(f->dispatch, 0), 8);
	assert_int_equal(ronbus_dispatch_run(f->dispatch, 0), 4);
	for (; value < 20; value++)
		expect(f, 0, value);
}

static void too_long(void **state)
{
	struct fixture *f = *state;
	struct ronbus_msg msg;
	__u64 value;
	__u32 half;

	open_with(f, 1, 0, NULL);
	put(f, 0, 1);
	assert_int_equal(ronbus_dispatch_run(f->dispatch, 0), 1);
	assert_int_equal(ronbus_worker_recv(worker(f, 0), &half, sizeof(half), &msg, 0), -EMSGSIZE);
	assert_int_equal(msg.len, sizeof(value));
	expect(f, 0, 0);
}

/* ---- losses --------------------------------------------------------------------------- */

/* What the subscription lost is told to every worker, in its place. */
static void lost_on_the_bus(void **state)
{
	struct fixture *f = *state;
	struct ronbus_msg msg;
	unsigned int number;
	__u64 value, got;

	open_with(f, 2, 0, by_topic);
	put(f, 0, CAPACITY + 10);
	assert_int_equal(ronbus_dispatch_run(f->dispatch, 0), 64);
	assert_int_equal(ronbus_dispatch_run(f->dispatch, 0), 1);
	for (number = 0; number < 2; number++) {
		assert_int_equal(take(f, number, &got, &msg), RONBUS_LAGGED);
		assert_int_equal(msg.lost, 10);
		assert_int_equal(msg.position, CAPACITY + 10);
		assert_null(msg.data);
		for (value = 12 + number; value < CAPACITY + 10; value += 4)
			expect(f, number, value);
		expect_nothing(f, number, -EAGAIN);
	}
}

/* A worker that sleeps through a lap of its queue loses, exactly; the other one nothing. */
static void lost_in_the_queue(void **state)
{
	struct fixture *f = *state;
	struct ronbus_stats stats = { 0 };
	struct ronbus_msg msg;
	__u64 value = 0, got;

	open_with(f, 2, 16, NULL);
	put(f, 0, 1);
	assert_int_equal(ronbus_dispatch_run(f->dispatch, 0), 1);
	expect(f, 0, 0);
	expect(f, 1, 0);
	for (value = 1; value < 41; value += 8) {
		__u64 next = value;

		put(f, value, value + 8);
		assert_int_equal(ronbus_dispatch_run(f->dispatch, 0), 8);
		while (next < value + 8)
			expect(f, 1, next++);
	}
	assert_int_equal(take(f, 0, &got, &msg), RONBUS_LAGGED);
	assert_int_equal(msg.lost, 40 - 16);
	assert_int_equal(msg.position, CAPACITY + 1); /* after the last one it got */
	for (value = 25; value < 41; value++)
		expect(f, 0, value);

	ok(ronbus_worker_stats(worker(f, 0), &stats));
	assert_int_equal(stats.counters.delivered_total, 17);
	assert_int_equal(stats.counters.overflow_dropped_total, 24);
	assert_int_equal(stats.counters.receiver_lag_total, 1);
	ok(ronbus_worker_stats(worker(f, 1), &stats));
	assert_int_equal(stats.counters.delivered_total, 41);
	assert_int_equal(stats.counters.overflow_dropped_total, 0);
}

/* ---- waking --------------------------------------------------------------------------- */

/* One wake-up a round and worker, however many messages; none for one that does not sleep. */
static void one_wake(void **state)
{
	struct fixture *f = *state;
	struct ronbus_stats stats = { 0 };
	struct pollfd pollfd;

	open_with(f, 2, 0, NULL);
	pollfd = (struct pollfd){ .fd = ronbus_worker_fd(worker(f, 0)), .events = POLLIN };
	assert_true(pollfd.fd >= 0);
	ok(ronbus_worker_arm(worker(f, 0)));
	ok(poll(&pollfd, 1, 0));
	put(f, 0, 50);
	assert_int_equal(ronbus_dispatch_run(f->dispatch, 0), 50);
	assert_int_equal(poll(&pollfd, 1, 0), 1);
	assert_int_equal(ronbus_worker_arm(worker(f, 0)), 1);
	ok(ronbus_worker_stats(worker(f, 0), &stats));
	assert_int_equal(stats.counters.notify_sends_total, 1);
	ok(ronbus_worker_stats(worker(f, 1), &stats));
	assert_int_equal(stats.counters.notify_sends_total, 0);
}

/* ---- the end -------------------------------------------------------------------------- */

static void end_of_bus(void **state)
{
	struct fixture *f = *state;

	open_with(f, 2, 0, NULL);
	put(f, 0, 2);
	ronbus_pub_close(f->pub);
	f->pub = NULL;
	assert_int_equal(ronbus_dispatch_run(f->dispatch, -1), 2);
	assert_int_equal(ronbus_dispatch_run(f->dispatch, -1), RONBUS_CLOSED);
	assert_int_equal(ronbus_dispatch_run(f->dispatch, -1), RONBUS_CLOSED);
	expect_nothing(f, 0, RONBUS_MESSAGE);
	expect_nothing(f, 0, RONBUS_MESSAGE);
	expect_nothing(f, 0, RONBUS_CLOSED);
	expect_nothing(f, 0, RONBUS_CLOSED);
}

static void stopped(void **state)
{
	struct fixture *f = *state;

	open_with(f, 1, 0, NULL);
	put(f, 0, 3);
	assert_int_equal(ronbus_dispatch_run(f->dispatch, 0), 3);
	put(f, 3, 6);
	ronbus_dispatch_stop(f->dispatch);
	assert_int_equal(ronbus_dispatch_run(f->dispatch, -1), RONBUS_CLOSED);
	expect(f, 0, 0);
	expect(f, 0, 1);
	expect(f, 0, 2);
	expect_nothing(f, 0, RONBUS_CLOSED);
	/* The subscription is its owner's again. */
	assert_int_equal(ronbus_sub_position(f->sub), CAPACITY + 3);
}

static void drained(void **state)
{
	struct fixture *f = *state;
	__u64 value;

	open_with(f, 1, 0, NULL);
	put(f, 0, 30);
	ronbus_dispatch_drain(f->dispatch);
	put(f, 30, 40); /* too late */
	assert_int_equal(ronbus_dispatch_run(f->dispatch, -1), 30);
	assert_int_equal(ronbus_dispatch_run(f->dispatch, -1), RONBUS_CLOSED);
	for (value = 0; value < 30; value++)
		expect(f, 0, value);
	expect_nothing(f, 0, RONBUS_CLOSED);
}

/* Somebody stopped in the middle of a message: a drain does not wait for it. */
static void drained_before_a_stall(void **state)
{
	struct fixture *f = *state;
	struct ronbus_claim claim = { 0 };

	open_with(f, 1, 0, NULL);
	put(f, 0, 2);
	claim.pos = ronbus_ring_hint(&f->pub->ring);
	ok(ronbus_ring_claim(&f->pub->ring, &claim, f->pub->id, 1));
	ronbus_dispatch_drain(f->dispatch);
	assert_int_equal(ronbus_dispatch_run(f->dispatch, -1), 2);
	assert_int_equal(ronbus_dispatch_run(f->dispatch, -1), RONBUS_CLOSED);
}

/* ---- threads -------------------------------------------------------------------------- */

static void wait_until_armed(struct ronbus *bus)
{
	struct timespec pause = { .tv_nsec = 1000000 };
	struct ronbus_stats stats = { 0 };

	do {
		nanosleep(&pause, NULL);
		ok(ronbus_stats(bus, RONBUS_STATS_BUS, &stats));
	} while (!stats.armed);
}

static void started(void **state)
{
	struct fixture *f = *state;
	struct ronbus_msg msg;
	__u64 value, got;

	open_with(f, 1, 0, NULL);
	ok(ronbus_dispatch_start(f->dispatch));
	assert_int_equal(ronbus_dispatch_start(f->dispatch), -EBUSY);
	for (value = 0; value < 5; value++) {
		wait_until_armed(f->bus); /* it sleeps, and is woken */
		put(f, value, value + 1);
		assert_int_equal(ronbus_worker_recv(worker(f, 0), &got, sizeof(got), &msg,
						    WATCHDOG),
				 RONBUS_MESSAGE);
		assert_int_equal(got, value);
	}
	wait_until_armed(f->bus);
	ronbus_dispatch_stop(f->dispatch);
	assert_int_equal(ronbus_worker_recv(worker(f, 0), &got, sizeof(got), &msg, WATCHDOG),
			 RONBUS_CLOSED);
}

static void closed_while_it_runs(void **state)
{
	struct fixture *f = *state;

	open_with(f, 2, 0, NULL);
	ok(ronbus_dispatch_start(f->dispatch));
	put(f, 0, 10);
	ronbus_dispatch_close(f->dispatch);
	f->dispatch = NULL;
}

#define WORKERS 4U
#define PUBLISHERS 2U
#define MESSAGES 30000U

struct tally {
	struct ronbus_worker *worker;
	__u64 messages;
	__u64 lost;
	__u64 last[PUBLISHERS];
	bool backwards;
};

static int count(void *arg, int what, const struct ronbus_msg *msg)
{
	struct tally *tally = arg;
	__u64 value;

	if (what == RONBUS_LAGGED) {
		tally->lost += msg->lost;
		return 0;
	}
	memcpy(&value, msg->data, sizeof(value));
	tally->messages++;
	tally->backwards |= value <= tally->last[msg->topic];
	tally->last[msg->topic] = value;
	return 0;
}

static void *work(void *arg)
{
	struct tally *tally = arg;
	int ret;

	do {
		ret = ronbus_worker_drain(tally->worker, count, tally, 100, WATCHDOG);
	} while (ret > 0);
	return (void *)(intptr_t)ret;
}

struct author {
	struct ronbus *bus;
	unsigned int topic;
};

static void *publish(void *arg)
{
	const struct author *author = arg;
	struct ronbus_pub *pub;
	__u64 value;

	if (ronbus_publisher(author->bus, 0, &pub))
		return (void *)1;
	for (value = 1; value <= MESSAGES; value++)
		while (ronbus_publish(pub, author->topic, &value, sizeof(value)) < 0)
			;
	ronbus_pub_close(pub);
	return NULL;
}

/* Every message is read or reported as lost, by every worker, in order; and the end is seen. */
static void accounted(void **state)
{
	struct fixture *f = *state;
	struct tally tallies[WORKERS] = { 0 };
	struct author authors[PUBLISHERS];
	pthread_t workers[WORKERS], publishers[PUBLISHERS];
	struct ronbus_stats stats = { 0 };
	unsigned int i;
	void *result;

	open_with(f, WORKERS, 16, NULL);
	for (i = 0; i < WORKERS; i++) {
		tallies[i].worker = worker(f, i);
		ok(pthread_create(&workers[i], NULL, work, &tallies[i]));
	}
	ok(ronbus_dispatch_start(f->dispatch));
	for (i = 0; i < PUBLISHERS; i++) {
		authors[i] = (struct author){ f->bus, i };
		ok(pthread_create(&publishers[i], NULL, publish, &authors[i]));
	}
	for (i = 0; i < PUBLISHERS; i++) {
		ok(pthread_join(publishers[i], &result));
		assert_null(result);
	}
	ronbus_pub_close(f->pub);
	f->pub = NULL; /* the last one: the bus ends */

	for (i = 0; i < WORKERS; i++) {
		ok(pthread_join(workers[i], &result));
		assert_int_equal((intptr_t)result, RONBUS_CLOSED);
		assert_false(tallies[i].backwards);
	}
	ronbus_dispatch_stop(f->dispatch);
	ok(ronbus_stats(f->bus, ronbus_sub_index(f->sub), &stats));
	for (i = 0; i < WORKERS; i++) {
		struct ronbus_stats own = { 0 };
		__u64 words; /* of losses of the subscription, which may be lost themselves */

		ok(ronbus_worker_stats(tallies[i].worker, &own));
		words = stats.counters.receiver_lag_total;
		assert_int_equal(own.counters.delivered_total + own.counters.overflow_dropped_total,
				 stats.counters.delivered_total + words);
		assert_true(tallies[i].messages <= stats.counters.delivered_total);
	}
	assert_int_equal(stats.counters.delivered_total + stats.counters.overflow_dropped_total +
				 stats.counters.holes_total,
			 stats.cursor - stats.start);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(options, setup, teardown),
		cmocka_unit_test_setup_teardown(to_all, setup, teardown),
		cmocka_unit_test_setup_teardown(routed, setup, teardown),
		cmocka_unit_test_setup_teardown(batches, setup, teardown),
		cmocka_unit_test_setup_teardown(too_long, setup, teardown),
		cmocka_unit_test_setup_teardown(lost_on_the_bus, setup, teardown),
		cmocka_unit_test_setup_teardown(lost_in_the_queue, setup, teardown),
		cmocka_unit_test_setup_teardown(one_wake, setup, teardown),
		cmocka_unit_test_setup_teardown(end_of_bus, setup, teardown),
		cmocka_unit_test_setup_teardown(stopped, setup, teardown),
		cmocka_unit_test_setup_teardown(drained, setup, teardown),
		cmocka_unit_test_setup_teardown(drained_before_a_stall, setup, teardown),
		cmocka_unit_test_setup_teardown(started, setup, teardown),
		cmocka_unit_test_setup_teardown(closed_while_it_runs, setup, teardown),
		cmocka_unit_test_setup_teardown(accounted, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
