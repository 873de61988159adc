/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * ronbus.h - the ABI of /dev/ronbus
 *
 * A bus is a lossy, never-blocking broadcast ring that the processes of one host share. This
 * header holds what the kernel module and a program agree on: ioctls, their arguments, the
 * mapped pages. How the words of the ring are used is in ronbus_ring.h.
 *
 * Three rules hold for every structure here.
 *
 *  - It grows only at its end. The size a program was built with travels in the ioctl number;
 *    the kernel takes missing members as zero, and fails with E2BIG if members it does not know
 *    are not zero. On the way back it fills what both sides know, and zeroes the rest of what
 *    the program has.
 *  - Padding and unknown flags must be zero (EINVAL).
 *  - It has the same layout for 32 and 64 bit programs.
 *
 * The errors of each ioctl are in ronbus(4).
 */
#ifndef _UAPI_RONBUS_H
#define _UAPI_RONBUS_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define RONBUS_ABI_VERSION 1

/* What a bus can be: hard bounds of the ABI. The module may allow less; RONBUS_IOC_QUERY tells. */
#define RONBUS_SUBSCRIBERS_MAX 64 /* one bit each in a mask */
#define RONBUS_TOPICS_MAX 64
#define RONBUS_PUBLISHERS_MAX 63 /* mapped ones; 0 stands for all that publish by system call */
#define RONBUS_CAPACITY_MIN 4 /* slots, a power of two */
#define RONBUS_CAPACITY_MAX (1U << 20)
#define RONBUS_PAYLOAD_MIN 8 /* bytes, a multiple of 8 */
#define RONBUS_PAYLOAD_MAX 4096
#define RONBUS_BATCH_MAX 1024 /* messages in one RONBUS_IOC_PUBLISH */
#define RONBUS_NAME_SIZE 64 /* bytes, with the final NUL */
#define RONBUS_BLOCK_SIZE_MIN 64 /* bytes, a multiple of 64 */
#define RONBUS_BLOCK_SIZE_MAX (1U << 20)
#define RONBUS_BLOCKS_MAX (1U << 16)
#define RONBUS_PINS_MAX 8 /* blocks that one subscriber can have pinned */

/* The capacity of a bus whose creator asks for none. */
#define RONBUS_CAPACITY_DEFAULT 64
#define RONBUS_PAYLOAD_DEFAULT 32
#define RONBUS_BLOCK_SIZE_DEFAULT 4096 /* as many blocks as slots */

/**
 * enum ronbus_feature - features of a bus, chosen when it is created, all off by default
 * @RONBUS_F_EDGE_NOTIFY: publishers enter the kernel only when a subscriber they publish for
 *	sleeps
 * @RONBUS_F_BATCH: a batch costs one look at the audience, one full barrier and at most one
 *	notification
 * @RONBUS_F_AUTOTUNE_CAP: capacity follows the expected number of subscribers
 * @RONBUS_F_METRICS_BUF: counters of a member are kept per thread and flushed now and then
 * @RONBUS_F_SOA: arrays of state, mask, meta and payload instead of slots; see ronbus_ring.h
 * @RONBUS_F_INTEREST: subscribers choose topics
 * @RONBUS_F_COALESCE: subscribers are woken every so many messages or after so much time
 * @RONBUS_F_BLOCKS: large data goes into blocks, which messages name
 * @RONBUS_F_TIME: each message says when it was published
 *
 * Which of them this kernel has: &struct ronbus_query. Others are refused with EOPNOTSUPP,
 * unknown bits with EINVAL.
 */
enum ronbus_feature {
	RONBUS_F_EDGE_NOTIFY = 1 << 0,
	RONBUS_F_BATCH = 1 << 1,
	RONBUS_F_AUTOTUNE_CAP = 1 << 2,
	RONBUS_F_METRICS_BUF = 1 << 3,
	RONBUS_F_SOA = 1 << 4,
	RONBUS_F_INTEREST = 1 << 5,
	RONBUS_F_COALESCE = 1 << 6,
	RONBUS_F_BLOCKS = 1 << 7,
	RONBUS_F_TIME = 1 << 8,
};

#define RONBUS_FEATURES_KNOWN ((1ULL << 9) - 1)

/* What most buses want: nothing here changes what is delivered, or when. */
#define RONBUS_FEATURES_RECOMMENDED                                              \
	((__u64)(RONBUS_F_EDGE_NOTIFY | RONBUS_F_BATCH | RONBUS_F_AUTOTUNE_CAP | \
		 RONBUS_F_METRICS_BUF))

