// SPDX-License-Identifier: GPL-2.0
/*
 * exit_event.bpf.c - services that crash, told to every subscriber of a bus by the kernel itself
 *
 * When the last thread of a process is gone, and it did not end with exit status 0, the event
 * RONBUS_EVENT_SERVICE_CRASHED is published on the bus that was named for it. No daemon in between
 * has to be woken first, or could have crashed itself.
 *
 * The map "services" says which processes are services, by the name of the process (comm), which
 * number each has, and on which bus its end is published. exit_event.c fills it; so may bpftool.
 */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "ronbus.h"
#include "ronbus_events.h"
#include "exit_event.h"

char _license[] SEC("license") = "GPL";

/* As much of the kernel's own structures as is needed. */
#define KERNEL __attribute__((preserve_access_index))

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live;
} KERNEL;

struct task_struct {
	int exit_code;
	char comm[EXIT_EVENT_COMM];
	struct signal_struct *signal;
} KERNEL;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct exit_event_key);
	__type(value, struct exit_event_service);
} services SEC(".maps");

int bpf_ronbus_publish(__u64 token, __u32 topic, const void *data, __u32 data__sz) __ksym;

SEC("tp_btf/sched_process_exit")
int BPF_PROG(exit_event, struct task_struct *task)
{
	union ronbus_event event = { .tag = RONBUS_EVENT_SERVICE_CRASHED };
	__u8 message[RONBUS_EVENT_SERVICE_CRASHED_SIZE];
	const struct exit_event_service *service;
	struct exit_event_key key = {};
	int code;

	if (!task)
		return 0;
	code = task->exit_code;
	if (!code || task->signal->live.counter)
		return 0;
	bpf_core_read_str(key.comm, sizeof(key.comm), &task->comm);
	service = bpf_map_lookup_elem(&services, &key);
	if (!service)
		return 0;

	/* As wait(2) has it: the signal in the low bits, or the exit status above them. */
	event.service_crashed.service = service->number;
	event.service_crashed.reason = code & 0x7f ? RONBUS_CRASH_SIGNAL : RONBUS_CRASH_EXIT;
	event.service_crashed.code = code & 0x7f ? code & 0x7f : code >> 8 & 0xff;
	ronbus_event_encode(message, sizeof(message), &event);
	bpf_ronbus_publish(service->token, RONBUS_TOPIC_OPERATIONS, message, sizeof(message));
	return 0;
}
