// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * gate.c - comparisons of cells of one run: features on against off, ronbus beside its peers
 */
#include "gate.h"

#define CONFIDENCE 0.95

const char *gate_kind_name(enum gate_kind kind)
{
	static const char *const names[] = {
		[GATE_GAIN] = "gain",	[GATE_COST] = "cost",	[GATE_BEST] = "best",
		[GATE_SHARE] = "share", [GATE_RATIO] = "aim",	[GATE_MOST] = "most",
		[GATE_INFO] = "info",	[GATE_VERSUS] = "peer",
	};

	return names[kind];
}

const char *gate_result_name(enum gate_result result)
{
	static const char *const names[] = {
		[RESULT_NONE] = "",
		[RESULT_PASS] = "pass",
		[RESULT_MISS] = "miss",
		[RESULT_UNSURE] = "unsure",
	};

	return names[result];
}

void gates_free(struct gates *gates)
{
	free(gates->gates);
	*gates = (struct gates){ 0 };
}

double suppressed_share(const struct ronbus_counters *counters)
{
	if (!counters->addressed_total)
		return -1;
	return (double)counters->notify_suppressed_total / (double)counters->addressed_total;
}

/* ---- finding what is compared --------------------------------------------------------- */

static const struct series *measured(const struct cell *cell, const char *series)
{
	const struct series *ret = cell && !*cell->skipped ? cell_series(cell, series) : NULL;

	return ret && ret->samples.count ? ret : NULL;
}

/* A quantile that the summary has. */
static double value_of(const struct series *series, double quantile)
{
	return quantile == 0.5 ? series->summary.median.value : series->summary.p95;
}

/* Of those whose names begin with @prefix the one of least cost. */
static const struct cell *best_of(const struct cells *cells, const struct gate *gate)
{
	const struct cell *best = NULL;
	double least = 0;
	size_t i;

	for (i = 0; i < cells->count; i++) {
		const struct cell *cell = &cells->cells[i];
		const struct series *series = measured(cell, gate->series);

		if (!series || strncmp(cell->name, gate->off, strlen(gate->off)) ||
		    (gate->kind == GATE_RATIO && cell_is_ronbus(cell)) ||
		    (gate->except && !strncmp(cell->engine, gate->except, strlen(gate->except))))
			continue;
		if (!best || value_of(series, gate->quantile) < least) {
			best = cell;
			least = value_of(series, gate->quantile);
		}
	}
	return best;
}

static const struct cell *other_side(const struct cells *cells, const struct gate *gate)
{
	const struct cell *cell = cells_find(cells, gate->off);

	return cell || (gate->kind != GATE_BEST && gate->kind != GATE_RATIO) ? cell
									     : best_of(cells, gate);
}

/* ---- judging -------------------------------------------------------------------------- */

/* At least @bound: certainly, certainly not, or not to be told. */
static enum gate_result at_least(struct interval value, double bound)
{
	if (value.low >= bound)
		return RESULT_PASS;
	return value.high < bound ? RESULT_MISS : RESULT_UNSURE;
}

static enum gate_result at_most(struct interval value, double bound)
{
	if (value.high <= bound)
		return RESULT_PASS;
	return value.low > bound ? RESULT_MISS : RESULT_UNSURE;
}

static struct interval one_share(struct interval ratio, unsigned int shares)
{
	double n = shares ? shares : 1;

	return (struct interval){ ratio.value / n, ratio.low / n, ratio.high / n };
}

static struct interval percent_less(struct interval ratio)
{
	return (struct interval){ 100 * (1 - ratio.value), 100 * (1 - ratio.high),
				  100 * (1 - ratio.low) };
}

static struct interval percent_more(struct interval ratio)
{
	return (struct interval){ 100 * (ratio.value - 1), 100 * (ratio.low - 1),
				  100 * (ratio.high - 1) };
}

