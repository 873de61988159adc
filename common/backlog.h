/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * backlog.h - what waits for a subscriber, and whether that is enough to wake it
 *
 * To count messages is the work of the subscriber: before it sleeps it counts what is there, for
 * as long as that takes, without a lock. A publisher goes on from there, and looks at few
 * positions; where these do not tell whether there is enough, it wakes the subscriber, which
 * counts again. So a subscriber cannot make a publisher pay more than a wake-up.
 *
 * Once there has been enough, or the timer has expired, what was there at that time is due: it is a
 * reason to wake the subscriber until it has been read.
 */
#ifndef _RONBUS_BACKLOG_H
#define _RONBUS_BACKLOG_H

#include "limits.h"

/* The wake_at of a subscriber that is not deferred. */
#define RONBUS_NOT_DEFERRED (~0ULL)

enum ronbus_readable {
	RONBUS_READABLE_DATA = 1 << 0,
	RONBUS_READABLE_ENDED = 1 << 1,
};

/**
 * struct ronbus_backlog - what waits for a subscriber; under its lock, but for what is constant
 * @ring: the ring of the bus
 * @page: the info page of the bus
 * @self: the subscriber's own page, which the module does not trust
 * @interest: which messages the subscriber reads
 * @messages: how many are enough, 0 and 1 being the same; also read without the lock
 * @changes: how often the topics have changed that messages are counted for
 * @delay: how long the subscriber waits for more after the first message, in nanoseconds
 * @due: messages before this position are a reason to wake the subscriber, however few
 * @from: the cursor that @unread was counted from
 * @unread: what was counted
 * @wake_at: once the position before this one is reached there may be enough; changes under the
 *	lock of wake_next as well, and is also read without either
 * @timed: the first message when the timer was started
 * @deferrals: notifications that did not wake the subscriber; also read without the lock
 */
struct ronbus_backlog {
	const struct ronbus_ring *ring;
	struct ronbus_info_page *page;
	const struct ronbus_self *self;
	const struct ronbus_interest *interest;
	__u32 messages;
	__u32 changes;
	__u64 delay;
	__u64 due;
	__u64 from;
	struct ronbus_unread unread;
	__u64 wake_at;
	__u64 timed;
	__u64 deferrals;
};

/**
 * struct ronbus_scan - a look at the ring that can be continued
 * @end: nothing is to be read before this position, and nothing was at it
 * @looks: positions that may still be looked at
 * @changes: of the backlog when it began
 */
struct ronbus_scan {
	__u64 end;
	__u32 looks;
	__u32 changes;
};

/**
 * struct ronbus_backlog_count - a count that was made without the lock
 * @changes: of the backlog when it began
 * @from: the cursor that it began at
 * @unread: what was counted
 */
struct ronbus_backlog_count {
	__u32 changes;
	__u64 from;
	struct ronbus_unread unread;
};

/* A look that begins at the cursor, whatever that is. */
static inline struct ronbus_scan ronbus_backlog_scan(const struct ronbus_backlog *backlog)
{
	/* Then the topics: barrier I', with I in ronbus_backlog_recount(): interest.pml */
	const __u32 changes = RB_LOAD_ACQUIRE(&backlog->changes);

	return (struct ronbus_scan){ RB_READ(&backlog->self->cursor), RONBUS_READY_LOOKS - 1,
				     changes };
}

static inline bool ronbus_backlog_ended(const struct ronbus_backlog *backlog)
{
	/*
	 * Before the ring: barrier E', with E in ronbus_bus_end_if_due() or set_status():
	 * end.pml
	 */
	return RB_LOAD_ACQUIRE(&backlog->page->status) & RONBUS_STATUS_ENDED;
}

/*
 * A subscriber that chooses topics is not to be woken for every few messages of other topics, so
 * many are stepped over. To say that there is something is never wrong.
 */
RB_PART bool ronbus_backlog_has_data(const struct ronbus_backlog *backlog, struct ronbus_scan *scan)
{
	struct ronbus_unread unread = { .end = scan->end };
	union ronbus_found found;

	if (!backlog->interest->bit)
		return ronbus_ring_look(backlog->ring, scan->end, &found) != RONBUS_LOOK_EMPTY;
	scan->looks =
		ronbus_ring_unread_more(backlog->ring, &unread, backlog->interest, 1, scan->looks);
	scan->end = unread.end;
	return unread.messages || unread.more;
}

