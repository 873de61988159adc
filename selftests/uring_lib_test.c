// SPDX-License-Identifier: GPL-2.0
/*
 * io_uring, as the library prepares its commands.
 */
#include "libronbus.h"
#include "uring.h"

/* ---- the library ------------------------------------------------------------------------ */

FIXTURE(lib)
{
	struct ronbus *bus;
	struct ronbus_pub *pub;
	struct ronbus_sub *sub;
	struct io_uring ring;
};

FIXTURE_SETUP(lib)
{
	struct ronbus_options options = { .features = RONBUS_FEATURES_RECOMMENDED,
					  .capacity = SLOTS,
					  .payload = LEN };

	if (access(DEVICE, F_OK))
		SKIP(return, "no %s: the module is not loaded", DEVICE);
	RING(&self->ring, 0);
	ASSERT_EQ(0, ronbus_create(RONBUS_DEVICE, &options, &self->bus));
	ASSERT_EQ(0, ronbus_publisher(self->bus, RONBUS_PUB_SYSCALL, &self->pub));
	ASSERT_EQ(0, ronbus_subscribe(self->bus, NULL, &self->sub));
}

FIXTURE_TEARDOWN(lib)
{
	ronbus_sub_close(self->sub);
	ronbus_pub_close(self->pub);
	ronbus_close(self->bus);
	io_uring_queue_exit(&self->ring);
}

static bool lib_armed(struct ronbus *bus)
{
	struct ronbus_stats stats;

	return !ronbus_stats(bus, 0, &stats) && stats.armed;
}

/* An entry as full of something else as can be, except what the program sets afterwards. */
static struct io_uring_sqe *lib_sqe(struct io_uring *ring, u64 tag)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	poison(*sqe);
	sqe->user_data = tag;
	return sqe;
}

TEST_F(lib, wait)
{
	struct completion done;
	struct ronbus_msg msg;
	char buf[LEN];
	u64 began;
	int i;

	EXPECT_EQ(0, ronbus_uring_check(self->bus));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, ronbus_uring_prep_wait(lib_sqe(&self->ring, 1), self->sub, -1));
		SUBMIT(&self->ring, 1);
		ASSERT_TRUE(wait_until(lib_armed(self->bus)));
		ASSERT_TRUE(quiet(&self->ring));
		ASSERT_EQ(1, ronbus_publish(self->pub, 0, "hello", 5));
		ASSERT_EQ(0, reap(&self->ring, &done));
		EXPECT_EQ(1, done.tag);
		EXPECT_EQ(0, ronbus_uring_waited(self->sub, done.res));
		EXPECT_EQ(RONBUS_MESSAGE, ronbus_try_recv(self->sub, buf, sizeof(buf), &msg));
		EXPECT_EQ(-EAGAIN, ronbus_try_recv(self->sub, buf, sizeof(buf), &msg));
	}
	ASSERT_EQ(0, ronbus_uring_prep_wait(lib_sqe(&self->ring, 2), self->sub, 0));
	SUBMIT(&self->ring, 1);
	ASSERT_EQ(0, reap(&self->ring, &done));
	EXPECT_EQ(-ETIMEDOUT, ronbus_uring_waited(self->sub, done.res));
	began = now_ns();
	ASSERT_EQ(0, ronbus_uring_prep_wait(lib_sqe(&self->ring, 2), self->sub, SEC / 50));
	SUBMIT(&self->ring, 1);
	ASSERT_EQ(0, reap(&self->ring, &done));
	EXPECT_EQ(-ETIMEDOUT, ronbus_uring_waited(self->sub, done.res));
	EXPECT_LE(began + SEC / 50, now_ns());
	/* The end. */
	ASSERT_EQ(0, ronbus_uring_prep_wait(lib_sqe(&self->ring, 3), self->sub, INT64_MAX));
	SUBMIT(&self->ring, 1);
	ASSERT_TRUE(wait_until(lib_armed(self->bus)));
	ronbus_pub_close(self->pub);
	self->pub = NULL;
	ASSERT_EQ(0, reap(&self->ring, &done));
	EXPECT_EQ(0, ronbus_uring_waited(self->sub, done.res));
	EXPECT_EQ(RONBUS_CLOSED, ronbus_try_recv(self->sub, buf, sizeof(buf), &msg));
}

