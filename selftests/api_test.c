// SPDX-License-Identifier: GPL-2.0
/*
 * The library on both of its transports: a program cannot tell them apart.
 *
 * The ring header marks the moments of publishing with RB_STEP(), and the library's inlines are
 * compiled here, so a publishing thread can be held at any of them.
 */
static void step_reached(int step);
#define RB_STEP(step) step_reached(step)

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/eventfd.h>

#include "../userlib/test/cancel.h"
#include "libronbus.h"
#include "ronbus_kselftest.h"

#define SLOTS 8U
#define LEN 32U

static __thread int hold_at = -1;
static sem_t held, go_on;

static void step_reached(int step)
{
	if (step != hold_at)
		return;
	hold_at = -1;
	sem_post(&held);
	while (sem_wait(&go_on))
		;
}

static bool sem_soon(sem_t *sem)
{
	return wait_until(!sem_trywait(sem));
}

FIXTURE(api)
{
	const char *where;
	u64 features;
	struct ronbus *bus;
	struct ronbus_pub *pub;
	struct ronbus_sub *sub;
	unsigned int pub_flags;
};

FIXTURE_VARIANT(api)
{
	const char *where;
	u64 features;
	u32 flags;
	unsigned int pub_flags;
};

#define ALL (RONBUS_F_EDGE_NOTIFY | RONBUS_F_BATCH | RONBUS_F_METRICS_BUF)
#define TRANSPORTS(name, ...)                                                  \
	FIXTURE_VARIANT_ADD(api, device_##name){ RONBUS_DEVICE, __VA_ARGS__ }; \
	FIXTURE_VARIANT_ADD(api, embedded_##name){ RONBUS_EMBEDDED, __VA_ARGS__ };

TRANSPORTS(baseline, 0, 0, 0)
TRANSPORTS(recommended, ALL, 0, 0)
TRANSPORTS(soa, ALL | RONBUS_F_SOA, 0, 0)
TRANSPORTS(edge_single, RONBUS_F_EDGE_NOTIFY, 0, RONBUS_PUB_SINGLE)
TRANSPORTS(exclusive, ALL, RONBUS_BUS_EXCLUSIVE, 0)
TRANSPORTS(syscall_baseline, 0, 0, RONBUS_PUB_SYSCALL)
TRANSPORTS(syscall, ALL, 0, RONBUS_PUB_SYSCALL)
TRANSPORTS(map_none, ALL, RONBUS_BUS_MAP_NONE, 0)

static const struct ronbus_options options = { .capacity = SLOTS, .payload = LEN };

static int make_bus(const char *where, u64 features, u32 flags, const char *name,
		    struct ronbus **bus)
{
	struct ronbus_options opts = options;

	opts.features = features;
	opts.flags = flags;
	opts.name = name;
	return ronbus_create(where, &opts, bus);
}

FIXTURE_SETUP(api)
{
	if (no_device(variant->where))
		SKIP(return, "no %s: the module is not loaded", variant->where);
	sem_init(&held, 0, 0);
	sem_init(&go_on, 0, 0);
	self->where = variant->where;
	self->features = variant->features;
	self->pub_flags = variant->pub_flags;
	ASSERT_EQ(0, make_bus(self->where, self->features, variant->flags, NULL, &self->bus));
	ASSERT_EQ(0, ronbus_publisher(self->bus, self->pub_flags, &self->pub));
	ASSERT_EQ(0, ronbus_subscribe(self->bus, NULL, &self->sub));
}

FIXTURE_TEARDOWN(api)
{
	ronbus_sub_close(self->sub);
	ronbus_pub_close(self->pub);
	ronbus_close(self->bus);
}

static int send_number(struct ronbus_pub *pub, unsigned int topic, u64 number)
{
	char data[LEN];

	message_fill(data, LEN, number);
	return ronbus_publish(pub, topic, data, LEN);
}

#define EXPECT_MESSAGE(sub, number)                                                            \
	do {                                                                                   \
		struct ronbus_msg __msg;                                                       \
		char __buf[LEN];                                                               \
		memset(&__msg, POISON, sizeof(__msg));                                         \
		ASSERT_EQ(RONBUS_MESSAGE, ronbus_try_recv(sub, __buf, sizeof(__buf), &__msg)); \
		EXPECT_EQ(LEN, __msg.len);                                                     \
		EXPECT_EQ(0, __msg.lost);                                                      \
		EXPECT_EQ(&__buf[0], (const char *)__msg.data);                                \
		ASSERT_TRUE(message_whole(__buf, LEN, number));                                \
	} while (0)

#define EXPECT_NOTHING(sub)                                                             \
	do {                                                                            \
		struct ronbus_msg __msg;                                                \
		char __buf[LEN];                                                        \
		ASSERT_EQ(-EAGAIN, ronbus_try_recv(sub, __buf, sizeof(__buf), &__msg)); \
	} while (0)

#define EXPECT_LAG(sub, positions)                                                            \
	do {                                                                                  \
		u64 __before = ronbus_sub_position(sub);                                      \
		struct ronbus_msg __msg;                                                      \
		char __buf[LEN];                                                              \
		memset(&__msg, POISON, sizeof(__msg));                                        \
		ASSERT_EQ(RONBUS_LAGGED, ronbus_try_recv(sub, __buf, sizeof(__buf), &__msg)); \
		EXPECT_EQ(positions, __msg.lost);                                             \
		EXPECT_EQ(NULL, __msg.data);                                                  \
		EXPECT_EQ(0, __msg.len);                                                      \
		EXPECT_EQ(__before + (positions), __msg.position);                            \
		EXPECT_EQ(__msg.position, ronbus_sub_position(sub));                          \
	} while (0)

#define EXPECT_CLOSED(sub)                                                                    \
	do {                                                                                  \
		struct ronbus_msg __msg;                                                      \
		char __buf[LEN];                                                              \
		ASSERT_EQ(RONBUS_CLOSED, ronbus_try_recv(sub, __buf, sizeof(__buf), &__msg)); \
	} while (0)

/* What subscribers and publishers counted; not at once, where they keep counters back. */
static struct ronbus_stats stats_of(struct ronbus *bus, unsigned int which)
{
	struct ronbus_stats stats;

	poison(stats);
	if (ronbus_stats(bus, which, &stats))
		memset(&stats, 0xff, sizeof(stats));
	return stats;
}

static bool counts_at_once(u64 features)
{
	return !(features & RONBUS_F_METRICS_BUF);
}

/* Positions passed = delivered + filtered + holes + lost. */
#define EXPECT_BALANCE(bus, sub)                                                               \
	do {                                                                                   \
		struct ronbus_stats __s = stats_of(bus, ronbus_sub_index(sub));                \
		const struct ronbus_counters *__c = &__s.counters;                             \
		EXPECT_EQ(ronbus_sub_position(sub), __s.cursor);                               \
		EXPECT_EQ(__s.cursor - __s.start, __c->delivered_total + __c->filtered_total + \
							  __c->holes_total +                   \
							  __c->overflow_dropped_total);        \
	} while (0)

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

/* ---- sleeping --------------------------------------------------------------------------- */

struct sleeper {
	struct ronbus_sub *sub;
	int64_t timeout;
	struct ronbus_msg msg;
	char buf[LEN];
	int ret;
	bool done;
	pthread_t thread;
};

static void *sleeper_recv(void *arg)
{
	struct sleeper *s = arg;

	s->ret = ronbus_recv(s->sub, s->buf, sizeof(s->buf), &s->msg, s->timeout);
	__atomic_store_n(&s->done, true, __ATOMIC_SEQ_CST);
	return NULL;
}

static bool armed(struct ronbus *bus, unsigned int index)
{
	return stats_of(bus, RONBUS_STATS_BUS).armed >> index & 1;
}

TEST_F(api, sleep)
{
	struct sleeper s[2] = { { .sub = self->sub, .timeout = -1 }, { .timeout = -1 } };
	struct ronbus_stats stats;
	u64 round, i;

	ASSERT_EQ(0, ronbus_subscribe(self->bus, NULL, &s[1].sub));
	for (round = 0; round <= 20; round++) {
		for (i = 0; i < 2; i++) {
			s[i].done = false;
			ASSERT_EQ(0, pthread_create(&s[i].thread, NULL, sleeper_recv, &s[i]));
			ASSERT_TRUE(wait_until(armed(self->bus, (unsigned int)i)));
			EXPECT_FALSE(s[i].done);
		}
		if (round < 20) {
			EXPECT_EQ(2, send_number(self->pub, 0, round));
		} else {
			ronbus_pub_close(self->pub);
			self->pub = NULL;
		}
		for (i = 0; i < 2; i++) {
			ASSERT_TRUE(wait_until(__atomic_load_n(&s[i].done, __ATOMIC_SEQ_CST)));
			ASSERT_EQ(0, pthread_join(s[i].thread, NULL));
			ASSERT_EQ(round < 20 ? RONBUS_MESSAGE : RONBUS_CLOSED, s[i].ret);
			if (round < 20)
				EXPECT_TRUE(message_whole(s[i].buf, s[i].msg.len, round));
		}
	}
	stats = stats_of(self->bus, RONBUS_STATS_BUS);
	EXPECT_EQ(2 * 20, stats.counters.notify_sends_total);
	EXPECT_EQ(2 * 20, stats.counters.wakes_total[RONBUS_WAKE_DATA]);
	EXPECT_EQ(2, stats.counters.wakes_total[RONBUS_WAKE_CLOSE]);
	EXPECT_EQ(0, stats.armed);
	ronbus_sub_close(s[1].sub);
}

TEST_F(api, timeouts)
{
	struct ronbus_msg msg;
	char buf[LEN];
	u64 began;

	began = now_ns();
	EXPECT_EQ(-ETIMEDOUT, ronbus_wait(self->sub, 0));
	EXPECT_EQ(-ETIMEDOUT, ronbus_recv(self->sub, buf, sizeof(buf), &msg, 0));
	EXPECT_GT(began + 5 * SEC, now_ns());
	began = now_ns();
	EXPECT_EQ(-ETIMEDOUT, ronbus_wait(self->sub, (int64_t)SEC / 50));
	EXPECT_LE(began + SEC / 50, now_ns());
	began = now_ns();
	EXPECT_EQ(-ETIMEDOUT, ronbus_recv(self->sub, buf, sizeof(buf), &msg, (int64_t)SEC / 50));
	EXPECT_LE(began + SEC / 50, now_ns());
	/* On the device one that is not there any more may be armed: what wakes it costs a call. */
	if (!strcmp(self->where, RONBUS_EMBEDDED))
		EXPECT_FALSE(armed(self->bus, 0));
	EXPECT_EQ(1, send_number(self->pub, 0, 1));
	EXPECT_EQ(1, send_number(self->pub, 0, 2));
	EXPECT_EQ(0, ronbus_wait(self->sub, 0));
	EXPECT_EQ(0, ronbus_wait(self->sub, -1));
	EXPECT_EQ(0, ronbus_wait(self->sub, INT64_MAX));
	EXPECT_EQ(RONBUS_MESSAGE, ronbus_recv(self->sub, buf, sizeof(buf), &msg, 0));
	EXPECT_EQ(RONBUS_MESSAGE, ronbus_recv(self->sub, buf, sizeof(buf), &msg, -1));
}

/* Drain, arm, poll: the order the header promises to be reliable. */
TEST_F(api, poll)
{
	int fd = ronbus_sub_fd(self->sub), i;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct ronbus_counters c;

	ASSERT_LE(0, fd);
	EXPECT_EQ(fd, ronbus_sub_fd(self->sub));
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, ronbus_arm(self->sub));
		EXPECT_EQ(0, poll(&p, 1, 0));
		EXPECT_TRUE(armed(self->bus, 0));
		ASSERT_EQ(0, ronbus_arm(self->sub)); /* twice is as good */
		EXPECT_EQ(1, send_number(self->pub, 0, (u64)i));
		EXPECT_EQ(1, poll(&p, 1, 10000));
		EXPECT_TRUE(p.revents & POLLIN);
		EXPECT_FALSE(armed(self->bus, 0));
		EXPECT_EQ(1, ronbus_arm(self->sub));
		EXPECT_MESSAGE(self->sub, (u64)i);
		EXPECT_NOTHING(self->sub);
	}
	c = stats_of(self->bus, RONBUS_STATS_BUS).counters;
	EXPECT_EQ(10, c.notify_sends_total);
	if (self->features & RONBUS_F_EDGE_NOTIFY)
		EXPECT_EQ(ronbus_pub_mapped(self->pub) ? 10 : 0, c.notify_calls_total);
	/* A sleep that ends without data leaves it armed. */
	ASSERT_EQ(0, ronbus_arm(self->sub));
	EXPECT_EQ(-ETIMEDOUT, ronbus_wait(self->sub, (int64_t)SEC / 1000));
	EXPECT_TRUE(armed(self->bus, 0));
	EXPECT_EQ(1, send_number(self->pub, 0, 10));
	EXPECT_EQ(1, poll(&p, 1, 10000));
	EXPECT_MESSAGE(self->sub, 10);
	ASSERT_EQ(0, ronbus_arm(self->sub));
	EXPECT_EQ(0, poll(&p, 1, 0));
	ronbus_pub_close(self->pub);
	self->pub = NULL;
	EXPECT_EQ(1, poll(&p, 1, 10000));
	EXPECT_EQ(1, ronbus_arm(self->sub));
	EXPECT_CLOSED(self->sub);
}

