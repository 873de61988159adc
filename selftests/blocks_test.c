// SPDX-License-Identifier: GPL-2.0
/*
 * Blocks: what is refused, who may map them, their turns, pins; and that nothing is held, lost or
 * used twice, whoever dies, stops or lies.
 *
 * The library's own test runs the same protocol in one process; here are the kernel and death.
 */
static void step_reached(int step);
#define RB_STEP(step) step_reached(step)

#include "ronbus_kselftest.h"
#include "ronbus_blocks.h"

#include <libronbus.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define SIZE 4096U
#define BLOCKS 4U
#define PAYLOAD 32U
#define REF sizeof(struct ronbus_block_ref)

static int stop_at = -1;

static void step_reached(int step)
{
	if (step == stop_at)
		raise(SIGSTOP);
}

/* ---- a bus with blocks ------------------------------------------------------------------ */

static int make_bus(int control, u32 blocks, u32 flags)
{
	return bus_create(control, (struct ronbus_create){ .features = RONBUS_F_BLOCKS |
								       RONBUS_F_EDGE_NOTIFY,
							   .flags = flags,
							   .capacity = 1024,
							   .payload = PAYLOAD,
							   .block_size = SIZE,
							   .blocks = blocks });
}

static void fill(void *data, u64 number)
{
	u64 *word = data;
	size_t i;

	for (i = 0; i < SIZE / sizeof(*word); i++)
		word[i] = number * 0x9e3779b97f4a7c15 + i;
}

static bool whole(const void *data, u64 number)
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

static int reader_map(struct reader *r, int fd)
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

static int reader_join(struct reader *r, int bus)
{
	int fd = fd_subscribe(bus, RONBUS_START_LATEST, 0, NULL);

	return fd < 0 ? fd : reader_map(r, fd);
}

static void reader_leave(struct reader *r)
{
	munmap(r->blocks.generations, r->m.info.blocks_bytes);
	member_unmap(&r->m);
	close(r->m.fd);
}

static bool reader_pin(struct reader *r, int pin, const struct ronbus_block_ref *ref)
{
	return ronbus_blocks_named(&r->blocks, ref) &&
	       ronbus_blocks_pin(&r->blocks, &r->m.self->pins[pin], ref);
}

static bool reader_sees(const struct reader *r, const struct ronbus_block_ref *ref, u64 number)
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

static struct ronbus_counters counters(int bus)
{
	struct ronbus_stats stats;

	memset(&stats, 0xff, sizeof(stats));
	fd_stats(bus, RONBUS_STATS_BUS, &stats);
	return stats.counters;
}

/* How many different blocks a row of messages gets: all, if nobody has any, each of them once. */
static unsigned int usable(int pub, unsigned int count)
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

/* Topics choose who gets a block, too, and whom it spares is counted. */
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

/* Who never reads keeps nobody from publishing; what is left is the newest. */
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

/* ---- who dies, or stops ----------------------------------------------------------------- */

FIXTURE(step)
{
	int control;
	int bus;
	int pub;
	struct reader reader;
};

FIXTURE_VARIANT(step)
{
	int step;
	bool stale; /* the message is overtaken first */
	bool held; /* its block is not to be had while the victim is there */
};

FIXTURE_VARIANT_ADD(step, pinning){
	.step = RONBUS_STEP_PINNING,
	.stale = false,
	.held = true,
};

FIXTURE_VARIANT_ADD(step, pinned){
	.step = RONBUS_STEP_PINNED,
	.stale = false,
	.held = true,
};

/* Its pin is of no message any more, but who is to know. */
FIXTURE_VARIANT_ADD(step, stale){
	.step = RONBUS_STEP_STALE,
	.stale = true,
	.held = true,
};

FIXTURE_SETUP(step)
{
	self->control = OPEN_CONTROL();
	self->bus = make_bus(self->control, BLOCKS, RONBUS_BUS_PERSISTENT);
	ASSERT_LE(0, self->bus);
	self->pub = fd_publisher(self->bus, 0, NULL);
	ASSERT_EQ(0, reader_join(&self->reader, self->bus));
}

