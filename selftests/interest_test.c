// SPDX-License-Identifier: GPL-2.0
/*
 * Topics: what is delivered is what was addressed, through a mapping and by system call; and no
 * subscriber is woken for what only others want, in every way there is to wait.
 */
#include "../userlib/test/interest_cases.h"

#include <poll.h>
#include <sys/epoll.h>

#include "ronbus_kselftest.h"

#define EDGE ((u64)RONBUS_F_EDGE_NOTIFY)

FIXTURE(topics)
{
	int control;
	int bus;
	struct publisher pub;
	struct subscriber sub, all;
};

FIXTURE_VARIANT(topics)
{
	u32 flags;
	u64 features;
};

FIXTURE_VARIANT_ADD(topics, mapped){ RONBUS_PUBLISHER_MAPPED, EDGE };
FIXTURE_VARIANT_ADD(topics, by_system_call){ 0, EDGE };
FIXTURE_VARIANT_ADD(topics, every_message_notified){ 0, 0 };

static int join_topics(struct subscriber *s, int bus, u64 topics)
{
	struct ronbus_subscribe args = { .topics = topics };
	int fd = do_ioctl(bus, RONBUS_IOC_SUBSCRIBE, &args);

	if (fd < 0)
		return fd;
	s->index = args.index;
	s->start = args.position;
	return member_map(&s->m, fd, PROT_READ);
}

static int set_topics(int fd, u64 topics, u64 *generation)
{
	struct ronbus_topics args = { .topics = topics };
	int ret = do_ioctl(fd, RONBUS_IOC_SET_TOPICS, &args);

	if (generation)
		*generation = args.generation;
	return ret;
}

static int publish_topic(struct publisher *p, u32 topic)
{
	struct ronbus_vec vec = { .data = (uintptr_t)&topic, .len = sizeof(topic) };

	return publisher_send(p, topic, &vec, 1);
}

/* The topic of the next message that read(2) gives. */
static int read_topic(struct subscriber *s)
{
	struct message msg;
	int ret = subscriber_read_kernel(s, &msg);

	return ret == 1 ? (int)msg.topic : ret == 0 ? -ESHUTDOWN : ret;
}

FIXTURE_SETUP(topics)
{
	struct ronbus_create args = { .features = variant->features | RONBUS_F_INTEREST,
				      .capacity = 256 };

	self->control = OPEN_CONTROL();
	self->bus = do_ioctl(self->control, RONBUS_IOC_CREATE, &args);
	ASSERT_LE(0, self->bus);
	ASSERT_EQ(0, publisher_join(&self->pub, self->bus, variant->flags));
	ASSERT_EQ(0, join_topics(&self->all, self->bus, ~0ULL));
	ASSERT_EQ(0, join_topics(&self->sub, self->bus, 2));
	ASSERT_EQ(0, fd_nonblock(self->sub.m.fd));
}

FIXTURE_TEARDOWN(topics)
{
	subscriber_leave(&self->sub);
	subscriber_leave(&self->all);
	publisher_leave(&self->pub);
	close(self->bus);
	close(self->control);
}

TEST_F(topics, table)
{
	const struct ronbus_info_page *page = self->sub.m.page;
	u64 before = RB_READ(&page->generation), generation;
	int topic;

	EXPECT_EQ(0, before & 1);
	EXPECT_EQ(3, RB_READ(&page->members));
	for (topic = 0; topic < RONBUS_TOPICS_MAX; topic++)
		EXPECT_EQ(topic == 1 ? 3 : 1, RB_READ(&page->audience[topic]));
	ASSERT_EQ(0, set_topics(self->sub.m.fd, 1ULL << 63 | 1, &generation));
	EXPECT_LT(before, generation);
	EXPECT_EQ(generation, RB_READ(&page->generation));
	for (topic = 0; topic < RONBUS_TOPICS_MAX; topic++)
		EXPECT_EQ(topic == 0 || topic == 63 ? 3 : 1, RB_READ(&page->audience[topic]));
	subscriber_leave(&self->all);
	EXPECT_EQ(2, RB_READ(&page->members));
	EXPECT_EQ(2, RB_READ(&page->audience[63]));
	EXPECT_EQ(0, RB_READ(&page->audience[62]));
	ASSERT_EQ(0, join_topics(&self->all, self->bus, ~0ULL));
}

