/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * The ring protocol in one thread, which plays all parts. Where a step of another member has to come
 * in the middle of a function, it comes from a hook: RB_STEP() in publishers, the fence in readers.
 * To be included before every header that has either.
 */
#ifndef RONBUS_TEST_RING_H
#define RONBUS_TEST_RING_H

static inline void step(int where);
static inline void fence(void);

#define RB_STEP(where) step(where)
/* The second is what stands for a fence under ThreadSanitizer. */
#define __atomic_thread_fence(order) (fence(), __atomic_thread_fence(order))
#define __atomic_fetch_add(p, v, order) (fence(), __atomic_fetch_add(p, v, order))

#include "test.h"

#define CAPACITY 4U
#define PAYLOAD 32U
#define LOOKS 4096U

static struct ronbus_ring ring;

/* ---- hooks ---------------------------------------------------------------------------- */

static void (*at_step)(int where);
static void (*at_fence)(void);

static inline void step(int where)
{
	if (at_step)
		at_step(where);
}

static inline void fence(void)
{
	void (*hook)(void) = at_fence;

	at_fence = NULL; /* once */
	if (hook)
		hook();
}

static inline int setup(void **state)
{
	(void)state;
	at_step = NULL;
	at_fence = NULL;
	ring_make(&ring, CAPACITY, PAYLOAD);
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	ring_free(&ring);
	return 0;
}

/* ---- publishers and readers in one line each ------------------------------------------ */

static inline __u64 claim(__u32 owner)
{
	struct ronbus_claim c = { .pos = ronbus_ring_hint(&ring) };

	assert_int_equal(ronbus_ring_claim(&ring, &c, owner, LOOKS), 0);
	return c.pos;
}

static inline void finish(__u32 owner, __u64 pos)
{
	__u64 payload[PAYLOAD / 8] = { pos, owner, ~pos, ~(__u64)owner };

	ronbus_ring_write(&ring, pos, 1, owner, payload, sizeof(payload));
	ronbus_ring_commit_last(&ring, pos, owner);
	ronbus_ring_advance(&ring, pos + 1);
}

static inline __u64 publish(__u32 owner)
{
	__u64 pos = claim(owner);

	finish(owner, pos);
	return pos;
}

static inline enum ronbus_look look(__u64 pos, union ronbus_found *found)
{
	memset(found, 0, sizeof(*found));
	return ronbus_ring_look(&ring, pos, found);
}

static inline void expect_message(__u64 pos, __u32 owner)
{
	__u64 payload[PAYLOAD / 8];
	union ronbus_found found;

	assert_int_equal(look(pos, &found), RONBUS_LOOK_READY);
	assert_int_equal(ronbus_state_owner(found.seen.state), owner);
	ronbus_copy_out(payload, ronbus_ring_payload(&ring, pos, found.seen), PAYLOAD);
	assert_true(ronbus_ring_unchanged(&ring, pos, found.seen));
	assert_int_equal(payload[0], pos);
	assert_int_equal(payload[1], owner);
	assert_int_equal(payload[2], ~pos);
	assert_int_equal(payload[3], ~(__u64)owner);
}

static inline void expect(__u64 pos, enum ronbus_look what)
{
	union ronbus_found found;

	assert_int_equal(look(pos, &found), what);
}

static inline void expect_lag(__u64 pos, __u64 to)
{
	union ronbus_found found;

	assert_int_equal(look(pos, &found), RONBUS_LOOK_LAGGED);
	assert_int_equal(found.next, to);
}

static inline __u64 state_of(__u64 pos)
{
	return *ronbus_ring_at(&ring, pos).state;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct {
	__u64 features;
	const char *name;
} ring_kinds[] = {
	{ 0, "ring" },
	{ RONBUS_F_SOA, "ring of arrays" },
	{ RONBUS_F_TIME, "timed ring" },
	{ RONBUS_F_SOA | RONBUS_F_TIME, "timed ring of arrays" },
};

/* All tests on each kind of ring; how many failed. */
#define RUN_ON_EACH_RING(tests)                                                                    \
	({                                                                                         \
		int __failed = 0;                                                                  \
		for (size_t __i = 0; __i < ARRAY_SIZE(ring_kinds); __i++) {                        \
			ring_features = ring_kinds[__i].features;                                  \
			__failed += cmocka_run_group_tests_name(ring_kinds[__i].name, tests, NULL, \
								NULL);                             \
		}                                                                                  \
		__failed;                                                                          \
	})

#endif /* RONBUS_TEST_RING_H */
