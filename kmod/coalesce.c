// SPDX-License-Identifier: GPL-2.0
/*
 * Waking a subscriber for several messages at once: RONBUS_F_COALESCE.
 *
 * A subscriber that sleeps or wants to be signalled is armed while there is nothing for it, as
 * always. Whoever takes its bit, or finds on arming that there is something but not enough, does
 * not wake it, but defers it: until position wake_at, the first at which it may have enough, no
 * publisher enters the kernel for it. The least of these positions is wake_next in the info page,
 * at which publishers look where they look at armed. A timer runs from the first message.
 *
 * Counting is the subscriber's business: when it arms it looks at what is there, for as long as
 * that takes, without a lock. A publisher that comes by goes on from there, and looks at few
 * positions; where these do not tell whether there is enough, it wakes the subscriber, which counts
 * again. So a subscriber cannot make a publisher pay more than a wake-up.
 *
 * Once there was enough, or the timer has gone off, what was there then is due: it is something to
 * see until it has been read.
 */
#include <linux/hrtimer.h>
#include <linux/poll.h>
#include <linux/rcupdate.h>
#include <linux/uaccess.h>

#include "internal.h"

static bool deferred(const struct ronbus_sub *sub)
{
	return READ_ONCE(sub->coalesce.wake_at) != RONBUS_NOT_DEFERRED;
}

static u64 least_wake_at(struct ronbus_bus *bus)
{
	u64 least = RONBUS_NOT_DEFERRED;
	unsigned int i;

	lockdep_assert_held(&bus->wake_lock);

	rcu_read_lock();
	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++) {
		const struct ronbus_sub *sub = rcu_dereference(bus->subs[i]);

		if (sub)
			least = min(least, READ_ONCE(sub->coalesce.wake_at));
	}
	rcu_read_unlock();
	return least;
}

static void set_wake_at(struct ronbus_sub *sub, u64 at)
{
	struct ronbus_bus *bus = sub->bus;
	u64 was = sub->coalesce.wake_at;

	lockdep_assert_held(&sub->lock);

	if (at == was)
		return;
	spin_lock(&bus->wake_lock);
	WRITE_ONCE(sub->coalesce.wake_at, at);
	if (at < bus->page->wake_next)
		WRITE_ONCE(bus->page->wake_next, at);
	else if (was == bus->page->wake_next)
		WRITE_ONCE(bus->page->wake_next, least_wake_at(bus));
	spin_unlock(&bus->wake_lock);
}

/* From the first message, which stays the first where the subscriber skips those of others. */
static void start_timer(struct ronbus_sub *sub)
{
	struct ronbus_coalescing *c = &sub->coalesce;

	if (hrtimer_is_queued(&c->timer) && c->timed == c->backlog.ahead.first)
		return;
	c->timed = c->backlog.ahead.first;
	hrtimer_start(&c->timer, ns_to_ktime(c->delay), HRTIMER_MODE_REL_SOFT);
}

/* A count that was made without the lock: from where, and when. */
struct count {
	u64 from;
	u32 changes;
	struct ronbus_ahead ahead;
};

/*
 * In the subscriber's own context, and without its lock: it looks for as long as it takes. The lock
 * before that is for the topics: they are as new as @changes says, or the count is thrown away.
 */
static struct count count(struct ronbus_sub *sub, u32 messages)
{
	struct count count = { .from = READ_ONCE(sub->self->cursor) };
	unsigned long flags;

	spin_lock_irqsave(&sub->lock, flags);
	count.changes = sub->coalesce.changes;
	spin_unlock_irqrestore(&sub->lock, flags);
	count.ahead = ronbus_ring_ahead(&sub->bus->ring, count.from, &sub->interest,
					ronbus_backlog_wanted(messages), RONBUS_COALESCE_LOOKS);
	return count;
}

/* Go on counting, with what is left of a budget. */
static void count_on(struct ronbus_sub *sub, u32 *looks)
{
	lockdep_assert_held(&sub->lock);

	*looks = ronbus_backlog_count(&sub->coalesce.backlog, &sub->bus->ring, &sub->interest,
				      READ_ONCE(sub->self->cursor), *looks);
}

/*
 * Take over a count that was made without the lock, unless that was for other topics, or is old by
 * now.
 */
static void take_count(struct ronbus_sub *sub, const struct count *count)
{
	struct ronbus_coalescing *c = &sub->coalesce;
	u32 looks = RONBUS_NOTIFY_LOOKS;

	if (count->changes != c->changes ||
	    !ronbus_backlog_take(&c->backlog, count->from, &count->ahead,
				 READ_ONCE(sub->self->cursor)))
		count_on(sub, &looks);
}

static bool enough(struct ronbus_sub *sub)
{
	lockdep_assert_held(&sub->lock);

	return ronbus_backlog_enough(&sub->coalesce.backlog);
}

static bool ended(const struct ronbus_sub *sub)
{
	/* Before the ring: barrier E', with E in ronbus_bus_end_if_due(): end.pml */
	return smp_load_acquire(&sub->bus->page->status) & RONBUS_STATUS_ENDED;
}

