/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * progress.h - how far it is, on a line of the terminal that does not stay
 */
#ifndef RONBUS_BENCH_PROGRESS_H
#define RONBUS_BENCH_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

extern bool progress_wanted;

/* Something of @steps steps begins. */
void progress_begin(const char *what, size_t steps);

/* The next step begins; @name says on what. */
void progress_step(const char *name);

void progress_end(void);

#endif /* RONBUS_BENCH_PROGRESS_H */
