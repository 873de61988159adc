// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * publish.c - publisher handles, and what the inlines leave to the library
 */
#include "internal.h"

#include "../common/arm.h"

/* The log2 of a batch length, in the buckets of batch_len_histogram. */
static unsigned int batch_bucket(__u32 messages)
{
	unsigned int bucket = 31U - (unsigned int)__builtin_clz(messages);

	return bucket < RONBUS_BATCH_BUCKETS ? bucket : RONBUS_BATCH_BUCKETS - 1;
}

void ronbus_pub_number(struct ronbus_pub *pub)
{
	static __u64 serials;

	pub->serial = __atomic_add_fetch(&serials, 1, __ATOMIC_RELAXED);
}

int ronbus_publisher(struct ronbus *bus, unsigned int flags, struct ronbus_pub **pub)
{
	struct ronbus_publisher_handle *handle;
	__u32 threshold = 0;
	int err;

	if (flags & ~(RONBUS_PUB_MAPPED_ONLY | RONBUS_PUB_SYSCALL | RONBUS_PUB_SINGLE) ||
	    (flags & RONBUS_PUB_MAPPED_ONLY && flags & RONBUS_PUB_SYSCALL))
		return -EINVAL;
	/* Before joining: to join and leave would end the bus. */
	if (bus->features & RONBUS_F_METRICS_BUF) {
		err = ronbus_metrics_prepare(&threshold);
		if (err)
			return err;
	}
	ronbus_why_doing(RONBUS_AT_PUBLISHER);
	err = bus->transport->publisher(bus, flags, &handle);
	if (err)
		return ronbus_why_failed(err);

	handle->transport = bus->transport;
	handle->flush_threshold = threshold;
	ronbus_pub_number(&handle->pub);
	_Static_assert(RONBUS_FEATURES_KNOWN < RONBUS_HOW_SYSCALL, "features are below");
	handle->pub.how |= (__u32)bus->features;
#ifdef __x86_64__
	if (__builtin_cpu_supports("popcnt"))
		handle->pub.how |= RONBUS_HOW_POPCNT;
#endif
	if (flags & RONBUS_PUB_SINGLE || handle->pub.how & RONBUS_HOW_EXCLUSIVE) {
		handle->pub.how |= RONBUS_HOW_SINGLE;
		/* Its page has one writer as it is: a buffer in front would only cost. */
		handle->pub.how &= ~(__u32)RONBUS_F_METRICS_BUF;
	}
	ronbus_enroll(&handle->enrolled, RONBUS_A_PUBLISHER);
	*pub = &handle->pub;
	return 0;
}

int ronbus_pub_fd(const struct ronbus_pub *pub)
{
	const struct ronbus_publisher_handle *handle = ronbus_publisher_of(pub);

	ronbus_why_doing(RONBUS_AT_FD);
	return ronbus_why_failed(handle->transport->pub_fd(handle));
}

int ronbus_pub_receivers(const struct ronbus_pub *pub, unsigned int topic)
{
	if (ronbus_publisher_of(pub)->was)
		return -EOWNERDEAD;
	if (topic >= RONBUS_TOPICS_MAX)
		return -EINVAL;
	return (int)__ronbus_popcount(pub->how, RB_READ(&pub->info->audience[topic]));
}

int ronbus_pub_wait(struct ronbus_pub *pub, int64_t timeout_ns)
{
	struct ronbus_publisher_handle *handle = ronbus_publisher_of(pub);

	return handle->transport->pub_wait(handle, ronbus_deadline(timeout_ns));
}

int ronbus_pub_mapped(const struct ronbus_pub *pub)
{
	return !(pub->how & RONBUS_HOW_SYSCALL);
}

void ronbus_pub_close(struct ronbus_pub *pub)
{
	struct ronbus_publisher_handle *handle;

	if (!pub)
		return;
	handle = ronbus_publisher_of(pub);
	ronbus_unenroll(&handle->enrolled);
	if (pub->how & RONBUS_F_METRICS_BUF)
		ronbus_metrics_forget(handle);
	handle->transport->pub_close(handle);
}

