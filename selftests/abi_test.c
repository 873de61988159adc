// SPDX-License-Identifier: GPL-2.0
/*
 * The ABI: structures by size, what must be zero, bad pointers, which file takes which ioctl.
 */
#include <sys/epoll.h>

#include "ronbus_kselftest.h"
#include "abi_layout.h"

/* Of the fields of a meta word only this has a macro of its own. */
_Static_assert(RONBUS_STATE(0x123456789abcdeULL, 0x3f, RONBUS_KIND_HOLE) == 0x123456789abcdefe,
	       "the words of the ring");

enum {
	CONTROL,
	BUS,
	PUBLISHER,
	SUBSCRIBER,
	ROLES
};

/* What every ioctl has in common: the table is made from the description that the fuzzers read. */
#include "../tools/fuzz/describe.h"
#include "ioctls.h"

#define OPS ((int)ARRAY_SIZE(ioctls))
/* Each that has a structure. */
#define for_each_op(op)              \
	for (op = 0; op < OPS; op++) \
		if (ioctls[op].size)

/* On how many kinds of files, and on which of them it is tried here. */
static const struct {
	bool on[ROLES];
	int tried;
} roles[] = {
	[ROLE_RONBUS_ALL] = { { true, true, true, true }, CONTROL },
	[ROLE_RONBUS] = { { [CONTROL] = true }, CONTROL },
	[ROLE_RONBUS_ANY] = { { [BUS] = true, [PUBLISHER] = true, [SUBSCRIBER] = true }, BUS },
	[ROLE_RONBUS_BUS] = { { [BUS] = true }, BUS },
	[ROLE_RONBUS_PUB] = { { [PUBLISHER] = true }, PUBLISHER },
	[ROLE_RONBUS_SUB] = { { [SUBSCRIBER] = true }, SUBSCRIBER },
};

static int tried_on(int op)
{
	return roles[ioctls[op].takes].tried;
}

static bool is_for(int op, int role)
{
	return roles[ioctls[op].takes].on[role];
}

/* Whether the kernel reads the structure, and whether it writes it. */
static bool reads(int op)
{
	return _IOC_DIR(ioctls[op].cmd) & _IOC_WRITE;
}

static bool writes(int op)
{
	return _IOC_DIR(ioctls[op].cmd) & _IOC_READ;
}

static bool makes_fd(int op)
{
	return ioctls[op].gives != ROLE_NONE;
}

static int op_of(unsigned int cmd)
{
	int op = 0;

	while (ioctls[op].cmd != cmd)
		op++;
	return op;
}

/*
 * Publishing must not give the subscriber something to read, so the two are on different buses:
 * the bus and publisher fds are of one, the subscriber of another.
 */
FIXTURE(abi)
{
	int fd[ROLES];
	int reader; /* a subscriber of the publisher */
	int other_bus;
	int next_fd; /* after setup */
	char *page; /* two pages, the second inaccessible */
	long page_size;
};

FIXTURE_SETUP(abi)
{
	self->fd[CONTROL] = OPEN_CONTROL();
	self->fd[BUS] = bus_create(self->fd[CONTROL],
				   (struct ronbus_create){ .features = RONBUS_F_BLOCKS,
							   .capacity = 64,
							   .block_size = 64,
							   .flags = RONBUS_BUS_PERSISTENT,
							   .name = "abi-test" });
	ASSERT_LE(0, self->fd[BUS]);
	self->fd[PUBLISHER] = fd_publisher(self->fd[BUS], RONBUS_PUBLISHER_MAPPED, NULL);
	ASSERT_LE(0, self->fd[PUBLISHER]);
	self->reader = fd_subscribe(self->fd[BUS], RONBUS_START_LATEST, 0, NULL);
	ASSERT_LE(0, self->reader);
	self->other_bus = bus_create(self->fd[CONTROL],
				     (struct ronbus_create){ .features = RONBUS_F_INTEREST |
									 RONBUS_F_COALESCE });
	ASSERT_LE(0, self->other_bus);
	self->fd[SUBSCRIBER] = fd_subscribe(self->other_bus, RONBUS_START_LATEST, 0, NULL);
	ASSERT_LE(0, self->fd[SUBSCRIBER]);

	self->page_size = sysconf(_SC_PAGESIZE);
	self->page = mmap(NULL, 2 * (size_t)self->page_size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->page);
	ASSERT_EQ(0, mprotect(self->page + self->page_size, (size_t)self->page_size, PROT_NONE));
	self->next_fd = fd_next();
}

