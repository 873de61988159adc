// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * coalesce_test.c - coalescing, on the embedded transport
 */
#include "coalesce.h"

#include "test.h"

#define EDGE ((__u64)RONBUS_F_EDGE_NOTIFY)
#define ALL (EDGE | RONBUS_F_BATCH | RONBUS_F_METRICS_BUF)

static void test_cases(void **state)
{
	static const __u64 features[] = { 0, ALL, RONBUS_F_INTEREST, RONBUS_F_SOA };
	char wrong[256];

	(void)state;
	for (unsigned int i = 0; i < COALESCE_CASES * ARRAY_SIZE(features); i++)
		if (!coalesce_case(RONBUS_EMBEDDED, features[i / COALESCE_CASES],
				   i % COALESCE_CASES, wrong, sizeof(wrong)))
			fail_msg("%s, features %llx: %s", coalesce_cases[i % COALESCE_CASES].name,
				 features[i / COALESCE_CASES], wrong);
}

static void test_run(void **state)
{
	static const __u64 features[] = { EDGE, ALL, EDGE | RONBUS_F_INTEREST,
					  ALL | RONBUS_F_SOA | RONBUS_F_INTEREST, 0 };
	char wrong[256];

	(void)state;
	for (unsigned int i = 0; i < 2 * ARRAY_SIZE(features); i++)
		if (!coalesce_run(RONBUS_EMBEDDED, features[i / 2], i + 1, 20000, wrong,
				  sizeof(wrong)))
			fail_msg("features %llx, seed %u: %s", features[i / 2], i + 1, wrong);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
