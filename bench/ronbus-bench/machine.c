// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * machine.c - on what is measured, and with what: a part of every result
 */
#include <dirent.h>
#include <gnu/libc-version.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <libronbus.h>

#include "common.h"
#include "machine.h"

#ifndef BENCH_CFLAGS
#define BENCH_CFLAGS "unknown"
#endif

#ifdef __clang__
#define COMPILER __VERSION__
#else
#define COMPILER "gcc " __VERSION__
#endif

#define LINE_SIZE 256U

/* ---- reading -------------------------------------------------------------------------- */

/* The first line of a file, or "unknown". */
static const char *line_of(const char *path, char *line, size_t size)
{
	FILE *file = fopen(path, "re");

	if (!file || !fgets(line, (int)size, file) || *line == '\n')
		snprintf(line, size, "unknown");
	if (file)
		fclose(file);
	line[strcspn(line, "\n")] = '\0';
	return line;
}

static void set_line(json_t *object, const char *name, const char *path)
{
	char line[LINE_SIZE];

	json_object_set_new(object, name, json_string(line_of(path, line, sizeof(line))));
}

/* What follows the colon in the first line of /proc/cpuinfo that begins with @field, or "". */
static char *cpu_field(const char *field)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	char *line = NULL, *found = NULL;
	size_t size = 0;

	while (file && !found && getline(&line, &size, file) > 0) {
		char *colon = strchr(line, ':');

		if (colon && !strncmp(line, field, strlen(field)))
			found = strndup(colon + 1 + strspn(colon + 1, " "),
					strcspn(colon + 1 + strspn(colon + 1, " "), "\n"));
	}
	free(line);
	if (file)
		fclose(file);
	if (!found)
		found = strdup("");
	if (!found)
		die("no memory");
	return found;
}

static int visible(const struct dirent *entry)
{
	return *entry->d_name != '.';
}