FIXTURE_TEARDOWN(abi)
{
	int i;

	for (i = 0; i < ROLES; i++)
		close(self->fd[i]);
	close(self->reader);
	close(self->other_bus);
}

static const char one_message[8] = "message";
static struct ronbus_vec one_vec = { .len = sizeof(one_message) };

/* A structure that the ioctl accepts, all that it only returns poisoned. */
static void fill(int op, void *arg)
{
	const struct description *this = &ioctls[op];
	unsigned int i;

	memset(arg, reads(op) ? 0 : POISON, this->size);
	for (i = 0; i < this->count; i++)
		if (this->fields[i].kind == OUT)
			memset((char *)arg + this->fields[i].offset, POISON, this->fields[i].size);
	switch (this->cmd) {
	case RONBUS_IOC_ATTACH: {
		struct ronbus_attach *a = arg;

		a->access = RONBUS_ACCESS_SUBSCRIBE | RONBUS_ACCESS_PUBLISH;
		strcpy(a->name, "abi-test");
		break;
	}
	case RONBUS_IOC_SHARE:
		((struct ronbus_share *)arg)->access = RONBUS_ACCESS_SUBSCRIBE;
		break;
	case RONBUS_IOC_SUBSCRIBE:
		((struct ronbus_subscribe *)arg)->topics = ~0ULL;
		break;
	case RONBUS_IOC_STATS:
		((struct ronbus_stats *)arg)->which = RONBUS_STATS_BUS;
		break;
	case RONBUS_IOC_PUBLISH: {
		struct ronbus_publish *a = arg;

		one_vec.data = (uintptr_t)one_message;
		a->vec = (uintptr_t)&one_vec;
		a->count = 1;
		break;
	}
	case RONBUS_IOC_NOTIFY:
		((struct ronbus_notify *)arg)->subscribers = ~0ULL;
		break;
	case RONBUS_IOC_PUBLISH_BLOCK: {
		struct ronbus_publish_block *a = arg;

		a->data = (uintptr_t)one_message;
		a->len = sizeof(one_message);
		a->event = (uintptr_t)one_message;
		a->event_len = sizeof(one_message);
		break;
	}
	case RONBUS_IOC_SET_EVENTFD:
		((struct ronbus_eventfd *)arg)->fd = -1;
		break;
	case RONBUS_IOC_SET_TOPICS:
		((struct ronbus_topics *)arg)->topics = ~0ULL;
		break;
	}
}

/* Was that a success? An fd is closed. */
static bool good(int op, int ret)
{
	unsigned int cmd = ioctls[op].cmd;

	if (!makes_fd(op))
		return ret == (cmd == RONBUS_IOC_PUBLISH ? 1
			       : cmd == RONBUS_IOC_WAIT	 ? -ETIMEDOUT
							 : 0);
	if (ret < 0)
		return false;
	close(ret);
	return true;
}

#define EXPECT_GOOD(op, ret)                                                                   \
	do {                                                                                   \
		int __ret = (ret);                                                             \
		EXPECT_TRUE(good(op, __ret)) TH_LOG("%s returned %d", ioctls[op].name, __ret); \
	} while (0)

#define EXPECT_OP(op, want, ret)                                                \
	do {                                                                    \
		int __ret = (ret);                                              \
		EXPECT_EQ(want, __ret)                                          \
		TH_LOG("%s returned %d, not %d", ioctls[op].name, __ret, want); \
		if (makes_fd(op) && __ret >= 0)                                 \
			close(__ret);                                           \
	} while (0)

#define NOTHING_LEAKED() EXPECT_EQ(self->next_fd, fd_next())

TEST_F(abi, exact_size)
{
	char buf[512];
	int op;

	for_each_op(op) {
		memset(buf, POISON, sizeof(buf));
		fill(op, buf);
		EXPECT_GOOD(op, do_ioctl(self->fd[tried_on(op)], ioctls[op].cmd, buf));
		/* Nothing is written after the structure. */
		EXPECT_EQ(POISON, (unsigned char)buf[ioctls[op].size]);
	}
	NOTHING_LEAKED();
}

TEST_F(abi, smaller)
{
	char buf[512], before[512];
	unsigned int size;
	int op;

	for_each_op(op) {
		for (size = 0; size < ioctls[op].size; size++) {
			memset(buf, POISON, sizeof(buf));
			fill(op, buf);
			memcpy(before, buf, sizeof(buf));
			EXPECT_OP(op, -EINVAL,
				  do_ioctl(self->fd[tried_on(op)], cmd_sized(ioctls[op].cmd, size),
					   buf));
			EXPECT_EQ(0, memcmp(before, buf, sizeof(buf)));
		}
	}
	NOTHING_LEAKED();
}

