/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracepoints, described for their users in ronbus_trace(7): names and types of fields are ABI.
 *
 * What happens in the kernel is traced when it happens. What programs count in their own pages is
 * traced when the kernel looks there: lag, drop and suppress tell what is new, flush tells all the
 * counters as they stand.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM ronbus

#if !defined(_RONBUS_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _RONBUS_TRACE_H

#include <linux/jump_label.h>
#include <linux/tracepoint.h>

#include "../uapi/ronbus.h"
#include "../uapi/ronbus_counters.h"

struct ronbus_bus;
struct ronbus_pub;
struct ronbus_sub;

#ifndef RONBUS_TRACE_ONCE
#define RONBUS_TRACE_ONCE

/* A tracepoint is on for which the kernel has to look at counters. */
DECLARE_STATIC_KEY_FALSE(ronbus_tracing);

int ronbus_trace_begin(void);
void ronbus_trace_end(void);
void ronbus_trace_counters(struct ronbus_bus *bus, const struct ronbus_stats *stats);
void ronbus_trace_bus_ends(struct ronbus_bus *bus);
void ronbus_trace_pub_leaves(struct ronbus_pub *pub);
void ronbus_trace_sub_leaves(struct ronbus_sub *sub);
void __ronbus_trace_pub(struct ronbus_pub *pub);
void __ronbus_trace_sub(struct ronbus_sub *sub);

static inline bool ronbus_traced(void)
{
	return static_branch_unlikely(&ronbus_tracing);
}

/* A member enters the kernel: what has it counted since it was here? */
static inline void ronbus_trace_pub(struct ronbus_pub *pub)
{
	if (ronbus_traced())
		__ronbus_trace_pub(pub);
}

static inline void ronbus_trace_sub(struct ronbus_sub *sub)
{
	if (ronbus_traced())
		__ronbus_trace_sub(sub);
}

#endif /* RONBUS_TRACE_ONCE */

/* clang-format off */

TRACE_DEFINE_ENUM(RONBUS_ROLE_PUBLISHER);
TRACE_DEFINE_ENUM(RONBUS_ROLE_SUBSCRIBER);
TRACE_DEFINE_ENUM(RONBUS_WAKE_DATA);
TRACE_DEFINE_ENUM(RONBUS_WAKE_TIMER);
TRACE_DEFINE_ENUM(RONBUS_WAKE_REPAIR);
TRACE_DEFINE_ENUM(RONBUS_WAKE_CLOSE);

#define RONBUS_TRACE_BUS __field(u64, bus) __array(char, name, RONBUS_NAME_SIZE)
#define RONBUS_TRACE_SET_BUS(from)                                \
	do {                                                      \
		__entry->bus = (from)->id;                        \
		memcpy(__entry->name, (from)->name, RONBUS_NAME_SIZE); \
	} while (0)
#define RONBUS_TRACE_SHOW_BUS __entry->bus, __entry->name

#define ronbus_show_role(role)                              \
	__print_symbolic(role,                              \
		{ RONBUS_ROLE_PUBLISHER, "publisher" },     \
		{ RONBUS_ROLE_SUBSCRIBER, "subscriber" })

#define ronbus_show_cause(cause)                            \
	__print_symbolic(cause,                             \
		{ RONBUS_WAKE_DATA, "data" },               \
		{ RONBUS_WAKE_TIMER, "timer" },             \
		{ RONBUS_WAKE_REPAIR, "repair" },           \
		{ RONBUS_WAKE_CLOSE, "close" })

/* A bus comes and goes. */
DECLARE_EVENT_CLASS(ronbus_bus,
	TP_PROTO(const struct ronbus_bus *bus),
	TP_ARGS(bus),
	TP_STRUCT__entry(
		RONBUS_TRACE_BUS __field(u64, features) __field(u32, flags)
		__field(u32, capacity) __field(u32, payload)
	),
	TP_fast_assign(
		RONBUS_TRACE_SET_BUS(bus);
		__entry->features = bus->features;
		__entry->flags = bus->flags;
		__entry->capacity = bus->ring.mask + 1;
		__entry->payload = bus->ring.payload;
	),
	TP_printk("bus=%llu name=%s features=%#llx flags=%#x capacity=%u payload=%u",
		  RONBUS_TRACE_SHOW_BUS, __entry->features, __entry->flags, __entry->capacity,
		  __entry->payload)
);

DEFINE_EVENT(ronbus_bus, ronbus_create, TP_PROTO(const struct ronbus_bus *bus), TP_ARGS(bus));
DEFINE_EVENT(ronbus_bus, ronbus_destroy, TP_PROTO(const struct ronbus_bus *bus), TP_ARGS(bus));

/* A member comes and goes. */
DECLARE_EVENT_CLASS(ronbus_member,
	TP_PROTO(const struct ronbus_bus *bus, enum ronbus_role role, u32 member),
	TP_ARGS(bus, role, member),
	TP_STRUCT__entry(
		RONBUS_TRACE_BUS __field(u32, role) __field(u32, member)
	),
	TP_fast_assign(
		RONBUS_TRACE_SET_BUS(bus);
		__entry->role = role;
		__entry->member = member;
	),
	TP_printk("bus=%llu name=%s role=%s member=%u", RONBUS_TRACE_SHOW_BUS,
		  ronbus_show_role(__entry->role), __entry->member)
);

