/* SPDX-License-Identifier: GPL-2.0 */
/*
 * hook.h - is included in front of the library's files: whatever they load atomically, something
 * may have happened before
 *
 * Those loads are all that the library knows of memory that others write. The macro has the name of
 * the compiler's function, and ends in it.
 */
#ifndef RONBUS_FUZZ_HOOK_H
#define RONBUS_FUZZ_HOOK_H

void fuzz_before_load(void);

#define __atomic_load_n(pointer, order) (fuzz_before_load(), __atomic_load_n(pointer, order))

#endif /* RONBUS_FUZZ_HOOK_H */
