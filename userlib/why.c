// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * why.c - errors in words: what is at fault, and the way out
 *
 * An error is a number, and the same number has different reasons. So a thread notes what it was
 * doing when the last call failed, and if it then asks about that error the text is about that;
 * otherwise the text names what the error can mean.
 */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static __thread struct {
	enum ronbus_doing step;
	int err;
} last;

void ronbus_why_doing(enum ronbus_doing step)
{
	last.step = step;
	last.err = 0;
}

int ronbus_why_failed(int ret)
{
	if (ret < 0)
		last.err = -ret;
	return ret;
}

enum place {
	ANYWHERE,
	ON_DEVICE,
	EMBEDDED
};

/* The first that fits. %s is where. */
struct reason {
	int err;
	enum ronbus_doing step; /* RONBUS_AT_NOTHING: any */
	enum place place;
	const char *text;
};

#define ACROSS "for several processes use the device, " RONBUS_DEVICE

static const struct reason reasons[] = {
	{ ENOENT, RONBUS_AT_STATS, ANYWHERE, "the bus on %s has no subscriber of that number" },
	{ ENOENT, 0, EMBEDDED,
	  "there is no such bus on %s in this process: create it first, or check its name. A bus on "
	  "\"" RONBUS_EMBEDDED
	  "\" lives in the process that made it, and no other can attach to it: " ACROSS },
	{ ENOENT, 0, ON_DEVICE,
	  "there is no such bus on %s: create it first, or check its name and that you are in the "
	  "same IPC namespace" },
	{ EACCES, RONBUS_AT_PUBLISHER, ANYWHERE,
	  "this handle of a bus on %s is not for publishing: attach with RONBUS_ACCESS_PUBLISH, or, if "
	  "its fd was passed to you, ask for one that has that access" },
	{ EACCES, RONBUS_AT_SUBSCRIBE, ANYWHERE,
	  "this handle of a bus on %s is not for subscribing: attach with RONBUS_ACCESS_SUBSCRIBE, or, "
	  "if its fd was passed to you, ask for one that has that access" },
	{ EACCES, RONBUS_AT_FD, ANYWHERE,
	  "this handle of a bus on %s has less access than it was to share: ronbus_bus_info() tells "
	  "what it has" },
	{ EACCES, RONBUS_AT_SEAL, ANYWHERE,
	  "this handle of a bus on %s is not for publishing, so it cannot seal the bus either" },
	{ EACCES, 0, ANYWHERE,
	  "the bus on %s does not let you do that: its creator must give it a wider mode, or the "
	  "handle must be asked for with that access" },
	{ EEXIST, 0, ANYWHERE,
	  "a bus of that name exists on %s, and has not ended: attach to it (ronbus_open() attaches or "
	  "creates, as need be), or choose another name" },
	{ EPROTO, 0, ANYWHERE,
	  "the module of %s and this library speak different versions of the ABI: install both "
	  "from the same release, and reload the module" },
	{ EOPNOTSUPP, RONBUS_AT_FD, EMBEDDED,
	  "a bus on %s has no fd, and cannot be passed on: it lives in the memory of this process; " ACROSS },
	{ EOPNOTSUPP, RONBUS_AT_TOPICS, ANYWHERE,
	  "the bus on %s was made without topics to choose from: its creator must ask for "
	  "RONBUS_F_INTEREST" },
	{ EOPNOTSUPP, RONBUS_AT_COALESCE, ANYWHERE,
	  "on the bus on %s a subscriber cannot wait for several messages: its creator must ask for "
	  "RONBUS_F_COALESCE" },
	{ EOPNOTSUPP, RONBUS_AT_BLOCKS, ANYWHERE,
	  "the bus on %s was made without blocks: its creator must ask for RONBUS_F_BLOCKS" },
	{ EOPNOTSUPP, RONBUS_AT_URING, ANYWHERE,
	  "this kernel's io_uring is too old for %s: use ronbus_wait(), or poll ronbus_sub_fd()" },
	{ EOPNOTSUPP, RONBUS_AT_URING_WAIT, ANYWHERE,
	  "on %s a wait through io_uring has no limit: link a timeout to it, or use the device" },
	{ EOPNOTSUPP, RONBUS_AT_URING_PUBLISH, ANYWHERE,
	  "this publisher on %s needs no system call: call ronbus_publish(), or open it with "
	  "RONBUS_PUB_SYSCALL on a device" },
	{ EOPNOTSUPP, 0, EMBEDDED,
	  "%s does not have that, or the bus was made without the feature: ronbus_query() tells which "
	  "there are" },
	{ EOPNOTSUPP, 0, ON_DEVICE,
	  "%s cannot do that: the module is older than what was asked for, or the bus was made without "
	  "the feature; ronbus_query() tells which there are" },
	{ ENOTTY, RONBUS_AT_ADOPT, ANYWHERE,
	  "that fd is none of a bus on %s: what can be adopted is what ronbus_bus_fd() returned in the "
	  "process that passed it on" },
	{ ENOTTY, 0, ANYWHERE,
	  "that is not something %s knows: not an fd of a bus, or an older module" },
	{ EBADF, RONBUS_AT_ADOPT, ANYWHERE,
	  "that number is no open fd of this process: an fd of a bus on %s is passed on by SCM_RIGHTS, "
	  "or inherited, and not by its number" },
	{ EINVAL, RONBUS_AT_ADOPT, ANYWHERE,
	  "that fd on %s is a publisher's or a subscriber's: what can be adopted is what "
	  "ronbus_bus_fd() returned" },
	{ EINVAL, 0, ANYWHERE,
	  "%s was asked for something that cannot be: check the capacity (a power of two), the payload "
	  "(a multiple of 8), the name (letters, digits, \"._-\"), flags and topic" },
	{ EPERM, RONBUS_AT_SEAL, ANYWHERE,
	  "the bus on %s is not yours to seal: its owner can, and a process with the fd that its "
	  "creator got" },
	{ EPERM, RONBUS_AT_URING, ANYWHERE,
	  "io_uring is switched off here (kernel.io_uring_disabled, or a sandbox); with a bus on %s use "
	  "ronbus_wait(), or poll ronbus_sub_fd()" },
	{ EPERM, 0, ANYWHERE,
	  "%s refuses that: the bus is sealed, or does not let you publish through a mapping, or is not "
	  "yours to seal" },
	{ EBUSY, 0, ANYWHERE,
	  "the bus on %s is exclusive and has its publisher: wait until that one has left" },
	{ ESHUTDOWN, 0, ANYWHERE,
	  "the bus on %s has ended, its publishers having left, and stays so: create a new one, which "
	  "can have the same name, and close this; one made with RONBUS_BUS_PERSISTENT does not end "
	  "with its publishers" },
	{ ENOSPC, RONBUS_AT_CREATE, ANYWHERE,
	  "there are as many buses on %s as there can be, or as one user may have" },
	{ ENOSPC, RONBUS_AT_SUBSCRIBE, ANYWHERE,
	  "the bus on %s has 64 subscribers, and cannot have more: share a subscription "
	  "(ronbus_dispatch_open())" },
	{ ENOSPC, RONBUS_AT_PUBLISHER, ANYWHERE,
	  "the bus on %s has as many mapped publishers as it can have: publish by system call "
	  "(RONBUS_PUB_SYSCALL)" },
	{ ENOSPC, 0, ANYWHERE,
	  "the bus on %s has as many members as it can have, or there are as many buses as there can "
	  "be, or a subscriber has pinned as many blocks as it may" },
	{ ERANGE, 0, ANYWHERE, "the bus on %s has no such position yet, or never had" },
	{ E2BIG, 0, ANYWHERE,
	  "the module of %s is older than this library and does not know what it was asked for: "
	  "install both from the same release" },
	{ ENOBUFS, 0, ANYWHERE,
	  "every block of the bus on %s is pinned: readers keep them too long, or it needs more "
	  "blocks" },
	{ EMSGSIZE, 0, ANYWHERE,
	  "the message is larger than the payload of the bus on %s, or than the buffer" },
	{ EAGAIN, RONBUS_AT_CREATE, ANYWHERE,
	  "others made and ended a bus of that name on %s again and again: try again" },
	{ EAGAIN, 0, ANYWHERE,
	  "nothing to read on %s now; or, when publishing, every slot is held by a publisher that does "
	  "not get on" },
	{ ECANCELED, 0, ANYWHERE, "the wait on %s was ended, by ronbus_cancel() or with its ring" },
	{ ENOSYS, 0, ANYWHERE,
	  "%s cannot be used through io_uring: this kernel has none; use ronbus_wait(), or poll "
	  "ronbus_sub_fd()" },
	{ ETIMEDOUT, RONBUS_AT_ATTACH, EMBEDDED,
	  "no bus of that name was made on %s in time in this process; a bus on \"" RONBUS_EMBEDDED
	  "\" that another process makes cannot be seen here: " ACROSS },
	{ ETIMEDOUT, RONBUS_AT_ATTACH, ON_DEVICE,
	  "no bus of that name was made on %s in time: check the name, and that its creator is in the "
	  "same IPC namespace" },
	{ ETIMEDOUT, 0, ANYWHERE,
	  "what was waited for on %s, a message or a subscriber, did not come in time" },
	{ ESTALE, 0, ANYWHERE,
	  "the message on %s was overwritten while it was looked at, or its block before" },
	{ EOWNERDEAD, 0, ANYWHERE,
	  "that handle of a bus on %s was made before fork(): in the child it can only be closed; "
	  "attach and subscribe there" },
	{ ENOMEM, RONBUS_AT_LOCKED, ANYWHERE,
	  "this process locks all memory that it maps (mlockall(MCL_FUTURE)), and with the bus on %s "
	  "that would be more than it may: raise \"ulimit -l\", or ask for a smaller bus" },
	{ ENOMEM, RONBUS_AT_MAP, ANYWHERE,
	  "there is no room to map the bus on %s: the address space of this process is limited "
	  "(\"ulimit -v\"), or it has too many mappings" },
	{ ENOMEM, 0, EMBEDDED,
	  "not enough memory in this process for a bus on %s: ask for a smaller one, or, with "
	  "mlockall(), raise \"ulimit -l\"" },
	{ ENOMEM, 0, ON_DEVICE,
	  "not enough memory for a bus on %s: ask for a smaller one, or raise \"ulimit -l\"" },
	{ EMFILE, 0, ANYWHERE, "too many open files in this process for %s: raise \"ulimit -n\"" },
	{ ENFILE, 0, ANYWHERE, "too many open files on this machine for %s" },
};

