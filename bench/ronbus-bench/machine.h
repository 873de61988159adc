/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * machine.h - on what is measured, and with what: a part of every result
 */
#ifndef RONBUS_BENCH_MACHINE_H
#define RONBUS_BENCH_MACHINE_H

#include <jansson.h>

#include "topology.h"

/* Describe the machine and the program. The caller owns what is returned. */
json_t *machine_describe(const struct topology *topology);

/* Print what machine_describe() returned. */
void machine_print(const json_t *machine, FILE *to);

/**
 * machine_differs() - is this another machine, or another bus?
 * @one: what machine_describe() returned
 * @other: the same
 *
 * If so, times of one say nothing about the other. A difference that one may want to measure, such
 * as a new kernel, does not count: machine_changes() reports those.
 *
 * Return: in what they differ, as the name of a member; NULL if they do not.
 */
const char *machine_differs(const json_t *one, const json_t *other);

/* Call @fn for each member that is not as it was. */
void machine_changes(const json_t *before, const json_t *now,
		     void (*fn)(const char *what, const char *before, const char *now));

#endif /* RONBUS_BENCH_MACHINE_H */