/* What an eventfd has counted, which it forgets. */
static u64 eventfd_taken(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	u64 value;

	return poll(&p, 1, 0) == 1 && read(fd, &value, sizeof(value)) == sizeof(value) ? value : 0;
}

TEST_F(api, eventfd)
{
	bool edge = self->features & RONBUS_F_EDGE_NOTIFY;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), other = eventfd(0, EFD_CLOEXEC), pipes[2];
	u64 full = ~0ULL - 1, i;

	ASSERT_LE(0, fd);
	ASSERT_LE(0, other);
	ASSERT_EQ(0, pipe(pipes));
	EXPECT_EQ(-EBADF, ronbus_set_eventfd(self->sub, -2));
	EXPECT_EQ(-EBADF, ronbus_set_eventfd(self->sub, 1 << 20));
	EXPECT_EQ(-EINVAL, ronbus_set_eventfd(self->sub, STDERR_FILENO));
	EXPECT_EQ(-EINVAL, ronbus_set_eventfd(self->sub, pipes[1]));
	EXPECT_EQ(0, ronbus_set_eventfd(self->sub, -1));
	EXPECT_EQ(0, ronbus_set_eventfd(self->sub, fd));
	/* Nobody sleeps; without EDGE_NOTIFY it is told all the same. */
	EXPECT_EQ(1, send_number(self->pub, 0, 0));
	EXPECT_EQ(!edge, eventfd_taken(fd));
	EXPECT_MESSAGE(self->sub, 0);
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, ronbus_arm(self->sub));
		EXPECT_EQ(1, send_number(self->pub, 0, i));
		EXPECT_EQ(1, eventfd_taken(fd));
		EXPECT_MESSAGE(self->sub, i);
	}
	ASSERT_EQ(0, ronbus_arm(self->sub));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(1, send_number(self->pub, 0, i));
	}
	EXPECT_EQ(edge ? 1 : 3, eventfd_taken(fd));
	for (i = 0; i < 3; i++) {
		EXPECT_MESSAGE(self->sub, i);
	}

	EXPECT_EQ(0, ronbus_set_eventfd(self->sub, other));
	ASSERT_EQ(0, ronbus_arm(self->sub));
	EXPECT_EQ(1, send_number(self->pub, 0, 4));
	EXPECT_EQ(0, eventfd_taken(fd));
	EXPECT_EQ(1, eventfd_taken(other));
	EXPECT_MESSAGE(self->sub, 4);
	/* A full eventfd that blocks its writers does not stop a publisher. */
	ASSERT_EQ(sizeof(full), write(other, &full, sizeof(full)));
	ASSERT_EQ(0, ronbus_arm(self->sub));
	EXPECT_EQ(1, send_number(self->pub, 0, 5));
	EXPECT_MESSAGE(self->sub, 5);
	/* The subscriber has it open by itself: the caller's fd may go. */
	close(other);
	ASSERT_EQ(0, ronbus_arm(self->sub));
	EXPECT_EQ(1, send_number(self->pub, 0, 6));
	EXPECT_MESSAGE(self->sub, 6);

	EXPECT_EQ(0, ronbus_set_eventfd(self->sub, fd));
	EXPECT_EQ(0, ronbus_set_eventfd(self->sub, -1));
	ASSERT_EQ(0, ronbus_arm(self->sub));
	EXPECT_EQ(1, send_number(self->pub, 0, 9));
	EXPECT_EQ(0, eventfd_taken(fd));
	close(fd);
	close(pipes[0]);
	close(pipes[1]);
}

