// SPDX-License-Identifier: GPL-2.0
/*
 * Every way in which a member can go: what it held is given back, and subscribers may be asleep.
 */
#include "death.h"

/* ---- other ways to go ------------------------------------------------------------------- */

FIXTURE(gone)
{
	int control;
	int bus;
	struct subscriber s;
};

FIXTURE_SETUP(gone)
{
	self->control = OPEN_CONTROL();
	self->bus =
		bus_create(self->control, (struct ronbus_create){ .flags = RONBUS_BUS_PERSISTENT,
								  .features = RONBUS_F_EDGE_NOTIFY,
								  .capacity = SLOTS,
								  .payload = LEN });
	ASSERT_LE(0, self->bus);
	ASSERT_EQ(0, subscriber_join(&self->s, self->bus, RONBUS_START_LATEST, 0));
}

FIXTURE_TEARDOWN(gone)
{
	subscriber_leave(&self->s);
	close(self->bus);
	close(self->control);
}

static int hold(struct publisher *p, int n)
{
	while (n--) {
		struct ronbus_claim claim = { .pos = ronbus_ring_hint(&p->m.ring) };

		if (publisher_claim(p, &claim))
			return -EAGAIN;
		ronbus_ring_advance(&p->m.ring, claim.pos + 1);
	}
	return 0;
}

/* Whatever way the memory goes, the slots come back, every one. */
TEST_F(gone, every_way)
{
	enum {
		KILL,
		EXIT,
		CRASH,
		EXEC,
		UNMAP,
		CLOSE_AND_EXIT,
		WAYS
	} way;
	struct ronbus_stats stats;
	struct publisher next;
	struct message msg;
	u64 repairs = 0, n = 0;
	int slots;

	for (way = 0; way < WAYS; way++) {
		for (slots = 1; slots <= (int)SLOTS; slots += 3) {
			pid_t pid = fork();
			struct publisher p;

			ASSERT_LE(0, pid);
			if (!pid) {
				if (publisher_join(&p, self->bus, RONBUS_PUBLISHER_MAPPED) ||
				    hold(&p, slots))
					_exit(77);
				switch (way) {
				case KILL:
					raise(SIGKILL);
					break;
				case CRASH:
					raise(SIGSEGV);
					break;
				case EXEC:
					/* Anything that ends; its fds do not come along. */
					dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
					dup2(STDOUT_FILENO, STDERR_FILENO);
					execl("/proc/self/exe", "death_test", "-h", NULL);
					break;
				case UNMAP:
					munmap(p.m.ring.head, p.m.info.ring_bytes);
					break;
				case CLOSE_AND_EXIT:
					close(p.m.fd);
					break;
				default:
					break;
				}
				_exit(0);
			}
			ASSERT_NE(77, child_status(pid));
			repairs += (u64)slots;
			ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
			EXPECT_EQ(repairs, stats.counters.repairs_total)
			TH_LOG("way %d, %d slots", way, slots);
			EXPECT_EQ(0, stats.publishers);
			ASSERT_EQ(0, publisher_join(&next, self->bus, RONBUS_PUBLISHER_MAPPED));
			ASSERT_EQ(1, publish_number(&next, n));
			publisher_leave(&next);
			ASSERT_EQ(1, subscriber_read(&self->s, &msg));
			EXPECT_TRUE(message_whole(msg.data, msg.len, n));
			n++;
		}
	}
	EXPECT_TRUE(subscriber_identity(&self->s));
	EXPECT_EQ(repairs, self->s.m.self->holes + self->s.m.self->lost);
}

/*
 * A hole is something to look at, and nothing to read. With EDGE_NOTIFY those that sleep are told of
 * it, else everybody.
 */
