/* SPDX-License-Identifier: GPL-2.0 */
/* A bus with blocks, and a reader that has them mapped. */
#ifndef RONBUS_BLOCKS_TEST_H
#define RONBUS_BLOCKS_TEST_H

#include "ronbus_kselftest.h"
#include "ronbus_blocks.h"

#define SIZE 4096U
#define BLOCKS 4U
#define PAYLOAD 32U
#define REF sizeof(struct ronbus_block_ref)

/* ---- a bus with blocks ------------------------------------------------------------------ */

static inline int make_bus(int control, u32 blocks, u32 flags)
{
	return bus_create(control, (struct ronbus_create){ .features = RONBUS_F_BLOCKS |
								       RONBUS_F_EDGE_NOTIFY,
							   .flags = flags,
							   .capacity = 1024,
							   .payload = PAYLOAD,
							   .block_size = SIZE,
							   .blocks = blocks });
}

static inline void fill(void *data, u64 number)
{
	u64 *word = data;
	size_t i;

	for (i = 0; i < SIZE / sizeof(*word); i++)
		word[i] = number * 0x9e3779b97f4a7c15 + i;
}

static inline bool whole(const void *data, u64 number)
{
	const u64 *word = data;
	size_t i;

	for (i = 0; i < SIZE / sizeof(*word); i++)
		if (word[i] != number * 0x9e3779b97f4a7c15 + i)
			return false;
	return true;
}

/* Publish a block of @number; where it went, in @ref. */
static int put(int fd, u64 number, struct ronbus_block_ref *ref)
{
	u64 data[SIZE / sizeof(u64)];
	struct ronbus_publish_block args = {
		.data = (uintptr_t)data,
		.len = SIZE,
		.topic = 5,
		.event = (uintptr_t)&number,
		.event_len = sizeof(number),
	};
	int ret;

	fill(data, number);
	ret = do_ioctl(fd, RONBUS_IOC_PUBLISH_BLOCK, &args);
	if (ret)
		return ret;
	if (ref)
		*ref = args.ref;
	return (int)args.receivers;
}

/* A subscriber that has its page and the blocks. */
struct reader {
	struct member m;
	struct ronbus_blocks blocks;
};

static inline int reader_map(struct reader *r, int fd)
{
	void *p;
	int err = member_map(&r->m, fd, PROT_READ);

	if (err)
		return err;
	p = fd_map(fd, r->m.info.blocks_bytes, PROT_READ, RONBUS_MMAP_BLOCKS);
	if (p == MAP_FAILED)
		return -errno;
	ronbus_blocks_view(&r->blocks, p, r->m.info.blocks, r->m.info.block_size);
	return 0;
}

static inline int reader_join(struct reader *r, int bus)
{
	int fd = fd_subscribe(bus, RONBUS_START_LATEST, 0, NULL);

	return fd < 0 ? fd : reader_map(r, fd);
}

static inline void reader_leave(struct reader *r)
{
	munmap(r->blocks.generations, r->m.info.blocks_bytes);
	member_unmap(&r->m);
	close(r->m.fd);
}

static inline bool reader_pin(struct reader *r, int pin, const struct ronbus_block_ref *ref)
{
	return ronbus_blocks_named(&r->blocks, ref) &&
	       ronbus_blocks_pin(&r->blocks, &r->m.self->pins[pin], ref);
}

static inline bool reader_sees(const struct reader *r, const struct ronbus_block_ref *ref,
			       u64 number)
{
	return whole(ronbus_blocks_at(&r->blocks, ref->block), number);
}

FIXTURE(blocks)
{
	int control;
	int bus;
	int pub;
	struct reader reader;
};

FIXTURE_SETUP(blocks)
{
	self->control = OPEN_CONTROL();
	self->bus = make_bus(self->control, BLOCKS, RONBUS_BUS_PERSISTENT);
	ASSERT_LE(0, self->bus);
	self->pub = fd_publisher(self->bus, 0, NULL);
	ASSERT_LE(0, self->pub);
	ASSERT_EQ(0, reader_join(&self->reader, self->bus));
}

FIXTURE_TEARDOWN(blocks)
{
	reader_leave(&self->reader);
	close(self->pub);
	close(self->bus);
	close(self->control);
}

static inline struct ronbus_counters counters(int bus)
{
	struct ronbus_stats stats;

	memset(&stats, 0xff, sizeof(stats));
	fd_stats(bus, RONBUS_STATS_BUS, &stats);
	return stats.counters;
}

/* How many different blocks a row of messages gets: all, if nobody has any, each of them once. */
static inline unsigned int usable(int pub, unsigned int count)
{
	u64 seen[RONBUS_BLOCKS_MAX / 64] = { 0 };
	struct ronbus_block_ref ref;
	unsigned int i, n = 0;

	for (i = 0; i < count; i++) {
		if (put(pub, i, &ref) < 1)
			continue;
		n += !(seen[ref.block / 64] >> ref.block % 64 & 1);
		seen[ref.block / 64] |= 1ULL << ref.block % 64;
	}
	return n;
}

#endif /* RONBUS_BLOCKS_TEST_H */
