// SPDX-License-Identifier: GPL-2.0
/*
 * The steady state: while subscribers keep up, publishing and receiving are no business of the
 * kernel's. Publisher and subscriber are processes that may make no system call at all, and a
 * filter kills a process that makes one. That subscribers keep up is not hoped for: the publisher
 * looks how far they are.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

#include "libronbus.h"
#include "ronbus_kselftest.h"

#define MESSAGES 100000U
#define CALLS 10000U /* if each is a system call */
#define SLOTS 64U
#define BATCH 20U
#define THRESHOLD 64U /* RON_TLS_FLUSH_THRESHOLD where nobody says otherwise */
#define NO_FILTER 77 /* exit status */

struct shared {
	u64 messages; /* to be published */
	u64 joined;
	u64 received __attribute__((aligned(128)));
};

FIXTURE(steady)
{
	struct ronbus *bus;
	struct shared *shared;
	struct ronbus_stats stats;
	int publisher; /* exit status */
	int subscriber;
};

FIXTURE_VARIANT(steady)
{
	u64 features; /* beside EDGE_NOTIFY */
	u32 flags;
	unsigned int pub_flags;
	unsigned int batch;
};

FIXTURE_VARIANT_ADD(steady, many){ 0, 0, 0, 1 };
FIXTURE_VARIANT_ADD(steady, exclusive){ 0, RONBUS_BUS_EXCLUSIVE, 0, 1 };
FIXTURE_VARIANT_ADD(steady, metrics){ RONBUS_F_METRICS_BUF, 0, 0, 1 };
FIXTURE_VARIANT_ADD(steady, batch){ RONBUS_F_BATCH, 0, 0, BATCH };
FIXTURE_VARIANT_ADD(steady, exclusive_batch_metrics){ RONBUS_F_BATCH | RONBUS_F_METRICS_BUF,
						      RONBUS_BUS_EXCLUSIVE, 0, BATCH };

FIXTURE_SETUP(steady)
{
	close(OPEN_CONTROL());
	unsetenv("RON_TLS_FLUSH_THRESHOLD");
	self->shared = shared_memory(sizeof(*self->shared));
	ASSERT_TRUE(self->shared != NULL);
}

FIXTURE_TEARDOWN(steady)
{
	ronbus_close(self->bus);
}

