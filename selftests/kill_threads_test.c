// SPDX-License-Identifier: GPL-2.0
/*
 * Threads that end while their process goes on, exec, and a process that is killed for its memory.
 */
#include <pthread.h>

#include "kill.h"

/* What the process and the test share. */
struct shared {
	u64 done; /* 1 when it has done its work */
};

FIXTURE(process)
{
	int control;
	int bus;
	struct subscriber s;
	struct shared *shared;
};

FIXTURE_SETUP(process)
{
	self->control = OPEN_CONTROL();
	self->shared = shared_memory(sizeof(*self->shared));
	ASSERT_NE(NULL, self->shared);
	self->bus =
		bus_create(self->control, (struct ronbus_create){ .flags = RONBUS_BUS_PERSISTENT,
								  .features = RONBUS_F_EDGE_NOTIFY,
								  .capacity = SLOTS,
								  .payload = LEN });
	ASSERT_LE(0, self->bus);
	ASSERT_EQ(0, subscriber_join(&self->s, self->bus, RONBUS_START_LATEST, 0));
}

FIXTURE_TEARDOWN(process)
{
	subscriber_leave(&self->s);
	close(self->bus);
	close(self->control);
}

static u64 repairs_of(int bus)
{
	struct ronbus_stats stats;

	return fd_stats(bus, RONBUS_STATS_BUS, &stats) ? ~0ULL : stats.counters.repairs_total;
}

static int hold_one(struct publisher *p)
{
	struct ronbus_claim claim = { .pos = ronbus_ring_hint(&p->m.ring) };
	int err = publisher_claim(p, &claim);

	if (!err)
		ronbus_ring_advance(&p->m.ring, claim.pos + 1);
	return err;
}

/* In a thread that goes, without a word to anybody: neither libc nor the rest of the process. */
static void *hold_and_go(void *p)
{
	if (hold_one(p))
		_exit(78);
	syscall(SYS_exit, 0);
	return NULL;
}

/*
 * The thread that goes is not the process: what it holds is held until that ends, since another
 * thread could finish it, and others pass it by.
 */
TEST_F(process, a_thread_goes)
{
	static struct publisher p;
	struct publisher other;
	struct message msg;
	pthread_t thread;
	pid_t pid = fork();
	u64 i;

	ASSERT_LE(0, pid);
	if (!pid) {
		if (publisher_join(&p, self->bus, RONBUS_PUBLISHER_MAPPED) ||
		    pthread_create(&thread, NULL, hold_and_go, &p))
			_exit(77);
		while (access("/proc/self/task", F_OK) || RB_READ(&p.m.ring.head->head) == SLOTS)
			nap();
		__atomic_store_n(&self->shared->done, 1, __ATOMIC_SEQ_CST);
		for (;;)
			pause();
	}
	ASSERT_TRUE(wait_until(RB_READ(&self->shared->done)));
	ASSERT_EQ(0, publisher_join(&other, self->bus, RONBUS_PUBLISHER_MAPPED));
	for (i = 0; i < 3 * SLOTS; i++) {
		ASSERT_EQ(1, publish_number(&other, i));
	}
	EXPECT_EQ(0, repairs_of(self->bus));
	while (subscriber_read(&self->s, &msg) == 1)
		i = message_number(msg.data);
	EXPECT_EQ(3 * SLOTS - 1, i);
	ASSERT_EQ(0, kill(pid, SIGKILL));
	EXPECT_EQ(-SIGKILL, child_status(pid));
	EXPECT_EQ(1, repairs_of(self->bus));
	publisher_leave(&other);
	EXPECT_TRUE(subscriber_identity(&self->s));
}

static void *publish_slowly(void *arg)
{
	struct publisher *p = arg;
	u64 i;

	for (i = 0;; i++) {
		if (publish_number(p, i) != 1)
			_exit(78);
		nap();
	}
	return NULL;
}

/* The first thread goes and the others stay: a publisher lives as long as one of them. */
TEST_F(process, the_first_thread_goes)
{
	static struct publisher p;
	struct message msg;
	pthread_t thread;
	pid_t pid = fork();
	u64 i;

	ASSERT_LE(0, pid);
	if (!pid) {
		if (publisher_join(&p, self->bus, RONBUS_PUBLISHER_MAPPED) ||
		    pthread_create(&thread, NULL, publish_slowly, &p))
			_exit(77);
		syscall(SYS_exit, 0);
	}
	for (i = 0; i < 5 * SLOTS; i++) {
		while (subscriber_read(&self->s, &msg) == -EAGAIN) {
			ASSERT_EQ(0, fd_wait(self->s.m.fd, now_ns() + WATCHDOG));
		}
		ASSERT_TRUE(message_whole(msg.data, msg.len, message_number(msg.data)));
	}
	ASSERT_EQ(0, kill(pid, SIGKILL));
	EXPECT_EQ(-SIGKILL, child_status(pid));
	while (subscriber_read(&self->s, &msg) == 1)
		;
	EXPECT_TRUE(subscriber_identity(&self->s));
	EXPECT_TRUE(nothing_held(&self->s.m.ring));
}

/* One thread executes another program while a second one publishes: that one is gone at once. */
TEST_F(process, exec_under_way)
{
	static struct publisher p;
	struct ronbus_stats stats;
	struct message msg;
	pthread_t thread;
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		if (publisher_join(&p, self->bus, RONBUS_PUBLISHER_MAPPED) ||
		    pthread_create(&thread, NULL, publish_slowly, &p))
			_exit(77);
		while (RB_READ(&p.m.ring.head->head) < 4 * SLOTS)
			nap();
		dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
		dup2(STDOUT_FILENO, STDERR_FILENO);
		execl("/proc/self/exe", "kill_test", "-h", NULL);
		_exit(78);
	}
	ASSERT_NE(78, child_status(pid));
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(0, stats.publishers);
	EXPECT_TRUE(nothing_held(&self->s.m.ring));
	while (subscriber_read(&self->s, &msg) == 1)
		;
	EXPECT_TRUE(subscriber_identity(&self->s));
}

/* Out of memory, in a group with a limit: killed like anybody, and taken care of like anybody. */
TEST_F(process, out_of_memory)
{
	char group[64];
	pid_t pid;
	int i;

	if (cgroup_make(group, sizeof(group), "kill-test", 16 << 20))
		SKIP(return, "no memory groups here");
	for (i = 0; i < 3; i++) {
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			struct publisher p;
			struct subscriber s;
			volatile char *eat;
			size_t at;

			if (cgroup_enter(group) || subscriber_join(&s, self->bus, 0, 0) ||
			    fd_arm(s.m.fd) ||
			    publisher_join(&p, self->bus, RONBUS_PUBLISHER_MAPPED) || hold_one(&p))
				_exit(77);
			eat = mmap(NULL, 256 << 20, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			for (at = 0; at < 256 << 20; at += 4096)
				eat[at] = 1;
			_exit(78);
		}
		EXPECT_EQ(-SIGKILL, child_status(pid));
		EXPECT_EQ((u64)i + 1, repairs_of(self->bus));
		EXPECT_EQ(0, RB_READ(&self->s.m.page->armed));
		EXPECT_EQ(1, RB_READ(&self->s.m.page->audience[0]));
	}
	EXPECT_TRUE(nothing_held(&self->s.m.ring));
	EXPECT_EQ(0, cgroup_remove(group));
}

TEST_HARNESS_MAIN
