// SPDX-License-Identifier: GPL-2.0
/*
 * BPF programs that publish from interrupts and from the module itself, and while a bus goes away.
 */
#include <pthread.h>

#include "kfunc.h"

/* A program that is called for what it publishes itself is called once. */
TEST_F(kfunc, from_itself)
{
	struct bpf_link *link = bpf_program__attach(self->skel->progs.from_publish);
	struct ronbus_stats stats;
	struct publisher task;
	struct subscriber s;
	struct message msg;
	int i, got = 0;

	ASSERT_NE(NULL, link);
	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_LATEST, 0));
	ASSERT_EQ(0, publisher_join(&task, self->bus, 0));
	self->bss->on = 1;
	for (i = 0; i < 5; i++)
		ASSERT_EQ(1, publish_number(&task, i));
	self->bss->on = 0;
	bpf_link__destroy(link);
	EXPECT_EQ(5, self->bss->accepted);
	EXPECT_EQ(0, self->bss->failed);
	while (subscriber_read(&s, &msg) == 1)
		got++;
	EXPECT_EQ(10, got);
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(10, stats.counters.published_total);
	publisher_leave(&task);
	subscriber_leave(&s);
}

/* From interrupts, into a bus on which the interrupted thread publishes. */
static void from_interrupt(struct __test_metadata *_metadata, FIXTURE_DATA(kfunc) * self,
			   struct bpf_program *program)
{
	struct bpf_link *link = bpf_program__attach(program);
	struct ronbus_stats stats;
	struct publisher task;
	struct subscriber s;
	struct message msg;
	u64 by_task = 0, begin = now_ns();

	ASSERT_NE(NULL, link);
	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_LATEST, 0));
	ASSERT_EQ(0, publisher_join(&task, self->bus, 0));

	/* Asleep, woken by the interrupt. */
	self->bss->most = 1;
	self->bss->on = 1;
	EXPECT_EQ(0, fd_wait(s.m.fd, now_ns() + WATCHDOG));
	EXPECT_TRUE(read_next(&s, 1));

	self->bss->most = 40;
	ASSERT_TRUE(spin_until(({
		by_task += publish_number(&task, by_task) == 1;
		RB_READ(&self->bss->calls) >= 40;
	})));
	self->bss->on = 0;
	bpf_link__destroy(link);

	EXPECT_EQ(0, self->bss->failed);
	while (subscriber_read(&s, &msg) == 1) {
		EXPECT_LE(begin, msg.time);
		EXPECT_GE(now_ns(), msg.time);
	}
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(self->bss->accepted + by_task, stats.counters.published_total);
	EXPECT_EQ(self->bss->accepted, self->bss->addressed);
	EXPECT_EQ(self->bss->dropped, stats.counters.dropped_total);
	EXPECT_TRUE(subscriber_identity(&s));
	publisher_leave(&task);
	subscriber_leave(&s);
}

TEST_F(kfunc, from_hardirq)
{
	from_interrupt(_metadata, self, self->skel->progs.from_hardirq);
}

TEST_F(kfunc, from_softirq)
{
	from_interrupt(_metadata, self, self->skel->progs.from_softirq);
}

/* Every other CPU is asked by an NMI where it is, which is in the log. */
static void *provoke_nmis(void *arg)
{
	const bool *stop = arg;
	int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);

	while (!RB_READ(stop)) {
		if (write(fd, "l", 1) != 1)
			break;
		usleep(1000);
	}
	close(fd);
	return NULL;
}

TEST_F(kfunc, from_nmi)
{
	bool stop = false;
	pthread_t thread;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(return, "takes a second CPU, which sends the NMIs");
	ASSERT_EQ(0, access("/proc/sysrq-trigger", W_OK));
	ASSERT_EQ(0, pthread_create(&thread, NULL, provoke_nmis, &stop));
	from_interrupt(_metadata, self, self->skel->progs.from_nmi);
	RB_WRITE(&stop, true);
	pthread_join(thread, NULL);
}

/* System calls, each of which publishes, on every CPU. */
struct busy {
	int ready;
	bool stop;
};