TEST_F(topics, refused)
{
	struct ronbus_topics *args;
	struct ronbus_create plain = { 0 };
	struct ronbus_subscribe none = { 0 };
	const struct ronbus_info_page *page = self->sub.m.page;
	u64 generation = RB_READ(&page->generation);
	int bus, fd;

	EXPECT_EQ(-EINVAL, set_topics(self->sub.m.fd, 0, NULL));
	EXPECT_EQ(-EFAULT, do_ioctl(self->sub.m.fd, RONBUS_IOC_SET_TOPICS, (void *)8));
	EXPECT_EQ(-ENOTTY, set_topics(self->pub.m.fd, 1, NULL));
	EXPECT_EQ(-ENOTTY, set_topics(self->bus, 1, NULL));
	EXPECT_EQ(-EINVAL, do_ioctl(self->bus, RONBUS_IOC_SUBSCRIBE, &none));
	/* What cannot be written back changes nothing. */
	args = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, args);
	args->topics = 4;
	ASSERT_EQ(0, mprotect(args, 4096, PROT_READ));
	EXPECT_EQ(-EFAULT, do_ioctl(self->sub.m.fd, RONBUS_IOC_SET_TOPICS, args));
	EXPECT_EQ(generation, RB_READ(&page->generation));
	EXPECT_EQ(3, RB_READ(&page->audience[1]));

	bus = do_ioctl(self->control, RONBUS_IOC_CREATE, &plain);
	ASSERT_LE(0, bus);
	fd = fd_subscribe(bus, RONBUS_START_LATEST, 0, NULL);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EOPNOTSUPP, set_topics(fd, 1, NULL));
	close(fd);
	close(bus);
}

/* A subscriber that wants none of it finds nothing to read, to poll or to wait for. */
TEST_F(topics, quiet)
{
	struct ronbus_stats stats = { .which = self->sub.index };
	struct pollfd p = { .fd = self->sub.m.fd, .events = POLLIN };
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(EPOLL_CLOEXEC), i;

	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, self->sub.m.fd, &event));
	for (i = 0; i < 20; i++)
		ASSERT_EQ(1, publish_topic(&self->pub, 2));
	EXPECT_EQ(0, poll(&p, 1, 0));
	EXPECT_EQ(0, epoll_wait(epoll, &event, 1, 0));
	EXPECT_EQ(-ETIMEDOUT, fd_wait(self->sub.m.fd, 0));
	EXPECT_EQ(0, do_ioctl(self->sub.m.fd, RONBUS_IOC_ARM, NULL));
	EXPECT_TRUE(subscriber_armed(&self->sub));
	for (i = 0; i < 20; i++)
		ASSERT_EQ(1, publish_topic(&self->pub, 2));
	EXPECT_TRUE(subscriber_armed(&self->sub));
	EXPECT_EQ(0, epoll_wait(epoll, &event, 1, 0));
	ASSERT_EQ(0, do_ioctl(self->bus, RONBUS_IOC_STATS, &stats));
	EXPECT_EQ(0, stats.counters.wakes_total[RONBUS_WAKE_DATA]);

	ASSERT_EQ(1, publish_topic(&self->pub, 1));
	EXPECT_FALSE(subscriber_armed(&self->sub));
	EXPECT_EQ(1, epoll_wait(epoll, &event, 1, 1000));
	EXPECT_EQ(1, poll(&p, 1, 0));
	EXPECT_EQ(0, fd_wait(self->sub.m.fd, 0));
	EXPECT_EQ(1, read_topic(&self->sub));
	EXPECT_EQ(40, RB_READ(&self->sub.m.self->filtered));
	EXPECT_EQ(-EAGAIN, read_topic(&self->sub));
	EXPECT_TRUE(subscriber_identity(&self->sub));
	close(epoll);
}

