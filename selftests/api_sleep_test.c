// SPDX-License-Identifier: GPL-2.0
/*
 * The library on both transports: sleeping and being woken.
 *
 * The ring header marks the moments of publishing with RB_STEP(), and the library's inlines are
 * compiled here, so a publishing thread can be held at any of them.
 */
static void step_reached(int step);
#define RB_STEP(step) step_reached(step)

#include <pthread.h>
#include <semaphore.h>
#include <sys/eventfd.h>

#include "api.h"

static __thread int hold_at = -1;
static sem_t held, go_on;

static void step_reached(int step)
{
	if (step != hold_at)
		return;
	hold_at = -1;
	sem_post(&held);
	while (sem_wait(&go_on))
		;
}

static bool sem_soon(sem_t *sem)
{
	return wait_until(!sem_trywait(sem));
}

/* ---- sleeping --------------------------------------------------------------------------- */

struct sleeper {
	struct ronbus_sub *sub;
	int64_t timeout;
	struct ronbus_msg msg;
	char buf[LEN];
	int ret;
	bool done;
	pthread_t thread;
};

static void *sleeper_recv(void *arg)
{
	struct sleeper *s = arg;

	s->ret = ronbus_recv(s->sub, s->buf, sizeof(s->buf), &s->msg, s->timeout);
	__atomic_store_n(&s->done, true, __ATOMIC_SEQ_CST);
	return NULL;
}

TEST_F(api, sleep)
{
	struct sleeper s[2] = { { .sub = self->sub, .timeout = -1 }, { .timeout = -1 } };
	struct ronbus_stats stats;
	u64 round, i;

	ASSERT_EQ(0, ronbus_subscribe(self->bus, NULL, &s[1].sub));
	for (round = 0; round <= 20; round++) {
		for (i = 0; i < 2; i++) {
			s[i].done = false;
			ASSERT_EQ(0, pthread_create(&s[i].thread, NULL, sleeper_recv, &s[i]));
			ASSERT_TRUE(wait_until(armed(self->bus, (unsigned int)i)));
			EXPECT_FALSE(s[i].done);
		}
		if (round < 20) {
			EXPECT_EQ(2, send_number(self->pub, 0, round));
		} else {
			ronbus_pub_close(self->pub);
			self->pub = NULL;
		}
		for (i = 0; i < 2; i++) {
			ASSERT_TRUE(wait_until(__atomic_load_n(&s[i].done, __ATOMIC_SEQ_CST)));
			ASSERT_EQ(0, pthread_join(s[i].thread, NULL));
			ASSERT_EQ(round < 20 ? RONBUS_MESSAGE : RONBUS_CLOSED, s[i].ret);
			if (round < 20)
				EXPECT_TRUE(message_whole(s[i].buf, s[i].msg.len, round));
		}
	}
	stats = stats_of(self->bus, RONBUS_STATS_BUS);
	EXPECT_EQ(2 * 20, stats.counters.notify_sends_total);
	EXPECT_EQ(2 * 20, stats.counters.wakes_total[RONBUS_WAKE_DATA]);
	EXPECT_EQ(2, stats.counters.wakes_total[RONBUS_WAKE_CLOSE]);
	EXPECT_EQ(0, stats.armed);
	ronbus_sub_close(s[1].sub);
}

