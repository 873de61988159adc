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
 * Once there was enough, or the timer has gone off, what was there then is due: it is something to
 * see until it has been read.
 */
#include <linux/hrtimer.h>
#include <linux/poll.h>
#include <linux/rcupdate.h>
#include <linux/uaccess.h>

#include "internal.h"

#define NOT_DEFERRED (~0ULL)

/* How often to begin again while others publish, before it is woken after all. */
#define TRIES 8

static bool deferred(const struct ronbus_sub *sub)
{
	return READ_ONCE(sub->coalesce.wake_at) != NOT_DEFERRED;
}

static void set_wake_at(struct ronbus_sub *sub, u64 at)
{
	struct ronbus_bus *bus = sub->bus;
	u64 next = NOT_DEFERRED;
	unsigned int i;

	if (!deferred(sub) && at == NOT_DEFERRED)
		return;
	rcu_read_lock();
	spin_lock(&bus->wake_lock);
	WRITE_ONCE(sub->coalesce.wake_at, at);
	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++) {
		const struct ronbus_sub *other = rcu_dereference(bus->subs[i]);

		if (other)
			next = min(next, READ_ONCE(other->coalesce.wake_at));
	}
	WRITE_ONCE(bus->page->wake_next, next);
	spin_unlock(&bus->wake_lock);
	rcu_read_unlock();
}

/* Of which message it is the timer is told by where it is read. */
static void start_timer(struct ronbus_sub *sub)
{
	struct ronbus_coalescing *c = &sub->coalesce;
	u64 first = READ_ONCE(sub->self->cursor);

	if (hrtimer_active(&c->timer) && c->first == first)
		return;
	c->first = first;
	hrtimer_start(&c->timer, ns_to_ktime(c->delay), HRTIMER_MODE_REL_SOFT);
}

/* Is it to be woken for what is there? */
static bool enough(struct ronbus_sub *sub, bool late, struct ronbus_ahead *ahead)
{
	struct ronbus_coalescing *c = &sub->coalesce;
	u64 cursor = READ_ONCE(sub->self->cursor);
	/* Before the ring: barrier E', with E in ronbus_bus_end_if_due(): end.pml */
	bool ended = smp_load_acquire(&sub->bus->page->status) & RONBUS_STATUS_ENDED;

	lockdep_assert_held(&c->lock);

	*ahead = ronbus_ring_ahead(&sub->bus->ring, cursor, &sub->interest, max(c->messages, 1U),
				   RONBUS_COALESCE_LOOKS);
	if (ended || ahead->more)
		return true;
	if (!ahead->messages)
		return false;
	if (ahead->messages >= c->messages || late)
		c->due = ahead->end;
	return cursor < c->due;
}

/*
 * Where there may be enough. If the next message is being written (@busy) there may be more behind
 * it: then whoever writes it is to come here.
 */
static u64 expected(const struct ronbus_sub *sub, const struct ronbus_ahead *ahead, bool busy)
{
	if (!ahead->messages)
		return NOT_DEFERRED;
	if (busy)
		return ahead->end + 1;
	return ahead->end + sub->coalesce.messages - ahead->messages;
}

/*
 * Somebody relies on being woken, and is not armed. Returns whether there is a reason to do it now;
 * if not, it is armed or deferred.
 */
static bool settle(struct ronbus_sub *sub, bool late)
{
	struct ronbus_ahead ahead, again;
	unsigned int tries;
	int busy;

	for (tries = 0; tries < TRIES && !enough(sub, late, &ahead); tries++) {
		busy = ronbus_ring_claimed(&sub->bus->ring, ahead.end);
		set_wake_at(sub, expected(sub, &ahead, busy));
		if (ahead.messages)
			start_timer(sub);
		else
			ronbus_sub_set_armed(sub, busy);
		smp_mb(); /* barrier D', with D in ronbus_ring_commit_last(): coalesce.pml */
		if (!enough(sub, late, &again) && again.end == ahead.end &&
		    ronbus_ring_claimed(&sub->bus->ring, ahead.end) == busy)
			return false;
		/* If it has been taken, whoever did so is waiting for our lock. */
		if (!ahead.messages && !ronbus_sub_take_armed(sub))
			return false;
	}
	set_wake_at(sub, NOT_DEFERRED);
	hrtimer_try_to_cancel(&sub->coalesce.timer);
	return true;
}

static enum hrtimer_restart expired(struct hrtimer *timer)
{
	struct ronbus_sub *sub = container_of(timer, struct ronbus_sub, coalesce.timer);
	struct ronbus_ahead ahead;
	unsigned long flags;
	bool due = false;

	spin_lock_irqsave(&sub->coalesce.lock, flags);
	if (deferred(sub))
		due = settle(sub, true);
	else
		enough(sub, true, &ahead);
	spin_unlock_irqrestore(&sub->coalesce.lock, flags);
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

