// SPDX-License-Identifier: GPL-2.0
/*
 * Waiters of a subscriber: how many there may be, which are told of the end, what ends them though
 * the ring says otherwise, and by which clock.
 */
#include <liburing.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/utsname.h>

#include "ronbus_kselftest.h"

#define SLOTS 64U
#define WAITERS 64 /* ronbus(4), "Limits" */

FIXTURE(waiters)
{
	int control;
	int bus;
	struct publisher pub;
	struct subscriber s;
};

FIXTURE_SETUP(waiters)
{
	self->control = OPEN_CONTROL();
	self->bus =
		bus_create(self->control, (struct ronbus_create){ .features = RONBUS_F_EDGE_NOTIFY,
								  .capacity = SLOTS,
								  .payload = 32 });
	ASSERT_LE(0, self->bus);
	ASSERT_EQ(0, publisher_join(&self->pub, self->bus, 0));
	ASSERT_EQ(0, subscriber_join(&self->s, self->bus, RONBUS_START_LATEST, 0));
}

FIXTURE_TEARDOWN(waiters)
{
	subscriber_leave(&self->s);
	publisher_leave(&self->pub);
	close(self->bus);
	close(self->control);
}

/* ---- how many ------------------------------------------------------------------------------ */

static int epoll_on(int fd, u32 events)
{
	struct epoll_event event = { .events = events };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : epoll;
}

static void submit_wait(struct io_uring *ring, int fd, u64 deadline)
{
	struct ronbus_wait args = { .deadline = deadline };
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, fd, NULL, 0, 0);
	sqe->cmd_op = RONBUS_IOC_WAIT;
	memcpy(sqe->cmd, &args, sizeof(args));
}

/* What a WAIT in io_uring comes to, or 1 if it stays pending. */
static int uring_wait(struct io_uring *ring, int fd, u64 deadline)
{
	struct __kernel_timespec soon = { .tv_nsec = 200000000 };
	struct io_uring_cqe *cqe;
	int ret;

	submit_wait(ring, fd, deadline);
	io_uring_submit(ring);
	if (io_uring_wait_cqe_timeout(ring, &cqe, &soon))
		return 1;
	ret = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return ret;
}

/* A publisher wakes each of them with interrupts off: there are no more than so many. */
TEST_F(waiters, no_more_than_so_many)
{
	struct pollfd p = { .fd = self->s.m.fd, .events = POLLIN };
	struct epoll_event event;
	int epolls[WAITERS], one_more, i;
	struct io_uring ring;
	char buf[64];

	ASSERT_EQ(0, io_uring_queue_init(8, &ring, 0));
	for (i = 0; i < WAITERS; i++) {
		epolls[i] = epoll_on(self->s.m.fd, EPOLLIN);
		ASSERT_LE(0, epolls[i]);
		ASSERT_EQ(0, epoll_wait(epolls[i], &event, 1, 0));
	}
	EXPECT_EQ(-EBUSY, fd_wait(self->s.m.fd, RONBUS_WAIT_FOREVER));
	EXPECT_EQ(-EBUSY, fd_read(self->s.m.fd, buf, sizeof(buf)));
	EXPECT_EQ(-EBUSY, uring_wait(&ring, self->s.m.fd, RONBUS_WAIT_FOREVER));
	/* Those that poll cannot be refused: a worker wakes them. */
	EXPECT_EQ(0, poll(&p, 1, 1));
	one_more = epoll_on(self->s.m.fd, EPOLLIN);
	ASSERT_LE(0, one_more);

	/* What does not wait is as ever, and so are those that wait. */
	EXPECT_EQ(-ETIMEDOUT, fd_wait(self->s.m.fd, 0));
	EXPECT_EQ(0, fd_arm(self->s.m.fd));
	ASSERT_EQ(1, publish_number(&self->pub, 1));
	for (i = 0; i < WAITERS; i++) {
		EXPECT_EQ(1, epoll_wait(epolls[i], &event, 1, WATCHDOG / 1000000));
	}
	EXPECT_EQ(1, epoll_wait(one_more, &event, 1, WATCHDOG / 1000000));
	close(one_more);
	EXPECT_LT(0, fd_read(self->s.m.fd, buf, sizeof(buf)));

	/* One that goes makes room. */
	close(epolls[0]);
	EXPECT_EQ(-ETIMEDOUT, fd_wait(self->s.m.fd, now_ns() + 1000000));
	for (i = 1; i < WAITERS; i++)
		close(epolls[i]);
	io_uring_queue_exit(&ring);
}

