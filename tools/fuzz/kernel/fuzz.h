/* SPDX-License-Identifier: GPL-2.0 */
/*
 * fuzz.h - the kernel fuzzer: what its parts share
 *
 * A program is a list of calls that share files and mappings by number. It is made at random, run,
 * and kept if the module did something new. It can be written as text, read again and repeated.
 */
#ifndef RONBUS_FUZZ_H
#define RONBUS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define FILES 16U /* 0 is /dev/ronbus */
#define MAPS 6U
#define CALLS_MOST 24U
#define ARGUMENTS 10U
#define THREADS 2U

/* What a file is. ANY is for calls that take each of the next three. */
enum role {
	ROLE_NONE,
	ROLE_RONBUS,
	ROLE_RONBUS_ANY,
	ROLE_RONBUS_BUS,
	ROLE_RONBUS_PUB,
	ROLE_RONBUS_SUB,
	ROLE_EVENT,
	ROLES,
};

/**
 * struct call - a call of a program
 * @what: index in the table of calls
 * @thread: which thread makes it, in a program of several
 * @in: the file it is made on
 * @out: where a new file or mapping goes
 * @argument: what else it takes, as the call likes
 */
struct call {
	uint16_t what;
	uint8_t thread;
	uint8_t in;
	uint8_t out;
	uint64_t argument[ARGUMENTS];
};

struct program {
	unsigned int count;
	bool threads; /* else all calls are made by one */
	struct call call[CALLS_MOST];
};

/* ---- dice.c: the same numbers for the same seed ---------------------------------------- */

void dice_seed(uint64_t seed);
uint64_t dice(void);
unsigned int dice_below(unsigned int bound);
uint64_t dice_value(void); /* one that is likelier to mean something than a random one */

/* ---- calls.c: what can be done --------------------------------------------------------- */

unsigned int calls_count(void);
const char *call_name(unsigned int what);
unsigned int call_weight(unsigned int what);
enum role call_takes(unsigned int what);
enum role call_gives(unsigned int what);
unsigned int call_arguments(unsigned int what);
uint64_t call_argument(unsigned int what, unsigned int i); /* a likely value */

void calls_begin(void); /* once a process */
/* Run it; results[i] is what call i returned, or -errno. False: something is wrong. */
bool calls_run(const struct program *program, int results[CALLS_MOST]);

/* ---- program.c ------------------------------------------------------------------------- */

void program_make(struct program *program);
void program_change(struct program *program, const struct program *other);
void program_cut(struct program *program, unsigned int i);
void program_print(const struct program *program, FILE *to);
/* The next program of a text; false: there is none. Exits at what cannot be read. */
bool program_read(struct program *program, FILE *from);

/* ---- cover.c: what of the module has been run ------------------------------------------ */

#define EDGES (1U << 16)
#define PCS (1U << 18) /* bytes of module text that are told apart */

/* What all workers have found. */
struct cover {
	uint8_t edges[EDGES];
	uint8_t pcs[PCS];
	unsigned int nr_edges;
	unsigned int nr_pcs;
};

bool cover_open(void); /* once a process; false: this kernel has no KCOV */
void cover_thread_begin(unsigned int thread);
void cover_thread_end(unsigned int thread);
/* Edges of the last run that are new; they are added if @keep. Of one call without KCOV. */
unsigned int cover_new(struct cover *cover, const struct program *program,
		       const int results[CALLS_MOST], bool keep);
void cover_print(const struct cover *cover, FILE *to);

#endif /* RONBUS_FUZZ_H */
