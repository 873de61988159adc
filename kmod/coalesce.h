/* SPDX-License-Identifier: GPL-2.0 */
/* Waking a subscriber for several messages at once: coalesce.c. */
#ifndef _RONBUS_COALESCE_H
#define _RONBUS_COALESCE_H

#include "../common/arm.h"
#include "bus.h"
#include "sub.h"

void ronbus_coalesce_init(struct ronbus_sub *sub);
bool ronbus_coalesce_readable(struct ronbus_sub *sub);
void ronbus_coalesce_recount(struct ronbus_sub *sub);
bool ronbus_coalesce_wakes(struct ronbus_sub *sub, bool armed, enum ronbus_wake_cause cause,
			   u32 *looks);
unsigned int ronbus_coalesce_notify(struct ronbus_bus *bus, enum ronbus_wake_cause cause,
				    u32 *looks);
long ronbus_coalesce_ioctl(struct ronbus_sub *sub, unsigned int cmd, void __user *arg);

/* After commit_last(): may a deferred subscriber have enough messages by now? */
static inline bool ronbus_coalesce_due(const struct ronbus_bus *bus)
{
	return bus->features & RONBUS_F_COALESCE &&
	       ronbus_backlog_reached(&bus->ring, READ_ONCE(bus->page->wake_next));
}

#endif /* _RONBUS_COALESCE_H */