TEST_F(api, timeouts)
{
	struct ronbus_msg msg;
	char buf[LEN];
	u64 began;

	began = now_ns();
	EXPECT_EQ(-ETIMEDOUT, ronbus_wait(self->sub, 0));
	EXPECT_EQ(-ETIMEDOUT, ronbus_recv(self->sub, buf, sizeof(buf), &msg, 0));
	EXPECT_GT(began + 5 * SEC, now_ns());
	began = now_ns();
	EXPECT_EQ(-ETIMEDOUT, ronbus_wait(self->sub, (int64_t)SEC / 50));
	EXPECT_LE(began + SEC / 50, now_ns());
	began = now_ns();
	EXPECT_EQ(-ETIMEDOUT, ronbus_recv(self->sub, buf, sizeof(buf), &msg, (int64_t)SEC / 50));
	EXPECT_LE(began + SEC / 50, now_ns());
	/* On the device one that is not there any more may be armed: what wakes it costs a call. */
	if (!strcmp(self->where, RONBUS_EMBEDDED))
		EXPECT_FALSE(armed(self->bus, 0));
	EXPECT_EQ(1, send_number(self->pub, 0, 1));
	EXPECT_EQ(1, send_number(self->pub, 0, 2));
	EXPECT_EQ(0, ronbus_wait(self->sub, 0));
	EXPECT_EQ(0, ronbus_wait(self->sub, -1));
	EXPECT_EQ(0, ronbus_wait(self->sub, INT64_MAX));
	EXPECT_EQ(RONBUS_MESSAGE, ronbus_recv(self->sub, buf, sizeof(buf), &msg, 0));
	EXPECT_EQ(RONBUS_MESSAGE, ronbus_recv(self->sub, buf, sizeof(buf), &msg, -1));
}

/* Drain, arm, poll: the order the header promises to be reliable. */
TEST_F(api, poll)
{
	int fd = ronbus_sub_fd(self->sub), i;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct ronbus_counters c;

	ASSERT_LE(0, fd);
	EXPECT_EQ(fd, ronbus_sub_fd(self->sub));
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, ronbus_arm(self->sub));
		EXPECT_EQ(0, poll(&p, 1, 0));
		EXPECT_TRUE(armed(self->bus, 0));
		ASSERT_EQ(0, ronbus_arm(self->sub)); /* twice is as good */
		EXPECT_EQ(1, send_number(self->pub, 0, (u64)i));
		EXPECT_EQ(1, poll(&p, 1, 10000));
		EXPECT_TRUE(p.revents & POLLIN);
		EXPECT_FALSE(armed(self->bus, 0));
		EXPECT_EQ(1, ronbus_arm(self->sub));
		EXPECT_MESSAGE(self->sub, (u64)i);
		EXPECT_NOTHING(self->sub);
	}
	c = stats_of(self->bus, RONBUS_STATS_BUS).counters;
	EXPECT_EQ(10, c.notify_sends_total);
	if (self->features & RONBUS_F_EDGE_NOTIFY)
		EXPECT_EQ(ronbus_pub_mapped(self->pub) ? 10 : 0, c.notify_calls_total);
	/* A sleep that ends without data leaves it armed. */
	ASSERT_EQ(0, ronbus_arm(self->sub));
	EXPECT_EQ(-ETIMEDOUT, ronbus_wait(self->sub, (int64_t)SEC / 1000));
	EXPECT_TRUE(armed(self->bus, 0));
	EXPECT_EQ(1, send_number(self->pub, 0, 10));
	EXPECT_EQ(1, poll(&p, 1, 10000));
	EXPECT_MESSAGE(self->sub, 10);
	ASSERT_EQ(0, ronbus_arm(self->sub));
	EXPECT_EQ(0, poll(&p, 1, 0));
	ronbus_pub_close(self->pub);
	self->pub = NULL;
	EXPECT_EQ(1, poll(&p, 1, 10000));
	EXPECT_EQ(1, ronbus_arm(self->sub));
	EXPECT_CLOSED(self->sub);
}

/* What an eventfd has counted, which it forgets. */
static u64 eventfd_taken(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	u64 value;

	return poll(&p, 1, 0) == 1 && read(fd, &value, sizeof(value)) == sizeof(value) ? value : 0;
}

