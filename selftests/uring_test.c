// SPDX-License-Identifier: GPL-2.0
/*
 * io_uring: waiting, cancelling and publishing by commands, polling, and what is left behind when a
 * ring, a thread or a process goes away in the middle of it.
 *
 * From Linux 6.7 on a wait stays pending in the subscriber's queue. Before that, or where
 * IOSQE_ASYNC asks for it, a worker of io_uring sleeps in its place. What a program sees is the
 * same but for what is said in so many words.
 */
#include <liburing.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/utsname.h>

#include "libronbus.h"
#include "ronbus_kselftest.h"

#define SLOTS 64U
#define LEN 32U
#define ENTRIES 64U
#define REFCNT "/sys/module/ronbus/refcnt"

FIXTURE(uring)
{
	int control;
	int bus;
	struct publisher pub;
	struct subscriber s;
	struct io_uring ring;
	unsigned int flags; /* of every wait */
	bool worker; /* waits are a worker's */
};

FIXTURE_VARIANT(uring)
{
	u64 features;
	u32 publisher;
	unsigned int setup;
	unsigned int flags;
};

FIXTURE_VARIANT_ADD(uring, edge){ RONBUS_F_EDGE_NOTIFY, 0, 0, 0 };
FIXTURE_VARIANT_ADD(uring, baseline){ 0, 0, 0, 0 };
FIXTURE_VARIANT_ADD(uring, mapped){ RONBUS_F_EDGE_NOTIFY, RONBUS_PUBLISHER_MAPPED, 0, 0 };
FIXTURE_VARIANT_ADD(uring, defer){ RONBUS_F_EDGE_NOTIFY, 0,
				   IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, 0 };
FIXTURE_VARIANT_ADD(uring, coop){ RONBUS_F_EDGE_NOTIFY, 0, IORING_SETUP_COOP_TASKRUN, 0 };
FIXTURE_VARIANT_ADD(uring, sqpoll){ RONBUS_F_EDGE_NOTIFY, 0, IORING_SETUP_SQPOLL, 0 };
FIXTURE_VARIANT_ADD(uring, big){ RONBUS_F_EDGE_NOTIFY, 0, IORING_SETUP_SQE128 | IORING_SETUP_CQE32,
				 0 };
FIXTURE_VARIANT_ADD(uring, async){ RONBUS_F_EDGE_NOTIFY, 0, 0, IOSQE_ASYNC };

/* ---- rings ------------------------------------------------------------------------------ */

/* Can the kernel take a pending command back? Otherwise none is. */
static bool kernel_pends(void)
{
	struct utsname name;
	int major = 0, minor = 0;

	uname(&name);
	sscanf(name.release, "%d.%d", &major, &minor);
	return major > 6 || (major == 6 && minor >= 7);
}

static int ring_make(struct io_uring *ring, unsigned int entries, unsigned int setup)
{
	struct io_uring_params params = { .flags = setup, .sq_thread_idle = 50 };

	return io_uring_queue_init_params(entries, ring, &params);
}

#define RING(ring, setup)                                                       \
	do {                                                                    \
		int __err = ring_make(ring, ENTRIES, setup);                    \
		if (__err == -ENOSYS || __err == -EPERM)                        \
			SKIP(return, "no io_uring: %s", strerror(-__err));      \
		ASSERT_EQ(0, __err) TH_LOG("flags %#x", (unsigned int)(setup)); \
	} while (0)

static struct io_uring_sqe *command(struct io_uring *ring, int fd, u32 cmd, const void *payload,
				    u64 tag)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	if (!sqe)
		abort();
	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, fd, NULL, 0, 0);
	sqe->cmd_op = cmd;
	memcpy(sqe->cmd, payload, 16);
	sqe->user_data = tag;
	return sqe;
}

static struct io_uring_sqe *wait_sqe(struct io_uring *ring, int fd, u64 deadline, u64 tag)
{
	const struct ronbus_wait args = { .deadline = deadline };

	return command(ring, fd, RONBUS_IOC_WAIT, &args, tag);
}

static struct io_uring_sqe *cancel_sqe(struct io_uring *ring, int fd, u64 tag)
{
	static const u64 nothing[2];

	return command(ring, fd, RONBUS_IOC_CANCEL, nothing, tag);
}

static struct io_uring_sqe *publish_sqe(struct io_uring *ring, int fd, u32 topic,
					const struct ronbus_vec *vec, u32 n, u64 tag)
{
	const struct ronbus_uring_publish args = {
		.vec = (uintptr_t)vec,
		.count = n,
		.topic = topic,
	};

	return command(ring, fd, RONBUS_IOC_PUBLISH, &args, tag);
}

/**
 * struct completion - what became of a request
 * @tag: its user_data
 * @res: its result
 * @flags: IORING_CQE_F_*
 */
struct completion {
	u64 tag;
	int res;
	u32 flags;
};

static int reap(struct io_uring *ring, struct completion *done)
{
	struct __kernel_timespec limit = { .tv_sec = WATCHDOG / SEC };
	struct io_uring_cqe *cqe;
	int err;

	do
		err = io_uring_wait_cqe_timeout(ring, &cqe, &limit);
	while (err == -EINTR);
	if (err)
		return err;
	*done = (struct completion){ cqe->user_data, cqe->res, cqe->flags };
	io_uring_cqe_seen(ring, cqe);
	return 0;
}

/* Do what is to be done in this thread; has nothing come of it? */
static bool quiet(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;

	io_uring_get_events(ring);
	return io_uring_peek_cqe(ring, &cqe) == -EAGAIN;
}

/* A ring with a thread of the kernel may still count what was submitted before. */
#define SUBMIT(ring, n) ASSERT_LE(n, io_uring_submit(ring))

#define EXPECT_DONE(ring, its_tag, result)                                                       \
	do {                                                                                     \
		struct completion __done;                                                        \
		ASSERT_EQ(0, reap(ring, &__done)) TH_LOG("no completion");                       \
		EXPECT_EQ(its_tag, __done.tag);                                                  \
		EXPECT_EQ(result, __done.res) TH_LOG("of %llu", (unsigned long long)__done.tag); \
	} while (0)

/* Results of @n requests with tags from 0, in whatever order they complete. */
#define REAP(ring, results, n)                                                                    \
	do {                                                                                      \
		struct completion __done;                                                         \
		u64 __i;                                                                          \
		for (__i = 0; __i < (n); __i++) {                                                 \
			ASSERT_EQ(0, reap(ring, &__done))                                         \
			TH_LOG("%llu of %llu", (unsigned long long)__i, (unsigned long long)(n)); \
			ASSERT_GT(n, __done.tag);                                                 \
			(results)[__done.tag] = __done.res;                                       \
		}                                                                                 \
	} while (0)

static u64 waits_total(const struct subscriber *s)
{
	struct ronbus_stats stats;

	return fd_stats(s->m.fd, s->index, &stats) ? ~0ULL : stats.counters.waits_total;
}

/* It sleeps for the message, and has not completed. */
#define EXPECT_PENDS(s, ring)                                 \
	do {                                                  \
		ASSERT_TRUE(wait_until(subscriber_armed(s))); \
		ASSERT_TRUE(quiet(ring));                     \
	} while (0)

#define EXPECT_NUMBER(s, number)                                           \
	do {                                                               \
		struct message __msg;                                      \
		ASSERT_EQ(1, subscriber_read(s, &__msg));                  \
		ASSERT_TRUE(message_whole(__msg.data, __msg.len, number)); \
	} while (0)

#define CREATE(...) bus_create(self->control, (struct ronbus_create){ __VA_ARGS__ })

/* Set of the subscribers a bus has. */
static u64 members(int bus)
{
	struct ronbus_info info;

	return fd_info(bus, &info) ? ~0ULL : info.subscribers;
}

static u64 armed_set(int bus)
{
	struct ronbus_stats stats;

	return fd_stats(bus, RONBUS_STATS_BUS, &stats) ? 0 : stats.armed;
}

FIXTURE_SETUP(uring)
{
	self->control = OPEN_CONTROL();
	self->flags = variant->flags;
	self->worker = variant->flags & IOSQE_ASYNC || !kernel_pends();
	RING(&self->ring, variant->setup);
	self->bus = CREATE(.features = variant->features, .capacity = SLOTS, .payload = LEN);
	ASSERT_LE(0, self->bus);
	ASSERT_EQ(0, publisher_join(&self->pub, self->bus, variant->publisher));
	ASSERT_EQ(0, subscriber_join(&self->s, self->bus, RONBUS_START_LATEST, 0));
}

FIXTURE_TEARDOWN(uring)
{
	io_uring_queue_exit(&self->ring);
	subscriber_leave(&self->s);
	publisher_leave(&self->pub);
	close(self->bus);
	close(self->control);
}

#define WAIT(deadline, tag)                                                               \
	do {                                                                              \
		wait_sqe(&self->ring, self->s.m.fd, deadline, tag)->flags |= self->flags; \
		SUBMIT(&self->ring, 1);                                                   \
	} while (0)

/* ---- waiting ---------------------------------------------------------------------------- */

