/* SPDX-License-Identifier: GPL-2.0 */
/*
 * fuzz.h - the kernel fuzzer: what its parts share
 *
 * A program is a list of calls that share files and mappings by number. The first ones make what
 * the others work on; those are made by several threads at once. It is made at random, run, and
 * kept if the module did something new. It can be written as text, read again and repeated.
 */
#ifndef RONBUS_FUZZ_H
#define RONBUS_FUZZ_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "../describe.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define FILES 16U /* 0 is /dev/ronbus */
#define MAPS 6U
#define CALLS_MOST 24U
#define ARGUMENTS 11U
#define THREADS 4U
#define STALLS 2U
#define ROUNDS_MOST 64U
#define WORKERS 4U
#define STEPS_MOST 512U

/**
 * struct call - a call of a program
 * @what: index in the table of calls
 * @thread: which thread makes it
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

/**
 * struct stall - a thread is held up in the module, once a round
 * @thread: which
 * @at: at which step since the round began; 0: there is no stall
 * @stride: so many steps later in each next round
 * @others: until so many steps have been made elsewhere, or it takes too long
 */
struct stall {
	uint16_t thread;
	uint16_t at;
	uint16_t stride;
	uint16_t others;
};

/**
 * struct program - what is run, and repeated
 * @count: calls
 * @setup: so many are made first, by one thread; before later rounds, what is missing of them
 * @threads: threads for the rest, each for its own
 * @rounds: how often they do that; each is a run
 * @warm: the files of the program before are still there; of @setup only what is missing is made
 * @jitter: one step in so many is held up for a moment, in whatever runs; 0 for none
 * @stall: see there
 * @call: the calls
 */
struct program {
	uint8_t count;
	uint8_t setup;
	uint8_t threads;
	uint8_t rounds;
	uint8_t warm;
	uint16_t jitter;
	struct stall stall[STALLS];
	struct call call[CALLS_MOST];
};

/* ---- main.c ------------------------------------------------------------------------------ */

void *share(size_t bytes); /* zeroed memory of all processes; without it there is no fuzzing */

/* ---- dice.c: the same numbers for the same seed ---------------------------------------- */

void dice_seed(uint64_t seed);
uint64_t dice(void);
unsigned int dice_below(unsigned int bound);
uint64_t dice_value(void); /* one that is likelier to mean something than a random one */

/* ---- calls.c: what can be done --------------------------------------------------------- */

unsigned int calls_count(void);
const char *call_name(unsigned int what);
unsigned int call_find(const char *name); /* calls_count() if there is none */
unsigned int call_weight(unsigned int what);
enum role call_takes(unsigned int what);
enum role call_gives(unsigned int what);
unsigned int call_arguments(unsigned int what);
uint64_t call_argument(unsigned int what, unsigned int i); /* a likely value */
void call_mend(struct call *call); /* so that its arguments go together */
bool call_is_ioctl(unsigned int what);
bool call_maps(unsigned int what); /* gives a mapping */
bool call_sleeps(unsigned int what); /* until a subscriber has something to see */
bool call_is_silent(unsigned int what); /* may publish, or move a cursor, and wake nobody */
/* So many steps in the module it may make at most; 0: there is no such number. */
unsigned int call_bound(unsigned int what);
int call_run(const struct call *call);

/* ---- program.c ------------------------------------------------------------------------- */

void program_make(struct program *program);
void program_change(struct program *program, const struct program *other);
/* For another run on the same files: what makes them is left as it is. */
void program_vary(struct program *program, const struct program *other, unsigned int worker);
void program_cut(struct program *program, unsigned int i);
void program_print(const struct program *program, FILE *to);
/* The next program of a text; false: there is none. Exits at what cannot be read. */
bool program_read(struct program *program, FILE *from);

/* ---- run.c: running a program ---------------------------------------------------------- */

void run_begin(unsigned int worker); /* once a process */
/* results[i] is what call i returned the last time, or -errno. False: something is wrong. */
bool run_program(const struct program *program, int results[CALLS_MOST]);
bool run_made_all(void); /* the files that the last cold program was to work on */
void run_as_child(const struct call *from); /* what is left of the program, after a fork */

/* How often each call was made, by all workers. */
struct tally {
	atomic_ullong made;
	atomic_ullong good;
	atomic_ullong timed; /* of them, and how long it took */
	atomic_ullong ns;
	atomic_uint steps; /* the most in the module */
};
extern struct tally *tallies;

/* ---- cover.c: what of the module has been run ------------------------------------------ */

#define RECENT 40U

/* The last programs of each worker: the kernel prints them when it panics. */
struct recent {
	uint64_t runs;
	struct program program[RECENT];
};

bool cover_open(bool turns); /* false: this module has no hooks */
bool cover_there(void);
struct recent *cover_recent(void); /* an array for all workers */
void cover_thread(unsigned int worker, unsigned int thread); /* the calling one has this number */
void cover_begin(unsigned int worker, const struct program *program);
void cover_round(unsigned int worker, const struct program *program, unsigned int round);
/* How many steps a thread has made in the module in this round. */
unsigned int cover_steps(unsigned int worker, unsigned int thread);
void cover_through(unsigned int worker); /* the calling thread makes no more calls in this round */
/* One of the steps that a thread made in the last round; 0: there is none. */
unsigned int cover_choose_step(unsigned int worker, unsigned int thread);
/* Each point that a thread came by in the last round, as a step, or those not known too well. */
unsigned int cover_all_steps(unsigned int worker, unsigned int thread, bool all,
			     uint16_t step[STEPS_MOST]);
/* Edges of the last run that are new; they are known from now on if @keep. Of calls and results if
 * there are no hooks. */
unsigned int cover_new(unsigned int worker, const struct program *program,
		       const int results[CALLS_MOST], bool keep);
unsigned int cover_edges(void);
unsigned int cover_places(void);
void cover_print(FILE *to);

/* ---- work.c: a process that makes, runs and keeps programs ----------------------------- */

#define CORPUS 4096U

/**
 * struct shared - what all workers and the process that watches them see
 * @lock: guards @corpus while one is added
 * @count: programs in @corpus
 * @corpus: programs that did something new
 * @executions: programs that each worker has run to their end
 * @runs: rounds of them
 * @read: of the file of programs: up to here it has been run
 * @given: programs in @corpus that are from it
 * @swept: of those: up to here each was held up everywhere
 * @kill: it may be killed now
 * @stop: the time is over, or something is wrong
 */
struct shared {
	atomic_flag lock;
	atomic_uint count;
	struct program corpus[CORPUS];
	atomic_ullong executions[WORKERS];
	atomic_ullong runs[WORKERS];
	atomic_uint read;
	atomic_uint given;
	atomic_uint swept;
	atomic_bool kill[WORKERS];
	atomic_bool stop;
};
extern struct shared *shared;

struct options {
	unsigned int seconds;
	unsigned int workers;
	unsigned int repeat;
	unsigned int life;
	unsigned long long executions;
	unsigned long long seed;
	const char *corpus;
	const char *replay;
	bool say;
	bool turns;
};
extern struct options options;

/* The life of a worker: so many programs. Returns its exit status. */
int work(unsigned int worker, unsigned int life);
unsigned long taint(void);

#endif /* RONBUS_FUZZ_H */
