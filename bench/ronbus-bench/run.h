/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * run.h - visit the cells, turn after turn
 */
#ifndef RONBUS_BENCH_RUN_H
#define RONBUS_BENCH_RUN_H

#include "cell.h"

/**
 * run_cells() - measure
 * @cells: all of them
 * @wanted: those to measure, one for each; NULL for all
 *
 * In each turn every cell is visited once, so that what else the machine does hits all of them.
 * Every other turn goes backwards: a machine that gets slower all the time hits both ends alike.
 */
void run_cells(struct cells *cells, const bool *wanted);

#endif /* RONBUS_BENCH_RUN_H */
