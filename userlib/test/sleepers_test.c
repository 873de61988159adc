// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * sleepers_test.c - sleeping and waking on "embedded:", one access at a time
 *
 * The transport runs as coroutines of one thread, its timers too, and each access to a shared word
 * may be the last of its coroutine for a while. Futexes and the clock are played: time goes on with
 * accesses, and a sleep that nothing ends is noticed, for then nobody gets on.
 *
 * What every case is about is where two meet: one that leaves, changes its mind or is canceled while
 * another decides to wake it.
 */
static void on_load(const void *address);

#define ON_LOAD(address, value, order) on_load(address)

#include "schedule.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long played_syscall(long number, const __u32 *word, int op, __u32 value, const void *until);
static int played_create(pthread_t *thread, void *(*run)(void *arg), void *arg);
static int played_join(pthread_t thread);

#define ronbus_now played_now
#define ronbus_deadline played_deadline
#define syscall(number, word, op, value, until, ...) played_syscall(number, word, op, value, until)
#define prctl(...) ((void)0)
#define pthread_create(thread, attr, run, arg) played_create(thread, run, arg)
#define pthread_join(thread, ret) played_join(thread)
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

#define ACCESSES_MOST 2000000
#define MESSAGES 12U /* of a publisher */
#define TOPICS 5U
#define WANTED 3U
#define ACTORS 6U
#define THREADS 64U
#define STEP_NS 1000 /* that an access takes */

#ifdef RB_TSAN
#define SCHEDULES 0 /* does not know coroutines */
#elif defined(__SANITIZE_ADDRESS__)
#define SCHEDULES 150
#else
#define SCHEDULES 1500
#endif

struct actor {
	struct coroutine co;
	unsigned int number;
	struct ronbus_pub *pub;
	struct ronbus_sub *sub;
	unsigned int got;
};

struct thread_of {
	struct coroutine co;
	void *(*run)(void *arg);
	void *arg;
};

static struct actor actors[ACTORS];
static struct thread_of threads[THREADS];
static unsigned int threads_count;
static struct ronbus *bus;
static struct ronbus_options options;
static unsigned int publishing, sent;
static bool entered, left;
static __u64 first_seed;
static const char *what_case = "";

static void check(bool good, const char *what)
{
	if (good)
		return;
	running = NULL;
	players_count = 0;
	fail_msg("%s: %s (seed %#llx, features %#llx, capacity %u)", what_case, what,
		 (unsigned long long)first_seed, (unsigned long long)options.features,
		 options.capacity);
}

/* ---- the world, played ---------------------------------------------------------------- */

__u64 played_now(void)
{
	return (__u64)accesses * STEP_NS;
}

__u64 played_deadline(int64_t timeout_ns)
{
	return timeout_ns < 0 ? RONBUS_WAIT_FOREVER : played_now() + (__u64)timeout_ns;
}

static struct {
	const __u32 *word;
	unsigned int wakes;
} futexes[80];

static unsigned int *wakes_of(const __u32 *word)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(futexes) && futexes[i].word && futexes[i].word != word; i++)
		;
	check(i < ARRAY_SIZE(futexes), "too many futexes");
	futexes[i].word = word;
	return &futexes[i].wakes;
}

/* A futex call. */
static long played_syscall(long number, const __u32 *word, int op, __u32 value, const void *until)
{
	unsigned int *wakes = wakes_of(word), before;
	struct timespec time = { .tv_sec = INT32_MAX };

	check(number == SYS_futex, "another system call");
	if (op == FUTEX_WAKE_PRIVATE) {
		++*wakes;
		return 0;
	}
	access_point();
	before = *wakes;
	errno = EAGAIN;
	if (*(volatile const __u32 *)word != value)
		return -1;
	if (until)
		memcpy(&time, until, sizeof(time));
	while (*wakes == before) {
		errno = ETIMEDOUT;
		if (played_now() >= (__u64)time.tv_sec * 1000000000ULL + (__u64)time.tv_nsec)
			return -1;
		schedule_yield();
	}
	return 0;
}

