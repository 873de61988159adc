// SPDX-License-Identifier: MIT
/*
 * kernel_demo.c - a small supervisor that tells everybody what happens, on a bus
 *
 * It looks after three services, its configuration and the kernel's log, and publishes what it
 * sees; four subscribers, each a process of its own, print what they get. A script has things go
 * wrong, and at the end the counters say what that did. Every step is checked, so this is a smoke
 * test as well: the exit status is 0 only if all was as it should be.
 */
#include "kernel_demo/demo.h"

#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WATCHDOG_S 120 /* an emulated machine is slow */

static char own_dir[PATH_MAX - 16], own_config[PATH_MAX];
static pid_t own_pid;

#define OPTION_COLOR 256 /* has no letter */

/* ---- the command line ----------------------------------------------------------------- */

static const char doc[] =
	"A small supervisor that publishes what it sees on a ronbus bus, and four subscribers "
	"that print it."
	"\vWithout options it runs a script of things that go right and wrong, about 15 seconds of "
	"it, and checks each. With --interactive it just supervises: kill a service, edit the "
	"configuration, write to /dev/kmsg, and see which subscriber is told what. With --watch, "
	"in another terminal, you are one more subscriber:\n\n"
	"  kernel_demo --interactive --config /tmp/demo.conf\n"
	"  kernel_demo --watch ops\n\n"
	"The exit status is 0 if all was as it should be, 1 if not, 2 for wrong options, 130 if "
	"it was interrupted.";