TEST_F(uring, message_completes)
{
	u64 i;

	for (i = 0; i < 5; i++) {
		WAIT(RONBUS_WAIT_FOREVER, i);
		EXPECT_PENDS(&self->s, &self->ring);
		ASSERT_EQ(1, publish_number(&self->pub, i));
		EXPECT_DONE(&self->ring, i, 0);
		EXPECT_NUMBER(&self->s, i);
		EXPECT_FALSE(subscriber_armed(&self->s));
		EXPECT_TRUE(quiet(&self->ring));
	}
}

/* What is there already completes at once, and asks nobody to wake. */
TEST_F(uring, message_is_there)
{
	u64 i;

	ASSERT_EQ(1, publish_number(&self->pub, 5));
	for (i = 0; i < 3; i++) {
		WAIT(RONBUS_WAIT_FOREVER, i);
		EXPECT_DONE(&self->ring, i, 0);
		EXPECT_FALSE(subscriber_armed(&self->s));
	}
	EXPECT_EQ(0, waits_total(&self->s));
	EXPECT_NUMBER(&self->s, 5);
}

TEST_F(uring, end_of_bus)
{
	struct message msg;

	WAIT(RONBUS_WAIT_FOREVER, 1);
	EXPECT_PENDS(&self->s, &self->ring);
	publisher_leave(&self->pub);
	EXPECT_DONE(&self->ring, 1, 0);
	EXPECT_EQ(0, subscriber_read(&self->s, &msg));
	WAIT(RONBUS_WAIT_FOREVER, 2);
	EXPECT_DONE(&self->ring, 2, 0);
	EXPECT_FALSE(subscriber_armed(&self->s));
}

TEST_F(uring, deadlines)
{
	static const u64 far[] = {
		RONBUS_WAIT_FOREVER, RONBUS_WAIT_FOREVER - 1, 1ULL << 63,
		(1ULL << 63) - 1,    (1ULL << 63) - 2,	      1ULL << 62,
	};
	u64 deadline, i;

	/* In the past: a look. */
	WAIT(0, 1);
	EXPECT_DONE(&self->ring, 1, -ETIMEDOUT);
	WAIT(now_ns(), 2);
	EXPECT_DONE(&self->ring, 2, -ETIMEDOUT);
	EXPECT_EQ(0, waits_total(&self->s));
	for (i = 0; i < 3; i++) {
		deadline = now_ns() + SEC / 50;
		WAIT(deadline, 3);
		EXPECT_DONE(&self->ring, 3, -ETIMEDOUT);
		EXPECT_LE(deadline, now_ns());
	}
	/* One so far away that it does not come. */
	for (i = 0; i < ARRAY_SIZE(far); i++) {
		WAIT(far[i], i);
		EXPECT_PENDS(&self->s, &self->ring);
		ASSERT_EQ(1, publish_number(&self->pub, i));
		EXPECT_DONE(&self->ring, i, 0);
		EXPECT_NUMBER(&self->s, i);
	}
	/* A message first, and the timer is gone with the wait. */
	WAIT(now_ns() + 10 * SEC, 4);
	ASSERT_EQ(1, publish_number(&self->pub, 1));
	EXPECT_DONE(&self->ring, 4, 0);
	/* Too late, but there is a message. */
	WAIT(0, 5);
	EXPECT_DONE(&self->ring, 5, 0);
	EXPECT_NUMBER(&self->s, 1);
}

/* Woken for nothing, it sleeps on. */
TEST_F(uring, spurious_wake)
{
	struct ronbus_stats stats;
	u32 woken;
	u64 i;

	WAIT(RONBUS_WAIT_FOREVER, 7);
	for (i = 1; i <= 10; i++) {
		EXPECT_PENDS(&self->s, &self->ring);
		ASSERT_EQ(i, waits_total(&self->s));
		ASSERT_EQ(0, fd_notify(self->pub.m.fd, ~0ULL, &woken));
		EXPECT_EQ(1, woken);
		/* It looks, finds nothing, and arms again. */
		ASSERT_TRUE(wait_until(
			(io_uring_get_events(&self->ring), waits_total(&self->s) == i + 1)));
	}
	EXPECT_PENDS(&self->s, &self->ring);
	ASSERT_EQ(1, publish_number(&self->pub, 3));
	EXPECT_DONE(&self->ring, 7, 0);
	EXPECT_NUMBER(&self->s, 3);
	ASSERT_EQ(0, fd_stats(self->bus, 0, &stats));
	EXPECT_EQ(11, stats.counters.waits_total);
	EXPECT_EQ(11, stats.counters.wakes_total[RONBUS_WAKE_DATA]);
}

TEST_F(uring, wait_refuses)
{
	struct ronbus_wait args;
	u64 payload[2] = { 0 };
	int pipes[2], i;

	for (i = 0; i < 32; i++) {
		args = (struct ronbus_wait){ .flags = 1U << i };
		command(&self->ring, self->s.m.fd, RONBUS_IOC_WAIT, &args, 1);
		args = (struct ronbus_wait){ .pad = 1U << i };
		command(&self->ring, self->s.m.fd, RONBUS_IOC_WAIT, &args, 1);
		SUBMIT(&self->ring, 2);
		EXPECT_DONE(&self->ring, 1, -EINVAL);
		EXPECT_DONE(&self->ring, 1, -EINVAL);
	}
	for (i = 0; i < 128; i++) {
		payload[i / 64] = 1ULL << i % 64;
		command(&self->ring, self->s.m.fd, RONBUS_IOC_CANCEL, payload, 2);
		payload[i / 64] = 0;
		SUBMIT(&self->ring, 1);
		EXPECT_DONE(&self->ring, 2, -EINVAL);
	}

	/* Commands of other fds, of no fd, and with the size of another structure. */
	command(&self->ring, self->s.m.fd, RONBUS_IOC_PUBLISH, payload, 3);
	SUBMIT(&self->ring, 1);
	EXPECT_DONE(&self->ring, 3, -ENOTTY);
	command(&self->ring, self->s.m.fd, RONBUS_IOC_ARM, payload, 3);
	SUBMIT(&self->ring, 1);
	EXPECT_DONE(&self->ring, 3, -ENOTTY);
	command(&self->ring, self->s.m.fd, 0, payload, 3);
	SUBMIT(&self->ring, 1);
	EXPECT_DONE(&self->ring, 3, -ENOTTY);
	command(&self->ring, self->s.m.fd, (u32)cmd_sized(RONBUS_IOC_WAIT, 24), payload, 3);
	SUBMIT(&self->ring, 1);
	EXPECT_DONE(&self->ring, 3, -ENOTTY);
	wait_sqe(&self->ring, self->pub.m.fd, 0, 4);
	SUBMIT(&self->ring, 1);
	EXPECT_DONE(&self->ring, 4, -ENOTTY);
	cancel_sqe(&self->ring, self->pub.m.fd, 4);
	SUBMIT(&self->ring, 1);
	EXPECT_DONE(&self->ring, 4, -ENOTTY);

	/* What takes no commands at all. */
	ASSERT_EQ(0, pipe2(pipes, O_CLOEXEC));
	wait_sqe(&self->ring, self->bus, 0, 5);
	SUBMIT(&self->ring, 1);
	EXPECT_DONE(&self->ring, 5, -EOPNOTSUPP);
	wait_sqe(&self->ring, self->control, 0, 5);
	SUBMIT(&self->ring, 1);
	EXPECT_DONE(&self->ring, 5, -EOPNOTSUPP);
	wait_sqe(&self->ring, pipes[0], 0, 5);
	SUBMIT(&self->ring, 1);
	EXPECT_DONE(&self->ring, 5, -EOPNOTSUPP);
	wait_sqe(&self->ring, 1000, 0, 5);
	SUBMIT(&self->ring, 1);
	EXPECT_DONE(&self->ring, 5, -EBADF);
	close(pipes[0]);
	close(pipes[1]);
	EXPECT_EQ(0, waits_total(&self->s));
}

TEST_F(uring, registered_file)
{
	u64 i;

	ASSERT_EQ(0, io_uring_register_files(&self->ring, &self->s.m.fd, 1));
	for (i = 0; i < 3; i++) {
		wait_sqe(&self->ring, 0, RONBUS_WAIT_FOREVER, i)->flags |=
			self->flags | IOSQE_FIXED_FILE;
		SUBMIT(&self->ring, 1);
		EXPECT_PENDS(&self->s, &self->ring);
		ASSERT_EQ(1, publish_number(&self->pub, i));
		EXPECT_DONE(&self->ring, i, 0);
		EXPECT_NUMBER(&self->s, i);
	}
}

/* All that wait on one subscriber are told of a message. */
TEST_F(uring, several_waits)
{
	int results[4], i, round;

	for (round = 0; round < 5; round++) {
		u64 waits = waits_total(&self->s);

		for (i = 0; i < 4; i++)
			wait_sqe(&self->ring, self->s.m.fd, RONBUS_WAIT_FOREVER, (u64)i)->flags |=
				self->flags;
		SUBMIT(&self->ring, 4);
		ASSERT_TRUE(wait_until(waits_total(&self->s) == waits + 4));
		EXPECT_PENDS(&self->s, &self->ring);
		ASSERT_EQ(1, publish_number(&self->pub, (u64)round));
		memset(results, 1, sizeof(results));
		REAP(&self->ring, results, 4U);
		for (i = 0; i < 4; i++) {
			EXPECT_EQ(0, results[i]);
		}
		EXPECT_NUMBER(&self->s, (u64)round);
	}
}

