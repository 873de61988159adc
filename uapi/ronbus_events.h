/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * ronbus_events.h - what the common events of a supervised system look like on a bus
 *
 * A bus carries bytes. This header is a convention for publishers and subscribers: an
 * event is one message; its first byte, the tag, says which of the bodies below it is. Bodies are
 * fixed and small (each fits one cache line together with the head of its slot). Numbers in them
 * are little-endian, at fixed places and of any alignment: a message can be recorded, and read
 * elsewhere. Services are known by a number that the application gives them. Nothing here concerns
 * the kernel: to the module every message is bytes.
 *
 * How the schema may change, so that old and new programs can share a bus:
 *
 *  - A reader ignores events whose tag it does not know, and bytes after those it knows.
 *  - A body grows only at its end, and says by its length of which version it is. A reader takes
 *    what an older writer did not send as zero, and a length between two versions as the older.
 *  - What is shorter than the first version of its body is no event.
 *  - What is reserved is written as zero and not looked at. A tag is never used again for
 *    something else, nor a value of an enumeration.
 *  - Tags below RONBUS_EVENT_USER and topics below RONBUS_TOPIC_USER belong to this schema, the
 *    others to the application. Tag 0 is no event: that is what zeroed memory says.
 *
 * The bytes of every version are kept in userlib/test/events.golden, and compared.
 */
#ifndef _UAPI_RONBUS_EVENTS_H
#define _UAPI_RONBUS_EVENTS_H

#include <linux/types.h>

#ifdef __KERNEL__
#include <linux/build_bug.h>
#elif !defined(__bpf__) /* which has no C library */
#include <assert.h>
#endif

/*
 * C99 has no static_assert(). For BPF the same is checked where the program is built for the host.
 */
#if defined(__KERNEL__) || defined(__cplusplus) || \
	(!defined(__bpf__) && defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L)
#define RONBUS_EVENTS_CHECKED 1
#endif

/**
 * enum ronbus_event_tag - first byte of an event
 * @RONBUS_EVENT_HEALTH: how a service is doing, said again and again
 * @RONBUS_EVENT_CONFIG_UPDATED: the configuration has changed
 * @RONBUS_EVENT_SERVICE_CRASHED: a service ended without being told to
 * @RONBUS_EVENT_SHUTDOWN: the system is going down; no event of this publisher follows
 * @RONBUS_EVENT_USER: the application's own, from here to 255
 */
enum ronbus_event_tag {
	RONBUS_EVENT_HEALTH = 1,
	RONBUS_EVENT_CONFIG_UPDATED = 2,
	RONBUS_EVENT_SERVICE_CRASHED = 3,
	RONBUS_EVENT_SHUTDOWN = 4,
	RONBUS_EVENT_USER = 128,
};

/**
 * enum ronbus_event_topic - where events are published
 * @RONBUS_TOPIC_HEALTH: health: much, and soon out of date
 * @RONBUS_TOPIC_OPERATIONS: all other events of the schema: few, and wanted by many
 * @RONBUS_TOPIC_USER: the application's own, from here to RONBUS_TOPICS_MAX - 1
 */
enum ronbus_event_topic {
	RONBUS_TOPIC_HEALTH = 0,
	RONBUS_TOPIC_OPERATIONS = 1,
	RONBUS_TOPIC_USER = 16,
};

/**
 * enum ronbus_health_status - how a service is doing
 * @RONBUS_HEALTH_OK: it does its work
 * @RONBUS_HEALTH_DEGRADED: it does some of it
 * @RONBUS_HEALTH_DOWN: it does not run
 */
enum ronbus_health_status {
	RONBUS_HEALTH_OK = 0,
	RONBUS_HEALTH_DEGRADED = 1,
	RONBUS_HEALTH_DOWN = 2,
};

/**
 * enum ronbus_crash_reason - how a service ended
 * @RONBUS_CRASH_EXIT: by itself, with an exit status
 * @RONBUS_CRASH_SIGNAL: by a signal
 * @RONBUS_CRASH_TIMEOUT: its supervisor ended it, since it no longer answered
 */
