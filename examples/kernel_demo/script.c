// SPDX-License-Identifier: MIT
/*
 * script.c - what happens in the demo, step by step, and what has to come of it
 */
#include "demo.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 15000 /* for anything; an emulated machine is slow */
#define OBSERVE_MS 60000
#define BURSTS 3

static void pause_for_the_reader(struct supervisor *sup)
{
	RUN_UNTIL(sup, false, 600);
}

static __u64 seen(const struct supervisor *sup, enum role role, enum kind kind)
{
	return TALLY_GET(&sup->tallies[role].seen[kind]);
}

static bool get_stats(struct supervisor *sup, unsigned int which, struct ronbus_stats *stats)
{
	int err = ronbus_stats(sup->bus, which, stats);

	if (err)
		expect(sup, false, "no counters: %s", ronbus_why(sup->options->where, err));
	return !err;
}

/* Has this subscriber read everything, and printed it? */
static bool caught_up(struct supervisor *sup, enum role role)
{
	const struct tally *tally = &sup->tallies[role];
	struct ronbus_stats stats;
	__u64 handled = 0;
	unsigned int i;

	for (i = 0; i < KINDS; i++)
		handled += TALLY_GET(&tally->seen[i]);
	return get_stats(sup, tally->index, &stats) && stats.cursor == stats.tail &&
	       handled == stats.counters.delivered_total;
}

/* All but the one that is slow. */
static bool all_caught_up(struct supervisor *sup)
{
	return caught_up(sup, ROLE_HEALTH) && caught_up(sup, ROLE_OPS) && caught_up(sup, ROLE_LOG);
}

static void nobody_listens(struct supervisor *sup)
{
	union ronbus_event event = { .tag = RONBUS_EVENT_SHUTDOWN };
	int ret = supervisor_publish(sup, KIND_SHUTDOWN, &event);

	expect(sup, ret == 0, "a message was for %d subscribers, and there are none", ret);
	say("ronbus_publish() returned %d", ret);
}

static bool all_joined(struct supervisor *sup)
{
	unsigned int i;

	for (i = 0; i < ROLES; i++)
		if (!TALLY_GET(&sup->tallies[i].joined))
			return false;
	return true;
}

static unsigned int sleepers(struct supervisor *sup)
{
	struct ronbus_stats stats;

	if (!get_stats(sup, RONBUS_STATS_BUS, &stats))
		return 0;
	return (unsigned int)__builtin_popcountll(stats.armed);
}

static void subscribers_join(struct supervisor *sup)
{
	unsigned int role;
	int err;

	for (role = 0; role < ROLES; role++) {
		struct subscriber_args args = {
			.options = sup->options,
			.role = (enum role)role,
			.tally = &sup->tallies[role],
		};

		err = child_start(sup, &sup->subscribers[role], role_name(role), subscriber_run,
				  &args);
		expect(sup, !err, "cannot start %s: %s", role_name(role), strerror(-err));
	}
	expect(sup, RUN_UNTIL(sup, all_joined(sup), PATIENCE_MS), "not all subscribers joined");
	expect(sup, RUN_UNTIL(sup, sleepers(sup) >= ROLES, PATIENCE_MS),
	       "%u subscribers sleep, not %d", sleepers(sup), ROLES);
	say("all of them sleep in the kernel, and use no CPU until a message wakes them");
}

static void services_start(struct supervisor *sup)
{
	int err = supervisor_start_services(sup);

	expect(sup, !err, "cannot start a service: %s", strerror(-err));
	expect(sup,
	       RUN_UNTIL(sup, seen(sup, ROLE_HEALTH, KIND_HEALTH) >= 2 * SERVICES, PATIENCE_MS),
	       "health was not told of the services");
}

