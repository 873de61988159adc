/* SPDX-License-Identifier: GPL-2.0 */
/* Two threads that meet: where they run, and how far apart they begin. */
#ifndef RONBUS_RACE_H
#define RONBUS_RACE_H

#include <sched.h>

#include "ronbus_kselftest.h"

static inline void stagger(long steps)
{
	volatile long i;

	for (i = steps; i > 0; i--)
		;
}

/* To a CPU of its own, if there are two. */
static inline void settle(unsigned int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

#endif /* RONBUS_RACE_H */
