// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * notify.c - the lock of a bus, and waking its subscribers under it
 */
#include "embedded.h"

/*
 * With the lock of the bus. Without EDGE_NOTIFY all subscribers in @set are woken, asleep or not:
 * that is the baseline. All are told of the end, too.
 */
void ronbus_embedded_notify(struct embedded_bus *bus, __u64 set, enum ronbus_wake_cause cause)
{
	bool edge = bus->info.features & RONBUS_F_EDGE_NOTIFY && cause != RONBUS_WAKE_CLOSE;
	__u32 i, looks = RONBUS_NOTIFY_LOOKS;
	struct embedded_sub *sub;
	__u64 armed;

	/* For callers that had none: barrier D, with D' in ronbus_backlog_set_armed(): wake.pml */
	RB_MB();
	/* For those that had one: barrier D, with D' in ronbus_backlog_set_armed(): wake.pml */
	armed = __atomic_fetch_and(&bus->info.armed, ~set, __ATOMIC_SEQ_CST);
	for (set &= edge ? armed : ~0ULL; set; set &= set - 1) {
		sub = bus->subs[__builtin_ctzll(set)];
		if (sub && (cause != RONBUS_WAKE_DATA ||
			    ronbus_backlog_wakes(&sub->backlog, true, cause, &looks)))
			ronbus_embedded_wake(sub, cause);
	}
	if (!(bus->info.features & RONBUS_F_COALESCE) ||
	    (cause == RONBUS_WAKE_DATA && !ronbus_backlog_reached(&bus->ring, bus->info.wake_next)))
		return;
	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++) {
		sub = bus->subs[i];
		if (sub && ronbus_backlog_concerns(&sub->backlog, cause) &&
		    ronbus_backlog_wakes(&sub->backlog, false, cause, &looks))
			ronbus_embedded_wake(sub, cause);
	}
}

/* With the lock of the bus, to whose holder publishers have left this. */
static void notify_pending(struct embedded_bus *bus)
{
	__u64 set, calls;

	if (!RB_READ(&bus->notify_calls))
		return;
	/* It has no partner: what is asked for meanwhile is found when the lock is released. */
	calls = __atomic_exchange_n(&bus->notify_calls, 0, __ATOMIC_SEQ_CST);
	/* It has no partner either. */
	set = __atomic_exchange_n(&bus->notify_set, 0, __ATOMIC_SEQ_CST);
	bus->past.notify_calls_total += calls >> 32;
	ronbus_embedded_notify(bus, set, RONBUS_WAKE_DATA);
}

/* What publishers asked for before is done when this returns. */
void ronbus_embedded_lock(struct embedded_bus *bus)
{
	pthread_mutex_lock(&bus->lock);
	notify_pending(bus);
}

void ronbus_embedded_unlock(struct embedded_bus *bus)
{
	do {
		notify_pending(bus);
		pthread_mutex_unlock(&bus->lock);
		RB_MB(); /* barrier N', with N in ronbus_embedded_pub_notify(): handover.pml */
	} while (RB_READ(&bus->notify_calls) && !pthread_mutex_trylock(&bus->lock));
}

/*
 * A publisher does not wait for the lock: it may run in a signal handler that has interrupted the
 * lock's holder. It notes what is to be done, and then tries the lock. The holder, perhaps this
 * publisher itself, does what is noted before it releases the lock, and looks once more afterwards.
 */
void ronbus_embedded_pub_notify(struct ronbus_publisher_handle *base, __u64 set)
{
	struct embedded_bus *bus = ((struct embedded_pub *)base)->bus;
	int saved = errno;

	__atomic_fetch_or(&bus->notify_set, set, __ATOMIC_RELAXED);
	/*
	 * A publisher without an id stands for the kernel, and needs no call. After the set:
	 * barrier N, with N' in ronbus_embedded_unlock(): handover.pml
	 */
	__atomic_fetch_add(&bus->notify_calls, (__u64) !!base->pub.id << 32 | 1, __ATOMIC_SEQ_CST);
	/* And before the lock: barrier N, with N' in ronbus_embedded_unlock(): handover.pml */
	RB_MB();
	if (!pthread_mutex_trylock(&bus->lock))
		ronbus_embedded_unlock(bus);
	errno = saved;
}
