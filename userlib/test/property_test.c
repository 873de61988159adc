// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * property_test.c - batches beside single messages, on the embedded transport
 */
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
	assert_true(property_run(RONBUS_EMBEDDED, RONBUS_EMBEDDED,
				 (__u64)now.tv_sec * 1000000000ULL + (__u64)now.tv_nsec, PROGRAMS));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_batches_are_single_messages),
	};

	return cmocka_run_group_tests_name("property", tests, NULL, NULL);
}