/* ---- cancelling ------------------------------------------------------------------------- */

/* By ioctl and by command: all waits of the subscriber end, and none of another. */
TEST_F(uring, cancel)
{
	struct subscriber other;
	int results[4], i, way;

	ASSERT_EQ(0, subscriber_join(&other, self->bus, RONBUS_START_LATEST, 0));
	wait_sqe(&self->ring, other.m.fd, RONBUS_WAIT_FOREVER, 100)->flags |= self->flags;
	SUBMIT(&self->ring, 1);
	EXPECT_PENDS(&other, &self->ring);
	for (way = 0; way < 2; way++) {
		u64 waits = waits_total(&self->s);

		for (i = 0; i < 3; i++)
			wait_sqe(&self->ring, self->s.m.fd, RONBUS_WAIT_FOREVER, (u64)i)->flags |=
				self->flags;
		SUBMIT(&self->ring, 3);
		ASSERT_TRUE(wait_until(waits_total(&self->s) == waits + 3));
		results[3] = 0;
		if (way) {
			cancel_sqe(&self->ring, self->s.m.fd, 3);
			SUBMIT(&self->ring, 1);
		} else {
			ASSERT_EQ(0, do_ioctl(self->s.m.fd, RONBUS_IOC_CANCEL, NULL));
		}
		memset(results, 1, sizeof(results));
		results[3] = 0;
		REAP(&self->ring, results, 3U + (unsigned int)way);
		for (i = 0; i < 3; i++) {
			EXPECT_EQ(-ECANCELED, results[i]);
		}
		EXPECT_EQ(0, results[3]);
		EXPECT_TRUE(quiet(&self->ring));
		/* One that begins behind it knows nothing of it. */
		WAIT(RONBUS_WAIT_FOREVER, 9);
		EXPECT_PENDS(&self->s, &self->ring);
		ASSERT_EQ(1, publish_number(&self->pub, 1));
		for (i = 0; i < 2; i++) {
			struct completion done;

			ASSERT_EQ(0, reap(&self->ring, &done));
			EXPECT_TRUE(done.tag == 9 || done.tag == 100);
			EXPECT_EQ(0, done.res);
		}
		EXPECT_NUMBER(&self->s, 1);
		EXPECT_NUMBER(&other, 1);
		wait_sqe(&self->ring, other.m.fd, RONBUS_WAIT_FOREVER, 100)->flags |= self->flags;
		SUBMIT(&self->ring, 1);
		EXPECT_PENDS(&other, &self->ring);
	}
	ASSERT_EQ(0, do_ioctl(other.m.fd, RONBUS_IOC_CANCEL, NULL));
	EXPECT_DONE(&self->ring, 100, -ECANCELED);
	subscriber_leave(&other);
}

/* io_uring itself can take back what a worker does, and nothing that is pending. */
TEST_F(uring, async_cancel)
{
	struct io_uring_sqe *sqe;
	int results[2];

	WAIT(RONBUS_WAIT_FOREVER, 0);
	EXPECT_PENDS(&self->s, &self->ring);
	sqe = io_uring_get_sqe(&self->ring);
	io_uring_prep_cancel64(sqe, 0, 0);
	sqe->user_data = 1;
	SUBMIT(&self->ring, 1);
	if (self->worker) {
		REAP(&self->ring, results, 2U);
		EXPECT_EQ(-ECANCELED, results[0]);
		EXPECT_EQ(-EALREADY, results[1]);
		return;
	}
	EXPECT_DONE(&self->ring, 1, -ENOENT);
	EXPECT_PENDS(&self->s, &self->ring);
	ASSERT_EQ(1, publish_number(&self->pub, 1));
	EXPECT_DONE(&self->ring, 0, 0);
}

/* ---- chains ----------------------------------------------------------------------------- */

/* A publish behind a wait happens when the wait is over, and not if it failed. */
TEST_F(uring, publish_behind_wait)
{
	const struct ronbus_vec vec = { .data = (uintptr_t) "chained", .len = 8 };
	struct ronbus_stats stats;

	wait_sqe(&self->ring, self->s.m.fd, RONBUS_WAIT_FOREVER, 1)->flags |=
		self->flags | IOSQE_IO_LINK;
	publish_sqe(&self->ring, self->pub.m.fd, 0, &vec, 1, 2);
	SUBMIT(&self->ring, 2);
	EXPECT_PENDS(&self->s, &self->ring);
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(0, stats.counters.published_total);
	ASSERT_EQ(1, publish_number(&self->pub, 1));
	EXPECT_DONE(&self->ring, 1, 0);
	EXPECT_DONE(&self->ring, 2, 1);
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(2, stats.counters.published_total);
	EXPECT_NUMBER(&self->s, 1);

	/* It is read: the wait fails, and what hangs on it with it. */
	ASSERT_EQ(1, subscriber_read(&self->s, &(struct message){ 0 }));
	wait_sqe(&self->ring, self->s.m.fd, now_ns() + SEC / 100, 1)->flags |=
		self->flags | IOSQE_IO_LINK;
	publish_sqe(&self->ring, self->pub.m.fd, 0, &vec, 1, 2);
	SUBMIT(&self->ring, 2);
	EXPECT_DONE(&self->ring, 1, -ETIMEDOUT);
	EXPECT_DONE(&self->ring, 2, -ECANCELED);
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(2, stats.counters.published_total);
}

/* A publish that was accepted is a success: what hangs on it goes on. */
TEST_F(uring, chain_of_publishes)
{
	const struct ronbus_vec vec[] = {
		{ .data = (uintptr_t) "one", .len = 4 },
		{ .data = (uintptr_t) "two", .len = 4 },
		{ .data = (uintptr_t) "long", .len = LEN + 1 },
	};
	int results[5];

	publish_sqe(&self->ring, self->pub.m.fd, 0, vec, 2, 0)->flags |= IOSQE_IO_LINK;
	publish_sqe(&self->ring, self->pub.m.fd, 0, vec, 3, 1)->flags |= IOSQE_IO_LINK;
	publish_sqe(&self->ring, self->pub.m.fd, 0, vec, 1, 2)->flags |=
		IOSQE_IO_LINK | IOSQE_ASYNC;
	wait_sqe(&self->ring, self->s.m.fd, 0, 3)->flags |= IOSQE_IO_LINK;
	cancel_sqe(&self->ring, self->s.m.fd, 4);
	SUBMIT(&self->ring, 5);
	REAP(&self->ring, results, 5U);
	EXPECT_EQ(2, results[0]);
	EXPECT_EQ(2, results[1]);
	EXPECT_EQ(1, results[2]);
	EXPECT_EQ(0, results[3]);
	EXPECT_EQ(0, results[4]);
	EXPECT_EQ(5 + SLOTS, subscriber_cursor(&self->s) + 5);

	/* One that failed is not. */
	publish_sqe(&self->ring, self->pub.m.fd, 0, vec + 2, 1, 0)->flags |= IOSQE_IO_LINK;
	publish_sqe(&self->ring, self->pub.m.fd, 0, vec, 1, 1);
	SUBMIT(&self->ring, 2);
	REAP(&self->ring, results, 2U);
	EXPECT_EQ(-EMSGSIZE, results[0]);
	EXPECT_EQ(-ECANCELED, results[1]);
}

/*
 * A linked timeout ends what a worker does, though it may not say so; what is pending has a
 * deadline of its own. With IOSQE_ASYNC the kernel does not even begin to count, whatever the
 * request is.
 */
TEST_F(uring, link_timeout)
{
	struct __kernel_timespec limit = { .tv_nsec = SEC / 50 };
	struct io_uring_sqe *sqe;
	int results[2];

	if (self->flags & IOSQE_ASYNC)
		SKIP(return, "the kernel counts no time for what a worker began");
	wait_sqe(&self->ring, self->s.m.fd, RONBUS_WAIT_FOREVER, 0)->flags |= IOSQE_IO_LINK;
	sqe = io_uring_get_sqe(&self->ring);
	io_uring_prep_link_timeout(sqe, &limit, 0);
	sqe->user_data = 1;
	SUBMIT(&self->ring, 2);
	if (self->worker) {
		REAP(&self->ring, results, 2U);
		EXPECT_EQ(-ECANCELED, results[0]);
		EXPECT_TRUE(results[1] == -ETIME || results[1] == -ENOENT);
		return;
	}
	EXPECT_DONE(&self->ring, 1, -ENOENT);
	EXPECT_PENDS(&self->s, &self->ring);
	ASSERT_EQ(1, publish_number(&self->pub, 1));
	EXPECT_DONE(&self->ring, 0, 0);
}

/* ---- publishing ------------------------------------------------------------------------- */

