// SPDX-License-Identifier: GPL-2.0
/*
 * Nobody is forgotten: two processes that wait for each other, and a publish against a sleep.
 */
#include "race.h"
#include "wait.h"

/* ---- nobody is forgotten ---------------------------------------------------------------- */

/*
 * Two processes that each wait for the other: one lost wake-up, and both sleep for good. Each
 * sleeps in a way of its own, and none has a time limit but the watchdog.
 */
FIXTURE(ping_pong)
{
	int control;
	int bus[2];
};

FIXTURE_VARIANT(ping_pong)
{
	u64 features;
	u32 publisher;
	int how;
	bool spin; /* look a few times before sleeping, to hit the moment */
};

#define PING_PONG(name, features, publisher)                                                \
	FIXTURE_VARIANT_ADD(ping_pong, name##_wait){ features, publisher, BY_WAIT, true };  \
	FIXTURE_VARIANT_ADD(ping_pong, name##_read){ features, publisher, BY_READ, false }; \
	FIXTURE_VARIANT_ADD(ping_pong, name##_poll){ features, publisher, BY_POLL, true };  \
	FIXTURE_VARIANT_ADD(ping_pong, name##_eventfd){ features, publisher, BY_EVENTFD, true };

PING_PONG(mapped_edge, RONBUS_F_EDGE_NOTIFY, RONBUS_PUBLISHER_MAPPED)
PING_PONG(mapped_baseline, 0, RONBUS_PUBLISHER_MAPPED)
PING_PONG(syscall_edge, RONBUS_F_EDGE_NOTIFY, 0)

FIXTURE_SETUP(ping_pong)
{
	int i;

	self->control = OPEN_CONTROL();
	for (i = 0; i < 2; i++) {
		self->bus[i] = bus_create(self->control,
					  (struct ronbus_create){ .features = variant->features,
								  .capacity = SLOTS,
								  .payload = LEN });
		ASSERT_LE(0, self->bus[i]);
	}
}

FIXTURE_TEARDOWN(ping_pong)
{
	close(self->bus[0]);
	close(self->bus[1]);
	close(self->control);
}

/* Sleep until there may be something. */
static int ping_pong_sleep(struct subscriber *s, int how, int event)
{
	struct pollfd p = { .events = POLLIN };
	u64 value;
	int ret;

	switch (how) {
	case BY_WAIT:
		return fd_wait(s->m.fd, RONBUS_WAIT_FOREVER);
	case BY_POLL:
		p.fd = s->m.fd;
		return poll(&p, 1, -1) < 0 ? -errno : 0;
	case BY_EVENTFD:
		ret = fd_arm(s->m.fd);
		if (ret)
			return ret < 0 ? ret : 0;
		return read(event, &value, sizeof(value)) < 0 ? -errno : 0;
	}
	return -ENOSYS;
}

/* Answer every number with the next, up to the end of the time; how many, or an error. */
static long ping_pong(struct publisher *p, struct subscriber *s, int how, bool spin, bool first,
		      u64 end)
{
	int event = eventfd(0, EFD_CLOEXEC), ret, looks = 0;
	struct message msg;
	u64 number = 0;

	if (event < 0 || (how == BY_EVENTFD && fd_set_eventfd(s->m.fd, event)))
		return -EBADF;
	if (first && publish_number(p, number++) != 1)
		return -EPIPE;
	for (;;) {
		if (how == BY_READ) {
			ret = subscriber_read_kernel(s, &msg);
		} else {
			ret = subscriber_read(s, &msg);
			if (ret == -EAGAIN) {
				if (spin && ++looks % 50)
					continue;
				ret = ping_pong_sleep(s, how, event);
				if (ret)
					return ret;
				continue;
			}
		}
		if (ret < 0)
			return ret;
		if (!ret) /* the other one's time was over first */
			return (long)number;
		if (msg.lost || (number && msg.position != SLOTS + number - first) ||
		    !message_whole(msg.data, msg.len, message_number(msg.data)))
			return -EPROTO;
		number++;
		if (now_ns() > end)
			return (long)number;
		if (publish_number(p, message_number(msg.data) + 1) != 1)
			return -EPIPE;
	}
}

TEST_F(ping_pong, soak)
{
	u64 end = now_ns() + SEC / 2;
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
	ASSERT_EQ(0, publisher_join(&p[i], self->bus[i], variant->publisher));
	count = ping_pong(&p[i], &s[i], variant->how, variant->spin, !pid, end);
	publisher_leave(&p[i]);
	subscriber_leave(&s[i]);
	if (!pid)
		_exit(count > 0 ? 0 : 1);
	EXPECT_LT(0, count) TH_LOG("%ld", count);
	EXPECT_EQ(0, child_status(pid));
}

/*
 * The moment itself: in each round a message is published and a subscriber goes to sleep. Whoever
 * came first waits a little longer in the next round, give or take a few steps, so that the two
 * meet again and again, each instruction of the one with each of the other. One of them has to see
 * the other.
 */
FIXTURE(race)
{
	int control;
	int bus;
	struct publisher pub;
	struct subscriber s;
	u64 seed;
	u64 round; /* of the reader: the publisher may begin */
	u64 done; /* of the publisher */
	bool stop;
	int failed;
};

FIXTURE_VARIANT(race)
{
	u32 publisher;
	int how;
};

FIXTURE_VARIANT_ADD(race, mapped_arm){ RONBUS_PUBLISHER_MAPPED, BY_EVENTFD };
FIXTURE_VARIANT_ADD(race, mapped_poll){ RONBUS_PUBLISHER_MAPPED, BY_POLL };
FIXTURE_VARIANT_ADD(race, mapped_wait){ RONBUS_PUBLISHER_MAPPED, BY_WAIT };
FIXTURE_VARIANT_ADD(race, syscall_arm){ 0, BY_EVENTFD };
FIXTURE_VARIANT_ADD(race, syscall_wait){ 0, BY_WAIT };

FIXTURE_SETUP(race)
{
	self->control = OPEN_CONTROL();
	self->seed = random_seed();
	self->bus =
		bus_create(self->control, (struct ronbus_create){ .features = RONBUS_F_EDGE_NOTIFY,
								  .capacity = SLOTS,
								  .payload = LEN });
	ASSERT_LE(0, self->bus);
	ASSERT_EQ(0, publisher_join(&self->pub, self->bus, variant->publisher));
	ASSERT_EQ(0, subscriber_join(&self->s, self->bus, RONBUS_START_LATEST, 0));
}

FIXTURE_TEARDOWN(race)
{
	subscriber_leave(&self->s);
	publisher_leave(&self->pub);
	close(self->bus);
	close(self->control);
}

static void *race_publisher(void *arg)
{
	FIXTURE_DATA(race) *self = arg;
	u64 round, last = 0;

	settle(1);
	while (!__atomic_load_n(&self->stop, __ATOMIC_ACQUIRE)) {
		round = __atomic_load_n(&self->round, __ATOMIC_ACQUIRE);
		if (round == last)
			continue;
		last = round;
		stagger(2000);
		if (publish_number(&self->pub, round) != 1)
			self->failed++;
		__atomic_store_n(&self->done, round, __ATOMIC_RELEASE);
	}
	return NULL;
}

TEST_F(race, publish_against_sleep)
{
	u64 random = self->seed, end = now_ns() + SEC * 6 / 10, round, waits = 0;
	struct pollfd p = { .fd = self->s.m.fd, .events = POLLIN };
	u64 first[2] = { 0 }; /* how often the publisher, and the subscriber */
	long delay = 2000, step = 8;
	bool last = false;
	pthread_t thread;

	settle(0);
	ASSERT_EQ(0, pthread_create(&thread, NULL, race_publisher, self));
	/* Until time is up, and until both have come first at least once. */
	for (round = 1; now_ns() < end || ((!first[0] || !first[1]) && now_ns() < end + WATCHDOG);
	     round++) {
		struct ronbus_stats stats;
		struct message msg;
		bool slept;
		int ready;

		__atomic_store_n(&self->round, round, __ATOMIC_RELEASE);
		random = random_next(random);
		stagger(delay + (long)(random >> 40) % 64);
		switch (variant->how) {
		case BY_EVENTFD:
			ready = fd_arm(self->s.m.fd);
			break;
		case BY_POLL:
			ready = poll(&p, 1, 0);
			break;
		default:
			/* Without limit: a lost wake-up ends in the harness's time-out. */
			ready = fd_wait(self->s.m.fd, RONBUS_WAIT_FOREVER) + 1;
			break;
		}
		ASSERT_TRUE(ready == 0 || ready == 1);
		ASSERT_TRUE(spin_until(__atomic_load_n(&self->done, __ATOMIC_ACQUIRE) == round));
		/* The message is there and its publisher is done: the subscriber is not armed any more. */
		ASSERT_FALSE(subscriber_armed(&self->s))
		TH_LOG("round %llu", (unsigned long long)round);
		ASSERT_EQ(1, subscriber_read(&self->s, &msg));
		ASSERT_TRUE(message_whole(msg.data, msg.len, round));

		slept = !ready;
		if (variant->how == BY_WAIT) {
			ASSERT_EQ(0, fd_stats(self->s.m.fd, 0, &stats));
			slept = stats.counters.waits_total != waits;
			waits = stats.counters.waits_total;
		}
		first[slept]++;
		/* Large steps until the two have met, small ones from there. */
		step = slept != last ? 8 : step < 4096 ? 2 * step : step;
		last = slept;
		delay += slept ? step : -step;
		if (delay < 0)
			delay = 0;
	}
	__atomic_store_n(&self->stop, true, __ATOMIC_RELEASE);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, self->failed);
	EXPECT_LT(0, first[0]);
	EXPECT_LT(0, first[1]);
	TH_LOG("first came the publisher %llu times, the subscriber %llu times",
	       (unsigned long long)first[0], (unsigned long long)first[1]);
}

TEST_HARNESS_MAIN