/**
 * enum ronbus_bus_flag - how long a bus lives, and which processes write into its memory
 * @RONBUS_BUS_PERSISTENT: the bus does not end when its last publisher leaves
 * @RONBUS_BUS_EXCLUSIVE: one publisher at a time, used by one thread at a time
 * @RONBUS_BUS_MAP_NONE: every publisher publishes by system call
 * @RONBUS_BUS_MAP_ALL: every process that may publish may do so through a mapping, not only the
 *	owner of the bus; such a publisher can read everything, and can spoil the messages of others
 *	(see ronbus(7), "Trust")
 * @RONBUS_BUS_RETAIN: messages are written also while there is no subscriber for them, so that a
 *	subscriber that joins later finds them (RONBUS_START_OLDEST). With RONBUS_F_INTEREST it then
 *	gets what it wants when it reads, and not what it wanted when that was published
 * @RONBUS_BUS_COARSE_TIME: with RONBUS_F_TIME mapped publishers take CLOCK_MONOTONIC_COARSE, which
 *	is cheaper to read and up to a tick of the kernel old
 */
enum ronbus_bus_flag {
	RONBUS_BUS_PERSISTENT = 1 << 0,
	RONBUS_BUS_EXCLUSIVE = 1 << 1,
	RONBUS_BUS_MAP_NONE = 1 << 2,
	RONBUS_BUS_MAP_ALL = 1 << 3,
	RONBUS_BUS_RETAIN = 1 << 4,
	RONBUS_BUS_COARSE_TIME = 1 << 5,
};

#define RONBUS_BUS_FLAGS_KNOWN ((1U << 6) - 1)

/**
 * enum ronbus_access - what a bus fd lets its holder do
 * @RONBUS_ACCESS_SUBSCRIBE: join as a subscriber (the "r" of the mode)
 * @RONBUS_ACCESS_PUBLISH: join as a publisher (the "w" of the mode)
 * @RONBUS_ACCESS_END: end the bus, by sealing it or as the publisher that leaves it last. Not to be
 *	asked for by name: the owner of the bus has it, and so has the fd that
 *	RONBUS_IOC_CREATE returned, or one made of it by RONBUS_IOC_SHARE
 */
enum ronbus_access {
	RONBUS_ACCESS_SUBSCRIBE = 1 << 0,
	RONBUS_ACCESS_PUBLISH = 1 << 1,
	RONBUS_ACCESS_END = 1 << 2,
};

/**
 * struct ronbus_query - what this module is and can do; needs no bus
 * @abi_version: RONBUS_ABI_VERSION of the module
 * @page_size: bytes in a page, the unit of the mappings
 * @features: set of &enum ronbus_feature that RONBUS_IOC_CREATE accepts
 * @bus_flags: set of &enum ronbus_bus_flag that it accepts
 * @buses_max: buses that may exist at once
 * @ring_bytes_max: bytes the ring of one bus may have
 * @capacity_min: least number of slots
 * @capacity_max: largest number of slots
 * @payload_min: least payload in bytes
 * @payload_max: largest payload in bytes
 * @subscribers_max: subscribers a bus
 * @publishers_max: mapped publishers a bus
 * @topics_max: topics a bus
 * @batch_max: messages in one RONBUS_IOC_PUBLISH
 * @name_size: bytes of a name with its final NUL
 * @create_size: bytes of &struct ronbus_create
 * @info_size: bytes of &struct ronbus_info
 * @stats_size: bytes of &struct ronbus_stats
 * @info_page_size: bytes of &struct ronbus_info_page
 * @self_page_size: bytes of &struct ronbus_self
 * @blocks_bytes_max: bytes the blocks of one bus may have
 * @block_size_max: largest block in bytes
 * @blocks_max: blocks a bus
 */
struct ronbus_query {
	__u32 abi_version;
	__u32 page_size;
	__aligned_u64 features;
	__u32 bus_flags;
	__u32 buses_max;
	__aligned_u64 ring_bytes_max;
	__u32 capacity_min;
	__u32 capacity_max;
	__u32 payload_min;
	__u32 payload_max;
	__u32 subscribers_max;
	__u32 publishers_max;
	__u32 topics_max;
	__u32 batch_max;
	__u32 name_size;
	__u32 create_size;
	__u32 info_size;
	__u32 stats_size;
	__u32 info_page_size;
	__u32 self_page_size;
	__aligned_u64 blocks_bytes_max;
	__u32 block_size_max;
	__u32 blocks_max;
};

