// SPDX-License-Identifier: GPL-2.0
/*
 * calls.c - what a program can do, and doing it
 *
 * ioctls and mappings are of the description (../describe). The rest is what else can be done with
 * an fd and a mapping, and to the process around them. What must never succeed is looked at here:
 * writing what is read-only, by whatever way.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <liburing.h>

#include <ronbus.h>
#include <ronbus_ring.h>

#include "fuzz.h"

#define PAGE 4096UL
#define ARENA (64UL << 10)
#define CHILDREN 2U
#define TICK_US 10000

/* ---- the description ------------------------------------------------------------------- */

enum kind {
	ANY,
	OUT,
	ZERO,
	SET,
	RANGE,
	LENGTH,
	NAME,
	BYTES,
	VECTOR,
	EVENTFD
};

/**
 * struct field - a member of an argument
 * @name: its name
 * @offset: where
 * @size: its bytes
 * @kind: what it is
 * @set: values it takes
 * @count: how many
 * @lo: least value of a range
 * @hi: largest
 */
struct field {
	const char *name;
	size_t offset;
	size_t size;
	enum kind kind;
	const uint64_t *set;
	unsigned int count;
	uint64_t lo;
	uint64_t hi;
};

/**
 * struct description - an ioctl
 * @name: its name
 * @cmd: its number
 * @takes: the fd it is for
 * @gives: the fd it returns
 * @size: bytes of its argument, 0 if it has none
 * @fields: members that are looked at
 * @count: how many
 */
struct description {
	const char *name;
	unsigned int cmd;
	enum role takes;
	enum role gives;
	size_t size;
	const struct field *fields;
	unsigned int count;
};

#include "calls.h"

#define NAMES (sizeof(names_ronbus_name) / sizeof(names_ronbus_name[0]))

/* ---- what a program works on ----------------------------------------------------------- */

static struct mapping {
	char *at;
	size_t bytes;
	bool writable;
} maps[MAPS];

static atomic_int files[FILES];
static int control = -1;
static uint64_t features_here;
static char *arena; /* with nothing behind it */
static pid_t children[CHILDREN];
static int epoll = -1;

static struct {
	pthread_mutex_t lock;
	struct io_uring ring;
	bool open;
} uring = { .lock = PTHREAD_MUTEX_INITIALIZER };

static const struct program *current;
static atomic_bool *wrong; /* children tell their parent */

/* Among several threads a mapping may be another one by now. */
static void say_wrong(const char *what)
{
	if (current->threads)
		return;
	dprintf(STDOUT_FILENO, "WRONG: %s\n", what);
	atomic_store(wrong, true);
}

static int done(long ret)
{
	return ret < 0 ? -errno : (int)ret;
}

static int file_of(const struct call *call)
{
	return atomic_load(&files[call->in]);
}

/* The old one is closed, but never the device. */
static int put_file(unsigned int out, int fd)
{
	int old;

	if (fd < 0)
		return -errno;
	old = atomic_exchange(&files[out], fd);
	if (old >= 0 && old != control)
		close(old);
	return 0;
}

/* ---- memory that may fault ------------------------------------------------------------- */

static __thread sigjmp_buf landing;
static __thread volatile sig_atomic_t may_fault;

static void on_fault(int number)
{
	if (may_fault)
		siglongjmp(landing, 1);
	signal(number, SIG_DFL);
	raise(number);
}

static void on_tick(int number)
{
	(void)number;
}

/* Returns whether the word was written. */
static bool store(uint64_t *at, uint64_t value)
{
	bool good = false;

	if (!sigsetjmp(landing, 0)) {
		may_fault = 1;
		__atomic_store_n(at, value, __ATOMIC_RELAXED);
		good = true;
	}
	may_fault = 0;
	return good;
}

/* ---- arguments ------------------------------------------------------------------------- */

static void *pointer(uint64_t which, size_t bytes)
{
	struct mapping *map = &maps[which / 16 % MAPS];

	switch (which % 16) {
	case 0:
		return NULL;
	case 1:
		return (void *)0xffffffff81000000;
	case 2: /* half of it is not there */
		return arena + ARENA - bytes / 2;
	case 3:
		return (void *)0x7ffffffff000;
	case 4: /* in the ring itself, or the own page */
		return map->at ? map->at : arena;
	default:
		return arena + which / 16 % 64 * 8 + which % 3;
	}
}

