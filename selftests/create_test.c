// SPDX-License-Identifier: GPL-2.0
/*
 * Making buses: what a bus can be.
 */
#include "create.h"

TEST_F(create, defaults)
{
	struct ronbus_create args = { 0 };
	struct ronbus_info info;
	int fd;

	fd = do_ioctl(self->control, RONBUS_IOC_CREATE, &args);
	ASSERT_LE(0, fd);
	EXPECT_EQ(64, args.capacity);
	EXPECT_EQ(32, args.payload);
	EXPECT_EQ(0, args.features);
	EXPECT_EQ(0, args.flags);
	EXPECT_EQ(0600, args.mode);
	EXPECT_EQ(0, args.subscribers);
	EXPECT_EQ(0, args.pad);
	ASSERT_EQ(0, fd_info(fd, &info));
	EXPECT_EQ(64, info.capacity);
	EXPECT_EQ(32, info.payload);
	EXPECT_EQ(0600, info.mode);
	EXPECT_EQ(RONBUS_ACCESS_SUBSCRIBE | RONBUS_ACCESS_PUBLISH | RONBUS_ACCESS_END, info.access);
	EXPECT_EQ(0, info.publishers);
	EXPECT_EQ(0, info.subscribers);
	EXPECT_EQ(0, info.status);
	EXPECT_STREQ("", info.name);
	close(fd);
}

TEST_F(create, capacities)
{
	static const u32 odd[] = { 1, 2, 3, 5, 6, 7, 12, 63, 65, 100, 65535, 0x80000001, ~0U };
	struct ronbus_info info;
	unsigned int i;
	int fd;

	for (i = 0; i < 32; i++) {
		u32 capacity = 1U << i;
		bool good = capacity >= self->q.capacity_min && capacity <= self->q.capacity_max &&
			    ronbus_ring_bytes(capacity, 8, 0) <= self->q.ring_bytes_max;

		fd = CREATE(.capacity = capacity, .payload = 8);
		if (!good) {
			EXPECT_EQ(-EINVAL, fd) TH_LOG("capacity %u", capacity);
			continue;
		}
		ASSERT_LE(0, fd) TH_LOG("capacity %u", capacity);
		EXPECT_EQ(0, fd_info(fd, &info));
		EXPECT_EQ(capacity, info.capacity);
		EXPECT_LE(ronbus_ring_bytes(capacity, 8, 0), info.ring_bytes);
		close(fd);
	}
	for (i = 0; i < ARRAY_SIZE(odd); i++) {
		EXPECT_EQ(-EINVAL, CREATE(.capacity = odd[i])) TH_LOG("capacity %u", odd[i]);
	}
	EXPECT_EQ(-EINVAL, CREATE(.capacity = self->q.capacity_max * 2, .payload = 8));
	EXPECT_EQ(self->next_fd, fd_next());
}

TEST_F(create, payloads)
{
	u32 payload;

	for (payload = 1; payload <= 4200; payload++) {
		bool good = payload % 8 == 0 && payload >= 8 && payload <= 4096;
		int fd = CREATE(.capacity = 4, .payload = payload);

		EXPECT_EQ(good ? 1 : -EINVAL, fd >= 0 ? 1 : fd) TH_LOG("payload %u", payload);
		if (fd >= 0)
			close(fd);
	}
	EXPECT_EQ(-EINVAL, CREATE(.payload = 8192));
	EXPECT_EQ(-EINVAL, CREATE(.payload = 0x80000008));
	EXPECT_EQ(-EINVAL, CREATE(.payload = ~7U));
	EXPECT_EQ(-EINVAL, CREATE(.payload = ~0U));
}

/* Each alone is allowed, the product is not. */
TEST_F(create, ring_too_large)
{
	u32 capacity = self->q.capacity_max;

	ASSERT_LT(self->q.ring_bytes_max, ronbus_ring_bytes(capacity, 4096, 0));
	EXPECT_EQ(-EINVAL, CREATE(.capacity = capacity, .payload = 4096));
	while (ronbus_ring_bytes(capacity, 4096, 0) > self->q.ring_bytes_max)
		capacity /= 2;
	EXPECT_CREATES(.capacity = capacity, .payload = 4096);
	EXPECT_EQ(-EINVAL, CREATE(.capacity = capacity * 2, .payload = 4096));
}

