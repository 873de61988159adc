// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * events_test.c - the schema of events against its golden bytes, events.golden
 *
 * Every message is put where a sanitizer watches both its ends, and where no number is aligned.
 */
#include "test.h"

#include <stdbool.h>

#include <ronbus/ronbus_events.h>

#define LINE_SIZE 512
#define MESSAGE_MAX 64

static const struct event_name {
	const char *name;
	__u8 tag;
} names[] = {
	{ "health", RONBUS_EVENT_HEALTH },
	{ "config_updated", RONBUS_EVENT_CONFIG_UPDATED },
	{ "service_crashed", RONBUS_EVENT_SERVICE_CRASHED },
	{ "shutdown", RONBUS_EVENT_SHUTDOWN },
};

#define MEMBER(event, member)                                                \
	{                                                                    \
#event, #member, offsetof(union ronbus_event, event.member), \
			sizeof(((union ronbus_event *)0)->event.member)      \
	}

static const struct event_member {
	const char *event;
	const char *name;
	size_t offset;
	size_t size;
} event_members[] = {
	MEMBER(health, status),
	MEMBER(health, service),
	MEMBER(health, pid),
	MEMBER(health, rss),
	MEMBER(health, cpu_ns),
	MEMBER(config_updated, version),
	MEMBER(service_crashed, reason),
	MEMBER(service_crashed, service),
	MEMBER(service_crashed, code),
	MEMBER(shutdown, reason),
	MEMBER(shutdown, grace_ms),
};

struct golden {
	char kind[8];
	union ronbus_event event;
	unsigned char bytes[MESSAGE_MAX];
	__u32 len;
};

/* ---- reading events.golden ------------------------------------------------------------ */

static __u8 tag_of(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(names[i].name, name))
			return names[i].tag;
	fail_msg("no event is called \"%s\"", name);
	return 0;
}

static void set_member(union ronbus_event *event, const char *name, const char *text)
{
	char *equals = strchr(text, '=');
	__u64 value;
	size_t i;

	assert_non_null(equals);
	*equals = '\0';
	value = strtoull(equals + 1, NULL, 0);
	for (i = 0; i < ARRAY_SIZE(event_members); i++) {
		const struct event_member *member = &event_members[i];
		char *at = (char *)event + member->offset;

		if (strcmp(member->event, name) || strcmp(member->name, text))
			continue;
		switch (member->size) {
		case 1:
			*(__u8 *)at = (__u8)value;
			return;
		case 2:
			*(__u16 *)at = (__u16)value;
			return;
		case 4:
			*(__u32 *)at = (__u32)value;
			return;
		case 8:
			*(__u64 *)at = value;
			return;
		}
	}
	fail_msg("%s has no member \"%s\"", name, text);
}

static void parse_event(struct golden *golden, char *text)
{
	char *rest, *word = strtok_r(text, " ", &rest);
	const char *name;

	assert_non_null(word);
	snprintf(golden->kind, sizeof(golden->kind), "%s", word);
	name = strtok_r(NULL, " ", &rest);
	if (!name)
		return;
	golden->event.tag = tag_of(name);
	while ((word = strtok_r(NULL, " ", &rest)))
		set_member(&golden->event, name, word);
}

static void parse_bytes(struct golden *golden, const char *text)
{
	unsigned int byte;

	for (; *text && *text != '\n'; text += 2) {
		if (*text == ' ') {
			text--;
			continue;
		}
		assert_int_equal(sscanf(text, "%2x", &byte), 1);
		assert_true(golden->len < MESSAGE_MAX);
		golden->bytes[golden->len++] = (unsigned char)byte;
	}
}

static bool is_golden(const char *line)
{
	return *line != '#' && *line != '\n';
}

static void parse(struct golden *golden, char *line)
{
	char *equals = strrchr(line, '=');

	memset(golden, 0, sizeof(*golden));
	assert_non_null(equals);
	*equals = '\0';
	parse_event(golden, line);
	parse_bytes(golden, equals + 1);
}

/* ---- what is compared ----------------------------------------------------------------- */

/* A copy that begins at an odd address, with the watched ends of heap memory on both sides. */
static unsigned char *odd_copy(const struct golden *golden, void **memory)
{
	unsigned char *copy;

	*memory = malloc(golden->len + 1);
	assert_non_null(*memory);
	copy = (unsigned char *)*memory + 1;
	memcpy(copy, golden->bytes, golden->len);
	return copy;
}

