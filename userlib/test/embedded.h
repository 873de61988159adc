/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * An embedded bus with members, and a publisher that stops in the middle of a message. To be included
 * before every header that has the steps of publishing.
 */
#ifndef RONBUS_EMBEDDED_H
#define RONBUS_EMBEDDED_H

static inline void step(int where);
#define RB_STEP(where) step(where)

#include "common.h"

#include <poll.h>

#define EDGE RONBUS_F_EDGE_NOTIFY

/* ---- a publisher that stops in the middle --------------------------------------------- */

static int stop_at = -1;
static jmp_buf stopped;

static inline void step(int where)
{
	if (where == stop_at)
		longjmp(stopped, 1);
}

/* Publish, and get no further than @where: the slot stays as it is then. */
static inline void publish_up_to(struct ronbus_pub *pub, int where)
{
	__u64 value = 0;

	/* Steps are seen in the inlines only, and they give up at a slot that is taken. */
	ronbus_ring_advance(&pub->ring, ronbus_ring_tail(&pub->ring));
	stop_at = where;
	if (!setjmp(stopped)) {
		ronbus_publish(pub, 0, &value, sizeof(value));
		fail_msg("it should have stopped");
	}
	stop_at = -1;
}

/* ---- helpers -------------------------------------------------------------------------- */

static inline struct ronbus *make_plain(__u64 features, __u32 flags, __u32 capacity)
{
	struct ronbus_options opts = {
		.features = features,
		.flags = flags,
		.capacity = capacity,
	};

	return make(&opts);
}

static inline int subscribe_at(struct ronbus *bus, __u32 start, __u64 position,
			       struct ronbus_sub **sub)
{
	struct ronbus_sub_options opts = { .start = start, .position = position };

	return ronbus_subscribe(bus, &opts, sub);
}

static inline int put(struct ronbus_pub *pub, __u64 value)
{
	return ronbus_publish(pub, value % 64, &value, sizeof(value));
}

static inline void put_range(struct ronbus_pub *pub, __u64 from, __u64 to)
{
	for (; from < to; from++)
		assert_true(put(pub, from) >= 0);
}

static inline void expect(struct ronbus_sub *sub, __u64 value)
{
	struct ronbus_msg msg;
	__u64 got = 0;

	assert_int_equal(ronbus_try_recv(sub, &got, sizeof(got), &msg), RONBUS_MESSAGE);
	assert_int_equal(got, value);
	assert_int_equal(msg.len, sizeof(got));
	assert_int_equal(msg.topic, value % 64);
	assert_int_equal(msg.lost, 0);
	assert_ptr_equal(msg.data, &got);
}

static inline void expect_range(struct ronbus_sub *sub, __u64 from, __u64 to)
{
	for (; from < to; from++)
		expect(sub, from);
}

static inline void expect_ret(struct ronbus_sub *sub, int ret)
{
	struct ronbus_msg msg;
	__u64 got;

	assert_int_equal(ronbus_try_recv(sub, &got, sizeof(got), &msg), ret);
}

static inline void expect_lag(struct ronbus_sub *sub, __u64 lost)
{
	__u64 before = ronbus_sub_position(sub);
	struct ronbus_msg msg;
	__u64 got;

	assert_int_equal(ronbus_try_recv(sub, &got, sizeof(got), &msg), RONBUS_LAGGED);
	assert_int_equal(msg.lost, lost);
	assert_int_equal(msg.position, before + lost);
	assert_int_equal(ronbus_sub_position(sub), before + lost);
	assert_null(msg.data);
	assert_int_equal(msg.len, 0);
}

/* Positions passed = delivered + filtered + holes + lost. */
static inline void expect_balance(struct ronbus *bus, struct ronbus_sub *sub)
{
	struct ronbus_stats stats = stats_of(bus, ronbus_sub_index(sub));
	const struct ronbus_counters *c = &stats.counters;

	assert_int_equal(stats.cursor - stats.start, c->delivered_total + c->filtered_total +
							     c->holes_total +
							     c->overflow_dropped_total);
	assert_int_equal(stats.cursor, ronbus_sub_position(sub));
}

static inline bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1 && p.revents & POLLIN;
}

static inline int setup(void **state)
{
	(void)state;
	stop_at = -1;
	unsetenv("RON_TLS_FLUSH_THRESHOLD");
	return 0;
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

#endif /* RONBUS_EMBEDDED_H */
