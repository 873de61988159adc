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

/**
 * struct ronbus_coalescing - for how many messages a subscriber is woken; under the lock of it
 * @backlog: what is there; how many are enough is read without the lock as well
 * @delay: how long after the first, in nanoseconds
 * @wake_at: once the position before this one is reached there may be enough; changes under
 *	bus->wake_lock as well, and is read without either
 * @changes: how often the topics have changed that it was counted for
 * @timed: the message that the timer was started for
 * @timer: from the first message
 * @deferred: notifications that did not wake it
 */
struct ronbus_coalescing {
	struct ronbus_backlog backlog;
	u64 delay;
	u64 wake_at;
	u32 changes;
	u64 timed;
	struct hrtimer timer;
	atomic64_t deferred;
};

/**
 * struct ronbus_sub - a subscriber
 * @bus: its bus, held until the subscriber leaves
 * @index: its bit in every mask
 * @access: what its bus fd could do
 * @start: position of its first read
 * @interest: which messages it reads; changes under bus->lock
 * @lock: makes arming, deferring and leaving one step each
 * @dead: it has left, and is not armed, deferred or timed any more; under @lock
 * @coalesce: for how many messages it is woken
 * @self_mem: memory of its own page
 * @self: the page; untrusted, with the cursor that says where it reads
 * @queue: sleepers, pollers and commands of io_uring that wait for it
 * @crowded: there are more of them than a publisher is to wake
 * @crowd_work: wakes them then, or those of the eventfd
 * @event_lock: guards the next two
 * @eventfd: signalled when it is woken, or NULL
 * @event_queue: those that wait for the eventfd, which keeps it
 * @read_lock: one read(2) at a time
 * @bounce: a record on its way out, under @read_lock
 * @read_lost: positions lost and not yet told to a reader, under @read_lock
 * @wakes: times woken, by cause
 * @waits: times armed
 * @cancels: RONBUS_IOC_CANCEL calls; a wait that sees it change is over
 * @armed_at: when it was armed, if that is traced, in nanoseconds
 * @traced_lags: lags that were traced, under bus->lock
 * @traced_lost: lost positions, likewise
 * @traced_suppressed: suppressed wake-ups, likewise
 * @free_work: frees it, with its page, after a grace period
 *
 * Lifetime. The program's calls reach it through its file, and pending commands of io_uring hold
 * the file. When the file is released the subscriber leaves. Publishers reach it through bus->subs
 * under RCU; one that found it there may look at all of it, its page included, until the grace
 * period that follows has passed, but finds it @dead. Its timer and @crowd_work are cancelled when
 * it leaves, and not begun when it is dead. Its eventfd is let go of when it leaves, under
 * @event_lock. STATS and tracing reach it under bus->lock.
 */
struct ronbus_sub {
	struct ronbus_bus *bus;
	u32 index;
	u32 access;
	u64 start;
	struct ronbus_interest interest;
	spinlock_t lock;
	bool dead;
	struct ronbus_coalescing coalesce;
	struct ronbus_region self_mem;
	struct ronbus_self *self;
	wait_queue_head_t queue;
	bool crowded;
	struct work_struct crowd_work;
	spinlock_t event_lock;
	struct eventfd_ctx *eventfd;
	wait_queue_head_t *event_queue;
	struct mutex read_lock;
	struct ronbus_record *bounce;
	u64 read_lost;
	atomic64_t wakes[RONBUS_WAKE_CAUSES];
	atomic64_t waits;
	atomic_t cancels;
	atomic64_t armed_at;
	u64 traced_lags;
	u64 traced_lost;
	u64 traced_suppressed;
	struct rcu_work free_work;
};

/* uring.c */
int ronbus_sub_uring_cmd(struct io_uring_cmd *cmd, unsigned int issue_flags);

#endif /* _RONBUS_SUB_H */
