// SPDX-License-Identifier: GPL-2.0
/*
 * Waiting for a subscriber, and messages that are kept for a later one. On both transports, where
 * both have it.
 */
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "restart.h"

/* ---- which members are there ------------------------------------------------------------ */

static void *subscribe_later(void *arg)
{
	struct ronbus_sub *sub;

	usleep(20000);
	return ronbus_subscribe(arg, NULL, &sub) ? NULL : sub;
}

TEST_F(restart, a_publisher_sees_its_audience)
{
	const struct ronbus_options opts = { .features = RONBUS_F_INTEREST };
	const struct ronbus_sub_options topics = { .topics = 1 << 3 };
	struct ronbus_sub *all, *some;
	struct ronbus_pub *pub[2];
	struct ronbus *bus;
	pthread_t thread;
	void *joined;
	int i;

	ASSERT_EQ(0, ronbus_create(self->where, &opts, &bus));
	ASSERT_EQ(0, ronbus_publisher(bus, 0, &pub[0]));
	ASSERT_EQ(0, ronbus_publisher(bus, RONBUS_PUB_SYSCALL, &pub[1]));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, ronbus_pub_receivers(pub[i], 3));
		EXPECT_EQ(-EINVAL, ronbus_pub_receivers(pub[i], RONBUS_TOPICS_MAX));
		EXPECT_EQ(-ETIMEDOUT, ronbus_pub_wait(pub[i], 0));
		EXPECT_EQ(-ETIMEDOUT, ronbus_pub_wait(pub[i], 10000000));
	}
	ASSERT_EQ(0, ronbus_subscribe(bus, &topics, &some));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(1, ronbus_pub_receivers(pub[i], 3));
		EXPECT_EQ(0, ronbus_pub_receivers(pub[i], 4));
		EXPECT_EQ(0, ronbus_pub_wait(pub[i], 0));
	}
	ASSERT_EQ(0, ronbus_subscribe(bus, NULL, &all));
	EXPECT_EQ(2, ronbus_pub_receivers(pub[0], 3));
	EXPECT_EQ(1, ronbus_pub_receivers(pub[0], 4));
	ronbus_sub_close(all);
	ronbus_sub_close(some);
	EXPECT_EQ(0, ronbus_pub_receivers(pub[0], 3));
	EXPECT_EQ(-ETIMEDOUT, ronbus_pub_wait(pub[0], 0));

	ASSERT_EQ(0, pthread_create(&thread, NULL, subscribe_later, bus));
	EXPECT_EQ(0, ronbus_pub_wait(pub[0], -1));
	EXPECT_EQ(0, ronbus_pub_wait(pub[1], -1));
	ASSERT_EQ(0, pthread_join(thread, &joined));
	ASSERT_NE(NULL, joined);
	ronbus_sub_close(joined);
	ronbus_pub_close(pub[0]);
	ronbus_pub_close(pub[1]);
	ronbus_close(bus);
}

/* All that poll for a first subscriber are told, in whatever manner they poll. */
TEST(all_that_poll_a_publisher_are_told)
{
	const u32 how[] = { EPOLLEXCLUSIVE, EPOLLEXCLUSIVE, EPOLLET, EPOLLET | EPOLLEXCLUSIVE, 0 };
	int control = OPEN_CONTROL(), bus, pub, sub, epoll[ARRAY_SIZE(how)], round;
	struct epoll_event event;
	unsigned int i;

	bus = bus_create(control, (struct ronbus_create){ .capacity = SLOTS });
	ASSERT_LE(0, bus);
	pub = fd_publisher(bus, 0, NULL);
	ASSERT_LE(0, pub);
	EXPECT_EQ(0, fd_poll(pub, POLLIN | POLLOUT));
	for (i = 0; i < ARRAY_SIZE(how); i++) {
		epoll[i] = epoll_create1(0);
		event.events = EPOLLOUT | how[i];
		ASSERT_EQ(0, epoll_ctl(epoll[i], EPOLL_CTL_ADD, pub, &event));
		EXPECT_EQ(0, epoll_wait(epoll[i], &event, 1, 0));
	}
	for (round = 0; round < 3; round++) {
		sub = fd_subscribe(bus, RONBUS_START_LATEST, 0, NULL);
		ASSERT_LE(0, sub);
		EXPECT_EQ(POLLOUT, fd_poll(pub, POLLIN | POLLOUT));
		for (i = 0; i < ARRAY_SIZE(how); i++) {
			ASSERT_TRUE(wait_until(epoll_wait(epoll[i], &event, 1, 0) == 1))
			TH_LOG("epoll %u, round %d", i, round);
			EXPECT_EQ(EPOLLOUT, event.events);
		}
		close(sub);
		EXPECT_EQ(0, fd_poll(pub, POLLIN | POLLOUT));
		EXPECT_EQ(0, epoll_wait(epoll[4], &event, 1, 0));
	}
	for (i = 0; i < ARRAY_SIZE(how); i++)
		close(epoll[i]);
	close(pub);
	close(bus);
	close(control);
}

