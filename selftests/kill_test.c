// SPDX-License-Identifier: GPL-2.0
/*
 * Killed at any instruction: publishers and subscribers that are stepped to each instruction of
 * their work and killed there; and many of them, killed at random under load. death_test does the
 * named steps of the protocol, and looks closer at each.
 *
 * RONBUS_SECONDS makes the part under load run so long; RONBUS_SEED repeats its decisions.
 */
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/ptrace.h>

#include "kill.h"

#define BATCH_LEN 3U

/* ---- at every instruction --------------------------------------------------------------- */

/* What the victim and the test share. */
struct shared {
	u64 done; /* how much of its work */
	u32 id;
};

FIXTURE(instruction)
{
	int control;
	int bus;
	struct shared *shared;
	struct subscriber s;
	int event;
	u64 next; /* number of the next message */
	u64 random;
};

FIXTURE_VARIANT(instruction)
{
	u32 bus_flags;
	u64 features;
	u32 batch;
	unsigned int stride; /* up to so many instructions to the next death; 1 with RONBUS_SECONDS */
};

#define BATCHED (RONBUS_F_EDGE_NOTIFY | RONBUS_F_BATCH)
FIXTURE_VARIANT_ADD(instruction, many_edge){ 0, RONBUS_F_EDGE_NOTIFY, 1, 20 };
FIXTURE_VARIANT_ADD(instruction, many_baseline){ 0, 0, 1, 40 };
FIXTURE_VARIANT_ADD(instruction, many_batch){ 0, BATCHED, BATCH_LEN, 80 };
FIXTURE_VARIANT_ADD(instruction, exclusive_edge){ RONBUS_BUS_EXCLUSIVE, RONBUS_F_EDGE_NOTIFY, 1,
						  15 };
FIXTURE_VARIANT_ADD(instruction, exclusive_baseline){ RONBUS_BUS_EXCLUSIVE, 0, 1, 30 };
FIXTURE_VARIANT_ADD(instruction, exclusive_batch){ RONBUS_BUS_EXCLUSIVE, BATCHED, BATCH_LEN, 60 };

FIXTURE_SETUP(instruction)
{
	cpu_set_t cpu;

	self->control = OPEN_CONTROL();
	self->shared = shared_memory(sizeof(*self->shared));
	ASSERT_NE(NULL, self->shared);
	self->random = random_seed();
	/* A step is a word between two processes: it is quicker said on one CPU. */
	CPU_ZERO(&cpu);
	CPU_SET((size_t)sched_getcpu(), &cpu);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(cpu), &cpu));
	self->bus =
		bus_create(self->control, (struct ronbus_create){ .flags = variant->bus_flags |
									   RONBUS_BUS_PERSISTENT,
								  .features = variant->features,
								  .capacity = SLOTS,
								  .payload = LEN });
	ASSERT_LE(0, self->bus);
	ASSERT_EQ(0, subscriber_join(&self->s, self->bus, RONBUS_START_LATEST, 0));
	self->event = eventfd(0, EFD_NONBLOCK);
	ASSERT_LE(0, self->event);
	ASSERT_EQ(0, fd_set_eventfd(self->s.m.fd, self->event));
}

FIXTURE_TEARDOWN(instruction)
{
	if (_metadata->exit_code == KSFT_FAIL)
		TH_LOG("to repeat it: RONBUS_SEED=%llu", (unsigned long long)self->random);
	subscriber_leave(&self->s);
	close(self->event);
	close(self->bus);
	close(self->control);
}

