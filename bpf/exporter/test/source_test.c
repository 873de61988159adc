// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * source_test.c - counters by system call, of a bus that is embedded in this process
 */
#include "test.h"

static struct names names;

static int add_names(void **state)
{
	(void)state;
	return names_add(&names, "first") || names_add(&names, "second") ||
	       names_add(&names, "first");
}

static int free_names(void **state)
{
	(void)state;
	free(names.name);
	return 0;
}

static struct ronbus *make_bus(const char *name)
{
	struct ronbus_options options = { .name = name, .capacity = 8 };
	struct ronbus *bus;

	assert_int_equal(ronbus_create(RONBUS_EMBEDDED, &options, &bus), 0);
	return bus;
}

static struct source *open_source(void)
{
	struct source *source;

	assert_int_equal(source_stats_open(RONBUS_EMBEDDED, &names, &source), 0);
	return source;
}

static void says_what_stats_says(void **state)
{
	struct source *source = open_source();
	struct ronbus *bus = make_bus("first");
	struct ronbus_pub *pub;
	struct ronbus_sub *subs[3];
	struct ronbus_stats stats;
	struct snapshot snapshot;
	unsigned int i;

	(void)state;
	assert_int_equal(ronbus_publisher(bus, 0, &pub), 0);
	for (i = 0; i < 3; i++)
		assert_int_equal(ronbus_subscribe(bus, NULL, &subs[i]), 0);
	ronbus_sub_close(subs[1]);
	for (i = 0; i < 5; i++)
		assert_int_equal(ronbus_publish(pub, 0, "x", 1), 2);

	assert_int_equal(source_read(source, &snapshot), 0);
	assert_string_equal(snapshot.source, "stats");
	assert_int_equal(snapshot.count, 1); /* though asked for twice */
	assert_string_equal(snapshot.buses[0].name, "first");
	assert_true(snapshot_has(&snapshot, "first"));
	assert_false(snapshot_has(&snapshot, "second"));
	assert_int_equal(ronbus_stats(bus, RONBUS_STATS_BUS, &stats), 0);
	assert_memory_equal(&snapshot.buses[0].stats, &stats, sizeof(stats));
	assert_int_equal(stats.counters.published_total, 5);
	assert_int_equal(snapshot.buses[0].subs_count, 2);
	for (i = 0; i < 2; i++) {
		assert_int_equal(ronbus_stats(bus, 2 * i, &stats), 0);
		assert_memory_equal(&snapshot.buses[0].subs[i], &stats, sizeof(stats));
		assert_int_equal(sub_lag(&stats), 5);
	}
	snapshot_clear(&snapshot);
	ronbus_sub_close(subs[0]);
	ronbus_sub_close(subs[2]);
	ronbus_pub_close(pub);
	ronbus_close(bus);
	source_close(source);
}

/* Reading the counters of a bus keeps neither the bus nor its name. */
static void keeps_no_bus(void **state)
{
	struct source *source = open_source();
	struct ronbus *first = make_bus("first"), *second = make_bus("second");
	struct snapshot snapshot;
	__u64 id;

	(void)state;
	assert_int_equal(source_read(source, &snapshot), 0);
	assert_int_equal(snapshot.count, 2);
	assert_true(snapshot.buses[0].id < snapshot.buses[1].id);
	id = snapshot.buses[0].id;
	snapshot_clear(&snapshot);

	ronbus_close(first);
	assert_int_equal(source_read(source, &snapshot), 0);
	assert_int_equal(snapshot.count, 1);
	assert_string_equal(snapshot.buses[0].name, "second");
	snapshot_clear(&snapshot);

	first = make_bus("first");
	assert_int_equal(source_read(source, &snapshot), 0);
	assert_int_equal(snapshot.count, 2);
	assert_true(snapshot.buses[1].id > id);
	snapshot_clear(&snapshot);
	ronbus_close(first);
	ronbus_close(second);
	source_close(source);
}

static void errors_are_told(void **state)
{
	struct snapshot snapshot;
	struct names bad = { 0 };
	struct source *source;

	(void)state;
	assert_int_equal(names_add(&bad, "no/name"), 0);
	assert_int_equal(source_stats_open(RONBUS_EMBEDDED, &bad, &source), 0);
	assert_int_equal(source_read(source, &snapshot), -EINVAL);
	assert_int_equal(snapshot.count, 0);
	snapshot_clear(&snapshot);
	source_close(source);
	free(bad.name);

	assert_int_equal(source_read(NULL, &snapshot), 0);
	assert_null(snapshot.source);
	snapshot_clear(&snapshot);
}

static void no_module_no_bpf(void **state)
{
	struct source *source;

	(void)state;
	if (module_is_there())
		skip();
	assert_int_equal(source_bpf_open(NULL, &source), -ENODEV);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_what_stats_says),
		cmocka_unit_test(keeps_no_bus),
		cmocka_unit_test(errors_are_told),
		cmocka_unit_test(no_module_no_bpf),
	};

	return cmocka_run_group_tests_name("source", tests, add_names, free_names);
}
