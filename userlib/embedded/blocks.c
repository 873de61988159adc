// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * blocks.c - blocks, as kmod/blocks.c has them
 */
#include "embedded.h"

#include <string.h>

bool ronbus_embedded_blocks_alloc(struct embedded_bus *bus, const struct ronbus_create *req)
{
	const size_t bytes = ronbus_blocks_bytes(req->blocks, req->block_size);
	__u32 *order;

	if (!req->blocks)
		return true;
	order = calloc(req->blocks, sizeof(*order));
	if (!order)
		return false;
	ronbus_blocks_queue_fill(&bus->blocks_queue, order, req->blocks);
	bus->blocks_memory = calloc(1, bytes + EMBEDDED_ALIGN - 1);
	if (!bus->blocks_memory)
		return false;
	ronbus_blocks_view(&bus->blocks, embedded_align(bus->blocks_memory), req->blocks,
			   req->block_size);
	return true;
}

static bool block_pinned(struct embedded_bus *bus, __u32 block)
{
	bool pinned = false;
	__u32 i;

	ronbus_embedded_lock(bus);
	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX && !pinned; i++)
		pinned = bus->subs[i] && ronbus_blocks_pinned(&bus->subs[i]->self, block);
	ronbus_embedded_unlock(bus);
	return pinned;
}

static int block_choose(struct embedded_bus *bus)
{
	int block;

	ronbus_embedded_lock(bus);
	block = ronbus_blocks_queue_take(&bus->blocks_queue);
	bus->past.blocks_dropped_total += block < 0;
	ronbus_embedded_unlock(bus);
	return block;
}

/* The block is pinned, and was perhaps the last one that there was to look at. */
static void block_pass_over(struct embedded_bus *bus, __u32 block, bool last)
{
	ronbus_embedded_lock(bus);
	ronbus_blocks_queue_give_back(&bus->blocks_queue, block, true);
	bus->past.blocks_pinned_total++;
	bus->past.blocks_dropped_total += last;
	ronbus_embedded_unlock(bus);
}

/*
 * Returns the oldest block that is not pinned, for the caller to write; or -ENOBUFS. No more blocks
 * are looked at than can be pinned. The lock is not held all the time: others publish, join and
 * leave in between.
 */
static int block_take(struct embedded_bus *bus)
{
	__u32 left =
		bus->blocks.count < RONBUS_BLOCK_LOOKS ? bus->blocks.count : RONBUS_BLOCK_LOOKS;
	int block;

	for (;;) {
		block = block_choose(bus);
		if (block < 0)
			return block;
		ronbus_blocks_close(&bus->blocks, (__u32)block);
		if (!block_pinned(bus, (__u32)block))
			return block;
		block_pass_over(bus, (__u32)block, !--left);
		if (!left)
			return -ENOBUFS;
	}
}

/*
 * A block that was published is the newest. One that was not is the next to be taken. So neither a
 * publish that fails nor one that takes long costs other messages their blocks.
 */
static void block_done(struct embedded_bus *bus, __u32 block, bool published)
{
	if (!published)
		ronbus_blocks_close(&bus->blocks, block);
	ronbus_embedded_lock(bus);
	ronbus_blocks_queue_give_back(&bus->blocks_queue, block, published);
	bus->past.blocks_published_total += published;
	ronbus_embedded_unlock(bus);
}

int ronbus_embedded_publish_block(struct ronbus_publisher_handle *base,
				  struct ronbus_publish_block *req)
{
	struct embedded_pub *pub = (struct embedded_pub *)base;
	struct ronbus_pub *inner;
	char message[RONBUS_PAYLOAD_MAX];
	struct embedded_bus *bus = pub->bus;
	bool alternate, retain = bus->info.flags & RONBUS_BUS_RETAIN;
	int block, ret = ronbus_publish_block_check(&bus->blocks, bus->ring.payload, req);

	if (ret)
		return ret;
	inner = &pub->inner->base.pub;
	/* Without an audience no block is needed. */
	if (!retain && !RB_READ(&bus->info.audience[req->topic]))
		return __ronbus_published(inner, req->topic, 0, 0, 0);
	block = block_take(bus);
	if (block < 0)
		return block;
	memcpy(ronbus_blocks_at(&bus->blocks, (__u32)block), (const void *)(uintptr_t)req->data,
	       req->len);
	req->ref.block = (__u32)block;
	req->ref.len = req->len;
	req->ref.generation = ronbus_blocks_open(&bus->blocks, (__u32)block);
	if (req->event_len)
		memcpy(message, (const void *)(uintptr_t)req->event, req->event_len);
	memcpy(message + req->event_len, &req->ref, sizeof(req->ref));
	/* On an exclusive bus pub and inner take turns; on others several threads may be here. */
	alternate = base->pub.how & RONBUS_HOW_EXCLUSIVE && !(base->pub.how & RONBUS_HOW_SYSCALL);
	if (alternate)
		inner->pos = base->pub.pos;
	ret = ronbus_publish(inner, req->topic, message, req->event_len + sizeof(req->ref));
	if (alternate)
		base->pub.pos = inner->pos;
	block_done(bus, (__u32)block, ret > 0 || (!ret && retain));
	if (ret < 0)
		return ret;
	req->receivers = (__u32)ret;
	return 0;
}
