/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * server.h - /metrics, /healthz and /readyz
 */
#ifndef RONBUS_SERVER_H
#define RONBUS_SERVER_H

#include "monitor.h"

/**
 * struct server_limits - what clients get at most
 * @connections: at once
 * @per_address: at once from one address
 * @idle_s: seconds until a client that does nothing is gone
 * @bytes: of answers that have not been read yet, all together
 */
struct server_limits {
	unsigned int connections;
	unsigned int per_address;
	unsigned int idle_s;
	size_t bytes;
};

#define SERVER_LIMITS            \
	((struct server_limits){ \
		.connections = 256, .per_address = 192, .idle_s = 10, .bytes = 64UL << 20 })

struct server;

int server_listen(const char *address, char *where, size_t size);
int server_start(int fd, const struct server_limits *limits, struct monitor *monitor,
		 struct server **server);
void server_stop(struct server *server);

#endif /* RONBUS_SERVER_H */
