// SPDX-License-Identifier: GPL-2.0
/*
 * Counters in /proc/self/fdinfo: they are those of RONBUS_IOC_STATS.
 */
#include "stats.h"

/* All that @fd shows is what STATS says of @which. */
#define EXPECT_SHOWS(fd, which)                                                      \
	do {                                                                         \
		struct ronbus_stats __stats;                                         \
		size_t __i;                                                          \
		u64 __value;                                                         \
		ASSERT_EQ(0, fd_stats(fd, which, &__stats));                         \
		for (__i = 0; __i < ARRAY_SIZE(counters); __i++) {                   \
			__value = ~0ULL;                                             \
			EXPECT_EQ(0, fdinfo_value(fd, counters[__i].name, &__value)) \
			TH_LOG("%s", counters[__i].name);                            \
			EXPECT_EQ(counter(&__stats.counters, __i), __value)          \
			TH_LOG("%s", counters[__i].name);                            \
		}                                                                    \
		EXPECT_EQ(0, fdinfo_value(fd, "bus_cap_selected", &__value));        \
		EXPECT_EQ(__stats.capacity, __value);                                \
		EXPECT_EQ(0, fdinfo_value(fd, "bus_tail", &__value));                \
		EXPECT_EQ(__stats.tail, __value);                                    \
		EXPECT_EQ(0, fdinfo_value(fd, "bus_publishers", &__value));          \
		EXPECT_EQ(__stats.publishers, __value);                              \
	} while (0)

/* Every counter at a value of its own. */
TEST_F(stats, fdinfo)
{
	struct ronbus_claim claim;
	struct publisher holder;
	u64 value = 0, i;
	char buf[256];

	EXPECT_SHOWS(self->bus, RONBUS_STATS_BUS);
	EXPECT_SHOWS(self->s.m.fd, self->s.index);
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, fd_arm(self->s.m.fd));
		ASSERT_EQ(1, publish_number(&self->pub, i));
		EXPECT_LT(0, fd_read(self->s.m.fd, buf, sizeof(buf)));
	}
	ASSERT_EQ(0, fd_arm(self->s.m.fd));
	ASSERT_EQ(0, publisher_join(&holder, self->bus, RONBUS_PUBLISHER_MAPPED));
	claim.pos = ronbus_ring_hint(&holder.m.ring);
	ASSERT_EQ(0, publisher_claim(&holder, &claim));
	publisher_leave(&holder);
	for (i = 0; i < sizeof(struct ronbus_self) / 8; i++) {
		if (i)
			count((__u64 *)self->s.m.self + i, 100 * i);
		count((__u64 *)self->pub.m.self + i, 10000 * i);
	}
	EXPECT_SHOWS(self->bus, RONBUS_STATS_BUS);
	EXPECT_SHOWS(self->pub.m.fd, RONBUS_STATS_BUS);
	EXPECT_SHOWS(self->s.m.fd, self->s.index);
	EXPECT_EQ(0, fdinfo_value(self->s.m.fd, "bus_cursor", &value));
	EXPECT_EQ(subscriber_cursor(&self->s), value);
	EXPECT_EQ(0, fdinfo_value(self->s.m.fd, "bus_start", &value));
	EXPECT_EQ(self->s.start, value);
	/* Pending is what the seed calls a subscriber that has been told: not armed. */
	EXPECT_EQ(0, fdinfo_value(self->s.m.fd, "bus_sub_pending", &value));
	EXPECT_EQ(!subscriber_armed(&self->s), value);
	EXPECT_EQ(-EAGAIN, fd_read(self->s.m.fd, buf, sizeof(buf)));
	ASSERT_EQ(0, fd_arm(self->s.m.fd));
	EXPECT_EQ(0, fdinfo_value(self->s.m.fd, "bus_sub_pending", &value));
	EXPECT_EQ(0, value);
}

/* Every line is "key:\tvalue", no key comes twice, and the kernel's own are still there. */
TEST_F(stats, fdinfo_format)
{
	static const struct {
		const char *key;
		unsigned int fds; /* 1 bus, 2 publisher, 4 subscriber */
	} facts[] = {
		{ "bus_role", 7 },	   { "bus_member", 6 },	     { "bus_name", 7 },
		{ "bus_features", 7 },	   { "bus_flags", 7 },	     { "bus_payload", 7 },
		{ "bus_cap_selected", 7 }, { "bus_publishers", 7 },  { "bus_subscribers", 7 },
		{ "bus_tail", 7 },	   { "bus_armed", 3 },	     { "bus_cursor", 4 },
		{ "bus_start", 4 },	   { "bus_sub_pending", 4 },
	};
	const int fds[] = { self->bus, self->pub.m.fd, self->s.m.fd };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(fds); i++) {
		char path[64], line[512], keys[128][64];
		int n = 0, k, ours = 0;
		FILE *file;

		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fds[i]);
		file = fopen(path, "r");
		ASSERT_NE(NULL, file);
		while (fgets(line, sizeof(line), file)) {
			char *colon = strchr(line, ':');

			ASSERT_NE(NULL, colon) TH_LOG("%s", line);
			EXPECT_EQ('\t', colon[1]) TH_LOG("%s", line);
			EXPECT_EQ('\n', line[strlen(line) - 1]);
			*colon = 0;
			for (k = 0; k < n; k++) {
				EXPECT_STRNE(keys[k], line);
			}
			ASSERT_GT(128, n);
			snprintf(keys[n++], sizeof(keys[0]), "%s", line);
			ours += !strncmp(line, "bus_", 4);
		}
		fclose(file);
		EXPECT_LE((int)ARRAY_SIZE(counters), ours);
		for (k = 0; k < (int)ARRAY_SIZE(facts); k++) {
			int m = 0;

			while (m < n && strcmp(keys[m], facts[k].key))
				m++;
			EXPECT_EQ(facts[k].fds >> i & 1, m < n) TH_LOG("%s", facts[k].key);
		}
		EXPECT_STREQ("pos", keys[0]);
	}
}

/* Looking is allowed at any time, and while everything changes. */
TEST_F(stats, while_members_come_and_go)
{
	struct ronbus_stats stats;
	u64 last = 0, end;
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		for (;;) {
			struct publisher p;
			struct subscriber s;

			if (publisher_join(&p, self->bus, variant->publisher) ||
			    subscriber_join(&s, self->bus, RONBUS_START_LATEST, 0) ||
			    publish_number(&p, 1) != 1)
				_exit(1);
			publisher_leave(&p);
			subscriber_leave(&s);
		}
	}
	end = now_ns() + SEC / 5;
	/* Longer where the machine is so slow that nothing has come yet. */
	while (now_ns() < end || (!last && now_ns() < end + WATCHDOG)) {
		u64 value;
		u32 i;

		ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
		/* Whoever leaves in that moment is counted once: never less, never twice. */
		ASSERT_LE(last, stats.counters.published_total);
		last = stats.counters.published_total;
		ASSERT_LE(last + SLOTS, stats.tail);
		ASSERT_EQ(0, fdinfo_value(self->bus, "bus_published_total", &value));
		for (i = 0; i < 3; i++) {
			int ret = fd_stats(self->bus, i, &stats);

			ASSERT_TRUE(ret == 0 || (i && ret == -ENOENT));
		}
	}
	kill(pid, SIGKILL);
	EXPECT_EQ(-SIGKILL, child_status(pid));
	EXPECT_LT(0, last);
}

TEST_HARNESS_MAIN
