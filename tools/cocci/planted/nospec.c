// SPDX-License-Identifier: GPL-2.0
/* For ../nospec.cocci: what it has to find, and what not. */

static const struct ronbus_sub *bad_refused(struct ronbus_bus *bus, u32 index)
{
	if (index >= RONBUS_SUBSCRIBERS_MAX)
		return NULL;
	return rcu_dereference(bus->subs[index]); /* found */
}

static u64 bad_argument(struct ronbus_bus *bus, const struct ronbus_publish *args)
{
	return READ_ONCE(bus->page->audience[args->topic]); /* found */
}

static const struct ronbus_sub *bad_changed(struct ronbus_bus *bus, u32 index, u32 other)
{
	index = array_index_nospec(index, RONBUS_SUBSCRIBERS_MAX);
	index = other;
	return rcu_dereference(bus->subs[index]); /* found */
}

static const struct ronbus_sub *good_clamped(struct ronbus_bus *bus, u32 index)
{
	if (index >= RONBUS_SUBSCRIBERS_MAX)
		return NULL;
	index = array_index_nospec(index, RONBUS_SUBSCRIBERS_MAX);
	return rcu_dereference(bus->subs[index]);
}

static u64 good_at_once(struct ronbus_bus *bus, u32 topic)
{
	return READ_ONCE(bus->page->audience[array_index_nospec(topic, RONBUS_TOPICS_MAX)]);
}

static u64 good_loop(struct ronbus_bus *bus)
{
	u64 least = ~0ULL;
	unsigned int i;

	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++) {
		const struct ronbus_sub *sub = rcu_dereference(bus->subs[i]);

		if (sub)
			least = min(least, sub->start);
	}
	return least;
}

static void good_own(struct ronbus_bus *bus, struct ronbus_sub *sub)
{
	RCU_INIT_POINTER(bus->subs[sub->index], NULL);
}

static struct ronbus_sub *good_bit(struct ronbus_bus *bus, u64 mask)
{
	unsigned int i = __ffs64(mask);

	return rcu_dereference(bus->subs[i]);
}
