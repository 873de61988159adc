// SPDX-License-Identifier: GPL-2.0
/*
 * What lives how long: fds that are copied, passed on and forgotten, the memory they stand for, the
 * module itself.
 *
 * RONBUS_KO names the module's file, for the tests that load it again.
 */
#include <sys/eventfd.h>

#include "ronbus_kselftest.h"

#define REFCNT "/sys/module/ronbus/refcnt"

/* A line of /proc/self/fdinfo as others write it. */
static int fdinfo_number(int fd, const char *key, u64 *value)
{
	char path[64], line[256];
	int ret = -ENOENT;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "r");
	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file)) {
		if (!strncmp(line, key, strlen(key))) {
			*value = strtoull(line + strlen(key), NULL, 10);
			ret = 0;
		}
	}
	fclose(file);
	return ret;
}

FIXTURE(life)
{
	int control;
	long refcnt;
};

FIXTURE_SETUP(life)
{
	self->control = OPEN_CONTROL();
	self->refcnt = read_number(REFCNT);
	ASSERT_TRUE(wait_until(!vmalloc_areas()));
	ASSERT_LE(1, self->refcnt);
}

FIXTURE_TEARDOWN(life)
{
	close(self->control);
}

/* Everything is gone that came since the setup. Some goes a moment after its last user. */
#define NOTHING_LEFT()                                                                  \
	do {                                                                            \
		EXPECT_TRUE(wait_until(read_number(REFCNT) == self->refcnt))            \
		TH_LOG("references: %ld, then %ld", self->refcnt, read_number(REFCNT)); \
		EXPECT_TRUE(wait_until(!vmalloc_areas()))                               \
		TH_LOG("%ld areas are left", vmalloc_areas());                          \
	} while (0)

#define CREATE(...) bus_create(self->control, (struct ronbus_create){ __VA_ARGS__ })

TEST_F(life, references)
{
	struct publisher p;
	struct subscriber s;
	int bus, fd;

	bus = CREATE(0);
	ASSERT_LE(0, bus);
	EXPECT_LT(self->refcnt, read_number(REFCNT));
	EXPECT_LT(0, vmalloc_areas());
	ASSERT_EQ(0, publisher_join(&p, bus, RONBUS_PUBLISHER_MAPPED));
	ASSERT_EQ(0, subscriber_join(&s, bus, RONBUS_START_LATEST, 0));
	fd = dup(bus);
	close(bus);
	close(fd);
	publisher_leave(&p);
	subscriber_leave(&s);
	NOTHING_LEFT();
}

/* A thousand buses with all that belongs to them. */
TEST_F(life, thousand_cycles)
{
	struct publisher p[2];
	struct subscriber s[2];
	struct message msg;
	int i, k, bus;

	for (i = 0; i < 1000; i++) {
		bus = CREATE(.name = "life-cycle", .features = RONBUS_F_EDGE_NOTIFY);
		ASSERT_LE(0, bus) TH_LOG("cycle %d", i);
		for (k = 0; k < 2; k++) {
			ASSERT_EQ(0, publisher_join(&p[k], bus, k ? 0 : RONBUS_PUBLISHER_MAPPED));
			ASSERT_EQ(0, subscriber_join(&s[k], bus, RONBUS_START_LATEST, 0));
		}
		ASSERT_EQ(1, publish_number(&p[i % 2], (u64)i));
		ASSERT_EQ(1, subscriber_read(&s[i % 2], &msg));
		/* In another order each time. */
		if (i & 4)
			close(bus);
		for (k = 0; k < 2; k++) {
			if (i & 1 << k) {
				publisher_leave(&p[k]);
				subscriber_leave(&s[k]);
			} else {
				close(s[k].m.fd);
				close(p[k].m.fd);
				member_unmap(&s[k].m);
				member_unmap(&p[k].m);
			}
		}
		if (!(i & 4))
			close(bus);
	}
	NOTHING_LEFT();
}

