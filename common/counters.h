/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * counters.h - what the counters of members add up to
 */
#ifndef _RONBUS_COUNTERS_SUM_H
#define _RONBUS_COUNTERS_SUM_H

#include "limits.h"

/* Add what a publisher has counted in its own page. */
static inline void ronbus_counters_add_pub(struct ronbus_counters *sum,
					   const struct ronbus_self *self)
{
	__u32 i;

	sum->no_receivers_total += RB_READ(&self->messages_for[0]);
	for (i = 1; i <= RONBUS_SUBSCRIBERS_MAX; i++) {
		__u64 n = RB_READ(&self->messages_for[i]);

		sum->published_total += n;
		sum->addressed_total += n * i;
		sum->ready_mask_width[31 - __builtin_clz(i)] += n;
	}
	for (i = 0; i < RONBUS_BATCH_BUCKETS; i++) {
		__u64 n = RB_READ(&self->batch_len[i]);

		sum->batch_publish_total += n;
		sum->batch_len_histogram[i] += n;
	}
	sum->dropped_total += RB_READ(&self->dropped);
	sum->interest_skips_total += RB_READ(&self->interest_skips);
	sum->metrics_tls_flush_total += RB_READ(&self->flushes);
}

/* Add what a subscriber has counted in its own page. */
static inline void ronbus_counters_add_sub(struct ronbus_counters *sum,
					   const struct ronbus_self *self)
{
	sum->delivered_total += RB_READ(&self->delivered);
	sum->filtered_total += RB_READ(&self->filtered);
	sum->holes_total += RB_READ(&self->holes);
	sum->receiver_lag_total += RB_READ(&self->lags);
	sum->overflow_dropped_total += RB_READ(&self->lost);
}

/*
 * What was addressed and needed no waking. The two are read at different moments, and counts that a
 * thread has yet to flush may be missing from the first.
 */
static inline void ronbus_counters_suppressed(struct ronbus_counters *sum, __u64 addressed)
{
	sum->notify_suppressed_total =
		addressed > sum->notify_sends_total ? addressed - sum->notify_sends_total : 0;
}

#endif /* _RONBUS_COUNTERS_SUM_H */
