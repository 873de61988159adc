// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * transport.c - the table of the embedded transport
 */
#include "embedded.h"

static int embedded_query(const char *where, struct ronbus_query *query)
{
	(void)where;
	*query = ronbus_query_limits();
	query->page_size = (__u32)sysconf(_SC_PAGESIZE);
	query->buses_max = UINT32_MAX;
	return 0;
}

static int embedded_bus_fd(const struct ronbus *base)
{
	(void)base;
	return -EOPNOTSUPP;
}

static int embedded_share(const struct ronbus *base, __u32 access)
{
	(void)base;
	(void)access;
	return -EOPNOTSUPP;
}

static int embedded_pub_fd(const struct ronbus_publisher_handle *base)
{
	(void)base;
	return -EOPNOTSUPP;
}

const struct ronbus_transport ronbus_embedded_transport = {
	.query = embedded_query,
	.create = ronbus_embedded_create,
	.attach = ronbus_embedded_attach,
	.bus_fd = embedded_bus_fd,
	.bus_info = ronbus_embedded_bus_info,
	.share = embedded_share,
	.seal = ronbus_embedded_seal,
	.stats = ronbus_embedded_stats,
	.bus_close = ronbus_embedded_bus_close,
	.bus_abandon = ronbus_embedded_bus_abandon,
	.publisher = ronbus_embedded_publisher,
	.pub_fd = embedded_pub_fd,
	.pub_wait = ronbus_embedded_pub_wait,
	.publish = ronbus_embedded_publish,
	.publish_block = ronbus_embedded_publish_block,
	.notify = ronbus_embedded_pub_notify,
	.pub_close = ronbus_embedded_pub_close,
	.pub_abandon = ronbus_embedded_pub_abandon,
	.subscribe = ronbus_embedded_subscribe,
	.sub_fd = ronbus_embedded_sub_fd,
	.wait = ronbus_embedded_wait,
	.arm = ronbus_embedded_arm,
	.set_topics = ronbus_embedded_set_topics,
	.coalesce = ronbus_embedded_coalesce,
	.set_eventfd = ronbus_embedded_set_eventfd,
	.cancel = ronbus_embedded_cancel,
	.sub_close = ronbus_embedded_sub_close,
	.sub_abandon = ronbus_embedded_sub_abandon,
};
