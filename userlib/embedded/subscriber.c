// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * subscriber.c - subscribers
 */
#include "embedded.h"

/* With the lock of the bus: the audience of every topic, each in one store. */
static void set_audience(struct embedded_bus *bus, __u32 index, __u64 topics)
{
	struct ronbus_info_page *info = &bus->info;
	int i;

	RB_WRITE(&info->generation, info->generation + 1);
	RB_WMB(); /* It has no partner here: programs read the table. */
	RB_WRITE(&info->members, ronbus_embedded_members(bus));
	/* After what was asked for: barrier I, with I' in ronbus_publish(): interest.pml */
	for (i = 0; i < RONBUS_TOPICS_MAX; i++)
		RB_STORE_RELEASE(&info->audience[i],
				 topics >> i & 1 ? info->audience[i] | 1ULL << index
						 : info->audience[i] & ~(1ULL << index));
	/* It has no partner here either. */
	RB_STORE_RELEASE(&info->generation, info->generation + 1);
}

/* With the lock of the bus: a subscriber is no longer found. */
static void withdraw(struct embedded_sub *sub)
{
	struct embedded_bus *bus = sub->bus;

	bus->subs[sub->base.index] = NULL;
	set_audience(bus, sub->base.index, 0);
	ronbus_backlog_take_armed(&sub->backlog);
	__atomic_fetch_and(&bus->info.blocked, ~(1ULL << sub->base.index), __ATOMIC_RELAXED);
}

/*
 * The newcomer is entered in the audience first. Then where it begins is chosen: a message that is
 * published from then on is either for the newcomer or was on its way before.
 */
static int sub_join(struct embedded_sub *sub, const struct ronbus_subscribe *req)
{
	struct embedded_bus *bus = sub->bus;
	__u32 index;
	__u64 tail;
	int err;

	for (index = 0; index < RONBUS_SUBSCRIBERS_MAX; index++)
		if (!bus->subs[index])
			break;
	if (index == RONBUS_SUBSCRIBERS_MAX)
		return -ENOSPC;
	sub->base.index = index;
	sub->base.sub.interest = ronbus_join_interest(&bus->info, req, index);
	bus->subs[index] = sub;
	set_audience(bus, index, req->topics);
	RB_MB(); /* barrier J, with J' in ronbus_armed_for() and D in commit_last(): join.pml */

	tail = ronbus_ring_tail(&bus->ring);
	sub->base.sub.interest.joined = ronbus_joined(bus->info.flags, tail);
	err = ronbus_start_position(req, bus->info.capacity, tail, &sub->start);
	if (err) {
		withdraw(sub);
		return err;
	}
	RB_WRITE(&sub->self.cursor, sub->start);
	/* After the members: see ronbus_embedded_pub_wait(). It has no partner in a model. */
	RB_STORE_RELEASE(&bus->joins, bus->joins + 1);
	embedded_futex_wake(&bus->joins);
	if (bus->autotuned_for &&
	    __builtin_popcountll(ronbus_embedded_members(bus)) > (int)bus->autotuned_for)
		ronbus_embedded_autotune_warn(bus, RONBUS_AUTOTUNE_SUBSCRIBERS);
	return 0;
}

int ronbus_embedded_subscribe(struct ronbus *base, const struct ronbus_subscribe *req,
			      struct ronbus_subscriber_handle **ret)
{
	struct embedded_handle *handle = (struct embedded_handle *)base;
	struct embedded_bus *bus = handle->bus;
	struct embedded_sub *sub;
	int err;

	if (!(handle->access & RONBUS_ACCESS_SUBSCRIBE))
		return -EACCES;
	err = ronbus_subscribe_check(bus->info.features, req);
	if (err)
		return err;
	sub = ronbus_zalloc(sizeof(*sub));
	if (!sub)
		return -ENOMEM;
	sub->bus = bus;
	sub->own_fd = -1;
	sub->user_fd = -1;
	sub->backlog = (struct ronbus_backlog){
		.ring = &sub->base.sub.ring,
		.page = &bus->info,
		.self = &sub->self,
		.interest = &sub->base.sub.interest,
		.wake_at = RONBUS_NOT_DEFERRED,
	};
	pthread_mutex_init(&sub->arming, NULL);
	sub->base.sub.ring = bus->ring;
	sub->base.sub.info = &bus->info;
	sub->base.sub.self = &sub->self;
	sub->base.blocks = bus->blocks;

	ronbus_embedded_lock(bus);
	err = sub_join(sub, req);
	ronbus_embedded_unlock(bus);
	if (err) {
		free(sub);
		return err;
	}
	ronbus_embedded_bus_get(bus);
	*ret = &sub->base;
	return 0;
}

void ronbus_embedded_sub_close(struct ronbus_subscriber_handle *base)
{
	struct embedded_sub *sub = (struct embedded_sub *)base;
	struct embedded_bus *bus = sub->bus;

	/* Subscribers are found under the lock of the bus: this one no longer is, or timed. */
	ronbus_embedded_lock(bus);
	ronbus_embedded_stop_timer(sub);
	ronbus_backlog_undefer(&sub->backlog);
	withdraw(sub);
	ronbus_embedded_add_sub(&bus->past, sub);
	ronbus_embedded_unlock(bus);
	ronbus_embedded_end_timer(sub);
	pthread_mutex_destroy(&sub->arming);
	ronbus_embedded_close_fds(sub);
	free(sub);
	ronbus_embedded_bus_put(bus, false);
}

void ronbus_embedded_sub_abandon(struct ronbus_subscriber_handle *base)
{
	struct embedded_sub *sub = (struct embedded_sub *)base;

	ronbus_embedded_close_fds(sub);
	ronbus_embedded_bus_put(sub->bus, true);
	free(sub);
}

/*
 * With the lock of the bus. Of a topic that was @added there may be a message already: a thread
 * that polls for the subscriber is to look again.
 */
static void look_again(struct embedded_sub *sub, bool added)
{
	bool armed;

	ronbus_backlog_recount(&sub->backlog);
	if (!added)
		return;
	armed = ronbus_backlog_take_armed(&sub->backlog);
	if (ronbus_backlog_undefer(&sub->backlog) || armed)
		ronbus_embedded_wake(sub, RONBUS_WAKE_DATA);
}

int ronbus_embedded_set_topics(struct ronbus_subscriber_handle *base, __u64 topics)
{
	struct embedded_sub *sub = (struct embedded_sub *)base;
	struct ronbus_interest *mine = &base->sub.interest;
	bool added = topics & ~mine->topics;

	ronbus_embedded_lock(sub->bus);
	RB_WRITE(&mine->topics, topics);
	set_audience(sub->bus, base->index, topics);
	look_again(sub, added);
	ronbus_embedded_unlock(sub->bus);
	return 0;
}
