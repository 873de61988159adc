/* SPDX-License-Identifier: GPL-2.0 */
/*
 * points.h - included before the module's own headers when it is built for the fuzzer
 *
 * Every step at which another CPU might see or change something becomes one that can be held up:
 * accesses to shared words, bits and locks, and the steps of the ring. The sources of the module
 * know nothing of it.
 */
#ifndef RONBUS_FUZZ_POINTS_H
#define RONBUS_FUZZ_POINTS_H

#include <linux/bitops.h>
#include <linux/compiler.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include <asm/barrier.h>

void ronbus_fuzz_point(void);
int ronbus_fuzz_begin(void);
void ronbus_fuzz_end(void);

#define RB_STEP(step) ronbus_fuzz_point()

/* A value, held up before it is read. */
#define RONBUS_FUZZ_BEFORE(value)    \
	({                           \
		ronbus_fuzz_point(); \
		value;               \
	})
#define RONBUS_FUZZ_AROUND(action)   \
	({                           \
		ronbus_fuzz_point(); \
		action;              \
		ronbus_fuzz_point(); \
	})

#undef READ_ONCE
#define READ_ONCE(x)                                \
	({                                          \
		compiletime_assert_rwonce_type(x);  \
		RONBUS_FUZZ_BEFORE(__READ_ONCE(x)); \
	})
#undef WRITE_ONCE
#define WRITE_ONCE(x, value) RONBUS_FUZZ_AROUND(__WRITE_ONCE(x, value))
#undef smp_load_acquire
#define smp_load_acquire(p) RONBUS_FUZZ_BEFORE(__smp_load_acquire(p))
#undef smp_store_release
#define smp_store_release(p, value) RONBUS_FUZZ_AROUND(__smp_store_release(p, value))

/* Functions: a name in brackets is the function itself. */
#define set_bit(nr, word) RONBUS_FUZZ_AROUND((set_bit)(nr, word))
#define clear_bit(nr, word) RONBUS_FUZZ_AROUND((clear_bit)(nr, word))

static __always_inline bool ronbus_fuzz_bit(bool was)
{
	ronbus_fuzz_point();
	return was;
}

#define test_and_set_bit(nr, word) ronbus_fuzz_bit(RONBUS_FUZZ_BEFORE((test_and_set_bit)(nr, word)))
#define test_and_clear_bit(nr, word) \
	ronbus_fuzz_bit(RONBUS_FUZZ_BEFORE((test_and_clear_bit)(nr, word)))

#define spin_lock(lock) RONBUS_FUZZ_BEFORE((spin_lock)(lock))
#define spin_lock_irq(lock) RONBUS_FUZZ_BEFORE((spin_lock_irq)(lock))
#undef spin_lock_irqsave
#define spin_lock_irqsave(lock, flags)                              \
	do {                                                        \
		ronbus_fuzz_point();                                \
		raw_spin_lock_irqsave(spinlock_check(lock), flags); \
	} while (0)
#undef mutex_lock
#ifdef CONFIG_DEBUG_LOCK_ALLOC
#define mutex_lock(lock) RONBUS_FUZZ_BEFORE(mutex_lock_nested(lock, 0))
#else
#define mutex_lock(lock) RONBUS_FUZZ_BEFORE((mutex_lock)(lock))
#endif
#define spin_unlock(lock) RONBUS_FUZZ_AROUND((spin_unlock)(lock))
#define spin_unlock_irq(lock) RONBUS_FUZZ_AROUND((spin_unlock_irq)(lock))
#define spin_unlock_irqrestore(lock, flags) \
	RONBUS_FUZZ_AROUND((spin_unlock_irqrestore)(lock, flags))
#define mutex_unlock(lock) RONBUS_FUZZ_AROUND((mutex_unlock)(lock))
#define rcu_read_unlock() RONBUS_FUZZ_AROUND((rcu_read_unlock)())

/* The hooks come first and go last. */
#undef module_init
#define module_init(begin)                                                        \
	static int __init ronbus_fuzz_init(void)                                  \
	{                                                                         \
		int err = ronbus_fuzz_begin();                                    \
                                                                                  \
		if (err)                                                          \
			return err;                                               \
		err = begin();                                                    \
		if (err)                                                          \
			ronbus_fuzz_end();                                        \
		return err;                                                       \
	}                                                                         \
	int init_module(void) __copy(ronbus_fuzz_init) __alias(ronbus_fuzz_init); \
	___ADDRESSABLE(init_module, __initdata)
#undef module_exit
#define module_exit(end)                                                              \
	static void __exit ronbus_fuzz_exit(void)                                     \
	{                                                                             \
		end();                                                                \
		ronbus_fuzz_end();                                                    \
	}                                                                             \
	void cleanup_module(void) __copy(ronbus_fuzz_exit) __alias(ronbus_fuzz_exit); \
	___ADDRESSABLE(cleanup_module, __exitdata)

#endif /* RONBUS_FUZZ_POINTS_H */
