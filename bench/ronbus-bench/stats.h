/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * stats.h - samples, and what can be said from them
 *
 * Samples come in turns. Samples of one turn resemble each other more than those of different
 * turns, in which memory lies elsewhere and the machine does something else. If they were taken for
 * independent, intervals would be too narrow and show differences that are not there. So every interval
 * here comes from a bootstrap in two levels: turns are drawn, and samples of each turn drawn.
 */
#ifndef RONBUS_BENCH_STATS_H
#define RONBUS_BENCH_STATS_H

#include <stdbool.h>
#include <stddef.h>

#define TURNS_MOST 64U

/**
 * struct samples - measured values of one quantity, turn after turn
 * @values: the values, in order
 * @count: how many
 * @room: how many fit
 * @turns: turns begun
 * @ends: for each turn the number of values up to its end
 */
struct samples {
	double *values;
	size_t count;
	size_t room;
	size_t turns;
	size_t ends[TURNS_MOST];
};

/**
 * struct interval - an estimate and how far it can be trusted
 * @value: the estimate
 * @low: lower bound
 * @high: upper bound
 */
struct interval {
	double value;
	double low;
	double high;
};

/**
 * struct outliers - samples beyond Tukey's fences
 * @low_severe: more than three interquartile ranges below the lower quartile
 * @low_mild: more than one and a half
 * @high_mild: more than one and a half above the upper quartile
 * @high_severe: more than three
 */
struct outliers {
	size_t low_severe;
	size_t low_mild;
	size_t high_mild;
	size_t high_severe;
};

/**
 * struct summary - what is printed of samples
 * @median: the median with its 95 % interval
 * @min: the least
 * @max: the largest
 * @p50: the median again, or that of the histogram
 * @p95: percentile
 * @p99: percentile
 * @p999: percentile
 * @outliers: those that were found; none is removed, a median does not mind them
 * @halves: the second half of the turns as a ratio to the first: nothing was changed between
 *	them, so what differs is noise
 */
struct summary {
	struct interval median;
	double min;
	double max;
	double p50;
	double p95;
	double p99;
	double p999;
	struct outliers outliers;
	double halves;
};

/* How two sets of samples belong together. */
enum pairing {
	UNPAIRED, /* taken in different runs */
	PAIRED, /* turn n of one was taken beside turn n of the other */
};

void samples_turn(struct samples *samples);

/* As if the last turn had not been. */
void samples_forget_turn(struct samples *samples);

void samples_add(struct samples *samples, double value);
void samples_clear(struct samples *samples);
void samples_free(struct samples *samples);
size_t samples_begin(const struct samples *samples, size_t turn);

/* The @p quantile, 0 to 1, of @values, which are put in another order. */
double quantile_of(double *values, size_t count, double p);

/* The @p quantile, 0 to 1, of @samples, of which there are some. */
double samples_quantile(const struct samples *samples, double p);

/**
 * stats_seed() - where the random numbers of the bootstraps begin
 * @seed: the same seed and the same samples give the same intervals
 */
void stats_seed(unsigned long seed);

/**
 * stats_random() - a random number
 * @below: what it is below, at most 2^32
 */
unsigned long stats_random(unsigned long below);

void summarize(const struct samples *samples, struct summary *summary);

/**
 * compare() - how many times as large as others are samples?
 * @these: the samples
 * @those: the others
 * @quantile: of which quantile: 0.5 for the median
 * @pairing: whether a turn of one has a counterpart in the other
 * @confidence: of the interval, for example 0.95
 *
 * Return: the ratio; value 0 if there is none.
 */
struct interval compare(const struct samples *these, const struct samples *those, double quantile,
			enum pairing pairing, double confidence);

#endif /* RONBUS_BENCH_STATS_H */
