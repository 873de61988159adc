// SPDX-License-Identifier: GPL-2.0
/*
 * Coalescing: every way to wait is woken for the number of messages asked for, and some time after
 * the first; and a subscriber that leaves takes its timer along.
 */
#include "../userlib/test/coalesce.h"

#include <liburing.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "ronbus_kselftest.h"

#define EDGE ((u64)RONBUS_F_EDGE_NOTIFY)

FIXTURE(ways)
{
	int control, bus, epoll, event;
	struct publisher pub;
	struct subscriber sub;
	struct io_uring ring;
};

/* Wait until there is something: each returns 0, or what went wrong. */
static int by_wait(FIXTURE_DATA(ways) * self)
{
	return fd_wait(self->sub.m.fd, RONBUS_WAIT_FOREVER);
}

static int by_read(FIXTURE_DATA(ways) * self)
{
	/* Reads one message more than the others, so it is the one that goes on. */
	struct message msg;
	int ret = subscriber_read_kernel(&self->sub, &msg);

	return ret == 1 ? 0 : ret ?: -ESHUTDOWN;
}

static int by_poll(FIXTURE_DATA(ways) * self)
{
	struct pollfd p = { .fd = self->sub.m.fd, .events = POLLIN };

	return poll(&p, 1, -1) == 1 && p.revents & POLLIN ? 0 : -EIO;
}

static int by_epoll(FIXTURE_DATA(ways) * self)
{
	struct epoll_event event;

	return epoll_wait(self->epoll, &event, 1, -1) == 1 && event.events & EPOLLIN ? 0 : -EIO;
}

/* Only an armed subscriber sees edges: the disciplined loop of libronbus.h. */
static int by_epoll_edge(FIXTURE_DATA(ways) * self)
{
	int ret = do_ioctl(self->sub.m.fd, RONBUS_IOC_ARM, NULL);

	return ret ? (ret > 0 ? 0 : ret) : by_epoll(self);
}

static int by_eventfd(FIXTURE_DATA(ways) * self)
{
	u64 count;
	int ret = do_ioctl(self->sub.m.fd, RONBUS_IOC_ARM, NULL);

	if (ret)
		return ret > 0 ? 0 : ret;
	return fd_read(self->event, &count, sizeof(count)) == sizeof(count) ? 0 : -EIO;
}

static int uring_result(FIXTURE_DATA(ways) * self)
{
	struct io_uring_cqe *cqe;
	int ret = io_uring_submit_and_wait(&self->ring, 1);

	if (ret < 0)
		return ret;
	ret = io_uring_wait_cqe(&self->ring, &cqe);
	if (ret)
		return ret;
	ret = cqe->res;
	io_uring_cqe_seen(&self->ring, cqe);
	return ret;
}

static int by_uring(FIXTURE_DATA(ways) * self)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&self->ring);
	struct ronbus_wait args = { .deadline = RONBUS_WAIT_FOREVER };

	if (!sqe)
		return -EBUSY;
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = self->sub.m.fd;
	sqe->cmd_op = RONBUS_IOC_WAIT;
	memcpy(&sqe->addr3, &args, sizeof(args));
	return uring_result(self);
}

static int by_uring_poll(FIXTURE_DATA(ways) * self)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&self->ring);
	int ret;

	if (!sqe)
		return -EBUSY;
	io_uring_prep_poll_add(sqe, self->sub.m.fd, POLLIN);
	ret = uring_result(self);
	return ret < 0 ? ret : ret & POLLIN ? 0 : -EIO;
}

FIXTURE_VARIANT(ways)
{
	int (*wait)(FIXTURE_DATA(ways) * self);
	u32 flags, edge;
};

#define WAY(name, ...)                  \
	FIXTURE_VARIANT_ADD(ways, name) \
	{                               \
		__VA_ARGS__             \
	}

WAY(wait, .wait = by_wait, .flags = RONBUS_PUBLISHER_MAPPED);
WAY(wait_by_system_call, .wait = by_wait);
WAY(read, .wait = by_read, .flags = RONBUS_PUBLISHER_MAPPED);
WAY(poll, .wait = by_poll, .flags = RONBUS_PUBLISHER_MAPPED);
WAY(epoll, .wait = by_epoll, .flags = RONBUS_PUBLISHER_MAPPED);
WAY(epoll_edge, .wait = by_epoll_edge, .flags = RONBUS_PUBLISHER_MAPPED, .edge = EPOLLET);
WAY(eventfd, .wait = by_eventfd, .flags = RONBUS_PUBLISHER_MAPPED);
WAY(uring, .wait = by_uring, .flags = RONBUS_PUBLISHER_MAPPED);
WAY(uring_poll, .wait = by_uring_poll, .flags = RONBUS_PUBLISHER_MAPPED);

