/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * cases.h - the kinds of cells, and which of them are measured
 */
#ifndef RONBUS_BENCH_CASES_H
#define RONBUS_BENCH_CASES_H

#include "cell.h"

#define GROUP_REFERENCE "reference"
#define GROUP_MATRIX "matrix"
#define GROUP_BURST "burst"
#define GROUP_BASELINE "baseline"
#define GROUP_PUBLISHERS "publishers"
#define GROUP_SHAPE_A "shape-a"
#define GROUP_SHAPE_B "shape-b"
#define GROUP_SHAPE_C "shape-c"
#define GROUP_GATES "gates"

#define REFERENCE_CELL GROUP_REFERENCE "/atomics-and-copies"
#define HANDOFF_CELL GROUP_REFERENCE "/handoff"

#define SHAPE_A_MESSAGES 256U

/* Sending and receiving apart: the shape of the group baseline, and the one peer that has it. */
#define SHAPE_APART 'd'
#define APART_PEER "tokio"

/* Bursts that all subscribers read, in one thread: series "publish", "receive", "cycle". */
extern const struct cell_ops loop_ops;

/* Subscribers that sleep and wake: series "publish"; the second one also "cycle". Messages of 8 or 32. */
extern const struct cell_ops stream_ops;
extern const struct cell_ops bursts_ops;

/* Many topics, of which each subscriber wants some, in one thread: "publish", "cycle". Messages of 32. */
extern const struct cell_ops topics_ops;
#define TOPICS_BURST 64U /* at most */

/* What does not use ronbus, unless it is there: if it changes, the machine did. */
void add_reference(struct cells *cells);

void add_matrix(struct cells *cells);
void add_bursts(struct cells *cells);
void add_baseline(struct cells *cells);
void add_publishers(struct cells *cells);
void add_shape_a(struct cells *cells);
void add_shape_b(struct cells *cells);
void add_shape_c(struct cells *cells);
void add_gates(struct cells *cells);

/* Of the gates, those of compact events. */
void add_events(struct cells *cells);

/* One cell of B2 or B4: features, subscribers, topics and coalescing as in @template. */
void add_paced(struct cells *cells, const struct cell *template, const char *name);

/* One cell of B3: these workers, each a subscriber if there are as many, else evenly among them. */
#define DISPATCH_WORKERS 16U
void add_dispatch(struct cells *cells, const char *name, unsigned int subscribers,
		  unsigned int burst);

#endif /* RONBUS_BENCH_CASES_H */
