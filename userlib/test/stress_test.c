// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * stress_test.c - many threads on a tiny ring
 *
 * Publishers publish as fast as they can, and stop now and then at any step; readers receive in
 * every way there is, and sleep when there is nothing. Checked: every byte, the order of each
 * publisher's messages, that none is missing without a loss having been told, that no position comes
 * twice, that positions add up, and that nobody sleeps while there is something to read.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

static void step(void);
#define RB_STEP(where) step()

#include "test.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

#include <libronbus.h>

#define PAYLOAD 64U
#define WORDS (PAYLOAD / 8)
#define MANY 6 /* received in a call */
#define PUBLISHERS_MOST 4
#define READERS_MOST 6
#define BATCH 7
/* Far longer than any pause of a loaded machine: a subscriber sleeps that should not. */
#define WATCHDOG_NS 10000000000LL

#define MESSAGES 15000 /* of a thread */

struct shape {
	__u64 features;
	__u32 flags;
	__u32 capacity;
	unsigned int publishers;
	unsigned int readers;
	unsigned int threads; /* a publisher handle */
	unsigned int pub_flags;
	bool pauses; /* publishers stop now and then, so that readers sleep */
	bool stalls; /* most of them stop in the middle of a message */
};

/* With INTEREST each message has another topic, and most readers want some of them. */
#define TOPICS 5U /* has no factor in common with a capacity */

struct publisher {
	pthread_t thread;
	struct ronbus_pub *pub;
	const struct shape *shape;
	__u32 writer; /* number among all threads that publish */
	__u64 accepted, dropped, receivers;
};

struct reader {
	pthread_t thread;
	struct ronbus *bus;
	struct ronbus_sub *sub;
	const struct shape *shape;
	unsigned int way; /* of receiving */
	__u64 position; /* of the last message, or where a loss ended */
	__u64 last[PUBLISHERS_MOST * 2]; /* sequence number by writer */
	bool lagged[PUBLISHERS_MOST * 2]; /* since that one: some may be missing */
	__u64 topics; /* those it wants */
	__u64 delivered, lost, lags, slept;
	const char *wrong;
};

/* Now and then a publisher loses the CPU in the middle of a message, and seldom for long. */
static __thread __u64 step_seed;
static unsigned int steps_to_stall; /* on the average */

static void step(void)
{
	if (!step_seed)
		step_seed = (uintptr_t)&step_seed | 1;
	if (dice(&step_seed) % steps_to_stall)
		return;
	if (step_seed >> 32 & 31)
		sched_yield();
	else
		usleep(20);
}

/* ---- messages ------------------------------------------------------------------------- */

static __u64 mix(__u64 x)
{
	x ^= x >> 31;
	x *= 0x9e3779b97f4a7c15ULL;
	return x ^ x >> 29;
}

/* Of any whole number of words from 2: each depends on its publisher, its number and its place. */
static __u32 fill(__u64 payload[WORDS], __u32 writer, __u64 seq)
{
	__u32 words = 2 + (__u32)(mix(seq + writer) % (WORDS - 1));

	payload[0] = (__u64)writer << 48 | seq;
	for (__u32 i = 1; i < words; i++)
		payload[i] = mix(payload[i - 1] + i);
	return words * 8;
}

static bool whole(const __u64 *payload, __u32 len)
{
	__u64 expected[WORDS];

	return len >= 16 && fill(expected, payload[0] >> 48, payload[0] << 16 >> 16) == len &&
	       !memcmp(payload, expected, len);
}

static bool has_topics(const struct shape *shape)
{
	return shape->features & RONBUS_F_INTEREST;
}

static unsigned int topic_of(const struct shape *shape, __u32 writer, __u64 seq)
{
	return has_topics(shape) ? (unsigned int)(writer + seq) % TOPICS : writer;
}

/* ---- publishers ----------------------------------------------------------------------- */

