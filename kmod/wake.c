// SPDX-License-Identifier: GPL-2.0
/*
 * Sleeping and waking.
 *
 * A subscriber that is about to sleep sets its bit in the armed word, which only the kernel writes,
 * and then looks at the ring once more. A publisher makes its message visible and then looks at
 * armed. Each side has a full barrier between its two steps (D and D' of ronbus_ring.h), so at
 * least one of them sees the other: no subscriber sleeps on a message.
 *
 * The context that clears the bit does the waking. A publisher that finds it clear has nothing to
 * do: another context is about to wake the subscriber, or that is awake and has yet to look.
 */
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/hrtimer.h>
#include <linux/poll.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>

#include "bus.h"
#include "coalesce.h"
#include "compat.h"
#include "sub.h"
#include "trace.h"
#include "wake.h"

static_assert(sizeof(unsigned long) == sizeof(((struct ronbus_info_page *)0)->armed));

static unsigned long *ronbus_bus_armed_word(const struct ronbus_bus *bus)
{
	return (unsigned long *)&bus->page->armed;
}

static unsigned long *ronbus_bus_blocked_word(const struct ronbus_bus *bus)
{
	return (unsigned long *)&bus->page->blocked;
}

/**
 * ronbus_sub_readable() - is there something for a subscriber to see
 * @sub: the subscriber; where it reads is what its own page says, right or wrong
 *
 * In the subscriber's context.
 *
 * Return: set of &enum ronbus_readable.
 */
unsigned int ronbus_sub_readable(struct ronbus_sub *sub)
{
	const struct ronbus_backlog *backlog = &sub->coalesce.backlog;
	struct ronbus_scan scan = ronbus_backlog_scan(backlog);

	if (unlikely(ronbus_backlog_coalesces(backlog)) && !ronbus_coalesce_readable(sub))
		return 0;
	return ronbus_backlog_look(backlog, &scan);
}

bool ronbus_backlog_set_armed(struct ronbus_backlog *backlog, bool busy)
{
	struct ronbus_sub *sub = ronbus_sub_of(backlog);
	unsigned long *blocked = ronbus_bus_blocked_word(sub->bus);

	lockdep_assert_held(&sub->lock);

	if (test_bit(sub->index, blocked) != busy)
		assign_bit(sub->index, blocked, busy);
	/* barrier D', with D in ronbus_ring_commit_last(): wake.pml, interest.pml, coalesce.pml */
	return test_and_set_bit(sub->index, ronbus_bus_armed_word(sub->bus));
}

static bool ronbus_sub_take_armed(struct ronbus_sub *sub)
{
	/* Callers wake, or look: barrier Q, with Q' where sleepers enter the queue: wake.pml */
	return test_and_clear_bit(sub->index, ronbus_bus_armed_word(sub->bus));
}

bool ronbus_backlog_take_armed(struct ronbus_backlog *backlog)
{
	return ronbus_sub_take_armed(ronbus_sub_of(backlog));
}

static noinline bool ronbus_queue_count_crowd(wait_queue_head_t *queue)
{
	struct wait_queue_entry *entry;
	unsigned int waiters = 0;
	unsigned long flags;

	spin_lock_irqsave(&queue->lock, flags);
	list_for_each_entry(entry, &queue->head, entry)
		if (++waiters > RONBUS_WAITERS_MAX)
			break;
	spin_unlock_irqrestore(&queue->lock, flags);
	return waiters > RONBUS_WAITERS_MAX;
}

/* Are there more in a queue than a publisher is to wake, with interrupts off? */
static inline bool ronbus_queue_is_crowd(wait_queue_head_t *queue)
{
	/* Mostly there is one, or none. */
	return unlikely(READ_ONCE(queue->head.next) != READ_ONCE(queue->head.prev)) &&
	       ronbus_queue_count_crowd(queue);
}

/**
 * ronbus_sub_crowded() - do more wait for a subscriber than may
 * @sub: the subscriber
 *
 * A waiter asks when it is in the queue: of those that enter at the same time none is overlooked.
 */
bool ronbus_sub_crowded(struct ronbus_sub *sub)
{
	return ronbus_queue_is_crowd(&sub->queue);
}

/**
 * ronbus_sub_polled() - a poller has entered the queue
 * @sub: the subscriber
 *
 * A poller cannot be refused. If it is one too many, publishers no longer wake the queue.
 */
void ronbus_sub_polled(struct ronbus_sub *sub)
{
	if (ronbus_sub_crowded(sub))
		WRITE_ONCE(sub->crowded, true);
}

static void ronbus_sub_wake_later(struct ronbus_sub *sub)
{
	unsigned long flags;

	spin_lock_irqsave(&sub->lock, flags);
	if (!sub->dead)
		queue_work(ronbus_workqueue, &sub->crowd_work);
	spin_unlock_irqrestore(&sub->lock, flags);
}

