// SPDX-License-Identifier: GPL-2.0
/*
 * Counters: each moves when it should and stands still when it should not, and members that left
 * stay counted.
 */
#include "stats.h"

/*
 * Since the last look these moved by so much, and all the others not at all. There is one subscriber:
 * what is published is for one.
 */
static bool same(const char *name, const char *moved)
{
	return !strcmp(name, moved) ||
	       (!strcmp(name, "ready_mask_width{1}") && !strcmp(moved, "published_total"));
}

#define EXPECT_MOVED(...)                                                                      \
	do {                                                                                   \
		const struct {                                                                 \
			const char *name;                                                      \
			u64 by;                                                                \
		} moves[] = { __VA_ARGS__ };                                                   \
		struct ronbus_stats __stats;                                                   \
		size_t __i, __k;                                                               \
		ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &__stats));                 \
		for (__i = 0; __i < ARRAY_SIZE(counters); __i++) {                             \
			u64 __by = 0;                                                          \
			for (__k = 0; __k < ARRAY_SIZE(moves); __k++)                          \
				if (same(counters[__i].name + 4, moves[__k].name))             \
					__by = moves[__k].by;                                  \
			EXPECT_EQ(__by,                                                        \
				  counter(&__stats.counters, __i) - counter(&self->last, __i)) \
			TH_LOG("%s", counters[__i].name);                                      \
		}                                                                              \
		self->last = __stats.counters;                                                 \
	} while (0)

/* What it costs to wake: NOTIFYs by the publisher, sends by the kernel. */
#define EDGE (variant->features & RONBUS_F_EDGE_NOTIFY ? 1 : 0)
#define BATCH (variant->features & RONBUS_F_BATCH ? 1 : 0)
#define MAPPED (variant->publisher ? 1 : 0)

TEST_F(stats, nothing_yet)
{
	EXPECT_MOVED({ "published_total", 0 });
}

TEST_F(stats, published)
{
	char buf[256];
	u64 i;

	/* Each by itself: no batch, one notification each without EDGE_NOTIFY. */
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(1, publish_number(&self->pub, i));
	}
	EXPECT_MOVED({ "published_total", 3 }, { "addressed_total", 3 },
		     { "notify_calls_total", MAPPED && !EDGE ? 3 : 0 },
		     { "notify_sends_total", EDGE ? 0 : 3 },
		     { "notify_suppressed_total", EDGE ? 3 : 0 },
		     { "wakes_total{data}", EDGE ? 0 : 3 });
	EXPECT_EQ(3 * (sizeof(struct ronbus_record) + LEN),
		  fd_read(self->s.m.fd, buf, sizeof(buf)));
	EXPECT_MOVED({ "delivered_total", 3 });
	EXPECT_EQ(-EAGAIN, fd_read(self->s.m.fd, buf, sizeof(buf)));
	EXPECT_MOVED({ "delivered_total", 0 });
}

TEST_F(stats, no_receivers)
{
	subscriber_leave(&self->s);
	ASSERT_EQ(5, publish_numbers(&self->pub, 0, 5, LEN, 5));
	EXPECT_MOVED({ "no_receivers_total", 5 });
	ASSERT_EQ(1, publish_number(&self->pub, 0));
	EXPECT_MOVED({ "no_receivers_total", 1 });
}

TEST_F(stats, lag)
{
	char buf[sizeof(struct ronbus_record) + LEN];
	struct ronbus_counters c;
	struct ronbus_stats stats;

	ASSERT_EQ(SLOTS + 5, (u32)publish_numbers(&self->pub, 0, SLOTS + 5, LEN, 1));
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	self->last = stats.counters;
	EXPECT_EQ(sizeof(buf), fd_read(self->s.m.fd, buf, sizeof(buf)));
	EXPECT_MOVED({ "receiver_lag_total", 1 }, { "overflow_dropped_total", 5 },
		     { "delivered_total", 1 });
	/* The identity, with the kernel's own numbers. */
	ASSERT_EQ(0, fd_stats(self->s.m.fd, self->s.index, &stats));
	c = stats.counters;
	EXPECT_EQ(stats.cursor - stats.start,
		  c.delivered_total + c.filtered_total + c.holes_total + c.overflow_dropped_total);
}

