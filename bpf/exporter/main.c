// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * main.c - ronbus-exporter: counters of all buses for Prometheus
 */
#include <argp.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "privileges.h"
#include "server.h"

#define ADDRESS_DEFAULT "127.0.0.1:9600"
#define ATTACH_S 1 /* how often to look whether the module has come or gone */

static const char doc[] =
	"Counters of ronbus buses for Prometheus: /metrics, and /healthz and /readyz."
	"\vBPF programs, which see all buses, count. They take CAP_BPF and CAP_PERFMON; without "
	"them, or with --no-bpf, counters come by system call, of the buses that --bus names. "
	"See ronbus-exporter(8).";

enum {
	OPTION_NO_BPF = 256, /* has no letter */
};

static const struct argp_option argp_options[] = {
	{ "bus", 'b', "NAME", 0,
	  "not ready without this bus; asked by system call if there are no BPF programs; may be "
	  "repeated",
	  0 },
	{ "listen", 'l', "HOST:PORT", 0, "where to listen (" ADDRESS_DEFAULT ")", 0 },
	{ "no-bpf", OPTION_NO_BPF, NULL, 0, "counters by system call only", 0 },
	{ "pin", 'p', "DIR", 0,
	  "directory in a BPF file system where programs and maps stay beyond this process", 0 },
	{ 0 },
};

struct options {
	struct monitor_options monitor;
	const char *address;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case 'b':
		if (!*arg || strlen(arg) >= RONBUS_NAME_SIZE)
			argp_error(state, "\"%s\" is no name of a bus", arg);
		if (names_add(&options->monitor.names, arg))
			argp_failure(state, 1, ENOMEM, "--bus");
		return 0;
	case 'l':
		options->address = arg;
		return 0;
	case OPTION_NO_BPF:
		options->monitor.bpf = false;
		return 0;
	case 'p':
		options->monitor.pin = arg;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "\"%s\" is one argument too many", arg);
		return 0;
	case ARGP_KEY_END:
		if (options->monitor.pin && !options->monitor.bpf)
			argp_error(state, "--pin is for BPF programs, and --no-bpf wants none");
		if (!options->monitor.bpf && !options->monitor.names.count)
			argp_error(state, "with --no-bpf give the buses to ask with --bus");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static void show_version(FILE *to, struct argp_state *state)
{
	(void)state;
	fprintf(to, "ronbus-exporter %s\n", ronbus_version());
}

/* ---- threads -------------------------------------------------------------------------- */

/*
 * The thread that talks to clients never has more privileges than reading takes. To attach BPF
 * programs takes more, and may have to wait for the module: the first thread waits, and then gives
 * the privileges up.
 */
struct start {
	int fd;
	struct monitor *monitor;
	struct server *server;
	int err;
};

/* The server's thread has the privileges of the one that starts it. */
static void *start_server(void *arg)
{
	struct start *start = arg;

	start->err = privileges_keep(PRIVILEGES_READ);
	if (!start->err)
		start->err =
			server_start(start->fd, &SERVER_LIMITS, start->monitor, &start->server);
	return NULL;
}

static int start(struct start *start)
{
	pthread_t thread;
	int err = -pthread_create(&thread, NULL, start_server, start);

	if (!err)
		err = -pthread_join(thread, NULL);
	return err ? err : start->err;
}

/* Until a signal says so; meanwhile the module may come and go. */
static int serve(struct monitor *monitor, const sigset_t *ends)
{
	const struct timespec interval = { .tv_sec = ATTACH_S };
	bool done = false;
	int err;

	do {
		if (monitor_attach(monitor) && !done) {
			err = privileges_keep(PRIVILEGES_READ);
			if (err)
				return err;
			done = true;
		}
	} while (sigtimedwait(ends, NULL, &interval) < 0);
	return 0;
}

static int run(const struct options *options)
{
	struct start server = { 0 };
	char where[128];
	sigset_t ends;
	int err;

	/* Before there are threads, which inherit it. */
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	signal(SIGPIPE, SIG_IGN);

	server.fd = server_listen(options->address, where, sizeof(where));
	if (server.fd < 0) {
		fprintf(stderr, "ronbus-exporter: cannot listen on %s: %s\n", options->address,
			server.fd == -EINVAL ? "that is not HOST:PORT in numbers"
					     : strerror(-server.fd));
		return 1;
	}
	err = privileges_keep(PRIVILEGES_ATTACH);
	if (!err)
		err = monitor_open(&options->monitor, &server.monitor);
	if (!err)
		err = start(&server);
	if (!err) {
		fprintf(stderr, "ronbus-exporter: http://%s/metrics\n", where);
		err = serve(server.monitor, &ends);
		server_stop(server.server);
		monitor_close(server.monitor);
	}
	if (err)
		fprintf(stderr, "ronbus-exporter: %s\n", strerror(-err));
	return err != 0;
}

int main(int argc, char **argv)
{
	static const struct argp argp = { argp_options, parse, NULL, doc, NULL, NULL, NULL };
	struct options options = {
		.monitor = {
			.bpf = true,
			.module_is_there = module_is_there,
			.open_bpf = source_bpf_open,
		},
		.address = ADDRESS_DEFAULT,
	};

	argp_program_version_hook = show_version;
	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &options);
	return run(&options);
}
