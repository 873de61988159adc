// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * embedded_test.c - what the API promises, on the embedded transport; what holds for the device, too,
 * is in selftests/api_test.c
 */
#include "embedded.h"

#include <sched.h>
#include <sys/wait.h>

#define WHERE RONBUS_EMBEDDED

/* ---- buses ---------------------------------------------------------------------------- */

static void test_geometry(void **state)
{
	static const __u32 capacities[] = { 4, 64, 4096 };
	static const __u32 payloads[] = { 8, 40, 4096 };
	char data[RONBUS_PAYLOAD_MAX], got[RONBUS_PAYLOAD_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 7);
	for (size_t i = 0; i < 9; i++) {
		struct ronbus_options opts = {
			.capacity = capacities[i / 3],
			.payload = payloads[i % 3],
			.features = EDGE,
		};
		struct ronbus *bus = make(&opts);
		struct ronbus_pub *pub = publisher(bus, 0);
		struct ronbus_sub *sub = subscriber(bus);
		struct ronbus_msg msg;

		assert_int_equal(ronbus_publish(pub, 0, data, opts.payload + 1), -EMSGSIZE);
		for (__u32 len = opts.payload; len > opts.payload - 8; len--) {
			assert_int_equal(ronbus_publish(pub, 63, data, len), 1);
			memset(got, 0, sizeof(got));
			assert_int_equal(ronbus_try_recv(sub, got, sizeof(got), &msg), 1);
			assert_int_equal(msg.len, len);
			assert_int_equal(msg.topic, 63);
			assert_memory_equal(got, data, len);
			if (len < sizeof(got))
				assert_int_equal(got[len], 0);
		}
		put_range(pub, 0, opts.capacity + 3);
		expect_lag(sub, 3);
		expect_range(sub, 3, opts.capacity + 3);
		expect_ret(sub, -EAGAIN);
		expect_balance(bus, sub);
		ronbus_pub_close(pub);
		ronbus_sub_close(sub);
		ronbus_close(bus);
	}
}

static void test_mode(void **state)
{
	struct ronbus_options opts = { .name = "test.mode", .mode = 0420 };
	struct ronbus *bus = make(&opts), *other = NULL;
	struct ronbus_sub *sub;

	(void)state;
	assert_int_equal(ronbus_attach(WHERE, opts.name, RONBUS_ACCESS_PUBLISH, &other), -EACCES);
	assert_int_equal(ronbus_attach(WHERE, opts.name, 3, &other), -EACCES);
	ok(ronbus_attach(WHERE, opts.name, RONBUS_ACCESS_SUBSCRIBE, &other));
	ronbus_close(other);
	ronbus_close(bus);

	opts.mode = 0200;
	bus = make(&opts);
	assert_int_equal(ronbus_attach(WHERE, opts.name, RONBUS_ACCESS_SUBSCRIBE, &other), -EACCES);
	ok(ronbus_attach(WHERE, opts.name, RONBUS_ACCESS_PUBLISH, &other));
	assert_int_equal(ronbus_subscribe(other, NULL, &sub), -EACCES);
	ronbus_close(other);
	ronbus_close(bus);
}

static void test_transport_by_environment(void **state)
{
	struct ronbus_query query;
	struct ronbus *bus = NULL;

	(void)state;
	setenv("RONBUS_TRANSPORT", WHERE, 1);
	ok(ronbus_create(NULL, NULL, &bus));
	assert_int_equal(ronbus_bus_fd(bus), -EOPNOTSUPP);
	ronbus_close(bus);
	bus = NULL;
	setenv("RONBUS_TRANSPORT", "/nowhere/ronbus", 1);
	assert_int_equal(ronbus_create(NULL, NULL, &bus), -ENOENT);
	unsetenv("RONBUS_TRANSPORT");
	assert_int_equal(ronbus_create("/nowhere/ronbus", NULL, &bus), -ENOENT);
	assert_true(strlen(ronbus_why("/nowhere/ronbus", -ENOENT)) > 10);
	assert_int_equal(ronbus_create("/dev/null", NULL, &bus), -ENOTTY);
	assert_int_equal(ronbus_query("/dev/null", &query), -ENOTTY);
	assert_int_equal(ronbus_attach("/nowhere/ronbus", "x", 1, &bus), -ENOENT);
	assert_int_equal(ronbus_adopt(-1, &bus), -EBADF);
	assert_int_equal(ronbus_adopt(STDERR_FILENO, &bus), -ENOTTY);
	assert_null(bus);
	assert_string_not_equal(ronbus_version(), "");
}

