// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * main.c - ronbus-top: what goes on on the buses of this machine
 */
#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "top.h"

static const char doc[] =
	"Show what goes on on ronbus buses."
	"\vBPF programs, which see all buses, count. Without the privileges for them, or with "
	"--no-bpf, counters come by system call, of the buses that --bus names. See ronbus-top(1).";

enum {
	OPTION_JSON = 256, /* these have no letter */
	OPTION_NO_BPF,
	OPTION_PIN,
};

static const struct argp_option argp_options[] = {
	{ "batch", 'b', NULL, 0, "print text instead of using the terminal", 0 },
	{ "bus", 'B', "NAME", 0, "by system call, ask this bus; may be repeated", 0 },
	{ "delay", 'd', "SECONDS", 0, "between two looks (1)", 0 },
	{ "iterations", 'n', "NUMBER", 0, "with --batch or --json, how often (for ever)", 0 },
	{ "json", OPTION_JSON, NULL, 0, "print a JSON object in each line", 0 },
	{ "no-bpf", OPTION_NO_BPF, NULL, 0, "counters by system call only", 0 },
	{ "pin", OPTION_PIN, "DIR", 0, "read the maps that ronbus-exporter keeps there", 0 },
	{ "sort", 's', "COLUMN", 0,
	  "id, name, messages, reads, wakes, suppressed, lost, drops or lag (id)", 0 },
	{ 0 },
};

struct options {
	struct view view;
	struct names names;
	const char *pin;
	bool no_bpf;
	bool batch;
	bool json;
	unsigned long rounds;
};

static double parse_delay(const char *text, struct argp_state *state)
{
	char *end;
	double delay = strtod(text, &end);

	if (end == text || *end || !isfinite(delay) || delay < 0.05 || delay > 86400)
		argp_error(state, "--delay wants seconds, from 0.05 to 86400, not \"%s\"", text);
	return delay;
}

static unsigned long parse_rounds(const char *text, struct argp_state *state)
{
	char *end;
	unsigned long rounds = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || !rounds || rounds > 1000000000)
		argp_error(state, "--iterations wants a number from 1 up, not \"%s\"", text);
	return rounds;
}

static enum order parse_order(const char *text, struct argp_state *state)
{
	unsigned int i;

	for (i = 0; order_name(i); i++)
		if (!strcmp(text, order_name(i)))
			return i;
	argp_error(state, "there is no column \"%s\"", text);
	return ORDER_ID;
}

static void check_options(const struct options *options, struct argp_state *state)
{
	if (options->rounds && !options->batch && !options->json)
		argp_error(state, "--iterations goes with --batch or --json");
	if (options->pin && options->no_bpf)
		argp_error(state, "--pin is for BPF programs, and --no-bpf wants none");
	if (options->no_bpf && !options->names.count)
		argp_error(state, "with --no-bpf give the buses to ask with --bus");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case 'b':
		options->batch = true;
		return 0;
	case 'B':
		if (!*arg || strlen(arg) >= RONBUS_NAME_SIZE)
			argp_error(state, "\"%s\" is no name of a bus", arg);
		if (names_add(&options->names, arg))
			argp_failure(state, 1, ENOMEM, "--bus");
		return 0;
	case 'd':
		options->view.delay = parse_delay(arg, state);
		return 0;
	case 'n':
		options->rounds = parse_rounds(arg, state);
		return 0;
	case OPTION_JSON:
		options->json = true;
		return 0;
	case OPTION_NO_BPF:
		options->no_bpf = true;
		return 0;
	case OPTION_PIN:
		options->pin = arg;
		return 0;
	case 's':
		options->view.order = parse_order(arg, state);
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "\"%s\" is one argument too many", arg);
		return 0;
	case ARGP_KEY_END:
		check_options(options, state);
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static void show_version(FILE *to, struct argp_state *state)
{
	(void)state;
	fprintf(to, "ronbus-top %s\n", ronbus_version());
}

/* Says what is wrong. */
static int open_source(struct options *options)
{
	const char *why;
	int err;

	if (!options->no_bpf) {
		err = source_bpf_open(options->pin, &options->view.source);
		if (!err)
			return 0;
		why = source_bpf_why();
		if (err == -ENODEV)
			fprintf(stderr, "ronbus-top: the module ronbus is not loaded\n");
		else
			fprintf(stderr, "ronbus-top: cannot attach BPF programs: %s%s%s\n",
				strerror(-err), *why ? ": " : "", why);
		if (!options->names.count) {
			fprintf(stderr, "ronbus-top: as root they can be; or give buses with --bus "
					"to ask them by system call\n");
			return err;
		}
	}
	return source_stats_open(NULL, &options->names, &options->view.source);
}

/* Every bus named on the command line must exist: an empty table would not say what is wrong. */
static int find_buses(const struct names *names)
{
	struct ronbus *bus;
	int err, ret = 0;
	size_t i;

	for (i = 0; i < names->count; i++) {
		err = ronbus_attach(NULL, names->name[i], RONBUS_ACCESS_SUBSCRIBE, &bus);
		if (!err) {
			ronbus_close(bus);
			continue;
		}
		fprintf(stderr, "ronbus-top: %s: %s\n", names->name[i], ronbus_why(NULL, err));
		ret = 1;
	}
	return ret;
}

/* Says what is wrong. */
static int show(struct options *options)
{
	bool screen = !options->batch && !options->json;
	int err = screen && !isatty(STDOUT_FILENO) ? -ENOTTY : 0;

	if (!err && find_buses(&options->names))
		return 1;
	if (!err)
		err = screen ? screen_run(&options->view)
			     : batch_run(&options->view, options->rounds, options->json);
	if (err == -ENOTTY)
		fprintf(stderr, "ronbus-top: this is no terminal that it knows; there is "
				"--batch\n");
	else if (err)
		fprintf(stderr, "ronbus-top: cannot read the counters: %s\n",
			ronbus_why(NULL, err));
	return err ? 1 : 0;
}

int main(int argc, char **argv)
{
	static const struct argp argp = { argp_options, parse, NULL, doc, NULL, NULL, NULL };
	struct options options = { .view = { .delay = 1 } };
	int err;

	argp_program_version_hook = show_version;
	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &options);
	if (open_source(&options))
		return 1;
	err = show(&options);
	view_clear(&options.view);
	source_close(options.view.source);
	free(options.names.name);
	return err;
}