/* A change of topics, and what was published before it, as read(2) has it. */
TEST_F(topics, change)
{
	ASSERT_EQ(1, publish_topic(&self->pub, 1));
	ASSERT_EQ(1, publish_topic(&self->pub, 2));
	ASSERT_EQ(0, set_topics(self->sub.m.fd, 4, NULL));
	ASSERT_EQ(1, publish_topic(&self->pub, 1));
	ASSERT_EQ(1, publish_topic(&self->pub, 2));
	EXPECT_EQ(1, read_topic(&self->sub));
	EXPECT_EQ(2, read_topic(&self->sub));
	EXPECT_EQ(-EAGAIN, read_topic(&self->sub));
	EXPECT_EQ(2, RB_READ(&self->sub.m.self->filtered));
}

/* Joins with what is there: by topic. */
TEST_F(topics, history)
{
	struct ronbus_subscribe args = { .start = RONBUS_START_OLDEST, .topics = 4 };
	struct subscriber late = { 0 };

	ASSERT_EQ(1, publish_topic(&self->pub, 1));
	ASSERT_EQ(1, publish_topic(&self->pub, 2));
	subscriber_leave(&self->sub);
	late.m.fd = do_ioctl(self->bus, RONBUS_IOC_SUBSCRIBE, &args);
	ASSERT_LE(0, late.m.fd);
	EXPECT_EQ(1, args.index);
	EXPECT_EQ(args.position + 2, args.joined);
	ASSERT_EQ(0, member_map(&late.m, late.m.fd, PROT_READ));
	ASSERT_EQ(0, fd_nonblock(late.m.fd));
	EXPECT_EQ(2, read_topic(&late));
	EXPECT_EQ(-EAGAIN, read_topic(&late));
	subscriber_leave(&late);
	ASSERT_EQ(0, join_topics(&self->sub, self->bus, 2));
}

TEST_F(topics, counted)
{
	struct ronbus_stats stats = { .which = RONBUS_STATS_BUS };

	if (variant->flags) /* the publisher of these tests does not count it */
		SKIP(return, "by system call only");
	ASSERT_EQ(1, publish_topic(&self->pub, 2));
	ASSERT_EQ(1, publish_topic(&self->pub, 1));
	ASSERT_EQ(1, publish_topic(&self->pub, 2));
	ASSERT_EQ(0, do_ioctl(self->bus, RONBUS_IOC_STATS, &stats));
	EXPECT_EQ(2, stats.counters.interest_skips_total);
	EXPECT_EQ(2, stats.counters.ready_mask_width[0]);
	EXPECT_EQ(1, stats.counters.ready_mask_width[1]);
}

/* ---- the library on the device ---------------------------------------------------------- */

TEST(cases)
{
	static const u64 features[] = { EDGE, EDGE | RONBUS_F_SOA | RONBUS_F_BATCH |
						      RONBUS_F_METRICS_BUF };
	char wrong[256];
	unsigned int i;

	for (i = 0; i < 2 * INTEREST_CASES; i++) {
		ASSERT_TRUE(interest_case(RONBUS_DEVICE, features[i / INTEREST_CASES],
					  i % INTEREST_CASES, wrong, sizeof(wrong)))
		{
			TH_LOG("%s: %s", interest_cases[i % INTEREST_CASES].name, wrong);
		}
	}
}

TEST(tail)
{
	char wrong[256];
	unsigned int i;

	for (i = 0; i < 4; i++) {
		ASSERT_TRUE(interest_tail(RONBUS_DEVICE, i & 1 ? EDGE | RONBUS_F_SOA : EDGE,
					  i & 2 ? 64 : 8, 50000, wrong, sizeof(wrong)))
		{
			TH_LOG("%u: %s", i, wrong);
		}
	}
}

TEST(addressed)
{
	static const u64 features[] = { 0, EDGE, EDGE | RONBUS_F_BATCH,
					EDGE | RONBUS_F_SOA | RONBUS_F_BATCH |
						RONBUS_F_METRICS_BUF };
	u64 seed = random_seed();
	char wrong[256];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(features); i++) {
		ASSERT_TRUE(interest_run(RONBUS_DEVICE, features[i], seed + i + 1, 4000, wrong,
					 sizeof(wrong)))
		{
			TH_LOG("features %llx, seed %llu: %s", features[i], seed + i + 1, wrong);
		}
	}
}

TEST_HARNESS_MAIN
