/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * interest.h - what is delivered is what was addressed, while topics change and subscribers come
 * and go
 *
 * Threads publish messages of random topics. Threads subscribe, change their topics, leave and come
 * back, sleep whenever there is nothing, and keep what they saw: of each message where it stood, and
 * which positions were skipped before it. A witness that wants everything keeps of each position
 * its topic and its addressees. The ring has room for all of it, so nothing is lost. At the end
 * each subscriber must have seen exactly what the witness says was for it, and the receivers that
 * publishers were told add up to what was addressed. One that sleeps on a message never ends, which
 * a limit turns into a failure.
 *
 * Then a small ring at full speed, whose reader looks again and again at the position that is written
 * next, with another topic in it than a lap before: nothing may be missing that was not told lost.
 *
 * Then cases in which the steps of one come between those of another.
 *
 * For unit tests and selftests alike, so it prints nothing and returns what is wrong.
 */
#ifndef RONBUS_INTEREST_H
#define RONBUS_INTEREST_H

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libronbus.h>

#define INTEREST_PUBS 3U
#define INTEREST_SUBS 4U
#define INTEREST_TOPICS 5U
#define INTEREST_LIMIT_NS (60 * 1000000000LL)

/* Skipped from @from, then @to delivered, or not if it was the end; and what was wanted then. */
struct interest_seen {
	__u64 from, to;
	__u64 bit, topics, asked, joined;
	__u32 topic;
	bool delivered;
};

struct interest_run {
	struct ronbus *bus;
	unsigned int messages; /* of each publisher */
	unsigned int batch; /* most a call */
	__u64 capacity;
	__u64 *ready; /* by position: its addressees, 0 for a hole */
	unsigned char *topic;
	unsigned int here;
	char wrong[256];
};

struct interest_thread {
	struct interest_run *run;
	pthread_t thread;
	__u64 seed;
	__u64 receivers;
	struct interest_seen *seen;
	unsigned int count;
};

__attribute__((format(printf, 2, 3))) static void interest_wrong(struct interest_run *run,
								 const char *format, ...)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	va_list args;

	pthread_mutex_lock(&lock);
	va_start(args, format);
	if (!*run->wrong)
		vsnprintf(run->wrong, sizeof(run->wrong), format, args);
	va_end(args);
	pthread_mutex_unlock(&lock);
}

static unsigned int interest_dice(struct interest_thread *t, unsigned int sides)
{
	t->seed ^= t->seed << 13;
	t->seed ^= t->seed >> 7;
	t->seed ^= t->seed << 17;
	return (unsigned int)(t->seed >> 20) % sides;
}

static __u64 interest_topics(struct interest_thread *t)
{
	return 1 + interest_dice(t, (1U << INTEREST_TOPICS) - 1);
}

/* ---- publishing ----------------------------------------------------------------------- */

static int interest_publish(struct interest_thread *t, struct ronbus_pub *pub, unsigned int left)
{
	unsigned int topic = interest_dice(t, INTEREST_TOPICS);
	struct iovec vec[16];
	int ret;

	if (t->run->batch > 1 && left > 1 && interest_dice(t, 2)) {
		unsigned int n = 1 + interest_dice(t, t->run->batch);

		n = n < left ? n : left;
		for (unsigned int i = 0; i < n; i++)
			vec[i] = (struct iovec){ .iov_base = &topic, .iov_len = sizeof(topic) };
		return ronbus_publish_many(pub, topic, vec, n);
	}
	ret = ronbus_publish(pub, topic, &topic, sizeof(topic));
	if (ret < 0)
		return ret;
	t->receivers += (__u64)ret;
	return 1;
}

static void *interest_publisher(void *arg)
{
	struct interest_thread *t = arg;
	struct interest_run *run = t->run;
	unsigned int left = run->messages;
	struct ronbus_pub *pub;
	int ret = ronbus_publisher(run->bus, interest_dice(t, 3) ? 0 : RONBUS_PUB_SYSCALL, &pub);

	if (ret) {
		interest_wrong(run, "joining to publish: %d", ret);
		return NULL;
	}
	/* To leave before others have come would end the bus; and somebody is to see it live. */
	__atomic_fetch_add(&run->here, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&run->here, __ATOMIC_SEQ_CST) < INTEREST_PUBS + INTEREST_SUBS)
		sched_yield();
	while (left) {
		ret = interest_publish(t, pub, left);
		if (ret <= 0) {
			interest_wrong(run, "publishing: %d", ret);
			break;
		}
		left -= (unsigned int)ret;
		if (!interest_dice(t, 8)) /* or nobody ever sleeps */
			sched_yield();
	}
	ronbus_pub_close(pub);
	return NULL;
}

/* ---- subscribing ---------------------------------------------------------------------- */

