// SPDX-License-Identifier: GPL-2.0
/*
 * Programs that publish and read counters from where programs run, for bpf_test.c; and such as a
 * kernel must refuse, each of which is loaded only to see that.
 */
#include <stddef.h>

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "ronbus.h"

char _license[] SEC("license") = "GPL";

int bpf_ronbus_publish(__u64 token, __u32 topic, const void *data, __u32 data__sz) __ksym;
int bpf_ronbus_counters(__u64 bus, __u32 which, void *counters, __u32 counters__sz) __ksym;

#define EAGAIN 11

/* What the programs are told. */
volatile __u64 token;
volatile __u32 topic;
volatile __u32 len;
volatile __u32 on; /* publish */
volatile __u64 most; /* but no more than this */
volatile __u64 bus;
volatile __u32 which;
volatile __u32 size;
char message[RONBUS_PAYLOAD_MAX];

/* What they tell. */
volatile int ret;
__u64 calls;
__u64 accepted;
__u64 addressed;
__u64 dropped;
__u64 failed;
struct ronbus_counters counters;

/* With nothing after its end: a map of its own. */
__u64 alone SEC(".data.alone");

SEC("syscall")
int call_publish(void *ctx)
{
	__u32 bytes = len;

	if (bytes > sizeof(message))
		return 1;
	ret = bpf_ronbus_publish(token, topic, message, bytes);
	return 0;
}

SEC("syscall")
int call_counters(void *ctx)
{
	__u32 bytes = size;

	if (bytes > sizeof(counters))
		return 1;
	ret = bpf_ronbus_counters(bus, which, &counters, bytes);
	return 0;
}

/* A message whose four words are all its number. */
static __always_inline void publish_next(void)
{
	__u64 words[4], number;
	int got;

	if (!on || *(volatile __u64 *)&calls >= most)
		return;
	number = __sync_fetch_and_add(&calls, 1);
	if (number >= most)
		return;
	words[0] = words[1] = words[2] = words[3] = number;
	got = bpf_ronbus_publish(token, topic, words, sizeof(words));
	if (got >= 0) {
		__sync_fetch_and_add(&accepted, 1);
		__sync_fetch_and_add(&addressed, got);
	} else if (got == -EAGAIN) {
		__sync_fetch_and_add(&dropped, 1);
	} else {
		__sync_fetch_and_add(&failed, 1);
		ret = got;
	}
}

SEC("fentry/ronbus_show_bus")
int from_fentry(void *ctx)
{
	publish_next();
	return 0;
}

SEC("tp_btf/ronbus_arm")
int from_arm(void *ctx)
{
	publish_next();
	return 0;
}

SEC("tp_btf/ronbus_leave")
int from_leave(void *ctx)
{
	publish_next();
	return 0;
}

SEC("tp_btf/hrtimer_expire_entry")
int from_hardirq(void *ctx)
{
	publish_next();
	return 0;
}

/* Traced from within an NMI, once for each of its handlers. */
SEC("tp_btf/nmi_handler")
int from_nmi(void *ctx)
{
	publish_next();
	return 0;
}

/* What it publishes is traced, too, and would call it. */
SEC("tp_btf/ronbus_publish")
int from_publish(void *ctx)
{
	publish_next();
	return 0;
}

SEC("tp_btf/softirq_entry")
int from_softirq(void *ctx)
{
	publish_next();
	return 0;
}

SEC("tp_btf/sys_enter")
int from_sys_enter(void *ctx)
{
	publish_next();
	return 0;
}

/* ---- refused ----------------------------------------------------------------------------- */

/* It may not sleep here. */
SEC("?tp_btf/sys_enter")
int refused_context(void *ctx)
{
	return bpf_ronbus_counters(1, RONBUS_STATS_BUS, &counters, sizeof(counters));
}

/* A number is no address. */
SEC("?syscall")
int refused_number(void *ctx)
{
	return bpf_ronbus_publish(1, 0, (void *)bpf_ktime_get_ns(), 8);
}

SEC("?syscall")
int refused_beyond(void *ctx)
{
	__u64 word = 0;

	return bpf_ronbus_publish(1, 0, &word, 16);
}

SEC("?syscall")
int refused_beyond_map(void *ctx)
{
	return bpf_ronbus_publish(1, 0, &alone, sizeof(alone) + 1);
}

SEC("?syscall")
int refused_unbounded(void *ctx)
{
	return bpf_ronbus_publish(1, 0, message, len);
}

SEC("?syscall")
int refused_counters_beyond(void *ctx)
{
	__u64 word = 0;

	return bpf_ronbus_counters(1, RONBUS_STATS_BUS, &word, sizeof(counters));
}

SEC("?syscall")
int refused_counters_null(void *ctx)
{
	return bpf_ronbus_counters(1, RONBUS_STATS_BUS, NULL, sizeof(counters));
}

/* The module offers its functions to programs that trace, and to those called by system call. */
SEC("?socket")
int refused_type(void *ctx)
{
	__u64 word = 0;

	return bpf_ronbus_publish(1, 0, &word, sizeof(word));
}
