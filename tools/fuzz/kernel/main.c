// SPDX-License-Identifier: GPL-2.0
/*
 * main.c - ronbus-fuzz: calls on /dev/ronbus at random, by threads that race, kept by what of the
 * module they run
 *
 * Workers are processes that last for some hundred programs, and are watched by the first one: one
 * that is killed by anybody else, a kernel that is tainted, a write that should not have been
 * possible, a program that does not come to an end and a process that cannot be killed end the run,
 * with the last programs printed so that --replay can repeat them.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "moves.h"

#define HANG_MS 30000U
#define DEATH_MS 10000U
#define REPORT_MS 10000U

struct shared *shared;
struct options options = { .seconds = 20, .workers = 1, .repeat = 1, .life = 800 };

/**
 * struct worker - a process that is watched
 * @pid: its number
 * @lives: how many there were before it
 * @runs: how many programs it had run when looked at last
 * @since: when that changed
 * @killed: when it was told to die, or 0
 * @hung: that was because it did not get on
 */
static struct worker {
	pid_t pid;
	unsigned int lives;
	unsigned long long runs;
	unsigned int since;
	unsigned int killed;
	bool hung;
} workers[WORKERS];

static unsigned int slowest_death;
static struct timespec began;

/* ---- arguments ------------------------------------------------------------------------- */

static const char *decode;

static const struct argp_option argp_options[] = {
	{ "seconds", 't', "N", 0, "how long (20)", 0 },
	{ "executions", 'n', "N", 0, "stop after so many programs", 0 },
	{ "seed", 's', "N", 0, "of the dice (the time)", 0 },
	{ "workers", 'j', "N", 0, "processes (1)", 0 },
	{ "life", 'l', "N", 0, "programs that a process runs (800)", 0 },
	{ "corpus", 'c', "FILE", 0, "programs to begin with", 0 },
	{ "replay", 'r', "FILE", 0, "only run these programs", 0 },
	{ "repeat", 'R', "N", 0, "run them so many times (1)", 0 },
	{ "say", 'v', NULL, 0, "print each program before it is run", 0 },
	{ "turns", 'T', NULL, 0, "CPUs run in turns, not at the same time", 0 },
	{ "decode", 'd', "FILE", 0, "print the programs that a kernel's log has", 0 },
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
	case 'l':
		options.life = (unsigned int)number(arg, state);
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
	case 'T':
		options.turns = true;
		return 0;
	case 'd':
		decode = arg;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {
	.options = argp_options,
	.parser = parse,
	.doc = "Calls on /dev/ronbus at random, by threads. See tools/fuzz/README.md."
};

/* ---- what there is to say -------------------------------------------------------------- */

static unsigned int ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (unsigned int)((now.tv_sec - began.tv_sec) * 1000 +
			      (now.tv_nsec - began.tv_nsec) / 1000000);
}

static unsigned long long sum(const atomic_ullong count[WORKERS])
{
	unsigned long long all = 0;
	unsigned int i;

	for (i = 0; i < options.workers; i++)
		all += atomic_load(&count[i]);
	return all;
}

static unsigned long long executions(void)
{
	return sum(shared->executions);
}

static unsigned long long calls(void)
{
	unsigned long long sum = 0;
	unsigned int i;

	for (i = 0; i < calls_count(); i++)
		sum += atomic_load(&tallies[i].made);
	return sum;
}

static void report(void)
{
	static unsigned long long last_n, last_runs, last_calls;
	static unsigned int last_ms;
	unsigned long long n = executions(), r = sum(shared->runs), c = calls();
	unsigned int now = ms(), passed = now - last_ms ? now - last_ms : 1;

	printf("# %us: %llu programs, %llu/s, %llu runs/s, %llu calls/s, %u kept, %u edges, %u places\n",
	       now / 1000, n, (n - last_n) * 1000 / passed, (r - last_runs) * 1000 / passed,
	       (c - last_calls) * 1000 / passed, atomic_load(&shared->count), cover_edges(),
	       cover_places());
	fflush(stdout);
	last_n = n;
	last_runs = r;
	last_calls = c;
	last_ms = now;
}

