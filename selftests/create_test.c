// SPDX-License-Identifier: GPL-2.0
/*
 * Making buses and finding them: what a bus can be, names, permissions, namespaces, limits.
 */
#include <grp.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>

#include "ronbus_kselftest.h"

FIXTURE(create)
{
	int control;
	struct ronbus_query q;
	int next_fd; /* after setup */
};

FIXTURE_SETUP(create)
{
	self->control = OPEN_CONTROL();
	poison(self->q);
	ASSERT_EQ(0, do_ioctl(self->control, RONBUS_IOC_QUERY, &self->q));
	self->next_fd = fd_next();
}

FIXTURE_TEARDOWN(create)
{
	close(self->control);
}

#define CREATE(...) bus_create(self->control, (struct ronbus_create){ __VA_ARGS__ })

/* It succeeds, and what comes with it goes. */
#define EXPECT_CREATES(...)                     \
	do {                                    \
		int __fd = CREATE(__VA_ARGS__); \
		EXPECT_LE(0, __fd);             \
		if (__fd >= 0)                  \
			close(__fd);            \
	} while (0)

/* A name with what strncpy() leaves behind it: zeros. */
static struct ronbus_create named(const char *name)
{
	struct ronbus_create args = { .capacity = 4, .payload = 8 };

	strncpy(args.name, name, sizeof(args.name));
	return args;
}

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
	/* Who says how many also says what for. */
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

/* ---- names ------------------------------------------------------------------------------ */

static bool in_a_name(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '_' || c == '-';
}

TEST_F(create, characters_of_names)
{
	struct ronbus_info info;
	int c, place;

	for (c = 1; c < 256; c++) {
		for (place = 0; place < 3; place++) {
			char name[] = "abc";
			int fd;

			name[place] = (char)c;
			fd = bus_create(self->control, named(name));
			EXPECT_EQ(in_a_name(c) ? 1 : -EINVAL, fd >= 0 ? 1 : fd)
			TH_LOG("byte %#x", c);
			EXPECT_EQ(in_a_name(c) ? 1 : -EINVAL,
				  fd >= 0 ? 1 : bus_attach(self->control, name, 1));
			if (fd < 0)
				continue;
			EXPECT_EQ(0, fd_info(fd, &info));
			EXPECT_STREQ(name, info.name);
			close(fd);
		}
	}
}

TEST_F(create, lengths_of_names)
{
	struct ronbus_attach attach;
	struct ronbus_create args;
	size_t len;
	int fd, at;

	for (len = 1; len < RONBUS_NAME_SIZE; len++) {
		char name[RONBUS_NAME_SIZE] = "";

		memset(name, 'n', len);
		fd = bus_create(self->control, named(name));
		ASSERT_LE(0, fd);
		at = bus_attach(self->control, name, RONBUS_ACCESS_SUBSCRIBE);
		EXPECT_LE(0, at);
		close(at);
		close(fd);
	}
	/* No end. */
	args = named("");
	memset(args.name, 'n', sizeof(args.name));
	EXPECT_EQ(-EINVAL, bus_create(self->control, args));
	memset(&attach, 0, sizeof(attach));
	attach.access = 1;
	memset(attach.name, 'n', sizeof(attach.name));
	EXPECT_EQ(-EINVAL, do_ioctl(self->control, RONBUS_IOC_ATTACH, &attach));
	/* Something behind the end, or behind no name at all. */
	args = named("name");
	args.name[RONBUS_NAME_SIZE - 1] = 'x';
	EXPECT_EQ(-EINVAL, bus_create(self->control, args));
	args = named("name");
	args.name[5] = 'x';
	EXPECT_EQ(-EINVAL, bus_create(self->control, args));
	args = named("");
	args.name[1] = 'x';
	EXPECT_EQ(-EINVAL, bus_create(self->control, args));
	fd = bus_create(self->control, named("name"));
	ASSERT_LE(0, fd);
	memset(&attach, 0, sizeof(attach));
	attach.access = 1;
	strcpy(attach.name, "name");
	attach.name[6] = 'x';
	EXPECT_EQ(-EINVAL, do_ioctl(self->control, RONBUS_IOC_ATTACH, &attach));
	close(fd);
}

