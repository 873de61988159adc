// SPDX-License-Identifier: GPL-2.0
/*
 * ronbus.bpf.c - counters and delays of all buses, kept in maps by BPF programs
 *
 * What is in the maps, and how far to trust it: ronbus_bpf.h. One source, two objects. The programs of
 * ronbus.bpf.o attach to the tracepoints with types (tp_btf): they need a module and a kernel with
 * type information, 5.11 or later. Those of ronbus_classic.bpf.o (compiled with RONBUS_CLASSIC)
 * attach to the same tracepoints as perf does and read what is recorded; they need no types, and
 * cost about twice as much.
 *
 * The program for ronbus_flush stands first: "bpftool prog load" attaches the first program only,
 * and with this one alone all counters are right, if not what is seen in between.
 */
#include <stdbool.h>
#include <stddef.h>

#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "ronbus_bpf.h"
#include "ronbus_counters.h"

char _license[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, RONBUS_BPF_BUSES_MAX);
	__type(key, struct ronbus_bpf_bus_key);
	__type(value, struct ronbus_bpf_bus);
} buses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, RONBUS_BPF_SUBS_MAX);
	__type(key, struct ronbus_bpf_sub_key);
	__type(value, struct ronbus_bpf_sub);
} subscribers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ronbus_bpf_start);
} start SEC(".maps");

/* Too large for a program's stack. */
static const struct ronbus_bpf_bus new_bus;
static const struct ronbus_bpf_sub new_sub;

static __always_inline void add(__u64 *to, __u64 n)
{
	__sync_fetch_and_add(to, n);
}

/* ---- entries ---------------------------------------------------------------------------- */

static __always_inline struct ronbus_bpf_bus *find_bus(__u64 bus)
{
	struct ronbus_bpf_bus_key key = { .bus = bus };

	return bpf_map_lookup_elem(&buses, &key);
}

static __always_inline struct ronbus_bpf_sub *find_sub(__u64 bus, __u32 subscriber)
{
	struct ronbus_bpf_sub_key key = { .bus = bus, .subscriber = subscriber };

	return bpf_map_lookup_elem(&subscribers, &key);
}

/* Whether the entry could be made that was asked for. */
static __always_inline void note_entry(bool made)
{
	struct ronbus_bpf_start *info;
	__u32 key = 0;

	info = bpf_map_lookup_elem(&start, &key);
	if (!info)
		return;
	if (!info->since)
		__sync_val_compare_and_swap(&info->since, 0, bpf_ktime_get_ns());
	if (!made)
		add(&info->full, 1);
}

static __always_inline struct ronbus_bpf_bus *make_bus(__u64 bus)
{
	struct ronbus_bpf_bus_key key = { .bus = bus };
	struct ronbus_bpf_bus *entry;

	entry = bpf_map_lookup_elem(&buses, &key);
	if (entry)
		return entry;
	bpf_map_update_elem(&buses, &key, &new_bus, BPF_NOEXIST);
	entry = bpf_map_lookup_elem(&buses, &key);
	note_entry(entry);
	return entry;
}

static __always_inline struct ronbus_bpf_sub *make_sub(__u64 bus, __u32 subscriber)
{
	struct ronbus_bpf_sub_key key = { .bus = bus, .subscriber = subscriber };
	struct ronbus_bpf_sub *entry;

	entry = bpf_map_lookup_elem(&subscribers, &key);
	if (entry)
		return entry;
	bpf_map_update_elem(&subscribers, &key, &new_sub, BPF_NOEXIST);
	entry = bpf_map_lookup_elem(&subscribers, &key);
	note_entry(entry);
	return entry;
}

/* ---- histograms ------------------------------------------------------------------------- */

/* The logarithm to base 2, rounded down; of 0 it is 0. */
static __always_inline __u32 log2_floor(__u64 value)
{
	__u32 log = 0, step;

#pragma unroll
	for (step = 32; step; step /= 2)
		if (value >> step) {
			value >>= step;
			log += step;
		}
	return log;
}

static __always_inline void record(struct ronbus_bpf_histogram *histogram, __u64 delay)
{
	__u32 bucket = log2_floor(delay);

	if (bucket >= RONBUS_BPF_BUCKETS)
		bucket = RONBUS_BPF_BUCKETS - 1;
	add(&histogram->buckets[bucket], 1);
	add(&histogram->sum, delay);
}

