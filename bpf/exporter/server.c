// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * server.c - /metrics, /healthz and /readyz, by libmicrohttpd
 *
 * One thread serves all clients and waits for none of them: a slow client keeps an answer in
 * memory, up to a limit for all answers together, and a client that does nothing is cut off.
 */
#include "server.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <microhttpd.h>

#define RETRY_S "5"
#define CONNECTION_MEMORY 16384UL /* for headers; more of them is an error */

struct server {
	struct MHD_Daemon *daemon;
	struct monitor *monitor;
	size_t bytes_max;
	atomic_size_t bytes;
};

/* ---- listening ------------------------------------------------------------------------ */

/* "127.0.0.1:9600", "[::1]:9600", ":9600"; both parts are numbers. */
static int parse_address(const char *text, char *host, size_t size, const char **port)
{
	const char *colon = strrchr(text, ':');
	size_t length;

	/* getaddrinfo() takes a port that is too large, and cuts it down. */
	if (!colon || !colon[1] || strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
	    strtoul(colon + 1, NULL, 10) > UINT16_MAX)
		return -EINVAL;
	*port = colon + 1;
	length = (size_t)(colon - text);
	if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
		text++;
		length -= 2;
	} else if (memchr(text, ':', length)) {
		return -EINVAL;
	}
	if (length >= size)
		return -EINVAL;
	memcpy(host, text, length);
	host[length] = '\0';
	return 0;
}

static int listen_on(const struct addrinfo *info)
{
	int one = 1, err;
	int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (!setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) &&
	    !bind(fd, info->ai_addr, info->ai_addrlen) && !listen(fd, SOMAXCONN))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

static void name_of(int fd, char *where, size_t size)
{
	char host[NI_MAXHOST], port[NI_MAXSERV];
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);

	if (getsockname(fd, (struct sockaddr *)&address, &length) ||
	    getnameinfo((struct sockaddr *)&address, length, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV))
		snprintf(where, size, "fd %d", fd);
	else
		snprintf(where, size, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

/**
 * server_listen() - a socket that clients can connect to
 * @address: "HOST:PORT", in numbers; port 0 for any
 * @where: receives what it is
 * @size: bytes there
 *
 * Return: the socket; -EINVAL: that is no address; or another -errno.
 */
int server_listen(const char *address, char *where, size_t size)
{
	const struct addrinfo hints = {
		.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV,
		.ai_socktype = SOCK_STREAM,
	};
	struct addrinfo *info;
	char host[NI_MAXHOST];
	const char *port;
	int fd;

	if (parse_address(address, host, sizeof(host), &port) ||
	    getaddrinfo(*host ? host : NULL, port, &hints, &info))
		return -EINVAL;
	fd = listen_on(info);
	freeaddrinfo(info);
	if (fd >= 0)
		name_of(fd, where, size);
	return fd;
}

/* ---- answers -------------------------------------------------------------------------- */

/* Text in memory that counts until it has been read. */
struct answer {
	struct server *server;
	char *text;
	size_t length;
};

static void answer_free(void *arg)
{
	struct answer *answer = arg;

	atomic_fetch_sub(&answer->server->bytes, answer->length);
	free(answer->text);
	free(answer);
}

static ssize_t answer_read(void *arg, uint64_t from, char *to, size_t size)
{
	const struct answer *answer = arg;
	size_t left = answer->length - (size_t)from;

	if (size > left)
		size = left;
	memcpy(to, answer->text + from, size);
	return (ssize_t)size;
}

static enum MHD_Result reply(struct MHD_Connection *connection, unsigned int status,
			     struct MHD_Response *response, const char *type)
{
	enum MHD_Result result = MHD_NO;

	if (!response)
		return MHD_NO;
	if (MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type) == MHD_YES &&
	    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store") == MHD_YES)
		result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result reply_text(struct MHD_Connection *connection, unsigned int status,
				  const char *text, const char *header, const char *value)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(
		strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);

	if (response && header)
		MHD_add_response_header(response, header, value);
	return reply(connection, status, response, "text/plain; charset=utf-8");
}

static enum MHD_Result reply_busy(struct MHD_Connection *connection)
{
	return reply_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE,
			  "too much is waiting to be read\n", MHD_HTTP_HEADER_RETRY_AFTER, RETRY_S);
}

