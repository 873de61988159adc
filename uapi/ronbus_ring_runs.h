/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * ronbus_ring_runs.h - reading several positions that follow each other, after one barrier
 *
 * See ronbus_ring.h for the whole protocol.
 */
#ifndef _UAPI_RONBUS_RING_RUNS_H
#define _UAPI_RONBUS_RING_RUNS_H

#include "ronbus_ring_read.h"

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

/* The words of the position that is @i after that of @at, in the same run. */
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
 * ronbus_ring_run() - how many messages follow each other
 * @ring: the ring
 * @at: the words of the first position
 * @pos: the first position
 * @most: how many to look at, at most ronbus_run_length()
 * @seen: their states
 *
 * This is ronbus_ring_ready() for several. After reading them, call ronbus_ring_run_unchanged().
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
 * One barrier is enough for all: each payload was read before it, and each state is read after it.
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
 * ronbus_ring_run_unwanted() - how many messages that follow each other are for others
 * @ring: the ring
 * @pos: the position to begin at
 * @interest: what the subscriber reads
 *
 * Return: how many there are to the end of the run, or up to one that is for it, or to the first
 * position without a message. They were whole when this was found: no other check is needed.
 */
RB_PART __u32 ronbus_ring_run_unwanted(const struct ronbus_ring *ring, __u64 pos,
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
 * All of them were whole when this was found. To read one, check it again:
 * ronbus_state_unchanged().
 *
 * Return: how many messages follow each other; 0 where they are from before the subscriber
 * joined, and ronbus_ring_wanted() has to be asked for each.
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

#endif /* _UAPI_RONBUS_RING_RUNS_H */