/* The ring has the bytes its layout needs, in whole pages, and no more than a bus may have. */
TEST_F(create, bytes_of_a_ring_of_arrays)
{
	static const struct {
		u32 capacity, payload;
	} cases[] = { { 4, 8 }, { 4, 4096 }, { 64, 8 }, { 128, 40 }, { 4096, 24 } };
	u32 capacity = RONBUS_CAPACITY_MAX;
	struct ronbus_info info;
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		u64 page = (u64)sysconf(_SC_PAGESIZE);
		u64 bytes = ronbus_ring_bytes(cases[i].capacity, cases[i].payload, RONBUS_F_SOA);

		fd = CREATE(.features = RONBUS_F_SOA, .capacity = cases[i].capacity,
			    .payload = cases[i].payload);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, fd_info(fd, &info));
		EXPECT_EQ(RONBUS_F_SOA, info.features);
		EXPECT_EQ((bytes + page - 1) / page * page, info.ring_bytes);
		close(fd);
	}
	while (ronbus_ring_bytes(capacity, 4096, RONBUS_F_SOA) > self->q.ring_bytes_max)
		capacity /= 2;
	EXPECT_CREATES(.features = RONBUS_F_SOA, .capacity = capacity, .payload = 4096);
	EXPECT_EQ(-EINVAL,
		  CREATE(.features = RONBUS_F_SOA, .capacity = capacity * 2, .payload = 4096));
	EXPECT_EQ(-EINVAL, CREATE(.features = RONBUS_F_SOA, .capacity = 5));
	EXPECT_EQ(-EINVAL, CREATE(.features = RONBUS_F_SOA, .payload = 12));
}

TEST_F(create, features)
{
	int bit;

	for (bit = 0; bit < 64; bit++) {
		u64 feature = 1ULL << bit;
		int fd = CREATE(.features = feature);
		int want = !(feature & RONBUS_FEATURES_KNOWN) ? -EINVAL
			   : !(feature & self->q.features)    ? -EOPNOTSUPP
							      : 1;
		struct ronbus_info info;

		EXPECT_EQ(want, fd >= 0 ? 1 : fd) TH_LOG("feature bit %d", bit);
		if (fd < 0)
			continue;
		EXPECT_EQ(0, fd_info(fd, &info));
		EXPECT_EQ(feature, info.features);
		close(fd);
	}
	EXPECT_CREATES(.features = self->q.features);
	EXPECT_EQ(-EINVAL, CREATE(.features = self->q.features | (RONBUS_FEATURES_KNOWN + 1)));
	EXPECT_EQ(-EINVAL, CREATE(.features = ~0ULL));
	/* What is wrong in itself is wrong whatever this kernel has. */
	EXPECT_EQ(-EINVAL, CREATE(.features = RONBUS_FEATURES_KNOWN, .capacity = 3));
}

TEST_F(create, flags)
{
	u32 flags;
	int bit;

	for (bit = 0; bit < 32; bit++) {
		if (!(RONBUS_BUS_FLAGS_KNOWN & 1U << bit))
			EXPECT_EQ(-EINVAL, CREATE(.flags = 1U << bit));
	}
	for (flags = 0; flags <= 2 * RONBUS_BUS_FLAGS_KNOWN + 1; flags++) {
		bool timed = flags > RONBUS_BUS_FLAGS_KNOWN;
		u32 set = flags & RONBUS_BUS_FLAGS_KNOWN;
		bool impossible = (set & RONBUS_BUS_MAP_NONE && set & RONBUS_BUS_MAP_ALL) ||
				  (set & RONBUS_BUS_COARSE_TIME && !timed);
		int fd = CREATE(.flags = set, .features = timed ? RONBUS_F_TIME : 0);
		struct ronbus_info info;

		EXPECT_EQ(impossible ? -EINVAL : 1, fd >= 0 ? 1 : fd)
		TH_LOG("flags %#x, %stimed", set, timed ? "" : "not ");
		if (fd < 0)
			continue;
		EXPECT_EQ(0, fd_info(fd, &info));
		EXPECT_EQ(set, info.flags);
		close(fd);
	}
}

TEST_F(create, modes)
{
	struct ronbus_info info;
	u32 mode, bit;

	for (mode = 0; mode <= 0777; mode++) {
		int fd = CREATE(.mode = mode, .capacity = 4, .payload = 8);

		EXPECT_EQ(mode & 0111 ? -EINVAL : 1, fd >= 0 ? 1 : fd) TH_LOG("mode %o", mode);
		if (fd < 0)
			continue;
		EXPECT_EQ(0, fd_info(fd, &info));
		EXPECT_EQ(mode ? mode : 0600, info.mode);
		close(fd);
	}
	for (bit = 9; bit < 32; bit++) {
		EXPECT_EQ(-EINVAL, CREATE(.mode = 0600 | 1U << bit));
	}
}