TEST_F(gone, hole)
{
	const u64 features[] = { RONBUS_F_EDGE_NOTIFY, 0 };
	char buf[sizeof(struct ronbus_record) + LEN];
	struct ronbus_stats stats;
	struct publisher p;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(features); i++) {
		struct subscriber asleep, awake;
		int bus;

		bus = bus_create(self->control,
				 (struct ronbus_create){ .flags = RONBUS_BUS_PERSISTENT,
							 .features = features[i],
							 .capacity = SLOTS,
							 .payload = LEN });
		ASSERT_LE(0, bus);
		ASSERT_EQ(0, subscriber_join(&asleep, bus, RONBUS_START_LATEST, 0));
		ASSERT_EQ(0, subscriber_join(&awake, bus, RONBUS_START_LATEST, 0));
		ASSERT_EQ(0, publisher_join(&p, bus, RONBUS_PUBLISHER_MAPPED));
		ASSERT_EQ(0, hold(&p, 1));
		EXPECT_EQ(-ETIMEDOUT, fd_wait(awake.m.fd, 0));
		ASSERT_EQ(0, fd_notify(p.m.fd, 2, NULL));
		EXPECT_EQ(0, fd_arm(asleep.m.fd));
		EXPECT_EQ(1, RB_READ(&asleep.m.page->armed));
		publisher_leave(&p);
		EXPECT_EQ(0, RB_READ(&asleep.m.page->armed));
		ASSERT_EQ(0, fd_stats(bus, 0, &stats));
		EXPECT_EQ(1, stats.counters.wakes_total[RONBUS_WAKE_REPAIR]);
		ASSERT_EQ(0, fd_stats(bus, 1, &stats));
		EXPECT_EQ(!features[i], stats.counters.wakes_total[RONBUS_WAKE_REPAIR]);

		EXPECT_EQ(0, fd_wait(asleep.m.fd, 0));
		EXPECT_EQ(1, fd_arm(asleep.m.fd));
		EXPECT_EQ(POLLIN, fd_poll(asleep.m.fd, POLLIN));
		ASSERT_EQ(0, fd_nonblock(asleep.m.fd));
		EXPECT_EQ(-EAGAIN, fd_read(asleep.m.fd, buf, sizeof(buf)));
		EXPECT_EQ(-ETIMEDOUT, fd_wait(asleep.m.fd, 0));
		EXPECT_EQ(0, fd_poll(asleep.m.fd, POLLIN));
		EXPECT_EQ(1, asleep.m.self->holes);
		EXPECT_TRUE(subscriber_identity(&asleep));
		subscriber_leave(&asleep);
		subscriber_leave(&awake);
		close(bus);
	}
}

/* A whole lap held by one that dies: the next one can publish at once. */
TEST_F(gone, with_every_slot)
{
	struct publisher p, other;
	struct ronbus_stats stats;
	struct message msg;

	ASSERT_EQ(0, publisher_join(&p, self->bus, RONBUS_PUBLISHER_MAPPED));
	ASSERT_EQ(0, publisher_join(&other, self->bus, RONBUS_PUBLISHER_MAPPED));
	ASSERT_EQ(0, hold(&p, SLOTS));
	EXPECT_EQ(0, fd_arm(self->s.m.fd));
	/* A publisher gives up: it has overtaken the subscriber, and wakes it. */
	EXPECT_EQ(-EAGAIN, publish_number(&other, 1));
	EXPECT_FALSE(subscriber_armed(&self->s));
	EXPECT_EQ(-EAGAIN, subscriber_read(&self->s, &msg));
	EXPECT_EQ(0, fd_arm(self->s.m.fd));
	member_unmap(&p.m);
	EXPECT_FALSE(subscriber_armed(&self->s));
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(SLOTS, stats.counters.repairs_total);
	EXPECT_EQ(1, stats.counters.wakes_total[RONBUS_WAKE_REPAIR]);
	EXPECT_EQ(1, publish_number(&other, 2));
	ASSERT_EQ(1, subscriber_read(&self->s, &msg));
	EXPECT_TRUE(message_whole(msg.data, msg.len, 2));
	EXPECT_TRUE(subscriber_identity(&self->s));
	publisher_leave(&other);
	close(p.m.fd);
}

