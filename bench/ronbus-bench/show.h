/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * show.h - results as tables for people
 */
#ifndef RONBUS_BENCH_SHOW_H
#define RONBUS_BENCH_SHOW_H

#include "frozen.h"
#include "gate.h"

void show_cells(const struct cells *cells, FILE *to);
void show_gates(const struct gates *gates, FILE *to);
void show_changes(const struct changes *changes, FILE *to);

#endif /* RONBUS_BENCH_SHOW_H */