static void judge_ratio(struct gate *gate, struct interval ratio)
{
	switch (gate->kind) {
	case GATE_GAIN:
		gate->value = percent_less(ratio);
		gate->result = at_least(gate->value, gate->bound);
		break;
	case GATE_INFO:
		gate->value = percent_less(ratio);
		break;
	case GATE_COST:
		gate->value = percent_more(ratio);
		gate->result = at_most(gate->value, gate->bound);
		break;
	case GATE_BEST:
		/* That there is a regression has to be shown: the best of several is so by luck, too. */
		gate->value = percent_more(ratio);
		if (gate->value.low > gate->bound)
			gate->result = RESULT_MISS;
		else
			gate->result =
				gate->value.value > gate->bound ? RESULT_UNSURE : RESULT_PASS;
		break;
	case GATE_RATIO:
		gate->value = one_share(ratio, gate->shares);
		gate->result = at_most(gate->value, gate->bound);
		break;
	default:
		gate->value = (struct interval){ 1 / ratio.value, 1 / ratio.high, 1 / ratio.low };
	}
}

static bool judge_share(struct gate *gate, const struct cell *cell)
{
	double share = 100 * suppressed_share(&cell->counters);

	if (share < 0)
		return false;
	gate->value = (struct interval){ share, share, share };
	if (gate->bound > 0)
		gate->result = at_least(gate->value, gate->bound);
	return true;
}

/* As a multiple of what it may be. */
static bool judge_most(struct gate *gate, const struct series *series)
{
	const struct interval *median = &series->summary.median;

	gate->on_value = median->value;
	gate->off_value = gate->bound;
	gate->value = (struct interval){ median->value / gate->bound, median->low / gate->bound,
					 median->high / gate->bound };
	gate->result = at_most(gate->value, 1);
	return true;
}

static void add_note(struct gate *gate, const struct cell *on)
{
	const struct ronbus_counters *counters = &on->counters;

	if (on->features & RONBUS_F_METRICS_BUF && on->flush_threshold &&
	    counters->metrics_tls_flush_total)
		snprintf(gate->note, sizeof(gate->note), "%.1f publishes a flush",
			 (double)counters->published_total /
				 (double)counters->metrics_tls_flush_total);
	else if (gate->kind == GATE_BEST)
		snprintf(gate->note, sizeof(gate->note), "%u slots, against %.60s",
			 on->capacity_selected, strrchr(gate->against, '/') + 1);
	else if (gate->shares > 1)
		snprintf(gate->note, sizeof(gate->note), "for each of %u, against one",
			 gate->shares);
	else if (gate->kind == GATE_RATIO)
		snprintf(gate->note, sizeof(gate->note), "%.30s against %.40s", on->engine,
			 strrchr(gate->against, '/') + 1);
}

static bool judge(struct gate *gate, const struct cells *cells)
{
	const struct cell *on = cells_find(cells, gate->on);
	const struct series *series = measured(on, gate->series), *against;
	const struct cell *off;

	if (!series)
		return false;
	if (gate->kind == GATE_SHARE)
		return judge_share(gate, on);
	if (gate->kind == GATE_MOST)
		return judge_most(gate, series);
	off = other_side(cells, gate);
	against = measured(off, gate->series);
	if (!against)
		return false;
	memcpy(gate->against, off->name, sizeof(gate->against));
	gate->on_value = value_of(series, gate->quantile);
	gate->off_value = value_of(against, gate->quantile);
	judge_ratio(gate, compare(&series->samples, &against->samples, gate->quantile, PAIRED,
				  CONFIDENCE));
	add_note(gate, on);
	return gate->value.high > gate->value.low || gate->value.value != 0;
}

void gates_judge(struct gates *gates, const struct cells *cells)
{
	size_t i, kept = 0;

	for (i = 0; i < gates->count; i++)
		if (judge(&gates->gates[i], cells))
			gates->gates[kept++] = gates->gates[i];
	gates->count = kept;
}
