// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * uring_test.c - the entries that ronbus_uring_*() fill, on a real io_uring and an embedded bus
 *
 * What /dev/ronbus does by commands of its own is tested beside the module, in the selftests.
 */
#include "common.h"

#include <liburing.h>
#include <poll.h>

#define WATCHDOG_S 30
#define TEXT 16

/**
 * struct fixture - a bus with both its ends, and a ring
 * @ring: the ring
 * @bus: the bus
 * @pub: its publisher
 * @sub: its subscriber
 */
struct fixture {
	struct io_uring ring;
	struct ronbus *bus;
	struct ronbus_pub *pub;
	struct ronbus_sub *sub;
};

static struct ronbus *make_bus(void)
{
	struct ronbus_options opts = { .features = RONBUS_FEATURES_RECOMMENDED };
	struct ronbus *bus;

	ok(ronbus_create(RONBUS_EMBEDDED, &opts, &bus));
	return bus;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->bus = make_bus();
	ok(ronbus_publisher(f->bus, 0, &f->pub));
	ok(ronbus_subscribe(f->bus, NULL, &f->sub));
	ok(io_uring_queue_init(64, &f->ring, 0));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	io_uring_queue_exit(&f->ring);
	ronbus_sub_close(f->sub);
	ronbus_pub_close(f->pub);
	ronbus_close(f->bus);
	free(f);
	return 0;
}

/* ---- helpers -------------------------------------------------------------------------- */

/* An entry as full of something else as can be. */
static struct io_uring_sqe *entry(struct io_uring *ring, __u64 tag)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	assert_non_null(sqe);
	memset(sqe, 0xcc, sizeof(*sqe));
	sqe->user_data = tag;
	return sqe;
}

static void submit(struct io_uring *ring, int entries)
{
	assert_int_equal(io_uring_submit(ring), entries);
}

/**
 * struct completion - what became of a request
 * @tag: its user_data
 * @res: its result
 * @flags: IORING_CQE_F_*
 */
struct completion {
	__u64 tag;
	int res;
	__u32 flags;
};

static struct completion reap(struct io_uring *ring)
{
	struct __kernel_timespec limit = { .tv_sec = WATCHDOG_S };
	struct completion done;
	struct io_uring_cqe *cqe;

	ok(io_uring_wait_cqe_timeout(ring, &cqe, &limit));
	done = (struct completion){ cqe->user_data, cqe->res, cqe->flags };
	io_uring_cqe_seen(ring, cqe);
	return done;
}

static bool quiet(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;

	io_uring_get_events(ring);
	return io_uring_peek_cqe(ring, &cqe) == -EAGAIN;
}

static void submit_wait(struct io_uring *ring, struct ronbus_sub *sub, __u64 tag)
{
	ok(ronbus_uring_prep_wait(entry(ring, tag), sub, -1));
	submit(ring, 1);
}

static void assert_waited(struct io_uring *ring, struct ronbus_sub *sub, __u64 tag, int result)
{
	struct completion done = reap(ring);

	assert_int_equal(done.tag, tag);
	assert_int_equal(ronbus_uring_waited(sub, done.res), result);
}

static int receive(struct ronbus_sub *sub, char *text)
{
	struct ronbus_msg msg;

	return ronbus_try_recv(sub, text, TEXT, &msg);
}

static void assert_receives(struct ronbus_sub *sub, const char *expected)
{
	char text[TEXT] = "";

	assert_int_equal(receive(sub, text), RONBUS_MESSAGE);
	assert_string_equal(text, expected);
}

static void publish(struct ronbus_pub *pub, const char *text)
{
	assert_int_equal(ronbus_publish(pub, 0, text, strlen(text) + 1), 1);
}

static bool armed(const struct ronbus_sub *sub)
{
	return RB_READ(&sub->info->armed) >> ronbus_sub_index(sub) & 1;
}

/* ---- waiting -------------------------------------------------------------------------- */

