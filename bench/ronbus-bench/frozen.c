// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * frozen.c - baselines: results that were kept under a name, and what has changed since
 */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cases.h"
#include "frozen.h"
#include "machine.h"
#include "quiet.h"
#include "result.h"

/* ---- files ---------------------------------------------------------------------------- */

bool frozen_path(const char *directory, const char *name, char *path, size_t size)
{
	int len;

	if (!*name || *name == '.' || strchr(name, '/'))
		return false;
	len = snprintf(path, size, "%s/%s.json", directory, name);
	return len > 0 && (size_t)len < size;
}

/* The directories above the file @path. */
static bool make_directories(const char *path)
{
	char part[PATH_MAX];
	char *slash;

	snprintf(part, sizeof(part), "%s", path);
	for (slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(part, 0777) && errno != EEXIST) {
			fprintf(stderr, "%s: %s: %s\n", bench_name, part, strerror(errno));
			return false;
		}
		*slash = '/';
	}
	return true;
}

/* A program that reads the file meanwhile sees the old baseline or the new one. */
bool frozen_save(const char *path, const json_t *frozen)
{
	char temporary[PATH_MAX];

	if (!make_directories(path))
		return false;
	if ((size_t)snprintf(temporary, sizeof(temporary), "%s.new", path) >= sizeof(temporary)) {
		fprintf(stderr, "%s: %s: the name is too long\n", bench_name, path);
		return false;
	}
	if (!result_write(frozen, temporary))
		return false;
	if (rename(temporary, path)) {
		fprintf(stderr, "%s: %s: %s\n", bench_name, path, strerror(errno));
		return false;
	}
	return true;
}

static bool is_result(const json_t *object)
{
	const char *format = json_string_value(json_object_get(object, "format"));

	return format && !strcmp(format, RESULT_FORMAT) &&
	       json_integer_value(json_object_get(object, "version")) == RESULT_VERSION;
}

static const char *shown(const json_t *machine, const char *member)
{
	const json_t *value = json_object_get(machine, member);
	static char text[2][32];
	static int which;

	if (json_is_string(value))
		return json_string_value(value);
	which = !which;
	snprintf(text[which], sizeof(text[which]), "%lld", json_integer_value(value));
	return text[which];
}

/* Is @frozen of this machine, or does it not matter? */
static bool acceptable(const char *path, const json_t *frozen, const json_t *machine, bool force)
{
	const json_t *then = json_object_get(frozen, "machine");
	const char *member = machine_differs(then, machine);

	if (!member)
		return true;
	fprintf(stderr, "%s: %s is of another machine: %s was \"%s\", here it is \"%s\"%s\n",
		bench_name, path, member, shown(then, member), shown(machine, member),
		force ? "" : " (--force compares all the same)");
	return force;
}

json_t *frozen_load(const char *path, const json_t *machine, bool force)
{
	json_error_t error;
	json_t *frozen = json_load_file(path, 0, &error);

	if (!frozen) {
		fprintf(stderr, "%s: there is no baseline %s: %s\n", bench_name, path, error.text);
		return NULL;
	}
	if (!is_result(frozen)) {
		fprintf(stderr, "%s: %s is no result of this version of %s\n", bench_name, path,
			bench_name);
	} else if (acceptable(path, frozen, machine, force)) {
		return frozen;
	}
	json_decref(frozen);
	return NULL;
}

/* ---- finding samples ------------------------------------------------------------------ */

static bool is_member(const json_t *object, const char *member, const char *value)
{
	const char *text = json_string_value(json_object_get(object, member));

	return text && !strcmp(text, value);
}

/* The member of array @in of @object whose name is @name. */
static const json_t *find(const json_t *object, const char *in, const char *name)
{
	const json_t *value;
	size_t i;

	json_array_foreach(json_object_get(object, in), i, value)
	{
		if (is_member(value, "name", name))
			return value;
	}
	return NULL;
}

bool frozen_samples(const json_t *frozen, const char *cell, const char *series,
		    struct samples *samples)
{
	const json_t *found = find(find(frozen, "cells", cell), "series", series);
	const json_t *turn, *value;
	size_t t, i;

	json_array_foreach(json_object_get(found, "turns"), t, turn)
	{
		samples_turn(samples);
		json_array_foreach(turn, i, value) samples_add(samples, json_number_value(value));
	}
	return samples->count > 0;
}

/* ---- noise ---------------------------------------------------------------------------- */

/* Distances of the halves of all series of our cells that are measured like @what. */
static double noise_now(const struct cells *cells, const char *what)
{
	double *distances = calloc(cells->count * SERIES_MOST + 1, sizeof(*distances)), noise;
	size_t i, n = 0;
	unsigned int s;

	if (!distances)
		die("no memory");
	for (i = 0; i < cells->count; i++) {
		const struct cell *cell = &cells->cells[i];

		if (!cell_is_ronbus(cell) || strcmp(cell->ops->what, what))
			continue;
		for (s = 0; s < cell->nr_series; s++)
			if (cell->series[s].samples.count)
				distances[n++] = distance(cell->series[s].summary.halves);
	}
	noise = noise_of(distances, n);
	free(distances);
	return noise;
}

