// SPDX-License-Identifier: GPL-2.0
/*
 * Commands of io_uring, through which programs wait and publish.
 *
 * Publishing never sleeps for long and is done at submission. A wait that has to sleep stays
 * pending: it is in the subscriber's queue like any sleeper, and when it is woken the task that
 * submitted it looks again. Where the kernel cannot cancel a pending command, a worker of io_uring
 * sleeps instead.
 */
#include <linux/bitops.h>
#include <linux/hrtimer.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <linux/wait.h>

#include "compat.h"
#include "pub.h"
#include "sub.h"
#include "wake.h"

enum {
	WAIT_KICKED, /* a look is due, or none may be asked for */
	WAIT_EXPIRED, /* the deadline has passed */
	WAIT_CANCELED, /* the ring is going away */
};

/* A RONBUS_IOC_WAIT that is pending. */
struct uring_wait {
	struct wait_queue_entry entry; /* in the subscriber's queue */
	struct hrtimer timer; /* for its deadline */
	struct ronbus_sub *sub; /* the subscriber, held by the file that the command holds */
	struct io_uring_cmd *cmd; /* the command, which points back here from its private bytes */
	int cancels; /* of the subscriber when the wait began */
	unsigned long state; /* set of the bits above */
};

static struct uring_wait **ronbus_uring_wait_of(struct io_uring_cmd *cmd)
{
	return (struct uring_wait **)cmd->pdu;
}

/* The result if the wait is over. Otherwise -EIOCBQUEUED, and the subscriber is armed. */
static int ronbus_uring_outcome(struct uring_wait *wait)
{
	if (ronbus_sub_arm(wait->sub))
		return 0; /* even if time is up: what is there is not lost */
	if (test_bit(WAIT_CANCELED, &wait->state) ||
	    atomic_read(&wait->sub->cancels) != wait->cancels)
		return -ECANCELED;
	if (test_bit(WAIT_EXPIRED, &wait->state))
		return -ETIMEDOUT;
	return -EIOCBQUEUED;
}

/*
 * Look whether a wait is over; if so, it is not kicked any more, and the caller frees it.
 *  1. The bit is cleared: a kick from here on asks for another look.
 *  2. ronbus_uring_outcome() looks, and sees what any kick before that was for.
 *  3. If the wait is over, test_and_set_bit() decides between this call and a kick in the meantime,
 *     whose look will finish the wait.
 */
static int ronbus_uring_finish(struct uring_wait *wait)
{
	int err;

	clear_bit(WAIT_KICKED, &wait->state);
	smp_mb__after_atomic(); /* barrier U, with U' in ronbus_uring_kick(): uring.pml */
	err = ronbus_uring_outcome(wait);
	/* As a barrier it has no partner: the bit decides. */
	if (err == -EIOCBQUEUED || test_and_set_bit(WAIT_KICKED, &wait->state))
		return -EIOCBQUEUED;

	remove_wait_queue(&wait->sub->queue, &wait->entry);
	hrtimer_cancel(&wait->timer);
	return err;
}

static void ronbus_uring_look_again(struct io_uring_cmd *cmd, unsigned int issue_flags)
{
	struct uring_wait *wait = *ronbus_uring_wait_of(cmd);
	int err = ronbus_uring_finish(wait);

	if (err == -EIOCBQUEUED)
		return;
	/* Up to here a ring that goes away may still ask to cancel. */
	io_uring_cmd_done(cmd, err, 0, issue_flags);
	kfree(wait);
}

/* From anywhere, interrupts included. */
static void ronbus_uring_kick(struct uring_wait *wait)
{
	/* After the reason for the kick: barrier U', with U in ronbus_uring_finish(): uring.pml */
	if (!test_and_set_bit(WAIT_KICKED, &wait->state))
		io_uring_cmd_complete_in_task(wait->cmd, ronbus_uring_look_again);
}

static int ronbus_uring_woken(struct wait_queue_entry *entry, unsigned int mode, int sync,
			      void *key)
{
	ronbus_uring_kick(container_of(entry, struct uring_wait, entry));
	return 1;
}

static enum hrtimer_restart ronbus_uring_expired(struct hrtimer *timer)
{
	struct uring_wait *wait = container_of(timer, struct uring_wait, timer);

	set_bit(WAIT_EXPIRED, &wait->state);
	ronbus_uring_kick(wait);
	return HRTIMER_NORESTART;
}