/* Processes that end without a word. */
TEST_F(life, exit_without_close)
{
	int i;

	for (i = 0; i < 50; i++) {
		pid_t pid = fork();

		ASSERT_LE(0, pid);
		if (!pid) {
			int bus = CREATE(.name = "life-exit");
			struct publisher p;
			struct subscriber s;

			if (bus < 0 || publisher_join(&p, bus, RONBUS_PUBLISHER_MAPPED) ||
			    subscriber_join(&s, bus, RONBUS_START_LATEST, 0) ||
			    publish_number(&p, 1) != 1)
				_exit(1);
			if (i % 2)
				raise(SIGKILL);
			_exit(0);
		}
		EXPECT_EQ(i % 2 ? -SIGKILL : 0, child_status(pid));
		EXPECT_EQ(-ENOENT, bus_attach(self->control, "life-exit", 3));
	}
	NOTHING_LEFT();
}

/* A program takes none of it along when it becomes another. */
TEST_F(life, exec)
{
	pid_t pid;

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		int bus = CREATE(.name = "life-exec");
		struct publisher p;
		struct subscriber s;

		if (bus < 0 || publisher_join(&p, bus, RONBUS_PUBLISHER_MAPPED) ||
		    subscriber_join(&s, bus, RONBUS_START_LATEST, 0))
			_exit(1);
		execl("/proc/self/exe", "lifetime_test", "--count-fds", NULL);
		_exit(2);
	}
	/* It has what it was given, and nothing of ours: see main(). */
	EXPECT_EQ(0, child_status(pid));
	NOTHING_LEFT();
}

TEST_F(life, duplicates)
{
	struct ronbus_info info;
	struct subscriber s;
	struct publisher p;
	struct message msg;
	int bus = CREATE(0), copies[3], i;

	ASSERT_LE(0, bus);
	ASSERT_EQ(0, publisher_join(&p, bus, RONBUS_PUBLISHER_MAPPED));
	ASSERT_EQ(0, subscriber_join(&s, bus, RONBUS_START_LATEST, 0));
	for (i = 0; i < 3; i++) {
		copies[i] = dup(p.m.fd);
		ASSERT_LE(0, copies[i]);
	}
	close(p.m.fd);
	p.m.fd = copies[0];
	EXPECT_EQ(1, publish_number(&p, 1));
	EXPECT_EQ(1, subscriber_read(&s, &msg));
	close(copies[1]);
	publisher_leave(&p);
	ASSERT_EQ(0, fd_info(bus, &info));
	EXPECT_EQ(1, info.publishers);
	EXPECT_EQ(-EAGAIN, subscriber_read(&s, &msg));
	/* The last copy is the publisher, and its mapping can be made again. */
	ASSERT_EQ(0, member_map(&p.m, copies[2], PROT_READ | PROT_WRITE));
	EXPECT_EQ(1, publish_number(&p, 2));
	EXPECT_EQ(1, subscriber_read(&s, &msg));
	EXPECT_TRUE(message_whole(msg.data, msg.len, 2));
	publisher_leave(&p);
	EXPECT_EQ(0, subscriber_read(&s, &msg));
	subscriber_leave(&s);
	close(bus);
	NOTHING_LEFT();
}

