// SPDX-License-Identifier: GPL-2.0
/*
 * Tracing the counters that programs keep in their own pages: the kernel looks there when the
 * program enters it, when STATS or fdinfo ask for the counters, and every 200 ms.
 */
#include <linux/jiffies.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "bus.h"
#include "pub.h"
#include "stats.h"
#include "sub.h"
#define CREATE_TRACE_POINTS
#include "trace.h"

#define LOOK_INTERVAL msecs_to_jiffies(200)

DEFINE_STATIC_KEY_FALSE(ronbus_tracing);

/* Guarded by the lock that the kernel holds while tracepoints are switched. */
static unsigned int tracers;

static u64 ronbus_trace_delta(u64 *seen, u64 now)
{
	u64 before = *seen;

	*seen = now;
	return now > before ? now - before : 0; /* a program may turn its counters back */
}

static void ronbus_trace_look_at_pub(struct ronbus_pub *pub)
{
	u64 dropped;

	lockdep_assert_held(&pub->bus->lock);

	dropped = ronbus_trace_delta(&pub->traced_dropped, READ_ONCE(pub->self->dropped));
	if (dropped)
		trace_ronbus_drop(pub, dropped);
}

static void ronbus_trace_look_at_sub(struct ronbus_sub *sub)
{
	u64 times, lost;

	lockdep_assert_held(&sub->bus->lock);

	times = ronbus_trace_delta(&sub->traced_lags, READ_ONCE(sub->self->lags));
	lost = ronbus_trace_delta(&sub->traced_lost, READ_ONCE(sub->self->lost));
	if (times || lost)
		trace_ronbus_lag(sub, times, lost);
}

/* If the bus is busy the next look at it traces the member, that of look_work at the latest. */
void __ronbus_trace_pub(struct ronbus_pub *pub)
{
	if (!mutex_trylock(&pub->bus->lock))
		return;
	ronbus_trace_look_at_pub(pub);
	mutex_unlock(&pub->bus->lock);
}

void __ronbus_trace_sub(struct ronbus_sub *sub)
{
	if (!mutex_trylock(&sub->bus->lock))
		return;
	ronbus_trace_look_at_sub(sub);
	mutex_unlock(&sub->bus->lock);
}

/* Trace counters that have just been gathered, under the lock of the bus. */
void ronbus_trace_counters(struct ronbus_bus *bus, const struct ronbus_stats *stats)
{
	u32 which = stats->which;
	u64 *seen = &bus->traced_suppressed, suppressed;

	lockdep_assert_held(&bus->lock);

	if (which != RONBUS_STATS_BUS) {
		struct ronbus_sub *sub = ronbus_bus_sub(bus, which);

		ronbus_trace_look_at_sub(sub);
		seen = &sub->traced_suppressed;
	}
	suppressed = ronbus_trace_delta(seen, stats->counters.notify_suppressed_total);
	if (suppressed)
		trace_ronbus_suppress(bus, which, suppressed);
	trace_ronbus_flush(bus, stats);
}

/* What a member or a bus counted last is traced before it goes, under the lock of the bus. */
void ronbus_trace_pub_leaves(struct ronbus_pub *pub)
{
	if (ronbus_traced())
		ronbus_trace_look_at_pub(pub);
	trace_ronbus_leave(pub->bus, RONBUS_ROLE_PUBLISHER, pub->id);
}

void ronbus_trace_sub_leaves(struct ronbus_sub *sub)
{
	struct ronbus_stats stats;

	if (ronbus_traced())
		ronbus_stats_gather_locked(sub->bus, sub->index, &stats);
	trace_ronbus_leave(sub->bus, RONBUS_ROLE_SUBSCRIBER, sub->index);
}

void ronbus_trace_bus_ends(struct ronbus_bus *bus)
{
	struct ronbus_stats stats;

	mutex_lock(&bus->lock);
	if (ronbus_traced())
		ronbus_stats_gather_locked(bus, RONBUS_STATS_BUS, &stats);
	trace_ronbus_destroy(bus);
	mutex_unlock(&bus->lock);
}

static void ronbus_trace_look_at_bus(struct ronbus_bus *bus, struct ronbus_stats *stats)
{
	struct ronbus_pub *pub;
	unsigned int i;

	mutex_lock(&bus->lock);
	list_for_each_entry(pub, &bus->pubs, node)
		ronbus_trace_look_at_pub(pub);
	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++)
		if (ronbus_bus_sub(bus, i))
			ronbus_stats_gather_locked(bus, i, stats); /* which traces it */
	if (ronbus_bus_has_users(bus))
		ronbus_stats_gather_locked(bus, RONBUS_STATS_BUS, stats);
	mutex_unlock(&bus->lock);
}

static void ronbus_trace_look_at_all(struct work_struct *work);
static DECLARE_DELAYED_WORK(look_work, ronbus_trace_look_at_all);

static void ronbus_trace_look_at_all(struct work_struct *work)
{
	struct ronbus_stats *stats = kmalloc(sizeof(*stats), GFP_KERNEL);

	if (stats)
		ronbus_bus_each(ronbus_trace_look_at_bus, stats);
	kfree(stats);
	schedule_delayed_work(&look_work, LOOK_INTERVAL);
}

/*
 * What was counted before tracing began is no news: it is looked at while the tracepoints are still
 * off. A subscriber that was armed before tracing began has no time from which it was armed.
 */
static void ronbus_trace_forget_bus(struct ronbus_bus *bus, struct ronbus_stats *stats)
{
	unsigned int i;

	ronbus_trace_look_at_bus(bus, stats);
	mutex_lock(&bus->lock);
	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++)
		if (ronbus_bus_sub(bus, i))
			atomic64_set(&ronbus_bus_sub(bus, i)->armed_at, 0);
	mutex_unlock(&bus->lock);
}

/* A tracepoint is switched on for which the kernel has to look at counters. */
int ronbus_trace_begin(void)
{
	struct ronbus_stats *stats;

	if (tracers++)
		return 0;
	stats = kmalloc(sizeof(*stats), GFP_KERNEL);
	if (!stats) {
		tracers--;
		return -ENOMEM;
	}
	static_branch_enable(&ronbus_tracing);
	ronbus_bus_each(ronbus_trace_forget_bus, stats);
	kfree(stats);
	schedule_delayed_work(&look_work, LOOK_INTERVAL);
	return 0;
}

void ronbus_trace_end(void)
{
	if (--tracers)
		return;
	static_branch_disable(&ronbus_tracing);
	cancel_delayed_work_sync(&look_work);
}
