// SPDX-License-Identifier: GPL-2.0
/*
 * Finding a bus by its name: owners, groups, capabilities and user namespaces.
 */
#include <grp.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>

#include "create.h"

/* ---- permissions ------------------------------------------------------------------------ */

#define OWNER 1000
#define GROUP 2000
#define OTHER 3000

enum caller {
	CALLER_OWNER, /* in another group */
	CALLER_OWNER_AND_GROUP,
	CALLER_GROUP,
	CALLER_SUPPLEMENTARY,
	CALLER_OTHER,
	CALLER_FSUID, /* the owner by its fsuid alone */
	CALLER_NOT_FSUID, /* the owner but for its fsuid */
	CALLER_ROOT, /* without a capability that would help */
	CALLERS,
};

/* 0, or the call that failed. */
static int become(enum caller caller)
{
	gid_t more[] = { 4000, GROUP };
	uid_t uid = OTHER;
	gid_t gid = 4000;

	if (setgroups(caller == CALLER_SUPPLEMENTARY ? 2 : 0, more))
		return 1;
	if (caller == CALLER_OWNER || caller == CALLER_OWNER_AND_GROUP)
		uid = OWNER;
	if (caller == CALLER_OWNER_AND_GROUP || caller == CALLER_GROUP)
		gid = GROUP;
	if (caller == CALLER_ROOT)
		gid = uid = 0;
	if (setresgid(gid, gid, gid))
		return 2;
	switch (caller) {
	case CALLER_FSUID:
		if (setresuid(OTHER, OTHER, OWNER))
			return 3;
		setfsuid(OWNER);
		return setfsuid(OWNER) == OWNER ? 0 : 4;
	case CALLER_NOT_FSUID:
		if (setresuid(OWNER, OWNER, OTHER))
			return 3;
		setfsuid(OTHER);
		return setfsuid(OTHER) == OTHER ? 0 : 4;
	case CALLER_ROOT: {
		struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
		struct __user_cap_data_struct data[2];

		if (syscall(SYS_capget, &head, data))
			return 5;
		data[CAP_IPC_OWNER / 32].effective &= ~(1U << CAP_IPC_OWNER % 32);
		return syscall(SYS_capset, &head, data) ? 6 : 0;
	}
	default:
		return setresuid(uid, uid, uid) ? 3 : 0;
	}
}

/* What the mode says, as for a file: the first class that fits decides. */
static u32 allowed(enum caller caller, u32 mode)
{
	switch (caller) {
	case CALLER_OWNER:
	case CALLER_OWNER_AND_GROUP:
	case CALLER_FSUID:
		mode >>= 6;
		break;
	case CALLER_GROUP:
	case CALLER_SUPPLEMENTARY:
		mode >>= 3;
		break;
	default:
		break;
	}
	return (mode & 4 ? RONBUS_ACCESS_SUBSCRIBE : 0) | (mode & 2 ? RONBUS_ACCESS_PUBLISH : 0);
}

static bool owns(enum caller caller)
{
	return caller == CALLER_OWNER || caller == CALLER_OWNER_AND_GROUP || caller == CALLER_FSUID;
}

static const u32 modes[] = {
	0,    0600, 0400, 0200, 0060, 0040, 0020, 0006, 0004,
	0002, 0666, 0066, 0606, 0660, 0642, 0246, 0424, 0204,
};

/* Bus number i has modes[i]; made by the user that would be the owner of a file, too. */
static int make_buses(int control)
{
	unsigned int i;

	if (setresgid(GROUP, GROUP, GROUP) || setresuid(OWNER, OWNER, OWNER))
		return -errno;
	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		struct ronbus_create args = { .capacity = 4, .payload = 8, .mode = modes[i] };
		struct ronbus_info info;
		int fd;

		snprintf(args.name, sizeof(args.name), "create-mode-%u", i);
		fd = bus_create(control, args);
		if (fd < 0)
			return fd;
		/* Whoever makes a bus may do everything with it. */
		if (fd_info(fd, &info) || info.access != 7)
			return -EPROTO;
	}
	return 0;
}

FIXTURE(permission)
{
	int control;
	pid_t owner;
	int stop; /* closed: the owner goes */
};

FIXTURE_VARIANT(permission)
{
	enum caller caller;
};

FIXTURE_VARIANT_ADD(permission, owner){ CALLER_OWNER };
FIXTURE_VARIANT_ADD(permission, owner_and_group){ CALLER_OWNER_AND_GROUP };
FIXTURE_VARIANT_ADD(permission, group){ CALLER_GROUP };
FIXTURE_VARIANT_ADD(permission, supplementary_group){ CALLER_SUPPLEMENTARY };
FIXTURE_VARIANT_ADD(permission, other){ CALLER_OTHER };
FIXTURE_VARIANT_ADD(permission, owner_by_fsuid){ CALLER_FSUID };
FIXTURE_VARIANT_ADD(permission, owner_but_for_fsuid){ CALLER_NOT_FSUID };
FIXTURE_VARIANT_ADD(permission, root_without_capability){ CALLER_ROOT };

