// SPDX-License-Identifier: GPL-2.0
/*
 * run.c - running a program on several threads
 *
 * The threads of a process last as long as it does. The first one makes what is shared and says
 * when a round begins; the others come back to it after each. Waiting is going round in circles
 * for a while, since to sleep and be woken costs as much as ten calls. A thread that sleeps in a
 * call while the others wait for it is woken by a signal.
 */
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "moves.h"

#define TICK_US 3000
#define OVERSLEPT_LOOKS 20U
#define PATIENCE_NS 400000L
#define LOOKS 60000U
#define TURNS 100U
#define TIMED 16U /* one call in so many is timed */

struct tally *tallies;

/**
 * struct runner - a thread
 * @thread: it
 * @go: number of its rounds, the one it is in or waits for the end of included; slept on
 * @sleeps: on @go
 * @calls: how many it has made
 * @inside: it is in one that a signal may end
 * @at: which
 * @changes: of the file it is made on, before it
 */
static struct runner {
	pthread_t thread;
	atomic_uint go;
	atomic_bool sleeps;
	atomic_uint calls;
	atomic_bool inside;
	atomic_uint at;
	atomic_uint changes;
} runners[THREADS];

/* Of the others, those that are through with their round. */
static atomic_uint through;
static atomic_bool first_sleeps;

static const struct program *current;
static int *current_results;
static bool silent; /* calls on these files may have published without waking */
static unsigned int this_worker, fork_call;

static long futex(atomic_uint *word, int op, unsigned int value, const struct timespec *timeout)
{
	return syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, timeout, NULL, 0);
}

/* ---- one call -------------------------------------------------------------------------- */

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000ULL + (uint64_t)time.tv_nsec;
}

static void count_steps(unsigned int what, unsigned int steps)
{
	unsigned int most = atomic_load_explicit(&tallies[what].steps, memory_order_relaxed);

	if (steps > most)
		atomic_store_explicit(&tallies[what].steps, steps, memory_order_relaxed);
	if (call_bound(what) && steps > call_bound(what))
		say_wrong_anyway("a call made more steps than it may");
}

static void count(unsigned int what, int result, uint64_t ns)
{
	atomic_fetch_add_explicit(&tallies[what].made, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&tallies[what].good, result >= 0, memory_order_relaxed);
	if (!ns)
		return;
	atomic_fetch_add_explicit(&tallies[what].timed, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&tallies[what].ns, ns, memory_order_relaxed);
}

static void make_call(struct runner *runner, unsigned int i)
{
	const struct call *call = &current->call[i];
	unsigned int n = atomic_fetch_add(&runner->calls, 1);
	uint64_t begin = n % TIMED ? 0 : now();
	unsigned int thread = (unsigned int)(runner - runners);
	unsigned int steps = cover_steps(this_worker, thread);

	atomic_store(&runner->at, i);
	atomic_store(&runner->changes, file_changes(call->in));
	/* A fork that is interrupted begins again, and again. */
	atomic_store(&runner->inside, call->what != fork_call);
	current_results[i] = call_run(call);
	atomic_store(&runner->inside, false);
	count_steps(call->what, cover_steps(this_worker, thread) - steps);
	count(call->what, current_results[i], begin ? now() - begin : 0);
}

/* ---- threads that wait for each other -------------------------------------------------- */

/* Those that make the call that they made at the last look, or @all that may be asleep. */
static void wake_sleepers(unsigned int last[THREADS], bool all)
{
	unsigned int i;

	for (i = 0; i < THREADS; i++) {
		unsigned int calls = atomic_load(&runners[i].calls);

		if (atomic_load(&runners[i].inside) && (all || calls == last[i]))
			pthread_kill(runners[i].thread, SIGALRM);
		last[i] = calls;
	}
}

/* ---- a message that nobody was woken for ------------------------------------------------ */

/* It sleeps until its subscriber has something to see. */
static bool sleeps(const struct runner *runner)
{
	return atomic_load(&runner->inside) &&
	       call_sleeps(current->call[atomic_load(&runner->at)].what);
}

