/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/* Topics: cases in which the steps of one member come between those of another. */
#ifndef RONBUS_INTEREST_CASES_H
#define RONBUS_INTEREST_CASES_H

#include "interest.h"

/* A bus, publishers through a mapping, and a subscriber that wants topic 1 of two. */
struct interest_case {
	const char *where;
	struct ronbus *bus;
	struct ronbus_pub *pub, *other;
	struct ronbus_sub *sub, *all;
	char *wrong;
	size_t size;
};

#define INTEREST_EXPECT(c, what, is, expected) \
	interest_expect(c, #what, (long long)(is), (long long)(expected))

static bool interest_expect(struct interest_case *c, const char *what, long long is,
			    long long expected)
{
	if (is != expected && !*c->wrong)
		snprintf(c->wrong, c->size, "%s: %lld, not %lld", what, is, expected);
	return is == expected;
}

static int interest_join(struct interest_case *c, __u32 start, __u64 topics,
			 struct ronbus_sub **sub)
{
	struct ronbus_sub_options opts = { .start = start, .topics = topics };

	return ronbus_subscribe(c->bus, &opts, sub);
}

/* The topic of the next message, or what there is instead. */
static int interest_next(struct ronbus_sub *sub)
{
	struct ronbus_msg msg;
	char data[8];
	int ret = ronbus_try_recv(sub, data, sizeof(data), &msg);

	return ret == RONBUS_MESSAGE ? msg.topic : ret == RONBUS_CLOSED ? -ESHUTDOWN : ret;
}

static __u64 interest_stat(struct interest_case *c, size_t offset)
{
	struct ronbus_stats s;

	if (ronbus_stats(c->bus, RONBUS_STATS_BUS, &s))
		return ~0ULL;
	return *(__u64 *)((char *)&s.counters + offset);
}

#define INTEREST_STAT(c, name) interest_stat(c, offsetof(struct ronbus_counters, name))

static bool interest_armed(const struct ronbus_sub *sub)
{
	return RB_READ(&sub->info->armed) >> ronbus_sub_index(sub) & 1;
}

/* The steps of ronbus_publish(), so that something may come between them. */
static __u64 interest_claim(struct ronbus_pub *pub)
{
	struct ronbus_claim claim = { .pos = ronbus_ring_hint(&pub->ring) };

	return ronbus_ring_claim(&pub->ring, &claim, pub->id, 100) ? 0 : claim.pos;
}

static void interest_commit(struct ronbus_pub *pub, __u64 pos, unsigned int topic, __u64 audience)
{
	ronbus_ring_write(&pub->ring, pos, audience, topic, "late", 4);
	ronbus_ring_commit_last(&pub->ring, pos, pub->id);
	ronbus_ring_advance(&pub->ring, pos + 1);
	__ronbus_published(pub, topic, (__u32)__builtin_popcountll(audience), audience, pos + 1);
}

/* A message for others is being written when one for the sleeper is published after it. */
static void interest_behind(struct interest_case *c)
{
	__u64 audience = RB_READ(&c->pub->info->audience[0]), pos = interest_claim(c->pub);

	INTEREST_EXPECT(c, arm, ronbus_arm(c->sub), 0);
	INTEREST_EXPECT(c, receivers, ronbus_publish(c->other, 1, "", 0), 2);
	INTEREST_EXPECT(c, nothing yet, interest_next(c->sub), -EAGAIN);
	INTEREST_EXPECT(c, arm again, ronbus_arm(c->sub), 0);
	interest_commit(c->pub, pos, 0, audience);
	INTEREST_EXPECT(c, armed, interest_armed(c->sub), false);
	INTEREST_EXPECT(c, the one after it, interest_next(c->sub), 1);
	/* Only then: with nothing being written, messages for others are no concern of it. */
	INTEREST_EXPECT(c, arm at last, ronbus_arm(c->sub), 0);
	INTEREST_EXPECT(c, for others, ronbus_publish(c->pub, 0, "", 0), 1);
	INTEREST_EXPECT(c, still armed, interest_armed(c->sub), true);
}

/* Addressed before the topics change, written when the subscriber sleeps. */
static void interest_narrowed(struct interest_case *c)
{
	__u64 audience = RB_READ(&c->pub->info->audience[1]);

	INTEREST_EXPECT(c, set_topics, ronbus_sub_set_topics(c->sub, 4), 0);
	INTEREST_EXPECT(c, arm, ronbus_arm(c->sub), 0);
	interest_commit(c->pub, interest_claim(c->pub), 1, audience);
	INTEREST_EXPECT(c, armed, interest_armed(c->sub), false);
	INTEREST_EXPECT(c, next, interest_next(c->sub), 1);
	INTEREST_EXPECT(c, receivers, ronbus_publish(c->pub, 1, "", 0), 1);
	INTEREST_EXPECT(c, receivers, ronbus_publish(c->pub, 2, "", 0), 2);
	INTEREST_EXPECT(c, next, interest_next(c->sub), 2);
	INTEREST_EXPECT(c, next, interest_next(c->sub), -EAGAIN);
}

/* Addressed to one that left, written when another has its bit, which never wanted the topic. */
static void interest_former(struct interest_case *c)
{
	__u64 audience = RB_READ(&c->pub->info->audience[1]);
	unsigned int index = ronbus_sub_index(c->sub);

	ronbus_sub_close(c->sub);
	INTEREST_EXPECT(c, join, interest_join(c, RONBUS_START_LATEST, 4, &c->sub), 0);
	INTEREST_EXPECT(c, index, ronbus_sub_index(c->sub), index);
	interest_commit(c->pub, interest_claim(c->pub), 1, audience);
	INTEREST_EXPECT(c, next, interest_next(c->sub), -EAGAIN);
}

/* History goes by topic, whoever it was addressed to. */
static void interest_history(struct interest_case *c)
{
	for (unsigned int i = 0; i < 6; i++)
		INTEREST_EXPECT(c, receivers, ronbus_publish(c->pub, i % 3, "", 0),
				i % 3 == 1 ? 2 : 1);
	ronbus_sub_close(c->sub);
	INTEREST_EXPECT(c, join, interest_join(c, RONBUS_START_OLDEST, 5, &c->sub), 0);
	INTEREST_EXPECT(c, receivers, ronbus_publish(c->pub, 1, "", 0), 1);
	INTEREST_EXPECT(c, next, interest_next(c->sub), 0);
	INTEREST_EXPECT(c, next, interest_next(c->sub), 2);
	INTEREST_EXPECT(c, set_topics, ronbus_sub_set_topics(c->sub, 2), 0);
	INTEREST_EXPECT(c, next, interest_next(c->sub), 1);
	INTEREST_EXPECT(c, next, interest_next(c->sub), -EAGAIN);
	INTEREST_EXPECT(c, filtered, RB_READ(&c->sub->self->filtered), 4);
}

/* What a drain is asked to do: change topics at the first message, or end at a message. */
struct interest_wish {
	struct ronbus_sub *sub;
	__u64 topics;
	unsigned int last;
	unsigned int count;
};

static int interest_at_message(void *arg, int what, const struct ronbus_msg *msg)
{
	struct interest_wish *wish = arg;

	if (what != RONBUS_MESSAGE || msg->topic != 1)
		return 1;
	if (!wish->count++ && wish->topics && ronbus_sub_set_topics(wish->sub, wish->topics))
		return 1;
	return wish->count == wish->last;
}

/* Some of what lies there, and the rest later; and topics that change on the way. */
static void interest_drains(struct interest_case *c)
{
	static const unsigned int topics[] = { 0, 1, 1, 0, 0, 1, 0, 1, 1, 0, 1, 0 };
	struct interest_wish two = { .last = 2 }, narrow = { .sub = c->sub, .topics = 4 };
	__u64 first = ronbus_sub_position(c->sub);
	unsigned int i;

	for (i = 0; i < 12; i++)
		ronbus_publish(c->pub, topics[i], "", 0);
	INTEREST_EXPECT(c, ended, ronbus_drain(c->sub, interest_at_message, &two, 100, 0), 2);
	INTEREST_EXPECT(c, position, ronbus_sub_position(c->sub), first + 3);
	INTEREST_EXPECT(c, filtered, RB_READ(&c->sub->self->filtered), 1);
	INTEREST_EXPECT(c, budget, ronbus_drain(c->sub, interest_at_message, &narrow, 2, 0), 2);
	INTEREST_EXPECT(c, position, ronbus_sub_position(c->sub), first + 8);
	/* They were addressed to it before. */
	INTEREST_EXPECT(c, rest, ronbus_drain(c->sub, interest_at_message, &two, 100, 0), 2);
	INTEREST_EXPECT(c, position, ronbus_sub_position(c->sub), first + 12);
	INTEREST_EXPECT(c, filtered, RB_READ(&c->sub->self->filtered), 6);
	INTEREST_EXPECT(c, delivered, RB_READ(&c->sub->self->delivered), 6);
	INTEREST_EXPECT(c, empty, ronbus_drain(c->sub, interest_at_message, &two, 100, 0), -EAGAIN);
	INTEREST_EXPECT(c, receivers, ronbus_publish(c->pub, 1, "", 0), 1);
	INTEREST_EXPECT(c, others, ronbus_drain(c->sub, interest_at_message, &two, 100, 0),
			-EAGAIN);
	INTEREST_EXPECT(c, position, ronbus_sub_position(c->sub), first + 13);
}

/* Nobody is woken for what others want, nor told of it; many of them are a reason to look. */
static void interest_quiet(struct interest_case *c)
{
	unsigned int i;

	INTEREST_EXPECT(c, arm, ronbus_arm(c->sub), 0);
	for (i = 0; i < 40; i++)
		INTEREST_EXPECT(c, receivers, ronbus_publish(c->pub, 0, "", 0), 1);
	INTEREST_EXPECT(c, armed, interest_armed(c->sub), true);
	INTEREST_EXPECT(c, arm again, ronbus_arm(c->sub), 0);
	INTEREST_EXPECT(c, wait, ronbus_wait(c->sub, 0), -ETIMEDOUT);
	INTEREST_EXPECT(c, woken, INTEREST_STAT(c, wakes_total), 0);
	for (; i < 64; i++)
		ronbus_publish(c->pub, 0, "", 0);
	INTEREST_EXPECT(c, a reason to look, ronbus_arm(c->sub), 1);
	INTEREST_EXPECT(c, next, interest_next(c->sub), -EAGAIN);
	INTEREST_EXPECT(c, position, ronbus_sub_position(c->sub), ronbus_ring_hint(&c->sub->ring));
	INTEREST_EXPECT(c, arm at last, ronbus_arm(c->sub), 0);
	INTEREST_EXPECT(c, receivers, ronbus_publish(c->pub, 1, "", 0), 2);
	INTEREST_EXPECT(c, woken, INTEREST_STAT(c, wakes_total), 1);
}

static void interest_counters(struct interest_case *c)
{
	struct iovec vec[3] = { { 0 } };

	ronbus_publish(c->pub, 0, "", 0); /* spares one */
	ronbus_publish(c->pub, 1, "", 0); /* none */
	INTEREST_EXPECT(c, batch, ronbus_publish_many(c->pub, 0, vec, 3), 3); /* one each */
	ronbus_sub_close(c->all);
	c->all = NULL;
	INTEREST_EXPECT(c, nobody, ronbus_publish(c->pub, 0, "", 0), 0); /* one */
	INTEREST_EXPECT(c, nobody, ronbus_publish_many(c->pub, 0, vec, 2), 2); /* one each */
	ronbus_pub_close(c->pub); /* and with it what it has not flushed */
	c->pub = NULL;
	INTEREST_EXPECT(c, skips, INTEREST_STAT(c, interest_skips_total), 7);
	INTEREST_EXPECT(c, nobody wanted, INTEREST_STAT(c, no_receivers_total), 3);
	INTEREST_EXPECT(c, for one, INTEREST_STAT(c, ready_mask_width[0]), 4);
	INTEREST_EXPECT(c, for two, INTEREST_STAT(c, ready_mask_width[1]), 1);
}

static void interest_refused(struct interest_case *c)
{
	struct ronbus_sub *sub;
	struct ronbus *plain;

	INTEREST_EXPECT(c, no topics, ronbus_sub_set_topics(c->sub, 0), -EINVAL);
	INTEREST_EXPECT(c, audience, RB_READ(&c->pub->info->audience[1]), 3);
	INTEREST_EXPECT(c, members, RB_READ(&c->pub->info->members), 3);
	INTEREST_EXPECT(c, topics, c->sub->interest.topics, 2);
	if (!INTEREST_EXPECT(c, create, ronbus_create(c->where, NULL, &plain), 0))
		return;
	INTEREST_EXPECT(c, subscribe, ronbus_subscribe(plain, NULL, &sub), 0);
	INTEREST_EXPECT(c, no feature, ronbus_sub_set_topics(sub, 1), -EOPNOTSUPP);
	ronbus_sub_close(sub);
	ronbus_close(plain);
}

static const struct {
	const char *name;
	void (*run)(struct interest_case *c);
} interest_cases[] = {
	{ "after", interest_behind },	   { "narrowed", interest_narrowed },
	{ "former", interest_former },	   { "history", interest_history },
	{ "drains", interest_drains },	   { "quiet", interest_quiet },
	{ "counters", interest_counters }, { "refused", interest_refused },
};

#define INTEREST_CASES (sizeof(interest_cases) / sizeof(interest_cases[0]))

/* One of them. Returns whether all is right; if not, @wrong says what is. */
static bool interest_case(const char *where, __u64 features, unsigned int i, char *wrong,
			  size_t size)
{
	struct ronbus_options options = { .features = features | RONBUS_F_INTEREST,
					  .capacity = 256 };
	struct interest_case c = { .where = where, .wrong = wrong, .size = size };

	*wrong = '\0';
	if (INTEREST_EXPECT(&c, create, ronbus_create(where, &options, &c.bus), 0) &&
	    INTEREST_EXPECT(&c, publisher, ronbus_publisher(c.bus, 0, &c.pub), 0) &&
	    INTEREST_EXPECT(&c, publisher, ronbus_publisher(c.bus, 0, &c.other), 0) &&
	    INTEREST_EXPECT(&c, all, interest_join(&c, RONBUS_START_LATEST, 0, &c.all), 0) &&
	    INTEREST_EXPECT(&c, join, interest_join(&c, RONBUS_START_LATEST, 2, &c.sub), 0))
		interest_cases[i].run(&c);
	ronbus_sub_close(c.sub);
	ronbus_sub_close(c.all);
	ronbus_pub_close(c.pub);
	ronbus_pub_close(c.other);
	ronbus_close(c.bus);
	return !*wrong;
}

#endif /* RONBUS_INTEREST_CASES_H */