static int busy_child(struct busy *busy, int pub)
{
	close(pub); /* or it would stay when the parent closes it */
	__atomic_add_fetch(&busy->ready, 1, __ATOMIC_RELEASE);
	while (!RB_READ(&busy->stop))
		syscall(SYS_getppid);
	return 0;
}

/* The publisher goes while all CPUs publish: from then on there is none. And the next one works. */
TEST_F(kfunc, closed_while_busy)
{
	struct bpf_link *link = bpf_program__attach(self->skel->progs.from_sys_enter);
	struct busy *busy = shared_memory(sizeof(*busy));
	struct ronbus_stats stats;
	struct subscriber s;
	pid_t pids[8];
	u64 before;
	int i, nr;

	ASSERT_NE(NULL, link);
	ASSERT_NE(NULL, busy);
	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_LATEST, 0));
	nr = (int)sysconf(_SC_NPROCESSORS_ONLN);
	nr = nr < 8 ? nr : 8;
	for (i = 0; i < nr; i++) {
		pids[i] = fork();
		ASSERT_LE(0, pids[i]);
		if (!pids[i])
			_exit(busy_child(busy, self->pub));
	}
	ASSERT_TRUE(wait_until(RB_READ(&busy->ready) == nr));
	self->bss->on = 1;
	for (i = 0; i < 100; i++) {
		RB_WRITE(&self->bss->failed, 0);
		before = RB_READ(&self->bss->accepted);
		EXPECT_TRUE(spin_until(RB_READ(&self->bss->accepted) > before));
		close(self->pub);
		before = RB_READ(&self->bss->accepted);
		EXPECT_TRUE(spin_until(RB_READ(&self->bss->failed) > 0));
		EXPECT_EQ(before, RB_READ(&self->bss->accepted));
		EXPECT_EQ(-ENOENT, self->bss->ret);
		self->pub = fd_publisher_bpf(self->bus, &self->token);
		ASSERT_LE(0, self->pub);
		self->bss->token = self->token;
	}
	self->bss->on = 0;
	RB_WRITE(&busy->stop, true);
	for (i = 0; i < nr; i++)
		EXPECT_EQ(0, child_status(pids[i]));
	bpf_link__destroy(link);

	/* What was published while the publisher went has been counted all the same. */
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(self->bss->accepted, stats.counters.published_total);
	EXPECT_EQ(self->bss->addressed, stats.counters.addressed_total);
	EXPECT_EQ(self->bss->dropped, stats.counters.dropped_total);
	subscriber_leave(&s);
}

/* The bus and everything goes, while they publish. */
TEST_F(kfunc, bus_ends_while_busy)
{
	struct bpf_link *link = bpf_program__attach(self->skel->progs.from_sys_enter);
	struct busy *busy = shared_memory(sizeof(*busy));
	struct ronbus_info info;
	int i, bus, pub, sub;
	u64 before, token;
	pid_t pid;

	ASSERT_NE(NULL, link);
	ASSERT_NE(NULL, busy);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(busy_child(busy, self->pub));
	self->bss->on = 1;
	for (i = 0; i < 20; i++) {
		bus = bus_create(self->control, (struct ronbus_create){ .payload = LEN });
		ASSERT_LE(0, bus);
		pub = fd_publisher_bpf(bus, &token);
		sub = fd_subscribe(bus, RONBUS_START_LATEST, 0, NULL);
		ASSERT_LE(0, pub);
		ASSERT_LE(0, sub);
		close(bus);
		before = RB_READ(&self->bss->addressed);
		self->bss->token = token;
		EXPECT_TRUE(wait_until(RB_READ(&self->bss->addressed) > before + 20));
		close(pub);
		ASSERT_EQ(0, fd_info(sub, &info));
		EXPECT_EQ(RONBUS_STATUS_ENDED, info.status);
		close(sub);
	}
	self->bss->on = 0;
	RB_WRITE(&busy->stop, true);
	EXPECT_EQ(0, child_status(pid));
	bpf_link__destroy(link);
}

TEST_HARNESS_MAIN
