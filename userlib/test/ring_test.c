// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * ring_test.c - the ring protocol, step by step
 *
 * One thread plays all parts. Where a step of somebody else has to come in the middle of a
 * function, it comes from a hook: RB_STEP() in publishers, the fence in readers.
 */
static void step(int where);
static void fence(void);

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
static jmp_buf death;

static void step(int where)
{
	if (at_step)
		at_step(where);
}

static void fence(void)
{
	void (*hook)(void) = at_fence;

	at_fence = NULL; /* once */
	if (hook)
		hook();
}

static int setup(void **state)
{
	(void)state;
	at_step = NULL;
	at_fence = NULL;
	ring_make(&ring, CAPACITY, PAYLOAD);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ring_free(&ring);
	return 0;
}

/* ---- publishers and readers in one line each ------------------------------------------ */

static __u64 claim(__u32 owner)
{
	struct ronbus_claim c = { .pos = ronbus_ring_hint(&ring) };

	assert_int_equal(ronbus_ring_claim(&ring, &c, owner, LOOKS), 0);
	return c.pos;
}

static void finish(__u32 owner, __u64 pos)
{
	__u64 payload[PAYLOAD / 8] = { pos, owner, ~pos, ~(__u64)owner };

	ronbus_ring_write(&ring, pos, 1, owner, payload, sizeof(payload));
	ronbus_ring_commit_last(&ring, pos, owner);
	ronbus_ring_advance(&ring, pos + 1);
}

static __u64 publish(__u32 owner)
{
	__u64 pos = claim(owner);

	finish(owner, pos);
	return pos;
}

static enum ronbus_look look(__u64 pos, union ronbus_found *found)
{
	memset(found, 0, sizeof(*found));
	return ronbus_ring_look(&ring, pos, found);
}

static void expect_message(__u64 pos, __u32 owner)
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

static void expect(__u64 pos, enum ronbus_look what)
{
	union ronbus_found found;

	assert_int_equal(look(pos, &found), what);
}

static void expect_lag(__u64 pos, __u64 to)
{
	union ronbus_found found;

	assert_int_equal(look(pos, &found), RONBUS_LOOK_LAGGED);
	assert_int_equal(found.next, to);
}

static __u64 state_of(__u64 pos)
{
	return *ronbus_ring_at(&ring, pos).state;
}

/* ---- the ordinary course -------------------------------------------------------------- */

static void test_new_ring_is_empty(void **state)
{
	(void)state;
	assert_int_equal(ronbus_ring_hint(&ring), CAPACITY);
	assert_int_equal(ronbus_ring_tail(&ring), CAPACITY);
	for (__u64 pos = CAPACITY; pos < 2 * CAPACITY; pos++)
		expect(pos, RONBUS_LOOK_EMPTY);
}

static void test_message_appears_with_commit(void **state)
{
	__u64 pos = claim(7);

	(void)state;
	assert_int_equal(pos, CAPACITY);
	assert_int_equal(state_of(pos), RONBUS_STATE(1, 7, RONBUS_KIND_BUSY));
	expect(pos, RONBUS_LOOK_EMPTY);
	finish(7, pos);
	expect_message(pos, 7);
	expect(pos + 1, RONBUS_LOOK_EMPTY);
}

static void test_positions_follow_each_other(void **state)
{
	(void)state;
	for (__u64 pos = CAPACITY; pos < 20 * CAPACITY; pos++) {
		assert_int_equal(publish(1 + pos % 3), pos);
		expect_message(pos, 1 + pos % 3);
	}
}

static void test_commits_in_any_order(void **state)
{
	__u64 a = claim(1), b = claim(2), c = claim(3);

	(void)state;
	assert_int_equal(b, a + 1);
	assert_int_equal(c, b + 1);
	finish(3, c);
	expect(a, RONBUS_LOOK_EMPTY);
	expect(b, RONBUS_LOOK_EMPTY);
	expect_message(c, 3);
	finish(1, a);
	finish(2, b);
	expect_message(a, 1);
	expect_message(b, 2);
}

