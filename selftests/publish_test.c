// SPDX-License-Identifier: GPL-2.0
/*
 * Publishing by mapping and by system call: what comes back, and what slots that are held do to it.
 */
#include <sys/prctl.h>

#include "ronbus_kselftest.h"

#define SLOTS 64U
#define LEN 32U

/* ---- RONBUS_IOC_PUBLISH ----------------------------------------------------------------- */

FIXTURE(by_syscall)
{
	int control;
	int bus;
	int pub;
	struct subscriber s;
	unsigned char *data; /* BATCH_MAX + 1 messages, numbers 0 and on */
	struct ronbus_vec *vec; /* of them */
};

FIXTURE_VARIANT(by_syscall)
{
	u64 features;
	u32 publisher; /* mapped ones can do it too */
};

FIXTURE_VARIANT_ADD(by_syscall, baseline){ 0, 0 };
FIXTURE_VARIANT_ADD(by_syscall, edge){ RONBUS_F_EDGE_NOTIFY, 0 };
FIXTURE_VARIANT_ADD(by_syscall, batch){ RONBUS_F_BATCH, 0 };
FIXTURE_VARIANT_ADD(by_syscall, edge_batch){ RONBUS_F_EDGE_NOTIFY | RONBUS_F_BATCH, 0 };
FIXTURE_VARIANT_ADD(by_syscall, mapped_baseline){ 0, RONBUS_PUBLISHER_MAPPED };
FIXTURE_VARIANT_ADD(by_syscall, mapped_edge_batch){ RONBUS_F_EDGE_NOTIFY | RONBUS_F_BATCH,
						    RONBUS_PUBLISHER_MAPPED };

FIXTURE_SETUP(by_syscall)
{
	u32 i;

	self->control = OPEN_CONTROL();
	self->bus = bus_create(self->control, (struct ronbus_create){ .features = variant->features,
								      .capacity = SLOTS,
								      .payload = LEN });
	ASSERT_LE(0, self->bus);
	self->pub = fd_publisher(self->bus, variant->publisher, NULL);
	ASSERT_LE(0, self->pub);
	ASSERT_EQ(0, subscriber_join(&self->s, self->bus, RONBUS_START_LATEST, 0));
	self->data = calloc(RONBUS_BATCH_MAX + 1, LEN);
	self->vec = calloc(RONBUS_BATCH_MAX + 1, sizeof(*self->vec));
	ASSERT_NE(NULL, self->data);
	ASSERT_NE(NULL, self->vec);
	for (i = 0; i <= RONBUS_BATCH_MAX; i++) {
		message_fill(self->data + i * LEN, LEN, i);
		self->vec[i].data = (uintptr_t)(self->data + i * LEN);
		self->vec[i].len = LEN;
	}
}

FIXTURE_TEARDOWN(by_syscall)
{
	subscriber_leave(&self->s);
	close(self->pub);
	close(self->bus);
	close(self->control);
}

/* Numbers first to last - 1 are there, and nothing else. */
#define EXPECT_NUMBERS(first, last)                                             \
	do {                                                                    \
		struct message __msg;                                           \
		u64 __i, __last = last;                                         \
		for (__i = first; __i < __last; __i++) {                        \
			ASSERT_EQ(1, subscriber_read(&self->s, &__msg));        \
			ASSERT_TRUE(message_whole(__msg.data, __msg.len, __i)); \
		}                                                               \
		ASSERT_EQ(-EAGAIN, subscriber_read(&self->s, &__msg));          \
	} while (0)

#define EXPECT_NOTHING() EXPECT_NUMBERS(0, 0)

TEST_F(by_syscall, one)
{
	struct message msg;
	u32 receivers;

	EXPECT_EQ(1, fd_publish(self->pub, 63, self->vec, 1, &receivers));
	EXPECT_EQ(1, receivers);
	ASSERT_EQ(1, subscriber_read(&self->s, &msg));
	EXPECT_EQ(SLOTS, msg.position);
	EXPECT_EQ(63, msg.topic);
	EXPECT_EQ(0, msg.publisher);
	EXPECT_EQ(LEN, msg.len);
	EXPECT_TRUE(message_whole(msg.data, LEN, 0));
}

