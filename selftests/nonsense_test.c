// SPDX-License-Identifier: GPL-2.0
/*
 * A ring that somebody writes nonsense into: every call on it returns, and reads within bounds.
 */
#include "ronbus_kselftest.h"

#define SLOTS 64U
#define LEN 32U

FIXTURE(nonsense)
{
	int control;
	int bus;
	struct publisher evil;
	struct publisher pub;
	struct subscriber s;
};

FIXTURE_SETUP(nonsense)
{
	self->control = OPEN_CONTROL();
	self->bus =
		bus_create(self->control, (struct ronbus_create){ .features = RONBUS_F_EDGE_NOTIFY,
								  .capacity = 8,
								  .payload = LEN });
	ASSERT_LE(0, self->bus);
	ASSERT_EQ(0, publisher_join(&self->evil, self->bus, RONBUS_PUBLISHER_MAPPED));
	ASSERT_EQ(0, publisher_join(&self->pub, self->bus, 0));
	ASSERT_EQ(0, subscriber_join(&self->s, self->bus, RONBUS_START_LATEST, 0));
	ASSERT_EQ(0, fd_nonblock(self->s.m.fd));
}

FIXTURE_TEARDOWN(nonsense)
{
	close(self->bus);
	close(self->control);
}

/*
 * Whatever the ring and the subscriber's page say, calls return, and return what they may; nothing
 * is read from where it should not be: a length is at most the payload.
 */
TEST_F(nonsense, words_of_the_ring)
{
	static const u64 words[] = {
		0,
		1,
		2,
		3,
		255,
		256,
		~0ULL,
		1ULL << 63,
		~0ULL >> 1,
		0xffffffff,
		1ULL << 32,
		RONBUS_STATE(1, 1, RONBUS_KIND_BUSY),
		RONBUS_STATE(~0ULL >> 8, 63, 3),
		RONBUS_STATE(~0ULL >> 8, 0, RONBUS_KIND_READY),
	};
	size_t words_in = self->evil.m.info.ring_bytes / 8, i;
	u64 *ring = (void *)self->evil.m.ring.head, random = random_seed();
	struct ronbus_stats stats;
	char buf[4096];
	int round;

	for (round = 0; round < 300; round++) {
		u64 position = 8;
		long ret;
		int fd;

		for (i = 0; i < words_in; i++) {
			random = random_next(random);
			RB_WRITE(ring + i,
				 random >> 60 ? words[(random >> 40) % ARRAY_SIZE(words)] : random);
		}
		random = random_next(random);
		RB_WRITE(&self->s.m.self->cursor,
			 random >> 40 & 1 ? random : words[(random >> 44) % ARRAY_SIZE(words)]);

		ret = publish_number(&self->pub, (u64)round);
		ASSERT_TRUE(ret == 1 || ret == -EAGAIN) TH_LOG("PUBLISH returned %ld", ret);
		ret = fd_read(self->s.m.fd, buf, sizeof(buf));
		ASSERT_TRUE(ret == -EAGAIN || (ret >= (long)sizeof(struct ronbus_record) &&
					       ret % 8 == 0 && ret <= (long)sizeof(buf)))
		TH_LOG("read returned %ld", ret);
		if (ret > 0) {
			struct ronbus_record head;

			memcpy(&head, buf, sizeof(head));
			ASSERT_GE(LEN, head.len);
			ASSERT_GT(RONBUS_TOPICS_MAX, head.topic);
		}
		ret = fd_wait(self->s.m.fd, 0);
		ASSERT_TRUE(ret == 0 || ret == -ETIMEDOUT);
		ret = fd_arm(self->s.m.fd);
		ASSERT_TRUE(ret == 0 || ret == 1);
		ret = fd_poll(self->s.m.fd, POLLIN);
		ASSERT_TRUE(ret == 0 || ret == POLLIN);
		ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
		ASSERT_EQ(0, fd_stats(self->s.m.fd, self->s.index, &stats));
		ASSERT_EQ(0, fd_notify(self->evil.m.fd, ~0ULL, NULL));
		for (i = 0; i < 3; i++) {
			fd = fd_subscribe(self->bus, (u32)i, i == 2 ? position : 0, NULL);
			ASSERT_TRUE(fd >= 0 || fd == -ERANGE) TH_LOG("SUBSCRIBE %d", fd);
			if (fd >= 0) {
				EXPECT_LE(-1, read(fd, buf, fd_nonblock(fd) ? 0 : sizeof(buf)));
				close(fd);
			}
		}
	}
	/* The one that wrote it leaves, and its slots are looked through. */
	member_unmap(&self->evil.m);
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
}

/* Each word of its own page is the subscriber's to spoil, for itself alone. */
TEST_F(nonsense, own_page)
{
	struct subscriber other;
	u64 *page = (void *)self->s.m.self;
	size_t i, words = self->s.m.info.self_bytes / 8;
	struct ronbus_stats stats;
	struct message msg;
	char buf[4096];
	u64 n;

	ASSERT_EQ(0, subscriber_join(&other, self->bus, RONBUS_START_LATEST, 0));
	for (n = 0; n < 50; n++) {
		for (i = 0; i < words; i++)
			RB_WRITE(page + i, n % 2 ? ~0ULL : n << 56 | n);
		(void)fd_read(self->s.m.fd, buf, sizeof(buf));
		(void)fd_poll(self->s.m.fd, POLLIN);
		EXPECT_EQ(1, publish_number(&self->pub, n));
		ASSERT_EQ(0, fd_stats(self->s.m.fd, self->s.index, &stats));
		/* The neighbour notices nothing. */
		ASSERT_EQ(1, subscriber_read(&other, &msg));
		EXPECT_TRUE(message_whole(msg.data, msg.len, n));
		EXPECT_EQ(0, msg.lost);
		ASSERT_EQ(0, fd_stats(other.m.fd, other.index, &stats));
		EXPECT_EQ(n + 1, stats.counters.delivered_total);
	}
	subscriber_leave(&self->s);
	EXPECT_EQ(1, publish_number(&self->pub, 99));
	ASSERT_EQ(1, subscriber_read(&other, &msg));
	EXPECT_TRUE(message_whole(msg.data, msg.len, 99));
}

TEST_HARNESS_MAIN