static void test_late_hint_costs_looks_only(void **state)
{
	__u64 last = 0;

	(void)state;
	for (int i = 0; i < 100; i++)
		last = publish(1);
	ring.head->head = CAPACITY;
	assert_int_equal(ronbus_ring_tail(&ring), last + 1);
	ring.head->head = CAPACITY;
	assert_int_equal(publish(1), last + 1);
}

/* However old the hint is, and with slots held from older laps on the way. */
static void test_tail_is_found_from_any_hint(void **state)
{
	__u64 held = claim(3), last = 0;

	(void)state;
	for (__u32 i = 0; i < 5 * CAPACITY + 3; i++) {
		last = publish(1);
		for (__u64 hint = CAPACITY; hint <= last + 1; hint++) {
			ring.head->head = hint;
			assert_int_equal(ronbus_ring_tail(&ring), last + 1);
		}
		ring.head->head = last + 1;
	}
	finish(3, held);
	for (__u32 i = 0; i < CAPACITY; i++)
		last = publish(1);
	ring.head->head = CAPACITY;
	assert_int_equal(ronbus_ring_tail(&ring), last + 1);
}

/* Every slot is held, and publishers have given up lap after lap without moving the hint. */
static void test_tail_is_found_behind_holes(void **state)
{
	__u64 held[CAPACITY];

	(void)state;
	for (__u32 i = 0; i < CAPACITY; i++)
		held[i] = claim(3);
	for (__u64 lap = 2; lap < 9; lap++) {
		struct ronbus_claim c = { .pos = lap * CAPACITY };

		ring.head->head = CAPACITY;
		assert_int_equal(ronbus_ring_tail(&ring), lap * CAPACITY);
		assert_int_equal(ronbus_ring_claim(&ring, &c, 1, CAPACITY), -1);
	}
	for (__u32 i = 0; i < CAPACITY; i++)
		finish(3, held[i]);
	assert_int_equal(ronbus_ring_tail(&ring), 9 * CAPACITY);
	ring.head->head = ronbus_ring_tail(&ring);
	assert_int_equal(publish(1), 9 * CAPACITY);
}

/* Whatever the words of the ring are: no more looks than the logarithm of the capacity. */
static void test_tail_of_nonsense_is_bounded(void **state)
{
	static const __u64 words[] = { 0, ~0ULL, ~0xffULL, 1ULL << 63, 1 };

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		for (size_t h = 0; h < sizeof(words) / sizeof(*words); h++) {
			for (__u64 pos = 0; pos < CAPACITY; pos++) {
				*ronbus_ring_at(&ring, pos).state = words[i];
				*ronbus_ring_at(&ring, pos).hole = words[h];
			}
			ring.head->head = words[h];
			(void)ronbus_ring_tail(&ring); /* it returns */
		}
}

static void test_copies_are_exact(void **state)
{
	static char from[PAYLOAD + 256], to[PAYLOAD + 256];
	static __u64 slot[PAYLOAD / 8 + 32];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(from); i++)
		from[i] = (char)(i + 1);
	for (__u32 len = 0; len <= PAYLOAD; len++) {
		for (int shift = 0; shift < 8; shift++) {
			memset(slot, 0xee, sizeof(slot));
			memset(to, 0x55, sizeof(to));
			ronbus_copy_in(slot, from + shift, len);
			ronbus_copy_out(to + shift, slot, len);
			assert_memory_equal(to + shift, from + shift, len);
			for (i = 0; i < sizeof(to); i++)
				if (i < (size_t)shift || i >= shift + len)
					assert_int_equal(to[i], 0x55);
			for (i = (len + 7) / 8 * 8; i < sizeof(slot); i++)
				assert_int_equal(((unsigned char *)slot)[i], 0xee);
		}
	}
}

