// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * quiet.c - is the machine ours, or do others slow it down?
 */
#include <sys/resource.h>
#include <unistd.h>

#include "common.h"
#include "quiet.h"

#define ROUNDS 4096U
#define TOLERANCE 1.2 /* a busy other thread of the core costs more */
#define NAP_NS 2000000ULL
#define WAIT_MOST_NS 500000000.0 /* for a visit */
#define WAIT_SHARE 1.0 /* of the time that was not waited: a run takes twice as long at most */

struct quiet quiet;

/* ---- others on this machine ----------------------------------------------------------- */

unsigned long long quiet_busy(const char *stat)
{
	unsigned long long user, nice, system, idle, iowait, irq, softirq, steal = 0;

	if (sscanf(stat, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system,
		   &idle, &iowait, &irq, &softirq, &steal) < 7)
		return 0;
	return user + nice + system + irq + softirq + steal;
}

static double busy_now(void)
{
	FILE *file = fopen("/proc/stat", "re");
	char line[256] = "";

	if (!file)
		return 0;
	if (!fgets(line, sizeof(line), file))
		*line = '\0';
	fclose(file);
	return (double)quiet_busy(line) / (double)sysconf(_SC_CLK_TCK);
}

static double seconds_of(const struct rusage *usage)
{
	return (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) +
	       (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) / 1e6;
}

/* This process, and those it has started and seen end. */
static double own_now(void)
{
	struct rusage self, children;

	if (getrusage(RUSAGE_SELF, &self) || getrusage(RUSAGE_CHILDREN, &children))
		die("getrusage failed");
	return seconds_of(&self) + seconds_of(&children);
}

/* Since the beginning, and in all: seconds of CPUs. */
static struct {
	double busy;
	double own;
	uint64_t begin;
	double others;
	double there;
} share;

void quiet_begin(void)
{
	share.busy = busy_now();
	share.own = own_now();
	share.begin = now_ns();
}

void quiet_end(void)
{
	double others = (busy_now() - share.busy) - (own_now() - share.own);
	double there =
		(double)(now_ns() - share.begin) / 1e9 * (double)sysconf(_SC_NPROCESSORS_ONLN);

	share.others += others > 0 ? others : 0;
	share.there += there;
	quiet.others = share.there > 0 ? share.others / share.there : 0;
}

/* ---- the other thread of the core ----------------------------------------------------- */

/* Four chains that do not wait for each other, so that the core is busy and waits for nothing. */
double quiet_work(void)
{
	uint64_t a = 1, b = 2, c = 3, d = 4, start = now_ns();
	unsigned int i;

	for (i = 0; i < ROUNDS; i++) {
		a = a * 3 + (a >> 7);
		b = b * 5 + (b >> 9);
		c = c * 7 + (c >> 11);
		d = d * 9 + (d >> 13);
	}
	__asm__ volatile("" ::"r"(a), "r"(b), "r"(c), "r"(d));
	return (double)(now_ns() - start);
}

bool quiet_says(double *least, double now)
{
	if (!(*least > 0) || now < *least)
		*least = now;
	return now < TOLERANCE * *least;
}

/* The better of two: an interrupt is over in no time. */
bool quiet_now(void)
{
	static double least;
	bool first = quiet_says(&least, quiet_work());

	return quiet_says(&least, quiet_work()) || first;
}

bool quiet_wait(void)
{
	static uint64_t begin;
	uint64_t start = now_ns();
	bool ret;

	if (!begin)
		begin = start;
	while (!(ret = quiet_now())) {
		double waited = (double)(now_ns() - start), all = quiet.waited_ns + waited;

		if (waited > WAIT_MOST_NS ||
		    all > WAIT_SHARE * ((double)(start - begin) - quiet.waited_ns))
			break;
		nap(NAP_NS);
	}
	quiet.waited_ns += (double)(now_ns() - start);
	return ret;
}
