/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * blocks_queue.h - which block is next
 *
 * Blocks are queued in the order in which they were published: the first is taken, and comes back
 * last. One that was taken belongs to its taker alone.
 */
#ifndef _RONBUS_BLOCKS_QUEUE_H
#define _RONBUS_BLOCKS_QUEUE_H

#include "limits.h"

/**
 * struct ronbus_blocks_queue - blocks that are not being written, under the lock of the bus
 * @order: their numbers, the longest published first, as a ring of @count places
 * @count: blocks that the bus has
 * @first: where it begins
 * @free: how many there are
 */
struct ronbus_blocks_queue {
	__u32 *order;
	__u32 count;
	__u32 first;
	__u32 free;
};

/* All of them, in @order, which has room for @count. */
static inline void ronbus_blocks_queue_fill(struct ronbus_blocks_queue *queue, __u32 *order,
					    __u32 count)
{
	__u32 i;

	for (i = 0; i < count; i++)
		order[i] = i;
	*queue = (struct ronbus_blocks_queue){ .order = order, .count = count, .free = count };
}

static inline __u32 ronbus_blocks_queue_place(const struct ronbus_blocks_queue *queue, __u32 place)
{
	return place < queue->count ? place : place - queue->count;
}

/**
 * ronbus_blocks_queue_take() - take the block that has been in the queue for longest
 * @queue: the queue
 *
 * Return: its number; -ENOBUFS: there is none.
 */
static inline int ronbus_blocks_queue_take(struct ronbus_blocks_queue *queue)
{
	int block;

	if (!queue->free)
		return -ENOBUFS;
	block = (int)queue->order[queue->first];
	queue->first = ronbus_blocks_queue_place(queue, queue->first + 1);
	queue->free--;
	return block;
}

/**
 * ronbus_blocks_queue_give_back() - put a block that was taken back
 * @queue: the queue
 * @block: its number
 * @last: it is to be taken after all others, and not before them
 */
static inline void ronbus_blocks_queue_give_back(struct ronbus_blocks_queue *queue, __u32 block,
						 bool last)
{
	__u32 place;

	if (last) {
		place = ronbus_blocks_queue_place(queue, queue->first + queue->free);
	} else {
		place = ronbus_blocks_queue_place(queue, queue->first + queue->count - 1);
		queue->first = place;
	}
	queue->order[place] = block;
	queue->free++;
}

/**
 * ronbus_publish_block_check() - can this be published with a block
 * @blocks: the blocks of the bus
 * @payload: bytes a message of the bus can have
 * @args: what is to be published
 *
 * Return: 0, -EINVAL, -EOPNOTSUPP or -EMSGSIZE.
 */
static inline int ronbus_publish_block_check(const struct ronbus_blocks *blocks, __u32 payload,
					     const struct ronbus_publish_block *args)
{
	if (args->topic >= RONBUS_TOPICS_MAX || args->flags || args->pad || !args->len)
		return -EINVAL;
	if (!blocks->count)
		return -EOPNOTSUPP;
	if (args->len > blocks->size || args->event_len > payload - sizeof(args->ref))
		return -EMSGSIZE;
	return 0;
}

#endif /* _RONBUS_BLOCKS_QUEUE_H */
