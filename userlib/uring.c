// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * uring.c - submission queue entries for programs with an io_uring
 *
 * Only the kernel's header is used: an entry is the same to whatever library the ring belongs to.
 * What the device does by commands of its own, an embedded bus does by polling its eventfd.
 */
#include "internal.h"

#include <linux/io_uring.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* All of an entry but user_data, which is the program's. */
static void prep(struct io_uring_sqe *sqe, unsigned int op, int fd)
{
	__u64 user_data = sqe->user_data;

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = (__u8)op;
	sqe->fd = fd;
	sqe->user_data = user_data;
}

static void prep_command(struct io_uring_sqe *sqe, int fd, __u32 command, const void *payload,
			 size_t size)
{
	prep(sqe, IORING_OP_URING_CMD, fd);
	sqe->cmd_op = command;
	memcpy(sqe->cmd, payload, size);
}

static void prep_poll(struct io_uring_sqe *sqe, int fd, __u32 flags)
{
	prep(sqe, IORING_OP_POLL_ADD, fd);
	sqe->len = flags;
	sqe->poll32_events = POLLIN;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	sqe->poll32_events = sqe->poll32_events << 16;
#endif
}

static int probe(int ring)
{
	const size_t size =
		sizeof(struct io_uring_probe) + IORING_OP_LAST * sizeof(struct io_uring_probe_op);
	struct io_uring_probe *ops = calloc(1, size);
	int err = -EOPNOTSUPP;

	if (!ops)
		return -ENOMEM;
	if (!syscall(SYS_io_uring_register, ring, IORING_REGISTER_PROBE, ops, IORING_OP_LAST) &&
	    ops->last_op >= IORING_OP_URING_CMD &&
	    ops->ops[IORING_OP_URING_CMD].flags & IO_URING_OP_SUPPORTED)
		err = 0;
	free(ops);
	return err;
}

int ronbus_uring_check(const struct ronbus *bus)
{
	struct io_uring_params params = { 0 };
	int ring = (int)syscall(SYS_io_uring_setup, 1, &params);
	int err = ring < 0 ? -errno : 0;

	if (!err && bus->transport->uring_commands)
		err = probe(ring);
	if (ring >= 0)
		ronbus_fd_close(ring);
	ronbus_why_doing(RONBUS_AT_URING);
	return ronbus_why_failed(err);
}

/* A poll has none. */
static int no_limit(void)
{
	ronbus_why_doing(RONBUS_AT_URING_WAIT);
	return ronbus_why_failed(-EOPNOTSUPP);
}

int ronbus_uring_prep_wait(struct io_uring_sqe *sqe, struct ronbus_sub *sub, int64_t timeout_ns)
{
	struct ronbus_subscriber_handle *handle = ronbus_subscriber_of(sub);
	const struct ronbus_wait req = { .deadline = ronbus_deadline(timeout_ns) };
	int fd = ronbus_sub_fd(sub);

	if (fd < 0)
		return fd;
	if (handle->transport->uring_commands)
		prep_command(sqe, fd, RONBUS_IOC_WAIT, &req, sizeof(req));
	else if (timeout_ns >= 0)
		return no_limit();
	else if (ronbus_arm(sub))
		prep(sqe, IORING_OP_NOP, -1);
	else
		prep_poll(sqe, fd, 0);
	return 0;
}

int ronbus_uring_waited(struct ronbus_sub *sub, int res)
{
	(void)sub;
	return res > 0 ? 0 : res; /* a poll returns its events */
}

int ronbus_uring_prep_poll(struct io_uring_sqe *sqe, struct ronbus_sub *sub)
{
	int fd = ronbus_sub_fd(sub);

	if (fd < 0)
		return fd;
	prep_poll(sqe, fd, IORING_POLL_ADD_MULTI);
	return 0;
}

int ronbus_uring_prep_cancel(struct io_uring_sqe *sqe, struct ronbus_sub *sub)
{
	struct ronbus_subscriber_handle *handle = ronbus_subscriber_of(sub);
	static const __u64 nothing[2];
	int fd = ronbus_sub_fd(sub);

	if (fd < 0)
		return fd;
	if (handle->transport->uring_commands) {
		prep_command(sqe, fd, RONBUS_IOC_CANCEL, nothing, sizeof(nothing));
	} else {
		prep(sqe, IORING_OP_ASYNC_CANCEL, fd);
		sqe->cancel_flags = IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ALL;
	}
	return 0;
}

int ronbus_uring_prep_publish(struct io_uring_sqe *sqe, struct ronbus_pub *pub, unsigned int topic,
			      const struct ronbus_vec *vec, unsigned int count)
{
	const struct ronbus_uring_publish req = {
		.vec = (uintptr_t)vec,
		.count = count,
		.topic = topic,
	};

	if (!(pub->how & RONBUS_HOW_SYSCALL) ||
	    !ronbus_publisher_of(pub)->transport->uring_commands) {
		ronbus_why_doing(RONBUS_AT_URING_PUBLISH);
		return ronbus_why_failed(-EOPNOTSUPP);
	}
	if (topic >= RONBUS_TOPICS_MAX || !count || count > RONBUS_BATCH_MAX)
		return -EINVAL;
	prep_command(sqe, ronbus_pub_fd(pub), RONBUS_IOC_PUBLISH, &req, sizeof(req));
	return 0;
}
