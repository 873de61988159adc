// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * dispatch.c - one subscription, handed on to the workers of this process
 *
 * A worker's queue is an exclusive bus in this process: it has the one writer and the one reader
 * that such a queue wants, loses exactly what it says, and wakes as every bus does. What it has no
 * use for carries what a queue lacks: the set of subscribers is the message's position on the bus
 * it came from, the owner its publisher, and a topic that no message has marks word of a loss.
 */
#include "internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define WORKERS_MAX 64U
#define CAPACITY_DEFAULT 256U
#define BATCH_MAX 64U /* messages before workers are woken: they are not to wait for many */
#define TOPIC_LOST RONBUS_TOPICS_MAX

/**
 * struct ronbus_worker - a queue
 * @bus: the exclusive bus it is
 * @pub: its writing end; NULL once there will be no more
 * @sub: its reading end
 * @next: where the next message goes
 * @fresh: messages written that the worker has not been told of
 * @position: on the bus they come from, after the last message read
 * @buffer: where ronbus_worker_drain() puts messages
 */
struct ronbus_worker {
	struct ronbus *bus;
	struct ronbus_pub *pub;
	struct ronbus_sub *sub;
	__u64 next;
	unsigned int fresh;
	__u64 position;
	void *buffer;
};

#define NEVER (~0ULL)

/**
 * struct ronbus_dispatch - a subscription with workers
 * @sub: the subscription, the caller's
 * @route: which workers a message is for, or NULL
 * @arg: for @route
 * @batch: messages before workers are woken
 * @until: position to stop at: NEVER, or 0 for now
 * @thread: the thread that runs it, if @started, of this process
 * @pid: the process
 * @started: whether ronbus_dispatch_start() has been called, and @thread not been joined
 * @buffer: a message on its way
 * @count: how many workers
 * @workers: they
 */
struct ronbus_dispatch {
	struct ronbus_sub *sub;
	ronbus_route_fn route;
	void *arg;
	unsigned int batch;
	__u64 until;
	pthread_t thread;
	pid_t pid;
	bool started;
	void *buffer;
	unsigned int count;
	struct ronbus_worker workers[];
};

/* ---- handing on ----------------------------------------------------------------------- */

static void push(struct ronbus_worker *worker, const struct ronbus_msg *msg, __u32 topic,
		 const void *data, __u32 len)
{
	const struct ronbus_ring *ring = &worker->pub->ring;
	__u64 pos = worker->next++;

	ronbus_ring_begin(ring, pos, msg->publisher);
	ronbus_ring_write(ring, pos, msg->position, topic, data, len);
	if (ring->timed)
		ronbus_ring_stamp(ring, pos, msg->time);
	ronbus_ring_commit(ring, pos, msg->publisher);
	worker->fresh++;
}

/* The set of workers there are. */
static __u64 all_of(const struct ronbus_dispatch *dispatch)
{
	return ~0ULL >> (WORKERS_MAX - dispatch->count);
}

static void hand_on(struct ronbus_dispatch *dispatch, int what, const struct ronbus_msg *msg)
{
	__u64 set = all_of(dispatch);

	if (what == RONBUS_MESSAGE && dispatch->route)
		set &= dispatch->route(dispatch->arg, msg);
	for (; set; set &= set - 1) {
		struct ronbus_worker *worker = &dispatch->workers[__builtin_ctzll(set)];

		if (what == RONBUS_MESSAGE)
			push(worker, msg, msg->topic, msg->data, msg->len);
		else
			push(worker, msg, TOPIC_LOST, &msg->lost, sizeof(msg->lost));
	}
}

/* Workers that sleep, and have something to read now, are woken once. */
static void tell(struct ronbus_dispatch *dispatch)
{
	unsigned int i;

	RB_MB(); /* barrier D, with D' in ronbus_sub_arm() or ronbus_backlog_set_armed(): wake.pml */
	for (i = 0; i < dispatch->count; i++) {
		struct ronbus_worker *worker = &dispatch->workers[i];

		if (!worker->fresh)
			continue;
		__ronbus_published_many(worker->pub, 0, 1, worker->fresh, worker->next);
		worker->fresh = 0;
	}
}

static bool over(const struct ronbus_dispatch *dispatch)
{
	return ronbus_sub_position(dispatch->sub) >= RB_READ(&dispatch->until);
}

/* All there is, up to a batch: how many, or what ronbus_try_recv() returned for the first. */
static int hand_on_some(struct ronbus_dispatch *dispatch)
{
	struct ronbus_msg msg;
	unsigned int done;
	int ret = -EAGAIN;

	for (done = 0; done < dispatch->batch && !over(dispatch); done++) {
		ret = ronbus_try_recv(dispatch->sub, dispatch->buffer, dispatch->sub->ring.payload,
				      &msg);
		if (ret <= 0)
			break;
		hand_on(dispatch, ret, &msg);
	}
	if (done)
		tell(dispatch);
	return done ? (int)done : ret;
}

