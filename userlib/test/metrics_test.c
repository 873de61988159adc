// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * metrics_test.c - RONBUS_F_METRICS_BUF: when counters are flushed, and that none is lost
 *
 * What a killed process has not counted is a matter of the kernel: selftests/metrics_test.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <libronbus.h>

#define THRESHOLD "RON_TLS_FLUSH_THRESHOLD"
#define NEVER "1000000"
#define MS 1000000ULL
#define INTERVAL (200 * MS)
#define WATCHDOG (20000 * MS)
#define BATCH_MOST 100U

#define ok(call) assert_int_equal(call, 0)

static __u64 now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (__u64)t.tv_sec * 1000 * MS + (__u64)t.tv_nsec;
}

static struct ronbus *make(__u64 features)
{
	const struct ronbus_options opts = {
		.features = RONBUS_F_EDGE_NOTIFY | RONBUS_F_BATCH | features,
		.flags = RONBUS_BUS_PERSISTENT,
	};
	struct ronbus *bus = NULL;

	ok(ronbus_create(RONBUS_EMBEDDED, &opts, &bus));
	return bus;
}

static struct ronbus_pub *publisher(struct ronbus *bus)
{
	struct ronbus_pub *pub = NULL;

	ok(ronbus_publisher(bus, 0, &pub));
	return pub;
}

static struct ronbus_sub *subscriber(struct ronbus *bus)
{
	struct ronbus_sub *sub = NULL;

	ok(ronbus_subscribe(bus, NULL, &sub));
	return sub;
}

/* A message may be given up where others publish at full speed: then again, until it is accepted. */
static void put(struct ronbus_pub *pub, unsigned int count)
{
	__u64 value = 1;
	int ret;

	while (count) {
		ret = ronbus_publish(pub, 0, &value, sizeof(value));
		if (ret < 0 && ret != -EAGAIN)
			abort();
		count -= ret >= 0;
	}
}

static void put_batch(struct ronbus_pub *pub, unsigned int count)
{
	static const __u64 value;
	struct iovec vec[BATCH_MOST];
	int ret;

	for (unsigned int i = 0; i < count; i++)
		vec[i] = (struct iovec){ (void *)&value, sizeof(value) };
	while (count) {
		ret = ronbus_publish_many(pub, 0, vec, count);
		if (ret < 0 && ret != -EAGAIN)
			abort();
		count -= ret > 0 ? (unsigned int)ret : 0;
	}
}

static struct ronbus_counters counters(struct ronbus *bus)
{
	struct ronbus_stats stats;

	if (ronbus_stats(bus, RONBUS_STATS_BUS, &stats))
		abort();
	return stats.counters;
}

static __u64 published(struct ronbus *bus)
{
	return counters(bus).published_total;
}

static __u64 flushes(struct ronbus *bus)
{
	return counters(bus).metrics_tls_flush_total;
}

/* A test bus with a subscriber that gets what is published. */
static struct ronbus *bus;
static struct ronbus_sub *reader;

static int setup(void **state)
{
	(void)state;
	unsetenv(THRESHOLD);
	bus = make(RONBUS_F_METRICS_BUF);
	reader = subscriber(bus);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ronbus_sub_close(reader);
	ronbus_close(bus);
	unsetenv(THRESHOLD);
	return 0;
}

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
	plain = make(0);
	ronbus_pub_close(publisher(plain));
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
	__u64 began = now();
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
	__u64 end = now() + WATCHDOG;
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
	pub = publisher(bus);
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
	pub = publisher(bus);
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
	for (__u64 end = now() + WATCHDOG; published(bus) % 5 && now() < end;)
		sleep_ms(1);
	return NULL;
}

