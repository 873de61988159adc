// SPDX-License-Identifier: GPL-2.0
/*
 * Members that mean harm: what they cannot do, and which others they cannot reach. While each of
 * them tries, another bus runs beside it whose subscriber accounts for every position: on that bus
 * nothing may happen at all. On their own bus there may happen what ronbus(7) says under "Trust".
 *
 * RONBUS_SECONDS makes what is done by chance run so long; RONBUS_SEED repeats it.
 */
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include "ronbus_kselftest.h"

#define SLOTS 64U
#define LEN 32U
#define PAGE 4096UL

/* ---- the bus beside it ------------------------------------------------------------------ */

/**
 * struct witness - what the other bus's subscriber saw, shared with the test
 * @stop: the publisher is to leave
 * @received: messages
 * @lost: positions it was told it lost
 * @wrong: messages that were not exactly the next one, after what was lost
 */
struct witness {
	u32 stop;
	u64 received;
	u64 lost;
	u64 wrong;
};

FIXTURE(hostile)
{
	int control;
	int bus;
	u64 seed;
	struct witness *witness;
	pid_t beside[2];
};

/* Position and number go together: it is the only publisher, and every publish succeeds. */
static int beside_publish(int bus, struct witness *witness)
{
	struct publisher p;
	u64 i;

	if (publisher_join(&p, bus, RONBUS_PUBLISHER_MAPPED))
		return 1;
	for (i = 0; !__atomic_load_n(&witness->stop, __ATOMIC_SEQ_CST); i++) {
		if (publish_number(&p, i) != 1)
			return 2;
		usleep(200);
	}
	return p.m.self->messages_for[1] == i && !p.m.self->dropped ? 0 : 3;
}

static int beside_subscribe(struct subscriber *s, struct witness *witness)
{
	struct message msg;
	u64 next = SLOTS;
	int ret;

	while ((ret = subscriber_read(s, &msg))) {
		if (ret == -EAGAIN)
			ret = fd_wait(s->m.fd, RONBUS_WAIT_FOREVER);
		if (ret < 0)
			return 1;
		if (ret != 1)
			continue;
		next += msg.lost;
		witness->wrong +=
			msg.position != next || !message_whole(msg.data, msg.len, next - SLOTS);
		witness->lost += msg.lost;
		__atomic_store_n(&witness->received, witness->received + 1, __ATOMIC_SEQ_CST);
		next++;
	}
	return subscriber_identity(s) && !s->m.self->holes && !s->m.self->filtered &&
			       s->m.self->lost == witness->lost
		       ? 0
		       : 2;
}

#define CREATE(...)               \
	bus_create(self->control, \
		   (struct ronbus_create){ .capacity = SLOTS, .payload = LEN, __VA_ARGS__ })

FIXTURE_SETUP(hostile)
{
	struct subscriber s;
	int bus;

	self->control = OPEN_CONTROL();
	ASSERT_TRUE(wait_until(!vmalloc_areas()));
	self->seed = random_seed();
	self->witness = shared_memory(sizeof(*self->witness));
	ASSERT_NE(NULL, self->witness);
	bus = CREATE(.features = RONBUS_F_EDGE_NOTIFY);
	ASSERT_LE(0, bus);
	ASSERT_EQ(0, subscriber_join(&s, bus, RONBUS_START_LATEST, 0));
	self->beside[0] = fork();
	ASSERT_LE(0, self->beside[0]);
	if (!self->beside[0]) {
		struct subscriber mine;

		if (subscriber_join(&mine, bus, RONBUS_START_LATEST, 0))
			_exit(77);
		close(s.m.fd); /* it did not inherit the mappings */
		_exit(beside_subscribe(&mine, self->witness));
	}
	/* Ours goes when the child's is there: the publisher has exactly one for its audience. */
	ASSERT_TRUE(wait_until(RB_READ(&s.m.page->armed) == 2));
	subscriber_leave(&s);
	self->beside[1] = fork();
	ASSERT_LE(0, self->beside[1]);
	if (!self->beside[1])
		_exit(beside_publish(bus, self->witness));
	close(bus);
	self->bus = CREATE(.features = RONBUS_F_EDGE_NOTIFY, .flags = RONBUS_BUS_PERSISTENT);
	ASSERT_LE(0, self->bus);
}

