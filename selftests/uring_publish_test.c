// SPDX-License-Identifier: GPL-2.0
/*
 * io_uring: publishing by commands, one, many or some of them, also while another thread publishes.
 */
#include "uring.h"

/* ---- publishing ------------------------------------------------------------------------- */

TEST_F(uring, publish_batches)
{
	static const u32 sizes[] = { 1, 2, 3, 64, 1000, RONBUS_BATCH_MAX };
	static unsigned char data[RONBUS_BATCH_MAX][LEN];
	static struct ronbus_vec vec[RONBUS_BATCH_MAX];
	struct ronbus_stats stats;
	struct subscriber s;
	struct publisher p;
	u64 number = 0, i;
	size_t n;
	int bus;

	bus = CREATE(.features = variant->features | RONBUS_F_BATCH, .capacity = 2048,
		     .payload = LEN);
	ASSERT_LE(0, bus);
	ASSERT_EQ(0, publisher_join(&p, bus, variant->publisher));
	ASSERT_EQ(0, subscriber_join(&s, bus, RONBUS_START_LATEST, 0));
	for (n = 0; n < ARRAY_SIZE(sizes); n++) {
		for (i = 0; i < sizes[n]; i++) {
			message_fill(data[i], LEN, number + i);
			vec[i] = (struct ronbus_vec){ .data = (uintptr_t)data[i], .len = LEN };
		}
		publish_sqe(&self->ring, p.m.fd, 3, vec, sizes[n], n)->flags |= self->flags;
		SUBMIT(&self->ring, 1);
		EXPECT_DONE(&self->ring, n, (int)sizes[n]);
		for (i = 0; i < sizes[n]; i++) {
			struct message msg;

			ASSERT_EQ(1, subscriber_read(&s, &msg));
			ASSERT_TRUE(message_whole(msg.data, msg.len, number++));
			ASSERT_EQ(3, msg.topic);
			ASSERT_EQ(0, msg.publisher);
		}
		EXPECT_EQ(-EAGAIN, subscriber_read(&s, &(struct message){ 0 }));
	}
	ASSERT_EQ(0, fd_stats(bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(number, stats.counters.published_total);
	EXPECT_EQ(number, stats.counters.delivered_total);
	EXPECT_EQ(ARRAY_SIZE(sizes) - 1, stats.counters.batch_publish_total);
	EXPECT_EQ(2, stats.counters.batch_len_histogram[1]);
	EXPECT_EQ(1, stats.counters.batch_len_histogram[10]);
	publisher_leave(&p);
	subscriber_leave(&s);
	close(bus);

	/* More than the ring holds: the last ones are there, the others are lost and told. */
	publish_sqe(&self->ring, self->pub.m.fd, 0, vec, RONBUS_BATCH_MAX, 9)->flags |= self->flags;
	SUBMIT(&self->ring, 1);
	EXPECT_DONE(&self->ring, 9, RONBUS_BATCH_MAX);
	for (i = 0; i < SLOTS; i++) {
		struct message msg;

		ASSERT_EQ(1, subscriber_read(&self->s, &msg));
		EXPECT_EQ(i ? 0 : RONBUS_BATCH_MAX - SLOTS, msg.lost);
	}
	EXPECT_TRUE(subscriber_identity(&self->s));
}

#define EXPECT_PUBLISHES(result, topic, vec, n)                                                   \
	do {                                                                                      \
		publish_sqe(&self->ring, self->pub.m.fd, topic, vec, n, 1)->flags |= self->flags; \
		SUBMIT(&self->ring, 1);                                                           \
		EXPECT_DONE(&self->ring, 1, result);                                              \
	} while (0)

TEST_F(uring, publish_refuses)
{
	struct ronbus_vec good = { .data = (uintptr_t) "good", .len = 5 };
	struct ronbus_vec long_one = { .data = good.data, .len = LEN + 1 };
	struct ronbus_vec padded = { .data = good.data, .len = 5, .pad = 1 };
	struct ronbus_stats stats;

	EXPECT_PUBLISHES(-EINVAL, 0, &good, 0);
	EXPECT_PUBLISHES(-EINVAL, 0, &good, RONBUS_BATCH_MAX + 1);
	EXPECT_PUBLISHES(-EINVAL, 0, &good, ~0U);
	EXPECT_PUBLISHES(-EINVAL, RONBUS_TOPICS_MAX, &good, 1);
	EXPECT_PUBLISHES(-EINVAL, ~0U, &good, 1);
	EXPECT_PUBLISHES(-EINVAL, 0, &padded, 1);
	EXPECT_PUBLISHES(-EMSGSIZE, 0, &long_one, 1);
	EXPECT_PUBLISHES(-EFAULT, 0, NULL, 1);
	EXPECT_PUBLISHES(-EFAULT, 0, (struct ronbus_vec *)-8L, 1);
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(0, stats.counters.published_total + stats.counters.dropped_total);
	EXPECT_PUBLISHES(1, RONBUS_TOPICS_MAX - 1, &good, 1);
}

/* What went before a bad one is published, exactly that, and counted. */
TEST_F(uring, partial_batches)
{
	char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ronbus_vec good = { .data = (uintptr_t)page, .len = LEN }, *vec;
	const struct ronbus_vec bad[] = {
		{ .data = (uintptr_t)page + 4096 - LEN + 1, .len = LEN },
		{ .data = ~0ULL, .len = 1 },
		{ .data = (uintptr_t)page, .len = LEN + 1 },
		{ .data = (uintptr_t)page, .len = LEN, .pad = 1 << 31 },
	};
	static const int errors[] = { -EFAULT, -EFAULT, -EMSGSIZE, -EINVAL };
	struct ronbus_stats stats;
	u64 published = 0;
	size_t kind;
	u32 i, k;

	ASSERT_NE(MAP_FAILED, page);
	ASSERT_EQ(0, mprotect(page + 4096, 4096, PROT_NONE));
	vec = calloc(8, sizeof(*vec));
	ASSERT_NE(NULL, vec);
	for (kind = 0; kind < ARRAY_SIZE(bad); kind++)
		for (k = 0; k < 8; k++) {
			for (i = 0; i < 8; i++)
				vec[i] = i == k ? bad[kind] : good;
			EXPECT_PUBLISHES(k ? (int)k : errors[kind], 0, vec, 8);
			published += k;
			for (i = 0; i < k; i++) {
				ASSERT_EQ(1, subscriber_read(&self->s, &(struct message){ 0 }));
			}
			EXPECT_EQ(-EAGAIN, subscriber_read(&self->s, &(struct message){ 0 }));
			ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
			EXPECT_EQ(published, stats.counters.published_total);
		}
	free(vec);

	/* And where the vector itself ends. */
	vec = (struct ronbus_vec *)(page + 4096) - 3;
	for (i = 0; i < 3; i++)
		vec[i] = (struct ronbus_vec){ .data = (uintptr_t)page, .len = 8 };
	EXPECT_PUBLISHES(3, 0, vec, 8);
	EXPECT_PUBLISHES(-EFAULT, 0, vec + 3, 1);
	munmap(page, 8192);
}

/* Nobody to receive them: looked at, counted, not written. */
TEST_F(uring, nobody_receives)
{
	struct ronbus_vec vec[2] = { { .data = (uintptr_t) "a", .len = 1 },
				     { .data = ~0ULL, .len = 1 } };
	struct ronbus_stats stats;

	subscriber_leave(&self->s);
	EXPECT_PUBLISHES(1, 0, vec, 2);
	EXPECT_PUBLISHES(-EFAULT, 0, vec + 1, 1);
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(1, stats.counters.no_receivers_total);
	EXPECT_EQ(0, stats.counters.published_total);
	EXPECT_EQ(SLOTS, stats.tail);
	ASSERT_EQ(0, subscriber_join(&self->s, self->bus, RONBUS_START_LATEST, 0));
}

/* Dropped is dropped: nobody tries again unless the program does. */
TEST_F(uring, dropped_once)
{
	struct ronbus_vec vec = { .data = (uintptr_t) "drop", .len = 5 };
	struct ronbus_claim claim = { 0 };
	struct ronbus_stats stats;
	struct publisher holder;
	u64 i;

	ASSERT_EQ(0, publisher_join(&holder, self->bus, RONBUS_PUBLISHER_MAPPED));
	for (i = 0; i < SLOTS; i++) {
		claim.pos = ronbus_ring_hint(&holder.m.ring);
		ASSERT_EQ(0, publisher_claim(&holder, &claim));
		ronbus_ring_advance(&holder.m.ring, claim.pos + 1);
	}
	for (i = 1; i <= 5; i++) {
		EXPECT_PUBLISHES(-EAGAIN, 0, &vec, 1);
		ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
		EXPECT_EQ(i, stats.counters.dropped_total);
		EXPECT_EQ(0, stats.counters.published_total);
	}
	publisher_leave(&holder);
	EXPECT_PUBLISHES(1, 0, &vec, 1);
}

/* ---- a publisher that another thread is using ------------------------------------------- */

/**
 * struct stuck - a page that nobody can read before somebody puts it there
 * @fd: the userfaultfd
 * @page: the page
 */
struct stuck {
	int fd;
	char *page;
};

static int stuck_make(struct stuck *stuck)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	stuck->fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (stuck->fd < 0)
		return -errno;
	stuck->page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (stuck->page == MAP_FAILED)
		return -errno;
	range.range.start = (uintptr_t)stuck->page;
	range.range.len = 4096;
	return do_ioctl(stuck->fd, UFFDIO_API, &api)
		       ?: do_ioctl(stuck->fd, UFFDIO_REGISTER, &range);
}

/* Somebody stands there. */
static bool stuck_has(struct stuck *stuck)
{
	return fd_poll(stuck->fd, POLLIN) == POLLIN;
}

static int stuck_free(struct stuck *stuck)
{
	struct uffdio_zeropage zero = {
		.range = { .start = (uintptr_t)stuck->page, .len = 4096 },
	};

	return do_ioctl(stuck->fd, UFFDIO_ZEROPAGE, &zero);
}

/**
 * struct caller - a thread that publishes by ioctl
 * @fd: the publisher
 * @data: what it publishes
 * @ret: what it got
 */
struct caller {
	int fd;
	const void *data;
	int ret;
};

static void *caller_main(void *arg)
{
	struct caller *caller = arg;
	struct ronbus_vec vec = { .data = (uintptr_t)caller->data, .len = 8 };

	caller->ret = fd_publish(caller->fd, 0, &vec, 1, NULL);
	return NULL;
}

/* The other thread is inside: a worker waits for it, and the submitter does not. */
TEST_F(uring, contended_publisher)
{
	struct ronbus_vec vec = { .data = (uintptr_t) "patient", .len = 8 };
	struct caller caller = { .fd = self->pub.m.fd };
	struct ronbus_stats stats;
	struct io_uring_sqe *sqe;
	struct stuck stuck;
	pthread_t thread;
	int results[3], err;

	err = stuck_make(&stuck);
	if (err == -EPERM || err == -ENOSYS)
		SKIP(return, "no userfaultfd: %s", strerror(-err));
	ASSERT_EQ(0, err);
	caller.data = stuck.page;
	ASSERT_EQ(0, pthread_create(&thread, NULL, caller_main, &caller));
	ASSERT_TRUE(wait_until(stuck_has(&stuck)));

	publish_sqe(&self->ring, self->pub.m.fd, 0, &vec, 1, 0);
	publish_sqe(&self->ring, self->pub.m.fd, 0, &vec, 1, 1);
	SUBMIT(&self->ring, 2);
	/* One of the two is taken back while it waits, or before. */
	sqe = io_uring_get_sqe(&self->ring);
	io_uring_prep_cancel64(sqe, 1, 0);
	sqe->user_data = 2;
	SUBMIT(&self->ring, 1);
	for (err = 0; err < 2; err++) {
		struct completion done;

		ASSERT_EQ(0, reap(&self->ring, &done));
		ASSERT_TRUE(done.tag == 1 || done.tag == 2);
		results[done.tag] = done.res;
	}
	EXPECT_TRUE(results[1] == -EINTR || results[1] == -ECANCELED) TH_LOG("%d", results[1]);
	EXPECT_TRUE(results[2] == 0 || results[2] == -EALREADY) TH_LOG("%d", results[2]);
	EXPECT_TRUE(quiet(&self->ring));
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(0, stats.counters.published_total);

	ASSERT_EQ(0, stuck_free(&stuck));
	EXPECT_DONE(&self->ring, 0, 1);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(1, caller.ret);
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(2, stats.counters.published_total);
	EXPECT_EQ(0, stats.counters.dropped_total);
	munmap(stuck.page, 4096);
	close(stuck.fd);
}

TEST_HARNESS_MAIN
