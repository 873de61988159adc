// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * bus.c - what a bus is made of, and when it ends
 */
#include "embedded.h"

#include <stdio.h>
#include <string.h>

/* In a child that has inherited the bus, its lock may be held by a thread of the parent. */
void ronbus_embedded_bus_free(struct embedded_bus *bus, bool inherited)
{
	if (!inherited)
		pthread_mutex_destroy(&bus->lock);
	free(bus->memory);
	free(bus->blocks_memory);
	free(bus->blocks_queue.order);
	free(bus);
}

struct embedded_bus *ronbus_embedded_bus_alloc(const struct ronbus_create *req)
{
	struct embedded_bus *bus = ronbus_zalloc(sizeof(*bus));

	if (!bus)
		return NULL;
	pthread_mutex_init(&bus->lock, NULL);
	/* calloc() leaves the pages of a large ring untouched until they are used. */
	bus->memory = calloc(1, ronbus_ring_bytes(req->capacity, req->payload, req->features) +
					EMBEDDED_ALIGN - 1);
	if (!bus->memory || !ronbus_embedded_blocks_alloc(bus, req)) {
		ronbus_embedded_bus_free(bus, false);
		return NULL;
	}
	ronbus_ring_view(&bus->ring, embedded_align(bus->memory), req->capacity, req->payload,
			 req->features);
	ronbus_ring_reset(&bus->ring);

	ronbus_create_info_page(req, &bus->info);
	bus->mode = req->mode;
	memcpy(bus->name, req->name, sizeof(bus->name));
	return bus;
}

/* With the lock of the bus, unless it is still being made. Once a bus for each reason. */
void ronbus_embedded_autotune_warn(struct embedded_bus *bus, enum ronbus_autotune_reason reason)
{
	static const char *const words[] = {
		[RONBUS_AUTOTUNE_CAPACITY] = "its readers' cache does not hold so many",
		[RONBUS_AUTOTUNE_SUBSCRIBERS] = "chosen for fewer subscribers than it has",
	};
	int was;

	if (bus->past.autotune_warn_total[reason])
		return;
	bus->past.autotune_warn_total[reason] = 1;
	was = ronbus_cancel_hold();
	fprintf(stderr, "libronbus: bus \"%s\": %u slots: %s\n", bus->name, bus->info.capacity,
		words[reason]);
	ronbus_cancel_release(was);
}

/* With the lock of the bus. */
__u64 ronbus_embedded_members(const struct embedded_bus *bus)
{
	__u64 set = 0;
	__u32 i;

	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++)
		if (bus->subs[i])
			set |= 1ULL << i;
	return set;
}

int ronbus_embedded_bus_info(struct ronbus *base, struct ronbus_info *info)
{
	struct embedded_handle *handle = (struct embedded_handle *)base;
	struct embedded_bus *bus = handle->bus;

	info->features = bus->info.features;
	info->flags = bus->info.flags;
	info->capacity = bus->info.capacity;
	info->payload = bus->info.payload;
	info->role = RONBUS_ROLE_BUS;
	info->access = handle->access | RONBUS_ACCESS_END; /* of its own process */
	info->mode = bus->mode;
	info->ring_bytes = ronbus_ring_bytes(info->capacity, info->payload, info->features);
	info->info_bytes = sizeof(bus->info);
	info->block_size = bus->blocks.size;
	info->blocks = bus->blocks.count;
	if (info->blocks)
		info->blocks_bytes = ronbus_blocks_bytes(info->blocks, info->block_size);
	memcpy(info->name, bus->name, sizeof(info->name));
	info->id = bus->id;
	ronbus_embedded_lock(bus);
	info->publishers = bus->publishers;
	info->subscribers = ronbus_embedded_members(bus);
	info->status = bus->info.status;
	ronbus_embedded_unlock(bus);
	return 0;
}

static void set_status(struct embedded_bus *bus, __u32 status)
{
	/* barrier E, with E' in ronbus_backlog_ended() and in readers: end.pml */
	RB_STORE_RELEASE(&bus->info.status, bus->info.status | status);
}

/* With the lock of the bus. All subscribers are told, for there is no later occasion. */
void ronbus_embedded_end_if_due(struct embedded_bus *bus, bool abandoned)
{
	if (!ronbus_end_due(&bus->info, bus->publishers, abandoned))
		return;
	set_status(bus, RONBUS_STATUS_ENDED);
	ronbus_embedded_notify(bus, ~0ULL, RONBUS_WAKE_CLOSE);
}

int ronbus_embedded_seal(struct ronbus *base)
{
	struct embedded_handle *handle = (struct embedded_handle *)base;
	struct embedded_bus *bus = handle->bus;

	if (!(handle->access & RONBUS_ACCESS_PUBLISH))
		return -EACCES;
	ronbus_embedded_lock(bus);
	set_status(bus, RONBUS_STATUS_SEALED);
	ronbus_embedded_end_if_due(bus, false);
	ronbus_embedded_unlock(bus);
	return 0;
}
