// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * top_test.c - what ronbus-top makes of two snapshots, for scripts and on a terminal
 */
#include "../../exporter/test/test.h"

#include <jansson.h>
#include <math.h>
#include <poll.h>
#include <pty.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../top.h"

#define WATCHDOG_S 20

/* ---- rates ------------------------------------------------------------------------------ */

static void two_snapshots(struct snapshot *before, struct snapshot *now)
{
	struct bus_sample *bus;

	memset(before, 0, sizeof(*before));
	memset(now, 0, sizeof(*now));
	fill_bus(before, 5, 2);
	fill_bus(now, 5, 2);
	before->taken_ns = 1000000000;
	now->taken_ns = 3000000000;
	bus = &now->buses[0];
	bus->stats.counters.published_total += 20;
	bus->stats.counters.delivered_total += 40;
	bus->stats.counters.notify_suppressed_total += 30;
	bus->stats.counters.notify_sends_total += 10;
	bus->stats.counters.wakes_total[RONBUS_WAKE_DATA] += 10;
	bus->stats.counters.wakes_total[RONBUS_WAKE_CLOSE] += 2;
	bus->subs[1].counters.delivered_total += 8;
}

static void rates_of_a_bus(void **state)
{
	struct snapshot before, now;
	char line[ROW_WIDTH];
	struct rows rows;

	(void)state;
	two_snapshots(&before, &now);
	assert_int_equal(rows_of_buses(&now, &before, &rows), 0);
	assert_int_equal(rows.count, 1);
	assert_true(rows.row[0].messages == 10);
	assert_true(rows.row[0].reads == 20);
	assert_true(rows.row[0].wakes == 6);
	assert_true(rows.row[0].suppressed == 75);
	assert_true(rows.row[0].lost == 0);
	assert_int_equal(rows.row[0].lag, 1); /* of the slowest */
	assert_int_equal(rows.row[0].subscribers, 2);
	row_format(&rows.row[0], line);
	assert_string_equal(line, "     5 bus5                   3   2      64    10.0    20.0"
				  "     6.0    75.0       0       0     1.0");
	rows_clear(&rows);
	snapshot_clear(&before);
	snapshot_clear(&now);
}

static void rates_of_subscribers(void **state)
{
	struct snapshot before, now;
	struct rows rows;

	(void)state;
	two_snapshots(&before, &now);
	before.buses[0].subs[0].start = 77; /* another one had the number */
	assert_int_equal(rows_of_subs(&now, &before, 5, &rows), 0);
	assert_int_equal(rows.count, 2);
	assert_true(isnan(rows.row[0].reads));
	assert_true(isnan(rows.row[0].suppressed));
	assert_true(rows.row[1].reads == 4);
	assert_true(rows.row[1].asleep);
	assert_false(rows.row[0].asleep);
	rows_clear(&rows);
	assert_int_equal(rows_of_subs(&now, &before, 6, &rows), 0);
	assert_int_equal(rows.count, 0);
	rows_clear(&rows);
	snapshot_clear(&before);
	snapshot_clear(&now);
}

static void nothing_to_compare_with(void **state)
{
	struct snapshot before, now, none = { 0 };
	char line[ROW_WIDTH];
	struct rows rows;

	(void)state;
	two_snapshots(&before, &now);
	assert_int_equal(rows_of_buses(&now, &none, &rows), 0);
	assert_true(isnan(rows.row[0].messages));
	row_format(&rows.row[0], line);
	assert_non_null(strstr(line, " - "));
	rows_clear(&rows);
	/* A counter that goes back is not a huge rate. */
	assert_int_equal(rows_of_buses(&before, &now, &rows), 0);
	assert_true(isnan(rows.row[0].messages));
	rows_clear(&rows);
	snapshot_clear(&before);
	snapshot_clear(&now);
}

static void large_numbers_fit(void **state)
{
	struct row row = {
		.id = 123456,
		.sub = -1,
		.name = "big",
		.messages = 98765432,
		.reads = 1.5e18,
		.wakes = 9999,
		.suppressed = 99.97,
		.lost = 9999.6,
		.drops = NAN,
		.lag = 1ULL << 63,
	};
	char line[ROW_WIDTH], title[ROW_WIDTH];

	(void)state;
	row_format(&row, line);
	rows_title(false, title);
	assert_int_equal(strlen(line), strlen(title));
	assert_non_null(strstr(line, " 98.8M "));
	assert_non_null(strstr(line, " 9999 "));
	assert_non_null(strstr(line, " 10.0k "));
	assert_non_null(strstr(line, " 9223P"));
}

