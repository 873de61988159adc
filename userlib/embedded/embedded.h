/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * embedded.h - a bus in the memory of this process
 *
 * The ring is the same code as everywhere, and so is what common/ decides. What the kernel does for
 * a bus on the device is done here with the same rules and the same errors: membership under a
 * mutex, sleeping by futex, polling by eventfd. Nothing is promised across processes. A publisher
 * that has to wake others does not wait for the mutex: if it is taken, its holder wakes them.
 */
#ifndef RONBUS_EMBEDDED_H
#define RONBUS_EMBEDDED_H

#include "../internal.h"

#include "../../common/arm.h"
#include "../../common/blocks_queue.h"
#include "../../common/counters.h"
#include "../../common/create.h"
#include "../../common/member.h"

#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/syscall.h>

#define EMBEDDED_ALIGN 128UL /* two lines, as the mappings of the device have it */

/**
 * struct embedded_bus - what the kernel has of a bus
 * @info: the info page
 * @ring: the ring
 * @memory: what @ring lies in, for free()
 * @next: in the registry, under its lock
 * @refs: handles of any kind, under the lock of the registry
 * @id: its number in the registry
 * @lock: of all below, and of whatever changes @info but the armed word; taken and released by
 *	ronbus_embedded_lock() and ronbus_embedded_unlock()
 * @notify_set: the subscribers that publishers want woken
 * @notify_calls: how often publishers asked since they were last woken; in the upper half how many
 *	of these are calls on the device
 * @mode: mode
 * @name: name, empty for none
 * @joins: how often a subscriber has joined: a futex
 * @subs: subscribers by index
 * @pubs: publishers
 * @ids: set of publisher ids in use
 * @publishers: how many @pubs there are
 * @autotuned_for: subscribers that the capacity was chosen for, or 0
 * @past: counters of members that have left, and the kernel's own
 * @blocks: the blocks, with RONBUS_F_BLOCKS
 * @blocks_memory: what they lie in, for free()
 * @blocks_queue: which of them is next
 */
struct embedded_bus {
	struct ronbus_info_page info;
	struct ronbus_ring ring;
	void *memory;
	struct embedded_bus *next;
	unsigned int refs;
	__u64 id;
	pthread_mutex_t lock;
	__u64 notify_set;
	__u64 notify_calls;
	__u32 mode;
	char name[RONBUS_NAME_SIZE];
	__u32 joins;
	struct embedded_sub *subs[RONBUS_SUBSCRIBERS_MAX];
	struct embedded_pub *pubs;
	__u64 ids;
	__u32 publishers;
	__u32 autotuned_for;
	struct ronbus_counters past;
	struct ronbus_blocks blocks;
	void *blocks_memory;
	struct ronbus_blocks_queue blocks_queue;
};

struct embedded_handle {
	struct ronbus base;
	struct embedded_bus *bus;
	__u32 access;
};

/**
 * struct embedded_pub - a publisher
 * @base: its handle
 * @bus: its bus
 * @next: in the list of publishers
 * @inner: publishes in the place of the kernel, if the publisher publishes "by system call" or the
 *	bus has blocks
 * @self: its own page
 */
struct embedded_pub {
	struct ronbus_publisher_handle base;
	struct embedded_bus *bus;
	struct embedded_pub *next;
	struct embedded_pub *inner;
	struct ronbus_self self __attribute__((aligned(64)));
};

/**
 * struct embedded_timer - the timer of a subscriber that coalesces, under the lock of its bus
 * @expires: when the timer expires, or 0
 * @alarm: when @thread looks at @expires next
 * @thread: waits for that, if @started, in the process @pid
 * @pid: the process
 * @changes: grows when @thread is to look again: a futex
 * @started: there is a thread
 * @closing: it is to end
 */
struct embedded_timer {
	__u64 expires;
	__u64 alarm;
	pthread_t thread;
	pid_t pid;
	__u32 changes;
	bool started;
	bool closing;
};

/**
 * struct embedded_sub - a subscriber
 * @base: its handle
 * @bus: its bus
 * @start: where it began
 * @seq: grows with each wake-up: the futex
 * @sleepers: whether a thread sleeps on @seq
 * @polled: it was armed for an fd, and so stays armed when a sleep ends without data
 * @relies: the program was told that it is armed: an fd that is made after that has to be signalled
 *	for it, too
 * @arming: the lock of the backlog, if it does not coalesce; if it does, the lock of the bus is
 * @own_fd: the eventfd of ronbus_sub_fd(), or -1
 * @user_fd: a duplicate of the eventfd of ronbus_sub_set_eventfd(), or -1; both change under the
 *	lock of the bus
 * @backlog: what waits for it
 * @timer: from the first message
 * @kernel: the counters that are the kernel's on the device
 * @self: its own page
 */
struct embedded_sub {
	struct ronbus_subscriber_handle base;
	struct embedded_bus *bus;
	__u64 start;
	__u32 seq;
	__u32 sleepers;
	__u32 polled;
	bool relies;
	pthread_mutex_t arming;
	int own_fd;
	int user_fd;
	struct ronbus_backlog backlog;
	struct embedded_timer timer;
	struct ronbus_counters kernel;
	struct ronbus_self self __attribute__((aligned(64)));
};

static inline struct embedded_sub *embedded_sub_of(struct ronbus_backlog *backlog)
{
	return (struct embedded_sub *)(void *)((char *)backlog -
					       offsetof(struct embedded_sub, backlog));
}

