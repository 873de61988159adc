/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * frozen.h - baselines: results that were kept under a name, and what has changed since
 */
#ifndef RONBUS_BENCH_FROZEN_H
#define RONBUS_BENCH_FROZEN_H

#include <jansson.h>

#include "cell.h"
#include "verdict.h"

/**
 * struct change - a series beside the one of the baseline
 * @cell: of this run
 * @series: of @cell
 * @then: median of the baseline
 * @now: median of this run
 * @ratio: now to then, of a cost, with its interval
 * @threshold: up to where it is noise
 * @verdict: what that says
 */
struct change {
	const struct cell *cell;
	const struct series *series;
	double then;
	double now;
	struct interval ratio;
	double threshold;
	enum verdict verdict;
};

/**
 * struct changes - all of them
 * @changes: one for each series that was measured
 * @count: how many
 * @name: of the baseline
 * @drift: what loops that do not use ronbus differ by between the two runs
 * @drift_handoff: and two threads that wake each other
 * @others: the larger share of the CPUs that others had in one of the two runs
 */
struct changes {
	struct change *changes;
	size_t count;
	const char *name;
	double drift;
	double drift_handoff;
	double others;
};

/* The file of baseline @name in @directory; false if there cannot be such a name. */
bool frozen_path(const char *directory, const char *name, char *path, size_t size);

/**
 * frozen_load() - read a baseline
 * @path: its file
 * @machine: this machine
 * @force: also one of another machine
 *
 * Return: the baseline, which the caller owns; NULL, and a complaint, if there is none, or if it is
 * of another machine.
 */
json_t *frozen_load(const char *path, const json_t *machine, bool force);

/* Put the result @frozen into the file @path; false, and a complaint, if not. */
bool frozen_save(const char *path, const json_t *frozen);

/* Fill @samples with those of a series; false if the baseline has none. */
bool frozen_samples(const json_t *frozen, const char *cell, const char *series,
		    struct samples *samples);

/**
 * frozen_compare() - compare a run with a baseline
 * @frozen: the baseline
 * @name: its name
 * @cells: the run, summarized
 * @changes: filled; the first time all zero
 *
 * What loops without ronbus differ by is noise, and what the two halves of each run differ by, of
 * cells that are measured in the same way. A change that is not clear of it is none. Where others had
 * part of the CPUs, nothing is said of cells with more than one thread.
 */
void frozen_compare(const json_t *frozen, const char *name, const struct cells *cells,
		    struct changes *changes);

/* Mark in @wanted the cells that have a verdict to be confirmed; returns how many. */
size_t changes_doubtful(const struct changes *changes, const struct cells *cells, bool *wanted);

/* The cells have been measured again, as @again says: keep the verdicts that are the same. */
void changes_confirm(struct changes *changes, const struct changes *again);

bool changes_regressed(const struct changes *changes);
void changes_free(struct changes *changes);

#endif /* RONBUS_BENCH_FROZEN_H */
