/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * common.h - what the files of ronbus-bench share: exit status, names, settings
 */
#ifndef RONBUS_BENCH_COMMON_H
#define RONBUS_BENCH_COMMON_H

#include <stdbool.h>

/**
 * enum status - exit status of ronbus-bench
 * @STATUS_GOOD: measured; nothing regressed, no gate missed
 * @STATUS_REGRESSED: something did, compared with the baseline
 * @STATUS_FAILED: wrong arguments, or it could not be measured
 * @STATUS_REFUSED: the baseline is not there, or is of another machine
 * @STATUS_MISSED: a feature does not gain what is asked of it
 */
enum status {
	STATUS_GOOD = 0,
	STATUS_REGRESSED = 1,
	STATUS_FAILED = 2,
	STATUS_REFUSED = 3,
	STATUS_MISSED = 4,
};

#define DIE_STATUS STATUS_FAILED
#include "../bench.h"

#include "topology.h"

/**
 * struct settings - how to measure
 * @transport: where the buses are
 * @device: not in this process: readers are processes of their own
 * @quick: a subset, and fewer turns
 * @turns: how often each cell is visited
 * @warm_ns: time to warm up in each turn
 * @turn_ns: time to measure in each turn
 * @samples_least: samples a turn, even if they take longer
 * @samples_most: and no more
 * @cpus: where threads run, the publisher's first
 * @one_cpu: all of them are one CPU: a thread that waits for another has to let it run
 * @peers: directory of the peers' programs, or NULL
 * @clock_ns: what a look at the clock costs
 * @noise: changes up to this are never called one, as a fraction
 * @pinning: how @cpus were chosen, in a word
 */
struct settings {
	const char *transport;
	bool device;
	bool quick;
	unsigned int turns;
	uint64_t warm_ns;
	uint64_t turn_ns;
	unsigned int samples_least;
	unsigned int samples_most;
	struct cpu_list cpus;
	bool one_cpu;
	const char *peers;
	double clock_ns;
	double noise;
	const char *pinning;
};

extern struct settings settings;

#endif /* RONBUS_BENCH_COMMON_H */
