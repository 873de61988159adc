// SPDX-License-Identifier: GPL-2.0
/*
 * io_uring: every wait is woken, however waits and messages meet.
 */
#include "race.h"
#include "uring.h"

/* ---- nobody is forgotten ---------------------------------------------------------------- */

/*
 * Two processes that each wait for the other, through rings only: one lost wake-up, and both sleep
 * for good.
 */
FIXTURE(ping_pong)
{
	int control;
	int bus[2];
};

FIXTURE_VARIANT(ping_pong)
{
	u64 features;
	unsigned int setup;
	bool linked; /* publish and wait in one go */
};

FIXTURE_VARIANT_ADD(ping_pong, edge){ RONBUS_F_EDGE_NOTIFY, 0, false };
FIXTURE_VARIANT_ADD(ping_pong, baseline){ 0, 0, false };
FIXTURE_VARIANT_ADD(ping_pong, linked){ RONBUS_F_EDGE_NOTIFY, 0, true };
FIXTURE_VARIANT_ADD(ping_pong, defer){ RONBUS_F_EDGE_NOTIFY,
				       IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
				       true };
FIXTURE_VARIANT_ADD(ping_pong, sqpoll){ RONBUS_F_EDGE_NOTIFY, IORING_SETUP_SQPOLL, false };

FIXTURE_SETUP(ping_pong)
{
	int i;

	self->control = OPEN_CONTROL();
	for (i = 0; i < 2; i++) {
		self->bus[i] =
			CREATE(.features = variant->features, .capacity = SLOTS, .payload = LEN);
		ASSERT_LE(0, self->bus[i]);
	}
}

FIXTURE_TEARDOWN(ping_pong)
{
	close(self->bus[0]);
	close(self->bus[1]);
	close(self->control);
}

#define ROUNDS 3000U

/* One request and its completion. */
static int ring_do(struct io_uring *ring)
{
	struct completion done;
	int err = io_uring_submit(ring) < 0 ? -EIO : reap(ring, &done);

	return err ? err : done.res;
}

/* Say @number, and wait for the answer. */
static int say_and_wait(struct io_uring *ring, struct publisher *p, struct subscriber *s,
			u64 number, bool linked)
{
	unsigned char data[LEN];
	struct ronbus_vec vec = { .data = (uintptr_t)data, .len = LEN };
	struct completion done;
	struct io_uring_sqe *sqe;
	int err;

	message_fill(data, LEN, number);
	sqe = publish_sqe(ring, p->m.fd, 0, &vec, 1, 0);
	if (linked) {
		sqe->flags |= IOSQE_IO_LINK;
		wait_sqe(ring, s->m.fd, RONBUS_WAIT_FOREVER, 0);
	}
	err = ring_do(ring);
	if (err != 1)
		return err < 0 ? err : -EPIPE;
	if (linked) {
		err = reap(ring, &done);
		return err ? err : done.res;
	}
	wait_sqe(ring, s->m.fd, RONBUS_WAIT_FOREVER, 0);
	return ring_do(ring);
}

/* How many numbers were said up to the end of the time, or an error. */
static long ping_pong(struct publisher *p, struct subscriber *s, unsigned int setup, bool linked,
		      bool first, u64 end)
{
	struct io_uring ring;
	struct message msg;
	u64 number = 0;
	int ret;

	ret = ring_make(&ring, 8, setup);
	if (ret)
		return ret;
	if (!first) {
		wait_sqe(&ring, s->m.fd, RONBUS_WAIT_FOREVER, 0);
		ret = ring_do(&ring);
	}
	while (!ret) {
		if (number || !first) {
			ret = subscriber_read(s, &msg);
			if (ret != 1) /* the end: the other one's time was over first */
				break;
			if (msg.lost || !message_whole(msg.data, msg.len, 2 * number - first))
				ret = -EPROTO;
			else
				ret = 0;
		}
		if (ret || number == ROUNDS || now_ns() > end)
			break;
		ret = say_and_wait(&ring, p, s, 2 * number + !first, linked);
		number++;
	}
	io_uring_queue_exit(&ring);
	return ret ? ret : (long)number;
}

TEST_F(ping_pong, soak)
{
	u64 end = now_ns() + SEC;
	struct publisher p[2];
	struct subscriber s[2];
	long count;
	pid_t pid;
	int i;

	/* Joined before anything is said; each keeps its own half. */
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, subscriber_join(&s[i], self->bus[!i], RONBUS_START_LATEST, 0));
	}
	pid = fork();
	ASSERT_LE(0, pid);
	i = !pid;
	/* The mappings did not come along. */
	if (!pid) {
		ASSERT_EQ(0, member_map(&s[i].m, s[i].m.fd, PROT_READ));
	}
	close(s[!i].m.fd);
	ASSERT_EQ(0, publisher_join(&p[i], self->bus[i], 0));
	count = ping_pong(&p[i], &s[i], variant->setup, variant->linked, !pid, end);
	publisher_leave(&p[i]);
	subscriber_leave(&s[i]);
	if (!pid)
		_exit(count > 0 ? 0 : 1);
	EXPECT_LT(0, count) TH_LOG("%ld", count);
	EXPECT_EQ(0, child_status(pid));
}

/*
 * The moment itself: in each round a message is published and a wait is submitted, and one of them
 * has to see the other. Whoever came first waits a little longer in the next round.
 */