static void test_autotune(void **state)
{
	static const unsigned int cases[][3] = {
		{ 0, 0, 64 },	{ 1, 0, 64 },	{ 4, 0, 64 },	{ 5, 0, 128 },	   { 16, 0, 128 },
		{ 17, 0, 256 }, { 64, 0, 256 }, { 64, 32, 32 }, { 1, 1024, 1024 },
	};
	struct ronbus_options opts = { .features = RONBUS_F_AUTOTUNE_CAP };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ronbus_stats stats;
		struct ronbus *bus;

		assert_int_equal(ronbus_autotune_capacity(cases[i][0], cases[i][1]), cases[i][2]);
		opts.subscribers = cases[i][0];
		opts.capacity = cases[i][1];
		bus = make(&opts);
		stats = stats_of(bus, RONBUS_STATS_BUS);
		assert_int_equal(stats.capacity, cases[i][2]);
		assert_int_equal(stats.counters.autotune_warn_total[RONBUS_AUTOTUNE_CAPACITY],
				 cases[i][2] > 256);
		ronbus_close(bus);
	}
	/* Without the feature nobody is warned. */
	opts = (struct ronbus_options){ .capacity = 1024 };
	{
		struct ronbus *bus = make(&opts);

		assert_int_equal(counters(bus).autotune_warn_total[RONBUS_AUTOTUNE_CAPACITY], 0);
		ronbus_close(bus);
	}
}

/* ---- publishers ----------------------------------------------------------------------- */

static void test_publish_to_nobody(void **state)
{
	struct ronbus *bus = make_plain(EDGE, 0, 4);
	struct ronbus_pub *pub = publisher(bus, 0);
	__u64 tail = stats_of(bus, RONBUS_STATS_BUS).tail;
	struct ronbus_sub *sub;

	(void)state;
	for (int i = 0; i < 10; i++)
		assert_int_equal(put(pub, 1), 0);
	assert_int_equal(stats_of(bus, RONBUS_STATS_BUS).tail, tail);
	assert_int_equal(counters(bus).no_receivers_total, 10);
	assert_int_equal(counters(bus).published_total, 0);
	ok(subscribe_at(bus, RONBUS_START_OLDEST, 0, &sub));
	expect_ret(sub, -EAGAIN);
	assert_int_equal(put(pub, 2), 1);
	expect(sub, 2);
	ronbus_sub_close(sub);
	assert_int_equal(put(pub, 3), 0);
	ronbus_pub_close(pub);
	ronbus_close(bus);
}

static void test_exclusive_successors(void **state)
{
	struct ronbus *bus = make_plain(EDGE, RONBUS_BUS_EXCLUSIVE | RONBUS_BUS_PERSISTENT, 4);
	struct ronbus_sub *sub = subscriber(bus);

	(void)state;
	for (__u64 i = 0; i < 9; i++) {
		struct ronbus_pub *pub = publisher(bus, i % 3 == 2 ? RONBUS_PUB_SYSCALL : 0);

		put_range(pub, 3 * i, 3 * i + 3);
		expect_range(sub, 3 * i, 3 * i + 3);
		if (i % 3 == 1) {
			publish_up_to(pub, RONBUS_STEP_WRITTEN);
			expect_ret(sub, -EAGAIN);
		}
		ronbus_pub_close(pub);
		expect_ret(sub, -EAGAIN);
	}
	assert_int_equal(counters(bus).repairs_total, 3);
	assert_int_equal(counters(bus).holes_total, 3);
	expect_balance(bus, sub);
	ronbus_sub_close(sub);
	ronbus_close(bus);
}

