// SPDX-License-Identifier: GPL-2.0
/*
 * ring_fuzz.c - the ring protocol: among honest publishers against a plain list of what happened,
 * and with a ring that anybody scribbles over
 *
 * Both are programs of steps. At every RB_STEP() of a publisher more of the program is run, to its
 * end, as other processes would while this one is stopped there; among the honest ones, if the input
 * asks for it, before every load and compare-and-swap as well.
 */
#include "hook.h"
#include "input.h"

static void between_steps(void);
#define RB_STEP(step) between_steps()
#include <ronbus/ronbus_ring.h>

#define PUBLISHERS 4U
#define READERS 3U
#define POSITIONS 4096U
#define DEPTH 3U

/* What became of a position, in an honest ring. */
enum fate {
	NOTHING,
	COMMITTED,
	PASSED /* by a reader, as a hole */
};

static struct {
	struct input input;
	struct ronbus_ring ring;
	__u64 features;
	bool hostile;
	bool anywhere; /* steps are run before loads, too */
	unsigned int depth;
	enum fate fate[POSITIONS];
	uint64_t value[POSITIONS];
	unsigned char holds[PUBLISHERS + 1]; /* a publisher that is stopped, or dead */
	uint64_t cursor[READERS];
	uint64_t passed[READERS], start[READERS];
	bool reading[READERS]; /* in the middle of a message */
} run;

static size_t ring_words(void)
{
	return ronbus_ring_bytes(run.ring.mask + 1, run.ring.payload, run.features) / 8;
}

/* ---- hostile steps --------------------------------------------------------------------- */

static void scribble(void)
{
	struct input *input = &run.input;
	__u64 *words = (__u64 *)run.ring.head;
	__u64 lap = take_value(input);
	const struct ronbus_words at = ronbus_ring_at(&run.ring, take8(input));
	struct ronbus_meta *meta = (struct ronbus_meta *)at.meta;
	size_t i;

	switch (take8(input) % 6) {
	case 0:
		words[take_bytes(input, 2) % ring_words()] = lap;
		break;
	case 1:
		*at.state = RONBUS_STATE(lap, take8(input) % 64, take8(input) % 4);
		break;
	case 2:
		*at.hole = lap;
		break;
	case 3:
		run.ring.head->head = lap;
		break;
	case 4:
		meta->len = (__u32)lap;
		meta->topic = take8(input);
		break;
	default:
		for (i = 0; i < ring_words(); i++)
			words[i] = lap * (i + 1);
	}
}

/* Laps that do not come near the end of the numbers: there positions only grow. */
static bool sane(uint64_t pos)
{
	return pos < 1ULL << 40;
}

static void hostile_look(void)
{
	__u64 pos = take_value(&run.input);
	union ronbus_found found = { 0 };
	enum ronbus_look look = ronbus_ring_look(&run.ring, pos, &found);
	struct ronbus_words at;
	struct ronbus_seen seen;
	char copy[4096];
	__u32 len;

	must(look <= RONBUS_LOOK_LAGGED);
	if (look == RONBUS_LOOK_LAGGED)
		must(found.next > pos || pos == ~0ULL);
	if (ronbus_ring_ready(&run.ring, pos, &seen)) {
		between_steps();
		at = ronbus_ring_at(&run.ring, pos);
		len = ronbus_words_len(&at, seen);
		if (len > run.ring.payload)
			len = run.ring.payload;
		ronbus_copy_out(copy, ronbus_words_payload(&at, seen), len);
		(void)ronbus_words_time(&run.ring, &at, seen);
		between_steps();
		ronbus_ring_unchanged(&run.ring, pos, seen);
	}
}

static void hostile_claim(void)
{
	struct input *input = &run.input;
	struct ronbus_claim claim = { .pos = take8(input) % 2 ? ronbus_ring_hint(&run.ring)
							      : take_value(input),
				      .stalls = take8(input) % 3 };
	uint64_t before = claim.pos;
	__u32 owner = take8(input) % 64, budget = take8(input) * 2;
	unsigned int nested = run.depth;
	char message[4096] = { 1 };
	int ret;

	ret = ronbus_ring_claim(&run.ring, &claim, owner, budget);
	must(ret == 0 || ret == -1);
	must(claim.stalls <= run.ring.mask + 3);
	must(run.depth == nested);
	if (ret)
		return;
	must(budget);
	if (sane(before) && sane(claim.pos))
		must(claim.pos >= before);
	ronbus_ring_write(&run.ring, claim.pos, take_value(input), take8(input) % 64, message,
			  take_bytes(input, 2) % (run.ring.payload + 1));
	if (run.ring.timed)
		ronbus_ring_stamp(&run.ring, claim.pos, take_value(input));
	if (take8(input) % 2)
		ronbus_ring_commit(&run.ring, claim.pos, owner);
	else
		ronbus_ring_commit_last(&run.ring, claim.pos, owner);
	ronbus_ring_advance(&run.ring, claim.pos + 1);
}

