/* SPDX-License-Identifier: GPL-2.0 */
/* fuzz_bpf.h - what ronbus-fuzz tells its BPF programs */
#ifndef RONBUS_FUZZ_BPF_H
#define RONBUS_FUZZ_BPF_H

#include <linux/types.h>

#define FUZZ_BPF_SLOTS 4

/**
 * struct fuzz_bpf_call - a call of one of the functions
 * @token: of the publisher
 * @bus: whose counters
 * @topic: of the message
 * @len: bytes of it
 * @which: all of them, or those of a member
 * @pad: nothing
 */
struct fuzz_bpf_call {
	__u64 token;
	__u64 bus;
	__u32 topic;
	__u32 len;
	__u32 which;
	__u32 pad;
};

#endif /* RONBUS_FUZZ_BPF_H */
