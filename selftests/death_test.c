// SPDX-License-Identifier: GPL-2.0
/*
 * Publishers that die, or stop, at the worst moment: nobody else is held up, and nothing is left
 * over. kill_test does the moments that have no name.
 */
#include "death.h"

/* ---- one publisher, at each step -------------------------------------------------------- */

#define BEFORE 5U /* messages that go well */

/* What the victim and the test share. */
struct shared {
	int go;
	int result;
	u32 id;
};

FIXTURE(step)
{
	int control;
	int bus;
	struct reader_log *log;
	pid_t reader;
	pid_t victim;
	struct shared *shared;
};

FIXTURE_VARIANT(step)
{
	u32 bus_flags;
	u64 features;
	int step;
};

#define STEPS(name, flags, features)                                                       \
	FIXTURE_VARIANT_ADD(step, name##_owned){ flags, features, RONBUS_STEP_OWNED };     \
	FIXTURE_VARIANT_ADD(step, name##_writing){ flags, features, RONBUS_STEP_WRITING }; \
	FIXTURE_VARIANT_ADD(step, name##_written){ flags, features, RONBUS_STEP_WRITTEN }; \
	FIXTURE_VARIANT_ADD(step, name##_notifying){ flags, features, RONBUS_STEP_NOTIFYING };

/* An exclusive publisher does not claim; without EDGE_NOTIFY there is nothing after the commit. */
STEPS(many_edge, 0, RONBUS_F_EDGE_NOTIFY)
FIXTURE_VARIANT_ADD(step, many_edge_claimed){ 0, RONBUS_F_EDGE_NOTIFY, RONBUS_STEP_CLAIMED };
FIXTURE_VARIANT_ADD(step, many_edge_committed){ 0, RONBUS_F_EDGE_NOTIFY, RONBUS_STEP_COMMITTED };
STEPS(many_baseline, 0, 0)
FIXTURE_VARIANT_ADD(step, many_baseline_claimed){ 0, 0, RONBUS_STEP_CLAIMED };
STEPS(exclusive_edge, RONBUS_BUS_EXCLUSIVE, RONBUS_F_EDGE_NOTIFY)
FIXTURE_VARIANT_ADD(step, exclusive_edge_committed){ RONBUS_BUS_EXCLUSIVE, RONBUS_F_EDGE_NOTIFY,
						     RONBUS_STEP_COMMITTED };
STEPS(exclusive_baseline, RONBUS_BUS_EXCLUSIVE, 0)

static bool reader_armed(int bus, struct reader_log *log)
{
	struct ronbus_stats stats;

	return !fd_stats(bus, RONBUS_STATS_BUS, &stats) && stats.armed >> log->index & 1;
}

/* The reader has had @n messages, and sleeps. */
static bool reader_idle(int bus, struct reader_log *log, u64 n)
{
	return reader_count(log) == n && reader_armed(bus, log);
}

static int victim_main(int bus, struct shared *shared, int step)
{
	struct publisher p;
	u64 i;

	if (publisher_join(&p, bus, RONBUS_PUBLISHER_MAPPED))
		return 1;
	shared->id = p.id;
	for (i = 0; i < BEFORE; i++)
		if (publish_number(&p, i) != 1)
			return 2;
	while (!__atomic_load_n(&shared->go, __ATOMIC_SEQ_CST))
		nap();
	stop_at = step;
	shared->result = publish_number(&p, BEFORE);
	publisher_leave(&p);
	return 0;
}

FIXTURE_SETUP(step)
{
	int status;

	self->control = OPEN_CONTROL();
	self->log = shared_memory(sizeof(*self->log));
	self->shared = shared_memory(sizeof(*self->shared));
	ASSERT_NE(NULL, self->log);
	ASSERT_NE(NULL, self->shared);
	self->bus =
		bus_create(self->control, (struct ronbus_create){ .flags = variant->bus_flags |
									   RONBUS_BUS_PERSISTENT,
								  .features = variant->features,
								  .capacity = SLOTS,
								  .payload = LEN });
	ASSERT_LE(0, self->bus);
	self->reader = reader_start(self->bus, self->log, false);
	ASSERT_LT(0, self->reader);

	self->victim = fork();
	ASSERT_LE(0, self->victim);
	if (!self->victim)
		_exit(victim_main(self->bus, self->shared, variant->step));
	ASSERT_TRUE(wait_until(reader_idle(self->bus, self->log, BEFORE)));
	__atomic_store_n(&self->shared->go, 1, __ATOMIC_SEQ_CST);
	ASSERT_EQ(self->victim, waitpid(self->victim, &status, WUNTRACED));
	ASSERT_TRUE(WIFSTOPPED(status));
	ASSERT_EQ(SIGSTOP, WSTOPSIG(status));
}

FIXTURE_TEARDOWN(step)
{
	kill(self->victim, SIGKILL);
	kill(self->reader, SIGKILL);
	close(self->bus);
	close(self->control);
}

static bool step_committed(int step)
{
	return step == RONBUS_STEP_COMMITTED || step == RONBUS_STEP_NOTIFYING;
}

/* The bus ends, and with it the reader, which reports no error. */
#define EXPECT_READER_CONTENT()                           \
	do {                                              \
		EXPECT_EQ(0, bus_seal(self->bus));        \
		EXPECT_EQ(0, child_status(self->reader)); \
		EXPECT_EQ(0, self->log->bad);             \
	} while (0)

TEST_F(step, killed)
{
	bool committed = step_committed(variant->step);
	struct ronbus_stats before, after;
	struct publisher next;
	u64 i;

	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &before));
	EXPECT_EQ(1, before.publishers);
	EXPECT_EQ(0, before.counters.repairs_total);
	EXPECT_EQ(BEFORE, reader_count(self->log));
	EXPECT_EQ(1ULL << self->log->index, before.armed);

	ASSERT_EQ(0, kill(self->victim, SIGKILL));
	EXPECT_EQ(-SIGKILL, child_status(self->victim));

	/* What it held is a hole by now; sleepers have been woken. */
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &after));
	EXPECT_EQ(0, after.publishers);
	EXPECT_EQ(committed ? 0 : 1, after.counters.repairs_total);
	EXPECT_EQ(before.counters.wakes_total[RONBUS_WAKE_REPAIR] + 1,
		  after.counters.wakes_total[RONBUS_WAKE_REPAIR]);

	/* The reader needs nobody to publish in order to get on. */
	ASSERT_TRUE(wait_until(reader_idle(self->bus, self->log, BEFORE + committed)));
	ASSERT_TRUE(wait_until(!fd_stats(self->bus, self->log->index, &after) &&
			       after.cursor == SLOTS + BEFORE + 1));
	EXPECT_EQ(committed ? 0 : 1, after.counters.holes_total);
	EXPECT_EQ(BEFORE + committed, after.counters.delivered_total);
	EXPECT_EQ(0, after.counters.receiver_lag_total);

	/* The next one gets its number, and goes on after it: more than a lap. */
	ASSERT_EQ(0, publisher_join(&next, self->bus, RONBUS_PUBLISHER_MAPPED));
	EXPECT_EQ(self->shared->id, next.id);
	for (i = 0; i < 3 * SLOTS; i++) {
		ASSERT_EQ(1, publish_number(&next, 100 + i));
		ASSERT_TRUE(wait_until(reader_count(self->log) == BEFORE + committed + i + 1));
	}
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &after));
	EXPECT_EQ(SLOTS + BEFORE + 1 + 3 * SLOTS, after.tail);
	EXPECT_EQ(0, after.counters.dropped_total);
	EXPECT_EQ(committed ? 0 : 1, after.counters.repairs_total);
	publisher_leave(&next);
	EXPECT_READER_CONTENT();
	EXPECT_EQ(committed, reader_saw(self->log, BEFORE));
}

