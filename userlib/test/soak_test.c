// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * soak_test.c - no wake-up is ever lost: publishers against subscribers that sleep
 *
 *	soak_test [--bus WHERE] [--publishes N] [--seconds S] [--publishers N] [--subscribers N]
 *		  [--capacity N] [--patience S] [--seed N]
 *
 * Publishers publish in bursts. After each burst nobody publishes before every subscriber has read
 * all of it, since a wake-up that is lost would be made up for by the next message; then the next
 * burst begins while the subscribers go to sleep, sooner or later by a few instructions. They sleep
 * edge-triggered, without limit, and in the documented order: receive until there is nothing, arm,
 * and only then epoll_wait(). A watchdog looks on. If nothing moves any more it shows what stands
 * where, and that is the end.
 *
 * At the end, and between, the accounts must balance: positions passed by a subscriber are messages
 * delivered, filtered or lost, and holes; what was addressed was either woken for or suppressed.
 *
 * One source for both transports. Prints TAP: a test for buses of many publishers, and one for
 * exclusive buses, with half of the publishes or of the time each.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <libronbus.h>

#ifndef SOAK_BUS
#define SOAK_BUS RONBUS_EMBEDDED
#endif
#define SECONDS_DEFAULT 2

#define PUBLISHERS_MOST 8U
#define SUBSCRIBERS_MOST 16U
#define BATCH_MOST 64U
#define BURST_MOST 1024U
#define NS_PER_S 1000000000ULL
#define LINE __attribute__((aligned(128)))

/* What a subscriber is doing, for the watchdog. */
enum place {
	RECEIVING,
	ARMING,
	ASLEEP,
	LEFT
};

static const char *const places[] = { "receiving", "arming", "asleep", "has left" };

struct message {
	__u64 writer;
	__u64 seq;
	__u64 check;
};

struct subscriber {
	pthread_t thread;
	struct ronbus_sub *sub;
	int epoll;
	unsigned int place LINE;
	__u64 sleeps;
	__u64 seed;
	__u64 delivered, lost, lags;
	__u64 last[PUBLISHERS_MOST]; /* sequence number by writer */
	const char *wrong;
};

struct publisher {
	pthread_t thread;
	struct ronbus_pub *pub;
	__u32 writer;
	__u64 seed LINE;
	__u64 accepted, dropped;
};

static struct {
	const char *where;
	__u64 publishes; /* 0: no limit */
	__u64 seconds; /* 0: no limit */
	__u32 publishers;
	__u32 subscribers;
	__u32 capacity;
	__u64 patience;
	__u64 seed;
} options = {
	.where = SOAK_BUS,
	.publishers = 2,
	.subscribers = 3,
	.capacity = RONBUS_CAPACITY_DEFAULT,
	.patience = 10,
};

static struct {
	struct ronbus *bus;
	bool exclusive;
	__u32 publishers;
	__u64 publishes;
	__u64 end;
	struct publisher pubs[PUBLISHERS_MOST];
	struct subscriber subs[SUBSCRIBERS_MOST];
	pthread_barrier_t barrier; /* of the publishers: two rounds of it for each burst of all */
	bool stop; /* between them */
	__u64 rounds LINE; /* times that all had read everything */
	__u64 published LINE;
} soak;

static __u64 now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (__u64)t.tv_sec * NS_PER_S + (__u64)t.tv_nsec;
}

static __u64 mix(__u64 x)
{
	x ^= x >> 31;
	x *= 0x9e3779b97f4a7c15ULL;
	x ^= x >> 29;
	x *= 0xbf58476d1ce4e5b9ULL;
	return x ^ x >> 32;
}

static __u64 chance(__u64 *seed)
{
	*seed += 0x9e3779b97f4a7c15ULL;
	return mix(*seed);
}

/* A few instructions, or a few thousand: as likely from each power of two to the next. */
static void think(__u64 *seed)
{
	unsigned int most = 1U << chance(seed) % 13;

	for (volatile unsigned int i = (unsigned int)chance(seed) & (most - 1); i; i--)
		;
}

/* ---- subscribers ---------------------------------------------------------------------- */

static void take(struct subscriber *me, const struct message *message, const struct ronbus_msg *msg)
{
	if (msg->len != sizeof(*message) || message->writer >= soak.publishers ||
	    message->check != mix(message->writer << 56 ^ message->seq))
		me->wrong = "a message is not whole";
	else if (message->seq <= me->last[message->writer])
		me->wrong = "a publisher's messages are out of order, or come twice";
	else
		me->last[message->writer] = message->seq;
	me->delivered++;
}

