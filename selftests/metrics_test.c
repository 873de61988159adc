// SPDX-License-Identifier: GPL-2.0
/*
 * Counters that threads keep and flush (RONBUS_F_METRICS_BUF), as the kernel sees them: killed
 * processes are short by no more than was kept back, and whoever ends in any other way is exact.
 *
 * The truth is in the ring. It is larger than all that a child publishes, so a position is a
 * message, or a slot that the kernel took back.
 */
#include <pthread.h>

#include "libronbus.h"
#include "ronbus_kselftest.h"

#define SLOTS 65536U
#define THREADS 3
#define BATCH_MOST 8
#define THRESHOLD_VARIABLE "RON_TLS_FLUSH_THRESHOLD"

FIXTURE(metrics)
{
	struct ronbus *bus;
	struct subscriber reader;
	u64 seed;
};

static int make_bus(u64 features, struct ronbus **bus)
{
	const struct ronbus_options opts = {
		.features = RONBUS_F_EDGE_NOTIFY | RONBUS_F_BATCH | features,
		.flags = RONBUS_BUS_PERSISTENT,
		.capacity = SLOTS,
	};

	return ronbus_create(NULL, &opts, bus);
}

static struct ronbus *own_handle(const struct ronbus *bus)
{
	struct ronbus *own;

	return ronbus_adopt(dup(ronbus_bus_fd(bus)), &own) ? NULL : own;
}

/* A message may be given up where others publish at full speed: then again. */
static bool publish_some(struct ronbus_pub *pub, unsigned int count)
{
	static const char data[RONBUS_PAYLOAD_DEFAULT];
	struct iovec vec[BATCH_MOST];
	unsigned int i;
	int ret;

	for (i = 0; i < count; i++)
		vec[i] = (struct iovec){ (void *)data, sizeof(data) };
	while (count) {
		ret = count > 1 ? ronbus_publish_many(pub, 0, vec, count)
				: ronbus_publish(pub, 0, data, sizeof(data));
		if (ret < 0 && ret != -EAGAIN)
			return false;
		count -= ret > 0 ? (unsigned int)ret : 0;
	}
	return true;
}

static bool publish_times(struct ronbus_pub *pub, unsigned int times)
{
	while (times && publish_some(pub, 1))
		times--;
	return !times;
}

static u64 published(struct ronbus *bus)
{
	struct ronbus_stats stats;

	return ronbus_stats(bus, RONBUS_STATS_BUS, &stats) ? ~0ULL : stats.counters.published_total;
}

/* ---- killed ----------------------------------------------------------------------------- */

#define KILLS 15
/* Of each thread, before it rests. Together less than a lap. */
#define MESSAGES (SLOTS / THREADS - BATCH_MOST)

struct worker {
	struct ronbus_pub *pub;
	unsigned int batch;
	pthread_t thread;
};

FIXTURE_VARIANT(metrics)
{
	u64 features;
	const char *threshold;
	unsigned int pub_flags;
	unsigned int threads;
	unsigned int batch;
	bool shared; /* one handle for all threads */
	u64 bound; /* messages that a thread may be short by */
};

#define METRICS RONBUS_F_METRICS_BUF

/* Without the feature: the message on its way. With it: what is below the threshold, and that. */
FIXTURE_VARIANT_ADD(metrics, off){ 0, NULL, 0, THREADS, 1, false, 1 };
FIXTURE_VARIANT_ADD(metrics, off_shared){ 0, NULL, 0, THREADS, 1, true, 1 };
FIXTURE_VARIANT_ADD(metrics, off_single){ 0, NULL, RONBUS_PUB_SINGLE, 1, 1, false, 1 };
FIXTURE_VARIANT_ADD(metrics, on_1){ METRICS, "1", 0, THREADS, 1, false, 1 };
FIXTURE_VARIANT_ADD(metrics, on_64){ METRICS, NULL, 0, THREADS, 1, false, 64 };
FIXTURE_VARIANT_ADD(metrics, on_64_shared){ METRICS, NULL, 0, THREADS, 1, true, 64 };
FIXTURE_VARIANT_ADD(metrics, on_1000){ METRICS, "1000", 0, THREADS, 1, false, 1000 };
FIXTURE_VARIANT_ADD(metrics, on_64_batch){ METRICS, NULL, 0, THREADS, 7, true, 64 - 1 + 7 };