static void test_long_copies_are_exact(void **state)
{
	static char from[RONBUS_PAYLOAD_MAX], to[RONBUS_PAYLOAD_MAX + 1];
	static __u64 slot[RONBUS_PAYLOAD_MAX / 8];

	(void)state;
	for (size_t i = 0; i < sizeof(from); i++)
		from[i] = (char)(i * 31);
	for (__u32 len = 120; len <= RONBUS_PAYLOAD_MAX; len += len < 144 ? 1 : 997) {
		memset(to, 0x55, sizeof(to));
		ronbus_copy_in(slot, from, len);
		ronbus_copy_out(to, slot, len);
		assert_memory_equal(to, from, len);
		assert_int_equal(to[len], 0x55);
	}
}

/* ---- being overtaken ------------------------------------------------------------------ */

static void test_lag_is_exact(void **state)
{
	(void)state;
	for (__u64 n = 1; n <= 5 * CAPACITY; n++) {
		__u64 tail = publish(1) + 1;
		__u64 oldest = n > CAPACITY ? tail - CAPACITY : CAPACITY;

		for (__u64 pos = CAPACITY; pos < tail; pos++) {
			if (pos < oldest)
				expect_lag(pos, oldest);
			else
				expect_message(pos, 1);
		}
		expect(tail, RONBUS_LOOK_EMPTY);
	}
}

static void test_lag_is_at_least_what_the_slot_shows(void **state)
{
	__u64 last = 0;

	(void)state;
	for (int i = 0; i < 14; i++)
		last = publish(1);
	/* A late hint: then as far as can be seen in the slot, and on from there. */
	ring.head->head = CAPACITY;
	for (__u64 pos = CAPACITY; pos <= last - CAPACITY;) {
		union ronbus_found found;
		/* The slot has the position that went over its end last. */
		__u64 newest = last - (last - pos) % CAPACITY;

		assert_int_equal(look(pos, &found), RONBUS_LOOK_LAGGED);
		assert_int_equal(found.next, newest + 1 - CAPACITY);
		pos = found.next;
	}
}

static void test_overwriting_is_noticed(void **state)
{
	union ronbus_found found;
	__u64 pos = publish(1);

	(void)state;
	assert_int_equal(look(pos, &found), RONBUS_LOOK_READY);
	for (__u32 i = 1; i < CAPACITY; i++)
		publish(1);
	assert_true(ronbus_ring_unchanged(&ring, pos, found.seen));
	claim(2); /* nothing is written yet, but may be at any moment */
	assert_false(ronbus_ring_unchanged(&ring, pos, found.seen));
}

/* ---- stalled publishers --------------------------------------------------------------- */

static void test_stalled_slot_is_passed_by(void **state)
{
	__u64 held = claim(1), passed = held + CAPACITY;

	(void)state;
	for (__u64 pos = held + 1; pos < passed; pos++) {
		assert_int_equal(publish(2), pos);
		expect(held, RONBUS_LOOK_EMPTY);
	}
	/* Its next lap belongs to nobody: a hole to readers. One that waited for the message lags. */
	assert_int_equal(publish(2), passed + 1);
	expect(passed, RONBUS_LOOK_HOLE);
	expect_lag(held, held + 2);

	/* It comes to after all. Readers that passed do not care, one at its position reads it. */
	finish(1, held);
	expect_message(held, 1);
	expect(passed, RONBUS_LOOK_HOLE);

	for (__u64 pos = passed + 2; pos < passed + CAPACITY; pos++)
		assert_int_equal(publish(2), pos);
	assert_int_equal(publish(2), passed + CAPACITY);
	expect_message(passed + CAPACITY, 2);
	expect_lag(passed, passed + 1);
}

static void test_passed_by_twice(void **state)
{
	__u64 held = claim(1);

	(void)state;
	for (int i = 0; i < 3 * (int)CAPACITY; i++)
		publish(2);
	/* Three messages a lap, so this is the fourth lap. */
	assert_int_equal(*ronbus_ring_at(&ring, held).hole, 4);
	expect(held + 2 * CAPACITY, RONBUS_LOOK_HOLE);
	expect(held + 3 * CAPACITY, RONBUS_LOOK_HOLE);
	finish(1, held);
	expect(held + 3 * CAPACITY, RONBUS_LOOK_HOLE);
	expect(held + 4 * CAPACITY, RONBUS_LOOK_EMPTY);
}