/* ---- held in the middle of a message ---------------------------------------------------- */

struct held {
	struct ronbus_pub *pub;
	int step;
	int ret;
	bool many;
	pthread_t thread;
};

static void *held_publish(void *arg)
{
	struct held *h = arg;

	hold_at = h->step;
	if (h->many) {
		char data[LEN];
		struct iovec vec = { data, LEN };

		message_fill(data, LEN, 55);
		h->ret = ronbus_publish_many(h->pub, 0, &vec, 1);
	} else {
		h->ret = send_number(h->pub, 0, 55);
	}
	return NULL;
}

/*
 * Somebody joins while a message is written for those who were there before, finds it not there
 * yet, and sleeps. It is a message for him as well, and he must not sleep through it.
 */
TEST_F(api, joins_while_it_is_written)
{
	struct ronbus_sub_options opts = { .start = RONBUS_START_OLDEST };
	struct sleeper s = { .timeout = -1 };
	/* Without it a batch is published inside the library, which has no steps. */
	int way, ways = self->features & RONBUS_F_BATCH ? 3 : 2, i;

	if (!ronbus_pub_mapped(self->pub) || self->features & RONBUS_F_SOA)
		return; /* no code of ours runs while the kernel, or the library, publishes */
	for (way = 0; way < ways; way++) {
		struct held h = { .pub = self->pub,
				  .step = way ? RONBUS_STEP_WRITTEN : RONBUS_STEP_OWNED,
				  .many = way == 2 };

		ASSERT_EQ(0, pthread_create(&h.thread, NULL, held_publish, &h));
		ASSERT_TRUE(sem_soon(&held));
		ASSERT_EQ(0, ronbus_subscribe(self->bus, &opts, &s.sub));
		/* Those of the ways before are there. */
		for (i = 0; i < way; i++) {
			EXPECT_MESSAGE(s.sub, 55);
		}
		EXPECT_NOTHING(s.sub);
		s.done = false;
		ASSERT_EQ(0, pthread_create(&s.thread, NULL, sleeper_recv, &s));
		ASSERT_TRUE(wait_until(armed(self->bus, 1)));
		EXPECT_FALSE(s.done);
		sem_post(&go_on);
		ASSERT_EQ(0, pthread_join(h.thread, NULL));
		EXPECT_EQ(1, h.ret);
		ASSERT_TRUE(wait_until(__atomic_load_n(&s.done, __ATOMIC_SEQ_CST)));
		ASSERT_EQ(0, pthread_join(s.thread, NULL));
		EXPECT_EQ(RONBUS_MESSAGE, s.ret);
		EXPECT_TRUE(message_whole(s.buf, s.msg.len, 55));
		ronbus_sub_close(s.sub);
		EXPECT_MESSAGE(self->sub, 55);
	}
}