/* fds that another process made, and no longer has. */
TEST_F(life, passing)
{
	int sockets[2], bus, pub, sub, round;
	struct ronbus_info info;
	struct publisher p;
	struct subscriber s;
	struct message msg;
	pid_t pid;

	for (round = 0; round < 3; round++) {
		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			bus = CREATE(0);
			pub = fd_publisher(bus, RONBUS_PUBLISHER_MAPPED, NULL);
			sub = fd_subscribe(bus, RONBUS_START_LATEST, 0, NULL);
			if (sub < 0 || send_fd(sockets[1], bus) || send_fd(sockets[1], pub) ||
			    send_fd(sockets[1], sub))
				_exit(1);
			_exit(0);
		}
		close(sockets[1]);
		EXPECT_EQ(0, child_status(pid));
		/* They are nowhere but in the socket now. */
		EXPECT_LT(self->refcnt, read_number(REFCNT));
		if (round == 2) {
			/* And go with it if nobody takes them. */
			close(sockets[0]);
			break;
		}
		bus = recv_fd(sockets[0]);
		pub = recv_fd(sockets[0]);
		sub = recv_fd(sockets[0]);
		ASSERT_LE(0, bus);
		ASSERT_LE(0, pub);
		ASSERT_LE(0, sub);
		close(sockets[0]);
		memset(&p, 0, sizeof(p));
		memset(&s, 0, sizeof(s));
		ASSERT_EQ(0, member_map(&p.m, pub, PROT_READ | PROT_WRITE));
		ASSERT_EQ(0, member_map(&s.m, sub, PROT_READ));
		p.id = p.m.info.member;
		EXPECT_EQ(1, p.id);
		ASSERT_EQ(0, fd_info(bus, &info));
		EXPECT_EQ(1, info.publishers);
		EXPECT_EQ(1, publish_number(&p, 5));
		ASSERT_EQ(1, subscriber_read(&s, &msg));
		EXPECT_TRUE(message_whole(msg.data, msg.len, 5));
		publisher_leave(&p);
		EXPECT_EQ(0, subscriber_read(&s, &msg));
		subscriber_leave(&s);
		close(bus);
	}
	NOTHING_LEFT();
}

/* Sent through a socket that nobody can reach any more: the kernel's own collector finds them. */
TEST_F(life, in_a_cycle_of_sockets)
{
	int sockets[2], bus, i;

	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets));
		bus = CREATE(0);
		ASSERT_LE(0, bus);
		ASSERT_EQ(0, send_fd(sockets[0], bus));
		ASSERT_EQ(0, send_fd(sockets[0], sockets[0]));
		ASSERT_EQ(0, send_fd(sockets[0], sockets[1]));
		close(bus);
		close(sockets[0]);
		close(sockets[1]);
	}
	/* Any other socket's end sets it to work. */
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets));
		close(sockets[0]);
		close(sockets[1]);
	}
	NOTHING_LEFT();
}

/* An eventfd that a subscriber had is let go with it. The kernel numbers them, the lowest first. */
TEST_F(life, eventfds)
{
	u64 first = 0, id = 0;
	int i;

	for (i = 0; i < 20; i++) {
		int bus = CREATE(0), fd = eventfd(0, EFD_CLOEXEC), other;
		struct subscriber s;

		ASSERT_LE(0, bus);
		ASSERT_LE(0, fd);
		if (fdinfo_number(fd, "eventfd-id:", &id))
			SKIP(return, "this kernel does not number its eventfds");
		if (!i)
			first = id;
		EXPECT_EQ(first, id);
		ASSERT_EQ(0, subscriber_join(&s, bus, RONBUS_START_LATEST, 0));
		ASSERT_EQ(0, fd_set_eventfd(s.m.fd, fd));
		if (i % 3 == 1) {
			/* One in the place of another. */
			other = eventfd(0, EFD_CLOEXEC);
			ASSERT_EQ(0, fd_set_eventfd(s.m.fd, other));
			close(other);
		}
		if (i % 2) {
			close(fd);
			subscriber_leave(&s);
		} else {
			subscriber_leave(&s);
			close(fd);
		}
		close(bus);
	}
	NOTHING_LEFT();
}

/* The control fd is needed to make buses, not to have them. */
TEST_F(life, without_the_control_fd)
{
	int control = open(DEVICE, O_RDWR | O_CLOEXEC), bus;
	struct publisher p;

	ASSERT_LE(0, control);
	bus = bus_create(control, (struct ronbus_create){ 0 });
	ASSERT_LE(0, bus);
	close(control);
	ASSERT_EQ(0, publisher_join(&p, bus, RONBUS_PUBLISHER_MAPPED));
	EXPECT_EQ(1, publish_number(&p, 1));
	publisher_leave(&p);
	close(bus);
	NOTHING_LEFT();
}

