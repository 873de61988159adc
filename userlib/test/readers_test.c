// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * readers_test.c - every way to receive, about to be lapped, one access at a time
 *
 * Publishers and subscribers of a small bus are coroutines of one thread, and each access of the
 * library to a shared word may be the last of its coroutine for a while. Every word of a slot
 * differs from one lap to the next: topic, length, owner, set of subscribers and payload follow
 * patterns whose lengths have no factor in common with the capacity.
 *
 * Two things are checked. What was committed is kept, and each subscriber must have received just
 * what was for it, or have been told of a loss. And each access of a subscriber to a word of a
 * slot is held to the rule: it comes after an acquire of the slot's state (barrier B'), and what
 * was read is used only if after a fence (barrier A') the state is the same.
 */
static void on_load(const void *address, unsigned long long value, int order);
static void on_store(const void *address);
static void on_fence(void) __attribute__((unused));

#define ON_LOAD(address, value, order) on_load(address, value, order)
#define ON_STORE(address) on_store(address)
#define ON_FENCE() on_fence()
#define RB_WHOLE_WORDS 1 /* or the payload would be copied unseen */

#include "schedule.h"

#include <pthread.h>

/* One that waits for a lock lets the others go on. */
#define pthread_mutex_lock(lock)                              \
	do {                                                  \
		while (pthread_mutex_trylock(lock))           \
			running ? schedule_yield() : abort(); \
	} while (0)

#undef skip /* cmocka.h has one */
#include "../subscribe.c"
#include "../receive.c"
#include "embedded_files.h"
#include "../publish.c"

#define PAYLOAD 24U
#define MESSAGES 14U /* of a publisher */
#define PUBLISHERS_MOST 3U
#define READERS 2U
#define TOPICS 5U
#define POSITIONS 512U
#define CAPACITY_MOST 16U
#define ACCESSES_MOST 1000000

#ifdef RB_TSAN
#define SCHEDULES 0 /* does not know coroutines */
#elif defined(__SANITIZE_ADDRESS__)
#define SCHEDULES 100
#else
#define SCHEDULES 400
#endif

/* A slot, as a subscriber has seen it. */
struct window {
	bool acquired; /* its state, and it was READY */
	bool unsure; /* a word was read since it was last known to be whole */
	bool fenced; /* and a fence came after that */
	__u64 state;
};

enum way {
	TRY,
	PEEK,
	DRAIN,
	MANY,
	WAYS
};

struct actor {
	struct coroutine co;
	unsigned int number;
	struct ronbus_pub *pub;
	struct ronbus_sub *sub;
	enum way way;
	__u64 start, cursor;
	bool doubtful; /* what the cursor has just passed: it can only be a loss */
	struct window window[CAPACITY_MOST];
	unsigned char got[POSITIONS]; /* RONBUS_MESSAGE, or RONBUS_LAGGED for a loss */
};

/* What was committed, taken from the ring as it was. */
static struct {
	bool there;
	__u64 ready;
	__u32 len;
	__u32 topic;
	__u32 owner;
	__u64 time;
	__u64 payload[PAYLOAD / 8];
} committed[POSITIONS];

static struct actor actors[PUBLISHERS_MOST + READERS + 1];
static unsigned int publishers, publishing;
static struct ronbus *bus;
static struct ronbus_ring ring;
static struct ronbus_sub *others[2];
static __u64 first_seed;
static __u64 lags, taken, dropped;
static struct ronbus_options options;

static void check(bool good, const char *what)
{
	if (good)
		return;
	running = NULL;
	players_count = 0;
	fail_msg("%s (seed %#llx, features %#llx, capacity %u, %u publishers, ways %u and %u)",
		 what, (unsigned long long)first_seed, (unsigned long long)options.features,
		 ring.mask + 1, publishers, actors[PUBLISHERS_MOST].way,
		 actors[PUBLISHERS_MOST + 1].way);
}

/* ---- the rule ------------------------------------------------------------------------- */

enum word {
	ELSEWHERE,
	STATE,
	HOLE,
	GUARDED
};

static bool within(const void *address, const void *from, size_t size)
{
	return (uintptr_t)address - (uintptr_t)from < size;
}

static enum word word_at(const void *address, __u32 *slot)
{
	const struct ronbus_seen whatever = { 0 };

	if (!ring.head || !within(address, ring.head,
				  ronbus_ring_bytes(ring.mask + 1, ring.payload, options.features)))
		return ELSEWHERE;
	for (*slot = 0; *slot <= ring.mask; ++*slot) {
		const struct ronbus_words at = ronbus_ring_at(&ring, *slot);

		if (address == at.state)
			return STATE;
		if (address == at.hole)
			return HOLE;
		if (within(address, at.ready, 8) || within(address, at.meta, 8) ||
		    (ring.timed && within(address, at.time, 8)) ||
		    within(address, ronbus_words_payload(&at, whatever), ring.payload))
			return GUARDED;
	}
	return ELSEWHERE; /* the hint */
}

/* The subscriber that runs, if it is one. */
static struct actor *reader(void)
{
	struct actor *me = (struct actor *)running;

	return me && me->sub ? me : NULL;
}

static void on_load(const void *address, unsigned long long value, int order)
{
	struct actor *me = reader();
	struct window *window;
	__u32 slot;

	if (!me)
		return;
	switch (word_at(address, &slot)) {
	case STATE:
		window = &me->window[slot];
		if (order == __ATOMIC_ACQUIRE)
			*window = (struct window){
				.acquired = ronbus_state_kind(value) == RONBUS_KIND_READY,
				.state = value,
			};
		else if (value != window->state)
			window->acquired = false;
		else if (window->fenced)
			window->unsure = false;
		break;
	case GUARDED:
		/* The inlines look for slots also where there are arrays, and then leave it to the library. */
		if (order == __ATOMIC_ACQUIRE && options.features & RONBUS_F_SOA)
			break;
		window = &me->window[slot];
		check(window->acquired, "a word of a slot was read before its state");
		window->unsure = true;
		window->fenced = false;
		break;
	case HOLE:
	case ELSEWHERE:
		break;
	}
}

static void on_fence(void)
{
	struct actor *me = reader();

	for (__u32 slot = 0; me && slot <= ring.mask; slot++)
		me->window[slot].fenced = true;
}

/* The subscriber has done with the positions up to its cursor. */
static void passed(struct actor *me)
{
	const __u64 to = me->sub->self->cursor;

	check(to >= me->cursor && to <= POSITIONS, "a subscriber does not go forward");
	me->doubtful = false;
	for (; me->cursor < to; me->cursor++) {
		const struct window *window = &me->window[me->cursor & ring.mask];

		if (window->acquired && window->unsure &&
		    ronbus_state_lap(window->state) == ronbus_ring_lap(&ring, me->cursor))
			me->doubtful = true;
	}
}

static void keep(__u32 slot)
{
	const struct ronbus_words at = ronbus_ring_at(&ring, slot);
	const struct ronbus_seen seen = { *at.state };
	__u64 pos = ronbus_ring_pos(&ring, ronbus_state_lap(seen.state), slot);

	if (ronbus_state_kind(seen.state) != RONBUS_KIND_READY)
		return;
	check(pos < POSITIONS && !committed[pos].there, "two publishers at one position");
	committed[pos].there = true;
	committed[pos].ready = ronbus_words_ready(&at, seen);
	committed[pos].len = ronbus_words_len(&at, seen);
	committed[pos].topic = ronbus_words_topic(&at, seen);
	committed[pos].owner = ronbus_state_owner(seen.state);
	committed[pos].time = ronbus_words_time(&ring, &at, seen);
	memcpy(committed[pos].payload, ronbus_words_payload(&at, seen), PAYLOAD);
}

/* With nobody coming between. */
static void keep_now(__u32 slot)
{
	struct coroutine *me = running;

	running = NULL;
	keep(slot);
	running = me;
}

static void on_store(const void *address)
{
	struct actor *me = reader();
	struct ronbus_self *self = me ? me->sub->self : NULL;
	__u32 slot;

	if (self && address == &self->cursor)
		passed(me);
	else if (self && (address == &self->delivered || address == &self->filtered))
		check(!me->doubtful, "what was read was used without a second look");
	else if (word_at(address, &slot) == STATE)
		keep_now(slot);
}

/* ---- publishers ----------------------------------------------------------------------- */

static size_t make(unsigned int number, unsigned int i, __u64 payload[PAYLOAD / 8])
{
	payload[0] = (__u64)number << 32 | i;
	payload[1] = payload[0] * 0x9e3779b97f4a7c15ULL;
	payload[2] = ~payload[0];
	return 8 + (number + i) % 3 * 8;
}

static void run_publisher(struct coroutine *co)
{
	struct actor *me = (struct actor *)co;
	__u64 payload[PAYLOAD / 8];

	for (unsigned int i = 0; i < MESSAGES; i++) {
		size_t len = make(me->number, i, payload);
		struct iovec vec = { payload, len };
		int ret;

		if (i % 3)
			ret = ronbus_publish(me->pub, (me->number + i) % TOPICS, payload, len);
		else
			ret = ronbus_publish_many(me->pub, (me->number + i) % TOPICS, &vec, 1);
		check(ret >= 0 || ret == -EAGAIN, "an error of a publisher");
		dropped += ret == -EAGAIN;
	}
	publishing--;
}

/* The subscribers of a topic change meanwhile. */
static void run_others(struct coroutine *co)
{
	(void)co;
	for (unsigned int i = 1; publishing; i++) {
		check(!ronbus_sub_set_topics(others[i & 1], 1 + dice(&seed) % 31),
		      "an error of set_topics");
		schedule_yield(); /* or nobody else gets the lock */
	}
}

/* ---- subscribers ---------------------------------------------------------------------- */

static int take(void *arg, int what, const struct ronbus_msg *msg)
{
	struct actor *me = arg;
	__u64 pos;

	if (what == RONBUS_LAGGED) {
		lags++;
		for (pos = msg->position - msg->lost; pos < msg->position; pos++) {
			check(!me->got[pos], "a loss of what had been received");
			me->got[pos] = RONBUS_LAGGED;
		}
		return 0;
	}
	pos = msg->position;
	check(pos < POSITIONS && committed[pos].there, "a message that nobody wrote");
	check(!me->got[pos], "a message twice");
	check(msg->len == committed[pos].len && msg->topic == committed[pos].topic &&
		      msg->publisher == committed[pos].owner && msg->time == committed[pos].time,
	      "another message's length, topic, owner or time");
	check(!memcmp(msg->data, committed[pos].payload, msg->len), "a torn message");
	me->got[pos] = RONBUS_MESSAGE;
	taken++;
	return 0;
}

/* A message where it is counts if it is whole until the end. */
static int peek(struct actor *me)
{
	__u64 copy[PAYLOAD / 8];
	struct ronbus_msg msg;
	int ret = ronbus_peek(me->sub, &msg);

	if (ret == RONBUS_MESSAGE) {
		ronbus_copy_out(copy, msg.data, msg.len);
		if (ronbus_release(me->sub))
			return ret;
		msg.data = copy;
	}
	if (ret > 0)
		take(me, ret, &msg);
	return ret;
}

static int receive(struct actor *me)
{
	__u64 payload[PAYLOAD / 8], many[6][PAYLOAD / 8];
	struct ronbus_msg msg, msgs[6];
	int i, ret;

	switch (me->way) {
	case TRY:
		ret = ronbus_try_recv(me->sub, payload, sizeof(payload), &msg);
		if (ret > 0)
			take(me, ret, &msg);
		return ret;
	case PEEK:
		return peek(me);
	case DRAIN:
		return ronbus_drain(me->sub, take, me, 1 + dice(&seed) % 12, 0);
	default:
		ret = ronbus_recv_many(me->sub, many, PAYLOAD, msgs, 6);
		for (i = 0; i < ret; i++)
			take(me, msgs[i].data ? RONBUS_MESSAGE : RONBUS_LAGGED, &msgs[i]);
		return ret;
	}
}

static void run_reader(struct coroutine *co)
{
	struct actor *me = (struct actor *)co;

	for (;;) {
		bool last = !publishing;
		int ret = receive(me);

		check(ret > 0 || ret == -EAGAIN, "an error of a subscriber");
		if (ret > 0)
			continue;
		if (last)
			return;
		if (dice(&seed) % 4 == 0)
			ronbus_arm(me->sub);
		schedule_yield();
	}
}

/* All that was for it was received, or told to be lost; and nothing else was received. */
static void verify(const struct actor *me)
{
	const struct ronbus_interest *mine = &me->sub->interest;
	const __u64 end = ronbus_sub_position(me->sub);

	for (__u64 pos = me->start; pos < POSITIONS; pos++) {
		bool for_it = committed[pos].there;

		if (for_it && mine->bit)
			for_it = committed[pos].ready & mine->bit &&
				 mine->topics >> committed[pos].topic & 1;
		if (me->got[pos] == RONBUS_MESSAGE)
			check(for_it, "a message for others");
		if (for_it)
			check(pos < end && me->got[pos], "a message was lost without a word");
	}
}

/* ---- schedules ------------------------------------------------------------------------ */

static void join(struct actor *me, __u64 topics)
{
	struct ronbus_sub_options opts = { .topics = topics };
	bool interest = options.features & RONBUS_F_INTEREST;

	memset(me->window, 0, sizeof(me->window));
	memset(me->got, 0, sizeof(me->got));
	check(!ronbus_subscribe(bus, interest ? &opts : NULL, &me->sub), "subscribe");
	me->start = me->cursor = ronbus_sub_position(me->sub);
	me->way = (enum way)(dice(&seed) % WAYS);
}

static void set_up(void)
{
	bool interest = options.features & RONBUS_F_INTEREST;
	unsigned int i;

	memset(committed, 0, sizeof(committed));
	check(!ronbus_create(RONBUS_EMBEDDED, &options, &bus), "create");
	for (i = 0; i < publishers; i++) {
		actors[i].number = i + 1;
		check(!ronbus_publisher(bus, 0, &actors[i].pub), "publisher");
		schedule_start(&actors[i].co, run_publisher);
	}
	ring = actors[0].pub->ring;
	publishing = publishers;
	for (i = 0; i < READERS; i++) {
		join(&actors[PUBLISHERS_MOST + i], i ? 1 << 1 | 1 << 4 : 1 << 3);
		schedule_start(&actors[PUBLISHERS_MOST + i].co, run_reader);
	}
	if (interest) {
		for (i = 0; i < 2; i++)
			check(!ronbus_subscribe(bus, NULL, &others[i]), "others");
		schedule_start(&actors[PUBLISHERS_MOST + READERS].co, run_others);
	}
}

static void tear_down(void)
{
	unsigned int i;

	for (i = 0; i < publishers; i++)
		ronbus_pub_close(actors[i].pub);
	for (i = 0; i < READERS; i++) {
		ronbus_sub_close(actors[PUBLISHERS_MOST + i].sub);
		actors[PUBLISHERS_MOST + i].sub = NULL;
	}
	for (i = 0; i < 2; i++) {
		ronbus_sub_close(others[i]);
		others[i] = NULL;
	}
	ronbus_close(bus);
	ring.head = NULL;
}

static void run_schedule(__u64 features, bool exclusive)
{
	first_seed = seed;
	publishers = exclusive ? 1 : 1 + dice(&seed) % PUBLISHERS_MOST;
	stickiness = 1U << dice(&seed) % 7;
	options.features = features;
	options.flags = RONBUS_BUS_PERSISTENT | (exclusive ? RONBUS_BUS_EXCLUSIVE : 0);
	options.capacity = 4U << dice(&seed) % 3;
	options.payload = PAYLOAD;
	accesses = 0;
	set_up();
	check(!schedule_play(ACCESSES_MOST), "nobody gets on");
	for (unsigned int i = 0; i < READERS; i++)
		verify(&actors[PUBLISHERS_MOST + i]);
	tear_down();
}

static void run(__u64 features)
{
	if (!SCHEDULES)
		print_message("# ThreadSanitizer does not know coroutines: nothing is done\n");
	lags = taken = dropped = 0;
	for (__u64 i = 1; i <= SCHEDULES; i++) {
		seed = i * 0x9e3779b97f4a7c15ULL + features;
		run_schedule(features | RONBUS_F_BATCH | RONBUS_F_EDGE_NOTIFY, i % 4 == 0);
	}
	/* It is a test only if readers were lapped, and received. */
	print_message("# %llu received, %llu losses, %llu dropped\n", taken, lags, dropped);
	assert_true((__s64)lags >= SCHEDULES / 2);
	assert_true((__s64)taken >= SCHEDULES);
}

static void test_slots(void **state)
{
	(void)state;
	run(0);
}

static void test_arrays(void **state)
{
	(void)state;
	run(RONBUS_F_SOA);
}

static void test_topics(void **state)
{
	(void)state;
	run(RONBUS_F_INTEREST);
}

static void test_topics_of_arrays(void **state)
{
	(void)state;
	run(RONBUS_F_INTEREST | RONBUS_F_SOA);
}

static void test_times(void **state)
{
	(void)state;
	run(RONBUS_F_TIME);
	run(RONBUS_F_TIME | RONBUS_F_SOA);
	run(RONBUS_F_TIME | RONBUS_F_INTEREST);
	run(RONBUS_F_TIME | RONBUS_F_INTEREST | RONBUS_F_SOA);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slots),  cmocka_unit_test(test_arrays),
		cmocka_unit_test(test_topics), cmocka_unit_test(test_topics_of_arrays),
		cmocka_unit_test(test_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
