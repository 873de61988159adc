// SPDX-License-Identifier: GPL-2.0
/*
 * BPF programs that publish and read counters: what they get, and what the verifier refuses.
 */
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mount.h>

#include <linux/capability.h>

#include "kfunc.h"

/* Of all capabilities only this one is left, or none. */
static int keep_capability(int capability)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	if (capability >= 0)
		data[capability / 32].effective = data[capability / 32].permitted =
			1U << capability % 32;
	return syscall(SYS_capset, &head, data) ? -errno : 0;
}

/* In order and whole, to as many as there can be. */
TEST_F(kfunc, reaches_everybody)
{
	struct subscriber s[RONBUS_SUBSCRIBERS_MAX];
	struct ronbus_stats stats;
	struct message msg;
	u64 begin = now_ns();
	u32 i, n;

	EXPECT_EQ(0, publish_by_program(self, 3, 8)); /* nobody there */
	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++)
		ASSERT_EQ(0, subscriber_join(&s[i], self->bus, RONBUS_START_LATEST, 0));
	for (n = 0; n < 20; n++) {
		message_fill(self->bss->message, LEN, n);
		ASSERT_EQ(RONBUS_SUBSCRIBERS_MAX, publish_by_program(self, n, n ? LEN : 8));
	}
	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++) {
		for (n = 0; n < 20; n++) {
			ASSERT_EQ(1, subscriber_read(&s[i], &msg));
			EXPECT_EQ(n ? LEN : 8, msg.len);
			EXPECT_EQ(n, msg.topic);
			EXPECT_EQ(0, msg.publisher);
			EXPECT_EQ(0, msg.lost);
			EXPECT_TRUE(message_whole(msg.data, msg.len, n));
			EXPECT_LE(begin, msg.time);
			EXPECT_GE(now_ns(), msg.time);
		}
		EXPECT_EQ(-EAGAIN, subscriber_read(&s[i], &msg));
	}
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(20, stats.counters.published_total);
	EXPECT_EQ(1, stats.counters.no_receivers_total);
	EXPECT_EQ(20 * RONBUS_SUBSCRIBERS_MAX, stats.counters.addressed_total);
	EXPECT_EQ(20 * RONBUS_SUBSCRIBERS_MAX, stats.counters.delivered_total);
	EXPECT_EQ(20, stats.counters.ready_mask_width[6]);
	EXPECT_EQ(0, stats.counters.dropped_total);
	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++)
		subscriber_leave(&s[i]);
}

/* Topics choose, and subscribers that a message does not wake are counted. */
TEST_F(kfunc, of_interest)
{
	struct ronbus_subscribe one = { .topics = 1 << 1 }, two = { .topics = 1 << 1 | 1 << 2 };
	struct ronbus_create args = { .features = RONBUS_F_EDGE_NOTIFY | RONBUS_F_INTEREST,
				      .flags = RONBUS_BUS_PERSISTENT,
				      .capacity = 64,
				      .payload = LEN };
	struct ronbus_stats stats;
	int fd[2];

	close(self->pub);
	close(self->bus);
	self->bus = bus_create(self->control, args);
	ASSERT_LE(0, self->bus);
	self->pub = fd_publisher_bpf(self->bus, &self->token);
	ASSERT_LE(0, self->pub);
	fd[0] = do_ioctl(self->bus, RONBUS_IOC_SUBSCRIBE, &one);
	fd[1] = do_ioctl(self->bus, RONBUS_IOC_SUBSCRIBE, &two);
	ASSERT_LE(0, fd[0]);
	ASSERT_LE(0, fd[1]);
	EXPECT_EQ(2, publish_by_program(self, 1, LEN));
	EXPECT_EQ(1, publish_by_program(self, 2, LEN));
	EXPECT_EQ(0, publish_by_program(self, 3, LEN));
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(3, stats.counters.interest_skips_total);
	EXPECT_EQ(3, stats.counters.addressed_total);
	EXPECT_EQ(1, stats.counters.no_receivers_total);
	close(fd[0]);
	close(fd[1]);
}