static void test_gives_up_after_a_lap_of_stalls(void **state)
{
	struct ronbus_claim c = { .pos = CAPACITY };
	__u64 held[CAPACITY];

	(void)state;
	for (__u32 i = 0; i < CAPACITY; i++)
		held[i] = claim(1 + i);
	assert_int_equal(ronbus_ring_claim(&ring, &c, 9, LOOKS), -1);
	assert_int_equal(c.stalls, CAPACITY);
	assert_int_equal(c.pos, 3 * CAPACITY);
	/* To ask again is no way around it. */
	assert_int_equal(ronbus_ring_claim(&ring, &c, 9, LOOKS), -1);
	assert_int_equal(c.pos, 3 * CAPACITY);
	/* Readers stand before a lap of holes. */
	for (__u64 pos = 2 * CAPACITY; pos < 3 * CAPACITY; pos++)
		expect(pos, RONBUS_LOOK_HOLE);

	/* The marks stand, so the freed slots serve from the lap after. */
	for (__u32 i = 1; i < CAPACITY; i++)
		finish(1 + i, held[i]);
	assert_int_equal(publish(9), 3 * CAPACITY + 1);
	expect_message(3 * CAPACITY + 1, 9);
}

static void test_budget_bounds_a_claim(void **state)
{
	struct ronbus_claim c = { .pos = CAPACITY };

	(void)state;
	for (__u32 i = 0; i < 2 * CAPACITY; i++)
		publish(1);
	/* Each look at a taken slot is one of the budget; to call again goes on. */
	assert_int_equal(ronbus_ring_claim(&ring, &c, 2, 2), -1);
	assert_int_equal(c.pos, 2 * CAPACITY + 2);
	assert_int_equal(ronbus_ring_claim(&ring, &c, 2, LOOKS), 0);
	assert_int_equal(c.pos, 3 * CAPACITY);
}

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

/* ---- layout, and several messages at once --------------------------------------------- */

static const struct ronbus_seen whatever; /* to ask where a word is, and not to read it */

/* Each byte belongs to one word of one position; arrays begin on cache lines. */
static void expect_places(__u32 capacity, __u32 payload)
{
	size_t bytes = ronbus_ring_bytes(capacity, payload, ring_features), i;
	unsigned char *used = calloc(1, bytes);
	struct ronbus_ring wide;

	ring_make(&wide, capacity, payload);
	for (__u32 pos = 0; pos < capacity; pos++) {
		const struct ronbus_words at = ronbus_ring_at(&wide, pos);
		const struct {
			const void *word;
			size_t size;
		} places[] = {
			{ at.state, 8 },
			{ at.hole, 8 },
			{ at.ready, 8 },
			{ at.meta, sizeof(struct ronbus_meta) },
			{ ronbus_words_payload(&at, whatever), payload },
			{ at.time, wide.timed * sizeof(__u64) },
		};

		for (size_t w = 0; w < ARRAY_SIZE(places); w++) {
			size_t offset = (size_t)((const char *)places[w].word - (char *)wide.head);

			assert_true(offset % 8 == 0 && offset >= sizeof(struct ronbus_ring_head) &&
				    offset + places[w].size <= bytes);
			if (!pos && ring_features & RONBUS_F_SOA)
				assert_int_equal(offset % RONBUS_CACHE_LINE, 0);
			for (i = 0; i < places[w].size; i++)
				assert_false(used[offset + i]++);
		}
		if (ring_features & RONBUS_F_SOA && pos)
			assert_ptr_equal(at.state, ronbus_ring_at(&wide, pos - 1).state + 1);
	}
	ring_free(&wide);
	free(used);
}

static void test_words_have_places_of_their_own(void **state)
{
	(void)state;
	expect_places(4, 8);
	expect_places(4, 4096);
	expect_places(8, 24);
	expect_places(64, 8);
	expect_places(128, 40);
}

