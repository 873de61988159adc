/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * ronbus_ring_publish.h - what a publisher does with a ring: claim, write, commit
 *
 * Also what the owner of a ring does after a publisher has died. See ronbus_ring.h for the whole
 * protocol.
 */
#ifndef _UAPI_RONBUS_RING_PUBLISH_H
#define _UAPI_RONBUS_RING_PUBLISH_H

#include "ronbus_ring_layout.h"

enum ronbus_step {
	RONBUS_STEP_CLAIMED, /* a slot is BUSY, its hole word not yet looked at again */
	RONBUS_STEP_OWNED, /* the slot is the publisher's, nothing written */
	RONBUS_STEP_WRITING, /* the slot's own words are written, the payload is not */
	RONBUS_STEP_WRITTEN, /* all is written, the slot still BUSY */
	RONBUS_STEP_COMMITTED, /* READY, armed not yet looked at */
	RONBUS_STEP_NOTIFYING, /* a subscriber sleeps, NOTIFY not yet called */
};

/**
 * ronbus_copy_in() - copy a message into a slot
 * @to: payload of the slot
 * @from: the message, of any alignment
 * @len: its bytes
 *
 * Readers may read at any time, and discard what they read too early. Common sizes and long
 * messages are left to memcpy(), which is faster. It may store in any order, since no reader uses
 * the bytes before it has seen READY, which barrier B orders after them. A race detector sees whole
 * words.
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
 * struct ronbus_claim - a publisher looking for a position
 * @pos: where it looks next; after a claim the position it has
 * @stalls: slots it skipped because others hold them, at most one lap of them
 */
struct ronbus_claim {
	__u64 pos;
	__u32 stalls;
};

/**
 * ronbus_ring_claim() - claim a position on a ring of many publishers
 * @ring: the ring
 * @claim: where to begin: @pos from ronbus_ring_hint() or after the last claim of this batch, and
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
		if (ronbus_state_kind(state) == RONBUS_KIND_BUSY) { /* held: skip it */
			/*
			 * As a barrier it has no partner: D comes before anybody is woken for it.
			 */
			if (hole < lap && !RB_CAS(at.hole, hole, lap))
				continue;
			claim->pos++;
			claim->stalls++;
			continue;
		}
		if (hole >= lap) { /* skipped already; a reader may have gone on */
			claim->pos++;
			continue;
		}

		/* barriers A and C, with A' in unchanged() and C' in look(): ring.pml */
		if (!RB_CAS(at.state, state, RONBUS_STATE(lap, owner, RONBUS_KIND_BUSY)))
			continue;
		RB_STEP(RONBUS_STEP_CLAIMED);
		if (RB_UNLIKELY(RB_READ(at.hole) >= lap)) {
			/*
			 * Between our look at hole and the CAS the slot was held, skipped, and
			 * let go: readers may be past it. For the publisher that claims the slot
			 * next it is barrier B, with B' in claim(): ring.pml
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
 * @pos: the position after the last one
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
 * ronbus_ring_commit_last() - make a message visible, and be ready to look for sleepers
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
 * ronbus_ring_advance() - move the hint past a claimed position
 * @ring: the ring
 * @pos: the position after the last one claimed
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
 * ronbus_ring_claimed() - has a position been claimed by a publisher
 * @ring: the ring
 * @pos: the position
 */
static inline int ronbus_ring_claimed(const struct ronbus_ring *ring, __u64 pos)
{
	return ronbus_state_lap(RB_READ(ronbus_ring_at(ring, pos).state)) >=
	       ronbus_ring_lap(ring, pos);
}

/**
 * ronbus_ring_repair() - take back the slots that a dead publisher holds
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
		/*
		 * For the publisher that claims the slot next: barrier B, with B' in claim():
		 * ring.pml
		 */
		if (RB_CAS(at.state, state, RONBUS_STATE(lap, owner, RONBUS_KIND_HOLE)))
			repaired++;
	}
	return repaired;
}

#endif /* _UAPI_RONBUS_RING_PUBLISH_H */
