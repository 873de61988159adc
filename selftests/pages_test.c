// SPDX-License-Identifier: GPL-2.0
/*
 * Pages of mappings: forks, and everything else that could get hold of them or look at them.
 */
#include <arpa/inet.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <sys/uio.h>

#include "mmap.h"

/* ---- fork ------------------------------------------------------------------------------- */

/* A child has the fd, but not the mapping. */
TEST_F(map, fork)
{
	int region;

	for (region = 0; region < REGIONS; region++) {
		char *p = MAP(MAPPED, region, PROT_READ);
		pid_t pid = fork();

		ASSERT_LE(0, pid);
		if (!pid) {
			(void)*(volatile char *)p;
			_exit(0);
		}
		EXPECT_EQ(-SIGSEGV, child_status(pid));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid)
			_exit(try_map(self->fd[MAPPED], self->size[region], PROT_READ, MAP_SHARED,
				      offsets[region])
				      ? 1
				      : 0);
		EXPECT_EQ(0, child_status(pid));
		EXPECT_EQ(0, munmap(p, self->size[region]));
	}
}

/* Whoever insists is refused. */
TEST_F(map, dofork)
{
	int role, region;

	for (role = PUBLISHER; role < ROLES; role++) {
		for (region = 0; region < REGIONS; region++) {
			char *p;
			pid_t pid;

			if (!rights[role][region])
				continue;
			p = MAP(role, region, rights[role][region]);
			EXPECT_EQ(-1, madvise(p, self->size[region], MADV_DOFORK));
			EXPECT_EQ(EINVAL, errno);
			pid = fork();
			ASSERT_LE(0, pid);
			if (!pid) {
				(void)*(volatile char *)p;
				_exit(0);
			}
			EXPECT_EQ(-SIGSEGV, child_status(pid));
			EXPECT_EQ(0, munmap(p, self->size[region]));
		}
	}
}

/* ---- a hold of the pages ---------------------------------------------------------------- */

/*
 * What gets hold of the pages of a mapping keeps them when the mapping is gone, and the fd that it
 * was made from, and its owner. Each way returns 0 if it got them, or -errno.
 */
static int hold_for_uring(char *p, size_t size)
{
	struct iovec vec = { p, size };
	struct io_uring_params params = { 0 };
	int uring = (int)syscall(SYS_io_uring_setup, 4, &params), ret;

	if (uring < 0)
		return -ENOSYS;
	ret = syscall(SYS_io_uring_register, uring, IORING_REGISTER_BUFFERS, &vec, 1) ? -errno : 0;
	close(uring);
	return ret;
}

static int hold_in_pipe(char *p, size_t size)
{
	struct iovec vec = { p, PAGE };
	int pipes[2], ret;

	(void)size;
	if (pipe(pipes))
		return -errno;
	ret = vmsplice(pipes[1], &vec, 1, 0) == (ssize_t)PAGE ? 0 : -errno;
	close(pipes[0]);
	close(pipes[1]);
	return ret;
}

static int tcp_pair(int *fds)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM, 0), err = 0;

	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (struct sockaddr *)&at, len) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&at, &len) ||
	    connect(fds[0], (struct sockaddr *)&at, len))
		err = -errno;
	fds[1] = err ? -1 : accept(listener, NULL, NULL);
	close(listener);
	return err;
}

static int hold_for_sending(char *p, size_t size)
{
	int fds[2], one = 1, ret = tcp_pair(fds);

	(void)size;
	if (!ret && setsockopt(fds[0], SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)))
		ret = -errno;
	if (!ret)
		ret = send(fds[0], p, PAGE, MSG_ZEROCOPY) < 0 ? -errno : 0;
	close(fds[0]);
	close(fds[1]);
	return ret;
}

static int hold_to_read(char *p, size_t size)
{
	struct iovec from = { p, 8 };
	char word[8];
	struct iovec to = { word, 8 };

	(void)size;
	return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == 8 ? 0 : -errno;
}

/* A futex between processes is found by its page. That it does not sleep shows that it was. */
static int hold_for_futex(char *p, size_t size)
{
	u32 other = *(volatile u32 *)p + 1;

	(void)size;
	syscall(SYS_futex, p, FUTEX_WAIT, other, NULL, NULL, 0);
	return errno == EAGAIN ? 0 : -errno;
}

static const struct {
	const char *name;
	int (*get)(char *p, size_t size);
} holds[] = {
	{ "a buffer of io_uring", hold_for_uring },
	{ "vmsplice", hold_in_pipe },
	{ "MSG_ZEROCOPY", hold_for_sending },
	{ "process_vm_readv", hold_to_read },
	{ "a futex", hold_for_futex },
};

TEST_F(map, nobody_holds_its_pages)
{
	int file = (int)syscall(SYS_memfd_create, "pages", 0), role, region;
	size_t i, size = 4 * PAGE;
	char *p;

	/* Of other memory that a file is mapped for, each way gets hold. */
	ASSERT_EQ(0, ftruncate(file, (off_t)size));
	p = mmap(NULL, size, RW, MAP_SHARED, file, 0);
	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < ARRAY_SIZE(holds); i++) {
		EXPECT_EQ(0, holds[i].get(p, size)) TH_LOG("%s", holds[i].name);
	}
	for (role = PUBLISHER; role < ROLES; role++) {
		for (region = 0; region < REGIONS; region++) {
			int prot = rights[role][region];

			while (prot) {
				p = MAP(role, region, prot);
				for (i = 0; i < ARRAY_SIZE(holds); i++) {
					EXPECT_EQ(-EFAULT, holds[i].get(p, self->size[region]))
					TH_LOG("%s of %s of a %s, prot %d", holds[i].name,
					       region_names[region], role_names[role], prot);
				}
				EXPECT_EQ(0, munmap(p, self->size[region]));
				prot = prot == RW ? RO : NONE;
			}
		}
	}
	close(file);
}