static void publish_batch(struct publisher *me, __u64 *seq)
{
	__u64 payload[BATCH][WORDS];
	struct iovec vec[BATCH];
	int ret;

	for (int i = 0; i < BATCH; i++) {
		vec[i].iov_base = payload[i];
		vec[i].iov_len = fill(payload[i], me->writer, *seq + (unsigned int)i + 1);
	}
	ret = ronbus_publish_many(me->pub, me->writer, vec, BATCH);
	if (ret > 0) {
		me->accepted += (unsigned int)ret;
		*seq += (unsigned int)ret;
	}
	if (ret < BATCH)
		me->dropped++;
}

static void publish_one(struct publisher *me, __u64 *seq)
{
	__u64 payload[WORDS];
	__u32 len = fill(payload, me->writer, *seq + 1);
	unsigned int topic = topic_of(me->shape, me->writer, *seq + 1);
	int ret = ronbus_publish(me->pub, topic, payload, len);

	if (ret > 0) {
		++*seq;
		me->accepted++;
		me->receivers += (unsigned int)ret;
	} else {
		me->dropped++;
	}
}

static void *publisher_main(void *arg)
{
	struct publisher *me = arg;
	__u64 seq = 0, dicing = me->writer + 1;

	while (me->accepted + me->dropped < MESSAGES) {
		if (me->shape->features & RONBUS_F_BATCH && dice(&dicing) & 1)
			publish_batch(me, &seq);
		else
			publish_one(me, &seq);
		if (me->shape->pauses && dice(&dicing) % 64 == 0)
			usleep(10);
	}
	return NULL;
}

/* ---- readers -------------------------------------------------------------------------- */

static void wrong(struct reader *me, const char *what)
{
	if (!me->wrong)
		me->wrong = what;
}

/* Of the messages that were not received, is one that should have been? */
static bool missing(const struct reader *me, __u32 writer, __u64 seq)
{
	__u64 skipped = me->last[writer];

	if (me->lagged[writer])
		return false;
	while (++skipped < seq)
		if (me->topics >> topic_of(me->shape, writer, skipped) & 1)
			return true;
	return false;
}

static void take_message(struct reader *me, const struct ronbus_msg *msg, const __u64 *payload)
{
	__u64 seq = payload[0] << 16 >> 16, writer = payload[0] >> 48;

	if (!whole(payload, msg->len)) {
		wrong(me, "a message is not whole");
		return;
	}
	if (writer >= ARRAY_SIZE(me->last) ||
	    msg->topic != topic_of(me->shape, (__u32)writer, seq) ||
	    !(me->topics >> msg->topic & 1)) {
		wrong(me, "a message of another");
		return;
	}
	if (msg->position < me->position)
		wrong(me, "a position came twice, or out of order");
	if (seq <= me->last[writer])
		wrong(me, "a publisher's messages are out of order");
	if (missing(me, (__u32)writer, seq))
		wrong(me, "a message is missing, and no loss was told");
	me->last[writer] = seq;
	me->lagged[writer] = false;
	me->position = msg->position + 1;
	me->delivered++;
}

static int take(void *arg, int what, const struct ronbus_msg *msg)
{
	struct reader *me = arg;

	if (what == RONBUS_LAGGED) {
		if (msg->position - msg->lost < me->position)
			wrong(me, "a loss of what had been read");
		me->position = msg->position;
		me->lost += msg->lost;
		me->lags++;
		memset(me->lagged, true, sizeof(me->lagged));
	} else {
		take_message(me, msg, msg->data);
	}
	return 0;
}

/* Watch a message in the ring; it counts only if it was whole all the time. */
static int receive_in_place(struct reader *me)
{
	__u64 copy[4 * WORDS]; /* as long as the compiler might think a copy to be */
	struct ronbus_msg msg;
	int ret = ronbus_peek(me->sub, &msg);

	if (ret == RONBUS_LAGGED)
		take(me, ret, &msg);
	if (ret != RONBUS_MESSAGE)
		return ret;
	ronbus_copy_out(copy, msg.data, msg.len);
	if (!ronbus_release(me->sub))
		take_message(me, &msg, copy);
	return ret;
}

