// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * eventfd.c - the eventfds that a subscriber signals
 */
#include "embedded.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

/* A publisher must not wait, not even if a subscriber has filled its eventfd up. */
static void eventfd_signal(int fd)
{
	struct pollfd room = { .fd = fd, .events = POLLOUT };
	const __u64 one = 1;
	int was;

	if (fd < 0)
		return;
	was = ronbus_cancel_hold();
	if (poll(&room, 1, 0) == 1 && room.revents & POLLOUT)
		(void)!write(fd, &one, sizeof(one));
	ronbus_cancel_release(was);
}

/*
 * The end of the bus (@end) is the last signal, for those that wait with EPOLLEXCLUSIVE too: each
 * write wakes one more. It is not known how many there are.
 */
void ronbus_embedded_signal(const struct embedded_sub *sub, bool end)
{
	unsigned int i = sub->own_fd >= 0 && end ? RONBUS_WAITERS_MAX : 1;

	while (i--)
		eventfd_signal(sub->own_fd);
	eventfd_signal(sub->user_fd);
}

/* Takes back what was signalled so far. */
void ronbus_embedded_signal_clear(const struct embedded_sub *sub)
{
	__u64 count;
	int was;

	if (sub->own_fd < 0)
		return;
	was = ronbus_cancel_hold();
	(void)!read(sub->own_fd, &count, sizeof(count));
	ronbus_cancel_release(was);
}

int ronbus_embedded_sub_fd(struct ronbus_subscriber_handle *base)
{
	struct embedded_sub *sub = (struct embedded_sub *)base;
	int fd;

	if (sub->own_fd >= 0)
		return sub->own_fd;
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	ronbus_embedded_lock(sub->bus);
	sub->own_fd = fd;
	ronbus_embedded_unlock(sub->bus);
	/*
	 * The subscriber may have been armed, and woken, before there was an fd; perhaps by a
	 * message that is for others.
	 */
	if ((sub->relies && !RB_READ(&sub->polled)) || ronbus_embedded_ready(sub))
		eventfd_signal(fd);
	return fd;
}

static int duplicate_eventfd(int fd)
{
	static const char eventfd_link[] = "anon_inode:[eventfd]";
	char path[32], link[sizeof(eventfd_link)];
	ssize_t len;
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (copy < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", copy);
	len = readlink(path, link, sizeof(link));
	/* Without /proc this is not known, and a write to another file does no harm here. */
	if (len >= 0 &&
	    (len != sizeof(eventfd_link) - 1 || memcmp(link, eventfd_link, (size_t)len))) {
		ronbus_fd_close(copy);
		return -EINVAL;
	}
	return copy;
}

int ronbus_embedded_set_eventfd(struct ronbus_subscriber_handle *base, int fd)
{
	struct embedded_sub *sub = (struct embedded_sub *)base;
	int old, copy = -1;

	if (fd != -1) {
		copy = duplicate_eventfd(fd);
		if (copy < 0)
			return copy;
	}
	ronbus_embedded_lock(sub->bus);
	old = sub->user_fd;
	sub->user_fd = copy;
	ronbus_embedded_unlock(sub->bus);
	if (old >= 0)
		ronbus_fd_close(old);
	return 0;
}

void ronbus_embedded_close_fds(struct embedded_sub *sub)
{
	if (sub->own_fd >= 0)
		ronbus_fd_close(sub->own_fd);
	if (sub->user_fd >= 0)
		ronbus_fd_close(sub->user_fd);
}
