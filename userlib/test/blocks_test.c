// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/* blocks_test.c - blocks on an embedded bus: in turn, pinned, exhausted, and under threads */
#include "test.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <libronbus.h>

#define SIZE 128U
#define BLOCKS 4U

struct bus {
	struct ronbus *bus;
	struct ronbus_pub *pub;
	struct ronbus_sub *sub;
};

static void bus_make(struct bus *bus, __u32 flags, __u32 blocks, unsigned int how)
{
	const struct ronbus_options options = {
		.features = RONBUS_F_BLOCKS | RONBUS_F_EDGE_NOTIFY,
		.flags = flags,
		.capacity = 16,
		.block_size = SIZE,
		.blocks = blocks,
	};

	assert_int_equal(ronbus_create(RONBUS_EMBEDDED, &options, &bus->bus), 0);
	assert_int_equal(ronbus_subscribe(bus->bus, NULL, &bus->sub), 0);
	assert_int_equal(ronbus_publisher(bus->bus, how, &bus->pub), 0);
}

static void bus_free(struct bus *bus)
{
	ronbus_pub_close(bus->pub);
	ronbus_sub_close(bus->sub);
	ronbus_close(bus->bus);
}

/* Bytes that say which message they are of. */
static void fill(unsigned char *data, __u64 number)
{
	memset(data, (int)(number % 251), SIZE);
	memcpy(data, &number, sizeof(number));
}

static bool is_filled(const unsigned char *data, __u64 number)
{
	unsigned char expected[SIZE];

	fill(expected, number);
	return !memcmp(data, expected, SIZE);
}

static int publish(struct bus *bus, __u64 number)
{
	unsigned char data[SIZE];

	fill(data, number);
	return ronbus_publish_block(bus->pub, 3, &number, sizeof(number), data, SIZE);
}

static void receive(struct ronbus_sub *sub, __u64 number, struct ronbus_msg *msg, void *buffer)
{
	assert_int_equal(ronbus_try_recv(sub, buffer, RONBUS_PAYLOAD_DEFAULT, msg), RONBUS_MESSAGE);
	assert_int_equal(msg->len, sizeof(number) + sizeof(struct ronbus_block_ref));
	assert_int_equal(msg->topic, 3);
	assert_memory_equal(buffer, &number, sizeof(number));
}

static int pin(struct bus *bus, __u64 number, struct ronbus_block *block)
{
	unsigned char buffer[RONBUS_PAYLOAD_DEFAULT];
	struct ronbus_msg msg;

	receive(bus->sub, number, &msg, buffer);
	return ronbus_block_pin(bus->sub, &msg, block);
}

static struct ronbus_counters counters(struct bus *bus)
{
	struct ronbus_stats stats;

	assert_int_equal(ronbus_stats(bus->bus, RONBUS_STATS_BUS, &stats), 0);
	return stats.counters;
}

/* ---- one thread ----------------------------------------------------------------------- */

static void in_turn(void **state)
{
	const void *places[BLOCKS] = { 0 };
	struct ronbus_block block;
	struct bus bus;
	__u64 i;

	(void)state;
	bus_make(&bus, 0, BLOCKS, 0);
	for (i = 0; i < 5 * BLOCKS; i++) {
		assert_int_equal(publish(&bus, i), 1);
		assert_int_equal(pin(&bus, i, &block), 0);
		assert_int_equal(block.len, SIZE);
		assert_int_equal((uintptr_t)block.data % 64, 0);
		assert_true(is_filled(block.data, i));
		if (i < BLOCKS)
			places[i] = block.data;
		assert_ptr_equal(block.data, places[i % BLOCKS]);
		ronbus_block_unpin(bus.sub, &block);
		assert_null(block.data);
		ronbus_block_unpin(bus.sub, &block); /* nothing happens */
	}
	assert_int_equal(counters(&bus).blocks_published_total, i);
	assert_int_equal(counters(&bus).published_total, i);
	assert_int_equal(counters(&bus).blocks_pinned_total, 0);
	assert_int_equal(counters(&bus).blocks_dropped_total, 0);
	bus_free(&bus);
}