enum ronbus_crash_reason {
	RONBUS_CRASH_EXIT = 0,
	RONBUS_CRASH_SIGNAL = 1,
	RONBUS_CRASH_TIMEOUT = 2,
};

/**
 * enum ronbus_shutdown_reason - why the system goes down
 * @RONBUS_SHUTDOWN_UNSAID: not said, as in the first version of the event
 * @RONBUS_SHUTDOWN_REQUESTED: a user or a program asked for it
 * @RONBUS_SHUTDOWN_UPGRADE: to come up again with another version
 * @RONBUS_SHUTDOWN_FAILURE: it cannot go on
 */
enum ronbus_shutdown_reason {
	RONBUS_SHUTDOWN_UNSAID = 0,
	RONBUS_SHUTDOWN_REQUESTED = 1,
	RONBUS_SHUTDOWN_UPGRADE = 2,
	RONBUS_SHUTDOWN_FAILURE = 3,
};

/*
 * The structures are what a program fills and reads, in its own byte order. Where each member is in
 * a message, ronbus_event_encode() and ronbus_event_decode() say.
 */

/**
 * struct ronbus_event_health - RONBUS_EVENT_HEALTH
 * @tag: the tag
 * @status: one of &enum ronbus_health_status
 * @service: number of the service
 * @pid: its process, 0 if there is none
 * @rss: bytes of memory it occupies
 * @cpu_ns: nanoseconds of CPU time it has used
 */
struct ronbus_event_health {
	__u8 tag;
	__u8 status;
	__u16 service;
	__u32 pid;
	__aligned_u64 rss;
	__aligned_u64 cpu_ns;
};

/**
 * struct ronbus_event_config_updated - RONBUS_EVENT_CONFIG_UPDATED
 * @tag: the tag
 * @reserved: zero
 * @version: of the configuration that is in force now; it only grows
 */
struct ronbus_event_config_updated {
	__u8 tag;
	__u8 reserved[7];
	__aligned_u64 version;
};

/**
 * struct ronbus_event_service_crashed - RONBUS_EVENT_SERVICE_CRASHED
 * @tag: the tag
 * @reason: one of &enum ronbus_crash_reason
 * @service: number of the service
 * @code: exit status, number of the signal, or milliseconds that were waited for an answer
 */
struct ronbus_event_service_crashed {
	__u8 tag;
	__u8 reason;
	__u16 service;
	__u32 code;
};

/**
 * struct ronbus_event_shutdown - RONBUS_EVENT_SHUTDOWN
 * @tag: the tag; all there was in the first version
 * @reason: one of &enum ronbus_shutdown_reason
 * @reserved: zero
 * @grace_ms: milliseconds until a service that has not ended is killed; 0 if not known
 */
struct ronbus_event_shutdown {
	__u8 tag;
	__u8 reason;
	__u16 reserved;
	__u32 grace_ms;
};

/**
 * union ronbus_event - any event of the schema
 * @tag: the first byte of each
 * @health: RONBUS_EVENT_HEALTH
 * @config_updated: RONBUS_EVENT_CONFIG_UPDATED
 * @service_crashed: RONBUS_EVENT_SERVICE_CRASHED
 * @shutdown: RONBUS_EVENT_SHUTDOWN
 */
union ronbus_event {
	__u8 tag;
	struct ronbus_event_health health;
	struct ronbus_event_config_updated config_updated;
	struct ronbus_event_service_crashed service_crashed;
	struct ronbus_event_shutdown shutdown;
};

/* Bytes of a message, in the newest version of each. The first of Shutdown has one. */
#define RONBUS_EVENT_HEALTH_SIZE 24
#define RONBUS_EVENT_CONFIG_UPDATED_SIZE 16
#define RONBUS_EVENT_SERVICE_CRASHED_SIZE 8
#define RONBUS_EVENT_SHUTDOWN_SIZE 8
#define RONBUS_EVENT_SIZE_MAX 24

