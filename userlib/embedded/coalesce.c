// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * coalesce.c - the timer of a subscriber that coalesces, and its wake_at
 */
#include "embedded.h"

#include <sys/prctl.h>

void ronbus_backlog_move_wake_at(struct ronbus_backlog *backlog, __u64 wake_at)
{
	struct embedded_bus *bus = embedded_sub_of(backlog)->bus;
	__u64 least = RONBUS_NOT_DEFERRED;
	int i;

	if (!ronbus_backlog_set_wake_at(backlog, wake_at))
		return;
	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++)
		if (bus->subs[i] && bus->subs[i]->backlog.wake_at < least)
			least = bus->subs[i]->backlog.wake_at;
	RB_WRITE(&bus->info.wake_next, least);
}

static void wake_timer(struct embedded_timer *timer)
{
	RB_WRITE(&timer->changes, timer->changes + 1);
	embedded_futex_wake(&timer->changes);
}

bool ronbus_backlog_timer_runs(struct ronbus_backlog *backlog)
{
	return embedded_sub_of(backlog)->timer.expires;
}

void ronbus_backlog_start_timer(struct ronbus_backlog *backlog)
{
	struct embedded_timer *timer = &embedded_sub_of(backlog)->timer;

	timer->expires = ronbus_now() + backlog->delay;
	if (timer->expires < timer->alarm)
		wake_timer(timer);
}

void ronbus_backlog_cancel_timer(struct ronbus_backlog *backlog)
{
	embedded_sub_of(backlog)->timer.expires = 0;
}

static void *run_timer(void *arg)
{
	struct embedded_sub *sub = arg;
	struct embedded_timer *timer = &sub->timer;

	/* By default a sleep takes 50 us longer than it is told: half of the least delay. */
	prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0);
	ronbus_embedded_lock(sub->bus);
	while (!timer->closing) {
		__u64 until = timer->expires ? timer->expires : RONBUS_WAIT_FOREVER;
		__u32 changes = timer->changes;

		timer->alarm = until;
		if (ronbus_now() >= until) {
			timer->expires = 0;
			if (ronbus_backlog_expire(&sub->backlog))
				ronbus_embedded_wake(sub, RONBUS_WAKE_TIMER);
			continue;
		}
		ronbus_embedded_unlock(sub->bus);
		embedded_futex_until(&timer->changes, changes, until);
		ronbus_embedded_lock(sub->bus);
	}
	ronbus_embedded_unlock(sub->bus);
	return NULL;
}

static int have_timer(struct embedded_sub *sub)
{
	struct embedded_timer *timer = &sub->timer;
	int err;

	if (timer->started)
		return 0;
	timer->alarm = 0;
	timer->pid = getpid();
	err = pthread_create(&timer->thread, NULL, run_timer, sub);
	timer->started = !err;
	return -err;
}

/* With the lock of the bus. Its thread is to end, and nothing is timed any more. */
void ronbus_embedded_stop_timer(struct embedded_sub *sub)
{
	sub->timer.closing = true;
	wake_timer(&sub->timer);
}

/* Without the lock, which the thread needs to end. */
void ronbus_embedded_end_timer(struct embedded_sub *sub)
{
	struct embedded_timer *timer = &sub->timer;
	int was;

	if (!timer->started || timer->pid != getpid()) /* a child of fork() has no such thread */
		return;
	was = ronbus_cancel_hold();
	pthread_join(timer->thread, NULL);
	ronbus_cancel_release(was);
}

/* In the subscriber's own thread, and without the lock but for the number of changes. */
static struct ronbus_backlog_count count_ahead(struct embedded_sub *sub, __u32 messages)
{
	__u32 changes;

	ronbus_embedded_lock(sub->bus);
	changes = sub->backlog.changes;
	ronbus_embedded_unlock(sub->bus);
	return ronbus_backlog_count(&sub->backlog, changes, messages);
}

/* Is there enough for a subscriber that coalesces? In its own thread. */
bool ronbus_embedded_coalesced(struct embedded_sub *sub)
{
	struct ronbus_backlog *backlog = &sub->backlog;
	struct ronbus_backlog_count counted = count_ahead(sub, RB_READ(&backlog->messages));
	bool is;

	ronbus_embedded_lock(sub->bus);
	is = ronbus_backlog_look_for_many(backlog, &counted);
	ronbus_embedded_unlock(sub->bus);
	return is;
}

int ronbus_embedded_coalesce(struct ronbus_subscriber_handle *base,
			     const struct ronbus_coalesce *req)
{
	struct embedded_sub *sub = (struct embedded_sub *)base;
	int err = ronbus_coalesce_check(&sub->bus->info, req);
	struct ronbus_backlog_count counted;

	if (err)
		return err;
	counted = count_ahead(sub, req->messages);
	ronbus_embedded_lock(sub->bus);
	if (req->messages > 1)
		err = have_timer(sub);
	if (!err && ronbus_backlog_set(&sub->backlog, req, &counted))
		ronbus_embedded_wake(sub, RONBUS_WAKE_DATA);
	ronbus_embedded_unlock(sub->bus);
	return err;
}