static void test_publisher_gives_up_and_is_repaired(void **state)
{
	static const int steps[] = {
		RONBUS_STEP_CLAIMED,
		RONBUS_STEP_OWNED,
		RONBUS_STEP_WRITING,
		RONBUS_STEP_WRITTEN,
	};
	struct ronbus *bus = make_plain(EDGE | RONBUS_F_BATCH, RONBUS_BUS_PERSISTENT, 4);
	struct ronbus_pub *bad = publisher(bus, 0), *pub = publisher(bus, 0);
	struct ronbus_sub *sub = subscriber(bus);
	struct iovec vec[3] = { { NULL, 0 }, { NULL, 0 }, { NULL, 0 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		publish_up_to(bad, steps[i]);
	expect_ret(sub, -EAGAIN);
	assert_int_equal(put(pub, 1), -EAGAIN);
	assert_int_equal(ronbus_publish_many(pub, 0, vec, 3), -EAGAIN);
	assert_int_equal(counters(bus).dropped_total, 2);
	assert_int_equal(counters(bus).published_total, 0);

	ronbus_pub_close(bad);
	assert_int_equal(counters(bus).repairs_total, 4);
	assert_int_equal(put(pub, 1), 1);
	/* 4 repaired, 4 passed by and overwritten or to be overwritten. */
	for (;;) {
		struct ronbus_msg msg;
		__u64 got;
		int ret = ronbus_try_recv(sub, &got, sizeof(got), &msg);

		if (ret == RONBUS_MESSAGE) {
			assert_int_equal(got, 1);
			break;
		}
		assert_int_equal(ret, RONBUS_LAGGED);
	}
	expect_ret(sub, -EAGAIN);
	expect_balance(bus, sub);
	ronbus_pub_close(pub);
	ronbus_sub_close(sub);
	ronbus_close(bus);
}

static void test_holes_are_counted(void **state)
{
	struct ronbus *bus = make_plain(EDGE, RONBUS_BUS_PERSISTENT, 8);
	struct ronbus_pub *bad = publisher(bus, 0), *pub = publisher(bus, 0);
	struct ronbus_sub *sub = subscriber(bus);

	(void)state;
	put_range(pub, 0, 2);
	publish_up_to(bad, RONBUS_STEP_WRITING);
	put_range(pub, 2, 4);
	expect_range(sub, 0, 2);
	expect_ret(sub, -EAGAIN); /* it may still come */
	ronbus_pub_close(bad);
	expect_range(sub, 2, 4);
	assert_int_equal(stats_of(bus, ronbus_sub_index(sub)).counters.holes_total, 1);
	expect_balance(bus, sub);
	ronbus_pub_close(pub);
	ronbus_sub_close(sub);
	ronbus_close(bus);
}

/* ---- batches -------------------------------------------------------------------------- */

static void fill_batch(struct iovec *vec, __u64 *values, __u64 first, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		values[i] = first + i;
		vec[i] = (struct iovec){ &values[i], sizeof(values[i]) };
	}
}

static void expect_batch(struct ronbus_sub *sub, __u64 from, __u64 to)
{
	struct ronbus_msg msg;
	__u64 got;

	for (; from < to; from++) {
		assert_int_equal(ronbus_try_recv(sub, &got, sizeof(got), &msg), RONBUS_MESSAGE);
		assert_int_equal(got, from);
		assert_int_equal(msg.topic, 9);
	}
	expect_ret(sub, -EAGAIN);
}

static void try_batches(__u64 features, __u32 flags, unsigned int pub_flags)
{
	struct ronbus *bus = make_plain(features, flags, 32);
	struct ronbus_pub *pub = publisher(bus, pub_flags);
	struct ronbus_sub *sub;
	struct iovec vec[40];
	__u64 values[40];

	fill_batch(vec, values, 0, 40);
	assert_int_equal(ronbus_publish_many(pub, 9, vec, 3), 3); /* to nobody */
	assert_int_equal(counters(bus).no_receivers_total, 3);
	sub = subscriber(bus);
	assert_int_equal(ronbus_publish_many(pub, 64, vec, 3), -EINVAL);
	assert_int_equal(ronbus_publish_many(pub, 9, vec, 0), 0);
	assert_int_equal(ronbus_publish_many(pub, 9, vec, 1), 1);
	assert_int_equal(ronbus_publish_many(pub, 9, vec + 1, 7), 7);
	expect_batch(sub, 0, 8);
	vec[3].iov_len = 33;
	assert_int_equal(ronbus_publish_many(pub, 9, vec, 8), 3);
	expect_batch(sub, 0, 3);
	assert_int_equal(ronbus_publish_many(pub, 9, vec + 3, 2), -EMSGSIZE);
	expect_ret(sub, -EAGAIN);
	vec[3].iov_len = 8;
	assert_int_equal(ronbus_publish_many(pub, 9, vec, 40), 40);
	expect_lag(sub, 8);
	expect_batch(sub, 8, 40);
	assert_int_equal(counters(bus).published_total, 51);
	assert_int_equal(counters(bus).addressed_total, 51);
	expect_balance(bus, sub);

	/* A sleeper is woken by a batch, and by one that is cut short. */
	assert_int_equal(ronbus_arm(sub), 0);
	assert_int_equal(ronbus_publish_many(pub, 9, vec, 5), 5);
	assert_int_equal(stats_of(bus, 0).armed, 0);
	expect_batch(sub, 0, 5);
	assert_int_equal(ronbus_arm(sub), 0);
	vec[1].iov_len = 33;
	assert_int_equal(ronbus_publish_many(pub, 9, vec, 5), 1);
	assert_int_equal(stats_of(bus, 0).armed, 0);
	expect_batch(sub, 0, 1);
	/* A publish by system call wakes without a further call. */
	if (features & EDGE)
		assert_int_equal(counters(bus).notify_calls_total,
				 pub_flags & RONBUS_PUB_SYSCALL ? 0 : 2);
	ronbus_pub_close(pub);
	ronbus_sub_close(sub);
	ronbus_close(bus);
}

static void test_batches(void **state)
{
	static const __u64 features[] = { 0, EDGE, RONBUS_F_BATCH, EDGE | RONBUS_F_BATCH,
					  EDGE | RONBUS_F_BATCH | RONBUS_F_METRICS_BUF };

	(void)state;
	setenv("RON_TLS_FLUSH_THRESHOLD", "1", 1);
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		try_batches(features[i], 0, 0);
		try_batches(features[i], 0, RONBUS_PUB_SYSCALL);
		try_batches(features[i], 0, RONBUS_PUB_SINGLE);
		try_batches(features[i], RONBUS_BUS_EXCLUSIVE, 0);
	}
	unsetenv("RON_TLS_FLUSH_THRESHOLD");
}