TEST_F(create, one_name_one_bus)
{
	int fd, other, at;

	fd = bus_create(self->control, named("create-one"));
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EEXIST, bus_create(self->control, named("create-one")));
	EXPECT_CREATES(.name = "create-One");
	EXPECT_CREATES(.name = "create-one.");
	EXPECT_CREATES(.name = "create-on");
	/* What cannot be is no question of names. */
	EXPECT_EQ(-EINVAL, CREATE(.name = "create-one", .capacity = 3));
	/* A control fd is not where names live. */
	other = open(DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, other);
	EXPECT_EQ(-EEXIST, bus_create(other, named("create-one")));
	at = bus_attach(other, "create-one", RONBUS_ACCESS_SUBSCRIBE);
	EXPECT_LE(0, at);
	close(other);
	close(fd);
	/* The one that was found is enough. */
	EXPECT_EQ(-EEXIST, bus_create(self->control, named("create-one")));
	close(at);
	EXPECT_CREATES(.name = "create-one");
	EXPECT_EQ(self->next_fd, fd_next());
}

TEST_F(create, nameless)
{
	int a, b;

	a = CREATE(.capacity = 4);
	b = CREATE(.capacity = 8);
	EXPECT_LE(0, a);
	EXPECT_LE(0, b);
	EXPECT_EQ(-EINVAL, bus_attach(self->control, "", 1));
	close(a);
	close(b);
}

/* The last fd of a bus that has not ended keeps its name taken, and it can be found. */
TEST_F(create, name_lives_with_the_last_fd)
{
	struct ronbus_create args = named("create-last");
	int fd, pub, sub;

	args.flags = RONBUS_BUS_PERSISTENT;
	fd = bus_create(self->control, args);
	ASSERT_LE(0, fd);
	pub = fd_publisher(fd, 0, NULL);
	ASSERT_LE(0, pub);
	close(fd);
	EXPECT_EQ(-EEXIST, bus_create(self->control, named("create-last")));
	fd = bus_attach(self->control, "create-last", 3);
	ASSERT_LE(0, fd);
	sub = fd_subscribe(fd, RONBUS_START_LATEST, 0, NULL);
	ASSERT_LE(0, sub);
	close(fd);
	close(pub);
	EXPECT_EQ(-EEXIST, bus_create(self->control, named("create-last")));
	fd = bus_attach(self->control, "create-last", 3);
	EXPECT_LE(0, fd);
	close(fd);
	close(sub);
	EXPECT_EQ(-ENOENT, bus_attach(self->control, "create-last", 3));
	EXPECT_CREATES(.name = "create-last");
}

TEST_F(create, attach)
{
	struct ronbus_info info;
	int fd, at;
	u32 access;

	EXPECT_EQ(-ENOENT, bus_attach(self->control, "create-attach", 1));
	fd = bus_create(self->control, named("create-attach"));
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EINVAL, bus_attach(self->control, "create-attach", 0));
	EXPECT_EQ(-EINVAL, bus_attach(self->control, "create-attach", 4));
	EXPECT_EQ(-EINVAL, bus_attach(self->control, "create-attach", ~0U));
	EXPECT_EQ(-ENOENT, bus_attach(self->control, "create-attac", 1));
	EXPECT_EQ(-ENOENT, bus_attach(self->control, "create-attachh", 1));
	for (access = 1; access <= 3; access++) {
		int may_publish = access & RONBUS_ACCESS_PUBLISH ? 1 : -EACCES;
		int may_subscribe = access & RONBUS_ACCESS_SUBSCRIBE ? 1 : -EACCES;
		int m;

		at = bus_attach(self->control, "create-attach", access);
		ASSERT_LE(0, at);
		ASSERT_EQ(0, fd_info(at, &info));
		EXPECT_EQ(access | RONBUS_ACCESS_END, info.access);
		EXPECT_EQ(4, info.capacity);
		EXPECT_STREQ("create-attach", info.name);

		m = fd_publisher(at, 0, NULL);
		EXPECT_EQ(may_publish, m >= 0 ? 1 : m);
		if (m >= 0) {
			EXPECT_EQ(0, fd_info(m, &info));
			EXPECT_EQ(access | RONBUS_ACCESS_END, info.access);
		}
		m = fd_publisher(at, RONBUS_PUBLISHER_MAPPED, NULL);
		EXPECT_EQ(may_publish, m >= 0 ? 1 : m);
		m = fd_subscribe(at, RONBUS_START_LATEST, 0, NULL);
		EXPECT_EQ(may_subscribe, m >= 0 ? 1 : m);
		if (m >= 0) {
			EXPECT_EQ(0, fd_info(m, &info));
			EXPECT_EQ(access | RONBUS_ACCESS_END, info.access);
		}
		if (access == RONBUS_ACCESS_SUBSCRIBE) {
			EXPECT_EQ(-EACCES, bus_seal(at));
		}
	}
	EXPECT_EQ(0, bus_seal(at));
}