/* The workers read what they have, and then the end. */
static int finish(struct ronbus_dispatch *dispatch)
{
	unsigned int i;

	for (i = 0; i < dispatch->count; i++) {
		ronbus_pub_close(dispatch->workers[i].pub);
		dispatch->workers[i].pub = NULL;
	}
	return RONBUS_CLOSED;
}

int ronbus_dispatch_run(struct ronbus_dispatch *dispatch, int64_t timeout_ns)
{
	__u32 cancels = ronbus_cancels(dispatch->sub); /* and then what they are for */
	__u64 deadline = ronbus_deadline(timeout_ns);
	int ret;

	if (!dispatch->workers[0].pub)
		return RONBUS_CLOSED;
	do {
		ret = hand_on_some(dispatch);
		if (ret > 0)
			return ret;
		/* Nothing is left. A message that is still being written is not waited for. */
		if (ret == RONBUS_CLOSED || RB_READ(&dispatch->until) != NEVER)
			return finish(dispatch);
		if (ret != -EAGAIN || !timeout_ns)
			return ret;
		ret = ronbus_wait_until(dispatch->sub, deadline, cancels);
		if (!ret && ronbus_now() >= deadline)
			ret = -ETIMEDOUT;
	} while (!ret || RB_READ(&dispatch->until) != NEVER);
	return ret;
}

static void *run_thread(void *arg)
{
	while (ronbus_dispatch_run(arg, -1) != RONBUS_CLOSED)
		;
	return NULL;
}

int ronbus_dispatch_start(struct ronbus_dispatch *dispatch)
{
	int err;

	if (dispatch->started)
		return -EBUSY;
	err = pthread_create(&dispatch->thread, NULL, run_thread, dispatch);
	dispatch->started = !err;
	return -err;
}

static void stop_at(struct ronbus_dispatch *dispatch, __u64 until)
{
	RB_WRITE(&dispatch->until, until);
	ronbus_cancel(dispatch->sub);
	if (dispatch->started &&
	    dispatch->pid == getpid()) /* a child of fork() has no such thread */
		pthread_join(dispatch->thread, NULL);
	dispatch->started = false;
}

void ronbus_dispatch_stop(struct ronbus_dispatch *dispatch)
{
	stop_at(dispatch, 0);
}

void ronbus_dispatch_drain(struct ronbus_dispatch *dispatch)
{
	const struct ronbus_ring *ring = &dispatch->sub->ring;

	stop_at(dispatch, ronbus_ring_tail(ring));
}

/* ---- opening and closing -------------------------------------------------------------- */

static void close_worker(struct ronbus_worker *worker)
{
	ronbus_pub_close(worker->pub);
	ronbus_sub_close(worker->sub);
	ronbus_close(worker->bus);
	free(worker->buffer);
}

static int open_worker(struct ronbus_worker *worker, __u32 capacity, const struct ronbus_ring *of)
{
	const struct ronbus_options opts = {
		.features = RONBUS_F_EDGE_NOTIFY | RONBUS_F_BATCH | (of->timed ? RONBUS_F_TIME : 0),
		.flags = RONBUS_BUS_EXCLUSIVE,
		.capacity = capacity,
		.payload = of->payload,
	};
	int err;

	worker->buffer = ronbus_zalloc(of->payload);
	if (!worker->buffer)
		return -ENOMEM;
	err = ronbus_create(RONBUS_EMBEDDED, &opts, &worker->bus);
	if (!err)
		err = ronbus_subscribe(worker->bus, NULL, &worker->sub);
	if (!err)
		err = ronbus_publisher(worker->bus, 0, &worker->pub);
	if (!err)
		worker->next = worker->pub->pos;
	return err;
}

void ronbus_dispatch_close(struct ronbus_dispatch *dispatch)
{
	unsigned int i;

	if (!dispatch)
		return;
	if (dispatch->started)
		ronbus_dispatch_stop(dispatch);
	for (i = 0; i < dispatch->count; i++)
		close_worker(&dispatch->workers[i]);
	free(dispatch->buffer);
	free(dispatch);
}

static int check_options(const struct ronbus_dispatch_options *opts)
{
	size_t i;

	for (i = 0; i < sizeof(opts->reserved) / sizeof(opts->reserved[0]); i++)
		if (opts->reserved[i])
			return -EINVAL;
	return opts->workers && opts->workers <= WORKERS_MAX ? 0 : -EINVAL;
}

int ronbus_dispatch_open(struct ronbus_sub *sub, const struct ronbus_dispatch_options *opts,
			 struct ronbus_dispatch **ret)
{
	__u32 capacity = opts->capacity ? opts->capacity : CAPACITY_DEFAULT;
	struct ronbus_dispatch *dispatch;
	int err;

