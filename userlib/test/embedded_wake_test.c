// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * embedded_wake_test.c - sleeping and being woken, on the embedded transport
 */
#include "embedded.h"

#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#define WATCHDOG (10000 * MS)

/* ---- sleeping and waking -------------------------------------------------------------- */

struct sleeper {
	struct ronbus_sub *sub;
	pthread_t thread;
	int ret;
	__u64 got;
	int64_t timeout;
};

static void *sleeper_main(void *arg)
{
	struct sleeper *me = arg;
	__s64 before = now();
	struct ronbus_msg msg;

	me->ret = ronbus_recv(me->sub, &me->got, sizeof(me->got), &msg, me->timeout);
	/* What was there when time was up is received all the same. But nobody woke us for it. */
	if (now() - before >= me->timeout)
		me->ret = -ETIMEDOUT;
	return NULL;
}

static void sleep_on(struct ronbus *bus, struct sleeper *sleeper, struct ronbus_sub *sub)
{
	*sleeper = (struct sleeper){ .sub = sub, .timeout = WATCHDOG };
	ok(pthread_create(&sleeper->thread, NULL, sleeper_main, sleeper));
	while (!stats_of(bus, ronbus_sub_index(sub)).armed)
		usleep(100);
}

static void test_repair_wakes(void **state)
{
	struct ronbus *bus = make_plain(EDGE, RONBUS_BUS_PERSISTENT, 8);
	struct ronbus_pub *bad = publisher(bus, 0), *pub = publisher(bus, 0);
	struct ronbus_sub *sub = subscriber(bus);
	struct sleeper sleeper;

	(void)state;
	publish_up_to(bad, RONBUS_STEP_OWNED);
	put(pub, 1);
	/* Nothing to read while the slot before is held, and it sleeps for all the publishing. */
	sleep_on(bus, &sleeper, sub);
	put(pub, 2);
	ronbus_pub_close(bad);
	ok(pthread_join(sleeper.thread, NULL));
	assert_int_equal(sleeper.ret, RONBUS_MESSAGE);
	assert_int_equal(sleeper.got, 1);
	expect(sub, 2);
	ronbus_pub_close(pub);
	ronbus_sub_close(sub);
	ronbus_close(bus);
}

/* It has published, and dies before it wakes anybody: its end does that. */
static void test_death_before_notify(void **state)
{
	struct ronbus *bus = make_plain(EDGE, RONBUS_BUS_PERSISTENT, 8);
	struct ronbus_pub *bad = publisher(bus, 0);
	struct ronbus_sub *sub = subscriber(bus);
	struct sleeper sleeper;

	(void)state;
	sleep_on(bus, &sleeper, sub);
	publish_up_to(bad, RONBUS_STEP_NOTIFYING);
	assert_int_equal(stats_of(bus, 0).armed, 1);
	ronbus_pub_close(bad);
	ok(pthread_join(sleeper.thread, NULL));
	assert_int_equal(sleeper.ret, RONBUS_MESSAGE);
	assert_int_equal(counters(bus).wakes_total[RONBUS_WAKE_REPAIR], 1);
	ronbus_sub_close(sub);
	ronbus_close(bus);
}

static void nothing(int sig)
{
	(void)sig;
}

static void test_signals_interrupt(void **state)
{
	struct sigaction action = { .sa_handler = nothing };
	struct ronbus *bus = make_plain(EDGE, 0, 8);
	struct ronbus_pub *pub = publisher(bus, 0);
	struct ronbus_sub *sub = subscriber(bus);
	struct sleeper sleeper;

	(void)state;
	ok(sigaction(SIGUSR1, &action, NULL));
	sleep_on(bus, &sleeper, sub);
	/* Armed is not yet asleep: until it returns. */
	while (pthread_tryjoin_np(sleeper.thread, NULL)) {
		pthread_kill(sleeper.thread, SIGUSR1);
		usleep(1000);
	}
	assert_int_equal(sleeper.ret, -EINTR);
	assert_int_equal(stats_of(bus, 0).armed, 0);
	ronbus_pub_close(pub);
	ronbus_sub_close(sub);
	ronbus_close(bus);
}

static void test_fd_made_after_arming(void **state)
{
	struct ronbus *bus = make_plain(EDGE, 0, 8);
	struct ronbus_pub *pub = publisher(bus, 0);
	struct ronbus_sub *sub = subscriber(bus);

	(void)state;
	assert_int_equal(ronbus_arm(sub), 0);
	put(pub, 0);
	assert_true(readable(ronbus_sub_fd(sub)));
	ronbus_pub_close(pub);
	ronbus_sub_close(sub);
	ronbus_close(bus);
}

/* Woken in between, for what others want: then what comes for it later finds nobody armed. */
static void test_fd_made_after_being_woken_for_others(void **state)
{
	struct ronbus *bus = make_plain(EDGE | RONBUS_F_INTEREST, RONBUS_BUS_PERSISTENT, 8);
	struct ronbus_sub_options one = { .topics = 2 };
	struct ronbus_pub *stopped_in = publisher(bus, 0), *pub = publisher(bus, 0);
	struct ronbus_sub *all = subscriber(bus), *sub;
	__u64 value = 0;

	(void)state;
	ok(ronbus_subscribe(bus, &one, &sub));
	publish_up_to(stopped_in, RONBUS_STEP_WRITING);
	assert_int_equal(ronbus_arm(sub), 0);
	assert_int_equal(ronbus_publish(pub, 0, &value, sizeof(value)), 1);
	assert_int_equal(RB_READ(&pub->info->armed), 0);
	assert_true(readable(ronbus_sub_fd(sub)));
	ronbus_pub_close(stopped_in);
	ronbus_pub_close(pub);
	ronbus_sub_close(all);
	ronbus_sub_close(sub);
	ronbus_close(bus);
}

