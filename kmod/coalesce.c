// SPDX-License-Identifier: GPL-2.0
/*
 * Waking a subscriber for several messages at once: RONBUS_F_COALESCE.
 *
 * common/backlog.h and common/arm.h decide when it is woken; here are the locks, the timer and the
 * ioctl.
 */
#include <linux/hrtimer.h>
#include <linux/rcupdate.h>
#include <linux/uaccess.h>

#include "bus.h"
#include "coalesce.h"
#include "ioctl.h"
#include "sub.h"
#include "wake.h"

static u64 ronbus_coalesce_least_wake_at(struct ronbus_bus *bus)
{
	u64 least = RONBUS_NOT_DEFERRED;
	unsigned int i;

	lockdep_assert_held(&bus->wake_lock);

	rcu_read_lock();
	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++) {
		const struct ronbus_sub *sub = rcu_dereference(bus->subs[i]);

		if (sub)
			least = min(least, READ_ONCE(sub->coalesce.backlog.wake_at));
	}
	rcu_read_unlock();
	return least;
}

void ronbus_backlog_move_wake_at(struct ronbus_backlog *backlog, u64 wake_at)
{
	struct ronbus_sub *sub = ronbus_sub_of(backlog);
	struct ronbus_bus *bus = sub->bus;

	lockdep_assert_held(&sub->lock);

	spin_lock(&bus->wake_lock);
	if (ronbus_backlog_set_wake_at(backlog, wake_at))
		WRITE_ONCE(bus->page->wake_next, ronbus_coalesce_least_wake_at(bus));
	spin_unlock(&bus->wake_lock);
}

bool ronbus_backlog_timer_runs(struct ronbus_backlog *backlog)
{
	return hrtimer_is_queued(&ronbus_sub_of(backlog)->coalesce.timer);
}

void ronbus_backlog_start_timer(struct ronbus_backlog *backlog)
{
	hrtimer_start(&ronbus_sub_of(backlog)->coalesce.timer, ns_to_ktime(backlog->delay),
		      HRTIMER_MODE_REL_SOFT);
}

void ronbus_backlog_cancel_timer(struct ronbus_backlog *backlog)
{
	hrtimer_try_to_cancel(&ronbus_sub_of(backlog)->coalesce.timer);
}

/*
 * In the subscriber's own context, and without its lock: it looks for as long as it takes. The lock
 * before that is for the topics: they are as new as the number of their changes says.
 */
static struct ronbus_backlog_count ronbus_coalesce_count(struct ronbus_sub *sub, u32 messages)
{
	struct ronbus_backlog *backlog = &sub->coalesce.backlog;
	unsigned long flags;
	u32 changes;

	spin_lock_irqsave(&sub->lock, flags);
	changes = backlog->changes;
	spin_unlock_irqrestore(&sub->lock, flags);
	return ronbus_backlog_count(backlog, changes, messages);
}

static enum hrtimer_restart ronbus_coalesce_expired(struct hrtimer *timer)
{
	struct ronbus_sub *sub = container_of(timer, struct ronbus_sub, coalesce.timer);
	unsigned long flags;
	bool wakes;

	spin_lock_irqsave(&sub->lock, flags);
	wakes = !sub->dead && ronbus_backlog_expire(&sub->coalesce.backlog);
	spin_unlock_irqrestore(&sub->lock, flags);
	if (wakes)
		ronbus_sub_wake(sub, RONBUS_WAKE_TIMER);
	return HRTIMER_NORESTART;
}

/**
 * ronbus_coalesce_init() - a new subscriber is woken for the first message
 * @sub: the subscriber
 */
void ronbus_coalesce_init(struct ronbus_sub *sub)
{
	struct ronbus_coalescing *c = &sub->coalesce;

	c->backlog.ring = &sub->bus->ring;
	c->backlog.page = sub->bus->page;
	c->backlog.interest = &sub->interest;
	c->backlog.wake_at = RONBUS_NOT_DEFERRED;
	hrtimer_init(&c->timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_SOFT);
	c->timer.function = ronbus_coalesce_expired;
}

/**
 * ronbus_coalesce_readable() - is there enough for a subscriber to see
 * @sub: a subscriber that coalesces, in its own context
 */
bool ronbus_coalesce_readable(struct ronbus_sub *sub)
{
	struct ronbus_backlog *backlog = &sub->coalesce.backlog;
	struct ronbus_backlog_count counted =
		ronbus_coalesce_count(sub, READ_ONCE(backlog->messages));
	unsigned long flags;
	bool readable;

	spin_lock_irqsave(&sub->lock, flags);
	readable = ronbus_backlog_look_for_many(backlog, &counted);
	spin_unlock_irqrestore(&sub->lock, flags);
	return readable;
}

/**
 * ronbus_coalesce_wakes() - does a notification wake a subscriber
 * @sub: the subscriber, found under RCU
 * @armed: the caller took its armed bit; if false, it was found deferred
 * @cause: what it is woken for
 * @looks: positions that the caller may still look at
 *
 * A subscriber that has left is not woken.
 *
 * Return: whether the caller is to wake it; if not, it is armed or deferred, or has been woken.
 */
bool ronbus_coalesce_wakes(struct ronbus_sub *sub, bool armed, enum ronbus_wake_cause cause,
			   u32 *looks)
{
	unsigned long flags;
	bool wakes;

	spin_lock_irqsave(&sub->lock, flags);
	wakes = !sub->dead && ronbus_backlog_wakes(&sub->coalesce.backlog, armed, cause, looks);
	spin_unlock_irqrestore(&sub->lock, flags);
	return wakes;
}

/**
 * ronbus_coalesce_recount() - forget what was counted, since it was counted for other topics
 * @sub: the subscriber, which has chosen
 */
void ronbus_coalesce_recount(struct ronbus_sub *sub)
{
	spin_lock_irq(&sub->lock);
	ronbus_backlog_recount(&sub->coalesce.backlog);
	spin_unlock_irq(&sub->lock);
}

/**
 * ronbus_coalesce_notify() - wake deferred subscribers
 * @bus: the bus
 * @cause: why; if it is for messages, those that have enough are woken
 * @looks: positions that the caller may still look at
 *
 * Return: how many were woken.
 */
unsigned int ronbus_coalesce_notify(struct ronbus_bus *bus, enum ronbus_wake_cause cause,
				    u32 *looks)
{
	unsigned int i, woken = 0;

	if (cause == RONBUS_WAKE_DATA && !ronbus_coalesce_due(bus))
		return 0;
	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++) {
		struct ronbus_sub *sub = rcu_dereference(bus->subs[i]);

		if (!sub || !ronbus_backlog_concerns(&sub->coalesce.backlog, cause) ||
		    !ronbus_coalesce_wakes(sub, false, cause, looks))
			continue;
		ronbus_sub_wake(sub, cause);
		woken++;
	}
	return woken;
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
	struct ronbus_backlog_count counted;
	struct ronbus_coalesce args;
	bool wakes;
	int err;

	err = ronbus_get_args(&args, sizeof(args), cmd, arg);
	if (err)
		return err;
	err = ronbus_coalesce_check(sub->bus->page, &args);
	if (err)
		return err;
	counted = ronbus_coalesce_count(sub, args.messages);
	spin_lock_irq(&sub->lock);
	wakes = ronbus_backlog_set(&sub->coalesce.backlog, &args, &counted);
	spin_unlock_irq(&sub->lock);
	if (wakes)
		ronbus_sub_wake(sub, RONBUS_WAKE_DATA);
	return 0;
}
