// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * case_reference.c - what does not use ronbus: if its time changes, the machine did
 *
 * A loop that does what a ring costs: locked instructions, and copies of what a cache holds ("round"); and what
 * keeps a core busy, which takes longer while another machine uses the other hardware thread ("work").
 * And two threads that wake each other, which takes longer while other programs use the CPUs.
 */
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cases.h"
#include "quiet.h"

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
	values[1] = quiet_work();
}

static void teardown(struct cell *cell, void *state)
{
	(void)cell;
	free(state);
}

/* ---- from one thread to another ------------------------------------------------------- */

#define HANDOFFS 50U

/* Two eventfds and a thread that sleeps on the one and signals the other. */
struct handoff {
	int there;
	int back;
	pthread_t thread;
};

static void signal_fd(int fd, uint64_t value)
{
	if (write(fd, &value, sizeof(value)) != sizeof(value))
		die("cannot signal a thread");
}

static uint64_t sleep_on(int fd)
{
	uint64_t value;

	if (read(fd, &value, sizeof(value)) != sizeof(value))
		die("cannot wait for a thread");
	return value;
}

static void *hand_back(void *arg)
{
	struct handoff *handoff = arg;

	topology_pin(&settings.cpus, 1);
	while (sleep_on(handoff->there) == 1)
		signal_fd(handoff->back, 1);
	return NULL;
}

static void *handoff_setup(struct cell *cell)
{
	struct handoff *handoff = calloc(1, sizeof(*handoff));

	(void)cell;
	if (!handoff)
		die("no memory");
	handoff->there = eventfd(0, EFD_CLOEXEC);
	handoff->back = eventfd(0, EFD_CLOEXEC);
	if (handoff->there < 0 || handoff->back < 0)
		die("cannot make an eventfd");
	if (pthread_create(&handoff->thread, NULL, hand_back, handoff))
		die("cannot start a thread");
	return handoff;
}

static void handoff_sample(struct cell *cell, void *state, double *values)
{
	struct handoff *handoff = state;
	uint64_t start = now_ns();
	unsigned int i;

	(void)cell;
	for (i = 0; i < HANDOFFS; i++) {
		signal_fd(handoff->there, 1);
		sleep_on(handoff->back);
	}
	values[0] = ((double)(now_ns() - start) - settings.clock_ns) / (2 * HANDOFFS);
}

static void handoff_teardown(struct cell *cell, void *state)
{
	struct handoff *handoff = state;

	(void)cell;
	signal_fd(handoff->there, 2);
	pthread_join(handoff->thread, NULL);
	close(handoff->there);
	close(handoff->back);
	free(handoff);
}

static const struct cell_ops handoff_ops = {
	.name = "handoff",
	.what = "two threads that wake each other without ronbus; if it changes, the machine did",
	.setup = handoff_setup,
	.sample = handoff_sample,
	.teardown = handoff_teardown,
};

/* ---- the cells ------------------------------------------------------------------------ */

static const struct cell_ops reference_ops = {
	.name = GROUP_REFERENCE,
	.what = "a loop that does not use ronbus; if it changes, the machine did",
	.setup = setup,
	.sample = sample,
	.teardown = teardown,
};

void add_reference(struct cells *cells)
{
	struct cell template = { .group = GROUP_REFERENCE,
				 .engine = "reference",
				 .ops = &reference_ops,
				 .turns = settings.turns };
	struct cell *cell;

	if (!cells_find(cells, REFERENCE_CELL)) {
		cell = cells_add(cells, &template, REFERENCE_CELL);
		cell_add_series(cell, "round", "ns");
		cell_add_series(cell, "work", "ns");
	}
	template.ops = &handoff_ops;
	if (!cells_find(cells, HANDOFF_CELL)) {
		cell = cells_add(cells, &template, HANDOFF_CELL);
		cell_add_series(cell, "handoff", "ns");
	}
}
