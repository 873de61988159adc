// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * stats_test.c - the statistics, against answers that are known
 */
#include "cell.h"
#include "quiet.h"
#include "test.h"

const char bench_name[] = "stats_test";
struct settings settings;

static void assert_near(double value, double expected, double tolerance)
{
	if (fabs(value - expected) > tolerance)
		fail_msg("%g is not %g, give or take %g", value, expected, tolerance);
}

/* ---- order statistics ----------------------------------------------------------------- */

static void percentiles(void **state)
{
	struct samples samples = { 0 };
	struct summary summary;
	int i;

	(void)state;
	/* 1 to 1001, in another order. */
	for (i = 0; i < 1001; i++)
		samples_add(&samples, 1 + i * 10 % 1001);
	summarize(&samples, &summary);
	assert_near(summary.min, 1, 0);
	assert_near(summary.max, 1001, 0);
	assert_near(summary.p50, 501, 1e-9);
	assert_near(summary.median.value, 501, 1e-9);
	assert_near(summary.p95, 951, 1e-9);
	assert_near(summary.p99, 991, 1e-9);
	assert_near(summary.p999, 1000, 1e-9);
	samples_free(&samples);
}

static void forgotten_turn_was_not(void **state)
{
	struct samples samples = { 0 };

	(void)state;
	samples_forget_turn(&samples);
	assert_int_equal(samples.turns, 0);
	samples_turn(&samples);
	samples_add(&samples, 1);
	samples_add(&samples, 2);
	samples_turn(&samples);
	samples_add(&samples, 100);
	samples_forget_turn(&samples);
	samples_turn(&samples);
	samples_add(&samples, 3);
	assert_int_equal(samples.turns, 2);
	assert_int_equal(samples.count, 3);
	assert_int_equal(samples_begin(&samples, 1), 2);
	assert_near(samples_quantile(&samples, 0.5), 2, 0);
	samples_free(&samples);
}

/* Least so far, and what is a fifth above it. */
static void quiet_is_what_takes_no_longer_than_ever(void **state)
{
	double least = 0;

	(void)state;
	assert_true(quiet_says(&least, 100));
	assert_true(quiet_says(&least, 115));
	assert_false(quiet_says(&least, 125));
	assert_false(quiet_says(&least, 200));
	assert_true(quiet_says(&least, 90));
	assert_false(quiet_says(&least, 115));
	assert_near(least, 90, 0);
	assert_true(quiet_work() > 0);
}

static void busy_is_what_is_not_idle(void **state)
{
	(void)state;
	assert_true(quiet_busy("cpu  1 20 300 4000 50000 600000 7000000 80000000 9 9") == 87600321);
	assert_true(quiet_busy("cpu  1 20 300 4000 50000 600000 7000000") == 7600321);
	assert_true(quiet_busy("cpu  1 20") == 0);
	assert_true(quiet_busy("") == 0);
}

static void percentile_between_two(void **state)
{
	static const double values[] = { 10, 20, 30, 40 };
	struct samples samples = { 0 };
	struct summary summary;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(values); i++)
		samples_add(&samples, values[i]);
	summarize(&samples, &summary);
	assert_near(summary.p50, 25, 1e-9);
	assert_near(summary.p95, 38.5, 1e-9);
	samples_free(&samples);
}

static void one_sample(void **state)
{
	struct samples samples = { 0 };
	struct summary summary;

	(void)state;
	summarize(&samples, &summary);
	assert_near(summary.median.value, 0, 0);
	samples_add(&samples, 7);
	summarize(&samples, &summary);
	assert_near(summary.median.value, 7, 0);
	assert_near(summary.median.low, 7, 0);
	assert_near(summary.median.high, 7, 0);
	assert_near(summary.p999, 7, 0);
	samples_free(&samples);
}