/**
 * struct ronbus_create - make a bus
 * @features: set of &enum ronbus_feature
 * @flags: set of &enum ronbus_bus_flag
 * @mode: which users may attach by name, as for a file: r to subscribe, w to publish, for
 *	owner, group and others; 0 stands for 0600
 * @capacity: slots, a power of two; 0 for the default. With RONBUS_F_AUTOTUNE_CAP 0 takes it
 *	from @subscribers. On return what was chosen.
 * @payload: bytes a message can have, a multiple of 8; 0 for the default; on return what was
 *	chosen
 * @subscribers: expected number of subscribers, with RONBUS_F_AUTOTUNE_CAP, else 0
 * @pad: zero
 * @name: name in the caller's IPC namespace, letters, digits and "._-", NUL to its end; empty
 *	for a bus without a name
 * @block_size: with RONBUS_F_BLOCKS bytes a block can have, a multiple of 64, 0 for the default;
 *	else 0; on return what was chosen
 * @blocks: with RONBUS_F_BLOCKS how many there are, 0 for as many as slots; else 0; on return
 *	what was chosen
 */
struct ronbus_create {
	__aligned_u64 features;
	__u32 flags;
	__u32 mode;
	__u32 capacity;
	__u32 payload;
	__u32 subscribers;
	__u32 pad;
	char name[RONBUS_NAME_SIZE];
	__u32 block_size;
	__u32 blocks;
};

/**
 * enum ronbus_attach_flag - which bus of a name is meant
 * @RONBUS_ATTACH_LAST: the last that had the name. Without it: the one that has it now. A bus has
 *	its name until it is sealed or ends, however long its members stay
 */
enum ronbus_attach_flag {
	RONBUS_ATTACH_LAST = 1 << 0,
};

/**
 * struct ronbus_attach - find a bus by its name
 * @access: set of &enum ronbus_access, not empty
 * @flags: set of &enum ronbus_attach_flag
 * @name: as in &struct ronbus_create, not empty
 * @deadline: until when to wait for one that has the name: CLOCK_MONOTONIC in nanoseconds,
 *	RONBUS_WAIT_FOREVER for no limit; 0 to look only
 */
struct ronbus_attach {
	__u32 access;
	__u32 flags;
	char name[RONBUS_NAME_SIZE];
	__aligned_u64 deadline;
};

/**
 * struct ronbus_share - make another fd of a bus, to be passed on
 * @access: set of &enum ronbus_access that it has: to subscribe or to publish at least, to end the
 *	bus only with publishing, and no more than this fd has in the hands of the caller
 * @pad: zero
 */
struct ronbus_share {
	__u32 access;
	__u32 pad;
};

/**
 * enum ronbus_publisher_flag - how a publisher publishes
 * @RONBUS_PUBLISHER_MAPPED: through a mapping of the ring. Without it: by RONBUS_IOC_PUBLISH
 *	only.
 * @RONBUS_PUBLISHER_BPF: for BPF programs, which call bpf_ronbus_publish() with the token
 *	returned, as long as the fd is open, and for no other use. Allowed to a process that
 *	may load such programs.
 */
enum ronbus_publisher_flag {
	RONBUS_PUBLISHER_MAPPED = 1 << 0,
	RONBUS_PUBLISHER_BPF = 1 << 1,
};

/**
 * struct ronbus_publisher - join a bus as a publisher
 * @flags: set of &enum ronbus_publisher_flag
 * @id: returned: the number that marks slots being written, 1 to RONBUS_PUBLISHERS_MAX, or 0
 *	without a mapping
 * @token: returned: with RONBUS_PUBLISHER_BPF what BPF programs name it by, a number that cannot be
 *	guessed; else 0
 * @clock_offset: returned: nanoseconds that CLOCK_MONOTONIC is ahead here of what messages say with
 *	RONBUS_F_TIME, modulo 2^64: the offset of the caller's time namespace
 */
struct ronbus_publisher {
	__u32 flags;
	__u32 id;
	__aligned_u64 token;
	__aligned_u64 clock_offset;
};

/**
 * enum ronbus_start - where a new subscriber begins
 * @RONBUS_START_LATEST: after everything that was published before
 * @RONBUS_START_OLDEST: with the oldest message that is still in the ring
 * @RONBUS_START_AT: at the given position, which must not lie ahead of the bus; what is no
 *	longer there is lag
 */
enum ronbus_start {
	RONBUS_START_LATEST = 0,
	RONBUS_START_OLDEST = 1,
	RONBUS_START_AT = 2,
};

/**
 * struct ronbus_subscribe - join a bus as a subscriber
 * @start: one of &enum ronbus_start
 * @flags: zero
 * @position: with RONBUS_START_AT where to begin, else 0; on return the position of the first
 *	read
 * @topics: set of topics wanted, bit n for topic n, not empty; all ones without
 *	RONBUS_F_INTEREST
 * @index: returned: this subscriber's bit in every mask, 0 to 63
 * @pad: zero
 * @joined: returned: the position after all that was published before. With RONBUS_F_INTEREST, a
 *	message before this position is for this subscriber if the subscriber wants its topic, and
 *	a message at it or after it if the message is addressed to the subscriber. All ones with
 *	RONBUS_BUS_RETAIN, where the topic decides for every message
 * @clock_offset: returned: as in &struct ronbus_publisher
 */
