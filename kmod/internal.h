/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the parts of the module share.
 *
 * Lifetime. A bus is held by its bus fds, publishers and subscribers, one reference each, and is
 * freed with the last of them, or when nobody visits it from the registry any more; a mapping holds
 * its fd. Nothing here looks at processes: death is the kernel closing what the dead had open.
 *
 * Locking. ronbus_registry (bus.c) guards the list of buses. bus->lock guards membership: subs,
 * pubs, audience, status, retired counters; and which block is whose. sub->read_lock makes a
 * read(2) of one message one step. pub->lock does the same for a publish by system call.
 * sub->lock makes arming, deferring and leaving one step each, sub->event_lock guards the
 * registered eventfd, bus->wake_lock the word wake_next. They nest in no other way than bus->lock
 * inside pub->lock, where a block is taken; sub->lock inside bus->lock, when a subscriber leaves;
 * wake_lock inside sub->lock; and event_lock inside RCU. None but pub->lock and read_lock, which
 * belong to one member, is held where user space can make us wait.
 * Waking looks up subscribers under RCU only, so that it may be done from anywhere.
 */
#ifndef _RONBUS_INTERNAL_H
#define _RONBUS_INTERNAL_H

#include <linux/fs.h>
#include <linux/hrtimer.h>
#include <linux/irq_work.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/mutex.h>
#include <linux/nospec.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <linux/uidgid.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "../uapi/ronbus.h"
#include "../uapi/ronbus_blocks.h"
#include "../uapi/ronbus_ring.h"
#include "../common/arm.h"
#include "../common/backlog.h"
#include "../common/blocks_queue.h"
#include "../common/limits.h"

struct eventfd_ctx;
struct io_uring_cmd;
struct ipc_namespace;
struct seq_file;
struct user_struct;

#define RONBUS_ACCESS_ALL (RONBUS_ACCESS_SUBSCRIBE | RONBUS_ACCESS_PUBLISH | RONBUS_ACCESS_END)

/**
 * struct ronbus_region - zeroed pages that the kernel and programs map
 * @pages: the pages
 * @nr: how many
 * @addr: where the kernel has them, contiguous
 * @user: whose RLIMIT_MEMLOCK they count against
 *
 * Lifetime. It is part of a bus, publisher or subscriber, and the kernel reaches it as long as
 * that. Programs reach its pages through their mappings only, which have no hold of them: a
 * mapping holds the file that it was made from until its last page is out of every page table, and
 * the file holds the publisher or subscriber, and that the bus. So when a region is freed nobody
 * else has its pages.
 */
struct ronbus_region {
	struct page **pages;
	unsigned int nr;
	void *addr;
	struct user_struct *user;
};

/**
 * struct ronbus_bus - a bus
 * @ref: one for each bus fd, publisher and subscriber; the last takes it out of the registry
 * @holders: of its memory: all of @ref together, and who visits it from the registry
 * @id: its number in the registry, never used again; 0 until it is there
 * @wake_lock: of wake_next in the info page
 * @ipc_ns: namespace of the name, and whose user namespace the capabilities are asked in
 * @name: empty for a bus without
 * @user: whom it is counted for
 * @uid: owner
 * @gid: group
 * @mode: permissions of a file
 * @features: &enum ronbus_feature
 * @flags: &enum ronbus_bus_flag
 * @info: memory of the info page
 * @page: the info page; the kernel writes it, everybody reads it
 * @mem: memory of the ring; untrusted wherever a publisher maps it
 * @ring: view of it
 * @lock: see above
 * @subs: subscribers by index, under RCU
 * @members: set of indexes in use
 * @pubs: all publishers
 * @publishers: how many there are
 * @abandoned: one that may end the bus has left, so that it ends with the last
 * @ids: numbers of mapped publishers in use
 * @retired: what members that have left had counted
 * @autotuned_for: subscribers that the capacity was chosen for, or 0
 * @autotune_warned: which &enum ronbus_autotune_reason the bus has been warned of
 * @traced_suppressed: suppressed wake-ups that were traced
 * @notify_calls: NOTIFY ioctls
 * @repairs: slots taken back
 * @join_queue: publishers that are polled until somebody subscribes
 * @join_work: wakes them, for there may be any number; cancelled when the bus is freed
 * @blocks_mem: memory of the blocks, with RONBUS_F_BLOCKS
 * @blocks: view of it
 * @blocks_queue: which of them is next; under @lock like all that follows
 * @blocks_published: blocks published
 * @blocks_dropped: messages for which there was none
 * @blocks_pinned: blocks that were pinned when one was needed
 *
 * Lifetime. Each bus fd, publisher and subscriber has a reference, and is itself held by its file,
 * so that everybody who is in a call or has a mapping has the bus. The registry has none: a bus is
 * found there by name or number under ronbus_registry, and is taken out under it by the last
 * reference; who visits it then holds its memory, and sees no members. Timers, work and interrupts
 * that look at a bus belong to a member, which has waited for them, or has been found @dead by
 * them, before it lets its bus go. What is freed with the bus: the info page, the ring and the
 * blocks.
 *
 * Blocks are part of the bus. One that is not in @blocks_queue is reached, apart from readers
 * that have it pinned or look whether they may, by the publisher alone that took it, which is in a
 * call, until it gives it back; all others are nobody's, and are taken under @lock.
 */
