// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * rows.c - what ronbus-top shows of a bus or a subscriber
 */
#include "rows.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- rates ---------------------------------------------------------------------------- */

/* What a second brought; a counter that went back is another one. */
static double rate(__u64 now, __u64 before, double seconds)
{
	return now >= before && seconds > 0 ? (double)(now - before) / seconds : NAN;
}

static __u64 all_wakes(const struct ronbus_counters *c)
{
	__u64 sum = 0;
	unsigned int i;

	for (i = 0; i < RONBUS_WAKE_CAUSES; i++)
		sum += c->wakes_total[i];
	return sum;
}

static double share(double part, double rest)
{
	return part + rest > 0 ? 100 * part / (part + rest) : NAN;
}

static void set_rates(struct row *row, const struct ronbus_counters *now,
		      const struct ronbus_counters *before, double seconds)
{
	static const struct ronbus_counters none;

	if (!before) {
		before = &none;
		seconds = 0;
	}
#define RATE(member) rate(now->member, before->member, seconds)
	row->messages = RATE(published_total);
	row->reads = RATE(delivered_total);
	row->lost = RATE(overflow_dropped_total);
	row->drops = RATE(dropped_total);
	row->suppressed = share(RATE(notify_suppressed_total), RATE(notify_sends_total));
#undef RATE
	row->wakes = rate(all_wakes(now), all_wakes(before), seconds);
}

static double seconds_between(const struct snapshot *now, const struct snapshot *before)
{
	return (double)(now->taken_ns - before->taken_ns) / 1e9;
}

/* ---- rows ----------------------------------------------------------------------------- */

static int rows_make(struct rows *rows, size_t count)
{
	rows->count = count;
	rows->row = calloc(count ? count : 1, sizeof(*rows->row));
	return rows->row ? 0 : -ENOMEM;
}

static void row_name(struct row *row, const struct bus_sample *bus)
{
	row->id = bus->id;
	memcpy(row->name, bus->name, sizeof(row->name));
	row->capacity = bus->stats.capacity;
	row->publishers = bus->stats.publishers;
	row->subscribers = (unsigned int)__builtin_popcountll(bus->stats.subscribers);
}

/**
 * rows_of_buses() - a row for each bus
 * @now: the buses
 * @before: the same some time ago, or without any
 * @rows: filled; to be given to rows_clear()
 *
 * Return: 0 or -ENOMEM.
 */
int rows_of_buses(const struct snapshot *now, const struct snapshot *before, struct rows *rows)
{
	const struct bus_sample *bus, *old;
	struct row *row;
	unsigned int sub;
	size_t i;

	if (rows_make(rows, now->count))
		return -ENOMEM;
	for (i = 0; i < now->count; i++) {
		bus = &now->buses[i];
		row = &rows->row[i];
		old = snapshot_find(before, bus->id);
		row_name(row, bus);
		row->sub = -1;
		for (sub = 0; sub < bus->subs_count; sub++)
			if (sub_lag(&bus->subs[sub]) > row->lag)
				row->lag = sub_lag(&bus->subs[sub]);
		set_rates(row, &bus->stats.counters, old ? &old->stats.counters : NULL,
			  seconds_between(now, before));
	}
	return 0;
}

/* The same subscriber, not another one that has its number now. */
static const struct ronbus_stats *find_sub(const struct bus_sample *bus,
					   const struct ronbus_stats *sub)
{
	unsigned int i;

	for (i = 0; bus && i < bus->subs_count; i++)
		if (bus->subs[i].which == sub->which && bus->subs[i].start == sub->start)
			return &bus->subs[i];
	return NULL;
}

/**
 * rows_of_subs() - a row for each subscriber of a bus
 * @now: the buses
 * @before: the same some time ago, or without any
 * @id: number of the bus; if there is none there are no rows
 * @rows: filled; to be given to rows_clear()
 *
 * Return: 0 or -ENOMEM.
 */
int rows_of_subs(const struct snapshot *now, const struct snapshot *before, __u64 id,
		 struct rows *rows)
{
	const struct bus_sample *bus = snapshot_find(now, id);
	const struct ronbus_stats *sub, *old;
	struct row *row;
	size_t i;

	if (rows_make(rows, bus ? bus->subs_count : 0))
		return -ENOMEM;
	for (i = 0; i < rows->count; i++) {
		sub = &bus->subs[i];
		row = &rows->row[i];
		old = find_sub(snapshot_find(before, id), sub);
		row_name(row, bus);
		row->sub = (int)sub->which;
		row->asleep = sub->armed;
		row->lag = sub_lag(sub);
		set_rates(row, &sub->counters, old ? &old->counters : NULL,
			  seconds_between(now, before));
	}
	return 0;
}

void rows_clear(struct rows *rows)
{
	free(rows->row);
	*rows = (struct rows){ 0 };
}

