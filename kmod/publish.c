// SPDX-License-Identifier: GPL-2.0
/* Publishers: joining, publishing by system call, notifying, and repair when one dies. */
#include <linux/anon_inodes.h>
#include <linux/bitops.h>
#include <linux/capability.h>
#include <linux/err.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/preempt.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>

#include "../common/arm.h"
#include "../common/member.h"
#include "bus.h"
#include "coalesce.h"
#include "compat.h"
#include "ioctl.h"
#include "pub.h"
#include "stats.h"
#include "trace.h"
#include "wake.h"

/*
 * Put one message, if a chunk of looks finds a slot. Preemption is off between claim and commit: a
 * system call that was preempted there would hold a slot for as long as others run. Nothing can
 * fault or sleep in between, since the message is in @data already.
 */
static __always_inline int ronbus_pub_put_in(struct ronbus_ring ring, struct ronbus_claim *claim,
					     u64 audience, u32 topic, const void *data, u32 len,
					     bool last, bool timed)
{
	int err = ronbus_ring_claim(&ring, claim, 0, RONBUS_CLAIM_CHUNK);

	if (!err) {
		ronbus_ring_write(&ring, claim->pos, audience, topic, data, len);
		/* A clock for NMIs, and cheap enough for COARSE_TIME, too. */
		if (timed)
			ronbus_ring_stamp(&ring, claim->pos, ktime_get_mono_fast_ns());
		if (last)
			ronbus_ring_commit_last(&ring, claim->pos, 0);
		else
			ronbus_ring_commit(&ring, claim->pos, 0);
		ronbus_ring_advance(&ring, claim->pos + 1);
	}
	return err;
}

/* Not inlined, so that the other layouts need not save registers over a call. */
static noinline int ronbus_pub_put_timed(const struct ronbus_bus *bus, struct ronbus_claim *claim,
					 u64 audience, u32 topic, const void *data, u32 len,
					 bool last)
{
	return ronbus_pub_put_in(bus->ring, claim, audience, topic, data, len, last, true);
}

static __always_inline int ronbus_pub_try_put(struct ronbus_bus *bus, struct ronbus_claim *claim,
					      u64 audience, u32 topic, const void *data, u32 len,
					      bool last)
{
	struct ronbus_ring ring = bus->ring;
	int err;

	preempt_disable();
	/* In each branch the compiler knows the layout. */
	if (unlikely(ring.timed)) {
		err = ronbus_pub_put_timed(bus, claim, audience, topic, data, len, last);
	} else if (unlikely(ring.layout == RONBUS_LAYOUT_ARRAYS)) {
		err = ronbus_pub_put_in(ring, claim, audience, topic, data, len, last, false);
	} else {
		ring.layout = RONBUS_LAYOUT_SLOTS;
		err = ronbus_pub_put_in(ring, claim, audience, topic, data, len, last, false);
	}
	preempt_enable();
	return err;
}

/*
 * After a chunk of looks without a slot: may there be another chunk? It begins at the tail, for a
 * publisher that looks at one slot after the other never catches up with many that publish.
 */
static noinline int ronbus_pub_retry(const struct ronbus_bus *bus, struct ronbus_claim *claim,
				     u32 *looks)
{
	if (claim->stalls > bus->ring.mask || *looks < RONBUS_CLAIM_CHUNK)
		return -EAGAIN;
	if (fatal_signal_pending(current))
		return -EINTR;
	*looks -= RONBUS_CLAIM_CHUNK;
	claim->pos = max(claim->pos, ronbus_ring_tail(&bus->ring));
	cond_resched();
	return 0;
}

/* Inline, since a batch calls it for each message. */
static __always_inline int ronbus_pub_put_message(struct ronbus_bus *bus, u64 audience, u32 topic,
						  const void *data, u32 len, bool last)
{
	u32 looks = RONBUS_CLAIM_LOOKS(bus->ring.mask + 1);
	struct ronbus_claim claim = { .pos = ronbus_ring_hint(&bus->ring) };
	int err = 0;

	while (!err && ronbus_pub_try_put(bus, &claim, audience, topic, data, len, last))
		err = ronbus_pub_retry(bus, &claim, &looks);
	return err;
}

/*
 * Put one message into the ring, from any context. Slots that the interrupted code holds are passed
 * by. One chunk of slots is looked at, from the tail on, since the hint may be further from the
 * tail than a chunk, and would stay so. Return 0 or -EAGAIN.
 */