/* Several at a time, each whole, whatever overwrites the ring meanwhile. */
static int receive_many(struct reader *me)
{
	__u64 payloads[MANY][WORDS];
	struct ronbus_msg msgs[MANY];
	int n = ronbus_recv_many(me->sub, payloads, sizeof(payloads[0]), msgs, MANY);

	for (int i = 0; i < n; i++)
		take(me, msgs[i].lost ? RONBUS_LAGGED : RONBUS_MESSAGE, &msgs[i]);
	return n;
}

static __u64 now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (__u64)t.tv_sec * 1000000000ULL + (__u64)t.tv_nsec;
}

/*
 * Both find what is there when time is up, and return it as if nothing was wrong: but then nobody
 * woke us for it.
 */
static int watched_wait(struct ronbus_sub *sub)
{
	__u64 before = now();
	int ret = ronbus_wait(sub, WATCHDOG_NS);

	return now() - before < WATCHDOG_NS ? ret : -ETIMEDOUT;
}

static int watched_recv(struct ronbus_sub *sub, void *buf, size_t size, struct ronbus_msg *msg)
{
	__u64 before = now();
	int ret = ronbus_recv(sub, buf, size, msg, WATCHDOG_NS);

	return now() - before < WATCHDOG_NS ? ret : -ETIMEDOUT;
}

static int receive(struct reader *me)
{
	__u64 payload[WORDS];
	struct ronbus_msg msg;
	int ret;

	switch (me->way) {
	case 0:
		ret = ronbus_try_recv(me->sub, payload, sizeof(payload), &msg);
		break;
	case 1:
		return receive_in_place(me);
	case 2:
		return ronbus_drain(me->sub, take, me, 5, 0);
	case 3:
		return receive_many(me);
	default:
		ret = watched_recv(me->sub, payload, sizeof(payload), &msg);
		break;
	}
	if (ret > 0) {
		msg.data = payload;
		take(me, ret, &msg);
	}
	return ret;
}

/* Nothing there: sleep, on the fd or in the library. */
static int sleep_until_something(struct reader *me)
{
	struct pollfd p = { .fd = ronbus_sub_fd(me->sub), .events = POLLIN };

	me->slept++;
	if (me->way & 1)
		return watched_wait(me->sub);
	if (ronbus_arm(me->sub))
		return 0;
	return poll(&p, 1, (int)(WATCHDOG_NS / 1000000)) == 1 ? 0 : -ETIMEDOUT;
}

static void *reader_main(void *arg)
{
	struct reader *me = arg;
	int ret;

	for (;;) {
		ret = receive(me);
		/* One that drains stays at the tail, where its messages are just being written. */
		if (ret == -EAGAIN && has_topics(me->shape) && me->way == 2)
			continue;
		if (ret == -EAGAIN)
			ret = sleep_until_something(me) ? -ETIMEDOUT : 1;
		if (ret == -ETIMEDOUT) {
			wrong(me, "asleep, with publishers at work");
			return NULL;
		}
		if (ret < 0)
			wrong(me, "an error");
		if (ret <= 0 || me->wrong)
			return NULL;
	}
}

/* ---- a run ---------------------------------------------------------------------------- */

static void check_reader(struct ronbus *bus, const struct reader *r)
{
	struct ronbus_stats stats;
	const struct ronbus_counters *c = &stats.counters;

	if (r->wrong)
		fail_msg("reader %u: %s", ronbus_sub_index(r->sub), r->wrong);
	assert_int_equal(ronbus_stats(bus, ronbus_sub_index(r->sub), &stats), 0);
	assert_int_equal(c->delivered_total, r->delivered);
	assert_int_equal(c->overflow_dropped_total, r->lost);
	assert_int_equal(c->receiver_lag_total, r->lags);
	assert_int_equal(stats.cursor - stats.start, c->delivered_total + c->filtered_total +
							     c->holes_total +
							     c->overflow_dropped_total);
	/* At the end of the bus nothing is left unread. */
	assert_int_equal(stats.cursor, stats.tail);
	assert_true(r->delivered > 0);
}

