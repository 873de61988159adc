// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * source_stats.c - counters by RONBUS_IOC_STATS, of buses that are known by name
 *
 * Each reading attaches to a bus and lets go of it again, since a handle keeps the bus and its name
 * alive.
 */
#include "source.h"

#include <errno.h>
#include <stdlib.h>

struct source_stats {
	struct source source; /* must be first */
	const char *where;
	const struct names *names;
};

static int read_subs(struct ronbus *bus, struct bus_sample *sample)
{
	__u64 left = sample->stats.subscribers;
	struct ronbus_stats stats;
	unsigned int which;
	int err;

	for (; left; left &= left - 1) {
		which = (unsigned int)__builtin_ctzll(left);
		err = ronbus_stats(bus, which, &stats);
		if (err == -ENOENT) /* it has just left */
			continue;
		if (err)
			return err;
		if (!bus_sample_add(sample, &stats))
			return -ENOMEM;
	}
	return 0;
}

static int read_bus(struct ronbus *bus, struct snapshot *snapshot)
{
	struct bus_sample *sample;
	struct ronbus_stats stats;
	struct ronbus_info info;
	int err;

	err = ronbus_bus_info(bus, &info);
	if (!err)
		err = ronbus_stats(bus, RONBUS_STATS_BUS, &stats);
	if (err)
		return err;
	sample = snapshot_add(snapshot, info.id, info.name);
	if (!sample)
		return -ENOMEM;
	sample->stats = stats;
	return read_subs(bus, sample);
}

/* A bus that is not there is no error, and one in the way of which something is spoils no other. */
static int stats_read(struct source *base, struct snapshot *snapshot)
{
	struct source_stats *source = (struct source_stats *)base;
	struct ronbus *bus;
	int err, ret = 0;
	size_t i;

	for (i = 0; i < source->names->count; i++) {
		if (snapshot_has(snapshot, source->names->name[i]))
			continue;
		err = ronbus_attach(source->where, source->names->name[i], RONBUS_ACCESS_SUBSCRIBE,
				    &bus);
		if (!err) {
			err = read_bus(bus, snapshot);
			ronbus_close(bus);
		}
		if (err && err != -ENOENT && err != -ENXIO)
			ret = err;
	}
	return ret;
}

static void stats_close(struct source *base)
{
	free((struct source_stats *)base);
}

static const struct source_ops stats_ops = {
	.name = "stats",
	.read = stats_read,
	.close = stats_close,
};

/**
 * source_stats_open() - counters by system call
 * @where: transport, as ronbus_attach() takes it
 * @names: names of the buses; they need not be there, now or ever
 * @source: receives the source
 *
 * Return: 0 or -ENOMEM.
 */
int source_stats_open(const char *where, const struct names *names, struct source **source)
{
	struct source_stats *stats = malloc(sizeof(*stats));

	if (!stats)
		return -ENOMEM;
	stats->source.ops = &stats_ops;
	stats->where = where;
	stats->names = names;
	*source = &stats->source;
	return 0;
}