TEST_F(by_syscall, arguments)
{
	static const u32 bad_topics[] = { 64, 65, 128, 0x80000000, ~0U };
	static const u32 bad_counts[] = { 0, RONBUS_BATCH_MAX + 1, 0x80000000, ~0U };
	struct ronbus_publish args;
	size_t i;
	int bit;

	for (i = 0; i < ARRAY_SIZE(bad_topics); i++) {
		EXPECT_EQ(-EINVAL, fd_publish(self->pub, bad_topics[i], self->vec, 1, NULL));
	}
	for (i = 0; i < ARRAY_SIZE(bad_counts); i++) {
		EXPECT_EQ(-EINVAL, fd_publish(self->pub, 0, self->vec, bad_counts[i], NULL));
	}
	for (bit = 0; bit < 32; bit++) {
		memset(&args, 0, sizeof(args));
		args.vec = (uintptr_t)self->vec;
		args.count = 1;
		args.flags = 1U << bit;
		EXPECT_EQ(-EINVAL, do_ioctl(self->pub, RONBUS_IOC_PUBLISH, &args));
		self->vec[0].pad = 1U << bit;
		EXPECT_EQ(-EINVAL, fd_publish(self->pub, 0, self->vec, 1, NULL));
		EXPECT_EQ(-EINVAL, fd_publish(self->pub, 0, self->vec, 2, NULL));
		self->vec[0].pad = 0;
	}
	EXPECT_NOTHING();
}

TEST_F(by_syscall, too_long)
{
	static const u32 lengths[] = { LEN + 1, LEN + 8, 4096, 0x80000000, ~0U };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		self->vec[0].len = lengths[i];
		EXPECT_EQ(-EMSGSIZE, fd_publish(self->pub, 0, self->vec, 1, NULL));
		EXPECT_EQ(-EMSGSIZE, fd_publish(self->pub, 0, self->vec, 3, NULL));
	}
	EXPECT_NOTHING();
}

TEST_F(by_syscall, bad_memory)
{
	char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ronbus_vec *vec;

	ASSERT_NE(MAP_FAILED, page);
	ASSERT_EQ(0, mprotect(page + 4096, 4096, PROT_NONE));

	EXPECT_EQ(-EFAULT, fd_publish(self->pub, 0, NULL, 1, NULL));
	EXPECT_EQ(-EFAULT, fd_publish(self->pub, 0, (void *)0xffff888000000000UL, 1, NULL));
	EXPECT_EQ(-EFAULT, fd_publish(self->pub, 0, (void *)(page + 4096 - 8), 1, NULL));
	self->vec[0].data = 0;
	EXPECT_EQ(-EFAULT, fd_publish(self->pub, 0, self->vec, 1, NULL));
	self->vec[0].data = 0xffff888000000000UL;
	EXPECT_EQ(-EFAULT, fd_publish(self->pub, 0, self->vec, 1, NULL));
	self->vec[0].data = (uintptr_t)(page + 4096 - LEN + 1);
	EXPECT_EQ(-EFAULT, fd_publish(self->pub, 0, self->vec, 1, NULL));
	EXPECT_EQ(-EFAULT, fd_publish(self->pub, 0, self->vec, 2, NULL));
	EXPECT_NOTHING();

	/* A batch whose vector ends before it does. */
	vec = (struct ronbus_vec *)(void *)(page + 4096) - 2;
	memcpy(vec, self->vec + 1, 2 * sizeof(*vec));
	EXPECT_EQ(2, fd_publish(self->pub, 0, vec, 5, NULL));
	EXPECT_NUMBERS(1, 3);
}

/* Nothing to say is a message too; where it does not come from does not matter. */
TEST_F(by_syscall, no_bytes)
{
	struct message msg;

	self->vec[0].len = 0;
	self->vec[1].len = 0;
	self->vec[1].data = 0;
	EXPECT_EQ(2, fd_publish(self->pub, 5, self->vec, 2, NULL));
	EXPECT_EQ(1, subscriber_read(&self->s, &msg));
	EXPECT_EQ(0, msg.len);
	EXPECT_EQ(5, msg.topic);
	EXPECT_EQ(1, subscriber_read(&self->s, &msg));
	EXPECT_EQ(0, msg.len);
	EXPECT_EQ(-EAGAIN, subscriber_read(&self->s, &msg));
}