/* Waiters that are in the kernel when the process is killed. */
TEST_F(life, killed_in_the_kernel)
{
	int i, bus = CREATE(.flags = RONBUS_BUS_PERSISTENT);

	ASSERT_LE(0, bus);
	for (i = 0; i < 20; i++) {
		struct ronbus_info info;
		pid_t pid = fork();

		ASSERT_LE(0, pid);
		if (!pid) {
			struct subscriber s;

			if (subscriber_join(&s, bus, RONBUS_START_LATEST, 0))
				_exit(1);
			fd_wait(s.m.fd, RONBUS_WAIT_FOREVER);
			_exit(2);
		}
		if (i % 2) {
			struct ronbus_stats stats;

			ASSERT_TRUE(wait_until(!fd_stats(bus, RONBUS_STATS_BUS, &stats) &&
					       stats.armed));
		}
		ASSERT_EQ(0, kill(pid, SIGKILL));
		EXPECT_EQ(-SIGKILL, child_status(pid));
		ASSERT_EQ(0, fd_info(bus, &info));
		EXPECT_EQ(0, info.subscribers);
	}
	close(bus);
	NOTHING_LEFT();
}

/* ---- the module ------------------------------------------------------------------------- */

static bool in_use(int err)
{
	return err == -EAGAIN || err == -EBUSY || err == -EWOULDBLOCK;
}

FIXTURE(module)
{
	const char *ko;
};

FIXTURE_SETUP(module)
{
	self->ko = getenv("RONBUS_KO");
	if (!self->ko || !*self->ko)
		SKIP(return, "RONBUS_KO does not say where the module's file is");
	if (geteuid())
		SKIP(return, "needs root, to unload and load the module");
	if (access(DEVICE, F_OK))
		SKIP(return, "no %s: the module is not loaded", DEVICE);
	ASSERT_EQ(0, access(self->ko, R_OK)) TH_LOG("RONBUS_KO=%s", self->ko);
	if (read_number(REFCNT) > 0)
		SKIP(return, "somebody else uses the module");
}

FIXTURE_TEARDOWN(module)
{
	/* Whatever happened, the next test finds it loaded. */
	if (access(DEVICE, F_OK))
		module_load(self->ko);
}

/* Any fd, and any mapping, keeps it from going. */
TEST_F(module, stays_while_in_use)
{
	enum {
		CONTROL,
		BUS,
		PUBLISHER,
		SUBSCRIBER,
		MAPPING,
		KINDS
	} kept;

	for (kept = 0; kept < KINDS; kept++) {
		int control = open(DEVICE, O_RDWR | O_CLOEXEC);
		struct publisher p;
		struct subscriber s;
		int bus;

		ASSERT_LE(0, control);
		bus = bus_create(control, (struct ronbus_create){ 0 });
		ASSERT_LE(0, bus);
		ASSERT_EQ(0, publisher_join(&p, bus, RONBUS_PUBLISHER_MAPPED));
		ASSERT_EQ(0, subscriber_join(&s, bus, RONBUS_START_LATEST, 0));
		if (kept != CONTROL)
			close(control);
		if (kept != BUS)
			close(bus);
		if (kept != PUBLISHER)
			close(p.m.fd);
		if (kept != SUBSCRIBER)
			close(s.m.fd);
		member_unmap(&p.m);
		if (kept != MAPPING)
			member_unmap(&s.m);

		EXPECT_LT(0, read_number(REFCNT));
		EXPECT_TRUE(in_use(module_unload())) TH_LOG("kept %d", kept);
		EXPECT_EQ(0, access(DEVICE, F_OK));

		if (kept == CONTROL)
			close(control);
		if (kept == BUS)
			close(bus);
		if (kept == PUBLISHER)
			close(p.m.fd);
		if (kept == SUBSCRIBER)
			close(s.m.fd);
		if (kept == MAPPING)
			member_unmap(&s.m);
		EXPECT_TRUE(wait_until(read_number(REFCNT) == 0)) TH_LOG("kept %d", kept);
	}
}

