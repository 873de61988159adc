// SPDX-License-Identifier: GPL-2.0
/*
 * work.c - a process that makes programs, runs them, and keeps what did something new
 *
 * It runs some hundred programs and ends with all that it has open; or it is killed in the middle
 * of one. Programs are run in sessions: the first one makes its files, the others are variations
 * that use them.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"

#define SESSION 64U
#define SESSION_MS 1000U /* what costs much does not keep us for long */
#define SWEEP_MS 1000U
#define SWEEP_ALL_MS 20000U

static unsigned int this_worker;
static unsigned long taint_before;
static struct recent *recent;

/* ---- the kernel's word ----------------------------------------------------------------- */

/* Bits that tell of a warning, an oops, bad memory; that a module is foreign is none of them. */
#define TAINT_BAD (1UL << 4 | 1UL << 5 | 1UL << 7 | 1UL << 9 | 1UL << 14)

unsigned long taint(void)
{
	static int fd = -1;
	char text[32] = "";

	if (fd < 0)
		fd = open("/proc/sys/kernel/tainted", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || pread(fd, text, sizeof(text) - 1, 0) < 0)
		return 0;
	return strtoul(text, NULL, 10) & TAINT_BAD;
}

/* ---- running --------------------------------------------------------------------------- */

static bool run(const struct program *program, int results[CALLS_MOST])
{
	unsigned long long n = recent->runs;

	recent->program[n % RECENT] = *program;
	recent->runs = n + 1;
	if (options.say) {
		program_print(program, stdout);
		fflush(stdout);
	}
	if (!run_program(program, results))
		return false;
	atomic_fetch_add(&shared->executions[this_worker], 1);
	atomic_fetch_add(&shared->runs[this_worker], program->rounds);
	if ((n % 4 && !options.replay) || taint() == taint_before)
		return true;
	dprintf(STDOUT_FILENO, "WRONG: the kernel's log has something to say\n");
	return false;
}

/* Without calls that what is new does not need: of those that race, on files that are there. */
static bool minimize(struct program *program, unsigned int found)
{
	int results[CALLS_MOST];
	unsigned int i;

	for (i = program->count; i-- > program->setup;) {
		struct program less = *program;

		program_cut(&less, i);
		less.warm = true;
		if (!run(&less, results))
			return false;
		if (cover_new(this_worker, &less, results, false) < found)
			continue;
		*program = less;
		program->warm = false;
	}
	return true;
}

/* One with a call that costs as much as a hundred others is not run again and again. */
static bool dear(const struct program *program)
{
	unsigned int i;

	for (i = 0; i < program->count; i++)
		if (!call_weight(program->call[i].what))
			return true;
	return false;
}

static void keep(const struct program *program)
{
	unsigned int count;

	if (dear(program))
		return;
	while (atomic_flag_test_and_set(&shared->lock))
		usleep(100);
	count = atomic_load(&shared->count);
	if (count < CORPUS) {
		shared->corpus[count] = *program;
		shared->corpus[count].warm = false;
		atomic_store(&shared->count, count + 1);
	}
	atomic_flag_clear(&shared->lock);
}

static uint64_t ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Again and again, each time held up at another place. */
static bool sweep(const struct program *program, bool all)
{
	struct program next = *program;
	uint64_t end = ms() + (all ? SWEEP_ALL_MS : SWEEP_MS);
	int results[CALLS_MOST];
	unsigned int thread, i;

	if (program->threads == 1 || !cover_there())
		return true;
	memset(next.stall, 0, sizeof(next.stall));
	next.jitter = 0;
	next.rounds = 1;
	next.warm = false;
	for (thread = 0; thread < program->threads; thread++) {
		uint16_t step[STEPS_MOST];
		unsigned int count;

		next.stall[0].at = 0;
		if (!run(&next, results))
			return false;
		next.warm = true;
		count = cover_all_steps(this_worker, thread, all, step);
		for (i = 0; i < count && !atomic_load(&shared->stop) && ms() < end; i++) {
			next.stall[0] = (struct stall){ .thread = (uint16_t)thread,
							.at = step[i],
							.others = 0xffff };
			if (!run(&next, results))
				return false;
			if (cover_new(this_worker, &next, results, true))
				keep(&next);
		}
	}
	return true;
}

