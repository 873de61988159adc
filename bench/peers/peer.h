/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * peer.h - a program that measures another engine: what it is asked for, and what is common
 *
 * A peer is one C file: it includes this, defines what is listed below, and includes shapes.h at its
 * end, which has main(). There are no pointers to functions, so that what is small is inlined, as it
 * would be in a program that uses the engine.
 *
 *	#define PEER_NAME "pipe"
 *	struct channel			what is made before there is another process
 *	struct sender, struct reader	what belongs to the process or thread that has it
 *	peer_version(text, size)	version of the engine
 *	channel_open(channel, index, readers)
 *	sender_open(sender, channel)
 *	reader_open(reader, channel, number)
 *	message_send(sender, data, len)
 *	message_take(reader, buffer, size)	returns the length, 0 if there is nothing
 *	message_wait(reader, buffer, size)	sleeps in the engine's way until there is something;
 *						may return 0 all the same
 *
 * and may define
 *
 *	PEER_THREADS	the engine lives in one process: others are threads
 *	PEER_ASYNC	messages arrive some time after they were sent
 *	PEER_GREETS	a sender cannot know whether a reader listens: the two shake hands first
 *	PEER_DAEMON	the engine has a process of its own; daemon_usage() says what it used
 */
#ifndef RONBUS_PEER_H
#define RONBUS_PEER_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../bench.h"

/* Messages of a burst: the engine's buffer holds as many for each reader. */
#define BURST 256U
#define READERS_MAX 64U
#define PAYLOAD_MAX 4096U

/* What has to go wrong, for a test to see it found. */
enum spoil {
	SPOIL_NOTHING,
	SPOIL_NUMBER, /* one message has the number of another */
	SPOIL_BYTE, /* one has a wrong byte at its end */
};

/* What the program was asked for. */
extern struct peer_options {
	char shape;
	unsigned int readers;
	unsigned int payload;
	unsigned int samples;
	int cpus[2];
	bool sleep; /* readers block */
	enum spoil spoil;
} peer;

/* Shared by all processes of a run. */
struct control {
	unsigned int ready; /* how many have come so far */
	struct seat seats[READERS_MAX];
};

extern struct control *control;

/* The engine cannot do what was asked for: says why, and ends with status 77. */
__attribute__((noreturn, format(printf, 1, 2))) void cannot(const char *format, ...);

void peer_options(int argc, char **argv);

/* Namespaces for this run alone, from a user namespace where only that gives them. */
bool peer_unshare(int flags);

/* Memory that processes forked later share. */
void *peer_memory(size_t size);

/* Runs @run(@number) in a process, or in a thread; peer_join() waits for all of them. */
void peer_spawn(bool thread, void (*run)(unsigned int number), unsigned int number);
void peer_join(void);

/* Back to all CPUs that were allowed: threads that an engine starts take over what its opener has. */
void peer_roam(void);

void peer_ready(void);
bool peer_all_ready(unsigned int count);

struct usage peer_usage(void);
struct usage peer_usage_since(struct usage start);

/* A message is its number and a pattern. */
void message_fill(void *message, size_t len);
void message_check(const void *message, size_t len, uint64_t number);

/* "Linux 6.1.0": engines that the kernel is. */
void kernel_version(char *text, size_t size);

#endif /* RONBUS_PEER_H */
