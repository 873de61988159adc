// SPDX-License-Identifier: GPL-2.0
/* For ../loops.cocci, and for what the check says of loops that begin with do. */

static u64 bad_while(const struct ronbus_ring *ring, u64 pos)
{
	while (ronbus_ring_reached(ring, pos)) /* found */
		pos++;
	return pos;
}

static void bad_for_ever(struct ronbus_sub *sub)
{
	for (;;) { /* found */
		if (ronbus_sub_take_records(sub))
			break;
		cond_resched();
	}
}

static void bad_cursor(struct ronbus_sub *sub)
{
	bool more = true;

	while (more) { /* found */
		more = READ_ONCE(sub->self->cursor) < sub->start;
		cpu_relax();
	}
}

static void bad_do(struct ronbus_sub *sub)
{
	ssize_t ret;

	do { /* found */
		ret = ronbus_sub_take_record(sub);
		cond_resched();
	} while (ret > 0);
}

static u64 good_budget(const struct ronbus_ring *ring, u64 pos, u32 looks)
{
	while (looks-- && ronbus_ring_reached(ring, pos))
		pos++;
	return pos;
}

static int good_killable(struct ronbus_sub *sub)
{
	for (;;) {
		if (ronbus_sub_take_records(sub))
			return 0;
		if (signal_pending(current))
			return -ERESTARTSYS;
	}
}

static void good_do(struct ronbus_sub *sub)
{
	ssize_t ret;

	do {
		ret = ronbus_sub_take_record(sub);
	} while (ret > 0 && !signal_pending(current));
}

static void good_mask(struct ronbus_bus *bus, u64 mask)
{
	while (mask) {
		look(READ_ONCE(bus->page->armed), __ffs64(mask));
		mask &= mask - 1;
	}
}
