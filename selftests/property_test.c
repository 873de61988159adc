// SPDX-License-Identifier: GPL-2.0
/*
 * Batches beside single messages, and the device beside the library's own bus: random programs of
 * publishing through a mapping and by system call, joining, leaving, reading and stopping in the
 * middle, of which the unit tests of the library run thousands.
 */
#include "../userlib/test/oracle.h"
#include "../userlib/test/property.h"

#include "ronbus_kselftest.h"

#define PROGRAMS 80

FIXTURE(property)
{
	int control;
};

FIXTURE_VARIANT(property)
{
	const char *twin;
	bool alike;
	unsigned int programs;
};

FIXTURE_VARIANT_ADD(property, beside_the_device){ RONBUS_DEVICE, false, PROGRAMS };
FIXTURE_VARIANT_ADD(property, beside_embedded){ RONBUS_EMBEDDED, false, PROGRAMS };
/* What either of them does, and how it counts that, is the same to the last counter. */
FIXTURE_VARIANT_ADD(property, as_embedded){ RONBUS_EMBEDDED, true, 20 * PROGRAMS };

FIXTURE_SETUP(property)
{
	self->control = OPEN_CONTROL();
}

FIXTURE_TEARDOWN(property)
{
	close(self->control);
}

TEST_F(property, batches_are_single_messages)
{
	ASSERT_TRUE(property_run(RONBUS_DEVICE, variant->twin, variant->alike, random_seed(),
				 variant->programs));
}

TEST(is_told_what_it_wants)
{
	u64 seed = random_seed();
	char wrong[128];
	unsigned int i;

	close(OPEN_CONTROL());
	for (i = 0; i < ORACLE_KINDS; i++)
		EXPECT_TRUE(oracle_run(RONBUS_DEVICE, oracle_kinds[i].features,
				       oracle_kinds[i].flags, oracle_kinds[i].pub_flags, seed, 3000,
				       wrong, sizeof(wrong)));
}

TEST_HARNESS_MAIN
