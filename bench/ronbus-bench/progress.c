// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * progress.c - how far it is, on a line of the terminal that does not stay
 */
#include "common.h"
#include "progress.h"

#define REFRESH_NS 200000000ULL

bool progress_wanted;

static struct {
	const char *what;
	size_t steps;
	size_t done;
	uint64_t begun;
	uint64_t shown;
} progress;

void progress_begin(const char *what, size_t steps)
{
	progress.what = what;
	progress.steps = steps;
	progress.done = 0;
	progress.begun = now_ns();
	progress.shown = 0;
}

/* Steps take about the same time: those to come as long as those that were. */
static unsigned int seconds_left(uint64_t now)
{
	if (!progress.done)
		return 0;
	return (unsigned int)((double)(now - progress.begun) / (double)progress.done *
			      (double)(progress.steps - progress.done) / 1e9);
}

void progress_step(const char *name)
{
	uint64_t now = now_ns();
	unsigned int left = seconds_left(now);

	if (progress_wanted && progress.steps && now - progress.shown > REFRESH_NS) {
		fprintf(stderr, "\r\033[K%s: %3zu %%, %u:%02u left, %.60s", progress.what,
			100 * progress.done / progress.steps, left / 60, left % 60, name);
		progress.shown = now;
	}
	progress.done++;
}

void progress_end(void)
{
	if (progress_wanted)
		fputs("\r\033[K", stderr);
}
