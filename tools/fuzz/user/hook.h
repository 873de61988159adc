/* SPDX-License-Identifier: GPL-2.0 */
/*
 * hook.h - is included in front of the library's files: whatever they load or compare
 * atomically, something may have happened before
 *
 * Those loads are all that the library knows of memory that others write. The macros have the names
 * of the compiler's functions, and end in them.
 */
#ifndef RONBUS_FUZZ_HOOK_H
#define RONBUS_FUZZ_HOOK_H

void fuzz_before_load(void);

#define __atomic_load_n(pointer, order) (fuzz_before_load(), __atomic_load_n(pointer, order))

#define __atomic_compare_exchange_n(...) \
	(fuzz_before_load(), __atomic_compare_exchange_n(__VA_ARGS__))

#endif /* RONBUS_FUZZ_HOOK_H */
