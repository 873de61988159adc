// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * subscribe.c - subscriber handles, and what the inlines leave to the library
 */
#include "internal.h"

#include <stdlib.h>

static int make_request(const struct ronbus_sub_options *opts, struct ronbus_subscribe *req)
{
	size_t i;

	req->topics = ~0ULL;
	if (!opts)
		return 0;
	for (i = 0; i < sizeof(opts->reserved) / sizeof(opts->reserved[0]); i++)
		if (opts->reserved[i])
			return -EINVAL;
	if (opts->reserved0)
		return -EINVAL;
	req->start = opts->start;
	req->position = opts->position;
	if (opts->topics)
		req->topics = opts->topics;
	return 0;
}

int ronbus_subscribe(struct ronbus *bus, const struct ronbus_sub_options *opts,
		     struct ronbus_sub **sub)
{
	struct ronbus_subscriber_handle *handle;
	struct ronbus_subscribe req = { 0 };
	int err;

	err = make_request(opts, &req);
	if (err)
		return err;
	err = bus->transport->subscribe(bus, &req, &handle);
	if (err)
		return err;
	handle->transport = bus->transport;
	handle->buffer = ronbus_zalloc(handle->sub.ring.payload);
	if (!handle->buffer) {
		handle->transport->sub_close(handle);
		return -ENOMEM;
	}
	*sub = &handle->sub;
	return 0;
}

void ronbus_sub_close(struct ronbus_sub *sub)
{
	struct ronbus_subscriber_handle *handle;

	if (!sub)
		return;
	handle = ronbus_subscriber_of(sub);
	free(handle->buffer);
	handle->transport->sub_close(handle);
}

int ronbus_sub_fd(struct ronbus_sub *sub)
{
	struct ronbus_subscriber_handle *handle = ronbus_subscriber_of(sub);

	return handle->transport->sub_fd(handle);
}

int ronbus_arm(struct ronbus_sub *sub)
{
	struct ronbus_subscriber_handle *handle = ronbus_subscriber_of(sub);

	return handle->transport->arm(handle);
}

int ronbus_set_eventfd(struct ronbus_sub *sub, int fd)
{
	struct ronbus_subscriber_handle *handle = ronbus_subscriber_of(sub);

	return handle->transport->set_eventfd(handle, fd);
}

int ronbus_set_topics(struct ronbus_sub *sub, __u64 topics)
{
	struct ronbus_subscriber_handle *handle = ronbus_subscriber_of(sub);
	struct ronbus_interest *mine = &sub->interest;
	int err;

	if (!mine->bit)
		return -EOPNOTSUPP;
	if (!topics)
		return -EINVAL;
	/* First, since who is in an audience may be sent to at once. */
	mine->asked |= topics;
	err = handle->transport->set_topics(handle, topics);
	if (!err)
		mine->topics = topics;
	return err;
}

__u64 ronbus_sub_position(const struct ronbus_sub *sub)
{
	return RB_READ(&sub->self->cursor);
}

unsigned int ronbus_sub_index(const struct ronbus_sub *sub)
{
	return ronbus_subscriber_of(sub)->index;
}

int ronbus_cancel(struct ronbus_sub *sub)
{
	struct ronbus_subscriber_handle *handle = ronbus_subscriber_of(sub);

	return handle->transport->cancel(handle);
}

/* A thread does not sleep on what it has counted and not flushed. */
int ronbus_wait_until(struct ronbus_sub *sub, __u64 deadline)
{
	struct ronbus_subscriber_handle *handle = ronbus_subscriber_of(sub);
	__u64 due = ronbus_metrics_due();
	int ret;

	if (due < deadline) {
		ret = handle->transport->wait(handle, due);
		if (ret != -ETIMEDOUT)
			return ret;
		ronbus_metrics_flush();
	}
	return handle->transport->wait(handle, deadline);
}

/* A wait may find something, but nothing for us, and it may go on like that. */
static bool past(__u64 deadline)
{
	return deadline != RONBUS_WAIT_FOREVER && ronbus_now() >= deadline;
}

int ronbus_wait(struct ronbus_sub *sub, int64_t timeout_ns)
{
	return ronbus_wait_until(sub, ronbus_deadline(timeout_ns));
}

