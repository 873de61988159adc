// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * pipe.c - a pipe for each reader
 *
 * Messages are of one length and written whole, so that each read(2) gets one. A reader could take
 * many at once; so could most others here.
 *
 * peer: pipe
 */
#include "peer.h"

#define PEER_NAME "pipe"

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

/* A page takes whole messages. */
static int pipe_bytes(void)
{
	unsigned int page = (unsigned int)sysconf(_SC_PAGESIZE), each = page / peer.payload;

	return (int)((BURST + each - 1) / each * page);
}

static void channel_open(struct channel *channel, unsigned int index, unsigned int count)
{
	int bytes = pipe_bytes();
	unsigned int i;

	(void)index;
	channel->readers = count;
	for (i = 0; i < count; i++) {
		if (pipe2(channel->ends[i], peer.sleep ? 0 : O_NONBLOCK))
			cannot("pipe: %s", strerror(errno));
		if (fcntl(channel->ends[i][0], F_SETPIPE_SZ, bytes) < bytes)
			cannot("fs.pipe-max-size or -user-pages-soft allow no pipe of %d bytes",
			       bytes);
	}
}

static void sender_open(struct sender *sender, struct channel *channel)
{
	sender->channel = channel;
}

static void reader_open(struct reader *reader, struct channel *channel, unsigned int number)
{
	reader->fd = channel->ends[number][0];
}

static void message_send(struct sender *sender, const void *data, size_t len)
{
	unsigned int i;

	for (i = 0; i < sender->channel->readers; i++)
		if (write(sender->channel->ends[i][1], data, len) != (ssize_t)len)
			die("write: %s", strerror(errno));
}

/* Both ends stay open in all processes: there is no end of file. */
static int message_take(struct reader *reader, void *buffer, size_t size)
{
	ssize_t len = read(reader->fd, buffer, size < peer.payload ? size : peer.payload);

	return len < 0 && errno == EAGAIN ? 0 : (int)len;
}

static int message_wait(struct reader *reader, void *buffer, size_t size)
{
	return message_take(reader, buffer, size);
}

#include "shapes.h"