static void run_thread(struct coroutine *co)
{
	struct thread_of *thread = (struct thread_of *)co;

	thread->run(thread->arg);
}

static int played_create(pthread_t *thread, void *(*run)(void *arg), void *arg)
{
	struct thread_of *new = &threads[threads_count++];

	check(threads_count <= THREADS, "too many threads");
	new->run = run;
	new->arg = arg;
	schedule_start(&new->co, run_thread);
	*thread = (pthread_t)(uintptr_t) new;
	return 0;
}

static int played_join(pthread_t thread)
{
	const struct thread_of *of = (const struct thread_of *)(uintptr_t)thread;

	while (!of->co.done)
		schedule_yield();
	return 0;
}

/* Takes a position, and does not get on with it: the next ones are after it. */
static bool hold(struct ronbus_pub *pub)
{
	struct ronbus_claim claim = { .pos = ronbus_ring_hint(&pub->ring) };

	return !ronbus_ring_claim(&pub->ring, &claim, pub->id, 100);
}

/* ---- actors --------------------------------------------------------------------------- */

static void publish(struct actor *me, unsigned int topic)
{
	__u64 payload = sent;
	int ret = ronbus_publish(me->pub, topic, &payload, sizeof(payload));

	check(ret >= 0 || ret == -EAGAIN, "an error of a publisher");
	sent += ret > 0 && topic == WANTED;
}

static void run_publisher(struct coroutine *co)
{
	struct actor *me = (struct actor *)co;

	for (unsigned int i = 0; i < MESSAGES; i++)
		publish(me, (me->number + i) % TOPICS);
	/* Whoever sleeps as long as somebody publishes is to get one more. */
	if (!--publishing)
		publish(me, WANTED);
}

static int take(void *arg, int what, const struct ronbus_msg *msg)
{
	struct actor *me = arg;

	check(what == RONBUS_MESSAGE && msg->topic == WANTED, "a message for others");
	me->got++;
	return 0;
}

/* Until an fd can be read: what poll() says at once, again and again. */
static void sleep_on_fd(struct ronbus_sub *sub)
{
	struct pollfd p = { .fd = ronbus_sub_fd(sub), .events = POLLIN };

	while (poll(&p, 1, 0) != 1)
		schedule_yield();
}

/* One message, or some, sleeping for them in one of the ways there are. */
static void receive(struct actor *me)
{
	struct ronbus_msg msg;
	__u64 payload;
	int ret;

	switch (dice(&seed) % 4) {
	case 0:
		ret = ronbus_recv(me->sub, &payload, sizeof(payload), &msg, -1);
		if (ret > 0)
			take(me, ret, &msg);
		break;
	case 1:
		ret = ronbus_drain(me->sub, take, me, 1 + dice(&seed) % 4, -1);
		break;
	case 2: /* armed for an fd, and then a sleep of another kind comes between */
		ret = ronbus_arm(me->sub);
		if (!ret && dice(&seed) & 1)
			ret = ronbus_wait(me->sub, 0) == -ETIMEDOUT ? 0 : 1;
		if (!ret)
			sleep_on_fd(me->sub);
		ret = 1;
		break;
	default:
		ret = ronbus_try_recv(me->sub, &payload, sizeof(payload), &msg);
		if (ret > 0)
			take(me, ret, &msg);
		else if (ret == -EAGAIN)
			ret = ronbus_wait(me->sub, -1) ?: 1;
	}
	check(ret > 0, "an error of a subscriber");
}

/* All that is for it, and then the end may come. */
static void run_reader(struct coroutine *co)
{
	struct actor *me = (struct actor *)co;
	bool coalescing = options.features & RONBUS_F_COALESCE;

	while (publishing || me->got < sent) {
		if (coalescing && dice(&seed) % 4 == 0)
			check(!ronbus_sub_set_coalesce(me->sub, (unsigned int)(dice(&seed) % 5),
						       100000),
			      "an error of coalesce");
		if (me->got < sent || dice(&seed) & 1)
			receive(me);
		else
			schedule_yield();
	}
	left = true;
}