static __u64 check_bus(struct ronbus *bus, const struct shape *shape, __u64 accepted, __u64 dropped,
		       __u64 receivers)
{
	struct ronbus_stats stats;
	const struct ronbus_counters *c = &stats.counters;

	assert_int_equal(ronbus_stats(bus, RONBUS_STATS_BUS, &stats), 0);
	assert_int_equal(c->published_total, accepted);
	assert_int_equal(c->addressed_total,
			 has_topics(shape) ? receivers : accepted * shape->readers);
	assert_int_equal(c->dropped_total, dropped);
	/* With topics some are woken for what is for others. */
	if (!has_topics(shape) || c->addressed_total > c->notify_sends_total)
		assert_int_equal(c->notify_suppressed_total,
				 c->addressed_total - c->notify_sends_total);
	assert_int_equal(stats.armed, 0);
	/* Each position is a message or was passed by. */
	assert_true(stats.tail - stats.capacity >= accepted);
	assert_int_equal(c->repairs_total, 0);
	return c->holes_total;
}

/* So that all ways of receiving meet all shapes in time: there are fewer readers than ways. */
static unsigned int next_way;

static void run(const struct shape *shape)
{
	struct publisher publishers[PUBLISHERS_MOST * 2] = { 0 };
	struct ronbus_pub *pubs[PUBLISHERS_MOST];
	struct reader readers[READERS_MOST] = { 0 };
	struct ronbus_options opts = {
		.features = shape->features,
		.flags = shape->flags,
		.capacity = shape->capacity,
		.payload = PAYLOAD,
	};
	unsigned int i, writers = shape->publishers * shape->threads;
	__u64 accepted = 0, dropped = 0, delivered = 0, holes, lost = 0, slept = 0, began = now();
	__u64 receivers = 0;
	struct ronbus *bus;

	steps_to_stall = shape->stalls ? 4 : 64;
	assert_int_equal(ronbus_create(RONBUS_EMBEDDED, &opts, &bus), 0);
	for (i = 0; i < shape->publishers; i++)
		assert_int_equal(ronbus_publisher(bus, shape->pub_flags, &pubs[i]), 0);
	for (i = 0; i < shape->readers; i++) {
		readers[i].shape = shape;
		readers[i].way = has_topics(shape) && i == 1 ? 2 : next_way++ % 5;
		/* The first wants all, so that every message is for somebody. */
		readers[i].topics = has_topics(shape) && i ? 9ULL << i % 2 : ~0ULL;
		assert_int_equal(ronbus_subscribe(bus,
						  &(struct ronbus_sub_options){
							  .topics = readers[i].topics },
						  &readers[i].sub),
				 0);
		assert_int_equal(pthread_create(&readers[i].thread, NULL, reader_main, &readers[i]),
				 0);
	}
	for (i = 0; i < writers; i++) {
		publishers[i].pub = pubs[i % shape->publishers];
		publishers[i].shape = shape;
		publishers[i].writer = i;
		assert_int_equal(pthread_create(&publishers[i].thread, NULL, publisher_main,
						&publishers[i]),
				 0);
	}

	for (i = 0; i < writers; i++) {
		assert_int_equal(pthread_join(publishers[i].thread, NULL), 0);
		accepted += publishers[i].accepted;
		dropped += publishers[i].dropped;
		receivers += publishers[i].receivers;
	}
	for (i = 0; i < shape->publishers; i++)
		ronbus_pub_close(pubs[i]);
	for (i = 0; i < shape->readers; i++) {
		assert_int_equal(pthread_join(readers[i].thread, NULL), 0);
		check_reader(bus, &readers[i]);
		delivered += readers[i].delivered;
		lost += readers[i].lost;
		slept += readers[i].slept;
	}
	holes = check_bus(bus, shape, accepted, dropped, receivers);
	for (i = 0; i < shape->readers; i++)
		ronbus_sub_close(readers[i].sub);
	ronbus_close(bus);
	print_message("# %llu published, %llu dropped, %llu delivered, %llu lost, %llu holes, "
		      "%llu sleeps, %llu ms\n",
		      (unsigned long long)accepted, (unsigned long long)dropped,
		      (unsigned long long)delivered, (unsigned long long)lost,
		      (unsigned long long)holes, (unsigned long long)slept,
		      (unsigned long long)(now() - began) / 1000000);
}

