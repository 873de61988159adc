// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * registry.c - the buses of this process, by name
 */
#include "embedded.h"

#include <string.h>

#define EMBEDDED_ACCESS_ALL ((__u32)(RONBUS_ACCESS_SUBSCRIBE | RONBUS_ACCESS_PUBLISH))

static struct {
	pthread_mutex_t lock;
	struct embedded_bus *first;
	__u64 last_id;
	__u32 buses; /* made so far: a futex */
} registry = { .lock = PTHREAD_MUTEX_INITIALIZER };

void ronbus_embedded_bus_get(struct embedded_bus *bus)
{
	pthread_mutex_lock(&registry.lock);
	bus->refs++;
	pthread_mutex_unlock(&registry.lock);
}

/* In a child that has inherited it (@inherited), a bus is in no registry. */
void ronbus_embedded_bus_put(struct embedded_bus *bus, bool inherited)
{
	struct embedded_bus **link = &registry.first;
	bool last;

	pthread_mutex_lock(&registry.lock);
	last = !--bus->refs;
	if (last && !inherited) {
		while (*link != bus)
			link = &(*link)->next;
		*link = bus->next;
	}
	pthread_mutex_unlock(&registry.lock);
	if (last)
		ronbus_embedded_bus_free(bus, inherited);
}

void ronbus_embedded_before_fork(void)
{
	pthread_mutex_lock(&registry.lock);
}

/* A child begins without a bus: those of its parent are of no use to it. */
void ronbus_embedded_after_fork(bool child)
{
	if (child)
		registry.first = NULL;
	pthread_mutex_unlock(&registry.lock);
}

/* A bus gives up its name when it is sealed or ends, even if it is still open somewhere. */
static bool has_name(const struct embedded_bus *bus)
{
	return !(RB_READ(&bus->info.status) & RONBUS_STATUS_OVER);
}

/* With the lock of the registry, in which the newest bus is the first. */
static struct embedded_bus *find_bus(const char *name, __u32 flags)
{
	struct embedded_bus *bus;

	for (bus = registry.first; bus; bus = bus->next)
		if (*name && !strcmp(bus->name, name) &&
		    (flags & RONBUS_ATTACH_LAST || has_name(bus)))
			break;
	return bus;
}

static struct embedded_handle *handle_alloc(__u32 access)
{
	struct embedded_handle *handle = ronbus_zalloc(sizeof(*handle));

	if (handle) {
		handle->base.transport = &ronbus_embedded_transport;
		handle->access = access;
	}
	return handle;
}

int ronbus_embedded_create(const char *where, struct ronbus_create *req, struct ronbus **bus)
{
	__u32 tuned_for = ronbus_create_complete(req);
	struct embedded_handle *handle;
	struct embedded_bus *new;
	int err;

	(void)where;
	err = ronbus_create_check(req);
	if (err)
		return err;
	handle = handle_alloc(EMBEDDED_ACCESS_ALL);
	if (!handle)
		return -ENOMEM;
	new = ronbus_embedded_bus_alloc(req);
	if (!new) {
		err = -ENOMEM;
		goto free_handle;
	}
	new->autotuned_for = tuned_for;
	if (!tuned_for && req->features & RONBUS_F_AUTOTUNE_CAP &&
	    req->capacity > RONBUS_CAPACITY_WARN)
		ronbus_embedded_autotune_warn(new, RONBUS_AUTOTUNE_CAPACITY);

	pthread_mutex_lock(&registry.lock);
	if (find_bus(new->name, 0)) {
		pthread_mutex_unlock(&registry.lock);
		err = -EEXIST;
		goto free_bus;
	}
	new->refs = 1;
	new->id = ++registry.last_id;
	new->next = registry.first;
	registry.first = new;
	RB_WRITE(&registry.buses, registry.buses + 1);
	pthread_mutex_unlock(&registry.lock);
	embedded_futex_wake(&registry.buses);

	handle->bus = new;
	handle->base.features = new->info.features;
	*bus = &handle->base;
	return 0;

free_bus:
	ronbus_embedded_bus_free(new, false);
free_handle:
	free(handle);
	return err;
}

static int attach_now(const struct ronbus_attach *req, struct embedded_bus **found, __u32 *buses)
{
	struct embedded_bus *bus;
	__u32 allowed = 0;
	int err = -ENOENT;

	pthread_mutex_lock(&registry.lock);
	*buses = registry.buses;
	bus = find_bus(req->name, req->flags);
	if (bus) {
		/* One process, one owner. */
		allowed |= bus->mode & 0400 ? RONBUS_ACCESS_SUBSCRIBE : 0;
		allowed |= bus->mode & 0200 ? RONBUS_ACCESS_PUBLISH : 0;
		err = req->access & ~allowed ? -EACCES : 0;
	}
	if (!err) {
		bus->refs++;
		*found = bus;
	}
	pthread_mutex_unlock(&registry.lock);
	return err;
}

static int attach_until(const struct ronbus_attach *req, struct embedded_bus **found)
{
	__u32 buses;
	int err;

	for (;;) {
		err = attach_now(req, found, &buses);
		if (err != -ENOENT || !req->deadline)
			return err;
		err = embedded_futex_until(&registry.buses, buses, req->deadline);
		if (err == -ETIMEDOUT || err == -EINTR)
			return err;
	}
}

int ronbus_embedded_attach(const char *where, const struct ronbus_attach *req, struct ronbus **bus)
{
	struct embedded_handle *handle;
	struct embedded_bus *found = NULL;
	int err;

	(void)where;
	if (!req->access || req->access & ~EMBEDDED_ACCESS_ALL || !*req->name ||
	    !ronbus_name_valid(req->name))
		return -EINVAL;
	handle = handle_alloc(req->access);
	if (!handle)
		return -ENOMEM;
	err = attach_until(req, &found);
	if (err) {
		free(handle);
		return err;
	}
	handle->bus = found;
	handle->base.features = found->info.features;
	*bus = &handle->base;
	return 0;
}

void ronbus_embedded_bus_close(struct ronbus *base)
{
	struct embedded_handle *handle = (struct embedded_handle *)base;

	ronbus_embedded_bus_put(handle->bus, false);
	free(handle);
}

void ronbus_embedded_bus_abandon(struct ronbus *base)
{
	ronbus_embedded_bus_put(((struct embedded_handle *)base)->bus, true);
	free(base);
}