FIXTURE_SETUP(permission)
{
	int ready[2], stop[2];
	int result = -EPIPE;

	self->control = OPEN_CONTROL();
	if (geteuid())
		SKIP(return, "needs root, to be somebody else");
	ASSERT_EQ(0, pipe(ready));
	ASSERT_EQ(0, pipe(stop));
	self->owner = fork();
	ASSERT_LE(0, self->owner);
	if (!self->owner) {
		close(stop[1]);
		result = make_buses(self->control);
		if (write(ready[1], &result, sizeof(result)) == sizeof(result))
			(void)!read(stop[0], &result, 1);
		_exit(0);
	}
	close(ready[1]);
	close(stop[0]);
	self->stop = stop[1];
	ASSERT_EQ(sizeof(result), read(ready[0], &result, sizeof(result)));
	close(ready[0]);
	ASSERT_EQ(0, result);
}

FIXTURE_TEARDOWN(permission)
{
	close(self->stop);
	child_status(self->owner);
	close(self->control);
}

TEST_F(permission, by_mode)
{
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		unsigned int i;
		u32 access;

		ASSERT_EQ(0, become(variant->caller));
		for (i = 0; i < ARRAY_SIZE(modes); i++) {
			u32 may = allowed(variant->caller, modes[i] ? modes[i] : 0600);
			char name[RONBUS_NAME_SIZE];
			struct ronbus_info info;

			snprintf(name, sizeof(name), "create-mode-%u", i);
			for (access = 1; access <= 3; access++) {
				int fd = bus_attach(self->control, name, access);

				EXPECT_EQ(access & ~may ? -EACCES : 1, fd >= 0 ? 1 : fd)
				TH_LOG("mode %o, access %u", modes[i], access);
				if (fd < 0)
					continue;
				EXPECT_EQ(0, fd_info(fd, &info));
				EXPECT_EQ(owns(variant->caller) ? access | RONBUS_ACCESS_END
								: access,
					  info.access);
				close(fd);
			}
			/* In use is in use, seen or not; missing is missing. */
			EXPECT_EQ(-EEXIST, bus_create(self->control, named(name)));
		}
		EXPECT_EQ(-ENOENT, bus_attach(self->control, "create-mode-99", 3));
		_exit(0);
	}
	EXPECT_EQ(0, child_status(pid));
}

/* CAP_IPC_OWNER beats the mode, where it counts: over the namespace's user namespace. */
FIXTURE(capability)
{
	int control;
	int bus;
};

FIXTURE_SETUP(capability)
{
	pid_t pid;

	self->control = OPEN_CONTROL();
	if (geteuid())
		SKIP(return, "needs root, to be somebody else");
	self->bus = -1;
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct ronbus_create args = named("create-cap");
		int fd;

		args.mode = 0200;
		ASSERT_EQ(0, setresuid(OWNER, OWNER, OWNER));
		fd = bus_create(self->control, args);
		ASSERT_LE(0, fd);
		/* Keep it until it is found. */
		alarm(20);
		pause();
	}
	ASSERT_TRUE(wait_until((self->bus = bus_attach(self->control, "create-cap", 3)) >= 0));
	kill(pid, SIGKILL);
	child_status(pid);
}

FIXTURE_TEARDOWN(capability)
{
	close(self->bus);
	close(self->control);
}

TEST_F(capability, beats_the_mode)
{
	/* The setup found it so; and a capability that is there but not effective does nothing. */
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
		struct __user_cap_data_struct data[2];
		int fd;

		ASSERT_EQ(0, syscall(SYS_capget, &head, data));
		data[0].effective = data[1].effective = 0;
		ASSERT_EQ(0, syscall(SYS_capset, &head, data));
		EXPECT_EQ(-EACCES, bus_attach(self->control, "create-cap", 3));
		data[CAP_IPC_OWNER / 32].effective = 1U << CAP_IPC_OWNER % 32;
		ASSERT_EQ(0, syscall(SYS_capset, &head, data));
		fd = bus_attach(self->control, "create-cap", 3);
		EXPECT_LE(0, fd);
		_exit(0);
	}
	EXPECT_EQ(0, child_status(pid));
}

/* Root of a namespace of its own is nobody here. */
TEST_F(capability, of_another_user_namespace)
{
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		int fd;

		if (unshare(CLONE_NEWUSER))
			SKIP(_exit(KSFT_SKIP), "no user namespaces here");
		EXPECT_EQ(-EACCES, bus_attach(self->control, "create-cap", 3));
		/* With an IPC namespace of its own it is somebody there. */
		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		EXPECT_EQ(-ENOENT, bus_attach(self->control, "create-cap", 3));
		fd = bus_create(self->control, named("create-cap"));
		EXPECT_LE(0, fd);
		_exit(0);
	}
	child_status(pid);
}

TEST_HARNESS_MAIN
