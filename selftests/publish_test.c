// SPDX-License-Identifier: GPL-2.0
/*
 * Publishing: who may, by mapping or by system call, what comes back, and what a bus that is
 * sealed, ended, exclusive or held up says to it.
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
	/* The reader was behind three that hold: it has been overtaken, and reads the newest. */
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

/* A reader waits behind one that is being written, for less than a lap. */
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

/* ---- who may publish -------------------------------------------------------------------- */

FIXTURE(join)
{
	int control;
};

FIXTURE_SETUP(join)
{
	self->control = OPEN_CONTROL();
}

FIXTURE_TEARDOWN(join)
{
	close(self->control);
}

#define CREATE(...) bus_create(self->control, (struct ronbus_create){ __VA_ARGS__ })

/* Fewer mapped publishers than slots, each with a number of its own. */
/* One for BPF programs has a number for them, which no two have at a time, and is of no other use. */
TEST_F(join, for_bpf)
{
	int bus = bus_create(self->control, (struct ronbus_create){ 0 });
	struct publisher first, second;
	u64 tokens[2];
	struct ronbus_info info;
	char byte = 0;
	struct ronbus_vec vec = { .data = (uintptr_t)&byte, .len = 1 };

	ASSERT_LE(0, bus);
	EXPECT_EQ(-EINVAL, fd_publisher(bus, RONBUS_PUBLISHER_MAPPED | RONBUS_PUBLISHER_BPF, NULL));
	first.m.fd = fd_publisher_bpf(bus, &tokens[0]);
	second.m.fd = fd_publisher_bpf(bus, &tokens[1]);
	ASSERT_LE(0, first.m.fd);
	ASSERT_LE(0, second.m.fd);
	EXPECT_NE(0, tokens[0]);
	EXPECT_NE(0, tokens[1]);
	EXPECT_NE(tokens[0], tokens[1]);
	ASSERT_EQ(0, fd_info(first.m.fd, &info));
	EXPECT_EQ(0, info.member);
	EXPECT_EQ(2, info.publishers);
	EXPECT_EQ(-EOPNOTSUPP, fd_publish(first.m.fd, 0, &vec, 1, NULL));
	close(first.m.fd);
	close(second.m.fd);
	ASSERT_EQ(0, fd_info(bus, &info));
	EXPECT_EQ(0, info.publishers);
	EXPECT_EQ(RONBUS_STATUS_ENDED, info.status);
	close(bus);
}

TEST_F(join, numbers)
{
	static const u32 capacities[] = { 4, 8, 32, 64, 128 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(capacities); i++) {
		u32 n, id, max = capacities[i] - 1 < 63 ? capacities[i] - 1 : 63;
		int bus = CREATE(.capacity = capacities[i]), fds[64];
		struct ronbus_info info;

		ASSERT_LE(0, bus);
		for (n = 0; n < max; n++) {
			fds[n] = fd_publisher(bus, RONBUS_PUBLISHER_MAPPED, &id);
			ASSERT_LE(0, fds[n]);
			EXPECT_EQ(n + 1, id);
			ASSERT_EQ(0, fd_info(fds[n], &info));
			EXPECT_EQ(id, info.member);
			EXPECT_EQ(n + 1, info.publishers);
		}
		EXPECT_EQ(-ENOSPC, fd_publisher(bus, RONBUS_PUBLISHER_MAPPED, &id));
		/* A number that becomes free is given again. */
		close(fds[max / 2]);
		fds[max / 2] = fd_publisher(bus, RONBUS_PUBLISHER_MAPPED, &id);
		EXPECT_LE(0, fds[max / 2]);
		EXPECT_EQ(max / 2 + 1, id);
		EXPECT_EQ(-ENOSPC, fd_publisher(bus, RONBUS_PUBLISHER_MAPPED, &id));
		/* Without a mapping there is no number to run out of. */
		for (n = 0; n < 100; n++) {
			int fd = fd_publisher(bus, 0, &id);

			ASSERT_LE(0, fd);
			EXPECT_EQ(0, id);
			if (n % 2)
				close(fd);
		}
		ASSERT_EQ(0, fd_info(bus, &info));
		EXPECT_EQ(max + 50, info.publishers);
		for (n = 0; n < max; n++)
			close(fds[n]);
		close(bus);
	}
}

