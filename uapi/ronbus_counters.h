/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * ronbus_counters.h - the names of the counters, one list for every program that prints them
 *
 * RONBUS_COUNTERS(plain, labelled) expands to plain(NAME, OF, HELP) for each member NAME of struct
 * ronbus_counters that is one word, and to labelled(NAME, OF, HELP, KEY, LABEL...) for each that is
 * an array: KEY is what its elements differ in ("from": they are buckets, each from its LABEL up),
 * and there is a LABEL for each of them. OF is BOTH if a subscriber has a share of its own, else
 * BUS. HELP says in a line what is counted. The full name of a counter is "bus_" and NAME.
 *
 * A new counter takes a member and a line here; fdinfo, the library, tracepoints, BPF programs,
 * /metrics and ronbus-top follow. ronbus(7) says what it means.
 */
#ifndef _UAPI_RONBUS_COUNTERS_H
#define _UAPI_RONBUS_COUNTERS_H

/* clang-format off */
#define RONBUS_COUNTERS(plain, labelled)							\
	plain(published_total, BUS, "Messages written for at least one subscriber.")		\
	plain(no_receivers_total, BUS, "Messages that no subscriber wanted and that were not written.")	\
	plain(receiver_lag_total, BOTH, "Times a subscriber found itself overtaken.")		\
	plain(overflow_dropped_total, BOTH, "Positions that subscribers lost by being overtaken.")	\
	plain(dropped_total, BUS, "Messages given up by publishers, every slot being held.")	\
	plain(delivered_total, BOTH, "Messages read.")						\
	plain(filtered_total, BOTH, "Messages skipped because they were for others.")		\
	plain(holes_total, BOTH, "Positions without a message that were skipped.")		\
	plain(addressed_total, BUS, "Sum over the messages of the subscribers each was for.")	\
	plain(notify_calls_total, BUS, "Notifications that mapped publishers asked for.")	\
	plain(notify_sends_total, BOTH, "Subscribers woken for a message.")			\
	plain(notify_suppressed_total, BOTH, "Wake-ups that were not needed.")			\
	labelled(wakes_total, BOTH, "Subscribers woken, by cause.",				\
		 "cause", "data", "timer", "repair", "close")					\
	plain(waits_total, BOTH, "Times a subscriber was put to sleep or armed.")		\
	plain(repairs_total, BUS, "Slots taken back from publishers that died.")		\
	plain(batch_publish_total, BUS, "Batches published.")					\
	labelled(batch_len_histogram, BUS, "Batches by their length in messages, without a sum.",	\
		 "from", "1", "2", "4", "8", "16", "32", "64", "128", "256", "512", "1024")	\
	plain(metrics_tls_flush_total, BUS, "Flushes of per-thread counters.")			\
	labelled(autotune_warn_total, BUS, "Warnings about the capacity, by reason.",		\
		 "reason", "capacity", "subscribers")						\
	plain(interest_skips_total, BUS, "Subscribers spared a message by their choice of topics.")	\
	labelled(ready_mask_width, BUS, "Messages by how many subscribers each was for.",	\
		 "from", "1", "2", "4", "8", "16", "32", "64")					\
	plain(blocks_published_total, BUS, "Messages published with a block.")			\
	plain(blocks_dropped_total, BUS, "Messages given up, every block being pinned.")	\
	plain(blocks_pinned_total, BUS, "Blocks passed over because they were pinned.")		\
	plain(coalesce_deferred_total, BOTH, "Notifications that put the waking of a subscriber off.")
/* clang-format on */

#endif /* _UAPI_RONBUS_COUNTERS_H */
