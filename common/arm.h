/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * arm.h - when a subscriber is armed, deferred or woken
 *
 * A subscriber that wants to be woken is armed while there is nothing for it to read. One that
 * coalesces (RONBUS_F_COALESCE) and has messages to read, but not enough of them, is deferred: up
 * to position wake_at, the first at which it may have enough, no publisher notifies it. The least
 * wake_at of all subscribers is wake_next in the info page; publishers look there as they look at
 * armed. A timer runs from the first message on.
 *
 * All that is decided here is decided for the module and for the embedded transport. The mechanisms
 * are their own: locks, bits, timers, and queues.
 */
#ifndef _RONBUS_ARM_H
#define _RONBUS_ARM_H

#include "backlog.h"

/*
 * The mechanisms, which each transport has for itself. All are called with the lock of the
 * subscriber.
 *
 * set_armed() sets the bits in blocked (to @busy) and armed, is a full barrier (D'), and returns
 * whether the bit in armed was set before: another context relies on it. Another look must follow.
 * If the next message is being written (@busy), it may be one for others, whose publisher would
 * wake only them; and after it there may be one for this subscriber, whose publisher woke it when
 * it could not get there. So any publisher is to wake it.
 *
 * take_armed() clears the bit in armed, and returns whether it was set.
 *
 * move_wake_at() calls ronbus_backlog_set_wake_at() under the lock of wake_next.
 */
bool ronbus_backlog_set_armed(struct ronbus_backlog *backlog, bool busy);
bool ronbus_backlog_take_armed(struct ronbus_backlog *backlog);
void ronbus_backlog_move_wake_at(struct ronbus_backlog *backlog, __u64 wake_at);
bool ronbus_backlog_timer_runs(struct ronbus_backlog *backlog);
void ronbus_backlog_start_timer(struct ronbus_backlog *backlog);
void ronbus_backlog_cancel_timer(struct ronbus_backlog *backlog);

/**
 * ronbus_armed_for() - which subscribers are to be woken for a message
 * @page: the bus
 * @edge: only those that are armed are, with RONBUS_F_EDGE_NOTIFY
 * @audience: the subscribers that the message was addressed to
 * @now: where the audience of its topic is in @page
 *
 * After ronbus_ring_commit_last(). The audience is read again, because a subscriber that joined
 * after the first reading can read the message too, and may have looked for it and armed before it
 * was there. The acquire makes the audience as new as that subscriber's bit in armed. A subscriber
 * that no longer wants the topic has the message to read all the same: interest.pml.
 */
static inline __u64 ronbus_armed_for(const struct ronbus_info_page *page, bool edge, __u64 audience,
				     const __u64 *now)
{
	__u64 armed = ~0ULL;

	if (edge)
		/* barrier J', with J in ronbus_sub_enrol() or sub_join(): join.pml */
		armed = RB_LOAD_ACQUIRE(&page->armed);
	return armed & (audience | RB_READ(now) | RB_READ(&page->blocked));
}

/* Is the next message, which cannot be read yet, being written? Only the choice of topics asks. */
static inline bool ronbus_backlog_busy(const struct ronbus_backlog *backlog, __u64 end)
{
	return backlog->interest->bit && ronbus_ring_claimed(backlog->ring, end);
}

/**
 * ronbus_backlog_arm() - arm a subscriber that has seen nothing
 * @backlog: its backlog
 * @scan: the look that has seen nothing
 * @relied: set if there is something after all, and another context relied on the bit
 *
 * With the lock: another context that arms at the same time may find that the next message is being
 * written where this one found nothing, and must not lose the bit in blocked that it set.
 *
 * Return: 0 if it is armed; else a set of &enum ronbus_readable.
 */
static inline unsigned int ronbus_backlog_arm(struct ronbus_backlog *backlog,
					      struct ronbus_scan *scan, bool *relied)
{
	unsigned int tries, ready = 0;
	bool busy;
	__u64 end;

	for (tries = 0; tries < RONBUS_ARM_TRIES && !ready; tries++) {
		end = scan->end;
		busy = ronbus_backlog_busy(backlog, end);
		if (ronbus_backlog_set_armed(backlog, busy) && !tries)
			*relied = true;
		/* The topics have changed since the look began: it may have skipped too much. */
		if (RB_READ(&backlog->changes) != scan->changes)
			*scan = ronbus_backlog_scan(backlog);
		ready = ronbus_backlog_look(backlog, scan);
		if (!ready && scan->end == end && ronbus_backlog_busy(backlog, end) == busy)
			return 0;
	}
	/* If the bit has been taken, the context that took it wakes those that relied on it. */
	*relied &= ronbus_backlog_take_armed(backlog);
	return ready ? ready : RONBUS_READABLE_DATA;
}

