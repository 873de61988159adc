// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * subscribe.c - subscriber handles, and how they sleep
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
	bool arrays;
	int err;

	err = make_request(opts, &req);
	if (err)
		return err;
	ronbus_why_doing(RONBUS_AT_SUBSCRIBE);
	err = bus->transport->subscribe(bus, &req, &handle);
	if (err)
		return ronbus_why_failed(err);
	handle->transport = bus->transport;
	ronbus_peeked_nothing(&handle->sub);
	arrays = handle->sub.ring.layout == RONBUS_LAYOUT_ARRAYS;
	handle->sub.slow_path = handle->sub.interest.bit || arrays || handle->sub.ring.timed;
	handle->buffer = ronbus_zalloc((arrays ? RONBUS_RUN : 1) * handle->sub.ring.payload);
	if (!handle->buffer) {
		handle->transport->sub_close(handle);
		return -ENOMEM;
	}
	ronbus_enroll(&handle->enrolled, RONBUS_A_SUBSCRIBER);
	*sub = &handle->sub;
	return 0;
}

void ronbus_sub_close(struct ronbus_sub *sub)
{
	struct ronbus_subscriber_handle *handle;

	if (!sub)
		return;
	handle = ronbus_subscriber_of(sub);
	ronbus_unenroll(&handle->enrolled);
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

int ronbus_sub_set_eventfd(struct ronbus_sub *sub, int fd)
{
	struct ronbus_subscriber_handle *handle = ronbus_subscriber_of(sub);

	return handle->transport->set_eventfd(handle, fd);
}

int ronbus_sub_set_topics(struct ronbus_sub *sub, __u64 topics)
{
	struct ronbus_subscriber_handle *handle = ronbus_subscriber_of(sub);
	struct ronbus_interest *mine = &sub->interest;
	int err;

	if (ronbus_is_dead(sub))
		return -EOWNERDEAD;
	ronbus_why_doing(RONBUS_AT_TOPICS);
	if (!mine->bit)
		return ronbus_why_failed(-EOPNOTSUPP);
	if (!topics)
		return -EINVAL;
	/* First, since a publisher may send to a new member of an audience at once. */
	mine->asked |= topics;
	err = handle->transport->set_topics(handle, topics);
	if (!err)
		mine->topics = topics;
	return err;
}

int ronbus_sub_set_coalesce(struct ronbus_sub *sub, unsigned int messages, __u64 delay_ns)
{
	struct ronbus_subscriber_handle *handle = ronbus_subscriber_of(sub);
	struct ronbus_coalesce req = { .messages = messages, .delay_ns = delay_ns };

	ronbus_why_doing(RONBUS_AT_COALESCE);
	return ronbus_why_failed(handle->transport->coalesce(handle, &req));
}

__u64 ronbus_sub_position(const struct ronbus_sub *sub)
{
	return RB_READ(&sub->self->cursor);
}

unsigned int ronbus_sub_index(const struct ronbus_sub *sub)
{
	return ronbus_subscriber_of(sub)->index;
}

__u64 ronbus_sub_backlog(const struct ronbus_sub *sub)
{
	__u64 cursor = RB_READ(&sub->self->cursor), tail = ronbus_ring_hint(&sub->ring);

	return tail > cursor ? tail - cursor : 0;
}

int ronbus_cancel(struct ronbus_sub *sub)
{
	struct ronbus_subscriber_handle *handle = ronbus_subscriber_of(sub);

	/* barrier V, with V' in ronbus_cancels(): call.pml */
	__atomic_fetch_add(&handle->cancels, 1, __ATOMIC_SEQ_CST);
	return handle->transport->cancel(handle);
}

__u32 ronbus_cancels(const struct ronbus_sub *sub)
{
	/*
	 * A thread that reads the new count sees the reason for it, too: barrier V', with V in
	 * ronbus_cancel(): call.pml
	 */
	return RB_LOAD_ACQUIRE(&ronbus_subscriber_of(sub)->cancels);
}

/* A thread does not sleep on what it has counted and not flushed. */
int ronbus_wait_until(struct ronbus_sub *sub, __u64 deadline, __u32 cancels)
{
	struct ronbus_subscriber_handle *handle = ronbus_subscriber_of(sub);
	__u64 due = ronbus_metrics_due();
	int ret;

	if (due < deadline) {
		ret = handle->transport->wait(handle, due, cancels);
		if (ret != -ETIMEDOUT)
			return ret;
		ronbus_metrics_flush();
	}
	return handle->transport->wait(handle, deadline, cancels);
}

int ronbus_wait(struct ronbus_sub *sub, int64_t timeout_ns)
{
	__u32 cancels = ronbus_cancels(sub);

	return ronbus_wait_until(sub, ronbus_deadline(timeout_ns), cancels);
}