/* One that does not get on holds nobody up, at whatever step it stands. */
TEST_F(api, held_at_each_step)
{
	static const int steps[] = {
		RONBUS_STEP_CLAIMED,
		RONBUS_STEP_OWNED,
		RONBUS_STEP_WRITING,
		RONBUS_STEP_WRITTEN,
	};
	struct ronbus_pub *other;
	struct ronbus_msg msg;
	char buf[LEN];
	size_t i;
	u64 n, last;

	if (!ronbus_pub_mapped(self->pub) || variant->flags & RONBUS_BUS_EXCLUSIVE ||
	    self->features & RONBUS_F_SOA)
		return; /* on rings of arrays the library has the steps: death_arrays_test */
	ASSERT_EQ(0, ronbus_publisher(self->bus, self->pub_flags, &other));
	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		struct held h = { .pub = self->pub, .step = steps[i] };
		int ret, seen = 0;

		ASSERT_EQ(0, pthread_create(&h.thread, NULL, held_publish, &h));
		ASSERT_TRUE(sem_soon(&held));
		for (n = 0; n < 3 * SLOTS; n++) {
			ASSERT_EQ(1, send_number(other, 0, 100 + n));
		}
		for (last = 0; (ret = ronbus_try_recv(self->sub, buf, LEN, &msg)) > 0;) {
			if (ret == RONBUS_LAGGED)
				continue;
			ASSERT_LT(last, message_number(buf));
			last = message_number(buf);
		}
		EXPECT_EQ(-EAGAIN, ret);
		EXPECT_EQ(100 + 3 * SLOTS - 1, last);
		sem_post(&go_on);
		ASSERT_EQ(0, pthread_join(h.thread, NULL));
		EXPECT_EQ(1, h.ret);
		while (ronbus_try_recv(self->sub, buf, LEN, &msg) == RONBUS_MESSAGE)
			seen += message_whole(buf, LEN, 55) ? 1 : 100;
		EXPECT_EQ(steps[i] == RONBUS_STEP_CLAIMED, seen) TH_LOG("step %d", steps[i]);
		for (n = 0; n < 2 * SLOTS; n++) {
			ASSERT_EQ(1, send_number(other, 0, n));
			EXPECT_MESSAGE(self->sub, n);
		}
	}
	ronbus_pub_close(other);
}

