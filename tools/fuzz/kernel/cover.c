// SPDX-License-Identifier: GPL-2.0
/*
 * cover.c - what of the module has been run
 *
 * A module that is built for the fuzzer tells it (hooks/). With one that is not, a call with a
 * result that it never had stands for something new, which is much less, and better than nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "hooks/hooks.h"

#define STALL_LOOKS 100000U
#define JITTER_LOOKS 3000U
#define STALL_TURNS 400U
#define JITTER_TURNS 3U
#define TRIES 24U
#define KNOWN 30U

_Static_assert(sizeof(struct recent) * WORKERS <= HOOK_BOX, "a box for all workers");
_Static_assert(WORKERS *THREADS <= HOOK_TASKS && THREADS == HOOK_GROUP, "a trace for each thread");

static struct hook_shared *hooks;
static struct recent *recent;
static int device = -1;

/* Without hooks. */
static uint8_t *result_seen;
static atomic_uint *edges;

/* By place: how often a thread was held up there. */
static uint16_t *stalls;

/* Where the module's code begins. It is loaded in one piece. */
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

static bool open_hooks(bool turns)
{
	void *at;

	device = open("/dev/" HOOK_DEVICE, O_RDWR | O_CLOEXEC);
	if (device < 0)
		return false;
	at = mmap(NULL, sizeof(*hooks), PROT_READ | PROT_WRITE, MAP_SHARED, device, 0);
	if (at == MAP_FAILED)
		return false;
	hooks = at;
	hooks->turns = turns;
	hooks->stall_looks = turns ? STALL_TURNS : STALL_LOOKS;
	hooks->jitter_looks = turns ? JITTER_TURNS : JITTER_LOOKS;
	hooks->text = module_text();
	return true;
}

bool cover_open(bool turns)
{
	edges = share(sizeof(*edges));
	stalls = share(HOOK_PLACES * sizeof(*stalls));
	if (!open_hooks(turns)) {
		recent = share(sizeof(*recent) * WORKERS);
		result_seen = share(HOOK_EDGES);
		return false;
	}
	recent = (struct recent *)hooks->box;
	hooks->box_used = WORKERS * sizeof(*recent);
	return true;
}

bool cover_there(void)
{
	return hooks;
}

struct recent *cover_recent(void)
{
	return recent;
}

static struct hook_trace *trace_of(unsigned int worker, unsigned int thread)
{
	return &hooks->traces[worker * THREADS + thread];
}

void cover_thread(unsigned int worker, unsigned int thread)
{
	if (hooks)
		ioctl(device, HOOK_IOC_TRACE, worker * THREADS + thread);
}

/* ---- a run ----------------------------------------------------------------------------- */

static void begin_trace(struct hook_trace *trace)
{
	trace->last = 0;
	trace->steps = 0;
	trace->stall_at = 0;
	trace->count = 0;
}

void cover_begin(unsigned int worker, const struct program *program)
{
	unsigned int i;

	if (!hooks)
		return;
	for (i = 0; i < THREADS; i++)
		begin_trace(trace_of(worker, i));
	for (i = 0; i < HOOK_CPUS; i++)
		begin_trace(&hooks->traces[HOOK_TASKS + i]);
	hooks->jitter = program->jitter;
}

void cover_round(unsigned int worker, const struct program *program, unsigned int round)
{
	unsigned int i;

	if (!hooks)
		return;
	for (i = 0; i < THREADS; i++) {
		trace_of(worker, i)->steps = 0;
		trace_of(worker, i)->stall_at = 0;
	}
	trace_of(worker, 0)->busy = program->threads;
	for (i = 0; i < STALLS; i++) {
		const struct stall *stall = &program->stall[i];
		struct hook_trace *trace = trace_of(worker, stall->thread % program->threads);

		if (!stall->at)
			continue;
		trace->stall_for = stall->others;
		trace->stall_at = stall->at + round * stall->stride;
	}
}

unsigned int cover_steps(unsigned int worker, unsigned int thread)
{
	return hooks ? trace_of(worker, thread)->steps : 0;
}

void cover_through(unsigned int worker)
{
	if (hooks)
		__atomic_fetch_sub(&trace_of(worker, 0)->busy, 1, __ATOMIC_RELAXED);
}

static unsigned int place_of(const struct hook_trace *trace, unsigned int step)
{
	return (trace->path[step] & ~HOOK_POINT) % HOOK_PLACES;
}

