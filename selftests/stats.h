/* SPDX-License-Identifier: GPL-2.0 */
/* Every counter by its name, and a bus whose counters move. */
#ifndef RONBUS_STATS_TEST_H
#define RONBUS_STATS_TEST_H

#include "ronbus_kselftest.h"
#include "ronbus_counters.h"

#define SLOTS 8U
#define LEN 32U

/* Every counter, under the name it has everywhere. */
static struct {
	char name[64];
	size_t offset;
} counters[sizeof(struct ronbus_counters) / sizeof(u64)];

static void add_counter(const char *name, const char *label, size_t offset)
{
	size_t i = offset / sizeof(u64);

	snprintf(counters[i].name, sizeof(counters[i].name), label ? "bus_%s{%s}" : "bus_%s", name,
		 label);
	counters[i].offset = offset;
}

/* Each word has a name, or a member has no line in the list of counters. */
__attribute__((constructor)) static void fill_counters(void)
{
	size_t i;

#define PLAIN(name, ...) add_counter(#name, NULL, offsetof(struct ronbus_counters, name));
#define LABELLED(name, of, help, key, ...)                                                        \
	{                                                                                         \
		static const char *const labels[] = { __VA_ARGS__ };                              \
		_Static_assert(ARRAY_SIZE(((struct ronbus_counters *)0)->name) ==                 \
				       ARRAY_SIZE(labels),                                        \
			       "labels of " #name);                                               \
		for (i = 0; i < ARRAY_SIZE(labels); i++)                                          \
			add_counter(#name, labels[i], offsetof(struct ronbus_counters, name[i])); \
	}
	RONBUS_COUNTERS(PLAIN, LABELLED)
#undef LABELLED
#undef PLAIN
	for (i = 0; i < ARRAY_SIZE(counters); i++)
		if (!counters[i].name[0]) {
			fprintf(stderr, "word %zu of the counters has no name\n", i);
			exit(KSFT_FAIL);
		}
}

static inline u64 counter(const struct ronbus_counters *c, size_t i)
{
	u64 value;

	memcpy(&value, (const char *)c + counters[i].offset, sizeof(value));
	return value;
}

FIXTURE(stats)
{
	int control;
	int bus;
	struct publisher pub;
	struct subscriber s;
	struct ronbus_counters last; /* as of the last look */
};

FIXTURE_VARIANT(stats)
{
	u64 features;
	u32 publisher;
};

FIXTURE_VARIANT_ADD(stats, mapped_baseline){ 0, RONBUS_PUBLISHER_MAPPED };
FIXTURE_VARIANT_ADD(stats, mapped_edge){ RONBUS_F_EDGE_NOTIFY, RONBUS_PUBLISHER_MAPPED };
FIXTURE_VARIANT_ADD(stats, syscall_baseline){ 0, 0 };
FIXTURE_VARIANT_ADD(stats, syscall_edge){ RONBUS_F_EDGE_NOTIFY, 0 };
FIXTURE_VARIANT_ADD(stats, mapped_edge_batch){ RONBUS_F_EDGE_NOTIFY | RONBUS_F_BATCH,
					       RONBUS_PUBLISHER_MAPPED };
FIXTURE_VARIANT_ADD(stats, syscall_batch){ RONBUS_F_BATCH, 0 };
FIXTURE_VARIANT_ADD(stats, syscall_edge_batch){ RONBUS_F_EDGE_NOTIFY | RONBUS_F_BATCH, 0 };

FIXTURE_SETUP(stats)
{
	self->control = OPEN_CONTROL();
	self->bus =
		bus_create(self->control, (struct ronbus_create){ .features = variant->features,
								  .flags = RONBUS_BUS_PERSISTENT,
								  .capacity = SLOTS,
								  .payload = LEN,
								  .name = "stats-test" });
	ASSERT_LE(0, self->bus);
	ASSERT_EQ(0, publisher_join(&self->pub, self->bus, variant->publisher));
	ASSERT_EQ(0, subscriber_join(&self->s, self->bus, RONBUS_START_LATEST, 0));
	ASSERT_EQ(0, fd_nonblock(self->s.m.fd));
}

FIXTURE_TEARDOWN(stats)
{
	subscriber_leave(&self->s);
	publisher_leave(&self->pub);
	close(self->bus);
	close(self->control);
}

#endif /* RONBUS_STATS_TEST_H */
