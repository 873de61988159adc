// SPDX-License-Identifier: GPL-2.0
/*
 * RONBUS_F_TIME: when a message was published, by every way to publish and to receive, on both
 * transports.
 */
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "libronbus.h"
#include "ronbus_kselftest.h"

#define SLOTS 8U
#define PAYLOAD 64U
#define ALL (RONBUS_F_EDGE_NOTIFY | RONBUS_F_BATCH | RONBUS_F_METRICS_BUF)

FIXTURE(stamp)
{
	struct ronbus *bus;
	struct ronbus_pub *pub;
	struct ronbus_sub *sub;
};

FIXTURE_VARIANT(stamp)
{
	const char *where;
	u64 features;
	u32 flags;
	unsigned int pub_flags;
};

#define TRANSPORTS(name, ...)                                                    \
	FIXTURE_VARIANT_ADD(stamp, device_##name){ RONBUS_DEVICE, __VA_ARGS__ }; \
	FIXTURE_VARIANT_ADD(stamp, embedded_##name){ RONBUS_EMBEDDED, __VA_ARGS__ };

TRANSPORTS(alone, 0, 0, 0)
TRANSPORTS(recommended, ALL, 0, 0)
TRANSPORTS(soa, ALL | RONBUS_F_SOA, 0, 0)
TRANSPORTS(interest, ALL | RONBUS_F_INTEREST, 0, 0)
TRANSPORTS(interest_soa, ALL | RONBUS_F_INTEREST | RONBUS_F_SOA, 0, 0)
TRANSPORTS(coalesce, ALL | RONBUS_F_COALESCE, 0, 0)
TRANSPORTS(exclusive, ALL, RONBUS_BUS_EXCLUSIVE, 0)
TRANSPORTS(exclusive_soa, ALL | RONBUS_F_SOA, RONBUS_BUS_EXCLUSIVE, 0)
TRANSPORTS(single, ALL, 0, RONBUS_PUB_SINGLE)
TRANSPORTS(syscall, ALL, 0, RONBUS_PUB_SYSCALL)
TRANSPORTS(syscall_soa, ALL | RONBUS_F_SOA, 0, RONBUS_PUB_SYSCALL)
TRANSPORTS(blocks, ALL | RONBUS_F_BLOCKS, 0, 0)
TRANSPORTS(coarse, ALL, RONBUS_BUS_COARSE_TIME, 0)
TRANSPORTS(coarse_soa, ALL | RONBUS_F_SOA, RONBUS_BUS_COARSE_TIME, 0)

FIXTURE_SETUP(stamp)
{
	const struct ronbus_options options = {
		.features = variant->features | RONBUS_F_TIME,
		.flags = variant->flags,
		.capacity = SLOTS,
		.payload = PAYLOAD,
	};

	if (no_device(variant->where))
		SKIP(return, "no %s: the module is not loaded", variant->where);
	ASSERT_EQ(0, ronbus_create(variant->where, &options, &self->bus));
	ASSERT_EQ(0, ronbus_publisher(self->bus, variant->pub_flags, &self->pub));
	ASSERT_EQ(0, ronbus_subscribe(self->bus, NULL, &self->sub));
}

FIXTURE_TEARDOWN(stamp)
{
	ronbus_sub_close(self->sub);
	ronbus_pub_close(self->pub);
	ronbus_close(self->bus);
}

/* The earliest time that a message can have that is published from now on. */
static u64 earliest(u32 flags)
{
	return clock_ns(flags & RONBUS_BUS_COARSE_TIME ? CLOCK_MONOTONIC_COARSE : CLOCK_MONOTONIC);
}

/* ---- ways to publish and to receive --------------------------------------------------------- */

/* Publishes @count messages of @len bytes, numbered from @number. */
typedef bool publish_fn(struct ronbus_pub *pub, u64 number, u32 len, unsigned int count);

static bool singly(struct ronbus_pub *pub, u64 number, u32 len, unsigned int count,
		   int (*publish)(struct ronbus_pub *, unsigned int, const void *, size_t))
{
	char data[PAYLOAD];
	unsigned int i;

	for (i = 0; i < count; i++) {
		message_fill(data, len, number + i);
		if (publish(pub, 3, data, len) != 1)
			return false;
	}
	return true;
}

static bool by_one(struct ronbus_pub *pub, u64 number, u32 len, unsigned int count)
{
	return singly(pub, number, len, count, ronbus_publish);
}

/* What the inlines leave to the library. */
static bool by_library(struct ronbus_pub *pub, u64 number, u32 len, unsigned int count)
{
	return singly(pub, number, len, count, __ronbus_publish);
}

static bool by_many(struct ronbus_pub *pub, u64 number, u32 len, unsigned int count)
{
	char data[SLOTS][PAYLOAD];
	struct iovec vec[SLOTS];
	unsigned int i;

	for (i = 0; i < count; i++) {
		message_fill(data[i], len, number + i);
		vec[i] = (struct iovec){ data[i], len };
	}
	return ronbus_publish_many(pub, 3, vec, count) == (int)count;
}

static publish_fn *const ways_in[] = { by_one, by_many, by_library };

struct got {
	struct ronbus_msg msg[SLOTS];
	char data[SLOTS][PAYLOAD];
	unsigned int count;
};

typedef void receive_fn(struct ronbus_sub *sub, struct got *got, unsigned int count);

static void by_try(struct ronbus_sub *sub, struct got *got, unsigned int count)
{
	for (; got->count < count; got->count++)
		if (ronbus_try_recv(sub, got->data[got->count], PAYLOAD, &got->msg[got->count]) !=
		    RONBUS_MESSAGE)
			return;
}

static void by_recv(struct ronbus_sub *sub, struct got *got, unsigned int count)
{
	for (; got->count < count; got->count++)
		if (ronbus_recv(sub, got->data[got->count], PAYLOAD, &got->msg[got->count],
				WATCHDOG) != RONBUS_MESSAGE)
			return;
}

static void by_recv_many(struct ronbus_sub *sub, struct got *got, unsigned int count)
{
	int ret = ronbus_recv_many(sub, got->data, PAYLOAD, got->msg, count);

	got->count = ret > 0 ? (unsigned int)ret : 0;
}

static void by_peek(struct ronbus_sub *sub, struct got *got, unsigned int count)
{
	for (; got->count < count; got->count++) {
		struct ronbus_msg *msg = &got->msg[got->count];

		if (ronbus_peek(sub, msg) != RONBUS_MESSAGE)
			return;
		memcpy(got->data[got->count], msg->data, msg->len);
		if (ronbus_release(sub))
			return;
	}
}

static int keep(void *arg, int what, const struct ronbus_msg *msg)
{
	struct got *got = arg;

	if (what != RONBUS_MESSAGE)
		return 1;
	memcpy(got->data[got->count], msg->data, msg->len);
	got->msg[got->count++] = *msg;
	return 0;
}

static void by_drain(struct ronbus_sub *sub, struct got *got, unsigned int count)
{
	ronbus_drain(sub, keep, got, count, 0);
}

static receive_fn *const ways_out[] = { by_try, by_recv, by_recv_many, by_peek, by_drain };

TEST_F(stamp, by_every_way)
{
	static const u32 lens[] = { 8, 16, 32, 40, PAYLOAD };
	u64 number = 0, last = 0, before, after;
	unsigned int in, out, i, k;
	struct got got;

	for (in = 0; in < ARRAY_SIZE(ways_in); in++) {
		for (out = 0; out < ARRAY_SIZE(ways_out); out++) {
			for (i = 0; i < ARRAY_SIZE(lens); i++) {
				memset(&got, POISON, sizeof(got));
				got.count = 0;
				before = earliest(variant->flags);
				ASSERT_TRUE(ways_in[in](self->pub, number, lens[i], 5));
				after = now_ns();
				ways_out[out](self->sub, &got, 5);
				ASSERT_EQ(5, got.count)
				{
					TH_LOG("way in %u, way out %u", in, out);
				}
				for (k = 0; k < 5; k++, number++) {
					ASSERT_TRUE(message_whole(got.data[k], lens[i], number));
					ASSERT_EQ(lens[i], got.msg[k].len);
					ASSERT_EQ(3, got.msg[k].topic);
					ASSERT_LE(before, got.msg[k].time);
					ASSERT_LE(last, got.msg[k].time);
					ASSERT_GE(after, got.msg[k].time);
					last = got.msg[k].time;
				}
			}
		}
	}
}

TEST_F(stamp, of_an_empty_message)
{
	u64 before = earliest(variant->flags);
	struct ronbus_msg msg;

	ASSERT_EQ(1, ronbus_publish(self->pub, 0, NULL, 0));
	ASSERT_EQ(RONBUS_MESSAGE, ronbus_try_recv(self->sub, NULL, 0, &msg));
	EXPECT_EQ(0, msg.len);
	EXPECT_LE(before, msg.time);
	EXPECT_GE(now_ns(), msg.time);
}

TEST_F(stamp, not_of_a_loss)
{
	struct ronbus_msg msg = { .time = 1 };
	char data[PAYLOAD];
	unsigned int i;

	for (i = 0; i < 2; i++)
		ASSERT_TRUE(by_one(self->pub, 0, PAYLOAD, SLOTS));
	ASSERT_EQ(RONBUS_LAGGED, ronbus_try_recv(self->sub, data, sizeof(data), &msg));
	EXPECT_EQ(0, msg.time);
	ASSERT_EQ(RONBUS_MESSAGE, ronbus_try_recv(self->sub, data, sizeof(data), &msg));
	EXPECT_NE(0, msg.time);
}

TEST_F(stamp, of_a_message_with_a_block)
{
	struct ronbus_block block;
	struct ronbus_msg msg;
	char data[PAYLOAD];
	u64 before;

	if (!(variant->features & RONBUS_F_BLOCKS)) {
		EXPECT_EQ(-EOPNOTSUPP, ronbus_publish_block(self->pub, 0, NULL, 0, "block", 5));
		return;
	}
	before = now_ns();
	ASSERT_EQ(1, ronbus_publish_block(self->pub, 0, "event", 5, "block", 5));
	ASSERT_EQ(RONBUS_MESSAGE, ronbus_try_recv(self->sub, data, sizeof(data), &msg));
	EXPECT_LE(before, msg.time);
	EXPECT_GE(now_ns(), msg.time);
	ASSERT_EQ(0, ronbus_block_pin(self->sub, &msg, &block));
	EXPECT_EQ(0, memcmp(block.data, "block", 5));
	ronbus_block_unpin(self->sub, &block);
}

/* What is handed on to workers says when it was published on the bus, not when it was handed on. */
TEST_F(stamp, through_a_dispatch)
{
	const struct ronbus_dispatch_options options = { .workers = 2 };
	struct ronbus_dispatch *dispatch;
	u64 before, after;
	unsigned int i;

	ASSERT_EQ(0, ronbus_dispatch_open(self->sub, &options, &dispatch));
	before = earliest(variant->flags);
	ASSERT_TRUE(by_one(self->pub, 7, 32, 1));
	after = now_ns();
	ASSERT_EQ(1, ronbus_dispatch_run(dispatch, 0));
	for (i = 0; i < 2; i++) {
		struct ronbus_msg msg;
		char data[PAYLOAD];

		ASSERT_EQ(RONBUS_MESSAGE, ronbus_worker_recv(ronbus_dispatch_worker(dispatch, i),
							     data, sizeof(data), &msg, 0));
		EXPECT_TRUE(message_whole(data, 32, 7));
		EXPECT_LE(before, msg.time);
		EXPECT_GE(after, msg.time);
	}
	ronbus_dispatch_close(dispatch);
}

/* ---- a reader that is overtaken all the time ------------------------------------------------ */

#define LAPPED 20000U

struct hurry {
	struct ronbus_pub *pub;
	u32 flags;
	bool done;
	bool failed;
};

static void *publish_in_a_hurry(void *arg)
{
	struct hurry *hurry = arg;
	unsigned int i;

	for (i = 0; i < LAPPED; i++) {
		u64 words[4] = { earliest(hurry->flags), 0, 0, 0 };

		words[3] = ~words[0];
		if (ronbus_publish(hurry->pub, 0, words, sizeof(words)) != 1)
			hurry->failed = true;
		if (!(i % 64))
			sched_yield();
	}
	__atomic_store_n(&hurry->done, true, __ATOMIC_RELEASE);
	return NULL;
}

/* Each message says what the clock was before it, so its time is known from both sides. */
TEST_F(stamp, belongs_to_its_message)
{
	struct hurry hurry = { .pub = self->pub, .flags = variant->flags };
	u64 time = 0, position = 0, words[4], read = 0;
	struct ronbus_msg msg;
	pthread_t thread;
	bool done;

	ASSERT_EQ(0, pthread_create(&thread, NULL, publish_in_a_hurry, &hurry));
	do {
		int ret;

		done = __atomic_load_n(&hurry.done, __ATOMIC_ACQUIRE);
		while ((ret = ronbus_try_recv(self->sub, words, sizeof(words), &msg)) > 0) {
			if (ret != RONBUS_MESSAGE)
				continue;
			read++;
			ASSERT_EQ(~words[0], words[3]);
			ASSERT_LE(words[0], msg.time);
			if (position + 1 == msg.position)
				ASSERT_LE(time, words[0]);
			time = msg.time;
			position = msg.position;
		}
		ASSERT_EQ(-EAGAIN, ret);
	} while (!done);
	pthread_join(thread, NULL);
	EXPECT_FALSE(hurry.failed);
	EXPECT_LT(0, read);
}

/* ---- what it is not ------------------------------------------------------------------------- */

static const char *const transports[] = { RONBUS_DEVICE, RONBUS_EMBEDDED };

TEST(without_the_feature_there_is_none)
{
	unsigned int i, soa;

	for (i = 0; i < ARRAY_SIZE(transports) * 2; i++) {
		const char *where = transports[i / 2];
		struct ronbus_options options = { .capacity = 8 };
		struct ronbus_msg msg = { .time = 1 };
		struct ronbus_pub *pub;
		struct ronbus_sub *sub;
		struct ronbus *bus;
		char data[32];

		soa = i % 2;
		options.features = soa ? ALL | RONBUS_F_SOA : ALL;
		if (no_device(where))
			continue;
		ASSERT_EQ(0, ronbus_create(where, &options, &bus));
		ASSERT_EQ(0, ronbus_publisher(bus, 0, &pub));
		ASSERT_EQ(0, ronbus_subscribe(bus, NULL, &sub));
		ASSERT_EQ(1, ronbus_publish(pub, 0, "message", 8));
		ASSERT_EQ(RONBUS_MESSAGE, ronbus_try_recv(sub, data, sizeof(data), &msg));
		EXPECT_EQ(0, msg.time);
		msg.time = 1;
		ASSERT_EQ(1, ronbus_publish(pub, 0, "message", 8));
		ASSERT_EQ(RONBUS_MESSAGE, ronbus_peek(sub, &msg));
		EXPECT_EQ(0, msg.time);
		ronbus_sub_close(sub);
		ronbus_pub_close(pub);
		ronbus_close(bus);
	}
}

TEST(a_coarse_clock_wants_a_time)
{
	const struct ronbus_options options = { .features = ALL, .flags = RONBUS_BUS_COARSE_TIME };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(transports); i++) {
		struct ronbus *bus;

		if (!no_device(transports[i]))
			EXPECT_EQ(-EINVAL, ronbus_create(transports[i], &options, &bus));
	}
}

/* ---- the device ----------------------------------------------------------------------------- */

FIXTURE(device)
{
	int control;
	int bus;
	struct publisher pub;
	struct subscriber sub;
};

FIXTURE_VARIANT(device)
{
	u64 features;
};

FIXTURE_VARIANT_ADD(device, slots){ RONBUS_F_EDGE_NOTIFY };
FIXTURE_VARIANT_ADD(device, soa){ RONBUS_F_EDGE_NOTIFY | RONBUS_F_SOA };

FIXTURE_SETUP(device)
{
	self->control = open(RONBUS_DEVICE, O_RDWR | O_CLOEXEC);
	if (self->control < 0)
		SKIP(return, "no %s: the module is not loaded", RONBUS_DEVICE);
	self->bus =
		bus_create(self->control,
			   (struct ronbus_create){ .features = variant->features | RONBUS_F_TIME,
						   .capacity = SLOTS,
						   .payload = PAYLOAD });
	ASSERT_LE(0, self->bus);
	ASSERT_EQ(0, publisher_join(&self->pub, self->bus, 0));
	ASSERT_EQ(0, subscriber_join(&self->sub, self->bus, RONBUS_START_LATEST, 0));
}

FIXTURE_TEARDOWN(device)
{
	if (self->control < 0)
		return;
	subscriber_leave(&self->sub);
	publisher_leave(&self->pub);
	close(self->bus);
	close(self->control);
}

struct timed_record {
	struct ronbus_record record;
	u64 time;
	char payload[PAYLOAD];
};

TEST_F(device, read_puts_it_before_the_payload)
{
	struct timed_record got[4];
	u64 before = now_ns();
	unsigned int i;

	for (i = 0; i < 4; i++)
		ASSERT_EQ(1, publish_number(&self->pub, i));
	memset(got, POISON, sizeof(got));
	/* One byte less than a record takes is too little, and takes nothing. */
	EXPECT_EQ(-EINVAL, fd_read(self->sub.m.fd, got, sizeof(got[0]) - 1));
	ASSERT_EQ(sizeof(got), fd_read(self->sub.m.fd, got, sizeof(got)));
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(PAYLOAD, got[i].record.len);
		EXPECT_EQ(SLOTS + i, got[i].record.position);
		EXPECT_LE(before, got[i].time);
		EXPECT_GE(now_ns(), got[i].time);
		EXPECT_TRUE(message_whole(got[i].payload, PAYLOAD, i));
	}
}

