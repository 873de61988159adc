/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * result.h - results as JSON; a frozen result is a baseline
 */
#ifndef RONBUS_BENCH_RESULT_H
#define RONBUS_BENCH_RESULT_H

#include <jansson.h>

#include "frozen.h"
#include "gate.h"

#define RESULT_FORMAT "ronbus-bench"
#define RESULT_VERSION 1

/* All of a run. @changes may be NULL. The caller owns what is returned. */
json_t *result_make(const json_t *machine, const struct cells *cells, const struct gates *gates,
		    const struct changes *changes);

/* Write @result to the file @path, "-" being standard output; false, and a complaint, if not. */
bool result_write(const json_t *result, const char *path);

#endif /* RONBUS_BENCH_RESULT_H */
