/* SPDX-License-Identifier: GPL-2.0 */
/*
 * input.h - what the targets of libFuzzer share: bytes to decide by, and a way to fail
 *
 * After the end of the input every byte is 0, so that a short input is a program that ends.
 */
#ifndef RONBUS_FUZZ_INPUT_H
#define RONBUS_FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *at;
	size_t left;
};

static inline uint8_t take8(struct input *input)
{
	if (!input->left)
		return 0;
	input->left--;
	return *input->at++;
}

static inline uint64_t take_bytes(struct input *input, unsigned int count)
{
	uint64_t value = 0;

	while (count--)
		value = value << 8 | take8(input);
	return value;
}

/* Small, of one byte, or anything: small numbers are what meets. */
static inline uint64_t take_value(struct input *input)
{
	uint8_t first = take8(input);

	switch (first >> 6) {
	case 0:
	case 1:
		return first & 127;
	case 2:
		return ~(uint64_t)(first & 63);
	default:
		return take_bytes(input, 1 + (first & 7));
	}
}

#define must(condition)                                                                         \
	do {                                                                                    \
		if (!(condition)) {                                                             \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                                \
		}                                                                               \
	} while (0)

#endif /* RONBUS_FUZZ_INPUT_H */
