// SPDX-License-Identifier: GPL-2.0
/*
 * BPF: what the programs of bpf/ keep in their maps is what RONBUS_IOC_STATS says, and BPF programs
 * publish and read counters from wherever they run.
 *
 * RONBUS_KO names the module's file, for the test that unloads it.
 */
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#include <linux/capability.h>
#include <linux/magic.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "collect.h"
#include "ronbus_counters.h"
#include "ronbus_kselftest.h"
#include "bpf_test.skel.h"
#include "ronbus_other.skel.h"
#include "ronbus_other_classic.skel.h"

#define SLOTS 8U
#define LEN 32U
#define READERS 3U

static int be_silent(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
	return 0;
}

/* ---- entries of maps ---------------------------------------------------------------------- */

static int bus_entry(const struct ronbus_collect *c, u64 id, struct ronbus_bpf_bus *entry)
{
	struct ronbus_bpf_bus_key key = { .bus = id };

	return bpf_map_lookup_elem(ronbus_collect_buses(c), &key, entry) ? -errno : 0;
}

static int sub_entry(const struct ronbus_collect *c, u64 id, u32 index,
		     struct ronbus_bpf_sub *entry)
{
	struct ronbus_bpf_sub_key key = { .bus = id, .subscriber = index };

	return bpf_map_lookup_elem(ronbus_collect_subscribers(c), &key, entry) ? -errno : 0;
}

/* How many entries there are for a bus, itself included. */
static unsigned int entries_of(const struct ronbus_collect *c, u64 id)
{
	struct ronbus_bpf_sub entry;
	struct ronbus_bpf_bus bus;
	unsigned int n = 0;
	u32 i;

	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++)
		n += !sub_entry(c, id, i, &entry);
	return n + !bus_entry(c, id, &bus);
}

static u64 times(const struct ronbus_bpf_histogram *histogram)
{
	u64 sum = 0;
	int i;

	for (i = 0; i < RONBUS_BPF_BUCKETS; i++)
		sum += histogram->buckets[i];
	return sum;
}

/* Do the sum and the buckets of a histogram agree? */
static bool plausible(const struct ronbus_bpf_histogram *histogram)
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

/* ---- a bus with readers that sleep --------------------------------------------------------- */

/**
 * struct reader - a thread that sleeps until there is something, and reads it
 * @s: its subscriber
 * @thread: the thread
 * @got: messages it has read
 * @bad: and that were not as they should be
 * @until: it ends when it has read so many
 */
struct reader {
	struct subscriber s;
	pthread_t thread;
	u64 got;
	u64 bad;
	u64 until;
};

static void *reader_main(void *arg)
{
	struct reader *r = arg;
	struct message msg;
	u64 got = 0;

	while (got < r->until) {
		if (fd_wait(r->s.m.fd, now_ns() + WATCHDOG))
			break;
		while (subscriber_read(&r->s, &msg) == 1)
			if (!message_whole(msg.data, msg.len, got++))
				r->bad++;
		RB_WRITE(&r->got, got);
	}
	return NULL;
}

/* All subscribers of @mask are asleep. */
static bool asleep(const struct member *m, u64 mask)
{
	return wait_until((RB_READ(&m->page->armed) & mask) == mask);
}

/*
 * Publish @n messages, one each time everybody is asleep: every one of them wakes all readers. The
 * last ones are read before this returns.
 */
static bool publish_to_sleepers(struct publisher *pub, struct reader *readers, u64 n)
{
	u64 mask = 0, i;
	unsigned int k;

	for (k = 0; k < READERS; k++) {
		mask |= 1ULL << readers[k].s.index;
		readers[k].got = readers[k].bad = 0;
		readers[k].until = n;
		if (pthread_create(&readers[k].thread, NULL, reader_main, &readers[k]))
			return false;
	}
	for (i = 0; i < n; i++)
		if (!asleep(&pub->m, mask) || publish_number(pub, i) != 1)
			break;
	for (k = 0; k < READERS; k++) {
		pthread_join(readers[k].thread, NULL);
		if (readers[k].got != n || readers[k].bad)
			return false;
	}
	return i == n;
}

/* ---- the programs that count --------------------------------------------------------------- */

FIXTURE(collect)
{
	int control;
	struct ronbus_collect *collect;
	int bus;
	u64 id;
	struct publisher mapped;
	struct publisher by_call;
	struct reader readers[READERS];
};

FIXTURE_VARIANT(collect)
{
	enum ronbus_collect_how how;
};

FIXTURE_VARIANT_ADD(collect, typed){
	.how = RONBUS_COLLECT_TYPED,
};

FIXTURE_VARIANT_ADD(collect, classic){
	.how = RONBUS_COLLECT_CLASSIC,
};

static int start_collecting(enum ronbus_collect_how how, struct ronbus_collect **collect)
{
	int err = ronbus_collect_start(collect, how);

	if (err)
		ksft_print_msg("%s: %s\n", strerror(-err), ronbus_collect_why());
	return err;
}

FIXTURE_SETUP(collect)
{
	self->control = OPEN_CONTROL();
	if (geteuid())
		SKIP(return, "needs root, to load BPF programs");
	ASSERT_EQ(0, tracefs_mount());
}

FIXTURE_TEARDOWN(collect)
{
	ronbus_collect_stop(self->collect);
	close(self->control);
}

static void make_bus(struct __test_metadata *_metadata, FIXTURE_DATA(collect) * self)
{
	struct ronbus_info info;
	unsigned int k;

	self->bus =
		bus_create(self->control, (struct ronbus_create){ .features = RONBUS_F_EDGE_NOTIFY |
									      RONBUS_F_BATCH,
								  .flags = RONBUS_BUS_PERSISTENT,
								  .capacity = SLOTS,
								  .payload = LEN,
								  .name = "bpf-test" });
	ASSERT_LE(0, self->bus);
	ASSERT_EQ(0, fd_info(self->bus, &info));
	self->id = info.id;
	ASSERT_EQ(0, publisher_join(&self->mapped, self->bus, RONBUS_PUBLISHER_MAPPED));
	ASSERT_EQ(0, publisher_join(&self->by_call, self->bus, 0));
	for (k = 0; k < READERS; k++)
		ASSERT_EQ(0,
			  subscriber_join(&self->readers[k].s, self->bus, RONBUS_START_LATEST, 0));
}

static void end_bus(FIXTURE_DATA(collect) * self)
{
	unsigned int k;

	for (k = 0; k < READERS; k++)
		subscriber_leave(&self->readers[k].s);
	publisher_leave(&self->mapped);
	publisher_leave(&self->by_call);
	close(self->bus);
}

#define BY_MAPPING 5U
#define BY_CALL 7U
#define WAKES (BY_MAPPING + BY_CALL)
#define OVERRUN (SLOTS + 3U)

/* Everybody is woken WAKES times, and then overtaken by OVERRUN messages in batches. */
static void work(struct __test_metadata *_metadata, FIXTURE_DATA(collect) * self)
{
	struct ronbus_claim claim;
	struct publisher dying;
	struct message msg;
	unsigned int k;

	ASSERT_TRUE(publish_to_sleepers(&self->mapped, self->readers, BY_MAPPING));
	ASSERT_TRUE(publish_to_sleepers(&self->by_call, self->readers, BY_CALL));
	ASSERT_EQ(OVERRUN, publish_numbers(&self->mapped, 0, OVERRUN, LEN, 4));
	for (k = 0; k < READERS; k++)
		while (subscriber_read(&self->readers[k].s, &msg) == 1)
			;
	/* One that leaves with a slot, and one who waits for it. */
	ASSERT_EQ(0, publisher_join(&dying, self->bus, RONBUS_PUBLISHER_MAPPED));
	claim.pos = ronbus_ring_hint(&dying.m.ring);
	ASSERT_EQ(0, publisher_claim(&dying, &claim));
	ASSERT_EQ(0, fd_poll(self->readers[0].s.m.fd, POLLIN));
	count(&dying.m.self->dropped, 6);
	publisher_leave(&dying);
	ASSERT_EQ(POLLIN, fd_poll(self->readers[0].s.m.fd, POLLIN));
	ASSERT_EQ(-EAGAIN, subscriber_read(&self->readers[0].s, &msg));
}