/* Each known weakness of the CPU, and what the kernel does about it. */
static json_t *mitigations(void)
{
	static const char directory[] = "/sys/devices/system/cpu/vulnerabilities";
	json_t *object = json_object();
	struct dirent **entries;
	int i, count = scandir(directory, &entries, visible, alphasort);
	char path[LINE_SIZE], line[LINE_SIZE];

	for (i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s/%.100s", directory, entries[i]->d_name);
		line_of(path, line, sizeof(line));
		/* What does not concern this CPU costs nothing. */
		if (strcmp(line, "Not affected"))
			json_object_set_new(object, entries[i]->d_name, json_string(line));
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
	return object;
}

/* Not the machine's identity itself, which is not to be given away, but a number made of it. */
static void set_identity(json_t *object)
{
	uint64_t hash = 0xcbf29ce484222325ULL;
	char line[LINE_SIZE], text[20];
	const char *c;

	for (c = line_of("/etc/machine-id", line, sizeof(line)); *c; c++)
		hash = (hash ^ (unsigned char)*c) * 0x100000001b3ULL;
	snprintf(text, sizeof(text), "%016llx", (unsigned long long)hash);
	json_object_set_new(object, "identity", json_string(text));
}

/* ---- describing ----------------------------------------------------------------------- */

static void set_cpu(json_t *object, const struct topology *topology)
{
	char path[LINE_SIZE], *model = cpu_field("model name"), *flags = cpu_field("flags");
	int cpu = settings.cpus.count ? settings.cpus.numbers[0] : 0;

	json_object_set_new(object, "cpu", json_string(*model ? model : "unknown"));
	json_object_set_new(object, "cpus", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
	json_object_set_new(object, "cpus_allowed", json_integer(topology->count));
	json_object_set_new(object, "virtual",
			    json_string(strstr(flags, " hypervisor") ? "yes" : "no"));
	set_line(object, "smt", "/sys/devices/system/cpu/smt/active");
	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_governor", cpu);
	set_line(object, "governor", path);
	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_driver", cpu);
	set_line(object, "frequency_driver", path);
	set_line(object, "boost", "/sys/devices/system/cpu/cpufreq/boost");
	set_line(object, "isolated", "/sys/devices/system/cpu/isolated");
	free(model);
	free(flags);
}

static void set_system(json_t *object)
{
	struct utsname name;

	if (uname(&name))
		die("uname failed");
	json_object_set_new(object, "architecture", json_string(name.machine));
	json_object_set_new(object, "kernel", json_string(name.release));
	json_object_set_new(object, "kernel_build", json_string(name.version));
	set_line(object, "clocksource",
		 "/sys/devices/system/clocksource/clocksource0/current_clocksource");
	set_line(object, "load", "/proc/loadavg");
	json_object_set_new(object, "mitigations", mitigations());
}

static void set_program(json_t *object)
{
	json_object_set_new(object, "transport", json_string(settings.transport));
	json_object_set_new(object, "ronbus", json_string(ronbus_version()));
	if (settings.device)
		set_line(object, "module", "/sys/module/ronbus/srcversion");
	json_object_set_new(object, "compiler", json_string(COMPILER));
	json_object_set_new(object, "flags", json_string(BENCH_CFLAGS));
	json_object_set_new(object, "libc", json_string(gnu_get_libc_version()));
	json_object_set_new(object, "clock_ns", json_real(settings.clock_ns));
}

static void set_pinning(json_t *object, const struct topology *topology)
{
	const struct cpu_list *list = &settings.cpus;
	json_t *numbers = json_array();
	unsigned int i;

	for (i = 0; i < list->count; i++)
		json_array_append_new(numbers, json_integer(list->numbers[i]));
	json_object_set_new(object, "pinning", json_string(settings.pinning));
	json_object_set_new(object, "pinned", numbers);
	json_object_set_new(object, "relation",
			    json_string(list->count < 2
						? "none"
						: topology_relation(topology, list->numbers[0],
								    list->numbers[1])));
}

json_t *machine_describe(const struct topology *topology)
{
	json_t *object = json_object();

	if (!object)
		die("no memory");
	set_cpu(object, topology);
	set_system(object);
	set_program(object);
	set_pinning(object, topology);
	set_identity(object);
	return object;
}

/* ---- printing and comparing ----------------------------------------------------------- */

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "unknown";
}

static void print_mitigations(const json_t *machine, FILE *to)
{
	json_t *all = json_object_get(machine, "mitigations");
	const char *name, *separator = "";
	json_t *value;

	fputs("# mitigations: ", to);
	json_object_foreach(all, name, value)
	{
		const char *text = json_string_value(value);

		fprintf(to, "%s%s %.*s", separator, name, (int)(text ? strcspn(text, ";:") : 0),
			text ? text : "");
		separator = ", ";
	}
	fputs(*separator ? "\n" : "none needed\n", to);
}

void machine_print(const json_t *machine, FILE *to)
{
	char *pinned = json_dumps(json_object_get(machine, "pinned"), JSON_COMPACT);

	fprintf(to, "# ronbus %s on %s, %s %s\n", text_of(machine, "ronbus"),
		text_of(machine, "transport"), text_of(machine, "compiler"),
		text_of(machine, "flags"));
	fprintf(to, "# CPU: %s, %lld of them, virtual: %s, governor: %s\n", text_of(machine, "cpu"),
		json_integer_value(json_object_get(machine, "cpus")), text_of(machine, "virtual"),
		text_of(machine, "governor"));
	fprintf(to, "# kernel: %s %s, clock: %s, load: %s\n", text_of(machine, "kernel"),
		text_of(machine, "architecture"), text_of(machine, "clocksource"),
		text_of(machine, "load"));
	print_mitigations(machine, to);
	fprintf(to, "# runs on CPUs %s (%s, the first two: %s)\n", pinned ? pinned : "[]",
		text_of(machine, "pinning"), text_of(machine, "relation"));
	free(pinned);
}

const char *machine_differs(const json_t *one, const json_t *other)
{
	static const char *const members[] = { "identity", "cpu", "cpus", "architecture",
					       "transport" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(members); i++)
		if (!json_equal(json_object_get(one, members[i]),
				json_object_get(other, members[i])))
			return members[i];
	return NULL;
}

void machine_changes(const json_t *before, const json_t *now,
		     void (*fn)(const char *what, const char *before, const char *now))
{
	/* These are never the same, or say nothing. */
	static const char *const passing[] = { "load", "clock_ns" };
	const char *name;
	json_t *value;
	size_t i;

	json_object_foreach((json_t *)now, name, value)
	{
		json_t *old = json_object_get(before, name);
		char *was, *is;

		for (i = 0; i < ARRAY_SIZE(passing); i++)
			if (!strcmp(name, passing[i]))
				break;
		if (i < ARRAY_SIZE(passing) || json_equal(old, value))
			continue;
		was = old ? json_dumps(old, JSON_COMPACT | JSON_ENCODE_ANY) : strdup("missing");
		is = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
		if (!was || !is)
			die("no memory");
		fn(name, was, is);
		free(was);
		free(is);
	}
}