struct ronbus_subscribe {
	__u32 start;
	__u32 flags;
	__aligned_u64 position;
	__aligned_u64 topics;
	__u32 index;
	__u32 pad;
	__aligned_u64 joined;
	__aligned_u64 clock_offset;
};

/**
 * struct ronbus_topics - choose other topics, with RONBUS_F_INTEREST
 * @topics: set of topics wanted from now on, bit n for topic n, not empty
 * @generation: returned: &struct ronbus_info_page.generation after the change
 *
 * A message is addressed by what is chosen when its publisher looks: each by the old choice or by
 * the new one, and all that are published after the ioctl has returned by the new one. What has
 * been addressed to the subscriber before is delivered.
 */
struct ronbus_topics {
	__aligned_u64 topics;
	__aligned_u64 generation;
};

/**
 * struct ronbus_coalesce - when to be woken, with RONBUS_F_COALESCE
 * @messages: when so many are there to be read: up to half of the slots and RONBUS_COALESCE_MAX; 0
 *	or 1 for the first
 * @flags: zero
 * @delay_ns: but no later than this after the kernel learned of the first one: nanoseconds,
 *	RONBUS_COALESCE_DELAY_MIN to RONBUS_COALESCE_DELAY_MAX; not looked at if @messages is 0 or 1
 *
 * Only the waking is put off: a subscriber that reads gets what is there.
 */
struct ronbus_coalesce {
	__u32 messages;
	__u32 flags;
	__aligned_u64 delay_ns;
};

#define RONBUS_COALESCE_MAX 1024U
#define RONBUS_COALESCE_DELAY_MIN 1000ULL
#define RONBUS_COALESCE_DELAY_MAX 10000000000ULL

/**
 * enum ronbus_role - what an fd is
 * @RONBUS_ROLE_BUS: a bus
 * @RONBUS_ROLE_PUBLISHER: a publisher
 * @RONBUS_ROLE_SUBSCRIBER: a subscriber
 */
enum ronbus_role {
	RONBUS_ROLE_BUS = 1,
	RONBUS_ROLE_PUBLISHER = 2,
	RONBUS_ROLE_SUBSCRIBER = 3,
};

/**
 * struct ronbus_info - what an fd stands for
 * @features: features of the bus
 * @flags: flags of the bus
 * @capacity: slots
 * @payload: bytes a message can have
 * @role: one of &enum ronbus_role
 * @member: publisher id or subscriber index, 0 for a bus fd
 * @access: set of &enum ronbus_access of this fd's bus fd; of a bus fd in the hands of the caller
 * @publishers: publishers there are now
 * @subscribers: set of subscriber indexes in use now
 * @ring_bytes: length of the ring mapping
 * @info_bytes: length of the info mapping
 * @self_bytes: length of this fd's own page
 * @status: set of &enum ronbus_status
 * @mode: mode of the bus
 * @pad: zero
 * @name: its name, empty if it has none
 * @id: number of the bus, as tracepoints tell it; no other bus gets it while the module is loaded
 * @blocks_bytes: length of the mapping of blocks, 0 if there are none
 * @block_size: bytes a block can have
 * @blocks: how many there are
 */
struct ronbus_info {
	__aligned_u64 features;
	__u32 flags;
	__u32 capacity;
	__u32 payload;
	__u32 role;
	__u32 member;
	__u32 access;
	__u32 publishers;
	__u32 mode;
	__aligned_u64 subscribers;
	__aligned_u64 ring_bytes;
	__u32 info_bytes;
	__u32 self_bytes;
	__u32 status;
	__u32 pad;
	char name[RONBUS_NAME_SIZE];
	__aligned_u64 id;
	__aligned_u64 blocks_bytes;
	__u32 block_size;
	__u32 blocks;
};

/**
 * struct ronbus_wait - sleep until there is something to read at the cursor, or the bus has
 * ended
 * @deadline: CLOCK_MONOTONIC in nanoseconds; RONBUS_WAIT_FOREVER for no limit; one in the past
 *	only looks
 * @flags: zero
 * @pad: zero
 */
struct ronbus_wait {
	__aligned_u64 deadline;
	__u32 flags;
	__u32 pad;
};

#define RONBUS_WAIT_FOREVER (~0ULL)

