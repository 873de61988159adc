// SPDX-License-Identifier: GPL-2.0
/*
 * The library on both transports: names, how members come and go, and how many there may be.
 */
#include "api.h"

/* ---- membership ------------------------------------------------------------------------- */

TEST_F(api, names)
{
	const unsigned int all = RONBUS_ACCESS_SUBSCRIBE | RONBUS_ACCESS_PUBLISH;
	struct ronbus *bus, *other, *third;
	struct ronbus_info info;
	struct ronbus_sub *sub;
	struct ronbus_pub *pub;

	ASSERT_EQ(0, make_bus(self->where, self->features, 0, "api-names", &bus));
	EXPECT_EQ(-EEXIST, make_bus(self->where, self->features, 0, "api-names", &other));
	ASSERT_EQ(0, ronbus_attach(self->where, "api-names", RONBUS_ACCESS_SUBSCRIBE, &other));
	ASSERT_EQ(0, ronbus_bus_info(other, &info));
	EXPECT_STREQ("api-names", info.name);
	EXPECT_EQ(RONBUS_ACCESS_SUBSCRIBE | RONBUS_ACCESS_END, info.access);
	EXPECT_EQ(-EACCES, ronbus_publisher(other, 0, &pub));
	EXPECT_EQ(-EACCES, ronbus_seal(other));
	ASSERT_EQ(0, ronbus_attach(self->where, "api-names", RONBUS_ACCESS_PUBLISH, &third));
	EXPECT_EQ(-EACCES, ronbus_subscribe(third, NULL, &sub));
	ronbus_close(third);
	EXPECT_EQ(-EINVAL, ronbus_attach(self->where, "api-names", 0, &third));
	EXPECT_EQ(-EINVAL, ronbus_attach(self->where, "api-names", 4, &third));
	EXPECT_EQ(-EINVAL, ronbus_attach(self->where, "", all, &third));
	EXPECT_EQ(-EINVAL, ronbus_attach(self->where, "api/names", all, &third));
	EXPECT_EQ(-ENOENT, ronbus_attach(self->where, "api-nameless", all, &third));
	ronbus_close(bus);
	EXPECT_EQ(-EEXIST, make_bus(self->where, self->features, 0, "api-names", &bus));

	/* Each side by its own handle, and both outlive the handles. */
	ASSERT_EQ(0, ronbus_subscribe(other, NULL, &sub));
	ASSERT_EQ(0, ronbus_attach(self->where, "api-names", RONBUS_ACCESS_PUBLISH, &bus));
	ASSERT_EQ(0, ronbus_publisher(bus, 0, &pub));
	ronbus_close(bus);
	ronbus_close(other);
	EXPECT_EQ(1, send_number(pub, 0, 1));
	EXPECT_MESSAGE(sub, 1);
	EXPECT_EQ(-EEXIST, make_bus(self->where, self->features, 0, "api-names", &bus));
	/* It has ended: the name is free, though somebody has the bus open. */
	ronbus_pub_close(pub);
	EXPECT_EQ(-ENOENT, ronbus_attach(self->where, "api-names", all, &bus));
	ASSERT_EQ(0, make_bus(self->where, self->features, 0, "api-names", &bus));
	ronbus_sub_close(sub);
	ronbus_close(bus);
	ronbus_close(NULL);
	EXPECT_EQ(-ENOENT, ronbus_attach(self->where, "api-names", all, &bus));
}

