// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * iceoryx.c - Eclipse iceoryx, a publisher and a subscriber for each reader
 *
 * RouDi, the process that hands out its shared memory, is started for this run and ended with it. The
 * run has a mount namespace of its own, with /dev/shm and /tmp empty: it meets no other RouDi, and
 * whatever way it ends, nothing is left of its files.
 *
 * peer: iceoryx; libiceoryx-binding-c-dev; -liceoryx_binding_c
 */
#include <dirent.h>
#include <iceoryx_binding_c/log.h>
#include <iceoryx_binding_c/publisher.h>
#include <iceoryx_binding_c/runtime.h>
#include <iceoryx_binding_c/subscriber.h>
#include <iceoryx_binding_c/wait_set.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "peer.h"

#define PEER_NAME "iceoryx"
#define PEER_GREETS
#define PEER_DAEMON

#define CONFIG "/tmp/roudi.toml"
#define ROUDI_SOCKET "/tmp/roudi"
#define CHUNKS (4 * BURST)
#define LOOK_EVERY_NS 1000000U

struct channel {
	char name[16];
};

struct sender {
	iox_pub_t publisher;
	iox_pub_storage_t storage;
};

struct reader {
	iox_sub_t subscriber;
	iox_sub_storage_t storage;
	iox_ws_t wait_set;
	iox_ws_storage_t wait_set_storage;
};

static pid_t roudi, starter;

static void peer_version(char *text, size_t size)
{
	snprintf(text, size, "%s", ICEORYX_VERSION);
}

/* ---- RouDi ------------------------------------------------------------------------------ */

static void mount_own(void)
{
	if (!peer_unshare(CLONE_NEWNS))
		cannot("no mount namespace: %s (needs CAP_SYS_ADMIN or user namespaces)",
		       strerror(errno));
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("ronbus-peer", "/dev/shm", "tmpfs", 0, NULL) ||
	    mount("ronbus-peer", "/tmp", "tmpfs", 0, NULL))
		cannot("no /dev/shm and /tmp of its own: %s", strerror(errno));
}

/* Memory for what we send; without a file RouDi takes more than a hundred megabytes. */
static void config_write(void)
{
	FILE *file = fopen(CONFIG, "w");

	if (!file)
		die("%s: %s", CONFIG, strerror(errno));
	fprintf(file,
		"[general]\nversion = 1\n[[segment]]\n[[segment.mempool]]\nsize = %u\ncount = %u\n",
		(peer.payload + 31) & ~31U, CHUNKS);
	if (fclose(file))
		die("%s: %s", CONFIG, strerror(errno));
}

static void __attribute__((noreturn)) roudi_run(void)
{
	int null = open("/dev/null", O_WRONLY);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != starter || dup2(null, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0)
		_exit(1);
	execlp("iox-roudi", "iox-roudi", "-m", "off", "-l", "error", "-c", CONFIG, NULL);
	_exit(1);
}

static void roudi_stop(void)
{
	if (getpid() != starter)
		return;
	kill(roudi, SIGKILL);
	waitpid(roudi, NULL, 0);
}

static void roudi_start(void)
{
	starter = getpid();
	fflush(stdout);
	roudi = fork();
	if (roudi < 0)
		die("cannot fork: %s", strerror(errno));
	if (!roudi)
		roudi_run();
	atexit(roudi_stop);
	while (access(ROUDI_SOCKET, F_OK)) {
		if (waitpid(roudi, NULL, WNOHANG))
			cannot("iox-roudi (package iceoryx) cannot be run");
		nap(LOOK_EVERY_NS);
	}
}

static uint64_t switches_of(const char *thread)
{
	unsigned long long switches = 0;
	char path[64], line[128];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%.16s/status", roudi, thread);
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "voluntary_ctxt_switches: %llu", &switches) == 1)
			break;
	if (file)
		fclose(file);
	return switches;
}