TEST_F(uring, publish_batches)
{
	static const u32 sizes[] = { 1, 2, 3, 64, 1000, RONBUS_BATCH_MAX };
	static unsigned char data[RONBUS_BATCH_MAX][LEN];
	static struct ronbus_vec vec[RONBUS_BATCH_MAX];
	struct ronbus_stats stats;
	struct subscriber s;
	struct publisher p;
	u64 number = 0, i;
	size_t n;
	int bus;

	bus = CREATE(.features = variant->features | RONBUS_F_BATCH, .capacity = 2048,
		     .payload = LEN);
	ASSERT_LE(0, bus);
	ASSERT_EQ(0, publisher_join(&p, bus, variant->publisher));
	ASSERT_EQ(0, subscriber_join(&s, bus, RONBUS_START_LATEST, 0));
	for (n = 0; n < ARRAY_SIZE(sizes); n++) {
		for (i = 0; i < sizes[n]; i++) {
			message_fill(data[i], LEN, number + i);
			vec[i] = (struct ronbus_vec){ .data = (uintptr_t)data[i], .len = LEN };
		}
		publish_sqe(&self->ring, p.m.fd, 3, vec, sizes[n], n)->flags |= self->flags;
		SUBMIT(&self->ring, 1);
		EXPECT_DONE(&self->ring, n, (int)sizes[n]);
		for (i = 0; i < sizes[n]; i++) {
			struct message msg;

			ASSERT_EQ(1, subscriber_read(&s, &msg));
			ASSERT_TRUE(message_whole(msg.data, msg.len, number++));
			ASSERT_EQ(3, msg.topic);
			ASSERT_EQ(0, msg.publisher);
		}
		EXPECT_EQ(-EAGAIN, subscriber_read(&s, &(struct message){ 0 }));
	}
	ASSERT_EQ(0, fd_stats(bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(number, stats.counters.published_total);
	EXPECT_EQ(number, stats.counters.delivered_total);
	EXPECT_EQ(ARRAY_SIZE(sizes) - 1, stats.counters.batch_publish_total);
	EXPECT_EQ(2, stats.counters.batch_len_histogram[1]);
	EXPECT_EQ(1, stats.counters.batch_len_histogram[10]);
	publisher_leave(&p);
	subscriber_leave(&s);
	close(bus);

	/* More than the ring holds: the last ones are there, the others are lost and told. */
	publish_sqe(&self->ring, self->pub.m.fd, 0, vec, RONBUS_BATCH_MAX, 9)->flags |= self->flags;
	SUBMIT(&self->ring, 1);
	EXPECT_DONE(&self->ring, 9, RONBUS_BATCH_MAX);
	for (i = 0; i < SLOTS; i++) {
		struct message msg;

		ASSERT_EQ(1, subscriber_read(&self->s, &msg));
		EXPECT_EQ(i ? 0 : RONBUS_BATCH_MAX - SLOTS, msg.lost);
	}
	EXPECT_TRUE(subscriber_identity(&self->s));
}

#define EXPECT_PUBLISHES(result, topic, vec, n)                                                   \
	do {                                                                                      \
		publish_sqe(&self->ring, self->pub.m.fd, topic, vec, n, 1)->flags |= self->flags; \
		SUBMIT(&self->ring, 1);                                                           \
		EXPECT_DONE(&self->ring, 1, result);                                              \
	} while (0)

TEST_F(uring, publish_refuses)
{
	struct ronbus_vec good = { .data = (uintptr_t) "good", .len = 5 };
	struct ronbus_vec long_one = { .data = good.data, .len = LEN + 1 };
	struct ronbus_vec padded = { .data = good.data, .len = 5, .pad = 1 };
	struct ronbus_stats stats;

	EXPECT_PUBLISHES(-EINVAL, 0, &good, 0);
	EXPECT_PUBLISHES(-EINVAL, 0, &good, RONBUS_BATCH_MAX + 1);
	EXPECT_PUBLISHES(-EINVAL, 0, &good, ~0U);
	EXPECT_PUBLISHES(-EINVAL, RONBUS_TOPICS_MAX, &good, 1);
	EXPECT_PUBLISHES(-EINVAL, ~0U, &good, 1);
	EXPECT_PUBLISHES(-EINVAL, 0, &padded, 1);
	EXPECT_PUBLISHES(-EMSGSIZE, 0, &long_one, 1);
	EXPECT_PUBLISHES(-EFAULT, 0, NULL, 1);
	EXPECT_PUBLISHES(-EFAULT, 0, (struct ronbus_vec *)-8L, 1);
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(0, stats.counters.published_total + stats.counters.dropped_total);
	EXPECT_PUBLISHES(1, RONBUS_TOPICS_MAX - 1, &good, 1);
}

/* What went before a bad one is published, exactly that, and counted. */
TEST_F(uring, partial_batches)
{
	char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ronbus_vec good = { .data = (uintptr_t)page, .len = LEN }, *vec;
	const struct ronbus_vec bad[] = {
		{ .data = (uintptr_t)page + 4096 - LEN + 1, .len = LEN },
		{ .data = ~0ULL, .len = 1 },
		{ .data = (uintptr_t)page, .len = LEN + 1 },
		{ .data = (uintptr_t)page, .len = LEN, .pad = 1 << 31 },
	};
	static const int errors[] = { -EFAULT, -EFAULT, -EMSGSIZE, -EINVAL };
	struct ronbus_stats stats;
	u64 published = 0;
	size_t kind;
	u32 i, k;

	ASSERT_NE(MAP_FAILED, page);
	ASSERT_EQ(0, mprotect(page + 4096, 4096, PROT_NONE));
	vec = calloc(8, sizeof(*vec));
	ASSERT_NE(NULL, vec);
	for (kind = 0; kind < ARRAY_SIZE(bad); kind++)
		for (k = 0; k < 8; k++) {
			for (i = 0; i < 8; i++)
				vec[i] = i == k ? bad[kind] : good;
			EXPECT_PUBLISHES(k ? (int)k : errors[kind], 0, vec, 8);
			published += k;
			for (i = 0; i < k; i++) {
				ASSERT_EQ(1, subscriber_read(&self->s, &(struct message){ 0 }));
			}
			EXPECT_EQ(-EAGAIN, subscriber_read(&self->s, &(struct message){ 0 }));
			ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
			EXPECT_EQ(published, stats.counters.published_total);
		}
	free(vec);

	/* And where the vector itself ends. */
	vec = (struct ronbus_vec *)(page + 4096) - 3;
	for (i = 0; i < 3; i++)
		vec[i] = (struct ronbus_vec){ .data = (uintptr_t)page, .len = 8 };
	EXPECT_PUBLISHES(3, 0, vec, 8);
	EXPECT_PUBLISHES(-EFAULT, 0, vec + 3, 1);
	munmap(page, 8192);
}

/* Nobody to receive them: looked at, counted, not written. */
TEST_F(uring, nobody_receives)
{
	struct ronbus_vec vec[2] = { { .data = (uintptr_t) "a", .len = 1 },
				     { .data = ~0ULL, .len = 1 } };
	struct ronbus_stats stats;

	subscriber_leave(&self->s);
	EXPECT_PUBLISHES(1, 0, vec, 2);
	EXPECT_PUBLISHES(-EFAULT, 0, vec + 1, 1);
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(1, stats.counters.no_receivers_total);
	EXPECT_EQ(0, stats.counters.published_total);
	EXPECT_EQ(SLOTS, stats.tail);
	ASSERT_EQ(0, subscriber_join(&self->s, self->bus, RONBUS_START_LATEST, 0));
}

/* Dropped is dropped: nobody tries again behind the program's back. */
TEST_F(uring, dropped_once)
{
	struct ronbus_vec vec = { .data = (uintptr_t) "drop", .len = 5 };
	struct ronbus_claim claim = { 0 };
	struct ronbus_stats stats;
	struct publisher holder;
	u64 i;

	ASSERT_EQ(0, publisher_join(&holder, self->bus, RONBUS_PUBLISHER_MAPPED));
	for (i = 0; i < SLOTS; i++) {
		claim.pos = ronbus_ring_hint(&holder.m.ring);
		ASSERT_EQ(0, publisher_claim(&holder, &claim));
		ronbus_ring_advance(&holder.m.ring, claim.pos + 1);
	}
	for (i = 1; i <= 5; i++) {
		EXPECT_PUBLISHES(-EAGAIN, 0, &vec, 1);
		ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
		EXPECT_EQ(i, stats.counters.dropped_total);
		EXPECT_EQ(0, stats.counters.published_total);
	}
	publisher_leave(&holder);
	EXPECT_PUBLISHES(1, 0, &vec, 1);
}

/* ---- a publisher that another thread is using ------------------------------------------- */

/**
 * struct stuck - a page that nobody can read before somebody puts it there
 * @fd: the userfaultfd
 * @page: the page
 */
struct stuck {
	int fd;
	char *page;
};

static int stuck_make(struct stuck *stuck)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	stuck->fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (stuck->fd < 0)
		return -errno;
	stuck->page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (stuck->page == MAP_FAILED)
		return -errno;
	range.range.start = (uintptr_t)stuck->page;
	range.range.len = 4096;
	return do_ioctl(stuck->fd, UFFDIO_API, &api)
		       ?: do_ioctl(stuck->fd, UFFDIO_REGISTER, &range);
}

/* Somebody stands there. */
static bool stuck_has(struct stuck *stuck)
{
	return fd_poll(stuck->fd, POLLIN) == POLLIN;
}

static int stuck_free(struct stuck *stuck)
{
	struct uffdio_zeropage zero = {
		.range = { .start = (uintptr_t)stuck->page, .len = 4096 },
	};

	return do_ioctl(stuck->fd, UFFDIO_ZEROPAGE, &zero);
}

/**
 * struct caller - a thread that publishes by ioctl
 * @fd: the publisher
 * @data: what it publishes
 * @ret: what it got
 */
struct caller {
	int fd;
	const void *data;
	int ret;
};

static void *caller_main(void *arg)
{
	struct caller *caller = arg;
	struct ronbus_vec vec = { .data = (uintptr_t)caller->data, .len = 8 };

	caller->ret = fd_publish(caller->fd, 0, &vec, 1, NULL);
	return NULL;
}

/* The other thread is inside: a worker waits for it, and the submitter does not. */
TEST_F(uring, contended_publisher)
{
	struct ronbus_vec vec = { .data = (uintptr_t) "patient", .len = 8 };
	struct caller caller = { .fd = self->pub.m.fd };
	struct ronbus_stats stats;
	struct io_uring_sqe *sqe;
	struct stuck stuck;
	pthread_t thread;
	int results[3], err;

	err = stuck_make(&stuck);
	if (err == -EPERM || err == -ENOSYS)
		SKIP(return, "no userfaultfd: %s", strerror(-err));
	ASSERT_EQ(0, err);
	caller.data = stuck.page;
	ASSERT_EQ(0, pthread_create(&thread, NULL, caller_main, &caller));
	ASSERT_TRUE(wait_until(stuck_has(&stuck)));

	publish_sqe(&self->ring, self->pub.m.fd, 0, &vec, 1, 0);
	publish_sqe(&self->ring, self->pub.m.fd, 0, &vec, 1, 1);
	SUBMIT(&self->ring, 2);
	/* One of the two is taken back while it waits, or before. */
	sqe = io_uring_get_sqe(&self->ring);
	io_uring_prep_cancel64(sqe, 1, 0);
	sqe->user_data = 2;
	SUBMIT(&self->ring, 1);
	for (err = 0; err < 2; err++) {
		struct completion done;

		ASSERT_EQ(0, reap(&self->ring, &done));
		ASSERT_TRUE(done.tag == 1 || done.tag == 2);
		results[done.tag] = done.res;
	}
	EXPECT_TRUE(results[1] == -EINTR || results[1] == -ECANCELED) TH_LOG("%d", results[1]);
	EXPECT_TRUE(results[2] == 0 || results[2] == -EALREADY) TH_LOG("%d", results[2]);
	EXPECT_TRUE(quiet(&self->ring));
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(0, stats.counters.published_total);

	ASSERT_EQ(0, stuck_free(&stuck));
	EXPECT_DONE(&self->ring, 0, 1);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(1, caller.ret);
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(2, stats.counters.published_total);
	EXPECT_EQ(0, stats.counters.dropped_total);
	munmap(stuck.page, 4096);
	close(stuck.fd);
}

/* ---- polling ---------------------------------------------------------------------------- */

/* A multishot poll and the discipline: drain, arm, and only then wait. One completion a wake-up. */
TEST_F(uring, multishot_poll)
{
	bool edge = variant->features & RONBUS_F_EDGE_NOTIFY;
	struct completion done;
	struct message msg;
	int i;

	io_uring_prep_poll_multishot(io_uring_get_sqe(&self->ring), self->s.m.fd, POLLIN);
	SUBMIT(&self->ring, 1);
	for (i = 0; i < 20; i++) {
		ASSERT_EQ(0, fd_arm(self->s.m.fd));
		EXPECT_PENDS(&self->s, &self->ring);
		ASSERT_EQ(1, publish_number(&self->pub, (u64)i));
		ASSERT_EQ(0, reap(&self->ring, &done));
		EXPECT_EQ(POLLIN, done.res & (POLLIN | POLLERR | POLLHUP));
		EXPECT_TRUE(done.flags & IORING_CQE_F_MORE);
		/* It is awake: no more wake-ups until it arms. */
		ASSERT_EQ(1, publish_number(&self->pub, (u64)i));
		if (edge) {
			EXPECT_TRUE(quiet(&self->ring));
		} else {
			ASSERT_EQ(0, reap(&self->ring, &done));
		}
		EXPECT_EQ(1, fd_arm(self->s.m.fd));
		EXPECT_FALSE(subscriber_armed(&self->s));
		EXPECT_NUMBER(&self->s, (u64)i);
		EXPECT_NUMBER(&self->s, (u64)i);
	}
	ASSERT_EQ(0, fd_arm(self->s.m.fd));
	publisher_leave(&self->pub);
	do {
		ASSERT_EQ(0, reap(&self->ring, &done));
	} while (done.res >= 0 && !(done.res & POLLHUP));
	EXPECT_TRUE(done.res & POLLHUP);
	EXPECT_EQ(0, subscriber_read(&self->s, &msg));
}

/* ---- several things in one ring --------------------------------------------------------- */

TEST_F(uring, buses_and_a_socket)
{
	struct publisher p[3];
	struct subscriber s[3];
	int sockets[2], bus[3], i, round;
	char byte;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets));
	for (i = 0; i < 3; i++) {
		bus[i] = CREATE(.features = variant->features, .capacity = SLOTS, .payload = LEN);
		ASSERT_LE(0, bus[i]);
		ASSERT_EQ(0, publisher_join(&p[i], bus[i], variant->publisher));
		ASSERT_EQ(0, subscriber_join(&s[i], bus[i], RONBUS_START_LATEST, 0));
		wait_sqe(&self->ring, s[i].m.fd, RONBUS_WAIT_FOREVER, (u64)i)->flags |= self->flags;
	}
	for (round = 0; round < 3; round++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&self->ring);

		io_uring_prep_recv(sqe, sockets[0], &byte, 1, 0);
		sqe->user_data = 3;
		SUBMIT(&self->ring, round ? 1 : 4);
		for (i = 2; i >= 0; i--) {
			EXPECT_PENDS(&s[i], &self->ring);
			ASSERT_EQ(1, publish_number(&p[i], (u64)round));
			EXPECT_DONE(&self->ring, (u64)i, 0);
			EXPECT_NUMBER(&s[i], (u64)round);
			wait_sqe(&self->ring, s[i].m.fd, RONBUS_WAIT_FOREVER, (u64)i)->flags |=
				self->flags;
			SUBMIT(&self->ring, 1);
		}
		ASSERT_EQ(1, write(sockets[1], "x", 1));
		EXPECT_DONE(&self->ring, 3, 1);
	}
	for (i = 0; i < 3; i++) {
		publisher_leave(&p[i]);
		EXPECT_DONE(&self->ring, (u64)i, 0);
		subscriber_leave(&s[i]);
		close(bus[i]);
	}
	close(sockets[0]);
	close(sockets[1]);
}

