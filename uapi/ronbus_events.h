/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * ronbus_events.h - what the common events of a supervised system look like on a bus
 *
 * A bus carries bytes. This header is a convention for those who publish and those who read: an
 * event is one message; its first byte, the tag, says which of the bodies below it is. Bodies are
 * fixed and small (each fits one cache line together with the head of its slot), in the byte order
 * of the machine, which a bus never leaves. Services are known by a number that the application
 * gives them. Nothing here concerns the kernel: to the module every message is bytes.
 *
 * How the schema may change, so that old and new programs can share a bus:
 *
 *  - A reader ignores events whose tag it does not know, and bytes behind those it knows.
 *  - A body grows only at its end. A reader takes what an older writer did not send as zero.
 *  - What is reserved is written as zero and not looked at. A tag is never used again for
 *    something else.
 *  - Tags below RONBUS_EVENT_USER and topics below RONBUS_TOPIC_USER belong to this schema, the
 *    others to the application. Tag 0 is no event: that is what zeroed memory says.
 */
#ifndef _UAPI_RONBUS_EVENTS_H
#define _UAPI_RONBUS_EVENTS_H

#include <linux/types.h>

#ifdef __KERNEL__
#include <linux/build_bug.h>
#include <linux/string.h>
#elif defined(__bpf__) /* which has no C library */
#define memcpy __builtin_memcpy
#define memset __builtin_memset
#else
#include <assert.h>
#include <string.h>
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
 * @code: exit status, number of the signal, or milliseconds waited in vain
 */
struct ronbus_event_service_crashed {
	__u8 tag;
	__u8 reason;
	__u16 service;
	__u32 code;
};

/**
 * struct ronbus_event_shutdown - RONBUS_EVENT_SHUTDOWN
 * @tag: the tag
 */
struct ronbus_event_shutdown {
	__u8 tag;
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

#ifndef __bpf__
/* The schema, pinned. */
static_assert(sizeof(struct ronbus_event_health) == 24, "health");
static_assert(sizeof(struct ronbus_event_config_updated) == 16, "config_updated");
static_assert(sizeof(struct ronbus_event_service_crashed) == 8, "service_crashed");
static_assert(sizeof(struct ronbus_event_shutdown) == 1, "shutdown");
static_assert(sizeof(union ronbus_event) == 24, "event");
#endif

/**
 * ronbus_event_size() - bytes of an event's body, its tag included
 * @tag: the tag
 *
 * Return: bytes, or 0 for a tag that is not of this schema.
 */
static inline __u32 ronbus_event_size(__u8 tag)
{
	switch (tag) {
	case RONBUS_EVENT_HEALTH:
		return sizeof(struct ronbus_event_health);
	case RONBUS_EVENT_CONFIG_UPDATED:
		return sizeof(struct ronbus_event_config_updated);
	case RONBUS_EVENT_SERVICE_CRASHED:
		return sizeof(struct ronbus_event_service_crashed);
	case RONBUS_EVENT_SHUTDOWN:
		return sizeof(struct ronbus_event_shutdown);
	}
	return 0;
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
 * ronbus_event_encode() - make a message of an event of the schema
 * @to: where the message goes
 * @size: bytes there
 * @event: the event
 *
 * Return: bytes of the message; 0 if they do not fit, or the tag is not of this schema.
 */
static inline __u32 ronbus_event_encode(void *to, __u32 size, const union ronbus_event *event)
{
	__u32 len = ronbus_event_size(event->tag);

	if (len > size)
		return 0;
	memcpy(to, event, len);
	return len;
}

/**
 * ronbus_event_decode() - take an event of the schema out of a message
 * @event: filled; what the message does not have is zero
 * @data: the message, of any alignment
 * @len: its bytes
 *
 * Every body is of its first version so far, and a message that is shorter is no event.
 *
 * Return: the tag; 0 if it is not of this schema, or the message is too short for it.
 */
static inline __u8 ronbus_event_decode(union ronbus_event *event, const void *data, __u32 len)
{
	__u8 tag = ronbus_event_tag(data, len);
	__u32 size = ronbus_event_size(tag);

	memset(event, 0, sizeof(*event));
	if (!size || len < size)
		return 0;
	memcpy(event, data, size);
	return tag;
}

#endif /* _UAPI_RONBUS_EVENTS_H */
