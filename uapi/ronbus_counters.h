/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * ronbus_counters.h - the names of the counters, one list for all who print them
 *
 * RONBUS_COUNTERS(plain, labelled) expands to plain(NAME) for each member NAME of struct
 * ronbus_counters that is one word, and to labelled(NAME, KEY, LABEL...) for each that is an array:
 * KEY is what its elements differ in, and there is a LABEL for each of them. The full name of a
 * counter is NAME behind "bus_".
 */
#ifndef _UAPI_RONBUS_COUNTERS_H
#define _UAPI_RONBUS_COUNTERS_H

/* clang-format off */
#define RONBUS_COUNTERS(plain, labelled)							\
	plain(published_total)									\
	plain(no_receivers_total)								\
	plain(receiver_lag_total)								\
	plain(overflow_dropped_total)								\
	plain(dropped_total)									\
	plain(delivered_total)									\
	plain(filtered_total)									\
	plain(holes_total)									\
	plain(addressed_total)									\
	plain(notify_calls_total)								\
	plain(notify_sends_total)								\
	plain(notify_suppressed_total)								\
	labelled(wakes_total, "cause", "data", "timer", "repair", "close")			\
	plain(waits_total)									\
	plain(repairs_total)									\
	plain(batch_publish_total)								\
	labelled(batch_len_histogram, "from", "1", "2", "4", "8",				\
		 "16", "32", "64", "128", "256", "512", "1024")					\
	plain(metrics_tls_flush_total)								\
	labelled(autotune_warn_total, "reason", "capacity", "subscribers")			\
	plain(interest_skips_total)								\
	labelled(ready_mask_width, "from", "1", "2", "4", "8", "16", "32", "64")
/* clang-format on */

#endif /* _UAPI_RONBUS_COUNTERS_H */