static void test_runs(void **state)
{
	const struct ronbus_words at = ronbus_ring_at(&ring, CAPACITY);
	struct ronbus_seen seen[RONBUS_RUN];
	__u64 first = CAPACITY;
	struct ronbus_ring wide;

	(void)state;
	ring_make(&wide, 16, 8);
	assert_int_equal(ronbus_run_length(&wide, 8, 100), 8);
	assert_int_equal(ronbus_run_length(&wide, 13, 100), 3);
	assert_int_equal(ronbus_run_length(&wide, 13, 2), 2);
	for (__u32 i = 0; i < RONBUS_RUN; i++) { /* a run is where each position says it is */
		const struct ronbus_words base = ronbus_ring_at(&wide, 24);
		const struct ronbus_words its = ronbus_run_at(&wide, &base, i);
		const struct ronbus_words own = ronbus_ring_at(&wide, 24 + i);

		assert_true(its.state == own.state && its.hole == own.hole &&
			    its.ready == own.ready && its.meta == own.meta);
		assert_ptr_equal(ronbus_words_payload(&its, whatever),
				 ronbus_words_payload(&own, whatever));
	}
	ring_free(&wide);
	assert_int_equal(ronbus_run_length(&ring, 5, 100), 3); /* it ends with the ring */
	assert_int_equal(ronbus_ring_run(&ring, &at, first, 4, seen), 0);
	publish(1);
	publish(2);
	publish(1);
	assert_int_equal(ronbus_ring_run(&ring, &at, first, 2, seen), 2);
	assert_int_equal(ronbus_ring_run(&ring, &at, first, 4, seen), 3);
	assert_int_equal(ronbus_state_owner(seen[1].state), 2);
	assert_int_equal(ronbus_ring_run_unchanged(&ring, &at, 3, seen), 3);
}

static void overwrite_second(void)
{
	__u64 pos = CAPACITY + 1 + CAPACITY;

	*ronbus_ring_at(&ring, pos).state = RONBUS_STATE(2, 3, RONBUS_KIND_BUSY);
}

static void test_run_is_as_long_as_it_is_whole(void **state)
{
	const struct ronbus_words at = ronbus_ring_at(&ring, CAPACITY);
	struct ronbus_seen seen[RONBUS_RUN];

	(void)state;
	publish(1);
	publish(1);
	publish(1);
	assert_int_equal(ronbus_ring_run(&ring, &at, CAPACITY, 4, seen), 3);
	at_fence = overwrite_second; /* between the reading and the second looks */
	assert_int_equal(ronbus_ring_run_unchanged(&ring, &at, 3, seen), 1);
	assert_null(at_fence);
}

static void set_ready(__u64 pos, __u64 ready)
{
	*(__u64 *)ronbus_ring_at(&ring, pos).ready = ready;
}

static void test_others(void **state)
{
	const struct ronbus_interest second = { .bit = 2, .topics = ~0ULL, .asked = ~0ULL };
	const struct ronbus_interest first = { .bit = 1, .topics = ~0ULL, .asked = ~0ULL };
	const struct ronbus_interest late = { .bit = 2, .topics = 1 << 1, .joined = CAPACITY + 9 };

	(void)state;
	assert_int_equal(ronbus_ring_others(&ring, CAPACITY, &second), 0); /* nothing there */
	publish(1); /* all for subscriber 0; their topic is the publisher's number */
	publish(2);
	publish(2);
	assert_int_equal(ronbus_ring_others(&ring, CAPACITY, &second), 3);
	assert_int_equal(ronbus_ring_others(&ring, CAPACITY, &first), 0);
	assert_int_equal(ronbus_ring_others(&ring, CAPACITY, &late), 0);
	assert_int_equal(ronbus_ring_others(&ring, CAPACITY + 1, &late), 2);
	set_ready(CAPACITY + 2, 3);
	assert_int_equal(ronbus_ring_others(&ring, CAPACITY, &second), 2);
	at_fence = overwrite_second;
	assert_int_equal(ronbus_ring_others(&ring, CAPACITY, &second), 1);
}

