// SPDX-License-Identifier: GPL-2.0
/*
 * Members that mean harm: what they cannot do, and which others they cannot reach. While each of
 * them tries, another bus runs beside it whose subscriber accounts for every position: on that bus
 * nothing may happen at all. On their own bus there may happen what ronbus(7) says under "Trust".
 */
#include <sys/prctl.h>

#include "hostile.h"

/* ---- a publisher that scribbles --------------------------------------------------------- */

/* Words that hurt more than chance does. */
static u64 evil_word(u64 *random, u64 near)
{
	u64 lap = near / SLOTS;

	*random = random_next(*random);
	switch (*random >> 60) {
	case 0:
		return 0;
	case 1:
		return ~0ULL;
	case 2:
		return RONBUS_STATE(lap + (*random >> 40) % 3, *random >> 33, RONBUS_KIND_READY);
	case 3:
		return RONBUS_STATE(lap + (*random >> 40) % 3, *random >> 33, RONBUS_KIND_BUSY);
	case 4:
		return RONBUS_STATE(lap + (*random >> 40) % 3, *random >> 33, RONBUS_KIND_HOLE);
	case 5:
		return near + (*random >> 40) % (2 * SLOTS);
	case 6:
		return 1ULL << (*random >> 40) % 64;
	}
	return *random ^ *random << 32;
}

struct scribbles {
	u64 words;
	u64 published;
	u64 refused;
	u64 read;
};

static void scribble_for_ever(int bus, u64 random, struct scribbles *done)
{
	struct publisher p;
	u64 *ring, *page, n;

	if (publisher_join(&p, bus, RONBUS_PUBLISHER_MAPPED))
		_exit(77);
	ring = (u64 *)p.m.ring.head;
	page = (u64 *)p.m.self;
	for (n = 0;; n++) {
		u64 near = RB_READ(ring), word = evil_word(&random, near);
		size_t at = (random >> 20) % (p.m.info.ring_bytes / 8);

		RB_WRITE(&ring[at], word);
		RB_WRITE(&page[(random >> 36) % (PAGE / 8)], word);
		if (n % 64 == 0)
			RB_WRITE(&ring[0], word);
		if (n % 1024 == 0)
			fd_notify(p.m.fd, word, NULL);
		__atomic_fetch_add(&done->words, 2, __ATOMIC_RELAXED);
	}
}

/* An honest publisher: what it may be told is that it went through, or was dropped. */
static void publish_honestly(int bus, u32 flags, struct scribbles *done)
{
	struct publisher p;
	u64 i;

	if (publisher_join(&p, bus, flags))
		_exit(77);
	for (i = 0;; i++) {
		int ret = publish_number(&p, i);

		if (ret != 1 && ret != -EAGAIN)
			_exit(78);
		__atomic_fetch_add(ret == 1 ? &done->published : &done->refused, 1,
				   __ATOMIC_RELAXED);
	}
}

/* Honest subscribers: what they read fits where it goes, and no call is stuck. */
static void read_honestly(int bus, int way, struct scribbles *done)
{
	struct pollfd poll_fd = { .events = POLLIN };
	struct {
		struct message msg;
		unsigned char fence[64];
	} room;
	unsigned char fence[64];
	struct subscriber s;
	u64 i;

	poison(fence);
	poison(room.fence);
	if (subscriber_join(&s, bus, RONBUS_START_LATEST, 0))
		_exit(77);
	poll_fd.fd = s.m.fd;
	fd_nonblock(s.m.fd);
	for (i = 0;; i++) {
		struct ronbus_stats stats;
		int ret;

		if (way == 0) {
			u64 pos = subscriber_cursor(&s);
			union ronbus_found found;

			/* One look at a time: a whole subscriber_read() may have no end here. */
			ret = ronbus_ring_look(&s.m.ring, pos, &found);
			if (ret == RONBUS_LOOK_READY || ret == RONBUS_LOOK_HOLE)
				found.next = pos + 1;
			if (ret != RONBUS_LOOK_EMPTY)
				RB_WRITE(&s.m.self->cursor, found.next);
		} else {
			ret = subscriber_read_kernel(&s, &room.msg);
			if (ret != 1 && ret != -EAGAIN)
				_exit(78);
			if (ret == 1 && (room.msg.len > LEN || room.msg.topic > 63))
				_exit(79);
		}
		ret = fd_wait(s.m.fd, now_ns() + 1000);
		if (ret && ret != -ETIMEDOUT)
			_exit(80);
		if (poll(&poll_fd, 1, 0) < 0 || fd_stats(s.m.fd, s.index, &stats) ||
		    memcmp(fence, room.fence, sizeof(fence)))
			_exit(81);
		__atomic_fetch_add(&done->read, 1, __ATOMIC_RELAXED);
	}
}

