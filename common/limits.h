/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * limits.h - every bound that is tighter than the ABI's
 *
 * The module and the embedded transport have the same. Those at the end are the kernel's alone.
 */
#ifndef _RONBUS_LIMITS_H
#define _RONBUS_LIMITS_H

#ifdef __KERNEL__
#include <linux/errno.h>
#include <linux/string.h>
#include <linux/types.h>
#else
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#endif

#include "../uapi/ronbus_blocks.h"
#include "../uapi/ronbus_ring.h"

/* Bytes that one ring, and the blocks of one bus, may have. */
#define RONBUS_RING_BYTES_MAX (64UL << 20)
#define RONBUS_BLOCKS_BYTES_MAX (64UL << 20)

/* Positions that are looked at for a message a subscriber wants, before it shall look itself. */
#define RONBUS_READY_LOOKS 64U

/*
 * Positions that a subscriber looks at for the messages that RONBUS_F_COALESCE waits for: they are
 * enough then.
 */
#define RONBUS_COALESCE_LOOKS 2048U

/*
 * Positions that a notification looks at for all subscribers whose waking it might put off. Those
 * that it cannot decide about are woken, and look themselves.
 */
#define RONBUS_NOTIFY_LOOKS 64U

/* Times that arming begins again while publishers go on. Then there is something to look at. */
#define RONBUS_ARM_TRIES 8U

/*
 * Threads and commands of io_uring that wait for one subscriber at once. There may be more that
 * poll it, or its eventfd: then a worker wakes them in the publisher's place.
 */
#define RONBUS_WAITERS_MAX 64U

/*
 * Blocks that are looked at for one that is not pinned: as many can be pinned as there are words
 * for pins, and one more.
 */
#define RONBUS_BLOCK_LOOKS (RONBUS_SUBSCRIBERS_MAX * RONBUS_PINS_MAX + 1)

/* Slots a publish looks at in all, beyond what an honest ring can make it look at. */
#define RONBUS_CLAIM_LOOKS(capacity) (4 * (capacity) + 4096)

#ifdef __KERNEL__

/* Buses that may exist at once, on the whole machine. Memory is charged to their makers besides. */
#define RONBUS_BUSES_MAX 1024

/* And of one user, unless the administrator sets user_buses. */
#define RONBUS_USER_BUSES 128

/* Places that names fall in: a new bus wakes all that wait for a name of its place. */
#define RONBUS_NAME_PLACES 256

/* Lines in the kernel's log that users can cause, from the time on that the module was loaded. */
#define RONBUS_WARNINGS_MAX 8

/* Slots a publisher looks at, and a repair walks over, before others may have the CPU. */
#define RONBUS_CLAIM_CHUNK 64
#define RONBUS_REPAIR_CHUNK 1024

/* Positions that read(2) steps over before it looks whether it is to end or to sleep. */
#define RONBUS_READ_CHUNK 1024

#endif /* __KERNEL__ */

#endif /* _RONBUS_LIMITS_H */
