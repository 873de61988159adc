// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * cli_test.c - the program as a whole: arguments, exit status, results, baselines, peers
 *
 * RONBUS_BENCH is the program. Nothing here looks at a time, but to change it beyond all measure.
 */
#include <jansson.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

const char bench_name[] = "cli_test";
struct settings settings;

#define QUICK "--bus embedded: --quick --turns 2 "
#define ONE "--no-peers --filter shape-a/readers1/pay8/ronbus-batch "

static char directory[] = "/tmp/cli_test.XXXXXX";

/* ---- running -------------------------------------------------------------------------- */

/* The path of a file in the directory of this test. */
static const char *file(const char *name)
{
	static char path[4][PATH_MAX];
	static unsigned int next;
	char *to = path[next++ % 4];

	snprintf(to, PATH_MAX, "%s/%s", directory, name);
	return to;
}

__attribute__((format(printf, 1, 2))) static int run(const char *format, ...)
{
	const char *program = getenv("RONBUS_BENCH");
	char arguments[2048], command[4096];
	va_list args;
	int status;

	assert_non_null(program);
	va_start(args, format);
	vsnprintf(arguments, sizeof(arguments), format, args);
	va_end(args);
	snprintf(command, sizeof(command), "%s %s >%s 2>%s", program, arguments, file("out"),
		 file("err"));
	status = system(command);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* What is in a file; good until the next call. */
static const char *contents(const char *name)
{
	static char text[1 << 20];
	FILE *from = fopen(file(name), "r");
	size_t len;

	assert_non_null(from);
	len = fread(text, 1, sizeof(text) - 1, from);
	assert_true(len < sizeof(text) - 1);
	text[len] = '\0';
	fclose(from);
	return text;
}

static void assert_says(const char *name, const char *part)
{
	if (!strstr(contents(name), part))
		fail_msg("\"%s\" is not in: %s", part, contents(name));
}

static void write_script(const char *name, const char *text)
{
	FILE *to = fopen(file(name), "w");

	assert_non_null(to);
	fprintf(to, "#!/bin/sh\n%s", text);
	fclose(to);
	assert_int_equal(chmod(file(name), 0755), 0);
}

static json_t *load(const char *name)
{
	json_error_t error;
	json_t *object = json_load_file(file(name), JSON_REJECT_DUPLICATES, &error);

	if (!object)
		fail_msg("%s, line %d: %s", name, error.line, error.text);
	return object;
}

/* The member of an array that has this name. */
static json_t *named(const json_t *array, const char *name)
{
	json_t *value;
	size_t i;

	json_array_foreach(array, i,
			   value) if (!strcmp(json_string_value(json_object_get(value, "name")),
					      name)) return value;
	return NULL;
}

static json_t *cell_of(const json_t *result, const char *name)
{
	return named(json_object_get(result, "cells"), name);
}

static json_t *series_of(const json_t *result, const char *cell, const char *series)
{
	return named(json_object_get(cell_of(result, cell), "series"), series);
}

static int directory_make(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static int directory_remove(void **state)
{
	char command[PATH_MAX];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", directory);
	return system(command);
}

/* ---- arguments ------------------------------------------------------------------------ */

static void help_teaches(void **state)
{
	static const char *const words[] = { "--filter",	"--quick",    "--json",
					     "--save-baseline", "--baseline", "--cpus",
					     "Exit status",	"Examples",   "matrix/" };
	size_t i;

	(void)state;
	assert_int_equal(run("--help"), 0);
	for (i = 0; i < ARRAY_SIZE(words); i++)
		assert_says("out", words[i]);
}

static void wrong_arguments(void **state)
{
	static const char *const wrong[] = {
		"--no-such-option",
		"--turns 0",
		"--turns x",
		"--noise -1",
		"--bus embedded: --cpus 99999",
		"--bus embedded: --cpus sideways",
		"--bus embedded: --filter no/such/cell",
		"--bus /no/such/device --filter shape-b",
		"--bus embedded: --peers /no/such/directory --list",
		QUICK ONE "--save-baseline ../up",
		QUICK ONE "--baseline a/b",
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		if (run("%s", wrong[i]) != 2)
			fail_msg("%s is taken", wrong[i]);
		assert_true(*contents("err"));
	}
}

/* As taskset takes them; and what cannot be has its reason. */
static void cpus_are_printed(void **state)
{
	char command[PATH_MAX + 32];

	(void)state;
	assert_int_equal(run("--bus /no/such/device --cpus 0 --print-cpus"), 0);
	assert_string_equal(contents("out"), "0\n");
	assert_int_equal(run("--cpus 0,0 --print-cpus"), 0);
	assert_string_equal(contents("out"), "0,0\n");
	assert_int_equal(run("--cpus auto --print-cpus"), 0);
	snprintf(command, sizeof(command), "taskset -c $(cat %s) true", file("out"));
	assert_int_equal(system(command), 0);
	assert_int_equal(run("--cpus sideways --print-cpus"), 2);
	assert_string_equal(contents("out"), "");
}

static unsigned int lines(const char *name, const char *with)
{
	const char *line = contents(name), *end;
	unsigned int count = 0;

	for (; *line; line = end + 1) {
		end = strchr(line, '\n');
		assert_non_null(end);
		count += memmem(line, (size_t)(end - line), with, strlen(with)) != NULL;
	}
	return count;
}

static void list_and_filter(void **state)
{
	unsigned int all;

	(void)state;
	assert_int_equal(run("--bus embedded: --no-peers --list"), 0);
	all = lines("out", "");
	/* 5 sets of features, 5 capacities, 4 payloads, 5 audiences. */
	assert_int_equal(lines("out", "matrix/"), 500);
	assert_true(all > 600);
	assert_int_equal(lines("out", "reference/"), 2);
	assert_int_equal(run("--bus embedded: --no-peers --list --quick"), 0);
	assert_true(lines("out", "") < all);
	assert_int_equal(
		run("--bus embedded: --no-peers --list --filter matrix/none,burst/ -f subs4"), 0);
	assert_int_equal(lines("out", ""), lines("out", "subs4"));
	assert_int_equal(lines("out", ""), lines("out", "matrix/none") + lines("out", "burst/"));
	assert_true(lines("out", "burst/") > 0);
}

/* ---- results -------------------------------------------------------------------------- */

static void assert_measured(const json_t *result, const char *cell, const char *name)
{
	json_t *series = series_of(result, cell, name), *turns = json_object_get(series, "turns");
	double median = json_real_value(json_object_get(series, "median"));

	if (!series)
		fail_msg("%s has no %s", cell, name);
	assert_int_equal(json_array_size(turns), 2);
	assert_true(json_array_size(json_array_get(turns, 1)) > 0);
	assert_true(median >= json_real_value(json_object_get(series, "low")));
	assert_true(median <= json_real_value(json_object_get(series, "high")));
	assert_non_null(json_object_get(json_object_get(series, "outliers"), "high_severe"));
}

static void assert_described(const json_t *machine)
{
	static const char *const members[] = { "cpu",	   "cpus",	"kernel",  "mitigations",
					       "governor", "transport", "ronbus",  "compiler",
					       "identity", "pinned",	"pinning", "clocksource" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(members); i++)
		if (!json_object_get(machine, members[i]))
			fail_msg("the machine has no %s", members[i]);
}

/* A cell of each kind. */
static void every_kind_is_measured(void **state)
{
	json_t *result, *counters;
	int status;

	(void)state;
	status = run(QUICK
		     "--no-peers --json %s --filter matrix/recommended/cap64/pay32/subs4,"
		     "burst/1000/many/cap64/pay32/subs1,publishers/pubs2/cap64/pay32/subs1,"
		     "shape-a/readers4/pay8/ronbus,shape-b/sleep/pay8/ronbus,"
		     "shape-b/spin/pay8/ronbus,shape-c/readers4/pay32/ronbus,baseline/subs4/ronbus,"
		     "gates/A1/stream/subs4/on,gates/A5/live/subs4,gates/A4/rest/subs4/flush32",
		     file("all.json"));
	/* Whether gates are met is not the question here. */
	assert_true(status == 0 || status == 4);
	result = load("all.json");
	assert_string_equal(json_string_value(json_object_get(result, "format")), "ronbus-bench");
	assert_described(json_object_get(result, "machine"));
	assert_measured(result, "reference/atomics-and-copies", "round");
	assert_measured(result, "reference/atomics-and-copies", "work");
	assert_measured(result, "reference/handoff", "handoff");
	assert_measured(result, "matrix/recommended/cap64/pay32/subs4", "publish");
	assert_measured(result, "matrix/recommended/cap64/pay32/subs4", "receive");
	assert_measured(result, "burst/1000/many/cap64/pay32/subs1", "publish");
	assert_measured(result, "publishers/pubs2/cap64/pay32/subs1", "publish");
	assert_measured(result, "baseline/subs4/ronbus", "publish");
	assert_measured(result, "baseline/subs4/ronbus", "receive");
	assert_measured(result, "baseline/subs4/ronbus-exclusive-batch", "publish");
	assert_measured(result, "shape-a/readers4/pay8/ronbus", "cycle");
	assert_measured(result, "shape-b/sleep/pay8/ronbus", "oneway");
	assert_measured(result, "shape-b/spin/pay8/ronbus", "oneway");
	assert_measured(result, "shape-c/readers4/pay32/ronbus", "publish");
	assert_measured(result, "shape-c/readers4/pay32/ronbus", "lastwake");
	assert_measured(result, "shape-c/readers4/pay32/ronbus", "switches");
	assert_measured(result, "shape-c/readers4/pay32/ronbus", "cpu");
	assert_measured(result, "gates/A1/stream/subs4/on", "publish");
	assert_measured(result, "gates/A5/live/subs4/poll", "cycle");
	assert_measured(result, "gates/A4/rest/subs4/flush32", "publish");
	assert_non_null(named(json_object_get(result, "gates"), "A5/live/drain-to-poll/subs4"));

	/* What was counted goes with it: a wake for each sleeper and message, but for luck. */
	counters = json_object_get(cell_of(result, "shape-c/readers4/pay32/ronbus"), "counters");
	assert_true(json_integer_value(json_object_get(counters, "bus_published_total")) > 0);
	assert_true(json_integer_value(json_object_get(counters, "bus_notify_sends_total")) > 0);
	assert_non_null(json_object_get(counters, "suppressed_share"));
	json_decref(result);
}

static void json_to_standard_output(void **state)
{
	json_t *result;

	(void)state;
	assert_int_equal(run(QUICK ONE "--json -"), 0);
	result = load("out");
	assert_non_null(cell_of(result, "shape-a/readers1/pay8/ronbus-batch"));
	json_decref(result);
	assert_int_equal(run(QUICK ONE "--json %s", file("no/such/directory")), 2);
}

static void table_for_people(void **state)
{
	(void)state;
	assert_int_equal(run(QUICK ONE), 0);
	assert_says("out", "# CPU: ");
	assert_says("out", "# mitigations: ");
	assert_says("out", "== shape-a\n");
	assert_says("out", "shape-a/readers1/pay8/ronbus-batch");
	assert_says("out", "suppressed 100.00 %, drops 0, lag 0");
	assert_int_equal(run(QUICK ONE "--quiet"), 0);
	assert_string_equal(contents("out"), "");
}

/* ---- baselines ------------------------------------------------------------------------ */

/* Of two turns nothing would be certain. */
#define MORE_TURNS "--turns 6 "

#define BATCH_CELL "shape-a/readers1/pay8/ronbus-batch"

/* Every sample of the cell in the baseline, times @factor. */
static void edit_baseline(const char *from, const char *to, double factor)
{
	json_t *result = load(from), *turns, *turn, *value;
	size_t t, i;

	turns = json_object_get(series_of(result, BATCH_CELL, "cycle"), "turns");
	json_array_foreach(turns, t, turn) json_array_foreach(turn, i, value)
		json_real_set(value, json_real_value(value) * factor);
	assert_int_equal(json_dump_file(result, file(to), 0), 0);
	json_decref(result);
}

static int compare_with(const char *name, const char *more)
{
	return run(QUICK ONE MORE_TURNS "--baselines %s --baseline %s %s --json %s", directory,
		   name, more, file("compared.json"));
}

static void assert_verdict(const char *verdict)
{
	json_t *result = load("compared.json"), *changes;

	changes = json_object_get(json_object_get(result, "comparison"), "changes");
	assert_string_equal(
		json_string_value(json_object_get(named(changes, BATCH_CELL), "verdict")), verdict);
	json_decref(result);
}

static void baselines_are_compared(void **state)
{
	(void)state;
	assert_int_equal(run(QUICK ONE MORE_TURNS "--baselines %s --save-baseline base", directory),
			 0);
	edit_baseline("base.json", "fast.json", 1e-9);
	edit_baseline("base.json", "slow.json", 1e9);
	assert_int_equal(compare_with("slow", ""), 0);
	assert_verdict("improved");
	assert_says("out", "1 improved, 0 regressed");
	assert_int_equal(compare_with("fast", ""), 1);
	assert_verdict("regressed");
	assert_says("out", "0 improved, 1 regressed");
	/* Nothing is beyond such noise. */
	assert_int_equal(
		run(QUICK ONE "--noise 100000000 --baselines %s --baseline base", directory), 0);
	assert_says("out", "0 improved, 0 regressed");
}

static void other_machine(void **state)
{
	json_t *result;

	(void)state;
	assert_int_equal(compare_with("never", ""), 3);
	result = load("base.json");
	json_object_set_new(json_object_get(result, "machine"), "cpu", json_string("another one"));
	assert_int_equal(json_dump_file(result, file("other.json"), 0), 0);
	json_decref(result);
	assert_int_equal(compare_with("other", ""), 3);
	assert_says("err", "is of another machine: cpu was \"another one\"");
	assert_int_not_equal(compare_with("other", "--noise 100000000 --force"), 3);
	assert_says("err", "is of another machine");
	write_script("broken.json", "this is no JSON\n");
	assert_int_equal(compare_with("broken", ""), 3);
}

/* ---- peers ---------------------------------------------------------------------------- */

static const char *skipped(const json_t *result, const char *cell)
{
	const char *why = json_string_value(json_object_get(cell_of(result, cell), "skipped"));

	return why ? why : "";
}

static void peers_beside_us(void **state)
{
	json_t *result, *cell;

	(void)state;
	assert_int_equal(mkdir(file("peers"), 0777), 0);
	write_script("peers/good", "printf 'engine\\tgood 1.2\\n# copies: two\\n'\n"
				   "printf 'sample\\t%s\\n' 10.5 11.5 12.5\necho \"$*\" >&2\n");
	write_script("peers/none", "echo 'none: there is no such engine here' >&2\nexit 77\n");
	write_script("peers/lost", "echo 'lost: it broke' >&2\nexit 1\n");
	write_script("peers/odd", "echo 'what is this'\n");
	assert_int_equal(run(QUICK "--peers %s --filter shape-a/readers1/pay8 --json %s",
			     file("peers"), file("peers.json")),
			 0);
	result = load("peers.json");
	cell = cell_of(result, "shape-a/readers1/pay8/good");
	assert_non_null(cell);
	assert_string_equal(json_string_value(json_object_get(cell, "version")), "good 1.2");
	assert_measured(result, "shape-a/readers1/pay8/good", "cycle");
	assert_float_equal(
		json_real_value(json_object_get(
			series_of(result, "shape-a/readers1/pay8/good", "cycle"), "median")),
		11.5, 1e-9);
	assert_string_equal(skipped(result, "shape-a/readers1/pay8/none"),
			    "there is no such engine here");
	assert_string_equal(skipped(result, "shape-a/readers1/pay8/lost"),
			    "failed: status 1: it broke");
	assert_string_equal(skipped(result, "shape-a/readers1/pay8/odd"),
			    "failed: it printed \"what is this\"");
	assert_non_null(
		named(json_object_get(result, "gates"), "shape-a/readers1/pay8/ronbus:good"));
	assert_says("out", "skipped: there is no such engine here");
	json_decref(result);
}

/* The peer is told what the cell is. */
static void peers_are_asked(void **state)
{
	(void)state;
	write_script("peers/good", "echo \"$*\" >&2\nexit 77\n");
	assert_int_equal(run(QUICK "--peers %s --cpus 0 --filter shape-b/sleep/pay8/good",
			     file("peers")),
			 0);
	assert_says("out", "--shape b --readers 1 --payload 8 --samples 200 --cpus 0,0 --sleep");
	/* Shape d is asked of one peer only. */
	write_script("peers/tokio", "echo \"$*\" >&2\nexit 77\n");
	assert_int_equal(run(QUICK "--peers %s --cpus 0 --filter baseline/subs16/", file("peers")),
			 0);
	assert_says("out", "--shape d --readers 16 --payload 32 --samples 30 --cpus 0,0");
	assert_int_equal(lines("out", "baseline/subs16/good"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(help_teaches),		  cmocka_unit_test(wrong_arguments),
		cmocka_unit_test(cpus_are_printed),	  cmocka_unit_test(list_and_filter),
		cmocka_unit_test(every_kind_is_measured), cmocka_unit_test(json_to_standard_output),
		cmocka_unit_test(table_for_people),	  cmocka_unit_test(baselines_are_compared),
		cmocka_unit_test(other_machine),	  cmocka_unit_test(peers_beside_us),
		cmocka_unit_test(peers_are_asked),
	};

	return cmocka_run_group_tests(tests, directory_make, directory_remove);
}
