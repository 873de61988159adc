// SPDX-License-Identifier: GPL-2.0
/*
 * Blocks: large data that messages name. How they are used again, and what a pin is, is in
 * ronbus_blocks.h.
 *
 * Which block is next, and which one is being written, is the kernel's own; of user space's memory
 * only pins are looked at, and all that they can do is to have a block of their own bus left alone.
 */
#include <linux/bitmap.h>
#include <linux/err.h>
#include <linux/log2.h>
#include <linux/pagemap.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "internal.h"
#include "trace.h"

#define REF_SIZE sizeof(struct ronbus_block_ref)

/**
 * ronbus_blocks_check() - can a bus have such blocks
 * @args: what is asked for; defaults are filled in; the capacity is there already
 *
 * Return: 0 or -EINVAL.
 */
int ronbus_blocks_check(struct ronbus_create *args)
{
	if (!(args->features & RONBUS_F_BLOCKS))
		return args->block_size || args->blocks ? -EINVAL : 0;
	if (!args->block_size)
		args->block_size = RONBUS_BLOCK_SIZE_DEFAULT;
	if (!args->blocks)
		args->blocks = min(args->capacity, RONBUS_BLOCKS_MAX);
	if (args->block_size % RONBUS_BLOCK_SIZE_MIN || args->block_size > RONBUS_BLOCK_SIZE_MAX ||
	    args->blocks > RONBUS_BLOCKS_MAX || args->payload < REF_SIZE ||
	    ronbus_blocks_bytes(args->blocks, args->block_size) > RONBUS_BLOCKS_BYTES_MAX)
		return -EINVAL;
	return 0;
}

/**
 * ronbus_blocks_alloc() - give a bus its blocks
 * @bus: the bus
 * @args: what was asked for, checked
 *
 * Return: 0 or -ENOMEM; then, too, ronbus_blocks_free() is due.
 */
int ronbus_blocks_alloc(struct ronbus_bus *bus, const struct ronbus_create *args)
{
	int err;

	if (!args->blocks)
		return 0;
	bus->blocks_written = bitmap_zalloc(args->blocks, GFP_KERNEL_ACCOUNT);
	if (!bus->blocks_written)
		return -ENOMEM;
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
	bitmap_free(bus->blocks_written);
}

static bool pinned(const struct ronbus_bus *bus, u32 block)
{
	unsigned int i;

	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++) {
		const struct ronbus_sub *sub =
			rcu_dereference_protected(bus->subs[i], lockdep_is_held(&bus->lock));

		if (sub && ronbus_blocks_pinned(sub->self, block))
			return true;
	}
	return false;
}

/*
 * The oldest block that nobody has pinned, for the caller to write. No more blocks can be pinned
 * than there are words for pins, so that many are asked and one; who pins and unpins at random can
 * make that too few for his own bus.
 */
static int take(struct ronbus_bus *bus)
{
	u32 block, left = bus->blocks.count, tries;

	mutex_lock(&bus->lock);
	tries = RONBUS_PINS_MAX * hweight64(bus->members) + 1;
	for (; left && tries; left--) {
		block = bus->blocks_next;
		bus->blocks_next = block + 1 < bus->blocks.count ? block + 1 : 0;
		if (test_bit(block, bus->blocks_written))
			continue;
		ronbus_blocks_close(&bus->blocks, block);
		if (!pinned(bus, block)) {
			__set_bit(block, bus->blocks_written);
			mutex_unlock(&bus->lock);
			return block;
		}
		bus->blocks_pinned++;
		tries--;
	}
	bus->blocks_dropped++;
	mutex_unlock(&bus->lock);
	return -ENOBUFS;
}

/* It was published, or it was not: then it is the next to be taken, for nobody needs it. */
static void done(struct ronbus_bus *bus, u32 block, bool published)
{
	mutex_lock(&bus->lock);
	__clear_bit(block, bus->blocks_written);
	if (published) {
		bus->blocks_published++;
	} else {
		ronbus_blocks_close(&bus->blocks, block);
		bus->blocks_next = block;
	}
	mutex_unlock(&bus->lock);
}

static int put_block(struct ronbus_pub *pub, struct ronbus_publish_block *args, u64 audience)
{
	const char __user *data = u64_to_user_ptr(args->data);
	struct ronbus_bus *bus = pub->bus;
	int block, err = -EFAULT;

	/* Before a block is taken from the message that has it: most of what cannot be read. */
	if (fault_in_readable(data, args->len))
		return -EFAULT;
	block = take(bus);
	if (block < 0)
		return block;
	if (!copy_from_user(ronbus_blocks_at(&bus->blocks, block), data, args->len)) {
		args->ref.block = block;
		args->ref.len = args->len;
		args->ref.generation = ronbus_blocks_open(&bus->blocks, block);
		memcpy(pub->bounce + args->event_len, &args->ref, REF_SIZE);
		err = ronbus_put_bounce(pub, audience, args->topic, args->event_len + REF_SIZE);
	}
	done(bus, block, !err);
	return err;
}

static int check_publish(const struct ronbus_pub *pub, const struct ronbus_publish_block *args)
{
	const struct ronbus_bus *bus = pub->bus;

	if (args->topic >= RONBUS_TOPICS_MAX || args->flags || args->pad || !args->len)
		return -EINVAL;
	if (!bus->blocks.count || pub->bpf_id)
		return -EOPNOTSUPP;
	if (args->len > bus->blocks.size || args->event_len > bus->ring.payload - REF_SIZE)
		return -EMSGSIZE;
	return 0;
}

static int publish_block(struct ronbus_pub *pub, struct ronbus_publish_block *args)
{
	u64 audience;
	int err = 0;

	if (mutex_lock_interruptible(&pub->lock))
		return -ERESTARTSYS;
	audience = ronbus_bus_audience(pub->bus, args->topic);
	args->receivers = hweight64(audience);
	if (copy_from_user(pub->bounce, u64_to_user_ptr(args->event), args->event_len))
		err = -EFAULT;
	if (!err && audience)
		err = put_block(pub, args, audience);
	if (!err) {
		ronbus_count_published(pub, 1, audience);
		trace_ronbus_publish(pub, args->topic, 1, args->receivers);
	}
	mutex_unlock(&pub->lock);
	ronbus_trace_pub(pub);
	return err;
}

/**
 * ronbus_publish_block_ioctl() - RONBUS_IOC_PUBLISH_BLOCK
 * @pub: the publisher
 * @cmd: the ioctl
 * @arg: its argument
 */
long ronbus_publish_block_ioctl(struct ronbus_pub *pub, unsigned int cmd, void __user *arg)
{
	struct ronbus_publish_block args;
	int err;

	err = ronbus_get_args(&args, sizeof(args), cmd, arg);
	if (!err)
		err = check_publish(pub, &args);
	if (err)
		return err;

	/* Before anything is published: an argument that cannot be written back is an error. */
	args.receivers = 0;
	args.ref = (struct ronbus_block_ref){ 0 };
	err = ronbus_put_args(arg, cmd, &args, sizeof(args));
	if (err)
		return err;
	err = publish_block(pub, &args);

	/* It could be written a moment ago. If it no longer can, what was published still is. */
	if (!err)
		(void)ronbus_put_args(arg, cmd, &args, sizeof(args));
	return err;
}
