/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/* What the tests share: the harness, and a source that says what it is told to. */
#ifndef RONBUS_EXPORTER_TEST_H
#define RONBUS_EXPORTER_TEST_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../source.h"

/* Buses "bus1" and so on, with so many subscribers each, and a different number in each counter. */
static inline void fill_counters(struct ronbus_counters *counters, __u64 seed)
{
	__u64 *word = (__u64 *)counters;
	size_t i;

	for (i = 0; i < sizeof(*counters) / sizeof(*word); i++)
		word[i] = seed * 1000 + i;
}

static inline void fill_delays(struct ronbus_bpf_histogram *delays, __u64 seed)
{
	unsigned int i;

	delays->sum = seed * 1000000007;
	for (i = 0; i < RONBUS_BPF_BUCKETS; i++)
		delays->buckets[i] = seed + i;
}

static inline void fill_bus(struct snapshot *snapshot, unsigned int number, unsigned int subs)
{
	char name[RONBUS_NAME_SIZE];
	struct bus_sample *bus;
	struct ronbus_stats sub;
	unsigned int i;

	snprintf(name, sizeof(name), "bus%u", number);
	bus = snapshot_add(snapshot, number, name);
	assert_non_null(bus);
	fill_counters(&bus->stats.counters, number);
	bus->stats.capacity = 64;
	bus->stats.publishers = 3;
	bus->stats.subscribers = subs == 64 ? ~0ULL : (1ULL << subs) - 1;
	bus->stats.tail = 1000;
	bus->has_delays = true;
	fill_delays(&bus->arm_to_wake, number);
	fill_delays(&bus->wake_to_read, number + 1);
	for (i = 0; i < subs; i++) {
		sub = (struct ronbus_stats){
			.which = i, .armed = i & 1, .tail = 1000, .cursor = 1000 - i
		};
		fill_counters(&sub.counters, number * 100 + i);
		assert_non_null(bus_sample_add(bus, &sub));
	}
}

/* There is one: tests change it, servers read it under their monitor's lock. */
static struct {
	unsigned int buses;
	unsigned int subs;
	int err;
} fake;

static inline int fake_read(struct source *source, struct snapshot *snapshot)
{
	unsigned int i, buses = __atomic_load_n(&fake.buses, __ATOMIC_ACQUIRE);

	(void)source;
	for (i = 1; i <= buses; i++)
		fill_bus(snapshot, i, fake.subs);
	return __atomic_load_n(&fake.err, __ATOMIC_ACQUIRE);
}

static inline void fake_close(struct source *source)
{
	(void)source;
}

static const struct source_ops fake_ops = { .name = "bpf", .read = fake_read, .close = fake_close };
__attribute__((unused)) static struct source fake_source = { .ops = &fake_ops };

#endif /* RONBUS_EXPORTER_TEST_H */