/**
 * struct ronbus_notify - wake subscribers
 * @subscribers: set of subscriber indexes; those that do not exist are passed over, and with
 *	RONBUS_F_EDGE_NOTIFY those that do not sleep
 * @woken: returned: how many were woken
 * @pad: zero
 */
struct ronbus_notify {
	__aligned_u64 subscribers;
	__u32 woken;
	__u32 pad;
};

/**
 * struct ronbus_vec - one message of a batch
 * @data: address of its bytes
 * @len: how many, up to the bus's payload
 * @pad: zero
 */
struct ronbus_vec {
	__aligned_u64 data;
	__u32 len;
	__u32 pad;
};

/**
 * struct ronbus_publish - publish by system call
 * @vec: address of @count &struct ronbus_vec
 * @count: messages, 1 to RONBUS_BATCH_MAX
 * @topic: their topic, below RONBUS_TOPICS_MAX
 * @flags: zero
 * @receivers: returned: how many subscribers the last accepted message is for
 *
 * The ioctl returns how many messages were accepted, in order from the first. An error means
 * that none was.
 */
struct ronbus_publish {
	__aligned_u64 vec;
	__u32 count;
	__u32 topic;
	__u32 flags;
	__u32 receivers;
};

/**
 * struct ronbus_block_ref - what a message says of its block: its last bytes, of any alignment
 * @block: number of the block
 * @len: bytes in it
 * @generation: which use of the block it is, an odd number; once the block has another one, it
 *	holds other data
 */
struct ronbus_block_ref {
	__u32 block;
	__u32 len;
	__aligned_u64 generation;
};

/**
 * struct ronbus_publish_block - publish data of which the message only says where it is
 * @data: address of the data
 * @len: bytes of it, 1 to the block size
 * @topic: topic of the message, below RONBUS_TOPICS_MAX
 * @event: address of the message
 * @event_len: bytes of it, which fit the payload together with the &struct ronbus_block_ref after
 *	them
 * @flags: zero
 * @receivers: returned: how many subscribers the message is for; with 0 nothing was written
 * @pad: zero
 * @ref: returned: what stands after the message
 *
 * The kernel takes a block, copies the data, and publishes. This is one step: a publisher that dies
 * leaves all of it or nothing.
 */
struct ronbus_publish_block {
	__aligned_u64 data;
	__u32 len;
	__u32 topic;
	__aligned_u64 event;
	__u32 event_len;
	__u32 flags;
	__u32 receivers;
	__u32 pad;
	struct ronbus_block_ref ref;
};

/**
 * struct ronbus_eventfd - signal an eventfd whenever the subscriber is woken
 * @fd: the eventfd, in place of one set before; -1 for none
 * @flags: zero
 */
struct ronbus_eventfd {
	__s32 fd;
	__u32 flags;
};

/**
 * struct ronbus_uring_publish - RONBUS_IOC_PUBLISH as an io_uring command
 * @vec: address of @count &struct ronbus_vec; they and what they point to stay until the command
 *	has completed
 * @count: messages, 1 to RONBUS_BATCH_MAX
 * @topic: their topic, below RONBUS_TOPICS_MAX
 *
 * IORING_OP_URING_CMD on a publisher fd, with the ioctl's number as the command and this in the
 * 16 bytes of the submission queue entry. The completion has what the ioctl returns.
 *
 * The other commands are RONBUS_IOC_WAIT on a subscriber fd, with &struct ronbus_wait there; and
 * RONBUS_IOC_CANCEL, with 16 zero bytes.
 */
struct ronbus_uring_publish {
	__aligned_u64 vec;
	__u32 count;
	__u32 topic;
};

#define RONBUS_BATCH_BUCKETS 11 /* batches of 1, 2-3, 4-7, ..., 1024 */
#define RONBUS_WIDTH_BUCKETS 7 /* messages for 1, 2-3, 4-7, ..., 64 subscribers */

/**
 * enum ronbus_wake_cause - why a subscriber was woken
 * @RONBUS_WAKE_DATA: a message
 * @RONBUS_WAKE_TIMER: a timer
 * @RONBUS_WAKE_REPAIR: a mapped publisher is gone, and may have died before it notified
 * @RONBUS_WAKE_CLOSE: the bus ended
 * @RONBUS_WAKE_CAUSES: how many causes there are
 */
enum ronbus_wake_cause {
	RONBUS_WAKE_DATA = 0,
	RONBUS_WAKE_TIMER = 1,
	RONBUS_WAKE_REPAIR = 2,
	RONBUS_WAKE_CLOSE = 3,
	RONBUS_WAKE_CAUSES = 4,
};

