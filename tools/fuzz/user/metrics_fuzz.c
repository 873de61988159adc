// SPDX-License-Identifier: GPL-2.0
/*
 * metrics_fuzz.c - /metrics with any names and any counters, read again by a strict reader of the
 * text format, which gets back the names that were given
 */
#include "input.h"

#include "metrics.h"

#define BUSES 4U

static char names[BUSES][RONBUS_NAME_SIZE];
static unsigned int nr_names;

static bool is_name_char(char c, bool first)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':' ||
	       (!first && c >= '0' && c <= '9');
}

static const char *read_name(const char *at)
{
	must(is_name_char(*at, true));
	while (is_name_char(*at, false))
		at++;
	return at;
}

/* Between quotes; returns what follows the second one. */
static const char *read_label(const char *at, char *value, size_t size)
{
	size_t len = 0;

	must(*at++ == '"');
	for (; *at != '"'; at++) {
		char c = *at;

		must(c && c != '\n');
		if (c == '\\') {
			c = *++at;
			must(c == '\\' || c == '"' || c == 'n');
			if (c == 'n')
				c = '\n';
		}
		must(len + 1 < size);
		value[len++] = c;
	}
	value[len] = '\0';
	return at + 1;
}

static void check_bus(const char *value)
{
	unsigned int i;

	for (i = 0; i < nr_names && strcmp(names[i], value); i++)
		;
	must(i < nr_names);
}

static const char *read_sample(const char *at)
{
	char value[256];
	const char *name;
	char *end;

	at = read_name(at);
	if (*at == '{') {
		do {
			name = ++at;
			at = read_name(at);
			must(*at == '=');
			at = read_label(at + 1, value, sizeof(value));
			if (!strncmp(name, "bus=", 4))
				check_bus(value);
		} while (*at == ',');
		must(*at++ == '}');
	}
	must(*at++ == ' ');
	strtod(at, &end);
	must(end > at && *end == '\n');
	return end + 1;
}

static void check_text(const char *text, size_t length)
{
	const char *at = text, *end = text + length;

	must(strlen(text) == length && (!length || end[-1] == '\n'));
	while (at < end) {
		if (*at != '#') {
			at = read_sample(at);
			continue;
		}
		must(!strncmp(at, "# HELP ", 7) || !strncmp(at, "# TYPE ", 7));
		at = strchr(at, '\n') + 1;
	}
}

static void add_bus(struct snapshot *snapshot, struct input *input, unsigned int i)
{
	unsigned int subs = take8(input) % 4, len = take8(input) % 80, n;
	struct ronbus_stats stats;
	struct bus_sample *bus;
	char name[81];

	for (n = 0; n < len; n++)
		name[n] = (char)take8(input);
	name[n] = '\0';
	snprintf(names[i], sizeof(names[i]), "%s", name);
	bus = snapshot_add(snapshot, take_value(input), name);
	must(bus);
	for (n = 0; n < sizeof(bus->stats) / 8 && input->left; n++)
		((__u64 *)&bus->stats)[n] = take_value(input);
	bus->has_delays = take8(input) % 2;
	bus->arm_to_wake.sum = take_value(input);
	for (n = 0; n < RONBUS_BPF_BUCKETS && input->left; n++)
		bus->arm_to_wake.buckets[n] = take_value(input);
	while (subs--) {
		memset(&stats, 0, sizeof(stats));
		for (n = 0; n < sizeof(stats) / 8 && input->left; n++)
			((__u64 *)&stats)[n] = take_value(input);
		must(bus_sample_add(bus, &stats));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct metrics_state state = { .up = take8(&input) % 2 };
	struct snapshot snapshot = { .source = "bpf" };
	unsigned int i;
	size_t length;
	char *text;

	state.errors = take_value(&input);
	nr_names = take8(&input) % (BUSES + 1);
	for (i = 0; i < nr_names; i++)
		add_bus(&snapshot, &input, i);
	text = metrics_text(&snapshot, &state, &length);
	must(text);
	check_text(text, length);
	free(text);
	snapshot_clear(&snapshot);
	return 0;
}
