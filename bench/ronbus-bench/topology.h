/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * topology.h - which CPUs there are, what they share, and which to run on
 */
#ifndef RONBUS_BENCH_TOPOLOGY_H
#define RONBUS_BENCH_TOPOLOGY_H

#include <sched.h>
#include <stddef.h>

#define CPUS_MOST 1024U

/**
 * struct cpu - a CPU this program may run on
 * @number: its number
 * @core: the least CPU of its core
 * @l3: the least CPU that shares its last level of cache
 * @node: its NUMA node
 */
struct cpu {
	int number;
	int core;
	int l3;
	int node;
};

/**
 * struct topology - the CPUs this program may run on
 * @cpus: they, by number
 * @count: how many
 */
struct topology {
	struct cpu cpus[CPUS_MOST];
	unsigned int count;
};

/**
 * struct cpu_list - CPUs in the order in which they get work
 * @numbers: the publisher's first, then those of the others, around and around; empty to leave it
 *	to the scheduler
 * @count: how many
 */
struct cpu_list {
	int numbers[CPUS_MOST];
	unsigned int count;
};

enum pin_mode {
	PIN_AUTO, /* different cores that share a cache, if there are; as many as there are */
	PIN_SAME_CORE, /* two hardware threads of one core */
	PIN_SAME_L3, /* two cores below one cache */
	PIN_FAR, /* two CPUs on different NUMA nodes, or at least below different caches */
	PIN_NONE, /* where the scheduler likes */
	PIN_MODES,
};

extern const char *const pin_names[PIN_MODES];

/**
 * topology_read() - look at the machine
 * @topology: filled
 * @sysfs: "/sys", or what a test made up
 * @allowed: CPUs to look at
 */
void topology_read(struct topology *topology, const char *sysfs, const cpu_set_t *allowed);

/**
 * topology_pick() - choose CPUs
 * @topology: of them
 * @mode: how they are to lie
 * @list: filled
 *
 * Return: NULL, or why there are no such CPUs.
 */
const char *topology_pick(const struct topology *topology, enum pin_mode mode,
			  struct cpu_list *list);

/* How two CPUs of a machine lie to each other: "same CPU", "same core", "same L3", ... */
const char *topology_relation(const struct topology *topology, int one, int other);

/* Run this thread on the @n-th CPU of @list, counted around; nowhere in particular if empty. */
void topology_pin(const struct cpu_list *list, unsigned int n);

#endif /* RONBUS_BENCH_TOPOLOGY_H */