#ifdef RONBUS_EVENTS_CHECKED
/* The structures are part of the ABI as well. */
static_assert(sizeof(struct ronbus_event_health) == 24, "health");
static_assert(sizeof(struct ronbus_event_config_updated) == 16, "config_updated");
static_assert(sizeof(struct ronbus_event_service_crashed) == 8, "service_crashed");
static_assert(sizeof(struct ronbus_event_shutdown) == 8, "shutdown");
static_assert(sizeof(union ronbus_event) == 24, "event");
#endif

/* Compilers make one access of each of these where the machine can do it. */

/**
 * ronbus_event_put16() - store a number of 16 bits as events have it
 * @to: where, of any alignment
 * @value: the number
 */
static inline void ronbus_event_put16(void *to, __u16 value)
{
	__u8 *byte = (__u8 *)to;

	byte[0] = (__u8)value;
	byte[1] = (__u8)(value >> 8);
}

/**
 * ronbus_event_put32() - store a number of 32 bits as events have it
 * @to: where, of any alignment
 * @value: the number
 */
static inline void ronbus_event_put32(void *to, __u32 value)
{
	__u8 *byte = (__u8 *)to;

	byte[0] = (__u8)value;
	byte[1] = (__u8)(value >> 8);
	byte[2] = (__u8)(value >> 16);
	byte[3] = (__u8)(value >> 24);
}

/**
 * ronbus_event_put64() - store a number of 64 bits as events have it
 * @to: where, of any alignment
 * @value: the number
 */
static inline void ronbus_event_put64(void *to, __u64 value)
{
	__u8 *byte = (__u8 *)to;

	byte[0] = (__u8)value;
	byte[1] = (__u8)(value >> 8);
	byte[2] = (__u8)(value >> 16);
	byte[3] = (__u8)(value >> 24);
	byte[4] = (__u8)(value >> 32);
	byte[5] = (__u8)(value >> 40);
	byte[6] = (__u8)(value >> 48);
	byte[7] = (__u8)(value >> 56);
}

/**
 * ronbus_event_get16() - read a number of 16 bits as events have it
 * @from: where, of any alignment
 */
static inline __u16 ronbus_event_get16(const void *from)
{
	const __u8 *byte = (const __u8 *)from;

	return (__u16)(byte[0] | byte[1] << 8);
}

/**
 * ronbus_event_get32() - read a number of 32 bits as events have it
 * @from: where, of any alignment
 */
static inline __u32 ronbus_event_get32(const void *from)
{
	const __u8 *byte = (const __u8 *)from;

	return byte[0] | (__u32)byte[1] << 8 | (__u32)byte[2] << 16 | (__u32)byte[3] << 24;
}

/**
 * ronbus_event_get64() - read a number of 64 bits as events have it
 * @from: where, of any alignment
 */
static inline __u64 ronbus_event_get64(const void *from)
{
	const __u8 *byte = (const __u8 *)from;

	return byte[0] | (__u64)byte[1] << 8 | (__u64)byte[2] << 16 | (__u64)byte[3] << 24 |
	       (__u64)byte[4] << 32 | (__u64)byte[5] << 40 | (__u64)byte[6] << 48 |
	       (__u64)byte[7] << 56;
}

/**
 * ronbus_event_tag() - which event a message is
 * @data: the message
 * @len: its bytes
 *
 * Return: the tag, the application's own ones included; 0 if there is none.
 */
static inline __u8 ronbus_event_tag(const void *data, __u32 len)
{
	return len ? *(const __u8 *)data : 0;
}

/**
 * ronbus_event_size() - bytes of an event, its tag included
 * @tag: the tag
 *
 * Return: bytes, of the newest version; 0 for a tag that is not of this schema.
 */
static inline __u32 ronbus_event_size(__u8 tag)
{
	switch (tag) {
	case RONBUS_EVENT_HEALTH:
		return RONBUS_EVENT_HEALTH_SIZE;
	case RONBUS_EVENT_CONFIG_UPDATED:
		return RONBUS_EVENT_CONFIG_UPDATED_SIZE;
	case RONBUS_EVENT_SERVICE_CRASHED:
		return RONBUS_EVENT_SERVICE_CRASHED_SIZE;
	case RONBUS_EVENT_SHUTDOWN:
		return RONBUS_EVENT_SHUTDOWN_SIZE;
	}
	return 0;
}