/* One write is one line; without the newline the kernel would wait for more of it. */
static int write_log(const char *mark)
{
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	char line[128];
	int len, err = 0;

	if (fd < 0)
		return -errno;
	len = snprintf(line, sizeof(line), "<6>%s: hello from a process\n", mark);
	if (write(fd, line, (size_t)len) < 0)
		err = -errno;
	close(fd);
	return err;
}

static void kernel_log(struct supervisor *sup)
{
	const char *mark = sup->tallies[ROLE_LOG].mark;
	int err = sup->kmsg_err ? sup->kmsg_err : write_log(mark);

	/* In a container it may be forbidden, or not there. */
	if (err == -EACCES || err == -EPERM || err == -ENOENT) {
		say("skipped, for this process may not use /dev/kmsg: %s", strerror(-err));
		return;
	}
	expect(sup, !err, "cannot use /dev/kmsg: %s", strerror(-err));
	expect(sup, RUN_UNTIL(sup, TALLY_GET(&sup->tallies[ROLE_LOG].marks), PATIENCE_MS),
	       "a line written to /dev/kmsg did not reach log");
}

static bool touch(const char *name)
{
	int fd = open(name, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && !futimens(fd, NULL);

	if (fd >= 0)
		close(fd);
	return done;
}

static void expect_version(struct supervisor *sup, __u64 version)
{
	expect(sup,
	       RUN_UNTIL(sup, TALLY_GET(&sup->tallies[ROLE_OPS].config_version) == version,
			 PATIENCE_MS),
	       "ops was not told of configuration version %llu", version);
}

static void configuration(struct supervisor *sup)
{
	const char *name = sup->options->config;

	expect(sup, config_replace(name, 500), "cannot write %s", name);
	expect_version(sup, 2);
	pause_for_the_reader(sup);
	expect(sup, touch(name), "cannot touch %s", name);
	expect_version(sup, 3);
}

static void crash(struct supervisor *sup)
{
	struct service *hasher = &sup->services[SERVICE_HASHER];
	__u64 rounds;

	say("hands hasher (pid %d) what its bug is waiting for", hasher->child.pid);
	child_kill(&hasher->child, SIGUSR1);
	expect(sup, RUN_UNTIL(sup, seen(sup, ROLE_OPS, KIND_CRASH) == 1, PATIENCE_MS),
	       "ops was not told of the crash");
	expect(sup, hasher->child.code != CLD_EXITED && hasher->child.status == SIGSEGV,
	       "hasher did not die of SIGSEGV");
	expect(sup, RUN_UNTIL(sup, hasher->starts == 2 && hasher->child.pid, PATIENCE_MS),
	       "hasher was not restarted");
	rounds = seen(sup, ROLE_HEALTH, KIND_HEALTH) / SERVICES + 2;
	RUN_UNTIL(sup, seen(sup, ROLE_HEALTH, KIND_HEALTH) / SERVICES >= rounds, PATIENCE_MS);
}

/* The position at which all but the slow one wait though there are messages after it, or 0. */
static __u64 standstill(struct supervisor *sup)
{
	struct ronbus_stats stats;
	__u64 position = 0;
	unsigned int role;

	for (role = 0; role < ROLES; role++) {
		if (role == ROLE_SLOW)
			continue;
		if (!get_stats(sup, sup->tallies[role].index, &stats) || !stats.armed ||
		    stats.cursor == stats.tail || (position && stats.cursor != position))
			return 0;
		position = stats.cursor;
	}
	return position;
}

static void publisher_dies(struct supervisor *sup)
{
	struct ronbus_stats before, after;
	__u64 position, health, woken;
	int err;

	RUN_UNTIL(sup, all_caught_up(sup), PATIENCE_MS);
	err = child_start(sup, &sup->publisher, "victim", victim_run, sup->options);
	expect(sup, !err, "cannot start victim: %s", strerror(-err));
	expect(sup, RUN_UNTIL(sup, sup->publisher.stopped, PATIENCE_MS),
	       "victim did not come to the middle of its message");

	/* The other publishers pass the victim's position by, and the readers wait there. */
	health = sup->sent[KIND_HEALTH];
	RUN_UNTIL(sup, sup->sent[KIND_HEALTH] >= health + SERVICES, PATIENCE_MS);
	expect(sup, RUN_UNTIL(sup, (position = standstill(sup)), PATIENCE_MS),
	       "the subscribers do not wait for victim");
	if (!get_stats(sup, RONBUS_STATS_BUS, &before))
		return;
	say("victim has stopped in the middle of position %llu, and there the readers wait",
	    position);
	say("other publishers went on: %llu messages follow it", before.tail - position - 1);
	expect(sup, before.tail > position + SERVICES, "nothing was published after victim");

	say("kill -9 %d", sup->publisher.pid);
	child_kill(&sup->publisher, SIGKILL);
	expect(sup, RUN_UNTIL(sup, !sup->publisher.pid, PATIENCE_MS), "victim does not die");
	expect(sup, RUN_UNTIL(sup, all_caught_up(sup), PATIENCE_MS), "a subscriber is stuck");
	if (!get_stats(sup, RONBUS_STATS_BUS, &after))
		return;
	woken = after.counters.wakes_total[RONBUS_WAKE_REPAIR] -
		before.counters.wakes_total[RONBUS_WAKE_REPAIR];
	say("the kernel took %llu slot back and woke %llu readers, which have all read on",
	    after.counters.repairs_total, woken);
	expect(sup, after.counters.repairs_total == 1 && woken >= ROLES - 1,
	       "%llu slots were repaired, and %llu readers woken", after.counters.repairs_total,
	       woken);
}

/* One after the other; in between, everybody but the slow one gets the time to read. */
static void bursts(struct supervisor *sup)
{
	struct ronbus_stats before, after;
	unsigned int i;
	int err;

	if (!get_stats(sup, RONBUS_STATS_BUS, &before))
		return;
	for (i = 0; i < BURSTS; i++) {
		RUN_UNTIL(sup, all_caught_up(sup), PATIENCE_MS);
		err = child_start(sup, &sup->publisher, "burst", burst_run, sup->options);
		expect(sup, !err, "cannot start burst: %s", strerror(-err));
		RUN_UNTIL(sup, !sup->publisher.pid, PATIENCE_MS);
		expect(sup, sup->publisher.code == CLD_EXITED && !sup->publisher.status,
		       "burst failed");
	}
	RUN_UNTIL(sup, all_caught_up(sup), PATIENCE_MS);
	if (get_stats(sup, RONBUS_STATS_BUS, &after))
		say("%llu messages for %d subscribers each, and %llu system calls to wake those that "
		    "slept",
		    after.counters.published_total - before.counters.published_total, ROLES,
		    after.counters.notify_calls_total - before.counters.notify_calls_total);
	expect(sup, RUN_UNTIL(sup, TALLY_GET(&sup->tallies[ROLE_SLOW].lags), PATIENCE_MS),
	       "slow was not told that it lost anything");
	pause_for_the_reader(sup);
}

/* Services go on meanwhile, so there is something to see. */
static void observed(struct supervisor *sup)
{
	int err;

	if (!sup->options->observe) {
		say("skipped, for there is no --observe");
		return;
	}
	err = child_start(sup, &sup->publisher, "observe", observer_run, sup->options);
	expect(sup, !err, "cannot start %s: %s", sup->options->observe, strerror(-err));
	RUN_UNTIL(sup, !sup->publisher.pid, OBSERVE_MS);
	expect(sup,
	       !sup->publisher.pid && sup->publisher.code == CLD_EXITED && !sup->publisher.status,
	       "%s failed", sup->options->observe);
}

static bool all_ended(const struct supervisor *sup)
{
	unsigned int i;

	for (i = 0; i < ROLES; i++)
		if (sup->subscribers[i].pid && !TALLY_GET(&sup->tallies[i].ended))
			return false;
	return true;
}

static bool services_gone(const struct supervisor *sup)
{
	unsigned int i;

	for (i = 0; i < SERVICES; i++)
		if (sup->services[i].child.pid)
			return false;
	return true;
}

/* Also when interrupted, so without RUN_UNTIL(), which then gives up. */
static void go_on(struct supervisor *sup, bool (*until)(const struct supervisor *sup))
{
	__u64 deadline = now_ms() + PATIENCE_MS;

	while (!until(sup) && now_ms() < deadline)
		supervisor_step(sup, 10);
}

static void shut_down(struct supervisor *sup)
{
	union ronbus_event event = { .tag = RONBUS_EVENT_SHUTDOWN };

	supervisor_stop_services(sup);
	go_on(sup, services_gone);
	expect(sup, services_gone(sup), "a service does not end");
	child_kill(&sup->publisher, SIGKILL); /* there is one only when something went wrong */
	supervisor_publish(sup, KIND_SHUTDOWN, &event);
	ronbus_pub_close(sup->pub);
	sup->pub = NULL;
	go_on(sup, all_ended);
	expect(sup, all_ended(sup), "not every subscriber came to the end of the bus");
}

static bool subscribers_gone(const struct supervisor *sup)
{
	unsigned int i;

	for (i = 0; i < ROLES; i++)
		if (sup->subscribers[i].pid)
			return false;
	return true;
}

static void dismiss_subscribers(struct supervisor *sup)
{
	unsigned int i;

	for (i = 0; i < ROLES; i++)
		child_kill(&sup->subscribers[i], SIGTERM);
	go_on(sup, subscribers_gone);
	for (i = 0; i < ROLES; i++)
		expect(sup,
		       !sup->subscribers[i].pid && sup->subscribers[i].code == CLD_EXITED &&
			       !sup->subscribers[i].status,
		       "%s did not end well", role_name(i));
}

/* ---- the script ----------------------------------------------------------------------- */

static const struct step {
	const char *what;
	void (*run)(struct supervisor *sup);
} steps[] = {
	{ "nobody listens: a publish returns 0 and writes nothing", nobody_listens },
	{ "four subscribers, one process each, find the bus by its name", subscribers_join },
	{ "three services start; `health` is told how each is doing", services_start },
	{ "a line of the kernel log becomes an event of our own, for `log`", kernel_log },
	{ "the configuration is replaced, then touched: `ops` hears of both", configuration },
	{ "a service follows a null pointer: `ops` hears, and it is restarted", crash },
	{ "a publisher is killed in the middle of a message: nobody gets stuck", publisher_dies },
	{ "bursts: `slow` sleeps, is overtaken, and told exactly what it lost", bursts },
	{ "observers: what the machine's monitoring is told, and which are woken", observed },
	{ "shutdown: a last event, and then the bus ends for everybody", shut_down },
};

void script_run(struct supervisor *sup)
{
	unsigned int i, last = ARRAY_SIZE(steps) - 1;

	for (i = 0; i <= last; i++) {
		if (sup->interrupted && i < last)
			continue;
		say_loud("[%u/%zu] %s", i + 1, ARRAY_SIZE(steps), steps[i].what);
		steps[i].run(sup);
		if (i < last)
			pause_for_the_reader(sup);
	}
	say_loud("the counters, as ronbus_stats() has them");
	report(sup);
	/* What victim published before the message it died of, and the bursts. */
	check(sup, BURST / 2 - 1 + BURSTS * BURST);
	dismiss_subscribers(sup);
}

void script_interactive(struct supervisor *sup)
{
	subscribers_join(sup);
	if (supervisor_start_services(sup))
		say_bad("cannot start a service");
	say_loud("now edit %s, kill a service, or: echo hello >/dev/kmsg; ^C ends it",
		 sup->options->config);
	while (!sup->interrupted)
		supervisor_step(sup, 1000);
	shut_down(sup);
	report(sup);
	dismiss_subscribers(sup);
}