static const unsigned int tails[] = { 1, 3, 7, 8, 9, 64, 1000, 4096, 8192 };

TEST_F(abi, larger_and_zero)
{
	size_t i, j, room = 1 << _IOC_SIZEBITS;
	unsigned char *buf = malloc(room + 1);
	int op;

	ASSERT_NE(NULL, buf);
	for_each_op(op) {
		for (i = 0; i <= ARRAY_SIZE(tails); i++) {
			size_t size = i < ARRAY_SIZE(tails) ? ioctls[op].size + tails[i] : room - 1;

			memset(buf, POISON, room + 1);
			fill(op, buf);
			/* What is only returned needs no zeroing by the program. */
			if (reads(op))
				memset(buf + ioctls[op].size, 0, size - ioctls[op].size);
			EXPECT_GOOD(op,
				    do_ioctl(self->fd[tried_on(op)],
					     cmd_sized(ioctls[op].cmd, (unsigned int)size), buf));
			for (j = ioctls[op].size; j < size && !buf[j]; j++)
				;
			EXPECT_EQ(size, j) TH_LOG("%s: tail not zero", ioctls[op].name);
			EXPECT_EQ(POISON, buf[size]);
		}
	}
	free(buf);
	NOTHING_LEAKED();
}

TEST_F(abi, larger_and_not_zero)
{
	size_t i, room = 1 << _IOC_SIZEBITS;
	unsigned char *buf = calloc(1, room);
	int op;

	ASSERT_NE(NULL, buf);
	for_each_op(op) {
		if (!reads(op))
			continue;
		for (i = 0; i <= ARRAY_SIZE(tails); i++) {
			size_t size = i < ARRAY_SIZE(tails) ? ioctls[op].size + tails[i] : room - 1;
			size_t at[] = { ioctls[op].size, (ioctls[op].size + size) / 2, size - 1 };
			size_t j;

			for (j = 0; j < ARRAY_SIZE(at); j++) {
				memset(buf, 0, room);
				fill(op, buf);
				buf[at[j]] = 1;
				EXPECT_OP(op, -E2BIG,
					  do_ioctl(self->fd[tried_on(op)],
						   cmd_sized(ioctls[op].cmd, (unsigned int)size),
						   buf));
			}
		}
	}
	free(buf);
	NOTHING_LEAKED();
}

TEST_F(abi, any_alignment)
{
	char buf[512 + 16];
	int op, shift;

	for_each_op(op) {
		for (shift = 1; shift < 16; shift++) {
			char aligned[512];

			fill(op, aligned);
			memcpy(buf + shift, aligned, ioctls[op].size);
			EXPECT_GOOD(op,
				    do_ioctl(self->fd[tried_on(op)], ioctls[op].cmd, buf + shift));
		}
	}
	NOTHING_LEAKED();
}

TEST_F(abi, bad_pointer)
{
	char valid[512];
	int op;

	for_each_op(op) {
		int fd = self->fd[tried_on(op)];
		unsigned int inside;

		EXPECT_OP(op, -EFAULT, do_ioctl(fd, ioctls[op].cmd, NULL));
		EXPECT_OP(op, -EFAULT, do_ioctl(fd, ioctls[op].cmd, (void *)1));
		EXPECT_OP(op, -EFAULT, do_ioctl(fd, ioctls[op].cmd, (void *)-1L));
		EXPECT_OP(op, -EFAULT, do_ioctl(fd, ioctls[op].cmd, (void *)0xffff888000000000UL));
		EXPECT_OP(op, -EFAULT, do_ioctl(fd, ioctls[op].cmd, (void *)0x8000000000000000UL));
		/* Half of it is there. */
		fill(op, valid);
		for (inside = 0; inside < ioctls[op].size; inside += 4) {
			char *arg = self->page + self->page_size - inside;

			memcpy(arg, valid, inside);
			EXPECT_OP(op, -EFAULT, do_ioctl(fd, ioctls[op].cmd, arg));
		}
	}
	NOTHING_LEAKED();
}

