/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/* What tests of the library share: embedded buses and their members, counters, the clock. */
#ifndef RONBUS_TEST_COMMON_H
#define RONBUS_TEST_COMMON_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

#include <libronbus.h>

#define MS 1000000LL

#define ok(call) assert_int_equal(call, 0)

static inline __s64 now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 * MS + t.tv_nsec;
}

static inline struct ronbus *make(const struct ronbus_options *opts)
{
	struct ronbus *bus = NULL;

	ok(ronbus_create(RONBUS_EMBEDDED, opts, &bus));
	return bus;
}

static inline struct ronbus_pub *publisher(struct ronbus *bus, unsigned int flags)
{
	struct ronbus_pub *pub = NULL;

	ok(ronbus_publisher(bus, flags, &pub));
	return pub;
}

static inline struct ronbus_sub *subscriber(struct ronbus *bus)
{
	struct ronbus_sub *sub = NULL;

	ok(ronbus_subscribe(bus, NULL, &sub));
	return sub;
}

/* Threads of a test ask as well, and cannot fail as cmocka's own thread does. */
static inline struct ronbus_stats stats_of(struct ronbus *bus, unsigned int which)
{
	struct ronbus_stats stats;

	memset(&stats, 0xa5, sizeof(stats));
	if (ronbus_stats(bus, which, &stats))
		abort();
	return stats;
}

static inline struct ronbus_counters counters(struct ronbus *bus)
{
	return stats_of(bus, RONBUS_STATS_BUS).counters;
}

#endif /* RONBUS_TEST_COMMON_H */
