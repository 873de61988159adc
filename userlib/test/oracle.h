/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * oracle.h - one subscriber that changes its mind, and what it must be told
 *
 * On a bus that retains its messages a subscriber leaves and comes back, chooses other topics, other
 * numbers of messages to be woken for, reads, looks and arms, while messages of three topics are
 * published. What is before it is known here: so many messages of the topics that it wants now. When
 * there are as many as it wants to be woken for, it is told so; what it reads are those, in order.
 *
 * Nothing is ever overtaken, and the time is never up. For unit tests and selftests alike.
 */
#ifndef RONBUS_ORACLE_H
#define RONBUS_ORACLE_H

#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <libronbus.h>

#include "property.h"

#define ORACLE_SLOTS 64U
#define ORACLE_MESSAGES 100000U
#define ORACLE_TOPICS 3U
#define ORACLE_SIGNAL_MS 5000

struct oracle {
	const char *where;
	__u64 chance;
	struct ronbus *bus;
	struct ronbus_pub *pub;
	struct ronbus_sub *sub; /* NULL while there is none */
	int eventfd;
	__u64 features;
	__u64 topics; /* what it wants */
	__u64 enough; /* messages that it wants to be woken for */
	bool armed; /* it has been told so, and not signalled since */
	__u64 cursor, total; /* messages from the first on */
	char *wrong;
	size_t size;
};

static unsigned char oracle_topic[ORACLE_MESSAGES];

static unsigned int oracle_dice(struct oracle *o, unsigned int sides)
{
	o->chance += 0x9e3779b97f4a7c15ULL;
	return (unsigned int)(property_mix(o->chance) >> 16) % sides;
}

#define ORACLE_WRONG(o, ...) (snprintf((o)->wrong, (o)->size, __VA_ARGS__), false)

static bool oracle_wants(const struct oracle *o, __u64 number)
{
	return o->topics >> oracle_topic[number] & 1;
}

static __u64 oracle_ahead(const struct oracle *o)
{
	__u64 count = 0;

	for (__u64 i = o->cursor; i < o->total; i++)
		count += oracle_wants(o, i);
	return count;
}

static bool oracle_signalled(const struct oracle *o, int timeout_ms)
{
	struct pollfd ready = { .fd = o->eventfd, .events = POLLIN };
	__u64 count;

	return poll(&ready, 1, timeout_ms) == 1 &&
	       read(o->eventfd, &count, sizeof(count)) == sizeof(count);
}

static bool oracle_join(struct oracle *o)
{
	struct ronbus_sub_options opts = { .start = RONBUS_START_OLDEST };

	opts.topics = o->topics = 1 + oracle_dice(o, (1 << ORACLE_TOPICS) - 1);
	o->cursor = o->total > ORACLE_SLOTS ? o->total - ORACLE_SLOTS : 0;
	o->enough = 1;
	o->armed = false;
	if (ronbus_subscribe(o->bus, &opts, &o->sub))
		return ORACLE_WRONG(o, "it cannot join");
	ronbus_sub_set_eventfd(o->sub, o->eventfd);
	return true;
}

static bool oracle_publish(struct oracle *o)
{
	const __u64 room = ORACLE_SLOTS - (o->total - o->cursor);
	unsigned int topic = oracle_dice(o, ORACLE_TOPICS), count = 1 + oracle_dice(o, 4);
	struct iovec vec[4];
	__u64 numbers[4];
	int ret, expected;

	if (count > room || o->total + count > ORACLE_MESSAGES)
		return true;
	for (unsigned int i = 0; i < count; i++) {
		oracle_topic[o->total] = (unsigned char)topic;
		numbers[i] = o->total++;
		vec[i] = (struct iovec){ &numbers[i], sizeof(numbers[i]) };
	}
	if (count == 1) {
		expected = o->topics >> topic & 1;
		ret = ronbus_publish(o->pub, topic, numbers, sizeof(numbers[0]));
	} else {
		expected = (int)count;
		ret = ronbus_publish_many(o->pub, topic, vec, count);
	}
	return ret == expected || ORACLE_WRONG(o, "publishing returned %d", ret);
}

static bool oracle_choose(struct oracle *o)
{
	o->topics = 1 + oracle_dice(o, (1 << ORACLE_TOPICS) - 1);
	return !ronbus_sub_set_topics(o->sub, o->topics) || ORACLE_WRONG(o, "topics are refused");
}

static bool oracle_coalesce(struct oracle *o)
{
	if (!(o->features & RONBUS_F_COALESCE))
		return true;
	o->enough = oracle_dice(o, 2) ? 1 : 2 + oracle_dice(o, 20);
	return !ronbus_sub_set_coalesce(o->sub, (unsigned int)o->enough,
					RONBUS_COALESCE_DELAY_MAX) ||
	       ORACLE_WRONG(o, "coalescing is refused");
}

static bool oracle_read(struct oracle *o)
{
	unsigned int most = 1 + oracle_dice(o, 30);

	o->armed = false;
	oracle_signalled(o, 0);
	while (most--) {
		struct ronbus_msg msg;
		__u64 number = ~0ULL;
		int ret = ronbus_try_recv(o->sub, &number, sizeof(number), &msg);

		while (o->cursor < o->total && !oracle_wants(o, o->cursor))
			o->cursor++;
		if (ret != (o->cursor < o->total ? RONBUS_MESSAGE : -EAGAIN))
			return ORACLE_WRONG(o, "receiving returned %d at %llu of %llu", ret,
					    o->cursor, o->total);
		if (ret != RONBUS_MESSAGE)
			break;
		if (number != o->cursor++)
			return ORACLE_WRONG(o, "message %llu in place of %llu", number,
					    o->cursor - 1);
	}
	return true;
}