/* ---- permissions ------------------------------------------------------------------------ */

#define OWNER 1000
#define GROUP 2000
#define OTHER 3000

enum caller {
	CALLER_OWNER, /* in another group */
	CALLER_OWNER_AND_GROUP,
	CALLER_GROUP,
	CALLER_SUPPLEMENTARY,
	CALLER_OTHER,
	CALLER_FSUID, /* the owner by its fsuid alone */
	CALLER_NOT_FSUID, /* the owner but for its fsuid */
	CALLER_ROOT, /* without a capability that would help */
	CALLERS,
};

/* 0, or the call that failed. */
static int become(enum caller caller)
{
	gid_t more[] = { 4000, GROUP };
	uid_t uid = OTHER;
	gid_t gid = 4000;

	if (setgroups(caller == CALLER_SUPPLEMENTARY ? 2 : 0, more))
		return 1;
	if (caller == CALLER_OWNER || caller == CALLER_OWNER_AND_GROUP)
		uid = OWNER;
	if (caller == CALLER_OWNER_AND_GROUP || caller == CALLER_GROUP)
		gid = GROUP;
	if (caller == CALLER_ROOT)
		gid = uid = 0;
	if (setresgid(gid, gid, gid))
		return 2;
	switch (caller) {
	case CALLER_FSUID:
		if (setresuid(OTHER, OTHER, OWNER))
			return 3;
		setfsuid(OWNER);
		return setfsuid(OWNER) == OWNER ? 0 : 4;
	case CALLER_NOT_FSUID:
		if (setresuid(OWNER, OWNER, OTHER))
			return 3;
		setfsuid(OTHER);
		return setfsuid(OTHER) == OTHER ? 0 : 4;
	case CALLER_ROOT: {
		struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
		struct __user_cap_data_struct data[2];

		if (syscall(SYS_capget, &head, data))
			return 5;
		data[CAP_IPC_OWNER / 32].effective &= ~(1U << CAP_IPC_OWNER % 32);
		return syscall(SYS_capset, &head, data) ? 6 : 0;
	}
	default:
		return setresuid(uid, uid, uid) ? 3 : 0;
	}
}

/* What the mode says, as for a file: the first class that fits decides. */
static u32 allowed(enum caller caller, u32 mode)
{
	switch (caller) {
	case CALLER_OWNER:
	case CALLER_OWNER_AND_GROUP:
	case CALLER_FSUID:
		mode >>= 6;
		break;
	case CALLER_GROUP:
	case CALLER_SUPPLEMENTARY:
		mode >>= 3;
		break;
	default:
		break;
	}
	return (mode & 4 ? RONBUS_ACCESS_SUBSCRIBE : 0) | (mode & 2 ? RONBUS_ACCESS_PUBLISH : 0);
}

static bool owns(enum caller caller)
{
	return caller == CALLER_OWNER || caller == CALLER_OWNER_AND_GROUP || caller == CALLER_FSUID;
}

static const u32 modes[] = {
	0,    0600, 0400, 0200, 0060, 0040, 0020, 0006, 0004,
	0002, 0666, 0066, 0606, 0660, 0642, 0246, 0424, 0204,
};

/* Bus number i has modes[i]; made by the owner, whom files would call that too. */
static int make_buses(int control)
{
	unsigned int i;

	if (setresgid(GROUP, GROUP, GROUP) || setresuid(OWNER, OWNER, OWNER))
		return -errno;
	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		struct ronbus_create args = { .capacity = 4, .payload = 8, .mode = modes[i] };
		struct ronbus_info info;
		int fd;

		snprintf(args.name, sizeof(args.name), "create-mode-%u", i);
		fd = bus_create(control, args);
		if (fd < 0)
			return fd;
		/* Whoever makes a bus may do everything with it. */
		if (fd_info(fd, &info) || info.access != 7)
			return -EPROTO;
	}
	return 0;
}

