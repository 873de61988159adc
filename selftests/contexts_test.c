// SPDX-License-Identifier: GPL-2.0
/*
 * Where two meet at one subscriber: two threads that arm it, one that reads while another is
 * cancelled, a notification while it leaves, and what the next owner of its place finds.
 */
#include <liburing.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include "ronbus_kselftest.h"

#define EDGE ((u64)RONBUS_F_EDGE_NOTIFY)
#define TOPICS ((u64)RONBUS_F_INTEREST)
#define MANY ((u64)RONBUS_F_COALESCE)
#define SLOTS 4096U
#define LONG_DELAY (10 * SEC)

static int join(struct subscriber *s, int bus, u64 topics, u32 start)
{
	struct ronbus_subscribe args = { .topics = topics, .start = start };
	int fd = do_ioctl(bus, RONBUS_IOC_SUBSCRIBE, &args);

	if (fd < 0)
		return fd;
	s->index = args.index;
	s->start = args.position;
	return member_map(&s->m, fd, PROT_READ);
}

static int coalesce(int fd, u32 messages, u64 delay)
{
	struct ronbus_coalesce args = { .messages = messages, .delay_ns = delay };

	return do_ioctl(fd, RONBUS_IOC_COALESCE, &args);
}

static bool blocked(const struct subscriber *s)
{
	return RB_READ(&s->m.page->blocked) >> s->index & 1;
}

static int send_topic(struct publisher *p, u32 topic, u32 n)
{
	struct ronbus_vec vec[100];
	u32 i;

	for (i = 0; i < n; i++)
		vec[i] = (struct ronbus_vec){ .data = (uintptr_t)&topic, .len = sizeof(topic) };
	return publisher_send(p, topic, vec, n);
}

/* The rest of a publish that was begun with publisher_claim(). */
static void finish(struct publisher *p, const struct ronbus_claim *claim, u32 topic)
{
	u64 audience = RB_READ(&p->m.page->audience[topic]);

	ronbus_ring_write(&p->m.ring, claim->pos, audience, topic, &topic, sizeof(topic));
	ronbus_ring_commit_last(&p->m.ring, claim->pos, p->id);
	ronbus_ring_advance(&p->m.ring, claim->pos + 1);
	publisher_wake(p, topic, audience, claim->pos + 1);
}

FIXTURE(contexts)
{
	int control;
	int bus;
	struct publisher pub, mapped;
	struct subscriber other;
};

FIXTURE_VARIANT(contexts)
{
	u64 features;
};

FIXTURE_VARIANT_ADD(contexts, edge){ EDGE | TOPICS | MANY };
FIXTURE_VARIANT_ADD(contexts, every_message_notified){ TOPICS | MANY };

FIXTURE_SETUP(contexts)
{
	self->control = OPEN_CONTROL();
	self->bus =
		bus_create(self->control, (struct ronbus_create){ .features = variant->features,
								  .flags = RONBUS_BUS_PERSISTENT,
								  .capacity = SLOTS,
								  .payload = 8 });
	ASSERT_LE(0, self->bus);
	ASSERT_EQ(0, publisher_join(&self->pub, self->bus, 0));
	ASSERT_EQ(0, publisher_join(&self->mapped, self->bus, RONBUS_PUBLISHER_MAPPED));
	ASSERT_EQ(0, join(&self->other, self->bus, 1ULL << 1, RONBUS_START_LATEST));
}

FIXTURE_TEARDOWN(contexts)
{
	subscriber_leave(&self->other);
	publisher_leave(&self->mapped);
	publisher_leave(&self->pub);
	close(self->bus);
	close(self->control);
}

/* ---- leaving while somebody decides about waking it -------------------------------------- */

struct notifier {
	int fd;
	bool stop;
	u64 count;
};

