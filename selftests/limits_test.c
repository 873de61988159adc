// SPDX-License-Identifier: GPL-2.0
/*
 * Limits of buses: how many, how many of a user, fds, and memory that is charged.
 */
#include <linux/capability.h>
#include <sys/prctl.h>

#include "create.h"

/* ---- limits ----------------------------------------------------------------------------- */

TEST_F(create, too_many_buses)
{
	struct rlimit limit = { 0 };
	u32 n = 0, i;
	int *fds;
	int fd;

	if (self->q.buses_max > 10000)
		SKIP(return, "%u buses are more than this test has time for", self->q.buses_max);
	limit.rlim_cur = limit.rlim_max = self->q.buses_max + 64;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		SKIP(return, "needs root, to have %u files", self->q.buses_max + 64);
	fds = calloc(self->q.buses_max + 1, sizeof(*fds));
	ASSERT_NE(NULL, fds);
	for (n = 0; n <= self->q.buses_max; n++) {
		fds[n] = CREATE(.capacity = 4, .payload = 8);
		if (fds[n] < 0)
			break;
	}
	EXPECT_EQ(-ENOSPC, fds[n]);
	EXPECT_GE(self->q.buses_max, n);
	/* Somebody else may have a few. */
	EXPECT_LE(self->q.buses_max, n + 16);
	EXPECT_EQ(-ENOSPC, bus_create(self->control, named("create-many")));
	close(fds[n / 2]);
	fd = bus_create(self->control, named("create-many"));
	EXPECT_LE(0, fd);
	/* In use is told before there is no room. */
	EXPECT_EQ(-EEXIST, bus_create(self->control, named("create-many")));
	fds[n / 2] = fd;
	for (i = 0; i < n; i++)
		close(fds[i]);
	free(fds);
	EXPECT_CREATES(.name = "create-many");
}

#define USER_BUSES "/sys/module/ronbus/parameters/user_buses"

/* Make buses until there is an error, which is returned in @last; how many there are. */
static u32 make_many(int control, u32 most, int *last)
{
	u32 n;

	for (n = 0; n < most; n++) {
		*last = bus_create(control, (struct ronbus_create){ .capacity = 4, .payload = 8 });
		if (*last < 0)
			break;
	}
	return n;
}

/* One's own namespaces, with many uids in them, are still one's own. */
static int own_namespaces(uid_t uid)
{
	char text[64];

	if (prctl(PR_SET_DUMPABLE, 1) || unshare(CLONE_NEWUSER | CLONE_NEWIPC) ||
	    write_file("/proc/self/setgroups", "deny"))
		return -1;
	snprintf(text, sizeof(text), "0 %u 1", uid);
	return write_file("/proc/self/uid_map", text) | write_file("/proc/self/gid_map", text);
}

TEST_F(create, a_user_does_not_take_them_all)
{
	long quota = read_number(USER_BUSES);
	int ready[2], done[2], last;
	char byte;
	pid_t pid;

	if (geteuid())
		SKIP(return, "needs root, to be somebody else");
	ASSERT_LT(1, quota);
	ASSERT_GT(900, quota);
	ASSERT_EQ(0, pipe(ready));
	ASSERT_EQ(0, pipe(done));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		int first;

		close(done[1]);
		ASSERT_EQ(0, setresgid(5010, 5010, 5010));
		ASSERT_EQ(0, setresuid(5010, 5010, 5010));
		first = CREATE(.capacity = 4);
		ASSERT_LE(0, first);
		EXPECT_EQ(quota / 2, make_many(self->control, (u32)quota / 2, &last));
		if (own_namespaces(5010))
			SKIP(_exit(KSFT_SKIP), "no user namespaces for everybody here");
		EXPECT_EQ(quota - quota / 2 - 1, make_many(self->control, (u32)quota, &last));
		EXPECT_EQ(-ENOSPC, last);
		/* And in those that are made in there. */
		ASSERT_EQ(0, unshare(CLONE_NEWUSER | CLONE_NEWIPC));
		EXPECT_EQ(-ENOSPC, CREATE(.capacity = 4));
		/* What is given back can be had again. */
		close(first);
		EXPECT_LE(0, CREATE(.capacity = 4));
		EXPECT_EQ(-ENOSPC, CREATE(.capacity = 4));
		EXPECT_EQ(1, write(ready[1], "", 1));
		(void)!read(done[0], &byte, 1);
		_exit(0);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1) {
		EXPECT_EQ(KSFT_SKIP, child_status(pid));
		return;
	}
	/* Others have what is theirs, and a capability helps whoever has it. */
	EXPECT_CREATES(.capacity = 4);
	ASSERT_EQ(0, setresuid(5011, 5011, 0));
	EXPECT_EQ(quota, make_many(self->control, (u32)quota + 1, &last));
	EXPECT_EQ(-ENOSPC, last);
	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, setresuid(5010, 0, 0));
	EXPECT_CREATES(.capacity = 4);
	close(done[1]);
	EXPECT_EQ(0, child_status(pid));
}

