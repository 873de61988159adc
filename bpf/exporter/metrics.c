// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * metrics.c - counters as Prometheus reads them: the text format, version 0.0.4
 *
 * All samples of one metric stand together, so this goes through the metrics, and for each through
 * all buses. What is of a subscriber has a name of its own, "bus_sub_...": under one name with
 * those of the bus, a sum over all would count it twice.
 */
#include "metrics.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <ronbus/ronbus_counters.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* ---- which counters there are --------------------------------------------------------- */

/* A counter: the elements of one member of struct ronbus_counters. */
struct counter {
	const char *name;
	const char *help;
	bool of_subs; /* a single subscriber has it, too */
	size_t offset;
	size_t count;
	const char *key; /* NULL: one element, without a label */
	const char *const *labels;
};

static const struct counter counters[] = {
#define BUS false
#define BOTH true
#define ABOUT(member, of, text)                       \
	.name = #member, .help = text, .of_subs = of, \
	.offset = offsetof(struct ronbus_counters, member)
#define PLAIN(member, of, text) { ABOUT(member, of, text), .count = 1 },
#define LABELLED(member, of, text, key_name, ...)                                                  \
	{ ABOUT(member, of, text),                                                                 \
	  .count = sizeof(((struct ronbus_counters *)0)->member) / sizeof(__u64), .key = key_name, \
	  .labels = (const char *const[]){ __VA_ARGS__ } },
	RONBUS_COUNTERS(PLAIN, LABELLED)
#undef LABELLED
#undef PLAIN
#undef ABOUT
#undef BOTH
#undef BUS
};

#define COUNTERS ARRAY_SIZE(counters)

static const __u64 *elements(const struct counter *counter, const struct ronbus_stats *stats)
{
	return (const __u64 *)((const char *)&stats->counters + counter->offset);
}

/* ---- lines ---------------------------------------------------------------------------- */

