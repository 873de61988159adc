// SPDX-License-Identifier: GPL-2.0
/*
 * Coming and going: subscribers that join, wait, read a little and leave, publishers that do the
 * same, under a storm of notifications. Nobody sleeps on a message; every message is accounted for;
 * and when all have left, memory and fds are what they were.
 *
 * RONBUS_SECONDS makes it run so long ('make soak'); RONBUS_SEED repeats its decisions.
 */
#include <malloc.h>
#include <pthread.h>
#include <dirent.h>
#include <sys/uio.h>

#include "libronbus.h"
#include "ronbus_kselftest.h"

#define SLOTS 64U
#define GUESTS 4 /* subscribers that come and go */
#define PUBLISHERS 3
#define THREADS (GUESTS + PUBLISHERS + 2)
#define BATCH_MOST 16
#define ROUNDS 5
#define WARM 1 /* the last round that may leave something: the process has done it all then */

/**
 * struct ledger - what a thread did
 * @seed: its chance
 * @number: which one it is
 * @turns: times it joined
 * @accepted: messages that it published
 * @dropped: messages that it was told were dropped
 * @delivered: messages it had
 * @lost: positions it was told it lost
 * @lags: times it was told so
 * @passed: positions it passed
 * @notifies: notifications it sent
 * @wrong: what went wrong
 */
struct ledger {
	u64 seed;
	u32 number;
	u64 turns, accepted, dropped, delivered, lost, lags, passed, notifies;
	const char *wrong;
};

struct note {
	u64 writer;
	u64 seq;
	u64 check;
};

/* What there is at rest. */
struct rest {
	long fds, areas, references;
	size_t heap;
};

static struct ronbus *bus;
static u32 stop_guests, stop_publishers;

static bool told(u32 *flag)
{
	return __atomic_load_n(flag, __ATOMIC_RELAXED);
}

static void note_fill(struct note *note, const struct ledger *me, u64 seq)
{
	note->writer = me->number;
	note->seq = seq;
	note->check = random_next(note->writer << 48 ^ seq);
}

/* ---- threads ---------------------------------------------------------------------------- */

static void publish_some(struct ronbus_pub *pub, struct ledger *me)
{
	struct note notes[BATCH_MOST];
	struct iovec vec[BATCH_MOST];
	unsigned int count, i;
	int ret;

	me->seed = random_next(me->seed);
	count = 1 + (me->seed >> 40) % BATCH_MOST;
	for (i = 0; i < count; i++) {
		note_fill(&notes[i], me, me->accepted + me->dropped + i);
		vec[i] = (struct iovec){ &notes[i], sizeof(notes[i]) };
	}
	if (me->seed >> 60)
		count = 1;
	ret = count == 1 ? ronbus_publish(pub, me->number, &notes[0], sizeof(notes[0]))
			 : ronbus_publish_many(pub, me->number, vec, count);
	if (ret < 0 && ret != -EAGAIN)
		me->wrong = "publishing failed";
	if (ret >= 0) /* one message: for how many; several: how many */
		me->accepted += count == 1 ? 1 : (unsigned int)ret;
	me->dropped += ret < 0 || (count > 1 && (unsigned int)ret < count);
}

static void *publisher_main(void *arg)
{
	struct ledger *me = arg;
	struct ronbus_pub *pub;

	while (!told(&stop_publishers) && !me->wrong) {
		u64 most;

		if (ronbus_publisher(bus, me->number % 3 == 2 ? RONBUS_PUB_SYSCALL : 0, &pub)) {
			me->wrong = "a publisher cannot join";
			break;
		}
		me->turns++;
		me->seed = random_next(me->seed);
		for (most = (me->seed >> 40) % 200; most && !told(&stop_publishers); most--) {
			publish_some(pub, me);
			if (me->seed >> 33 & 1)
				usleep(me->seed >> 54);
		}
		ronbus_pub_close(pub);
	}
	return NULL;
}

/* Until it has had @most messages; false if it need not go on. */
static bool receive(struct ronbus_sub *sub, struct ledger *me, u64 most)
{
	struct ronbus_stats stats;
	struct ronbus_msg msg;
	struct note note;

	while (most) {
		int ret = ronbus_recv(sub, &note, sizeof(note), &msg, (int64_t)WATCHDOG);

		if (ret == RONBUS_LAGGED) {
			me->lost += msg.lost;
			me->lags++;
		} else if (ret == RONBUS_MESSAGE) {
			me->delivered++;
			most--;
			if (msg.len != sizeof(note) ||
			    note.check != random_next(note.writer << 48 ^ note.seq) ||
			    note.writer != msg.topic)
				me->wrong = "a message is not whole";
		} else if (ret == RONBUS_CLOSED) {
			return false;
		} else if (ret == -ETIMEDOUT) {
			if (ronbus_stats(bus, RONBUS_STATS_BUS, &stats) ||
			    stats.tail > ronbus_sub_position(sub))
				me->wrong = "a wake-up was lost";
			else
				me->wrong = "nobody publishes any more";
		} else {
			me->wrong = "receiving failed";
		}
		if (me->wrong)
			return false;
	}
	return true;
}

