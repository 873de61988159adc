// SPDX-License-Identifier: GPL-2.0
/*
 * cover.c - what of the module has been run
 *
 * KCOV gives the places that a thread came by in the kernel. Those in the module count: an edge is
 * two of them one behind the other. On a kernel without KCOV a call with a result it never had
 * stands for something new, which is much less, and better than nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/kcov.h>

#include "fuzz.h"

#define ENTRIES (64U << 10)

static struct kcov {
	int fd;
	volatile uint64_t *entries; /* [0] says how many follow */
} kcovs[THREADS];

static bool usable;
static uint64_t text;

/* Where the module's code begins. It is loaded in one piece: what is near enough belongs to it. */
static uint64_t module_text(void)
{
	FILE *from = fopen("/sys/module/ronbus/sections/.text", "r");
	uint64_t address = 0;

	if (!from)
		return 0;
	if (fscanf(from, "%" SCNx64, &address) != 1)
		address = 0;
	fclose(from);
	return address;
}

bool cover_open(void)
{
	unsigned int i;

	text = module_text();
	usable = text != 0;
	for (i = 0; i < THREADS && usable; i++) {
		void *at;

		kcovs[i].fd = open("/sys/kernel/debug/kcov", O_RDWR | O_CLOEXEC);
		usable = kcovs[i].fd >= 0 && !ioctl(kcovs[i].fd, KCOV_INIT_TRACE, ENTRIES);
		if (!usable)
			break;
		at = mmap(NULL, ENTRIES * sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED,
			  kcovs[i].fd, 0);
		usable = at != MAP_FAILED;
		kcovs[i].entries = at;
	}
	return usable;
}

void cover_thread_begin(unsigned int thread)
{
	if (!usable)
		return;
	kcovs[thread].entries[0] = 0;
	ioctl(kcovs[thread].fd, KCOV_ENABLE, KCOV_TRACE_PC);
}

void cover_thread_end(unsigned int thread)
{
	if (usable)
		ioctl(kcovs[thread].fd, KCOV_DISABLE, 0);
}

static bool mark(struct cover *cover, uint64_t from, uint64_t to, bool keep)
{
	uint32_t hash = (uint32_t)((from * 0x9e3779b1u ^ to) * 0x85ebca6bu) >> 16;

	if (cover->edges[hash])
		return false;
	if (keep) {
		cover->edges[hash] = 1;
		cover->nr_edges++;
	}
	return true;
}

static unsigned int new_of_kcov(struct cover *cover, const struct kcov *kcov, bool keep)
{
	uint64_t i, count = kcov->entries[0], last = 0;
	unsigned int found = 0;

	for (i = 1; i <= count && i < ENTRIES; i++) {
		uint64_t at = kcov->entries[i] - text;

		if (at >= PCS)
			continue;
		if (!cover->pcs[at]) {
			cover->pcs[at] = 1;
			cover->nr_pcs++;
		}
		found += mark(cover, last, at, keep);
		last = at;
	}
	return found;
}

/* What a call did, as far as its result says. */
static unsigned int new_of_results(struct cover *cover, const struct program *program,
				   const int results[CALLS_MOST], bool keep)
{
	unsigned int i, found = 0;

	for (i = 0; i < program->count; i++)
		found += mark(cover, program->call[i].what + 1,
			      results[i] < 0   ? (uint64_t)-results[i]
			      : results[i] > 0 ? 0x1000
					       : 0,
			      keep);
	return found;
}

unsigned int cover_new(struct cover *cover, const struct program *program,
		       const int results[CALLS_MOST], bool keep)
{
	unsigned int found;

	if (!usable)
		return new_of_results(cover, program, results, keep);
	found = new_of_kcov(cover, &kcovs[0], keep);
	if (program->threads)
		found += new_of_kcov(cover, &kcovs[1], keep);
	return found;
}

/* Offsets in .text, as KCOV tells them: behind the call that it makes. */
void cover_print(const struct cover *cover, FILE *to)
{
	unsigned int i;

	for (i = 0; i < PCS; i++)
		if (cover->pcs[i])
			fprintf(to, "pc %#x\n", i);
}
