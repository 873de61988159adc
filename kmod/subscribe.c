// SPDX-License-Identifier: GPL-2.0
/* Subscribers: joining, waiting, reading by system call. */
#include <linux/anon_inodes.h>
#include <linux/bitops.h>
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "../common/member.h"
#include "bus.h"
#include "coalesce.h"
#include "compat.h"
#include "ioctl.h"
#include "stats.h"
#include "sub.h"
#include "trace.h"
#include "wake.h"

static __poll_t ronbus_sub_poll(struct file *file, struct poll_table_struct *table)
{
	struct ronbus_sub *sub = file->private_data;
	__poll_t events = 0;
	unsigned int readable;

	/* Into the queue first: barrier Q', with Q in ronbus_sub_arm(): wake.pml */
	poll_wait(file, &sub->queue, table);
	if (!poll_does_not_wait(table))
		ronbus_sub_polled(sub);
	readable = ronbus_sub_arm(sub);
	if (readable & RONBUS_READABLE_DATA)
		events |= EPOLLIN | EPOLLRDNORM;
	if (readable & RONBUS_READABLE_ENDED)
		events |= EPOLLHUP;
	return events;
}

/* User space can make reading last: between steps it is interrupted, frozen and scheduled. */
static int ronbus_sub_between_steps(u32 steps)
{
	if (steps % RONBUS_READ_CHUNK)
		return 0;
	cond_resched();
	return signal_pending(current) ? -ERESTARTSYS : 0;
}

/* Set where the next read begins. */
static u64 ronbus_sub_move_cursor(struct ronbus_sub *sub, u64 pos)
{
	WRITE_ONCE(sub->self->cursor, pos);
	return pos;
}

/* Copy a message into the bounce buffer. Return its size, or 0 if it was overwritten meanwhile. */
static __always_inline size_t ronbus_sub_copy_record(struct ronbus_sub *sub, u64 pos,
						     struct ronbus_seen seen)
{
	const struct ronbus_ring *ring = &sub->bus->ring;
	const size_t head = sizeof(struct ronbus_record) + (ring->timed ? sizeof(u64) : 0);
	struct ronbus_words at = ronbus_ring_at(ring, pos);
	struct ronbus_record *record = sub->bounce;
	size_t size;

	record->position = pos;
	record->lost = sub->read_lost;
	record->len = min(ronbus_words_len(&at, seen), ring->payload);
	record->topic = ronbus_words_topic(&at, seen) % RONBUS_TOPICS_MAX;
	record->publisher = ronbus_state_owner(seen.state);
	size = head + round_up(record->len, 8);
	memset((char *)record + size - 8, 0, record->len ? 8 : 0);
	if (ring->timed)
		*(u64 *)(record + 1) = ronbus_words_time(ring, &at, seen) + ronbus_clock_offset();
	ronbus_copy_out((char *)record + head, ronbus_words_payload(&at, seen), record->len);
	return ronbus_ring_unchanged(ring, pos, seen) ? size : 0;
}

/*
 * Read the next message, if it fits. Holes, lost positions and messages for others are skipped; how
 * many were lost is told with the next message. An honest ring needs one lap of steps at most.
 *
 * Return: bytes copied, 0 if there is nothing, or an error with the message still to be read.
 */
static ssize_t ronbus_sub_take_record(struct ronbus_sub *sub, char __user *to, size_t space)
{
	const struct ronbus_ring *ring = &sub->bus->ring;
	struct ronbus_self *self = sub->self;
	u64 pos = READ_ONCE(self->cursor);
	u32 steps, last = ring->mask + 64;
	union ronbus_found found;
	size_t size;
	int err;

	for (steps = 1; steps <= last; steps++) {
		err = ronbus_sub_between_steps(steps);
		if (err)
			return err;
		switch (ronbus_ring_look(ring, pos, &found)) {
		case RONBUS_LOOK_EMPTY:
			return 0;
		case RONBUS_LOOK_HOLE:
			ronbus_counter_add(&self->holes, 1);
			pos = ronbus_sub_move_cursor(sub, pos + 1);
			continue;
		case RONBUS_LOOK_LAGGED:
			sub->read_lost += found.next - pos;
			ronbus_counter_add(&self->lost, found.next - pos);
			ronbus_counter_add(&self->lags, 1);
			pos = ronbus_sub_move_cursor(sub, found.next);
			continue;
		case RONBUS_LOOK_READY:
			break;
		}
		if (sub->interest.bit &&
		    !ronbus_ring_wanted(ring, pos, found.seen, &sub->interest)) {
			if (!ronbus_ring_unchanged(ring, pos, found.seen))
				continue;
			ronbus_counter_add(&self->filtered, 1);
			pos = ronbus_sub_move_cursor(sub, pos + 1);
			continue;
		}
		size = ronbus_sub_copy_record(sub, pos, found.seen);
		if (!size)
			continue;
		if (size > space)
			return -EINVAL;
		if (copy_to_user(to, sub->bounce, size))
			return -EFAULT;
		sub->read_lost = 0;
		ronbus_counter_add(&self->delivered, 1);
		ronbus_sub_move_cursor(sub, pos + 1);
		return size;
	}
	return 0;
}

