// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * why_test.c - errors in words: each situation is brought about, and the text is about that one
 *
 * What needs the module is in selftests/why_test.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libronbus.h>

#define WHERE RONBUS_EMBEDDED
#define ok(call) expect_words("", (call) ? -1 : 0, 0, (const char *const[]){ NULL })

/* The error @ret of @call on @where is @err, and its text says all of what follows. */
#define says(where, call, err, ...) \
	expect_words(where, call, err, (const char *const[]){ __VA_ARGS__, NULL })

static bool in_child;

static void expect_words(const char *where, int ret, int err, const char *const *words)
{
	const char *text = ronbus_why(where, ret);

	while (ret == -err && *words && strstr(text, *words))
		words++;
	if (ret == -err && !*words)
		return;
	fprintf(stderr, "%d, not -%d; or \"%s\" does not say \"%s\"\n", ret, err, text,
		*words ? *words : "");
	if (in_child)
		_exit(1);
	fail();
}

static void test_embedded(void **state)
{
	struct ronbus_options opts = { .name = "news", .features = RONBUS_F_EDGE_NOTIFY };
	struct ronbus *bus, *other;
	struct io_uring_sqe sqe;
	struct ronbus_stats stats;
	struct ronbus_pub *pub;
	struct ronbus_sub *sub;
	struct ronbus_msg msg = { 0 };
	struct ronbus_block block;

	(void)state;
	says(WHERE, ronbus_attach(WHERE, "news", 1, &bus), ENOENT, "no such bus",
	     "no other can attach to it", RONBUS_DEVICE);
	ok(ronbus_create(WHERE, &opts, &bus));
	says(WHERE, ronbus_create(WHERE, &opts, &other), EEXIST, "attach to it", "ronbus_open()",
	     "another name");
	says(WHERE, ronbus_attach_wait(WHERE, "olds", 1, 1000, &other), ETIMEDOUT,
	     "no bus of that name", "another process makes", RONBUS_DEVICE);
	says(WHERE, ronbus_bus_fd(bus), EOPNOTSUPP, "has no fd", RONBUS_DEVICE);
	says(WHERE, ronbus_stats(bus, 3, &stats), ENOENT, "no subscriber of that number");
	ok(ronbus_publisher(bus, 0, &pub));
	ok(ronbus_subscribe(bus, NULL, &sub));
	says(WHERE, ronbus_pub_fd(pub), EOPNOTSUPP, "has no fd");
	says(WHERE, ronbus_sub_set_topics(sub, 1), EOPNOTSUPP, "RONBUS_F_INTEREST");
	says(WHERE, ronbus_sub_set_coalesce(sub, 4, 1000000), EOPNOTSUPP, "RONBUS_F_COALESCE");
	says(WHERE, ronbus_publish_block(pub, 0, NULL, 0, "x", 1), EOPNOTSUPP, "RONBUS_F_BLOCKS");
	says(WHERE, ronbus_block_pin(sub, &msg, &block), EOPNOTSUPP, "RONBUS_F_BLOCKS");
	says(WHERE, ronbus_uring_prep_wait(&sqe, sub, 1), EOPNOTSUPP, "has no limit");
	says(WHERE, ronbus_uring_prep_publish(&sqe, pub, 0, NULL, 1), EOPNOTSUPP,
	     "ronbus_publish()");
	ronbus_pub_close(pub);
	says(WHERE, ronbus_publisher(bus, 0, &pub), ESHUTDOWN, "has ended", "create a new one",
	     "same name");
	/* And that is so. */
	ok(ronbus_create(WHERE, &opts, &other));
	ronbus_close(other);
	ronbus_sub_close(sub);
	ronbus_close(bus);
}

