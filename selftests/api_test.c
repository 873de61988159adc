// SPDX-License-Identifier: GPL-2.0
/*
 * The library on both transports: what a bus is, arguments, and every way to receive.
 */
#include "api.h"

TEST_F(api, what_it_is)
{
	bool mapped =
		!(self->pub_flags & RONBUS_PUB_SYSCALL) && !(variant->flags & RONBUS_BUS_MAP_NONE);
	bool device = strcmp(self->where, RONBUS_EMBEDDED);
	struct ronbus_query query;
	struct ronbus_info info;

	poison(query);
	ASSERT_EQ(0, ronbus_query(self->where, &query));
	EXPECT_EQ(RONBUS_ABI_VERSION, query.abi_version);
	EXPECT_EQ(ALL, query.features & ALL);
	EXPECT_EQ(64, query.subscribers_max);
	EXPECT_EQ(sizeof(struct ronbus_self), query.self_page_size);
	if (!device)
		EXPECT_EQ(RONBUS_FEATURES_KNOWN, query.features);
	poison(info);
	ASSERT_EQ(0, ronbus_bus_info(self->bus, &info));
	EXPECT_EQ(self->features, info.features);
	EXPECT_EQ(variant->flags, info.flags);
	EXPECT_EQ(SLOTS, info.capacity);
	EXPECT_EQ(LEN, info.payload);
	EXPECT_EQ(RONBUS_ROLE_BUS, info.role);
	EXPECT_EQ(7, info.access);
	EXPECT_EQ(1, info.publishers);
	EXPECT_EQ(1, info.subscribers);
	EXPECT_EQ(0600, info.mode);
	EXPECT_EQ(0, info.status);
	EXPECT_EQ(mapped, ronbus_pub_mapped(self->pub));
	EXPECT_EQ(0, ronbus_sub_index(self->sub));
	EXPECT_EQ(SLOTS, ronbus_sub_position(self->sub));
	EXPECT_EQ(device, ronbus_bus_fd(self->bus) >= 0);
	EXPECT_EQ(device, ronbus_pub_fd(self->pub) >= 0);
	if (!device) {
		EXPECT_EQ(-EOPNOTSUPP, ronbus_bus_fd(self->bus));
		EXPECT_EQ(-EOPNOTSUPP, ronbus_pub_fd(self->pub));
	}
}

TEST_F(api, defaults)
{
	struct ronbus_info info;
	struct ronbus *bus;

	ASSERT_EQ(0, ronbus_create(self->where, NULL, &bus));
	poison(info);
	ASSERT_EQ(0, ronbus_bus_info(bus, &info));
	EXPECT_EQ(RONBUS_CAPACITY_DEFAULT, info.capacity);
	EXPECT_EQ(RONBUS_PAYLOAD_DEFAULT, info.payload);
	EXPECT_EQ(0600, info.mode);
	EXPECT_EQ(RONBUS_ROLE_BUS, info.role);
	EXPECT_EQ(RONBUS_ACCESS_SUBSCRIBE | RONBUS_ACCESS_PUBLISH | RONBUS_ACCESS_END, info.access);
	EXPECT_EQ(0, info.features);
	EXPECT_EQ(0, info.flags);
	EXPECT_EQ(0, info.status);
	EXPECT_EQ(0, info.subscribers);
	EXPECT_EQ(0, info.publishers);
	EXPECT_STREQ("", info.name);
	ronbus_close(bus);
	ronbus_close(NULL);
	ronbus_pub_close(NULL);
	ronbus_sub_close(NULL);
}