/* What a hostile publisher says of the time is its word, and nothing else. */
TEST_F(device, any_time_is_only_a_number)
{
	static const u64 times[] = { 0, 1, ~0ULL, 1ULL << 63 };
	struct publisher mapped;
	unsigned int i;

	ASSERT_EQ(0, publisher_join(&mapped, self->bus, RONBUS_PUBLISHER_MAPPED));
	for (i = 0; i < ARRAY_SIZE(times); i++) {
		const struct ronbus_ring *ring = &mapped.m.ring;
		struct ronbus_claim claim = { .pos = ronbus_ring_hint(ring) };
		struct timed_record got;
		u64 data = i;

		ASSERT_EQ(0, ronbus_ring_claim(ring, &claim, mapped.id, 100));
		ronbus_ring_write(ring, claim.pos, ~0ULL, 0, &data, sizeof(data));
		ronbus_ring_stamp(ring, claim.pos, times[i]);
		ronbus_ring_commit_last(ring, claim.pos, mapped.id);
		ronbus_ring_advance(ring, claim.pos + 1);
		ASSERT_LT(0, fd_read(self->sub.m.fd, &got, sizeof(got)));
		EXPECT_EQ(times[i], got.time);
		EXPECT_EQ(i, *(u64 *)got.payload);
	}
	publisher_leave(&mapped);
}