static void hostile_repair(void)
{
	struct input *input = &run.input;
	__u32 owner = take8(input) % 64, first = (__u32)take_value(input);
	__u32 count = take8(input), i;

	must(ronbus_ring_repair(&run.ring, owner, first, count) <= count);
	for (i = 0; i < count; i++) {
		__u64 state = *ronbus_ring_at(&run.ring, first + i).state;

		must(ronbus_state_owner(state) != owner ||
		     ronbus_state_kind(state) != RONBUS_KIND_BUSY);
	}
}

static void hostile_step(void)
{
	struct input *input = &run.input;
	uint64_t hint;

	switch (take8(input) % 8) {
	case 0:
	case 1:
	case 2:
		scribble();
		break;
	case 3:
	case 4:
		hostile_look();
		break;
	case 5:
		hostile_claim();
		break;
	case 6:
		hostile_repair();
		break;
	default:
		hint = ronbus_ring_hint(&run.ring);
		if (sane(hint) && sane(ronbus_ring_tail(&run.ring)))
			must(ronbus_ring_tail(&run.ring) >= hint);
		ronbus_ring_begin(&run.ring, take_value(input), take8(input) % 64);
	}
}

/* ---- honest steps ---------------------------------------------------------------------- */

static uint64_t message_of(uint64_t pos, unsigned int owner)
{
	return (pos << 8 | owner) * 0x9e3779b97f4a7c15ULL;
}

/* A publisher publishes one message, stops for good in the middle of it, or gives up. */
static void publish(void)
{
	struct input *input = &run.input;
	unsigned int owner = 1 + take8(input) % PUBLISHERS;
	bool dies = take8(input) % 8 == 1;
	struct ronbus_claim claim = { 0 };
	uint64_t payload[8];

	if (run.holds[owner] || run.ring.head->head >= POSITIONS / 2)
		return;
	run.holds[owner] = 1;
	claim.pos = ronbus_ring_hint(&run.ring);
	if (ronbus_ring_claim(&run.ring, &claim, owner, 4 * run.ring.mask + 64)) {
		must(claim.stalls > run.ring.mask);
		run.holds[owner] = 0;
		return;
	}
	must(claim.pos < POSITIONS);
	if (dies)
		return;
	payload[0] = message_of(claim.pos, owner);
	ronbus_ring_write(&run.ring, claim.pos, ~0ULL, 0, payload, 8);
	/* The reader has not passed it, and nobody else has had it. */
	must(run.fate[claim.pos] == NOTHING);
	run.fate[claim.pos] = COMMITTED;
	run.value[claim.pos] = payload[0];
	ronbus_ring_commit_last(&run.ring, claim.pos, owner);
	ronbus_ring_advance(&run.ring, claim.pos + 1);
	run.holds[owner] = 0;
}

/* One that stopped for good is repaired: from the first slot to the last. */
static void repair(void)
{
	unsigned int owner = 1 + take8(&run.input) % PUBLISHERS;

	if (run.depth || !run.holds[owner])
		return;
	ronbus_ring_repair(&run.ring, owner, 0, run.ring.mask + 1);
	run.holds[owner] = 0;
}

static void deliver(unsigned int reader, uint64_t pos, struct ronbus_seen seen)
{
	uint64_t payload[8];
	bool whole;

	run.reading[reader] = true;
	between_steps();
	ronbus_copy_out(payload, ronbus_ring_payload(&run.ring, pos, seen), 8);
	between_steps();
	whole = ronbus_ring_unchanged(&run.ring, pos, seen);
	run.reading[reader] = false;
	if (!whole)
		return;
	must(run.fate[pos] == COMMITTED);
	must(payload[0] == run.value[pos]);
	must(payload[0] == message_of(pos, ronbus_state_owner(seen.state)));
	run.cursor[reader] = pos + 1;
	run.passed[reader]++;
}

