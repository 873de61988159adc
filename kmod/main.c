// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/ronbus: the control device, and what all ioctls share.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/build_bug.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>

#include "../uapi/ronbus_events.h" /* not used: compiled, so that modules can */
#include "../common/create.h"
#include "bpf.h"
#include "bus.h"
#include "ioctl.h"

/*
 * Copy the argument of an ioctl in. @size is its size as this module knows it; as the program
 * knows it, it is part of @cmd. All structures are at their first version, so there is none
 * smaller than ours. Return 0, -EINVAL, -E2BIG or -EFAULT.
 */
int ronbus_get_args_sized(void *args, size_t size, unsigned int cmd, const void __user *from)
{
	if (_IOC_SIZE(cmd) < size)
		return -EINVAL;
	return copy_struct_from_user(args, size, from, _IOC_SIZE(cmd));
}

/* The way back. Return 0, -EINVAL or -EFAULT. */
int ronbus_put_args_sized(void __user *to, unsigned int cmd, const void *args, size_t size)
{
	size_t usize = _IOC_SIZE(cmd);

	if (usize < size)
		return -EINVAL;
	if (copy_to_user(to, args, size) || clear_user(to + size, usize - size))
		return -EFAULT;
	return 0;
}

/**
 * ronbus_fd_reserve() - take a descriptor for a new file, and tell the program about it
 * @file: the file, or an error
 * @cmd: the ioctl that asked for it
 * @to: its argument in the program, or NULL if nothing is returned there
 * @args: the argument as filled in
 * @size: its size as this module knows it
 *
 * After this nothing can fail: the caller does fd_install(), and a program that saw an error never
 * had the file.
 *
 * Return: the descriptor, or an error with @file gone.
 */
int ronbus_fd_reserve(struct file *file, unsigned int cmd, void __user *to, const void *args,
		      size_t size)
{
	int err, fd;

	if (IS_ERR(file))
		return PTR_ERR(file);

	fd = get_unused_fd_flags(O_CLOEXEC);
	err = fd;
	if (err < 0)
		goto err_file;
	err = to ? ronbus_put_args(to, cmd, args, size) : 0;
	if (err)
		goto err_fd;
	return fd;

err_fd:
	put_unused_fd(fd);
err_file:
	fput(file);
	return err;
}

/* The same, and hand the file to the program. */
int ronbus_fd_install(struct file *file, unsigned int cmd, void __user *to, const void *args,
		      size_t size)
{
	int fd = ronbus_fd_reserve(file, cmd, to, args, size);

	if (fd >= 0)
		fd_install(fd, file);
	return fd;
}

/* RONBUS_IOC_QUERY, which the control device answers as well as every fd of a bus. */
long ronbus_query_ioctl(unsigned int cmd, void __user *arg)
{
	struct ronbus_query query = ronbus_query_limits();

	query.page_size = PAGE_SIZE;
	query.buses_max = RONBUS_BUSES_MAX;
	return ronbus_put_args(arg, cmd, &query, sizeof(query));
}

/*
 * The bus is not found before all else has been done that can fail: a program that waits for its
 * name would get it, and keep the name, though its creator had seen an error.
 */
static long ronbus_control_create_ioctl(unsigned int cmd, void __user *arg)
{
	struct ronbus_create args, asked;
	struct ronbus_bus *bus;
	struct file *file;
	int err, fd;

	err = ronbus_get_args(&args, sizeof(args), cmd, arg);
	if (err)
		return err;
	asked = args;
	err = ronbus_bus_make(&args, &bus);
	if (err)
		return err;
	/* The argument as it came: what was chosen follows when nothing can fail any more. */
	file = ronbus_bus_file(bus, RONBUS_ACCESS_ALL);
	fd = ronbus_fd_reserve(file, cmd, arg, &asked, sizeof(asked));
	if (fd < 0)
		return fd;
	err = ronbus_bus_enrol(bus);
	if (err) {
		put_unused_fd(fd);
		fput(file);
		return err;
	}
	/* This could be written a moment ago. If it no longer can, the bus exists anyway. */
	(void)ronbus_put_args(arg, cmd, &args, sizeof(args));
	fd_install(fd, file);
	return fd;
}

static long ronbus_control_attach_ioctl(unsigned int cmd, void __user *arg)
{
	struct ronbus_attach args;
	struct ronbus_bus *bus;
	int err;

	err = ronbus_get_args(&args, sizeof(args), cmd, arg);
	if (err)
		return err;
	err = ronbus_bus_attach(&args, &bus);
	if (err)
		return err;
	return ronbus_fd_install(ronbus_bus_file(bus, args.access), cmd, NULL, NULL, 0);
}

static long ronbus_control_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *uarg = (void __user *)arg;

	switch (RONBUS_CMD(cmd)) {
	case RONBUS_CMD(RONBUS_IOC_QUERY):
		return ronbus_query_ioctl(cmd, uarg);
	case RONBUS_CMD(RONBUS_IOC_CREATE):
		return ronbus_control_create_ioctl(cmd, uarg);
	case RONBUS_CMD(RONBUS_IOC_ATTACH):
		return ronbus_control_attach_ioctl(cmd, uarg);
	}
	return -ENOTTY;
}

static const struct file_operations control_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = ronbus_control_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct miscdevice control_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = KBUILD_MODNAME,
	.fops = &control_fops,
	.mode = 0600,
};

struct workqueue_struct *ronbus_workqueue;

static int __init ronbus_init(void)
{
	int err;

	ronbus_workqueue = alloc_workqueue(KBUILD_MODNAME, WQ_UNBOUND, 0);
	if (!ronbus_workqueue)
		return -ENOMEM;
	ronbus_names_init();
	ronbus_bpf_init();
	err = misc_register(&control_device);
	if (err)
		destroy_workqueue(ronbus_workqueue);
	return err;
}
module_init(ronbus_init);

static void __exit ronbus_exit(void)
{
	misc_deregister(&control_device);
	rcu_barrier(); /* now all that is freed after a grace period is in the workqueue */
	destroy_workqueue(ronbus_workqueue);
}
module_exit(ronbus_exit);

/* Pairs of cache lines: docs/design.md, "Cache lines". */
static_assert(offsetof(struct ronbus_info_page, armed) == 128);
static_assert(offsetof(struct ronbus_info_page, audience) == 256);
static_assert(sizeof(struct ronbus_self) <= PAGE_SIZE);
static_assert(offsetof(struct ronbus_self, messages_for) == 64);
static_assert(offsetof(struct ronbus_self, pins) % RONBUS_CACHE_LINE == 0);

MODULE_DESCRIPTION("Lossy, never-blocking broadcast bus between processes");
MODULE_AUTHOR("The ronbus authors");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
