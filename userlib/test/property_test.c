// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * property_test.c - batches beside single messages, on the embedded transport
 */
#include "oracle.h"
#include "property.h"

#include "test.h"

#include <time.h>

#ifdef RB_TSAN
#define PROGRAMS 300
#else
#define PROGRAMS 3000
#endif

static void test_batches_are_single_messages(void **state)
{
	struct timespec now;

	(void)state;
	clock_gettime(CLOCK_REALTIME, &now);
	assert_true(property_run(RONBUS_EMBEDDED, RONBUS_EMBEDDED, false,
				 (__u64)now.tv_sec * 1000000000ULL + (__u64)now.tv_nsec, PROGRAMS));
}

static void test_is_told_what_it_wants(void **state)
{
	struct timespec now;
	char wrong[128];

	(void)state;
	clock_gettime(CLOCK_REALTIME, &now);
	for (size_t i = 0; i < ORACLE_KINDS; i++)
		if (!oracle_run(RONBUS_EMBEDDED, oracle_kinds[i].features, oracle_kinds[i].flags,
				oracle_kinds[i].pub_flags, (__u64)now.tv_nsec, 50000, wrong,
				sizeof(wrong)))
			fail_msg("%s", wrong);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_batches_are_single_messages),
		cmocka_unit_test(test_is_told_what_it_wants),
	};

	return cmocka_run_group_tests_name("property", tests, NULL, NULL);
}
