// SPDX-License-Identifier: GPL-2.0
/*
 * library_fuzz.c - subscribers and publishers of the library on memory that others scribble over
 *
 * Handles are made by hand over a ring, an info page and an own page that end where a sanitizer
 * watches. The ring and the info page are scribbled over between calls, and before any load within
 * one (hook.h). Whatever is there: calls come to an end after a bounded number of loads, read and
 * write within bounds, describe messages within the bounds of the bus, and every position a
 * subscriber passes is in one of its counters. With a cursor that is scribbled over as well only
 * the first three are left.
 */
#include "hook.h"
#include "input.h"

#include <errno.h>

#include "internal.h"

#define BUFFER 256U
#define LOADS_MOST 400000U

static struct {
	struct input input;
	struct ronbus_ring ring;
	__u64 features;
	struct ronbus_info_page *info;
	struct ronbus_self *self;
	bool armed; /* scribbling is on */
	bool wild; /* the ring has told of the end of all numbers, where positions begin anew */
	bool cursor; /* the own page is scribbled over, too */
	unsigned int loads;
	uint64_t last;
} run;

static size_t ring_bytes(void)
{
	return ronbus_ring_bytes(run.ring.mask + 1, run.ring.payload, run.features);
}

/* ---- scribbling ------------------------------------------------------------------------ */

static void scribble_ring(void)
{
	struct input *input = &run.input;
	const struct ronbus_words at = ronbus_ring_at(&run.ring, take8(input));
	struct ronbus_meta *meta = (struct ronbus_meta *)at.meta;
	uint64_t value = take_value(input);

	run.wild |= value >> 50 != 0;
	switch (take8(input) % 7) {
	case 0:
	case 1: /* a message, or nearly */
		*at.state = RONBUS_STATE(value, take8(input) % 64, take8(input) % 3 ? 0 : 1);
		break;
	case 2:
		*at.hole = value;
		break;
	case 3:
		meta->len = (__u32)value;
		break;
	case 4:
		*(uint64_t *)at.ready = value;
		meta->topic = (__u32)value;
		break;
	case 5:
		run.ring.head->head = value;
		break;
	default:
		run.wild |= (value & 255) != 0;
		memset((char *)run.ring.head, (int)value, ring_bytes());
	}
}

static void scribble(void)
{
	struct input *input = &run.input;
	uint64_t value;

	switch (take8(input) % 8) {
	case 0:
		run.info->status = take8(input);
		break;
	case 1:
		run.info->audience[take8(input) % RONBUS_TOPICS_MAX] = take_value(input);
		break;
	case 2:
		if (take8(input) % 2)
			run.info->armed = take_value(input);
		else
			run.info->blocked = take_value(input);
		break;
	case 3:
		value = take_value(input);
		if (run.cursor)
			((__u64 *)run.self)[take8(input) % (sizeof(*run.self) / 8)] = value;
		break;
	default:
		scribble_ring();
	}
}

void fuzz_before_load(void)
{
	must(run.loads++ < LOADS_MOST);
	if (!run.armed || !run.input.left)
		return;
	/* One byte of the input for each load: mostly nothing. */
	if (take8(&run.input) % 4 == 3) {
		run.armed = false;
		scribble();
		run.armed = true;
	}
}

/* ---- a transport that is not there ----------------------------------------------------- */

static int no_wait(struct ronbus_subscriber_handle *sub, __u64 deadline, __u32 cancels)
{
	static const int results[] = { 0, -ETIMEDOUT, -EINTR, -ECANCELED };

	(void)cancels;
	(void)sub;
	(void)deadline;
	if (!run.input.left)
		return -ETIMEDOUT;
	scribble();
	return results[take8(&run.input) % 4];
}

static void no_notify(struct ronbus_publisher_handle *pub, __u64 subscribers)
{
	(void)pub;
	(void)subscribers;
}

static int no_arm(struct ronbus_subscriber_handle *sub)
{
	(void)sub;
	return take8(&run.input) % 2;
}

static const struct ronbus_transport transport = {
	.wait = no_wait,
	.notify = no_notify,
	.arm = no_arm,
};