TEST_F(join, exclusive)
{
	static const u32 kinds[] = { 0, RONBUS_PUBLISHER_MAPPED };
	size_t i, k;

	for (i = 0; i < 2; i++) {
		int bus = CREATE(.flags = RONBUS_BUS_EXCLUSIVE | RONBUS_BUS_PERSISTENT);
		int fd, again;

		ASSERT_LE(0, bus);
		fd = fd_publisher(bus, kinds[i], NULL);
		ASSERT_LE(0, fd);
		again = dup(fd);
		for (k = 0; k < 2; k++) {
			EXPECT_EQ(-EBUSY, fd_publisher(bus, kinds[k], NULL));
		}
		close(fd);
		/* A copy of the fd is the publisher too. */
		EXPECT_EQ(-EBUSY, fd_publisher(bus, kinds[i], NULL));
		close(again);
		fd = fd_publisher(bus, kinds[i], NULL);
		EXPECT_LE(0, fd);
		close(fd);
		close(bus);
	}
}

/* One after the other on an exclusive ring: each goes on where the last one stopped. */
TEST_F(join, exclusive_in_turns)
{
	int bus = CREATE(.flags = RONBUS_BUS_EXCLUSIVE | RONBUS_BUS_PERSISTENT, .capacity = 8);
	struct subscriber s;
	struct publisher p;
	struct message msg;
	u64 i;

	ASSERT_LE(0, bus);
	ASSERT_EQ(0, subscriber_join(&s, bus, RONBUS_START_LATEST, 0));
	for (i = 0; i < 40; i++) {
		ASSERT_EQ(0, publisher_join(&p, bus, i % 3 ? RONBUS_PUBLISHER_MAPPED : 0));
		ASSERT_EQ(1, publish_number(&p, i));
		publisher_leave(&p);
		ASSERT_EQ(1, subscriber_read(&s, &msg));
		EXPECT_TRUE(message_whole(msg.data, msg.len, i));
		EXPECT_EQ(8 + i, msg.position);
	}
	EXPECT_EQ(-EAGAIN, subscriber_read(&s, &msg));
}

enum who {
	WHO_OWNER,
	WHO_OTHER,
	WHO_ADMIN
};

/* What a mapped publisher gets, if that caller asks on that bus fd. */
static int mapped_as(int bus, enum who who)
{
	pid_t pid = fork();

	if (!pid) {
		uid_t uid = who == WHO_OWNER ? 1000 : who == WHO_OTHER ? 2000 : 0;
		int ret;

		if (setresuid(uid, uid, uid))
			_exit(255);
		ret = fd_publisher(bus, RONBUS_PUBLISHER_MAPPED, NULL);
		if (ret >= 0) {
			/* What was allowed can be done. */
			struct ronbus_info info;

			if (fd_info(ret, &info) ||
			    fd_map(ret, info.ring_bytes, PROT_READ | PROT_WRITE,
				   RONBUS_MMAP_RING) == MAP_FAILED)
				_exit(254);
		}
		_exit(ret < 0 ? -ret : 0);
	}
	return pid < 0 ? -errno : -child_status(pid);
}

/* And by system call. */
static int syscall_as(int bus, enum who who)
{
	pid_t pid = fork();

	if (!pid) {
		uid_t uid = who == WHO_OWNER ? 1000 : who == WHO_OTHER ? 2000 : 0;
		int ret;

		if (setresuid(uid, uid, uid))
			_exit(255);
		ret = fd_publisher(bus, 0, NULL);
		_exit(ret < 0 ? -ret : 0);
	}
	return pid < 0 ? -errno : -child_status(pid);
}

TEST_F(join, trust)
{
	static const struct {
		u32 flags;
		int want[3];
	} cases[] = {
		{ 0, { 0, -EPERM, 0 } },
		{ RONBUS_BUS_MAP_ALL, { 0, 0, 0 } },
		{ RONBUS_BUS_MAP_NONE, { -EPERM, -EPERM, -EPERM } },
	};
	size_t i;
	int who;

	if (geteuid())
		SKIP(return, "needs root, to be somebody else");
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		int bus;

		/* The owner is who made it: uid 1000. */
		ASSERT_EQ(0, setresuid(1000, 1000, 0));
		bus = CREATE(.flags = cases[i].flags | RONBUS_BUS_PERSISTENT);
		ASSERT_EQ(0, setresuid(0, 0, 0));
		ASSERT_LE(0, bus);
		for (who = 0; who < 3; who++) {
			EXPECT_EQ(cases[i].want[who], mapped_as(bus, (enum who)who))
			TH_LOG("flags %#x, who %d", cases[i].flags, who);
			EXPECT_EQ(0, syscall_as(bus, (enum who)who));
		}
		close(bus);
	}
}

