/* SPDX-License-Identifier: GPL-2.0 */
/* A sleeper in a thread, by each way to wait. */
#ifndef RONBUS_WAIT_TEST_H
#define RONBUS_WAIT_TEST_H

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

static inline void *sleeper_main(void *arg)
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

static inline int sleeper_start(struct sleeper *s)
{
	s->tid = 0;
	s->done = false;
	s->ret = -1000;
	if (!s->deadline)
		s->deadline = RONBUS_WAIT_FOREVER;
	return pthread_create(&s->thread, NULL, sleeper_main, s);
}

static inline bool sleeper_done(struct sleeper *s)
{
	return __atomic_load_n(&s->done, __ATOMIC_SEQ_CST);
}

/* It has got to the kernel, and sleeps there for the bus. */
static inline bool sleeper_sleeps(struct sleeper *s)
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
static inline int sleeper_prepare(struct sleeper *sleeper, int how, struct subscriber *s)
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

#endif /* RONBUS_WAIT_TEST_H */