static inline bool ronbus_backlog_deferred(const struct ronbus_backlog *backlog)
{
	return RB_READ(&backlog->wake_at) != RONBUS_NOT_DEFERRED;
}

/* Have publishers reached the position before @wake_at? */
static inline bool ronbus_backlog_reached(const struct ronbus_ring *ring, __u64 wake_at)
{
	return wake_at != RONBUS_NOT_DEFERRED && ronbus_ring_reached(ring, wake_at - 1);
}

/**
 * ronbus_backlog_set_wake_at() - defer a subscriber up to a position, or no longer
 * @backlog: its backlog
 * @wake_at: the position, which is another one than before; or RONBUS_NOT_DEFERRED
 *
 * With the lock of wake_next, which is set if @wake_at is the least.
 *
 * Return: whether the least may be another subscriber's now, and is to be looked for.
 */
static inline bool ronbus_backlog_set_wake_at(struct ronbus_backlog *backlog, __u64 wake_at)
{
	struct ronbus_info_page *page = backlog->page;
	const __u64 was = backlog->wake_at;

	RB_WRITE(&backlog->wake_at, wake_at);
	if (wake_at >= page->wake_next)
		return was == page->wake_next;
	RB_WRITE(&page->wake_next, wake_at);
	return false;
}

static inline void ronbus_backlog_defer(struct ronbus_backlog *backlog, __u64 wake_at)
{
	if (wake_at != backlog->wake_at)
		ronbus_backlog_move_wake_at(backlog, wake_at);
}

/* Returns whether it was deferred: then it is to be woken. */
static inline bool ronbus_backlog_undefer(struct ronbus_backlog *backlog)
{
	const bool was = ronbus_backlog_deferred(backlog);

	ronbus_backlog_defer(backlog, RONBUS_NOT_DEFERRED);
	return was;
}

/*
 * Where there may be enough. If there is nothing yet the first message will do. If the next one is
 * being written (@busy), there may be more after it, so its publisher is to look.
 */
static inline __u64 ronbus_backlog_wake_at(const struct ronbus_backlog *backlog, bool busy)
{
	if (!backlog->unread.messages)
		return RONBUS_NOT_DEFERRED;
	if (busy)
		return backlog->unread.end + 1;
	return backlog->unread.end + backlog->messages - backlog->unread.messages;
}

/* From the first message, which stays the first when the subscriber skips those of others. */
static inline void ronbus_backlog_time(struct ronbus_backlog *backlog)
{
	if (backlog->timed == backlog->unread.first && ronbus_backlog_timer_runs(backlog))
		return;
	backlog->timed = backlog->unread.first;
	ronbus_backlog_start_timer(backlog);
}

/**
 * ronbus_backlog_settle() - arm or defer a subscriber, unless there is a reason to wake it
 * @backlog: the backlog of a subscriber that relies on being woken, and is not armed
 * @looks: positions that may still be looked at
 *
 * Return: whether there is a reason to wake it now; if not, it is armed or deferred.
 */
static inline bool ronbus_backlog_settle(struct ronbus_backlog *backlog, __u32 *looks)
{
	const struct ronbus_ring *ring = backlog->ring;
	unsigned int tries;
	bool busy;
	__u64 end;

	ronbus_backlog_count_on(backlog, looks);
	for (tries = 0; tries < RONBUS_ARM_TRIES && !ronbus_backlog_ready(backlog); tries++) {
		end = backlog->unread.end;
		busy = ronbus_ring_claimed(ring, end);
		ronbus_backlog_defer(backlog, ronbus_backlog_wake_at(backlog, busy));
		if (backlog->unread.messages)
			ronbus_backlog_time(backlog);
		else
			ronbus_backlog_set_armed(backlog, busy);
		/*
		 * barriers D' and F', with D in ronbus_ring_commit_last() and F in wake_sleeper(),
		 * which is the embedded transport's: coalesce.pml, cancel.pml
		 */
		RB_MB();
		ronbus_backlog_count_on(backlog, looks);
		if (!ronbus_backlog_ready(backlog) && backlog->unread.end == end &&
		    ronbus_ring_claimed(ring, end) == busy)
			return false;
		/* If the bit has been taken, the context that took it is waiting for our lock. */
		if (!ronbus_backlog_deferred(backlog) && !ronbus_backlog_take_armed(backlog))
			return false;
	}
	ronbus_backlog_defer(backlog, RONBUS_NOT_DEFERRED);
	/* A subscriber that is woken to count may find that there is not enough yet. */
	if (!backlog->unread.more)
		ronbus_backlog_cancel_timer(backlog);
	return true;
}