/* A batch of messages, in the upper half of the arena. */
static uint64_t make_vectors(uint64_t which, unsigned int count)
{
	struct ronbus_vec *vec = (struct ronbus_vec *)(arena + ARENA / 2);
	unsigned int i;

	if (which % 16 < 4)
		return (uint64_t)pointer(which, sizeof(*vec) * (count % RONBUS_BATCH_MAX));
	for (i = 0; i < count && i < RONBUS_BATCH_MAX; i++) {
		uint64_t odd = (which + i) * 0x9e3779b97f4a7c15ULL;
		/* Mostly good ones, or a batch would never get far. */
		uint64_t where = odd >> 32 & 15 ? 5 + (odd >> 8 & 7) : odd >> 8;

		vec[i].len = odd >> 40 & 31 ? (odd >> 16) % 33 : (uint32_t)(odd >> 16);
		vec[i].data = (uint64_t)pointer(where, vec[i].len);
		vec[i].pad = odd >> 48 & 255 ? 0 : 1;
	}
	return (uint64_t)vec;
}

static void set(char *to, size_t size, uint64_t value)
{
	memcpy(to, &value, size < sizeof(value) ? size : sizeof(value));
}

static void fill(char *to, const struct field *field, const struct call *call, unsigned int i)
{
	uint64_t value = call->argument[i];
	size_t length;

	switch (field->kind) {
	case NAME:
		if (value >= NAMES) { /* no NUL at its end */
			memset(to, 'x', field->size);
			break;
		}
		length = strlen(names_ronbus_name[value]);
		memcpy(to, names_ronbus_name[value], length);
		break;
	case VECTOR:
		/* Its length is the member behind it. */
		set(to, field->size, make_vectors(value, (unsigned int)call->argument[i + 1]));
		break;
	case BYTES:
		set(to, field->size, (uint64_t)pointer(value, 64));
		break;
	case EVENTFD:
		set(to, field->size, (uint64_t)(int64_t)atomic_load(&files[value % FILES]));
		break;
	default:
		set(to, field->size, value);
	}
}

static int run_ioctl(const struct description *this, const struct call *call)
{
	uint64_t odd = call->argument[ARGUMENTS - 1];
	unsigned int cmd = this->cmd, i;
	char argument[sizeof(struct ronbus_stats) + 64] = { 0 };
	void *at = argument;
	int ret;

	for (i = 0; i < this->count; i++)
		fill(argument + this->fields[i].offset, &this->fields[i], call, i);
	if (odd % 16 == 1) /* another size than it has */
		cmd = (cmd & ~IOCSIZE_MASK) | (odd / 16 % sizeof(argument)) << IOCSIZE_SHIFT;
	else if (odd % 16 == 2)
		at = pointer(odd / 16, this->size);
	else if (odd % 16 == 3) /* grown, and what is new not zero */
		argument[this->size + odd / 16 % 64] = 1, cmd = (cmd & ~IOCSIZE_MASK) |
								(unsigned int)sizeof(argument)
									<< IOCSIZE_SHIFT;
	ret = done(ioctl(file_of(call), cmd, at));
	if (ret >= 0 && this->gives != ROLE_NONE)
		return put_file(call->out, ret);
	return ret;
}

static uint64_t ioctl_argument(const struct description *this, unsigned int i)
{
	const struct field *field;
	uint64_t value = 0;
	unsigned int n;

	if (i == ARGUMENTS - 1)
		return dice_below(10) ? 0 : dice();
	if (i >= this->count)
		return 0;
	field = &this->fields[i];
	if (field->kind != VECTOR && field->kind != BYTES && !dice_below(40))
		return dice_value();
	switch (field->kind) {
	case SET: /* bits together, or one of several */
		for (n = 0;
		     n < field->count && field->set[n] && !(field->set[n] & (field->set[n] - 1));
		     n++)
			;
		if (n < field->count)
			return field->set[dice_below(dice_below(8) ? 1 + field->count / 2
								   : field->count)];
		switch (dice_below(4)) {
		case 0:
			return 0;
		case 1:
			for (n = 0; n < field->count; n++)
				value |= dice_below(3) ? 0 : field->set[n];
			break;
		default:
			value = field->set[dice_below(field->count)];
		}
		/* What this module does not have is refused soon enough. */
		if (!strcmp(field->name, "features") && dice_below(16))
			value &= features_here;
		return value;
	case RANGE:
		return dice_below(2) ? field->lo : field->lo + dice() % (field->hi - field->lo + 1);
	case LENGTH:
		return dice_below(12) ? 1 + dice_below(9) : dice_below(2 * RONBUS_BATCH_MAX);
	case NAME:
		return dice_below(3) ? 0 : dice_below(NAMES + 1);
	case VECTOR:
	case BYTES:
		return dice_below(10) ? dice() | 8 : dice();
	case EVENTFD:
		return dice_below(FILES);
	case ANY:
		return dice_below(2) ? ~0ULL : dice_value();
	default:
		return 0;
	}
}