TEST_F_TIMEOUT(hostile, scribbling_publisher, 14400)
{
	u64 end = now_ns() + test_seconds(2) * SEC, random = self->seed, lives = 0, n;
	struct scribbles *done = shared_memory(sizeof(*done));
	struct ronbus_stats stats;
	struct publisher last;
	struct subscriber s;
	struct message msg;
	pid_t evil[2], honest[4];
	int k;

	ASSERT_NE(NULL, done);
	for (k = 0; k < 4; k++) {
		honest[k] = fork();
		ASSERT_LE(0, honest[k]);
		if (!honest[k] && k < 2)
			publish_honestly(self->bus, k ? 0 : RONBUS_PUBLISHER_MAPPED, done);
		if (!honest[k])
			read_honestly(self->bus, k - 2, done);
	}
	while (now_ns() < end) {
		for (k = 0; k < 2; k++) {
			random = random_next(random);
			evil[k] = fork();
			ASSERT_LE(0, evil[k]);
			if (!evil[k])
				scribble_for_ever(self->bus, random, done);
			lives++;
		}
		usleep(20000 + (random >> 40) % 200000);
		for (k = 0; k < 2; k++) {
			ASSERT_EQ(0, kill(evil[k], SIGKILL));
			ASSERT_EQ(-SIGKILL, child_status(evil[k]));
		}
	}
	/* Each of the honest ones goes on: no call that does not return. */
	n = __atomic_load_n(&done->read, __ATOMIC_RELAXED);
	EXPECT_TRUE(wait_until(__atomic_load_n(&done->read, __ATOMIC_RELAXED) > n + 10));
	n = __atomic_load_n(&done->published, __ATOMIC_RELAXED) +
	    __atomic_load_n(&done->refused, __ATOMIC_RELAXED);
	EXPECT_TRUE(wait_until(__atomic_load_n(&done->published, __ATOMIC_RELAXED) +
				       __atomic_load_n(&done->refused, __ATOMIC_RELAXED) >
			       n + 10));
	for (k = 0; k < 4; k++) {
		int status;

		EXPECT_EQ(0, waitpid(honest[k], &status, WNOHANG));
		ASSERT_EQ(0, kill(honest[k], SIGKILL));
		EXPECT_EQ(-SIGKILL, child_status(honest[k])) TH_LOG("honest member %d", k);
	}
	/* What the ring says may be nonsense for ever; whoever is new gets an answer all the same. */
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(0, stats.publishers);
	EXPECT_EQ(0, stats.subscribers);
	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_LATEST, 0));
	ASSERT_EQ(0, fd_nonblock(s.m.fd));
	ASSERT_EQ(0, publisher_join(&last, self->bus, 0));
	for (n = 0; n < 3 * SLOTS; n++) {
		int ret = publish_number(&last, n);

		EXPECT_TRUE(ret == 1 || ret == -EAGAIN);
		ret = subscriber_read_kernel(&s, &msg);
		EXPECT_TRUE(ret == 1 || ret == -EAGAIN);
	}
	publisher_leave(&last);
	subscriber_leave(&s);
	TH_LOG("seed %llu: %llu words scribbled in %llu lives, %llu published, %llu refused, "
	       "%llu reads, %llu received beside, %llu lost",
	       (unsigned long long)self->seed, (unsigned long long)done->words,
	       (unsigned long long)lives, (unsigned long long)done->published,
	       (unsigned long long)done->refused, (unsigned long long)done->read,
	       (unsigned long long)self->witness->received,
	       (unsigned long long)self->witness->lost);
}

/* ---- a subscriber with a cursor that is not there --------------------------------------- */

