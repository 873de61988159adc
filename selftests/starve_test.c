// SPDX-License-Identifier: GPL-2.0
/*
 * Nobody starves beside a flood: while a bus is published to at full speed, whoever sleeps on it is
 * woken, in whichever way he sleeps, and a thread that reads from it has time for other buses.
 */
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "libronbus.h"
#include "ronbus_kselftest.h"

#define SLOTS 256U
#define EDGE RONBUS_F_EDGE_NOTIFY

enum way {
	BY_WAIT,
	BY_READ,
	BY_EPOLL_LEVEL,
	BY_EPOLL_EDGE,
	BY_EVENTFD,
	WAYS,
};

static const char *const way_names[] = { "WAIT", "read", "epoll", "epoll, edge-triggered",
					 "eventfd" };

struct shared {
	u32 flood; /* on or off */
	u32 stop;
	u64 sent; /* on the quiet bus */
	u64 got;
};

static struct ronbus *make_bus(u64 features)
{
	const struct ronbus_options opts = { .features = features, .capacity = SLOTS };
	struct ronbus *bus;

	return ronbus_create(NULL, &opts, &bus) ? NULL : bus;
}

static struct ronbus_pub *join_in_child(const struct ronbus *bus)
{
	struct ronbus_pub *pub;
	struct ronbus *own;

	if (ronbus_adopt(dup(ronbus_bus_fd(bus)), &own) || ronbus_publisher(own, 0, &pub))
		_exit(1);
	return pub;
}

/* Publishes without a pause whenever it is told to. */
static void flood(const struct ronbus *bus, struct shared *shared)
{
	struct ronbus_pub *pub = join_in_child(bus);
	u64 number = 0;

	while (!RB_READ(&shared->stop)) {
		if (!RB_READ(&shared->flood)) {
			nap();
			continue;
		}
		number++;
		if (ronbus_publish(pub, number % RONBUS_TOPICS_MAX, &number, sizeof(number)) < 0)
			_exit(2);
	}
	_exit(0);
}

static int ignore(void *arg, int what, const struct ronbus_msg *msg)
{
	u64 *calls = arg;

	(void)what;
	(void)msg;
	++*calls;
	return 0;
}

/* ---- the same bus ----------------------------------------------------------------------- */

#define ROUNDS 20U

struct sleeper {
	pthread_t thread;
	struct ronbus_sub *sub;
	enum way way;
	int epoll;
	int event;
	u64 woken; /* rounds in which it was, and got something */
	struct shared *shared;
	const char *wrong;
};

FIXTURE(same_bus)
{
	struct ronbus *bus;
	struct shared *shared;
	struct sleeper sleepers[WAYS];
	struct sleeper greedy; /* never sleeps */
};

FIXTURE_VARIANT(same_bus)
{
	u64 features;
};

FIXTURE_VARIANT_ADD(same_bus, baseline){ 0 };
FIXTURE_VARIANT_ADD(same_bus, edge){ EDGE };

FIXTURE_SETUP(same_bus)
{
	close(OPEN_CONTROL());
	self->shared = shared_memory(sizeof(*self->shared));
	ASSERT_TRUE(self->shared != NULL);
	self->bus = make_bus(variant->features);
	ASSERT_TRUE(self->bus != NULL);
}

FIXTURE_TEARDOWN(same_bus)
{
	ronbus_close(self->bus);
}

static int sleeper_join(struct sleeper *s, struct ronbus *bus)
{
	struct epoll_event event = {
		.events = s->way == BY_EPOLL_EDGE ? EPOLLIN | EPOLLET : EPOLLIN,
	};
	int err = ronbus_subscribe(bus, NULL, &s->sub);

	if (err)
		return err;
	s->event = eventfd(0, EFD_CLOEXEC);
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s->event < 0 || s->epoll < 0 ||
	    epoll_ctl(s->epoll, EPOLL_CTL_ADD, ronbus_sub_fd(s->sub), &event))
		return -errno;
	return s->way == BY_EVENTFD ? ronbus_sub_set_eventfd(s->sub, s->event) : 0;
}

