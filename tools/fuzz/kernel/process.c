// SPDX-License-Identifier: GPL-2.0
/* process.c - users, limits, children, tracing: what is around a program's files */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "moves.h"

#define CHILDREN 2U

static _Atomic pid_t children[CHILDREN];
static atomic_bool limited;
static __thread bool other_user;

static const struct rlimit memlock_all = { RLIM_INFINITY, RLIM_INFINITY };
static const struct rlimit nofile_some = { 1024, 4096 };

static void no_limits(void)
{
	setrlimit(RLIMIT_MEMLOCK, &memlock_all);
	setrlimit(RLIMIT_NOFILE, &nofile_some);
}

void process_begin(void)
{
	no_limits();
}

/* Of this thread alone: the library's would ask all of them. */
int run_user(const struct call *call)
{
	uid_t uid = call->argument[0] % 2 ? 65534 : 0;

	other_user = uid;
	return done(syscall(SYS_setresuid, -1, uid, -1));
}

void process_end_thread(void)
{
	if (other_user)
		syscall(SYS_setresuid, -1, 0, -1);
	other_user = false;
}

int run_limit(const struct call *call)
{
	static const rlim_t bytes[] = { 0, PAGE, 4 * PAGE, 64 * PAGE, 8UL << 20, RLIM_INFINITY };
	struct rlimit memlock = { bytes[call->argument[0] % 6], RLIM_INFINITY };
	struct rlimit nofile = { call->argument[1] % 8 == 1 ? 20 : 1024, 4096 };

	atomic_store(&limited, true);
	setrlimit(RLIMIT_NOFILE, &nofile);
	return done(setrlimit(RLIMIT_MEMLOCK, &memlock));
}

int run_sleep(const struct call *call)
{
	if (call->argument[0] % 4)
		return done(sched_yield());
	return done(usleep(500));
}

/* Text of the kernel is patched for this: it costs. */
int run_trace(const struct call *call)
{
	int fd = open("/sys/kernel/tracing/events/ronbus/enable", O_WRONLY | O_CLOEXEC);
	ssize_t ret;

	if (fd < 0)
		return -errno;
	ret = write(fd, call->argument[0] % 2 ? "1" : "0", 1);
	close(fd);
	return done(ret);
}

/* A child has its parent's files, and runs what is left of the program, or is killed in it. */
int run_fork(const struct call *call)
{
	unsigned int i;
	pid_t pid, none = 0;

	for (i = 0; i < CHILDREN && atomic_load(&children[i]); i++)
		;
	if (i == CHILDREN)
		return -EAGAIN;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid) {
		if (!atomic_compare_exchange_strong(&children[i], &none, pid)) {
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
		}
		return 0;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	memset(children, 0, sizeof(children));
	run_as_child(call);
	if (call->argument[0] % 2)
		pause();
	_exit(0);
}

void process_end(void)
{
	unsigned int i;

	for (i = 0; i < CHILDREN; i++) {
		pid_t pid = atomic_exchange(&children[i], 0);

		if (!pid)
			continue;
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	if (atomic_exchange(&limited, false))
		no_limits();
}