/* Returns whether it is left to the worker, which signals however many wait. */
static bool ronbus_sub_signal_eventfd(struct ronbus_sub *sub, bool worker)
{
	unsigned long flags;
	bool later = false;

	if (!READ_ONCE(sub->eventfd))
		return false;
	spin_lock_irqsave(&sub->event_lock, flags);
	if (likely(sub->eventfd)) {
		later = !worker && ronbus_queue_is_crowd(sub->event_queue);
		if (likely(!later))
			ronbus_eventfd_signal(sub->eventfd);
	}
	spin_unlock_irqrestore(&sub->event_lock, flags);
	return later;
}

static void ronbus_sub_wake_crowd(struct work_struct *work)
{
	struct ronbus_sub *sub = container_of(work, struct ronbus_sub, crowd_work);
	bool end = READ_ONCE(sub->bus->page->status) & RONBUS_STATUS_ENDED;
	__poll_t events = EPOLLIN | EPOLLRDNORM | (end ? EPOLLHUP : 0);

	if (!ronbus_sub_crowded(sub))
		WRITE_ONCE(sub->crowded, false);
	__wake_up(&sub->queue, TASK_NORMAL, 0, poll_to_key(events));
	ronbus_sub_signal_eventfd(sub, true);
}

/* The queue, of which one waiter that wants to be woken alone, or all; and the eventfd. */
static void ronbus_sub_wake_waiters(struct ronbus_sub *sub, __poll_t events, bool all)
{
	bool later = READ_ONCE(sub->crowded);

	if (!later)
		__wake_up(&sub->queue, TASK_NORMAL, !all, poll_to_key(events));
	if (unlikely(later || ronbus_sub_signal_eventfd(sub, false)))
		ronbus_sub_wake_later(sub);
}

/*
 * Arm a subscriber that reads everything and has seen nothing. Returns what there is after all;
 * then the bit may be one that another context relies on by now (@relied).
 */
static unsigned int ronbus_sub_arm_for_any(struct ronbus_sub *sub, struct ronbus_scan *scan,
					   bool *relied)
{
	unsigned int readable;

	set_bit(sub->index, ronbus_bus_armed_word(sub->bus));
	smp_mb__after_atomic(); /* barrier D', with D in ronbus_ring_commit_last(): wake.pml */
	readable = ronbus_backlog_look(&sub->coalesce.backlog, scan);
	if (readable)
		*relied = ronbus_sub_take_armed(sub);
	return readable;
}

static unsigned int ronbus_sub_arm_for_topics(struct ronbus_sub *sub, struct ronbus_scan *scan,
					      bool *relied)
{
	unsigned long flags;
	unsigned int readable;

	spin_lock_irqsave(&sub->lock, flags);
	readable = ronbus_backlog_arm(&sub->coalesce.backlog, scan, relied);
	spin_unlock_irqrestore(&sub->lock, flags);
	return readable;
}

static unsigned int ronbus_sub_arm_coalescing(struct ronbus_sub *sub, struct ronbus_scan *scan,
					      bool *relied)
{
	struct ronbus_backlog *backlog = &sub->coalesce.backlog;
	unsigned long flags;
	bool readable;

	spin_lock_irqsave(&sub->lock, flags);
	readable = ronbus_backlog_arm_for_many(backlog, relied);
	spin_unlock_irqrestore(&sub->lock, flags);
	/* Another thread may have read it by now. */
	return readable ? ronbus_backlog_look(backlog, scan) ?: RONBUS_READABLE_DATA : 0;
}

/**
 * ronbus_sub_arm() - ask to be woken by the next message, unless there is one
 * @sub: the subscriber
 *
 * Callers that sleep are in its queue already.
 *
 * Return: 0 if it is armed; else the set of &enum ronbus_readable it would not have to wait for.
 */
unsigned int ronbus_sub_arm(struct ronbus_sub *sub)
{
	const struct ronbus_backlog *backlog = &sub->coalesce.backlog;
	bool coalescing = ronbus_backlog_coalesces(backlog), relied = false;
	struct ronbus_scan scan = ronbus_backlog_scan(backlog);
	unsigned int readable;

	ronbus_trace_sub(sub);
	readable = unlikely(coalescing) ? ronbus_sub_readable(sub)
					: ronbus_backlog_look(backlog, &scan);
	if (!readable) {
		atomic64_inc(&sub->waits);
		if (ronbus_traced())
			atomic64_set(&sub->armed_at, ktime_get_ns());
		if (unlikely(coalescing))
			readable = ronbus_sub_arm_coalescing(sub, &scan, &relied);
		else if (sub->interest.bit)
			readable = ronbus_sub_arm_for_topics(sub, &scan, &relied);
		else
			readable = ronbus_sub_arm_for_any(sub, &scan, &relied);
		if (!readable) {
			trace_ronbus_arm(sub);
			return 0;
		}
	}
	/*
	 * Not going to sleep after all. Others may rely on the same bit, and a publisher that finds
	 * it clear leaves them to us. First the bit, then the queue: barrier Q, with Q' where
	 * sleepers enter the queue: wake.pml
	 */
	if (unlikely(relied) && (wq_has_sleeper(&sub->queue) || READ_ONCE(sub->eventfd)))
		ronbus_sub_wake_waiters(sub, EPOLLIN | EPOLLRDNORM, false);
	trace_ronbus_ready(sub);
	return readable;
}