/* Without limit. Returns what the call that slept did. */
static long sleep_once(struct sleeper *s)
{
	char record[sizeof(struct ronbus_record) + RONBUS_PAYLOAD_DEFAULT];
	struct epoll_event event;
	u64 count;

	switch (s->way) {
	case BY_WAIT:
		return ronbus_wait(s->sub, -1);
	case BY_READ:
		return fd_read(ronbus_sub_fd(s->sub), record, sizeof(record));
	case BY_EPOLL_LEVEL:
		return epoll_wait(s->epoll, &event, 1, -1);
	case BY_EPOLL_EDGE:
		return ronbus_arm(s->sub) ? 0 : epoll_wait(s->epoll, &event, 1, -1);
	default:
		return ronbus_arm(s->sub) ? 0 : fd_read(s->event, &count, sizeof(count));
	}
}

/* Sleeps; when it has got something, a round is over for it when the flood is. */
static void *sleeper_main(void *arg)
{
	struct sleeper *s = arg;
	u64 calls = 0, before;
	int ret;

	while (!RB_READ(&s->shared->stop)) {
		before = calls;
		/* What read(2) returns is a message in itself. */
		if (sleep_once(s) > 0 && s->way == BY_READ)
			calls++;
		ret = ronbus_drain(s->sub, ignore, &calls, SLOTS, 0);
		if (ret < 0 && ret != -EAGAIN)
			s->wrong = "draining failed";
		if (calls == before)
			continue;
		__atomic_fetch_add(&s->woken, 1, __ATOMIC_RELEASE);
		while (RB_READ(&s->shared->flood) && !RB_READ(&s->shared->stop))
			nap();
		while (ronbus_drain(s->sub, ignore, &calls, SLOTS, 0) > 0)
			;
	}
	return NULL;
}

static void *greedy_main(void *arg)
{
	struct sleeper *s = arg;
	u64 calls = 0;

	while (!RB_READ(&s->shared->stop)) {
		ronbus_drain(s->sub, ignore, &calls, SLOTS, 0);
		__atomic_store_n(&s->woken, calls, __ATOMIC_RELEASE);
	}
	return NULL;
}

/* Armed, all of them. */
static bool all_asleep(struct ronbus *bus, const struct sleeper *sleepers)
{
	struct ronbus_stats stats;
	u64 all = 0;
	int i;

	for (i = 0; i < WAYS; i++)
		all |= 1ULL << ronbus_sub_index(sleepers[i].sub);
	return !ronbus_stats(bus, RONBUS_STATS_BUS, &stats) && (stats.armed & all) == all;
}

static bool all_woken(const struct sleeper *sleepers, u64 rounds)
{
	int i;

	for (i = 0; i < WAYS; i++)
		if (__atomic_load_n(&sleepers[i].woken, __ATOMIC_ACQUIRE) < rounds)
			return false;
	return true;
}

TEST_F(same_bus, everybody_is_woken)
{
	u64 round, greedy = 0;
	pid_t pid;
	int i;

	pid = fork();
	if (!pid)
		flood(self->bus, self->shared);
	self->greedy.shared = self->shared;
	ASSERT_EQ(0, sleeper_join(&self->greedy, self->bus));
	for (i = 0; i < WAYS; i++) {
		self->sleepers[i].shared = self->shared;
		self->sleepers[i].way = i;
		ASSERT_EQ(0, sleeper_join(&self->sleepers[i], self->bus));
	}
	ASSERT_EQ(0, pthread_create(&self->greedy.thread, NULL, greedy_main, &self->greedy));
	for (i = 0; i < WAYS; i++) {
		ASSERT_EQ(0, pthread_create(&self->sleepers[i].thread, NULL, sleeper_main,
					    &self->sleepers[i]));
	}
	for (round = 1; round <= ROUNDS; round++) {
		ASSERT_TRUE(wait_until(all_asleep(self->bus, self->sleepers)));
		greedy = __atomic_load_n(&self->greedy.woken, __ATOMIC_ACQUIRE);
		RB_WRITE(&self->shared->flood, 1);
		if (!wait_until(all_woken(self->sleepers, round))) {
			for (i = 0; i < WAYS; i++) {
				EXPECT_EQ(round, self->sleepers[i].woken)
				TH_LOG("by %s", way_names[i]);
			}
			break;
		}
		/* A subscriber that does not sleep is served as well. */
		EXPECT_TRUE(wait_until(__atomic_load_n(&self->greedy.woken, __ATOMIC_ACQUIRE) >
				       greedy));
		RB_WRITE(&self->shared->flood, 0);
	}
	RB_WRITE(&self->shared->stop, 1);
	EXPECT_EQ(0, child_status(pid));
	/* The end of the bus wakes everybody. */
	EXPECT_EQ(0, pthread_join(self->greedy.thread, NULL));
	for (i = 0; i < WAYS; i++) {
		EXPECT_EQ(0, pthread_join(self->sleepers[i].thread, NULL));
		EXPECT_EQ(NULL, self->sleepers[i].wrong);
		ronbus_sub_close(self->sleepers[i].sub);
	}
	ronbus_sub_close(self->greedy.sub);
}