static void check_counters(struct __test_metadata *_metadata, FIXTURE_DATA(collect) * self,
			   const struct ronbus_collect *collect)
{
	unsigned int k;

	for (k = 0; k < READERS; k++)
		EXPECT_SUB_AS_STATS(collect, self->bus, self->readers[k].s.index);
	EXPECT_BUS_AS_STATS(collect, self->bus);
}

TEST_F(collect, attaches)
{
	ASSERT_EQ(0, start_collecting(variant->how, &self->collect));
	EXPECT_EQ(variant->how, ronbus_collect_how(self->collect));
	make_bus(_metadata, self);
	EXPECT_EQ(1 + READERS, entries_of(self->collect, self->id));
	end_bus(self);
}

/* The numbers are known, and the counters, the events and the delays agree on them. */
TEST_F(collect, known_workload)
{
	struct ronbus_counters sum = { 0 };
	struct ronbus_bpf_start start;
	struct ronbus_bpf_bus bus;
	struct ronbus_bpf_sub sub;
	u64 reads = 0;
	u32 zero = 0;
	unsigned int k;

	ASSERT_EQ(0, start_collecting(variant->how, &self->collect));
	make_bus(_metadata, self);
	work(_metadata, self);
	check_counters(_metadata, self, self->collect);

	for (k = 0; k < READERS; k++) {
		ASSERT_EQ(0, sub_entry(self->collect, self->id, self->readers[k].s.index, &sub));
		EXPECT_EQ(WAKES, sub.counters.wakes_total[RONBUS_WAKE_DATA]);
		EXPECT_EQ(1, sub.counters.receiver_lag_total);
		EXPECT_EQ(OVERRUN - SLOTS, sub.counters.overflow_dropped_total);
		EXPECT_EQ(0,
			  memcmp(sub.seen.wakes, sub.counters.wakes_total, sizeof(sub.seen.wakes)));
		EXPECT_EQ(sub.counters.waits_total, sub.seen.arms);
		EXPECT_EQ(sub.counters.receiver_lag_total, sub.seen.lags);
		EXPECT_EQ(sub.counters.overflow_dropped_total, sub.seen.lost);
		EXPECT_EQ(sub.counters.notify_suppressed_total, sub.seen.suppressed);
		/* Each wake-up was of one who slept, and each was followed by a look. */
		EXPECT_EQ(WAKES + !k, times(&sub.arm_to_wake));
		EXPECT_EQ(WAKES + !k, times(&sub.wake_to_read));
		EXPECT_TRUE(plausible(&sub.arm_to_wake));
		EXPECT_TRUE(plausible(&sub.wake_to_read));
		EXPECT_EQ(0, sub.woken);
		sum.waits_total += sub.seen.arms;
		reads += sub.seen.readies;
	}

	ASSERT_EQ(0, bus_entry(self->collect, self->id, &bus));
	EXPECT_STREQ("bpf-test", bus.name);
	EXPECT_EQ(WAKES + OVERRUN, bus.counters.published_total);
	EXPECT_EQ(WAKES * READERS, bus.counters.notify_sends_total);
	EXPECT_EQ(WAKES * READERS, bus.counters.wakes_total[RONBUS_WAKE_DATA]);
	EXPECT_EQ(1, bus.counters.wakes_total[RONBUS_WAKE_REPAIR]);
	EXPECT_EQ(1, bus.counters.repairs_total);
	EXPECT_EQ(6, bus.counters.dropped_total);
	EXPECT_EQ(3, bus.counters.batch_publish_total);
	EXPECT_EQ(1, bus.counters.batch_len_histogram[1]); /* 3 of 11, in batches of 4 */
	EXPECT_EQ(2, bus.counters.batch_len_histogram[2]);
	EXPECT_EQ(WAKES + OVERRUN, bus.counters.ready_mask_width[1]); /* for 2 or 3 */
	EXPECT_EQ(BY_CALL, bus.seen.published);
	EXPECT_EQ(bus.counters.notify_calls_total, bus.seen.notifies);
	EXPECT_EQ(0, memcmp(bus.seen.wakes, bus.counters.wakes_total, sizeof(bus.seen.wakes)));
	EXPECT_EQ(sum.waits_total, bus.seen.arms);
	EXPECT_EQ(reads, bus.seen.readies);
	EXPECT_EQ(bus.counters.receiver_lag_total, bus.seen.lags);
	EXPECT_EQ(bus.counters.overflow_dropped_total, bus.seen.lost);
	EXPECT_EQ(bus.counters.notify_suppressed_total, bus.seen.suppressed);
	EXPECT_EQ(bus.counters.dropped_total, bus.seen.drops);
	EXPECT_EQ(bus.counters.repairs_total, bus.seen.repairs);
	EXPECT_EQ(WAKES * READERS + 1, times(&bus.arm_to_wake));
	EXPECT_EQ(WAKES * READERS + 1, times(&bus.wake_to_read));
	EXPECT_TRUE(plausible(&bus.arm_to_wake));
	EXPECT_TRUE(plausible(&bus.wake_to_read));

	ASSERT_EQ(0, bpf_map_lookup_elem(ronbus_collect_info(self->collect), &zero, &start));
	EXPECT_LT(0, start.since);
	EXPECT_EQ(0, start.full);
	end_bus(self);
}

/* A delay is in the bucket of its logarithm: asleep for 3 ms, it is not among those of 1 ms. */
TEST_F(collect, delays_are_delays)
{
	struct ronbus_bpf_sub sub;
	struct message msg;
	int i;

	ASSERT_EQ(0, start_collecting(variant->how, &self->collect));
	make_bus(_metadata, self);
	ASSERT_EQ(0, fd_poll(self->readers[0].s.m.fd, POLLIN));
	usleep(3000);
	ASSERT_EQ(1, publish_number(&self->mapped, 0));
	usleep(3000);
	ASSERT_EQ(POLLIN, fd_poll(self->readers[0].s.m.fd, POLLIN));
	ASSERT_EQ(1, subscriber_read(&self->readers[0].s, &msg));
	ASSERT_EQ(0, sub_entry(self->collect, self->id, self->readers[0].s.index, &sub));
	EXPECT_LE(3000000, sub.arm_to_wake.sum);
	EXPECT_LE(3000000, sub.wake_to_read.sum);
	for (i = 0; i < 21; i++) { /* 2^21 ns are 2.1 ms */
		EXPECT_EQ(0, sub.arm_to_wake.buckets[i]);
		EXPECT_EQ(0, sub.wake_to_read.buckets[i]);
	}
	EXPECT_TRUE(plausible(&sub.arm_to_wake));
	EXPECT_TRUE(plausible(&sub.wake_to_read));
	end_bus(self);
}