/* The tail is there to be looked at too. */
TEST_F(abi, bad_pointer_in_tail)
{
	char valid[512];
	int op;

	for_each_op(op) {
		char *arg = self->page + self->page_size - ioctls[op].size - 8;

		if (!reads(op))
			continue;
		memset(self->page, 0, (size_t)self->page_size);
		fill(op, valid);
		memcpy(arg, valid, ioctls[op].size);
		EXPECT_OP(op, -EFAULT,
			  do_ioctl(self->fd[tried_on(op)],
				   cmd_sized(ioctls[op].cmd, ioctls[op].size + 64), arg));
	}
	NOTHING_LEAKED();
}

/* The result cannot be handed out: the program has nothing, and the bus lost nothing. */
TEST_F(abi, read_only_result)
{
	struct ronbus_info before, after;
	struct ronbus_create create = { .name = "abi-ro" };
	char valid[512];
	int op, fd;

	ASSERT_EQ(0, fd_info(self->fd[BUS], &before));
	for_each_op(op) {
		if (!writes(op) || ioctls[op].cmd == RONBUS_IOC_PUBLISH ||
		    ioctls[op].cmd == RONBUS_IOC_NOTIFY)
			continue;
		ASSERT_EQ(0, mprotect(self->page, (size_t)self->page_size, PROT_READ | PROT_WRITE));
		fill(op, valid);
		if (ioctls[op].cmd == RONBUS_IOC_CREATE)
			memcpy(valid, &create, sizeof(create));
		memcpy(self->page, valid, ioctls[op].size);
		ASSERT_EQ(0, mprotect(self->page, (size_t)self->page_size, PROT_READ));
		EXPECT_OP(op, -EFAULT,
			  do_ioctl(self->fd[tried_on(op)], ioctls[op].cmd, self->page));
		EXPECT_EQ(0, memcmp(self->page, valid, ioctls[op].size));
	}
	ASSERT_EQ(0, fd_info(self->fd[BUS], &after));
	EXPECT_EQ(before.publishers, after.publishers);
	EXPECT_EQ(before.subscribers, after.subscribers);
	EXPECT_EQ(-ENOENT, bus_attach(self->fd[CONTROL], "abi-ro", RONBUS_ACCESS_SUBSCRIBE));
	fd = bus_create(self->fd[CONTROL], create);
	EXPECT_LE(0, fd);
	close(fd);
	NOTHING_LEAKED();
}

/* A member that is only returned is not an argument, whatever the program left there. */
TEST_F(abi, returned_members_are_no_arguments)
{
	struct ronbus_publisher publisher;
	struct ronbus_subscribe subscribe;

	poison(publisher);
	publisher.flags = 0;
	EXPECT_GOOD(op_of(RONBUS_IOC_PUBLISHER),
		    do_ioctl(self->fd[BUS], RONBUS_IOC_PUBLISHER, &publisher));
	EXPECT_EQ(0, publisher.id);
	EXPECT_EQ(0, publisher.token);
	fill(op_of(RONBUS_IOC_SUBSCRIBE), &subscribe);
	poison(subscribe.index);
	EXPECT_GOOD(op_of(RONBUS_IOC_SUBSCRIBE),
		    do_ioctl(self->fd[BUS], RONBUS_IOC_SUBSCRIBE, &subscribe));
	EXPECT_EQ(1, subscribe.index);
	NOTHING_LEAKED();
}

/* A publisher that never was does not take the bus with it. */
TEST_F(abi, failed_publisher_ends_nothing)
{
	struct ronbus_publisher *args = (void *)self->page;
	struct ronbus_info info;
	struct rlimit limit;
	int bus, fd;

	bus = bus_create(self->fd[CONTROL], (struct ronbus_create){ 0 });
	ASSERT_LE(0, bus);
	args->flags = 0;
	args->id = 0;
	args->token = 0;
	ASSERT_EQ(0, mprotect(self->page, (size_t)self->page_size, PROT_READ));
	EXPECT_EQ(-EFAULT, do_ioctl(bus, RONBUS_IOC_PUBLISHER, args));
	EXPECT_EQ(0, fd_info(bus, &info));
	EXPECT_EQ(0, info.status);

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	fd = fcntl(bus, F_DUPFD, 0);
	ASSERT_LT(bus, fd);
	close(fd);
	limit.rlim_cur = (rlim_t)fd;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	EXPECT_EQ(-EMFILE, fd_publisher(bus, 0, NULL));
	limit.rlim_cur = 1024;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	EXPECT_EQ(0, fd_info(bus, &info));
	EXPECT_EQ(0, info.status);
	EXPECT_EQ(0, info.publishers);

	fd = fd_publisher(bus, 0, NULL);
	EXPECT_LE(0, fd);
	close(fd);
	close(bus);
	NOTHING_LEAKED();
}