/**
 * enum ronbus_autotune_reason - what RONBUS_F_AUTOTUNE_CAP warns of
 * @RONBUS_AUTOTUNE_CAPACITY: more than RONBUS_CAPACITY_WARN slots: the ring does not stay in the
 *	cache that its readers share
 * @RONBUS_AUTOTUNE_SUBSCRIBERS: more subscribers than the capacity was chosen for; it stays as it
 *	is, for a live ring is never resized
 * @RONBUS_AUTOTUNE_REASONS: how many reasons there are
 */
enum ronbus_autotune_reason {
	RONBUS_AUTOTUNE_CAPACITY = 0,
	RONBUS_AUTOTUNE_SUBSCRIBERS = 1,
	RONBUS_AUTOTUNE_REASONS = 2,
};

#define RONBUS_CAPACITY_WARN 256U

/**
 * struct ronbus_counters - counters of a bus, or the share one subscriber has in them
 * @published_total: messages written for at least one subscriber (word of the publishers)
 * @no_receivers_total: messages that no subscriber wanted and that were not written (publishers)
 * @receiver_lag_total: times a subscriber found itself overtaken (subscribers)
 * @overflow_dropped_total: positions that subscribers lost by being overtaken (subscribers)
 * @dropped_total: messages given up because a lap of slots was held by others, or never stood
 *	still (publishers)
 * @delivered_total: messages read (subscribers)
 * @filtered_total: messages skipped because they were for others (subscribers)
 * @holes_total: positions without a message that subscribers skipped (subscribers)
 * @addressed_total: sum over the messages of the subscribers each was for (publishers)
 * @notify_calls_total: notifications that publishers asked for (kernel)
 * @notify_sends_total: subscribers woken for a message, by a notification or by a publish by
 *	system call (kernel)
 * @notify_suppressed_total: subscribers that a message was for and that needed no waking: what
 *	@addressed_total has beyond @notify_sends_total (publishers and kernel)
 * @wakes_total: subscribers woken, by &enum ronbus_wake_cause (kernel)
 * @waits_total: times a subscriber was put to sleep or armed (kernel)
 * @repairs_total: slots taken back from publishers that died (kernel)
 * @batch_publish_total: batches published, with RONBUS_F_BATCH; by system call those of more
 *	than one message (publishers)
 * @batch_len_histogram: batches by the logarithm of their length (publishers)
 * @metrics_tls_flush_total: flushes of per-thread counters (members)
 * @autotune_warn_total: warnings, by &enum ronbus_autotune_reason, each once a bus (kernel)
 * @interest_skips_total: subscribers spared a message by their choice of topics (publishers)
 * @ready_mask_width: messages by the logarithm of how many subscribers each was for (publishers)
 * @blocks_published_total: messages published with a block (kernel)
 * @blocks_dropped_total: messages given up because every block was pinned or being written
 *	(kernel)
 * @blocks_pinned_total: blocks that were passed over, being pinned, when one was needed (kernel)
 * @coalesce_deferred_total: notifications that did not wake a subscriber yet, since it wants more
 *	messages than were there (kernel)
 *
 * The word in parentheses says which side counted. What the kernel counted is true; what a member
 * counted is as true as the member is honest.
 */
struct ronbus_counters {
	__aligned_u64 published_total;
	__aligned_u64 no_receivers_total;
	__aligned_u64 receiver_lag_total;
	__aligned_u64 overflow_dropped_total;
	__aligned_u64 dropped_total;
	__aligned_u64 delivered_total;
	__aligned_u64 filtered_total;
	__aligned_u64 holes_total;
	__aligned_u64 addressed_total;
	__aligned_u64 notify_calls_total;
	__aligned_u64 notify_sends_total;
	__aligned_u64 notify_suppressed_total;
	__aligned_u64 wakes_total[RONBUS_WAKE_CAUSES];
	__aligned_u64 waits_total;
	__aligned_u64 repairs_total;
	__aligned_u64 batch_publish_total;
	__aligned_u64 batch_len_histogram[RONBUS_BATCH_BUCKETS];
	__aligned_u64 metrics_tls_flush_total;
	__aligned_u64 autotune_warn_total[RONBUS_AUTOTUNE_REASONS];
	__aligned_u64 interest_skips_total;
	__aligned_u64 ready_mask_width[RONBUS_WIDTH_BUCKETS];
	__aligned_u64 blocks_published_total;
	__aligned_u64 blocks_dropped_total;
	__aligned_u64 blocks_pinned_total;
	__aligned_u64 coalesce_deferred_total;
};

#define RONBUS_STATS_BUS (~0U)

