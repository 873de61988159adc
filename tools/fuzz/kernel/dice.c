// SPDX-License-Identifier: GPL-2.0
/* dice.c - the same numbers for the same seed */
#include "fuzz.h"

static uint64_t state = 1;

void dice_seed(uint64_t seed)
{
	state = seed * 0x9e3779b97f4a7c15ULL | 1;
	dice();
}

uint64_t dice(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state * 0x2545f4914f6cdd1dULL;
}

unsigned int dice_below(unsigned int bound)
{
	return (unsigned int)((dice() >> 33) % bound);
}

/* Numbers near powers of two, small ones, masks: where bounds are. */
uint64_t dice_value(void)
{
	switch (dice_below(8)) {
	case 0:
		return dice();
	case 1:
		return (1ULL << dice_below(64)) - 1;
	case 2:
		return 1ULL << dice_below(64);
	case 3:
		return ~(uint64_t)dice_below(4);
	case 4:
		return dice_below(300);
	default:
		return dice_below(5);
	}
}