/* Linux before 6.7 has so few workers sleep in place of pending commands that none is refused. */
static bool commands_pend(void)
{
	struct utsname name;
	int major, minor;

	return !uname(&name) && sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 7));
}

static void done(struct __test_metadata *_metadata, struct io_uring *ring, int res)
{
	struct __kernel_timespec limit = { .tv_sec = WATCHDOG / SEC };
	struct io_uring_cqe *cqe;

	ASSERT_EQ(0, io_uring_wait_cqe_timeout(ring, &cqe, &limit));
	EXPECT_EQ(res, cqe->res);
	io_uring_cqe_seen(ring, cqe);
}

/* The same with commands of io_uring alone. */
TEST_F(waiters, no_more_commands_than_so_many)
{
	int i, refused = commands_pend() ? 16 : 0;
	struct io_uring ring;

	ASSERT_EQ(0, io_uring_queue_init(128, &ring, 0));
	for (i = 0; i < WAITERS + 16; i++)
		submit_wait(&ring, self->s.m.fd, RONBUS_WAIT_FOREVER);
	ASSERT_EQ(WAITERS + 16, io_uring_submit(&ring));
	for (i = 0; i < refused; i++)
		done(_metadata, &ring, -EBUSY);
	ASSERT_EQ(1, publish_number(&self->pub, 1));
	for (; i < WAITERS + 16; i++)
		done(_metadata, &ring, 0);
	io_uring_queue_exit(&ring);
}

/* A crowd is told of messages and of the end like few are. */
TEST_F(waiters, a_crowd_is_woken)
{
	int epolls[3 * WAITERS], i, round;
	struct epoll_event event;
	char buf[64];

	for (i = 0; i < 3 * WAITERS; i++)
		epolls[i] = epoll_on(self->s.m.fd, EPOLLIN | EPOLLET);
	for (round = 0; round < 3; round++) {
		for (i = 0; i < 3 * WAITERS; i++) {
			EXPECT_EQ(0, epoll_wait(epolls[i], &event, 1, 0));
		}
		EXPECT_EQ(0, fd_arm(self->s.m.fd));
		ASSERT_EQ(1, publish_number(&self->pub, round));
		for (i = 0; i < 3 * WAITERS; i++) {
			EXPECT_EQ(1, epoll_wait(epolls[i], &event, 1, WATCHDOG / 1000000));
		}
		EXPECT_LT(0, fd_read(self->s.m.fd, buf, sizeof(buf)));
	}
	publisher_leave(&self->pub);
	for (i = 0; i < 3 * WAITERS; i++) {
		EXPECT_EQ(1, epoll_wait(epolls[i], &event, 1, WATCHDOG / 1000000));
		EXPECT_TRUE(event.events & EPOLLHUP);
		close(epolls[i]);
	}
	ASSERT_EQ(-ESHUTDOWN, publisher_join(&self->pub, self->bus, 0));
	self->pub.m.fd = -1;
}