/* Receive until there is nothing: -EAGAIN, or 0 at the end of the bus. */
static int receive(struct subscriber *me)
{
	struct message message = { 0 };
	struct ronbus_msg msg;
	int ret;

	while ((ret = ronbus_try_recv(me->sub, &message, sizeof(message), &msg)) > 0) {
		if (ret == RONBUS_LAGGED) {
			me->lost += msg.lost;
			me->lags++;
		} else {
			take(me, &message, &msg);
		}
		if (chance(&me->seed) % 64 == 0)
			think(&me->seed);
	}
	return ret;
}

static void move_to(struct subscriber *me, enum place place)
{
	__atomic_store_n(&me->place, place, __ATOMIC_RELEASE);
}

/* Nothing there: go to sleep. Returns when there may be something. */
static void sleep_on_fd(struct subscriber *me)
{
	struct epoll_event event;

	move_to(me, ARMING);
	if (chance(&me->seed) & 1)
		think(&me->seed);
	if (!ronbus_arm(me->sub)) {
		move_to(me, ASLEEP);
		__atomic_fetch_add(&me->sleeps, 1, __ATOMIC_RELAXED);
		if (epoll_wait(me->epoll, &event, 1, -1) < 0 && errno != EINTR)
			me->wrong = "epoll_wait() failed";
	}
	move_to(me, RECEIVING);
	if (chance(&me->seed) % 2048 == 0)
		usleep(50);
}

static void *subscriber_main(void *arg)
{
	struct subscriber *me = arg;
	int ret;

	while ((ret = receive(me)) == -EAGAIN && !me->wrong)
		sleep_on_fd(me);
	if (ret && !me->wrong)
		me->wrong = "receiving failed";
	move_to(me, LEFT);
	return NULL;
}

/* ---- publishers ----------------------------------------------------------------------- */

static void fill(const struct publisher *me, struct message *message, __u64 seq)
{
	message->writer = me->writer;
	message->seq = seq;
	message->check = mix((__u64)me->writer << 56 ^ seq);
}

static void publish_batch(struct publisher *me, unsigned int count)
{
	struct message messages[BATCH_MOST];
	struct iovec vec[BATCH_MOST];
	int ret;

	for (unsigned int i = 0; i < count; i++) {
		fill(me, &messages[i], me->accepted + me->dropped + i + 1);
		vec[i] = (struct iovec){ &messages[i], sizeof(messages[i]) };
	}
	ret = ronbus_publish_many(me->pub, me->writer, vec, count);
	me->accepted += ret > 0 ? (unsigned int)ret : 0;
	me->dropped += ret < (int)count;
}

static void publish_one(struct publisher *me)
{
	struct message message;

	fill(me, &message, me->accepted + me->dropped + 1);
	if (ronbus_publish(me->pub, me->writer, &message, sizeof(message)) > 0)
		me->accepted++;
	else
		me->dropped++;
}

/* Most often a message or two, now and then more than the ring holds. */
static unsigned int burst_length(__u64 *seed)
{
	__u64 dice = chance(seed);

	switch (dice % 16) {
	case 0:
		return 1 + (unsigned int)(dice >> 16) % BURST_MOST;
	case 1 ... 5:
		return 1 + (unsigned int)(dice >> 16) % BATCH_MOST;
	}
	return 1 + (dice >> 16) % 3;
}

static void publish_burst(struct publisher *me)
{
	unsigned int count = burst_length(&me->seed), some;
	__u64 before = me->accepted;

	for (; count; count -= some) {
		think(&me->seed);
		some = 1 + (unsigned int)(chance(&me->seed) >> 16) % BATCH_MOST;
		if (some > count)
			some = count;
		if (chance(&me->seed) & 1) {
			publish_batch(me, some);
			continue;
		}
		for (unsigned int i = 0; i < some; i++)
			publish_one(me);
	}
	__atomic_fetch_add(&soak.published, me->accepted - before, __ATOMIC_RELAXED);
}

/* After everything that was published, with nobody publishing. */
static __u64 tail(void)
{
	const struct ronbus_ring *ring = &soak.subs[0].sub->ring;

	return ronbus_ring_tail(ring);
}

static bool all_have_read(__u64 position)
{
	for (__u32 i = 0; i < options.subscribers; i++)
		if (ronbus_sub_position(soak.subs[i].sub) < position)
			return false;
	return true;
}