FIXTURE(permission)
{
	int control;
	pid_t owner;
	int stop; /* closed: the owner goes */
};

FIXTURE_VARIANT(permission)
{
	enum caller caller;
};

FIXTURE_VARIANT_ADD(permission, owner){ CALLER_OWNER };
FIXTURE_VARIANT_ADD(permission, owner_and_group){ CALLER_OWNER_AND_GROUP };
FIXTURE_VARIANT_ADD(permission, group){ CALLER_GROUP };
FIXTURE_VARIANT_ADD(permission, supplementary_group){ CALLER_SUPPLEMENTARY };
FIXTURE_VARIANT_ADD(permission, other){ CALLER_OTHER };
FIXTURE_VARIANT_ADD(permission, owner_by_fsuid){ CALLER_FSUID };
FIXTURE_VARIANT_ADD(permission, owner_but_for_fsuid){ CALLER_NOT_FSUID };
FIXTURE_VARIANT_ADD(permission, root_without_capability){ CALLER_ROOT };

FIXTURE_SETUP(permission)
{
	int ready[2], stop[2];
	int result = -EPIPE;

	self->control = OPEN_CONTROL();
	if (geteuid())
		SKIP(return, "needs root, to be somebody else");
	ASSERT_EQ(0, pipe(ready));
	ASSERT_EQ(0, pipe(stop));
	self->owner = fork();
	ASSERT_LE(0, self->owner);
	if (!self->owner) {
		close(stop[1]);
		result = make_buses(self->control);
		if (write(ready[1], &result, sizeof(result)) == sizeof(result))
			(void)!read(stop[0], &result, 1);
		_exit(0);
	}
	close(ready[1]);
	close(stop[0]);
	self->stop = stop[1];
	ASSERT_EQ(sizeof(result), read(ready[0], &result, sizeof(result)));
	close(ready[0]);
	ASSERT_EQ(0, result);
}

FIXTURE_TEARDOWN(permission)
{
	close(self->stop);
	child_status(self->owner);
	close(self->control);
}

TEST_F(permission, by_mode)
{
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		unsigned int i;
		u32 access;

		ASSERT_EQ(0, become(variant->caller));
		for (i = 0; i < ARRAY_SIZE(modes); i++) {
			u32 may = allowed(variant->caller, modes[i] ? modes[i] : 0600);
			char name[RONBUS_NAME_SIZE];
			struct ronbus_info info;

			snprintf(name, sizeof(name), "create-mode-%u", i);
			for (access = 1; access <= 3; access++) {
				int fd = bus_attach(self->control, name, access);

				EXPECT_EQ(access & ~may ? -EACCES : 1, fd >= 0 ? 1 : fd)
				TH_LOG("mode %o, access %u", modes[i], access);
				if (fd < 0)
					continue;
				EXPECT_EQ(0, fd_info(fd, &info));
				EXPECT_EQ(owns(variant->caller) ? access | RONBUS_ACCESS_END
								: access,
					  info.access);
				close(fd);
			}
			/* In use is in use, seen or not; missing is missing. */
			EXPECT_EQ(-EEXIST, bus_create(self->control, named(name)));
		}
		EXPECT_EQ(-ENOENT, bus_attach(self->control, "create-mode-99", 3));
		_exit(0);
	}
	EXPECT_EQ(0, child_status(pid));
}

/* CAP_IPC_OWNER beats the mode, where it counts: over the namespace's user namespace. */
FIXTURE(capability)
{
	int control;
	int bus;
};

FIXTURE_SETUP(capability)
{
	pid_t pid;

	self->control = OPEN_CONTROL();
	if (geteuid())
		SKIP(return, "needs root, to be somebody else");
	self->bus = -1;
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct ronbus_create args = named("create-cap");
		int fd;

		args.mode = 0200;
		ASSERT_EQ(0, setresuid(OWNER, OWNER, OWNER));
		fd = bus_create(self->control, args);
		ASSERT_LE(0, fd);
		/* Keep it until it is found. */
		alarm(20);
		pause();
	}
	ASSERT_TRUE(wait_until((self->bus = bus_attach(self->control, "create-cap", 3)) >= 0));
	kill(pid, SIGKILL);
	child_status(pid);
}

