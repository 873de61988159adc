// SPDX-License-Identifier: GPL-2.0
/*
 * A member that may only read tries every way to write that the kernel has.
 */
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include "hostile.h"

/* ---- a subscriber that wants to write --------------------------------------------------- */

/**
 * struct target - where a way tries to get WORD to
 * @to: the word
 * @start: of the mapping
 * @size: of the mapping
 * @prot: it is mapped so
 * @fd: what it is made from
 * @offset: and where there
 * @device: an fd of the module
 *
 * Which error a way meets is its own business: what counts is that not a byte changes. In a mapping
 * of a file that may be written each of them must work, or the test would show nothing.
 */
struct target {
	volatile u64 *to;
	char *start;
	size_t size;
	int prot;
	int fd;
	unsigned long offset;
	int device;
};

#define WORD 0x5caff01d5caff01dULL

static void way_store(struct target *t)
{
	*t->to = WORD;
}

static void way_mprotect(struct target *t)
{
	mprotect(t->start, t->size, PROT_READ | PROT_WRITE);
	mprotect((void *)t->to, 8, PROT_READ | PROT_WRITE);
	*t->to = WORD;
}

static void way_pkey_mprotect(struct target *t)
{
	syscall(SYS_pkey_mprotect, t->start, t->size, PROT_READ | PROT_WRITE, -1);
	*t->to = WORD;
}

static void way_proc_mem(struct target *t)
{
	u64 word = WORD;
	int fd = open("/proc/self/mem", O_RDWR);

	(void)!pwrite(fd, &word, 8, (off_t)(uintptr_t)t->to);
}

/* The parent does it to the child that it traces: its own memory is the same mapping. */
static void way_ptrace(struct target *t)
{
	pid_t me = getpid(), tracer = fork();
	int status;

	if (tracer) {
		waitpid(tracer, &status, 0);
		return;
	}
	if (!ptrace(PTRACE_ATTACH, me, NULL, NULL)) {
		waitpid(me, &status, __WALL);
		ptrace(PTRACE_POKEDATA, me, (void *)t->to, (void *)WORD);
		ptrace(PTRACE_DETACH, me, NULL, NULL);
	}
	_exit(0);
}

static void way_vm_writev(struct target *t)
{
	u64 word = WORD;
	struct iovec from = { &word, 8 }, to = { (void *)t->to, 8 };

	process_vm_writev(getpid(), &from, 1, &to, 1, 0);
}

static void way_read(struct target *t)
{
	u64 word = WORD;
	int pipes[2];

	if (pipe(pipes) || write(pipes[1], &word, 8) != 8)
		return;
	(void)!read(pipes[0], (void *)t->to, 8);
}

static void way_readv(struct target *t)
{
	int fd = (int)syscall(SYS_memfd_create, "words", 0);
	struct iovec to = { (void *)t->to, 8 };
	u64 word = WORD;

	if (write(fd, &word, 8) != 8)
		return;
	(void)!preadv(fd, &to, 1, 0);
}

static void way_recv(struct target *t)
{
	int sockets[2];
	u64 word = WORD;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) || write(sockets[1], &word, 8) != 8)
		return;
	recv(sockets[0], (void *)t->to, 8, 0);
}

/* Pages that a pipe was given; the next write comes after them. */
static void way_splice(struct target *t)
{
	struct iovec vec = { t->start, PAGE };
	u64 word = WORD;
	int pipes[2];

	if (pipe(pipes))
		return;
	vec.iov_len = 8;
	vec.iov_base = (char *)t->to - 8 < t->start ? t->start : (char *)t->to - 8;
	vmsplice(pipes[1], &vec, 1, SPLICE_F_GIFT);
	(void)!write(pipes[1], &word, 8);
	/* And out of a pipe into memory. */
	if (pipe(pipes) || write(pipes[1], &word, 8) != 8)
		return;
	vec.iov_base = (void *)t->to;
	vmsplice(pipes[0], &vec, 1, 0);
}

static void way_futex(struct target *t)
{
	u32 mine = 0;
	volatile u32 *half = (volatile u32 *)t->to;

	syscall(SYS_futex, &mine, FUTEX_WAKE_OP, 1, 1, half, FUTEX_OP(FUTEX_OP_SET, 0xf01, 0, 0));
	syscall(SYS_futex, half + 1, FUTEX_WAKE_OP, 1, 1, half + 1,
		FUTEX_OP(FUTEX_OP_SET, 0xf02, 0, 0));
	syscall(SYS_futex, half, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0);
}