static void *guest_main(void *arg)
{
	struct ledger *me = arg;
	struct ronbus_sub *sub;
	u64 start;

	while (!told(&stop_guests) && !me->wrong) {
		if (ronbus_subscribe(bus, NULL, &sub)) {
			me->wrong = "a subscriber cannot join";
			break;
		}
		me->turns++;
		start = ronbus_sub_position(sub);
		me->seed = random_next(me->seed);
		receive(sub, me, (me->seed >> 40) % 4);
		me->passed += ronbus_sub_position(sub) - start;
		ronbus_sub_close(sub);
	}
	return NULL;
}

/* One that stays for the round, so that whatever is published is for somebody. */
static void *resident_main(void *arg)
{
	struct ledger *me = arg;
	struct ronbus_sub *sub;
	u64 start;

	if (ronbus_subscribe(bus, NULL, &sub)) {
		me->wrong = "the resident cannot join";
		return NULL;
	}
	__atomic_store_n(&me->turns, 1, __ATOMIC_SEQ_CST);
	start = ronbus_sub_position(sub);
	while (!told(&stop_guests) && receive(sub, me, 64))
		;
	me->passed = ronbus_sub_position(sub) - start;
	ronbus_sub_close(sub);
	return NULL;
}

static void *storm_main(void *arg)
{
	struct ledger *me = arg;
	int fd = fd_publisher(ronbus_bus_fd(bus), 0, NULL);

	while (!told(&stop_guests) && !me->wrong) {
		if (fd_notify(fd, ~0ULL, NULL))
			me->wrong = "NOTIFY failed";
		me->notifies++;
	}
	close(fd);
	return NULL;
}

/* ---- a round ---------------------------------------------------------------------------- */

static long count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	long n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

static void take_rest(struct rest *rest)
{
	memset(rest, 0, sizeof(*rest));
	rest->fds = count_fds();
	rest->areas = vmalloc_areas();
	rest->references = read_number("/sys/module/ronbus/refcnt");
	rest->heap = mallinfo2().uordblks;
}

/*
 * Threads of libc keep a little, sometimes, some 120 bytes each; what is lost with every turn is more
 * than that even where there are a hundred turns only.
 */
#define HEAP_SLACK 4096U

static bool rests_as(const struct rest *before, struct rest *now)
{
	take_rest(now);
	return now->fds == before->fds && now->areas == before->areas &&
	       now->references == before->references && now->heap <= before->heap + HEAP_SLACK;
}

static const char *run_round(struct ledger *ledgers, u64 until)
{
	static void *(*const mains[THREADS])(void *) = {
		resident_main, storm_main, publisher_main, publisher_main, publisher_main,
		guest_main,    guest_main, guest_main,	   guest_main,
	};
	const char *wrong = NULL;
	pthread_t threads[THREADS];
	int i;

	stop_guests = stop_publishers = 0;
	for (i = 0; i < THREADS; i++) {
		if (pthread_create(&threads[i], NULL, mains[i], &ledgers[i]))
			return "no threads";
		if (!i && !wait_until(__atomic_load_n(&ledgers[0].turns, __ATOMIC_SEQ_CST) ||
				      ledgers[0].wrong))
			return "the resident does not come";
	}
	while (now_ns() < until && !wrong) {
		nap();
		for (i = 0; i < THREADS; i++)
			wrong = wrong ? wrong : ledgers[i].wrong;
	}
	/* Subscribers first: as long as they are there, there is something for them. */
	__atomic_store_n(&stop_guests, 1, __ATOMIC_RELAXED);
	for (i = 0; i < THREADS; i++) {
		if (mains[i] != publisher_main)
			pthread_join(threads[i], NULL);
	}
	__atomic_store_n(&stop_publishers, 1, __ATOMIC_RELAXED);
	for (i = 0; i < THREADS; i++) {
		if (mains[i] == publisher_main)
			pthread_join(threads[i], NULL);
		wrong = wrong ? wrong : ledgers[i].wrong;
	}
	return wrong;
}