static void publish_traced(int bus, struct shared *shared, u64 first, u32 batch)
{
	unsigned char data[BATCH_LEN][LEN];
	struct ronbus_vec vec[BATCH_LEN] = { 0 };
	struct publisher p;
	u32 i;

	for (i = 0; i < batch; i++) {
		message_fill(data[i], LEN, first + i);
		vec[i].data = (uintptr_t)data[i];
		vec[i].len = LEN;
	}
	if (publisher_join(&p, bus, RONBUS_PUBLISHER_MAPPED))
		_exit(77);
	shared->id = p.id;
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	syscall(SYS_kill, getpid(), SIGSTOP);
	if (publisher_send(&p, 0, vec, batch) != (int)batch)
		_exit(78);
	__atomic_store_n(&shared->done, 1, __ATOMIC_SEQ_CST);
	for (;;)
		pause();
}

/* Read a message there is, arm, and look: what one that keeps up does for ever. */
static void subscribe_traced(int bus, struct shared *shared)
{
	struct message msg;
	struct subscriber s;

	if (subscriber_join(&s, bus, RONBUS_START_OLDEST, 0))
		_exit(77);
	shared->id = s.index;
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	syscall(SYS_kill, getpid(), SIGSTOP);
	while (subscriber_read(&s, &msg) == 1)
		;
	if (fd_arm(s.m.fd))
		_exit(78);
	__atomic_store_n(&shared->done, 1, __ATOMIC_SEQ_CST);
	for (;;)
		pause();
}

/* Let the child, which has stopped, do @steps instructions; false if it was done before. */
static bool step(pid_t pid, struct shared *shared, unsigned int steps)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return false;
	while (steps--) {
		if (RB_READ(&shared->done))
			return false;
		if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) || waitpid(pid, &status, 0) != pid ||
		    !WIFSTOPPED(status))
			return false;
	}
	return true;
}

/* The steps of the next death: one stride further, or a little less. */
static unsigned int stride(u64 *random, unsigned int most)
{
	if (getenv("RONBUS_SECONDS"))
		return 1;
	*random = random_next(*random);
	return 1 + (unsigned int)(*random >> 33) % most;
}

/*
 * Whatever the dead one had done: sleepers with something to read are awake, the messages that were
 * committed are there, in order and whole, and the next lap has no gap.
 */
TEST_F_TIMEOUT(instruction, publisher, 600)
{
	unsigned int steps = 0, deaths = 0, repairs = 0, survived = 0, i;
	bool alive = true;

	while (alive) {
		struct ronbus_stats before, after;
		struct publisher next;
		struct message msg;
		union ronbus_found found;
		u64 woken;
		pid_t pid;

		ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &before));
		self->shared->done = 0;
		ASSERT_EQ(0, fd_arm(self->s.m.fd));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid)
			publish_traced(self->bus, self->shared, self->next, variant->batch);
		alive = step(pid, self->shared, steps);
		ASSERT_TRUE(alive || self->shared->done);
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(-SIGKILL, child_status(pid));
		deaths++;

		ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &after));
		EXPECT_EQ(0, after.publishers);
		ASSERT_GE(1, after.counters.repairs_total - before.counters.repairs_total);
		repairs += after.counters.repairs_total - before.counters.repairs_total;
		EXPECT_TRUE(nothing_held(&self->s.m.ring)) TH_LOG("after %u instructions", steps);
		if (ronbus_ring_look(&self->s.m.ring, subscriber_cursor(&self->s), &found) !=
		    RONBUS_LOOK_EMPTY) {
			EXPECT_FALSE(subscriber_armed(&self->s))
			TH_LOG("asleep after %u instructions", steps);
			EXPECT_EQ(8, read(self->event, &woken, 8));
		}
		for (i = 0; subscriber_read(&self->s, &msg) == 1; i++) {
			ASSERT_TRUE(message_whole(msg.data, msg.len, self->next + i))
			TH_LOG("after %u instructions", steps);
		}
		ASSERT_GE(variant->batch, i);
		survived += i;

		/* The next one takes its place, in turns by mapping and by system call. */
		ASSERT_EQ(0, publisher_join(&next, self->bus,
					    deaths % 2 ? RONBUS_PUBLISHER_MAPPED : 0));
		if (next.id) {
			EXPECT_EQ(self->shared->id, next.id);
		}
		self->next += variant->batch;
		for (i = 0; i < SLOTS; i++) {
			ASSERT_EQ(1, publish_number(&next, self->next));
			ASSERT_EQ(1, subscriber_read(&self->s, &msg))
			TH_LOG("no message after %u instructions", steps);
			ASSERT_TRUE(message_whole(msg.data, msg.len, self->next++));
			ASSERT_EQ(0, msg.lost);
		}
		publisher_leave(&next);
		ASSERT_TRUE(subscriber_identity(&self->s));
		steps += stride(&self->random, variant->stride);
	}
	/* It was hit before, between, and after. */
	EXPECT_LT(0, repairs);
	EXPECT_LE(variant->batch, survived);
	EXPECT_GT(deaths * variant->batch, survived);
	EXPECT_EQ(repairs, self->s.m.self->holes);
	TH_LOG("%u deaths in %u instructions, %u slots repaired, %u of %u messages survived",
	       deaths, steps, repairs, survived, deaths * variant->batch);
}

