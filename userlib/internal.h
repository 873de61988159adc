/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * internal.h - what the files of the library share
 *
 * The API (bus.c, publish.c, subscribe.c, receive.c) knows two transports (device.c, embedded/)
 * through a table each. Both speak in the structures of the ABI, so that they refuse the same
 * things.
 */
#ifndef RONBUS_INTERNAL_H
#define RONBUS_INTERNAL_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <pthread.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

#include <libronbus.h>
#include <ronbus/ronbus_blocks.h>

struct ronbus_transport;

enum ronbus_handle_kind {
	RONBUS_A_BUS,
	RONBUS_A_PUBLISHER,
	RONBUS_A_SUBSCRIBER,
};

/* A handle in the list of all of them, for fork.c. */
struct ronbus_enrolled {
	struct ronbus_enrolled *next;
	struct ronbus_enrolled **link; /* what points here */
	enum ronbus_handle_kind kind;
};

#define RONBUS_OF(enrolled_, type) ((type *)(void *)((char *)(enrolled_)-offsetof(type, enrolled)))

/* Every handle begins with one of these three, and goes on as its transport likes. */

/**
 * struct ronbus - a bus handle
 * @transport: where the bus is
 * @was: that, if it was inherited: then @transport is one that refuses
 * @features: features of the bus
 * @enrolled: in the list of handles
 */
struct ronbus {
	const struct ronbus_transport *transport;
	const struct ronbus_transport *was;
	__u64 features;
	struct ronbus_enrolled enrolled;
};

/**
 * struct ronbus_publisher_handle - a publisher
 * @pub: what the inlines know
 * @transport: how it reaches its subscribers
 * @was: that, if it was inherited
 * @flush_threshold: messages that a thread counts before it flushes, with RONBUS_F_METRICS_BUF
 * @enrolled: in the list of handles
 *
 * Of @pub the transport fills @ring, @info, @self, @id, @pos, and the bits SYSCALL, EXCLUSIVE,
 * RETAIN and COARSE of @how.
 */
struct ronbus_publisher_handle {
	struct ronbus_pub pub;
	const struct ronbus_transport *transport;
	const struct ronbus_transport *was;
	__u32 flush_threshold;
	struct ronbus_enrolled enrolled;
};

/**
 * struct ronbus_subscriber_handle - a subscriber
 * @sub: what the inlines know
 * @transport: how it sleeps
 * @was: that, if it was inherited
 * @enrolled: in the list of handles
 * @index: its bit
 * @blocks: the blocks of the bus, if it has any
 * @buffer: where ronbus_drain() puts messages: RONBUS_RUN of them with RONBUS_F_SOA, else one
 * @cancels: ronbus_cancel() calls; what has begun to wait before one, is over
 */
struct ronbus_subscriber_handle {
	struct ronbus_sub sub;
	const struct ronbus_transport *transport;
	const struct ronbus_transport *was;
	struct ronbus_enrolled enrolled;
	__u32 index;
	struct ronbus_blocks blocks;
	void *buffer;
	__u32 cancels;
};

/**
 * struct ronbus_transport - how a bus is reached
 *
 * Deadlines are CLOCK_MONOTONIC nanoseconds, or RONBUS_WAIT_FOREVER. All return a negative errno
 * value on failure.
 */
struct ronbus_transport {
	bool uring_commands; /* its fds take commands of io_uring */

	int (*query)(const char *where, struct ronbus_query *query);
	int (*create)(const char *where, struct ronbus_create *req, struct ronbus **bus);
	int (*attach)(const char *where, const struct ronbus_attach *req, struct ronbus **bus);

	int (*bus_fd)(const struct ronbus *bus);
	int (*share)(const struct ronbus *bus, __u32 access);
	int (*bus_info)(struct ronbus *bus, struct ronbus_info *info);
	int (*seal)(struct ronbus *bus);
	int (*stats)(struct ronbus *bus, struct ronbus_stats *stats);
	void (*bus_close)(struct ronbus *bus);
	/* In a child that has inherited it: free what the child has of it, and leave all else alone.
	 * NULL if a child can use it. */
	void (*bus_abandon)(struct ronbus *bus);

