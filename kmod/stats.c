// SPDX-License-Identifier: GPL-2.0
/* Counters: gathered from the members' own pages and from what the kernel counted. */
#include <linux/bitops.h>
#include <linux/build_bug.h>
#include <linux/kernel.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "../common/counters.h"
#include "../uapi/ronbus_counters.h"
#include "bus.h"
#include "ioctl.h"
#include "pub.h"
#include "stats.h"
#include "sub.h"
#include "trace.h"

static void ronbus_stats_add_sub(struct ronbus_counters *sum, const struct ronbus_sub *sub)
{
	unsigned int i;

	ronbus_counters_add_sub(sum, sub->self);
	sum->waits_total += atomic64_read(&sub->waits);
	sum->coalesce_deferred_total += READ_ONCE(sub->coalesce.backlog.deferrals);
	sum->notify_sends_total += atomic64_read(&sub->wakes[RONBUS_WAKE_DATA]);
	for (i = 0; i < RONBUS_WAKE_CAUSES; i++)
		sum->wakes_total[i] += atomic64_read(&sub->wakes[i]);
}

/* Keep the counters of a member that leaves: @pub or @sub, the other being NULL. */
void ronbus_stats_retire(struct ronbus_bus *bus, const struct ronbus_pub *pub,
			 const struct ronbus_sub *sub)
{
	lockdep_assert_held(&bus->lock);

	if (pub)
		ronbus_counters_add_pub(&bus->retired, pub->self);
	if (sub)
		ronbus_stats_add_sub(&bus->retired, sub);
}

static int ronbus_stats_gather_bus(struct ronbus_bus *bus, struct ronbus_stats *stats)
{
	const struct ronbus_pub *pub;
	unsigned int i;

	lockdep_assert_held(&bus->lock);

	stats->counters = bus->retired;
	list_for_each_entry(pub, &bus->pubs, node)
		ronbus_counters_add_pub(&stats->counters, pub->self);
	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++)
		if (ronbus_bus_sub(bus, i))
			ronbus_stats_add_sub(&stats->counters, ronbus_bus_sub(bus, i));
	stats->counters.notify_calls_total = atomic64_read(&bus->notify_calls);
	stats->counters.repairs_total = atomic64_read(&bus->repairs);
	stats->counters.blocks_published_total = bus->blocks_published;
	stats->counters.blocks_dropped_total = bus->blocks_dropped;
	stats->counters.blocks_pinned_total = bus->blocks_pinned;
	for (i = 0; i < RONBUS_AUTOTUNE_REASONS; i++)
		stats->counters.autotune_warn_total[i] = bus->autotune_warned[i];
	ronbus_counters_suppressed(&stats->counters, stats->counters.addressed_total);
	stats->armed = READ_ONCE(bus->page->armed);
	return 0;
}

static int ronbus_stats_gather_sub(struct ronbus_bus *bus, u32 index, struct ronbus_stats *stats)
{
	const struct ronbus_sub *sub;

	lockdep_assert_held(&bus->lock);

	if (index >= RONBUS_SUBSCRIBERS_MAX)
		return -EINVAL;
	sub = ronbus_bus_sub(bus, index);
	if (!sub)
		return -ENOENT;
	ronbus_stats_add_sub(&stats->counters, sub);
	ronbus_counters_suppressed(&stats->counters, stats->counters.delivered_total);
	stats->armed = READ_ONCE(bus->page->armed) >> index & 1;
	stats->cursor = READ_ONCE(sub->self->cursor);
	stats->start = sub->start;
	return 0;
}

/*
 * Add up the counters of one subscriber, or with RONBUS_STATS_BUS of the whole bus, whose lock is
 * held. Return 0, -EINVAL or -ENOENT.
 */
int ronbus_stats_gather_locked(struct ronbus_bus *bus, u32 which, struct ronbus_stats *stats)
{
	int err;

	memset(stats, 0, sizeof(*stats));
	stats->which = which;
	err = which == RONBUS_STATS_BUS ? ronbus_stats_gather_bus(bus, stats)
					: ronbus_stats_gather_sub(bus, which, stats);
	if (err)
		return err;
	stats->subscribers = bus->members;
	stats->publishers = bus->publishers;
	stats->capacity = bus->ring.mask + 1;
	stats->tail = ronbus_ring_tail(&bus->ring);
	if (ronbus_traced())
		ronbus_trace_counters(bus, stats);
	return 0;
}

static int ronbus_stats_gather(struct ronbus_bus *bus, u32 which, struct ronbus_stats *stats)
{
	int err;

	mutex_lock(&bus->lock);
	err = ronbus_stats_gather_locked(bus, which, stats);
	mutex_unlock(&bus->lock);
	return err;
}

static long ronbus_stats_ioctl(struct ronbus_bus *bus, unsigned int cmd, void __user *arg)
{
	struct ronbus_stats *stats = kmalloc(sizeof(*stats), GFP_KERNEL);
	int err;

	if (!stats)
		return -ENOMEM;
	err = ronbus_get_args(stats, sizeof(*stats), cmd, arg);
	if (!err && stats->flags)
		err = -EINVAL;
	if (!err)
		err = ronbus_stats_gather(bus, stats->which, stats);
	if (!err)
		err = ronbus_put_args(arg, cmd, stats, sizeof(*stats));
	kfree(stats);
	return err;
}