/* ---- another bus, the same thread ------------------------------------------------------- */

#define BUDGET 32U
#define QUIET_MESSAGES 100U

/* One subscription of a thread that has several. */
struct source {
	struct ronbus_sub *sub;
	int event;
	bool ready; /* there may be something, as far as edges go */
	u64 calls;
	u64 spent; /* times that the budget was */
};

FIXTURE(another_bus)
{
	struct ronbus *loud, *quiet;
	struct shared *shared;
	struct source sources[2]; /* of the loud one, and of the quiet one */
	int epoll;
};

FIXTURE_VARIANT(another_bus)
{
	enum way way;
	u64 features;
};

#define ANOTHER_BUS(name, ...)                                              \
	FIXTURE_VARIANT_ADD(another_bus, name##_edge){ __VA_ARGS__, EDGE }; \
	FIXTURE_VARIANT_ADD(another_bus, name##_baseline){ __VA_ARGS__, 0 };

ANOTHER_BUS(wait, BY_WAIT)
ANOTHER_BUS(read, BY_READ)
ANOTHER_BUS(epoll_level, BY_EPOLL_LEVEL)
ANOTHER_BUS(epoll_edge, BY_EPOLL_EDGE)
ANOTHER_BUS(eventfd, BY_EVENTFD)

FIXTURE_SETUP(another_bus)
{
	int i;

	close(OPEN_CONTROL());
	self->shared = shared_memory(sizeof(*self->shared));
	ASSERT_TRUE(self->shared != NULL);
	self->loud = make_bus(variant->features);
	self->quiet = make_bus(variant->features);
	ASSERT_TRUE(self->loud && self->quiet);
	self->epoll = epoll_create1(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->epoll);
	for (i = 0; i < 2; i++) {
		struct source *source = &self->sources[i];
		struct epoll_event event = {
			.events = variant->way == BY_EPOLL_LEVEL ? EPOLLIN : EPOLLIN | EPOLLET,
			.data.u32 = i,
		};
		int fd;

		source->ready = true;
		ASSERT_EQ(0, ronbus_subscribe(i ? self->quiet : self->loud, NULL, &source->sub));
		source->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		ASSERT_LE(0, source->event);
		fd = ronbus_sub_fd(source->sub);
		ASSERT_EQ(0, fd_nonblock(fd));
		if (variant->way == BY_EVENTFD) {
			ASSERT_EQ(0, ronbus_sub_set_eventfd(source->sub, source->event));
			fd = source->event;
		}
		ASSERT_EQ(0, epoll_ctl(self->epoll, EPOLL_CTL_ADD, fd, &event));
	}
}

FIXTURE_TEARDOWN(another_bus)
{
	ronbus_sub_close(self->sources[0].sub);
	ronbus_sub_close(self->sources[1].sub);
	ronbus_close(self->quiet);
	ronbus_close(self->loud);
}

/* The next message when the one before has been received. */
static void whisper(const struct ronbus *bus, struct shared *shared)
{
	struct ronbus_pub *pub = join_in_child(bus);
	u64 number;

	for (number = 1; number <= QUIET_MESSAGES; number++) {
		if (ronbus_publish(pub, 0, &number, sizeof(number)) != 1)
			_exit(2);
		__atomic_store_n(&shared->sent, number, __ATOMIC_RELEASE);
		if (!wait_until(__atomic_load_n(&shared->got, __ATOMIC_ACQUIRE) >= number))
			_exit(3);
	}
	_exit(0);
}

/* Up to the budget, and not one more. False if that is not so. */
static bool serve(struct source *source)
{
	u64 before = source->calls;
	int ret = ronbus_drain(source->sub, ignore, &source->calls, BUDGET, 0);

	source->spent += ret == BUDGET;
	if (ret == -EAGAIN)
		source->ready = ronbus_arm(source->sub);
	return ret == -EAGAIN ? source->calls == before
			      : ret <= (int)BUDGET && source->calls - before == (u64)ret;
}

static bool serve_by_read(struct source *source)
{
	char records[BUDGET][sizeof(struct ronbus_record) + 8];
	long ret = fd_read(ronbus_sub_fd(source->sub), records, sizeof(records));

	if (ret == -EAGAIN)
		return true;
	source->spent += ret == sizeof(records);
	source->calls += (u64)ret / sizeof(records[0]);
	return ret > 0 && ret % (long)sizeof(records[0]) == 0;
}

/* Once around: whoever has something to read is served, up to the budget. */
static bool turn(FIXTURE_DATA(another_bus) * self, enum way way)
{
	struct source *loud = &self->sources[0], *quiet = &self->sources[1];
	struct epoll_event events[2];
	u64 count;
	int n, i;

	switch (way) {
	case BY_WAIT:
		return (ronbus_wait(loud->sub, 0) || serve(loud)) &&
		       (ronbus_wait(quiet->sub, 0) || serve(quiet));
	case BY_READ:
		return serve_by_read(loud) && serve_by_read(quiet);
	case BY_EPOLL_LEVEL:
		n = epoll_wait(self->epoll, events, 2, -1);
		for (i = 0; i < n; i++)
			if (!serve(&self->sources[events[i].data.u32]))
				return false;
		return n > 0;
	default:
		n = epoll_wait(self->epoll, events, 2, loud->ready || quiet->ready ? 0 : -1);
		for (i = 0; i < n; i++) {
			struct source *source = &self->sources[events[i].data.u32];

			source->ready = true;
			if (way == BY_EVENTFD)
				(void)fd_read(source->event, &count, sizeof(count));
		}
		for (i = 0; i < 2; i++)
			if (self->sources[i].ready && !serve(&self->sources[i]))
				return false;
		return n >= 0;
	}
}

TEST_F(another_bus, has_its_turn)
{
	struct shared *shared = self->shared;
	u64 sent, turns = 0, end = now_ns() + WATCHDOG;
	pid_t loud, quiet;

	loud = fork();
	if (!loud)
		flood(self->loud, shared);
	RB_WRITE(&shared->flood, 1);
	ASSERT_TRUE(wait_until(!ronbus_wait(self->sources[0].sub, 0)));
	quiet = fork();
	if (!quiet)
		whisper(self->quiet, shared);
	do {
		sent = __atomic_load_n(&shared->sent, __ATOMIC_ACQUIRE);
		ASSERT_TRUE(turn(self, variant->way));
		turns++;
		/* What was there before this turn has been received in it. */
		ASSERT_LE(sent, self->sources[1].calls);
		__atomic_store_n(&shared->got, self->sources[1].calls, __ATOMIC_RELEASE);
	} while (self->sources[1].calls < QUIET_MESSAGES && now_ns() < end);
	EXPECT_EQ(QUIET_MESSAGES, self->sources[1].calls);
	EXPECT_EQ(0, child_status(quiet));
	RB_WRITE(&shared->stop, 1);
	EXPECT_EQ(0, child_status(loud));
	/* There was a flood indeed. */
	EXPECT_LT(0, self->sources[0].spent);
	TH_LOG("%llu turns, %llu times all of the budget, %llu messages of the flood",
	       (unsigned long long)turns, (unsigned long long)self->sources[0].spent,
	       (unsigned long long)self->sources[0].calls);
}

/* ---- the budget ------------------------------------------------------------------------- */

TEST(budget_is_kept_exactly)
{
	static const unsigned int budgets[] = { 1, 2, 7, 99, 100, 101 };
	struct ronbus_sub *sub;
	struct ronbus_pub *pub;
	struct ronbus *bus;
	u64 calls, left, n;
	size_t i;

	close(OPEN_CONTROL());
	bus = make_bus(EDGE);
	ASSERT_TRUE(bus != NULL);
	ASSERT_EQ(0, ronbus_publisher(bus, 0, &pub));
	ASSERT_EQ(0, ronbus_subscribe(bus, NULL, &sub));
	for (i = 0; i < sizeof(budgets) / sizeof(budgets[0]); i++) {
		for (n = 0; n < 100; n++) {
			ASSERT_EQ(1, ronbus_publish(pub, 0, &n, sizeof(n)));
		}
		for (left = 100; left; left -= n) {
			calls = 0;
			n = left < budgets[i] ? left : budgets[i];
			ASSERT_EQ((int)n, ronbus_drain(sub, ignore, &calls, budgets[i], -1));
			ASSERT_EQ(n, calls);
		}
		EXPECT_EQ(-EAGAIN, ronbus_drain(sub, ignore, &calls, budgets[i], 0));
	}
	ronbus_pub_close(pub);
	ronbus_sub_close(sub);
	ronbus_close(bus);
}

TEST_HARNESS_MAIN
