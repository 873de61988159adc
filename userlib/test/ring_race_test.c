// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * ring_race_test.c - the ring protocol: steps between steps, death and repair, and nonsense
 */
#include "ring.h"

static jmp_buf death;

/* ---- races, from the hooks ------------------------------------------------------------ */

static __u64 raced;

/* One that had seen the slot BUSY before we claimed it marks it now: our position may be passed. */
static void mark_late(int where)
{
	if (where != RONBUS_STEP_CLAIMED)
		return;
	at_step = NULL;
	*ronbus_ring_at(&ring, raced).hole = ronbus_ring_lap(&ring, raced);
}

static void test_claim_looks_at_hole_again(void **state)
{
	(void)state;
	publish(1);
	raced = ronbus_ring_hint(&ring);
	at_step = mark_late;
	assert_int_equal(claim(2), raced + 1);
	expect(raced, RONBUS_LOOK_HOLE);
	assert_int_equal(state_of(raced), RONBUS_STATE(1, 2, RONBUS_KIND_HOLE));
}

/* The claim that the late mark could not stop comes between a reader's two looks. */
static void claim_late(void)
{
	*ronbus_ring_at(&ring, raced).state =
		RONBUS_STATE(ronbus_ring_lap(&ring, raced), 2, RONBUS_KIND_BUSY);
}

static void test_reader_looks_at_state_again(void **state)
{
	(void)state;
	raced = CAPACITY + 1;
	*ronbus_ring_at(&ring, raced).hole = 1;
	at_fence = claim_late;
	expect(raced, RONBUS_LOOK_EMPTY);
	assert_null(at_fence); /* it was there that it came in */
	finish(2, raced);
	expect_message(raced, 2);
}

static void test_reader_looks_again_and_is_overtaken(void **state)
{
	(void)state;
	raced = CAPACITY + 1 + CAPACITY; /* the claim is of a later lap than the reader's */
	*ronbus_ring_at(&ring, raced).hole = 2;
	at_fence = claim_late;
	expect_lag(CAPACITY + 1, CAPACITY + 2);
}

static void steal(int where)
{
	if (where != RONBUS_STEP_CLAIMED)
		return;
	at_step = NULL;
	assert_int_equal(publish(3), raced + 1);
}

static void test_claims_interleave(void **state)
{
	(void)state;
	raced = CAPACITY;
	at_step = steal;
	assert_int_equal(claim(2), raced);
	finish(2, raced);
	expect_message(raced, 2);
	expect_message(raced + 1, 3);
}

/* ---- death and repair ----------------------------------------------------------------- */

static int deadly;

static void die(int where)
{
	if (where == deadly)
		longjmp(death, 1);
}

static void test_repair_after_death_at_each_step(void **state)
{
	static const int steps[] = {
		RONBUS_STEP_CLAIMED,
		RONBUS_STEP_OWNED,
		RONBUS_STEP_WRITING,
		RONBUS_STEP_WRITTEN,
	};

	(void)state;
	for (volatile size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		volatile __u64 pos = publish(1) + 1;

		deadly = steps[i];
		at_step = die;
		if (!setjmp(death)) {
			publish(5);
			fail_msg("it should have died");
		}
		at_step = NULL;
		assert_int_equal(ronbus_state_kind(state_of(pos)), RONBUS_KIND_BUSY);
		expect(pos, RONBUS_LOOK_EMPTY);
		assert_int_equal(publish(1), pos + 1);

		assert_int_equal(ronbus_ring_repair(&ring, 4, 0, CAPACITY), 0);
		expect(pos, RONBUS_LOOK_EMPTY);
		assert_int_equal(ronbus_ring_repair(&ring, 5, 0, CAPACITY), 1);
		expect(pos, RONBUS_LOOK_HOLE);
		expect_message(pos + 1, 1);
	}
}

static void test_repair_takes_back_all_and_only_ones_own(void **state)
{
	(void)state;
	claim(1);
	claim(2);
	claim(1);
	claim(3);
	assert_int_equal(ronbus_ring_repair(&ring, 1, 0, 2), 1);
	assert_int_equal(ronbus_ring_repair(&ring, 1, 2, 2), 1);
	expect(CAPACITY, RONBUS_LOOK_HOLE);
	expect(CAPACITY + 1, RONBUS_LOOK_EMPTY);
	expect(CAPACITY + 2, RONBUS_LOOK_HOLE);
	expect(CAPACITY + 3, RONBUS_LOOK_EMPTY);
	finish(2, CAPACITY + 1);
	expect_message(CAPACITY + 1, 2);
	assert_int_equal(publish(4), 2 * CAPACITY);
}