/* Comes and goes, while others decide whether to wake it. */
static void run_guest(struct coroutine *co)
{
	struct ronbus_sub_options opts = { .topics = 1 << WANTED };
	struct ronbus_sub *sub;

	(void)co;
	while (!left && threads_count < 8) {
		check(!ronbus_subscribe(bus, &opts, &sub), "subscribe");
		if (options.features & RONBUS_F_COALESCE && dice(&seed) & 1)
			check(!ronbus_sub_set_coalesce(sub, 3, 100000), "an error of coalesce");
		ronbus_arm(sub);
		for (unsigned int i = dice(&seed) % 16; i; i--)
			schedule_yield();
		ronbus_sub_close(sub);
		schedule_yield();
	}
}

/* ---- what is played ------------------------------------------------------------------- */

static void open_bus(unsigned int publishers)
{
	struct ronbus_sub_options opts = { .topics = 1 << WANTED }, rest = { .topics = ~0ULL };

	memset(futexes, 0, sizeof(futexes));
	for (unsigned int i = 0; i < ACTORS; i++)
		actors[i].co.run = NULL;
	threads_count = 0;
	accesses = 0;
	sent = 0;
	entered = left = false;
	check(!ronbus_create(RONBUS_EMBEDDED, &options, &bus), "create");
	for (unsigned int i = 0; i < publishers; i++) {
		actors[i].number = i;
		check(!ronbus_publisher(bus, 0, &actors[i].pub), "publisher");
	}
	publishing = publishers;
	actors[4].got = 0;
	check(!ronbus_subscribe(bus, &opts, &actors[4].sub), "subscribe");
	check(!ronbus_subscribe(bus, &rest, &actors[5].sub), "subscribe");
}

/* By a coroutine, since a timer may have to end. */
static void run_closer(struct coroutine *co)
{
	(void)co;
	ronbus_sub_close(actors[4].sub);
	ronbus_sub_close(actors[5].sub);
}

static void close_bus(unsigned int publishers)
{
	players_count = look_at = 0;
	schedule_start(&actors[4].co, run_closer);
	for (unsigned int i = 0; i < threads_count; i++) /* those that have not ended yet */
		if (!threads[i].co.done)
			players[players_count++] = &threads[i].co;
	check(!schedule_play(ACCESSES_MOST + 100000), "nobody gets on at the end");
	for (unsigned int i = 0; i < publishers; i++)
		ronbus_pub_close(actors[i].pub);
	ronbus_close(bus);
}

/* A timer's thread does not end by itself. */
static bool all_done(void)
{
	bool done = true;

	for (unsigned int i = 0; i < ACTORS; i++)
		done = done && (actors[i].co.done || !actors[i].co.run);
	return done;
}

static void begin(const char *name, __u64 features, int i)
{
	what_case = name;
	seed = first_seed = ((__u64)i + 1) * 0x9e3779b97f4a7c15ULL + features;
	stickiness = 1U << dice(&seed) % 6;
	options.features = features | RONBUS_F_EDGE_NOTIFY | RONBUS_F_INTEREST;
	options.flags = RONBUS_BUS_PERSISTENT;
	options.capacity = 64;
	options.payload = 8;
}

/* Nobody sleeps on a message, while others publish what is not for it, come and go. */
static void play_sleepers(const char *name, __u64 features, int i)
{
	unsigned int publishers = 1 + (unsigned int)i % 3;

	begin(name, features, i);
	open_bus(publishers);
	for (unsigned int k = 0; k < publishers; k++)
		schedule_start(&actors[k].co, run_publisher);
	schedule_start(&actors[4].co, run_reader);
	schedule_start(&actors[5].co, run_guest);
	while (!all_done()) {
		look_at = accesses + 1000;
		check(schedule_play(ACCESSES_MOST) >= 0, "nobody gets on");
	}
	close_bus(publishers);
}