/* A subscriber that does not read keeps nobody from publishing, and has the newest blocks. */
static void stalled_reader(void **state)
{
	struct ronbus_block block;
	struct bus bus;
	__u64 i;

	(void)state;
	bus_make(&bus, 0, BLOCKS, 0);
	for (i = 0; i < 10; i++)
		assert_int_equal(publish(&bus, i), 1);
	for (i = 0; i < 10 - BLOCKS; i++)
		assert_int_equal(pin(&bus, i, &block), -ESTALE);
	for (; i < 10; i++) {
		assert_int_equal(pin(&bus, i, &block), 0);
		assert_true(is_filled(block.data, i));
		ronbus_block_unpin(bus.sub, &block);
	}
	bus_free(&bus);
}

static void pinned_stays(void **state)
{
	struct ronbus_block kept, block;
	struct ronbus_sub *late;
	struct bus bus;
	__u64 i;

	(void)state;
	bus_make(&bus, 0, BLOCKS, 0);
	publish(&bus, 0);
	assert_int_equal(pin(&bus, 0, &kept), 0);
	assert_int_equal(
		ronbus_subscribe(bus.bus,
				 &(struct ronbus_sub_options){ .start = RONBUS_START_OLDEST },
				 &late),
		0);
	for (i = 1; i < 100; i++) {
		assert_int_equal(publish(&bus, i), 1 + 1);
		assert_int_equal(pin(&bus, i, &block), 0);
		assert_ptr_not_equal(block.data, kept.data);
		ronbus_block_unpin(bus.sub, &block);
		assert_true(is_filled(kept.data, 0));
	}
	/* Three blocks took turns, and the fourth was passed over before each turn. */
	assert_int_equal(counters(&bus).blocks_pinned_total, (100 - 1 - 3 + 2) / 3);
	ronbus_block_unpin(bus.sub, &kept);
	for (i = 100; i < 100 + BLOCKS; i++)
		assert_int_equal(publish(&bus, i), 2);
	assert_int_equal(counters(&bus).blocks_pinned_total, (100 - 1 - 3 + 2) / 3);
	ronbus_sub_close(late);
	bus_free(&bus);
}

/* Somebody has it, its time is over: nobody else gets it any more. */
static void dying(void **state)
{
	unsigned char buffer[RONBUS_PAYLOAD_DEFAULT];
	struct ronbus_block kept, block;
	struct ronbus_sub *other;
	struct ronbus_msg msg;
	struct bus bus;
	__u64 i;

	(void)state;
	bus_make(&bus, 0, BLOCKS, 0);
	assert_int_equal(ronbus_subscribe(bus.bus, NULL, &other), 0);
	publish(&bus, 0);
	assert_int_equal(pin(&bus, 0, &kept), 0);
	receive(other, 0, &msg, buffer);
	for (i = 1; i <= BLOCKS; i++)
		publish(&bus, i);
	assert_int_equal(ronbus_block_pin(other, &msg, &block), -ESTALE);
	assert_true(is_filled(kept.data, 0));
	ronbus_sub_close(other);
	bus_free(&bus);
}

