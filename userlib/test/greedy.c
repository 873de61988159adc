// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * greedy.c - what plugin_test loads first: a shared object that takes BYTES of what memory for threads is
 * kept for objects that are loaded later
 *
 * No test by itself.
 */
static __thread __attribute__((tls_model("initial-exec"))) char taken[BYTES];

char *greedy_taken(void);

char *greedy_taken(void)
{
	return taken;
}