/* ---- order ---------------------------------------------------------------------------- */

static const char *const order_names[] = {
	[ORDER_ID] = "id",	 [ORDER_NAME] = "name",	  [ORDER_MESSAGES] = "messages",
	[ORDER_READS] = "reads", [ORDER_WAKES] = "wakes", [ORDER_SUPPRESSED] = "suppressed",
	[ORDER_LOST] = "lost",	 [ORDER_DROPS] = "drops", [ORDER_LAG] = "lag",
};

_Static_assert(sizeof(order_names) / sizeof(order_names[0]) == ORDERS, "a name for each");

/* The name of an order, NULL after the last one. */
const char *order_name(unsigned int order)
{
	return order < ORDERS ? order_names[order] : NULL;
}

static double number(const struct row *row, enum order order)
{
	switch (order) {
	case ORDER_MESSAGES:
		return row->messages;
	case ORDER_READS:
		return row->reads;
	case ORDER_WAKES:
		return row->wakes;
	case ORDER_SUPPRESSED:
		return row->suppressed;
	case ORDER_LOST:
		return row->lost;
	case ORDER_DROPS:
		return row->drops;
	case ORDER_LAG:
		return (double)row->lag;
	default:
		return 0;
	}
}

static int compare_ids(const struct row *a, const struct row *b)
{
	if (a->id != b->id)
		return a->id < b->id ? -1 : 1;
	return (a->sub > b->sub) - (a->sub < b->sub);
}

/* Ids and names grow downwards, numbers shrink; what is not known is last. */
static int compare(const struct row *a, const struct row *b, enum order order)
{
	double left = number(a, order), right = number(b, order);
	int by = 0;

	if (order == ORDER_NAME)
		by = strcmp(a->name, b->name);
	else if (isnan(left) || isnan(right))
		by = !!isnan(left) - !!isnan(right);
	else if (left != right)
		by = left > right ? -1 : 1;
	return by ? by : compare_ids(a, b);
}

struct sorting {
	enum order order;
	bool reverse;
};

static int compare_rows(const void *a, const void *b, void *arg)
{
	const struct sorting *sorting = arg;
	int by = compare(a, b, sorting->order);

	return sorting->reverse ? -by : by;
}

void rows_sort(struct rows *rows, enum order order, bool reverse)
{
	struct sorting sorting = { order, reverse };

	if (rows->count)
		qsort_r(rows->row, rows->count, sizeof(*rows->row), compare_rows, &sorting);
}

/* ---- text ----------------------------------------------------------------------------- */

/* In at most six characters. */
static const char *human(char *text, size_t size, double n)
{
	static const char units[] = " kMGTPE";
	const char *unit = units;

	if (isnan(n)) {
		snprintf(text, size, "-");
		return text;
	}
	while (n >= 9999.5 && unit[1]) {
		n /= 1000;
		unit++;
	}
	if (unit == units)
		snprintf(text, size, n > 0 && n < 99.95 ? "%.1f" : "%.0f", n);
	else
		snprintf(text, size, n < 99.95 ? "%.1f%c" : "%.0f%c", n, *unit);
	return text;
}

#define HUMAN(n) human((char[24]){ 0 }, 24, n)

/* The heads of the columns; @line has room for ROW_WIDTH. */
void rows_title(bool subs, char *line)
{
	if (subs)
		snprintf(line, ROW_WIDTH, "%6s %-7s %7s %7s %7s %7s %7s", "SUB", "STATE", "READ/s",
			 "WAKE/s", "SUPPR%", "LOST/s", "LAG");
	else
		snprintf(line, ROW_WIDTH, "%6s %-20s %3s %3s %7s %7s %7s %7s %7s %7s %7s %7s", "ID",
			 "BUS", "PUB", "SUB", "SLOTS", "MSG/s", "READ/s", "WAKE/s", "SUPPR%",
			 "LOST/s", "DROP/s", "LAG");
}

/* A row as text; @line has room for ROW_WIDTH. */
void row_format(const struct row *row, char *line)
{
	const char *lag = HUMAN((double)row->lag);

	if (row->sub >= 0)
		snprintf(line, ROW_WIDTH, "%6d %-7s %7s %7s %7s %7s %7s", row->sub,
			 row->asleep ? "sleeps" : "awake", HUMAN(row->reads), HUMAN(row->wakes),
			 HUMAN(row->suppressed), HUMAN(row->lost), lag);
	else
		snprintf(line, ROW_WIDTH, "%6llu %-20s %3u %3u %7u %7s %7s %7s %7s %7s %7s %7s",
			 (unsigned long long)row->id, *row->name ? row->name : "(no name)",
			 row->publishers, row->subscribers, row->capacity, HUMAN(row->messages),
			 HUMAN(row->reads), HUMAN(row->wakes), HUMAN(row->suppressed),
			 HUMAN(row->lost), HUMAN(row->drops), lag);
}