static void exhausted(void **state)
{
	struct ronbus_block blocks[BLOCKS], block;
	const void *place;
	struct bus bus;
	__u64 i;

	(void)state;
	bus_make(&bus, 0, BLOCKS, 0);
	for (i = 0; i < BLOCKS; i++) {
		publish(&bus, i);
		assert_int_equal(pin(&bus, i, &blocks[i]), 0);
	}
	assert_int_equal(publish(&bus, 99), -ENOBUFS);
	assert_int_equal(publish(&bus, 99), -ENOBUFS);
	assert_int_equal(counters(&bus).blocks_dropped_total, 2);
	assert_int_equal(counters(&bus).blocks_published_total, BLOCKS);
	assert_int_equal(counters(&bus).published_total, BLOCKS);
	for (i = 0; i < BLOCKS; i++)
		assert_true(is_filled(blocks[i].data, i));
	/* Messages without a block go on. */
	assert_int_equal(ronbus_publish(bus.pub, 3, &i, sizeof(i)), 1);
	assert_int_equal(ronbus_try_recv(bus.sub, &i, sizeof(i), &(struct ronbus_msg){ 0 }),
			 RONBUS_MESSAGE);

	/* One is let go, and is free once, not twice. */
	place = blocks[2].data;
	ronbus_block_unpin(bus.sub, &blocks[2]);
	assert_int_equal(publish(&bus, 100), 1);
	assert_int_equal(pin(&bus, 100, &block), 0);
	assert_ptr_equal(block.data, place);
	assert_int_equal(publish(&bus, 101), -ENOBUFS);

	/* All go with the subscriber. */
	ronbus_sub_close(bus.sub);
	assert_int_equal(ronbus_subscribe(bus.bus, NULL, &bus.sub), 0);
	for (i = 0; i < 3 * BLOCKS; i++)
		assert_int_equal(publish(&bus, i), 1);
	bus_free(&bus);
}

static void pins_run_out(void **state)
{
	struct ronbus_block blocks[RONBUS_PINS_MAX], block;
	struct bus bus;
	__u64 i;

	(void)state;
	bus_make(&bus, 0, 16, 0);
	for (i = 0; i < RONBUS_PINS_MAX; i++) {
		publish(&bus, i);
		assert_int_equal(pin(&bus, i, &blocks[i]), 0);
	}
	publish(&bus, i);
	assert_int_equal(pin(&bus, i, &block), -ENOSPC);
	ronbus_block_unpin(bus.sub, &blocks[5]);
	publish(&bus, ++i);
	assert_int_equal(pin(&bus, i, &block), 0);
	bus_free(&bus);
}

