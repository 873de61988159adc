/* SPDX-License-Identifier: GPL-2.0 */
/* The publisher: its struct, and what publish.c, blocks.c, bpf.c and uring.c do with it. */
#ifndef _RONBUS_PUB_H
#define _RONBUS_PUB_H

#include <linux/atomic.h>
#include <linux/irq_work.h>
#include <linux/list.h>
#include <linux/mutex.h>

#include "bus.h"
#include "region.h"

struct io_uring_cmd;

/*
 * A publisher.
 *
 * Lifetime. The program's calls, mappings and commands of io_uring reach it through its file.
 * STATS and tracing reach it through bus->pubs under bus->lock. BPF programs reach it by its token
 * under RCU, on any CPU and in any context, and wake_work through them. When its file is released
 * it leaves:
 *  1. its token is taken back;
 *  2. after a grace period wake_work is waited for, which nothing can queue any more, so all that
 *     was published is counted;
 *  3. it is taken out of bus->pubs, and its counters are kept in bus->retired under the same lock;
 *  4. nothing can reach it any more: it is freed, and lets go of the bus.
 */
struct ronbus_pub {
	struct ronbus_bus *bus;
	struct list_head node; /* in bus->pubs */
	u32 id; /* its number in slots it holds; 0 if it publishes by system call only */
	u32 access; /* what its bus fd could do */
	bool joined; /* the program has it: its leaving counts */
	struct ronbus_region self_mem; /* memory of its own page */
	struct ronbus_self *self; /* the page; untrusted */
	struct mutex lock; /* one publish by system call at a time */
	void *bounce; /* a message on its way in, under lock */
	atomic_t writable_maps; /* writable mappings of the ring */
	u64 traced_dropped; /* drops that were traced, under bus->lock */
	u64 bpf_token; /* the name by which BPF programs, and nothing else, publish here; or 0 */
	struct irq_work wake_work; /* wakes the subscribers that their messages are for */
	atomic64_t wake_mask; /* these subscribers */
};

/* publish.c */
int ronbus_pub_put_now(struct ronbus_bus *bus, u64 audience, u32 topic, const void *data, u32 len);
int ronbus_pub_put_bounce(struct ronbus_pub *pub, u64 audience, u32 topic, u32 len);
void ronbus_pub_count(struct ronbus_pub *pub, u32 accepted, u64 audience);
int ronbus_pub_publish(struct ronbus_pub *pub, struct ronbus_publish *args, bool nonblock);
u64 ronbus_wake_mask(const struct ronbus_bus *bus, u32 topic, u64 audience);

/* blocks.c, bpf.c, uring.c */
long ronbus_pub_block_ioctl(struct ronbus_pub *pub, unsigned int cmd, void __user *arg);
int ronbus_bpf_join(struct ronbus_pub *pub);
void ronbus_bpf_leave(struct ronbus_pub *pub);
int ronbus_pub_uring_cmd(struct io_uring_cmd *cmd, unsigned int issue_flags);

#endif /* _RONBUS_PUB_H */