static ssize_t ronbus_sub_take_records(struct ronbus_sub *sub, char __user *to, size_t space)
{
	size_t done = 0;
	ssize_t ret;

	do {
		ret = ronbus_sub_take_record(sub, to + done, space - done);
		if (ret > 0)
			done += ret;
		cond_resched();
	} while (ret > 0 && !signal_pending(current));
	return done ? done : ret;
}

/*
 * For a reader that does not wait. As long as poll says that there is something io_uring tries
 * again, before it sees a signal: so the one that cannot be handled is told here.
 */
static int ronbus_sub_try_again(void)
{
	return fatal_signal_pending(current) ? -EINTR : -EAGAIN;
}

static ssize_t ronbus_sub_read(struct file *file, char __user *to, size_t space, loff_t *ppos)
{
	struct ronbus_sub *sub = file->private_data;
	bool nonblock = file->f_flags & O_NONBLOCK;
	int cancels = atomic_read(&sub->cancels);
	unsigned int readable;
	ssize_t ret;

	if (!space)
		return 0;
	for (;;) {
		/* Another reader may hold the lock while its memory is being faulted in. */
		if (nonblock && !mutex_trylock(&sub->read_lock))
			return ronbus_sub_try_again();
		if (!nonblock && mutex_lock_interruptible(&sub->read_lock))
			return -ERESTARTSYS;
		/* Before the ring is read, so that all messages before the end are read. */
		readable = ronbus_sub_readable(sub);
		ret = ronbus_sub_take_records(sub, to, space);
		mutex_unlock(&sub->read_lock);

		if (ret || readable == RONBUS_READABLE_ENDED)
			return ret;
		if (nonblock)
			return ronbus_sub_try_again();
		/* A scribbled ring may always look readable, and never have a message. */
		if (signal_pending(current))
			return -ERESTARTSYS;
		ret = ronbus_sub_wait(sub, RONBUS_WAIT_FOREVER, cancels);
		if (ret)
			return ret;
	}
}

static long ronbus_sub_wait_ioctl(struct ronbus_sub *sub, unsigned int cmd, void __user *arg)
{
	int cancels = atomic_read(&sub->cancels);
	struct ronbus_wait args;
	int err;

	/*
	 * The deadline is read after the count; the library sets it to 0 before it cancels: barrier
	 * Y', with Y in ronbus_sub_cancel(): call.pml
	 */
	smp_rmb();
	err = ronbus_get_args(&args, sizeof(args), cmd, arg);
	if (err)
		return err;
	if (args.flags || args.pad)
		return -EINVAL;
	return ronbus_sub_wait(sub, ronbus_deadline_here(args.deadline), cancels);
}

static long ronbus_sub_eventfd_ioctl(struct ronbus_sub *sub, unsigned int cmd, void __user *arg)
{
	struct ronbus_eventfd args;
	int err;

	err = ronbus_get_args(&args, sizeof(args), cmd, arg);
	if (err)
		return err;
	if (args.flags)
		return -EINVAL;
	return ronbus_sub_set_eventfd(sub, args.fd);
}

/*
 * A publisher sees a topic's mask before or after the change, never between: one store each. A
 * program that reads the whole table has it whole if the generation is even, and the same after
 * the table as before.
 */
static void ronbus_sub_set_audience(struct ronbus_sub *sub, u64 topics)
{
	struct ronbus_info_page *page = sub->bus->page;
	u64 bit = BIT_ULL(sub->index);
	unsigned int topic;

	lockdep_assert_held(&sub->bus->lock);

	WRITE_ONCE(page->generation, page->generation + 1);
	/*
	 * After the change of interest: barrier I, with I' in ronbus_publish(): interest.pml.
	 * And before the table, for programs that read it whole.
	 */
	smp_wmb();
	WRITE_ONCE(page->members, sub->bus->members);
	for (topic = 0; topic < RONBUS_TOPICS_MAX; topic++)
		WRITE_ONCE(page->audience[topic], topics >> topic & 1
							  ? page->audience[topic] | bit
							  : page->audience[topic] & ~bit);
	/* It has no partner here either. */
	smp_store_release(&page->generation, page->generation + 1);
}

