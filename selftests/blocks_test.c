// SPDX-License-Identifier: GPL-2.0
/*
 * Blocks: what is refused, which members may map them, their turns, pins.
 *
 * The library's own test runs the same protocol in one process; here is the kernel.
 */
#include <sys/resource.h>
#include <libronbus.h>

#include "blocks.h"

/* ---- what is refused -------------------------------------------------------------------- */

TEST(create_refuses)
{
	static const struct ronbus_create bad[] = {
		{ .block_size = SIZE },
		{ .blocks = 1 },
		{ .features = RONBUS_F_BLOCKS, .block_size = 63 },
		{ .features = RONBUS_F_BLOCKS, .block_size = 100 },
		{ .features = RONBUS_F_BLOCKS, .block_size = RONBUS_BLOCK_SIZE_MAX + 64 },
		{ .features = RONBUS_F_BLOCKS, .blocks = RONBUS_BLOCKS_MAX + 1 },
		{ .features = RONBUS_F_BLOCKS, .blocks = 65, .block_size = RONBUS_BLOCK_SIZE_MAX },
		{ .features = RONBUS_F_BLOCKS, .payload = 8 },
	};
	int control = OPEN_CONTROL();
	struct ronbus_query q;
	struct ronbus_info info;
	size_t i;
	int fd;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		EXPECT_EQ(-EINVAL, bus_create(control, bad[i])) TH_LOG("of bad[%zu]", i);
	}
	ASSERT_EQ(0, do_ioctl(control, RONBUS_IOC_QUERY, &q));
	EXPECT_TRUE(q.features & RONBUS_F_BLOCKS);
	EXPECT_EQ(64U << 20, q.blocks_bytes_max);
	EXPECT_EQ(RONBUS_BLOCK_SIZE_MAX, q.block_size_max);
	EXPECT_EQ(RONBUS_BLOCKS_MAX, q.blocks_max);

	/* What is least, and what is chosen. */
	fd = bus_create(control, (struct ronbus_create){ .features = RONBUS_F_BLOCKS,
							 .payload = 16,
							 .block_size = 64,
							 .blocks = 1 });
	ASSERT_LE(0, fd);
	close(fd);
	fd = bus_create(control,
			(struct ronbus_create){ .features = RONBUS_F_BLOCKS, .capacity = 32 });
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fd_info(fd, &info));
	EXPECT_EQ(RONBUS_BLOCK_SIZE_DEFAULT, info.block_size);
	EXPECT_EQ(32, info.blocks);
	EXPECT_EQ(33 * 4096, info.blocks_bytes);
	close(fd);
	fd = bus_create(control, (struct ronbus_create){ 0 });
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fd_info(fd, &info));
	EXPECT_EQ(0, info.block_size);
	EXPECT_EQ(0, info.blocks);
	EXPECT_EQ(0, info.blocks_bytes);
	close(fd);
	close(control);
}

