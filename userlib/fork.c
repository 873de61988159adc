// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * fork.c - what becomes of handles in a child of fork()
 *
 * The child has the fds of the device, but not the mappings. Of an embedded bus it has a copy, in
 * which a lock may be held for ever by a thread that the child does not have. So in the child,
 * members of any bus and handles of embedded buses can only be closed; everything else returns
 * -EOWNERDEAD. When the child begins, this file changes those handles so that the inlines call the
 * library for them, which refuses. It costs nothing where a handle is used.
 *
 * All handles are in a list. fork() takes its lock, and those of the transport and of the counters,
 * so that no other thread holds them at that moment, and the child can use them.
 */
#include "internal.h"

#include <pthread.h>
#include <stdlib.h>

static struct {
	pthread_mutex_t lock;
	pthread_once_t once;
	bool told; /* of forks */
	struct ronbus_enrolled *first;
} handles = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.once = PTHREAD_ONCE_INIT,
};

/* An empty ring and pages, for inlines that look at them before they come to the library. */
#define NO_SLOTS 4U
#define NO_PAYLOAD 8U

static struct {
	struct ronbus_ring_head head;
	char slots[NO_SLOTS * 64];
} no_ring __attribute__((aligned(64)));

static struct ronbus_self no_self = { .cursor = NO_SLOTS };
static const struct ronbus_info_page no_info;

/* ---- the transport of such handles ---------------------------------------------------- */

static int dead_bus_fd(const struct ronbus *bus)
{
	(void)bus;
	return -EOWNERDEAD;
}

static int dead_share(const struct ronbus *bus, __u32 access)
{
	(void)access;
	return dead_bus_fd(bus);
}

static int dead_bus_info(struct ronbus *bus, struct ronbus_info *info)
{
	(void)bus;
	(void)info;
	return -EOWNERDEAD;
}

static int dead_seal(struct ronbus *bus)
{
	(void)bus;
	return -EOWNERDEAD;
}

static int dead_stats(struct ronbus *bus, struct ronbus_stats *stats)
{
	(void)bus;
	(void)stats;
	return -EOWNERDEAD;
}

static void dead_bus_close(struct ronbus *bus)
{
	bus->was->bus_abandon(bus);
}

static int dead_publisher(struct ronbus *bus, unsigned int flags,
			  struct ronbus_publisher_handle **pub)
{
	(void)bus;
	(void)flags;
	(void)pub;
	return -EOWNERDEAD;
}

static int dead_pub_fd(const struct ronbus_publisher_handle *pub)
{
	(void)pub;
	return -EOWNERDEAD;
}

static int dead_pub_wait(struct ronbus_publisher_handle *pub, __u64 deadline)
{
	(void)deadline;
	return dead_pub_fd(pub);
}

static int dead_publish(struct ronbus_publisher_handle *pub, unsigned int topic,
			const struct iovec *vec, unsigned int count, __u32 *receivers)
{
	(void)pub;
	(void)topic;
	(void)vec;
	(void)count;
	*receivers = 0;
	return -EOWNERDEAD;
}

static int dead_publish_block(struct ronbus_publisher_handle *pub, struct ronbus_publish_block *req)
{
	(void)pub;
	(void)req;
	return -EOWNERDEAD;
}

static void dead_notify(struct ronbus_publisher_handle *pub, __u64 subscribers)
{
	(void)pub;
	(void)subscribers;
}

static void dead_pub_close(struct ronbus_publisher_handle *pub)
{
	pub->was->pub_abandon(pub);
}

static int dead_subscribe(struct ronbus *bus, const struct ronbus_subscribe *req,
			  struct ronbus_subscriber_handle **sub)
{
	(void)bus;
	(void)req;
	(void)sub;
	return -EOWNERDEAD;
}

static int dead_sub(struct ronbus_subscriber_handle *sub)
{
	(void)sub;
	return -EOWNERDEAD;
}

static int dead_wait(struct ronbus_subscriber_handle *sub, __u64 deadline, __u32 cancels)
{
	(void)deadline;
	(void)cancels;
	return dead_sub(sub);
}

static int dead_set_topics(struct ronbus_subscriber_handle *sub, __u64 topics)
{
	(void)topics;
	return dead_sub(sub);
}