/* What is wrong in the middle of a batch leaves what came before. */
TEST_F(by_syscall, partial_batch)
{
	enum {
		TOO_LONG,
		NO_MEMORY,
		PAD,
		WRONGS
	} wrong;
	struct ronbus_stats before, after;
	u32 at, receivers;

	for (wrong = 0; wrong < WRONGS; wrong++) {
		for (at = 1; at < 10; at++) {
			struct ronbus_vec good = self->vec[at];
			struct message msg;
			u32 i;

			if (wrong == TOO_LONG)
				self->vec[at].len = LEN + 1;
			else if (wrong == NO_MEMORY)
				self->vec[at].data = 8;
			else
				self->vec[at].pad = 1;
			ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &before));
			ASSERT_EQ(0, fd_arm(self->s.m.fd));
			EXPECT_EQ(at, fd_publish(self->pub, 0, self->vec, 10, &receivers));
			EXPECT_EQ(1, receivers);
			/* Whoever slept is woken for these few. */
			EXPECT_FALSE(subscriber_armed(&self->s));
			ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &after));
			EXPECT_EQ(before.tail + at, after.tail);
			EXPECT_EQ(before.counters.published_total + at,
				  after.counters.published_total);
			EXPECT_EQ(before.counters.addressed_total + at,
				  after.counters.addressed_total);
			for (i = 0; i < at; i++) {
				ASSERT_EQ(1, subscriber_read(&self->s, &msg));
				ASSERT_TRUE(message_whole(msg.data, msg.len, i));
			}
			ASSERT_EQ(-EAGAIN, subscriber_read(&self->s, &msg));
			self->vec[at] = good;
		}
	}
}

TEST_F(by_syscall, largest_batch)
{
	struct message msg;
	u32 receivers, i;

	EXPECT_EQ(RONBUS_BATCH_MAX,
		  fd_publish(self->pub, 0, self->vec, RONBUS_BATCH_MAX, &receivers));
	EXPECT_EQ(1, receivers);
	for (i = RONBUS_BATCH_MAX - SLOTS; i < RONBUS_BATCH_MAX; i++) {
		ASSERT_EQ(1, subscriber_read(&self->s, &msg));
		ASSERT_TRUE(message_whole(msg.data, msg.len, i));
		ASSERT_EQ(i == RONBUS_BATCH_MAX - SLOTS ? i : 0, msg.lost);
	}
	EXPECT_EQ(-EAGAIN, subscriber_read(&self->s, &msg));
}

TEST_F(by_syscall, receivers)
{
	static struct subscriber more[63];
	struct ronbus_stats stats;
	u32 receivers;
	int i;

	for (i = 0; i < 63; i++) {
		ASSERT_EQ(0, subscriber_join(&more[i], self->bus, RONBUS_START_LATEST, 0));
		EXPECT_EQ(3, fd_publish(self->pub, 1, self->vec, 3, &receivers));
		EXPECT_EQ(i + 2, receivers);
	}
	for (i = 0; i < 63; i++)
		subscriber_leave(&more[i]);
	EXPECT_EQ(1, fd_publish(self->pub, 1, self->vec, 1, &receivers));
	EXPECT_EQ(1, receivers);
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(63 * 3 + 1, stats.counters.published_total);
	/* 3 * (2 + 3 + ... + 64) + 1 */
	EXPECT_EQ(3 * (64 * 65 / 2 - 1) + 1, stats.counters.addressed_total);
}