static long ronbus_stats_info_ioctl(struct ronbus_bus *bus, enum ronbus_role role, u32 member,
				    u32 access, unsigned int cmd, void __user *arg)
{
	struct ronbus_info info = {
		.features = bus->features,
		.flags = bus->flags,
		.capacity = bus->ring.mask + 1,
		.payload = bus->ring.payload,
		.role = role,
		.member = member,
		.access = access,
		.mode = bus->mode,
		.ring_bytes = ronbus_region_bytes(&bus->mem),
		.info_bytes = ronbus_region_bytes(&bus->info),
		.self_bytes = role == RONBUS_ROLE_BUS ? 0 : PAGE_SIZE,
		.blocks_bytes = ronbus_region_bytes(&bus->blocks_mem),
		.block_size = bus->blocks.size,
		.blocks = bus->blocks.count,
	};

	memcpy(info.name, bus->name, sizeof(info.name));
	mutex_lock(&bus->lock);
	info.publishers = bus->publishers;
	info.subscribers = bus->members;
	info.id = bus->id;
	info.status = bus->page->status;
	mutex_unlock(&bus->lock);
	return ronbus_put_args(arg, cmd, &info, sizeof(info));
}

/* INFO, STATS and QUERY, which every fd of a bus answers: it is a @role, and number @member. */
long ronbus_common_ioctl(struct ronbus_bus *bus, enum ronbus_role role, u32 member, u32 access,
			 unsigned int cmd, void __user *arg)
{
	switch (RONBUS_CMD(cmd)) {
	case RONBUS_CMD(RONBUS_IOC_INFO):
		return ronbus_stats_info_ioctl(bus, role, member, access, cmd, arg);
	case RONBUS_CMD(RONBUS_IOC_STATS):
		return ronbus_stats_ioctl(bus, cmd, arg);
	case RONBUS_CMD(RONBUS_IOC_QUERY):
		return ronbus_query_ioctl(cmd, arg);
	}
	return -ENOTTY;
}

static void ronbus_stats_show_counters(struct seq_file *m, const struct ronbus_counters *c)
{
	unsigned int i;

#define PLAIN(name, ...) seq_printf(m, "bus_" #name ":\t%llu\n", c->name);
#define LABELLED(name, of, help, key, ...)                                                  \
	{                                                                                   \
		static const char *const labels[] = { __VA_ARGS__ };                        \
		static_assert(ARRAY_SIZE(labels) == ARRAY_SIZE(c->name));                   \
		for (i = 0; i < ARRAY_SIZE(labels); i++)                                    \
			seq_printf(m, "bus_" #name "{%s}:\t%llu\n", labels[i], c->name[i]); \
	}
	RONBUS_COUNTERS(PLAIN, LABELLED)
#undef LABELLED
#undef PLAIN
}

static void ronbus_stats_show(struct seq_file *m, struct ronbus_bus *bus, u32 which)
{
	struct ronbus_stats *stats = kmalloc(sizeof(*stats), GFP_KERNEL);

	if (!stats)
		return;
	seq_printf(m, "bus_id:\t%llu\n", bus->id);
	seq_printf(m, "bus_name:\t%s\n", bus->name);
	seq_printf(m, "bus_features:\t%#llx\n", bus->features);
	seq_printf(m, "bus_flags:\t%#x\n", bus->flags);
	seq_printf(m, "bus_payload:\t%u\n", bus->ring.payload);
	if (!ronbus_stats_gather(bus, which, stats)) {
		seq_printf(m, "bus_cap_selected:\t%u\n", stats->capacity);
		seq_printf(m, "bus_publishers:\t%u\n", stats->publishers);
		seq_printf(m, "bus_subscribers:\t%lu\n", hweight64(stats->subscribers));
		seq_printf(m, "bus_tail:\t%llu\n", stats->tail);
		/* A subscriber that is not armed is pending: a wake-up is due, or it is awake. */
		if (which == RONBUS_STATS_BUS) {
			seq_printf(m, "bus_armed:\t%#llx\n", stats->armed);
		} else {
			seq_printf(m, "bus_cursor:\t%llu\n", stats->cursor);
			seq_printf(m, "bus_start:\t%llu\n", stats->start);
			seq_printf(m, "bus_sub_pending:\t%u\n", !stats->armed);
		}
		ronbus_stats_show_counters(m, &stats->counters);
	}
	kfree(stats);
}

void ronbus_show_bus(struct seq_file *m, struct file *file)
{
	seq_puts(m, "bus_role:\tbus\n");
	ronbus_stats_show(m, file->private_data, RONBUS_STATS_BUS);
}

void ronbus_show_pub(struct seq_file *m, struct file *file)
{
	const struct ronbus_pub *pub = file->private_data;

	seq_printf(m, "bus_role:\tpublisher\nbus_member:\t%u\n", pub->id);
	ronbus_stats_show(m, pub->bus, RONBUS_STATS_BUS);
}

void ronbus_show_sub(struct seq_file *m, struct file *file)
{
	const struct ronbus_sub *sub = file->private_data;

	seq_printf(m, "bus_role:\tsubscriber\nbus_member:\t%u\n", sub->index);
	ronbus_stats_show(m, sub->bus, sub->index);
}