	int (*publisher)(struct ronbus *bus, unsigned int flags,
			 struct ronbus_publisher_handle **pub);
	int (*pub_fd)(const struct ronbus_publisher_handle *pub);
	/* until there are subscribers, or -ETIMEDOUT or -EINTR */
	int (*pub_wait)(struct ronbus_publisher_handle *pub, __u64 deadline);
	/* returns messages accepted, and for how many subscribers the last was */
	int (*publish)(struct ronbus_publisher_handle *pub, unsigned int topic,
		       const struct iovec *vec, unsigned int count, __u32 *receivers);
	int (*publish_block)(struct ronbus_publisher_handle *pub, struct ronbus_publish_block *req);
	void (*notify)(struct ronbus_publisher_handle *pub, __u64 subscribers);
	void (*pub_close)(struct ronbus_publisher_handle *pub);
	void (*pub_abandon)(struct ronbus_publisher_handle *pub);

	int (*subscribe)(struct ronbus *bus, const struct ronbus_subscribe *req,
			 struct ronbus_subscriber_handle **sub);
	int (*sub_fd)(struct ronbus_subscriber_handle *sub);
	/* -ECANCELED if @cancels is no longer the handle's and there is nothing to look at */
	int (*wait)(struct ronbus_subscriber_handle *sub, __u64 deadline, __u32 cancels);
	int (*arm)(struct ronbus_subscriber_handle *sub);
	int (*set_topics)(struct ronbus_subscriber_handle *sub, __u64 topics);
	int (*coalesce)(struct ronbus_subscriber_handle *sub, const struct ronbus_coalesce *req);
	int (*set_eventfd)(struct ronbus_subscriber_handle *sub, int fd);
	/* end such a wait; the handle's cancels has been changed */
	int (*cancel)(struct ronbus_subscriber_handle *sub);
	void (*sub_close)(struct ronbus_subscriber_handle *sub);
	void (*sub_abandon)(struct ronbus_subscriber_handle *sub);
};

extern const struct ronbus_transport ronbus_device_transport;
extern const struct ronbus_transport ronbus_embedded_transport;

int ronbus_device_adopt(int fd, struct ronbus **bus);

/* What struct ronbus_sub says of itself in @slow_path: an inherited one. */
#define RONBUS_DEAD 2U

static inline bool ronbus_is_dead(const struct ronbus_sub *sub)
{
	return sub->slow_path == RONBUS_DEAD;
}

/* Into the list of handles, and out of it. The first one may find that there is no memory. */
bool ronbus_enroll(struct ronbus_enrolled *handle, enum ronbus_handle_kind kind);
void ronbus_unenroll(struct ronbus_enrolled *handle);

/*
 * A lock that is held by another thread during fork() stays locked in the child: so these take all.
 */
void ronbus_embedded_before_fork(void);
void ronbus_embedded_after_fork(bool child);
void ronbus_metrics_before_fork(void);
void ronbus_metrics_after_fork(bool child);

static inline struct ronbus_publisher_handle *ronbus_publisher_of(const struct ronbus_pub *pub)
{
	return (struct ronbus_publisher_handle *)pub; /* its first member */
}

static inline struct ronbus_subscriber_handle *ronbus_subscriber_of(const struct ronbus_sub *sub)
{
	return (struct ronbus_subscriber_handle *)sub; /* its first member */
}

/*
 * Nothing has been peeked at. A ring that is tampered with can lead the cursor to any position, 0
 * as well, and ronbus_release() takes what is remembered of that for a message.
 */
static inline void ronbus_peeked_nothing(struct ronbus_sub *sub)
{
	static const __u64 never;

	sub->peek_word = &never;
	sub->peek_state = ~never;
}

/* Of a message that was peeked at, to read more of it before ronbus_release(). */
static inline struct ronbus_seen ronbus_peeked(const struct ronbus_sub *sub)
{
	return (struct ronbus_seen){ sub->peek_state };
}

/* Zeroed memory in cache lines of its own, for free(). */
void *ronbus_zalloc(size_t size);

/*
 * What a thread was doing when a call failed, for ronbus_why(): the same error has different
 * reasons. Functions that are called rarely say what they do, and then which error they return.
 */