static const char *find(enum ronbus_doing step, enum place place, int err)
{
	const struct reason *reason = reasons;
	size_t left = sizeof(reasons) / sizeof(reasons[0]);

	for (; left; left--, reason++)
		if (reason->err == err && (!reason->step || reason->step == step) &&
		    (!reason->place || reason->place == place))
			return reason->text;
	return NULL;
}

/* Is it the device that cannot be had, rather than something on it? If that is not noted, try. */
static bool cannot_reach(const char *where, enum ronbus_doing step, int err)
{
	struct ronbus_query query;
	int noted = last.err;
	int ret;

	if (step)
		return step == RONBUS_AT_DEVICE;
	step = last.step;
	ret = ronbus_device_transport.query(where, &query);
	last.step = step;
	last.err = noted;
	return ret == -err;
}

/*
 * Texts that have been returned stay, so that they need no memory of each thread, and no caller has
 * to free them. There are few different ones, unless a program makes up paths.
 */
#define TEXTS_MAX 128U
#define TEXT_SIZE 512

static struct {
	char text[TEXTS_MAX][TEXT_SIZE];
	bool there[TEXTS_MAX];
	unsigned int taken;
} told;

static const char *keep(const char *text, int err)
{
	unsigned int i, taken = __atomic_load_n(&told.taken, __ATOMIC_RELAXED);

	for (i = 0; i < taken && i < TEXTS_MAX; i++)
		/* It has no partner but the store below: it has been written by then. */
		if (__atomic_load_n(&told.there[i], __ATOMIC_ACQUIRE) &&
		    !strcmp(told.text[i], text))
			return told.text[i];
	if (taken < TEXTS_MAX)
		i = __atomic_fetch_add(&told.taken, 1, __ATOMIC_RELAXED);
	if (i >= TEXTS_MAX)
		return strerror(err);
	strcpy(told.text[i], text);
	/* It has no partner but the load above. */
	__atomic_store_n(&told.there[i], true, __ATOMIC_RELEASE);
	return told.text[i];
}

const char *ronbus_why(const char *where, int err)
{
	enum ronbus_doing step = RONBUS_AT_NOTHING;
	const char *format = NULL;
	char text[TEXT_SIZE];
	enum place place;
	int was;

	if (err < 0)
		err = -err;
	where = ronbus_where(where);
	place = strcmp(where, RONBUS_EMBEDDED) ? ON_DEVICE : EMBEDDED;
	if (err == last.err)
		step = last.step;
	was = ronbus_cancel_hold();
	if (err && place == ON_DEVICE && cannot_reach(where, step, err))
		format = ronbus_unreachable(where, err);
	ronbus_cancel_release(was);
	if (!format)
		format = find(step, place, err);
	if (format)
		snprintf(text, sizeof(text), format, where);
	else
		snprintf(text, sizeof(text), "%s: %s", where, strerror(err));
	return keep(text, err);
}