/* ---- when there is an occasion ------------------------------------------------------------ */

/*
 * The subscriber looks. Returns whether there is a reason to wake it. If there are messages, but
 * not enough, it is to see them in time even if it does no more than look now and then.
 */
static inline bool ronbus_backlog_look_for_many(struct ronbus_backlog *backlog,
						const struct ronbus_backlog_count *count)
{
	bool ready;

	ronbus_backlog_take_count(backlog, count);
	ready = ronbus_backlog_ready(backlog);
	if (!ready && backlog->unread.messages)
		ronbus_backlog_time(backlog);
	return ready;
}

/*
 * The subscriber has looked, and is to be armed or deferred. Returns whether there is a reason to
 * wake it after all, and if another context relied on being woken (@relied).
 */
static inline bool ronbus_backlog_arm_for_many(struct ronbus_backlog *backlog, bool *relied)
{
	__u32 looks = RONBUS_NOTIFY_LOOKS;

	*relied = ronbus_backlog_take_armed(backlog) || ronbus_backlog_deferred(backlog);
	return ronbus_backlog_settle(backlog, &looks);
}

/* How many messages are enough changes. Returns whether the subscriber is to be woken. */
static inline bool ronbus_backlog_set(struct ronbus_backlog *backlog,
				      const struct ronbus_coalesce *args,
				      const struct ronbus_backlog_count *count)
{
	__u32 looks = RONBUS_NOTIFY_LOOKS;

	RB_WRITE(&backlog->messages, args->messages);
	backlog->delay = args->delay_ns;
	ronbus_backlog_take_count(backlog, count);
	ronbus_backlog_cancel_timer(backlog);
	return ronbus_backlog_deferred(backlog) && ronbus_backlog_settle(backlog, &looks);
}

/* Is a notification for @cause the business of a subscriber that may be deferred? */
static inline bool ronbus_backlog_concerns(const struct ronbus_backlog *backlog,
					   enum ronbus_wake_cause cause)
{
	const __u64 wake_at = RB_READ(&backlog->wake_at);

	return cause == RONBUS_WAKE_DATA ? ronbus_backlog_reached(backlog->ring, wake_at)
					 : wake_at != RONBUS_NOT_DEFERRED;
}

/**
 * ronbus_backlog_wakes() - does a notification wake a subscriber
 * @backlog: its backlog
 * @armed: the caller took its armed bit, or wakes it armed or not; if false, it was deferred
 * @cause: what it is woken for
 * @looks: positions that the caller may still look at
 *
 * Messages wake a subscriber that coalesces if it has enough of them; if not, it is armed or
 * deferred. All else ends its being deferred, and wakes it; but of the end of the bus each
 * subscriber is told as if it were armed.
 *
 * Return: whether the caller is to wake it.
 */
static inline bool ronbus_backlog_wakes(struct ronbus_backlog *backlog, bool armed,
					enum ronbus_wake_cause cause, __u32 *looks)
{
	if (!armed && !ronbus_backlog_deferred(backlog))
		return false;
	if (cause != RONBUS_WAKE_DATA || !ronbus_backlog_coalesces(backlog)) {
		ronbus_backlog_defer(backlog, RONBUS_NOT_DEFERRED);
		return armed || cause != RONBUS_WAKE_CLOSE;
	}
	if (ronbus_backlog_settle(backlog, looks))
		return true;
	RB_WRITE(&backlog->deferrals, backlog->deferrals + 1);
	return false;
}

/**
 * ronbus_backlog_expire() - the timer has expired
 * @backlog: the backlog of the subscriber
 *
 * What is there by now is due. To count it is left to the subscriber. But if the subscriber has
 * read all that was counted, and the message that the timer was started for, the timer was for
 * nothing; a change of topics makes the count begin again, and not the delay. Not more than a lap
 * is due, whatever the ring says: a publisher's lie is not to last.
 *
 * Return: whether the subscriber is to be woken.
 */
static inline bool ronbus_backlog_expire(struct ronbus_backlog *backlog)
{
	const __u64 lap = backlog->from + backlog->ring->mask + 1;
	const __u64 cursor = RB_READ(&backlog->self->cursor);
	__u32 looks = RONBUS_NOTIFY_LOOKS;

	if (cursor >= backlog->unread.end && cursor > backlog->timed)
		return ronbus_backlog_deferred(backlog) && ronbus_backlog_settle(backlog, &looks);
	backlog->due = ronbus_ring_tail(backlog->ring);
	if (backlog->due > lap)
		backlog->due = lap;
	if (backlog->due < backlog->unread.end)
		backlog->due = backlog->unread.end;
	return ronbus_backlog_undefer(backlog);
}

#endif /* _RONBUS_ARM_H */
