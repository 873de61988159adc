// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * stats.c - samples, and what can be said from them; random numbers, order statistics and
 * Student's distribution are the GNU Scientific Library's
 */
#include <gsl/gsl_cdf.h>
#include <gsl/gsl_rng.h>
#include <gsl/gsl_sort.h>
#include <gsl/gsl_statistics_double.h>
#include <math.h>

#include "common.h"
#include "stats.h"

#define BOOTSTRAPS 1000U
#define COMPARE_BOOTSTRAPS 2000U /* for the tails of 99 % */
#define CONFIDENCE 0.95

/* ---- samples -------------------------------------------------------------------------- */

void samples_turn(struct samples *samples)
{
	if (samples->turns == TURNS_MOST)
		die("more than %u turns", TURNS_MOST);
	samples->ends[samples->turns++] = samples->count;
}

void samples_forget_turn(struct samples *samples)
{
	if (!samples->turns)
		return;
	samples->turns--;
	samples->count = samples_begin(samples, samples->turns);
}

void samples_add(struct samples *samples, double value)
{
	if (!samples->turns)
		samples_turn(samples);
	if (samples->count == samples->room) {
		samples->room = samples->room ? 2 * samples->room : 64;
		samples->values =
			realloc(samples->values, samples->room * sizeof(*samples->values));
		if (!samples->values)
			die("no memory");
	}
	samples->values[samples->count++] = value;
	samples->ends[samples->turns - 1] = samples->count;
}

void samples_clear(struct samples *samples)
{
	samples->count = 0;
	samples->turns = 0;
}

void samples_free(struct samples *samples)
{
	free(samples->values);
	*samples = (struct samples){ 0 };
}

size_t samples_begin(const struct samples *samples, size_t turn)
{
	return turn ? samples->ends[turn - 1] : 0;
}

/* ---- random numbers ------------------------------------------------------------------- */

static gsl_rng *random_numbers;

void stats_seed(unsigned long seed)
{
	if (!random_numbers)
		random_numbers = gsl_rng_alloc(gsl_rng_mt19937);
	if (!random_numbers)
		die("no memory");
	gsl_rng_set(random_numbers, seed);
}

/* Of 32 random bits; that some numbers come a little more often does not matter, a division does. */
unsigned long stats_random(unsigned long below)
{
	if (!random_numbers)
		stats_seed(1);
	return (unsigned long)((uint64_t)gsl_rng_get(random_numbers) * below >> 32);
}

/* ---- order statistics ----------------------------------------------------------------- */

double quantile_of(double *values, size_t count, double p)
{
	if (p == 0.5)
		return gsl_stats_median(values, 1, count); /* selects, does not sort */
	gsl_sort(values, 1, count);
	return gsl_stats_quantile_from_sorted_data(values, 1, count, p);
}

static double *copy_of(const struct samples *samples)
{
	double *copy = malloc((samples->count + !samples->count) * sizeof(*copy));

	if (!copy)
		die("no memory");
	if (samples->count)
		memcpy(copy, samples->values, samples->count * sizeof(*copy));
	return copy;
}

double samples_quantile(const struct samples *samples, double p)
{
	double *copy = copy_of(samples), value;

	value = quantile_of(copy, samples->count, p);
	free(copy);
	return value;
}

/* ---- bootstrap ------------------------------------------------------------------------ */

/*
 * A few turns vary less among themselves than all turns there could be, and a bootstrap of them
 * believes that they are all. This is by how much too narrow it is, as with the mean of as many
 * values: Student's distribution in place of the normal one, and n - 1 in place of n.
 */
static double widening(size_t turns, double confidence)
{
	double tail = (1 + confidence) / 2, n = (double)turns;

	if (turns < 2)
		return 1;
	return sqrt(n / (n - 1)) * gsl_cdf_tdist_Pinv(tail, n - 1) / gsl_cdf_ugaussian_Pinv(tail);
}

static void draw_turns(size_t *turns, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		turns[i] = stats_random(count);
}

/* Draws from each of @turns as many samples as it has; returns how many that were. */
static size_t draw(const struct samples *samples, const size_t *turns, double *drawn)
{
	size_t i, n = 0;

	for (i = 0; i < samples->turns; i++) {
		size_t begin = samples_begin(samples, turns[i]);
		size_t some = samples->ends[turns[i]] - begin, j;

		for (j = 0; j < some; j++)
			drawn[n++] = samples->values[begin + stats_random(some)];
	}
	return n;
}

/* How many values draw() may return: as many as the longest turn has, in each turn. */
static double *room_to_draw(const struct samples *samples)
{
	size_t turn, most = 1;
	double *room;

	for (turn = 0; turn < samples->turns; turn++)
		if (samples->ends[turn] - samples_begin(samples, turn) > most)
			most = samples->ends[turn] - samples_begin(samples, turn);
	room = malloc(most * (samples->turns + 1) * sizeof(*room));
	if (!room)
		die("no memory");
	return room;
}

/* How far @bound is from @value, times @factor; of costs as a ratio, for they are never negative. */
static double widen(double value, double bound, double factor)
{
	if (value > 0 && bound > 0)
		return value * pow(bound / value, factor);
	return value + factor * (bound - value);
}

