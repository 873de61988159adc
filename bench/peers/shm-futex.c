// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * shm-futex.c - a lossy ring in shared memory, readers sleep on a futex
 *
 * The futex is a flag: a reader sets it and looks at the ring again before it sleeps; the publisher
 * looks at it after each message, and if it is set clears it and wakes all readers.
 *
 * peer: shm-futex
 */
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>

#include "shm.h"

#define PEER_NAME "shm-futex"

struct channel {
	struct ring *ring;
};

struct sender {
	struct cursor cursor;
};

struct reader {
	struct cursor cursor;
};

static uint32_t *flag(const struct cursor *cursor)
{
	return (uint32_t *)&cursor->ring->asleep;
}

static void futex(uint32_t *word, int operation, uint32_t value)
{
	if (syscall(SYS_futex, word, operation, value, NULL, NULL, 0) < 0 && errno != EAGAIN &&
	    errno != EINTR)
		die("futex: %s", strerror(errno));
}

static void peer_version(char *text, size_t size)
{
	kernel_version(text, size);
}

static void channel_open(struct channel *channel, unsigned int index, unsigned int count)
{
	(void)index;
	(void)count;
	channel->ring = ring_make();
}

static void sender_open(struct sender *sender, struct channel *channel)
{
	sender->cursor = ring_cursor(channel->ring);
}

static void reader_open(struct reader *reader, struct channel *channel, unsigned int number)
{
	(void)number;
	reader->cursor = ring_cursor(channel->ring);
}

static NOINLINE void wake(uint32_t *word)
{
	__atomic_store_n(word, 0, __ATOMIC_RELAXED);
	futex(word, FUTEX_WAKE, INT_MAX);
}

static ALWAYS_INLINE void message_send(struct sender *sender, const void *data, size_t len)
{
	uint32_t *word = flag(&sender->cursor);

	ring_write(&sender->cursor, data, len);
	if (__builtin_expect(__atomic_load_n(word, __ATOMIC_RELAXED) != 0, 0))
		wake(word);
}

static ALWAYS_INLINE int message_take(struct reader *reader, void *buffer, size_t size)
{
	return ring_read(&reader->cursor, buffer, size);
}

static int message_wait(struct reader *reader, void *buffer, size_t size)
{
	uint32_t *word = flag(&reader->cursor);
	int ret;

	for (;;) {
		ret = ring_read(&reader->cursor, buffer, size);
		if (ret)
			return ret;
		__atomic_exchange_n(word, 1, __ATOMIC_SEQ_CST);
		ret = ring_read(&reader->cursor, buffer, size);
		if (ret)
			return ret;
		futex(word, FUTEX_WAIT, 1);
	}
}

#include "shapes.h"
