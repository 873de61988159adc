// SPDX-License-Identifier: GPL-2.0
/* fuzz.bpf.c - programs that publish for ronbus-fuzz: by system call, and from interrupts */
#include <stddef.h>

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "ronbus.h"
#include "fuzz_bpf.h"

char _license[] SEC("license") = "GPL";

int bpf_ronbus_publish(__u64 token, __u32 topic, const void *data, __u32 data__sz) __ksym;
int bpf_ronbus_counters(__u64 bus, __u32 which, void *counters, __u32 counters__sz) __ksym;

/* Publishers that interrupts use, and what they have done. */
volatile __u64 from_irq[FUZZ_BPF_SLOTS];
__u64 calls;

char message[256];
struct ronbus_counters counters;

SEC("syscall")
int publish(struct fuzz_bpf_call *call)
{
	__u32 len = call->len;

	if (len > sizeof(message))
		return -1;
	return bpf_ronbus_publish(call->token, call->topic, message, len);
}

SEC("syscall")
int count(struct fuzz_bpf_call *call)
{
	return bpf_ronbus_counters(call->bus, call->which, &counters, sizeof(counters));
}

static __always_inline void publish_all(void)
{
	__u64 word = calls;
	unsigned int i;

	for (i = 0; i < FUZZ_BPF_SLOTS; i++)
		if (from_irq[i]) {
			calls++;
			bpf_ronbus_publish(from_irq[i], i & 1, &word, sizeof(word));
		}
}

SEC("tp_btf/hrtimer_expire_entry")
int in_hardirq(void *ctx)
{
	publish_all();
	return 0;
}
