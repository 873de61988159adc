// SPDX-License-Identifier: GPL-2.0
/*
 * Members of a bus: the rights to publish, to seal and to end it, and how subscribers join.
 */
#include <sys/prctl.h>

#include "ronbus_kselftest.h"

#define SLOTS 64U
#define LEN 32U

/* ---- the right to publish --------------------------------------------------------------- */

FIXTURE(join)
{
	int control;
};

FIXTURE_SETUP(join)
{
	self->control = OPEN_CONTROL();
}

FIXTURE_TEARDOWN(join)
{
	close(self->control);
}

#define CREATE(...) bus_create(self->control, (struct ronbus_create){ __VA_ARGS__ })

/* Fewer mapped publishers than slots, each with a number of its own. */
/* One for BPF programs has a number for them, which no two have at a time, and is of no other use. */
TEST_F(join, for_bpf)
{
	int bus = bus_create(self->control, (struct ronbus_create){ 0 });
	struct publisher first, second;
	u64 tokens[2];
	struct ronbus_info info;
	char byte = 0;
	struct ronbus_vec vec = { .data = (uintptr_t)&byte, .len = 1 };

	ASSERT_LE(0, bus);
	EXPECT_EQ(-EINVAL, fd_publisher(bus, RONBUS_PUBLISHER_MAPPED | RONBUS_PUBLISHER_BPF, NULL));
	first.m.fd = fd_publisher_bpf(bus, &tokens[0]);
	second.m.fd = fd_publisher_bpf(bus, &tokens[1]);
	ASSERT_LE(0, first.m.fd);
	ASSERT_LE(0, second.m.fd);
	EXPECT_NE(0, tokens[0]);
	EXPECT_NE(0, tokens[1]);
	EXPECT_NE(tokens[0], tokens[1]);
	ASSERT_EQ(0, fd_info(first.m.fd, &info));
	EXPECT_EQ(0, info.member);
	EXPECT_EQ(2, info.publishers);
	EXPECT_EQ(-EOPNOTSUPP, fd_publish(first.m.fd, 0, &vec, 1, NULL));
	close(first.m.fd);
	close(second.m.fd);
	ASSERT_EQ(0, fd_info(bus, &info));
	EXPECT_EQ(0, info.publishers);
	EXPECT_EQ(RONBUS_STATUS_ENDED, info.status);
	close(bus);
}

TEST_F(join, numbers)
{
	static const u32 capacities[] = { 4, 8, 32, 64, 128 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(capacities); i++) {
		u32 n, id, max = capacities[i] - 1 < 63 ? capacities[i] - 1 : 63;
		int bus = CREATE(.capacity = capacities[i]), fds[64];
		struct ronbus_info info;

		ASSERT_LE(0, bus);
		for (n = 0; n < max; n++) {
			fds[n] = fd_publisher(bus, RONBUS_PUBLISHER_MAPPED, &id);
			ASSERT_LE(0, fds[n]);
			EXPECT_EQ(n + 1, id);
			ASSERT_EQ(0, fd_info(fds[n], &info));
			EXPECT_EQ(id, info.member);
			EXPECT_EQ(n + 1, info.publishers);
		}
		EXPECT_EQ(-ENOSPC, fd_publisher(bus, RONBUS_PUBLISHER_MAPPED, &id));
		/* A number that becomes free is given again. */
		close(fds[max / 2]);
		fds[max / 2] = fd_publisher(bus, RONBUS_PUBLISHER_MAPPED, &id);
		EXPECT_LE(0, fds[max / 2]);
		EXPECT_EQ(max / 2 + 1, id);
		EXPECT_EQ(-ENOSPC, fd_publisher(bus, RONBUS_PUBLISHER_MAPPED, &id));
		/* Without a mapping there is no number to run out of. */
		for (n = 0; n < 100; n++) {
			int fd = fd_publisher(bus, 0, &id);

			ASSERT_LE(0, fd);
			EXPECT_EQ(0, id);
			if (n % 2)
				close(fd);
		}
		ASSERT_EQ(0, fd_info(bus, &info));
		EXPECT_EQ(max + 50, info.publishers);
		for (n = 0; n < max; n++)
			close(fds[n]);
		close(bus);
	}
}

