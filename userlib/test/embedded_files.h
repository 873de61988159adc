/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/* The embedded transport as a part of a test, which has changed what it calls */
#include "../embedded/blocks.c"
#include "../embedded/bus.c"
#include "../embedded/coalesce.c"
#include "../embedded/eventfd.c"
#include "../embedded/notify.c"
#include "../embedded/publisher.c"
#include "../embedded/registry.c"
#include "../embedded/sleep.c"
#include "../embedded/stats.c"
#include "../embedded/subscriber.c"
#include "../embedded/transport.c"