/* Nobody wants it: accepted, counted, and not written anywhere. */
TEST_F(by_syscall, nobody)
{
	struct ronbus_stats before, after;
	u32 receivers;

	subscriber_leave(&self->s);
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &before));
	EXPECT_EQ(1, fd_publish(self->pub, 0, self->vec, 1, &receivers));
	EXPECT_EQ(0, receivers);
	EXPECT_EQ(1000, fd_publish(self->pub, 0, self->vec, 1000, &receivers));
	EXPECT_EQ(0, receivers);
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &after));
	EXPECT_EQ(before.tail, after.tail);
	EXPECT_EQ(1001, after.counters.no_receivers_total);
	EXPECT_EQ(0, after.counters.published_total);
	/* Wrong is wrong, heard or not. */
	EXPECT_EQ(-EINVAL, fd_publish(self->pub, 64, self->vec, 1, NULL));
	EXPECT_EQ(-EFAULT, fd_publish(self->pub, 0, NULL, 1, NULL));
	self->vec[0].len = LEN + 1;
	EXPECT_EQ(-EMSGSIZE, fd_publish(self->pub, 0, self->vec, 1, NULL));
	self->vec[0].len = LEN;
	ASSERT_EQ(0, subscriber_join(&self->s, self->bus, RONBUS_START_OLDEST, 0));
	EXPECT_NOTHING();
}

/* Threads of one publisher: each message whole, and all of them there. */
#define THREADS 3
#define EACH 200

TEST_F(by_syscall, several_at_once)
{
	pid_t pids[THREADS];
	u32 seen[THREADS] = { 0 };
	struct message msg;
	int i, k, ret, running = THREADS;

	for (i = 0; i < THREADS; i++) {
		pids[i] = fork();
		ASSERT_LE(0, pids[i]);
		if (pids[i])
			continue;
		for (k = 0; k < EACH; k++) {
			unsigned char data[LEN];
			struct ronbus_vec vec = { .data = (uintptr_t)data, .len = LEN };

			message_fill(data, LEN, (u64)i << 32 | (u32)k);
			if (fd_publish(self->pub, 0, &vec, 1, NULL) != 1)
				_exit(1);
			if (k % 16 == i)
				nap();
		}
		_exit(0);
	}
	for (;;) {
		ret = subscriber_read(&self->s, &msg);
		if (ret == -EAGAIN) {
			if (!running)
				break;
			if (waitpid(pids[running - 1], &i, WNOHANG) == pids[running - 1]) {
				EXPECT_EQ(0, i);
				running--;
			}
			continue;
		}
		ASSERT_EQ(1, ret);
		ASSERT_GT(THREADS, message_number(msg.data) >> 32);
		ASSERT_TRUE(message_whole(msg.data, msg.len, message_number(msg.data)));
		k = (int)(message_number(msg.data) >> 32);
		ASSERT_LE(seen[k], (u32)message_number(msg.data));
		seen[k] = (u32)message_number(msg.data) + 1;
	}
	EXPECT_EQ(SLOTS + THREADS * EACH, subscriber_cursor(&self->s));
	EXPECT_EQ(THREADS * EACH, self->s.m.self->delivered + self->s.m.self->lost);
	EXPECT_TRUE(subscriber_identity(&self->s));
}

/* ---- slots that somebody holds ---------------------------------------------------------- */

FIXTURE(held)
{
	int control;
	int bus;
	struct publisher holder;
	struct publisher pub;
	struct subscriber s;
	struct ronbus_claim claims[4];
};

FIXTURE_VARIANT(held)
{
	u64 features;
	u32 publisher;
};

FIXTURE_VARIANT_ADD(held, mapped_baseline){ 0, RONBUS_PUBLISHER_MAPPED };
FIXTURE_VARIANT_ADD(held, mapped_edge){ RONBUS_F_EDGE_NOTIFY, RONBUS_PUBLISHER_MAPPED };
FIXTURE_VARIANT_ADD(held, syscall_baseline){ 0, 0 };
FIXTURE_VARIANT_ADD(held, syscall_edge){ RONBUS_F_EDGE_NOTIFY, 0 };

FIXTURE_SETUP(held)
{
	self->control = OPEN_CONTROL();
	self->bus = bus_create(self->control, (struct ronbus_create){ .features = variant->features,
								      .capacity = 4,
								      .payload = LEN });
	ASSERT_LE(0, self->bus);
	ASSERT_EQ(0, publisher_join(&self->holder, self->bus, RONBUS_PUBLISHER_MAPPED));
	ASSERT_EQ(0, publisher_join(&self->pub, self->bus, variant->publisher));
	ASSERT_EQ(0, subscriber_join(&self->s, self->bus, RONBUS_START_LATEST, 0));
}

