// SPDX-License-Identifier: GPL-2.0
/*
 * arguments_fuzz.c - the command line of ronbus-bench: arguments between line ends
 */
#include "input.h"

/* It does not return: neither to the code after it, nor to a program. */
#include <argp.h>

static bool refused;

#define argp_error(...)         \
	do {                    \
		refused = true; \
		return EINVAL;  \
	} while (0)
#define main bench_main
#include "../../../bench/ronbus-bench/main.c"
#undef main

#define ARGUMENTS 40

static void check_cpus(const char *text)
{
	struct cpu_list list;
	cpu_set_t allowed;
	unsigned int i;

	CPU_ZERO(&allowed);
	CPU_SET(0, &allowed);
	CPU_SET(3, &allowed);
	if (pin_mode_of(text) < PIN_MODES || !parse_cpu_list(text, &allowed, &list))
		return;
	must(list.count >= 1 && list.count <= CPUS_MOST);
	for (i = 0; i < list.count; i++)
		must(list.numbers[i] == 0 || list.numbers[i] == 3);
}

static void check_path(const char *name)
{
	char path[64];

	if (frozen_path("dir", name, path, sizeof(path)))
		must(!strchr(path + 4, '/') && path[4] != '.' && strlen(path) < sizeof(path));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arguments arguments = { .cpus = "auto" };
	char *text = malloc(size + 1), *rest = text, *argv[ARGUMENTS + 2] = { "ronbus-bench" };
	int argc = 1;
	size_t i;

	must(text);
	memcpy(text, data, size);
	text[size] = '\0';
	while (argc <= ARGUMENTS && (argv[argc] = strsep(&rest, "\n")))
		argc++;
	argv[argc] = NULL;
	refused = false;
	if (!argp_parse(&argp, argc, argv, ARGP_NO_EXIT | ARGP_NO_ERRS | ARGP_NO_HELP, NULL,
			&arguments) &&
	    !refused) {
		must(arguments.nr_filters <= FILTERS_MOST);
		for (i = 0; i < arguments.nr_filters; i++)
			must(arguments.filters[i]);
		check_cpus(arguments.cpus);
		if (arguments.save)
			check_path(arguments.save);
		if (arguments.baseline)
			check_path(arguments.baseline);
		must(settings.noise >= 0 && arguments.turns <= TURNS_MOST);
	}
	free(text);
	return 0;
}