/**
 * ronbus_event_encode() - make a message of an event of the schema
 * @to: where the message goes, of any alignment; RONBUS_EVENT_SIZE_MAX bytes are always enough
 * @size: bytes there
 * @event: the event
 *
 * Return: bytes of the message; 0 if they do not fit, or the tag is not of this schema, and then
 * nothing was written.
 */
static inline __u32 ronbus_event_encode(void *to, __u32 size, const union ronbus_event *event)
{
	__u32 len = ronbus_event_size(event->tag);
	__u8 *byte = (__u8 *)to;

	if (len > size)
		return 0;
	switch (event->tag) {
	case RONBUS_EVENT_HEALTH:
		byte[0] = RONBUS_EVENT_HEALTH;
		byte[1] = event->health.status;
		ronbus_event_put16(byte + 2, event->health.service);
		ronbus_event_put32(byte + 4, event->health.pid);
		ronbus_event_put64(byte + 8, event->health.rss);
		ronbus_event_put64(byte + 16, event->health.cpu_ns);
		break;
	case RONBUS_EVENT_CONFIG_UPDATED:
		ronbus_event_put64(byte, RONBUS_EVENT_CONFIG_UPDATED);
		ronbus_event_put64(byte + 8, event->config_updated.version);
		break;
	case RONBUS_EVENT_SERVICE_CRASHED:
		byte[0] = RONBUS_EVENT_SERVICE_CRASHED;
		byte[1] = event->service_crashed.reason;
		ronbus_event_put16(byte + 2, event->service_crashed.service);
		ronbus_event_put32(byte + 4, event->service_crashed.code);
		break;
	case RONBUS_EVENT_SHUTDOWN:
		byte[0] = RONBUS_EVENT_SHUTDOWN;
		byte[1] = event->shutdown.reason;
		ronbus_event_put16(byte + 2, 0);
		ronbus_event_put32(byte + 4, event->shutdown.grace_ms);
		break;
	}
	return len;
}

/**
 * ronbus_event_decode() - take an event of the schema out of a message
 * @event: filled; what the message does not have is zero
 * @data: the message, of any alignment
 * @len: its bytes
 *
 * What a newer version has after the body that this version knows is ignored.
 *
 * Return: the tag; 0 if it is not of this schema, or the message is too short for it, and then
 * @event is all zero.
 */
static inline __u8 ronbus_event_decode(union ronbus_event *event, const void *data, __u32 len)
{
	const __u8 *byte = (const __u8 *)data;
	__u8 tag = ronbus_event_tag(data, len);

	__builtin_memset(event, 0, sizeof(*event));
	switch (tag) {
	case RONBUS_EVENT_HEALTH:
		if (len < RONBUS_EVENT_HEALTH_SIZE)
			return 0;
		event->health.status = byte[1];
		event->health.service = ronbus_event_get16(byte + 2);
		event->health.pid = ronbus_event_get32(byte + 4);
		event->health.rss = ronbus_event_get64(byte + 8);
		event->health.cpu_ns = ronbus_event_get64(byte + 16);
		break;
	case RONBUS_EVENT_CONFIG_UPDATED:
		if (len < RONBUS_EVENT_CONFIG_UPDATED_SIZE)
			return 0;
		event->config_updated.version = ronbus_event_get64(byte + 8);
		break;
	case RONBUS_EVENT_SERVICE_CRASHED:
		if (len < RONBUS_EVENT_SERVICE_CRASHED_SIZE)
			return 0;
		event->service_crashed.reason = byte[1];
		event->service_crashed.service = ronbus_event_get16(byte + 2);
		event->service_crashed.code = ronbus_event_get32(byte + 4);
		break;
	case RONBUS_EVENT_SHUTDOWN: /* of the first version: a tag, and no more */
		if (len < RONBUS_EVENT_SHUTDOWN_SIZE)
			break;
		event->shutdown.reason = byte[1];
		event->shutdown.grace_ms = ronbus_event_get32(byte + 4);
		break;
	default:
		return 0;
	}
	event->tag = tag;
	return tag;
}

#endif /* _UAPI_RONBUS_EVENTS_H */
