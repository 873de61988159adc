// SPDX-License-Identifier: GPL-2.0
/*
 * main.c - ronbus-fuzz: calls on /dev/ronbus at random, kept by what of the module they run
 *
 * Workers share what they have found. Each runs in a process of its own, watched by the first one:
 * a worker that is killed, a kernel that is tainted, a write that should not have been possible or
 * a worker that does not get on ends the run, with the last programs printed so that --replay can
 * repeat them.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"

#define WORKERS 8U
#define CORPUS 4096U
#define RECENT 4U
#define HANG_S 180U
#define REPORT_S 10U

/**
 * struct shared - what all workers see
 * @cover: what has been run
 * @lock: guards @corpus while one is added
 * @count: programs in @corpus
 * @corpus: programs that did something new
 * @executions: of each worker
 * @recent: the last programs of each
 * @stop: the time is over, or something is wrong
 */
struct shared {
	struct cover cover;
	atomic_flag lock;
	atomic_uint count;
	struct program corpus[CORPUS];
	atomic_ullong executions[WORKERS];
	struct program recent[WORKERS][RECENT];
	atomic_bool stop;
};

static struct shared *shared;

static struct options {
	unsigned int seconds;
	unsigned int workers;
	unsigned int repeat;
	unsigned long long executions;
	unsigned long long seed;
	const char *corpus;
	const char *replay;
	bool say;
} options = { .seconds = 20, .workers = 1, .repeat = 1 };

/* ---- arguments ------------------------------------------------------------------------- */

static const struct argp_option argp_options[] = {
	{ "seconds", 't', "N", 0, "how long (20)", 0 },
	{ "executions", 'n', "N", 0, "stop after so many programs", 0 },
	{ "seed", 's', "N", 0, "of the dice (the time)", 0 },
	{ "workers", 'j', "N", 0, "processes (1)", 0 },
	{ "corpus", 'c', "FILE", 0, "programs to begin with", 0 },
	{ "replay", 'r', "FILE", 0, "only run these programs", 0 },
	{ "repeat", 'R', "N", 0, "run them so many times (1)", 0 },
	{ "say", 'v', NULL, 0, "print each program before it is run", 0 },
	{ 0 },
};

static unsigned long long number(const char *text, struct argp_state *state)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 0);

	if (*text < '0' || *text > '9' || *end)
		argp_error(state, "\"%s\" is no number", text);
	return value;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case 't':
		options.seconds = (unsigned int)number(arg, state);
		return 0;
	case 'n':
		options.executions = number(arg, state);
		return 0;
	case 's':
		options.seed = number(arg, state);
		return 0;
	case 'j':
		options.workers = (unsigned int)number(arg, state);
		if (!options.workers || options.workers > WORKERS)
			argp_error(state, "1 to %u workers", WORKERS);
		return 0;
	case 'c':
		options.corpus = arg;
		return 0;
	case 'r':
		options.replay = arg;
		return 0;
	case 'R':
		options.repeat = (unsigned int)number(arg, state);
		return 0;
	case 'v':
		options.say = true;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {
	.options = argp_options,
	.parser = parse,
	.doc = "Calls on /dev/ronbus at random. See tools/fuzz/README.md."
};

/* ---- the kernel's word ----------------------------------------------------------------- */

/* Bits that tell of a warning, an oops, bad memory; that a module is foreign is none of them. */
#define TAINT_BAD (1UL << 4 | 1UL << 5 | 1UL << 7 | 1UL << 9 | 1UL << 14)