struct ronbus_bus {
	struct kref ref;
	refcount_t holders;
	u64 id;
	struct ipc_namespace *ipc_ns;
	char name[RONBUS_NAME_SIZE];
	kuid_t user;
	kuid_t uid;
	kgid_t gid;
	umode_t mode;
	u64 features;
	u32 flags;
	struct ronbus_region info;
	struct ronbus_info_page *page;
	struct ronbus_region mem;
	struct ronbus_ring ring;
	struct mutex lock;
	struct ronbus_sub __rcu *subs[RONBUS_SUBSCRIBERS_MAX];
	u64 members;
	struct list_head pubs;
	unsigned int publishers;
	bool abandoned;
	u64 ids;
	struct ronbus_counters retired;
	u32 autotuned_for;
	bool autotune_warned[RONBUS_AUTOTUNE_REASONS];
	u64 traced_suppressed;
	atomic64_t notify_calls;
	atomic64_t repairs;
	wait_queue_head_t join_queue;
	struct work_struct join_work;
	struct ronbus_region blocks_mem;
	struct ronbus_blocks blocks;
	struct ronbus_blocks_queue blocks_queue;
	u64 blocks_published;
	u64 blocks_dropped;
	u64 blocks_pinned;
	spinlock_t wake_lock;
};

/**
 * struct ronbus_pub - a publisher
 * @bus: its bus
 * @node: in bus->pubs
 * @id: its number in slots it holds; 0 if it publishes by system call only
 * @access: what its bus fd could do
 * @joined: the program has it: its leaving counts
 * @self_mem: memory of its own page
 * @self: the page; untrusted
 * @lock: one publish by system call at a time
 * @bounce: a message on its way in, under @lock
 * @writable_maps: writable mappings of the ring
 * @traced_dropped: drops that were traced, under bus->lock
 * @bpf_token: what BPF programs name it by, who are then the only ones that publish here, or 0
 * @wake_work: wakes whom their messages are for
 * @wake_mask: whom
 *
 * Lifetime. The program's calls, mappings and commands of io_uring reach it through its file.
 * STATS and tracing reach it through bus->pubs under bus->lock. BPF programs reach it by its token
 * under RCU, on any CPU and in any context, and @wake_work through them. When its file is released
 * it leaves: the token is taken back first, a grace period waited for and then for @wake_work,
 * which nobody can queue any more; so that what was published is counted. Then it goes from
 * bus->pubs, its counters being kept in bus->retired under the same lock, and nobody is left to
 * reach it: it is freed, and lets go of the bus.
 */
struct ronbus_pub {
	struct ronbus_bus *bus;
	struct list_head node;
	u32 id;
	u32 access;
	bool joined;
	struct ronbus_region self_mem;
	struct ronbus_self *self;
	struct mutex lock;
	void *bounce;
	atomic_t writable_maps;
	u64 traced_dropped;
	u64 bpf_token;
	struct irq_work wake_work;
	atomic64_t wake_mask;
};

