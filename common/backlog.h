/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * backlog.h - what waits for a subscriber that coalesces, and whether that is enough to wake it
 *
 * Counting goes on where it ended, so that each position is looked at once. Where there is not
 * enough a position is chosen: publishers that reach it look again.
 */
#ifndef _RONBUS_BACKLOG_H
#define _RONBUS_BACKLOG_H

#include "limits.h"

/* The position at which nobody is woken. */
#define RONBUS_NOT_DEFERRED (~0ULL)

/**
 * struct ronbus_backlog - what has been counted
 * @messages: how many are enough, 0 and 1 being the same
 * @due: what is before this position need not be more
 * @from: the cursor that @ahead was counted from
 * @ahead: what was counted
 */
struct ronbus_backlog {
	__u32 messages;
	__u64 due;
	__u64 from;
	struct ronbus_ahead ahead;
};

static inline __u32 ronbus_backlog_wanted(__u32 messages)
{
	return messages ? messages : 1;
}

/* Forget what was counted. */
static inline void ronbus_backlog_reset(struct ronbus_backlog *backlog, __u64 cursor)
{
	backlog->from = cursor;
	backlog->ahead = (struct ronbus_ahead){ .end = cursor };
}

/**
 * ronbus_backlog_count() - go on counting
 * @backlog: what has been counted
 * @ring: the ring
 * @interest: what the subscriber reads
 * @cursor: where it reads; if that is another position than before, or nothing is there any more,
 *	counting begins there: what a publisher that lies has taken back does not count
 * @looks: positions that may be looked at
 *
 * Return: what is left of @looks.
 */
static inline __u32 ronbus_backlog_count(struct ronbus_backlog *backlog,
					 const struct ronbus_ring *ring,
					 const struct ronbus_interest *interest, __u64 cursor,
					 __u32 looks)
{
	union ronbus_found found;

	if (cursor != backlog->from ||
	    ((backlog->ahead.end != cursor || backlog->ahead.more) &&
	     ronbus_ring_look(ring, cursor, &found) == RONBUS_LOOK_EMPTY))
		ronbus_backlog_reset(backlog, cursor);
	return ronbus_ring_ahead_more(ring, &backlog->ahead, interest,
				      ronbus_backlog_wanted(backlog->messages), looks);
}

/**
 * ronbus_backlog_take() - take over what was counted without the lock
 * @backlog: what has been counted under the lock
 * @from: the cursor it was counted from
 * @ahead: what was counted
 * @cursor: where the subscriber reads now
 *
 * Return: whether it was taken: not if the subscriber has read since, or another context has
 * counted further.
 */
static inline bool ronbus_backlog_take(struct ronbus_backlog *backlog, __u64 from,
				       const struct ronbus_ahead *ahead, __u64 cursor)
{
	if (from != cursor || (from == backlog->from && ahead->end < backlog->ahead.end))
		return false;
	backlog->from = from;
	backlog->ahead = *ahead;
	return true;
}

/* Is the subscriber to be woken for what has been counted? */
static inline bool ronbus_backlog_enough(struct ronbus_backlog *backlog)
{
	if (backlog->ahead.more)
		return true;
	if (!backlog->ahead.messages)
		return false;
	if (backlog->ahead.messages >= backlog->messages)
		backlog->due = backlog->ahead.end;
	return backlog->from < backlog->due;
}

/**
 * ronbus_backlog_wake_at() - where there may be enough
 * @backlog: what has been counted, which is not enough
 * @busy: the next message is being written: there may be more after it, so whoever writes it is to
 *	look again
 *
 * Return: a position, to be looked at once the one before it is reached; RONBUS_NOT_DEFERRED: there
 * is nothing yet, and the first message will do.
 */
static inline __u64 ronbus_backlog_wake_at(const struct ronbus_backlog *backlog, bool busy)
{
	if (!backlog->ahead.messages)
		return RONBUS_NOT_DEFERRED;
	if (busy)
		return backlog->ahead.end + 1;
	return backlog->ahead.end + backlog->messages - backlog->ahead.messages;
}

/* Is it time to look at those that are deferred until @wake_at? */
static inline bool ronbus_backlog_reached(const struct ronbus_ring *ring, __u64 wake_at)
{
	return wake_at != RONBUS_NOT_DEFERRED && ronbus_ring_reached(ring, wake_at - 1);
}

/*
 * Time is up: what is there by now is due; to count it is left to the subscriber. Not later than a
 * lap, whatever the ring says: a publisher's lie is not to last.
 */
static inline void ronbus_backlog_expire(struct ronbus_backlog *backlog,
					 const struct ronbus_ring *ring)
{
	const __u64 tail = ronbus_ring_tail(ring), lap = backlog->from + ring->mask + 1;

	backlog->due = tail < lap ? tail : lap;
	if (backlog->due < backlog->ahead.end)
		backlog->due = backlog->ahead.end;
}

/**
 * ronbus_coalesce_check() - can a subscriber be woken so
 * @page: the bus
 * @args: what was asked for
 *
 * Return: 0, -EOPNOTSUPP or -EINVAL.
 */
static inline int ronbus_coalesce_check(const struct ronbus_info_page *page,
					const struct ronbus_coalesce *args)
{
	if (!(page->features & RONBUS_F_COALESCE))
		return -EOPNOTSUPP;
	if (args->flags || args->messages > page->capacity / 2 ||
	    args->messages > RONBUS_COALESCE_MAX)
		return -EINVAL;
	if (args->messages > 1 && (args->delay_ns < RONBUS_COALESCE_DELAY_MIN ||
				   args->delay_ns > RONBUS_COALESCE_DELAY_MAX))
		return -EINVAL;
	return 0;
}

#endif /* _RONBUS_BACKLOG_H */
