// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * privileges.c - what each thread can do without
 */
#include "privileges.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/prctl.h>

#include <cap-ng.h>

/**
 * privileges_keep() - give up all other capabilities, and ever getting some back
 * @what: one of &enum privileges
 *
 * This is for the thread that calls it, and for those that it starts from then on.
 *
 * Return: 0 or -errno.
 */
int privileges_keep(enum privileges what)
{
	static const unsigned int kept[] = { CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN };
	unsigned int i, count = what == PRIVILEGES_ATTACH ? 3 : 2;
	bool had[3];

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	capng_setpid(0); /* of this thread, as they are now */
	if (capng_get_caps_process())
		return -EPERM;
	for (i = 0; i < count; i++)
		had[i] = capng_have_capability(CAPNG_PERMITTED, kept[i]);
	capng_clear(CAPNG_SELECT_ALL);
	for (i = 0; i < count; i++)
		if (had[i])
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, kept[i]);
	/* Without new privileges the bounding set is moot. */
	if (capng_apply(CAPNG_SELECT_CAPS) || capng_apply(CAPNG_SELECT_AMBIENT))
		return -EPERM;
	return 0;
}
