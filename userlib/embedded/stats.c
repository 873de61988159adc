// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * stats.c - counters
 */
#include "embedded.h"

/* With the lock of the bus. */
void ronbus_embedded_add_sub(struct ronbus_counters *to, const struct embedded_sub *sub)
{
	int i;

	ronbus_counters_add_sub(to, &sub->self);
	to->notify_sends_total += sub->kernel.wakes_total[RONBUS_WAKE_DATA];
	to->waits_total += RB_READ(&sub->kernel.waits_total);
	to->coalesce_deferred_total += sub->backlog.deferrals;
	for (i = 0; i < RONBUS_WAKE_CAUSES; i++)
		to->wakes_total[i] += sub->kernel.wakes_total[i];
}

static void bus_counters(struct embedded_bus *bus, struct ronbus_counters *to)
{
	struct embedded_pub *pub;
	int i;

	*to = bus->past;
	for (pub = bus->pubs; pub; pub = pub->next)
		ronbus_counters_add_pub(to, &pub->self);
	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++)
		if (bus->subs[i])
			ronbus_embedded_add_sub(to, bus->subs[i]);
	ronbus_counters_suppressed(to, to->addressed_total);
}

int ronbus_embedded_stats(struct ronbus *base, struct ronbus_stats *stats)
{
	struct embedded_bus *bus = ((struct embedded_handle *)base)->bus;
	struct embedded_sub *sub = NULL;
	int err = 0;

	if (stats->which != RONBUS_STATS_BUS && stats->which >= RONBUS_SUBSCRIBERS_MAX)
		return -EINVAL;
	ronbus_embedded_lock(bus);
	if (stats->which != RONBUS_STATS_BUS) {
		sub = bus->subs[stats->which];
		if (!sub) {
			err = -ENOENT;
			goto unlock;
		}
	}
	stats->armed = RB_READ(&bus->info.armed);
	stats->subscribers = ronbus_embedded_members(bus);
	stats->tail = ronbus_ring_tail(&bus->ring);
	stats->capacity = bus->info.capacity;
	stats->publishers = bus->publishers;
	if (sub) {
		stats->armed = stats->armed >> stats->which & 1;
		stats->cursor = RB_READ(&sub->self.cursor);
		stats->start = sub->start;
		ronbus_embedded_add_sub(&stats->counters, sub);
		ronbus_counters_suppressed(&stats->counters, stats->counters.delivered_total);
	} else {
		bus_counters(bus, &stats->counters);
	}
unlock:
	ronbus_embedded_unlock(bus);
	return err;
}
