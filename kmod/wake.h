/* SPDX-License-Identifier: GPL-2.0 */
/* Arming, sleeping and waking: wake.c. Nothing else touches the bits of armed and blocked. */
#ifndef _RONBUS_WAKE_H
#define _RONBUS_WAKE_H

#include "../common/backlog.h"

struct ronbus_bus;
struct ronbus_sub;

unsigned int ronbus_sub_readable(struct ronbus_sub *sub);
void ronbus_sub_wake_armed(struct ronbus_sub *sub);
void ronbus_sub_wake(struct ronbus_sub *sub, enum ronbus_wake_cause cause);
unsigned int ronbus_sub_arm(struct ronbus_sub *sub);
bool ronbus_sub_crowded(struct ronbus_sub *sub);
void ronbus_sub_polled(struct ronbus_sub *sub);
bool ronbus_sleep_until(u64 deadline);
int ronbus_sub_wait(struct ronbus_sub *sub, u64 deadline, int cancels);
void ronbus_sub_init(struct ronbus_sub *sub);
void ronbus_sub_end(struct ronbus_sub *sub);
void ronbus_sub_cancel(struct ronbus_sub *sub);
int ronbus_sub_set_eventfd(struct ronbus_sub *sub, int fd);
unsigned int ronbus_bus_notify(struct ronbus_bus *bus, u64 mask, enum ronbus_wake_cause cause);

#endif /* _RONBUS_WAKE_H */