static void check_decode(const struct golden *golden)
{
	union ronbus_event event;
	void *memory;
	unsigned char *message = odd_copy(golden, &memory);

	memset(&event, 0x5a, sizeof(event));
	assert_int_equal(ronbus_event_decode(&event, message, golden->len), golden->event.tag);
	assert_memory_equal(&event, &golden->event, sizeof(event));
	assert_int_equal(ronbus_event_tag(message, golden->len),
			 golden->len ? golden->bytes[0] : 0);
	free(memory);
}

static void check_encode(const struct golden *golden)
{
	void *memory;
	unsigned char *message = odd_copy(golden, &memory);
	__u32 size;

	/* Where it does not fit nothing is written. */
	for (size = 0; size < golden->len; size++)
		assert_int_equal(ronbus_event_encode(message, size, &golden->event), 0);
	assert_memory_equal(message, golden->bytes, golden->len);

	memset(message, 0x5a, golden->len);
	assert_int_equal(ronbus_event_encode(message, golden->len, &golden->event), golden->len);
	assert_memory_equal(message, golden->bytes, golden->len);
	assert_int_equal(ronbus_event_size(golden->event.tag), golden->len);
	assert_true(golden->len <= RONBUS_EVENT_SIZE_MAX);
	free(memory);
}

/* ---- tests ---------------------------------------------------------------------------- */

static void golden_bytes(void **state)
{
	unsigned int seen[3] = { 0 };
	struct golden golden;
	char line[LINE_SIZE];
	FILE *f = fopen(GOLDEN, "re");

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (!is_golden(line))
			continue;
		print_message("# %s", line);
		parse(&golden, line);
		check_decode(&golden);
		if (!strcmp(golden.kind, "both")) {
			check_encode(&golden);
			seen[0]++;
		} else if (!strcmp(golden.kind, "read")) {
			assert_int_not_equal(golden.event.tag, 0);
			seen[1]++;
		} else {
			assert_string_equal(golden.kind, "none");
			assert_int_equal(golden.event.tag, 0);
			seen[2]++;
		}
	}
	fclose(f);
	/* A file that lost its lines proves nothing. */
	assert_true(seen[0] >= 10 && seen[1] >= 10 && seen[2] >= 11);
}

/* Whatever bytes come, decoding reads no others, and what it makes of them encodes to what it read. */
static void any_bytes(void **state)
{
	unsigned char message[RONBUS_EVENT_SIZE_MAX + 1];
	__u64 seed = 0x9e3779b97f4a7c15;
	union ronbus_event event, again;
	struct golden golden;
	unsigned int round, i;
	void *memory;
	__u32 len;
	__u8 tag;

	(void)state;
	for (round = 0; round < 100000; round++) {
		golden.len = dice(&seed) % 40;
		for (i = 0; i < golden.len; i++)
			golden.bytes[i] = (unsigned char)dice(&seed);
		golden.bytes[0] = (unsigned char)(dice(&seed) % 8);
		tag = ronbus_event_decode(&event, odd_copy(&golden, &memory), golden.len);
		free(memory);
		assert_true(!tag || tag == golden.bytes[0]);
		assert_int_equal(event.tag, tag);
		len = ronbus_event_encode(message, sizeof(message), &event);
		assert_int_equal(len, ronbus_event_size(tag));
		if (!tag)
			continue;
		assert_int_equal(ronbus_event_decode(&again, message, len), tag);
		assert_memory_equal(&again, &event, sizeof(event));
	}
}

static void numbers(void **state)
{
	unsigned char bytes[9] = { 0, 1, 2, 3, 4, 5, 6, 7, 0xff };
	unsigned char to[9] = { 0 };

	(void)state;
	assert_int_equal(ronbus_event_get16(bytes + 7), 0xff07);
	assert_int_equal(ronbus_event_get32(bytes + 5), 0xff070605);
	assert_int_equal(ronbus_event_get64(bytes + 1), 0xff07060504030201);
	ronbus_event_put16(to + 7, 0xff07);
	ronbus_event_put32(to + 3, 0x06050403);
	ronbus_event_put16(to + 1, 0x0201);
	assert_memory_equal(to, bytes, sizeof(to));
	ronbus_event_put64(to + 1, 0);
	ronbus_event_put64(to + 1, 0xff07060504030201);
	assert_memory_equal(to, bytes, sizeof(to));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_bytes),
		cmocka_unit_test(any_bytes),
		cmocka_unit_test(numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