/* A subscriber that dies leaves its place and its bit, and is missed by nobody. */
TEST_F_TIMEOUT(instruction, subscriber, 600)
{
	unsigned int steps = 0, deaths = 0, i;
	struct publisher p;
	struct message msg;
	bool alive = true;

	ASSERT_EQ(0, publisher_join(&p, self->bus, RONBUS_PUBLISHER_MAPPED));
	for (i = 0; i < BATCH_LEN; i++) {
		ASSERT_EQ(1, publish_number(&p, self->next++));
		ASSERT_EQ(1, subscriber_read(&self->s, &msg));
	}
	while (alive) {
		struct ronbus_info info;
		pid_t pid;

		self->shared->done = 0;
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid)
			subscribe_traced(self->bus, self->shared);
		alive = step(pid, self->shared, steps);
		ASSERT_TRUE(alive || self->shared->done);
		EXPECT_EQ(1, self->shared->id);
		EXPECT_EQ(self->shared->done ? 2 : 0,
			  self->shared->done ? RB_READ(&self->s.m.page->armed) : 0);
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(-SIGKILL, child_status(pid));
		deaths++;
		EXPECT_EQ(0, RB_READ(&self->s.m.page->armed));
		EXPECT_EQ(1, RB_READ(&self->s.m.page->audience[0]));
		ASSERT_EQ(0, fd_info(self->bus, &info));
		EXPECT_EQ(1, info.subscribers);
		ASSERT_EQ(1, publish_number(&p, self->next));
		ASSERT_EQ(1, subscriber_read(&self->s, &msg));
		ASSERT_TRUE(message_whole(msg.data, msg.len, self->next++));
		ASSERT_EQ(0, msg.lost);
		steps += stride(&self->random, 4 * variant->stride);
	}
	EXPECT_EQ(self->next, self->s.m.self->delivered);
	EXPECT_TRUE(subscriber_identity(&self->s));
	publisher_leave(&p);
	TH_LOG("%u deaths in %u instructions", deaths, steps);
}

/* ---- under load ------------------------------------------------------------------------- */

#define STORM_SLOTS 64U
#define LIVES 64

enum kind {
	MAPPED,
	BATCHES,
	SYSCALLS,
	READER, /* reads the ring, sleeps in poll(2) */
	KERNEL_READER, /* read(2) */
	GUEST, /* joins, sleeps a moment, leaves */
	KINDS
};

#define PUBLISHER_KINDS READER

/**
 * struct survivor - a subscriber that lives through it all, shared with the test
 * @index: which one it is
 * @joined: it has joined
 * @delivered: messages it had
 * @bad: those that were torn, or not in the order of positions and of their publisher
 */
struct survivor {
	u32 index;
	u32 joined;
	u64 delivered;
	u64 bad;
};

