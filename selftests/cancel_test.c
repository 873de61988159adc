// SPDX-License-Identifier: GPL-2.0
/*
 * RONBUS_IOC_CANCEL of calls that sleep in the kernel; for waits in io_uring see uring_test.
 */
#include <pthread.h>

#include "libronbus.h"
#include "ronbus_kselftest.h"

#define SLOTS 64U
#define LEN 32U

FIXTURE(cancel)
{
	int control;
	int bus;
	struct publisher pub;
	struct subscriber s;
};

FIXTURE_VARIANT(cancel)
{
	u64 features;
};

FIXTURE_VARIANT_ADD(cancel, baseline){ 0 };
FIXTURE_VARIANT_ADD(cancel, edge){ RONBUS_F_EDGE_NOTIFY };

FIXTURE_SETUP(cancel)
{
	self->control = OPEN_CONTROL();
	self->bus = bus_create(self->control, (struct ronbus_create){ .features = variant->features,
								      .capacity = SLOTS,
								      .payload = LEN });
	ASSERT_LE(0, self->bus);
	ASSERT_EQ(0, publisher_join(&self->pub, self->bus, 0));
	ASSERT_EQ(0, subscriber_join(&self->s, self->bus, RONBUS_START_LATEST, 0));
}

FIXTURE_TEARDOWN(cancel)
{
	subscriber_leave(&self->s);
	publisher_leave(&self->pub);
	close(self->bus);
	close(self->control);
}

static int fd_cancel(int fd)
{
	return do_ioctl(fd, RONBUS_IOC_CANCEL, NULL);
}

/**
 * struct sleeper - a thread that sleeps in a system call
 * @how: which one
 * @fd: for which subscriber
 * @ret: what came of it
 * @done: it has returned
 */
struct sleeper {
	enum {
		BY_WAIT,
		BY_READ,
		BY_POLL,
	} how;
	int fd;
	long ret;
	bool done;
	pthread_t thread;
};

static void *sleeper_main(void *arg)
{
	struct sleeper *s = arg;
	struct pollfd p = { .fd = s->fd, .events = POLLIN };
	char buf[256];

	switch (s->how) {
	case BY_WAIT:
		s->ret = fd_wait(s->fd, RONBUS_WAIT_FOREVER);
		break;
	case BY_READ:
		s->ret = fd_read(s->fd, buf, sizeof(buf));
		break;
	case BY_POLL:
		s->ret = poll(&p, 1, -1) < 0 ? -errno : p.revents;
		break;
	}
	__atomic_store_n(&s->done, true, __ATOMIC_SEQ_CST);
	return NULL;
}

/* Asleep in the kernel: it has armed. */
static bool sleeper_start(struct sleeper *sleeper, const struct subscriber *s)
{
	u64 waits = waits_total(s);

	sleeper->fd = s->m.fd;
	sleeper->done = false;
	return !pthread_create(&sleeper->thread, NULL, sleeper_main, sleeper) &&
	       wait_until(waits_total(s) > waits);
}

#define EXPECT_ENDS(sleeper, with)                                                           \
	do {                                                                                 \
		ASSERT_TRUE(wait_until(__atomic_load_n(&(sleeper)->done, __ATOMIC_SEQ_CST))) \
		TH_LOG("it sleeps on");                                                      \
		ASSERT_EQ(0, pthread_join((sleeper)->thread, NULL));                         \
		EXPECT_EQ(with, (sleeper)->ret);                                             \
	} while (0)

/* All that wait for this subscriber, except pollers, and none that wait for another. */
TEST_F(cancel, ends_waits)
{
	struct sleeper sleepers[4] = {
		{ .how = BY_WAIT }, { .how = BY_READ }, { .how = BY_WAIT }, { .how = BY_POLL }
	};
	struct sleeper other = { .how = BY_WAIT };
	struct subscriber s;
	int i;

	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_LATEST, 0));
	ASSERT_TRUE(sleeper_start(&other, &s));
	for (i = 0; i < 4; i++) {
		ASSERT_TRUE(sleeper_start(&sleepers[i], &self->s));
	}
	ASSERT_EQ(0, fd_cancel(self->s.m.fd));
	for (i = 0; i < 3; i++) {
		EXPECT_ENDS(&sleepers[i], -ECANCELED);
	}
	EXPECT_FALSE(__atomic_load_n(&other.done, __ATOMIC_SEQ_CST));
	EXPECT_FALSE(__atomic_load_n(&sleepers[3].done, __ATOMIC_SEQ_CST));
	ASSERT_EQ(1, publish_number(&self->pub, 1));
	EXPECT_ENDS(&sleepers[3], POLLIN);
	EXPECT_ENDS(&other, 0);
	subscriber_leave(&s);
}