TEST_F(kfunc, errors)
{
	struct ronbus_stats stats;
	struct subscriber s;
	struct message msg;
	u64 token;
	int i;

	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_LATEST, 0));
	EXPECT_EQ(-EMSGSIZE, publish_by_program(self, 0, LEN + 1));
	EXPECT_EQ(-EINVAL, publish_by_program(self, RONBUS_TOPICS_MAX, LEN));
	EXPECT_EQ(-EINVAL, publish_by_program(self, ~0U, LEN));
	EXPECT_EQ(-EAGAIN, subscriber_read(&s, &msg));
	token = self->token;
	for (i = 0; i < 64; i++) {
		self->token = token ^ 1ULL << i; /* all but right */
		EXPECT_EQ(-ENOENT, publish_by_program(self, 0, LEN));
	}
	self->token = 0;
	EXPECT_EQ(-ENOENT, publish_by_program(self, 0, LEN));
	self->token = ~0ULL;
	EXPECT_EQ(-ENOENT, publish_by_program(self, 0, LEN));
	self->token = token;
	EXPECT_EQ(1, publish_by_program(self, RONBUS_TOPICS_MAX - 1, 0)); /* empty is allowed */
	ASSERT_EQ(1, subscriber_read(&s, &msg));
	EXPECT_EQ(0, msg.len);
	EXPECT_EQ(RONBUS_TOPICS_MAX - 1, msg.topic);
	close(self->pub);
	self->pub = -1;
	EXPECT_EQ(-ENOENT, publish_by_program(self, 0, LEN));
	EXPECT_EQ(-EAGAIN, subscriber_read(&s, &msg));
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(1, stats.counters.published_total);
	EXPECT_EQ(0, stats.counters.dropped_total);
	subscriber_leave(&s);
}

/* Somebody else does not get the token of one that is gone, nor one that is like another. */
TEST_F(kfunc, tokens_are_not_used_again)
{
	u64 tokens[50], differ = 0;
	struct subscriber s;
	int i, k, fd;

	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_LATEST, 0));
	close(self->pub);
	self->pub = -1;
	for (i = 0; i < 50; i++) {
		fd = fd_publisher_bpf(self->bus, &tokens[i]);
		ASSERT_LE(0, fd);
		EXPECT_NE(0, tokens[i]);
		EXPECT_EQ(-ENOENT, publish_by_program(self, 0, LEN));
		for (k = 0; k < i; k++) {
			EXPECT_NE(tokens[k] >> 16, tokens[i] >> 16);
		}
		differ |= tokens[i] ^ tokens[0];
		close(fd);
	}
	/* Every bit that is left to chance has been either. */
	EXPECT_EQ(~0ULL >> 16, differ >> 16);
	subscriber_leave(&s);
}

/* Not for every publisher: to release one takes a grace period. */
TEST_F(kfunc, wants_a_capability)
{
	static const int keep[] = { -1, CAP_BPF, CAP_SYS_ADMIN };
	u64 token;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(keep); i++) {
		pid_t pid = fork();

		ASSERT_LE(0, pid);
		if (!pid) {
			int fd;

			ASSERT_EQ(0, keep_capability(keep[i]));
			fd = fd_publisher_bpf(self->bus, &token);
			EXPECT_EQ(keep[i] < 0 ? -EPERM : 0, fd < 0 ? fd : 0)
			TH_LOG("capability %d", keep[i]);
			EXPECT_LE(0, fd_publisher(self->bus, 0, NULL));
			_exit(0);
		}
		EXPECT_EQ(0, child_status(pid));
	}
}

/* Root of a user namespace of its own has them all there, and none here. */
TEST_F(kfunc, wants_it_of_the_machine)
{
	u64 token;
	int i;
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		if (unshare(CLONE_NEWUSER))
			_exit(77);
		EXPECT_EQ(-EPERM, fd_publisher_bpf(self->bus, &token));
		_exit(0);
	}
	i = child_status(pid);
	if (i == 77)
		SKIP(return, "no user namespaces here");
	EXPECT_EQ(0, i);
}