static unsigned int count_asleep(unsigned int others)
{
	unsigned int i, asleep = 0;

	for (i = 1; i <= others; i++)
		asleep += sleeps(&runners[i]);
	return asleep;
}

static bool overslept(const struct runner *runner)
{
	const struct call *call = &current->call[atomic_load(&runner->at)];
	struct pollfd file = { .fd = file_get(call->in), .events = POLLIN };

	return sleeps(runner) && poll(&file, 1, 0) == 1 && file.revents & POLLIN &&
	       atomic_load(&runner->changes) == file_changes(call->in);
}

/* Is the thread still where it was, long after everything that could wake it is over? */
static bool sleeps_on(const struct runner *runner, unsigned int others, unsigned int asleep)
{
	unsigned int calls = atomic_load(&runner->calls), i;

	for (i = 0; i < OVERSLEPT_LOOKS; i++) {
		if (atomic_load(&through) + asleep != others || !overslept(runner) ||
		    atomic_load(&runner->calls) != calls)
			return false;
		usleep(1000);
	}
	return true;
}

/*
 * The first thread's, when the others are through or asleep: no thread is left that could be about
 * to wake one of them. That is wrong only if each call that publishes also wakes.
 */
static void look_for_overslept(unsigned int others, unsigned int asleep)
{
	unsigned int i;

	for (i = 1; i <= others && !silent && asleep; i++)
		if (sleeps_on(&runners[i], others, asleep))
			say_wrong_anyway("a thread sleeps, and there is something to see for it");
}

/* As in the hooks: where CPUs run in turns, "pause" is the end of one; else it costs too much. */
static bool look_again(unsigned int *looks)
{
	if (options.turns)
		__builtin_ia32_pause();
	return ++*looks < (options.turns ? TURNS : LOOKS);
}

/* The first thread's: until all others are through. */
static void wait_for_others(unsigned int others)
{
	static const struct timespec patience = { .tv_nsec = PATIENCE_NS };
	unsigned int last[THREADS] = { 0 }, looks = 0, asleep, now;

	while ((now = atomic_load(&through)) != others) {
		if (look_again(&looks))
			continue;
		atomic_store(&first_sleeps, true);
		if (futex(&through, FUTEX_WAIT, now, &patience) && errno == ETIMEDOUT) {
			asleep = count_asleep(others);
			look_for_overslept(others, asleep);
			wake_sleepers(last, atomic_load(&through) + asleep == others);
		}
		atomic_store(&first_sleeps, false);
	}
}

static void tell_others(void)
{
	unsigned int i;

	atomic_store(&through, 0);
	for (i = 1; i < current->threads; i++) {
		atomic_fetch_add(&runners[i].go, 1);
		if (atomic_load(&runners[i].sleeps))
			futex(&runners[i].go, FUTEX_WAKE, 1, NULL);
	}
}

static void wait_for_first(struct runner *runner, unsigned int old)
{
	unsigned int looks = 0;

	while (atomic_load(&runner->go) == old) {
		if (look_again(&looks))
			continue;
		atomic_store(&runner->sleeps, true);
		futex(&runner->go, FUTEX_WAIT, old, NULL);
		atomic_store(&runner->sleeps, false);
	}
}

static void make_calls_of(unsigned int thread)
{
	unsigned int i;

	for (i = current->setup; i < current->count; i++) {
		if (current->call[i].thread % current->threads == thread)
			make_call(&runners[thread], i);
	}
	process_end_thread();
	cover_through(this_worker);
}