/* A worker sleeps for one wait at a time: those beyond the workers are not even begun. */
TEST_F(uring, more_waits_than_workers)
{
	unsigned int limits[2] = { 1, 1 };
	struct subscriber other;

	if (variant->setup & IORING_SETUP_SQPOLL)
		SKIP(return, "the workers are those of the kernel's thread");
	ASSERT_EQ(0, io_uring_register_iowq_max_workers(&self->ring, limits));
	ASSERT_EQ(0, subscriber_join(&other, self->bus, RONBUS_START_LATEST, 0));
	WAIT(RONBUS_WAIT_FOREVER, 0);
	EXPECT_PENDS(&self->s, &self->ring);
	wait_sqe(&self->ring, other.m.fd, RONBUS_WAIT_FOREVER, 1)->flags |= self->flags;
	SUBMIT(&self->ring, 1);
	if (!self->worker) {
		EXPECT_PENDS(&other, &self->ring);
	}
	ASSERT_EQ(0, do_ioctl(self->s.m.fd, RONBUS_IOC_CANCEL, NULL));
	EXPECT_DONE(&self->ring, 0, -ECANCELED);
	EXPECT_PENDS(&other, &self->ring);
	ASSERT_EQ(1, publish_number(&self->pub, 1));
	EXPECT_DONE(&self->ring, 1, 0);
	subscriber_leave(&other);
}

/* ---- counters --------------------------------------------------------------------------- */