DEFINE_EVENT(ronbus_member, ronbus_join,
	TP_PROTO(const struct ronbus_bus *bus, enum ronbus_role role, u32 member),
	TP_ARGS(bus, role, member));
DEFINE_EVENT(ronbus_member, ronbus_leave,
	TP_PROTO(const struct ronbus_bus *bus, enum ronbus_role role, u32 member),
	TP_ARGS(bus, role, member));

/* Messages are published by system call, by io_uring or by a BPF program. */
TRACE_EVENT(ronbus_publish,
	TP_PROTO(const struct ronbus_pub *pub, u32 topic, u32 count, u32 receivers),
	TP_ARGS(pub, topic, count, receivers),
	TP_STRUCT__entry(
		RONBUS_TRACE_BUS __field(u32, topic) __field(u32, count)
		__field(u32, receivers)
	),
	TP_fast_assign(
		RONBUS_TRACE_SET_BUS(pub->bus);
		__entry->topic = topic;
		__entry->count = count;
		__entry->receivers = receivers;
	),
	TP_printk("bus=%llu name=%s topic=%u count=%u receivers=%u", RONBUS_TRACE_SHOW_BUS,
		  __entry->topic, __entry->count, __entry->receivers)
);

/* A publisher with a mapping asks for subscribers to be woken. */
TRACE_EVENT(ronbus_notify,
	TP_PROTO(const struct ronbus_pub *pub, u64 subscribers, u32 woken),
	TP_ARGS(pub, subscribers, woken),
	TP_STRUCT__entry(
		RONBUS_TRACE_BUS __field(u64, subscribers) __field(u32, publisher)
		__field(u32, woken)
	),
	TP_fast_assign(
		RONBUS_TRACE_SET_BUS(pub->bus);
		__entry->subscribers = subscribers;
		__entry->publisher = pub->id;
		__entry->woken = woken;
	),
	TP_printk("bus=%llu name=%s publisher=%u subscribers=%#llx woken=%u",
		  RONBUS_TRACE_SHOW_BUS, __entry->publisher, __entry->subscribers, __entry->woken)
);

/* A subscriber has nothing to read and wants to be woken; or it has looked and found something. */
DECLARE_EVENT_CLASS(ronbus_sub,
	TP_PROTO(const struct ronbus_sub *sub),
	TP_ARGS(sub),
	TP_STRUCT__entry(
		RONBUS_TRACE_BUS __field(u32, subscriber)
	),
	TP_fast_assign(
		RONBUS_TRACE_SET_BUS(sub->bus);
		__entry->subscriber = sub->index;
	),
	TP_printk("bus=%llu name=%s subscriber=%u", RONBUS_TRACE_SHOW_BUS, __entry->subscriber)
);

DEFINE_EVENT(ronbus_sub, ronbus_arm, TP_PROTO(const struct ronbus_sub *sub), TP_ARGS(sub));
DEFINE_EVENT(ronbus_sub, ronbus_ready, TP_PROTO(const struct ronbus_sub *sub), TP_ARGS(sub));

/* A subscriber is woken. The delay is since it was armed, or 0 if that was not traced. */
TRACE_EVENT_FN(ronbus_wake,
	TP_PROTO(const struct ronbus_sub *sub, enum ronbus_wake_cause cause, u64 delay_ns),
	TP_ARGS(sub, cause, delay_ns),
	TP_STRUCT__entry(
		RONBUS_TRACE_BUS __field(u64, delay_ns) __field(u32, subscriber)
		__field(u32, cause)
	),
	TP_fast_assign(
		RONBUS_TRACE_SET_BUS(sub->bus);
		__entry->delay_ns = delay_ns;
		__entry->subscriber = sub->index;
		__entry->cause = cause;
	),
	TP_printk("bus=%llu name=%s subscriber=%u cause=%s delay_ns=%llu", RONBUS_TRACE_SHOW_BUS,
		  __entry->subscriber, ronbus_show_cause(__entry->cause), __entry->delay_ns),
	ronbus_trace_begin, ronbus_trace_end
);

/* Wake-ups that were not needed, of one subscriber, or with RONBUS_STATS_BUS of the whole bus. */
TRACE_EVENT_FN(ronbus_suppress,
	TP_PROTO(const struct ronbus_bus *bus, u32 subscriber, u64 count),
	TP_ARGS(bus, subscriber, count),
	TP_STRUCT__entry(
		RONBUS_TRACE_BUS __field(u64, count) __field(u32, subscriber)
	),
	TP_fast_assign(
		RONBUS_TRACE_SET_BUS(bus);
		__entry->count = count;
		__entry->subscriber = subscriber;
	),
	TP_printk("bus=%llu name=%s subscriber=%d count=%llu", RONBUS_TRACE_SHOW_BUS,
		  (int)__entry->subscriber, __entry->count),
	ronbus_trace_begin, ronbus_trace_end
);

