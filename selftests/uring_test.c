// SPDX-License-Identifier: GPL-2.0
/*
 * io_uring: waiting and cancelling by commands, chains of commands, polling, counters.
 */
#include "uring.h"

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
		/* One that begins after it knows nothing of it. */
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

/* A publish that is linked to a wait happens when the wait is over, and not if it failed. */
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
	/* One that is woken for nothing asks again before it gives up: by the timer, by the cancel. */
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

TEST_HARNESS_MAIN
