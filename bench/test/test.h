/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * test.h - what the tests share: the harness, and numbers that are noise of a known kind
 */
#ifndef RONBUS_BENCH_TEST_H
#define RONBUS_BENCH_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <gsl/gsl_randist.h>
#include <math.h>

#include "common.h"
#include "stats.h"

/* A repeatable dice, apart from the one that the statistics throw. */
static inline gsl_rng *dice(unsigned long seed)
{
	gsl_rng *rng = gsl_rng_alloc(gsl_rng_taus2);

	assert_non_null(rng);
	gsl_rng_set(rng, seed);
	return rng;
}

/*
 * Times as they are measured: @turns turns of @count samples about @median. Turns differ among
 * themselves by @of_turns, samples of one by @of_samples (standard deviations of the logarithm), and
 * one sample of twenty is hit by something else.
 */
static inline void make_times(struct samples *samples, gsl_rng *rng, double median, size_t turns,
			      size_t count, double of_turns, double of_samples)
{
	size_t turn, i;

	samples_clear(samples);
	for (turn = 0; turn < turns; turn++) {
		double level = median * exp(gsl_ran_gaussian(rng, of_turns));

		samples_turn(samples);
		for (i = 0; i < count; i++) {
			double value = level * exp(gsl_ran_gaussian(rng, of_samples));

			samples_add(samples, gsl_rng_uniform(rng) < 0.05 ? 3 * value : value);
		}
	}
}

#endif /* RONBUS_BENCH_TEST_H */