/* The interval that @estimates say, widened about @value by @factor. */
static struct interval interval_of(double value, double *estimates, size_t count, double confidence,
				   double factor)
{
	struct interval ret = { .value = value };
	double low, high;

	gsl_sort(estimates, 1, count);
	low = gsl_stats_quantile_from_sorted_data(estimates, 1, count, (1 - confidence) / 2);
	high = gsl_stats_quantile_from_sorted_data(estimates, 1, count, (1 + confidence) / 2);
	ret.low = fmin(value, widen(value, low, factor));
	ret.high = fmax(value, widen(value, high, factor));
	return ret;
}

static struct interval median_interval(const struct samples *samples)
{
	double estimates[BOOTSTRAPS], *drawn = room_to_draw(samples);
	size_t turns[TURNS_MOST], i, n;

	for (i = 0; i < BOOTSTRAPS; i++) {
		do {
			draw_turns(turns, samples->turns);
			n = draw(samples, turns, drawn);
		} while (!n);
		estimates[i] = quantile_of(drawn, n, 0.5);
	}
	free(drawn);
	return interval_of(samples_quantile(samples, 0.5), estimates, BOOTSTRAPS, CONFIDENCE,
			   widening(samples->turns, CONFIDENCE));
}

static bool ratio_of(double these, double those, double *ret)
{
	if (!(these > 0) || !(those > 0))
		return false;
	*ret = these / those;
	return true;
}

static bool draw_ratio(const struct samples *these, const struct samples *those, double p,
		       bool paired, double *drawn_these, double *drawn_those, double *ret)
{
	size_t turns[TURNS_MOST], n, m;

	draw_turns(turns, these->turns);
	n = draw(these, turns, drawn_these);
	if (!paired)
		draw_turns(turns, those->turns);
	m = draw(those, turns, drawn_those);
	return n && m &&
	       ratio_of(quantile_of(drawn_these, n, p), quantile_of(drawn_those, m, p), ret);
}

struct interval compare(const struct samples *these, const struct samples *those, double p,
			enum pairing pairing, double confidence)
{
	bool paired = pairing == PAIRED && these->turns == those->turns;
	size_t i, n = 0, turns = these->turns < those->turns ? these->turns : those->turns;
	double estimates[COMPARE_BOOTSTRAPS], value, *drawn_these, *drawn_those;

	if (!these->count || !those->count ||
	    !ratio_of(samples_quantile(these, p), samples_quantile(those, p), &value))
		return (struct interval){ 0 };
	drawn_these = room_to_draw(these);
	drawn_those = room_to_draw(those);
	for (i = 0; i < COMPARE_BOOTSTRAPS; i++)
		n += draw_ratio(these, those, p, paired, drawn_these, drawn_those, &estimates[n]);
	free(drawn_these);
	free(drawn_those);
	if (!n)
		return (struct interval){ 0 };
	return interval_of(value, estimates, n, confidence, widening(turns, confidence));
}

/* ---- summary -------------------------------------------------------------------------- */

static void find_outliers(const double *sorted, size_t count, struct outliers *outliers)
{
	double q1 = gsl_stats_quantile_from_sorted_data(sorted, 1, count, 0.25);
	double q3 = gsl_stats_quantile_from_sorted_data(sorted, 1, count, 0.75);
	double mild = 1.5 * (q3 - q1), severe = 3 * (q3 - q1);
	size_t i;

	*outliers = (struct outliers){ 0 };
	for (i = 0; i < count; i++) {
		outliers->low_severe += sorted[i] < q1 - severe;
		outliers->low_mild += sorted[i] < q1 - mild && sorted[i] >= q1 - severe;
		outliers->high_mild += sorted[i] > q3 + mild && sorted[i] <= q3 + severe;
		outliers->high_severe += sorted[i] > q3 + severe;
	}
}

static double halves(const struct samples *samples)
{
	size_t middle = samples->turns / 2 ? samples->ends[samples->turns / 2 - 1] : 0;
	struct samples first = { .values = samples->values, .count = middle };
	struct samples second = { .values = samples->values + middle,
				  .count = samples->count - middle };
	double ratio;

	if (!first.count || !second.count ||
	    !ratio_of(samples_quantile(&second, 0.5), samples_quantile(&first, 0.5), &ratio))
		return 1;
	return ratio;
}

void summarize(const struct samples *samples, struct summary *summary)
{
	double *sorted;
	size_t count = samples->count;

	*summary = (struct summary){ .halves = 1 };
	if (!count)
		return;
	sorted = copy_of(samples);
	gsl_sort(sorted, 1, count);
	summary->min = sorted[0];
	summary->max = sorted[count - 1];
	summary->p50 = gsl_stats_quantile_from_sorted_data(sorted, 1, count, 0.5);
	summary->p95 = gsl_stats_quantile_from_sorted_data(sorted, 1, count, 0.95);
	summary->p99 = gsl_stats_quantile_from_sorted_data(sorted, 1, count, 0.99);
	summary->p999 = gsl_stats_quantile_from_sorted_data(sorted, 1, count, 0.999);
	find_outliers(sorted, count, &summary->outliers);
	free(sorted);
	summary->median = median_interval(samples);
	summary->halves = halves(samples);
}