TEST_F(api, eventfd)
{
	bool edge = self->features & RONBUS_F_EDGE_NOTIFY;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), other = eventfd(0, EFD_CLOEXEC), pipes[2];
	u64 full = ~0ULL - 1, i;

	ASSERT_LE(0, fd);
	ASSERT_LE(0, other);
	ASSERT_EQ(0, pipe(pipes));
	EXPECT_EQ(-EBADF, ronbus_sub_set_eventfd(self->sub, -2));
	EXPECT_EQ(-EBADF, ronbus_sub_set_eventfd(self->sub, 1 << 20));
	EXPECT_EQ(-EINVAL, ronbus_sub_set_eventfd(self->sub, STDERR_FILENO));
	EXPECT_EQ(-EINVAL, ronbus_sub_set_eventfd(self->sub, pipes[1]));
	EXPECT_EQ(0, ronbus_sub_set_eventfd(self->sub, -1));
	EXPECT_EQ(0, ronbus_sub_set_eventfd(self->sub, fd));
	/* Nobody sleeps; without EDGE_NOTIFY it is told all the same. */
	EXPECT_EQ(1, send_number(self->pub, 0, 0));
	EXPECT_EQ(!edge, eventfd_taken(fd));
	EXPECT_MESSAGE(self->sub, 0);
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, ronbus_arm(self->sub));
		EXPECT_EQ(1, send_number(self->pub, 0, i));
		EXPECT_EQ(1, eventfd_taken(fd));
		EXPECT_MESSAGE(self->sub, i);
	}
	ASSERT_EQ(0, ronbus_arm(self->sub));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(1, send_number(self->pub, 0, i));
	}
	EXPECT_EQ(edge ? 1 : 3, eventfd_taken(fd));
	for (i = 0; i < 3; i++) {
		EXPECT_MESSAGE(self->sub, i);
	}

	EXPECT_EQ(0, ronbus_sub_set_eventfd(self->sub, other));
	ASSERT_EQ(0, ronbus_arm(self->sub));
	EXPECT_EQ(1, send_number(self->pub, 0, 4));
	EXPECT_EQ(0, eventfd_taken(fd));
	EXPECT_EQ(1, eventfd_taken(other));
	EXPECT_MESSAGE(self->sub, 4);
	/* A full eventfd that blocks its writers does not stop a publisher. */
	ASSERT_EQ(sizeof(full), write(other, &full, sizeof(full)));
	ASSERT_EQ(0, ronbus_arm(self->sub));
	EXPECT_EQ(1, send_number(self->pub, 0, 5));
	EXPECT_MESSAGE(self->sub, 5);
	/* The subscriber has it open by itself: the caller's fd may go. */
	close(other);
	ASSERT_EQ(0, ronbus_arm(self->sub));
	EXPECT_EQ(1, send_number(self->pub, 0, 6));
	EXPECT_MESSAGE(self->sub, 6);

	EXPECT_EQ(0, ronbus_sub_set_eventfd(self->sub, fd));
	EXPECT_EQ(0, ronbus_sub_set_eventfd(self->sub, -1));
	ASSERT_EQ(0, ronbus_arm(self->sub));
	EXPECT_EQ(1, send_number(self->pub, 0, 9));
	EXPECT_EQ(0, eventfd_taken(fd));
	close(fd);
	close(pipes[0]);
	close(pipes[1]);
}

/* ---- held in the middle of a message ---------------------------------------------------- */

struct held {
	struct ronbus_pub *pub;
	int step;
	int ret;
	bool many;
	pthread_t thread;
};

static void *held_publish(void *arg)
{
	struct held *h = arg;

	hold_at = h->step;
	if (h->many) {
		char data[LEN];
		struct iovec vec = { data, LEN };

		message_fill(data, LEN, 55);
		h->ret = ronbus_publish_many(h->pub, 0, &vec, 1);
	} else {
		h->ret = send_number(h->pub, 0, 55);
	}
	return NULL;
}

/*
 * A subscriber joins while a message is written for those that came before it, finds it not there
 * yet, and sleeps. It is a message for the new one as well, which must not sleep through it.
 */
