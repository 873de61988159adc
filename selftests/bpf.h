/* SPDX-License-Identifier: GPL-2.0 */
/* Programs of BPF that collect counters, and what their maps say beside RONBUS_IOC_STATS. */
#ifndef RONBUS_BPF_TEST_H
#define RONBUS_BPF_TEST_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "collect.h"
#include "ronbus_counters.h"
#include "ronbus_kselftest.h"
#include "bpf_test.skel.h"

#define LEN 32U

static inline int be_silent(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
	return 0;
}

/* ---- entries of maps ---------------------------------------------------------------------- */

static inline int bus_entry(const struct ronbus_collect *c, u64 id, struct ronbus_bpf_bus *entry)
{
	struct ronbus_bpf_bus_key key = { .bus = id };

	return bpf_map_lookup_elem(ronbus_collect_buses(c), &key, entry) ? -errno : 0;
}

static inline int sub_entry(const struct ronbus_collect *c, u64 id, u32 index,
			    struct ronbus_bpf_sub *entry)
{
	struct ronbus_bpf_sub_key key = { .bus = id, .subscriber = index };

	return bpf_map_lookup_elem(ronbus_collect_subscribers(c), &key, entry) ? -errno : 0;
}

/* How many entries there are for a bus, itself included. */
static inline unsigned int entries_of(const struct ronbus_collect *c, u64 id)
{
	struct ronbus_bpf_sub entry;
	struct ronbus_bpf_bus bus;
	unsigned int n = 0;
	u32 i;

	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++)
		n += !sub_entry(c, id, i, &entry);
	return n + !bus_entry(c, id, &bus);
}

static inline u64 times(const struct ronbus_bpf_histogram *histogram)
{
	u64 sum = 0;
	int i;

	for (i = 0; i < RONBUS_BPF_BUCKETS; i++)
		sum += histogram->buckets[i];
	return sum;
}

/* Do the sum and the buckets of a histogram agree? */
static inline bool plausible(const struct ronbus_bpf_histogram *histogram)
{
	u64 least = 0, most = 0;
	int i;

	for (i = 0; i < RONBUS_BPF_BUCKETS; i++) {
		least += histogram->buckets[i] << i & ~1ULL;
		most += histogram->buckets[i] * ((2ULL << i) - 1);
	}
	return histogram->sum >= least && histogram->sum <= most;
}

#define EXPECT_SAME_COUNTERS(a, b)                                                       \
	do {                                                                             \
		const u64 *__a = (const u64 *)&(a), *__b = (const u64 *)&(b);            \
		size_t __i;                                                              \
		for (__i = 0; __i < sizeof(a) / sizeof(u64); __i++)                      \
			EXPECT_EQ(__a[__i], __b[__i])                                    \
			{                                                                \
				TH_LOG("word %zu of the counters, " #a " and " #b, __i); \
			}                                                                \
	} while (0)

/* What is in the map is what STATS says at the same moment. */
#define EXPECT_BUS_AS_STATS(collect, fd)                                              \
	do {                                                                          \
		struct ronbus_bpf_bus __entry;                                        \
		struct ronbus_stats __stats;                                          \
		struct ronbus_info __info;                                            \
		ASSERT_EQ(0, fd_info(fd, &__info));                                   \
		ASSERT_EQ(0, fd_stats(fd, RONBUS_STATS_BUS, &__stats));               \
		ASSERT_EQ(0, bus_entry(collect, __info.id, &__entry));                \
		EXPECT_SAME_COUNTERS(__stats.counters, __entry.counters);             \
		EXPECT_EQ(__stats.armed, __entry.armed);                              \
		EXPECT_EQ(__stats.subscribers, __entry.subscribers);                  \
		EXPECT_EQ(__stats.tail, __entry.tail);                                \
		EXPECT_EQ(__stats.publishers, __entry.publishers);                    \
		EXPECT_EQ(__info.features, __entry.features);                         \
		EXPECT_EQ(__info.flags, __entry.flags);                               \
		EXPECT_EQ(__info.capacity, __entry.capacity);                         \
		EXPECT_EQ(__info.payload, __entry.payload);                           \
		EXPECT_EQ(0, memcmp(__info.name, __entry.name, sizeof(__info.name))); \
		EXPECT_LT(0, __entry.flushed);                                        \
		EXPECT_GE(now_ns(), __entry.flushed);                                 \
	} while (0)

#define EXPECT_SUB_AS_STATS(collect, fd, index)                               \
	do {                                                                  \
		struct ronbus_bpf_sub __entry;                                \
		struct ronbus_stats __stats;                                  \
		struct ronbus_info __info;                                    \
		ASSERT_EQ(0, fd_info(fd, &__info));                           \
		ASSERT_EQ(0, fd_stats(fd, index, &__stats));                  \
		ASSERT_EQ(0, sub_entry(collect, __info.id, index, &__entry)); \
		EXPECT_SAME_COUNTERS(__stats.counters, __entry.counters);     \
		EXPECT_EQ(__stats.armed, __entry.armed);                      \
		EXPECT_EQ(__stats.cursor, __entry.cursor);                    \
		EXPECT_EQ(__stats.start, __entry.start);                      \
		EXPECT_LT(0, __entry.flushed);                                \
	} while (0)

static inline int start_collecting(enum ronbus_collect_how how, struct ronbus_collect **collect)
{
	int err = ronbus_collect_start(collect, how);

	if (err)
		ksft_print_msg("%s: %s\n", strerror(-err), ronbus_collect_why());
	return err;
}

/* All subscribers of @mask are asleep. */
static inline bool asleep(const struct member *m, u64 mask)
{
	return wait_until((RB_READ(&m->page->armed) & mask) == mask);
}

#endif /* RONBUS_BPF_TEST_H */