/* By system call one goes on just as well. */
TEST_F(step, killed_and_followed_by_syscall)
{
	bool committed = step_committed(variant->step);
	struct publisher next;
	u64 i;

	ASSERT_EQ(0, kill(self->victim, SIGKILL));
	EXPECT_EQ(-SIGKILL, child_status(self->victim));
	ASSERT_EQ(0, publisher_join(&next, self->bus, 0));
	for (i = 0; i < 3 * SLOTS; i++) {
		ASSERT_EQ(1, publish_number(&next, 100 + i));
		ASSERT_TRUE(wait_until(reader_count(self->log) == BEFORE + committed + i + 1));
	}
	publisher_leave(&next);
	EXPECT_READER_CONTENT();
	EXPECT_EQ(committed, reader_saw(self->log, BEFORE));
}

/* It never was dead, only slow: for a while, or for more than a lap of others' messages. */
TEST_F(step, stopped)
{
	bool exclusive = variant->bus_flags & RONBUS_BUS_EXCLUSIVE;
	bool committed = step_committed(variant->step);
	struct ronbus_stats stats;
	struct publisher other;
	u64 i, n = 0;

	if (!exclusive) {
		ASSERT_EQ(0, publisher_join(&other, self->bus, RONBUS_PUBLISHER_MAPPED));
		for (i = 0; i < 3 * SLOTS; i++) {
			/* Publishing goes on, whatever is held. */
			ASSERT_EQ(1, publish_number(&other, 100 + i));
			if (committed) {
				ASSERT_TRUE(wait_until(reader_count(self->log) == BEFORE + 2 + i));
			}
		}
		/* So does the reader, which has given the position up. */
		ASSERT_TRUE(wait_until(reader_saw(self->log, 100 + 3 * SLOTS - 1) == 1));
		ASSERT_TRUE(wait_until(reader_armed(self->bus, self->log)));
		n = 3 * SLOTS;
		ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
		EXPECT_EQ(0, stats.counters.dropped_total);
		/* Nobody waited for it, so it may have been overtaken more than once. */
		if (committed) {
			EXPECT_EQ(0, stats.counters.receiver_lag_total);
		} else {
			EXPECT_LE(1, stats.counters.receiver_lag_total);
		}
		EXPECT_EQ(0, stats.counters.repairs_total);
	}

	ASSERT_EQ(0, kill(self->victim, SIGCONT));
	EXPECT_EQ(0, child_status(self->victim));
	EXPECT_EQ(1, self->shared->result);
	if (exclusive || committed || variant->step == RONBUS_STEP_CLAIMED) {
		/* In time, or it saw that it was not and took another position. */
		ASSERT_TRUE(wait_until(reader_saw(self->log, BEFORE) == 1));
	}
	if (!exclusive) {
		for (i = 0; i < 3 * SLOTS; i++) {
			ASSERT_EQ(1, publish_number(&other, 200 + i));
			ASSERT_TRUE(wait_until(reader_saw(self->log, 200 + i) == 1));
		}
		publisher_leave(&other);
	}
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(BEFORE + 1 + 2 * n, stats.counters.published_total);
	EXPECT_EQ(0, stats.counters.repairs_total);
	EXPECT_READER_CONTENT();
	EXPECT_GE(1, reader_saw(self->log, BEFORE));
	/* Overtaken while it wrote: nobody saw that, and nobody sees it later. */
	if (!exclusive && !committed && variant->step != RONBUS_STEP_CLAIMED) {
		EXPECT_EQ(0, reader_saw(self->log, BEFORE));
	}
}

