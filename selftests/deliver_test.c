// SPDX-License-Identifier: GPL-2.0
/*
 * What subscribers get: everything, in order, whole; or, if they are slow, word of exactly how
 * much they lost.
 */
#include "deliver.h"

FIXTURE(deliver)
{
	int control;
	int bus;
	struct publisher pub;
	u64 cap;
	u64 seed;
};

FIXTURE_VARIANT(deliver)
{
	struct way way;
	u32 capacity;
};

#define CAPACITIES(name, ...)                                               \
	FIXTURE_VARIANT_ADD(deliver, name##_4){ { __VA_ARGS__ }, 4 };       \
	FIXTURE_VARIANT_ADD(deliver, name##_64){ { __VA_ARGS__ }, 64 };     \
	FIXTURE_VARIANT_ADD(deliver, name##_4096){ { __VA_ARGS__ }, 4096 }; \
	FIXTURE_VARIANT_ADD(deliver, name##_65536){ { __VA_ARGS__ }, 65536 };

CAPACITIES(many_baseline, MANY, BASELINE)
CAPACITIES(many_edge, MANY, EDGE)
CAPACITIES(exclusive_baseline, EXCLUSIVE, BASELINE)
CAPACITIES(exclusive_edge, EXCLUSIVE, EDGE)
CAPACITIES(syscall_baseline, SYSCALL, BASELINE)
CAPACITIES(syscall_edge, SYSCALL, EDGE)

FIXTURE_SETUP(deliver)
{
	self->control = OPEN_CONTROL();
	self->cap = variant->capacity;
	self->bus =
		bus_create(self->control, (struct ronbus_create){ .flags = variant->way.bus_flags,
								  .features = variant->way.features,
								  .capacity = variant->capacity,
								  .payload = LEN });
	ASSERT_LE(0, self->bus);
	ASSERT_EQ(0, publisher_join(&self->pub, self->bus, variant->way.publisher_flags));
}

FIXTURE_TEARDOWN(deliver)
{
	if (_metadata->exit_code == KSFT_FAIL && self->seed)
		TH_LOG("to repeat it: RONBUS_SEED=%llu", (unsigned long long)self->seed);
	publisher_leave(&self->pub);
	close(self->bus);
	close(self->control);
}

#define PUBLISH(first, n) ASSERT_EQ(n, (u64)publish_numbers(&self->pub, first, n, LEN, 64))

/* The next message is this one. */
#define EXPECT_MESSAGE(read, s, number, pos, loss)                   \
	do {                                                         \
		struct message __msg;                                \
		ASSERT_EQ(1, read(s, &__msg))                        \
		TH_LOG("number %llu", (unsigned long long)(number)); \
		ASSERT_EQ(pos, __msg.position);                      \
		ASSERT_EQ(loss, __msg.lost);                         \
		ASSERT_EQ(LEN, __msg.len);                           \
		ASSERT_EQ(0, __msg.topic);                           \
		ASSERT_EQ(self->pub.id, __msg.publisher);            \
		ASSERT_TRUE(message_whole(__msg.data, LEN, number))  \
		TH_LOG("number %llu", (unsigned long long)(number)); \
	} while (0)

#define EXPECT_NO_MESSAGE(read, s)                   \
	do {                                         \
		struct message __msg;                \
		ASSERT_EQ(-EAGAIN, read(s, &__msg)); \
	} while (0)

/* Several laps; the reader is never more than a lap late. */
TEST_F(deliver, in_order)
{
	u64 total = self->cap <= 4096 ? 3 * self->cap + 7 : self->cap + 7;
	u64 sent = 0, read = 0;
	struct subscriber s, k;

	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_LATEST, 0));
	ASSERT_EQ(0, subscriber_join(&k, self->bus, RONBUS_START_LATEST, 0));
	ASSERT_EQ(0, fd_nonblock(k.m.fd));
	EXPECT_EQ(self->cap, s.start);
	EXPECT_NO_MESSAGE(subscriber_read, &s);
	EXPECT_NO_MESSAGE(subscriber_read_kernel, &k);
	while (sent < total) {
		/* Bursts of 1, 2, 3, ... up to a whole lap. */
		u64 burst = sent % self->cap + 1;

		if (burst > total - sent)
			burst = total - sent;
		PUBLISH(sent, burst);
		sent += burst;
		for (; read < sent; read++) {
			EXPECT_MESSAGE(subscriber_read, &s, read, self->cap + read, 0);
			EXPECT_MESSAGE(subscriber_read_kernel, &k, read, self->cap + read, 0);
		}
		EXPECT_NO_MESSAGE(subscriber_read, &s);
		EXPECT_NO_MESSAGE(subscriber_read_kernel, &k);
	}
	EXPECT_EQ(total, s.m.self->delivered);
	EXPECT_EQ(total, k.m.self->delivered);
	EXPECT_EQ(0, s.m.self->lags + k.m.self->lags);
	EXPECT_TRUE(subscriber_identity(&s));
	EXPECT_TRUE(subscriber_identity(&k));
	subscriber_leave(&s);
	subscriber_leave(&k);
}

/* Overtaken by so many positions: that is what was lost, and the newest lap is all there. */
TEST_F(deliver, exact_lag)
{
	u64 excess[] = { 0, 1, 2, self->cap - 1, self->cap, self->cap + 1, 3 * self->cap + 2 };
	size_t i, rounds = self->cap <= 64 ? ARRAY_SIZE(excess) : 2;
	u64 sent = 0, lost = 0, n;
	struct subscriber s, k;

	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_LATEST, 0));
	ASSERT_EQ(0, subscriber_join(&k, self->bus, RONBUS_START_LATEST, 0));
	ASSERT_EQ(0, fd_nonblock(k.m.fd));
	for (i = 0; i < rounds; i++) {
		PUBLISH(sent, self->cap + excess[i]);
		sent += self->cap + excess[i];
		lost += excess[i];
		for (n = 0; n < self->cap; n++) {
			u64 number = sent - self->cap + n;
			u64 loss = n ? 0 : excess[i];

			EXPECT_MESSAGE(subscriber_read, &s, number, self->cap + number, loss);
			EXPECT_MESSAGE(subscriber_read_kernel, &k, number, self->cap + number,
				       loss);
		}
		EXPECT_NO_MESSAGE(subscriber_read, &s);
		EXPECT_NO_MESSAGE(subscriber_read_kernel, &k);
	}
	EXPECT_EQ(rounds - 1, s.m.self->lags);
	EXPECT_EQ(rounds - 1, k.m.self->lags);
	EXPECT_EQ(lost, s.m.self->lost);
	EXPECT_EQ(lost, k.m.self->lost);
	EXPECT_EQ(rounds * self->cap, s.m.self->delivered);
	EXPECT_EQ(rounds * self->cap, k.m.self->delivered);
	EXPECT_TRUE(subscriber_identity(&s));
	EXPECT_TRUE(subscriber_identity(&k));
	subscriber_leave(&s);
	subscriber_leave(&k);
}

