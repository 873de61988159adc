/* SPDX-License-Identifier: GPL-2.0 */
/* Waking a subscriber for several messages at once: coalesce.c. */
#ifndef _RONBUS_COALESCE_H
#define _RONBUS_COALESCE_H

#include "../common/backlog.h"
#include "bus.h"
#include "sub.h"

void ronbus_coalesce_init(struct ronbus_sub *sub);
void ronbus_coalesce_end(struct ronbus_sub *sub);
bool ronbus_coalesce_ready(struct ronbus_sub *sub);
bool ronbus_coalesce_arm(struct ronbus_sub *sub, bool *relied);
bool ronbus_coalesce_undefer(struct ronbus_sub *sub);
void ronbus_coalesce_recount(struct ronbus_sub *sub);
bool ronbus_coalesce_put_off(struct ronbus_sub *sub, u32 *looks);
unsigned int ronbus_coalesce_notify(struct ronbus_bus *bus, enum ronbus_wake_cause cause,
				    u32 *looks);
long ronbus_coalesce_ioctl(struct ronbus_sub *sub, unsigned int cmd, void __user *arg);

/* Is a subscriber woken for more than one message at a time? */
static inline bool ronbus_coalesces(const struct ronbus_sub *sub)
{
	return READ_ONCE(sub->coalesce.backlog.messages) > 1;
}

/* After commit_last(): may a deferred subscriber have enough messages by now? */
static inline bool ronbus_coalesce_due(const struct ronbus_bus *bus)
{
	return bus->features & RONBUS_F_COALESCE &&
	       ronbus_backlog_reached(&bus->ring, READ_ONCE(bus->page->wake_next));
}

#endif /* _RONBUS_COALESCE_H */
