// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * actor.c - other members of a bus: threads of this process, or, on the device, processes
 */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "actor.h"
#include "bus.h"

#define PATIENCE_NS 20000000000ULL

/* A page or some that processes share. */
struct shared {
	unsigned int ready;
	struct seat seats[ACTORS_MOST];
};

/* What a thread is given. */
struct handout {
	struct actors *actors;
	actor_fn fn;
	unsigned int self;
	pthread_t thread;
};

/* ---- usage ---------------------------------------------------------------------------- */

struct usage usage_now(void)
{
	return usage_of(CLOCK_THREAD_CPUTIME_ID, RUSAGE_THREAD);
}

struct usage usage_since(struct usage begin)
{
	struct usage now = usage_now();

	return (struct usage){ now.cpu_ns - begin.cpu_ns, now.switches - begin.switches,
			       begin.got };
}

/* ---- receiving ------------------------------------------------------------------------ */

void relax(void)
{
	if (settings.one_cpu) {
		sched_yield();
		return;
	}
	pause_cpu();
}

int next_message(struct ronbus_sub *sub, bool sleeping, __u64 *buffer, size_t size)
{
	struct ronbus_msg msg;
	int ret;

	for (;;) {
		ret = sleeping ? ronbus_recv(sub, buffer, size, &msg, -1)
			       : ronbus_try_recv(sub, buffer, size, &msg);
		if (ret == -EAGAIN)
			relax();
		else if (ret != RONBUS_LAGGED && ret != -EINTR)
			return must(ret, "recv");
	}
}

/* ---- starting and ending -------------------------------------------------------------- */

struct seat *actors_seat(const struct actors *actors, unsigned int number)
{
	return &actors->shared->seats[number];
}

void actors_ready(struct actors *actors, unsigned int self)
{
	actors_seat(actors, self)->usage = usage_now();
	__atomic_fetch_add(&actors->shared->ready, 1, __ATOMIC_RELEASE);
}

static void act(struct actors *actors, actor_fn fn, unsigned int self)
{
	struct seat *seat = actors_seat(actors, self);

	unsigned int others = settings.cpus.count > 1 ? settings.cpus.count - 1 : 1;

	topology_pin(&settings.cpus, 1 + (actors->spread ? self % others : 0));
	fn(actors, self);
	seat->usage = usage_since(seat->usage);
}

static void *thread_main(void *arg)
{
	struct handout *handout = arg;

	act(handout->actors, handout->fn, handout->self);
	return NULL;
}

static void start_threads(struct actors *actors, actor_fn fn)
{
	unsigned int i;

	actors->threads = calloc(actors->count + 1, sizeof(*actors->threads));
	if (!actors->threads)
		die("no memory");
	for (i = 0; i < actors->count; i++) {
		actors->threads[i] = (struct handout){ actors, fn, i, 0 };
		if (pthread_create(&actors->threads[i].thread, NULL, thread_main,
				   &actors->threads[i]))
			die("cannot start a thread");
	}
}

/* In the child: its own handles. Those of the parent have no mappings here. */
static __attribute__((noreturn)) void process_main(struct actors *actors, actor_fn fn,
						   unsigned int self)
{
	struct actors mine = *actors;
	unsigned int i;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (i = 0; i < mine.nr_buses; i++) {
		int fd = dup(must(ronbus_bus_fd(actors->buses[i]), "bus_fd"));

		must(ronbus_adopt(fd, &mine.buses[i]), "adopt");
	}
	act(&mine, fn, self);
	_exit(0);
}

static void start_processes(struct actors *actors, actor_fn fn)
{
	unsigned int i;

	/* What is in the buffers is the parent's to write. */
	fflush(NULL);
	for (i = 0; i < actors->count; i++) {
		actors->pids[i] = fork();
		if (actors->pids[i] < 0)
			die("cannot start a process");
		if (!actors->pids[i])
			process_main(actors, fn, i);
	}
}

void actors_start(struct actors *actors, actor_fn fn)
{
	uint64_t limit = now_ns() + PATIENCE_NS;

	actors->shared = mmap(NULL, sizeof(*actors->shared), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (actors->shared == MAP_FAILED)
		die("no memory");
	if (settings.device)
		start_processes(actors, fn);
	else
		start_threads(actors, fn);
	while (__atomic_load_n(&actors->shared->ready, __ATOMIC_ACQUIRE) < actors->count) {
		if (now_ns() > limit)
			die("the readers do not get ready");
		nap(50000);
	}
}

static void join_all(struct actors *actors)
{
	unsigned int i;
	int status;

	for (i = 0; i < actors->count; i++) {
		if (!settings.device) {
			pthread_join(actors->threads[i].thread, NULL);
			continue;
		}
		if (waitpid(actors->pids[i], &status, 0) < 0 || status)
			die("a process that was to read has failed");
	}
}

struct usage actors_join_each(struct actors *actors, uint64_t *got)
{
	struct usage sum = { 0 };
	unsigned int i;

	join_all(actors);
	for (i = 0; i < actors->count; i++) {
		sum.cpu_ns += actors_seat(actors, i)->usage.cpu_ns;
		sum.switches += actors_seat(actors, i)->usage.switches;
		sum.got += actors_seat(actors, i)->usage.got;
		got[i] = actors_seat(actors, i)->usage.got;
	}
	munmap(actors->shared, sizeof(*actors->shared));
	free(actors->threads);
	actors->threads = NULL;
	return sum;
}

struct usage actors_join(struct actors *actors)
{
	uint64_t got[ACTORS_MOST];

	return actors_join_each(actors, got);
}

/* ---- a bus with actors ---------------------------------------------------------------- */

bool stage_open(struct stage *stage, struct cell *cell, actor_fn fn)
{
	struct actors *actors = &stage->actors;

	actors->buses[0] = bus_create(cell);
	if (!actors->buses[0])
		return false;
	actors->nr_buses = 1;
	actors->payload = cell->payload;
	actors->sleeping = true;
	actors->count = cell->subscribers;
	actors_start(actors, fn);
	topology_pin(&settings.cpus, 0);
	must(ronbus_publisher(actors->buses[0], cell->pub_flags, &stage->pub), "publisher");
	return true;
}

struct usage stage_end(struct stage *stage)
{
	ronbus_pub_close(stage->pub);
	return actors_join(&stage->actors);
}

void stage_close(struct stage *stage, struct cell *cell)
{
	bus_count(cell, stage->actors.buses[0]);
	ronbus_close(stage->actors.buses[0]);
}
