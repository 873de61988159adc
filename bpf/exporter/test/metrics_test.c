// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * metrics_test.c - the text of /metrics
 *
 * METRICS names a file for a text that promtool shall look at.
 */
#include "test.h"

#include <ronbus/ronbus_counters.h>

#include "../metrics.h"

static const struct metrics_state up = { .up = true, .errors = 7 };

static char *text_of(const struct snapshot *snapshot)
{
	size_t length;
	char *text = metrics_text(snapshot, &up, &length);

	assert_non_null(text);
	assert_int_equal(strlen(text), length);
	return text;
}

/* How often a line is there. */
static unsigned int count_lines(const char *text, const char *line)
{
	size_t length = strlen(line);
	unsigned int count = 0;
	const char *at;

	for (at = text; (at = strstr(at, line)); at += length)
		count += (at == text || at[-1] == '\n') && at[length] == '\n';
	return count;
}

#define assert_line(text, ...)                                                                 \
	do {                                                                                   \
		char line_[256];                                                               \
		snprintf(line_, sizeof(line_), __VA_ARGS__);                                   \
		if (count_lines(text, line_) != 1)                                             \
			fail_msg("%u times in the text: %s", count_lines(text, line_), line_); \
	} while (0)

/* The value of the sample that begins so, up to its space. */
static double sample(const char *text, const char *begin)
{
	size_t length = strlen(begin);
	const char *at;

	for (at = text; (at = strstr(at, begin)); at += length)
		if ((at == text || at[-1] == '\n') && at[length] == ' ')
			return strtod(at + length, NULL);
	fail_msg("there is no %s", begin);
	return 0;
}

/* ---- names and values ------------------------------------------------------------------ */