/* From here on this thread may end, and nothing else. */
static void forbid_system_calls(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	const struct sock_fprog filter = { .len = 4, .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
		_exit(NO_FILTER);
}

static void __attribute__((noreturn)) leave(int status)
{
	for (;;)
		syscall(SYS_exit, status);
}

static struct ronbus *own_handle(const struct ronbus *bus)
{
	struct ronbus *own;

	return ronbus_adopt(dup(ronbus_bus_fd(bus)), &own) ? NULL : own;
}

static u64 received(const struct shared *shared)
{
	return __atomic_load_n(&shared->received, __ATOMIC_ACQUIRE);
}

static void subscribe_steadily(struct ronbus *bus, struct shared *shared, bool filter)
{
	struct ronbus_sub *sub;
	struct ronbus_msg msg;
	u64 next = 0, number;
	int ret;

	bus = own_handle(bus);
	if (!bus || ronbus_subscribe(bus, NULL, &sub))
		_exit(1);
	if (filter)
		forbid_system_calls();
	__atomic_store_n(&shared->joined, 1, __ATOMIC_RELEASE);
	while (next < shared->messages) {
		ret = ronbus_try_recv(sub, &number, sizeof(number), &msg);
		if (ret == -EAGAIN)
			continue;
		if (ret != RONBUS_MESSAGE || number != next)
			leave(2);
		next++;
		__atomic_store_n(&shared->received, next, __ATOMIC_RELEASE);
	}
	leave(0);
}

static bool publish_some(struct ronbus_pub *pub, u64 first, unsigned int count)
{
	struct iovec vec[BATCH];
	u64 numbers[BATCH];
	unsigned int i;

	if (count == 1)
		return ronbus_publish(pub, 0, &first, sizeof(first)) == 1;
	for (i = 0; i < count; i++) {
		numbers[i] = first + i;
		vec[i] = (struct iovec){ &numbers[i], sizeof(numbers[i]) };
	}
	return ronbus_publish_many(pub, 0, vec, count) == (int)count;
}

static void publish_steadily(struct ronbus *bus, struct shared *shared, unsigned int flags,
			     unsigned int batch, bool filter)
{
	struct ronbus_pub *pub;
	u64 sent;

	bus = own_handle(bus);
	if (!bus || ronbus_publisher(bus, flags, &pub))
		_exit(1);
	while (!__atomic_load_n(&shared->joined, __ATOMIC_ACQUIRE))
		nap();
	for (sent = 0; sent < shared->messages; sent += batch) {
		/* With the first call a thread sets up what it counts in. */
		if (filter && sent == batch)
			forbid_system_calls();
		while (sent + batch > received(shared) + SLOTS)
			;
		if (!publish_some(pub, sent, batch))
			leave(2);
	}
	leave(0);
}

/* Both until they are done; whoever is left alone is ended. */
static int run_both(FIXTURE_DATA(steady) * self, const FIXTURE_VARIANT(steady) * variant,
		    u64 features, u64 messages, bool filter)
{
	struct ronbus_options opts = {
		.features = features | variant->features,
		.flags = variant->flags,
		.capacity = SLOTS,
	};
	pid_t subscriber, publisher;
	int err;

	self->shared->messages = messages;
	err = ronbus_create(NULL, &opts, &self->bus);
	if (err)
		return err;
	subscriber = fork();
	if (!subscriber)
		subscribe_steadily(self->bus, self->shared, filter);
	publisher = fork();
	if (!publisher)
		publish_steadily(self->bus, self->shared, variant->pub_flags, variant->batch,
				 filter);
	self->publisher = child_status(publisher);
	if (self->publisher)
		kill(subscriber, SIGKILL);
	self->subscriber = child_status(subscriber);
	return ronbus_stats(self->bus, RONBUS_STATS_BUS, &self->stats);
}

static void tell(struct __test_metadata *_metadata, const struct ronbus_counters *c)
{
	TH_LOG("%llu published, %llu addressed, %llu notifications, %llu wake-ups, %llu suppressed",
	       c->published_total, c->addressed_total, c->notify_calls_total, c->notify_sends_total,
	       c->notify_suppressed_total);
}

TEST_F(steady, no_system_call)
{
	const struct ronbus_counters *c = &self->stats.counters;
	/* A publisher that ends like this does not flush. */
	u64 kept = variant->features & RONBUS_F_METRICS_BUF ? THRESHOLD - 1 : 0;

	ASSERT_EQ(0, run_both(self, variant, RONBUS_F_EDGE_NOTIFY, MESSAGES, true));
	if (self->publisher == NO_FILTER)
		SKIP(return, "this kernel has no filters for system calls");
	EXPECT_EQ(0, self->publisher);
	EXPECT_EQ(0, self->subscriber);
	EXPECT_EQ(MESSAGES, received(self->shared));
	EXPECT_EQ(MESSAGES, c->delivered_total);
	EXPECT_EQ(0, c->overflow_dropped_total);
	EXPECT_EQ(0, c->notify_calls_total);
	EXPECT_EQ(0, c->notify_sends_total);
	EXPECT_EQ(0, c->waits_total);
	EXPECT_GE(MESSAGES, c->published_total);
	EXPECT_LE(MESSAGES, c->published_total + kept);
	EXPECT_EQ(c->published_total, c->addressed_total);
	EXPECT_EQ(c->addressed_total, c->notify_suppressed_total);
	tell(_metadata, c);
}

/* Without the feature each call of the publisher is a notification, and the filter sees it. */
TEST_F(steady, the_filter_sees_a_notification)
{
	ASSERT_EQ(0, run_both(self, variant, 0, MESSAGES, true));
	if (self->publisher == NO_FILTER)
		SKIP(return, "this kernel has no filters for system calls");
	EXPECT_EQ(-SIGSYS, self->publisher);
	EXPECT_GE(2 * BATCH, received(self->shared));
}

TEST_F(steady, each_call_notifies_without_the_feature)
{
	const struct ronbus_counters *c = &self->stats.counters;

	ASSERT_EQ(0, run_both(self, variant, 0, CALLS, false));
	EXPECT_EQ(0, self->publisher);
	EXPECT_EQ(0, self->subscriber);
	EXPECT_EQ(CALLS / variant->batch, c->notify_calls_total);
	EXPECT_EQ(CALLS / variant->batch, c->notify_sends_total);
	EXPECT_EQ(0, c->waits_total);
	tell(_metadata, c);
}

/* ---- one that sleeps now and then ------------------------------------------------------- */

#define ROUNDS 50U
#define ROUND 400U /* messages, of which the first finds the subscriber asleep */

static void sleep_now_and_then(struct ronbus *bus, struct shared *shared)
{
	struct ronbus_sub *sub;
	struct ronbus_msg msg;
	u64 next = 0, number;
	int ret;

	bus = own_handle(bus);
	if (!bus || ronbus_subscribe(bus, NULL, &sub))
		_exit(1);
	__atomic_store_n(&shared->joined, 1, __ATOMIC_RELEASE);
	while (next < ROUNDS * ROUND) {
		ret = next % ROUND ? ronbus_try_recv(sub, &number, sizeof(number), &msg)
				   : ronbus_recv(sub, &number, sizeof(number), &msg, -1);
		if (ret == -EAGAIN)
			continue;
		if (ret != RONBUS_MESSAGE || number != next)
			_exit(2);
		next++;
		__atomic_store_n(&shared->received, next, __ATOMIC_RELEASE);
	}
	_exit(0);
}

static bool asleep(struct ronbus *bus)
{
	struct ronbus_stats stats;

	return !ronbus_stats(bus, RONBUS_STATS_BUS, &stats) && stats.armed;
}

/* One wake-up a round, and no more: at least 99 of 100 messages wake nobody. */
TEST_F(steady, sleeps_now_and_then)
{
	struct ronbus_options opts = {
		.features = RONBUS_F_EDGE_NOTIFY | variant->features,
		.flags = variant->flags,
		.capacity = SLOTS,
	};
	const struct ronbus_counters *c = &self->stats.counters;
	struct ronbus_pub *pub;
	u64 sent = 0, calls = 0;
	unsigned int some;
	pid_t pid;

	ASSERT_EQ(0, ronbus_create(NULL, &opts, &self->bus));
	pid = fork();
	if (!pid)
		sleep_now_and_then(self->bus, self->shared);
	ASSERT_EQ(0, ronbus_publisher(self->bus, variant->pub_flags, &pub));
	ASSERT_TRUE(wait_until(__atomic_load_n(&self->shared->joined, __ATOMIC_ACQUIRE)));
	for (; sent < ROUNDS * ROUND; sent += some) {
		some = variant->batch;
		if (sent % ROUND == 0) {
			ASSERT_TRUE(wait_until(asleep(self->bus)));
			calls++;
		}
		ASSERT_TRUE(spin_until(sent + some <= received(self->shared) + SLOTS));
		ASSERT_TRUE(publish_some(pub, sent, some));
	}
	EXPECT_EQ(0, child_status(pid));
	ronbus_pub_close(pub);
	ASSERT_EQ(0, ronbus_stats(self->bus, RONBUS_STATS_BUS, &self->stats));
	EXPECT_EQ(ROUNDS, calls);
	EXPECT_EQ(ROUNDS * ROUND, c->addressed_total);
	EXPECT_EQ(ROUNDS * ROUND, c->delivered_total);
	EXPECT_EQ(ROUNDS, c->notify_calls_total);
	EXPECT_EQ(ROUNDS, c->notify_sends_total);
	EXPECT_EQ(ROUNDS, c->waits_total);
	EXPECT_LE(99 * c->addressed_total, 100 * c->notify_suppressed_total);
	tell(_metadata, c);
}

TEST_HARNESS_MAIN
