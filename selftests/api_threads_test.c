// SPDX-License-Identifier: GPL-2.0
/*
 * The library on both transports: threads, signal handlers, threads that are cancelled, and forks.
 */
#include <pthread.h>
#include <signal.h>

#include "../userlib/test/cancel.h"
#include "api.h"

/* ---- threads ---------------------------------------------------------------------------- */

#define THREADS 3
#define EACH 300

struct worker {
	struct ronbus_pub *pub;
	u64 number;
	int bad;
	pthread_t thread;
};

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	u64 i;

	for (i = 0; i < EACH; i++) {
		if (send_number(w->pub, 0, w->number << 32 | i) != 1)
			w->bad++;
		if (i % 32 == w->number)
			nap();
	}
	return NULL;
}

/* The subscription of a dispatch is asleep in the transport, and is woken and ended by it. */
TEST_F(api, dispatch)
{
	struct ronbus_dispatch_options opts = { .workers = 2 };
	struct ronbus_dispatch *dispatch;
	struct ronbus_worker *workers[2];
	struct ronbus_msg msg;
	char buf[LEN];
	unsigned int i;
	u64 n;

	ASSERT_EQ(0, ronbus_dispatch_open(self->sub, &opts, &dispatch));
	for (i = 0; i < 2; i++) {
		workers[i] = ronbus_dispatch_worker(dispatch, i);
	}
	ASSERT_EQ(0, ronbus_dispatch_start(dispatch));
	for (n = 1; n <= 3 * SLOTS; n++) {
		if (n % SLOTS == 1)
			ASSERT_TRUE(wait_until(armed(self->bus, 0)));
		ASSERT_EQ(1, send_number(self->pub, 7, n));
		for (i = 0; i < 2; i++) {
			ASSERT_EQ(RONBUS_MESSAGE,
				  ronbus_worker_recv(workers[i], buf, sizeof(buf), &msg, WATCHDOG));
			EXPECT_TRUE(message_whole(buf, LEN, n));
			EXPECT_EQ(SLOTS + n - 1, msg.position);
			EXPECT_EQ(7, msg.topic);
		}
	}
	ronbus_pub_close(self->pub);
	self->pub = NULL;
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(RONBUS_CLOSED,
			  ronbus_worker_recv(workers[i], buf, sizeof(buf), &msg, WATCHDOG));
	}
	ronbus_dispatch_close(dispatch);
}

/* One handle for all, or each its own: every message is counted, every one is whole. */
TEST_F(api, threads)
{
	bool single = variant->flags & RONBUS_BUS_EXCLUSIVE || self->pub_flags & RONBUS_PUB_SINGLE;
	int n = single ? 1 : THREADS, i, alive, ret;
	struct worker workers[THREADS] = { 0 };
	u64 next[THREADS] = { 0 }, got = 0, lost = 0;
	struct ronbus_stats stats;
	struct ronbus_msg msg;
	char buf[LEN];

	for (i = 0; i < n; i++) {
		workers[i].pub = self->pub;
		workers[i].number = (u64)i;
		ASSERT_EQ(0, pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]));
	}
	for (alive = n;;) {
		u64 number;

		ret = ronbus_recv(self->sub, buf, sizeof(buf), &msg, (int64_t)SEC / 100);
		if (ret == -ETIMEDOUT) {
			if (!alive)
				break;
			if (!pthread_tryjoin_np(workers[alive - 1].thread, NULL))
				alive--;
			continue;
		}
		if (ret == RONBUS_LAGGED) {
			lost += msg.lost;
			continue;
		}
		ASSERT_EQ(RONBUS_MESSAGE, ret);
		number = message_number(buf);
		ASSERT_TRUE(message_whole(buf, msg.len, number));
		ASSERT_GT((u64)n, number >> 32);
		ASSERT_LE(next[number >> 32], number & 0xffffffff);
		next[number >> 32] = (number & 0xffffffff) + 1;
		got++;
	}
	for (i = 0; i < n; i++) {
		EXPECT_EQ(0, workers[i].bad);
	}
	ronbus_pub_close(self->pub);
	self->pub = NULL;
	ASSERT_EQ(0, ronbus_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ((u64)n * EACH, stats.counters.published_total);
	EXPECT_EQ((u64)n * EACH, stats.counters.addressed_total);
	EXPECT_EQ(got, stats.counters.delivered_total);
	EXPECT_EQ(lost, stats.counters.overflow_dropped_total);
	EXPECT_EQ(stats.tail - SLOTS, got + lost + stats.counters.holes_total);
}

/* ---- signal handlers -------------------------------------------------------------------- */

