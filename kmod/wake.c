// SPDX-License-Identifier: GPL-2.0
/*
 * Sleeping and waking.
 *
 * A subscriber that is about to sleep sets its bit in the armed word, which only the kernel writes,
 * and then looks at the ring once more. A publisher makes its message visible and then looks at
 * armed. Each side has a full barrier between its two steps (D and D' of ronbus_ring.h), so at
 * least one of them sees the other: no message is published behind a sleeper's back.
 *
 * Whoever clears the bit does the waking: a publisher that finds it clear has nothing to do, since
 * somebody else's waking is on its way, or the subscriber is awake and has yet to look.
 */
#include <linux/eventfd.h>
#include <linux/hrtimer.h>
#include <linux/poll.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>

#include "compat.h"
#include "internal.h"
#include "trace.h"

static_assert(sizeof(unsigned long) == sizeof(((struct ronbus_info_page *)0)->armed));

static unsigned long *armed_word(const struct ronbus_bus *bus)
{
	return (unsigned long *)&bus->page->armed;
}

static unsigned long *blocked_word(const struct ronbus_bus *bus)
{
	return (unsigned long *)&bus->page->blocked;
}

/*
 * For who chooses topics: 0 if there is something at the cursor or behind it, else the position
 * where nothing is yet. Not to be woken for every few messages of others is worth stepping over
 * that many; to say that there is something is never wrong.
 */
static u64 find_wanted(const struct ronbus_sub *sub)
{
	const struct ronbus_ring *ring = &sub->bus->ring;
	u64 pos = READ_ONCE(sub->self->cursor), value;
	unsigned int looks;

	for (looks = 0; looks < RONBUS_READY_LOOKS; looks++, pos++) {
		switch (ronbus_ring_look(ring, pos, &value)) {
		case RONBUS_LOOK_EMPTY:
			return pos;
		case RONBUS_LOOK_LAGGED:
			return 0;
		case RONBUS_LOOK_READY:
			if (ronbus_ring_wanted(ring, pos, &sub->interest) ||
			    !ronbus_ring_unchanged(ring, pos, value))
				return 0;
			break;
		case RONBUS_LOOK_HOLE:
			break;
		}
	}
	return 0;
}

static bool something(const struct ronbus_sub *sub)
{
	u64 value;

	if (sub->interest.bit)
		return !find_wanted(sub);
	return ronbus_ring_look(&sub->bus->ring, READ_ONCE(sub->self->cursor), &value) !=
	       RONBUS_LOOK_EMPTY;
}

static unsigned int look(const struct ronbus_sub *sub)
{
	unsigned int ready = 0;

	/* Before the ring: barrier E', with E in ronbus_bus_end_if_due(): end.pml */
	if (smp_load_acquire(&sub->bus->page->status) & RONBUS_STATUS_ENDED)
		ready |= RONBUS_READY_ENDED;
	if (something(sub))
		ready |= RONBUS_READY_DATA;
	return ready;
}

/**
 * ronbus_sub_ready() - is there something for a subscriber to see
 * @sub: the subscriber; where it reads is what its own page says, right or wrong
 *
 * Return: set of &enum ronbus_ready.
 */
unsigned int ronbus_sub_ready(struct ronbus_sub *sub)
{
	if (unlikely(READ_ONCE(sub->coalesce.messages) > 1) && !ronbus_coalesce_ready(sub))
		return 0;
	return look(sub);
}

/**
 * ronbus_sub_set_armed() - set the bit of a subscriber that has nothing to read
 * @sub: the subscriber
 * @busy: the next message is being written
 *
 * A full barrier and another look must follow.
 */
void ronbus_sub_set_armed(struct ronbus_sub *sub, bool busy)
{
	if (sub->interest.bit && busy)
		set_bit(sub->index, blocked_word(sub->bus));
	set_bit(sub->index, armed_word(sub->bus));
}

/**
 * ronbus_sub_take_armed() - take the bit of a subscriber away
 * @sub: the subscriber
 *
 * Return: whether it was set.
 */
bool ronbus_sub_take_armed(struct ronbus_sub *sub)
{
	/* Callers wake, or look: barrier Q, with Q' where sleepers enter the queue: wake.pml */
	return test_and_clear_bit(sub->index, armed_word(sub->bus));
}

/*
 * Armed, and nothing up to some position. If a message is being written there, it may be for
 * others, whose publisher would wake only them, and there may be one for us behind it, whose
 * publisher has woken us in vain. So then any publisher is to wake us.
 */