TEST_F(blocks, publish_refuses)
{
	u64 data[SIZE / 8 + 1] = { 0 }, event[4] = { 0 };
	const struct ronbus_publish_block good = {
		.data = (uintptr_t)data,
		.len = SIZE,
		.event = (uintptr_t)event,
		.event_len = PAYLOAD - REF,
	};
	struct ronbus_publish_block args;
	struct ronbus_counters before, after;
	int plain, pub;
	void *readonly;

#define REFUSED(error, ...)                                                             \
	do {                                                                            \
		args = good;                                                            \
		__VA_ARGS__;                                                            \
		EXPECT_EQ(error, do_ioctl(self->pub, RONBUS_IOC_PUBLISH_BLOCK, &args)); \
	} while (0)

	before = counters(self->bus);
	REFUSED(-EINVAL, args.topic = 64);
	REFUSED(-EINVAL, args.flags = 1);
	REFUSED(-EINVAL, args.pad = 1);
	REFUSED(-EINVAL, args.len = 0);
	REFUSED(-EMSGSIZE, args.len = SIZE + 1);
	REFUSED(-EMSGSIZE, args.len = ~0U);
	REFUSED(-EMSGSIZE, args.event_len = PAYLOAD - REF + 1);
	REFUSED(-EMSGSIZE, args.event_len = ~0U);
	REFUSED(-EFAULT, args.data = 0);
	REFUSED(-EFAULT, args.data = 1ULL << 63);
	REFUSED(-EFAULT, args.data = ~0ULL);
	REFUSED(-EFAULT, args.event = 8);
	EXPECT_EQ(-EFAULT, do_ioctl(self->pub, RONBUS_IOC_PUBLISH_BLOCK, NULL));
	EXPECT_EQ(-EINVAL, do_ioctl(self->pub, cmd_sized(RONBUS_IOC_PUBLISH_BLOCK, 48), &args));
	/* It could not say what it did. */
	readonly = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, readonly);
	memcpy(readonly, &good, sizeof(good));
	ASSERT_EQ(0, mprotect(readonly, 4096, PROT_READ));
	EXPECT_EQ(-EFAULT, do_ioctl(self->pub, RONBUS_IOC_PUBLISH_BLOCK, readonly));
	munmap(readonly, 4096);
	after = counters(self->bus);
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(after)));
	EXPECT_EQ(-ENOTTY, do_ioctl(self->bus, RONBUS_IOC_PUBLISH_BLOCK, &args));
	EXPECT_EQ(-ENOTTY, do_ioctl(self->reader.m.fd, RONBUS_IOC_PUBLISH_BLOCK, &args));
	REFUSED(0, (void)0);
	EXPECT_EQ(1, args.receivers);
	EXPECT_EQ(1, counters(self->bus).blocks_published_total);

	/* Not on a bus without, nor for BPF's publisher. */
	plain = bus_create(self->control, (struct ronbus_create){ 0 });
	pub = fd_publisher(plain, 0, NULL);
	args = good;
	EXPECT_EQ(-EOPNOTSUPP, do_ioctl(pub, RONBUS_IOC_PUBLISH_BLOCK, &args));
	close(pub);
	close(plain);
	pub = fd_publisher(self->bus, RONBUS_PUBLISHER_BPF, NULL);
	if (pub >= 0) {
		args = good;
		EXPECT_EQ(-EOPNOTSUPP, do_ioctl(pub, RONBUS_IOC_PUBLISH_BLOCK, &args));
		close(pub);
	}
}

TEST_F(blocks, mapping_is_for_readers)
{
	const size_t bytes = self->reader.m.info.blocks_bytes;
	int fd = fd_subscribe(self->bus, RONBUS_START_LATEST, 0, NULL), plain, mapped, pipes[2];
	void *p;

	ASSERT_LE(0, fd);
#define NO_MAP(error, fd, size, prot)                                              \
	do {                                                                       \
		errno = 0;                                                         \
		EXPECT_EQ(MAP_FAILED, fd_map(fd, size, prot, RONBUS_MMAP_BLOCKS)); \
		EXPECT_EQ(error, errno);                                           \
	} while (0)
	NO_MAP(EACCES, fd, bytes, PROT_READ | PROT_WRITE);
	NO_MAP(EACCES, fd, bytes, PROT_READ | PROT_EXEC);
	NO_MAP(EINVAL, fd, bytes - 4096, PROT_READ);
	NO_MAP(EINVAL, fd, bytes + 4096, PROT_READ);
	NO_MAP(EINVAL, self->pub, bytes, PROT_READ);
	mapped = fd_publisher(self->bus, RONBUS_PUBLISHER_MAPPED, NULL);
	ASSERT_LE(0, mapped);
	NO_MAP(EINVAL, mapped, bytes, PROT_READ);
	NO_MAP(EINVAL, mapped, bytes, PROT_READ | PROT_WRITE);
	close(mapped);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, RONBUS_MMAP_BLOCKS));
	p = fd_map(fd, bytes, PROT_READ, RONBUS_MMAP_BLOCKS);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-1, mprotect(p, bytes, PROT_READ | PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, mprotect(p, bytes, PROT_READ | PROT_EXEC));
	EXPECT_EQ(-1, madvise(p, bytes, MADV_DOFORK));
	/* Nobody keeps a block by a hold of its pages. */
	ASSERT_EQ(0, pipe(pipes));
	EXPECT_EQ(-1, vmsplice(pipes[1], &(struct iovec){ p, 4096 }, 1, 0));
	EXPECT_EQ(EFAULT, errno);
	close(pipes[0]);
	close(pipes[1]);
	munmap(p, bytes);
	close(fd);

	plain = bus_create(self->control, (struct ronbus_create){ 0 });
	fd = fd_subscribe(plain, RONBUS_START_LATEST, 0, NULL);
	ASSERT_LE(0, fd);
	NO_MAP(EINVAL, fd, bytes, PROT_READ);
	NO_MAP(EINVAL, fd, 4096, PROT_READ);
	close(fd);
	close(plain);
}

