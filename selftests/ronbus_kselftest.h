/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Helpers of the ronbus selftests: a publisher and a subscriber as plain as they can be, on the
 * ioctls and on ronbus_ring.h, so that what is tested is the module and not a library.
 *
 * Functions return -errno on failure, so that a test says which error it wants in one expression.
 */
#ifndef RONBUS_KSELFTEST_H
#define RONBUS_KSELFTEST_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ronbus.h"
#include "ronbus_ring.h"
#include "kselftest_harness.h"

#define DEVICE "/dev/ronbus"
#define SEC 1000000000ULL
/* How long a test waits for what must happen before it calls that a failure. */
#define WATCHDOG (20 * SEC)
#define POISON 0xcc
/* For one case. It must do for a debug kernel in an emulated machine; run.sh -t sets the pace. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 300

typedef __u64 u64;
typedef __u32 u32;

#define poison(thing) memset(&(thing), POISON, sizeof(thing))

/* Open the control device, or skip the test. */
#define OPEN_CONTROL()                                                           \
	({                                                                       \
		int __fd = open(DEVICE, O_RDWR | O_CLOEXEC);                     \
		if (__fd < 0 && (errno == ENOENT || errno == ENXIO))             \
			SKIP(return, "no %s: the module is not loaded", DEVICE); \
		ASSERT_LE(0, __fd);                                              \
		__fd;                                                            \
	})

static inline u64 clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (u64)ts.tv_sec * SEC + (u64)ts.tv_nsec;
}

static inline u64 now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static inline void nap(void)
{
	usleep(500);
}

/* Chance that can be repeated: a failing test prints its seed. */
static inline u64 random_seed(void)
{
	const char *given = getenv("RONBUS_SEED");

	return given ? strtoull(given, NULL, 0) : now_ns() | 1;
}

static inline u64 random_next(u64 random)
{
	return random * 6364136223846793005ULL + 1442695040888963407ULL;
}

/* How long a test of chance runs. */
static inline u64 test_seconds(u64 otherwise)
{
	const char *given = getenv("RONBUS_SECONDS");

	return given ? strtoull(given, NULL, 0) : otherwise;
}

/* Until @what is true; false if the watchdog came first. */
#define wait_until(what)                                     \
	({                                                   \
		u64 __end = now_ns() + WATCHDOG;             \
		bool __is;                                   \
		while (!(__is = (what)) && now_ns() < __end) \
			nap();                               \
		__is;                                        \
	})

/* The same for what is a matter of microseconds. */
#define spin_until(what)                                     \
	({                                                   \
		u64 __end = now_ns() + WATCHDOG;             \
		bool __is;                                   \
		while (!(__is = (what)) && now_ns() < __end) \
			;                                    \
		__is;                                        \
	})

static inline int do_ioctl(int fd, unsigned long cmd, const void *arg)
{
	int ret = ioctl(fd, cmd, arg);

	return ret < 0 ? -errno : ret;
}

/* The same ioctl for a program whose structure has @size bytes. */
static inline unsigned long cmd_sized(unsigned long cmd, unsigned int size)
{
	return (cmd & ~((unsigned long)_IOC_SIZEMASK << _IOC_SIZESHIFT)) |
	       (unsigned long)size << _IOC_SIZESHIFT;
}

#include "calls.h"

/* ---- mappings --------------------------------------------------------------------------- */

/**
 * struct member - an fd and what it maps
 * @fd: a publisher, subscriber or bus fd
 * @info: what RONBUS_IOC_INFO says
 * @page: the info mapping
 * @self: the fd's own page
 * @ring: view of the ring, if it is mapped
 */
struct member {
	int fd;
	struct ronbus_info info;
	const struct ronbus_info_page *page;
	struct ronbus_self *self;
	struct ronbus_ring ring;
};

static inline void *fd_map(int fd, size_t size, int prot, unsigned long offset)
{
	return mmap(NULL, size, prot, MAP_SHARED, fd, (off_t)offset);
}

/* @ring: protection of the ring mapping, 0 for none. */
static inline int member_map(struct member *m, int fd, int ring)
{
	void *p;
	int err;

	memset(m, 0, sizeof(*m));
	m->fd = fd;
	err = fd_info(fd, &m->info);
	if (err)
		return err;
	p = fd_map(fd, m->info.info_bytes, PROT_READ, RONBUS_MMAP_INFO);
	if (p == MAP_FAILED)
		return -errno;
	m->page = p;
	p = fd_map(fd, m->info.self_bytes, PROT_READ | PROT_WRITE, RONBUS_MMAP_SELF);
	if (p == MAP_FAILED)
		return -errno;
	m->self = p;
	if (!ring)
		return 0;
	p = fd_map(fd, m->info.ring_bytes, ring, RONBUS_MMAP_RING);
	if (p == MAP_FAILED)
		return -errno;
	ronbus_ring_view(&m->ring, p, m->info.capacity, m->info.payload, m->info.features);
	return 0;
}