FIXTURE_TEARDOWN(held)
{
	subscriber_leave(&self->s);
	publisher_leave(&self->pub);
	publisher_leave(&self->holder);
	close(self->bus);
	close(self->control);
}

/* Stop in the middle of @n messages. */
static int hold(struct publisher *p, struct ronbus_claim *claims, int n)
{
	int i;

	for (i = 0; i < n; i++) {
		claims[i].pos = ronbus_ring_hint(&p->m.ring);
		if (publisher_claim(p, &claims[i]))
			return -EAGAIN;
		ronbus_ring_advance(&p->m.ring, claims[i].pos + 1);
	}
	return 0;
}

static void let_go(struct publisher *p, struct ronbus_claim *claim, u64 number)
{
	unsigned char data[LEN];

	message_fill(data, LEN, number);
	ronbus_ring_write(&p->m.ring, claim->pos, p->m.page->audience[0], 0, data, LEN);
	ronbus_ring_commit_last(&p->m.ring, claim->pos, p->id);
}

TEST_F(held, every_slot)
{
	struct ronbus_stats stats;
	struct message msg;
	int i;

	ASSERT_EQ(0, hold(&self->holder, self->claims, 4));
	EXPECT_EQ(-EAGAIN, publish_number(&self->pub, 100));
	EXPECT_EQ(-EAGAIN, publish_numbers(&self->pub, 100, 3, LEN, 3));
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(2, stats.counters.dropped_total);
	EXPECT_EQ(0, stats.counters.published_total);
	/* Publishing a lap further on would overtake the reader: it is told so. */
	for (i = 0; i < 4; i++)
		let_go(&self->holder, &self->claims[i], (u64)i);
	for (i = 0; i < 8; i++) {
		ASSERT_EQ(1, publish_number(&self->pub, 100 + (u64)i));
	}
	i = 4;
	while (subscriber_read(&self->s, &msg) == 1) {
		ASSERT_TRUE(message_whole(msg.data, msg.len, 100 + (u64)i));
		i++;
	}
	EXPECT_EQ(8, i);
	EXPECT_TRUE(subscriber_identity(&self->s));
}

/*
 * A publisher that gives up has overtaken whoever waited for one of those slots: he is woken, since
 * there may never be a message to wake him for.
 */
TEST_F(held, gives_up)
{
	struct ronbus_stats stats;
	struct message msg;

	ASSERT_EQ(0, hold(&self->holder, self->claims, 4));
	EXPECT_EQ(0, fd_arm(self->s.m.fd));
	EXPECT_TRUE(subscriber_armed(&self->s));
	EXPECT_EQ(-EAGAIN, publish_number(&self->pub, 100));
	EXPECT_FALSE(subscriber_armed(&self->s));
	ASSERT_EQ(0, fd_stats(self->bus, 0, &stats));
	EXPECT_EQ(1, stats.counters.wakes_total[RONBUS_WAKE_DATA]);
	/* He looks, finds that he was overtaken, and sleeps in front of what comes next. */
	EXPECT_EQ(0, fd_wait(self->s.m.fd, 0));
	EXPECT_EQ(-EAGAIN, subscriber_read(&self->s, &msg));
	EXPECT_LE(1, self->s.m.self->lags);
	EXPECT_TRUE(subscriber_identity(&self->s));
}

