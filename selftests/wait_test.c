// SPDX-License-Identifier: GPL-2.0
/*
 * Sleeping and waking: WAIT, read, poll, select, epoll, eventfd; which one is woken, how often, and
 * that nobody is forgotten.
 *
 * Whether somebody sleeps is read in the armed word, not guessed from the clock.
 */
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>

#include "ronbus_kselftest.h"

#define SLOTS 64U
#define LEN 32U

FIXTURE(wait)
{
	int control;
	int bus;
	struct publisher pub;
	struct subscriber s;
};

FIXTURE_VARIANT(wait)
{
	u64 features;
	u32 publisher;
};

FIXTURE_VARIANT_ADD(wait, mapped_baseline){ 0, RONBUS_PUBLISHER_MAPPED };
FIXTURE_VARIANT_ADD(wait, mapped_edge){ RONBUS_F_EDGE_NOTIFY, RONBUS_PUBLISHER_MAPPED };
FIXTURE_VARIANT_ADD(wait, syscall_baseline){ 0, 0 };
FIXTURE_VARIANT_ADD(wait, syscall_edge){ RONBUS_F_EDGE_NOTIFY, 0 };

FIXTURE_SETUP(wait)
{
	self->control = OPEN_CONTROL();
	self->bus = bus_create(self->control, (struct ronbus_create){ .features = variant->features,
								      .capacity = SLOTS,
								      .payload = LEN });
	ASSERT_LE(0, self->bus);
	ASSERT_EQ(0, publisher_join(&self->pub, self->bus, variant->publisher));
	ASSERT_EQ(0, subscriber_join(&self->s, self->bus, RONBUS_START_LATEST, 0));
}

FIXTURE_TEARDOWN(wait)
{
	subscriber_leave(&self->s);
	publisher_leave(&self->pub);
	close(self->bus);
	close(self->control);
}

/* ---- a sleeper, in a thread ------------------------------------------------------------- */

/**
 * struct sleeper - a thread that does one thing that blocks
 * @how: what it does
 * @fd: to which fd
 * @arg: and another
 * @size: bytes to read
 * @tid: its thread, once it runs
 * @ret: what came of it
 * @done: it has returned
 * @buf: what it read
 */
struct sleeper {
	enum {
		BY_WAIT,
		BY_READ,
		BY_POLL,
		BY_SELECT,
		BY_EPOLL,
		BY_EVENTFD,
		WAYS,
	} how;
	int fd;
	int arg;
	u64 deadline;
	size_t size;
	pid_t tid;
	long ret;
	bool done;
	pthread_t thread;
	struct {
		struct ronbus_record head;
		unsigned char data[LEN];
	} buf[4];
};