FIXTURE_TEARDOWN(step)
{
	reader_leave(&self->reader);
	close(self->pub);
	close(self->bus);
	close(self->control);
}

static int victim_main(int bus, int step, int go, int joined)
{
	struct ronbus_block_ref ref;
	struct reader r;

	if (reader_join(&r, bus) || write(joined, "", 1) != 1 || read(go, &ref, REF) != REF)
		return 1;
	stop_at = step;
	return reader_pin(&r, 3, &ref) ? 0 : 3;
}

TEST_F(step, killed)
{
	struct ronbus_block_ref refs[2 * BLOCKS];
	int go[2], joined[2], status;
	unsigned int i, n = 0;
	pid_t pid;
	char c;

	ASSERT_EQ(0, pipe(go));
	ASSERT_EQ(0, pipe(joined));
	pid = fork();
	if (!pid)
		_exit(victim_main(self->bus, variant->step, go[0], joined[1]));
	ASSERT_LT(0, pid);
	ASSERT_EQ(1, read(joined[0], &c, 1));
	for (; n < (variant->stale ? BLOCKS + 1 : 1U); n++)
		ASSERT_EQ(2, put(self->pub, n, &refs[n]));
	ASSERT_EQ(REF, write(go[1], &refs[0], REF));
	ASSERT_EQ(pid, waitpid(pid, &status, WUNTRACED));
	ASSERT_TRUE(WIFSTOPPED(status));

	/* It holds one block, and nobody up. */
	EXPECT_EQ(BLOCKS - variant->held, usable(self->pub, 3 * BLOCKS));
	EXPECT_EQ(0, counters(self->bus).blocks_dropped_total);
	if (!variant->stale) {
		EXPECT_TRUE(reader_sees(&self->reader, &refs[0], 0));
	}
	for (i = 0; i < BLOCKS; i++)
		ASSERT_EQ(2, put(self->pub, i, NULL));
	kill(pid, SIGKILL);
	EXPECT_EQ(-SIGKILL, child_status(pid));
	EXPECT_EQ(BLOCKS, usable(self->pub, BLOCKS));
	close(go[0]);
	close(go[1]);
	close(joined[0]);
	close(joined[1]);
}

/* It goes on instead: what it pinned before it was overtaken is its own, behind that it is not. */
TEST_F(step, continued)
{
	struct ronbus_block_ref refs[2 * BLOCKS];
	int go[2], joined[2], status;
	unsigned int n = 0;
	pid_t pid;
	char c;

	ASSERT_EQ(0, pipe(go));
	ASSERT_EQ(0, pipe(joined));
	pid = fork();
	if (!pid)
		_exit(victim_main(self->bus, variant->step, go[0], joined[1]));
	ASSERT_LT(0, pid);
	ASSERT_EQ(1, read(joined[0], &c, 1));
	for (; n < (variant->stale ? BLOCKS + 1 : 1U); n++)
		ASSERT_EQ(2, put(self->pub, n, &refs[n]));
	ASSERT_EQ(REF, write(go[1], &refs[0], REF));
	ASSERT_EQ(pid, waitpid(pid, &status, WUNTRACED));
	ASSERT_TRUE(WIFSTOPPED(status));
	for (; n < 2 * BLOCKS; n++)
		ASSERT_EQ(2, put(self->pub, n, &refs[n]));
	kill(pid, SIGCONT);
	EXPECT_EQ(variant->step == RONBUS_STEP_PINNED ? 0 : 3, child_status(pid));
	EXPECT_EQ(BLOCKS, usable(self->pub, BLOCKS));
	close(go[0]);
	close(go[1]);
	close(joined[0]);
	close(joined[1]);
}