/**
 * struct ronbus_coalescing - for how many messages a subscriber is woken
 * @backlog: what waits for it, under the lock of the subscriber; and whether it is deferred
 * @timer: from the first message
 */
struct ronbus_coalescing {
	struct ronbus_backlog backlog;
	struct hrtimer timer;
};

/**
 * struct ronbus_sub - a subscriber
 * @bus: its bus, held until the subscriber leaves
 * @index: its bit in every mask
 * @access: what its bus fd could do
 * @start: position of its first read
 * @interest: which messages it reads; changes under bus->lock
 * @lock: makes arming, deferring and leaving one step each
 * @dead: it has left: nobody arms, defers or times it any more; under @lock
 * @coalesce: for how many messages it is woken
 * @self_mem: memory of its own page
 * @self: the page; untrusted, with the cursor that says where it reads
 * @queue: sleepers, pollers and commands of io_uring that wait for it
 * @crowded: there are more of them than a publisher is to wake
 * @crowd_work: wakes them then, or those of the eventfd
 * @event_lock: see above
 * @eventfd: signalled when it is woken, or NULL
 * @event_queue: those that wait for the eventfd, which keeps it
 * @read_lock: one read(2) at a time
 * @bounce: a record on its way out, under @read_lock
 * @read_lost: positions lost and not yet told to a reader, under @read_lock
 * @wakes: times woken, by cause
 * @waits: times armed
 * @cancels: RONBUS_IOC_CANCEL calls; a wait that sees it change is over
 * @armed_at: when it was armed, if that is traced, in nanoseconds
 * @traced_lags: lags that were traced, under bus->lock
 * @traced_lost: lost positions, likewise
 * @traced_suppressed: suppressed wake-ups, likewise
 * @free_work: frees it, with its page, after a grace period
 *
 * Lifetime. The program's calls reach it through its file, until the file is released: then it
 * leaves. Publishers reach it through bus->subs under RCU; one that found it there may still look
 * at all of it, its page included, until the grace period that follows has passed, but finds it
 * @dead. Its timer and @crowd_work are cancelled when it leaves, and not begun when it is dead.
 * Pending commands of io_uring hold the file. STATS and tracing reach it under bus->lock. Its
 * eventfd is let go of when it leaves, under @event_lock.
 */
struct ronbus_sub {
	struct ronbus_bus *bus;
	u32 index;
	u32 access;
	u64 start;
	struct ronbus_interest interest;
	spinlock_t lock;
	bool dead;
	struct ronbus_coalescing coalesce;
	struct ronbus_region self_mem;
	struct ronbus_self *self;
	wait_queue_head_t queue;
	bool crowded;
	struct work_struct crowd_work;
	spinlock_t event_lock;
	struct eventfd_ctx *eventfd;
	wait_queue_head_t *event_queue;
	struct mutex read_lock;
	struct ronbus_record *bounce;
	u64 read_lost;
	atomic64_t wakes[RONBUS_WAKE_CAUSES];
	atomic64_t waits;
	atomic_t cancels;
	atomic64_t armed_at;
	u64 traced_lags;
	u64 traced_lost;
	u64 traced_suppressed;
	struct rcu_work free_work;
};

static inline struct ronbus_sub *ronbus_sub_of(struct ronbus_backlog *backlog)
{
	return container_of(backlog, struct ronbus_sub, coalesce.backlog);
}

/* bus.c */
void ronbus_names_init(void);
int ronbus_bus_make(struct ronbus_create *args, struct ronbus_bus **busp);
int ronbus_bus_enrol(struct ronbus_bus *bus);
int ronbus_bus_attach(const struct ronbus_attach *args, struct ronbus_bus **busp);
struct ronbus_bus *ronbus_bus_get(struct ronbus_bus *bus);
void ronbus_bus_put(struct ronbus_bus *bus);
bool ronbus_bus_may_map(const struct ronbus_bus *bus);
void ronbus_bus_end_if_due(struct ronbus_bus *bus);
void ronbus_bus_each(void (*fn)(struct ronbus_bus *bus, struct ronbus_stats *stats),
		     struct ronbus_stats *stats);
