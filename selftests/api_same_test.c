// SPDX-License-Identifier: GPL-2.0
/*
 * The library on one transport beside the other: the same results, the same counters.
 */
#include "api.h"

FIXTURE(both)
{
	int unused;
};

struct ways {
	u64 features;
	u32 flags;
	unsigned int pub_flags;
};

FIXTURE_VARIANT(both)
{
	struct ways ways;
};

FIXTURE_VARIANT_ADD(both, baseline){ { 0, 0, 0 } };
FIXTURE_VARIANT_ADD(both, recommended){ { ALL, 0, 0 } };
FIXTURE_VARIANT_ADD(both, soa){ { ALL | RONBUS_F_SOA, 0, 0 } };
FIXTURE_VARIANT_ADD(both, soa_syscall){ { RONBUS_F_SOA, 0, RONBUS_PUB_SYSCALL } };
FIXTURE_VARIANT_ADD(both, edge){ { RONBUS_F_EDGE_NOTIFY, 0, 0 } };
FIXTURE_VARIANT_ADD(both, batch){ { RONBUS_F_BATCH, 0, 0 } };
FIXTURE_VARIANT_ADD(both, exclusive){ { ALL, RONBUS_BUS_EXCLUSIVE, 0 } };
FIXTURE_VARIANT_ADD(both, syscall_baseline){ { 0, 0, RONBUS_PUB_SYSCALL } };
FIXTURE_VARIANT_ADD(both, syscall){ { ALL, 0, RONBUS_PUB_SYSCALL } };

FIXTURE_SETUP(both)
{
	if (no_device(RONBUS_DEVICE))
		SKIP(return, "no %s: the module is not loaded", RONBUS_DEVICE);
}

FIXTURE_TEARDOWN(both)
{
}

/* One thread does a bit of everything; what was counted is the result. */
static int scenario(const char *where, const struct ways *ways, struct ronbus_stats *stats,
		    int rets[64])
{
	unsigned char data[20][LEN];
	struct iovec vec[20];
	struct ronbus_sub *subs[3];
	struct ronbus_pub *pub;
	struct ronbus_msg msg;
	struct ronbus *bus;
	int i, n = 0;

	memset(rets, 0, 64 * sizeof(*rets));
	for (i = 0; i < 20; i++) {
		message_fill(data[i], LEN, (u64)i);
		vec[i].iov_base = data[i];
		vec[i].iov_len = LEN;
	}
	if (make_bus(where, ways->features, ways->flags, NULL, &bus) ||
	    ronbus_publisher(bus, ways->pub_flags, &pub))
		return -1;
	rets[n++] = send_number(pub, 1, 1);
	rets[n++] = ronbus_publish_many(pub, 2, vec, 3);
	for (i = 0; i < 3; i++)
		if (ronbus_subscribe(bus, NULL, &subs[i]))
			return -1;
	rets[n++] = send_number(pub, 1, 1);
	rets[n++] = ronbus_try_recv(subs[0], data, LEN, &msg);
	rets[n++] = ronbus_try_recv(subs[0], data, LEN, &msg);
	rets[n++] = ronbus_arm(subs[0]);
	rets[n++] = ronbus_arm(subs[1]);
	rets[n++] = ronbus_publish_many(pub, 2, vec, 5);
	rets[n++] = ronbus_publish_many(pub, 2, vec, 20);
	for (i = 0; i < 3; i++) {
		rets[n++] = ronbus_try_recv(subs[i], data, LEN, &msg);
		rets[n++] = (int)msg.lost;
		rets[n++] = ronbus_try_recv(subs[i], data, LEN, &msg);
		rets[n++] = (int)msg.position;
	}
	ronbus_sub_close(subs[1]);
	rets[n++] = send_number(pub, 1, 1);
	vec[2].iov_len = LEN + 1;
	rets[n++] = ronbus_publish_many(pub, 2, vec, 5);
	rets[n++] = ronbus_publish_many(pub, 2, vec + 2, 5);
	for (i = 0; ronbus_try_recv(subs[0], data, LEN, &msg) > 0; i++)
		;
	rets[n++] = i;
	rets[n++] = ronbus_arm(subs[0]);
	rets[n++] = send_number(pub, 1, 1);
	rets[n++] = ronbus_seal(bus);
	rets[n++] = ronbus_stats(bus, RONBUS_STATS_BUS, &stats[0]);
	rets[n++] = ronbus_stats(bus, 0, &stats[1]);
	rets[n++] = ronbus_stats(bus, 1, &stats[2]);
	rets[n++] = ronbus_stats(bus, 2, &stats[3]);
	ronbus_sub_close(subs[0]);
	ronbus_sub_close(subs[2]);
	ronbus_pub_close(pub);
	/* What was still with the thread is counted now. */
	rets[n++] = ronbus_stats(bus, RONBUS_STATS_BUS, &stats[4]);
	ronbus_close(bus);
	return n;
}