/* The interest changes first, since a subscriber in an audience may be sent to at once. */
static u64 ronbus_sub_set_topics(struct ronbus_sub *sub, u64 topics)
{
	u64 generation, added;

	mutex_lock(&sub->bus->lock);
	added = topics & ~sub->interest.topics;
	WRITE_ONCE(sub->interest.asked, sub->interest.asked | topics);
	WRITE_ONCE(sub->interest.topics, topics);
	ronbus_sub_set_audience(sub, topics);
	generation = sub->bus->page->generation;
	mutex_unlock(&sub->bus->lock);
	ronbus_coalesce_recount(sub);
	/* A message from before it joined may be for it now, and a thread sleep in front of it. */
	if (added)
		ronbus_sub_wake_armed(sub);
	return generation;
}

static long ronbus_sub_topics_ioctl(struct ronbus_sub *sub, unsigned int cmd, void __user *arg)
{
	struct ronbus_topics args;
	int err;

	err = ronbus_get_args(&args, sizeof(args), cmd, arg);
	if (err)
		return err;
	if (!(sub->bus->features & RONBUS_F_INTEREST))
		return -EOPNOTSUPP;
	if (!args.topics)
		return -EINVAL;
	/* Before anything is changed: an argument that cannot be written back is an error. */
	if (put_user(0, &((struct ronbus_topics __user *)arg)->generation))
		return -EFAULT;
	args.generation = ronbus_sub_set_topics(sub, args.topics);
	(void)put_user(args.generation, &((struct ronbus_topics __user *)arg)->generation);
	return 0;
}

static long ronbus_sub_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct ronbus_sub *sub = file->private_data;
	void __user *uarg = (void __user *)arg;

	switch (RONBUS_CMD(cmd)) {
	case RONBUS_CMD(RONBUS_IOC_WAIT):
		return ronbus_sub_wait_ioctl(sub, cmd, uarg);
	case RONBUS_CMD(RONBUS_IOC_ARM):
		return ronbus_sub_arm(sub) ? 1 : 0;
	case RONBUS_CMD(RONBUS_IOC_SET_EVENTFD):
		return ronbus_sub_eventfd_ioctl(sub, cmd, uarg);
	case RONBUS_CMD(RONBUS_IOC_SET_TOPICS):
		return ronbus_sub_topics_ioctl(sub, cmd, uarg);
	case RONBUS_CMD(RONBUS_IOC_COALESCE):
		return ronbus_coalesce_ioctl(sub, cmd, uarg);
	case RONBUS_CMD(RONBUS_IOC_CANCEL):
		ronbus_sub_cancel(sub);
		return 0;
	}
	return ronbus_common_ioctl(sub->bus, RONBUS_ROLE_SUBSCRIBER, sub->index, sub->access, cmd,
				   uarg);
}

static int ronbus_sub_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct ronbus_sub *sub = file->private_data;

	switch (vma->vm_pgoff) {
	case RONBUS_MMAP_INFO >> PAGE_SHIFT:
		return ronbus_region_map(&sub->bus->info, vma, false);
	case RONBUS_MMAP_RING >> PAGE_SHIFT:
		return ronbus_region_map(&sub->bus->mem, vma, false);
	case RONBUS_MMAP_SELF >> PAGE_SHIFT:
		return ronbus_region_map(&sub->self_mem, vma, true);
	case RONBUS_MMAP_BLOCKS >> PAGE_SHIFT:
		return ronbus_region_map(&sub->bus->blocks_mem, vma, false);
	}
	return -EINVAL;
}

/* A subscriber is no longer found. Those that found it before are done after a grace period. */
static void ronbus_sub_withdraw(struct ronbus_sub *sub)
{
	struct ronbus_bus *bus = sub->bus;

	lockdep_assert_held(&bus->lock);

	bus->members &= ~BIT_ULL(sub->index);
	ronbus_sub_set_audience(sub, 0);
	RCU_INIT_POINTER(bus->subs[sub->index], NULL);
	ronbus_sub_end(sub);
}

/*
 * The subscriber enters the audience first, and then chooses where to begin: each message that is
 * published from there on is for it, or was being published before.
 */
