// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * case_reference.c - a loop that does not use ronbus: if its time changes, the machine did
 *
 * It does what a ring costs: locked instructions, and copies of what a cache holds.
 */
#include "cases.h"

#define ROUNDS 512U
#define LINES 64U

struct reference {
	__u64 lines[2][LINES][8];
	__u64 counter;
};

static void *setup(struct cell *cell)
{
	struct reference *reference = aligned_alloc(64, sizeof(*reference) + 56);

	(void)cell;
	if (!reference)
		die("no memory");
	memset(reference, 1, sizeof(*reference));
	return reference;
}

static void sample(struct cell *cell, void *state, double *values)
{
	struct reference *reference = state;
	uint64_t start = now_ns();
	unsigned int i;

	(void)cell;
	for (i = 0; i < ROUNDS; i++) {
		__atomic_fetch_add(&reference->counter, 1, __ATOMIC_SEQ_CST);
		memcpy(reference->lines[0][i % LINES], reference->lines[1][i % LINES],
		       sizeof(reference->lines[0][0]));
		forget();
	}
	values[0] = ((double)(now_ns() - start) - settings.clock_ns) / ROUNDS;
}

static void teardown(struct cell *cell, void *state)
{
	(void)cell;
	free(state);
}

static const struct cell_ops reference_ops = {
	.name = GROUP_REFERENCE,
	.what = "a loop that does not use ronbus; if it changes, the machine did",
	.setup = setup,
	.sample = sample,
	.teardown = teardown,
};

void add_reference(struct cells *cells)
{
	const struct cell template = { .group = GROUP_REFERENCE,
				       .engine = "reference",
				       .ops = &reference_ops,
				       .turns = settings.turns };

	cell_add_series(cells_add(cells, &template, REFERENCE_CELL), "round", "ns");
}
