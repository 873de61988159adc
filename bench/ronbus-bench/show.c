// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * show.c - results as tables for people
 */
#include <math.h>

#include "cases.h"
#include "quiet.h"
#include "show.h"

#define FIELD 24U

/* Four digits or so of what is there. */
static const char *number(double value, char text[FIELD])
{
	double size = fabs(value);
	int digits = size < 10 ? 3 : size < 100 ? 2 : size < 1000 ? 1 : 0;

	snprintf(text, FIELD, "%.*f", digits, value);
	return text;
}

/* ---- cells ---------------------------------------------------------------------------- */

static bool is_cost_of_message(const struct series *series)
{
	return !strcmp(series->unit, "ns/msg") && strcmp(series->name, "cpu") != 0;
}

static void show_rate(double ns, FILE *to)
{
	char text[FIELD];

	if (ns > 0)
		fprintf(to, " %9s M/s", number(1e3 / ns, text));
	else
		fprintf(to, " %13s", "");
}

static void show_percentiles(const struct summary *summary, FILE *to)
{
	char p95[FIELD], p99[FIELD], p999[FIELD];

	fprintf(to, "  p95 %s, p99 %s, p99.9 %s", number(summary->p95, p95),
		number(summary->p99, p99), number(summary->p999, p999));
}

static void show_outliers(const struct series *series, FILE *to)
{
	const struct outliers *outliers = &series->summary.outliers;
	size_t low = outliers->low_mild + outliers->low_severe;
	size_t mild = outliers->high_mild, severe = outliers->high_severe;

	if (!(low + mild + severe))
		return;
	fprintf(to, "  outliers of %zu:", series->samples.count);
	if (low)
		fprintf(to, " %zu low", low);
	if (mild)
		fprintf(to, " %zu high", mild);
	if (severe)
		fprintf(to, " %zu far", severe);
}

/* What a rate means depends on these. */
static void show_counters(const struct cell *cell, FILE *to)
{
	const struct ronbus_counters *counters = &cell->counters;
	double share = suppressed_share(counters);

	if (!cell_is_ronbus(cell))
		return;
	fprintf(to, "  wakes %llu", (unsigned long long)counters->notify_sends_total);
	if (share >= 0)
		fprintf(to, ", suppressed %.2f %%", 100 * share);
	fprintf(to, ", drops %llu, lag %llu", (unsigned long long)counters->dropped_total,
		(unsigned long long)counters->overflow_dropped_total);
}

static void show_series(const struct cell *cell, const struct series *series, FILE *to)
{
	const struct interval *median = &series->summary.median;
	bool first = series == &cell->series[0];
	char value[FIELD], low[FIELD], high[FIELD];

	fprintf(to, "%-46s %-9s %9s %-7s [%s, %s]", first ? cell->name : "", series->name,
		number(median->value, value), series->unit, number(median->low, low),
		number(median->high, high));
	if (series->histogram)
		show_percentiles(&series->summary, to);
	else if (is_cost_of_message(series))
		show_rate(median->value, to);
	show_outliers(series, to);
	if (first)
		show_counters(cell, to);
	fputc('\n', to);
}

static void show_cell(const struct cell *cell, FILE *to)
{
	unsigned int i;

	if (*cell->skipped) {
		fprintf(to, "%-46s skipped: %s\n", cell->name, cell->skipped);
		return;
	}
	for (i = 0; i < cell->nr_series; i++)
		if (cell->series[i].samples.count)
			show_series(cell, &cell->series[i], to);
}

void show_cells(const struct cells *cells, FILE *to)
{
	const struct cell_ops *ops = NULL;
	const char *group = "";
	size_t i;

	for (i = 0; i < cells->count; i++) {
		const struct cell *cell = &cells->cells[i];

		if (strcmp(cell->group, group))
			fprintf(to, "\n== %s\n", cell->group);
		if (cell_is_ronbus(cell) && cell->ops != ops) {
			fprintf(to, "-- %s\n", cell->ops->what);
			ops = cell->ops;
		}
		group = cell->group;
		show_cell(cell, to);
	}
}

/* ---- gates ---------------------------------------------------------------------------- */