static inline void member_unmap(struct member *m)
{
	if (m->ring.head)
		munmap(m->ring.head, m->info.ring_bytes);
	if (m->self)
		munmap(m->self, m->info.self_bytes);
	if (m->page)
		munmap((void *)m->page, m->info.info_bytes);
	m->ring.head = NULL;
	m->self = NULL;
	m->page = NULL;
}

static inline void count(__u64 *counter, u64 add)
{
	RB_WRITE(counter, RB_READ(counter) + add);
}

/* ---- a publisher ------------------------------------------------------------------------ */

/**
 * struct publisher - one that publishes through a mapping, or by system call
 * @m: its fd and mappings
 * @id: its number in the ring, 0 if it is not mapped
 * @next: on an exclusive bus where the next message goes
 * @notifies: notifications it asked for
 * @woken: subscribers they woke, as the kernel told
 */
struct publisher {
	struct member m;
	u32 id;
	u64 next;
	u64 notifies;
	u64 woken;
};

static inline int publisher_join(struct publisher *p, int bus, u32 flags)
{
	int fd, err;

	memset(p, 0, sizeof(*p));
	fd = fd_publisher(bus, flags, &p->id);
	if (fd < 0)
		return fd;
	err = member_map(&p->m, fd, flags & RONBUS_PUBLISHER_MAPPED ? PROT_READ | PROT_WRITE : 0);
	if (err) {
		close(fd);
		return err;
	}
	if (p->id)
		p->next = ronbus_ring_tail(&p->m.ring);
	return 0;
}

static inline void publisher_leave(struct publisher *p)
{
	member_unmap(&p->m);
	close(p->m.fd);
}

/* Take the next position: BUSY, and nobody else's. */
static inline int publisher_claim(struct publisher *p, struct ronbus_claim *claim)
{
	const struct ronbus_ring *ring = &p->m.ring;

	if (p->m.info.flags & RONBUS_BUS_EXCLUSIVE) {
		claim->pos = p->next++;
		ronbus_ring_begin(ring, claim->pos, p->id);
		return 0;
	}
	claim->stalls = 0;
	if (ronbus_ring_claim(ring, claim, p->id, 4 * ring->mask + 4096)) {
		count(&p->m.self->dropped, 1);
		return -EAGAIN;
	}
	return 0;
}

/*
 * Wake sleepers after the last message: the audience as it is now, since a subscriber that joined
 * meanwhile may have found the message being written, and sleep. And the one it is for, which
 * may not want the topic any more. And somebody may have all that he waits for, up to @next.
 */
static inline int publisher_wake(struct publisher *p, u32 topic, u64 audience, u64 next)
{
	u64 sleepers = ~0ULL;
	u32 woken;
	int err;

	if (p->m.info.features & RONBUS_F_EDGE_NOTIFY)
		sleepers = RB_LOAD_ACQUIRE(&p->m.page->armed);
	sleepers &= audience | RB_READ(&p->m.page->audience[topic]) | RB_READ(&p->m.page->blocked);
	if (!sleepers &&
	    !(p->m.info.features & RONBUS_F_COALESCE && next >= RB_READ(&p->m.page->wake_next)))
		return 0;
	RB_STEP(RONBUS_STEP_NOTIFYING);
	err = fd_notify(p->m.fd, sleepers, &woken);
	if (err)
		return err;
	p->notifies++;
	p->woken += woken;
	return 0;
}

/*
 * A message is given up. On the way to that, slots that are held were marked as passed by, and
 * a subscriber may sleep at one: it has something to look at now.
 */
static inline int publisher_gave_up(struct publisher *p)
{
	u64 sleepers = ~0ULL;
	u32 woken;

	RB_MB(); /* barrier D, with the marks in the place of a message */
	if (p->m.info.features & RONBUS_F_EDGE_NOTIFY)
		sleepers = RB_READ(&p->m.page->armed);
	if (sleepers && !fd_notify(p->m.fd, sleepers, &woken)) {
		p->notifies++;
		p->woken += woken;
	}
	return -EAGAIN;
}

