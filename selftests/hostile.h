/* SPDX-License-Identifier: GPL-2.0 */
/* A bus under attack, and one beside it whose subscriber accounts for every position. */
#ifndef RONBUS_HOSTILE_H
#define RONBUS_HOSTILE_H

#include "ronbus_kselftest.h"

#define SLOTS 64U
#define LEN 32U
#define PAGE 4096UL

/* ---- the bus beside it ------------------------------------------------------------------ */

/**
 * struct witness - what the other bus's subscriber saw, shared with the test
 * @stop: the publisher is to leave
 * @received: messages
 * @lost: positions it was told it lost
 * @wrong: messages that were not exactly the next one, after what was lost
 */
struct witness {
	u32 stop;
	u64 received;
	u64 lost;
	u64 wrong;
};

FIXTURE(hostile)
{
	int control;
	int bus;
	u64 seed;
	struct witness *witness;
	pid_t beside[2];
};

/* Position and number go together: it is the only publisher, and every publish succeeds. */
static inline int beside_publish(int bus, struct witness *witness)
{
	struct publisher p;
	u64 i;

	if (publisher_join(&p, bus, RONBUS_PUBLISHER_MAPPED))
		return 1;
	for (i = 0; !__atomic_load_n(&witness->stop, __ATOMIC_SEQ_CST); i++) {
		if (publish_number(&p, i) != 1)
			return 2;
		usleep(200);
	}
	return p.m.self->messages_for[1] == i && !p.m.self->dropped ? 0 : 3;
}

static inline int beside_subscribe(struct subscriber *s, struct witness *witness)
{
	struct message msg;
	u64 next = SLOTS;
	int ret;

	while ((ret = subscriber_read(s, &msg))) {
		if (ret == -EAGAIN)
			ret = fd_wait(s->m.fd, RONBUS_WAIT_FOREVER);
		if (ret < 0)
			return 1;
		if (ret != 1)
			continue;
		next += msg.lost;
		witness->wrong +=
			msg.position != next || !message_whole(msg.data, msg.len, next - SLOTS);
		witness->lost += msg.lost;
		__atomic_store_n(&witness->received, witness->received + 1, __ATOMIC_SEQ_CST);
		next++;
	}
	return subscriber_identity(s) && !s->m.self->holes && !s->m.self->filtered &&
			       s->m.self->lost == witness->lost
		       ? 0
		       : 2;
}

#define CREATE(...)               \
	bus_create(self->control, \
		   (struct ronbus_create){ .capacity = SLOTS, .payload = LEN, __VA_ARGS__ })

FIXTURE_SETUP(hostile)
{
	struct subscriber s;
	int bus;

	self->control = OPEN_CONTROL();
	ASSERT_TRUE(wait_until(!vmalloc_areas()));
	self->seed = random_seed();
	self->witness = shared_memory(sizeof(*self->witness));
	ASSERT_NE(NULL, self->witness);
	bus = CREATE(.features = RONBUS_F_EDGE_NOTIFY);
	ASSERT_LE(0, bus);
	ASSERT_EQ(0, subscriber_join(&s, bus, RONBUS_START_LATEST, 0));
	self->beside[0] = fork();
	ASSERT_LE(0, self->beside[0]);
	if (!self->beside[0]) {
		struct subscriber mine;

		if (subscriber_join(&mine, bus, RONBUS_START_LATEST, 0))
			_exit(77);
		close(s.m.fd); /* it did not inherit the mappings */
		_exit(beside_subscribe(&mine, self->witness));
	}
	/* Ours goes when the child's is there: the publisher has exactly one for its audience. */
	ASSERT_TRUE(wait_until(RB_READ(&s.m.page->armed) == 2));
	subscriber_leave(&s);
	self->beside[1] = fork();
	ASSERT_LE(0, self->beside[1]);
	if (!self->beside[1])
		_exit(beside_publish(bus, self->witness));
	close(bus);
	self->bus = CREATE(.features = RONBUS_F_EDGE_NOTIFY, .flags = RONBUS_BUS_PERSISTENT);
	ASSERT_LE(0, self->bus);
}

/* The bus beside is whole to the last message; then everything is gone, memory too. */
FIXTURE_TEARDOWN(hostile)
{
	u64 before = __atomic_load_n(&self->witness->received, __ATOMIC_SEQ_CST);

	EXPECT_TRUE(
		wait_until(__atomic_load_n(&self->witness->received, __ATOMIC_SEQ_CST) > before));
	__atomic_store_n(&self->witness->stop, 1, __ATOMIC_SEQ_CST);
	EXPECT_EQ(0, child_status(self->beside[1]));
	EXPECT_EQ(0, child_status(self->beside[0]));
	EXPECT_EQ(0, self->witness->wrong);
	close(self->bus);
	EXPECT_TRUE(wait_until(!vmalloc_areas()));
	close(self->control);
	if (_metadata->exit_code == KSFT_FAIL)
		TH_LOG("to repeat it: RONBUS_SEED=%llu", (unsigned long long)self->seed);
}

#endif /* RONBUS_HOSTILE_H */