/* What is asked, in words. */
static const char *asked(const struct gate *gate, char text[FIELD])
{
	*text = '\0';
	switch (gate->bound > 0 ? gate->kind : GATE_INFO) {
	case GATE_GAIN:
	case GATE_SHARE:
		snprintf(text, FIELD, ">= %g %%", gate->bound);
		break;
	case GATE_COST:
	case GATE_BEST:
		snprintf(text, FIELD, "<= +%g %%", gate->bound);
		break;
	case GATE_RATIO:
		snprintf(text, FIELD, "<= %g times", gate->bound);
		break;
	case GATE_MOST:
		snprintf(text, FIELD, "<= %g", gate->bound);
		break;
	default:
		break;
	}
	return text;
}

static bool is_percent(enum gate_kind kind)
{
	return kind != GATE_RATIO && kind != GATE_MOST && kind != GATE_VERSUS;
}

static void show_gate(const struct gate *gate, FILE *to)
{
	char value[FIELD], low[FIELD], high[FIELD], bound[FIELD];
	const char *unit = is_percent(gate->kind) ? "%" : "times";
	char range[2 * FIELD + 4];

	snprintf(range, sizeof(range), "[%s, %s]", number(gate->value.low, low),
		 number(gate->value.high, high));
	fprintf(to, "%-44s %-8s %-5s %8s %-5s %-20s %-12s %-7s", gate->name, gate->series,
		gate_kind_name(gate->kind), number(gate->value.value, value), unit, range,
		asked(gate, bound), gate_result_name(gate->result));
	if (gate->kind != GATE_SHARE)
		fprintf(to, "%s against %s", number(gate->on_value, value),
			number(gate->off_value, low));
	fprintf(to, "%s%s\n", *gate->note ? ", " : "", gate->note);
}

void show_gates(const struct gates *gates, FILE *to)
{
	size_t i;

	if (!gates->count)
		return;
	fputs("\n== comparisons within this run, 95 % intervals\n"
	      "-- gain: costs less with the feature; cost: costs more; aim: ours as a multiple of the "
	      "best peer's;\n"
	      "-- peer: the peer's as a multiple of ours; most: ours as a multiple of what it may be\n",
	      to);
	for (i = 0; i < gates->count; i++)
		show_gate(&gates->gates[i], to);
}

/* ---- changes -------------------------------------------------------------------------- */

static double percent(double ratio)
{
	return 100 * (ratio - 1);
}

static void show_change(const struct change *change, FILE *to)
{
	char then[FIELD], now[FIELD];

	fprintf(to, "%-46s %-9s", change->cell->name, change->series->name);
	if (change->ratio.value > 0)
		fprintf(to, " %9s -> %9s  %+7.1f %% [%+.1f, %+.1f]", number(change->then, then),
			number(change->now, now), percent(change->ratio.value),
			percent(change->ratio.low), percent(change->ratio.high));
	if (change->threshold > 0)
		fprintf(to, "  noise %.1f %%", 100 * change->threshold);
	fprintf(to, "  %s\n", verdict_name(change->verdict));
}

static size_t count_of(const struct changes *changes, enum verdict verdict)
{
	size_t i, count = 0;

	for (i = 0; i < changes->count; i++)
		count += changes->changes[i].verdict == verdict;
	return count;
}

void show_changes(const struct changes *changes, FILE *to)
{
	size_t i;

	fprintf(to,
		"\n== changes since baseline %s, 99 %% intervals\n"
		"-- noise: at least %.1f %%; more where cells that are measured alike, or loops without "
		"ronbus, differ by more\n",
		changes->name, 100 * settings.noise);
	if (changes->others > OTHERS_MOST)
		fprintf(to,
			"-- others had %.0f %% of the CPUs in one of the runs: nothing is said of cells with "
			"more than one thread\n",
			100 * changes->others);
	for (i = 0; i < changes->count; i++)
		show_change(&changes->changes[i], to);
	fprintf(to, "%zu improved, %zu regressed, %zu within noise, %zu new\n",
		count_of(changes, VERDICT_IMPROVED), count_of(changes, VERDICT_REGRESSED),
		count_of(changes, VERDICT_NOISE), count_of(changes, VERDICT_NEW));
}
