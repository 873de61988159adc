// SPDX-License-Identifier: MIT
/*
 * publisher.c - a publisher that comes, publishes many messages at once, and leaves
 */
#include "demo.h"

int burst_run(const void *arg)
{
	const struct options *options = arg;
	struct burst_event event = { .tag = EVENT_BURST };
	struct ronbus_pub *pub;
	struct ronbus *bus;
	int ret, failed = 0;

	say_as("burst", 34);
	ret = ronbus_attach(options->where, options->name, RONBUS_ACCESS_PUBLISH, &bus);
	if (!ret)
		ret = ronbus_publisher(bus, RONBUS_PUB_SINGLE, &pub);
	if (ret) {
		say_bad("cannot publish: %s", ronbus_why(options->where, ret));
		return 1;
	}
	for (event.number = 0; event.number < BURST; event.number++) {
		ret = ronbus_publish(pub, TOPIC_BURST, &event, sizeof(event));
		failed |= ret < ROLES;
	}
	say("%d messages published, each for %d subscribers, without waiting for any", BURST, ret);
	ronbus_pub_close(pub);
	ronbus_close(bus);
	return failed;
}