	spin_lock_init(&c->lock);
	c->wake_at = NOT_DEFERRED;
	hrtimer_init(&c->timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_SOFT);
	c->timer.function = expired;
}

/**
 * ronbus_coalesce_end() - nobody is to be woken any more
 * @sub: the subscriber, no longer found in its bus; who has found it before may still come
 */
void ronbus_coalesce_end(struct ronbus_sub *sub)
{
	spin_lock_irq(&sub->coalesce.lock);
	WRITE_ONCE(sub->coalesce.messages, 0);
	set_wake_at(sub, NOT_DEFERRED);
	spin_unlock_irq(&sub->coalesce.lock);
	hrtimer_cancel(&sub->coalesce.timer);
}

/**
 * ronbus_coalesce_ready() - is there enough for a subscriber to see
 * @sub: a subscriber that coalesces
 */
bool ronbus_coalesce_ready(struct ronbus_sub *sub)
{
	struct ronbus_ahead ahead;
	unsigned long flags;
	bool ready;

	spin_lock_irqsave(&sub->coalesce.lock, flags);
	ready = enough(sub, false, &ahead);
	/* Who only looks, now and then, shall see it in time too. */
	if (!ready && ahead.messages)
		start_timer(sub);
	spin_unlock_irqrestore(&sub->coalesce.lock, flags);
	return ready;
}

/**
 * ronbus_coalesce_arm() - arm or defer a subscriber, unless there is enough
 * @sub: a subscriber that coalesces
 * @relied: returned: somebody else relied on being woken
 *
 * Return: whether there is enough.
 */
bool ronbus_coalesce_arm(struct ronbus_sub *sub, bool *relied)
{
	unsigned long flags;
	bool ready;

	spin_lock_irqsave(&sub->coalesce.lock, flags);
	*relied = ronbus_sub_take_armed(sub) || deferred(sub);
	ready = settle(sub, false);
	spin_unlock_irqrestore(&sub->coalesce.lock, flags);
	return ready;
}

static bool put_off(struct ronbus_sub *sub, bool armed)
{
	struct ronbus_coalescing *c = &sub->coalesce;
	unsigned long flags;
	bool off = true;

	spin_lock_irqsave(&c->lock, flags);
	if (armed || deferred(sub)) {
		off = !settle(sub, false);
		if (off)
			atomic64_inc(&c->deferred);
	}
	spin_unlock_irqrestore(&c->lock, flags);
	return off;
}

/**
 * ronbus_coalesce_put_off() - put the waking of a subscriber off
 * @sub: a subscriber whose armed bit the caller took
 *
 * Return: whether it is not to be woken now.
 */
bool ronbus_coalesce_put_off(struct ronbus_sub *sub)
{
	return READ_ONCE(sub->coalesce.messages) > 1 && put_off(sub, true);
}

static bool undefer(struct ronbus_sub *sub)
{
	unsigned long flags;
	bool was;

	spin_lock_irqsave(&sub->coalesce.lock, flags);
	was = deferred(sub);
	set_wake_at(sub, NOT_DEFERRED);
	spin_unlock_irqrestore(&sub->coalesce.lock, flags);
	return was;
}

/**
 * ronbus_coalesce_notify() - wake those whose waking was put off, if it is time
 * @bus: the bus
 * @cause: why; who has enough, if it is for data
 *
 * Return: how many were woken.
 */
unsigned int ronbus_coalesce_notify(struct ronbus_bus *bus, enum ronbus_wake_cause cause)
{
	unsigned int i, woken = 0;

	if (cause == RONBUS_WAKE_DATA &&
	    !ronbus_coalesce_reached(bus, READ_ONCE(bus->page->wake_next)))
		return 0;
	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++) {
		struct ronbus_sub *sub = rcu_dereference(bus->subs[i]);

		if (!sub || !deferred(sub))
			continue;
		if (cause == RONBUS_WAKE_DATA) {
			if (!ronbus_coalesce_reached(bus, READ_ONCE(sub->coalesce.wake_at)) ||
			    put_off(sub, false))
				continue;
		} else if (!undefer(sub) || cause == RONBUS_WAKE_CLOSE) {
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
	bool woken;

	spin_lock_irq(&c->lock);
	WRITE_ONCE(c->messages, args->messages);
	c->delay = args->delay_ns;
	hrtimer_try_to_cancel(&c->timer);
	woken = deferred(sub) && settle(sub, false);
	spin_unlock_irq(&c->lock);
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
	if (!(sub->bus->features & RONBUS_F_COALESCE))
		return -EOPNOTSUPP;
	if (args.flags || args.messages > min((sub->bus->ring.mask + 1) / 2, RONBUS_COALESCE_MAX))
		return -EINVAL;
	if (args.messages > 1 && (args.delay_ns < RONBUS_COALESCE_DELAY_MIN ||
				  args.delay_ns > RONBUS_COALESCE_DELAY_MAX))
		return -EINVAL;
	set(sub, &args);
	return 0;
}
