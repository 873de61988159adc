// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * schedule_test.c - the ring protocol under many interleavings
 *
 * Publishers, readers and the repair of a dead publisher are coroutines of one thread. Before each
 * access to a shared word the running one may be stopped and another go on, by dice whose seed is
 * printed when something goes wrong. So this explores what the code does, one access at a time,
 * under sequential consistency; what hardware may reorder besides is not seen here (the stress test
 * and the letters in ronbus_ring.h are for that).
 */
#include "schedule.h"

#define PAYLOAD 32U
#define PUBLISHERS_MOST 5
#define READERS 2
#define ACTORS (PUBLISHERS_MOST + READERS)
#define MESSAGES 6
#define POSITIONS 4096
#define ACCESSES_MOST 400000

#ifdef RB_TSAN
#define SCHEDULES 0 /* does not know coroutines */
#elif defined(__SANITIZE_ADDRESS__)
#define SCHEDULES 1000
#else
#define SCHEDULES 5000
#endif

struct actor {
	struct coroutine co;
	__u32 id; /* of a publisher, or index of a reader */
	__u32 sent;
	/* readers */
	__u64 start, pos, delivered, holes, lost;
	__u32 last_seq[PUBLISHERS_MOST + 1];
	unsigned char passed[POSITIONS]; /* 0: not yet; else one of enum passed */
};

enum passed {
	DELIVERED = 1,
	SKIPPED,
	LOST
};

static struct ronbus_ring ring;
static struct actor actors[ACTORS];
static unsigned int publishers, publishing;
static bool exclusive;
static unsigned char committed[POSITIONS];
static __u64 first_seed;
static __u64 give_ups, lags, repaired_slots;

static void check(bool good, const char *what)
{
	if (!good) {
		running = NULL;
		players_count = 0;
		fail_msg("%s (seed %#llx, capacity %u, %u publishers%s)", what,
			 (unsigned long long)first_seed, ring.mask + 1, publishers,
			 exclusive ? ", exclusive" : "");
	}
}

/* ---- actors --------------------------------------------------------------------------- */

static void fill(__u64 payload[PAYLOAD / 8], __u64 pos, __u32 id, __u32 seq)
{
	payload[0] = pos;
	payload[1] = (__u64)id << 32 | seq;
	payload[2] = pos * 0x9e3779b97f4a7c15ULL + seq;
	payload[3] = ~payload[1];
}

static void publish(struct actor *me)
{
	struct ronbus_claim claim = { .pos = ronbus_ring_hint(&ring) };
	__u64 payload[PAYLOAD / 8];

	if (exclusive) {
		claim.pos = ronbus_ring_tail(&ring);
		ronbus_ring_begin(&ring, claim.pos, me->id);
	} else if (ronbus_ring_claim(&ring, &claim, me->id, 100000)) {
		check(claim.stalls > ring.mask, "a publisher gave up without a lap of stalls");
		give_ups++;
		return;
	}
	check(claim.pos < POSITIONS, "positions run away");
	fill(payload, claim.pos, me->id, ++me->sent);
	ronbus_ring_write(&ring, claim.pos, 1, 0, payload, sizeof(payload));
	if (me->id & 1)
		ronbus_ring_commit_last(&ring, claim.pos, me->id);
	else
		ronbus_ring_commit(&ring, claim.pos, me->id);
	/* Nobody has come between. */
	check(!committed[claim.pos], "two publishers at one position");
	committed[claim.pos] = 1;
	ronbus_ring_advance(&ring, claim.pos + 1);
}

static void run_publisher(struct coroutine *co)
{
	struct actor *me = (struct actor *)co;

	for (int i = 0; i < MESSAGES; i++)
		publish(me);
	publishing--;
}

static void pass(struct actor *me, __u64 to, enum passed how)
{
	check(to > me->pos && to <= POSITIONS, "a reader does not go forward");
	while (me->pos < to)
		me->passed[me->pos++] = how;
}

static void deliver(struct actor *me, struct ronbus_seen seen)
{
	__u64 payload[PAYLOAD / 8], expected[PAYLOAD / 8];
	__u32 id = ronbus_state_owner(seen.state), seq;

	ronbus_copy_out(payload, ronbus_ring_payload(&ring, me->pos, seen), PAYLOAD);
	if (!ronbus_ring_unchanged(&ring, me->pos, seen))
		return;
	seq = (__u32)payload[1];
	fill(expected, me->pos, id, seq);
	check(!memcmp(payload, expected, sizeof(payload)), "a torn message");
	check(id >= 1 && id <= publishers && seq > me->last_seq[id], "out of order");
	me->last_seq[id] = seq;
	me->delivered++;
	pass(me, me->pos + 1, DELIVERED);
}

