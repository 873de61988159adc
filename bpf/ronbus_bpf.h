/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * ronbus_bpf.h - what the BPF programs of ronbus.bpf.c keep in their maps
 *
 * The contract between those programs and the readers of their maps. There are three maps:
 *
 *  - "buses", a hash from struct ronbus_bpf_bus_key to struct ronbus_bpf_bus;
 *  - "subscribers", a hash from struct ronbus_bpf_sub_key to struct ronbus_bpf_sub;
 *  - "start", an array with one struct ronbus_bpf_start at index 0: this attachment.
 *
 * Two kinds of numbers are in them, and should not be mixed up.
 *
 *  - counters is what RONBUS_IOC_STATS says, taken over whole from every ronbus_flush event: with
 *    each RONBUS_IOC_STATS and each look into fdinfo, at least every 200 ms, and at last before a
 *    member or a bus goes. It holds since the bus was made, whenever the programs were attached,
 *    and no event can be missed in it. The members around it (armed, tail, cursor...) are of the
 *    same moment.
 *  - seen and the histograms count events as they happen, from when the programs were attached. An
 *    event that interrupts the program of the same event on its CPU is not in them, nor is one of
 *    a bus that was there before and has not been flushed yet. They only grow.
 *
 * A bus has its entry from ronbus_create or its first ronbus_flush to ronbus_destroy, a subscriber
 * from ronbus_join or its first flush to ronbus_leave. If the program for destroy and leave is not
 * attached, or the programs are attached in that moment, an entry may be left: one that has not
 * been flushed for RONBUS_BPF_STALE_NS belongs to nobody any more, unless nothing at all has.
 *
 * Each word is read and written whole, and a counter never goes back. Words of one entry that is
 * read while a flush replaces them may be of two flushes.
 *
 * Times are CLOCK_MONOTONIC in nanoseconds. The size of a value (value_size of the map) changes
 * with its layout: a reader that finds another size than it was built with leaves the map alone.
 */
#ifndef _RONBUS_BPF_H
#define _RONBUS_BPF_H

#include <linux/types.h>

#include "ronbus.h"

#define RONBUS_BPF_BUSES_MAP "buses"
#define RONBUS_BPF_SUBSCRIBERS_MAP "subscribers"
#define RONBUS_BPF_START_MAP "start"

/* As many as the module allows. */
#define RONBUS_BPF_BUSES_MAX 1024
#define RONBUS_BPF_SUBS_MAX (RONBUS_BPF_BUSES_MAX * RONBUS_SUBSCRIBERS_MAX)

/* Ten times the interval at which the module flushes, and more. */
#define RONBUS_BPF_STALE_NS 5000000000ULL

/* Buckets of a histogram: n is for delays from 2^n ns up, below 2^(n+1); the last one for all. */
#define RONBUS_BPF_BUCKETS 40

/**
 * struct ronbus_bpf_bus_key - key of the map "buses"
 * @bus: number of the bus, as RONBUS_IOC_INFO and tracepoints tell it
 */
struct ronbus_bpf_bus_key {
	__u64 bus;
};

/**
 * struct ronbus_bpf_sub_key - key of the map "subscribers"
 * @bus: number of the bus
 * @subscriber: index of the subscriber
 * @pad: zero
 */
struct ronbus_bpf_sub_key {
	__u64 bus;
	__u32 subscriber;
	__u32 pad;
};

/**
 * struct ronbus_bpf_histogram - how long something took
 * @sum: of all delays, in nanoseconds
 * @buckets: how many, by their logarithm to base 2, rounded down; 0 and 1 ns are in the first
 */
struct ronbus_bpf_histogram {
	__u64 sum;
	__u64 buckets[RONBUS_BPF_BUCKETS];
};

/**
 * struct ronbus_bpf_seen - events seen since the programs were attached
 * @published: messages published by system call and by BPF programs (buses)
 * @notifies: notifications that mapped publishers asked for (buses)
 * @arms: times a subscriber went to sleep or was armed
 * @readies: times one looked before and found something
 * @wakes: wake-ups, by &enum ronbus_wake_cause
 * @suppressed: wake-ups that were not needed
 * @lags: times a subscriber was overtaken
 * @lost: positions lost by that
 * @drops: messages given up by publishers (buses)
 * @repairs: slots taken back from publishers that died (buses)
 */
struct ronbus_bpf_seen {
	__u64 published;
	__u64 notifies;
	__u64 arms;
	__u64 readies;
	__u64 wakes[RONBUS_WAKE_CAUSES];
	__u64 suppressed;
	__u64 lags;
	__u64 lost;
	__u64 drops;
	__u64 repairs;
};

/**
 * struct ronbus_bpf_bus - value of the map "buses"
 * @name: name of the bus, NUL to its end; empty for one without
 * @features: set of &enum ronbus_feature
 * @flags: set of &enum ronbus_bus_flag
 * @capacity: slots
 * @payload: bytes a message can have
 * @publishers: publishers there are
 * @subscribers: set of subscriber indexes in use
 * @armed: set of subscribers that sleep or are about to
 * @tail: the first position after everything published
 * @flushed: when @counters and what stands above were taken; 0: not yet
 * @counters: of the whole bus, members that left included
 * @seen: events of the bus and of all its subscribers
 * @arm_to_wake: from arming to the wake-up; of wake-ups of subscribers that were armed while
 *	somebody traced
 * @wake_to_read: from a wake-up to the subscriber's next look at the ring in the kernel
 */
struct ronbus_bpf_bus {
	char name[RONBUS_NAME_SIZE];
	__u64 features;
	__u32 flags;
	__u32 capacity;
	__u32 payload;
	__u32 publishers;
	__u64 subscribers;
	__u64 armed;
	__u64 tail;
	__u64 flushed;
	struct ronbus_counters counters;
	struct ronbus_bpf_seen seen;
	struct ronbus_bpf_histogram arm_to_wake;
	struct ronbus_bpf_histogram wake_to_read;
};

/**
 * struct ronbus_bpf_sub - value of the map "subscribers"
 * @armed: it sleeps or is about to (1), or not (0)
 * @cursor: the position it reads next, as it says itself
 * @start: the position it began at
 * @flushed: when @counters and what stands above were taken; 0: not yet
 * @woken: when it was woken, until it has looked; else 0
 * @counters: its share in the counters of the bus
 * @seen: its events
 * @arm_to_wake: as for the bus
 * @wake_to_read: as for the bus
 */
struct ronbus_bpf_sub {
	__u64 armed;
	__u64 cursor;
	__u64 start;
	__u64 flushed;
	__u64 woken;
	struct ronbus_counters counters;
	struct ronbus_bpf_seen seen;
	struct ronbus_bpf_histogram arm_to_wake;
	struct ronbus_bpf_histogram wake_to_read;
};

/**
 * struct ronbus_bpf_start - value of the map "start"
 * @since: when the first event was seen; 0: none yet
 * @full: entries that could not be made, for want of memory; tried again with the next flush
 * @strange: flushes left alone, since the module has other counters than the programs know; those
 *	with types find the counters they know by name, and leave none alone
 */
struct ronbus_bpf_start {
	__u64 since;
	__u64 full;
	__u64 strange;
};

#endif /* _RONBUS_BPF_H */
