/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * verdict.h - has a value changed, or is it the noise?
 */
#ifndef RONBUS_BENCH_VERDICT_H
#define RONBUS_BENCH_VERDICT_H

#include "stats.h"

#define VERDICT_CONFIDENCE 0.99
#define NOISE_LEAST 0.03

enum verdict {
	VERDICT_NOISE, /* within the noise */
	VERDICT_IMPROVED,
	VERDICT_REGRESSED,
	VERDICT_NEW, /* nothing to compare with */
	VERDICT_CONTROL, /* not ours: says something of the machine */
};

/**
 * struct noises - what is known of the noise when a value is compared with a frozen one
 * @least: what is always taken for noise, as a fraction
 * @then: what two halves of the frozen run differed by
 * @now: what two halves of this run differed by
 * @drift: what a loop that does not use ronbus differs by between the two runs
 */
struct noises {
	double least;
	double then;
	double now;
	double drift;
};

const char *verdict_name(enum verdict verdict);

/* The largest of @noises: what a change has to be clear of. */
double noise_threshold(const struct noises *noises);

/* How far a ratio is from 1, the same for a ratio and its inverse: 0.1 for 1.1 and for 1 / 1.1. */
double distance(double ratio);

/**
 * verdict_of() - what a ratio says
 * @ratio: new to old, of a cost, with its interval
 * @threshold: changes up to this are noise
 *
 * The whole interval has to be beyond the threshold.
 */
enum verdict verdict_of(struct interval ratio, double threshold);

/* A verdict stands only if the cell, measured again, gets the same one. */
enum verdict verdict_confirmed(enum verdict first, enum verdict again);

/* The 95th percentile of @count @distances, which are put in order. */
double noise_of(double *distances, size_t count);

#endif /* RONBUS_BENCH_VERDICT_H */
