// SPDX-License-Identifier: GPL-2.0
/*
 * io_uring: what is left when an fd, a ring, a thread or a process goes away in the middle of a wait.
 */
#include "uring.h"

/* ---- what goes away in the middle ------------------------------------------------------- */

/* A wait holds its subscriber: closing the fd is leaving only when the wait is over. */
TEST_F(uring, fd_closed)
{
	int fd = dup(self->s.m.fd);

	ASSERT_LE(0, fd);
	WAIT(RONBUS_WAIT_FOREVER, 1);
	EXPECT_PENDS(&self->s, &self->ring);
	close(self->s.m.fd);
	member_unmap(&self->s.m);
	close(fd);
	EXPECT_EQ(1, members(self->bus));
	EXPECT_EQ(1, armed_set(self->bus));
	ASSERT_EQ(1, publish_number(&self->pub, 1));
	EXPECT_DONE(&self->ring, 1, 0);
	EXPECT_TRUE(wait_until((io_uring_get_events(&self->ring), members(self->bus) == 0)));
	ASSERT_EQ(0, subscriber_join(&self->s, self->bus, RONBUS_START_LATEST, 0));
}

/* With the ring its waits go, and with them what they held. */
TEST_F(uring, ring_closed)
{
	struct io_uring ring;
	int i;

	for (i = 0; i < 10; i++) {
		RING(&ring, variant->setup);
		wait_sqe(&ring, self->s.m.fd, RONBUS_WAIT_FOREVER, 1)->flags |= self->flags;
		wait_sqe(&ring, self->s.m.fd, now_ns() + 1000 * SEC, 2)->flags |= self->flags;
		SUBMIT(&ring, 2);
		EXPECT_PENDS(&self->s, &ring);
		subscriber_leave(&self->s);
		io_uring_queue_exit(&ring);
		ASSERT_TRUE(wait_until(members(self->bus) == 0));
		ASSERT_EQ(0, subscriber_join(&self->s, self->bus, RONBUS_START_LATEST, 0));
	}
}

static void *submit_main(void *arg)
{
	io_uring_submit(arg);
	return NULL;
}

/* A thread that ends takes its workers along; what is pending is none of theirs. */
TEST_F(uring, thread_ends)
{
	pthread_t thread;

	if (variant->setup & (IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_SQPOLL))
		SKIP(return, "no thread but one may submit, or none does");
	wait_sqe(&self->ring, self->s.m.fd, RONBUS_WAIT_FOREVER, 1)->flags |= self->flags;
	ASSERT_EQ(0, pthread_create(&thread, NULL, submit_main, &self->ring));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	if (self->worker) {
		EXPECT_DONE(&self->ring, 1, -ECANCELED);
		WAIT(RONBUS_WAIT_FOREVER, 1);
	}
	EXPECT_PENDS(&self->s, &self->ring);
	ASSERT_EQ(1, publish_number(&self->pub, 1));
	EXPECT_DONE(&self->ring, 1, 0);
}

enum ending {
	EXITS,
	DIES,
	EXECS,
	ENDINGS,
};

/* A subscriber of its own, a ring, and three waits; then the end. */
static void child_waits(int bus, unsigned int setup, unsigned int flags, enum ending ending,
			bool *asleep)
{
	struct io_uring ring;
	struct subscriber s;
	int i;

	if (subscriber_join(&s, bus, RONBUS_START_LATEST, 0) || ring_make(&ring, ENTRIES, setup))
		_exit(1);
	for (i = 0; i < 3; i++)
		wait_sqe(&ring, s.m.fd, i ? RONBUS_WAIT_FOREVER : now_ns() + 1000 * SEC, 0)->flags |=
			flags;
	if (io_uring_submit(&ring) != 3 || !wait_until(waits_total(&s) == 3))
		_exit(2);
	__atomic_store_n(asleep, true, __ATOMIC_SEQ_CST);
	switch (ending) {
	case EXECS:
		execlp("sleep", "sleep", "1000", NULL);
		_exit(3);
	case DIES:
		kill(getpid(), SIGKILL);
		break;
	default:
		break;
	}
	_exit(0);
}

TEST_F(uring, process_ends)
{
	static const int statuses[] = { 0, -SIGKILL, -SIGTERM };
	bool *asleep = shared_memory(sizeof(*asleep));
	enum ending ending;

	ASSERT_NE(NULL, asleep);
	for (ending = EXITS; ending < ENDINGS; ending++) {
		pid_t pid;

		*asleep = false;
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid)
			child_waits(self->bus, variant->setup, self->flags, ending, asleep);
		if (ending == EXECS) {
			/* The new program lives, and has nothing of the bus. */
			ASSERT_TRUE(wait_until(__atomic_load_n(asleep, __ATOMIC_SEQ_CST)));
			EXPECT_TRUE(wait_until(members(self->bus) == 1));
			ASSERT_EQ(0, kill(pid, SIGTERM));
		}
		EXPECT_EQ(statuses[ending], child_status(pid));
		EXPECT_TRUE(wait_until(members(self->bus) == 1)) TH_LOG("ending %d", ending);
	}
}

/* Nothing of all that holds the module. */
TEST(nothing_left)
{
	struct io_uring ring;
	struct subscriber s;
	struct publisher p;
	int control = OPEN_CONTROL(), bus;
	char text[32] = "";
	long before;
	int fd;

#define REFERENCES()                                     \
	({                                               \
		fd = open(REFCNT, O_RDONLY | O_CLOEXEC); \
		(void)!read(fd, text, sizeof(text) - 1); \
		close(fd);                               \
		strtol(text, NULL, 10);                  \
	})
	before = REFERENCES();
	ASSERT_LE(1, before);
	RING(&ring, 0);
	bus = bus_create(control, (struct ronbus_create){ 0 });
	ASSERT_LE(0, bus);
	ASSERT_EQ(0, publisher_join(&p, bus, 0));
	ASSERT_EQ(0, subscriber_join(&s, bus, RONBUS_START_LATEST, 0));
	wait_sqe(&ring, s.m.fd, RONBUS_WAIT_FOREVER, 1);
	wait_sqe(&ring, s.m.fd, now_ns() + 1000 * SEC, 1);
	wait_sqe(&ring, s.m.fd, RONBUS_WAIT_FOREVER, 1)->flags |= IOSQE_ASYNC;
	ASSERT_EQ(3, io_uring_submit(&ring));
	ASSERT_TRUE(wait_until(waits_total(&s) == 3));
	EXPECT_LT(before, REFERENCES());
	subscriber_leave(&s);
	publisher_leave(&p);
	close(bus);
	io_uring_queue_exit(&ring);
	EXPECT_TRUE(wait_until(REFERENCES() == before))
	TH_LOG("references: %ld, then %ld", before, REFERENCES());
	close(control);
}

TEST_HARNESS_MAIN
