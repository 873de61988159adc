// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * scrapee.c - an exporter of three buses with traffic on them, for a Prometheus server to scrape
 *
 * Prints where it listens, and ends with its input. All counters and delays grow with each reading,
 * and subscribers lag far.
 */
#include "test.h"

#include <stdbool.h>
#include <unistd.h>

#include "../server.h"

#define LAG 60 /* of 64 slots: there is an alert for that */

static __u64 readings;

static void grow(__u64 *words, size_t size)
{
	size_t i;

	for (i = 0; i < size / sizeof(*words); i++)
		words[i] += readings * (i + 1);
}

static int read_growing(struct source *source, struct snapshot *snapshot)
{
	struct bus_sample *bus;
	unsigned int i;
	int err = fake_read(source, snapshot);

	readings++;
	for (bus = snapshot->buses; bus < snapshot->buses + snapshot->count; bus++) {
		grow((__u64 *)&bus->stats.counters, sizeof(bus->stats.counters));
		grow((__u64 *)&bus->arm_to_wake, sizeof(bus->arm_to_wake));
		grow((__u64 *)&bus->wake_to_read, sizeof(bus->wake_to_read));
		for (i = 0; i < bus->subs_count; i++) {
			grow((__u64 *)&bus->subs[i].counters, sizeof(bus->subs[i].counters));
			bus->subs[i].cursor = bus->stats.tail - LAG;
		}
	}
	return err;
}

static const struct source_ops growing_ops = {
	.name = "bpf",
	.read = read_growing,
	.close = fake_close,
};
static struct source growing = { .ops = &growing_ops };

static int open_growing(const char *pin, struct source **source)
{
	(void)pin;
	*source = &growing;
	return 0;
}

static bool is_there(void)
{
	return true;
}

int main(void)
{
	const struct monitor_options options = {
		.where = RONBUS_EMBEDDED,
		.bpf = true,
		.module_is_there = is_there,
		.open_bpf = open_growing,
	};
	struct monitor *monitor;
	struct server *server;
	char where[64], c;
	int fd = server_listen("127.0.0.1:0", where, sizeof(where));

	fake.buses = 3;
	fake.subs = 2;
	if (fd < 0 || monitor_open(&options, &monitor))
		return 1;
	monitor_attach(monitor);
	if (server_start(fd, &SERVER_LIMITS, monitor, &server))
		return 1;
	puts(where);
	fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	server_stop(server);
	monitor_close(monitor);
	return 0;
}
