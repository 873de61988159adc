// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * case_topics.c - a stream of many topics of which each subscriber wants some, in one thread: the
 * bus passes over the rest (RONBUS_F_INTEREST), or the reader does, message by message
 */
#include "bus.h"
#include "cases.h"

#define ROUNDS 16U /* bursts a sample */

struct stream {
	struct bus *bus;
	unsigned char topics[ROUNDS][TOPICS_BURST]; /* of the messages of a sample */
	unsigned int count[ROUNDS][RONBUS_TOPICS_MAX]; /* messages of each topic in a burst */
};

/* What a reader has made of a burst. */
struct reading {
	__u64 topics;
	unsigned int count;
	__u64 sum;
};

static void *topics_setup(struct cell *cell)
{
	struct stream *stream = calloc(1, sizeof(*stream));
	unsigned int round, i;

	if (!stream || cell->burst > sizeof(stream->topics[0]))
		die("%s: cannot be set up", cell->name);
	stream->bus = bus_open(cell);
	if (!stream->bus) {
		free(stream);
		return NULL;
	}
	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < cell->burst; i++) {
			unsigned int topic = bus_topic(cell, round * cell->burst + i);

			stream->topics[round][i] = (unsigned char)topic;
			stream->count[round][topic]++;
		}
	}
	return stream;
}

static void topics_teardown(struct cell *cell, void *state)
{
	struct stream *stream = state;

	bus_close(cell, stream->bus);
	free(stream);
}

static NOINLINE void publish(const struct cell *cell, struct bus *bus, const unsigned char *topics)
{
	unsigned int i;

	for (i = 0; i < cell->burst; i++) {
		bus->message.words[0] = i;
		forget();
		ronbus_publish(bus->pub, topics[i], bus->message.words, 32);
	}
}

/* What a program does with a message is more than what a compiler makes an addition of. */
static NOINLINE void use(struct reading *reading, const struct ronbus_msg *msg)
{
	reading->sum += *(const __u64 *)msg->data;
	reading->count++;
}

static int read_one(void *arg, int what, const struct ronbus_msg *msg)
{
	struct reading *reading = arg;

	if (what == RONBUS_MESSAGE && reading->topics >> msg->topic & 1)
		use(reading, msg);
	return 0;
}

static NOINLINE unsigned int read_all(struct ronbus_sub *sub, __u64 topics, unsigned int budget)
{
	struct reading reading = { .topics = topics };

	while (ronbus_drain(sub, read_one, &reading, budget, 0) > 0)
		;
	__asm__ volatile("" ::"r"(reading.sum));
	return reading.count;
}

/* How many messages of a round are of these topics. */
static unsigned int count_of(const struct stream *stream, unsigned int round, __u64 topics)
{
	unsigned int topic, count = 0;

	for (topic = 0; topic < RONBUS_TOPICS_MAX; topic++)
		count += topics >> topic & 1 ? stream->count[round][topic] : 0;
	return count;
}

/* Every subscriber reads what is there; returns what that took. */
static uint64_t read_round(const struct cell *cell, const struct stream *stream, unsigned int round)
{
	uint64_t begin, took = 0;
	unsigned int i, got;

	for (i = 0; i < stream->bus->nr_subs; i++) {
		__u64 topics = bus_topics(cell, i);

		begin = now_ns();
		got = read_all(stream->bus->subs[i], topics, 2 * cell->capacity);
		took += now_ns() - begin;
		if (got != count_of(stream, round, topics))
			die("%s: a subscriber got %u messages", cell->name, got);
	}
	return took;
}

static void topics_sample(struct cell *cell, void *state, double *values)
{
	unsigned int round, messages = ROUNDS * cell->burst;
	double looks = ROUNDS * settings.clock_ns;
	uint64_t begin, publishing = 0, reading = 0;
	struct stream *stream = state;

	for (round = 0; round < ROUNDS; round++) {
		begin = now_ns();
		publish(cell, stream->bus, stream->topics[round]);
		publishing += now_ns() - begin;
		reading += read_round(cell, stream, round);
	}
	values[0] = ((double)publishing - looks) / messages;
	values[1] = values[0] + ((double)reading - looks * cell->subscribers) / messages;
}

const struct cell_ops topics_ops = {
	.name = "topics",
	.what = "one thread: a burst of many topics, then every subscriber reads those it wants",
	.setup = topics_setup,
	.sample = topics_sample,
	.teardown = topics_teardown,
};
