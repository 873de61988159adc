// SPDX-License-Identifier: GPL-2.0
/*
 * Blocks: none is held, lost or used twice when a reader or a publisher dies, stops or lies.
 */
static void step_reached(int step);
#define RB_STEP(step) step_reached(step)

#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "blocks.h"

static int stop_at = -1;

static void step_reached(int step)
{
	if (step == stop_at)
		raise(SIGSTOP);
}

/* ---- members that die or stop ----------------------------------------------------------- */

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

/* Its pin is of no message any more, which nobody can tell. */
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

/* It goes on instead: what it pinned before it was overtaken is its own, what came later is not. */
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
 * struct memory - two pages, and the thread that handles their faults
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

TEST_HARNESS_MAIN