/* Stopped, overtaken, and then killed. */
TEST_F(step, stopped_and_killed)
{
	bool committed = step_committed(variant->step);
	struct ronbus_stats stats;
	struct publisher other;
	u64 i;

	if (variant->bus_flags & RONBUS_BUS_EXCLUSIVE) {
		/* Its place is taken for as long as it lives. */
		EXPECT_EQ(-EBUSY, fd_publisher(self->bus, 0, NULL));
		ASSERT_EQ(0, kill(self->victim, SIGKILL));
		EXPECT_EQ(-SIGKILL, child_status(self->victim));
		ASSERT_EQ(0, publisher_join(&other, self->bus, RONBUS_PUBLISHER_MAPPED));
	} else {
		ASSERT_EQ(0, publisher_join(&other, self->bus, RONBUS_PUBLISHER_MAPPED));
		for (i = 0; i < 3 * SLOTS; i++) {
			ASSERT_EQ(1, publish_number(&other, 100 + i));
		}
		ASSERT_EQ(0, kill(self->victim, SIGKILL));
		EXPECT_EQ(-SIGKILL, child_status(self->victim));
	}
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(committed ? 0 : 1, stats.counters.repairs_total);
	for (i = 0; i < 3 * SLOTS; i++) {
		ASSERT_EQ(1, publish_number(&other, 200 + i));
		ASSERT_TRUE(wait_until(reader_saw(self->log, 200 + i) == 1));
	}
	publisher_leave(&other);
	EXPECT_READER_CONTENT();
}

