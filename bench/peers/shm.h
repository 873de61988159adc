/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * shm.h - a ring of slots in shared memory: one writer, readers with cursors of their own
 *
 * What a program could do without ronbus, with as little as is needed for the same promises while
 * all goes well: the oldest is overwritten, the writer never waits, a reader knows how much it lost.
 * Nothing here survives a process that dies or misbehaves, there is one writer, everybody can write
 * everywhere, and the members have to know each other.
 *
 * Position p is in slot p % SLOTS. The state of a slot is 2p + 1 while p is written, then 2p + 2.
 */
#ifndef RONBUS_PEER_SHM_H
#define RONBUS_PEER_SHM_H

#include "peer.h"

#define SLOTS BURST

struct slot {
	uint64_t state;
	uint64_t len;
	unsigned char data[];
};

struct ring {
	uint64_t asleep; /* the readers to wake; alone on its line and on the next, which is fetched with it */
	uint64_t unused[15];
	unsigned char slots[];
};

/* One side's view of a ring. */
struct cursor {
	struct ring *ring;
	uint64_t position;
	size_t stride;
	uint64_t lost;
};

/* Half a cache line, so that few slots are spread over more lines than they fill. */
static size_t ring_stride(void)
{
	return (sizeof(struct slot) + peer.payload + 31) & ~31UL;
}

static struct ring *ring_make(void)
{
	return peer_memory(sizeof(struct ring) + SLOTS * ring_stride());
}

static struct cursor ring_cursor(struct ring *ring)
{
	return (struct cursor){ .ring = ring, .stride = ring_stride() };
}

static ALWAYS_INLINE struct slot *ring_slot(const struct cursor *cursor)
{
	return (struct slot *)(cursor->ring->slots + cursor->position % SLOTS * cursor->stride);
}

static ALWAYS_INLINE void copy(void *to, const void *from, size_t len)
{
	/* What is known when compiled needs no call. */
	if (__builtin_constant_p(len) || len > 64)
		memcpy(to, from, len);
	else if (len == 8)
		memcpy(to, from, 8);
	else if (len == 32)
		memcpy(to, from, 32);
	else
		memcpy(to, from, len);
}

static ALWAYS_INLINE void ring_write(struct cursor *cursor, const void *data, size_t len)
{
	struct slot *slot = ring_slot(cursor);
	uint64_t state = 2 * cursor->position++ + 1;

	__atomic_store_n(&slot->state, state, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE); /* with the fence of ring_read() */
	slot->len = len;
	copy(slot->data, data, len);
	/* Commits, and is the full barrier before the look at asleep. */
	__atomic_exchange_n(&slot->state, state + 1, __ATOMIC_SEQ_CST);
}

/*
 * Go on at the oldest position that can still be there. What a slot holds says that of all before it
 * only; so look again until the next slot has not been used again. Returns -1, as ring_read() does.
 */
static NOINLINE int ring_overtaken(struct cursor *cursor, uint64_t state)
{
	uint64_t from = cursor->position;

	do {
		cursor->position = (state - 1) / 2 + 1 - SLOTS;
		state = __atomic_load_n(&ring_slot(cursor)->state, __ATOMIC_ACQUIRE);
	} while (state > 2 * cursor->position + 2);
	cursor->lost += cursor->position - from;
	return -1;
}

/* Length of the message; 0: there is none; -1: some were lost, see @lost. */
static ALWAYS_INLINE int ring_read(struct cursor *cursor, void *buffer, size_t size)
{
	struct slot *slot = ring_slot(cursor);
	uint64_t state = __atomic_load_n(&slot->state, __ATOMIC_ACQUIRE);
	uint64_t full = 2 * cursor->position + 2, len;

	if (state != full)
		return state < full ? 0 : ring_overtaken(cursor, state);
	len = slot->len;
	if (len == size)
		copy(buffer, slot->data, size);
	else
		copy(buffer, slot->data, len < size ? len : size);
	__atomic_thread_fence(__ATOMIC_ACQUIRE); /* with the fence of ring_write() */
	state = __atomic_load_n(&slot->state, __ATOMIC_RELAXED);
	if (state != full)
		return ring_overtaken(cursor, state);
	cursor->position++;
	return (int)len;
}

#endif /* RONBUS_PEER_SHM_H */