static void test_access(void **state)
{
	struct ronbus_options opts = { .name = "news", .flags = RONBUS_BUS_PERSISTENT };
	struct ronbus *bus, *reads, *writes;
	struct ronbus_pub *pub;
	struct ronbus_sub *subs[RONBUS_SUBSCRIBERS_MAX + 1];
	unsigned int i;

	(void)state;
	ok(ronbus_create(WHERE, &opts, &bus));
	ok(ronbus_attach(WHERE, "news", RONBUS_ACCESS_SUBSCRIBE, &reads));
	ok(ronbus_attach(WHERE, "news", RONBUS_ACCESS_PUBLISH, &writes));
	says(WHERE, ronbus_publisher(reads, 0, &pub), EACCES, "not for publishing",
	     "RONBUS_ACCESS_PUBLISH");
	says(WHERE, ronbus_subscribe(writes, NULL, subs), EACCES, "not for subscribing");
	says(WHERE, ronbus_seal(reads), EACCES, "cannot seal");
	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++)
		ok(ronbus_subscribe(reads, NULL, &subs[i]));
	says(WHERE, ronbus_subscribe(reads, NULL, &subs[i]), ENOSPC, "64 subscribers");
	ok(ronbus_seal(writes));
	says(WHERE, ronbus_publisher(writes, 0, &pub), EPERM, "sealed");
	while (i--)
		ronbus_sub_close(subs[i]);
	ronbus_close(writes);
	ronbus_close(reads);
	opts.mode = 0200;
	opts.name = "letters";
	ok(ronbus_create(WHERE, &opts, &writes));
	says(WHERE, ronbus_attach(WHERE, "letters", RONBUS_ACCESS_SUBSCRIBE, &reads), EACCES,
	     "wider mode");
	ronbus_close(writes);
	ronbus_close(bus);
}

static void test_fds(void **state)
{
	struct ronbus *bus;

	(void)state;
	says(NULL, ronbus_adopt(-1, &bus), EBADF, "SCM_RIGHTS");
	says(NULL, ronbus_adopt(STDERR_FILENO, &bus), ENOTTY, "ronbus_bus_fd()");
}

/* Each is the text of its own failure, also when another came between; and of this thread's. */
static void *fails_elsewhere(void *arg)
{
	struct ronbus *bus;

	(void)arg;
	says("/nowhere/ronbus", ronbus_attach("/nowhere/ronbus", "x", 1, &bus), ENOENT, "/nowhere");
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t thread;
	struct ronbus *bus;
	int ret;

	(void)state;
	ret = ronbus_attach(WHERE, "x", 1, &bus);
	ok(pthread_create(&thread, NULL, fails_elsewhere, NULL));
	ok(pthread_join(thread, NULL));
	says(WHERE, ret, ENOENT, "no such bus");
	/* What was not noted, since something else failed since, is looked for. */
	assert_int_equal(ronbus_adopt(-1, &bus), -EBADF);
	says("/nowhere/ronbus", -ENOENT, ENOENT, "there is no /nowhere/ronbus");
	says(WHERE, -EXDEV, EXDEV, strerror(EXDEV));
}

static void test_every_number(void **state)
{
	const char *first = ronbus_why(WHERE, 1);
	char copy[512];

	(void)state;
	strcpy(copy, first);
	for (int err = 0; err < 200; err++)
		assert_true(strlen(ronbus_why(WHERE, err)) > 1);
	/* What was told stays, and is not told in another place again. */
	assert_string_equal(first, copy);
	assert_ptr_equal(ronbus_why(WHERE, 1), first);
	says(WHERE, -ENOTRECOVERABLE, ENOTRECOVERABLE, strerror(ENOTRECOVERABLE));
	assert_string_equal(ronbus_version(), "0.1.0");
}

/* ---- devices that cannot be opened ------------------------------------------------------- */

/* Where no module is, whatever the machine has. */
static bool hide_module(void)
{
	return !mount("tmpfs", "/sys/module", "tmpfs", 0, NULL) &&
	       !mount("/dev/null", "/proc/misc", NULL, MS_BIND, NULL);
}

