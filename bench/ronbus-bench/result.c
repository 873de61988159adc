// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * result.c - results as JSON
 *
 * All samples are in it, turn by turn, for a later run to be compared with them as well as a run
 * can be compared with itself.
 */
#include <errno.h>
#include <time.h>

#include "common.h"
#include "quiet.h"
#include "result.h"

/* ---- parts ---------------------------------------------------------------------------- */

static void set_real(json_t *object, const char *name, double value)
{
	json_object_set_new(object, name, json_real(value));
}

static void set_integer(json_t *object, const char *name, uint64_t value)
{
	json_object_set_new(object, name, json_integer((json_int_t)value));
}

static void set_string(json_t *object, const char *name, const char *value)
{
	json_object_set_new(object, name, json_string(value ? value : ""));
}

static json_t *turns_of(const struct samples *samples)
{
	json_t *turns = json_array();
	size_t turn, i;

	for (turn = 0; turn < samples->turns; turn++) {
		json_t *values = json_array();

		for (i = samples_begin(samples, turn); i < samples->ends[turn]; i++)
			json_array_append_new(values, json_real(samples->values[i]));
		json_array_append_new(turns, values);
	}
	return turns;
}

/* The ranges in which there is something, as lower bound and number. */
static json_t *histogram_of(const gsl_histogram *histogram)
{
	json_t *ranges = json_array();
	double low, high;
	size_t i;

	for (i = 0; i < gsl_histogram_bins(histogram); i++) {
		double number = gsl_histogram_get(histogram, i);

		if (!(number > 0))
			continue;
		gsl_histogram_get_range(histogram, i, &low, &high);
		json_array_append_new(ranges, json_pack("[fI]", low, (json_int_t)number));
	}
	return ranges;
}

static json_t *outliers_of(const struct outliers *outliers)
{
	json_t *object = json_object();

	set_integer(object, "low_severe", outliers->low_severe);
	set_integer(object, "low_mild", outliers->low_mild);
	set_integer(object, "high_mild", outliers->high_mild);
	set_integer(object, "high_severe", outliers->high_severe);
	return object;
}

static json_t *series_of(const struct series *series)
{
	const struct summary *summary = &series->summary;
	json_t *object = json_object();

	set_string(object, "name", series->name);
	set_string(object, "unit", series->unit);
	set_integer(object, "samples", series->samples.count);
	set_real(object, "median", summary->median.value);
	set_real(object, "low", summary->median.low);
	set_real(object, "high", summary->median.high);
	set_real(object, "min", summary->min);
	set_real(object, "max", summary->max);
	set_real(object, "p50", summary->p50);
	set_real(object, "p95", summary->p95);
	set_real(object, "p99", summary->p99);
	set_real(object, "p999", summary->p999);
	set_real(object, "halves", summary->halves);
	json_object_set_new(object, "outliers", outliers_of(&summary->outliers));
	if (series->histogram)
		json_object_set_new(object, "histogram", histogram_of(series->histogram));
	json_object_set_new(object, "turns", turns_of(&series->samples));
	return object;
}

static void add_counter(void *arg, const struct ronbus_counter *counter)
{
	char name[128];

	snprintf(name, sizeof(name), "%s%s%s%s", counter->name, counter->label ? "{" : "",
		 counter->label ? counter->label : "", counter->label ? "}" : "");
	set_integer(arg, name, counter->value);
}

static json_t *counters_of(const struct cell *cell)
{
	struct ronbus_stats stats = { .which = RONBUS_STATS_BUS,
				      .capacity = cell->capacity_selected,
				      .counters = cell->counters };
	double share = suppressed_share(&cell->counters);
	json_t *object = json_object();

	ronbus_counters_each(&stats, add_counter, object);
	if (share >= 0)
		set_real(object, "suppressed_share", share);
	return object;
}

static json_t *parameters_of(const struct cell *cell)
{
	json_t *object = json_object();
	const char shape[2] = { cell->shape };

	set_string(object, "features", cell->features_name);
	set_integer(object, "feature_bits", cell->features);
	set_integer(object, "capacity",
		    cell->capacity_selected ? cell->capacity_selected : cell->capacity);
	set_integer(object, "payload", cell->payload);
	set_integer(object, "subscribers", cell->subscribers);
	set_integer(object, "publishers", cell->publishers);
	set_integer(object, "burst", cell->burst);
	set_integer(object, "batch", cell->batch);
	set_integer(object, "flush_threshold", cell->flush_threshold);
	set_integer(object, "relevant", cell->relevant);
	set_integer(object, "coalesce", cell->coalesce);
	set_integer(object, "delay_ns", cell->delay_ns);
	json_object_set_new(object, "sleeping", json_boolean(cell->sleeping));
	set_string(object, "shape", shape);
	return object;
}

