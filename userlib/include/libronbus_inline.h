/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * libronbus_inline.h - the fast paths of publishing and receiving, which programs have inline
 *
 * libronbus.h includes this file, and documents the functions. Nothing that only this file names is
 * for programs: it may change with the soname.
 */
#ifndef LIBRONBUS_INLINE_H
#define LIBRONBUS_INLINE_H

#include <libronbus.h>

/*
 * Probes for debuggers and tracers (USDT): a nop each, and a note in the file where it is. The
 * library has them, if it was built where <sys/sdt.h> is; so have the inlines in a program that
 * defines RONBUS_USDT, where that header is.
 */
#if defined(RONBUS_USDT) && defined(__has_include)
#if !__has_include(<sys/sdt.h>)
#undef RONBUS_USDT
#endif
#endif
#ifdef RONBUS_USDT
#include <sys/sdt.h>
#define __RONBUS_PROBE(n, name, ...) DTRACE_PROBE##n(libronbus, name, __VA_ARGS__)
#else
#define __RONBUS_PROBE(n, name, ...) ((void)0)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/*
 * How a publisher handle works, decided when it is opened: the features of the bus, and these above
 * them. Without RONBUS_F_METRICS_BUF if one thread counts.
 */
enum ronbus_pub_how {
	RONBUS_HOW_SYSCALL = 1 << 24, /* no mapping */
	RONBUS_HOW_EXCLUSIVE = 1 << 25, /* no other publisher, no claim */
	RONBUS_HOW_SINGLE = 1 << 26, /* one thread counts */
	RONBUS_HOW_POPCNT = 1 << 27, /* the CPU has the instruction */
	RONBUS_HOW_RETAIN = 1 << 28, /* RONBUS_BUS_RETAIN: written, even for nobody */
	RONBUS_HOW_COARSE = 1 << 29, /* RONBUS_BUS_COARSE_TIME */
	/* What a program does not have inline: __ronbus_publish() and __ronbus_publish_many(). */
	RONBUS_HOW_SLOW_PATH = (int)RONBUS_HOW_SYSCALL | (int)RONBUS_F_SOA | (int)RONBUS_F_TIME,
};

struct ronbus_pub {
	struct ronbus_ring ring;
	const struct ronbus_info_page *info;
	struct ronbus_self *self;
	__u32 how;
	__u32 id;
	__u64 serial; /* of the handle, never used twice in a process */
	__u64 pos; /* exclusive: where the next message goes */
};

struct ronbus_sub {
	struct ronbus_ring ring;
	const struct ronbus_info_page *info;
	struct ronbus_self *self;
	struct ronbus_interest interest;
	__u64 slow_path; /* not 0: the inlines leave everything to it */
	__u64 peek_position;
	__u64 peek_state;
	const __u64 *peek_word; /* where that state is */
};

#define RONBUS_THREAD_ENTRIES 8U /* a power of two */

/*
 * Added to @left while the thread counts. It is far more than can be left; a signal handler that
 * counts meanwhile adds it once more.
 */
#define __RONBUS_COUNTING (1ULL << 30)

/*
 * What this thread has counted and not all flushed yet. Only this thread and the signal handlers
 * that it runs write here; other threads may look. An entry is for the messages of one publisher
 * handle for one number of receivers.
 */
struct ronbus_thread_counters {
	__u64 left; /* messages to count before it is time for __ronbus_published(); and __RONBUS_COUNTING */
	struct {
		__u64 key; /* __ronbus_thread_key(), or the library's own; 0: free */
		__u64 messages;
	} entry[RONBUS_THREAD_ENTRIES];
};

/* How it is found is left to the compiler: in a program at once, in a plugin by a function. */
extern __thread struct ronbus_thread_counters __ronbus_thread_counters;

int __ronbus_publish(struct ronbus_pub *pub, unsigned int topic, const void *data, size_t len);
int __ronbus_publish_slow(struct ronbus_pub *pub, unsigned int topic, const void *data, size_t len);
int __ronbus_publish_many(struct ronbus_pub *pub, unsigned int topic, const struct iovec *vec,
			  unsigned int count);
