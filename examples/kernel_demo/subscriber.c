// SPDX-License-Identifier: MIT
/*
 * subscriber.c - the subscribers of the bus: one process each
 *
 * Every subscriber is sent everything, looks at the tag, and prints what it is there for.
 */
#include "demo.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SLOW_MESSAGES 16 /* that many, and then it sleeps */
#define SLOW_SLEEP_MS 1000

static const char *const roles[ROLES] = {
	[ROLE_HEALTH] = "health",
	[ROLE_OPS] = "ops",
	[ROLE_LOG] = "log",
	[ROLE_SLOW] = "slow",
};

static const unsigned int hues[ROLES] = {
	[ROLE_HEALTH] = 32,
	[ROLE_OPS] = 33,
	[ROLE_LOG] = 36,
	[ROLE_SLOW] = 35,
};

const char *role_name(unsigned int role)
{
	return role < ROLES ? roles[role] : NULL;
}

static void show_health(const struct ronbus_event_health *event)
{
	static const char *const status[] = { "ok", "degraded", "down" };

	say("%-7s %-5s pid %-6u rss %5llu KiB   cpu %5llu ms", service_name(event->service),
	    event->status < ARRAY_SIZE(status) ? status[event->status] : "?", event->pid,
	    event->rss / 1024, event->cpu_ns / 1000000);
}

static void show_crash(const struct ronbus_event_service_crashed *event)
{
	switch (event->reason) {
	case RONBUS_CRASH_SIGNAL:
		say("ServiceCrashed: %s, by signal %u (%s)", service_name(event->service),
		    event->code, strsignal((int)event->code));
		break;
	case RONBUS_CRASH_EXIT:
		say("ServiceCrashed: %s, with exit status %u", service_name(event->service),
		    event->code);
		break;
	default:
		say("ServiceCrashed: %s, for reason %u (%u)", service_name(event->service),
		    event->reason, event->code);
	}
}

/* An event of the schema. */
static enum kind handle_event(const struct subscriber_args *args, const union ronbus_event *event)
{
	switch (event->tag) {
	case RONBUS_EVENT_HEALTH:
		if (args->role == ROLE_HEALTH)
			show_health(&event->health);
		return KIND_HEALTH;
	case RONBUS_EVENT_CONFIG_UPDATED:
		if (args->role == ROLE_OPS)
			say("ConfigUpdated: version %llu", event->config_updated.version);
		TALLY_SET(&args->tally->config_version, event->config_updated.version);
		return KIND_CONFIG;
	case RONBUS_EVENT_SERVICE_CRASHED:
		if (args->role == ROLE_OPS)
			show_crash(&event->service_crashed);
		return KIND_CRASH;
	case RONBUS_EVENT_SHUTDOWN:
		if (args->role == ROLE_OPS)
			say("Shutdown");
		return KIND_SHUTDOWN;
	}
	return KIND_OTHER;
}

static enum kind handle_log(const struct subscriber_args *args, const struct ronbus_msg *msg)
{
	const struct log_event *event = msg->data;
	const char *text = (const char *)(event + 1);
	size_t len;

	if (msg->len < sizeof(*event))
		return KIND_OTHER;
	len = msg->len - sizeof(*event);
	if (args->role == ROLE_LOG)
		say("<%u> %.*s%s", event->level, (int)len, text, event->cut ? "..." : "");
	if (args->tally->mark[0] && memmem(text, len, args->tally->mark, strlen(args->tally->mark)))
		TALLY_ADD(&args->tally->marks, 1);
	return KIND_LOG;
}

static enum kind handle(const struct subscriber_args *args, const struct ronbus_msg *msg)
{
	union ronbus_event event;

	if (ronbus_event_decode(&event, msg->data, msg->len))
		return handle_event(args, &event);
	switch (ronbus_event_tag(msg->data, msg->len)) {
	case EVENT_LOG:
		return handle_log(args, msg);
	case EVENT_BURST:
		return KIND_BURST;
	}
	return KIND_OTHER; /* of a later version, or of others: not an error */
}

static bool ended(struct ronbus *bus)
{
	struct ronbus_info info;

	return !ronbus_bus_info(bus, &info) && info.status & RONBUS_STATUS_ENDED;
}