static int ronbus_sub_enrol(struct ronbus_sub *sub, const struct ronbus_subscribe *args)
{
	struct ronbus_bus *bus = sub->bus;
	u64 tail;
	int err;

	lockdep_assert_held(&bus->lock);

	if (bus->members == ~0ULL)
		return -ENOSPC;
	sub->index = ffz(bus->members);
	sub->interest = ronbus_join_interest(bus->page, args, sub->index);
	rcu_assign_pointer(bus->subs[sub->index], sub);
	bus->members |= BIT_ULL(sub->index);
	ronbus_sub_set_audience(sub, args->topics);
	smp_mb(); /* barrier J, with J' and D in ronbus_pub_notify_audience(): join.pml */

	tail = ronbus_ring_tail(&bus->ring);
	sub->interest.joined = ronbus_joined(bus->flags, tail);
	err = ronbus_start_position(args, bus->ring.mask + 1, tail, &sub->start);
	if (err) {
		ronbus_sub_withdraw(sub);
		return err;
	}
	WRITE_ONCE(sub->self->cursor, sub->start);
	queue_work(ronbus_workqueue, &bus->join_work);
	trace_ronbus_join(bus, RONBUS_ROLE_SUBSCRIBER, sub->index);
	if (bus->autotuned_for && hweight64(bus->members) > bus->autotuned_for)
		ronbus_bus_autotune_warn(bus, RONBUS_AUTOTUNE_SUBSCRIBERS);
	return 0;
}

static void ronbus_sub_free_late(struct work_struct *work)
{
	struct ronbus_sub *sub = container_of(to_rcu_work(work), struct ronbus_sub, free_work);

	ronbus_region_free(&sub->self_mem);
	kfree(sub->bounce);
	kfree(sub);
}

/*
 * A publisher may still wake it, and look at its page, for a grace period. Its memory no longer
 * counts against the user's limit, since the user no longer has it.
 */
static void ronbus_sub_free(struct ronbus_sub *sub)
{
	cancel_work_sync(&sub->crowd_work);
	ronbus_sub_set_eventfd(sub, -1);
	ronbus_region_uncharge(&sub->self_mem);
	INIT_RCU_WORK(&sub->free_work, ronbus_sub_free_late);
	queue_rcu_work(ronbus_workqueue, &sub->free_work);
}

static void ronbus_sub_leave(struct ronbus_sub *sub)
{
	struct ronbus_bus *bus = sub->bus;

	mutex_lock(&bus->lock);
	ronbus_trace_sub_leaves(sub);
	ronbus_sub_withdraw(sub);
	ronbus_stats_retire(bus, NULL, sub);
	mutex_unlock(&bus->lock);

	ronbus_sub_free(sub);
	ronbus_bus_put(bus);
}

static int ronbus_sub_release(struct inode *inode, struct file *file)
{
	ronbus_sub_leave(file->private_data);
	return 0;
}

static const struct file_operations sub_fops = {
	.owner = THIS_MODULE,
	.release = ronbus_sub_release,
	.read = ronbus_sub_read,
	.poll = ronbus_sub_poll,
	.unlocked_ioctl = ronbus_sub_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.uring_cmd = ronbus_sub_uring_cmd,
	.mmap = ronbus_sub_mmap,
	.llseek = noop_llseek,
	.show_fdinfo = ronbus_show_sub,
};

/*
 * Make a subscriber for a bus fd with @access; its index and position are filled in. Return its
 * file, with a reference to @bus; or -EINVAL, -EACCES, -ENOSPC, -ERANGE, -ENOMEM.
 */
struct file *ronbus_sub_join(struct ronbus_bus *bus, u32 access, struct ronbus_subscribe *args)
{
	struct ronbus_sub *sub;
	struct file *file;
	int err;

	err = ronbus_subscribe_check(bus->features, args);
	if (err)
		return ERR_PTR(err);
	if (!(access & RONBUS_ACCESS_SUBSCRIBE))
		return ERR_PTR(-EACCES);

	sub = kzalloc(sizeof(*sub), GFP_KERNEL_ACCOUNT);
	if (!sub)
		return ERR_PTR(-ENOMEM);
	sub->bus = bus;
	sub->access = access;
	ronbus_sub_init(sub);
	mutex_init(&sub->read_lock);

	err = -ENOMEM;
	sub->bounce =
		kmalloc(sizeof(*sub->bounce) + sizeof(u64) + bus->ring.payload, GFP_KERNEL_ACCOUNT);
	if (!sub->bounce)
		goto err_sub;
	err = ronbus_region_alloc(&sub->self_mem, sizeof(*sub->self));
	if (err)
		goto err_sub;
	sub->self = sub->self_mem.addr;
	sub->coalesce.backlog.self = sub->self;

	mutex_lock(&bus->lock);
	err = ronbus_sub_enrol(sub, args);
	mutex_unlock(&bus->lock);
	if (err)
		goto err_sub;

	args->index = sub->index;
	args->position = sub->start;
	args->joined = sub->interest.joined;
	args->clock_offset = ronbus_clock_offset();
	ronbus_bus_get(bus);
	file = anon_inode_getfile("[ronbus-subscriber]", &sub_fops, sub, O_RDWR);
	if (IS_ERR(file))
		ronbus_sub_leave(sub);
	return file;

err_sub:
	ronbus_sub_free(sub);
	return ERR_PTR(err);
}