/* ---- what happened ---------------------------------------------------------------------- */

static __always_inline int on_leave(__u64 bus, __u32 role, __u32 member)
{
	struct ronbus_bpf_sub_key key = { .bus = bus, .subscriber = member };

	if (role == RONBUS_ROLE_SUBSCRIBER)
		bpf_map_delete_elem(&subscribers, &key);
	return 0;
}

static __always_inline int on_destroy(__u64 bus)
{
	struct ronbus_bpf_bus_key key = { .bus = bus };

	bpf_map_delete_elem(&buses, &key);
	return 0;
}

static __always_inline int on_join(__u64 bus, __u32 role, __u32 member)
{
	if (role == RONBUS_ROLE_SUBSCRIBER)
		make_sub(bus, member);
	return 0;
}

static __always_inline int on_publish(__u64 bus, __u32 count)
{
	struct ronbus_bpf_bus *b = find_bus(bus);

	if (b)
		add(&b->seen.published, count);
	return 0;
}

static __always_inline int on_notify(__u64 bus)
{
	struct ronbus_bpf_bus *b = find_bus(bus);

	if (b)
		add(&b->seen.notifies, 1);
	return 0;
}

/* A subscriber has looked at the ring: it is back, if it was woken. */
static __always_inline void on_look(struct ronbus_bpf_bus *b, struct ronbus_bpf_sub *s)
{
	__u64 woken, now;

	if (!s->woken)
		return;
	now = bpf_ktime_get_ns();
	woken = __sync_lock_test_and_set(&s->woken, 0);
	if (!woken || now < woken)
		return;
	record(&s->wake_to_read, now - woken);
	if (b)
		record(&b->wake_to_read, now - woken);
}

static __always_inline int on_arm(__u64 bus, __u32 subscriber)
{
	struct ronbus_bpf_bus *b = find_bus(bus);
	struct ronbus_bpf_sub *s = find_sub(bus, subscriber);

	if (b)
		add(&b->seen.arms, 1);
	if (!s)
		return 0;
	add(&s->seen.arms, 1);
	on_look(b, s);
	return 0;
}

static __always_inline int on_ready(__u64 bus, __u32 subscriber)
{
	struct ronbus_bpf_bus *b = find_bus(bus);
	struct ronbus_bpf_sub *s = find_sub(bus, subscriber);

	if (b)
		add(&b->seen.readies, 1);
	if (!s)
		return 0;
	add(&s->seen.readies, 1);
	on_look(b, s);
	return 0;
}

static __always_inline int on_wake(__u64 bus, __u32 subscriber, __u32 cause, __u64 delay)
{
	struct ronbus_bpf_bus *b = find_bus(bus);
	struct ronbus_bpf_sub *s = find_sub(bus, subscriber);

	barrier_var(cause); /* the verifier has to see the comparison as it stands here */
	if (cause >= RONBUS_WAKE_CAUSES)
		return 0;
	if (b) {
		add(&b->seen.wakes[cause], 1);
		if (delay)
			record(&b->arm_to_wake, delay);
	}
	if (s) {
		add(&s->seen.wakes[cause], 1);
		if (delay)
			record(&s->arm_to_wake, delay);
		__sync_val_compare_and_swap(&s->woken, 0, bpf_ktime_get_ns());
	}
	return 0;
}

static __always_inline int on_suppress(__u64 bus, __u32 subscriber, __u64 count)
{
	struct ronbus_bpf_bus *b;
	struct ronbus_bpf_sub *s;

	if (subscriber == RONBUS_STATS_BUS) {
		b = find_bus(bus);
		if (b)
			add(&b->seen.suppressed, count);
	} else {
		s = find_sub(bus, subscriber);
		if (s)
			add(&s->seen.suppressed, count);
	}
	return 0;
}

static __always_inline int on_lag(__u64 bus, __u32 subscriber, __u64 times, __u64 lost)
{
	struct ronbus_bpf_bus *b = find_bus(bus);
	struct ronbus_bpf_sub *s = find_sub(bus, subscriber);

	if (b) {
		add(&b->seen.lags, times);
		add(&b->seen.lost, lost);
	}
	if (s) {
		add(&s->seen.lags, times);
		add(&s->seen.lost, lost);
	}
	return 0;
}

static __always_inline int on_drop(__u64 bus, __u64 count)
{
	struct ronbus_bpf_bus *b = find_bus(bus);

	if (b)
		add(&b->seen.drops, count);
	return 0;
}

