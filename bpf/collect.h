/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * collect.h - load the BPF programs of ronbus.bpf.c, and find the maps they keep
 *
 * Functions return 0 or a negative errno. Of a failure ronbus_collect_why() says more.
 */
#ifndef _RONBUS_COLLECT_H
#define _RONBUS_COLLECT_H

#include "ronbus_bpf.h"

struct ronbus_collect;

/**
 * enum ronbus_collect_how - which way programs attach to the tracepoints
 * @RONBUS_COLLECT_BEST: with types if there are any, else the classic way
 * @RONBUS_COLLECT_TYPED: with types (tp_btf)
 * @RONBUS_COLLECT_CLASSIC: as perf does
 * @RONBUS_COLLECT_PINNED: they were attached by somebody else, and only the maps are read
 */
enum ronbus_collect_how {
	RONBUS_COLLECT_BEST,
	RONBUS_COLLECT_TYPED,
	RONBUS_COLLECT_CLASSIC,
	RONBUS_COLLECT_PINNED,
};

/**
 * ronbus_collect_start() - load and attach the programs
 * @collect: filled in
 * @how: which way; not RONBUS_COLLECT_PINNED
 *
 * They stay until ronbus_collect_stop(), or, if they are pinned, until the pins are removed.
 *
 * Return: 0; -ENODEV: the module is not loaded; -EPERM; or what libbpf says.
 */
int ronbus_collect_start(struct ronbus_collect **collect, enum ronbus_collect_how how);

/**
 * ronbus_collect_open() - use the maps that somebody has pinned
 * @collect: filled in
 * @dir: where: of ronbus_collect_pin(), or pinmaps of bpftool
 *
 * Return: 0; -ENOENT; -EPERM; -EPROTO: the maps are there, but not as in ronbus_bpf.h.
 */
int ronbus_collect_open(struct ronbus_collect **collect, const char *dir);

/**
 * ronbus_collect_pin() - keep programs and maps beyond this process
 * @collect: made with ronbus_collect_start()
 * @dir: directory in a BPF file system, made if it is not there. Maps are pinned under their
 *	names, attachments under those of their programs in "links" below it.
 *
 * Return: 0, or an error; then nothing is pinned.
 */
int ronbus_collect_pin(struct ronbus_collect *collect, const char *dir);

/**
 * ronbus_collect_format() - can the programs without types do with this module?
 * @common: what their common_size has to be, for a program that loads them itself
 *
 * Return: 0; -EPROTO: module and programs are of different versions; -ENOENT: there is no tracefs.
 */
int ronbus_collect_format(__u32 *common);

/** ronbus_collect_stop() - the end; of what is pinned, only for this process */
void ronbus_collect_stop(struct ronbus_collect *collect);

/** ronbus_collect_how() - which way it was, never RONBUS_COLLECT_BEST */
enum ronbus_collect_how ronbus_collect_how(const struct ronbus_collect *collect);

/* The maps. The fds are closed by ronbus_collect_stop(). */
int ronbus_collect_buses(const struct ronbus_collect *collect);
int ronbus_collect_subscribers(const struct ronbus_collect *collect);
int ronbus_collect_info(const struct ronbus_collect *collect);

/** ronbus_collect_why() - what libbpf said of the last failure in a line, or "" */
const char *ronbus_collect_why(void);

#endif /* _RONBUS_COLLECT_H */