TEST_F(api, joins_while_it_is_written)
{
	struct ronbus_sub_options opts = { .start = RONBUS_START_OLDEST };
	struct sleeper s = { .timeout = -1 };
	/* Without it a batch is published inside the library, which has no steps. */
	int way, ways = self->features & RONBUS_F_BATCH ? 3 : 2, i;

	if (!ronbus_pub_mapped(self->pub) || self->features & RONBUS_F_SOA)
		return; /* no code of ours runs while the kernel, or the library, publishes */
	sem_init(&held, 0, 0);
	sem_init(&go_on, 0, 0);
	for (way = 0; way < ways; way++) {
		struct held h = { .pub = self->pub,
				  .step = way ? RONBUS_STEP_WRITTEN : RONBUS_STEP_OWNED,
				  .many = way == 2 };

		ASSERT_EQ(0, pthread_create(&h.thread, NULL, held_publish, &h));
		ASSERT_TRUE(sem_soon(&held));
		ASSERT_EQ(0, ronbus_subscribe(self->bus, &opts, &s.sub));
		/* Those of the ways before are there. */
		for (i = 0; i < way; i++) {
			EXPECT_MESSAGE(s.sub, 55);
		}
		EXPECT_NOTHING(s.sub);
		s.done = false;
		ASSERT_EQ(0, pthread_create(&s.thread, NULL, sleeper_recv, &s));
		ASSERT_TRUE(wait_until(armed(self->bus, 1)));
		EXPECT_FALSE(s.done);
		sem_post(&go_on);
		ASSERT_EQ(0, pthread_join(h.thread, NULL));
		EXPECT_EQ(1, h.ret);
		ASSERT_TRUE(wait_until(__atomic_load_n(&s.done, __ATOMIC_SEQ_CST)));
		ASSERT_EQ(0, pthread_join(s.thread, NULL));
		EXPECT_EQ(RONBUS_MESSAGE, s.ret);
		EXPECT_TRUE(message_whole(s.buf, s.msg.len, 55));
		ronbus_sub_close(s.sub);
		EXPECT_MESSAGE(self->sub, 55);
	}
}

/* One that does not get on holds nobody up, at whatever step it stands. */
TEST_F(api, held_at_each_step)
{
	static const int steps[] = {
		RONBUS_STEP_CLAIMED,
		RONBUS_STEP_OWNED,
		RONBUS_STEP_WRITING,
		RONBUS_STEP_WRITTEN,
	};
	struct ronbus_pub *other;
	struct ronbus_msg msg;
	char buf[LEN];
	size_t i;
	u64 n, last;

	if (!ronbus_pub_mapped(self->pub) || variant->flags & RONBUS_BUS_EXCLUSIVE ||
	    self->features & RONBUS_F_SOA)
		return; /* on rings of arrays the library has the steps: death_arrays_test */
	sem_init(&held, 0, 0);
	sem_init(&go_on, 0, 0);
	ASSERT_EQ(0, ronbus_publisher(self->bus, self->pub_flags, &other));
	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		struct held h = { .pub = self->pub, .step = steps[i] };
		int ret, seen = 0;

		ASSERT_EQ(0, pthread_create(&h.thread, NULL, held_publish, &h));
		ASSERT_TRUE(sem_soon(&held));
		for (n = 0; n < 3 * SLOTS; n++) {
			ASSERT_EQ(1, send_number(other, 0, 100 + n));
		}
		for (last = 0; (ret = ronbus_try_recv(self->sub, buf, LEN, &msg)) > 0;) {
			if (ret == RONBUS_LAGGED)
				continue;
			ASSERT_LT(last, message_number(buf));
			last = message_number(buf);
		}
		EXPECT_EQ(-EAGAIN, ret);
		EXPECT_EQ(100 + 3 * SLOTS - 1, last);
		sem_post(&go_on);
		ASSERT_EQ(0, pthread_join(h.thread, NULL));
		EXPECT_EQ(1, h.ret);
		while (ronbus_try_recv(self->sub, buf, LEN, &msg) == RONBUS_MESSAGE)
			seen += message_whole(buf, LEN, 55) ? 1 : 100;
		EXPECT_EQ(steps[i] == RONBUS_STEP_CLAIMED, seen) TH_LOG("step %d", steps[i]);
		for (n = 0; n < 2 * SLOTS; n++) {
			ASSERT_EQ(1, send_number(other, 0, n));
			EXPECT_MESSAGE(self->sub, n);
		}
	}
	ronbus_pub_close(other);
}

TEST_HARNESS_MAIN