static __always_inline int on_repair(__u64 bus, __u32 slots)
{
	struct ronbus_bpf_bus *b = find_bus(bus);

	if (b)
		add(&b->seen.repairs, slots);
	return 0;
}

/* ---- the same events, with types or as they are recorded --------------------------------- */

#ifndef RONBUS_CLASSIC

/* As much of the module's own structures as is needed. */
#define KERNEL __attribute__((preserve_access_index))

struct ronbus_ring {
	__u32 mask;
	__u32 payload;
} KERNEL;

struct ronbus_bus {
	__u64 id;
	char name[RONBUS_NAME_SIZE];
	__u64 features;
	__u32 flags;
	struct ronbus_ring ring;
} KERNEL;

struct ronbus_pub {
	struct ronbus_bus *bus;
} KERNEL;

struct ronbus_sub {
	struct ronbus_bus *bus;
	__u32 index;
} KERNEL;

/*
 * Newer kernels want arguments of any tracepoint compared with NULL before they are used; those of
 * this module never are.
 */
#define EVENT(name) SEC("tp_btf/" #name)

static __always_inline void describe(struct ronbus_bpf_bus *b, const struct ronbus_bus *bus)
{
	bpf_core_read(&b->name, sizeof(b->name), &bus->name);
	b->features = bus->features;
	b->flags = bus->flags;
	b->capacity = bus->ring.mask + 1;
	b->payload = bus->ring.payload;
}

/* The module may be older or newer than these programs, and have fewer counters or more. */
struct ronbus_counters___module {
#define PLAIN(name, ...) __u64 name;
#define LABELLED(name, ...) __u64 name[sizeof(((struct ronbus_counters *)0)->name) / sizeof(__u64)];
	RONBUS_COUNTERS(PLAIN, LABELLED)
#undef LABELLED
#undef PLAIN
} KERNEL;

struct ronbus_stats___module {
	__u32 which;
	__u64 armed;
	__u64 subscribers;
	__u64 tail;
	__u64 cursor;
	__u64 start;
	__u32 publishers;
	struct ronbus_counters___module counters;
} KERNEL;

/* Those that the module has not are 0. */
static __always_inline void take_counters(struct ronbus_counters *to,
					  const struct ronbus_stats___module *stats)
{
	__u32 size;

#define PLAIN(name, ...)                                 \
	if (bpf_core_field_exists(stats->counters.name)) \
		to->name = stats->counters.name;
#define LABELLED(name, ...)                                           \
	if (bpf_core_field_exists(stats->counters.name)) {            \
		size = bpf_core_field_size(stats->counters.name);     \
		if (size > sizeof(to->name))                          \
			size = sizeof(to->name);                      \
		bpf_core_read(to->name, size, &stats->counters.name); \
	}
	RONBUS_COUNTERS(PLAIN, LABELLED)
#undef LABELLED
#undef PLAIN
}

EVENT(ronbus_flush)
int BPF_PROG(flush, const struct ronbus_bus *bus, const struct ronbus_stats___module *stats)
{
	struct ronbus_bpf_bus *b;
	struct ronbus_bpf_sub *s;

	if (!bus || !stats)
		return 0;
	if (stats->which == RONBUS_STATS_BUS) {
		b = make_bus(bus->id);
		if (!b)
			return 0;
		describe(b, bus);
		b->publishers = stats->publishers;
		b->subscribers = stats->subscribers;
		b->armed = stats->armed;
		b->tail = stats->tail;
		take_counters(&b->counters, stats);
		b->flushed = bpf_ktime_get_ns();
	} else {
		s = make_sub(bus->id, stats->which);
		if (!s)
			return 0;
		s->armed = stats->armed;
		s->cursor = stats->cursor;
		s->start = stats->start;
		take_counters(&s->counters, stats);
		s->flushed = bpf_ktime_get_ns();
	}
	return 0;
}

EVENT(ronbus_leave)
int BPF_PROG(leave, const struct ronbus_bus *bus, __u32 role, __u32 member)
{
	return bus ? on_leave(bus->id, role, member) : 0;
}

EVENT(ronbus_destroy)
int BPF_PROG(destroy, const struct ronbus_bus *bus)
{
	return bus ? on_destroy(bus->id) : 0;
}

