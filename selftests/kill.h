/* SPDX-License-Identifier: GPL-2.0 */
/* A small bus whose members are killed. */
#ifndef RONBUS_KILL_H
#define RONBUS_KILL_H

#include "ronbus_kselftest.h"

#define SLOTS 8U
#define LEN 32U

static inline bool nothing_held(const struct ronbus_ring *ring)
{
	u32 i;

	for (i = 0; i <= ring->mask; i++)
		if (ronbus_state_kind(RB_READ(ronbus_ring_at(ring, i).state)) == RONBUS_KIND_BUSY)
			return false;
	return true;
}

#endif /* RONBUS_KILL_H */