static bool show_module(void)
{
	int fd;

	if (mkdir("/sys/module/ronbus", 0755))
		return false;
	fd = open("/tmp/misc", O_CREAT | O_TRUNC | O_WRONLY, 0644);
	if (fd < 0 || write(fd, "122 other\n121 ronbus\n", 21) != 21)
		return false;
	close(fd);
	return !mount("/tmp/misc", "/proc/misc", NULL, MS_BIND, NULL);
}

static void no_devices(void)
{
	const char *device = "/tmp/closed/ronbus";
	struct ronbus *bus;

	says(RONBUS_DEVICE, ronbus_create(RONBUS_DEVICE, NULL, &bus), ENOENT, "not loaded",
	     "modprobe ronbus", "if this is a container", "within one process");
	says("embeded:", ronbus_create("embeded:", NULL, &bus), ENOENT, "is no transport",
	     RONBUS_EMBEDDED);
	says("/dev/null", ronbus_create("/dev/null", NULL, &bus), ENOTTY, "not a ronbus device");
	ok(mkdir("/tmp/closed", 0755));
	ok(mknod(device, S_IFCHR | 0600, makedev(10, 255)));
	says(device, ronbus_create(device, NULL, &bus), ENODEV, "there is no module for",
	     "modprobe");
	assert_true(show_module());
	says(RONBUS_DEVICE, ronbus_create(RONBUS_DEVICE, NULL, &bus), ENOENT,
	     "though the module ronbus is loaded", "--device", "ronbus_adopt()");
	says(device, ronbus_create(device, NULL, &bus), ENODEV, "left-over", "udev");
	ok(mknod(RONBUS_DEVICE, S_IFCHR | 0666, makedev(1, 3)));
	says(device, ronbus_create("/tmp/ronbus", NULL, &bus), ENOENT, "the device is");
}

static void refused_devices(void)
{
	struct ronbus *bus;

	ok(mknod(RONBUS_DEVICE, S_IFCHR | 0666, makedev(1, 3)));
	says(RONBUS_DEVICE, ronbus_create(RONBUS_DEVICE, NULL, &bus), ENOTTY, "not a ronbus");
	ok(mount("tmpfs", "/dev", "tmpfs", MS_REMOUNT | MS_NODEV, NULL));
	says(RONBUS_DEVICE, ronbus_create(RONBUS_DEVICE, NULL, &bus), EACCES, "\"nodev\"",
	     "--device", "ronbus_adopt()");
	ok(mount("tmpfs", "/dev", "tmpfs", MS_REMOUNT, NULL));
	ok(chmod(RONBUS_DEVICE, 0600));
	ok(setuid(65534));
	says(RONBUS_DEVICE, ronbus_create(RONBUS_DEVICE, NULL, &bus), EACCES, "join the group");
}

static void closed_directory(void)
{
	struct ronbus *bus;

	ok(mkdir("/tmp/closed", 0700));
	ok(setuid(65534));
	says("/tmp/closed/ronbus", ronbus_create("/tmp/closed/ronbus", NULL, &bus), EACCES,
	     "directory");
}

#define CANNOT 77

static void enter_sandbox(void)
{
	in_child = true;
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", "/tmp", "tmpfs", 0, NULL) || mount("tmpfs", "/dev", "tmpfs", 0, NULL) ||
	    mknod("/dev/null", S_IFCHR | 0666, makedev(1, 3)) || !hide_module())
		_exit(CANNOT);
}

/* In a child with its own mounts. */
static void in_sandbox(void (*body)(void))
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		enter_sandbox();
		body();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT)
		skip();
	assert_int_equal(status, 0);
}

static void test_no_device(void **state)
{
	(void)state;
	in_sandbox(no_devices);
}

static void test_refused(void **state)
{
	(void)state;
	in_sandbox(refused_devices);
}

static void test_closed_directory(void **state)
{
	(void)state;
	in_sandbox(closed_directory);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_embedded),
		cmocka_unit_test(test_access),
		cmocka_unit_test(test_fds),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_no_device),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_closed_directory),
		cmocka_unit_test(test_every_number), /* and then there are no more texts */
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
