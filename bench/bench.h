/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * bench.h - what the benchmark programs share: complaints, time, CPUs, and members that report
 */
#ifndef RONBUS_BENCH_H
#define RONBUS_BENCH_H

#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
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

static inline struct timespec timespec_of(uint64_t ns)
{
	return (struct timespec){ (time_t)(ns / 1000000000ULL), (long)(ns % 1000000000ULL) };
}

static inline void nap(uint64_t ns)
{
	struct timespec time = timespec_of(ns);

	while (nanosleep(&time, &time))
		;
}

/* Sleep until @next, and set it to the tick after that. Ticks that were missed are not made up for. */
static inline void sleep_to_tick(uint64_t *next, uint64_t period)
{
	const struct timespec until = timespec_of(*next);

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL))
		;
	*next += period;
	if (*next < now_ns())
		*next = now_ns() + period;
}

static inline void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("cannot run on CPU %d", cpu);
}

/* For a loop that looks again and again. */
static inline void pause_cpu(void)
{
#ifdef __x86_64__
	__builtin_ia32_pause();
#else
	forget();
#endif
}

static inline int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Of @values, which are put in order. */
static inline double median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), compare_doubles);
	return values[count / 2];
}

/* Nanoseconds between two looks at the clock with nothing between them. */
static inline double clock_cost(void)
{
	double costs[1001];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(costs); i++) {
		uint64_t start = now_ns();

		costs[i] = (double)(now_ns() - start);
	}
	return median(costs, ARRAY_SIZE(costs));
}

/* ---- members, which are threads or processes --------------------------------------------- */

/**
 * struct usage - what a member used up, and what for
 * @cpu_ns: time on a CPU
 * @switches: voluntary context switches: it slept
 * @got: messages that it received, where it counts them here
 */
struct usage {
	uint64_t cpu_ns;
	uint64_t switches;
	uint64_t got;
};

/* Of this process: CLOCK_PROCESS_CPUTIME_ID, RUSAGE_SELF; or of this thread. */
static inline struct usage usage_of(clockid_t clock, int whose)
{
	struct rusage rusage;
	struct timespec cpu;

	/* The rusage's time is counted in ticks by some kernels. */
	if (getrusage(whose, &rusage) || clock_gettime(clock, &cpu))
		die("cannot ask for the time on CPUs");
	return (struct usage){ (uint64_t)cpu.tv_sec * 1000000000ULL + (uint64_t)cpu.tv_nsec,
			       (uint64_t)rusage.ru_nvcsw, 0 };
}

/**
 * struct seat - what a member shares with the program that measures; on lines of its own
 * @number: of the last message that it has received
 * @when: it received that
 * @usage: what it used up
 */
struct seat {
	uint64_t number;
	uint64_t when;
	struct usage usage;
} __attribute__((aligned(128)));

/* When the last member received message @number; 0 if one of them has not. */
static inline uint64_t last_wake(const struct seat *seats, unsigned int count, uint64_t number)
{
	uint64_t latest = 0;
	unsigned int i;

	for (i = 0; i < count; i++) {
		if (__atomic_load_n(&seats[i].number, __ATOMIC_ACQUIRE) != number)
			return 0;
		latest = seats[i].when > latest ? seats[i].when : latest;
	}
	return latest;
}

#endif /* RONBUS_BENCH_H */