static void wait_for_subscribers(void)
{
	unsigned int spins = 0;
	__u64 position = tail();

	while (!all_have_read(position))
		if (++spins > 64)
			sched_yield();
	__atomic_fetch_add(&soak.rounds, 1, __ATOMIC_RELAXED);
}

static bool enough(void)
{
	return now() >= soak.end ||
	       (soak.publishes &&
		__atomic_load_n(&soak.published, __ATOMIC_RELAXED) >= soak.publishes);
}

/* Alone: there is no other to make up for a wake-up that is lost. */
static void publish_alone(struct publisher *me)
{
	wait_for_subscribers();
	for (__u64 rounds = chance(&me->seed) % 64; rounds && !enough(); rounds--) {
		publish_burst(me);
		wait_for_subscribers();
	}
	soak.stop = enough();
}

static void *publisher_main(void *arg)
{
	struct publisher *me = arg;

	for (;;) {
		publish_burst(me);
		if (pthread_barrier_wait(&soak.barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
			publish_alone(me);
		pthread_barrier_wait(&soak.barrier);
		if (soak.stop)
			return NULL;
	}
}

/* ---- watchdog ------------------------------------------------------------------------- */

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("# ", stdout);
	vprintf(format, args);
	putchar('\n');
	va_end(args);
	fflush(stdout);
}

static void say_counter(void *arg, const struct ronbus_counter *counter)
{
	(void)arg;
	if (counter->value)
		say("  %s%s%s %llu", counter->name, counter->label ? " " : "",
		    counter->label ? counter->label : "", counter->value);
}

/* Where each one stands. Returns how many sleep with something to read. */
static unsigned int show(void)
{
	struct ronbus_stats stats;
	unsigned int forgotten = 0;

	if (ronbus_stats(soak.bus, RONBUS_STATS_BUS, &stats))
		return 0;
	say("after %llu rounds, past position %llu, armed %#llx, audience %#llx, seed %llu",
	    __atomic_load_n(&soak.rounds, __ATOMIC_RELAXED), stats.tail, stats.armed,
	    stats.subscribers, options.seed);
	for (__u32 i = 0; i < options.subscribers; i++) {
		const struct subscriber *s = &soak.subs[i];
		unsigned int place = __atomic_load_n(&s->place, __ATOMIC_ACQUIRE);
		__u64 position = ronbus_sub_position(s->sub);
		bool forgot = place == ASLEEP && position < stats.tail;

		say("subscriber %u, position %llu, %s, %sarmed, %llu sleeps%s", i, position,
		    places[place], stats.armed >> ronbus_sub_index(s->sub) & 1 ? "" : "not ",
		    __atomic_load_n(&s->sleeps, __ATOMIC_RELAXED),
		    forgot ? ": FORGOTTEN, there is something to read" : "");
		forgotten += forgot;
	}
	ronbus_counters_each(&stats, say_counter, NULL);
	return forgotten;
}

/* Grows as long as anybody gets on. */
static __u64 progress(void)
{
	__u64 sum = __atomic_load_n(&soak.rounds, __ATOMIC_RELAXED) +
		    __atomic_load_n(&soak.published, __ATOMIC_RELAXED);

	for (__u32 i = 0; i < options.subscribers; i++)
		sum += ronbus_sub_position(soak.subs[i].sub) +
		       (__atomic_load_n(&soak.subs[i].place, __ATOMIC_RELAXED) == LEFT);
	return sum;
}

/* Until @thread has ended; false if nothing moves any more. */
static bool watch(pthread_t thread)
{
	__u64 last = progress(), since = now();

	while (pthread_tryjoin_np(thread, NULL)) {
		__u64 at = progress();

		if (at != last) {
			last = at;
			since = now();
		} else if (now() - since > options.patience * NS_PER_S) {
			return false;
		}
		usleep(2000);
	}
	return true;
}

/* ---- a soak --------------------------------------------------------------------------- */

static void must(int ret, const char *what)
{
	if (ret >= 0)
		return;
	printf("Bail out! %s: %s\n", what, ronbus_why(options.where, ret));
	exit(1);
}

static void make_bus(void)
{
	const struct ronbus_options opts = {
		.features = RONBUS_F_EDGE_NOTIFY | RONBUS_F_BATCH | RONBUS_F_METRICS_BUF,
		.flags = soak.exclusive ? RONBUS_BUS_EXCLUSIVE : 0,
		.capacity = options.capacity,
	};

	must(ronbus_create(options.where, &opts, &soak.bus), "ronbus_create()");
}

static void start_subscriber(struct subscriber *s, __u32 i)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	int fd;

	*s = (struct subscriber){ .seed = mix(options.seed + 100 + i) };
	must(ronbus_subscribe(soak.bus, NULL, &s->sub), "ronbus_subscribe()");
	fd = ronbus_sub_fd(s->sub);
	must(fd, "ronbus_sub_fd()");
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	must(s->epoll < 0 || epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0, "epoll");
	must(-pthread_create(&s->thread, NULL, subscriber_main, s), "pthread_create()");
}