static void wander_for_ever(int bus, u64 random, u64 *calls)
{
	struct subscriber s;
	char buf[4096];
	u64 *page, i;

	if (subscriber_join(&s, bus, RONBUS_START_LATEST, 0))
		_exit(77);
	fd_nonblock(s.m.fd);
	page = (u64 *)s.m.self;
	for (i = 0;; i++) {
		struct ronbus_stats stats;
		u64 tail = ronbus_ring_tail(&s.m.ring), cursor;

		random = random_next(random);
		switch ((random >> 40) % 6) {
		case 0:
			cursor = ~0ULL - (random >> 60);
			break;
		case 1:
			cursor = (random >> 60) * SLOTS;
			break;
		case 2:
			cursor = tail + i; /* running ahead */
			break;
		case 3:
			cursor = tail - i; /* and away */
			break;
		case 4:
			cursor = 1ULL << (random >> 50) % 64;
			break;
		default:
			cursor = random;
		}
		RB_WRITE(&page[0], cursor);
		RB_WRITE(&page[1 + (random >> 20) % (PAGE / 8 - 1)], cursor);
		switch (i % 6) {
		case 0:
			(void)fd_read(s.m.fd, buf, sizeof(buf));
			break;
		case 1:
			(void)fd_poll(s.m.fd, POLLIN);
			break;
		case 2:
			fd_wait(s.m.fd, 0);
			break;
		case 3:
			fd_arm(s.m.fd);
			break;
		case 4:
			fd_stats(s.m.fd, s.index, &stats);
			break;
		case 5:
			fd_wait(s.m.fd, now_ns() + 100000);
			break;
		}
		__atomic_fetch_add(calls, 1, __ATOMIC_RELAXED);
	}
}

/* Arm, and disarm by looking, as fast as it goes. */
static void arm_for_ever(int bus, u64 *calls)
{
	struct subscriber s;

	if (subscriber_join(&s, bus, RONBUS_START_LATEST, 0))
		_exit(77);
	for (;;) {
		u64 at = subscriber_cursor(&s);

		fd_arm(s.m.fd);
		RB_WRITE(&s.m.self->cursor, at - 1);
		fd_arm(s.m.fd);
		RB_WRITE(&s.m.self->cursor, ronbus_ring_tail(&s.m.ring));
		__atomic_fetch_add(calls, 1, __ATOMIC_RELAXED);
	}
}

/* Notify everybody, whoever there is. */
static void notify_for_ever(int bus, u64 *calls)
{
	struct publisher p;

	if (publisher_join(&p, bus, 0))
		_exit(77);
	for (;;) {
		if (fd_notify(p.m.fd, ~0ULL, NULL))
			_exit(78);
		__atomic_fetch_add(calls, 1, __ATOMIC_RELAXED);
	}
}

/*
 * None of these three can write the ring: what honest members of the same bus see is exact. What
 * they do costs system calls, and those are counted.
 */
