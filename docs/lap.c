// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * lap.c - the worked example of design.md, on the ring itself
 *
 * A ring of four slots. Publisher A stops between claim and commit while B publishes a lap.
 * docs/check compares what this prints with what the page shows.
 */
#include <stdio.h>

#include "../uapi/ronbus_ring.h"

#define SLOTS 4U
#define A 1U
#define B 2U

static struct ronbus_ring ring;
static __u64 cursor = SLOTS;
static unsigned int delivered, holes, lost;

/* A slot: lap, owner and kind of its state, and its hole word. 1B! is lap 1, held by B. */
static void show(const char *what)
{
	unsigned int i;

	printf("%-22s", what);
	for (i = 0; i < SLOTS; i++) {
		__u64 state = *ronbus_ring_at(&ring, i).state;
		__u32 owner = ronbus_state_owner(state);
		char name = owner ? (char)('A' + owner - 1) : '-';
		char kind = ".!o"[ronbus_state_kind(state)];

		printf("  %u%c%c h%u", (unsigned int)ronbus_state_lap(state), name, kind,
		       (unsigned int)*ronbus_ring_at(&ring, i).hole);
	}
	printf("  head %2u\n", (unsigned int)ring.head->head);
}

static __u64 claim(__u32 owner)
{
	struct ronbus_claim mine = { .pos = ronbus_ring_hint(&ring) };

	return ronbus_ring_claim(&ring, &mine, owner, 4 * SLOTS) ? 0 : mine.pos;
}

static void finish(__u32 owner, __u64 pos)
{
	ronbus_ring_write(&ring, pos, 1, 0, &pos, sizeof(pos));
	ronbus_ring_commit(&ring, pos, owner);
	ronbus_ring_advance(&ring, pos + 1);
}

static void publish(__u32 owner)
{
	char what[32];
	__u64 pos = claim(owner);

	finish(owner, pos);
	snprintf(what, sizeof(what), "%c publishes %u", (int)('A' + owner - 1), (unsigned int)pos);
	show(what);
}

static void read_all(void)
{
	printf("reader");
	for (;;) {
		unsigned int at = (unsigned int)cursor;
		union ronbus_found found;

		switch (ronbus_ring_look(&ring, cursor, &found)) {
		case RONBUS_LOOK_READY:
			printf(", %u delivered", at);
			delivered++;
			cursor++;
			break;
		case RONBUS_LOOK_HOLE:
			printf(", %u hole", at);
			holes++;
			cursor++;
			break;
		case RONBUS_LOOK_LAGGED:
			printf(", overtaken: %u lost", (unsigned int)(found.next - cursor));
			lost += (unsigned int)(found.next - cursor);
			cursor = found.next;
			break;
		default:
			printf(", %u empty\n", at);
			return;
		}
	}
}

int main(void)
{
	static char memory[4096] __attribute__((aligned(128)));
	__u64 stopped;

	ronbus_ring_view(&ring, memory, SLOTS, 8, 0);
	ronbus_ring_reset(&ring);
	show("an empty ring");
	publish(B);
	read_all();
	stopped = claim(A);
	show("A claims 5, and stops");
	publish(B);
	publish(B);
	read_all();
	publish(B);
	publish(B);
	read_all();
	finish(A, stopped);
	show("A goes on: commits 5");
	read_all();
	publish(B);
	publish(B);
	publish(B);
	read_all();
	printf("passed %u = delivered %u + filtered 0 + holes %u + lost %u\n",
	       (unsigned int)(cursor - SLOTS), delivered, holes, lost);
	return 0;
}
