// SPDX-License-Identifier: MIT
/*
 * blocks.c - large data by reference: a message says that there is a new configuration, and the
 * configuration itself is in a block that readers pin; on "embedded:", or where the argument says
 */
#include <stdio.h>
#include <string.h>
#include <libronbus.h>
#include <ronbus/ronbus_events.h>

static int publish_config(struct ronbus_pub *pub, __u64 version, const char *text)
{
	union ronbus_event event = { .config_updated = { .tag = RONBUS_EVENT_CONFIG_UPDATED,
							 .version = version } };
	unsigned char message[RONBUS_EVENT_SIZE_MAX];
	__u32 len = ronbus_event_encode(message, sizeof(message), &event);

	return ronbus_publish_block(pub, RONBUS_TOPIC_OPERATIONS, message, len, text, strlen(text));
}

/* Everybody agreed that a ConfigUpdated on this bus comes with a block. */
static void print(struct ronbus_sub *sub, const struct ronbus_msg *msg)
{
	union ronbus_event event;
	struct ronbus_block block;
	int err;

	if (ronbus_event_decode(&event, msg->data, msg->len) != RONBUS_EVENT_CONFIG_UPDATED)
		return;
	err = ronbus_block_pin(sub, msg, &block);
	if (err) { /* -ESTALE: it is old, and a newer one is on its way */
		printf("version %llu: no longer there (%d)\n", event.config_updated.version, err);
		return;
	}
	printf("version %llu: %u bytes, \"%.12s...\"\n", event.config_updated.version, block.len,
	       (const char *)block.data);
	ronbus_block_unpin(sub, &block);
}

int main(int argc, char **argv)
{
	const char *where = argc > 1 ? argv[1] : RONBUS_EMBEDDED;
	const struct ronbus_options options = {
		.features = RONBUS_FEATURES_RECOMMENDED | RONBUS_F_BLOCKS,
		.payload = RONBUS_EVENT_SIZE_MAX + sizeof(struct ronbus_block_ref),
		.block_size = 8192,
		.blocks = 2, /* so few that the first of three is gone */
	};
	unsigned char buffer[RONBUS_EVENT_SIZE_MAX + sizeof(struct ronbus_block_ref)];
	char text[8000];
	struct ronbus *bus;
	struct ronbus_pub *pub;
	struct ronbus_sub *sub;
	struct ronbus_msg msg;
	__u64 version;
	int err;

	err = ronbus_create(where, &options, &bus);
	if (!err)
		err = ronbus_subscribe(bus, NULL, &sub);
	if (!err)
		err = ronbus_publisher(bus, 0, &pub);
	if (err) {
		fprintf(stderr, "blocks: %s\n", ronbus_why(where, err));
		return 1;
	}
	for (version = 1; version <= 3; version++) {
		memset(text, '.', sizeof(text));
		snprintf(text, sizeof(text), "version = %llu, and much more", version);
		text[strlen(text)] = ' ';
		text[sizeof(text) - 1] = '\0';
		err = publish_config(pub, version, text);
		if (err < 0)
			fprintf(stderr, "blocks: %s\n", ronbus_why(where, err));
	}
	ronbus_pub_close(pub);
	while (ronbus_recv(sub, buffer, sizeof(buffer), &msg, -1) == RONBUS_MESSAGE)
		print(sub, &msg);
	ronbus_sub_close(sub);
	ronbus_close(bus);
	return err < 0;
}
