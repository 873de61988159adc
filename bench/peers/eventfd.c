// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * eventfd.c - an eventfd for each reader: wake-ups without a message
 *
 * EFD_SEMAPHORE, so that each read(2) is one wake-up and none is lost. What is given out as a
 * message is a number that the reader counts.
 *
 * peer: eventfd
 */
#include <sys/eventfd.h>

#include "peer.h"

#define PEER_NAME "eventfd"

struct channel {
	int eventfds[READERS_MAX];
	unsigned int readers;
};

struct sender {
	const struct channel *channel;
};

struct reader {
	int fd;
	uint64_t count;
};

static void peer_version(char *text, size_t size)
{
	kernel_version(text, size);
}

static void channel_open(struct channel *channel, unsigned int index, unsigned int count)
{
	unsigned int i;

	(void)index;
	if (peer.payload != sizeof(uint64_t) || peer.spoil)
		cannot("carries no message: what stands for it is the number of 8 bytes that "
		       "the reader counts");
	channel->readers = count;
	for (i = 0; i < count; i++) {
		channel->eventfds[i] = eventfd(0, EFD_SEMAPHORE | (peer.sleep ? 0 : EFD_NONBLOCK));
		if (channel->eventfds[i] < 0)
			cannot("eventfd: %s", strerror(errno));
	}
}

static void sender_open(struct sender *sender, struct channel *channel)
{
	sender->channel = channel;
}

static void reader_open(struct reader *reader, struct channel *channel, unsigned int number)
{
	reader->fd = channel->eventfds[number];
}

static void message_send(struct sender *sender, const void *data, size_t len)
{
	uint64_t one = 1;
	unsigned int i;

	(void)data;
	(void)len;
	for (i = 0; i < sender->channel->readers; i++)
		if (write(sender->channel->eventfds[i], &one, sizeof(one)) != sizeof(one))
			die("write: %s", strerror(errno));
}

static int message_take(struct reader *reader, void *buffer, size_t size)
{
	uint64_t one;

	(void)size;
	if (read(reader->fd, &one, sizeof(one)) != sizeof(one))
		return errno == EAGAIN ? 0 : -1;
	reader->count++;
	memcpy(buffer, &reader->count, sizeof(reader->count));
	return sizeof(reader->count);
}

static int message_wait(struct reader *reader, void *buffer, size_t size)
{
	return message_take(reader, buffer, size);
}

#include "shapes.h"
