// SPDX-License-Identifier: MIT
/*
 * events.c - events of the schema, and one of the application's own, between programs of different
 * versions; in one process, needs neither the module nor privileges
 */
#include <stdio.h>
#include <libronbus.h>
#include <ronbus/ronbus_events.h>

/*
 * An event of our own: its tag, where its numbers are, and how long it is. When it grows, at its
 * end, READING_SIZE stays the least that is accepted.
 */
enum {
	EVENT_READING = RONBUS_EVENT_USER + 7,
	TOPIC_READING = RONBUS_TOPIC_USER
};
#define READING_SENSOR 2 /* 16 bits */
#define READING_MILLIDEGREES 4 /* 32 bits */
#define READING_SIZE 8

static void publish_reading(struct ronbus_pub *pub, __u16 sensor, __u32 millidegrees)
{
	unsigned char message[READING_SIZE] = { EVENT_READING };

	ronbus_event_put16(message + READING_SENSOR, sensor);
	ronbus_event_put32(message + READING_MILLIDEGREES, millidegrees);
	ronbus_publish(pub, TOPIC_READING, message, sizeof(message));
}

static void publish_event(struct ronbus_pub *pub, unsigned int topic, union ronbus_event *event)
{
	unsigned char message[RONBUS_EVENT_SIZE_MAX];
	__u32 len = ronbus_event_encode(message, sizeof(message), event);

	ronbus_publish(pub, topic, message, len);
}

static void print(const struct ronbus_msg *msg)
{
	const unsigned char *bytes = msg->data;
	union ronbus_event event;

	switch (ronbus_event_decode(&event, bytes, msg->len)) {
	case RONBUS_EVENT_HEALTH:
		printf("Health: service %u, status %u, %llu bytes\n", event.health.service,
		       event.health.status, event.health.rss);
		return;
	case RONBUS_EVENT_SHUTDOWN:
		printf("Shutdown: reason %u, %u ms left\n", event.shutdown.reason,
		       event.shutdown.grace_ms);
		return;
	}
	if (ronbus_event_tag(bytes, msg->len) == EVENT_READING && msg->len >= READING_SIZE)
		printf("Reading: sensor %u, %u millidegrees\n",
		       ronbus_event_get16(bytes + READING_SENSOR),
		       ronbus_event_get32(bytes + READING_MILLIDEGREES));
	else
		printf("tag %u: not for us\n", ronbus_event_tag(bytes, msg->len));
}

int main(void)
{
	static const unsigned char old_shutdown[] = { RONBUS_EVENT_SHUTDOWN };
	static const unsigned char to_come[] = { RONBUS_EVENT_USER - 1, 1, 2, 3 };
	union ronbus_event health = { .health = { .tag = RONBUS_EVENT_HEALTH,
						  .service = 3,
						  .status = RONBUS_HEALTH_DEGRADED,
						  .rss = 2424832 } };
	union ronbus_event shutdown = { .shutdown = { .tag = RONBUS_EVENT_SHUTDOWN,
						      .reason = RONBUS_SHUTDOWN_UPGRADE,
						      .grace_ms = 5000 } };
	unsigned char buffer[RONBUS_PAYLOAD_DEFAULT];
	struct ronbus *bus;
	struct ronbus_pub *pub;
	struct ronbus_sub *sub;
	struct ronbus_msg msg;
	int err;

	err = ronbus_create(RONBUS_EMBEDDED, NULL, &bus);
	if (!err)
		err = ronbus_subscribe(bus, NULL, &sub);
	if (!err)
		err = ronbus_publisher(bus, 0, &pub);
	if (err) {
		fprintf(stderr, "events: %s\n", ronbus_why(RONBUS_EMBEDDED, err));
		return 1;
	}
	publish_event(pub, RONBUS_TOPIC_HEALTH, &health);
	publish_reading(pub, 12, 21500);
	ronbus_publish(pub, RONBUS_TOPIC_OPERATIONS, to_come, sizeof(to_come));
	ronbus_publish(pub, RONBUS_TOPIC_OPERATIONS, old_shutdown, sizeof(old_shutdown));
	publish_event(pub, RONBUS_TOPIC_OPERATIONS, &shutdown);
	ronbus_pub_close(pub);
	while (ronbus_recv(sub, buffer, sizeof(buffer), &msg, -1) == RONBUS_MESSAGE)
		print(&msg);
	ronbus_sub_close(sub);
	ronbus_close(bus);
	return 0;
}