/* Every third publishes by system call. */
static void start_publisher(struct publisher *p, __u32 i)
{
	*p = (struct publisher){ .writer = i, .seed = mix(options.seed + 200 + i) };
	must(ronbus_publisher(soak.bus, i % 3 == 2 ? RONBUS_PUB_SYSCALL : 0, &p->pub),
	     "ronbus_publisher()");
	must(-pthread_create(&p->thread, NULL, publisher_main, p), "pthread_create()");
}

static const char *check_subscriber(const struct subscriber *s)
{
	struct ronbus_stats stats;
	const struct ronbus_counters *c = &stats.counters;

	if (s->wrong)
		return s->wrong;
	if (ronbus_stats(soak.bus, ronbus_sub_index(s->sub), &stats))
		return "no counters of a subscriber";
	if (stats.cursor - stats.start !=
	    c->delivered_total + c->filtered_total + c->holes_total + c->overflow_dropped_total)
		return "positions passed are not what was delivered, filtered, lost, and holes";
	if (stats.cursor != stats.tail)
		return "something was left unread";
	if (c->delivered_total != s->delivered || c->overflow_dropped_total != s->lost ||
	    c->receiver_lag_total != s->lags)
		return "a subscriber's counters are not what it was told";
	return NULL;
}

static const char *check_bus(const struct ronbus_stats *stats, __u64 sleeps)
{
	const struct ronbus_counters *c = &stats->counters;
	__u64 accepted = 0, dropped = 0, wakes = 0;

	for (__u32 i = 0; i < soak.publishers; i++) {
		accepted += soak.pubs[i].accepted;
		dropped += soak.pubs[i].dropped;
	}
	for (int i = 0; i < RONBUS_WAKE_CAUSES; i++)
		wakes += c->wakes_total[i];
	if (c->published_total != accepted || c->dropped_total != dropped)
		return "what was published is not what is counted";
	if (c->addressed_total != accepted * options.subscribers)
		return "not everything was addressed to everybody";
	if (c->notify_suppressed_total != c->addressed_total - c->notify_sends_total)
		return "what was addressed is neither woken for nor suppressed";
	if (c->notify_sends_total > c->waits_total || wakes < sleeps)
		return "more was woken than slept, or less";
	return NULL;
}

/* Everybody has left but the subscribers' handles. */
static const char *check(__u64 began)
{
	const char *wrong = NULL;
	struct ronbus_stats stats;
	const struct ronbus_counters *c = &stats.counters;
	__u64 sleeps = 0;

	if (ronbus_stats(soak.bus, RONBUS_STATS_BUS, &stats))
		return "no counters of the bus";
	for (__u32 i = 0; i < options.subscribers && !wrong; i++) {
		wrong = check_subscriber(&soak.subs[i]);
		sleeps += soak.subs[i].sleeps;
	}
	say("%llu published, %llu rounds, %llu sleeps, %llu wake-ups, %llu suppressed, "
	    "%llu notifications, %llu lost, %llu holes, %llu dropped, %llu.%llu s, "
	    "0 lost wake-ups, seed %llu",
	    c->published_total, soak.rounds, sleeps, c->notify_sends_total,
	    c->notify_suppressed_total, c->notify_calls_total, c->overflow_dropped_total,
	    c->holes_total, c->dropped_total, (now() - began) / NS_PER_S,
	    (now() - began) % NS_PER_S / (NS_PER_S / 10), options.seed);
	return wrong ? wrong : check_bus(&stats, sleeps);
}