static void refused(void **state)
{
	struct ronbus_options options = { .block_size = SIZE };
	const unsigned char data[SIZE + 1] = { 0 };
	unsigned char event[RONBUS_PAYLOAD_DEFAULT] = { 0 };
	struct ronbus_block_ref ref = { .block = 0, .len = 1, .generation = 1 };
	struct ronbus_msg msg = { .data = &ref, .len = sizeof(ref) };
	const size_t room = sizeof(event) - sizeof(ref);
	struct ronbus_block block;
	struct ronbus *none;
	struct bus bus;

	(void)state;
	/* Creation. */
	assert_int_equal(ronbus_create(RONBUS_EMBEDDED, &options, &none), -EINVAL);
	options = (struct ronbus_options){ .blocks = 1 };
	assert_int_equal(ronbus_create(RONBUS_EMBEDDED, &options, &none), -EINVAL);
	options.features = RONBUS_F_BLOCKS;
	options.block_size = SIZE + 8;
	assert_int_equal(ronbus_create(RONBUS_EMBEDDED, &options, &none), -EINVAL);
	options.block_size = 2 * RONBUS_BLOCK_SIZE_MAX;
	assert_int_equal(ronbus_create(RONBUS_EMBEDDED, &options, &none), -EINVAL);
	options.block_size = RONBUS_BLOCK_SIZE_MAX;
	options.blocks = 65;
	assert_int_equal(ronbus_create(RONBUS_EMBEDDED, &options, &none), -EINVAL);
	options.block_size = SIZE;
	options.blocks = RONBUS_BLOCKS_MAX + 1;
	assert_int_equal(ronbus_create(RONBUS_EMBEDDED, &options, &none), -EINVAL);
	options.blocks = 1;
	options.payload = 8;
	assert_int_equal(ronbus_create(RONBUS_EMBEDDED, &options, &none), -EINVAL);

	/* A bus without. */
	assert_int_equal(ronbus_create(RONBUS_EMBEDDED, NULL, &bus.bus), 0);
	assert_int_equal(ronbus_subscribe(bus.bus, NULL, &bus.sub), 0);
	assert_int_equal(ronbus_publisher(bus.bus, 0, &bus.pub), 0);
	assert_int_equal(ronbus_publish_block(bus.pub, 0, NULL, 0, data, 1), -EOPNOTSUPP);
	assert_int_equal(ronbus_block_pin(bus.sub, &msg, &block), -EOPNOTSUPP);
	bus_free(&bus);

	/* Publishing. */
	bus_make(&bus, 0, BLOCKS, 0);
	assert_int_equal(ronbus_publish_block(bus.pub, 64, event, 8, data, 1), -EINVAL);
	assert_int_equal(ronbus_publish_block(bus.pub, 0, event, 8, data, 0), -EINVAL);
	assert_int_equal(ronbus_publish_block(bus.pub, 0, event, 8, data, SIZE + 1), -EMSGSIZE);
	assert_int_equal(ronbus_publish_block(bus.pub, 0, event, 8, data, 1ULL << 32), -EMSGSIZE);
	assert_int_equal(ronbus_publish_block(bus.pub, 0, event, room + 1, data, 1), -EMSGSIZE);
	assert_int_equal(counters(&bus).published_total, 0);
	assert_int_equal(ronbus_publish_block(bus.pub, 0, event, room, data, 1), 1);
	assert_int_equal(ronbus_publish_block(bus.pub, 0, NULL, 0, data, 1), 1);

	/* Pinning what is there, and what no message ever was. */
	assert_int_equal(ronbus_block_pin(bus.sub, &msg, &block), 0);
	ronbus_block_unpin(bus.sub, &block);
	ref.generation = 3;
	assert_int_equal(ronbus_block_pin(bus.sub, &msg, &block), -ESTALE);
	ref.generation = 2;
	assert_int_equal(ronbus_block_pin(bus.sub, &msg, &block), -EINVAL);
	ref.generation = 0;
	ref.block = 3;
	assert_int_equal(ronbus_block_pin(bus.sub, &msg, &block), -EINVAL);
	ref = (struct ronbus_block_ref){ .block = BLOCKS, .len = 1, .generation = 1 };
	assert_int_equal(ronbus_block_pin(bus.sub, &msg, &block), -EINVAL);
	ref = (struct ronbus_block_ref){ .block = 0, .len = SIZE + 1, .generation = 1 };
	assert_int_equal(ronbus_block_pin(bus.sub, &msg, &block), -EINVAL);
	msg.len = sizeof(ref) - 1;
	assert_int_equal(ronbus_block_pin(bus.sub, &msg, &block), -EINVAL);
	msg.data = NULL;
	assert_int_equal(ronbus_block_pin(bus.sub, &msg, &block), -EINVAL);
	bus_free(&bus);
}

static void nobody_there(void **state)
{
	struct ronbus_block block;
	struct bus bus;

	(void)state;
	bus_make(&bus, RONBUS_BUS_PERSISTENT, 1, 0);
	publish(&bus, 1);
	assert_int_equal(pin(&bus, 1, &block), 0);
	ronbus_sub_close(bus.sub);
	assert_int_equal(publish(&bus, 2), 0);
	assert_int_equal(counters(&bus).no_receivers_total, 1);
	assert_int_equal(counters(&bus).blocks_published_total, 1);
	assert_int_equal(ronbus_subscribe(bus.bus, NULL, &bus.sub), 0);
	bus_free(&bus);
}

static void defaults(void **state)
{
	const struct ronbus_options options = { .features = RONBUS_F_BLOCKS, .capacity = 32 };
	struct ronbus_info info;
	struct ronbus *bus;

	(void)state;
	assert_int_equal(ronbus_create(RONBUS_EMBEDDED, &options, &bus), 0);
	assert_int_equal(ronbus_bus_info(bus, &info), 0);
	assert_int_equal(info.block_size, RONBUS_BLOCK_SIZE_DEFAULT);
	assert_int_equal(info.blocks, 32);
	assert_true(info.blocks_bytes >= 32 * (RONBUS_BLOCK_SIZE_DEFAULT + 8));
	ronbus_close(bus);
}