/* A debugger sees what the process does, and changes nothing. */
TEST_F(map, debugger)
{
	int region, mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	unsigned char buf[256];
	u64 word = 0x5caff01d5caff01d;

	ASSERT_LE(0, mem);
	for (region = 0; region < REGIONS; region++) {
		char *p = MAP(MAPPED, region, rights[MAPPED][region]);
		size_t last = self->size[region] - sizeof(buf), at;

		for (at = 0; at <= last; at += PAGE - sizeof(buf)) {
			poison(buf);
			ASSERT_EQ(sizeof(buf),
				  pread(mem, buf, sizeof(buf), (off_t)(uintptr_t)p + (off_t)at));
			EXPECT_EQ(0, memcmp(buf, p + at, sizeof(buf)));
		}
		EXPECT_EQ(-1, pwrite(mem, &word, sizeof(word), (off_t)(uintptr_t)p + 64));
		EXPECT_NE(word, *(volatile u64 *)(p + 64));
		EXPECT_EQ(0, munmap(p, self->size[region]));
	}
	close(mem);
}

static long status_kb(const char *key)
{
	char line[256];
	long kb = -1;
	FILE *file = fopen("/proc/self/status", "r");

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, key, strlen(key)))
			kb = strtol(line + strlen(key), NULL, 10);
	if (file)
		fclose(file);
	return kb;
}

/* The memory is the module's: it is not in what the process is said to have, nor to have locked. */
TEST_F(map, locked_and_resident)
{
	struct rlimit limit = { 64 << 20, 64 << 20 };
	long resident, locked;
	struct ronbus_info info;
	size_t i;
	int bus, sub;
	char *p;

	bus = bus_create(self->control, (struct ronbus_create){ .capacity = 1 << 16 });
	ASSERT_LE(0, bus);
	sub = fd_subscribe(bus, RONBUS_START_LATEST, 0, NULL);
	ASSERT_EQ(0, fd_info(sub, &info));
	ASSERT_LE(4 << 20, info.ring_bytes);
	if (setrlimit(RLIMIT_MEMLOCK, &limit))
		SKIP(return, "needs root, to lock memory");
	ASSERT_EQ(0, mlockall(MCL_CURRENT | MCL_FUTURE));
	resident = status_kb("VmRSS:");
	locked = status_kb("VmLck:");
	p = fd_map(sub, info.ring_bytes, PROT_READ, RONBUS_MMAP_RING);
	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < info.ring_bytes; i += PAGE)
		(void)*(volatile char *)(p + i);
	EXPECT_GT(resident + 1024, status_kb("VmRSS:"));
	EXPECT_GT(locked + 1024, status_kb("VmLck:"));
	munlockall();
	munmap(p, info.ring_bytes);
	close(sub);
	close(bus);
}

/* The same ring mapped twice, and mapped for reading besides: the last writable one counts. */
TEST_F(map, twice)
{
	struct ronbus_stats stats;
	struct ronbus_claim claim;
	struct publisher p;
	void *second, *reading;

	ASSERT_EQ(0, publisher_join(&p, self->fd[BUS], RONBUS_PUBLISHER_MAPPED));
	second = fd_map(p.m.fd, self->size[RING], RW, RONBUS_MMAP_RING);
	reading = fd_map(p.m.fd, self->size[RING], RO, RONBUS_MMAP_RING);
	ASSERT_NE(MAP_FAILED, second);
	ASSERT_NE(MAP_FAILED, reading);
	claim.pos = ronbus_ring_hint(&p.m.ring);
	ASSERT_EQ(0, publisher_claim(&p, &claim));
	EXPECT_EQ(*(volatile u64 *)p.m.ring.head, *(volatile u64 *)reading);

	ASSERT_EQ(0, munmap(p.m.ring.head, self->size[RING]));
	ASSERT_EQ(0, fd_stats(self->fd[BUS], RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(0, stats.counters.repairs_total);
	ASSERT_EQ(0, munmap(second, self->size[RING]));
	ASSERT_EQ(0, fd_stats(self->fd[BUS], RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(1, stats.counters.repairs_total);

	/* With the fd it can begin anew. */
	second = fd_map(p.m.fd, self->size[RING], RW, RONBUS_MMAP_RING);
	ASSERT_NE(MAP_FAILED, second);
	ronbus_ring_view(&p.m.ring, second, 256, 64, TEST_FEATURES);
	claim.pos = ronbus_ring_hint(&p.m.ring);
	ASSERT_EQ(0, publisher_claim(&p, &claim));
	ASSERT_EQ(0, munmap(reading, self->size[RING]));
	ASSERT_EQ(0, fd_stats(self->fd[BUS], RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(1, stats.counters.repairs_total);
	publisher_leave(&p);
	ASSERT_EQ(0, fd_stats(self->fd[BUS], RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(2, stats.counters.repairs_total);
}

TEST_HARNESS_MAIN
