// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * server_test.c - the three endpoints, and clients of all kinds
 */
#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../server.h"

#define WATCHDOG_S 20
#define MANY 100

/* ---- a server --------------------------------------------------------------------------- */

static bool fake_module;
static int fake_bpf_err;
static unsigned int fake_opened;

static bool is_module_there(void)
{
	return __atomic_load_n(&fake_module, __ATOMIC_ACQUIRE);
}

static int open_fake_bpf(const char *pin, struct source **source)
{
	(void)pin;
	fake_opened++;
	if (!fake_bpf_err)
		*source = &fake_source;
	return fake_bpf_err;
}

static struct monitor *monitor;
static struct server *server;
static struct sockaddr_in address;

static void make_monitor(bool bpf, const char *name)
{
	struct monitor_options options = {
		.where = RONBUS_EMBEDDED,
		.bpf = bpf,
		.module_is_there = is_module_there,
		.open_bpf = open_fake_bpf,
	};

	if (name)
		assert_int_equal(names_add(&options.names, name), 0);
	assert_int_equal(monitor_open(&options, &monitor), 0);
}

static void start(const struct server_limits *limits)
{
	char where[64];
	socklen_t size = sizeof(address);
	int fd = server_listen("127.0.0.1:0", where, sizeof(where));

	assert_true(fd >= 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	assert_int_equal(server_start(fd, limits, monitor, &server), 0);
}

static int reset(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof(fake));
	fake_module = true;
	fake_bpf_err = 0;
	fake_opened = 0;
	monitor = NULL;
	server = NULL;
	return 0;
}

static int stop(void **state)
{
	(void)state;
	if (server)
		server_stop(server);
	if (monitor)
		monitor_close(monitor);
	return 0;
}

/* With BPF programs, and a bus with a subscriber. */
static void start_usual(struct server_limits limits)
{
	fake.buses = 1;
	fake.subs = 1;
	make_monitor(true, NULL);
	assert_true(monitor_attach(monitor));
	start(&limits);
}

/* ---- a client --------------------------------------------------------------------------- */

static int connect_to(void)
{
	const struct timeval patience = { .tv_sec = WATCHDOG_S };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* All until the server closes; -1 if it does not. */
static ssize_t hear(int fd, char *text, size_t size)
{
	size_t done = 0;
	ssize_t n;

	while ((n = recv(fd, text + done, size - 1 - done, 0)) > 0)
		done += (size_t)n;
	text[done] = '\0';
	return n < 0 && errno != ECONNRESET ? -1 : (ssize_t)done;
}

static char heard[1 << 20];

/* The status of the answer, which is in heard. */
static int ask(const char *method, const char *path)
{
	char request[256];
	int fd = connect_to(), status = 0;

	snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		 method, path);
	say(fd, request);
	assert_true(hear(fd, heard, sizeof(heard)) > 0);
	close(fd);
	assert_int_equal(sscanf(heard, "HTTP/1.1 %d ", &status), 1);
	return status;
}

static const char *body(void)
{
	const char *end = strstr(heard, "\r\n\r\n");

	assert_non_null(end);
	return end + 4;
}

#define assert_alive() assert_int_equal(ask("GET", "/healthz"), 200)

/* ---- endpoints -------------------------------------------------------------------------- */

static void endpoints(void **state)
{
	(void)state;
	start_usual(SERVER_LIMITS);
	assert_int_equal(ask("GET", "/metrics"), 200);
	assert_non_null(strstr(heard, "Content-Type: " METRICS_CONTENT_TYPE "\r\n"));
	assert_non_null(strstr(body(), "\nbus_sub_lag{bus=\"bus1\",id=\"1\",sub=\"0\"} 0\n"));
	assert_non_null(strstr(body(), "\nronbus_exporter_source{source=\"bpf\"} 1\n"));
	assert_int_equal(ask("GET", "/metrics?collect[]=x"), 200);
	assert_int_equal(ask("HEAD", "/metrics"), 200);
	assert_string_equal(body(), "");
	assert_int_equal(ask("GET", "/healthz"), 200);
	assert_string_equal(body(), "ok\n");
	assert_int_equal(ask("GET", "/"), 404);
	assert_non_null(strstr(body(), "/metrics"));
	assert_int_equal(ask("POST", "/metrics"), 405);
	assert_non_null(strstr(heard, "Allow: GET, HEAD\r\n"));
}

