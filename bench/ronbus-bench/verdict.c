// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * verdict.c - has a value changed, or is it the noise?
 */
#include <gsl/gsl_sort.h>
#include <gsl/gsl_statistics_double.h>
#include <math.h>

#include "verdict.h"

const char *verdict_name(enum verdict verdict)
{
	static const char *const names[] = {
		[VERDICT_NOISE] = "within noise",  [VERDICT_IMPROVED] = "improved",
		[VERDICT_REGRESSED] = "regressed", [VERDICT_NEW] = "new",
		[VERDICT_CONTROL] = "control",
	};

	return names[verdict];
}

double noise_threshold(const struct noises *noises)
{
	return fmax(fmax(noises->least, noises->drift), fmax(noises->then, noises->now));
}

double distance(double ratio)
{
	if (!(ratio > 0))
		return 0;
	return ratio < 1 ? 1 / ratio - 1 : ratio - 1;
}

enum verdict verdict_of(struct interval ratio, double threshold)
{
	if (!(ratio.value > 0))
		return VERDICT_NEW;
	if (ratio.low > 1 + threshold)
		return VERDICT_REGRESSED;
	if (ratio.high < 1 / (1 + threshold))
		return VERDICT_IMPROVED;
	return VERDICT_NOISE;
}

enum verdict verdict_confirmed(enum verdict first, enum verdict again)
{
	return first == again ? first : VERDICT_NOISE;
}

double noise_of(double *distances, size_t count)
{
	if (!count)
		return 0;
	gsl_sort(distances, 1, count);
	return gsl_stats_quantile_from_sorted_data(distances, 1, count, 0.95);
}
