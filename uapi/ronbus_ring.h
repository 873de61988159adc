/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * ronbus_ring.h - the ring protocol, the only implementation there is
 *
 * The same text is compiled into the kernel module and into the library. It keeps no state of its
 * own: everything is in the ring, which many processes map and any of them may leave at any
 * instruction.
 *
 * Positions count messages from the beginning of the bus. A ring of C slots begins at position C,
 * so that no position has lap 0, which is what zeroed memory says. Position p lives in slot
 * p % C, and its lap is p / C. The words of a slot:
 *
 *	state	lap, owner and kind (READY, BUSY or HOLE) of the newest position claimed here
 *	hole	the highest lap whose position a publisher passed by, the slot being held BUSY
 *	ready	set of subscribers this message is for
 *	meta	length and topic
 *	payload
 *	time	when it was published, with RONBUS_F_TIME
 *
 * Where they are is the layout of the ring. Ordinarily those of a position stand together, as
 * struct ronbus_slot, on cache lines of their own. With RONBUS_F_SOA there is an array of each, in
 * the order state, ready, meta, hole, time, payload, and each array begins on a cache line: who reads
 * one message after the other finds eight states on a line, and who looks for his own among those of
 * others reads nothing but state and ready. For that, publishers of neighbouring positions write
 * into the same lines. What is done with the words is the same in both.
 *
 * A publisher claims a position by moving its slot's state from an older lap to (own lap, BUSY),
 * writes, and moves it to READY. It never waits: a slot that somebody holds BUSY from an older lap
 * is marked in hole, and passed by. A reader of position p finds it READY, or a HOLE, or passed by
 * (hole has lap(p) and the state is older), or overtaken, or finds nothing yet.
 *
 * What is in a slot is read between two looks at its state: after one with acquire, which says
 * READY, and before one after barrier A', which says that nothing has changed. So the words but
 * state and hole have a type that nobody can read. The functions that read them ask for a struct
 * ronbus_seen, which the first of those looks returns, and nothing else does.
 *
 * Barriers. The comment beside each names its partner by letter, and the model in model/ that shows
 * what it is for; model/barriers checks that. The models are sequentially consistent; docs/design.md
 * has the table of all of them, and argues for each pair why it is enough on hardware that reorders.
 *
 *	A  claim: BUSY before payload            A' read: payload before second look at state
 *	B  commit: payload before READY          B' see: READY before payload
 *	C  claim: BUSY before look at hole       C' look: hole before second look at state
 *	D  publish: READY before look at armed   D' arm (kernel): armed before look at the ring
 */
#ifndef _UAPI_RONBUS_RING_H
#define _UAPI_RONBUS_RING_H

#ifdef __KERNEL__

#include <linux/compiler.h>
#include <linux/string.h>
#include <asm/barrier.h>
#include "ronbus.h"

#define RB_READ(p) READ_ONCE(*(p))
#define RB_WRITE(p, v) WRITE_ONCE(*(p), v)
#define RB_LOAD_ACQUIRE(p) smp_load_acquire(p)
#define RB_STORE_RELEASE(p, v) smp_store_release(p, v)
/* Both are full barriers, the first when it succeeds. */
#define RB_CAS(p, old, new) (cmpxchg(p, old, new) == (old))
#define RB_XCHG(p, v) ((void)xchg(p, v))
#define RB_MB() smp_mb()
#define RB_RMB() smp_rmb()
#define RB_WMB() smp_wmb()
#define RB_LIKELY(x) likely(x)
#define RB_UNLIKELY(x) unlikely(x)
#define RB_PART static __always_inline

#else /* !__KERNEL__ */

#include <stddef.h>
#include <string.h>
#include "ronbus.h"

#define RB_READ(p) __atomic_load_n(p, __ATOMIC_RELAXED)
#define RB_WRITE(p, v) __atomic_store_n(p, v, __ATOMIC_RELAXED)
#define RB_LOAD_ACQUIRE(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define RB_STORE_RELEASE(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)