static pid_t ending;

static void *end_of_thread(void *arg)
{
	struct target *t = arg;

	syscall(SYS_set_tid_address, t->to);
	__atomic_store_n(&ending, (pid_t)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	syscall(SYS_exit, 0);
	return NULL;
}

/* The kernel clears a word when a thread ends, which nobody can wait for then: look for it. */
static void way_tid_address(struct target *t)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, end_of_thread, t))
		return;
	while (!__atomic_load_n(&ending, __ATOMIC_SEQ_CST) ||
	       !syscall(SYS_tgkill, getpid(), ending, 0))
		nap();
}

static void way_getrandom(struct target *t)
{
	syscall(SYS_getrandom, t->to, 8, 0);
}

static void way_ioctl(struct target *t)
{
	do_ioctl(t->device, RONBUS_IOC_QUERY, (void *)t->to);
	do_ioctl(t->device, RONBUS_IOC_INFO, (void *)t->to);
	do_ioctl(t->device, RONBUS_IOC_STATS, (void *)t->to);
	(void)fd_read(t->fd, (void *)t->to, 64);
}

/* Into another mapping of the same, if there is one. */
static void put_word(struct target *t, void *p)
{
	if (p != MAP_FAILED)
		*(u64 *)((char *)p + ((char *)t->to - t->start)) = WORD;
}

static void way_second_mapping(struct target *t)
{
	static const int flags[] = { MAP_SHARED, MAP_SHARED_VALIDATE, MAP_PRIVATE,
				     MAP_SHARED | MAP_POPULATE, MAP_SHARED | MAP_LOCKED };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		void *p = mmap(NULL, t->size, PROT_READ | PROT_WRITE, flags[i], t->fd,
			       (off_t)t->offset);

		put_word(t, p);
		p = mmap(NULL, t->size, PROT_WRITE, flags[i], t->fd, (off_t)t->offset);
		put_word(t, p);
	}
}

static void way_reopen(struct target *t)
{
	char path[64];
	int fd;
	void *p;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", t->fd);
	fd = open(path, O_RDWR);
	p = fd < 0 ? MAP_FAILED
		   : mmap(NULL, t->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)t->offset);
	put_word(t, p);
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)t->start,
		 (unsigned long)t->start + t->size);
	fd = open(path, O_RDWR);
	p = fd < 0 ? MAP_FAILED
		   : mmap(NULL, t->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)t->offset);
	put_word(t, p);
}

