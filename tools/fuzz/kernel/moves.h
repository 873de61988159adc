/* SPDX-License-Identifier: GPL-2.0 */
/*
 * moves.h - what a program can do: the table of calls is made of these
 */
#ifndef RONBUS_FUZZ_MOVES_H
#define RONBUS_FUZZ_MOVES_H

#include "world.h"

/* ---- ioctls.c: of the description (../describe) ---------------------------------------- */

unsigned int ioctls_count(void);
const char *ioctl_name(unsigned int n);
enum role ioctl_takes(unsigned int n);
enum role ioctl_gives(unsigned int n);
uint64_t ioctl_argument(unsigned int n, unsigned int i);
void ioctl_mend(unsigned int n, uint64_t argument[ARGUMENTS]);
int ioctl_run(unsigned int n, const struct call *call);
/* A batch of messages, in the upper half of the arena. */
uint64_t make_vectors(uint64_t which, unsigned int count);
/* Offset of a region that can be mapped; there are so many. */
uint64_t region_offset(unsigned int region);
unsigned int regions_count(void);

/* ---- maps.c ---------------------------------------------------------------------------- */

int run_mmap(const struct call *call);
int run_munmap(const struct call *call);
int run_mprotect(const struct call *call);
int run_mremap(const struct call *call);
int run_madvise(const struct call *call);
int run_mlock(const struct call *call);
int run_procmem(const struct call *call);
int run_poke(const struct call *call);
int run_fill(const struct call *call);
int run_put(const struct call *call);

/* ---- files.c --------------------------------------------------------------------------- */

void files_end(void); /* after each program */
int run_read(const struct call *call);
int run_write(const struct call *call);
int run_poll(const struct call *call);
int run_epoll(const struct call *call);
int run_close(const struct call *call);
int run_dup(const struct call *call);
int run_eventfd(const struct call *call);
int run_fdinfo(const struct call *call);
int run_pass(const struct call *call);

/* ---- uring.c --------------------------------------------------------------------------- */

void uring_end(void);
int run_uring(const struct call *call);

/* ---- bpf.c ----------------------------------------------------------------------------- */

bool bpf_begin(void); /* once, for all processes; false: programs cannot be loaded here */
void bpf_end(void); /* after each program */
int run_bpf(const struct call *call);

/* ---- process.c ------------------------------------------------------------------------- */

void process_begin(void);
void process_end(void); /* after each program */
void process_end_thread(void);
int run_user(const struct call *call);
int run_limit(const struct call *call);
int run_sleep(const struct call *call);
int run_fork(const struct call *call);
int run_trace(const struct call *call);

#endif /* RONBUS_FUZZ_MOVES_H */