TEST_F(uring, counters)
{
	bool edge = variant->features & RONBUS_F_EDGE_NOTIFY;
	const struct ronbus_counters *c;
	struct ronbus_stats stats;
	u64 i, timed;

	for (i = 0; i < 10; i++) {
		WAIT(RONBUS_WAIT_FOREVER, i);
		EXPECT_PENDS(&self->s, &self->ring);
		ASSERT_EQ(1, publish_number(&self->pub, i));
		EXPECT_DONE(&self->ring, i, 0);
		ASSERT_EQ(1, publish_number(&self->pub, i)); /* it is awake */
		EXPECT_NUMBER(&self->s, i);
		EXPECT_NUMBER(&self->s, i);
	}
	WAIT(now_ns() + SEC / 100, 1);
	EXPECT_DONE(&self->ring, 1, -ETIMEDOUT);
	/* Too late to begin with, it only looks. */
	timed = waits_total(&self->s);
	EXPECT_LE(10, timed);
	EXPECT_GE(12, timed);
	WAIT(RONBUS_WAIT_FOREVER, 2);
	EXPECT_PENDS(&self->s, &self->ring);
	ASSERT_TRUE(wait_until(waits_total(&self->s) == timed + 1));
	ASSERT_EQ(0, do_ioctl(self->s.m.fd, RONBUS_IOC_CANCEL, NULL));
	EXPECT_DONE(&self->ring, 2, -ECANCELED);
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	c = &stats.counters;
	/* One that is woken in vain asks again before it gives up: by the timer, by the cancel. */
	EXPECT_EQ(timed + (self->worker ? 3 : 2), c->waits_total);
	EXPECT_EQ(20, c->published_total);
	EXPECT_EQ(20, c->delivered_total);
	EXPECT_EQ(edge ? 10 : 20, c->wakes_total[RONBUS_WAKE_DATA]);
	EXPECT_EQ(edge ? 10 : 20, c->notify_sends_total);
	EXPECT_EQ(edge ? 10 : 0, c->notify_suppressed_total);
	EXPECT_EQ(0, c->wakes_total[RONBUS_WAKE_TIMER]);
	EXPECT_EQ(0, c->wakes_total[RONBUS_WAKE_REPAIR]);
	EXPECT_EQ(0, c->wakes_total[RONBUS_WAKE_CLOSE]);
	EXPECT_EQ(self->pub.notifies, c->notify_calls_total);
}

/* ---- what goes away in the middle ------------------------------------------------------- */

/* A wait holds its subscriber: closing the fd is leaving only when the wait is over. */
TEST_F(uring, fd_closed)
{
	int fd = dup(self->s.m.fd);

	ASSERT_LE(0, fd);
	WAIT(RONBUS_WAIT_FOREVER, 1);
	EXPECT_PENDS(&self->s, &self->ring);
	close(self->s.m.fd);
	member_unmap(&self->s.m);
	close(fd);
	EXPECT_EQ(1, members(self->bus));
	EXPECT_EQ(1, armed_set(self->bus));
	ASSERT_EQ(1, publish_number(&self->pub, 1));
	EXPECT_DONE(&self->ring, 1, 0);
	EXPECT_TRUE(wait_until((io_uring_get_events(&self->ring), members(self->bus) == 0)));
	ASSERT_EQ(0, subscriber_join(&self->s, self->bus, RONBUS_START_LATEST, 0));
}

/* With the ring its waits go, and with them what they held. */
TEST_F(uring, ring_closed)
{
	struct io_uring ring;
	int i;

	for (i = 0; i < 10; i++) {
		RING(&ring, variant->setup);
		wait_sqe(&ring, self->s.m.fd, RONBUS_WAIT_FOREVER, 1)->flags |= self->flags;
		wait_sqe(&ring, self->s.m.fd, now_ns() + 1000 * SEC, 2)->flags |= self->flags;
		SUBMIT(&ring, 2);
		EXPECT_PENDS(&self->s, &ring);
		subscriber_leave(&self->s);
		io_uring_queue_exit(&ring);
		ASSERT_TRUE(wait_until(members(self->bus) == 0));
		ASSERT_EQ(0, subscriber_join(&self->s, self->bus, RONBUS_START_LATEST, 0));
	}
}

static void *submit_main(void *arg)
{
	io_uring_submit(arg);
	return NULL;
}

/* A thread that ends takes its workers along; what is pending is none of theirs. */
TEST_F(uring, thread_ends)
{
	pthread_t thread;

	if (variant->setup & (IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_SQPOLL))
		SKIP(return, "no thread but one may submit, or none does");
	wait_sqe(&self->ring, self->s.m.fd, RONBUS_WAIT_FOREVER, 1)->flags |= self->flags;
	ASSERT_EQ(0, pthread_create(&thread, NULL, submit_main, &self->ring));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	if (self->worker) {
		EXPECT_DONE(&self->ring, 1, -ECANCELED);
		WAIT(RONBUS_WAIT_FOREVER, 1);
	}
	EXPECT_PENDS(&self->s, &self->ring);
	ASSERT_EQ(1, publish_number(&self->pub, 1));
	EXPECT_DONE(&self->ring, 1, 0);
}

enum ending {
	EXITS,
	DIES,
	EXECS,
	ENDINGS,
};

/* A subscriber of its own, a ring, and three waits; then the end. */
static void child_waits(int bus, unsigned int setup, unsigned int flags, enum ending ending,
			bool *asleep)
{
	struct io_uring ring;
	struct subscriber s;
	int i;

	if (subscriber_join(&s, bus, RONBUS_START_LATEST, 0) || ring_make(&ring, ENTRIES, setup))
		_exit(1);
	for (i = 0; i < 3; i++)
		wait_sqe(&ring, s.m.fd, i ? RONBUS_WAIT_FOREVER : now_ns() + 1000 * SEC, 0)->flags |=
			flags;
	if (io_uring_submit(&ring) != 3 || !wait_until(waits_total(&s) == 3))
		_exit(2);
	__atomic_store_n(asleep, true, __ATOMIC_SEQ_CST);
	switch (ending) {
	case EXECS:
		execlp("sleep", "sleep", "1000", NULL);
		_exit(3);
	case DIES:
		kill(getpid(), SIGKILL);
		break;
	default:
		break;
	}
	_exit(0);
}

TEST_F(uring, process_ends)
{
	static const int statuses[] = { 0, -SIGKILL, -SIGTERM };
	bool *asleep = shared_memory(sizeof(*asleep));
	enum ending ending;

	ASSERT_NE(NULL, asleep);
	for (ending = EXITS; ending < ENDINGS; ending++) {
		pid_t pid;

		*asleep = false;
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid)
			child_waits(self->bus, variant->setup, self->flags, ending, asleep);
		if (ending == EXECS) {
			/* The new program lives, and has nothing of the bus. */
			ASSERT_TRUE(wait_until(__atomic_load_n(asleep, __ATOMIC_SEQ_CST)));
			EXPECT_TRUE(wait_until(members(self->bus) == 1));
			ASSERT_EQ(0, kill(pid, SIGTERM));
		}
		EXPECT_EQ(statuses[ending], child_status(pid));
		EXPECT_TRUE(wait_until(members(self->bus) == 1)) TH_LOG("ending %d", ending);
	}
}

/* ---- nobody is forgotten ---------------------------------------------------------------- */

/*
 * Two processes that each wait for the other, through rings only: one lost wake-up, and both sleep
 * for good.
 */
FIXTURE(ping_pong)
{
	int control;
	int bus[2];
};

FIXTURE_VARIANT(ping_pong)
{
	u64 features;
	unsigned int setup;
	bool linked; /* publish and wait in one go */
};

FIXTURE_VARIANT_ADD(ping_pong, edge){ RONBUS_F_EDGE_NOTIFY, 0, false };
FIXTURE_VARIANT_ADD(ping_pong, baseline){ 0, 0, false };
FIXTURE_VARIANT_ADD(ping_pong, linked){ RONBUS_F_EDGE_NOTIFY, 0, true };
FIXTURE_VARIANT_ADD(ping_pong, defer){ RONBUS_F_EDGE_NOTIFY,
				       IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
				       true };
FIXTURE_VARIANT_ADD(ping_pong, sqpoll){ RONBUS_F_EDGE_NOTIFY, IORING_SETUP_SQPOLL, false };

FIXTURE_SETUP(ping_pong)
{
	int i;

	self->control = OPEN_CONTROL();
	for (i = 0; i < 2; i++) {
		self->bus[i] =
			CREATE(.features = variant->features, .capacity = SLOTS, .payload = LEN);
		ASSERT_LE(0, self->bus[i]);
	}
}

FIXTURE_TEARDOWN(ping_pong)
{
	close(self->bus[0]);
	close(self->bus[1]);
	close(self->control);
}

#define ROUNDS 3000U

/* One request and its completion. */
static int ring_do(struct io_uring *ring)
{
	struct completion done;
	int err = io_uring_submit(ring) < 0 ? -EIO : reap(ring, &done);

	return err ? err : done.res;
}

/* Say @number, and wait for the answer. */
static int say_and_wait(struct io_uring *ring, struct publisher *p, struct subscriber *s,
			u64 number, bool linked)
{
	unsigned char data[LEN];
	struct ronbus_vec vec = { .data = (uintptr_t)data, .len = LEN };
	struct completion done;
	struct io_uring_sqe *sqe;
	int err;

	message_fill(data, LEN, number);
	sqe = publish_sqe(ring, p->m.fd, 0, &vec, 1, 0);
	if (linked) {
		sqe->flags |= IOSQE_IO_LINK;
		wait_sqe(ring, s->m.fd, RONBUS_WAIT_FOREVER, 0);
	}
	err = ring_do(ring);
	if (err != 1)
		return err < 0 ? err : -EPIPE;
	if (linked) {
		err = reap(ring, &done);
		return err ? err : done.res;
	}
	wait_sqe(ring, s->m.fd, RONBUS_WAIT_FOREVER, 0);
	return ring_do(ring);
}