/* The addressees of a message that was peeked at. */
static __u64 interest_ready(const struct ronbus_sub *sub, __u64 pos)
{
	const struct ronbus_words at = ronbus_ring_at(&sub->ring, pos);
	const struct ronbus_seen peeked = { sub->peek_state };

	return ronbus_words_ready(&at, peeked);
}

/* Keeps the addressees of each message. Returns at the end of the bus. */
static void *interest_witness(void *arg)
{
	struct interest_thread *t = arg;
	struct interest_run *run = t->run;
	struct ronbus_sub *sub = (struct ronbus_sub *)t->seen;
	struct ronbus_msg msg;
	int ret;

	for (;;) {
		ret = ronbus_peek(sub, &msg);
		if (ret == -EAGAIN)
			ret = ronbus_wait(sub, INTEREST_LIMIT_NS) ?: -EAGAIN;
		if (ret == -EAGAIN)
			continue;
		if (ret != RONBUS_MESSAGE)
			break;
		run->ready[msg.position] = interest_ready(sub, msg.position);
		run->topic[msg.position] = (unsigned char)msg.topic;
		ret = ronbus_release(sub);
		if (ret)
			break;
	}
	if (ret != RONBUS_CLOSED)
		interest_wrong(run, "the witness: %d", ret);
	return NULL;
}

static void interest_saw(struct interest_thread *t, const struct ronbus_sub *sub, __u64 from,
			 const struct ronbus_msg *msg)
{
	t->seen[t->count++] = (struct interest_seen){
		.from = from,
		.to = msg ? msg->position : ronbus_sub_position(sub),
		.bit = 1ULL << ronbus_sub_index(sub),
		.topics = sub->interest.topics,
		.asked = sub->interest.asked,
		.joined = sub->interest.joined,
		.topic = msg ? msg->topic : 0,
		.delivered = !!msg,
	};
}

/* One message, in one of the ways there are. */
static int interest_receive(struct interest_thread *t, struct ronbus_sub *sub,
			    struct ronbus_msg *msg)
{
	unsigned int data;
	int ret;

	switch (interest_dice(t, 4)) {
	case 0:
		ret = ronbus_peek(sub, msg);
		if (ret != RONBUS_MESSAGE)
			break;
		return ronbus_release(sub) ?: RONBUS_MESSAGE;
	case 1:
		ret = ronbus_arm(sub);
		if (ret < 0)
			return ret;
		ret = ronbus_try_recv(sub, &data, sizeof(data), msg);
		break;
	default:
		ret = ronbus_try_recv(sub, &data, sizeof(data), msg);
	}
	if (ret == -EAGAIN)
		ret = ronbus_recv(sub, &data, sizeof(data), msg, INTEREST_LIMIT_NS);
	return ret;
}

/* Where a drain is. */
struct interest_drain {
	struct interest_thread *t;
	struct ronbus_sub *sub;
	__u64 from;
};

static int interest_drained(void *arg, int what, const struct ronbus_msg *msg)
{
	struct interest_drain *drain = arg;

	if (what != RONBUS_MESSAGE) {
		interest_wrong(drain->t->run, "a drain: %d", what);
		return 1;
	}
	interest_saw(drain->t, drain->sub, drain->from, msg);
	drain->from = msg->position + 1;
	return 0;
}

/* Several; returns as ronbus_drain(). */
static int interest_drain(struct interest_thread *t, struct ronbus_sub *sub)
{
	struct interest_drain drain = { t, sub, ronbus_sub_position(sub) };
	int ret = ronbus_drain(sub, interest_drained, &drain, 1 + interest_dice(t, 12),
			       INTEREST_LIMIT_NS);

	/* After the last one it may have skipped others. */
	interest_saw(t, sub, drain.from, NULL);
	return ret > 0 ? RONBUS_MESSAGE : ret;
}

static int interest_one(struct interest_thread *t, struct ronbus_sub *sub)
{
	__u64 from = ronbus_sub_position(sub);
	struct ronbus_msg msg;
	int ret = interest_receive(t, sub, &msg);

	interest_saw(t, sub, from, ret == RONBUS_MESSAGE ? &msg : NULL);
	return ret;
}

/* Returns at the end of the bus, or when it is time to leave. */
static int interest_stay(struct interest_thread *t, struct ronbus_sub *sub)
{
	unsigned int stay = 1 + interest_dice(t, t->run->messages);
	int ret;

	while (stay--) {
		ret = interest_dice(t, 4) ? interest_one(t, sub) : interest_drain(t, sub);
		if (ret != RONBUS_MESSAGE)
			return ret;
		if (!interest_dice(t, 20)) {
			ret = ronbus_sub_set_topics(sub, interest_topics(t));
			if (ret)
				return ret;
		}
	}
	return RONBUS_MESSAGE;
}

