/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The bus: its struct, what bus.c does with it, and how members join it.
 *
 * Lifetime of everything. Bus fds, publishers and subscribers hold their bus, one reference each;
 * a mapping holds its fd. A bus is freed when the last reference and the last visit from the
 * registry are over. Nothing here looks at processes: a process has died when the kernel has
 * closed what it had open.
 *
 * Locks. ronbus_registry (bus.c) guards the list of buses. bus->lock guards membership: subs,
 * pubs, audience, status, retired counters; and the queue of blocks. sub->read_lock makes a
 * read(2) of one message one step, and pub->lock a publish by system call. sub->lock makes arming,
 * deferring and leaving one step each; sub->event_lock guards the registered eventfd, and
 * bus->wake_lock the word wake_next.
 *
 * They nest like this and no other way:
 *  1. bus->lock inside pub->lock, where a block is taken;
 *  2. sub->lock inside bus->lock, when a subscriber leaves;
 *  3. wake_lock inside sub->lock;
 *  4. event_lock inside RCU.
 *
 * Only pub->lock and read_lock, which belong to one member, are held where user space can make the
 * kernel wait. Waking looks up subscribers under RCU only, so it may be done from any context.
 */
#ifndef _RONBUS_BUS_H
#define _RONBUS_BUS_H

#include <linux/atomic.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/nospec.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/uidgid.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "../uapi/ronbus.h"
#include "../uapi/ronbus_blocks.h"
#include "../uapi/ronbus_ring.h"
#include "../common/blocks_queue.h"
#include "../common/limits.h"
#include "region.h"

struct file;
struct ipc_namespace;
struct ronbus_sub;

#define RONBUS_ACCESS_ALL (RONBUS_ACCESS_SUBSCRIBE | RONBUS_ACCESS_PUBLISH | RONBUS_ACCESS_END)

/*
 * A bus.
 *
 * Lifetime. Each bus fd, publisher and subscriber has a reference, and is itself held by its file,
 * so every call and every mapping has the bus. The registry has no reference: a bus is found there
 * by name or number under ronbus_registry, and is taken out under it by the last reference. A
 * visit from the registry holds the bus's memory, and may find no members. Timers, work and
 * interrupts that look at a bus belong to a member. Before the member lets its bus go it has waited
 * for them, or they have found it dead. With the bus the info page, the ring and the blocks are
 * freed.
 *
 * Blocks are part of the bus. A block that is not in blocks_queue belongs to the publisher that
 * took it, which is in a call until it gives the block back; otherwise only readers reach it, that
 * have it pinned or look whether they may. All others belong to no publisher, and are taken under
 * lock.
 */
struct ronbus_bus {
	/* One for each bus fd, publisher and subscriber; the last takes it out of the registry. */
	struct kref ref;
	/* Of its memory: all of ref together, and each visit from the registry. */
	refcount_t holders;
	u64 id; /* its number in the registry, never used again; 0 until it is there */
	/* Namespace of the name; its user namespace is asked for capabilities. */
	struct ipc_namespace *ipc_ns;
	char name[RONBUS_NAME_SIZE]; /* empty for a bus without */
	kuid_t user; /* the user that it is counted for */
	kuid_t uid; /* owner and group, as of a file */
	kgid_t gid;
	umode_t mode; /* permissions of a file */
	u64 features; /* enum ronbus_feature */
	u32 flags; /* enum ronbus_bus_flag */
	struct ronbus_region info; /* memory of the info page */
	/* The info page; the kernel writes it, every member reads it. */
	struct ronbus_info_page *page;
	struct ronbus_region mem; /* memory of the ring; untrusted wherever a publisher maps it */
	struct ronbus_ring ring; /* view of it */
	struct mutex lock; /* guards membership and the queue of blocks: see above */
	struct ronbus_sub __rcu *subs[RONBUS_SUBSCRIBERS_MAX]; /* subscribers by index, under RCU */
	u64 members; /* set of indexes in use */
	struct list_head pubs; /* all publishers */
	unsigned int publishers; /* how many there are */
	/* A publisher that may end the bus has left, so that the bus ends with its last one. */
	bool abandoned;
	u64 ids; /* numbers of mapped publishers in use */
	struct ronbus_counters retired; /* what members that have left had counted */
	u32 autotuned_for; /* subscribers that the capacity was chosen for, or 0 */
	/* Which enum ronbus_autotune_reason the bus has been warned of. */
	bool autotune_warned[RONBUS_AUTOTUNE_REASONS];
	u64 traced_suppressed; /* suppressed wake-ups that were traced */
	atomic64_t notify_calls; /* NOTIFY ioctls */
	atomic64_t repairs; /* slots taken back */
	wait_queue_head_t join_queue; /* publishers that are polled until a subscriber joins */
	/* Wakes them, for there may be any number; cancelled when the bus is freed. */
	struct work_struct join_work;
	struct ronbus_region blocks_mem; /* memory of the blocks, with RONBUS_F_BLOCKS */
	struct ronbus_blocks blocks; /* view of it */
	/* Which of them is next; under lock like all that follows. */
	struct ronbus_blocks_queue blocks_queue;
	u64 blocks_published; /* blocks published */
	u64 blocks_dropped; /* messages for which there was none */
	u64 blocks_pinned; /* blocks that were pinned when one was needed */
	spinlock_t wake_lock; /* of wake_next in the info page */
};

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
void ronbus_bus_autotune_warn(struct ronbus_bus *bus, enum ronbus_autotune_reason reason);
struct file *ronbus_bus_file(struct ronbus_bus *bus, u32 access);

/* blocks.c */
int ronbus_blocks_alloc(struct ronbus_bus *bus, const struct ronbus_create *args);
void ronbus_blocks_free(struct ronbus_bus *bus);

/* publish.c and subscribe.c: a bus fd joins without seeing what a member is */
struct file *ronbus_pub_join(struct ronbus_bus *bus, u32 access, struct ronbus_publisher *args);
void ronbus_pub_joined(struct file *file);
struct file *ronbus_sub_join(struct ronbus_bus *bus, u32 access, struct ronbus_subscribe *args);

/* main.c: frees what could be reached under RCU, and wakes queues of any length */
extern struct workqueue_struct *ronbus_workqueue;

/* The subscriber with an index, which a program may have chosen; or NULL. Under the bus lock. */
static inline struct ronbus_sub *ronbus_bus_sub(const struct ronbus_bus *bus, u32 index)
{
	index = array_index_nospec(index, RONBUS_SUBSCRIBERS_MAX);
	return rcu_dereference_protected(bus->subs[index], lockdep_is_held(&bus->lock));
}

/*
 * Does a bus that is visited from the registry have users still? Under bus->lock: one without them
 * is traced by its last user, which tells of its end, and by no other after that.
 */
static inline bool ronbus_bus_has_users(const struct ronbus_bus *bus)
{
	lockdep_assert_held(&bus->lock);
	return kref_read(&bus->ref);
}

/* The subscribers that a message is for now. A program chooses @topic below RONBUS_TOPICS_MAX. */
static inline u64 ronbus_bus_audience(const struct ronbus_bus *bus, u32 topic)
{
	return READ_ONCE(bus->page->audience[array_index_nospec(topic, RONBUS_TOPICS_MAX)]);
}

/* Is a message written: for its audience, or for a subscriber that joins later? */
static inline bool ronbus_bus_writes(const struct ronbus_bus *bus, u64 audience)
{
	return likely(audience) || bus->flags & RONBUS_BUS_RETAIN;
}

#endif /* _RONBUS_BUS_H */