static void *notify_always(void *arg)
{
	struct notifier *n = arg;

	while (!__atomic_load_n(&n->stop, __ATOMIC_RELAXED)) {
		fd_notify(n->fd, ~0ULL, NULL);
		__atomic_fetch_add(&n->count, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/*
 * 2,000 messages that it does not want lie before a subscriber that coalesces: it takes a while to
 * count them, and it leaves at once. The page that is counted from must be there until then.
 */
TEST_F(contexts, leaves_while_put_off)
{
	u64 end = now_ns() + test_seconds(4) * SEC, lives = 0;
	struct notifier n = { .fd = self->pub.m.fd };
	pthread_t threads[3];
	int i, fd;

	for (i = 0; i < 20; i++)
		ASSERT_EQ(100, send_topic(&self->pub, 1, 100));
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, notify_always, &n));
	while (now_ns() < end) {
		struct ronbus_subscribe args = { .topics = 1ULL << 2,
						 .start = RONBUS_START_OLDEST };

		fd = do_ioctl(self->bus, RONBUS_IOC_SUBSCRIBE, &args);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, coalesce(fd, 1024, LONG_DELAY));
		EXPECT_LE(0, fd_arm(fd));
		close(fd);
		lives++;
	}
	__atomic_store_n(&n.stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	EXPECT_LT(0, lives);
	EXPECT_LT(0, n.count);
	TH_LOG("%llu lives, %llu notifications", lives, n.count);
}

/* ---- blocked ------------------------------------------------------------------------------ */

/* It arms in front of a message that is being written; when that is over, others are others'. */
static void arms_before_a_busy_slot(struct __test_metadata *_metadata, struct publisher *mapped,
				    struct subscriber *s)
{
	struct ronbus_claim claim = { .pos = ronbus_ring_hint(&mapped->m.ring) };

	ASSERT_EQ(0, publisher_claim(mapped, &claim));
	EXPECT_EQ(0, fd_arm(s->m.fd));
	EXPECT_TRUE(blocked(s));
	finish(mapped, &claim, 1);
	RB_WRITE(&s->m.self->cursor, claim.pos + 1);
	EXPECT_EQ(0, fd_arm(s->m.fd));
	EXPECT_FALSE(blocked(s));
}

TEST_F(contexts, blocked_ends)
{
	struct subscriber s;
	u64 before;
	int i;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, join(&s, self->bus, 1ULL << 2, RONBUS_START_LATEST));
		if (i)
			ASSERT_EQ(0, coalesce(s.m.fd, 100, LONG_DELAY));
		arms_before_a_busy_slot(_metadata, &self->mapped, &s);
		before = self->mapped.notifies;
		ASSERT_EQ(1, send_topic(&self->mapped, 1, 1));
		/* Without EDGE_NOTIFY every message is notified, to those it is for. */
		EXPECT_EQ(before + !(variant->features & EDGE), self->mapped.notifies);
		EXPECT_TRUE(subscriber_armed(&s));
		subscriber_leave(&s);
	}
}

/* A place that is given on is clean. */
TEST_F(contexts, next_owner_is_not_blocked)
{
	struct ronbus_claim claim = { .pos = ronbus_ring_hint(&self->mapped.m.ring) };
	struct subscriber s;
	u32 index;
	int i;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, join(&s, self->bus, 1ULL << 2, RONBUS_START_LATEST));
		if (i)
			ASSERT_EQ(0, coalesce(s.m.fd, 100, LONG_DELAY));
		ASSERT_EQ(0, publisher_claim(&self->mapped, &claim));
		EXPECT_EQ(0, fd_arm(s.m.fd));
		EXPECT_TRUE(blocked(&s));
		index = s.index;
		subscriber_leave(&s);
		finish(&self->mapped, &claim, 1);
		ASSERT_EQ(0, join(&s, self->bus, 1ULL << 2, RONBUS_START_LATEST));
		EXPECT_EQ(index, s.index);
		EXPECT_FALSE(blocked(&s));
		EXPECT_FALSE(subscriber_armed(&s));
		subscriber_leave(&s);
	}
}