static struct usage daemon_usage(void)
{
	struct usage usage = { 0 };
	struct dirent *thread;
	struct timespec cpu;
	char path[64];
	clockid_t clock;
	DIR *threads;

	if (clock_getcpuclockid(roudi, &clock) || clock_gettime(clock, &cpu))
		die("RouDi has gone");
	usage.cpu_ns = (uint64_t)cpu.tv_sec * 1000000000U + (uint64_t)cpu.tv_nsec;
	snprintf(path, sizeof(path), "/proc/%d/task", roudi);
	threads = opendir(path);
	while (threads && (thread = readdir(threads)))
		if (*thread->d_name != '.')
			usage.switches += switches_of(thread->d_name);
	if (threads)
		closedir(threads);
	return usage;
}

/* ---- channels --------------------------------------------------------------------------- */

static void channel_open(struct channel *channel, unsigned int index, unsigned int count)
{
	(void)count;
	snprintf(channel->name, sizeof(channel->name), "%u", index);
	if (roudi)
		return;
	mount_own();
	config_write();
	roudi_start();
}

/* A process has one runtime; a fork would break it, so each makes its own after that. */
static void need_runtime(void)
{
	static bool done;
	char name[32];

	if (done)
		return;
	done = true;
	iox_set_loglevel(Iceoryx_LogLevel_Error);
	snprintf(name, sizeof(name), "peer-%d", getpid());
	iox_runtime_init(name);
}

static void sender_open(struct sender *sender, struct channel *channel)
{
	iox_pub_options_t options;

	need_runtime();
	iox_pub_options_init(&options);
	options.subscriberTooSlowPolicy = ConsumerTooSlowPolicy_DISCARD_OLDEST_DATA;
	sender->publisher =
		iox_pub_init(&sender->storage, "ronbus", "peer", channel->name, &options);
}

static void reader_open(struct reader *reader, struct channel *channel, unsigned int number)
{
	iox_sub_options_t options;

	(void)number;
	need_runtime();
	iox_sub_options_init(&options);
	options.queueCapacity = BURST;
	options.queueFullPolicy = QueueFullPolicy_DISCARD_OLDEST_DATA;
	reader->subscriber =
		iox_sub_init(&reader->storage, "ronbus", "peer", channel->name, &options);
	/* An attached reader is notified of each message; a reader that spins saves its sender that. */
	if (!peer.sleep)
		return;
	reader->wait_set = iox_ws_init(&reader->wait_set_storage);
	if (iox_ws_attach_subscriber_state(reader->wait_set, reader->subscriber,
					   SubscriberState_HAS_DATA, 0,
					   NULL) != WaitSetResult_SUCCESS)
		die("cannot attach to the wait set");
}

static void message_send(struct sender *sender, const void *data, size_t len)
{
	enum iox_AllocationResult result;
	void *chunk;

	result = iox_pub_loan_chunk(sender->publisher, &chunk, (uint32_t)len);
	if (result != AllocationResult_SUCCESS)
		die("no chunk for a message: %d", (int)result);
	memcpy(chunk, data, len);
	iox_pub_publish_chunk(sender->publisher, chunk);
}

/* Chunks do not tell their length in C. */
static int message_take(struct reader *reader, void *buffer, size_t size)
{
	const void *chunk;

	if (iox_sub_take_chunk(reader->subscriber, &chunk) != ChunkReceiveResult_SUCCESS)
		return 0;
	memcpy(buffer, chunk, size < peer.payload ? size : peer.payload);
	iox_sub_release_chunk(reader->subscriber, chunk);
	return (int)peer.payload;
}

static int message_wait(struct reader *reader, void *buffer, size_t size)
{
	iox_notification_info_t info;
	uint64_t missed;
	int len;

	for (;;) {
		len = message_take(reader, buffer, size);
		if (len)
			return len;
		if (peer.sleep)
			iox_ws_wait(reader->wait_set, &info, 1, &missed);
		else
			nap(LOOK_EVERY_NS);
	}
}

#include "shapes.h"
