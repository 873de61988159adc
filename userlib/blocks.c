// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * blocks.c - data that messages name: publishing it, and pinning it
 */
#include "internal.h"

#include <string.h>

int ronbus_publish_block(struct ronbus_pub *pub, unsigned int topic, const void *event,
			 size_t event_len, const void *data, size_t len)
{
	struct ronbus_publisher_handle *handle = ronbus_publisher_of(pub);
	struct ronbus_publish_block req = {
		.data = (uintptr_t)data,
		.len = (__u32)len,
		.topic = topic,
		.event = (uintptr_t)event,
		.event_len = (__u32)event_len,
	};
	int err;

	if (len > UINT32_MAX || event_len > UINT32_MAX)
		return -EMSGSIZE;
	err = handle->transport->publish_block(handle, &req);
	if (err) {
		ronbus_why_doing(RONBUS_AT_BLOCKS);
		return ronbus_why_failed(err);
	}
	__RONBUS_PROBE(4, publish, pub, topic, 1, req.receivers);
	return (int)req.receivers;
}

static int find_pin(const struct ronbus_self *self)
{
	int i;

	for (i = 0; i < RONBUS_PINS_MAX; i++)
		if (!RB_READ(&self->pins[i]))
			return i;
	return -ENOSPC;
}

int ronbus_block_pin(struct ronbus_sub *sub, const struct ronbus_msg *msg,
		     struct ronbus_block *block)
{
	const struct ronbus_blocks *blocks = &ronbus_subscriber_of(sub)->blocks;
	struct ronbus_block_ref ref;
	int pin;

	if (ronbus_is_dead(sub))
		return -EOWNERDEAD;
	if (!blocks->count) {
		ronbus_why_doing(RONBUS_AT_BLOCKS);
		return ronbus_why_failed(-EOPNOTSUPP);
	}
	if (!msg->data || msg->len < sizeof(ref))
		return -EINVAL;
	memcpy(&ref, (const char *)msg->data + msg->len - sizeof(ref), sizeof(ref));
	if (!ronbus_blocks_named(blocks, &ref))
		return -EINVAL;
	pin = find_pin(sub->self);
	if (pin < 0)
		return pin;
	if (!ronbus_blocks_pin(blocks, &sub->self->pins[pin], &ref))
		return -ESTALE;
	block->data = ronbus_blocks_at(blocks, ref.block);
	block->len = ref.len;
	block->pin = (__u32)pin;
	return 0;
}

void ronbus_block_unpin(struct ronbus_sub *sub, struct ronbus_block *block)
{
	if (!block->data)
		return;
	ronbus_blocks_unpin(&sub->self->pins[block->pin]);
	block->data = NULL;
}
