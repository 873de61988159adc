/* SPDX-License-Identifier: GPL-2.0 */
/*
 * guest.h - what the programs share that count instructions in a guest: the counter, a bus
 *
 * QEMU counts instructions, and the guest's time stamp counter tells how many there were.
 */
#ifndef RONBUS_BENCH_GUEST_H
#define RONBUS_BENCH_GUEST_H

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <x86intrin.h>

#include <ronbus/ronbus.h>
#include <ronbus/ronbus_ring.h>

#include "bench.h"

static inline uint64_t tsc(void)
{
	uint64_t now;

	forget();
	now = __rdtsc();
	forget();
	return now;
}

static inline int must(int ret, const char *what)
{
	if (ret < 0)
		die("%s: %s", what, strerror(errno));
	return ret;
}

static inline void *map(int fd, size_t bytes, int prot, unsigned long offset)
{
	void *at = mmap(NULL, bytes, prot, MAP_SHARED, fd, (off_t)offset);

	if (at == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	return at;
}

#endif /* RONBUS_BENCH_GUEST_H */