static void write_head(FILE *to, const char *name, const char *type, const char *help)
{
	fprintf(to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Between the quotes of a label. */
static void write_escaped(FILE *to, const char *text)
{
	for (; *text; text++)
		switch (*text) {
		case '\\':
		case '"':
			putc('\\', to);
			putc(*text, to);
			break;
		case '\n':
			fputs("\\n", to);
			break;
		default:
			putc(*text, to);
		}
}

/* The beginning of a sample up to its last label, with the brace still open. */
static void write_labels(FILE *to, const char *name, const char *suffix,
			 const struct bus_sample *bus, const struct ronbus_stats *sub)
{
	fprintf(to, "%s%s{bus=\"", name, suffix);
	write_escaped(to, bus->name);
	fprintf(to, "\",id=\"%" PRIu64 "\"", (uint64_t)bus->id);
	if (sub)
		fprintf(to, ",sub=\"%u\"", sub->which);
}

static void write_value(FILE *to, __u64 value)
{
	fprintf(to, "} %" PRIu64 "\n", (uint64_t)value);
}

static void write_counter(FILE *to, const char *name, const struct counter *counter,
			  const struct bus_sample *bus, const struct ronbus_stats *sub)
{
	const __u64 *value = elements(counter, sub ? sub : &bus->stats);
	size_t i;

	for (i = 0; i < counter->count; i++) {
		write_labels(to, name, "", bus, sub);
		if (counter->key) {
			fprintf(to, ",%s=\"", counter->key);
			write_escaped(to, counter->labels[i]);
			putc('"', to);
		}
		write_value(to, value[i]);
	}
}

/* ---- histograms ----------------------------------------------------------------------- */

static bool is_histogram(const struct counter *counter)
{
	return counter->key && !strcmp(counter->key, "from");
}

/* The elements count what is at least their label and less than the next one. */
static void write_log_histogram(FILE *to, const char *name, const struct counter *counter,
				const struct bus_sample *bus)
{
	const __u64 *value = elements(counter, &bus->stats);
	__u64 sum = 0;
	size_t i;

	for (i = 0; i < counter->count; i++) {
		sum += value[i];
		write_labels(to, name, "_bucket", bus, NULL);
		if (i + 1 < counter->count)
			fprintf(to, ",le=\"%ld\"", strtol(counter->labels[i + 1], NULL, 10) - 1);
		else
			fputs(",le=\"+Inf\"", to);
		write_value(to, sum);
	}
	if (counter->offset == offsetof(struct ronbus_counters, ready_mask_width)) {
		write_labels(to, name, "_sum", bus, NULL);
		write_value(to, bus->stats.counters.addressed_total);
	}
	write_labels(to, name, "_count", bus, NULL);
	write_value(to, sum);
}

/* Delays below and above what is told apart are in the first bucket and in the last. */
#define DELAY_FIRST 9 /* up to a microsecond */
#define DELAY_LAST 34 /* up to 34 seconds */

_Static_assert(DELAY_LAST < RONBUS_BPF_BUCKETS - 1, "the last bucket has no bound");

/* Bucket n holds what is less than 2^(n+1) ns. */
static void write_bound(FILE *to, unsigned int n)
{
	__u64 ns = (2ULL << n) - 1;

	fprintf(to, ",le=\"%" PRIu64 ".%09" PRIu64 "\"", (uint64_t)(ns / 1000000000),
		(uint64_t)(ns % 1000000000));
}

static void write_delays(FILE *to, const char *name, const struct bus_sample *bus,
			 const struct ronbus_bpf_histogram *delays)
{
	__u64 sum = 0;
	unsigned int i;

	for (i = 0; i < RONBUS_BPF_BUCKETS; i++) {
		sum += delays->buckets[i];
		if (i < DELAY_FIRST || i > DELAY_LAST)
			continue;
		write_labels(to, name, "_bucket", bus, NULL);
		write_bound(to, i);
		write_value(to, sum);
	}
	write_labels(to, name, "_bucket", bus, NULL);
	fputs(",le=\"+Inf\"", to);
	write_value(to, sum);
	write_labels(to, name, "_sum", bus, NULL);
	fprintf(to, "} %" PRIu64 ".%09" PRIu64 "\n", (uint64_t)(delays->sum / 1000000000),
		(uint64_t)(delays->sum % 1000000000));
	write_labels(to, name, "_count", bus, NULL);
	write_value(to, sum);
}

/* ---- metrics -------------------------------------------------------------------------- */

static void write_bus_counters(FILE *to, const struct snapshot *snapshot)
{
	const struct counter *counter;
	char name[64];
	size_t i;

	for (counter = counters; counter < counters + COUNTERS; counter++) {
		snprintf(name, sizeof(name), "bus_%s", counter->name);
		write_head(to, name, is_histogram(counter) ? "histogram" : "counter",
			   counter->help);
		for (i = 0; i < snapshot->count; i++)
			if (is_histogram(counter))
				write_log_histogram(to, name, counter, &snapshot->buses[i]);
			else
				write_counter(to, name, counter, &snapshot->buses[i], NULL);
	}
}

static void write_sub_counters(FILE *to, const struct snapshot *snapshot)
{
	const struct counter *counter;
	char name[64];
	unsigned int sub;
	size_t i;

	for (counter = counters; counter < counters + COUNTERS; counter++) {
		if (!counter->of_subs)
			continue;
		snprintf(name, sizeof(name), "bus_sub_%s", counter->name);
		write_head(to, name, "counter", counter->help);
		for (i = 0; i < snapshot->count; i++)
			for (sub = 0; sub < snapshot->buses[i].subs_count; sub++)
				write_counter(to, name, counter, &snapshot->buses[i],
					      &snapshot->buses[i].subs[sub]);
	}
}

static __u64 capacity(const struct ronbus_stats *bus)
{
	return bus->capacity;
}

static __u64 publishers(const struct ronbus_stats *bus)
{
	return bus->publishers;
}

static __u64 subscribers(const struct ronbus_stats *bus)
{
	return (__u64)__builtin_popcountll(bus->subscribers);
}

static __u64 pending(const struct ronbus_stats *sub)
{
	return !sub->armed;
}

static const struct gauge {
	const char *name, *help;
	bool of_subs;
	__u64 (*value)(const struct ronbus_stats *stats);
} gauges[] = {
	{ "bus_cap_selected", "Slots of the bus.", false, capacity },
	{ "bus_publishers", "Publishers there are.", false, publishers },
	{ "bus_subscribers", "Subscribers there are.", false, subscribers },
	{ "bus_sub_pending", "0 if the subscriber sleeps or is about to, else 1.", true, pending },
	{ "bus_sub_lag", "Positions published that the subscriber has not come to.", true,
	  sub_lag },
};

static void write_gauge(FILE *to, const struct snapshot *snapshot, const struct gauge *gauge)
{
	const struct bus_sample *bus;
	size_t nr;
	unsigned int i;

	write_head(to, gauge->name, "gauge", gauge->help);
	for (nr = 0; nr < snapshot->count; nr++) {
		bus = &snapshot->buses[nr];
		if (!gauge->of_subs) {
			write_labels(to, gauge->name, "", bus, NULL);
			write_value(to, gauge->value(&bus->stats));
			continue;
		}
		for (i = 0; i < bus->subs_count; i++) {
			write_labels(to, gauge->name, "", bus, &bus->subs[i]);
			write_value(to, gauge->value(&bus->subs[i]));
		}
	}
}

static void write_all_delays(FILE *to, const struct snapshot *snapshot)
{
	static const struct {
		const char *name, *help;
		size_t offset;
	} delays[] = {
		{ "bus_arm_to_wake_seconds",
		  "From going to sleep to being woken, since the BPF programs were attached.",
		  offsetof(struct bus_sample, arm_to_wake) },
		{ "bus_wake_to_read_seconds",
		  "From being woken to looking, since the BPF programs were attached.",
		  offsetof(struct bus_sample, wake_to_read) },
	};
	const struct bus_sample *bus;
	size_t i, nr;

	for (i = 0; i < ARRAY_SIZE(delays); i++) {
		write_head(to, delays[i].name, "histogram", delays[i].help);
		for (nr = 0; nr < snapshot->count; nr++) {
			bus = &snapshot->buses[nr];
			if (bus->has_delays)
				write_delays(to, delays[i].name, bus,
					     (const void *)((const char *)bus + delays[i].offset));
		}
	}
}

static bool is_source(const struct snapshot *snapshot, const char *name)
{
	return snapshot->source && !strcmp(snapshot->source, name);
}

static void write_own(FILE *to, const struct snapshot *snapshot, const struct metrics_state *state)
{
	write_head(to, "ronbus_up", "gauge", "Whether the module ronbus is loaded.");
	fprintf(to, "ronbus_up %d\n", state->up);
	write_head(to, "ronbus_exporter_source", "gauge",
		   "1 for where the counters are from, else 0.");
	fprintf(to, "ronbus_exporter_source{source=\"bpf\"} %d\n", is_source(snapshot, "bpf"));
	fprintf(to, "ronbus_exporter_source{source=\"stats\"} %d\n", is_source(snapshot, "stats"));
	write_head(to, "ronbus_exporter_read_errors_total", "counter",
		   "Readings of the counters that failed.");
	fprintf(to, "ronbus_exporter_read_errors_total %" PRIu64 "\n", (uint64_t)state->errors);
	write_head(to, "ronbus_exporter_build_info", "gauge", "1; the label tells the version.");
	fprintf(to, "ronbus_exporter_build_info{version=\"%s\"} 1\n", ronbus_version());
}

/**
 * metrics_write() - everything, as text
 * @to: where
 * @snapshot: the counters
 * @state: the rest
 */
void metrics_write(FILE *to, const struct snapshot *snapshot, const struct metrics_state *state)
{
	size_t i;

	write_bus_counters(to, snapshot);
	write_sub_counters(to, snapshot);
	for (i = 0; i < ARRAY_SIZE(gauges); i++)
		write_gauge(to, snapshot, &gauges[i]);
	write_all_delays(to, snapshot);
	write_own(to, snapshot, state);
}

/**
 * metrics_text() - the same, in memory
 * @snapshot: the counters
 * @state: the rest
 * @length: receives how many bytes
 *
 * Return: the text, to be freed; NULL: no memory.
 */
char *metrics_text(const struct snapshot *snapshot, const struct metrics_state *state,
		   size_t *length)
{
	char *text = NULL;
	FILE *to = open_memstream(&text, length);
	bool bad;

	if (!to)
		return NULL;
	metrics_write(to, snapshot, state);
	bad = ferror(to);
	if (fclose(to) || bad) {
		free(text);
		return NULL;
	}
	return text;
}
