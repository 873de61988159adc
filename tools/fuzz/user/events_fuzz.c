// SPDX-License-Identifier: GPL-2.0
/*
 * events_fuzz.c - ronbus_events.h on any bytes, against a decoder that goes by a table
 */
#include "input.h"

#include <ronbus/ronbus_events.h>

/* Members of each event: where in the message, how long, where in the union. */
static const struct {
	uint8_t tag, size, least;
	struct {
		uint8_t at, bytes, to;
	} member[4];
} events[] = {
#define TO(member) offsetof(union ronbus_event, member)
	{ RONBUS_EVENT_HEALTH,
	  24,
	  24,
	  { { 1, 1, TO(health.status) },
	    { 2, 2, TO(health.service) },
	    { 4, 4, TO(health.pid) },
	    { 8, 8, TO(health.rss) } } },
	{ RONBUS_EVENT_CONFIG_UPDATED, 16, 16, { { 8, 8, TO(config_updated.version) } } },
	{ RONBUS_EVENT_SERVICE_CRASHED,
	  8,
	  8,
	  { { 1, 1, TO(service_crashed.reason) },
	    { 2, 2, TO(service_crashed.service) },
	    { 4, 4, TO(service_crashed.code) } } },
	{ RONBUS_EVENT_SHUTDOWN,
	  8,
	  1,
	  { { 1, 1, TO(shutdown.reason) }, { 4, 4, TO(shutdown.grace_ms) } } },
};

/* The machines this runs on have the byte order of the message. */
static uint8_t expect(union ronbus_event *event, const uint8_t *data, size_t size)
{
	size_t i, m;

	memset(event, 0, sizeof(*event));
	for (i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		if (!size || data[0] != events[i].tag)
			continue;
		if (size < events[i].least)
			return 0;
		for (m = 0; m < 4 && size >= events[i].size; m++)
			memcpy((char *)event + events[i].member[m].to,
			       data + events[i].member[m].at, events[i].member[m].bytes);
		if (events[i].tag == RONBUS_EVENT_HEALTH)
			memcpy(&event->health.cpu_ns, data + 16, 8);
		event->tag = events[i].tag;
		return event->tag;
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	union ronbus_event event, again, expected;
	uint8_t *copy = malloc(size ? size : 1); /* of no alignment, and watched */
	uint8_t message[RONBUS_EVENT_SIZE_MAX];
	uint8_t tag;
	__u32 len, room;

	must(copy);
	memcpy(copy, data, size);
	tag = ronbus_event_decode(&event, copy, (__u32)size);
	must(tag == expect(&expected, data, size));
	must(!memcmp(&event, &expected, sizeof(event)));
	must(ronbus_event_tag(copy, (__u32)size) == (size ? data[0] : 0));
	if (tag) {
		len = ronbus_event_encode(message, sizeof(message), &event);
		must(len == ronbus_event_size(tag) && len <= sizeof(message));
		must(ronbus_event_decode(&again, message, len) == tag);
		must(!memcmp(&event, &again, sizeof(event)));
	}
	/* Any union into any room. */
	memcpy(&event, data, size < sizeof(event) ? size : sizeof(event));
	room = size ? data[size - 1] % 40 : 0;
	free(copy);
	copy = malloc(room ? room : 1);
	must(copy);
	must(ronbus_event_encode(copy, room, &event) <= room);
	free(copy);
	return 0;
}