TEST_F(join, exclusive)
{
	static const u32 kinds[] = { 0, RONBUS_PUBLISHER_MAPPED };
	size_t i, k;

	for (i = 0; i < 2; i++) {
		int bus = CREATE(.flags = RONBUS_BUS_EXCLUSIVE | RONBUS_BUS_PERSISTENT);
		int fd, again;

		ASSERT_LE(0, bus);
		fd = fd_publisher(bus, kinds[i], NULL);
		ASSERT_LE(0, fd);
		again = dup(fd);
		for (k = 0; k < 2; k++) {
			EXPECT_EQ(-EBUSY, fd_publisher(bus, kinds[k], NULL));
		}
		close(fd);
		/* A copy of the fd is the publisher too. */
		EXPECT_EQ(-EBUSY, fd_publisher(bus, kinds[i], NULL));
		close(again);
		fd = fd_publisher(bus, kinds[i], NULL);
		EXPECT_LE(0, fd);
		close(fd);
		close(bus);
	}
}

/* One after the other on an exclusive ring: each goes on where the last one stopped. */
TEST_F(join, exclusive_in_turns)
{
	int bus = CREATE(.flags = RONBUS_BUS_EXCLUSIVE | RONBUS_BUS_PERSISTENT, .capacity = 8);
	struct subscriber s;
	struct publisher p;
	struct message msg;
	u64 i;

	ASSERT_LE(0, bus);
	ASSERT_EQ(0, subscriber_join(&s, bus, RONBUS_START_LATEST, 0));
	for (i = 0; i < 40; i++) {
		ASSERT_EQ(0, publisher_join(&p, bus, i % 3 ? RONBUS_PUBLISHER_MAPPED : 0));
		ASSERT_EQ(1, publish_number(&p, i));
		publisher_leave(&p);
		ASSERT_EQ(1, subscriber_read(&s, &msg));
		EXPECT_TRUE(message_whole(msg.data, msg.len, i));
		EXPECT_EQ(8 + i, msg.position);
	}
	EXPECT_EQ(-EAGAIN, subscriber_read(&s, &msg));
}

enum caller {
	CALLER_OWNER,
	CALLER_OTHER,
	CALLER_ADMIN
};

/* What a mapped publisher gets, if that caller asks on that bus fd. */
static int mapped_as(int bus, enum caller caller)
{
	pid_t pid = fork();

	if (!pid) {
		uid_t uid = caller == CALLER_OWNER ? 1000 : caller == CALLER_OTHER ? 2000 : 0;
		int ret;

		if (setresuid(uid, uid, uid))
			_exit(255);
		ret = fd_publisher(bus, RONBUS_PUBLISHER_MAPPED, NULL);
		if (ret >= 0) {
			/* What was allowed can be done. */
			struct ronbus_info info;

			if (fd_info(ret, &info) ||
			    fd_map(ret, info.ring_bytes, PROT_READ | PROT_WRITE,
				   RONBUS_MMAP_RING) == MAP_FAILED)
				_exit(254);
		}
		_exit(ret < 0 ? -ret : 0);
	}
	return pid < 0 ? -errno : -child_status(pid);
}

/* And by system call. */
static int syscall_as(int bus, enum caller caller)
{
	pid_t pid = fork();

	if (!pid) {
		uid_t uid = caller == CALLER_OWNER ? 1000 : caller == CALLER_OTHER ? 2000 : 0;
		int ret;

		if (setresuid(uid, uid, uid))
			_exit(255);
		ret = fd_publisher(bus, 0, NULL);
		_exit(ret < 0 ? -ret : 0);
	}
	return pid < 0 ? -errno : -child_status(pid);
}

