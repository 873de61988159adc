/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * libronbus.h - publish to and subscribe to a ronbus bus
 *
 * A bus is a bounded, lossy broadcast ring: every message goes to every subscriber, no publisher
 * ever waits, and a subscriber that is too slow is overwritten and told exactly how much it
 * lost. A bus lives in the kernel ("/dev/ronbus"), or, for tests and for a first try, in this
 * process ("embedded:"); nothing else in a program depends on which.
 *
 * Functions that return int return a negative errno value on failure; ronbus_why() puts it into
 * words. Pointers given must not be NULL unless it says so.
 *
 * Threads. A bus handle may be used by several threads at once. So may a publisher handle,
 * unless the bus is exclusive or the handle was opened with RONBUS_PUB_SINGLE. A subscriber
 * handle serves one thread at a time. No handle may be in use when it is closed.
 *
 * Signal handlers. ronbus_publish() and ronbus_publish_many() may be called in one, whatever it has
 * interrupted. The exception is a handle for one thread at a time that was publishing just then.
 * ronbus_try_recv(), ronbus_recv_many(), ronbus_peek() and ronbus_release() may be called for a
 * subscriber that is not in use where it has interrupted. They leave errno alone.
 *
 * fork(). The child does not have the mappings. It can close inherited publishers and subscribers,
 * and handles of embedded buses; every other use of them returns -EOWNERDEAD, even if another
 * thread was using them during fork(). The bus handle of a device is its fd, and the child can join
 * with it. Children of vfork(), or of a clone(2) that the C library does not know of, must not use
 * any handle.
 *
 * The paths that matter for speed are inline (libronbus_inline.h), and call the library only when a
 * subscriber has to be woken, something has been lost, or the bus has ended. The same functions are
 * exported symbols as well, for languages that cannot use a C header.
 */
#ifndef LIBRONBUS_H
#define LIBRONBUS_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <ronbus/ronbus.h>
#include <ronbus/ronbus_ring.h>

