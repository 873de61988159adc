/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Publishers that stop themselves at a chosen moment, and a reader in a process of its own.
 *
 * The ring header marks the moments with RB_STEP(). Each is hit for certain; what the parent does
 * then (kill, continue) is the test.
 */
#ifndef RONBUS_DEATH_H
#define RONBUS_DEATH_H

static inline void step_reached(int step);
#define RB_STEP(step) step_reached(step)

#include "ronbus_kselftest.h"

#define SLOTS 8U
#define LEN 256U

static int stop_at = -1;
static int stop_countdown; /* so many times the step is passed before */

static inline void step_reached(int step)
{
	if (step == stop_at && !stop_countdown--)
		raise(SIGSTOP);
}

/* ---- a reader in a process of its own --------------------------------------------------- */

#define LOG_MAX 256

/**
 * struct reader_log - what a reader has seen, shared with the test
 * @index: which subscriber it is
 * @joined: it has joined
 * @n: messages
 * @bad: messages that were torn, twice there, or out of order
 * @numbers: the messages, as far as there is room
 */
struct reader_log {
	u32 index;
	u32 joined;
	u64 n;
	u64 bad;
	u64 numbers[LOG_MAX];
};

static inline int reader_main(int bus, struct reader_log *log, bool kernel)
{
	struct subscriber s;
	struct message msg;
	u64 position = 0;
	int ret;

	if (subscriber_join(&s, bus, RONBUS_START_LATEST, 0))
		return 1;
	log->index = s.index;
	__atomic_store_n(&log->joined, 1, __ATOMIC_SEQ_CST);
	for (;;) {
		u64 number;

		ret = kernel ? subscriber_read_kernel(&s, &msg) : subscriber_read(&s, &msg);
		if (!ret)
			break;
		if (ret == -EAGAIN) {
			/* No limit: a reader that is forgotten stays forgotten. */
			ret = fd_wait(s.m.fd, RONBUS_WAIT_FOREVER);
			if (ret)
				return 2;
			continue;
		}
		if (ret < 0)
			return 3;
		number = message_number(msg.data);
		if (msg.position <= position || !message_whole(msg.data, msg.len, number))
			log->bad++;
		position = msg.position;
		if (log->n < LOG_MAX)
			log->numbers[log->n] = number;
		__atomic_store_n(&log->n, log->n + 1, __ATOMIC_SEQ_CST);
	}
	if (!subscriber_identity(&s))
		return 4;
	subscriber_leave(&s);
	return 0;
}

static inline pid_t reader_start(int bus, struct reader_log *log, bool kernel)
{
	pid_t pid = fork();

	if (!pid)
		_exit(reader_main(bus, log, kernel));
	if (pid > 0 && !wait_until(__atomic_load_n(&log->joined, __ATOMIC_SEQ_CST))) {
		kill(pid, SIGKILL);
		child_status(pid);
		return -1;
	}
	return pid;
}

static inline u64 reader_count(struct reader_log *log)
{
	return __atomic_load_n(&log->n, __ATOMIC_SEQ_CST);
}

/* How often it saw that number. */
static inline int reader_saw(struct reader_log *log, u64 number)
{
	u64 i, n = reader_count(log);
	int seen = 0;

	for (i = 0; i < n && i < LOG_MAX; i++)
		seen += log->numbers[i] == number;
	return seen;
}

#endif /* RONBUS_DEATH_H */