/* Root of a user namespace of its own may there what root may, and nothing here. */
TEST_F(join, trust_of_another_user_namespace)
{
	int bus = CREATE(.flags = RONBUS_BUS_PERSISTENT);
	pid_t pid;

	if (geteuid())
		SKIP(return, "needs root, to be somebody else");
	ASSERT_LE(0, bus);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct ronbus_create args = { .flags = RONBUS_BUS_PERSISTENT };
		int theirs;

		ASSERT_EQ(0, setresuid(2000, 2000, 2000));
		ASSERT_EQ(0, prctl(PR_SET_DUMPABLE, 1));
		if (unshare(CLONE_NEWUSER | CLONE_NEWIPC))
			SKIP(_exit(KSFT_SKIP), "no user namespaces for everybody here");
		EXPECT_EQ(-EPERM, fd_publisher(bus, RONBUS_PUBLISHER_MAPPED, NULL));
		EXPECT_LE(0, fd_publisher(bus, 0, NULL));
		theirs = bus_create(self->control, args);
		EXPECT_LE(0, theirs);
		EXPECT_LE(0, fd_publisher(theirs, RONBUS_PUBLISHER_MAPPED, NULL));
		_exit(0);
	}
	child_status(pid);
	close(bus);
}

/* ---- seal and end ----------------------------------------------------------------------- */

TEST_F(join, seal)
{
	int bus = CREATE(.name = "publish-seal"), reader, writer;
	struct subscriber s;
	struct publisher p;
	struct message msg;
	struct ronbus_info info;

	ASSERT_LE(0, bus);
	reader = bus_attach(self->control, "publish-seal", RONBUS_ACCESS_SUBSCRIBE);
	writer = bus_attach(self->control, "publish-seal", RONBUS_ACCESS_PUBLISH);
	ASSERT_LE(0, reader);
	ASSERT_LE(0, writer);
	ASSERT_EQ(0, publisher_join(&p, bus, RONBUS_PUBLISHER_MAPPED));
	ASSERT_EQ(0, subscriber_join(&s, bus, RONBUS_START_LATEST, 0));

	EXPECT_EQ(-EACCES, bus_seal(reader));
	ASSERT_EQ(0, fd_info(bus, &info));
	EXPECT_EQ(0, info.status);
	EXPECT_EQ(0, bus_seal(writer));
	ASSERT_EQ(0, fd_info(bus, &info));
	EXPECT_EQ(RONBUS_STATUS_SEALED, info.status);
	EXPECT_EQ(RONBUS_STATUS_SEALED, s.m.page->status);
	EXPECT_EQ(0, bus_seal(bus));

	EXPECT_EQ(-EPERM, fd_publisher(bus, 0, NULL));
	EXPECT_EQ(-EPERM, fd_publisher(writer, RONBUS_PUBLISHER_MAPPED, NULL));
	/* Readers may still come, and the one that is there goes on. */
	close(fd_subscribe(reader, RONBUS_START_LATEST, 0, NULL));
	EXPECT_EQ(1, publish_number(&p, 7));
	EXPECT_EQ(1, subscriber_read(&s, &msg));
	EXPECT_TRUE(message_whole(msg.data, msg.len, 7));
	EXPECT_EQ(-EAGAIN, subscriber_read(&s, &msg));
	publisher_leave(&p);
	ASSERT_EQ(0, fd_info(bus, &info));
	EXPECT_EQ(RONBUS_STATUS_SEALED | RONBUS_STATUS_ENDED, info.status);
	EXPECT_EQ(0, subscriber_read(&s, &msg));
}

/* The access that an fd has in the hands of @uid. */
static int access_as(int fd, uid_t uid)
{
	struct ronbus_info info;

	if (seteuid(0) || seteuid(uid) || fd_info(fd, &info))
		return -EIO;
	return (int)info.access;
}

static int status_of(int fd)
{
	struct ronbus_info info;

	return fd_info(fd, &info) ? -EIO : (int)info.status;
}

#define THE_OWNER 1000
#define A_STRANGER 2000