TEST_F(join, trust)
{
	static const struct {
		u32 flags;
		int want[3];
	} cases[] = {
		{ 0, { 0, -EPERM, 0 } },
		{ RONBUS_BUS_MAP_ALL, { 0, 0, 0 } },
		{ RONBUS_BUS_MAP_NONE, { -EPERM, -EPERM, -EPERM } },
	};
	size_t i;
	int caller;

	if (geteuid())
		SKIP(return, "needs root, to be somebody else");
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		int bus;

		/* The owner is its creator: uid 1000. */
		ASSERT_EQ(0, setresuid(1000, 1000, 0));
		bus = CREATE(.flags = cases[i].flags | RONBUS_BUS_PERSISTENT);
		ASSERT_EQ(0, setresuid(0, 0, 0));
		ASSERT_LE(0, bus);
		for (caller = 0; caller < 3; caller++) {
			EXPECT_EQ(cases[i].want[caller], mapped_as(bus, (enum caller)caller))
			TH_LOG("flags %#x, caller %d", cases[i].flags, caller);
			EXPECT_EQ(0, syscall_as(bus, (enum caller)caller));
		}
		close(bus);
	}
}

/* Root of a user namespace of its own may there what root may, and nothing here. */
TEST_F(join, trust_of_another_user_namespace)
{
	int bus = CREATE(.flags = RONBUS_BUS_PERSISTENT);
	pid_t pid;

	if (geteuid())
		SKIP(return, "needs root, to be somebody else");
	ASSERT_LE(0, bus);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct ronbus_create args = { .flags = RONBUS_BUS_PERSISTENT };
		int theirs;

		ASSERT_EQ(0, setresuid(2000, 2000, 2000));
		ASSERT_EQ(0, prctl(PR_SET_DUMPABLE, 1));
		if (unshare(CLONE_NEWUSER | CLONE_NEWIPC))
			SKIP(_exit(KSFT_SKIP), "no user namespaces for everybody here");
		EXPECT_EQ(-EPERM, fd_publisher(bus, RONBUS_PUBLISHER_MAPPED, NULL));
		EXPECT_LE(0, fd_publisher(bus, 0, NULL));
		theirs = bus_create(self->control, args);
		EXPECT_LE(0, theirs);
		EXPECT_LE(0, fd_publisher(theirs, RONBUS_PUBLISHER_MAPPED, NULL));
		_exit(0);
	}
	child_status(pid);
	close(bus);
}

/* ---- seal and end ----------------------------------------------------------------------- */

TEST_F(join, seal)
{
	int bus = CREATE(.name = "publish-seal"), reader, writer;
	struct subscriber s;
	struct publisher p;
	struct message msg;
	struct ronbus_info info;

	ASSERT_LE(0, bus);
	reader = bus_attach(self->control, "publish-seal", RONBUS_ACCESS_SUBSCRIBE);
	writer = bus_attach(self->control, "publish-seal", RONBUS_ACCESS_PUBLISH);
	ASSERT_LE(0, reader);
	ASSERT_LE(0, writer);
	ASSERT_EQ(0, publisher_join(&p, bus, RONBUS_PUBLISHER_MAPPED));
	ASSERT_EQ(0, subscriber_join(&s, bus, RONBUS_START_LATEST, 0));

	EXPECT_EQ(-EACCES, bus_seal(reader));
	ASSERT_EQ(0, fd_info(bus, &info));
	EXPECT_EQ(0, info.status);
	EXPECT_EQ(0, bus_seal(writer));
	ASSERT_EQ(0, fd_info(bus, &info));
	EXPECT_EQ(RONBUS_STATUS_SEALED, info.status);
	EXPECT_EQ(RONBUS_STATUS_SEALED, s.m.page->status);
	EXPECT_EQ(0, bus_seal(bus));

	EXPECT_EQ(-EPERM, fd_publisher(bus, 0, NULL));
	EXPECT_EQ(-EPERM, fd_publisher(writer, RONBUS_PUBLISHER_MAPPED, NULL));
	/* Readers may still come, and the one that is there goes on. */
	close(fd_subscribe(reader, RONBUS_START_LATEST, 0, NULL));
	EXPECT_EQ(1, publish_number(&p, 7));
	EXPECT_EQ(1, subscriber_read(&s, &msg));
	EXPECT_TRUE(message_whole(msg.data, msg.len, 7));
	EXPECT_EQ(-EAGAIN, subscriber_read(&s, &msg));
	publisher_leave(&p);
	ASSERT_EQ(0, fd_info(bus, &info));
	EXPECT_EQ(RONBUS_STATUS_SEALED | RONBUS_STATUS_ENDED, info.status);
	EXPECT_EQ(0, subscriber_read(&s, &msg));
}

