// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * handler_test.c - publishing and receiving in a signal handler
 *
 * A timer interrupts threads every 100 us, wherever they are in publishing, counting, flushing, waking
 * and being woken, and the handler publishes: on the handle that was interrupted, and on others, whose
 * counts fall on the same entries of the thread. Nothing stands still, and every message is counted.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "common.h"

#include <sched.h>
#include <signal.h>
#include <sys/time.h>

#define HANDLES (RONBUS_THREAD_ENTRIES + 1) /* of which two share an entry */
#define SIGNALS 3000U
#define SLEEPERS 2U

static struct {
	struct ronbus *bus[HANDLES];
	struct ronbus_pub *pub[HANDLES];
	__u64 accepted[HANDLES]; /* by all that publish */
	unsigned int signals, received;
	struct ronbus_sub *mine; /* the handler's own subscriber */
	pthread_t main;
	bool stop;
} shared;

static void publish(unsigned int i)
{
	__u64 data = i;
	struct iovec vec[3] = { { &data, 8 }, { &data, 8 }, { &data, 8 } };
	int ret;

	/* Also what nobody is there for is accepted, and counted. */
	if (i % 3)
		ret = ronbus_publish(shared.pub[i], i, &data, sizeof(data)) >= 0;
	else
		ret = ronbus_publish_many(shared.pub[i], i, vec, 3);
	if (ret > 0)
		__atomic_fetch_add(&shared.accepted[i], (__u64)ret, __ATOMIC_RELAXED);
}

static void handler(int sig)
{
	static __thread unsigned int next;
	struct ronbus_msg msg;
	int saved = errno;
	__u64 data;

	(void)sig;
	errno = 12345;
	publish(next++ % HANDLES);
	publish(next++ % HANDLES);
	if (errno != 12345) /* it publishes through a mapping, and wakes; neither is to be seen */
		abort();
	errno = saved;
	while (pthread_self() == shared.main &&
	       ronbus_try_recv(shared.mine, &data, sizeof(data), &msg) > 0)
		shared.received++;
	__atomic_fetch_add(&shared.signals, 1, __ATOMIC_SEQ_CST);
}

static void *sleeper_main(void *arg)
{
	struct ronbus_sub *sub = arg;
	struct ronbus_msg msg;
	__u64 data;
	int ret;

	do {
		ret = ronbus_recv(sub, &data, sizeof(data), &msg, -1);
	} while (ret > 0 || ret == -EINTR);
	return ret == -ECANCELED ? NULL : sub;
}

/* What else holds the lock of a bus: members that come and go. */
static void *guest_main(void *arg)
{
	struct ronbus_stats stats;
	struct ronbus_sub *sub;

	(void)arg;
	while (!__atomic_load_n(&shared.stop, __ATOMIC_SEQ_CST)) {
		ok(ronbus_subscribe(shared.bus[0], NULL, &sub));
		ok(ronbus_stats(shared.bus[0], RONBUS_STATS_BUS, &stats));
		ronbus_sub_close(sub);
	}
	return NULL;
}

/* Before the publishers are closed that a handler in this thread may still be using. */
static void end_sleeper(pthread_t thread, struct ronbus_sub *sub)
{
	void *wrong;

	do {
		ok(ronbus_cancel(sub));
		sched_yield();
	} while (pthread_tryjoin_np(thread, &wrong) == EBUSY);
	assert_null(wrong);
	ronbus_sub_close(sub);
}

static void tick(bool on)
{
	struct itimerval every = { .it_interval.tv_usec = on ? 100 : 0,
				   .it_value.tv_usec = on ? 100 : 0 };

	ok(setitimer(ITIMER_REAL, &every, NULL));
}

static void run(__u64 features)
{
	struct sigaction action = { .sa_handler = handler }, old;
	pthread_t sleepers[SLEEPERS], guest;
	struct ronbus_sub *subs[SLEEPERS];
	struct ronbus_stats stats;
	unsigned int i;

	memset(&shared, 0, sizeof(shared));
	for (i = 0; i < HANDLES; i++) {
		struct ronbus_options opts = { .features = features, .capacity = 64 };

		ok(ronbus_create(RONBUS_EMBEDDED, &opts, &shared.bus[i]));
		ok(ronbus_publisher(shared.bus[i], 0, &shared.pub[i]));
		if (i)
			continue;
		/* On the first one somebody sleeps. */
		for (unsigned int k = 0; k < SLEEPERS; k++) {
			ok(ronbus_subscribe(shared.bus[0], NULL, &subs[k]));
			ok(pthread_create(&sleepers[k], NULL, sleeper_main, subs[k]));
		}
	}
	ok(ronbus_subscribe(shared.bus[1], NULL, &shared.mine));
	shared.main = pthread_self();
	ok(pthread_create(&guest, NULL, guest_main, NULL));
	ok(sigaction(SIGALRM, &action, &old));
	tick(true);
	while (__atomic_load_n(&shared.signals, __ATOMIC_SEQ_CST) < SIGNALS) {
		for (i = 0; i < HANDLES; i++)
			publish(i);
		/* Members also come and go in the thread that is interrupted. */
		ok(ronbus_stats(shared.bus[0], RONBUS_STATS_BUS, &stats));
	}
	tick(false);
	ok(sigaction(SIGALRM, &old, NULL));
	__atomic_store_n(&shared.stop, true, __ATOMIC_SEQ_CST);
	ok(pthread_join(guest, NULL));
	for (i = 0; i < SLEEPERS; i++)
		end_sleeper(sleepers[i], subs[i]);
	for (i = 0; i < HANDLES; i++) {
		ronbus_pub_close(shared.pub[i]);
		ok(ronbus_stats(shared.bus[i], RONBUS_STATS_BUS, &stats));
		assert_int_equal(stats.counters.published_total + stats.counters.no_receivers_total,
				 shared.accepted[i]);
	}
	assert_true(shared.received > 0);
	ronbus_sub_close(shared.mine);
	for (i = 0; i < HANDLES; i++)
		ronbus_close(shared.bus[i]);
}

static void test_handler(void **state)
{
	const __u64 edge = RONBUS_F_EDGE_NOTIFY | RONBUS_F_BATCH;

	(void)state;
	run(edge);
	run(edge | RONBUS_F_METRICS_BUF);
	run(RONBUS_F_METRICS_BUF);
	run(edge | RONBUS_F_METRICS_BUF | RONBUS_F_SOA | RONBUS_F_INTEREST);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handler),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