/* ---- time namespaces ------------------------------------------------------------------------ */

#define NAME "time-test"

/*
 * In a child whose CLOCK_MONOTONIC is moved: it publishes, mapped and by system call, and reads
 * what it and its parent have published. 0, or what went wrong.
 */
static int plays_by_its_clock(long offset, int ready)
{
	struct ronbus_pub *mapped, *by_call;
	struct timed_record record;
	struct ronbus_msg msg;
	struct ronbus_sub *sub;
	struct ronbus *bus;
	u64 before;
	int status;
	pid_t pid;
	int i;

	status = time_namespace_make(offset);
	if (status)
		return status;
	pid = fork();
	if (pid)
		return child_status(pid);
	if (ronbus_attach(RONBUS_DEVICE, NAME, RONBUS_ACCESS_SUBSCRIBE | RONBUS_ACCESS_PUBLISH,
			  &bus) ||
	    ronbus_publisher(bus, RONBUS_PUB_MAPPED_ONLY, &mapped) ||
	    ronbus_publisher(bus, RONBUS_PUB_SYSCALL, &by_call) ||
	    ronbus_subscribe(bus, NULL, &sub))
		_exit(3);
	for (i = 0; i < 2; i++) {
		before = now_ns();
		if (ronbus_publish(i ? by_call : mapped, 0, "child", 6) != 2)
			_exit(4);
		if (ronbus_try_recv(sub, &record, sizeof(record), &msg) != RONBUS_MESSAGE ||
		    msg.time < before || msg.time > now_ns())
			_exit(5 + i);
		/* The same by read(2). */
		if (ronbus_publish(i ? by_call : mapped, 0, "child", 6) != 2 ||
		    fd_read(ronbus_sub_fd(sub), &record, sizeof(record)) <= 0 ||
		    record.time < before || record.time > now_ns())
			_exit(7 + i);
	}
	/* And what comes from outside. */
	before = now_ns();
	if (write(ready, "x", 1) != 1 ||
	    ronbus_recv(sub, &record, sizeof(record), &msg, WATCHDOG) != RONBUS_MESSAGE ||
	    msg.time < before || msg.time > now_ns())
		_exit(9);
	_exit(0);
}