/* The memory is the creator's, as that of the ring. */
TEST(memory_is_charged)
{
	pid_t pid = fork();

	if (!pid) {
		const struct rlimit limit = { 512 << 10, 512 << 10 };
		struct ronbus_create args = { .capacity = 64 };
		int control = open(DEVICE, O_RDWR), fd[2];

		if (setrlimit(RLIMIT_MEMLOCK, &limit) || setresgid(4242, 4242, 4242) ||
		    setresuid(4242, 4242, 4242))
			_exit(10);
		fd[0] = bus_create(control, args);
		if (fd[0] < 0)
			_exit(11);
		args.features = RONBUS_F_BLOCKS; /* of 256 KiB each, but for the rest */
		fd[0] = bus_create(control, args);
		if (fd[0] < 0)
			_exit(12);
		fd[1] = bus_create(control, args);
		if (fd[1] != -ENOMEM)
			_exit(13);
		close(fd[0]);
		fd[1] = bus_create(control, args);
		_exit(fd[1] < 0 ? 14 : 0);
	}
	ASSERT_LT(0, pid);
	EXPECT_EQ(0, child_status(pid));
}

/* ---- turns and pins --------------------------------------------------------------------- */

TEST_F(blocks, round_trip)
{
	struct {
		struct ronbus_record record;
		u64 number;
		struct ronbus_block_ref ref;
	} message;
	struct ronbus_block_ref ref;
	u64 i;

	for (i = 1; i < 5 * BLOCKS; i++) {
		ASSERT_EQ(1, put(self->pub, i, &ref));
		ASSERT_EQ(sizeof(message), fd_read(self->reader.m.fd, &message, sizeof(message)));
		EXPECT_EQ(i, message.number);
		EXPECT_EQ(5, message.record.topic);
		EXPECT_EQ(8 + REF, message.record.len);
		EXPECT_EQ(0, memcmp(&ref, &message.ref, REF));
		EXPECT_EQ((i - 1) % BLOCKS, ref.block);
		EXPECT_EQ(SIZE, ref.len);
		ASSERT_TRUE(reader_pin(&self->reader, 0, &ref));
		EXPECT_TRUE(reader_sees(&self->reader, &ref, i));
		ronbus_blocks_unpin(&self->reader.m.self->pins[0]);
	}
	EXPECT_EQ(i - 1, counters(self->bus).blocks_published_total);
	EXPECT_EQ(i - 1, counters(self->bus).published_total);
	EXPECT_EQ(0, counters(self->bus).blocks_pinned_total);
	{
		u64 value = 0;

		EXPECT_EQ(0, fdinfo_value(self->bus, "bus_blocks_published_total", &value));
		EXPECT_EQ(i - 1, value);
	}
}

TEST_F(blocks, nobody_there)
{
	struct ronbus_block_ref ref = { .generation = 1 };

	ASSERT_EQ(1, put(self->pub, 1, &ref));
	ASSERT_TRUE(reader_pin(&self->reader, 0, &ref));
	reader_leave(&self->reader);
	EXPECT_EQ(0, put(self->pub, 2, &ref));
	EXPECT_EQ(0, ref.generation);
	EXPECT_EQ(1, counters(self->bus).no_receivers_total);
	EXPECT_EQ(1, counters(self->bus).blocks_published_total);
	ASSERT_EQ(0, reader_join(&self->reader, self->bus));
	EXPECT_EQ(BLOCKS, usable(self->pub, BLOCKS));
}