struct exclusive {
	pthread_t thread;
	pid_t number;
	int epoll;
	int events;
};

static void *exclusive_main(void *arg)
{
	struct exclusive *me = arg;
	struct epoll_event event;

	__atomic_store_n(&me->number, gettid(), __ATOMIC_RELEASE);
	me->events = epoll_wait(me->epoll, &event, 1, (int)(WATCHDOG / MS));
	return NULL;
}

/* It has told its number, and sleeps. */
static bool asleep(pid_t *thread)
{
	char path[64], line[512] = { 0 };
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat",
		 (int)__atomic_load_n(thread, __ATOMIC_ACQUIRE));
	file = fopen(path, "r");
	if (!file)
		return false;
	if (!fgets(line, sizeof(line), file))
		line[0] = 0;
	fclose(file);
	return strstr(line, ") S ");
}

/* Every waiter is told of the end, also one that asks that only one be woken. */
static void test_end_is_told_to_exclusive_waiters(void **state)
{
	struct ronbus *bus = make_plain(EDGE, 0, 8);
	struct ronbus_pub *pub = publisher(bus, 0);
	struct ronbus_sub *sub = subscriber(bus);
	struct epoll_event event = { .events = EPOLLIN | EPOLLEXCLUSIVE };
	struct exclusive waiters[3] = { 0 };

	(void)state;
	assert_int_equal(ronbus_arm(sub), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(waiters); i++) {
		waiters[i].epoll = epoll_create1(EPOLL_CLOEXEC);
		ok(epoll_ctl(waiters[i].epoll, EPOLL_CTL_ADD, ronbus_sub_fd(sub), &event));
		ok(pthread_create(&waiters[i].thread, NULL, exclusive_main, &waiters[i]));
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(waiters); i++)
		while (!asleep(&waiters[i].number))
			sched_yield();
	ronbus_pub_close(pub);
	for (unsigned int i = 0; i < ARRAY_SIZE(waiters); i++) {
		ok(pthread_join(waiters[i].thread, NULL));
		assert_int_equal(waiters[i].events, 1);
		close(waiters[i].epoll);
	}
	expect_ret(sub, RONBUS_CLOSED);
	ronbus_sub_close(sub);
	ronbus_close(bus);
}

static __u64 taken(int fd)
{
	__u64 count = 0;

	return readable(fd) && read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

/* Without EDGE_NOTIFY every message for a subscriber is a notification. */
static void test_baseline_signals_always(void **state)
{
	struct ronbus *bus = make_plain(0, 0, 8);
	struct ronbus_pub *pub = publisher(bus, 0);
	struct ronbus_sub *sub = subscriber(bus);
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	(void)state;
	ok(ronbus_sub_set_eventfd(sub, fd));
	put_range(pub, 0, 5);
	assert_int_equal(taken(fd), 5);
	assert_int_equal(counters(bus).notify_calls_total, 5);
	assert_int_equal(counters(bus).notify_sends_total, 5);
	assert_int_equal(counters(bus).notify_suppressed_total, 0);
	ronbus_pub_close(pub);
	ronbus_sub_close(sub);
	ronbus_close(bus);
	close(fd);
}

static void test_edge_suppresses(void **state)
{
	struct ronbus *bus = make_plain(EDGE, 0, 8);
	struct ronbus_pub *pub = publisher(bus, 0);
	struct ronbus_sub *a = subscriber(bus), *b = subscriber(bus);
	struct ronbus_counters c;

	(void)state;
	assert_int_equal(ronbus_arm(a), 0);
	put_range(pub, 0, 5);
	c = counters(bus);
	assert_int_equal(c.published_total, 5);
	assert_int_equal(c.addressed_total, 10);
	assert_int_equal(c.notify_calls_total, 1);
	assert_int_equal(c.notify_sends_total, 1);
	assert_int_equal(c.notify_suppressed_total, 9);
	assert_int_equal(c.waits_total, 1);
	ronbus_pub_close(pub);
	ronbus_sub_close(a);
	ronbus_sub_close(b);
	ronbus_close(bus);
}

/* What is no eventfd is refused, and nothing is left open; what can be made is told. */
static void test_refused_eventfd(void **state)
{
	struct ronbus_query query;
	struct ronbus_sub *sub;
	struct ronbus *bus = make_plain(0, 0, 16);
	int pipes[2], spare;

	(void)state;
	ok(ronbus_subscribe(bus, NULL, &sub));
	ok(pipe(pipes));
	spare = dup(pipes[0]);
	close(spare);
	assert_int_equal(ronbus_sub_set_eventfd(sub, -2), -EBADF);
	assert_int_equal(ronbus_sub_set_eventfd(sub, pipes[1]), -EINVAL);
	assert_int_equal(dup(pipes[0]), spare);
	ok(ronbus_query(RONBUS_EMBEDDED, &query));
	assert_int_equal(query.abi_version, RONBUS_ABI_VERSION);
	assert_int_equal(query.page_size, sysconf(_SC_PAGESIZE));
	close(spare);
	close(pipes[0]);
	close(pipes[1]);
	ronbus_sub_close(sub);
	ronbus_close(bus);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_repair_wakes),
		TEST(test_death_before_notify),
		TEST(test_signals_interrupt),
		TEST(test_fd_made_after_arming),
		TEST(test_fd_made_after_being_woken_for_others),
		TEST(test_end_is_told_to_exclusive_waiters),
		TEST(test_baseline_signals_always),
		TEST(test_edge_suppresses),
		TEST(test_refused_eventfd),
	};

	return cmocka_run_group_tests_name("embedded, waking", tests, NULL, NULL);
}