static void test_exclusive_goes_on_after_death(void **state)
{
	__u64 pos = CAPACITY;

	(void)state;
	for (; pos < 3 * CAPACITY; pos++) {
		ronbus_ring_begin(&ring, pos, 1);
		expect(pos, RONBUS_LOOK_EMPTY);
		finish(1, pos);
		expect_message(pos, 1);
	}
	ronbus_ring_begin(&ring, pos, 1); /* and dies */
	assert_int_equal(ronbus_ring_tail(&ring), pos + 1);
	assert_int_equal(ronbus_ring_repair(&ring, 1, 0, CAPACITY), 1);
	expect(pos, RONBUS_LOOK_HOLE);
	ronbus_ring_begin(&ring, pos + 1, 2);
	finish(2, pos + 1);
	expect_message(pos + 1, 2);
}

/* ---- hostile words -------------------------------------------------------------------- */

/* Garbage, but of a kind that reaches the branches: laps near a given one, all kinds. */
static __u64 garbage(__u64 *seed, __u64 lap)
{
	__u64 r = dice(seed);

	switch (r % 5) {
	case 0:
		return dice(seed);
	case 1:
		return ~0ULL - r % 3;
	case 2:
		return r % 3;
	default:
		return RONBUS_STATE(lap + r / 8 % 3 - 1, r >> 16, r >> 32 & 3);
	}
}

static void scribble(__u64 *seed, __u64 pos)
{
	__u64 *words = (__u64 *)ring.head;
	size_t count = ronbus_ring_bytes(CAPACITY, PAYLOAD, ring_features) / sizeof(*words);

	for (size_t i = 0; i < count; i++)
		words[i] = garbage(seed, ronbus_ring_lap(&ring, pos));
	for (__u32 i = 0; i < CAPACITY; i++)
		if (dice(seed) & 1)
			*ronbus_ring_at(&ring, i).hole =
				ronbus_ring_lap(&ring, pos) + dice(seed) % 3 - 1;
	if (dice(seed) & 1)
		ring.head->head = pos + dice(seed) % 9 - 4;
}

static void test_garbage_is_survived(void **state)
{
	__u64 seed = 0x1234567, unused[PAYLOAD / 8];
	union ronbus_found found;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		__u64 pos = i & 1 ? dice(&seed) : CAPACITY + dice(&seed) % 64;
		struct ronbus_claim c;

		if (i % 16 == 0)
			scribble(&seed, pos);
		switch (look(pos, &found)) {
		case RONBUS_LOOK_LAGGED:
			/* Readers go forward, or have reached the end of all numbers. */
			assert_true(found.next > pos || pos == ~0ULL);
			break;
		case RONBUS_LOOK_READY:
			ronbus_copy_out(unused, ronbus_ring_payload(&ring, pos, found.seen),
					PAYLOAD);
			(void)ronbus_ring_unchanged(&ring, pos, found.seen);
			break;
		default:
			break;
		}
		(void)ronbus_ring_tail(&ring);
		c = (struct ronbus_claim){ .pos = i & 2 ? pos : ronbus_ring_hint(&ring) };
		if (!ronbus_ring_claim(&ring, &c, 1, 64))
			finish(1, c.pos);
		assert_true(c.stalls <= CAPACITY);
		assert_true(ronbus_ring_repair(&ring, 1, (__u32)dice(&seed), CAPACITY) <= CAPACITY);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_claim_looks_at_hole_again),
		TEST(test_reader_looks_at_state_again),
		TEST(test_reader_looks_again_and_is_overtaken),
		TEST(test_claims_interleave),
		TEST(test_repair_after_death_at_each_step),
		TEST(test_repair_takes_back_all_and_only_ones_own),
		TEST(test_exclusive_goes_on_after_death),
		TEST(test_garbage_is_survived),
	};

	return RUN_ON_EACH_RING(tests);
}