/* Quartiles 25 and 75, so fences at -50, 150 (mild) and -125, 225 (severe). */
static void outliers_by_tukey(void **state)
{
	static const double far[] = { 0, 25, 50, 75, 100 };
	struct samples samples = { 0 };
	struct summary summary;
	size_t i, n;

	(void)state;
	for (n = 0; n < 1000; n++)
		for (i = 0; i < ARRAY_SIZE(far); i++)
			samples_add(&samples, far[i]);
	samples_add(&samples, -49);
	samples_add(&samples, -51);
	samples_add(&samples, -126);
	samples_add(&samples, -127);
	samples_add(&samples, 149);
	samples_add(&samples, 151);
	samples_add(&samples, 224);
	samples_add(&samples, 224);
	samples_add(&samples, 226);
	summarize(&samples, &summary);
	assert_int_equal(summary.outliers.low_mild, 1);
	assert_int_equal(summary.outliers.low_severe, 2);
	assert_int_equal(summary.outliers.high_mild, 3);
	assert_int_equal(summary.outliers.high_severe, 1);
	samples_free(&samples);
}

static void halves_of_turns(void **state)
{
	struct samples samples = { 0 };
	struct summary summary;
	int turn, i;

	(void)state;
	for (turn = 0; turn < 6; turn++) {
		samples_turn(&samples);
		for (i = 0; i < 5; i++)
			samples_add(&samples, turn < 3 ? 10 : 12);
	}
	summarize(&samples, &summary);
	assert_near(summary.halves, 1.2, 1e-9);
	samples_free(&samples);
}

/* ---- intervals ------------------------------------------------------------------------ */

#define TRIALS 300

/* In how many percent of the trials the true median lies in its interval, and how wide that is. */
static double coverage(double of_turns, double of_samples, double *width)
{
	gsl_rng *rng = dice(11);
	struct samples samples = { 0 };
	struct summary summary;
	int trial, covered = 0;

	*width = 0;
	for (trial = 0; trial < TRIALS; trial++) {
		size_t turn, i;

		samples_clear(&samples);
		for (turn = 0; turn < 10; turn++) {
			double level = 100 * exp(gsl_ran_gaussian(rng, of_turns));

			samples_turn(&samples);
			for (i = 0; i < 15; i++)
				samples_add(&samples,
					    level * exp(gsl_ran_gaussian(rng, of_samples)));
		}
		summarize(&samples, &summary);
		covered += summary.median.low <= 100 && summary.median.high >= 100;
		*width += (summary.median.high - summary.median.low) / TRIALS;
		assert_true(summary.median.low <= summary.median.value);
		assert_true(summary.median.high >= summary.median.value);
	}
	samples_free(&samples);
	gsl_rng_free(rng);
	return 100.0 * covered / TRIALS;
}

/* Of 300 trials at 95 % fewer than 91 % are good once in a thousand times. */
static void interval_covers_independent(void **state)
{
	double width, percent = coverage(0, 0.05, &width);

	(void)state;
	if (percent < 91)
		fail_msg("covered in %g %% of the trials", percent);
	/* The median of 150: a standard deviation of 5 * 1.25 / sqrt(150), to both sides. */
	if (width > 2 * 2 * 1.96 * 5 * 1.2533 / sqrt(150))
		fail_msg("too wide: %g", width);
}

/* Turns differ: an interval that takes samples for independent would hold the truth rarely. */
static void interval_covers_turns(void **state)
{
	double width, percent = coverage(0.05, 0.02, &width);

	(void)state;
	if (percent < 91)
		fail_msg("covered in %g %% of the trials", percent);
	if (width > 4 * 2 * 1.96 * 5 / sqrt(10))
		fail_msg("too wide: %g", width);
}

static void ratio_covers(void **state)
{
	struct samples these = { 0 }, those = { 0 };
	gsl_rng *rng = dice(5);
	int trial, covered = 0;

	(void)state;
	for (trial = 0; trial < 100; trial++) {
		struct interval ratio;

		make_times(&these, rng, 130, 10, 15, 0.03, 0.02);
		make_times(&those, rng, 100, 10, 15, 0.03, 0.02);
		ratio = compare(&these, &those, 0.5, UNPAIRED, 0.95);
		covered += ratio.low <= 1.3 && ratio.high >= 1.3;
	}
	if (covered < 87)
		fail_msg("covered in %d of 100 trials", covered);
	samples_free(&these);
	samples_free(&those);
	gsl_rng_free(rng);
}