TEST_F(both, count_the_same)
{
	struct ronbus_stats device[5], embedded[5];
	int device_rets[64], embedded_rets[64], n, i;
	u64 began = now_ns();
	bool flushed_late;
	size_t k;

	memset(device, 0, sizeof(device));
	memset(embedded, 0, sizeof(embedded));
	n = scenario(RONBUS_DEVICE, &variant->ways, device, device_rets);
	ASSERT_LT(0, n);
	ASSERT_EQ(n, scenario(RONBUS_EMBEDDED, &variant->ways, embedded, embedded_rets));
	/* Buffered counters are flushed with time, too: on a slow machine only the end is the same. */
	flushed_late = variant->ways.features & RONBUS_F_METRICS_BUF && now_ns() - began > SEC / 10;
	if (flushed_late) {
		device[4].counters.metrics_tls_flush_total = 0;
		embedded[4].counters.metrics_tls_flush_total = 0;
	}
	for (i = 0; i < n; i++) {
		EXPECT_EQ(device_rets[i], embedded_rets[i]) TH_LOG("result %d", i);
	}
	for (i = flushed_late ? 4 : 0; i < 5; i++) {
		for (k = 0; k < sizeof(device[0]) / 4; k++) {
			EXPECT_EQ(((u32 *)&device[i])[k], ((u32 *)&embedded[i])[k])
			TH_LOG("look %d, word at %zu of struct ronbus_stats", i, 4 * k);
		}
	}
	EXPECT_LT(0, device[4].counters.published_total);
	EXPECT_LT(0, device[0].counters.overflow_dropped_total);
}

/* ---- the device alone ------------------------------------------------------------------- */

TEST_F(both, adopt)
{
	struct ronbus *bus, *adopted;
	struct ronbus_sub *sub;
	struct ronbus_pub *pub;
	int fd;

	ASSERT_EQ(0,
		  make_bus(RONBUS_DEVICE, variant->ways.features, variant->ways.flags, NULL, &bus));
	fd = dup(ronbus_bus_fd(bus));
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ronbus_adopt(fd, &adopted));
	EXPECT_EQ(fd, ronbus_bus_fd(adopted));
	ASSERT_EQ(0, ronbus_publisher(bus, variant->ways.pub_flags, &pub));
	ASSERT_EQ(0, ronbus_subscribe(adopted, NULL, &sub));
	ronbus_close(bus);
	ronbus_close(adopted);
	EXPECT_EQ(1, send_number(pub, 0, 3));
	EXPECT_MESSAGE(sub, 3);

	/* What is no bus fd stays the caller's. */
	EXPECT_GT(0, ronbus_adopt(ronbus_pub_fd(pub), &adopted));
	EXPECT_LE(0, fcntl(ronbus_pub_fd(pub), F_GETFD));
	EXPECT_EQ(-EBADF, ronbus_adopt(1000, &adopted));
	fd = open("/dev/null", O_RDWR);
	EXPECT_EQ(-ENOTTY, ronbus_adopt(fd, &adopted));
	EXPECT_EQ(0, close(fd));
	ronbus_pub_close(pub);
	EXPECT_CLOSED(sub);
	ronbus_sub_close(sub);
}

TEST_HARNESS_MAIN