/* Publish @n messages; how many were accepted, or an error if none was. */
static inline int publisher_send(struct publisher *p, u32 topic, const struct ronbus_vec *vec,
				 u32 n)
{
	const struct ronbus_ring *ring = &p->m.ring;
	struct ronbus_claim claim;
	u64 audience;
	u32 done;
	int err = 0;

	if (!p->id)
		return fd_publish(p->m.fd, topic, vec, n, NULL);

	audience = RB_LOAD_ACQUIRE(&p->m.page->audience[topic]);
	if (!audience) {
		count(&p->m.self->messages_for[0], n);
		return (int)n;
	}
	claim.pos = ronbus_ring_hint(ring);
	for (done = 0; done < n; done++) {
		err = publisher_claim(p, &claim);
		if (err) {
			err = publisher_gave_up(p);
			break;
		}
		ronbus_ring_write(ring, claim.pos, audience, topic,
				  (const void *)(uintptr_t)vec[done].data, vec[done].len);
		if (done == n - 1 && p->m.info.features & RONBUS_F_EDGE_NOTIFY)
			ronbus_ring_commit_last(ring, claim.pos, p->id);
		else
			ronbus_ring_commit(ring, claim.pos, p->id);
		claim.pos++;
		ronbus_ring_advance(ring, claim.pos);
	}
	if (!done)
		return err;
	if (done < n || !(p->m.info.features & RONBUS_F_EDGE_NOTIFY))
		RB_MB(); /* barrier D, which no commit_last() was */
	count(&p->m.self->messages_for[__builtin_popcountll(audience)], done);
	if (n > 1 && p->m.info.features & RONBUS_F_BATCH)
		count(&p->m.self->batch_len[31 - __builtin_clz(done)], 1);
	err = publisher_wake(p, topic, audience, claim.pos);
	return err ? err : (int)done;
}

/* Messages that can be told apart: 8 bytes of number, then bytes that follow from it. */
static inline void message_fill(void *buf, u32 len, u64 number)
{
	unsigned char *p = buf;
	u32 i;

	memcpy(p, &number, sizeof(number));
	for (i = sizeof(number); i < len; i++)
		p[i] = (unsigned char)(number * 31 + i);
}

static inline bool message_whole(const void *buf, u32 len, u64 number)
{
	const unsigned char *p = buf;
	u64 seen;
	u32 i;

	if (len < sizeof(seen))
		return false;
	memcpy(&seen, p, sizeof(seen));
	if (seen != number)
		return false;
	for (i = sizeof(seen); i < len; i++)
		if (p[i] != (unsigned char)(number * 31 + i))
			return false;
	return true;
}

static inline u64 message_number(const void *buf)
{
	u64 number;

	memcpy(&number, buf, sizeof(number));
	return number;
}

/* Publish numbers @first and on, @n of them, in batches of at most @batch. */
static inline long publish_numbers(struct publisher *p, u64 first, u64 n, u32 len, u32 batch)
{
	struct ronbus_vec *vec;
	unsigned char *data;
	long done = 0;
	u32 i, now;
	int ret;

	vec = calloc(batch, sizeof(*vec));
	data = calloc(batch, len);
	if (!vec || !data) {
		free(vec);
		free(data);
		return -ENOMEM;
	}
	while (n) {
		now = n < batch ? (u32)n : batch;
		for (i = 0; i < now; i++) {
			message_fill(data + (size_t)i * len, len, first + i);
			vec[i].data = (uintptr_t)(data + (size_t)i * len);
			vec[i].len = len;
		}
		ret = publisher_send(p, 0, vec, now);
		if (ret < 0) {
			done = done ? done : ret;
			break;
		}
		done += ret;
		first += (u32)ret;
		n -= (u32)ret;
		if ((u32)ret < now)
			break;
	}
	free(vec);
	free(data);
	return done;
}

static inline int publish_number(struct publisher *p, u64 number)
{
	unsigned char data[RONBUS_PAYLOAD_MAX];
	struct ronbus_vec vec = { .data = (uintptr_t)data, .len = p->m.info.payload };

	message_fill(data, vec.len, number);
	return publisher_send(p, 0, &vec, 1);
}

/* ---- a subscriber ----------------------------------------------------------------------- */

/**
 * struct subscriber - one that reads the mapped ring
 * @m: its fd and mappings; the cursor is in its own page
 * @index: its bit
 * @start: the position it began at
 */
struct subscriber {
	struct member m;
	u32 index;
	u64 start;
};

/**
 * struct message - what a subscriber got
 * @position: where it stood
 * @lost: positions lost since the message before
 * @len: bytes
 * @topic: its topic
 * @publisher: the number of its publisher
 * @time: when, with RONBUS_F_TIME; not filled in by subscriber_read_kernel()
 * @data: its bytes
 */
