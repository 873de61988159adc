// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * restart_test.c - buses that are waited for, opened at once and made again, in one process
 *
 * What restart_test of the selftests asks of both transports, here with many threads at once and under
 * the sanitizers.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "common.h"

#define WHERE RONBUS_EMBEDDED
#define BOTH (RONBUS_ACCESS_SUBSCRIBE | RONBUS_ACCESS_PUBLISH)
#define READERS 3
#define LIVES 300U
#define EACH 3U

static const struct ronbus_sub_options oldest = { .start = RONBUS_START_OLDEST };

static __u64 number_of(struct ronbus *bus)
{
	struct ronbus_info info;

	ok(ronbus_bus_info(bus, &info));
	return info.id;
}

struct reader {
	unsigned int buses;
	unsigned int messages;
	unsigned int again;
};

/* Bus after bus to its end, until one says that it is the last. */
static void *reader_main(void *arg)
{
	struct reader *me = arg;
	struct ronbus_sub *sub;
	struct ronbus_msg msg;
	struct ronbus *bus;
	__u64 number, last = 0, data = 0;
	int ret;

	while (data != LIVES) {
		ret = ronbus_attach_wait(WHERE, "lives", BOTH, -1, &bus);
		if (ret == -EINTR)
			continue;
		ok(ret);
		number = number_of(bus);
		me->again += number <= last;
		last = number;
		me->buses++;
		ok(ronbus_subscribe(bus, &oldest, &sub));
		while (ronbus_recv(sub, &data, sizeof(data), &msg, -1) != RONBUS_CLOSED)
			me->messages++;
		ronbus_sub_close(sub);
		ronbus_close(bus);
	}
	return NULL;
}

static void test_lives(void **state)
{
	const struct ronbus_options opts = {
		.name = "lives",
		.flags = RONBUS_BUS_RETAIN,
		.capacity = 8,
	};
	struct reader readers[READERS] = { 0 };
	pthread_t threads[READERS];
	struct ronbus_pub *pub;
	struct ronbus *bus;
	unsigned int i, k;
	__u64 life;

	(void)state;
	for (i = 0; i < READERS; i++)
		ok(pthread_create(&threads[i], NULL, reader_main, &readers[i]));
	for (life = 1; life <= LIVES; life++) {
		ok(ronbus_create(WHERE, &opts, &bus));
		ok(ronbus_publisher(bus, life % 2 ? 0 : RONBUS_PUB_SYSCALL, &pub));
		/* All are to see the last one. */
		for (k = 0; life == LIVES && k < READERS;) {
			ok(ronbus_pub_wait(pub, -1));
			k = (unsigned int)ronbus_pub_receivers(pub, 0);
		}
		for (k = 0; k < EACH; k++)
			assert_true(ronbus_publish(pub, 0, &life, sizeof(life)) >= 0);
		ronbus_pub_close(pub);
		ronbus_close(bus);
	}
	for (i = 0; i < READERS; i++) {
		ok(pthread_join(threads[i], NULL));
		assert_int_equal(readers[i].again, 0);
		assert_true(readers[i].buses >= 1);
		/* A bus is read from its first message to its last. */
		assert_int_equal(readers[i].messages, readers[i].buses * EACH);
	}
}

struct opener {
	pthread_barrier_t *together;
	unsigned int made;
};

static void *opener_main(void *arg)
{
	const struct ronbus_options opts = { .name = "opened", .flags = RONBUS_BUS_PERSISTENT };
	struct opener *me = arg;
	struct ronbus *bus;
	unsigned int i;
	int ret;

	for (i = 0; i < LIVES; i++) {
		pthread_barrier_wait(me->together);
		ret = ronbus_open(WHERE, &opts, BOTH, &bus);
		assert_true(ret >= 0);
		me->made += (unsigned int)ret;
		pthread_barrier_wait(me->together);
		ronbus_close(bus);
		pthread_barrier_wait(me->together);
	}
	return NULL;
}

/* Of those that open a name at once, one makes the bus. */
static void test_open(void **state)
{
	struct opener openers[READERS];
	pthread_t threads[READERS];
	pthread_barrier_t together;
	unsigned int i, made = 0;

	(void)state;
	ok(pthread_barrier_init(&together, NULL, READERS));
	for (i = 0; i < READERS; i++) {
		openers[i] = (struct opener){ &together, 0 };
		ok(pthread_create(&threads[i], NULL, opener_main, &openers[i]));
	}
	for (i = 0; i < READERS; i++) {
		ok(pthread_join(threads[i], NULL));
		made += openers[i].made;
	}
	assert_int_equal(made, LIVES);
	pthread_barrier_destroy(&together);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lives),
		cmocka_unit_test(test_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
