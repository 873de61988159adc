// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * receive.c - receiving, where the inlines do not
 *
 * A subscriber reads the position at its cursor, in steps:
 *
 *	1. Look whether a message is there. If none is: step over a hole or over messages for others
 *	   and look again, or report a loss, the end, or that there is nothing yet.
 *	2. Copy it.
 *	3. Look whether it was whole all the time. If it was not, it has been overtaken: look again.
 *	4. Move the cursor and count.
 *
 * A program has these inline for a message that is there, in slots without a time and on a bus
 * without RONBUS_F_INTEREST. Everything else is here.
 */
#include "internal.h"

/* ---- find the next message ---------------------------------------------------------- */

static void skip(struct ronbus_sub *sub, __u64 pos, __u64 *counter)
{
	RB_WRITE(&sub->self->cursor, pos + 1);
	__ronbus_bump(counter, 1);
}

/* Messages from @pos up to before @next are for others. */
__RONBUS_PART void pass(struct ronbus_sub *sub, __u64 pos, __u64 next)
{
	if (pos == next)
		return;
	RB_WRITE(&sub->self->cursor, next);
	__ronbus_bump(&sub->self->filtered, next - pos);
}

static int report_lag(struct ronbus_sub *sub, struct ronbus_msg *msg, __u64 from, __u64 to)
{
	struct ronbus_self *self = sub->self;

	RB_WRITE(&self->cursor, to);
	__ronbus_bump(&self->lags, 1);
	__ronbus_bump(&self->lost, to - from);
	__RONBUS_PROBE(3, lag, sub, to, to - from);
	*msg = (struct ronbus_msg){ .position = to, .lost = to - from };
	return RONBUS_LAGGED;
}

/*
 * Step over messages for others, quickly: to the first position with something else, or a lap. What
 * it is is not said.
 */
static __attribute__((noinline)) void scan(struct ronbus_sub *sub)
{
	const struct ronbus_ring ring = sub->ring;
	const struct ronbus_interest mine = sub->interest;
	__u64 first = RB_READ(&sub->self->cursor), pos = first;
	__u32 unwanted;

	do {
		unwanted = ronbus_ring_run_unwanted(&ring, pos, &mine);
		pos += unwanted;
	} while (unwanted && pos - first <= ring.mask);
	pass(sub, first, pos);
}

/* Whose message is it? 1: ours; 0: somebody else's; -1: it changed while we looked. */
__RONBUS_PART int for_us(const struct ronbus_sub *sub, const struct ronbus_ring *ring, __u64 pos,
			 struct ronbus_seen seen)
{
	int wanted = ronbus_ring_wanted(ring, pos, seen, &sub->interest);

	return ronbus_ring_unchanged(ring, pos, seen) ? wanted : -1;
}

/* One position: what ronbus_try_recv() returns, or 1 with what was seen, or -EALREADY to go on. */
__RONBUS_PART int next_once(struct ronbus_sub *sub, const struct ronbus_ring *ring,
			    struct ronbus_msg *msg, union ronbus_found *found, __u64 filter)
{
	__u64 pos = RB_READ(&sub->self->cursor);
	/* Before the ring: barrier E', with E where the kernel ends the bus: end.pml */
	__u32 status = RB_LOAD_ACQUIRE(&sub->info->status);

	switch (ronbus_ring_look(ring, pos, found)) {
	case RONBUS_LOOK_READY:
		switch (filter ? for_us(sub, ring, pos, found->seen) : 1) {
		case 1:
			return RONBUS_MESSAGE;
		case 0:
			skip(sub, pos, &sub->self->filtered);
		}
		return -EALREADY;
	case RONBUS_LOOK_HOLE:
		skip(sub, pos, &sub->self->holes);
		return -EALREADY;
	case RONBUS_LOOK_LAGGED:
		return report_lag(sub, msg, pos, found->next);
	case RONBUS_LOOK_EMPTY:
	default:
		return status & RONBUS_STATUS_ENDED ? RONBUS_CLOSED : -EAGAIN;
	}
}

/*
 * Find the next message for us: RONBUS_MESSAGE, at the cursor and with what was seen, or what
 * ronbus_try_recv() returns.
 */
__RONBUS_PART int next_in(struct ronbus_sub *sub, struct ronbus_msg *msg, union ronbus_found *found,
			  __u32 layout, __u32 timed, __u64 filter)
{
	const struct ronbus_ring ring = __ronbus_view(&sub->ring, layout, timed);

	/*
	 * A ring that others write may show anything, so this loop is bounded. A caller that wants
	 * to sleep on the -EAGAIN is told that there is something to look at.
	 */
	__u32 budget = ring.mask + 2;
	int ret;

	do {
		ret = next_once(sub, &ring, msg, found, filter);
	} while (ret == -EALREADY && --budget);
	return ret == -EALREADY ? -EAGAIN : ret;
}