/* PUBLISH says with its return value alone how many it took. */
TEST_F(abi, read_only_publish)
{
	struct ronbus_stats before, after;
	struct ronbus_publish args;
	int ret;

	fill(op_of(RONBUS_IOC_PUBLISH), &args);
	memcpy(self->page, &args, sizeof(args));
	ASSERT_EQ(0, mprotect(self->page, (size_t)self->page_size, PROT_READ));
	ASSERT_EQ(0, fd_stats(self->fd[BUS], RONBUS_STATS_BUS, &before));
	ret = do_ioctl(self->fd[PUBLISHER], RONBUS_IOC_PUBLISH, self->page);
	ASSERT_EQ(0, fd_stats(self->fd[BUS], RONBUS_STATS_BUS, &after));
	EXPECT_TRUE(ret == 1 || ret == -EFAULT);
	EXPECT_EQ(before.tail + (ret == 1), after.tail);
}

/* One bit after the other, but for those that are known. */
static void expect_zero(struct __test_metadata *_metadata, int fd, int op, size_t offset,
			size_t size, u64 known)
{
	unsigned char buf[512];
	unsigned int bit;

	for (bit = 0; bit < 8 * size; bit++) {
		if (known >> bit & 1)
			continue;
		fill(op, buf);
		buf[offset + bit / 8] |= 1U << bit % 8;
		EXPECT_OP(op, -EINVAL, do_ioctl(fd, ioctls[op].cmd, buf));
	}
}

/* Everything that is padding or a flag that is not known, and other members as they are here. */
TEST_F(abi, must_be_zero)
{
	static const struct {
		unsigned int cmd;
		size_t offset;
		size_t size;
		u64 known;
	} words[] = {
#define WORD(op, type, member, known)                                                         \
	{ RONBUS_IOC_##op, offsetof(struct type, member), sizeof(((struct type *)0)->member), \
	  known }
		WORD(CREATE, ronbus_create, mode, 0666),
		WORD(CREATE, ronbus_create, subscribers, 0),
		WORD(ATTACH, ronbus_attach, access, 0x3),
		WORD(SHARE, ronbus_share, access, 0x7),
		WORD(SUBSCRIBE, ronbus_subscribe, position, 0),
#undef WORD
	};
	unsigned int i, k, found = 0;
	int op;

	for_each_op(op) {
		for (i = 0; i < ioctls[op].count; i++) {
			const struct field *field = &ioctls[op].fields[i];
			bool flags =
				!strcmp(field->name, "flags") || !strcmp(field->name, "features");
			u64 known = 0;

			if (field->kind != ZERO && !(field->kind == SET && flags))
				continue;
			for (k = 0; k < field->count; k++)
				known |= field->set[k];
			expect_zero(_metadata, self->fd[tried_on(op)], op, field->offset,
				    field->size, known);
			found++;
		}
	}
	EXPECT_LE(17, found);
	for (i = 0; i < ARRAY_SIZE(words); i++) {
		op = op_of(words[i].cmd);
		expect_zero(_metadata, self->fd[tried_on(op)], op, words[i].offset, words[i].size,
			    words[i].known);
	}
	NOTHING_LEAKED();
}

TEST_F(abi, roles)
{
	char buf[512];
	int op, role;

	for_each_op(op) {
		for (role = 0; role < ROLES; role++) {
			int ret;

			fill(op, buf);
			if (ioctls[op].cmd == RONBUS_IOC_STATS && role == SUBSCRIBER)
				((struct ronbus_stats *)(void *)buf)->which = RONBUS_STATS_BUS;
			ret = do_ioctl(self->fd[role], ioctls[op].cmd, buf);
			if (is_for(op, role)) {
				EXPECT_GOOD(op, ret);
			} else {
				EXPECT_OP(op, -ENOTTY, ret);
			}
		}
	}
	EXPECT_EQ(-ENOTTY, fd_arm(self->fd[CONTROL]));
	EXPECT_EQ(-ENOTTY, fd_arm(self->fd[BUS]));
	EXPECT_EQ(-ENOTTY, fd_arm(self->fd[PUBLISHER]));
	EXPECT_EQ(0, fd_arm(self->fd[SUBSCRIBER]));
	EXPECT_EQ(-ENOTTY, bus_seal(self->fd[CONTROL]));
	EXPECT_EQ(-ENOTTY, bus_seal(self->fd[PUBLISHER]));
	EXPECT_EQ(-ENOTTY, bus_seal(self->fd[SUBSCRIBER]));
	EXPECT_EQ(0, bus_seal(self->fd[BUS]));
	NOTHING_LEAKED();
}