/* Who attaches late misses no count. */
TEST_F(collect, late)
{
	struct ronbus_bpf_bus bus;
	struct ronbus_bpf_sub sub;
	unsigned int k;

	make_bus(_metadata, self);
	work(_metadata, self);
	ASSERT_EQ(0, start_collecting(variant->how, &self->collect));
	/* Without anybody's doing. */
	ASSERT_TRUE(wait_until(entries_of(self->collect, self->id) == 1 + READERS &&
			       !bus_entry(self->collect, self->id, &bus) && bus.flushed));
	EXPECT_EQ(WAKES + OVERRUN, bus.counters.published_total);
	EXPECT_EQ(0, bus.seen.published);
	check_counters(_metadata, self, self->collect);
	work(_metadata, self);
	check_counters(_metadata, self, self->collect);
	for (k = 0; k < READERS; k++) {
		ASSERT_EQ(0, sub_entry(self->collect, self->id, self->readers[k].s.index, &sub));
		EXPECT_EQ(2 * WAKES, sub.counters.wakes_total[RONBUS_WAKE_DATA]);
		EXPECT_EQ(WAKES, sub.seen.wakes[RONBUS_WAKE_DATA]);
	}
	end_bus(self);
}

TEST_F(collect, what_goes_vanishes)
{
	struct ronbus_bpf_sub sub;
	u32 index;

	ASSERT_EQ(0, start_collecting(variant->how, &self->collect));
	make_bus(_metadata, self);
	work(_metadata, self);
	index = self->readers[1].s.index;
	subscriber_leave(&self->readers[1].s);
	EXPECT_EQ(-ENOENT, sub_entry(self->collect, self->id, index, &sub));
	EXPECT_EQ(READERS, entries_of(self->collect, self->id));
	EXPECT_BUS_AS_STATS(self->collect, self->bus); /* with what was counted by who left */

	/* Another one in its place begins anew. */
	ASSERT_EQ(0, subscriber_join(&self->readers[1].s, self->bus, RONBUS_START_LATEST, 0));
	ASSERT_EQ(index, self->readers[1].s.index);
	ASSERT_EQ(0, sub_entry(self->collect, self->id, index, &sub));
	EXPECT_EQ(0, sub.seen.arms);
	EXPECT_EQ(0, times(&sub.arm_to_wake));
	EXPECT_SUB_AS_STATS(self->collect, self->bus, index);

	end_bus(self);
	EXPECT_EQ(0, entries_of(self->collect, self->id));
}

/* Several may look at once, each with maps of its own. */
TEST_F(collect, twice)
{
	struct ronbus_collect *others[2] = { 0 };

	ASSERT_EQ(0, start_collecting(variant->how, &self->collect));
	ASSERT_EQ(0, start_collecting(RONBUS_COLLECT_BEST, &others[0]));
	EXPECT_EQ(RONBUS_COLLECT_TYPED, ronbus_collect_how(others[0]));
	make_bus(_metadata, self);
	work(_metadata, self);
	ASSERT_EQ(0, start_collecting(RONBUS_COLLECT_CLASSIC, &others[1]));
	work(_metadata, self);
	check_counters(_metadata, self, self->collect);
	check_counters(_metadata, self, others[0]);
	check_counters(_metadata, self, others[1]);
	/* One less, and the others go on. */
	ronbus_collect_stop(self->collect);
	self->collect = NULL;
	work(_metadata, self);
	check_counters(_metadata, self, others[0]);
	check_counters(_metadata, self, others[1]);
	end_bus(self);
	EXPECT_EQ(0, entries_of(others[0], self->id));
	EXPECT_EQ(0, entries_of(others[1], self->id));
	ronbus_collect_stop(others[0]);
	ronbus_collect_stop(others[1]);
}

#define BUSES 64U

TEST_F(collect, many_buses)
{
	int buses[BUSES];
	u64 ids[BUSES], woken = 0;
	struct ronbus_bpf_bus entry;
	struct subscriber s[BUSES];
	struct publisher pub;
	struct ronbus_info info;
	unsigned int i;

	ASSERT_EQ(0, start_collecting(variant->how, &self->collect));
	for (i = 0; i < BUSES; i++) {
		buses[i] = bus_create(self->control,
				      (struct ronbus_create){ .features = RONBUS_F_EDGE_NOTIFY,
							      .flags = RONBUS_BUS_PERSISTENT,
							      .capacity = 4 << i % 4 });
		ASSERT_LE(0, buses[i]);
		ASSERT_EQ(0, fd_info(buses[i], &info));
		ids[i] = info.id;
		ASSERT_EQ(0, subscriber_join(&s[i], buses[i], RONBUS_START_LATEST, 0));
		ASSERT_EQ(0, publisher_join(&pub, buses[i], 0));
		ASSERT_EQ(0, fd_poll(s[i].m.fd, POLLIN));
		ASSERT_EQ(i + 1, publish_numbers(&pub, 0, i + 1, 16, 1));
		publisher_leave(&pub);
	}
	for (i = 0; i < BUSES; i++) {
		EXPECT_BUS_AS_STATS(self->collect, buses[i]);
		EXPECT_SUB_AS_STATS(self->collect, buses[i], 0);
		ASSERT_EQ(0, bus_entry(self->collect, ids[i], &entry));
		EXPECT_EQ(i + 1, entry.counters.published_total);
		EXPECT_EQ(i + 1, entry.seen.published);
		woken += entry.seen.wakes[RONBUS_WAKE_DATA];
	}
	EXPECT_EQ(BUSES, woken);
	for (i = 0; i < BUSES; i++) {
		subscriber_leave(&s[i]);
		close(buses[i]);
		EXPECT_EQ(0, entries_of(self->collect, ids[i]));
	}
}

/* Pinned, it stays when its maker goes, and somebody else reads it. */
TEST_F(collect, pinned)
{
	const char *dir = "/sys/fs/bpf/ronbus-test";
	struct ronbus_collect *other, *third;
	struct statfs fs;

	if (statfs("/sys/fs/bpf", &fs) || fs.f_type != BPF_FS_MAGIC)
		SKIP(return, "no BPF file system at /sys/fs/bpf");
	ASSERT_EQ(-ENOENT, ronbus_collect_open(&other, dir));
	ASSERT_EQ(0, start_collecting(variant->how, &self->collect));
	ASSERT_EQ(0, ronbus_collect_pin(self->collect, dir));
	/* No room for a second one there: the first stays as it is. */
	ASSERT_EQ(0, start_collecting(variant->how, &third));
	EXPECT_GT(0, ronbus_collect_pin(third, dir));
	ronbus_collect_stop(third);

	ronbus_collect_stop(self->collect);
	self->collect = NULL;
	ASSERT_EQ(0, ronbus_collect_open(&other, dir));
	EXPECT_EQ(RONBUS_COLLECT_PINNED, ronbus_collect_how(other));
	make_bus(_metadata, self);
	work(_metadata, self);
	check_counters(_metadata, self, other);
	end_bus(self);
	EXPECT_EQ(0, entries_of(other, self->id));
	ronbus_collect_stop(other);
	ASSERT_EQ(0, system("rm -r /sys/fs/bpf/ronbus-test"));
}

TEST_F(collect, refused)
{
	struct ronbus_collect *other;

	EXPECT_EQ(-EINVAL, ronbus_collect_start(&other, RONBUS_COLLECT_PINNED));
	ASSERT_EQ(0, start_collecting(variant->how, &self->collect));
	EXPECT_GT(0, ronbus_collect_pin(self->collect, "/root/not-there/either"));
}

/* ---- a module of another version ------------------------------------------------------------ */

#define FORMAT "/sys/kernel/tracing/events/ronbus/ronbus_flush/format"

/* Another format, in place of the module's. */
static int set_format(const char *sed)
{
	char command[256];

	snprintf(command, sizeof(command), "sed '%s' " FORMAT " >/tmp/format", sed);
	if (system(command))
		return -1;
	return mount("/tmp/format", FORMAT, NULL, MS_BIND, NULL);
}

/* In the order of the list, which is that of the format. */
static const char *const counters[] = {
#define NAME(name, ...) #name,
	RONBUS_COUNTERS(NAME, NAME)
#undef NAME
};

