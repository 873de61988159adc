// SPDX-License-Identifier: GPL-2.0
/*
 * Blocks: large data that messages name. How they are used again, and what a pin is, is in
 * ronbus_blocks.h.
 *
 * The kernel alone knows which block is next, and which is being written. From memory of user space
 * it reads only pins, and a pin can do no more than keep a block of its own bus from being taken.
 *
 * The lock of the bus guards the queue of blocks (blocks_queue.h). The publisher that has taken a
 * block closes it, looks for pins, fills it and opens it without the lock.
 */
#include <linux/bitops.h>
#include <linux/pagemap.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "bus.h"
#include "ioctl.h"
#include "pub.h"
#include "sub.h"
#include "trace.h"

#define REF_SIZE sizeof(struct ronbus_block_ref)

/* Give a bus its blocks. Return 0 or -ENOMEM; then, too, ronbus_blocks_free() is due. */
int ronbus_blocks_alloc(struct ronbus_bus *bus, const struct ronbus_create *args)
{
	u32 *order;
	int err;

	if (!args->blocks)
		return 0;
	order = kvmalloc_array(args->blocks, sizeof(*order), GFP_KERNEL_ACCOUNT);
	if (!order)
		return -ENOMEM;
	ronbus_blocks_queue_fill(&bus->blocks_queue, order, args->blocks);
	err = ronbus_region_alloc(&bus->blocks_mem,
				  ronbus_blocks_bytes(args->blocks, args->block_size));
	if (err)
		return err;
	ronbus_blocks_view(&bus->blocks, bus->blocks_mem.addr, args->blocks, args->block_size);
	return 0;
}

void ronbus_blocks_free(struct ronbus_bus *bus)
{
	ronbus_region_free(&bus->blocks_mem);
	kvfree(bus->blocks_queue.order);
}

/*
 * Is a closed block pinned? A subscriber that joins meanwhile cannot pin it any more, and one that
 * leaves meanwhile reads nothing, so it is enough that their pages stay.
 */
static bool ronbus_block_pinned(const struct ronbus_bus *bus, u32 block)
{
	bool found = false;
	unsigned int i;

	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX && !found; i++) {
		const struct ronbus_sub *sub;

		rcu_read_lock();
		sub = rcu_dereference(bus->subs[i]);
		found = sub && ronbus_blocks_pinned(sub->self, block);
		rcu_read_unlock();
	}
	return found;
}

static int ronbus_block_choose(struct ronbus_bus *bus)
{
	int block;

	mutex_lock(&bus->lock);
	block = ronbus_blocks_queue_take(&bus->blocks_queue);
	bus->blocks_dropped += block < 0;
	mutex_unlock(&bus->lock);
	return block;
}

/* Give a pinned block back. If it is the @last to be looked at, the message is dropped. */
static void ronbus_block_pass_over(struct ronbus_bus *bus, u32 block, bool last)
{
	mutex_lock(&bus->lock);
	ronbus_blocks_queue_give_back(&bus->blocks_queue, block, true);
	bus->blocks_pinned++;
	bus->blocks_dropped += last;
	mutex_unlock(&bus->lock);
}

/*
 * Take the oldest block without a pin, for the caller to write. Where pins come and go at random
 * the looks may be too few, which costs messages of this bus only.
 */