EVENT(ronbus_create)
int BPF_PROG(create, const struct ronbus_bus *bus)
{
	struct ronbus_bpf_bus *b = bus ? make_bus(bus->id) : NULL;

	if (b)
		describe(b, bus);
	return 0;
}

EVENT(ronbus_join)
int BPF_PROG(join, const struct ronbus_bus *bus, __u32 role, __u32 member)
{
	return bus ? on_join(bus->id, role, member) : 0;
}

EVENT(ronbus_publish)
int BPF_PROG(publish, const struct ronbus_pub *pub, __u32 topic, __u32 count)
{
	return pub ? on_publish(pub->bus->id, count) : 0;
}

EVENT(ronbus_notify)
int BPF_PROG(notify, const struct ronbus_pub *pub)
{
	return pub ? on_notify(pub->bus->id) : 0;
}

EVENT(ronbus_arm)
int BPF_PROG(arm, const struct ronbus_sub *sub)
{
	return sub ? on_arm(sub->bus->id, sub->index) : 0;
}

EVENT(ronbus_ready)
int BPF_PROG(ready, const struct ronbus_sub *sub)
{
	return sub ? on_ready(sub->bus->id, sub->index) : 0;
}

EVENT(ronbus_wake)
int BPF_PROG(wake, const struct ronbus_sub *sub, __u32 cause, __u64 delay)
{
	return sub ? on_wake(sub->bus->id, sub->index, cause, delay) : 0;
}

EVENT(ronbus_suppress)
int BPF_PROG(suppress, const struct ronbus_bus *bus, __u32 subscriber, __u64 count)
{
	return bus ? on_suppress(bus->id, subscriber, count) : 0;
}

EVENT(ronbus_lag)
int BPF_PROG(lag, const struct ronbus_sub *sub, __u64 times, __u64 lost)
{
	return sub ? on_lag(sub->bus->id, sub->index, times, lost) : 0;
}

EVENT(ronbus_drop)
int BPF_PROG(drop, const struct ronbus_pub *pub, __u64 count)
{
	return pub ? on_drop(pub->bus->id, count) : 0;
}

EVENT(ronbus_repair)
int BPF_PROG(repair, const struct ronbus_pub *pub, __u32 slots)
{
	return pub ? on_repair(pub->bus->id, slots) : 0;
}

#else /* RONBUS_CLASSIC */

/*
 * Records, as the format files below events/ronbus of tracefs have them: that is ABI. They follow
 * what all events have in common, of which some real-time kernels have more (6.1: 16 bytes). The
 * loader of the programs says how much; bpftool does not.
 */
const volatile __u32 common_size = 8;

struct record {
	__u64 bus;
	char name[RONBUS_NAME_SIZE];
};

struct bus_record {
	struct record head;
	__u64 features;
	__u32 flags;
	__u32 capacity;
	__u32 payload;
};

struct member_record {
	struct record head;
	__u32 role;
	__u32 member;
};

struct publish_record {
	struct record head;
	__u32 topic;
	__u32 count;
	__u32 receivers;
};

struct sub_record {
	struct record head;
	__u32 subscriber;
};

struct wake_record {
	struct record head;
	__u64 delay_ns;
	__u32 subscriber;
	__u32 cause;
};

struct suppress_record {
	struct record head;
	__u64 count;
	__u32 subscriber;
};

struct lag_record {
	struct record head;
	__u64 times;
	__u64 lost;
	__u32 subscriber;
};

struct drop_record {
	struct record head;
	__u64 count;
	__u32 publisher;
};

struct repair_record {
	struct record head;
	__u32 publisher;
	__u32 slots;
};

/* After it come the counters, which are too many for a stack. */
struct flush_record {
	struct record head;
	__u32 subscriber;
	__u32 counters_size;
	__u64 subscribers;
	__u64 armed;
	__u64 cursor;
	__u64 tail;
	__u64 start;
	__u64 features;
	__u32 publishers;
	__u32 flags;
	__u32 capacity;
	__u32 payload;
};

/* Of a record @size bytes from @offset on. */
static __always_inline long read_part(void *to, __u32 size, const void *context, __u32 offset)
{
	return bpf_probe_read_kernel(to, size, context + common_size + offset);
}

#define READ(record, context) read_part(&(record), sizeof(record), context, 0)

static __always_inline void read_counters(struct ronbus_counters *counters, const void *context)
{
	read_part(counters, sizeof(*counters), context, sizeof(struct flush_record));
}

