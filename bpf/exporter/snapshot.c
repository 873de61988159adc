// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * snapshot.c - all buses at one moment
 */
#include "snapshot.h"

#include <stdlib.h>
#include <string.h>

/**
 * snapshot_add() - one more bus
 * @snapshot: where
 * @id: its number
 * @name: its name
 *
 * Return: the bus, all else zero, valid until the next is added; NULL: no memory.
 */
struct bus_sample *snapshot_add(struct snapshot *snapshot, __u64 id, const char *name)
{
	size_t room = snapshot->room ? 2 * snapshot->room : 16;
	struct bus_sample *bus;

	if (snapshot->count == snapshot->room) {
		bus = reallocarray(snapshot->buses, room, sizeof(*bus));
		if (!bus)
			return NULL;
		snapshot->buses = bus;
		snapshot->room = room;
	}
	bus = &snapshot->buses[snapshot->count++];
	memset(bus, 0, sizeof(*bus));
	bus->id = id;
	strncpy(bus->name, name, sizeof(bus->name) - 1);
	bus->stats.which = RONBUS_STATS_BUS;
	return bus;
}

/**
 * bus_sample_add() - one more subscriber
 * @bus: of this bus
 * @stats: what is known of it
 *
 * Return: the copy, valid until the next is added; NULL: no memory.
 */
struct ronbus_stats *bus_sample_add(struct bus_sample *bus, const struct ronbus_stats *stats)
{
	struct ronbus_stats *subs = bus->subs;

	/* Room is a power of two: an array that has filled it is doubled. */
	if (!(bus->subs_count & (bus->subs_count - 1)))
		subs = reallocarray(subs, bus->subs_count ? 2 * bus->subs_count : 1, sizeof(*subs));
	if (!subs)
		return NULL;
	bus->subs = subs;
	subs[bus->subs_count] = *stats;
	return &subs[bus->subs_count++];
}

static int compare_buses(const void *a, const void *b)
{
	const struct bus_sample *left = a, *right = b;

	return (left->id > right->id) - (left->id < right->id);
}

static int compare_subs(const void *a, const void *b)
{
	const struct ronbus_stats *left = a, *right = b;

	return (left->which > right->which) - (left->which < right->which);
}

/* To be called when all is there. */
void snapshot_sort(struct snapshot *snapshot)
{
	size_t i;

	if (!snapshot->count)
		return;
	qsort(snapshot->buses, snapshot->count, sizeof(*snapshot->buses), compare_buses);
	for (i = 0; i < snapshot->count; i++)
		if (snapshot->buses[i].subs_count)
			qsort(snapshot->buses[i].subs, snapshot->buses[i].subs_count,
			      sizeof(*snapshot->buses[i].subs), compare_subs);
}

/* The bus of this number, or NULL; @snapshot has been sorted. */
struct bus_sample *snapshot_find(const struct snapshot *snapshot, __u64 id)
{
	const struct bus_sample key = { .id = id };

	if (!snapshot->count)
		return NULL;
	return bsearch(&key, snapshot->buses, snapshot->count, sizeof(key), compare_buses);
}

bool snapshot_has(const struct snapshot *snapshot, const char *name)
{
	size_t i;

	for (i = 0; i < snapshot->count; i++)
		if (!strcmp(snapshot->buses[i].name, name))
			return true;
	return false;
}

void snapshot_clear(struct snapshot *snapshot)
{
	size_t i;

	for (i = 0; i < snapshot->count; i++)
		free(snapshot->buses[i].subs);
	free(snapshot->buses);
	memset(snapshot, 0, sizeof(*snapshot));
}

/* Positions between what a subscriber reads next and the end. The two are read one by one. */
__u64 sub_lag(const struct ronbus_stats *sub)
{
	return sub->tail > sub->cursor ? sub->tail - sub->cursor : 0;
}