/**
 * ronbus_sleep_until() - sleep, in the state that is set
 * @deadline: CLOCK_MONOTONIC in nanoseconds, or RONBUS_WAIT_FOREVER
 *
 * Return: whether the time is up.
 */
bool ronbus_sleep_until(u64 deadline)
{
	ktime_t expires = min_t(u64, deadline, KTIME_MAX);
	ktime_t *timeout = deadline == RONBUS_WAIT_FOREVER ? NULL : &expires;

	return !schedule_hrtimeout_range(timeout, current->timer_slack_ns, HRTIMER_MODE_ABS);
}

/**
 * ronbus_sub_wait() - sleep until there is something to see
 * @sub: the subscriber
 * @deadline: CLOCK_MONOTONIC in nanoseconds, or RONBUS_WAIT_FOREVER
 * @cancels: sub->cancels when the call began that waits
 *
 * Return: 0, -ETIMEDOUT, -ECANCELED, -EBUSY or -ERESTARTSYS.
 */
int ronbus_sub_wait(struct ronbus_sub *sub, u64 deadline, int cancels)
{
	bool entered = false;
	DEFINE_WAIT(wait);
	int err = 0;

	/* Only a look: the caller will not sleep, so it need not be woken. */
	if (deadline <= ktime_get_ns())
		return ronbus_sub_readable(sub) ? 0 : -ETIMEDOUT;

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
		if (!entered && ronbus_sub_crowded(sub)) {
			err = -EBUSY;
			break;
		}
		entered = true;
		if (atomic_read(&sub->cancels) != cancels)
			err = -ECANCELED;
		else if (signal_pending(current))
			err = -ERESTARTSYS;
		else if (ronbus_sleep_until(deadline))
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
	/* barrier Y, with Y' in ronbus_sub_wait_ioctl(): call.pml */
	smp_mb__before_atomic();
	atomic_inc(&sub->cancels);
	/*
	 * Under the lock that sleepers enter the queue under: a sleeper that enters it later sees
	 * the count, and one that is in it is woken. cancel.pml
	 */
	wake_up_all(&sub->queue);
}

/**
 * ronbus_sub_init() - a new subscriber, which nothing waits for yet
 * @sub: the subscriber, zeroed
 */
void ronbus_sub_init(struct ronbus_sub *sub)
{
	spin_lock_init(&sub->lock);
	init_waitqueue_head(&sub->queue);
	INIT_WORK(&sub->crowd_work, ronbus_sub_wake_crowd);
	spin_lock_init(&sub->event_lock);
	ronbus_coalesce_init(sub);
}

/**
 * ronbus_sub_end() - a subscriber leaves: it is not armed, deferred or timed any more
 * @sub: the subscriber, no longer found in its bus, whose lock is held; publishers that found it
 *	before may still come
 */
void ronbus_sub_end(struct ronbus_sub *sub)
{
	lockdep_assert_held(&sub->bus->lock);

	spin_lock_irq(&sub->lock);
	sub->dead = true;
	ronbus_backlog_defer(&sub->coalesce.backlog, RONBUS_NOT_DEFERRED);
	spin_unlock_irq(&sub->lock);
	hrtimer_cancel(&sub->coalesce.timer);
	/* They stay clear, for the next subscriber with this index. */
	clear_bit(sub->index, ronbus_bus_armed_word(sub->bus));
	clear_bit(sub->index, ronbus_bus_blocked_word(sub->bus));
}

static u64 ronbus_sub_armed_for(struct ronbus_sub *sub)
{
	/* As a barrier it has no partner: a time that is off by one wake-up does no harm. */
	u64 since = atomic64_xchg(&sub->armed_at, 0);

	return since ? ktime_get_ns() - since : 0;
}

/**
 * ronbus_sub_wake() - wake the threads that wait for a subscriber, and signal its eventfd
 * @sub: the subscriber
 * @cause: why
 *
 * The caller took its bit, or ended its being deferred. Of the waiters that want to be woken
 * one at a time (EPOLLEXCLUSIVE) one is told of a message; all are told of the end.
 */