/* Counters of a module of another version are not those that we know: better none. */
static __always_inline bool strange(const struct flush_record *event)
{
	struct ronbus_bpf_start *info;
	__u32 key = 0;

	if (event->counters_size == sizeof(struct ronbus_counters))
		return false;
	info = bpf_map_lookup_elem(&start, &key);
	if (info)
		add(&info->strange, 1);
	return true;
}

#define EVENT(name) SEC("tracepoint/ronbus/" #name)

EVENT(ronbus_flush)
int flush(const void *context)
{
	struct flush_record event;
	struct ronbus_bpf_bus *b;
	struct ronbus_bpf_sub *s;

	if (READ(event, context) || strange(&event))
		return 0;
	if (event.subscriber == RONBUS_STATS_BUS) {
		b = make_bus(event.head.bus);
		if (!b)
			return 0;
		__builtin_memcpy(b->name, event.head.name, sizeof(b->name));
		b->features = event.features;
		b->flags = event.flags;
		b->capacity = event.capacity;
		b->payload = event.payload;
		b->publishers = event.publishers;
		b->subscribers = event.subscribers;
		b->armed = event.armed;
		b->tail = event.tail;
		read_counters(&b->counters, context);
		b->flushed = bpf_ktime_get_ns();
	} else {
		s = make_sub(event.head.bus, event.subscriber);
		if (!s)
			return 0;
		s->armed = event.armed;
		s->cursor = event.cursor;
		s->start = event.start;
		read_counters(&s->counters, context);
		s->flushed = bpf_ktime_get_ns();
	}
	return 0;
}

EVENT(ronbus_leave)
int leave(const void *context)
{
	struct member_record event;

	return READ(event, context) ? 0 : on_leave(event.head.bus, event.role, event.member);
}

EVENT(ronbus_destroy)
int destroy(const void *context)
{
	struct record event;

	return READ(event, context) ? 0 : on_destroy(event.bus);
}

EVENT(ronbus_create)
int create(const void *context)
{
	struct bus_record event;
	struct ronbus_bpf_bus *b;

	if (READ(event, context))
		return 0;
	b = make_bus(event.head.bus);
	if (!b)
		return 0;
	__builtin_memcpy(b->name, event.head.name, sizeof(b->name));
	b->features = event.features;
	b->flags = event.flags;
	b->capacity = event.capacity;
	b->payload = event.payload;
	return 0;
}

EVENT(ronbus_join)
int join(const void *context)
{
	struct member_record event;

	return READ(event, context) ? 0 : on_join(event.head.bus, event.role, event.member);
}

EVENT(ronbus_publish)
int publish(const void *context)
{
	struct publish_record event;

	return READ(event, context) ? 0 : on_publish(event.head.bus, event.count);
}

EVENT(ronbus_notify)
int notify(const void *context)
{
	struct record event;

	return READ(event, context) ? 0 : on_notify(event.bus);
}

EVENT(ronbus_arm)
int arm(const void *context)
{
	struct sub_record event;

	return READ(event, context) ? 0 : on_arm(event.head.bus, event.subscriber);
}

EVENT(ronbus_ready)
int ready(const void *context)
{
	struct sub_record event;

	return READ(event, context) ? 0 : on_ready(event.head.bus, event.subscriber);
}

EVENT(ronbus_wake)
int wake(const void *context)
{
	struct wake_record event;

	if (READ(event, context))
		return 0;
	return on_wake(event.head.bus, event.subscriber, event.cause, event.delay_ns);
}

EVENT(ronbus_suppress)
int suppress(const void *context)
{
	struct suppress_record event;

	return READ(event, context) ? 0
				    : on_suppress(event.head.bus, event.subscriber, event.count);
}

EVENT(ronbus_lag)
int lag(const void *context)
{
	struct lag_record event;

	if (READ(event, context))
		return 0;
	return on_lag(event.head.bus, event.subscriber, event.times, event.lost);
}

EVENT(ronbus_drop)
int drop(const void *context)
{
	struct drop_record event;

	return READ(event, context) ? 0 : on_drop(event.head.bus, event.count);
}

EVENT(ronbus_repair)
int repair(const void *context)
{
	struct repair_record event;

	return READ(event, context) ? 0 : on_repair(event.head.bus, event.slots);
}

#endif /* RONBUS_CLASSIC */