int __ronbus_publish_to_nobody(struct ronbus_pub *pub, unsigned int topic, const struct iovec *vec,
			       unsigned int count);
int __ronbus_published_many(struct ronbus_pub *pub, unsigned int topic, __u64 audience,
			    unsigned int done, __u64 next);
__u64 __ronbus_claim(struct ronbus_pub *pub, __u64 pos);
__u64 __ronbus_clock(__u32 how);
int __ronbus_published(struct ronbus_pub *pub, unsigned int topic, __u32 receivers, __u64 audience,
		       __u64 next);
int __ronbus_try_recv(struct ronbus_sub *sub, void *buf, size_t size, struct ronbus_msg *msg);
int __ronbus_recv_many(struct ronbus_sub *sub, void *buf, size_t size, struct ronbus_msg *msgs,
		       unsigned int count);
int __ronbus_peek(struct ronbus_sub *sub, struct ronbus_msg *msg);

/*
 * Helpers of the inlines are parts of them, not functions: a call would cost as much as what it
 * does. The inlines copy the view of the ring first, for then the compiler knows that no store
 * changes it, and leave every rare case to a function of the library as the last thing they do,
 * for then it need not save registers on the way there.
 *
 * What is inline in a program knows slots without a time. A bus with RONBUS_F_SOA or RONBUS_F_TIME
 * is served by the same parts, made for it in the library: so neither costs the others anything.
 */
#define __RONBUS_PART static inline __attribute__((always_inline))

/*
 * The compiler shall not connect a message with the variable it lies in: it would warn of copies
 * longer than that, which a length in a variable never asks for.
 */
#define __RONBUS_HIDE(pointer) __asm__("" : "+r"(pointer))