static void test_wait(void **state)
{
	struct fixture *f = *state;
	char text[TEXT];
	__u64 i;

	for (i = 0; i < 100; i++) {
		submit_wait(&f->ring, f->sub, i);
		assert_true(armed(f->sub));
		assert_true(quiet(&f->ring));
		publish(f->pub, "hello");
		assert_waited(&f->ring, f->sub, i, 0);
		assert_receives(f->sub, "hello");
		assert_false(armed(f->sub));
		assert_int_equal(receive(f->sub, text), -EAGAIN);
	}
	/* What is there already. */
	publish(f->pub, "there");
	submit_wait(&f->ring, f->sub, 1000);
	assert_waited(&f->ring, f->sub, 1000, 0);
	assert_false(armed(f->sub));
	assert_receives(f->sub, "there");
	/* A signal of a message that is read already does not end the next wait. */
	submit_wait(&f->ring, f->sub, 1001);
	assert_true(quiet(&f->ring));
	/* The end. */
	ronbus_pub_close(f->pub);
	f->pub = NULL;
	assert_waited(&f->ring, f->sub, 1001, 0);
	assert_int_equal(receive(f->sub, text), RONBUS_CLOSED);
	submit_wait(&f->ring, f->sub, 1002);
	assert_waited(&f->ring, f->sub, 1002, 0);
}

/* What it cannot do it says, and leaves the entry alone. */
static void test_refuses(void **state)
{
	const struct ronbus_vec vec = { .data = (uintptr_t) "x", .len = 2 };
	struct io_uring_sqe sqe = { 0 }, untouched = { 0 };
	struct fixture *f = *state;
	struct ronbus_pub *by_call;

	assert_int_equal(ronbus_uring_prep_wait(&sqe, f->sub, 0), -EOPNOTSUPP);
	assert_int_equal(ronbus_uring_prep_wait(&sqe, f->sub, 1), -EOPNOTSUPP);
	assert_int_equal(ronbus_uring_prep_wait(&sqe, f->sub, INT64_MAX), -EOPNOTSUPP);
	assert_false(armed(f->sub));
	assert_int_equal(ronbus_uring_prep_publish(&sqe, f->pub, 0, &vec, 1), -EOPNOTSUPP);
	ok(ronbus_publisher(f->bus, RONBUS_PUB_SYSCALL, &by_call));
	assert_int_equal(ronbus_uring_prep_publish(&sqe, by_call, 0, &vec, 1), -EOPNOTSUPP);
	ronbus_pub_close(by_call);
	assert_memory_equal(&sqe, &untouched, sizeof(sqe));
}

/* All waits of the subscriber end, and none of another. */
static void test_cancel(void **state)
{
	struct fixture *f = *state;
	struct completion done;
	struct ronbus_sub *other;
	int i;

	ok(ronbus_subscribe(f->bus, NULL, &other));
	submit_wait(&f->ring, other, 100);
	for (i = 0; i < 3; i++)
		submit_wait(&f->ring, f->sub, 1);
	ok(ronbus_uring_prep_cancel(entry(&f->ring, 2), f->sub));
	submit(&f->ring, 1);
	for (i = 0; i < 4; i++) {
		done = reap(&f->ring);
		if (done.tag == 2)
			assert_int_equal(done.res, 3);
		else
			assert_int_equal(ronbus_uring_waited(f->sub, done.res), -ECANCELED);
	}
	assert_true(quiet(&f->ring));
	/* There is none left. */
	ok(ronbus_uring_prep_cancel(entry(&f->ring, 2), f->sub));
	submit(&f->ring, 1);
	ok(reap(&f->ring).res);
	/* Both go on. */
	assert_int_equal(ronbus_publish(f->pub, 0, "on", 3), 2);
	assert_waited(&f->ring, other, 100, 0);
	assert_receives(other, "on");
	submit_wait(&f->ring, f->sub, 3);
	assert_waited(&f->ring, f->sub, 3, 0);
	assert_receives(f->sub, "on");
	ronbus_sub_close(other);
}

/* One entry for good: drain, arm, and only then wait. One completion a wake-up. */
static void test_poll(void **state)
{
	struct fixture *f = *state;
	struct completion done;
	char text[TEXT];
	int i;

	ok(ronbus_uring_prep_poll(entry(&f->ring, 4), f->sub));
	submit(&f->ring, 1);
	for (i = 0; i < 100; i++) {
		ok(ronbus_arm(f->sub));
		assert_true(quiet(&f->ring));
		publish(f->pub, "one");
		done = reap(&f->ring);
		assert_int_equal(done.tag, 4);
		ok(ronbus_uring_waited(f->sub, done.res));
		assert_true(done.flags & IORING_CQE_F_MORE);
		publish(f->pub, "two");
		assert_true(quiet(&f->ring));
		assert_int_equal(ronbus_arm(f->sub), 1);
		assert_receives(f->sub, "one");
		assert_receives(f->sub, "two");
	}
	ok(ronbus_arm(f->sub));
	ronbus_pub_close(f->pub);
	f->pub = NULL;
	assert_int_equal(reap(&f->ring).tag, 4);
	assert_int_equal(receive(f->sub, text), RONBUS_CLOSED);
}