/* The bus beside is whole to the last message; then everything is gone, memory too. */
FIXTURE_TEARDOWN(hostile)
{
	u64 before = __atomic_load_n(&self->witness->received, __ATOMIC_SEQ_CST);

	EXPECT_TRUE(
		wait_until(__atomic_load_n(&self->witness->received, __ATOMIC_SEQ_CST) > before));
	__atomic_store_n(&self->witness->stop, 1, __ATOMIC_SEQ_CST);
	EXPECT_EQ(0, child_status(self->beside[1]));
	EXPECT_EQ(0, child_status(self->beside[0]));
	EXPECT_EQ(0, self->witness->wrong);
	close(self->bus);
	EXPECT_TRUE(wait_until(!vmalloc_areas()));
	close(self->control);
	if (_metadata->exit_code == KSFT_FAIL)
		TH_LOG("to repeat it: RONBUS_SEED=%llu", (unsigned long long)self->seed);
}

/* ---- a publisher that scribbles --------------------------------------------------------- */

/* Words that hurt more than chance does. */
static u64 evil_word(u64 *random, u64 near)
{
	u64 lap = near / SLOTS;

	*random = random_next(*random);
	switch (*random >> 60) {
	case 0:
		return 0;
	case 1:
		return ~0ULL;
	case 2:
		return RONBUS_STATE(lap + (*random >> 40) % 3, *random >> 33, RONBUS_KIND_READY);
	case 3:
		return RONBUS_STATE(lap + (*random >> 40) % 3, *random >> 33, RONBUS_KIND_BUSY);
	case 4:
		return RONBUS_STATE(lap + (*random >> 40) % 3, *random >> 33, RONBUS_KIND_HOLE);
	case 5:
		return near + (*random >> 40) % (2 * SLOTS);
	case 6:
		return 1ULL << (*random >> 40) % 64;
	}
	return *random ^ *random << 32;
}

struct scribbles {
	u64 words;
	u64 published;
	u64 refused;
	u64 read;
};

static void scribble_for_ever(int bus, u64 random, struct scribbles *done)
{
	struct publisher p;
	u64 *ring, *page, n;

	if (publisher_join(&p, bus, RONBUS_PUBLISHER_MAPPED))
		_exit(77);
	ring = (u64 *)p.m.ring.head;
	page = (u64 *)p.m.self;
	for (n = 0;; n++) {
		u64 near = RB_READ(ring), word = evil_word(&random, near);
		size_t at = (random >> 20) % (p.m.info.ring_bytes / 8);

		RB_WRITE(&ring[at], word);
		RB_WRITE(&page[(random >> 36) % (PAGE / 8)], word);
		if (n % 64 == 0)
			RB_WRITE(&ring[0], word);
		if (n % 1024 == 0)
			fd_notify(p.m.fd, word, NULL);
		__atomic_fetch_add(&done->words, 2, __ATOMIC_RELAXED);
	}
}

/* An honest publisher: what it may be told is that it went through, or was dropped. */
static void publish_honestly(int bus, u32 flags, struct scribbles *done)
{
	struct publisher p;
	u64 i;

	if (publisher_join(&p, bus, flags))
		_exit(77);
	for (i = 0;; i++) {
		int ret = publish_number(&p, i);

		if (ret != 1 && ret != -EAGAIN)
			_exit(78);
		__atomic_fetch_add(ret == 1 ? &done->published : &done->refused, 1,
				   __ATOMIC_RELAXED);
	}
}

/* Honest subscribers: what they read fits where it goes, and no call is stuck. */
static void read_honestly(int bus, int way, struct scribbles *done)
{
	struct pollfd poll_fd = { .events = POLLIN };
	struct {
		struct message msg;
		unsigned char fence[64];
	} room;
	unsigned char fence[64];
	struct subscriber s;
	u64 i;

	poison(fence);
	poison(room.fence);
	if (subscriber_join(&s, bus, RONBUS_START_LATEST, 0))
		_exit(77);
	poll_fd.fd = s.m.fd;
	fd_nonblock(s.m.fd);
	for (i = 0;; i++) {
		struct ronbus_stats stats;
		int ret;

		if (way == 0) {
			u64 pos = subscriber_cursor(&s);
			union ronbus_found found;

			/* One look at a time: a whole subscriber_read() may have no end here. */
			ret = ronbus_ring_look(&s.m.ring, pos, &found);
			if (ret == RONBUS_LOOK_READY || ret == RONBUS_LOOK_HOLE)
				found.next = pos + 1;
			if (ret != RONBUS_LOOK_EMPTY)
				RB_WRITE(&s.m.self->cursor, found.next);
		} else {
			ret = subscriber_read_kernel(&s, &room.msg);
			if (ret != 1 && ret != -EAGAIN)
				_exit(78);
			if (ret == 1 && (room.msg.len > LEN || room.msg.topic > 63))
				_exit(79);
		}
		ret = fd_wait(s.m.fd, now_ns() + 1000);
		if (ret && ret != -ETIMEDOUT)
			_exit(80);
		if (poll(&poll_fd, 1, 0) < 0 || fd_stats(s.m.fd, s.index, &stats) ||
		    memcmp(fence, room.fence, sizeof(fence)))
			_exit(81);
		__atomic_fetch_add(&done->read, 1, __ATOMIC_RELAXED);
	}
}

