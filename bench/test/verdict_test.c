// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * verdict_test.c - baselines, verdicts and gates, on data that were made up
 */
#include <limits.h>
#include <unistd.h>

#include "cases.h"
#include "frozen.h"
#include "gate.h"
#include "machine.h"
#include "peer.h"
#include "quiet.h"
#include "result.h"
#include "test.h"
#include "verdict.h"

const char bench_name[] = "verdict_test";
struct settings settings = { .noise = NOISE_LEAST, .transport = RONBUS_EMBEDDED };

#define CELL "matrix/test"

/* ---- runs that were made up ----------------------------------------------------------- */

static const struct cell_ops no_ops = { .name = "none", .what = "nothing" };

static void add_cell(struct cells *cells, const char *group, const char *engine, const char *name)
{
	const struct cell template = { .group = group, .engine = engine, .ops = &no_ops };

	cell_add_series(cells_add(cells, &template, "%s", name), "publish", "ns/msg");
}

static struct samples *samples_of(struct cells *cells, const char *name)
{
	return &cell_series(cells_find(cells, name), "publish")->samples;
}

static void make_cells(struct cells *cells)
{
	add_cell(cells, GROUP_REFERENCE, "reference", REFERENCE_CELL);
	add_cell(cells, GROUP_MATRIX, "ronbus", CELL);
}

/* A run of a machine whose turns differ by two in a hundred. */
static void make_run(struct cells *cells, gsl_rng *rng, double reference, double median)
{
	make_times(samples_of(cells, REFERENCE_CELL), rng, reference, 4, 4, 0.01, 0.01);
	make_times(samples_of(cells, CELL), rng, median, 10, 12, 0.02, 0.03);
	cell_summarize(&cells->cells[0]);
	cell_summarize(&cells->cells[1]);
}

static json_t *freeze(const struct cells *cells)
{
	const struct gates gates = { 0 };
	json_t *machine = json_object(), *frozen = result_make(machine, cells, &gates, NULL);

	json_decref(machine);
	assert_non_null(frozen);
	return frozen;
}

/* How often a run that is @factor times as slow as the baseline gets @verdict. */
static int count_verdicts(int trials, double factor, double drift, enum verdict verdict)
{
	struct changes changes = { 0 };
	struct cells cells = { 0 };
	gsl_rng *rng = dice(42);
	int trial, count = 0;

	make_cells(&cells);
	for (trial = 0; trial < trials; trial++) {
		json_t *frozen;

		make_run(&cells, rng, 2, 100);
		frozen = freeze(&cells);
		make_run(&cells, rng, 2 * drift, 100 * factor);
		frozen_compare(frozen, "test", &cells, &changes);
		count += changes.changes[1].verdict == verdict;
		assert_int_equal(changes.changes[0].verdict, VERDICT_CONTROL);
		assert_true(changes_regressed(&changes) ==
			    (changes.changes[1].verdict == VERDICT_REGRESSED));
		json_decref(frozen);
	}
	changes_free(&changes);
	cells_free(&cells);
	gsl_rng_free(rng);
	return count;
}

/* ---- verdicts ------------------------------------------------------------------------- */

static void noise_is_never_a_regression(void **state)
{
	(void)state;
	assert_int_equal(count_verdicts(200, 1, 1, VERDICT_NOISE), 200);
}

static void shift_is_a_regression(void **state)
{
	(void)state;
	assert_int_equal(count_verdicts(30, 1.3, 1, VERDICT_REGRESSED), 30);
}

static void shift_is_an_improvement(void **state)
{
	(void)state;
	assert_int_equal(count_verdicts(30, 1 / 1.3, 1, VERDICT_IMPROVED), 30);
}

/* The loop without ronbus got slower by as much: it is the machine. */
static void drift_is_no_regression(void **state)
{
	(void)state;
	assert_int_equal(count_verdicts(30, 1.3, 1.35, VERDICT_NOISE), 30);
}

