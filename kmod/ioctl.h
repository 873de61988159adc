/* SPDX-License-Identifier: GPL-2.0 */
/* What all ioctls share: arguments and new files (main.c). */
#ifndef _RONBUS_IOCTL_H
#define _RONBUS_IOCTL_H

#include <linux/uaccess.h>

#include "../uapi/ronbus.h"

struct file;

/* An ioctl without the size of its argument, by which versions of one ioctl differ. */
#define RONBUS_CMD(cmd) ((cmd) & ~IOCSIZE_MASK)

int ronbus_get_args_sized(void *args, size_t size, unsigned int cmd, const void __user *from);
int ronbus_put_args_sized(void __user *to, unsigned int cmd, const void *args, size_t size);

/* A size the compiler knows spares the check that the copy stays within its object. */
static __always_inline int ronbus_get_args(void *args, size_t size, unsigned int cmd,
					   const void __user *from)
{
	if (likely(_IOC_SIZE(cmd) == size))
		return copy_from_user(args, from, size) ? -EFAULT : 0;
	return ronbus_get_args_sized(args, size, cmd, from);
}

static __always_inline int ronbus_put_args(void __user *to, unsigned int cmd, const void *args,
					   size_t size)
{
	if (likely(_IOC_SIZE(cmd) == size))
		return copy_to_user(to, args, size) ? -EFAULT : 0;
	return ronbus_put_args_sized(to, cmd, args, size);
}

int ronbus_fd_reserve(struct file *file, unsigned int cmd, void __user *to, const void *args,
		      size_t size);
int ronbus_fd_install(struct file *file, unsigned int cmd, void __user *to, const void *args,
		      size_t size);
long ronbus_query_ioctl(unsigned int cmd, void __user *arg);

#endif /* _RONBUS_IOCTL_H */
