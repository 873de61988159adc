// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * zmq.c - ZeroMQ, a PUB socket and a SUB socket for each reader
 *
 * Built twice: zmq-inproc, between threads that share a context, and zmq-ipc, between processes, over
 * abstract sockets, which are no files.
 *
 * The library's high-water mark, 1000 messages on each side, loses some of our bursts although readers
 * have taken all: a sender that is busy looks only every three million cycles how far they are.
 *
 * peer: zmq-inproc zmq-ipc; libzmq3-dev; -lzmq
 */
#include <zmq.h>

#include "peer.h"

#ifdef IPC
#define PEER_NAME "zmq-ipc"
#define PEER_ASYNC
#else
#define PEER_NAME "zmq-inproc"
#define PEER_THREADS
#endif
#define PEER_GREETS

#define HIGH_WATER_MARK 65536
#define RECONNECT_MS 1

struct channel {
	char address[64];
};

struct sender {
	void *socket;
};

struct reader {
	void *socket;
};

/* All sockets of a process have one. */
static void *context;

static void peer_version(char *text, size_t size)
{
	int major, minor, patch;

	zmq_version(&major, &minor, &patch);
	snprintf(text, size, "%d.%d.%d", major, minor, patch);
}

/* A context has threads, which a fork would lose: with processes, each makes its own after it. */
static void need_context(void)
{
	if (context)
		return;
	context = zmq_ctx_new();
	if (!context || zmq_ctx_set(context, ZMQ_MAX_SOCKETS, 2 * (READERS_MAX + 2)))
		die("no context: %s", zmq_strerror(errno));
}

static void channel_open(struct channel *channel, unsigned int index, unsigned int count)
{
	(void)count;
#ifdef IPC
	snprintf(channel->address, sizeof(channel->address), "ipc://@ronbus-peer-%d-%u", getpid(),
		 index);
#else
	snprintf(channel->address, sizeof(channel->address), "inproc://%u", index);
	need_context();
#endif
}

static void option_set(void *socket, int option, int value)
{
	if (zmq_setsockopt(socket, option, &value, sizeof(value)))
		die("cannot set an option: %s", zmq_strerror(errno));
}

static void *socket_open(int type)
{
	void *socket;

	need_context();
	socket = zmq_socket(context, type);
	if (!socket)
		die("no socket: %s", zmq_strerror(errno));
	option_set(socket, ZMQ_SNDHWM, HIGH_WATER_MARK);
	option_set(socket, ZMQ_RCVHWM, HIGH_WATER_MARK);
	option_set(socket, ZMQ_RECONNECT_IVL, RECONNECT_MS);
	return socket;
}

static void sender_open(struct sender *sender, struct channel *channel)
{
	sender->socket = socket_open(ZMQ_PUB);
	if (zmq_bind(sender->socket, channel->address))
		die("cannot bind %s: %s", channel->address, zmq_strerror(errno));
}

static void reader_open(struct reader *reader, struct channel *channel, unsigned int number)
{
	(void)number;
	reader->socket = socket_open(ZMQ_SUB);
	if (zmq_setsockopt(reader->socket, ZMQ_SUBSCRIBE, "", 0))
		die("cannot subscribe: %s", zmq_strerror(errno));
	if (zmq_connect(reader->socket, channel->address))
		die("cannot connect to %s: %s", channel->address, zmq_strerror(errno));
}

static void message_send(struct sender *sender, const void *data, size_t len)
{
	if (zmq_send(sender->socket, data, len, 0) != (int)len)
		die("zmq_send: %s", zmq_strerror(errno));
}

static int message_receive(struct reader *reader, void *buffer, size_t size, int flags)
{
	int len = zmq_recv(reader->socket, buffer, size, flags);

	return len < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : len;
}

static int message_take(struct reader *reader, void *buffer, size_t size)
{
	return message_receive(reader, buffer, size, ZMQ_DONTWAIT);
}

static int message_wait(struct reader *reader, void *buffer, size_t size)
{
	return message_receive(reader, buffer, size, 0);
}

#include "shapes.h"