static double noise_then(const json_t *frozen, const char *what)
{
	const json_t *cells = json_object_get(frozen, "cells"), *cell, *series;
	double *distances = calloc(json_array_size(cells) * SERIES_MOST + 1, sizeof(*distances));
	size_t i, s, n = 0, room = json_array_size(cells) * SERIES_MOST;
	double noise;

	if (!distances)
		die("no memory");
	json_array_foreach(cells, i, cell)
	{
		const char *engine = json_string_value(json_object_get(cell, "engine"));

		if (!engine || strncmp(engine, "ronbus", 6) || !is_member(cell, "what", what))
			continue;
		json_array_foreach(json_object_get(cell, "series"), s, series) if (n < room)
			distances[n++] =
				distance(json_number_value(json_object_get(series, "halves")));
	}
	noise = noise_of(distances, n);
	free(distances);
	return noise;
}

/* ---- comparing ------------------------------------------------------------------------ */

static void add_change(struct changes *changes, const json_t *frozen, const struct cell *cell,
		       const struct series *series)
{
	struct change *change = &changes->changes[changes->count];
	struct samples then = { 0 };

	*change = (struct change){ .cell = cell,
				   .series = series,
				   .now = series->summary.median.value,
				   .verdict = VERDICT_NEW };
	changes->count++;
	if (frozen_samples(frozen, cell->name, series->name, &then)) {
		change->then = samples_quantile(&then, 0.5);
		change->ratio = compare(&series->samples, &then, 0.5, UNPAIRED, VERDICT_CONFIDENCE);
	}
	samples_free(&then);
}

static void add_changes(struct changes *changes, const json_t *frozen, const struct cells *cells)
{
	size_t i;
	unsigned int s;

	changes->changes = calloc(cells->count * SERIES_MOST + 1, sizeof(*changes->changes));
	if (!changes->changes)
		die("no memory");
	for (i = 0; i < cells->count; i++) {
		const struct cell *cell = &cells->cells[i];

		for (s = 0; !*cell->skipped && s < cell->nr_series; s++)
			if (cell->series[s].samples.count)
				add_change(changes, frozen, cell, &cell->series[s]);
	}
}

/* What a cell without ronbus takes now, against then. */
static double drift_of(const struct changes *changes, const char *name)
{
	double drift = 0;
	size_t i;

	for (i = 0; i < changes->count; i++)
		if (!strcmp(changes->changes[i].cell->name, name))
			drift = fmax(drift, distance(changes->changes[i].ratio.value));
	return drift;
}

/* Does it take more than one thread? */
static bool has_company(const struct cell *cell)
{
	return cell->sleeping || cell->publishers > 1 || cell->shape == 'b';
}

static double drift_for(const struct changes *changes, const struct cell *cell)
{
	return has_company(cell) ? fmax(changes->drift, changes->drift_handoff) : changes->drift;
}

/* How far cells that are measured like @cell may be apart without a change. */
static double threshold_of(const json_t *frozen, const struct cells *cells,
			   const struct changes *changes, const struct cell *cell)
{
	const struct noises noises = {
		.least = settings.noise,
		.then = noise_then(frozen, cell->ops->what),
		.now = noise_now(cells, cell->ops->what),
		.drift = drift_for(changes, cell),
	};

	return noise_threshold(&noises);
}

static void judge(struct changes *changes, const json_t *frozen, const struct cells *cells)
{
	const struct cell *like = NULL;
	double threshold = 0;
	size_t i;

	for (i = 0; i < changes->count; i++) {
		struct change *change = &changes->changes[i];

		if (!cell_is_ronbus(change->cell)) {
			change->verdict = VERDICT_CONTROL;
			continue;
		}
		if (!like || like->ops != change->cell->ops ||
		    has_company(like) != has_company(change->cell)) {
			like = change->cell;
			threshold = threshold_of(frozen, cells, changes, like);
		}
		change->threshold = threshold;
		change->verdict = verdict_of(change->ratio, threshold);
		if (has_company(change->cell) && changes->others > OTHERS_MOST &&
		    change->verdict != VERDICT_NEW)
			change->verdict = VERDICT_NOISE;
	}
}

void frozen_compare(const json_t *frozen, const char *name, const struct cells *cells,
		    struct changes *changes)
{
	changes_free(changes);
	changes->name = name;
	add_changes(changes, frozen, cells);
	changes->drift = drift_of(changes, REFERENCE_CELL);
	changes->drift_handoff = drift_of(changes, HANDOFF_CELL);
	changes->others = fmax(
		quiet.others,
		json_number_value(json_object_get(json_object_get(frozen, "settings"), "others")));
	judge(changes, frozen, cells);
}

static bool is_doubtful(const struct change *change)
{
	return change->verdict == VERDICT_REGRESSED || change->verdict == VERDICT_IMPROVED;
}

size_t changes_doubtful(const struct changes *changes, const struct cells *cells, bool *wanted)
{
	size_t i, count = 0;

	for (i = 0; i < changes->count; i++) {
		size_t index = (size_t)(changes->changes[i].cell - cells->cells);

		if (is_doubtful(&changes->changes[i]) && !wanted[index]) {
			wanted[index] = true;
			count++;
		}
	}
	return count;
}

void changes_confirm(struct changes *changes, const struct changes *again)
{
	size_t i, j;

	for (i = 0; i < changes->count; i++) {
		struct change *change = &changes->changes[i];

		for (j = 0; is_doubtful(change) && j < again->count; j++)
			if (again->changes[j].series == change->series)
				change->verdict = verdict_confirmed(change->verdict,
								    again->changes[j].verdict);
	}
}

bool changes_regressed(const struct changes *changes)
{
	size_t i;

	for (i = 0; i < changes->count; i++)
		if (changes->changes[i].verdict == VERDICT_REGRESSED)
			return true;
	return false;
}

void changes_free(struct changes *changes)
{
	free(changes->changes);
	*changes = (struct changes){ 0 };
}