/* The access that an fd has in the hands of @uid. */
static int access_as(int fd, uid_t uid)
{
	struct ronbus_info info;

	if (seteuid(0) || seteuid(uid) || fd_info(fd, &info))
		return -EIO;
	return (int)info.access;
}

static int status_of(int fd)
{
	struct ronbus_info info;

	return fd_info(fd, &info) ? -EIO : (int)info.status;
}

#define THE_OWNER 1000
#define A_STRANGER 2000

FIXTURE(end)
{
	int control;
	int bus; /* what CREATE returned to the owner */
	int owner; /* what ATTACH returned to it */
	int stranger; /* and to a stranger */
};

static int close_if_fd(int fd)
{
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

FIXTURE_SETUP(end)
{
	self->control = OPEN_CONTROL();
	if (geteuid())
		SKIP(return, "needs root, to be somebody else");
	ASSERT_EQ(0, seteuid(THE_OWNER));
	self->bus = CREATE(.name = "publish-end", .mode = 0666);
	ASSERT_LE(0, self->bus);
	self->owner = bus_attach(self->control, "publish-end", 3);
	ASSERT_LE(0, self->owner);
	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, seteuid(A_STRANGER));
	self->stranger = bus_attach(self->control, "publish-end", 3);
	ASSERT_LE(0, self->stranger);
}

FIXTURE_TEARDOWN(end)
{
	close(self->bus);
	close(self->owner);
	close(self->stranger);
	close(self->control);
}

/* A publisher may not end the bus, unless it owns it, or was given its creator's fd. */
TEST_F(end, access)
{
	int member;

	EXPECT_EQ(3, access_as(self->stranger, A_STRANGER));
	EXPECT_EQ(7, access_as(self->stranger, THE_OWNER));
	EXPECT_EQ(7, access_as(self->stranger, 0)); /* CAP_IPC_OWNER */
	EXPECT_EQ(7, access_as(self->owner, THE_OWNER));
	EXPECT_EQ(3, access_as(self->owner, A_STRANGER));
	EXPECT_EQ(7, access_as(self->bus, THE_OWNER));
	EXPECT_EQ(7, access_as(self->bus, A_STRANGER));

	/* A member has the access that it joined with. */
	member = fd_publisher(self->stranger, 0, NULL);
	EXPECT_EQ(3, access_as(member, THE_OWNER));
	member = fd_subscribe(self->bus, RONBUS_START_LATEST, 0, NULL);
	EXPECT_EQ(7, access_as(member, A_STRANGER));
	/* It is not to be had for the asking. */
	EXPECT_EQ(-EINVAL, bus_attach(self->control, "publish-end", RONBUS_ACCESS_END));
	EXPECT_EQ(-EINVAL, bus_attach(self->control, "publish-end", 3 | RONBUS_ACCESS_END));
}