TEST_F(restart, a_subscriber_knows_how_far_behind_it_is)
{
	struct ronbus_pub *pub;
	struct ronbus_sub *sub;
	struct ronbus *bus;
	u64 i;

	ASSERT_EQ(0, make_bus(self->where, NULL, 0, &bus));
	ASSERT_EQ(0, ronbus_publisher(bus, 0, &pub));
	ASSERT_EQ(0, ronbus_subscribe(bus, NULL, &sub));
	EXPECT_EQ(0, ronbus_sub_backlog(sub));
	for (i = 1; i <= 2 * SLOTS; i++) {
		ASSERT_EQ(1, send_number(pub, 0, i));
		EXPECT_EQ(i, ronbus_sub_backlog(sub));
	}
	EXPECT_EQ(-3, next_number(sub, 0)); /* of the loss */
	EXPECT_EQ(SLOTS, ronbus_sub_backlog(sub));
	EXPECT_EQ(SLOTS + 1, next_number(sub, 0));
	EXPECT_EQ(SLOTS - 1, ronbus_sub_backlog(sub));
	while (next_number(sub, 0) >= 0)
		;
	EXPECT_EQ(0, ronbus_sub_backlog(sub));
	ronbus_sub_close(sub);
	ronbus_pub_close(pub);
	ronbus_close(bus);
}

TEST(capacity_for)
{
	EXPECT_EQ(RONBUS_CAPACITY_MIN, ronbus_capacity_for(0, 0));
	EXPECT_EQ(RONBUS_CAPACITY_MIN, ronbus_capacity_for(4, SEC));
	EXPECT_EQ(8, ronbus_capacity_for(5, SEC));
	EXPECT_EQ(64, ronbus_capacity_for(10000, 6400000));
	EXPECT_EQ(128, ronbus_capacity_for(10000, 6400001));
	EXPECT_EQ(1024, ronbus_capacity_for(10000, 100000000));
	EXPECT_EQ(RONBUS_CAPACITY_MAX, ronbus_capacity_for(RONBUS_CAPACITY_MAX, SEC));
	EXPECT_EQ(RONBUS_CAPACITY_MAX, ronbus_capacity_for(~0ULL, ~0ULL));
}

/* ---- members that come later -------------------------------------------------------------- */

FIXTURE(retain)
{
	const char *where;
	struct ronbus *bus;
	struct ronbus_pub *pub;
};

FIXTURE_VARIANT(retain)
{
	const char *where;
	u64 features;
	u32 flags;
	unsigned int pub_flags;
};

