// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * cell.c - what is measured: cells, each with its parameters and its series of samples
 */
#include <gsl/gsl_statistics_double.h>
#include <math.h>

#include "cell.h"

/* ---- a table of cells ----------------------------------------------------------------- */

struct cell *cells_add(struct cells *cells, const struct cell *template, const char *format, ...)
{
	struct cell *cell;
	va_list args;
	int len;

	if (cells->count == cells->room) {
		cells->room = cells->room ? 2 * cells->room : 64;
		cells->cells = realloc(cells->cells, cells->room * sizeof(*cells->cells));
		if (!cells->cells)
			die("no memory");
	}
	cell = &cells->cells[cells->count++];
	*cell = *template;
	va_start(args, format);
	len = vsnprintf(cell->name, sizeof(cell->name), format, args);
	va_end(args);
	if (len < 0 || (size_t)len >= sizeof(cell->name))
		die("the name of a cell is too long: %s", cell->name);
	return cell;
}

struct cell *cells_find(const struct cells *cells, const char *name)
{
	size_t i;

	for (i = 0; i < cells->count; i++)
		if (!strcmp(cells->cells[i].name, name))
			return &cells->cells[i];
	return NULL;
}

static void cell_free(struct cell *cell)
{
	unsigned int i;

	for (i = 0; i < cell->nr_series; i++) {
		samples_free(&cell->series[i].samples);
		if (cell->series[i].histogram)
			gsl_histogram_free(cell->series[i].histogram);
	}
}

void cells_free(struct cells *cells)
{
	size_t i;

	for (i = 0; i < cells->count; i++)
		cell_free(&cells->cells[i]);
	free(cells->cells);
	*cells = (struct cells){ 0 };
}

/* One of the alternatives of @filter is in @name. */
static bool matches(const char *name, const char *filter)
{
	for (;;) {
		size_t len = strcspn(filter, ",");

		if (len && memmem(name, strlen(name), filter, len))
			return true;
		if (!filter[len])
			return false;
		filter += len + 1;
	}
}

void cells_filter(struct cells *cells, char *const *filters, size_t count)
{
	size_t i, f, kept = 0;

	for (i = 0; i < cells->count; i++) {
		for (f = 0; f < count; f++)
			if (!matches(cells->cells[i].name, filters[f]))
				break;
		if (f < count)
			cell_free(&cells->cells[i]);
		else
			cells->cells[kept++] = cells->cells[i];
	}
	cells->count = kept;
}

/* ---- a cell --------------------------------------------------------------------------- */

void cell_add_series(struct cell *cell, const char *name, const char *unit)
{
	if (cell->nr_series == SERIES_MOST)
		die("%s has too many series", cell->name);
	cell->series[cell->nr_series++] = (struct series){ .name = name, .unit = unit };
}

void cell_add_latencies(struct cell *cell, const char *name)
{
	cell_add_series(cell, name, "ns");
	cell->series[cell->nr_series - 1].histogram = latency_histogram();
}

struct series *cell_series(const struct cell *cell, const char *name)
{
	unsigned int i;

	for (i = 0; i < cell->nr_series; i++)
		if (!strcmp(cell->series[i].name, name))
			return (struct series *)&cell->series[i];
	return NULL;
}

void cell_skip(struct cell *cell, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(cell->skipped, sizeof(cell->skipped), format, args);
	va_end(args);
}

void cell_clear(struct cell *cell)
{
	unsigned int i;

	for (i = 0; i < cell->nr_series; i++) {
		samples_clear(&cell->series[i].samples);
		if (cell->series[i].histogram)
			gsl_histogram_reset(cell->series[i].histogram);
	}
	cell->counters = (struct ronbus_counters){ 0 };
}

static void summarize_series(struct series *series)
{
	const gsl_histogram *histogram = series->histogram;

	summarize(&series->samples, &series->summary);
	if (!histogram || !(gsl_histogram_sum(histogram) > 0))
		return;
	series->summary.p50 = histogram_percentile(histogram, 0.5);
	series->summary.p95 = histogram_percentile(histogram, 0.95);
	series->summary.p99 = histogram_percentile(histogram, 0.99);
	series->summary.p999 = histogram_percentile(histogram, 0.999);
}

void cell_summarize(struct cell *cell)
{
	unsigned int i;

	for (i = 0; i < cell->nr_series; i++)
		summarize_series(&cell->series[i]);
}

/* ---- latencies ------------------------------------------------------------------------ */

/* From a nanosecond to ten seconds, with ranges that are 2.3 % wide. */
#define DECADES 10U
#define RANGES_A_DECADE 100U
#define RANGES (DECADES * RANGES_A_DECADE)
#define LATENCY_SAMPLES 20U

gsl_histogram *latency_histogram(void)
{
	gsl_histogram *histogram = gsl_histogram_alloc(RANGES);
	double bounds[RANGES + 1];
	unsigned int i;

	if (!histogram)
		die("no memory");
	for (i = 0; i <= RANGES; i++)
		bounds[i] = pow(10, (double)i / RANGES_A_DECADE);
	gsl_histogram_set_ranges(histogram, bounds, RANGES + 1);
	return histogram;
}

static void count_latency(gsl_histogram *histogram, double value)
{
	double least = gsl_histogram_min(histogram), most = gsl_histogram_max(histogram);

	gsl_histogram_increment(histogram, fmin(fmax(value, least), most * 0.999));
}

double histogram_percentile(const gsl_histogram *histogram, double p)
{
	gsl_histogram_pdf *pdf = gsl_histogram_pdf_alloc(gsl_histogram_bins(histogram));
	double value;

	if (!pdf)
		die("no memory");
	gsl_histogram_pdf_init(pdf, histogram);
	/* The inverse of the distribution function: meant to draw samples, and just what is needed. */
	value = gsl_histogram_pdf_sample(pdf, p);
	gsl_histogram_pdf_free(pdf);
	return value;
}

void series_add_latencies(struct series *series, double *values, size_t count)
{
	size_t blocks = count < LATENCY_SAMPLES ? count : LATENCY_SAMPLES;
	size_t i, block;

	for (i = 0; i < count; i++)
		count_latency(series->histogram, values[i]);
	for (block = 0; block < blocks; block++) {
		size_t begin = block * count / blocks, end = (block + 1) * count / blocks;

		samples_add(&series->samples, gsl_stats_median(values + begin, 1, end - begin));
	}
}
