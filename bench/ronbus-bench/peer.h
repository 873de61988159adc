/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * peer.h - programs that measure other engines in the three shapes
 */
#ifndef RONBUS_BENCH_PEER_H
#define RONBUS_BENCH_PEER_H

#include "cell.h"

/**
 * add_peers() - for each cell of ronbus in the three shapes, those of the peers there are
 * @cells: with those of ronbus in it; those of the peers are put after each, so that they take turns
 * @directory: where their programs are
 */
void add_peers(struct cells *cells, const char *directory);

/* Put what @line of a peer says into the series of @cell; false if it says nothing known. */
bool peer_read_line(struct cell *cell, const char *line, struct samples *latencies);

#endif /* RONBUS_BENCH_PEER_H */