/* ---- in the middle of a batch ----------------------------------------------------------- */

#define BATCH 5

FIXTURE(batch)
{
	int control;
	int bus;
	struct subscriber s;
	u64 next; /* number of the next message */
};

FIXTURE_VARIANT(batch)
{
	u32 bus_flags;
	u64 features;
};

FIXTURE_VARIANT_ADD(batch, many_edge){ 0, RONBUS_F_EDGE_NOTIFY };
FIXTURE_VARIANT_ADD(batch, many_batch){ 0, RONBUS_F_EDGE_NOTIFY | RONBUS_F_BATCH };
FIXTURE_VARIANT_ADD(batch, many_baseline){ 0, 0 };
FIXTURE_VARIANT_ADD(batch, exclusive_edge){ RONBUS_BUS_EXCLUSIVE, RONBUS_F_EDGE_NOTIFY };
FIXTURE_VARIANT_ADD(batch, exclusive_batch){ RONBUS_BUS_EXCLUSIVE,
					     RONBUS_F_EDGE_NOTIFY | RONBUS_F_BATCH };
FIXTURE_VARIANT_ADD(batch, exclusive_baseline){ RONBUS_BUS_EXCLUSIVE, 0 };

FIXTURE_SETUP(batch)
{
	self->control = OPEN_CONTROL();
	self->bus =
		bus_create(self->control, (struct ronbus_create){ .flags = variant->bus_flags |
									   RONBUS_BUS_PERSISTENT,
								  .features = variant->features,
								  .capacity = SLOTS,
								  .payload = LEN });
	ASSERT_LE(0, self->bus);
	ASSERT_EQ(0, subscriber_join(&self->s, self->bus, RONBUS_START_LATEST, 0));
}

FIXTURE_TEARDOWN(batch)
{
	subscriber_leave(&self->s);
	close(self->bus);
	close(self->control);
}

/* At which messages of a batch a step is passed: all, the last, or none. */
static int step_first(const FIXTURE_VARIANT(batch) * variant, int step)
{
	bool edge = variant->features & RONBUS_F_EDGE_NOTIFY;

	if (step_committed(step))
		return step == RONBUS_STEP_COMMITTED && !edge ? BATCH : BATCH - 1;
	return step == RONBUS_STEP_CLAIMED && variant->bus_flags & RONBUS_BUS_EXCLUSIVE ? BATCH : 0;
}

/* A publisher of a batch that has stopped at @step of its message @at; < 0 if it did not. */
static pid_t stop_in_batch(int bus, int step, int at, u64 first)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		struct publisher p;

		if (publisher_join(&p, bus, RONBUS_PUBLISHER_MAPPED))
			_exit(77);
		stop_countdown = step_committed(step) ? 0 : at;
		stop_at = step;
		_exit(publish_numbers(&p, first, BATCH, LEN, BATCH) == BATCH ? 0 : 78);
	}
	if (pid > 0 && (waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status)))
		return -1;
	return pid;
}