FIXTURE(churn)
{
	u64 seed;
	long areas; /* of a bus without members */
};

FIXTURE_VARIANT(churn)
{
	u64 features;
};

FIXTURE_VARIANT_ADD(churn, edge){ RONBUS_F_EDGE_NOTIFY };
FIXTURE_VARIANT_ADD(churn, all){ RONBUS_F_EDGE_NOTIFY | RONBUS_F_BATCH | RONBUS_F_METRICS_BUF };
FIXTURE_VARIANT_ADD(churn, baseline){ 0 };

FIXTURE_SETUP(churn)
{
	const struct ronbus_options opts = {
		.features = variant->features,
		.flags = RONBUS_BUS_PERSISTENT,
		.capacity = SLOTS,
	};

	close(OPEN_CONTROL());
	/* One heap, whose size can be asked for. */
	ASSERT_EQ(1, mallopt(M_ARENA_MAX, 1));
	self->seed = random_seed();
	ASSERT_TRUE(wait_until(!vmalloc_areas()));
	ASSERT_EQ(0, ronbus_create(DEVICE, &opts, &bus));
	self->areas = vmalloc_areas();
}

FIXTURE_TEARDOWN(churn)
{
	ronbus_close(bus);
	if (_metadata->exit_code == KSFT_FAIL)
		TH_LOG("to repeat it: RONBUS_SEED=%llu", (unsigned long long)self->seed);
}

TEST_F_TIMEOUT(churn, everybody, 14400)
{
	u64 each = test_seconds(3) * SEC / ROUNDS;
	struct ledger ledgers[THREADS], sum = { 0 };
	struct ronbus_stats stats;
	const struct ronbus_counters *c = &stats.counters;
	struct rest rest = { 0 }, now;
	const char *wrong;
	int round, i;

	for (round = 0; round < ROUNDS; round++) {
		memset(ledgers, 0, sizeof(ledgers));
		for (i = 0; i < THREADS; i++) {
			ledgers[i].seed = random_next(self->seed + (u64)(round * THREADS + i));
			ledgers[i].number = (u32)i;
		}
		wrong = run_round(ledgers, now_ns() + each);
		ASSERT_EQ(NULL, wrong) TH_LOG("%s", wrong);
		for (i = 0; i < THREADS; i++) {
			sum.turns += ledgers[i].turns;
			sum.accepted += ledgers[i].accepted;
			sum.dropped += ledgers[i].dropped;
			sum.delivered += ledgers[i].delivered;
			sum.lost += ledgers[i].lost;
			sum.lags += ledgers[i].lags;
			sum.passed += ledgers[i].passed;
			sum.notifies += ledgers[i].notifies;
		}
		if (round == WARM) {
			usleep(100000);
			take_rest(&rest);
			rest.areas = self->areas;
		}
		EXPECT_TRUE(round < WARM || wait_until(rests_as(&rest, &now)))
		TH_LOG("round %d: fds %ld, then %ld; areas %ld, %ld; references %ld, %ld; "
		       "heap %zu, %zu",
		       round, rest.fds, now.fds, rest.areas, now.areas, rest.references,
		       now.references, rest.heap, now.heap);

		/* To the last message. */
		ASSERT_EQ(0, ronbus_stats(bus, RONBUS_STATS_BUS, &stats));
		EXPECT_EQ(0, stats.publishers);
		EXPECT_EQ(0, stats.subscribers);
		EXPECT_EQ(sum.accepted, c->published_total + c->no_receivers_total);
		EXPECT_EQ(sum.dropped, c->dropped_total);
		EXPECT_EQ(sum.delivered, c->delivered_total);
		EXPECT_EQ(sum.lost, c->overflow_dropped_total);
		EXPECT_EQ(sum.lags, c->receiver_lag_total);
		EXPECT_EQ(sum.passed, c->delivered_total + c->filtered_total + c->holes_total +
					      c->overflow_dropped_total);
		EXPECT_LE(sum.notifies, c->notify_calls_total);
		EXPECT_EQ(0, c->repairs_total);
	}
	TH_LOG("seed %llu: %llu turns, %llu published, %llu delivered, %llu lost, %llu dropped, "
	       "%llu notifications, 0 lost wake-ups",
	       (unsigned long long)self->seed, (unsigned long long)sum.turns,
	       (unsigned long long)sum.accepted, (unsigned long long)sum.delivered,
	       (unsigned long long)sum.lost, (unsigned long long)sum.dropped,
	       (unsigned long long)sum.notifies);
}

TEST_HARNESS_MAIN