/*
 * Somebody relies on being woken, and is not armed. Returns whether there is a reason to do it now;
 * if not, it is armed or deferred.
 */
static bool settle(struct ronbus_sub *sub, u32 *looks)
{
	struct ronbus_coalescing *c = &sub->coalesce;
	struct ronbus_ring *ring = &sub->bus->ring;
	unsigned int tries;
	bool busy;
	u64 end;

	count_on(sub, looks);
	for (tries = 0; tries < RONBUS_ARM_TRIES && !enough(sub) && !ended(sub); tries++) {
		end = c->backlog.ahead.end;
		busy = ronbus_ring_claimed(ring, end);
		set_wake_at(sub, ronbus_backlog_wake_at(&c->backlog, busy));
		if (c->backlog.ahead.messages)
			start_timer(sub);
		else
			ronbus_sub_set_armed(sub, busy);
		smp_mb(); /* barrier D', with D in ronbus_ring_commit_last(): coalesce.pml */
		count_on(sub, looks);
		if (!enough(sub) && !ended(sub) && c->backlog.ahead.end == end &&
		    ronbus_ring_claimed(ring, end) == busy)
			return false;
		/* If the bit has been taken, whoever did so is waiting for our lock. */
		if (!deferred(sub) && !ronbus_sub_take_armed(sub))
			return false;
	}
	set_wake_at(sub, RONBUS_NOT_DEFERRED);
	/* A subscriber that is woken to count may find that there is not enough yet. */
	if (!c->backlog.ahead.more)
		hrtimer_try_to_cancel(&c->timer);
	return true;
}

/*
 * Time is up. What is there by now is due; to count it is left to the subscriber. If it has read
 * all that was counted, the timer was for nothing.
 */
static bool settle_late(struct ronbus_sub *sub)
{
	struct ronbus_coalescing *c = &sub->coalesce;
	u32 looks = RONBUS_NOTIFY_LOOKS;
	bool relied = deferred(sub);

	if (READ_ONCE(sub->self->cursor) >= c->backlog.ahead.end)
		return relied && settle(sub, &looks);
	ronbus_backlog_expire(&c->backlog, &sub->bus->ring);
	set_wake_at(sub, RONBUS_NOT_DEFERRED);
	return relied;
}

static enum hrtimer_restart expired(struct hrtimer *timer)
{
	struct ronbus_sub *sub = container_of(timer, struct ronbus_sub, coalesce.timer);
	unsigned long flags;
	bool due;

	spin_lock_irqsave(&sub->lock, flags);
	due = !sub->dead && settle_late(sub);
	spin_unlock_irqrestore(&sub->lock, flags);
	if (due)
		ronbus_wake(sub, RONBUS_WAKE_TIMER);
	return HRTIMER_NORESTART;
}

/**
 * ronbus_coalesce_init() - a new subscriber is woken for the first message
 * @sub: the subscriber
 */
void ronbus_coalesce_init(struct ronbus_sub *sub)
{
	struct ronbus_coalescing *c = &sub->coalesce;

	c->wake_at = RONBUS_NOT_DEFERRED;
	hrtimer_init(&c->timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_SOFT);
	c->timer.function = expired;
}

/**
 * ronbus_coalesce_end() - a subscriber is no longer deferred, and never will be again
 * @sub: the subscriber, dead, its lock held
 */
void ronbus_coalesce_end(struct ronbus_sub *sub)
{
	set_wake_at(sub, RONBUS_NOT_DEFERRED);
}

/**
 * ronbus_coalesce_ready() - is there enough for a subscriber to see
 * @sub: a subscriber that coalesces, in its own context
 */
bool ronbus_coalesce_ready(struct ronbus_sub *sub)
{
	struct ronbus_coalescing *c = &sub->coalesce;
	struct count counted = count(sub, READ_ONCE(c->backlog.messages));
	unsigned long flags;
	bool ready;

	spin_lock_irqsave(&sub->lock, flags);
	take_count(sub, &counted);
	ready = enough(sub) || ended(sub);
	/* A subscriber that only looks, now and then, shall see it in time too. */
	if (!ready && c->backlog.ahead.messages)
		start_timer(sub);
	spin_unlock_irqrestore(&sub->lock, flags);
	return ready;
}

/**
 * ronbus_coalesce_arm() - arm or defer a subscriber, unless there is enough
 * @sub: a subscriber that coalesces, just counted by ronbus_coalesce_ready()
 * @relied: returned: somebody else relied on being woken
 *
 * Return: whether there is enough.
 */
bool ronbus_coalesce_arm(struct ronbus_sub *sub, bool *relied)
{
	u32 looks = RONBUS_NOTIFY_LOOKS;
	unsigned long flags;
	bool ready;

	spin_lock_irqsave(&sub->lock, flags);
	*relied = ronbus_sub_take_armed(sub) || deferred(sub);
	ready = settle(sub, &looks);
	spin_unlock_irqrestore(&sub->lock, flags);
	return ready;
}