/* ---- mappings -------------------------------------------------------------------------- */

static struct mapping *map_of(const struct call *call)
{
	return &maps[call->out % MAPS];
}

static void unmap(struct mapping *map)
{
	if (map->at)
		munmap(map->at, map->bytes);
	map->at = NULL;
}

static bool may_write(unsigned int region, const struct ronbus_info *info)
{
	if (mappings[region] == RONBUS_MMAP_INFO)
		return false;
	return (info->role == RONBUS_ROLE_PUBLISHER && info->member) ||
	       mappings[region] == RONBUS_MMAP_SELF;
}

static int run_mmap(const struct call *call)
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
	unsigned int region = call->argument[0] % (ARRAY_SIZE(mappings) + 1);
	bool known = region < ARRAY_SIZE(mappings);
	uint64_t offset = known ? mappings[region] : call->argument[0] & ~(PAGE - 1);
	int prot = prots[call->argument[1] % 8], fd = file_of(call);
	struct mapping *map = map_of(call);
	struct ronbus_info info = { 0 };
	size_t bytes = PAGE;
	char *at;

	ioctl(fd, RONBUS_IOC_INFO, &info);
	if (known && mappings[region] == RONBUS_MMAP_RING && info.ring_bytes)
		bytes = info.ring_bytes;
	if (call->argument[3] % 16 == 1)
		bytes += PAGE;
	if (call->argument[3] % 16 == 2)
		bytes -= PAGE;
	at = mmap(NULL, bytes, prot, flags[call->argument[2] % 8], fd, (off_t)offset);
	if (at == MAP_FAILED)
		return -errno;
	if (prot & PROT_EXEC || (prot & PROT_WRITE && known && !may_write(region, &info)))
		say_wrong("a mapping that should have been refused");
	unmap(map);
	*map = (struct mapping){ .at = at, .bytes = bytes, .writable = prot & PROT_WRITE };
	return 0;
}

static int run_munmap(const struct call *call)
{
	struct mapping *map = map_of(call);

	if (!map->at)
		return -ENOENT;
	if (map->bytes > PAGE && call->argument[0] % 4 == 1) {
		if (!munmap(map->at, PAGE))
			say_wrong("a mapping that was split");
		return -errno;
	}
	unmap(map);
	return 0;
}

static int run_mprotect(const struct call *call)
{
	static const int prots[] = { 0, 1, 2, 3, 4, 5, 7, 3 };
	int prot = prots[call->argument[0] % 8];
	struct mapping *map = map_of(call);

	if (!map->at)
		return -ENOENT;
	if (mprotect(map->at, map->bytes, prot))
		return -errno;
	if (prot & PROT_EXEC || (prot & PROT_WRITE && !map->writable))
		say_wrong("mprotect() gave what the mapping did not have");
	if (!(prot & PROT_WRITE)) /* and back, for what follows */
		mprotect(map->at, map->bytes, map->writable ? 3 : 1);
	return 0;
}

static int run_mremap(const struct call *call)
{
	struct mapping *map = map_of(call);
	size_t bytes = call->argument[0] % 2 ? map->bytes + PAGE : map->bytes;
	void *to = NULL, *at;

	if (!map->at)
		return -ENOENT;
	if (call->argument[0] % 4 == 2)
		to = arena - 64 * PAGE;
	at = to ? mremap(map->at, map->bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to)
		: mremap(map->at, call->argument[0] % 8 == 7 ? 0 : map->bytes, bytes,
			 MREMAP_MAYMOVE);
	if (at == MAP_FAILED)
		return -errno;
	if (at != map->at)
		say_wrong("a mapping that was moved");
	return 0;
}

