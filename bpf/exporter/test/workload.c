// SPDX-License-Identifier: GPL-2.0
/*
 * workload.c - a bus with traffic on it, and what the exporter has to say of it
 *
 * usage: workload NAME | workload --crowd
 *
 * Makes a bus that all may subscribe to, with a subscriber that keeps up and one that does not. For
 * each line of standard input it publishes some messages, and, when everything stands still, prints
 * what RONBUS_IOC_STATS says, as samples that have to be in /metrics; then a line "end". With the
 * line "leave" the one that does not keep up leaves instead, for good. A crowd is 64 buses with 64
 * subscribers each, which do nothing.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <libronbus.h>

#define CAPACITY 64
#define SINGLES 20
#define BATCH 100 /* more than the ring holds */

static struct ronbus *bus;
static struct ronbus_info info;
static struct ronbus_sub *fast, *slow;
static struct ronbus_pub *pub;

static void need(int ret, const char *what)
{
	if (ret >= 0)
		return;
	fprintf(stderr, "workload: %s: %s\n", what, ronbus_why(NULL, ret));
	exit(1);
}

static void *keep_up(void *arg)
{
	struct ronbus_msg msg;
	char text[64];

	while (ronbus_recv(fast, text, sizeof(text), &msg, -1) > 0)
		;
	return arg;
}

/* Until the subscriber that keeps up has gone to sleep after the last message. */
static void settle(void)
{
	struct ronbus_stats stats;

	do {
		usleep(1000);
		need(ronbus_stats(bus, ronbus_sub_index(fast), &stats), "stats");
	} while (!stats.armed || stats.cursor != stats.tail);
}

static void traffic(void)
{
	struct iovec vec[BATCH];
	char text[64];
	struct ronbus_msg msg;
	int i;

	for (i = 0; i < SINGLES; i++) {
		need(ronbus_publish(pub, 0, "message", 7), "publish");
		settle();
	}
	for (i = 0; i < BATCH; i++)
		vec[i] = (struct iovec){ "many", 4 };
	need(ronbus_publish_many(pub, 0, vec, BATCH), "publish_many");
	need(ronbus_publish_many(pub, 0, vec, 5), "publish_many");
	while (ronbus_try_recv(slow, text, sizeof(text), &msg) > 0)
		;
	need(ronbus_publish(pub, 0, "unread", 6), "publish");
	settle();
}

/* ---- what has to be in /metrics -------------------------------------------------------- */

static __u64 sum; /* of the histogram at hand */

static void print_histogram(const struct ronbus_counter *c)
{
	unsigned long from = strtoul(c->label, NULL, 10);

	sum = from == 1 ? c->value : sum + c->value;
	if (from == (strstr(c->name, "batch") ? 1024 : 64))
		printf("%s_bucket{bus=\"%s\",id=\"%llu\",le=\"+Inf\"} %llu\n", c->name, info.name,
		       info.id, sum);
	else
		printf("%s_bucket{bus=\"%s\",id=\"%llu\",le=\"%lu\"} %llu\n", c->name, info.name,
		       info.id, 2 * from - 1, sum);
}

/* Of the bus everything; of a subscriber what it has counted. */
static void print_counter(void *arg, const struct ronbus_counter *c)
{
	const unsigned int *which = arg;
	int of_bus = *which == RONBUS_STATS_BUS;
	const char *name = c->name + strlen("bus_");

	if (of_bus && c->key && !strcmp(c->key, "from")) {
		print_histogram(c);
		return;
	}
	if (!of_bus && (!c->value || !strcmp(name, "cap_selected")))
		return;
	if (!of_bus && !strncmp(name, "sub_", 4))
		name += 4;
	printf("bus_%s%s{bus=\"%s\",id=\"%llu\"", of_bus ? "" : "sub_", name, info.name, info.id);
	if (!of_bus)
		printf(",sub=\"%u\"", *which);
	if (c->key)
		printf(",%s=\"%s\"", c->key, c->label);
	printf("} %llu\n", c->value);
}

static void print_stats(unsigned int which)
{
	struct ronbus_stats stats;

	need(ronbus_stats(bus, which, &stats), "stats");
	ronbus_counters_each(&stats, print_counter, &which);
	if (which != RONBUS_STATS_BUS)
		printf("bus_sub_lag{bus=\"%s\",id=\"%llu\",sub=\"%u\"} %llu\n", info.name, info.id,
		       which, stats.tail - stats.cursor);
}

static int crowd(void)
{
	const struct rlimit files = { 8192, 8192 };
	struct ronbus_options options = { .capacity = RONBUS_CAPACITY_MIN };
	struct ronbus_sub *sub;
	int buses, subs, c;

	need(setrlimit(RLIMIT_NOFILE, &files), "setrlimit");
	for (buses = 0; buses < 64; buses++) {
		need(ronbus_create(NULL, &options, &bus), "create");
		for (subs = 0; subs < RONBUS_SUBSCRIBERS_MAX; subs++)
			need(ronbus_subscribe(bus, NULL, &sub), "subscribe");
	}
	puts("end");
	fflush(stdout);
	while ((c = getchar()) != EOF)
		;
	return 0;
}

int main(int argc, char **argv)
{
	struct ronbus_options options = {
		.mode = 0666,
		.capacity = CAPACITY,
		.features = RONBUS_F_EDGE_NOTIFY | RONBUS_F_BATCH | RONBUS_F_METRICS_BUF,
	};
	pthread_t thread;
	char line[64];

	if (argc != 2)
		return 2;
	if (!strcmp(argv[1], "--crowd"))
		return crowd();
	options.name = argv[1];
	need(ronbus_create(NULL, &options, &bus), "create");
	need(ronbus_bus_info(bus, &info), "info");
	need(ronbus_publisher(bus, 0, &pub), "publisher");
	need(ronbus_subscribe(bus, NULL, &fast), "subscribe");
	need(ronbus_subscribe(bus, NULL, &slow), "subscribe");
	need(-pthread_create(&thread, NULL, keep_up, NULL), "thread");
	settle();
	while (fgets(line, sizeof(line), stdin)) {
		if (!strcmp(line, "leave\n")) {
			ronbus_sub_close(slow);
			puts("end");
			fflush(stdout);
			continue;
		}
		traffic();
		print_stats(RONBUS_STATS_BUS);
		print_stats(ronbus_sub_index(fast));
		print_stats(ronbus_sub_index(slow));
		puts("end");
		fflush(stdout);
	}
	return 0;
}
