/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * metrics.h - counters as Prometheus reads them
 */
#ifndef RONBUS_METRICS_H
#define RONBUS_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "snapshot.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/**
 * struct metrics_state - what is to be told besides the counters
 * @up: the module is there
 * @errors: readings that failed since the start
 */
struct metrics_state {
	bool up;
	__u64 errors;
};

void metrics_write(FILE *to, const struct snapshot *snapshot, const struct metrics_state *state);
char *metrics_text(const struct snapshot *snapshot, const struct metrics_state *state,
		   size_t *length);

#endif /* RONBUS_METRICS_H */