/* One slot is enough to go on in. */
TEST_F(held, all_but_one)
{
	struct message msg;
	u64 i;

	ASSERT_EQ(0, hold(&self->holder, self->claims, 3));
	for (i = 0; i < 40; i++) {
		ASSERT_EQ(1, publish_number(&self->pub, 100 + i)) TH_LOG("message %d", (int)i);
	}
	/* Three held slots stopped the reader: it has been overtaken, and reads the newest. */
	ASSERT_EQ(1, subscriber_read(&self->s, &msg));
	EXPECT_TRUE(message_whole(msg.data, msg.len, 139));
	EXPECT_LT(0, msg.lost);
	EXPECT_EQ(-EAGAIN, subscriber_read(&self->s, &msg));
	/* From now on it gets every one. */
	for (i = 140; i < 160; i++) {
		ASSERT_EQ(1, publish_number(&self->pub, i));
		ASSERT_EQ(1, subscriber_read(&self->s, &msg));
		EXPECT_TRUE(message_whole(msg.data, msg.len, i));
		EXPECT_EQ(0, msg.lost);
		EXPECT_EQ(-EAGAIN, subscriber_read(&self->s, &msg));
	}
	/* What the holder writes now was long overtaken: nobody sees it. */
	for (i = 0; i < 3; i++)
		let_go(&self->holder, &self->claims[i], i);
	EXPECT_EQ(-EAGAIN, subscriber_read(&self->s, &msg));
	ASSERT_EQ(4, publish_numbers(&self->pub, 200, 4, LEN, 4));
	for (i = 200; i < 204; i++) {
		ASSERT_EQ(1, subscriber_read(&self->s, &msg));
		EXPECT_TRUE(message_whole(msg.data, msg.len, i));
	}
	EXPECT_TRUE(subscriber_identity(&self->s));
}

/* A reader waits at a slot that is being written, for less than a lap. */
TEST_F(held, first_of_a_lap)
{
	struct message msg;
	u64 i;

	ASSERT_EQ(0, hold(&self->holder, self->claims, 1));
	for (i = 1; i < 4; i++) {
		ASSERT_EQ(1, publish_number(&self->pub, i));
		EXPECT_EQ(-EAGAIN, subscriber_read(&self->s, &msg));
	}
	let_go(&self->holder, &self->claims[0], 0);
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(1, subscriber_read(&self->s, &msg));
		EXPECT_TRUE(message_whole(msg.data, msg.len, i));
		EXPECT_EQ(4 + i, msg.position);
		EXPECT_EQ(0, msg.lost);
	}
}

/* ---- the longest way there is ----------------------------------------------------------- */

#define MANY (1U << 18)

/* Every slot is held from the lap before @lap, and the hint says that @lap begins. */
static void hold_all(struct publisher *p, u64 lap)
{
	u64 pos;

	for (pos = 0; pos < MANY; pos++)
		RB_WRITE(ronbus_ring_at(&p->m.ring, pos).state,
			 RONBUS_STATE(lap - 1, p->id, RONBUS_KIND_BUSY));
	RB_WRITE(&p->m.ring.head->head, lap * MANY);
}

static u64 passed_by(struct publisher *p, u64 pos)
{
	return RB_READ(ronbus_ring_at(&p->m.ring, pos).hole);
}

/*
 * Where all slots are held a publisher looks at each of them before it gives up. Killed on the way,
 * it does not look at the rest, and has given up nothing.
 */
TEST(killed_while_it_looks)
{
	int control = OPEN_CONTROL(), bus, pub;
	struct ronbus_stats stats;
	struct publisher holder;
	u32 round, early = 0;

	bus = bus_create(control, (struct ronbus_create){ .capacity = MANY, .payload = 8 });
	ASSERT_LE(0, bus);
	ASSERT_EQ(0, publisher_join(&holder, bus, RONBUS_PUBLISHER_MAPPED));
	ASSERT_LE(0, fd_subscribe(bus, RONBUS_START_LATEST, 0, NULL));
	pub = fd_publisher(bus, 0, NULL);
	ASSERT_LE(0, pub);
	for (round = 1; round <= 20; round++) {
		u64 lap = round + 1, number = 0;
		struct ronbus_vec vec = { .data = (uintptr_t)&number, .len = sizeof(number) };
		pid_t pid;

		hold_all(&holder, lap);
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid)
			_exit(fd_publish(pub, 0, &vec, 1, NULL) == -EAGAIN ? 0 : 1);
		ASSERT_TRUE(spin_until(passed_by(&holder, 0) == lap));
		ASSERT_EQ(0, kill(pid, SIGKILL));
		child_status(pid);
		early += passed_by(&holder, MANY - 1) != lap;
	}
	EXPECT_LT(0, early);
	ASSERT_EQ(0, fd_stats(bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(20 - early, stats.counters.dropped_total);
	publisher_leave(&holder);
	close(pub);
	close(bus);
	close(control);
}

TEST_HARNESS_MAIN
