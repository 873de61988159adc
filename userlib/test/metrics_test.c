// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * metrics_test.c - RONBUS_F_METRICS_BUF: when counters are flushed
 *
 * What a killed process has not counted is a matter of the kernel: selftests/metrics_test.c.
 */
#include "metrics.h"

/* ---- the setting ---------------------------------------------------------------------- */

/* What a call that is refused says on standard error. */
static void refused(char *said, size_t size)
{
	FILE *file = tmpfile();
	int saved = dup(STDERR_FILENO), ret;
	struct ronbus_pub *pub;
	size_t len;

	assert_non_null(file);
	fflush(stderr);
	dup2(fileno(file), STDERR_FILENO);
	ret = ronbus_publisher(bus, 0, &pub);
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(file);
	len = fread(said, 1, size - 1, file);
	said[len] = '\0';
	fclose(file);
	assert_int_equal(ret, -EINVAL);
}

static void test_bad_thresholds_are_refused(void **state)
{
	static const char *const bad[] = { "",
					   "0",
					   "00",
					   "-1",
					   "+1",
					   "64x",
					   " 64",
					   "64 ",
					   "0x40",
					   "6.4",
					   "1e3",
					   "x",
					   "1073741825",
					   "4294967297",
					   "18446744073709551616",
					   "99999999999999999999" };
	char said[256], expected[256];
	struct ronbus *plain;
	struct ronbus_info info;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		setenv(THRESHOLD, bad[i], 1);
		refused(said, sizeof(said));
		snprintf(expected, sizeof(expected),
			 "libronbus: " THRESHOLD "=\"%s\" is not a number from 1 to 1073741824; "
			 "unset it for the default of 64\n",
			 bad[i]);
		assert_string_equal(said, expected);
	}
	/* Nobody joined. */
	ok(ronbus_bus_info(bus, &info));
	assert_int_equal(info.publishers, 0);
	/* A bus without the feature does not ask for its setting. */
	plain = make_with(0);
	ronbus_pub_close(publisher(plain, 0));
	ronbus_close(plain);
}

/* ---- so many messages to a flush ------------------------------------------------------ */

struct ratio {
	unsigned int threshold, calls, batch;
	bool in_time;
	struct ronbus_counters before, open, closed;
};

/* In a thread of its own: the time of the last flush is that of the thread. */
static void *ratio_main(void *arg)
{
	struct ratio *ratio = arg;
	__s64 began = now();
	struct ronbus_pub *pub;

	ratio->before = counters(bus);
	if (ronbus_publisher(bus, 0, &pub))
		abort();
	for (unsigned int i = 0; i < ratio->calls; i++) {
		if (ratio->batch == 1)
			put(pub, 1);
		else
			put_batch(pub, ratio->batch);
	}
	ratio->open = counters(bus);
	ratio->in_time = now() - began < INTERVAL / 4; /* it looks at a coarse clock */
	ronbus_pub_close(pub);
	ratio->closed = counters(bus);
	return NULL;
}

/*
 * When what is kept back reaches the threshold it is flushed, and the rest when the handle is
 * closed. False if that took so long that time is a reason to flush.
 */
static bool count_flushes(struct ratio *ratio)
{
	__u64 flushed = 0, kept = 0, times = 0;
	pthread_t thread;

	for (unsigned int i = 0; i < ratio->calls; i++) {
		kept += ratio->batch;
		if (kept < ratio->threshold)
			continue;
		flushed += kept;
		kept = 0;
		times++;
	}
	ok(pthread_create(&thread, NULL, ratio_main, ratio));
	ok(pthread_join(thread, NULL));
	assert_int_equal(ratio->closed.published_total - ratio->before.published_total,
			 flushed + kept);
	if (!ratio->in_time)
		return false;
	assert_int_equal(ratio->open.published_total - ratio->before.published_total, flushed);
	assert_int_equal(ratio->open.addressed_total, ratio->open.published_total);
	assert_int_equal(
		ratio->open.metrics_tls_flush_total - ratio->before.metrics_tls_flush_total, times);
	assert_int_equal(ratio->closed.metrics_tls_flush_total -
				 ratio->before.metrics_tls_flush_total,
			 times + !!kept);
	return true;
}

static void try_ratio(unsigned int threshold, unsigned int calls, unsigned int batch)
{
	struct ratio ratio = { .threshold = threshold, .calls = calls, .batch = batch };
	__s64 end = now() + WATCHDOG;
	char text[16];

	snprintf(text, sizeof(text), "%u", threshold);
	if (threshold != 64)
		setenv(THRESHOLD, text, 1);
	while (!count_flushes(&ratio))
		assert_true(now() < end);
	unsetenv(THRESHOLD);
}

static void test_ratio(void **state)
{
	static const unsigned int thresholds[] = { 1, 2, 3, 17, 64, 100, 1000, 1U << 30 };
	static const unsigned int batches[] = { 1, 2, 7, 64, 65, 100 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(thresholds); i++)
		for (size_t k = 0; k < ARRAY_SIZE(batches); k++)
			try_ratio(thresholds[i], 1 + 3000 / batches[k], batches[k]);
}