/* The halves of one run differ by as much: so may two runs. */
static void unrest_is_no_regression(void **state)
{
	const struct noises noises = { 0.03, 0.02, 0.35, 0.01 };

	(void)state;
	assert_float_equal(noise_threshold(&noises), 0.35, 1e-12);
	assert_int_equal(verdict_of((struct interval){ 1.3, 1.25, 1.34 }, 0.35), VERDICT_NOISE);
}

/* Two ways to measure: one that is quiet, and one with company that is not. */
static const struct cell_ops loud_ops = { .name = "loud", .what = "something loud" };

#define LOUD "live/test"

static void make_two_kinds(struct cells *cells, gsl_rng *rng, double loop, double loud,
			   double handoff)
{
	struct cell *cell;

	cells_free(cells);
	make_cells(cells);
	add_cell(cells, GROUP_REFERENCE, "reference", HANDOFF_CELL);
	add_cell(cells, GROUP_MATRIX, "ronbus", LOUD);
	cell = cells_find(cells, LOUD);
	cell->ops = &loud_ops;
	cell->sleeping = true;
	make_times(samples_of(cells, REFERENCE_CELL), rng, 2, 4, 4, 0.001, 0.001);
	make_times(samples_of(cells, HANDOFF_CELL), rng, handoff, 4, 4, 0.001, 0.001);
	make_times(samples_of(cells, CELL), rng, loop, 10, 12, 0.001, 0.001);
	make_times(samples_of(cells, LOUD), rng, loud, 10, 12, 0.001, 0.001);
	for (size_t i = 0; i < cells->count; i++)
		cell_summarize(&cells->cells[i]);
}

static void compare_kinds(struct cells *cells, const json_t *frozen, enum verdict loop,
			  enum verdict loud)
{
	struct changes changes = { 0 };
	size_t i;

	frozen_compare(frozen, "test", cells, &changes);
	for (i = 0; i < changes.count; i++) {
		if (!strcmp(changes.changes[i].cell->name, CELL))
			assert_int_equal(changes.changes[i].verdict, loop);
		if (!strcmp(changes.changes[i].cell->name, LOUD))
			assert_int_equal(changes.changes[i].verdict, loud);
	}
	changes_free(&changes);
}

/* Cells that are measured in another way, or without company, are not excused by what these do. */
static void noise_is_of_a_kind(void **state)
{
	struct cells cells = { 0 };
	gsl_rng *rng = dice(3);
	json_t *frozen;

	(void)state;
	make_two_kinds(&cells, rng, 100, 1000, 50);
	frozen = freeze(&cells);
	make_two_kinds(&cells, rng, 110, 1100, 50);
	compare_kinds(&cells, frozen, VERDICT_REGRESSED, VERDICT_REGRESSED);
	/* Waking takes longer without ronbus, too. */
	make_two_kinds(&cells, rng, 110, 1100, 60);
	compare_kinds(&cells, frozen, VERDICT_REGRESSED, VERDICT_NOISE);
	/* The halves of the loud one differ. */
	make_two_kinds(&cells, rng, 110, 1100, 50);
	cell_series(cells_find(&cells, LOUD), "publish")->summary.halves = 1.3;
	compare_kinds(&cells, frozen, VERDICT_REGRESSED, VERDICT_NOISE);
	/* Somebody else has had a CPU for a while. */
	make_two_kinds(&cells, rng, 110, 1100, 50);
	quiet.others = 0.2;
	compare_kinds(&cells, frozen, VERDICT_REGRESSED, VERDICT_NOISE);
	quiet.others = 0;
	compare_kinds(&cells, frozen, VERDICT_REGRESSED, VERDICT_REGRESSED);
	json_decref(frozen);
	cells_free(&cells);
	gsl_rng_free(rng);
}