static void test_sleepers(void **state)
{
	(void)state;
	for (int i = 0; i < SCHEDULES; i++) {
		play_sleepers("sleepers", 0, i);
		play_sleepers("sleepers", RONBUS_F_SOA, i);
	}
}

static void test_coalescing(void **state)
{
	(void)state;
	for (int i = 0; i < SCHEDULES; i++) {
		play_sleepers("coalescing", RONBUS_F_COALESCE, i);
		play_sleepers("coalescing", RONBUS_F_COALESCE | RONBUS_F_SOA, i);
	}
}

/* ---- cancel --------------------------------------------------------------------------- */

/* Once it has noted how many cancels there were, the call has begun. */
static void on_load(const void *address)
{
	if (running == &actors[4].co && actors[4].sub &&
	    address == &ronbus_subscriber_of(actors[4].sub)->cancels)
		entered = true;
}

/* Wants what nobody publishes, and is woken for others all the time. */
static void run_waiter(struct coroutine *co)
{
	struct actor *me = (struct actor *)co;
	struct ronbus_msg msg;
	__u64 payload;
	int ret;

	if (dice(&seed) & 1)
		ret = ronbus_recv(me->sub, &payload, sizeof(payload), &msg, -1);
	else
		ret = ronbus_drain(me->sub, take, me, 4, -1);
	check(ret == -ECANCELED, "a wait that was not canceled ended");
	left = true;
}

static void run_others(struct coroutine *co)
{
	struct actor *me = (struct actor *)co;
	__u64 payload = 0;

	/* So many of others are a reason to look, and then to wait again. */
	for (unsigned int i = 0; i < 6 * RONBUS_READY_LOOKS && !left; i++) {
		check(ronbus_publish(me->pub, i % WANTED, &payload, sizeof(payload)) >= 0,
		      "an error of a publisher");
		for (unsigned int pause = i % 50 ? 0 : dice(&seed) % 256; pause; pause--)
			schedule_yield();
	}
}

/* Once, when the call has begun. */
static void run_canceler(struct coroutine *co)
{
	struct actor *me = (struct actor *)co;

	while (!entered)
		schedule_yield();
	schedule_yield();
	for (unsigned int pause = dice(&seed) % 1024; pause; pause--)
		schedule_yield();
	check(!left, "a wait that was not canceled ended");
	check(!ronbus_cancel(actors[4].sub), "an error of cancel");
	me->got++;
}

static void test_cancel(void **state)
{
	(void)state;
	for (int i = 0; i < SCHEDULES; i++) {
		begin("cancel", i & 1 ? RONBUS_F_COALESCE : 0, i);
		options.capacity = 1024;
		open_bus(2);
		if (i & 2)
			check(hold(actors[0].pub), "no slot");
		schedule_start(&actors[1].co, run_others);
		schedule_start(&actors[2].co, run_canceler);
		schedule_start(&actors[4].co, run_waiter);
		while (!all_done()) {
			look_at = accesses + 1000;
			check(schedule_play(ACCESSES_MOST) >= 0, "nobody gets on");
		}
		close_bus(2);
	}
}

/* ---- topics --------------------------------------------------------------------------- */

static void run_sleeper(struct coroutine *co)
{
	check(!ronbus_wait(((struct actor *)co)->sub, -1), "an error of wait");
}

/* What was there when the sleeper joined, and is skipped by it, is asked for. */
static void run_chooser(struct coroutine *co)
{
	(void)co;
	for (unsigned int pause = dice(&seed) % 64; pause; pause--)
		schedule_yield();
	check(!ronbus_sub_set_topics(actors[4].sub, 1 | 1 << WANTED), "an error of set_topics");
}

