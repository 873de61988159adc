// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * unix.c - AF_UNIX datagrams, one for each reader
 *
 * A pair of connected sockets a reader: send(2) for each is cheaper than one sendmmsg(2) to
 * addresses, which have to be looked up, and a connected pair is not held to the ten datagrams of
 * net.unix.max_dgram_qlen.
 *
 * peer: unix
 */
#include <sys/socket.h>

#include "peer.h"

#define PEER_NAME "unix"

struct channel {
	int ends[READERS_MAX][2];
	unsigned int readers;
};

struct sender {
	const struct channel *channel;
};

struct reader {
	int fd;
};

static void peer_version(char *text, size_t size)
{
	kernel_version(text, size);
}

/* A datagram is charged with the memory it takes. */
static void make_room(int fd)
{
	int bytes = (int)(BURST * (2 * peer.payload + 1024)), got = 0;
	socklen_t len = sizeof(got);

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)))
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	/* Only a burst needs all of it. */
	if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &got, &len) || (peer.shape == 'a' && got < bytes))
		cannot("net.core.wmem_max allows no buffer of %d bytes", bytes);
}

static void channel_open(struct channel *channel, unsigned int index, unsigned int count)
{
	unsigned int i;

	(void)index;
	channel->readers = count;
	for (i = 0; i < count; i++) {
		if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, channel->ends[i]))
			cannot("socketpair: %s", strerror(errno));
		make_room(channel->ends[i][0]);
	}
}

static void sender_open(struct sender *sender, struct channel *channel)
{
	sender->channel = channel;
}

static void reader_open(struct reader *reader, struct channel *channel, unsigned int number)
{
	reader->fd = channel->ends[number][1];
}

static void message_send(struct sender *sender, const void *data, size_t len)
{
	unsigned int i;

	for (i = 0; i < sender->channel->readers; i++)
		if (send(sender->channel->ends[i][0], data, len, MSG_DONTWAIT) != (ssize_t)len)
			die("send: %s", strerror(errno));
}

static int message_take(struct reader *reader, void *buffer, size_t size)
{
	ssize_t len = recv(reader->fd, buffer, size, MSG_DONTWAIT);

	return len < 0 && errno == EAGAIN ? 0 : (int)len;
}

static int message_wait(struct reader *reader, void *buffer, size_t size)
{
	return (int)recv(reader->fd, buffer, size, 0);
}

#include "shapes.h"
