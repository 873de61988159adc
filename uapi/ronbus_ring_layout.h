/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * ronbus_ring_layout.h - where the words of a ring are, and what they mean
 *
 * This is the ABI of the ring mapping. See ronbus_ring.h for the whole protocol.
 */
#ifndef _UAPI_RONBUS_RING_LAYOUT_H
#define _UAPI_RONBUS_RING_LAYOUT_H

#include "ronbus_ring_atomic.h"

/**
 * struct ronbus_meta - what there is to know of a message
 * @len: bytes of payload
 * @topic: its topic
 */
struct ronbus_meta {
	__u32 len;
	__u32 topic;
};

/**
 * struct ronbus_slot - a slot in the ring mapping; the payload follows it, and then the time
 * @state: see RONBUS_STATE()
 * @hole: highest lap whose position was skipped
 * @ready: set of subscribers the message is for
 * @meta: its length and topic
 */
struct ronbus_slot {
	__aligned_u64 state;
	__aligned_u64 hole;
	__aligned_u64 ready;
	struct ronbus_meta meta;
};

/**
 * struct ronbus_ring_head - start of the ring mapping
 * @head: a hint where to begin looking: every position before it has been claimed or skipped
 * @reserved: keeps slots off the two lines that a CPU fetches together with @head
 */
struct ronbus_ring_head {
	__aligned_u64 head;
	__aligned_u64 reserved[15];
};

/**
 * enum ronbus_layout - where the words of positions are
 * @RONBUS_LAYOUT_SLOTS: those of a position together
 * @RONBUS_LAYOUT_ARRAYS: an array of each (RONBUS_F_SOA)
 */
enum ronbus_layout {
	RONBUS_LAYOUT_SLOTS,
	RONBUS_LAYOUT_ARRAYS,
};

/**
 * struct ronbus_ring - one side's view of a ring; not shared
 * @head: the mapping
 * @slots: where slots, or arrays, begin in it
 * @mask: capacity - 1
 * @shift: binary logarithm of the capacity
 * @stride: bytes from one slot, or payload, to the next
 * @payload: bytes of payload a message can have
 * @array: bytes from one array of words to the next, with RONBUS_LAYOUT_ARRAYS
 * @layout: one of &enum ronbus_layout; code that is compiled for one layout sets it in a copy of
 *	the view, so that the compiler leaves out the other one
 * @timed: not 0 if messages say when they were published (RONBUS_F_TIME)
 * @clock_offset: nanoseconds that CLOCK_MONOTONIC is ahead on this side of what messages say,
 *	modulo 2^64; see &struct ronbus_publisher
 */
struct ronbus_ring {
	struct ronbus_ring_head *head;
	char *slots;
	__u32 mask;
	__u32 shift;
	__u32 stride;
	__u32 payload;
	__u32 array;
	__u32 layout;
	__u32 timed;
	__u64 clock_offset;
};

/*
 * A word that may be read only after the state of its slot has been seen. There is no such
 * structure.
 */
struct ronbus_guarded;

/**
 * struct ronbus_words - where the words of a position are; not shared
 * @state: see RONBUS_STATE()
 * @hole: highest lap whose position was skipped
 * @ready: set of subscribers the message is for: ronbus_words_ready()
 * @meta: its length and topic, &struct ronbus_meta: ronbus_words_len(), ronbus_words_topic()
 * @payload: NULL if it follows @meta: ronbus_words_payload()
 * @time: when it was published, if the ring is timed: ronbus_words_time()
 */
struct ronbus_words {
	__u64 *state;
	__u64 *hole;
	struct ronbus_guarded *ready;
	struct ronbus_guarded *meta;
	struct ronbus_guarded *payload;
	struct ronbus_guarded *time;
};

/**
 * struct ronbus_seen - a state that was seen with acquire; not shared
 * @state: see RONBUS_STATE()
 *
 * Made by ronbus_words_see() and nothing else; the library keeps one from ronbus_peek() on. If it
 * is READY and of the position's lap, the other words of the position may be read, and what they
 * say is true if ronbus_ring_unchanged() says so after that.
 */
struct ronbus_seen {
	__u64 state;
};

#define RONBUS_KIND_READY 0U
#define RONBUS_KIND_BUSY 1U
#define RONBUS_KIND_HOLE 2U

#define RONBUS_STATE_KIND_BITS 2
#define RONBUS_STATE_OWNER_BITS 6
#define RONBUS_STATE_LAP_SHIFT (RONBUS_STATE_KIND_BITS + RONBUS_STATE_OWNER_BITS)