/* A sleeper is told, or sees for itself, whatever it has looked at when the topics change. */
static void test_topics(void **state)
{
	struct ronbus_sub_options opts = { .topics = 1 << WANTED, .start = RONBUS_START_OLDEST };

	(void)state;
	for (int i = 0; i < SCHEDULES; i++) {
		begin("topics", i & 1 ? RONBUS_F_COALESCE : 0, i);
		options.flags |= RONBUS_BUS_RETAIN;
		open_bus(1);
		ronbus_sub_close(actors[4].sub);
		for (unsigned int k = 0; k < 2; k++)
			check(ronbus_publish(actors[0].pub, 0, "", 0) >= 0, "publish");
		check(!ronbus_subscribe(bus, &opts, &actors[4].sub), "subscribe");
		schedule_start(&actors[1].co, run_chooser);
		schedule_start(&actors[4].co, run_sleeper);
		while (!all_done()) {
			look_at = accesses + 1000;
			check(schedule_play(ACCESSES_MOST) >= 0, "nobody gets on");
		}
		close_bus(1);
	}
}

/* ---- what one can make another pay ------------------------------------------------------- */

#define CROWD 60U

static struct ronbus_sub *crowd[CROWD];
static unsigned int paid;

/* The second publishes for all that sleep, while messages for others lie before them. */
static void run_paying(struct coroutine *co)
{
	struct actor *me = (struct actor *)co;
	unsigned int before = accesses;
	__u64 payload = 0;

	check(ronbus_publish(me->pub, WANTED, &payload, sizeof(payload)) > 0,
	      "an error of a publisher");
	paid = accesses - before;
}

static unsigned int price_of(unsigned int count)
{
	struct ronbus_sub_options opts = { .topics = 1 << WANTED };
	__u64 payload = 0;

	begin("price", RONBUS_F_COALESCE, (int)count);
	options.capacity = 4096;
	stickiness = ~0U; /* nobody else is there */
	open_bus(1);
	for (unsigned int i = 0; i < count; i++) {
		check(!ronbus_subscribe(bus, &opts, &crowd[i]), "subscribe");
		check(!ronbus_sub_set_coalesce(crowd[i], 2, RONBUS_COALESCE_DELAY_MAX), "coalesce");
		check(!ronbus_arm(crowd[i]), "arm");
	}
	for (unsigned int i = 0; i < 1000; i++)
		check(ronbus_publish(actors[0].pub, 0, &payload, sizeof(payload)) == 1, "publish");
	schedule_start(&actors[0].co, run_paying);
	players_count = 1;
	players[0] = &actors[0].co;
	check(!schedule_play(ACCESSES_MOST), "nobody gets on");
	return paid;
}

static void run_crowd_closer(struct coroutine *co)
{
	(void)co;
	for (unsigned int i = 0; i < CROWD; i++) {
		ronbus_sub_close(crowd[i]);
		crowd[i] = NULL;
	}
	ronbus_sub_close(actors[4].sub);
	ronbus_sub_close(actors[5].sub);
}

static void test_price(void **state)
{
	static const unsigned int counts[] = { 0, 1, CROWD };

	(void)state;
	for (unsigned int i = 0; SCHEDULES && i < ARRAY_SIZE(counts); i++) {
		unsigned int price = price_of(counts[i]);

		print_message("# publishing for %u sleepers: %u accesses\n", counts[i], price);
		/* 64 looks for all of them, and what waking each takes. */
		check(price <= 64 * 8 + 64 * (counts[i] + 2), "too dear");
		players_count = look_at = 0;
		schedule_start(&actors[4].co, run_crowd_closer);
		for (unsigned int k = 0; k < threads_count; k++)
			players[players_count++] = &threads[k].co;
		check(!schedule_play(2 * ACCESSES_MOST), "nobody gets on at the end");
		ronbus_pub_close(actors[0].pub);
		ronbus_close(bus);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sleepers), cmocka_unit_test(test_coalescing),
		cmocka_unit_test(test_cancel),	 cmocka_unit_test(test_topics),
		cmocka_unit_test(test_price),
	};

	if (!SCHEDULES)
		print_message("# ThreadSanitizer does not know coroutines: nothing is done\n");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
