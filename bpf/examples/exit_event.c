// SPDX-License-Identifier: GPL-2.0
/*
 * exit_event.c - print which services crash
 *
 *	exit_event NAME...
 *
 * Makes a bus, has the programs of exit_event.bpf.c publish on it when a process of one of these
 * names crashes, and reads it. Any other program may read it too: attach to "exit-events".
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "ronbus.h"
#include "ronbus_events.h"
#include "exit_event.h"
#include "exit_event.skel.h"

static int must(int ret, const char *what)
{
	if (ret < 0) {
		fprintf(stderr, "exit_event: %s: %s\n", what, strerror(errno));
		exit(1);
	}
	return ret;
}

static void print_event(const struct ronbus_record *record, char *const *names)
{
	union ronbus_event event;

	if (ronbus_event_decode(&event, record + 1, record->len) != RONBUS_EVENT_SERVICE_CRASHED)
		return;
	printf("%s: %s %u\n", names[event.service_crashed.service],
	       event.service_crashed.reason == RONBUS_CRASH_SIGNAL ? "signal" : "exit status",
	       event.service_crashed.code);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct ronbus_create create = { .flags = RONBUS_BUS_PERSISTENT, .name = "exit-events" };
	struct ronbus_publisher publisher = { .flags = RONBUS_PUBLISHER_BPF };
	struct ronbus_subscribe subscribe = { .topics = ~0ULL };
	union {
		struct ronbus_record record;
		char bytes[sizeof(struct ronbus_record) + RONBUS_PAYLOAD_DEFAULT];
	} in;
	struct exit_event *skel;
	int control, bus, sub, i;

	if (argc < 2) {
		fprintf(stderr, "usage: exit_event NAME...\n");
		return 2;
	}
	control = must(open("/dev/ronbus", O_RDWR | O_CLOEXEC), "/dev/ronbus");
	bus = must(ioctl(control, RONBUS_IOC_CREATE, &create), "exit-events");
	/* Open as long as programs publish: the end of this process is the end of that. */
	must(ioctl(bus, RONBUS_IOC_PUBLISHER, &publisher), "a publisher for BPF programs");
	sub = must(ioctl(bus, RONBUS_IOC_SUBSCRIBE, &subscribe), "a subscriber");

	skel = exit_event__open_and_load();
	if (!skel)
		return 1; /* and libbpf has said why */
	for (i = 1; i < argc; i++) {
		struct exit_event_service service = { .token = publisher.token,
						      .number = (__u16)i };
		struct exit_event_key key = { 0 };

		memcpy(key.comm, argv[i], strnlen(argv[i], sizeof(key.comm) - 1));
		must(bpf_map_update_elem(bpf_map__fd(skel->maps.services), &key, &service, BPF_ANY),
		     argv[i]);
	}
	must(exit_event__attach(skel), "attaching");
	printf("watching\n");
	fflush(stdout);

	while (must((int)read(sub, &in, sizeof(in)), "read") > 0)
		print_event(&in.record, argv);
	return 0;
}