/* What another one holds is none of the dead one's business. */
TEST_F(gone, others_keep_theirs)
{
	unsigned char data[LEN];
	struct publisher a, b;
	struct ronbus_claim claims[4];
	struct ronbus_stats stats;
	struct message msg;
	int i;

	ASSERT_EQ(0, publisher_join(&a, self->bus, RONBUS_PUBLISHER_MAPPED));
	ASSERT_EQ(0, publisher_join(&b, self->bus, RONBUS_PUBLISHER_MAPPED));
	for (i = 0; i < 4; i++) {
		claims[i].pos = ronbus_ring_hint(&a.m.ring);
		ASSERT_EQ(0, publisher_claim(i % 2 ? &a : &b, &claims[i]));
		ronbus_ring_advance(&a.m.ring, claims[i].pos + 1);
	}
	publisher_leave(&a);
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(2, stats.counters.repairs_total);
	for (i = 0; i < 4; i += 2) {
		message_fill(data, LEN, (u64)i);
		ronbus_ring_write(&b.m.ring, claims[i].pos, 1, 0, data, LEN);
		ronbus_ring_commit(&b.m.ring, claims[i].pos, b.id);
		ASSERT_EQ(1, subscriber_read(&self->s, &msg));
		EXPECT_TRUE(message_whole(msg.data, msg.len, (u64)i));
		EXPECT_EQ(SLOTS + (u64)i, msg.position);
	}
	publisher_leave(&b);
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(2, stats.counters.repairs_total);
}

/* A publisher that only ever leaves in order repairs nothing and wakes only sleepers. */
TEST_F(gone, in_order)
{
	struct ronbus_stats stats;
	struct publisher p;
	int i;

	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, publisher_join(&p, self->bus, RONBUS_PUBLISHER_MAPPED));
		ASSERT_EQ(1, publish_number(&p, 1));
		publisher_leave(&p);
	}
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(0, stats.counters.repairs_total);
	EXPECT_EQ(0, stats.counters.wakes_total[RONBUS_WAKE_REPAIR]);
}

/* ---- a subscriber that dies in its sleep ------------------------------------------------ */

TEST_F(gone, subscriber_asleep)
{
	enum {
		IN_WAIT,
		IN_READ,
		IN_POLL,
		WAYS
	} way;
	struct ronbus_info info;
	struct publisher p;
	struct message msg;
	u64 n = 0;

	ASSERT_EQ(0, publisher_join(&p, self->bus, RONBUS_PUBLISHER_MAPPED));
	for (way = 0; way < WAYS; way++) {
		pid_t pid = fork();

		ASSERT_LE(0, pid);
		if (!pid) {
			struct subscriber s;
			struct pollfd poll_fd = { .events = POLLIN };

			if (subscriber_join(&s, self->bus, RONBUS_START_LATEST, 0))
				_exit(77);
			poll_fd.fd = s.m.fd;
			if (way == IN_WAIT)
				fd_wait(s.m.fd, RONBUS_WAIT_FOREVER);
			else if (way == IN_READ)
				subscriber_read_kernel(&s, &msg);
			else
				poll(&poll_fd, 1, -1);
			_exit(78);
		}
		ASSERT_TRUE(wait_until(RB_READ(&self->s.m.page->armed) == 2));
		ASSERT_EQ(0, kill(pid, SIGKILL));
		EXPECT_EQ(-SIGKILL, child_status(pid));
		EXPECT_EQ(0, RB_READ(&self->s.m.page->armed));
		EXPECT_EQ(1, RB_READ(&self->s.m.page->audience[0]));
		ASSERT_EQ(0, fd_info(self->bus, &info));
		EXPECT_EQ(1, info.subscribers);
		ASSERT_EQ(1, publish_number(&p, n));
		EXPECT_EQ(0, p.notifies);
		ASSERT_EQ(1, subscriber_read(&self->s, &msg));
		EXPECT_TRUE(message_whole(msg.data, msg.len, n++));
	}
	publisher_leave(&p);
}

TEST_HARNESS_MAIN