static json_t *cell_of(const struct cell *cell)
{
	json_t *object = json_object(), *all = json_array();
	unsigned int i;

	set_string(object, "name", cell->name);
	set_string(object, "group", cell->group);
	set_string(object, "engine", cell->engine);
	set_string(object, "version", cell->version);
	set_string(object, "what", cell->ops->what);
	json_object_set_new(object, "parameters", parameters_of(cell));
	if (*cell->skipped)
		set_string(object, "skipped", cell->skipped);
	for (i = 0; !*cell->skipped && i < cell->nr_series; i++)
		if (cell->series[i].samples.count)
			json_array_append_new(all, series_of(&cell->series[i]));
	json_object_set_new(object, "series", all);
	if (cell_is_ronbus(cell))
		json_object_set_new(object, "counters", counters_of(cell));
	return object;
}

static void set_interval(json_t *object, const struct interval *interval)
{
	set_real(object, "value", interval->value);
	set_real(object, "low", interval->low);
	set_real(object, "high", interval->high);
}

static json_t *gate_of(const struct gate *gate)
{
	json_t *object = json_object();

	set_string(object, "name", gate->name);
	set_string(object, "kind", gate_kind_name(gate->kind));
	set_string(object, "on", gate->on);
	set_string(object, "against", gate->against);
	set_string(object, "series", gate->series);
	set_real(object, "quantile", gate->quantile);
	set_real(object, "bound", gate->bound);
	set_interval(object, &gate->value);
	set_real(object, "on_value", gate->on_value);
	set_real(object, "off_value", gate->off_value);
	set_string(object, "result", gate_result_name(gate->result));
	set_string(object, "note", gate->note);
	return object;
}

static json_t *change_of(const struct change *change)
{
	json_t *object = json_object();

	set_string(object, "name", change->cell->name);
	set_string(object, "series", change->series->name);
	set_real(object, "then", change->then);
	set_real(object, "now", change->now);
	set_interval(object, &change->ratio);
	set_real(object, "threshold", change->threshold);
	set_string(object, "verdict", verdict_name(change->verdict));
	return object;
}

static json_t *changes_of(const struct changes *changes)
{
	json_t *object = json_object(), *all = json_array();
	size_t i;

	set_string(object, "baseline", changes->name);
	set_real(object, "noise_least", settings.noise);
	set_real(object, "drift", changes->drift);
	set_real(object, "drift_handoff", changes->drift_handoff);
	for (i = 0; i < changes->count; i++)
		json_array_append_new(all, change_of(&changes->changes[i]));
	json_object_set_new(object, "changes", all);
	return object;
}

static json_t *settings_of(void)
{
	json_t *object = json_object();

	json_object_set_new(object, "quick", json_boolean(settings.quick));
	set_integer(object, "turns", settings.turns);
	set_integer(object, "warm_ns", settings.warm_ns);
	set_integer(object, "turn_ns", settings.turn_ns);
	set_real(object, "waited_ns", quiet.waited_ns);
	set_integer(object, "repeated_visits", quiet.repeated);
	set_integer(object, "disturbed_visits", quiet.disturbed);
	set_real(object, "others", quiet.others);
	return object;
}

static void set_date(json_t *object)
{
	char text[32];
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	set_string(object, "date", text);
}

/* ---- all of it ------------------------------------------------------------------------ */

json_t *result_make(const json_t *machine, const struct cells *cells, const struct gates *gates,
		    const struct changes *changes)
{
	json_t *object = json_object(), *all = json_array(), *judged = json_array();
	size_t i;

	set_string(object, "format", RESULT_FORMAT);
	set_integer(object, "version", RESULT_VERSION);
	set_date(object);
	json_object_set(object, "machine", (json_t *)machine);
	json_object_set_new(object, "settings", settings_of());
	for (i = 0; i < cells->count; i++)
		json_array_append_new(all, cell_of(&cells->cells[i]));
	json_object_set_new(object, "cells", all);
	for (i = 0; i < gates->count; i++)
		json_array_append_new(judged, gate_of(&gates->gates[i]));
	json_object_set_new(object, "gates", judged);
	if (changes)
		json_object_set_new(object, "comparison", changes_of(changes));
	return object;
}

bool result_write(const json_t *result, const char *path)
{
	size_t flags = JSON_INDENT(1) | JSON_REAL_PRECISION(6);
	FILE *file = strcmp(path, "-") ? fopen(path, "we") : stdout;
	bool good;

	if (!file) {
		fprintf(stderr, "%s: %s: %s\n", bench_name, path, strerror(errno));
		return false;
	}
	good = !json_dumpf(result, file, flags) && fputc('\n', file) == '\n' && !fflush(file);
	if (file != stdout)
		good = !fclose(file) && good;
	if (!good)
		fprintf(stderr, "%s: %s cannot be written\n", bench_name, path);
	return good;
}