#define EDGE RONBUS_F_EDGE_NOTIFY
#define ALL (EDGE | RONBUS_F_BATCH | RONBUS_F_METRICS_BUF)

static void test_many(void **state)
{
	static const __u32 capacities[] = { 4, 8, 64 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(capacities); i++)
		run(&(struct shape){ EDGE, 0, capacities[i], 3, 4, 1, 0, false, false });
}

static void test_many_that_pause(void **state)
{
	(void)state;
	run(&(struct shape){ EDGE, 0, 8, 2, 4, 1, 0, true, false });
	run(&(struct shape){ ALL, 0, 32, 2, 4, 1, 0, true, false });
}

static void test_all_features(void **state)
{
	(void)state;
	run(&(struct shape){ ALL, 0, 4, 3, 4, 1, 0, false, false });
	run(&(struct shape){ ALL, 0, 64, 4, 6, 1, RONBUS_PUB_SINGLE, false, false });
}

static void test_arrays(void **state)
{
	(void)state;
	run(&(struct shape){ EDGE | RONBUS_F_SOA, 0, 4, 3, 4, 1, 0, false, false });
	run(&(struct shape){ ALL | RONBUS_F_SOA, 0, 64, 4, 6, 1, RONBUS_PUB_SINGLE, false, false });
	run(&(struct shape){ ALL | RONBUS_F_SOA, 0, 32, 2, 4, 1, 0, true, false });
	run(&(struct shape){ ALL | RONBUS_F_SOA, RONBUS_BUS_EXCLUSIVE, 16, 1, 4, 1, 0, false,
			     false });
	run(&(struct shape){ EDGE | RONBUS_F_SOA, 0, 16, 2, 2, 1, RONBUS_PUB_SYSCALL, false,
			     false });
}

static void test_topics(void **state)
{
	static const __u64 layouts[] = { 0, RONBUS_F_SOA };
	static const __u32 capacities[] = { 8, 64 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(layouts) * ARRAY_SIZE(capacities); i++) {
		__u64 features = EDGE | RONBUS_F_INTEREST | layouts[i % 2];

		run(&(struct shape){ features, 0, capacities[i / 2], 2, 3, 1, 0, true, false });
	}
}

static void test_shared_handle(void **state)
{
	(void)state;
	run(&(struct shape){ EDGE, 0, 4, 2, 4, 4, 0, false, true });
	run(&(struct shape){ EDGE, 0, 16, 2, 4, 2, 0, false, false });
	run(&(struct shape){ ALL, 0, 16, 1, 4, 4, 0, true, false });
}

static void test_exclusive(void **state)
{
	(void)state;
	run(&(struct shape){ EDGE, RONBUS_BUS_EXCLUSIVE, 4, 1, 4, 1, 0, false, false });
	run(&(struct shape){ ALL, RONBUS_BUS_EXCLUSIVE, 16, 1, 4, 1, 0, true, false });
}

static void test_by_system_call(void **state)
{
	(void)state;
	run(&(struct shape){ ALL, 0, 8, 2, 4, 1, RONBUS_PUB_SYSCALL, true, false });
}

static void test_baseline(void **state)
{
	(void)state;
	run(&(struct shape){ 0, 0, 8, 1, 2, 1, 0, false, false });
}

/* ---- one message, and not the next before everybody has it ---------------------------- */

/*
 * Elsewhere a wake-up that is lost is made up for by the next message. Here there is none: readers
 * go to sleep just when the publisher goes on.
 */
#define ROUNDS 6000

struct waiter {
	pthread_t thread;
	struct ronbus_sub *sub;
	unsigned int way;
	__u64 *arrived; /* how many have got the message of this round */
	const char *wrong;
};

