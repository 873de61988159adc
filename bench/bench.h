/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * bench.h - what the benchmark programs share: complaints, time, CPU, order statistics
 */
#ifndef RONBUS_BENCH_H
#define RONBUS_BENCH_H

#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))

extern const char bench_name[];

/* What die() exits with; a program for which 1 means something else says so before. */
#ifndef DIE_STATUS
#define DIE_STATUS 1
#endif

static inline __attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "%s: ", bench_name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(DIE_STATUS);
}

/* Memory is not what the compiler thinks it is. */
#define forget() __asm__ volatile("" ::: "memory")

static inline uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

/* Stay on one CPU: @cpu, or with -1 the last one that is allowed. */
static inline int pin(int cpu)
{
	cpu_set_t set;

	if (cpu < 0) {
		if (sched_getaffinity(0, sizeof(set), &set))
			die("cannot ask which CPUs are allowed");
		for (cpu = CPU_SETSIZE - 1; cpu > 0 && !CPU_ISSET(cpu, &set); cpu--)
			;
	}
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("cannot run on CPU %d", cpu);
	return cpu;
}

static inline int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorts @values. */
static inline void sort(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), compare_doubles);
}

/* The @p quantile (0 to 1) of sorted @values, between two of them where it falls there. */
static inline double quantile(const double *values, size_t count, double p)
{
	double at = p * (double)(count - 1);
	size_t low = (size_t)at;

	if (low + 1 >= count)
		return values[count - 1];
	return values[low] + (at - (double)low) * (values[low + 1] - values[low]);
}

#endif /* RONBUS_BENCH_H */