/* ---- receiving ------------------------------------------------------------------------- */

static uint64_t passed(void)
{
	return run.self->delivered + run.self->filtered + run.self->holes + run.self->lost;
}

static void check_message(const struct ronbus_msg *msg, const char *buffer, bool in_ring)
{
	const char *data = msg->data, *begin = run.ring.slots;

	must(msg->len <= run.ring.payload);
	must(msg->topic < RONBUS_TOPICS_MAX);
	must(msg->publisher < 64);
	if (in_ring)
		must(data >= begin && data + msg->len <= (char *)run.ring.head + ring_bytes());
	else
		must(data == buffer);
}

static void check_result(int ret, const struct ronbus_msg *msg, const char *buffer, bool in_ring)
{
	switch (ret) {
	case RONBUS_MESSAGE:
		check_message(msg, buffer, in_ring);
		break;
	case RONBUS_LAGGED:
		must(msg->lost || run.cursor);
		break;
	case RONBUS_CLOSED:
	case -EAGAIN:
	case -ETIMEDOUT:
	case -EINTR:
	case -ECANCELED:
		break;
	case -EMSGSIZE:
		must(msg->len <= run.ring.payload);
		break;
	default:
		must(!"a result that is documented");
	}
}

static int on_message(void *arg, int what, const struct ronbus_msg *msg)
{
	(void)arg;
	check_result(what, msg, msg->data, false);
	return take8(&run.input) % 8 == 7;
}

static void receive_many(struct ronbus_sub *sub, char *buffer, size_t size)
{
	unsigned int count = take8(&run.input) % 9, i;
	struct ronbus_msg msgs[8];
	int ret;

	if (count > 8 || size * count > BUFFER)
		count = 1;
	ret = ronbus_recv_many(sub, buffer, size, msgs, count);
	if (!count) {
		must(ret == -EINVAL);
		return;
	}
	must(ret <= (int)count);
	for (i = 0; ret > 0 && i < (unsigned int)ret; i++) {
		must(msgs[i].lost || msgs[i].len <= size || run.cursor);
		if (!msgs[i].lost)
			must(msgs[i].len <= run.ring.payload);
	}
	if (ret <= 0)
		check_result(ret, msgs, buffer, false);
}

static void receive(struct ronbus_sub *sub)
{
	struct input *input = &run.input;
	size_t size = take8(input) % 3 ? run.ring.payload : take8(input);
	char *buffer = malloc(BUFFER);
	struct ronbus_msg msg = { 0 };
	int ret;

	must(buffer);
	switch (take8(input) % 8) {
	case 0:
	case 1:
		ret = ronbus_try_recv(sub, buffer, size, &msg);
		check_result(ret, &msg, buffer, false);
		break;
	case 2:
		ret = ronbus_peek(sub, &msg);
		check_result(ret, &msg, NULL, true);
		if (ret == RONBUS_MESSAGE && run.input.left)
			scribble();
		ret = ronbus_release(sub);
		must(!ret || ret == -ESTALE || ret == -EINVAL);
		break;
	case 3:
		ret = ronbus_recv(sub, buffer, size, &msg, 0);
		check_result(ret, &msg, buffer, false);
		break;
	case 4:
		ret = ronbus_drain(sub, on_message, NULL, 1 + take8(input), 0);
		must(ret <= 256);
		break;
	case 5:
		receive_many(sub, buffer, size);
		break;
	case 6:
		ret = ronbus_wait(sub, 0);
		must(ret <= 0);
		break;
	default:
		ret = ronbus_release(sub);
		must(!ret || ret == -ESTALE || ret == -EINVAL);
	}
	free(buffer);
}

/* ---- publishing ------------------------------------------------------------------------ */