static void assert_missing(const char *what)
{
	char text[64];

	snprintf(text, sizeof(text), "missing=%s\n", what);
	assert_int_equal(ask("GET", "/readyz"), 503);
	assert_string_equal(body(), text);
	assert_non_null(strstr(heard, "\r\nRetry-After: "));
	assert_alive();
}

static void set_module(bool there)
{
	__atomic_store_n(&fake_module, there, __ATOMIC_RELEASE);
	monitor_attach(monitor);
}

static void set_buses(unsigned int buses)
{
	__atomic_store_n(&fake.buses, buses, __ATOMIC_RELEASE);
}

static void assert_ready(void)
{
	assert_int_equal(ask("GET", "/readyz"), 200);
	assert_string_equal(body(), "ready\n");
}

static void ready_with_any_bus(void **state)
{
	(void)state;
	fake_module = false;
	make_monitor(true, NULL);
	start(&SERVER_LIMITS);
	assert_missing("module,bus,bpf");
	assert_false(monitor_attach(monitor));
	assert_missing("module,bus,bpf");
	fake_bpf_err = -ENOENT;
	set_module(true);
	assert_missing("bus,bpf");
	fake_bpf_err = 0;
	while (!monitor_attach(monitor))
		;
	assert_missing("bus");
	set_buses(1);
	assert_ready();
	set_buses(0);
	assert_missing("bus");
	set_buses(1);
	set_module(false);
	assert_missing("module,bus,bpf");
	set_module(true);
	assert_ready();
}

static void ready_with_a_named_bus(void **state)
{
	(void)state;
	make_monitor(true, "bus3");
	monitor_attach(monitor);
	start(&SERVER_LIMITS);
	set_buses(2);
	assert_missing("bus");
	set_buses(3);
	assert_ready();
	set_buses(2);
	assert_missing("bus");
}

/* The real source, on an embedded bus. */
static void ready_without_bpf(void **state)
{
	struct ronbus_options options = { .name = "here" };
	struct ronbus *bus;

	(void)state;
	make_monitor(false, "here");
	assert_true(monitor_attach(monitor));
	start(&SERVER_LIMITS);
	assert_missing("bus");
	assert_int_equal(ronbus_create(RONBUS_EMBEDDED, &options, &bus), 0);
	assert_ready();
	assert_int_equal(ask("GET", "/metrics"), 200);
	assert_non_null(strstr(body(), "\nbus_published_total{bus=\"here\",id="));
	assert_non_null(strstr(body(), "\nronbus_exporter_source{source=\"stats\"} 1\n"));
	ronbus_close(bus);
	assert_missing("bus");
	assert_int_equal(ask("GET", "/metrics"), 200);
	assert_null(strstr(body(), "bus=\"here\""));
	assert_int_equal(fake_opened, 0);
}

/* BPF is not allowed: tried ever less often, and not ready, but counters there are. */
static void falls_back(void **state)
{
	struct ronbus_options options = { .name = "here" };
	struct ronbus *bus;
	unsigned int i;

	(void)state;
	assert_int_equal(ronbus_create(RONBUS_EMBEDDED, &options, &bus), 0);
	fake_bpf_err = -EPERM;
	make_monitor(true, "here");
	start(&SERVER_LIMITS);
	for (i = 0; i < 1000; i++)
		assert_false(monitor_attach(monitor));
	assert_in_range(fake_opened, 10, 50);
	assert_missing("bpf");
	assert_int_equal(ask("GET", "/metrics"), 200);
	assert_non_null(strstr(body(), "\nbus_published_total{bus=\"here\",id="));
	assert_non_null(strstr(body(), "\nronbus_exporter_source{source=\"stats\"} 1\n"));
	ronbus_close(bus);
}

