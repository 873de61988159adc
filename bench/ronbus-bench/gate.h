/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * gate.h - comparisons of cells of one run: features on against off, ronbus beside its peers
 */
#ifndef RONBUS_BENCH_GATE_H
#define RONBUS_BENCH_GATE_H

#include "cell.h"

/**
 * enum gate_kind - what is asked of a comparison
 * @GATE_GAIN: the cost of @on is at least @bound percent below that of @off
 * @GATE_COST: the cost of @on is at most @bound percent above that of @off
 * @GATE_BEST: the cost of @on is not above that of the best of those whose names begin with @off,
 *	but for noise of @bound percent
 * @GATE_SHARE: at least @bound percent of the wake-ups of @on are suppressed; 0 is for information
 * @GATE_RATIO: the cost of @on is at most @bound times that of @off, if there is such a cell, or of
 *	the best of those that are peers and whose names begin with @off
 * @GATE_MOST: the cost of @on is at most @bound, in the unit of the series
 * @GATE_INFO: nothing: the gain is for information
 * @GATE_VERSUS: nothing: how many times the cost of @on the cost of @off, a peer, is
 */
enum gate_kind {
	GATE_GAIN,
	GATE_COST,
	GATE_BEST,
	GATE_SHARE,
	GATE_RATIO,
	GATE_MOST,
	GATE_INFO,
	GATE_VERSUS,
};

enum gate_result {
	RESULT_NONE,
	RESULT_PASS,
	RESULT_MISS,
	RESULT_UNSURE
};

/**
 * struct gate - a comparison and what came of it
 * @name: what it is called in the table
 * @kind: what is asked
 * @on: name of a cell
 * @off: name of another, or the beginning of the names of several
 * @series: of both
 * @quantile: what is compared
 * @bound: what is asked, in percent or as a ratio
 * @except: engines whose names begin like this do not count as the best; NULL: all do
 * @shares: among how many the cost of @on is shared, for one share of which it counts; 0 is 1
 * @value: result, in percent or as a ratio
 * @on_value: of @on
 * @off_value: of @off
 * @against: name of the cell that it was compared with
 * @note: more about it
 * @result: whether it is what is asked
 */
struct gate {
	char name[NAME_SIZE];
	enum gate_kind kind;
	char on[NAME_SIZE];
	char off[NAME_SIZE];
	const char *series;
	double quantile;
	double bound;
	const char *except;
	unsigned int shares;
	struct interval value;
	double on_value;
	double off_value;
	char against[NAME_SIZE];
	char note[NAME_SIZE];
	enum gate_result result;
};

struct gates {
	struct gate *gates;
	size_t count;
	size_t room;
};

const char *gate_kind_name(enum gate_kind kind);
const char *gate_result_name(enum gate_result result);

/* What is asked of features, of the cells that add_gates() makes. */
void gates_of_features(struct gates *gates);

/* Each cell of ronbus in the three shapes beside each peer that does the same; and the aims. */
void gates_of_peers(struct gates *gates, const struct cells *cells);

/* Compare, and forget the gates of which cells are missing. */
void gates_judge(struct gates *gates, const struct cells *cells);

void gates_free(struct gates *gates);

/* Share of the wake-ups that were spared, 0 to 1; negative if there was nobody to wake. */
double suppressed_share(const struct ronbus_counters *counters);

#endif /* RONBUS_BENCH_GATE_H */