/* What makes `slow` slow. Once the bus has ended there is nobody to be slower than. */
static void be_slow(struct ronbus *bus, const struct ronbus_msg *msg)
{
	const struct timespec nap = {
		.tv_sec = SLOW_SLEEP_MS / 1000,
		.tv_nsec = SLOW_SLEEP_MS % 1000 * 1000000,
	};
	static unsigned int since;

	if (++since < SLOW_MESSAGES || ended(bus))
		return;
	since = 0;
	say("read %d messages, up to position %llu; sleeps for %d ms, on purpose", SLOW_MESSAGES,
	    msg->position, SLOW_SLEEP_MS);
	nanosleep(&nap, NULL);
}

/* A line for each message: its topic, and its bytes. */
static void record(FILE *to, const struct ronbus_msg *msg)
{
	const unsigned char *byte = msg->data;
	__u32 i;

	if (!to)
		return;
	fprintf(to, "%u ", msg->topic);
	for (i = 0; i < msg->len; i++)
		fprintf(to, "%02x", byte[i]);
	fputc('\n', to);
}

/* Until the bus ends. */
static int receive(const struct subscriber_args *args, struct ronbus *bus, struct ronbus_sub *sub,
		   FILE *recording)
{
	struct tally *tally = args->tally;
	__u64 buffer[PAYLOAD / 8], next = 0;
	struct ronbus_msg msg;
	int ret;

	for (;;) {
		ret = ronbus_recv(sub, buffer, sizeof(buffer), &msg, -1);
		switch (ret) {
		case RONBUS_MESSAGE:
			if (msg.position < next)
				TALLY_ADD(&tally->disorder, 1);
			next = msg.position + 1;
			TALLY_ADD(&tally->seen[handle(args, &msg)], 1);
			record(recording, &msg);
			if (args->role == ROLE_SLOW)
				be_slow(bus, &msg);
			break;
		case RONBUS_LAGGED:
			TALLY_ADD(&tally->lost, msg.lost);
			say_loud(
				"overtaken: exactly %llu messages lost; goes on with position %llu",
				msg.lost, msg.position);
			TALLY_ADD(&tally->lags, 1);
			break;
		case RONBUS_CLOSED:
			return 0;
		case -EINTR:
			break;
		default:
			say_bad("cannot receive: %s", ronbus_why(args->options->where, ret));
			return 1;
		}
	}
}

static void wait_to_be_dismissed(void)
{
	sigset_t set;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigwait(&set, &sig);
}

static void say_goodbye(const struct tally *tally)
{
	__u64 read = 0;
	unsigned int i;

	for (i = 0; i < KINDS; i++)
		read += tally->seen[i];
	say("end of the bus: %llu messages read, %llu lost", read, tally->lost);
}

int subscriber_run(const void *arg)
{
	struct subscriber_args args = *(const struct subscriber_args *)arg;
	const struct options *options = args.options;
	struct tally own = { 0 };
	FILE *recording = NULL;
	struct ronbus_sub *sub;
	struct ronbus *bus;
	int err;

	say_as(roles[args.role], hues[args.role]);
	if (!args.tally)
		args.tally = &own;
	if (options->record && args.role == ROLE_OPS) {
		recording = fopen(options->record, "we");
		if (!recording) {
			say_bad("cannot write %s: %s", options->record, strerror(errno));
			return 1;
		}
	}
	err = ronbus_attach(options->where, options->name, RONBUS_ACCESS_SUBSCRIBE, &bus);
	if (err) {
		say_bad("cannot attach to bus \"%s\": %s", options->name,
			ronbus_why(options->where, err));
		return 1;
	}
	err = ronbus_subscribe(bus, NULL, &sub);
	if (err) {
		say_bad("cannot subscribe: %s", ronbus_why(options->where, err));
		ronbus_close(bus);
		return 1;
	}
	say("is subscriber %u, and reads from position %llu on", ronbus_sub_index(sub),
	    ronbus_sub_position(sub));
	TALLY_SET(&args.tally->index, ronbus_sub_index(sub));
	TALLY_SET(&args.tally->joined, 1);

	err = receive(&args, bus, sub, recording);
	if (recording && fclose(recording))
		say_bad("cannot write %s", options->record);
	if (!err)
		say_goodbye(args.tally);
	TALLY_SET(&args.tally->ended, 1);
	/* A subscriber's counters go with it: the supervisor wants to see them first. */
	if (args.tally != &own)
		wait_to_be_dismissed();
	ronbus_sub_close(sub);
	ronbus_close(bus);
	return err;
}
