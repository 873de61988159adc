/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * quiet.h - is the machine ours, or do others slow it down?
 *
 * On a virtual machine the other hardware thread of a core may belong to another machine. While that
 * one works, a loop that keeps the core busy takes up to twice the time, for milliseconds or seconds,
 * and nothing in here shows the reason. So a piece of work that is always the same is timed before and
 * after each visit. And other programs on this machine may use the CPUs, which the kernel counts.
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
