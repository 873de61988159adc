/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * quiet.h - is the machine ours, or does somebody else slow it down?
 *
 * On a virtual machine the other half of a core may belong to somebody else. While he works a loop
 * that keeps the core busy takes up to twice the time, for milliseconds or for seconds, and nothing in
 * here says why. So a piece of work that always is the same is timed before and behind a visit. And
 * others on this machine may want the CPUs: that the kernel counts.
 */
#ifndef RONBUS_BENCH_QUIET_H
#define RONBUS_BENCH_QUIET_H

#include <stdbool.h>

/**
 * struct quiet - what came of it, over all visits
 * @waited_ns: time slept until it was quiet
 * @repeated: visits that were thrown away, since it was not quiet to their end
 * @disturbed: visits that count all the same: it did not get quiet
 * @others: share of the CPUs that others had while cells were measured, 0 to 1
 */
struct quiet {
	double waited_ns;
	unsigned int repeated;
	unsigned int disturbed;
	double others;
};

extern struct quiet quiet;

/* With so much for others, what threads take to wake each other says nothing. */
#define OTHERS_MOST 0.05

/* What follows is measured; and that was all. */
void quiet_begin(void);
void quiet_end(void);

/**
 * quiet_busy() - what the CPUs have done, all together
 * @stat: first line of /proc/stat
 *
 * Return: ticks in which they were not idle, those among them that a hypervisor had for others; 0 if
 * that is no such line.
 */
unsigned long long quiet_busy(const char *stat);

/* What the piece of work takes now, in nanoseconds. */
double quiet_work(void);

/**
 * quiet_says() - does a time say that the machine is quiet?
 * @least: the least time so far, 0 if there is none; brought up to date
 * @now: what it takes now
 */
bool quiet_says(double *least, double now);

bool quiet_now(void);

/* Sleep until it is quiet, but not for long; returns whether it is. */
bool quiet_wait(void);

#endif /* RONBUS_BENCH_QUIET_H */