FIXTURE(storm)
{
	int control;
	int bus;
	u64 seed;
	u64 random;
	u64 lives;
	struct survivor *survivors;
	pid_t surviving[2];
	pid_t victims[KINDS];
	u64 deaths[KINDS];
};

FIXTURE_VARIANT(storm)
{
	u32 bus_flags;
	u64 features;
};

FIXTURE_VARIANT_ADD(storm, many_edge){ 0, RONBUS_F_EDGE_NOTIFY };
FIXTURE_VARIANT_ADD(storm, many_baseline){ 0, 0 };
FIXTURE_VARIANT_ADD(storm, many_batch){ 0, BATCHED };
FIXTURE_VARIANT_ADD(storm, exclusive_edge){ RONBUS_BUS_EXCLUSIVE, RONBUS_F_EDGE_NOTIFY };

/* A message is numbered by the life of its publisher, and in it. */
struct order {
	u64 position;
	u64 life[LIVES];
	u64 last[LIVES];
};

static bool in_order(struct order *order, const struct message *msg)
{
	u64 number = message_number(msg->data), life = number >> 32, last = number & 0xffffffff;
	size_t i = life % LIVES;

	if (msg->position <= order->position || !message_whole(msg->data, msg->len, number))
		return false;
	order->position = msg->position;
	if (order->life[i] == life && order->last[i] >= last)
		return false;
	order->life[i] = life;
	order->last[i] = last;
	return true;
}

static int survive(int bus, struct survivor *me, bool kernel)
{
	static struct order order;
	struct subscriber s;
	struct message msg;
	int ret;

	if (subscriber_join(&s, bus, RONBUS_START_LATEST, 0))
		return 1;
	me->index = s.index;
	__atomic_store_n(&me->joined, 1, __ATOMIC_SEQ_CST);
	for (;;) {
		ret = kernel ? subscriber_read_kernel(&s, &msg) : subscriber_read(&s, &msg);
		if (!ret)
			break;
		if (ret == -EAGAIN)
			ret = fd_wait(s.m.fd, RONBUS_WAIT_FOREVER);
		else if (ret == 1)
			me->bad += !in_order(&order, &msg);
		if (ret < 0)
			return 2;
	}
	me->delivered = s.m.self->delivered;
	return subscriber_identity(&s) ? 0 : 3;
}

static void publish_for_ever(int bus, u64 life, enum kind kind)
{
	u64 i, random = life;
	struct publisher p;

	if (publisher_join(&p, bus, kind == SYSCALLS ? 0 : RONBUS_PUBLISHER_MAPPED))
		_exit(77);
	for (i = 1;; i += 5) {
		long ret = publish_numbers(&p, life << 32 | i, 5, LEN, kind == MAPPED ? 1 : 5);

		if (ret < 0 && ret != -EAGAIN)
			_exit(78);
		/* Subscribers get to sleep, and others to live. */
		random = random_next(random);
		if (random >> 61 == 0)
			usleep(random >> 40 & 1023);
	}
}

static void subscribe_for_ever(int bus, enum kind kind)
{
	struct subscriber s;
	struct message msg;
	struct pollfd poll_fd = { .events = POLLIN };

	do {
		if (subscriber_join(&s, bus, RONBUS_START_LATEST, 0))
			_exit(77);
		poll_fd.fd = s.m.fd;
		if (kind == GUEST) {
			fd_wait(s.m.fd, now_ns() + SEC / 1000);
			subscriber_leave(&s);
			continue;
		}
		for (;;) {
			int ret = kind == READER ? subscriber_read(&s, &msg)
						 : subscriber_read_kernel(&s, &msg);

			if (ret != 1 && ret != -EAGAIN)
				_exit(78);
			if (ret == -EAGAIN && poll(&poll_fd, 1, -1) != 1)
				_exit(79);
		}
	} while (kind == GUEST);
}

static pid_t victim_start(int bus, u64 life, enum kind kind)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	if (kind < PUBLISHER_KINDS)
		publish_for_ever(bus, life, kind);
	subscribe_for_ever(bus, kind);
	_exit(80);
}