TEST_F(api, create_refuses)
{
	static const struct ronbus_options cases[] = {
		{ .features = RONBUS_FEATURES_KNOWN + 1 },
		{ .features = 1ULL << 63 },
		{ .features = RONBUS_F_SOA, .capacity = 5 },
		{ .flags = RONBUS_BUS_FLAGS_KNOWN + 1 },
		{ .flags = RONBUS_BUS_COARSE_TIME },
		{ .flags = 1U << 31 },
		{ .flags = RONBUS_BUS_MAP_NONE | RONBUS_BUS_MAP_ALL },
		{ .mode = 01000 },
		{ .mode = 0700 },
		{ .mode = 0777 },
		{ .capacity = 1 },
		{ .capacity = 2 },
		{ .capacity = 3 },
		{ .capacity = 5 },
		{ .capacity = 2 * RONBUS_CAPACITY_MAX },
		{ .capacity = RONBUS_CAPACITY_MAX, .payload = RONBUS_PAYLOAD_MAX },
		{ .payload = 7 },
		{ .payload = 9 },
		{ .payload = 12 },
		{ .payload = RONBUS_PAYLOAD_MAX + 8 },
		{ .subscribers = 3 },
		{ .subscribers = 4 },
		{ .features = RONBUS_F_AUTOTUNE_CAP, .subscribers = 65 },
		{ .features = RONBUS_F_AUTOTUNE_CAP, .capacity = 100 },
		{ .name = "white space" },
		{ .name = "a/b" },
		{ .name = "\303\244" },
		{ .name = "0123456789012345678901234567890123456789012345678901234567890123" },
		{ .reserved = { 0, 1 } },
	};
	struct ronbus *bus = NULL;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		EXPECT_EQ(-EINVAL, ronbus_create(self->where, &cases[i], &bus))
		TH_LOG("case %zu", i);
		ASSERT_EQ(NULL, bus);
	}
}

TEST_F(api, in_order)
{
	u64 i;

	for (i = 0; i < 5 * SLOTS; i++) {
		EXPECT_EQ(1, send_number(self->pub, (unsigned int)i % 64, i));
		if (i % 3 == 2) {
			EXPECT_MESSAGE(self->sub, i - 2);
			EXPECT_MESSAGE(self->sub, i - 1);
			EXPECT_MESSAGE(self->sub, i);
			EXPECT_NOTHING(self->sub);
		}
	}
}

TEST_F(api, lag)
{
	u64 i;

	for (i = 0; i < SLOTS + 3; i++) {
		EXPECT_EQ(1, send_number(self->pub, 0, i));
	}
	EXPECT_LAG(self->sub, 3);
	for (i = 3; i < SLOTS + 3; i++) {
		EXPECT_MESSAGE(self->sub, i);
	}
	EXPECT_NOTHING(self->sub);
}

TEST_F(api, arguments)
{
	static const u64 nowhere[] = { 0, SLOTS - 1, SLOTS + 4, ~0ULL };
	struct ronbus_sub_options sub_opts = { .start = 3 };
	char data[LEN + 1] = "";
	struct iovec vec[3] = {
		{ data, LEN },
		{ data, LEN },
		{ data, LEN + 1 },
	};
	struct ronbus_stats stats;
	struct ronbus_msg msg;
	struct ronbus *bus;
	struct ronbus_sub *sub = NULL;
	struct ronbus_pub *pub = NULL;
	int i;

	EXPECT_EQ(-EMSGSIZE, ronbus_publish(self->pub, 0, data, LEN + 1));
	EXPECT_EQ(-EMSGSIZE, ronbus_publish(self->pub, 0, data, (size_t)1 << 32));
	EXPECT_EQ(-EINVAL, ronbus_publish(self->pub, 64, data, LEN));
	EXPECT_EQ(-EINVAL, ronbus_publish(self->pub, ~0U, data, LEN));
	EXPECT_EQ(-EINVAL, ronbus_publish_many(self->pub, 64, vec, 1));
	EXPECT_EQ(-EMSGSIZE, ronbus_publish_many(self->pub, 0, vec + 2, 1));
	EXPECT_NOTHING(self->sub);
	EXPECT_EQ(0, stats_of(self->bus, RONBUS_STATS_BUS).counters.published_total);
	EXPECT_EQ(2, ronbus_publish_many(self->pub, 0, vec, 3));
	EXPECT_EQ(1, ronbus_publish(self->pub, 0, NULL, 0));
	strcpy(data, "intact");
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(-EMSGSIZE, ronbus_try_recv(self->sub, data, LEN - 1, &msg));
		EXPECT_EQ(LEN, msg.len);
		EXPECT_STREQ("intact", data);
	}
	EXPECT_EQ(RONBUS_MESSAGE, ronbus_try_recv(self->sub, data, LEN, &msg));
	EXPECT_EQ(RONBUS_MESSAGE, ronbus_try_recv(self->sub, data, LEN, &msg));
	EXPECT_EQ(RONBUS_MESSAGE, ronbus_try_recv(self->sub, data, 0, &msg));
	EXPECT_EQ(0, msg.len);
	EXPECT_NOTHING(self->sub);
	if (counts_at_once(self->features))
		EXPECT_BALANCE(self->bus, self->sub);

	EXPECT_EQ(-EINVAL, ronbus_subscribe(self->bus, &sub_opts, &sub));
	sub_opts = (struct ronbus_sub_options){ .position = 8 };
	EXPECT_EQ(-EINVAL, ronbus_subscribe(self->bus, &sub_opts, &sub));
	sub_opts = (struct ronbus_sub_options){ .topics = 1 };
	EXPECT_EQ(-EINVAL, ronbus_subscribe(self->bus, &sub_opts, &sub));
	sub_opts = (struct ronbus_sub_options){ .reserved0 = 1 };
	EXPECT_EQ(-EINVAL, ronbus_subscribe(self->bus, &sub_opts, &sub));
	sub_opts = (struct ronbus_sub_options){ .reserved = { 0, 0, 1 } };
	EXPECT_EQ(-EINVAL, ronbus_subscribe(self->bus, &sub_opts, &sub));
	for (i = 0; i < (int)ARRAY_SIZE(nowhere); i++) {
		sub_opts = (struct ronbus_sub_options){ .start = RONBUS_START_AT,
							.position = nowhere[i] };
		EXPECT_EQ(-ERANGE, ronbus_subscribe(self->bus, &sub_opts, &sub));
	}
	EXPECT_EQ(NULL, sub);
	EXPECT_EQ(1, stats_of(self->bus, RONBUS_STATS_BUS).subscribers);
	sub_opts = (struct ronbus_sub_options){ .topics = ~0ULL };
	ASSERT_EQ(0, ronbus_subscribe(self->bus, &sub_opts, &sub));
	ronbus_sub_close(sub);
	EXPECT_EQ(-EINVAL, ronbus_publisher(self->bus, 1 << 3, &pub));
	EXPECT_EQ(-EINVAL,
		  ronbus_publisher(self->bus, RONBUS_PUB_MAPPED_ONLY | RONBUS_PUB_SYSCALL, &pub));
	EXPECT_EQ(NULL, pub);
	EXPECT_EQ(-ENOENT, ronbus_stats(self->bus, 1, &stats));
	EXPECT_EQ(-EINVAL, ronbus_stats(self->bus, 64, &stats));
	EXPECT_EQ(-ENOENT, ronbus_attach(self->where, "no-such-bus", 1, &bus));
}

