// SPDX-License-Identifier: GPL-2.0
/*
 * Many processes at once: one order for all of them, and every message whole.
 */
#include "deliver.h"

#define CROWD_SLOTS 64U
#define CROWD_READERS 2
#define CROWD_PUBLISHERS 3
#define CROWD_MESSAGES 6000U /* each publisher */

/* What its processes share. */
struct crowd {
	u32 ready;
	u32 go;
	u32 torn;
	u32 disorder;
	u64 got[CROWD_READERS];
	u64 lost[CROWD_READERS];
	u64 seen[CROWD_READERS][2 * CROWD_PUBLISHERS * CROWD_MESSAGES];
};

FIXTURE(crowd)
{
	int control;
	int bus;
	int publishers;
	struct crowd *shared;
};

FIXTURE_VARIANT(crowd)
{
	struct way way;
	bool kernel; /* readers use read(2) */
};

FIXTURE_VARIANT_ADD(crowd, many_baseline){ { MANY, BASELINE }, false };
FIXTURE_VARIANT_ADD(crowd, many_edge){ { MANY, EDGE }, false };
FIXTURE_VARIANT_ADD(crowd, many_edge_read){ { MANY, EDGE }, true };
FIXTURE_VARIANT_ADD(crowd, exclusive_baseline){ { EXCLUSIVE, BASELINE }, false };
FIXTURE_VARIANT_ADD(crowd, exclusive_edge){ { EXCLUSIVE, EDGE }, false };
FIXTURE_VARIANT_ADD(crowd, syscall_baseline){ { SYSCALL, BASELINE }, true };
FIXTURE_VARIANT_ADD(crowd, syscall_edge){ { SYSCALL, EDGE }, false };

FIXTURE_SETUP(crowd)
{
	self->control = OPEN_CONTROL();
	self->shared = shared_memory(sizeof(*self->shared));
	ASSERT_NE(NULL, self->shared);
	self->publishers = variant->way.bus_flags & RONBUS_BUS_EXCLUSIVE ? 1 : CROWD_PUBLISHERS;
	self->bus =
		bus_create(self->control, (struct ronbus_create){ .flags = variant->way.bus_flags,
								  .features = variant->way.features,
								  .capacity = CROWD_SLOTS,
								  .payload = LEN });
	ASSERT_LE(0, self->bus);
}

FIXTURE_TEARDOWN(crowd)
{
	close(self->bus);
	close(self->control);
}

static void crowd_start(struct crowd *c)
{
	__atomic_fetch_add(&c->ready, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&c->go, __ATOMIC_SEQ_CST))
		nap();
}

/* The number of a message: its publisher in the upper half, a count in the lower. */
static int crowd_publish(struct crowd *c, int bus, u32 flags, u64 mine)
{
	struct publisher p;
	u64 i;

	if (publisher_join(&p, bus, flags))
		return 1;
	crowd_start(c);
	for (i = 0; i < CROWD_MESSAGES; i++) {
		if (publish_number(&p, mine << 32 | i) != 1)
			return 2;
		/* Let the readers keep up for the most part, but not always. */
		if (i % 32 == mine && i % 256 < 192)
			nap();
	}
	publisher_leave(&p);
	return 0;
}

static int crowd_read(struct crowd *c, int bus, int mine, bool kernel)
{
	u64 next[CROWD_PUBLISHERS] = { 0 }, position = 0;
	struct subscriber s;
	struct message msg;
	int ret;

	if (subscriber_join(&s, bus, RONBUS_START_LATEST, 0))
		return 1;
	crowd_start(c);
	for (;;) {
		u64 number, publisher, i;

		ret = kernel ? subscriber_read_kernel(&s, &msg) : subscriber_read(&s, &msg);
		if (ret == -EAGAIN && !kernel)
			ret = fd_wait(s.m.fd, RONBUS_WAIT_FOREVER);
		else if (ret != 1)
			break;
		else
			goto got;
		if (ret)
			break;
		continue;
got:
		number = message_number(msg.data);
		publisher = number >> 32;
		i = number & 0xffffffff;
		if (publisher >= CROWD_PUBLISHERS || !message_whole(msg.data, msg.len, number)) {
			c->torn++;
			continue;
		}
		/* One total order, and everybody's messages in theirs. */
		if (i < next[publisher] || msg.position <= position)
			c->disorder++;
		next[publisher] = i + 1;
		position = msg.position;
		c->got[mine]++;
		c->lost[mine] += msg.lost;
		if (position - CROWD_SLOTS < ARRAY_SIZE(c->seen[0]))
			c->seen[mine][position - CROWD_SLOTS] = number + 1;
	}
	if (ret)
		return 2;
	if (!subscriber_identity(&s))
		return 3;
	if (c->got[mine] != s.m.self->delivered || c->lost[mine] > s.m.self->lost)
		return 4;
	subscriber_leave(&s);
	return 0;
}

TEST_F(crowd, one_order_for_all)
{
	pid_t pids[CROWD_READERS + CROWD_PUBLISHERS];
	int i, n = CROWD_READERS + self->publishers;
	struct crowd *c = self->shared;
	struct ronbus_stats stats;
	u64 total = (u64)self->publishers * CROWD_MESSAGES;
	int keep;

	/* Publishers come and go at different times; one that does nothing keeps the bus. */
	keep = variant->way.bus_flags & RONBUS_BUS_EXCLUSIVE ? -1
							     : fd_publisher(self->bus, 0, NULL);
	for (i = 0; i < n; i++) {
		pids[i] = fork();
		ASSERT_LE(0, pids[i]);
		if (!pids[i]) {
			if (keep >= 0)
				close(keep);
			_exit(i < CROWD_READERS
				      ? crowd_read(c, self->bus, i, variant->kernel)
				      : crowd_publish(c, self->bus, variant->way.publisher_flags,
						      (u64)i - CROWD_READERS));
		}
	}
	ASSERT_TRUE(wait_until(__atomic_load_n(&c->ready, __ATOMIC_SEQ_CST) == (u32)n));
	__atomic_store_n(&c->go, 1, __ATOMIC_SEQ_CST);
	for (i = CROWD_READERS; i < n; i++) {
		EXPECT_EQ(0, child_status(pids[i]));
	}
	if (keep >= 0)
		close(keep);
	for (i = 0; i < CROWD_READERS; i++) {
		EXPECT_EQ(0, child_status(pids[i]));
	}

	EXPECT_EQ(0, c->torn);
	EXPECT_EQ(0, c->disorder);
	for (i = 0; i < (int)ARRAY_SIZE(c->seen[0]); i++) {
		/* Two that saw the same position saw the same message. */
		if (c->seen[0][i] && c->seen[1][i]) {
			ASSERT_EQ(c->seen[0][i], c->seen[1][i]);
		}
	}
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_LE(CROWD_SLOTS + total, stats.tail);
	EXPECT_EQ(total, stats.counters.published_total);
	EXPECT_EQ(CROWD_READERS * total, stats.counters.addressed_total);
	EXPECT_EQ(CROWD_READERS * (stats.tail - CROWD_SLOTS),
		  stats.counters.delivered_total + stats.counters.overflow_dropped_total +
			  stats.counters.holes_total);
	EXPECT_EQ(c->got[0] + c->got[1], stats.counters.delivered_total);
	EXPECT_LT(0, c->got[0]);
	EXPECT_LT(0, c->got[1]);
	TH_LOG("read %llu and %llu of %llu", (unsigned long long)c->got[0],
	       (unsigned long long)c->got[1], (unsigned long long)total);
}

TEST_HARNESS_MAIN
