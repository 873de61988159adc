// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * nng.c - nng (nanomsg's successor), a pub0 socket and a sub0 socket for each reader
 *
 * Built twice: nng-inproc, between threads, and nng-ipc, between processes, over abstract sockets,
 * which are no files. The queues of both sides are raised to a burst.
 *
 * peer: nng-inproc nng-ipc; libnng-dev; -lnng
 */
#include <nng/nng.h>
#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/pubsub0/sub.h>

#include "peer.h"

#ifdef IPC
#define PEER_NAME "nng-ipc"
#else
#define PEER_NAME "nng-inproc"
#define PEER_THREADS
#endif
#define PEER_ASYNC
#define PEER_GREETS

#define DIAL_EVERY_NS 1000000U

struct channel {
	char address[64];
};

struct sender {
	nng_socket socket;
};

struct reader {
	nng_socket socket;
};

static void must(int err, const char *what)
{
	if (err)
		die("%s: %s", what, nng_strerror(err));
}

static void peer_version(char *text, size_t size)
{
	snprintf(text, size, "%d.%d.%d", NNG_MAJOR_VERSION, NNG_MINOR_VERSION, NNG_PATCH_VERSION);
}

/* The library has threads, which a fork would lose: nothing of it is called before. */
static void channel_open(struct channel *channel, unsigned int index, unsigned int count)
{
	(void)count;
#ifdef IPC
	snprintf(channel->address, sizeof(channel->address), "abstract://ronbus-peer-%d-%u",
		 getpid(), index);
#else
	snprintf(channel->address, sizeof(channel->address), "inproc://%u", index);
#endif
}

static void sender_open(struct sender *sender, struct channel *channel)
{
	must(nng_pub0_open(&sender->socket), "no socket");
	must(nng_socket_set_int(sender->socket, NNG_OPT_SENDBUF, BURST), "no buffer");
	must(nng_listen(sender->socket, channel->address, NULL, 0), channel->address);
}

static void reader_open(struct reader *reader, struct channel *channel, unsigned int number)
{
	int err;

	(void)number;
	must(nng_sub0_open(&reader->socket), "no socket");
	must(nng_socket_set_int(reader->socket, NNG_OPT_RECVBUF, BURST), "no buffer");
	must(nng_socket_set(reader->socket, NNG_OPT_SUB_SUBSCRIBE, "", 0), "subscribe");
	/* The sender may listen later than we dial. */
	while ((err = nng_dial(reader->socket, channel->address, NULL, 0)) == NNG_ECONNREFUSED)
		nap(DIAL_EVERY_NS);
	must(err, channel->address);
}

static void message_send(struct sender *sender, void *data, size_t len)
{
	must(nng_send(sender->socket, data, len, 0), "nng_send");
}

static int message_receive(struct reader *reader, void *buffer, size_t size, int flags)
{
	int err = nng_recv(reader->socket, buffer, &size, flags);

	if (err == NNG_EAGAIN)
		return 0;
	must(err, "nng_recv");
	return (int)size;
}

static int message_take(struct reader *reader, void *buffer, size_t size)
{
	return message_receive(reader, buffer, size, NNG_FLAG_NONBLOCK);
}

static int message_wait(struct reader *reader, void *buffer, size_t size)
{
	return message_receive(reader, buffer, size, 0);
}

#include "shapes.h"
