// SPDX-License-Identifier: MIT
/*
 * victim.c - a publisher that gets stuck in the middle of writing a message
 *
 * To be killed at the worst moment is unlikely, so the demo makes sure of it: RB_STEP is the ring
 * protocol's hook for tests, called at each step of publishing. This process stops itself at one
 * of them, as if the scheduler had taken the CPU away, and then waits for the worst.
 */
static void at_step(int step);
#define RB_STEP(step) at_step(step)

#include "demo.h"

#include <signal.h>

static __u64 publishing;

static void at_step(int step)
{
	if (publishing == BURST / 2 && step == RONBUS_STEP_WRITING)
		raise(SIGSTOP);
}

int victim_run(const void *arg)
{
	const struct options *options = arg;
	struct burst_event event = { .tag = EVENT_BURST };
	struct ronbus_pub *pub;
	struct ronbus *bus;
	int ret;

	say_as("victim", 31);
	ret = ronbus_attach(options->where, options->name, RONBUS_ACCESS_PUBLISH, &bus);
	if (!ret)
		ret = ronbus_publisher(bus, RONBUS_PUB_MAPPED_ONLY, &pub);
	if (ret) {
		say_bad("cannot publish: %s", ronbus_why(options->where, ret));
		return 1;
	}
	say("publishes %d messages; it will not live to finish number %d", BURST, BURST / 2);
	for (publishing = 1; publishing <= BURST; publishing++) {
		event.number = publishing;
		ret = ronbus_publish(pub, TOPIC_BURST, &event, sizeof(event));
		if (ret < 0)
			break;
	}
	say_bad("is still alive");
	ronbus_pub_close(pub);
	ronbus_close(bus);
	return 1;
}
