/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * ronbus_blocks.h - blocks of large data that messages name, for module and library alike
 *
 * The memory begins with a generation for each block, which only the owner of the memory writes:
 * the kernel, or the embedded transport. Odd: the block holds what the message of that generation
 * says. Even: nothing that anybody may read. Blocks are used in turn; the oldest one is next,
 * whether it has been read or not: like the ring, blocks are lossy, and a publisher never waits.
 * What keeps a block is a pin, a word in the page of a subscriber:
 *
 *	reader	stores the pin; barrier P; is the generation still that of the message?
 *	owner	moves the generation on; barrier P'; is there a pin?
 *
 * At least one of them sees the other. A reader that finds another generation was overtaken, and
 * takes its pin back. An owner that finds a pin takes another block, and comes back to this one;
 * meanwhile no other reader can pin it, since its generation has moved on. So what is pinned is not
 * written, and all that an owner believes of a page that others write is that one of its own blocks
 * is to be left alone. Pins go with the page: nothing is left to undo when a subscriber dies.
 *
 *	R  pin, unpin: what was read before it	R' scan: pin before writing
 */
#ifndef _UAPI_RONBUS_BLOCKS_H
#define _UAPI_RONBUS_BLOCKS_H

#include "ronbus.h"
#include "ronbus_ring.h"

/* Where a test build stops a reader, with RB_STEP(): in between it may die. */
enum ronbus_block_step {
	RONBUS_STEP_PINNING = 64, /* the pin is stored, the generation not yet looked at */
	RONBUS_STEP_PINNED, /* the block is the reader's */
	RONBUS_STEP_STALE, /* it is not, and the pin is still there */
};

/**
 * struct ronbus_blocks - one side's view of the blocks; not shared
 * @generations: one for each block
 * @data: the first block
 * @size: bytes of a block
 * @count: how many there are
 */
struct ronbus_blocks {
	__u64 *generations;
	char *data;
	__u32 size;
	__u32 count;
};

static inline __u64 ronbus_blocks_head(__u32 count)
{
	return ((__u64)count * sizeof(__u64) + RONBUS_CACHE_LINE - 1) &
	       ~(__u64)(RONBUS_CACHE_LINE - 1);
}

/**
 * ronbus_blocks_bytes() - bytes that blocks take, before rounding up to pages
 * @count: how many
 * @size: bytes of each
 */
static inline __u64 ronbus_blocks_bytes(__u32 count, __u32 size)
{
	return ronbus_blocks_head(count) + (__u64)count * size;
}

/**
 * ronbus_blocks_view() - make a view of blocks in memory
 * @blocks: view to fill
 * @base: start of the mapping
 * @count: how many
 * @size: bytes of each
 */
static inline void ronbus_blocks_view(struct ronbus_blocks *blocks, void *base, __u32 count,
				      __u32 size)
{
	blocks->generations = (__u64 *)base;
	blocks->data = (char *)base + ronbus_blocks_head(count);
	blocks->size = size;
	blocks->count = count;
}

/* Of a number below the count. */
static inline void *ronbus_blocks_at(const struct ronbus_blocks *blocks, __u32 block)
{
	return blocks->data + (__u64)block * blocks->size;
}

/**
 * ronbus_blocks_named() - does a message name a block
 * @blocks: the blocks
 * @ref: what it says; may be anything
 */
static inline int ronbus_blocks_named(const struct ronbus_blocks *blocks,
				      const struct ronbus_block_ref *ref)
{
	return ref->block < blocks->count && ref->len <= blocks->size && ref->generation & 1;
}

/**
 * ronbus_blocks_pin() - keep a block from being used again, if it still is the message's
 * @blocks: the blocks
 * @pin: a word of the subscriber's page that is 0
 * @ref: what the message says, ronbus_blocks_named()
 *
 * Return: 1 if it is pinned; 0 if it holds other data by now.
 */
static inline int ronbus_blocks_pin(const struct ronbus_blocks *blocks, __u64 *pin,
				    const struct ronbus_block_ref *ref)
{
	/* barrier R, with R' in ronbus_block_pinned(): blocks.pml */
	RB_STORE_RELEASE(pin, (__u64)ref->block + 1);
	RB_STEP(RONBUS_STEP_PINNING);
	RB_MB(); /* barrier P, with P' in close(): blocks.pml */
	if (RB_READ(&blocks->generations[ref->block]) == ref->generation) {
		RB_STEP(RONBUS_STEP_PINNED);
		return 1;
	}
	RB_STEP(RONBUS_STEP_STALE);
	RB_WRITE(pin, 0);
	return 0;
}

/**
 * ronbus_blocks_unpin() - let a block be used again
 * @pin: the word
 */
static inline void ronbus_blocks_unpin(__u64 *pin)
{
	RB_STORE_RELEASE(pin, 0); /* barrier R, with R' in ronbus_block_pinned(): blocks.pml */
}

/**
 * ronbus_blocks_close() - from now on this block cannot be pinned; for its owner
 * @blocks: the blocks
 * @block: which
 */
static inline void ronbus_blocks_close(const struct ronbus_blocks *blocks, __u32 block)
{
	__u64 *generation = &blocks->generations[block];

	if (*generation & 1)
		RB_WRITE(generation, *generation + 1);
	RB_MB(); /* barrier P', with P in pin(): blocks.pml */
}

/**
 * ronbus_blocks_pinned() - does a subscriber have a closed block pinned; for the owner of blocks
 * @self: the subscriber's page; may hold anything
 * @block: the block
 */
static inline int ronbus_blocks_pinned(const struct ronbus_self *self, __u32 block)
{
	int pinned = 0;
	__u32 i;

	for (i = 0; i < RONBUS_PINS_MAX; i++)
		/* barrier R', with R in pin() and unpin(): blocks.pml */
		pinned |= RB_LOAD_ACQUIRE(&self->pins[i]) == (__u64)block + 1;
	return pinned;
}

/**
 * ronbus_blocks_open() - let a written block be pinned by a reader that knows its generation; for
 * its owner
 * @blocks: the blocks
 * @block: which, closed
 *
 * The message that tells readers its generation becomes READY after this.
 *
 * Return: its generation.
 */
static inline __u64 ronbus_blocks_open(const struct ronbus_blocks *blocks, __u32 block)
{
	__u64 generation = blocks->generations[block] + 1;

	RB_WRITE(&blocks->generations[block], generation);
	return generation;
}

#endif /* _UAPI_RONBUS_BLOCKS_H */