/* Without types, counters are found by their places: those of another module would be wrong. */
static void check_refused(struct __test_metadata *_metadata, FIXTURE_DATA(collect) * self)
{
	const char *last = counters[ARRAY_SIZE(counters) - 1];
	char without[64], longer[128];
	const struct {
		const char *sed;
		const char *why;
	} modules[] = {
		{ "s/holes_total;/gaps_total;/", "gaps_total" },
		{ "/holes_total/d", "addressed_total" },
		{ "/u64 holes_total/s/offset:[0-9]*/offset:8/", "holes_total" },
		{ "/u64 wakes_total/s/size:[0-9]*/size:40/", "wakes_total" },
		{ without, last },
		{ longer, "new_total" },
	};
	struct ronbus_collect *other;
	size_t i;

	snprintf(without, sizeof(without), "/u64 %s;/d", last);
	snprintf(longer, sizeof(longer),
		 "/u64 %s;/s/$/\\n\\tfield:u64 new_total; offset:8; size:8;/", last);
	for (i = 0; i < ARRAY_SIZE(modules); i++) {
		ASSERT_EQ(0, set_format(modules[i].sed));
		EXPECT_EQ(-EPROTO, ronbus_collect_start(&other, RONBUS_COLLECT_CLASSIC));
		EXPECT_NE(NULL, strstr(ronbus_collect_why(), modules[i].why))
		{
			TH_LOG("%s: %s", modules[i].sed, ronbus_collect_why());
		}
		EXPECT_NE(NULL, strstr(ronbus_collect_why(), "different versions"));
		ASSERT_EQ(0, umount(FORMAT));
	}
	ASSERT_EQ(0, set_format(""));
	EXPECT_EQ(0, start_collecting(RONBUS_COLLECT_CLASSIC, &self->collect));
	ASSERT_EQ(0, umount(FORMAT));
}

/*
 * Programs made for a module that has one counter more, and another one in place of holes_total.
 * Types tell where the others are.
 */
static void check_by_name(struct __test_metadata *_metadata, FIXTURE_DATA(collect) * self)
{
	const size_t gone = offsetof(struct ronbus_counters, holes_total) / sizeof(u64);
	const size_t words = sizeof(struct ronbus_counters) / sizeof(u64);
	char value[sizeof(struct ronbus_bpf_bus) + sizeof(u64)];
	const u64 *theirs, *ours;
	struct ronbus_bpf_bus_key key;
	struct ronbus_stats stats;
	struct ronbus_other *skel;
	size_t i;

	skel = ronbus_other__open_and_load();
	ASSERT_NE(NULL, skel);
	ASSERT_EQ(sizeof(value), bpf_map__value_size(skel->maps.buses));
	ASSERT_EQ(0, ronbus_other__attach(skel));
	make_bus(_metadata, self);
	work(_metadata, self);
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	key.bus = self->id;
	ASSERT_EQ(0, bpf_map_lookup_elem(bpf_map__fd(skel->maps.buses), &key, value));
	theirs = (const u64 *)(value + offsetof(struct ronbus_bpf_bus, counters));
	ours = (const u64 *)&stats.counters;
	EXPECT_EQ(WAKES + OVERRUN, stats.counters.published_total);
	EXPECT_LT(0, ours[gone]);
	EXPECT_EQ(0, theirs[0]);
	for (i = 0; i < words; i++)
		EXPECT_EQ(i == gone ? 0 : ours[i], theirs[1 + i])
		{
			TH_LOG("word %zu of the counters", i);
		}
	end_bus(self);
	ronbus_other__destroy(skel);
}

/* And who loads those without types by hand is told of no counters rather than of wrong ones. */
static void check_by_hand(struct __test_metadata *_metadata, FIXTURE_DATA(collect) * self)
{
	char value[sizeof(struct ronbus_bpf_bus) + sizeof(u64)];
	struct ronbus_other_classic *skel;
	struct ronbus_bpf_bus_key key;
	struct ronbus_bpf_start start;
	struct ronbus_stats stats;
	u32 zero = 0, common;

	skel = ronbus_other_classic__open();
	ASSERT_NE(NULL, skel);
	ASSERT_EQ(0, ronbus_collect_format(&common));
	skel->rodata->common_size = common;
	ASSERT_EQ(0, ronbus_other_classic__load(skel));
	ASSERT_EQ(sizeof(value), bpf_map__value_size(skel->maps.buses));
	ASSERT_EQ(0, ronbus_other_classic__attach(skel));
	make_bus(_metadata, self);
	work(_metadata, self);
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	key.bus = self->id;
	ASSERT_EQ(0, bpf_map_lookup_elem(bpf_map__fd(skel->maps.buses), &key, value));
	EXPECT_EQ(0, ((const struct ronbus_bpf_bus *)value)->flushed);
	EXPECT_EQ(0, ((const struct ronbus_bpf_bus *)value)->counters.published_total);
	ASSERT_EQ(0, bpf_map_lookup_elem(bpf_map__fd(skel->maps.start), &zero, &start));
	EXPECT_LT(0, start.strange);
	end_bus(self);
	ronbus_other_classic__destroy(skel);
}

TEST_F(collect, other_version)
{
	if (variant->how == RONBUS_COLLECT_TYPED) {
		check_by_name(_metadata, self);
	} else {
		check_refused(_metadata, self);
		check_by_hand(_metadata, self);
	}
}

/* ---- programs that publish ----------------------------------------------------------------- */

FIXTURE(kfunc)
{
	int control;
	struct bpf_test *skel;
	struct bpf_test__bss *bss;
	int bus;
	u64 id;
	int pub;
	u64 token;
};

/* Run a program of the type that is called. */
static int call(const struct bpf_program *program)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);

	if (bpf_prog_test_run_opts(bpf_program__fd(program), &opts))
		return -errno;
	return opts.retval ? -EPROTO : 0;
}

static int publish_by_program(FIXTURE_DATA(kfunc) * self, u32 topic, u32 len)
{
	int err;

	self->bss->token = self->token;
	self->bss->topic = topic;
	self->bss->len = len;
	err = call(self->skel->progs.call_publish);
	return err ? -1000 + err : self->bss->ret;
}

/* Of all capabilities only this one is left, or none. */
static int keep_capability(int capability)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	if (capability >= 0)
		data[capability / 32].effective = data[capability / 32].permitted =
			1U << capability % 32;
	return syscall(SYS_capset, &head, data) ? -errno : 0;
}

FIXTURE_SETUP(kfunc)
{
	struct ronbus_info info;

	self->control = OPEN_CONTROL();
	if (geteuid())
		SKIP(return, "needs root, to load BPF programs");
	self->skel = bpf_test__open_and_load();
	ASSERT_NE(NULL, self->skel);
	self->bss = self->skel->bss;
	self->bss->most = ~0ULL;
	self->bus =
		bus_create(self->control,
			   (struct ronbus_create){ .features = RONBUS_F_EDGE_NOTIFY | RONBUS_F_TIME,
						   .flags = RONBUS_BUS_PERSISTENT,
						   .capacity = 64,
						   .payload = LEN });
	ASSERT_LE(0, self->bus);
	ASSERT_EQ(0, fd_info(self->bus, &info));
	self->id = info.id;
	self->pub = fd_publisher_bpf(self->bus, &self->token);
	ASSERT_LE(0, self->pub);
	self->bss->token = self->token;
}

FIXTURE_TEARDOWN(kfunc)
{
	bpf_test__destroy(self->skel);
	if (self->pub > 0)
		close(self->pub);
	if (self->bus > 0)
		close(self->bus);
	close(self->control);
}