int ronbus_pub_put_now(struct ronbus_bus *bus, u64 audience, u32 topic, const void *data, u32 len)
{
	struct ronbus_claim claim = { .pos = ronbus_ring_tail(&bus->ring) };

	return ronbus_pub_try_put(bus, &claim, audience, topic, data, len, true) ? -EAGAIN : 0;
}

/**
 * ronbus_wake_mask() - which subscribers have to be woken for a message
 * @bus: the bus
 * @topic: of the message, a program's, and below RONBUS_TOPICS_MAX
 * @audience: the subscribers that it was addressed to
 */
u64 ronbus_wake_mask(const struct ronbus_bus *bus, u32 topic, u64 audience)
{
	return ronbus_armed_for(bus->page, bus->features & RONBUS_F_EDGE_NOTIFY, audience,
				&bus->page->audience[array_index_nospec(topic, RONBUS_TOPICS_MAX)]);
}

static void ronbus_pub_notify_audience(struct ronbus_bus *bus, u32 topic, u64 audience)
{
	u64 mask = ronbus_wake_mask(bus, topic, audience);

	if (mask || ronbus_coalesce_due(bus))
		ronbus_bus_notify(bus, mask, RONBUS_WAKE_DATA);
}

/* A message is given up, with -EAGAIN, or its publisher is being killed, with -EINTR. */
static void ronbus_pub_give_up(struct ronbus_pub *pub, int err)
{
	/* The publisher may have made holes, and a subscriber may sleep in front of one. */
	smp_mb(); /* barrier D, with D' in ronbus_sub_arm(): ring.pml, wake.pml */
	ronbus_bus_notify(pub->bus, ~0ULL, RONBUS_WAKE_DATA);
	if (err == -EAGAIN)
		ronbus_counter_add_atomic(&pub->self->dropped, 1);
}

/* Publish the one message in the bounce buffer, under pub->lock. Return 0, -EAGAIN or -EINTR. */
int ronbus_pub_put_bounce(struct ronbus_pub *pub, u64 audience, u32 topic, u32 len)
{
	int err = ronbus_pub_put_message(pub->bus, audience, topic, pub->bounce, len, true);

	if (err)
		ronbus_pub_give_up(pub, err);
	else
		ronbus_pub_notify_audience(pub->bus, topic, audience);
	return err;
}

static int ronbus_pub_get_message(struct ronbus_pub *pub, const struct ronbus_vec __user *uvec,
				  struct ronbus_vec *vec)
{
	if (copy_from_user(vec, uvec, sizeof(*vec)))
		return -EFAULT;
	if (vec->pad)
		return -EINVAL;
	if (vec->len > pub->bus->ring.payload)
		return -EMSGSIZE;
	if (copy_from_user(pub->bounce, u64_to_user_ptr(vec->data), vec->len))
		return -EFAULT;
	return 0;
}

/*
 * Messages go out one after the other. A message is the last one if it ends the batch, or if the
 * next cannot be read. In the second case it was committed without the barrier that goes with a
 * wake-up, and an extra one is needed.
 */
static int ronbus_pub_put_batch(struct ronbus_pub *pub, const struct ronbus_vec __user *uvec,
				u32 count, u32 topic, u64 audience)
{
	bool each = !(pub->bus->features & RONBUS_F_BATCH);
	bool writes = ronbus_bus_writes(pub->bus, audience);
	struct ronbus_vec vec;
	u32 done = 0;
	int err = 0;

	for (; done < count; done++) {
		bool last = each || done + 1 == count;

		if (fatal_signal_pending(current))
			err = -EINTR;
		else
			err = ronbus_pub_get_message(pub, uvec + done, &vec);
		if (!err && writes)
			err = ronbus_pub_put_message(pub->bus, audience, topic, pub->bounce,
						     vec.len, last);
		if (err)
			break;
		if (last && writes)
			ronbus_pub_notify_audience(pub->bus, topic, audience);
	}
	if (err && done && writes && !each) {
		smp_mb(); /* barrier D, with D' in ronbus_sub_arm(): wake.pml */
		ronbus_pub_notify_audience(pub->bus, topic, audience);
	}
	if (err == -EAGAIN || err == -EINTR)
		ronbus_pub_give_up(pub, err);
	return done ? done : err;
}

/*
 * Count messages for @audience in the page of their publisher. Threads that publish through a
 * mapping of the same fd count in the same page, and so do BPF programs on every CPU.
 */