/* ---- threads ---------------------------------------------------------------------------- */

#define THREADS 3
#define EACH 300

struct worker {
	struct ronbus_pub *pub;
	u64 who;
	int bad;
	pthread_t thread;
};

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	u64 i;

	for (i = 0; i < EACH; i++) {
		if (send_number(w->pub, 0, w->who << 32 | i) != 1)
			w->bad++;
		if (i % 32 == w->who)
			nap();
	}
	return NULL;
}

/* The subscription of a dispatch is asleep in the transport, and is woken and ended by it. */
TEST_F(api, dispatch)
{
	struct ronbus_dispatch_options opts = { .workers = 2 };
	struct ronbus_dispatch *dispatch;
	struct ronbus_worker *workers[2];
	struct ronbus_msg msg;
	char buf[LEN];
	unsigned int i;
	u64 n;

	ASSERT_EQ(0, ronbus_dispatch_open(self->sub, &opts, &dispatch));
	for (i = 0; i < 2; i++) {
		workers[i] = ronbus_dispatch_worker(dispatch, i);
	}
	ASSERT_EQ(0, ronbus_dispatch_start(dispatch));
	for (n = 1; n <= 3 * SLOTS; n++) {
		if (n % SLOTS == 1)
			ASSERT_TRUE(wait_until(armed(self->bus, 0)));
		ASSERT_EQ(1, send_number(self->pub, 7, n));
		for (i = 0; i < 2; i++) {
			ASSERT_EQ(RONBUS_MESSAGE,
				  ronbus_worker_recv(workers[i], buf, sizeof(buf), &msg, WATCHDOG));
			EXPECT_TRUE(message_whole(buf, LEN, n));
			EXPECT_EQ(SLOTS + n - 1, msg.position);
			EXPECT_EQ(7, msg.topic);
		}
	}
	ronbus_pub_close(self->pub);
	self->pub = NULL;
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(RONBUS_CLOSED,
			  ronbus_worker_recv(workers[i], buf, sizeof(buf), &msg, WATCHDOG));
	}
	ronbus_dispatch_close(dispatch);
}