/* An fd of less access, made to be passed on; of more there is none to be made. */
TEST_F(end, sharing)
{
	struct ronbus_stats stats;
	u32 has, access;
	int fd, again;

	for (access = 1; access < 8; access++) {
		bool good = access != RONBUS_ACCESS_END &&
			    access != (RONBUS_ACCESS_END | RONBUS_ACCESS_SUBSCRIBE);

		fd = bus_share(self->bus, access);
		if (!good) {
			EXPECT_EQ(-EINVAL, fd);
			continue;
		}
		ASSERT_LE(0, fd);
		EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
		EXPECT_EQ(access, access_as(fd, A_STRANGER));
		EXPECT_EQ(access & RONBUS_ACCESS_SUBSCRIBE ? 0 : -EACCES,
			  close_if_fd(fd_subscribe(fd, RONBUS_START_LATEST, 0, NULL)));
		EXPECT_EQ(access & RONBUS_ACCESS_PUBLISH ? 0 : -EACCES,
			  close_if_fd(fd_publisher(fd, 0, NULL)));
		for (has = 1; has < 8; has++) {
			if (has == 4 || has == 5)
				continue;
			again = bus_share(fd, has);
			EXPECT_EQ(has & ~access ? -EACCES : 0, again < 0 ? again : 0)
			TH_LOG("%u of %u", has, access);
			if (again >= 0)
				close(again);
		}
		close(fd);
		if (access & RONBUS_ACCESS_END)
			break; /* by its publisher's leaving */
	}
	/* A stranger passes on what it has; the owner may give away the right to end, too. */
	EXPECT_EQ(-EACCES, bus_share(self->stranger, 6));
	EXPECT_EQ(-EACCES, bus_share(self->owner, 6)); /* in the wrong hands */
	fd = bus_share(self->stranger, 2);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EPERM, bus_seal(fd));
	close(fd);
	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, seteuid(THE_OWNER));
	fd = bus_share(self->owner, 6);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, seteuid(A_STRANGER));
	EXPECT_EQ(0, bus_seal(fd));
	EXPECT_EQ(0, fd_stats(fd, RONBUS_STATS_BUS, &stats));
	close(fd);
}

TEST_F(end, sealing)
{
	EXPECT_EQ(-EPERM, bus_seal(self->stranger));
	EXPECT_EQ(-EPERM, bus_seal(self->owner)); /* in the wrong hands */
	EXPECT_EQ(0, status_of(self->bus));
	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, seteuid(THE_OWNER));
	EXPECT_EQ(0, bus_seal(self->stranger));
	EXPECT_EQ(RONBUS_STATUS_SEALED | RONBUS_STATUS_ENDED, status_of(self->bus));
}

TEST_F(end, sealing_by_whom_it_was_passed_to)
{
	EXPECT_EQ(0, bus_seal(self->bus));
	EXPECT_EQ(RONBUS_STATUS_SEALED | RONBUS_STATUS_ENDED, status_of(self->bus));
}

/* A stranger that comes first, and goes, ends nothing. */
TEST_F(end, a_stranger_leaves)
{
	int pub = fd_publisher(self->stranger, 0, NULL), other;

	ASSERT_LE(0, pub);
	close(pub);
	EXPECT_EQ(0, status_of(self->bus));
	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, seteuid(THE_OWNER));
	pub = fd_publisher(self->bus, 0, NULL);
	ASSERT_LE(0, pub);
	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, seteuid(A_STRANGER));
	other = fd_publisher(self->stranger, 0, NULL);
	ASSERT_LE(0, other);
	/* With the owner's gone, the last one ends it, whoever it is. */
	close(pub);
	EXPECT_EQ(0, status_of(self->bus));
	close(other);
	EXPECT_EQ(RONBUS_STATUS_ENDED, status_of(self->bus));
	EXPECT_EQ(-ESHUTDOWN, fd_publisher(self->stranger, 0, NULL));
}

/* The owner stays the owner, whatever fd it uses. */
TEST_F(end, the_owner_leaves)
{
	int pub;

	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, seteuid(THE_OWNER));
	pub = fd_publisher(self->stranger, RONBUS_PUBLISHER_MAPPED, NULL);
	ASSERT_LE(0, pub);
	close(pub);
	EXPECT_EQ(RONBUS_STATUS_ENDED, status_of(self->bus));
}

TEST_F(join, seal_without_publisher)
{
	static const u32 kinds[] = { 0, RONBUS_BUS_PERSISTENT };
	size_t i;

	for (i = 0; i < 2; i++) {
		int bus = CREATE(.flags = kinds[i]), fd;
		struct subscriber s;
		struct message msg;

		ASSERT_LE(0, bus);
		ASSERT_EQ(0, subscriber_join(&s, bus, RONBUS_START_LATEST, 0));
		EXPECT_EQ(-EAGAIN, subscriber_read(&s, &msg));
		EXPECT_EQ(0, fd_arm(s.m.fd));
		EXPECT_EQ(0, bus_seal(bus));
		EXPECT_EQ(0, subscriber_read(&s, &msg));
		EXPECT_EQ(RONBUS_STATUS_SEALED | RONBUS_STATUS_ENDED, s.m.page->status);
		fd = fd_publisher(bus, 0, NULL);
		EXPECT_TRUE(fd == -EPERM || fd == -ESHUTDOWN);
		subscriber_leave(&s);
		close(bus);
	}
}