void ronbus_pub_count(struct ronbus_pub *pub, u32 accepted, u64 audience)
{
	const struct ronbus_bus *bus = pub->bus;
	struct ronbus_self *self = pub->self;
	u32 receivers = hweight64(audience);

	ronbus_counter_add_atomic(&self->messages_for[receivers], accepted);
	if (bus->features & RONBUS_F_INTEREST)
		ronbus_counter_add_atomic(&self->interest_skips,
					  accepted * hweight64(READ_ONCE(bus->page->members) &
							       ~audience));
	if (accepted > 1 && bus->features & RONBUS_F_BATCH && ronbus_bus_writes(bus, audience))
		ronbus_counter_add_atomic(
			&self->batch_len[min(ilog2(accepted), RONBUS_BATCH_BUCKETS - 1)], 1);
}

/**
 * ronbus_pub_publish() - publish by system call
 * @pub: the publisher
 * @args: the messages; @receivers is filled in
 * @nonblock: do not wait for another thread that publishes as @pub
 *
 * Return: how many messages were accepted; -EINVAL, -EMSGSIZE or -EFAULT for a first message that
 * cannot be published; -EOPNOTSUPP if @pub is there for BPF programs; -EAGAIN if it was dropped;
 * -EINTR or -ERESTARTSYS; with @nonblock -EBUSY.
 */
int ronbus_pub_publish(struct ronbus_pub *pub, struct ronbus_publish *args, bool nonblock)
{
	u64 audience;
	int ret;

	if (!args->count || args->count > RONBUS_BATCH_MAX || args->topic >= RONBUS_TOPICS_MAX ||
	    args->flags)
		return -EINVAL;
	if (pub->bpf_token)
		return -EOPNOTSUPP;

	if (nonblock && !mutex_trylock(&pub->lock))
		return -EBUSY;
	if (!nonblock && mutex_lock_interruptible(&pub->lock))
		return -ERESTARTSYS;
	audience = ronbus_bus_audience(pub->bus, args->topic);
	args->receivers = hweight64(audience);
	ret = ronbus_pub_put_batch(pub, u64_to_user_ptr(args->vec), args->count, args->topic,
				   audience);
	if (ret > 0) {
		ronbus_pub_count(pub, ret, audience);
		trace_ronbus_publish(pub, args->topic, ret, args->receivers);
	}
	mutex_unlock(&pub->lock);
	ronbus_trace_pub(pub);
	return ret;
}

static long ronbus_pub_publish_ioctl(struct ronbus_pub *pub, unsigned int cmd, void __user *arg)
{
	struct ronbus_publish args;
	int ret;

	ret = ronbus_get_args(&args, sizeof(args), cmd, arg);
	if (ret)
		return ret;

	/* Before anything is published: an argument that cannot be written back is an error. */
	if (put_user(0, &((struct ronbus_publish __user *)arg)->receivers))
		return -EFAULT;
	ret = ronbus_pub_publish(pub, &args, false);

	/* This could be written a moment ago. If it no longer can, the messages are out anyway. */
	if (ret > 0)
		(void)put_user(args.receivers, &((struct ronbus_publish __user *)arg)->receivers);
	return ret;
}

static long ronbus_pub_notify_ioctl(struct ronbus_pub *pub, unsigned int cmd, void __user *arg)
{
	struct ronbus_notify args;
	int err;

	err = ronbus_get_args(&args, sizeof(args), cmd, arg);
	if (err)
		return err;
	if (args.pad)
		return -EINVAL;
	/* As in ronbus_pub_publish_ioctl(): before what cannot be undone. */
	if (put_user(0, &((struct ronbus_notify __user *)arg)->woken))
		return -EFAULT;
	atomic64_inc(&pub->bus->notify_calls);
	args.woken = ronbus_bus_notify(pub->bus, args.subscribers, RONBUS_WAKE_DATA);
	trace_ronbus_notify(pub, args.subscribers, args.woken);
	ronbus_trace_pub(pub);
	(void)put_user(args.woken, &((struct ronbus_notify __user *)arg)->woken);
	return 0;
}

