// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * case_live.c - one publisher, and subscribers that live: each a thread, or, on the device, a
 * process, that sleeps when there is nothing to read
 *
 * Two ways to publish. A stream: as fast as the publisher can, whether or not they keep up; what
 * a message costs is one over the publishes a second that a program sees. And bursts that the ring
 * holds: the next one begins when everybody has read all of the last.
 */
#include <poll.h>

#include "actor.h"
#include "bus.h"
#include "cases.h"

#define STREAM_MESSAGES 4096U /* a sample */
#define BURSTS 8U /* a sample */
#define LOOKS_MOST 4000000000UL /* a minute, or some: nobody is to wait for ever */

struct live {
	struct stage stage;
	__u64 number; /* of the last message */
};

/* ---- subscribers ---------------------------------------------------------------------- */

static void note(struct seat *seat, const struct ronbus_msg *msg)
{
	__atomic_store_n(&seat->number, *(const __u64 *)msg->data, __ATOMIC_RELEASE);
}

static int on_message(void *arg, int what, const struct ronbus_msg *msg)
{
	if (what == RONBUS_MESSAGE)
		note(arg, msg);
	return 0;
}

/* Drain to empty, arm, look again, sleep. */
static void by_drain(struct ronbus_sub *sub, struct seat *seat)
{
	int ret;

	do {
		ret = ronbus_drain(sub, on_message, seat, RONBUS_CAPACITY_DEFAULT, -1);
	} while (ret > 0 || ret == -EINTR);
}

/* Receive one; returns whether there may be more. */
static bool receive_one(struct ronbus_sub *sub, struct seat *seat)
{
	struct message buffer;
	struct ronbus_msg msg;
	int ret = ronbus_try_recv(sub, buffer.words, sizeof(buffer), &msg);

	if (ret == RONBUS_MESSAGE)
		note(seat, &msg);
	return ret != RONBUS_CLOSED;
}

/* As an event loop does that asks for each message whether it is there. */
static void by_poll(struct ronbus_sub *sub, struct seat *seat)
{
	struct pollfd pollfd = { .fd = must(ronbus_sub_fd(sub), "sub_fd"), .events = POLLIN };

	do {
		if (!must(ronbus_arm(sub), "arm"))
			(void)poll(&pollfd, 1, -1);
		else
			(void)poll(&pollfd, 1, 0);
	} while (receive_one(sub, seat));
}

static void by_wait(struct ronbus_sub *sub, struct seat *seat)
{
	do {
		ronbus_wait(sub, -1);
	} while (receive_one(sub, seat));
}

static void subscriber(struct actors *actors, unsigned int self,
		       void (*read_all)(struct ronbus_sub *sub, struct seat *seat))
{
	struct ronbus_sub *sub;

	must(ronbus_subscribe(actors->buses[0], NULL, &sub), "subscribe");
	actors_ready(actors, self);
	read_all(sub, actors_seat(actors, self));
	ronbus_sub_close(sub);
}

static void drainer(struct actors *actors, unsigned int self)
{
	subscriber(actors, self, by_drain);
}

static void poller(struct actors *actors, unsigned int self)
{
	subscriber(actors, self, by_poll);
}

static void waiter(struct actors *actors, unsigned int self)
{
	subscriber(actors, self, by_wait);
}

/* ---- publisher ------------------------------------------------------------------------ */

static void *live_setup(struct cell *cell)
{
	struct live *live = calloc(1, sizeof(*live));

	if (!live)
		die("no memory");
	live->stage.actors.spread = true;
	if (stage_open(&live->stage, cell,
		       cell->op == OP_POLL   ? poller
		       : cell->op == OP_WAIT ? waiter
					     : drainer))
		return live;
	free(live);
	return NULL;
}

static void live_teardown(struct cell *cell, void *state)
{
	struct live *live = state;

	stage_end(&live->stage);
	stage_close(&live->stage, cell);
	free(live);
}

static ALWAYS_INLINE void publish_some(struct live *live, size_t len, unsigned int count)
{
	__u64 message[4] = { 0 };

	while (count--) {
		message[0] = ++live->number;
		forget();
		ronbus_publish(live->stage.pub, 0, message, len);
	}
}

static NOINLINE void publish(struct live *live, unsigned int count)
{
	if (live->stage.actors.payload == 8)
		publish_some(live, 8, count);
	else
		publish_some(live, 32, count);
}

static void stream_sample(struct cell *cell, void *state, double *values)
{
	uint64_t start = now_ns();

	(void)cell;
	publish(state, STREAM_MESSAGES);
	values[0] = ((double)(now_ns() - start) - settings.clock_ns) / STREAM_MESSAGES;
}

static void wait_for_all(const struct live *live)
{
	unsigned long looks = 0;
	unsigned int i;

	for (i = 0; i < live->stage.actors.count; i++) {
		const struct seat *seat = actors_seat(&live->stage.actors, i);

		while (__atomic_load_n(&seat->number, __ATOMIC_ACQUIRE) != live->number) {
			relax();
			if (++looks == LOOKS_MOST)
				die("a subscriber has stopped at message %llu of %llu",
				    (unsigned long long)seat->number,
				    (unsigned long long)live->number);
		}
	}
}

static void bursts_sample(struct cell *cell, void *state, double *values)
{
	uint64_t begin = now_ns(), start, calls = 0;
	struct live *live = state;
	unsigned int i;

	for (i = 0; i < BURSTS; i++) {
		start = now_ns();
		publish(live, cell->burst);
		calls += now_ns() - start;
		wait_for_all(live);
	}
	values[0] = ((double)calls / BURSTS - settings.clock_ns) / cell->burst;
	values[1] = ((double)(now_ns() - begin) / BURSTS) / cell->burst;
}

const struct cell_ops stream_ops = {
	.name = "stream",
	.what = "one publisher as fast as it can, and subscribers that sleep when they have read all",
	.setup = live_setup,
	.sample = stream_sample,
	.teardown = live_teardown,
};

const struct cell_ops bursts_ops = {
	.name = "bursts",
	.what = "one publisher; the next burst begins when all subscribers have read the last",
	.setup = live_setup,
	.sample = bursts_sample,
	.teardown = live_teardown,
};