static int run_madvise(const struct call *call)
{
	static const int advice[] = { MADV_DONTNEED, MADV_DOFORK,   MADV_DODUMP,
				      MADV_REMOVE,   MADV_DONTFORK, MADV_MERGEABLE,
				      MADV_PAGEOUT,  MADV_WILLNEED, MADV_POPULATE_WRITE,
				      MADV_COLD,     MADV_HUGEPAGE, MADV_FREE };
	struct mapping *map = map_of(call);

	if (!map->at)
		return -ENOENT;
	return done(madvise(map->at, map->bytes, advice[call->argument[0] % ARRAY_SIZE(advice)]));
}

static int run_mlock(const struct call *call)
{
	struct mapping *map = map_of(call);

	if (!map->at)
		return -ENOENT;
	return done(call->argument[0] % 2 ? munlock(map->at, map->bytes)
					  : mlock(map->at, map->bytes));
}

/* By a way that does not ask the page tables. */
static int run_procmem(const struct call *call)
{
	struct mapping *map = map_of(call);
	struct iovec local = { arena, 8 }, remote = { map->at, 8 };
	ssize_t ret;
	int fd;

	if (!map->at)
		return -ENOENT;
	if (call->argument[0] % 2) {
		ret = process_vm_writev(getpid(), &local, 1, &remote, 1, 0);
	} else {
		fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
		ret = fd < 0 ? -1 : pwrite(fd, arena, 8, (off_t)(uintptr_t)map->at);
		close(fd);
	}
	if (ret > 0 && !map->writable)
		say_wrong("what is read-only was written past the page tables");
	return done(ret);
}

static uint64_t poke_word(const struct call *call, size_t words, uint64_t *value)
{
	static const size_t strides[] = { 64, 64, 64, 128, 320, 4160 };
	uint64_t a = call->argument[1], v = call->argument[2];
	size_t slot = 128 + a % 64 * strides[call->argument[3] % ARRAY_SIZE(strides)];

	*value = v;
	switch (call->argument[0] % 8) {
	case 0: /* the hint, or a cursor */
		return 0;
	case 1:
		*value = v % 300;
		return 0;
	case 2:
	case 3: /* a state */
		*value = RONBUS_STATE(v % 8 ? v % 8 : v >> 9, (v >> 8) % 64, (v >> 16) % 4);
		return slot / 8 % words;
	case 4: /* a mark */
		*value = v % 8;
		return (slot / 8 + 1) % words;
	case 5: /* length and topic */
		return (slot / 8 + 3) % words;
	default:
		return a % words;
	}
}

static int run_poke(const struct call *call)
{
	uint64_t count = call->argument[0] % 8 == 7 ? call->argument[3] % 512 : 1, i, value;
	struct mapping *map = map_of(call);
	size_t words = map->bytes / 8, word;
	char *at = map->at;

	if (!at)
		return -ENOENT;
	word = poke_word(call, words, &value);
	for (i = 0; i < count; i++, value = value * 0x9e3779b97f4a7c15ULL + 1) {
		if (!store((uint64_t *)at + (word + i) % words, value))
			return -EFAULT;
		if (!map->writable && map->at == at)
			say_wrong("what is read-only was written");
	}
	return 0;
}

/* ---- files ----------------------------------------------------------------------------- */

