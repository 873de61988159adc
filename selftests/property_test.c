// SPDX-License-Identifier: GPL-2.0
/*
 * Batches beside single messages, and the device beside the library's own bus: random programs of
 * publishing through a mapping and by system call, joining, leaving, reading and stopping in the
 * middle, of which the unit tests of the library run thousands.
 */
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
};

FIXTURE_VARIANT_ADD(property, beside_the_device){ RONBUS_DEVICE };
FIXTURE_VARIANT_ADD(property, beside_embedded){ RONBUS_EMBEDDED };

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
	ASSERT_TRUE(property_run(RONBUS_DEVICE, variant->twin, random_seed(), PROGRAMS));
}

TEST_HARNESS_MAIN