static long ronbus_pub_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct ronbus_pub *pub = file->private_data;
	void __user *uarg = (void __user *)arg;

	switch (RONBUS_CMD(cmd)) {
	case RONBUS_CMD(RONBUS_IOC_PUBLISH):
		return ronbus_pub_publish_ioctl(pub, cmd, uarg);
	case RONBUS_CMD(RONBUS_IOC_NOTIFY):
		return ronbus_pub_notify_ioctl(pub, cmd, uarg);
	case RONBUS_CMD(RONBUS_IOC_PUBLISH_BLOCK):
		return ronbus_pub_block_ioctl(pub, cmd, uarg);
	}
	return ronbus_common_ioctl(pub->bus, RONBUS_ROLE_PUBLISHER, pub->id, pub->access, cmd,
				   uarg);
}

/*
 * A publisher that maps the ring is gone when its last writable mapping is: the messages that it
 * had begun stay unfinished. Its slots become holes. Then all sleepers are woken, for it may have
 * died after it made a message visible, and before it woke the subscribers.
 */
static void ronbus_pub_repair(struct ronbus_pub *pub)
{
	struct ronbus_bus *bus = pub->bus;
	u32 first, repaired = 0;

	for (first = 0; first <= bus->ring.mask; first += RONBUS_REPAIR_CHUNK) {
		repaired += ronbus_ring_repair(&bus->ring, pub->id, first,
					       min_t(u32, RONBUS_REPAIR_CHUNK,
						     bus->ring.mask + 1 - first));
		cond_resched();
	}
	atomic64_add(repaired, &bus->repairs);
	if (repaired)
		trace_ronbus_repair(pub, repaired);
	ronbus_bus_notify(bus, ~0ULL, RONBUS_WAKE_REPAIR);
}

static void ronbus_pub_ring_open(struct vm_area_struct *vma)
{
	struct ronbus_pub *pub = vma->vm_file->private_data;

	atomic_inc(&pub->writable_maps);
}

static void ronbus_pub_ring_close(struct vm_area_struct *vma)
{
	struct ronbus_pub *pub = vma->vm_file->private_data;

	if (atomic_dec_and_test(&pub->writable_maps))
		ronbus_pub_repair(pub);
}

static const struct vm_operations_struct ring_vm_ops = {
	.open = ronbus_pub_ring_open,
	.close = ronbus_pub_ring_close,
	.may_split = ronbus_vm_may_split,
	.mremap = ronbus_vm_mremap,
	.access = ronbus_vm_access,
};

static int ronbus_pub_map_ring(struct ronbus_pub *pub, struct vm_area_struct *vma)
{
	bool writable = vma->vm_flags & VM_WRITE;
	int err;

	/* The ring is readable for subscribers, and for publishers that can overwrite it anyway. */
	if (!pub->id && !(pub->access & RONBUS_ACCESS_SUBSCRIBE))
		return -EACCES;
	err = ronbus_region_map(&pub->bus->mem, vma, pub->id);
	if (err || !writable)
		return err;
	vma->vm_ops = &ring_vm_ops;
	ronbus_pub_ring_open(vma);
	return 0;
}

static int ronbus_pub_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct ronbus_pub *pub = file->private_data;

	switch (vma->vm_pgoff) {
	case RONBUS_MMAP_INFO >> PAGE_SHIFT:
		return ronbus_region_map(&pub->bus->info, vma, false);
	case RONBUS_MMAP_RING >> PAGE_SHIFT:
		return ronbus_pub_map_ring(pub, vma);
	case RONBUS_MMAP_SELF >> PAGE_SHIFT:
		return ronbus_region_map(&pub->self_mem, vma, true);
	}
	return -EINVAL;
}

/* Writable while there is a subscriber. */
static __poll_t ronbus_pub_poll(struct file *file, poll_table *table)
{
	struct ronbus_pub *pub = file->private_data;

	/*
	 * As a barrier it has no partner: the members change before a worker wakes the queue, which
	 * takes the lock that poll_wait() takes.
	 */
	poll_wait(file, &pub->bus->join_queue, table);
	return READ_ONCE(pub->bus->page->members) ? EPOLLOUT | EPOLLWRNORM : 0;
}

static void ronbus_pub_free(struct ronbus_pub *pub)
{
	ronbus_region_free(&pub->self_mem);
	kfree(pub->bounce);
	kfree(pub);
}