TEST_F(lib, cancel)
{
	struct completion done;
	int way;

	for (way = 0; way < 2; way++) {
		ASSERT_EQ(0, ronbus_uring_prep_wait(lib_sqe(&self->ring, 1), self->sub, -1));
		SUBMIT(&self->ring, 1);
		ASSERT_TRUE(wait_until(lib_armed(self->bus)));
		if (way) {
			ASSERT_EQ(0, ronbus_cancel(self->sub));
		} else {
			ASSERT_EQ(0, ronbus_uring_prep_cancel(lib_sqe(&self->ring, 2), self->sub));
			SUBMIT(&self->ring, 1);
		}
		do {
			ASSERT_EQ(0, reap(&self->ring, &done));
			if (done.tag == 1) {
				EXPECT_EQ(-ECANCELED, ronbus_uring_waited(self->sub, done.res));
			} else {
				EXPECT_EQ(0, done.res);
			}
		} while (way ? done.tag != 1 : !quiet(&self->ring));
		/* Nobody arms, so the next round sees its own wait. */
		ASSERT_EQ(1, ronbus_publish(self->pub, 0, "x", 1));
		EXPECT_EQ(RONBUS_MESSAGE, ronbus_try_recv(self->sub, &(char[LEN]){ 0 }, LEN,
							  &(struct ronbus_msg){ 0 }));
	}
}

TEST_F(lib, publish)
{
	struct ronbus_vec vec[3] = {
		{ .data = (uintptr_t) "one", .len = 3 },
		{ .data = (uintptr_t) "two", .len = 3 },
		{ .data = (uintptr_t) "three", .len = LEN + 1 },
	};
	struct io_uring_sqe sqe = { 0 }, untouched = { 0 };
	struct completion done;
	struct ronbus_pub *mapped;
	struct ronbus_msg msg;
	char buf[LEN];

	ASSERT_EQ(0, ronbus_uring_prep_publish(lib_sqe(&self->ring, 1), self->pub, 7, vec, 3));
	SUBMIT(&self->ring, 1);
	ASSERT_EQ(0, reap(&self->ring, &done));
	EXPECT_EQ(1, done.tag);
	EXPECT_EQ(2, done.res);
	ASSERT_EQ(RONBUS_MESSAGE, ronbus_try_recv(self->sub, buf, sizeof(buf), &msg));
	EXPECT_EQ(0, memcmp(buf, "one", 3));
	EXPECT_EQ(7, msg.topic);
	ASSERT_EQ(RONBUS_MESSAGE, ronbus_try_recv(self->sub, buf, sizeof(buf), &msg));
	EXPECT_EQ(0, memcmp(buf, "two", 3));

	EXPECT_EQ(-EINVAL, ronbus_uring_prep_publish(&sqe, self->pub, 0, vec, 0));
	EXPECT_EQ(-EINVAL,
		  ronbus_uring_prep_publish(&sqe, self->pub, 0, vec, RONBUS_BATCH_MAX + 1));
	EXPECT_EQ(-EINVAL, ronbus_uring_prep_publish(&sqe, self->pub, RONBUS_TOPICS_MAX, vec, 1));
	ASSERT_EQ(0, ronbus_publisher(self->bus, RONBUS_PUB_MAPPED_ONLY, &mapped));
	EXPECT_EQ(-EOPNOTSUPP, ronbus_uring_prep_publish(&sqe, mapped, 0, vec, 1));
	ronbus_pub_close(mapped);
	EXPECT_EQ(0, memcmp(&sqe, &untouched, sizeof(sqe)));
}

TEST_F(lib, poll)
{
	struct completion done;
	struct ronbus_msg msg;
	char buf[LEN];
	int i;

	ASSERT_EQ(0, ronbus_uring_prep_poll(lib_sqe(&self->ring, 4), self->sub));
	SUBMIT(&self->ring, 1);
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, ronbus_arm(self->sub));
		ASSERT_TRUE(quiet(&self->ring));
		ASSERT_EQ(1, ronbus_publish(self->pub, 0, "x", 1));
		ASSERT_EQ(0, reap(&self->ring, &done));
		EXPECT_EQ(4, done.tag);
		EXPECT_LT(0, done.res);
		EXPECT_TRUE(done.flags & IORING_CQE_F_MORE);
		EXPECT_EQ(1, ronbus_arm(self->sub));
		EXPECT_EQ(RONBUS_MESSAGE, ronbus_try_recv(self->sub, buf, sizeof(buf), &msg));
	}
}

TEST_HARNESS_MAIN