static void way_remap(struct target *t)
{
	void *away = mmap(NULL, t->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *p;

	syscall(SYS_remap_file_pages, t->start, t->size, 0, t->offset / PAGE, 0);
	p = mremap(t->start, 0, t->size, MREMAP_MAYMOVE);
	put_word(t, p);
	p = mremap(t->start, t->size, t->size, MREMAP_MAYMOVE | MREMAP_FIXED, away);
	put_word(t, p);
	*t->to = WORD;
}

/* Private memory in the place of the mapping can be written, and is nobody else's. */
static void way_fixed(struct target *t)
{
	void *p = mmap(t->start, t->size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	if (p != MAP_FAILED)
		*t->to = WORD;
}

static void way_advice(struct target *t)
{
	static const int advices[] = {
		MADV_DONTNEED, MADV_REMOVE,    MADV_FREE,     MADV_POPULATE_WRITE,
		MADV_PAGEOUT,  MADV_MERGEABLE, MADV_HUGEPAGE, MADV_DOFORK,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(advices); i++)
		madvise(t->start, t->size, advices[i]);
	if (!fork()) {
		mprotect(t->start, t->size, PROT_READ | PROT_WRITE);
		*t->to = WORD;
		_exit(0);
	}
	*t->to = WORD;
}

static int uring_setup(unsigned int entries, struct io_uring_params *params)
{
	memset(params, 0, sizeof(*params));
	return (int)syscall(SYS_io_uring_setup, entries, params);
}

/* Have io_uring read a word: into a buffer that was registered before, or wherever it is. */
static void read_by_uring(struct target *t, bool fixed)
{
	struct iovec vec = { t->start, t->size };
	struct io_uring_params params;
	struct io_uring_sqe *sqe;
	int uring = uring_setup(4, &params), file;
	u64 word = WORD;
	char *ring;

	if (uring < 0 ||
	    (fixed && syscall(SYS_io_uring_register, uring, IORING_REGISTER_BUFFERS, &vec, 1)))
		return;
	file = (int)syscall(SYS_memfd_create, "words", 0);
	if (pwrite(file, &word, 8, 0) != 8)
		return;
	ring = mmap(NULL, params.sq_off.array + params.sq_entries * 4, PROT_READ | PROT_WRITE,
		    MAP_SHARED, uring, IORING_OFF_SQ_RING);
	sqe = mmap(NULL, params.sq_entries * sizeof(*sqe), PROT_READ | PROT_WRITE, MAP_SHARED,
		   uring, IORING_OFF_SQES);
	if (ring == MAP_FAILED || sqe == MAP_FAILED)
		return;
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = fixed ? IORING_OP_READ_FIXED : IORING_OP_READ;
	sqe->fd = file;
	sqe->addr = (uintptr_t)t->to;
	sqe->len = 8;
	*(u32 *)(ring + params.sq_off.array) = 0;
	__atomic_store_n((u32 *)(ring + params.sq_off.tail), 1, __ATOMIC_RELEASE);
	syscall(SYS_io_uring_enter, uring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0);
}

static void way_uring(struct target *t)
{
	read_by_uring(t, false);
}

/* A buffer that is registered is written to without a look at its mapping. */
static void way_uring_fixed(struct target *t)
{
	read_by_uring(t, true);
}

/* Whoever handles the faults of a mapping can put pages there. */
static void way_userfaultfd(struct target *t)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_copy copy = { 0 };
	static u64 page[PAGE / 8] __attribute__((aligned(4096)));
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api))
		return;
	for (size_t i = 0; i < PAGE / 8; i++)
		page[i] = WORD;
	reg.range.start = (uintptr_t)t->start;
	reg.range.len = t->size;
	ioctl(fd, UFFDIO_REGISTER, &reg);
	madvise(t->start, t->size, MADV_DONTNEED);
	madvise(t->start, t->size, MADV_REMOVE);
	copy.dst = (uintptr_t)t->to & ~(PAGE - 1);
	copy.src = (uintptr_t)page;
	copy.len = PAGE;
	ioctl(fd, UFFDIO_COPY, &copy);
}

/**
 * struct way - a way to write
 * @name: what it is called
 * @go: tries it
 * @lasting: by a hold of the pages, which outlives the mapping, or for another process: it works in
 *	no mapping of the module. The others are stores, which go where the program itself may store
 * @spares: it does not get to a file that is mapped, either
 */
struct way {
	const char *name;
	void (*go)(struct target *t);
	bool lasting;
	bool spares;
};

static const struct way ways[] = {
	{ "a store", way_store, .lasting = false },
	{ "mprotect", way_mprotect, .lasting = false },
	{ "pkey_mprotect", way_pkey_mprotect, .lasting = false },
	{ "/proc/self/mem", way_proc_mem, .lasting = true },
	{ "ptrace", way_ptrace, .lasting = true },
	{ "process_vm_writev", way_vm_writev, .lasting = true },
	{ "read", way_read, .lasting = false },
	{ "preadv", way_readv, .lasting = false },
	{ "recv", way_recv, .lasting = false },
	{ "vmsplice", way_splice, .lasting = false },
	{ "futex", way_futex, .lasting = true },
	{ "set_tid_address", way_tid_address, .lasting = false },
	{ "getrandom", way_getrandom, .lasting = false },
	{ "ioctl and read", way_ioctl, .lasting = false },
	{ "a second mapping", way_second_mapping, .lasting = false },
	{ "opening it again", way_reopen, .lasting = false },
	{ "remap_file_pages and mremap", way_remap, .lasting = false },
	{ "MAP_FIXED", way_fixed, .lasting = true, .spares = true },
	{ "madvise", way_advice, .lasting = false },
	{ "io_uring", way_uring, .lasting = false },
	{ "a buffer of io_uring", way_uring_fixed, .lasting = true },
	{ "userfaultfd", way_userfaultfd, .lasting = true },
};