static int wait_for_round(struct waiter *me, struct ronbus_msg *msg, __u64 *got)
{
	struct pollfd p = { .fd = ronbus_sub_fd(me->sub), .events = POLLIN };
	int ret;

	if (me->way == 0)
		return watched_recv(me->sub, got, sizeof(*got), msg);
	for (;;) {
		ret = ronbus_try_recv(me->sub, got, sizeof(*got), msg);
		if (ret != -EAGAIN)
			return ret;
		if (me->way == 1)
			ret = watched_wait(me->sub);
		else if (!ronbus_arm(me->sub))
			ret = poll(&p, 1, (int)(WATCHDOG_NS / 1000000)) == 1 ? 0 : -ETIMEDOUT;
		if (ret == -ETIMEDOUT)
			return ret;
	}
}

static void *waiter_main(void *arg)
{
	struct waiter *me = arg;
	struct ronbus_msg msg;
	__u64 got, round = 0;

	for (;;) {
		int ret = wait_for_round(me, &msg, &got);

		if (ret == RONBUS_CLOSED)
			return NULL;
		if (ret != RONBUS_MESSAGE || got != round++)
			__atomic_store_n(&me->wrong,
					 ret == -ETIMEDOUT ? "a wake-up was lost"
							   : "a wrong message",
					 __ATOMIC_RELAXED);
		__atomic_fetch_add(me->arrived, 1, __ATOMIC_SEQ_CST);
		if (me->wrong)
			return NULL;
	}
}

static int publish_round(struct ronbus_pub *pub, bool batch, __u64 round)
{
	struct iovec vec = { &round, sizeof(round) };

	return batch ? ronbus_publish_many(pub, 0, &vec, 1)
		     : ronbus_publish(pub, 0, &round, sizeof(round)) > 0;
}

static void handshake(unsigned int count, __u64 features, __u32 flags, bool batch)
{
	struct ronbus_options opts = { .features = features, .flags = flags, .capacity = 4 };
	struct waiter waiters[3] = { 0 };
	__u64 arrived = 0, round;
	struct ronbus_pub *pub;
	struct ronbus *bus;
	unsigned int i;

	steps_to_stall = ~0U;
	assert_int_equal(ronbus_create(RONBUS_EMBEDDED, &opts, &bus), 0);
	assert_int_equal(ronbus_publisher(bus, 0, &pub), 0);
	for (i = 0; i < count; i++) {
		waiters[i] = (struct waiter){ .way = (count + i) % 3, .arrived = &arrived };
		assert_int_equal(ronbus_subscribe(bus, NULL, &waiters[i].sub), 0);
		assert_int_equal(pthread_create(&waiters[i].thread, NULL, waiter_main, &waiters[i]),
				 0);
	}
	for (round = 0; round < ROUNDS; round++) {
		__u64 spins = 0;

		assert_int_equal(publish_round(pub, batch, round), 1);
		while (__atomic_load_n(&arrived, __ATOMIC_SEQ_CST) < (round + 1) * count)
			if (++spins % 64 == 0)
				sched_yield();
		for (i = 0; i < count; i++)
			if (__atomic_load_n(&waiters[i].wrong, __ATOMIC_RELAXED))
				fail_msg("round %llu: %s", (unsigned long long)round,
					 waiters[i].wrong);
	}
	ronbus_pub_close(pub);
	for (i = 0; i < count; i++) {
		assert_int_equal(pthread_join(waiters[i].thread, NULL), 0);
		ronbus_sub_close(waiters[i].sub);
	}
	ronbus_close(bus);
}

static void test_no_wakeup_is_lost(void **state)
{
	(void)state;
	for (unsigned int count = 1; count <= 3; count++) {
		handshake(count, EDGE, 0, false);
		handshake(count, EDGE, RONBUS_BUS_EXCLUSIVE, false);
		handshake(count, EDGE | RONBUS_F_BATCH, 0, true);
	}
	handshake(1, 0, 0, false);
}

/* ---- barriers D and D' ---------------------------------------------------------------- */

/*
 * Both sides at the same moment, and nobody sleeps: either arming finds the message, or the
 * publisher finds the subscriber armed. Needs two processors to say much.
 */
