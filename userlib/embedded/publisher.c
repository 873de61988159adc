// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * publisher.c - publishers
 */
#include "embedded.h"

static struct embedded_pub *pub_alloc(struct embedded_bus *bus)
{
	struct embedded_pub *pub = ronbus_zalloc(sizeof(*pub));

	if (!pub)
		return NULL;
	pub->bus = bus;
	pub->base.transport = &ronbus_embedded_transport;
	pub->base.pub.ring = bus->ring;
	pub->base.pub.info = &bus->info;
	pub->base.pub.self = &pub->self;
	if (bus->info.flags & RONBUS_BUS_EXCLUSIVE)
		pub->base.pub.how |= RONBUS_HOW_EXCLUSIVE;
	if (bus->info.flags & RONBUS_BUS_RETAIN)
		pub->base.pub.how |= RONBUS_HOW_RETAIN;
	if (bus->info.flags & RONBUS_BUS_COARSE_TIME)
		pub->base.pub.how |= RONBUS_HOW_COARSE;
	return pub;
}

static void pub_free(struct embedded_pub *pub)
{
	free(pub->inner);
	free(pub);
}

/* What the kernel is for a publisher on the device: owner 0, and no buffer for counters. */
static int pub_have_inner(struct embedded_pub *pub)
{
	struct embedded_pub *inner = pub_alloc(pub->bus);

	if (!inner)
		return -ENOMEM;
	inner->base.pub.self = &pub->self;
	inner->base.pub.pos = pub->base.pub.pos;
	ronbus_pub_number(&inner->base.pub);
	inner->base.pub.how |= (__u32)pub->bus->info.features & ~(__u32)RONBUS_F_METRICS_BUF;
	pub->inner = inner;
	return 0;
}

/* With the lock of the bus: an id for a mapped publisher, as the kernel gives them. */
static int take_id(struct embedded_bus *bus, __u32 *id)
{
	if (bus->info.flags & RONBUS_BUS_MAP_NONE)
		return -EPERM;
	*id = ronbus_publisher_id(bus->ids, bus->info.capacity);
	if (!*id)
		return -ENOSPC;
	bus->ids |= 1ULL << *id;
	return 0;
}

static int pub_join(struct embedded_pub *pub, unsigned int flags)
{
	struct embedded_bus *bus = pub->bus;
	int err = ronbus_publisher_check(&bus->info, bus->publishers);

	if (err)
		return err;
	pub->base.pub.pos = ronbus_ring_tail(&bus->ring);
	if (!(flags & RONBUS_PUB_SYSCALL))
		err = take_id(bus, &pub->base.pub.id);
	if (err && flags & RONBUS_PUB_MAPPED_ONLY)
		return err;
	if (err || flags & RONBUS_PUB_SYSCALL) {
		pub->base.pub.id = 0;
		pub->base.pub.how |= RONBUS_HOW_SYSCALL;
	}
	if (pub->base.pub.how & RONBUS_HOW_SYSCALL || bus->info.features & RONBUS_F_BLOCKS) {
		err = pub_have_inner(pub);
		if (err)
			return err;
	}
	pub->next = bus->pubs;
	bus->pubs = pub;
	bus->publishers++;
	return 0;
}

int ronbus_embedded_publisher(struct ronbus *base, unsigned int flags,
			      struct ronbus_publisher_handle **ret)
{
	struct embedded_handle *handle = (struct embedded_handle *)base;
	struct embedded_bus *bus = handle->bus;
	struct embedded_pub *pub;
	int err;

	if (!(handle->access & RONBUS_ACCESS_PUBLISH))
		return -EACCES;
	pub = pub_alloc(bus);
	if (!pub)
		return -ENOMEM;
	ronbus_embedded_lock(bus);
	err = pub_join(pub, flags);
	ronbus_embedded_unlock(bus);
	if (err) {
		pub_free(pub);
		return err;
	}
	ronbus_embedded_bus_get(bus);
	*ret = &pub->base;
	return 0;
}

int ronbus_embedded_pub_wait(struct ronbus_publisher_handle *base, __u64 deadline)
{
	struct embedded_bus *bus = ((struct embedded_pub *)base)->bus;
	__u32 joins;
	int err;

	for (;;) {
		/* It has no partner in a model: what futex(2) is to compare is read first. */
		joins = RB_LOAD_ACQUIRE(&bus->joins);
		if (RB_READ(&bus->info.members))
			return 0;
		err = embedded_futex_wait(&bus->joins, joins, deadline);
		if (err == -ETIMEDOUT || err == -EINTR)
			return err;
	}
}

int ronbus_embedded_publish(struct ronbus_publisher_handle *base, unsigned int topic,
			    const struct iovec *vec, unsigned int count, __u32 *receivers)
{
	struct ronbus_pub *inner = &((struct embedded_pub *)base)->inner->base.pub;
	int ret;

	*receivers = 0;
	if (count > 1)
		return ronbus_publish_many(inner, topic, vec, count);
	ret = ronbus_publish(inner, topic, vec->iov_base, vec->iov_len);
	if (ret < 0)
		return ret;
	*receivers = (__u32)ret;
	return 1;
}

void ronbus_embedded_pub_close(struct ronbus_publisher_handle *base)
{
	struct embedded_pub *pub = (struct embedded_pub *)base;
	struct embedded_bus *bus = pub->bus;
	struct embedded_pub **link = &bus->pubs;
	__u32 id = base->pub.id, repaired = 0;

	ronbus_embedded_lock(bus);
	while (*link != pub)
		link = &(*link)->next;
	*link = pub->next;
	if (id) {
		repaired = ronbus_ring_repair(&bus->ring, id, 0, bus->info.capacity);
		bus->ids &= ~(1ULL << id);
		ronbus_embedded_notify(bus, ~0ULL, RONBUS_WAKE_REPAIR);
	}
	bus->past.repairs_total += repaired;
	ronbus_counters_add_pub(&bus->past, &pub->self);
	bus->publishers--;
	ronbus_embedded_end_if_due(bus, true);
	ronbus_embedded_unlock(bus);
	pub_free(pub);
	ronbus_embedded_bus_put(bus, false);
}

void ronbus_embedded_pub_abandon(struct ronbus_publisher_handle *base)
{
	struct embedded_pub *pub = (struct embedded_pub *)base;

	ronbus_embedded_bus_put(pub->bus, true);
	pub_free(pub);
}
