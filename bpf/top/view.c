// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * view.c - the last two snapshots
 */
#include "top.h"

void view_read(struct view *view)
{
	snapshot_clear(&view->before);
	view->before = view->now;
	view->err = source_read(view->source, &view->now);
}

void view_clear(struct view *view)
{
	snapshot_clear(&view->before);
	snapshot_clear(&view->now);
}