static void intervals_and_threshold(void **state)
{
	static const struct {
		struct interval ratio;
		enum verdict verdict;
	} rows[] = {
		{ { 1.00, 0.99, 1.01 }, VERDICT_NOISE },
		{ { 1.02, 1.01, 1.03 }, VERDICT_NOISE }, /* off zero, but within the threshold */
		{ { 1.20, 0.95, 1.40 }, VERDICT_NOISE }, /* beyond it, but not off zero */
		{ { 1.20, 1.02, 1.40 }, VERDICT_NOISE }, /* the lower end is within */
		{ { 1.20, 1.06, 1.40 }, VERDICT_REGRESSED },
		{ { 0.80, 0.70, 0.99 }, VERDICT_NOISE },
		{ { 0.80, 0.70, 0.90 }, VERDICT_IMPROVED },
		{ { 0, 0, 0 }, VERDICT_NEW },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(verdict_of(rows[i].ratio, 0.05), rows[i].verdict);
	assert_float_equal(distance(1.25), 0.25, 1e-12);
	assert_float_equal(distance(0.8), 0.25, 1e-12);
	assert_float_equal(distance(0), 0, 1e-12);
}

static void verdicts_are_confirmed(void **state)
{
	struct cells cells = { 0 };
	struct change first[] = { { .verdict = VERDICT_REGRESSED },
				  { .verdict = VERDICT_REGRESSED },
				  { .verdict = VERDICT_IMPROVED },
				  { .verdict = VERDICT_NOISE } };
	struct change second[] = { { .verdict = VERDICT_REGRESSED },
				   { .verdict = VERDICT_NOISE },
				   { .verdict = VERDICT_REGRESSED },
				   { .verdict = VERDICT_REGRESSED } };
	struct changes changes = { .changes = first, .count = 4 };
	const struct changes again = { .changes = second, .count = 4 };
	bool wanted[2] = { false };
	int i;

	(void)state;
	make_cells(&cells);
	for (i = 0; i < 4; i++) {
		first[i].cell = second[i].cell = &cells.cells[1];
		first[i].series = second[i].series = &cells.cells[1].series[i];
	}
	assert_int_equal(changes_doubtful(&changes, &cells, wanted), 1);
	assert_false(wanted[0]);
	assert_true(wanted[1]);
	changes_confirm(&changes, &again);
	assert_int_equal(first[0].verdict, VERDICT_REGRESSED);
	assert_int_equal(first[1].verdict, VERDICT_NOISE);
	assert_int_equal(first[2].verdict, VERDICT_NOISE);
	assert_int_equal(first[3].verdict, VERDICT_NOISE);
	cells_free(&cells);
}

static void new_cells_have_no_verdict(void **state)
{
	struct changes changes = { 0 };
	struct cells cells = { 0 };
	gsl_rng *rng = dice(1);
	json_t *frozen;

	(void)state;
	make_cells(&cells);
	make_run(&cells, rng, 2, 100);
	frozen = freeze(&cells);
	snprintf(cells.cells[1].name, NAME_SIZE, "matrix/other");
	frozen_compare(frozen, "test", &cells, &changes);
	assert_int_equal(changes.changes[1].verdict, VERDICT_NEW);
	assert_false(changes_regressed(&changes));
	json_decref(frozen);
	changes_free(&changes);
	cells_free(&cells);
	gsl_rng_free(rng);
}

/* ---- baselines in files --------------------------------------------------------------- */

static void names_of_baselines(void **state)
{
	char path[PATH_MAX], small[8];

	(void)state;
	assert_true(frozen_path("/tmp", "a-b_1", path, sizeof(path)));
	assert_string_equal(path, "/tmp/a-b_1.json");
	assert_false(frozen_path("/tmp", "", path, sizeof(path)));
	assert_false(frozen_path("/tmp", "..", path, sizeof(path)));
	assert_false(frozen_path("/tmp", "a/b", path, sizeof(path)));
	assert_false(frozen_path("/tmp", "name", small, sizeof(small)));
}

static json_t *describe(void)
{
	struct topology topology;
	cpu_set_t allowed;

	assert_int_equal(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
	topology_read(&topology, "/sys", &allowed);
	settings.pinning = "none";
	return machine_describe(&topology);
}

static void other_machines_are_refused(void **state)
{
	static const char *const members[] = { "identity", "cpu", "architecture", "transport" };
	char directory[] = "/tmp/verdict_test.XXXXXX", path[PATH_MAX], below[PATH_MAX - 8];
	json_t *machine = describe(), *result, *loaded;
	const struct gates gates = { 0 };
	struct cells cells = { 0 };
	size_t i;

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(below, sizeof(below), "%s/below", directory);
	assert_true(frozen_path(below, "test", path, sizeof(path)));
	assert_null(frozen_load(path, machine, true)); /* it is not there */
	make_cells(&cells);
	result = result_make(machine, &cells, &gates, NULL);
	assert_true(frozen_save(path, result));
	loaded = frozen_load(path, machine, false);
	assert_non_null(loaded);
	json_decref(loaded);

	for (i = 0; i < ARRAY_SIZE(members); i++) {
		json_t *other = json_deep_copy(machine);

		json_object_set_new(other, members[i], json_string("something else"));
		assert_string_equal(machine_differs(machine, other), members[i]);
		assert_null(frozen_load(path, other, false));
		loaded = frozen_load(path, other, true);
		assert_non_null(loaded);
		json_decref(loaded);
		json_decref(other);
	}
	json_object_set_new(machine, "kernel", json_string("a later one"));
	assert_null(machine_differs(json_object_get(result, "machine"), machine));

	json_object_set_new(result, "version", json_integer(RESULT_VERSION + 1));
	assert_true(frozen_save(path, result));
	assert_null(frozen_load(path, machine, true));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(below), 0);
	assert_int_equal(rmdir(directory), 0);
	json_decref(result);
	json_decref(machine);
	cells_free(&cells);
}

static void samples_survive(void **state)
{
	struct samples back = { 0 }, *samples;
	struct cells cells = { 0 };
	gsl_rng *rng = dice(4);
	json_t *frozen;
	size_t i;

	(void)state;
	make_cells(&cells);
	make_run(&cells, rng, 2, 100);
	frozen = freeze(&cells);
	samples = samples_of(&cells, CELL);
	assert_true(frozen_samples(frozen, CELL, "publish", &back));
	assert_int_equal(back.count, samples->count);
	assert_int_equal(back.turns, samples->turns);
	assert_memory_equal(back.ends, samples->ends, samples->turns * sizeof(*back.ends));
	for (i = 0; i < back.count; i++)
		assert_float_equal(back.values[i], samples->values[i], 1e-9);
	samples_clear(&back);
	assert_false(frozen_samples(frozen, CELL, "receive", &back));
	samples_free(&back);
	json_decref(frozen);
	cells_free(&cells);
	gsl_rng_free(rng);
}

/* ---- gates ---------------------------------------------------------------------------- */

/* What becomes of a gate between a cell of @on and one of @off, with the noise of a machine. */
static enum gate_result judge_one(enum gate_kind kind, double bound, double on, double off,
				  double noise)
{
	struct gate gate = { .kind = kind, .bound = bound, .series = "publish", .quantile = 0.5 };
	struct gates gates = { .gates = &gate, .count = 1 };
	struct cells cells = { 0 };
	gsl_rng *rng = dice(8);
	size_t i;

	snprintf(gate.on, sizeof(gate.on), "gates/on");
	snprintf(gate.off, sizeof(gate.off), "gates/off");
	add_cell(&cells, GROUP_GATES, "ronbus", "gates/on");
	add_cell(&cells, GROUP_GATES, "ronbus", "gates/off");
	make_times(samples_of(&cells, "gates/on"), rng, on, 16, 10, noise, 0.01);
	make_times(samples_of(&cells, "gates/off"), rng, off, 16, 10, noise, 0.01);
	for (i = 0; i < cells.count; i++)
		cell_summarize(&cells.cells[i]);
	gates_judge(&gates, &cells);
	assert_int_equal(gates.count, 1);
	cells_free(&cells);
	gsl_rng_free(rng);
	return gate.result;
}

static void gates_pass_and_miss(void **state)
{
	(void)state;
	assert_int_equal(judge_one(GATE_GAIN, 10, 80, 100, 0.005), RESULT_PASS);
	assert_int_equal(judge_one(GATE_GAIN, 10, 97, 100, 0.005), RESULT_MISS);
	assert_int_equal(judge_one(GATE_GAIN, 10, 110, 100, 0.005), RESULT_MISS);
	assert_int_equal(judge_one(GATE_GAIN, 10, 88, 100, 0.3), RESULT_UNSURE);
	assert_int_equal(judge_one(GATE_COST, 10, 103, 100, 0.005), RESULT_PASS);
	assert_int_equal(judge_one(GATE_COST, 10, 120, 100, 0.005), RESULT_MISS);
	assert_int_equal(judge_one(GATE_BEST, 3, 101, 100, 0.005), RESULT_PASS);
	assert_int_equal(judge_one(GATE_BEST, 3, 110, 100, 0.005), RESULT_MISS);
	assert_int_equal(judge_one(GATE_INFO, 0, 110, 100, 0.005), RESULT_NONE);
	assert_int_equal(judge_one(GATE_MOST, 105, 100, 1, 0.005), RESULT_PASS);
	assert_int_equal(judge_one(GATE_MOST, 95, 100, 1, 0.005), RESULT_MISS);
	assert_int_equal(judge_one(GATE_MOST, 100, 100, 1, 0.3), RESULT_UNSURE);
}

/* Cells of shapes A and C with made-up costs, all certain to a thousandth. */
static void add_shape(struct cells *cells, gsl_rng *rng, char shape, unsigned int readers,
		      const char *engine, double cost)
{
	const struct cell template = { .group = GROUP_SHAPE_A,
				       .engine = engine,
				       .ops = &no_ops,
				       .shape = shape,
				       .payload = shape == 'a' ? 8 : 32,
				       .subscribers = readers };
	struct cell *cell = cells_add(cells, &template, "shape-%c/readers%u/pay%u/%s", shape,
				      readers, template.payload, engine);

	cell_add_series(cell, shape == 'a' ? "cycle" : "publish", "ns/msg");
	make_times(&cell->series[0].samples, rng, cost, 16, 10, 0.001, 0.001);
}

static const struct gate *find_gate(const struct gates *gates, const char *name)
{
	size_t i;

	for (i = 0; i < gates->count; i++)
		if (!strcmp(gates->gates[i].name, name))
			return &gates->gates[i];
	fail_msg("there is no gate %s", name);
	return NULL;
}

static void expect_gate(const struct gates *gates, const char *name, double value,
			enum gate_result result)
{
	const struct gate *gate = find_gate(gates, name);

	assert_float_equal(gate->value.value, value, 0.01 * value);
	assert_int_equal(gate->result, result);
}

static void add_baseline_cell(struct cells *cells, gsl_rng *rng, unsigned int subscribers,
			      const char *engine, double cost)
{
	const struct cell template = { .group = GROUP_BASELINE,
				       .engine = engine,
				       .ops = &no_ops,
				       .shape = SHAPE_APART,
				       .subscribers = subscribers };
	struct cell *cell = cells_add(cells, &template, "baseline/subs%u/%s", subscribers, engine);

	cell_add_series(cell, "publish", "ns/msg");
	make_times(&cell->series[0].samples, rng, cost, 16, 10, 0.001, 0.001);
}

/* The aims beside peers: whose cost is compared with whose. */
static void aims(void **state)
{
	struct gates gates = { 0 };
	struct cells cells = { 0 };
	gsl_rng *rng = dice(9);
	size_t i;

	(void)state;
	add_shape(&cells, rng, 'a', 4, "ronbus", 20);
	add_shape(&cells, rng, 'a', 4, "ronbus-exclusive", 8);
	add_shape(&cells, rng, 'a', 4, "ronbus-batch", 1); /* ours is no peer of ours */
	add_shape(&cells, rng, 'a', 4, "shm-futex", 10);
	add_shape(&cells, rng, 'a', 4, "tokio", 40);
	add_shape(&cells, rng, 'a', 4, "pipe", 400);
	add_shape(&cells, rng, 'c', 1, "ronbus", 100);
	add_shape(&cells, rng, 'c', 4, "ronbus", 380);
	add_shape(&cells, rng, 'c', 16, "ronbus", 3200);
	add_baseline_cell(&cells, rng, 1, "ronbus-batch", 100);
	add_baseline_cell(&cells, rng, 64, "ronbus-batch", 120);
	add_baseline_cell(&cells, rng, 64, "tokio", 360);
	for (i = 0; i < cells.count; i++)
		cell_summarize(&cells.cells[i]);
	gates_of_peers(&gates, &cells);
	gates_judge(&gates, &cells);
	expect_gate(&gates, "aim/shape-a/readers4", 2, RESULT_MISS);
	expect_gate(&gates, "aim/shape-a/readers4-exclusive", 0.8, RESULT_MISS);
	expect_gate(&gates, "aim/shape-a/readers4/but-bare-memory", 0.5, RESULT_PASS);
	expect_gate(&gates, "aim/shape-c/readers4", 0.95, RESULT_PASS);
	expect_gate(&gates, "aim/shape-c/readers16", 2, RESULT_MISS);
	expect_gate(&gates, "aim/baseline/subs64/ronbus-batch", 0.333, RESULT_PASS);
	expect_gate(&gates, "aim/baseline/subs64-to-1/ronbus-batch", 1.2, RESULT_MISS);
	expect_gate(&gates, "baseline/subs64/ronbus-batch:tokio", 3, RESULT_NONE);
	expect_gate(&gates, "shape-a/readers4/pay8/ronbus:tokio", 2, RESULT_NONE);
	expect_gate(&gates, "shape-a/readers4/pay8/ronbus-batch:shm-futex", 10, RESULT_NONE);
	for (i = 0; i < gates.count; i++)
		assert_string_not_equal(gates.gates[i].name,
					"shape-a/readers4/pay8/ronbus-batch:tokio");
	gates_free(&gates);
	cells_free(&cells);
	gsl_rng_free(rng);
}

static void gates_of_missing_cells_go(void **state)
{
	struct gates gates = { 0 };
	struct cells cells = { 0 };

	(void)state;
	gates_of_features(&gates);
	assert_true(gates.count > 50);
	gates_judge(&gates, &cells);
	assert_int_equal(gates.count, 0);
	gates_free(&gates);
}

/* Each cell that a gate names is there: one that is not would never be judged. */
static void gates_name_cells(void **state)
{
	struct gates gates = { 0 };
	struct cells cells = { 0 };
	size_t i, j;

	(void)state;
	add_gates(&cells);
	gates_of_features(&gates);
	for (i = 0; i < gates.count; i++) {
		const struct gate *gate = &gates.gates[i];

		if (!cells_find(&cells, gate->on))
			fail_msg("%s: there is no %s", gate->name, gate->on);
		for (j = 0; j < cells.count; j++)
			if (!strncmp(cells.cells[j].name, gate->off, strlen(gate->off)))
				break;
		if (j == cells.count)
			fail_msg("%s: there is no %s", gate->name, gate->off);
	}
	gates_free(&gates);
	cells_free(&cells);
}

static void suppressed_shares(void **state)
{
	struct ronbus_counters counters = { .addressed_total = 200,
					    .notify_suppressed_total = 150 };

	(void)state;
	assert_float_equal(suppressed_share(&counters), 0.75, 1e-12);
	counters.addressed_total = 0;
	assert_true(suppressed_share(&counters) < 0);
}

/* ---- peers, cells, CPUs --------------------------------------------------------------- */

static void lines_of_peers(void **state)
{
	struct samples latencies[SERIES_MOST] = { 0 };
	struct cell cell = { .name = "shape-a/test", .engine = "peer" };

	(void)state;
	cell_add_series(&cell, "cycle", "ns/msg");
	assert_true(peer_read_line(&cell, "engine\tpipe 6.1", latencies));
	assert_string_equal(cell.version, "pipe 6.1");
	assert_true(peer_read_line(&cell, "# copies: two", latencies));
	assert_true(peer_read_line(&cell, "sample\t12.5\n", latencies));
	assert_false(peer_read_line(&cell, "latency\t12.5", latencies));
	assert_false(peer_read_line(&cell, "sample\t", latencies));
	assert_false(peer_read_line(&cell, "sample\t12.5 ns", latencies));
	assert_false(peer_read_line(&cell, "sample", latencies));
	assert_int_equal(cell.series[0].samples.count, 1);
	assert_float_equal(cell.series[0].samples.values[0], 12.5, 1e-12);
	samples_free(&cell.series[0].samples);
}

static void filters(void **state)
{
	char both[] = "one,two", subs[] = "subs4";
	char *list[] = { both, subs };
	struct cells cells = { 0 };

	(void)state;
	add_cell(&cells, "g", "ronbus", "a/one/subs4");
	add_cell(&cells, "g", "ronbus", "a/two/subs16");
	add_cell(&cells, "g", "ronbus", "a/two/subs4");
	add_cell(&cells, "g", "ronbus", "a/three/subs4");
	cells_filter(&cells, list, 2);
	assert_int_equal(cells.count, 2);
	assert_string_equal(cells.cells[0].name, "a/one/subs4");
	assert_string_equal(cells.cells[1].name, "a/two/subs4");
	cells_free(&cells);
}

static void cpus_are_chosen(void **state)
{
	/* Two nodes of two cores, two threads each. */
	static const struct topology two_nodes = {
		.cpus = { { 0, 0, 0, 0 },
			  { 1, 1, 0, 0 },
			  { 2, 2, 2, 1 },
			  { 3, 3, 2, 1 },
			  { 4, 0, 0, 0 },
			  { 5, 1, 0, 0 },
			  { 6, 2, 2, 1 },
			  { 7, 3, 2, 1 } },
		.count = 8,
	};
	static const struct topology one_cpu = { .cpus = { { 0, 0, 0, 0 } }, .count = 1 };
	struct cpu_list list;

	(void)state;
	assert_null(topology_pick(&two_nodes, PIN_AUTO, &list));
	assert_int_equal(list.count, 8);
	assert_string_equal(topology_relation(&two_nodes, list.numbers[0], list.numbers[1]),
			    "same cache");
	assert_null(topology_pick(&two_nodes, PIN_SAME_CORE, &list));
	assert_string_equal(topology_relation(&two_nodes, list.numbers[0], list.numbers[1]),
			    "same core");
	assert_null(topology_pick(&two_nodes, PIN_FAR, &list));
	assert_string_equal(topology_relation(&two_nodes, list.numbers[0], list.numbers[1]),
			    "other node");
	assert_null(topology_pick(&two_nodes, PIN_NONE, &list));
	assert_int_equal(list.count, 0);
	assert_null(topology_pick(&one_cpu, PIN_AUTO, &list));
	assert_int_equal(list.count, 1);
	assert_non_null(topology_pick(&one_cpu, PIN_SAME_CORE, &list));
	assert_non_null(topology_pick(&one_cpu, PIN_SAME_L3, &list));
	assert_non_null(topology_pick(&one_cpu, PIN_FAR, &list));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(noise_is_never_a_regression),
		cmocka_unit_test(shift_is_a_regression),
		cmocka_unit_test(shift_is_an_improvement),
		cmocka_unit_test(drift_is_no_regression),
		cmocka_unit_test(unrest_is_no_regression),
		cmocka_unit_test(noise_is_of_a_kind),
		cmocka_unit_test(intervals_and_threshold),
		cmocka_unit_test(verdicts_are_confirmed),
		cmocka_unit_test(new_cells_have_no_verdict),
		cmocka_unit_test(names_of_baselines),
		cmocka_unit_test(other_machines_are_refused),
		cmocka_unit_test(samples_survive),
		cmocka_unit_test(gates_pass_and_miss),
		cmocka_unit_test(aims),
		cmocka_unit_test(gates_of_missing_cells_go),
		cmocka_unit_test(gates_name_cells),
		cmocka_unit_test(suppressed_shares),
		cmocka_unit_test(lines_of_peers),
		cmocka_unit_test(filters),
		cmocka_unit_test(cpus_are_chosen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
