// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * ring_test.c - the ring protocol, step by step: its ordinary course, overtaken readers, stalled
 * publishers, and its layout
 */
#include "ring.h"

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
	assert_int_equal(ronbus_ring_run_unwanted(&ring, CAPACITY, &second), 0); /* nothing there */
	publish(1); /* all for subscriber 0; their topic is the publisher's number */
	publish(2);
	publish(2);
	assert_int_equal(ronbus_ring_run_unwanted(&ring, CAPACITY, &second), 3);
	assert_int_equal(ronbus_ring_run_unwanted(&ring, CAPACITY, &first), 0);
	assert_int_equal(ronbus_ring_run_unwanted(&ring, CAPACITY, &late), 0);
	assert_int_equal(ronbus_ring_run_unwanted(&ring, CAPACITY + 1, &late), 2);
	set_ready(CAPACITY + 2, 3);
	assert_int_equal(ronbus_ring_run_unwanted(&ring, CAPACITY, &second), 2);
	at_fence = overwrite_second;
	assert_int_equal(ronbus_ring_run_unwanted(&ring, CAPACITY, &second), 1);
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
		TEST(test_words_have_places_of_their_own),
		TEST(test_runs),
		TEST(test_run_is_as_long_as_it_is_whole),
		TEST(test_others),
		TEST(test_wanted_of_a_run),
	};

	return RUN_ON_EACH_RING(tests);
}
