/* SPDX-License-Identifier: GPL-2.0 */
/* Every bound of the module that is tighter than the ABI's, in one place. */
#ifndef _RONBUS_LIMITS_H
#define _RONBUS_LIMITS_H

#include <linux/sizes.h>

/* Buses that may exist at once, on the whole machine. Memory is charged to their makers besides. */
#define RONBUS_BUSES_MAX 1024

/* And of one user, unless the administrator sets user_buses. */
#define RONBUS_USER_BUSES 128

/* Places that names fall in: whoever makes a bus wakes those that wait for a name of its place. */
#define RONBUS_NAME_PLACES 256

/* Lines in the kernel's log that users can cause, from the time on that the module was loaded. */
#define RONBUS_WARNINGS_MAX 8

/* Bytes one ring may have. */
#define RONBUS_RING_BYTES_MAX SZ_64M

/* Bytes that the blocks of one bus may have. */
#define RONBUS_BLOCKS_BYTES_MAX SZ_64M

/* Slots a publisher looks at, and a repair walks over, before others may have the CPU. */
#define RONBUS_CLAIM_CHUNK 64
#define RONBUS_REPAIR_CHUNK 1024

/* Positions that are looked at for a message a subscriber wants, before it shall look itself. */
#define RONBUS_READY_LOOKS 64

/*
 * Positions that a subscriber looks at for the messages that RONBUS_F_COALESCE waits for: they are
 * enough then.
 */
#define RONBUS_COALESCE_LOOKS 2048

/*
 * Positions that a notification looks at for all subscribers whose waking it might put off. Those
 * that it cannot decide about are woken, and look themselves.
 */
#define RONBUS_NOTIFY_LOOKS 64

/* Times that arming begins again while publishers go on. Then there is something to look at. */
#define RONBUS_ARM_TRIES 8

/*
 * Threads and commands of io_uring that wait for one subscriber at once. There may be more that
 * poll it, or its eventfd: then a worker wakes them in the publisher's place.
 */
#define RONBUS_WAITERS_MAX 64

/* Positions that read(2) steps over before it looks whether it is to end or to sleep. */
#define RONBUS_READ_CHUNK 1024

/* Slots a publish looks at in all, beyond what an honest ring can make it look at. */
#define RONBUS_CLAIM_LOOKS(capacity) (4 * (capacity) + 4096)

#endif /* _RONBUS_LIMITS_H */