	err = check_options(opts);
	if (err)
		return err;
	dispatch = ronbus_zalloc(sizeof(*dispatch) + opts->workers * sizeof(dispatch->workers[0]));
	if (!dispatch)
		return -ENOMEM;
	dispatch->sub = sub;
	dispatch->pid = getpid();
	dispatch->route = opts->route;
	dispatch->arg = opts->arg;
	dispatch->until = NEVER;
	/* A worker that reads all it has when it is woken loses nothing. */
	dispatch->batch = capacity / 2 < BATCH_MAX ? capacity / 2 : BATCH_MAX;
	err = -ENOMEM;
	dispatch->buffer = ronbus_zalloc(sub->ring.payload);
	if (!dispatch->buffer)
		goto close;
	while (dispatch->count < opts->workers) {
		err = open_worker(&dispatch->workers[dispatch->count++], capacity, &sub->ring);
		if (err)
			goto close;
	}
	*ret = dispatch;
	return 0;

close:
	ronbus_dispatch_close(dispatch);
	return err;
}

/* ---- workers -------------------------------------------------------------------------- */

struct ronbus_worker *ronbus_dispatch_worker(struct ronbus_dispatch *dispatch, unsigned int number)
{
	return number < dispatch->count ? &dispatch->workers[number] : NULL;
}

int ronbus_worker_fd(struct ronbus_worker *worker)
{
	return ronbus_sub_fd(worker->sub);
}

int ronbus_worker_arm(struct ronbus_worker *worker)
{
	return ronbus_arm(worker->sub);
}

int ronbus_worker_stats(struct ronbus_worker *worker, struct ronbus_stats *stats)
{
	return ronbus_stats(worker->bus, ronbus_sub_index(worker->sub), stats);
}

/* What the queue itself lost: the position is not known, only that reading went up to one. */
static int lost_here(const struct ronbus_worker *worker, struct ronbus_msg *msg)
{
	msg->position = worker->position;
	return RONBUS_LAGGED;
}

static int try_recv(struct ronbus_worker *worker, void *buf, size_t size, struct ronbus_msg *msg)
{
	const struct ronbus_ring *ring = &worker->sub->ring;
	__u64 position, lost = 0;
	__u32 topic;
	int ret;

	do {
		struct ronbus_words at;
		struct ronbus_seen seen;

		ret = ronbus_peek(worker->sub, msg);
		if (ret == RONBUS_LAGGED)
			return lost_here(worker, msg);
		if (ret != RONBUS_MESSAGE)
			return ret;
		at = ronbus_ring_at(ring, msg->position);
		seen = ronbus_peeked(worker->sub);
		position = ronbus_words_ready(&at, seen);
		topic = ronbus_words_topic(&at, seen);
		if (topic == TOPIC_LOST)
			ronbus_copy_out(&lost, msg->data, sizeof(lost));
		else if (msg->len <= size)
			ronbus_copy_out(buf, msg->data, msg->len);
		else if (ronbus_ring_unchanged(ring, msg->position, seen))
			return -EMSGSIZE; /* and it stays */
	} while (ronbus_release(worker->sub)); /* overwritten meanwhile: the next look says so */

	worker->position = position + (topic != TOPIC_LOST);
	msg->position = position;
	if (topic == TOPIC_LOST) {
		*msg = (struct ronbus_msg){ .position = position, .lost = lost };
		return RONBUS_LAGGED;
	}
	msg->data = buf;
	return RONBUS_MESSAGE;
}

int ronbus_worker_recv(struct ronbus_worker *worker, void *buf, size_t size, struct ronbus_msg *msg,
		       int64_t timeout_ns)
{
	__u32 cancels = ronbus_cancels(worker->sub);
	int ret = try_recv(worker, buf, size, msg);
	__u64 deadline;

	if (ret != -EAGAIN || !timeout_ns)
		return ret;
	deadline = ronbus_deadline(timeout_ns);
	do {
		ret = ronbus_wait_until(worker->sub, deadline, cancels);
		if (!ret)
			ret = try_recv(worker, buf, size, msg);
	} while (ret == -EAGAIN);
	return ret;
}

int ronbus_worker_drain(struct ronbus_worker *worker, ronbus_drain_fn fn, void *arg,
			unsigned int budget, int64_t timeout_ns)
{
	__u32 size = worker->sub->ring.payload;
	struct ronbus_msg msg;
	int done = 0, ret;

	if (!budget)
		return -EINVAL;
	if (budget > INT32_MAX)
		budget = INT32_MAX;
	ret = ronbus_worker_recv(worker, worker->buffer, size, &msg, timeout_ns);
	while (ret > 0) {
		done++;
		if (fn(arg, ret, &msg) || (unsigned int)done == budget)
			break;
		ret = try_recv(worker, worker->buffer, size, &msg);
	}
	return done ? done : ret;
}