static void *sleeper_main(void *arg)
{
	struct sleeper *s = arg;
	struct pollfd p = { .fd = s->fd, .events = POLLIN };
	struct epoll_event event;
	fd_set set;
	u64 value;
	long ret;

	__atomic_store_n(&s->tid, (pid_t)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	switch (s->how) {
	case BY_WAIT:
		ret = fd_wait(s->fd, s->deadline);
		break;
	case BY_READ:
		ret = fd_read(s->fd, s->buf, s->size ? s->size : sizeof(s->buf[0]));
		break;
	case BY_POLL:
		ret = poll(&p, 1, -1) < 0 ? -errno : p.revents;
		break;
	case BY_SELECT:
		FD_ZERO(&set);
		FD_SET(s->fd, &set);
		ret = select(s->fd + 1, &set, NULL, NULL, NULL) < 0 ? -errno : 1;
		break;
	case BY_EPOLL:
		ret = epoll_wait(s->arg, &event, 1, -1) < 0 ? -errno : (long)event.events;
		break;
	case BY_EVENTFD:
		ret = read(s->arg, &value, sizeof(value)) < 0 ? -errno : (long)value;
		break;
	default:
		ret = -ENOSYS;
		break;
	}
	s->ret = ret;
	__atomic_store_n(&s->done, true, __ATOMIC_SEQ_CST);
	return NULL;
}

static int sleeper_start(struct sleeper *s)
{
	s->tid = 0;
	s->done = false;
	s->ret = -1000;
	if (!s->deadline)
		s->deadline = RONBUS_WAIT_FOREVER;
	return pthread_create(&s->thread, NULL, sleeper_main, s);
}

static bool sleeper_done(struct sleeper *s)
{
	return __atomic_load_n(&s->done, __ATOMIC_SEQ_CST);
}

/* It has got to the kernel, and sleeps there for the bus. */
static bool sleeper_sleeps(struct sleeper *s)
{
	pid_t tid;

	return wait_until((tid = __atomic_load_n(&s->tid, __ATOMIC_SEQ_CST)) != 0 &&
			  (s->done || task_state(tid) == 'S')) &&
	       !s->done;
}

#define EXPECT_SLEEPS(sleeper)                                       \
	do {                                                         \
		ASSERT_TRUE(sleeper_sleeps(sleeper));                \
		ASSERT_TRUE(wait_until(subscriber_armed(&self->s))); \
		ASSERT_FALSE(sleeper_done(sleeper));                 \
	} while (0)

#define EXPECT_WAKES(sleeper, with)                                  \
	do {                                                         \
		ASSERT_TRUE(wait_until(sleeper_done(sleeper)));      \
		ASSERT_EQ(0, pthread_join((sleeper)->thread, NULL)); \
		EXPECT_EQ(with, (sleeper)->ret)                      \
		TH_LOG("way %d, deadline %#llx", (sleeper)->how,     \
		       (unsigned long long)(sleeper)->deadline);     \
	} while (0)

#define EXPECT_NUMBER(number)                                              \
	do {                                                               \
		struct message __msg;                                      \
		ASSERT_EQ(1, subscriber_read(&self->s, &__msg));           \
		ASSERT_TRUE(message_whole(__msg.data, __msg.len, number)); \
	} while (0)

/* Everything in @sleeper for way @how; the epoll or event fd is in its @arg. */
static int sleeper_prepare(struct sleeper *sleeper, int how, struct subscriber *s)
{
	struct epoll_event event = { .events = EPOLLIN };

	memset(sleeper, 0, sizeof(*sleeper));
	sleeper->how = how;
	sleeper->fd = s->m.fd;
	sleeper->arg = -1;
	if (how == BY_EPOLL) {
		sleeper->arg = epoll_create1(EPOLL_CLOEXEC);
		if (sleeper->arg < 0 || epoll_ctl(sleeper->arg, EPOLL_CTL_ADD, s->m.fd, &event))
			return -errno;
	}
	if (how == BY_EVENTFD) {
		sleeper->arg = eventfd(0, EFD_CLOEXEC);
		if (sleeper->arg < 0)
			return -errno;
		return fd_set_eventfd(s->m.fd, sleeper->arg) ?: fd_arm(s->m.fd);
	}
	return 0;
}

static const long woken_by_data[WAYS] = {
	[BY_WAIT] = 0,	      [BY_READ] = sizeof(struct ronbus_record) + LEN,
	[BY_POLL] = POLLIN,   [BY_SELECT] = 1,
	[BY_EPOLL] = EPOLLIN, [BY_EVENTFD] = 1,
};

/* ---- one sleeper ------------------------------------------------------------------------ */

TEST_F(wait, every_way)
{
	struct sleeper sleeper;
	int how, i;

	for (how = 0; how < WAYS; how++) {
		ASSERT_EQ(0, sleeper_prepare(&sleeper, how, &self->s));
		for (i = 0; i < 3; i++) {
			if (how == BY_EVENTFD && i) {
				ASSERT_EQ(0, fd_arm(self->s.m.fd));
			}
			ASSERT_EQ(0, sleeper_start(&sleeper));
			EXPECT_SLEEPS(&sleeper);
			ASSERT_EQ(1, publish_number(&self->pub, (u64)i));
			EXPECT_WAKES(&sleeper, woken_by_data[how]);
			if (how == BY_READ) {
				EXPECT_TRUE(message_whole(sleeper.buf[0].data, LEN, (u64)i));
			} else {
				EXPECT_NUMBER((u64)i);
			}
			EXPECT_FALSE(subscriber_armed(&self->s));
		}
		if (how == BY_EVENTFD) {
			EXPECT_EQ(0, fd_set_eventfd(self->s.m.fd, -1));
		}
		if (sleeper.arg >= 0)
			close(sleeper.arg);
	}
}

/* What is there already is no reason to sleep. */
TEST_F(wait, data_is_there)
{
	struct sleeper sleeper;
	int how;

	for (how = 0; how < BY_EVENTFD; how++) {
		ASSERT_EQ(1, publish_number(&self->pub, 5));
		ASSERT_EQ(0, sleeper_prepare(&sleeper, how, &self->s));
		sleeper_main(&sleeper);
		EXPECT_EQ(woken_by_data[how], sleeper.ret);
		if (how != BY_READ) {
			EXPECT_NUMBER(5);
		}
		EXPECT_FALSE(subscriber_armed(&self->s));
		if (sleeper.arg >= 0)
			close(sleeper.arg);
	}
	ASSERT_EQ(1, publish_number(&self->pub, 6));
	EXPECT_EQ(1, fd_arm(self->s.m.fd));
	EXPECT_EQ(POLLIN | POLLRDNORM, fd_poll(self->s.m.fd, POLLIN | POLLRDNORM | POLLOUT));
}

/* The end of the bus wakes like a message. */
TEST_F(wait, end_of_bus)
{
	static const long woken[WAYS] = {
		[BY_WAIT] = 0,	 [BY_READ] = 0,		[BY_POLL] = POLLHUP,
		[BY_SELECT] = 1, [BY_EPOLL] = EPOLLHUP, [BY_EVENTFD] = 1,
	};
	struct sleeper sleeper;
	int how;

	for (how = 0; how < WAYS; how++) {
		struct ronbus_stats stats;

		ASSERT_EQ(0, sleeper_prepare(&sleeper, how, &self->s));
		ASSERT_EQ(0, sleeper_start(&sleeper));
		EXPECT_SLEEPS(&sleeper);
		publisher_leave(&self->pub);
		/* A publisher's mapping and its fd go one after the other, and each may wake. */
		if (how == BY_EVENTFD) {
			ASSERT_TRUE(wait_until(sleeper_done(&sleeper)));
			EXPECT_TRUE(sleeper.ret == 1 || sleeper.ret == 2);
			sleeper.ret = 1;
		}
		EXPECT_WAKES(&sleeper, woken[how]);
		ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
		EXPECT_LE(1, stats.counters.wakes_total[RONBUS_WAKE_CLOSE] +
				     stats.counters.wakes_total[RONBUS_WAKE_REPAIR]);
		if (sleeper.arg >= 0)
			close(sleeper.arg);

		subscriber_leave(&self->s);
		close(self->bus);
		self->bus = bus_create(self->control,
				       (struct ronbus_create){ .features = variant->features,
							       .capacity = SLOTS,
							       .payload = LEN });
		ASSERT_LE(0, self->bus);
		ASSERT_EQ(0, publisher_join(&self->pub, self->bus, variant->publisher));
		ASSERT_EQ(0, subscriber_join(&self->s, self->bus, RONBUS_START_LATEST, 0));
	}
}

TEST_F(wait, deadlines)
{
	struct ronbus_wait args = { 0 };
	u64 began, deadline;
	int i;

	/* In the past: a look. */
	EXPECT_EQ(-ETIMEDOUT, fd_wait(self->s.m.fd, 0));
	EXPECT_EQ(-ETIMEDOUT, fd_wait(self->s.m.fd, 1));
	EXPECT_EQ(-ETIMEDOUT, fd_wait(self->s.m.fd, now_ns()));
	for (i = 0; i < 3; i++) {
		began = now_ns();
		deadline = began + SEC / 50;
		EXPECT_EQ(-ETIMEDOUT, fd_wait(self->s.m.fd, deadline));
		EXPECT_LE(deadline, now_ns());
	}
	ASSERT_EQ(1, publish_number(&self->pub, 1));
	EXPECT_EQ(0, fd_wait(self->s.m.fd, 0));
	EXPECT_EQ(0, fd_wait(self->s.m.fd, now_ns() + SEC));
	EXPECT_EQ(0, fd_wait(self->s.m.fd, RONBUS_WAIT_FOREVER));
	EXPECT_EQ(0, fd_wait(self->s.m.fd, RONBUS_WAIT_FOREVER - 1));
	EXPECT_EQ(0, fd_wait(self->s.m.fd, 1ULL << 63));
	/* Being told does not take it away. */
	EXPECT_NUMBER(1);
	EXPECT_EQ(-ETIMEDOUT, fd_wait(self->s.m.fd, 0));
	for (i = 0; i < 32; i++) {
		args = (struct ronbus_wait){ .flags = 1U << i };
		EXPECT_EQ(-EINVAL, do_ioctl(self->s.m.fd, RONBUS_IOC_WAIT, &args));
		args = (struct ronbus_wait){ .pad = 1U << i };
		EXPECT_EQ(-EINVAL, do_ioctl(self->s.m.fd, RONBUS_IOC_WAIT, &args));
	}
}

/* A deadline far away is one that does not come: it sleeps. */
TEST_F(wait, far_deadlines)
{
	static const u64 deadlines[] = {
		RONBUS_WAIT_FOREVER, RONBUS_WAIT_FOREVER - 1, 1ULL << 63,
		(1ULL << 63) - 1,    (1ULL << 63) - 2,	      1ULL << 62,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(deadlines); i++) {
		struct sleeper sleeper = {
			.how = BY_WAIT,
			.fd = self->s.m.fd,
			.deadline = deadlines[i],
		};

		ASSERT_EQ(0, sleeper_start(&sleeper));
		EXPECT_SLEEPS(&sleeper);
		ASSERT_EQ(1, publish_number(&self->pub, 9));
		EXPECT_WAKES(&sleeper, 0);
		EXPECT_NUMBER(9);
	}
}

static void on_signal(int signal)
{
	(void)signal;
}

static int handle(int flags)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = flags };

	return sigaction(SIGUSR1, &action, NULL);
}

