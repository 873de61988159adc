/* SPDX-License-Identifier: GPL-2.0 */
/* A bus, and programs of BPF that publish on it. */
#ifndef RONBUS_KFUNC_H
#define RONBUS_KFUNC_H

#include "bpf.h"

FIXTURE(kfunc)
{
	int control;
	struct bpf_test *skel;
	struct bpf_test__bss *bss;
	int bus;
	u64 id;
	int pub;
	u64 token;
};

/* Run a program of the type that is called. */
static inline int call(const struct bpf_program *program)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);

	if (bpf_prog_test_run_opts(bpf_program__fd(program), &opts))
		return -errno;
	return opts.retval ? -EPROTO : 0;
}

static inline int publish_by_program(FIXTURE_DATA(kfunc) * self, u32 topic, u32 len)
{
	int err;

	self->bss->token = self->token;
	self->bss->topic = topic;
	self->bss->len = len;
	err = call(self->skel->progs.call_publish);
	return err ? -1000 + err : self->bss->ret;
}

FIXTURE_SETUP(kfunc)
{
	struct ronbus_info info;

	self->control = OPEN_CONTROL();
	if (geteuid())
		SKIP(return, "needs root, to load BPF programs");
	self->skel = bpf_test__open_and_load();
	ASSERT_NE(NULL, self->skel);
	self->bss = self->skel->bss;
	self->bss->most = ~0ULL;
	self->bus =
		bus_create(self->control,
			   (struct ronbus_create){ .features = RONBUS_F_EDGE_NOTIFY | RONBUS_F_TIME,
						   .flags = RONBUS_BUS_PERSISTENT,
						   .capacity = 64,
						   .payload = LEN });
	ASSERT_LE(0, self->bus);
	ASSERT_EQ(0, fd_info(self->bus, &info));
	self->id = info.id;
	self->pub = fd_publisher_bpf(self->bus, &self->token);
	ASSERT_LE(0, self->pub);
	self->bss->token = self->token;
}

FIXTURE_TEARDOWN(kfunc)
{
	bpf_test__destroy(self->skel);
	if (self->pub > 0)
		close(self->pub);
	if (self->bus > 0)
		close(self->bus);
	close(self->control);
}

/* Read @n messages of publish_next(); are they all whole? */
static inline bool read_next(struct subscriber *s, u64 n)
{
	struct message msg;
	u64 words[4];

	while (n--) {
		if (subscriber_read(s, &msg) != 1 || msg.len != sizeof(words))
			return false;
		memcpy(words, msg.data, sizeof(words));
		if (words[1] != words[0] || words[2] != words[0] || words[3] != words[0])
			return false;
	}
	return true;
}

#endif /* RONBUS_KFUNC_H */
