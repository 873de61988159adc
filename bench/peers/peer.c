// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * peer.c - what all peers share: options, processes, the clock of a process
 */
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "peer.h"

#define SKIPPED 77

struct peer_options peer = { .readers = 1, .payload = 8, .samples = 100 };
struct control *control;

static cpu_set_t allowed;
static pthread_t threads[READERS_MAX];
static pid_t children[READERS_MAX];
static unsigned int nr_threads;
static volatile unsigned int nr_children; /* read by a signal handler */

static const char usage[] =
	"usage: %s --shape a|b|c [OPTION]...\n"
	"  --shape a      one thread: 256 sends, then each reader drains; ns a message\n"
	"  --shape b      ping-pong of two; half of the time there and back in ns\n"
	"  --shape c      sends a message a millisecond to sleeping readers\n"
	"  --readers N    (1); shape b always has one on each side\n"
	"  --payload N    bytes of a message, 8 to 4096 (8)\n"
	"  --samples N    samples, round trips or messages (100)\n"
	"  --cpus A,B     run on CPU A, and the other side on CPU B (the last two allowed)\n"
	"  --sleep        shape b: readers sleep instead of spinning\n"
	"  --spoil WHAT   one message gets a wrong \"number\" or \"byte\": has to fail\n"
	"What it prints is described in bench/peers/README.md. Status: 0 measured, 1 failed, 2 wrong\n"
	"arguments, 77 the engine cannot do that, or not here.\n";

void cannot(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s: ", bench_name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(SKIPPED);
}

/* ---- options ---------------------------------------------------------------------------- */

static void __attribute__((noreturn)) misused(void)
{
	fprintf(stderr, usage, bench_name);
	exit(2);
}

static unsigned int number(const char *text, const char *option, unsigned int least,
			   unsigned int most)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || value < least || value > most) {
		fprintf(stderr, "%s: --%s wants a number from %u to %u, not \"%s\"\n", bench_name,
			option, least, most, text);
		exit(2);
	}
	return (unsigned int)value;
}

static void two_cpus(const char *text)
{
	char *end;

	peer.cpus[0] = (int)strtol(text, &end, 10);
	peer.cpus[1] = *end == ',' ? (int)strtol(end + 1, &end, 10) : peer.cpus[0];
	if (*text < '0' || *text > '9' || *end) {
		fprintf(stderr, "%s: --cpus wants two numbers of CPUs, as in 0,1, not \"%s\"\n",
			bench_name, text);
		exit(2);
	}
}

static enum spoil spoil(const char *text)
{
	if (!strcmp(text, "number"))
		return SPOIL_NUMBER;
	if (strcmp(text, "byte"))
		misused();
	return SPOIL_BYTE;
}

/* The last two CPUs that are allowed: interrupts tend to be at home on the first. */
static void default_cpus(void)
{
	int cpu, found = 0;

	for (cpu = CPU_SETSIZE - 1; cpu >= 0 && found < 2; cpu--)
		if (CPU_ISSET(cpu, &allowed))
			peer.cpus[found++] = cpu;
	if (found == 1)
		peer.cpus[1] = peer.cpus[0];
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "shape", required_argument, NULL, 's' },
		{ "readers", required_argument, NULL, 'r' },
		{ "payload", required_argument, NULL, 'p' },
		{ "samples", required_argument, NULL, 'k' },
		{ "cpus", required_argument, NULL, 'c' },
		{ "sleep", no_argument, NULL, 'w' },
		{ "spoil", required_argument, NULL, 'x' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 's':
			peer.shape = optarg[0] && optarg[1] ? 0 : optarg[0];
			break;
		case 'r':
			peer.readers = number(optarg, "readers", 0, READERS_MAX);
			break;
		case 'p':
			peer.payload = number(optarg, "payload", 8, PAYLOAD_MAX);
			break;
		case 'k':
			peer.samples = number(optarg, "samples", 1, 1000000);
			break;
		case 'c':
			two_cpus(optarg);
			break;
		case 'w':
			peer.sleep = true;
			break;
		case 'x':
			peer.spoil = spoil(optarg);
			break;
		case 'h':
			printf(usage, bench_name);
			exit(0);
		default:
			misused();
		}
	}
	if (optind < argc || peer.shape < 'a' || peer.shape > 'c')
		misused();
}

/* ---- watching over a run ---------------------------------------------------------------- */

static void complain(const char *text)
{
	ssize_t ignored = write(STDERR_FILENO, text, strlen(text));

	(void)ignored;
}

static void too_long(int signal)
{
	(void)signal;
	complain(bench_name);
	complain(": no end in sight: given up\n");
	_exit(1);
}

/* No run waits for ever. */
static void set_alarm(void)
{
	alarm(30 + peer.samples / 200);
}

/* A process that failed has given the reason. This one would wait for its messages for ever. */
static void child_ended(int signal)
{
	siginfo_t info;
	unsigned int i;

	(void)signal;
	for (i = 0; i < nr_children; i++) {
		info.si_pid = 0;
		if (waitid(P_PID, (id_t)children[i], &info, WEXITED | WNOHANG | WNOWAIT))
			continue;
		if (info.si_pid && info.si_status)
			_exit(info.si_code == CLD_EXITED && info.si_status == SKIPPED ? SKIPPED
										      : 1);
	}
}

