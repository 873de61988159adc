// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * bus.c - a bus for a cell, and the loops that are timed
 */
#include <poll.h>

#include "bus.h"

#define FLUSH_THRESHOLD "RON_TLS_FLUSH_THRESHOLD"

int must(int ret, const char *what)
{
	if (ret < 0)
		die("%s: %s", what, ronbus_why(settings.transport, ret));
	return ret;
}

/* ---- opening and closing -------------------------------------------------------------- */

struct ronbus *bus_create(struct cell *cell)
{
	/* A capacity that is given wins anyway, and large ones need no warning here. */
	bool autotune = cell->features & RONBUS_F_AUTOTUNE_CAP && !cell->capacity;
	struct ronbus_options options = {
		.features = cell->features & ~(autotune ? 0 : (__u64)RONBUS_F_AUTOTUNE_CAP),
		.flags = cell->bus_flags,
		.capacity = cell->capacity,
		.payload = cell->payload,
		.subscribers = autotune ? cell->subscribers : 0,
	};
	struct ronbus_info info;
	struct ronbus *bus;
	int ret;

	ret = ronbus_create(settings.transport, &options, &bus);
	if (ret) {
		cell_skip(cell, "no such bus: %s", ronbus_why(settings.transport, ret));
		return NULL;
	}
	must(ronbus_bus_info(bus, &info), "bus_info");
	cell->capacity_selected = info.capacity;
	return bus;
}

/* The library reads the threshold when a publisher joins. */
static void set_threshold(const struct cell *cell)
{
	char text[16];

	if (!cell->flush_threshold) {
		unsetenv(FLUSH_THRESHOLD);
		return;
	}
	snprintf(text, sizeof(text), "%u", cell->flush_threshold);
	setenv(FLUSH_THRESHOLD, text, 1);
}

static struct iovec *make_batch(const struct cell *cell, __u64 *message)
{
	struct iovec *vec = calloc(cell->batch + 1, sizeof(*vec));
	unsigned int i;

	if (!vec)
		die("no memory");
	for (i = 0; i < cell->batch; i++) {
		vec[i].iov_base = message;
		vec[i].iov_len = cell->payload;
	}
	return vec;
}

unsigned int bus_topic(const struct cell *cell, unsigned int number)
{
	/* Knuth's multiplicative hash, so that no branch predictor knows it by heart. */
	return cell->relevant ? (number + 1) * 2654435761U >> 16 & (RONBUS_TOPICS_MAX - 1) : 0;
}

__u64 bus_topics(const struct cell *cell, unsigned int index)
{
	unsigned int count = (cell->relevant * RONBUS_TOPICS_MAX + 50) / 100;
	unsigned int first = index * RONBUS_TOPICS_MAX / cell->subscribers, i;
	__u64 topics = 0;

	for (i = 0; i < count; i++)
		topics |= 1ULL << (first + i) % RONBUS_TOPICS_MAX;
	return cell->relevant ? topics : ~0ULL;
}

static int subscribe(const struct cell *cell, struct ronbus *bus, unsigned int index,
		     struct ronbus_sub **sub)
{
	struct ronbus_sub_options options = {
		.topics = cell->features & RONBUS_F_INTEREST ? bus_topics(cell, index) : 0,
	};

	return ronbus_subscribe(bus, &options, sub);
}

struct ronbus_sub *bus_subscribe(const struct cell *cell, struct ronbus *bus, unsigned int index)
{
	struct ronbus_sub *sub;

	must(subscribe(cell, bus, index, &sub), "subscribe");
	return sub;
}

struct bus *bus_open(struct cell *cell)
{
	struct bus *bus = aligned_alloc(RONBUS_CACHE_LINE, sizeof(*bus));
	int ret = 0;

	if (!bus)
		die("no memory");
	memset(bus, 0, sizeof(*bus));
	bus->bus = bus_create(cell);
	if (!bus->bus) {
		free(bus);
		return NULL;
	}
	bus->vec = make_batch(cell, bus->message.words);
	set_threshold(cell);
	ret = ronbus_publisher(bus->bus, cell->pub_flags, &bus->pub);
	for (; !ret && bus->nr_subs < cell->subscribers; bus->nr_subs++) {
		ret = subscribe(cell, bus->bus, bus->nr_subs, &bus->subs[bus->nr_subs]);
		if (ret)
			break;
	}
	if (!ret)
		return bus;
	bus_close(cell, bus);
	cell_skip(cell, "nobody can join: %s", ronbus_why(settings.transport, ret));
	return NULL;
}

static void add_counters(struct ronbus_counters *to, const struct ronbus_counters *from)
{
	/* All of them are such words, by the ABI. */
	const __u64 *add = (const __u64 *)from;
	__u64 *sum = (__u64 *)to;
	size_t i;

	for (i = 0; i < sizeof(*to) / sizeof(*sum); i++)
		sum[i] += add[i];
}