/* A subscriber was overtaken. */
TRACE_EVENT_FN(ronbus_lag,
	TP_PROTO(const struct ronbus_sub *sub, u64 times, u64 lost),
	TP_ARGS(sub, times, lost),
	TP_STRUCT__entry(
		RONBUS_TRACE_BUS __field(u64, times) __field(u64, lost)
		__field(u32, subscriber)
	),
	TP_fast_assign(
		RONBUS_TRACE_SET_BUS(sub->bus);
		__entry->times = times;
		__entry->lost = lost;
		__entry->subscriber = sub->index;
	),
	TP_printk("bus=%llu name=%s subscriber=%u times=%llu lost=%llu", RONBUS_TRACE_SHOW_BUS,
		  __entry->subscriber, __entry->times, __entry->lost),
	ronbus_trace_begin, ronbus_trace_end
);

/* A publisher found no slot: all were being written. */
TRACE_EVENT_FN(ronbus_drop,
	TP_PROTO(const struct ronbus_pub *pub, u64 count),
	TP_ARGS(pub, count),
	TP_STRUCT__entry(
		RONBUS_TRACE_BUS __field(u64, count) __field(u32, publisher)
	),
	TP_fast_assign(
		RONBUS_TRACE_SET_BUS(pub->bus);
		__entry->count = count;
		__entry->publisher = pub->id;
	),
	TP_printk("bus=%llu name=%s publisher=%u count=%llu", RONBUS_TRACE_SHOW_BUS,
		  __entry->publisher, __entry->count),
	ronbus_trace_begin, ronbus_trace_end
);

/* Slots that a publisher held when it died are given back. */
TRACE_EVENT(ronbus_repair,
	TP_PROTO(const struct ronbus_pub *pub, u32 slots),
	TP_ARGS(pub, slots),
	TP_STRUCT__entry(
		RONBUS_TRACE_BUS __field(u32, publisher) __field(u32, slots)
	),
	TP_fast_assign(
		RONBUS_TRACE_SET_BUS(pub->bus);
		__entry->publisher = pub->id;
		__entry->slots = slots;
	),
	TP_printk("bus=%llu name=%s publisher=%u slots=%u", RONBUS_TRACE_SHOW_BUS,
		  __entry->publisher, __entry->slots)
);

/*
 * All counters, as RONBUS_IOC_STATS gives them: of a subscriber, or with RONBUS_STATS_BUS of the
 * whole bus; and the bus's properties, for tracers that missed its creation. Traced with every
 * STATS and fdinfo, every 200 ms, and when the subscriber or bus goes. The counters are the last
 * fields, and their size is one of the first: a tracer that was built for other counters sees it
 * in time.
 */
#define RONBUS_TRACE_FIELD(name, ...) __field(u64, name)
#define RONBUS_TRACE_FIELDS(name, ...) \
	__array(u64, name, ARRAY_SIZE(((struct ronbus_counters *)0)->name))
#define RONBUS_TRACE_SET(name, ...) __entry->name = stats->counters.name;
#define RONBUS_TRACE_SETS(name, ...) \
	memcpy(__entry->name, stats->counters.name, sizeof(__entry->name));

TRACE_EVENT_FN(ronbus_flush,
	TP_PROTO(const struct ronbus_bus *bus, const struct ronbus_stats *stats),
	TP_ARGS(bus, stats),
	TP_STRUCT__entry(
		RONBUS_TRACE_BUS __field(u32, subscriber) __field(u32, counters_size)
		__field(u64, subscribers) __field(u64, armed) __field(u64, cursor)
		__field(u64, tail) __field(u64, start) __field(u64, features)
		__field(u32, publishers) __field(u32, flags) __field(u32, capacity)
		__field(u32, payload)
		RONBUS_COUNTERS(RONBUS_TRACE_FIELD, RONBUS_TRACE_FIELDS)
	),
	TP_fast_assign(
		RONBUS_TRACE_SET_BUS(bus);
		__entry->subscriber = stats->which;
		__entry->counters_size = sizeof(stats->counters);
		__entry->subscribers = stats->subscribers;
		__entry->armed = stats->armed;
		__entry->cursor = stats->cursor;
		__entry->tail = stats->tail;
		__entry->start = stats->start;
		__entry->features = bus->features;
		__entry->publishers = stats->publishers;
		__entry->flags = bus->flags;
		__entry->capacity = stats->capacity;
		__entry->payload = bus->ring.payload;
		RONBUS_COUNTERS(RONBUS_TRACE_SET, RONBUS_TRACE_SETS)
	),
	TP_printk("bus=%llu name=%s subscriber=%d published=%llu delivered=%llu sends=%llu suppressed=%llu lost=%llu dropped=%llu flushes=%llu",
		  RONBUS_TRACE_SHOW_BUS, (int)__entry->subscriber, __entry->published_total,
		  __entry->delivered_total, __entry->notify_sends_total,
		  __entry->notify_suppressed_total, __entry->overflow_dropped_total,
		  __entry->dropped_total, __entry->metrics_tls_flush_total),
	ronbus_trace_begin, ronbus_trace_end
);

/* clang-format on */

#endif /* _RONBUS_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