/* An eventfd can have many waiters as well, and each of them is told. */
TEST_F(waiters, a_crowd_behind_an_eventfd_is_woken)
{
	int eventfd_ = eventfd(0, EFD_NONBLOCK), epolls[12 * WAITERS], i, round;
	struct epoll_event event;
	char buf[64];
	u64 value;

	ASSERT_EQ(0, fd_set_eventfd(self->s.m.fd, eventfd_));
	for (i = 0; i < 12 * WAITERS; i++) {
		epolls[i] = epoll_on(eventfd_, EPOLLIN | EPOLLET);
		ASSERT_LE(0, epolls[i]);
	}
	for (round = 0; round < 5; round++) {
		EXPECT_EQ(0, fd_arm(self->s.m.fd));
		ASSERT_EQ(1, publish_number(&self->pub, round));
		for (i = 0; i < 12 * WAITERS; i++) {
			EXPECT_EQ(1, epoll_wait(epolls[i], &event, 1, WATCHDOG / 1000000));
		}
		EXPECT_EQ((ssize_t)sizeof(value), read(eventfd_, &value, sizeof(value)));
		EXPECT_LT(0, fd_read(self->s.m.fd, buf, sizeof(buf)));
	}
	for (i = 0; i < 12 * WAITERS; i++)
		close(epolls[i]);
	close(eventfd_);
}

/* ---- the end ------------------------------------------------------------------------------- */

struct told {
	int epoll;
	u32 events;
};

static void *wait_for_end(void *arg)
{
	struct told *me = arg;
	struct epoll_event event;

	if (epoll_wait(me->epoll, &event, 1, WATCHDOG / 1000000) == 1)
		__atomic_store_n(&me->events, event.events, __ATOMIC_RELEASE);
	return NULL;
}

/* There is no later occasion: also those that want to be woken one at a time are all told. */
TEST_F(waiters, all_are_told_of_the_end)
{
	struct told told[3] = { 0 };
	pthread_t threads[3];
	int i;

	for (i = 0; i < 3; i++) {
		told[i].epoll = epoll_on(self->s.m.fd, EPOLLIN | EPOLLEXCLUSIVE);
		ASSERT_LE(0, told[i].epoll);
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, wait_for_end, &told[i]));
	}
	ASSERT_TRUE(wait_until(subscriber_armed(&self->s)));
	publisher_leave(&self->pub);
	for (i = 0; i < 3; i++) {
		pthread_join(threads[i], NULL);
		EXPECT_TRUE(told[i].events & EPOLLHUP);
		close(told[i].epoll);
	}
	ASSERT_EQ(-ESHUTDOWN, publisher_join(&self->pub, self->bus, 0));
	self->pub.m.fd = -1;
}

static u32 how_many(struct told *told)
{
	u32 i, sum = 0;

	for (i = 0; i < 3; i++)
		sum += !!__atomic_load_n(&told[i].events, __ATOMIC_ACQUIRE);
	return sum;
}

/* Of a message one of them is told, as they asked; the end comes to the others. */
TEST_F(waiters, one_is_told_of_a_message)
{
	struct told told[3] = { 0 };
	struct ronbus_stats stats;
	pthread_t threads[3];
	int i;

	for (i = 0; i < 3; i++) {
		told[i].epoll = epoll_on(self->s.m.fd, EPOLLIN | EPOLLEXCLUSIVE | EPOLLET);
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, wait_for_end, &told[i]));
	}
	usleep(100000); /* they sleep by now: one that does not is told as well */
	ASSERT_EQ(1, publish_number(&self->pub, 1));
	ASSERT_TRUE(wait_until(how_many(told)));
	usleep(100000);
	EXPECT_EQ(1, how_many(told));
	ASSERT_EQ(0, fd_stats(self->s.m.fd, self->s.index, &stats));
	EXPECT_EQ(1, stats.counters.wakes_total[RONBUS_WAKE_DATA]);
	publisher_leave(&self->pub);
	for (i = 0; i < 3; i++) {
		pthread_join(threads[i], NULL);
		EXPECT_NE(0, told[i].events);
		close(told[i].epoll);
	}
	ASSERT_EQ(-ESHUTDOWN, publisher_join(&self->pub, self->bus, 0));
	self->pub.m.fd = -1;
}

/* ---- a ring that lies ---------------------------------------------------------------------- */

