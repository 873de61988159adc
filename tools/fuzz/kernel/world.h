/* SPDX-License-Identifier: GPL-2.0 */
/*
 * world.h - what a program works on: files, mappings, memory that may not be there
 */
#ifndef RONBUS_FUZZ_WORLD_H
#define RONBUS_FUZZ_WORLD_H

#include <errno.h>
#include <stdatomic.h>

#include <ronbus.h>
#include <ronbus_ring.h>

#include "fuzz.h"

#define PAGE 4096UL
#define ARENA (64UL << 10)

/**
 * struct mapping - a mapping, at an address that nothing else ever has
 * @bytes: how much is mapped; 0: nothing
 * @writable: it was asked for so
 * @region: index in mappings[], or above
 * @ring: view of it, if it is a ring
 * @owner: number of the publisher it is of
 *
 * Threads may change one while others use it. What they use then is memory that is not there, or
 * another mapping of this kind.
 */
struct mapping {
	_Atomic size_t bytes;
	bool writable;
	unsigned int region;
	struct ronbus_ring ring;
	uint32_t owner;
};

extern struct mapping maps[MAPS];
extern int control; /* /dev/ronbus */
extern uint64_t features_here;
extern char *arena; /* with nothing after its end */

void world_begin(void); /* once a process */
void world_clear(void); /* everything is closed and unmapped */

/* ---- files ----------------------------------------------------------------------------- */

int file_get(unsigned int n);
/* Changes with the file that has this number. */
unsigned int file_changes(unsigned int n);
enum role file_role(unsigned int n);
/* The old one is closed, but never the device. Returns 0, or -errno for an @fd that is none. */
int file_put(unsigned int n, int fd, enum role role);
int file_close(unsigned int n);
/* The token that BPF programs name a publisher by; 0: none. */
uint64_t file_token(unsigned int n);
void file_set_token(unsigned int n, uint64_t token);

static inline int done(long ret)
{
	return ret < 0 ? -errno : (int)ret;
}

/* ---- memory ---------------------------------------------------------------------------- */

char *map_at(const struct mapping *map);
size_t map_room(void); /* bytes there are for one */
void *pointer(uint64_t which, size_t bytes);
/* Run something that touches memory; false: it was not there. */
bool touch(void (*fn)(void *arg), void *arg);
bool store(uint64_t *at, uint64_t value);

/* ---- what is wrong --------------------------------------------------------------------- */

/* Among threads a mapping or file may be another one by now: then nothing is said. */
void say_wrong(const char *what);
/* What is wrong whatever other threads do. */
void say_wrong_anyway(const char *what);
bool anything_wrong(void);
/* One thread at work alone: nobody would wake it. */
extern bool alone;

#endif /* RONBUS_FUZZ_WORLD_H */