struct message {
	u64 position;
	u64 lost;
	u32 len;
	u32 topic;
	u32 publisher;
	u64 time;
	unsigned char data[RONBUS_PAYLOAD_MAX];
};

static inline int subscriber_join(struct subscriber *s, int bus, u32 start, u64 position)
{
	struct ronbus_subscribe args;
	int fd, err;

	memset(s, 0, sizeof(*s));
	fd = fd_subscribe(bus, start, position, &args);
	if (fd < 0)
		return fd;
	err = member_map(&s->m, fd, PROT_READ);
	if (err) {
		close(fd);
		return err;
	}
	s->index = args.index;
	s->start = args.position;
	return 0;
}

static inline void subscriber_leave(struct subscriber *s)
{
	member_unmap(&s->m);
	close(s->m.fd);
}

static inline u64 subscriber_cursor(const struct subscriber *s)
{
	return RB_READ(&s->m.self->cursor);
}

static inline bool subscriber_armed(const struct subscriber *s)
{
	return RB_READ(&s->m.page->armed) >> s->index & 1;
}

/* How often it has been armed to sleep. */
static inline u64 waits_total(const struct subscriber *s)
{
	struct ronbus_stats stats;

	return fd_stats(s->m.fd, s->index, &stats) ? ~0ULL : stats.counters.waits_total;
}

/* 1 with a message, 0 at the end of the bus, -EAGAIN if there is none now. */
static inline int subscriber_read(struct subscriber *s, struct message *msg)
{
	const struct ronbus_ring *ring = &s->m.ring;
	struct ronbus_self *self = s->m.self;
	u64 pos = RB_READ(&self->cursor);
	union ronbus_found found;
	bool ended = false;

	msg->lost = 0;
	for (;;) {
		const struct ronbus_words at = ronbus_ring_at(ring, pos);

		switch (ronbus_ring_look(ring, pos, &found)) {
		case RONBUS_LOOK_EMPTY:
			if (ended)
				return 0;
			/* A message may have come before the end did. */
			ended = RB_LOAD_ACQUIRE(&s->m.page->status) & RONBUS_STATUS_ENDED;
			if (!ended)
				return -EAGAIN;
			continue;
		case RONBUS_LOOK_HOLE:
			count(&self->holes, 1);
			RB_WRITE(&self->cursor, ++pos);
			continue;
		case RONBUS_LOOK_LAGGED:
			count(&self->lags, 1);
			count(&self->lost, found.next - pos);
			msg->lost += found.next - pos;
			pos = found.next;
			RB_WRITE(&self->cursor, pos);
			continue;
		case RONBUS_LOOK_READY:
			break;
		}
		msg->position = pos;
		msg->len = ronbus_words_len(&at, found.seen);
		msg->topic = ronbus_words_topic(&at, found.seen);
		msg->publisher = ronbus_state_owner(found.seen.state);
		msg->time = ronbus_words_time(ring, &at, found.seen);
		if (msg->len <= ring->payload)
			ronbus_copy_out(msg->data, ronbus_words_payload(&at, found.seen), msg->len);
		if (!ronbus_ring_unchanged(ring, pos, found.seen))
			continue;
		count(&self->delivered, 1);
		RB_WRITE(&self->cursor, pos + 1);
		return 1;
	}
}

/* The same by read(2), which must have room for no more than one message. */
static inline int subscriber_read_kernel(struct subscriber *s, struct message *msg)
{
	struct {
		struct ronbus_record head;
		unsigned char data[RONBUS_PAYLOAD_MAX];
	} buf;
	long ret;

	poison(buf);
	ret = fd_read(s->m.fd, &buf, sizeof(buf.head) + s->m.info.payload);
	if (ret <= 0)
		return (int)ret;
	if (ret < (long)sizeof(buf.head) || buf.head.len > s->m.info.payload ||
	    ret != (long)(sizeof(buf.head) + ((buf.head.len + 7) & ~7U)))
		return -EPROTO;
	msg->position = buf.head.position;
	msg->lost = buf.head.lost;
	msg->len = buf.head.len;
	msg->topic = buf.head.topic;
	msg->publisher = buf.head.publisher;
	memcpy(msg->data, buf.data, buf.head.len);
	return 1;
}

/* Positions passed = delivered + filtered + holes + lost. */
static inline bool subscriber_identity(const struct subscriber *s)
{
	const struct ronbus_self *self = s->m.self;

	return RB_READ(&self->cursor) - s->start ==
	       RB_READ(&self->delivered) + RB_READ(&self->filtered) + RB_READ(&self->holes) +
		       RB_READ(&self->lost);
}

#include "machine.h"

#endif /* RONBUS_KSELFTEST_H */
