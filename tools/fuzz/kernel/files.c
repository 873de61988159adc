// SPDX-License-Identifier: GPL-2.0
/* files.c - what can be done with an fd, besides ioctls */
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "moves.h"

/* One alone would sleep until its time is up. */
int run_read(const struct call *call)
{
	size_t size = call->argument[1] % 3 ? call->argument[1] % 4096 : call->argument[1];
	int fd = file_get(call->in);

	if (fd == control)
		return -EBADF;
	fcntl(fd, F_SETFL, !alone && call->argument[2] % 4 == 1 ? 0 : O_NONBLOCK);
	return done(read(fd, pointer(call->argument[0], size & 4095), size));
}

int run_write(const struct call *call)
{
	int fd = file_get(call->in);

	if (call->argument[0] % 3 == 0)
		return done(lseek(fd, (off_t)call->argument[1], SEEK_SET));
	if (call->argument[0] % 3 == 1)
		return done(ftruncate(fd, (off_t)call->argument[1]));
	return call->argument[0] % 6 == 2 ? done(pread(fd, arena, 64, 1))
					  : done(write(fd, arena, 64));
}

int run_poll(const struct call *call)
{
	struct pollfd poll_fd = { .fd = file_get(call->in), .events = POLLIN | POLLOUT | POLLPRI };

	return done(poll(&poll_fd, 1, call->argument[0] % 8 == 1 ? 1 : 0));
}

/* ---- epoll ----------------------------------------------------------------------------- */

static atomic_int epoll = -1;

static int epoll_here(void)
{
	int none = -1, fd = atomic_load(&epoll);

	if (fd >= 0)
		return fd;
	fd = epoll_create1(EPOLL_CLOEXEC);
	if (atomic_compare_exchange_strong(&epoll, &none, fd))
		return fd;
	close(fd); /* another thread was first */
	return none;
}

int run_epoll(const struct call *call)
{
	uint64_t a = call->argument[0];
	struct epoll_event event = { .events = EPOLLIN | (a & 1 ? EPOLLET : 0) |
					       (a & 2 ? EPOLLONESHOT : 0) |
					       (a % 16 == 4 ? EPOLLEXCLUSIVE : 0) };
	int op = a % 16 < 8 ? EPOLL_CTL_ADD : a % 16 < 10 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
	int fd = epoll_here();

	if (a % 16 > 11)
		return done(epoll_wait(fd, &event, 1, a % 16 == 12 ? 1 : 0));
	return done(epoll_ctl(fd, op, file_get(call->in), &event));
}

void files_end(void)
{
	int fd = atomic_exchange(&epoll, -1);

	if (fd >= 0)
		close(fd);
}

/* ---- fds ------------------------------------------------------------------------------- */

int run_close(const struct call *call)
{
	return file_close(call->in);
}

int run_dup(const struct call *call)
{
	enum role role = file_role(call->in);

	return file_put(call->out, fcntl(file_get(call->in), F_DUPFD_CLOEXEC, 0), role);
}

int run_eventfd(const struct call *call)
{
	uint64_t a = call->argument[0];

	return file_put(call->out, eventfd(a % 2 ? (unsigned int)a : 0, EFD_CLOEXEC | EFD_NONBLOCK),
			ROLE_EVENT);
}

int run_fdinfo(const struct call *call)
{
	char path[64];
	ssize_t ret;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", file_get(call->in));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = read(fd, arena, ARENA / 2);
	close(fd);
	return done(ret);
}

/* Through a socket: a file that nobody has for a while. */
int run_pass(const struct call *call)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control_data = { 0 };
	struct iovec data = { arena, 1 };
	struct msghdr message = { .msg_iov = &data,
				  .msg_iovlen = 1,
				  .msg_control = &control_data,
				  .msg_controllen = sizeof(control_data) };
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	int ends[2], fd = file_get(call->in), ret;
	enum role role = file_role(call->in);

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends))
		return -errno;
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &fd, sizeof(fd));
	ret = done(sendmsg(ends[0], &message, 0));
	if (ret > 0 && call->argument[0] % 2 && recvmsg(ends[1], &message, MSG_CMSG_CLOEXEC) > 0 &&
	    CMSG_FIRSTHDR(&message)) {
		memcpy(&fd, CMSG_DATA(head), sizeof(fd));
		ret = file_put(call->out, fd, role);
	}
	close(ends[0]);
	close(ends[1]);
	return ret;
}