FIXTURE(end)
{
	int control;
	int bus; /* what CREATE returned to the owner */
	int owner; /* what ATTACH returned to it */
	int stranger; /* and to a stranger */
};

static int close_if_fd(int fd)
{
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

FIXTURE_SETUP(end)
{
	self->control = OPEN_CONTROL();
	if (geteuid())
		SKIP(return, "needs root, to be somebody else");
	ASSERT_EQ(0, seteuid(THE_OWNER));
	self->bus = CREATE(.name = "publish-end", .mode = 0666);
	ASSERT_LE(0, self->bus);
	self->owner = bus_attach(self->control, "publish-end", 3);
	ASSERT_LE(0, self->owner);
	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, seteuid(A_STRANGER));
	self->stranger = bus_attach(self->control, "publish-end", 3);
	ASSERT_LE(0, self->stranger);
}

FIXTURE_TEARDOWN(end)
{
	close(self->bus);
	close(self->owner);
	close(self->stranger);
	close(self->control);
}

/* Who may publish may not end the bus, unless it is his, or he was given its creator's fd. */
TEST_F(end, access)
{
	int member;

	EXPECT_EQ(3, access_as(self->stranger, A_STRANGER));
	EXPECT_EQ(7, access_as(self->stranger, THE_OWNER));
	EXPECT_EQ(7, access_as(self->stranger, 0)); /* CAP_IPC_OWNER */
	EXPECT_EQ(7, access_as(self->owner, THE_OWNER));
	EXPECT_EQ(3, access_as(self->owner, A_STRANGER));
	EXPECT_EQ(7, access_as(self->bus, THE_OWNER));
	EXPECT_EQ(7, access_as(self->bus, A_STRANGER));

	/* A member has the access that it joined with. */
	member = fd_publisher(self->stranger, 0, NULL);
	EXPECT_EQ(3, access_as(member, THE_OWNER));
	member = fd_subscribe(self->bus, RONBUS_START_LATEST, 0, NULL);
	EXPECT_EQ(7, access_as(member, A_STRANGER));
	/* It is not to be had for the asking. */
	EXPECT_EQ(-EINVAL, bus_attach(self->control, "publish-end", RONBUS_ACCESS_END));
	EXPECT_EQ(-EINVAL, bus_attach(self->control, "publish-end", 3 | RONBUS_ACCESS_END));
}

/* An fd of less access, made to be passed on; of more there is none to be made. */
TEST_F(end, sharing)
{
	struct ronbus_stats stats;
	u32 has, access;
	int fd, again;

	for (access = 1; access < 8; access++) {
		bool good = access != RONBUS_ACCESS_END &&
			    access != (RONBUS_ACCESS_END | RONBUS_ACCESS_SUBSCRIBE);

		fd = bus_share(self->bus, access);
		if (!good) {
			EXPECT_EQ(-EINVAL, fd);
			continue;
		}
		ASSERT_LE(0, fd);
		EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
		EXPECT_EQ(access, access_as(fd, A_STRANGER));
		EXPECT_EQ(access & RONBUS_ACCESS_SUBSCRIBE ? 0 : -EACCES,
			  close_if_fd(fd_subscribe(fd, RONBUS_START_LATEST, 0, NULL)));
		EXPECT_EQ(access & RONBUS_ACCESS_PUBLISH ? 0 : -EACCES,
			  close_if_fd(fd_publisher(fd, 0, NULL)));
		for (has = 1; has < 8; has++) {
			if (has == 4 || has == 5)
				continue;
			again = bus_share(fd, has);
			EXPECT_EQ(has & ~access ? -EACCES : 0, again < 0 ? again : 0)
			TH_LOG("%u of %u", has, access);
			if (again >= 0)
				close(again);
		}
		close(fd);
		if (access & RONBUS_ACCESS_END)
			break; /* by its publisher's leaving */
	}
	/* A stranger passes on what it has; the owner may give away the right to end, too. */
	EXPECT_EQ(-EACCES, bus_share(self->stranger, 6));
	EXPECT_EQ(-EACCES, bus_share(self->owner, 6)); /* in the wrong hands */
	fd = bus_share(self->stranger, 2);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EPERM, bus_seal(fd));
	close(fd);
	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, seteuid(THE_OWNER));
	fd = bus_share(self->owner, 6);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, seteuid(A_STRANGER));
	EXPECT_EQ(0, bus_seal(fd));
	EXPECT_EQ(0, fd_stats(fd, RONBUS_STATS_BUS, &stats));
	close(fd);
}