/* In order and whole, to as many as there can be. */
TEST_F(kfunc, reaches_everybody)
{
	struct subscriber s[RONBUS_SUBSCRIBERS_MAX];
	struct ronbus_stats stats;
	struct message msg;
	u64 begin = now_ns();
	u32 i, n;

	EXPECT_EQ(0, publish_by_program(self, 3, 8)); /* nobody there */
	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++)
		ASSERT_EQ(0, subscriber_join(&s[i], self->bus, RONBUS_START_LATEST, 0));
	for (n = 0; n < 20; n++) {
		message_fill(self->bss->message, LEN, n);
		ASSERT_EQ(RONBUS_SUBSCRIBERS_MAX, publish_by_program(self, n, n ? LEN : 8));
	}
	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++) {
		for (n = 0; n < 20; n++) {
			ASSERT_EQ(1, subscriber_read(&s[i], &msg));
			EXPECT_EQ(n ? LEN : 8, msg.len);
			EXPECT_EQ(n, msg.topic);
			EXPECT_EQ(0, msg.publisher);
			EXPECT_EQ(0, msg.lost);
			EXPECT_TRUE(message_whole(msg.data, msg.len, n));
			EXPECT_LE(begin, msg.time);
			EXPECT_GE(now_ns(), msg.time);
		}
		EXPECT_EQ(-EAGAIN, subscriber_read(&s[i], &msg));
	}
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(20, stats.counters.published_total);
	EXPECT_EQ(1, stats.counters.no_receivers_total);
	EXPECT_EQ(20 * RONBUS_SUBSCRIBERS_MAX, stats.counters.addressed_total);
	EXPECT_EQ(20 * RONBUS_SUBSCRIBERS_MAX, stats.counters.delivered_total);
	EXPECT_EQ(20, stats.counters.ready_mask_width[6]);
	EXPECT_EQ(0, stats.counters.dropped_total);
	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++)
		subscriber_leave(&s[i]);
}

/* Topics choose, and whom a message spares is counted. */
TEST_F(kfunc, of_interest)
{
	struct ronbus_subscribe one = { .topics = 1 << 1 }, two = { .topics = 1 << 1 | 1 << 2 };
	struct ronbus_create args = { .features = RONBUS_F_EDGE_NOTIFY | RONBUS_F_INTEREST,
				      .flags = RONBUS_BUS_PERSISTENT,
				      .capacity = 64,
				      .payload = LEN };
	struct ronbus_stats stats;
	int fd[2];

	close(self->pub);
	close(self->bus);
	self->bus = bus_create(self->control, args);
	ASSERT_LE(0, self->bus);
	self->pub = fd_publisher_bpf(self->bus, &self->token);
	ASSERT_LE(0, self->pub);
	fd[0] = do_ioctl(self->bus, RONBUS_IOC_SUBSCRIBE, &one);
	fd[1] = do_ioctl(self->bus, RONBUS_IOC_SUBSCRIBE, &two);
	ASSERT_LE(0, fd[0]);
	ASSERT_LE(0, fd[1]);
	EXPECT_EQ(2, publish_by_program(self, 1, LEN));
	EXPECT_EQ(1, publish_by_program(self, 2, LEN));
	EXPECT_EQ(0, publish_by_program(self, 3, LEN));
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(3, stats.counters.interest_skips_total);
	EXPECT_EQ(3, stats.counters.addressed_total);
	EXPECT_EQ(1, stats.counters.no_receivers_total);
	close(fd[0]);
	close(fd[1]);
}

TEST_F(kfunc, errors)
{
	struct ronbus_stats stats;
	struct subscriber s;
	struct message msg;
	u64 token;
	int i;

	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_LATEST, 0));
	EXPECT_EQ(-EMSGSIZE, publish_by_program(self, 0, LEN + 1));
	EXPECT_EQ(-EINVAL, publish_by_program(self, RONBUS_TOPICS_MAX, LEN));
	EXPECT_EQ(-EINVAL, publish_by_program(self, ~0U, LEN));
	EXPECT_EQ(-EAGAIN, subscriber_read(&s, &msg));
	token = self->token;
	for (i = 0; i < 64; i++) {
		self->token = token ^ 1ULL << i; /* all but right */
		EXPECT_EQ(-ENOENT, publish_by_program(self, 0, LEN));
	}
	self->token = 0;
	EXPECT_EQ(-ENOENT, publish_by_program(self, 0, LEN));
	self->token = ~0ULL;
	EXPECT_EQ(-ENOENT, publish_by_program(self, 0, LEN));
	self->token = token;
	EXPECT_EQ(1, publish_by_program(self, RONBUS_TOPICS_MAX - 1, 0)); /* empty is allowed */
	ASSERT_EQ(1, subscriber_read(&s, &msg));
	EXPECT_EQ(0, msg.len);
	EXPECT_EQ(RONBUS_TOPICS_MAX - 1, msg.topic);
	close(self->pub);
	self->pub = -1;
	EXPECT_EQ(-ENOENT, publish_by_program(self, 0, LEN));
	EXPECT_EQ(-EAGAIN, subscriber_read(&s, &msg));
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(1, stats.counters.published_total);
	EXPECT_EQ(0, stats.counters.dropped_total);
	subscriber_leave(&s);
}

/* Somebody else does not get the token of one that is gone, nor one that is like another. */
TEST_F(kfunc, tokens_are_not_used_again)
{
	u64 tokens[50], differ = 0;
	struct subscriber s;
	int i, k, fd;

	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_LATEST, 0));
	close(self->pub);
	self->pub = -1;
	for (i = 0; i < 50; i++) {
		fd = fd_publisher_bpf(self->bus, &tokens[i]);
		ASSERT_LE(0, fd);
		EXPECT_NE(0, tokens[i]);
		EXPECT_EQ(-ENOENT, publish_by_program(self, 0, LEN));
		for (k = 0; k < i; k++) {
			EXPECT_NE(tokens[k] >> 16, tokens[i] >> 16);
		}
		differ |= tokens[i] ^ tokens[0];
		close(fd);
	}
	/* Every bit that is left to chance has been either. */
	EXPECT_EQ(~0ULL >> 16, differ >> 16);
	subscriber_leave(&s);
}

/* Not for everybody who may publish: to let go of one takes a while. */
TEST_F(kfunc, wants_a_capability)
{
	static const int keep[] = { -1, CAP_BPF, CAP_SYS_ADMIN };
	u64 token;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(keep); i++) {
		pid_t pid = fork();

		ASSERT_LE(0, pid);
		if (!pid) {
			int fd;

			ASSERT_EQ(0, keep_capability(keep[i]));
			fd = fd_publisher_bpf(self->bus, &token);
			EXPECT_EQ(keep[i] < 0 ? -EPERM : 0, fd < 0 ? fd : 0)
			TH_LOG("capability %d", keep[i]);
			EXPECT_LE(0, fd_publisher(self->bus, 0, NULL));
			_exit(0);
		}
		EXPECT_EQ(0, child_status(pid));
	}
}

/* Root of a user namespace of its own has them all there, and none here. */
TEST_F(kfunc, wants_it_of_the_machine)
{
	u64 token;
	int i;
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		if (unshare(CLONE_NEWUSER))
			_exit(77);
		EXPECT_EQ(-EPERM, fd_publisher_bpf(self->bus, &token));
		_exit(0);
	}
	i = child_status(pid);
	if (i == 77)
		SKIP(return, "no user namespaces here");
	EXPECT_EQ(0, i);
}