static void test_batch_counters(void **state)
{
	static const unsigned int lens[] = { 1, 2, 3, 4, 7, 8, 1023, 1024, 2000 };
	static const __u64 histogram[RONBUS_BATCH_BUCKETS] = { 1, 2, 2, 1, 0, 0, 0, 0, 0, 1, 2 };
	static struct iovec vec[2000];
	struct ronbus *bus = make_plain(EDGE | RONBUS_F_BATCH, 0, 4);
	struct ronbus_pub *pub = publisher(bus, 0);
	struct ronbus_sub *sub = subscriber(bus);
	struct ronbus_counters c;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++)
		assert_int_equal(ronbus_publish_many(pub, 0, vec, lens[i]), lens[i]);
	c = counters(bus);
	assert_int_equal(c.batch_publish_total, ARRAY_SIZE(lens));
	assert_memory_equal(c.batch_len_histogram, histogram, sizeof(histogram));
	ronbus_pub_close(pub);
	assert_int_equal(counters(bus).batch_publish_total, ARRAY_SIZE(lens));
	ronbus_sub_close(sub);
	ronbus_close(bus);
}

static void test_batch_meets_a_stalled_slot(void **state)
{
	struct ronbus *bus = make_plain(EDGE | RONBUS_F_BATCH, RONBUS_BUS_PERSISTENT, 8);
	struct ronbus_pub *bad = publisher(bus, 0), *pub = publisher(bus, 0);
	struct ronbus_sub *sub;
	struct iovec vec[20];
	__u64 values[20];
	struct ronbus_msg msg;
	__u64 got;

	(void)state;
	sub = subscriber(bus);
	publish_up_to(bad, RONBUS_STEP_OWNED);
	fill_batch(vec, values, 0, 20);
	assert_int_equal(ronbus_publish_many(pub, 9, vec, 20), 20);
	ronbus_pub_close(bad);
	assert_int_equal(ronbus_try_recv(sub, &got, sizeof(got), &msg), RONBUS_LAGGED);
	/* Seven to a lap: the last slots hold 13 to 19, and the hole is among them. */
	while (ronbus_try_recv(sub, &got, sizeof(got), &msg) == RONBUS_MESSAGE)
		assert_true(got >= 13 && got <= 19);
	assert_int_equal(got, 19);
	assert_int_equal(stats_of(bus, 0).counters.delivered_total, 7);
	expect_balance(bus, sub);
	ronbus_pub_close(pub);
	ronbus_sub_close(sub);
	ronbus_close(bus);
}