TEST_F(api, ends)
{
	struct ronbus_pub *pub;
	struct ronbus_sub_options opts = { .start = RONBUS_START_OLDEST };
	struct ronbus_sub *late;
	struct ronbus_info info;
	struct ronbus_msg msg;
	char buf[LEN];

	if (!(variant->flags & RONBUS_BUS_EXCLUSIVE)) {
		ASSERT_EQ(0, ronbus_publisher(self->bus, 0, &pub));
		EXPECT_EQ(1, send_number(pub, 0, 0));
		ronbus_pub_close(pub);
		EXPECT_MESSAGE(self->sub, 0);
		EXPECT_NOTHING(self->sub);
	} else {
		EXPECT_EQ(-EBUSY, ronbus_publisher(self->bus, 0, &pub));
		EXPECT_EQ(-EBUSY, ronbus_publisher(self->bus, RONBUS_PUB_SYSCALL, &pub));
	}
	EXPECT_EQ(1, send_number(self->pub, 0, 1));
	ronbus_pub_close(self->pub);
	self->pub = NULL;
	ronbus_pub_close(NULL);
	pub = NULL;
	EXPECT_EQ(-ESHUTDOWN, ronbus_publisher(self->bus, 0, &pub));
	EXPECT_EQ(NULL, pub);
	ASSERT_EQ(0, ronbus_bus_info(self->bus, &info));
	EXPECT_EQ(RONBUS_STATUS_ENDED, info.status);
	EXPECT_EQ(0, ronbus_wait(self->sub, -1));
	EXPECT_EQ(1, ronbus_arm(self->sub));
	EXPECT_MESSAGE(self->sub, 1);
	EXPECT_CLOSED(self->sub);
	EXPECT_CLOSED(self->sub);
	EXPECT_EQ(0, ronbus_wait(self->sub, -1));
	EXPECT_EQ(1, ronbus_arm(self->sub));
	EXPECT_EQ(RONBUS_CLOSED, ronbus_recv(self->sub, buf, sizeof(buf), &msg, -1));
	/* One that comes now reads what is there. */
	ASSERT_EQ(0, ronbus_subscribe(self->bus, &opts, &late));
	if (!(variant->flags & RONBUS_BUS_EXCLUSIVE))
		EXPECT_MESSAGE(late, 0);
	EXPECT_MESSAGE(late, 1);
	EXPECT_CLOSED(late);
	ronbus_sub_close(late);
}

TEST_F(api, sealed)
{
	struct ronbus_pub *pub;

	EXPECT_EQ(0, ronbus_seal(self->bus));
	EXPECT_EQ(-EPERM, ronbus_publisher(self->bus, 0, &pub));
	EXPECT_EQ(1, send_number(self->pub, 0, 1));
	EXPECT_MESSAGE(self->sub, 1);
	EXPECT_NOTHING(self->sub);
	ronbus_pub_close(self->pub);
	self->pub = NULL;
	EXPECT_CLOSED(self->sub);
}

TEST_F(api, persistent)
{
	u32 flags = variant->flags | RONBUS_BUS_PERSISTENT;
	struct ronbus_info info;
	struct ronbus_sub *sub;
	struct ronbus_pub *pub;
	struct ronbus *bus;

	ASSERT_EQ(0, make_bus(self->where, self->features, flags, NULL, &bus));
	ASSERT_EQ(0, ronbus_subscribe(bus, NULL, &sub));
	ASSERT_EQ(0, ronbus_publisher(bus, self->pub_flags, &pub));
	ronbus_pub_close(pub);
	EXPECT_NOTHING(sub);
	ASSERT_EQ(0, ronbus_publisher(bus, self->pub_flags, &pub));
	EXPECT_EQ(0, ronbus_seal(bus));
	EXPECT_EQ(0, ronbus_seal(bus));
	ASSERT_EQ(0, ronbus_bus_info(bus, &info));
	EXPECT_EQ(RONBUS_STATUS_SEALED, info.status);
	EXPECT_EQ(1, send_number(pub, 0, 1));
	EXPECT_MESSAGE(sub, 1);
	EXPECT_NOTHING(sub);
	ronbus_pub_close(pub);
	EXPECT_CLOSED(sub);
	EXPECT_EQ(-EPERM, ronbus_publisher(bus, 0, &pub));
	ronbus_sub_close(sub);
	ronbus_close(bus);

	/* Sealed without a publisher, it ends at once. */
	ASSERT_EQ(0, make_bus(self->where, self->features, flags, NULL, &bus));
	ASSERT_EQ(0, ronbus_subscribe(bus, NULL, &sub));
	EXPECT_NOTHING(sub);
	EXPECT_EQ(0, ronbus_seal(bus));
	EXPECT_CLOSED(sub);
	ronbus_sub_close(sub);
	ronbus_close(bus);
}