static int run_read(const struct call *call)
{
	size_t size = call->argument[1] % 3 ? call->argument[1] % 4096 : call->argument[1];
	int fd = file_of(call), flags = fcntl(fd, F_GETFL);

	if (fd == control)
		return -EBADF;
	if (flags >= 0)
		fcntl(fd, F_SETFL,
		      call->argument[2] % 16 == 1 ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
	return done(read(fd, pointer(call->argument[0], size & 4095), size));
}

static int run_write(const struct call *call)
{
	int fd = file_of(call);

	if (call->argument[0] % 3 == 0)
		return done(lseek(fd, (off_t)call->argument[1], SEEK_SET));
	if (call->argument[0] % 3 == 1)
		return done(ftruncate(fd, (off_t)call->argument[1]));
	return call->argument[0] % 6 == 2 ? done(pread(fd, arena, 64, 1))
					  : done(write(fd, arena, 64));
}

static int run_poll(const struct call *call)
{
	struct pollfd poll_fd = { .fd = file_of(call), .events = POLLIN | POLLOUT | POLLPRI };

	return done(poll(&poll_fd, 1, call->argument[0] % 8 == 1 ? 1 : 0));
}

static int run_epoll(const struct call *call)
{
	struct epoll_event event = { .events = EPOLLIN | (call->argument[0] & 1 ? EPOLLET : 0) |
					       (call->argument[0] & 2 ? EPOLLONESHOT : 0) };
	int op = call->argument[0] % 16 < 12 ? EPOLL_CTL_ADD : EPOLL_CTL_DEL;

	if (epoll < 0)
		epoll = epoll_create1(EPOLL_CLOEXEC);
	if (call->argument[0] % 16 == 15)
		return done(epoll_wait(epoll, &event, 1, 0));
	return done(epoll_ctl(epoll, op, file_of(call), &event));
}

static int run_close(const struct call *call)
{
	int fd;

	if (!call->in)
		return -EBADF;
	fd = atomic_exchange(&files[call->in], -1);
	return done(close(fd));
}

static int run_dup(const struct call *call)
{
	return put_file(call->out, fcntl(file_of(call), F_DUPFD_CLOEXEC, 0));
}

static int run_eventfd(const struct call *call)
{
	return put_file(call->out, eventfd((unsigned int)call->argument[0] % 2
						   ? (unsigned int)call->argument[0]
						   : 0,
					   EFD_CLOEXEC | EFD_NONBLOCK));
}

static int run_fdinfo(const struct call *call)
{
	char path[64];
	ssize_t ret;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", file_of(call));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = read(fd, arena, ARENA / 2);
	close(fd);
	return done(ret);
}

/* Through a socket: a file that nobody has for a while. */
static int run_pass(const struct call *call)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control_data = { 0 };
	struct iovec data = { arena, 1 };
	struct msghdr message = { .msg_iov = &data,
				  .msg_iovlen = 1,
				  .msg_control = &control_data,
				  .msg_controllen = sizeof(control_data) };
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	int ends[2], fd = file_of(call), ret;

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends))
		return -errno;
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &fd, sizeof(fd));
	ret = done(sendmsg(ends[0], &message, 0));
	if (ret > 0 && call->argument[0] % 2 && recvmsg(ends[1], &message, MSG_CMSG_CLOEXEC) > 0 &&
	    CMSG_FIRSTHDR(&message)) {
		memcpy(&fd, CMSG_DATA(head), sizeof(fd));
		ret = put_file(call->out, fd);
	}
	close(ends[0]);
	close(ends[1]);
	return ret;
}

/* ---- io_uring -------------------------------------------------------------------------- */

static void uring_close(void)
{
	if (uring.open)
		io_uring_queue_exit(&uring.ring);
	uring.open = false;
}

static struct io_uring_sqe *uring_entry(const struct call *call)
{
	unsigned int flags = call->argument[3] % 4 ? 0 : IORING_SETUP_SQE128;
	struct io_uring_sqe *sqe;

	if (!uring.open)
		uring.open = !io_uring_queue_init(16, &uring.ring, flags);
	if (!uring.open)
		return NULL;
	sqe = io_uring_get_sqe(&uring.ring);
	if (sqe) {
		memset(sqe, 0, sizeof(*sqe) << !!(uring.ring.flags & IORING_SETUP_SQE128));
		sqe->fd = file_of(call);
		sqe->opcode = IORING_OP_URING_CMD;
		sqe->user_data = call->what;
	}
	return sqe;
}