/* A wrong role is told before the structure is looked at. */
TEST_F(abi, wrong_role_and_bad_pointer)
{
	int op, role;

	for_each_op(op) {
		for (role = 0; role < ROLES; role++)
			if (!is_for(op, role)) {
				EXPECT_OP(op, -ENOTTY,
					  do_ioctl(self->fd[role], ioctls[op].cmd, NULL));
			}
	}
}

TEST_F(abi, unknown_ioctls)
{
	static char buf[1 << _IOC_SIZEBITS];
	int role, nr, op;

	for (role = 0; role < ROLES; role++) {
		for (nr = 0; nr < 256; nr++) {
			unsigned long cmd = _IOC(_IOC_READ | _IOC_WRITE, RONBUS_IOC_TYPE, nr, 8);
			bool known = false;

			for (op = 0; op < OPS; op++)
				known |= _IOC_NR(ioctls[op].cmd) == (unsigned int)nr;
			if (known)
				continue;
			EXPECT_EQ(-ENOTTY, do_ioctl(self->fd[role], cmd, buf));
			EXPECT_EQ(-ENOTTY, do_ioctl(self->fd[role], _IO(RONBUS_IOC_TYPE, nr), buf));
		}
	}
	/* Another direction or another type is another ioctl. */
	for_each_op(op) {
		unsigned int dir, type;

		for (dir = 0; dir < 4; dir++) {
			if (dir == _IOC_DIR(ioctls[op].cmd))
				continue;
			fill(op, buf);
			EXPECT_OP(op, -ENOTTY,
				  do_ioctl(self->fd[tried_on(op)],
					   _IOC(dir, RONBUS_IOC_TYPE, _IOC_NR(ioctls[op].cmd),
						ioctls[op].size),
					   buf));
		}
		for (type = 0xc0; type < 0xcf; type++) {
			if (type == RONBUS_IOC_TYPE)
				continue;
			fill(op, buf);
			EXPECT_OP(op, -ENOTTY,
				  do_ioctl(self->fd[tried_on(op)],
					   _IOC(_IOC_DIR(ioctls[op].cmd), type,
						_IOC_NR(ioctls[op].cmd), ioctls[op].size),
					   buf));
		}
	}
	NOTHING_LEAKED();
}

TEST_F(abi, query)
{
	struct ronbus_query q, first;
	int role;

	for (role = 0; role < ROLES; role++) {
		poison(q);
		ASSERT_EQ(0, do_ioctl(self->fd[role], RONBUS_IOC_QUERY, &q));
		if (role == CONTROL)
			first = q;
		EXPECT_EQ(0, memcmp(&first, &q, sizeof(q)));
	}
	EXPECT_EQ(RONBUS_ABI_VERSION, q.abi_version);
	EXPECT_EQ(self->page_size, q.page_size);
	EXPECT_EQ(0, q.features & ~RONBUS_FEATURES_KNOWN);
	EXPECT_EQ(RONBUS_BUS_FLAGS_KNOWN, q.bus_flags);
	EXPECT_LT(0, q.buses_max);
	EXPECT_EQ(RONBUS_CAPACITY_MIN, q.capacity_min);
	EXPECT_GE(RONBUS_CAPACITY_MAX, q.capacity_max);
	EXPECT_EQ(RONBUS_PAYLOAD_MIN, q.payload_min);
	EXPECT_GE(RONBUS_PAYLOAD_MAX, q.payload_max);
	EXPECT_EQ(RONBUS_SUBSCRIBERS_MAX, q.subscribers_max);
	EXPECT_EQ(RONBUS_PUBLISHERS_MAX, q.publishers_max);
	EXPECT_EQ(RONBUS_TOPICS_MAX, q.topics_max);
	EXPECT_EQ(RONBUS_BATCH_MAX, q.batch_max);
	EXPECT_EQ(RONBUS_NAME_SIZE, q.name_size);
	EXPECT_EQ(sizeof(struct ronbus_create), q.create_size);
	EXPECT_EQ(sizeof(struct ronbus_info), q.info_size);
	EXPECT_EQ(sizeof(struct ronbus_stats), q.stats_size);
	EXPECT_EQ(sizeof(struct ronbus_info_page), q.info_page_size);
	EXPECT_EQ(sizeof(struct ronbus_self), q.self_page_size);
	EXPECT_LE(ronbus_ring_bytes(65536, 8, 0), q.ring_bytes_max);
}