/*
 * Any mixture of publishing and reading has one right outcome: a reader is at its cursor, or a lap
 * too late for the ring if it was slower.
 */
TEST_F(deliver, any_mixture)
{
	u64 random = self->seed = random_seed(), sent = 0, next[2] = { 0 };
	struct subscriber s[2];
	int i, which;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, subscriber_join(&s[i], self->bus, RONBUS_START_LATEST, 0));
	}
	ASSERT_EQ(0, fd_nonblock(s[1].m.fd));
	for (i = 0; i < 600; i++) {
		u64 n;

		random = random_next(random);
		n = (random >> 40) % (self->cap <= 64 ? 2 * self->cap : 100) + 1;
		if (random >> 33 & 1) {
			PUBLISH(sent, n);
			sent += n;
			continue;
		}
		which = random >> 32 & 1;
		for (; n; n--) {
			u64 *cursor = &next[which], loss = 0;

			if (*cursor == sent) {
				if (which) {
					EXPECT_NO_MESSAGE(subscriber_read_kernel, &s[1]);
				} else {
					EXPECT_NO_MESSAGE(subscriber_read, &s[0]);
				}
				break;
			}
			if (sent - *cursor > self->cap) {
				loss = sent - self->cap - *cursor;
				*cursor += loss;
			}
			if (which) {
				EXPECT_MESSAGE(subscriber_read_kernel, &s[1], *cursor,
					       self->cap + *cursor, loss);
			} else {
				EXPECT_MESSAGE(subscriber_read, &s[0], *cursor, self->cap + *cursor,
					       loss);
			}
			++*cursor;
		}
	}
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(self->cap + next[i], subscriber_cursor(&s[i]));
		EXPECT_TRUE(subscriber_identity(&s[i]));
		subscriber_leave(&s[i]);
	}
}