/*
 * 56 bits of lap and at least two of index: 58 bits of position, nine years at a message a
 * nanosecond.
 */
#define RONBUS_STATE(lap, owner, kind)                                                           \
	(((__u64)(lap) << RONBUS_STATE_LAP_SHIFT) | ((__u64)(owner) << RONBUS_STATE_KIND_BITS) | \
	 (kind))

static inline __u64 ronbus_state_lap(__u64 state)
{
	return state >> RONBUS_STATE_LAP_SHIFT;
}

static inline __u32 ronbus_state_owner(__u64 state)
{
	return (state >> RONBUS_STATE_KIND_BITS) & ((1U << RONBUS_STATE_OWNER_BITS) - 1);
}

static inline __u32 ronbus_state_kind(__u64 state)
{
	return state & ((1U << RONBUS_STATE_KIND_BITS) - 1);
}

/* Slots begin on a cache line and fill whole ones, so that no two publishers share a line. */
#define RONBUS_CACHE_LINE 64U

/**
 * ronbus_ring_stride() - bytes from one slot to the next
 * @payload: bytes of payload, within the bounds of the ABI
 * @features: features of the bus
 */
static inline __u32 ronbus_ring_stride(__u32 payload, __u64 features)
{
	const __u32 time = features & RONBUS_F_TIME ? (__u32)sizeof(__u64) : 0;

	return (sizeof(struct ronbus_slot) + payload + time + RONBUS_CACHE_LINE - 1) &
	       ~(RONBUS_CACHE_LINE - 1);
}

/* Bytes of an array of a word for each position, to the end of its last cache line. */
static inline __u32 ronbus_ring_array(__u32 capacity)
{
	return (capacity * (__u32)sizeof(__u64) + RONBUS_CACHE_LINE - 1) & ~(RONBUS_CACHE_LINE - 1);
}

#define RONBUS_RING_ARRAYS 4U /* state, ready, meta, hole; then time, if timed, and the payloads */

/**
 * ronbus_ring_bytes() - bytes a ring takes, before rounding up to pages
 * @capacity: slots
 * @payload: bytes of payload
 * @features: features of the bus
 */
static inline __u64 ronbus_ring_bytes(__u32 capacity, __u32 payload, __u64 features)
{
	const __u32 timed = !!(features & RONBUS_F_TIME);

	if (features & RONBUS_F_SOA)
		return sizeof(struct ronbus_ring_head) +
		       (RONBUS_RING_ARRAYS + timed) * (__u64)ronbus_ring_array(capacity) +
		       (((__u64)capacity * payload + RONBUS_CACHE_LINE - 1) &
			~(__u64)(RONBUS_CACHE_LINE - 1));
	return sizeof(struct ronbus_ring_head) +
	       (__u64)capacity * ronbus_ring_stride(payload, features);
}

/**
 * ronbus_ring_view() - make a view of a ring in memory
 * @ring: view to fill
 * @base: start of the mapping
 * @capacity: slots, a power of two
 * @payload: bytes of payload
 * @features: features of the bus
 */
static inline void ronbus_ring_view(struct ronbus_ring *ring, void *base, __u32 capacity,
				    __u32 payload, __u64 features)
{
	int arrays = !!(features & RONBUS_F_SOA);

	ring->head = (struct ronbus_ring_head *)base;
	ring->slots = (char *)base + sizeof(struct ronbus_ring_head);
	ring->mask = capacity - 1;
	ring->shift = (__u32)__builtin_ctz(capacity);
	ring->stride = arrays ? payload : ronbus_ring_stride(payload, features);
	ring->payload = payload;
	ring->array = ronbus_ring_array(capacity);
	ring->layout = arrays ? RONBUS_LAYOUT_ARRAYS : RONBUS_LAYOUT_SLOTS;
	ring->timed = !!(features & RONBUS_F_TIME);
	ring->clock_offset = 0;
}

/**
 * ronbus_ring_reset() - make zeroed memory an empty ring
 * @ring: view of it
 */
static inline void ronbus_ring_reset(struct ronbus_ring *ring)
{
	RB_WRITE(&ring->head->head, (__u64)ring->mask + 1);
}

/*
 * Where the words of a position are: no other code knows. Any position is safe, even one that
 * another process made up: the mask keeps it inside the ring.
 */