TEST_F(abi, info)
{
	u64 ring = (ronbus_ring_bytes(64, 32, 0) + (u64)self->page_size - 1) &
		   ~((u64)self->page_size - 1);
	struct ronbus_info info;
	int role;

	for (role = BUS; role < ROLES; role++) {
		ASSERT_EQ(0, fd_info(self->fd[role], &info));
		EXPECT_EQ(role, info.role);
		EXPECT_EQ(role == PUBLISHER ? 1 : 0, info.member);
		EXPECT_EQ(role == SUBSCRIBER ? RONBUS_F_INTEREST | RONBUS_F_COALESCE
					     : RONBUS_F_BLOCKS,
			  info.features);
		EXPECT_EQ(role == SUBSCRIBER ? 0 : RONBUS_BUS_PERSISTENT, info.flags);
		EXPECT_EQ(64, info.capacity);
		EXPECT_EQ(32, info.payload);
		EXPECT_EQ(7, info.access);
		EXPECT_EQ(role == SUBSCRIBER ? 0 : 1, info.publishers);
		EXPECT_EQ(1, info.subscribers);
		EXPECT_EQ(0600, info.mode);
		EXPECT_EQ(ring, info.ring_bytes);
		EXPECT_EQ(self->page_size, info.info_bytes);
		EXPECT_EQ(role == BUS ? 0 : self->page_size, info.self_bytes);
		EXPECT_EQ(0, info.status);
		EXPECT_EQ(0, info.pad);
		EXPECT_STREQ(role == SUBSCRIBER ? "" : "abi-test", info.name);
		EXPECT_EQ(0, info.name[RONBUS_NAME_SIZE - 1]);
	}
}

/* The info page says the same as INFO, and no more than it should. */
TEST_F(abi, info_page)
{
	const struct ronbus_info_page *page;
	const unsigned char *bytes;
	long i;

	bytes = fd_map(self->fd[PUBLISHER], (size_t)self->page_size, PROT_READ, RONBUS_MMAP_INFO);
	ASSERT_NE(MAP_FAILED, bytes);
	page = (const void *)bytes;
	EXPECT_EQ(RONBUS_ABI_VERSION, page->abi_version);
	EXPECT_EQ(sizeof(*page), page->size);
	EXPECT_EQ(RONBUS_F_BLOCKS, page->features);
	EXPECT_EQ(RONBUS_BUS_PERSISTENT, page->flags);
	EXPECT_EQ(64, page->capacity);
	EXPECT_EQ(32, page->payload);
	EXPECT_EQ(0, page->status);
	EXPECT_EQ(0, page->armed);
	for (i = 0; i < RONBUS_TOPICS_MAX; i++) {
		EXPECT_EQ(1, page->audience[i]);
	}
	EXPECT_EQ(1, page->members);
	EXPECT_EQ(0, page->blocked);
	EXPECT_EQ(0, page->wake_next);
	for (i = 0; i < (long)ARRAY_SIZE(page->reserved0); i++) {
		EXPECT_EQ(0, page->reserved0[i]);
	}
	for (i = 0; i < (long)ARRAY_SIZE(page->reserved1); i++) {
		EXPECT_EQ(0, page->reserved1[i]);
	}
	for (i = sizeof(*page); i < self->page_size && !bytes[i]; i++)
		;
	EXPECT_EQ(self->page_size, i);
}