FIXTURE_TEARDOWN(capability)
{
	close(self->bus);
	close(self->control);
}

TEST_F(capability, beats_the_mode)
{
	/* The setup found it so; and a capability that is there but not effective does nothing. */
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
		struct __user_cap_data_struct data[2];
		int fd;

		ASSERT_EQ(0, syscall(SYS_capget, &head, data));
		data[0].effective = data[1].effective = 0;
		ASSERT_EQ(0, syscall(SYS_capset, &head, data));
		EXPECT_EQ(-EACCES, bus_attach(self->control, "create-cap", 3));
		data[CAP_IPC_OWNER / 32].effective = 1U << CAP_IPC_OWNER % 32;
		ASSERT_EQ(0, syscall(SYS_capset, &head, data));
		fd = bus_attach(self->control, "create-cap", 3);
		EXPECT_LE(0, fd);
		_exit(0);
	}
	EXPECT_EQ(0, child_status(pid));
}

/* Root of a namespace of its own is nobody here. */
TEST_F(capability, of_another_user_namespace)
{
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		int fd;

		if (unshare(CLONE_NEWUSER))
			SKIP(_exit(KSFT_SKIP), "no user namespaces here");
		EXPECT_EQ(-EACCES, bus_attach(self->control, "create-cap", 3));
		/* With an IPC namespace of its own it is somebody there. */
		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		EXPECT_EQ(-ENOENT, bus_attach(self->control, "create-cap", 3));
		fd = bus_create(self->control, named("create-cap"));
		EXPECT_LE(0, fd);
		_exit(0);
	}
	child_status(pid);
}

/* ---- namespaces ------------------------------------------------------------------------- */

#define IN_NAMESPACE()                                                             \
	do {                                                                       \
		if (unshare(CLONE_NEWIPC))                                         \
			SKIP(return, "no new IPC namespace: %s", strerror(errno)); \
	} while (0)

TEST_F(create, names_per_ipc_namespace)
{
	int fd, socket[2], theirs;
	char byte = 0;
	pid_t pid;

	fd = bus_create(self->control, named("create-ns"));
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, socket));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct ronbus_create args = named("create-ns");
		int mine, at;

		close(socket[0]);
		close(fd);
		IN_NAMESPACE();
		/* The control fd is the parent's; where the caller is counts. */
		EXPECT_EQ(-ENOENT, bus_attach(self->control, "create-ns", 3));
		args.capacity = 128;
		mine = bus_create(self->control, args);
		EXPECT_LE(0, mine);
		EXPECT_EQ(-EEXIST, bus_create(self->control, args));
		at = bus_attach(self->control, "create-ns", 3);
		EXPECT_LE(0, at);
		EXPECT_EQ(0, send_fd(socket[1], mine));
		EXPECT_EQ(1, read(socket[1], &byte, 1));
		_exit(0);
	}
	close(socket[1]);
	theirs = recv_fd(socket[0]);
	if (theirs >= 0) {
		struct ronbus_info info;
		int at;

		/* Two of that name, and each in its own place. */
		at = bus_attach(self->control, "create-ns", 3);
		EXPECT_LE(0, at);
		EXPECT_EQ(0, fd_info(at, &info));
		EXPECT_EQ(4, info.capacity);
		close(at);
		close(fd);
		EXPECT_EQ(-ENOENT, bus_attach(self->control, "create-ns", 3));
		EXPECT_EQ(1, write(socket[0], &byte, 1));
		EXPECT_EQ(0, child_status(pid));

		/* An fd outlives its namespace. */
		EXPECT_EQ(0, fd_info(theirs, &info));
		EXPECT_EQ(128, info.capacity);
		EXPECT_STREQ("create-ns", info.name);
		fd = fd_publisher(theirs, RONBUS_PUBLISHER_MAPPED, NULL);
		EXPECT_LE(0, fd);
		close(fd);
		EXPECT_EQ(-ENOENT, bus_attach(self->control, "create-ns", 3));
		EXPECT_CREATES(.name = "create-ns");
		close(theirs);
	} else {
		child_status(pid);
	}
}