static int dead_coalesce(struct ronbus_subscriber_handle *sub, const struct ronbus_coalesce *req)
{
	(void)req;
	return dead_sub(sub);
}

static int dead_set_eventfd(struct ronbus_subscriber_handle *sub, int fd)
{
	(void)fd;
	return dead_sub(sub);
}

static void dead_sub_close(struct ronbus_subscriber_handle *sub)
{
	sub->was->sub_abandon(sub);
}

static const struct ronbus_transport dead_transport = {
	.bus_fd = dead_bus_fd,
	.bus_info = dead_bus_info,
	.share = dead_share,
	.seal = dead_seal,
	.stats = dead_stats,
	.bus_close = dead_bus_close,
	.publisher = dead_publisher,
	.pub_fd = dead_pub_fd,
	.pub_wait = dead_pub_wait,
	.publish = dead_publish,
	.publish_block = dead_publish_block,
	.notify = dead_notify,
	.pub_close = dead_pub_close,
	.subscribe = dead_subscribe,
	.sub_fd = dead_sub,
	.wait = dead_wait,
	.arm = dead_sub,
	.set_topics = dead_set_topics,
	.coalesce = dead_coalesce,
	.set_eventfd = dead_set_eventfd,
	.cancel = dead_sub,
	.sub_close = dead_sub_close,
};

/* ---- in the child --------------------------------------------------------------------- */

static void bus_dies(struct ronbus *bus)
{
	/* On the device a bus is its fd, which the child has. */
	if (!bus->transport->bus_abandon)
		return;
	bus->was = bus->transport;
	bus->transport = &dead_transport;
}

static void pub_dies(struct ronbus_publisher_handle *pub)
{
	/* The inlines do not publish by system call. */
	pub->pub.how = RONBUS_HOW_SYSCALL;
	pub->was = pub->transport;
	pub->transport = &dead_transport;
}

static void sub_dies(struct ronbus_subscriber_handle *sub)
{
	ronbus_ring_view(&sub->sub.ring, &no_ring, NO_SLOTS, NO_PAYLOAD, 0);
	sub->sub.self = &no_self;
	sub->sub.info = &no_info;
	sub->sub.slow_path = RONBUS_DEAD;
	ronbus_peeked_nothing(&sub->sub);
	sub->was = sub->transport;
	sub->transport = &dead_transport;
}

static void dies(struct ronbus_enrolled *handle)
{
	switch (handle->kind) {
	case RONBUS_A_BUS:
		bus_dies(RONBUS_OF(handle, struct ronbus));
		break;
	case RONBUS_A_PUBLISHER:
		pub_dies(RONBUS_OF(handle, struct ronbus_publisher_handle));
		break;
	case RONBUS_A_SUBSCRIBER:
		sub_dies(RONBUS_OF(handle, struct ronbus_subscriber_handle));
	}
}

static void before_fork(void)
{
	pthread_mutex_lock(&handles.lock);
	ronbus_embedded_before_fork();
	ronbus_metrics_before_fork();
}

static void after_fork_in_parent(void)
{
	ronbus_metrics_after_fork(false);
	ronbus_embedded_after_fork(false);
	pthread_mutex_unlock(&handles.lock);
}

static void after_fork_in_child(void)
{
	struct ronbus_enrolled *handle;

	for (handle = handles.first; handle; handle = handle->next)
		dies(handle);
	ronbus_metrics_after_fork(true);
	ronbus_embedded_after_fork(true);
	pthread_mutex_unlock(&handles.lock);
}

/* ---- the list ------------------------------------------------------------------------- */

static void ask_to_be_told(void)
{
	handles.told = !pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

bool ronbus_enroll(struct ronbus_enrolled *handle, enum ronbus_handle_kind kind)
{
	pthread_once(&handles.once, ask_to_be_told);
	if (!handles.told)
		return false;
	pthread_mutex_lock(&handles.lock);
	handle->kind = kind;
	handle->next = handles.first;
	handle->link = &handles.first;
	if (handle->next)
		handle->next->link = &handle->next;
	handles.first = handle;
	pthread_mutex_unlock(&handles.lock);
	return true;
}

void ronbus_unenroll(struct ronbus_enrolled *handle)
{
	pthread_mutex_lock(&handles.lock);
	*handle->link = handle->next;
	if (handle->next)
		handle->next->link = handle->link;
	pthread_mutex_unlock(&handles.lock);
}