int ronbus_recv(struct ronbus_sub *sub, void *buf, size_t size, struct ronbus_msg *msg,
		int64_t timeout_ns)
{
	int ret = ronbus_try_recv(sub, buf, size, msg);
	__u64 deadline;

	if (RB_LIKELY(ret != -EAGAIN))
		return ret;
	deadline = ronbus_deadline(timeout_ns);
	do {
		ret = ronbus_wait_until(sub, deadline);
		if (!ret)
			ret = ronbus_try_recv(sub, buf, size, msg);
	} while (ret == -EAGAIN && !past(deadline));
	return ret == -EAGAIN ? -ETIMEDOUT : ret;
}

__RONBUS_PART int drain_of(struct ronbus_sub *sub, ronbus_drain_fn fn, void *arg,
			   unsigned int budget, size_t size)
{
	void *buffer = ronbus_subscriber_of(sub)->buffer;
	int done = 0, ret = 0;

	while ((unsigned int)done < budget) {
		struct ronbus_msg msg;

		ret = ronbus_try_recv(sub, buffer, size, &msg);
		if (ret <= 0)
			break;
		done++;
		if (fn(arg, ret, &msg))
			break;
	}
	return done ? done : ret;
}

/* On most buses all messages are as long as they can be, and that is one of a few lengths. */
static int drain(struct ronbus_sub *sub, ronbus_drain_fn fn, void *arg, unsigned int budget)
{
	switch (sub->ring.payload) {
	case 8:
		return drain_of(sub, fn, arg, budget, 8);
	case 32:
		return drain_of(sub, fn, arg, budget, 32);
	default:
		return drain_of(sub, fn, arg, budget, sub->ring.payload);
	}
}

int ronbus_drain(struct ronbus_sub *sub, ronbus_drain_fn fn, void *arg, unsigned int budget,
		 int64_t timeout_ns)
{
	__u64 deadline;
	int ret;

	if (!budget)
		return -EINVAL;
	if (budget > INT32_MAX)
		budget = INT32_MAX;
	ret = drain(sub, fn, arg, budget);
	if (ret != -EAGAIN || !timeout_ns)
		return ret;
	deadline = ronbus_deadline(timeout_ns);
	do {
		ret = ronbus_wait_until(sub, deadline);
		if (!ret)
			ret = drain(sub, fn, arg, budget);
	} while (ret == -EAGAIN && !past(deadline));
	return ret == -EAGAIN ? -ETIMEDOUT : ret;
}

/* ---- what the inlines leave to the library -------------------------------------------- */

static void skip(struct ronbus_sub *sub, __u64 pos, __u64 *counter)
{
	RB_WRITE(&sub->self->cursor, pos + 1);
	__ronbus_bump(counter, 1);
}

static int report_lag(struct ronbus_sub *sub, struct ronbus_msg *msg, __u64 from, __u64 to)
{
	struct ronbus_self *self = sub->self;

	RB_WRITE(&self->cursor, to);
	__ronbus_bump(&self->lags, 1);
	__ronbus_bump(&self->lost, to - from);
	__RONBUS_PROBE(3, lag, sub, to, to - from);
	*msg = (struct ronbus_msg){ .position = to, .lost = to - from };
	return RONBUS_LAGGED;
}

/*
 * Step over messages for others, quickly: to the first position with something else, or a lap. What
 * it is is not said.
 */
static void scan(struct ronbus_sub *sub)
{
	const struct ronbus_ring ring = sub->ring;
	const struct ronbus_interest mine = sub->interest;
	__u64 first = RB_READ(&sub->self->cursor), pos = first, state;

	while (pos - first <= ring.mask && ronbus_ring_ready(&ring, pos, &state) &&
	       !ronbus_ring_wanted(&ring, pos, &mine) && ronbus_ring_unchanged(&ring, pos, state))
		pos++;
	if (pos == first)
		return;
	RB_WRITE(&sub->self->cursor, pos);
	__ronbus_bump(&sub->self->filtered, pos - first);
}

/* Whose message is it? 1: ours; 0: somebody else's; -1: it changed while we looked. */
static int for_us(const struct ronbus_sub *sub, __u64 pos, __u64 state)
{
	int wanted;

	if (!sub->interest.bit)
		return 1;
	wanted = ronbus_ring_wanted(&sub->ring, pos, &sub->interest);
	return ronbus_ring_unchanged(&sub->ring, pos, state) ? wanted : -1;
}