TEST_F_TIMEOUT(hostile, scribbling_publisher, 14400)
{
	u64 end = now_ns() + test_seconds(2) * SEC, random = self->seed, lives = 0, n;
	struct scribbles *done = shared_memory(sizeof(*done));
	struct ronbus_stats stats;
	struct publisher last;
	struct subscriber s;
	struct message msg;
	pid_t evil[2], honest[4];
	int k;

	ASSERT_NE(NULL, done);
	for (k = 0; k < 4; k++) {
		honest[k] = fork();
		ASSERT_LE(0, honest[k]);
		if (!honest[k] && k < 2)
			publish_honestly(self->bus, k ? 0 : RONBUS_PUBLISHER_MAPPED, done);
		if (!honest[k])
			read_honestly(self->bus, k - 2, done);
	}
	while (now_ns() < end) {
		for (k = 0; k < 2; k++) {
			random = random_next(random);
			evil[k] = fork();
			ASSERT_LE(0, evil[k]);
			if (!evil[k])
				scribble_for_ever(self->bus, random, done);
			lives++;
		}
		usleep(20000 + (random >> 40) % 200000);
		for (k = 0; k < 2; k++) {
			ASSERT_EQ(0, kill(evil[k], SIGKILL));
			ASSERT_EQ(-SIGKILL, child_status(evil[k]));
		}
	}
	/* Each of the honest ones goes on: no call that does not return. */
	n = __atomic_load_n(&done->read, __ATOMIC_RELAXED);
	EXPECT_TRUE(wait_until(__atomic_load_n(&done->read, __ATOMIC_RELAXED) > n + 10));
	n = __atomic_load_n(&done->published, __ATOMIC_RELAXED) +
	    __atomic_load_n(&done->refused, __ATOMIC_RELAXED);
	EXPECT_TRUE(wait_until(__atomic_load_n(&done->published, __ATOMIC_RELAXED) +
				       __atomic_load_n(&done->refused, __ATOMIC_RELAXED) >
			       n + 10));
	for (k = 0; k < 4; k++) {
		int status;

		EXPECT_EQ(0, waitpid(honest[k], &status, WNOHANG));
		ASSERT_EQ(0, kill(honest[k], SIGKILL));
		EXPECT_EQ(-SIGKILL, child_status(honest[k])) TH_LOG("honest member %d", k);
	}
	/* What the ring says may be nonsense for ever; whoever is new gets an answer all the same. */
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(0, stats.publishers);
	EXPECT_EQ(0, stats.subscribers);
	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_LATEST, 0));
	ASSERT_EQ(0, fd_nonblock(s.m.fd));
	ASSERT_EQ(0, publisher_join(&last, self->bus, 0));
	for (n = 0; n < 3 * SLOTS; n++) {
		int ret = publish_number(&last, n);

		EXPECT_TRUE(ret == 1 || ret == -EAGAIN);
		ret = subscriber_read_kernel(&s, &msg);
		EXPECT_TRUE(ret == 1 || ret == -EAGAIN);
	}
	publisher_leave(&last);
	subscriber_leave(&s);
	TH_LOG("seed %llu: %llu words scribbled in %llu lives, %llu published, %llu refused, "
	       "%llu reads, %llu received beside, %llu lost",
	       (unsigned long long)self->seed, (unsigned long long)done->words,
	       (unsigned long long)lives, (unsigned long long)done->published,
	       (unsigned long long)done->refused, (unsigned long long)done->read,
	       (unsigned long long)self->witness->received,
	       (unsigned long long)self->witness->lost);
}

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