TEST_F(api, batches)
{
	unsigned char data[3 * SLOTS][LEN];
	struct iovec vec[3 * SLOTS];
	struct ronbus_stats stats;
	u64 i, n;

	for (i = 0; i < ARRAY_SIZE(vec); i++) {
		message_fill(data[i], LEN, i);
		vec[i].iov_base = data[i];
		vec[i].iov_len = LEN;
	}
	for (n = 1; n <= SLOTS; n++) {
		EXPECT_EQ((int)n, ronbus_publish_many(self->pub, 5, vec, (unsigned int)n));
		for (i = 0; i < n; i++) {
			EXPECT_MESSAGE(self->sub, i);
		}
		EXPECT_NOTHING(self->sub);
	}
	EXPECT_EQ(0, ronbus_publish_many(self->pub, 5, vec, 0) > 0);
	EXPECT_EQ((int)(3 * SLOTS), ronbus_publish_many(self->pub, 5, vec, 3 * SLOTS));
	EXPECT_LAG(self->sub, 2 * SLOTS);
	for (i = 2 * SLOTS; i < 3 * SLOTS; i++) {
		EXPECT_MESSAGE(self->sub, i);
	}
	ASSERT_EQ(0, ronbus_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(SLOTS + SLOTS * (SLOTS + 1) / 2 + 3 * SLOTS, stats.tail);
}

TEST_F(api, many_at_once)
{
	unsigned char data[2 * SLOTS][LEN];
	struct ronbus_msg msgs[2 * SLOTS];
	u64 i;

	EXPECT_EQ(-EINVAL, ronbus_recv_many(self->sub, data, LEN, msgs, 0));
	EXPECT_EQ(-EAGAIN, ronbus_recv_many(self->sub, data, LEN, msgs, 1));
	for (i = 0; i < SLOTS; i++) {
		EXPECT_EQ(1, send_number(self->pub, 7, i));
	}
	EXPECT_EQ(-EINVAL, ronbus_recv_many(self->sub, data, LEN, msgs, 0));
	/* No more than there is room for, and no more than there is. */
	EXPECT_EQ(3, ronbus_recv_many(self->sub, data, LEN, msgs, 3));
	EXPECT_EQ(SLOTS + 3, ronbus_sub_position(self->sub));
	EXPECT_EQ((int)SLOTS - 3,
		  ronbus_recv_many(self->sub, data[3], LEN, msgs + 3, 2 * SLOTS - 3));
	for (i = 0; i < SLOTS; i++) {
		EXPECT_EQ(SLOTS + i, msgs[i].position);
		EXPECT_EQ(7, msgs[i].topic);
		EXPECT_EQ(LEN, msgs[i].len);
		EXPECT_EQ(0, msgs[i].lost);
		EXPECT_EQ((void *)data[i], msgs[i].data);
		EXPECT_TRUE(message_whole(msgs[i].data, msgs[i].len, i));
	}
	/* Overtaken: word of it, then what is left. */
	for (i = 0; i < SLOTS + 2; i++) {
		EXPECT_EQ(1, send_number(self->pub, 7, i));
	}
	ASSERT_EQ((int)SLOTS + 1, ronbus_recv_many(self->sub, data, LEN, msgs, 2 * SLOTS));
	EXPECT_EQ(2, msgs[0].lost);
	EXPECT_EQ(2 * SLOTS + 2, msgs[0].position);
	EXPECT_EQ(NULL, msgs[0].data);
	for (i = 0; i < SLOTS; i++) {
		EXPECT_TRUE(message_whole(msgs[i + 1].data, msgs[i + 1].len, i + 2));
		EXPECT_EQ(2 * SLOTS + 2 + i, msgs[i + 1].position);
	}
	EXPECT_EQ(-EAGAIN, ronbus_recv_many(self->sub, data, LEN, msgs, 1));
	/* Messages before one that does not fit, then that. */
	EXPECT_EQ(1, ronbus_publish(self->pub, 3, "1234", 4));
	EXPECT_EQ(1, send_number(self->pub, 7, 9));
	EXPECT_EQ(1, ronbus_recv_many(self->sub, data, 5, msgs, SLOTS));
	EXPECT_EQ(0, memcmp(data, "1234", 4));
	EXPECT_EQ(4, msgs[0].len);
	EXPECT_EQ(3, msgs[0].topic);
	EXPECT_EQ(-EMSGSIZE, ronbus_recv_many(self->sub, data, 5, msgs, SLOTS));
	EXPECT_EQ(LEN, msgs[0].len);
	EXPECT_MESSAGE(self->sub, 9);
	EXPECT_EQ(1, send_number(self->pub, 7, 10));
	ronbus_pub_close(self->pub);
	self->pub = NULL;
	EXPECT_EQ(1, ronbus_recv_many(self->sub, data, LEN, msgs, SLOTS));
	EXPECT_EQ(RONBUS_CLOSED, ronbus_recv_many(self->sub, data, LEN, msgs, SLOTS));
	if (counts_at_once(self->features)) {
		struct ronbus_counters c = stats_of(self->bus, 0).counters;

		EXPECT_EQ(2 * SLOTS + 3, c.delivered_total);
		EXPECT_EQ(2, c.overflow_dropped_total);
		EXPECT_BALANCE(self->bus, self->sub);
	}
}

TEST_F(api, peek)
{
	struct ronbus_msg msg;
	u64 i;

	EXPECT_EQ(-EINVAL, ronbus_release(self->sub));
	EXPECT_EQ(-EAGAIN, ronbus_peek(self->sub, &msg));
	EXPECT_EQ(1, send_number(self->pub, 7, 1));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(RONBUS_MESSAGE, ronbus_peek(self->sub, &msg));
		EXPECT_EQ(7, msg.topic);
		EXPECT_EQ(SLOTS, msg.position);
		EXPECT_TRUE(message_whole(msg.data, msg.len, 1));
	}
	EXPECT_EQ(0, ronbus_release(self->sub));
	EXPECT_EQ(-EINVAL, ronbus_release(self->sub));
	EXPECT_EQ(-EAGAIN, ronbus_peek(self->sub, &msg));
	/* Received by another call meanwhile: there is nothing to release. */
	EXPECT_EQ(1, send_number(self->pub, 7, 3));
	ASSERT_EQ(RONBUS_MESSAGE, ronbus_peek(self->sub, &msg));
	EXPECT_MESSAGE(self->sub, 3);
	EXPECT_EQ(1, send_number(self->pub, 7, 4));
	EXPECT_EQ(-EINVAL, ronbus_release(self->sub));
	/* The slots before and after it are overwritten, and it is not. */
	ASSERT_EQ(RONBUS_MESSAGE, ronbus_peek(self->sub, &msg));
	for (i = 0; i < SLOTS - 1; i++) {
		EXPECT_EQ(1, send_number(self->pub, 7, 5 + i));
	}
	EXPECT_TRUE(message_whole(msg.data, msg.len, 4));
	EXPECT_EQ(0, ronbus_release(self->sub));
	for (i = 0; i < SLOTS - 1; i++) {
		EXPECT_MESSAGE(self->sub, 5 + i);
	}
	/* Overwritten while we look at it. */
	EXPECT_EQ(1, send_number(self->pub, 7, 2));
	ASSERT_EQ(RONBUS_MESSAGE, ronbus_peek(self->sub, &msg));
	for (i = 0; i < SLOTS; i++) {
		EXPECT_EQ(1, send_number(self->pub, 7, 10 + i));
	}
	EXPECT_EQ(-ESTALE, ronbus_release(self->sub));
	EXPECT_EQ(-ESTALE, ronbus_release(self->sub));
	ASSERT_EQ(RONBUS_LAGGED, ronbus_peek(self->sub, &msg));
	EXPECT_EQ(1, msg.lost);
	ASSERT_EQ(RONBUS_MESSAGE, ronbus_peek(self->sub, &msg));
	EXPECT_TRUE(message_whole(msg.data, msg.len, 10));
	ronbus_pub_close(self->pub);
	self->pub = NULL;
	for (i = 0; i < SLOTS; i++) {
		EXPECT_MESSAGE(self->sub, 10 + i);
	}
	EXPECT_EQ(RONBUS_CLOSED, ronbus_peek(self->sub, &msg));
	if (counts_at_once(self->features)) {
		struct ronbus_counters c = stats_of(self->bus, 0).counters;

		EXPECT_EQ(2 * SLOTS + 2, c.delivered_total);
		EXPECT_EQ(1, c.overflow_dropped_total);
		EXPECT_EQ(1, c.receiver_lag_total);
		EXPECT_BALANCE(self->bus, self->sub);
	}
}

