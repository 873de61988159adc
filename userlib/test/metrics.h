/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/* A bus with RONBUS_F_METRICS_BUF, and messages on it to be counted. */
#ifndef RONBUS_TEST_METRICS_H
#define RONBUS_TEST_METRICS_H

#include "common.h"

#define THRESHOLD "RON_TLS_FLUSH_THRESHOLD"
#define NEVER "1000000"
#define INTERVAL (200 * MS)
#define WATCHDOG (20000 * MS)
#define BATCH_MOST 100U

static inline struct ronbus *make_with(__u64 features)
{
	const struct ronbus_options opts = {
		.features = RONBUS_F_EDGE_NOTIFY | RONBUS_F_BATCH | features,
		.flags = RONBUS_BUS_PERSISTENT,
	};

	return make(&opts);
}

/* A message may be given up where others publish at full speed: then again, until it is accepted. */
static inline void put(struct ronbus_pub *pub, unsigned int count)
{
	__u64 value = 1;
	int ret;

	while (count) {
		ret = ronbus_publish(pub, 0, &value, sizeof(value));
		if (ret < 0 && ret != -EAGAIN)
			abort();
		count -= ret >= 0;
	}
}

static inline void put_batch(struct ronbus_pub *pub, unsigned int count)
{
	static const __u64 value;
	struct iovec vec[BATCH_MOST];
	int ret;

	for (unsigned int i = 0; i < count; i++)
		vec[i] = (struct iovec){ (void *)&value, sizeof(value) };
	while (count) {
		ret = ronbus_publish_many(pub, 0, vec, count);
		if (ret < 0 && ret != -EAGAIN)
			abort();
		count -= ret > 0 ? (unsigned int)ret : 0;
	}
}

static inline __u64 published(struct ronbus *bus)
{
	return counters(bus).published_total;
}

static inline __u64 flushes(struct ronbus *bus)
{
	return counters(bus).metrics_tls_flush_total;
}

/* A test bus with a subscriber that gets what is published. */
static struct ronbus *bus;
static struct ronbus_sub *reader;

static inline int setup(void **state)
{
	(void)state;
	unsetenv(THRESHOLD);
	bus = make_with(RONBUS_F_METRICS_BUF);
	reader = subscriber(bus);
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	ronbus_sub_close(reader);
	ronbus_close(bus);
	unsetenv(THRESHOLD);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif /* RONBUS_TEST_METRICS_H */