TEST_F(join, persistent)
{
	int bus = CREATE(.flags = RONBUS_BUS_PERSISTENT);
	struct ronbus_info info;
	struct subscriber s;
	struct publisher p;
	struct message msg;
	int i;

	ASSERT_LE(0, bus);
	ASSERT_EQ(0, subscriber_join(&s, bus, RONBUS_START_LATEST, 0));
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, publisher_join(&p, bus, i % 2 ? RONBUS_PUBLISHER_MAPPED : 0));
		EXPECT_EQ(1, publish_number(&p, (u64)i));
		publisher_leave(&p);
		ASSERT_EQ(0, fd_info(bus, &info));
		EXPECT_EQ(0, info.status);
		EXPECT_EQ(0, info.publishers);
		EXPECT_EQ(1, subscriber_read(&s, &msg));
		EXPECT_TRUE(message_whole(msg.data, msg.len, (u64)i));
		EXPECT_EQ(-EAGAIN, subscriber_read(&s, &msg));
	}
	/* Sealed, it ends with the last one like any other. */
	ASSERT_EQ(0, publisher_join(&p, bus, RONBUS_PUBLISHER_MAPPED));
	EXPECT_EQ(0, bus_seal(bus));
	EXPECT_EQ(-EAGAIN, subscriber_read(&s, &msg));
	publisher_leave(&p);
	EXPECT_EQ(0, subscriber_read(&s, &msg));
	EXPECT_EQ(RONBUS_STATUS_SEALED | RONBUS_STATUS_ENDED, s.m.page->status);
}

/* Only the last to leave ends it, whichever way it published. */
TEST_F(join, last_publisher)
{
	struct publisher mapped, by_syscall;
	struct ronbus_info info;
	struct subscriber s;
	int bus, which, other;

	for (which = 0; which < 2; which++) {
		bus = CREATE(0);
		ASSERT_LE(0, bus);
		ASSERT_EQ(0, subscriber_join(&s, bus, RONBUS_START_LATEST, 0));
		ASSERT_EQ(0, publisher_join(&mapped, bus, RONBUS_PUBLISHER_MAPPED));
		ASSERT_EQ(0, publisher_join(&by_syscall, bus, 0));
		publisher_leave(which ? &mapped : &by_syscall);
		ASSERT_EQ(0, fd_info(bus, &info));
		EXPECT_EQ(0, info.status);
		EXPECT_EQ(1, info.publishers);
		/* An open mapping is a publisher that is still there. */
		other = which ? by_syscall.m.fd : mapped.m.fd;
		close(other);
		ASSERT_EQ(0, fd_info(bus, &info));
		EXPECT_EQ(0, info.status);
		member_unmap(which ? &by_syscall.m : &mapped.m);
		ASSERT_EQ(0, fd_info(bus, &info));
		EXPECT_EQ(RONBUS_STATUS_ENDED, info.status);
		EXPECT_EQ(0, info.publishers);
		EXPECT_EQ(-ESHUTDOWN, fd_publisher(bus, 0, NULL));
		EXPECT_EQ(-ESHUTDOWN, fd_publisher(bus, RONBUS_PUBLISHER_MAPPED, NULL));
		EXPECT_EQ(0, bus_seal(bus));
		subscriber_leave(&s);
		close(bus);
	}
}

/* ---- joining as a subscriber ------------------------------------------------------------ */