TEST_F(deliver, late_join)
{
	u64 n, old = self->cap / 2, tail = self->cap + old;
	struct subscriber first, s;
	struct ronbus_subscribe args;

	ASSERT_EQ(0, subscriber_join(&first, self->bus, RONBUS_START_LATEST, 0));
	PUBLISH(0, old);

	/* After all that was published before. */
	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_LATEST, 0));
	EXPECT_EQ(tail, s.start);
	EXPECT_EQ(tail, subscriber_cursor(&s));
	EXPECT_NO_MESSAGE(subscriber_read, &s);
	subscriber_leave(&s);

	/* With the oldest there is: the first of all, as long as it is there. */
	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_OLDEST, 0));
	EXPECT_EQ(self->cap, s.start);
	for (n = 0; n < old; n++) {
		EXPECT_MESSAGE(subscriber_read, &s, n, self->cap + n, 0);
	}
	EXPECT_NO_MESSAGE(subscriber_read, &s);
	subscriber_leave(&s);
	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_OLDEST, 0));
	ASSERT_EQ(0, fd_nonblock(s.m.fd));
	for (n = 0; n < old; n++) {
		EXPECT_MESSAGE(subscriber_read_kernel, &s, n, self->cap + n, 0);
	}
	EXPECT_NO_MESSAGE(subscriber_read_kernel, &s);
	subscriber_leave(&s);

	/* At a position. */
	for (n = 0; n <= old; n += n + 1 < old ? old - 1 : 1) {
		ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_AT, self->cap + n));
		EXPECT_EQ(self->cap + n, s.start);
		if (n < old) {
			EXPECT_MESSAGE(subscriber_read, &s, n, self->cap + n, 0);
		} else {
			EXPECT_NO_MESSAGE(subscriber_read, &s);
		}
		subscriber_leave(&s);
	}
	EXPECT_EQ(-ERANGE, fd_subscribe(self->bus, RONBUS_START_AT, self->cap - 1, &args));
	EXPECT_EQ(-ERANGE, fd_subscribe(self->bus, RONBUS_START_AT, 0, &args));
	EXPECT_EQ(-ERANGE, fd_subscribe(self->bus, RONBUS_START_AT, tail + 1, &args));
	EXPECT_EQ(-ERANGE, fd_subscribe(self->bus, RONBUS_START_AT, ~0ULL, &args));

	/* The same when the first are gone. */
	PUBLISH(old, self->cap);
	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_OLDEST, 0));
	EXPECT_EQ(tail, s.start);
	EXPECT_MESSAGE(subscriber_read, &s, old, tail, 0);
	subscriber_leave(&s);
	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_AT, self->cap + 1));
	EXPECT_EQ(self->cap + 1, s.start);
	EXPECT_MESSAGE(subscriber_read, &s, old, tail, old - 1);
	EXPECT_TRUE(subscriber_identity(&s));
	subscriber_leave(&s);
	subscriber_leave(&first);
}

