// SPDX-License-Identifier: GPL-2.0
/* For ../free.cocci: what it has to find, and what not. */

static void bad_at_once(struct ronbus_sub *sub)
{
	kfree(sub->bounce); /* found */
	ronbus_region_free(&sub->self_mem); /* found */
	kfree_rcu(sub, rcu);
}

static void bad_after_leaving(struct ronbus_sub *sub)
{
	if (!sub->dead)
		kfree(sub); /* found */
}

static void bad_taken_out(struct ronbus_bus *bus, unsigned int i, void *other)
{
	RCU_INIT_POINTER(bus->subs[i], NULL);
	trace(bus);
	kfree(other); /* found */
}

static void bad_erased(struct ronbus_pub *pub)
{
	xa_erase(&publishers, pub->index);
	if (pub->bounce)
		kvfree(pub); /* found */
}

static void good_callback(struct work_struct *work)
{
	struct ronbus_sub *sub = container_of(to_rcu_work(work), struct ronbus_sub, free_work);

	ronbus_region_free(&sub->self_mem);
	kfree(sub->bounce);
	kfree(sub);
}

static void good_old_callback(struct rcu_head *rcu)
{
	struct ronbus_sub *sub = container_of(rcu, struct ronbus_sub, rcu);

	kfree(sub);
}

static void good_waits(struct ronbus_pub *pub)
{
	xa_erase(&publishers, pub->index);
	synchronize_rcu();
	kfree(pub);
}

static void good_later(struct ronbus_bus *bus, struct ronbus_sub *sub)
{
	RCU_INIT_POINTER(bus->subs[sub->index], NULL);
	queue_rcu_work(workqueue, &sub->free_work);
}