TEST_F(wait, signals)
{
	struct sleeper sleeper;
	int how;

	/* Without SA_RESTART a sleep ends; nothing is lost by that. */
	ASSERT_EQ(0, handle(0));
	for (how = BY_WAIT; how <= BY_EPOLL; how++) {
		ASSERT_EQ(0, sleeper_prepare(&sleeper, how, &self->s));
		ASSERT_EQ(0, sleeper_start(&sleeper));
		EXPECT_SLEEPS(&sleeper);
		ASSERT_EQ(0, pthread_kill(sleeper.thread, SIGUSR1));
		EXPECT_WAKES(&sleeper, -EINTR);
		if (sleeper.arg >= 0)
			close(sleeper.arg);
		ASSERT_EQ(1, publish_number(&self->pub, 1));
		EXPECT_EQ(0, fd_wait(self->s.m.fd, 0));
		EXPECT_NUMBER(1);
	}
	/* With it a sleep goes on, until there is something. */
	ASSERT_EQ(0, handle(SA_RESTART));
	for (how = BY_WAIT; how <= BY_READ; how++) {
		ASSERT_EQ(0, sleeper_prepare(&sleeper, how, &self->s));
		ASSERT_EQ(0, sleeper_start(&sleeper));
		EXPECT_SLEEPS(&sleeper);
		ASSERT_EQ(0, pthread_kill(sleeper.thread, SIGUSR1));
		ASSERT_EQ(0, pthread_kill(sleeper.thread, SIGUSR1));
		EXPECT_SLEEPS(&sleeper);
		ASSERT_EQ(1, publish_number(&self->pub, 1));
		EXPECT_WAKES(&sleeper, woken_by_data[how]);
		if (how == BY_WAIT) {
			EXPECT_NUMBER(1);
		}
	}
	/* The deadline is a time of day: being interrupted does not move it. */
	ASSERT_EQ(0, sleeper_prepare(&sleeper, BY_WAIT, &self->s));
	sleeper.deadline = now_ns() + SEC / 2;
	ASSERT_EQ(0, sleeper_start(&sleeper));
	while (!sleeper_done(&sleeper) && now_ns() < sleeper.deadline + WATCHDOG) {
		pthread_kill(sleeper.thread, SIGUSR1);
		usleep(50000);
	}
	EXPECT_WAKES(&sleeper, -ETIMEDOUT);
	EXPECT_LE(sleeper.deadline, now_ns());
}

/* ---- read(2) ---------------------------------------------------------------------------- */