/* It is not remembered, and takes nothing away. */
TEST_F(cancel, is_for_now)
{
	struct sleeper sleeper = { .how = BY_WAIT };
	struct message msg;
	int i;

	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, fd_cancel(self->s.m.fd));
		EXPECT_EQ(-ETIMEDOUT, fd_wait(self->s.m.fd, 0));
		ASSERT_TRUE(sleeper_start(&sleeper, &self->s));
		ASSERT_EQ(1, publish_number(&self->pub, 7));
		EXPECT_ENDS(&sleeper, 0);
		ASSERT_EQ(0, fd_cancel(self->s.m.fd));
		EXPECT_EQ(0, fd_wait(self->s.m.fd, RONBUS_WAIT_FOREVER));
		ASSERT_EQ(1, subscriber_read(&self->s, &msg));
		EXPECT_TRUE(message_whole(msg.data, msg.len, 7));
	}
	EXPECT_EQ(-ENOTTY, fd_cancel(self->pub.m.fd));
	EXPECT_EQ(-ENOTTY, fd_cancel(self->bus));
	EXPECT_EQ(-ENOTTY, fd_cancel(self->control));
}

/**
 * struct worker - a thread that receives until it is told to stop
 * @sub: its subscriber
 * @stop: what it looks at between two sleeps
 * @stopped: it has stopped
 * @ret: what ended it
 * @received: messages it got
 */
struct worker {
	struct ronbus_sub *sub;
	bool stop;
	bool stopped;
	int ret;
	u64 received;
};

static int count_one(void *arg, int what, const struct ronbus_msg *msg)
{
	struct worker *w = arg;

	(void)msg;
	w->received += what == RONBUS_MESSAGE;
	return 0;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	while (!__atomic_load_n(&w->stop, __ATOMIC_SEQ_CST)) {
		w->ret = ronbus_drain(w->sub, count_one, w, 10, -1);
		if (w->ret <= 0 && w->ret != -ECANCELED)
			break;
	}
	__atomic_store_n(&w->stopped, true, __ATOMIC_SEQ_CST);
	return NULL;
}

/* How a thread is stopped that sleeps without limit, on every transport. */
static void stop_a_thread(struct __test_metadata *_metadata, const char *where)
{
	struct ronbus_options options = { .features = RONBUS_F_EDGE_NOTIFY };
	struct worker w = { 0 };
	struct ronbus_pub *pub;
	struct ronbus *bus;
	pthread_t thread;
	int i;

	for (i = 0; i < 50; i++) {
		memset(&w, 0, sizeof(w));
		ASSERT_EQ(0, ronbus_create(where, &options, &bus));
		ASSERT_EQ(0, ronbus_publisher(bus, 0, &pub));
		ASSERT_EQ(0, ronbus_subscribe(bus, NULL, &w.sub));
		ASSERT_EQ(0, pthread_create(&thread, NULL, worker_main, &w));
		ASSERT_EQ(1, ronbus_publish(pub, 0, "x", 1));
		ASSERT_TRUE(wait_until(RB_READ(&w.received) == 1));
		__atomic_store_n(&w.stop, true, __ATOMIC_SEQ_CST);
		ASSERT_TRUE(wait_until(
			(ronbus_cancel(w.sub), __atomic_load_n(&w.stopped, __ATOMIC_SEQ_CST))));
		ASSERT_EQ(0, pthread_join(thread, NULL));
		EXPECT_TRUE(w.ret == -ECANCELED || w.ret == 1) TH_LOG("%d", w.ret);
		ronbus_sub_close(w.sub);
		ronbus_pub_close(pub);
		ronbus_close(bus);
	}
}

TEST(stop_a_thread_device)
{
	close(OPEN_CONTROL());
	stop_a_thread(_metadata, RONBUS_DEVICE);
}

TEST(stop_a_thread_embedded)
{
	stop_a_thread(_metadata, RONBUS_EMBEDDED);
}

/* ---- between two waits of a call ---------------------------------------------------------- */

