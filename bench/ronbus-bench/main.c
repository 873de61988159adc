// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * main.c - ronbus-bench: what ronbus costs, and whether that has changed
 */
#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "cases.h"
#include "frozen.h"
#include "gate.h"
#include "machine.h"
#include "peer.h"
#include "progress.h"
#include "quiet.h"
#include "result.h"
#include "run.h"
#include "show.h"

#define FILTERS_MOST 16U

const char bench_name[] = "ronbus-bench";

#define TEXT(number) #number
#define VERSION(major, minor, patch) TEXT(major) "." TEXT(minor) "." TEXT(patch)
const char *argp_program_version =
	"ronbus-bench " VERSION(RONBUS_VERSION_MAJOR, RONBUS_VERSION_MINOR, RONBUS_VERSION_PATCH);

/* ---- arguments ------------------------------------------------------------------------ */

/**
 * struct arguments - what was asked for
 * @list: only name the cells
 * @quiet: no progress, no tables
 * @force: compare with another machine
 * @print_cpus: only say which CPUs @cpus are
 * @only_ask: only say whether @baseline is there
 * @no_peers: leave them out
 * @cpus: where to run, as given
 * @json: file for the result, or NULL
 * @save: name to freeze the result under, or NULL
 * @baseline: name of the baseline to compare with, or NULL
 * @directory: of the baselines
 * @turns: overrides the usual number, or 0
 * @filters: parts of names
 * @nr_filters: how many
 */
struct arguments {
	bool list;
	bool quiet;
	bool force;
	bool print_cpus;
	bool only_ask;
	bool no_peers;
	const char *cpus;
	const char *json;
	const char *save;
	const char *baseline;
	const char *directory;
	unsigned int turns;
	char *filters[FILTERS_MOST];
	size_t nr_filters;
};

struct settings settings = { .noise = NOISE_LEAST };

enum {
	KEY_BUS = 'b',
	KEY_CPUS = 'c',
	KEY_FILTER = 'f',
	KEY_JSON = 'j',
	KEY_LIST = 'l',
	KEY_QUICK = 'q',
	KEY_QUIET = 'Q',
	KEY_BASELINE = 0x100,
	KEY_DIRECTORY,
	KEY_FORCE,
	KEY_HAS,
	KEY_NOISE,
	KEY_NO_PEERS,
	KEY_PEERS,
	KEY_PRINT_CPUS,
	KEY_SAVE,
	KEY_TURNS,
};

static const struct argp_option options[] = {
	{ NULL, 0, NULL, 0, "What to measure:", 1 },
	{ "bus", KEY_BUS, "WHERE", 0, "/dev/ronbus or embedded: (the device if it is there)", 1 },
	{ "list", KEY_LIST, NULL, 0, "Only print the names of the cells", 1 },
	{ "filter", KEY_FILTER, "TEXT", 0,
	  "Only cells with TEXT in their name; A,B means A or B; given twice, both have to fit",
	  1 },
	{ "quick", KEY_QUICK, NULL, 0, "Fewer cells, fewer turns: minutes instead of many", 1 },
	{ "turns", KEY_TURNS, "N", 0, "Visit each cell N times", 1 },
	{ "peers", KEY_PEERS, "DIRECTORY", 0,
	  "Programs that measure other engines (\"peers\" beside this program)", 1 },
	{ "no-peers", KEY_NO_PEERS, NULL, 0, "Leave other engines out", 1 },
	{ NULL, 0, NULL, 0, "Where it runs:", 2 },
	{ "cpus", KEY_CPUS, "LIST", 0,
	  "The publisher on the first CPU of LIST (3,2), others on the next; or a word: auto, "
	  "same-core, same-l3, far (another NUMA node or cache), none (where the scheduler likes)",
	  2 },
	{ "print-cpus", KEY_PRINT_CPUS, NULL, 0,
	  "Only print the CPUs that --cpus means here, as taskset -c wants them", 2 },
	{ NULL, 0, NULL, 0, "What becomes of it:", 3 },
	{ "json", KEY_JSON, "FILE", 0, "Write everything, samples included, as JSON; - for stdout",
	  3 },
	{ "quiet", KEY_QUIET, NULL, 0, "No progress and no tables", 3 },
	{ "save-baseline", KEY_SAVE, "NAME", 0, "Keep the result as baseline NAME", 3 },
	{ "baseline", KEY_BASELINE, "NAME", 0, "Compare with baseline NAME", 3 },
	{ "baselines", KEY_DIRECTORY, "DIRECTORY", 0,
	  "Where baselines are: a file NAME.json each (default: $RONBUS_BENCH_BASELINES, "
	  "else $XDG_DATA_HOME/ronbus-bench, else ~/.local/share/ronbus-bench)",
	  3 },
	{ "has-baseline", KEY_HAS, "NAME", 0,
	  "Only say whether there is baseline NAME, of this machine: status 0 or 3", 3 },
	{ "noise", KEY_NOISE, "PERCENT", 0,
	  "Changes up to this are never called one (3); more if the machine is not quiet", 3 },
	{ "force", KEY_FORCE, NULL, 0, "Compare with a baseline of another machine, too", 3 },
	{ 0 },
};