TEST_F_TIMEOUT(hostile, members_that_write_nothing, 14400)
{
	u64 *calls = shared_memory(PAGE), n = 0, end, notifies;
	struct ronbus_stats before, stats;
	struct publisher pubs[2];
	struct subscriber s;
	struct message msg;
	pid_t evil[3];
	int k;

	ASSERT_NE(NULL, calls);
	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_LATEST, 0));
	ASSERT_EQ(0, publisher_join(&pubs[0], self->bus, RONBUS_PUBLISHER_MAPPED));
	ASSERT_EQ(0, publisher_join(&pubs[1], self->bus, 0));
	for (k = 0; k < 3; k++) {
		evil[k] = fork();
		ASSERT_LE(0, evil[k]);
		if (!evil[k] && k == 0)
			wander_for_ever(self->bus, self->seed, &calls[0]);
		if (!evil[k] && k == 1)
			arm_for_ever(self->bus, &calls[1]);
		if (!evil[k])
			notify_for_ever(self->bus, &calls[2]);
	}
	for (k = 0; k < 3; k++) {
		ASSERT_TRUE(wait_until(__atomic_load_n(&calls[k], __ATOMIC_RELAXED) > 100));
	}
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &before));
	end = now_ns() + test_seconds(1) * SEC;
	do {
		ASSERT_EQ(1, publish_number(&pubs[n % 2], n));
		/* Asleep or not, in turns. */
		if (n % 4 == 3) {
			ASSERT_EQ(0, fd_wait(s.m.fd, now_ns() + WATCHDOG));
		}
		ASSERT_EQ(1, subscriber_read(&s, &msg));
		ASSERT_TRUE(message_whole(msg.data, msg.len, n));
		ASSERT_EQ(SLOTS + n, msg.position);
		ASSERT_EQ(0, msg.lost);
		ASSERT_EQ(-EAGAIN, subscriber_read(&s, &msg));
		n++;
	} while (now_ns() < end);
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	for (k = 0; k < 3; k++) {
		ASSERT_EQ(0, kill(evil[k], SIGKILL));
		EXPECT_EQ(-SIGKILL, child_status(evil[k])) TH_LOG("member %d", k);
	}
	EXPECT_EQ(n, s.m.self->delivered);
	EXPECT_EQ(0, s.m.self->lost + s.m.self->holes + s.m.self->filtered);
	EXPECT_TRUE(subscriber_identity(&s));
	/* The rate of the storm can be seen: each call is counted, by the kernel. */
	EXPECT_LT(before.counters.notify_calls_total, stats.counters.notify_calls_total);
	EXPECT_LT(before.counters.waits_total, stats.counters.waits_total);
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	notifies = stats.counters.notify_calls_total - pubs[0].notifies;
	EXPECT_LE(calls[2], notifies);
	EXPECT_GE(calls[2] + 1, notifies);
	TH_LOG("%llu messages exact; %llu calls with a wild cursor, %llu arms, %llu notifications",
	       (unsigned long long)n, (unsigned long long)calls[0],
	       (unsigned long long)(2 * calls[1]), (unsigned long long)calls[2]);
	publisher_leave(&pubs[0]);
	publisher_leave(&pubs[1]);
	subscriber_leave(&s);
}

/* One NOTIFY wakes each subscriber there is at most once, and of those that sleep only. */
TEST_F(hostile, a_storm_wakes_whom_it_may)
{
	static struct subscriber subs[RONBUS_SUBSCRIBERS_MAX];
	struct ronbus_stats stats;
	struct publisher p;
	u32 woken;
	int i, k;

	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++) {
		ASSERT_EQ(0, subscriber_join(&subs[i], self->bus, RONBUS_START_LATEST, 0));
	}
	ASSERT_EQ(0, publisher_join(&p, self->bus, 0));
	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i += 2) {
		ASSERT_EQ(0, fd_arm(subs[i].m.fd));
	}
	for (k = 0; k < 100; k++) {
		ASSERT_EQ(0, fd_notify(p.m.fd, ~0ULL, &woken));
		ASSERT_EQ(k ? 0 : RONBUS_SUBSCRIBERS_MAX / 2, woken);
	}
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(100, stats.counters.notify_calls_total);
	EXPECT_EQ(RONBUS_SUBSCRIBERS_MAX / 2, stats.counters.notify_sends_total);
	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++)
		subscriber_leave(&subs[i]);
	publisher_leave(&p);
}

/* ---- a stranger ------------------------------------------------------------------------- */

static int map_ids(uid_t uid)
{
	char text[64];

	if (write_file("/proc/self/setgroups", "deny"))
		return -1;
	snprintf(text, sizeof(text), "0 %u 1", uid);
	return write_file("/proc/self/uid_map", text) | write_file("/proc/self/gid_map", text);
}

#define STRANGER 4711

/* Root in namespaces of its own, and nobody outside; it was passed fds, and wants more. */
static int be_a_stranger(struct __test_metadata *_metadata, int control, int bus, int sub)
{
	struct ronbus_info info;
	int fd;

	if (setresgid(STRANGER, STRANGER, STRANGER) || setresuid(STRANGER, STRANGER, STRANGER))
		return 77;
	prctl(PR_SET_DUMPABLE, 1); /* or its own files in /proc are not its own */
	if (unshare(CLONE_NEWUSER | CLONE_NEWIPC | CLONE_NEWNS) || map_ids(STRANGER))
		return 78;
	/* The name is in another namespace, the device is closed to it, its root is worth nothing. */
	EXPECT_EQ(-1, open(DEVICE, O_RDWR));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-ENOENT, bus_attach(control, "hostile-test", RONBUS_ACCESS_SUBSCRIBE));
	EXPECT_EQ(-EPERM, fd_publisher(bus, RONBUS_PUBLISHER_MAPPED, NULL));
	EXPECT_EQ(-ENOTTY, fd_publisher(sub, 0, NULL));
	EXPECT_EQ(-ENOTTY, bus_seal(sub));
	EXPECT_EQ(MAP_FAILED, fd_map(sub, 4096, PROT_READ | PROT_WRITE, RONBUS_MMAP_INFO));
	/* What it was passed works, with the access it has. */
	EXPECT_EQ(0, fd_info(sub, &info));
	EXPECT_EQ(-ETIMEDOUT, fd_wait(sub, 0));
	fd = fd_publisher(bus, 0, NULL);
	EXPECT_LE(0, fd);
	return 0;
}

