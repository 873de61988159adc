/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * snapshot.h - all buses at one moment, wherever that is known from
 */
#ifndef RONBUS_SNAPSHOT_H
#define RONBUS_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>

#include <libronbus.h>

#include "../ronbus_bpf.h"

/**
 * struct bus_sample - a bus and its subscribers
 * @id: number of the bus
 * @name: its name, empty if it has none
 * @stats: of the whole bus
 * @subs: of each subscriber, in the order of their indexes
 * @subs_count: how many
 * @has_delays: @arm_to_wake and @wake_to_read are known
 * @arm_to_wake: how long subscribers slept
 * @wake_to_read: how long they took to look after they had been woken
 */
struct bus_sample {
	__u64 id;
	char name[RONBUS_NAME_SIZE];
	struct ronbus_stats stats;
	struct ronbus_stats *subs;
	unsigned int subs_count;
	bool has_delays;
	struct ronbus_bpf_histogram arm_to_wake;
	struct ronbus_bpf_histogram wake_to_read;
};

/**
 * struct snapshot - all buses, by their numbers
 * @source: "bpf" or "stats"; NULL if there is nothing to ask
 * @taken_ns: when, CLOCK_MONOTONIC
 * @buses: the buses
 * @count: how many
 * @room: how many @buses has room for
 */
struct snapshot {
	const char *source;
	__u64 taken_ns;
	struct bus_sample *buses;
	size_t count;
	size_t room;
};

struct bus_sample *snapshot_add(struct snapshot *snapshot, __u64 id, const char *name);
struct ronbus_stats *bus_sample_add(struct bus_sample *bus, const struct ronbus_stats *stats);
void snapshot_sort(struct snapshot *snapshot);
struct bus_sample *snapshot_find(const struct snapshot *snapshot, __u64 id);
bool snapshot_has(const struct snapshot *snapshot, const char *name);
void snapshot_clear(struct snapshot *snapshot);
__u64 sub_lag(const struct ronbus_stats *sub);

#endif /* RONBUS_SNAPSHOT_H */