TEST_F(join, subscribe_arguments)
{
	struct ronbus_subscribe args;
	struct ronbus_info info;
	int bus = CREATE(0), bit;
	u32 start;

	ASSERT_LE(0, bus);
	for (start = 3; start < 70; start++) {
		EXPECT_EQ(-EINVAL, fd_subscribe(bus, start, 0, NULL));
	}
	EXPECT_EQ(-EINVAL, fd_subscribe(bus, ~0U, 0, NULL));
	EXPECT_EQ(-EINVAL, fd_subscribe(bus, RONBUS_START_LATEST, 64, NULL));
	EXPECT_EQ(-EINVAL, fd_subscribe(bus, RONBUS_START_OLDEST, 1, NULL));
	EXPECT_EQ(-ERANGE, fd_subscribe(bus, RONBUS_START_AT, 0, NULL));
	EXPECT_EQ(-ERANGE, fd_subscribe(bus, RONBUS_START_AT, 63, NULL));
	EXPECT_EQ(-ERANGE, fd_subscribe(bus, RONBUS_START_AT, 65, NULL));
	EXPECT_EQ(-ERANGE, fd_subscribe(bus, RONBUS_START_AT, 1ULL << 63, NULL));
	/* Topics are chosen with RONBUS_F_INTEREST only. */
	for (bit = 0; bit < 64; bit++) {
		memset(&args, 0, sizeof(args));
		args.topics = ~0ULL & ~(1ULL << bit);
		EXPECT_EQ(-EINVAL, do_ioctl(bus, RONBUS_IOC_SUBSCRIBE, &args));
	}
	args.topics = 0;
	EXPECT_EQ(-EINVAL, do_ioctl(bus, RONBUS_IOC_SUBSCRIBE, &args));
	ASSERT_EQ(0, fd_info(bus, &info));
	EXPECT_EQ(0, info.subscribers);
	EXPECT_LE(0, fd_subscribe(bus, RONBUS_START_AT, 64, &args));
	EXPECT_EQ(64, args.position);
	EXPECT_EQ(0, args.index);
}

TEST_F(join, subscriber_places)
{
	int bus = CREATE(0), fds[64], i;
	struct ronbus_subscribe args;
	struct ronbus_info info;

	ASSERT_LE(0, bus);
	for (i = 0; i < 64; i++) {
		fds[i] = fd_subscribe(bus, RONBUS_START_LATEST, 0, &args);
		ASSERT_LE(0, fds[i]);
		EXPECT_EQ(i, args.index);
		ASSERT_EQ(0, fd_info(fds[i], &info));
		EXPECT_EQ(i, info.member);
		EXPECT_EQ(i == 63 ? ~0ULL : (2ULL << i) - 1, info.subscribers);
	}
	EXPECT_EQ(-ENOSPC, fd_subscribe(bus, RONBUS_START_LATEST, 0, &args));
	for (i = 63; i >= 0; i -= 9) {
		close(fds[i]);
		fds[i] = fd_subscribe(bus, RONBUS_START_LATEST, 0, &args);
		EXPECT_LE(0, fds[i]);
		EXPECT_EQ(i, args.index);
		EXPECT_EQ(-ENOSPC, fd_subscribe(bus, RONBUS_START_LATEST, 0, &args));
	}
	/* A copy of the fd keeps the place. */
	i = dup(fds[5]);
	close(fds[5]);
	EXPECT_EQ(-ENOSPC, fd_subscribe(bus, RONBUS_START_LATEST, 0, &args));
	close(i);
	EXPECT_LE(0, fd_subscribe(bus, RONBUS_START_LATEST, 0, &args));
	EXPECT_EQ(5, args.index);
}

/* Every change of the audience is another generation. */
TEST_F(join, generation)
{
	int bus = CREATE(0), i;
	struct subscriber s;
	u64 generation;

	ASSERT_LE(0, bus);
	ASSERT_EQ(0, subscriber_join(&s, bus, RONBUS_START_LATEST, 0));
	generation = s.m.page->generation;
	for (i = 0; i < 5; i++) {
		int fd = fd_subscribe(bus, RONBUS_START_LATEST, 0, NULL);

		ASSERT_LE(0, fd);
		EXPECT_LT(generation, RB_READ(&s.m.page->generation));
		generation = RB_READ(&s.m.page->generation);
		EXPECT_EQ(3, RB_READ(&s.m.page->audience[i]));
		close(fd);
		EXPECT_LT(generation, RB_READ(&s.m.page->generation));
		generation = RB_READ(&s.m.page->generation);
		EXPECT_EQ(1, RB_READ(&s.m.page->audience[i]));
	}
}

TEST_HARNESS_MAIN