static void prepare(struct io_uring_sqe *sqe, const struct call *call)
{
	uint64_t a = call->argument[1], b = call->argument[2];
	struct ronbus_uring_publish publish = { .count = a % 9, .topic = b % 66 };
	struct ronbus_wait wait = { .deadline = a % 4 ? a : RONBUS_WAIT_FOREVER,
				    .flags = b % 32 == 1 };
	static const unsigned int others[] = { RONBUS_IOC_ARM, RONBUS_IOC_STATS, 0, 77 };

	switch (call->argument[0] % 8) {
	case 0:
	case 1:
		publish.vec = make_vectors(a, publish.count);
		sqe->cmd_op = RONBUS_IOC_PUBLISH;
		memcpy(sqe->cmd, &publish, sizeof(publish));
		break;
	case 2:
	case 3:
		sqe->cmd_op = RONBUS_IOC_WAIT;
		memcpy(sqe->cmd, &wait, sizeof(wait));
		break;
	case 4:
		sqe->cmd_op = RONBUS_IOC_CANCEL;
		break;
	case 5:
		sqe->opcode = IORING_OP_POLL_ADD;
		sqe->poll32_events = POLLIN;
		sqe->len = b % 2 ? IORING_POLL_ADD_MULTI : 0;
		break;
	case 6:
		sqe->opcode = IORING_OP_ASYNC_CANCEL;
		sqe->addr = call->what;
		sqe->cancel_flags = b % 2 ? IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY : 0;
		break;
	default:
		sqe->cmd_op = others[a % ARRAY_SIZE(others)];
		memcpy(sqe->cmd, &b, sizeof(b));
	}
	if (call->argument[4] % 8 == 1)
		sqe->flags |= IOSQE_ASYNC;
	if (call->argument[4] % 8 == 2)
		sqe->flags |= IOSQE_IO_LINK;
}

static int run_uring(const struct call *call)
{
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	int ret;

	pthread_mutex_lock(&uring.lock);
	sqe = uring_entry(call);
	if (sqe)
		prepare(sqe, call);
	ret = uring.open ? io_uring_submit(&uring.ring) : -ENOSYS;
	while (uring.open && !io_uring_peek_cqe(&uring.ring, &cqe)) {
		ret = cqe->res;
		io_uring_cqe_seen(&uring.ring, cqe);
	}
	if (call->argument[4] % 16 == 15)
		uring_close();
	pthread_mutex_unlock(&uring.lock);
	return ret;
}

/* ---- the process around it ------------------------------------------------------------- */

/* Of this thread alone: the library's would ask all of them. */
static int run_user(const struct call *call)
{
	uid_t uid = call->argument[0] % 2 ? 65534 : 0;

	return done(syscall(SYS_setresuid, -1, uid, -1));
}

static int run_limit(const struct call *call)
{
	static const rlim_t bytes[] = { 0, PAGE, 4 * PAGE, 64 * PAGE, 8UL << 20, RLIM_INFINITY };
	struct rlimit memlock = { bytes[call->argument[0] % 6], RLIM_INFINITY };
	struct rlimit nofile = { call->argument[1] % 8 == 1 ? 20 : 1024, 4096 };

	setrlimit(RLIMIT_NOFILE, &nofile);
	return done(setrlimit(RLIMIT_MEMLOCK, &memlock));
}

static int run_sleep(const struct call *call)
{
	if (call->argument[0] % 4)
		return done(sched_yield());
	return done(usleep(500));
}

/* Text of the kernel is patched for this: it costs. */
static int run_trace(const struct call *call)
{
	int fd = open("/sys/kernel/tracing/events/ronbus/enable", O_WRONLY | O_CLOEXEC);
	ssize_t ret;

	if (fd < 0)
		return -errno;
	ret = write(fd, call->argument[0] % 2 ? "1" : "0", 1);
	close(fd);
	return done(ret);
}

static int run_fork(const struct call *call);

/* ---- the table ------------------------------------------------------------------------- */

