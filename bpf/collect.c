// SPDX-License-Identifier: LGPL-2.1-only OR MIT
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "collect.h"
#include "ronbus_counters.h"
#include "ronbus.skel.h"
#include "ronbus_classic.skel.h"

#define PROGRAMS_MOST 32

/**
 * struct ronbus_collect - programs, attached, and the maps they keep
 * @how: which way they are attached
 * @typed: the skeleton of those with types, or NULL
 * @classic: of the others, or NULL
 * @object: of whichever it is, or NULL
 * @links: attachments
 * @names: and of which program each is
 * @nr_links: how many
 * @maps: fds of the maps, in the order of map_shapes
 */
struct ronbus_collect {
	enum ronbus_collect_how how;
	struct ronbus_typed *typed;
	struct ronbus_classic *classic;
	struct bpf_object *object;
	struct bpf_link *links[PROGRAMS_MOST];
	const char *names[PROGRAMS_MOST];
	unsigned int nr_links;
	int maps[3];
};

static const struct {
	const char *name;
	unsigned int key;
	unsigned int value;
} map_shapes[] = {
	{ RONBUS_BPF_BUSES_MAP, sizeof(struct ronbus_bpf_bus_key), sizeof(struct ronbus_bpf_bus) },
	{ RONBUS_BPF_SUBSCRIBERS_MAP, sizeof(struct ronbus_bpf_sub_key),
	  sizeof(struct ronbus_bpf_sub) },
	{ RONBUS_BPF_START_MAP, sizeof(__u32), sizeof(struct ronbus_bpf_start) },
};

#define NR_MAPS (sizeof(map_shapes) / sizeof(map_shapes[0]))

static char why[1024];

/* The first warning is the reason; the later ones say that therefore the rest failed, too. */
static int keep_first_warning(enum libbpf_print_level level, const char *format, va_list args)
{
	if (level != LIBBPF_WARN || why[0])
		return 0;
	vsnprintf(why, sizeof(why), format, args);
	why[strcspn(why, "\n")] = '\0';
	return 0;
}

const char *ronbus_collect_why(void)
{
	return why;
}

static struct ronbus_collect *new_collect(enum ronbus_collect_how how)
{
	struct ronbus_collect *c = calloc(1, sizeof(*c));
	unsigned int i;

	if (!c)
		return NULL;
	c->how = how;
	for (i = 0; i < NR_MAPS; i++)
		c->maps[i] = -1;
	return c;
}

/* Where programs without types find the counters: in one piece, in the order of their members. */
static const struct {
	const char *name;
	size_t offset;
	size_t size;
} counter_fields[] = {
#define FIELD(member, ...)                                   \
	{ #member, offsetof(struct ronbus_counters, member), \
	  sizeof(((struct ronbus_counters *)0)->member) },
	RONBUS_COUNTERS(FIELD, FIELD)
#undef FIELD
};

#define NR_COUNTERS (sizeof(counter_fields) / sizeof(counter_fields[0]))

static FILE *open_format(void)
{
	FILE *file = fopen("/sys/kernel/tracing/events/ronbus/ronbus_flush/format", "re");

	return file ? file
		    : fopen("/sys/kernel/debug/tracing/events/ronbus/ronbus_flush/format", "re");
}

static bool read_field(const char *line, char name[64], size_t *offset, size_t *size)
{
	const char *at = strstr(line, "offset:");

	return at && sscanf(line, " field:u64 %63[a-z_]", name) == 1 &&
	       sscanf(at, "offset:%zu; size:%zu;", offset, size) == 2;
}

/*
 * Does the module record the counters that we know, and no others? They are the last fields. The
 * result is the number of fields that are as they should be; @name is the first that is not.
 * @common is the offset of our first field, which follows those that all events of this kernel
 * have.
 */
static size_t check_fields(FILE *file, char name[64], __u32 *common)
{
	size_t offset, size, first = 0, n = 0;
	char line[256];

	while (fgets(line, sizeof(line), file)) {
		if (!read_field(line, name, &offset, &size))
			continue;
		if (!strcmp(name, "bus"))
			*common = (__u32)offset;
		if (!n && strcmp(name, counter_fields[0].name))
			continue;
		if (!n)
			first = offset;
		if (n == NR_COUNTERS || strcmp(name, counter_fields[n].name) ||
		    offset - first != counter_fields[n].offset || size != counter_fields[n].size)
			return n == NR_COUNTERS ? n + 1 : n;
		n++;
	}
	if (n < NR_COUNTERS)
		strcpy(name, counter_fields[n].name);
	return n;
}

int ronbus_collect_format(__u32 *common)
{
	FILE *file = open_format();
	char name[64];
	size_t n;

	*common = 0;
	if (!file)
		return -errno;
	n = check_fields(file, name, common);
	fclose(file);
	if (n == NR_COUNTERS)
		return 0;
	snprintf(why, sizeof(why),
		 "module and programs are of different versions: ronbus_flush differs at %s", name);
	return -EPROTO;
}

static int load(struct ronbus_collect *c)
{
	__u32 common;
	int err;

	if (c->how == RONBUS_COLLECT_TYPED) {
		c->typed = ronbus_typed__open();
		if (!c->typed)
			return -errno;
		c->object = c->typed->obj;
		err = ronbus_typed__load(c->typed);
	} else {
		err = ronbus_collect_format(&common);
		if (err)
			return err;
		c->classic = ronbus_classic__open();
		if (!c->classic)
			return -errno;
		c->object = c->classic->obj;
		c->classic->rodata->common_size = common;
		err = ronbus_classic__load(c->classic);
	}
	return err;
}