static void run_reader(struct coroutine *co)
{
	struct actor *me = (struct actor *)co;

	for (;;) {
		bool last = !publishing;
		union ronbus_found found;

		switch (ronbus_ring_look(&ring, me->pos, &found)) {
		case RONBUS_LOOK_READY:
			deliver(me, found.seen);
			break;
		case RONBUS_LOOK_HOLE:
			me->holes++;
			pass(me, me->pos + 1, SKIPPED);
			break;
		case RONBUS_LOOK_LAGGED:
			lags++;
			me->lost += found.next - me->pos;
			pass(me, found.next, LOST);
			break;
		case RONBUS_LOOK_EMPTY:
			if (last)
				return;
			schedule_yield();
		}
	}
}

/* What the kernel does for a publisher that is gone, here in its place. Then comes a new one. */
static void run_repair(struct coroutine *co)
{
	struct actor *me = (struct actor *)co;

	for (__u32 i = 0; i <= ring.mask; i++)
		repaired_slots += ronbus_ring_repair(&ring, me->id, i, 1);
	run_publisher(co);
}

/* ---- the scheduler -------------------------------------------------------------------- */

static void create_actors(void)
{
	unsigned int i;

	publishing = publishers;
	for (i = 0; i < publishers + READERS; i++) {
		struct actor *actor = &actors[i];
		char *stack = actor->co.stack;

		memset(actor, 0, sizeof(*actor));
		actor->co.stack = stack;
		actor->id = i < publishers ? i + 1 : i - publishers;
		actor->start = ring.mask + 1;
		actor->pos = actor->start;
		schedule_start(&actor->co, i < publishers ? run_publisher : run_reader);
	}
}

static void verify(const struct actor *reader)
{
	check(reader->pos - reader->start == reader->delivered + reader->holes + reader->lost,
	      "positions do not add up");
	for (__u64 pos = reader->start; pos < POSITIONS; pos++) {
		if (!committed[pos]) {
			check(reader->passed[pos] != DELIVERED, "a message that nobody wrote");
			continue;
		}
		check(reader->passed[pos] != 0, "a reader is stuck before a message");
		check(reader->passed[pos] != SKIPPED,
		      "a message published where a reader has passed");
	}
}

static void kill_one(void)
{
	struct actor *victim = &actors[dice(&seed) % publishers];

	if (victim->co.done || victim->co.run != run_publisher)
		return;
	schedule_start(&victim->co, run_repair);
}

static void play(bool deadly)
{
	int ret;

	accesses = 0;
	look_at = deadly ? 1 + dice(&seed) % 200 : 0;
	ret = schedule_play(ACCESSES_MOST);
	if (ret == 1) {
		kill_one();
		ret = schedule_play(ACCESSES_MOST);
	}
	check(!ret, "nobody gets on");
}

static void run_schedules(bool deadly, bool one_publisher)
{
	if (!SCHEDULES)
		print_message("# ThreadSanitizer does not know coroutines: nothing is done\n");
	for (__u64 i = 1; i <= SCHEDULES; i++) {
		seed = i * 0x9e3779b97f4a7c15ULL + deadly + 2 * one_publisher;
		first_seed = seed;
		exclusive = one_publisher;
		publishers = one_publisher ? 1 : 2 + dice(&seed) % (PUBLISHERS_MOST - 1);
		stickiness = 1U << dice(&seed) % 6;
		ring_make(&ring, 2U << dice(&seed) % 2, PAYLOAD);
		memset(committed, 0, sizeof(committed));
		create_actors();
		play(deadly);
		for (unsigned int r = 0; r < READERS; r++)
			verify(&actors[publishers + r]);
		ring_free(&ring);
	}
}

static void test_publishers_and_readers(void **state)
{
	(void)state;
	run_schedules(false, false);
	/* It is a test only if the interesting things happened. */
	assert_true((__s64)give_ups >= SCHEDULES / 100);
	assert_true((__s64)lags >= SCHEDULES / 10);
}

static void test_death_and_repair(void **state)
{
	(void)state;
	run_schedules(true, false);
	assert_true((__s64)repaired_slots >= SCHEDULES / 100);
}

static void test_exclusive(void **state)
{
	(void)state;
	run_schedules(false, true);
}

static void test_exclusive_death(void **state)
{
	(void)state;
	run_schedules(true, true);
}

static int teardown(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < ACTORS; i++) {
		free(actors[i].co.stack);
		actors[i].co.stack = NULL;
	}
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_publishers_and_readers),
		cmocka_unit_test(test_death_and_repair),
		cmocka_unit_test(test_exclusive),
		cmocka_unit_test(test_exclusive_death),
	};

	int failed = cmocka_run_group_tests_name("schedule", tests, NULL, teardown);

	ring_features = RONBUS_F_SOA;
	return cmocka_run_group_tests_name("schedule of arrays", tests, NULL, teardown) + failed;
}