static const char documentation[] =
	"Measures what ronbus costs, beside other engines, and whether that has changed.\v"
	"A cell is one thing to measure; its name says what it is, as in\n"
	"  matrix/recommended/cap64/pay32/subs4\n"
	"Groups: matrix (publish and receive, by geometry and features), burst, baseline (beside tokio's "
	"broadcast), publishers (several at once), shape-a (one thread), shape-b (ping-pong between two CPUs), shape-c (readers that "
	"sleep), gates (each feature on against off). Cells are visited in turns, all of them in each, "
	"so that what else the machine does hits all alike; figures are medians with the 95 % "
	"interval of a bootstrap over turns and samples.\n\n"
	"Examples:\n"
	"  ronbus-bench --quick                      all groups, some minutes\n"
	"  ronbus-bench --filter gates               what each feature gains\n"
	"  ronbus-bench -f shape-b -c same-l3        latency between two cores of one cache\n"
	"  taskset -c $(ronbus-bench -c same-l3 --print-cpus) PROGRAM    the same CPUs for a program\n"
	"  ronbus-bench --save-baseline before       ... change something, then:\n"
	"  ronbus-bench --baseline before            is it faster?\n\n"
	"Exit status: 0 good; 1 something regressed; 2 wrong arguments, or not to be measured; "
	"3 no such baseline, or one of another machine; 4 a feature gains less than its gate asks.";

static unsigned int to_number(const char *text, unsigned int least, unsigned int most,
			      struct argp_state *state, const char *option)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || value < least || value > most)
		argp_error(state, "--%s wants a number from %u to %u, not \"%s\"", option, least,
			   most, text);
	return (unsigned int)value;
}

static double to_percent(const char *text, struct argp_state *state)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value >= 0 && value <= 1e9))
		argp_error(state, "--noise wants percent, not \"%s\"", text);
	return value / 100;
}