TEST_F(create, autotune)
{
	const u64 on = RONBUS_F_AUTOTUNE_CAP;
	struct ronbus_stats stats;
	u32 n;
	int fd;

	for (n = 0; n <= 64; n++) {
		struct ronbus_create args = { .features = on, .subscribers = n };

		fd = do_ioctl(self->control, RONBUS_IOC_CREATE, &args);
		ASSERT_LE(0, fd);
		EXPECT_EQ(n <= 4 ? 64 : n <= 16 ? 128 : 256, args.capacity);
		EXPECT_EQ(n, args.subscribers);
		ASSERT_EQ(0, fd_stats(fd, RONBUS_STATS_BUS, &stats));
		EXPECT_EQ(args.capacity, stats.capacity);
		EXPECT_EQ(0, stats.counters.autotune_warn_total[RONBUS_AUTOTUNE_CAPACITY]);
		EXPECT_EQ(0, stats.counters.autotune_warn_total[RONBUS_AUTOTUNE_SUBSCRIBERS]);
		close(fd);
	}
	EXPECT_EQ(-EINVAL, CREATE(.features = on, .subscribers = 65));
	EXPECT_EQ(-EINVAL, CREATE(.features = on, .subscribers = ~0U));
	/* A number of subscribers is allowed only together with the feature that uses it. */
	EXPECT_EQ(-EINVAL, CREATE(.subscribers = 1));
	EXPECT_EQ(-EINVAL, CREATE(.subscribers = 64, .capacity = 64));

	/* What the creator chooses wins; beyond what the cache likes it is counted. */
	for (n = 4; n <= 4096; n *= 2) {
		struct ronbus_create args = { .features = on, .subscribers = 4, .capacity = n };

		fd = do_ioctl(self->control, RONBUS_IOC_CREATE, &args);
		ASSERT_LE(0, fd);
		EXPECT_EQ(n, args.capacity);
		ASSERT_EQ(0, fd_stats(fd, RONBUS_STATS_BUS, &stats));
		EXPECT_EQ(n > RONBUS_CAPACITY_WARN,
			  stats.counters.autotune_warn_total[RONBUS_AUTOTUNE_CAPACITY]);
		close(fd);
	}
	fd = CREATE(.capacity = 1024);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fd_stats(fd, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(0, stats.counters.autotune_warn_total[RONBUS_AUTOTUNE_CAPACITY]);
	close(fd);
}

/* Lines of the kernel's log that are there to be read. */
static int log_lines(int log, const char *with)
{
	char line[1024];
	int n = 0;
	ssize_t len;

	while ((len = read(log, line, sizeof(line) - 1)) > 0 || errno == EPIPE) {
		line[len > 0 ? len : 0] = 0;
		n += strstr(line, with) != NULL;
	}
	return n;
}

/* Whoever makes buses all day does not fill the kernel's log. */
TEST_F(create, autotune_warnings_are_few)
{
	int log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC), i, fd;
	struct ronbus_stats stats;

	if (log < 0 || lseek(log, 0, SEEK_END) < 0)
		SKIP(return, "needs root, to read the kernel's log");
	for (i = 0; i < 20; i++) {
		fd = CREATE(.features = RONBUS_F_AUTOTUNE_CAP, .capacity = 512,
			    .name = "create-warned");
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, fd_stats(fd, RONBUS_STATS_BUS, &stats));
		EXPECT_EQ(1, stats.counters.autotune_warn_total[RONBUS_AUTOTUNE_CAPACITY]);
		close(fd);
	}
	EXPECT_GE(8, log_lines(log, "create-warned"));
	close(log);
}

/* More subscribers than a capacity was chosen for are let in, and counted once. */
TEST_F(create, autotune_subscribers)
{
	static const struct {
		u32 expected, capacity, most;
	} cases[] = {
		{ 4, 0, 4 }, { 16, 0, 16 }, { 0, 0, 4 }, { 64, 0, 64 }, { 4, 64, 64 },
	};
	struct ronbus_stats stats;
	int subs[RONBUS_SUBSCRIBERS_MAX];
	size_t i;
	u32 n;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		int bus = CREATE(.features = RONBUS_F_AUTOTUNE_CAP, .capacity = cases[i].capacity,
				 .subscribers = cases[i].expected);

		ASSERT_LE(0, bus);
		for (n = 0; n < RONBUS_SUBSCRIBERS_MAX; n++) {
			subs[n] = fd_subscribe(bus, RONBUS_START_LATEST, 0, NULL);
			ASSERT_LE(0, subs[n]);
			ASSERT_EQ(0, fd_stats(bus, RONBUS_STATS_BUS, &stats));
			EXPECT_EQ(n + 1 > cases[i].most,
				  stats.counters.autotune_warn_total[RONBUS_AUTOTUNE_SUBSCRIBERS])
			TH_LOG("%u of %u", n + 1, cases[i].most);
		}
		EXPECT_EQ(0, stats.counters.autotune_warn_total[RONBUS_AUTOTUNE_CAPACITY]);
		while (n--)
			close(subs[n]);
		close(bus);
	}
}

TEST_HARNESS_MAIN
