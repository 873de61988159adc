/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * ronbus_ring.h - the ring protocol, the only implementation there is
 *
 * The same text is compiled into the kernel module and into the library. It keeps no state of its
 * own: everything is in the ring, which many processes map and any of them may leave at any
 * instruction.
 *
 * Positions count messages from the beginning of the bus. A ring of C slots begins at position C,
 * so that no position has lap 0, which is the lap that zeroed memory shows. Position p lives in
 * slot p % C, and its lap is p / C. The words of a slot:
 *
 *	state	lap, owner and kind (READY, BUSY or HOLE) of the newest position claimed here
 *	hole	the highest lap whose position publishers skipped because the slot was held BUSY
 *	ready	set of subscribers this message is for
 *	meta	length and topic
 *	payload
 *	time	when it was published, with RONBUS_F_TIME
 *
 * Where they are is the layout of the ring. Ordinarily those of a position stand together, as
 * struct ronbus_slot, on cache lines of their own. With RONBUS_F_SOA there is an array of each, in
 * the order state, ready, meta, hole, time, payload, and each array begins on a cache line. A
 * subscriber that reads one message after the other finds eight states on a line, and one that
 * looks for its messages among those for others reads nothing but state and ready. The price is
 * that publishers of neighbouring positions write into the same lines. What is done with the words
 * is the same in both.
 *
 * A publisher claims a position by moving its slot's state from an older lap to (own lap, BUSY),
 * writes, and moves it to READY. It never waits: if another publisher still holds the slot BUSY
 * from an older lap, it marks the position in hole, and skips it. A reader of position p finds it
 * READY, or a HOLE, or skipped (hole has lap(p) and the state is older), or overtaken, or finds
 * nothing yet.
 *
 * A slot is read between two looks at its state. The first look has acquire semantics and finds
 * READY; the second comes after barrier A' and finds the same state. To make sure of the first
 * look, all words but state and hole have an incomplete type. The functions that read them need a
 * struct ronbus_seen, which only the first look returns.
 *
 * Barriers. The comment of each barrier names its partner by letter, and the model in model/ that
 * shows what it is for; model/barriers checks that. The models are sequentially consistent;
 * docs/design.md has the table of all of them, and argues for each pair why it is enough on
 * hardware that reorders.
 *
 *	A  claim: BUSY before payload            A' read: payload before second look at state
 *	B  commit: payload before READY          B' see: READY before payload
 *	C  claim: BUSY before look at hole       C' look: hole before second look at state
 *	D  publish: READY before look at armed   D' arm (kernel): armed before look at the ring
 */
#ifndef _UAPI_RONBUS_RING_H
#define _UAPI_RONBUS_RING_H

#include "ronbus_ring_atomic.h"
#include "ronbus_ring_layout.h"
#include "ronbus_ring_publish.h"
#include "ronbus_ring_read.h"
#include "ronbus_ring_runs.h"

#endif /* _UAPI_RONBUS_RING_H */
