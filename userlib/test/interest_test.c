// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * interest_test.c - topics, on the embedded transport
 */
#include "interest_cases.h"

#include "test.h"

#ifdef RB_TSAN
#define TAIL_MESSAGES 50000
#else
#define TAIL_MESSAGES 500000
#endif

#define EDGE ((__u64)RONBUS_F_EDGE_NOTIFY)
#define BATCH (EDGE | RONBUS_F_BATCH)
#define ALL (BATCH | RONBUS_F_METRICS_BUF)

static void run(__u64 features, __u64 seed)
{
	char wrong[256];

	if (!interest_run(RONBUS_EMBEDDED, features, seed, 20000, wrong, sizeof(wrong)))
		fail_msg("features %llx, seed %llu: %s", features, seed, wrong);
}

static void test_addressed(void **state)
{
	(void)state;
	for (__u64 seed = 1; seed <= 4; seed++) {
		run(EDGE, seed);
		run(BATCH, seed);
		run(ALL, seed);
		run(ALL | RONBUS_F_SOA, seed);
	}
	run(0, 1);
}

static void test_tail(void **state)
{
	static const __u64 layouts[] = { EDGE, EDGE | RONBUS_F_SOA };
	static const __u32 capacities[] = { 8, 64 };
	char wrong[256];

	(void)state;
	for (unsigned int i = 0; i < 4; i++)
		if (!interest_tail(RONBUS_EMBEDDED, layouts[i % 2], capacities[i / 2],
				   TAIL_MESSAGES, wrong, sizeof(wrong)))
			fail_msg("features %llx, capacity %u: %s", layouts[i % 2],
				 capacities[i / 2], wrong);
}

static void test_cases(void **state)
{
	static const __u64 features[] = { EDGE, BATCH, ALL, EDGE | RONBUS_F_SOA };
	char wrong[256];

	(void)state;
	for (unsigned int i = 0; i < INTEREST_CASES * ARRAY_SIZE(features); i++)
		if (!interest_case(RONBUS_EMBEDDED, features[i / INTEREST_CASES],
				   i % INTEREST_CASES, wrong, sizeof(wrong)))
			fail_msg("%s, features %llx: %s", interest_cases[i % INTEREST_CASES].name,
				 features[i / INTEREST_CASES], wrong);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_addressed),
		cmocka_unit_test(test_tail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
