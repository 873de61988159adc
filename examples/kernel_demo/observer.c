// SPDX-License-Identifier: MIT
/*
 * observer.c - a command that looks at the bus from outside while it is busy
 */
#include "demo.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int observer_run(const void *arg)
{
	const struct options *options = arg;

	say_as("observe", 37);
	fflush(stdout);
	execl("/bin/sh", "sh", "-c", options->observe, NULL);
	say_bad("cannot run /bin/sh: %s", strerror(errno));
	return 1;
}