FIXTURE_SETUP(storm)
{
	int k;

	self->control = OPEN_CONTROL();
	ASSERT_TRUE(wait_until(!vmalloc_areas()));
	self->seed = self->random = random_seed();
	self->survivors = shared_memory(2 * sizeof(*self->survivors));
	ASSERT_NE(NULL, self->survivors);
	self->bus =
		bus_create(self->control, (struct ronbus_create){ .flags = variant->bus_flags |
									   RONBUS_BUS_PERSISTENT,
								  .features = variant->features,
								  .capacity = STORM_SLOTS,
								  .payload = LEN });
	ASSERT_LE(0, self->bus);
	for (k = 0; k < 2; k++) {
		self->surviving[k] = fork();
		ASSERT_LE(0, self->surviving[k]);
		if (!self->surviving[k])
			_exit(survive(self->bus, &self->survivors[k], k));
		ASSERT_TRUE(
			wait_until(__atomic_load_n(&self->survivors[k].joined, __ATOMIC_SEQ_CST)));
	}
	for (k = 0; k < KINDS; k++) {
		if (variant->bus_flags & RONBUS_BUS_EXCLUSIVE && k != BATCHES &&
		    k < PUBLISHER_KINDS)
			continue;
		self->victims[k] = victim_start(self->bus, ++self->lives, k);
		ASSERT_LT(0, self->victims[k]);
	}
}

FIXTURE_TEARDOWN(storm)
{
	int k;

	if (_metadata->exit_code == KSFT_FAIL)
		TH_LOG("to repeat it: RONBUS_SEED=%llu", (unsigned long long)self->seed);
	for (k = 0; k < KINDS; k++)
		if (self->victims[k] > 0)
			kill(self->victims[k], SIGKILL);
	for (k = 0; k < 2; k++)
		if (self->surviving[k] > 0)
			kill(self->surviving[k], SIGKILL);
	close(self->bus);
	close(self->control);
}

/* Every survivor has read all there is, and sleeps. Nobody publishes. */
static bool all_idle(int bus, const struct survivor *survivors)
{
	struct ronbus_stats stats;
	u64 tail;
	int k;

	if (fd_stats(bus, RONBUS_STATS_BUS, &stats) || stats.publishers)
		return false;
	tail = stats.tail;
	for (k = 0; k < 2; k++)
		if (fd_stats(bus, survivors[k].index, &stats) || stats.cursor != tail ||
		    !stats.armed)
			return false;
	return true;
}

static int victim_kill(pid_t *victim, u64 *deaths)
{
	int status;

	if (kill(*victim, SIGKILL))
		return -errno;
	status = child_status(*victim);
	*victim = 0;
	++*deaths;
	return status;
}

