/* SPDX-License-Identifier: GPL-2.0 */
/* The subscriber: its struct. How it sleeps and is woken is in wake.h and coalesce.h. */
#ifndef _RONBUS_SUB_H
#define _RONBUS_SUB_H

#include <linux/atomic.h>
#include <linux/hrtimer.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "../common/backlog.h"
#include "bus.h"
#include "region.h"

struct eventfd_ctx;
struct io_uring_cmd;

/* For how many messages a subscriber is woken. */
struct ronbus_coalescing {
	struct ronbus_backlog
		backlog; /* what waits for it, under its lock; and whether it is deferred */
	struct hrtimer timer; /* from the first message */
};

/*
 * A subscriber.
 *
 * Lifetime. The program's calls reach it through its file, and pending commands of io_uring hold
 * the file. When the file is released the subscriber leaves. Publishers reach it through bus->subs
 * under RCU; one that found it there may look at all of it, its page included, until the grace
 * period that follows has passed, but finds it dead. Its timer and crowd_work are cancelled when
 * it leaves, and not begun when it is dead. Its eventfd is let go of when it leaves, under
 * event_lock. STATS and tracing reach it under bus->lock.
 */
struct ronbus_sub {
	struct ronbus_bus *bus; /* its bus, held until the subscriber leaves */
	u32 index; /* its bit in every mask */
	u32 access; /* what its bus fd could do */
	u64 start; /* position of its first read */
	struct ronbus_interest interest; /* which messages it reads; changes under bus->lock */
	spinlock_t lock; /* makes arming, deferring and leaving one step each */
	bool dead; /* it has left, and is not armed, deferred or timed any more; under lock */
	struct ronbus_coalescing coalesce; /* for how many messages it is woken */
	struct ronbus_region self_mem; /* memory of its own page */
	/* The page; untrusted, with the cursor that says where it reads. */
	struct ronbus_self *self;
	wait_queue_head_t queue; /* sleepers, pollers and commands of io_uring that wait for it */
	bool crowded; /* there are more of them than a publisher is to wake */
	struct work_struct crowd_work; /* wakes them then, or those of the eventfd */
	spinlock_t event_lock; /* guards eventfd and event_queue */
	struct eventfd_ctx *eventfd; /* signalled when it is woken, or NULL */
	wait_queue_head_t *event_queue; /* those that wait for the eventfd, which keeps it */
	struct mutex read_lock; /* one read(2) at a time */
	struct ronbus_record *bounce; /* a record on its way out, under read_lock */
	u64 read_lost; /* positions lost and not yet told to a reader, under read_lock */
	atomic64_t wakes[RONBUS_WAKE_CAUSES]; /* times woken, by cause */
	atomic64_t waits; /* times armed */
	atomic_t cancels; /* RONBUS_IOC_CANCEL calls; a wait that sees it change is over */
	atomic64_t armed_at; /* when it was armed, if that is traced, in nanoseconds */
	u64 traced_lags; /* lags that were traced, under bus->lock */
	u64 traced_lost; /* lost positions, likewise */
	u64 traced_suppressed; /* suppressed wake-ups, likewise */
	struct rcu_work free_work; /* frees it, with its page, after a grace period */
};

static inline struct ronbus_sub *ronbus_sub_of(struct ronbus_backlog *backlog)
{
	return container_of(backlog, struct ronbus_sub, coalesce.backlog);
}

/* uring.c */
int ronbus_sub_uring_cmd(struct io_uring_cmd *cmd, unsigned int issue_flags);

#endif /* _RONBUS_SUB_H */