/* Topics choose the receivers of a block, too, and the others are counted as filtered. */
TEST(of_interest)
{
	struct ronbus_subscribe five = { .topics = 1 << 5 }, six = { .topics = 1 << 6 };
	int control = OPEN_CONTROL(), bus, pub, others;
	struct ronbus_block_ref ref;
	struct reader reader;

	bus = bus_create(control, (struct ronbus_create){ .features = RONBUS_F_BLOCKS |
								      RONBUS_F_EDGE_NOTIFY |
								      RONBUS_F_INTEREST,
							  .flags = RONBUS_BUS_PERSISTENT,
							  .capacity = 64,
							  .payload = PAYLOAD,
							  .block_size = SIZE,
							  .blocks = BLOCKS });
	ASSERT_LE(0, bus);
	pub = fd_publisher(bus, 0, NULL);
	ASSERT_LE(0, pub);
	others = do_ioctl(bus, RONBUS_IOC_SUBSCRIBE, &six);
	ASSERT_LE(0, others);
	EXPECT_EQ(0, put(pub, 1, &ref));
	EXPECT_EQ(0, ref.generation);
	ASSERT_EQ(0, reader_map(&reader, do_ioctl(bus, RONBUS_IOC_SUBSCRIBE, &five)));
	EXPECT_EQ(1, put(pub, 2, &ref));
	ASSERT_TRUE(reader_pin(&reader, 0, &ref));
	EXPECT_TRUE(reader_sees(&reader, &ref, 2));
	EXPECT_EQ(2, counters(bus).interest_skips_total);
	EXPECT_EQ(1, counters(bus).no_receivers_total);
	EXPECT_EQ(1, counters(bus).addressed_total);
	reader_leave(&reader);
	close(others);
	close(pub);
	close(bus);
	close(control);
}

/* A subscriber that never reads keeps nobody from publishing; what is left is the newest. */
TEST_F(blocks, stalled_reader)
{
	struct ronbus_block_ref refs[3 * BLOCKS];
	u64 i;

	for (i = 0; i < 3 * BLOCKS; i++)
		ASSERT_EQ(1, put(self->pub, i, &refs[i]));
	for (i = 0; i < 2 * BLOCKS; i++)
		EXPECT_FALSE(reader_pin(&self->reader, 0, &refs[i]));
	for (; i < 3 * BLOCKS; i++) {
		EXPECT_TRUE(reader_pin(&self->reader, 0, &refs[i]));
		EXPECT_TRUE(reader_sees(&self->reader, &refs[i], i));
		ronbus_blocks_unpin(&self->reader.m.self->pins[0]);
	}
	EXPECT_EQ(0, counters(self->bus).blocks_dropped_total);
}

TEST_F(blocks, all_pinned)
{
	struct ronbus_block_ref refs[BLOCKS], ref;
	struct reader other;
	unsigned int i;

	ASSERT_EQ(0, reader_join(&other, self->bus));
	for (i = 0; i < BLOCKS; i++) {
		ASSERT_EQ(2, put(self->pub, i, &refs[i]));
		/* By one or the other, the first by both. */
		ASSERT_TRUE(reader_pin(i % 2 ? &self->reader : &other, (int)i, &refs[i]));
	}
	ASSERT_TRUE(reader_pin(&self->reader, 0, &refs[0]));
	EXPECT_EQ(-ENOBUFS, put(self->pub, 9, &ref));
	EXPECT_EQ(-ENOBUFS, put(self->pub, 9, &ref));
	EXPECT_EQ(2, counters(self->bus).blocks_dropped_total);
	EXPECT_EQ(2 * BLOCKS, counters(self->bus).blocks_pinned_total);
	EXPECT_EQ(BLOCKS, counters(self->bus).published_total);
	for (i = 0; i < BLOCKS; i++)
		EXPECT_TRUE(reader_sees(&self->reader, &refs[i], i));

	/* One pin of two is gone: still pinned. Both: free, once. */
	ronbus_blocks_unpin(&other.m.self->pins[0]);
	EXPECT_EQ(-ENOBUFS, put(self->pub, 9, &ref));
	ronbus_blocks_unpin(&self->reader.m.self->pins[0]);
	EXPECT_EQ(2, put(self->pub, 10, &ref));
	EXPECT_EQ(refs[0].block, ref.block);
	ASSERT_TRUE(reader_pin(&self->reader, 0, &ref));
	EXPECT_EQ(-ENOBUFS, put(self->pub, 11, NULL));
	EXPECT_TRUE(reader_sees(&self->reader, &ref, 10));

	/* What a reader had goes with it, and nothing else. */
	reader_leave(&other);
	EXPECT_EQ(1, usable(self->pub, 3 * BLOCKS));
	for (i = 1; i < BLOCKS; i += 2)
		EXPECT_TRUE(reader_sees(&self->reader, &refs[i], i));
	memset(self->reader.m.self->pins, 0, sizeof(self->reader.m.self->pins));
	EXPECT_EQ(BLOCKS, usable(self->pub, BLOCKS));
}