static unsigned int look_behind(struct ronbus_sub *sub)
{
	u64 pos = find_wanted(sub);

	if (!pos)
		return RONBUS_READY_DATA;
	if (!ronbus_ring_claimed(&sub->bus->ring, pos)) {
		clear_bit(sub->index, blocked_word(sub->bus));
		return 0;
	}
	set_bit(sub->index, blocked_word(sub->bus));
	smp_mb__after_atomic(); /* barrier D', with D in ronbus_ring_commit_last(): interest.pml */
	return ronbus_sub_ready(sub);
}

static void signal_eventfd(struct ronbus_sub *sub)
{
	unsigned long flags;

	if (!READ_ONCE(sub->eventfd))
		return;
	spin_lock_irqsave(&sub->event_lock, flags);
	if (sub->eventfd)
		ronbus_eventfd_signal(sub->eventfd);
	spin_unlock_irqrestore(&sub->event_lock, flags);
}

static unsigned int arm_coalescing(struct ronbus_sub *sub)
{
	unsigned int ready;
	bool relied;

	if (!ronbus_coalesce_arm(sub, &relied)) {
		trace_ronbus_arm(sub);
		return 0;
	}
	/* As below: barrier Q, with Q' where sleepers enter the queue: wake.pml */
	if (relied && wq_has_sleeper(&sub->queue))
		wake_up_poll(&sub->queue, EPOLLIN | EPOLLRDNORM);
	ready = look(sub);
	trace_ronbus_ready(sub);
	return ready ?: RONBUS_READY_DATA; /* another thread may have read it by now */
}

/**
 * ronbus_sub_arm() - ask to be woken by the next message, unless there is one
 * @sub: the subscriber
 *
 * Callers that sleep are in its queue already.
 *
 * Return: 0 if it is armed; else the set of &enum ronbus_ready it would not have to wait for.
 */
unsigned int ronbus_sub_arm(struct ronbus_sub *sub)
{
	unsigned int ready = ronbus_sub_ready(sub);

	ronbus_trace_sub(sub);
	if (ready)
		goto out;

	atomic64_inc(&sub->waits);
	if (ronbus_traced())
		atomic64_set(&sub->armed_at, ktime_get_ns());
	if (READ_ONCE(sub->coalesce.messages) > 1)
		return arm_coalescing(sub);
	set_bit(sub->index, armed_word(sub->bus));
	smp_mb__after_atomic(); /* barrier D', with D in ronbus_ring_commit_last(): wake.pml */
	ready = look(sub);
	if (!ready && sub->interest.bit)
		ready = look_behind(sub);
	if (!ready) {
		trace_ronbus_arm(sub);
		return 0;
	}

	/*
	 * Not going to sleep after all. Another thread may be asleep on the same bit, and a
	 * publisher that finds it clear would leave it to us. First the bit, then who sleeps:
	 * barrier Q, with Q' where sleepers enter the queue: wake.pml
	 */
	if (test_and_clear_bit(sub->index, armed_word(sub->bus)) && wq_has_sleeper(&sub->queue))
		wake_up_poll(&sub->queue, EPOLLIN | EPOLLRDNORM);
out:
	trace_ronbus_ready(sub);
	return ready;
}

/**
 * ronbus_sub_wait() - sleep until there is something to see
 * @sub: the subscriber
 * @deadline: CLOCK_MONOTONIC in nanoseconds, or RONBUS_WAIT_FOREVER
 *
 * Return: 0, -ETIMEDOUT, -ECANCELED or -ERESTARTSYS.
 */
int ronbus_sub_wait(struct ronbus_sub *sub, u64 deadline)
{
	int cancels = atomic_read(&sub->cancels);
	ktime_t expires = min_t(u64, deadline, KTIME_MAX);
	ktime_t *timeout = deadline == RONBUS_WAIT_FOREVER ? NULL : &expires;
	DEFINE_WAIT(wait);
	int err = 0;

	/* Only a look: nobody will sleep, so nobody need be woken. */
	if (deadline <= ktime_get_ns())
		return ronbus_sub_ready(sub) ? 0 : -ETIMEDOUT;

	for (;;) {
		/*
		 * barrier Q', with Q in ronbus_sub_arm(): wake.pml. Freezable, since the freezer
		 * would end the wait of a worker of io_uring.
		 */
		prepare_to_wait(&sub->queue, &wait, TASK_INTERRUPTIBLE | TASK_FREEZABLE);
		if (ronbus_sub_arm(sub)) {
			err = 0; /* even if time was up: what is there is not lost */
			break;
		}
		if (err)
			break;
		if (atomic_read(&sub->cancels) != cancels)
			err = -ECANCELED;
		else if (signal_pending(current))
			err = -ERESTARTSYS;
		else if (!schedule_hrtimeout_range(timeout, current->timer_slack_ns,
						   HRTIMER_MODE_ABS))
			err = -ETIMEDOUT;
	}
	finish_wait(&sub->queue, &wait);
	return err;
}