static void orders(void **state)
{
	struct row rows[] = {
		{ .id = 1, .sub = -1, .name = "b", .messages = 5, .lag = 1 },
		{ .id = 2, .sub = -1, .name = "c", .messages = NAN, .lag = 3 },
		{ .id = 3, .sub = -1, .name = "a", .messages = 9, .lag = 3 },
	};
	static const struct {
		enum order order;
		bool reverse;
		__u64 ids[3];
	} cases[] = {
		{ ORDER_ID, false, { 1, 2, 3 } },      { ORDER_ID, true, { 3, 2, 1 } },
		{ ORDER_NAME, false, { 3, 1, 2 } },    { ORDER_MESSAGES, false, { 3, 1, 2 } },
		{ ORDER_MESSAGES, true, { 2, 1, 3 } }, { ORDER_LAG, false, { 2, 3, 1 } },
	};
	struct rows all = { rows, 3 };
	size_t i, k;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rows_sort(&all, cases[i].order, cases[i].reverse);
		for (k = 0; k < 3; k++)
			assert_int_equal(rows[k].id, cases[i].ids[k]);
	}
}

/* ---- for scripts ------------------------------------------------------------------------ */

/* What batch_run() prints. */
static char *printed(unsigned long rounds, bool json)
{
	struct view view = { .source = &fake_source, .delay = 0.05 };
	FILE *file = tmpfile();
	int saved = dup(STDOUT_FILENO), err;
	char *text;
	long size;

	assert_non_null(file);
	fflush(stdout);
	dup2(fileno(file), STDOUT_FILENO);
	err = batch_run(&view, rounds, json);
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	view_clear(&view);
	assert_int_equal(err, fake.err);
	size = lseek(fileno(file), 0, SEEK_END);
	text = calloc(1, (size_t)size + 1);
	assert_non_null(text);
	assert_int_equal(pread(fileno(file), text, (size_t)size, 0), size);
	fclose(file);
	return text;
}

static unsigned int count(const char *text, const char *what)
{
	unsigned int n = 0;

	for (; (text = strstr(text, what)); text += strlen(what))
		n++;
	return n;
}

static void text_output(void **state)
{
	char *text;

	(void)state;
	fake.buses = 2;
	fake.subs = 3;
	text = printed(2, false);
	assert_int_equal(count(text, "ronbus-top: 2 buses, source bpf\n"), 2);
	assert_int_equal(count(text, "     1 bus1 "), 2);
	assert_int_equal(count(text, "  subscribers of bus 2 bus2\n"), 2);
	assert_int_equal(count(text, " sleeps "), 4);
	assert_int_equal(count(text, " awake "), 8);
	free(text);
}

static void json_output(void **state)
{
	json_t *round, *bus, *counters;
	const char *rest;
	unsigned int rounds = 0;
	char *text;

	(void)state;
	fake.buses = 2;
	fake.subs = 3;
	text = printed(3, true);
	for (rest = text; *rest; rest = strchr(rest, '\n') + 1, rounds++) {
		round = json_loads(rest, JSON_DISABLE_EOF_CHECK, NULL);
		assert_non_null(round);
		assert_string_equal(json_string_value(json_object_get(round, "source")), "bpf");
		assert_int_equal(json_array_size(json_object_get(round, "buses")), 2);
		bus = json_array_get(json_object_get(round, "buses"), 1);
		assert_string_equal(json_string_value(json_object_get(bus, "name")), "bus2");
		assert_int_equal(json_array_size(json_object_get(bus, "subscribers")), 3);
		counters = json_object_get(bus, "counters");
		assert_int_equal(
			json_integer_value(json_object_get(counters, "bus_published_total")), 2000);
		assert_int_equal(json_integer_value(json_object_get(
					 json_object_get(counters, "bus_wakes_total"), "data")),
				 2000 + offsetof(struct ronbus_counters, wakes_total) / 8);
		assert_true(json_number_value(json_object_get(json_object_get(bus, "rates"),
							      "messages")) == 0);
		assert_true(json_is_null(json_object_get(bus, "suppressed_percent")));
		json_decref(round);
	}
	assert_int_equal(rounds, 3);
	free(text);
}

static void no_buses(void **state)
{
	char *text;

	(void)state;
	text = printed(1, false);
	assert_non_null(strstr(text, "0 buses"));
	free(text);
	text = printed(1, true);
	assert_non_null(strstr(text, "\"buses\":[]"));
	free(text);
}

static void errors_end_it(void **state)
{
	char *text;

	(void)state;
	fake.err = -EIO;
	text = printed(0, false);
	assert_string_equal(text, "");
	free(text);
}

/* ---- on a terminal ----------------------------------------------------------------------- */

static int terminal;
static pid_t child;
static char seen[1 << 20];
static size_t seen_count;

