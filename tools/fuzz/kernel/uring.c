// SPDX-License-Identifier: GPL-2.0
/*
 * uring.c - commands of io_uring
 *
 * A ring costs as much as twenty calls. It is kept from program to program, and cancels what is
 * still pending at the end of one.
 */
#include <pthread.h>
#include <string.h>
#include <sys/poll.h>

#include <liburing.h>

#include "moves.h"

#define PATIENCE_NS 3000000L

static struct {
	pthread_mutex_t lock;
	struct io_uring ring;
	bool open;
	unsigned int pending;
} uring = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void close_ring(void)
{
	if (uring.open)
		io_uring_queue_exit(&uring.ring);
	uring.open = false;
	uring.pending = 0;
}

static struct io_uring_sqe *new_entry(const struct call *call)
{
	unsigned int flags = call->argument[3] % 4 ? 0 : IORING_SETUP_SQE128;
	struct io_uring_sqe *sqe;

	if (!uring.open)
		uring.open = !io_uring_queue_init(16, &uring.ring, flags);
	if (!uring.open)
		return NULL;
	sqe = io_uring_get_sqe(&uring.ring);
	if (sqe) {
		memset(sqe, 0, sizeof(*sqe) << !!(uring.ring.flags & IORING_SETUP_SQE128));
		sqe->fd = file_get(call->in);
		sqe->opcode = IORING_OP_URING_CMD;
		sqe->user_data = call->what;
	}
	return sqe;
}

static void prepare(struct io_uring_sqe *sqe, const struct call *call)
{
	static const unsigned int others[] = { RONBUS_IOC_ARM, RONBUS_IOC_STATS, 0, 77 };
	uint64_t a = call->argument[1], b = call->argument[2];
	struct ronbus_uring_publish publish = { .count = a % 9, .topic = b % 66 };
	struct ronbus_wait wait = { .deadline = a % 4 ? a : RONBUS_WAIT_FOREVER,
				    .flags = b % 32 == 1 };

	switch (call->argument[0] % 8) {
	case 0:
	case 1:
		publish.vec = make_vectors(a, publish.count);
		sqe->cmd_op = RONBUS_IOC_PUBLISH;
		memcpy(sqe->cmd, &publish, sizeof(publish));
		break;
	case 2:
	case 3:
		sqe->cmd_op = RONBUS_IOC_WAIT;
		memcpy(sqe->cmd, &wait, sizeof(wait));
		break;
	case 4:
		sqe->cmd_op = RONBUS_IOC_CANCEL;
		break;
	case 5:
		sqe->opcode = IORING_OP_POLL_ADD;
		sqe->poll32_events = POLLIN;
		sqe->len = b % 2 ? IORING_POLL_ADD_MULTI : 0;
		break;
	case 6:
		sqe->opcode = IORING_OP_ASYNC_CANCEL;
		sqe->addr = call->what;
		sqe->cancel_flags = b % 2 ? IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY : 0;
		break;
	default:
		sqe->cmd_op = others[a % ARRAY_SIZE(others)];
		memcpy(sqe->cmd, &b, sizeof(b));
	}
	if (call->argument[4] % 8 == 1)
		sqe->flags |= IOSQE_ASYNC;
	if (call->argument[4] % 8 == 2)
		sqe->flags |= IOSQE_IO_LINK;
}

static int reap(int ret)
{
	struct io_uring_cqe *cqe;

	while (!io_uring_peek_cqe(&uring.ring, &cqe)) {
		ret = cqe->res;
		if (!(cqe->flags & IORING_CQE_F_MORE) && uring.pending)
			uring.pending--;
		io_uring_cqe_seen(&uring.ring, cqe);
	}
	return ret;
}

static int submit(void)
{
	int ret = io_uring_submit(&uring.ring);

	if (ret > 0)
		uring.pending += (unsigned int)ret;
	return ret;
}

int run_uring(const struct call *call)
{
	struct io_uring_sqe *sqe;
	int ret = -ENOSYS;

	pthread_mutex_lock(&uring.lock);
	sqe = new_entry(call);
	if (sqe)
		prepare(sqe, call);
	if (uring.open)
		ret = reap(submit());
	if (call->argument[4] % 64 == 15)
		close_ring();
	pthread_mutex_unlock(&uring.lock);
	return ret;
}

static void wait_for(unsigned int count)
{
	struct __kernel_timespec patience = { .tv_nsec = PATIENCE_NS };
	struct io_uring_cqe *cqe;

	io_uring_wait_cqes(&uring.ring, &cqe, count, &patience, NULL);
}

/* What does not come back soon when it is cancelled goes with the ring. */
void uring_end(void)
{
	struct io_uring_sqe *sqe;

	if (!uring.open)
		return;
	reap(0);
	if (!uring.pending)
		return;
	sqe = io_uring_get_sqe(&uring.ring);
	if (sqe) {
		memset(sqe, 0, sizeof(*sqe) << !!(uring.ring.flags & IORING_SETUP_SQE128));
		sqe->opcode = IORING_OP_ASYNC_CANCEL;
		sqe->cancel_flags = IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY;
		submit();
		wait_for(uring.pending);
		reap(0);
	}
	if (uring.pending)
		close_ring();
}
