/* SPDX-License-Identifier: GPL-2.0 */
/* The mappings of each member, with the rights that it has. */
#ifndef RONBUS_MMAP_H
#define RONBUS_MMAP_H

#include "ronbus_kselftest.h"

#define PAGE 4096UL

enum {
	BUS,
	PUBLISHER,
	MAPPED,
	SUBSCRIBER,
	ONLY_PUBLISHER,
	ONLY_MAPPED,
	ONLY_SUBSCRIBER,
	ROLES
};
enum {
	INFO,
	RING,
	SELF,
	REGIONS
};

static const unsigned long offsets[REGIONS] = {
	RONBUS_MMAP_INFO,
	RONBUS_MMAP_RING,
	RONBUS_MMAP_SELF,
};

static const char *const role_names[ROLES] = {
	"bus",
	"publisher",
	"mapped publisher",
	"subscriber",
	"publisher without subscribe access",
	"mapped publisher without subscribe access",
	"subscriber without publish access",
};

static const char *const region_names[REGIONS] = { "info", "ring", "self" };

/* What a role may do with a region: 0, PROT_READ, or both; or no mapping at all. */
#define NONE 0
#define RO PROT_READ
#define RW (PROT_READ | PROT_WRITE)

static const int rights[ROLES][REGIONS] = {
	[BUS] = { NONE, NONE, NONE },	     [PUBLISHER] = { RO, RO, RW },
	[MAPPED] = { RO, RW, RW },	     [SUBSCRIBER] = { RO, RO, RW },
	[ONLY_PUBLISHER] = { RO, NONE, RW }, [ONLY_MAPPED] = { RO, RW, RW },
	[ONLY_SUBSCRIBER] = { RO, RO, RW },
};

FIXTURE(map)
{
	int control;
	int writer; /* a bus fd with publish access alone */
	int reader; /* and with subscribe access alone */
	int fd[ROLES];
	size_t size[REGIONS];
};

FIXTURE_SETUP(map)
{
	struct ronbus_info info;

	self->control = OPEN_CONTROL();
	self->fd[BUS] =
		bus_create(self->control, (struct ronbus_create){ .capacity = 256,
								  .payload = 64,
								  .name = "mmap-test",
								  .flags = RONBUS_BUS_PERSISTENT });
	ASSERT_LE(0, self->fd[BUS]);
	self->writer = bus_attach(self->control, "mmap-test", RONBUS_ACCESS_PUBLISH);
	self->reader = bus_attach(self->control, "mmap-test", RONBUS_ACCESS_SUBSCRIBE);
	ASSERT_LE(0, self->writer);
	ASSERT_LE(0, self->reader);
	self->fd[PUBLISHER] = fd_publisher(self->fd[BUS], 0, NULL);
	self->fd[MAPPED] = fd_publisher(self->fd[BUS], RONBUS_PUBLISHER_MAPPED, NULL);
	self->fd[ONLY_PUBLISHER] = fd_publisher(self->writer, 0, NULL);
	self->fd[ONLY_MAPPED] = fd_publisher(self->writer, RONBUS_PUBLISHER_MAPPED, NULL);
	self->fd[SUBSCRIBER] = fd_subscribe(self->fd[BUS], RONBUS_START_LATEST, 0, NULL);
	self->fd[ONLY_SUBSCRIBER] = fd_subscribe(self->reader, RONBUS_START_LATEST, 0, NULL);
	ASSERT_LE(0, self->fd[PUBLISHER]);
	ASSERT_LE(0, self->fd[MAPPED]);
	ASSERT_LE(0, self->fd[ONLY_PUBLISHER]);
	ASSERT_LE(0, self->fd[ONLY_MAPPED]);
	ASSERT_LE(0, self->fd[SUBSCRIBER]);
	ASSERT_LE(0, self->fd[ONLY_SUBSCRIBER]);
	ASSERT_EQ(0, fd_info(self->fd[SUBSCRIBER], &info));
	self->size[INFO] = info.info_bytes;
	self->size[RING] = info.ring_bytes;
	self->size[SELF] = info.self_bytes;
	/* Enough pages to cut something off. */
	ASSERT_LE(4 * PAGE, self->size[RING]);
}

FIXTURE_TEARDOWN(map)
{
	int i;

	for (i = 0; i < ROLES; i++)
		close(self->fd[i]);
	close(self->writer);
	close(self->reader);
	close(self->control);
}

/* 0, with the mapping gone again, or -errno. */
static inline int try_map(int fd, size_t size, int prot, int flags, unsigned long offset)
{
	void *p = (void *)syscall(SYS_mmap, NULL, size, prot, flags, fd, offset);

	if (p == MAP_FAILED)
		return -errno;
	return munmap(p, size) ? -errno : 0;
}

#define MAP(role, region, prot)                                                                \
	({                                                                                     \
		void *__p = fd_map(self->fd[role], self->size[region], prot, offsets[region]); \
		ASSERT_NE(MAP_FAILED, __p);                                                    \
		__p;                                                                           \
	})

static inline int try_protect(void *p, size_t size, int prot)
{
	return mprotect(p, size, prot) ? -errno : 0;
}

/* What was refused at first cannot be had later. */

#endif /* RONBUS_MMAP_H */
