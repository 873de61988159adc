// SPDX-License-Identifier: GPL-2.0
/*
 * Errors in words, with the module: each situation is brought about, and ronbus_why() has to name that
 * one, and its way out. What needs no module is in userlib/test/why_test.c.
 */
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "libronbus.h"
#include "ronbus_kselftest.h"

#define SOMEBODY 65534
#define BIG                                      \
	{                                        \
		.capacity = 16384, .payload = 96 \
	}

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static bool contains(const char *text, const char *const *words)
{
	while (*words && strstr(text, *words))
		words++;
	return !*words;
}

static bool has_none(const char *text, const char *const *words)
{
	while (*words && !strstr(text, *words))
		words++;
	return !*words;
}

/* The error is @err, and the text says all of what follows. */
#define EXPECT_SAYS(ret, err, ...)                                       \
	do {                                                             \
		int __ret = (ret);                                       \
		const char *__text = ronbus_why(RONBUS_DEVICE, __ret);   \
		EXPECT_EQ(-(err), __ret);                                \
		EXPECT_TRUE(contains(__text, WORDS(__VA_ARGS__)))        \
		{                                                        \
			TH_LOG("\"%s\" does not say all of it", __text); \
		}                                                        \
	} while (0)

FIXTURE(why)
{
	mode_t mode;
};

FIXTURE_SETUP(why)
{
	struct stat device;

	if (stat(RONBUS_DEVICE, &device))
		SKIP(return, "no %s: the module is not loaded", RONBUS_DEVICE);
	self->mode = device.st_mode & 07777;
}

FIXTURE_TEARDOWN(why)
{
	chmod(RONBUS_DEVICE, self->mode);
}

/* What follows is done by a child, with what it changes of itself. */
#define IN_CHILD(...)                                           \
	do {                                                    \
		pid_t __pid = fork();                           \
		int __status;                                   \
		ASSERT_LE(0, __pid);                            \
		if (!__pid) {                                   \
			__VA_ARGS__;                            \
			_exit(0);                               \
		}                                               \
		ASSERT_EQ(__pid, waitpid(__pid, &__status, 0)); \
		EXPECT_EQ(0, __status);                         \
	} while (0)