static unsigned int steps_known(const struct hook_trace *trace)
{
	return trace->steps < HOOK_PATH ? trace->steps : HOOK_PATH;
}

/*
 * A step is a place in the code, and some places are steps a hundred times a call: one that threads
 * were seldom held up at is the better choice; and mostly a point, between two of which the others
 * see no difference.
 */
unsigned int cover_choose_step(unsigned int worker, unsigned int thread)
{
	const struct hook_trace *trace;
	unsigned int steps, best = 0, tries;
	bool any = !dice_below(4);

	if (!hooks)
		return 0;
	trace = trace_of(worker, thread);
	steps = steps_known(trace);
	for (tries = 0; steps && tries < TRIES; tries++) {
		unsigned int step = dice_below(steps);

		if (!any && !(trace->path[step] & HOOK_POINT))
			continue;
		if (!best || stalls[place_of(trace, step)] < stalls[place_of(trace, best - 1)])
			best = step + 1;
	}
	if (best)
		stalls[place_of(trace, best - 1)]++;
	return best;
}

/* There may be no time for all of them. */
static void shuffle(uint16_t step[STEPS_MOST], unsigned int count)
{
	unsigned int i, other;
	uint16_t was;

	for (i = 1; i < count; i++) {
		other = dice_below(i + 1);
		was = step[i];
		step[i] = step[other];
		step[other] = was;
	}
}

unsigned int cover_all_steps(unsigned int worker, unsigned int thread, bool all,
			     uint16_t step[STEPS_MOST])
{
	static uint8_t seen[HOOK_PLACES];
	const struct hook_trace *trace;
	unsigned int steps, i, n = 0;

	if (!hooks)
		return 0;
	trace = trace_of(worker, thread);
	steps = steps_known(trace);
	memset(seen, 0, sizeof(seen));
	for (i = 0; i < steps && n < STEPS_MOST; i++) {
		unsigned int place = place_of(trace, i);

		if (seen[place] || !(trace->path[i] & HOOK_POINT))
			continue;
		seen[place] = 1;
		if (!all && stalls[place] > KNOWN && dice_below(8))
			continue;
		stalls[place]++;
		step[n++] = (uint16_t)(i + 1);
	}
	shuffle(step, n);
	return n;
}

/* ---- what is new ----------------------------------------------------------------------- */

static bool mark(uint8_t *seen, uint32_t edge, bool keep)
{
	if (seen[edge % HOOK_EDGES])
		return false;
	if (keep) {
		seen[edge % HOOK_EDGES] = 1;
		atomic_fetch_add(edges, 1);
	}
	return true;
}

static unsigned int new_of_trace(const struct hook_trace *trace, bool keep)
{
	unsigned int i, found = 0;

	for (i = 0; i < trace->count && i < HOOK_FRESH; i++)
		found += mark(hooks->edges, trace->fresh[i], keep);
	return found;
}

/* What a call did, as far as its result says. */
static unsigned int new_of_results(const struct program *program, const int results[CALLS_MOST],
				   bool keep)
{
	unsigned int i, found = 0;

	for (i = 0; i < program->count; i++) {
		uint32_t result = results[i] < 0   ? (uint32_t)-results[i]
				  : results[i] > 0 ? 0x100
						   : 0;

		found += mark(result_seen, (program->call[i].what + 1U) << 9 | (result & 0x1ff),
			      keep);
	}
	return found;
}

unsigned int cover_new(unsigned int worker, const struct program *program,
		       const int results[CALLS_MOST], bool keep)
{
	unsigned int i, found = 0;

	if (!hooks)
		return new_of_results(program, results, keep);
	for (i = 0; i < program->threads; i++)
		found += new_of_trace(trace_of(worker, i), keep);
	for (i = 0; i < HOOK_CPUS; i++)
		found += new_of_trace(&hooks->traces[HOOK_TASKS + i], keep);
	return found;
}

unsigned int cover_edges(void)
{
	return atomic_load(edges);
}

unsigned int cover_places(void)
{
	unsigned int i, places = 0;

	for (i = 0; hooks && i < HOOK_PLACES; i++)
		places += hooks->places[i];
	return places;
}

/* Offsets in .text: of what the call to the hook returns to. */
void cover_print(FILE *to)
{
	unsigned int i;

	for (i = 0; hooks && i < HOOK_PLACES; i++)
		if (hooks->places[i])
			fprintf(to, "pc %#x\n", i);
}