/* How many numbers were said up to the end of the time, or an error. */
static long ping_pong(struct publisher *p, struct subscriber *s, unsigned int setup, bool linked,
		      bool first, u64 end)
{
	struct io_uring ring;
	struct message msg;
	u64 number = 0;
	int ret;

	ret = ring_make(&ring, 8, setup);
	if (ret)
		return ret;
	if (!first) {
		wait_sqe(&ring, s->m.fd, RONBUS_WAIT_FOREVER, 0);
		ret = ring_do(&ring);
	}
	while (!ret) {
		if (number || !first) {
			ret = subscriber_read(s, &msg);
			if (ret != 1) /* the end: the other one's time was over first */
				break;
			if (msg.lost || !message_whole(msg.data, msg.len, 2 * number - first))
				ret = -EPROTO;
			else
				ret = 0;
		}
		if (ret || number == ROUNDS || now_ns() > end)
			break;
		ret = say_and_wait(&ring, p, s, 2 * number + !first, linked);
		number++;
	}
	io_uring_queue_exit(&ring);
	return ret ? ret : (long)number;
}

TEST_F(ping_pong, soak)
{
	u64 end = now_ns() + SEC;
	struct publisher p[2];
	struct subscriber s[2];
	long count;
	pid_t pid;
	int i;

	/* Joined before anything is said; each keeps its own half. */
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, subscriber_join(&s[i], self->bus[!i], RONBUS_START_LATEST, 0));
	}
	pid = fork();
	ASSERT_LE(0, pid);
	i = !pid;
	/* The mappings did not come along. */
	if (!pid) {
		ASSERT_EQ(0, member_map(&s[i].m, s[i].m.fd, PROT_READ));
	}
	close(s[!i].m.fd);
	ASSERT_EQ(0, publisher_join(&p[i], self->bus[i], 0));
	count = ping_pong(&p[i], &s[i], variant->setup, variant->linked, !pid, end);
	publisher_leave(&p[i]);
	subscriber_leave(&s[i]);
	if (!pid)
		_exit(count > 0 ? 0 : 1);
	EXPECT_LT(0, count) TH_LOG("%ld", count);
	EXPECT_EQ(0, child_status(pid));
}

/*
 * The moment itself: in each round a message is published and a wait is submitted, and one of them
 * has to see the other. Whoever came first waits a little longer in the next round.
 */
struct racer {
	struct publisher *pub;
	u64 round; /* of the waiter: the publisher may begin */
	u64 done; /* of the publisher */
	bool stop;
	int failed;
};

static void stagger(long steps)
{
	volatile long i;

	for (i = steps; i > 0; i--)
		;
}

/* To a CPU of its own, if there are two. */
static void settle(unsigned int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void *racer_main(void *arg)
{
	struct racer *racer = arg;
	u64 round, last = 0;

	settle(1);
	while (!__atomic_load_n(&racer->stop, __ATOMIC_ACQUIRE)) {
		round = __atomic_load_n(&racer->round, __ATOMIC_ACQUIRE);
		if (round == last)
			continue;
		last = round;
		stagger(2000);
		if (publish_number(racer->pub, round) != 1)
			racer->failed++;
		__atomic_store_n(&racer->done, round, __ATOMIC_RELEASE);
	}
	return NULL;
}

TEST_F(uring, publish_against_wait)
{
	u64 random = random_seed(), end = now_ns() + SEC * 6 / 10, waits = 0, round;
	struct racer racer = { .pub = &self->pub };
	u64 first[2] = { 0 }; /* how often the publisher, and the wait */
	long delay = 2000, step = 8;
	bool last = false;
	pthread_t thread;

	settle(0);
	ASSERT_EQ(0, pthread_create(&thread, NULL, racer_main, &racer));
	for (round = 1; now_ns() < end || ((!first[0] || !first[1]) && now_ns() < end + WATCHDOG);
	     round++) {
		u64 now;
		bool slept;

		__atomic_store_n(&racer.round, round, __ATOMIC_RELEASE);
		random = random_next(random);
		stagger(delay + (long)(random >> 40) % 64);
		WAIT(RONBUS_WAIT_FOREVER, round);
		EXPECT_DONE(&self->ring, round, 0);
		ASSERT_TRUE(spin_until(__atomic_load_n(&racer.done, __ATOMIC_ACQUIRE) == round));
		EXPECT_NUMBER(&self->s, round);
		ASSERT_FALSE(subscriber_armed(&self->s));

		now = waits_total(&self->s);
		slept = now != waits;
		waits = now;
		first[slept]++;
		step = slept != last ? 8 : step < 4096 ? 2 * step : step;
		last = slept;
		delay += slept ? step : -step;
		if (delay < 0)
			delay = 0;
	}
	__atomic_store_n(&racer.stop, true, __ATOMIC_RELEASE);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, racer.failed);
	EXPECT_LT(0, first[0]);
	EXPECT_LT(0, first[1]);
}

/* Messages, cancels and deadlines at once, and rings that go away under all of them. */
struct troublemaker {
	struct publisher *pub;
	int fd;
	bool stop;
};

static void *trouble_main(void *arg)
{
	struct troublemaker *t = arg;
	u64 random = random_seed();

	while (!__atomic_load_n(&t->stop, __ATOMIC_ACQUIRE)) {
		random = random_next(random);
		stagger((long)(random >> 40) % 4096);
		if (random >> 61 == 7)
			publish_number(t->pub, random);
		else
			do_ioctl(t->fd, RONBUS_IOC_CANCEL, NULL);
	}
	return NULL;
}

TEST_F(uring, everything_at_once)
{
	struct troublemaker trouble = { .pub = &self->pub, .fd = self->s.m.fd };
	u64 random = random_seed(), end = now_ns() + SEC / 2, seen[3] = { 0 };
	struct message msg;
	pthread_t thread;
	int i;

	ASSERT_EQ(0, pthread_create(&thread, NULL, trouble_main, &trouble));
	while (now_ns() < end ||
	       ((!seen[0] || !seen[1] || !seen[2]) && now_ns() < end + WATCHDOG)) {
		/* On a slow machine time is over before anything else happens: then more of it. */
		int rounds = (int)(random >> 60), shift = now_ns() < end ? 44 : 34;
		struct io_uring ring;

		RING(&ring, variant->setup);
		for (; rounds >= 0; rounds--) {
			for (i = 0; i < 4; i++) {
				random = random_next(random);
				wait_sqe(&ring, self->s.m.fd, now_ns() + (random >> shift), 1)
					->flags |= self->flags;
			}
			SUBMIT(&ring, 4);
			/* The last ones of a ring are left to its end. */
			for (i = 0; rounds && i < 4; i++) {
				struct completion done;

				ASSERT_EQ(0, reap(&ring, &done));
				ASSERT_TRUE(!done.res || done.res == -ETIMEDOUT ||
					    done.res == -ECANCELED)
				TH_LOG("%d", done.res);
				seen[done.res == -ETIMEDOUT ? 1 : done.res ? 2 : 0]++;
			}
			while (subscriber_read(&self->s, &msg) == 1)
				;
		}
		io_uring_queue_exit(&ring);
	}
	__atomic_store_n(&trouble.stop, true, __ATOMIC_RELEASE);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	for (i = 0; i < 3; i++) {
		EXPECT_LT(0, seen[i]) TH_LOG("%d", i);
	}
	while (subscriber_read(&self->s, &msg) == 1)
		;
	WAIT(RONBUS_WAIT_FOREVER, 1);
	EXPECT_PENDS(&self->s, &self->ring);
	ASSERT_EQ(1, publish_number(&self->pub, 1));
	EXPECT_DONE(&self->ring, 1, 0);
}

/* ---- the library ------------------------------------------------------------------------ */

FIXTURE(lib)
{
	struct ronbus *bus;
	struct ronbus_pub *pub;
	struct ronbus_sub *sub;
	struct io_uring ring;
};

FIXTURE_SETUP(lib)
{
	struct ronbus_options options = { .features = RONBUS_FEATURES_RECOMMENDED,
					  .capacity = SLOTS,
					  .payload = LEN };

	if (access(DEVICE, F_OK))
		SKIP(return, "no %s: the module is not loaded", DEVICE);
	RING(&self->ring, 0);
	ASSERT_EQ(0, ronbus_create(RONBUS_DEVICE, &options, &self->bus));
	ASSERT_EQ(0, ronbus_publisher(self->bus, RONBUS_PUB_SYSCALL, &self->pub));
	ASSERT_EQ(0, ronbus_subscribe(self->bus, NULL, &self->sub));
}

FIXTURE_TEARDOWN(lib)
{
	ronbus_sub_close(self->sub);
	ronbus_pub_close(self->pub);
	ronbus_close(self->bus);
	io_uring_queue_exit(&self->ring);
}