#ifdef __cplusplus
extern "C" {
#ifndef __clang__
/* Functions that are named like the structure of their request hide its constructor. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#endif
#endif

#define RONBUS_VERSION_MAJOR 0
#define RONBUS_VERSION_MINOR 1
#define RONBUS_VERSION_PATCH 0

/*
 * Functions that are declared so are defined in libronbus_inline.h. One file of the library defines
 * this to nothing, which makes symbols of them.
 */
#ifndef RONBUS_INLINE
#define RONBUS_INLINE static inline __attribute__((always_inline))
#endif

#define RONBUS_DEVICE "/dev/ronbus"
#define RONBUS_EMBEDDED "embedded:"

struct ronbus; /* a bus handle */
struct ronbus_pub; /* a publisher handle */
struct ronbus_sub; /* a subscriber handle */

/* ---- the bus -------------------------------------------------------------------------- */

/**
 * struct ronbus_options - properties of a new bus; all zero selects the defaults
 * @name: name to attach by, or NULL for a bus without one
 * @features: set of &enum ronbus_feature
 * @flags: set of &enum ronbus_bus_flag
 * @mode: which users may attach, as for a file; 0 stands for 0600
 * @capacity: slots, a power of two; 0 for the default
 * @payload: bytes a message can have, a multiple of 8; 0 for the default
 * @subscribers: expected number of subscribers, with RONBUS_F_AUTOTUNE_CAP
 * @block_size: with RONBUS_F_BLOCKS bytes a block can have, a multiple of 64; 0 for the default
 * @blocks: with RONBUS_F_BLOCKS how many there are; 0 for as many as slots
 * @reserved: zero
 */
struct ronbus_options {
	const char *name;
	__u64 features;
	__u32 flags;
	__u32 mode;
	__u32 capacity;
	__u32 payload;
	__u32 subscribers;
	__u32 block_size;
	__u32 blocks;
	__u32 reserved[7];
};

/**
 * ronbus_create() - make a bus
 * @where: path of the device, or "embedded:"; NULL takes $RONBUS_TRANSPORT, or else
 *	"/dev/ronbus"
 * @opts: properties of the bus; NULL for defaults
 * @bus: receives the handle
 *
 * Return: 0; -EEXIST: the name is in use; -EINVAL: no such bus can be; -EOPNOTSUPP: a feature is
 * not there yet; -EPROTO: module and library speak different versions; -ENOENT, -ENXIO: no
 * module; -EACCES: you may not open it; -ENOMEM: also beyond "ulimit -l"; -ENOSPC: too many
 * buses; -EMFILE, -ENFILE: too many fds.
 */
int ronbus_create(const char *where, const struct ronbus_options *opts, struct ronbus **bus);

/**
 * ronbus_attach() - find a bus by its name
 * @where: as in ronbus_create()
 * @name: its name
 * @access: set of &enum ronbus_access
 * @bus: receives the handle
 *
 * Return: 0; -ENOENT: no bus of that name, or no device (ronbus_why() says which);
 * -EACCES: its mode does not allow that; or as ronbus_create().
 */
int ronbus_attach(const char *where, const char *name, unsigned int access, struct ronbus **bus);

/**
 * ronbus_attach_wait() - find a bus by its name, or wait until there is one
 * @where: as in ronbus_create()
 * @name: its name
 * @access: set of &enum ronbus_access
 * @timeout_ns: nanoseconds to wait at most; negative for no limit; 0 to look only
 * @bus: receives the handle
 *
 * With this, publishers and subscribers may start, and start again, in any order. Only a missing
 * bus is waited for: a missing device is an error at once.
 *
 * Return: 0; -ETIMEDOUT; -EINTR: a signal; or as ronbus_attach().
 */
int ronbus_attach_wait(const char *where, const char *name, unsigned int access, int64_t timeout_ns,
		       struct ronbus **bus);

/**
 * ronbus_attach_last() - find the last bus that had a name
 * @where: as in ronbus_create()
 * @name: its name
 * @access: set of &enum ronbus_access
 * @bus: receives the handle
 *
 * A bus gives up its name when it is sealed or ends, but exists as long as any process has it open.
 * This function opens such a bus, to read what is left in it.
 *
 * Return: as ronbus_attach().
 */
int ronbus_attach_last(const char *where, const char *name, unsigned int access,
		       struct ronbus **bus);

/**
 * ronbus_open() - find a bus by its name, or make it
 * @where: as in ronbus_create()
 * @opts: properties of the bus if it is made; its name is not NULL
 * @access: set of &enum ronbus_access, if the bus exists; its creator has all access
 * @bus: receives the handle
 *
 * This is one step: of several processes that call it at the same time, one makes the bus, and the
 * others attach to it. A bus that existed may have other properties than @opts: see
 * ronbus_bus_info().
 *
 * Return: 1: it was made; 0: it existed; -EAGAIN: other processes made and ended one again and
 * again; or as ronbus_create() and ronbus_attach().
 */
int ronbus_open(const char *where, const struct ronbus_options *opts, unsigned int access,
		struct ronbus **bus);

/**
 * ronbus_adopt() - make a handle of a bus fd
 * @fd: a bus fd, such as another process sent; on success the handle owns it
 * @bus: receives the handle
 *
 * Return: 0; -ENOTTY, -EBADF or -EINVAL: not a bus fd; -EPROTO.
 */
int ronbus_adopt(int fd, struct ronbus **bus);

/**
 * ronbus_bus_fd() - the fd of a bus handle, to be sent to another process
 * @bus: the bus
 *
 * Return: the fd, still owned by the handle; -EOPNOTSUPP: embedded buses have none.
 */
int ronbus_bus_fd(const struct ronbus *bus);

/**
 * ronbus_share() - make an fd of a bus with less access, to be sent to another process
 * @bus: the bus
 * @access: set of &enum ronbus_access: to subscribe, to publish or both, with publishing also to
 *	end the bus; no more than the handle has
 *
 * Return: the fd, which is the caller's to close; -EACCES: the handle does not have that access;
 * -EINVAL: there is no such access; -EOPNOTSUPP: embedded buses have no fds; -EMFILE, -ENFILE,
 * -ENOMEM.
 */
int ronbus_share(const struct ronbus *bus, unsigned int access);

/**
 * ronbus_bus_info() - what a bus is
 * @bus: the bus
 * @info: filled
 */
int ronbus_bus_info(struct ronbus *bus, struct ronbus_info *info);

/**
 * ronbus_query() - what a transport can do; needs no bus
 * @where: as in ronbus_create()
 * @query: filled
 */
int ronbus_query(const char *where, struct ronbus_query *query);

/**
 * ronbus_seal() - let no further publisher join
 * @bus: the bus, with publish access, of its owner or of its creator
 *
 * The bus ends when the present publishers have left.
 */
int ronbus_seal(struct ronbus *bus);

/**
 * ronbus_stats() - read the counters
 * @bus: the bus
 * @which: index of a subscriber, or RONBUS_STATS_BUS
 * @stats: filled
 *
 * Return: 0; -ENOENT: no such subscriber.
 */
int ronbus_stats(struct ronbus *bus, unsigned int which, struct ronbus_stats *stats);

/**
 * ronbus_close() - close a bus handle
 * @bus: the bus, or NULL
 *
 * The bus itself lives as long as any process has a handle of any kind.
 */
void ronbus_close(struct ronbus *bus);

/**
 * struct ronbus_counter - a counter with its name
 * @name: full name, such as "bus_wakes_total"
 * @key: what several counters of one name differ in, such as "cause"; NULL if there is only one
 * @label: which of them, such as "data"; NULL likewise
 * @value: its value
 */
struct ronbus_counter {
	const char *name;
	const char *key;
	const char *label;
	__u64 value;
};

/**
 * typedef ronbus_counter_fn - what to do with a counter
 * @arg: as given to ronbus_counters_each()
 * @counter: the counter
 */
typedef void (*ronbus_counter_fn)(void *arg, const struct ronbus_counter *counter);

/**
 * ronbus_counters_each() - call a function for each counter that ronbus_stats() read
 * @stats: what it read
 * @fn: called for each of @stats->counters, and for the gauges bus_cap_selected and, of a
 *	subscriber, bus_sub_pending
 * @arg: passed on
 */
void ronbus_counters_each(const struct ronbus_stats *stats, ronbus_counter_fn fn, void *arg);

/* ---- publishing ----------------------------------------------------------------------- */

/**
 * enum ronbus_pub_flag - how a publisher handle publishes
 * @RONBUS_PUB_MAPPED_ONLY: through a mapping, or fail; without it, by system call where a
 *	mapping is refused
 * @RONBUS_PUB_SYSCALL: by system call
 * @RONBUS_PUB_SINGLE: one thread at a time uses the handle, which saves some locked
 *	instructions; exclusive buses imply it
 */
enum ronbus_pub_flag {
	RONBUS_PUB_MAPPED_ONLY = 1 << 0,
	RONBUS_PUB_SYSCALL = 1 << 1,
	RONBUS_PUB_SINGLE = 1 << 2,
};

/**
 * ronbus_publisher() - join a bus as a publisher
 * @bus: the bus, which may be closed before the publisher
 * @flags: set of &enum ronbus_pub_flag
 * @pub: receives the handle
 *
 * Return: 0; -EBUSY: an exclusive bus has its publisher; -ESHUTDOWN: the bus has ended; -EPERM:
 * it is sealed, or RONBUS_PUB_MAPPED_ONLY and this caller may not; -ENOSPC: and no publisher id
 * is free; -EACCES: the handle is not for publishing; -EINVAL, -ENOMEM, -EMFILE.
 */
int ronbus_publisher(struct ronbus *bus, unsigned int flags, struct ronbus_pub **pub);

/**
 * ronbus_publish() - publish a message
 * @pub: the publisher
 * @topic: its topic, below RONBUS_TOPICS_MAX
 * @data: its bytes; may be NULL if there are none
 * @len: how many, up to the payload of the bus
 *
 * Never waits.
 *
 * Return: how many subscribers the message is for, 0 meaning that nothing was written, but with
 * RONBUS_BUS_RETAIN; -EMSGSIZE: too long; -EINVAL: no such topic; -EAGAIN: dropped, since every
 * slot is held by a publisher that is not getting on.
 */
RONBUS_INLINE int ronbus_publish(struct ronbus_pub *pub, unsigned int topic, const void *data,
				 size_t len);

/**
 * ronbus_publish_many() - publish messages of one topic
 * @pub: the publisher
 * @topic: their topic
 * @vec: their bytes
 * @count: how many
 *
 * With RONBUS_F_BATCH this costs one look at the audience, one full barrier and at most one
 * notification.
 *
 * Return: how many were accepted, in order from the first; an error, as of ronbus_publish(), only
 * if none was.
 */
RONBUS_INLINE int ronbus_publish_many(struct ronbus_pub *pub, unsigned int topic,
				      const struct iovec *vec, unsigned int count);

/**
 * ronbus_pub_fd() - the fd of a publisher handle
 * @pub: the publisher
 *
 * Return: the fd; -EOPNOTSUPP: embedded.
 */
int ronbus_pub_fd(const struct ronbus_pub *pub);

/**
 * ronbus_pub_mapped() - does this handle publish through a mapping
 * @pub: the publisher
 *
 * Return: 1 or 0.
 */
int ronbus_pub_mapped(const struct ronbus_pub *pub);

/**
 * ronbus_pub_receivers() - how many subscribers a message would be for
 * @pub: the publisher
 * @topic: its topic, below RONBUS_TOPICS_MAX
 *
 * As of now, without a system call.
 *
 * Return: how many; -EINVAL: no such topic.
 */
int ronbus_pub_receivers(const struct ronbus_pub *pub, unsigned int topic);

/**
 * ronbus_pub_wait() - wait until there is a subscriber
 * @pub: the publisher
 * @timeout_ns: nanoseconds to wait at most; negative for no limit; 0 to look only
 *
 * The same for an event loop: ronbus_pub_fd() is writable (POLLOUT) while there are subscribers,
 * of any topic.
 *
 * Return: 0: there is one; -ETIMEDOUT; -EINTR: a signal.
 */
int ronbus_pub_wait(struct ronbus_pub *pub, int64_t timeout_ns);

/**
 * ronbus_pub_close() - leave
 * @pub: the publisher, or NULL
 */
void ronbus_pub_close(struct ronbus_pub *pub);

/* ---- subscribing ---------------------------------------------------------------------- */

/**
 * struct ronbus_sub_options - how to join; all zero reads all that comes from now on
 * @start: one of &enum ronbus_start
 * @reserved0: zero
 * @position: with RONBUS_START_AT where to begin
 * @topics: set of topics wanted, with RONBUS_F_INTEREST; 0 stands for all
 * @reserved: zero
 */
struct ronbus_sub_options {
	__u32 start;
	__u32 reserved0;
	__u64 position;
	__u64 topics;
	__u64 reserved[5];
};

/**
 * struct ronbus_msg - a message as received, or the report of a loss
 * @data: its bytes: the caller's buffer, or the ring (ronbus_peek()), or NULL with
 *	RONBUS_LAGGED. Where it is not the caller's buffer it is a multiple of 8; and of 64, if the
 *	payload of the bus is one and the bus has RONBUS_F_SOA
 * @position: where it stood on the bus; with RONBUS_LAGGED where reading goes on
 * @lost: with RONBUS_LAGGED how many positions were lost, else 0
 * @len: bytes
 * @topic: its topic
 * @publisher: id of the publisher that wrote it; 0 for one that publishes by system call
 * @time: with RONBUS_F_TIME when it was published, in nanoseconds of this process's
 *	CLOCK_MONOTONIC; else, and with RONBUS_LAGGED, 0
 *
 * On a bus with mapped publishers, @topic, @publisher and @time are what the publisher says.
 */
struct ronbus_msg {
	const void *data;
	__u64 position;
	__u64 lost;
	__u32 len;
	__u16 topic;
	__u16 publisher;
	__u64 time;
};

/**
 * enum ronbus_received - what a receiving function returns
 * @RONBUS_CLOSED: the end: every publisher has left, everything has been read
 * @RONBUS_MESSAGE: a message
 * @RONBUS_LAGGED: the subscriber was overtaken; the next call reads the oldest message that is
 *	still there
 */
enum ronbus_received {
	RONBUS_CLOSED = 0,
	RONBUS_MESSAGE = 1,
	RONBUS_LAGGED = 2,
};

/**
 * ronbus_subscribe() - join a bus as a subscriber
 * @bus: the bus, which may be closed before the subscriber
 * @opts: how; NULL for defaults
 * @sub: receives the handle
 *
 * Return: 0; -ENOSPC: there are 64 already; -ERANGE: the position lies ahead of the bus or
 * before its beginning; -EACCES: the handle is not for subscribing; -EINVAL, -ENOMEM, -EMFILE.
 */
int ronbus_subscribe(struct ronbus *bus, const struct ronbus_sub_options *opts,
		     struct ronbus_sub **sub);

/**
 * ronbus_sub_set_topics() - choose other topics, on a bus with RONBUS_F_INTEREST
 * @sub: the subscriber
 * @topics: set of topics wanted from now on, not empty
 *
 * What is published after this has returned is addressed by the new choice; what was addressed to
 * the subscriber before is still delivered. Messages of a new topic that were there already are
 * not.
 *
 * Return: 0; -EINVAL: no topics; -EOPNOTSUPP: the bus does not have the feature.
 */
int ronbus_sub_set_topics(struct ronbus_sub *sub, __u64 topics);

/**
 * ronbus_sub_set_coalesce() - be woken for several messages at once, on a bus with RONBUS_F_COALESCE
 * @sub: the subscriber
 * @messages: how many, up to half of the slots and RONBUS_COALESCE_MAX; 0 or 1 for the first, as
 *	without this
 * @delay_ns: but no later than so many nanoseconds after the first, RONBUS_COALESCE_DELAY_MIN to
 *	RONBUS_COALESCE_DELAY_MAX
 *
 * This applies to every way to sleep and to be signalled. Receiving returns what there is.
 *
 * Return: 0; -EINVAL: too many, or no such delay; -EOPNOTSUPP: the bus does not have the feature;
 * on "embedded:" also -EAGAIN: no thread for it, -ENOMEM.
 */
int ronbus_sub_set_coalesce(struct ronbus_sub *sub, unsigned int messages, __u64 delay_ns);

/**
 * ronbus_try_recv() - receive a message if there is one
 * @sub: the subscriber
 * @buf: where to put it
 * @size: bytes there
 * @msg: filled
 *
 * Return: RONBUS_MESSAGE; RONBUS_LAGGED: msg->lost messages were lost, call again for the next;
 * RONBUS_CLOSED: that was all; -EAGAIN: nothing now; -EMSGSIZE: the buffer is too small for
 * msg->len bytes, the message stays.
 */
RONBUS_INLINE int ronbus_try_recv(struct ronbus_sub *sub, void *buf, size_t size,
				  struct ronbus_msg *msg);

/**
 * ronbus_recv_many() - receive several messages if they are there
 * @sub: the subscriber
 * @buf: where to put them: message i at i * @size
 * @size: bytes there for each
 * @msgs: filled, in order
 * @count: how many there is room for, at most INT_MAX
 *
 * The same as several calls of ronbus_try_recv(), but the subscriber's own page is written once,
 * after the last message: if the thread is killed in here, nothing counts as received. A loss is an
 * entry like a message, with lost not 0 and no data.
 *
 * Return: how many entries, at least 1; RONBUS_CLOSED: that was all; -EAGAIN: nothing now;
 * -EMSGSIZE: the first one has msgs->len bytes, and does not fit; it stays; -EINVAL: @count is 0.
 */
RONBUS_INLINE int ronbus_recv_many(struct ronbus_sub *sub, void *buf, size_t size,
				   struct ronbus_msg *msgs, unsigned int count);

/**
 * ronbus_peek() - look at the next message where it is
 * @sub: the subscriber
 * @msg: filled; @data points into the ring, where the message may be overwritten at any time
 *
 * What was read there is not valid until ronbus_release() has returned 0. Until then, the next call
 * returns the same message.
 *
 * Return: as ronbus_try_recv().
 */
RONBUS_INLINE int ronbus_peek(struct ronbus_sub *sub, struct ronbus_msg *msg);

/**
 * ronbus_release() - end the use of a message that was peeked at
 * @sub: the subscriber
 *
 * Return: 0: it was whole all the time, and counts as received; -ESTALE: it was overwritten, and
 * the next call reports the loss; -EINVAL: there was no ronbus_peek() before.
 */
RONBUS_INLINE int ronbus_release(struct ronbus_sub *sub);

/**
 * ronbus_wait() - sleep until there is something to look at, or the bus has ended
 * @sub: the subscriber
 * @timeout_ns: nanoseconds; negative for no limit
 *
 * Return: 0; -ETIMEDOUT; -EINTR; -ECANCELED: ronbus_cancel().
 */
int ronbus_wait(struct ronbus_sub *sub, int64_t timeout_ns);

/**
 * ronbus_recv() - receive a message, sleeping if there is none
 * @sub: the subscriber
 * @buf: where to put it
 * @size: bytes there
 * @msg: filled
 * @timeout_ns: nanoseconds; negative for no limit
 *
 * Return: as ronbus_try_recv(), but -ETIMEDOUT, -EINTR or -ECANCELED in place of -EAGAIN.
 */
int ronbus_recv(struct ronbus_sub *sub, void *buf, size_t size, struct ronbus_msg *msg,
		int64_t timeout_ns);

/**
 * typedef ronbus_drain_fn - what to do with a message
 * @arg: as given to ronbus_drain()
 * @what: RONBUS_MESSAGE or RONBUS_LAGGED
 * @msg: the message, its bytes in a buffer that stays whole until the function returns
 *
 * Return: 0 to go on, anything else to stop after this one.
 */
typedef int (*ronbus_drain_fn)(void *arg, int what, const struct ronbus_msg *msg);

/**
 * ronbus_drain() - receive all messages, up to a budget; sleep only if there are none
 * @sub: the subscriber; @fn must not use it, but for ronbus_block_pin() and ronbus_block_unpin()
 * @fn: called for each message and each loss
 * @arg: passed on
 * @budget: how many at most, not 0
 * @timeout_ns: how long to sleep if there is nothing; 0 not to, negative for no limit
 *
 * A subscriber calls this in a loop. It receives what there is; when it finds nothing, it arms,
 * looks once more, and only then sleeps. The budget limits what a thread with other work spends on
 * this subscriber at a time.
 *
 * Return: how often @fn was called; if it was not: 0 (RONBUS_CLOSED), -EAGAIN with a timeout of 0,
 * else -ETIMEDOUT, -EINTR or -ECANCELED, as ronbus_recv(); -EINVAL: no budget.
 */
int ronbus_drain(struct ronbus_sub *sub, ronbus_drain_fn fn, void *arg, unsigned int budget,
		 int64_t timeout_ns);

/**
 * ronbus_sub_fd() - an fd to poll for input
 * @sub: the subscriber
 *
 * It becomes readable when there is something to look at, and on both transports is reliable in
 * this order: receive until -EAGAIN; ronbus_arm(); if that returned 0, poll. To read from it is
 * not portable.
 *
 * Return: the fd, owned by the handle.
 */
int ronbus_sub_fd(struct ronbus_sub *sub);

/**
 * ronbus_arm() - ask to be woken
 * @sub: the subscriber
 *
 * Return: 0: nothing there, and the next message makes ronbus_sub_fd() readable and signals the
 * eventfd; 1: there is something to look at, or the bus has ended.
 */
int ronbus_arm(struct ronbus_sub *sub);

/**
 * ronbus_sub_set_eventfd() - have an eventfd signalled whenever the subscriber is woken
 * @sub: the subscriber
 * @fd: the eventfd, in place of one set before, not owned by the handle; -1 for none
 *
 * Only a subscriber that is armed, or sleeps, is woken.
 *
 * Return: 0; -EBADF; -EINVAL: not an eventfd.
 */
int ronbus_sub_set_eventfd(struct ronbus_sub *sub, int fd);

/**
 * ronbus_cancel() - end the sleep of a thread in ronbus_wait(), ronbus_recv() or ronbus_drain()
 * @sub: its subscriber; the one function that another thread may call for it meanwhile
 *
 * That call returns -ECANCELED, unless there is something to read. So do waits in io_uring, on the
 * device. A call that has begun ends, even if it is between two sleeps at that moment; a call that
 * begins later does not. To stop a thread, set a flag that it reads between two calls, and call
 * this until it has stopped, or let it sleep with a limit.
 *
 * Return: 0.
 */
int ronbus_cancel(struct ronbus_sub *sub);

/**
 * ronbus_sub_position() - the position that is read next
 * @sub: the subscriber
 */
__u64 ronbus_sub_position(const struct ronbus_sub *sub);

/**
 * ronbus_sub_index() - the subscriber's bit in masks, and its number in ronbus_stats()
 * @sub: the subscriber
 */
unsigned int ronbus_sub_index(const struct ronbus_sub *sub);

/**
 * ronbus_sub_backlog() - how many positions a subscriber has not read
 * @sub: the subscriber
 *
 * Positions from what it reads next to what has been published last, with holes and messages for
 * others; more than the capacity of the bus if some are lost already. Needs no system call. Where
 * publishers map the ring, the number is what they say.
 */
__u64 ronbus_sub_backlog(const struct ronbus_sub *sub);

/**
 * ronbus_sub_close() - leave
 * @sub: the subscriber, or NULL
 */
void ronbus_sub_close(struct ronbus_sub *sub);

/* ---- blocks --------------------------------------------------------------------------- */

/*
 * Large or rare data on a bus with RONBUS_F_BLOCKS. It is copied once, into a block, and the
 * message says where it is; readers pin the block and read it in place. Blocks are used in turn, so
 * that a message that is old enough has lost its block, as it loses its slot; what is pinned stays.
 * A bus that has as many blocks as slots, and as many more as are pinned or being written at a
 * time, has the block of every message that is in the ring.
 */

/**
 * struct ronbus_block - data that a subscriber has pinned
 * @data: its bytes, in cache lines of their own
 * @len: how many
 * @pin: which pin it is
 */
struct ronbus_block {
	const void *data;
	__u32 len;
	__u32 pin;
};

/**
 * ronbus_publish_block() - publish a message whose data is in a block
 * @pub: the publisher
 * @topic: its topic, below RONBUS_TOPICS_MAX
 * @event: the message itself; may be NULL if there is none
 * @event_len: its bytes, at most the payload less sizeof(struct ronbus_block_ref)
 * @data: the data
 * @len: bytes of it, 1 to the block size
 *
 * On the device this is a system call, also for a mapped publisher. Never waits. Readers receive
 * @event and after it a &struct ronbus_block_ref.
 *
 * Return: how many subscribers the message is for, 0 meaning that nothing was written; -ENOBUFS:
 * dropped, since every block is pinned or being written; -EMSGSIZE: one of them is too long;
 * -EINVAL: no such topic, or no data; -EOPNOTSUPP: the bus has no blocks; -EAGAIN: as
 * ronbus_publish(); -EFAULT; -ENOMEM.
 */
int ronbus_publish_block(struct ronbus_pub *pub, unsigned int topic, const void *event,
			 size_t event_len, const void *data, size_t len);

/**
 * ronbus_block_pin() - keep the data of a message
 * @sub: the subscriber that received it
 * @msg: the message; its publisher and its reader have agreed that it has a block
 * @block: filled
 *
 * Until ronbus_block_unpin() the data stays as it is, even if the message is overwritten. A
 * subscriber can have RONBUS_PINS_MAX blocks pinned. Publishers cannot use a pinned block, so do
 * not keep it longer than necessary. After ronbus_peek(), the block is known to be the right one
 * once ronbus_release() has returned 0.
 *
 * Return: 0; -ESTALE: the block was needed for a newer message, and this data is lost; -EINVAL: the
 * message names no block; -ENOSPC: all pins are in use; -EOPNOTSUPP: the bus has no blocks.
 */
int ronbus_block_pin(struct ronbus_sub *sub, const struct ronbus_msg *msg,
		     struct ronbus_block *block);

/**
 * ronbus_block_unpin() - release the data of a message
 * @sub: the subscriber
 * @block: what was pinned, or has been unpinned already
 *
 * Closing the subscriber unpins all, and unmaps them: @block->data is gone then.
 */
void ronbus_block_unpin(struct ronbus_sub *sub, struct ronbus_block *block);

/* ---- io_uring -------------------------------------------------------------------------- */

/*
 * For programs that have an io_uring, by liburing or by their own code. These functions fill a
 * submission queue entry and say what a completion means; user_data and flags of the entry are the
 * program's, to be set after them. Nothing here needs a thread of its own. ronbus_uring(3) has an
 * example.
 */
struct io_uring_sqe;

/**
 * ronbus_uring_check() - can commands be given to a bus through io_uring
 * @bus: the bus
 *
 * Return: 0; -ENOSYS: this kernel has no io_uring; -EPERM: it is switched off, by
 * kernel.io_uring_disabled or a sandbox; -EOPNOTSUPP: it is too old for commands; -ENOMEM, -EMFILE.
 */
int ronbus_uring_check(const struct ronbus *bus);

/**
 * ronbus_uring_prep_wait() - to complete when there is something to look at, or the bus has ended
 * @sqe: the entry
 * @sub: the subscriber, which is not to be closed before the completion
 * @timeout_ns: nanoseconds from now; negative for no limit
 *
 * It completes once. Receive until -EAGAIN, then submit the next one. To end it early, use
 * ronbus_uring_prep_cancel() or ronbus_cancel(); closing the io_uring ends its waits, too.
 *
 * Return: 0; on "embedded:" also -EOPNOTSUPP for a limit, -EMFILE, -ENFILE or -ENOMEM.
 */
int ronbus_uring_prep_wait(struct io_uring_sqe *sqe, struct ronbus_sub *sub, int64_t timeout_ns);

/**
 * ronbus_uring_waited() - what the completion of a wait says
 * @sub: its subscriber
 * @res: cqe->res
 *
 * Return: as ronbus_wait(), or -ECANCELED.
 */
int ronbus_uring_waited(struct ronbus_sub *sub, int res);

/**
 * ronbus_uring_prep_poll() - to complete whenever the subscriber is woken
 * @sqe: the entry
 * @sub: the subscriber
 *
 * A multishot poll of ronbus_sub_fd(). It completes once each time the subscriber is armed and
 * then woken, so the order is, at the beginning and after each completion: receive until -EAGAIN;
 * ronbus_arm(); if that returned 1, receive again. It ends with a completion without
 * IORING_CQE_F_MORE.
 *
 * Return: 0; on "embedded:" also -EMFILE, -ENFILE or -ENOMEM.
 */
int ronbus_uring_prep_poll(struct io_uring_sqe *sqe, struct ronbus_sub *sub);

/**
 * ronbus_uring_prep_cancel() - end the waits of a subscriber: they complete with -ECANCELED
 * @sqe: the entry
 * @sub: the subscriber
 *
 * Its own completion is 0 or more. On "embedded:" it reaches only waits of the same ring.
 *
 * Return: 0.
 */
int ronbus_uring_prep_cancel(struct io_uring_sqe *sqe, struct ronbus_sub *sub);

/**
 * ronbus_uring_prep_publish() - publish messages of one topic
 * @sqe: the entry
 * @pub: a publisher by system call (RONBUS_PUB_SYSCALL)
 * @topic: their topic
 * @vec: the messages; they and what they point to stay as they are until the completion
 * @count: how many, 1 to RONBUS_BATCH_MAX
 *
 * cqe->res is what ronbus_publish_many() would return.
 *
 * Return: 0; -EOPNOTSUPP: the publisher has a mapping, or is embedded, and needs no system call;
 * -EINVAL: no such topic or count.
 */
int ronbus_uring_prep_publish(struct io_uring_sqe *sqe, struct ronbus_pub *pub, unsigned int topic,
			      const struct ronbus_vec *vec, unsigned int count);

/* ---- local dispatch -------------------------------------------------------------------- */

/*
 * One subscription for many workers of one process. A bus has 64 subscribers, and a publisher may
 * have to wake each of them; a program that reads the same stream in several threads subscribes
 * once, and has what it reads handed on to its workers through a queue each. The thread that
 * runs the dispatch copies a message once for each worker it is for, and wakes a worker once for
 * all that it handed on at a time.
 *
 * If a worker is too slow, its queue loses messages and reports the loss, as the bus does. No
 * worker slows down another, or the dispatch.
 *
 * Threads. One thread at a time runs a dispatch, another may stop or drain it, and each worker is
 * used by one thread at a time.
 */
struct ronbus_dispatch; /* a subscription with workers */
struct ronbus_worker; /* one of them */

/**
 * typedef ronbus_route_fn - which workers a message is for
 * @arg: as given in &struct ronbus_dispatch_options
 * @msg: the message; its bytes stay whole until the function returns
 *
 * Return: set of workers, bit n for worker n. Bits of workers that do not exist mean nothing.
 */
typedef __u64 (*ronbus_route_fn)(void *arg, const struct ronbus_msg *msg);

/**
 * struct ronbus_dispatch_options - how to hand on
 * @workers: how many there are, 1 to 64
 * @capacity: messages a queue holds, a power of two, 4 to 2^20; 0 for 256
 * @route: which of them a message is for; NULL for all of them
 * @arg: passed to @route
 * @reserved: zero
 */
struct ronbus_dispatch_options {
	__u32 workers;
	__u32 capacity;
	ronbus_route_fn route;
	void *arg;
	__u64 reserved[4];
};

/**
 * ronbus_dispatch_open() - share a subscription among workers
 * @sub: the subscription, not to be used otherwise before ronbus_dispatch_close(), which leaves it
 *	open
 * @opts: how
 * @dispatch: receives the handle
 *
 * Return: 0; -EINVAL: no such number of workers, no such capacity, or queues above 64 MiB; -ENOMEM.
 */
int ronbus_dispatch_open(struct ronbus_sub *sub, const struct ronbus_dispatch_options *opts,
			 struct ronbus_dispatch **dispatch);

/**
 * ronbus_dispatch_worker() - a worker of a dispatch
 * @dispatch: the dispatch, which owns it
 * @number: 0 to one below their number
 *
 * Return: the worker; NULL: there is none of that number.
 */
struct ronbus_worker *ronbus_dispatch_worker(struct ronbus_dispatch *dispatch, unsigned int number);

/**
 * ronbus_dispatch_run() - hand on the messages there are; sleep if there are none
 * @dispatch: the dispatch, not started
 * @timeout_ns: how long to sleep; 0 not to, negative for no limit
 *
 * Hands on at most 64 messages before the workers are woken, and returns.
 *
 * Return: how many messages and losses were handed on; RONBUS_CLOSED: the bus has ended, or the
 * dispatch was stopped, and the workers will get what they have and then the end; -EAGAIN with a
 * timeout of 0, else -ETIMEDOUT, -EINTR or -ECANCELED, as ronbus_recv().
 */
int ronbus_dispatch_run(struct ronbus_dispatch *dispatch, int64_t timeout_ns);

/**
 * ronbus_dispatch_start() - run it in a thread of its own, until it is stopped or the bus ends
 * @dispatch: the dispatch
 *
 * Return: 0; -EBUSY: it has been started; -EAGAIN: no more threads.
 */
int ronbus_dispatch_start(struct ronbus_dispatch *dispatch);

/**
 * ronbus_dispatch_stop() - hand on nothing more
 * @dispatch: the dispatch
 *
 * Workers read what is in their queues, and then the end. If it was started, its thread has ended
 * when this returns; if another thread calls ronbus_dispatch_run(), that returns RONBUS_CLOSED, at
 * the latest when it has slept for its timeout.
 */
void ronbus_dispatch_stop(struct ronbus_dispatch *dispatch);

/**
 * ronbus_dispatch_drain() - hand on what is on the bus now, and then stop
 * @dispatch: the dispatch
 *
 * What is published later is not handed on, nor is a message that is still being written when it
 * is all that is left. Otherwise as ronbus_dispatch_stop().
 */
void ronbus_dispatch_drain(struct ronbus_dispatch *dispatch);

/**
 * ronbus_dispatch_close() - free a dispatch and its workers
 * @dispatch: the dispatch, or NULL; no worker may be in use
 */
void ronbus_dispatch_close(struct ronbus_dispatch *dispatch);

/**
 * ronbus_worker_recv() - receive what was handed on
 * @worker: the worker
 * @buf: where to put it
 * @size: bytes there
 * @msg: filled, with position, topic and publisher as on the bus
 * @timeout_ns: nanoseconds; 0 not to sleep, negative for no limit
 *
 * Return: as ronbus_recv(), and -EAGAIN with a timeout of 0. RONBUS_LAGGED tells either of losses
 * of the subscription, in positions of the bus, with msg->position where it goes on; or of losses
 * of this worker's queue, in messages that were for it, with msg->position the one after the last
 * message it got.
 */
int ronbus_worker_recv(struct ronbus_worker *worker, void *buf, size_t size, struct ronbus_msg *msg,
		       int64_t timeout_ns);

/**
 * ronbus_worker_drain() - receive all there is, up to a budget; sleep only if there is nothing
 * @worker: the worker
 * @fn: called for each message and each loss
 * @arg: passed on
 * @budget: how many at most, not 0
 * @timeout_ns: as in ronbus_worker_recv()
 *
 * Return: as ronbus_drain().
 */
int ronbus_worker_drain(struct ronbus_worker *worker, ronbus_drain_fn fn, void *arg,
			unsigned int budget, int64_t timeout_ns);

/**
 * ronbus_worker_fd() - an fd to poll for input, as ronbus_sub_fd()
 * @worker: the worker
 */
int ronbus_worker_fd(struct ronbus_worker *worker);

/**
 * ronbus_worker_arm() - ask to be woken, as ronbus_arm()
 * @worker: the worker
 */
int ronbus_worker_arm(struct ronbus_worker *worker);

/**
 * ronbus_worker_stats() - the counters of a worker's queue
 * @worker: the worker
 * @stats: filled, as for a subscriber; a loss of the subscription counts as one message
 */
int ronbus_worker_stats(struct ronbus_worker *worker, struct ronbus_stats *stats);

/* ---- other ---------------------------------------------------------------------------- */

/**
 * ronbus_why() - what an error means, and what to do about it
 * @where: as given to the function that failed
 * @err: what it returned
 *
 * Return: a sentence or two for a person. The text is never freed.
 */
const char *ronbus_why(const char *where, int err);

/**
 * ronbus_version() - version of the library at run time
 *
 * Return: for example "0.1.0".
 */
const char *ronbus_version(void);

/**
 * ronbus_autotune_capacity() - what RONBUS_F_AUTOTUNE_CAP chooses
 * @subscribers: expected number of subscribers
 * @override: a capacity that wins, or 0
 *
 * Return: slots.
 */
unsigned int ronbus_autotune_capacity(unsigned int subscribers, unsigned int override);

/**
 * ronbus_capacity_for() - how many slots a bus needs for its subscribers to miss nothing
 * @rate: messages a second, of all publishers and topics together
 * @pause_ns: nanoseconds that the slowest subscriber may not read, at the most: its longest piece
 *	of work, and what the scheduler adds to that
 *
 * As many as are published in that time, rounded up to a power of two, within RONBUS_CAPACITY_MIN
 * and RONBUS_CAPACITY_MAX.
 *
 * Return: slots.
 */
unsigned int ronbus_capacity_for(__u64 rate, __u64 pause_ns);

#ifdef __cplusplus
#ifndef __clang__
#pragma GCC diagnostic pop
#endif
}
#endif

#include <libronbus_inline.h>

#endif /* LIBRONBUS_H */
