// SPDX-License-Identifier: GPL-2.0
/*
 * Sleeping and waking: WAIT, read, poll, select, epoll, eventfd; which one is woken, and how often.
 */
#include "wait.h"

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

TEST_HARNESS_MAIN
