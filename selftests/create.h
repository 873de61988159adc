/* SPDX-License-Identifier: GPL-2.0 */
/* A bus of any options, and a control device to make it of. */
#ifndef RONBUS_CREATE_H
#define RONBUS_CREATE_H

#include "ronbus_kselftest.h"

FIXTURE(create)
{
	int control;
	struct ronbus_query q;
	int next_fd; /* after setup */
};

FIXTURE_SETUP(create)
{
	self->control = OPEN_CONTROL();
	poison(self->q);
	ASSERT_EQ(0, do_ioctl(self->control, RONBUS_IOC_QUERY, &self->q));
	self->next_fd = fd_next();
}

FIXTURE_TEARDOWN(create)
{
	close(self->control);
}

#define CREATE(...) bus_create(self->control, (struct ronbus_create){ __VA_ARGS__ })

/* It succeeds, and what comes with it goes. */
#define EXPECT_CREATES(...)                     \
	do {                                    \
		int __fd = CREATE(__VA_ARGS__); \
		EXPECT_LE(0, __fd);             \
		if (__fd >= 0)                  \
			close(__fd);            \
	} while (0)

/* A name, and the zeros that strncpy() puts after it. */
static inline struct ronbus_create named(const char *name)
{
	struct ronbus_create args = { .capacity = 4, .payload = 8 };

	strncpy(args.name, name, sizeof(args.name));
	return args;
}

#endif /* RONBUS_CREATE_H */
