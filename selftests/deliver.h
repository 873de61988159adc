/* SPDX-License-Identifier: GPL-2.0 */
/* How publishers publish, and which subscribers they notify. */
#ifndef RONBUS_DELIVER_H
#define RONBUS_DELIVER_H

#include "ronbus_kselftest.h"

#define LEN 32U

#define MANY 0, RONBUS_PUBLISHER_MAPPED
#define EXCLUSIVE RONBUS_BUS_EXCLUSIVE, RONBUS_PUBLISHER_MAPPED
#define SYSCALL 0, 0
#define EDGE RONBUS_F_EDGE_NOTIFY
#define BASELINE 0

struct way {
	u32 bus_flags;
	u32 publisher_flags;
	u64 features;
};

#endif /* RONBUS_DELIVER_H */
