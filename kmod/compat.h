/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The differences between the kernels this module is built for, 6.1 to 6.12, and nothing else. The
 * rest of the module is written against the newest of them.
 */
#ifndef _RONBUS_COMPAT_H
#define _RONBUS_COMPAT_H

#include <linux/btf.h>
#include <linux/btf_ids.h>
#include <linux/eventfd.h>
#include <linux/ipc_namespace.h>
#include <linux/mm.h>
#include <linux/nsproxy.h>
#include <linux/proc_ns.h>
#include <linux/time_namespace.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "ronbus needs Linux 6.1 or later"
#endif

#ifndef CONFIG_64BIT
#error "ronbus needs a 64 bit kernel: the words of its ring are 64 bit"
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
static inline void vm_flags_mod(struct vm_area_struct *vma, vm_flags_t set, vm_flags_t clear)
{
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
}
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
#include <linux/io_uring.h>
#define ronbus_eventfd_signal(ctx) eventfd_signal(ctx, 1)
#else
#include <linux/io_uring/cmd.h>
#define ronbus_eventfd_signal(ctx) eventfd_signal(ctx)
#endif

/* The 16 bytes of a command in its submission queue entry, which the program can still write. */
static inline const void *ronbus_uring_payload(const struct io_uring_cmd *cmd)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
	return cmd->cmd;
#else
	return cmd->sqe->cmd;
#endif
}

/*
 * Before 6.7 the kernel does not cancel the pending commands of a ring that goes away, so none may
 * be pending: a worker of io_uring, which can be interrupted, sleeps instead.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 7, 0)
#define RONBUS_URING_PENDING false
#define IO_URING_F_CANCEL 0
static inline void io_uring_cmd_mark_cancelable(struct io_uring_cmd *cmd, unsigned int issue_flags)
{
}
#else
#define RONBUS_URING_PENDING true
#endif

/* Functions that BPF programs may call had fewer marks. */
#ifndef BTF_KFUNCS_START
#define BTF_KFUNCS_START(name) BTF_SET8_START(name)
#define BTF_KFUNCS_END(name) BTF_SET8_END(name)
#endif
#ifndef __bpf_kfunc
#define __bpf_kfunc __used noinline
#endif

/* What the caller's time namespace adds to CLOCK_MONOTONIC. The kernel's own is not exported. */
static inline s64 ronbus_clock_offset(void)
{
#ifdef CONFIG_TIME_NS
	return timespec64_to_ns(&current->nsproxy->time_ns->offsets.monotonic);
#else
	return 0;
#endif
}

/*
 * The caller's time in the kernel's clock. RONBUS_WAIT_FOREVER stays, and so does a time that is
 * later than a clock can say.
 */
static inline u64 ronbus_deadline_here(u64 deadline)
{
	s64 offset = ronbus_clock_offset();

	if (!offset || deadline > KTIME_MAX)
		return deadline;
	if (offset > 0)
		return deadline > offset ? deadline - offset : 0;
	return min_t(u64, deadline - offset, KTIME_MAX);
}

/* put_ipc_ns() is not exported everywhere; what namespace files call to let go is reachable. */
static inline void ronbus_ipc_ns_put(struct ipc_namespace *ns)
{
#ifdef CONFIG_IPC_NS
	ns->ns.ops->put(&ns->ns);
#endif
}

#endif /* _RONBUS_COMPAT_H */