/* ---- a subscriber with a cursor that is not there --------------------------------------- */

static void wander_for_ever(int bus, u64 random, u64 *calls)
{
	struct subscriber s;
	char buf[4096];
	u64 *page, i;

	if (subscriber_join(&s, bus, RONBUS_START_LATEST, 0))
		_exit(77);
	fd_nonblock(s.m.fd);
	page = (u64 *)s.m.self;
	for (i = 0;; i++) {
		struct ronbus_stats stats;
		u64 tail = ronbus_ring_tail(&s.m.ring), cursor;

		random = random_next(random);
		switch ((random >> 40) % 6) {
		case 0:
			cursor = ~0ULL - (random >> 60);
			break;
		case 1:
			cursor = (random >> 60) * SLOTS;
			break;
		case 2:
			cursor = tail + i; /* running ahead */
			break;
		case 3:
			cursor = tail - i; /* and away */
			break;
		case 4:
			cursor = 1ULL << (random >> 50) % 64;
			break;
		default:
			cursor = random;
		}
		RB_WRITE(&page[0], cursor);
		RB_WRITE(&page[1 + (random >> 20) % (PAGE / 8 - 1)], cursor);
		switch (i % 6) {
		case 0:
			(void)fd_read(s.m.fd, buf, sizeof(buf));
			break;
		case 1:
			(void)fd_poll(s.m.fd, POLLIN);
			break;
		case 2:
			fd_wait(s.m.fd, 0);
			break;
		case 3:
			fd_arm(s.m.fd);
			break;
		case 4:
			fd_stats(s.m.fd, s.index, &stats);
			break;
		case 5:
			fd_wait(s.m.fd, now_ns() + 100000);
			break;
		}
		__atomic_fetch_add(calls, 1, __ATOMIC_RELAXED);
	}
}

/* Arm, and disarm by looking, as fast as it goes. */
static void arm_for_ever(int bus, u64 *calls)
{
	struct subscriber s;

	if (subscriber_join(&s, bus, RONBUS_START_LATEST, 0))
		_exit(77);
	for (;;) {
		u64 at = subscriber_cursor(&s);

		fd_arm(s.m.fd);
		RB_WRITE(&s.m.self->cursor, at - 1);
		fd_arm(s.m.fd);
		RB_WRITE(&s.m.self->cursor, ronbus_ring_tail(&s.m.ring));
		__atomic_fetch_add(calls, 1, __ATOMIC_RELAXED);
	}
}

/* Notify everybody, whoever there is. */
static void notify_for_ever(int bus, u64 *calls)
{
	struct publisher p;

	if (publisher_join(&p, bus, 0))
		_exit(77);
	for (;;) {
		if (fd_notify(p.m.fd, ~0ULL, NULL))
			_exit(78);
		__atomic_fetch_add(calls, 1, __ATOMIC_RELAXED);
	}
}

/*
 * None of these three can write the ring: what honest members of the same bus see is exact. What
 * they do costs system calls, and those are counted.
 */