/* ---- what the inlines leave to the library -------------------------------------------- */

/* Slots that are looked at before the hint is asked again. */
#define CLAIM_CHUNK 16U

/* Publishing never waits. This is at how many slots it looks before it gives a message up. */
static __u32 claim_budget(const struct ronbus_ring *ring)
{
	return 4 * ring->mask + 4096;
}

__u64 __ronbus_claim(struct ronbus_pub *pub, __u64 pos)
{
	struct ronbus_publisher_handle *handle = ronbus_publisher_of(pub);
	struct ronbus_claim claim = { .pos = pos };
	__u32 looks = claim_budget(&pub->ring);

	/* One look after the other does not catch up with many publishers: the hint does. */
	for (; looks > CLAIM_CHUNK && claim.stalls <= pub->ring.mask; looks -= CLAIM_CHUNK) {
		__u64 hint = ronbus_ring_hint(&pub->ring);

		if (hint > claim.pos)
			claim.pos = hint;
		if (!ronbus_ring_claim(&pub->ring, &claim, pub->id, CLAIM_CHUNK))
			return claim.pos;
	}
	__atomic_fetch_add(&pub->self->dropped, 1, __ATOMIC_RELAXED);
	/* It may have made holes on its way, and a subscriber may sleep in front of one. */
	RB_MB(); /* barrier D, with D' where the kernel arms: ring.pml, wake.pml */
	if (__ronbus_must_notify(pub, pub->how))
		handle->transport->notify(handle, ~0ULL);
	return 0; /* no position is */
}

/* A counter in the own page, of which other threads that use the handle may be writers too. */
static void add(const struct ronbus_pub *pub, __u64 *counter, __u64 by)
{
	if (pub->how & RONBUS_HOW_SINGLE)
		__ronbus_bump(counter, by);
	else
		__atomic_fetch_add(counter, by, __ATOMIC_RELAXED);
}

/* With INTEREST: how many subscribers a message is not for. */
__RONBUS_PART __u32 skips_of(const struct ronbus_pub *pub, __u64 audience)
{
	if (!(pub->how & RONBUS_F_INTEREST))
		return 0;
	return __ronbus_popcount(pub->how, RB_READ(&pub->info->members) & ~audience);
}

/* Returns whether the thread's counters may have to be flushed. */
__RONBUS_PART bool count(struct ronbus_pub *pub, __u32 messages, __u32 receivers, __u64 audience)
{
	__u32 skips = skips_of(pub, audience), i = __ronbus_thread_entry(pub, receivers);

	if (pub->how & RONBUS_F_METRICS_BUF) {
		if (RB_LIKELY(__ronbus_count_thread(i, ronbus_metrics_key(pub, receivers, skips),
						    messages)))
			return false;
		ronbus_metrics_count(ronbus_publisher_of(pub), messages, receivers, skips);
		return true;
	}
	add(pub, &pub->self->messages_for[receivers], messages);
	if (skips)
		add(pub, &pub->self->interest_skips, (__u64)messages * skips);
	return false;
}

/* With COALESCE no armed subscriber may want the message, but a deferred one may be @due. */
static void notify_sleepers(struct ronbus_pub *pub, unsigned int topic, __u64 audience, bool due)
{
	struct ronbus_publisher_handle *handle = ronbus_publisher_of(pub);
	__u64 sleepers;

	sleepers = ronbus_armed_for(pub->info, pub->how & RONBUS_F_EDGE_NOTIFY, audience,
				    &pub->info->audience[topic]);
	if (sleepers || due)
		handle->transport->notify(handle, sleepers);
}

/*
 * The end of publishing, after the last message and a full barrier: wake, then flush. A
 * sleeper does not wait for counters. Reading the clock for a flush costs little beside the system
 * call; but without EDGE, every message would read it. @next is the position after the last
 * message.
 */