static void report_all(void)
{
	unsigned long long n = executions(), r = sum(shared->runs), c = calls();
	unsigned int now = ms() ? ms() : 1, lives = 0, i;

	for (i = 0; i < options.workers; i++)
		lives += workers[i].lives + 1;
	printf("# %u.%u s: %llu programs, %llu/s; %llu runs, %llu/s; %llu calls, %llu/s\n",
	       now / 1000, now / 100 % 10, n, n * 1000 / now, r, r * 1000 / now, c, c * 1000 / now);
	printf("# %u processes, the slowest death %u ms; %u kept, %u edges, %u places\n", lives,
	       slowest_death, atomic_load(&shared->count), cover_edges(), cover_places());
	for (i = 0; i < calls_count(); i++) {
		unsigned long long made = atomic_load(&tallies[i].made);
		unsigned long long timed = atomic_load(&tallies[i].timed);

		if (made)
			printf("# call %-26s %9llu made, %9llu good, %6llu us each, %7u steps\n",
			       call_name(i), made,
			       (unsigned long long)atomic_load(&tallies[i].good),
			       timed ? atomic_load(&tallies[i].ns) / 1000 / timed : 0,
			       atomic_load(&tallies[i].steps));
	}
}

/* Back to the one that made the files. */
static void print_recent_of(const struct recent *recent)
{
	unsigned long long n = recent->runs, first = n > RECENT ? n - RECENT : 0;

	for (; first < n; first++)
		if (recent->program[first % RECENT].count <= CALLS_MOST)
			program_print(&recent->program[first % RECENT], stdout);
}

static void print_recent(const char *why)
{
	unsigned int i;

	printf("CRASH: %s; the last programs, the last one last:\n", why);
	for (i = 0; i < options.workers; i++) {
		printf("# worker %u\n", i);
		print_recent_of(&cover_recent()[i]);
	}
	printf("# these were the last programs\n");
	fflush(stdout);
}

/* Of ours that sleep, and of whatever runs. */
static void print_stacks(void)
{
	printf("# see the kernel's log for what they do\n");
	fflush(stdout);
	if (system("for t in /proc/[0-9]*/task/*; do read -r c <$t/comm; case $c in ronbus-fuzz|iou*) "
		   "echo \"== $t $c\"; cat $t/stack; esac; done >/dev/kmsg 2>/dev/null; "
		   "echo l >/proc/sysrq-trigger"))
		printf("# or not\n");
}

/* ---- the one that watches -------------------------------------------------------------- */

static void start(unsigned int i)
{
	struct worker *worker = &workers[i];
	pid_t pid;

	atomic_store(&shared->kill[i], false);
	fflush(stdout);
	pid = fork();
	if (pid < 0) {
		perror("fork");
		exit(2);
	}
	if (!pid) {
		setpgid(0, 0); /* signals of its own */
		dice_seed(options.seed + i + worker->lives * 1000003ULL);
		_exit(work(i, options.life / 2 + dice_below(options.life)));
	}
	worker->pid = pid;
	worker->runs = executions();
	worker->since = ms();
	worker->killed = 0;
	worker->hung = false;
}

