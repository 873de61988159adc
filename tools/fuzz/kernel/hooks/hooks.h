/* SPDX-License-Identifier: GPL-2.0 */
/*
 * hooks.h - what a module built for the fuzzer shares with it, by way of /dev/ronbus-fuzz
 *
 * The compiler calls the hook in every basic block of the module, and points.h before and after
 * every access that others may see. Each is a step. A step may be held up, so that what is rare
 * between two instructions is not rare here. Where a step was is noted, whatever made it: threads
 * of the fuzzer, workers, timers, interrupts.
 */
#ifndef RONBUS_FUZZ_HOOKS_H
#define RONBUS_FUZZ_HOOKS_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define HOOK_DEVICE "ronbus-fuzz"

#define HOOK_PLACES (1U << 18) /* bytes of module text that are told apart */
#define HOOK_EDGES (1U << 18)
#define HOOK_POINT (1U << 31) /* beside a place: a point, and not a basic block */
#define HOOK_FRESH 250U
#define HOOK_PATH 2048U
#define HOOK_TASKS 16U /* threads that have a trace of their own */
#define HOOK_GROUP 4U /* so many of them run a program together */
#define HOOK_CPUS 8U
#define HOOK_BOX (512U << 10)

/**
 * struct hook_trace - what one thread, or the interrupts of one CPU, came by
 * @last: place of the last basic block
 * @steps: how many there were
 * @stall_at: the step to be held up at; 0 for none
 * @stall_for: until so many steps have been made elsewhere
 * @busy: of a group's first: how many of its threads make calls; no use in waiting for the others
 * @count: edges in @fresh, or more than there is room for
 * @fresh: edges that are not yet in hook_shared.edges; one may be there several times
 * @path: where each step was, in the module's code; with HOOK_POINT
 */
struct hook_trace {
	__u32 last;
	__u32 steps;
	__u32 stall_at;
	__u32 stall_for;
	__u32 busy;
	__u32 count;
	__u32 fresh[HOOK_FRESH];
	__u32 path[HOOK_PATH];
};

/**
 * struct hook_shared - the mapping
 * @text: where the code of the module begins; the fuzzer says so, and nothing is noted before
 * @steps: of everybody, more or less
 * @jitter: one step in so many is held up for a little while, a power of two; 0 for none
 * @jitter_looks: for how long at most, in looks at @steps
 * @stall_looks: how long a stall is at most, likewise
 * @turns: CPUs run in turns: at each look it is another one's
 * @box_used: bytes of @box that mean something
 * @traces: of threads, then of the interrupts of CPUs
 * @places: by offset in the module's code: it was run
 * @edges: by hash of two places that follow each other: known to the fuzzer
 * @box: written to the kernel's log when the kernel panics
 */
struct hook_shared {
	__u64 text;
	__u64 steps;
	__u32 jitter;
	__u32 jitter_looks;
	__u32 stall_looks;
	__u32 turns;
	__u32 box_used;
	__u32 pad;
	struct hook_trace traces[HOOK_TASKS + HOOK_CPUS];
	__u8 places[HOOK_PLACES];
	__u8 edges[HOOK_EDGES];
	__u8 box[HOOK_BOX];
};

/* The calling thread has the trace of this number from now on. */
#define HOOK_IOC_TRACE _IO(0xC6, 0x00)

#endif /* RONBUS_FUZZ_HOOKS_H */