/*
 * Run it, and keep it if it did what none did before: cut down, if it does so again; what it did
 * once may be a race, which is what we are after. All of it is swept, since calls that do nothing
 * new race with those that do.
 */
static bool try(struct program *program)
{
	int results[CALLS_MOST];
	struct program once = *program;
	unsigned int found;

	if (!run(program, results))
		return false;
	if (!cover_new(this_worker, program, results, false))
		return true;
	if (dear(program)) {
		cover_new(this_worker, program, results, true);
		return true;
	}
	program->warm = false;
	if (!run(program, results))
		return false;
	found = cover_new(this_worker, program, results, false);
	if (!found)
		*program = once;
	else if (!minimize(program, found))
		return false;
	if (!run(program, results))
		return false;
	if (cover_new(this_worker, program, results, true) || !found)
		keep(program);
	return sweep(&once, false);
}

/* ---- programs -------------------------------------------------------------------------- */

static const struct program *any(void)
{
	unsigned int count = atomic_load(&shared->count);

	return count ? &shared->corpus[dice_below(count)] : NULL;
}

static void choose(struct program *program)
{
	const struct program *old = any();

	if (!old || !dice_below(6)) {
		program_make(program);
		return;
	}
	*program = *old;
	program_change(program, any());
}

/* Of those given to begin with, each is held up everywhere some time. */
static bool sweep_given(void)
{
	unsigned int n = atomic_fetch_add(&shared->swept, 1);

	return sweep(&shared->corpus[n], true);
}

static bool session(void)
{
	uint64_t end = ms() + SESSION_MS;
	unsigned int left = dice_below(SESSION);
	struct program first, next;

	if (atomic_load(&shared->swept) < atomic_load(&shared->given) && !dice_below(4))
		return sweep_given();
	choose(&first);
	first.warm = false;
	if (!try(&first))
		return false;
	/* Little comes of calls on files that are not there. */
	if (!run_made_all() && dice_below(8))
		return true;
	while (left-- && ms() < end && !atomic_load(&shared->stop)) {
		next = first;
		program_vary(&next, any() ?: &first, this_worker);
		next.warm = true;
		if (!try(&next))
			return false;
	}
	return true;
}

static FILE *open_programs(const char *name)
{
	FILE *from = fopen(name, "r");

	if (!from) {
		perror(name);
		exit(2);
	}
	return from;
}

/* One that somebody wrote, or an earlier run kept, is kept as it is. */
static bool take(const struct program *program)
{
	int results[CALLS_MOST];

	if (!run(program, results))
		return false;
	cover_new(this_worker, program, results, true);
	keep(program);
	return true;
}

/* Programs to begin with: one life may end before their end. */
static bool begin_with_file(unsigned int *life)
{
	FILE *from = open_programs(options.corpus);
	struct program program;
	unsigned int n;
	bool good = true;

	for (n = 0; good && *life && program_read(&program, from); n++) {
		if (n < atomic_load(&shared->read))
			continue;
		atomic_store(&shared->read, n + 1);
		good = take(&program);
		--*life;
	}
	fclose(from);
	atomic_store(&shared->given, atomic_load(&shared->count));
	return good;
}

static bool replay(void)
{
	unsigned int times = options.repeat;
	int results[CALLS_MOST];
	struct program program;
	bool good = true;

	while (good && times--) {
		FILE *from = open_programs(options.replay);

		while (good && program_read(&program, from) && !atomic_load(&shared->stop))
			good = run(&program, results);
		fclose(from);
	}
	return good;
}

int work(unsigned int worker, unsigned int life)
{
	unsigned long long end;
	bool good = true;

	this_worker = worker;
	recent = &cover_recent()[worker];
	taint_before = taint();
	run_begin(worker);
	if (options.replay)
		return replay() ? 0 : 1;
	if (options.corpus && !worker && atomic_load(&shared->read) != ~0U) {
		good = begin_with_file(&life);
		if (good && life)
			atomic_store(&shared->read, ~0U);
	}
	end = recent->runs + life;
	while (good && recent->runs < end && !atomic_load(&shared->stop))
		good = session();
	if (!good)
		return 1;
	/* Some go on until they are killed. */
	if (dice_below(2))
		return 0;
	atomic_store(&shared->kill[worker], true);
	while (good && !atomic_load(&shared->stop))
		good = session();
	return good ? 0 : 1;
}