static void failed_readings_count(void **state)
{
	(void)state;
	start_usual(SERVER_LIMITS);
	__atomic_store_n(&fake.err, -EIO, __ATOMIC_RELEASE);
	assert_int_equal(ask("GET", "/metrics"), 200);
	assert_int_equal(ask("GET", "/metrics"), 200);
	assert_non_null(strstr(body(), "\nronbus_exporter_read_errors_total 2\n"));
}

/* ---- clients of all kinds ---------------------------------------------------------------- */

static void garbage(void **state)
{
	static const char *const requests[] = {
		"\r\n\r\n\r\n\r\n",
		"GET\r\n\r\n",
		"GET /metrics HTTP/9.9\r\n\r\n",
		"\x16\x03\x01\x02 hello TLS\r\n\r\n",
		"GET /metrics HTTP/1.1\r\n\r\n", /* no Host */
		"GET /%00%ff/../metrics HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
		"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"GET /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nabc",
	};
	char *huge = malloc(1 << 20);
	size_t i;
	int fd;

	(void)state;
	start_usual(SERVER_LIMITS);
	for (i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		fd = connect_to();
		say(fd, requests[i]);
		shutdown(fd, SHUT_WR);
		assert_true(hear(fd, heard, sizeof(heard)) >= 0);
		close(fd);
		assert_alive();
	}
	/* A header without an end. */
	assert_non_null(huge);
	memset(huge, 'x', 1 << 20);
	fd = connect_to();
	say(fd, "GET /metrics HTTP/1.1\r\nHost: ");
	while (send(fd, huge, 1 << 20, MSG_NOSIGNAL) > 0)
		;
	close(fd);
	free(huge);
	assert_alive();
}

static void body_of_a_get(void **state)
{
	int fd;

	(void)state;
	start_usual(SERVER_LIMITS);
	fd = connect_to();
	say(fd,
	    "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello");
	assert_true(hear(fd, heard, sizeof(heard)) > 0);
	assert_memory_equal(heard, "HTTP/1.1 200 ", 13);
	close(fd);
}

/* Requests begun and not ended, and nobody else has to wait. */
static void half_open(void **state)
{
	int fds[MANY], i;

	(void)state;
	start_usual(SERVER_LIMITS);
	for (i = 0; i < MANY; i++) {
		fds[i] = connect_to();
		if (i % 2)
			say(fds[i], "GET /metr");
	}
	assert_alive();
	assert_int_equal(ask("GET", "/metrics"), 200);
	for (i = 0; i < MANY; i++)
		close(fds[i]);
	assert_alive();
}

static void many_at_once(void **state)
{
	int fds[MANY], i;

	(void)state;
	start_usual(SERVER_LIMITS);
	for (i = 0; i < MANY; i++) {
		fds[i] = connect_to();
		say(fds[i], "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	}
	for (i = 0; i < MANY; i++) {
		assert_true(hear(fds[i], heard, sizeof(heard)) > 0);
		assert_memory_equal(heard, "HTTP/1.1 200 ", 13);
		assert_non_null(strstr(body(), "ronbus_exporter_build_info"));
		close(fds[i]);
	}
}

static void idle_is_cut_off(void **state)
{
	struct server_limits limits = SERVER_LIMITS;
	int fd;

	(void)state;
	limits.idle_s = 1;
	start_usual(limits);
	fd = connect_to();
	say(fd, "GET /metr");
	assert_true(hear(fd, heard, sizeof(heard)) >= 0);
	close(fd);
}

/* All places are taken by clients that say nothing; they are freed when those are cut off. */
static void places_come_back(void **state)
{
	struct server_limits limits = SERVER_LIMITS;
	int fds[8], i;

	(void)state;
	limits.connections = 8;
	limits.per_address = 8;
	limits.idle_s = 1;
	start_usual(limits);
	for (i = 0; i < 8; i++)
		fds[i] = connect_to();
	for (i = 0; i < 8; i++)
		hear(fds[i], heard, sizeof(heard));
	assert_alive();
	for (i = 0; i < 8; i++)
		close(fds[i]);
}

static void one_address_does_not_get_all(void **state)
{
	struct server_limits limits = SERVER_LIMITS;
	static const char health[] =
		"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	struct sockaddr_in other = { .sin_family = AF_INET };
	int fds[8], fd, i;

	(void)state;
	limits.connections = 16;
	limits.per_address = 8;
	start_usual(limits);
	for (i = 0; i < 8; i++)
		fds[i] = connect_to();
	/* The ninth is refused, whatever it asks for. */
	fd = connect_to();
	(void)!send(fd, health, strlen(health), MSG_NOSIGNAL);
	assert_int_equal(hear(fd, heard, sizeof(heard)), 0);
	close(fd);
	/* All of 127.0.0.0/8 is this machine. */
	inet_pton(AF_INET, "127.0.0.2", &other.sin_addr);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&other, sizeof(other)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	say(fd, health);
	assert_true(hear(fd, heard, sizeof(heard)) > 0);
	assert_memory_equal(heard, "HTTP/1.1 200 ", 13);
	close(fd);
	for (i = 0; i < 8; i++)
		close(fds[i]);
}

static void wait_for_bytes(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&poll_fd, 1, WATCHDOG_S * 1000), 1);
}

