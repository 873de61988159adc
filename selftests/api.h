/* SPDX-License-Identifier: GPL-2.0 */
/* The library on both of its transports: a program cannot tell them apart. */
#ifndef RONBUS_API_H
#define RONBUS_API_H

#include "libronbus.h"
#include "ronbus_kselftest.h"

#define SLOTS 8U
#define LEN 32U

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

static inline int make_bus(const char *where, u64 features, u32 flags, const char *name,
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

static inline int send_number(struct ronbus_pub *pub, unsigned int topic, u64 number)
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
static inline struct ronbus_stats stats_of(struct ronbus *bus, unsigned int which)
{
	struct ronbus_stats stats;

	poison(stats);
	if (ronbus_stats(bus, which, &stats))
		memset(&stats, 0xff, sizeof(stats));
	return stats;
}

static inline bool counts_at_once(u64 features)
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

static inline bool armed(struct ronbus *bus, unsigned int index)
{
	return stats_of(bus, RONBUS_STATS_BUS).armed >> index & 1;
}

#endif /* RONBUS_API_H */
