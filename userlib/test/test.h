/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/* What the tests share: the harness, a ring in memory that tools watch, a repeatable dice. */
#ifndef RONBUS_TEST_H
#define RONBUS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <ronbus/ronbus.h>
#include <ronbus/ronbus_ring.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Tests of the ring itself run once with slots, and once with arrays. */
static __u64 ring_features __attribute__((unused));

/* A ring with nothing after its end but what a sanitizer watches. */
static inline void ring_make(struct ronbus_ring *ring, __u32 capacity, __u32 payload)
{
	size_t bytes = ronbus_ring_bytes(capacity, payload, ring_features);
	void *base = aligned_alloc(RONBUS_CACHE_LINE, bytes);

	assert_non_null(base);
	memset(base, 0, bytes);
	ronbus_ring_view(ring, base, capacity, payload, ring_features);
	ronbus_ring_reset(ring);
}

static inline void ring_free(struct ronbus_ring *ring)
{
	free(ring->head);
}

/* xorshift: good enough to find interleavings, and the same everywhere. */
static inline __u64 dice(__u64 *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

#endif /* RONBUS_TEST_H */