static void every_counter_of_a_bus(void **state)
{
	struct snapshot snapshot = { .source = "bpf" };
	const struct ronbus_counters *c;
	char *text;

	(void)state;
	fill_bus(&snapshot, 7, 2);
	c = &snapshot.buses[0].stats.counters;
	text = text_of(&snapshot);
#define PLAIN(name, of, help)                              \
	assert_line(text, "# TYPE bus_" #name " counter"); \
	assert_line(text, "bus_" #name "{bus=\"bus7\",id=\"7\"} %llu", c->name);
#define LABELLED(name, of, help, key, ...)                                             \
	{                                                                              \
		static const char *const labels[] = { __VA_ARGS__ };                   \
		size_t i, count = sizeof(labels) / sizeof(labels[0]);                  \
		if (strcmp(key, "from")) {                                             \
			assert_line(text, "# TYPE bus_" #name " counter");             \
			for (i = 0; i < count; i++)                                    \
				assert_line(text,                                      \
					    "bus_" #name "{bus=\"bus7\",id=\"7\"," key \
					    "=\"%s\"} %llu",                           \
					    labels[i], c->name[i]);                    \
		} else {                                                               \
			assert_line(text, "# TYPE bus_" #name " histogram");           \
		}                                                                      \
	}
	RONBUS_COUNTERS(PLAIN, LABELLED)
#undef LABELLED
#undef PLAIN
	assert_line(text, "bus_cap_selected{bus=\"bus7\",id=\"7\"} 64");
	assert_line(text, "bus_publishers{bus=\"bus7\",id=\"7\"} 3");
	assert_line(text, "bus_subscribers{bus=\"bus7\",id=\"7\"} 2");
	free(text);
	snapshot_clear(&snapshot);
}

static void every_counter_of_a_subscriber(void **state)
{
	struct snapshot snapshot = { .source = "bpf" };
	const struct ronbus_counters *c;
	const char *labels = "bus=\"bus7\",id=\"7\",sub=\"1\"";
	char *text;

	(void)state;
	fill_bus(&snapshot, 7, 2);
	c = &snapshot.buses[0].subs[1].counters;
	text = text_of(&snapshot);
#define BOTH(name) assert_line(text, "bus_sub_" #name "{%s} %llu", labels, c->name);
#define BUS(name) assert_null(strstr(text, "bus_sub_" #name "{"));
#define PLAIN(name, of, help) of(name)
#define LABELLED(name, of, help, key, ...)
	RONBUS_COUNTERS(PLAIN, LABELLED)
#undef LABELLED
#undef PLAIN
#undef BUS
#undef BOTH
	assert_line(text, "bus_sub_wakes_total{%s,cause=\"close\"} %llu", labels,
		    c->wakes_total[RONBUS_WAKE_CLOSE]);
	assert_line(text, "bus_sub_pending{%s} 0", labels);
	assert_line(text, "bus_sub_pending{bus=\"bus7\",id=\"7\",sub=\"0\"} 1");
	assert_line(text, "bus_sub_lag{%s} 1", labels);
	assert_null(strstr(text, "bus_sub_published"));
	free(text);
	snapshot_clear(&snapshot);
}

/* Names that the plan of this project fixed: dashboards are made for them. */
static void names_of_the_plan(void **state)
{
	static const char *const names[] = {
		"bus_published_total",
		"bus_no_receivers_total",
		"bus_receiver_lag_total",
		"bus_dropped_total",
		"bus_overflow_dropped_total",
		"bus_notify_sends_total",
		"bus_notify_suppressed_total",
		"bus_sub_pending",
		"bus_batch_publish_total",
		"bus_batch_len_histogram",
		"bus_metrics_tls_flush_total",
		"bus_autotune_warn_total",
		"bus_cap_selected",
		"bus_interest_skips_total",
		"bus_ready_mask_width",
		"bus_coalesce_deferred_total",
	};
	struct snapshot snapshot = { .source = "stats" };
	char line[128];
	char *text;
	size_t i;

	(void)state;
	fill_bus(&snapshot, 7, 1);
	text = text_of(&snapshot);
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(line, sizeof(line), "\n# TYPE %s ", names[i]);
		if (!strstr(text, line))
			fail_msg("there is no %s", names[i]);
		snprintf(line, sizeof(line), "\n%s", names[i]);
		if (!strstr(text, line))
			fail_msg("there is no sample of %s", names[i]);
	}
	free(text);
	snapshot_clear(&snapshot);
}

static void of_the_exporter(void **state)
{
	struct snapshot snapshot = { 0 };
	char *text;

	(void)state;
	text = text_of(&snapshot);
	assert_line(text, "ronbus_up 1");
	assert_line(text, "ronbus_exporter_source{source=\"bpf\"} 0");
	assert_line(text, "ronbus_exporter_source{source=\"stats\"} 0");
	assert_line(text, "ronbus_exporter_read_errors_total 7");
	assert_line(text, "ronbus_exporter_build_info{version=\"%s\"} 1", ronbus_version());
	free(text);
	snapshot.source = "stats";
	text = text_of(&snapshot);
	assert_line(text, "ronbus_exporter_source{source=\"bpf\"} 0");
	assert_line(text, "ronbus_exporter_source{source=\"stats\"} 1");
	free(text);
}

static void labels_are_escaped(void **state)
{
	struct snapshot snapshot = { .source = "bpf" };
	char *text;

	(void)state;
	assert_non_null(snapshot_add(&snapshot, 1, "a\\b\"c\nd"));
	assert_non_null(snapshot_add(&snapshot, 2, ""));
	text = text_of(&snapshot);
	assert_line(text, "bus_publishers{bus=\"a\\\\b\\\"c\\nd\",id=\"1\"} 0");
	assert_line(text, "bus_publishers{bus=\"\",id=\"2\"} 0");
	free(text);
	snapshot_clear(&snapshot);
}

/* ---- histograms ------------------------------------------------------------------------ */

/* Bounds and counts grow, and the last one is all. */
static void check_histogram(const char *text, const char *name, __u64 all, unsigned int buckets)
{
	char begin[128], *end;
	double bound, last_bound = -1, value, last = 0;
	unsigned int count = 0;
	const char *at = text;

	snprintf(begin, sizeof(begin), "\n%s_bucket{bus=\"bus7\",id=\"7\",le=\"", name);
	for (; (at = strstr(at, begin)); count++) {
		at += strlen(begin);
		bound = strtod(at, &end); /* knows "+Inf", too */
		assert_memory_equal(end, "\"} ", 3);
		value = strtod(end + 3, NULL);
		assert_true(bound > last_bound);
		assert_true(value >= last);
		last_bound = bound;
		last = value;
	}
	assert_int_equal(count, buckets);
	assert_true(last_bound > 1e300);
	assert_true(last == (double)all);
	snprintf(begin, sizeof(begin), "%s_count{bus=\"bus7\",id=\"7\"}", name);
	assert_true(sample(text, begin) == (double)all);
}

static void histograms(void **state)
{
	struct snapshot snapshot = { .source = "bpf" };
	__u64 lengths = 0, widths = 0, delays = 0;
	struct ronbus_counters *c;
	unsigned int i;
	char *text;

	(void)state;
	fill_bus(&snapshot, 7, 0);
	c = &snapshot.buses[0].stats.counters;
	for (i = 0; i < RONBUS_BATCH_BUCKETS; i++)
		lengths += c->batch_len_histogram[i];
	for (i = 0; i < RONBUS_WIDTH_BUCKETS; i++)
		widths += c->ready_mask_width[i];
	for (i = 0; i < RONBUS_BPF_BUCKETS; i++)
		delays += snapshot.buses[0].arm_to_wake.buckets[i];
	text = text_of(&snapshot);
	check_histogram(text, "bus_batch_len_histogram", lengths, RONBUS_BATCH_BUCKETS);
	check_histogram(text, "bus_ready_mask_width", widths, RONBUS_WIDTH_BUCKETS);
	check_histogram(text, "bus_arm_to_wake_seconds", delays, 27);
	check_histogram(text, "bus_wake_to_read_seconds", delays + RONBUS_BPF_BUCKETS, 27);

	/* Batches of 2 and 3 are up to 3, of 1 and those up to 1. */
	assert_line(text, "bus_batch_len_histogram_bucket{bus=\"bus7\",id=\"7\",le=\"1\"} %llu",
		    c->batch_len_histogram[0]);
	assert_line(text, "bus_batch_len_histogram_bucket{bus=\"bus7\",id=\"7\",le=\"3\"} %llu",
		    c->batch_len_histogram[0] + c->batch_len_histogram[1]);
	/* Subscribers by message is what was addressed; of batches no sum is known. */
	assert_line(text, "bus_ready_mask_width_sum{bus=\"bus7\",id=\"7\"} %llu",
		    c->addressed_total);
	assert_null(strstr(text, "bus_batch_len_histogram_sum"));
	/* Bucket 9 is up to 1023 ns and the first told apart: buckets 0 to 9 hold 7 + 8 + ... + 16. */
	assert_line(text,
		    "bus_arm_to_wake_seconds_bucket{bus=\"bus7\",id=\"7\",le=\"0.000001023\"} 115");
	assert_line(text, "bus_arm_to_wake_seconds_sum{bus=\"bus7\",id=\"7\"} 7.000000049");
	free(text);
	snapshot_clear(&snapshot);
}

static void no_delays_without_bpf(void **state)
{
	struct snapshot snapshot = { .source = "stats" };
	char *text;

	(void)state;
	fill_bus(&snapshot, 7, 1);
	snapshot.buses[0].has_delays = false;
	text = text_of(&snapshot);
	assert_null(strstr(text, "bus_arm_to_wake_seconds_"));
	assert_null(strstr(text, "bus_wake_to_read_seconds_"));
	free(text);
	snapshot_clear(&snapshot);
}

/* ---- many ------------------------------------------------------------------------------- */

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All samples of a metric stand together, and none is there twice. */
static void many_buses(void **state)
{
	struct snapshot snapshot = { .source = "bpf" };
	char *text, *line, *save, **lines;
	size_t count = 0, subs = 0, i;

	(void)state;
	for (i = 64; i > 0; i--)
		fill_bus(&snapshot, (unsigned int)i, 64);
	snapshot_sort(&snapshot);
	assert_int_equal(snapshot_find(&snapshot, 17)->id, 17);
	assert_null(snapshot_find(&snapshot, 65));
	text = text_of(&snapshot);
	lines = calloc(strlen(text), sizeof(*lines));
	assert_non_null(lines);
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		subs += !strncmp(line, "bus_sub_lag{", 12);
		if (*line != '#')
			*strrchr(line, ' ') = '\0';
		lines[count++] = line;
	}
	assert_int_equal(subs, 64 * 64);
	qsort(lines, count, sizeof(*lines), compare_lines);
	for (i = 1; i < count; i++)
		assert_string_not_equal(lines[i - 1], lines[i]);
	free(lines);
	free(text);
	snapshot_clear(&snapshot);
}

static void for_promtool(void **state)
{
	const char *name = getenv("METRICS");
	struct snapshot snapshot = { .source = "bpf" };
	FILE *file;

	(void)state;
	if (!name)
		skip();
	fill_bus(&snapshot, 1, 64);
	fill_bus(&snapshot, 2, 1);
	snapshot_add(&snapshot, 3, "a\\b\"c\nd");
	file = fopen(name, "w");
	assert_non_null(file);
	metrics_write(file, &snapshot, &up);
	assert_int_equal(fclose(file), 0);
	snapshot_clear(&snapshot);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_counter_of_a_bus),
		cmocka_unit_test(every_counter_of_a_subscriber),
		cmocka_unit_test(names_of_the_plan),
		cmocka_unit_test(of_the_exporter),
		cmocka_unit_test(labels_are_escaped),
		cmocka_unit_test(histograms),
		cmocka_unit_test(no_delays_without_bpf),
		cmocka_unit_test(many_buses),
		cmocka_unit_test(for_promtool),
	};

	return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