FIXTURE_SETUP(metrics)
{
	close(OPEN_CONTROL());
	self->seed = random_seed();
	unsetenv(THRESHOLD_VARIABLE);
	if (variant->threshold)
		setenv(THRESHOLD_VARIABLE, variant->threshold, 1);
	ASSERT_EQ(0, make_bus(variant->features, &self->bus));
	ASSERT_EQ(0,
		  subscriber_join(&self->reader, ronbus_bus_fd(self->bus), RONBUS_START_LATEST, 0));
}

FIXTURE_TEARDOWN(metrics)
{
	if (_metadata->exit_code == KSFT_FAIL)
		TH_LOG("to repeat it: RONBUS_SEED=%llu", (unsigned long long)self->seed);
	subscriber_leave(&self->reader);
	ronbus_close(self->bus);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	u64 sent;

	for (sent = 0; sent < MESSAGES; sent += w->batch)
		if (!publish_some(w->pub, w->batch))
			_exit(1);
	for (;;)
		pause();
}

/* Publishes at full speed until it is killed. */
static void victim(struct ronbus *bus, const FIXTURE_VARIANT(metrics) * variant)
{
	struct worker workers[THREADS];
	struct ronbus_pub *pub = NULL;
	unsigned int i;

	bus = own_handle(bus);
	for (i = 0; bus && i < variant->threads; i++) {
		if (!pub || !variant->shared)
			if (ronbus_publisher(bus, variant->pub_flags, &pub))
				_exit(1);
		workers[i].pub = pub;
		workers[i].batch = variant->batch;
		if (pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]))
			_exit(1);
	}
	for (;;)
		pause();
}

/* Returns by how much a killed process was short, or -1: more was counted than was published. */
static long kill_one(struct __test_metadata *_metadata, FIXTURE_DATA(metrics) * self,
		     const FIXTURE_VARIANT(metrics) * variant, u64 until)
{
	struct subscriber *reader = &self->reader;
	struct ronbus_stats before, after;
	u64 truth, repaired, counted, start = reader->m.self->cursor;
	struct message msg;
	pid_t pid;

	ASSERT_EQ(0, ronbus_stats(self->bus, RONBUS_STATS_BUS, &before));
	pid = fork();
	if (!pid)
		victim(self->bus, variant);
	EXPECT_TRUE(spin_until(ronbus_ring_hint(&reader->m.ring) >= start + until));
	kill(pid, SIGKILL);
	EXPECT_EQ(-SIGKILL, child_status(pid));
	ASSERT_EQ(0, ronbus_stats(self->bus, RONBUS_STATS_BUS, &after));

	repaired = after.counters.repairs_total - before.counters.repairs_total;
	truth = after.tail - start - repaired;
	counted = after.counters.published_total - before.counters.published_total;
	EXPECT_EQ(after.counters.addressed_total, after.counters.published_total);

	/* So says the ring. */
	while (subscriber_read(reader, &msg) == 1)
		;
	EXPECT_EQ(after.tail, subscriber_cursor(reader));
	EXPECT_EQ(0, reader->m.self->lost);
	EXPECT_EQ(after.counters.repairs_total, reader->m.self->holes);
	EXPECT_EQ(truth, reader->m.self->delivered - before.counters.delivered_total);
	EXPECT_GE(truth, counted)
	TH_LOG("%llu counted, %llu published", (unsigned long long)counted,
	       (unsigned long long)truth);
	return (long)(truth - counted);
}

TEST_F(metrics, killed)
{
	u64 bound = variant->threads * variant->bound, random = self->seed;
	long shortest = -1, most = 0, sum = 0, missing;
	u64 all = variant->threads * (u64)MESSAGES;
	int i;

	for (i = 0; i < KILLS; i++) {
		random = random_next(random);
		missing = kill_one(_metadata, self, variant, (random >> 33) % all);
		ASSERT_LE(0, missing);
		ASSERT_GE(bound, (u64)missing);
		if (shortest < 0 || missing < shortest)
			shortest = missing;
		if (missing > most)
			most = missing;
		sum += missing;
	}
	TH_LOG("%d kills of %u threads: short by %ld to %ld messages, of %llu allowed", KILLS,
	       variant->threads, shortest, most, (unsigned long long)bound);
	/* Something was kept back indeed, or this would show nothing. */
	if (bound > variant->threads) {
		EXPECT_LT(0, sum);
	}
}

/* ---- ended otherwise -------------------------------------------------------------------- */