static struct {
	struct ronbus_pub *same, *other;
	u64 accepted[2];
	unsigned int signals;
} handling;

static void publish_and_count(struct ronbus_pub *pub, unsigned int i)
{
	u64 data = i;

	if (ronbus_publish(pub, i, &data, sizeof(data)) > 0)
		__atomic_add_fetch(&handling.accepted[i], 1, __ATOMIC_SEQ_CST);
}

static void publish_in_handler(int sig)
{
	errno = 9999;
	publish_and_count(handling.other, 1);
	if (handling.same)
		publish_and_count(handling.same, 0);
	if (errno != 9999 || sig != SIGUSR2)
		abort();
	__atomic_add_fetch(&handling.signals, 1, __ATOMIC_SEQ_CST);
}

/* A timer interrupts publishing and being woken, and publishes on the same handle, and another bus. */
TEST_F(api, handler)
{
	struct itimerspec every = { { 0, 1000000 }, { 0, 1000000 } };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2 };
	struct sigaction action = { .sa_handler = publish_in_handler };
	struct ronbus_options twin = { .features = variant->features, .capacity = SLOTS };
	struct ronbus_stats stats;
	struct ronbus_sub *sub;
	struct ronbus *bus;
	timer_t timer;
	int i;

	memset(&handling, 0, sizeof(handling));
	ASSERT_EQ(0, ronbus_create(variant->where, &twin, &bus));
	ASSERT_EQ(0,
		  ronbus_publisher(bus, variant->pub_flags & RONBUS_PUB_SYSCALL, &handling.other));
	ASSERT_EQ(0, ronbus_subscribe(bus, NULL, &sub));
	if (!(variant->flags & RONBUS_BUS_EXCLUSIVE) && !(variant->pub_flags & RONBUS_PUB_SINGLE))
		handling.same = self->pub;
	ASSERT_EQ(0, sigaction(SIGUSR2, &action, NULL));
	ASSERT_EQ(0, timer_create(CLOCK_MONOTONIC, &event, &timer));
	ASSERT_EQ(0, timer_settime(timer, 0, &every, NULL));
	for (i = 0; i < 100 || __atomic_load_n(&handling.signals, __ATOMIC_SEQ_CST) < 200; i++) {
		publish_and_count(self->pub, 0);
		/* Armed: then publishing wakes. */
		if (ronbus_arm(self->sub) < 0 || ronbus_arm(sub) < 0 ||
		    ronbus_stats(bus, 0, &stats))
			break;
	}
	ASSERT_EQ(0, timer_delete(timer));
	EXPECT_LE(200, handling.signals);
	ronbus_pub_close(handling.other);
	ASSERT_EQ(0, ronbus_stats(bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(handling.accepted[1], stats.counters.published_total);
	ronbus_pub_close(self->pub);
	self->pub = NULL;
	ASSERT_EQ(0, ronbus_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(handling.accepted[0], stats.counters.published_total);
	ronbus_sub_close(sub);
	ronbus_close(bus);
}

/* ---- threads that are cancelled ---------------------------------------------------------- */

TEST_F(api, pthread_cancel)
{
	char wrong[256];
	unsigned int i;

	for (i = 0; i < THREAD_CANCEL_CASES; i++) {
		EXPECT_TRUE(thread_cancel_case(variant->where, variant->features, i, wrong,
					       sizeof(wrong)))
		{
			TH_LOG("%s: %s", thread_cancel_cases[i].name, wrong);
		}
	}
}

/* ---- fork ------------------------------------------------------------------------------- */

struct busy_publisher {
	struct ronbus_pub *pub;
	bool stop;
	unsigned int count;
};

static void *busy_publisher_main(void *arg)
{
	struct busy_publisher *p = arg;
	u64 data = 0;

	while (!__atomic_load_n(&p->stop, __ATOMIC_SEQ_CST)) {
		ronbus_publish(p->pub, 0, &data, sizeof(data));
		__atomic_add_fetch(&p->count, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static int nothing_to_do(void *arg, int what, const struct ronbus_msg *msg)
{
	return arg || what || msg;
}

/*
 * In a child: whatever a handle is used for, that its owner is not here any more; and it can be closed. Returns
 * the line of what is wrong, or 0.
 */
static int use_inherited(struct ronbus *bus, struct ronbus_pub *pub, struct ronbus_sub *sub,
			 bool embedded)
{
	struct iovec vec = { "x", 1 };
	struct ronbus_block block;
	struct ronbus_stats stats;
	struct ronbus_info info;
	struct ronbus_msg msg = { 0 };
	struct ronbus_pub *pub2 = NULL;
	struct ronbus_sub *sub2 = NULL;
	char buf[LEN];

#define REFUSED(call)                           \
	do {                                    \
		if ((call) != -EOWNERDEAD)      \
			return __LINE__ & 0x7f; \
	} while (0)
	REFUSED(ronbus_publish(pub, 0, "x", 1));
	REFUSED(ronbus_publish_many(pub, 0, &vec, 1));
	REFUSED(ronbus_publish_block(pub, 0, NULL, 0, "x", 1));
	REFUSED(ronbus_pub_fd(pub));
	REFUSED(ronbus_try_recv(sub, buf, sizeof(buf), &msg));
	REFUSED(ronbus_recv(sub, buf, sizeof(buf), &msg, -1));
	REFUSED(ronbus_recv_many(sub, buf, sizeof(buf), &msg, 1));
	REFUSED(ronbus_drain(sub, nothing_to_do, NULL, 9, -1));
	REFUSED(ronbus_peek(sub, &msg));
	REFUSED(ronbus_wait(sub, -1));
	REFUSED(ronbus_arm(sub));
	REFUSED(ronbus_sub_fd(sub));
	REFUSED(ronbus_sub_set_eventfd(sub, -1));
	REFUSED(ronbus_sub_set_topics(sub, 1));
	REFUSED(ronbus_sub_set_coalesce(sub, 2, 1000000));
	REFUSED(ronbus_cancel(sub));
	REFUSED(ronbus_block_pin(sub, &msg, &block));
	if (!ronbus_release(sub))
		return __LINE__ & 0x7f;
	if (embedded) {
		REFUSED(ronbus_stats(bus, RONBUS_STATS_BUS, &stats));
		REFUSED(ronbus_bus_info(bus, &info));
		REFUSED(ronbus_seal(bus));
		REFUSED(ronbus_bus_fd(bus));
		REFUSED(ronbus_publisher(bus, 0, &pub2));
		REFUSED(ronbus_subscribe(bus, NULL, &sub2));
	} else if (ronbus_subscribe(bus, NULL, &sub2) ||
		   ronbus_try_recv(sub2, buf, LEN, &msg) < -EAGAIN) {
		return __LINE__ & 0x7f; /* a bus is its fd, which the child has */
	}
#undef REFUSED
	ronbus_sub_close(sub2);
	ronbus_pub_close(pub);
	ronbus_sub_close(sub);
	ronbus_close(bus);
	return 0;
}

/* A bus of its own is as good in the child as anywhere. */
static int use_own(const char *where, u64 features)
{
	struct ronbus_options own = { .features = features };
	struct ronbus_pub *pub;
	struct ronbus_sub *sub;
	struct ronbus_msg msg;
	struct ronbus *bus;
	char data;

	if (ronbus_create(where, &own, &bus) || ronbus_publisher(bus, 0, &pub) ||
	    ronbus_subscribe(bus, NULL, &sub) || ronbus_publish(pub, 0, "x", 1) != 1 ||
	    ronbus_try_recv(sub, &data, 1, &msg) != RONBUS_MESSAGE)
		return 1;
	ronbus_sub_close(sub);
	ronbus_pub_close(pub);
	ronbus_close(bus);
	return 0;
}

/* While another thread publishes, so that the child finds everything in the middle of something. */
TEST_F(api, fork)
{
	struct busy_publisher busy = { 0 };
	unsigned int before;
	pthread_t thread;
	int i, status;
	pid_t pid;

	if (variant->flags & RONBUS_BUS_EXCLUSIVE)
		busy.pub = self->pub;
	else
		ASSERT_EQ(0, ronbus_publisher(self->bus, variant->pub_flags, &busy.pub));
	ASSERT_EQ(0, pthread_create(&thread, NULL, busy_publisher_main, &busy));
	for (i = 0; i < 60; i++) {
		before = __atomic_load_n(&busy.count, __ATOMIC_SEQ_CST);
		ASSERT_TRUE(
			wait_until(__atomic_load_n(&busy.count, __ATOMIC_SEQ_CST) > before + 10));
		pid = fork();
		ASSERT_NE(-1, pid);
		if (!pid) {
			alarm(60);
			status = use_inherited(self->bus, self->pub, self->sub,
					       !strcmp(variant->where, RONBUS_EMBEDDED));
			_exit(status ?: use_own(variant->where, variant->features));
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_EQ(0, status)
		TH_LOG("line %d modulo 128, signal %d", WEXITSTATUS(status), WTERMSIG(status));
	}
	__atomic_store_n(&busy.stop, true, __ATOMIC_SEQ_CST);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	if (busy.pub != self->pub)
		ronbus_pub_close(busy.pub);
}

TEST_HARNESS_MAIN
