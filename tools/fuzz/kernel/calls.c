// SPDX-License-Identifier: GPL-2.0
/*
 * calls.c - the table of what a program can do
 *
 * First the ioctls of the description, then all else that can be done with an fd and a mapping, and
 * to the process around them.
 */
#include <string.h>

#include "moves.h"

/* Those that cost much are made seldom: a weight of one is a call in a thousand. */
static const struct move {
	const char *name;
	unsigned int weight;
	enum role takes;
	enum role gives;
	unsigned int arguments;
	int (*run)(const struct call *call);
} moves[] = {
	{ "mmap", 8, ROLE_RONBUS_ANY, ROLE_NONE, 4, run_mmap },
	{ "poke", 70, ROLE_NONE, ROLE_NONE, 4, run_poke },
	{ "fill", 6, ROLE_NONE, ROLE_NONE, 1, run_fill },
	{ "put", 50, ROLE_RONBUS_PUB, ROLE_NONE, 3, run_put },
	{ "read", 60, ROLE_RONBUS_SUB, ROLE_NONE, 3, run_read },
	{ "close", 30, ROLE_RONBUS_ANY, ROLE_NONE, 0, run_close },
	{ "poll", 25, ROLE_RONBUS_SUB, ROLE_NONE, 1, run_poll },
	{ "epoll", 16, ROLE_RONBUS_SUB, ROLE_NONE, 1, run_epoll },
	{ "eventfd", 6, ROLE_NONE, ROLE_EVENT, 1, run_eventfd },
	{ "uring", 25, ROLE_RONBUS_ANY, ROLE_NONE, 5, run_uring },
	{ "bpf", 30, ROLE_RONBUS_ANY, ROLE_NONE, 3, run_bpf },
	{ "munmap", 8, ROLE_NONE, ROLE_NONE, 1, run_munmap },
	{ "mprotect", 4, ROLE_NONE, ROLE_NONE, 1, run_mprotect },
	{ "mremap", 2, ROLE_NONE, ROLE_NONE, 1, run_mremap },
	{ "madvise", 3, ROLE_NONE, ROLE_NONE, 1, run_madvise },
	{ "mlock", 2, ROLE_NONE, ROLE_NONE, 1, run_mlock },
	{ "procmem", 2, ROLE_NONE, ROLE_NONE, 1, run_procmem },
	{ "write", 2, ROLE_RONBUS_ANY, ROLE_NONE, 2, run_write },
	{ "dup", 6, ROLE_RONBUS_ANY, ROLE_NONE, 0, run_dup },
	{ "fdinfo", 3, ROLE_RONBUS_ANY, ROLE_NONE, 0, run_fdinfo },
	{ "pass", 1, ROLE_RONBUS_ANY, ROLE_NONE, 1, run_pass },
	{ "user", 8, ROLE_NONE, ROLE_NONE, 1, run_user },
	{ "limit", 6, ROLE_NONE, ROLE_NONE, 2, run_limit },
	{ "sleep", 6, ROLE_NONE, ROLE_NONE, 1, run_sleep },
	{ "fork", 0, ROLE_NONE, ROLE_NONE, 2, run_fork },
	{ "trace", 0, ROLE_NONE, ROLE_NONE, 1, run_trace },
};

/* Of ioctls that are not like the others. */
static const struct {
	const char *name;
	unsigned int weight;
} weights[] = {
	{ "RONBUS_IOC_QUERY", 2 },	  { "RONBUS_IOC_CREATE", 8 },
	{ "RONBUS_IOC_ATTACH", 8 },	  { "RONBUS_IOC_PUBLISHER", 10 },
	{ "RONBUS_IOC_SUBSCRIBE", 15 },	  { "RONBUS_IOC_SEAL", 4 },
	{ "RONBUS_IOC_INFO", 4 },	  { "RONBUS_IOC_STATS", 8 },
	{ "RONBUS_IOC_PUBLISH", 80 },	  { "RONBUS_IOC_ARM", 60 },
	{ "RONBUS_IOC_COALESCE", 40 },	  { "RONBUS_IOC_NOTIFY", 30 },
	{ "RONBUS_IOC_SET_EVENTFD", 12 },
};

unsigned int calls_count(void)
{
	return ioctls_count() + ARRAY_SIZE(moves);
}

static const struct move *move_of(unsigned int what)
{
	return what < ioctls_count() ? NULL : &moves[what - ioctls_count()];
}

const char *call_name(unsigned int what)
{
	const struct move *move = move_of(what);

	return move ? move->name : ioctl_name(what);
}

unsigned int call_find(const char *name)
{
	unsigned int what;

	for (what = 0; what < calls_count() && strcmp(name, call_name(what)); what++)
		;
	return what;
}

unsigned int call_weight(unsigned int what)
{
	const struct move *move = move_of(what);
	unsigned int i;

	if (move)
		return move->weight;
	for (i = 0; i < ARRAY_SIZE(weights); i++)
		if (!strcmp(weights[i].name, ioctl_name(what)))
			return weights[i].weight;
	return 20;
}

enum role call_takes(unsigned int what)
{
	const struct move *move = move_of(what);

	return move ? move->takes : ioctl_takes(what);
}

enum role call_gives(unsigned int what)
{
	const struct move *move = move_of(what);

	return move ? move->gives : ioctl_gives(what);
}

bool call_is_ioctl(unsigned int what)
{
	return !move_of(what);
}

bool call_maps(unsigned int what)
{
	const struct move *move = move_of(what);

	return move && move->run == run_mmap;
}

bool call_sleeps(unsigned int what)
{
	const struct move *move = move_of(what);

	return move ? move->run == run_read : !strcmp(ioctl_name(what), "RONBUS_IOC_WAIT");
}

bool call_is_silent(unsigned int what)
{
	static int (*const silent[])(const struct call *call) = { run_poke,    run_fill, run_put,
								  run_procmem, run_bpf,	 run_fork,
								  run_uring,   run_pass };
	const struct move *move = move_of(what);
	unsigned int i;

	for (i = 0; move && i < ARRAY_SIZE(silent); i++)
		if (move->run == silent[i])
			return true;
	return false;
}

/*
 * What others cannot make dearer, many times what was seen. A call that makes a file may close the
 * one that was in its place, and with it a bus.
 */
unsigned int call_bound(unsigned int what)
{
	static const struct {
		const char *name;
		unsigned int steps;
	} bounds[] = {
		{ "RONBUS_IOC_STATS", 5000 },
		{ "RONBUS_IOC_NOTIFY", 5000 },
		{ "RONBUS_IOC_PUBLISH", 1000000 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bounds); i++)
		if (!strcmp(call_name(what), bounds[i].name))
			return bounds[i].steps;
	return 0;
}

unsigned int call_arguments(unsigned int what)
{
	const struct move *move = move_of(what);

	return move ? move->arguments : ARGUMENTS;
}

uint64_t call_argument(unsigned int what, unsigned int i)
{
	if (!move_of(what))
		return ioctl_argument(what, i);
	return dice_below(3) ? dice_value() : dice() >> 16;
}

void call_mend(struct call *call)
{
	if (!move_of(call->what))
		ioctl_mend(call->what, call->argument);
}

int call_run(const struct call *call)
{
	const struct move *move = move_of(call->what);

	return move ? move->run(call) : ioctl_run(call->what, call);
}
