// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * cancel_test.c - pthread_cancel(), on the embedded transport
 */
#include "cancel.h"

#include "test.h"

static void test_cases(void **state)
{
	static const __u64 features[] = {
		0, RONBUS_F_EDGE_NOTIFY, RONBUS_F_EDGE_NOTIFY | RONBUS_F_METRICS_BUF | RONBUS_F_SOA,
		RONBUS_F_EDGE_NOTIFY | RONBUS_F_INTEREST, RONBUS_F_EDGE_NOTIFY | RONBUS_F_COALESCE
	};
	char wrong[256];

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(features); i++)
		for (unsigned int k = 0; k < THREAD_CANCEL_CASES; k++)
			if (!thread_cancel_case(RONBUS_EMBEDDED, features[i], k, wrong,
						sizeof(wrong)))
				fail_msg("%s, features %llx: %s", thread_cancel_cases[k].name,
					 features[i], wrong);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
	};

#ifdef __SANITIZE_ADDRESS__
	(void)tests;
	puts("1..1\nok 1 - test_cases # SKIP AddressSanitizer takes the stack that a cancelled thread leaves "
	     "for one in use");
	return 0;
#else
	return cmocka_run_group_tests(tests, NULL, NULL);
#endif
}