TEST_F(wait, read_sizes)
{
	const size_t one = sizeof(struct ronbus_record) + LEN;
	unsigned char buf[5 * (sizeof(struct ronbus_record) + LEN)];
	struct ronbus_record head;
	size_t size;
	u64 i;

	ASSERT_EQ(0, fd_nonblock(self->s.m.fd));
	EXPECT_EQ(-EAGAIN, fd_read(self->s.m.fd, buf, sizeof(buf)));
	/* A call that does not sleep does not ask to be woken. */
	EXPECT_FALSE(subscriber_armed(&self->s));
	ASSERT_EQ(5, publish_numbers(&self->pub, 0, 5, LEN, 5));
	/* Not even one: it stays. */
	for (size = 1; size < one; size++) {
		ASSERT_EQ(-EINVAL, fd_read(self->s.m.fd, buf, size)) TH_LOG("size %zu", size);
	}
	/* Room for nothing is room for no message, and no error. */
	EXPECT_EQ(0, fd_read(self->s.m.fd, buf, 0));
	EXPECT_EQ(SLOTS, subscriber_cursor(&self->s));
	EXPECT_EQ(0, self->s.m.self->delivered);
	/* As many as fit, whole ones. */
	poison(buf);
	ASSERT_EQ(2 * one, fd_read(self->s.m.fd, buf, 3 * one - 1));
	for (i = 0; i < 2; i++) {
		memcpy(&head, buf + i * one, sizeof(head));
		EXPECT_EQ(SLOTS + i, head.position);
		EXPECT_EQ(LEN, head.len);
		EXPECT_EQ(0, head.lost);
		EXPECT_TRUE(message_whole(buf + i * one + sizeof(head), LEN, i));
	}
	EXPECT_EQ(SLOTS + 2, subscriber_cursor(&self->s));
	ASSERT_EQ(one, fd_read(self->s.m.fd, buf, one));
	memcpy(&head, buf, sizeof(head));
	EXPECT_EQ(SLOTS + 2, head.position);
	ASSERT_EQ(2 * one, fd_read(self->s.m.fd, buf, sizeof(buf)));
	EXPECT_EQ(-EAGAIN, fd_read(self->s.m.fd, buf, sizeof(buf)));
	EXPECT_EQ(-EAGAIN, fd_read(self->s.m.fd, buf, 1));
	EXPECT_EQ(5, self->s.m.self->delivered);
	EXPECT_TRUE(subscriber_identity(&self->s));
}

/* A message that cannot be handed out is still there, and so is the word of a loss before it. */
TEST_F(wait, read_faults)
{
	const size_t one = sizeof(struct ronbus_record) + LEN;
	char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ronbus_record head;

	ASSERT_NE(MAP_FAILED, page);
	ASSERT_EQ(0, mprotect(page + 4096, 4096, PROT_NONE));
	ASSERT_EQ(0, fd_nonblock(self->s.m.fd));
	ASSERT_EQ(SLOTS + 3, (u32)publish_numbers(&self->pub, 0, SLOTS + 3, LEN, 16));
	EXPECT_EQ(-EFAULT, fd_read(self->s.m.fd, NULL, one));
	EXPECT_EQ(-EFAULT, fd_read(self->s.m.fd, page + 4096 - one + 1, one));
	EXPECT_EQ(-EINVAL, fd_read(self->s.m.fd, page, one - 1));
	EXPECT_EQ(SLOTS + 3, subscriber_cursor(&self->s));
	EXPECT_EQ(0, self->s.m.self->delivered);
	/* The first fits before the hole in memory, the second does not. */
	ASSERT_EQ(one, fd_read(self->s.m.fd, page + 4096 - one - 8, 4 * one));
	memcpy(&head, page + 4096 - one - 8, sizeof(head));
	EXPECT_EQ(SLOTS + 3, head.position);
	EXPECT_EQ(3, head.lost);
	ASSERT_EQ(one, fd_read(self->s.m.fd, page, one));
	memcpy(&head, page, sizeof(head));
	EXPECT_EQ(SLOTS + 4, head.position);
	EXPECT_EQ(0, head.lost);
	EXPECT_TRUE(message_whole(page + sizeof(head), LEN, 4));
}

/* ---- epoll ------------------------------------------------------------------------------ */

static int epoll_now(int epoll)
{
	struct epoll_event event = { 0 };
	int n = epoll_wait(epoll, &event, 1, 0);

	return n < 0 ? -errno : n ? (int)event.events : 0;
}

/* Level-triggered: as long as there is something. */
TEST_F(wait, epoll_level)
{
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(EPOLL_CLOEXEC), i;

	ASSERT_LE(0, epoll);
	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, self->s.m.fd, &event));
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(0, epoll_now(epoll));
		ASSERT_EQ(2, publish_numbers(&self->pub, 0, 2, LEN, 2));
		EXPECT_EQ(EPOLLIN, epoll_now(epoll));
		EXPECT_EQ(EPOLLIN, epoll_now(epoll));
		EXPECT_NUMBER(0);
		EXPECT_EQ(EPOLLIN, epoll_now(epoll));
		EXPECT_NUMBER(1);
		EXPECT_EQ(0, epoll_now(epoll));
	}
	close(epoll);
}

/* Edge-triggered, with the discipline: drain, arm, and only then sleep. */
TEST_F(wait, epoll_edge)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	int epoll = epoll_create1(EPOLL_CLOEXEC), i;

	ASSERT_LE(0, epoll);
	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, self->s.m.fd, &event));
	epoll_now(epoll);
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, fd_arm(self->s.m.fd));
		EXPECT_TRUE(subscriber_armed(&self->s));
		EXPECT_EQ(0, epoll_now(epoll));
		ASSERT_EQ(1, publish_number(&self->pub, 0));
		EXPECT_EQ(EPOLLIN, epoll_now(epoll));
		EXPECT_EQ(0, epoll_now(epoll));
		/* Not drained: ARM says so instead of arming. */
		EXPECT_EQ(1, fd_arm(self->s.m.fd));
		EXPECT_FALSE(subscriber_armed(&self->s));
		EXPECT_NUMBER(0);
	}
	/* Without ARM nothing is promised but with EDGE_NOTIFY: nobody is woken. */
	ASSERT_EQ(1, publish_number(&self->pub, 1));
	EXPECT_EQ(variant->features & RONBUS_F_EDGE_NOTIFY ? 0 : EPOLLIN, epoll_now(epoll));
	EXPECT_NUMBER(1);
	/* The end comes as an edge too. */
	ASSERT_EQ(0, fd_arm(self->s.m.fd));
	publisher_leave(&self->pub);
	EXPECT_EQ(EPOLLHUP, epoll_now(epoll) & ~EPOLLIN);
	EXPECT_EQ(1, fd_arm(self->s.m.fd));
	close(epoll);
}