int ronbus_bus_counters(u64 id, u32 which, struct ronbus_counters *counters);
void ronbus_autotune_warn(struct ronbus_bus *bus, enum ronbus_autotune_reason reason);
struct file *ronbus_bus_file(struct ronbus_bus *bus, u32 access);

/* Whom a message of a topic is for now. The topic is a program's, and below RONBUS_TOPICS_MAX. */
static inline u64 ronbus_bus_audience(const struct ronbus_bus *bus, u32 topic)
{
	return READ_ONCE(bus->page->audience[array_index_nospec(topic, RONBUS_TOPICS_MAX)]);
}

/* Is a message written: for those it is for, or for one who joins later? */
static inline bool ronbus_bus_writes(const struct ronbus_bus *bus, u64 audience)
{
	return likely(audience) || bus->flags & RONBUS_BUS_RETAIN;
}

/* main.c */
#define RONBUS_CMD(cmd) ((cmd) & ~IOCSIZE_MASK)
int ronbus_get_args_sized(void *args, size_t size, unsigned int cmd, const void __user *from);
int ronbus_put_args_sized(void __user *to, unsigned int cmd, const void *args, size_t size);

/* A size the compiler knows spares the check that the copy stays within its object. */
static __always_inline int ronbus_get_args(void *args, size_t size, unsigned int cmd,
					   const void __user *from)
{
	if (likely(_IOC_SIZE(cmd) == size))
		return copy_from_user(args, from, size) ? -EFAULT : 0;
	return ronbus_get_args_sized(args, size, cmd, from);
}

static __always_inline int ronbus_put_args(void __user *to, unsigned int cmd, const void *args,
					   size_t size)
{
	if (likely(_IOC_SIZE(cmd) == size))
		return copy_to_user(to, args, size) ? -EFAULT : 0;
	return ronbus_put_args_sized(to, cmd, args, size);
}

extern struct workqueue_struct *ronbus_workqueue;
int ronbus_reserve_fd(struct file *file, unsigned int cmd, void __user *to, const void *args,
		      size_t size);
int ronbus_install(struct file *file, unsigned int cmd, void __user *to, const void *args,
		   size_t size);
long ronbus_query_ioctl(unsigned int cmd, void __user *arg);

/* map.c */
/* Where memory is short, the one who asks is told: nobody is killed for it. */
#define RONBUS_GFP (GFP_KERNEL_ACCOUNT | __GFP_NOWARN | __GFP_RETRY_MAYFAIL)
int ronbus_region_alloc(struct ronbus_region *region, size_t bytes);
void ronbus_region_uncharge(struct ronbus_region *region);
void ronbus_region_free(struct ronbus_region *region);
size_t ronbus_region_bytes(const struct ronbus_region *region);
int ronbus_region_map(const struct ronbus_region *region, struct vm_area_struct *vma,
		      bool writable);
extern const struct vm_operations_struct ronbus_vm_ops;
int ronbus_vm_may_split(struct vm_area_struct *vma, unsigned long addr);
int ronbus_vm_mremap(struct vm_area_struct *vma);
int ronbus_vm_access(struct vm_area_struct *vma, unsigned long addr, void *buf, int len, int write);

/* publish.c */
struct file *ronbus_pub_join(struct ronbus_bus *bus, u32 access, struct ronbus_publisher *args);
void ronbus_pub_joined(struct file *file);
int ronbus_put_now(struct ronbus_bus *bus, u64 audience, u32 topic, const void *data, u32 len);
u64 ronbus_sleepers(const struct ronbus_bus *bus, u32 topic, u64 audience);
void ronbus_count_published(struct ronbus_pub *pub, u32 accepted, u64 audience);
int ronbus_publish(struct ronbus_pub *pub, struct ronbus_publish *args, bool nonblock);

int ronbus_put_bounce(struct ronbus_pub *pub, u64 audience, u32 topic, u32 len);