static int coalesce(int fd, u32 messages, u64 delay)
{
	struct ronbus_coalesce args = { .messages = messages, .delay_ns = delay };

	return do_ioctl(fd, RONBUS_IOC_COALESCE, &args);
}

FIXTURE_SETUP(ways)
{
	struct ronbus_create args = { .features = EDGE | RONBUS_F_COALESCE, .capacity = 64 };
	struct epoll_event event = { .events = EPOLLIN | variant->edge };
	struct ronbus_eventfd registered;

	self->control = OPEN_CONTROL();
	self->bus = do_ioctl(self->control, RONBUS_IOC_CREATE, &args);
	ASSERT_LE(0, self->bus);
	ASSERT_EQ(0, publisher_join(&self->pub, self->bus, variant->flags));
	ASSERT_EQ(0, subscriber_join(&self->sub, self->bus, RONBUS_START_LATEST, 0));
	self->epoll = epoll_create1(EPOLL_CLOEXEC);
	ASSERT_EQ(0, epoll_ctl(self->epoll, EPOLL_CTL_ADD, self->sub.m.fd, &event));
	self->event = eventfd(0, EFD_CLOEXEC);
	registered = (struct ronbus_eventfd){ .fd = self->event };
	ASSERT_EQ(0, do_ioctl(self->sub.m.fd, RONBUS_IOC_SET_EVENTFD, &registered));
	ASSERT_EQ(0, io_uring_queue_init(8, &self->ring, 0));
}

FIXTURE_TEARDOWN(ways)
{
	io_uring_queue_exit(&self->ring);
	close(self->event);
	close(self->epoll);
	subscriber_leave(&self->sub);
	publisher_leave(&self->pub);
	close(self->bus);
	close(self->control);
}

static u64 wakes(FIXTURE_DATA(ways) * self, enum ronbus_wake_cause cause)
{
	struct ronbus_stats stats = { .which = RONBUS_STATS_BUS };

	return do_ioctl(self->bus, RONBUS_IOC_STATS, &stats) ? ~0ULL
							     : stats.counters.wakes_total[cause];
}

struct publishing {
	FIXTURE_DATA(ways) * self;
	u32 messages;
};

/* When the subscriber sleeps. */
static void *publish_some(void *arg)
{
	struct publishing *p = arg;
	struct publisher *pub = &p->self->pub;
	u32 i;

	while (!(RB_READ(&p->self->sub.m.page->armed) & 1))
		sched_yield();
	for (i = 0; i < p->messages; i++)
		publish_number(pub, i);
	return NULL;
}

static void wait_for(struct __test_metadata *_metadata, FIXTURE_DATA(ways) * self,
		     int (*wait)(FIXTURE_DATA(ways) * self), u32 messages)
{
	struct publishing p = { self, messages };
	struct message msg;
	pthread_t thread;
	u32 left = messages;

	ASSERT_EQ(0, pthread_create(&thread, NULL, publish_some, &p));
	ASSERT_EQ(0, wait(self));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	while (subscriber_read(&self->sub, &msg) == 1)
		left--;
	ASSERT_EQ(wait == by_read, left);
	ASSERT_TRUE(subscriber_identity(&self->sub));
}

/* Four are enough. The fd has been armed before the first of them, by whatever waits. */
TEST_F(ways, enough)
{
	int i;

	ASSERT_EQ(0, coalesce(self->sub.m.fd, 4, COALESCE_NEVER));
	for (i = 1; i <= 20; i++) {
		wait_for(_metadata, self, variant->wait, 4);
		/*
		 * With a timer that does not go off there is one wake-up, for the last of them; or
		 * none, if all came between arming and the look after it.
		 */
		EXPECT_LE(wakes(self, RONBUS_WAKE_DATA), i);
	}
	EXPECT_LT(0, wakes(self, RONBUS_WAKE_DATA));
	EXPECT_EQ(0, wakes(self, RONBUS_WAKE_TIMER));
}

/* One is not, but some time passes. */
TEST_F(ways, timer)
{
	int i;

	ASSERT_EQ(0, coalesce(self->sub.m.fd, 4, COALESCE_SOON));
	for (i = 1; i <= 20; i++) {
		wait_for(_metadata, self, variant->wait, 1);
		/* Or none, if the time has passed between arming and the look after it. */
		EXPECT_LE(wakes(self, RONBUS_WAKE_TIMER), i);
	}
	EXPECT_LT(0, wakes(self, RONBUS_WAKE_TIMER));
	EXPECT_EQ(0, wakes(self, RONBUS_WAKE_DATA));
}