static void *interest_subscriber(void *arg)
{
	struct interest_thread *t = arg;
	struct ronbus_sub *sub;
	bool first = true;
	int ret;

	do {
		struct ronbus_sub_options opts = {
			.start = interest_dice(t, 2) ? RONBUS_START_LATEST : RONBUS_START_OLDEST,
			.topics = interest_topics(t),
		};

		ret = ronbus_subscribe(t->run->bus, &opts, &sub);
		if (first)
			__atomic_fetch_add(&t->run->here, 1, __ATOMIC_SEQ_CST);
		first = false;
		if (ret)
			break;
		ret = interest_stay(t, sub);
		ronbus_sub_close(sub);
	} while (ret == RONBUS_MESSAGE && t->count < t->run->capacity);
	if (ret != RONBUS_CLOSED && ret != RONBUS_MESSAGE)
		interest_wrong(t->run, "a subscriber: %d", ret);
	return NULL;
}

/* ---- the truth ------------------------------------------------------------------------ */

static bool interest_for(const struct interest_run *run, const struct interest_seen *seen,
			 __u64 pos)
{
	__u64 topic = 1ULL << run->topic[pos];

	if (!run->ready[pos])
		return false;
	if (pos < seen->joined)
		return seen->topics & topic;
	return run->ready[pos] & seen->bit && seen->asked & topic;
}

static void interest_judge(struct interest_run *run, const struct interest_seen *seen)
{
	for (__u64 pos = seen->from; pos < seen->to; pos++)
		if (interest_for(run, seen, pos))
			interest_wrong(run, "not delivered: %llu, topic %u, bit %llx, joined %llu",
				       pos, run->topic[pos], seen->bit, seen->joined);
	if (seen->delivered &&
	    (!interest_for(run, seen, seen->to) || seen->topic != run->topic[seen->to]))
		interest_wrong(run, "delivered to others: %llu, topic %u, bit %llx, joined %llu",
			       seen->to, run->topic[seen->to], seen->bit, seen->joined);
}

/* The counters agree with what the witness saw. @singly: all receivers were told. */
static void interest_count(struct interest_run *run, __u64 receivers, bool singly)
{
	struct ronbus_stats s;
	const struct ronbus_counters *c = &s.counters;
	__u64 addressed = 0, published = 0, widths = 0;

	if (ronbus_stats(run->bus, RONBUS_STATS_BUS, &s)) {
		interest_wrong(run, "no counters");
		return;
	}
	for (__u64 pos = 0; pos < run->capacity; pos++) {
		addressed += (__u64)__builtin_popcountll(run->ready[pos]);
		published += !!run->ready[pos];
	}
	for (unsigned int i = 0; i < RONBUS_WIDTH_BUCKETS; i++)
		widths += c->ready_mask_width[i];
	if (c->addressed_total != addressed || c->published_total != published ||
	    widths != published || (singly && receivers != addressed))
		interest_wrong(run, "addressed %llu, told %llu, counted %llu; %llu of %llu, %llu",
			       addressed, receivers, c->addressed_total, published,
			       c->published_total, widths);
	if (!c->interest_skips_total || !c->filtered_total)
		interest_wrong(run, "spared %llu, filtered %llu", c->interest_skips_total,
			       c->filtered_total);
}

/* ---- a run ---------------------------------------------------------------------------- */

static void interest_go(struct interest_run *run, __u64 seed)
{
	void *(*const what[])(void *) = { interest_publisher, interest_subscriber };
	struct interest_thread t[1 + INTEREST_PUBS + INTEREST_SUBS] = { 0 };
	struct ronbus_sub *witness;
	__u64 receivers = 0;
	unsigned int i, n = 1 + INTEREST_PUBS + INTEREST_SUBS;

	if (ronbus_subscribe(run->bus, NULL, &witness)) {
		interest_wrong(run, "no witness");
		return;
	}
	t[0].seen = (struct interest_seen *)witness;
	for (i = 0; i < n; i++) {
		t[i].run = run;
		t[i].seed = seed * 64 + i + 1;
		if (i)
			t[i].seen = calloc(2 * run->capacity, sizeof(*t[i].seen));
		if (pthread_create(&t[i].thread, NULL,
				   i ? what[i > INTEREST_PUBS] : interest_witness, &t[i]))
			abort();
	}
	for (i = 0; i < n; i++)
		pthread_join(t[i].thread, NULL);
	ronbus_sub_close(witness);
	for (i = 1; i < n; i++) {
		for (unsigned int j = 0; j < t[i].count; j++)
			interest_judge(run, &t[i].seen[j]);
		receivers += t[i].receivers;
		free(t[i].seen);
	}
	interest_count(run, receivers, run->batch < 2);
}

/**
 * interest_run() - one run
 * @where: the transport
 * @features: of the bus, besides INTEREST
 * @seed: a number, not 0
 * @messages: of each publisher
 * @wrong: what is wrong, if anything is
 * @size: bytes there
 *
 * Return: whether all is right.
 */
