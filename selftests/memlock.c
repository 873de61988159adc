// SPDX-License-Identifier: GPL-2.0
/*
 * memlock: how many pages are charged to the user against RLIMIT_MEMLOCK. The kernel tells nobody,
 * so we ask how much the least bus needs on top of it: the limit from which on it can be made.
 *
 * For tools/leftovers. Prints the number.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ronbus.h"

#define PAGES_MOST (1UL << 30)

/* The limit does not bind a process that may lock memory. */
static int drop_capability(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data))
		return -1;
	data[0].effective &= ~(1U << CAP_IPC_LOCK);
	return (int)syscall(SYS_capset, &head, data);
}

static int fits(int control, unsigned long pages)
{
	struct ronbus_create args = { .capacity = RONBUS_CAPACITY_MIN };
	struct rlimit limit = { pages * 4096, PAGES_MOST * 4096 };
	int fd;

	if (setrlimit(RLIMIT_MEMLOCK, &limit))
		return -errno;
	fd = ioctl(control, RONBUS_IOC_CREATE, &args);
	if (fd < 0)
		return errno == ENOMEM ? 0 : -errno;
	close(fd);
	return 1;
}

int main(void)
{
	int control = open("/dev/ronbus", O_RDWR);
	unsigned long low = 0, high = PAGES_MOST; /* low does not fit, high does */
	int ret = control < 0 || drop_capability() ? -errno : 0;

	while (ret >= 0 && high - low > 1) {
		unsigned long middle = (low + high) / 2;

		ret = fits(control, middle);
		if (ret > 0)
			high = middle;
		else
			low = middle;
	}
	if (ret < 0) {
		fprintf(stderr, "memlock: %s\n", strerror(-ret));
		return 1;
	}
	/* The least bus has a page of information and one of ring. */
	printf("%lu\n", high - 2);
	return 0;
}
