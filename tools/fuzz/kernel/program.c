// SPDX-License-Identifier: GPL-2.0
/* program.c - making, changing, printing and reading programs */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

/* What each file is after the first @count calls, if all succeed. */
static void roles_after(const struct program *program, unsigned int count, enum role roles[FILES])
{
	unsigned int i;

	memset(roles, 0, FILES * sizeof(*roles));
	roles[0] = ROLE_RONBUS;
	for (i = 0; i < count; i++) {
		enum role gives = call_gives(program->call[i].what);

		if (gives != ROLE_NONE)
			roles[program->call[i].out] = gives;
	}
}

static bool fits(enum role have, enum role want)
{
	if (want == ROLE_RONBUS_ANY)
		return have >= ROLE_RONBUS_BUS && have <= ROLE_RONBUS_SUB;
	return want == ROLE_NONE || have == want;
}

/* A file for a call; now and then of the wrong kind. */
static uint8_t pick_file(const enum role roles[FILES], enum role want)
{
	unsigned int i, first = dice_below(FILES);

	if (dice_below(32))
		for (i = 0; i < FILES; i++)
			if (fits(roles[(first + i) % FILES], want))
				return (uint8_t)((first + i) % FILES);
	return (uint8_t)first;
}

static bool has(const enum role roles[FILES], enum role want)
{
	unsigned int i;

	for (i = 0; i < FILES; i++)
		if (fits(roles[i], want))
			return true;
	return false;
}

/* By weight, and of what there is a file for. */
static unsigned int pick_what(const enum role roles[FILES])
{
	unsigned int what, tries, sum = 0, at;

	for (what = 0; what < calls_count(); what++)
		sum += call_weight(what);
	for (tries = 0;; tries++) {
		at = dice_below(sum);
		for (what = 0; at >= call_weight(what); what++)
			at -= call_weight(what);
		if (tries == 20 || has(roles, call_takes(what)))
			return what;
	}
}

static void make_call(const struct program *program, unsigned int at, struct call *call)
{
	enum role roles[FILES];
	unsigned int i;

	memset(call, 0, sizeof(*call));
	roles_after(program, at, roles);
	call->what = (uint16_t)pick_what(roles);
	call->thread = (uint8_t)dice_below(THREADS);
	call->in = pick_file(roles, call_takes(call->what));
	call->out = (uint8_t)(1 + dice_below(FILES - 1));
	for (i = 0; i < call_arguments(call->what); i++)
		call->argument[i] = call_argument(call->what, i);
}

static void insert(struct program *program, unsigned int at, const struct call *call)
{
	if (program->count == CALLS_MOST)
		program->count--;
	memmove(&program->call[at + 1], &program->call[at], (program->count - at) * sizeof(*call));
	program->call[at] = *call;
	program->count++;
}

void program_make(struct program *program)
{
	unsigned int i, count = 3 + dice_below(CALLS_MOST - 4);

	program->count = 0;
	program->threads = !dice_below(4);
	for (i = 0; i < count; i++) {
		struct call call;

		make_call(program, i, &call);
		insert(program, i, &call);
	}
}

void program_cut(struct program *program, unsigned int i)
{
	memmove(&program->call[i], &program->call[i + 1],
		(program->count - i - 1) * sizeof(program->call[0]));
	program->count--;
}

static void change_call(struct call *call)
{
	unsigned int arguments = call_arguments(call->what), i;

	switch (dice_below(8)) {
	case 0:
		call->in = (uint8_t)dice_below(FILES);
		break;
	case 1:
		call->out = (uint8_t)(1 + dice_below(FILES - 1));
		break;
	case 2:
		call->thread ^= 1;
		break;
	default:
		if (!arguments)
			break;
		i = dice_below(arguments);
		call->argument[i] = dice_below(4) ? call_argument(call->what, i) : dice_value();
	}
}

static void splice(struct program *program, const struct program *other)
{
	unsigned int from = dice_below(other->count), i;
	unsigned int at = dice_below(program->count + 1);

	for (i = from; i < other->count && at < CALLS_MOST; i++, at++)
		insert(program, at, &other->call[i]);
}

void program_change(struct program *program, const struct program *other)
{
	unsigned int changes = 1 + dice_below(4), at;
	struct call call;

	while (changes--) {
		switch (dice_below(10)) {
		case 0:
			if (program->count > 1)
				program_cut(program, dice_below(program->count));
			break;
		case 1:
			if (other->count)
				splice(program, other);
			break;
		case 2:
			program->threads = !program->threads;
			break;
		case 3:
		case 4:
		case 5:
			change_call(&program->call[dice_below(program->count)]);
			break;
		default:
			at = dice_below(program->count + 1);
			if (at == CALLS_MOST)
				at--;
			make_call(program, at, &call);
			insert(program, at, &call);
		}
	}
}

void program_print(const struct program *program, FILE *to)
{
	unsigned int i, a;

	fprintf(to, "program %s\n", program->threads ? "threads" : "one");
	for (i = 0; i < program->count; i++) {
		const struct call *call = &program->call[i];

		fprintf(to, "%s thread=%u in=%u out=%u", call_name(call->what), call->thread,
			call->in, call->out);
		for (a = 0; a < call_arguments(call->what); a++)
			fprintf(to, " %#" PRIx64, call->argument[a]);
		fputc('\n', to);
	}
	fputs("end\n", to);
}

static void bad(const char *line)
{
	fprintf(stderr, "ronbus-fuzz: cannot read: %s", line);
	exit(2);
}

static void read_call(struct call *call, const char *line)
{
	unsigned int thread, in, out, i;
	const char *text;
	char name[64], *end;
	int used;

	memset(call, 0, sizeof(*call));
	if (sscanf(line, "%63s thread=%u in=%u out=%u%n", name, &thread, &in, &out, &used) != 4 ||
	    thread >= THREADS || in >= FILES || out >= FILES)
		bad(line);
	for (i = 0; i < calls_count() && strcmp(name, call_name(i)); i++)
		;
	if (i == calls_count())
		bad(line);
	call->what = (uint16_t)i;
	call->thread = (uint8_t)thread;
	call->in = (uint8_t)in;
	call->out = (uint8_t)out;
	text = line + used;
	for (i = 0; i < call_arguments(call->what); i++, text = end) {
		call->argument[i] = strtoull(text, &end, 0);
		if (end == text)
			bad(line);
	}
}

bool program_read(struct program *program, FILE *from)
{
	char line[512];

	do {
		if (!fgets(line, sizeof(line), from))
			return false;
	} while (strncmp(line, "program ", 8));
	program->count = 0;
	program->threads = !strcmp(line, "program threads\n");
	while (fgets(line, sizeof(line), from) && strcmp(line, "end\n")) {
		if (program->count == CALLS_MOST)
			bad(line);
		read_call(&program->call[program->count++], line);
	}
	return program->count > 0;
}
