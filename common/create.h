/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * create.h - what a bus can be
 */
#ifndef _RONBUS_CREATE_H
#define _RONBUS_CREATE_H

#include "limits.h"

/* Letters, digits and "._-", NUL to its end. Empty is a name, too. */
static inline bool ronbus_name_valid(const char name[RONBUS_NAME_SIZE])
{
	static const char good[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	unsigned int i = 0;

	while (i < RONBUS_NAME_SIZE && name[i] && strchr(good, name[i]))
		i++;
	if (i == RONBUS_NAME_SIZE)
		return false;
	while (i < RONBUS_NAME_SIZE && !name[i])
		i++;
	return i == RONBUS_NAME_SIZE;
}

/**
 * ronbus_autotune() - what RONBUS_F_AUTOTUNE_CAP chooses
 * @subscribers: expected number of subscribers
 *
 * A ring that fits the first cache serves few readers best. The table is the plan's (MOG.md, A3).
 *
 * Return: slots.
 */
static inline __u32 ronbus_autotune(__u32 subscribers)
{
	if (subscribers <= 4)
		return 64;
	if (subscribers <= 16)
		return 128;
	return 256;
}

/* How many subscribers a capacity that ronbus_autotune() chose is for. */
static inline __u32 ronbus_autotuned_for(__u32 capacity)
{
	return capacity == 64 ? 4 : capacity == 128 ? 16 : RONBUS_SUBSCRIBERS_MAX;
}

/**
 * ronbus_create_complete() - choose what was left open
 * @args: what was asked for; blocks are left to ronbus_create_check()
 *
 * Return: subscribers that the capacity was chosen for; 0 if it was asked for, or is the default.
 */
static inline __u32 ronbus_create_complete(struct ronbus_create *args)
{
	const bool tuned = args->features & RONBUS_F_AUTOTUNE_CAP && !args->capacity;

	if (!args->mode)
		args->mode = 0600;
	if (!args->payload)
		args->payload = RONBUS_PAYLOAD_DEFAULT;
	if (tuned)
		args->capacity = ronbus_autotune(args->subscribers);
	else if (!args->capacity)
		args->capacity = RONBUS_CAPACITY_DEFAULT;
	return tuned ? ronbus_autotuned_for(args->capacity) : 0;
}

static inline int ronbus_create_check_blocks(struct ronbus_create *args)
{
	if (!(args->features & RONBUS_F_BLOCKS))
		return args->block_size || args->blocks ? -EINVAL : 0;
	if (!args->block_size)
		args->block_size = RONBUS_BLOCK_SIZE_DEFAULT;
	if (!args->blocks)
		args->blocks =
			args->capacity < RONBUS_BLOCKS_MAX ? args->capacity : RONBUS_BLOCKS_MAX;
	if (args->block_size % RONBUS_BLOCK_SIZE_MIN || args->block_size > RONBUS_BLOCK_SIZE_MAX ||
	    args->blocks > RONBUS_BLOCKS_MAX || args->payload < sizeof(struct ronbus_block_ref) ||
	    ronbus_blocks_bytes(args->blocks, args->block_size) > RONBUS_BLOCKS_BYTES_MAX)
		return -EINVAL;
	return 0;
}

/**
 * ronbus_create_check() - can there be such a bus
 * @args: what was asked for, completed; defaults of blocks are filled in
 *
 * Return: 0 or -EINVAL.
 */
static inline int ronbus_create_check(struct ronbus_create *args)
{
	if (args->features & ~RONBUS_FEATURES_KNOWN || args->flags & ~RONBUS_BUS_FLAGS_KNOWN ||
	    args->mode & ~0666U || args->pad || !ronbus_name_valid(args->name))
		return -EINVAL;
	if (args->flags & RONBUS_BUS_MAP_NONE && args->flags & RONBUS_BUS_MAP_ALL)
		return -EINVAL;
	if (args->flags & RONBUS_BUS_COARSE_TIME && !(args->features & RONBUS_F_TIME))
		return -EINVAL;
	if (args->subscribers > RONBUS_SUBSCRIBERS_MAX ||
	    (args->subscribers && !(args->features & RONBUS_F_AUTOTUNE_CAP)))
		return -EINVAL;
	if (args->capacity & (args->capacity - 1) || args->capacity < RONBUS_CAPACITY_MIN ||
	    args->capacity > RONBUS_CAPACITY_MAX)
		return -EINVAL;
	if (args->payload % 8 || args->payload < RONBUS_PAYLOAD_MIN ||
	    args->payload > RONBUS_PAYLOAD_MAX)
		return -EINVAL;
	if (ronbus_ring_bytes(args->capacity, args->payload, args->features) >
	    RONBUS_RING_BYTES_MAX)
		return -EINVAL;
	return ronbus_create_check_blocks(args);
}

/* What everybody reads of a bus, when it is new. The page is zeroed. */
static inline void ronbus_create_info_page(const struct ronbus_create *args,
					   struct ronbus_info_page *page)
{
	page->abi_version = RONBUS_ABI_VERSION;
	page->size = sizeof(*page);
	page->features = args->features;
	page->flags = args->flags;
	page->capacity = args->capacity;
	page->payload = args->payload;
	if (args->features & RONBUS_F_COALESCE)
		page->wake_next = ~0ULL;
}

/* What of RONBUS_IOC_QUERY is the same everywhere. */
static inline struct ronbus_query ronbus_query_limits(void)
{
	return (struct ronbus_query){
		.abi_version = RONBUS_ABI_VERSION,
		.features = RONBUS_FEATURES_KNOWN,
		.bus_flags = RONBUS_BUS_FLAGS_KNOWN,
		.ring_bytes_max = RONBUS_RING_BYTES_MAX,
		.capacity_min = RONBUS_CAPACITY_MIN,
		.capacity_max = RONBUS_CAPACITY_MAX,
		.payload_min = RONBUS_PAYLOAD_MIN,
		.payload_max = RONBUS_PAYLOAD_MAX,
		.subscribers_max = RONBUS_SUBSCRIBERS_MAX,
		.publishers_max = RONBUS_PUBLISHERS_MAX,
		.topics_max = RONBUS_TOPICS_MAX,
		.batch_max = RONBUS_BATCH_MAX,
		.name_size = RONBUS_NAME_SIZE,
		.create_size = sizeof(struct ronbus_create),
		.info_size = sizeof(struct ronbus_info),
		.stats_size = sizeof(struct ronbus_stats),
		.info_page_size = sizeof(struct ronbus_info_page),
		.self_page_size = sizeof(struct ronbus_self),
		.blocks_bytes_max = RONBUS_BLOCKS_BYTES_MAX,
		.block_size_max = RONBUS_BLOCK_SIZE_MAX,
		.blocks_max = RONBUS_BLOCKS_MAX,
	};
}

#endif /* _RONBUS_CREATE_H */