static const char *run(bool exclusive)
{
	const char *wrong;
	__u64 began = now();
	__u32 i;

	memset(&soak, 0, sizeof(soak));
	soak.exclusive = exclusive;
	soak.publishers = exclusive ? 1 : options.publishers;
	soak.publishes = (options.publishes + 1) / 2;
	soak.end = options.seconds ? began + options.seconds * NS_PER_S / 2 : ~0ULL;
	make_bus();
	must(-pthread_barrier_init(&soak.barrier, NULL, soak.publishers), "pthread_barrier_init()");
	for (i = 0; i < options.subscribers; i++)
		start_subscriber(&soak.subs[i], i);
	for (i = 0; i < soak.publishers; i++)
		start_publisher(&soak.pubs[i], i);

	for (i = 0; i < soak.publishers; i++)
		if (!watch(soak.pubs[i].thread))
			return show() ? "a wake-up was lost" : "nothing moves any more";
	/* The end of the bus is the last wake-up. */
	for (i = 0; i < soak.publishers; i++)
		ronbus_pub_close(soak.pubs[i].pub);
	for (i = 0; i < options.subscribers; i++)
		if (!watch(soak.subs[i].thread))
			return show() ? "a wake-up was lost" : "the end was not told";
	wrong = check(began);
	pthread_barrier_destroy(&soak.barrier);
	for (i = 0; i < options.subscribers; i++) {
		close(soak.subs[i].epoll);
		ronbus_sub_close(soak.subs[i].sub);
	}
	ronbus_close(soak.bus);
	return wrong;
}

/* ---- options -------------------------------------------------------------------------- */

static __u64 number(const char *name, const char *text, __u64 least, __u64 most)
{
	char *end;
	__u64 value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || *end || *text < '0' || *text > '9' || value < least || value > most) {
		fprintf(stderr, "soak_test: --%s takes a number from %llu to %llu, not \"%s\"\n",
			name, least, most, text);
		exit(2);
	}
	return value;
}

static void parse(int argc, char **argv)
{
	static const struct option known[] = {
		{ "bus", required_argument, NULL, 'b' },
		{ "publishes", required_argument, NULL, 'n' },
		{ "seconds", required_argument, NULL, 's' },
		{ "publishers", required_argument, NULL, 'p' },
		{ "subscribers", required_argument, NULL, 'r' },
		{ "capacity", required_argument, NULL, 'c' },
		{ "patience", required_argument, NULL, 'w' },
		{ "seed", required_argument, NULL, 'x' },
		{ 0 },
	};
	const char *seed = getenv("RONBUS_SEED");
	int option, which;

	options.seed = seed ? number("seed", seed, 0, ~0ULL) : now();
	while ((option = getopt_long(argc, argv, "", known, &which)) >= 0) {
		const char *name = option == '?' ? "" : known[which].name;

		switch (option) {
		case 'b':
			options.where = optarg;
			break;
		case 'n':
			options.publishes = number(name, optarg, 1, ~0ULL >> 8);
			break;
		case 's':
			options.seconds = number(name, optarg, 1, 1ULL << 32);
			break;
		case 'p':
			options.publishers = (__u32)number(name, optarg, 1, PUBLISHERS_MOST);
			break;
		case 'r':
			options.subscribers = (__u32)number(name, optarg, 1, SUBSCRIBERS_MOST);
			break;
		case 'c':
			options.capacity = (__u32)number(name, optarg, 1, RONBUS_CAPACITY_MAX);
			break;
		case 'w':
			options.patience = number(name, optarg, 1, 1ULL << 32);
			break;
		case 'x':
			options.seed = number(name, optarg, 0, ~0ULL);
			break;
		default:
			exit(2);
		}
	}
	if (optind < argc) {
		fprintf(stderr, "soak_test: \"%s\": only options are understood\n", argv[optind]);
		exit(2);
	}
	if (!options.publishes && !options.seconds)
		options.seconds = SECONDS_DEFAULT;
}

int main(int argc, char **argv)
{
	static const char *const tests[] = { "many publishers", "an exclusive publisher" };
	struct ronbus_query query;
	int ret;

	parse(argc, argv);
	puts("TAP version 13");
	ret = ronbus_query(options.where, &query);
	if (ret == -ENOENT || ret == -ENXIO) {
		printf("1..0 # SKIP no %s: %s\n", options.where, ronbus_why(options.where, ret));
		return 0;
	}
	must(ret, "ronbus_query()");
	puts("1..2");
	for (int i = 0; i < 2; i++) {
		const char *wrong = run(i);

		if (wrong)
			say("%s", wrong);
		printf("%sok %d - soak: %s\n", wrong ? "not " : "", i + 1, tests[i]);
		fflush(stdout);
		/* Threads that are stuck go with the process. */
		if (wrong)
			_exit(1);
	}
	return 0;
}