/*
 * Whoever took the armed bit of a subscriber, or found it deferred up to a position that has been
 * reached, asks whether it is to be woken. Nobody wakes a subscriber that has left; one that does
 * not coalesce (any more) is woken for the bit.
 */
static bool put_off(struct ronbus_sub *sub, bool armed, u32 *looks)
{
	struct ronbus_coalescing *c = &sub->coalesce;
	unsigned long flags;
	bool off;

	spin_lock_irqsave(&sub->lock, flags);
	off = sub->dead || !(armed || deferred(sub));
	if (!off && c->backlog.messages > 1) {
		off = !settle(sub, looks);
		if (off)
			atomic64_inc(&c->deferred);
	}
	spin_unlock_irqrestore(&sub->lock, flags);
	return off;
}

/**
 * ronbus_coalesce_put_off() - put the waking of a subscriber off
 * @sub: a subscriber whose armed bit the caller took, found under RCU
 * @looks: what the caller may still look at
 *
 * Return: whether it is not to be woken now.
 */
bool ronbus_coalesce_put_off(struct ronbus_sub *sub, u32 *looks)
{
	return ronbus_coalesces(sub) && put_off(sub, true, looks);
}

/**
 * ronbus_coalesce_undefer() - end the deferring of a subscriber
 * @sub: the subscriber
 *
 * Return: whether it was deferred: it is to be woken then.
 */
bool ronbus_coalesce_undefer(struct ronbus_sub *sub)
{
	unsigned long flags;
	bool was;

	spin_lock_irqsave(&sub->lock, flags);
	was = deferred(sub);
	set_wake_at(sub, RONBUS_NOT_DEFERRED);
	spin_unlock_irqrestore(&sub->lock, flags);
	return was;
}

/**
 * ronbus_coalesce_recount() - forget what was counted, since it was counted for other topics
 * @sub: the subscriber, which has chosen
 *
 * Among the messages before it are some that were not for it, and now are, or the other way round.
 */
void ronbus_coalesce_recount(struct ronbus_sub *sub)
{
	struct ronbus_coalescing *c = &sub->coalesce;

	spin_lock_irq(&sub->lock);
	c->changes++;
	ronbus_backlog_reset(&c->backlog, READ_ONCE(sub->self->cursor));
	spin_unlock_irq(&sub->lock);
}

/**
 * ronbus_coalesce_notify() - wake those whose waking was put off, if it is time
 * @bus: the bus
 * @cause: why; if it is for data, those that have enough
 * @looks: what the caller may still look at
 *
 * Return: how many were woken.
 */
unsigned int ronbus_coalesce_notify(struct ronbus_bus *bus, enum ronbus_wake_cause cause,
				    u32 *looks)
{
	unsigned int i, woken = 0;

	if (cause == RONBUS_WAKE_DATA &&
	    !ronbus_backlog_reached(&bus->ring, READ_ONCE(bus->page->wake_next)))
		return 0;
	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++) {
		struct ronbus_sub *sub = rcu_dereference(bus->subs[i]);

		if (!sub || !deferred(sub))
			continue;
		if (cause == RONBUS_WAKE_DATA) {
			if (!ronbus_backlog_reached(&bus->ring, READ_ONCE(sub->coalesce.wake_at)) ||
			    put_off(sub, false, looks))
				continue;
		} else if (!ronbus_coalesce_undefer(sub) || cause == RONBUS_WAKE_CLOSE) {
			continue; /* of the end they have been told */
		}
		ronbus_wake(sub, cause);
		woken++;
	}
	return woken;
}

static void set(struct ronbus_sub *sub, const struct ronbus_coalesce *args)
{
	struct ronbus_coalescing *c = &sub->coalesce;
	struct count counted = count(sub, args->messages);
	u32 looks = RONBUS_NOTIFY_LOOKS;
	bool woken;

	spin_lock_irq(&sub->lock);
	WRITE_ONCE(c->backlog.messages, args->messages);
	c->delay = args->delay_ns;
	take_count(sub, &counted);
	hrtimer_try_to_cancel(&c->timer);
	woken = deferred(sub) && settle(sub, &looks);
	spin_unlock_irq(&sub->lock);
	if (woken)
		ronbus_wake(sub, RONBUS_WAKE_DATA);
}

/**
 * ronbus_coalesce_ioctl() - RONBUS_IOC_COALESCE
 * @sub: the subscriber
 * @cmd: the ioctl
 * @arg: its argument
 *
 * Return: 0, -EOPNOTSUPP, -EINVAL, or as ronbus_get_args().
 */
long ronbus_coalesce_ioctl(struct ronbus_sub *sub, unsigned int cmd, void __user *arg)
{
	struct ronbus_coalesce args;
	int err;

	err = ronbus_get_args(&args, sizeof(args), cmd, arg);
	if (err)
		return err;
	err = ronbus_coalesce_check(sub->bus->page, &args);
	if (!err)
		set(sub, &args);
	return err;
}