/* Apart, for the others need not pay for what these do. */
static __attribute__((noinline)) int next_slow_path(struct ronbus_sub *sub, struct ronbus_msg *msg,
						    union ronbus_found *found)
{
	return next_in(sub, msg, found, sub->ring.layout, sub->ring.timed, sub->interest.bit);
}

static inline int next(struct ronbus_sub *sub, struct ronbus_msg *msg, union ronbus_found *found)
{
	if (RB_UNLIKELY(sub->slow_path)) {
		if (sub->interest.bit)
			scan(sub);
		return next_slow_path(sub, msg, found);
	}
	return next_in(sub, msg, found, RONBUS_LAYOUT_SLOTS, 0, 0);
}

/*
 * Overwritten under our hands. A look says how much is lost; should it find the message after
 * all, the ring is being tampered with, and the next call may try again.
 */
static int overtaken(struct ronbus_sub *sub, struct ronbus_msg *msg)
{
	union ronbus_found found;
	int ret = next(sub, msg, &found);

	return ret == RONBUS_MESSAGE ? -EAGAIN : ret;
}

/* ---- take a message that is there --------------------------------------------------- */

/* The message at the cursor. Apart, so that finding none saves no registers. */
static __attribute__((noinline)) int take_found(struct ronbus_sub *sub, void *buf, size_t size,
						struct ronbus_msg *msg, struct ronbus_seen seen)
{
	const struct ronbus_ring *ring = &sub->ring;
	__u64 pos = RB_READ(&sub->self->cursor);
	const struct ronbus_words at = ronbus_ring_at(ring, pos);
	__u32 len = __ronbus_describe(ring, &at, pos, seen, msg);

	if (len <= size)
		ronbus_copy_out(buf, ronbus_words_payload(&at, seen), len);
	if (!ronbus_ring_unchanged(ring, pos, seen))
		return overtaken(sub, msg);
	msg->data = buf;
	if (len > size)
		return -EMSGSIZE;
	__ronbus_delivered(sub, pos, pos + 1);
	return RONBUS_MESSAGE;
}

/* The lengths that most programs know when they are compiled, the library knows, too. */
__RONBUS_PART int take_of_size(const struct ronbus_ring *ring, __u64 pos, struct ronbus_seen seen,
			       void *buf, size_t size, struct ronbus_msg *msg)
{
	switch (size) {
	case 8:
		return __ronbus_take(ring, pos, seen, buf, 8, msg);
	case 32:
		return __ronbus_take(ring, pos, seen, buf, 32, msg);
	default:
		return __ronbus_take(ring, pos, seen, buf, size, msg);
	}
}

/*
 * With INTEREST: the next message for us if nothing but messages for others is before it. Returns
 * whether it was taken. If the state has not changed after the copy, the copy is whole, and so is
 * the answer whether the message is for us.
 */
__RONBUS_PART int take_wanted(struct ronbus_sub *sub, __u32 layout, __u32 timed, void *buf,
			      size_t size, struct ronbus_msg *msg)
{
	const struct ronbus_ring ring = __ronbus_view(&sub->ring, layout, timed);
	const struct ronbus_interest mine = sub->interest;
	__u64 first = RB_READ(&sub->self->cursor), pos = first;
	struct ronbus_seen seen;
	int taken = 0;
	__u32 unwanted;

	while (ronbus_ring_ready(&ring, pos, &seen)) {
		if (ronbus_ring_wanted(&ring, pos, seen, &mine)) {
			taken = take_of_size(&ring, pos, seen, buf, size, msg);
			break;
		}
		unwanted = ronbus_ring_run_unwanted(&ring, pos, &mine);
		pos += unwanted;
		if (!unwanted || pos - first > ring.mask)
			break;
	}
	pass(sub, first, pos);
	if (taken)
		__ronbus_delivered(sub, pos, pos + 1);
	return taken;
}

/* What the inlines do for slots without a time: a message that is there. */
__RONBUS_PART int take_next(struct ronbus_sub *sub, __u32 layout, __u32 timed, void *buf,
			    size_t size, struct ronbus_msg *msg)
{
	const struct ronbus_ring ring = __ronbus_view(&sub->ring, layout, timed);
	__u64 pos = RB_READ(&sub->self->cursor);
	struct ronbus_seen seen;

	if (!ronbus_ring_ready(&ring, pos, &seen) ||
	    !take_of_size(&ring, pos, seen, buf, size, msg))
		return 0;
	__ronbus_delivered(sub, pos, pos + 1);
	return 1;
}