static int attach(struct ronbus_collect *c, const struct bpf_program *program)
{
	struct bpf_link *link;

	if (c->nr_links == PROGRAMS_MOST)
		return -E2BIG;
	link = bpf_program__attach(program);
	if (!link)
		return -errno;
	c->names[c->nr_links] = bpf_program__name(program);
	c->links[c->nr_links++] = link;
	return 0;
}

/* Flush goes last: once it makes entries, those that remove them are there. */
static int attach_all(struct ronbus_collect *c)
{
	const struct bpf_program *flush = bpf_object__find_program_by_name(c->object, "flush");
	struct bpf_program *program;
	int err;

	if (!flush)
		return -ENOENT;
	bpf_object__for_each_program(program, c->object)
	{
		if (program == flush)
			continue;
		err = attach(c, program);
		if (err)
			return err;
	}
	return attach(c, flush);
}

static int start(struct ronbus_collect **collect, enum ronbus_collect_how how)
{
	struct ronbus_collect *c = new_collect(how);
	unsigned int i;
	int err;

	if (!c)
		return -ENOMEM;
	err = load(c);
	if (!err)
		err = attach_all(c);
	if (err) {
		ronbus_collect_stop(c);
		return err;
	}
	for (i = 0; i < NR_MAPS; i++)
		c->maps[i] = bpf_object__find_map_fd_by_name(c->object, map_shapes[i].name);
	*collect = c;
	return 0;
}

int ronbus_collect_start(struct ronbus_collect **collect, enum ronbus_collect_how how)
{
	libbpf_print_fn_t print = libbpf_set_print(keep_first_warning);
	int err = -ENODEV;

	why[0] = '\0';
	if (!access("/sys/module/ronbus", F_OK)) {
		err = -EINVAL;
		if (how == RONBUS_COLLECT_TYPED || how == RONBUS_COLLECT_CLASSIC) {
			err = start(collect, how);
		} else if (how == RONBUS_COLLECT_BEST) {
			err = start(collect, RONBUS_COLLECT_TYPED);
			if (err && err != -EPERM) {
				why[0] = '\0';
				err = start(collect, RONBUS_COLLECT_CLASSIC);
			}
		}
	}
	libbpf_set_print(print);
	return err;
}

/* Is it a map of the shape that we know? */
static int check_map(int fd, unsigned int i)
{
	struct bpf_map_info info = { 0 };
	__u32 size = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return -errno;
	return info.key_size == map_shapes[i].key && info.value_size == map_shapes[i].value
		       ? 0
		       : -EPROTO;
}

int ronbus_collect_open(struct ronbus_collect **collect, const char *dir)
{
	struct ronbus_collect *c = new_collect(RONBUS_COLLECT_PINNED);
	char path[512];
	unsigned int i;
	int err;

	why[0] = '\0';
	if (!c)
		return -ENOMEM;
	for (i = 0; i < NR_MAPS; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, map_shapes[i].name);
		c->maps[i] = bpf_obj_get(path);
		err = c->maps[i] < 0 ? -errno : check_map(c->maps[i], i);
		if (err) {
			snprintf(why, sizeof(why), "%s: %s", path, strerror(-err));
			ronbus_collect_stop(c);
			return err;
		}
	}
	*collect = c;
	return 0;
}

static void unpin(struct ronbus_collect *c, const char *dir, const char *links)
{
	unsigned int i;

	for (i = 0; i < c->nr_links; i++)
		bpf_link__unpin(c->links[i]);
	rmdir(links);
	bpf_object__unpin_maps(c->object, dir);
	rmdir(dir);
}

static int make_dir(const char *path)
{
	return mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
}

static int pin(struct ronbus_collect *c, const char *dir, const char *links)
{
	char path[640];
	unsigned int i;
	int err;

	err = make_dir(dir);
	if (!err)
		err = bpf_object__pin_maps(c->object, dir);
	if (err)
		return err; /* and libbpf has undone it */
	err = make_dir(links);
	for (i = 0; !err && i < c->nr_links; i++) {
		snprintf(path, sizeof(path), "%s/%s", links, c->names[i]);
		err = bpf_link__pin(c->links[i], path);
	}
	if (err)
		unpin(c, dir, links);
	return err;
}

int ronbus_collect_pin(struct ronbus_collect *c, const char *dir)
{
	libbpf_print_fn_t print;
	char links[512];
	int err;

	if (!c->object)
		return -EINVAL;
	if (snprintf(links, sizeof(links), "%s/links", dir) >= (int)sizeof(links))
		return -ENAMETOOLONG;
	print = libbpf_set_print(keep_first_warning);
	why[0] = '\0';
	err = pin(c, dir, links);
	libbpf_set_print(print);
	return err;
}

void ronbus_collect_stop(struct ronbus_collect *c)
{
	unsigned int i;

	if (!c)
		return;
	for (i = 0; i < c->nr_links; i++)
		bpf_link__destroy(c->links[i]);
	if (c->how == RONBUS_COLLECT_PINNED) {
		for (i = 0; i < NR_MAPS; i++)
			if (c->maps[i] >= 0)
				close(c->maps[i]);
	}
	ronbus_typed__destroy(c->typed);
	ronbus_classic__destroy(c->classic);
	free(c);
}

enum ronbus_collect_how ronbus_collect_how(const struct ronbus_collect *c)
{
	return c->how;
}

int ronbus_collect_buses(const struct ronbus_collect *c)
{
	return c->maps[0];
}

int ronbus_collect_subscribers(const struct ronbus_collect *c)
{
	return c->maps[1];
}

int ronbus_collect_info(const struct ronbus_collect *c)
{
	return c->maps[2];
}