static const struct move {
	const char *name;
	unsigned int weight;
	enum role takes;
	enum role gives;
	unsigned int arguments;
	int (*run)(const struct call *call);
} moves[] = {
	{ "mmap", 50, ROLE_RONBUS_ANY, ROLE_NONE, 4, run_mmap },
	{ "poke", 80, ROLE_NONE, ROLE_NONE, 4, run_poke },
	{ "read", 25, ROLE_RONBUS_SUB, ROLE_NONE, 3, run_read },
	{ "close", 12, ROLE_RONBUS_ANY, ROLE_NONE, 0, run_close },
	{ "poll", 10, ROLE_RONBUS_SUB, ROLE_NONE, 1, run_poll },
	{ "epoll", 8, ROLE_RONBUS_SUB, ROLE_NONE, 1, run_epoll },
	{ "eventfd", 6, ROLE_NONE, ROLE_EVENT, 1, run_eventfd },
	{ "uring", 10, ROLE_RONBUS_ANY, ROLE_NONE, 5, run_uring },
	{ "munmap", 6, ROLE_NONE, ROLE_NONE, 1, run_munmap },
	{ "mprotect", 5, ROLE_NONE, ROLE_NONE, 1, run_mprotect },
	{ "mremap", 3, ROLE_NONE, ROLE_NONE, 1, run_mremap },
	{ "madvise", 4, ROLE_NONE, ROLE_NONE, 1, run_madvise },
	{ "mlock", 2, ROLE_NONE, ROLE_NONE, 1, run_mlock },
	{ "procmem", 3, ROLE_NONE, ROLE_NONE, 1, run_procmem },
	{ "write", 3, ROLE_RONBUS_ANY, ROLE_NONE, 2, run_write },
	{ "dup", 4, ROLE_RONBUS_ANY, ROLE_NONE, 0, run_dup },
	{ "fdinfo", 2, ROLE_RONBUS_ANY, ROLE_NONE, 0, run_fdinfo },
	{ "pass", 2, ROLE_RONBUS_ANY, ROLE_NONE, 1, run_pass },
	{ "user", 4, ROLE_NONE, ROLE_NONE, 1, run_user },
	{ "limit", 4, ROLE_NONE, ROLE_NONE, 2, run_limit },
	{ "sleep", 3, ROLE_NONE, ROLE_NONE, 1, run_sleep },
	{ "fork", 1, ROLE_NONE, ROLE_NONE, 2, run_fork },
	{ "trace", 1, ROLE_NONE, ROLE_NONE, 1, run_trace },
};

#define IOCTLS ARRAY_SIZE(ioctls)

_Static_assert(ARGUMENTS >= 10, "every ioctl's members, and one more");

unsigned int calls_count(void)
{
	return IOCTLS + ARRAY_SIZE(moves);
}

const char *call_name(unsigned int what)
{
	return what < IOCTLS ? ioctls[what].name : moves[what - IOCTLS].name;
}

unsigned int call_weight(unsigned int what)
{
	if (what >= IOCTLS)
		return moves[what - IOCTLS].weight;
	return ioctls[what].gives != ROLE_NONE ? 30 : 20;
}

enum role call_takes(unsigned int what)
{
	return what < IOCTLS ? ioctls[what].takes : moves[what - IOCTLS].takes;
}

enum role call_gives(unsigned int what)
{
	return what < IOCTLS ? ioctls[what].gives : moves[what - IOCTLS].gives;
}

unsigned int call_arguments(unsigned int what)
{
	return what < IOCTLS ? ARGUMENTS : moves[what - IOCTLS].arguments;
}

uint64_t call_argument(unsigned int what, unsigned int i)
{
	if (what < IOCTLS)
		return ioctl_argument(&ioctls[what], i);
	return dice_below(3) ? dice_value() : dice() >> 16;
}

static int run_call(const struct call *call)
{
	if (call->what < IOCTLS)
		return run_ioctl(&ioctls[call->what], call);
	return moves[call->what - IOCTLS].run(call);
}

/* ---- running --------------------------------------------------------------------------- */

/* What each thread does, for the one that wakes those that sleep for long. */
static struct runner {
	pthread_t thread;
	atomic_uint calls;
	atomic_bool inside;
} runners[THREADS];

static int *current_results;
static pthread_barrier_t begin, end;

/* A child has its parent's files, and runs what is left of the program, or is killed in it. */
static int run_fork(const struct call *call)
{
	unsigned int i, at = (unsigned int)(call - current->call);
	pid_t pid;

	for (i = 0; i < CHILDREN && children[i]; i++)
		;
	if (i == CHILDREN)
		return -EAGAIN;
	pid = fork();
	if (pid) {
		children[i] = pid;
		return done(pid) < 0 ? -errno : 0;
	}
	memset(children, 0, sizeof(children));
	for (i = at + 1; i < current->count; i++)
		if (strcmp(call_name(current->call[i].what), "fork"))
			run_call(&current->call[i]);
	if (call->argument[0] % 2)
		pause();
	_exit(0);
}