TEST_F_TIMEOUT(storm, random_deaths, 14400)
{
	const struct sched_param first = { .sched_priority = 1 };
	u64 end = now_ns() + test_seconds(2) * SEC, rests = 0, stops = 0, publishers = 0, i;
	struct ronbus_stats stats;
	struct publisher last;
	struct subscriber s;
	int k;

	/* Whoever kills comes first: when, is for chance to say, and not for the load. */
	sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &first);
	while (now_ns() < end) {
		self->random = random_next(self->random);
		k = (int)((self->random >> 40) % KINDS);
		if (!self->victims[k])
			continue;
		usleep((self->random >> 50) % 4000);
		if (!(self->random >> 33 & 7)) {
			ASSERT_EQ(0, kill(self->victims[k], SIGSTOP));
			usleep((self->random >> 45) % 4000);
			stops++;
			if (self->random >> 36 & 1) {
				ASSERT_EQ(0, kill(self->victims[k], SIGCONT));
				continue;
			}
		}
		ASSERT_EQ(-SIGKILL, victim_kill(&self->victims[k], &self->deaths[k]));
		/* Now and then all publishers are gone: nobody makes up for what they left. */
		if (self->random >> 56 == 1) {
			for (i = 0; i < PUBLISHER_KINDS; i++) {
				if (self->victims[i]) {
					ASSERT_EQ(-SIGKILL,
						  victim_kill(&self->victims[i], &self->deaths[i]));
					self->victims[i] = -1;
				}
			}
			ASSERT_TRUE(wait_until(all_idle(self->bus, self->survivors)))
			TH_LOG("a survivor is stuck after %llu lives",
			       (unsigned long long)self->lives);
			for (i = 0; i < PUBLISHER_KINDS; i++)
				if (self->victims[i] < 0)
					self->victims[i] =
						victim_start(self->bus, ++self->lives, i);
			rests++;
		}
		if (!self->victims[k])
			self->victims[k] = victim_start(self->bus, ++self->lives, k);
		ASSERT_LT(0, self->victims[k]);
	}
	for (k = 0; k < KINDS; k++) {
		if (self->victims[k]) {
			ASSERT_EQ(-SIGKILL, victim_kill(&self->victims[k], &self->deaths[k]));
		}
	}
	EXPECT_EQ(self->lives, self->deaths[0] + self->deaths[1] + self->deaths[2] +
				       self->deaths[3] + self->deaths[4] + self->deaths[5]);

	/* Only the survivors are there, and they are not stuck; nothing is held. */
	ASSERT_TRUE(wait_until(all_idle(self->bus, self->survivors)));
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(2, __builtin_popcountll(stats.subscribers));
	/* One slot each at most; and nothing was counted that has no position. */
	publishers = self->deaths[MAPPED] + self->deaths[BATCHES];
	EXPECT_GE(publishers, stats.counters.repairs_total);
	EXPECT_GE(stats.tail - STORM_SLOTS, stats.counters.published_total);

	/* A lap without a gap, for a reader that keeps up. */
	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_LATEST, 0));
	EXPECT_TRUE(nothing_held(&s.m.ring));
	ASSERT_EQ(0, publisher_join(&last, self->bus, RONBUS_PUBLISHER_MAPPED));
	EXPECT_EQ(1, last.id);
	self->lives++;
	ASSERT_EQ(STORM_SLOTS, publish_numbers(&last, self->lives << 32 | 1, STORM_SLOTS, LEN, 4));
	for (i = 1; i <= STORM_SLOTS; i++) {
		struct message msg;

		ASSERT_EQ(1, subscriber_read(&s, &msg));
		ASSERT_TRUE(message_whole(msg.data, msg.len, self->lives << 32 | i));
		ASSERT_EQ(0, msg.lost);
	}
	publisher_leave(&last);
	subscriber_leave(&s);

	EXPECT_EQ(0, bus_seal(self->bus));
	for (k = 0; k < 2; k++) {
		EXPECT_EQ(0, child_status(self->surviving[k]));
		self->surviving[k] = 0;
		EXPECT_EQ(0, self->survivors[k].bad);
		EXPECT_LT(0, self->survivors[k].delivered);
	}
	close(self->bus);
	EXPECT_TRUE(wait_until(!vmalloc_areas()));
	TH_LOG("seed %llu: %llu mapped publishers killed, %llu by system call, %llu subscribers, "
	       "%llu stops, %llu rests, %llu slots repaired, %llu and %llu read",
	       (unsigned long long)self->seed, (unsigned long long)publishers,
	       (unsigned long long)self->deaths[SYSCALLS],
	       (unsigned long long)(self->deaths[READER] + self->deaths[KERNEL_READER] +
				    self->deaths[GUEST]),
	       (unsigned long long)stops, (unsigned long long)rests,
	       (unsigned long long)stats.counters.repairs_total,
	       (unsigned long long)self->survivors[0].delivered,
	       (unsigned long long)self->survivors[1].delivered);
	self->bus = -1;
}

TEST_HARNESS_MAIN