/* What is committed is there, the rest is not, and the next lap has no gap. */
TEST_F(batch, killed)
{
	struct ronbus_stats stats;
	u64 holes = 0, i;
	int step, at;

	for (step = RONBUS_STEP_CLAIMED; step <= RONBUS_STEP_NOTIFYING; step++) {
		bool committed = step_committed(step);

		for (at = step_first(variant, step); at < BATCH; at++) {
			struct publisher next;
			struct message msg;
			pid_t pid;

			ASSERT_EQ(0, fd_arm(self->s.m.fd));
			pid = stop_in_batch(self->bus, step, at, self->next);
			ASSERT_LT(0, pid) TH_LOG("step %d of message %d", step, at);
			ASSERT_EQ(0, kill(pid, SIGKILL));
			EXPECT_EQ(-SIGKILL, child_status(pid));
			EXPECT_FALSE(subscriber_armed(&self->s));
			for (i = 0; i < (u64)at + committed; i++) {
				ASSERT_EQ(1, subscriber_read(&self->s, &msg));
				ASSERT_TRUE(message_whole(msg.data, msg.len, self->next + i));
			}
			EXPECT_EQ(-EAGAIN, subscriber_read(&self->s, &msg));
			holes += !committed;
			EXPECT_EQ(holes, self->s.m.self->holes);
			self->next += BATCH;

			ASSERT_EQ(0, publisher_join(&next, self->bus, RONBUS_PUBLISHER_MAPPED));
			for (i = 0; i < SLOTS + 1; i++) {
				ASSERT_EQ(1, publish_number(&next, self->next));
				ASSERT_EQ(1, subscriber_read(&self->s, &msg));
				ASSERT_TRUE(message_whole(msg.data, msg.len, self->next++));
			}
			publisher_leave(&next);
		}
	}
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(holes, stats.counters.repairs_total);
	EXPECT_EQ(0, self->s.m.self->lost);
	EXPECT_TRUE(subscriber_identity(&self->s));
}

/* Messages of @from and on that can be read now. */
static int drain_batch(struct subscriber *s, u64 from, u64 *last)
{
	struct message msg;
	int n = 0;

	while (subscriber_read(s, &msg) == 1) {
		*last = message_number(msg.data);
		n += *last >= from && *last < from + BATCH;
	}
	return n;
}

/* Stopped for more than a lap of others' messages: they go on, and it goes on after them. */
TEST_F(batch, stopped)
{
	bool exclusive = variant->bus_flags & RONBUS_BUS_EXCLUSIVE;
	struct ronbus_stats stats;
	u64 last = 0, i;
	int step, at;

	for (step = RONBUS_STEP_CLAIMED; step <= RONBUS_STEP_NOTIFYING; step++) {
		bool committed = step_committed(step);

		for (at = step_first(variant, step); at < BATCH; at++) {
			u64 first = self->next, others = first + BATCH;
			struct publisher other;
			int seen, want;
			pid_t pid;

			ASSERT_EQ(0, fd_arm(self->s.m.fd));
			pid = stop_in_batch(self->bus, step, at, first);
			ASSERT_LT(0, pid) TH_LOG("step %d of message %d", step, at);
			seen = drain_batch(&self->s, first, &last);
			EXPECT_EQ(at + committed, seen);
			if (!exclusive) {
				ASSERT_EQ(0, publisher_join(&other, self->bus,
							    RONBUS_PUBLISHER_MAPPED));
				for (i = 0; i < 3 * SLOTS; i++) {
					ASSERT_EQ(1, publish_number(&other, others + i));
				}
				EXPECT_EQ(0, drain_batch(&self->s, first, &last));
				EXPECT_EQ(others + 3 * SLOTS - 1, last);
			}
			ASSERT_EQ(0, kill(pid, SIGCONT));
			EXPECT_EQ(0, child_status(pid));
			seen += drain_batch(&self->s, first, &last);
			/* What it was writing came too late, unless it saw that in time. */
			want = exclusive || committed || step == RONBUS_STEP_CLAIMED ? BATCH
										     : BATCH - 1;
			EXPECT_EQ(want, seen) TH_LOG("step %d of message %d", step, at);
			self->next = others + 3 * SLOTS;
			if (exclusive)
				continue;
			for (i = 0; i < 2 * SLOTS; i++) {
				ASSERT_EQ(1, publish_number(&other, self->next));
				drain_batch(&self->s, first, &last);
				ASSERT_EQ(self->next++, last);
			}
			publisher_leave(&other);
		}
	}
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(0, stats.counters.repairs_total);
	EXPECT_EQ(0, stats.counters.dropped_total);
	EXPECT_TRUE(subscriber_identity(&self->s));
}

TEST_HARNESS_MAIN
