// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * sleep.c - arming, sleeping on a futex, and being woken
 */
#include "embedded.h"

/*
 * Either the sleeper's futex call finds that seq has changed, or we find the sleeper. And a sleeper
 * that reads the new seq sees what it was changed for.
 */
static void wake_sleeper(struct embedded_sub *sub)
{
	/* barrier G, with G' in sleep_until(): cancel.pml */
	__atomic_fetch_add(&sub->seq, 1, __ATOMIC_SEQ_CST);
	RB_MB(); /* barrier F, with F' in ronbus_backlog_set_armed(): cancel.pml */
	if (RB_READ(&sub->sleepers))
		embedded_futex_wake(&sub->seq);
}

/* With the lock of the bus. The caller took the armed bit, or ended the deferring. */
void ronbus_embedded_wake(struct embedded_sub *sub, enum ronbus_wake_cause cause)
{
	sub->kernel.wakes_total[cause]++;
	RB_WRITE(&sub->polled, 0);
	wake_sleeper(sub);
	ronbus_embedded_signal(sub, cause == RONBUS_WAKE_CLOSE);
}

bool ronbus_backlog_take_armed(struct ronbus_backlog *backlog)
{
	struct embedded_sub *sub = embedded_sub_of(backlog);
	__u64 mine = 1ULL << sub->base.index;

	/*
	 * Then a sleeper is woken, or the caller looks again: barrier Q, with Q' in
	 * ronbus_backlog_set_armed(): wake.pml
	 */
	return __atomic_fetch_and(&sub->bus->info.armed, ~mine, __ATOMIC_SEQ_CST) & mine;
}

bool ronbus_backlog_set_armed(struct ronbus_backlog *backlog, bool busy)
{
	struct embedded_sub *sub = embedded_sub_of(backlog);
	__u64 mine = 1ULL << sub->base.index, *blocked = &sub->bus->info.blocked;
	bool was;

	if (busy && !(RB_READ(blocked) & mine))
		__atomic_fetch_or(blocked, mine, __ATOMIC_RELAXED);
	else if (!busy && RB_READ(blocked) & mine)
		__atomic_fetch_and(blocked, ~mine, __ATOMIC_RELAXED);
	/* After polled: barrier Q', with Q in ronbus_backlog_take_armed(): wake.pml */
	was = __atomic_fetch_or(&sub->bus->info.armed, mine, __ATOMIC_SEQ_CST) & mine;
	/*
	 * barriers D' and F', with D in ronbus_ring_commit_last() or ronbus_embedded_notify()
	 * and F in wake_sleeper(): wake.pml, interest.pml, coalesce.pml, cancel.pml
	 */
	RB_MB();
	return was;
}

bool ronbus_embedded_ready(struct embedded_sub *sub)
{
	const struct ronbus_backlog *backlog = &sub->backlog;
	struct ronbus_scan scan = ronbus_backlog_scan(backlog);

	if (ronbus_backlog_coalesces(backlog))
		return ronbus_embedded_coalesced(sub);
	return ronbus_backlog_look(backlog, &scan);
}

/* A thread that polls an fd for the bit that we have taken must hear of it from us. */
static void tell_polled(struct embedded_sub *sub)
{
	if (RB_READ(&sub->polled)) {
		RB_WRITE(&sub->polled, 0);
		ronbus_embedded_signal(sub, false);
	}
}

/* Arm or defer, unless there is enough. */
static bool arm_coalescing(struct embedded_sub *sub)
{
	bool relied, is;

	if (ronbus_embedded_coalesced(sub))
		return true;
	__atomic_fetch_add(&sub->kernel.waits_total, 1, __ATOMIC_RELAXED);
	ronbus_embedded_lock(sub->bus);
	is = ronbus_backlog_arm_for_many(&sub->backlog, &relied);
	if (is && relied)
		tell_polled(sub);
	ronbus_embedded_unlock(sub->bus);
	return is;
}

/* Arm, unless there is something. */
static bool arm(struct embedded_sub *sub)
{
	struct ronbus_backlog *backlog = &sub->backlog;
	struct ronbus_scan scan = ronbus_backlog_scan(backlog);
	bool is, relied = false;

	if (ronbus_backlog_coalesces(backlog))
		return arm_coalescing(sub);
	if (ronbus_backlog_look(backlog, &scan))
		return true;
	__atomic_fetch_add(&sub->kernel.waits_total, 1, __ATOMIC_RELAXED);
	pthread_mutex_lock(&sub->arming);
	is = ronbus_backlog_arm(backlog, &scan, &relied);
	pthread_mutex_unlock(&sub->arming);
	if (is && relied)
		tell_polled(sub);
	return is;
}

/* The thread does not sleep any more: there is @data, or it gives up. */
static void disarm(struct embedded_sub *sub, bool data)
{
	if (!data && RB_READ(&sub->polled))
		return;
	if (!data && ronbus_backlog_coalesces(&sub->backlog)) {
		ronbus_embedded_lock(sub->bus);
		ronbus_backlog_undefer(&sub->backlog);
		ronbus_embedded_unlock(sub->bus);
	}
	if (ronbus_backlog_take_armed(&sub->backlog))
		tell_polled(sub);
}

static int sleep_until(struct embedded_sub *sub, __u64 deadline, __u32 cancels)
{
	int err;

	for (;;) {
		/* barrier G', with G in wake_sleeper(): cancel.pml */
		__u32 seq = RB_LOAD_ACQUIRE(&sub->seq);

		if (arm(sub))
			return 0;
		if (RB_READ(&sub->base.cancels) != cancels)
			return -ECANCELED;
		err = embedded_futex_wait(&sub->seq, seq, deadline);
		if (ronbus_embedded_ready(sub))
			return 0;
		if (err == -ETIMEDOUT || err == -EINTR)
			return err;
	}
}

/* For a thread that is cancelled in its sleep. */
static void stop_sleeping(void *arg)
{
	struct embedded_sub *sub = arg;

	RB_WRITE(&sub->sleepers, 0);
	disarm(sub, false);
}

int ronbus_embedded_wait(struct ronbus_subscriber_handle *base, __u64 deadline, __u32 cancels)
{
	struct embedded_sub *sub = (struct embedded_sub *)base;
	int err;

	if (ronbus_embedded_ready(sub))
		return 0;
	if (deadline <= ronbus_now())
		return -ETIMEDOUT;
	RB_WRITE(&sub->sleepers, 1);
	pthread_cleanup_push(stop_sleeping, sub);
	err = sleep_until(sub, deadline, cancels);
	pthread_cleanup_pop(0);
	RB_WRITE(&sub->sleepers, 0);
	disarm(sub, !err);
	return err;
}

int ronbus_embedded_cancel(struct ronbus_subscriber_handle *base)
{
	wake_sleeper((struct embedded_sub *)base); /* a sleeper that sees seq sees the count */
	return 0;
}

int ronbus_embedded_arm(struct ronbus_subscriber_handle *base)
{
	struct embedded_sub *sub = (struct embedded_sub *)base;

	if (ronbus_embedded_ready(sub))
		return 1;
	/* What was signalled for data that is gone; if there is new data, we look for it below. */
	ronbus_embedded_signal_clear(sub);
	RB_WRITE(&sub->polled, 1);
	sub->relies = !arm(sub);
	if (sub->relies)
		return 0;
	disarm(sub, true);
	RB_WRITE(&sub->polled, 0);
	return 1;
}