FIXTURE(lies)
{
	int control;
	int bus;
	struct publisher pub;
	struct subscriber s;
};

FIXTURE_VARIANT(lies)
{
	u64 features;
	u32 capacity;
	u64 word;
	u64 cursor;
};

/* "Overtaken" and "nothing, ever" everywhere; READY of a late lap; held; a cursor at the end. */
FIXTURE_VARIANT_ADD(lies, ones){ 0, 64, ~0ULL, 64 };
FIXTURE_VARIANT_ADD(lies, ones_large){ 0, 1U << 16, ~0ULL, 1U << 16 };
FIXTURE_VARIANT_ADD(lies, ones_topics){ RONBUS_F_INTEREST, 64, ~0ULL, 64 };
FIXTURE_VARIANT_ADD(lies, ones_arrays){ RONBUS_F_SOA, 64, ~0ULL, 64 };
FIXTURE_VARIANT_ADD(lies, ones_coalesced){ RONBUS_F_COALESCE, 64, ~0ULL, 64 };
FIXTURE_VARIANT_ADD(lies, late_lap){ RONBUS_F_INTEREST, 64, ~0xffULL, 64 };
FIXTURE_VARIANT_ADD(lies, holes){ 0, 64, 1ULL << 40 | 2, 64 };
FIXTURE_VARIANT_ADD(lies, cursor_at_the_end){ 0, 64, ~0ULL, ~0ULL - 70 };

FIXTURE_SETUP(lies)
{
	struct ronbus_subscribe args = { .topics = variant->features & RONBUS_F_INTEREST ? 4
											 : ~0ULL };
	int fd;

	self->control = OPEN_CONTROL();
	self->bus =
		bus_create(self->control, (struct ronbus_create){ .features = variant->features |
									      RONBUS_F_EDGE_NOTIFY,
								  .capacity = variant->capacity,
								  .payload = 8 });
	ASSERT_LE(0, self->bus);
	ASSERT_EQ(0, publisher_join(&self->pub, self->bus, RONBUS_PUBLISHER_MAPPED));
	fd = do_ioctl(self->bus, RONBUS_IOC_SUBSCRIBE, &args);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, member_map(&self->s.m, fd, PROT_READ));
	self->s.index = args.index;
	if (variant->features & RONBUS_F_COALESCE) {
		struct ronbus_coalesce many = { .messages = 8, .delay_ns = SEC };

		ASSERT_EQ(0, do_ioctl(fd, RONBUS_IOC_COALESCE, &many));
	}
}

FIXTURE_TEARDOWN(lies)
{
	subscriber_leave(&self->s);
	publisher_leave(&self->pub);
	close(self->bus);
	close(self->control);
}

static void scribble(struct publisher *p, u64 word)
{
	u64 *words = (u64 *)p->m.ring.head;
	size_t i;

	for (i = 0; i < p->m.info.ring_bytes / sizeof(*words); i++)
		RB_WRITE(&words[i], word);
}

/* A child in a blocking read(2) when the ring becomes nonsense. */
static pid_t victim(struct subscriber *s)
{
	pid_t pid = fork();
	char buf[256];

	if (pid)
		return pid;
	for (;;)
		if (fd_read(s->m.fd, buf, sizeof(buf)) <= 0)
			_exit(7);
}

static bool dies(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	return wait_until(waitpid(pid, &status, WNOHANG) == pid);
}

TEST_F(lies, a_reader_can_be_killed)
{
	pid_t pid = victim(&self->s);

	ASSERT_LT(0, pid);
	ASSERT_TRUE(wait_until(subscriber_armed(&self->s)));
	RB_WRITE(&self->s.m.self->cursor, variant->cursor);
	scribble(&self->pub, variant->word);
	ASSERT_EQ(0, fd_notify(self->pub.m.fd, ~0ULL, NULL));
	usleep(50000);
	EXPECT_TRUE(dies(pid));
}