/* Every kind of publisher, and messages without a block between. */
static void publishers(void **state)
{
	static const struct {
		__u32 flags;
		unsigned int how;
	} kinds[] = {
		{ 0, RONBUS_PUB_SINGLE },    { 0, RONBUS_PUB_SYSCALL },
		{ RONBUS_BUS_EXCLUSIVE, 0 }, { RONBUS_BUS_EXCLUSIVE, RONBUS_PUB_SYSCALL },
		{ RONBUS_BUS_MAP_NONE, 0 },
	};
	struct ronbus_block block;
	struct ronbus_msg msg;
	struct bus bus;
	__u64 i, got;
	size_t k;

	(void)state;
	for (k = 0; k < ARRAY_SIZE(kinds); k++) {
		bus_make(&bus, kinds[k].flags, BLOCKS, kinds[k].how);
		for (i = 0; i < 50; i++) {
			assert_int_equal(ronbus_publish(bus.pub, 1, &i, sizeof(i)), 1);
			assert_int_equal(publish(&bus, i), 1);
			assert_int_equal(ronbus_try_recv(bus.sub, &got, sizeof(got), &msg),
					 RONBUS_MESSAGE);
			assert_int_equal(got, i);
			assert_int_equal(pin(&bus, i, &block), 0);
			assert_true(is_filled(block.data, i));
			ronbus_block_unpin(bus.sub, &block);
		}
		assert_int_equal(counters(&bus).published_total, 100);
		bus_free(&bus);
	}
}

/* Whatever stands where pins belong: at worst there is no block. */
static void hostile_pins(void **state)
{
	__u64 seed = 0x2545f4914f6cdd1d;
	unsigned int i, k, dropped = 0;
	struct bus bus;

	(void)state;
	bus_make(&bus, 0, BLOCKS, 0);
	for (i = 0; i < 20000; i++) {
		for (k = 0; k < RONBUS_PINS_MAX; k++)
			RB_WRITE(&bus.sub->self->pins[k],
				 dice(&seed) % 3 ? dice(&seed) : dice(&seed) % (BLOCKS + 2));
		dropped += publish(&bus, i) == -ENOBUFS;
	}
	assert_int_equal(counters(&bus).blocks_dropped_total, dropped);
	assert_int_equal(counters(&bus).blocks_published_total, i - dropped);
	memset(bus.sub->self->pins, 0, sizeof(bus.sub->self->pins));
	assert_int_equal(publish(&bus, i), 1);
	bus_free(&bus);
}

/* ---- many threads --------------------------------------------------------------------- */

#define PUBLISHERS 2
#define READERS 3
#define MESSAGES 20000U

struct work {
	struct bus *bus;
	struct ronbus_sub *sub;
	unsigned int number;
	__u64 pinned;
	__u64 stale;
	__u64 dropped;
};

static void *publisher_thread(void *arg)
{
	struct work *work = arg;
	__u64 i;
	int ret;

	for (i = 0; i < MESSAGES; i++) {
		ret = publish(work->bus, (i << 8) | work->number);
		work->dropped += ret == -ENOBUFS;
		if (ret < 0 && ret != -ENOBUFS && ret != -EAGAIN)
			abort();
	}
	return NULL;
}

/* Keeps up to three blocks, and looks at each when it is pinned and when it is let go. */
static void *reader_thread(void *arg)
{
	struct work *work = arg;
	struct ronbus_block blocks[3] = { 0 };
	unsigned char buffer[RONBUS_PAYLOAD_DEFAULT];
	__u64 numbers[3] = { 0 }, at = 0;
	struct ronbus_msg msg;
	struct ronbus_sub *sub = work->sub;
	int ret;

	while ((ret = ronbus_recv(sub, buffer, sizeof(buffer), &msg, -1)) != RONBUS_CLOSED) {
		struct ronbus_block *block = &blocks[at % 3];

		if (ret != RONBUS_MESSAGE)
			continue;
		if (block->data && !is_filled(block->data, numbers[at % 3]))
			abort();
		ronbus_block_unpin(sub, block);
		ret = ronbus_block_pin(sub, &msg, block);
		if (ret == -ESTALE) {
			work->stale++;
			continue;
		}
		if (ret)
			abort();
		memcpy(&numbers[at % 3], buffer, sizeof(numbers[0]));
		if (!is_filled(block->data, numbers[at % 3]))
			abort();
		work->pinned++;
		at++;
	}
	return NULL;
}