TEST_F(create, the_administrator_says_how_many)
{
	long quota = read_number(USER_BUSES);
	char text[16];
	int last;

	if (geteuid())
		SKIP(return, "needs root, to be somebody else");
	ASSERT_EQ(0, write_file(USER_BUSES, "3"));
	ASSERT_EQ(0, setresuid(5012, 5012, 0));
	EXPECT_EQ(3, make_many(self->control, 10, &last));
	EXPECT_EQ(-ENOSPC, last);
	ASSERT_EQ(0, setresuid(0, 0, 0));
	snprintf(text, sizeof(text), "%ld", quota);
	ASSERT_EQ(0, write_file(USER_BUSES, text));
}

TEST_F(create, no_fd_left)
{
	struct rlimit limit, none;
	struct ronbus_info before, after;
	int fd, next;

	fd = bus_create(self->control, named("create-fds"));
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fd_info(fd, &before));
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	next = fcntl(fd, F_DUPFD, 0);
	ASSERT_EQ(fd + 1, next);
	close(next);
	none = limit;
	none.rlim_cur = (rlim_t)next;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
	EXPECT_EQ(-EMFILE, bus_create(self->control, named("create-fds2")));
	EXPECT_EQ(-EMFILE, CREATE(0));
	EXPECT_EQ(-EMFILE, bus_attach(self->control, "create-fds", 3));
	EXPECT_EQ(-EMFILE, fd_subscribe(fd, RONBUS_START_LATEST, 0, NULL));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	ASSERT_EQ(0, fd_info(fd, &after));
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
	EXPECT_EQ(-ENOENT, bus_attach(self->control, "create-fds2", 3));
	EXPECT_CREATES(.name = "create-fds2");
	close(fd);
}

/* How many buses of 64 KiB fit below RLIMIT_MEMLOCK. */
static int buses_that_fit(int control, rlim_t bytes, int *last)
{
	struct rlimit limit = { bytes, bytes };
	int fds[64], n, i;

	if (setrlimit(RLIMIT_MEMLOCK, &limit))
		return -errno;
	for (n = 0; n < 64; n++) {
		fds[n] = bus_create(control,
				    (struct ronbus_create){ .capacity = 1024, .payload = 32 });
		if (fds[n] < 0)
			break;
	}
	*last = n < 64 ? fds[n] : 0;
	for (i = 0; i < n; i++)
		close(fds[i]);
	return n;
}

TEST_F(create, memory_is_charged)
{
	pid_t pid;

	if (geteuid())
		SKIP(return, "needs root, to be somebody else");
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		int n, last;

		ASSERT_EQ(0, setresuid(5000, 5000, 5000));
		n = buses_that_fit(self->control, 1 << 20, &last);
		/* 16 rings alone would be all of it. */
		EXPECT_LE(8, n);
		EXPECT_GT(16, n);
		EXPECT_EQ(-ENOMEM, last);
		/* What was given back can be had again. */
		EXPECT_EQ(n, buses_that_fit(self->control, 1 << 20, &last));
		EXPECT_EQ(-ENOMEM, last);
		EXPECT_GT(n, buses_that_fit(self->control, 1 << 19, &last));
		EXPECT_EQ(-ENOMEM, last);
		EXPECT_EQ(0, buses_that_fit(self->control, 0, &last));
		EXPECT_EQ(-ENOMEM, last);
		_exit(0);
	}
	EXPECT_EQ(0, child_status(pid));
}