static void open_screen(unsigned short lines, unsigned short columns)
{
	struct winsize size = { .ws_row = lines, .ws_col = columns };
	struct view view = { .source = &fake_source, .delay = 0.2 };

	seen_count = 0;
	seen[0] = '\0';
	child = forkpty(&terminal, NULL, NULL, &size);
	assert_true(child >= 0);
	if (child)
		return;
	setenv("TERM", "vt100", 1);
	unsetenv("LINES");
	unsetenv("COLUMNS");
	_exit(screen_run(&view) ? 1 : 0);
}

/* Until it has been written to the terminal. */
static void wait_for(const char *what)
{
	struct pollfd poll_fd = { .fd = terminal, .events = POLLIN };
	ssize_t n;

	while (!strstr(seen, what)) {
		if (poll(&poll_fd, 1, WATCHDOG_S * 1000) != 1)
			fail_msg("no \"%s\" on the terminal, but: %s", what, seen);
		n = read(terminal, seen + seen_count, sizeof(seen) - 1 - seen_count);
		if (n <= 0)
			fail_msg("the end, without \"%s\"", what);
		seen_count += (size_t)n;
		seen[seen_count] = '\0';
	}
}

/* And have all drawn anew: else only what is different is. */
static void press(const char *keys)
{
	seen_count = 0;
	seen[0] = '\0';
	assert_int_equal(write(terminal, keys, strlen(keys)), strlen(keys));
	assert_int_equal(write(terminal, "\f", 1), 1);
}

static void resize(unsigned short lines, unsigned short columns)
{
	struct winsize size = { .ws_row = lines, .ws_col = columns };

	assert_int_equal(ioctl(terminal, TIOCSWINSZ, &size), 0);
}

/* A terminal that nobody reads would hold up the program. */
static int ended(void)
{
	struct pollfd poll_fd = { .fd = terminal, .events = POLLIN };
	time_t until = time(NULL) + WATCHDOG_S;
	int status;

	while (waitpid(child, &status, WNOHANG) == 0) {
		if (time(NULL) > until)
			kill(child, SIGKILL);
		if (poll(&poll_fd, 1, 20) == 1)
			(void)!read(terminal, seen, sizeof(seen));
	}
	close(terminal);
	return status;
}

static void quit(void)
{
	assert_int_equal(write(terminal, "q", 1), 1);
	assert_int_equal(ended(), 0);
}

static void keys(void **state)
{
	(void)state;
	fake.buses = 3;
	fake.subs = 2;
	open_screen(24, 120);
	wait_for("bus3");
	assert_non_null(strstr(seen, "buses: 3"));
	press("n");
	wait_for("by name");
	press("v");
	wait_for("reversed");
	press("v");
	press("i");
	press("?");
	wait_for("the other way round");
	press("?");
	wait_for("bus2");
	press("\033OB"); /* down */
	press("\r");
	wait_for("bus 2 bus2");
	wait_for("sleeps");
	press("\033");
	wait_for("MSG/s");
	quit();
}

static void sizes(void **state)
{
	static const unsigned short sides[][2] = {
		{ 24, 80 }, { 1, 1 }, { 2, 200 }, { 4, 10 }, { 200, 200 }, { 3, 3 }, { 24, 132 },
	};
	size_t i;

	(void)state;
	fake.buses = 64;
	fake.subs = 64;
	open_screen(10, 40);
	wait_for("bus7"); /* the last of seven rows */
	assert_null(strstr(seen, "bus8"));
	for (i = 1; i < 64; i++)
		assert_int_equal(write(terminal, "\033OB", 3), 3); /* down */
	press("");
	wait_for("bus64"); /* the rows have followed */
	for (i = 0; i < sizeof(sides) / sizeof(sides[0]); i++) {
		resize(sides[i][0], sides[i][1]);
		press("\033[6~\033OB\033OB\r\033[6~ "); /* down and down, into the bus, down */
		wait_for("\033"); /* something is drawn */
		press("\033");
		wait_for("\033");
	}
	press("i");
	quit();
}

static void errors_are_shown(void **state)
{
	(void)state;
	fake.err = -EIO;
	open_screen(24, 80);
	wait_for("cannot read all counters");
	quit();
}

static int reset(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof(fake));
	return 0;
}

#define TEST(name) cmocka_unit_test_setup(name, reset)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(rates_of_a_bus),
		TEST(rates_of_subscribers),
		TEST(nothing_to_compare_with),
		TEST(large_numbers_fit),
		TEST(orders),
		TEST(text_output),
		TEST(json_output),
		TEST(no_buses),
		TEST(errors_end_it),
		TEST(keys),
		TEST(sizes),
		TEST(errors_are_shown),
	};

	return cmocka_run_group_tests_name("top", tests, NULL, NULL);
}