TEST_F(lies, a_reader_can_be_frozen)
{
	pid_t pid = victim(&self->s);
	char group[64];

	ASSERT_LT(0, pid);
	ASSERT_TRUE(wait_until(subscriber_armed(&self->s)));
	ASSERT_EQ(0, cgroup_make(group, sizeof(group), "lies", 64 << 20));
	ASSERT_EQ(0, cgroup_add(group, pid));
	RB_WRITE(&self->s.m.self->cursor, variant->cursor);
	scribble(&self->pub, variant->word);
	ASSERT_EQ(0, fd_notify(self->pub.m.fd, ~0ULL, NULL));
	usleep(50000);
	ASSERT_EQ(0, cgroup_write(group, "cgroup.freeze", "1"));
	EXPECT_TRUE(wait_until(cgroup_is(group, "frozen 1")));
	ASSERT_EQ(0, cgroup_write(group, "cgroup.freeze", "0"));
	EXPECT_TRUE(dies(pid));
	EXPECT_EQ(0, cgroup_remove(group));
}

/* Every other call comes back, whatever it says. */
TEST_F(lies, every_call_comes_back)
{
	struct ronbus_stats stats = { .which = RONBUS_STATS_BUS };
	struct pollfd p = { .fd = self->s.m.fd, .events = POLLIN };
	char buf[256];
	u64 before;

	ASSERT_EQ(0, fd_nonblock(self->s.m.fd));
	RB_WRITE(&self->s.m.self->cursor, variant->cursor);
	scribble(&self->pub, variant->word);
	before = now_ns();
	EXPECT_LE(-EAGAIN, fd_read(self->s.m.fd, buf, sizeof(buf)));
	EXPECT_LE(0, fd_arm(self->s.m.fd));
	EXPECT_LE(0, poll(&p, 1, 0));
	(void)fd_wait(self->s.m.fd, now_ns() + 1000000);
	EXPECT_EQ(0, do_ioctl(self->bus, RONBUS_IOC_STATS, &stats));
	(void)publish_number(&self->pub, 1);
	EXPECT_GT(WATCHDOG, now_ns() - before);
}

/* ---- whose clock --------------------------------------------------------------------------- */

/* In a child whose CLOCK_MONOTONIC is moved by @offset seconds: 0, or what went wrong. */
static int waits_by_its_clock(struct subscriber *s, long offset)
{
	struct io_uring ring;
	int status;
	pid_t pid;
	u64 begin;

	status = time_namespace_make(offset);
	if (status)
		return status;
	pid = fork();
	if (pid)
		return child_status(pid);
	begin = now_ns();
	if (fd_wait(s->m.fd, begin + SEC / 10) != -ETIMEDOUT)
		_exit(3);
	if (now_ns() < begin + SEC / 10)
		_exit(4);
	if (io_uring_queue_init(4, &ring, 0))
		_exit(5);
	begin = now_ns();
	if (uring_wait(&ring, s->m.fd, begin + SEC / 10) != -ETIMEDOUT)
		_exit(6);
	if (now_ns() < begin + SEC / 10)
		_exit(7);
	/* What is over is over. */
	if (fd_wait(s->m.fd, begin) != -ETIMEDOUT)
		_exit(8);
	_exit(0);
}

TEST_F(waiters, deadline_of_a_time_namespace)
{
	static const long offsets[] = { 1000, -1, 0, 100000000 };
	unsigned int i;
	int status;

	for (i = 0; i < ARRAY_SIZE(offsets); i++) {
		pid_t pid = fork();

		ASSERT_LE(0, pid);
		if (!pid)
			_exit(waits_by_its_clock(&self->s, offsets[i]));
		status = child_status(pid);
		if (status == NO_TIME_NAMESPACES)
			SKIP(return, "this kernel has no time namespaces");
		EXPECT_EQ(0, status)
		{
			TH_LOG("an offset of %ld s", offsets[i]);
		}
	}
}

TEST_HARNESS_MAIN