TEST_F(end, sealing)
{
	EXPECT_EQ(-EPERM, bus_seal(self->stranger));
	EXPECT_EQ(-EPERM, bus_seal(self->owner)); /* in the wrong hands */
	EXPECT_EQ(0, status_of(self->bus));
	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, seteuid(THE_OWNER));
	EXPECT_EQ(0, bus_seal(self->stranger));
	EXPECT_EQ(RONBUS_STATUS_SEALED | RONBUS_STATUS_ENDED, status_of(self->bus));
}

TEST_F(end, sealing_by_whom_it_was_passed_to)
{
	EXPECT_EQ(0, bus_seal(self->bus));
	EXPECT_EQ(RONBUS_STATUS_SEALED | RONBUS_STATUS_ENDED, status_of(self->bus));
}

/* A stranger who comes first, and goes, ends nothing. */
TEST_F(end, a_stranger_leaves)
{
	int pub = fd_publisher(self->stranger, 0, NULL), other;

	ASSERT_LE(0, pub);
	close(pub);
	EXPECT_EQ(0, status_of(self->bus));
	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, seteuid(THE_OWNER));
	pub = fd_publisher(self->bus, 0, NULL);
	ASSERT_LE(0, pub);
	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, seteuid(A_STRANGER));
	other = fd_publisher(self->stranger, 0, NULL);
	ASSERT_LE(0, other);
	/* With the owner's gone, the last one ends it, whoever it is. */
	close(pub);
	EXPECT_EQ(0, status_of(self->bus));
	close(other);
	EXPECT_EQ(RONBUS_STATUS_ENDED, status_of(self->bus));
	EXPECT_EQ(-ESHUTDOWN, fd_publisher(self->stranger, 0, NULL));
}

/* The owner is who he is, whatever fd he has. */
TEST_F(end, the_owner_leaves)
{
	int pub;

	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, seteuid(THE_OWNER));
	pub = fd_publisher(self->stranger, RONBUS_PUBLISHER_MAPPED, NULL);
	ASSERT_LE(0, pub);
	close(pub);
	EXPECT_EQ(RONBUS_STATUS_ENDED, status_of(self->bus));
}

TEST_F(join, seal_without_publisher)
{
	static const u32 kinds[] = { 0, RONBUS_BUS_PERSISTENT };
	size_t i;

	for (i = 0; i < 2; i++) {
		int bus = CREATE(.flags = kinds[i]), fd;
		struct subscriber s;
		struct message msg;

		ASSERT_LE(0, bus);
		ASSERT_EQ(0, subscriber_join(&s, bus, RONBUS_START_LATEST, 0));
		EXPECT_EQ(-EAGAIN, subscriber_read(&s, &msg));
		EXPECT_EQ(0, fd_arm(s.m.fd));
		EXPECT_EQ(0, bus_seal(bus));
		EXPECT_EQ(0, subscriber_read(&s, &msg));
		EXPECT_EQ(RONBUS_STATUS_SEALED | RONBUS_STATUS_ENDED, s.m.page->status);
		fd = fd_publisher(bus, 0, NULL);
		EXPECT_TRUE(fd == -EPERM || fd == -ESHUTDOWN);
		subscriber_leave(&s);
		close(bus);
	}
}

TEST_F(join, persistent)
{
	int bus = CREATE(.flags = RONBUS_BUS_PERSISTENT);
	struct ronbus_info info;
	struct subscriber s;
	struct publisher p;
	struct message msg;
	int i;

	ASSERT_LE(0, bus);
	ASSERT_EQ(0, subscriber_join(&s, bus, RONBUS_START_LATEST, 0));
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, publisher_join(&p, bus, i % 2 ? RONBUS_PUBLISHER_MAPPED : 0));
		EXPECT_EQ(1, publish_number(&p, (u64)i));
		publisher_leave(&p);
		ASSERT_EQ(0, fd_info(bus, &info));
		EXPECT_EQ(0, info.status);
		EXPECT_EQ(0, info.publishers);
		EXPECT_EQ(1, subscriber_read(&s, &msg));
		EXPECT_TRUE(message_whole(msg.data, msg.len, (u64)i));
		EXPECT_EQ(-EAGAIN, subscriber_read(&s, &msg));
	}
	/* Sealed, it ends with the last one like any other. */
	ASSERT_EQ(0, publisher_join(&p, bus, RONBUS_PUBLISHER_MAPPED));
	EXPECT_EQ(0, bus_seal(bus));
	EXPECT_EQ(-EAGAIN, subscriber_read(&s, &msg));
	publisher_leave(&p);
	EXPECT_EQ(0, subscriber_read(&s, &msg));
	EXPECT_EQ(RONBUS_STATUS_SEALED | RONBUS_STATUS_ENDED, s.m.page->status);
}