RB_PART struct ronbus_words ronbus_ring_at(const struct ronbus_ring *ring, __u64 pos)
{
	const __u64 index = pos & ring->mask;
	struct ronbus_words at;
	struct ronbus_slot *slot;

	if (ring->layout == RONBUS_LAYOUT_ARRAYS) {
		char *word = ring->slots + index * sizeof(__u64);

		at.state = (__u64 *)(void *)word;
		at.ready = (struct ronbus_guarded *)(word + ring->array);
		at.meta = (struct ronbus_guarded *)(word + 2 * (__u64)ring->array);
		at.hole = (__u64 *)(void *)(word + 3 * (__u64)ring->array);
		at.time = (struct ronbus_guarded *)(word + 4 * (__u64)ring->array);
		at.payload = (struct ronbus_guarded *)(ring->slots +
						       (RONBUS_RING_ARRAYS + ring->timed) *
							       (__u64)ring->array +
						       index * ring->stride);
		return at;
	}
	slot = (struct ronbus_slot *)(void *)(ring->slots + index * ring->stride);
	at.state = &slot->state;
	at.hole = &slot->hole;
	at.ready = (struct ronbus_guarded *)&slot->ready;
	at.meta = (struct ronbus_guarded *)&slot->meta;
	at.payload = NULL;
	at.time = (struct ronbus_guarded *)((char *)(slot + 1) + ring->payload);
	return at;
}

/*
 * The address is computed where it is used, so that it does not occupy a register before. It is
 * computed as a number where the compiler's checks of memcpy() would not let a pointer leave the
 * member that it was made from.
 */
RB_PART __u64 *rb_payload(const struct ronbus_words *at)
{
	if (at->payload)
		return (__u64 *)(void *)at->payload;
#if defined(__KERNEL__) || defined(__cplusplus)
	return (__u64 *)((unsigned long)at->meta + sizeof(struct ronbus_meta));
#else
	return (__u64 *)(void *)((char *)at->meta + sizeof(struct ronbus_meta));
#endif
}

/**
 * ronbus_words_see() - look at the state of a position, to read what it says is there
 * @at: its words
 */
RB_PART struct ronbus_seen ronbus_words_see(const struct ronbus_words *at)
{
	struct ronbus_seen seen;

	seen.state = RB_LOAD_ACQUIRE(at->state); /* barrier B', with B in commit(): ring.pml */
	return seen;
}

/* The words of a position whose state was @seen. */

RB_PART __u64 ronbus_words_ready(const struct ronbus_words *at, struct ronbus_seen seen)
{
	(void)seen;
	return RB_READ((const __u64 *)(const void *)at->ready);
}

RB_PART __u32 ronbus_words_len(const struct ronbus_words *at, struct ronbus_seen seen)
{
	(void)seen;
	return RB_READ(&((const struct ronbus_meta *)(const void *)at->meta)->len);
}

RB_PART __u32 ronbus_words_topic(const struct ronbus_words *at, struct ronbus_seen seen)
{
	(void)seen;
	return RB_READ(&((const struct ronbus_meta *)(const void *)at->meta)->topic);
}

RB_PART const __u64 *ronbus_words_payload(const struct ronbus_words *at, struct ronbus_seen seen)
{
	(void)seen;
	return rb_payload(at);
}

/* Of the clock of this side of the ring; 0 where messages do not say when they were published. */
RB_PART __u64 ronbus_words_time(const struct ronbus_ring *ring, const struct ronbus_words *at,
				struct ronbus_seen seen)
{
	(void)seen;
	if (!ring->timed)
		return 0;
	return RB_READ((const __u64 *)(const void *)at->time) + ring->clock_offset;
}

RB_PART const __u64 *ronbus_ring_payload(const struct ronbus_ring *ring, __u64 pos,
					 struct ronbus_seen seen)
{
	const struct ronbus_words at = ronbus_ring_at(ring, pos);

	return ronbus_words_payload(&at, seen);
}

static inline __u64 ronbus_ring_lap(const struct ronbus_ring *ring, __u64 pos)
{
	return pos >> ring->shift;
}

/* The position of lap @lap in the slot of @pos. */
static inline __u64 ronbus_ring_pos(const struct ronbus_ring *ring, __u64 lap, __u64 pos)
{
	return lap << ring->shift | (pos & ring->mask);
}

/**
 * ronbus_ring_hint() - where to begin looking for a free position
 * @ring: the ring
 */
static inline __u64 ronbus_ring_hint(const struct ronbus_ring *ring)
{
	return RB_READ(&ring->head->head);
}

#endif /* _UAPI_RONBUS_RING_LAYOUT_H */
