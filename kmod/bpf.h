/* SPDX-License-Identifier: GPL-2.0 */
/* What the module offers to BPF programs: bpf.c. */
#ifndef _RONBUS_BPF_H
#define _RONBUS_BPF_H

#include <linux/types.h>

void ronbus_bpf_init(void);
int bpf_ronbus_publish(u64 token, u32 topic, const void *data, u32 data__sz);
int bpf_ronbus_counters(u64 bus, u32 which, void *counters, u32 counters__sz);

#endif /* _RONBUS_BPF_H */
