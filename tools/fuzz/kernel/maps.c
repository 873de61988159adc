// SPDX-License-Identifier: GPL-2.0
/*
 * maps.c - mapping, and what is done with mapped memory
 *
 * What must never succeed is looked at here: writing what is read-only, by whatever way.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "moves.h"

static struct mapping *map_of(const struct call *call)
{
	return &maps[call->out % MAPS];
}

static void unmap(struct mapping *map)
{
	size_t bytes = atomic_exchange(&map->bytes, 0);

	if (bytes)
		munmap(map_at(map), bytes);
}

static bool may_write(unsigned int region, const struct ronbus_info *info)
{
	if (region_offset(region) == RONBUS_MMAP_INFO)
		return false;
	return (info->role == RONBUS_ROLE_PUBLISHER && info->member) ||
	       region_offset(region) == RONBUS_MMAP_SELF;
}

static size_t bytes_of(bool known, uint64_t offset, const struct ronbus_info *info)
{
	if (known && offset == RONBUS_MMAP_RING && info->ring_bytes)
		return info->ring_bytes;
	if (known && offset == RONBUS_MMAP_BLOCKS && info->blocks_bytes)
		return (info->blocks_bytes + PAGE - 1) & ~(PAGE - 1);
	return PAGE;
}

int run_mmap(const struct call *call)
{
	static const int prots[] = { 1, 3, 3, 1, 3, 2, 7, 4 };
	static const int flags[] = { MAP_SHARED,
				     MAP_SHARED,
				     MAP_SHARED,
				     MAP_SHARED,
				     MAP_SHARED,
				     MAP_PRIVATE,
				     MAP_SHARED | MAP_POPULATE,
				     MAP_SHARED | MAP_LOCKED };
	unsigned int region = call->argument[0] % (regions_count() + 1);
	bool known = region < regions_count();
	uint64_t offset = known ? region_offset(region) : call->argument[0] & ~(PAGE - 1);
	int prot = prots[call->argument[1] % 8], fd = file_get(call->in);
	struct mapping *map = map_of(call);
	struct ronbus_info info = { 0 };
	size_t bytes;

	ioctl(fd, RONBUS_IOC_INFO, &info);
	bytes = bytes_of(known, offset, &info);
	if (call->argument[3] % 16 == 1)
		bytes += PAGE;
	if (call->argument[3] % 16 == 2)
		bytes -= PAGE;
	if (bytes > map_room())
		return -EFBIG;
	unmap(map);
	if (mmap(map_at(map), bytes, prot, flags[call->argument[2] % 8] | MAP_FIXED, fd,
		 (off_t)offset) == MAP_FAILED)
		return -errno;
	if (prot & PROT_EXEC || (prot & PROT_WRITE && known && !may_write(region, &info)))
		say_wrong("a mapping that should have been refused");
	map->writable = prot & PROT_WRITE;
	map->region = region;
	map->owner = info.member;
	memset(&map->ring, 0, sizeof(map->ring));
	if (known && offset == RONBUS_MMAP_RING && info.capacity)
		ronbus_ring_view(&map->ring, map_at(map), info.capacity, info.payload,
				 info.features);
	atomic_store(&map->bytes, bytes);
	return 0;
}

int run_munmap(const struct call *call)
{
	struct mapping *map = map_of(call);
	size_t bytes = map->bytes;

	if (!bytes)
		return -ENOENT;
	if (bytes > PAGE && call->argument[0] % 4 == 1) {
		if (!munmap(map_at(map), PAGE))
			say_wrong("a mapping that was split");
		return -errno;
	}
	unmap(map);
	return 0;
}

int run_mprotect(const struct call *call)
{
	static const int prots[] = { 0, 1, 2, 3, 4, 5, 7, 3 };
	int prot = prots[call->argument[0] % 8];
	struct mapping *map = map_of(call);
	size_t bytes = map->bytes;

	if (!bytes)
		return -ENOENT;
	if (mprotect(map_at(map), bytes, prot))
		return -errno;
	if (prot & PROT_EXEC || (prot & PROT_WRITE && !map->writable))
		say_wrong("mprotect() gave what the mapping did not have");
	if (!(prot & PROT_WRITE)) /* and back, for what follows */
		mprotect(map_at(map), bytes, map->writable ? 3 : 1);
	return 0;
}

int run_mremap(const struct call *call)
{
	struct mapping *map = map_of(call);
	size_t bytes = map->bytes;
	size_t wanted = call->argument[0] % 2 ? bytes + PAGE : bytes;
	char *elsewhere = arena + ARENA + 64 * PAGE, *at;

	if (!bytes)
		return -ENOENT;
	at = mremap(map_at(map), call->argument[0] % 8 == 7 ? 0 : bytes, wanted,
		    MREMAP_MAYMOVE | MREMAP_FIXED, elsewhere);
	if (at == MAP_FAILED)
		return -errno;
	munmap(at, wanted);
	say_wrong("a mapping that was moved");
	return 0;
}

int run_madvise(const struct call *call)
{
	static const int advice[] = { MADV_DONTNEED, MADV_DOFORK,   MADV_DODUMP,
				      MADV_REMOVE,   MADV_DONTFORK, MADV_MERGEABLE,
				      MADV_PAGEOUT,  MADV_WILLNEED, MADV_POPULATE_WRITE,
				      MADV_COLD,     MADV_HUGEPAGE, MADV_FREE };
	struct mapping *map = map_of(call);
	size_t bytes = map->bytes;

	if (!bytes)
		return -ENOENT;
	return done(madvise(map_at(map), bytes, advice[call->argument[0] % ARRAY_SIZE(advice)]));
}