/* ---- eventfd ---------------------------------------------------------------------------- */

static int eventfd_value(int fd)
{
	u64 value = 0;

	return read(fd, &value, sizeof(value)) < 0 ? -errno : (int)value;
}

TEST_F(wait, eventfd)
{
	bool edge = variant->features & RONBUS_F_EDGE_NOTIFY;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int other = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct ronbus_eventfd args;
	u64 i;

	ASSERT_LE(0, fd);
	ASSERT_LE(0, other);
	EXPECT_EQ(-EBADF, fd_set_eventfd(self->s.m.fd, 1000));
	EXPECT_EQ(-EBADF, fd_set_eventfd(self->s.m.fd, -2));
	EXPECT_EQ(-EBADF, fd_set_eventfd(self->s.m.fd, INT32_MIN));
	EXPECT_EQ(-EINVAL, fd_set_eventfd(self->s.m.fd, self->control));
	EXPECT_EQ(-EINVAL, fd_set_eventfd(self->s.m.fd, self->s.m.fd));
	EXPECT_EQ(-EINVAL, fd_set_eventfd(self->s.m.fd, STDERR_FILENO));
	args = (struct ronbus_eventfd){ .fd = fd, .flags = 1 };
	EXPECT_EQ(-EINVAL, do_ioctl(self->s.m.fd, RONBUS_IOC_SET_EVENTFD, &args));
	/* There is none to remove, which is no error. */
	EXPECT_EQ(0, fd_set_eventfd(self->s.m.fd, -1));

	EXPECT_EQ(0, fd_set_eventfd(self->s.m.fd, fd));
	EXPECT_EQ(-EAGAIN, eventfd_value(fd));
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(0, fd_arm(self->s.m.fd));
		ASSERT_EQ(1, publish_number(&self->pub, i));
		EXPECT_EQ(1, eventfd_value(fd));
		/* A second message while the first is unread. */
		ASSERT_EQ(1, publish_number(&self->pub, i + 1));
		EXPECT_EQ(edge ? -EAGAIN : 1, eventfd_value(fd));
		EXPECT_NUMBER(i);
		EXPECT_NUMBER(i + 1);
	}
	/* Signals add up until they are read. */
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, fd_arm(self->s.m.fd));
		ASSERT_EQ(1, publish_number(&self->pub, i));
		EXPECT_NUMBER(i);
	}
	EXPECT_EQ(3, eventfd_value(fd));

	/* Another in its place, which lives on when the program closes it. */
	EXPECT_EQ(0, fd_set_eventfd(self->s.m.fd, other));
	ASSERT_EQ(0, fd_arm(self->s.m.fd));
	ASSERT_EQ(1, publish_number(&self->pub, 0));
	EXPECT_EQ(-EAGAIN, eventfd_value(fd));
	EXPECT_EQ(1, eventfd_value(other));
	EXPECT_NUMBER(0);
	EXPECT_EQ(-EBADF, fd_set_eventfd(self->s.m.fd, 1000));
	ASSERT_EQ(0, fd_arm(self->s.m.fd));
	ASSERT_EQ(1, publish_number(&self->pub, 0));
	EXPECT_EQ(1, eventfd_value(other));
	EXPECT_NUMBER(0);
	close(other);
	ASSERT_EQ(0, fd_arm(self->s.m.fd));
	ASSERT_EQ(1, publish_number(&self->pub, 0));
	EXPECT_NUMBER(0);

	/* And none. */
	EXPECT_EQ(0, fd_set_eventfd(self->s.m.fd, fd));
	EXPECT_EQ(0, fd_set_eventfd(self->s.m.fd, -1));
	ASSERT_EQ(0, fd_arm(self->s.m.fd));
	ASSERT_EQ(1, publish_number(&self->pub, 0));
	EXPECT_EQ(-EAGAIN, eventfd_value(fd));
	close(fd);
}

/* ---- several sleepers ------------------------------------------------------------------- */

/* All that wait on one fd are woken: the bit is theirs together. */
TEST_F(wait, several_on_one_fd)
{
	struct sleeper sleepers[WAYS];
	int how, i;

	for (i = 0; i < 5; i++) {
		for (how = 0; how < BY_EVENTFD; how++) {
			/* One that reads would take it from the others. */
			ASSERT_EQ(0, sleeper_prepare(&sleepers[how], how == BY_READ ? BY_WAIT : how,
						     &self->s));
			ASSERT_EQ(0, sleeper_start(&sleepers[how]));
		}
		for (how = 0; how < BY_EVENTFD; how++) {
			EXPECT_SLEEPS(&sleepers[how]);
		}
		ASSERT_EQ(1, publish_number(&self->pub, (u64)i));
		for (how = 0; how < BY_EVENTFD; how++) {
			EXPECT_WAKES(&sleepers[how], woken_by_data[how == BY_READ ? BY_WAIT : how]);
			if (sleepers[how].arg >= 0)
				close(sleepers[how].arg);
		}
		EXPECT_NUMBER((u64)i);
	}
}

/* Those that read share what there is: nobody gets a message twice, and none is left over. */
TEST_F(wait, several_readers_on_one_fd)
{
	struct sleeper sleepers[3];
	u32 seen = 0;
	int i;

	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, sleeper_prepare(&sleepers[i], BY_READ, &self->s));
		ASSERT_EQ(0, sleeper_start(&sleepers[i]));
	}
	for (i = 0; i < 3; i++) {
		EXPECT_SLEEPS(&sleepers[i]);
	}
	/* One at a time, since each of them sleeps again if another was faster. */
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(1, publish_number(&self->pub, (u64)i));
	}
	for (i = 0; i < 3; i++) {
		u64 number;

		EXPECT_WAKES(&sleepers[i], woken_by_data[BY_READ]);
		number = message_number(sleepers[i].buf[0].data);
		ASSERT_GT(3, number);
		EXPECT_TRUE(message_whole(sleepers[i].buf[0].data, LEN, number));
		seen |= 1U << number;
	}
	EXPECT_EQ(7, seen);
	EXPECT_EQ(3, self->s.m.self->delivered);
}

