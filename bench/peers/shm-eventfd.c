// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * shm-eventfd.c - a lossy ring in shared memory, each reader sleeps in read(2) of its eventfd
 *
 * A reader sets its bit and looks at the ring again before it reads its eventfd; the publisher looks
 * at the bits after each message, clears them, and writes to the eventfd of each bit that was set.
 * Other than the futex, this has a file descriptor that a program can wait for together with others.
 *
 * peer: shm-eventfd
 */
#include <sys/eventfd.h>

#include "shm.h"

#define PEER_NAME "shm-eventfd"

struct channel {
	struct ring *ring;
	int eventfds[READERS_MAX];
};

struct sender {
	struct cursor cursor;
	const struct channel *channel;
};

struct reader {
	struct cursor cursor;
	uint64_t bit;
	int eventfd;
};

static void peer_version(char *text, size_t size)
{
	kernel_version(text, size);
}

static void channel_open(struct channel *channel, unsigned int index, unsigned int count)
{
	unsigned int i;

	(void)index;
	channel->ring = ring_make();
	for (i = 0; i < count; i++) {
		channel->eventfds[i] = eventfd(0, 0);
		if (channel->eventfds[i] < 0)
			cannot("eventfd: %s", strerror(errno));
	}
}

static void sender_open(struct sender *sender, struct channel *channel)
{
	sender->cursor = ring_cursor(channel->ring);
	sender->channel = channel;
}

static void reader_open(struct reader *reader, struct channel *channel, unsigned int number)
{
	reader->cursor = ring_cursor(channel->ring);
	reader->bit = 1ULL << number;
	reader->eventfd = channel->eventfds[number];
}

static NOINLINE void wake(const struct sender *sender)
{
	uint64_t asleep = __atomic_exchange_n(&sender->cursor.ring->asleep, 0, __ATOMIC_RELAXED);

	for (; asleep; asleep &= asleep - 1)
		if (eventfd_write(sender->channel->eventfds[__builtin_ctzll(asleep)], 1))
			die("eventfd: %s", strerror(errno));
}

static ALWAYS_INLINE void message_send(struct sender *sender, const void *data, size_t len)
{
	ring_write(&sender->cursor, data, len);
	if (__builtin_expect(__atomic_load_n(&sender->cursor.ring->asleep, __ATOMIC_RELAXED) != 0,
			     0))
		wake(sender);
}

static ALWAYS_INLINE int message_take(struct reader *reader, void *buffer, size_t size)
{
	return ring_read(&reader->cursor, buffer, size);
}

static int message_wait(struct reader *reader, void *buffer, size_t size)
{
	eventfd_t count;
	int ret;

	for (;;) {
		ret = ring_read(&reader->cursor, buffer, size);
		if (ret)
			return ret;
		__atomic_fetch_or(&reader->cursor.ring->asleep, reader->bit, __ATOMIC_SEQ_CST);
		ret = ring_read(&reader->cursor, buffer, size);
		if (ret) {
			/* Spares the publisher a write. If that was done already, a later sleep is short. */
			__atomic_fetch_and(&reader->cursor.ring->asleep, ~reader->bit,
					   __ATOMIC_RELAXED);
			return ret;
		}
		if (eventfd_read(reader->eventfd, &count))
			die("eventfd: %s", strerror(errno));
	}
}

#include "shapes.h"
