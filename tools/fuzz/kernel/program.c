// SPDX-License-Identifier: GPL-2.0
/* program.c - making, changing, printing and reading programs */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#define JITTERS 6U

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
	if (want == ROLE_RONBUS_ALL)
		return have >= ROLE_RONBUS && have <= ROLE_RONBUS_SUB;
	if (want == ROLE_RONBUS_ANY)
		return have >= ROLE_RONBUS_BUS && have <= ROLE_RONBUS_SUB;
	return want == ROLE_NONE || have == want;
}

/* A file for a call; now and then of the wrong kind. */
static uint8_t pick_file(const enum role roles[FILES], enum role want)
{
	unsigned int i, first = dice_below(FILES);

	/* Of any, seldom the bus: members are what is busy, and what depends on nothing else. */
	bool bus = want != ROLE_RONBUS_ANY || !dice_below(8);

	if (dice_below(64))
		for (i = 0; i < FILES; i++) {
			enum role role = roles[(first + i) % FILES];

			if (fits(role, want) && (bus || role != ROLE_RONBUS_BUS))
				return (uint8_t)((first + i) % FILES);
		}
	return (uint8_t)first;
}

/* Where nothing is, or anywhere. */
static uint8_t pick_free(const enum role roles[FILES])
{
	unsigned int i, first = dice_below(FILES);

	for (i = 0; i < FILES; i++)
		if (roles[(first + i) % FILES] == ROLE_NONE)
			return (uint8_t)((first + i) % FILES);
	return (uint8_t)(1 + dice_below(FILES - 1));
}

/* Where a new one goes: among calls that race, often in place of one like it. */
static uint8_t pick_out(const enum role roles[FILES], enum role gives, bool race)
{
	if (gives == ROLE_NONE)
		return (uint8_t)dice_below(MAPS);
	if (!dice_below(32))
		return (uint8_t)(1 + dice_below(FILES - 1));
	if (race && dice_below(gives == ROLE_RONBUS_BUS ? 16 : 3) == 1)
		return pick_file(roles, gives) ?: 1;
	return pick_free(roles);
}

static bool has(const enum role roles[FILES], enum role want)
{
	unsigned int i;

	for (i = 0; i < FILES; i++)
		if (fits(roles[i], want))
			return true;
	return false;
}

/* Those that cost a hundred times as much as others have no weight. */
static unsigned int pick_dear(void)
{
	return call_find(dice_below(2) ? "fork" : "trace");
}

/* By weight, and of what there is a file for. */
static unsigned int pick_what(const enum role roles[FILES])
{
	unsigned int what, tries, sum = 0, at;

	if (!dice_below(20000))
		return pick_dear();
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

static void make_call_of(const struct program *program, unsigned int at, unsigned int what,
			 struct call *call)
{
	enum role roles[FILES];
	unsigned int i;

	memset(call, 0, sizeof(*call));
	roles_after(program, at, roles);
	call->what = (uint16_t)(what == calls_count() ? pick_what(roles) : what);
	call->thread = (uint8_t)dice_below(THREADS);
	call->in = pick_file(roles, call_takes(call->what));
	call->out = pick_out(roles, call_gives(call->what), program->setup && at >= program->setup);
	for (i = 0; i < call_arguments(call->what); i++)
		call->argument[i] = call_argument(call->what, i);
	if (dice_below(16))
		call_mend(call);
}

static void make_call(const struct program *program, unsigned int at, struct call *call)
{
	make_call_of(program, at, calls_count(), call);
}

static void insert(struct program *program, unsigned int at, const struct call *call)
{
	if (program->count == CALLS_MOST)
		program_cut(program, CALLS_MOST - 1);
	if (at > program->count)
		at = program->count;
	memmove(&program->call[at + 1], &program->call[at], (program->count - at) * sizeof(*call));
	program->call[at] = *call;
	program->count++;
	if (at < program->setup)
		program->setup++;
}

static void add(struct program *program, const char *name)
{
	struct call call;

	make_call_of(program, program->count, name ? call_find(name) : calls_count(), &call);
	insert(program, program->count, &call);
}

/* ---- timing ---------------------------------------------------------------------------- */

/* To be held up long at one step is what shows most races; at any step a little, the rest. */
static void choose_stalls(struct program *program)
{
	unsigned int i;

	memset(program->stall, 0, sizeof(program->stall));
	if (program->threads == 1) {
		program->rounds = 1;
		return;
	}
	for (i = 0; i < STALLS && dice_below(4); i++) {
		unsigned int most = dice_below(4) ? 400 : 4000;

		program->stall[i].thread = (uint16_t)dice_below(program->threads);
		program->stall[i].at = (uint16_t)(1 + dice_below(most));
		program->stall[i].stride = (uint16_t)(dice_below(2) ? 1 : dice_below(10));
		program->stall[i].others =
			(uint16_t)(dice_below(2) ? 0xffff
						 : 1 + dice_below(dice_below(2) ? 100 : 1000));
	}
}

static void choose_timing(struct program *program)
{
	unsigned int kind = dice_below(8);

	program->threads = (uint8_t)(!kind ? 1 : kind < 6 ? 2 : kind < 7 ? 3 : 4);
	program->rounds = (uint8_t)(1 + dice_below(dice_below(6) ? 8 : 32));
	program->jitter = (uint16_t)(dice_below(3) ? 0 : 8U << dice_below(JITTERS));
	choose_stalls(program);
}

/* ---- making and changing --------------------------------------------------------------- */

/* A bus with members, then calls on them. */
void program_make(struct program *program)
{
	unsigned int i;

	memset(program, 0, sizeof(*program));
	choose_timing(program);
	add(program, dice_below(32) ? "RONBUS_IOC_CREATE" : "RONBUS_IOC_ATTACH");
	for (i = 1 + dice_below(2); i; i--)
		add(program, "RONBUS_IOC_PUBLISHER");
	for (i = 1 + dice_below(2); i; i--)
		add(program, "RONBUS_IOC_SUBSCRIBE");
	if (dice_below(2))
		add(program, "RONBUS_IOC_COALESCE");
	for (i = dice_below(5); i; i--)
		add(program, dice_below(2) ? "mmap" : NULL);
	program->setup = program->count;
	for (i = 2 + dice_below(8); i; i--)
		add(program, NULL);
}

void program_cut(struct program *program, unsigned int i)
{
	memmove(&program->call[i], &program->call[i + 1],
		(program->count - i - 1U) * sizeof(program->call[0]));
	program->count--;
	if (i < program->setup)
		program->setup--;
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
		call->thread = (uint8_t)dice_below(THREADS);
		break;
	default:
		if (!arguments)
			break;
		i = dice_below(arguments);
		call->argument[i] = dice_below(4) ? call_argument(call->what, i) : dice_value();
	}
}

