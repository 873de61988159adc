// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * source_bpf.c - counters from the maps of the BPF programs
 */
#include "source.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include <bpf/bpf.h>

#include "../collect.h"

#define BATCH 256U /* entries read at a time; no bucket of the hash has that many */

struct source_bpf {
	struct source source; /* must be first */
	struct ronbus_collect *collect;
};

/* ---- reading a map -------------------------------------------------------------------- */

/* What to do with an entry: 0 or -errno. */
typedef int (*entry_fn)(void *arg, const void *key, const void *value);

static int each_of_batch(const char *keys, size_t key_size, const char *values, size_t value_size,
			 __u32 count, entry_fn fn, void *arg)
{
	int err = 0;
	__u32 i;

	for (i = 0; i < count && !err; i++)
		err = fn(arg, keys + i * key_size, values + i * value_size);
	return err;
}

/*
 * Each entry once, even while others come and go: a hash is read bucket by bucket. To go from key
 * to key would begin anew whenever the key at hand has just been deleted.
 */
static int map_each(int fd, size_t key_size, size_t value_size, entry_fn fn, void *arg)
{
	char *keys = malloc(BATCH * key_size), *values = malloc(BATCH * value_size);
	__u32 at, next, count, *from = NULL;
	int err = 0, end = 0;

	if (!keys || !values)
		err = -ENOMEM;
	while (!err && !end) {
		count = BATCH;
		end = bpf_map_lookup_batch(fd, from, &next, keys, values, &count, NULL);
		if (end && end != -ENOENT) {
			err = end;
			break;
		}
		err = each_of_batch(keys, key_size, values, value_size, count, fn, arg);
		at = next;
		from = &at;
	}
	free(keys);
	free(values);
	return err;
}

/* ---- entries -------------------------------------------------------------------------- */

/*
 * An entry stays if its bus or subscriber went while no program was attached. Such an entry has not
 * been flushed for long, although the programs are still told of others.
 */
struct reading {
	struct snapshot *snapshot;
	__u64 now;
	__u64 newest;
};

static bool is_stale(const struct reading *reading, __u64 flushed)
{
	return flushed && flushed + RONBUS_BPF_STALE_NS < reading->now &&
	       reading->newest + RONBUS_BPF_STALE_NS >= reading->now;
}

static int find_newest(void *arg, const void *key, const void *value)
{
	const struct ronbus_bpf_bus *entry = value;
	struct reading *reading = arg;

	(void)key;
	if (entry->flushed > reading->newest)
		reading->newest = entry->flushed;
	return 0;
}

static int add_bus(void *arg, const void *key, const void *value)
{
	const struct ronbus_bpf_bus_key *bus_key = key;
	const struct ronbus_bpf_bus *entry = value;
	const struct reading *reading = arg;
	struct bus_sample *bus;

	if (is_stale(reading, entry->flushed))
		return 0;
	bus = snapshot_add(reading->snapshot, bus_key->bus, entry->name);
	if (!bus)
		return -ENOMEM;
	bus->stats.capacity = entry->capacity;
	bus->stats.publishers = entry->publishers;
	bus->stats.subscribers = entry->subscribers;
	bus->stats.armed = entry->armed;
	bus->stats.tail = entry->tail;
	bus->stats.counters = entry->counters;
	bus->has_delays = true;
	bus->arm_to_wake = entry->arm_to_wake;
	bus->wake_to_read = entry->wake_to_read;
	return 0;
}

/* The buses are there, and sorted. */
static int add_sub(void *arg, const void *key, const void *value)
{
	const struct ronbus_bpf_sub_key *sub_key = key;
	const struct ronbus_bpf_sub *entry = value;
	const struct reading *reading = arg;
	struct bus_sample *bus = snapshot_find(reading->snapshot, sub_key->bus);
	struct ronbus_stats stats = {
		.which = sub_key->subscriber,
		.armed = entry->armed,
		.cursor = entry->cursor,
		.start = entry->start,
		.counters = entry->counters,
	};

	/* Before its first flush nothing is known of it. */
	if (!bus || !entry->flushed || is_stale(reading, entry->flushed))
		return 0;
	stats.capacity = bus->stats.capacity;
	stats.tail = bus->stats.tail;
	return bus_sample_add(bus, &stats) ? 0 : -ENOMEM;
}

static int bpf_read(struct source *base, struct snapshot *snapshot)
{
	const struct ronbus_collect *collect = ((struct source_bpf *)base)->collect;
	int buses = ronbus_collect_buses(collect);
	struct reading reading = { .snapshot = snapshot };
	struct timespec now;
	int err;

	clock_gettime(CLOCK_MONOTONIC, &now);
	reading.now = (__u64)now.tv_sec * 1000000000 + (__u64)now.tv_nsec;
	err = map_each(buses, sizeof(struct ronbus_bpf_bus_key), sizeof(struct ronbus_bpf_bus),
		       find_newest, &reading);
	if (!err)
		err = map_each(buses, sizeof(struct ronbus_bpf_bus_key),
			       sizeof(struct ronbus_bpf_bus), add_bus, &reading);
	if (err)
		return err;
	snapshot_sort(snapshot);
	return map_each(ronbus_collect_subscribers(collect), sizeof(struct ronbus_bpf_sub_key),
			sizeof(struct ronbus_bpf_sub), add_sub, &reading);
}

/* ---- beginning and end ---------------------------------------------------------------- */

static void bpf_close(struct source *base)
{
	struct source_bpf *source = (struct source_bpf *)base;

	ronbus_collect_stop(source->collect);
	free(source);
}

static const struct source_ops bpf_ops = {
	.name = "bpf",
	.read = bpf_read,
	.close = bpf_close,
};

/* A user that may load programs may not be allowed to read types; there is a way without. */
static int start(struct ronbus_collect **collect)
{
	int err = ronbus_collect_start(collect, RONBUS_COLLECT_BEST);

	if (err == -EPERM || err == -EACCES)
		err = ronbus_collect_start(collect, RONBUS_COLLECT_CLASSIC);
	return err;
}

static int start_or_join(const char *pin, struct ronbus_collect **collect)
{
	int err;

	if (!pin)
		return start(collect);
	err = ronbus_collect_open(collect, pin);
	if (err != -ENOENT)
		return err;
	err = start(collect);
	if (err)
		return err;
	err = ronbus_collect_pin(*collect, pin);
	if (err)
		ronbus_collect_stop(*collect);
	return err;
}

/**
 * source_bpf_open() - load and attach BPF programs
 * @pin: directory where their maps are, or shall be, to outlive this process; NULL: they do not
 * @source: receives the source
 *
 * Return: 0 or -errno; then source_bpf_why() may say more.
 */
int source_bpf_open(const char *pin, struct source **source)
{
	struct source_bpf *bpf = malloc(sizeof(*bpf));
	int err;

	if (!bpf)
		return -ENOMEM;
	bpf->source.ops = &bpf_ops;
	err = start_or_join(pin, &bpf->collect);
	if (err)
		free(bpf);
	else
		*source = &bpf->source;
	return err;
}

const char *source_bpf_why(void)
{
	return ronbus_collect_why();
}
