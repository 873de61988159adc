// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * shm_test.c - the ring of shm.h keeps its promises to a reader that is overtaken; TAP
 */
#include <sys/wait.h>

#include "shm.h"

const char bench_name[] = "shm_test";

static unsigned int failed;

static void check(bool good, const char *what)
{
	static unsigned int number;

	printf("%sok %u - %s\n", good ? "" : "not ", ++number, what);
	failed += !good;
}

static void write_up_to(struct cursor *writer, uint64_t end)
{
	while (writer->position < end) {
		uint64_t number = writer->position;

		ring_write(writer, &number, sizeof(number));
	}
}

/* Reads until there is nothing; true if each message has the number of its position. */
static bool read_all(struct cursor *reader, unsigned int *delivered, unsigned int *reports)
{
	bool good = true;
	uint64_t number;
	int ret;

	while ((ret = ring_read(reader, &number, sizeof(number)))) {
		if (ret < 0) {
			++*reports;
			continue;
		}
		++*delivered;
		good = good && ret == sizeof(number) && number == reader->position - 1;
	}
	return good;
}

#define MANY 300000U
#define WORDS 256U

static void write_many(struct cursor *writer)
{
	uint64_t words[WORDS];
	unsigned int i;

	while (writer->position < MANY) {
		for (i = 0; i < WORDS; i++)
			words[i] = writer->position;
		ring_write(writer, words, sizeof(words));
	}
}

/* Reads beside a writer that does not wait; true if no message is mixed of two. */
static bool read_many(struct cursor *reader, uint64_t *delivered)
{
	uint64_t words[WORDS];
	bool whole = true;
	unsigned int i;

	while (reader->position < MANY) {
		if (ring_read(reader, words, sizeof(words)) <= 0)
			continue;
		++*delivered;
		for (i = 0; i < WORDS; i++)
			whole = whole && words[i] == reader->position - 1;
	}
	return whole;
}

static void check_two_processes(void)
{
	struct cursor writer, reader;
	uint64_t delivered = 0;
	pid_t pid;

	peer.payload = WORDS * sizeof(uint64_t);
	writer = ring_cursor(ring_make());
	reader = writer;
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("cannot fork: %s", strerror(errno));
	if (!pid) {
		write_many(&writer);
		_exit(0);
	}
	alarm(60);
	check(read_many(&reader, &delivered), "messages are whole while the writer goes on");
	check(delivered + reader.lost == MANY, "and each was delivered or lost");
	waitpid(pid, NULL, 0);
}

int main(void)
{
	struct cursor writer, reader, late;
	unsigned int delivered = 0, reports = 0;
	uint64_t number;

	writer = ring_cursor(ring_make());
	reader = late = writer;
	check(!ring_read(&reader, &number, sizeof(number)), "an empty ring has nothing");
	write_up_to(&writer, SLOTS);
	check(read_all(&reader, &delivered, &reports) && delivered == SLOTS && !reports,
	      "a full ring has all there is");

	delivered = 0;
	write_up_to(&writer, 7 * SLOTS + 5);
	check(read_all(&reader, &delivered, &reports), "what is read after a loss is right");
	check(delivered == SLOTS, "no more is lost than was overwritten");
	check(reports == 1, "a loss is told once");
	check(reader.lost == 5 * SLOTS + 5, "and how much it was");

	/* The slot that is next is being written. */
	ring_slot(&writer)->state = 2 * writer.position + 1;
	check(ring_read(&late, &number, sizeof(number)) < 0 && late.lost == 6 * SLOTS + 6,
	      "what is being overwritten is lost");
	check(!ring_read(&reader, &number, sizeof(number)), "what is being written is not there");

	check_two_processes();
	printf("1..10\n");
	return failed ? 1 : 0;
}