static void splice(struct program *program, const struct program *other, unsigned int first)
{
	unsigned int from = dice_below(other->count), i;
	unsigned int at = first + dice_below(program->count + 1U - first);

	for (i = from; i < other->count && at < CALLS_MOST; i++, at++)
		insert(program, at, &other->call[i]);
}

/* Of the calls from @first on. */
static void change_once(struct program *program, const struct program *other, unsigned int first)
{
	unsigned int left = program->count - first, at = first + dice_below(left + 1);
	struct call call;

	switch (dice_below(12)) {
	case 0:
	case 1:
		if (left > 1)
			program_cut(program, first + dice_below(left));
		break;
	case 2:
		if (other->count)
			splice(program, other, first);
		break;
	case 3:
		choose_timing(program);
		break;
	case 4:
	case 5:
		choose_stalls(program);
		break;
	case 6:
	case 7:
	case 8:
		if (left)
			change_call(&program->call[first + dice_below(left)]);
		break;
	default:
		if (at == CALLS_MOST)
			at--;
		make_call(program, at, &call);
		insert(program, at, &call);
	}
}

static void change(struct program *program, const struct program *other, bool all)
{
	unsigned int changes = 1 + dice_below(4);

	while (changes--)
		change_once(program, other, all ? 0 : program->setup);
}

void program_change(struct program *program, const struct program *other)
{
	change(program, other, true);
}

void program_vary(struct program *program, const struct program *other, unsigned int worker)
{
	unsigned int i;

	if (dice_below(2))
		change(program, other, false);
	choose_stalls(program);
	for (i = 0; i < STALLS; i++) {
		struct stall *stall = &program->stall[i];
		unsigned int step = stall->at ? cover_choose_step(worker, stall->thread) : 0;

		if (step)
			stall->at = (uint16_t)step;
	}
}

/* ---- text ------------------------------------------------------------------------------ */

static void print_head(const struct program *program, FILE *to)
{
	unsigned int i;

	fprintf(to, "program %s setup=%u threads=%u rounds=%u jitter=%u",
		program->warm ? "warm" : "cold", program->setup, program->threads, program->rounds,
		program->jitter);
	for (i = 0; i < STALLS; i++)
		if (program->stall[i].at)
			fprintf(to, " stall=%u:%u+%u:%u", program->stall[i].thread,
				program->stall[i].at, program->stall[i].stride,
				program->stall[i].others);
	fputc('\n', to);
}

void program_print(const struct program *program, FILE *to)
{
	unsigned int i, a;

	print_head(program, to);
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
	i = call_find(name);
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

static void read_head(struct program *program, const char *line)
{
	unsigned int setup, threads, rounds, jitter, i;
	char warm[8];
	int used;

	memset(program, 0, sizeof(*program));
	if (sscanf(line, "program %7s setup=%u threads=%u rounds=%u jitter=%u%n", warm, &setup,
		   &threads, &rounds, &jitter, &used) != 5 ||
	    setup > CALLS_MOST || !threads || threads > THREADS || !rounds || rounds > ROUNDS_MOST)
		bad(line);
	program->warm = !strcmp(warm, "warm");
	program->setup = (uint8_t)setup;
	program->threads = (uint8_t)threads;
	program->rounds = (uint8_t)rounds;
	program->jitter = (uint16_t)jitter;
	for (i = 0; i < STALLS; i++) {
		struct stall *stall = &program->stall[i];
		int more;

		if (sscanf(line + used, " stall=%hu:%hu+%hu:%hu%n", &stall->thread, &stall->at,
			   &stall->stride, &stall->others, &more) != 4)
			break;
		used += more;
	}
}

bool program_read(struct program *program, FILE *from)
{
	char line[512];

	do {
		if (!fgets(line, sizeof(line), from))
			return false;
	} while (strncmp(line, "program ", 8));
	read_head(program, line);
	while (fgets(line, sizeof(line), from) && strcmp(line, "end\n")) {
		if (program->count == CALLS_MOST)
			bad(line);
		read_call(&program->call[program->count++], line);
	}
	if (program->setup > program->count)
		program->setup = program->count;
	return program->count > 0;
}