/* Every slot is being written: dropped, counted, and whoever sleeps is told to look. */
TEST_F(kfunc, drop)
{
	struct ronbus_stats stats;
	struct ronbus_claim claim;
	struct publisher holder;
	struct subscriber s;
	u32 i;

	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_LATEST, 0));
	ASSERT_EQ(0, publisher_join(&holder, self->bus, RONBUS_PUBLISHER_MAPPED));
	claim.pos = ronbus_ring_hint(&holder.m.ring);
	for (i = 0; i < 64; i++) {
		ASSERT_EQ(0, publisher_claim(&holder, &claim));
		claim.pos++;
	}
	ASSERT_EQ(0, fd_poll(s.m.fd, POLLIN));
	EXPECT_EQ(-EAGAIN, publish_by_program(self, 0, LEN));
	EXPECT_TRUE(wait_until(!subscriber_armed(&s)));
	EXPECT_EQ(-EAGAIN, publish_by_program(self, 0, LEN));
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(2, stats.counters.dropped_total);
	EXPECT_EQ(0, stats.counters.published_total);
	publisher_leave(&holder); /* and what it held is free again */
	EXPECT_EQ(1, publish_by_program(self, 0, LEN));
	subscriber_leave(&s);
}

/*
 * No more than 64 slots are looked at, for it may be an interrupt that waits: what holds fewer is
 * passed by. A hint that a publisher turned back does not make the way longer.
 */
TEST_F(kfunc, looks_at_a_few_slots)
{
	const u32 slots = 4096;
	struct ronbus_claim claim;
	struct publisher holder;
	struct subscriber s;
	int bus, pub;
	u32 i;

	bus = bus_create(self->control, (struct ronbus_create){ .features = RONBUS_F_EDGE_NOTIFY,
								.capacity = slots,
								.payload = LEN });
	ASSERT_LE(0, bus);
	pub = fd_publisher_bpf(bus, &self->token);
	ASSERT_LE(0, pub);
	ASSERT_EQ(0, subscriber_join(&s, bus, RONBUS_START_LATEST, 0));
	ASSERT_EQ(0, publisher_join(&holder, bus, RONBUS_PUBLISHER_MAPPED));
	/* The first 64 slots of a lap are held when the next lap begins. */
	claim.pos = ronbus_ring_hint(&holder.m.ring);
	for (i = 0; i < 64; i++, claim.pos++) {
		ASSERT_EQ(0, publisher_claim(&holder, &claim));
	}
	RB_WRITE(&holder.m.ring.head->head, claim.pos);
	ASSERT_EQ(slots - 64, publish_numbers(&holder, 0, slots - 64, LEN, 64));
	EXPECT_EQ(-EAGAIN, publish_by_program(self, 0, LEN));
	/* It marked them as passed by, and so there are fewer for the next one. */
	EXPECT_EQ(1, publish_by_program(self, 0, LEN));
	/* The next lap but with one less. */
	ronbus_ring_commit(&holder.m.ring, slots + 63, holder.id);
	ASSERT_EQ(slots - 65, publish_numbers(&holder, 0, slots - 65, LEN, 64));
	EXPECT_EQ(1, publish_by_program(self, 0, LEN));
	RB_WRITE(&holder.m.ring.head->head, 2 * slots + 100);
	EXPECT_EQ(1, publish_by_program(self, 0, LEN));
	publisher_leave(&holder);
	subscriber_leave(&s);
	close(pub);
	close(bus);
}

static void *sleep_in_wait(void *arg)
{
	return (void *)(long)fd_wait(*(int *)arg, now_ns() + WATCHDOG);
}

