// SPDX-License-Identifier: GPL-2.0
/*
 * Names of buses: what they can be, how long they live, and where they are found.
 */
#include "create.h"

/* ---- names ------------------------------------------------------------------------------ */

static bool in_a_name(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '_' || c == '-';
}

TEST_F(create, characters_of_names)
{
	struct ronbus_info info;
	int c, place;

	for (c = 1; c < 256; c++) {
		for (place = 0; place < 3; place++) {
			char name[] = "abc";
			int fd;

			name[place] = (char)c;
			fd = bus_create(self->control, named(name));
			EXPECT_EQ(in_a_name(c) ? 1 : -EINVAL, fd >= 0 ? 1 : fd)
			TH_LOG("byte %#x", c);
			EXPECT_EQ(in_a_name(c) ? 1 : -EINVAL,
				  fd >= 0 ? 1 : bus_attach(self->control, name, 1));
			if (fd < 0)
				continue;
			EXPECT_EQ(0, fd_info(fd, &info));
			EXPECT_STREQ(name, info.name);
			close(fd);
		}
	}
}

TEST_F(create, lengths_of_names)
{
	struct ronbus_attach attach;
	struct ronbus_create args;
	size_t len;
	int fd, at;

	for (len = 1; len < RONBUS_NAME_SIZE; len++) {
		char name[RONBUS_NAME_SIZE] = "";

		memset(name, 'n', len);
		fd = bus_create(self->control, named(name));
		ASSERT_LE(0, fd);
		at = bus_attach(self->control, name, RONBUS_ACCESS_SUBSCRIBE);
		EXPECT_LE(0, at);
		close(at);
		close(fd);
	}
	/* No end. */
	args = named("");
	memset(args.name, 'n', sizeof(args.name));
	EXPECT_EQ(-EINVAL, bus_create(self->control, args));
	memset(&attach, 0, sizeof(attach));
	attach.access = 1;
	memset(attach.name, 'n', sizeof(attach.name));
	EXPECT_EQ(-EINVAL, do_ioctl(self->control, RONBUS_IOC_ATTACH, &attach));
	/* Something after the end of the name, or where there is no name at all. */
	args = named("name");
	args.name[RONBUS_NAME_SIZE - 1] = 'x';
	EXPECT_EQ(-EINVAL, bus_create(self->control, args));
	args = named("name");
	args.name[5] = 'x';
	EXPECT_EQ(-EINVAL, bus_create(self->control, args));
	args = named("");
	args.name[1] = 'x';
	EXPECT_EQ(-EINVAL, bus_create(self->control, args));
	fd = bus_create(self->control, named("name"));
	ASSERT_LE(0, fd);
	memset(&attach, 0, sizeof(attach));
	attach.access = 1;
	strcpy(attach.name, "name");
	attach.name[6] = 'x';
	EXPECT_EQ(-EINVAL, do_ioctl(self->control, RONBUS_IOC_ATTACH, &attach));
	close(fd);
}

TEST_F(create, one_name_one_bus)
{
	int fd, other, at;

	fd = bus_create(self->control, named("create-one"));
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EEXIST, bus_create(self->control, named("create-one")));
	EXPECT_CREATES(.name = "create-One");
	EXPECT_CREATES(.name = "create-one.");
	EXPECT_CREATES(.name = "create-on");
	/* What cannot be is no question of names. */
	EXPECT_EQ(-EINVAL, CREATE(.name = "create-one", .capacity = 3));
	/* A control fd is not where names live. */
	other = open(DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, other);
	EXPECT_EQ(-EEXIST, bus_create(other, named("create-one")));
	at = bus_attach(other, "create-one", RONBUS_ACCESS_SUBSCRIBE);
	EXPECT_LE(0, at);
	close(other);
	close(fd);
	/* The one that was found is enough. */
	EXPECT_EQ(-EEXIST, bus_create(self->control, named("create-one")));
	close(at);
	EXPECT_CREATES(.name = "create-one");
	EXPECT_EQ(self->next_fd, fd_next());
}

TEST_F(create, nameless)
{
	int a, b;

	a = CREATE(.capacity = 4);
	b = CREATE(.capacity = 8);
	EXPECT_LE(0, a);
	EXPECT_LE(0, b);
	EXPECT_EQ(-EINVAL, bus_attach(self->control, "", 1));
	close(a);
	close(b);
}

/* The last fd of a bus that has not ended keeps its name taken, and it can be found. */
TEST_F(create, name_lives_with_the_last_fd)
{
	struct ronbus_create args = named("create-last");
	int fd, pub, sub;

	args.flags = RONBUS_BUS_PERSISTENT;
	fd = bus_create(self->control, args);
	ASSERT_LE(0, fd);
	pub = fd_publisher(fd, 0, NULL);
	ASSERT_LE(0, pub);
	close(fd);
	EXPECT_EQ(-EEXIST, bus_create(self->control, named("create-last")));
	fd = bus_attach(self->control, "create-last", 3);
	ASSERT_LE(0, fd);
	sub = fd_subscribe(fd, RONBUS_START_LATEST, 0, NULL);
	ASSERT_LE(0, sub);
	close(fd);
	close(pub);
	EXPECT_EQ(-EEXIST, bus_create(self->control, named("create-last")));
	fd = bus_attach(self->control, "create-last", 3);
	EXPECT_LE(0, fd);
	close(fd);
	close(sub);
	EXPECT_EQ(-ENOENT, bus_attach(self->control, "create-last", 3));
	EXPECT_CREATES(.name = "create-last");
}

