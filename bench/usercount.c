// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * usercount.c - instructions of the library's hot path, counted by callgrind
 *
 * Run it as bench/icount does: valgrind --tool=callgrind. Each operation is done between two
 * requests to callgrind, "zero" and "dump"; the dump carries the operation's name. The first dump
 * is an empty one: what the requests themselves cost. The counts repeat exactly.
 */
#include <valgrind/callgrind.h>

#include <libronbus.h>

#include "bench.h"

const char bench_name[] = "usercount";

#define CAPACITY 64U
#define PAYLOAD 32U
#define BATCH 64U

struct bus {
	struct ronbus *bus;
	struct ronbus_pub *pub;
	struct ronbus_sub *subs[RONBUS_SUBSCRIBERS_MAX];
};

static __u64 message[PAYLOAD / sizeof(__u64)];
static struct iovec vec[BATCH];

static void must(int ret, const char *what)
{
	if (ret < 0)
		die("%s: %s", what, ronbus_why(RONBUS_EMBEDDED, ret));
}

static void expect(int got, unsigned int wanted, const char *what)
{
	if (got != (int)wanted)
		die("%s returned %d, not %u", what, got, wanted);
}

static void bus_open(struct bus *b, __u64 features, __u32 flags, unsigned int subscribers)
{
	struct ronbus_options opts = {
		.features = RONBUS_F_EDGE_NOTIFY | features,
		.flags = flags,
		.capacity = CAPACITY,
		.payload = PAYLOAD,
	};
	unsigned int i;

	memset(b, 0, sizeof(*b));
	must(ronbus_create(RONBUS_EMBEDDED, &opts, &b->bus), "create");
	must(ronbus_publisher(b->bus, 0, &b->pub), "publisher");
	for (i = 0; i < subscribers; i++)
		must(ronbus_subscribe(b->bus, NULL, &b->subs[i]), "subscribe");
}

static void bus_close(struct bus *b)
{
	unsigned int i;

	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++)
		ronbus_sub_close(b->subs[i]);
	ronbus_pub_close(b->pub);
	ronbus_close(b->bus);
}

#define COUNT(name, what)                      \
	do {                                   \
		CALLGRIND_ZERO_STATS;          \
		what;                          \
		CALLGRIND_DUMP_STATS_AT(name); \
	} while (0)

/* One call each, so that the compiler makes of them what it makes of a program's. */
static NOINLINE int publish(struct ronbus_pub *pub)
{
	return ronbus_publish(pub, 0, message, sizeof(message));
}

static NOINLINE int publish_many(struct ronbus_pub *pub)
{
	return ronbus_publish_many(pub, 0, vec, BATCH);
}

static NOINLINE int try_recv(struct ronbus_sub *sub)
{
	__u64 buffer[PAYLOAD / sizeof(__u64)];
	struct ronbus_msg msg;
	int ret = ronbus_try_recv(sub, buffer, sizeof(buffer), &msg);

	forget();
	return ret;
}

static NOINLINE int recv_many(struct ronbus_sub *sub)
{
	__u64 buffers[BATCH][PAYLOAD / sizeof(__u64)];
	struct ronbus_msg msgs[BATCH];
	int ret = ronbus_recv_many(sub, buffers, sizeof(buffers[0]), msgs, BATCH);

	forget();
	return ret;
}

static int look_at(void *arg, int what, const struct ronbus_msg *msg)
{
	(void)arg;
	(void)what;
	__asm__ volatile("" ::"r"(msg->data) : "memory");
	return 0;
}

static NOINLINE int peek(struct ronbus_sub *sub)
{
	struct ronbus_msg msg;
	int ret = ronbus_peek(sub, &msg);

	forget();
	return ronbus_release(sub) ? -1 : ret;
}

static void count_publish(const char *name, __u64 features, __u32 flags, unsigned int subscribers)
{
	struct bus b;
	unsigned int i;
	int ret = 0;

	bus_open(&b, features, flags, subscribers);
	/* Every slot is used, and counters are somewhere between two flushes. */
	for (i = 0; i < 2 * CAPACITY + 1; i++)
		publish(b.pub);
	COUNT(name, ret = publish(b.pub));
	expect(ret, subscribers, name);
	bus_close(&b);
}

static void count_publish_many(const char *name, __u64 features, __u32 flags)
{
	struct bus b;
	unsigned int i;
	int ret = 0;

	for (i = 0; i < BATCH; i++)
		vec[i] = (struct iovec){ message, sizeof(message) };
	bus_open(&b, RONBUS_F_BATCH | features, flags, 1);
	publish_many(b.pub);
	COUNT(name, ret = publish_many(b.pub));
	expect(ret, BATCH, name);
	bus_close(&b);
}

static void count_receive(void)
{
	struct bus b;
	int ret = 0;

	bus_open(&b, 0, 0, 1);
	publish(b.pub);
	publish(b.pub);
	publish(b.pub);
	publish(b.pub);
	try_recv(b.subs[0]);
	COUNT("try_recv", ret = try_recv(b.subs[0]));
	expect(ret, RONBUS_MESSAGE, "try_recv");
	peek(b.subs[0]);
	COUNT("peek_release", ret = peek(b.subs[0]));
	expect(ret, RONBUS_MESSAGE, "peek");
	try_recv(b.subs[0]);
	COUNT("try_recv_empty", ret = try_recv(b.subs[0]));
	if (ret != -EAGAIN)
		die("an empty bus gave %d", ret);
	bus_close(&b);
}

static void count_receive_many(const char *many, const char *drained, __u64 features)
{
	struct bus b;
	int ret = 0;

	bus_open(&b, RONBUS_F_BATCH | features, 0, 1);
	publish_many(b.pub);
	recv_many(b.subs[0]);
	publish_many(b.pub);
	COUNT(many, ret = recv_many(b.subs[0]));
	expect(ret, BATCH, "recv_many");
	publish_many(b.pub);
	COUNT(drained, ret = ronbus_drain(b.subs[0], look_at, NULL, BATCH, 0));
	expect(ret, BATCH, "drain");
	bus_close(&b);
}

int main(void)
{
	COUNT("nothing", forget());
	COUNT("nothing", forget());
	count_publish("publish_many_publishers_1", 0, 0, 1);
	count_publish("publish_many_publishers_64", 0, 0, 64);
	count_publish("publish_many_publishers_metrics_1", RONBUS_F_METRICS_BUF, 0, 1);
	count_publish("publish_many_publishers_metrics_64", RONBUS_F_METRICS_BUF, 0, 64);
	count_publish("publish_exclusive_1", 0, RONBUS_BUS_EXCLUSIVE, 1);
	count_publish("publish_exclusive_64", 0, RONBUS_BUS_EXCLUSIVE, 64);
	count_publish("publish_nobody", 0, 0, 0);
	count_publish_many("publish_batch64_many_publishers", 0, 0);
	count_publish_many("publish_batch64_exclusive", 0, RONBUS_BUS_EXCLUSIVE);
	count_receive();
	count_receive_many("recv_many64", "drain64", 0);
	count_publish("publish_soa", RONBUS_F_SOA, 0, 1);
	count_publish_many("publish_batch64_soa", RONBUS_F_SOA, 0);
	count_receive_many("recv_many64_soa", "drain64_soa", RONBUS_F_SOA);
	/* Without what the clock takes, which is a system call here. */
	count_publish("publish_time", RONBUS_F_TIME, 0, 1);
	count_receive_many("recv_many64_time", "drain64_time", RONBUS_F_TIME);
	return 0;
}
