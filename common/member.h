/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * member.h - which members may join a bus, and when it ends
 */
#ifndef _RONBUS_MEMBER_H
#define _RONBUS_MEMBER_H

#include "limits.h"

/* A bus that has one of these has given up its name. */
#define RONBUS_STATUS_OVER (RONBUS_STATUS_SEALED | RONBUS_STATUS_ENDED)

/**
 * ronbus_subscribe_check() - can there be such a subscriber
 * @features: features of the bus
 * @args: what was asked for
 *
 * Return: 0 or -EINVAL.
 */
static inline int ronbus_subscribe_check(__u64 features, const struct ronbus_subscribe *args)
{
	if (args->flags || args->pad || args->start > RONBUS_START_AT)
		return -EINVAL;
	if (features & RONBUS_F_INTEREST ? !args->topics : args->topics != ~0ULL)
		return -EINVAL;
	if (args->position && args->start != RONBUS_START_AT)
		return -EINVAL;
	return 0;
}

/**
 * ronbus_start_position() - where a new subscriber begins
 * @args: what was asked for, checked
 * @capacity: slots of the bus
 * @tail: the position after all that has been published
 * @start: returned
 *
 * Return: 0 or -ERANGE.
 */
static inline int ronbus_start_position(const struct ronbus_subscribe *args, __u64 capacity,
					__u64 tail, __u64 *start)
{
	*start = tail;
	if (args->start == RONBUS_START_OLDEST)
		*start = tail > 2 * capacity ? tail - capacity : capacity;
	if (args->start != RONBUS_START_AT)
		return 0;
	*start = args->position;
	return args->position < capacity || args->position > tail ? -ERANGE : 0;
}

/* What a newcomer reads, but for ronbus_joined(). */
static inline struct ronbus_interest ronbus_join_interest(const struct ronbus_info_page *page,
							  const struct ronbus_subscribe *args,
							  __u32 index)
{
	return (struct ronbus_interest){
		.bit = page->features & RONBUS_F_INTEREST ? 1ULL << index : 0,
		.topics = args->topics,
		.asked = args->topics,
	};
}

/**
 * ronbus_joined() - which messages were addressed without a newcomer
 * @flags: flags of the bus
 * @tail: the position after all that had been published when it joined
 *
 * Where messages are retained none is too late for it: its topics decide.
 */
static inline __u64 ronbus_joined(__u32 flags, __u64 tail)
{
	return flags & RONBUS_BUS_RETAIN ? ~0ULL : tail;
}

/**
 * ronbus_publisher_check() - may another publisher join
 * @page: the bus
 * @publishers: how many there are
 *
 * Return: 0, -EPERM: it is sealed; -ESHUTDOWN: it has ended; -EBUSY: it is for one.
 */
static inline int ronbus_publisher_check(const struct ronbus_info_page *page,
					 unsigned int publishers)
{
	if (page->status & RONBUS_STATUS_SEALED)
		return -EPERM;
	if (page->status & RONBUS_STATUS_ENDED)
		return -ESHUTDOWN;
	if (page->flags & RONBUS_BUS_EXCLUSIVE && publishers)
		return -EBUSY;
	return 0;
}

/**
 * ronbus_publisher_id() - a number for a mapped publisher
 * @ids: set of numbers in use
 * @capacity: slots of the bus
 *
 * Fewer than slots: if all of them stall, there is still one to publish in.
 *
 * Return: the number, from 1 on; 0: there is none.
 */
static inline __u32 ronbus_publisher_id(__u64 ids, __u32 capacity)
{
	__u32 id = 1;

	while (id <= RONBUS_PUBLISHERS_MAX && ids >> id & 1)
		id++;
	return id <= RONBUS_PUBLISHERS_MAX && id < capacity ? id : 0;
}

/**
 * ronbus_end_due() - is it time for a bus to end
 * @page: the bus
 * @publishers: how many there are
 * @abandoned: one that may end the bus has left it
 *
 * When there is no publisher, and either none can join any more or one has left a bus that lives by
 * its publishers. Once ended, a bus stays so: a subscriber may have seen it.
 */
static inline bool ronbus_end_due(const struct ronbus_info_page *page, unsigned int publishers,
				  bool abandoned)
{
	if (publishers || page->status & RONBUS_STATUS_ENDED)
		return false;
	return page->status & RONBUS_STATUS_SEALED ||
	       (abandoned && !(page->flags & RONBUS_BUS_PERSISTENT));
}

#endif /* _RONBUS_MEMBER_H */