struct racer {
	struct publisher *pub;
	u64 round; /* of the waiter: the publisher may begin */
	u64 done; /* of the publisher */
	bool stop;
	int failed;
};

static void *racer_main(void *arg)
{
	struct racer *racer = arg;
	u64 round, last = 0;

	settle(1);
	while (!__atomic_load_n(&racer->stop, __ATOMIC_ACQUIRE)) {
		round = __atomic_load_n(&racer->round, __ATOMIC_ACQUIRE);
		if (round == last)
			continue;
		last = round;
		stagger(2000);
		if (publish_number(racer->pub, round) != 1)
			racer->failed++;
		__atomic_store_n(&racer->done, round, __ATOMIC_RELEASE);
	}
	return NULL;
}

TEST_F(uring, publish_against_wait)
{
	u64 random = random_seed(), end = now_ns() + SEC * 6 / 10, waits = 0, round;
	struct racer racer = { .pub = &self->pub };
	u64 first[2] = { 0 }; /* how often the publisher, and the wait */
	long delay = 2000, step = 8;
	bool last = false;
	pthread_t thread;

	settle(0);
	ASSERT_EQ(0, pthread_create(&thread, NULL, racer_main, &racer));
	for (round = 1; now_ns() < end || ((!first[0] || !first[1]) && now_ns() < end + WATCHDOG);
	     round++) {
		u64 now;
		bool slept;

		__atomic_store_n(&racer.round, round, __ATOMIC_RELEASE);
		random = random_next(random);
		stagger(delay + (long)(random >> 40) % 64);
		WAIT(RONBUS_WAIT_FOREVER, round);
		EXPECT_DONE(&self->ring, round, 0);
		ASSERT_TRUE(spin_until(__atomic_load_n(&racer.done, __ATOMIC_ACQUIRE) == round));
		EXPECT_NUMBER(&self->s, round);
		ASSERT_FALSE(subscriber_armed(&self->s));

		now = waits_total(&self->s);
		slept = now != waits;
		waits = now;
		first[slept]++;
		step = slept != last ? 8 : step < 4096 ? 2 * step : step;
		last = slept;
		delay += slept ? step : -step;
		if (delay < 0)
			delay = 0;
	}
	__atomic_store_n(&racer.stop, true, __ATOMIC_RELEASE);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, racer.failed);
	EXPECT_LT(0, first[0]);
	EXPECT_LT(0, first[1]);
}

/* Messages, cancels and deadlines at once, and rings that go away under all of them. */
struct troublemaker {
	struct publisher *pub;
	int fd;
	bool stop;
};

static void *trouble_main(void *arg)
{
	struct troublemaker *t = arg;
	u64 random = random_seed();

	while (!__atomic_load_n(&t->stop, __ATOMIC_ACQUIRE)) {
		random = random_next(random);
		stagger((long)(random >> 40) % 4096);
		if (random >> 61 == 7)
			publish_number(t->pub, random);
		else
			do_ioctl(t->fd, RONBUS_IOC_CANCEL, NULL);
	}
	return NULL;
}

TEST_F(uring, everything_at_once)
{
	struct troublemaker trouble = { .pub = &self->pub, .fd = self->s.m.fd };
	u64 random = random_seed(), end = now_ns() + SEC / 2, seen[3] = { 0 };
	struct message msg;
	pthread_t thread;
	int i;

	ASSERT_EQ(0, pthread_create(&thread, NULL, trouble_main, &trouble));
	while (now_ns() < end ||
	       ((!seen[0] || !seen[1] || !seen[2]) && now_ns() < end + WATCHDOG)) {
		/* On a slow machine time is over before anything else happens: then more of it. */
		int rounds = (int)(random >> 60), shift = now_ns() < end ? 44 : 34;
		struct io_uring ring;

		RING(&ring, variant->setup);
		for (; rounds >= 0; rounds--) {
			for (i = 0; i < 4; i++) {
				random = random_next(random);
				wait_sqe(&ring, self->s.m.fd, now_ns() + (random >> shift), 1)
					->flags |= self->flags;
			}
			SUBMIT(&ring, 4);
			/* The last ones of a ring are left to its end. */
			for (i = 0; rounds && i < 4; i++) {
				struct completion done;

				ASSERT_EQ(0, reap(&ring, &done));
				ASSERT_TRUE(!done.res || done.res == -ETIMEDOUT ||
					    done.res == -ECANCELED)
				TH_LOG("%d", done.res);
				seen[done.res == -ETIMEDOUT ? 1 : done.res ? 2 : 0]++;
			}
			while (subscriber_read(&self->s, &msg) == 1)
				;
		}
		io_uring_queue_exit(&ring);
	}
	__atomic_store_n(&trouble.stop, true, __ATOMIC_RELEASE);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	for (i = 0; i < 3; i++) {
		EXPECT_LT(0, seen[i]) TH_LOG("%d", i);
	}
	while (subscriber_read(&self->s, &msg) == 1)
		;
	WAIT(RONBUS_WAIT_FOREVER, 1);
	EXPECT_PENDS(&self->s, &self->ring);
	ASSERT_EQ(1, publish_number(&self->pub, 1));
	EXPECT_DONE(&self->ring, 1, 0);
}

TEST_HARNESS_MAIN