static int ronbus_block_take(struct ronbus_bus *bus)
{
	u32 left = min_t(u32, bus->blocks.count, RONBUS_BLOCK_LOOKS);
	int block;

	for (;;) {
		block = ronbus_block_choose(bus);
		if (block < 0)
			return block;
		ronbus_blocks_close(&bus->blocks, block);
		if (!ronbus_block_pinned(bus, block))
			return block;
		ronbus_block_pass_over(bus, block, !--left);
		if (!left)
			return -ENOBUFS;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
}

/*
 * Give a block back. If it was published it is the newest, and taken last; otherwise it is taken
 * next. So neither publishes that fail nor one that takes long cost other messages their blocks.
 */
static void ronbus_block_give_back(struct ronbus_bus *bus, u32 block, bool published)
{
	if (!published)
		ronbus_blocks_close(&bus->blocks, block);
	mutex_lock(&bus->lock);
	ronbus_blocks_queue_give_back(&bus->blocks_queue, block, published);
	bus->blocks_published += published;
	mutex_unlock(&bus->lock);
}

/* Fill from a copy, if there is one, and never wait for memory of the program. */
static int ronbus_block_fill(void *block, const struct ronbus_publish_block *args, const void *copy)
{
	const void __user *data = u64_to_user_ptr(args->data);
	unsigned long left;

	if (copy) {
		memcpy(block, copy, args->len);
		return 0;
	}
	if (!access_ok(data, args->len))
		return -EFAULT;
	pagefault_disable();
	left = __copy_from_user_inatomic(block, data, args->len);
	pagefault_enable();
	return left ? -EFAULT : 0;
}

/* Return -EFAULT if there is no copy, and the data is not in memory. */
static int ronbus_block_put_now(struct ronbus_pub *pub, struct ronbus_publish_block *args,
				u64 audience, const void *copy)
{
	struct ronbus_bus *bus = pub->bus;
	int block, err;

	block = ronbus_block_take(bus);
	if (block < 0)
		return block;
	err = ronbus_block_fill(ronbus_blocks_at(&bus->blocks, block), args, copy);
	if (!err) {
		args->ref.block = block;
		args->ref.len = args->len;
		args->ref.generation = ronbus_blocks_open(&bus->blocks, block);
		memcpy(pub->bounce + args->event_len, &args->ref, REF_SIZE);
		err = ronbus_pub_put_bounce(pub, audience, args->topic, args->event_len + REF_SIZE);
	}
	ronbus_block_give_back(bus, block, !err);
	return err;
}

/*
 * While a block is held, nothing may be waited for that a program can delay, such as its own pages.
 * Mostly they are in memory. Otherwise the data is copied before a block is taken.
 */
static int ronbus_block_put(struct ronbus_pub *pub, struct ronbus_publish_block *args, u64 audience)
{
	const char __user *data = u64_to_user_ptr(args->data);
	void *copy;
	int err;

	/* Most data that cannot be read is found here, before another message loses its block. */
	if (fault_in_readable(data, args->len))
		return -EFAULT;
	err = ronbus_block_put_now(pub, args, audience, NULL);
	if (err != -EFAULT)
		return err;
	copy = kvmalloc(args->len, RONBUS_GFP);
	if (!copy)
		return -ENOMEM;
	if (!copy_from_user(copy, data, args->len))
		err = ronbus_block_put_now(pub, args, audience, copy);
	kvfree(copy);
	return err;
}

static int ronbus_block_publish(struct ronbus_pub *pub, struct ronbus_publish_block *args)
{
	u64 audience;
	int err = 0;

	if (mutex_lock_interruptible(&pub->lock))
		return -ERESTARTSYS;
	audience = ronbus_bus_audience(pub->bus, args->topic);
	args->receivers = hweight64(audience);
	if (copy_from_user(pub->bounce, u64_to_user_ptr(args->event), args->event_len))
		err = -EFAULT;
	if (!err && ronbus_bus_writes(pub->bus, audience))
		err = ronbus_block_put(pub, args, audience);
	if (!err) {
		ronbus_pub_count(pub, 1, audience);
		trace_ronbus_publish(pub, args->topic, 1, args->receivers);
	}
	mutex_unlock(&pub->lock);
	ronbus_trace_pub(pub);
	return err;
}

long ronbus_pub_block_ioctl(struct ronbus_pub *pub, unsigned int cmd, void __user *arg)
{
	struct ronbus_publish_block args;
	int err;

	err = ronbus_get_args(&args, sizeof(args), cmd, arg);
	if (!err)
		err = ronbus_publish_block_check(&pub->bus->blocks, pub->bus->ring.payload, &args);
	if (!err && pub->bpf_token)
		err = -EOPNOTSUPP;
	if (err)
		return err;

	/* Before anything is published: an argument that cannot be written back is an error. */
	args.receivers = 0;
	args.ref = (struct ronbus_block_ref){ 0 };
	err = ronbus_put_args(arg, cmd, &args, sizeof(args));
	if (err)
		return err;
	err = ronbus_block_publish(pub, &args);

	/* This could be written a moment ago. If it no longer can, the message is out anyway. */
	if (!err)
		(void)ronbus_put_args(arg, cmd, &args, sizeof(args));
	return err;
}