static void *sleep_in_epoll(void *arg)
{
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	long ret = -1;

	if (!epoll_ctl(epoll, EPOLL_CTL_ADD, *(int *)arg, &event))
		ret = epoll_wait(epoll, &event, 1, WATCHDOG / 1000000) - 1;
	close(epoll);
	return (void *)ret;
}

static void *sleep_in_eventfd(void *arg)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	long ret = fd_set_eventfd(*(int *)arg, fd);

	if (!ret)
		ret = fd_arm(*(int *)arg);
	if (!ret)
		ret = poll(&p, 1, WATCHDOG / 1000000) - 1;
	fd_set_eventfd(*(int *)arg, -1);
	close(fd);
	return (void *)ret;
}

TEST_F(kfunc, wakes_sleepers)
{
	static void *(*const ways[])(void *) = { sleep_in_wait, sleep_in_epoll, sleep_in_eventfd };
	struct subscriber s[ARRAY_SIZE(ways)];
	pthread_t threads[ARRAY_SIZE(ways)];
	struct ronbus_stats stats;
	struct message msg;
	struct member m;
	void *failed;
	size_t i;
	int round;

	ASSERT_EQ(0, member_map(&m, self->pub, 0));
	for (i = 0; i < ARRAY_SIZE(ways); i++)
		ASSERT_EQ(0, subscriber_join(&s[i], self->bus, RONBUS_START_LATEST, 0));
	for (round = 0; round < 5; round++) {
		for (i = 0; i < ARRAY_SIZE(ways); i++)
			ASSERT_EQ(0, pthread_create(&threads[i], NULL, ways[i], &s[i].m.fd));
		ASSERT_TRUE(asleep(&m, 7));
		EXPECT_EQ(3, publish_by_program(self, 0, LEN));
		for (i = 0; i < ARRAY_SIZE(ways); i++) {
			pthread_join(threads[i], &failed);
			EXPECT_EQ(0, (long)failed);
			EXPECT_EQ(1, subscriber_read(&s[i], &msg));
		}
	}
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(15, stats.counters.notify_sends_total);
	EXPECT_EQ(15, stats.counters.wakes_total[RONBUS_WAKE_DATA]);
	EXPECT_EQ(0, stats.counters.notify_suppressed_total);
	for (i = 0; i < ARRAY_SIZE(ways); i++)
		subscriber_leave(&s[i]);
	member_unmap(&m);
}

/* From a function of the module itself, and from its tracepoints, the bus locked or not. */
TEST_F(kfunc, from_the_module)
{
	struct bpf_link *fentry = bpf_program__attach(self->skel->progs.from_fentry);
	struct bpf_link *arm = bpf_program__attach(self->skel->progs.from_arm);
	struct bpf_link *leave = bpf_program__attach(self->skel->progs.from_leave);
	struct subscriber s, other;
	struct message msg;
	u64 value;

	ASSERT_NE(NULL, fentry);
	ASSERT_NE(NULL, arm);
	ASSERT_NE(NULL, leave);
	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_LATEST, 0));
	ASSERT_EQ(0, subscriber_join(&other, self->bus, RONBUS_START_LATEST, 0));
	self->bss->on = 1;
	ASSERT_EQ(0, fdinfo_value(self->bus, "bus_id", &value));
	EXPECT_EQ(1, self->bss->accepted);
	EXPECT_EQ(2, self->bss->addressed);
	EXPECT_TRUE(read_next(&s, 1));

	/* Nothing to wait for: that it waits is an event, and so it is over. */
	EXPECT_EQ(0, fd_wait(s.m.fd, now_ns() + WATCHDOG));
	EXPECT_EQ(2, self->bss->accepted);
	EXPECT_TRUE(read_next(&s, 1));

	subscriber_leave(&other);
	EXPECT_EQ(3, self->bss->accepted);
	self->bss->on = 0;
	EXPECT_TRUE(read_next(&s, 1));
	EXPECT_EQ(-EAGAIN, subscriber_read(&s, &msg));
	EXPECT_EQ(0, self->bss->failed);
	bpf_link__destroy(fentry);
	bpf_link__destroy(arm);
	bpf_link__destroy(leave);
	subscriber_leave(&s);
}

