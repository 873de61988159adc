// SPDX-License-Identifier: MIT
/*
 * uring_loop.c - three buses, a UNIX socket and a timer in one io_uring, and one thread for all
 *
 *	uring_loop [WHERE]
 *
 * WHERE is /dev/ronbus, the default, or embedded:, which needs neither the module nor privileges.
 * With every tick of the timer it publishes on one of the buses and writes to the socket; what
 * arrives it prints. After ten ticks the publishers leave, the buses end, and so does the program.
 */
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <libronbus.h>

#define BUSES 3
#define TICKS 10

/* What a completion is about, as its user_data says: a bus by its number, or one of these. */
enum {
	SOCKET = BUSES,
	TIMER,
};

/**
 * struct loop - all there is
 * @ring: the ring
 * @pub: a publisher for each bus
 * @sub: a subscriber for each bus
 * @socket: its two ends
 * @line: what is read from it
 * @tick: time from one tick to the next
 * @ticks: how many there were
 * @open: requests that will complete
 */
struct loop {
	struct io_uring ring;
	struct ronbus_pub *pub[BUSES];
	struct ronbus_sub *sub[BUSES];
	int socket[2];
	char line[64];
	struct __kernel_timespec tick;
	int ticks;
	int open;
};

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "uring_loop: %s: %s\n", what, why);
	exit(1);
}

/* ---- requests ------------------------------------------------------------------------- */

/* The ring has more entries than there are sources, and each has one request at a time. */
static void request(struct loop *loop, unsigned int source)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&loop->ring);
	int err;

	if (source == TIMER) {
		io_uring_prep_timeout(sqe, &loop->tick, 0, 0);
	} else if (source == SOCKET) {
		io_uring_prep_recv(sqe, loop->socket[0], loop->line, sizeof(loop->line), 0);
	} else {
		err = ronbus_uring_prep_wait(sqe, loop->sub[source], -1);
		if (err)
			fail("cannot wait for a bus", strerror(-err));
	}
	io_uring_sqe_set_data64(sqe, source);
	loop->open++;
}

/* ---- completions ---------------------------------------------------------------------- */

/* Receive until there is nothing; only then wait for more. */
static void bus_ready(struct loop *loop, unsigned int i, int res)
{
	int ret = ronbus_uring_waited(loop->sub[i], res);
	struct ronbus_msg msg;
	char text[32];

	if (ret)
		fail("the wait for a bus", strerror(-ret));
	while ((ret = ronbus_try_recv(loop->sub[i], text, sizeof(text), &msg)) > 0) {
		if (ret == RONBUS_LAGGED)
			printf("bus %u: lost %llu\n", i, msg.lost);
		else
			printf("bus %u: %.*s\n", i, (int)msg.len, text);
	}
	if (ret == RONBUS_CLOSED)
		printf("bus %u: the end\n", i);
	else
		request(loop, i);
}

static void socket_ready(struct loop *loop, int res)
{
	if (res < 0)
		fail("the socket", strerror(-res));
	if (!res) {
		printf("socket: the end\n");
		return;
	}
	printf("socket: %.*s\n", res, loop->line);
	request(loop, SOCKET);
}

static void tick(struct loop *loop)
{
	int bus = loop->ticks % BUSES, i, len;
	char text[32];

	if (loop->ticks++ < TICKS) {
		len = snprintf(text, sizeof(text), "tick %d", loop->ticks);
		if (ronbus_publish(loop->pub[bus], 0, text, (size_t)len) != 1 ||
		    send(loop->socket[1], text, (size_t)len, 0) != len)
			fail("a tick", "could not be told");
		request(loop, TIMER);
		return;
	}
	for (i = 0; i < BUSES; i++)
		ronbus_pub_close(loop->pub[i]);
	shutdown(loop->socket[1], SHUT_WR);
}

static void run(struct loop *loop)
{
	struct io_uring_cqe *cqe;
	__u64 source;
	int err, res;

	while (loop->open) {
		err = io_uring_submit_and_wait(&loop->ring, 1);
		if (err < 0 && err != -EINTR)
			fail("io_uring", strerror(-err));
		while (!io_uring_peek_cqe(&loop->ring, &cqe)) {
			source = cqe->user_data;
			res = cqe->res;
			io_uring_cqe_seen(&loop->ring, cqe);
			loop->open--;
			if (source == TIMER)
				tick(loop);
			else if (source == SOCKET)
				socket_ready(loop, res);
			else
				bus_ready(loop, (unsigned int)source, res);
		}
	}
}

/* ---- beginning and end ---------------------------------------------------------------- */

static void make_bus(struct loop *loop, const char *where, int i)
{
	struct ronbus_options options = { .features = RONBUS_FEATURES_RECOMMENDED };
	struct ronbus *bus;
	int err;

	err = ronbus_create(where, &options, &bus);
	if (err)
		fail("no bus", ronbus_why(where, err));
	err = ronbus_uring_check(bus);
	if (err == -EOPNOTSUPP)
		fail("no io_uring", "this kernel's takes no commands, which came with Linux 5.19");
	if (err == -EPERM)
		fail("no io_uring", "switched off: see kernel.io_uring_disabled, or the sandbox");
	if (err)
		fail("no io_uring", strerror(-err));
	err = ronbus_publisher(bus, 0, &loop->pub[i]);
	if (!err)
		err = ronbus_subscribe(bus, NULL, &loop->sub[i]);
	if (err)
		fail("cannot join", ronbus_why(where, err));
	ronbus_close(bus);
}

int main(int argc, char **argv)
{
	const char *where = argc > 1 ? argv[1] : RONBUS_DEVICE;
	struct loop loop = { .tick = { .tv_nsec = 50000000 } };
	unsigned int source;
	int i, err;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (i = 0; i < BUSES; i++)
		make_bus(&loop, where, i);
	err = io_uring_queue_init(8, &loop.ring, 0);
	if (err)
		fail("no ring", strerror(-err));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, loop.socket))
		fail("no socket", strerror(errno));

	for (source = 0; source <= TIMER; source++)
		request(&loop, source);
	run(&loop);

	for (i = 0; i < BUSES; i++)
		ronbus_sub_close(loop.sub[i]);
	io_uring_queue_exit(&loop.ring);
	return 0;
}