/* Arrays, topics and a time: what is common has code of its own, in which nothing is asked. */
__RONBUS_PART int take_slow_path(struct ronbus_sub *sub, void *buf, size_t size,
				 struct ronbus_msg *msg)
{
	const __u32 layout = sub->ring.layout;

	if (!sub->interest.bit && !sub->ring.timed)
		return take_next(sub, RONBUS_LAYOUT_ARRAYS, 0, buf, size, msg);
	if (!sub->interest.bit)
		return take_next(sub, layout, 1, buf, size, msg);
	if (layout == RONBUS_LAYOUT_SLOTS && !sub->ring.timed)
		return take_wanted(sub, RONBUS_LAYOUT_SLOTS, 0, buf, size, msg);
	return take_wanted(sub, layout, sub->ring.timed, buf, size, msg);
}

/*
 * With an array of states: as many messages as one of its lines has, with one barrier. Returns
 * how many are whole, copied to @to with @size bytes for each.
 */
__RONBUS_PART unsigned int take_run(const struct ronbus_ring *ring, __u64 pos, unsigned int most,
				    char *to, size_t size, struct ronbus_msg *msgs)
{
	const struct ronbus_words at = ronbus_ring_at(ring, pos);
	struct ronbus_seen seen[RONBUS_RUN];
	__u32 i, count;

	count = ronbus_ring_run(ring, &at, pos, ronbus_run_length(ring, pos, most), seen);
	for (i = 0; i < count; i++)
		if (!__ronbus_copy(ring, ronbus_run_at(ring, &at, i), pos + i, seen[i],
				   to + i * size, size, &msgs[i]))
			break;
	return ronbus_ring_run_unchanged(ring, &at, i, seen);
}

/* Is this read as take_run() does? Messages with a time are taken one by one. */
static inline bool in_runs(const struct ronbus_sub *sub)
{
	return sub->ring.layout == RONBUS_LAYOUT_ARRAYS && !sub->ring.timed;
}

/* ---- what the inlines leave to the library ------------------------------------------ */

/* What the inlines do for slots: a message that is there. The rest as below. */
static __attribute__((noinline)) int try_recv_slow_path(struct ronbus_sub *sub, void *buf,
							size_t size, struct ronbus_msg *msg)
{
	union ronbus_found found;
	int ret;

	if (RB_UNLIKELY(ronbus_is_dead(sub)))
		return -EOWNERDEAD;
	ret = take_slow_path(sub, buf, size, msg);
	if (ret)
		return RONBUS_MESSAGE;
	ret = next_slow_path(sub, msg, &found);
	return ret == RONBUS_MESSAGE ? take_found(sub, buf, size, msg, found.seen) : ret;
}

int __ronbus_try_recv(struct ronbus_sub *sub, void *buf, size_t size, struct ronbus_msg *msg)
{
	union ronbus_found found;
	int ret;

	if (RB_UNLIKELY(sub->slow_path))
		return try_recv_slow_path(sub, buf, size, msg);
	ret = next_in(sub, msg, &found, RONBUS_LAYOUT_SLOTS, 0, 0);
	return ret == RONBUS_MESSAGE ? take_found(sub, buf, size, msg, found.seen) : ret;
}

__RONBUS_PART int many_of(struct ronbus_sub *sub, char *to, size_t size, struct ronbus_msg *msgs,
			  unsigned int count)
{
	const struct ronbus_ring ring = __ronbus_view(&sub->ring, RONBUS_LAYOUT_ARRAYS, 0);
	__u64 pos = RB_READ(&sub->self->cursor);
	unsigned int some, done = 0;

	do {
		some = take_run(&ring, pos + done, count - done, to + done * size, size,
				msgs + done);
		done += some;
	} while (some && done < count);
	if (done)
		__ronbus_delivered(sub, pos, pos + done);
	return (int)done;
}

static int many_from_arrays(struct ronbus_sub *sub, void *buf, size_t size, struct ronbus_msg *msgs,
			    unsigned int count)
{
	switch (size) {
	case 8:
		return many_of(sub, buf, 8, msgs, count);
	case 32:
		return many_of(sub, buf, 32, msgs, count);
	default:
		return many_of(sub, buf, size, msgs, count);
	}
}

