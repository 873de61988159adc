// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * iceoryx_member.c - a publisher, or a subscriber, of Eclipse iceoryx that goes on until it is killed
 *
 *	iceoryx_member publish | subscribe
 *
 * For bench/peers/leftovers, which kills it. Needs a RouDi.
 */
#include <iceoryx_binding_c/log.h>
#include <iceoryx_binding_c/publisher.h>
#include <iceoryx_binding_c/runtime.h>
#include <iceoryx_binding_c/subscriber.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LEN 32U

static void publish(void)
{
	iox_pub_storage_t storage;
	iox_pub_t publisher = iox_pub_init(&storage, "ronbus", "left", "over", NULL);

	for (;;) {
		void *chunk;

		if (iox_pub_loan_chunk(publisher, &chunk, LEN) == AllocationResult_SUCCESS) {
			memset(chunk, 1, LEN);
			iox_pub_publish_chunk(publisher, chunk);
		}
		usleep(100);
	}
}

static void subscribe(void)
{
	iox_sub_storage_t storage;
	iox_sub_t subscriber = iox_sub_init(&storage, "ronbus", "left", "over", NULL);

	for (;;) {
		const void *chunk;

		while (iox_sub_take_chunk(subscriber, &chunk) == ChunkReceiveResult_SUCCESS)
			iox_sub_release_chunk(subscriber, chunk);
		usleep(100);
	}
}

int main(int argc, char **argv)
{
	char name[32];

	if (argc != 2 || (strcmp(argv[1], "publish") && strcmp(argv[1], "subscribe"))) {
		fputs("usage: iceoryx_member publish | subscribe\n", stderr);
		return 2;
	}
	iox_set_loglevel(Iceoryx_LogLevel_Error);
	snprintf(name, sizeof(name), "member-%d", getpid());
	iox_runtime_init(name);
	if (*argv[1] == 'p')
		publish();
	subscribe();
}