TEST_F(module, goes_and_comes_back)
{
	int round;

	for (round = 0; round < 3; round++) {
		struct publisher p;
		struct subscriber s;
		struct message msg;
		int control, bus;

		ASSERT_TRUE(wait_until(module_unload() == 0));
		EXPECT_EQ(-1, access(DEVICE, F_OK));
		EXPECT_EQ(-1, open(DEVICE, O_RDWR));
		EXPECT_TRUE(errno == ENOENT || errno == ENXIO || errno == ENODEV);
		EXPECT_EQ(-ENOENT, module_unload());
		EXPECT_EQ(-1, access("/sys/module/ronbus", F_OK));

		ASSERT_EQ(0, module_load(self->ko));
		EXPECT_EQ(-EEXIST, module_load(self->ko));
		ASSERT_TRUE(wait_until(access(DEVICE, F_OK) == 0));
		control = open(DEVICE, O_RDWR | O_CLOEXEC);
		ASSERT_LE(0, control);
		bus = bus_create(control, (struct ronbus_create){ .name = "life-again" });
		ASSERT_LE(0, bus);
		ASSERT_EQ(0, publisher_join(&p, bus, RONBUS_PUBLISHER_MAPPED));
		ASSERT_EQ(0, subscriber_join(&s, bus, RONBUS_START_LATEST, 0));
		EXPECT_EQ(1, publish_number(&p, 3));
		ASSERT_EQ(1, subscriber_read(&s, &msg));
		EXPECT_TRUE(message_whole(msg.data, msg.len, 3));
		publisher_leave(&p);
		subscriber_leave(&s);
		close(bus);
		close(control);
	}
}

/* Unloading races with the last close: it is in use, or it is gone, and nothing in between. */
TEST_F(module, goes_behind_the_last_close)
{
	int round;

	for (round = 0; round < 10; round++) {
		pid_t pid = fork();
		int err;

		ASSERT_LE(0, pid);
		if (!pid) {
			int control = open(DEVICE, O_RDWR | O_CLOEXEC);
			int bus = bus_create(control, (struct ronbus_create){ .capacity = 4096 });
			struct subscriber s;

			if (bus < 0 || subscriber_join(&s, bus, RONBUS_START_LATEST, 0))
				_exit(1);
			nap();
			_exit(0);
		}
		do
			err = module_unload();
		while (in_use(err) && waitpid(pid, NULL, WNOHANG) != pid);
		if (in_use(err)) {
			ASSERT_TRUE(wait_until(module_unload() == 0));
		} else {
			EXPECT_EQ(0, err);
			waitpid(pid, NULL, 0);
		}
		ASSERT_EQ(0, module_load(self->ko));
		ASSERT_TRUE(wait_until(access(DEVICE, F_OK) == 0));
	}
}

/* Tracing it keeps it from going, or it takes what traced it along: nothing is called any more. */
TEST_F(module, goes_while_traced)
{
	int control, bus, err, round;

	if (tracefs_mount())
		SKIP(return, "this kernel has no tracefs");
	for (round = 0; round < 3; round++) {
		ASSERT_EQ(0, write_file(TRACEFS "/events/ronbus/enable", "1"));
		control = open(DEVICE, O_RDWR | O_CLOEXEC);
		ASSERT_LE(0, control);
		bus = bus_create(control, (struct ronbus_create){ .capacity = 4 });
		ASSERT_LE(0, bus);
		close(bus);
		close(control);
		ASSERT_TRUE(wait_until(!(err = module_unload()) || !in_use(err)));
		ASSERT_EQ(0, err);
		usleep(300000); /* longer than the module's own look at the counters */
		EXPECT_EQ(-1, access(TRACEFS "/events/ronbus", F_OK));
		ASSERT_EQ(0, module_load(self->ko));
		ASSERT_TRUE(wait_until(access(DEVICE, F_OK) == 0));
		EXPECT_EQ(0, access(TRACEFS "/events/ronbus", F_OK));
	}
}

/* What is left of this program after exec: no fd that the module made. */
static int count_fds(void)
{
	char path[64], target[256];
	int fd;

	for (fd = 0; fd < 1024; fd++) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, target, sizeof(target) - 1);
		if (n < 0)
			continue;
		target[n] = 0;
		if (strstr(target, "anon_inode:[ronbus") || !strcmp(target, DEVICE))
			return 3;
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--count-fds"))
		return count_fds();
	return test_harness_run(argc, argv);
}
