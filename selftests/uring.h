/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Commands in rings of io_uring, and a bus beside a ring.
 *
 * From Linux 6.7 on a wait stays pending in the subscriber's queue. Before that, or where
 * IOSQE_ASYNC asks for it, a worker of io_uring sleeps in its place. What a program sees is the
 * same, except where a test says otherwise.
 */
#ifndef RONBUS_URING_H
#define RONBUS_URING_H

#include <liburing.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/utsname.h>

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
static inline bool kernel_pends(void)
{
	struct utsname name;
	int major = 0, minor = 0;

	uname(&name);
	sscanf(name.release, "%d.%d", &major, &minor);
	return major > 6 || (major == 6 && minor >= 7);
}

static inline int ring_make(struct io_uring *ring, unsigned int entries, unsigned int setup)
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

static inline struct io_uring_sqe *command(struct io_uring *ring, int fd, u32 cmd,
					   const void *payload, u64 tag)
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

static inline struct io_uring_sqe *wait_sqe(struct io_uring *ring, int fd, u64 deadline, u64 tag)
{
	const struct ronbus_wait args = { .deadline = deadline };

	return command(ring, fd, RONBUS_IOC_WAIT, &args, tag);
}

static inline struct io_uring_sqe *cancel_sqe(struct io_uring *ring, int fd, u64 tag)
{
	static const u64 nothing[2];

	return command(ring, fd, RONBUS_IOC_CANCEL, nothing, tag);
}

static inline struct io_uring_sqe *publish_sqe(struct io_uring *ring, int fd, u32 topic,
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

static inline int reap(struct io_uring *ring, struct completion *done)
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
static inline bool quiet(struct io_uring *ring)
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
static inline u64 members(int bus)
{
	struct ronbus_info info;

	return fd_info(bus, &info) ? ~0ULL : info.subscribers;
}

static inline u64 armed_set(int bus)
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

#endif /* RONBUS_URING_H */