static void receive(void)
{
	unsigned int reader = take8(&run.input) % READERS;
	__u64 pos = run.cursor[reader];
	union ronbus_found found;
	enum ronbus_look look;

	if (pos >= POSITIONS || run.reading[reader])
		return;
	run.reading[reader] = true;
	look = ronbus_ring_look(&run.ring, pos, &found);
	run.reading[reader] = false;
	switch (look) {
	case RONBUS_LOOK_READY:
		deliver(reader, pos, found.seen);
		break;
	case RONBUS_LOOK_HOLE:
		must(run.fate[pos] != COMMITTED);
		run.fate[pos] = PASSED;
		run.cursor[reader] = pos + 1;
		run.passed[reader]++;
		break;
	case RONBUS_LOOK_LAGGED:
		must(found.next > pos && found.next < POSITIONS);
		run.cursor[reader] = found.next;
		run.passed[reader] += found.next - pos;
		break;
	case RONBUS_LOOK_EMPTY:
		break;
	}
}

static void honest_step(void)
{
	unsigned int kind = take8(&run.input) % 16;

	if (kind < 7)
		publish();
	else if (kind < 15)
		receive();
	else
		repair();
}

/* Whatever happened: with all that stopped repaired, every reader comes to the tail. */
static void finish(void)
{
	union ronbus_found found;
	unsigned int i, steps;
	__u64 tail;

	for (i = 1; i <= PUBLISHERS; i++)
		ronbus_ring_repair(&run.ring, i, 0, run.ring.mask + 1);
	tail = ronbus_ring_tail(&run.ring);
	for (i = 0; i < READERS; i++) {
		for (steps = 0; run.cursor[i] < tail; steps++) {
			uint64_t pos = run.cursor[i];
			enum ronbus_look look = ronbus_ring_look(&run.ring, pos, &found);

			must(look != RONBUS_LOOK_EMPTY);
			must(steps <= 2 * run.ring.mask + 64);
			if (look == RONBUS_LOOK_READY)
				deliver(i, pos, found.seen);
			else if (look == RONBUS_LOOK_LAGGED)
				run.cursor[i] = found.next, run.passed[i] += found.next - pos;
			else
				run.cursor[i] = pos + 1, run.passed[i]++;
		}
		must(run.cursor[i] == run.start[i] + run.passed[i]);
	}
}

/* ---- running --------------------------------------------------------------------------- */

static void step(void)
{
	if (run.hostile)
		hostile_step();
	else
		honest_step();
}

static void between_steps(void)
{
	unsigned int count;

	if (run.depth >= DEPTH || !run.input.left)
		return;
	run.depth++;
	for (count = take8(&run.input) % 8; count && run.input.left; count--)
		step();
	run.depth--;
}

void fuzz_before_load(void)
{
	if (run.anywhere && run.depth < DEPTH && run.input.left && take8(&run.input) % 4 == 3)
		between_steps();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const __u32 payloads[] = { 8, 16, 64, 256 };
	unsigned int i, steps = 0;
	__u32 capacity, payload;
	uint8_t kind;
	void *base;

	memset(&run, 0, sizeof(run));
	run.input = (struct input){ data, size };
	kind = take8(&run.input);
	run.hostile = kind & 1;
	run.features = (kind & 4 ? RONBUS_F_SOA : 0) | (kind & 8 ? RONBUS_F_TIME : 0);
	capacity = 4U << take8(&run.input) % (run.hostile ? 5 : 2);
	payload = payloads[take8(&run.input) % 4];
	base = aligned_alloc(64, ronbus_ring_bytes(capacity, payload, run.features));
	must(base);
	memset(base, 0, ronbus_ring_bytes(capacity, payload, run.features));
	ronbus_ring_view(&run.ring, base, capacity, payload, run.features);
	ronbus_ring_reset(&run.ring);
	for (i = 0; i < READERS; i++)
		run.start[i] = run.cursor[i] = capacity;
	run.anywhere = (kind & 3) == 2;
	while (run.input.left && steps++ < 600)
		step();
	run.anywhere = false;
	run.depth = DEPTH; /* nothing more in between */
	if (!run.hostile)
		finish();
	free(base);
	return 0;
}