/* A sleeper that gives up leaves the others asleep, and they are still woken. */
TEST_F(wait, one_of_several_gives_up)
{
	struct sleeper stays, leaves;

	ASSERT_EQ(0, handle(0));
	ASSERT_EQ(0, sleeper_prepare(&stays, BY_WAIT, &self->s));
	ASSERT_EQ(0, sleeper_prepare(&leaves, BY_WAIT, &self->s));
	ASSERT_EQ(0, sleeper_start(&stays));
	EXPECT_SLEEPS(&stays);
	ASSERT_EQ(0, sleeper_start(&leaves));
	EXPECT_SLEEPS(&leaves);
	ASSERT_EQ(0, pthread_kill(leaves.thread, SIGUSR1));
	EXPECT_WAKES(&leaves, -EINTR);
	EXPECT_EQ(-ETIMEDOUT, fd_wait(self->s.m.fd, 0));
	EXPECT_EQ(0, fd_poll(self->s.m.fd, POLLIN));
	ASSERT_EQ(1, publish_number(&self->pub, 3));
	EXPECT_WAKES(&stays, 0);
	EXPECT_NUMBER(3);
}

/* A message for everybody wakes those that sleep, and each of them once. */
TEST_F(wait, many_subscribers)
{
	static struct subscriber more[8];
	struct ronbus_stats before, after;
	u64 asleep = 0xa5;
	u32 woken;
	int i;

	for (i = 0; i < 8; i++) {
		ASSERT_EQ(0, subscriber_join(&more[i], self->bus, RONBUS_START_LATEST, 0));
	}
	for (i = 0; i < 8; i++)
		if (asleep >> i & 1) {
			ASSERT_EQ(0, fd_arm(more[i].m.fd));
		}
	EXPECT_EQ(asleep << 1, RB_READ(&self->s.m.page->armed));
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &before));
	EXPECT_EQ(asleep << 1, before.armed);
	if (self->pub.id) {
		/* The mask decides among them, and bits without a member do no harm. */
		EXPECT_EQ(0, fd_notify(self->pub.m.fd, ~0ULL << 5, &woken));
		EXPECT_EQ(variant->features & RONBUS_F_EDGE_NOTIFY ? 2 : 4, woken);
		EXPECT_EQ((asleep << 1) & 0x1f, RB_READ(&self->s.m.page->armed));
		EXPECT_EQ(0, fd_notify(self->pub.m.fd, 0, &woken));
		EXPECT_EQ(0, woken);
		EXPECT_EQ(0, fd_notify(self->pub.m.fd, ~0ULL << 9, &woken));
		EXPECT_EQ(0, woken);
	}
	ASSERT_EQ(1, publish_number(&self->pub, 1));
	EXPECT_EQ(0, RB_READ(&self->s.m.page->armed));
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &after));
	EXPECT_EQ(0, after.armed);
	if (variant->features & RONBUS_F_EDGE_NOTIFY) {
		EXPECT_EQ(before.counters.wakes_total[RONBUS_WAKE_DATA] + 4,
			  after.counters.wakes_total[RONBUS_WAKE_DATA]);
	}
	for (i = 0; i < 8; i++)
		subscriber_leave(&more[i]);
}

/* NOTIFY is for publishers of this bus alone. */
TEST_F(wait, notify_another_bus)
{
	struct subscriber s;
	int bus, i;

	bus = bus_create(self->control, (struct ronbus_create){ .features = variant->features });
	ASSERT_LE(0, bus);
	ASSERT_EQ(0, subscriber_join(&s, bus, RONBUS_START_LATEST, 0));
	ASSERT_EQ(0, fd_arm(s.m.fd));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, fd_notify(self->pub.m.fd, ~0ULL, NULL));
	}
	EXPECT_TRUE(subscriber_armed(&s));
	subscriber_leave(&s);
	close(bus);
}

/* Nobody sleeps, nobody has armed: the end is told all the same, for there is no later occasion. */
TEST_F(wait, end_is_told_to_everybody)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	struct ronbus_stats stats;

	ASSERT_LE(0, fd);
	ASSERT_LE(0, epoll);
	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, self->s.m.fd, &event));
	EXPECT_EQ(0, epoll_now(epoll));
	ASSERT_EQ(1, publish_number(&self->pub, 1));
	EXPECT_NUMBER(1);
	epoll_now(epoll);
	EXPECT_EQ(0, fd_set_eventfd(self->s.m.fd, fd));
	/* Nothing before the end is left in the way. */
	ASSERT_EQ(0, fd_notify(self->pub.m.fd, ~0ULL, NULL));
	eventfd_value(fd);
	EXPECT_FALSE(subscriber_armed(&self->s));
	EXPECT_EQ(0, bus_seal(self->bus));
	publisher_leave(&self->pub);
	EXPECT_EQ(EPOLLHUP, epoll_now(epoll));
	EXPECT_LT(0, eventfd_value(fd));
	ASSERT_EQ(0, fd_stats(self->bus, 0, &stats));
	EXPECT_EQ(1, stats.counters.wakes_total[RONBUS_WAKE_CLOSE]);
	close(epoll);
	close(fd);
}

/* ---- how often ------------------------------------------------------------------------- */