__RONBUS_PART void wake_and_flush(struct ronbus_pub *pub, unsigned int topic, __u64 audience,
				  __u64 next, bool flush)
{
	bool due = pub->how & RONBUS_F_COALESCE && next >= RB_READ(&pub->info->wake_next);
	bool woken = RB_UNLIKELY(__ronbus_must_notify(pub, pub->how) || due);

	if (woken)
		notify_sleepers(pub, topic, audience, due);
	if (RB_UNLIKELY(flush))
		ronbus_metrics_flush_if_due(ronbus_publisher_of(pub));
	if (woken && pub->how & RONBUS_F_METRICS_BUF && pub->how & RONBUS_F_EDGE_NOTIFY)
		ronbus_metrics_flush_if_old();
}

/*
 * Step 3 of a message, and step 2 again: the inlines have found that a subscriber sleeps, or could
 * not count. @next is the position after the message, 1 or less if none was written.
 */
int __ronbus_published(struct ronbus_pub *pub, unsigned int topic, __u32 receivers, __u64 audience,
		       __u64 next)
{
	bool flush = count(pub, 1, receivers, audience);

	if (next > 1)
		wake_and_flush(pub, topic, audience, next, flush);
	else if (flush)
		ronbus_metrics_flush_if_due(ronbus_publisher_of(pub));
	return (int)receivers;
}

/* The time of a message is read after its slot is claimed, before a reader can see it. */
__u64 __ronbus_clock(__u32 how)
{
	return ronbus_clock(how & RONBUS_HOW_COARSE ? CLOCK_MONOTONIC_COARSE : CLOCK_MONOTONIC);
}

static int publish_by_system_call(struct ronbus_pub *pub, unsigned int topic, const void *data,
				  size_t len)
{
	struct ronbus_publisher_handle *handle = ronbus_publisher_of(pub);
	struct iovec vec = { .iov_base = (void *)data, .iov_len = len };
	__u32 receivers = 0;
	int ret;

	if (topic >= RONBUS_TOPICS_MAX)
		return -EINVAL;
	if (len > pub->ring.payload)
		return -EMSGSIZE;
	ret = handle->transport->publish(handle, topic, &vec, 1, &receivers);
	if (ret < 0)
		return ret;
	__RONBUS_PROBE(4, publish, pub, topic, 1, receivers);
	return (int)receivers;
}

/* Steps 1 to 3 again, where a position is not free at once, or an argument is wrong. */
int __ronbus_publish_slow(struct ronbus_pub *pub, unsigned int topic, const void *data, size_t len)
{
	const struct ronbus_ring *ring = &pub->ring;
	__u64 audience, pos = 0;
	__u32 receivers;

	if (topic >= RONBUS_TOPICS_MAX)
		return -EINVAL;
	if (len > ring->payload)
		return -EMSGSIZE;
	/* barrier I', with I in ronbus_sub_set_audience(): interest.pml */
	audience = RB_LOAD_ACQUIRE(&pub->info->audience[topic]);
	receivers = __ronbus_popcount(pub->how, audience);
	if (receivers || pub->how & RONBUS_HOW_RETAIN) {
		pos = __ronbus_claim(pub, ronbus_ring_hint(ring));
		if (!pos)
			return -EAGAIN;
		ronbus_ring_write(ring, pos, audience, topic, data, (__u32)len);
		if (ring->timed)
			ronbus_ring_stamp(ring, pos, __ronbus_clock(pub->how));
		ronbus_ring_commit_last(ring, pos, pub->id);
		ronbus_ring_advance(ring, pos + 1);
	}
	__RONBUS_PROBE(4, publish, pub, topic, 1, receivers);
	return __ronbus_published(pub, topic, receivers, audience, pos + 1);
}