/* One position: what ronbus_try_recv() returns, or 1 with @state, or -EALREADY to go on. */
static int next_once(struct ronbus_sub *sub, struct ronbus_msg *msg, __u64 *state)
{
	__u64 pos = RB_READ(&sub->self->cursor);
	/* Before the ring: barrier E', with E where the kernel ends the bus: end.pml */
	__u32 status = RB_LOAD_ACQUIRE(&sub->info->status);

	switch (ronbus_ring_look(&sub->ring, pos, state)) {
	case RONBUS_LOOK_READY:
		switch (for_us(sub, pos, *state)) {
		case 1:
			return RONBUS_MESSAGE;
		case 0:
			skip(sub, pos, &sub->self->filtered);
		}
		return -EALREADY;
	case RONBUS_LOOK_HOLE:
		skip(sub, pos, &sub->self->holes);
		return -EALREADY;
	case RONBUS_LOOK_LAGGED:
		return report_lag(sub, msg, pos, *state);
	case RONBUS_LOOK_EMPTY:
	default:
		return status & RONBUS_STATUS_ENDED ? RONBUS_CLOSED : -EAGAIN;
	}
}

/*
 * Find the next message for us: RONBUS_MESSAGE, at the cursor and with its state word, or what
 * ronbus_try_recv() returns.
 */
static int next(struct ronbus_sub *sub, struct ronbus_msg *msg, __u64 *state)
{
	/*
	 * Nobody vouches for a ring that others write, so this does not go on for ever. Whoever
	 * wants to sleep on the -EAGAIN is told that there is something to look at.
	 */
	__u32 budget = sub->ring.mask + 2;
	int ret;

	if (sub->interest.bit)
		scan(sub);
	do {
		ret = next_once(sub, msg, state);
	} while (ret == -EALREADY && --budget);
	return ret == -EALREADY ? -EAGAIN : ret;
}

/*
 * Overwritten under our hands. A look says how much is lost; should it find the message after
 * all, the ring is being tampered with, and the next call may try again.
 */
static int overtaken(struct ronbus_sub *sub, struct ronbus_msg *msg)
{
	__u64 state;
	int ret = next(sub, msg, &state);

	return ret == RONBUS_MESSAGE ? -EAGAIN : ret;
}

/* The message at the cursor. Apart, so that finding none saves no registers. */
static __attribute__((noinline)) int take_found(struct ronbus_sub *sub, void *buf, size_t size,
						struct ronbus_msg *msg, __u64 state)
{
	const struct ronbus_ring *ring = &sub->ring;
	__u64 pos = RB_READ(&sub->self->cursor);
	__u32 len = __ronbus_describe(ring, pos, state, msg);

	if (len <= size)
		ronbus_copy_out(buf, ronbus_ring_payload(ring, pos), len);
	if (!ronbus_ring_unchanged(ring, pos, state))
		return overtaken(sub, msg);
	msg->data = buf;
	if (len > size)
		return -EMSGSIZE;
	__ronbus_delivered(sub, pos, pos + 1);
	return RONBUS_MESSAGE;
}

int __ronbus_try_recv(struct ronbus_sub *sub, void *buf, size_t size, struct ronbus_msg *msg)
{
	__u64 state;
	int ret = next(sub, msg, &state);

	return ret == RONBUS_MESSAGE ? take_found(sub, buf, size, msg, state) : ret;
}

int __ronbus_recv_many(struct ronbus_sub *sub, void *buf, size_t size, struct ronbus_msg *msgs,
		       unsigned int count)
{
	char *to = buf;
	int done = 0, ret = -EINVAL;

	for (; (unsigned int)done < count; done++, to += size) {
		ret = ronbus_try_recv(sub, to, size, &msgs[done]);
		if (ret <= 0)
			break;
	}
	return done ? done : ret;
}

int __ronbus_peek(struct ronbus_sub *sub, struct ronbus_msg *msg)
{
	const struct ronbus_ring *ring = &sub->ring;
	__u64 state, pos;
	int ret;

	ret = next(sub, msg, &state);
	if (ret != RONBUS_MESSAGE)
		return ret;
	pos = RB_READ(&sub->self->cursor);
	__ronbus_describe(ring, pos, state, msg);
	if (!ronbus_ring_unchanged(ring, pos, state))
		return overtaken(sub, msg);
	msg->data = ronbus_ring_payload(ring, pos);
	sub->peek_position = pos;
	sub->peek_state = state;
	return RONBUS_MESSAGE;
}