static void *copy_of(const void *from, size_t size)
{
	void *copy = malloc(size);

	if (copy)
		memcpy(copy, from, size);
	return copy;
}

/* In a process of its own, which may well end by a signal; not by hanging. */
static int try_way(const struct way *way, struct target *t)
{
	pid_t pid = fork();
	size_t at;

	if (pid)
		return pid < 0 ? -errno : child_status(pid);
	alarm(20);
	/* Children do not inherit mappings of the module: it makes its own. */
	at = (size_t)((char *)t->to - t->start);
	t->start = mmap(NULL, t->size, t->prot, MAP_SHARED, t->fd, (off_t)t->offset);
	if (t->start == MAP_FAILED)
		_exit(77);
	t->to = (u64 *)(t->start + at);
	if (*t->to == WORD)
		_exit(78);
	way->go(t);
	_exit(0);
}

#define READ_ONLY PROT_READ
#define WRITABLE (PROT_READ | PROT_WRITE)

/* In a file that is mapped and may be written. */
static int try_in_file(const struct way *way, int device)
{
	int file = (int)syscall(SYS_memfd_create, "target", 0);
	struct target t = { .size = 4 * PAGE, .prot = WRITABLE, .fd = file, .device = device };
	int written = -1;

	if (!ftruncate(file, (off_t)t.size)) {
		t.start = mmap(NULL, t.size, WRITABLE, MAP_SHARED, file, 0);
		t.to = (u64 *)(t.start + PAGE + 64);
		*t.to = 0x1234;
		try_way(way, &t);
		written = *t.to != 0x1234;
		munmap(t.start, t.size);
	}
	close(file);
	return written;
}

/* In a mapping of a member, of which this process has one too. Neither 0 nor 1: it hangs, or lies. */
static int try_in_mapping(const struct way *way, const struct member *m, void *start, size_t size,
			  unsigned long offset, int prot)
{
	struct target t = {
		.to = (u64 *)((char *)start + 256),
		.start = start,
		.size = size,
		.prot = prot,
		.fd = m->fd,
		.offset = offset,
		.device = m->fd,
	};
	void *before = copy_of(start, size);
	int status, written;

	status = try_way(way, &t);
	if (!before || status == -SIGALRM || status >= 77)
		return status;
	written = memcmp(before, start, size) != 0;
	free(before);
	return written;
}

TEST_F(hostile, every_way_to_write)
{
	struct publisher p, unmapped;
	struct subscriber s;
	size_t i, n;
	int k;

	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_LATEST, 0));
	ASSERT_EQ(0, publisher_join(&p, self->bus, RONBUS_PUBLISHER_MAPPED));
	ASSERT_EQ(0, publisher_join(&unmapped, self->bus, 0));
	for (n = 0; n < SLOTS + 5; n++) {
		ASSERT_EQ(1, publish_number(&p, n));
	}
	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		const struct way *way = &ways[i];

		EXPECT_EQ(!way->spares, try_in_file(way, self->bus))
		TH_LOG("%s, in a file", way->name);

		/* In what a subscriber maps, and a publisher by system call. */
		for (k = 0; k < 2; k++) {
			struct member *m = k ? &unmapped.m : &s.m;

			EXPECT_EQ(0, try_in_mapping(way, m, (void *)m->page, m->info.info_bytes,
						    RONBUS_MMAP_INFO, READ_ONLY))
			TH_LOG("%s, info page, member %d", way->name, k);
			EXPECT_EQ(0, try_in_mapping(way, m, s.m.ring.head, m->info.ring_bytes,
						    RONBUS_MMAP_RING, READ_ONLY))
			TH_LOG("%s, ring, member %d", way->name, k);
		}

		/* In what may be written: only as long as it is mapped, and by the process that maps it. */
		if (!way->lasting)
			continue;
		EXPECT_EQ(0, try_in_mapping(way, &p.m, p.m.ring.head, p.m.info.ring_bytes,
					    RONBUS_MMAP_RING, WRITABLE))
		TH_LOG("%s, writable ring", way->name);
		EXPECT_EQ(0, try_in_mapping(way, &p.m, p.m.self, PAGE, RONBUS_MMAP_SELF, WRITABLE))
		TH_LOG("%s, own page", way->name);
	}
	publisher_leave(&unmapped);
	publisher_leave(&p);
	subscriber_leave(&s);
}

TEST_HARNESS_MAIN