static const struct argp_option argp_options[] = {
	{ "bus", 'b', "NAME", 0, "name of the bus (kernel_demo)", 0 },
	{ "color", OPTION_COLOR, "WHEN", 0, "auto, always or never", 0 },
	{ "config", 'c', "FILE", 0, "configuration to watch, with --interactive", 0 },
	{ "interactive", 'i', NULL, 0, "no script: go on until ^C", 0 },
	{ "observe", 'o', "COMMAND", 0, "a shell command to run while the bus is busy", 0 },
	{ "record", 'r', "FILE", 0, "write what `ops` is sent there, in hexadecimal", 0 },
	{ "transport", 't', "WHERE", 0, "the device (/dev/ronbus)", 0 },
	{ "watch", 'w', "ROLE", 0, "subscribe to a bus that is there: health, ops, log or slow",
	  0 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;
	unsigned int role;

	switch (key) {
	case 'b':
		options->name = arg;
		return 0;
	case 'c':
		options->config = arg;
		return 0;
	case 'i':
		options->interactive = true;
		return 0;
	case OPTION_COLOR:
		if (!strcmp(arg, "always"))
			say_setup(COLOUR_ALWAYS);
		else if (!strcmp(arg, "never"))
			say_setup(COLOUR_NEVER);
		else if (strcmp(arg, "auto"))
			argp_error(state, "--color wants auto, always or never, not \"%s\"", arg);
		return 0;
	case 'o':
		options->observe = arg;
		return 0;
	case 'r':
		options->record = arg;
		return 0;
	case 't':
		options->where = arg;
		return 0;
	case 'w':
		for (role = 0; role < ROLES; role++)
			if (!strcmp(arg, role_name(role)))
				options->watch = (int)role;
		if (options->watch < 0)
			argp_error(state, "--watch wants health, ops, log or slow, not \"%s\"",
				   arg);
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "\"%s\" is one argument too many", arg);
		return 0;
	case ARGP_KEY_END:
		if (options->config && !options->interactive)
			argp_error(state,
				   "--config goes with --interactive: the script writes to a "
				   "file of its own");
		if (options->observe && options->interactive)
			argp_error(state, "--observe is a step of the script, and goes without "
					  "--interactive");
		if (!strcmp(options->where, RONBUS_EMBEDDED))
			argp_error(state,
				   "an embedded bus lives inside one process, and this demo is "
				   "a dozen: it needs /dev/ronbus. For one process there is "
				   "the example \"hello\"");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

/* ---- beginning and end ---------------------------------------------------------------- */

/* Children inherit the obligation, and must not meet it. */
static void remove_own_files(void)
{
	if (getpid() != own_pid)
		return;
	unlink(own_config);
	rmdir(own_dir);
}

/* The children die with us. */
static void watchdog(int sig)
{
	static const char text[] = "kernel_demo: took too long; gave up\n";

	(void)sig;
	remove_own_files();
	(void)!write(STDOUT_FILENO, text, sizeof(text) - 1);
	_exit(1);
}

static int make_config(struct options *options)
{
	const char *tmp = getenv("TMPDIR");

	if (options->config) {
		if (access(options->config, R_OK))
			return -errno;
		return 0;
	}
	snprintf(own_dir, sizeof(own_dir), "%s/kernel_demo.XXXXXX", tmp && *tmp ? tmp : "/tmp");
	options->config = own_dir;
	if (!mkdtemp(own_dir))
		return -errno;
	snprintf(own_config, sizeof(own_config), "%s/demo.conf", own_dir);
	options->config = own_config;
	own_pid = getpid();
	atexit(remove_own_files);
	return config_replace(own_config, 800) ? 0 : -errno;
}

static int make_bus(struct supervisor *sup, const struct options *options)
{
	struct ronbus_options opts = {
		.name = options->name,
		.features = RONBUS_F_EDGE_NOTIFY,
		.capacity = CAPACITY,
		.payload = PAYLOAD,
	};
	int err = ronbus_create(options->where, &opts, &sup->bus);

	if (err)
		return err;
	err = ronbus_publisher(sup->bus, RONBUS_PUB_SINGLE, &sup->pub);
	if (err)
		ronbus_close(sup->bus);
	return err;
}

static int make_tallies(struct supervisor *sup)
{
	sup->tallies = mmap(NULL, ROLES * sizeof(*sup->tallies), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (sup->tallies == MAP_FAILED)
		return -errno;
	/* Something that nobody else writes to the kernel log. */
	snprintf(sup->tallies[ROLE_LOG].mark, sizeof(sup->tallies[ROLE_LOG].mark), "kernel_demo-%d",
		 getpid());
	return 0;
}

static int supervise(struct options *options)
{
	struct supervisor sup = { 0 };
	int err;

	err = make_bus(&sup, options);
	if (err) {
		say_bad("cannot make a bus: %s", ronbus_why(options->where, err));
		return 1;
	}
	say("the bus \"%s\" on %s: %d slots for messages of up to %d bytes", options->name,
	    options->where, CAPACITY, PAYLOAD);

	err = make_config(options);
	if (err) {
		say_bad("cannot use %s: %s", options->config, strerror(-err));
		return 1;
	}
	err = make_tallies(&sup);
	if (!err)
		err = supervisor_open(&sup, options);
	if (err) {
		say_bad("cannot supervise: %s", strerror(-err));
		return 1;
	}

	if (options->interactive) {
		script_interactive(&sup);
	} else {
		signal(SIGALRM, watchdog);
		alarm(WATCHDOG_S);
		script_run(&sup);
		err = verdict(&sup);
	}
	supervisor_close(&sup);
	ronbus_close(sup.bus);
	munmap(sup.tallies, ROLES * sizeof(*sup.tallies));
	return err;
}

int main(int argc, char **argv)
{
	static const struct argp argp = { argp_options, parse, NULL, doc, NULL, NULL, NULL };
	struct options options = { .where = RONBUS_DEVICE, .name = "kernel_demo", .watch = -1 };

	say_setup(COLOUR_AUTO);
	signal(SIGPIPE, SIG_IGN); /* that nobody reads is noticed when writing */
	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &options);
	if (options.watch >= 0) {
		struct subscriber_args args = {
			.options = &options,
			.role = (enum role)options.watch,
		};

		return subscriber_run(&args);
	}
	return supervise(&options);
}
