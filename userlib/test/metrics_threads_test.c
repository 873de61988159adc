// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * metrics_threads_test.c - RONBUS_F_METRICS_BUF: threads, forks and ends of processes lose no count
 */
#include "metrics.h"

#include <sys/wait.h>

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
		buses[i] = make_with(RONBUS_F_METRICS_BUF);
		subs[i] = subscriber(buses[i]);
	}
	for (i = 0; i < HANDLES; i++)
		pubs[i] = publisher(buses[i % BUSES], 0);
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
	pub = publisher(bus, 0);
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
	struct ronbus *own = make_with(RONBUS_F_METRICS_BUF | RONBUS_F_INTEREST);
	struct ronbus_pub *pub = publisher(own, 0), *by_call;
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

static void expect_published(struct ronbus *bus, __u64 published, __u64 flushes)
{
	struct ronbus_counters c = counters(bus);

	assert_int_equal(c.published_total, published);
	assert_int_equal(c.addressed_total, published);
	assert_int_equal(c.metrics_tls_flush_total, flushes);
}

struct counting {
	struct ronbus_pub *pub;
	int count;
	pthread_barrier_t *counted; /* NULL: exit at once */
};

static void *counting_main(void *arg)
{
	struct counting *me = arg;

	for (int i = 0; i < me->count; i++)
		put(me->pub, 1);
	if (me->counted) {
		pthread_barrier_wait(me->counted);
		pthread_barrier_wait(me->counted);
	}
	return NULL;
}

static void test_metrics_of_threads(void **state)
{
	struct ronbus *bus = make_with(RONBUS_F_METRICS_BUF);
	struct ronbus_sub *sub = subscriber(bus);
	struct ronbus_pub *pub = publisher(bus, 0);
	struct counting me = { pub, 10, NULL };
	pthread_barrier_t counted;
	pthread_t threads[4];

	(void)state;
	/* A thread that exits flushes. */
	for (int i = 0; i < 4; i++)
		ok(pthread_create(&threads[i], NULL, counting_main, &me));
	for (int i = 0; i < 4; i++)
		ok(pthread_join(threads[i], NULL));
	expect_published(bus, 40, 4);

	/* To close a handle flushes what all the threads have, whatever they do later. */
	ok(pthread_barrier_init(&counted, NULL, 4));
	me.counted = &counted;
	for (int i = 0; i < 3; i++)
		ok(pthread_create(&threads[i], NULL, counting_main, &me));
	pthread_barrier_wait(&counted);
	expect_published(bus, 40, 4);
	ronbus_pub_close(pub);
	expect_published(bus, 70, 7);
	pthread_barrier_wait(&counted);
	for (int i = 0; i < 3; i++)
		ok(pthread_join(threads[i], NULL));
	expect_published(bus, 70, 7);
	pthread_barrier_destroy(&counted);
	ronbus_sub_close(sub);
	ronbus_close(bus);
}

/* A destructor of the program's own that publishes after ours has run. */
static struct ronbus_pub *late_pub;

static void publish_late(void *arg)
{
	(void)arg;
	put(late_pub, 1);
}

static void *late_main(void *arg)
{
	pthread_key_t *keys = arg;

	for (int i = 0; i < 5; i++)
		pthread_setspecific(keys[i], keys);
	put(late_pub, 1);
	return NULL;
}

static void test_metrics_while_a_thread_exits(void **state)
{
	struct ronbus *bus = make_with(RONBUS_F_METRICS_BUF);
	struct ronbus_sub *sub = subscriber(bus);
	pthread_key_t keys[5];
	pthread_t thread;

	(void)state;
	late_pub = publisher(bus, 0);
	for (int i = 0; i < 5; i++)
		ok(pthread_key_create(&keys[i], publish_late));
	ok(pthread_create(&thread, NULL, late_main, keys));
	ok(pthread_join(thread, NULL));
	assert_int_equal(counters(bus).published_total, 6);
	ronbus_pub_close(late_pub);
	assert_int_equal(counters(bus).published_total, 6);
	for (int i = 0; i < 5; i++)
		pthread_key_delete(keys[i]);
	ronbus_sub_close(sub);
	ronbus_close(bus);
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
	struct ronbus *own = make_with(RONBUS_F_METRICS_BUF);
	struct ronbus_sub *sub = subscriber(own);
	struct ronbus_pub *pub = publisher(own, 0);
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
	pub = publisher(bus, 0);
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
	all.pub = publisher(bus, 0);
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
	bus = make_with(RONBUS_F_METRICS_BUF);
	reader = subscriber(bus);
	pub = publisher(bus, 0);
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
			execl("/proc/self/exe", "metrics_threads_test", ways[i], NULL);
			_exit(4);
		}
		assert_int_equal(status_of(pid), 0);
	}
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_threads_and_handles), TEST(test_receivers),
		TEST(test_beside_system_calls), TEST(test_fork),
		TEST(test_fork_among_threads),	TEST(test_end_of_process),
		TEST(test_metrics_of_threads),	TEST(test_metrics_while_a_thread_exits),
	};

	if (argc > 1) {
		end_by(argv[1]);
		return 5; /* which tell_at_end() replaces */
	}
	return cmocka_run_group_tests_name("metrics of threads", tests, NULL, NULL);
}
