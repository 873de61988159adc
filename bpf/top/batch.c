// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * batch.c - ronbus-top for scripts: text, or a JSON object in each line
 */
#include "top.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- text ----------------------------------------------------------------------------- */

static void print_rows(const struct rows *rows, bool subs)
{
	char line[ROW_WIDTH];
	size_t i;

	rows_title(subs, line);
	printf("%s%s\n", subs ? "  " : "", line);
	for (i = 0; i < rows->count; i++) {
		row_format(&rows->row[i], line);
		printf("%s%s\n", subs ? "  " : "", line);
	}
}

static int print_subs(const struct view *view, const struct row *bus)
{
	struct rows subs;
	int err = rows_of_subs(&view->now, &view->before, bus->id, &subs);

	if (err)
		return err;
	if (subs.count) {
		rows_sort(&subs, view->order, view->reverse);
		printf("\n  subscribers of bus %llu %s\n", (unsigned long long)bus->id, bus->name);
		print_rows(&subs, true);
	}
	rows_clear(&subs);
	return 0;
}

static int print_text(const struct view *view)
{
	struct rows rows;
	size_t i;
	int err = rows_of_buses(&view->now, &view->before, &rows);

	if (err)
		return err;
	rows_sort(&rows, view->order, view->reverse);
	printf("ronbus-top: %zu buses, source %s\n", rows.count, view->now.source);
	print_rows(&rows, false);
	for (i = 0; i < rows.count && !err; i++)
		err = print_subs(view, &rows.row[i]);
	putchar('\n');
	rows_clear(&rows);
	return err;
}

/* ---- JSON ----------------------------------------------------------------------------- */

/* jansson's functions take NULL for a value and fail, so that one look at the end will do. */
static void set(json_t *object, const char *key, json_t *value)
{
	json_object_set_new(object, key, value);
}

static json_t *rate_json(double rate)
{
	return isnan(rate) ? json_null() : json_real(rate);
}

/* Counters of one name with different labels are an object. */
static void add_counter(void *arg, const struct ronbus_counter *counter)
{
	json_t *object = arg, *labelled;
	json_t *value = json_integer((json_int_t)counter->value);

	if (!counter->label) {
		set(object, counter->name, value);
		return;
	}
	labelled = json_object_get(object, counter->name);
	if (!labelled) {
		labelled = json_object();
		set(object, counter->name, labelled);
	}
	set(labelled, counter->label, value);
}

static json_t *counters_json(const struct ronbus_stats *stats)
{
	json_t *object = json_object();

	ronbus_counters_each(stats, add_counter, object);
	return object;
}

static json_t *rates_json(const struct row *row)
{
	json_t *rates = json_object();

	if (row->sub < 0) {
		set(rates, "messages", rate_json(row->messages));
		set(rates, "drops", rate_json(row->drops));
	}
	set(rates, "reads", rate_json(row->reads));
	set(rates, "wakes", rate_json(row->wakes));
	set(rates, "lost", rate_json(row->lost));
	return rates;
}

static json_t *sub_json(const struct row *row, const struct ronbus_stats *stats)
{
	json_t *object = json_object();

	set(object, "index", json_integer(row->sub));
	set(object, "asleep", json_boolean(row->asleep));
	set(object, "lag", json_integer((json_int_t)row->lag));
	set(object, "suppressed_percent", rate_json(row->suppressed));
	set(object, "rates", rates_json(row));
	set(object, "counters", counters_json(stats));
	return object;
}

static json_t *subs_json(const struct view *view, const struct bus_sample *bus)
{
	json_t *array = json_array();
	struct rows rows;
	size_t i;

	/* Not sorted: in the order of the samples. */
	if (rows_of_subs(&view->now, &view->before, bus->id, &rows))
		return array;
	for (i = 0; i < rows.count; i++)
		json_array_append_new(array, sub_json(&rows.row[i], &bus->subs[i]));
	rows_clear(&rows);
	return array;
}

static json_t *bus_json(const struct view *view, const struct row *row)
{
	const struct bus_sample *bus = snapshot_find(&view->now, row->id);
	json_t *object = json_object();

	set(object, "id", json_integer((json_int_t)row->id));
	set(object, "name", json_string(row->name));
	set(object, "capacity", json_integer(row->capacity));
	set(object, "publishers", json_integer(row->publishers));
	set(object, "lag", json_integer((json_int_t)row->lag));
	set(object, "suppressed_percent", rate_json(row->suppressed));
	set(object, "rates", rates_json(row));
	set(object, "counters", counters_json(&bus->stats));
	set(object, "subscribers", subs_json(view, bus));
	return object;
}

static int print_json(const struct view *view)
{
	json_t *object = json_object(), *buses = json_array();
	struct rows rows;
	size_t i;
	int err = rows_of_buses(&view->now, &view->before, &rows);

	if (!err) {
		rows_sort(&rows, view->order, view->reverse);
		for (i = 0; i < rows.count; i++)
			json_array_append_new(buses, bus_json(view, &rows.row[i]));
		rows_clear(&rows);
	}
	set(object, "time", json_integer(time(NULL)));
	set(object, "interval",
	    json_real((double)(view->now.taken_ns - view->before.taken_ns) / 1e9));
	set(object, "source", json_string(view->now.source));
	set(object, "buses", buses);
	if (!err && json_dumpf(object, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER))
		err = -ENOMEM;
	putchar('\n');
	json_decref(object);
	return err;
}

/* ---- rounds --------------------------------------------------------------------------- */

static void pause_for(double seconds)
{
	struct timespec left = { .tv_sec = (time_t)seconds };

	left.tv_nsec = (long)((seconds - (double)left.tv_sec) * 1e9);
	while (nanosleep(&left, &left) && errno == EINTR)
		;
}

/**
 * batch_run() - print, again and again
 * @view: what
 * @rounds: how often; 0: until nobody reads
 * @json: as JSON
 *
 * Rates take two snapshots, so the first is printed after a delay.
 *
 * Return: 0 or -errno.
 */
int batch_run(struct view *view, unsigned long rounds, bool json)
{
	unsigned long i;
	int err;

	view_read(view);
	for (i = 0; !rounds || i < rounds; i++) {
		pause_for(view->delay);
		view_read(view);
		if (view->err)
			return view->err;
		err = json ? print_json(view) : print_text(view);
		if (err)
			return err;
		if (fflush(stdout))
			return -errno;
	}
	return 0;
}
