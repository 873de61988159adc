/* SPDX-License-Identifier: GPL-2.0 */
/* Counters of members and buses, and what every fd of a bus tells of it: stats.c. */
#ifndef _RONBUS_STATS_H
#define _RONBUS_STATS_H

#include <linux/atomic.h>

#include "../uapi/ronbus.h"

struct file;
struct ronbus_bus;
struct ronbus_pub;
struct ronbus_sub;
struct seq_file;

void ronbus_stats_retire(struct ronbus_bus *bus, const struct ronbus_pub *pub,
			 const struct ronbus_sub *sub);
int ronbus_stats_gather_locked(struct ronbus_bus *bus, u32 which, struct ronbus_stats *stats);
long ronbus_common_ioctl(struct ronbus_bus *bus, enum ronbus_role role, u32 member, u32 access,
			 unsigned int cmd, void __user *arg);
void ronbus_show_bus(struct seq_file *m, struct file *file);
void ronbus_show_pub(struct seq_file *m, struct file *file);
void ronbus_show_sub(struct seq_file *m, struct file *file);

/* Counters in a page that a program shares with us: whole words, and no more faith than that. */
static inline void ronbus_counter_add(__u64 *counter, u64 add)
{
	WRITE_ONCE(*counter, READ_ONCE(*counter) + add);
}

/* The same where several count at the same time: threads of a publisher, BPF programs. */
static inline void ronbus_counter_add_atomic(__u64 *counter, u64 add)
{
	atomic64_add(add, (atomic64_t *)counter);
}

#endif /* _RONBUS_STATS_H */