/* What there is to see for a subscriber, as a set of &enum ronbus_readable. */
RB_PART unsigned int ronbus_backlog_look(const struct ronbus_backlog *backlog,
					 struct ronbus_scan *scan)
{
	unsigned int ended = ronbus_backlog_ended(backlog) ? RONBUS_READABLE_ENDED : 0;

	return ended | (ronbus_backlog_has_data(backlog, scan) ? RONBUS_READABLE_DATA : 0);
}

/* Is the subscriber woken for more than one message at a time? */
static inline bool ronbus_backlog_coalesces(const struct ronbus_backlog *backlog)
{
	return RB_READ(&backlog->messages) > 1;
}

static inline __u32 ronbus_backlog_wanted(__u32 messages)
{
	return messages ? messages : 1;
}

/**
 * ronbus_backlog_count() - count without the lock, for as long as it takes
 * @backlog: what waits for the subscriber that calls
 * @changes: of @backlog, read under the lock, so that the topics are as new
 * @messages: how many are enough
 */
static inline struct ronbus_backlog_count ronbus_backlog_count(const struct ronbus_backlog *backlog,
							       __u32 changes, __u32 messages)
{
	struct ronbus_backlog_count count = {
		.changes = changes,
		.from = RB_READ(&backlog->self->cursor),
	};

	count.unread = ronbus_ring_unread(backlog->ring, count.from, backlog->interest,
					  ronbus_backlog_wanted(messages), RONBUS_COALESCE_LOOKS);
	return count;
}

static inline void ronbus_backlog_reset(struct ronbus_backlog *backlog, __u64 cursor)
{
	backlog->from = cursor;
	backlog->unread = (struct ronbus_unread){ .end = cursor };
}

/*
 * Go on counting where it ended, so that each position is looked at once, with what is left of
 * @looks. Counting begins again at the cursor if the subscriber has read since, or if nothing is at
 * its cursor any more: messages that a lying publisher has taken back do not count.
 */
static inline void ronbus_backlog_count_on(struct ronbus_backlog *backlog, __u32 *looks)
{
	const __u64 cursor = RB_READ(&backlog->self->cursor);
	const bool counted = backlog->unread.end != cursor || backlog->unread.more;
	union ronbus_found found;

	if (cursor != backlog->from ||
	    (counted && ronbus_ring_look(backlog->ring, cursor, &found) == RONBUS_LOOK_EMPTY))
		ronbus_backlog_reset(backlog, cursor);
	*looks = ronbus_ring_unread_more(backlog->ring, &backlog->unread, backlog->interest,
					 ronbus_backlog_wanted(backlog->messages), *looks);
}

/*
 * Use a count that was made without the lock, unless the topics have changed since, the subscriber
 * has read since, or another context has counted further.
 */
static inline void ronbus_backlog_take_count(struct ronbus_backlog *backlog,
					     const struct ronbus_backlog_count *count)
{
	__u32 looks = RONBUS_NOTIFY_LOOKS;

	if (count->changes != backlog->changes || count->from != RB_READ(&backlog->self->cursor) ||
	    (count->from == backlog->from && count->unread.end < backlog->unread.end)) {
		ronbus_backlog_count_on(backlog, &looks);
		return;
	}
	backlog->from = count->from;
	backlog->unread = count->unread;
}

/*
 * Forget what was counted, because the topics have changed: some messages before the cursor were
 * not for the subscriber and now are, or the other way round.
 */
static inline void ronbus_backlog_recount(struct ronbus_backlog *backlog)
{
	/* After the topics: barrier I, with I' in ronbus_backlog_scan(): interest.pml */
	RB_STORE_RELEASE(&backlog->changes, backlog->changes + 1);
	ronbus_backlog_reset(backlog, RB_READ(&backlog->self->cursor));
}

/* Is there a reason to wake a subscriber that coalesces? */
static inline bool ronbus_backlog_ready(struct ronbus_backlog *backlog)
{
	const struct ronbus_unread *unread = &backlog->unread;

	if (!unread->more && unread->messages >= ronbus_backlog_wanted(backlog->messages))
		backlog->due = unread->end;
	return unread->more || (unread->messages && backlog->from < backlog->due) ||
	       ronbus_backlog_ended(backlog);
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