/* What a program published is what programs count, and what STATS has. */
TEST_F(kfunc, counted)
{
	struct ronbus_collect *typed = NULL, *classic = NULL;
	struct ronbus_bpf_bus entry;
	struct subscriber s;
	int i;

	ASSERT_EQ(0, tracefs_mount());
	ASSERT_EQ(0, start_collecting(RONBUS_COLLECT_TYPED, &typed));
	ASSERT_EQ(0, start_collecting(RONBUS_COLLECT_CLASSIC, &classic));
	ASSERT_TRUE(wait_until(!bus_entry(typed, self->id, &entry) &&
			       !bus_entry(classic, self->id, &entry)));
	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_LATEST, 0));
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, fd_poll(s.m.fd, POLLIN));
		ASSERT_EQ(1, publish_by_program(self, 0, LEN));
		ASSERT_TRUE(wait_until(!subscriber_armed(&s)));
		RB_WRITE(&s.m.self->cursor, ronbus_ring_tail(&s.m.ring));
	}
	EXPECT_BUS_AS_STATS(typed, self->bus);
	EXPECT_BUS_AS_STATS(classic, self->bus);
	EXPECT_SUB_AS_STATS(typed, self->bus, s.index);
	EXPECT_SUB_AS_STATS(classic, self->bus, s.index);
	ASSERT_EQ(0, bus_entry(typed, self->id, &entry));
	EXPECT_EQ(5, entry.seen.published);
	EXPECT_EQ(5, entry.counters.published_total);
	EXPECT_EQ(5, entry.seen.wakes[RONBUS_WAKE_DATA]);
	EXPECT_EQ(5, times(&entry.arm_to_wake));
	subscriber_leave(&s);
	ronbus_collect_stop(typed);
	ronbus_collect_stop(classic);
}

/* ---- programs that read counters ------------------------------------------------------------ */

static int counters_by_program(FIXTURE_DATA(kfunc) * self, u64 bus, u32 which, u32 size)
{
	int err;

	memset(&self->bss->counters, POISON, sizeof(self->bss->counters));
	self->bss->bus = bus;
	self->bss->which = which;
	self->bss->size = size;
	err = call(self->skel->progs.call_counters);
	return err ? -1000 + err : self->bss->ret;
}

TEST_F(kfunc, counters_are_stats)
{
	const u32 size = sizeof(struct ronbus_counters);
	struct ronbus_stats bus, sub;
	struct subscriber s;
	struct message msg;
	int i;

	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_LATEST, 0));
	for (i = 0; i < 70; i++) {
		fd_poll(s.m.fd, POLLIN);
		ASSERT_EQ(1, publish_by_program(self, 0, LEN));
	}
	while (subscriber_read(&s, &msg) == 1)
		;
	ASSERT_TRUE(wait_until(!subscriber_armed(&s)));
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &bus));
	ASSERT_EQ(0, fd_stats(self->bus, s.index, &sub));
	EXPECT_EQ(70, bus.counters.published_total);
	EXPECT_EQ(64, sub.counters.delivered_total);
	ASSERT_EQ(0, counters_by_program(self, self->id, RONBUS_STATS_BUS, size));
	EXPECT_SAME_COUNTERS(bus.counters, self->bss->counters);
	ASSERT_EQ(0, counters_by_program(self, self->id, s.index, size));
	EXPECT_SAME_COUNTERS(sub.counters, self->bss->counters);

	EXPECT_EQ(-EINVAL, counters_by_program(self, self->id, RONBUS_STATS_BUS, size - 8));
	EXPECT_EQ(-EINVAL, counters_by_program(self, self->id, RONBUS_SUBSCRIBERS_MAX, size));
	EXPECT_EQ(-ENOENT, counters_by_program(self, self->id, s.index + 1, size));
	EXPECT_EQ(-ENOENT, counters_by_program(self, self->id + 1000, RONBUS_STATS_BUS, size));
	EXPECT_EQ(-ENOENT, counters_by_program(self, 0, RONBUS_STATS_BUS, size));
	subscriber_leave(&s);
	EXPECT_EQ(-ENOENT, counters_by_program(self, self->id, s.index, size));
}