/* Every slot is being written: dropped, counted, and whoever sleeps is told to look. */
TEST_F(kfunc, drop)
{
	struct ronbus_stats stats;
	struct ronbus_claim claim;
	struct publisher holder;
	struct subscriber s;
	u32 i;

	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_LATEST, 0));
	ASSERT_EQ(0, publisher_join(&holder, self->bus, RONBUS_PUBLISHER_MAPPED));
	claim.pos = ronbus_ring_hint(&holder.m.ring);
	for (i = 0; i < 64; i++) {
		ASSERT_EQ(0, publisher_claim(&holder, &claim));
		claim.pos++;
	}
	ASSERT_EQ(0, fd_poll(s.m.fd, POLLIN));
	EXPECT_EQ(-EAGAIN, publish_by_program(self, 0, LEN));
	EXPECT_TRUE(wait_until(!subscriber_armed(&s)));
	EXPECT_EQ(-EAGAIN, publish_by_program(self, 0, LEN));
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(2, stats.counters.dropped_total);
	EXPECT_EQ(0, stats.counters.published_total);
	publisher_leave(&holder); /* and what it held is free again */
	EXPECT_EQ(1, publish_by_program(self, 0, LEN));
	subscriber_leave(&s);
}

/*
 * No more than 64 slots are looked at, for it may be an interrupt that waits: what holds fewer is
 * passed by. A hint that a publisher turned back does not make the way longer.
 */
TEST_F(kfunc, looks_at_a_few_slots)
{
	const u32 slots = 4096;
	struct ronbus_claim claim;
	struct publisher holder;
	struct subscriber s;
	int bus, pub;
	u32 i;

	bus = bus_create(self->control, (struct ronbus_create){ .features = RONBUS_F_EDGE_NOTIFY,
								.capacity = slots,
								.payload = LEN });
	ASSERT_LE(0, bus);
	pub = fd_publisher_bpf(bus, &self->token);
	ASSERT_LE(0, pub);
	ASSERT_EQ(0, subscriber_join(&s, bus, RONBUS_START_LATEST, 0));
	ASSERT_EQ(0, publisher_join(&holder, bus, RONBUS_PUBLISHER_MAPPED));
	/* The first 64 slots of a lap are held when the next lap begins. */
	claim.pos = ronbus_ring_hint(&holder.m.ring);
	for (i = 0; i < 64; i++, claim.pos++) {
		ASSERT_EQ(0, publisher_claim(&holder, &claim));
	}
	RB_WRITE(&holder.m.ring.head->head, claim.pos);
	ASSERT_EQ(slots - 64, publish_numbers(&holder, 0, slots - 64, LEN, 64));
	EXPECT_EQ(-EAGAIN, publish_by_program(self, 0, LEN));
	/* It marked them as passed by, and so there are fewer for the next one. */
	EXPECT_EQ(1, publish_by_program(self, 0, LEN));
	/* The next lap but with one less. */
	ronbus_ring_commit(&holder.m.ring, slots + 63, holder.id);
	ASSERT_EQ(slots - 65, publish_numbers(&holder, 0, slots - 65, LEN, 64));
	EXPECT_EQ(1, publish_by_program(self, 0, LEN));
	RB_WRITE(&holder.m.ring.head->head, 2 * slots + 100);
	EXPECT_EQ(1, publish_by_program(self, 0, LEN));
	publisher_leave(&holder);
	subscriber_leave(&s);
	close(pub);
	close(bus);
}

static void *sleep_in_wait(void *arg)
{
	return (void *)(long)fd_wait(*(int *)arg, now_ns() + WATCHDOG);
}

static void *sleep_in_epoll(void *arg)
{
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	long ret = -1;

	if (!epoll_ctl(epoll, EPOLL_CTL_ADD, *(int *)arg, &event))
		ret = epoll_wait(epoll, &event, 1, WATCHDOG / 1000000) - 1;
	close(epoll);
	return (void *)ret;
}

static void *sleep_in_eventfd(void *arg)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	long ret = fd_set_eventfd(*(int *)arg, fd);

	if (!ret)
		ret = fd_arm(*(int *)arg);
	if (!ret)
		ret = poll(&p, 1, WATCHDOG / 1000000) - 1;
	fd_set_eventfd(*(int *)arg, -1);
	close(fd);
	return (void *)ret;
}

TEST_F(kfunc, wakes_sleepers)
{
	static void *(*const ways[])(void *) = { sleep_in_wait, sleep_in_epoll, sleep_in_eventfd };
	struct subscriber s[ARRAY_SIZE(ways)];
	pthread_t threads[ARRAY_SIZE(ways)];
	struct ronbus_stats stats;
	struct message msg;
	struct member m;
	void *failed;
	size_t i;
	int round;

	ASSERT_EQ(0, member_map(&m, self->pub, 0));
	for (i = 0; i < ARRAY_SIZE(ways); i++)
		ASSERT_EQ(0, subscriber_join(&s[i], self->bus, RONBUS_START_LATEST, 0));
	for (round = 0; round < 5; round++) {
		for (i = 0; i < ARRAY_SIZE(ways); i++)
			ASSERT_EQ(0, pthread_create(&threads[i], NULL, ways[i], &s[i].m.fd));
		ASSERT_TRUE(asleep(&m, 7));
		EXPECT_EQ(3, publish_by_program(self, 0, LEN));
		for (i = 0; i < ARRAY_SIZE(ways); i++) {
			pthread_join(threads[i], &failed);
			EXPECT_EQ(0, (long)failed);
			EXPECT_EQ(1, subscriber_read(&s[i], &msg));
		}
	}
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(15, stats.counters.notify_sends_total);
	EXPECT_EQ(15, stats.counters.wakes_total[RONBUS_WAKE_DATA]);
	EXPECT_EQ(0, stats.counters.notify_suppressed_total);
	for (i = 0; i < ARRAY_SIZE(ways); i++)
		subscriber_leave(&s[i]);
	member_unmap(&m);
}

/* Read @n messages of publish_next(); are they all whole? */
static bool read_next(struct subscriber *s, u64 n)
{
	struct message msg;
	u64 words[4];

	while (n--) {
		if (subscriber_read(s, &msg) != 1 || msg.len != sizeof(words))
			return false;
		memcpy(words, msg.data, sizeof(words));
		if (words[1] != words[0] || words[2] != words[0] || words[3] != words[0])
			return false;
	}
	return true;
}

/* From a function of the module itself, and from its tracepoints, the bus locked or not. */
TEST_F(kfunc, from_the_module)
{
	struct bpf_link *fentry = bpf_program__attach(self->skel->progs.from_fentry);
	struct bpf_link *arm = bpf_program__attach(self->skel->progs.from_arm);
	struct bpf_link *leave = bpf_program__attach(self->skel->progs.from_leave);
	struct subscriber s, other;
	struct message msg;
	u64 value;

	ASSERT_NE(NULL, fentry);
	ASSERT_NE(NULL, arm);
	ASSERT_NE(NULL, leave);
	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_LATEST, 0));
	ASSERT_EQ(0, subscriber_join(&other, self->bus, RONBUS_START_LATEST, 0));
	self->bss->on = 1;
	ASSERT_EQ(0, fdinfo_value(self->bus, "bus_id", &value));
	EXPECT_EQ(1, self->bss->accepted);
	EXPECT_EQ(2, self->bss->addressed);
	EXPECT_TRUE(read_next(&s, 1));

	/* Nothing to wait for: that it waits is an event, and so it is over. */
	EXPECT_EQ(0, fd_wait(s.m.fd, now_ns() + WATCHDOG));
	EXPECT_EQ(2, self->bss->accepted);
	EXPECT_TRUE(read_next(&s, 1));

	subscriber_leave(&other);
	EXPECT_EQ(3, self->bss->accepted);
	self->bss->on = 0;
	EXPECT_TRUE(read_next(&s, 1));
	EXPECT_EQ(-EAGAIN, subscriber_read(&s, &msg));
	EXPECT_EQ(0, self->bss->failed);
	bpf_link__destroy(fentry);
	bpf_link__destroy(arm);
	bpf_link__destroy(leave);
	subscriber_leave(&s);
}