/* One handle for all, or each its own: every message is counted, every one is whole. */
TEST_F(api, threads)
{
	bool single = variant->flags & RONBUS_BUS_EXCLUSIVE || self->pub_flags & RONBUS_PUB_SINGLE;
	int n = single ? 1 : THREADS, i, alive, ret;
	struct worker workers[THREADS] = { 0 };
	u64 next[THREADS] = { 0 }, got = 0, lost = 0;
	struct ronbus_stats stats;
	struct ronbus_msg msg;
	char buf[LEN];

	for (i = 0; i < n; i++) {
		workers[i].pub = self->pub;
		workers[i].who = (u64)i;
		ASSERT_EQ(0, pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]));
	}
	for (alive = n;;) {
		u64 number;

		ret = ronbus_recv(self->sub, buf, sizeof(buf), &msg, (int64_t)SEC / 100);
		if (ret == -ETIMEDOUT) {
			if (!alive)
				break;
			if (!pthread_tryjoin_np(workers[alive - 1].thread, NULL))
				alive--;
			continue;
		}
		if (ret == RONBUS_LAGGED) {
			lost += msg.lost;
			continue;
		}
		ASSERT_EQ(RONBUS_MESSAGE, ret);
		number = message_number(buf);
		ASSERT_TRUE(message_whole(buf, msg.len, number));
		ASSERT_GT((u64)n, number >> 32);
		ASSERT_LE(next[number >> 32], number & 0xffffffff);
		next[number >> 32] = (number & 0xffffffff) + 1;
		got++;
	}
	for (i = 0; i < n; i++) {
		EXPECT_EQ(0, workers[i].bad);
	}
	ronbus_pub_close(self->pub);
	self->pub = NULL;
	ASSERT_EQ(0, ronbus_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ((u64)n * EACH, stats.counters.published_total);
	EXPECT_EQ((u64)n * EACH, stats.counters.addressed_total);
	EXPECT_EQ(got, stats.counters.delivered_total);
	EXPECT_EQ(lost, stats.counters.overflow_dropped_total);
	EXPECT_EQ(stats.tail - SLOTS, got + lost + stats.counters.holes_total);
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

/* ---- signal handlers -------------------------------------------------------------------- */

static struct {
	struct ronbus_pub *same, *other;
	u64 accepted[2];
	unsigned int signals;
} handling;

static void publish_and_count(struct ronbus_pub *pub, unsigned int i)
{
	u64 data = i;

	if (ronbus_publish(pub, i, &data, sizeof(data)) > 0)
		__atomic_add_fetch(&handling.accepted[i], 1, __ATOMIC_SEQ_CST);
}

static void publish_in_handler(int sig)
{
	errno = 9999;
	publish_and_count(handling.other, 1);
	if (handling.same)
		publish_and_count(handling.same, 0);
	if (errno != 9999 || sig != SIGUSR2)
		abort();
	__atomic_add_fetch(&handling.signals, 1, __ATOMIC_SEQ_CST);
}

/* A timer interrupts publishing and being woken, and publishes on the same handle, and another bus. */
TEST_F(api, handler)
{
	struct itimerspec every = { { 0, 1000000 }, { 0, 1000000 } };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2 };
	struct sigaction action = { .sa_handler = publish_in_handler };
	struct ronbus_options twin = { .features = variant->features, .capacity = SLOTS };
	struct ronbus_stats stats;
	struct ronbus_sub *sub;
	struct ronbus *bus;
	timer_t timer;
	int i;

	memset(&handling, 0, sizeof(handling));
	ASSERT_EQ(0, ronbus_create(variant->where, &twin, &bus));
	ASSERT_EQ(0,
		  ronbus_publisher(bus, variant->pub_flags & RONBUS_PUB_SYSCALL, &handling.other));
	ASSERT_EQ(0, ronbus_subscribe(bus, NULL, &sub));
	if (!(variant->flags & RONBUS_BUS_EXCLUSIVE) && !(variant->pub_flags & RONBUS_PUB_SINGLE))
		handling.same = self->pub;
	ASSERT_EQ(0, sigaction(SIGUSR2, &action, NULL));
	ASSERT_EQ(0, timer_create(CLOCK_MONOTONIC, &event, &timer));
	ASSERT_EQ(0, timer_settime(timer, 0, &every, NULL));
	for (i = 0; i < 100 || __atomic_load_n(&handling.signals, __ATOMIC_SEQ_CST) < 200; i++) {
		publish_and_count(self->pub, 0);
		/* Armed: then publishing wakes. */
		if (ronbus_arm(self->sub) < 0 || ronbus_arm(sub) < 0 ||
		    ronbus_stats(bus, 0, &stats))
			break;
	}
	ASSERT_EQ(0, timer_delete(timer));
	EXPECT_LE(200, handling.signals);
	ronbus_pub_close(handling.other);
	ASSERT_EQ(0, ronbus_stats(bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(handling.accepted[1], stats.counters.published_total);
	ronbus_pub_close(self->pub);
	self->pub = NULL;
	ASSERT_EQ(0, ronbus_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(handling.accepted[0], stats.counters.published_total);
	ronbus_sub_close(sub);
	ronbus_close(bus);
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

/* ---- threads that are cancelled ---------------------------------------------------------- */

TEST_F(api, pthread_cancel)
{
	char wrong[256];
	unsigned int i;

	for (i = 0; i < THREAD_CANCEL_CASES; i++) {
		EXPECT_TRUE(thread_cancel_case(variant->where, variant->features, i, wrong,
					       sizeof(wrong)))
		{
			TH_LOG("%s: %s", thread_cancel_cases[i].name, wrong);
		}
	}
}

/* ---- fork ------------------------------------------------------------------------------- */

struct busy_publisher {
	struct ronbus_pub *pub;
	bool stop;
	unsigned int count;
};

static void *busy_publisher_main(void *arg)
{
	struct busy_publisher *p = arg;
	u64 data = 0;

	while (!__atomic_load_n(&p->stop, __ATOMIC_SEQ_CST)) {
		ronbus_publish(p->pub, 0, &data, sizeof(data));
		__atomic_add_fetch(&p->count, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static int nothing_to_do(void *arg, int what, const struct ronbus_msg *msg)
{
	return arg || what || msg;
}

/*
 * In a child: whatever a handle is used for, that its owner is not here any more; and it can be closed. Returns
 * the line of what is wrong, or 0.
 */
static int use_inherited(struct ronbus *bus, struct ronbus_pub *pub, struct ronbus_sub *sub,
			 bool embedded)
{
	struct iovec vec = { "x", 1 };
	struct ronbus_block block;
	struct ronbus_stats stats;
	struct ronbus_info info;
	struct ronbus_msg msg = { 0 };
	struct ronbus_pub *pub2 = NULL;
	struct ronbus_sub *sub2 = NULL;
	char buf[LEN];

#define REFUSED(call)                           \
	do {                                    \
		if ((call) != -EOWNERDEAD)      \
			return __LINE__ & 0x7f; \
	} while (0)
	REFUSED(ronbus_publish(pub, 0, "x", 1));
	REFUSED(ronbus_publish_many(pub, 0, &vec, 1));
	REFUSED(ronbus_publish_block(pub, 0, NULL, 0, "x", 1));
	REFUSED(ronbus_pub_fd(pub));
	REFUSED(ronbus_try_recv(sub, buf, sizeof(buf), &msg));
	REFUSED(ronbus_recv(sub, buf, sizeof(buf), &msg, -1));
	REFUSED(ronbus_recv_many(sub, buf, sizeof(buf), &msg, 1));
	REFUSED(ronbus_drain(sub, nothing_to_do, NULL, 9, -1));
	REFUSED(ronbus_peek(sub, &msg));
	REFUSED(ronbus_wait(sub, -1));
	REFUSED(ronbus_arm(sub));
	REFUSED(ronbus_sub_fd(sub));
	REFUSED(ronbus_set_eventfd(sub, -1));
	REFUSED(ronbus_set_topics(sub, 1));
	REFUSED(ronbus_coalesce(sub, 2, 1000000));
	REFUSED(ronbus_cancel(sub));
	REFUSED(ronbus_block_pin(sub, &msg, &block));
	if (!ronbus_release(sub))
		return __LINE__ & 0x7f;
	if (embedded) {
		REFUSED(ronbus_stats(bus, RONBUS_STATS_BUS, &stats));
		REFUSED(ronbus_bus_info(bus, &info));
		REFUSED(ronbus_seal(bus));
		REFUSED(ronbus_bus_fd(bus));
		REFUSED(ronbus_publisher(bus, 0, &pub2));
		REFUSED(ronbus_subscribe(bus, NULL, &sub2));
	} else if (ronbus_subscribe(bus, NULL, &sub2) ||
		   ronbus_try_recv(sub2, buf, LEN, &msg) < -EAGAIN) {
		return __LINE__ & 0x7f; /* a bus is its fd, which the child has */
	}
#undef REFUSED
	ronbus_sub_close(sub2);
	ronbus_pub_close(pub);
	ronbus_sub_close(sub);
	ronbus_close(bus);
	return 0;
}

/* A bus of its own is as good in the child as anywhere. */
static int use_own(const char *where, u64 features)
{
	struct ronbus_options own = { .features = features };
	struct ronbus_pub *pub;
	struct ronbus_sub *sub;
	struct ronbus_msg msg;
	struct ronbus *bus;
	char data;

	if (ronbus_create(where, &own, &bus) || ronbus_publisher(bus, 0, &pub) ||
	    ronbus_subscribe(bus, NULL, &sub) || ronbus_publish(pub, 0, "x", 1) != 1 ||
	    ronbus_try_recv(sub, &data, 1, &msg) != RONBUS_MESSAGE)
		return 1;
	ronbus_sub_close(sub);
	ronbus_pub_close(pub);
	ronbus_close(bus);
	return 0;
}

/* While another thread publishes, so that the child finds everything in the middle of something. */
TEST_F(api, fork)
{
	struct busy_publisher busy = { 0 };
	unsigned int before;
	pthread_t thread;
	int i, status;
	pid_t pid;

	if (variant->flags & RONBUS_BUS_EXCLUSIVE)
		busy.pub = self->pub;
	else
		ASSERT_EQ(0, ronbus_publisher(self->bus, variant->pub_flags, &busy.pub));
	ASSERT_EQ(0, pthread_create(&thread, NULL, busy_publisher_main, &busy));
	for (i = 0; i < 60; i++) {
		before = __atomic_load_n(&busy.count, __ATOMIC_SEQ_CST);
		ASSERT_TRUE(
			wait_until(__atomic_load_n(&busy.count, __ATOMIC_SEQ_CST) > before + 10));
		pid = fork();
		ASSERT_NE(-1, pid);
		if (!pid) {
			alarm(60);
			status = use_inherited(self->bus, self->pub, self->sub,
					       !strcmp(variant->where, RONBUS_EMBEDDED));
			_exit(status ?: use_own(variant->where, variant->features));
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_EQ(0, status)
		TH_LOG("line %d modulo 128, signal %d", WEXITSTATUS(status), WTERMSIG(status));
	}
	__atomic_store_n(&busy.stop, true, __ATOMIC_SEQ_CST);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	if (busy.pub != self->pub)
		ronbus_pub_close(busy.pub);
}

FIXTURE(both)
{
	int unused;
};

struct ways {
	u64 features;
	u32 flags;
	unsigned int pub_flags;
};

FIXTURE_VARIANT(both)
{
	struct ways ways;
};

FIXTURE_VARIANT_ADD(both, baseline){ { 0, 0, 0 } };
FIXTURE_VARIANT_ADD(both, recommended){ { ALL, 0, 0 } };
FIXTURE_VARIANT_ADD(both, soa){ { ALL | RONBUS_F_SOA, 0, 0 } };
FIXTURE_VARIANT_ADD(both, soa_syscall){ { RONBUS_F_SOA, 0, RONBUS_PUB_SYSCALL } };
FIXTURE_VARIANT_ADD(both, edge){ { RONBUS_F_EDGE_NOTIFY, 0, 0 } };
FIXTURE_VARIANT_ADD(both, batch){ { RONBUS_F_BATCH, 0, 0 } };
FIXTURE_VARIANT_ADD(both, exclusive){ { ALL, RONBUS_BUS_EXCLUSIVE, 0 } };
FIXTURE_VARIANT_ADD(both, syscall_baseline){ { 0, 0, RONBUS_PUB_SYSCALL } };
FIXTURE_VARIANT_ADD(both, syscall){ { ALL, 0, RONBUS_PUB_SYSCALL } };

FIXTURE_SETUP(both)
{
	if (no_device(RONBUS_DEVICE))
		SKIP(return, "no %s: the module is not loaded", RONBUS_DEVICE);
}

FIXTURE_TEARDOWN(both)
{
}

/* One thread does a bit of everything; what was counted is the result. */
static int scenario(const char *where, const struct ways *ways, struct ronbus_stats *stats,
		    int rets[64])
{
	unsigned char data[20][LEN];
	struct iovec vec[20];
	struct ronbus_sub *subs[3];
	struct ronbus_pub *pub;
	struct ronbus_msg msg;
	struct ronbus *bus;
	int i, n = 0;

	memset(rets, 0, 64 * sizeof(*rets));
	for (i = 0; i < 20; i++) {
		message_fill(data[i], LEN, (u64)i);
		vec[i].iov_base = data[i];
		vec[i].iov_len = LEN;
	}
	if (make_bus(where, ways->features, ways->flags, NULL, &bus) ||
	    ronbus_publisher(bus, ways->pub_flags, &pub))
		return -1;
	rets[n++] = send_number(pub, 1, 1);
	rets[n++] = ronbus_publish_many(pub, 2, vec, 3);
	for (i = 0; i < 3; i++)
		if (ronbus_subscribe(bus, NULL, &subs[i]))
			return -1;
	rets[n++] = send_number(pub, 1, 1);
	rets[n++] = ronbus_try_recv(subs[0], data, LEN, &msg);
	rets[n++] = ronbus_try_recv(subs[0], data, LEN, &msg);
	rets[n++] = ronbus_arm(subs[0]);
	rets[n++] = ronbus_arm(subs[1]);
	rets[n++] = ronbus_publish_many(pub, 2, vec, 5);
	rets[n++] = ronbus_publish_many(pub, 2, vec, 20);
	for (i = 0; i < 3; i++) {
		rets[n++] = ronbus_try_recv(subs[i], data, LEN, &msg);
		rets[n++] = (int)msg.lost;
		rets[n++] = ronbus_try_recv(subs[i], data, LEN, &msg);
		rets[n++] = (int)msg.position;
	}
	ronbus_sub_close(subs[1]);
	rets[n++] = send_number(pub, 1, 1);
	vec[2].iov_len = LEN + 1;
	rets[n++] = ronbus_publish_many(pub, 2, vec, 5);
	rets[n++] = ronbus_publish_many(pub, 2, vec + 2, 5);
	for (i = 0; ronbus_try_recv(subs[0], data, LEN, &msg) > 0; i++)
		;
	rets[n++] = i;
	rets[n++] = ronbus_arm(subs[0]);
	rets[n++] = send_number(pub, 1, 1);
	rets[n++] = ronbus_seal(bus);
	rets[n++] = ronbus_stats(bus, RONBUS_STATS_BUS, &stats[0]);
	rets[n++] = ronbus_stats(bus, 0, &stats[1]);
	rets[n++] = ronbus_stats(bus, 1, &stats[2]);
	rets[n++] = ronbus_stats(bus, 2, &stats[3]);
	ronbus_sub_close(subs[0]);
	ronbus_sub_close(subs[2]);
	ronbus_pub_close(pub);
	/* What was still with the thread is counted now. */
	rets[n++] = ronbus_stats(bus, RONBUS_STATS_BUS, &stats[4]);
	ronbus_close(bus);
	return n;
}

TEST_F(both, count_the_same)
{
	struct ronbus_stats device[5], embedded[5];
	int device_rets[64], embedded_rets[64], n, i;
	u64 began = now_ns();
	bool flushed_late;
	size_t k;

	memset(device, 0, sizeof(device));
	memset(embedded, 0, sizeof(embedded));
	n = scenario(RONBUS_DEVICE, &variant->ways, device, device_rets);
	ASSERT_LT(0, n);
	ASSERT_EQ(n, scenario(RONBUS_EMBEDDED, &variant->ways, embedded, embedded_rets));
	/* Buffered counters are flushed with time, too: on a slow machine only the end is the same. */
	flushed_late = variant->ways.features & RONBUS_F_METRICS_BUF && now_ns() - began > SEC / 10;
	if (flushed_late) {
		device[4].counters.metrics_tls_flush_total = 0;
		embedded[4].counters.metrics_tls_flush_total = 0;
	}
	for (i = 0; i < n; i++) {
		EXPECT_EQ(device_rets[i], embedded_rets[i]) TH_LOG("result %d", i);
	}
	for (i = flushed_late ? 4 : 0; i < 5; i++) {
		for (k = 0; k < sizeof(device[0]) / 4; k++) {
			EXPECT_EQ(((u32 *)&device[i])[k], ((u32 *)&embedded[i])[k])
			TH_LOG("look %d, word at %zu of struct ronbus_stats", i, 4 * k);
		}
	}
	EXPECT_LT(0, device[4].counters.published_total);
	EXPECT_LT(0, device[0].counters.overflow_dropped_total);
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

/* ---- the device alone ------------------------------------------------------------------- */

TEST_F(both, adopt)
{
	struct ronbus *bus, *adopted;
	struct ronbus_sub *sub;
	struct ronbus_pub *pub;
	int fd;

	ASSERT_EQ(0,
		  make_bus(RONBUS_DEVICE, variant->ways.features, variant->ways.flags, NULL, &bus));
	fd = dup(ronbus_bus_fd(bus));
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ronbus_adopt(fd, &adopted));
	EXPECT_EQ(fd, ronbus_bus_fd(adopted));
	ASSERT_EQ(0, ronbus_publisher(bus, variant->ways.pub_flags, &pub));
	ASSERT_EQ(0, ronbus_subscribe(adopted, NULL, &sub));
	ronbus_close(bus);
	ronbus_close(adopted);
	EXPECT_EQ(1, send_number(pub, 0, 3));
	EXPECT_MESSAGE(sub, 3);

	/* What is no bus fd stays the caller's. */
	EXPECT_GT(0, ronbus_adopt(ronbus_pub_fd(pub), &adopted));
	EXPECT_LE(0, fcntl(ronbus_pub_fd(pub), F_GETFD));
	EXPECT_EQ(-EBADF, ronbus_adopt(1000, &adopted));
	fd = open("/dev/null", O_RDWR);
	EXPECT_EQ(-ENOTTY, ronbus_adopt(fd, &adopted));
	EXPECT_EQ(0, close(fd));
	ronbus_pub_close(pub);
	EXPECT_CLOSED(sub);
	ronbus_sub_close(sub);
}

TEST_HARNESS_MAIN