void bus_count(struct cell *cell, struct ronbus *bus)
{
	struct ronbus_stats stats;

	must(ronbus_stats(bus, RONBUS_STATS_BUS, &stats), "stats");
	add_counters(&cell->counters, &stats.counters);
}

void bus_close(struct cell *cell, struct bus *bus)
{
	unsigned int i;

	/* A publisher that leaves hands in what its threads have counted. */
	ronbus_pub_close(bus->pub);
	bus_count(cell, bus->bus);
	for (i = 0; i < bus->nr_subs; i++)
		ronbus_sub_close(bus->subs[i]);
	ronbus_close(bus->bus);
	free(bus->vec);
	free(bus);
}

/* ---- publishing ----------------------------------------------------------------------- */

static ALWAYS_INLINE void publish(struct ronbus_pub *pub, const __u64 *message, size_t len,
				  unsigned int count)
{
	while (count--) {
		forget();
		ronbus_publish(pub, 0, message, len);
	}
}

/* Programs know the length of their messages when they are compiled. */
static NOINLINE void publish_single(const struct cell *cell, struct ronbus_pub *pub,
				    const __u64 *message)
{
	switch (cell->payload) {
	case 8:
		publish(pub, message, 8, cell->burst);
		break;
	case 32:
		publish(pub, message, 32, cell->burst);
		break;
	case 256:
		publish(pub, message, 256, cell->burst);
		break;
	case 4096:
		publish(pub, message, 4096, cell->burst);
		break;
	default:
		publish(pub, message, cell->payload, cell->burst);
	}
}

static NOINLINE void publish_many(const struct cell *cell, struct ronbus_pub *pub,
				  const struct iovec *vec)
{
	unsigned int left, some;

	for (left = cell->burst; left; left -= some) {
		some = left < cell->batch ? left : cell->batch;
		forget();
		ronbus_publish_many(pub, 0, vec, some);
	}
}

void bus_publish(const struct cell *cell, struct ronbus_pub *pub, const struct iovec *vec,
		 const __u64 *message)
{
	if (cell->op == OP_MANY)
		publish_many(cell, pub, vec);
	else
		publish_single(cell, pub, message);
}

/* ---- receiving ------------------------------------------------------------------------ */

#define DRAIN_BUDGET 64U

static ALWAYS_INLINE unsigned int receive(struct ronbus_sub *sub, void *buffer, size_t len)
{
	unsigned int received = 0;
	struct ronbus_msg msg;
	int ret;

	while ((ret = ronbus_try_recv(sub, buffer, len, &msg)) > 0) {
		forget();
		received += ret == RONBUS_MESSAGE;
	}
	return received;
}

static NOINLINE unsigned int receive_all(const struct cell *cell, struct ronbus_sub *sub)
{
	struct message buffer;

	switch (cell->payload) {
	case 8:
		return receive(sub, buffer.words, 8);
	case 32:
		return receive(sub, buffer.words, 32);
	case 256:
		return receive(sub, buffer.words, 256);
	case 4096:
		return receive(sub, buffer.words, 4096);
	default:
		return receive(sub, buffer.words, cell->payload);
	}
}

static int drained(void *arg, int what, const struct ronbus_msg *msg)
{
	unsigned int *received = arg;

	*received += what == RONBUS_MESSAGE;
	__asm__ volatile("" ::"r"(msg->data) : "memory");
	return 0;
}

/* Until a drain comes back with less than the budget, which says that there was no more. */
static NOINLINE unsigned int drain(struct ronbus_sub *sub)
{
	unsigned int received = 0;

	while (ronbus_drain(sub, drained, &received, DRAIN_BUDGET, 0) == (int)DRAIN_BUDGET)
		;
	return received;
}

/* The loops that ask for each message whether there is one. */
static NOINLINE unsigned int wait_for_each(const struct cell *cell, struct ronbus_sub *sub)
{
	struct message buffer;
	unsigned int received = 0;
	struct ronbus_msg msg;

	while (!ronbus_wait(sub, 0) && ronbus_try_recv(sub, buffer.words, cell->payload, &msg) > 0)
		received++;
	return received;
}

static NOINLINE unsigned int poll_for_each(const struct cell *cell, struct ronbus_sub *sub)
{
	struct pollfd pollfd = { .fd = ronbus_sub_fd(sub), .events = POLLIN };
	struct message buffer;
	unsigned int received = 0;
	struct ronbus_msg msg;

	for (;;) {
		/* On the embedded transport the fd is readable only for a subscriber that has armed. */
		(void)poll(&pollfd, 1, 0);
		if (ronbus_try_recv(sub, buffer.words, cell->payload, &msg) <= 0)
			return received;
		received++;
	}
}

unsigned int bus_drain(const struct cell *cell, struct ronbus_sub *sub)
{
	switch (cell->op) {
	case OP_DRAIN:
		return drain(sub);
	case OP_WAIT:
		return wait_for_each(cell, sub);
	case OP_POLL:
		return poll_for_each(cell, sub);
	default:
		return receive_all(cell, sub);
	}
}
