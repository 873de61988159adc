// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * stats.c - counters and their names
 */
#include "internal.h"

#include <ronbus/ronbus_counters.h>
#include <string.h>

int ronbus_stats(struct ronbus *bus, unsigned int which, struct ronbus_stats *stats)
{
	memset(stats, 0, sizeof(*stats));
	stats->which = which;
	ronbus_why_doing(RONBUS_AT_STATS);
	return ronbus_why_failed(bus->transport->stats(bus, stats));
}

static void tell(ronbus_counter_fn fn, void *arg, const char *name, __u64 value)
{
	const struct ronbus_counter counter = { .name = name, .value = value };

	fn(arg, &counter);
}

static void tell_array(ronbus_counter_fn fn, void *arg, struct ronbus_counter counter,
		       const char *const *labels, const __u64 *values, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		counter.label = labels[i];
		counter.value = values[i];
		fn(arg, &counter);
	}
}

void ronbus_counters_each(const struct ronbus_stats *stats, ronbus_counter_fn fn, void *arg)
{
	const struct ronbus_counters *c = &stats->counters;

#define PLAIN(member, ...) tell(fn, arg, "bus_" #member, c->member);
#define LABELLED(member, of, help, key_name, ...)                                                  \
	{                                                                                          \
		static const char *const labels[] = { __VA_ARGS__ };                               \
		const struct ronbus_counter counter = { .name = "bus_" #member, .key = key_name }; \
		_Static_assert(sizeof(labels) / sizeof(labels[0]) ==                               \
				       sizeof(c->member) / sizeof(c->member[0]),                   \
			       "a label for each");                                                \
		tell_array(fn, arg, counter, labels, c->member,                                    \
			   sizeof(labels) / sizeof(labels[0]));                                    \
	}
	RONBUS_COUNTERS(PLAIN, LABELLED)
#undef LABELLED
#undef PLAIN
	tell(fn, arg, "bus_cap_selected", stats->capacity);
	if (stats->which != RONBUS_STATS_BUS)
		tell(fn, arg, "bus_sub_pending", !stats->armed);
}
