/* SPDX-License-Identifier: GPL-2.0 */
/* A bus by name, on both transports. */
#ifndef RONBUS_RESTART_H
#define RONBUS_RESTART_H

#include "libronbus.h"
#include "ronbus_kselftest.h"

#define LEN 8U
#define SLOTS 8U
#define READ_WRITE (RONBUS_ACCESS_SUBSCRIBE | RONBUS_ACCESS_PUBLISH)
#define NOBODY 65534

FIXTURE(restart)
{
	const char *where;
};

FIXTURE_VARIANT(restart)
{
	const char *where;
};

FIXTURE_VARIANT_ADD(restart, device){ RONBUS_DEVICE };
FIXTURE_VARIANT_ADD(restart, embedded){ RONBUS_EMBEDDED };

FIXTURE_SETUP(restart)
{
	if (strcmp(variant->where, RONBUS_EMBEDDED))
		close(OPEN_CONTROL());
	self->where = variant->where;
}

FIXTURE_TEARDOWN(restart)
{
}

static inline int make_bus(const char *where, const char *name, u32 flags, struct ronbus **bus)
{
	const struct ronbus_options opts = {
		.name = name,
		.capacity = SLOTS,
		.payload = LEN,
		.flags = flags,
	};

	return ronbus_create(where, &opts, bus);
}

static inline u64 bus_number(struct ronbus *bus)
{
	struct ronbus_info info;

	return ronbus_bus_info(bus, &info) ? 0 : info.id;
}

static inline int send_number(struct ronbus_pub *pub, unsigned int topic, u64 number)
{
	return ronbus_publish(pub, topic, &number, sizeof(number));
}

/* The number of the next message; or -1 at the end, -2 for nothing yet, -3 for anything else. */
static inline long next_number(struct ronbus_sub *sub, int64_t timeout_ns)
{
	struct ronbus_msg msg;
	u64 number;
	int ret = ronbus_recv(sub, &number, sizeof(number), &msg, timeout_ns);

	if (ret == RONBUS_MESSAGE)
		return (long)number;
	return ret == RONBUS_CLOSED ? -1 : ret == -ETIMEDOUT ? -2 : -3;
}

#endif /* RONBUS_RESTART_H */
