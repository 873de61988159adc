/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * ronbus_ring_atomic.h - the names under which the ring protocol uses atomic accesses and barriers
 *
 * The kernel module and user space compile the same protocol. This file maps its operations to
 * those of the kernel's memory model and to those of C11.
 */
#ifndef _UAPI_RONBUS_RING_ATOMIC_H
#define _UAPI_RONBUS_RING_ATOMIC_H

#ifdef __KERNEL__

#include <linux/compiler.h>
#include <linux/string.h>
#include <asm/barrier.h>
#include "ronbus.h"

#define RB_READ(p) READ_ONCE(*(p))
#define RB_WRITE(p, v) WRITE_ONCE(*(p), v)
#define RB_LOAD_ACQUIRE(p) smp_load_acquire(p)
#define RB_STORE_RELEASE(p, v) smp_store_release(p, v)
/* Both are full barriers, the first when it succeeds. */
#define RB_CAS(p, old, new) (cmpxchg(p, old, new) == (old))
#define RB_XCHG(p, v) ((void)xchg(p, v))
#define RB_MB() smp_mb()
#define RB_RMB() smp_rmb()
#define RB_WMB() smp_wmb()
#define RB_LIKELY(x) likely(x)
#define RB_UNLIKELY(x) unlikely(x)
#define RB_PART static __always_inline

#else /* !__KERNEL__ */

#include <stddef.h>
#include <string.h>
#include "ronbus.h"

#define RB_READ(p) __atomic_load_n(p, __ATOMIC_RELAXED)
#define RB_WRITE(p, v) __atomic_store_n(p, v, __ATOMIC_RELAXED)
#define RB_LOAD_ACQUIRE(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define RB_STORE_RELEASE(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)

static inline int rb_cas(__u64 *p, __u64 old, __u64 new_)
{
	return __atomic_compare_exchange_n(p, &old, new_, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

#ifdef __SANITIZE_THREAD__
#define RB_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RB_TSAN 1
#endif
#endif

/*
 * ThreadSanitizer does not know fences, and does not need them: every shared word is accessed
 * atomically. It gets an operation that is as strong.
 */
#ifdef RB_TSAN
static inline void rb_fence(void)
{
	static __u32 word;

	__atomic_fetch_add(&word, 1, __ATOMIC_SEQ_CST);
}
#define RB_MB() rb_fence()
#define RB_RMB() rb_fence()
#define RB_WMB() rb_fence()
#else
#define RB_MB() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define RB_RMB() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#define RB_WMB() __atomic_thread_fence(__ATOMIC_RELEASE)
#endif

/*
 * A locked instruction of x86 is a full barrier. Elsewhere C11's strongest read-modify-write lets
 * later accesses move up before its store, and needs help to be what the kernel's are.
 */
#if defined(__x86_64__) || defined(__i386__)
#define RB_CAS(p, old, new) rb_cas(p, old, new)
#define RB_XCHG(p, v) ((void)__atomic_exchange_n(p, v, __ATOMIC_SEQ_CST))
#else
#define RB_CAS(p, old, new) (rb_cas(p, old, new) ? (RB_MB(), 1) : 0)
#define RB_XCHG(p, v) ((void)__atomic_exchange_n(p, v, __ATOMIC_SEQ_CST), RB_MB())
#endif

#define RB_LIKELY(x) __builtin_expect(!!(x), 1)
#define RB_UNLIKELY(x) __builtin_expect(!!(x), 0)
/* Of a reader's fast path, in every program: a call would cost as much as what it does. */
#define RB_PART static __always_inline

#endif /* __KERNEL__ */

/* The race detectors understand words, not the copying of bytes that may be thrown away. */
#if defined(RB_TSAN) || defined(CONFIG_KCSAN)
#define RB_WHOLE_WORDS 1
#endif

/*
 * A test build defines this to stop a publisher at a chosen step. At each of these steps, a process
 * that dies leaves something that others have to deal with.
 */
#ifndef RB_STEP
#define RB_STEP(step) ((void)0)
#endif

#endif /* _UAPI_RONBUS_RING_ATOMIC_H */