static error_t parse(int key, char *value, struct argp_state *state)
{
	struct arguments *arguments = state->input;

	switch (key) {
	case KEY_BUS:
		settings.transport = value;
		break;
	case KEY_CPUS:
		arguments->cpus = value;
		break;
	case KEY_FILTER:
		if (arguments->nr_filters == FILTERS_MOST)
			argp_error(state, "more than %u filters", FILTERS_MOST);
		arguments->filters[arguments->nr_filters++] = value;
		break;
	case KEY_JSON:
		arguments->json = value;
		break;
	case KEY_LIST:
		arguments->list = true;
		break;
	case KEY_QUICK:
		settings.quick = true;
		break;
	case KEY_QUIET:
		arguments->quiet = true;
		break;
	case KEY_BASELINE:
		arguments->baseline = value;
		break;
	case KEY_DIRECTORY:
		arguments->directory = value;
		break;
	case KEY_FORCE:
		arguments->force = true;
		break;
	case KEY_HAS:
		arguments->baseline = value;
		arguments->only_ask = true;
		break;
	case KEY_NOISE:
		settings.noise = to_percent(value, state);
		break;
	case KEY_NO_PEERS:
		arguments->no_peers = true;
		break;
	case KEY_PEERS:
		settings.peers = value;
		break;
	case KEY_PRINT_CPUS:
		arguments->print_cpus = true;
		break;
	case KEY_SAVE:
		arguments->save = value;
		break;
	case KEY_TURNS:
		arguments->turns = to_number(value, 1, TURNS_MOST, state, "turns");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp argp = { .options = options, .parser = parse, .doc = documentation };

/* ---- settings ------------------------------------------------------------------------- */

static void set_transport(void)
{
	if (!settings.transport)
		settings.transport =
			access(RONBUS_DEVICE, R_OK | W_OK) ? RONBUS_EMBEDDED : RONBUS_DEVICE;
	settings.device = strcmp(settings.transport, RONBUS_EMBEDDED) != 0;
}

static void set_times(const struct arguments *arguments)
{
	settings.turns = arguments->turns ? arguments->turns : settings.quick ? 5 : 12;
	settings.warm_ns = settings.quick ? 1000000 : 4000000;
	settings.turn_ns = settings.quick ? 5000000 : 20000000;
	settings.samples_least = 3;
	settings.samples_most = settings.quick ? 30 : 50;
}

static bool parse_cpu_list(const char *text, const cpu_set_t *allowed, struct cpu_list *list)
{
	char *end;

	for (list->count = 0; list->count < CPUS_MOST; text = end + 1) {
		long cpu = strtol(text, &end, 10);

		if (end == text || cpu < 0 || cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, allowed))
			return false;
		list->numbers[list->count++] = (int)cpu;
		if (*end != ',')
			break;
	}
	return !*end;
}

static enum pin_mode pin_mode_of(const char *text)
{
	unsigned int mode;

	for (mode = 0; mode < PIN_MODES; mode++)
		if (!strcmp(text, pin_names[mode]))
			break;
	return mode;
}

static void set_cpus(const char *text, struct topology *topology)
{
	enum pin_mode mode = pin_mode_of(text);
	const char *why = NULL;
	cpu_set_t allowed;

	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		die("cannot ask which CPUs are allowed: %s", strerror(errno));
	topology_read(topology, "/sys", &allowed);
	if (mode < PIN_MODES)
		why = topology_pick(topology, mode, &settings.cpus);
	else if (!parse_cpu_list(text, &allowed, &settings.cpus))
		why = "a list of CPUs that are allowed, or auto, same-core, same-l3, far, none";
	if (why)
		die("--cpus %s: %s", text, why);
	settings.pinning = mode < PIN_MODES ? pin_names[mode] : "as asked";
	settings.one_cpu =
		topology->count == 1 || settings.cpus.count == 1 ||
		(settings.cpus.count > 1 && settings.cpus.numbers[0] == settings.cpus.numbers[1]);
	topology_pin(&settings.cpus, 0);
	settings.clock_ns = clock_cost();
}

/* "peers" beside this program, if that is there. */
static const char *default_peers(void)
{
	static char path[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - sizeof("/peers"));
	char *slash;

	if (len <= 0)
		return NULL;
	path[len] = '\0';
	slash = strrchr(path, '/');
	memcpy(slash, "/peers", sizeof("/peers"));
	return access(path, R_OK | X_OK) ? NULL : path;
}

static void set_peers(const struct arguments *arguments)
{
	if (arguments->no_peers)
		settings.peers = NULL;
	else if (!settings.peers)
		settings.peers = default_peers();
	else if (access(settings.peers, R_OK | X_OK))
		die("--peers %s: %s", settings.peers, strerror(errno));
}

static const char *baselines(const struct arguments *arguments)
{
	static char path[PATH_MAX];
	const char *variable = getenv("RONBUS_BENCH_BASELINES"), *home = getenv("HOME");

	if (arguments->directory)
		return arguments->directory;
	if (variable && *variable)
		return variable;
	variable = getenv("XDG_DATA_HOME");
	if (variable && *variable)
		snprintf(path, sizeof(path), "%s/ronbus-bench", variable);
	else
		snprintf(path, sizeof(path), "%s/.local/share/ronbus-bench", home ? home : "");
	return path;
}

/* ---- what is measured ----------------------------------------------------------------- */

static void make_cells(const struct arguments *arguments, struct cells *cells)
{
	size_t i;

	add_reference(cells);
	add_matrix(cells);
	add_bursts(cells);
	add_baseline(cells);
	add_publishers(cells);
	add_shape_a(cells);
	add_shape_b(cells);
	add_shape_c(cells);
	add_gates(cells);
	add_peers(cells, settings.peers);
	cells_filter(cells, arguments->filters, arguments->nr_filters);
	if (!cells->count)
		die("no cell has such a name (--list)");
	for (i = 0; arguments->turns && i < cells->count; i++)
		cells->cells[i].turns = arguments->turns;
}

/* It tells what the machine does from what ronbus does, whatever else is measured. */
static void require_reference(const struct arguments *arguments, struct cells *cells)
{
	add_reference(cells);
	if (arguments->turns) {
		cells_find(cells, REFERENCE_CELL)->turns = arguments->turns;
		cells_find(cells, HANDOFF_CELL)->turns = arguments->turns;
	}
}

static void list(const struct cells *cells)
{
	size_t i;

	for (i = 0; i < cells->count; i++)
		puts(cells->cells[i].name);
}

/* Unpinned are all CPUs that are allowed. */
static void print_cpus(const struct topology *topology)
{
	const struct cpu_list *chosen = &settings.cpus;
	unsigned int i, count = chosen->count ? chosen->count : topology->count;

	for (i = 0; i < count; i++)
		printf("%s%d", i ? "," : "",
		       chosen->count ? chosen->numbers[i] : topology->cpus[i].number);
	putchar('\n');
}

static void summarize_all(struct cells *cells)
{
	size_t i;

	progress_begin("drawing samples", cells->count);
	for (i = 0; i < cells->count; i++) {
		progress_step(cells->cells[i].name);
		cell_summarize(&cells->cells[i]);
	}
	progress_end();
}

static void judge(const struct cells *cells, struct gates *gates)
{
	gates_of_features(gates);
	gates_of_peers(gates, cells);
	gates_judge(gates, cells);
}

/* ---- the baseline --------------------------------------------------------------------- */

/* What seems to have changed is measured again, and has to be the same. */
static void compare_all(const json_t *frozen, const char *name, struct cells *cells,
			struct changes *changes)
{
	bool *wanted = calloc(cells->count, sizeof(*wanted));
	struct changes again = { 0 };
	size_t i;

	if (!wanted)
		die("no memory");
	frozen_compare(frozen, name, cells, changes);
	if (changes_doubtful(changes, cells, wanted)) {
		/* The references say how the machine is now. */
		wanted[cells_find(cells, REFERENCE_CELL) - cells->cells] = true;
		wanted[cells_find(cells, HANDOFF_CELL) - cells->cells] = true;
		for (i = 0; i < cells->count; i++)
			if (wanted[i])
				cell_clear(&cells->cells[i]);
		run_cells(cells, wanted);
		summarize_all(cells);
		frozen_compare(frozen, name, cells, &again);
		changes_confirm(changes, &again);
		changes_free(&again);
	}
	free(wanted);
}

static void say_change(const char *what, const char *before, const char *now)
{
	fprintf(stderr, "%s: %s was %.120s, is %.120s\n", bench_name, what, before, now);
}

static void path_of(const struct arguments *arguments, const char *option, const char *name,
		    char *path)
{
	if (!frozen_path(baselines(arguments), name, path, PATH_MAX))
		die("--%s %s: a name has no slash, and does not begin with a dot", option, name);
}

static json_t *load_baseline(const struct arguments *arguments, const json_t *machine)
{
	char path[PATH_MAX];
	json_t *frozen;

	path_of(arguments, "baseline", arguments->baseline, path);
	frozen = frozen_load(path, machine, arguments->force);
	if (!frozen)
		exit(STATUS_REFUSED);
	machine_changes(json_object_get(frozen, "machine"), machine, say_change);
	return frozen;
}

/* ---- all of it ------------------------------------------------------------------------ */

static int status_of(const struct gates *gates, const struct changes *changes)
{
	size_t i;

	if (changes_regressed(changes))
		return STATUS_REGRESSED;
	for (i = 0; i < gates->count; i++)
		if (gates->gates[i].result == RESULT_MISS && gates->gates[i].kind != GATE_RATIO)
			return STATUS_MISSED;
	return STATUS_GOOD;
}

static void show(const json_t *machine, const struct cells *cells, const struct gates *gates,
		 const struct changes *changes)
{
	machine_print(machine, stdout);
	printf("# others had %.1f %% of the CPUs\n", 100 * quiet.others);
	if (quiet.waited_ns > 0)
		printf("# waited %.1f s for the machine to be quiet, repeated %u visits, %u were disturbed all "
		       "the same\n",
		       quiet.waited_ns / 1e9, quiet.repeated, quiet.disturbed);
	show_cells(cells, stdout);
	show_gates(gates, stdout);
	if (changes->name)
		show_changes(changes, stdout);
}

static int measure(const struct arguments *arguments, const struct topology *topology,
		   struct cells *cells)
{
	struct changes changes = { 0 };
	struct gates gates = { 0 };
	json_t *frozen = NULL, *machine = machine_describe(topology), *result;
	char save[PATH_MAX];
	bool good = true;
	int status;

	if (arguments->save)
		path_of(arguments, "save-baseline", arguments->save, save);
	if (arguments->baseline)
		frozen = load_baseline(arguments, machine);
	if (arguments->only_ask)
		exit(STATUS_GOOD);
	run_cells(cells, NULL);
	summarize_all(cells);
	if (frozen)
		compare_all(frozen, arguments->baseline, cells, &changes);
	judge(cells, &gates);

	result = result_make(machine, cells, &gates, frozen ? &changes : NULL);
	if (!arguments->quiet && (!arguments->json || strcmp(arguments->json, "-")))
		show(machine, cells, &gates, &changes);
	if (arguments->json)
		good = result_write(result, arguments->json) && good;
	if (arguments->save)
		good = frozen_save(save, result) && good;
	status = good ? status_of(&gates, &changes) : STATUS_FAILED;
	json_decref(result);
	json_decref(machine);
	json_decref(frozen);
	changes_free(&changes);
	gates_free(&gates);
	return status;
}

int main(int argc, char **argv)
{
	struct arguments arguments = { .cpus = "auto" };
	struct cells cells = { 0 };
	struct topology topology;
	struct ronbus_query query;
	int ret;

	argp_err_exit_status = STATUS_FAILED;
	argp_parse(&argp, argc, argv, 0, NULL, &arguments);
	set_transport();
	set_times(&arguments);
	set_peers(&arguments);
	make_cells(&arguments, &cells);
	if (arguments.list) {
		list(&cells);
		cells_free(&cells);
		return STATUS_GOOD;
	}
	if (arguments.print_cpus) {
		set_cpus(arguments.cpus, &topology);
		print_cpus(&topology);
		cells_free(&cells);
		return STATUS_GOOD;
	}
	ret = ronbus_query(settings.transport, &query);
	if (ret)
		die("%s: %s", settings.transport, ronbus_why(settings.transport, ret));
	require_reference(&arguments, &cells);
	progress_wanted = !arguments.quiet && isatty(STDERR_FILENO);
	set_cpus(arguments.cpus, &topology);
	ret = measure(&arguments, &topology, &cells);
	cells_free(&cells);
	return ret;
}
