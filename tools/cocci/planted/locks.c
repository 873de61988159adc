// SPDX-License-Identifier: GPL-2.0
/* For ../locks.cocci: what it has to find, and what not. */

static int bad_bus(struct ronbus_bus *bus, void __user *to, const struct ronbus_stats *stats)
{
	int err;

	mutex_lock(&bus->lock);
	err = copy_to_user(to, stats, sizeof(*stats)); /* found */
	mutex_unlock(&bus->lock);
	return err;
}

static int bad_bus_of_member(struct ronbus_pub *pub, void *block, const void __user *from)
{
	int err = -EFAULT;

	if (mutex_lock_interruptible(&pub->bus->lock))
		return -ERESTARTSYS;
	if (!copy_from_user(block, from, 64)) /* found */
		err = 0;
	mutex_unlock(&pub->bus->lock);
	return err;
}

static int bad_registry(u32 __user *to)
{
	int err;

	mutex_lock(&ronbus_registry);
	err = put_user(1, to); /* found */
	mutex_unlock(&ronbus_registry);
	return err;
}

static int bad_spin(struct ronbus_sub *sub, u64 __user *from)
{
	u64 word;

	spin_lock_irq(&sub->lock);
	if (get_user(word, from)) /* found */
		word = 0;
	spin_unlock_irq(&sub->lock);
	return word;
}

static int bad_rcu(struct ronbus_bus *bus, void __user *to)
{
	int err = 0;

	rcu_read_lock();
	if (rcu_dereference(bus->subs[0]))
		err = copy_to_user(to, "x", 1); /* found */
	rcu_read_unlock();
	return err;
}

static int bad_block(struct ronbus_bus *bus, const void __user *from)
{
	int block, err = -EFAULT;

	block = take(bus);
	if (block < 0)
		return block;
	if (!copy_from_user(ronbus_blocks_at(&bus->blocks, block), from, 64)) /* found */
		err = 0;
	done(bus, block, !err);
	return err;
}

static int good_block(struct ronbus_bus *bus, const void *copy)
{
	int block = take(bus);

	if (block < 0)
		return block;
	memcpy(ronbus_blocks_at(&bus->blocks, block), copy, 64);
	done(bus, block, true);
	return 0;
}

static int good_after(struct ronbus_bus *bus, void __user *to, struct ronbus_stats *stats)
{
	mutex_lock(&bus->lock);
	gather(bus, stats);
	mutex_unlock(&bus->lock);
	return copy_to_user(to, stats, sizeof(*stats)) ? -EFAULT : 0;
}

static int good_own(struct ronbus_pub *pub, const void __user *from)
{
	int err;

	if (mutex_lock_interruptible(&pub->lock))
		return -ERESTARTSYS;
	err = copy_from_user(pub->bounce, from, 64) ? -EFAULT : 0;
	mutex_unlock(&pub->lock);
	return err;
}

static int good_both(struct ronbus_pub *pub, const void __user *from)
{
	if (copy_from_user(pub->bounce, from, 64))
		return -EFAULT;
	spin_lock_irq(&pub->spin);
	pub->have = true;
	spin_unlock_irq(&pub->spin);
	return 0;
}
