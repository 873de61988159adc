// SPDX-License-Identifier: GPL-2.0
/*
 * A 32 bit program on a 64 bit kernel: the same structures, the same ioctls, the same ring.
 *
 * There may be no C library for it: this one is built on the kernel's nolibc, and therefore on
 * kselftest.h alone.
 */
#include "abi_layout.h"
#include "kselftest.h"

#define SLOTS 8U
#define LEN 32U
#define POISON 0xcc

_Static_assert(sizeof(void *) == 4, "this is for 32 bits");

static int control, bus, pub_fd, sub_fd;
static struct ronbus_ring pub_ring, sub_ring;
static const struct ronbus_info_page *page;
static struct ronbus_self *pub_self, *sub_self;

/* -errno instead of -1. */
static int do_ioctl(int fd, unsigned long cmd, const void *arg)
{
	int ret = ioctl(fd, cmd, (void *)(unsigned long)arg);

	return ret < 0 ? -errno : ret;
}

#define CHECK(condition)                                                               \
	do {                                                                           \
		if (!(condition)) {                                                    \
			ksft_print_msg("%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			return 0;                                                      \
		}                                                                      \
	} while (0)

static int query(void)
{
	struct ronbus_query q;

	memset(&q, POISON, sizeof(q));
	CHECK(do_ioctl(control, RONBUS_IOC_QUERY, &q) == 0);
	CHECK(q.abi_version == RONBUS_ABI_VERSION);
	CHECK(q.create_size == sizeof(struct ronbus_create));
	CHECK(q.info_size == sizeof(struct ronbus_info));
	CHECK(q.stats_size == sizeof(struct ronbus_stats));
	CHECK(q.info_page_size == sizeof(struct ronbus_info_page));
	CHECK(q.self_page_size == sizeof(struct ronbus_self));
	CHECK(q.ring_bytes_max >= 1U << 20);
	return 1;
}

static int join(void)
{
	struct ronbus_create create = {
		.features = RONBUS_F_EDGE_NOTIFY,
		.capacity = SLOTS,
		.payload = LEN,
		.name = "compat-test",
	};
	struct ronbus_attach attach = { .access = 3, .name = "compat-test" };
	struct ronbus_publisher publisher = { .flags = RONBUS_PUBLISHER_MAPPED };
	struct ronbus_subscribe subscribe = { .topics = ~0ULL };

	bus = do_ioctl(control, RONBUS_IOC_CREATE, &create);
	CHECK(bus >= 0);
	CHECK(create.capacity == SLOTS && create.payload == LEN);
	CHECK(do_ioctl(control, RONBUS_IOC_CREATE, &create) == -EEXIST);
	close(bus);
	CHECK(do_ioctl(control, RONBUS_IOC_ATTACH, &attach) == -ENOENT);
	bus = do_ioctl(control, RONBUS_IOC_CREATE, &create);
	CHECK(bus >= 0);
	pub_fd = do_ioctl(bus, RONBUS_IOC_PUBLISHER, &publisher);
	CHECK(pub_fd >= 0 && publisher.id == 1);
	sub_fd = do_ioctl(bus, RONBUS_IOC_SUBSCRIBE, &subscribe);
	CHECK(sub_fd >= 0);
	CHECK(subscribe.index == 0 && subscribe.position == SLOTS);
	subscribe.topics = 0xffffffff;
	CHECK(do_ioctl(bus, RONBUS_IOC_SUBSCRIBE, &subscribe) == -EINVAL);
	return 1;
}

static int sizes(void)
{
	struct {
		struct ronbus_stats stats;
		__u32 more[3];
	} args;
	unsigned int size = sizeof(struct ronbus_stats);
	unsigned long cmd = _IOWR(RONBUS_IOC_TYPE, 0x21, args);

	memset(&args, 0, sizeof(args));
	args.stats.which = RONBUS_STATS_BUS;
	CHECK(do_ioctl(bus, cmd, &args) == 0);
	CHECK(args.stats.capacity == SLOTS);
	args.more[2] = 1;
	CHECK(do_ioctl(bus, cmd, &args) == -E2BIG);
	cmd = _IOC(_IOC_READ | _IOC_WRITE, RONBUS_IOC_TYPE, 0x21, size - 4);
	CHECK(do_ioctl(bus, cmd, &args) == -EINVAL);
	CHECK(do_ioctl(bus, RONBUS_IOC_STATS, (void *)0) == -EFAULT);
	CHECK(do_ioctl(bus, RONBUS_IOC_STATS, (void *)0xfffff000) == -EFAULT);
	CHECK(do_ioctl(bus, _IO(RONBUS_IOC_TYPE, 0x7f), (void *)0) == -ENOTTY);
	CHECK(do_ioctl(bus, RONBUS_IOC_ARM, (void *)0) == -ENOTTY);
	return 1;
}

static void *map(int fd, unsigned long size, int prot, unsigned long offset)
{
	void *p = mmap(NULL, size, prot, MAP_SHARED, fd, offset);

	return p == MAP_FAILED ? NULL : p;
}

static int maps(void)
{
	struct ronbus_info info;
	void *p;

	memset(&info, POISON, sizeof(info));
	CHECK(do_ioctl(pub_fd, RONBUS_IOC_INFO, &info) == 0);
	CHECK(info.role == RONBUS_ROLE_PUBLISHER && info.member == 1);
	CHECK(info.subscribers == 1 && info.publishers == 1);
	page = map(pub_fd, info.info_bytes, PROT_READ, RONBUS_MMAP_INFO);
	CHECK(page);
	CHECK(page->abi_version == RONBUS_ABI_VERSION && page->capacity == SLOTS);
	CHECK(page->audience[63] == 1);
	p = map(pub_fd, info.ring_bytes, PROT_READ | PROT_WRITE, RONBUS_MMAP_RING);
	CHECK(p);
	ronbus_ring_view(&pub_ring, p, SLOTS, LEN, 0);
	CHECK(ronbus_ring_hint(&pub_ring) == SLOTS);
	pub_self = map(pub_fd, info.self_bytes, PROT_READ | PROT_WRITE, RONBUS_MMAP_SELF);
	CHECK(pub_self);
	CHECK(!map(sub_fd, info.ring_bytes, PROT_READ | PROT_WRITE, RONBUS_MMAP_RING));
	p = map(sub_fd, info.ring_bytes, PROT_READ, RONBUS_MMAP_RING);
	CHECK(p);
	ronbus_ring_view(&sub_ring, p, SLOTS, LEN, 0);
	sub_self = map(sub_fd, info.self_bytes, PROT_READ | PROT_WRITE, RONBUS_MMAP_SELF);
	CHECK(sub_self && sub_self->cursor == SLOTS);
	return 1;
}

/* 64 bit words of the ring, from a processor in 32 bit mode, against the kernel's reading. */
static int ring(void)
{
	struct {
		struct ronbus_record head;
		char data[LEN];
	} record;
	char data[LEN];
	unsigned int i;

	for (i = 0; i < 5 * SLOTS; i++) {
		struct ronbus_claim claim = { .pos = ronbus_ring_hint(&pub_ring) };

		memset(data, (int)i, sizeof(data));
		CHECK(ronbus_ring_claim(&pub_ring, &claim, 1, 100) == 0);
		CHECK(claim.pos == SLOTS + i);
		ronbus_ring_write(&pub_ring, claim.pos, page->audience[5], 5, data, LEN);
		ronbus_ring_commit_last(&pub_ring, claim.pos, 1);
		ronbus_ring_advance(&pub_ring, claim.pos + 1);

		memset(&record, POISON, sizeof(record));
		CHECK(read(sub_fd, &record, sizeof(record)) == (int)sizeof(record));
		CHECK(record.head.position == SLOTS + i && record.head.lost == 0);
		CHECK(record.head.len == LEN && record.head.topic == 5);
		CHECK(record.head.publisher == 1);
		CHECK(!memcmp(record.data, data, LEN));
	}
	CHECK(sub_self->cursor == 6 * SLOTS && sub_self->delivered == 5 * SLOTS);
	return 1;
}

/* And the other way round. */
static int by_syscall(void)
{
	static char data[3][LEN];
	struct ronbus_vec vec[3];
	struct ronbus_publish publish = {
		.vec = (unsigned long)vec,
		.count = 3,
		.topic = 63,
		.receivers = 0xcccccccc,
	};
	unsigned int i;
	char buf[LEN];
	union ronbus_found found;

	for (i = 0; i < 3; i++) {
		memset(data[i], 'a' + (int)i, LEN);
		vec[i].data = (unsigned long)data[i];
		vec[i].len = LEN;
		vec[i].pad = 0;
	}
	CHECK(do_ioctl(pub_fd, RONBUS_IOC_PUBLISH, &publish) == 3);
	CHECK(publish.receivers == 1);
	for (i = 0; i < 3; i++) {
		__u64 pos = sub_self->cursor;
		const struct ronbus_words at = ronbus_ring_at(&sub_ring, pos);

		CHECK(ronbus_ring_look(&sub_ring, pos, &found) == RONBUS_LOOK_READY);
		CHECK(ronbus_words_len(&at, found.seen) == LEN);
		CHECK(ronbus_words_topic(&at, found.seen) == 63);
		ronbus_copy_out(buf, ronbus_words_payload(&at, found.seen), LEN);
		CHECK(ronbus_ring_unchanged(&sub_ring, pos, found.seen));
		CHECK(!memcmp(buf, data[i], LEN));
		sub_self->cursor = pos + 1;
	}
	CHECK(ronbus_ring_look(&sub_ring, sub_self->cursor, &found) == RONBUS_LOOK_EMPTY);
	/* An address is 64 bits here too: what is above is not cut off. */
	vec[0].data |= 1ULL << 32;
	publish.count = 1;
	CHECK(do_ioctl(pub_fd, RONBUS_IOC_PUBLISH, &publish) == -EFAULT);
	publish.vec |= 1ULL << 32;
	CHECK(do_ioctl(pub_fd, RONBUS_IOC_PUBLISH, &publish) == -EFAULT);
	return 1;
}

static int waiting(void)
{
	struct ronbus_notify notify = { .subscribers = ~0ULL };
	struct ronbus_wait wait = { .deadline = 1ULL << 20 };
	struct ronbus_eventfd eventfd = { .fd = -1 };

	CHECK(do_ioctl(sub_fd, RONBUS_IOC_WAIT, &wait) == -ETIMEDOUT);
	CHECK(do_ioctl(sub_fd, RONBUS_IOC_ARM, (void *)0) == 0);
	CHECK(page->armed == 1);
	CHECK(do_ioctl(pub_fd, RONBUS_IOC_NOTIFY, &notify) == 0);
	CHECK(notify.woken == 1 && page->armed == 0);
	CHECK(do_ioctl(sub_fd, RONBUS_IOC_SET_EVENTFD, &eventfd) == 0);
	eventfd.fd = 1000;
	CHECK(do_ioctl(sub_fd, RONBUS_IOC_SET_EVENTFD, &eventfd) == -EBADF);
	return 1;
}

static int counters(void)
{
	struct ronbus_stats stats;

	pub_self->messages_for[1] = 1ULL << 40;
	memset(&stats, POISON, sizeof(stats));
	stats.which = RONBUS_STATS_BUS;
	stats.flags = 0;
	CHECK(do_ioctl(sub_fd, RONBUS_IOC_STATS, &stats) == 0);
	CHECK(stats.counters.published_total == 1ULL << 40);
	CHECK(stats.tail == 6 * SLOTS + 3);
	stats.which = 0;
	CHECK(do_ioctl(sub_fd, RONBUS_IOC_STATS, &stats) == 0);
	CHECK(stats.cursor == 6 * SLOTS + 3 && stats.start == SLOTS);
	return 1;
}

static int end(void)
{
	struct ronbus_publisher publisher = { 0 };
	struct ronbus_record record;

	CHECK(do_ioctl(bus, RONBUS_IOC_SEAL, (void *)0) == 0);
	CHECK(do_ioctl(bus, RONBUS_IOC_PUBLISHER, &publisher) == -EPERM);
	CHECK(page->status == RONBUS_STATUS_SEALED);
	munmap(pub_self, 4096);
	munmap(pub_ring.head, 4096);
	close(pub_fd);
	CHECK(page->status == RONBUS_STATUS_SEALED); /* the info mapping is a publisher's */
	munmap((void *)page, 4096);
	CHECK(do_ioctl(sub_fd, RONBUS_IOC_ARM, (void *)0) == 1);
	CHECK(read(sub_fd, &record, sizeof(record)) == 0);
	return 1;
}

int main(void)
{
	static const struct {
		const char *name;
		int (*run)(void);
	} cases[] = {
		{ "query", query },	{ "join", join },	  { "sizes", sizes },
		{ "maps", maps },	{ "ring", ring },	  { "by_syscall", by_syscall },
		{ "waiting", waiting }, { "counters", counters }, { "end", end },
	};
	unsigned int i;

	ksft_print_header();
	control = open("/dev/ronbus", O_RDWR, 0);
	if (control < 0)
		ksft_exit_skip("no /dev/ronbus: the module is not loaded\n");
	ksft_set_plan(ARRAY_SIZE(cases));
	/* Each goes on where the one before stopped. */
	for (i = 0; i < ARRAY_SIZE(cases); i++)
		ksft_test_result(cases[i].run(), "%s\n", cases[i].name);
	ksft_finished();
}