enum ending {
	BY_EXIT,
	BY_THREAD_EXIT,
	BY_CLOSE,
	BY_CLOSE_OF_ANOTHER,
	BY_UNDERSCORE_EXIT,
};

FIXTURE(ends)
{
	struct ronbus *bus;
	struct subscriber reader;
};

FIXTURE_VARIANT(ends)
{
	enum ending ending;
	u64 kept; /* messages that may be missing */
};

FIXTURE_VARIANT_ADD(ends, by_exit){ BY_EXIT, 0 };
FIXTURE_VARIANT_ADD(ends, by_thread_exit){ BY_THREAD_EXIT, 0 };
FIXTURE_VARIANT_ADD(ends, by_close){ BY_CLOSE, 0 };
FIXTURE_VARIANT_ADD(ends, by_close_of_another){ BY_CLOSE_OF_ANOTHER, 0 };
FIXTURE_VARIANT_ADD(ends, by_underscore_exit){ BY_UNDERSCORE_EXIT, (THREADS + 1) * 63 };

FIXTURE_SETUP(ends)
{
	close(OPEN_CONTROL());
	unsetenv(THRESHOLD_VARIABLE);
	ASSERT_EQ(0, make_bus(METRICS, &self->bus));
	ASSERT_EQ(0,
		  subscriber_join(&self->reader, ronbus_bus_fd(self->bus), RONBUS_START_LATEST, 0));
}

FIXTURE_TEARDOWN(ends)
{
	subscriber_leave(&self->reader);
	ronbus_close(self->bus);
}

struct counter {
	struct ronbus_pub *pub;
	unsigned int messages;
	pthread_barrier_t *counted; /* then it stays; NULL: it exits */
	pthread_t thread;
};

static void *counter_main(void *arg)
{
	struct counter *c = arg;

	if (!publish_times(c->pub, c->messages))
		_exit(1);
	if (!c->counted)
		return NULL;
	pthread_barrier_wait(c->counted);
	for (;;)
		pause();
}

#define COUNT(thread) (70U + (thread)) /* a flush, and some kept back */
#define COUNT_ALL (COUNT(0) + COUNT(1) + COUNT(2) + 30U)

/* Some threads count, and the main one too; then this is the end. */
static void end_by(struct ronbus *bus, enum ending ending)
{
	struct counter counters[THREADS];
	pthread_barrier_t counted;
	struct ronbus_pub *pub;
	unsigned int i;

	bus = own_handle(bus);
	if (!bus || ronbus_publisher(bus, 0, &pub) ||
	    pthread_barrier_init(&counted, NULL, THREADS + 1))
		_exit(1);
	for (i = 0; i < THREADS; i++) {
		counters[i] = (struct counter){
			.pub = pub,
			.messages = COUNT(i),
			.counted = ending == BY_THREAD_EXIT ? NULL : &counted,
		};
		pthread_create(&counters[i].thread, NULL, counter_main, &counters[i]);
	}
	if (!publish_times(pub, 30))
		_exit(1);
	if (ending == BY_THREAD_EXIT)
		pthread_exit(NULL);
	pthread_barrier_wait(&counted);
	if (ending == BY_CLOSE || ending == BY_CLOSE_OF_ANOTHER)
		ronbus_pub_close(pub);
	if (ending == BY_EXIT || ending == BY_CLOSE)
		exit(0);
	_exit(0);
}

TEST_F(ends, exactly)
{
	u64 counted;
	pid_t pid;

	pid = fork();
	if (!pid)
		end_by(self->bus, variant->ending);
	EXPECT_EQ(0, child_status(pid));
	EXPECT_EQ(COUNT_ALL, ronbus_ring_hint(&self->reader.m.ring) - SLOTS);
	counted = published(self->bus);
	EXPECT_GE(COUNT_ALL, counted);
	EXPECT_LE(COUNT_ALL, counted + variant->kept);
	if (variant->kept) {
		EXPECT_GT(COUNT_ALL, counted);
	}
}

/* ---- fork, and waiting ------------------------------------------------------------------ */

FIXTURE(buffered)
{
	struct ronbus *bus, *quiet;
	struct subscriber reader;
};

FIXTURE_SETUP(buffered)
{
	close(OPEN_CONTROL());
	setenv(THRESHOLD_VARIABLE, "1000000", 1);
	ASSERT_EQ(0, make_bus(METRICS, &self->bus));
	ASSERT_EQ(0, make_bus(0, &self->quiet));
	ASSERT_EQ(0,
		  subscriber_join(&self->reader, ronbus_bus_fd(self->bus), RONBUS_START_LATEST, 0));
}

