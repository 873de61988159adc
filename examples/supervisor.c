// SPDX-License-Identifier: MIT
/*
 * supervisor.c - a publisher and its readers that fail, and are started again
 *
 *	supervisor [FAILURES]
 *
 * The supervisor starts a publisher and two readers, and starts again whichever ends. The publisher
 * ends in the middle of its work, again and again. Now and then it hangs instead. The supervisor,
 * which has a subscription of its own, notices that nothing comes, seals the bus, and kills it. One
 * reader ends by itself, too; the other is stopped for good, which affects no other process.
 *
 * What it shows:
 *
 *  - A publisher makes the bus when it starts. The bus of the one before it has ended, and has
 *    given up its name, though the stopped reader still has it open.
 *  - Readers wait for the bus to be there, and read it to its end; then they wait for the next one.
 *    They never find the one again that they have read.
 *  - Messages are retained, so that those which come late miss nothing that is still there.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <libronbus.h>

#define NAME "supervised"
#define MS 1000000LL

static _Noreturn void fail(const char *what, int err)
{
	fprintf(stderr, "supervisor: %s: %s\n", what, ronbus_why(NULL, err));
	exit(1);
}

/* Some messages, then its end: by a bug, or by one that leaves it hanging. */
static void publisher(unsigned int life)
{
	const struct ronbus_options opts = {
		.name = NAME,
		.features = RONBUS_FEATURES_RECOMMENDED,
		.flags = RONBUS_BUS_RETAIN,
		.capacity = 256,
	};
	struct ronbus_pub *pub;
	struct ronbus *bus;
	unsigned int i;
	int err = ronbus_create(NULL, &opts, &bus);

	if (!err)
		err = ronbus_publisher(bus, 0, &pub);
	if (err)
		fail("publisher", err);
	for (i = 0; i < 20; i++) {
		unsigned int message[2] = { life, i };

		ronbus_publish(pub, 0, message, sizeof(message));
		usleep(2000);
	}
	if (life % 4 == 3)
		pause();
	abort();
}

/* Bus after bus, each from its oldest message to its end. */
static void reader(int ends)
{
	const struct ronbus_sub_options oldest = { .start = RONBUS_START_OLDEST };
	unsigned int message[2], last = 0, buses;
	struct ronbus_sub *sub;
	struct ronbus_msg msg;
	struct ronbus *bus;
	int ret;

	for (buses = 0; !ends || buses < 3; buses++) {
		ret = ronbus_attach_wait(NULL, NAME, RONBUS_ACCESS_SUBSCRIBE, -1, &bus);
		if (!ret)
			ret = ronbus_subscribe(bus, &oldest, &sub);
		if (ret)
			fail("reader", ret);
		while ((ret = ronbus_recv(sub, message, sizeof(message), &msg, -1)) > 0) {
			if (ret == RONBUS_MESSAGE && message[0] < last)
				fail("the reader has an old bus", -ESTALE);
			if (ret == RONBUS_MESSAGE)
				last = message[0];
			if (!ends)
				raise(SIGSTOP);
		}
		ronbus_sub_close(sub);
		ronbus_close(bus);
	}
	exit(0);
}

enum {
	PUBLISHER,
	READER,
	STOPPED,
	CHILDREN
};

static pid_t start(int which, unsigned int life)
{
	pid_t pid = fork();

	if (pid < 0)
		fail("fork", -errno);
	if (pid)
		return pid;
	if (which == PUBLISHER)
		publisher(life);
	reader(which == READER);
	return 0;
}

/* Until the publisher ends, or nothing comes for a while: then it hangs. */
static void watch(pid_t publisher)
{
	struct ronbus_sub *sub = NULL;
	struct ronbus_msg msg;
	struct ronbus *bus;
	char message[32];
	int ret = ronbus_attach_wait(NULL, NAME, RONBUS_ACCESS_SUBSCRIBE | RONBUS_ACCESS_PUBLISH,
				     -1, &bus);

	if (!ret)
		ret = ronbus_subscribe(bus, NULL, &sub);
	if (ret)
		fail("watch", ret);
	do {
		ret = ronbus_recv(sub, message, sizeof(message), &msg, 500 * MS);
	} while (ret > 0);
	if (ret == -ETIMEDOUT) {
		printf("the publisher hangs: its bus is sealed\n");
		ronbus_seal(bus);
		kill(publisher, SIGKILL);
	}
	ronbus_sub_close(sub);
	ronbus_close(bus);
}

int main(int argc, char **argv)
{
	unsigned int failures = argc > 1 ? (unsigned int)atoi(argv[1]) : 12, life;
	pid_t child[CHILDREN];
	int status, i;

	child[READER] = start(READER, 0);
	child[STOPPED] = start(STOPPED, 0);
	for (life = 0; life < failures; life++) {
		child[PUBLISHER] = start(PUBLISHER, life);
		watch(child[PUBLISHER]);
		waitpid(child[PUBLISHER], &status, 0);
		if (!WIFSIGNALED(status)) {
			fprintf(stderr, "supervisor: the publisher could not start\n");
			return 1;
		}
		if (waitpid(child[READER], &status, WNOHANG) == child[READER]) {
			if (status) {
				fprintf(stderr, "supervisor: the reader failed\n");
				return 1;
			}
			child[READER] = start(READER, 0);
		}
		printf("publisher %u ended by %s\n", life,
		       life % 4 == 3 ? "its supervisor" : "itself");
		fflush(stdout);
	}
	for (i = READER; i < CHILDREN; i++) {
		kill(child[i], SIGKILL);
		waitpid(child[i], &status, 0);
	}
	return 0;
}