TEST_F(api, starts)
{
	struct ronbus_sub_options opts = { 0 };
	struct ronbus_sub *sub;
	u64 i;

	/* Of a ring that is not full yet, the oldest is the first. */
	opts.start = RONBUS_START_OLDEST;
	for (i = 0; i < SLOTS + 4; i++) {
		if (i == 0 || i == 2) {
			ASSERT_EQ(0, ronbus_subscribe(self->bus, &opts, &sub));
			EXPECT_EQ(SLOTS, ronbus_sub_position(sub));
			if (i == 2) {
				EXPECT_MESSAGE(sub, 0);
				EXPECT_MESSAGE(sub, 1);
			}
			EXPECT_NOTHING(sub);
			ronbus_sub_close(sub);
		}
		EXPECT_EQ(1, send_number(self->pub, 0, i));
	}
	opts.start = RONBUS_START_LATEST;
	ASSERT_EQ(0, ronbus_subscribe(self->bus, &opts, &sub));
	EXPECT_EQ(2 * SLOTS + 4, ronbus_sub_position(sub));
	EXPECT_NOTHING(sub);
	ronbus_sub_close(sub);
	opts.start = RONBUS_START_OLDEST;
	ASSERT_EQ(0, ronbus_subscribe(self->bus, &opts, &sub));
	EXPECT_EQ(1, ronbus_sub_index(sub));
	EXPECT_EQ(SLOTS + 4, ronbus_sub_position(sub));
	for (i = 4; i < SLOTS + 4; i++) {
		EXPECT_MESSAGE(sub, i);
	}
	ronbus_sub_close(sub);
	opts.start = RONBUS_START_AT;
	opts.position = SLOTS + 1;
	ASSERT_EQ(0, ronbus_subscribe(self->bus, &opts, &sub));
	EXPECT_LAG(sub, 3);
	for (i = 4; i < SLOTS + 4; i++) {
		EXPECT_MESSAGE(sub, i);
	}
	EXPECT_NOTHING(sub);
	if (counts_at_once(self->features))
		EXPECT_BALANCE(self->bus, sub);
	ronbus_sub_close(sub);
	opts.position = 2 * SLOTS + 2;
	ASSERT_EQ(0, ronbus_subscribe(self->bus, &opts, &sub));
	EXPECT_MESSAGE(sub, SLOTS + 2);
	EXPECT_MESSAGE(sub, SLOTS + 3);
	ronbus_sub_close(sub);
	/* At the tail, which is the next message. */
	opts.position = 2 * SLOTS + 4;
	ASSERT_EQ(0, ronbus_subscribe(self->bus, &opts, &sub));
	EXPECT_NOTHING(sub);
	EXPECT_EQ(2, send_number(self->pub, 0, 99));
	EXPECT_MESSAGE(sub, 99);
	ronbus_sub_close(sub);
}

TEST_F(api, as_many_as_there_may_be)
{
	struct ronbus_sub *subs[64], *more;
	struct ronbus_counters c;
	struct ronbus_info info;
	u64 first, i;

	subs[0] = self->sub;
	self->sub = NULL;
	/* A message is the number of subscribers that were there before it. */
	for (i = 1; i < 64; i++) {
		EXPECT_EQ((int)i, send_number(self->pub, 63, i));
		ASSERT_EQ(0, ronbus_subscribe(self->bus, NULL, &subs[i]));
		EXPECT_EQ(i, ronbus_sub_index(subs[i]));
	}
	EXPECT_EQ(-ENOSPC, ronbus_subscribe(self->bus, NULL, &more));
	EXPECT_EQ(64, send_number(self->pub, 63, 64));
	ronbus_sub_close(subs[17]);
	EXPECT_EQ(63, send_number(self->pub, 63, 65));
	ASSERT_EQ(0, ronbus_bus_info(self->bus, &info));
	EXPECT_EQ(~(1ULL << 17), info.subscribers);
	ASSERT_EQ(0, ronbus_subscribe(self->bus, NULL, &subs[17]));
	EXPECT_EQ(17, ronbus_sub_index(subs[17]));
	EXPECT_EQ(64, send_number(self->pub, 63, 66));
	for (i = 0; i < 64; i++) {
		first = i == 17 ? 66 : i + 1;
		if (first < 67 - SLOTS) {
			EXPECT_LAG(subs[i], 67 - SLOTS - first);
			first = 67 - SLOTS;
		}
		for (; first < 67; first++) {
			EXPECT_MESSAGE(subs[i], first);
		}
		EXPECT_NOTHING(subs[i]);
		if (counts_at_once(self->features))
			EXPECT_BALANCE(self->bus, subs[i]);
		ronbus_sub_close(subs[i]);
	}
	EXPECT_EQ(0, send_number(self->pub, 63, 67));
	ronbus_pub_close(self->pub);
	self->pub = NULL;
	c = stats_of(self->bus, RONBUS_STATS_BUS).counters;
	EXPECT_EQ(66, c.published_total);
	EXPECT_EQ(63 * 64 / 2 + 64 + 63 + 64, c.addressed_total);
	EXPECT_EQ(1, c.no_receivers_total);
	/* 8 for each of those that were overtaken, fewer for the last to come. */
	EXPECT_EQ(58 * SLOTS + 7 + 6 + 5 + 4 + 3 + 1, c.delivered_total);
}

