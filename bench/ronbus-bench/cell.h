/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * cell.h - what is measured: cells, each with its parameters and its series of samples
 */
#ifndef RONBUS_BENCH_CELL_H
#define RONBUS_BENCH_CELL_H

#include <gsl/gsl_histogram.h>

#include <libronbus.h>

#include "common.h"
#include "stats.h"

#define SERIES_MOST 4U
#define NAME_SIZE 96U
#define REASON_SIZE 240U

/**
 * struct series - one measured quantity of a cell; all of them are costs
 * @name: for example "publish"
 * @unit: for example "ns/msg"
 * @samples: what was measured
 * @histogram: of single latencies, of which a sample is the median of some; else NULL
 * @summary: what is said of them, after the last turn
 */
struct series {
	const char *name;
	const char *unit;
	struct samples samples;
	gsl_histogram *histogram;
	struct summary summary;
};

struct cell;

/**
 * struct cell_ops - how a kind of cells is measured
 * @name: of the kind
 * @what: it measures, in a line
 * @setup: make what a turn needs; returns NULL and says in @cell->skipped why, if it cannot be
 * @sample: measure once, all series; for those that are sampled as long as the time of a turn lasts
 * @turn: instead of @sample: measure all of a turn; false if that could not be, and why in
 *	@cell->skipped
 * @teardown: the opposite of @setup
 */
struct cell_ops {
	const char *name;
	const char *what;
	void *(*setup)(struct cell *cell);
	void (*sample)(struct cell *cell, void *state, double *values);
	bool (*turn)(struct cell *cell, void *state);
	void (*teardown)(struct cell *cell, void *state);
};

/* How messages are published, or received, where there is a choice. */
enum op {
	OP_SINGLE, /* ronbus_publish() for each message */
	OP_MANY, /* ronbus_publish_many(), ronbus_recv_many() */
	OP_DRAIN, /* ronbus_drain() with a budget */
	OP_WAIT, /* ronbus_wait() and one receive, for each message */
	OP_POLL, /* poll() and one receive, for each message */
	OP_PEEK, /* ronbus_peek() and ronbus_release() */
};

/**
 * struct cell - one thing to measure
 * @name: all of it in words, with slashes; never changes for the same thing
 * @group: the table it belongs to
 * @engine: "ronbus", a variant of it, or the name of a peer
 * @ops: how it is measured
 * @op: what the loop calls
 * @read_op: what it calls to receive, where that is another choice
 * @features: of the bus
 * @features_name: in words
 * @bus_flags: of the bus
 * @pub_flags: of the publisher
 * @capacity: slots; 0 for what RONBUS_F_AUTOTUNE_CAP chooses
 * @payload: bytes a message
 * @subscribers: how many
 * @publishers: how many
 * @burst: messages at a time
 * @batch: messages in a call of ronbus_publish_many()
 * @flush_threshold: RON_TLS_FLUSH_THRESHOLD; 0 for the default
 * @relevant: percent of the topics that a subscriber wants; 0: there are no topics
 * @coalesce: with RONBUS_F_COALESCE for how many messages a subscriber is woken
 * @delay_ns: and after what time at the latest
 * @sleeping: readers sleep instead of looking
 * @shape: that of the peers' programs, 'a' to 'd', or 0
 * @turns: how often it is visited
 * @series: what is measured
 * @nr_series: how many
 * @counters: of all turns
 * @capacity_selected: what the bus has
 * @skipped: why it was not measured; empty if it was
 * @version: of a peer
 */
struct cell {
	char name[NAME_SIZE];
	const char *group;
	const char *engine;
	const struct cell_ops *ops;
	enum op op;
	enum op read_op;
	__u64 features;
	const char *features_name;
	__u32 bus_flags;
	unsigned int pub_flags;
	unsigned int capacity;
	unsigned int payload;
	unsigned int subscribers;
	unsigned int publishers;
	unsigned int burst;
	unsigned int batch;
	unsigned int flush_threshold;
	unsigned int relevant;
	unsigned int coalesce;
	unsigned int delay_ns;
	bool sleeping;
	char shape;
	unsigned int turns;
	struct series series[SERIES_MOST];
	unsigned int nr_series;
	struct ronbus_counters counters;
	unsigned int capacity_selected;
	char skipped[REASON_SIZE];
	char version[64];
};

/**
 * struct cells - a table of them
 * @cells: they; pointers into it are good once all have been made
 * @count: how many
 * @room: how many fit
 */
struct cells {
	struct cell *cells;
	size_t count;
	size_t room;
};

/* Add a copy of @template, named as @format says; the series are to be added to what is returned. */
struct cell *cells_add(struct cells *cells, const struct cell *template, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
struct cell *cells_find(const struct cells *cells, const char *name);
void cells_free(struct cells *cells);

/* Leave only cells in whose name each filter is found: one of its alternatives, between commas. */
void cells_filter(struct cells *cells, char *const *filters, size_t count);

void cell_add_series(struct cell *cell, const char *name, const char *unit);

/* The same, for single latencies, which are kept in a histogram. */
void cell_add_latencies(struct cell *cell, const char *name);

struct series *cell_series(const struct cell *cell, const char *name);

__attribute__((format(printf, 2, 3))) void cell_skip(struct cell *cell, const char *format, ...);

static inline bool cell_is_ronbus(const struct cell *cell)
{
	return !strncmp(cell->engine, "ronbus", 6);
}

/* Forget what was measured. */
void cell_clear(struct cell *cell);
void cell_summarize(struct cell *cell);

/**
 * series_add_latencies() - add single latencies
 * @series: to this
 * @values: the latencies, whose order is changed
 * @count: how many
 *
 * Each goes into the histogram; their medians, twenty at most, are the samples.
 */
void series_add_latencies(struct series *series, double *values, size_t count);

/* A histogram of latencies in nanoseconds, empty. */
gsl_histogram *latency_histogram(void);

double histogram_percentile(const gsl_histogram *histogram, double p);

#endif /* RONBUS_BENCH_CELL_H */