/* ---- leaving, cancelling ---------------------------------------------------------------- */

/* With the timer running. */
TEST(leave)
{
	struct ronbus_create args = { .features = EDGE | RONBUS_F_COALESCE, .capacity = 64 };
	int control = OPEN_CONTROL(), bus, i;
	struct publisher pub;

	bus = do_ioctl(control, RONBUS_IOC_CREATE, &args);
	ASSERT_LE(0, bus);
	ASSERT_EQ(0, publisher_join(&pub, bus, RONBUS_PUBLISHER_MAPPED));
	for (i = 0; i < 300; i++) {
		struct subscriber sub;

		ASSERT_EQ(0, subscriber_join(&sub, bus, RONBUS_START_LATEST, 0));
		ASSERT_EQ(0, coalesce(sub.m.fd, 4, 1000 + 5000 * (i % 30)));
		ASSERT_EQ(0, do_ioctl(sub.m.fd, RONBUS_IOC_ARM, NULL));
		ASSERT_EQ(1, publish_number(&pub, i));
		EXPECT_LE(sub.start, RB_READ(&sub.m.page->wake_next));
		subscriber_leave(&sub);
		EXPECT_EQ(~0ULL, RB_READ(&pub.m.page->wake_next));
	}
	publisher_leave(&pub);
	close(bus);
	close(control);
}

static void *cancel_it(void *arg)
{
	struct subscriber *sub = arg;

	while (RB_READ(&sub->m.page->wake_next) == ~0ULL)
		sched_yield();
	/* The call that it sleeps in comes next: cancel until the reader has noticed. */
	while (!RB_READ(&sub->m.self->reserved0[0])) {
		do_ioctl(sub->m.fd, RONBUS_IOC_CANCEL, NULL);
		sched_yield();
	}
	return NULL;
}

TEST(cancel)
{
	struct ronbus_create args = { .features = EDGE | RONBUS_F_COALESCE, .capacity = 64 };
	int control = OPEN_CONTROL(), bus;
	struct subscriber sub;
	struct publisher pub;
	pthread_t thread;

	bus = do_ioctl(control, RONBUS_IOC_CREATE, &args);
	ASSERT_LE(0, bus);
	ASSERT_EQ(0, publisher_join(&pub, bus, RONBUS_PUBLISHER_MAPPED));
	ASSERT_EQ(0, subscriber_join(&sub, bus, RONBUS_START_LATEST, 0));
	ASSERT_EQ(0, coalesce(sub.m.fd, 4, COALESCE_NEVER));
	ASSERT_EQ(1, publish_number(&pub, 1));
	ASSERT_EQ(0, pthread_create(&thread, NULL, cancel_it, &sub));
	EXPECT_EQ(-ECANCELED, fd_wait(sub.m.fd, RONBUS_WAIT_FOREVER));
	RB_WRITE(&sub.m.self->reserved0[0], 1);
	pthread_join(thread, NULL);
	subscriber_leave(&sub);
	publisher_leave(&pub);
	close(bus);
	close(control);
}

/* ---- the library on the device ---------------------------------------------------------- */

TEST(cases)
{
	static const u64 features[] = { 0, RONBUS_F_SOA | RONBUS_F_BATCH | RONBUS_F_METRICS_BUF,
					RONBUS_F_INTEREST };
	char wrong[256];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(features) * COALESCE_CASES; i++) {
		ASSERT_TRUE(coalesce_case(RONBUS_DEVICE, features[i / COALESCE_CASES],
					  i % COALESCE_CASES, wrong, sizeof(wrong)))
		{
			TH_LOG("%s: %s", coalesce_cases[i % COALESCE_CASES].name, wrong);
		}
	}
}

TEST(everybody_wakes)
{
	static const u64 features[] = { 0, EDGE, EDGE | RONBUS_F_INTEREST,
					EDGE | RONBUS_F_SOA | RONBUS_F_BATCH |
						RONBUS_F_METRICS_BUF };
	u64 seed = random_seed();
	char wrong[256];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(features); i++) {
		ASSERT_TRUE(coalesce_run(RONBUS_DEVICE, features[i], seed + i + 1, 3000, wrong,
					 sizeof(wrong)))
		{
			TH_LOG("features %llx, seed %llu: %s", features[i], seed + i + 1, wrong);
		}
	}
}

TEST_HARNESS_MAIN
