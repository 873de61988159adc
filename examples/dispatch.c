// SPDX-License-Identifier: MIT
/*
 * dispatch.c - sixteen workers in four subsystems, on sixteen subscriptions or on four
 *
 *	dispatch [WHERE]
 *
 * The same burst goes out twice. First every worker subscribes for itself. Then each subsystem
 * subscribes once and hands on: its first worker gets what concerns the first of four shards, and
 * so on. Prints what the bus saw each time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <pthread.h>
#include <libronbus.h>

#define SUBSYSTEMS 4U
#define SHARDS 4U
#define WORKERS (SUBSYSTEMS * SHARDS)
#define MESSAGES 48U /* fewer than the bus has slots */

static const char *where;

static void check(const char *what, int err)
{
	if (err >= 0)
		return;
	fprintf(stderr, "dispatch: %s: %s\n", what, ronbus_why(where, err));
	exit(1);
}

static __u64 shard_of(void *arg, const struct ronbus_msg *msg)
{
	(void)arg;
	return 1ULL << *(const __u64 *)msg->data % SHARDS;
}

/* ---- one subscription for each worker ------------------------------------------------- */

struct direct {
	struct ronbus_sub *sub;
	unsigned int shard;
	unsigned int mine;
	unsigned int thrown_away;
	pthread_t thread;
};

static int sort_out(void *arg, int what, const struct ronbus_msg *msg)
{
	struct direct *worker = arg;

	if (what == RONBUS_MESSAGE && shard_of(NULL, msg) == 1ULL << worker->shard)
		worker->mine++;
	else
		worker->thrown_away++;
	return 0;
}

static void *work_direct(void *arg)
{
	struct direct *worker = arg;

	while (ronbus_drain(worker->sub, sort_out, worker, 64, -1) != RONBUS_CLOSED)
		;
	return NULL;
}

/* ---- one subscription for each subsystem ---------------------------------------------- */

struct shared {
	struct ronbus_worker *worker;
	unsigned int mine;
	pthread_t thread;
};

static int take(void *arg, int what, const struct ronbus_msg *msg)
{
	struct shared *worker = arg;

	(void)msg;
	worker->mine += what == RONBUS_MESSAGE;
	return 0;
}

static void *work_shared(void *arg)
{
	struct shared *worker = arg;

	while (ronbus_worker_drain(worker->worker, take, worker, 64, -1) != RONBUS_CLOSED)
		;
	return NULL;
}

/* ---- the bus -------------------------------------------------------------------------- */

static struct ronbus *make_bus(void)
{
	struct ronbus_options opts = { .features = RONBUS_FEATURES_RECOMMENDED,
				       .subscribers = WORKERS };
	struct ronbus *bus;

	check("create", ronbus_create(where, &opts, &bus));
	return bus;
}

static void publish_all(struct ronbus *bus)
{
	struct ronbus_pub *pub;
	__u64 i;

	check("publisher", ronbus_publisher(bus, 0, &pub));
	for (i = 0; i < MESSAGES; i++)
		check("publish", ronbus_publish(pub, 0, &i, sizeof(i)));
	ronbus_pub_close(pub);
}

static void tell(struct ronbus *bus, const char *how, unsigned int got, unsigned int thrown_away)
{
	struct ronbus_stats stats = { 0 };

	check("stats", ronbus_stats(bus, RONBUS_STATS_BUS, &stats));
	printf("%s: %u messages for workers, %u thrown away; on the bus %d subscribers, %llu reads\n",
	       how, got, thrown_away, __builtin_popcountll(stats.subscribers),
	       stats.counters.delivered_total);
}

static void directly(void)
{
	struct direct workers[WORKERS] = { 0 };
	unsigned int i, got = 0, thrown_away = 0;
	struct ronbus *bus = make_bus();

	for (i = 0; i < WORKERS; i++) {
		workers[i].shard = i % SHARDS;
		check("subscribe", ronbus_subscribe(bus, NULL, &workers[i].sub));
		check("thread",
		      -pthread_create(&workers[i].thread, NULL, work_direct, &workers[i]));
	}
	publish_all(bus);
	for (i = 0; i < WORKERS; i++) {
		pthread_join(workers[i].thread, NULL);
		got += workers[i].mine;
		thrown_away += workers[i].thrown_away;
	}
	tell(bus, "each for itself", got, thrown_away);
	for (i = 0; i < WORKERS; i++)
		ronbus_sub_close(workers[i].sub);
	ronbus_close(bus);
}

static void handed_on(void)
{
	const struct ronbus_dispatch_options opts = { .workers = SHARDS, .route = shard_of };
	struct ronbus_dispatch *subsystems[SUBSYSTEMS];
	struct ronbus_sub *subs[SUBSYSTEMS];
	struct shared workers[WORKERS] = { 0 };
	struct ronbus *bus = make_bus();
	unsigned int i, got = 0;

	for (i = 0; i < SUBSYSTEMS; i++) {
		check("subscribe", ronbus_subscribe(bus, NULL, &subs[i]));
		check("dispatch", ronbus_dispatch_open(subs[i], &opts, &subsystems[i]));
	}
	for (i = 0; i < WORKERS; i++) {
		workers[i].worker = ronbus_dispatch_worker(subsystems[i / SHARDS], i % SHARDS);
		check("thread",
		      -pthread_create(&workers[i].thread, NULL, work_shared, &workers[i]));
	}
	for (i = 0; i < SUBSYSTEMS; i++)
		check("start", ronbus_dispatch_start(subsystems[i]));
	publish_all(
		bus); /* and so ends the bus, which ends the dispatches, and those the workers */
	for (i = 0; i < WORKERS; i++) {
		pthread_join(workers[i].thread, NULL);
		got += workers[i].mine;
	}
	tell(bus, "handed on", got, 0);
	for (i = 0; i < SUBSYSTEMS; i++) {
		ronbus_dispatch_close(subsystems[i]);
		ronbus_sub_close(subs[i]);
	}
	ronbus_close(bus);
}

int main(int argc, char **argv)
{
	where = argc > 1 ? argv[1] : RONBUS_EMBEDDED;
	directly();
	handed_on();
	return 0;
}
