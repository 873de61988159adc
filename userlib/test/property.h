/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * property.h - what two buses have in common that are used alike
 *
 * A random program of creating, publishing, joining, leaving, sealing, choosing topics, coalescing,
 * reading, arming and stopping in the middle runs on a bus and on a twin of it. The twin is on another
 * transport, or what is published in batches is published there message by message, or both. Whatever
 * a subscriber sees on the one it sees on the other, at the same position; calls return the same; and
 * after each step, and at the end, both say the same of themselves, and have counted the same and all
 * that was attempted.
 *
 * For unit tests and selftests alike, so it prints to standard error and returns whether all is
 * right.
 */
#ifndef RONBUS_PROPERTY_H
#define RONBUS_PROPERTY_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libronbus.h>

#define PROPERTY_STEPS 60U /* of a program, below 64 */
#define PROPERTY_PUBS 4U
#define PROPERTY_SUBS 5U
#define PROPERTY_PAYLOAD 136U /* beyond what is copied word by word */
#define PROPERTY_MANY 24U /* received in a call */
#define PROPERTY_BATCH (RONBUS_BATCH_MAX + 300U)
#define PROPERTY_MESSAGES (PROPERTY_STEPS * PROPERTY_BATCH)

/* A bus, and its members. */
struct property_side {
	struct ronbus *bus;
	struct ronbus_pub *pubs[PROPERTY_PUBS];
	struct ronbus_sub *subs[PROPERTY_SUBS];
};

struct property_program {
	struct ronbus_options options;
	unsigned int threshold;
	unsigned int stalls; /* of 24 things that a publisher does */
	bool trace;
	bool alike; /* the twin is called in the same way; else it publishes singly */
	const char *const *where;
	struct property_side side[2]; /* what is tested, and its twin */
	__u64 chance; /* of this step */
	__u64 number; /* of the next message; from 1 */
	__u64 last[PROPERTY_SUBS]; /* number that a subscriber got last */
	__u64 topics[PROPERTY_SUBS]; /* what it wants now */
	__u64 published, nobody, dropped, addressed;
	const __u64 *twin; /* counters yet to be compared */
	unsigned int compared;
	char wrong[256];
};

/* A message, by its number. */
static struct {
	__u16 len;
	__u16 topic;
	__u16 known; /* bytes that are known; after them a block is named */
} property_log[PROPERTY_MESSAGES + 1];

/* ---- chance --------------------------------------------------------------------------- */