/* A thread does not sleep on what it has counted: not for good, and not for a while. */
static void test_while_waiting(void **state)
{
	struct ronbus *quiet = make(0);
	__u64 before, end;
	pthread_t thread;

	(void)state;
	setenv(THRESHOLD, NEVER, 1);
	for (int i = 0; i < 6; i++) {
		struct sleeper me = {
			.pub = publisher(bus),
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

/* ---- threads and handles -------------------------------------------------------------- */

#define THREADS 6
#define BUSES 3
#define HANDLES 13 /* more than a thread has entries */

struct mixed {
	struct ronbus_pub **pubs;
	unsigned int first; /* handle that it uses */
	__u64 seed;
	__u64 count[HANDLES];
	pthread_barrier_t *closing; /* of the handles below @first of the threads that go on */
};

static void count_mixed(struct mixed *me, unsigned int first, unsigned int calls)
{
	while (calls--) {
		unsigned int i = first + (unsigned int)(dice(&me->seed) % (HANDLES - first));
		unsigned int batch = dice(&me->seed) % 4 ? 1 : 1 + dice(&me->seed) % 20;

		if (batch == 1)
			put(me->pubs[i], 1);
		else
			put_batch(me->pubs[i], batch);
		me->count[i] += batch;
	}
}

static void *mixed_main(void *arg)
{
	struct mixed *me = arg;

	count_mixed(me, 0, 2000 + (unsigned int)(dice(&me->seed) % 100));
	/* Some exit here; the others go on, while the handles that they no longer use are closed. */
	if (!me->closing)
		return NULL;
	pthread_barrier_wait(me->closing);
	count_mixed(me, HANDLES / 2, 3000);
	return NULL;
}

static void run_mixed(const char *threshold, __u64 seed)
{
	struct ronbus *buses[BUSES];
	struct ronbus_sub *subs[BUSES];
	struct ronbus_pub *pubs[HANDLES];
	struct mixed threads[THREADS];
	pthread_t ids[THREADS];
	pthread_barrier_t closing;
	unsigned int i, k;

	if (threshold)
		setenv(THRESHOLD, threshold, 1);
	ok(pthread_barrier_init(&closing, NULL, THREADS / 2 + 1));
	for (i = 0; i < BUSES; i++) {
		buses[i] = make(RONBUS_F_METRICS_BUF);
		subs[i] = subscriber(buses[i]);
	}
	for (i = 0; i < HANDLES; i++)
		pubs[i] = publisher(buses[i % BUSES]);
	for (i = 0; i < THREADS; i++) {
		threads[i] = (struct mixed){
			.pubs = pubs,
			.seed = seed * THREADS + i + 1,
			.closing = i < THREADS / 2 ? NULL : &closing,
		};
		ok(pthread_create(&ids[i], NULL, mixed_main, &threads[i]));
	}
	for (i = 0; i < THREADS / 2; i++)
		ok(pthread_join(ids[i], NULL));
	pthread_barrier_wait(&closing);
	for (i = 0; i < HANDLES / 2; i++)
		ronbus_pub_close(pubs[i]);
	for (i = THREADS / 2; i < THREADS; i++)
		ok(pthread_join(ids[i], NULL));
	for (i = HANDLES / 2; i < HANDLES; i++)
		ronbus_pub_close(pubs[i]);
	for (i = 0; i < BUSES; i++) {
		struct ronbus_counters c = counters(buses[i]);
		__u64 truth = 0;

		for (k = i; k < HANDLES; k += BUSES)
			for (unsigned int t = 0; t < THREADS; t++)
				truth += threads[t].count[k];
		assert_int_equal(c.published_total, truth);
		assert_int_equal(c.addressed_total, truth);
		assert_true(c.metrics_tls_flush_total <= truth);
		assert_true(c.metrics_tls_flush_total > 0);
		ronbus_sub_close(subs[i]);
		ronbus_close(buses[i]);
	}
	pthread_barrier_destroy(&closing);
	unsetenv(THRESHOLD);
}

static void test_threads_and_handles(void **state)
{
	(void)state;
	for (__u64 seed = 1; seed <= 3; seed++) {
		run_mixed(NULL, seed);
		run_mixed("1", seed);
		run_mixed("7", seed);
		run_mixed(NEVER, seed);
	}
}

/* Messages for nobody and for several are counted apart. */
static void test_receivers(void **state)
{
	struct ronbus_sub *other = NULL;
	struct ronbus_counters c;
	struct ronbus_pub *pub;

	(void)state;
	setenv(THRESHOLD, NEVER, 1);
	pub = publisher(bus);
	put(pub, 11);
	other = subscriber(bus);
	put(pub, 22);
	ronbus_sub_close(reader);
	ronbus_sub_close(other);
	put(pub, 33);
	reader = subscriber(bus);
	put(pub, 44);
	ronbus_pub_close(pub);
	c = counters(bus);
	assert_int_equal(c.published_total, 77);
	assert_int_equal(c.addressed_total, 11 + 2 * 22 + 44);
	assert_int_equal(c.no_receivers_total, 33);
	assert_int_equal(c.ready_mask_width[0], 55);
	assert_int_equal(c.ready_mask_width[1], 22);
}

/* A publisher by system call does not buffer, also not in a thread that does. */
static void publish_beside_system_calls(void)
{
	struct ronbus_sub_options one = { .topics = 1 };
	struct ronbus *own = make(RONBUS_F_METRICS_BUF | RONBUS_F_INTEREST);
	struct ronbus_pub *pub = publisher(own), *by_call;
	struct ronbus_sub *sub;
	struct ronbus_counters c;

	ok(ronbus_subscribe(own, &one, &sub));
	ok(ronbus_publisher(own, RONBUS_PUB_SYSCALL, &by_call));
	put(pub, 200); /* by now the thread looks at the clock now and then only */
	for (int i = 0; i < 10; i++)
		ok(ronbus_publish(by_call, 5, "", 0)); /* nobody wants that */
	c = counters(own);
	assert_int_equal(c.no_receivers_total, 10);
	ronbus_pub_close(by_call);
	ronbus_pub_close(pub);
	c = counters(own);
	assert_int_equal(c.no_receivers_total, 10);
	assert_int_equal(c.published_total, 200);
	ronbus_sub_close(sub);
	ronbus_close(own);
}

static void test_beside_system_calls(void **state)
{
	(void)state;
	setenv(THRESHOLD, NEVER, 1);
	/* The thread has another of its entries in use each time. */
	for (unsigned int i = 0; i <= RONBUS_THREAD_ENTRIES; i++)
		publish_beside_system_calls();
}

/* ---- fork ----------------------------------------------------------------------------- */

static int status_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* On a bus of its own, a child counts what it publishes, from nothing. */
static int publish_in_child(void)
{
	struct ronbus *own = make(RONBUS_F_METRICS_BUF);
	struct ronbus_sub *sub = subscriber(own);
	struct ronbus_pub *pub = publisher(own);
	__u64 before, after;

	put(pub, 7);
	before = published(own);
	ronbus_pub_close(pub);
	after = published(own);
	ronbus_sub_close(sub);
	ronbus_close(own);
	return before != 0 || after != 7;
}

static void test_fork(void **state)
{
	struct ronbus_pub *pub;
	pid_t pid;

	(void)state;
	setenv(THRESHOLD, NEVER, 1);
	pub = publisher(bus);
	for (int i = 1; i <= 3; i++) {
		put(pub, 10);
		pid = fork();
		if (!pid)
			_exit(publish_in_child());
		assert_int_equal(status_of(pid), 0);
		assert_int_equal(published(bus), 10 * i);
		assert_int_equal(flushes(bus), i);
	}
	put(pub, 5);
	ronbus_pub_close(pub);
	assert_int_equal(published(bus), 35);
}

struct forked {
	struct ronbus_pub *pub;
	bool stop;
	__u64 count[3];
};

static void *count_on(void *arg)
{
	static unsigned int next;
	struct forked *all = arg;
	unsigned int me = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED) % 3;

	while (!__atomic_load_n(&all->stop, __ATOMIC_RELAXED)) {
		put(all->pub, 10);
		all->count[me] += 10;
	}
	return NULL;
}

static void test_fork_among_threads(void **state)
{
	struct forked all = { 0 };
	pthread_t threads[3];
	pid_t pid;

	(void)state;
	setenv(THRESHOLD, "50", 1);
	all.pub = publisher(bus);
	for (int i = 0; i < 3; i++)
		ok(pthread_create(&threads[i], NULL, count_on, &all));
	for (int i = 0; i < 20; i++) {
		put(all.pub, 3);
		pid = fork();
		if (!pid)
			_exit(publish_in_child());
		assert_int_equal(status_of(pid), 0);
	}
	__atomic_store_n(&all.stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < 3; i++)
		ok(pthread_join(threads[i], NULL));
	ronbus_pub_close(all.pub);
	assert_int_equal(published(bus), all.count[0] + all.count[1] + all.count[2] + 20 * 3);
}

/* ---- the end of a process ------------------------------------------------------------- */

#define ENDED_WITH 30

static pid_t ends_in; /* the process whose end is looked at */

static void *count_in_thread(void *arg)
{
	put(arg, ENDED_WITH - 10);
	return NULL;
}

/* After the library's own destructor, which has none of the reserved priorities. */
static __attribute__((destructor(101))) void tell_at_end(void)
{
	if (ends_in == getpid())
		_exit(published(bus) == ENDED_WITH ? 0 : 1);
}

/* The handles stay open. Returns if the process is to end by returning from main(). */
static void end_by(const char *way)
{
	static struct ronbus_pub *pub;
	pthread_t thread;

	setenv(THRESHOLD, NEVER, 1);
	bus = make(RONBUS_F_METRICS_BUF);
	reader = subscriber(bus);
	pub = publisher(bus);
	ends_in = getpid();
	if (pthread_create(&thread, NULL, count_in_thread, pub) || pthread_join(thread, NULL))
		_exit(2);
	put(pub, 10);
	if (!strcmp(way, "exit"))
		exit(3);
	if (!strcmp(way, "thread"))
		pthread_exit(NULL);
}

static void test_end_of_process(void **state)
{
	static const char *const ways[] = {
		"return",
		"exit",
#ifndef RB_TSAN /* whose own thread keeps a process alive that its main thread has left */
		"thread",
#endif
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		pid_t pid = fork();

		if (!pid) {
			execl("/proc/self/exe", "metrics_test", ways[i], NULL);
			_exit(4);
		}
		assert_int_equal(status_of(pid), 0);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_bad_thresholds_are_refused),
		TEST(test_ratio),
		TEST(test_single_handle),
		TEST(test_while_publishing_slowly),
		TEST(test_on_wake),
		TEST(test_while_waiting),
		TEST(test_threads_and_handles),
		TEST(test_receivers),
		TEST(test_beside_system_calls),
		TEST(test_fork),
		TEST(test_fork_among_threads),
		TEST(test_end_of_process),
	};

	if (argc > 1) {
		end_by(argv[1]);
		return 5; /* which tell_at_end() replaces */
	}
	return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