static bool interest_run(const char *where, __u64 features, __u64 seed, unsigned int messages,
			 char *wrong, size_t size)
{
	struct interest_run run = { .messages = messages,
				    .batch = features & RONBUS_F_BATCH ? 16 : 1 };
	struct ronbus_options options = { .features = features | RONBUS_F_INTEREST, .payload = 8 };
	int ret;

	for (run.capacity = 4; run.capacity <= 4ULL * INTEREST_PUBS * messages; run.capacity *= 2)
		;
	options.capacity = (__u32)run.capacity;
	ret = ronbus_create(where, &options, &run.bus);
	if (ret) {
		snprintf(wrong, size, "creating a bus: %d", ret);
		return false;
	}
	/* Positions begin at the capacity. */
	run.capacity *= 2;
	run.ready = calloc(run.capacity, sizeof(*run.ready));
	run.topic = calloc(run.capacity, sizeof(*run.topic));
	interest_go(&run, seed);
	free(run.ready);
	free(run.topic);
	ronbus_close(run.bus);
	snprintf(wrong, size, "%s", run.wrong);
	return !*run.wrong;
}

/* ---- at the tail ---------------------------------------------------------------------- */

#define INTEREST_WANTED 3U /* of INTEREST_TOPICS, a number that no capacity is a multiple of */

struct interest_tail {
	struct ronbus_pub *pub;
	unsigned int messages;
	__u64 got, expected, missing;
	bool lagged;
	bool wrong;
};

static void *interest_tail_publisher(void *arg)
{
	struct interest_tail *tail = arg;
	__u64 number;

	for (number = 0; number < tail->messages; number++) {
		/* Now slower than the reader, and now quicker. */
		for (volatile unsigned int i = (unsigned int)(number % 37) * 3; i; i--)
			;
		/* As long as its topic, so that this is another one than a lap before, too. */
		ronbus_publish(tail->pub, (unsigned int)(number % INTEREST_TOPICS), &number,
			       sizeof(number) - number % INTEREST_TOPICS);
	}
	ronbus_pub_close(tail->pub);
	return NULL;
}

static int interest_tail_seen(void *arg, int what, const struct ronbus_msg *msg)
{
	struct interest_tail *tail = arg;
	__u64 number = 0;

	if (what == RONBUS_LAGGED) {
		tail->lagged = true;
		return 0;
	}
	memcpy(&number, msg->data, msg->len < sizeof(number) ? msg->len : sizeof(number));
	tail->wrong |= msg->topic != INTEREST_WANTED ||
		       number % INTEREST_TOPICS != INTEREST_WANTED ||
		       msg->len != sizeof(number) - INTEREST_WANTED || number < tail->expected;
	if (!tail->lagged)
		tail->missing += (number - tail->expected) / INTEREST_TOPICS;
	tail->lagged = false;
	tail->expected = number + INTEREST_TOPICS;
	tail->got++;
	return 0;
}

/**
 * interest_tail() - a drain at the tail
 * @where: the transport
 * @features: of the bus, besides INTEREST
 * @capacity: of the bus
 * @messages: how many
 * @wrong: what is wrong, if anything is
 * @size: bytes there
 *
 * Return: whether all is right.
 */
static bool interest_tail(const char *where, __u64 features, __u32 capacity, unsigned int messages,
			  char *wrong, size_t size)
{
	struct ronbus_options options = { .features = features | RONBUS_F_INTEREST,
					  .capacity = capacity,
					  .payload = 8 };
	struct ronbus_sub_options wanted = { .topics = 1ULL << INTEREST_WANTED };
	struct interest_tail tail = { .messages = messages, .expected = INTEREST_WANTED };
	struct ronbus_sub *sub, *all;
	struct ronbus *bus;
	pthread_t thread;
	int ret;

	if (ronbus_create(where, &options, &bus) || ronbus_publisher(bus, 0, &tail.pub) ||
	    ronbus_subscribe(bus, &wanted, &sub) || ronbus_subscribe(bus, NULL, &all) ||
	    pthread_create(&thread, NULL, interest_tail_publisher, &tail))
		abort();
	do {
		ret = ronbus_drain(sub, interest_tail_seen, &tail, 64, 0);
	} while (ret > 0 || ret == -EAGAIN);
	pthread_join(thread, NULL);
	ronbus_sub_close(sub);
	ronbus_sub_close(all);
	ronbus_close(bus);
	snprintf(wrong, size, "%llu received, %llu missing, %s, %d at the end", tail.got,
		 tail.missing, tail.wrong ? "some of others" : "none of others", ret);
	return !tail.missing && !tail.wrong && ret == RONBUS_CLOSED && tail.got;
}

#endif /* RONBUS_INTEREST_H */