/* ---- counters ------------------------------------------------------------------------- */

static void test_stats(void **state)
{
	struct ronbus *bus = make_plain(EDGE, RONBUS_BUS_PERSISTENT, 4);
	struct ronbus_pub *pub = publisher(bus, 0);
	struct ronbus_sub *a = subscriber(bus), *b = subscriber(bus);
	struct ronbus_counters before, after;
	struct ronbus_stats stats;

	(void)state;
	assert_int_equal(ronbus_stats(bus, 64, &stats), -EINVAL);
	assert_int_equal(ronbus_stats(bus, 2, &stats), -ENOENT);
	put_range(pub, 0, 10);
	expect_lag(a, 6);
	expect_range(a, 6, 10);
	stats = stats_of(bus, RONBUS_STATS_BUS);
	assert_int_equal(stats.tail, 14);
	assert_int_equal(stats.subscribers, 3);
	assert_int_equal(stats.publishers, 1);
	assert_int_equal(stats.capacity, 4);
	stats = stats_of(bus, 0);
	assert_int_equal(stats.start, 4);
	assert_int_equal(stats.cursor, 14);
	before = counters(bus);
	assert_int_equal(before.published_total, 10);
	assert_int_equal(before.addressed_total, 20);
	assert_int_equal(before.delivered_total, 4);
	assert_int_equal(before.overflow_dropped_total, 6);
	assert_int_equal(before.receiver_lag_total, 1);

	/* What they counted stays when they leave. */
	ronbus_sub_close(a);
	ronbus_sub_close(b);
	ronbus_pub_close(pub);
	after = counters(bus);
	assert_memory_equal(&before, &after, sizeof(before));
	ronbus_close(bus);
}

/* ---- a hostile ring ------------------------------------------------------------------- */

/* Whatever is in the ring, receiving ends, goes forward, and stays in bounds. */
static void test_hostile_ring(void **state)
{
	struct ronbus *bus = make_plain(EDGE, 0, 8);
	struct ronbus_pub *pub = publisher(bus, 0);
	struct ronbus_sub *sub = subscriber(bus);
	__u64 *words = (__u64 *)pub->ring.head, seed = 99;
	size_t count = ronbus_ring_bytes(8, 32, 0) / sizeof(*words);

	(void)state;
	for (int i = 0; i < 20000; i++) {
		__u64 before = ronbus_sub_position(sub), lap = before / 8;
		struct ronbus_msg msg;
		char buf[32];
		int ret;

		for (size_t w = 0; w < count; w++)
			words[w] = dice(&seed) & 1   ? dice(&seed)
				   : dice(&seed) & 1 ? ~0ULL
						     : RONBUS_STATE(lap + dice(&seed) % 3, 1,
								    dice(&seed) % 4);
		ret = i & 1 ? ronbus_try_recv(sub, buf, sizeof(buf), &msg) : ronbus_peek(sub, &msg);
		if (ret == RONBUS_MESSAGE) {
			assert_true(msg.len <= 32);
			assert_true(msg.topic < 64);
			assert_true(msg.publisher < 64);
			if (!(i & 1))
				(void)ronbus_release(sub);
		} else if (ret != RONBUS_LAGGED) {
			assert_int_equal(ret, -EAGAIN);
		}
		assert_true(ronbus_sub_position(sub) >= before || before > ~0ULL / 2);
		assert_true(ronbus_recv(sub, buf, sizeof(buf), &msg, 0) != -EMSGSIZE);
		(void)ronbus_arm(sub);
		if (i % 64 == 0) /* which it may have moved out of this world */
			sub->self->cursor = 8 + dice(&seed) % 64;
		ret = put(pub, 1);
		assert_true(ret == 1 || ret == -EAGAIN);
	}
	ronbus_pub_close(pub);
	ronbus_sub_close(sub);
	ronbus_close(bus);
}

/* ---- fork ----------------------------------------------------------------------------- */

struct busy {
	struct ronbus_pub *pub;
	bool stop;
};

