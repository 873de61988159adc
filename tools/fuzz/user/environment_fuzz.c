// SPDX-License-Identifier: GPL-2.0
/*
 * environment_fuzz.c - what the library reads of its environment and of its callers' strings:
 * RON_TLS_FLUSH_THRESHOLD, RONBUS_TRANSPORT, names and options of buses
 */
#include "input.h"

#include <errno.h>

#include "internal.h"

/* A number from 1 to 2^30 in digits, by a way of its own; 0 if it is none. */
static uint64_t number_of(const char *text)
{
	uint64_t value = 0;

	if (!*text)
		return 0;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return 0;
		value = value * 10 + (uint64_t)(*text - '0');
		if (value > 1ULL << 30)
			return 0;
	}
	return value;
}

static void threshold(const char *text)
{
	uint64_t expected = number_of(text);
	__u32 value = 0;
	int ret;

	setenv("RON_TLS_FLUSH_THRESHOLD", text, 1);
	ret = ronbus_metrics_prepare(&value);
	must(ret == (expected ? 0 : -EINVAL));
	if (!ret)
		must(value == expected);
}

static void transport(const char *text)
{
	struct ronbus_query query;
	int ret;

	setenv("RONBUS_TRANSPORT", text, 1);
	ret = ronbus_query(NULL, &query);
	must(ret <= 0);
	must(strlen(ronbus_why(NULL, ret)) > 0);
	if (!strcmp(text, RONBUS_EMBEDDED))
		must(!ret);
}

static bool name_is_good(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				  "0123456789._-");

	return !name[len] && len < RONBUS_NAME_SIZE;
}

static void bus(const char *name, struct input *input)
{
	struct ronbus_options options = { 0 };
	struct ronbus *bus = NULL, *same = NULL;
	struct ronbus_info info;
	int ret;

	options.name = name;
	options.features = take_value(input);
	options.flags = (unsigned int)take_value(input);
	options.mode = take8(input) % 4 ? 0 : (unsigned int)take_bytes(input, 2);
	options.capacity =
		take8(input) % 2 ? 4U << take8(input) % 5 : (unsigned int)take_value(input);
	options.payload = take8(input) % 2 ? 8 : (unsigned int)take_value(input);
	options.subscribers = (unsigned int)take_value(input);
	ret = ronbus_create(RONBUS_EMBEDDED, &options, &bus);
	must(ret <= 0);
	if (ret)
		return;
	must(name_is_good(name));
	must(!ronbus_bus_info(bus, &info));
	must(!strcmp(info.name, name));
	must(info.capacity >= RONBUS_CAPACITY_MIN && !(info.capacity & (info.capacity - 1)));
	must(info.payload >= RONBUS_PAYLOAD_MIN && !(info.payload % 8));
	ret = ronbus_attach(RONBUS_EMBEDDED, name, RONBUS_ACCESS_SUBSCRIBE, &same);
	must(*name ? !ret || ret == -EACCES : ret == -EINVAL);
	if (!ret)
		ronbus_close(same);
	ronbus_close(bus);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	char text[256];
	size_t len;
	uint8_t what = take8(&input);

	if (what % 4 == 3) { /* options first: the rest is the name */
		len = input.left > 16 ? input.left - 16 : 0;
		if (len >= sizeof(text))
			len = sizeof(text) - 1;
		memcpy(text, input.at + input.left - len, len);
		text[len] = '\0';
		bus(text, &input);
		return 0;
	}
	len = input.left < sizeof(text) ? input.left : sizeof(text) - 1;
	memcpy(text, input.at, len);
	text[len] = '\0';
	if (what % 4 == 2)
		transport(text);
	else
		threshold(text);
	return 0;
}