/* With EDGE_NOTIFY a reader that is awake costs its publishers no system call. */
TEST_F(wait, suppressed_while_awake)
{
	bool edge = variant->features & RONBUS_F_EDGE_NOTIFY;
	const struct ronbus_counters *c;
	struct ronbus_stats stats;
	u64 i;

	for (i = 0; i < 100; i++) {
		ASSERT_EQ(1, publish_number(&self->pub, i));
		EXPECT_NUMBER(i);
	}
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	c = &stats.counters;
	EXPECT_EQ(100, c->published_total);
	EXPECT_EQ(100, c->addressed_total);
	EXPECT_EQ(edge ? 0 : 100, c->notify_sends_total);
	EXPECT_EQ(edge ? 100 : 0, c->notify_suppressed_total);
	EXPECT_EQ(edge ? 0 : 100, c->wakes_total[RONBUS_WAKE_DATA]);
	EXPECT_EQ(edge || !self->pub.id ? 0 : 100, c->notify_calls_total);
	EXPECT_EQ(edge || !self->pub.id ? 0 : 100, self->pub.notifies);

	/* Armed before each: one each. */
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, fd_arm(self->s.m.fd));
		ASSERT_EQ(1, publish_number(&self->pub, i));
		ASSERT_EQ(1, publish_number(&self->pub, i));
		EXPECT_NUMBER(i);
		EXPECT_NUMBER(i);
	}
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(120, c->addressed_total);
	EXPECT_EQ(edge ? 10 : 120, c->notify_sends_total);
	EXPECT_EQ(edge ? 110 : 0, c->notify_suppressed_total);
	EXPECT_EQ(10, c->waits_total);
	if (self->pub.id) {
		EXPECT_EQ(edge ? 10 : 120, c->notify_calls_total);
	}
}

/* ---- nobody is forgotten ---------------------------------------------------------------- */

/*
 * Two processes that each wait for the other: one lost wake-up, and both sleep for good. Each
 * sleeps in a way of its own, and none has a time limit but the watchdog.
 */
FIXTURE(ping_pong)
{
	int control;
	int bus[2];
};

FIXTURE_VARIANT(ping_pong)
{
	u64 features;
	u32 publisher;
	int how;
	bool spin; /* look a few times before sleeping, to hit the moment */
};