/* To the page: a default bus has three, its members one each; and all that a user has adds up. */
TEST_F(create, memory_is_counted_in_pages)
{
	rlim_t page = (rlim_t)sysconf(_SC_PAGESIZE);
	pid_t pid;

	if (geteuid())
		SKIP(return, "needs root, to be somebody else");
	if (page != 4096)
		SKIP(return, "the numbers are for pages of 4096 bytes");
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct rlimit limit = { 3 * page - 1, RLIM_INFINITY };
		int bus, pub, sub;

		ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
		ASSERT_EQ(0, setresuid(5002, 5002, 5002));
		EXPECT_EQ(-ENOMEM, CREATE(0));
		limit.rlim_cur = 3 * page;
		ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
		bus = CREATE(0);
		EXPECT_LE(0, bus);
		EXPECT_EQ(-ENOMEM, fd_publisher(bus, 0, NULL));
		limit.rlim_cur = 4 * page;
		ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
		pub = fd_publisher(bus, 0, NULL);
		EXPECT_LE(0, pub);
		EXPECT_EQ(-ENOMEM, fd_subscribe(bus, RONBUS_START_LATEST, 0, NULL));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			/* Another process, the same user. */
			EXPECT_EQ(-ENOMEM, CREATE(.capacity = 4));
			limit.rlim_cur = 6 * page;
			ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
			EXPECT_LE(0, CREATE(.capacity = 4));
			EXPECT_EQ(-ENOMEM, fd_subscribe(bus, RONBUS_START_LATEST, 0, NULL));
			_exit(0);
		}
		EXPECT_EQ(0, child_status(pid));
		close(pub);
		sub = fd_subscribe(bus, RONBUS_START_LATEST, 0, NULL);
		EXPECT_LE(0, sub);
		_exit(0);
	}
	EXPECT_EQ(0, child_status(pid));
}

/* A member's own page is charged to the member. */
TEST_F(create, memory_of_members_is_charged)
{
	pid_t pid;
	int bus;

	if (geteuid())
		SKIP(return, "needs root, to be somebody else");
	bus = CREATE(.flags = RONBUS_BUS_PERSISTENT);
	ASSERT_LE(0, bus);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct rlimit limit = { 0 };
		struct ronbus_info info;

		ASSERT_EQ(0, setresuid(5001, 5001, 5001));
		ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
		EXPECT_EQ(-ENOMEM, fd_publisher(bus, 0, NULL));
		EXPECT_EQ(-ENOMEM, fd_subscribe(bus, RONBUS_START_LATEST, 0, NULL));
		EXPECT_EQ(0, fd_info(bus, &info));
		EXPECT_EQ(0, info.publishers);
		EXPECT_EQ(0, info.subscribers);
		_exit(0);
	}
	EXPECT_EQ(0, child_status(pid));
	close(bus);
}

/* Has this process made use of a capability? PF_SUPERPRIV, in its flags. */
static bool used_capability(void)
{
	char text[1024] = "", *at;
	unsigned int flags = 0;
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);

	if (read(fd, text, sizeof(text) - 1) > 0 && (at = strrchr(text, ')')))
		sscanf(at + 2, "%*c %*d %*d %*d %*d %*d %u", &flags);
	close(fd);
	return flags & 0x100;
}

/* It is asked for only where it is needed: users without it would fill an audit log. */
TEST_F(create, memory_below_the_limit_asks_for_nothing)
{
	struct rlimit limit = { 1 << 30, 1 << 30 };
	pid_t pid;

	if (geteuid())
		SKIP(return, "needs CAP_IPC_LOCK");
	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		int bus = CREATE(0);

		EXPECT_LE(0, bus);
		EXPECT_LE(0, fd_publisher(bus, 0, NULL));
		EXPECT_LE(0, fd_subscribe(bus, RONBUS_START_LATEST, 0, NULL));
		EXPECT_FALSE(used_capability());
		limit.rlim_cur = 0;
		ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
		EXPECT_LE(0, CREATE(0));
		EXPECT_TRUE(used_capability());
		_exit(0);
	}
	EXPECT_EQ(0, child_status(pid));
}

TEST_F(create, memory_of_the_privileged_is_not)
{
	struct rlimit limit = { 0 };
	int last;

	if (geteuid())
		SKIP(return, "needs CAP_IPC_LOCK");
	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
	EXPECT_EQ(64, buses_that_fit(self->control, 0, &last));
	EXPECT_EQ(0, last);
}

TEST_HARNESS_MAIN
