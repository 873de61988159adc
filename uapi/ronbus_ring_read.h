/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * ronbus_ring_read.h - what a subscriber does with a ring: look at a position, read, check
 *
 * See ronbus_ring.h for the whole protocol.
 */
#ifndef _UAPI_RONBUS_RING_READ_H
#define _UAPI_RONBUS_RING_READ_H

#include "ronbus_ring_layout.h"

/**
 * ronbus_copy_out() - copy a message out of a slot
 * @to: where to, of any alignment
 * @from: payload of the slot
 * @len: bytes, checked against the payload by the caller
 *
 * The copy is not valid until ronbus_ring_unchanged() has confirmed it.
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
 * ronbus_ring_reached() - has a position been claimed, or skipped
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
 * ronbus_ring_tail() - the first position that no publisher has reached
 * @ring: the ring
 *
 * Publishers reach positions in order, so that within a lap there is one end of what is reached.
 * Mostly the hint is right. It lags far if a publisher was stopped before it stored it, or if a
 * publisher lies; then a binary search finds the end. That takes at most RONBUS_TAIL_LOOKS looks
 * and the binary logarithm of the capacity, whatever the ring says.
 *
 * Return: that position; a moment later it may be claimed.
 */
static inline __u64 ronbus_ring_tail(const struct ronbus_ring *ring)
{
	__u64 pos = ronbus_ring_hint(ring), next, high;
	__u32 looks;

	for (looks = 0; looks < RONBUS_TAIL_LOOKS; looks++) {
		const struct ronbus_words at = ronbus_ring_at(ring, pos);
		/* It has no partner: readers look again at whatever they read. */
		__u64 lap = ronbus_state_lap(RB_LOAD_ACQUIRE(at.state));
		__u64 hole = RB_READ(at.hole);

		if (lap < hole)
			lap = hole;
		next = ronbus_ring_pos(ring, lap, pos) + 1;
		/* Not reached; or a lie, since no ring lives until its positions begin again. */
		if (lap < ronbus_ring_lap(ring, pos) || RB_UNLIKELY(next <= pos))
			return pos;
		pos = next;
	}
	/*
	 * The position before @pos is the newest of its slot: it is reached, and a lap later not.
	 */
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

/* Where a reader of @pos goes on, given that @newest, at least a lap later, has been reached. */
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
 * A position that is held BUSY keeps its readers waiting, since it may still become a message. It
 * does so for a lap at most: once a publisher has come around and skipped the slot, a reader that
 * waits here has been overtaken like any other.
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
		 * Skipped, unless a claim came between: barrier C', with C in claim(): ring.pml.
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

/* The same for a caller that knows where the state word is. */
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

/**
 * struct ronbus_interest - which messages a subscriber reads; not shared
 * @bit: its bit in every mask with RONBUS_F_INTEREST; 0 without, to read all
 * @topics: set of topics it wants
 * @asked: all it has wanted since it joined
 * @joined: the position after what was there when it joined
 */
struct ronbus_interest {
	__u64 bit;
	__u64 topics;
	__u64 asked;
	__u64 joined;
};

/* The same as ronbus_ring_wanted(), for a caller that has the words. */
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
 * For a message from before the subscriber joined, the topic decides: the message was addressed to
 * others, perhaps to an earlier subscriber with the same bit. For a later message the publisher has
 * decided, when it looked at the audience. The topic is looked at there too, since a slow publisher
 * may have looked before the join, and meant the earlier subscriber, which had other topics.
 *
 * The answer is not valid until ronbus_ring_unchanged() has confirmed it.
 */
static inline int ronbus_ring_wanted(const struct ronbus_ring *ring, __u64 pos,
				     struct ronbus_seen seen,
				     const struct ronbus_interest *interest)
{
	const struct ronbus_words at = ronbus_ring_at(ring, pos);

	return ronbus_words_wanted(&at, pos, seen, interest);
}

/**
 * struct ronbus_unread - what a subscriber has in front of it
 * @end: the position after the last one that has been looked at
 * @messages: messages for it up to there
 * @more: it is overtaken, or there may be messages that have not been looked for
 * @first: the first of the messages, if there is one
 */
struct ronbus_unread {
	__u64 end;
	__u32 messages;
	__u32 more;
	__u64 first;
};

/**
 * ronbus_ring_unread_more() - go on counting messages
 * @ring: the ring
 * @unread: what has been counted so far, from @end on
 * @interest: what the subscriber reads
 * @messages: enough of them
 * @budget: positions to look at
 *
 * Ends at the first position that nothing is to be read at yet, if nothing ends it before; to find
 * that out takes nothing from the budget.
 *
 * Return: what is left of the budget.
 */
static inline __u32 ronbus_ring_unread_more(const struct ronbus_ring *ring,
					    struct ronbus_unread *unread,
					    const struct ronbus_interest *interest, __u32 messages,
					    __u32 budget)
{
	union ronbus_found found;

	for (; unread->messages < messages; budget--, unread->end++) {
		enum ronbus_look look = ronbus_ring_look(ring, unread->end, &found);
		__u32 wanted = 1;

		if (look == RONBUS_LOOK_EMPTY)
			break;
		if (look == RONBUS_LOOK_LAGGED || !budget) {
			unread->more = 1;
			break;
		}
		if (look != RONBUS_LOOK_READY)
			continue;
		if (interest->bit) {
			wanted = (__u32)ronbus_ring_wanted(ring, unread->end, found.seen, interest);
			if (!ronbus_ring_unchanged(ring, unread->end, found.seen))
				unread->more = 1;
		}
		if (wanted && !unread->messages++)
			unread->first = unread->end;
	}
	return budget;
}

/**
 * ronbus_ring_unread() - count messages
 * @ring: the ring
 * @pos: where to begin
 * @interest: what the subscriber reads
 * @messages: enough of them
 * @budget: positions to look at
 */
static inline struct ronbus_unread ronbus_ring_unread(const struct ronbus_ring *ring, __u64 pos,
						      const struct ronbus_interest *interest,
						      __u32 messages, __u32 budget)
{
	struct ronbus_unread unread = { pos, 0, 0, 0 };

	ronbus_ring_unread_more(ring, &unread, interest, messages, budget);
	return unread;
}

#endif /* _UAPI_RONBUS_RING_READ_H */