/* Returns whether a worker ended well. */
static bool ended_well(const struct worker *worker, int status)
{
	char why[64];

	if (worker->killed && ms() - worker->killed > slowest_death)
		slowest_death = ms() - worker->killed;
	if (worker->hung) {
		print_recent("a program did not come to an end, but could be killed");
		return false;
	}
	if (worker->killed || (WIFEXITED(status) && !WEXITSTATUS(status)))
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

static void kill_worker(struct worker *worker)
{
	worker->killed = ms();
	kill(worker->pid, SIGKILL);
}

/* False: it cannot be killed. */
static bool look_after(unsigned int i)
{
	struct worker *worker = &workers[i];
	unsigned long long runs = atomic_load(&shared->executions[i]);

	if (worker->killed && ms() - worker->killed > DEATH_MS) {
		print_recent("a process cannot be killed");
		print_stacks();
		return false;
	}
	if (worker->killed)
		return true;
	if (runs != worker->runs) {
		worker->runs = runs;
		worker->since = ms();
	} else if (ms() - worker->since > HANG_MS) {
		worker->hung = true;
		print_stacks();
		kill_worker(worker);
	}
	if (atomic_load(&shared->kill[i]) && (ms() & 15) == i)
		kill_worker(worker);
	return true;
}

/* Returns how many workers there are left. */
static unsigned int collect(bool *good)
{
	unsigned int i, left = 0;

	for (i = 0; i < options.workers; i++) {
		struct worker *worker = &workers[i];
		int status;

		if (worker->pid && waitpid(worker->pid, &status, WNOHANG) == worker->pid) {
			worker->pid = 0;
			if (!ended_well(worker, status))
				*good = false;
			if (!*good)
				atomic_store(&shared->stop, true);
			if (!atomic_load(&shared->stop) && !options.replay) {
				worker->lives++;
				start(i);
			}
		}
		left += worker->pid != 0;
	}
	return left;
}

static bool watch(void)
{
	const struct timespec tick = { .tv_nsec = 50000000 };
	unsigned int reported = 0, i;
	bool good = true;
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	while (collect(&good)) {
		for (i = 0; i < options.workers; i++)
			if (workers[i].pid && !look_after(i))
				return false;
		if (ms() >= reported + REPORT_MS) {
			reported = ms();
			report();
		}
		if (!options.replay && (ms() >= options.seconds * 1000 ||
					(options.executions && executions() >= options.executions)))
			atomic_store(&shared->stop, true);
		sigtimedwait(&child, NULL, &tick);
	}
	return good;
}

/* ---- a log ----------------------------------------------------------------------------- */

static void put_bytes(unsigned char *box, size_t size, size_t at, const char *text)
{
	unsigned int byte;

	for (; at < size && sscanf(text, "%2x", &byte) == 1; text += 2)
		box[at++] = (unsigned char)byte;
}

/* What the hooks printed when the kernel panicked. */
static int decode_log(const char *name)
{
	size_t size = sizeof(struct recent) * WORKERS;
	struct recent *box = calloc(1, size);
	FILE *from = fopen(name, "r");
	char line[512];
	unsigned int i;

	if (!from || !box) {
		perror(name);
		return 2;
	}
	while (fgets(line, sizeof(line), from)) {
		const char *text = strstr(line, "ronbus-fuzz: box ");
		unsigned int at;
		int used;

		if (text && sscanf(text, "ronbus-fuzz: box %u %n", &at, &used) == 1)
			put_bytes((unsigned char *)box, size, at, text + used);
	}
	for (i = 0; i < WORKERS; i++)
		print_recent_of(&box[i]);
	fclose(from);
	free(box);
	return 0;
}

/* ---- begin and end --------------------------------------------------------------------- */

static void print_corpus(void)
{
	unsigned int i;

	for (i = 0; i < atomic_load(&shared->count); i++)
		program_print(&shared->corpus[i], stdout);
	cover_print(stdout);
}

void *share(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED) {
		perror("mmap");
		exit(2);
	}
	return at;
}

int main(int argc, char **argv)
{
	bool hooks, bpf, good;
	sigset_t child;
	unsigned int i;

	argp_err_exit_status = 2;
	options.seed = (unsigned long long)time(NULL);
	argp_parse(&argp, argc, argv, 0, NULL, &options);
	if (decode)
		return decode_log(decode);
	if (options.replay)
		options.workers = 1;
	clock_gettime(CLOCK_MONOTONIC, &began);
	shared = share(sizeof(*shared));
	tallies = share(sizeof(*tallies) * calls_count());
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	hooks = cover_open(options.turns);
	bpf = bpf_begin();
	printf("# seed %llu, %u worker(s), %s%s\n", options.seed, options.workers,
	       hooks ? "guided by the module's hooks"
		     : "this module has no hooks: blind, guided by results only",
	       bpf ? "" : ", no BPF here");
	fflush(stdout);
	for (i = 0; i < options.workers; i++)
		start(i);
	good = watch();
	report_all();
	if (!options.replay)
		print_corpus();
	printf("%s\n", good ? "# nothing found" : "# something found");
	return good ? 0 : 1;
}
