// SPDX-License-Identifier: MIT
/*
 * service.c - three small services: something for a supervisor to look after
 *
 * They do a little real work again and again, and know nothing of the bus. One has a bug.
 */
#include "demo.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>

static volatile __u64 result; /* nobody asks for it */

/* How busy is the machine? */
static void meter(void)
{
	FILE *f = fopen("/proc/stat", "re");
	unsigned long long user, nice, system;

	if (!f)
		return;
	if (fscanf(f, "cpu %llu %llu %llu", &user, &nice, &system) == 3)
		result = user + nice + system;
	fclose(f);
}

/* How many processes are there? */
static void walker(void)
{
	DIR *dir = opendir("/proc");
	const struct dirent *entry;
	__u64 processes = 0;

	if (!dir)
		return;
	while ((entry = readdir(dir)))
		processes += entry->d_name[0] >= '1' && entry->d_name[0] <= '9';
	result = processes;
	closedir(dir);
}

static volatile sig_atomic_t corrupted;

static void corrupt(int sig)
{
	(void)sig;
	corrupted = 1;
}

/* Is this program still what it was? (FNV-1a of its beginning) */
__attribute__((no_sanitize("undefined"))) static void hasher(void)
{
	__u64 *volatile nowhere = NULL;
	FILE *f = fopen("/proc/self/exe", "re");
	__u64 hash = 0xcbf29ce484222325ULL;
	int i, c;

	/* The bug: bad work makes it follow a null pointer. */
	if (corrupted) {
		prctl(PR_SET_DUMPABLE, 0); /* no core file of a demo */
		*nowhere = hash;
	}
	if (!f)
		return;
	for (i = 0; i < 65536 && (c = getc_unlocked(f)) != EOF; i++)
		hash = (hash ^ (unsigned char)c) * 0x100000001b3ULL;
	result = hash;
	fclose(f);
}

static const struct {
	const char *name;
	void (*work)(void);
} services[SERVICES] = {
	[SERVICE_METER] = { "meter", meter },
	[SERVICE_WALKER] = { "walker", walker },
	[SERVICE_HASHER] = { "hasher", hasher },
};

const char *service_name(unsigned int service)
{
	return service < SERVICES ? services[service].name : "?";
}

int service_run(const void *service)
{
	const struct timespec pause = { .tv_nsec = 50000000 };
	unsigned int i = ((const struct service *)service)->number;

	signal(SIGUSR1, corrupt);
	for (;;) {
		services[i].work();
		nanosleep(&pause, NULL);
	}
}