static unsigned long taint(void)
{
	char text[32] = "";
	int fd = open("/proc/sys/kernel/tainted", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	return strtoul(text, NULL, 10) & TAINT_BAD;
}

/* ---- a worker -------------------------------------------------------------------------- */

static unsigned long taint_before;

static bool run(unsigned int worker, const struct program *program, int results[CALLS_MOST])
{
	unsigned long long n = atomic_load(&shared->executions[worker]);

	shared->recent[worker][n % RECENT] = *program;
	if (options.say) {
		program_print(program, stdout);
		fflush(stdout);
	}
	if (!calls_run(program, results))
		return false;
	atomic_store(&shared->executions[worker], n + 1);
	if (n % 8 && !options.replay)
		return true;
	if (taint() == taint_before)
		return true;
	dprintf(STDOUT_FILENO, "WRONG: the kernel's log has something to say\n");
	return false;
}

/* Without calls that what is new does not need. */
static bool minimize(unsigned int worker, struct program *program, unsigned int found)
{
	int results[CALLS_MOST];
	unsigned int i;

	for (i = program->count; i-- > 0 && program->count > 1;) {
		struct program less = *program;

		program_cut(&less, i);
		if (!run(worker, &less, results))
			return false;
		if (cover_new(&shared->cover, &less, results, false) >= found)
			*program = less;
	}
	return true;
}

static void keep(const struct program *program)
{
	unsigned int count;

	while (atomic_flag_test_and_set(&shared->lock))
		usleep(100);
	count = atomic_load(&shared->count);
	if (count < CORPUS) {
		shared->corpus[count] = *program;
		atomic_store(&shared->count, count + 1);
	}
	atomic_flag_clear(&shared->lock);
}

/* Run it, and keep it if it did what none did before, and does it again. */
static bool try(unsigned int worker, struct program *program)
{
	int results[CALLS_MOST];
	unsigned int found;

	if (!run(worker, program, results))
		return false;
	if (!cover_new(&shared->cover, program, results, false))
		return true;
	if (!run(worker, program, results))
		return false;
	found = cover_new(&shared->cover, program, results, false);
	if (!found)
		return true;
	if (!minimize(worker, program, found) || !run(worker, program, results))
		return false;
	if (cover_new(&shared->cover, program, results, true))
		keep(program);
	return true;
}

static void choose(struct program *program)
{
	unsigned int count = atomic_load(&shared->count);

	if (!count || !dice_below(8)) {
		program_make(program);
		return;
	}
	*program = shared->corpus[dice_below(count)];
	program_change(program, &shared->corpus[dice_below(count)]);
}

static bool enough(unsigned int worker)
{
	return atomic_load(&shared->stop) ||
	       (options.executions &&
		atomic_load(&shared->executions[worker]) >= options.executions / options.workers);
}

static bool work_on_file(unsigned int worker, const char *name, unsigned int times)
{
	struct program program;
	bool good = true;
	FILE *from;

	while (good && times--) {
		from = fopen(name, "r");
		if (!from) {
			perror(name);
			exit(2);
		}
		while (good && program_read(&program, from) && !atomic_load(&shared->stop)) {
			int results[CALLS_MOST];

			good = options.replay ? run(worker, &program, results)
					      : try(worker, &program);
		}
		fclose(from);
	}
	return good;
}

static int work(unsigned int worker)
{
	struct program program;
	bool good = true;

	dice_seed(options.seed + worker);
	cover_open();
	calls_begin();
	taint_before = taint();
	if (options.replay)
		return work_on_file(worker, options.replay, options.repeat) ? 0 : 1;
	if (options.corpus && !worker)
		good = work_on_file(worker, options.corpus, 1);
	while (good && !enough(worker)) {
		choose(&program);
		good = try(worker, &program);
	}
	return good ? 0 : 1;
}

/* ---- the one that watches -------------------------------------------------------------- */

static unsigned long long executions(void)
{
	unsigned long long sum = 0;
	unsigned int i;

	for (i = 0; i < options.workers; i++)
		sum += atomic_load(&shared->executions[i]);
	return sum;
}

static void report(unsigned int seconds)
{
	unsigned long long n = executions();

	printf("# %us: %llu executions, %llu/s, %u programs, %u edges, %u places\n", seconds, n,
	       n / (seconds ? seconds : 1), atomic_load(&shared->count), shared->cover.nr_edges,
	       shared->cover.nr_pcs);
	fflush(stdout);
}

static void print_recent(const char *why)
{
	unsigned int i, j;

	printf("CRASH: %s; the last programs, the last one last:\n", why);
	for (i = 0; i < options.workers; i++) {
		unsigned long long n = atomic_load(&shared->executions[i]);

		printf("# worker %u\n", i);
		for (j = 1; j <= RECENT; j++)
			if (n + j >= RECENT)
				program_print(&shared->recent[i][(n + j) % RECENT], stdout);
	}
	fflush(stdout);
}

static void print_stacks(void)
{
	printf("# see the kernel's log for what they do\n");
	fflush(stdout);
	if (system("for t in /proc/[0-9]*/task/*; do echo \"== $t $(cat $t/comm)\"; cat $t/stack; "
		   "done >/dev/kmsg 2>/dev/null"))
		printf("# or not\n");
}

/* Returns whether worker ended well. */
static bool ended_well(int status)
{
	char why[64];

	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return true;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
		exit(2); /* it has said why */
	if (WIFSIGNALED(status))
		snprintf(why, sizeof(why), "a worker was killed by signal %d", WTERMSIG(status));
	else
		snprintf(why, sizeof(why), "a worker found something wrong");
	print_recent(why);
	return false;
}

static unsigned int seconds_since(time_t begin)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (unsigned int)(now.tv_sec - begin);
}

static bool watch(void)
{
	unsigned int left = options.workers, last_change = 0, reported = 0;
	unsigned long long last = 0;
	struct timespec begin;
	bool good = true;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	while (left) {
		unsigned int now = seconds_since(begin.tv_sec);
		int status;
		pid_t pid = waitpid(-1, &status, WNOHANG);

		if (pid > 0) {
			left--;
			if (!ended_well(status))
				good = false;
			if (!good)
				atomic_store(&shared->stop, true);
			continue;
		}
		if (executions() != last) {
			last = executions();
			last_change = now;
		} else if (now - last_change > HANG_S) {
			print_recent("no program comes to an end");
			print_stacks();
			return false;
		}
		if (now >= reported + REPORT_S) {
			reported = now;
			report(now);
		}
		if (now >= options.seconds && !options.replay)
			atomic_store(&shared->stop, true);
		usleep(100000);
	}
	report(seconds_since(begin.tv_sec));
	return good;
}

static void print_corpus(void)
{
	unsigned int i;

	for (i = 0; i < atomic_load(&shared->count); i++)
		program_print(&shared->corpus[i], stdout);
	cover_print(&shared->cover, stdout);
}

static void start(unsigned int worker)
{
	pid_t pid = fork();

	if (pid < 0) {
		perror("fork");
		exit(2);
	}
	if (!pid) {
		setpgid(0, 0); /* signals of its own */
		_exit(work(worker));
	}
}

int main(int argc, char **argv)
{
	unsigned int i;
	bool good;

	argp_err_exit_status = 2;
	options.seed = (unsigned long long)time(NULL);
	argp_parse(&argp, argc, argv, 0, NULL, &options);
	if (options.replay)
		options.workers = 1;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED) {
		perror("mmap");
		return 2;
	}
	atomic_flag_clear(&shared->lock);
	printf("# seed %llu, %u worker(s), %s\n", options.seed, options.workers,
	       cover_open() ? "guided by KCOV"
			    : "no KCOV in this kernel: blind, guided by results only");
	fflush(stdout);
	for (i = 0; i < options.workers; i++)
		start(i);
	good = watch();
	if (!options.replay)
		print_corpus();
	printf("%s\n", good ? "# nothing found" : "# something found");
	return good ? 0 : 1;
}