static __u64 property_mix(__u64 x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

static unsigned int property_dice(struct property_program *p, unsigned int sides)
{
	p->chance += 0x9e3779b97f4a7c15ULL;
	return (unsigned int)(property_mix(p->chance) >> 16) % sides;
}

__attribute__((format(printf, 2, 3))) static bool property_wrong(struct property_program *p,
								 const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(p->wrong, sizeof(p->wrong), format, args);
	va_end(args);
	return false;
}

#define PROPERTY_TELL(p, ...)                         \
	do {                                          \
		if ((p)->trace)                       \
			fprintf(stderr, __VA_ARGS__); \
	} while (0)

/* Both sides gave the same answer. */
static bool property_same(struct property_program *p, const char *what, long long one,
			  long long other)
{
	return one == other ||
	       property_wrong(p, "%s: %lld, and on the twin %lld", what, one, other);
}

/* ---- messages ------------------------------------------------------------------------- */

static void property_fill(unsigned char *data, unsigned int len, __u64 number)
{
	unsigned char all[PROPERTY_PAYLOAD];

	memcpy(all, &number, sizeof(number));
	for (unsigned int i = sizeof(number); i < len; i++)
		all[i] = (unsigned char)property_mix(number + i);
	memcpy(data, all, len);
}

/* Whole, of the topic it was published to, and after the last one. */
static bool property_check_message(struct property_program *p, unsigned int i,
				   const unsigned char *data, const struct ronbus_msg *msg)
{
	unsigned char expected[PROPERTY_PAYLOAD];
	__u64 number;

	if (!msg->time != !(p->options.features & RONBUS_F_TIME))
		return property_wrong(p, "subscriber %u got a message of time %llu", i, msg->time);
	if (msg->len < sizeof(number)) /* of which only the twin knows what it is */
		return true;
	memcpy(&number, data, sizeof(number));
	if (number <= p->last[i] || number >= p->number)
		return property_wrong(p, "subscriber %u got message %llu after %llu", i, number,
				      p->last[i]);
	p->last[i] = number;
	property_fill(expected, property_log[number].known, number);
	if (property_log[number].len != msg->len || property_log[number].topic != msg->topic ||
	    memcmp(data, expected, property_log[number].known))
		return property_wrong(p, "subscriber %u got message %llu damaged", i, number);
	return true;
}

/* ---- publishing ----------------------------------------------------------------------- */

/* Account for @accepted messages of a call that returned @ret. */
static void property_account(struct property_program *p, __u64 accepted, unsigned int receivers,
			     int err)
{
	if (receivers)
		p->published += accepted;
	else
		p->nobody += accepted;
	p->addressed += accepted * receivers;
	p->dropped += err == -EAGAIN;
}

/* For how many subscribers a message of a topic is. */
static unsigned int property_receivers(const struct property_program *p, unsigned int topic)
{
	unsigned int count = 0;

	for (unsigned int i = 0; topic < RONBUS_TOPICS_MAX && i < PROPERTY_SUBS; i++)
		count += p->side[0].subs[i] && p->topics[i] >> topic & 1;
	return count;
}

static unsigned int property_batch_length(struct property_program *p)
{
	switch (property_dice(p, 16)) {
	case 0:
		return 0;
	case 1: /* more than a call takes */
		return RONBUS_BATCH_MAX - 50 + property_dice(p, 350);
	case 2 ... 6: /* laps */
		return property_dice(p, 3 * p->options.capacity + 2);
	}
	return 1 + property_dice(p, 5);
}

static unsigned int property_topic(struct property_program *p)
{
	return property_dice(p, 40) ? property_dice(p, RONBUS_TOPICS_MAX)
				    : RONBUS_TOPICS_MAX + property_dice(p, 3);
}

static unsigned int property_make_batch(struct property_program *p, struct iovec *vec,
					unsigned int topic)
{
	static unsigned char data[PROPERTY_BATCH][PROPERTY_PAYLOAD];
	unsigned int count = property_batch_length(p);
	unsigned int too_long = property_dice(p, 6) ? ~0U : property_dice(p, count + 1);

	for (unsigned int i = 0; i < count; i++) {
		unsigned int len = property_dice(p, 4) ? property_dice(p, p->options.payload + 1)
						       : p->options.payload;

		property_fill(data[i], len, p->number + i);
		property_log[p->number + i].len = property_log[p->number + i].known = (__u16)len;
		property_log[p->number + i].topic = (__u16)topic;
		vec[i].iov_base = data[i];
		vec[i].iov_len = i == too_long ? p->options.payload + 1 : len;
	}
	return count;
}

/* The batch, message by message, up to the first that is not accepted. */
static int property_singly(struct property_program *p, struct ronbus_pub *pub, unsigned int topic,
			   const struct iovec *vec, unsigned int count, int *err)
{
	unsigned int done;

	*err = 0;
	for (done = 0; done < count; done++) {
		int ret = ronbus_publish(pub, topic, vec[done].iov_base, vec[done].iov_len);

		if (ret < 0) {
			*err = ret;
			break;
		}
		if ((unsigned int)ret != property_receivers(p, topic))
			property_wrong(p, "%d receivers, of %u", ret, property_receivers(p, topic));
	}
	return (int)done;
}

/* What the twin has dropped since it was asked last: -EAGAIN if there is one more. */
static int property_gave_up(struct property_program *p)
{
	struct ronbus_stats s;

	if (ronbus_stats(p->side[1].bus, RONBUS_STATS_BUS, &s))
		property_wrong(p, "no counters");
	return s.counters.dropped_total > p->dropped ? -EAGAIN : 0;
}

/* A message with a block, which both name by the same number. */
static bool property_publish_block(struct property_program *p, unsigned int k)
{
	const unsigned int most =
		p->options.payload - (unsigned int)sizeof(struct ronbus_block_ref);
	unsigned int topic = property_topic(p), len = 8 + property_dice(p, most - 7);
	unsigned char event[PROPERTY_PAYLOAD];
	int ret[2];

	property_fill(event, len, p->number);
	property_log[p->number].len = (__u16)(len + sizeof(struct ronbus_block_ref));
	property_log[p->number].known = (__u16)len;
	property_log[p->number].topic = (__u16)topic;
	for (int i = 0; i < 2; i++)
		ret[i] = ronbus_publish_block(p->side[i].pubs[k], topic, event, len, event, len);
	PROPERTY_TELL(p, "publisher %u: a block of topic %u: %d", k, topic, ret[0]);
	if (ret[0] >= 0)
		p->number++;
	property_account(p, ret[0] >= 0, property_receivers(p, topic), ret[0]);
	return property_same(p, "publishing a block", ret[0], ret[1]);
}

static bool property_publish(struct property_program *p, unsigned int k)
{
	static struct iovec vec[PROPERTY_BATCH];
	unsigned int topic = property_topic(p), count = property_make_batch(p, vec, topic);
	int err, done, ret, expected;

	PROPERTY_TELL(p, "publisher %u: %u messages of topic %u", k, count, topic);
	if (p->alike) {
		expected = ronbus_publish_many(p->side[1].pubs[k], topic, vec, count);
		done = expected > 0 ? expected : 0;
		/* It says which error there was only if it is the first: then of no message. */
		err = property_gave_up(p);
	} else {
		done = property_singly(p, p->side[1].pubs[k], topic, vec, count, &err);
		/* Nothing at all has no message that could be refused; its topic can. */
		expected = done ? done : topic >= RONBUS_TOPICS_MAX ? -EINVAL : err;
	}
	ret = ronbus_publish_many(p->side[0].pubs[k], topic, vec, count);
	PROPERTY_TELL(p, " returned %d, %d", ret, expected);
	p->number += (unsigned int)done;
	property_account(p, (unsigned int)done, property_receivers(p, topic), err);
	return !*p->wrong && property_same(p, "a batch", ret, expected);
}

/* As if a thread had stopped for good in the middle of a message; others go on with the handle. */
static bool property_stall(struct property_program *p, unsigned int k)
{
	unsigned int written = property_dice(p, 2);
	__u64 pos[2];

	for (int i = 0; i < 2; i++) {
		struct ronbus_pub *pub = p->side[i].pubs[k];
		struct ronbus_claim claim = { .pos = ronbus_ring_hint(&pub->ring) };

		pos[i] = 0;
		if (ronbus_ring_claim(&pub->ring, &claim, pub->id, 4 * pub->ring.mask + 64))
			continue;
		pos[i] = claim.pos;
		if (written)
			ronbus_ring_write(&pub->ring, claim.pos, ~0ULL, 1, "stopped", 8);
	}
	PROPERTY_TELL(p, "publisher %u: stops in position %llu", k, pos[0]);
	return property_same(p, "stopping", (long long)pos[0], (long long)pos[1]);
}

static bool property_pub_join(struct property_program *p, unsigned int k)
{
	static const unsigned int flags[] = { 0, RONBUS_PUB_SINGLE, RONBUS_PUB_SYSCALL };
	unsigned int how = flags[property_dice(p, 3)];
	int ret[2];

	for (int i = 0; i < 2; i++) {
		p->side[i].pubs[k] = NULL;
		ret[i] = ronbus_publisher(p->side[i].bus, how, &p->side[i].pubs[k]);
	}
	PROPERTY_TELL(p, "publisher %u: joins with flags %u: %d", k, how, ret[0]);
	return property_same(p, "joining to publish", ret[0], ret[1]);
}

static void property_pub_leave(struct property_program *p, unsigned int k)
{
	if (p->side[0].pubs[k])
		PROPERTY_TELL(p, "publisher %u: leaves; ", k);
	for (int i = 0; i < 2; i++) {
		ronbus_pub_close(p->side[i].pubs[k]);
		p->side[i].pubs[k] = NULL;
	}
}

/* ---- subscribing ---------------------------------------------------------------------- */

/* All, but for a bus that has topics. */
static __u64 property_topics(struct property_program *p)
{
	if (!(p->options.features & RONBUS_F_INTEREST))
		return ~0ULL;
	property_dice(p, 2);
	return property_mix(p->chance) | 1ULL << property_dice(p, RONBUS_TOPICS_MAX);
}

static bool property_set_topics(struct property_program *p, unsigned int k)
{
	int ret[2];

	p->topics[k] = property_topics(p);
	PROPERTY_TELL(p, "subscriber %u: wants topics %#llx", k, p->topics[k]);
	for (int i = 0; i < 2; i++)
		ret[i] = ronbus_sub_set_topics(p->side[i].subs[k], p->topics[k]);
	return property_same(p, "choosing topics", ret[0], ret[1]);
}

/* So late that the time plays no part: whether it is up is not the same on both. */
#define PROPERTY_DELAY RONBUS_COALESCE_DELAY_MAX

static bool property_coalesce(struct property_program *p, unsigned int k)
{
	unsigned int messages = property_dice(p, p->options.capacity / 2 + 2);
	__u64 delay = property_dice(p, 8) ? PROPERTY_DELAY : PROPERTY_DELAY + 1;
	int ret[2];

	for (int i = 0; i < 2; i++)
		ret[i] = ronbus_sub_set_coalesce(p->side[i].subs[k], messages, delay);
	PROPERTY_TELL(p, "subscriber %u: coalesces %u: %d", k, messages, ret[0]);
	return property_same(p, "coalescing", ret[0], ret[1]);
}

static bool property_sub_join(struct property_program *p, unsigned int k)
{
	struct ronbus_sub_options opts = { .start = property_dice(p, 3) };
	struct property_side *side = p->side;
	int ret[2];

	if (opts.start == RONBUS_START_AT)
		opts.position = p->options.capacity + property_dice(p, 2 * p->options.capacity);
	opts.topics = p->topics[k] = property_topics(p);
	PROPERTY_TELL(p, "subscriber %u: joins, start %u, position %llu, topics %#llx", k,
		      opts.start, opts.position, opts.topics);
	for (int i = 0; i < 2; i++) {
		side[i].subs[k] = NULL;
		ret[i] = ronbus_subscribe(side[i].bus, &opts, &side[i].subs[k]);
	}
	p->last[k] = 0;
	if (ret[0] || ret[1])
		return property_same(p, "joining to read", ret[0], ret[1]);
	return property_same(p, "the start", (long long)ronbus_sub_position(side[0].subs[k]),
			     (long long)ronbus_sub_position(side[1].subs[k])) &&
	       property_same(p, "the index", ronbus_sub_index(side[0].subs[k]),
			     ronbus_sub_index(side[1].subs[k]));
}

/* Positions passed are messages delivered and filtered, holes, and what was lost. */
static bool property_balance(struct property_program *p, unsigned int k)
{
	for (int i = 0; i < 2; i++) {
		struct ronbus_stats s;
		const struct ronbus_counters *c = &s.counters;

		if (ronbus_stats(p->side[i].bus, ronbus_sub_index(p->side[i].subs[k]), &s))
			return property_wrong(p, "no counters of subscriber %u", k);
		if (s.cursor - s.start != c->delivered_total + c->filtered_total + c->holes_total +
						  c->overflow_dropped_total)
			return property_wrong(
				p,
				"subscriber %u passed %llu positions, and says "
				"%llu delivered, %llu filtered, %llu holes, %llu lost",
				k, s.cursor - s.start, c->delivered_total, c->filtered_total,
				c->holes_total, c->overflow_dropped_total);
	}
	return true;
}

static int property_copy(void *to, int what, const struct ronbus_msg *msg)
{
	struct ronbus_msg *copy = to;
	void *data = (void *)copy->data;

	*copy = *msg;
	copy->data = data;
	if (what == RONBUS_MESSAGE)
		memcpy(data, msg->data, msg->len);
	return 0;
}

/* One message, in one of the ways there are. */
static int property_receive(struct ronbus_sub *sub, unsigned int way, unsigned char *data,
			    struct ronbus_msg *msg)
{
	int ret;

	switch (way) {
	case 0:
		return ronbus_try_recv(sub, data, PROPERTY_PAYLOAD, msg);
	case 1:
		ret = ronbus_recv(sub, data, PROPERTY_PAYLOAD, msg, 0);
		return ret == -ETIMEDOUT ? -EAGAIN : ret;
	case 2:
		msg->data = data;
		msg->lost = 0;
		ret = ronbus_drain(sub, property_copy, msg, 1, 0);
		return ret > 0 && msg->lost ? RONBUS_LAGGED : ret;
	}
	ret = ronbus_peek(sub, msg);
	if (ret != RONBUS_MESSAGE)
		return ret;
	memcpy(data, msg->data, msg->len);
	return ronbus_release(sub) ? -ESTALE : ret;
}

/* What came, and what came of it, was the same on both sides; @what as ronbus_try_recv() says. */
static bool property_same_message(struct property_program *p, unsigned int k, int what,
				  unsigned char (*data)[PROPERTY_PAYLOAD],
				  const struct ronbus_msg *one, const struct ronbus_msg *other)
{
	if (!property_same(p, "the position", (long long)one->position,
			   (long long)other->position) ||
	    !property_same(p, "positions lost", (long long)one->lost, (long long)other->lost))
		return false;
	return what == RONBUS_LAGGED ||
	       (property_same(p, "the length", one->len, other->len) &&
		property_same(p, "the topic", one->topic, other->topic) &&
		property_same(p, "the publisher", one->publisher, other->publisher) &&
		property_same(p, "the bytes", memcmp(data[0], data[1], one->len), 0) &&
		property_check_message(p, k, data[0], one));
}

/* One message on both sides, received in the same way. */
static bool property_read_one(struct property_program *p, unsigned int k, unsigned int way,
			      int *ret)
{
	unsigned char data[2][PROPERTY_PAYLOAD];
	struct ronbus_msg msg[2] = { 0 };
	int other;

	*ret = property_receive(p->side[0].subs[k], way, data[0], &msg[0]);
	other = property_receive(p->side[1].subs[k], way, data[1], &msg[1]);
	PROPERTY_TELL(p, " %d", *ret);
	return property_same(p, "receiving", *ret, other) &&
	       (*ret <= 0 || property_same_message(p, k, *ret, data, &msg[0], &msg[1]));
}

/* What one call receives, the twin receives singly. */
static bool property_read_many(struct property_program *p, unsigned int k)
{
	static unsigned char many[PROPERTY_MANY][PROPERTY_PAYLOAD];
	struct ronbus_msg msgs[PROPERTY_MANY], msg;
	unsigned char data[2][PROPERTY_PAYLOAD];
	unsigned int count = property_dice(p, PROPERTY_MANY + 1);
	int i, what,
		got = ronbus_recv_many(p->side[0].subs[k], many, PROPERTY_PAYLOAD, msgs, count);

	PROPERTY_TELL(p, "subscriber %u: reads up to %u at once: %d", k, count, got);
	if (!count)
		return property_same(p, "receiving none", got, -EINVAL);
	if (got <= 0)
		return property_same(p, "receiving nothing", got,
				     ronbus_try_recv(p->side[1].subs[k], data[1], PROPERTY_PAYLOAD,
						     &msg));
	for (i = 0; i < got; i++) {
		what = ronbus_try_recv(p->side[1].subs[k], data[1], PROPERTY_PAYLOAD, &msg);
		memcpy(data[0], many[i], PROPERTY_PAYLOAD);
		if (!property_same(p, "receiving", msgs[i].data ? RONBUS_MESSAGE : RONBUS_LAGGED,
				   what) ||
		    !property_same_message(p, k, what, data, &msgs[i], &msg))
			return false;
	}
	/* After the last one it may have skipped holes already, as far as a look goes. */
	if (ronbus_sub_position(p->side[0].subs[k]) != ronbus_sub_position(p->side[1].subs[k])) {
		what = ronbus_try_recv(p->side[1].subs[k], data[1], PROPERTY_PAYLOAD, &msg);
		if (what > 0)
			return property_wrong(p, "subscriber %u left a message", k);
	}
	return property_same(p, "the position", (long long)ronbus_sub_position(p->side[0].subs[k]),
			     (long long)ronbus_sub_position(p->side[1].subs[k])) &&
	       property_balance(p, k);
}

static bool property_read(struct property_program *p, unsigned int k)
{
	unsigned int count = property_dice(p, 3) ? ~0U : property_dice(p, p->options.capacity);
	int ret = 1;

	PROPERTY_TELL(p, "subscriber %u: reads %d:", k, (int)count);
	while (count-- && ret > 0)
		/* Not every way looks equally far over holes. */
		if (!property_read_one(p, k, property_dice(p, 4), &ret))
			return false;
	return property_balance(p, k);
}

static bool property_arm(struct property_program *p, unsigned int k)
{
	int ret[2];

	for (int i = 0; i < 2; i++)
		ret[i] = ronbus_arm(p->side[i].subs[k]);
	PROPERTY_TELL(p, "subscriber %u: arms: %d", k, ret[0]);
	return property_same(p, "arming", ret[0], ret[1]);
}

static void property_sub_leave(struct property_program *p, unsigned int k)
{
	if (p->side[0].subs[k])
		PROPERTY_TELL(p, "subscriber %u: leaves; ", k);
	for (int i = 0; i < 2; i++) {
		ronbus_sub_close(p->side[i].subs[k]);
		p->side[i].subs[k] = NULL;
	}
}

/* ---- a program ------------------------------------------------------------------------ */

static bool property_do_publisher(struct property_program *p)
{
	unsigned int k = property_dice(p, PROPERTY_PUBS), what = property_dice(p, 24);

	if (!p->side[0].pubs[k])
		return property_pub_join(p, k);
	/* Where nobody claims, there is nobody to meet a message that does not get on. */
	if (what > 2 && what <= 2 + p->stalls && ronbus_pub_mapped(p->side[0].pubs[k]) &&
	    !(p->options.flags & RONBUS_BUS_EXCLUSIVE))
		return property_stall(p, k);
	if (what == 23 && p->options.features & RONBUS_F_BLOCKS)
		return property_publish_block(p, k);
	if (what > 2)
		return property_publish(p, k);
	property_pub_leave(p, k);
	return true;
}

static bool property_do_subscriber(struct property_program *p)
{
	unsigned int k = property_dice(p, PROPERTY_SUBS), what = property_dice(p, 16);

	if (!p->side[0].subs[k])
		return what & 1 || property_sub_join(p, k);
	if (what == 14 && p->options.features & RONBUS_F_COALESCE)
		return property_coalesce(p, k);
	if (what > 14 && p->options.features & RONBUS_F_INTEREST)
		return property_set_topics(p, k);
	if (what > 9)
		return property_read_many(p, k);
	if (what > 3)
		return property_read(p, k);
	if (what > 1)
		return property_arm(p, k);
	property_sub_leave(p, k);
	return true;
}

static bool property_seal(struct property_program *p)
{
	int ret[2];

	for (int i = 0; i < 2; i++)
		ret[i] = ronbus_seal(p->side[i].bus);
	PROPERTY_TELL(p, "sealed: %d", ret[0]);
	return property_same(p, "sealing", ret[0], ret[1]);
}

/* Most of what can be asked for cannot be had, on either of them for the same reason. */
static bool property_create(struct property_program *p)
{
	static const __u32 numbers[] = { 0, 1, 3, 4, 8, 12, 64, 65, 4096, 4097, 1 << 20, ~0U };
	struct ronbus_options opts = {
		.features = 1ULL << property_dice(p, 10) | 1ULL << property_dice(p, 9),
		.flags = property_dice(p, 3) ? 0 : 1U << property_dice(p, 8),
		.mode = property_dice(p, 6) ? 0 : 1U << property_dice(p, 12),
		.capacity = property_dice(p, 4) ? 0 : numbers[property_dice(p, 12)],
		.payload = property_dice(p, 4) ? 0 : numbers[property_dice(p, 12)],
		.subscribers = property_dice(p, 6) ? 0 : numbers[property_dice(p, 12)],
		.block_size = property_dice(p, 6) ? 0 : numbers[property_dice(p, 12)],
		.blocks = property_dice(p, 6) ? 0 : numbers[property_dice(p, 12)],
	};
	struct ronbus_info info[2] = { 0 };
	int ret[2];

	/* Which would be warned of each time. */
	if (opts.capacity > RONBUS_CAPACITY_WARN)
		opts.features &= ~(__u64)RONBUS_F_AUTOTUNE_CAP;
	for (int i = 0; i < 2; i++) {
		struct ronbus *bus;

		ret[i] = ronbus_create(p->where[i], &opts, &bus);
		if (!ret[i]) {
			ronbus_bus_info(bus, &info[i]);
			ronbus_close(bus);
		}
	}
	PROPERTY_TELL(p, "creates with features %#llx: %d", opts.features, ret[0]);
	return property_same(p, "creating", ret[0], ret[1]) &&
	       property_same(p, "capacity", info[0].capacity, info[1].capacity) &&
	       property_same(p, "payload", info[0].payload, info[1].payload) &&
	       property_same(p, "mode", info[0].mode, info[1].mode) &&
	       property_same(p, "block size", info[0].block_size, info[1].block_size) &&
	       property_same(p, "blocks", info[0].blocks, info[1].blocks);
}

/* What each of the subscribers has counted, and each of them says. */
static bool property_same_members(struct property_program *p)
{
	for (unsigned int k = 0; k < PROPERTY_SUBS; k++) {
		struct ronbus_stats s[2];

		if (!p->side[0].subs[k])
			continue;
		for (int i = 0; i < 2; i++)
			if (ronbus_stats(p->side[i].bus, ronbus_sub_index(p->side[i].subs[k]),
					 &s[i]))
				return property_wrong(p, "no counters of subscriber %u", k);
		if (!property_same(p, "armed", (long long)s[0].armed, (long long)s[1].armed) ||
		    !property_same(p, "waits", (long long)s[0].counters.waits_total,
				   (long long)s[1].counters.waits_total) ||
		    !property_same(p, "behind", (long long)ronbus_sub_backlog(p->side[0].subs[k]),
				   (long long)ronbus_sub_backlog(p->side[1].subs[k])))
			return false;
	}
	for (unsigned int k = 0; k < PROPERTY_PUBS; k++)
		for (int i = 0; p->side[0].pubs[k] && i < 2; i++)
			if (!property_same(p, "receivers",
					   ronbus_pub_receivers(p->side[i].pubs[k], k),
					   (int)property_receivers(p, k)))
				return false;
	return true;
}

/* The same must be armed on both, and the same positions taken. */
static bool property_same_state(struct property_program *p)
{
	struct ronbus_info info[2];
	struct ronbus_stats s[2];

	for (int i = 0; i < 2; i++)
		if (ronbus_bus_info(p->side[i].bus, &info[i]))
			return property_wrong(p, "no info");
	if (!property_same(p, "status", info[0].status, info[1].status) ||
	    !property_same(p, "publishers", info[0].publishers, info[1].publishers) ||
	    !property_same_members(p))
		return false;
	for (int i = 0; i < 2; i++)
		if (ronbus_stats(p->side[i].bus, RONBUS_STATS_BUS, &s[i]))
			return property_wrong(p, "no counters");
	return property_same(p, "armed", (long long)s[0].armed, (long long)s[1].armed) &&
	       property_same(p, "the tail", (long long)s[0].tail, (long long)s[1].tail) &&
	       property_same(p, "subscribers", (long long)s[0].subscribers,
			     (long long)s[1].subscribers);
}

/* What has to differ between batches and single messages; and flushes, which go by the clock. */
static void property_forget(const struct property_program *p, struct ronbus_counters *c)
{
	c->metrics_tls_flush_total = 0;
	if (!p->alike) {
		c->notify_calls_total = 0;
		c->batch_publish_total = 0;
		memset(c->batch_len_histogram, 0, sizeof(c->batch_len_histogram));
	}
	/* While a timer of "embedded:" has the lock two notifications become one. */
	c->coalesce_deferred_total = 0;
	if (!(p->options.features & RONBUS_F_COALESCE) &&
	    (p->alike || p->options.features & RONBUS_F_EDGE_NOTIFY))
		return;
	c->notify_sends_total = 0;
	c->notify_suppressed_total = 0;
	memset(c->wakes_total, 0, sizeof(c->wakes_total));
}

/*
 * A message that is given up may wake, and is addressed to nobody. So does one for others, if a
 * subscriber that chose topics is armed in front of a position that is being written.
 */
static bool property_suppressed(const struct property_program *p, const struct ronbus_counters *c)
{
	if (c->notify_sends_total > c->addressed_total)
		return !c->notify_suppressed_total &&
		       (c->dropped_total ||
			p->options.features & (RONBUS_F_INTEREST | RONBUS_F_COALESCE));
	return c->notify_suppressed_total == c->addressed_total - c->notify_sends_total;
}

/* The counters come in the order they have in their structure, and then the gauges. */
static void property_same_counter(void *arg, const struct ronbus_counter *counter)
{
	struct property_program *p = arg;

	if (p->compared++ < sizeof(struct ronbus_counters) / sizeof(__u64))
		property_same(p, counter->name, (long long)counter->value, (long long)*p->twin++);
}

static bool property_accounts(struct property_program *p)
{
	struct ronbus_stats s[2];
	const struct ronbus_counters *c = &s[0].counters;

	for (int i = 0; i < 2; i++) {
		if (ronbus_stats(p->side[i].bus, RONBUS_STATS_BUS, &s[i]))
			return property_wrong(p, "no counters");
		if (!property_suppressed(p, &s[i].counters))
			return property_wrong(p, "addressed is not woken and suppressed");
		property_forget(p, &s[i].counters);
	}
	if (c->published_total != p->published || c->no_receivers_total != p->nobody ||
	    c->dropped_total != p->dropped || c->addressed_total != p->addressed)
		return property_wrong(p,
				      "counted %llu published, %llu for nobody, %llu dropped, %llu "
				      "addressed; there were %llu, %llu, %llu, %llu",
				      c->published_total, c->no_receivers_total, c->dropped_total,
				      c->addressed_total, p->published, p->nobody, p->dropped,
				      p->addressed);
	p->twin = (const __u64 *)&s[1].counters;
	ronbus_counters_each(&s[0], property_same_counter, p);
	return !*p->wrong;
}

/* Everybody reads what is left, everybody leaves, and what was counted is looked at. */
static bool property_end(struct property_program *p)
{
	bool right = true;
	unsigned int k;

	PROPERTY_TELL(p, "#  at the end: ");
	for (k = 0; k < PROPERTY_SUBS; k++)
		if (right && p->side[0].subs[k])
			right = property_read(p, k);
	for (k = 0; k < PROPERTY_SUBS; k++)
		property_sub_leave(p, k);
	for (k = 0; k < PROPERTY_PUBS; k++)
		property_pub_leave(p, k);
	right = right && property_accounts(p);
	for (int i = 0; i < 2; i++)
		ronbus_close(p->side[i].bus);
	return right;
}

static void property_options(struct property_program *p)
{
	static const __u32 capacities[] = { 4, 8, 16, 64 }, payloads[] = { 8, 24, 64, 136 };

	p->options.capacity = capacities[property_dice(p, 4)];
	p->options.payload = payloads[property_dice(p, 4)];
	p->options.features = (property_dice(p, 4) ? RONBUS_F_BATCH : 0) |
			      (property_dice(p, 2) ? RONBUS_F_EDGE_NOTIFY : 0) |
			      (property_dice(p, 2) ? RONBUS_F_METRICS_BUF : 0) |
			      (property_dice(p, 2) ? RONBUS_F_SOA : 0) |
			      (property_dice(p, 2) ? RONBUS_F_INTEREST : 0);
	p->options.flags = (property_dice(p, 4) ? RONBUS_BUS_PERSISTENT : 0) |
			   (property_dice(p, 4) ? 0 : RONBUS_BUS_EXCLUSIVE) |
			   (property_dice(p, 8) ? 0 : RONBUS_BUS_MAP_NONE);
	p->threshold = 1 + property_dice(p, 100);
	p->stalls = property_dice(p, 4) ? 2 : 12;
	p->options.features |= property_dice(p, 2) ? RONBUS_F_TIME : 0;
	/* How far a subscriber has counted depends on how often it is told. */
	p->options.features |= !p->alike || property_dice(p, 3) ? 0 : RONBUS_F_COALESCE;
	p->options.features |= p->options.payload < 24 || property_dice(p, 3) ? 0 : RONBUS_F_BLOCKS;
	p->options.flags |= property_dice(p, 4) ? 0 : RONBUS_BUS_RETAIN;
	PROPERTY_TELL(p, "capacity %u, payload %u, features %#llx, flags %#x, threshold %u\n",
		      p->options.capacity, p->options.payload, p->options.features,
		      p->options.flags, p->threshold);
}

/**
 * property_run_program() - run the program of a seed
 * @p: it
 * @where: transports of the bus and of its twin
 * @seed: of each step depends on this and its number alone
 * @skip: set of steps to leave out
 *
 * Return: the step that went wrong, PROPERTY_STEPS for the end of the program; -1 if none did.
 */
static int property_run_program(struct property_program *p, const char *const where[2], __u64 seed,
				__u64 skip)
{
	char threshold[16];
	unsigned int step;
	bool right = true;

	p->chance = property_mix(seed);
	p->number = 1;
	p->where = where;
	property_options(p);
	snprintf(threshold, sizeof(threshold), "%u", p->threshold);
	setenv("RON_TLS_FLUSH_THRESHOLD", threshold, 1);
	for (int i = 0; i < 2; i++)
		if (ronbus_create(where[i], &p->options, &p->side[i].bus)) {
			property_wrong(p, "no bus on %s", where[i]);
			return 0;
		}
	for (step = 0; step < PROPERTY_STEPS && right; step++) {
		if (skip >> step & 1)
			continue;
		PROPERTY_TELL(p, "#  step %u: ", step);
		p->chance = property_mix(seed + step + 1);
		if (!property_dice(p, 500))
			right = property_seal(p);
		else if (!property_dice(p, 16))
			right = property_create(p);
		else if (property_dice(p, 2))
			right = property_do_publisher(p);
		else
			right = property_do_subscriber(p);
		right = right && property_same_state(p);
		PROPERTY_TELL(p, "\n");
	}
	if (right)
		step++;
	right = property_end(p) && right;
	unsetenv("RON_TLS_FLUSH_THRESHOLD");
	PROPERTY_TELL(p, "\n");
	return right ? -1 : (int)step - 1;
}

/* Leave out what is not needed for it to fail, and tell the rest. */
static void property_tell(const char *const where[2], bool alike, __u64 seed, int failed,
			  const char *wrong)
{
	struct property_program p;
	__u64 skip = 0;

	for (unsigned int i = 0; i < PROPERTY_STEPS; i++) {
		memset(&p, 0, sizeof(p));
		p.alike = alike;
		if (property_run_program(&p, where, seed, skip | 1ULL << i) >= 0)
			skip |= 1ULL << i;
	}
	memset(&p, 0, sizeof(p));
	p.alike = alike;
	p.trace = true;
	fprintf(stderr, "# RONBUS_SEED=%llu fails in step %d: %s; what it takes:\n#  ", seed,
		failed, wrong);
	failed = property_run_program(&p, where, seed, skip);
	fprintf(stderr, "# step %d: %s\n", failed, p.wrong);
}

/**
 * property_run() - run programs until one fails
 * @where: transport of the bus
 * @twin: transport of its twin
 * @alike: the twin publishes in batches, too
 * @first: seed of the first
 * @count: how many; with RONBUS_SEED in the environment the one of that seed
 *
 * Return: whether all were right.
 */
static bool property_run(const char *where, const char *twin, bool alike, __u64 first,
			 unsigned int count)
{
	const char *const both[2] = { where, twin }, *only = getenv("RONBUS_SEED");
	struct property_program p;

	if (only) {
		first = strtoull(only, NULL, 0);
		count = 1;
	}
	fprintf(stderr, "# %u programs, %s beside %s, from RONBUS_SEED=%llu\n", count, where, twin,
		first);
	for (; count; count--, first++) {
		int failed;

		memset(&p, 0, sizeof(p));
		p.alike = alike;
		failed = property_run_program(&p, both, first, 0);
		if (failed < 0)
			continue;
		property_tell(both, alike, first, failed, p.wrong);
		return false;
	}
	return true;
}

#endif /* RONBUS_PROPERTY_H */