int __ronbus_recv_many(struct ronbus_sub *sub, void *buf, size_t size, struct ronbus_msg *msgs,
		       unsigned int count)
{
	char *to = buf;
	int done = 0, ret = -EINVAL;

	if (in_runs(sub) && !sub->interest.bit && !ronbus_is_dead(sub))
		done = many_from_arrays(sub, buf, size, msgs, count);
	if (done)
		return done;
	for (; (unsigned int)done < count; done++, to += size) {
		ret = ronbus_try_recv(sub, to, size, &msgs[done]);
		if (ret <= 0)
			break;
	}
	return done ? done : ret;
}

int __ronbus_peek(struct ronbus_sub *sub, struct ronbus_msg *msg)
{
	const struct ronbus_ring *ring = &sub->ring;
	union ronbus_found found;
	struct ronbus_words at;
	__u64 pos;
	int ret;

	if (RB_UNLIKELY(ronbus_is_dead(sub)))
		return -EOWNERDEAD;
	ret = next(sub, msg, &found);
	if (ret != RONBUS_MESSAGE)
		return ret;
	pos = RB_READ(&sub->self->cursor);
	at = ronbus_ring_at(ring, pos);
	__ronbus_describe(ring, &at, pos, found.seen, msg);
	if (!ronbus_ring_unchanged(ring, pos, found.seen))
		return overtaken(sub, msg);
	msg->data = ronbus_words_payload(&at, found.seen);
	sub->peek_position = pos;
	sub->peek_state = found.seen.state;
	sub->peek_word = at.state;
	return RONBUS_MESSAGE;
}

/* ---- several at a time -------------------------------------------------------------- */

__RONBUS_PART int drain_of(struct ronbus_sub *sub, ronbus_drain_fn fn, void *arg,
			   unsigned int budget, size_t size)
{
	void *buffer = ronbus_subscriber_of(sub)->buffer;
	int done = 0, ret = 0;

	while ((unsigned int)done < budget) {
		struct ronbus_msg msg;

		ret = ronbus_try_recv(sub, buffer, size, &msg);
		if (ret <= 0)
			break;
		done++;
		if (fn(arg, ret, &msg))
			break;
	}
	return done ? done : ret;
}

/*
 * With INTEREST: of a run of messages first those that are for us are found, and then taken one by
 * one. What is gone by then, or no message, or of another length, is left to __ronbus_try_recv().
 */
__RONBUS_PART int drain_wanted_of(struct ronbus_sub *sub, ronbus_drain_fn fn, void *arg,
				  unsigned int budget, __u32 layout, __u32 timed, size_t size)
{
	const struct ronbus_ring ring = __ronbus_view(&sub->ring, layout, timed);
	void *buffer = ronbus_subscriber_of(sub)->buffer;
	struct ronbus_msg msg;
	unsigned int done = 0;

	while (done < budget) {
		const __u64 first = RB_READ(&sub->self->cursor);
		const struct ronbus_words at = ronbus_ring_at(&ring, first);
		struct ronbus_seen seen[RONBUS_RUN];
		__u64 next = first;
		__u32 wanted, count;
		int ret;

		count = ronbus_ring_run_wanted(&ring, first, &sub->interest, seen, &wanted);
		for (; wanted && done < budget; wanted &= wanted - 1) {
			__u32 i = (__u32)__builtin_ctz(wanted);
			const struct ronbus_words its = ronbus_run_at(&ring, &at, i);

			pass(sub, next, first + i);
			next = first + i;
			if (!__ronbus_copy(&ring, its, next, seen[i], buffer, size, &msg) ||
			    !ronbus_state_unchanged(its.state, seen[i].state))
				break;
			__ronbus_delivered(sub, next, next + 1);
			next++;
			done++;
			if (fn(arg, RONBUS_MESSAGE, &msg))
				return (int)done;
		}
		if (count && !wanted) {
			pass(sub, next, first + count);
			continue;
		}
		if (done == budget)
			break;
		ret = __ronbus_try_recv(sub, buffer, size, &msg);
		if (ret <= 0)
			return done ? (int)done : ret;
		done++;
		if (fn(arg, ret, &msg))
			break;
	}
	return (int)done;
}

static __attribute__((noinline)) int drain_wanted(struct ronbus_sub *sub, ronbus_drain_fn fn,
						  void *arg, unsigned int budget)
{
	const __u32 layout = sub->ring.layout, payload = sub->ring.payload;

	if (layout != RONBUS_LAYOUT_SLOTS || sub->ring.timed)
		return drain_wanted_of(sub, fn, arg, budget, layout, sub->ring.timed, payload);
	switch (payload) {
	case 8:
		return drain_wanted_of(sub, fn, arg, budget, RONBUS_LAYOUT_SLOTS, 0, 8);
	case 32:
		return drain_wanted_of(sub, fn, arg, budget, RONBUS_LAYOUT_SLOTS, 0, 32);
	default:
		return drain_wanted_of(sub, fn, arg, budget, RONBUS_LAYOUT_SLOTS, 0, payload);
	}
}