TEST_F(abi, outputs_are_filled)
{
	struct ronbus_create create = { .name = "" };
	struct ronbus_subscribe subscribe;
	struct ronbus_stats stats;
	u32 value;
	int fd;

	fd = do_ioctl(self->fd[CONTROL], RONBUS_IOC_CREATE, &create);
	EXPECT_LE(0, fd);
	EXPECT_EQ(RONBUS_CAPACITY_DEFAULT, create.capacity);
	EXPECT_EQ(RONBUS_PAYLOAD_DEFAULT, create.payload);
	close(fd);

	fd = fd_publisher(self->fd[BUS], RONBUS_PUBLISHER_MAPPED, &value);
	EXPECT_LE(0, fd);
	EXPECT_EQ(2, value);
	close(fd);
	fd = fd_publisher(self->fd[BUS], 0, &value);
	EXPECT_LE(0, fd);
	EXPECT_EQ(0, value);
	close(fd);

	fd = fd_subscribe(self->fd[BUS], RONBUS_START_LATEST, 0, &subscribe);
	EXPECT_LE(0, fd);
	EXPECT_EQ(1, subscribe.index);
	EXPECT_EQ(64, subscribe.position);
	EXPECT_EQ(0, subscribe.pad);
	close(fd);

	EXPECT_EQ(0, fd_notify(self->fd[PUBLISHER], 0, &value));
	EXPECT_EQ(0, value);
	one_vec.data = (uintptr_t)one_message;
	EXPECT_EQ(1, fd_publish(self->fd[PUBLISHER], 63, &one_vec, 1, &value));
	EXPECT_EQ(1, value);

	EXPECT_EQ(0, fd_stats(self->fd[BUS], RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(RONBUS_STATS_BUS, stats.which);
	EXPECT_EQ(0, stats.flags);
	EXPECT_EQ(1, stats.subscribers);
	EXPECT_EQ(65, stats.tail);
	EXPECT_EQ(0, stats.cursor);
	EXPECT_EQ(0, stats.start);
	EXPECT_EQ(64, stats.capacity);
	EXPECT_EQ(1, stats.publishers);
	EXPECT_EQ(0, fd_stats(self->fd[BUS], 0, &stats));
	EXPECT_EQ(0, stats.which);
	EXPECT_EQ(0, stats.armed);
	EXPECT_EQ(64, stats.cursor);
	EXPECT_EQ(64, stats.start);
	EXPECT_EQ(64, stats.capacity);
}

/* Every fd that the module makes goes with exec. */
TEST_F(abi, close_on_exec)
{
	int fd, i;

	for (i = BUS; i < ROLES; i++) {
		EXPECT_EQ(FD_CLOEXEC, fcntl(self->fd[i], F_GETFD));
	}
	EXPECT_EQ(FD_CLOEXEC, fcntl(self->reader, F_GETFD));
	fd = bus_attach(self->fd[CONTROL], "abi-test", RONBUS_ACCESS_SUBSCRIBE);
	ASSERT_LE(0, fd);
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
	close(fd);
}

/* What a bus fd is good for is its access mode; how the device was opened is of no interest. */
TEST_F(abi, access_modes)
{
	static const int flags[] = { O_RDONLY, O_WRONLY, O_RDWR };
	size_t i, k;

	EXPECT_EQ(O_RDWR, fcntl(self->fd[BUS], F_GETFL) & O_ACCMODE);
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		int control = open(DEVICE, flags[i] | O_CLOEXEC), bus;
		struct ronbus_query query;

		ASSERT_LE(0, control);
		EXPECT_EQ(0, do_ioctl(control, RONBUS_IOC_QUERY, &query));
		bus = bus_create(control, (struct ronbus_create){ 0 });
		EXPECT_LE(0, bus);
		close(bus);
		for (k = 0; k < ARRAY_SIZE(flags); k++) {
			u32 access = flags[k] == O_RDONLY   ? RONBUS_ACCESS_SUBSCRIBE
				     : flags[k] == O_WRONLY ? RONBUS_ACCESS_PUBLISH
							    : 3;

			bus = bus_attach(control, "abi-test", access);
			ASSERT_LE(0, bus);
			EXPECT_EQ(flags[k], fcntl(bus, F_GETFL) & O_ACCMODE);
			close(bus);
		}
		close(control);
	}
	NOTHING_LEAKED();
}

/* Calls that the fds have no use for. */
TEST_F(abi, other_calls)
{
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(EPOLL_CLOEXEC), i;
	char buf[64] = { 0 };

	ASSERT_LE(0, epoll);

	for (i = 0; i < ROLES; i++) {
		EXPECT_EQ(-1, write(self->fd[i], buf, sizeof(buf)));
		EXPECT_TRUE(errno == EINVAL || errno == EBADF);
		EXPECT_EQ(-1, ftruncate(self->fd[i], 0));
		EXPECT_EQ(-1, fallocate(self->fd[i], 0, 0, 4096));
		errno = 0;
		EXPECT_EQ(i == SUBSCRIBER || i == PUBLISHER ? 0 : -1,
			  epoll_ctl(epoll, EPOLL_CTL_ADD, self->fd[i], &event));
		if (i == SUBSCRIBER)
			continue;
		EXPECT_EQ(i == PUBLISHER ? 0 : EPERM, errno);
		EXPECT_EQ(-1, read(self->fd[i], buf, sizeof(buf)));
		EXPECT_TRUE(errno == EINVAL || errno == EBADF);
	}
}

TEST_HARNESS_MAIN