int run_mlock(const struct call *call)
{
	struct mapping *map = map_of(call);
	size_t bytes = map->bytes;

	if (!bytes)
		return -ENOENT;
	return done(call->argument[0] % 2 ? munlock(map_at(map), bytes)
					  : mlock(map_at(map), bytes));
}

/* By a way that does not ask the page tables. */
int run_procmem(const struct call *call)
{
	struct mapping *map = map_of(call);
	struct iovec local = { arena, 8 }, remote = { map_at(map), 8 };
	bool writable = map->writable;
	ssize_t ret;
	int fd;

	if (!map->bytes)
		return -ENOENT;
	if (call->argument[0] % 2) {
		ret = process_vm_writev(getpid(), &local, 1, &remote, 1, 0);
	} else {
		fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
		ret = fd < 0 ? -1 : pwrite(fd, arena, 8, (off_t)(uintptr_t)map_at(map));
		close(fd);
	}
	if (ret > 0 && !writable)
		say_wrong("what is read-only was written past the page tables");
	return done(ret);
}

/* ---- writing into it ------------------------------------------------------------------- */

static size_t slot_word(const struct mapping *map, uint64_t n)
{
	static const size_t strides[] = { 64, 64, 64, 128, 320, 4160 };
	size_t stride = map->ring.stride ? map->ring.stride : strides[n / 64 % ARRAY_SIZE(strides)];

	return (sizeof(struct ronbus_ring_head) + n % 64 * stride) / 8;
}

/* Which word, and what to write there. */
static size_t poke_word(const struct call *call, const struct mapping *map, size_t words,
			uint64_t *value)
{
	uint64_t a = call->argument[1], v = call->argument[2];

	*value = v;
	switch (call->argument[0] % 10) {
	case 0: /* the hint, or a cursor */
		return 0;
	case 1:
	case 8:
		*value = v % 300;
		return 0;
	case 2:
	case 3: /* a state */
		*value = RONBUS_STATE(v % 8 ? v % 8 : v >> 9, (v >> 8) % 64, (v >> 16) % 4);
		return slot_word(map, a) % words;
	case 4: /* a mark */
		*value = v % 8;
		return (slot_word(map, a) + 1) % words;
	case 5: /* length and topic */
		return (slot_word(map, a) + 3) % words;
	case 9: /* a pin */
		*value = v % 8;
		return (offsetof(struct ronbus_self, pins) / 8 + a % RONBUS_PINS_MAX) % words;
	default:
		return a % words;
	}
}

int run_poke(const struct call *call)
{
	uint64_t count = call->argument[0] % 10 == 7 ? call->argument[3] % 128 : 1, i, value;
	struct mapping *map = map_of(call);
	size_t words = map->bytes / 8, word;
	uint64_t *at = (uint64_t *)map_at(map);
	bool writable = map->writable;

	if (!words)
		return -ENOENT;
	word = poke_word(call, map, words, &value);
	for (i = 0; i < count; i++, value = value * 0x9e3779b97f4a7c15ULL + 1) {
		if (!store(at + (word + i) % words, value))
			return -EFAULT;
		if (!writable)
			say_wrong("what is read-only was written");
	}
	return 0;
}

struct flood {
	char *at;
	size_t bytes;
	int value;
};

static void flood_all(void *arg)
{
	const struct flood *flood = arg;

	memset(flood->at, flood->value, flood->bytes);
}

/* All of it: the worst ring there is. */
int run_fill(const struct call *call)
{
	static const int values[] = { 0xff, 0, 0xff, 1, 0x7f, 0x80, 0xff, 0x02 };
	struct mapping *map = map_of(call);
	struct flood flood = { map_at(map), map->bytes, values[call->argument[0] % 8] };
	bool writable = map->writable;

	if (!flood.bytes)
		return -ENOENT;
	if (flood.bytes > 64 * PAGE)
		flood.bytes = 64 * PAGE;
	if (!touch(flood_all, &flood))
		return -EFAULT;
	if (!writable)
		say_wrong("what is read-only was written");
	return 0;
}

/* ---- publishing through it ------------------------------------------------------------- */

struct put {
	const struct call *call;
	const struct mapping *map;
	int err;
};

/* As far as argument 0 says: a publisher may stop anywhere. */
static void put(void *arg)
{
	struct put *this = arg;
	const struct ronbus_ring ring = this->map->ring;
	struct ronbus_claim claim = { .pos = ronbus_ring_hint(&ring) };
	uint64_t a = this->call->argument[0], topic = this->call->argument[1];
	uint32_t owner = this->map->owner;

	this->err = -EAGAIN;
	if (ronbus_ring_claim(&ring, &claim, owner, 64))
		return;
	this->err = 0;
	if (a % 8 == 1)
		return;
	ronbus_ring_write(&ring, claim.pos, this->call->argument[2], topic % 64, &claim,
			  ring.payload < sizeof(claim) ? ring.payload : sizeof(claim));
	if (a % 8 == 2)
		return;
	ronbus_ring_commit_last(&ring, claim.pos, owner);
	if (a % 8 != 3)
		ronbus_ring_advance(&ring, claim.pos + 1);
}

/* A message, as programs publish it; mostly the sleepers are told as well. */
int run_put(const struct call *call)
{
	struct mapping *map = map_of(call);
	struct put this = { call, map, -ENOENT };
	struct ronbus_notify notify = { .subscribers = ~0ULL };

	if (!map->bytes || !map->writable || !map->owner || !map->ring.head)
		return -ENOENT;
	if (!touch(put, &this))
		return -EFAULT;
	if (!this.err && call->argument[0] % 8 > 3)
		return done(ioctl(file_get(call->in), RONBUS_IOC_NOTIFY, &notify));
	return this.err;
}
