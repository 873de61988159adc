// SPDX-License-Identifier: GPL-2.0
/*
 * hooks.c - a part of the module when it is built for the fuzzer: notes steps, and holds them up
 *
 * What the fuzzer writes into the mapping is believed: it is root's, and the kernel one to be
 * thrown away. A hook may be called anywhere, an interrupt within a hook included: it calls
 * nothing, and a step that is counted wrong does no harm.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/panic_notifier.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/vmalloc.h>

#include "hooks.h"

#define PIDS 32768U
#define LONG 256U /* steps that a turn lasts at most */

void ronbus_fuzz_point(void);
int ronbus_fuzz_begin(void);
void ronbus_fuzz_end(void);
void __sanitizer_cov_trace_pc(void);

static struct hook_shared *shared;
static u8 *trace_of; /* by pid: number of its trace and 1 */
static u32 pid_of[HOOK_TASKS];
static DEFINE_PER_CPU(u32, dice);

static __always_inline u32 roll(void)
{
	u32 value = raw_cpu_read(dice) * 1664525 + 1013904223;

	raw_cpu_write(dice, value);
	return value >> 8;
}

static __always_inline struct hook_trace *trace_here(void)
{
	unsigned int n;

	if (!in_task())
		return &shared->traces[HOOK_TASKS + raw_smp_processor_id() % HOOK_CPUS];
	n = READ_ONCE(trace_of[current->pid % PIDS]);
	return n ? &shared->traces[n - 1] : NULL;
}

/*
 * Where CPUs run in turns, cpu_relax() is the end of a turn. Where they do not, an emulated one
 * asks for a lock then that the others need.
 */
static __always_inline void look_again(void)
{
	if (shared->turns)
		cpu_relax();
	else
		barrier();
}

static __always_inline void spin(u32 looks)
{
	while (looks--)
		look_again();
}

/* Until so many steps have been made elsewhere, no thread is left to make any, or too long. */
static __always_inline void stall(const struct hook_trace *trace)
{
	size_t group = (trace - shared->traces) / HOOK_GROUP * HOOK_GROUP;
	u64 since = READ_ONCE(shared->steps);
	u32 looks = shared->stall_looks;

	while (looks-- && READ_ONCE(shared->steps) - since < trace->stall_for &&
	       READ_ONCE(shared->traces[group].busy) > 1)
		look_again();
}

static __always_inline void hold_up(struct hook_trace *trace, u32 at)
{
	u32 jitter = READ_ONCE(shared->jitter);

	WRITE_ONCE(shared->steps, shared->steps + 1);
	if (trace) {
		if (trace->steps < HOOK_PATH)
			trace->path[trace->steps] = at;
		if (++trace->steps == trace->stall_at)
			stall(trace);
		if (shared->turns && !(trace->steps % LONG))
			cpu_relax();
	}
	if (unlikely(jitter) && !(roll() & (jitter - 1)))
		spin(roll() % (shared->jitter_looks + 1));
}

static __always_inline void note(struct hook_trace *trace, u64 at)
{
	u32 edge;

	if (at >= HOOK_PLACES)
		return;
	if (!shared->places[at])
		shared->places[at] = 1;
	if (!trace)
		return;
	edge = ((trace->last * 0x9e3779b1U ^ (u32)at) * 0x85ebca6bU >> 8) % HOOK_EDGES;
	trace->last = at;
	if (likely(shared->edges[edge]))
		return;
	if (trace->count < HOOK_FRESH)
		trace->fresh[trace->count] = edge;
	trace->count++;
}

/* The compiler calls this in every basic block: a function of this name is for that, anywhere. */
notrace void __sanitizer_cov_trace_pc(void)
{
	unsigned long at;
	struct hook_trace *trace;

	if (unlikely(!shared || !shared->text))
		return;
	at = _RET_IP_ - shared->text;
	trace = trace_here();
	note(trace, at);
	hold_up(trace, at);
}

notrace void ronbus_fuzz_point(void)
{
	if (likely(shared && shared->text))
		hold_up(trace_here(), (_RET_IP_ - shared->text) | HOOK_POINT);
}

/* ---- the device ------------------------------------------------------------------------ */

static long hook_ioctl(struct file *file, unsigned int cmd, unsigned long n)
{
	u32 pid = current->pid % PIDS;

	if (cmd != HOOK_IOC_TRACE || n >= HOOK_TASKS)
		return -EINVAL;
	WRITE_ONCE(trace_of[pid_of[n]], 0);
	pid_of[n] = pid;
	WRITE_ONCE(trace_of[pid], n + 1);
	return 0;
}

static int hook_mmap(struct file *file, struct vm_area_struct *vma)
{
	return remap_vmalloc_range(vma, shared, vma->vm_pgoff);
}

static const struct file_operations hook_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = hook_ioctl,
	.mmap = hook_mmap,
};

static struct miscdevice hook_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = HOOK_DEVICE,
	.fops = &hook_fops,
	.mode = 0600,
};

/* Prints what was being run into the log: the lines that have something in them. */
static int print_box(struct notifier_block *block, unsigned long event, void *data)
{
	u32 at, used = min(READ_ONCE(shared->box_used), HOOK_BOX);

	for (at = 0; at < used; at += 32)
		if (memchr_inv(shared->box + at, 0, 32))
			pr_emerg("%s: box %u %32phN\n", HOOK_DEVICE, at, shared->box + at);
	return NOTIFY_DONE;
}

static struct notifier_block panic_block = { .notifier_call = print_box };

int ronbus_fuzz_begin(void)
{
	unsigned int cpu;
	int err = -ENOMEM;

	for_each_possible_cpu(cpu) per_cpu(dice, cpu) = cpu * 7919 + 1;
	trace_of = vzalloc(PIDS);
	shared = vmalloc_user(sizeof(*shared));
	if (!trace_of || !shared)
		goto err_memory;
	err = misc_register(&hook_device);
	if (err)
		goto err_memory;
	atomic_notifier_chain_register(&panic_notifier_list, &panic_block);
	return 0;

err_memory:
	vfree(shared);
	vfree(trace_of);
	shared = NULL;
	return err;
}

/* No code of the module but this is run any more. */
void ronbus_fuzz_end(void)
{
	struct hook_shared *was = shared;

	atomic_notifier_chain_unregister(&panic_notifier_list, &panic_block);
	misc_deregister(&hook_device);
	WRITE_ONCE(shared, NULL);
	vfree(was);
	vfree(trace_of);
}
