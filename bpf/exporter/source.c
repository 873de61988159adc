// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * source.c - what all sources have in common
 */
#include "source.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int names_add(struct names *names, const char *name)
{
	const char **more = reallocarray(names->name, names->count + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	names->name = more;
	names->name[names->count++] = name;
	return 0;
}

/**
 * source_read() - ask for everything
 * @source: the source, or NULL: nothing is known then
 * @snapshot: filled, and sorted; to be given to snapshot_clear() in any case
 *
 * Return: 0 or -errno.
 */
int source_read(struct source *source, struct snapshot *snapshot)
{
	struct timespec now;
	int err = 0;

	*snapshot = (struct snapshot){ 0 };
	if (source) {
		snapshot->source = source->ops->name;
		err = source->ops->read(source, snapshot);
	}
	clock_gettime(CLOCK_MONOTONIC, &now);
	snapshot->taken_ns = (__u64)now.tv_sec * 1000000000 + (__u64)now.tv_nsec;
	snapshot_sort(snapshot);
	return err;
}

void source_close(struct source *source)
{
	if (source)
		source->ops->close(source);
}

/* Also for a process that may not open the device. */
bool module_is_there(void)
{
	return !access("/sys/module/ronbus", F_OK);
}