/* Without the instruction, the compiler's own would be a call and a table. */
__RONBUS_PART __u32 __ronbus_popcount(__u32 how, __u64 set)
{
#if defined(__x86_64__) && !defined(__POPCNT__)
	if (RB_LIKELY(how & RONBUS_HOW_POPCNT)) {
		__u64 count;

		__asm__("popcnt %1, %0" : "=r"(count) : "rm"(set) : "cc");
		return (__u32)count;
	}
#endif
	(void)how;
#ifdef __POPCNT__
	return (__u32)__builtin_popcountll(set);
#else
	if (!(set & (set - 1)))
		return set != 0;
	set -= set >> 1 & 0x5555555555555555ULL;
	set = (set & 0x3333333333333333ULL) + (set >> 2 & 0x3333333333333333ULL);
	set = (set + (set >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
	return (__u32)(set * 0x0101010101010101ULL >> 56);
#endif
}

/* A counter with one writer: others see it whole, and it costs no locked instruction. */
__RONBUS_PART void __ronbus_bump(__u64 *counter, __u64 by)
{
	RB_WRITE(counter, RB_READ(counter) + by);
}

/* Where a thread counts messages of a handle for so many receivers, up to 64. */
__RONBUS_PART __u64 __ronbus_thread_key(const struct ronbus_pub *pub, __u32 receivers)
{
	return pub->serial << 7 | receivers;
}

__RONBUS_PART __u32 __ronbus_thread_entry(const struct ronbus_pub *pub, __u32 receivers)
{
	return (__u32)(pub->serial + receivers) & (RONBUS_THREAD_ENTRIES - 1);
}

/*
 * Add to a counter that this thread alone writes, in one step as far as its signal handlers can
 * see, and in order with what is done to @other.
 */
__RONBUS_PART void __ronbus_add_own(__u64 *counter, __u64 *other, __u64 by)
{
#if defined(__x86_64__) && !defined(RB_TSAN)
	__asm__ __volatile__("addq %2, %0" : "+m"(*counter), "+m"(*other) : "er"(by) : "cc");
#else
	/* It has no partner: only handlers of this thread need to see them in order. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	__atomic_fetch_add(counter, by, __ATOMIC_RELAXED);
	/* It has no partner, as above. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	(void)other;
#endif
}

/*
 * Counting in the thread's own entry @i. Returns whether that could be done: not if the entry is
 * not that of @key, or it is time to flush or to look at the clock. A signal handler that publishes
 * meanwhile finds __RONBUS_COUNTING, and gives no entry to another handle.
 */
__RONBUS_PART int __ronbus_count_thread(__u32 i, __u64 key, __u32 messages)
{
	struct ronbus_thread_counters *mine = &__ronbus_thread_counters;
	__u64 *left = &mine->left, *counter = &mine->entry[i].messages;

	if (RB_UNLIKELY((__s64)RB_READ(left) <= (__s64)messages))
		return 0;
	__ronbus_add_own(left, &mine->entry[i].key, __RONBUS_COUNTING);
	if (RB_UNLIKELY(RB_READ(&mine->entry[i].key) != key)) {
		__ronbus_add_own(left, counter, -(__u64)__RONBUS_COUNTING);
		return 0;
	}
	__ronbus_add_own(counter, left, messages);
	__ronbus_add_own(left, counter, -(__RONBUS_COUNTING + (__u64)messages));
	return 1;
}

/*
 * Count messages that were written for @receivers each, or not written because there is none.
 * Returns whether that could be done here.
 */
__RONBUS_PART int __ronbus_count_inline(const struct ronbus_pub *pub, __u32 how, __u32 messages,
					__u32 receivers)
{
	__u64 *counter = &pub->self->messages_for[receivers];

	/* With INTEREST or COALESCE no entry has this key, so that the library counts. */
	if (how & (RONBUS_F_METRICS_BUF | RONBUS_F_INTEREST | RONBUS_F_COALESCE))
		return __ronbus_count_thread(__ronbus_thread_entry(pub, receivers),
					     __ronbus_thread_key(pub, receivers), messages);
	if (how & RONBUS_HOW_SINGLE)
		__ronbus_bump(counter, messages);
	else
		__atomic_fetch_add(counter, messages, __ATOMIC_RELAXED);
	return 1;
}

/*
 * Does anybody have to be woken? To be asked after the last message of a call and a full barrier
 * (D, with D' where the kernel arms).
 */
__RONBUS_PART int __ronbus_must_notify(const struct ronbus_pub *pub, __u32 how)
{
	if (how & RONBUS_F_EDGE_NOTIFY && RB_LIKELY(!RB_READ(&pub->info->armed)))
		return 0;
	RB_STEP(RONBUS_STEP_NOTIFYING);
	return 1;
}

/* ---- publishing, inline --------------------------------------------------------------- */

/* The view of a ring, of which the compiler knows the layout, and whether it is timed. */
__RONBUS_PART struct ronbus_ring __ronbus_view(const struct ronbus_ring *ring, __u32 layout,
					       __u32 timed)
{
	struct ronbus_ring view = *ring;

	view.layout = layout;
	view.timed = timed;
	return view;
}

/*
 * The way of a message is one sequence. A program has it inline for slots without a time; the
 * library has it for the rest, in __ronbus_publish(), which also publishes by system call.
 *
 *	1. Claim a position, write the message and commit it, if it is for anybody.
 *	2. Look whether a subscriber sleeps. If one does, the library wakes it.
 *	3. Count.
 *
 * __ronbus_publish_slow() takes over in step 1, where no position is free at once or an argument is
 * wrong, and __ronbus_published() in step 2, where there is more to do than to look and to add.
 */
__RONBUS_PART int __ronbus_publish_to(struct ronbus_pub *pub, unsigned int topic, const void *data,
				      size_t len, __u32 layout, __u32 timed)
{
	const struct ronbus_ring ring = __ronbus_view(&pub->ring, layout, timed);
	const __u32 how = pub->how, id = pub->id;
	struct ronbus_claim claim = { 0, 0 };
	__u32 receivers = 0;
	__u64 audience;

	if (RB_UNLIKELY(topic >= RONBUS_TOPICS_MAX || len > ring.payload))
		return __ronbus_publish_slow(pub, topic, data, len);

	/* barrier I', with I in ronbus_sub_set_audience(): interest.pml */
	audience = RB_LOAD_ACQUIRE(&pub->info->audience[topic]);
	if (RB_LIKELY(audience) || how & RONBUS_HOW_RETAIN) {
		if (how & RONBUS_HOW_EXCLUSIVE) {
			claim.pos = pub->pos;
			ronbus_ring_begin(&ring, claim.pos, id);
			pub->pos = claim.pos + 1;
		} else {
			claim.pos = ronbus_ring_hint(&ring);
			if (RB_UNLIKELY(ronbus_ring_claim(&ring, &claim, id, 1)))
				return __ronbus_publish_slow(pub, topic, data, len);
		}
		__RONBUS_HIDE(data);
		ronbus_ring_write(&ring, claim.pos, audience, topic, data, (__u32)len);
		if (timed)
			ronbus_ring_stamp(&ring, claim.pos, __ronbus_clock(how));
		ronbus_ring_commit_last(&ring, claim.pos, id);
		ronbus_ring_advance(&ring, claim.pos + 1);
		receivers = __ronbus_popcount(how, audience);
	}
	__RONBUS_PROBE(4, publish, pub, topic, 1, receivers);
	/* Where nothing was written, there is nothing to wake a subscriber for. */
	if (RB_UNLIKELY((claim.pos && __ronbus_must_notify(pub, how)) ||
			!__ronbus_count_inline(pub, how, 1, receivers)))
		return __ronbus_published(pub, topic, receivers, audience, claim.pos + 1);
	return (int)receivers;
}

RONBUS_INLINE int ronbus_publish(struct ronbus_pub *pub, unsigned int topic, const void *data,
				 size_t len)
{
	if (RB_UNLIKELY(pub->how & RONBUS_HOW_SLOW_PATH))
		return __ronbus_publish(pub, topic, data, len);
	return __ronbus_publish_to(pub, topic, data, len, RONBUS_LAYOUT_SLOTS, 0);
}

/* The same for several messages: steps 2 and 3 are done once, by __ronbus_published_many(). */
__RONBUS_PART int __ronbus_publish_many_to(struct ronbus_pub *pub, unsigned int topic,
					   const struct iovec *vec, unsigned int count,
					   __u32 layout, __u32 timed)
{
	const struct ronbus_ring ring = __ronbus_view(&pub->ring, layout, timed);
	const __u32 elsewhere =
		layout == RONBUS_LAYOUT_SLOTS && !timed ? RONBUS_HOW_SLOW_PATH : RONBUS_HOW_SYSCALL;
	const __u32 how = pub->how, id = pub->id;
	struct ronbus_claim claim = { 0, 0 };
	unsigned int done;
	const void *data;
	__u64 audience;
	__u64 next;
	int err = 0;

	/* Never so in the library, which has looked before. */
	if (RB_UNLIKELY(!(how & RONBUS_F_BATCH) || how & elsewhere || topic >= RONBUS_TOPICS_MAX))
		return __ronbus_publish_many(pub, topic, vec, count);
	/* barrier I', with I in ronbus_sub_set_audience(): interest.pml */
	audience = RB_LOAD_ACQUIRE(&pub->info->audience[topic]);
	if (RB_UNLIKELY(!audience) && !(how & RONBUS_HOW_RETAIN))
		return __ronbus_publish_to_nobody(pub, topic, vec, count);

	next = how & RONBUS_HOW_EXCLUSIVE ? pub->pos : ronbus_ring_hint(&ring);
	for (done = 0; done < count; done++) {
		if (RB_UNLIKELY(vec[done].iov_len > ring.payload)) {
			err = -EMSGSIZE;
			break;
		}
		claim.pos = next;
		claim.stalls = 0;
		if (how & RONBUS_HOW_EXCLUSIVE) {
			ronbus_ring_begin(&ring, claim.pos, id);
		} else if (RB_UNLIKELY(ronbus_ring_claim(&ring, &claim, id, 1))) {
			claim.pos = __ronbus_claim(pub, next);
			if (RB_UNLIKELY(!claim.pos)) {
				err = -EAGAIN;
				break;
			}
		}
		data = vec[done].iov_base;
		__RONBUS_HIDE(data);
		ronbus_ring_write(&ring, claim.pos, audience, topic, data,
				  (__u32)vec[done].iov_len);
		if (timed)
			ronbus_ring_stamp(&ring, claim.pos, __ronbus_clock(how));
		ronbus_ring_commit(&ring, claim.pos, id);
		next = claim.pos + 1;
	}
	if (RB_UNLIKELY(!done))
		return err;
	RB_MB(); /* barrier D, with D' where the kernel arms: wake.pml */
	RB_STEP(RONBUS_STEP_COMMITTED);
	return __ronbus_published_many(pub, topic, audience, done, next);
}

RONBUS_INLINE int ronbus_publish_many(struct ronbus_pub *pub, unsigned int topic,
				      const struct iovec *vec, unsigned int count)
{
	return __ronbus_publish_many_to(pub, topic, vec, count, RONBUS_LAYOUT_SLOTS, 0);
}

/* ---- receiving, inline ---------------------------------------------------------------- */

/*
 * The inlines receive a message that is there, and leave everything else to the library: the same
 * functions, but complete.
 */

/* Describe a message. A ring that others write may say anything of its length and topic. */
__RONBUS_PART __u32 __ronbus_describe(const struct ronbus_ring *ring, const struct ronbus_words *at,
				      __u64 pos, struct ronbus_seen seen, struct ronbus_msg *msg)
{
	__u32 len = ronbus_words_len(at, seen);

	if (RB_UNLIKELY(len > ring->payload))
		len = ring->payload;
	msg->position = pos;
	msg->lost = 0;
	msg->len = len;
	msg->topic = ronbus_words_topic(at, seen) % RONBUS_TOPICS_MAX;
	msg->publisher = (__u16)ronbus_state_owner(seen.state);
	msg->time = ronbus_words_time(ring, at, seen);
	return len;
}

/*
 * Copy and describe the message at a position where one is. Returns whether it fits; whether it was
 * whole has to be checked after it. Most programs know the length of their messages when
 * they are compiled: one comparison then is all that a length needs.
 */
__RONBUS_PART int __ronbus_copy(const struct ronbus_ring *ring, const struct ronbus_words at,
				__u64 pos, struct ronbus_seen seen, void *buf, size_t size,
				struct ronbus_msg *msg)
{
	void *to = buf;
	__u32 len;

	if (__builtin_constant_p(size) && RB_LIKELY(size <= ring->payload) &&
	    RB_LIKELY(ronbus_words_len(&at, seen) == size)) {
		ronbus_copy_out(to, ronbus_words_payload(&at, seen), (__u32)size);
		msg->position = pos;
		msg->lost = 0;
		msg->len = (__u32)size;
		msg->topic = ronbus_words_topic(&at, seen) % RONBUS_TOPICS_MAX;
		msg->publisher = (__u16)ronbus_state_owner(seen.state);
		msg->time = ronbus_words_time(ring, &at, seen);
	} else {
		len = __ronbus_describe(ring, &at, pos, seen, msg);
		if (RB_UNLIKELY(len > size))
			return 0;
		__RONBUS_HIDE(to);
		ronbus_copy_out(to, ronbus_words_payload(&at, seen), len);
	}
	msg->data = buf;
	return 1;
}

/* Returns whether that could be done, and the message was whole. */
__RONBUS_PART int __ronbus_take(const struct ronbus_ring *ring, __u64 pos, struct ronbus_seen seen,
				void *buf, size_t size, struct ronbus_msg *msg)
{
	return __ronbus_copy(ring, ronbus_ring_at(ring, pos), pos, seen, buf, size, msg) &&
	       ronbus_ring_unchanged(ring, pos, seen);
}

/* Positions from @pos up to before @next were received. */
__RONBUS_PART void __ronbus_delivered(struct ronbus_sub *sub, __u64 pos, __u64 next)
{
	struct ronbus_self *self = sub->self;

	RB_WRITE(&self->cursor, next);
	__ronbus_bump(&self->delivered, next - pos);
#ifdef RONBUS_USDT
	for (; pos < next; pos++)
		__RONBUS_PROBE(2, recv, sub, pos);
#endif
}

RONBUS_INLINE int ronbus_try_recv(struct ronbus_sub *sub, void *buf, size_t size,
				  struct ronbus_msg *msg)
{
	const struct ronbus_ring ring = __ronbus_view(&sub->ring, RONBUS_LAYOUT_SLOTS, 0);
	__u64 pos = RB_READ(&sub->self->cursor);
	struct ronbus_seen seen;

	if (RB_UNLIKELY(!ronbus_ring_ready(&ring, pos, &seen) || sub->slow_path ||
			!__ronbus_take(&ring, pos, seen, buf, size, msg)))
		return __ronbus_try_recv(sub, buf, size, msg);
	__ronbus_delivered(sub, pos, pos + 1);
	return RONBUS_MESSAGE;
}

RONBUS_INLINE int ronbus_recv_many(struct ronbus_sub *sub, void *buf, size_t size,
				   struct ronbus_msg *msgs, unsigned int count)
{
	const struct ronbus_ring ring = __ronbus_view(&sub->ring, RONBUS_LAYOUT_SLOTS, 0);
	__u64 pos = RB_READ(&sub->self->cursor);
	const __u64 first = pos;
	struct ronbus_seen seen;
	char *to = (char *)buf;

	if (RB_UNLIKELY(sub->slow_path))
		return __ronbus_recv_many(sub, buf, size, msgs, count);
	for (; pos - first < count; pos++, msgs++, to += size)
		if (RB_UNLIKELY(!ronbus_ring_ready(&ring, pos, &seen) ||
				!__ronbus_take(&ring, pos, seen, to, size, msgs)))
			break;
	if (RB_UNLIKELY(pos == first)) /* @msgs and @buf are where they were */
		return __ronbus_recv_many(sub, buf, size, msgs, count);
	__ronbus_delivered(sub, first, pos);
	return (int)(pos - first);
}

RONBUS_INLINE int ronbus_peek(struct ronbus_sub *sub, struct ronbus_msg *msg)
{
	const struct ronbus_ring ring = __ronbus_view(&sub->ring, RONBUS_LAYOUT_SLOTS, 0);
	__u64 pos = RB_READ(&sub->self->cursor);
	const struct ronbus_words at = ronbus_ring_at(&ring, pos);
	struct ronbus_seen seen;

	if (RB_UNLIKELY(!ronbus_ring_ready(&ring, pos, &seen) || sub->slow_path))
		return __ronbus_peek(sub, msg);
	__ronbus_describe(&ring, &at, pos, seen, msg);
	if (RB_UNLIKELY(!ronbus_ring_unchanged(&ring, pos, seen)))
		return __ronbus_peek(sub, msg);
	msg->data = ronbus_words_payload(&at, seen);
	sub->peek_position = pos;
	sub->peek_state = seen.state;
	sub->peek_word = at.state;
	return RONBUS_MESSAGE;
}

RONBUS_INLINE int ronbus_release(struct ronbus_sub *sub)
{
	__u64 pos = RB_READ(&sub->self->cursor);

	if (RB_UNLIKELY(sub->peek_position != pos))
		return -EINVAL;
	if (RB_UNLIKELY(!ronbus_state_unchanged(sub->peek_word, sub->peek_state)))
		return -ESTALE;
	__ronbus_delivered(sub, pos, pos + 1);
	return 0;
}

#ifdef __cplusplus
}
#endif

#endif /* LIBRONBUS_INLINE_H */
