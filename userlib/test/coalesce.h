/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * coalesce.h - subscribers that are woken for several messages, or some time after the first
 *
 * Cases, of which each says what it expects; a time is only ever waited for, or so long that it
 * does not come. Then a run of many threads, in which nobody may be left asleep.
 *
 * For unit tests and selftests alike, so it prints nothing and returns what is wrong.
 */
#ifndef RONBUS_COALESCE_H
#define RONBUS_COALESCE_H

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <libronbus.h>

#define COALESCE_MESSAGES 4U
#define COALESCE_SOON 1000000ULL
#define COALESCE_NEVER RONBUS_COALESCE_DELAY_MAX
#define COALESCE_LIMIT_NS (3 * 1000000000LL)

struct coalesce_case {
	const char *where;
	struct ronbus *bus;
	struct ronbus_pub *pub, *other;
	struct ronbus_sub *sub;
	char *wrong;
	size_t size;
};

#define COALESCE_EXPECT(c, what, is, expected) \
	coalesce_expect(c, #what, __LINE__, (long long)(is), (long long)(expected))

static bool coalesce_expect(struct coalesce_case *c, const char *what, int line, long long is,
			    long long expected)
{
	if (is != expected && !*c->wrong)
		snprintf(c->wrong, c->size, "line %d: %s: %lld, not %lld", line, what, is,
			 expected);
	return is == expected;
}

/* ---- what is said of a bus ------------------------------------------------------------- */

static __u64 coalesce_stat(struct coalesce_case *c, size_t offset)
{
	struct ronbus_stats s;

	if (ronbus_stats(c->bus, RONBUS_STATS_BUS, &s))
		return ~0ULL;
	return *(__u64 *)((char *)&s.counters + offset);
}

#define COALESCE_STAT(c, name) coalesce_stat(c, offsetof(struct ronbus_counters, name))
#define COALESCE_WAKES(c, cause) COALESCE_STAT(c, wakes_total[RONBUS_WAKE_##cause])

/* Not the word itself: on "embedded:" a timer that has the lock may still be about to clear the bit. */
static bool coalesce_armed(struct coalesce_case *c)
{
	struct ronbus_stats s;

	return !ronbus_stats(c->bus, ronbus_sub_index(c->sub), &s) && s.armed;
}

static void coalesce_publish(struct coalesce_case *c, unsigned int topic, unsigned int messages)
{
	while (messages--)
		COALESCE_EXPECT(c, publish, ronbus_publish(c->pub, topic, "", 0) >= 0, true);
}

/* How many messages there are to read, up to @most; they are read. */
static unsigned int coalesce_read(struct coalesce_case *c, unsigned int most)
{
	struct ronbus_msg msg;
	unsigned int done = 0;
	char data[8];

	while (done < most && ronbus_try_recv(c->sub, data, sizeof(data), &msg) == RONBUS_MESSAGE)
		done++;
	return done;
}

static void coalesce_after(struct coalesce_case *c, unsigned int messages, __u64 delay)
{
	COALESCE_EXPECT(c, coalesce, ronbus_sub_set_coalesce(c->sub, messages, delay), 0);
}

/* ---- cases ----------------------------------------------------------------------------- */

/* One notification for the first message, one for the last, none between. */
static void coalesce_enough(struct coalesce_case *c)
{
	coalesce_after(c, COALESCE_MESSAGES, COALESCE_NEVER);
	for (unsigned int round = 0; round < 3; round++) {
		COALESCE_EXPECT(c, arm, ronbus_arm(c->sub), 0);
		COALESCE_EXPECT(c, armed, coalesce_armed(c), true);
		for (unsigned int i = 0; i < COALESCE_MESSAGES - 1; i++) {
			coalesce_publish(c, 0, 1);
			COALESCE_EXPECT(c, armed, coalesce_armed(c), false);
			COALESCE_EXPECT(c, woken, COALESCE_WAKES(c, DATA), round);
			COALESCE_EXPECT(c, calls, COALESCE_STAT(c, notify_calls_total),
					2 * round + 1);
		}
		COALESCE_EXPECT(c, not yet, ronbus_wait(c->sub, 0), -ETIMEDOUT);
		COALESCE_EXPECT(c, still not, ronbus_arm(c->sub), 0);
		coalesce_publish(c, 0, 1);
		COALESCE_EXPECT(c, woken, COALESCE_WAKES(c, DATA), round + 1);
		COALESCE_EXPECT(c, calls, COALESCE_STAT(c, notify_calls_total), 2 * round + 2);
		COALESCE_EXPECT(c, put off, COALESCE_STAT(c, coalesce_deferred_total), round + 1);
		/* What was there then is something to see until the last of it has been read. */
		for (unsigned int i = 0; i < COALESCE_MESSAGES; i++) {
			COALESCE_EXPECT(c, wait, ronbus_wait(c->sub, 0), 0);
			COALESCE_EXPECT(c, arm, ronbus_arm(c->sub), 1);
			COALESCE_EXPECT(c, read, coalesce_read(c, 1), 1);
		}
		COALESCE_EXPECT(c, next, RB_READ(&c->sub->info->wake_next), ~0ULL);
	}
	COALESCE_EXPECT(c, timer, COALESCE_WAKES(c, TIMER), 0);
}

/* Never enough, but some time after the first. */
static void coalesce_timer(struct coalesce_case *c)
{
	/* Both are there before the time begins. */
	coalesce_after(c, COALESCE_MESSAGES, COALESCE_NEVER);
	COALESCE_EXPECT(c, arm, ronbus_arm(c->sub), 0);
	coalesce_publish(c, 0, 2);
	coalesce_after(c, COALESCE_MESSAGES, COALESCE_SOON);
	COALESCE_EXPECT(c, wait, ronbus_wait(c->sub, COALESCE_LIMIT_NS), 0);
	COALESCE_EXPECT(c, read, coalesce_read(c, 1), 1);
	COALESCE_EXPECT(c, still there, ronbus_arm(c->sub), 1);
	COALESCE_EXPECT(c, read, coalesce_read(c, 9), 1);
	COALESCE_EXPECT(c, data, COALESCE_WAKES(c, DATA), 0);
	COALESCE_EXPECT(c, timer, COALESCE_WAKES(c, TIMER), 1);
	COALESCE_EXPECT(c, arm, ronbus_arm(c->sub), 0);
	COALESCE_EXPECT(c, armed, coalesce_armed(c), true);
}

/* What was there on arming, of which no publisher tells any more. */
static void coalesce_left_over(struct coalesce_case *c)
{
	coalesce_after(c, COALESCE_MESSAGES, COALESCE_SOON);
	coalesce_publish(c, 0, COALESCE_MESSAGES - 1);
	COALESCE_EXPECT(c, wait, ronbus_wait(c->sub, COALESCE_LIMIT_NS), 0);
	/* By the timer; or the time was up before it slept, since it had looked first. */
	COALESCE_EXPECT(c, timer, COALESCE_WAKES(c, TIMER) <= 1, true);
	COALESCE_EXPECT(c, woken, COALESCE_WAKES(c, DATA), 0);
	COALESCE_EXPECT(c, calls, COALESCE_STAT(c, notify_calls_total), 0);
	COALESCE_EXPECT(c, read, coalesce_read(c, 9), COALESCE_MESSAGES - 1);
	coalesce_after(c, COALESCE_MESSAGES, COALESCE_NEVER);
	coalesce_publish(c, 0, COALESCE_MESSAGES - 1);
	COALESCE_EXPECT(c, arm, ronbus_arm(c->sub), 0);
	COALESCE_EXPECT(c, armed, coalesce_armed(c), false);
	coalesce_publish(c, 0, 1);
	COALESCE_EXPECT(c, data, COALESCE_WAKES(c, DATA), 1);
	COALESCE_EXPECT(c, calls, COALESCE_STAT(c, notify_calls_total), 1);
}

/* A subscriber that never sleeps, but looks now and then. */
static void coalesce_looker(struct coalesce_case *c)
{
	coalesce_after(c, COALESCE_MESSAGES, COALESCE_SOON);
	coalesce_publish(c, 0, 1);
	while (ronbus_wait(c->sub, 0) == -ETIMEDOUT)
		sched_yield();
	COALESCE_EXPECT(c, read, coalesce_read(c, 9), 1);
	COALESCE_EXPECT(c, woken, COALESCE_WAKES(c, TIMER) + COALESCE_WAKES(c, DATA), 0);
}

static void coalesce_batch(struct coalesce_case *c)
{
	struct iovec vec[2 * COALESCE_MESSAGES + 2] = { { 0 } };

	coalesce_after(c, COALESCE_MESSAGES, COALESCE_NEVER);
	COALESCE_EXPECT(c, arm, ronbus_arm(c->sub), 0);
	COALESCE_EXPECT(c, some, ronbus_publish_many(c->pub, 0, vec, 2), 2);
	COALESCE_EXPECT(c, woken, COALESCE_WAKES(c, DATA), 0);
	COALESCE_EXPECT(c, many, ronbus_publish_many(c->pub, 0, vec, 10), 10);
	COALESCE_EXPECT(c, woken, COALESCE_WAKES(c, DATA), 1);
	COALESCE_EXPECT(c, read, coalesce_read(c, 99), 12);
}

static void coalesce_close(struct coalesce_case *c)
{
	coalesce_after(c, COALESCE_MESSAGES, COALESCE_NEVER);
	COALESCE_EXPECT(c, arm, ronbus_arm(c->sub), 0);
	coalesce_publish(c, 0, 1);
	ronbus_pub_close(c->other);
	c->other = NULL;
	COALESCE_EXPECT(c, repair, COALESCE_WAKES(c, REPAIR), 1);
	COALESCE_EXPECT(c, arm, ronbus_arm(c->sub), 0);
	ronbus_pub_close(c->pub);
	c->pub = NULL;
	COALESCE_EXPECT(c, close, COALESCE_WAKES(c, CLOSE), 1);
	COALESCE_EXPECT(c, arm, ronbus_arm(c->sub), 1);
	COALESCE_EXPECT(c, read, coalesce_read(c, 9), 1);
	COALESCE_EXPECT(c, next, RB_READ(&c->sub->info->wake_next), ~0ULL);
}

static void coalesce_change(struct coalesce_case *c)
{
	coalesce_after(c, COALESCE_MESSAGES, COALESCE_NEVER);
	COALESCE_EXPECT(c, arm, ronbus_arm(c->sub), 0);
	coalesce_publish(c, 0, 2);
	coalesce_after(c, 3, COALESCE_NEVER);
	COALESCE_EXPECT(c, woken, COALESCE_WAKES(c, DATA), 0);
	coalesce_after(c, 1, 0);
	COALESCE_EXPECT(c, woken, COALESCE_WAKES(c, DATA), 1);
	COALESCE_EXPECT(c, read, coalesce_read(c, 9), 2);
	COALESCE_EXPECT(c, arm, ronbus_arm(c->sub), 0);
	coalesce_publish(c, 0, 1);
	COALESCE_EXPECT(c, woken, COALESCE_WAKES(c, DATA), 2);
}

/* Only messages for it count, and it is woken when the last one comes. */
static void coalesce_interest(struct coalesce_case *c)
{
	COALESCE_EXPECT(c, set_topics, ronbus_sub_set_topics(c->sub, 2), 0);
	coalesce_after(c, 3, COALESCE_NEVER);
	COALESCE_EXPECT(c, arm, ronbus_arm(c->sub), 0);
	for (unsigned int i = 0; i < 2; i++) {
		coalesce_publish(c, 1, 1);
		coalesce_publish(c, 0, 9);
		COALESCE_EXPECT(c, woken, COALESCE_WAKES(c, DATA), 0);
	}
	coalesce_publish(c, 1, 1);
	COALESCE_EXPECT(c, woken, COALESCE_WAKES(c, DATA), 1);
	COALESCE_EXPECT(c, read, coalesce_read(c, 99), 3);
}

/* Topics that are chosen more often than the delay: it is counted anew, and not waited anew. */
static void coalesce_topics(struct coalesce_case *c)
{
	const struct timespec nap = { .tv_nsec = 8000000 };
	unsigned int i;

	COALESCE_EXPECT(c, set_topics, ronbus_sub_set_topics(c->sub, 2), 0);
	coalesce_after(c, 3, 20000000);
	COALESCE_EXPECT(c, arm, ronbus_arm(c->sub), 0);
	coalesce_publish(c, 1, 1);
	for (i = 0; i < 250 && !COALESCE_WAKES(c, TIMER); i++) {
		COALESCE_EXPECT(c, the same, ronbus_sub_set_topics(c->sub, 2), 0);
		nanosleep(&nap, NULL);
	}
	COALESCE_EXPECT(c, by the timer, COALESCE_WAKES(c, TIMER), 1);
	COALESCE_EXPECT(c, read, coalesce_read(c, 99), 1);
}

/* Enough is there, but after a message that is being written. */
static void coalesce_behind(struct coalesce_case *c)
{
	struct ronbus_claim claim = { .pos = ronbus_ring_hint(&c->other->ring) };
	struct ronbus_pub *late = c->other;
	__u64 audience = RB_READ(&late->info->audience[0]);

	coalesce_after(c, 3, COALESCE_NEVER);
	COALESCE_EXPECT(c, arm, ronbus_arm(c->sub), 0);
	coalesce_publish(c, 0, 1);
	claim.pos = ronbus_ring_hint(&late->ring);
	COALESCE_EXPECT(c, claim, ronbus_ring_claim(&late->ring, &claim, late->id, 9), 0);
	coalesce_publish(c, 0, 4);
	COALESCE_EXPECT(c, woken, COALESCE_WAKES(c, DATA), 0);
	ronbus_ring_write(&late->ring, claim.pos, audience, 0, "late", 4);
	ronbus_ring_commit_last(&late->ring, claim.pos, late->id);
	__ronbus_published(late, 0, 1, audience, claim.pos + 1);
	COALESCE_EXPECT(c, woken, COALESCE_WAKES(c, DATA), 1);
	COALESCE_EXPECT(c, read, coalesce_read(c, 99), 6);
}

/* What is for others needs no call, though the sleeper had once to be woken for whatever came. */
static void coalesce_blocked(struct coalesce_case *c)
{
	struct ronbus_pub *late = c->other;
	struct ronbus_sub *all;
	__u64 calls;

	COALESCE_EXPECT(c, all, ronbus_subscribe(c->bus, NULL, &all), 0);
	COALESCE_EXPECT(c, set_topics, ronbus_sub_set_topics(c->sub, 2), 0);
	for (unsigned int i = 0; i < 3; i++) {
		__u64 audience = RB_READ(&late->info->audience[0]);
		struct ronbus_claim claim = { .pos = ronbus_ring_hint(&late->ring) };

		coalesce_after(c, i == 1 ? 0 : 3, COALESCE_NEVER);
		COALESCE_EXPECT(c, claim, ronbus_ring_claim(&late->ring, &claim, late->id, 9), 0);
		COALESCE_EXPECT(c, arm, ronbus_arm(c->sub), 0);
		COALESCE_EXPECT(c, blocked, RB_READ(&late->info->blocked), 1);
		ronbus_ring_write(&late->ring, claim.pos, audience, 0, "late", 4);
		ronbus_ring_commit_last(&late->ring, claim.pos, late->id);
		ronbus_ring_advance(&late->ring, claim.pos + 1);
		if (i == 2) { /* and the next owner of the bit has nothing of it */
			ronbus_sub_close(c->sub);
			COALESCE_EXPECT(c, blocked, RB_READ(&late->info->blocked), 0);
			COALESCE_EXPECT(c, join,
					ronbus_subscribe(
						c->bus, &(struct ronbus_sub_options){ .topics = 2 },
						&c->sub),
					0);
		}
		__ronbus_published(late, 0, 1, audience, claim.pos + 1);
		COALESCE_EXPECT(c, arm, ronbus_arm(c->sub), 0);
		COALESCE_EXPECT(c, armed, coalesce_armed(c), true);
		calls = COALESCE_STAT(c, notify_calls_total);
		coalesce_publish(c, 0, 20);
		COALESCE_EXPECT(c, calls for others, COALESCE_STAT(c, notify_calls_total), calls);
		COALESCE_EXPECT(c, for it, ronbus_publish(c->pub, 1, "", 0), 2);
		COALESCE_EXPECT(c, calls, COALESCE_STAT(c, notify_calls_total), calls + 1);
		COALESCE_EXPECT(c, read, coalesce_read(c, 99), 1);
	}
	ronbus_sub_close(all);
}

static void coalesce_overtaken(struct coalesce_case *c)
{
	coalesce_after(c, COALESCE_MESSAGES, COALESCE_NEVER);
	coalesce_publish(c, 0, 400);
	COALESCE_EXPECT(c, arm, ronbus_arm(c->sub), 1);
}

static void coalesce_refused(struct coalesce_case *c)
{
	struct ronbus_sub *sub;
	struct ronbus *plain;

	COALESCE_EXPECT(c, most, ronbus_sub_set_coalesce(c->sub, 128, 1000), 0);
	COALESCE_EXPECT(c, too many, ronbus_sub_set_coalesce(c->sub, 129, 1000), -EINVAL);
	COALESCE_EXPECT(c, too many, ronbus_sub_set_coalesce(c->sub, ~0U, 1000), -EINVAL);
	COALESCE_EXPECT(c, too soon, ronbus_sub_set_coalesce(c->sub, 2, 999), -EINVAL);
	COALESCE_EXPECT(c, too late, ronbus_sub_set_coalesce(c->sub, 2, COALESCE_NEVER + 1),
			-EINVAL);
	COALESCE_EXPECT(c, latest, ronbus_sub_set_coalesce(c->sub, 2, COALESCE_NEVER), 0);
	COALESCE_EXPECT(c, off, ronbus_sub_set_coalesce(c->sub, 0, 0), 0);
	if (!COALESCE_EXPECT(c, create, ronbus_create(c->where, NULL, &plain), 0))
		return;
	COALESCE_EXPECT(c, subscribe, ronbus_subscribe(plain, NULL, &sub), 0);
	COALESCE_EXPECT(c, no feature, ronbus_sub_set_coalesce(sub, 2, 1000), -EOPNOTSUPP);
	ronbus_sub_close(sub);
	ronbus_close(plain);
}

static const struct {
	const char *name;
	void (*run)(struct coalesce_case *c);
	__u64 features;
} coalesce_cases[] = {
	{ "enough", coalesce_enough, 0 },
	{ "timer", coalesce_timer, 0 },
	{ "left over", coalesce_left_over, 0 },
	{ "looker", coalesce_looker, 0 },
	{ "batch", coalesce_batch, RONBUS_F_BATCH },
	{ "close", coalesce_close, 0 },
	{ "change", coalesce_change, 0 },
	{ "interest", coalesce_interest, RONBUS_F_INTEREST },
	{ "topics", coalesce_topics, RONBUS_F_INTEREST },
	{ "after a held slot", coalesce_behind, 0 },
	{ "blocked", coalesce_blocked, RONBUS_F_INTEREST },
	{ "overtaken", coalesce_overtaken, 0 },
	{ "refused", coalesce_refused, 0 },
};

#define COALESCE_CASES (sizeof(coalesce_cases) / sizeof(coalesce_cases[0]))

/* One of them. Returns whether all is right; if not, @wrong says what is. */
static bool coalesce_case(const char *where, __u64 features, unsigned int i, char *wrong,
			  size_t size)
{
	struct ronbus_options options = {
		.features = features | coalesce_cases[i].features | RONBUS_F_EDGE_NOTIFY |
			    RONBUS_F_COALESCE,
		.capacity = 256,
	};
	struct coalesce_case c = { .where = where, .wrong = wrong, .size = size };

	*wrong = '\0';
	if (COALESCE_EXPECT(&c, create, ronbus_create(where, &options, &c.bus), 0) &&
	    COALESCE_EXPECT(&c, publisher, ronbus_publisher(c.bus, 0, &c.pub), 0) &&
	    COALESCE_EXPECT(&c, publisher, ronbus_publisher(c.bus, 0, &c.other), 0) &&
	    COALESCE_EXPECT(&c, subscribe, ronbus_subscribe(c.bus, NULL, &c.sub), 0))
		coalesce_cases[i].run(&c);
	ronbus_sub_close(c.sub);
	ronbus_pub_close(c.pub);
	ronbus_pub_close(c.other);
	ronbus_close(c.bus);
	return !*wrong;
}

/* ---- a run ----------------------------------------------------------------------------- */

#define COALESCE_PUBS 2U
#define COALESCE_SUBS 3U

struct coalesce_thread {
	struct ronbus *bus;
	pthread_t thread;
	struct ronbus_pub *pub;
	struct ronbus_sub *sub;
	__u64 seed;
	unsigned int messages;
	__u64 seen;
	int ret;
};

static unsigned int coalesce_dice(struct coalesce_thread *t, unsigned int sides)
{
	t->seed ^= t->seed << 13;
	t->seed ^= t->seed >> 7;
	t->seed ^= t->seed << 17;
	return (unsigned int)(t->seed >> 20) % sides;
}

static void *coalesce_publisher(void *arg)
{
	struct coalesce_thread *t = arg;
	struct timespec pause = { .tv_nsec = 50000 };

	for (unsigned int i = 0; i < t->messages; i++) {
		int ret = ronbus_publish(t->pub, coalesce_dice(t, 2), "", 0);

		if (ret < 0 && ret != -EAGAIN)
			t->ret = ret;
		/* Bursts, of which the end is what a subscriber is left with. */
		if (!coalesce_dice(t, 30))
			nanosleep(&pause, NULL);
	}
	ronbus_pub_close(t->pub);
	return NULL;
}

static int coalesce_count(void *arg, int what, const struct ronbus_msg *msg)
{
	struct coalesce_thread *t = arg;

	t->seen += what == RONBUS_MESSAGE ? 1 : msg->lost;
	return 0;
}

static void *coalesce_subscriber(void *arg)
{
	struct coalesce_thread *t = arg;
	int ret;

	do {
		if (!coalesce_dice(t, 50))
			ronbus_sub_set_coalesce(t->sub, coalesce_dice(t, 20),
						20000 + 100 * coalesce_dice(t, 2000));
		ret = ronbus_drain(t->sub, coalesce_count, t, 1 + coalesce_dice(t, 30),
				   COALESCE_LIMIT_NS);
	} while (ret > 0);
	t->ret = ret;
	return NULL;
}

/* Returns whether everybody came to the end; if not, @wrong says what happened. */
static bool coalesce_run(const char *where, __u64 features, __u64 seed, unsigned int messages,
			 char *wrong, size_t size)
{
	struct ronbus_options options = { .features = features | RONBUS_F_COALESCE,
					  .capacity = 64 };
	struct coalesce_thread t[COALESCE_PUBS + COALESCE_SUBS] = { 0 };
	struct ronbus_stats stats = { 0 };
	struct ronbus *bus;
	unsigned int i, n = COALESCE_PUBS + COALESCE_SUBS;

	*wrong = '\0';
	if (ronbus_create(where, &options, &bus))
		return false;
	for (i = 0; i < n; i++) {
		t[i].seed = seed * 64 + i + 1;
		t[i].messages = messages;
		if (i < COALESCE_PUBS ? ronbus_publisher(bus, i ? RONBUS_PUB_SYSCALL : 0, &t[i].pub)
				      : ronbus_subscribe(bus, NULL, &t[i].sub))
			snprintf(wrong, size, "member %u cannot join", i);
	}
	for (i = 0; i < n && !*wrong; i++)
		if (pthread_create(&t[i].thread, NULL,
				   i < COALESCE_PUBS ? coalesce_publisher : coalesce_subscriber,
				   &t[i]))
			snprintf(wrong, size, "no thread");
	for (i = 0; i < n && !*wrong; i++) {
		pthread_join(t[i].thread, NULL);
		if (t[i].ret)
			snprintf(wrong, size, "member %u: %d", i, t[i].ret);
	}
	if (!*wrong && ronbus_stats(bus, RONBUS_STATS_BUS, &stats))
		snprintf(wrong, size, "no counters");
	if (!*wrong && features & RONBUS_F_EDGE_NOTIFY &&
	    (!stats.counters.coalesce_deferred_total ||
	     !stats.counters.wakes_total[RONBUS_WAKE_TIMER]))
		snprintf(wrong, size, "put off %llu, timer %llu",
			 stats.counters.coalesce_deferred_total,
			 stats.counters.wakes_total[RONBUS_WAKE_TIMER]);
	for (i = COALESCE_PUBS; i < n; i++)
		ronbus_sub_close(t[i].sub);
	ronbus_close(bus);
	return !*wrong;
}

#endif /* RONBUS_COALESCE_H */