/* A program that is called for what it publishes itself is called once. */
TEST_F(kfunc, from_itself)
{
	struct bpf_link *link = bpf_program__attach(self->skel->progs.from_publish);
	struct ronbus_stats stats;
	struct publisher task;
	struct subscriber s;
	struct message msg;
	int i, got = 0;

	ASSERT_NE(NULL, link);
	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_LATEST, 0));
	ASSERT_EQ(0, publisher_join(&task, self->bus, 0));
	self->bss->on = 1;
	for (i = 0; i < 5; i++)
		ASSERT_EQ(1, publish_number(&task, i));
	self->bss->on = 0;
	bpf_link__destroy(link);
	EXPECT_EQ(5, self->bss->accepted);
	EXPECT_EQ(0, self->bss->failed);
	while (subscriber_read(&s, &msg) == 1)
		got++;
	EXPECT_EQ(10, got);
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(10, stats.counters.published_total);
	publisher_leave(&task);
	subscriber_leave(&s);
}

/* From interrupts, into a bus that somebody publishes on whom they interrupt. */
static void from_interrupt(struct __test_metadata *_metadata, FIXTURE_DATA(kfunc) * self,
			   struct bpf_program *program)
{
	struct bpf_link *link = bpf_program__attach(program);
	struct ronbus_stats stats;
	struct publisher task;
	struct subscriber s;
	struct message msg;
	u64 by_task = 0, begin = now_ns();

	ASSERT_NE(NULL, link);
	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_LATEST, 0));
	ASSERT_EQ(0, publisher_join(&task, self->bus, 0));

	/* Asleep, woken by the interrupt. */
	self->bss->most = 1;
	self->bss->on = 1;
	EXPECT_EQ(0, fd_wait(s.m.fd, now_ns() + WATCHDOG));
	EXPECT_TRUE(read_next(&s, 1));

	self->bss->most = 40;
	ASSERT_TRUE(spin_until(({
		by_task += publish_number(&task, by_task) == 1;
		RB_READ(&self->bss->calls) >= 40;
	})));
	self->bss->on = 0;
	bpf_link__destroy(link);

	EXPECT_EQ(0, self->bss->failed);
	while (subscriber_read(&s, &msg) == 1) {
		EXPECT_LE(begin, msg.time);
		EXPECT_GE(now_ns(), msg.time);
	}
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(self->bss->accepted + by_task, stats.counters.published_total);
	EXPECT_EQ(self->bss->accepted, self->bss->addressed);
	EXPECT_EQ(self->bss->dropped, stats.counters.dropped_total);
	EXPECT_TRUE(subscriber_identity(&s));
	publisher_leave(&task);
	subscriber_leave(&s);
}

TEST_F(kfunc, from_hardirq)
{
	from_interrupt(_metadata, self, self->skel->progs.from_hardirq);
}

TEST_F(kfunc, from_softirq)
{
	from_interrupt(_metadata, self, self->skel->progs.from_softirq);
}

/* Every other CPU is asked by an NMI where it is, which is in the log. */
static void *provoke_nmis(void *arg)
{
	const bool *stop = arg;
	int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);

	while (!RB_READ(stop)) {
		if (write(fd, "l", 1) != 1)
			break;
		usleep(1000);
	}
	close(fd);
	return NULL;
}

TEST_F(kfunc, from_nmi)
{
	bool stop = false;
	pthread_t thread;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(return, "takes a second CPU, which sends the NMIs");
	ASSERT_EQ(0, access("/proc/sysrq-trigger", W_OK));
	ASSERT_EQ(0, pthread_create(&thread, NULL, provoke_nmis, &stop));
	from_interrupt(_metadata, self, self->skel->progs.from_nmi);
	RB_WRITE(&stop, true);
	pthread_join(thread, NULL);
}

/* System calls, each of which publishes, on every CPU. */
struct busy {
	int ready;
	bool stop;
};

static int busy_child(struct busy *busy, int pub)
{
	close(pub); /* or it would stay when the parent closes it */
	__atomic_add_fetch(&busy->ready, 1, __ATOMIC_RELEASE);
	while (!RB_READ(&busy->stop))
		syscall(SYS_getppid);
	return 0;
}

/* The publisher goes while all CPUs publish: from then on there is none. And the next one works. */
TEST_F(kfunc, closed_while_busy)
{
	struct bpf_link *link = bpf_program__attach(self->skel->progs.from_sys_enter);
	struct busy *busy = shared_memory(sizeof(*busy));
	struct ronbus_stats stats;
	struct subscriber s;
	pid_t pids[8];
	u64 before;
	int i, nr;

	ASSERT_NE(NULL, link);
	ASSERT_NE(NULL, busy);
	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_LATEST, 0));
	nr = (int)sysconf(_SC_NPROCESSORS_ONLN);
	nr = nr < 8 ? nr : 8;
	for (i = 0; i < nr; i++) {
		pids[i] = fork();
		ASSERT_LE(0, pids[i]);
		if (!pids[i])
			_exit(busy_child(busy, self->pub));
	}
	ASSERT_TRUE(wait_until(RB_READ(&busy->ready) == nr));
	self->bss->on = 1;
	for (i = 0; i < 100; i++) {
		RB_WRITE(&self->bss->failed, 0);
		before = RB_READ(&self->bss->accepted);
		EXPECT_TRUE(spin_until(RB_READ(&self->bss->accepted) > before));
		close(self->pub);
		before = RB_READ(&self->bss->accepted);
		EXPECT_TRUE(spin_until(RB_READ(&self->bss->failed) > 0));
		EXPECT_EQ(before, RB_READ(&self->bss->accepted));
		EXPECT_EQ(-ENOENT, self->bss->ret);
		self->pub = fd_publisher_bpf(self->bus, &self->token);
		ASSERT_LE(0, self->pub);
		self->bss->token = self->token;
	}
	self->bss->on = 0;
	RB_WRITE(&busy->stop, true);
	for (i = 0; i < nr; i++)
		EXPECT_EQ(0, child_status(pids[i]));
	bpf_link__destroy(link);

	/* What was published while the publisher went has been counted all the same. */
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(self->bss->accepted, stats.counters.published_total);
	EXPECT_EQ(self->bss->addressed, stats.counters.addressed_total);
	EXPECT_EQ(self->bss->dropped, stats.counters.dropped_total);
	subscriber_leave(&s);
}

/* The bus and everything goes, while they publish. */
TEST_F(kfunc, bus_ends_while_busy)
{
	struct bpf_link *link = bpf_program__attach(self->skel->progs.from_sys_enter);
	struct busy *busy = shared_memory(sizeof(*busy));
	struct ronbus_info info;
	int i, bus, pub, sub;
	u64 before, token;
	pid_t pid;

	ASSERT_NE(NULL, link);
	ASSERT_NE(NULL, busy);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(busy_child(busy, self->pub));
	self->bss->on = 1;
	for (i = 0; i < 20; i++) {
		bus = bus_create(self->control, (struct ronbus_create){ .payload = LEN });
		ASSERT_LE(0, bus);
		pub = fd_publisher_bpf(bus, &token);
		sub = fd_subscribe(bus, RONBUS_START_LATEST, 0, NULL);
		ASSERT_LE(0, pub);
		ASSERT_LE(0, sub);
		close(bus);
		before = RB_READ(&self->bss->addressed);
		self->bss->token = token;
		EXPECT_TRUE(wait_until(RB_READ(&self->bss->addressed) > before + 20));
		close(pub);
		ASSERT_EQ(0, fd_info(sub, &info));
		EXPECT_EQ(RONBUS_STATUS_ENDED, info.status);
		close(sub);
	}
	self->bss->on = 0;
	RB_WRITE(&busy->stop, true);
	EXPECT_EQ(0, child_status(pid));
	bpf_link__destroy(link);
}