/* One thread waits in ronbus_recv(); another publishes for others, which wakes the first. */
struct caller {
	struct ronbus *bus;
	struct ronbus_sub *sub;
	struct ronbus_pub *pub;
	unsigned int rounds; /* to go */
	unsigned int ended;
	int ret;
};

static void *caller_main(void *arg)
{
	struct caller *c = arg;
	struct ronbus_msg msg;
	u64 data;

	while (__atomic_load_n(&c->rounds, __ATOMIC_SEQ_CST)) {
		c->ret = ronbus_recv(c->sub, &data, sizeof(data), &msg, -1);
		__atomic_add_fetch(&c->ended, 1, __ATOMIC_SEQ_CST);
		if (c->ret != -ECANCELED)
			break;
	}
	return NULL;
}

static void *others_main(void *arg)
{
	struct caller *c = arg;
	struct ronbus_pub *guest;
	int i;

	while (__atomic_load_n(&c->rounds, __ATOMIC_SEQ_CST)) {
		/* So many are a reason for it to look, once it is woken; and then it waits again. */
		for (i = 0; i < 70; i++)
			ronbus_publish(c->pub, 0, "", 0);
		/* Everybody is woken when a publisher leaves. */
		if (ronbus_publisher(c->bus, 0, &guest))
			return NULL;
		ronbus_pub_close(guest);
		while (ronbus_ring_hint(&c->pub->ring) > ronbus_sub_position(c->sub) + 64 &&
		       __atomic_load_n(&c->rounds, __ATOMIC_SEQ_CST))
			sched_yield();
	}
	return NULL;
}

static u64 waits_of(struct ronbus *bus, const struct ronbus_sub *sub)
{
	struct ronbus_stats stats;

	return ronbus_stats(bus, ronbus_sub_index(sub), &stats) ? 0 : stats.counters.waits_total;
}

/*
 * One cancel for each call, once it has waited: it ends, wherever it is. The next call, if it begins
 * before the cancel is over, may end with it.
 */
static void cancel_calls(struct __test_metadata *_metadata, const char *where)
{
	struct ronbus_options options = { .features = RONBUS_F_EDGE_NOTIFY | RONBUS_F_INTEREST,
					  .capacity = 1024 };
	struct ronbus_sub_options one = { .topics = 2 };
	struct caller c = { .rounds = 300 };
	pthread_t threads[2];
	struct ronbus_sub *all;
	unsigned int ended;
	u64 waits;

	ASSERT_EQ(0, ronbus_create(where, &options, &c.bus));
	ASSERT_EQ(0, ronbus_publisher(c.bus, 0, &c.pub));
	ASSERT_EQ(0, ronbus_subscribe(c.bus, NULL, &all));
	ASSERT_EQ(0, ronbus_subscribe(c.bus, &one, &c.sub));
	ASSERT_EQ(0, pthread_create(&threads[0], NULL, caller_main, &c));
	ASSERT_EQ(0, pthread_create(&threads[1], NULL, others_main, &c));
	while (c.rounds) {
		ended = __atomic_load_n(&c.ended, __ATOMIC_SEQ_CST);
		waits = waits_of(c.bus, c.sub);
		/* A whole wait, and not the rest of one that was counted before. */
		ASSERT_TRUE(wait_until(waits_of(c.bus, c.sub) > waits + 1));
		__atomic_sub_fetch(&c.rounds, 1, __ATOMIC_SEQ_CST);
		ASSERT_EQ(0, ronbus_cancel(c.sub));
		ASSERT_TRUE(wait_until(__atomic_load_n(&c.ended, __ATOMIC_SEQ_CST) > ended))
		TH_LOG("call %u", ended + 1);
	}
	ASSERT_EQ(0, pthread_join(threads[0], NULL));
	ASSERT_EQ(0, pthread_join(threads[1], NULL));
	EXPECT_EQ(-ECANCELED, c.ret);
	ronbus_sub_close(c.sub);
	ronbus_sub_close(all);
	ronbus_pub_close(c.pub);
	ronbus_close(c.bus);
}

TEST(between_waits_device)
{
	close(OPEN_CONTROL());
	cancel_calls(_metadata, RONBUS_DEVICE);
}

TEST(between_waits_embedded)
{
	cancel_calls(_metadata, RONBUS_EMBEDDED);
}

TEST_HARNESS_MAIN