static void *busy_main(void *arg)
{
	struct busy *busy = arg;

	while (!__atomic_load_n(&busy->stop, __ATOMIC_SEQ_CST))
		put(busy->pub, 0);
	return NULL;
}

/* Of a copy of the bus in which a lock may be held for ever, everything can be closed, and no more. */
static void use_copy(struct ronbus *bus, struct ronbus_pub *pub, struct ronbus_sub *sub,
		     struct ronbus_dispatch *dispatch)
{
	struct ronbus_worker *worker = ronbus_dispatch_worker(dispatch, 0);
	struct ronbus_stats stats;
	struct ronbus_msg msg;
	__u64 value = 0;

	assert_int_equal(put(pub, 1), -EOWNERDEAD);
	assert_int_equal(ronbus_try_recv(sub, &value, sizeof(value), &msg), -EOWNERDEAD);
	assert_int_equal(ronbus_wait(sub, -1), -EOWNERDEAD);
	assert_int_equal(ronbus_stats(bus, RONBUS_STATS_BUS, &stats), -EOWNERDEAD);
	assert_int_equal(ronbus_worker_recv(worker, &value, sizeof(value), &msg, -1), -EOWNERDEAD);
	assert_int_equal(ronbus_dispatch_run(dispatch, -1), -EOWNERDEAD);
	ronbus_dispatch_close(dispatch);
	ronbus_pub_close(pub);
	ronbus_sub_close(sub);
	ronbus_close(bus);
	/* The name is free in the child, where no such bus can be used. */
	bus = make(&(struct ronbus_options){ .name = "forked", .features = EDGE });
	pub = publisher(bus, 0);
	sub = subscriber(bus);
	assert_int_equal(put(pub, 5), 1);
	expect(sub, 5);
	ronbus_pub_close(pub);
	ronbus_sub_close(sub);
	ronbus_close(bus);
}

static void test_fork(void **state)
{
	static const __u64 features[] = { 0, EDGE, EDGE | RONBUS_F_METRICS_BUF | RONBUS_F_SOA,
					  EDGE | RONBUS_F_COALESCE };
	struct ronbus_dispatch_options workers = { .workers = 2 };
	struct ronbus_dispatch *dispatch;
	int status;
	pid_t pid;

	(void)state;
	for (unsigned int i = 0; i < 60; i++) {
		struct ronbus *bus = make(&(struct ronbus_options){
			.name = "forked", .features = features[i % ARRAY_SIZE(features)] });
		struct busy busy = { .pub = publisher(bus, 0) };
		struct ronbus_sub *sub = subscriber(bus), *other = subscriber(bus);
		pthread_t thread;

		if (i % ARRAY_SIZE(features) == 3)
			ok(ronbus_sub_set_coalesce(sub, 4, 1000000));
		ok(ronbus_dispatch_open(other, &workers, &dispatch));
		ok(ronbus_dispatch_start(dispatch));
		assert_int_equal(ronbus_arm(sub) & ~1, 0);
		ok(pthread_create(&thread, NULL, busy_main, &busy));
		while (ronbus_ring_hint(&busy.pub->ring) < 2000)
			sched_yield();
		pid = fork();
		assert_int_not_equal(pid, -1);
		if (!pid) {
			alarm(60);
			use_copy(bus, busy.pub, sub, dispatch);
			ronbus_sub_close(other);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		__atomic_store_n(&busy.stop, true, __ATOMIC_SEQ_CST);
		ok(pthread_join(thread, NULL));
		ronbus_dispatch_close(dispatch);
		ronbus_pub_close(busy.pub);
		ronbus_sub_close(sub);
		ronbus_sub_close(other);
		ronbus_close(bus);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_geometry),
		TEST(test_mode),
		TEST(test_transport_by_environment),
		TEST(test_autotune),
		TEST(test_publish_to_nobody),
		TEST(test_exclusive_successors),
		TEST(test_publisher_gives_up_and_is_repaired),
		TEST(test_holes_are_counted),
		TEST(test_batches),
		TEST(test_batch_counters),
		TEST(test_batch_meets_a_stalled_slot),
		TEST(test_stats),
		TEST(test_hostile_ring),
		TEST(test_fork),
	};

	return cmocka_run_group_tests_name("embedded", tests, NULL, NULL);
}