static bool lib_armed(struct ronbus *bus)
{
	struct ronbus_stats stats;

	return !ronbus_stats(bus, 0, &stats) && stats.armed;
}

/* An entry as full of something else as can be, but for what the program sets behind. */
static struct io_uring_sqe *lib_sqe(struct io_uring *ring, u64 tag)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	poison(*sqe);
	sqe->user_data = tag;
	return sqe;
}

TEST_F(lib, wait)
{
	struct completion done;
	struct ronbus_msg msg;
	char buf[LEN];
	u64 began;
	int i;

	EXPECT_EQ(0, ronbus_uring_check(self->bus));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, ronbus_uring_prep_wait(lib_sqe(&self->ring, 1), self->sub, -1));
		SUBMIT(&self->ring, 1);
		ASSERT_TRUE(wait_until(lib_armed(self->bus)));
		ASSERT_TRUE(quiet(&self->ring));
		ASSERT_EQ(1, ronbus_publish(self->pub, 0, "hello", 5));
		ASSERT_EQ(0, reap(&self->ring, &done));
		EXPECT_EQ(1, done.tag);
		EXPECT_EQ(0, ronbus_uring_waited(self->sub, done.res));
		EXPECT_EQ(RONBUS_MESSAGE, ronbus_try_recv(self->sub, buf, sizeof(buf), &msg));
		EXPECT_EQ(-EAGAIN, ronbus_try_recv(self->sub, buf, sizeof(buf), &msg));
	}
	ASSERT_EQ(0, ronbus_uring_prep_wait(lib_sqe(&self->ring, 2), self->sub, 0));
	SUBMIT(&self->ring, 1);
	ASSERT_EQ(0, reap(&self->ring, &done));
	EXPECT_EQ(-ETIMEDOUT, ronbus_uring_waited(self->sub, done.res));
	began = now_ns();
	ASSERT_EQ(0, ronbus_uring_prep_wait(lib_sqe(&self->ring, 2), self->sub, SEC / 50));
	SUBMIT(&self->ring, 1);
	ASSERT_EQ(0, reap(&self->ring, &done));
	EXPECT_EQ(-ETIMEDOUT, ronbus_uring_waited(self->sub, done.res));
	EXPECT_LE(began + SEC / 50, now_ns());
	/* The end. */
	ASSERT_EQ(0, ronbus_uring_prep_wait(lib_sqe(&self->ring, 3), self->sub, INT64_MAX));
	SUBMIT(&self->ring, 1);
	ASSERT_TRUE(wait_until(lib_armed(self->bus)));
	ronbus_pub_close(self->pub);
	self->pub = NULL;
	ASSERT_EQ(0, reap(&self->ring, &done));
	EXPECT_EQ(0, ronbus_uring_waited(self->sub, done.res));
	EXPECT_EQ(RONBUS_CLOSED, ronbus_try_recv(self->sub, buf, sizeof(buf), &msg));
}

TEST_F(lib, cancel)
{
	struct completion done;
	int way;

	for (way = 0; way < 2; way++) {
		ASSERT_EQ(0, ronbus_uring_prep_wait(lib_sqe(&self->ring, 1), self->sub, -1));
		SUBMIT(&self->ring, 1);
		ASSERT_TRUE(wait_until(lib_armed(self->bus)));
		if (way) {
			ASSERT_EQ(0, ronbus_cancel(self->sub));
		} else {
			ASSERT_EQ(0, ronbus_uring_prep_cancel(lib_sqe(&self->ring, 2), self->sub));
			SUBMIT(&self->ring, 1);
		}
		do {
			ASSERT_EQ(0, reap(&self->ring, &done));
			if (done.tag == 1) {
				EXPECT_EQ(-ECANCELED, ronbus_uring_waited(self->sub, done.res));
			} else {
				EXPECT_EQ(0, done.res);
			}
		} while (way ? done.tag != 1 : !quiet(&self->ring));
		/* Nobody arms, so the next round sees its own wait. */
		ASSERT_EQ(1, ronbus_publish(self->pub, 0, "x", 1));
		EXPECT_EQ(RONBUS_MESSAGE, ronbus_try_recv(self->sub, &(char[LEN]){ 0 }, LEN,
							  &(struct ronbus_msg){ 0 }));
	}
}

TEST_F(lib, publish)
{
	struct ronbus_vec vec[3] = {
		{ .data = (uintptr_t) "one", .len = 3 },
		{ .data = (uintptr_t) "two", .len = 3 },
		{ .data = (uintptr_t) "three", .len = LEN + 1 },
	};
	struct io_uring_sqe sqe = { 0 }, untouched = { 0 };
	struct completion done;
	struct ronbus_pub *mapped;
	struct ronbus_msg msg;
	char buf[LEN];

	ASSERT_EQ(0, ronbus_uring_prep_publish(lib_sqe(&self->ring, 1), self->pub, 7, vec, 3));
	SUBMIT(&self->ring, 1);
	ASSERT_EQ(0, reap(&self->ring, &done));
	EXPECT_EQ(1, done.tag);
	EXPECT_EQ(2, done.res);
	ASSERT_EQ(RONBUS_MESSAGE, ronbus_try_recv(self->sub, buf, sizeof(buf), &msg));
	EXPECT_EQ(0, memcmp(buf, "one", 3));
	EXPECT_EQ(7, msg.topic);
	ASSERT_EQ(RONBUS_MESSAGE, ronbus_try_recv(self->sub, buf, sizeof(buf), &msg));
	EXPECT_EQ(0, memcmp(buf, "two", 3));

	EXPECT_EQ(-EINVAL, ronbus_uring_prep_publish(&sqe, self->pub, 0, vec, 0));
	EXPECT_EQ(-EINVAL,
		  ronbus_uring_prep_publish(&sqe, self->pub, 0, vec, RONBUS_BATCH_MAX + 1));
	EXPECT_EQ(-EINVAL, ronbus_uring_prep_publish(&sqe, self->pub, RONBUS_TOPICS_MAX, vec, 1));
	ASSERT_EQ(0, ronbus_publisher(self->bus, RONBUS_PUB_MAPPED_ONLY, &mapped));
	EXPECT_EQ(-EOPNOTSUPP, ronbus_uring_prep_publish(&sqe, mapped, 0, vec, 1));
	ronbus_pub_close(mapped);
	EXPECT_EQ(0, memcmp(&sqe, &untouched, sizeof(sqe)));
}

TEST_F(lib, poll)
{
	struct completion done;
	struct ronbus_msg msg;
	char buf[LEN];
	int i;

	ASSERT_EQ(0, ronbus_uring_prep_poll(lib_sqe(&self->ring, 4), self->sub));
	SUBMIT(&self->ring, 1);
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, ronbus_arm(self->sub));
		ASSERT_TRUE(quiet(&self->ring));
		ASSERT_EQ(1, ronbus_publish(self->pub, 0, "x", 1));
		ASSERT_EQ(0, reap(&self->ring, &done));
		EXPECT_EQ(4, done.tag);
		EXPECT_LT(0, done.res);
		EXPECT_TRUE(done.flags & IORING_CQE_F_MORE);
		EXPECT_EQ(1, ronbus_arm(self->sub));
		EXPECT_EQ(RONBUS_MESSAGE, ronbus_try_recv(self->sub, buf, sizeof(buf), &msg));
	}
}

/* Nothing of all that holds the module. */
TEST(nothing_left)
{
	struct io_uring ring;
	struct subscriber s;
	struct publisher p;
	int control = OPEN_CONTROL(), bus;
	char text[32] = "";
	long before;
	int fd;

#define REFERENCES()                                     \
	({                                               \
		fd = open(REFCNT, O_RDONLY | O_CLOEXEC); \
		(void)!read(fd, text, sizeof(text) - 1); \
		close(fd);                               \
		strtol(text, NULL, 10);                  \
	})
	before = REFERENCES();
	ASSERT_LE(1, before);
	RING(&ring, 0);
	bus = bus_create(control, (struct ronbus_create){ 0 });
	ASSERT_LE(0, bus);
	ASSERT_EQ(0, publisher_join(&p, bus, 0));
	ASSERT_EQ(0, subscriber_join(&s, bus, RONBUS_START_LATEST, 0));
	wait_sqe(&ring, s.m.fd, RONBUS_WAIT_FOREVER, 1);
	wait_sqe(&ring, s.m.fd, now_ns() + 1000 * SEC, 1);
	wait_sqe(&ring, s.m.fd, RONBUS_WAIT_FOREVER, 1)->flags |= IOSQE_ASYNC;
	ASSERT_EQ(3, io_uring_submit(&ring));
	ASSERT_TRUE(wait_until(waits_total(&s) == 3));
	EXPECT_LT(before, REFERENCES());
	subscriber_leave(&s);
	publisher_leave(&p);
	close(bus);
	io_uring_queue_exit(&ring);
	EXPECT_TRUE(wait_until(REFERENCES() == before))
	TH_LOG("references: %ld, then %ld", before, REFERENCES());
	close(control);
}

TEST_HARNESS_MAIN