/* What a program published is what programs count, and what STATS has. */
TEST_F(kfunc, counted)
{
	struct ronbus_collect *typed = NULL, *classic = NULL;
	struct ronbus_bpf_bus entry;
	struct subscriber s;
	int i;

	ASSERT_EQ(0, tracefs_mount());
	ASSERT_EQ(0, start_collecting(RONBUS_COLLECT_TYPED, &typed));
	ASSERT_EQ(0, start_collecting(RONBUS_COLLECT_CLASSIC, &classic));
	ASSERT_TRUE(wait_until(!bus_entry(typed, self->id, &entry) &&
			       !bus_entry(classic, self->id, &entry)));
	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_LATEST, 0));
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, fd_poll(s.m.fd, POLLIN));
		ASSERT_EQ(1, publish_by_program(self, 0, LEN));
		ASSERT_TRUE(wait_until(!subscriber_armed(&s)));
		RB_WRITE(&s.m.self->cursor, ronbus_ring_tail(&s.m.ring));
	}
	EXPECT_BUS_AS_STATS(typed, self->bus);
	EXPECT_BUS_AS_STATS(classic, self->bus);
	EXPECT_SUB_AS_STATS(typed, self->bus, s.index);
	EXPECT_SUB_AS_STATS(classic, self->bus, s.index);
	ASSERT_EQ(0, bus_entry(typed, self->id, &entry));
	EXPECT_EQ(5, entry.seen.published);
	EXPECT_EQ(5, entry.counters.published_total);
	EXPECT_EQ(5, entry.seen.wakes[RONBUS_WAKE_DATA]);
	EXPECT_EQ(5, times(&entry.arm_to_wake));
	subscriber_leave(&s);
	ronbus_collect_stop(typed);
	ronbus_collect_stop(classic);
}

/* ---- programs that read counters ------------------------------------------------------------ */

static int counters_by_program(FIXTURE_DATA(kfunc) * self, u64 bus, u32 which, u32 size)
{
	int err;

	memset(&self->bss->counters, POISON, sizeof(self->bss->counters));
	self->bss->bus = bus;
	self->bss->which = which;
	self->bss->size = size;
	err = call(self->skel->progs.call_counters);
	return err ? -1000 + err : self->bss->ret;
}

TEST_F(kfunc, counters_are_stats)
{
	const u32 size = sizeof(struct ronbus_counters);
	struct ronbus_stats bus, sub;
	struct subscriber s;
	struct message msg;
	int i;

	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_LATEST, 0));
	for (i = 0; i < 70; i++) {
		fd_poll(s.m.fd, POLLIN);
		ASSERT_EQ(1, publish_by_program(self, 0, LEN));
	}
	while (subscriber_read(&s, &msg) == 1)
		;
	ASSERT_TRUE(wait_until(!subscriber_armed(&s)));
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &bus));
	ASSERT_EQ(0, fd_stats(self->bus, s.index, &sub));
	EXPECT_EQ(70, bus.counters.published_total);
	EXPECT_EQ(64, sub.counters.delivered_total);
	ASSERT_EQ(0, counters_by_program(self, self->id, RONBUS_STATS_BUS, size));
	EXPECT_SAME_COUNTERS(bus.counters, self->bss->counters);
	ASSERT_EQ(0, counters_by_program(self, self->id, s.index, size));
	EXPECT_SAME_COUNTERS(sub.counters, self->bss->counters);

	EXPECT_EQ(-EINVAL, counters_by_program(self, self->id, RONBUS_STATS_BUS, size - 8));
	EXPECT_EQ(-EINVAL, counters_by_program(self, self->id, RONBUS_SUBSCRIBERS_MAX, size));
	EXPECT_EQ(-ENOENT, counters_by_program(self, self->id, s.index + 1, size));
	EXPECT_EQ(-ENOENT, counters_by_program(self, self->id + 1000, RONBUS_STATS_BUS, size));
	EXPECT_EQ(-ENOENT, counters_by_program(self, 0, RONBUS_STATS_BUS, size));
	subscriber_leave(&s);
	EXPECT_EQ(-ENOENT, counters_by_program(self, self->id, s.index, size));
}

/* ---- what the kernel refuses ---------------------------------------------------------------- */

static char verifier_log[1 << 16];

static int load_only(const char *name)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .kernel_log_buf = verifier_log,
		    .kernel_log_size = sizeof(verifier_log), .kernel_log_level = 1);
	struct bpf_test *skel = bpf_test__open_opts(&opts);
	struct bpf_program *program;
	int err;

	if (!skel)
		return -1000;
	bpf_object__for_each_program(program, skel->obj)
		bpf_program__set_autoload(program, !strcmp(bpf_program__name(program), name));
	verifier_log[0] = '\0';
	err = bpf_test__load(skel);
	bpf_test__destroy(skel);
	return err;
}

TEST(refused_by_verifier)
{
	static const struct {
		const char *program;
		const char *reason; /* part of what the verifier says, on every kernel */
	} programs[] = {
		{ "refused_context", "sleep" },
		{ "refused_number", "R3" },
		{ "refused_beyond", "invalid" },
		{ "refused_beyond_map", "invalid access to map value" },
		{ "refused_unbounded", "R4" },
		{ "refused_counters_beyond", "invalid" },
		{ "refused_counters_null", "R3" },
		{ "refused_type", "not allowed" },
	};
	size_t i;

	close(OPEN_CONTROL());
	if (geteuid())
		SKIP(return, "needs root, to load BPF programs");
	libbpf_set_print(be_silent);
	EXPECT_EQ(0, load_only("call_publish"));
	for (i = 0; i < ARRAY_SIZE(programs); i++) {
		EXPECT_GT(0, load_only(programs[i].program))
		{
			TH_LOG("%s was not refused", programs[i].program);
		}
		EXPECT_NE(NULL, strstr(verifier_log, programs[i].reason))
		{
			TH_LOG("%s: %s", programs[i].program, verifier_log);
		}
	}
}

/* ---- the module ------------------------------------------------------------------------------ */

static int module_unload(void)
{
	return syscall(SYS_delete_module, "ronbus", O_NONBLOCK) ? -errno : 0;
}

static int module_load(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	ret = syscall(SYS_finit_module, fd, "", 0) ? -errno : 0;
	close(fd);
	return ret;
}

/* It stays as long as programs use it, and goes and comes back when they are gone. */
TEST(module_stays_while_attached)
{
	const char *ko = getenv("RONBUS_KO");
	enum ronbus_collect_how how;
	struct ronbus_collect *c;
	struct bpf_test *skel;

	close(OPEN_CONTROL());
	if (!ko || !*ko)
		SKIP(return, "RONBUS_KO does not say where the module's file is");
	if (geteuid())
		SKIP(return, "needs root, to unload and load the module");
	ASSERT_EQ(0, tracefs_mount());
	for (how = RONBUS_COLLECT_TYPED; how <= RONBUS_COLLECT_CLASSIC; how++) {
		ASSERT_EQ(0, start_collecting(how, &c));
		EXPECT_EQ(-EAGAIN, module_unload());
		ronbus_collect_stop(c);
		ASSERT_TRUE(wait_until(module_unload() == 0));
		EXPECT_EQ(-ENODEV, ronbus_collect_start(&c, how));
		ASSERT_EQ(0, module_load(ko));
	}
	/* Programs that call it: loaded is enough. */
	skel = bpf_test__open_and_load();
	ASSERT_NE(NULL, skel);
	EXPECT_EQ(-EAGAIN, module_unload());
	bpf_test__destroy(skel);
	ASSERT_TRUE(wait_until(module_unload() == 0));
	ASSERT_EQ(0, module_load(ko));
}

TEST_HARNESS_MAIN