struct drained {
	u64 numbers[64];
	u64 lost;
	int n;
	int stop_after;
};

static int drain_one(void *arg, int what, const struct ronbus_msg *msg)
{
	struct drained *d = arg;

	if (what == RONBUS_LAGGED)
		d->lost += msg->lost;
	else
		d->numbers[d->n++] = message_whole(msg->data, msg->len, message_number(msg->data))
					     ? message_number(msg->data)
					     : ~0ULL;
	return d->n == d->stop_after;
}

TEST_F(api, drain)
{
	struct drained d = { .stop_after = -1 };
	u64 i;

	EXPECT_EQ(-EINVAL, ronbus_drain(self->sub, drain_one, &d, 0, 0));
	EXPECT_EQ(-EAGAIN, ronbus_drain(self->sub, drain_one, &d, 10, 0));
	EXPECT_EQ(0, d.n);
	for (i = 0; i < SLOTS + 2; i++) {
		EXPECT_EQ(1, send_number(self->pub, 0, i));
	}
	EXPECT_EQ(3, ronbus_drain(self->sub, drain_one, &d, 3, 0));
	EXPECT_EQ(2, d.lost);
	EXPECT_EQ(2, d.n);
	d.stop_after = 3;
	EXPECT_EQ(1, ronbus_drain(self->sub, drain_one, &d, 100, 0));
	d.stop_after = -1;
	EXPECT_EQ((int)SLOTS - 3, ronbus_drain(self->sub, drain_one, &d, ~0U, 0));
	for (i = 0; i < SLOTS; i++) {
		EXPECT_EQ(i + 2, d.numbers[i]);
	}
	EXPECT_EQ(-EAGAIN, ronbus_drain(self->sub, drain_one, &d, 100, 0));
	EXPECT_EQ(1, send_number(self->pub, 0, 77));
	ronbus_pub_close(self->pub);
	self->pub = NULL;
	EXPECT_EQ(1, ronbus_drain(self->sub, drain_one, &d, 100, 0));
	EXPECT_EQ(77, d.numbers[SLOTS]);
	EXPECT_EQ(RONBUS_CLOSED, ronbus_drain(self->sub, drain_one, &d, 100, 0));
	if (counts_at_once(self->features))
		EXPECT_BALANCE(self->bus, self->sub);
}