/* Only the last to leave ends it, whichever way it published. */
TEST_F(join, last_publisher)
{
	struct publisher mapped, by_syscall;
	struct ronbus_info info;
	struct subscriber s;
	int bus, which, other;

	for (which = 0; which < 2; which++) {
		bus = CREATE(0);
		ASSERT_LE(0, bus);
		ASSERT_EQ(0, subscriber_join(&s, bus, RONBUS_START_LATEST, 0));
		ASSERT_EQ(0, publisher_join(&mapped, bus, RONBUS_PUBLISHER_MAPPED));
		ASSERT_EQ(0, publisher_join(&by_syscall, bus, 0));
		publisher_leave(which ? &mapped : &by_syscall);
		ASSERT_EQ(0, fd_info(bus, &info));
		EXPECT_EQ(0, info.status);
		EXPECT_EQ(1, info.publishers);
		/* An open mapping is a publisher that is still there. */
		other = which ? by_syscall.m.fd : mapped.m.fd;
		close(other);
		ASSERT_EQ(0, fd_info(bus, &info));
		EXPECT_EQ(0, info.status);
		member_unmap(which ? &by_syscall.m : &mapped.m);
		ASSERT_EQ(0, fd_info(bus, &info));
		EXPECT_EQ(RONBUS_STATUS_ENDED, info.status);
		EXPECT_EQ(0, info.publishers);
		EXPECT_EQ(-ESHUTDOWN, fd_publisher(bus, 0, NULL));
		EXPECT_EQ(-ESHUTDOWN, fd_publisher(bus, RONBUS_PUBLISHER_MAPPED, NULL));
		EXPECT_EQ(0, bus_seal(bus));
		subscriber_leave(&s);
		close(bus);
	}
}

/* ---- joining as a subscriber ------------------------------------------------------------ */

TEST_F(join, subscribe_arguments)
{
	struct ronbus_subscribe args;
	struct ronbus_info info;
	int bus = CREATE(0), bit;
	u32 start;

	ASSERT_LE(0, bus);
	for (start = 3; start < 70; start++) {
		EXPECT_EQ(-EINVAL, fd_subscribe(bus, start, 0, NULL));
	}
	EXPECT_EQ(-EINVAL, fd_subscribe(bus, ~0U, 0, NULL));
	EXPECT_EQ(-EINVAL, fd_subscribe(bus, RONBUS_START_LATEST, 64, NULL));
	EXPECT_EQ(-EINVAL, fd_subscribe(bus, RONBUS_START_OLDEST, 1, NULL));
	EXPECT_EQ(-ERANGE, fd_subscribe(bus, RONBUS_START_AT, 0, NULL));
	EXPECT_EQ(-ERANGE, fd_subscribe(bus, RONBUS_START_AT, 63, NULL));
	EXPECT_EQ(-ERANGE, fd_subscribe(bus, RONBUS_START_AT, 65, NULL));
	EXPECT_EQ(-ERANGE, fd_subscribe(bus, RONBUS_START_AT, 1ULL << 63, NULL));
	/* Topics are chosen with RONBUS_F_INTEREST only. */
	for (bit = 0; bit < 64; bit++) {
		memset(&args, 0, sizeof(args));
		args.topics = ~0ULL & ~(1ULL << bit);
		EXPECT_EQ(-EINVAL, do_ioctl(bus, RONBUS_IOC_SUBSCRIBE, &args));
	}
	args.topics = 0;
	EXPECT_EQ(-EINVAL, do_ioctl(bus, RONBUS_IOC_SUBSCRIBE, &args));
	ASSERT_EQ(0, fd_info(bus, &info));
	EXPECT_EQ(0, info.subscribers);
	EXPECT_LE(0, fd_subscribe(bus, RONBUS_START_AT, 64, &args));
	EXPECT_EQ(64, args.position);
	EXPECT_EQ(0, args.index);
}

