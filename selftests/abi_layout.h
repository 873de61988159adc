/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The ABI in numbers, once for all word sizes: what programs were built with stays as it is. The
 * makefile compiles this for 32 bits too.
 */
#ifndef RONBUS_ABI_LAYOUT_H
#define RONBUS_ABI_LAYOUT_H

#include "ronbus.h"
#include "ronbus_ring.h"

#define LAYOUT_SIZE(type, size) _Static_assert(sizeof(struct type) == (size), "size of " #type)
#define LAYOUT(type, member, offset, size)                                    \
	_Static_assert(__builtin_offsetof(struct type, member) == (offset) && \
			       sizeof(((struct type *)0)->member) == (size),  \
		       #type "." #member)
#define LAYOUT_IOCTL(name, number) _Static_assert(name == (number), #name)
#define LAYOUT_VALUE(name, value) _Static_assert((name) == (value), #name)

LAYOUT_SIZE(ronbus_query, 104);
LAYOUT(ronbus_query, abi_version, 0, 4);
LAYOUT(ronbus_query, page_size, 4, 4);
LAYOUT(ronbus_query, features, 8, 8);
LAYOUT(ronbus_query, bus_flags, 16, 4);
LAYOUT(ronbus_query, buses_max, 20, 4);
LAYOUT(ronbus_query, ring_bytes_max, 24, 8);
LAYOUT(ronbus_query, capacity_min, 32, 4);
LAYOUT(ronbus_query, capacity_max, 36, 4);
LAYOUT(ronbus_query, payload_min, 40, 4);
LAYOUT(ronbus_query, payload_max, 44, 4);
LAYOUT(ronbus_query, subscribers_max, 48, 4);
LAYOUT(ronbus_query, publishers_max, 52, 4);
LAYOUT(ronbus_query, topics_max, 56, 4);
LAYOUT(ronbus_query, batch_max, 60, 4);
LAYOUT(ronbus_query, name_size, 64, 4);
LAYOUT(ronbus_query, create_size, 68, 4);
LAYOUT(ronbus_query, info_size, 72, 4);
LAYOUT(ronbus_query, stats_size, 76, 4);
LAYOUT(ronbus_query, info_page_size, 80, 4);
LAYOUT(ronbus_query, self_page_size, 84, 4);
LAYOUT(ronbus_query, blocks_bytes_max, 88, 8);
LAYOUT(ronbus_query, block_size_max, 96, 4);
LAYOUT(ronbus_query, blocks_max, 100, 4);

LAYOUT_SIZE(ronbus_create, 104);
LAYOUT(ronbus_create, features, 0, 8);
LAYOUT(ronbus_create, flags, 8, 4);
LAYOUT(ronbus_create, mode, 12, 4);
LAYOUT(ronbus_create, capacity, 16, 4);
LAYOUT(ronbus_create, payload, 20, 4);
LAYOUT(ronbus_create, subscribers, 24, 4);
LAYOUT(ronbus_create, pad, 28, 4);
LAYOUT(ronbus_create, name, 32, 64);
LAYOUT(ronbus_create, block_size, 96, 4);
LAYOUT(ronbus_create, blocks, 100, 4);

LAYOUT_SIZE(ronbus_attach, 80);
LAYOUT(ronbus_attach, access, 0, 4);
LAYOUT(ronbus_attach, flags, 4, 4);
LAYOUT(ronbus_attach, name, 8, 64);
LAYOUT(ronbus_attach, deadline, 72, 8);

LAYOUT_SIZE(ronbus_share, 8);
LAYOUT(ronbus_share, access, 0, 4);
LAYOUT(ronbus_share, pad, 4, 4);

LAYOUT_SIZE(ronbus_publisher, 24);
LAYOUT(ronbus_publisher, flags, 0, 4);
LAYOUT(ronbus_publisher, id, 4, 4);
LAYOUT(ronbus_publisher, token, 8, 8);
LAYOUT(ronbus_publisher, clock_offset, 16, 8);

LAYOUT_SIZE(ronbus_subscribe, 48);
LAYOUT(ronbus_subscribe, start, 0, 4);
LAYOUT(ronbus_subscribe, flags, 4, 4);
LAYOUT(ronbus_subscribe, position, 8, 8);
LAYOUT(ronbus_subscribe, topics, 16, 8);
LAYOUT(ronbus_subscribe, index, 24, 4);
LAYOUT(ronbus_subscribe, pad, 28, 4);
LAYOUT(ronbus_subscribe, joined, 32, 8);
LAYOUT(ronbus_subscribe, clock_offset, 40, 8);

LAYOUT_SIZE(ronbus_coalesce, 16);
LAYOUT(ronbus_coalesce, messages, 0, 4);
LAYOUT(ronbus_coalesce, flags, 4, 4);
LAYOUT(ronbus_coalesce, delay_ns, 8, 8);

LAYOUT_SIZE(ronbus_topics, 16);
LAYOUT(ronbus_topics, topics, 0, 8);
LAYOUT(ronbus_topics, generation, 8, 8);

LAYOUT_SIZE(ronbus_info, 160);
LAYOUT(ronbus_info, features, 0, 8);
LAYOUT(ronbus_info, flags, 8, 4);
LAYOUT(ronbus_info, capacity, 12, 4);
LAYOUT(ronbus_info, payload, 16, 4);
LAYOUT(ronbus_info, role, 20, 4);
LAYOUT(ronbus_info, member, 24, 4);
LAYOUT(ronbus_info, access, 28, 4);
LAYOUT(ronbus_info, publishers, 32, 4);
LAYOUT(ronbus_info, mode, 36, 4);
LAYOUT(ronbus_info, subscribers, 40, 8);
LAYOUT(ronbus_info, ring_bytes, 48, 8);
LAYOUT(ronbus_info, info_bytes, 56, 4);
LAYOUT(ronbus_info, self_bytes, 60, 4);
LAYOUT(ronbus_info, status, 64, 4);
LAYOUT(ronbus_info, pad, 68, 4);
LAYOUT(ronbus_info, name, 72, 64);
LAYOUT(ronbus_info, id, 136, 8);
LAYOUT(ronbus_info, blocks_bytes, 144, 8);
LAYOUT(ronbus_info, block_size, 152, 4);
LAYOUT(ronbus_info, blocks, 156, 4);

LAYOUT_SIZE(ronbus_wait, 16);
LAYOUT(ronbus_wait, deadline, 0, 8);
LAYOUT(ronbus_wait, flags, 8, 4);
LAYOUT(ronbus_wait, pad, 12, 4);

LAYOUT_SIZE(ronbus_notify, 16);
LAYOUT(ronbus_notify, subscribers, 0, 8);
LAYOUT(ronbus_notify, woken, 8, 4);
LAYOUT(ronbus_notify, pad, 12, 4);

LAYOUT_SIZE(ronbus_vec, 16);
LAYOUT(ronbus_vec, data, 0, 8);
LAYOUT(ronbus_vec, len, 8, 4);
LAYOUT(ronbus_vec, pad, 12, 4);

LAYOUT_SIZE(ronbus_publish, 24);
LAYOUT(ronbus_publish, vec, 0, 8);
LAYOUT(ronbus_publish, count, 8, 4);
LAYOUT(ronbus_publish, topic, 12, 4);
LAYOUT(ronbus_publish, flags, 16, 4);
LAYOUT(ronbus_publish, receivers, 20, 4);

LAYOUT_SIZE(ronbus_uring_publish, 16);
LAYOUT(ronbus_uring_publish, vec, 0, 8);
LAYOUT(ronbus_uring_publish, count, 8, 4);
LAYOUT(ronbus_uring_publish, topic, 12, 4);

LAYOUT_SIZE(ronbus_block_ref, 16);
LAYOUT(ronbus_block_ref, block, 0, 4);
LAYOUT(ronbus_block_ref, len, 4, 4);
LAYOUT(ronbus_block_ref, generation, 8, 8);

LAYOUT_SIZE(ronbus_publish_block, 56);
LAYOUT(ronbus_publish_block, data, 0, 8);
LAYOUT(ronbus_publish_block, len, 8, 4);
LAYOUT(ronbus_publish_block, topic, 12, 4);
LAYOUT(ronbus_publish_block, event, 16, 8);
LAYOUT(ronbus_publish_block, event_len, 24, 4);
LAYOUT(ronbus_publish_block, flags, 28, 4);
LAYOUT(ronbus_publish_block, receivers, 32, 4);
LAYOUT(ronbus_publish_block, pad, 36, 4);
LAYOUT(ronbus_publish_block, ref, 40, 16);

LAYOUT_SIZE(ronbus_eventfd, 8);
LAYOUT(ronbus_eventfd, fd, 0, 4);
LAYOUT(ronbus_eventfd, flags, 4, 4);

LAYOUT_SIZE(ronbus_counters, 360);
LAYOUT(ronbus_counters, published_total, 0, 8);
LAYOUT(ronbus_counters, no_receivers_total, 8, 8);
LAYOUT(ronbus_counters, receiver_lag_total, 16, 8);
LAYOUT(ronbus_counters, overflow_dropped_total, 24, 8);
LAYOUT(ronbus_counters, dropped_total, 32, 8);
LAYOUT(ronbus_counters, delivered_total, 40, 8);
LAYOUT(ronbus_counters, filtered_total, 48, 8);
LAYOUT(ronbus_counters, holes_total, 56, 8);
LAYOUT(ronbus_counters, addressed_total, 64, 8);
LAYOUT(ronbus_counters, notify_calls_total, 72, 8);
LAYOUT(ronbus_counters, notify_sends_total, 80, 8);
LAYOUT(ronbus_counters, notify_suppressed_total, 88, 8);
LAYOUT(ronbus_counters, wakes_total, 96, 32);
LAYOUT(ronbus_counters, waits_total, 128, 8);
LAYOUT(ronbus_counters, repairs_total, 136, 8);
LAYOUT(ronbus_counters, batch_publish_total, 144, 8);
LAYOUT(ronbus_counters, batch_len_histogram, 152, 88);
LAYOUT(ronbus_counters, metrics_tls_flush_total, 240, 8);
LAYOUT(ronbus_counters, autotune_warn_total, 248, 16);
LAYOUT(ronbus_counters, interest_skips_total, 264, 8);
LAYOUT(ronbus_counters, ready_mask_width, 272, 56);
LAYOUT(ronbus_counters, blocks_published_total, 328, 8);
LAYOUT(ronbus_counters, blocks_dropped_total, 336, 8);
LAYOUT(ronbus_counters, blocks_pinned_total, 344, 8);
LAYOUT(ronbus_counters, coalesce_deferred_total, 352, 8);

LAYOUT_SIZE(ronbus_stats, 416);
LAYOUT(ronbus_stats, which, 0, 4);
LAYOUT(ronbus_stats, flags, 4, 4);
LAYOUT(ronbus_stats, armed, 8, 8);
LAYOUT(ronbus_stats, subscribers, 16, 8);
LAYOUT(ronbus_stats, tail, 24, 8);
LAYOUT(ronbus_stats, cursor, 32, 8);
LAYOUT(ronbus_stats, start, 40, 8);
LAYOUT(ronbus_stats, capacity, 48, 4);
LAYOUT(ronbus_stats, publishers, 52, 4);
LAYOUT(ronbus_stats, counters, 56, 360);

LAYOUT_SIZE(ronbus_record, 24);
LAYOUT(ronbus_record, position, 0, 8);
LAYOUT(ronbus_record, lost, 8, 8);
LAYOUT(ronbus_record, len, 16, 4);
LAYOUT(ronbus_record, topic, 20, 2);
LAYOUT(ronbus_record, publisher, 22, 2);

LAYOUT_SIZE(ronbus_info_page, 768);
LAYOUT(ronbus_info_page, abi_version, 0, 4);
LAYOUT(ronbus_info_page, size, 4, 4);
LAYOUT(ronbus_info_page, features, 8, 8);
LAYOUT(ronbus_info_page, flags, 16, 4);
LAYOUT(ronbus_info_page, capacity, 20, 4);
LAYOUT(ronbus_info_page, payload, 24, 4);
LAYOUT(ronbus_info_page, status, 28, 4);
LAYOUT(ronbus_info_page, generation, 32, 8);
LAYOUT(ronbus_info_page, members, 40, 8);
LAYOUT(ronbus_info_page, reserved0, 48, 80);
LAYOUT(ronbus_info_page, armed, 128, 8);
LAYOUT(ronbus_info_page, blocked, 136, 8);
LAYOUT(ronbus_info_page, wake_next, 144, 8);
LAYOUT(ronbus_info_page, reserved1, 152, 104);
LAYOUT(ronbus_info_page, audience, 256, 512);

LAYOUT_SIZE(ronbus_self, 768);
LAYOUT(ronbus_self, cursor, 0, 8);
LAYOUT(ronbus_self, delivered, 8, 8);
LAYOUT(ronbus_self, filtered, 16, 8);
LAYOUT(ronbus_self, holes, 24, 8);
LAYOUT(ronbus_self, lags, 32, 8);
LAYOUT(ronbus_self, lost, 40, 8);
LAYOUT(ronbus_self, reserved0, 48, 16);
LAYOUT(ronbus_self, messages_for, 64, 520);
LAYOUT(ronbus_self, dropped, 584, 8);
LAYOUT(ronbus_self, interest_skips, 592, 8);
LAYOUT(ronbus_self, flushes, 600, 8);
LAYOUT(ronbus_self, batch_len, 608, 88);
LAYOUT(ronbus_self, reserved1, 696, 8);
LAYOUT(ronbus_self, pins, 704, 64);

LAYOUT_SIZE(ronbus_slot, 32);
LAYOUT(ronbus_slot, state, 0, 8);
LAYOUT(ronbus_slot, hole, 8, 8);
LAYOUT(ronbus_slot, ready, 16, 8);
LAYOUT(ronbus_slot, meta, 24, 8);

LAYOUT_SIZE(ronbus_meta, 8);
LAYOUT(ronbus_meta, len, 0, 4);
LAYOUT(ronbus_meta, topic, 4, 4);

LAYOUT_SIZE(ronbus_ring_head, 128);
LAYOUT(ronbus_ring_head, head, 0, 8);
LAYOUT(ronbus_ring_head, reserved, 8, 120);

LAYOUT_IOCTL(RONBUS_IOC_QUERY, 0x8068c500);
LAYOUT_IOCTL(RONBUS_IOC_CREATE, 0xc068c501);
LAYOUT_IOCTL(RONBUS_IOC_ATTACH, 0x4050c502);
LAYOUT_IOCTL(RONBUS_IOC_PUBLISHER, 0xc018c510);
LAYOUT_IOCTL(RONBUS_IOC_SUBSCRIBE, 0xc030c511);
LAYOUT_IOCTL(RONBUS_IOC_SEAL, 0x0000c512);
LAYOUT_IOCTL(RONBUS_IOC_SHARE, 0x4008c513);
LAYOUT_IOCTL(RONBUS_IOC_INFO, 0x80a0c520);
LAYOUT_IOCTL(RONBUS_IOC_STATS, 0xc1a0c521);
LAYOUT_IOCTL(RONBUS_IOC_PUBLISH, 0xc018c530);
LAYOUT_IOCTL(RONBUS_IOC_NOTIFY, 0xc010c531);
LAYOUT_IOCTL(RONBUS_IOC_PUBLISH_BLOCK, 0xc038c532);
LAYOUT_IOCTL(RONBUS_IOC_WAIT, 0x4010c540);
LAYOUT_IOCTL(RONBUS_IOC_ARM, 0x0000c541);
LAYOUT_IOCTL(RONBUS_IOC_SET_EVENTFD, 0x4008c542);
LAYOUT_IOCTL(RONBUS_IOC_CANCEL, 0x0000c543);
LAYOUT_IOCTL(RONBUS_IOC_SET_TOPICS, 0xc010c544);
LAYOUT_IOCTL(RONBUS_IOC_COALESCE, 0x4010c545);

LAYOUT_VALUE(RONBUS_ABI_VERSION, 1);
LAYOUT_VALUE(RONBUS_F_EDGE_NOTIFY, 0x01);
LAYOUT_VALUE(RONBUS_F_BATCH, 0x02);
LAYOUT_VALUE(RONBUS_F_AUTOTUNE_CAP, 0x04);
LAYOUT_VALUE(RONBUS_F_METRICS_BUF, 0x08);
LAYOUT_VALUE(RONBUS_F_SOA, 0x10);
LAYOUT_VALUE(RONBUS_F_INTEREST, 0x20);
LAYOUT_VALUE(RONBUS_F_COALESCE, 0x40);
LAYOUT_VALUE(RONBUS_F_BLOCKS, 0x80);
LAYOUT_VALUE(RONBUS_F_TIME, 0x100);
LAYOUT_VALUE(RONBUS_FEATURES_KNOWN, 0x1ff);
LAYOUT_VALUE(RONBUS_FEATURES_RECOMMENDED, 0x0f);
LAYOUT_VALUE(RONBUS_BUS_PERSISTENT, 1);
LAYOUT_VALUE(RONBUS_BUS_EXCLUSIVE, 2);
LAYOUT_VALUE(RONBUS_BUS_MAP_NONE, 4);
LAYOUT_VALUE(RONBUS_BUS_MAP_ALL, 8);
LAYOUT_VALUE(RONBUS_BUS_RETAIN, 16);
LAYOUT_VALUE(RONBUS_BUS_COARSE_TIME, 32);
LAYOUT_VALUE(RONBUS_BUS_FLAGS_KNOWN, 0x3f);
LAYOUT_VALUE(RONBUS_ATTACH_LAST, 1);
LAYOUT_VALUE(RONBUS_ACCESS_SUBSCRIBE, 1);
LAYOUT_VALUE(RONBUS_ACCESS_PUBLISH, 2);
LAYOUT_VALUE(RONBUS_ACCESS_END, 4);
LAYOUT_VALUE(RONBUS_PUBLISHER_MAPPED, 1);
LAYOUT_VALUE(RONBUS_START_LATEST, 0);
LAYOUT_VALUE(RONBUS_START_OLDEST, 1);
LAYOUT_VALUE(RONBUS_START_AT, 2);
LAYOUT_VALUE(RONBUS_ROLE_BUS, 1);
LAYOUT_VALUE(RONBUS_ROLE_PUBLISHER, 2);
LAYOUT_VALUE(RONBUS_ROLE_SUBSCRIBER, 3);
LAYOUT_VALUE(RONBUS_WAKE_DATA, 0);
LAYOUT_VALUE(RONBUS_WAKE_TIMER, 1);
LAYOUT_VALUE(RONBUS_WAKE_REPAIR, 2);
LAYOUT_VALUE(RONBUS_WAKE_CLOSE, 3);
LAYOUT_VALUE(RONBUS_WAKE_CAUSES, 4);
LAYOUT_VALUE(RONBUS_BATCH_BUCKETS, 11);
LAYOUT_VALUE(RONBUS_WIDTH_BUCKETS, 7);
LAYOUT_VALUE(RONBUS_AUTOTUNE_CAPACITY, 0);
LAYOUT_VALUE(RONBUS_AUTOTUNE_SUBSCRIBERS, 1);
LAYOUT_VALUE(RONBUS_AUTOTUNE_REASONS, 2);
LAYOUT_VALUE(RONBUS_CAPACITY_WARN, 256);
LAYOUT_VALUE(RONBUS_STATS_BUS, 0xffffffff);
LAYOUT_VALUE(RONBUS_WAIT_FOREVER, 0xffffffffffffffff);
LAYOUT_VALUE(RONBUS_MMAP_INFO, 0);
LAYOUT_VALUE(RONBUS_MMAP_RING, 0x10000000);
LAYOUT_VALUE(RONBUS_MMAP_SELF, 0x20000000);
LAYOUT_VALUE(RONBUS_MMAP_BLOCKS, 0x30000000);
LAYOUT_VALUE(RONBUS_STATUS_SEALED, 1);
LAYOUT_VALUE(RONBUS_STATUS_ENDED, 2);
LAYOUT_VALUE(RONBUS_KIND_READY, 0);
LAYOUT_VALUE(RONBUS_KIND_BUSY, 1);
LAYOUT_VALUE(RONBUS_KIND_HOLE, 2);
LAYOUT_VALUE(RONBUS_STATE(0x123456789abcdeULL, 0x3f, RONBUS_KIND_HOLE), 0x123456789abcdefe);
LAYOUT_VALUE(RONBUS_SUBSCRIBERS_MAX, 64);
LAYOUT_VALUE(RONBUS_TOPICS_MAX, 64);
LAYOUT_VALUE(RONBUS_PUBLISHERS_MAX, 63);
LAYOUT_VALUE(RONBUS_CAPACITY_MIN, 4);
LAYOUT_VALUE(RONBUS_CAPACITY_MAX, 1 << 20);
LAYOUT_VALUE(RONBUS_PAYLOAD_MIN, 8);
LAYOUT_VALUE(RONBUS_PAYLOAD_MAX, 4096);
LAYOUT_VALUE(RONBUS_BATCH_MAX, 1024);
LAYOUT_VALUE(RONBUS_NAME_SIZE, 64);
LAYOUT_VALUE(RONBUS_CAPACITY_DEFAULT, 64);
LAYOUT_VALUE(RONBUS_PAYLOAD_DEFAULT, 32);
LAYOUT_VALUE(RONBUS_BLOCK_SIZE_MIN, 64);
LAYOUT_VALUE(RONBUS_BLOCK_SIZE_MAX, 1 << 20);
LAYOUT_VALUE(RONBUS_BLOCKS_MAX, 1 << 16);
LAYOUT_VALUE(RONBUS_PINS_MAX, 8);
LAYOUT_VALUE(RONBUS_BLOCK_SIZE_DEFAULT, 4096);

#endif /* RONBUS_ABI_LAYOUT_H */