/* A handle of one thread counts in its page at once, and has nothing to flush. */
static void test_single_handle(void **state)
{
	struct ronbus_pub *pub = NULL;

	(void)state;
	setenv(THRESHOLD, NEVER, 1);
	ok(ronbus_publisher(bus, RONBUS_PUB_SINGLE, &pub));
	for (__u64 i = 1; i <= 100; i++) {
		put(pub, 1);
		assert_int_equal(published(bus), 2 * i - 1);
		put_batch(pub, 1);
		assert_int_equal(published(bus), 2 * i);
	}
	ronbus_pub_close(pub);
	assert_int_equal(published(bus), 200);
	assert_int_equal(flushes(bus), 0);
}

/* ---- so much time to a flush ---------------------------------------------------------- */

static void sleep_ms(unsigned int ms)
{
	usleep(ms * 1000);
}

/* Publish one every so often, until they are flushed; how many that took does not matter much. */
static __u64 publish_until_flushed(struct ronbus_pub *pub, __u64 sent, unsigned int pause_ms)
{
	__u64 before = flushes(bus);
	unsigned int count = 0;

	while (flushes(bus) == before) {
		assert_true(++count <= 128);
		sleep_ms(pause_ms);
		put(pub, 1);
		sent++;
	}
	assert_int_equal(published(bus), sent);
	return sent;
}

static void test_while_publishing_slowly(void **state)
{
	struct ronbus_pub *pub;
	__u64 sent = 1000;

	(void)state;
	setenv(THRESHOLD, NEVER, 1);
	pub = publisher(bus, 0);
	put(pub, 1000);
	/* It has got used to looking seldom, and sees that messages are rare now. */
	sent = publish_until_flushed(pub, sent, 5);
	sent = publish_until_flushed(pub, sent, 30);
	/* Now it looks each time. */
	for (int i = 0; i < 2; i++) {
		sleep_ms(230);
		put(pub, 1);
		assert_int_equal(published(bus), ++sent);
	}
	put(pub, 1);
	sent++;
	ronbus_pub_close(pub);
	assert_int_equal(published(bus), sent);
}

/* A wake-up costs a system call anyway: reading the clock adds little to it. */
static void test_on_wake(void **state)
{
	struct ronbus_pub *pub;

	(void)state;
	setenv(THRESHOLD, NEVER, 1);
	pub = publisher(bus, 0);
	put(pub, 64);
	for (__u64 value;
	     ronbus_try_recv(reader, &value, sizeof(value), &(struct ronbus_msg){ 0 }) > 0;)
		;
	assert_int_equal(ronbus_arm(reader), 0);
	sleep_ms(230);
	put(pub, 1);
	assert_int_equal(counters(bus).notify_sends_total, 1);
	assert_int_equal(published(bus), 65);
	ronbus_pub_close(pub);
}

struct sleeper {
	struct ronbus_pub *pub;
	struct ronbus_sub *sub;
	int way;
	int64_t limit;
	int ret;
	bool done;
};

static int ignore(void *arg, int what, const struct ronbus_msg *msg)
{
	(void)arg;
	(void)what;
	(void)msg;
	return 0;
}

static void *sleeper_main(void *arg)
{
	struct sleeper *me = arg;
	struct ronbus_msg msg;
	__u64 value;

	put(me->pub, 5);
	switch (me->way) {
	case 0:
		me->ret = ronbus_wait(me->sub, me->limit);
		break;
	case 1:
		me->ret = ronbus_recv(me->sub, &value, sizeof(value), &msg, me->limit);
		break;
	default:
		me->ret = ronbus_drain(me->sub, ignore, NULL, 3, me->limit);
		break;
	}
	__atomic_store_n(&me->done, true, __ATOMIC_RELEASE);
	/* The thread's end would flush as well. */
	for (__s64 end = now() + WATCHDOG; published(bus) % 5 && now() < end;)
		sleep_ms(1);
	return NULL;
}

/* A thread does not sleep on what it has counted: not for good, and not for a while. */
static void test_while_waiting(void **state)
{
	struct ronbus *quiet = make_with(0);
	__u64 before;
	__s64 end;
	pthread_t thread;

	(void)state;
	setenv(THRESHOLD, NEVER, 1);
	for (int i = 0; i < 6; i++) {
		struct sleeper me = {
			.pub = publisher(bus, 0),
			.sub = subscriber(quiet),
			.way = i % 3,
			.limit = i < 3 ? -1 : (int64_t)(2 * INTERVAL),
		};

		before = published(bus);
		ok(pthread_create(&thread, NULL, sleeper_main, &me));
		for (end = now() + WATCHDOG; published(bus) == before && now() < end;)
			sleep_ms(1);
		assert_int_equal(published(bus), before + 5);
		assert_int_equal(flushes(bus), i + 1);
		/* For good is for good. */
		if (me.limit < 0)
			assert_false(__atomic_load_n(&me.done, __ATOMIC_ACQUIRE));
		while (me.limit < 0 && !__atomic_load_n(&me.done, __ATOMIC_ACQUIRE)) {
			ok(ronbus_cancel(me.sub));
			sleep_ms(1);
		}
		ok(pthread_join(thread, NULL));
		assert_int_equal(me.ret, me.limit < 0 ? -ECANCELED : -ETIMEDOUT);
		ronbus_pub_close(me.pub);
		ronbus_sub_close(me.sub);
	}
	ronbus_close(quiet);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_bad_thresholds_are_refused), TEST(test_ratio),   TEST(test_single_handle),
		TEST(test_while_publishing_slowly),    TEST(test_on_wake), TEST(test_while_waiting),
	};

	return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