int __ronbus_publish(struct ronbus_pub *pub, unsigned int topic, const void *data, size_t len)
{
	if (pub->how & RONBUS_HOW_SYSCALL)
		return publish_by_system_call(pub, topic, data, len);
	if (pub->how & RONBUS_F_TIME)
		return __ronbus_publish_to(pub, topic, data, len, pub->ring.layout, 1);
	/* Lengths that most programs know when they are compiled. */
	switch (len) {
	case 8:
		return __ronbus_publish_to(pub, topic, data, 8, RONBUS_LAYOUT_ARRAYS, 0);
	case 32:
		return __ronbus_publish_to(pub, topic, data, 32, RONBUS_LAYOUT_ARRAYS, 0);
	default:
		return __ronbus_publish_to(pub, topic, data, len, RONBUS_LAYOUT_ARRAYS, 0);
	}
}

/* Apart, so that the loop over a batch has the registers to itself. */
static __attribute__((noinline)) int publish_many_by_system_call(struct ronbus_pub *pub,
								 unsigned int topic,
								 const struct iovec *vec,
								 unsigned int count)
{
	struct ronbus_publisher_handle *handle = ronbus_publisher_of(pub);
	unsigned int done = 0;

	while (done < count) {
		unsigned int some = count - done;
		__u32 receivers;
		int ret;

		if (some > RONBUS_BATCH_MAX)
			some = RONBUS_BATCH_MAX;
		ret = handle->transport->publish(handle, topic, vec + done, some, &receivers);
		if (ret < 0)
			return done ? (int)done : ret;
		__RONBUS_PROBE(4, publish, pub, topic, ret, receivers);
		done += (unsigned int)ret;
		if ((unsigned int)ret < some)
			break;
	}
	return (int)done;
}

static __attribute__((noinline)) int publish_one_by_one(struct ronbus_pub *pub, unsigned int topic,
							const struct iovec *vec, unsigned int count)
{
	unsigned int done;
	int ret;

	for (done = 0; done < count; done++) {
		ret = ronbus_publish(pub, topic, vec[done].iov_base, vec[done].iov_len);
		if (ret < 0)
			return done ? (int)done : ret;
	}
	return (int)done;
}

/* A batch that no subscriber wants. */
int __ronbus_publish_to_nobody(struct ronbus_pub *pub, unsigned int topic, const struct iovec *vec,
			       unsigned int messages)
{
	unsigned int done = 0;

	if (topic >= RONBUS_TOPICS_MAX)
		return -EINVAL;
	while (done < messages && vec[done].iov_len <= pub->ring.payload)
		done++;
	if (messages && !done)
		return -EMSGSIZE;
	__RONBUS_PROBE(4, publish, pub, topic, done, 0);
	if (count(pub, done, 0, 0))
		ronbus_metrics_flush_if_due(ronbus_publisher_of(pub));
	return (int)done;
}

int __ronbus_publish_many(struct ronbus_pub *pub, unsigned int topic, const struct iovec *vec,
			  unsigned int count)
{
	if (topic >= RONBUS_TOPICS_MAX)
		return -EINVAL;
	if (pub->how & RONBUS_HOW_SYSCALL)
		return publish_many_by_system_call(pub, topic, vec, count);
	if (!(pub->how & RONBUS_F_BATCH))
		return publish_one_by_one(pub, topic, vec, count);
	if (pub->how & RONBUS_F_TIME)
		return __ronbus_publish_many_to(pub, topic, vec, count, pub->ring.layout, 1);
	return __ronbus_publish_many_to(pub, topic, vec, count, RONBUS_LAYOUT_ARRAYS, 0);
}

int __ronbus_published_many(struct ronbus_pub *pub, unsigned int topic, __u64 audience,
			    unsigned int done, __u64 next)
{
	__u64 *bucket = &pub->self->batch_len[batch_bucket(done)];
	__u32 receivers = __ronbus_popcount(pub->how, audience);

	if (pub->how & RONBUS_HOW_EXCLUSIVE)
		pub->pos = next;
	ronbus_ring_advance(&pub->ring, next);
	/* By system call, where there is no number, one is no batch. */
	if (done > 1 || pub->id)
		add(pub, bucket, 1);
	__RONBUS_PROBE(4, publish, pub, topic, done, receivers);
	wake_and_flush(pub, topic, audience, next, count(pub, done, receivers, audience));
	return (int)done;
}