TEST(everybody_reads_it_by_the_own_clock)
{
	static const long offsets[] = { 1000, -1, 0, 100000000 };
	const struct ronbus_options options = { .name = NAME,
						.features = ALL | RONBUS_F_TIME,
						.payload = PAYLOAD };
	struct ronbus_pub *pub;
	struct ronbus_sub *sub;
	struct ronbus *bus;
	unsigned int i, k;

	if (no_device(RONBUS_DEVICE))
		SKIP(return, "no %s: the module is not loaded", RONBUS_DEVICE);
	ASSERT_EQ(0, ronbus_create(RONBUS_DEVICE, &options, &bus));
	ASSERT_EQ(0, ronbus_publisher(bus, 0, &pub));
	ASSERT_EQ(0, ronbus_subscribe(bus, NULL, &sub));
	for (i = 0; i < ARRAY_SIZE(offsets); i++) {
		u64 before = now_ns();
		struct ronbus_msg msg;
		char data[PAYLOAD];
		int ready[2], status;
		pid_t pid;

		ASSERT_EQ(0, pipe(ready));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			close(ready[0]);
			_exit(plays_by_its_clock(offsets[i], ready[1]));
		}
		close(ready[1]);
		if (read(ready[0], data, 1) == 1)
			ASSERT_LT(0, ronbus_publish(pub, 0, "parent", 7));
		close(ready[0]);
		status = child_status(pid);
		if (status == NO_TIME_NAMESPACES)
			SKIP(return, "this kernel has no time namespaces");
		EXPECT_EQ(0, status)
		{
			TH_LOG("an offset of %ld s", offsets[i]);
		}
		for (k = 0; k < 5; k++) {
			ASSERT_EQ(RONBUS_MESSAGE, ronbus_try_recv(sub, data, sizeof(data), &msg));
			EXPECT_LE(before, msg.time);
			EXPECT_GE(now_ns(), msg.time);
		}
	}
	ronbus_sub_close(sub);
	ronbus_pub_close(pub);
	ronbus_close(bus);
}

TEST_HARNESS_MAIN