void ronbus_sub_wake(struct ronbus_sub *sub, enum ronbus_wake_cause cause)
{
	bool end = cause == RONBUS_WAKE_CLOSE;
	__poll_t events = EPOLLIN | EPOLLRDNORM | (end ? EPOLLHUP : 0);

	atomic64_inc(&sub->wakes[cause]);
	if (trace_ronbus_wake_enabled())
		trace_ronbus_wake(sub, cause, ronbus_sub_armed_for(sub));
	ronbus_sub_wake_waiters(sub, events, end);
}

/**
 * ronbus_bus_notify() - wake subscribers
 * @bus: the bus
 * @mask: the subscribers
 * @cause: why
 *
 * With EDGE_NOTIFY only those that are armed, and each by one caller. Without it all of @mask.
 * The end of the bus is told to all, for there is no later occasion. At most 64 steps whatever
 * @mask says, and RONBUS_NOTIFY_LOOKS looks at the ring for all of those that coalesce.
 *
 * Return: how many were woken.
 */
unsigned int ronbus_bus_notify(struct ronbus_bus *bus, u64 mask, enum ronbus_wake_cause cause)
{
	bool edge = bus->features & RONBUS_F_EDGE_NOTIFY && cause != RONBUS_WAKE_CLOSE;
	u32 looks = RONBUS_NOTIFY_LOOKS;
	unsigned int woken = 0;

	rcu_read_lock();
	while (mask) {
		unsigned int i = __ffs64(mask);
		struct ronbus_sub *sub;
		bool won;

		mask &= mask - 1;
		/* For the end and for repair: barrier D, with D' in ronbus_sub_arm(): wake.pml */
		won = test_and_clear_bit(i, ronbus_bus_armed_word(bus));
		if (!won && edge)
			continue;
		/*
		 * Look the subscriber up only after its bit is clear: the index may have been
		 * used again, and the new owner must be woken. join.pml, MUT_LOOKUP.
		 */
		sub = rcu_dereference(bus->subs[i]);
		if (!sub)
			continue;
		if (cause == RONBUS_WAKE_DATA && ronbus_backlog_coalesces(&sub->coalesce.backlog) &&
		    !ronbus_coalesce_wakes(sub, true, cause, &looks))
			continue;
		ronbus_sub_wake(sub, cause);
		woken++;
	}
	if (bus->features & RONBUS_F_COALESCE)
		woken += ronbus_coalesce_notify(bus, cause, &looks);
	rcu_read_unlock();
	return woken;
}

/**
 * ronbus_sub_wake_armed() - wake those that rely on a subscriber's being woken, if any
 * @sub: the subscriber, which reads other messages than when they looked
 */
void ronbus_sub_wake_armed(struct ronbus_sub *sub)
{
	unsigned long flags;
	bool relied;

	spin_lock_irqsave(&sub->lock, flags);
	relied = ronbus_sub_take_armed(sub);
	relied |= ronbus_backlog_undefer(&sub->coalesce.backlog);
	spin_unlock_irqrestore(&sub->lock, flags);
	if (relied)
		ronbus_sub_wake(sub, RONBUS_WAKE_DATA);
}

struct captured {
	poll_table table;
	wait_queue_head_t *queue;
};

static void ronbus_eventfd_capture(struct file *file, wait_queue_head_t *queue, poll_table *table)
{
	container_of(table, struct captured, table)->queue = queue;
}

/* The queue of an eventfd, as it tells those that poll it. */
static wait_queue_head_t *ronbus_eventfd_queue(struct file *file)
{
	struct captured captured = { .queue = NULL };

	init_poll_funcptr(&captured.table, ronbus_eventfd_capture);
	vfs_poll(file, &captured.table);
	return captured.queue;
}

/**
 * ronbus_sub_set_eventfd() - signal an eventfd with every wake-up
 * @sub: the subscriber
 * @fd: the eventfd, or -1 for none from now on
 *
 * Return: 0, or what eventfd_fget() makes of @fd: -EBADF or -EINVAL.
 */
int ronbus_sub_set_eventfd(struct ronbus_sub *sub, int fd)
{
	wait_queue_head_t *queue = NULL;
	struct eventfd_ctx *ctx = NULL;
	struct file *file;

	if (fd != -1) {
		file = eventfd_fget(fd);
		if (IS_ERR(file))
			return PTR_ERR(file);
		ctx = eventfd_ctx_fileget(file);
		queue = ronbus_eventfd_queue(file);
		fput(file);
	}
	spin_lock_irq(&sub->event_lock);
	swap(sub->eventfd, ctx);
	sub->event_queue = queue;
	spin_unlock_irq(&sub->event_lock);
	if (ctx)
		eventfd_ctx_put(ctx);
	return 0;
}