TEST_F_TIMEOUT(hostile, members_that_write_nothing, 14400)
{
	u64 *calls = shared_memory(PAGE), n = 0, end, notifies;
	struct ronbus_stats before, stats;
	struct publisher pubs[2];
	struct subscriber s;
	struct message msg;
	pid_t evil[3];
	int k;

	ASSERT_NE(NULL, calls);
	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_LATEST, 0));
	ASSERT_EQ(0, publisher_join(&pubs[0], self->bus, RONBUS_PUBLISHER_MAPPED));
	ASSERT_EQ(0, publisher_join(&pubs[1], self->bus, 0));
	for (k = 0; k < 3; k++) {
		evil[k] = fork();
		ASSERT_LE(0, evil[k]);
		if (!evil[k] && k == 0)
			wander_for_ever(self->bus, self->seed, &calls[0]);
		if (!evil[k] && k == 1)
			arm_for_ever(self->bus, &calls[1]);
		if (!evil[k])
			notify_for_ever(self->bus, &calls[2]);
	}
	for (k = 0; k < 3; k++) {
		ASSERT_TRUE(wait_until(__atomic_load_n(&calls[k], __ATOMIC_RELAXED) > 100));
	}
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &before));
	end = now_ns() + test_seconds(1) * SEC;
	do {
		ASSERT_EQ(1, publish_number(&pubs[n % 2], n));
		/* Asleep or not, in turns. */
		if (n % 4 == 3) {
			ASSERT_EQ(0, fd_wait(s.m.fd, now_ns() + WATCHDOG));
		}
		ASSERT_EQ(1, subscriber_read(&s, &msg));
		ASSERT_TRUE(message_whole(msg.data, msg.len, n));
		ASSERT_EQ(SLOTS + n, msg.position);
		ASSERT_EQ(0, msg.lost);
		ASSERT_EQ(-EAGAIN, subscriber_read(&s, &msg));
		n++;
	} while (now_ns() < end);
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	for (k = 0; k < 3; k++) {
		ASSERT_EQ(0, kill(evil[k], SIGKILL));
		EXPECT_EQ(-SIGKILL, child_status(evil[k])) TH_LOG("member %d", k);
	}
	EXPECT_EQ(n, s.m.self->delivered);
	EXPECT_EQ(0, s.m.self->lost + s.m.self->holes + s.m.self->filtered);
	EXPECT_TRUE(subscriber_identity(&s));
	/* The rate of the storm can be seen: each call is counted, by the kernel. */
	EXPECT_LT(before.counters.notify_calls_total, stats.counters.notify_calls_total);
	EXPECT_LT(before.counters.waits_total, stats.counters.waits_total);
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	notifies = stats.counters.notify_calls_total - pubs[0].notifies;
	EXPECT_LE(calls[2], notifies);
	EXPECT_GE(calls[2] + 1, notifies);
	TH_LOG("%llu messages exact; %llu calls with a wild cursor, %llu arms, %llu notifications",
	       (unsigned long long)n, (unsigned long long)calls[0],
	       (unsigned long long)(2 * calls[1]), (unsigned long long)calls[2]);
	publisher_leave(&pubs[0]);
	publisher_leave(&pubs[1]);
	subscriber_leave(&s);
}

/* One NOTIFY wakes each subscriber there is at most once, and of those that sleep only. */
TEST_F(hostile, a_storm_wakes_whom_it_may)
{
	static struct subscriber subs[RONBUS_SUBSCRIBERS_MAX];
	struct ronbus_stats stats;
	struct publisher p;
	u32 woken;
	int i, k;

	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++) {
		ASSERT_EQ(0, subscriber_join(&subs[i], self->bus, RONBUS_START_LATEST, 0));
	}
	ASSERT_EQ(0, publisher_join(&p, self->bus, 0));
	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i += 2) {
		ASSERT_EQ(0, fd_arm(subs[i].m.fd));
	}
	for (k = 0; k < 100; k++) {
		ASSERT_EQ(0, fd_notify(p.m.fd, ~0ULL, &woken));
		ASSERT_EQ(k ? 0 : RONBUS_SUBSCRIBERS_MAX / 2, woken);
	}
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(100, stats.counters.notify_calls_total);
	EXPECT_EQ(RONBUS_SUBSCRIBERS_MAX / 2, stats.counters.notify_sends_total);
	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++)
		subscriber_leave(&subs[i]);
	publisher_leave(&p);
}

/* ---- a stranger ------------------------------------------------------------------------- */

static int map_ids(uid_t uid)
{
	char text[64];

	if (write_file("/proc/self/setgroups", "deny"))
		return -1;
	snprintf(text, sizeof(text), "0 %u 1", uid);
	return write_file("/proc/self/uid_map", text) | write_file("/proc/self/gid_map", text);
}

#define STRANGER 4711

/* Root in namespaces of its own, and nobody outside; it was passed fds, and wants more. */
static int be_a_stranger(struct __test_metadata *_metadata, int control, int bus, int sub)
{
	struct ronbus_info info;
	int fd;

	if (setresgid(STRANGER, STRANGER, STRANGER) || setresuid(STRANGER, STRANGER, STRANGER))
		return 77;
	prctl(PR_SET_DUMPABLE, 1); /* or its own files in /proc are not its own */
	if (unshare(CLONE_NEWUSER | CLONE_NEWIPC | CLONE_NEWNS) || map_ids(STRANGER))
		return 78;
	/* The name is in another namespace, the device is closed to it, its root is worth nothing. */
	EXPECT_EQ(-1, open(DEVICE, O_RDWR));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-ENOENT, bus_attach(control, "hostile-test", RONBUS_ACCESS_SUBSCRIBE));
	EXPECT_EQ(-EPERM, fd_publisher(bus, RONBUS_PUBLISHER_MAPPED, NULL));
	EXPECT_EQ(-ENOTTY, fd_publisher(sub, 0, NULL));
	EXPECT_EQ(-ENOTTY, bus_seal(sub));
	EXPECT_EQ(MAP_FAILED, fd_map(sub, 4096, PROT_READ | PROT_WRITE, RONBUS_MMAP_INFO));
	/* What it was passed works, with the access it has. */
	EXPECT_EQ(0, fd_info(sub, &info));
	EXPECT_EQ(-ETIMEDOUT, fd_wait(sub, 0));
	fd = fd_publisher(bus, 0, NULL);
	EXPECT_LE(0, fd);
	return 0;
}