static inline void *embedded_align(void *memory)
{
	return (void *)(((uintptr_t)memory + EMBEDDED_ALIGN - 1) & ~(EMBEDDED_ALIGN - 1));
}

static inline int embedded_futex_until(const __u32 *word, __u32 value, __u64 deadline)
{
	struct timespec until = ronbus_timespec(deadline);
	long ret = syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value,
			   deadline == RONBUS_WAIT_FOREVER ? NULL : &until, NULL,
			   FUTEX_BITSET_MATCH_ANY);

	return ret ? -errno : 0;
}

/* The same, where the thread can be cancelled. */
static inline int embedded_futex_wait(const __u32 *word, __u32 value, __u64 deadline)
{
	int was = ronbus_cancel_asleep();
	int err = embedded_futex_until(word, value, deadline);

	ronbus_cancel_awake(was);
	return err;
}

static inline void embedded_futex_wake(const __u32 *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* registry.c */
int ronbus_embedded_create(const char *where, struct ronbus_create *req, struct ronbus **bus);
int ronbus_embedded_attach(const char *where, const struct ronbus_attach *req, struct ronbus **bus);
void ronbus_embedded_bus_close(struct ronbus *base);
void ronbus_embedded_bus_abandon(struct ronbus *base);
void ronbus_embedded_bus_get(struct embedded_bus *bus);
void ronbus_embedded_bus_put(struct embedded_bus *bus, bool inherited);

/* bus.c */
struct embedded_bus *ronbus_embedded_bus_alloc(const struct ronbus_create *req);
void ronbus_embedded_bus_free(struct embedded_bus *bus, bool inherited);
void ronbus_embedded_autotune_warn(struct embedded_bus *bus, enum ronbus_autotune_reason reason);
__u64 ronbus_embedded_members(const struct embedded_bus *bus);
int ronbus_embedded_bus_info(struct ronbus *base, struct ronbus_info *info);
void ronbus_embedded_end_if_due(struct embedded_bus *bus, bool abandoned);
int ronbus_embedded_seal(struct ronbus *base);

/* notify.c */
void ronbus_embedded_lock(struct embedded_bus *bus);
void ronbus_embedded_unlock(struct embedded_bus *bus);
void ronbus_embedded_notify(struct embedded_bus *bus, __u64 set, enum ronbus_wake_cause cause);
void ronbus_embedded_pub_notify(struct ronbus_publisher_handle *base, __u64 set);

/* sleep.c */
void ronbus_embedded_wake(struct embedded_sub *sub, enum ronbus_wake_cause cause);
bool ronbus_embedded_ready(struct embedded_sub *sub);
int ronbus_embedded_wait(struct ronbus_subscriber_handle *base, __u64 deadline, __u32 cancels);
int ronbus_embedded_cancel(struct ronbus_subscriber_handle *base);
int ronbus_embedded_arm(struct ronbus_subscriber_handle *base);

/* coalesce.c */
bool ronbus_embedded_coalesced(struct embedded_sub *sub);
int ronbus_embedded_coalesce(struct ronbus_subscriber_handle *base,
			     const struct ronbus_coalesce *req);
void ronbus_embedded_stop_timer(struct embedded_sub *sub);
void ronbus_embedded_end_timer(struct embedded_sub *sub);

/* eventfd.c */
void ronbus_embedded_signal(const struct embedded_sub *sub, bool end);
void ronbus_embedded_signal_clear(const struct embedded_sub *sub);
int ronbus_embedded_sub_fd(struct ronbus_subscriber_handle *base);
int ronbus_embedded_set_eventfd(struct ronbus_subscriber_handle *base, int fd);
void ronbus_embedded_close_fds(struct embedded_sub *sub);

/* stats.c */
void ronbus_embedded_add_sub(struct ronbus_counters *to, const struct embedded_sub *sub);
int ronbus_embedded_stats(struct ronbus *base, struct ronbus_stats *stats);

/* publisher.c */
int ronbus_embedded_publisher(struct ronbus *base, unsigned int flags,
			      struct ronbus_publisher_handle **ret);
int ronbus_embedded_pub_wait(struct ronbus_publisher_handle *base, __u64 deadline);
int ronbus_embedded_publish(struct ronbus_publisher_handle *base, unsigned int topic,
			    const struct iovec *vec, unsigned int count, __u32 *receivers);
void ronbus_embedded_pub_close(struct ronbus_publisher_handle *base);
void ronbus_embedded_pub_abandon(struct ronbus_publisher_handle *base);

/* blocks.c */
bool ronbus_embedded_blocks_alloc(struct embedded_bus *bus, const struct ronbus_create *req);
int ronbus_embedded_publish_block(struct ronbus_publisher_handle *base,
				  struct ronbus_publish_block *req);

/* subscriber.c */
int ronbus_embedded_subscribe(struct ronbus *base, const struct ronbus_subscribe *req,
			      struct ronbus_subscriber_handle **ret);
void ronbus_embedded_sub_close(struct ronbus_subscriber_handle *base);
void ronbus_embedded_sub_abandon(struct ronbus_subscriber_handle *base);
int ronbus_embedded_set_topics(struct ronbus_subscriber_handle *base, __u64 topics);

#endif /* RONBUS_EMBEDDED_H */