TEST_F(stats, dropped_and_repaired)
{
	struct publisher holder;
	char buf[256];
	u32 i;

	ASSERT_EQ(0, publisher_join(&holder, self->bus, RONBUS_PUBLISHER_MAPPED));
	for (i = 0; i < SLOTS; i++) {
		struct ronbus_claim claim = { .pos = ronbus_ring_hint(&holder.m.ring) };

		ASSERT_EQ(0, publisher_claim(&holder, &claim));
		ronbus_ring_advance(&holder.m.ring, claim.pos + 1);
	}
	EXPECT_MOVED({ "dropped_total", 0 });
	EXPECT_EQ(-EAGAIN, publish_number(&self->pub, 0));
	EXPECT_EQ(-EAGAIN, publish_number(&self->pub, 0));
	/* A sleeper at a held slot has been overtaken; without EDGE_NOTIFY all are notified. */
	EXPECT_MOVED({ "dropped_total", 2 }, { "notify_calls_total", MAPPED && !EDGE ? 2 : 0 },
		     { "notify_sends_total", EDGE ? 0 : 2 }, { "wakes_total{data}", EDGE ? 0 : 2 });
	/* Armed, so that there is somebody to wake; it has been overtaken, though. */
	publisher_leave(&holder);
	{
		struct ronbus_stats stats;

		ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
		EXPECT_EQ(SLOTS, stats.counters.repairs_total);
		self->last = stats.counters;
	}
	EXPECT_EQ(-EAGAIN, fd_read(self->s.m.fd, buf, sizeof(buf)));
	{
		struct ronbus_stats stats;

		/* What was passed over was lost or a hole, by the subscriber's own account. */
		ASSERT_EQ(0, fd_stats(self->s.m.fd, self->s.index, &stats));
		EXPECT_LT(0, stats.cursor - stats.start);
		EXPECT_EQ(stats.cursor - stats.start,
			  stats.counters.holes_total + stats.counters.overflow_dropped_total);
		EXPECT_EQ(0, stats.counters.delivered_total);
	}
}

TEST_F(stats, holes)
{
	struct ronbus_claim claim;
	struct publisher holder;
	char buf[256];

	ASSERT_EQ(0, fd_arm(self->s.m.fd));
	EXPECT_MOVED({ "waits_total", 1 });
	ASSERT_EQ(0, publisher_join(&holder, self->bus, RONBUS_PUBLISHER_MAPPED));
	claim.pos = ronbus_ring_hint(&holder.m.ring);
	ASSERT_EQ(0, publisher_claim(&holder, &claim));
	publisher_leave(&holder);
	EXPECT_MOVED({ "repairs_total", 1 }, { "wakes_total{repair}", 1 });
	EXPECT_EQ(-EAGAIN, fd_read(self->s.m.fd, buf, sizeof(buf)));
	EXPECT_MOVED({ "holes_total", 1 });
}

TEST_F(stats, waits_and_wakes)
{
	struct ronbus_stats stats;
	u32 woken;

	EXPECT_EQ(0, fd_poll(self->s.m.fd, POLLIN));
	EXPECT_MOVED({ "waits_total", 1 });
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(1, stats.armed);
	ASSERT_EQ(0, fd_stats(self->bus, 0, &stats));
	EXPECT_EQ(1, stats.armed);
	EXPECT_EQ(0, fd_notify(self->pub.m.fd, 1, &woken));
	EXPECT_EQ(1, woken);
	EXPECT_MOVED({ "notify_calls_total", 1 }, { "notify_sends_total", 1 },
		     { "wakes_total{data}", 1 });
	ASSERT_EQ(0, fd_stats(self->bus, 0, &stats));
	EXPECT_EQ(0, stats.armed);
	/* Nobody there to wake: the call alone counts. */
	EXPECT_EQ(0, fd_notify(self->pub.m.fd, ~1ULL, &woken));
	EXPECT_EQ(0, woken);
	EXPECT_MOVED({ "notify_calls_total", 1 });
	/* Awake: with EDGE_NOTIFY nothing to do. */
	EXPECT_EQ(0, fd_notify(self->pub.m.fd, 1, &woken));
	EXPECT_EQ(!EDGE, woken);
	EXPECT_MOVED({ "notify_calls_total", 1 }, { "notify_sends_total", !EDGE },
		     { "wakes_total{data}", !EDGE });
	/* Something to read is no reason to wait. */
	ASSERT_EQ(1, publish_number(&self->pub, 0));
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	self->last = stats.counters;
	EXPECT_EQ(1, fd_arm(self->s.m.fd));
	EXPECT_EQ(POLLIN, fd_poll(self->s.m.fd, POLLIN));
	EXPECT_EQ(0, fd_wait(self->s.m.fd, 0));
	EXPECT_MOVED({ "waits_total", 0 });
}

