/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * source.h - where counters come from
 *
 * There are two sources. BPF programs know every bus of the machine, and how long things took; they
 * need privileges. RONBUS_IOC_STATS needs no more than the permission to subscribe, and knows those
 * buses that it is asked for by name.
 */
#ifndef RONBUS_SOURCE_H
#define RONBUS_SOURCE_H

#include "snapshot.h"

struct source;

/**
 * struct source_ops - what a source can do
 * @name: "bpf" or "stats"
 * @read: add all buses to an empty snapshot; 0 or -errno
 * @close: end of it
 */
struct source_ops {
	const char *name;
	int (*read)(struct source *source, struct snapshot *snapshot);
	void (*close)(struct source *source);
};

struct source {
	const struct source_ops *ops;
};

/**
 * struct names - names of buses, as given on a command line
 * @name: the names
 * @count: how many
 */
struct names {
	const char **name;
	size_t count;
};

int names_add(struct names *names, const char *name);

int source_stats_open(const char *where, const struct names *names, struct source **source);
int source_bpf_open(const char *pin, struct source **source);
const char *source_bpf_why(void);
int source_read(struct source *source, struct snapshot *snapshot);
void source_close(struct source *source);
bool module_is_there(void);

#endif /* RONBUS_SOURCE_H */