TEST_F(hostile, a_stranger_with_fds)
{
	int bus = CREATE(.name = "hostile-test", .flags = RONBUS_BUS_PERSISTENT, .mode = 0666);
	int reader, status;
	struct subscriber s;
	pid_t pid;

	ASSERT_LE(0, bus);
	reader = bus_attach(self->control, "hostile-test", RONBUS_ACCESS_SUBSCRIBE);
	ASSERT_LE(0, reader);
	EXPECT_EQ(-EACCES, fd_publisher(reader, 0, NULL));
	EXPECT_EQ(-EACCES, bus_seal(reader));
	ASSERT_EQ(0, subscriber_join(&s, reader, RONBUS_START_LATEST, 0));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(be_a_stranger(_metadata, self->control, bus, s.m.fd));
	status = child_status(pid);
	subscriber_leave(&s);
	close(reader);
	close(bus);
	if (status == 78)
		SKIP(return, "no user namespaces here");
	EXPECT_EQ(0, status);
}

/* ---- one that takes all there is -------------------------------------------------------- */

/* In a group of 16 MB: buses until there is no more, with an error and not with a death. */
static int take_all(int control, int *buses, int most)
{
	int n, fd;

	for (n = 0; n < most; n++) {
		fd = bus_create(control,
				(struct ronbus_create){ .capacity = 1 << 14, .payload = 64 });
		if (fd < 0)
			return fd == -ENOMEM && n > 2 ? n : -1000 + fd;
		buses[n] = fd;
	}
	return -1;
}

TEST_F(hostile, memory_of_a_group)
{
	char group[64], path[128];
	int i;

	if (cgroup_make(group, sizeof(group), "hostile-test", 16 << 20))
		SKIP(return, "no memory groups here");
	for (i = 0; i < 3; i++) {
		pid_t pid = fork();

		ASSERT_LE(0, pid);
		if (!pid) {
			int buses[64], n, k;

			if (cgroup_enter(group))
				_exit(77);
			n = take_all(self->control, buses, 64);
			if (n < 3)
				_exit(78);
			/* What it gives back it can have again, all of it. */
			for (k = 0; k < n; k++)
				close(buses[k]);
			_exit(take_all(self->control, buses, 64) >= n - 1 ? 0 : 79);
		}
		EXPECT_EQ(0, child_status(pid));
	}
	snprintf(path, sizeof(path), "%s/memory.current", group);
	EXPECT_TRUE(wait_until(read_number(path) < 2 << 20)) TH_LOG("%ld", read_number(path));
	EXPECT_EQ(0, cgroup_remove(group));
}

/* No fd left: at each of the calls that make one, and nothing stays of what was begun. */
TEST_F(hostile, fds)
{
	struct rlimit old, limit;
	struct ronbus_info info;
	int k;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &old));
	limit = old;
	limit.rlim_cur = (rlim_t)fd_next();
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	for (k = 0; k < 100; k++) {
		EXPECT_EQ(-EMFILE, CREATE(.name = "hostile-fds"));
		EXPECT_EQ(-EMFILE, fd_publisher(self->bus, RONBUS_PUBLISHER_MAPPED, NULL));
		EXPECT_EQ(-EMFILE, fd_subscribe(self->bus, RONBUS_START_LATEST, 0, NULL));
	}
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));
	EXPECT_EQ(-ENOENT, bus_attach(self->control, "hostile-fds", RONBUS_ACCESS_SUBSCRIBE));
	ASSERT_EQ(0, fd_info(self->bus, &info));
	EXPECT_EQ(0, info.publishers);
	EXPECT_EQ(0, info.subscribers);
	EXPECT_EQ(0, info.status);
}

TEST_HARNESS_MAIN