/* A client that asks and does not read costs a bounded amount of memory; others are served. */
static void who_does_not_read(void **state)
{
	struct server_limits limits = SERVER_LIMITS;
	const struct timespec nap = { .tv_nsec = 10000000 };
	int small = 4096, fd;
	time_t until = time(NULL) + WATCHDOG_S;

	(void)state;
	limits.bytes = 1;
	start_usual(limits);
	fake.subs = 64;
	set_buses(64); /* megabytes, more than sockets hold */
	fd = connect_to();
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	say(fd, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
	wait_for_bytes(fd);
	assert_int_equal(ask("GET", "/metrics"), 503);
	assert_non_null(strstr(heard, "\r\nRetry-After: "));
	assert_alive();
	assert_ready();
	close(fd);
	fake.subs = 1;
	set_buses(1);
	while (ask("GET", "/metrics") != 200 && time(NULL) < until)
		nanosleep(&nap, NULL);
	assert_int_equal(ask("GET", "/metrics"), 200);
}

static void stops_while_clients_wait(void **state)
{
	int fds[MANY], i;

	(void)state;
	start_usual(SERVER_LIMITS);
	for (i = 0; i < MANY; i++) {
		fds[i] = connect_to();
		say(fds[i], "GET /metrics HTTP/1.1\r\n");
	}
	server_stop(server);
	server = NULL;
	for (i = 0; i < MANY; i++) {
		assert_true(hear(fds[i], heard, sizeof(heard)) >= 0);
		close(fds[i]);
	}
}

/* ---- addresses --------------------------------------------------------------------------- */

static void addresses(void **state)
{
	static const char *const bad[] = {
		"",
		"9600",
		"localhost:9600",
		"127.0.0.1",
		"127.0.0.1:",
		"127.0.0.1:http",
		"::1:9600",
		"[::1]",
		"127.0.0.1:99999",
		"1.2.3.4.5:1",
	};
	char where[64];
	size_t i;
	int fd;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(server_listen(bad[i], where, sizeof(where)), -EINVAL);
	fd = server_listen("127.0.0.1:0", where, sizeof(where));
	assert_true(fd >= 0);
	assert_memory_equal(where, "127.0.0.1:", 10);
	assert_int_equal(server_listen(where, where, sizeof(where)), -EADDRINUSE);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, reset, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(endpoints),
		TEST(ready_with_any_bus),
		TEST(ready_with_a_named_bus),
		TEST(ready_without_bpf),
		TEST(falls_back),
		TEST(failed_readings_count),
		TEST(garbage),
		TEST(body_of_a_get),
		TEST(half_open),
		TEST(many_at_once),
		TEST(idle_is_cut_off),
		TEST(places_come_back),
		TEST(one_address_does_not_get_all),
		TEST(who_does_not_read),
		TEST(stops_while_clients_wait),
		TEST(addresses),
	};

	return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}