/**
 * struct ronbus_stats - read the counters
 * @which: a subscriber's index, or RONBUS_STATS_BUS for the whole bus, members that left
 *	included
 * @flags: zero
 * @armed: set of subscribers that sleep or are about to (bus), or whether this one does (0 or
 *	1)
 * @subscribers: set of subscribers there are
 * @tail: the position after everything published so far, as the ring says
 * @cursor: the position that this subscriber reads next, as it says itself; 0 for the bus
 * @start: the position it began at; 0 for the bus
 * @capacity: slots of the bus (the counter bus_cap_selected)
 * @publishers: publishers there are
 * @counters: the counters
 */
struct ronbus_stats {
	__u32 which;
	__u32 flags;
	__aligned_u64 armed;
	__aligned_u64 subscribers;
	__aligned_u64 tail;
	__aligned_u64 cursor;
	__aligned_u64 start;
	__u32 capacity;
	__u32 publishers;
	struct ronbus_counters counters;
};

/**
 * struct ronbus_record - head of a message as read(2) on a subscriber fd returns it
 * @position: where it stood on the bus
 * @lost: positions lost just before it
 * @len: bytes of payload that follow, padded with zeros to a multiple of 8
 * @topic: its topic
 * @publisher: id of a mapped publisher, as its mapping says; 0 for a publisher by system call
 *
 * With RONBUS_F_TIME a __u64 stands between this and the payload: when the message was published,
 * in nanoseconds of the reader's CLOCK_MONOTONIC.
 */
struct ronbus_record {
	__aligned_u64 position;
	__aligned_u64 lost;
	__u32 len;
	__u16 topic;
	__u16 publisher;
};

/*
 * Mappings. Each is asked for with exactly this offset, exactly the length that RONBUS_IOC_INFO
 * gives, and MAP_SHARED. What may be mapped writable is mapped readable and writable by a
 * process that may do so; any other request is refused.
 */
#define RONBUS_MMAP_INFO 0x00000000UL /* all members, read-only */
#define RONBUS_MMAP_RING 0x10000000UL /* read-only; writable with RONBUS_PUBLISHER_MAPPED */
#define RONBUS_MMAP_SELF 0x20000000UL /* the fd's own page, writable */
#define RONBUS_MMAP_BLOCKS 0x30000000UL /* subscribers, read-only; with RONBUS_F_BLOCKS */

/**
 * enum ronbus_status - state of a bus
 * @RONBUS_STATUS_SEALED: no further publishers
 * @RONBUS_STATUS_ENDED: the last publisher has left; what is in the ring is all there will ever
 *	be
 */
enum ronbus_status {
	RONBUS_STATUS_SEALED = 1 << 0,
	RONBUS_STATUS_ENDED = 1 << 1,
};

/**
 * struct ronbus_info_page - the info mapping: written by the kernel, read by all members
 * @abi_version: RONBUS_ABI_VERSION
 * @size: bytes of this structure
 * @features: features of the bus
 * @flags: flags of the bus
 * @capacity: slots
 * @payload: bytes a message can have
 * @status: set of &enum ronbus_status
 * @generation: grows before and after every change of @audience, and is odd in between
 * @members: set of subscribers there are
 * @reserved0: zero, and the end of two cache lines
 * @armed: set of subscribers to be woken by the next message for them; on a line of its own,
 *	since it changes with every sleep and wake
 * @blocked: set of subscribers that sleep in front of a message which is being written: with
 *	RONBUS_F_INTEREST they are to be woken by that message even if it is for others, since the
 *	next one may be for them
 * @wake_next: with RONBUS_F_COALESCE a position: a publisher of the position before it, or of a
 *	later one, calls RONBUS_IOC_NOTIFY without naming a subscriber, since some subscriber may
 *	now have all the messages that it waits for
 * @reserved1: zero, and the end of two cache lines
 * @audience: for each topic the set of subscribers that want it
 */
struct ronbus_info_page {
	__u32 abi_version;
	__u32 size;
	__aligned_u64 features;
	__u32 flags;
	__u32 capacity;
	__u32 payload;
	__u32 status;
	__aligned_u64 generation;
	__aligned_u64 members;
	__aligned_u64 reserved0[10];
	__aligned_u64 armed;
	__aligned_u64 blocked;
	__aligned_u64 wake_next;
	__aligned_u64 reserved1[13];
	__aligned_u64 audience[RONBUS_TOPICS_MAX];
};