static enum MHD_Result reply_metrics(struct server *server, struct MHD_Connection *connection)
{
	struct answer *answer = calloc(1, sizeof(*answer));
	struct metrics_state state;
	struct MHD_Response *response;
	struct snapshot snapshot;

	if (!answer || atomic_load(&server->bytes) >= server->bytes_max) {
		free(answer);
		return reply_busy(connection);
	}
	monitor_read(server->monitor, &snapshot, &state);
	answer->server = server;
	answer->text = metrics_text(&snapshot, &state, &answer->length);
	snapshot_clear(&snapshot);
	if (!answer->text) {
		free(answer);
		return reply_busy(connection);
	}
	atomic_fetch_add(&server->bytes, answer->length);
	response = MHD_create_response_from_callback(answer->length, CONNECTION_MEMORY, answer_read,
						     answer, answer_free);
	if (!response)
		answer_free(answer);
	return reply(connection, MHD_HTTP_OK, response, METRICS_CONTENT_TYPE);
}

static enum MHD_Result reply_ready(struct server *server, struct MHD_Connection *connection)
{
	const char *missing = monitor_missing(server->monitor);
	char text[64];

	if (!*missing)
		return reply_text(connection, MHD_HTTP_OK, "ready\n", NULL, NULL);
	snprintf(text, sizeof(text), "missing=%s\n", missing);
	return reply_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE, text,
			  MHD_HTTP_HEADER_RETRY_AFTER, RETRY_S);
}

static enum MHD_Result handle(void *arg, struct MHD_Connection *connection, const char *path,
			      const char *method, const char *version, const char *data,
			      size_t *data_size, void **seen)
{
	struct server *server = arg;

	(void)version;
	(void)data;
	if (strcmp(method, MHD_HTTP_METHOD_GET) && strcmp(method, MHD_HTTP_METHOD_HEAD))
		return reply_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n",
				  MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	/* The first call is for the headers. A body would come in the next ones. */
	if (!*seen) {
		*seen = server;
		return MHD_YES;
	}
	if (*data_size) {
		*data_size = 0;
		return MHD_YES;
	}
	if (!strcmp(path, "/metrics"))
		return reply_metrics(server, connection);
	if (!strcmp(path, "/healthz"))
		return reply_text(connection, MHD_HTTP_OK, "ok\n", NULL, NULL);
	if (!strcmp(path, "/readyz"))
		return reply_ready(server, connection);
	return reply_text(connection, MHD_HTTP_NOT_FOUND,
			  "there are /metrics, /healthz and /readyz\n", NULL, NULL);
}

/* ---- beginning and end ---------------------------------------------------------------- */

/* What clients do wrong is their business. */
static void say_nothing(void *arg, const char *format, va_list args)
{
	(void)arg;
	(void)format;
	(void)args;
}

/**
 * server_start() - serve
 * @fd: a socket that listens; the server owns it then
 * @limits: for clients
 * @monitor: what to tell about
 * @server: receives the server
 *
 * Return: 0, -ENOMEM or -EIO.
 */
int server_start(int fd, const struct server_limits *limits, struct monitor *monitor,
		 struct server **server)
{
	const struct MHD_OptionItem options[] = {
		{ MHD_OPTION_EXTERNAL_LOGGER, (intptr_t)say_nothing, NULL },
		{ MHD_OPTION_LISTEN_SOCKET, fd, NULL },
		{ MHD_OPTION_CONNECTION_LIMIT, limits->connections, NULL },
		{ MHD_OPTION_PER_IP_CONNECTION_LIMIT, limits->per_address, NULL },
		{ MHD_OPTION_CONNECTION_TIMEOUT, limits->idle_s, NULL },
		{ MHD_OPTION_CONNECTION_MEMORY_LIMIT, (intptr_t)(2 * CONNECTION_MEMORY), NULL },
		{ MHD_OPTION_END, 0, NULL },
	};
	struct server *new = calloc(1, sizeof(*new));

	if (!new)
		return -ENOMEM;
	new->monitor = monitor;
	new->bytes_max = limits->bytes;
	new->daemon =
		MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ERROR_LOG, 0, NULL, NULL,
				 handle, new, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
	if (!new->daemon) {
		free(new);
		return -EIO;
	}
	*server = new;
	return 0;
}

void server_stop(struct server *server)
{
	MHD_stop_daemon(server->daemon);
	free(server);
}
