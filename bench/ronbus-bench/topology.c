// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * topology.c - which CPUs there are, what they share, and which to run on
 */
#include <dirent.h>

#include "common.h"
#include "topology.h"

const char *const pin_names[PIN_MODES] = {
	[PIN_AUTO] = "auto", [PIN_SAME_CORE] = "same-core", [PIN_SAME_L3] = "same-l3",
	[PIN_FAR] = "far",   [PIN_NONE] = "none",
};

/* ---- reading -------------------------------------------------------------------------- */

/* The first number in a file below a CPU's directory, which of a list is the least; or @otherwise. */
static int first_number(const char *sysfs, int cpu, const char *file, int otherwise)
{
	char path[256];
	int number;
	FILE *f;

	snprintf(path, sizeof(path), "%s/devices/system/cpu/cpu%d/%s", sysfs, cpu, file);
	f = fopen(path, "re");
	if (!f)
		return otherwise;
	if (fscanf(f, "%d", &number) != 1)
		number = otherwise;
	fclose(f);
	return number;
}

/* The last level there is. Without any, those of one package. */
static int shared_cache(const char *sysfs, int cpu)
{
	char file[64];
	int index, shared;

	for (index = 4; index >= 2; index--) {
		snprintf(file, sizeof(file), "cache/index%d/shared_cpu_list", index);
		shared = first_number(sysfs, cpu, file, -1);
		if (shared >= 0)
			return shared;
	}
	/* Not a CPU's number, but the same for those that share the package. */
	return -1 - first_number(sysfs, cpu, "topology/physical_package_id", 0);
}

static int numa_node(const char *sysfs, int cpu)
{
	struct dirent *entry;
	char path[256];
	int node = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/devices/system/cpu/cpu%d", sysfs, cpu);
	dir = opendir(path);
	if (!dir)
		return 0;
	while ((entry = readdir(dir)))
		if (sscanf(entry->d_name, "node%d", &node) == 1)
			break;
	closedir(dir);
	return node;
}

void topology_read(struct topology *topology, const char *sysfs, const cpu_set_t *allowed)
{
	unsigned int number;

	topology->count = 0;
	for (number = 0; number < CPUS_MOST && number < CPU_SETSIZE; number++) {
		int cpu = (int)number;

		if (!CPU_ISSET(number, allowed))
			continue;
		topology->cpus[topology->count++] = (struct cpu){
			.number = cpu,
			.core = first_number(sysfs, cpu, "topology/thread_siblings_list", cpu),
			.l3 = shared_cache(sysfs, cpu),
			.node = numa_node(sysfs, cpu),
		};
	}
}

/* ---- choosing ------------------------------------------------------------------------- */

static bool same_core(const struct cpu *a, const struct cpu *b)
{
	return a->core == b->core;
}

static bool same_l3(const struct cpu *a, const struct cpu *b)
{
	return a->l3 == b->l3 && a->core != b->core;
}

static bool other_l3(const struct cpu *a, const struct cpu *b)
{
	return a->l3 != b->l3;
}

static bool other_node(const struct cpu *a, const struct cpu *b)
{
	return a->node != b->node;
}

/* The last two CPUs of which @related is true: the first ones have most of the interrupts. */
static bool pick_pair(const struct topology *topology,
		      bool (*related)(const struct cpu *, const struct cpu *),
		      struct cpu_list *list)
{
	unsigned int i, j;

	for (i = topology->count; i-- > 0;) {
		for (j = i; j-- > 0;) {
			if (!related(&topology->cpus[i], &topology->cpus[j]))
				continue;
			list->numbers[0] = topology->cpus[i].number;
			list->numbers[1] = topology->cpus[j].number;
			list->count = 2;
			return true;
		}
	}
	return false;
}

/* Those of which @related is true to the first of the list, and @core says on which core none is. */
static void append(const struct topology *topology, const struct cpu *first, struct cpu_list *list,
		   bool (*related)(const struct cpu *, const struct cpu *))
{
	unsigned int i, j;

	for (i = topology->count; i-- > 0;) {
		const struct cpu *cpu = &topology->cpus[i];

		for (j = 0; j < list->count; j++)
			if (list->numbers[j] == cpu->number)
				break;
		if (j == list->count && related(first, cpu))
			list->numbers[list->count++] = cpu->number;
	}
}

/* The last CPU, then others: first of other cores below the same cache, then whatever there is. */
static void pick_all(const struct topology *topology, struct cpu_list *list)
{
	const struct cpu *first = &topology->cpus[topology->count - 1];

	list->numbers[0] = first->number;
	list->count = 1;
	append(topology, first, list, same_l3);
	append(topology, first, list, other_l3);
	append(topology, first, list, same_core);
}

const char *topology_pick(const struct topology *topology, enum pin_mode mode,
			  struct cpu_list *list)
{
	list->count = 0;
	if (!topology->count)
		return "there is no CPU to run on";
	switch (mode) {
	case PIN_NONE:
		return NULL;
	case PIN_SAME_CORE:
		return pick_pair(topology, same_core, list)
			       ? NULL
			       : "no two of the CPUs are hardware threads of one core";
	case PIN_SAME_L3:
		return pick_pair(topology, same_l3, list) ? NULL
							  : "no two of the cores share a cache";
	case PIN_FAR:
		if (pick_pair(topology, other_node, list) || pick_pair(topology, other_l3, list))
			return NULL;
		return "all CPUs share one cache";
	default:
		pick_all(topology, list);
		return NULL;
	}
}

static const struct cpu *find(const struct topology *topology, int number)
{
	unsigned int i;

	for (i = 0; i < topology->count; i++)
		if (topology->cpus[i].number == number)
			return &topology->cpus[i];
	return NULL;
}

const char *topology_relation(const struct topology *topology, int one, int other)
{
	const struct cpu *a = find(topology, one), *b = find(topology, other);

	if (!a || !b)
		return "unknown";
	if (a == b)
		return "same CPU";
	if (same_core(a, b))
		return "same core";
	if (same_l3(a, b))
		return "same cache";
	return other_node(a, b) ? "other node" : "other cache";
}

void topology_pin(const struct cpu_list *list, unsigned int n)
{
	if (list->count)
		pin(list->numbers[n % list->count]);
}