/* As many pins as there can be: the one block that is left is found. */
TEST_F(blocks, every_pin_there_is)
{
	const unsigned int most = RONBUS_SUBSCRIBERS_MAX * RONBUS_PINS_MAX;
	int bus = make_bus(self->control, most + 1, RONBUS_BUS_PERSISTENT);
	int pub = fd_publisher(bus, 0, NULL);
	struct reader *readers = calloc(RONBUS_SUBSCRIBERS_MAX, sizeof(*readers));
	struct ronbus_block_ref ref;
	unsigned int i;

	ASSERT_NE(NULL, readers);
	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++)
		ASSERT_EQ(0, reader_join(&readers[i], bus));
	for (i = 0; i < most; i++) {
		ASSERT_EQ(RONBUS_SUBSCRIBERS_MAX, put(pub, i, &ref));
		ASSERT_TRUE(reader_pin(&readers[i / RONBUS_PINS_MAX], i % RONBUS_PINS_MAX, &ref));
	}
	EXPECT_EQ(1, usable(pub, 3));
	EXPECT_EQ(0, counters(bus).blocks_dropped_total);
	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++)
		reader_leave(&readers[i]);
	free(readers);
	close(pub);
	close(bus);
}

/* ---- through the library ---------------------------------------------------------------- */

FIXTURE(library)
{
	struct ronbus *bus;
};

FIXTURE_VARIANT(library)
{
	u32 bus_flags;
	unsigned int how;
};

FIXTURE_VARIANT_ADD(library, mapped){
	.bus_flags = 0,
	.how = 0,
};

FIXTURE_VARIANT_ADD(library, exclusive){
	.bus_flags = RONBUS_BUS_EXCLUSIVE,
	.how = 0,
};

FIXTURE_VARIANT_ADD(library, by_system_call){
	.bus_flags = RONBUS_BUS_MAP_NONE,
	.how = 0,
};

FIXTURE_SETUP(library)
{
	const struct ronbus_options options = {
		.features = RONBUS_FEATURES_RECOMMENDED | RONBUS_F_BLOCKS,
		.flags = variant->bus_flags,
		.capacity = 16,
		.block_size = SIZE,
		.blocks = BLOCKS,
	};

	ASSERT_EQ(0, ronbus_create(RONBUS_DEVICE, &options, &self->bus));
}

FIXTURE_TEARDOWN(library)
{
	ronbus_close(self->bus);
}

TEST_F(library, messages_with_and_without)
{
	u64 data[SIZE / 8], i, got;
	struct ronbus_block block;
	struct ronbus_stats stats;
	struct ronbus_pub *pub;
	struct ronbus_sub *sub;
	struct ronbus_msg msg;
	char buffer[RONBUS_PAYLOAD_DEFAULT];

	ASSERT_EQ(0, ronbus_publisher(self->bus, variant->how, &pub));
	ASSERT_EQ(0, ronbus_publish_block(pub, 2, NULL, 0, data, 8));
	ASSERT_EQ(0, ronbus_subscribe(self->bus, NULL, &sub));
	for (i = 0; i < 50; i++) {
		ASSERT_EQ(1, ronbus_publish(pub, 1, &i, sizeof(i)));
		fill(data, i);
		ASSERT_EQ(1, ronbus_publish_block(pub, 2, &i, sizeof(i), data, SIZE));
		ASSERT_EQ(RONBUS_MESSAGE, ronbus_try_recv(sub, &got, sizeof(got), &msg));
		EXPECT_EQ(i, got);
		EXPECT_EQ(-EINVAL, ronbus_block_pin(sub, &msg, &block));
		ASSERT_EQ(RONBUS_MESSAGE, ronbus_try_recv(sub, buffer, sizeof(buffer), &msg));
		ASSERT_EQ(0, ronbus_block_pin(sub, &msg, &block));
		EXPECT_EQ(SIZE, block.len);
		EXPECT_TRUE(whole(block.data, i));
		ronbus_block_unpin(sub, &block);
	}
	EXPECT_EQ(-EMSGSIZE, ronbus_publish_block(pub, 2, NULL, 0, data, SIZE + 1));
	ronbus_pub_close(pub);
	ASSERT_EQ(0, ronbus_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(100, stats.counters.published_total);
	EXPECT_EQ(50, stats.counters.blocks_published_total);
	EXPECT_EQ(1, stats.counters.no_receivers_total);
	EXPECT_EQ(100, stats.counters.delivered_total);
	ronbus_sub_close(sub);
}

TEST_HARNESS_MAIN