/* Several buses and a pipe, one thread, one ring. */
static void test_buses_and_a_pipe(void **state)
{
	struct fixture *f = *state;
	struct io_uring_sqe *sqe;
	struct ronbus_pub *pub[3];
	struct ronbus_sub *sub[3];
	struct ronbus *bus[3];
	int pipes[2], i, round;
	char byte;

	ok(pipe(pipes));
	for (i = 0; i < 3; i++) {
		bus[i] = make_bus();
		ok(ronbus_publisher(bus[i], 0, &pub[i]));
		ok(ronbus_subscribe(bus[i], NULL, &sub[i]));
		submit_wait(&f->ring, sub[i], (__u64)i);
	}
	for (round = 0; round < 10; round++) {
		sqe = io_uring_get_sqe(&f->ring);
		io_uring_prep_read(sqe, pipes[0], &byte, 1, 0);
		sqe->user_data = 3;
		submit(&f->ring, 1);
		for (i = 2; i >= 0; i--) {
			publish(pub[i], "round");
			assert_waited(&f->ring, sub[i], (__u64)i, 0);
			assert_receives(sub[i], "round");
			submit_wait(&f->ring, sub[i], (__u64)i);
		}
		assert_int_equal(write(pipes[1], "x", 1), 1);
		assert_int_equal(reap(&f->ring).tag, 3);
	}
	for (i = 0; i < 3; i++) {
		ronbus_pub_close(pub[i]);
		assert_waited(&f->ring, sub[i], (__u64)i, 0);
		ronbus_sub_close(sub[i]);
		ronbus_close(bus[i]);
	}
	close(pipes[0]);
	close(pipes[1]);
}

/* ---- nobody is forgotten -------------------------------------------------------------- */

#define ROUNDS 5000

/**
 * struct player - one of two threads that answer each other
 * @pub: where it speaks
 * @sub: where it listens
 * @first: it begins
 * @said: what it has said so far
 */
struct player {
	struct ronbus_pub *pub;
	struct ronbus_sub *sub;
	bool first;
	int said;
};

/* Each sleeps in its ring until the other has spoken: one lost wake-up, and both sleep for good. */
static void *play(void *arg)
{
	struct player *p = arg;
	struct io_uring ring;
	int heard;

	ok(io_uring_queue_init(4, &ring, 0));
	if (p->first)
		assert_int_equal(ronbus_publish(p->pub, 0, &p->said, sizeof(p->said)), 1);
	while (p->said < ROUNDS) {
		struct ronbus_msg msg;

		submit_wait(&ring, p->sub, 1);
		assert_waited(&ring, p->sub, 1, 0);
		if (ronbus_try_recv(p->sub, &heard, sizeof(heard), &msg) != RONBUS_MESSAGE)
			continue; /* woken for nothing */
		assert_int_equal(heard, p->said);
		p->said++;
		heard += p->first;
		assert_int_equal(ronbus_publish(p->pub, 0, &heard, sizeof(heard)), 1);
	}
	io_uring_queue_exit(&ring);
	return NULL;
}

static void test_ping_pong(void **state)
{
	struct player players[2] = { { .first = true }, { .first = false } };
	struct ronbus *bus[2];
	pthread_t thread;
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		bus[i] = make_bus();
		ok(ronbus_publisher(bus[i], 0, &players[i].pub));
		ok(ronbus_subscribe(bus[i], NULL, &players[!i].sub));
	}
	ok(pthread_create(&thread, NULL, play, &players[1]));
	play(&players[0]);
	ok(pthread_join(thread, NULL));
	for (i = 0; i < 2; i++) {
		assert_int_equal(players[i].said, ROUNDS);
		ronbus_pub_close(players[i].pub);
		ronbus_sub_close(players[i].sub);
		ronbus_close(bus[i]);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_wait), TEST(test_refuses),	      TEST(test_cancel),
		TEST(test_poll), TEST(test_buses_and_a_pipe), cmocka_unit_test(test_ping_pong),
	};
	struct ronbus *bus = make_bus();
	int err = ronbus_uring_check(bus);

	ronbus_close(bus);
	if (err) {
		printf("1..0 # SKIP no io_uring here: %s\n", strerror(-err));
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