/* ---- limits ----------------------------------------------------------------------------- */

TEST_F(create, too_many_buses)
{
	struct rlimit limit = { 0 };
	u32 n = 0, i;
	int *fds;
	int fd;

	if (self->q.buses_max > 10000)
		SKIP(return, "%u buses are more than this test has time for", self->q.buses_max);
	limit.rlim_cur = limit.rlim_max = self->q.buses_max + 64;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		SKIP(return, "needs root, to have %u files", self->q.buses_max + 64);
	fds = calloc(self->q.buses_max + 1, sizeof(*fds));
	ASSERT_NE(NULL, fds);
	for (n = 0; n <= self->q.buses_max; n++) {
		fds[n] = CREATE(.capacity = 4, .payload = 8);
		if (fds[n] < 0)
			break;
	}
	EXPECT_EQ(-ENOSPC, fds[n]);
	EXPECT_GE(self->q.buses_max, n);
	/* Somebody else may have a few. */
	EXPECT_LE(self->q.buses_max, n + 16);
	EXPECT_EQ(-ENOSPC, bus_create(self->control, named("create-many")));
	close(fds[n / 2]);
	fd = bus_create(self->control, named("create-many"));
	EXPECT_LE(0, fd);
	/* In use is told before there is no room. */
	EXPECT_EQ(-EEXIST, bus_create(self->control, named("create-many")));
	fds[n / 2] = fd;
	for (i = 0; i < n; i++)
		close(fds[i]);
	free(fds);
	EXPECT_CREATES(.name = "create-many");
}

#define USER_BUSES "/sys/module/ronbus/parameters/user_buses"

/* Make buses until there is an error, which is returned in @last; how many there are. */
static u32 make_many(int control, u32 most, int *last)
{
	u32 n;

	for (n = 0; n < most; n++) {
		*last = bus_create(control, (struct ronbus_create){ .capacity = 4, .payload = 8 });
		if (*last < 0)
			break;
	}
	return n;
}

/* One's own namespaces, with many uids in them, are still one's own. */
static int own_namespaces(uid_t uid)
{
	char text[64];

	if (prctl(PR_SET_DUMPABLE, 1) || unshare(CLONE_NEWUSER | CLONE_NEWIPC) ||
	    write_file("/proc/self/setgroups", "deny"))
		return -1;
	snprintf(text, sizeof(text), "0 %u 1", uid);
	return write_file("/proc/self/uid_map", text) | write_file("/proc/self/gid_map", text);
}

TEST_F(create, a_user_does_not_take_them_all)
{
	long quota = read_number(USER_BUSES);
	int ready[2], done[2], last;
	char byte;
	pid_t pid;

	if (geteuid())
		SKIP(return, "needs root, to be somebody else");
	ASSERT_LT(1, quota);
	ASSERT_GT(900, quota);
	ASSERT_EQ(0, pipe(ready));
	ASSERT_EQ(0, pipe(done));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		int first;

		close(done[1]);
		ASSERT_EQ(0, setresgid(5010, 5010, 5010));
		ASSERT_EQ(0, setresuid(5010, 5010, 5010));
		first = CREATE(.capacity = 4);
		ASSERT_LE(0, first);
		EXPECT_EQ(quota / 2, make_many(self->control, (u32)quota / 2, &last));
		if (own_namespaces(5010))
			SKIP(_exit(KSFT_SKIP), "no user namespaces for everybody here");
		EXPECT_EQ(quota - quota / 2 - 1, make_many(self->control, (u32)quota, &last));
		EXPECT_EQ(-ENOSPC, last);
		/* And in those that are made in there. */
		ASSERT_EQ(0, unshare(CLONE_NEWUSER | CLONE_NEWIPC));
		EXPECT_EQ(-ENOSPC, CREATE(.capacity = 4));
		/* What is given back can be had again. */
		close(first);
		EXPECT_LE(0, CREATE(.capacity = 4));
		EXPECT_EQ(-ENOSPC, CREATE(.capacity = 4));
		EXPECT_EQ(1, write(ready[1], "", 1));
		(void)!read(done[0], &byte, 1);
		_exit(0);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1) {
		EXPECT_EQ(KSFT_SKIP, child_status(pid));
		return;
	}
	/* Others have what is theirs, and a capability helps whoever has it. */
	EXPECT_CREATES(.capacity = 4);
	ASSERT_EQ(0, setresuid(5011, 5011, 0));
	EXPECT_EQ(quota, make_many(self->control, (u32)quota + 1, &last));
	EXPECT_EQ(-ENOSPC, last);
	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, setresuid(5010, 0, 0));
	EXPECT_CREATES(.capacity = 4);
	close(done[1]);
	EXPECT_EQ(0, child_status(pid));
}