/**
 * struct ronbus_self - the own page of a publisher or subscriber: written by its owner, never
 * trusted by the kernel
 * @cursor: the position a subscriber reads next
 * @delivered: messages read
 * @filtered: messages skipped because they were for others
 * @holes: positions without a message that were skipped
 * @lags: times overtaken
 * @lost: positions lost by that
 * @reserved0: zero, and the end of the subscriber's cache line
 * @messages_for: messages by how many subscribers each was for; [0] are those that no subscriber
 *	wanted and that were not written
 * @dropped: messages given up
 * @interest_skips: subscribers spared a message by their choice of topics
 * @flushes: flushes of per-thread counters
 * @batch_len: batches by the logarithm of their length
 * @reserved1: zero, and the end of a cache line
 * @pins: blocks that a subscriber reads, each as its number and 1; 0 for none. They keep a block
 *	from being used again; see ronbus_blocks.h
 */
struct ronbus_self {
	__aligned_u64 cursor;
	__aligned_u64 delivered;
	__aligned_u64 filtered;
	__aligned_u64 holes;
	__aligned_u64 lags;
	__aligned_u64 lost;
	__aligned_u64 reserved0[2];
	__aligned_u64 messages_for[RONBUS_SUBSCRIBERS_MAX + 1];
	__aligned_u64 dropped;
	__aligned_u64 interest_skips;
	__aligned_u64 flushes;
	__aligned_u64 batch_len[RONBUS_BATCH_BUCKETS];
	__aligned_u64 reserved1;
	__aligned_u64 pins[RONBUS_PINS_MAX];
};

/*
 * ioctls. The size in the number is that of the structure the program knows; the kernel tells
 * ioctls apart by the rest of it.
 */
#define RONBUS_IOC_TYPE 0xC5

/* On /dev/ronbus. CREATE and ATTACH return a new bus fd, close-on-exec. */
#define RONBUS_IOC_QUERY _IOR(RONBUS_IOC_TYPE, 0x00, struct ronbus_query)
#define RONBUS_IOC_CREATE _IOWR(RONBUS_IOC_TYPE, 0x01, struct ronbus_create)
#define RONBUS_IOC_ATTACH _IOW(RONBUS_IOC_TYPE, 0x02, struct ronbus_attach)

/* On a bus fd. PUBLISHER, SUBSCRIBE and SHARE return a new fd, close-on-exec. */
#define RONBUS_IOC_PUBLISHER _IOWR(RONBUS_IOC_TYPE, 0x10, struct ronbus_publisher)
#define RONBUS_IOC_SUBSCRIBE _IOWR(RONBUS_IOC_TYPE, 0x11, struct ronbus_subscribe)
#define RONBUS_IOC_SEAL _IO(RONBUS_IOC_TYPE, 0x12)
#define RONBUS_IOC_SHARE _IOW(RONBUS_IOC_TYPE, 0x13, struct ronbus_share)

/* On a bus, publisher or subscriber fd. */
#define RONBUS_IOC_INFO _IOR(RONBUS_IOC_TYPE, 0x20, struct ronbus_info)
#define RONBUS_IOC_STATS _IOWR(RONBUS_IOC_TYPE, 0x21, struct ronbus_stats)

/* On a publisher fd. PUBLISH returns how many messages were accepted. */
#define RONBUS_IOC_PUBLISH _IOWR(RONBUS_IOC_TYPE, 0x30, struct ronbus_publish)
#define RONBUS_IOC_NOTIFY _IOWR(RONBUS_IOC_TYPE, 0x31, struct ronbus_notify)
#define RONBUS_IOC_PUBLISH_BLOCK _IOWR(RONBUS_IOC_TYPE, 0x32, struct ronbus_publish_block)

/*
 * On a subscriber fd. ARM returns 1 when there is something to read (or the bus has ended), and
 * 0 when there is not, in which case the next message for this subscriber wakes its pollers and
 * signals its eventfd.
 */
#define RONBUS_IOC_WAIT _IOW(RONBUS_IOC_TYPE, 0x40, struct ronbus_wait)
#define RONBUS_IOC_ARM _IO(RONBUS_IOC_TYPE, 0x41)
#define RONBUS_IOC_SET_EVENTFD _IOW(RONBUS_IOC_TYPE, 0x42, struct ronbus_eventfd)

/*
 * Ends the waits that are going on for this subscriber in RONBUS_IOC_WAIT, read(2) and io_uring:
 * they fail with ECANCELED. One that begins later is not affected. Pollers are not.
 */
#define RONBUS_IOC_CANCEL _IO(RONBUS_IOC_TYPE, 0x43)

/* Chooses other topics, on a bus with RONBUS_F_INTEREST. */
#define RONBUS_IOC_SET_TOPICS _IOWR(RONBUS_IOC_TYPE, 0x44, struct ronbus_topics)

/* Says when to be woken, on a bus with RONBUS_F_COALESCE. */
#define RONBUS_IOC_COALESCE _IOW(RONBUS_IOC_TYPE, 0x45, struct ronbus_coalesce)

#endif /* _UAPI_RONBUS_H */