TEST_F(stats, end)
{
	struct ronbus_stats stats;

	ASSERT_EQ(0, fd_arm(self->s.m.fd));
	close(self->pub.m.fd);
	member_unmap(&self->pub.m);
	self->pub.m.fd = -1;
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(0, stats.publishers);
	EXPECT_EQ(0, stats.counters.wakes_total[RONBUS_WAKE_CLOSE]);
	EXPECT_EQ(0, bus_seal(self->bus));
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(1, stats.counters.wakes_total[RONBUS_WAKE_CLOSE]);
	EXPECT_EQ(0, stats.counters.wakes_total[RONBUS_WAKE_TIMER]);
}

/* Batches by their length: the kernel counts those that come by system call. */
TEST_F(stats, batches)
{
	static const struct {
		u32 len;
		const char *bucket;
	} cases[] = {
		{ 2, "{2}" },	  { 3, "{2}" },	     { 4, "{4}" },	 { 7, "{4}" },
		{ 8, "{8}" },	  { 15, "{8}" },     { 16, "{16}" },	 { 31, "{16}" },
		{ 32, "{32}" },	  { 63, "{32}" },    { 64, "{64}" },	 { 127, "{64}" },
		{ 128, "{128}" }, { 255, "{128}" },  { 256, "{256}" },	 { 511, "{256}" },
		{ 512, "{512}" }, { 1023, "{512}" }, { 1024, "{1024}" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		u64 calls = !BATCH && !MAPPED ? cases[i].len : 1; /* occasions to notify */
		char name[64];

		snprintf(name, sizeof(name), "batch_len_histogram%s", cases[i].bucket);
		ASSERT_EQ(cases[i].len,
			  (u32)publish_numbers(&self->pub, 0, cases[i].len, LEN, cases[i].len));
		if (EDGE) {
			EXPECT_MOVED({ "published_total", cases[i].len },
				     { "addressed_total", cases[i].len },
				     { "notify_suppressed_total", cases[i].len },
				     { "batch_publish_total", BATCH }, { name, BATCH });
		} else {
			EXPECT_MOVED({ "published_total", cases[i].len },
				     { "addressed_total", cases[i].len },
				     { "notify_calls_total", MAPPED },
				     { "notify_sends_total", calls },
				     { "wakes_total{data}", calls },
				     { "notify_suppressed_total", cases[i].len - calls },
				     { "batch_publish_total", BATCH }, { name, BATCH });
		}
	}
}

/* What members count themselves the kernel adds up, each to the counter it belongs to. */
TEST_F(stats, own_pages)
{
	static const struct {
		size_t offset;
		const char *name;
		bool publisher;
	} words[] = {
#define WORD(member, name, publisher) { offsetof(struct ronbus_self, member), name, publisher }
		WORD(delivered, "delivered_total", false),
		WORD(filtered, "filtered_total", false),
		WORD(holes, "holes_total", false),
		WORD(lags, "receiver_lag_total", false),
		WORD(lost, "overflow_dropped_total", false),
		WORD(messages_for[0], "no_receivers_total", true),
		WORD(dropped, "dropped_total", true),
		WORD(interest_skips, "interest_skips_total", true),
		WORD(flushes, "metrics_tls_flush_total", true),
#undef WORD
	};
	size_t i;

	EXPECT_MOVED({ "published_total", 0 });
	for (i = 0; i < ARRAY_SIZE(words); i++) {
		struct ronbus_self *page = words[i].publisher ? self->pub.m.self : self->s.m.self;

		count((__u64 *)(void *)((char *)page + words[i].offset), 1000 + i);
		EXPECT_MOVED({ words[i].name, 1000 + i });
		/* Where it does not belong it does not count. */
		page = words[i].publisher ? self->s.m.self : self->pub.m.self;
		count((__u64 *)(void *)((char *)page + words[i].offset), 5000);
		EXPECT_MOVED({ words[i].name, 0 });
	}
	/* A batch of so many counts as a batch; a message for so many says how it was addressed. */
	for (i = 0; i < RONBUS_BATCH_BUCKETS; i++) {
		char name[32];

		snprintf(name, sizeof(name), "batch_len_histogram{%u}", 1U << i);
		count(&self->pub.m.self->batch_len[i], 100 + i);
		EXPECT_MOVED({ name, 100 + i }, { "batch_publish_total", 100 + i });
	}
	for (i = 2; i <= RONBUS_SUBSCRIBERS_MAX; i++) {
		char name[32];

		snprintf(name, sizeof(name), "ready_mask_width{%u}", 1U << (31 - __builtin_clz(i)));
		count(&self->pub.m.self->messages_for[i], 10);
		/* None of these is for one subscriber. */
		self->last.ready_mask_width[0] -= 10;
		EXPECT_MOVED({ "addressed_total", 10 * i }, { "notify_suppressed_total", 10 * i },
			     { name, 10 }, { "published_total", 10 });
	}
}

/* A member that leaves takes no count with it. */
/**
 * struct counting - what two that count at the same time tell each other
 * @page: the child has its mapping
 * @stop: it is to end
 * @counted: what it counted
 */
struct counting {
	u32 page;
	u32 stop;
	u64 counted;
};

/* A thread that publishes through a mapping counts in the same page as the kernel does. */
static int count_for_ever(int pub, struct counting *shared)
{
	struct ronbus_self *page = fd_map(pub, 4096, PROT_READ | PROT_WRITE, RONBUS_MMAP_SELF);
	u64 n = 0;

	if (page == MAP_FAILED)
		return 1;
	RB_WRITE(&shared->page, 1);
	for (; !RB_READ(&shared->stop); n++)
		__atomic_fetch_add(&page->messages_for[1], 1, __ATOMIC_RELAXED);
	RB_WRITE(&shared->counted, n);
	return 0;
}

TEST_F(stats, two_that_count)
{
	struct counting *shared = shared_memory(sizeof(*shared));
	u64 number = 0, n;
	struct ronbus_vec vec = { .data = (uintptr_t)&number, .len = sizeof(number) };
	struct ronbus_stats stats;
	pid_t pid;

	ASSERT_NE(NULL, shared);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(count_for_ever(self->pub.m.fd, shared));
	ASSERT_TRUE(wait_until(RB_READ(&shared->page)));
	for (n = 0; n < 20000; n++) {
		ASSERT_EQ(1, fd_publish(self->pub.m.fd, 0, &vec, 1, NULL));
	}
	RB_WRITE(&shared->stop, 1);
	ASSERT_EQ(0, child_status(pid));
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(n + shared->counted, stats.counters.published_total);
}

TEST_F(stats, members_that_left)
{
	struct subscriber other;
	struct ronbus_stats stats;
	struct publisher p;
	char buf[256];

	ASSERT_EQ(0, publisher_join(&p, self->bus, variant->publisher));
	ASSERT_EQ(0, subscriber_join(&other, self->bus, RONBUS_START_LATEST, 0));
	ASSERT_EQ(0, fd_nonblock(other.m.fd));
	ASSERT_EQ(0, fd_arm(other.m.fd));
	ASSERT_EQ(SLOTS + 2, (u32)publish_numbers(&p, 0, SLOTS + 2, LEN, 1));
	EXPECT_LT(0, fd_read(other.m.fd, buf, sizeof(buf)));
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	self->last = stats.counters;
	EXPECT_LT(0, stats.counters.delivered_total);
	EXPECT_EQ(2, stats.counters.overflow_dropped_total);
	EXPECT_EQ(2, stats.publishers);
	EXPECT_EQ(3, stats.subscribers);

	subscriber_leave(&other);
	EXPECT_MOVED({ "delivered_total", 0 });
	/* Leaving by the mapping may find somebody asleep: not here. */
	publisher_leave(&p);
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(1, stats.publishers);
	EXPECT_EQ(1, stats.subscribers);
	EXPECT_EQ(self->last.published_total, stats.counters.published_total);
	EXPECT_EQ(self->last.addressed_total, stats.counters.addressed_total);
	EXPECT_EQ(self->last.waits_total, stats.counters.waits_total);
	EXPECT_EQ(self->last.wakes_total[RONBUS_WAKE_DATA],
		  stats.counters.wakes_total[RONBUS_WAKE_DATA]);
	/* The next one in the same place begins at zero. */
	ASSERT_EQ(0, subscriber_join(&other, self->bus, RONBUS_START_LATEST, 0));
	EXPECT_EQ(1, other.index);
	ASSERT_EQ(0, fd_stats(self->bus, 1, &stats));
	EXPECT_EQ(0, stats.counters.delivered_total);
	EXPECT_EQ(0, stats.counters.overflow_dropped_total);
	EXPECT_EQ(0, stats.counters.waits_total);
	EXPECT_EQ(0, stats.counters.wakes_total[RONBUS_WAKE_DATA]);
	subscriber_leave(&other);
}

/* One subscriber's share. */
TEST_F(stats, share)
{
	static struct subscriber more[3];
	struct ronbus_stats stats;
	char buf[1024];
	u32 i;
	int fd;

	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, subscriber_join(&more[i], self->bus, RONBUS_START_LATEST, 0));
		ASSERT_EQ(0, fd_nonblock(more[i].m.fd));
	}
	ASSERT_EQ(0, fd_arm(more[1].m.fd));
	ASSERT_EQ(4, publish_numbers(&self->pub, 0, 4, LEN, 1));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ((i + 1) * (sizeof(struct ronbus_record) + LEN),
			  fd_read(more[i].m.fd, buf,
				  (i + 1) * (sizeof(struct ronbus_record) + LEN)));
	}
	/* Any fd of the bus may ask about anybody. */
	for (i = 0; i < 3; i++) {
		const int fds[] = { self->bus, self->pub.m.fd, self->s.m.fd, more[0].m.fd };
		size_t k;

		for (k = 0; k < ARRAY_SIZE(fds); k++) {
			ASSERT_EQ(0, fd_stats(fds[k], i + 1, &stats));
			EXPECT_EQ(i + 1, stats.which);
			EXPECT_EQ(i + 1, stats.counters.delivered_total);
			EXPECT_EQ(SLOTS + i + 1, stats.cursor);
			EXPECT_EQ(SLOTS, stats.start);
			EXPECT_EQ(SLOTS + 4, stats.tail);
			EXPECT_EQ(0xf, stats.subscribers);
			EXPECT_EQ(SLOTS, stats.capacity);
			EXPECT_EQ(1, stats.publishers);
			EXPECT_EQ(i == 1, stats.counters.waits_total);
			EXPECT_EQ(EDGE ? i == 1 : 4, stats.counters.wakes_total[RONBUS_WAKE_DATA]);
			EXPECT_EQ(stats.counters.wakes_total[RONBUS_WAKE_DATA],
				  stats.counters.notify_sends_total);
			EXPECT_EQ(0, stats.counters.published_total);
			EXPECT_EQ(0, stats.counters.repairs_total);
		}
	}
	for (i = 4; i < 64; i++) {
		EXPECT_EQ(-ENOENT, fd_stats(self->bus, i, &stats));
	}
	EXPECT_EQ(-EINVAL, fd_stats(self->bus, 64, &stats));
	EXPECT_EQ(-EINVAL, fd_stats(self->bus, 65, &stats));
	EXPECT_EQ(-EINVAL, fd_stats(self->bus, 0x80000000, &stats));
	EXPECT_EQ(-EINVAL, fd_stats(self->bus, RONBUS_STATS_BUS - 1, &stats));
	subscriber_leave(&more[1]);
	EXPECT_EQ(-ENOENT, fd_stats(self->bus, 2, &stats));
	/* Of a bus fd that may only publish, or only subscribe, no less. */
	fd = bus_attach(self->control, "stats-test", RONBUS_ACCESS_PUBLISH);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, fd_stats(fd, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(0, fd_stats(fd, 1, &stats));
	close(fd);
	subscriber_leave(&more[0]);
	subscriber_leave(&more[2]);
}

TEST_HARNESS_MAIN
