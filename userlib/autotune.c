// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * autotune.c - a capacity for a number of subscribers
 *
 * The ring is read by everybody and should stay in the cache they share: no larger than the
 * subscribers' differences in speed ask for.
 */
#include "internal.h"

unsigned int ronbus_autotune_capacity(unsigned int subscribers, unsigned int override)
{
	if (override)
		return override;
	if (subscribers <= 4)
		return 64;
	if (subscribers <= 16)
		return 128;
	return 256;
}