static int ronbus_uring_begin_wait(struct ronbus_sub *sub, struct io_uring_cmd *cmd, u64 deadline,
				   unsigned int issue_flags)
{
	struct uring_wait *wait = kzalloc(sizeof(*wait), GFP_KERNEL_ACCOUNT);
	int err;

	if (!wait)
		return -ENOMEM;
	*ronbus_uring_wait_of(cmd) = wait;
	wait->sub = sub;
	wait->cmd = cmd;
	wait->cancels = atomic_read(&sub->cancels);
	set_bit(WAIT_KICKED, &wait->state);
	hrtimer_init(&wait->timer, CLOCK_MONOTONIC, HRTIMER_MODE_ABS);
	wait->timer.function = ronbus_uring_expired;
	init_waitqueue_func_entry(&wait->entry, ronbus_uring_woken);
	/* barrier Q', with Q in ronbus_sub_arm(): wake.pml, uring.pml */
	add_wait_queue(&sub->queue, &wait->entry);
	if (ronbus_sub_crowded(sub)) {
		remove_wait_queue(&sub->queue, &wait->entry);
		kfree(wait);
		return -EBUSY;
	}

	err = ronbus_uring_finish(wait);
	if (err != -EIOCBQUEUED) {
		kfree(wait);
		return err;
	}
	/* The command cannot complete before this task has left the system call. */
	if (deadline != RONBUS_WAIT_FOREVER)
		hrtimer_start(&wait->timer, min_t(u64, deadline, KTIME_MAX), HRTIMER_MODE_ABS);
	io_uring_cmd_mark_cancelable(cmd, issue_flags);
	return err;
}

static int ronbus_uring_wait_cmd(struct ronbus_sub *sub, struct io_uring_cmd *cmd,
				 unsigned int issue_flags)
{
	const struct ronbus_wait *args = ronbus_uring_payload(cmd);
	u64 deadline = ronbus_deadline_here(READ_ONCE(args->deadline));
	int err;

	if (READ_ONCE(args->flags) || READ_ONCE(args->pad))
		return -EINVAL;
	if (ronbus_sub_readable(sub))
		return 0;
	if (deadline <= ktime_get_ns())
		return -ETIMEDOUT;
	if (issue_flags & IO_URING_F_NONBLOCK)
		return RONBUS_URING_PENDING
			       ? ronbus_uring_begin_wait(sub, cmd, deadline, issue_flags)
			       : -EAGAIN;
	err = ronbus_sub_wait(sub, deadline, atomic_read(&sub->cancels));
	return err == -ERESTARTSYS ? -ECANCELED : err; /* a worker gets no other signals */
}

static int ronbus_uring_cancel_cmd(struct ronbus_sub *sub, struct io_uring_cmd *cmd)
{
	const u64 *args = ronbus_uring_payload(cmd);

	if (READ_ONCE(args[0]) || READ_ONCE(args[1]))
		return -EINVAL;
	ronbus_sub_cancel(sub);
	return 0;
}

/* A command on a subscriber fd. Return its result, or -ENOTTY for a command that is none. */
int ronbus_sub_uring_cmd(struct io_uring_cmd *cmd, unsigned int issue_flags)
{
	struct ronbus_sub *sub = cmd->file->private_data;

	if (issue_flags & IO_URING_F_CANCEL) {
		set_bit(WAIT_CANCELED, &(*ronbus_uring_wait_of(cmd))->state);
		ronbus_uring_kick(*ronbus_uring_wait_of(cmd));
		return 0;
	}

	switch (cmd->cmd_op) {
	case RONBUS_IOC_WAIT:
		return ronbus_uring_wait_cmd(sub, cmd, issue_flags);
	case RONBUS_IOC_CANCEL:
		return ronbus_uring_cancel_cmd(sub, cmd);
	}
	return -ENOTTY;
}

/* A command on a publisher fd. Return as ronbus_pub_publish(), or -ENOTTY. */
int ronbus_pub_uring_cmd(struct io_uring_cmd *cmd, unsigned int issue_flags)
{
	const struct ronbus_uring_publish *payload = ronbus_uring_payload(cmd);
	struct ronbus_pub *pub = cmd->file->private_data;
	struct ronbus_publish args = { 0 };
	int ret;

	if (cmd->cmd_op != RONBUS_IOC_PUBLISH)
		return -ENOTTY;
	args.vec = READ_ONCE(payload->vec);
	args.count = READ_ONCE(payload->count);
	args.topic = READ_ONCE(payload->topic);
	ret = ronbus_pub_publish(pub, &args, issue_flags & IO_URING_F_NONBLOCK);

	if (ret == -EBUSY)
		return -EAGAIN; /* a worker may wait for the other thread */
	if (ret == -ERESTARTSYS)
		return -EINTR;
	if (ret <= 0 && ret != -EAGAIN)
		return ret;
	/*
	 * These are not returned. For -EAGAIN, a dropped message, a worker would try again. A
	 * number is a failure for some kernels, and is ignored by workers of Linux 6.1.
	 */
	io_uring_cmd_done(cmd, ret, 0, issue_flags);
	return -EIOCBQUEUED;
}