/* ---- alignment --------------------------------------------------------------------------- */

/* What is promised of the address of a message: ronbus_recv(3). */
static bool aligned(const struct ronbus_msg *msg, u64 features, u32 payload)
{
	uintptr_t unit = features & RONBUS_F_SOA && payload % 64 == 0 ? 64 : 8;

	return msg->data && (uintptr_t)msg->data % unit == 0;
}

struct alignment {
	u64 features;
	u32 payload;
	unsigned int wrong;
};

static int drained_aligned(void *arg, int what, const struct ronbus_msg *msg)
{
	struct alignment *a = arg;

	a->wrong += what != RONBUS_MESSAGE || !aligned(msg, a->features, a->payload);
	return 0;
}

static int align_bus(const char *where, struct alignment *a)
{
	struct ronbus_options opts = { .features = a->features,
				       .capacity = 16,
				       .payload = a->payload };
	static const char data[RONBUS_PAYLOAD_MAX];
	struct ronbus *bus = NULL;
	struct ronbus_pub *pub = NULL;
	struct ronbus_sub *sub = NULL;
	struct ronbus_msg msg;
	int i, ret;

	ret = ronbus_create(where, &opts, &bus) ?: ronbus_publisher(bus, 0, &pub) ?:
	      ronbus_subscribe(bus, NULL, &sub);
	for (i = 0; i < 13 && !ret; i++)
		ret = ronbus_publish(pub, 0, data, a->payload) != 1;
	for (i = 0; i < 13 && !ret; i++) {
		ret = ronbus_peek(sub, &msg) != RONBUS_MESSAGE;
		a->wrong += !aligned(&msg, a->features, a->payload);
		ret = ret ?: ronbus_release(sub);
	}
	for (i = 0; i < 13 && !ret; i++)
		ret = ronbus_publish(pub, 0, data, a->payload) != 1;
	if (!ret)
		ret = ronbus_drain(sub, drained_aligned, a, 100, 0) != 13;
	ronbus_sub_close(sub);
	ronbus_pub_close(pub);
	ronbus_close(bus);
	return ret;
}