static bool own_mounts(void)
{
	return !unshare(CLONE_NEWNS) && !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

TEST_F(why, no_device_in_a_sandbox)
{
	struct ronbus *bus;

	IN_CHILD({
		EXPECT_TRUE(own_mounts());
		EXPECT_EQ(0, mount("tmpfs", "/dev", "tmpfs", 0, NULL));
		EXPECT_SAYS(ronbus_create(RONBUS_DEVICE, NULL, &bus), ENOENT,
			    "though the module ronbus is loaded", "--device", "ronbus_adopt()");
	});
}

TEST_F(why, nodev)
{
	struct ronbus *bus;

	IN_CHILD({
		EXPECT_TRUE(own_mounts());
		EXPECT_EQ(0, mount("/dev", "/dev", NULL, MS_BIND, NULL));
		EXPECT_EQ(0, mount(NULL, "/dev", NULL, MS_REMOUNT | MS_BIND | MS_NODEV, NULL));
		EXPECT_SAYS(ronbus_create(RONBUS_DEVICE, NULL, &bus), EACCES, "\"nodev\"",
			    "--device");
	});
}

TEST_F(why, not_in_the_group)
{
	struct ronbus *bus;

	ASSERT_EQ(0, chmod(RONBUS_DEVICE, 0600));
	IN_CHILD({
		EXPECT_EQ(0, setuid(SOMEBODY));
		EXPECT_SAYS(ronbus_create(RONBUS_DEVICE, NULL, &bus), EACCES, "join the group");
	});
}

/* The device is closed to it, but it was not the device that refused. */
TEST_F(why, a_passed_fd)
{
	struct ronbus_options opts = { .name = "why", .flags = RONBUS_BUS_PERSISTENT };
	struct ronbus *bus, *reads, *adopted;
	struct ronbus_pub *pub;
	struct ronbus_sub *sub;

	ASSERT_EQ(0, chmod(RONBUS_DEVICE, 0600));
	ASSERT_EQ(0, ronbus_create(RONBUS_DEVICE, &opts, &bus));
	ASSERT_EQ(0, ronbus_attach(RONBUS_DEVICE, "why", RONBUS_ACCESS_SUBSCRIBE, &reads));
	IN_CHILD({
		EXPECT_EQ(0, setuid(SOMEBODY));
		EXPECT_EQ(0, ronbus_adopt(dup(ronbus_bus_fd(reads)), &adopted));
		EXPECT_SAYS(ronbus_publisher(adopted, 0, &pub), EACCES, "not for publishing",
			    "passed to you");
		EXPECT_TRUE(has_none(ronbus_why(NULL, -EACCES), WORDS("group", "udev")));
		EXPECT_SAYS(ronbus_seal(adopted), EACCES, "cannot seal");
		EXPECT_EQ(0, ronbus_subscribe(adopted, NULL, &sub));
		EXPECT_SAYS(ronbus_adopt(ronbus_sub_fd(sub), &adopted), EINVAL,
			    "a publisher's or a subscriber's");
	});
	ronbus_close(reads);
	ronbus_close(bus);
}

TEST_F(why, names)
{
	struct ronbus_options opts = { .name = "why" };
	struct ronbus *bus, *other;
	struct ronbus_stats stats;
	struct ronbus_pub *pub;
	struct ronbus_sub *sub;

	EXPECT_SAYS(ronbus_attach(RONBUS_DEVICE, "why", RONBUS_ACCESS_SUBSCRIBE, &bus), ENOENT,
		    "no such bus", "IPC namespace");
	ASSERT_EQ(0, ronbus_create(RONBUS_DEVICE, &opts, &bus));
	EXPECT_SAYS(ronbus_create(RONBUS_DEVICE, &opts, &other), EEXIST, "attach to it");
	ASSERT_EQ(0, ronbus_subscribe(bus, NULL, &sub));
	EXPECT_SAYS(ronbus_stats(bus, 5, &stats), ENOENT, "no subscriber of that number");
	EXPECT_SAYS(ronbus_sub_set_topics(sub, 1), EOPNOTSUPP, "RONBUS_F_INTEREST");
	EXPECT_SAYS(ronbus_sub_set_coalesce(sub, 4, 1000000), EOPNOTSUPP, "RONBUS_F_COALESCE");
	ASSERT_EQ(0, ronbus_publisher(bus, 0, &pub));
	EXPECT_SAYS(ronbus_publish_block(pub, 0, NULL, 0, "x", 1), EOPNOTSUPP, "RONBUS_F_BLOCKS");
	ronbus_pub_close(pub);
	EXPECT_SAYS(ronbus_publisher(bus, 0, &pub), ESHUTDOWN, "has ended", "create a new one",
		    "same name");
	/* And that is so. */
	EXPECT_EQ(0, ronbus_create(RONBUS_DEVICE, &opts, &other));
	ronbus_close(other);
	EXPECT_SAYS(ronbus_attach_wait(RONBUS_DEVICE, "olds", RONBUS_ACCESS_SUBSCRIBE, 1000,
				       &other),
		    ETIMEDOUT, "no bus of that name", "IPC namespace");
	ronbus_sub_close(sub);
	ronbus_close(bus);
}

TEST_F(why, of_somebody_else)
{
	struct ronbus_options opts = { .name = "why",
				       .flags = RONBUS_BUS_PERSISTENT,
				       .mode = 0666 };
	struct ronbus_options own = { .name = NULL };
	struct ronbus *bus, *theirs;
	int ret;

	ASSERT_EQ(0, chmod(RONBUS_DEVICE, 0666));
	ASSERT_EQ(0, ronbus_create(RONBUS_DEVICE, &opts, &bus));
	IN_CHILD({
		EXPECT_EQ(0, setuid(SOMEBODY));
		EXPECT_EQ(0,
			  ronbus_attach(RONBUS_DEVICE, "why",
					RONBUS_ACCESS_SUBSCRIBE | RONBUS_ACCESS_PUBLISH, &theirs));
		EXPECT_SAYS(ronbus_seal(theirs), EPERM, "not yours to seal");
		do {
			ret = ronbus_create(RONBUS_DEVICE, &own, &theirs);
		} while (!ret);
		EXPECT_SAYS(ret, ENOSPC, "as one user may have");
	});
	ronbus_close(bus);
	opts.mode = 0600;
	ASSERT_EQ(0, ronbus_create(RONBUS_DEVICE, &opts, &bus));
	IN_CHILD({
		EXPECT_EQ(0, setuid(SOMEBODY));
		EXPECT_SAYS(ronbus_attach(RONBUS_DEVICE, "why", RONBUS_ACCESS_SUBSCRIBE, &theirs),
			    EACCES, "wider mode");
	});
	ronbus_close(bus);
}

/* All that is mapped later is locked as well: EAGAIN of mmap(2) is no "nothing to read". */
TEST_F(why, all_memory_locked)
{
	struct rlimit limit = { .rlim_cur = 8 << 20, .rlim_max = 8 << 20 };
	struct ronbus_options opts = BIG;
	void *locked;
	struct ronbus_pub *pub;
	struct ronbus_sub *sub;
	struct ronbus *bus;

	ASSERT_EQ(0, chmod(RONBUS_DEVICE, 0666));
	IN_CHILD({
		EXPECT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
		EXPECT_EQ(0, setuid(SOMEBODY));
		EXPECT_EQ(0, ronbus_create(RONBUS_DEVICE, &opts, &bus));
		locked = mmap(NULL, 6 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			      -1, 0);
		EXPECT_NE(MAP_FAILED, locked);
		EXPECT_EQ(0, mlock(locked, 6 << 20));
		EXPECT_EQ(0, mlockall(MCL_FUTURE));
		EXPECT_SAYS(ronbus_publisher(bus, 0, &pub), ENOMEM, "mlockall", "\"ulimit -l\"");
		EXPECT_SAYS(ronbus_subscribe(bus, NULL, &sub), ENOMEM, "mlockall", "\"ulimit -l\"");
	});
}

TEST_HARNESS_MAIN