TEST_F(join, subscriber_places)
{
	int bus = CREATE(0), fds[64], i;
	struct ronbus_subscribe args;
	struct ronbus_info info;

	ASSERT_LE(0, bus);
	for (i = 0; i < 64; i++) {
		fds[i] = fd_subscribe(bus, RONBUS_START_LATEST, 0, &args);
		ASSERT_LE(0, fds[i]);
		EXPECT_EQ(i, args.index);
		ASSERT_EQ(0, fd_info(fds[i], &info));
		EXPECT_EQ(i, info.member);
		EXPECT_EQ(i == 63 ? ~0ULL : (2ULL << i) - 1, info.subscribers);
	}
	EXPECT_EQ(-ENOSPC, fd_subscribe(bus, RONBUS_START_LATEST, 0, &args));
	for (i = 63; i >= 0; i -= 9) {
		close(fds[i]);
		fds[i] = fd_subscribe(bus, RONBUS_START_LATEST, 0, &args);
		EXPECT_LE(0, fds[i]);
		EXPECT_EQ(i, args.index);
		EXPECT_EQ(-ENOSPC, fd_subscribe(bus, RONBUS_START_LATEST, 0, &args));
	}
	/* A copy of the fd keeps the place. */
	i = dup(fds[5]);
	close(fds[5]);
	EXPECT_EQ(-ENOSPC, fd_subscribe(bus, RONBUS_START_LATEST, 0, &args));
	close(i);
	EXPECT_LE(0, fd_subscribe(bus, RONBUS_START_LATEST, 0, &args));
	EXPECT_EQ(5, args.index);
}

/* Every change of the audience is another generation. */
TEST_F(join, generation)
{
	int bus = CREATE(0), i;
	struct subscriber s;
	u64 generation;

	ASSERT_LE(0, bus);
	ASSERT_EQ(0, subscriber_join(&s, bus, RONBUS_START_LATEST, 0));
	generation = s.m.page->generation;
	for (i = 0; i < 5; i++) {
		int fd = fd_subscribe(bus, RONBUS_START_LATEST, 0, NULL);

		ASSERT_LE(0, fd);
		EXPECT_LT(generation, RB_READ(&s.m.page->generation));
		generation = RB_READ(&s.m.page->generation);
		EXPECT_EQ(3, RB_READ(&s.m.page->audience[i]));
		close(fd);
		EXPECT_LT(generation, RB_READ(&s.m.page->generation));
		generation = RB_READ(&s.m.page->generation);
		EXPECT_EQ(1, RB_READ(&s.m.page->audience[i]));
	}
}

/* ---- a ring that somebody writes nonsense into ------------------------------------------ */

FIXTURE(nonsense)
{
	int control;
	int bus;
	struct publisher evil;
	struct publisher pub;
	struct subscriber s;
};

FIXTURE_SETUP(nonsense)
{
	self->control = OPEN_CONTROL();
	self->bus =
		bus_create(self->control, (struct ronbus_create){ .features = RONBUS_F_EDGE_NOTIFY,
								  .capacity = 8,
								  .payload = LEN });
	ASSERT_LE(0, self->bus);
	ASSERT_EQ(0, publisher_join(&self->evil, self->bus, RONBUS_PUBLISHER_MAPPED));
	ASSERT_EQ(0, publisher_join(&self->pub, self->bus, 0));
	ASSERT_EQ(0, subscriber_join(&self->s, self->bus, RONBUS_START_LATEST, 0));
	ASSERT_EQ(0, fd_nonblock(self->s.m.fd));
}

FIXTURE_TEARDOWN(nonsense)
{
	close(self->bus);
	close(self->control);
}

/*
 * Whatever the ring and the subscriber's page say, calls return, and return what they may; nothing
 * is read from where it should not be: a length is at most the payload.
 */
