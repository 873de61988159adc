// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * bus.c - bus handles: which transport, and what is refused before it is asked
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STRINGIFY_(x) #x
#define STRINGIFY(x) STRINGIFY_(x)

const char *ronbus_version(void)
{
	return STRINGIFY(RONBUS_VERSION_MAJOR) "." STRINGIFY(RONBUS_VERSION_MINOR) "." STRINGIFY(
		RONBUS_VERSION_PATCH);
}

void *ronbus_zalloc(size_t size)
{
	void *p;

	size = (size + RONBUS_CACHE_LINE - 1) & ~(size_t)(RONBUS_CACHE_LINE - 1);
	p = aligned_alloc(RONBUS_CACHE_LINE, size);
	if (p)
		memset(p, 0, size);
	return p;
}

__u64 ronbus_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (__u64)now.tv_sec * 1000000000ULL + (__u64)now.tv_nsec;
}

__u64 ronbus_now(void)
{
	return ronbus_clock(CLOCK_MONOTONIC);
}

__u64 ronbus_deadline(int64_t timeout_ns)
{
	/* Half of the range each: the sum cannot reach RONBUS_WAIT_FOREVER. */
	return timeout_ns < 0 ? RONBUS_WAIT_FOREVER : ronbus_now() + (__u64)timeout_ns;
}

const char *ronbus_where(const char *where)
{
	if (!where)
		where = secure_getenv("RONBUS_TRANSPORT");
	return where && *where ? where : RONBUS_DEVICE;
}

/* The transport of @where, which is given its default. */
static const struct ronbus_transport *find_transport(const char **where)
{
	*where = ronbus_where(*where);
	return strcmp(*where, RONBUS_EMBEDDED) ? &ronbus_device_transport
					       : &ronbus_embedded_transport;
}

static int copy_name(char to[RONBUS_NAME_SIZE], const char *from)
{
	size_t len = strnlen(from, RONBUS_NAME_SIZE);

	if (len == RONBUS_NAME_SIZE)
		return -EINVAL;
	memset(to, 0, RONBUS_NAME_SIZE);
	memcpy(to, from, len);
	return 0;
}

/* The handle of a bus that has just been made. */
static int enroll(int err, struct ronbus **bus)
{
	if (err || ronbus_enroll(&(*bus)->enrolled, RONBUS_A_BUS))
		return ronbus_why_failed(err);
	(*bus)->transport->bus_close(*bus);
	return ronbus_why_failed(-ENOMEM);
}

int ronbus_create(const char *where, const struct ronbus_options *opts, struct ronbus **bus)
{
	const struct ronbus_transport *transport = find_transport(&where);
	struct ronbus_create req = { 0 };
	size_t i;

	if (opts) {
		for (i = 0; i < sizeof(opts->reserved) / sizeof(opts->reserved[0]); i++)
			if (opts->reserved[i])
				return -EINVAL;
		if (opts->name && copy_name(req.name, opts->name))
			return -EINVAL;
		req.features = opts->features;
		req.flags = opts->flags;
		req.mode = opts->mode;
		req.capacity = opts->capacity;
		req.payload = opts->payload;
		req.subscribers = opts->subscribers;
		req.block_size = opts->block_size;
		req.blocks = opts->blocks;
	}
	ronbus_why_doing(RONBUS_AT_CREATE);
	return enroll(transport->create(where, &req, bus), bus);
}

static int attach(const char *where, const char *name, struct ronbus_attach *req,
		  struct ronbus **bus)
{
	const struct ronbus_transport *transport = find_transport(&where);

	if (copy_name(req->name, name))
		return -EINVAL;
	ronbus_why_doing(RONBUS_AT_ATTACH);
	return enroll(transport->attach(where, req, bus), bus);
}

int ronbus_attach(const char *where, const char *name, unsigned int access, struct ronbus **bus)
{
	struct ronbus_attach req = { .access = access };

	return attach(where, name, &req, bus);
}

int ronbus_attach_wait(const char *where, const char *name, unsigned int access, int64_t timeout_ns,
		       struct ronbus **bus)
{
	struct ronbus_attach req = {
		.access = access,
		.deadline = ronbus_deadline(timeout_ns),
	};

	return attach(where, name, &req, bus);
}

int ronbus_attach_last(const char *where, const char *name, unsigned int access,
		       struct ronbus **bus)
{
	struct ronbus_attach req = { .access = access, .flags = RONBUS_ATTACH_LAST };

	return attach(where, name, &req, bus);
}

/* In each turn another process has made the bus, or ended it. */
#define OPEN_TRIES 100

int ronbus_open(const char *where, const struct ronbus_options *opts, unsigned int access,
		struct ronbus **bus)
{
	unsigned int tries;
	int err;

	if (!opts || !opts->name)
		return -EINVAL;
	for (tries = 0; tries < OPEN_TRIES; tries++) {
		err = ronbus_attach(where, opts->name, access, bus);
		if (err != -ENOENT)
			return err;
		err = ronbus_create(where, opts, bus);
		if (err != -EEXIST)
			return err ? err : 1;
	}
	return ronbus_why_failed(-EAGAIN);
}

int ronbus_adopt(int fd, struct ronbus **bus)
{
	int err;

	ronbus_why_doing(RONBUS_AT_ADOPT);
	err = ronbus_device_adopt(fd, bus);
	if (err || ronbus_enroll(&(*bus)->enrolled, RONBUS_A_BUS))
		return ronbus_why_failed(err);
	free(*bus); /* and the fd stays the caller's */
	return ronbus_why_failed(-ENOMEM);
}

int ronbus_query(const char *where, struct ronbus_query *query)
{
	const struct ronbus_transport *transport = find_transport(&where);

	memset(query, 0, sizeof(*query));
	ronbus_why_doing(RONBUS_AT_NOTHING);
	return ronbus_why_failed(transport->query(where, query));
}

int ronbus_bus_fd(const struct ronbus *bus)
{
	ronbus_why_doing(RONBUS_AT_FD);
	return ronbus_why_failed(bus->transport->bus_fd(bus));
}

int ronbus_share(const struct ronbus *bus, unsigned int access)
{
	ronbus_why_doing(RONBUS_AT_FD);
	return ronbus_why_failed(bus->transport->share(bus, access));
}

int ronbus_bus_info(struct ronbus *bus, struct ronbus_info *info)
{
	memset(info, 0, sizeof(*info));
	return bus->transport->bus_info(bus, info);
}

int ronbus_seal(struct ronbus *bus)
{
	ronbus_why_doing(RONBUS_AT_SEAL);
	return ronbus_why_failed(bus->transport->seal(bus));
}

void ronbus_close(struct ronbus *bus)
{
	if (!bus)
		return;
	ronbus_unenroll(&bus->enrolled);
	bus->transport->bus_close(bus);
}