/* Messages that nobody wants leave no trace but a number. */
TEST_F(deliver, nobody_listens)
{
	struct ronbus_stats stats;
	struct subscriber s;
	u64 i;

	PUBLISH(0, 100);
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(self->cap, stats.tail);
	EXPECT_EQ(100, stats.counters.no_receivers_total);
	EXPECT_EQ(0, stats.counters.published_total);
	EXPECT_EQ(0, stats.counters.addressed_total);

	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_OLDEST, 0));
	EXPECT_EQ(self->cap, s.start);
	EXPECT_NO_MESSAGE(subscriber_read, &s);
	EXPECT_EQ(self->cap, ronbus_ring_hint(&s.m.ring));
	for (i = 0; i < self->cap; i++) {
		const struct ronbus_words at = ronbus_ring_at(&s.m.ring, i);
		const struct ronbus_seen seen = ronbus_words_see(&at);

		ASSERT_EQ(0, seen.state | *at.hole);
		ASSERT_EQ(0, ronbus_words_ready(&at, seen) | ronbus_words_len(&at, seen) |
				     ronbus_words_topic(&at, seen));
		ASSERT_EQ(0, *ronbus_words_payload(&at, seen));
	}
	PUBLISH(100, 2);
	EXPECT_MESSAGE(subscriber_read, &s, 100, self->cap, 0);
	subscriber_leave(&s);

	/* The last one left: nobody again. */
	PUBLISH(102, 50);
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(self->cap + 2, stats.tail);
	EXPECT_EQ(150, stats.counters.no_receivers_total);
	EXPECT_EQ(2, stats.counters.published_total);
}

/* What was published before the end is read before the end is told. */
TEST_F(deliver, end_of_bus)
{
	struct subscriber s, k;
	struct ronbus_info info;
	struct message msg;

	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_LATEST, 0));
	ASSERT_EQ(0, subscriber_join(&k, self->bus, RONBUS_START_LATEST, 0));
	PUBLISH(0, 3);
	EXPECT_EQ(POLLIN, fd_poll(k.m.fd, POLLIN));
	publisher_leave(&self->pub);
	ASSERT_EQ(0, fd_info(self->bus, &info));
	EXPECT_EQ(RONBUS_STATUS_ENDED, info.status);
	EXPECT_EQ(RONBUS_STATUS_ENDED, s.m.page->status);
	EXPECT_EQ(POLLIN | POLLHUP, fd_poll(k.m.fd, POLLIN));
	EXPECT_EQ(0, fd_wait(k.m.fd, 0));
	EXPECT_EQ(1, fd_arm(k.m.fd));
	EXPECT_MESSAGE(subscriber_read, &s, 0, self->cap, 0);
	EXPECT_MESSAGE(subscriber_read, &s, 1, self->cap + 1, 0);
	EXPECT_MESSAGE(subscriber_read, &s, 2, self->cap + 2, 0);
	EXPECT_EQ(0, subscriber_read(&s, &msg));
	EXPECT_MESSAGE(subscriber_read_kernel, &k, 0, self->cap, 0);
	EXPECT_MESSAGE(subscriber_read_kernel, &k, 1, self->cap + 1, 0);
	EXPECT_MESSAGE(subscriber_read_kernel, &k, 2, self->cap + 2, 0);
	EXPECT_EQ(0, subscriber_read_kernel(&k, &msg));
	EXPECT_EQ(0, subscriber_read_kernel(&k, &msg));
	EXPECT_EQ(POLLHUP, fd_poll(k.m.fd, POLLIN));
	EXPECT_EQ(0, fd_wait(k.m.fd, RONBUS_WAIT_FOREVER));
	EXPECT_EQ(1, fd_arm(k.m.fd));
	EXPECT_EQ(-ESHUTDOWN, fd_publisher(self->bus, 0, NULL));
	EXPECT_EQ(-ESHUTDOWN, fd_publisher(self->bus, RONBUS_PUBLISHER_MAPPED, NULL));
	subscriber_leave(&k);

	/* A subscriber that comes now still finds what is left. */
	ASSERT_EQ(0, subscriber_join(&k, self->bus, RONBUS_START_OLDEST, 0));
	EXPECT_MESSAGE(subscriber_read_kernel, &k, 0, self->cap, 0);
	subscriber_leave(&k);
	subscriber_leave(&s);
}

/* ---- as many subscribers as there may be, and one more ---------------------------------- */

FIXTURE(fanout)
{
	int control;
	int bus;
	struct publisher pub;
	u64 cap;
};

FIXTURE_VARIANT(fanout)
{
	struct way way;
	u32 subscribers;
};

