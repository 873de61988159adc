/* SPDX-License-Identifier: GPL-2.0 */
/*
 * describe.h - what the tables are made of that tools/fuzz/describe prints
 *
 * The kernel fuzzer and selftests/abi_test.c include this, and then the tables.
 */
#ifndef RONBUS_DESCRIBE_H
#define RONBUS_DESCRIBE_H

#include <stddef.h>
#include <stdint.h>

/* What a file is. ALL is for calls that take each of the four, ANY for those that take a bus or a member. */
enum role {
	ROLE_NONE,
	ROLE_RONBUS_ALL,
	ROLE_RONBUS,
	ROLE_RONBUS_ANY,
	ROLE_RONBUS_BUS,
	ROLE_RONBUS_PUB,
	ROLE_RONBUS_SUB,
	ROLE_EVENT,
};

/* What a member of an argument is for. */
enum kind {
	ANY,
	OUT,
	ZERO,
	SET,
	RANGE,
	LENGTH,
	NAME,
	BYTES,
	VECTOR,
	EVENTFD
};

/**
 * struct field - a member of an argument
 * @name: its name
 * @offset: where it begins, in bytes
 * @size: its bytes
 * @kind: what it is for
 * @set: values it takes
 * @count: how many of them
 * @lo: least value of a range
 * @hi: largest
 */
struct field {
	const char *name;
	size_t offset;
	size_t size;
	enum kind kind;
	const uint64_t *set;
	unsigned int count;
	uint64_t lo;
	uint64_t hi;
};

/**
 * struct description - an ioctl
 * @name: its name
 * @cmd: its number
 * @takes: the fd it is for
 * @gives: the fd it returns
 * @size: bytes of its argument, 0 if it has none
 * @fields: members of an argument that the kernel reads
 * @count: how many
 */
struct description {
	const char *name;
	unsigned int cmd;
	enum role takes;
	enum role gives;
	size_t size;
	const struct field *fields;
	unsigned int count;
};

#endif /* RONBUS_DESCRIBE_H */