/**
 * ronbus_sub_cancel() - end the waits that are going on
 * @sub: the subscriber
 */
void ronbus_sub_cancel(struct ronbus_sub *sub)
{
	atomic_inc(&sub->cancels);
	/*
	 * Under the lock that sleepers enter the queue under: who enters it later sees the count,
	 * who is in it is woken. cancel.pml
	 */
	wake_up_all(&sub->queue);
}

static u64 armed_for(struct ronbus_sub *sub)
{
	/* As a barrier it has no partner: a time that is off by one wake-up harms nobody. */
	u64 since = atomic64_xchg(&sub->armed_at, 0);

	return since ? ktime_get_ns() - since : 0;
}

/**
 * ronbus_wake() - wake who sleeps for a subscriber, or polls it, and signal its eventfd
 * @sub: the subscriber
 * @cause: why
 *
 * By the one who took its bit, or ended its being deferred.
 */
void ronbus_wake(struct ronbus_sub *sub, enum ronbus_wake_cause cause)
{
	__poll_t events = EPOLLIN | EPOLLRDNORM;

	if (cause == RONBUS_WAKE_CLOSE)
		events |= EPOLLHUP;
	atomic64_inc(&sub->wakes[cause]);
	if (trace_ronbus_wake_enabled())
		trace_ronbus_wake(sub, cause, armed_for(sub));
	wake_up_poll(&sub->queue, events);
	signal_eventfd(sub);
}

/**
 * ronbus_notify() - wake subscribers
 * @bus: the bus
 * @mask: whom
 * @cause: why
 *
 * With EDGE_NOTIFY only those that are armed, and each by one caller. Without it everybody in
 * @mask. The end of the bus is told to everybody, for there is no later occasion. At most 64 steps
 * whatever @mask says.
 *
 * Return: how many were woken.
 */
unsigned int ronbus_notify(struct ronbus_bus *bus, u64 mask, enum ronbus_wake_cause cause)
{
	bool edge = bus->features & RONBUS_F_EDGE_NOTIFY && cause != RONBUS_WAKE_CLOSE;
	unsigned int woken = 0;

	rcu_read_lock();
	while (mask) {
		unsigned int i = __ffs64(mask);
		struct ronbus_sub *sub;
		bool won;

		mask &= mask - 1;
		/* For the end and for repair: barrier D, with D' in ronbus_sub_arm(): wake.pml */
		won = test_and_clear_bit(i, armed_word(bus));
		if (!won && edge)
			continue;
		/*
		 * Behind that: whose bit it was may have left, and another have come in his place,
		 * who is the one to be woken. join.pml, MUT_LOOKUP.
		 */
		sub = rcu_dereference(bus->subs[i]);
		if (!sub || (cause == RONBUS_WAKE_DATA && ronbus_coalesce_put_off(sub)))
			continue;
		ronbus_wake(sub, cause);
		woken++;
	}
	if (bus->features & RONBUS_F_COALESCE)
		woken += ronbus_coalesce_notify(bus, cause);
	rcu_read_unlock();
	return woken;
}

/**
 * ronbus_sub_set_eventfd() - signal an eventfd with every wake-up
 * @sub: the subscriber
 * @fd: the eventfd, or -1 for none from now on
 *
 * Return: 0, or what eventfd_ctx_fdget() makes of @fd: -EBADF or -EINVAL.
 */
int ronbus_sub_set_eventfd(struct ronbus_sub *sub, int fd)
{
	struct eventfd_ctx *ctx = NULL;

	if (fd != -1) {
		ctx = eventfd_ctx_fdget(fd);
		if (IS_ERR(ctx))
			return PTR_ERR(ctx);
	}
	spin_lock_irq(&sub->event_lock);
	swap(sub->eventfd, ctx);
	spin_unlock_irq(&sub->event_lock);
	if (ctx)
		eventfd_ctx_put(ctx);
	return 0;
}
