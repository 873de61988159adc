// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * why.c - errors in words: what is at fault, and the way out
 */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct reason {
	int err;
	const char *text;
};

/* The device cannot be reached: %s is its path. */
static const struct reason device_reasons[] = {
	{ ENOENT,
	  "there is no %s: the module ronbus is not loaded; load it with \"modprobe ronbus\" "
	  "(or \"insmod ronbus.ko\"), or use the transport \"embedded:\", which needs none" },
	{ ENXIO, "nothing stands behind %s: load the module with \"modprobe ronbus\", and remove "
		 "the file if it is a left-over" },
	{ ENODEV, "nothing stands behind %s: load the module with \"modprobe ronbus\", and remove "
		  "the file if it is a left-over" },
	{ EACCES, "you may not open %s: join the group it belongs to, or have its mode widened "
		  "(the udev rule that comes with ronbus does that)" },
	{ EPERM, "you may not open %s: join the group it belongs to, or have its mode widened "
		 "(the udev rule that comes with ronbus does that)" },
	{ ENOTTY, "%s is not a ronbus device; name the right one, or load the module with "
		  "\"modprobe ronbus\"" },
};

/* It was reached, and said no. */
static const struct reason bus_reasons[] = {
	{ ENOENT, "there is no such bus on %s: create it first, or check its name and that you are "
		  "in the same IPC namespace" },
	{ EACCES, "the bus on %s does not let you do that: its creator must give it a wider mode, "
		  "or the handle must be asked for with that access" },
	{ EEXIST, "a bus of that name exists on %s: attach to it, or choose another name" },
	{ EPROTO, "the module behind %s and this library speak different versions of the ABI: "
		  "install both from the same release, and reload the module" },
	{ EOPNOTSUPP, "%s cannot do that yet: ronbus_query() tells which features it has" },
	{ ENOTTY, "that is not something %s knows: not an fd of a bus, or an older module" },
	{ EINVAL, "%s was asked for something that cannot be: check the capacity (a power of two), "
		  "the payload (a multiple of 8), the name (letters, digits, \"._-\"), flags and "
		  "topic" },
	{ EPERM, "%s refuses that: the bus is sealed, or does not let you publish through a "
		 "mapping, or is not yours to seal" },
	{ EBUSY, "the bus on %s is exclusive and has its publisher: wait until that one has left" },
	{ ESHUTDOWN, "the bus on %s has ended, its publishers having left: create a new one, or "
		     "make it persistent" },
	{ ENOSPC, "the bus on %s has as many members as it can have, or there are as many buses as "
		  "there can be" },
	{ ERANGE, "the bus on %s has no such position yet, or never had" },
	{ E2BIG, "the module behind %s is older than this library and does not know what it was "
		 "asked for: install both from the same release" },
	{ ENOBUFS,
	  "every block of the bus on %s is pinned: readers keep them too long, or it needs "
	  "more blocks" },
	{ EMSGSIZE, "the message is larger than the payload of the bus on %s, or than the buffer" },
	{ EAGAIN, "nothing to read on %s now; or, when publishing, every slot is held by a "
		  "publisher that does not get on" },
	{ ECANCELED, "the wait on %s was ended, by ronbus_cancel() or with its ring" },
	{ ENOSYS, "%s cannot be used through io_uring: this kernel has none; use ronbus_wait(), or "
		  "poll ronbus_sub_fd()" },
	{ ETIMEDOUT, "nothing came on %s in time" },
	{ ESTALE, "the message on %s was overwritten while it was looked at, or its block before" },
	{ ENOMEM, "not enough memory for a bus on %s: ask for a smaller one, or raise "
		  "\"ulimit -l\"" },
	{ EMFILE, "too many open files in this process for %s: raise \"ulimit -n\"" },
	{ ENFILE, "too many open files on this machine for %s" },
};

static const char *find(const struct reason *reasons, size_t count, int err)
{
	while (count--)
		if (reasons[count].err == err)
			return reasons[count].text;
	return NULL;
}

#define FIND(reasons, err) find(reasons, sizeof(reasons) / sizeof(reasons[0]), err)

/* Is it the device that cannot be had, rather than something on it? */
static bool cannot_reach(const char *where, int err)
{
	struct ronbus_query query;

	return strcmp(where, RONBUS_EMBEDDED) && ronbus_query(where, &query) == -err;
}

const char *ronbus_why(const char *where, int err)
{
	static __thread char text[384];
	const char *format = NULL;

	if (err < 0)
		err = -err;
	if (!where)
		where = secure_getenv("RONBUS_TRANSPORT");
	if (!where || !*where)
		where = RONBUS_DEVICE;
	if (err && cannot_reach(where, err))
		format = FIND(device_reasons, err);
	if (!format)
		format = FIND(bus_reasons, err);
	if (format)
		snprintf(text, sizeof(text), format, where);
	else
		snprintf(text, sizeof(text), "%s: %s", where, strerror(err));
	return text;
}
