// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * autotune.c - a capacity for a number of subscribers, or for a rate
 *
 * All subscribers read the ring, and it should stay in the cache that they share: it is no larger
 * than their differences in speed require.
 */
#include "internal.h"

#include "../common/create.h"

unsigned int ronbus_autotune_capacity(unsigned int subscribers, unsigned int override)
{
	return override ? override : ronbus_autotune(subscribers);
}

unsigned int ronbus_capacity_for(__u64 rate, __u64 pause_ns)
{
	const double messages = (double)rate * (double)pause_ns / 1e9;
	unsigned int capacity = RONBUS_CAPACITY_MIN;

	while (capacity < messages && capacity < RONBUS_CAPACITY_MAX)
		capacity *= 2;
	return capacity;
}