TEST_F(hostile, a_stranger_with_fds)
{
	int bus = CREATE(.name = "hostile-test", .flags = RONBUS_BUS_PERSISTENT, .mode = 0666);
	int reader, status;
	struct subscriber s;
	pid_t pid;

	ASSERT_LE(0, bus);
	reader = bus_attach(self->control, "hostile-test", RONBUS_ACCESS_SUBSCRIBE);
	ASSERT_LE(0, reader);
	EXPECT_EQ(-EACCES, fd_publisher(reader, 0, NULL));
	EXPECT_EQ(-EACCES, bus_seal(reader));
	ASSERT_EQ(0, subscriber_join(&s, reader, RONBUS_START_LATEST, 0));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(be_a_stranger(_metadata, self->control, bus, s.m.fd));
	status = child_status(pid);
	subscriber_leave(&s);
	close(reader);
	close(bus);
	if (status == 78)
		SKIP(return, "no user namespaces here");
	EXPECT_EQ(0, status);
}

/* ---- one that takes all there is -------------------------------------------------------- */

/* In a group of 16 MB: buses until there is no more, with an error and not with a death. */
static int take_all(int control, int *buses, int most)
{
	int n, fd;

	for (n = 0; n < most; n++) {
		fd = bus_create(control,
				(struct ronbus_create){ .capacity = 1 << 14, .payload = 64 });
		if (fd < 0)
			return fd == -ENOMEM && n > 2 ? n : -1000 + fd;
		buses[n] = fd;
	}
	return -1;
}

TEST_F(hostile, memory_of_a_group)
{
	char group[64], path[128];
	int i;

	if (cgroup_make(group, sizeof(group), "hostile-test", 16 << 20))
		SKIP(return, "no memory groups here");
	for (i = 0; i < 3; i++) {
		pid_t pid = fork();

		ASSERT_LE(0, pid);
		if (!pid) {
			int buses[64], n, k;

			if (cgroup_enter(group))
				_exit(77);
			n = take_all(self->control, buses, 64);
			if (n < 3)
				_exit(78);
			/* What it gives back it can have again, all of it. */
			for (k = 0; k < n; k++)
				close(buses[k]);
			_exit(take_all(self->control, buses, 64) >= n - 1 ? 0 : 79);
		}
		EXPECT_EQ(0, child_status(pid));
	}
	snprintf(path, sizeof(path), "%s/memory.current", group);
	EXPECT_TRUE(wait_until(read_number(path) < 2 << 20)) TH_LOG("%ld", read_number(path));
	EXPECT_EQ(0, cgroup_remove(group));
}

/* No fd left: at each of the calls that make one, and nothing stays of what was begun. */
TEST_F(hostile, fds)
{
	struct rlimit old, limit;
	struct ronbus_info info;
	int k;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &old));
	limit = old;
	limit.rlim_cur = (rlim_t)fd_next();
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	for (k = 0; k < 100; k++) {
		EXPECT_EQ(-EMFILE, CREATE(.name = "hostile-fds"));
		EXPECT_EQ(-EMFILE, fd_publisher(self->bus, RONBUS_PUBLISHER_MAPPED, NULL));
		EXPECT_EQ(-EMFILE, fd_subscribe(self->bus, RONBUS_START_LATEST, 0, NULL));
	}
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));
	EXPECT_EQ(-ENOENT, bus_attach(self->control, "hostile-fds", RONBUS_ACCESS_SUBSCRIBE));
	ASSERT_EQ(0, fd_info(self->bus, &info));
	EXPECT_EQ(0, info.publishers);
	EXPECT_EQ(0, info.subscribers);
	EXPECT_EQ(0, info.status);
}

TEST_HARNESS_MAIN