/* ---- two threads that arm ----------------------------------------------------------------- */

/**
 * struct second - the other thread of a subscriber: it arms once a round
 * @fd: the subscriber
 * @round: the round that is on; ~0 to end
 * @done: the last round that it armed in
 * @told: what it was told then
 */
struct second {
	int fd;
	u64 round, done;
	int told;
};

static void *arm_each_round(void *arg)
{
	struct second *me = arg;
	u64 round = 0, seen;

	for (;;) {
		while ((seen = __atomic_load_n(&me->round, __ATOMIC_ACQUIRE)) == round)
			;
		if (seen == ~0ULL)
			return NULL;
		round = seen;
		me->told = fd_arm(me->fd);
		__atomic_store_n(&me->done, round, __ATOMIC_RELEASE);
	}
}

/* Burn a while that differs from round to round. */
static void dawdle(u64 *random, unsigned int most)
{
	volatile unsigned int spin;

	*random = random_next(*random);
	for (spin = (*random >> 33) % most; spin; spin--)
		;
}

/*
 * Both arm while a message comes, with an eventfd. Whoever is told "armed" may rely on the eventfd,
 * also if the bit was taken back by the other, which found the message.
 */
TEST_F(contexts, told_armed_is_signalled)
{
	u64 random = random_seed(), rounds = 500 * test_seconds(4), round, told = 0, value;
	int eventfd_ = eventfd(0, EFD_NONBLOCK), first;
	struct second second = { 0 };
	struct subscriber s;
	pthread_t thread;

	ASSERT_EQ(0, join(&s, self->bus, 1ULL << 2, RONBUS_START_LATEST));
	ASSERT_EQ(0, fd_set_eventfd(s.m.fd, eventfd_));
	second.fd = s.m.fd;
	ASSERT_EQ(0, pthread_create(&thread, NULL, arm_each_round, &second));
	for (round = 1; round <= rounds; round++) {
		RB_WRITE(&s.m.self->cursor, ronbus_ring_tail(&s.m.ring));
		(void)!read(eventfd_, &value, sizeof(value));
		__atomic_store_n(&second.round, round, __ATOMIC_RELEASE);
		dawdle(&random, 2000);
		first = fd_arm(s.m.fd);
		dawdle(&random, 500);
		ASSERT_EQ(1, send_topic(&self->mapped, 2, 1));
		ASSERT_TRUE(spin_until(__atomic_load_n(&second.done, __ATOMIC_ACQUIRE) == round));
		if (first && second.told)
			continue;
		told++;
		ASSERT_TRUE(wait_until(read(eventfd_, &value, sizeof(value)) == sizeof(value)))
		{
			TH_LOG("round %llu: told %d and %d, and no signal", round, first,
			       second.told);
		}
	}
	__atomic_store_n(&second.round, ~0ULL, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	EXPECT_LT(0, told);
	subscriber_leave(&s);
	close(eventfd_);
}

struct sleeper {
	int fd;
	u64 since; /* 0: it does not wait */
	u64 returns;
	bool stop;
	int ret;
};

static void *wait_always(void *arg)
{
	struct sleeper *me = arg;

	while (!__atomic_load_n(&me->stop, __ATOMIC_RELAXED)) {
		if (!__atomic_load_n(&me->since, __ATOMIC_ACQUIRE))
			continue;
		me->ret = fd_wait(me->fd, now_ns() + WATCHDOG);
		__atomic_store_n(&me->since, 0, __ATOMIC_RELEASE);
		__atomic_fetch_add(&me->returns, 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

/*
 * One thread sleeps. Another arms while a publisher begins a message for others, and a second
 * publisher publishes one for the sleeper after it. When the first message is committed the sleeper
 * has something to read, and somebody has to have woken it.
 */
TEST_F(contexts, sleeps_before_a_slow_message_of_others)
{
	u64 random = random_seed(), rounds = 100 * test_seconds(4), round, before;
	struct sleeper sleeper = { 0 };
	struct second second = { 0 };
	pthread_t threads[2];
	struct subscriber s;

	ASSERT_EQ(0, join(&s, self->bus, 1ULL << 2, RONBUS_START_LATEST));
	sleeper.fd = second.fd = s.m.fd;
	ASSERT_EQ(0, pthread_create(&threads[0], NULL, arm_each_round, &second));
	ASSERT_EQ(0, pthread_create(&threads[1], NULL, wait_always, &sleeper));
	for (round = 1; round <= rounds; round++) {
		struct ronbus_claim claim = { .pos = ronbus_ring_tail(&s.m.ring) };

		RB_WRITE(&s.m.self->cursor, claim.pos);
		before = __atomic_load_n(&sleeper.returns, __ATOMIC_ACQUIRE);
		__atomic_store_n(&sleeper.since, 1, __ATOMIC_RELEASE);
		ASSERT_TRUE(wait_until(subscriber_armed(&s)));
		__atomic_store_n(&second.round, round, __ATOMIC_RELEASE);
		dawdle(&random, 3000);
		ASSERT_EQ(0, publisher_claim(&self->mapped, &claim));
		ASSERT_EQ(1, send_topic(&self->pub, 2, 1));
		dawdle(&random, 3000);
		finish(&self->mapped, &claim, 1);
		ASSERT_TRUE(
			wait_until(__atomic_load_n(&sleeper.returns, __ATOMIC_ACQUIRE) != before))
		{
			TH_LOG("round %llu: the sleeper was not woken", round);
		}
		ASSERT_TRUE(spin_until(__atomic_load_n(&second.done, __ATOMIC_ACQUIRE) == round));
	}
	__atomic_store_n(&second.round, ~0ULL, __ATOMIC_RELEASE);
	__atomic_store_n(&sleeper.stop, true, __ATOMIC_RELAXED);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	subscriber_leave(&s);
}

/* What was there when it joined is read by topic: one that is asked for now wakes the sleeper. */
TEST_F(contexts, a_topic_for_a_sleeper)
{
	struct ronbus_topics both = { .topics = 1ULL << 1 | 1ULL << 2 };
	struct sleeper sleeper = { 0 };
	pthread_t thread;
	struct subscriber s;
	int many;

	ASSERT_EQ(1, send_topic(&self->pub, 1, 1));
	for (many = 0; many < 2; many++) {
		ASSERT_EQ(0, join(&s, self->bus, 1ULL << 2, RONBUS_START_OLDEST));
		if (many)
			ASSERT_EQ(0, coalesce(s.m.fd, 8, SEC / 10));
		sleeper = (struct sleeper){ .fd = s.m.fd, .since = 1 };
		ASSERT_EQ(0, pthread_create(&thread, NULL, wait_always, &sleeper));
		ASSERT_TRUE(wait_until(subscriber_armed(&s)));
		ASSERT_EQ(0, do_ioctl(s.m.fd, RONBUS_IOC_SET_TOPICS, &both));
		EXPECT_TRUE(spin_until(__atomic_load_n(&sleeper.returns, __ATOMIC_ACQUIRE)));
		__atomic_store_n(&sleeper.stop, true, __ATOMIC_RELAXED);
		pthread_join(thread, NULL);
		EXPECT_EQ(1, sleeper.returns);
		EXPECT_EQ(0, sleeper.ret);
		subscriber_leave(&s);
	}
}

/* ---- one reads, another cancels ------------------------------------------------------------ */

struct reader {
	int fd;
	bool stop, reading, over;
	long ret;
};

static void *read_always(void *arg)
{
	struct reader *me = arg;
	char buf[64];

	while (!__atomic_load_n(&me->stop, __ATOMIC_RELAXED)) {
		__atomic_store_n(&me->reading, true, __ATOMIC_RELEASE);
		me->ret = fd_read(me->fd, buf, sizeof(buf));
		__atomic_store_n(&me->reading, false, __ATOMIC_RELEASE);
		spin_until(__atomic_load_n(&me->ret, __ATOMIC_ACQUIRE) == 1 ||
			   __atomic_load_n(&me->stop, __ATOMIC_RELAXED));
	}
	__atomic_store_n(&me->over, true, __ATOMIC_RELEASE);
	return NULL;
}

/*
 * read(2) sleeps several times, if what it was woken for is not for it. A cancel that comes between
 * two of these sleeps ends it like any other.
 */
TEST_F(contexts, cancel_between_two_sleeps)
{
	u64 random = random_seed(), rounds = 300 * test_seconds(4), round, waits = 0;
	struct reader reader = { 0 };
	struct subscriber s;
	pthread_t thread;

	ASSERT_EQ(0, join(&s, self->bus, 1ULL << 2, RONBUS_START_LATEST));
	reader.fd = s.m.fd;
	ASSERT_EQ(0, pthread_create(&thread, NULL, read_always, &reader));
	for (round = 0; round < rounds; round++) {
		ASSERT_TRUE(spin_until(__atomic_load_n(&reader.reading, __ATOMIC_ACQUIRE) &&
				       waits_total(&s) > waits));
		/* So many messages for others are a reason to look, and nothing to read. */
		ASSERT_EQ(100, send_topic(&self->pub, 1, 100));
		fd_notify(self->pub.m.fd, 1ULL << s.index, NULL);
		dawdle(&random, 8000);
		ASSERT_EQ(0, do_ioctl(s.m.fd, RONBUS_IOC_CANCEL, NULL));
		ASSERT_TRUE(wait_until(!__atomic_load_n(&reader.reading, __ATOMIC_ACQUIRE)))
		{
			TH_LOG("round %llu: the reader sleeps on", round);
		}
		EXPECT_EQ(-ECANCELED, reader.ret);
		waits = waits_total(&s);
		__atomic_store_n(&reader.ret, 1, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&reader.stop, true, __ATOMIC_RELAXED);
	/* It may be about to read once more. */
	while (!__atomic_load_n(&reader.over, __ATOMIC_ACQUIRE))
		do_ioctl(s.m.fd, RONBUS_IOC_CANCEL, NULL);
	pthread_join(thread, NULL);
	subscriber_leave(&s);
}

/* ---- one reads, another lies --------------------------------------------------------------- */

/*
 * Two messages are enough, and are counted. A publisher takes them back, which no honest one does.
 * When there is nothing to read, nobody is told that there is.
 */
TEST_F(contexts, messages_that_are_taken_back)
{
	char buf[256];
	struct subscriber s;
	u64 pos;

	ASSERT_EQ(0, join(&s, self->bus, 1ULL << 2, RONBUS_START_LATEST));
	ASSERT_EQ(0, fd_nonblock(s.m.fd));
	ASSERT_EQ(0, coalesce(s.m.fd, 2, LONG_DELAY));
	ASSERT_EQ(2, send_topic(&self->pub, 2, 2));
	ASSERT_EQ(POLLIN, fd_poll(s.m.fd, POLLIN));
	for (pos = s.start; pos < s.start + 2; pos++)
		RB_WRITE(ronbus_ring_at(&self->mapped.m.ring, pos).state, 0);
	EXPECT_EQ(-EAGAIN, fd_read(s.m.fd, buf, sizeof(buf)));
	EXPECT_EQ(0, fd_poll(s.m.fd, POLLIN));
	EXPECT_EQ(-ETIMEDOUT, fd_wait(s.m.fd, now_ns() + SEC / 100));
	subscriber_leave(&s);
}

/* Many, of a ring of which a lap takes long, and is not so long that a read looks at signals. */
#define READS 4096U
#define LAP 512U

/* Reads by io_uring that find nothing, of a subscriber that is told that there is something. */
static void read_for_nothing(int fd, u32 *begun)
{
	static char buf[64];
	struct io_uring ring;
	u32 i;

	if (fd_nonblock(fd) || io_uring_queue_init(READS, &ring, 0))
		_exit(KSFT_SKIP);
	for (i = 0; i < READS; i++)
		io_uring_prep_read(io_uring_get_sqe(&ring), fd, buf, sizeof(buf), 0);
	RB_WRITE(begun, 1);
	for (;;)
		io_uring_submit_and_wait(&ring, 1);
}

/*
 * All positions for laps to come are holes: poll(2) says that there is something, and a lap of steps
 * finds nothing. io_uring tries that many times with each read, before it looks at signals.
 */
TEST_F(contexts, reads_that_find_nothing_are_killed)
{
	u32 *begun = shared_memory(sizeof(*begun)), i;
	struct publisher liar;
	struct subscriber s;
	int status, bus;
	pid_t child;

	ASSERT_NE(NULL, begun);
	bus = bus_create(self->control, (struct ronbus_create){ .features = variant->features,
								.flags = RONBUS_BUS_PERSISTENT,
								.capacity = LAP,
								.payload = 8 });
	ASSERT_LE(0, bus);
	ASSERT_EQ(0, publisher_join(&liar, bus, RONBUS_PUBLISHER_MAPPED));
	ASSERT_EQ(0, join(&s, bus, 1ULL << 2, RONBUS_START_LATEST));
	for (i = 0; i < LAP; i++)
		RB_WRITE(ronbus_ring_at(&liar.m.ring, i).hole, 1ULL << 50);
	child = fork();
	if (!child)
		read_for_nothing(s.m.fd, begun);
	wait_until(RB_READ(begun) || waitpid(child, &status, WNOHANG) == child);
	if (!RB_READ(begun))
		SKIP(return, "no io_uring here");
	usleep(100000);
	kill(child, SIGKILL);
	EXPECT_TRUE(wait_until(waitpid(child, &status, WNOHANG) == child));
	subscriber_leave(&s);
	publisher_leave(&liar);
	close(bus);
}

/* ---- one reads into memory that is not there ----------------------------------------------- */

struct stalled {
	int fd;
	void *to;
	long ret;
};

static void *read_once(void *arg)
{
	struct stalled *me = arg;

	me->ret = fd_read(me->fd, me->to, 4096);
	return NULL;
}

/* A call that does not wait does not wait for another reader's page fault either. */
TEST_F(contexts, reader_that_faults_holds_up_nobody)
{
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_zeropage zero = { .range.len = 4096 };
	struct stalled stalled = { 0 };
	struct uffd_msg msg;
	struct subscriber s;
	pthread_t thread;
	char buf[64];
	int uffd;

	uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	ASSERT_LE(0, uffd);
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_API, &api));
	stalled.to = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, stalled.to);
	reg.range = (struct uffdio_range){ (uintptr_t)stalled.to, 4096 };
	zero.range.start = (uintptr_t)stalled.to;
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_REGISTER, &reg));

	ASSERT_EQ(0, join(&s, self->bus, 1ULL << 2, RONBUS_START_LATEST));
	ASSERT_EQ(0, fd_nonblock(s.m.fd));
	ASSERT_EQ(2, send_topic(&self->pub, 2, 2));
	stalled.fd = s.m.fd;
	ASSERT_EQ(0, pthread_create(&thread, NULL, read_once, &stalled));
	ASSERT_EQ((long)sizeof(msg), read(uffd, &msg, sizeof(msg)));
	EXPECT_EQ(-EAGAIN, fd_read(s.m.fd, buf, sizeof(buf)));
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_ZEROPAGE, &zero));
	pthread_join(thread, NULL);
	EXPECT_LT(0, stalled.ret);
	subscriber_leave(&s);
	munmap(stalled.to, 4096);
	close(uffd);
}

TEST_HARNESS_MAIN