#define DUELS 200000

struct duel {
	struct ronbus_sub *sub;
	unsigned int round __attribute__((aligned(64))); /* the publisher's */
	unsigned int done __attribute__((aligned(64))); /* the subscriber's */
	int found;
	const char *wrong;
};

static void wait_until_is(unsigned int *word, unsigned int value)
{
	unsigned int spins = 0;

	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) != value)
		if (++spins % 256 == 0)
			sched_yield();
}

static void delay(__u64 *seed)
{
	for (volatile unsigned int i = dice(seed) % 64; i; i--)
		;
}

static void *duelist_main(void *arg)
{
	struct duel *duel = arg;
	struct ronbus_msg msg;
	__u64 got, seed = 5;

	for (unsigned int round = 1; round <= DUELS; round++) {
		wait_until_is(&duel->round, 2 * round - 1);
		delay(&seed);
		duel->found = ronbus_arm(duel->sub);
		__atomic_store_n(&duel->done, 2 * round - 1, __ATOMIC_RELEASE);
		wait_until_is(&duel->round, 2 * round);
		if (ronbus_try_recv(duel->sub, &got, sizeof(got), &msg) != 1 || got != round)
			duel->wrong = "a wrong message";
		__atomic_store_n(&duel->done, 2 * round, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void fight(__u64 features, __u32 flags, bool batch)
{
	struct ronbus_options opts = { .features = features, .flags = flags, .capacity = 4 };
	struct duel duel = { 0 };
	struct ronbus_pub *pub;
	__u64 seed = 7, message;
	struct ronbus *bus;
	pthread_t thread;

	steps_to_stall = ~0U;
	assert_int_equal(ronbus_create(RONBUS_EMBEDDED, &opts, &bus), 0);
	assert_int_equal(ronbus_publisher(bus, RONBUS_PUB_SINGLE, &pub), 0);
	assert_int_equal(ronbus_subscribe(bus, NULL, &duel.sub), 0);
	assert_int_equal(pthread_create(&thread, NULL, duelist_main, &duel), 0);
	for (message = 1; message <= DUELS; message++) {
		struct iovec vec = { &message, sizeof(message) };
		int ret;

		__atomic_store_n(&duel.round, 2 * message - 1, __ATOMIC_RELEASE);
		delay(&seed);
		ret = batch ? ronbus_publish_many(pub, 0, &vec, 1)
			    : ronbus_publish(pub, 0, &message, sizeof(message));
		wait_until_is(&duel.done, 2 * (unsigned int)message - 1);
		if (ret != 1 || (!duel.found && RB_READ(&duel.sub->info->armed)))
			fail_msg("duel %llu: the subscriber would sleep on a message",
				 (unsigned long long)message);
		__atomic_store_n(&duel.round, 2 * message, __ATOMIC_RELEASE);
		wait_until_is(&duel.done, 2 * (unsigned int)message);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_null(duel.wrong);
	ronbus_pub_close(pub);
	ronbus_sub_close(duel.sub);
	ronbus_close(bus);
}

static void test_arming_against_publishing(void **state)
{
	(void)state;
	fight(EDGE, 0, false);
	fight(EDGE | RONBUS_F_SOA, 0, false);
	fight(EDGE, RONBUS_BUS_EXCLUSIVE, false);
	fight(EDGE | RONBUS_F_BATCH, 0, true);
	fight(EDGE | RONBUS_F_BATCH, RONBUS_BUS_EXCLUSIVE, true);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_many_that_pause),
		cmocka_unit_test(test_all_features),
		cmocka_unit_test(test_arrays),
		cmocka_unit_test(test_topics),
		cmocka_unit_test(test_shared_handle),
		cmocka_unit_test(test_exclusive),
		cmocka_unit_test(test_by_system_call),
		cmocka_unit_test(test_baseline),
		cmocka_unit_test(test_no_wakeup_is_lost),
		cmocka_unit_test(test_arming_against_publishing),
	};

	return cmocka_run_group_tests_name("stress", tests, NULL, NULL);
}