TEST_F(create, the_administrator_says_how_many)
{
	long quota = read_number(USER_BUSES);
	char text[16];
	int last;

	if (geteuid())
		SKIP(return, "needs root, to be somebody else");
	ASSERT_EQ(0, write_file(USER_BUSES, "3"));
	ASSERT_EQ(0, setresuid(5012, 5012, 0));
	EXPECT_EQ(3, make_many(self->control, 10, &last));
	EXPECT_EQ(-ENOSPC, last);
	ASSERT_EQ(0, setresuid(0, 0, 0));
	snprintf(text, sizeof(text), "%ld", quota);
	ASSERT_EQ(0, write_file(USER_BUSES, text));
}

TEST_F(create, no_fd_left)
{
	struct rlimit limit, none;
	struct ronbus_info before, after;
	int fd, next;

	fd = bus_create(self->control, named("create-fds"));
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fd_info(fd, &before));
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	next = fcntl(fd, F_DUPFD, 0);
	ASSERT_EQ(fd + 1, next);
	close(next);
	none = limit;
	none.rlim_cur = (rlim_t)next;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
	EXPECT_EQ(-EMFILE, bus_create(self->control, named("create-fds2")));
	EXPECT_EQ(-EMFILE, CREATE(0));
	EXPECT_EQ(-EMFILE, bus_attach(self->control, "create-fds", 3));
	EXPECT_EQ(-EMFILE, fd_subscribe(fd, RONBUS_START_LATEST, 0, NULL));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	ASSERT_EQ(0, fd_info(fd, &after));
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
	EXPECT_EQ(-ENOENT, bus_attach(self->control, "create-fds2", 3));
	EXPECT_CREATES(.name = "create-fds2");
	close(fd);
}

/* How many buses of 64 KiB fit below RLIMIT_MEMLOCK. */
static int buses_that_fit(int control, rlim_t bytes, int *last)
{
	struct rlimit limit = { bytes, bytes };
	int fds[64], n, i;

	if (setrlimit(RLIMIT_MEMLOCK, &limit))
		return -errno;
	for (n = 0; n < 64; n++) {
		fds[n] = bus_create(control,
				    (struct ronbus_create){ .capacity = 1024, .payload = 32 });
		if (fds[n] < 0)
			break;
	}
	*last = n < 64 ? fds[n] : 0;
	for (i = 0; i < n; i++)
		close(fds[i]);
	return n;
}

TEST_F(create, memory_is_charged)
{
	pid_t pid;

	if (geteuid())
		SKIP(return, "needs root, to be somebody else");
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		int n, last;

		ASSERT_EQ(0, setresuid(5000, 5000, 5000));
		n = buses_that_fit(self->control, 1 << 20, &last);
		/* 16 rings alone would be all of it. */
		EXPECT_LE(8, n);
		EXPECT_GT(16, n);
		EXPECT_EQ(-ENOMEM, last);
		/* What was given back can be had again. */
		EXPECT_EQ(n, buses_that_fit(self->control, 1 << 20, &last));
		EXPECT_EQ(-ENOMEM, last);
		EXPECT_GT(n, buses_that_fit(self->control, 1 << 19, &last));
		EXPECT_EQ(-ENOMEM, last);
		EXPECT_EQ(0, buses_that_fit(self->control, 0, &last));
		EXPECT_EQ(-ENOMEM, last);
		_exit(0);
	}
	EXPECT_EQ(0, child_status(pid));
}

