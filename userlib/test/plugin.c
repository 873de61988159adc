// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * plugin.c - what plugin_test loads: a shared object that has the library in it, or is linked with it
 *
 * No test by itself.
 */
#include <libronbus.h>

int plugin_play(__u64 features, unsigned int messages);

/* A bus, messages, and nothing of it left. */
int plugin_play(__u64 features, unsigned int messages)
{
	struct ronbus_options options = { .features = features, .capacity = 64 };
	struct ronbus_sub *sub = NULL;
	struct ronbus_pub *pub = NULL;
	struct ronbus *bus = NULL;
	__u64 data = 0;
	int ret = ronbus_create(RONBUS_EMBEDDED, &options, &bus);

	if (!ret)
		ret = ronbus_publisher(bus, 0, &pub);
	if (!ret)
		ret = ronbus_subscribe(bus, NULL, &sub);
	if (!ret && features & RONBUS_F_COALESCE)
		ret = ronbus_sub_set_coalesce(sub, 4, 1000000);
	for (; !ret && messages; messages--)
		ret = ronbus_publish(pub, 0, &data, sizeof(data)) == 1 ? 0 : -1;
	if (!ret && !*ronbus_why(RONBUS_EMBEDDED, -ENOENT))
		ret = -1;
	ronbus_sub_close(sub);
	ronbus_pub_close(pub);
	ronbus_close(bus);
	return ret;
}
