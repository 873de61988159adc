// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * netlink.c - netlink multicast between processes
 *
 * One send(2) for all members of a group; the kernel gives each a reference to the same bytes. To
 * join a group of NETLINK_USERSOCK takes CAP_NET_ADMIN. The run has a network namespace of its own,
 * since there are 32 groups and others may use them.
 *
 * peer: netlink
 */
#include <linux/netlink.h>
#include <sys/socket.h>

#include "peer.h"

#define PEER_NAME "netlink"

struct channel {
	int sockets[READERS_MAX];
	unsigned int group;
};

struct sender {
	int fd;
};

struct reader {
	int fd;
};

static void peer_version(char *text, size_t size)
{
	kernel_version(text, size);
}

static int socket_open(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_USERSOCK);

	if (fd < 0)
		cannot("netlink: %s", strerror(errno));
	return fd;
}

static int member_open(unsigned int group)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = 1U << (group - 1) };
	int fd = socket_open(), bytes = (int)(BURST * (2 * peer.payload + 1024)), got = 0;
	socklen_t len = sizeof(got);

	if (bind(fd, (struct sockaddr *)&address, sizeof(address)))
		cannot("cannot join a netlink group: %s", strerror(errno));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	/* Only a burst needs all of it. */
	if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &got, &len) || (peer.shape == 'a' && got < bytes))
		cannot("net.core.rmem_max allows no buffer of %d bytes", bytes);
	return fd;
}

static void channel_open(struct channel *channel, unsigned int index, unsigned int count)
{
	unsigned int i;

	if (!index && !peer_unshare(CLONE_NEWNET))
		cannot("no network namespace: %s (needs CAP_SYS_ADMIN or user namespaces)",
		       strerror(errno));
	channel->group = index + 1;
	for (i = 0; i < count; i++)
		channel->sockets[i] = member_open(channel->group);
}

static void sender_open(struct sender *sender, struct channel *channel)
{
	struct sockaddr_nl to = { .nl_family = AF_NETLINK,
				  .nl_groups = 1U << (channel->group - 1) };

	sender->fd = socket_open();
	if (connect(sender->fd, (struct sockaddr *)&to, sizeof(to)))
		cannot("cannot send to a netlink group: %s", strerror(errno));
}

static void reader_open(struct reader *reader, struct channel *channel, unsigned int number)
{
	reader->fd = channel->sockets[number];
}

/* Multicast is followed by unicast to the kernel, which listens to no NETLINK_USERSOCK: refused. */
static void message_send(struct sender *sender, const void *data, size_t len)
{
	if (send(sender->fd, data, len, 0) != (ssize_t)len && errno != ECONNREFUSED)
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