static bool is_fork(const struct call *call)
{
	return call->what >= IOCTLS && moves[call->what - IOCTLS].run == run_fork;
}

static void run_part(unsigned int thread, bool all)
{
	struct runner *runner = &runners[thread];
	unsigned int i;

	cover_thread_begin(thread);
	for (i = 0; i < current->count; i++) {
		const struct call *call = &current->call[i];

		if (!all && call->thread != thread)
			continue;
		/* A fork that is interrupted begins again, and again. */
		atomic_fetch_add(&runner->calls, 1);
		atomic_store(&runner->inside, !is_fork(call));
		current_results[i] = run_call(call);
		atomic_store(&runner->inside, false);
	}
	syscall(SYS_setresuid, -1, 0, -1);
	cover_thread_end(thread);
}

static void *second(void *arg)
{
	(void)arg;
	for (;;) {
		pthread_barrier_wait(&begin);
		run_part(1, false);
		pthread_barrier_wait(&end);
	}
	return NULL;
}

/* Who sleeps in a call for two ticks is woken by a signal. */
static void *ticker(void *arg)
{
	unsigned int last[THREADS] = { 0 }, i;

	(void)arg;
	for (;;) {
		usleep(TICK_US);
		for (i = 0; i < THREADS; i++) {
			unsigned int now = atomic_load(&runners[i].calls);

			if (atomic_load(&runners[i].inside) && now == last[i])
				pthread_kill(runners[i].thread, SIGALRM);
			last[i] = now;
		}
	}
	return NULL;
}

static void must(bool good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(2);
}

void calls_begin(void)
{
	struct sigaction tick = { .sa_handler = on_tick };
	struct sigaction fault = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };
	char *room = mmap(NULL, 128 * PAGE + ARENA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ronbus_query query;
	pthread_t thread;
	int fd;

	must(room != MAP_FAILED, "mmap");
	wrong = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(wrong != MAP_FAILED, "mmap");
	arena = room + 64 * PAGE;
	must(!mprotect(arena, ARENA, PROT_READ | PROT_WRITE), "mprotect");
	fd = open("/dev/ronbus", O_RDWR | O_CLOEXEC);
	must(fd >= 0, "/dev/ronbus");
	control = fd;
	must(!ioctl(fd, RONBUS_IOC_QUERY, &query), "RONBUS_IOC_QUERY");
	features_here = query.features;
	sigaction(SIGALRM, &tick, NULL);
	sigaction(SIGSEGV, &fault, NULL);
	sigaction(SIGBUS, &fault, NULL);
	signal(SIGPIPE, SIG_IGN);
	pthread_barrier_init(&begin, NULL, THREADS);
	pthread_barrier_init(&end, NULL, THREADS);
	runners[0].thread = pthread_self();
	must(!pthread_create(&runners[1].thread, NULL, second, NULL), "pthread_create");
	must(!pthread_create(&thread, NULL, ticker, NULL), "pthread_create");
}

static void prepare_all(void)
{
	static const struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY }, some = { 1024, 4096 };
	unsigned int i;

	for (i = 0; i < FILES; i++)
		atomic_store(&files[i], i ? -1 : control);
	setrlimit(RLIMIT_MEMLOCK, &none);
	setrlimit(RLIMIT_NOFILE, &some);
}

static void clear_all(void)
{
	unsigned int i;

	for (i = 0; i < CHILDREN; i++)
		if (children[i] > 0) {
			kill(children[i], SIGKILL);
			waitpid(children[i], NULL, 0);
			children[i] = 0;
		}
	uring_close();
	if (epoll >= 0)
		close(epoll);
	epoll = -1;
	for (i = 1; i < FILES; i++) {
		int fd = atomic_load(&files[i]);

		if (fd >= 0 && fd != control)
			close(fd);
	}
	/* Mappings hold their files: they go last here, and first when a program says so. */
	for (i = 0; i < MAPS; i++)
		unmap(&maps[i]);
}

bool calls_run(const struct program *program, int results[CALLS_MOST])
{
	prepare_all();
	current = program;
	current_results = results;
	if (program->threads) {
		pthread_barrier_wait(&begin);
		run_part(0, false);
		pthread_barrier_wait(&end);
	} else {
		run_part(0, true);
	}
	clear_all();
	return !atomic_load(wrong);
}