static void ratio_of_known(void **state)
{
	struct samples these = { 0 }, those = { 0 };
	struct interval ratio;
	int i;

	(void)state;
	for (i = 0; i < 40; i++) {
		if (i % 10 == 0) {
			samples_turn(&these);
			samples_turn(&those);
		}
		samples_add(&these, 50);
		samples_add(&those, 100);
	}
	ratio = compare(&these, &those, 0.5, PAIRED, 0.95);
	assert_near(ratio.value, 0.5, 1e-12);
	assert_near(ratio.low, 0.5, 1e-12);
	assert_near(ratio.high, 0.5, 1e-12);
	ratio = compare(&those, &these, 0.95, UNPAIRED, 0.95);
	assert_near(ratio.value, 2, 1e-12);
	samples_clear(&those);
	assert_near(compare(&these, &those, 0.5, PAIRED, 0.95).value, 0, 0);
	samples_free(&these);
	samples_free(&those);
}

/* What happens to a turn happens to both: drawn together, it does not count. */
static void pairs_are_drawn_together(void **state)
{
	struct samples these = { 0 }, those = { 0 };
	struct interval paired, unpaired;
	int turn, i;

	(void)state;
	for (turn = 0; turn < 12; turn++) {
		samples_turn(&these);
		samples_turn(&those);
		for (i = 0; i < 10; i++) {
			samples_add(&these, 100 + 10 * turn);
			samples_add(&those, 200 + 20 * turn);
		}
	}
	paired = compare(&these, &those, 0.5, PAIRED, 0.95);
	unpaired = compare(&these, &those, 0.5, UNPAIRED, 0.95);
	assert_near(paired.high - paired.low, 0, 1e-9);
	assert_true(unpaired.high - unpaired.low > 0.1);
	samples_free(&these);
	samples_free(&those);
}

static void same_seed_same_interval(void **state)
{
	struct summary first, again, other;
	struct samples samples = { 0 };
	gsl_rng *rng = dice(3);

	(void)state;
	make_times(&samples, rng, 100, 6, 20, 0.02, 0.05);
	stats_seed(9);
	summarize(&samples, &first);
	stats_seed(9);
	summarize(&samples, &again);
	stats_seed(10);
	summarize(&samples, &other);
	assert_memory_equal(&first.median, &again.median, sizeof(first.median));
	assert_memory_not_equal(&first.median, &other.median, sizeof(first.median));
	samples_free(&samples);
	gsl_rng_free(rng);
}

/* ---- latencies ------------------------------------------------------------------------ */

static void histogram_percentiles(void **state)
{
	struct cell cell = { .name = "test", .engine = "ronbus" };
	struct summary *summary = &cell.series[0].summary;
	double values[10000];
	size_t i;

	(void)state;
	cell_add_latencies(&cell, "oneway");
	for (i = 0; i < ARRAY_SIZE(values); i++)
		values[i] = 100 + (double)(i * 7919 % ARRAY_SIZE(values));
	samples_turn(&cell.series[0].samples);
	series_add_latencies(&cell.series[0], values, ARRAY_SIZE(values));
	cell_summarize(&cell);
	/* A range of the histogram is 2.3 % wide. */
	assert_near(summary->p50, 5100, 0.025 * 5100);
	assert_near(summary->p95, 9600, 0.025 * 9600);
	assert_near(summary->p99, 10000, 0.025 * 10000);
	assert_near(summary->p999, 10090, 0.025 * 10090);
	assert_int_equal(cell.series[0].samples.count, 20);
	samples_free(&cell.series[0].samples);
	gsl_histogram_free(cell.series[0].histogram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(percentiles),
		cmocka_unit_test(forgotten_turn_was_not),
		cmocka_unit_test(quiet_is_what_takes_no_longer_than_ever),
		cmocka_unit_test(busy_is_what_is_not_idle),
		cmocka_unit_test(percentile_between_two),
		cmocka_unit_test(one_sample),
		cmocka_unit_test(outliers_by_tukey),
		cmocka_unit_test(halves_of_turns),
		cmocka_unit_test(interval_covers_independent),
		cmocka_unit_test(interval_covers_turns),
		cmocka_unit_test(ratio_covers),
		cmocka_unit_test(ratio_of_known),
		cmocka_unit_test(pairs_are_drawn_together),
		cmocka_unit_test(same_seed_same_interval),
		cmocka_unit_test(histogram_percentiles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
