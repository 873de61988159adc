// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * bpf-ringbuf.c - the ring buffer of BPF, one for each reader
 *
 * Only a BPF program can write to it. One of type syscall is given the message as its context and
 * puts it into the ring of each reader; a send is one bpf(BPF_PROG_RUN). The program depends on
 * payload and readers and has no loop, so it is written here an instruction at a time. Readers map
 * their ring, and take messages without a system call.
 *
 * peer: bpf-ringbuf; libbpf-dev; -lbpf -lelf -lz; kernel
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <poll.h>

#include "peer.h"

#define PEER_NAME "bpf-ringbuf"

struct channel {
	int maps[READERS_MAX];
	int program;
};

struct sender {
	int program;
};

/* What message_take() wants of the ring. */
struct wish {
	void *buffer;
	size_t size;
	size_t got;
};

struct reader {
	struct ring_buffer *ring;
	struct wish *wish;
	int map;
};

static void peer_version(char *text, size_t size)
{
	char kernel[64];

	kernel_version(kernel, sizeof(kernel));
	snprintf(text, size, "%s, libbpf %s", kernel, libbpf_version_string() + 1);
}

/* A record has 8 bytes before it. The ring is a power of two in size. */
static unsigned int ring_bytes(void)
{
	unsigned int bytes = (unsigned int)sysconf(_SC_PAGESIZE);

	while (bytes < (BURST + 1) * (8 + ((peer.payload + 7) & ~7U)))
		bytes *= 2;
	return bytes;
}

static struct bpf_insn program[READERS_MAX * (PAYLOAD_MAX / 4 + 32)];

/* *(record + offset) = *(context + offset), of a size. */
static struct bpf_insn *copy(struct bpf_insn *at, uint8_t size, unsigned int offset)
{
	const int16_t off = (int16_t)offset;

	*at++ = (struct bpf_insn){ BPF_LDX | BPF_MEM | size, BPF_REG_1, BPF_REG_6, off, 0 };
	*at++ = (struct bpf_insn){ BPF_STX | BPF_MEM | size, BPF_REG_0, BPF_REG_1, off, 0 };
	return at;
}

/* Reserves a record in a ring, copies the context to it, submits it. Returns 1 if there is no room. */
static struct bpf_insn *pass_on(struct bpf_insn *at, int map)
{
	const int flags = peer.sleep ? 0 : BPF_RB_NO_WAKEUP;
	const struct bpf_insn reserve[] = {
		{ BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, map },
		{ 0, 0, 0, 0, 0 },
		{ BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, (int)peer.payload },
		{ BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_3, 0, 0, 0 },
		{ BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_ringbuf_reserve },
		{ BPF_JMP | BPF_JNE | BPF_K, BPF_REG_0, 0, 2, 0 },
		{ BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 1 },
		{ BPF_JMP | BPF_EXIT, 0, 0, 0, 0 },
	};
	const struct bpf_insn submit[] = {
		{ BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_0, 0, 0 },
		{ BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, flags },
		{ BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_ringbuf_submit },
	};
	unsigned int offset;

	memcpy(at, reserve, sizeof(reserve));
	at += ARRAY_SIZE(reserve);
	for (offset = 0; offset + 8 <= peer.payload; offset += 8)
		at = copy(at, BPF_DW, offset);
	for (; offset < peer.payload; offset++)
		at = copy(at, BPF_B, offset);
	memcpy(at, submit, sizeof(submit));
	return at + ARRAY_SIZE(submit);
}

static size_t program_write(const struct channel *channel, unsigned int rings)
{
	struct bpf_insn *at = program;
	unsigned int i;

	*at++ = (struct bpf_insn){ BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_6, BPF_REG_1, 0, 0 };
	for (i = 0; i < rings; i++)
		at = pass_on(at, channel->maps[i]);
	*at++ = (struct bpf_insn){ BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0 };
	*at++ = (struct bpf_insn){ BPF_JMP | BPF_EXIT, 0, 0, 0, 0 };
	return (size_t)(at - program);
}

static int program_load(const struct channel *channel, unsigned int rings)
{
	LIBBPF_OPTS(bpf_prog_load_opts, options, .prog_flags = BPF_F_SLEEPABLE);
	size_t length = program_write(channel, rings);
	int fd = bpf_prog_load(BPF_PROG_TYPE_SYSCALL, "publish", "GPL", program, length, &options);

	if (fd < 0)
		cannot("no BPF program: %s", strerror(errno));
	return fd;
}

static void channel_open(struct channel *channel, unsigned int index, unsigned int count)
{
	unsigned int i;

	(void)index;
	for (i = 0; i < count; i++) {
		channel->maps[i] =
			bpf_map_create(BPF_MAP_TYPE_RINGBUF, "ring", 0, 0, ring_bytes(), NULL);
		if (channel->maps[i] < 0)
			cannot("no BPF ring buffer: %s", strerror(errno));
	}
	channel->program = program_load(channel, count);
}

static void sender_open(struct sender *sender, struct channel *channel)
{
	sender->program = channel->program;
}

/* A value below zero ends ring_buffer__consume() after this record. */
static int one_record(void *context, void *data, size_t len)
{
	struct wish *wish = context;

	memcpy(wish->buffer, data, len < wish->size ? len : wish->size);
	wish->got = len;
	return -ECANCELED;
}

static void reader_open(struct reader *reader, struct channel *channel, unsigned int number)
{
	reader->map = channel->maps[number];
	reader->wish = calloc(1, sizeof(*reader->wish));
	reader->ring = ring_buffer__new(reader->map, one_record, reader->wish, NULL);
	if (!reader->wish || !reader->ring)
		cannot("cannot map the ring buffer: %s", strerror(errno));
}

static void message_send(struct sender *sender, const void *data, size_t len)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = data, .ctx_size_in = (__u32)len);

	if (bpf_prog_test_run_opts(sender->program, &options) || options.retval)
		die("bpf: %s, %d", strerror(errno), (int)options.retval);
}

static int message_take(struct reader *reader, void *buffer, size_t size)
{
	*reader->wish = (struct wish){ buffer, size, 0 };
	ring_buffer__consume(reader->ring);
	return (int)reader->wish->got;
}

static int message_wait(struct reader *reader, void *buffer, size_t size)
{
	struct pollfd poll_map = { .fd = reader->map, .events = POLLIN };
	int len;

	for (;;) {
		len = message_take(reader, buffer, size);
		if (len)
			return len;
		poll(&poll_map, 1, -1);
	}
}

#include "shapes.h"