/* blocks.c */
int ronbus_blocks_alloc(struct ronbus_bus *bus, const struct ronbus_create *args);
void ronbus_blocks_free(struct ronbus_bus *bus);
long ronbus_publish_block_ioctl(struct ronbus_pub *pub, unsigned int cmd, void __user *arg);

/* subscribe.c */
struct file *ronbus_sub_join(struct ronbus_bus *bus, u32 access, struct ronbus_subscribe *args);

/* wake.c */
unsigned int ronbus_sub_ready(struct ronbus_sub *sub);
void ronbus_sub_look_again(struct ronbus_sub *sub);
void ronbus_wake(struct ronbus_sub *sub, enum ronbus_wake_cause cause);
unsigned int ronbus_sub_arm(struct ronbus_sub *sub);
bool ronbus_sub_crowded(struct ronbus_sub *sub);
void ronbus_sub_polled(struct ronbus_sub *sub);
bool ronbus_sleep_until(u64 deadline);
int ronbus_sub_wait(struct ronbus_sub *sub, u64 deadline, int cancels);
void ronbus_sub_init(struct ronbus_sub *sub);
void ronbus_sub_end(struct ronbus_sub *sub);
void ronbus_sub_cancel(struct ronbus_sub *sub);
int ronbus_sub_set_eventfd(struct ronbus_sub *sub, int fd);
unsigned int ronbus_notify(struct ronbus_bus *bus, u64 mask, enum ronbus_wake_cause cause);

/* coalesce.c */
void ronbus_coalesce_init(struct ronbus_sub *sub);
bool ronbus_coalesce_ready(struct ronbus_sub *sub);
void ronbus_coalesce_recount(struct ronbus_sub *sub);
bool ronbus_coalesce_wakes(struct ronbus_sub *sub, bool armed, enum ronbus_wake_cause cause,
			   u32 *looks);
unsigned int ronbus_coalesce_notify(struct ronbus_bus *bus, enum ronbus_wake_cause cause,
				    u32 *looks);
long ronbus_coalesce_ioctl(struct ronbus_sub *sub, unsigned int cmd, void __user *arg);

/* After commit_last(): may a deferred subscriber have enough? */
static inline bool ronbus_coalesce_due(const struct ronbus_bus *bus)
{
	return bus->features & RONBUS_F_COALESCE &&
	       ronbus_backlog_reached(&bus->ring, READ_ONCE(bus->page->wake_next));
}

/* uring.c */
int ronbus_pub_uring_cmd(struct io_uring_cmd *cmd, unsigned int issue_flags);
int ronbus_sub_uring_cmd(struct io_uring_cmd *cmd, unsigned int issue_flags);

/* bpf.c */
void ronbus_bpf_init(void);
int ronbus_bpf_join(struct ronbus_pub *pub);
void ronbus_bpf_leave(struct ronbus_pub *pub);
int bpf_ronbus_publish(u64 token, u32 topic, const void *data, u32 data__sz);
int bpf_ronbus_counters(u64 bus, u32 which, void *counters, u32 counters__sz);

/* stats.c */
void ronbus_retire(struct ronbus_bus *bus, const struct ronbus_pub *pub,
		   const struct ronbus_sub *sub);
int ronbus_gather(struct ronbus_bus *bus, u32 which, struct ronbus_stats *stats);
long ronbus_stats_ioctl(struct ronbus_bus *bus, unsigned int cmd, void __user *arg);
long ronbus_info_ioctl(struct ronbus_bus *bus, const struct ronbus_info *own, unsigned int cmd,
		       void __user *arg);
void ronbus_show_bus(struct seq_file *m, struct file *file);
void ronbus_show_pub(struct seq_file *m, struct file *file);
void ronbus_show_sub(struct seq_file *m, struct file *file);

/* Counters in a page that a program shares with us: whole words, and no more faith than that. */
static inline void ronbus_count(__u64 *counter, u64 add)
{
	WRITE_ONCE(*counter, READ_ONCE(*counter) + add);
}

/* The same where several count at the same time: threads of a publisher, BPF programs. */
static inline void ronbus_count_atomic(__u64 *counter, u64 add)
{
	atomic64_add(add, (atomic64_t *)counter);
}

#endif /* _RONBUS_INTERNAL_H */