static void publish(struct ronbus_pub *pub)
{
	struct input *input = &run.input;
	unsigned int topic = take8(input) % 66, count = take8(input) % 12, i;
	size_t len = take8(input) % (run.ring.payload + 9);
	char message[BUFFER + 16] = { 2 };
	struct iovec vec[12];
	int ret;

	if (take8(input) % 2) {
		ret = ronbus_publish(pub, topic, message, len);
		must(ret <= 64);
	} else {
		for (i = 0; i < count; i++)
			vec[i] = (struct iovec){ message, i == 7 ? len : len % 8 };
		ret = ronbus_publish_many(pub, topic, vec, count);
		must(ret <= (int)count);
	}
	must(ret >= 0 || ret == -EAGAIN || (ret == -EINVAL && topic >= RONBUS_TOPICS_MAX) ||
	     (ret == -EMSGSIZE && len > run.ring.payload));
}

/* ---- running --------------------------------------------------------------------------- */

static void *page(size_t size)
{
	void *at = aligned_alloc(64, (size + 63) & ~63UL);

	must(at);
	memset(at, 0, size);
	return at;
}

static void prepare(void)
{
	static const __u32 payloads[] = { 8, 32, 64, 200 };
	uint8_t kind = take8(&run.input);
	__u32 capacity = 4U << kind % 4, payload = payloads[take8(&run.input) % 4];

	run.features = (kind & 0x80 ? RONBUS_F_SOA : 0) | (kind & 0x40 ? RONBUS_F_TIME : 0);
	ronbus_ring_view(&run.ring, page(ronbus_ring_bytes(capacity, payload, run.features)),
			 capacity, payload, run.features);
	ronbus_ring_reset(&run.ring);
	run.info = page(sizeof(*run.info));
	run.self = page(sizeof(*run.self));
	run.self->cursor = capacity;
	run.last = capacity;
	run.info->audience[0] = run.info->audience[1] = 3;
}

static void check_cursor(uint64_t start)
{
	uint64_t cursor = run.self->cursor;

	if (run.cursor)
		return;
	must(cursor == start + passed());
	must(cursor >= run.last || run.wild);
	run.last = cursor;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ronbus_subscriber_handle sub = { .transport = &transport };
	struct ronbus_publisher_handle pub = { .transport = &transport, .flush_threshold = 4 };
	struct ronbus_self *pub_self;
	unsigned int calls = 0;
	__u32 hows, arrays, timed;
	uint8_t how, filter;
	uint64_t start;

	memset(&run, 0, sizeof(run));
	run.input = (struct input){ data, size };
	prepare();
	start = run.self->cursor;
	how = take8(&run.input);
	filter = take8(&run.input);
	run.cursor = filter & 4;
	pub_self = page(sizeof(*pub_self));
	sub.sub = (struct ronbus_sub){ .ring = run.ring,
				       .info = run.info,
				       .self = run.self,
				       .interest = { .bit = filter & 1,
						     .topics = filter >> 3,
						     .asked = ~(__u64)0,
						     .joined = start + (filter & 15) } };
	ronbus_peeked_nothing(&sub.sub);
	arrays = run.features & RONBUS_F_SOA;
	timed = run.features & RONBUS_F_TIME;
	sub.sub.slow_path = sub.sub.interest.bit || arrays || timed;
	sub.buffer = page((arrays ? RONBUS_RUN : 1) * run.ring.payload);
	hows = (how & 2 ? RONBUS_HOW_EXCLUSIVE : 0) | (how & 4 ? RONBUS_F_EDGE_NOTIFY : 0) |
	       (how & 8 ? RONBUS_F_BATCH : 0) | (how & 16 ? RONBUS_HOW_SINGLE : 0);
	/* Counting by thread is another matter: it needs a handle that is known. */
	pub.pub = (struct ronbus_pub){ .ring = run.ring,
				       .info = run.info,
				       .self = pub_self,
				       .id = 1 + how % 60,
				       .pos = run.ring.mask + 1,
				       .how = hows | arrays | timed };
	while (run.input.left && calls++ < 200) {
		uint8_t what = take8(&run.input);

		run.loads = 0;
		run.armed = what & 0x80;
		if (what % 4 == 0)
			scribble();
		else if (what % 4 == 1)
			publish(&pub.pub);
		else
			receive(&sub.sub);
		run.armed = false;
		check_cursor(start);
	}
	free(sub.buffer);
	free(pub_self);
	free(run.self);
	free(run.info);
	free(run.ring.head);
	return 0;
}