TEST_F(create, attach)
{
	struct ronbus_info info;
	int fd, at;
	u32 access;

	EXPECT_EQ(-ENOENT, bus_attach(self->control, "create-attach", 1));
	fd = bus_create(self->control, named("create-attach"));
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EINVAL, bus_attach(self->control, "create-attach", 0));
	EXPECT_EQ(-EINVAL, bus_attach(self->control, "create-attach", 4));
	EXPECT_EQ(-EINVAL, bus_attach(self->control, "create-attach", ~0U));
	EXPECT_EQ(-ENOENT, bus_attach(self->control, "create-attac", 1));
	EXPECT_EQ(-ENOENT, bus_attach(self->control, "create-attachh", 1));
	for (access = 1; access <= 3; access++) {
		int may_publish = access & RONBUS_ACCESS_PUBLISH ? 1 : -EACCES;
		int may_subscribe = access & RONBUS_ACCESS_SUBSCRIBE ? 1 : -EACCES;
		int m;

		at = bus_attach(self->control, "create-attach", access);
		ASSERT_LE(0, at);
		ASSERT_EQ(0, fd_info(at, &info));
		EXPECT_EQ(access | RONBUS_ACCESS_END, info.access);
		EXPECT_EQ(4, info.capacity);
		EXPECT_STREQ("create-attach", info.name);

		m = fd_publisher(at, 0, NULL);
		EXPECT_EQ(may_publish, m >= 0 ? 1 : m);
		if (m >= 0) {
			EXPECT_EQ(0, fd_info(m, &info));
			EXPECT_EQ(access | RONBUS_ACCESS_END, info.access);
		}
		m = fd_publisher(at, RONBUS_PUBLISHER_MAPPED, NULL);
		EXPECT_EQ(may_publish, m >= 0 ? 1 : m);
		m = fd_subscribe(at, RONBUS_START_LATEST, 0, NULL);
		EXPECT_EQ(may_subscribe, m >= 0 ? 1 : m);
		if (m >= 0) {
			EXPECT_EQ(0, fd_info(m, &info));
			EXPECT_EQ(access | RONBUS_ACCESS_END, info.access);
		}
		if (access == RONBUS_ACCESS_SUBSCRIBE) {
			EXPECT_EQ(-EACCES, bus_seal(at));
		}
	}
	EXPECT_EQ(0, bus_seal(at));
}

/* ---- namespaces ------------------------------------------------------------------------- */

#define IN_NAMESPACE()                                                             \
	do {                                                                       \
		if (unshare(CLONE_NEWIPC))                                         \
			SKIP(return, "no new IPC namespace: %s", strerror(errno)); \
	} while (0)

TEST_F(create, names_per_ipc_namespace)
{
	int fd, socket[2], theirs;
	char byte = 0;
	pid_t pid;

	fd = bus_create(self->control, named("create-ns"));
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, socket));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct ronbus_create args = named("create-ns");
		int mine, at;

		close(socket[0]);
		close(fd);
		IN_NAMESPACE();
		/* The control fd is the parent's; where the caller is counts. */
		EXPECT_EQ(-ENOENT, bus_attach(self->control, "create-ns", 3));
		args.capacity = 128;
		mine = bus_create(self->control, args);
		EXPECT_LE(0, mine);
		EXPECT_EQ(-EEXIST, bus_create(self->control, args));
		at = bus_attach(self->control, "create-ns", 3);
		EXPECT_LE(0, at);
		EXPECT_EQ(0, send_fd(socket[1], mine));
		EXPECT_EQ(1, read(socket[1], &byte, 1));
		_exit(0);
	}
	close(socket[1]);
	theirs = recv_fd(socket[0]);
	if (theirs >= 0) {
		struct ronbus_info info;
		int at;

		/* Two of that name, and each in its own place. */
		at = bus_attach(self->control, "create-ns", 3);
		EXPECT_LE(0, at);
		EXPECT_EQ(0, fd_info(at, &info));
		EXPECT_EQ(4, info.capacity);
		close(at);
		close(fd);
		EXPECT_EQ(-ENOENT, bus_attach(self->control, "create-ns", 3));
		EXPECT_EQ(1, write(socket[0], &byte, 1));
		EXPECT_EQ(0, child_status(pid));

		/* An fd outlives its namespace. */
		EXPECT_EQ(0, fd_info(theirs, &info));
		EXPECT_EQ(128, info.capacity);
		EXPECT_STREQ("create-ns", info.name);
		fd = fd_publisher(theirs, RONBUS_PUBLISHER_MAPPED, NULL);
		EXPECT_LE(0, fd);
		close(fd);
		EXPECT_EQ(-ENOENT, bus_attach(self->control, "create-ns", 3));
		EXPECT_CREATES(.name = "create-ns");
		close(theirs);
	} else {
		child_status(pid);
	}
}

TEST_HARNESS_MAIN