static void test_wanted_of_a_run(void **state)
{
	struct ronbus_interest second = { .bit = 2, .topics = ~0ULL, .asked = ~0ULL };
	struct ronbus_seen seen[RONBUS_RUN];
	__u32 wanted = 7;

	(void)state;
	assert_int_equal(ronbus_ring_run_wanted(&ring, CAPACITY, &second, seen, &wanted), 0);
	assert_int_equal(wanted, 0);
	publish(1); /* all for subscriber 0; their topic is the publisher's number */
	publish(2);
	publish(2);
	assert_int_equal(ronbus_ring_run_wanted(&ring, CAPACITY, &second, seen, &wanted), 3);
	assert_int_equal(wanted, 0);
	set_ready(CAPACITY, 2);
	set_ready(CAPACITY + 2, 3);
	assert_int_equal(ronbus_ring_run_wanted(&ring, CAPACITY, &second, seen, &wanted), 3);
	assert_int_equal(wanted, 5);
	assert_int_equal(ronbus_state_owner(seen[1].state), 2);
	second.asked = 1 << 2; /* addressed to it, and to one that had its bit */
	assert_int_equal(ronbus_ring_run_wanted(&ring, CAPACITY, &second, seen, &wanted), 3);
	assert_int_equal(wanted, 4);
	second.joined = CAPACITY + 1; /* of what was there before, each has to be asked */
	assert_int_equal(ronbus_ring_run_wanted(&ring, CAPACITY, &second, seen, &wanted), 0);
	assert_int_equal(wanted, 0);
	assert_int_equal(ronbus_ring_run_wanted(&ring, CAPACITY + 1, &second, seen, &wanted), 2);
	assert_int_equal(wanted, 2);
	second.joined = 0;
	at_fence = overwrite_second; /* nothing is said of it, nor of what is after it */
	assert_int_equal(ronbus_ring_run_wanted(&ring, CAPACITY, &second, seen, &wanted), 1);
	assert_int_equal(wanted, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_new_ring_is_empty),
		TEST(test_message_appears_with_commit),
		TEST(test_positions_follow_each_other),
		TEST(test_commits_in_any_order),
		TEST(test_late_hint_costs_looks_only),
		TEST(test_tail_is_found_from_any_hint),
		TEST(test_tail_is_found_behind_holes),
		TEST(test_tail_of_nonsense_is_bounded),
		TEST(test_copies_are_exact),
		TEST(test_long_copies_are_exact),
		TEST(test_lag_is_exact),
		TEST(test_lag_is_at_least_what_the_slot_shows),
		TEST(test_overwriting_is_noticed),
		TEST(test_stalled_slot_is_passed_by),
		TEST(test_passed_by_twice),
		TEST(test_gives_up_after_a_lap_of_stalls),
		TEST(test_budget_bounds_a_claim),
		TEST(test_claim_looks_at_hole_again),
		TEST(test_reader_looks_at_state_again),
		TEST(test_reader_looks_again_and_is_overtaken),
		TEST(test_claims_interleave),
		TEST(test_repair_after_death_at_each_step),
		TEST(test_repair_takes_back_all_and_only_ones_own),
		TEST(test_exclusive_goes_on_after_death),
		TEST(test_garbage_is_survived),
		TEST(test_words_have_places_of_their_own),
		TEST(test_runs),
		TEST(test_run_is_as_long_as_it_is_whole),
		TEST(test_others),
		TEST(test_wanted_of_a_run),
	};
	int failed;

	failed = cmocka_run_group_tests_name("ring", tests, NULL, NULL);
	ring_features = RONBUS_F_SOA;
	failed += cmocka_run_group_tests_name("ring of arrays", tests, NULL, NULL);
	ring_features = RONBUS_F_TIME;
	failed += cmocka_run_group_tests_name("timed ring", tests, NULL, NULL);
	ring_features = RONBUS_F_SOA | RONBUS_F_TIME;
	return cmocka_run_group_tests_name("timed ring of arrays", tests, NULL, NULL) + failed;
}
