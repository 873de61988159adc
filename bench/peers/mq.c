// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * mq.c - a POSIX message queue for each reader
 *
 * The run has an IPC namespace of its own, so that its queues end with it. Queues that hold a burst
 * need CAP_SYS_RESOURCE, or fs.mqueue.msg_max (10) raised there, which newer kernels let the
 * namespace's owner do. RLIMIT_MSGQUEUE bounds how many queues and bytes there can be.
 *
 * peer: mq
 */
#include <mqueue.h>
#include <sys/resource.h>

#include "peer.h"

#define PEER_NAME "mq"

struct channel {
	mqd_t queues[READERS_MAX];
	unsigned int readers;
};

struct sender {
	const struct channel *channel;
};

struct reader {
	mqd_t queue;
};

static void peer_version(char *text, size_t size)
{
	kernel_version(text, size);
}

/* Best effort: queue_open() says what could not be had. */
static void raise_limits(void)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	FILE *file;

	setrlimit(RLIMIT_MSGQUEUE, &unlimited);
	if (!peer_unshare(CLONE_NEWIPC))
		return;
	file = fopen("/proc/sys/fs/mqueue/msg_max", "w");
	if (!file)
		return;
	fprintf(file, "%u\n", BURST);
	fclose(file);
}

/* More than one message is on its way in shape a only. */
static long queue_length(void)
{
	return peer.shape == 'a' ? BURST : 1;
}

static mqd_t queue_open(void)
{
	struct mq_attr attr = { .mq_maxmsg = queue_length(), .mq_msgsize = peer.payload };
	char name[64];
	mqd_t queue;

	snprintf(name, sizeof(name), "/ronbus-peer-%d", getpid());
	queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL | (peer.sleep ? 0 : O_NONBLOCK), 0600,
			&attr);
	if (queue < 0)
		cannot("no queue of %ld messages of %u bytes: %s%s", queue_length(), peer.payload,
		       strerror(errno), errno == EMFILE ? " (RLIMIT_MSGQUEUE)" : "");
	mq_unlink(name);
	return queue;
}

static void channel_open(struct channel *channel, unsigned int index, unsigned int count)
{
	unsigned int i;

	if (!index)
		raise_limits();
	channel->readers = count;
	for (i = 0; i < count; i++)
		channel->queues[i] = queue_open();
}

static void sender_open(struct sender *sender, struct channel *channel)
{
	sender->channel = channel;
}

static void reader_open(struct reader *reader, struct channel *channel, unsigned int number)
{
	reader->queue = channel->queues[number];
}

static void message_send(struct sender *sender, const void *data, size_t len)
{
	unsigned int i;

	for (i = 0; i < sender->channel->readers; i++)
		if (mq_send(sender->channel->queues[i], data, len, 0))
			die("mq_send: %s", strerror(errno));
}

static int message_take(struct reader *reader, void *buffer, size_t size)
{
	ssize_t len = mq_receive(reader->queue, buffer, size, NULL);

	return len < 0 && errno == EAGAIN ? 0 : (int)len;
}

static int message_wait(struct reader *reader, void *buffer, size_t size)
{
	return message_take(reader, buffer, size);
}

#include "shapes.h"