TEST_F(api, alignment)
{
	static const u64 layouts[] = { 0, RONBUS_F_SOA, RONBUS_F_INTEREST,
				       RONBUS_F_SOA | RONBUS_F_INTEREST };
	unsigned int i;
	u32 payload;

	for (i = 0; i < ARRAY_SIZE(layouts); i++)
		for (payload = 8; payload <= RONBUS_PAYLOAD_MAX;
		     payload += payload < 256 ? 8 : payload) {
			struct alignment a = { variant->features | layouts[i], payload, 0 };

			ASSERT_EQ(0, align_bus(variant->where, &a));
			EXPECT_EQ(0, a.wrong)
			{
				TH_LOG("features %llx, payload %u", a.features, payload);
			}
		}
}

/* ---- the first program of README.md ------------------------------------------------------ */

/* What it prints when @input is typed; returns its exit status. */
static int run_news(const char *where, const char *input, const char *arg, char *output,
		    size_t size)
{
	char path[256], command[640];
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
	FILE *program;

	path[len < 0 ? 0 : len] = '\0';
	*strrchr(path, '/') = '\0';
	snprintf(command, sizeof(command), "printf '%s' | RONBUS_TRANSPORT=%s %s/news %s 2>&1",
		 input, where, path, arg);
	program = popen(command, "r");
	if (!program)
		return -1;
	output[fread(output, 1, size - 1, program)] = '\0';
	return WEXITSTATUS(pclose(program));
}

TEST_F(api, first_program)
{
	char output[512];

	EXPECT_EQ(0, run_news(variant->where, "first\\nsecond\\n", "", output, sizeof(output)));
	EXPECT_STREQ("for 1\nread: first\nfor 1\nread: second\n", output);
	EXPECT_EQ(1, run_news(variant->where, "", "read", output, sizeof(output)));
	EXPECT_NE(NULL, strstr(output, "there is no such bus"));
	if (!strcmp(variant->where, RONBUS_EMBEDDED))
		EXPECT_NE(NULL, strstr(output, "lives in the process that made it"));
}

TEST_HARNESS_MAIN
