// SPDX-License-Identifier: GPL-2.0
/*
 * BPF: what the programs of bpf/ keep in their maps is what RONBUS_IOC_STATS says.
 *
 * RONBUS_KO names the module's file, for the test that unloads it.
 */
#include <pthread.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#include <linux/magic.h>

#include "bpf.h"
#include "ronbus_other.skel.h"
#include "ronbus_other_classic.skel.h"

#define SLOTS 8U
#define READERS 3U

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
	/* One leaves with a slot, and another waits for that slot. */
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
		/* Each wake-up was of a sleeper, and each was followed by a look. */
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

/* A collector that attaches late misses no count. */
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
	EXPECT_BUS_AS_STATS(self->collect,
			    self->bus); /* with what members counted that have left */

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

/* A program without types that is loaded by hand sees no counters rather than wrong ones. */
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

/* ---- the module ------------------------------------------------------------------------------ */

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