#define RETAINS(name, ...)                                                        \
	FIXTURE_VARIANT_ADD(retain, device_##name){ RONBUS_DEVICE, __VA_ARGS__ }; \
	FIXTURE_VARIANT_ADD(retain, embedded_##name){ RONBUS_EMBEDDED, __VA_ARGS__ };

#define MOST (RONBUS_F_EDGE_NOTIFY | RONBUS_F_BATCH | RONBUS_F_METRICS_BUF)
RETAINS(plain, 0, 0, 0)
RETAINS(edge, RONBUS_F_EDGE_NOTIFY, 0, 0)
RETAINS(single, RONBUS_F_EDGE_NOTIFY, 0, RONBUS_PUB_SINGLE)
RETAINS(most, MOST, 0, 0)
RETAINS(all, MOST | RONBUS_F_INTEREST | RONBUS_F_COALESCE, 0, 0)
RETAINS(arrays, MOST | RONBUS_F_INTEREST | RONBUS_F_SOA, 0, 0)
RETAINS(exclusive, MOST, RONBUS_BUS_EXCLUSIVE, 0)
RETAINS(exclusive_arrays, MOST | RONBUS_F_SOA, RONBUS_BUS_EXCLUSIVE, 0)
RETAINS(by_call, MOST | RONBUS_F_INTEREST, 0, RONBUS_PUB_SYSCALL)

FIXTURE_SETUP(retain)
{
	const struct ronbus_options opts = {
		.features = variant->features,
		.flags = variant->flags | RONBUS_BUS_RETAIN | RONBUS_BUS_PERSISTENT,
		.capacity = SLOTS,
		.payload = LEN,
	};

	if (strcmp(variant->where, RONBUS_EMBEDDED))
		close(OPEN_CONTROL());
	self->where = variant->where;
	ASSERT_EQ(0, ronbus_create(self->where, &opts, &self->bus));
	ASSERT_EQ(0, ronbus_publisher(self->bus, variant->pub_flags, &self->pub));
}

FIXTURE_TEARDOWN(retain)
{
	ronbus_pub_close(self->pub);
	ronbus_close(self->bus);
}

static const struct ronbus_sub_options oldest = { .start = RONBUS_START_OLDEST };

/* Message by message, and in batches; before anybody is there, and after all have gone. */
TEST_F(retain, messages_wait_for_a_subscriber)
{
	u64 numbers[3] = { 3, 4, 5 }, i;
	struct iovec vec[3] = { { &numbers[0], 8 }, { &numbers[1], 8 }, { &numbers[2], 8 } };
	struct ronbus_stats stats;
	struct ronbus_sub *sub;

	EXPECT_EQ(0, send_number(self->pub, 1, 1));
	EXPECT_EQ(0, send_number(self->pub, 1, 2));
	EXPECT_EQ(3, ronbus_publish_many(self->pub, 1, vec, 3));
	ASSERT_EQ(0, ronbus_subscribe(self->bus, &oldest, &sub));
	for (i = 1; i <= 5; i++)
		EXPECT_EQ((long)i, next_number(sub, 0));
	EXPECT_EQ(-2, next_number(sub, 0));
	EXPECT_EQ(1, send_number(self->pub, 1, 6));
	EXPECT_EQ(6, next_number(sub, 0));
	ronbus_sub_close(sub);

	/* A lap and more that nobody sees. */
	for (i = 7; i < 30; i++)
		EXPECT_EQ(0, send_number(self->pub, 1, i));
	ASSERT_EQ(0, ronbus_subscribe(self->bus, &oldest, &sub));
	for (i = 30 - SLOTS; i < 30; i++)
		EXPECT_EQ((long)i, next_number(sub, 0));
	EXPECT_EQ(-2, next_number(sub, 0));
	ronbus_sub_close(sub);
	ronbus_pub_close(self->pub);
	self->pub = NULL;

	ASSERT_EQ(0, ronbus_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(28, stats.counters.no_receivers_total);
	EXPECT_EQ(1, stats.counters.published_total);
	EXPECT_EQ(14, stats.counters.delivered_total);
}

/* What a subscriber wants it gets, though it was published for others or for nobody. */
TEST_F(retain, topics_choose)
{
	struct ronbus_sub_options two = { .start = RONBUS_START_OLDEST, .topics = 1 << 2 };
	struct ronbus_sub *first, *second;
	u64 i;

	if (!(variant->features & RONBUS_F_INTEREST))
		return;
	for (i = 0; i < 6; i++)
		EXPECT_EQ(0, send_number(self->pub, i % 3, i));
	ASSERT_EQ(0, ronbus_subscribe(self->bus, &two, &first));
	EXPECT_EQ(2, next_number(first, 0));
	EXPECT_EQ(5, next_number(first, 0));
	EXPECT_EQ(-2, next_number(first, 0));
	EXPECT_EQ(0, send_number(self->pub, 1, 6));
	EXPECT_EQ(1, send_number(self->pub, 2, 7));
	/* Before the first reads on, it wants what was published for nobody. */
	ASSERT_EQ(0, ronbus_sub_set_topics(first, 1 << 1));
	EXPECT_EQ(6, next_number(first, 0));
	EXPECT_EQ(-2, next_number(first, 0));
	two.topics = 1 << 0 | 1 << 2;
	ASSERT_EQ(0, ronbus_subscribe(self->bus, &two, &second));
	EXPECT_EQ(0, next_number(second, 0));
	EXPECT_EQ(2, next_number(second, 0));
	EXPECT_EQ(3, next_number(second, 0));
	EXPECT_EQ(5, next_number(second, 0));
	EXPECT_EQ(7, next_number(second, 0));
	EXPECT_EQ(-2, next_number(second, 0));
	ronbus_sub_close(first);
	ronbus_sub_close(second);
}

/*
 * What is enough for a subscriber that coalesces is counted anew when its topics change: before it
 * there are messages that were not for it when it counted.
 */
TEST_F(retain, topics_change_what_is_enough)
{
	struct ronbus_sub_options one = { .start = RONBUS_START_OLDEST, .topics = 1 << 1 };
	struct ronbus_sub *sub;
	u64 i;

	if (~variant->features & (RONBUS_F_INTEREST | RONBUS_F_COALESCE))
		return;
	for (i = 0; i < 6; i++)
		EXPECT_EQ(0, send_number(self->pub, 2, i));
	ASSERT_EQ(0, ronbus_subscribe(self->bus, &one, &sub));
	ASSERT_EQ(0, ronbus_sub_set_coalesce(sub, 4, RONBUS_COALESCE_DELAY_MAX));
	EXPECT_EQ(-ETIMEDOUT, ronbus_wait(sub, 0));
	EXPECT_EQ(0, ronbus_arm(sub));
	ASSERT_EQ(0, ronbus_sub_set_topics(sub, 1 << 2));
	EXPECT_EQ(1, ronbus_arm(sub));
	EXPECT_EQ(0, ronbus_wait(sub, 0));
	for (i = 0; i < 6; i++)
		EXPECT_EQ((long)i, next_number(sub, 0));
	ronbus_sub_close(sub);
}

/* Of a new topic there may be messages already: whoever waits for the subscriber is told. */
TEST_F(retain, a_new_topic_wakes)
{
	struct ronbus_sub_options one = { .start = RONBUS_START_OLDEST, .topics = 1 << 1 };
	int event = eventfd(0, EFD_NONBLOCK);
	struct ronbus_sub *sub;
	int messages;

	if (!(variant->features & RONBUS_F_INTEREST))
		return;
	for (messages = 1; messages < 5; messages += 3) {
		ASSERT_EQ(0, ronbus_subscribe(self->bus, &one, &sub));
		ASSERT_EQ(0, ronbus_sub_set_eventfd(sub, event));
		ASSERT_LE(0, ronbus_sub_fd(sub));
		if (variant->features & RONBUS_F_COALESCE) {
			ASSERT_EQ(0, ronbus_sub_set_coalesce(sub, messages,
							     RONBUS_COALESCE_DELAY_MAX));
		}
		EXPECT_EQ(0, send_number(self->pub, 2, 7));
		ASSERT_EQ(0, ronbus_arm(sub));
		ASSERT_EQ(0, ronbus_sub_set_topics(sub, 1 << 1 | 1 << 2));
		EXPECT_EQ(POLLIN, fd_poll(event, POLLIN));
		if (messages == 1) {
			EXPECT_EQ(POLLIN, fd_poll(ronbus_sub_fd(sub), POLLIN));
		}
		EXPECT_EQ(7, next_number(sub, 0));
		ronbus_sub_close(sub);
		close(event);
		event = eventfd(0, EFD_NONBLOCK);
	}
	close(event);
}

/**
 * struct meeting - a message that is published while its only subscriber joins
 * @bus: where
 * @begin: both begin a round
 * @end: both have ended it
 * @got: what the subscriber got
 */
struct meeting {
	struct ronbus *bus;
	pthread_barrier_t begin, end;
	long got;
	bool stop;
};

static void *join_and_read(void *arg)
{
	struct meeting *m = arg;
	struct ronbus_sub *sub;
	long got;

	for (;;) {
		pthread_barrier_wait(&m->begin);
		if (m->stop)
			return NULL;
		m->got = -4;
		if (!ronbus_subscribe(m->bus, &oldest, &sub)) {
			/* To the last: what came before is of earlier rounds, and may be overtaken. */
			do {
				got = next_number(sub, m->got < 0 ? (int64_t)WATCHDOG : 0);
				m->got = got >= 0 ? got : m->got;
			} while (got >= 0 || got == -3);
			ronbus_sub_close(sub);
		}
		pthread_barrier_wait(&m->end);
	}
}

/* However the two fall: the newcomer has the message, and does not sleep in front of it. */
TEST_F(retain, a_newcomer_meets_a_message)
{
	struct meeting m = { .bus = self->bus };
	pthread_t thread;
	long i;

	pthread_barrier_init(&m.begin, NULL, 2);
	pthread_barrier_init(&m.end, NULL, 2);
	ASSERT_EQ(0, pthread_create(&thread, NULL, join_and_read, &m));
	/* The first is there in any case; then each has its own slot to be found in. */
	for (i = 0; i < 300; i++) {
		pthread_barrier_wait(&m.begin);
		ASSERT_LE(0, send_number(self->pub, 0, (u64)i));
		pthread_barrier_wait(&m.end);
		ASSERT_LE(0, m.got);
		/* It may have joined, read and left before this one. */
		ASSERT_TRUE(m.got == i || (i && m.got == i - 1)) TH_LOG("%ld, not %ld", m.got, i);
	}
	m.stop = true;
	pthread_barrier_wait(&m.begin);
	ASSERT_EQ(0, pthread_join(thread, NULL));
}

/* The other ways to publish, which are the module's alone. */
TEST(blocks_are_retained)
{
	const struct ronbus_options opts = {
		.features = RONBUS_F_BLOCKS,
		.flags = RONBUS_BUS_RETAIN | RONBUS_BUS_PERSISTENT,
		.capacity = SLOTS,
		.payload = 64,
	};
	const char *const where[] = { RONBUS_DEVICE, RONBUS_EMBEDDED };
	char data[100] = "block", buf[64];
	unsigned int i;

	close(OPEN_CONTROL());
	for (i = 0; i < ARRAY_SIZE(where); i++) {
		struct ronbus_block block;
		struct ronbus_msg msg;
		struct ronbus_pub *pub;
		struct ronbus_sub *sub;
		struct ronbus *bus;

		ASSERT_EQ(0, ronbus_create(where[i], &opts, &bus));
		ASSERT_EQ(0, ronbus_publisher(bus, 0, &pub));
		EXPECT_EQ(0, ronbus_publish_block(pub, 0, NULL, 0, data, sizeof(data)));
		ASSERT_EQ(0, ronbus_subscribe(bus, &oldest, &sub));
		ASSERT_EQ(RONBUS_MESSAGE, ronbus_try_recv(sub, buf, sizeof(buf), &msg));
		ASSERT_EQ(0, ronbus_block_pin(sub, &msg, &block));
		EXPECT_EQ(sizeof(data), block.len);
		EXPECT_EQ(0, memcmp(block.data, data, sizeof(data)));
		ronbus_block_unpin(sub, &block);
		ronbus_sub_close(sub);
		ronbus_pub_close(pub);
		ronbus_close(bus);
	}
}

TEST_HARNESS_MAIN
