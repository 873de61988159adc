/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * rows.h - what ronbus-top shows of a bus or a subscriber: what happened between two snapshots
 */
#ifndef RONBUS_ROWS_H
#define RONBUS_ROWS_H

#include "../exporter/snapshot.h"

/**
 * struct row - a bus or a subscriber; what is not known of a rate is NAN
 * @id: number of the bus
 * @name: its name
 * @sub: index of the subscriber; of a bus -1
 * @publishers: how many (bus)
 * @subscribers: how many (bus)
 * @capacity: slots (bus)
 * @asleep: it sleeps or is about to (subscriber)
 * @lag: positions yet to be read; of a bus that of the slowest subscriber
 * @messages: published a second (bus)
 * @reads: messages read a second
 * @wakes: subscribers woken a second, for whatever cause
 * @suppressed: wake-ups that were not needed, of all that could have been, in percent
 * @lost: positions lost a second by being overtaken
 * @drops: messages given up a second by publishers (bus)
 */
struct row {
	__u64 id;
	char name[RONBUS_NAME_SIZE];
	int sub;
	unsigned int publishers;
	unsigned int subscribers;
	unsigned int capacity;
	bool asleep;
	__u64 lag;
	double messages;
	double reads;
	double wakes;
	double suppressed;
	double lost;
	double drops;
};

struct rows {
	struct row *row;
	size_t count;
};

/* What rows can be sorted by: the names on the command line are in rows.c. */
enum order {
	ORDER_ID,
	ORDER_NAME,
	ORDER_MESSAGES,
	ORDER_READS,
	ORDER_WAKES,
	ORDER_SUPPRESSED,
	ORDER_LOST,
	ORDER_DROPS,
	ORDER_LAG,
	ORDERS,
};

#define ROW_WIDTH 256 /* bytes of a line of text, at most */

const char *order_name(unsigned int order);
int rows_of_buses(const struct snapshot *now, const struct snapshot *before, struct rows *rows);
int rows_of_subs(const struct snapshot *now, const struct snapshot *before, __u64 id,
		 struct rows *rows);
void rows_sort(struct rows *rows, enum order order, bool reverse);
void rows_clear(struct rows *rows);
void rows_title(bool subs, char *line);
void row_format(const struct row *row, char *line);

#endif /* RONBUS_ROWS_H */
