/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * monitor.h - which source to ask, and whether all is there that was asked for
 */
#ifndef RONBUS_MONITOR_H
#define RONBUS_MONITOR_H

#include "metrics.h"
#include "source.h"

/**
 * struct monitor_options - what to watch
 * @where: transport for counters by system call
 * @names: buses to ask for by system call, and to be ready with; none: any bus will do
 * @bpf: ask BPF programs if possible
 * @pin: directory to pin their maps in, or NULL
 * @module_is_there: is the module loaded
 * @open_bpf: as source_bpf_open()
 */
struct monitor_options {
	const char *where;
	struct names names;
	bool bpf;
	const char *pin;
	bool (*module_is_there)(void);
	int (*open_bpf)(const char *pin, struct source **source);
};

struct monitor;

int monitor_open(const struct monitor_options *options, struct monitor **monitor);
bool monitor_attach(struct monitor *monitor);
void monitor_read(struct monitor *monitor, struct snapshot *snapshot, struct metrics_state *state);
const char *monitor_missing(struct monitor *monitor);
void monitor_close(struct monitor *monitor);

#endif /* RONBUS_MONITOR_H */
