// SPDX-License-Identifier: GPL-2.0
/*
 * http_fuzz.c - ronbus-exporter's server with any bytes for a request, and any text for the address
 * it listens on
 *
 * The server is the real one, and is reached by a socket. Whatever it was sent, it ends the
 * connection, answers with a status that it knows, and serves the next client.
 */
#include "input.h"

#include <errno.h>
#include <poll.h>

/* What it does with its files is static. */
#include "../../../bpf/exporter/server.c"

static struct sockaddr_in6 address;
static socklen_t address_length = sizeof(address);
static const char *address_text;

static bool is_module_there(void)
{
	return true;
}

static int no_bpf(const char *pin, struct source **source)
{
	(void)pin;
	(void)source;
	return -EPERM;
}

static void begin(void)
{
	struct monitor_options options = { .where = RONBUS_EMBEDDED,
					   .module_is_there = is_module_there,
					   .open_bpf = no_bpf };
	static struct ronbus *bus;
	static char where[64];
	struct ronbus_options named = { .name = "fuzz" };
	struct server_limits limits = SERVER_LIMITS;
	struct monitor *monitor;
	struct server *server;
	int fd;

	limits.idle_s = 1;
	must(!ronbus_create(RONBUS_EMBEDDED, &named, &bus));
	must(!names_add(&options.names, "fuzz"));
	must(!monitor_open(&options, &monitor));
	fd = server_listen("127.0.0.1:0", where, sizeof(where));
	must(fd >= 0);
	must(!getsockname(fd, (struct sockaddr *)&address, &address_length));
	address_text = where;
	must(!server_start(fd, &limits, monitor, &server));
}

static int connect_to_it(void)
{
	int fd = socket(address.sin6_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct linger linger = { 1, 0 }; /* or ports run out */

	must(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	must(!connect(fd, (struct sockaddr *)&address, address_length));
	return fd;
}

/* Until there is an answer, or it closes without one. Returns the first bytes as text. */
static void read_answer(int fd, char *text, size_t size)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	size_t len = 0;
	ssize_t some;
	int ready;

	do {
		/* A hang, far beyond any delay; libFuzzer's clock interrupts. */
		do
			ready = poll(&poll_fd, 1, 50000);
		while (ready < 0 && errno == EINTR);
		must(ready == 1);
		some = read(fd, text + len, size - 1 - len);
		if (some > 0)
			len += (size_t)some;
	} while (some > 0 && len < sizeof("HTTP/1.1 200"));
	text[len] = '\0';
}

static void check_answer(const char *text)
{
	static const int known[] = {
		100, 200, 400, 404, 405, 408, 413, 414, 431, 500, 501, 503, 505
	};
	size_t i;
	int status;

	if (!*text) /* it may say nothing to what is no request at all */
		return;
	must(!strncmp(text, "HTTP/1.", 7));
	status = atoi(text + 9);
	for (i = 0; i < sizeof(known) / sizeof(known[0]) && known[i] != status; i++)
		;
	must(i < sizeof(known) / sizeof(known[0]));
}

static void request(const void *bytes, size_t size, char *text, size_t room)
{
	int fd = connect_to_it();

	/* Refused in the middle of it: the answer is what counts. */
	if (size)
		(void)!send(fd, bytes, size, MSG_NOSIGNAL);
	shutdown(fd, SHUT_WR);
	read_answer(fd, text, room);
	close(fd);
}

static void check_address(const uint8_t *data, size_t size)
{
	char text[300], host[NI_MAXHOST];
	const char *port;

	if (size >= sizeof(text))
		size = sizeof(text) - 1;
	memcpy(text, data, size);
	text[size] = '\0';
	if (parse_address(text, host, sizeof(host), &port))
		return;
	must(strlen(host) <= size && port > text && port[-1] == ':' && *port);
	must(strspn(port, "0123456789") == strlen(port) && strtoul(port, NULL, 10) <= 65535);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char still[] = "GET /healthz HTTP/1.0\r\n\r\n";
	static unsigned int requests;
	char text[512];

	if (!address_text)
		begin();
	if (size && data[0] == 0) {
		check_address(data + 1, size - 1);
		return 0;
	}
	request(data, size, text, sizeof(text));
	check_answer(text);
	if (requests++ % 32)
		return 0;
	request(still, sizeof(still) - 1, text, sizeof(text));
	must(!strncmp(text, "HTTP/1.0 200", 12) || !strncmp(text, "HTTP/1.1 200", 12));
	return 0;
}