static void ronbus_pub_leave(struct ronbus_pub *pub)
{
	struct ronbus_bus *bus = pub->bus;

	ronbus_bpf_leave(pub);
	mutex_lock(&bus->lock);
	list_del(&pub->node);
	ronbus_stats_retire(bus, pub, NULL);
	ronbus_trace_pub_leaves(pub);
	bus->ids &= ~BIT_ULL(pub->id);
	bus->publishers--;
	bus->abandoned |= pub->joined && pub->access & RONBUS_ACCESS_END;
	ronbus_bus_end_if_due(bus);
	mutex_unlock(&bus->lock);

	ronbus_pub_free(pub);
	ronbus_bus_put(bus);
}

static int ronbus_pub_release(struct inode *inode, struct file *file)
{
	ronbus_pub_leave(file->private_data);
	return 0;
}

static const struct file_operations pub_fops = {
	.owner = THIS_MODULE,
	.release = ronbus_pub_release,
	.unlocked_ioctl = ronbus_pub_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.uring_cmd = ronbus_pub_uring_cmd,
	.mmap = ronbus_pub_mmap,
	.poll = ronbus_pub_poll,
	.show_fdinfo = ronbus_show_pub,
};

static int ronbus_pub_enrol(struct ronbus_pub *pub, bool mapped)
{
	struct ronbus_bus *bus = pub->bus;
	u32 id = 0;
	int err;

	lockdep_assert_held(&bus->lock);

	err = ronbus_publisher_check(bus->page, bus->publishers);
	if (err)
		return err;
	if (mapped) {
		id = ronbus_publisher_id(bus->ids, bus->ring.mask + 1);
		if (!id)
			return -ENOSPC;
		bus->ids |= BIT_ULL(id);
	}
	pub->id = id;
	bus->publishers++;
	list_add(&pub->node, &bus->pubs);
	trace_ronbus_join(bus, RONBUS_ROLE_PUBLISHER, id);
	return 0;
}

/*
 * Make a publisher for a bus fd with @access; its number is filled in. Return its file, with a
 * reference to @bus; or -EACCES, -EINVAL, -EPERM, -EBUSY, -ENOSPC, -ESHUTDOWN, -ENOMEM.
 */
struct file *ronbus_pub_join(struct ronbus_bus *bus, u32 access, struct ronbus_publisher *args)
{
	bool mapped = args->flags & RONBUS_PUBLISHER_MAPPED;
	bool bpf = args->flags & RONBUS_PUBLISHER_BPF;
	struct ronbus_pub *pub;
	struct file *file;
	int err;

	if (args->flags & ~(RONBUS_PUBLISHER_MAPPED | RONBUS_PUBLISHER_BPF) || (mapped && bpf))
		return ERR_PTR(-EINVAL);
	if (!(access & RONBUS_ACCESS_PUBLISH))
		return ERR_PTR(-EACCES);
	if ((mapped && !ronbus_bus_may_map(bus)) || (bpf && !bpf_capable()))
		return ERR_PTR(-EPERM);

	pub = kzalloc(sizeof(*pub), GFP_KERNEL_ACCOUNT);
	if (!pub)
		return ERR_PTR(-ENOMEM);
	pub->bus = bus;
	pub->access = access;
	mutex_init(&pub->lock);

	err = -ENOMEM;
	pub->bounce = kmalloc(bus->ring.payload, GFP_KERNEL_ACCOUNT);
	if (!pub->bounce)
		goto err_pub;
	err = ronbus_region_alloc(&pub->self_mem, sizeof(*pub->self));
	if (err)
		goto err_pub;
	pub->self = pub->self_mem.addr;

	mutex_lock(&bus->lock);
	err = ronbus_pub_enrol(pub, mapped);
	mutex_unlock(&bus->lock);
	if (err)
		goto err_pub;

	ronbus_bus_get(bus);
	err = bpf ? ronbus_bpf_join(pub) : 0;
	if (err) {
		ronbus_pub_leave(pub);
		return ERR_PTR(err);
	}
	args->id = pub->id;
	args->token = pub->bpf_token;
	args->clock_offset = ronbus_clock_offset();
	file = anon_inode_getfile("[ronbus-publisher]", &pub_fops, pub, O_RDWR);
	if (IS_ERR(file))
		ronbus_pub_leave(pub);
	return file;

err_pub:
	ronbus_pub_free(pub);
	return ERR_PTR(err);
}

/*
 * A program is about to get the publisher of a file from ronbus_pub_join(). A publisher that no
 * program ever had does not end the bus when it leaves.
 */
void ronbus_pub_joined(struct file *file)
{
	struct ronbus_pub *pub = file->private_data;

	pub->joined = true;
}