FIXTURE_TEARDOWN(buffered)
{
	subscriber_leave(&self->reader);
	ronbus_close(self->quiet);
	ronbus_close(self->bus);
}

/* A child has counted nothing of what its parent has, whichever way it ends. */
TEST_F(buffered, fork)
{
	struct ronbus_pub *pub;
	pid_t pid;
	int i;

	ASSERT_EQ(0, ronbus_publisher(self->bus, 0, &pub));
	for (i = 1; i <= 4; i++) {
		ASSERT_TRUE(publish_times(pub, 10));
		pid = fork();
		if (!pid) {
			struct ronbus *own = own_handle(self->bus);
			struct ronbus_pub *mine;

			ronbus_pub_close(pub);
			if (!own || ronbus_publisher(own, 0, &mine) || !publish_times(mine, 3))
				_exit(1);
			if (i & 1)
				exit(0);
			ronbus_pub_close(mine);
			_exit(0);
		}
		EXPECT_EQ(0, child_status(pid));
		EXPECT_EQ(13 * (u64)i, published(self->bus));
	}
	ASSERT_TRUE(publish_times(pub, 5));
	ronbus_pub_close(pub);
	EXPECT_EQ(4 * 13 + 5, published(self->bus));
}

/* The same with threads that publish meanwhile. */
TEST_F(buffered, fork_among_threads)
{
	struct counter counters[THREADS];
	struct ronbus_pub *pub;
	unsigned int i;
	pid_t pid;

	ASSERT_EQ(0, ronbus_publisher(self->bus, 0, &pub));
	for (i = 0; i < THREADS; i++) {
		counters[i] = (struct counter){ .pub = pub, .messages = 15000 };
		ASSERT_EQ(0, pthread_create(&counters[i].thread, NULL, counter_main, &counters[i]));
	}
	for (i = 0; i < 15; i++) {
		pid = fork();
		if (!pid)
			exit(0);
		EXPECT_EQ(0, child_status(pid));
	}
	for (i = 0; i < THREADS; i++) {
		EXPECT_EQ(0, pthread_join(counters[i].thread, NULL));
	}
	/* All of it when they have gone, and the same when the handle is closed. */
	EXPECT_EQ(THREADS * 15000, published(self->bus));
	ronbus_pub_close(pub);
	EXPECT_EQ(THREADS * 15000, published(self->bus));
}

static int ignore(void *arg, int what, const struct ronbus_msg *msg)
{
	(void)arg;
	(void)what;
	(void)msg;
	return 0;
}

/* Publish a little, and sleep for good on another bus. */
static void publish_and_sleep(struct ronbus *bus, struct ronbus *quiet, int way)
{
	struct ronbus_pub *pub;
	struct ronbus_sub *sub;
	struct ronbus_msg msg;
	char buf[RONBUS_PAYLOAD_DEFAULT];

	bus = own_handle(bus);
	quiet = own_handle(quiet);
	if (!bus || !quiet || ronbus_publisher(bus, 0, &pub) || ronbus_subscribe(quiet, NULL, &sub))
		_exit(1);
	if (!publish_times(pub, 5))
		_exit(1);
	switch (way) {
	case 0:
		ronbus_wait(sub, -1);
		break;
	case 1:
		ronbus_recv(sub, buf, sizeof(buf), &msg, -1);
		break;
	default:
		ronbus_drain(sub, ignore, NULL, 1, -1);
		break;
	}
	_exit(0);
}

TEST_F(buffered, while_it_waits)
{
	struct ronbus_stats stats;
	pid_t pid;
	int way;

	for (way = 0; way < 3; way++) {
		pid = fork();
		if (!pid)
			publish_and_sleep(self->bus, self->quiet, way);
		EXPECT_TRUE(wait_until(published(self->bus) == 5 * ((u64)way + 1)));
		/* It went on sleeping: flushed is not woken. */
		EXPECT_TRUE(wait_until(!ronbus_stats(self->quiet, RONBUS_STATS_BUS, &stats) &&
				       stats.armed));
		kill(pid, SIGKILL);
		EXPECT_EQ(-SIGKILL, child_status(pid));
	}
	EXPECT_EQ(15, published(self->bus));
}

TEST_HARNESS_MAIN