static void stress_with(__u32 blocks)
{
	struct work publishers[PUBLISHERS] = { 0 }, readers[READERS] = { 0 };
	pthread_t pub_threads[PUBLISHERS], sub_threads[READERS];
	struct ronbus_sub *subs[READERS];
	__u64 dropped = 0, pinned = 0;
	struct ronbus_counters total;
	struct bus bus;
	unsigned int i;

	bus_make(&bus, 0, blocks, 0);
	for (i = 0; i < READERS; i++) {
		assert_int_equal(ronbus_subscribe(bus.bus, NULL, &subs[i]), 0);
		readers[i] = (struct work){ .sub = subs[i] };
		pthread_create(&sub_threads[i], NULL, reader_thread, &readers[i]);
	}
	for (i = 0; i < PUBLISHERS; i++) {
		publishers[i] = (struct work){ .bus = &bus, .number = i };
		pthread_create(&pub_threads[i], NULL, publisher_thread, &publishers[i]);
	}
	for (i = 0; i < PUBLISHERS; i++) {
		pthread_join(pub_threads[i], NULL);
		dropped += publishers[i].dropped;
	}
	total = counters(&bus);
	ronbus_pub_close(bus.pub);
	for (i = 0; i < READERS; i++) {
		pthread_join(sub_threads[i], NULL);
		pinned += readers[i].pinned;
		ronbus_sub_close(subs[i]);
	}
	assert_true(pinned > 0 || blocks == 1);
	assert_int_equal(total.blocks_dropped_total, dropped);
	assert_int_equal(total.blocks_published_total + total.blocks_dropped_total +
				 total.dropped_total,
			 PUBLISHERS * MESSAGES);
	ronbus_sub_close(bus.sub);
	ronbus_close(bus.bus);
}

/* Fewer blocks than slots, and hardly more than pins: all that can happen does. */
static void stress(void **state)
{
	(void)state;
	stress_with(PUBLISHERS + 3 * READERS + 1);
}

/* One block for two publishers: mostly it is being written, or read. */
static void stress_one_block(void **state)
{
	(void)state;
	stress_with(1);
}

/* ---- a publisher that is held up in the middle ------------------------------------------- */

static unsigned char *held_data;
static int held_up, let_go;

/* The data cannot be read yet: whoever copies it waits here. */
static void hold_up(int sig)
{
	(void)sig;
	__atomic_store_n(&held_up, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&let_go, __ATOMIC_SEQ_CST))
		sched_yield();
	mprotect(held_data, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE);
}

static void *held_main(void *arg)
{
	struct ronbus_pub *pub = arg;

	return (void *)(intptr_t)ronbus_publish_block(pub, 3, NULL, 0, held_data, SIZE);
}

struct late {
	struct ronbus_pub *pub;
	struct sigaction old;
	pthread_t thread;
};

/* A publisher that has taken a block, and waits for its data. */
static void late_begin(struct late *late, struct bus *bus)
{
	struct sigaction action = { .sa_handler = hold_up };

	assert_int_equal(ronbus_publisher(bus->bus, 0, &late->pub), 0);
	held_data = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(held_data, MAP_FAILED);
	held_up = let_go = 0;
	sigaction(SIGSEGV, &action, &late->old);
	assert_int_equal(pthread_create(&late->thread, NULL, held_main, late->pub), 0);
	while (!__atomic_load_n(&held_up, __ATOMIC_SEQ_CST))
		sched_yield();
}