/* If it is armed, and there is enough, then it has been signalled. */
static bool oracle_check_signal(struct oracle *o)
{
	const __u64 ahead = oracle_ahead(o);

	/* Without EDGE_NOTIFY it is signalled for more than that. */
	if (!o->armed || !(o->features & RONBUS_F_EDGE_NOTIFY))
		return true;
	if (oracle_signalled(o, ahead >= o->enough ? ORACLE_SIGNAL_MS : 0))
		o->armed = false;
	return ahead < o->enough || !o->armed ||
	       ORACLE_WRONG(o, "%llu messages, it wants %llu, and nobody has woken it", ahead,
			    o->enough);
}

static bool oracle_arm(struct oracle *o)
{
	const __u64 ahead = oracle_ahead(o);
	bool told;

	if (oracle_dice(o, 2)) {
		oracle_signalled(o, 0);
		told = ronbus_arm(o->sub) == 1;
		o->armed = !told;
	} else {
		told = !ronbus_wait(o->sub, 0);
		o->armed &= !told;
	}
	return told || ahead < o->enough ||
	       ORACLE_WRONG(o, "%llu messages, it wants %llu, and is told of nothing", ahead,
			    o->enough);
}

static bool oracle_step(struct oracle *o)
{
	static bool (*const does[])(struct oracle *) = {
		oracle_publish, oracle_publish, oracle_publish,	 oracle_publish,
		oracle_choose,	oracle_read,	oracle_coalesce, oracle_arm,
	};

	if (!o->sub && !oracle_join(o))
		return false;
	if (!oracle_dice(o, 80)) {
		ronbus_sub_close(o->sub);
		o->sub = NULL;
		return true;
	}
	return does[oracle_dice(o, 8)](o) && oracle_check_signal(o);
}

/**
 * oracle_run() - ask it
 * @where: transport
 * @features: features of the bus, with RONBUS_F_INTEREST
 * @flags: flags of the bus besides
 * @pub_flags: how it is published
 * @seed: of all that is left to chance
 * @steps: how many
 * @wrong: filled with what was wrong
 * @size: bytes there
 *
 * Return: whether all was right.
 */
static bool oracle_run(const char *where, __u64 features, __u32 flags, unsigned int pub_flags,
		       __u64 seed, unsigned int steps, char *wrong, size_t size)
{
	const struct ronbus_options options = {
		.features = features | RONBUS_F_INTEREST,
		.flags = RONBUS_BUS_RETAIN | RONBUS_BUS_PERSISTENT | flags,
		.capacity = ORACLE_SLOTS,
		.payload = 8,
	};
	struct oracle o = {
		.where = where,
		.chance = seed,
		.features = options.features,
		.wrong = wrong,
		.size = size,
	};
	unsigned int step = 0;
	bool right;

	*wrong = '\0';
	o.eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	right = o.eventfd >= 0 && !ronbus_create(where, &options, &o.bus) &&
		!ronbus_publisher(o.bus, pub_flags, &o.pub);
	if (!right)
		(void)ORACLE_WRONG(&o, "no bus on %s", where);
	for (; right && step < steps; step++)
		right = oracle_step(&o);
	ronbus_sub_close(o.sub);
	ronbus_pub_close(o.pub);
	ronbus_close(o.bus);
	close(o.eventfd);
	if (!right)
		fprintf(stderr,
			"# %s, features %#llx, flags %#x, publisher %u, seed %llu, step %u: %s\n",
			where, options.features, options.flags, pub_flags, seed, step, wrong);
	return right;
}

#define ORACLE_EDGE RONBUS_F_EDGE_NOTIFY
#define ORACLE_BOTH (RONBUS_F_EDGE_NOTIFY | RONBUS_F_COALESCE)

/* The kinds of buses on which it is asked. */
static const struct {
	__u64 features;
	__u32 flags;
	unsigned int pub_flags;
} oracle_kinds[] = {
	{ ORACLE_EDGE, 0, 0 },
	{ RONBUS_F_COALESCE, 0, 0 },
	{ ORACLE_BOTH, 0, 0 },
	{ ORACLE_BOTH | RONBUS_F_SOA | RONBUS_F_BATCH, 0, 0 },
	{ ORACLE_BOTH | RONBUS_F_TIME | RONBUS_F_BATCH, 0, 0 },
	{ ORACLE_BOTH | RONBUS_F_BATCH | RONBUS_F_METRICS_BUF, 0, RONBUS_PUB_SYSCALL },
	{ ORACLE_BOTH | RONBUS_F_BATCH, RONBUS_BUS_EXCLUSIVE, 0 },
	{ ORACLE_BOTH | RONBUS_F_BATCH | RONBUS_F_METRICS_BUF, RONBUS_BUS_MAP_NONE, 0 },
};

#define ORACLE_KINDS (sizeof(oracle_kinds) / sizeof(oracle_kinds[0]))

#endif /* RONBUS_ORACLE_H */