/* A thread that is held up keeps its CPU: the others have to be on another one. */
static void stay_on_a_cpu(unsigned int thread)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(thread % (unsigned int)(cpus > 0 ? cpus : 1), &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void *other(void *arg)
{
	unsigned int thread = (unsigned int)(uintptr_t)arg, old = 0;
	struct runner *runner = &runners[thread];

	stay_on_a_cpu(thread);
	cover_thread(this_worker, thread);
	for (;; old++) {
		wait_for_first(runner, old);
		make_calls_of(thread);
		atomic_fetch_add(&through, 1);
		if (atomic_load(&first_sleeps))
			futex(&through, FUTEX_WAKE, 1, NULL);
	}
	return NULL;
}

/* The first thread wakes the others, and nobody but this one wakes the first. */
static void *ticker(void *arg)
{
	const struct runner *first = &runners[0];
	unsigned int calls = 0, last = 0;

	(void)arg;
	for (;; last = calls) {
		usleep(TICK_US);
		calls = atomic_load(&first->calls);
		if (atomic_load(&first->inside) && calls == last)
			pthread_kill(first->thread, SIGALRM);
	}
	return NULL;
}

static void on_tick(int number)
{
	(void)number;
}

void run_begin(unsigned int worker)
{
	struct sigaction tick = { .sa_handler = on_tick };
	pthread_t thread;
	uintptr_t i;

	this_worker = worker;
	fork_call = call_find("fork");
	world_begin();
	process_begin();
	sigaction(SIGALRM, &tick, NULL);
	runners[0].thread = pthread_self();
	cover_thread(worker, 0);
	for (i = 1; i < THREADS; i++) {
		if (pthread_create(&runners[i].thread, NULL, other, (void *)i))
			_exit(2);
	}
	if (pthread_create(&thread, NULL, ticker, NULL))
		_exit(2);
	stay_on_a_cpu(0);
}

/* ---- a program ------------------------------------------------------------------------- */

static bool failed[CALLS_MOST]; /* of those that make the files, when they were made first */

/* Another one puts its file in the same place. */
static bool replaced(unsigned int at)
{
	unsigned int i;

	for (i = at + 1; i < current->setup; i++)
		if (call_gives(current->call[i].what) != ROLE_NONE &&
		    current->call[i].out == current->call[at].out)
			return true;
	return false;
}

static bool is_missing(unsigned int i, const bool made[FILES])
{
	const struct call *call = &current->call[i];
	enum role gives = call_gives(call->what);

	if (failed[i] || (gives != ROLE_NONE && replaced(i)))
		return false;
	if (made[call->in])
		return true;
	if (call_maps(call->what))
		return !maps[call->out % MAPS].bytes;
	if (gives != ROLE_NONE)
		return file_role(call->out) != gives;
	return call_is_ioctl(call->what); /* again: it costs little */
}

/*
 * Of files and mappings that are there already only those missing are made, and those that depend
 * on them. Ioctls on them are made again, so that one is armed, for instance.
 */
static void set_up(bool warm)
{
	bool made[FILES] = { false };
	unsigned int i;

	for (i = 0; i < current->setup; i++) {
		const struct call *call = &current->call[i];

		if (warm && !is_missing(i, made))
			continue;
		make_call(&runners[0], i);
		if (!warm)
			failed[i] = current_results[i] < 0;
		if (call_gives(call->what) != ROLE_NONE)
			made[call->out] = true;
	}
}

bool run_made_all(void)
{
	unsigned int i;

	for (i = 0; i < current->setup; i++)
		if (failed[i] && call_gives(current->call[i].what) != ROLE_NONE)
			return false;
	return true;
}

static void make_rounds(void)
{
	unsigned int round;

	for (round = 0; round < current->rounds; round++) {
		alone = true;
		set_up(round || current->warm);
		alone = current->threads == 1;
		cover_round(this_worker, current, round);
		tell_others();
		make_calls_of(0);
		wait_for_others(current->threads - 1U);
	}
}

void run_as_child(const struct call *from)
{
	unsigned int i;

	alone = true;
	for (i = (unsigned int)(from - current->call) + 1; i < current->count; i++)
		if (current->call[i].what != fork_call)
			call_run(&current->call[i]);
}

static bool is_silent(const struct program *program)
{
	unsigned int i;

	for (i = 0; i < program->count; i++)
		if (call_is_silent(program->call[i].what))
			return true;
	return false;
}

bool run_program(const struct program *program, int results[CALLS_MOST])
{
	current = program;
	current_results = results;
	silent = is_silent(program) || (silent && program->warm);
	memset(results, 0, CALLS_MOST * sizeof(*results));
	if (!program->warm)
		world_clear();
	cover_begin(this_worker, program);
	make_rounds();
	alone = true;
	process_end();
	files_end();
	uring_end();
	bpf_end();
	return !anything_wrong();
}