TEST_F(api, publishers)
{
	static const u32 capacities[] = { 4, SLOTS, 16, 64, 128 };
	bool map_none = variant->flags & RONBUS_BUS_MAP_NONE;
	struct ronbus_pub *pubs[RONBUS_PUBLISHERS_MAX];
	struct ronbus_msg msg;
	struct ronbus_sub *sub;
	struct ronbus *bus;
	char buf[LEN];
	size_t k;

	if (variant->flags & RONBUS_BUS_EXCLUSIVE)
		return;
	for (k = 0; k < ARRAY_SIZE(capacities); k++) {
		struct ronbus_options opts = { .features = self->features,
					       .flags = variant->flags,
					       .capacity = capacities[k] };
		u32 i, n, most = capacities[k] - 1 < 63 ? capacities[k] - 1 : 63;
		u64 numbers = 1;

		n = map_none ? 0 : most;
		ASSERT_EQ(0, ronbus_create(self->where, &opts, &bus));
		ASSERT_EQ(0, ronbus_subscribe(bus, NULL, &sub));
		for (i = 0; i < n; i++) {
			ASSERT_EQ(0, ronbus_publisher(bus, RONBUS_PUB_MAPPED_ONLY, &pubs[i]));
			EXPECT_EQ(1, ronbus_pub_mapped(pubs[i]));
			EXPECT_EQ(1, send_number(pubs[i], 0, i));
			ASSERT_EQ(RONBUS_MESSAGE, ronbus_try_recv(sub, buf, LEN, &msg));
			EXPECT_TRUE(message_whole(buf, msg.len, i));
			ASSERT_LE(msg.publisher, most);
			EXPECT_FALSE(numbers >> msg.publisher & 1);
			numbers |= 1ULL << msg.publisher;
		}
		pubs[n] = NULL;
		EXPECT_EQ(map_none ? -EPERM : -ENOSPC,
			  ronbus_publisher(bus, RONBUS_PUB_MAPPED_ONLY, &pubs[n]));
		EXPECT_EQ(NULL, pubs[n]);
		/* One that does not insist publishes by system call. */
		ASSERT_EQ(0, ronbus_publisher(bus, 0, &pubs[n]));
		EXPECT_EQ(0, ronbus_pub_mapped(pubs[n]));
		EXPECT_EQ(n + 1, stats_of(bus, RONBUS_STATS_BUS).publishers);
		EXPECT_EQ(1, send_number(pubs[n], 0, n));
		ASSERT_EQ(RONBUS_MESSAGE, ronbus_try_recv(sub, buf, LEN, &msg));
		EXPECT_TRUE(message_whole(buf, msg.len, n));
		EXPECT_EQ(0, msg.publisher);
		for (i = 0; i <= n; i++) {
			ronbus_pub_close(pubs[i]);
		}
		EXPECT_CLOSED(sub);
		ronbus_sub_close(sub);
		ronbus_close(bus);
	}
}

/* An fd for a process that shall only read. */
TEST_F(api, share)
{
	struct ronbus_pub *pub;
	struct ronbus_sub *sub;
	struct ronbus *bus;
	int fd;

	fd = ronbus_share(self->bus, RONBUS_ACCESS_SUBSCRIBE);
	if (!strcmp(variant->where, RONBUS_EMBEDDED)) {
		EXPECT_EQ(-EOPNOTSUPP, fd);
		return;
	}
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EINVAL, ronbus_share(self->bus, 0));
	ASSERT_EQ(0, ronbus_adopt(fd, &bus));
	EXPECT_EQ(-EACCES, ronbus_share(bus, RONBUS_ACCESS_PUBLISH));
	EXPECT_EQ(-EACCES, ronbus_publisher(bus, 0, &pub));
	ASSERT_EQ(0, ronbus_subscribe(bus, NULL, &sub));
	ronbus_close(bus);
	EXPECT_EQ(2, send_number(self->pub, 0, 5));
	EXPECT_MESSAGE(sub, 5);
	ronbus_sub_close(sub);
}

TEST_HARNESS_MAIN