/* To the page: a default bus has three, its members one each; and all that a user has adds up. */
TEST_F(create, memory_is_counted_in_pages)
{
	rlim_t page = (rlim_t)sysconf(_SC_PAGESIZE);
	pid_t pid;

	if (geteuid())
		SKIP(return, "needs root, to be somebody else");
	if (page != 4096)
		SKIP(return, "the numbers are for pages of 4096 bytes");
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct rlimit limit = { 3 * page - 1, RLIM_INFINITY };
		int bus, pub, sub;

		ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
		ASSERT_EQ(0, setresuid(5002, 5002, 5002));
		EXPECT_EQ(-ENOMEM, CREATE(0));
		limit.rlim_cur = 3 * page;
		ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
		bus = CREATE(0);
		EXPECT_LE(0, bus);
		EXPECT_EQ(-ENOMEM, fd_publisher(bus, 0, NULL));
		limit.rlim_cur = 4 * page;
		ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
		pub = fd_publisher(bus, 0, NULL);
		EXPECT_LE(0, pub);
		EXPECT_EQ(-ENOMEM, fd_subscribe(bus, RONBUS_START_LATEST, 0, NULL));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			/* Another process, the same user. */
			EXPECT_EQ(-ENOMEM, CREATE(.capacity = 4));
			limit.rlim_cur = 6 * page;
			ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
			EXPECT_LE(0, CREATE(.capacity = 4));
			EXPECT_EQ(-ENOMEM, fd_subscribe(bus, RONBUS_START_LATEST, 0, NULL));
			_exit(0);
		}
		EXPECT_EQ(0, child_status(pid));
		close(pub);
		sub = fd_subscribe(bus, RONBUS_START_LATEST, 0, NULL);
		EXPECT_LE(0, sub);
		_exit(0);
	}
	EXPECT_EQ(0, child_status(pid));
}

/* A member's own page is charged to the member. */
TEST_F(create, memory_of_members_is_charged)
{
	pid_t pid;
	int bus;

	if (geteuid())
		SKIP(return, "needs root, to be somebody else");
	bus = CREATE(.flags = RONBUS_BUS_PERSISTENT);
	ASSERT_LE(0, bus);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct rlimit limit = { 0 };
		struct ronbus_info info;

		ASSERT_EQ(0, setresuid(5001, 5001, 5001));
		ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
		EXPECT_EQ(-ENOMEM, fd_publisher(bus, 0, NULL));
		EXPECT_EQ(-ENOMEM, fd_subscribe(bus, RONBUS_START_LATEST, 0, NULL));
		EXPECT_EQ(0, fd_info(bus, &info));
		EXPECT_EQ(0, info.publishers);
		EXPECT_EQ(0, info.subscribers);
		_exit(0);
	}
	EXPECT_EQ(0, child_status(pid));
	close(bus);
}

/* Has this process made use of a capability? PF_SUPERPRIV, in its flags. */
static bool used_capability(void)
{
	char text[1024] = "", *at;
	unsigned int flags = 0;
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);

	if (read(fd, text, sizeof(text) - 1) > 0 && (at = strrchr(text, ')')))
		sscanf(at + 2, "%*c %*d %*d %*d %*d %*d %u", &flags);
	close(fd);
	return flags & 0x100;
}

/* Which is asked for only where it is needed: who has none would fill a log of refusals. */
TEST_F(create, memory_below_the_limit_asks_for_nothing)
{
	struct rlimit limit = { 1 << 30, 1 << 30 };
	pid_t pid;

	if (geteuid())
		SKIP(return, "needs CAP_IPC_LOCK");
	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		int bus = CREATE(0);

		EXPECT_LE(0, bus);
		EXPECT_LE(0, fd_publisher(bus, 0, NULL));
		EXPECT_LE(0, fd_subscribe(bus, RONBUS_START_LATEST, 0, NULL));
		EXPECT_FALSE(used_capability());
		limit.rlim_cur = 0;
		ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
		EXPECT_LE(0, CREATE(0));
		EXPECT_TRUE(used_capability());
		_exit(0);
	}
	EXPECT_EQ(0, child_status(pid));
}

TEST_F(create, memory_of_the_privileged_is_not)
{
	struct rlimit limit = { 0 };
	int last;

	if (geteuid())
		SKIP(return, "needs CAP_IPC_LOCK");
	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
	EXPECT_EQ(64, buses_that_fit(self->control, 0, &last));
	EXPECT_EQ(0, last);
}

TEST_HARNESS_MAIN