__RONBUS_PART int drain_runs(struct ronbus_sub *sub, ronbus_drain_fn fn, void *arg,
			     unsigned int budget, size_t size)
{
	const struct ronbus_ring ring = __ronbus_view(&sub->ring, RONBUS_LAYOUT_ARRAYS, 0);
	char *buffer = ronbus_subscriber_of(sub)->buffer;
	struct ronbus_msg msgs[RONBUS_RUN];
	unsigned int done = 0;

	while (done < budget) {
		__u64 pos = RB_READ(&sub->self->cursor);
		unsigned int i, count = take_run(&ring, pos, budget - done, buffer, size, msgs);
		int ret = RONBUS_MESSAGE;

		if (!count) {
			ret = __ronbus_try_recv(sub, buffer, size, msgs);
			if (ret <= 0)
				return done ? (int)done : ret;
			done++;
			if (fn(arg, ret, msgs))
				break;
			continue;
		}
		for (i = 0; i < count; i++) {
			__ronbus_delivered(sub, pos + i, pos + i + 1);
			done++;
			if (fn(arg, ret, &msgs[i]))
				return (int)done;
		}
	}
	return (int)done;
}

static __attribute__((noinline)) int drain_arrays(struct ronbus_sub *sub, ronbus_drain_fn fn,
						  void *arg, unsigned int budget)
{
	switch (sub->ring.payload) {
	case 8:
		return drain_runs(sub, fn, arg, budget, 8);
	case 32:
		return drain_runs(sub, fn, arg, budget, 32);
	default:
		return drain_runs(sub, fn, arg, budget, sub->ring.payload);
	}
}

/* On most buses all messages are as long as they can be, and that is one of a few lengths. */
static int drain(struct ronbus_sub *sub, ronbus_drain_fn fn, void *arg, unsigned int budget)
{
	if (RB_UNLIKELY(ronbus_is_dead(sub)))
		return -EOWNERDEAD;
	if (RB_UNLIKELY(sub->interest.bit))
		return drain_wanted(sub, fn, arg, budget);
	if (RB_UNLIKELY(in_runs(sub)))
		return drain_arrays(sub, fn, arg, budget);
	switch (sub->ring.payload) {
	case 8:
		return drain_of(sub, fn, arg, budget, 8);
	case 32:
		return drain_of(sub, fn, arg, budget, 32);
	default:
		return drain_of(sub, fn, arg, budget, sub->ring.payload);
	}
}

/* ---- sleep if there is nothing ------------------------------------------------------ */

/* A wait may find something, but nothing for us, and it may go on like that. */
static bool past(__u64 deadline)
{
	return deadline != RONBUS_WAIT_FOREVER && ronbus_now() >= deadline;
}

int ronbus_recv(struct ronbus_sub *sub, void *buf, size_t size, struct ronbus_msg *msg,
		int64_t timeout_ns)
{
	__u32 cancels = ronbus_cancels(sub);
	int ret = ronbus_try_recv(sub, buf, size, msg);
	__u64 deadline;

	if (RB_LIKELY(ret != -EAGAIN))
		return ret;
	deadline = ronbus_deadline(timeout_ns);
	do {
		ret = ronbus_wait_until(sub, deadline, cancels);
		if (!ret)
			ret = ronbus_try_recv(sub, buf, size, msg);
	} while (ret == -EAGAIN && !past(deadline));
	return ret == -EAGAIN ? -ETIMEDOUT : ret;
}

int ronbus_drain(struct ronbus_sub *sub, ronbus_drain_fn fn, void *arg, unsigned int budget,
		 int64_t timeout_ns)
{
	__u32 cancels = ronbus_cancels(sub);
	__u64 deadline;
	int ret;

	if (!budget)
		return -EINVAL;
	if (budget > INT32_MAX)
		budget = INT32_MAX;
	ret = drain(sub, fn, arg, budget);
	if (ret != -EAGAIN || !timeout_ns)
		return ret;
	deadline = ronbus_deadline(timeout_ns);
	do {
		ret = ronbus_wait_until(sub, deadline, cancels);
		if (!ret)
			ret = drain(sub, fn, arg, budget);
	} while (ret == -EAGAIN && !past(deadline));
	return ret == -EAGAIN ? -ETIMEDOUT : ret;
}