/* Returns what its publish did. */
static int late_end(struct late *late)
{
	void *ret;

	__atomic_store_n(&let_go, 1, __ATOMIC_SEQ_CST);
	assert_int_equal(pthread_join(late->thread, &ret), 0);
	sigaction(SIGSEGV, &late->old, NULL);
	munmap(held_data, (size_t)sysconf(_SC_PAGESIZE));
	ronbus_pub_close(late->pub);
	return (int)(intptr_t)ret;
}

static struct ronbus_msg receive_into(struct ronbus_sub *sub, unsigned char *buffer)
{
	struct ronbus_msg msg;

	assert_int_equal(ronbus_try_recv(sub, buffer, RONBUS_PAYLOAD_DEFAULT, &msg),
			 RONBUS_MESSAGE);
	return msg;
}

/*
 * It fails in the end, when others have published: what they published is newer than what comes next
 * in turn, and stays.
 */
static void failed_among_others(void **state)
{
	unsigned char buffers[3][RONBUS_PAYLOAD_DEFAULT];
	struct ronbus_claim claim;
	struct ronbus_pub *holder;
	struct ronbus_block block;
	struct ronbus_msg msgs[3];
	struct late late;
	struct bus bus;
	__u64 i;

	(void)state;
	bus_make(&bus, 0, 8, 0);
	assert_int_equal(ronbus_publisher(bus.bus, 0, &holder), 0);
	late_begin(&late, &bus);
	for (i = 0; i < 3; i++) {
		assert_int_equal(publish(&bus, i), 1);
		msgs[i] = receive_into(bus.sub, buffers[i]);
	}
	/* Every slot is held now: there is no place for its message. */
	claim = (struct ronbus_claim){ .pos = ronbus_ring_hint(&holder->ring) };
	for (i = 0; i < 16; i++, claim.pos++)
		assert_int_equal(ronbus_ring_claim(&holder->ring, &claim, holder->id, 99), 0);
	assert_int_equal(late_end(&late), -EAGAIN);
	ronbus_pub_close(holder);

	for (i = 3; i < 7; i++)
		assert_int_equal(publish(&bus, i), 1);
	for (i = 0; i < 3; i++) {
		assert_int_equal(ronbus_block_pin(bus.sub, &msgs[i], &block), 0);
		assert_true(is_filled(block.data, i));
		ronbus_block_unpin(bus.sub, &block);
	}
	bus_free(&bus);
}

/* It is published when others have used all other blocks: now it is the newest, and stays. */
static void late_among_others(void **state)
{
	unsigned char buffer[RONBUS_PAYLOAD_DEFAULT];
	struct ronbus_block block;
	struct ronbus_msg msg;
	struct late late;
	struct bus bus;
	__u64 i;

	(void)state;
	bus_make(&bus, 0, 8, 0);
	late_begin(&late, &bus);
	for (i = 0; i < 7; i++)
		assert_int_equal(publish(&bus, i), 1);
	assert_int_equal(late_end(&late), 1);
	assert_int_equal(publish(&bus, i), 1);

	assert_int_equal(pin(&bus, 0, &block), -ESTALE);
	for (i = 1; i < 7; i++) {
		assert_int_equal(pin(&bus, i, &block), 0);
		ronbus_block_unpin(bus.sub, &block);
	}
	msg = receive_into(bus.sub, buffer);
	assert_int_equal(msg.len, sizeof(struct ronbus_block_ref));
	assert_int_equal(ronbus_block_pin(bus.sub, &msg, &block), 0);
	bus_free(&bus);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_turn),	     cmocka_unit_test(stalled_reader),
		cmocka_unit_test(pinned_stays),	     cmocka_unit_test(dying),
		cmocka_unit_test(exhausted),	     cmocka_unit_test(pins_run_out),
		cmocka_unit_test(refused),	     cmocka_unit_test(nobody_there),
		cmocka_unit_test(defaults),	     cmocka_unit_test(publishers),
		cmocka_unit_test(hostile_pins),	     cmocka_unit_test(stress),
		cmocka_unit_test(stress_one_block),  cmocka_unit_test(failed_among_others),
		cmocka_unit_test(late_among_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