static void watch(void)
{
	struct sigaction ended = { .sa_handler = child_ended, .sa_flags = SA_RESTART };

	sigaction(SIGCHLD, &ended, NULL);
	signal(SIGALRM, too_long);
	set_alarm();
}

void peer_options(int argc, char **argv)
{
	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		die("cannot ask which CPUs are allowed");
	default_cpus();
	parse(argc, argv);
	if (peer.shape == 'b')
		peer.readers = 1;
	if (peer.shape != 'b')
		peer.sleep = peer.shape == 'c';
	if (peer.shape == 'b' && !peer.sleep && peer.cpus[0] == peer.cpus[1])
		cannot("two that spin need two CPUs");
	if (peer.spoil == SPOIL_BYTE && peer.payload == sizeof(uint64_t))
		cannot("there is no byte to spoil beside the number");
	control = peer_memory(sizeof(*control));
	watch();
}

/* ---- what a run has for itself ---------------------------------------------------------- */

static bool file_write(const char *path, const char *format, unsigned int number)
{
	FILE *file = fopen(path, "w");
	bool good = file && fprintf(file, format, number) > 0;

	return file && !fclose(file) && good;
}

bool peer_unshare(int flags)
{
	unsigned int uid = getuid(), gid = getgid();

	if (!unshare(flags))
		return true;
	if (errno != EPERM || unshare(CLONE_NEWUSER | flags))
		return false;
	return file_write("/proc/self/setgroups", "deny", 0) &&
	       file_write("/proc/self/uid_map", "0 %u 1", uid) &&
	       file_write("/proc/self/gid_map", "0 %u 1", gid);
}

void *peer_memory(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (memory == MAP_FAILED)
		die("no memory: %s", strerror(errno));
	return memory;
}

void peer_roam(void)
{
	if (sched_setaffinity(0, sizeof(allowed), &allowed))
		die("cannot run on the CPUs that were allowed");
}

/* ---- processes and threads -------------------------------------------------------------- */

struct task {
	void (*run)(unsigned int number);
	unsigned int number;
};

static void *run_thread(void *argument)
{
	struct task task = *(struct task *)argument;

	free(argument);
	task.run(task.number);
	return NULL;
}

static void spawn_thread(struct task task)
{
	struct task *copy = malloc(sizeof(*copy));

	if (!copy)
		die("no memory");
	*copy = task;
	if (pthread_create(&threads[nr_threads++], NULL, run_thread, copy))
		die("cannot make a thread");
}

static void __attribute__((noreturn)) run_process(struct task task, pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	signal(SIGCHLD, SIG_DFL);
	set_alarm();
	task.run(task.number);
	_exit(0);
}

static void spawn_process(struct task task)
{
	pid_t parent = getpid(), pid;
	sigset_t ended, before;

	/* No signal until the child is on the list. */
	sigemptyset(&ended);
	sigaddset(&ended, SIGCHLD);
	sigprocmask(SIG_BLOCK, &ended, &before);
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("cannot fork: %s", strerror(errno));
	if (pid)
		children[nr_children++] = pid;
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (!pid)
		run_process(task, parent);
}

void peer_spawn(bool thread, void (*run)(unsigned int number), unsigned int number)
{
	struct task task = { run, number };

	if (thread)
		spawn_thread(task);
	else
		spawn_process(task);
}

void peer_join(void)
{
	int status;

	while (nr_threads)
		pthread_join(threads[--nr_threads], NULL);
	while (nr_children)
		if (waitpid(children[--nr_children], &status, 0) < 0 || status)
			die("a process failed");
}

void peer_ready(void)
{
	__atomic_fetch_add(&control->ready, 1, __ATOMIC_SEQ_CST);
}

bool peer_all_ready(unsigned int count)
{
	return __atomic_load_n(&control->ready, __ATOMIC_SEQ_CST) >= count;
}

struct usage peer_usage(void)
{
	return usage_of(CLOCK_PROCESS_CPUTIME_ID, RUSAGE_SELF);
}

struct usage peer_usage_since(struct usage start)
{
	struct usage now = peer_usage();

	return (struct usage){ now.cpu_ns - start.cpu_ns, now.switches - start.switches, 0 };
}

/* ---- messages --------------------------------------------------------------------------- */

static unsigned char pattern(size_t at)
{
	return (unsigned char)(at * 31 + at / 256 + 7);
}

void message_fill(void *message, size_t len)
{
	unsigned char *bytes = message;
	size_t i;

	for (i = sizeof(uint64_t); i < len; i++)
		bytes[i] = pattern(i);
}

void message_check(const void *message, size_t len, uint64_t number)
{
	const unsigned char *bytes = message;
	uint64_t got;
	size_t i;

	memcpy(&got, message, sizeof(got));
	if (got != number)
		die("message %llu instead of %llu", (unsigned long long)got,
		    (unsigned long long)number);
	for (i = sizeof(got); i < len; i++)
		if (bytes[i] != pattern(i))
			die("message %llu has a wrong byte at %zu", (unsigned long long)got, i);
}

void kernel_version(char *text, size_t size)
{
	struct utsname name;

	uname(&name);
	snprintf(text, size, "%s %s", name.sysname, name.release);
}