/* One subscriber has everything: its bus has no blocks until it dies, another bus does not notice. */
TEST_F(blocks, greedy)
{
	int other_bus = make_bus(self->control, BLOCKS, RONBUS_BUS_PERSISTENT);
	int other_pub = fd_publisher(other_bus, 0, NULL), joined[2], i;
	struct reader other;
	pid_t pid;
	char c;

	ASSERT_EQ(0, reader_join(&other, other_bus));
	ASSERT_EQ(0, pipe(joined));
	pid = fork();
	if (!pid) {
		struct reader r;

		if (reader_join(&r, self->bus))
			_exit(1);
		for (i = 0; i < (int)BLOCKS; i++)
			RB_WRITE(&r.m.self->pins[i], (u64)i + 1);
		if (write(joined[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	ASSERT_LT(0, pid);
	ASSERT_EQ(1, read(joined[0], &c, 1));
	for (i = 0; i < 10; i++)
		EXPECT_EQ(-ENOBUFS, put(self->pub, 1, NULL));
	EXPECT_EQ(10, counters(self->bus).blocks_dropped_total);
	EXPECT_EQ(BLOCKS, usable(other_pub, BLOCKS));
	{
		u64 number = 7;
		struct ronbus_vec vec = { .data = (uintptr_t)&number, .len = 8 };

		EXPECT_EQ(1, fd_publish(self->pub, 1, &vec, 1, NULL));
	}
	kill(pid, SIGKILL);
	EXPECT_EQ(-SIGKILL, child_status(pid));
	EXPECT_EQ(BLOCKS, usable(self->pub, BLOCKS));
	reader_leave(&other);
	close(other_pub);
	close(other_bus);
	close(joined[0]);
	close(joined[1]);
}

/* Its own page is all that a subscriber can write: whatever is there, an honest one reads whole blocks. */
TEST_F(blocks, hostile)
{
	u64 random = random_seed(), i, published = 0, dropped = 0;
	struct ronbus_block_ref ref;
	pid_t pid = fork();

	if (!pid) {
		struct reader r;
		unsigned int k;

		if (reader_join(&r, self->bus))
			_exit(1);
		for (;;) {
			random = random_next(random);
			k = random >> 32;
			RB_WRITE(&r.m.self->pins[k % RONBUS_PINS_MAX],
				 random % 3 ? random % (BLOCKS + 2) : random);
			RB_WRITE(&r.m.self->cursor, random);
		}
	}
	ASSERT_LT(0, pid);
	for (i = 0; i < 3000; i++) {
		int ret = put(self->pub, i, &ref);

		ASSERT_TRUE(ret == -ENOBUFS || ret == 1 || ret == 2);
		if (ret < 0) {
			dropped++;
			continue;
		}
		published++;
		ASSERT_TRUE(reader_pin(&self->reader, 0, &ref));
		ASSERT_TRUE(reader_sees(&self->reader, &ref, i));
		ronbus_blocks_unpin(&self->reader.m.self->pins[0]);
	}
	kill(pid, SIGKILL);
	EXPECT_EQ(-SIGKILL, child_status(pid));
	EXPECT_EQ(published, counters(self->bus).blocks_published_total);
	EXPECT_EQ(dropped, counters(self->bus).blocks_dropped_total);
	EXPECT_EQ(BLOCKS, usable(self->pub, BLOCKS));
}

/**
 * struct crowd - what members that come and go tell the test
 * @stop: readers are to end
 * @pinned: blocks that were pinned, and whole
 * @torn: and that were not
 */
struct crowd {
	u32 stop;
	u64 pinned;
	u64 torn;
};

/* One life of a reader: it reads what there is, and leaves with some of its pins as they are. */
static int read_a_little(int bus, struct crowd *crowd, u64 *random)
{
	struct {
		struct ronbus_record record;
		u64 number;
		struct ronbus_block_ref ref;
	} message;
	struct reader r;
	int i, pin;

	if (reader_join(&r, bus) || fd_nonblock(r.m.fd))
		return 1;
	for (i = 0; i < 30; i++) {
		*random = random_next(*random);
		pin = (int)(*random >> 40) % RONBUS_PINS_MAX;
		ronbus_blocks_unpin(&r.m.self->pins[pin]);
		fd_wait(r.m.fd, now_ns() + 1000000);
		if (fd_read(r.m.fd, &message, sizeof(message)) != sizeof(message) ||
		    !reader_pin(&r, pin, &message.ref))
			continue;
		if (reader_sees(&r, &message.ref, message.number) &&
		    reader_sees(&r, &message.ref, message.number))
			__atomic_fetch_add(&crowd->pinned, 1, __ATOMIC_RELAXED);
		else
			__atomic_fetch_add(&crowd->torn, 1, __ATOMIC_RELAXED);
		if (*random >> 60)
			ronbus_blocks_unpin(&r.m.self->pins[pin]);
	}
	reader_leave(&r);
	return 0;
}

static int read_in_turns(int bus, struct crowd *crowd, u64 random)
{
	int err = 0;

	while (!err && !RB_READ(&crowd->stop))
		err = read_a_little(bus, crowd, &random);
	return err;
}

static int publish_a_lot(int bus, u64 first)
{
	int pub = fd_publisher(bus, 0, NULL), ret;
	u64 i;

	for (i = 0; i < 500; i++) {
		ret = put(pub, first + i, NULL);
		if (ret < 0 && ret != -ENOBUFS)
			return 1;
	}
	return 0;
}

/* Publishers that look for blocks at the same time, and readers that pin, leave and come. */
TEST_F(blocks, crowd)
{
	struct crowd *crowd = shared_memory(sizeof(*crowd));
	int bus = make_bus(self->control, 2 * BLOCKS, RONBUS_BUS_PERSISTENT), pub, i;
	pid_t pubs[3], readers[3];

	ASSERT_NE(NULL, crowd);
	ASSERT_LE(0, bus);
	for (i = 0; i < 3; i++) {
		readers[i] = fork();
		ASSERT_LE(0, readers[i]);
		if (!readers[i])
			_exit(read_in_turns(bus, crowd, random_seed() + (u64)i));
		pubs[i] = fork();
		ASSERT_LE(0, pubs[i]);
		if (!pubs[i])
			_exit(publish_a_lot(bus, (u64)i << 32));
	}
	for (i = 0; i < 3; i++)
		EXPECT_EQ(0, child_status(pubs[i]));
	RB_WRITE(&crowd->stop, 1);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(0, child_status(readers[i]));
	EXPECT_LT(0, crowd->pinned);
	EXPECT_EQ(0, crowd->torn);
	/* Nobody is left: every block can be had. */
	pub = fd_publisher(bus, 0, NULL);
	i = fd_subscribe(bus, RONBUS_START_LATEST, 0, NULL);
	EXPECT_EQ(2 * BLOCKS, usable(pub, 2 * BLOCKS));
	close(i);
	close(pub);
	close(bus);
}

/* Somebody else makes a message that names blocks: of what it says, nothing is more than a guess. */
TEST_F(blocks, forged)
{
	struct ronbus_block_ref ref;
	u64 random = random_seed();
	unsigned int i;

	for (i = 0; i < 100000; i++) {
		random = random_next(random);
		ref.block = random % 2 ? random >> 32 : random % (2 * BLOCKS);
		random = random_next(random);
		ref.len = random % 2 ? random >> 32 : random % (2 * SIZE);
		ref.generation = random % 16;
		EXPECT_FALSE(reader_pin(&self->reader, 0, &ref));
	}
	EXPECT_EQ(0, self->reader.m.self->pins[0]);
}

/*
 * The kernel looks whether data can be read, then takes a block and copies what it can have without
 * waiting. If that is not all it gives the block back, copies the data elsewhere and takes a block
 * again. With userfaultfd(2) the test is told when it looks at the second page, and does something to
 * the first.
 */
enum trick {
	TRICK_STALL_LOOKING, /* the second page never comes */
	TRICK_VANISH, /* the first page is gone when it is copied */
	TRICK_STALL_COPYING, /* the first page does not come again before it is told to: no more then */
	TRICK_NO_MEMORY, /* the first page comes again, and there is no memory for a copy */
};

/**
 * struct memory - two pages, and who handles their faults
 * @trick: what is done
 * @uffd: where faults are told
 * @told: where it says that the publisher waits
 * @go: where it is told to let it fail, or -1
 * @nth: where faults are injected into the publisher, or -1
 * @pages: the pages
 */
struct memory {
	enum trick trick;
	int uffd;
	int told;
	int go;
	int nth;
	char *pages;
};

/* It waits for a page that will never come. */
static void let_it_wait(struct memory *memory, u64 page)
{
	struct uffdio_range range = { .start = page, .len = 4096 };
	char byte;

	(void)!write(memory->told, "", 1);
	if (memory->go < 0 || read(memory->go, &byte, 1) != 1)
		return;
	mprotect((void *)(uintptr_t)page, 4096, PROT_NONE);
	ioctl(memory->uffd, UFFDIO_WAKE, &range);
}

static void play(struct memory *memory)
{
	if (memory->trick == TRICK_VANISH)
		mprotect(memory->pages, 4096, PROT_NONE);
	else
		madvise(memory->pages, 4096, MADV_DONTNEED);
	if (memory->nth >= 0)
		(void)!write(memory->nth, "1", 1);
}

static void *memory_main(void *arg)
{
	struct memory *memory = arg;
	bool played = false;

	for (;;) {
		struct uffdio_zeropage zero = { .range.len = 4096 };
		struct uffd_msg msg;
		bool second;

		if (read(memory->uffd, &msg, sizeof(msg)) != sizeof(msg))
			return NULL;
		zero.range.start = msg.arg.pagefault.address & ~4095ULL;
		second = zero.range.start != (uintptr_t)memory->pages;
		if (second ? memory->trick == TRICK_STALL_LOOKING : played) {
			let_it_wait(memory, zero.range.start);
			continue;
		}
		if (second && !played) {
			played = true;
			play(memory);
		}
		ioctl(memory->uffd, UFFDIO_ZEROPAGE, &zero);
	}
}

/* Publish from such memory; what the ioctl returns. */
static int put_tricky(int pub, struct memory memory)
{
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_api api = { .api = UFFD_API };
	struct ronbus_publish_block args = { .len = SIZE };
	pthread_t thread;
	int ret;

	memory.uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	memory.pages =
		mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	reg.range.start = (uintptr_t)memory.pages;
	reg.range.len = 2 * 4096;
	if (memory.uffd < 0 || ioctl(memory.uffd, UFFDIO_API, &api) ||
	    ioctl(memory.uffd, UFFDIO_REGISTER, &reg) ||
	    pthread_create(&thread, NULL, memory_main, &memory))
		return -ENOSYS;
	args.data = (uintptr_t)memory.pages + 2048;
	ret = do_ioctl(pub, RONBUS_IOC_PUBLISH_BLOCK, &args);
	pthread_cancel(thread);
	pthread_join(thread, NULL);
	close(memory.uffd);
	munmap(memory.pages, 2 * 4096);
	return ret;
}

/* The data vanishes under the copy: nothing is published, and the block is there for the next. */
TEST_F(blocks, data_vanishes)
{
	struct ronbus_block_ref ref;
	u64 i;

	for (i = 0; i < BLOCKS; i++)
		ASSERT_EQ(1, put(self->pub, i, &ref));
	for (i = 0; i < 2 * BLOCKS; i++)
		ASSERT_EQ(-EFAULT, put_tricky(self->pub, (struct memory){ TRICK_VANISH, -1, -1, -1,
									  -1, NULL }));
	EXPECT_EQ(BLOCKS, counters(self->bus).blocks_published_total);
	EXPECT_EQ(BLOCKS, counters(self->bus).published_total);
	/* However often: it cost one message its block, the oldest. */
	for (i = 0; i < BLOCKS; i++) {
		ref = (struct ronbus_block_ref){ .block = (u32)i, .len = SIZE, .generation = 1 };
		EXPECT_EQ(i > 0, reader_pin(&self->reader, 0, &ref));
		ronbus_blocks_unpin(&self->reader.m.self->pins[0]);
	}
	EXPECT_EQ(1, put(self->pub, 9, &ref));
	EXPECT_EQ(0, ref.block);
	EXPECT_EQ(BLOCKS, usable(self->pub, BLOCKS));
}

#define FAILSLAB "/sys/kernel/debug/failslab/"

TEST_F(blocks, no_memory_for_a_copy)
{
	int nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);

	if (nth < 0 || write_file(FAILSLAB "ignore-gfp-wait", "N") ||
	    write_file(FAILSLAB "verbose", "0"))
		SKIP(return, "this kernel injects no faults: vm/kernel debug is one that does");
	EXPECT_EQ(-ENOMEM,
		  put_tricky(self->pub, (struct memory){ TRICK_NO_MEMORY, -1, -1, -1, nth, NULL }));
	EXPECT_EQ(0, counters(self->bus).blocks_published_total);
	EXPECT_EQ(BLOCKS, usable(self->pub, BLOCKS));
	close(nth);
}

FIXTURE(stalled)
{
	int control;
	int bus;
	int pub;
	struct reader reader;
	int told[2];
	int go[2];
	pid_t pids[BLOCKS];
};

FIXTURE_VARIANT(stalled)
{
	enum trick trick;
	u32 blocks;
};

FIXTURE_VARIANT_ADD(stalled, looking){
	.trick = TRICK_STALL_LOOKING,
	.blocks = BLOCKS,
};

FIXTURE_VARIANT_ADD(stalled, copying){
	.trick = TRICK_STALL_COPYING,
	.blocks = BLOCKS,
};

FIXTURE_VARIANT_ADD(stalled, copying_with_many_blocks){
	.trick = TRICK_STALL_COPYING,
	.blocks = 64,
};

/* As many publishers as a bus may have blocks: each waits for its own memory, for ever. */
FIXTURE_SETUP(stalled)
{
	unsigned int i;
	char c;

	self->control = OPEN_CONTROL();
	self->bus = make_bus(self->control, variant->blocks, RONBUS_BUS_PERSISTENT);
	ASSERT_LE(0, self->bus);
	self->pub = fd_publisher(self->bus, 0, NULL);
	ASSERT_EQ(0, reader_join(&self->reader, self->bus));
	ASSERT_EQ(0, pipe(self->told));
	ASSERT_EQ(0, pipe(self->go));
	for (i = 0; i < BLOCKS; i++) {
		self->pids[i] = fork();
		ASSERT_LE(0, self->pids[i]);
		if (!self->pids[i])
			_exit(put_tricky(fd_publisher(self->bus, 0, NULL),
					 (struct memory){ variant->trick, -1, self->told[1],
							  self->go[0], -1, NULL }) == -EFAULT
				      ? 1
				      : 2);
		ASSERT_EQ(1, read(self->told[0], &c, 1));
	}
}

FIXTURE_TEARDOWN(stalled)
{
	EXPECT_EQ(variant->blocks, usable(self->pub, variant->blocks));
	reader_leave(&self->reader);
	close(self->pub);
	close(self->bus);
	close(self->control);
}

/* Others do not wait for them, and have all the blocks. Then they are killed. */
TEST_F(stalled, killed)
{
	unsigned int i;

	EXPECT_EQ(variant->blocks, usable(self->pub, 3 * variant->blocks));
	EXPECT_EQ(3 * variant->blocks, counters(self->bus).blocks_published_total);
	EXPECT_EQ(0, counters(self->bus).blocks_dropped_total);
	for (i = 0; i < BLOCKS; i++) {
		kill(self->pids[i], SIGKILL);
		EXPECT_EQ(-SIGKILL, child_status(self->pids[i]));
	}
	EXPECT_EQ(3 * variant->blocks, counters(self->bus).blocks_published_total);
}

/* They fail at last: that costs no message its block, whatever others did meanwhile. */
TEST_F(stalled, fails)
{
	const u32 before = variant->blocks / 3, all = variant->blocks;
	struct ronbus_block_ref refs[64];
	unsigned int i;

	for (i = 0; i < before; i++)
		ASSERT_EQ(1, put(self->pub, i, &refs[i]));
	ASSERT_EQ(BLOCKS, write(self->go[1], "xxxxxxxx", BLOCKS));
	for (i = 0; i < BLOCKS; i++)
		EXPECT_EQ(1, child_status(self->pids[i]));
	for (i = before; i < all; i++)
		ASSERT_EQ(1, put(self->pub, i, &refs[i]));
	for (i = 0; i < all; i++) {
		EXPECT_TRUE(reader_pin(&self->reader, 0, &refs[i])) TH_LOG("message %u", i);
		ronbus_blocks_unpin(&self->reader.m.self->pins[0]);
	}
	EXPECT_EQ(all, counters(self->bus).blocks_published_total);
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