static inline int rb_cas(__u64 *p, __u64 old, __u64 new_)
{
	return __atomic_compare_exchange_n(p, &old, new_, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

#ifdef __SANITIZE_THREAD__
#define RB_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RB_TSAN 1
#endif
#endif

/*
 * ThreadSanitizer does not know fences, and does not need them: every shared word is accessed
 * atomically. It gets an operation that is as strong.
 */
#ifdef RB_TSAN
static inline void rb_fence(void)
{
	static __u32 word;

	__atomic_fetch_add(&word, 1, __ATOMIC_SEQ_CST);
}
#define RB_MB() rb_fence()
#define RB_RMB() rb_fence()
#define RB_WMB() rb_fence()
#else
#define RB_MB() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define RB_RMB() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#define RB_WMB() __atomic_thread_fence(__ATOMIC_RELEASE)
#endif

/*
 * A locked instruction of x86 is a full barrier. Elsewhere C11's strongest read-modify-write lets
 * later accesses move up before its store, and needs help to be what the kernel's are.
 */
#if defined(__x86_64__) || defined(__i386__)
#define RB_CAS(p, old, new) rb_cas(p, old, new)
#define RB_XCHG(p, v) ((void)__atomic_exchange_n(p, v, __ATOMIC_SEQ_CST))
#else
#define RB_CAS(p, old, new) (rb_cas(p, old, new) ? (RB_MB(), 1) : 0)
#define RB_XCHG(p, v) ((void)__atomic_exchange_n(p, v, __ATOMIC_SEQ_CST), RB_MB())
#endif

#define RB_LIKELY(x) __builtin_expect(!!(x), 1)
#define RB_UNLIKELY(x) __builtin_expect(!!(x), 0)
/* Of a reader's fast path, in every program: a call would cost as much as what it does. */
#define RB_PART static __always_inline

#endif /* __KERNEL__ */

/* The race detectors understand words, not the copying of bytes that may be thrown away. */
#if defined(RB_TSAN) || defined(CONFIG_KCSAN)
#define RB_WHOLE_WORDS 1
#endif

/*
 * A test build defines this to stop a publisher at a chosen step; the steps are where a process
 * that dies leaves something behind.
 */
#ifndef RB_STEP
#define RB_STEP(step) ((void)0)
#endif

enum ronbus_step {
	RONBUS_STEP_CLAIMED, /* a slot is BUSY, its hole word not yet looked at again */
	RONBUS_STEP_OWNED, /* the slot is the publisher's, nothing written */
	RONBUS_STEP_WRITING, /* the slot's own words are written, the payload is not */
	RONBUS_STEP_WRITTEN, /* all is written, the slot still BUSY */
	RONBUS_STEP_COMMITTED, /* READY, armed not yet looked at */
	RONBUS_STEP_NOTIFYING, /* somebody sleeps, NOTIFY not yet called */
};

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
 * @hole: highest lap whose position was passed by
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
 * @head: a position that every earlier one is claimed or passed by: a hint where to begin looking
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
 * @layout: one of &enum ronbus_layout; who knows it when his code is compiled sets it in a copy of
 *	the view, and the compiler leaves out the other one
 * @timed: not 0 if messages say when they were published (RONBUS_F_TIME)
 * @clock_offset: nanoseconds that CLOCK_MONOTONIC is ahead on this side of what messages say, modulo
 *	2^64; see &struct ronbus_publisher
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

/* A word that is somebody else's until its state has been seen. There is no such structure. */
struct ronbus_guarded;

/**
 * struct ronbus_words - where the words of a position are; not shared
 * @state: see RONBUS_STATE()
 * @hole: highest lap whose position was passed by
 * @ready: set of subscribers the message is for: ronbus_words_ready()
 * @meta: its length and topic, &struct ronbus_meta: ronbus_words_len(), ronbus_words_topic()
 * @payload: NULL if it is behind @meta: ronbus_words_payload()
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
 * Where the words of a position are: this is known here, and nowhere else. Any position is safe,
 * whoever it comes from: the mask keeps it inside the ring.
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
 * Asked for where it is used: an address that nobody holds on to costs the compiler no register. By
 * way of a number where memcpy() would not have us leave the member that we come from.
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
 * ronbus_copy_in() - copy a message into a slot
 * @to: payload of the slot
 * @from: the message, of any alignment
 * @len: its bytes
 *
 * Readers may look at any time and throw away what they read. Common sizes and long messages are
 * left to memcpy(), which is faster, and may store in any order: nobody uses what is read before
 * the READY that barrier B puts behind it. A race detector sees whole words.
 */
static inline void ronbus_copy_in(__u64 *to, const void *from, __u32 len)
{
	const char *p = (const char *)from;
	__u64 word;

#ifndef RB_WHOLE_WORDS
	if ((__builtin_constant_p(len) && len) || len > 128) {
		memcpy(to, from, len);
		return;
	}
	switch (len) {
	case 8:
		memcpy(to, from, 8);
		return;
	case 16:
		memcpy(to, from, 16);
		return;
	case 32:
		memcpy(to, from, 32);
		return;
	case 64:
		memcpy(to, from, 64);
		return;
	}
#endif
	for (; len >= sizeof(word); len -= (__u32)sizeof(word), p += sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		RB_WRITE(to++, word);
	}
	if (len) {
		word = 0;
		memcpy(&word, p, len);
		RB_WRITE(to, word);
	}
}

/**
 * ronbus_copy_out() - copy a message out of a slot
 * @to: where to, of any alignment
 * @from: payload of the slot
 * @len: bytes, checked against the payload by the caller
 *
 * The copy is worth nothing before ronbus_ring_unchanged() has said so.
 */
static inline void ronbus_copy_out(void *to, const __u64 *from, __u32 len)
{
	char *p = (char *)to;
	__u64 word;

#ifndef RB_WHOLE_WORDS
	if ((__builtin_constant_p(len) && len) || len > 128) {
		memcpy(to, from, len);
		return;
	}
	switch (len) {
	case 8:
		memcpy(to, from, 8);
		return;
	case 16:
		memcpy(to, from, 16);
		return;
	case 32:
		memcpy(to, from, 32);
		return;
	case 64:
		memcpy(to, from, 64);
		return;
	}
#endif
	for (; len >= sizeof(word); len -= (__u32)sizeof(word), p += sizeof(word)) {
		word = RB_READ(from++);
		memcpy(p, &word, sizeof(word));
	}
	if (len) {
		word = RB_READ(from);
		memcpy(p, &word, len);
	}
}

/**
 * struct ronbus_claim - a publisher looking for a position
 * @pos: where it looks next; after a claim the position it has
 * @stalls: slots it passed by because others hold them, at most one lap of them
 */
struct ronbus_claim {
	__u64 pos;
	__u32 stalls;
};

/**
 * ronbus_ring_claim() - claim a position on a ring of many publishers
 * @ring: the ring
 * @claim: where to begin: @pos from ronbus_ring_hint() or behind the last claim of this batch, and
 *	@stalls 0 for each message; to call again after a return of -1, leave it as it is
 * @owner: number of the publisher
 * @budget: slots to look at before giving up
 *
 * Without the bound on @stalls a publisher would run away through positions once all slots are
 * held: a variant that failed the model.
 *
 * Return: 0 with the slot of @claim->pos BUSY and this caller's to write; -1 when the budget is
 * used up, or a whole lap of slots is held by others (@claim->stalls is above the mask).
 */
RB_PART int ronbus_ring_claim(const struct ronbus_ring *ring, struct ronbus_claim *claim,
			      __u32 owner, __u32 budget)
{
	while (budget-- && claim->stalls <= ring->mask) {
		__u64 pos = claim->pos, lap = ronbus_ring_lap(ring, pos);
		const struct ronbus_words at = ronbus_ring_at(ring, pos);
		/* barrier B', with B in commit(): what was written here before is; ring.pml */
		__u64 state = RB_LOAD_ACQUIRE(at.state);
		__u64 hole;

		if (ronbus_state_lap(state) >= lap) { /* taken */
			claim->pos = ronbus_ring_pos(ring, ronbus_state_lap(state), pos) + 1;
			continue;
		}

		hole = RB_READ(at.hole);
		if (ronbus_state_kind(state) == RONBUS_KIND_BUSY) { /* held: pass it by */
			/* As a barrier it has no partner: D comes before anybody is woken for it. */
			if (hole < lap && !RB_CAS(at.hole, hole, lap))
				continue;
			claim->pos++;
			claim->stalls++;
			continue;
		}
		if (hole >= lap) { /* passed by already; a reader may have gone on */
			claim->pos++;
			continue;
		}

		/* barriers A and C, with A' in unchanged() and C' in look(): ring.pml */
		if (!RB_CAS(at.state, state, RONBUS_STATE(lap, owner, RONBUS_KIND_BUSY)))
			continue;
		RB_STEP(RONBUS_STEP_CLAIMED);
		if (RB_UNLIKELY(RB_READ(at.hole) >= lap)) {
			/*
			 * Between our look at hole and the CAS the slot was held, passed by, and
			 * let go: readers may be past it. For whoever claims the slot next it is
			 * barrier B, with B' in claim(): ring.pml
			 */
			RB_STORE_RELEASE(at.state, RONBUS_STATE(lap, owner, RONBUS_KIND_HOLE));
			claim->pos++;
			continue;
		}
		RB_STEP(RONBUS_STEP_OWNED);
		return 0;
	}
	return -1;
}

/**
 * ronbus_ring_begin() - take a position on an exclusive ring
 * @ring: the ring
 * @pos: the position behind the last one
 * @owner: number of the publisher, the only one there is
 */
RB_PART void ronbus_ring_begin(const struct ronbus_ring *ring, __u64 pos, __u32 owner)
{
	RB_WRITE(ronbus_ring_at(ring, pos).state,
		 RONBUS_STATE(ronbus_ring_lap(ring, pos), owner, RONBUS_KIND_BUSY));
	RB_WMB(); /* barrier A, with A' in unchanged(): ring.pml */
	RB_STEP(RONBUS_STEP_OWNED);
}

/**
 * ronbus_ring_write() - fill a claimed slot
 * @ring: the ring
 * @pos: its position
 * @ready: set of subscribers the message is for
 * @topic: its topic
 * @data: its bytes
 * @len: how many, at most the payload
 */
RB_PART void ronbus_ring_write(const struct ronbus_ring *ring, __u64 pos, __u64 ready, __u32 topic,
			       const void *data, __u32 len)
{
	const struct ronbus_words at = ronbus_ring_at(ring, pos);
	struct ronbus_meta *meta = (struct ronbus_meta *)(void *)at.meta;

	RB_WRITE((__u64 *)(void *)at.ready, ready);
	RB_WRITE(&meta->len, len);
	RB_WRITE(&meta->topic, topic);
	RB_STEP(RONBUS_STEP_WRITING);
	ronbus_copy_in(rb_payload(&at), data, len);
	RB_STEP(RONBUS_STEP_WRITTEN);
}

/**
 * ronbus_ring_stamp() - say when the message in a claimed slot was published
 * @ring: the ring, timed
 * @pos: its position
 * @time: by CLOCK_MONOTONIC of this side, in nanoseconds
 */
RB_PART void ronbus_ring_stamp(const struct ronbus_ring *ring, __u64 pos, __u64 time)
{
	RB_WRITE((__u64 *)(void *)ronbus_ring_at(ring, pos).time, time - ring->clock_offset);
}

/**
 * ronbus_ring_commit() - make a message visible
 * @ring: the ring
 * @pos: its position
 * @owner: number of the publisher
 */
RB_PART void ronbus_ring_commit(const struct ronbus_ring *ring, __u64 pos, __u32 owner)
{
	/* barrier B, with B' in see(): ring.pml */
	RB_STORE_RELEASE(ronbus_ring_at(ring, pos).state,
			 RONBUS_STATE(ronbus_ring_lap(ring, pos), owner, RONBUS_KIND_READY));
}

/**
 * ronbus_ring_commit_last() - make a message visible, and be ready to look who sleeps
 * @ring: the ring
 * @pos: its position
 * @owner: number of the publisher
 *
 * For the last message of a call on a bus with RONBUS_F_EDGE_NOTIFY: one instruction is barrier B
 * and barrier D, whose partner D' is where the kernel arms a subscriber.
 */
RB_PART void ronbus_ring_commit_last(const struct ronbus_ring *ring, __u64 pos, __u32 owner)
{
	/* barriers B and D, with B' in see() and D' in arming: ring.pml, wake.pml */
	RB_XCHG(ronbus_ring_at(ring, pos).state,
		RONBUS_STATE(ronbus_ring_lap(ring, pos), owner, RONBUS_KIND_READY));
	RB_STEP(RONBUS_STEP_COMMITTED);
}

/**
 * ronbus_ring_hint() - where to begin looking for a free position
 * @ring: the ring
 */
static inline __u64 ronbus_ring_hint(const struct ronbus_ring *ring)
{
	return RB_READ(&ring->head->head);
}

/**
 * ronbus_ring_advance() - move the hint behind a claimed position
 * @ring: the ring
 * @pos: the position behind the last one claimed
 *
 * Two publishers may leave the smaller value: a hint that is late costs a few looks, never a
 * message.
 */
static inline void ronbus_ring_advance(const struct ronbus_ring *ring, __u64 pos)
{
	if (RB_READ(&ring->head->head) < pos)
		RB_WRITE(&ring->head->head, pos);
}

/**
 * ronbus_ring_reached() - has a position been claimed, or passed by
 * @ring: the ring
 * @pos: the position
 */
static inline int ronbus_ring_reached(const struct ronbus_ring *ring, __u64 pos)
{
	const struct ronbus_words at = ronbus_ring_at(ring, pos);
	__u64 lap = ronbus_ring_lap(ring, pos);

	return ronbus_state_lap(RB_READ(at.state)) >= lap || RB_READ(at.hole) >= lap;
}

/* Positions after the hint that ronbus_ring_tail() looks at before it searches. */
#define RONBUS_TAIL_LOOKS 8U

/**
 * ronbus_ring_tail() - the first position that nobody has reached
 * @ring: the ring
 *
 * Publishers reach positions in order, so that what is reached ends once in a lap. The hint is
 * mostly right. Where it is far behind, because a publisher stopped before it stored an old one or
 * because somebody lies, a binary search finds the end: at most RONBUS_TAIL_LOOKS looks and the
 * binary logarithm of the capacity, whatever the ring says.
 *
 * Return: that position; a moment later it may be claimed.
 */
static inline __u64 ronbus_ring_tail(const struct ronbus_ring *ring)
{
	__u64 pos = ronbus_ring_hint(ring), high;
	__u32 looks;

	for (looks = 0; looks < RONBUS_TAIL_LOOKS; looks++) {
		const struct ronbus_words at = ronbus_ring_at(ring, pos);
		/* It has no partner: readers look again at whatever they read. */
		__u64 lap = ronbus_state_lap(RB_LOAD_ACQUIRE(at.state));
		__u64 hole = RB_READ(at.hole);

		if (lap < hole)
			lap = hole;
		if (lap < ronbus_ring_lap(ring, pos))
			return pos;
		pos = ronbus_ring_pos(ring, lap, pos) + 1;
	}
	/* The position before @pos is the newest of its slot: it is reached, and a lap later not. */
	high = pos + ring->mask;
	while (pos != high) {
		const __u64 middle = pos + (high - pos) / 2;

		if (ronbus_ring_reached(ring, middle))
			pos = middle + 1;
		else
			high = middle;
	}
	return pos;
}

/**
 * enum ronbus_look - what stands at a position
 * @RONBUS_LOOK_EMPTY: nothing yet
 * @RONBUS_LOOK_READY: a message
 * @RONBUS_LOOK_HOLE: nothing, and nothing will ever
 * @RONBUS_LOOK_LAGGED: it was overtaken
 */
enum ronbus_look {
	RONBUS_LOOK_EMPTY,
	RONBUS_LOOK_READY,
	RONBUS_LOOK_HOLE,
	RONBUS_LOOK_LAGGED,
};

/**
 * union ronbus_found - what ronbus_ring_look() found; not shared
 * @seen: with RONBUS_LOOK_READY the state
 * @next: with RONBUS_LOOK_LAGGED the position to go on at
 */
union ronbus_found {
	struct ronbus_seen seen;
	__u64 next;
};

/* Behind @newest, which is at least a lap ahead of @pos, where a reader of @pos goes on. */
static inline __u64 ronbus_ring_oldest(const struct ronbus_ring *ring, __u64 pos, __u64 newest)
{
	__u64 head = ronbus_ring_hint(ring);
	__u64 oldest;

	if (head <= newest)
		head = newest + 1;
	oldest = head - ring->mask - 1;
	return oldest > pos ? oldest : pos + 1; /* whatever the ring says, readers go forward */
}

/**
 * ronbus_ring_look() - look at a position
 * @ring: the ring
 * @pos: the position
 * @found: what else there is to say
 *
 * A position held BUSY keeps its readers waiting, for it may still become a message, but not for
 * longer than a lap: once a publisher has come around and passed the slot by, a reader that
 * stands here has been overtaken like any other.
 *
 * Return: one of &enum ronbus_look.
 */
RB_PART enum ronbus_look ronbus_ring_look(const struct ronbus_ring *ring, __u64 pos,
					  union ronbus_found *found)
{
	const struct ronbus_words at = ronbus_ring_at(ring, pos);
	__u64 lap = ronbus_ring_lap(ring, pos);
	struct ronbus_seen seen = ronbus_words_see(&at);
	__u64 newest;

	if (ronbus_state_lap(seen.state) < lap) {
		if (RB_LIKELY(RB_READ(at.hole) < lap))
			return RONBUS_LOOK_EMPTY;
		/*
		 * Passed by, unless a claim came between: barrier C', with C in claim(): ring.pml.
		 * Either we see that claim now, or it sees the mark we saw and makes the position a
		 * HOLE.
		 */
		RB_MB();
		seen = ronbus_words_see(&at);
		if (ronbus_state_lap(seen.state) < lap)
			return RONBUS_LOOK_HOLE;
	}

	newest = ronbus_state_lap(seen.state);
	if (RB_LIKELY(newest == lap)) {
		if (RB_LIKELY(ronbus_state_kind(seen.state) == RONBUS_KIND_READY)) {
			found->seen = seen;
			return RONBUS_LOOK_READY;
		}
		if (ronbus_state_kind(seen.state) != RONBUS_KIND_BUSY)
			return RONBUS_LOOK_HOLE;
		newest = RB_READ(at.hole);
		if (newest <= lap)
			return RONBUS_LOOK_EMPTY;
	}
	found->next = ronbus_ring_oldest(ring, pos, ronbus_ring_pos(ring, newest, pos));
	return RONBUS_LOOK_LAGGED;
}

/**
 * ronbus_ring_ready() - is there a message at a position
 * @ring: the ring
 * @pos: the position
 * @seen: its state
 *
 * The one look of a reader that keeps up; when it fails, ronbus_ring_look() says why.
 */
RB_PART int ronbus_ring_ready(const struct ronbus_ring *ring, __u64 pos, struct ronbus_seen *seen)
{
	const __u64 owner = RONBUS_STATE(0, (1U << RONBUS_STATE_OWNER_BITS) - 1, 0);
	const struct ronbus_words at = ronbus_ring_at(ring, pos);

	*seen = ronbus_words_see(&at);
	return (seen->state & ~owner) ==
	       RONBUS_STATE(ronbus_ring_lap(ring, pos), 0, RONBUS_KIND_READY);
}

/* The same for who knows where the state word is. */
RB_PART int ronbus_state_unchanged(const __u64 *at, __u64 state)
{
	RB_RMB(); /* barrier A', with A in claim() and begin(): ring.pml */
	return RB_READ(at) == state;
}

/**
 * ronbus_ring_unchanged() - was the message still whole after it was read
 * @ring: the ring
 * @pos: its position
 * @seen: its state, as it was seen before that
 */
RB_PART int ronbus_ring_unchanged(const struct ronbus_ring *ring, __u64 pos,
				  struct ronbus_seen seen)
{
	return ronbus_state_unchanged(ronbus_ring_at(ring, pos).state, seen.state);
}

/* With RONBUS_F_SOA the states of so many positions share a cache line. */
#define RONBUS_RUN (RONBUS_CACHE_LINE / (__u32)sizeof(__u64))

/*
 * A run is positions that follow each other and whose words do so too: up to the end of a line of
 * states, or of a ring that is shorter. They have one lap.
 */
static inline __u32 ronbus_run_length(const struct ronbus_ring *ring, __u64 pos, __u64 most)
{
	const __u32 last = (RONBUS_RUN - 1) & ring->mask;
	__u32 length = last + 1 - ((__u32)pos & last);

	return length < most ? length : (__u32)most;
}

/* The words of the position that is @i behind that of @at, in the same run. */
RB_PART struct ronbus_words ronbus_run_at(const struct ronbus_ring *ring,
					  const struct ronbus_words *at, __u32 i)
{
	const __u64 offset = (__u64)i * ring->stride, word = (__u64)i * sizeof(__u64);
	struct ronbus_words its;

	if (ring->layout == RONBUS_LAYOUT_ARRAYS) {
		its.state = at->state + i;
		its.hole = at->hole + i;
		its.ready = (struct ronbus_guarded *)((char *)at->ready + word);
		its.meta = (struct ronbus_guarded *)((char *)at->meta + word);
		its.payload = (struct ronbus_guarded *)((char *)at->payload + offset);
		its.time = (struct ronbus_guarded *)((char *)at->time + word);
		return its;
	}
	its.state = (__u64 *)(void *)((char *)at->state + offset);
	its.hole = (__u64 *)(void *)((char *)at->hole + offset);
	its.ready = (struct ronbus_guarded *)((char *)at->ready + offset);
	its.meta = (struct ronbus_guarded *)((char *)at->meta + offset);
	its.payload = NULL;
	its.time = (struct ronbus_guarded *)((char *)at->time + offset);
	return its;
}

/**
 * ronbus_ring_run() - how many messages stand one behind the other
 * @ring: the ring
 * @at: the words of the first position
 * @pos: the first position
 * @most: how many to look at, at most ronbus_run_length()
 * @seen: their states
 *
 * What ronbus_ring_ready() is for one. Behind the reading, ronbus_ring_run_unchanged().
 */
RB_PART __u32 ronbus_ring_run(const struct ronbus_ring *ring, const struct ronbus_words *at,
			      __u64 pos, __u32 most, struct ronbus_seen *seen)
{
	const __u64 owner = RONBUS_STATE(0, (1U << RONBUS_STATE_OWNER_BITS) - 1, 0);
	const __u64 ready = RONBUS_STATE(ronbus_ring_lap(ring, pos), 0, RONBUS_KIND_READY);
	__u32 count;

	for (count = 0; count < most; count++) {
		const struct ronbus_words its = ronbus_run_at(ring, at, count);

		seen[count] = ronbus_words_see(&its);
		if ((seen[count].state & ~owner) != ready)
			break;
	}
	return count;
}

/**
 * ronbus_ring_run_unchanged() - how many of them were whole after they were read, from the first
 * @ring: the ring
 * @at: the words of the first position
 * @count: how many were read
 * @seen: their states, as they were seen before that
 *
 * One barrier is enough for all: each payload was read before it, each state is looked at behind.
 */
RB_PART __u32 ronbus_ring_run_unchanged(const struct ronbus_ring *ring,
					const struct ronbus_words *at, __u32 count,
					const struct ronbus_seen *seen)
{
	__u32 i = 0;

	RB_RMB(); /* barrier A', with A in claim() and begin(): ring.pml */
	while (i < count && RB_READ(ronbus_run_at(ring, at, i).state) == seen[i].state)
		i++;
	return i;
}

/**
 * struct ronbus_interest - which messages a subscriber reads; not shared
 * @bit: its bit in every mask with RONBUS_F_INTEREST; 0 without, to read all
 * @topics: set of topics it wants
 * @asked: all it has wanted since it joined
 * @joined: the position behind what was there when it joined
 */
struct ronbus_interest {
	__u64 bit;
	__u64 topics;
	__u64 asked;
	__u64 joined;
};

/* What ronbus_ring_wanted() says, for who has the words. */
static inline int ronbus_words_wanted(const struct ronbus_words *at, __u64 pos,
				      struct ronbus_seen seen,
				      const struct ronbus_interest *interest)
{
	__u64 topics;

	if (pos < interest->joined)
		topics = RB_READ(&interest->topics);
	else if (ronbus_words_ready(at, seen) & interest->bit)
		topics = RB_READ(&interest->asked);
	else
		return 0;
	return topics >> ronbus_words_topic(at, seen) % RONBUS_TOPICS_MAX & 1;
}

/**
 * ronbus_ring_wanted() - is a message for a subscriber
 * @ring: the ring
 * @pos: position of a message that is READY
 * @seen: its state
 * @interest: what the subscriber reads
 *
 * What was there when it joined was addressed to others, perhaps to one who had the same bit: there
 * the topic decides. Behind that the publisher has, when it took the audience; but one that took it
 * from before the join, and was slow, meant the one before, whose topics need not be these.
 *
 * Worth nothing before ronbus_ring_unchanged() has said so.
 */
static inline int ronbus_ring_wanted(const struct ronbus_ring *ring, __u64 pos,
				     struct ronbus_seen seen,
				     const struct ronbus_interest *interest)
{
	const struct ronbus_words at = ronbus_ring_at(ring, pos);

	return ronbus_words_wanted(&at, pos, seen, interest);
}

/**
 * ronbus_ring_others() - how many messages, one behind the other, are for others
 * @ring: the ring
 * @pos: the position to begin at
 * @interest: what the subscriber reads
 *
 * Return: how many there are to the end of the run, or up to one that is for it, or to the first
 * position without a message; they were whole, so there is nothing to say so.
 */
RB_PART __u32 ronbus_ring_others(const struct ronbus_ring *ring, __u64 pos,
				 const struct ronbus_interest *interest)
{
	const __u64 owner = RONBUS_STATE(0, (1U << RONBUS_STATE_OWNER_BITS) - 1, 0);
	const __u64 ready = RONBUS_STATE(ronbus_ring_lap(ring, pos), 0, RONBUS_KIND_READY);
	const __u32 length = ronbus_run_length(ring, pos, RONBUS_RUN);
	const struct ronbus_words at = ronbus_ring_at(ring, pos);
	struct ronbus_seen seen[RONBUS_RUN];
	__u32 i;

	for (i = 0; i < length; i++) {
		const struct ronbus_words its = ronbus_run_at(ring, &at, i);

		seen[i] = ronbus_words_see(&its);
		if ((seen[i].state & ~owner) != ready)
			break;
		if (ronbus_words_wanted(&its, pos + i, seen[i], interest)) {
			__builtin_prefetch(
				ronbus_words_payload(&its, seen[i])); /* it is read next */
			break;
		}
	}
	return ronbus_ring_run_unchanged(ring, &at, i, seen);
}

/**
 * ronbus_ring_run_wanted() - which messages of a run are for a subscriber
 * @ring: the ring
 * @pos: the position to begin at
 * @interest: what the subscriber reads
 * @seen: their states
 * @wanted: set of those that are for it, the one at @pos in bit 0
 *
 * All of them were whole when this was found; who reads one asks again, ronbus_state_unchanged().
 *
 * Return: how many messages there are, one behind the other; 0 where they were there before the
 * subscriber, and ronbus_ring_wanted() has to say of each.
 */
RB_PART __u32 ronbus_ring_run_wanted(const struct ronbus_ring *ring, __u64 pos,
				     const struct ronbus_interest *interest,
				     struct ronbus_seen *seen, __u32 *wanted)
{
	const __u64 owner = RONBUS_STATE(0, (1U << RONBUS_STATE_OWNER_BITS) - 1, 0);
	const __u64 ready = RONBUS_STATE(ronbus_ring_lap(ring, pos), 0, RONBUS_KIND_READY);
	const __u32 length = ronbus_run_length(ring, pos, RONBUS_RUN);
	const struct ronbus_words at = ronbus_ring_at(ring, pos);
	const __u64 topics = RB_READ(&interest->asked);
	__u32 i, set = 0;

	*wanted = 0;
	if (RB_UNLIKELY(pos < interest->joined))
		return 0;
	for (i = 0; i < length; i++) {
		const struct ronbus_words its = ronbus_run_at(ring, &at, i);

		seen[i] = ronbus_words_see(&its);
		if ((seen[i].state & ~owner) != ready)
			break;
		if (ronbus_words_ready(&its, seen[i]) & interest->bit &&
		    topics >> ronbus_words_topic(&its, seen[i]) % RONBUS_TOPICS_MAX & 1)
			set |= 1U << i;
	}
	i = ronbus_ring_run_unchanged(ring, &at, i, seen);
	*wanted = set & ((1U << i) - 1);
	return i;
}

/**
 * struct ronbus_ahead - what a subscriber has in front of it
 * @end: the position after the last one that has been looked at
 * @messages: messages for it up to there
 * @more: it is overtaken, or there may be messages that have not been looked for
 * @first: the first of the messages, if there is one
 */
struct ronbus_ahead {
	__u64 end;
	__u32 messages;
	__u32 more;
	__u64 first;
};

/**
 * ronbus_ring_ahead_more() - go on counting messages
 * @ring: the ring
 * @ahead: what has been counted so far, from @end on
 * @interest: what the subscriber reads
 * @messages: enough of them
 * @budget: positions to look at
 *
 * Ends at the first position that nothing is to be read at yet, if nothing ends it before; to find
 * that out takes nothing from the budget.
 *
 * Return: what is left of the budget.
 */
static inline __u32 ronbus_ring_ahead_more(const struct ronbus_ring *ring,
					   struct ronbus_ahead *ahead,
					   const struct ronbus_interest *interest, __u32 messages,
					   __u32 budget)
{
	union ronbus_found found;

	for (; ahead->messages < messages; budget--, ahead->end++) {
		enum ronbus_look look = ronbus_ring_look(ring, ahead->end, &found);
		__u32 wanted = 1;

		if (look == RONBUS_LOOK_EMPTY)
			break;
		if (look == RONBUS_LOOK_LAGGED || !budget) {
			ahead->more = 1;
			break;
		}
		if (look != RONBUS_LOOK_READY)
			continue;
		if (interest->bit) {
			wanted = (__u32)ronbus_ring_wanted(ring, ahead->end, found.seen, interest);
			if (!ronbus_ring_unchanged(ring, ahead->end, found.seen))
				ahead->more = 1;
		}
		if (wanted && !ahead->messages++)
			ahead->first = ahead->end;
	}
	return budget;
}

/**
 * ronbus_ring_ahead() - count messages
 * @ring: the ring
 * @pos: where to begin
 * @interest: what the subscriber reads
 * @messages: enough of them
 * @budget: positions to look at
 */
static inline struct ronbus_ahead ronbus_ring_ahead(const struct ronbus_ring *ring, __u64 pos,
						    const struct ronbus_interest *interest,
						    __u32 messages, __u32 budget)
{
	struct ronbus_ahead ahead = { pos, 0, 0, 0 };

	ronbus_ring_ahead_more(ring, &ahead, interest, messages, budget);
	return ahead;
}

/**
 * ronbus_ring_claimed() - does somebody hold a position, or has it been held
 * @ring: the ring
 * @pos: the position
 */
static inline int ronbus_ring_claimed(const struct ronbus_ring *ring, __u64 pos)
{
	return ronbus_state_lap(RB_READ(ronbus_ring_at(ring, pos).state)) >=
	       ronbus_ring_lap(ring, pos);
}

/**
 * ronbus_ring_repair() - take back what a publisher that is gone holds
 * @ring: the ring
 * @owner: its number
 * @first: first slot to look at
 * @count: slots to look at
 *
 * Return: slots taken back.
 */
static inline __u32 ronbus_ring_repair(const struct ronbus_ring *ring, __u32 owner, __u32 first,
				       __u32 count)
{
	__u32 repaired = 0;

	for (; count; count--, first++) {
		const struct ronbus_words at = ronbus_ring_at(ring, first);
		__u64 state = RB_READ(at.state);
		__u64 lap = ronbus_state_lap(state);

		if (state != RONBUS_STATE(lap, owner, RONBUS_KIND_BUSY))
			continue;
		/* For whoever claims the slot next: barrier B, with B' in claim(): ring.pml */
		if (RB_CAS(at.state, state, RONBUS_STATE(lap, owner, RONBUS_KIND_HOLE)))
			repaired++;
	}
	return repaired;
}

#endif /* _UAPI_RONBUS_RING_H */