enum ronbus_doing {
	RONBUS_AT_NOTHING, /* it is not known */
	RONBUS_AT_DEVICE, /* opening the device */
	RONBUS_AT_CREATE,
	RONBUS_AT_ATTACH,
	RONBUS_AT_ADOPT,
	RONBUS_AT_PUBLISHER,
	RONBUS_AT_SUBSCRIBE,
	RONBUS_AT_MAP, /* mapping what a new member uses */
	RONBUS_AT_LOCKED, /* the same, with mlockall(MCL_FUTURE) */
	RONBUS_AT_SEAL,
	RONBUS_AT_STATS,
	RONBUS_AT_FD, /* what needs an fd of the bus or of a publisher */
	RONBUS_AT_TOPICS,
	RONBUS_AT_COALESCE,
	RONBUS_AT_BLOCKS,
	RONBUS_AT_URING, /* asking the kernel for io_uring */
	RONBUS_AT_URING_WAIT,
	RONBUS_AT_URING_PUBLISH,
};

void ronbus_why_doing(enum ronbus_doing step);
int ronbus_why_failed(int ret); /* returns @ret, which is an error if it is negative */

/* Why the device cannot be opened, as a format for its path; or NULL. */
const char *ronbus_unreachable(const char *where, int err);

/*
 * A thread can be cancelled (pthread_cancel()) where it sleeps for messages, and nowhere else in
 * the library: not with a lock, nor between what belongs together. No cleanup is needed around a
 * sleep but for what the sleeper itself has changed.
 */
static inline int ronbus_cancel_asleep(void)
{
	int was;

	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &was);
	return was;
}

static inline void ronbus_cancel_awake(int was)
{
	pthread_setcanceltype(was, NULL);
}

static inline int ronbus_cancel_hold(void)
{
	int was;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &was);
	return was;
}

static inline void ronbus_cancel_release(int was)
{
	pthread_setcancelstate(was, NULL);
}

static inline void ronbus_fd_close(int fd)
{
	int was = ronbus_cancel_hold();

	close(fd);
	ronbus_cancel_release(was);
}

static inline struct timespec ronbus_timespec(__u64 ns)
{
	return (struct timespec){
		.tv_sec = (time_t)(ns / 1000000000ULL),
		.tv_nsec = (long)(ns % 1000000000ULL),
	};
}

/* The transport or device that is meant: NULL has a default. */
const char *ronbus_where(const char *where);

/* The deadline of a wait: now and @timeout_ns, which is negative for no deadline. */
__u64 ronbus_deadline(int64_t timeout_ns);
__u64 ronbus_now(void);
__u64 ronbus_clock(clockid_t clock); /* the same of another clock, in nanoseconds */

/* The cancels that there were before a call that may wait, several times perhaps. */
__u32 ronbus_cancels(const struct ronbus_sub *sub);
/* Sleep until there is something to look at, or another cancel than those. */
int ronbus_wait_until(struct ronbus_sub *sub, __u64 deadline, __u32 cancels);

/* Give it a serial number. One without would have the key of a thread's free entry. */
void ronbus_pub_number(struct ronbus_pub *pub);

/*
 * For a publisher that buffers: what must not be done in publishing, which may be in a signal
 * handler.
 */
int ronbus_metrics_prepare(__u32 *threshold);

/*
 * The key of a thread's entry. Where the inlines leave counting to the library it is another one
 * than theirs, and says of how many subscribers too the messages are not for.
 */
#define RONBUS_METRICS_SKIPS 56

static inline __u64 ronbus_metrics_key(const struct ronbus_pub *pub, __u32 receivers, __u32 skips)
{
	__u64 key = __ronbus_thread_key(pub, receivers);

	if (pub->how & (RONBUS_F_INTEREST | RONBUS_F_COALESCE))
		key |= 1ULL << 63 | (__u64)skips << RONBUS_METRICS_SKIPS;
	return key;
}

void ronbus_metrics_count(struct ronbus_publisher_handle *pub, __u32 messages, __u32 receivers,
			  __u32 skips);
void ronbus_metrics_forget(struct ronbus_publisher_handle *pub);
/* When what this thread has counted is to be flushed, or RONBUS_WAIT_FOREVER; and to do it. */
__u64 ronbus_metrics_due(void);
void ronbus_metrics_flush(void);
/*
 * If so many messages have been counted, or the last flush is an interval ago, as far as is known.
 */
void ronbus_metrics_flush_if_due(const struct ronbus_publisher_handle *pub);
/* If the last flush is an interval ago. */
void ronbus_metrics_flush_if_old(void);

#endif /* RONBUS_INTERNAL_H */