TEST_F(nonsense, words_of_the_ring)
{
	static const u64 words[] = {
		0,
		1,
		2,
		3,
		255,
		256,
		~0ULL,
		1ULL << 63,
		~0ULL >> 1,
		0xffffffff,
		1ULL << 32,
		RONBUS_STATE(1, 1, RONBUS_KIND_BUSY),
		RONBUS_STATE(~0ULL >> 8, 63, 3),
		RONBUS_STATE(~0ULL >> 8, 0, RONBUS_KIND_READY),
	};
	size_t words_in = self->evil.m.info.ring_bytes / 8, i;
	u64 *ring = (void *)self->evil.m.ring.head, random = random_seed();
	struct ronbus_stats stats;
	char buf[4096];
	int round;

	for (round = 0; round < 300; round++) {
		u64 position = 8;
		long ret;
		int fd;

		for (i = 0; i < words_in; i++) {
			random = random_next(random);
			RB_WRITE(ring + i,
				 random >> 60 ? words[(random >> 40) % ARRAY_SIZE(words)] : random);
		}
		random = random_next(random);
		RB_WRITE(&self->s.m.self->cursor,
			 random >> 40 & 1 ? random : words[(random >> 44) % ARRAY_SIZE(words)]);

		ret = publish_number(&self->pub, (u64)round);
		ASSERT_TRUE(ret == 1 || ret == -EAGAIN) TH_LOG("PUBLISH returned %ld", ret);
		ret = fd_read(self->s.m.fd, buf, sizeof(buf));
		ASSERT_TRUE(ret == -EAGAIN || (ret >= (long)sizeof(struct ronbus_record) &&
					       ret % 8 == 0 && ret <= (long)sizeof(buf)))
		TH_LOG("read returned %ld", ret);
		if (ret > 0) {
			struct ronbus_record head;

			memcpy(&head, buf, sizeof(head));
			ASSERT_GE(LEN, head.len);
			ASSERT_GT(RONBUS_TOPICS_MAX, head.topic);
		}
		ret = fd_wait(self->s.m.fd, 0);
		ASSERT_TRUE(ret == 0 || ret == -ETIMEDOUT);
		ret = fd_arm(self->s.m.fd);
		ASSERT_TRUE(ret == 0 || ret == 1);
		ret = fd_poll(self->s.m.fd, POLLIN);
		ASSERT_TRUE(ret == 0 || ret == POLLIN);
		ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
		ASSERT_EQ(0, fd_stats(self->s.m.fd, self->s.index, &stats));
		ASSERT_EQ(0, fd_notify(self->evil.m.fd, ~0ULL, NULL));
		for (i = 0; i < 3; i++) {
			fd = fd_subscribe(self->bus, (u32)i, i == 2 ? position : 0, NULL);
			ASSERT_TRUE(fd >= 0 || fd == -ERANGE) TH_LOG("SUBSCRIBE %d", fd);
			if (fd >= 0) {
				EXPECT_LE(-1, read(fd, buf, fd_nonblock(fd) ? 0 : sizeof(buf)));
				close(fd);
			}
		}
	}
	/* The one that wrote it leaves, and its slots are looked through. */
	member_unmap(&self->evil.m);
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
}

/* Each word of its own page is the subscriber's to spoil, for itself alone. */
TEST_F(nonsense, own_page)
{
	struct subscriber other;
	u64 *page = (void *)self->s.m.self;
	size_t i, words = self->s.m.info.self_bytes / 8;
	struct ronbus_stats stats;
	struct message msg;
	char buf[4096];
	u64 n;

	ASSERT_EQ(0, subscriber_join(&other, self->bus, RONBUS_START_LATEST, 0));
	for (n = 0; n < 50; n++) {
		for (i = 0; i < words; i++)
			RB_WRITE(page + i, n % 2 ? ~0ULL : n << 56 | n);
		(void)fd_read(self->s.m.fd, buf, sizeof(buf));
		(void)fd_poll(self->s.m.fd, POLLIN);
		EXPECT_EQ(1, publish_number(&self->pub, n));
		ASSERT_EQ(0, fd_stats(self->s.m.fd, self->s.index, &stats));
		/* The neighbour notices nothing. */
		ASSERT_EQ(1, subscriber_read(&other, &msg));
		EXPECT_TRUE(message_whole(msg.data, msg.len, n));
		EXPECT_EQ(0, msg.lost);
		ASSERT_EQ(0, fd_stats(other.m.fd, other.index, &stats));
		EXPECT_EQ(n + 1, stats.counters.delivered_total);
	}
	subscriber_leave(&self->s);
	EXPECT_EQ(1, publish_number(&self->pub, 99));
	ASSERT_EQ(1, subscriber_read(&other, &msg));
	EXPECT_TRUE(message_whole(msg.data, msg.len, 99));
}

TEST_HARNESS_MAIN
