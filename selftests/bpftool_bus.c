// SPDX-License-Identifier: GPL-2.0
/*
 * bpftool_bus.c - a bus at work, for bpftool_test
 *
 * Makes a bus, fd 40, with a publisher and two subscribers. For each line of standard input it
 * sends one subscriber to sleep and wakes it, overtakes both, and prints "worked"; at the end of
 * input everything goes.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ronbus.h"

#define SLOTS 8

static int must(int ret, const char *what)
{
	if (ret < 0) {
		fprintf(stderr, "bpftool_bus: %s: %s\n", what, strerror(errno));
		exit(1);
	}
	return ret;
}

static void publish(int pub, unsigned int messages)
{
	struct ronbus_vec vec[SLOTS + 1] = { 0 };
	struct ronbus_publish args = { .vec = (__u64)(unsigned long)vec, .count = messages };

	must(ioctl(pub, RONBUS_IOC_PUBLISH, &args), "PUBLISH");
}

static void read_all(int sub)
{
	char record[sizeof(struct ronbus_record) + RONBUS_PAYLOAD_DEFAULT];

	while (read(sub, record, sizeof(record)) > 0)
		;
}

int main(void)
{
	struct ronbus_create create = { .features = RONBUS_F_EDGE_NOTIFY | RONBUS_F_BATCH,
					.flags = RONBUS_BUS_PERSISTENT,
					.capacity = SLOTS,
					.name = "bpftool-test" };
	struct ronbus_subscribe subscribe;
	struct ronbus_publisher publisher = { 0 };
	int control = must(open("/dev/ronbus", O_RDWR), "/dev/ronbus");
	int bus = must(ioctl(control, RONBUS_IOC_CREATE, &create), "CREATE");
	int pub = must(ioctl(bus, RONBUS_IOC_PUBLISHER, &publisher), "PUBLISHER");
	int subs[2], i;
	struct pollfd p;
	char line[16];

	for (i = 0; i < 2; i++) {
		subscribe = (struct ronbus_subscribe){ .topics = ~0ULL };
		subs[i] = must(ioctl(bus, RONBUS_IOC_SUBSCRIBE, &subscribe), "SUBSCRIBE");
		must(fcntl(subs[i], F_SETFL, O_NONBLOCK), "O_NONBLOCK");
	}
	p = (struct pollfd){ .fd = subs[0], .events = POLLIN };
	must(dup2(bus, 40), "dup2"); /* where the test looks for its fdinfo */
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready\n");
	while (fgets(line, sizeof(line), stdin)) {
		must(poll(&p, 1, 0), "poll");
		publish(pub, 1);
		must(poll(&p, 1, 0), "poll");
		publish(pub, SLOTS + 1);
		read_all(subs[0]);
		read_all(subs[1]);
		printf("worked\n");
	}
	return 0;
}
