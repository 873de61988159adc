// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * monitor.c - which source to ask, and whether all is there that was asked for
 *
 * One thread attaches, another one asks. What fails is told once, until it fails otherwise.
 */
#include "monitor.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define PAUSE_MAX 31

/**
 * struct monitor - see monitor_open()
 * @options: as given
 * @lock: guards all below
 * @bpf: the BPF programs, NULL while they are not attached
 * @stats: counters by system call
 * @bpf_err: why there are no BPF programs; 0: the module was not there yet, or they are
 * @pause: calls of monitor_attach() between two attempts
 * @left: how many are left
 * @read_err: what the last reading failed with
 * @errors: readings that failed
 */
struct monitor {
	struct monitor_options options;
	pthread_mutex_t lock;
	struct source *bpf;
	struct source *stats;
	int bpf_err;
	unsigned int pause;
	unsigned int left;
	int read_err;
	__u64 errors;
};

int monitor_open(const struct monitor_options *options, struct monitor **monitor)
{
	struct monitor *new = calloc(1, sizeof(*new));
	int err;

	if (!new)
		return -ENOMEM;
	new->options = *options;
	pthread_mutex_init(&new->lock, NULL);
	err = source_stats_open(options->where, &new->options.names, &new->stats);
	if (err)
		free(new);
	else
		*monitor = new;
	return err;
}

static void tell_no_bpf(const struct monitor *monitor)
{
	size_t names = monitor->options.names.count;

	const char *why = source_bpf_why();

	fprintf(stderr, "ronbus-exporter: cannot attach BPF programs: %s%s%s; ",
		strerror(-monitor->bpf_err), *why ? ": " : "", why);
	if (names)
		fprintf(stderr, "counters of %zu bus%s come by system call instead\n", names,
			names == 1 ? "" : "es");
	else
		fprintf(stderr, "give buses with --bus to get their counters by system call\n");
}

/* Loading costs something, and what failed once may well fail again: less and less often. */
static void try_to_attach(struct monitor *monitor)
{
	int err;

	if (monitor->left) {
		monitor->left--;
		return;
	}
	err = monitor->options.open_bpf(monitor->options.pin, &monitor->bpf);
	monitor->pause =
		err ? (monitor->pause < PAUSE_MAX ? 2 * monitor->pause + 1 : PAUSE_MAX) : 0;
	monitor->left = monitor->pause;
	if (err == monitor->bpf_err)
		return;
	monitor->bpf_err = err;
	if (err)
		tell_no_bpf(monitor);
	else
		fprintf(stderr, "ronbus-exporter: BPF programs attached after all\n");
}

static void detach(struct monitor *monitor)
{
	source_close(monitor->bpf);
	monitor->bpf = NULL;
	monitor->bpf_err = 0;
	monitor->pause = 0;
	monitor->left = 0;
}

/**
 * monitor_attach() - attach BPF programs, or let go of them, as the module came or went
 * @monitor: the monitor
 *
 * To be called now and then.
 *
 * Return: whether there is nothing more to attach: BPF programs are, or nobody wants them.
 */
bool monitor_attach(struct monitor *monitor)
{
	bool attached;

	if (!monitor->options.bpf)
		return true;
	pthread_mutex_lock(&monitor->lock);
	if (!monitor->options.module_is_there())
		detach(monitor);
	else if (!monitor->bpf)
		try_to_attach(monitor);
	attached = monitor->bpf != NULL;
	pthread_mutex_unlock(&monitor->lock);
	return attached;
}

/* What to ask: NULL if there is nothing that it would know of. */
static struct source *source_now(const struct monitor *monitor)
{
	if (monitor->bpf)
		return monitor->bpf;
	return monitor->options.names.count ? monitor->stats : NULL;
}

static void read_now(struct monitor *monitor, struct snapshot *snapshot)
{
	int err = source_read(source_now(monitor), snapshot);

	if (err) {
		monitor->errors++;
		if (err != monitor->read_err)
			fprintf(stderr, "ronbus-exporter: cannot read all counters: %s\n",
				ronbus_why(monitor->options.where, err));
	}
	monitor->read_err = err;
}

/**
 * monitor_read() - all counters now
 * @monitor: the monitor
 * @snapshot: filled; to be given to snapshot_clear()
 * @state: filled
 */
void monitor_read(struct monitor *monitor, struct snapshot *snapshot, struct metrics_state *state)
{
	pthread_mutex_lock(&monitor->lock);
	read_now(monitor, snapshot);
	state->errors = monitor->errors;
	state->up = monitor->options.module_is_there();
	pthread_mutex_unlock(&monitor->lock);
}

static bool buses_are_there(const struct monitor *monitor, const struct snapshot *snapshot)
{
	size_t i;

	for (i = 0; i < monitor->options.names.count; i++)
		if (!snapshot_has(snapshot, monitor->options.names.name[i]))
			return false;
	return snapshot->count > 0;
}

/**
 * monitor_missing() - what is not there of what was asked for
 * @monitor: the monitor
 *
 * Return: a list of words between commas; empty if all is there.
 */
const char *monitor_missing(struct monitor *monitor)
{
	static const char *const lists[] = { "",    "module",	  "bus",     "module,bus",
					     "bpf", "module,bpf", "bus,bpf", "module,bus,bpf" };
	struct snapshot snapshot;
	unsigned int missing = 0;

	pthread_mutex_lock(&monitor->lock);
	read_now(monitor, &snapshot);
	if (!monitor->options.module_is_there())
		missing |= 1;
	if (!buses_are_there(monitor, &snapshot))
		missing |= 2;
	if (monitor->options.bpf && !monitor->bpf)
		missing |= 4;
	pthread_mutex_unlock(&monitor->lock);
	snapshot_clear(&snapshot);
	return lists[missing];
}

void monitor_close(struct monitor *monitor)
{
	source_close(monitor->bpf);
	source_close(monitor->stats);
	pthread_mutex_destroy(&monitor->lock);
	free(monitor->options.names.name);
	free(monitor);
}