#define SUBSCRIBERS(name, ...)                                         \
	FIXTURE_VARIANT_ADD(fanout, name##_0){ { __VA_ARGS__ }, 0 };   \
	FIXTURE_VARIANT_ADD(fanout, name##_1){ { __VA_ARGS__ }, 1 };   \
	FIXTURE_VARIANT_ADD(fanout, name##_63){ { __VA_ARGS__ }, 63 }; \
	FIXTURE_VARIANT_ADD(fanout, name##_64){ { __VA_ARGS__ }, 64 }; \
	FIXTURE_VARIANT_ADD(fanout, name##_65){ { __VA_ARGS__ }, 65 };

SUBSCRIBERS(many_baseline, MANY, BASELINE)
SUBSCRIBERS(many_edge, MANY, EDGE)
SUBSCRIBERS(exclusive_baseline, EXCLUSIVE, BASELINE)
SUBSCRIBERS(exclusive_edge, EXCLUSIVE, EDGE)
SUBSCRIBERS(syscall_baseline, SYSCALL, BASELINE)
SUBSCRIBERS(syscall_edge, SYSCALL, EDGE)

FIXTURE_SETUP(fanout)
{
	self->control = OPEN_CONTROL();
	self->cap = 64;
	self->bus =
		bus_create(self->control, (struct ronbus_create){ .flags = variant->way.bus_flags,
								  .features = variant->way.features,
								  .capacity = 64,
								  .payload = LEN });
	ASSERT_LE(0, self->bus);
	ASSERT_EQ(0, publisher_join(&self->pub, self->bus, variant->way.publisher_flags));
}

FIXTURE_TEARDOWN(fanout)
{
	publisher_leave(&self->pub);
	close(self->bus);
	close(self->control);
}

TEST_F(fanout, everybody_gets_everything)
{
	u32 n = variant->subscribers < 64 ? variant->subscribers : 64;
	u64 all = n == 64 ? ~0ULL : (1ULL << n) - 1;
	static struct subscriber s[64];
	struct ronbus_stats stats;
	struct ronbus_info info;
	struct message msg;
	u32 i, k;

	for (i = 0; i < n; i++) {
		ASSERT_EQ(0, subscriber_join(&s[i], self->bus, RONBUS_START_LATEST, 0));
		ASSERT_EQ(i, s[i].index);
	}
	if (variant->subscribers > 64) {
		EXPECT_EQ(-ENOSPC, fd_subscribe(self->bus, RONBUS_START_LATEST, 0, NULL));
		EXPECT_EQ(-ENOSPC, fd_subscribe(self->bus, RONBUS_START_OLDEST, 0, NULL));
	}
	ASSERT_EQ(0, fd_info(self->bus, &info));
	EXPECT_EQ(all, info.subscribers);
	for (i = 0; n && i < RONBUS_TOPICS_MAX; i++) {
		EXPECT_EQ(all, s[0].m.page->audience[i]);
	}

	PUBLISH(0, 80);
	for (i = 0; i < n; i++) {
		for (k = 16; k < 80; k++) {
			EXPECT_MESSAGE(subscriber_read, &s[i], k, 64 + k, k == 16 ? 16 : 0);
		}
		EXPECT_EQ(-EAGAIN, subscriber_read(&s[i], &msg));
		EXPECT_TRUE(subscriber_identity(&s[i]));
	}
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(n ? 80 : 0, stats.counters.published_total);
	EXPECT_EQ(n ? 0 : 80, stats.counters.no_receivers_total);
	EXPECT_EQ(80 * n, stats.counters.addressed_total);
	EXPECT_EQ(64 * n, stats.counters.delivered_total);
	EXPECT_EQ(16 * n, stats.counters.overflow_dropped_total);
	EXPECT_EQ(n, stats.counters.receiver_lag_total);

	/* A place that becomes free is the next one's, whatever the one before left there. */
	if (n) {
		u32 free = n / 2;

		subscriber_leave(&s[free]);
		ASSERT_EQ(0, fd_info(self->bus, &info));
		EXPECT_EQ(all & ~(1ULL << free), info.subscribers);
		PUBLISH(80, 1);
		ASSERT_EQ(0, subscriber_join(&s[free], self->bus, RONBUS_START_LATEST, 0));
		EXPECT_EQ(free, s[free].index);
		EXPECT_EQ(64 + (n > 1 ? 81 : 80), s[free].start);
		EXPECT_EQ(0, s[free].m.self->delivered);
		EXPECT_EQ(-EAGAIN, subscriber_read(&s[free], &msg));
	}
	for (i = 0; i < n; i++)
		subscriber_leave(&s[i]);
}

/* ---- messages of any length ------------------------------------------------------------- */

FIXTURE(payload)
{
	int control;
	int bus;
	struct publisher pub;
};

FIXTURE_VARIANT(payload)
{
	struct way way;
	u32 payload;
};

#define PAYLOADS(name, ...)                                                     \
	FIXTURE_VARIANT_ADD(payload, name##_8){ { __VA_ARGS__, EDGE }, 8 };     \
	FIXTURE_VARIANT_ADD(payload, name##_32){ { __VA_ARGS__, EDGE }, 32 };   \
	FIXTURE_VARIANT_ADD(payload, name##_256){ { __VA_ARGS__, EDGE }, 256 }; \
	FIXTURE_VARIANT_ADD(payload, name##_4096){ { __VA_ARGS__, EDGE }, 4096 };

PAYLOADS(many, MANY)
PAYLOADS(exclusive, EXCLUSIVE)
PAYLOADS(syscall, SYSCALL)

FIXTURE_SETUP(payload)
{
	self->control = OPEN_CONTROL();
	self->bus =
		bus_create(self->control, (struct ronbus_create){ .flags = variant->way.bus_flags,
								  .features = variant->way.features,
								  .capacity = 64,
								  .payload = variant->payload });
	ASSERT_LE(0, self->bus);
	ASSERT_EQ(0, publisher_join(&self->pub, self->bus, variant->way.publisher_flags));
}

FIXTURE_TEARDOWN(payload)
{
	publisher_leave(&self->pub);
	close(self->bus);
	close(self->control);
}

TEST_F(payload, every_length)
{
	u32 max = variant->payload, round, len, topic, i;
	struct {
		struct ronbus_record head;
		unsigned char data[RONBUS_PAYLOAD_MAX + 8];
	} record;
	struct subscriber s, k;
	unsigned char data[RONBUS_PAYLOAD_MAX];
	struct ronbus_vec vec = { .data = (uintptr_t)data };
	struct message msg;

	ASSERT_EQ(0, subscriber_join(&s, self->bus, RONBUS_START_LATEST, 0));
	ASSERT_EQ(0, subscriber_join(&k, self->bus, RONBUS_START_LATEST, 0));
	ASSERT_EQ(0, fd_nonblock(k.m.fd));
	/* Up, and down again: the rest of a longer message is never seen. */
	for (round = 0; round < 2 * max;
	     round += round % max < 40 || round % max + 41 > max ? 1 : 40) {
		long want;

		len = round < max ? round : 2 * max - round;
		want = (long)(sizeof(record.head) + ((len + 7) & ~7U));
		for (i = 0; i < max; i++)
			data[i] = (unsigned char)((i * 7 + len) | 1);
		topic = len % RONBUS_TOPICS_MAX;
		vec.len = len;
		ASSERT_EQ(1, publisher_send(&self->pub, topic, &vec, 1));

		memset(&msg, POISON, sizeof(msg));
		ASSERT_EQ(1, subscriber_read(&s, &msg));
		EXPECT_EQ(len, msg.len);
		EXPECT_EQ(topic, msg.topic);
		EXPECT_EQ(0, memcmp(msg.data, data, len));

		poison(record);
		ASSERT_EQ(want, fd_read(k.m.fd, &record, (size_t)want));
		EXPECT_EQ(subscriber_cursor(&k) - 1, record.head.position);
		EXPECT_EQ(len, record.head.len);
		EXPECT_EQ(topic, record.head.topic);
		EXPECT_EQ(self->pub.id, record.head.publisher);
		EXPECT_EQ(0, record.head.lost);
		EXPECT_EQ(0, memcmp(record.data, data, len));
		for (i = len; i < ((len + 7) & ~7U); i++) {
			EXPECT_EQ(0, record.data[i]);
		}
		EXPECT_EQ(POISON, record.data[i]);
	}
	subscriber_leave(&s);
	subscriber_leave(&k);
}

TEST_HARNESS_MAIN
