// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * run.c - visit the cells, turn after turn
 */
#include <unistd.h>

#include "progress.h"
#include "quiet.h"
#include "run.h"

/* ---- one visit ------------------------------------------------------------------------ */

static void sample(struct cell *cell, void *state)
{
	double values[SERIES_MOST];
	unsigned int i;

	cell->ops->sample(cell, state, values);
	for (i = 0; i < cell->nr_series; i++)
		samples_add(&cell->series[i].samples, values[i]);
}

static void warm_up(struct cell *cell, void *state)
{
	uint64_t end = now_ns() + settings.warm_ns;
	double values[SERIES_MOST];

	do {
		cell->ops->sample(cell, state, values);
	} while (now_ns() < end);
}

static void sample_turn(struct cell *cell, void *state)
{
	unsigned int n = 0;
	uint64_t end;

	warm_up(cell, state);
	end = now_ns() + settings.turn_ns;
	while (n < settings.samples_most && (n < settings.samples_least || now_ns() < end)) {
		sample(cell, state);
		n++;
	}
}

static void visit_once(struct cell *cell)
{
	void *state = NULL;
	unsigned int i;

	if (cell->ops->setup) {
		state = cell->ops->setup(cell);
		if (!state)
			return;
	}
	for (i = 0; i < cell->nr_series; i++)
		samples_turn(&cell->series[i].samples);
	if (cell->ops->turn)
		cell->ops->turn(cell, state);
	else
		sample_turn(cell, state);
	if (cell->ops->teardown)
		cell->ops->teardown(cell, state);
}

static void forget_turn(struct cell *cell)
{
	unsigned int i;

	for (i = 0; i < cell->nr_series; i++)
		samples_forget_turn(&cell->series[i].samples);
}

/*
 * Samples that were taken while others slowed the machine down are not kept, if there are better ones.
 * Latencies are kept always: with them the rare values are the interesting ones.
 */
#define TRIES 3U

static void visit(struct cell *cell)
{
	unsigned int tries;

	for (tries = 1;; tries++) {
		struct ronbus_counters counters = cell->counters;
		bool before = quiet_wait();

		visit_once(cell);
		if (cell->ops->turn || *cell->skipped || (before && quiet_now()))
			return;
		if (!before || tries == TRIES)
			break;
		forget_turn(cell);
		cell->counters = counters;
		quiet.repeated++;
	}
	quiet.disturbed++;
}

/*
 * Where the stack lies within a page is drawn once for a process. Where a line of it is as far into
 * its page as one of the ring or of a handle is, a store to the one may hold up loads of the other: in
 * that process, for that cell, in each turn. So each turn has its stack elsewhere, and what is luck is
 * seen within a run. Steps of about the golden section of a page are spread evenly over it, however many
 * there are.
 */
#define LINE 64U
#define LINES_A_PAGE 64U
#define STEP 39U

static NOINLINE void visit_displaced(struct cell *cell, unsigned int turn)
{
	volatile char *room = __builtin_alloca(1 + turn * STEP % LINES_A_PAGE * LINE);

	*room = 0;
	visit(cell);
}

/* ---- all of them ---------------------------------------------------------------------- */

static unsigned int turns_of(const struct cells *cells, const bool *wanted)
{
	unsigned int most = 0;
	size_t i;

	for (i = 0; i < cells->count; i++)
		if ((!wanted || wanted[i]) && cells->cells[i].turns > most)
			most = cells->cells[i].turns;
	return most;
}

/* How many visits there are in all. */
static size_t visits_of(const struct cells *cells, const bool *wanted)
{
	size_t i, visits = 0;

	for (i = 0; i < cells->count; i++)
		if (!wanted || wanted[i])
			visits += cells->cells[i].turns;
	return visits;
}

static void one_turn(struct cells *cells, const bool *wanted, unsigned int turn)
{
	size_t n;

	for (n = 0; n < cells->count; n++) {
		size_t i = turn % 2 ? cells->count - 1 - n : n;
		struct cell *cell = &cells->cells[i];

		if ((wanted && !wanted[i]) || turn >= cell->turns)
			continue;
		progress_step(cell->name);
		if (!*cell->skipped)
			visit_displaced(cell, turn);
	}
}

void run_cells(struct cells *cells, const bool *wanted)
{
	unsigned int turn, turns = turns_of(cells, wanted);

	quiet_begin();
	progress_begin("measuring", visits_of(cells, wanted));
	for (turn = 0; turn < turns; turn++)
		one_turn(cells, wanted, turn);
	progress_end();
	quiet_end();
}
