/* SPDX-License-Identifier: GPL-2.0 */
/* Every counter by its name, and a bus whose counters move. */
#ifndef RONBUS_STATS_TEST_H
#define RONBUS_STATS_TEST_H

#include "ronbus_kselftest.h"

#define SLOTS 8U
#define LEN 32U

/* Every counter, under the name it has everywhere. */
static const struct counter {
	const char *name;
	size_t offset;
} counters[] = {
#define AT(name, i) (offsetof(struct ronbus_counters, name) + (i) * sizeof(__u64))
	{ "bus_published_total", AT(published_total, 0) },
	{ "bus_no_receivers_total", AT(no_receivers_total, 0) },
	{ "bus_receiver_lag_total", AT(receiver_lag_total, 0) },
	{ "bus_overflow_dropped_total", AT(overflow_dropped_total, 0) },
	{ "bus_dropped_total", AT(dropped_total, 0) },
	{ "bus_delivered_total", AT(delivered_total, 0) },
	{ "bus_filtered_total", AT(filtered_total, 0) },
	{ "bus_holes_total", AT(holes_total, 0) },
	{ "bus_addressed_total", AT(addressed_total, 0) },
	{ "bus_notify_calls_total", AT(notify_calls_total, 0) },
	{ "bus_notify_sends_total", AT(notify_sends_total, 0) },
	{ "bus_notify_suppressed_total", AT(notify_suppressed_total, 0) },
	{ "bus_wakes_total{data}", AT(wakes_total, RONBUS_WAKE_DATA) },
	{ "bus_wakes_total{timer}", AT(wakes_total, RONBUS_WAKE_TIMER) },
	{ "bus_wakes_total{repair}", AT(wakes_total, RONBUS_WAKE_REPAIR) },
	{ "bus_wakes_total{close}", AT(wakes_total, RONBUS_WAKE_CLOSE) },
	{ "bus_waits_total", AT(waits_total, 0) },
	{ "bus_repairs_total", AT(repairs_total, 0) },
	{ "bus_batch_publish_total", AT(batch_publish_total, 0) },
	{ "bus_batch_len_histogram{1}", AT(batch_len_histogram, 0) },
	{ "bus_batch_len_histogram{2}", AT(batch_len_histogram, 1) },
	{ "bus_batch_len_histogram{4}", AT(batch_len_histogram, 2) },
	{ "bus_batch_len_histogram{8}", AT(batch_len_histogram, 3) },
	{ "bus_batch_len_histogram{16}", AT(batch_len_histogram, 4) },
	{ "bus_batch_len_histogram{32}", AT(batch_len_histogram, 5) },
	{ "bus_batch_len_histogram{64}", AT(batch_len_histogram, 6) },
	{ "bus_batch_len_histogram{128}", AT(batch_len_histogram, 7) },
	{ "bus_batch_len_histogram{256}", AT(batch_len_histogram, 8) },
	{ "bus_batch_len_histogram{512}", AT(batch_len_histogram, 9) },
	{ "bus_batch_len_histogram{1024}", AT(batch_len_histogram, 10) },
	{ "bus_metrics_tls_flush_total", AT(metrics_tls_flush_total, 0) },
	{ "bus_autotune_warn_total{capacity}", AT(autotune_warn_total, RONBUS_AUTOTUNE_CAPACITY) },
	{ "bus_autotune_warn_total{subscribers}",
	  AT(autotune_warn_total, RONBUS_AUTOTUNE_SUBSCRIBERS) },
	{ "bus_interest_skips_total", AT(interest_skips_total, 0) },
	{ "bus_ready_mask_width{1}", AT(ready_mask_width, 0) },
	{ "bus_ready_mask_width{2}", AT(ready_mask_width, 1) },
	{ "bus_ready_mask_width{4}", AT(ready_mask_width, 2) },
	{ "bus_ready_mask_width{8}", AT(ready_mask_width, 3) },
	{ "bus_ready_mask_width{16}", AT(ready_mask_width, 4) },
	{ "bus_ready_mask_width{32}", AT(ready_mask_width, 5) },
	{ "bus_ready_mask_width{64}", AT(ready_mask_width, 6) },
	{ "bus_blocks_published_total", AT(blocks_published_total, 0) },
	{ "bus_blocks_dropped_total", AT(blocks_dropped_total, 0) },
	{ "bus_blocks_pinned_total", AT(blocks_pinned_total, 0) },
	{ "bus_coalesce_deferred_total", AT(coalesce_deferred_total, 0) },
#undef AT
};

_Static_assert(ARRAY_SIZE(counters) == sizeof(struct ronbus_counters) / 8, "none is forgotten");

static inline u64 counter(const struct ronbus_counters *c, size_t i)
{
	u64 value;

	memcpy(&value, (const char *)c + counters[i].offset, sizeof(value));
	return value;
}

FIXTURE(stats)
{
	int control;
	int bus;
	struct publisher pub;
	struct subscriber s;
	struct ronbus_counters last; /* as of the last look */
};

FIXTURE_VARIANT(stats)
{
	u64 features;
	u32 publisher;
};

FIXTURE_VARIANT_ADD(stats, mapped_baseline){ 0, RONBUS_PUBLISHER_MAPPED };
FIXTURE_VARIANT_ADD(stats, mapped_edge){ RONBUS_F_EDGE_NOTIFY, RONBUS_PUBLISHER_MAPPED };
FIXTURE_VARIANT_ADD(stats, syscall_baseline){ 0, 0 };
FIXTURE_VARIANT_ADD(stats, syscall_edge){ RONBUS_F_EDGE_NOTIFY, 0 };
FIXTURE_VARIANT_ADD(stats, mapped_edge_batch){ RONBUS_F_EDGE_NOTIFY | RONBUS_F_BATCH,
					       RONBUS_PUBLISHER_MAPPED };
FIXTURE_VARIANT_ADD(stats, syscall_batch){ RONBUS_F_BATCH, 0 };
FIXTURE_VARIANT_ADD(stats, syscall_edge_batch){ RONBUS_F_EDGE_NOTIFY | RONBUS_F_BATCH, 0 };

FIXTURE_SETUP(stats)
{
	self->control = OPEN_CONTROL();
	self->bus =
		bus_create(self->control, (struct ronbus_create){ .features = variant->features,
								  .flags = RONBUS_BUS_PERSISTENT,
								  .capacity = SLOTS,
								  .payload = LEN,
								  .name = "stats-test" });
	ASSERT_LE(0, self->bus);
	ASSERT_EQ(0, publisher_join(&self->pub, self->bus, variant->publisher));
	ASSERT_EQ(0, subscriber_join(&self->s, self->bus, RONBUS_START_LATEST, 0));
	ASSERT_EQ(0, fd_nonblock(self->s.m.fd));
}

FIXTURE_TEARDOWN(stats)
{
	subscriber_leave(&self->s);
	publisher_leave(&self->pub);
	close(self->bus);
	close(self->control);
}

#endif /* RONBUS_STATS_TEST_H */