#define PING_PONG(name, features, publisher)                                                \
	FIXTURE_VARIANT_ADD(ping_pong, name##_wait){ features, publisher, BY_WAIT, true };  \
	FIXTURE_VARIANT_ADD(ping_pong, name##_read){ features, publisher, BY_READ, false }; \
	FIXTURE_VARIANT_ADD(ping_pong, name##_poll){ features, publisher, BY_POLL, true };  \
	FIXTURE_VARIANT_ADD(ping_pong, name##_eventfd){ features, publisher, BY_EVENTFD, true };

PING_PONG(mapped_edge, RONBUS_F_EDGE_NOTIFY, RONBUS_PUBLISHER_MAPPED)
PING_PONG(mapped_baseline, 0, RONBUS_PUBLISHER_MAPPED)
PING_PONG(syscall_edge, RONBUS_F_EDGE_NOTIFY, 0)

FIXTURE_SETUP(ping_pong)
{
	int i;

	self->control = OPEN_CONTROL();
	for (i = 0; i < 2; i++) {
		self->bus[i] = bus_create(self->control,
					  (struct ronbus_create){ .features = variant->features,
								  .capacity = SLOTS,
								  .payload = LEN });
		ASSERT_LE(0, self->bus[i]);
	}
}

FIXTURE_TEARDOWN(ping_pong)
{
	close(self->bus[0]);
	close(self->bus[1]);
	close(self->control);
}

/* Sleep until there may be something. */
static int ping_pong_sleep(struct subscriber *s, int how, int event)
{
	struct pollfd p = { .events = POLLIN };
	u64 value;
	int ret;

	switch (how) {
	case BY_WAIT:
		return fd_wait(s->m.fd, RONBUS_WAIT_FOREVER);
	case BY_POLL:
		p.fd = s->m.fd;
		return poll(&p, 1, -1) < 0 ? -errno : 0;
	case BY_EVENTFD:
		ret = fd_arm(s->m.fd);
		if (ret)
			return ret < 0 ? ret : 0;
		return read(event, &value, sizeof(value)) < 0 ? -errno : 0;
	}
	return -ENOSYS;
}

/* Answer every number with the next, up to the end of the time; how many, or an error. */
static long ping_pong(struct publisher *p, struct subscriber *s, int how, bool spin, bool first,
		      u64 end)
{
	int event = eventfd(0, EFD_CLOEXEC), ret, looks = 0;
	struct message msg;
	u64 number = 0;

	if (event < 0 || (how == BY_EVENTFD && fd_set_eventfd(s->m.fd, event)))
		return -EBADF;
	if (first && publish_number(p, number++) != 1)
		return -EPIPE;
	for (;;) {
		if (how == BY_READ) {
			ret = subscriber_read_kernel(s, &msg);
		} else {
			ret = subscriber_read(s, &msg);
			if (ret == -EAGAIN) {
				if (spin && ++looks % 50)
					continue;
				ret = ping_pong_sleep(s, how, event);
				if (ret)
					return ret;
				continue;
			}
		}
		if (ret < 0)
			return ret;
		if (!ret) /* the other one's time was over first */
			return (long)number;
		if (msg.lost || (number && msg.position != SLOTS + number - first) ||
		    !message_whole(msg.data, msg.len, message_number(msg.data)))
			return -EPROTO;
		number++;
		if (now_ns() > end)
			return (long)number;
		if (publish_number(p, message_number(msg.data) + 1) != 1)
			return -EPIPE;
	}
}

TEST_F(ping_pong, soak)
{
	u64 end = now_ns() + SEC / 2;
	struct publisher p[2];
	struct subscriber s[2];
	long count;
	pid_t pid;
	int i;

	/* Joined before anything is said; each keeps its own half. */
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, subscriber_join(&s[i], self->bus[!i], RONBUS_START_LATEST, 0));
	}
	pid = fork();
	ASSERT_LE(0, pid);
	i = !pid;
	/* The mappings did not come along. */
	if (!pid) {
		ASSERT_EQ(0, member_map(&s[i].m, s[i].m.fd, PROT_READ));
	}
	close(s[!i].m.fd);
	ASSERT_EQ(0, publisher_join(&p[i], self->bus[i], variant->publisher));
	count = ping_pong(&p[i], &s[i], variant->how, variant->spin, !pid, end);
	publisher_leave(&p[i]);
	subscriber_leave(&s[i]);
	if (!pid)
		_exit(count > 0 ? 0 : 1);
	EXPECT_LT(0, count) TH_LOG("%ld", count);
	EXPECT_EQ(0, child_status(pid));
}

/*
 * The moment itself: in each round a message is published and a subscriber goes to sleep. Whoever
 * came first waits a little longer in the next round, give or take a few steps, so that the two
 * meet again and again, each instruction of the one with each of the other. One of them has to see
 * the other.
 */
FIXTURE(race)
{
	int control;
	int bus;
	struct publisher pub;
	struct subscriber s;
	u64 seed;
	u64 round; /* of the reader: the publisher may begin */
	u64 done; /* of the publisher */
	bool stop;
	int failed;
};

FIXTURE_VARIANT(race)
{
	u32 publisher;
	int how;
};

FIXTURE_VARIANT_ADD(race, mapped_arm){ RONBUS_PUBLISHER_MAPPED, BY_EVENTFD };
FIXTURE_VARIANT_ADD(race, mapped_poll){ RONBUS_PUBLISHER_MAPPED, BY_POLL };
FIXTURE_VARIANT_ADD(race, mapped_wait){ RONBUS_PUBLISHER_MAPPED, BY_WAIT };
FIXTURE_VARIANT_ADD(race, syscall_arm){ 0, BY_EVENTFD };
FIXTURE_VARIANT_ADD(race, syscall_wait){ 0, BY_WAIT };

FIXTURE_SETUP(race)
{
	self->control = OPEN_CONTROL();
	self->seed = random_seed();
	self->bus =
		bus_create(self->control, (struct ronbus_create){ .features = RONBUS_F_EDGE_NOTIFY,
								  .capacity = SLOTS,
								  .payload = LEN });
	ASSERT_LE(0, self->bus);
	ASSERT_EQ(0, publisher_join(&self->pub, self->bus, variant->publisher));
	ASSERT_EQ(0, subscriber_join(&self->s, self->bus, RONBUS_START_LATEST, 0));
}

FIXTURE_TEARDOWN(race)
{
	subscriber_leave(&self->s);
	publisher_leave(&self->pub);
	close(self->bus);
	close(self->control);
}

static void stagger(long steps)
{
	volatile long i;

	for (i = steps; i > 0; i--)
		;
}

/* To a CPU of its own, if there are two. */
static void settle(unsigned int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void *race_publisher(void *arg)
{
	FIXTURE_DATA(race) *self = arg;
	u64 round, last = 0;

	settle(1);
	while (!__atomic_load_n(&self->stop, __ATOMIC_ACQUIRE)) {
		round = __atomic_load_n(&self->round, __ATOMIC_ACQUIRE);
		if (round == last)
			continue;
		last = round;
		stagger(2000);
		if (publish_number(&self->pub, round) != 1)
			self->failed++;
		__atomic_store_n(&self->done, round, __ATOMIC_RELEASE);
	}
	return NULL;
}

TEST_F(race, publish_against_sleep)
{
	u64 random = self->seed, end = now_ns() + SEC * 6 / 10, round, waits = 0;
	struct pollfd p = { .fd = self->s.m.fd, .events = POLLIN };
	u64 first[2] = { 0 }; /* how often the publisher, and the subscriber */
	long delay = 2000, step = 8;
	bool last = false;
	pthread_t thread;

	settle(0);
	ASSERT_EQ(0, pthread_create(&thread, NULL, race_publisher, self));
	/* Until time is up, and until both have come first at least once. */
	for (round = 1; now_ns() < end || ((!first[0] || !first[1]) && now_ns() < end + WATCHDOG);
	     round++) {
		struct ronbus_stats stats;
		struct message msg;
		bool slept;
		int ready;

		__atomic_store_n(&self->round, round, __ATOMIC_RELEASE);
		random = random_next(random);
		stagger(delay + (long)(random >> 40) % 64);
		switch (variant->how) {
		case BY_EVENTFD:
			ready = fd_arm(self->s.m.fd);
			break;
		case BY_POLL:
			ready = poll(&p, 1, 0);
			break;
		default:
			/* Without limit: a lost wake-up ends in the harness's time-out. */
			ready = fd_wait(self->s.m.fd, RONBUS_WAIT_FOREVER) + 1;
			break;
		}
		ASSERT_TRUE(ready == 0 || ready == 1);
		ASSERT_TRUE(spin_until(__atomic_load_n(&self->done, __ATOMIC_ACQUIRE) == round));
		/* The message is there and its publisher is done: the subscriber is not armed any more. */
		ASSERT_FALSE(subscriber_armed(&self->s))
		TH_LOG("round %llu", (unsigned long long)round);
		ASSERT_EQ(1, subscriber_read(&self->s, &msg));
		ASSERT_TRUE(message_whole(msg.data, msg.len, round));

		slept = !ready;
		if (variant->how == BY_WAIT) {
			ASSERT_EQ(0, fd_stats(self->s.m.fd, 0, &stats));
			slept = stats.counters.waits_total != waits;
			waits = stats.counters.waits_total;
		}
		first[slept]++;
		/* Large steps until the two have met, small ones from there. */
		step = slept != last ? 8 : step < 4096 ? 2 * step : step;
		last = slept;
		delay += slept ? step : -step;
		if (delay < 0)
			delay = 0;
	}
	__atomic_store_n(&self->stop, true, __ATOMIC_RELEASE);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, self->failed);
	EXPECT_LT(0, first[0]);
	EXPECT_LT(0, first[1]);
	TH_LOG("first came the publisher %llu times, the subscriber %llu times",
	       (unsigned long long)first[0], (unsigned long long)first[1]);
}

TEST_HARNESS_MAIN
