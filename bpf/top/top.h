/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * top.h - what the files of ronbus-top share
 */
#ifndef RONBUS_TOP_H
#define RONBUS_TOP_H

#include "../exporter/source.h"
#include "rows.h"

/**
 * struct view - what is shown, and how
 * @source: where it is from
 * @before: the snapshot before the last
 * @now: the last snapshot
 * @err: what went wrong when it was taken
 * @order: of the rows
 * @reverse: the other way round
 * @delay: seconds between two snapshots
 */
struct view {
	struct source *source;
	struct snapshot before;
	struct snapshot now;
	int err;
	enum order order;
	bool reverse;
	double delay;
};

void view_read(struct view *view);
void view_clear(struct view *view);

int batch_run(struct view *view, unsigned long rounds, bool json);
int screen_run(struct view *view);

#endif /* RONBUS_TOP_H */