/* Asks for the counters of the newest bus, again and again. */
struct asker {
	FIXTURE_DATA(kfunc) * self;
	u64 bus;
	bool stop;
};

static void *ask_always(void *arg)
{
	struct asker *asker = arg;

	while (!RB_READ(&asker->stop))
		counters_by_program(asker->self, RB_READ(&asker->bus), RONBUS_STATS_BUS,
				    sizeof(struct ronbus_counters));
	return NULL;
}

/*
 * A caller that looks at a bus holds its memory for that long, and tells tracers of its counters.
 * After the end of the bus nothing more is told: a program would take it for a new one, for ever.
 */
TEST_F(kfunc, the_end_is_told_last)
{
	u64 end = now_ns() + test_seconds(4) * SEC;
	struct ronbus_collect *collect;
	struct asker asker = { .self = self };
	unsigned int left = 0, buses = 0;
	struct ronbus_info info;
	pthread_t thread;
	int bus;

	ASSERT_EQ(0, start_collecting(RONBUS_COLLECT_TYPED, &collect));
	ASSERT_EQ(0, pthread_create(&thread, NULL, ask_always, &asker));
	for (; now_ns() < end; buses++) {
		bus = bus_create(self->control, (struct ronbus_create){ .capacity = 4 });
		ASSERT_LE(0, bus);
		ASSERT_EQ(0, fd_info(bus, &info));
		RB_WRITE(&asker.bus, info.id);
		usleep((useconds_t)buses % 50);
		close(bus);
		usleep(100);
		left += entries_of(collect, info.id);
	}
	RB_WRITE(&asker.stop, true);
	pthread_join(thread, NULL);
	EXPECT_EQ(0, left) TH_LOG("of %u buses", buses);
	ronbus_collect_stop(collect);
}

/* ---- what the kernel refuses ---------------------------------------------------------------- */

static char verifier_log[1 << 16];

static int load_only(const char *name)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .kernel_log_buf = verifier_log,
		    .kernel_log_size = sizeof(verifier_log), .kernel_log_level = 1);
	struct bpf_test *skel = bpf_test__open_opts(&opts);
	struct bpf_program *program;
	int err;

	if (!skel)
		return -1000;
	bpf_object__for_each_program(program, skel->obj)
		bpf_program__set_autoload(program, !strcmp(bpf_program__name(program), name));
	verifier_log[0] = '\0';
	err = bpf_test__load(skel);
	bpf_test__destroy(skel);
	return err;
}

TEST(refused_by_verifier)
{
	static const struct {
		const char *program;
		const char *reason; /* part of what the verifier says, on every kernel */
	} programs[] = {
		{ "refused_context", "sleep" },
		{ "refused_number", "R3" },
		{ "refused_beyond", "invalid" },
		{ "refused_beyond_map", "invalid access to map value" },
		{ "refused_unbounded", "R4" },
		{ "refused_counters_beyond", "invalid" },
		{ "refused_counters_null", "R3" },
		{ "refused_type", "not allowed" },
	};
	size_t i;

	close(OPEN_CONTROL());
	if (geteuid())
		SKIP(return, "needs root, to load BPF programs");
	libbpf_set_print(be_silent);
	EXPECT_EQ(0, load_only("call_publish"));
	for (i = 0; i < ARRAY_SIZE(programs); i++) {
		EXPECT_GT(0, load_only(programs[i].program))
		{
			TH_LOG("%s was not refused", programs[i].program);
		}
		EXPECT_NE(NULL, strstr(verifier_log, programs[i].reason))
		{
			TH_LOG("%s: %s", programs[i].program, verifier_log);
		}
	}
}

TEST_HARNESS_MAIN
