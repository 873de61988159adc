// SPDX-License-Identifier: GPL-2.0
/*
 * Tracepoints, as a program sees them that has nothing but tracefs: names and types of the fields,
 * what fires when, and that what they say of the counters is what RONBUS_IOC_STATS says.
 */
#include <sys/stat.h>

#include "ronbus_counters.h"
#include "ronbus_kselftest.h"

#define INSTANCE TRACEFS "/instances/ronbus_test"
#define SLOTS 8U
#define LEN 32U

static char *read_file(const char *path)
{
	size_t size = 1 << 22, done = 0;
	char *text = calloc(1, size);
	int fd = open(path, O_RDONLY);
	ssize_t n;

	while (fd >= 0 && text && done < size - 1 &&
	       (n = read(fd, text + done, size - 1 - done)) > 0)
		done += (size_t)n;
	close(fd);
	return text;
}

/* Switch events of this instance: "ronbus" for all, or "ronbus/NAME". */
static int trace(const char *events, bool on)
{
	char path[256];

	snprintf(path, sizeof(path), INSTANCE "/events/%s/enable", events);
	return write_file(path, on ? "1" : "0");
}

FIXTURE(trace)
{
	int control;
	int bus;
	u64 id;
	struct publisher pub;
	struct subscriber s;
	char *text;
};

FIXTURE_SETUP(trace)
{
	struct ronbus_info info;

	self->control = OPEN_CONTROL();
	if (tracefs_mount())
		SKIP(return, "this kernel has no tracefs");
	if (mkdir(INSTANCE, 0700))
		ASSERT_EQ(EEXIST, errno);
	ASSERT_EQ(0, write_file(INSTANCE "/buffer_size_kb", "128"));
	ASSERT_EQ(0, trace("ronbus", false));
	ASSERT_EQ(0, write_file(INSTANCE "/trace", ""));
	self->bus =
		bus_create(self->control, (struct ronbus_create){ .features = RONBUS_F_EDGE_NOTIFY,
								  .flags = RONBUS_BUS_PERSISTENT,
								  .capacity = SLOTS,
								  .payload = LEN,
								  .name = "trace-test" });
	ASSERT_LE(0, self->bus);
	ASSERT_EQ(0, fd_info(self->bus, &info));
	self->id = info.id;
	ASSERT_NE(0, self->id);
	ASSERT_EQ(0, publisher_join(&self->pub, self->bus, RONBUS_PUBLISHER_MAPPED));
	ASSERT_EQ(0, subscriber_join(&self->s, self->bus, RONBUS_START_LATEST, 0));
	ASSERT_EQ(0, fd_nonblock(self->s.m.fd));
}

FIXTURE_TEARDOWN(trace)
{
	if (self->bus > 0) {
		subscriber_leave(&self->s);
		publisher_leave(&self->pub);
		close(self->bus);
		ASSERT_EQ(0, trace("ronbus", false));
		ASSERT_EQ(0, rmdir(INSTANCE));
	}
	free(self->text);
	close(self->control);
}

/* What was traced, into @self->text. */
static void trace_look(FIXTURE_DATA(trace) * self)
{
	free(self->text);
	self->text = read_file(INSTANCE "/trace");
}

/* The next line after @from with event @name of bus @id, or NULL. */
static const char *next_event(const char *from, const char *name, u64 id)
{
	char event[64], bus[32];
	const char *line;

	snprintf(event, sizeof(event), ": ronbus_%s: ", name);
	snprintf(bus, sizeof(bus), "bus=%llu ", (unsigned long long)id);
	while ((line = strstr(from, event))) {
		from = line + strlen(event);
		if (!strncmp(from, bus, strlen(bus)))
			return from;
	}
	return NULL;
}

static unsigned int count_events(const char *text, const char *name, u64 id)
{
	unsigned int n = 0;

	while ((text = next_event(text, name, id)))
		n++;
	return n;
}

/* The number of field @key in the line, or all ones. */
static u64 field(const char *line, const char *key)
{
	const char *end = strchr(line, '\n');
	char word[64];
	const char *p;

	snprintf(word, sizeof(word), " %s=", key);
	p = strstr(line, word);
	if (!p || (end && p > end))
		return ~0ULL;
	return (u64)strtoll(p + strlen(word), NULL, 0);
}

static bool has_word(const char *line, const char *word)
{
	const char *end = strchr(line, '\n');
	const char *p = strstr(line, word);

	return p && (!end || p < end);
}

/* Sum of @key over the events of @name; of subscriber @sub, unless that is -2. */
static u64 sum_of(const char *text, const char *name, u64 id, const char *key, int sub)
{
	u64 sum = 0;

	while ((text = next_event(text, name, id)))
		if (sub == -2 || (int)field(text, "subscriber") == sub)
			sum += field(text, key);
	return sum;
}

#define BUS_FIELDS "u64 bus; char name[64]; "

static const struct {
	const char *event;
	const char *fields;
} formats[] = {
	{ "create", BUS_FIELDS "u64 features; u32 flags; u32 capacity; u32 payload; " },
	{ "destroy", BUS_FIELDS "u64 features; u32 flags; u32 capacity; u32 payload; " },
	{ "join", BUS_FIELDS "u32 role; u32 member; " },
	{ "leave", BUS_FIELDS "u32 role; u32 member; " },
	{ "publish", BUS_FIELDS "u32 topic; u32 count; u32 receivers; " },
	{ "notify", BUS_FIELDS "u64 subscribers; u32 publisher; u32 woken; " },
	{ "arm", BUS_FIELDS "u32 subscriber; " },
	{ "ready", BUS_FIELDS "u32 subscriber; " },
	{ "wake", BUS_FIELDS "u64 delay_ns; u32 subscriber; u32 cause; " },
	{ "suppress", BUS_FIELDS "u64 count; u32 subscriber; " },
	{ "lag", BUS_FIELDS "u64 times; u64 lost; u32 subscriber; " },
	{ "drop", BUS_FIELDS "u64 count; u32 publisher; " },
	{ "repair", BUS_FIELDS "u32 publisher; u32 slots; " },
};

/* The declarations of a format file, without the common ones and without what surrounds them. */
static void fields_of(const char *format, char *out)
{
	const char *line = strstr(format, "\n\n");

	*out = 0;
	while (line && (line = strstr(line, "\tfield:"))) {
		const char *end;

		line += strlen("\tfield:");
		end = strchr(line, ';');
		strncat(out, line, (size_t)(end - line));
		strcat(out, "; ");
	}
}

TEST_F(trace, formats)
{
	char path[256], fields[4096];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(formats); i++) {
		snprintf(path, sizeof(path), INSTANCE "/events/ronbus/ronbus_%s/format",
			 formats[i].event);
		free(self->text);
		self->text = read_file(path);
		fields_of(self->text, fields);
		EXPECT_STREQ(formats[i].fields, fields)
		{
			TH_LOG("of ronbus_%s", formats[i].event);
		}
	}
}

/* All counters, under their names. */
TEST_F(trace, format_of_flush)
{
	char fields[4096], expected[4096];
	size_t n;

	self->text = read_file(INSTANCE "/events/ronbus/ronbus_flush/format");
	fields_of(self->text, fields);
	n = snprintf(expected, sizeof(expected),
		     BUS_FIELDS "u32 subscriber; u32 counters_size; "
				"u64 subscribers; u64 armed; u64 cursor; u64 tail; u64 start; "
				"u64 features; u32 publishers; u32 flags; u32 capacity; "
				"u32 payload; ");
#define PLAIN(name, ...) n += snprintf(expected + n, sizeof(expected) - n, "u64 " #name "; ");
#define LABELLED(name, ...)                                                       \
	n += snprintf(expected + n, sizeof(expected) - n, "u64 " #name "[%zu]; ", \
		      ARRAY_SIZE(((struct ronbus_counters *)0)->name));
	RONBUS_COUNTERS(PLAIN, LABELLED)
#undef LABELLED
#undef PLAIN
	ASSERT_STREQ(expected, fields);
}

TEST_F(trace, life_of_a_bus)
{
	struct publisher pub;
	struct subscriber s;
	struct ronbus_info info;
	const char *line;
	int bus;

	ASSERT_EQ(0, trace("ronbus", true));
	bus = bus_create(self->control, (struct ronbus_create){ .features = RONBUS_F_BATCH,
								.capacity = 16,
								.payload = 24,
								.name = "trace-life" });
	ASSERT_LE(0, bus);
	ASSERT_EQ(0, fd_info(bus, &info));
	ASSERT_LT(self->id, info.id);
	ASSERT_EQ(0, publisher_join(&pub, bus, RONBUS_PUBLISHER_MAPPED));
	ASSERT_EQ(0, subscriber_join(&s, bus, RONBUS_START_LATEST, 0));
	subscriber_leave(&s);
	publisher_leave(&pub);
	close(bus);
	trace_look(self);

	line = next_event(self->text, "create", info.id);
	ASSERT_NE(NULL, line);
	EXPECT_TRUE(has_word(line, "name=trace-life "));
	EXPECT_EQ(RONBUS_F_BATCH, field(line, "features"));
	EXPECT_EQ(16, field(line, "capacity"));
	EXPECT_EQ(24, field(line, "payload"));

	line = next_event(line, "join", info.id);
	ASSERT_NE(NULL, line);
	EXPECT_TRUE(has_word(line, "role=publisher "));
	EXPECT_EQ(pub.id, field(line, "member"));
	line = next_event(line, "join", info.id);
	ASSERT_NE(NULL, line);
	EXPECT_TRUE(has_word(line, "role=subscriber "));
	EXPECT_EQ(s.index, field(line, "member"));

	line = next_event(line, "leave", info.id);
	ASSERT_NE(NULL, line);
	EXPECT_TRUE(has_word(line, "role=subscriber "));
	line = next_event(line, "leave", info.id);
	ASSERT_NE(NULL, line);
	EXPECT_TRUE(has_word(line, "role=publisher "));
	line = next_event(line, "destroy", info.id);
	ASSERT_NE(NULL, line);
	EXPECT_TRUE(has_word(line, "name=trace-life "));
	EXPECT_EQ(1, count_events(self->text, "create", info.id));
	EXPECT_EQ(1, count_events(self->text, "destroy", info.id));
	EXPECT_EQ(0, count_events(self->text, "create", self->id));
}

/* Asleep, woken with how long it was asleep, and back. */
TEST_F(trace, arm_notify_wake_ready)
{
	const char *line;
	u64 delay;

	ASSERT_EQ(0, trace("ronbus", true));
	ASSERT_EQ(0, fd_poll(self->s.m.fd, POLLIN));
	ASSERT_TRUE(subscriber_armed(&self->s));
	nap();
	ASSERT_EQ(1, publish_number(&self->pub, 1));
	ASSERT_EQ(POLLIN, fd_poll(self->s.m.fd, POLLIN));
	ASSERT_EQ(1, publish_number(&self->pub, 2));
	trace_look(self);

	line = next_event(self->text, "arm", self->id);
	ASSERT_NE(NULL, line);
	EXPECT_EQ(self->s.index, field(line, "subscriber"));
	line = next_event(line, "wake", self->id);
	ASSERT_NE(NULL, line);
	EXPECT_EQ(self->s.index, field(line, "subscriber"));
	EXPECT_TRUE(has_word(line, "cause=data "));
	delay = field(line, "delay_ns");
	EXPECT_LE(500000, delay); /* of nap() */
	EXPECT_GT(WATCHDOG, delay);
	line = next_event(line, "notify", self->id);
	ASSERT_NE(NULL, line);
	EXPECT_EQ(self->pub.id, field(line, "publisher"));
	EXPECT_EQ(1ULL << self->s.index, field(line, "subscribers"));
	EXPECT_EQ(1, field(line, "woken"));
	line = next_event(line, "ready", self->id);
	ASSERT_NE(NULL, line);
	EXPECT_EQ(self->s.index, field(line, "subscriber"));
	EXPECT_EQ(1, count_events(self->text, "wake", self->id));
	EXPECT_EQ(1, count_events(self->text, "notify", self->id));
	EXPECT_EQ(1, count_events(self->text, "arm", self->id));
	EXPECT_EQ(1, count_events(self->text, "ready", self->id));
}

/* A subscriber that was armed before tracing began was so for an unknown time. */
TEST_F(trace, no_delay_from_before)
{
	const char *line;

	ASSERT_EQ(0, trace("ronbus", true));
	ASSERT_EQ(0, fd_poll(self->s.m.fd, POLLIN));
	ASSERT_EQ(0, trace("ronbus", false));
	ASSERT_EQ(0, trace("ronbus", true));
	ASSERT_EQ(1, publish_number(&self->pub, 1));
	trace_look(self);
	line = next_event(self->text, "wake", self->id);
	ASSERT_NE(NULL, line);
	EXPECT_EQ(0, field(line, "delay_ns"));
}

TEST_F(trace, publish)
{
	unsigned char data[LEN] = { 0 };
	struct ronbus_vec vec[3] = {
		{ .data = (uintptr_t)data, .len = 8 },
		{ .data = (uintptr_t)data, .len = LEN },
		{ .data = (uintptr_t)data, .len = LEN + 1 },
	};
	struct publisher pub;
	const char *line;

	ASSERT_EQ(0, publisher_join(&pub, self->bus, 0));
	ASSERT_EQ(0, trace("ronbus", true));
	ASSERT_EQ(2, publisher_send(&pub, 7, vec, 3));
	ASSERT_EQ(-EMSGSIZE, publisher_send(&pub, 7, vec + 2, 1));
	trace_look(self);
	line = next_event(self->text, "publish", self->id);
	ASSERT_NE(NULL, line);
	EXPECT_EQ(7, field(line, "topic"));
	EXPECT_EQ(2, field(line, "count"));
	EXPECT_EQ(1, field(line, "receivers"));
	EXPECT_EQ(1, count_events(self->text, "publish", self->id));
	publisher_leave(&pub);
}

TEST_F(trace, repair)
{
	struct ronbus_claim claim;
	const char *line;

	ASSERT_EQ(0, trace("ronbus", true));
	claim.pos = ronbus_ring_hint(&self->pub.m.ring);
	ASSERT_EQ(0, publisher_claim(&self->pub, &claim));
	ASSERT_EQ(0, fd_poll(self->s.m.fd, POLLIN));
	publisher_leave(&self->pub);
	trace_look(self);
	line = next_event(self->text, "repair", self->id);
	ASSERT_NE(NULL, line);
	EXPECT_EQ(self->pub.id, field(line, "publisher"));
	EXPECT_EQ(1, field(line, "slots"));
	line = next_event(line, "wake", self->id);
	ASSERT_NE(NULL, line);
	EXPECT_TRUE(has_word(line, "cause=repair "));
	ASSERT_EQ(0, publisher_join(&self->pub, self->bus, RONBUS_PUBLISHER_MAPPED));
}

/* A known workload: asleep at times, overtaken at times. */
static void work(struct __test_metadata *_metadata, FIXTURE_DATA(trace) * self)
{
	struct message msg;
	u64 i;

	for (i = 0; i < 10; i++) {
		fd_poll(self->s.m.fd, POLLIN);
		ASSERT_EQ((long)SLOTS * 2, publish_numbers(&self->pub, 0, SLOTS * 2, LEN, 1));
		while (subscriber_read(&self->s, &msg) == 1)
			;
		ASSERT_EQ(1, publish_number(&self->pub, 1));
		ASSERT_EQ(1, subscriber_read(&self->s, &msg));
	}
	count(&self->pub.m.self->dropped, 3);
}

/* Whatever was counted before, what is traced from now on is what STATS grows by from now on. */
TEST_F(trace, deltas_add_up_to_stats)
{
	struct ronbus_stats before, bus, sub;
	u32 index = self->s.index;

	work(_metadata, self);
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &before));
	ASSERT_EQ(0, trace("ronbus", true));
	work(_metadata, self);
	ASSERT_EQ(0, fd_stats(self->bus, index, &sub));
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &bus));
	/* Drops are looked for when the publisher comes by. */
	ASSERT_EQ(0, fd_notify(self->pub.m.fd, 0, NULL));
	ASSERT_EQ(0, trace("ronbus", false));
	trace_look(self);

#define GREW(name) (bus.counters.name - before.counters.name)
	EXPECT_EQ(10, GREW(receiver_lag_total));
	EXPECT_EQ(3, GREW(dropped_total));
	EXPECT_EQ(10, GREW(notify_sends_total));
	EXPECT_LT(0, GREW(notify_suppressed_total));
	EXPECT_EQ(GREW(receiver_lag_total),
		  sum_of(self->text, "lag", self->id, "times", (int)index));
	EXPECT_EQ(GREW(overflow_dropped_total),
		  sum_of(self->text, "lag", self->id, "lost", (int)index));
	EXPECT_EQ(GREW(dropped_total), sum_of(self->text, "drop", self->id, "count", -2));
	EXPECT_EQ(GREW(notify_suppressed_total),
		  sum_of(self->text, "suppress", self->id, "count", -1));
	EXPECT_EQ(GREW(notify_sends_total), count_events(self->text, "wake", self->id));
	EXPECT_EQ(GREW(waits_total), count_events(self->text, "arm", self->id));
#undef GREW
}

/* The last flush before STATS returned has the very numbers. */
TEST_F(trace, flush_is_stats)
{
	struct ronbus_stats bus, sub;
	const char *line, *last_bus = NULL, *last_sub = NULL;

	ASSERT_EQ(0, trace("ronbus/ronbus_flush", true));
	work(_metadata, self);
	ASSERT_EQ(0, fd_stats(self->bus, self->s.index, &sub));
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &bus));
	ASSERT_EQ(0, trace("ronbus/ronbus_flush", false));
	trace_look(self);
	for (line = self->text; (line = next_event(line, "flush", self->id));) {
		if ((int)field(line, "subscriber") == -1)
			last_bus = line;
		else if (field(line, "subscriber") == self->s.index)
			last_sub = line;
	}
	ASSERT_NE(NULL, last_bus);
	EXPECT_EQ(bus.counters.published_total, field(last_bus, "published"));
	EXPECT_EQ(bus.counters.delivered_total, field(last_bus, "delivered"));
	EXPECT_EQ(bus.counters.notify_sends_total, field(last_bus, "sends"));
	EXPECT_EQ(bus.counters.notify_suppressed_total, field(last_bus, "suppressed"));
	EXPECT_EQ(bus.counters.overflow_dropped_total, field(last_bus, "lost"));
	EXPECT_EQ(bus.counters.dropped_total, field(last_bus, "dropped"));
	ASSERT_NE(NULL, last_sub);
	EXPECT_EQ(sub.counters.delivered_total, field(last_sub, "delivered"));
	EXPECT_EQ(sub.counters.overflow_dropped_total, field(last_sub, "lost"));
	EXPECT_EQ(sub.counters.notify_sends_total, field(last_sub, "sends"));
}

/* What user space counts shows up without anybody's doing. */
TEST_F(trace, looked_at_now_and_then)
{
	ASSERT_EQ(0, trace("ronbus", true));
	count(&self->s.m.self->lags, 1);
	count(&self->s.m.self->lost, 5);
	count(&self->pub.m.self->dropped, 2);
	ASSERT_TRUE(wait_until(({
		trace_look(self);
		count_events(self->text, "flush", self->id) >= 2 &&
			sum_of(self->text, "lag", self->id, "lost", -2) == 5 &&
			sum_of(self->text, "drop", self->id, "count", -2) == 2;
	})));
}

/* The last counts of a member that goes are traced before it is gone. */
TEST_F(trace, told_at_last)
{
	struct ronbus_stats bus;

	ASSERT_EQ(0, trace("ronbus", true));
	count(&self->s.m.self->lags, 1);
	count(&self->s.m.self->lost, 7);
	count(&self->pub.m.self->dropped, 4);
	subscriber_leave(&self->s);
	publisher_leave(&self->pub);
	trace_look(self);
	EXPECT_EQ(7, sum_of(self->text, "lag", self->id, "lost", -2));
	EXPECT_EQ(4, sum_of(self->text, "drop", self->id, "count", -2));
	ASSERT_EQ(0, publisher_join(&self->pub, self->bus, RONBUS_PUBLISHER_MAPPED));
	ASSERT_EQ(0, subscriber_join(&self->s, self->bus, RONBUS_START_LATEST, 0));
	ASSERT_EQ(0, fd_stats(self->bus, RONBUS_STATS_BUS, &bus));
	EXPECT_EQ(7, bus.counters.overflow_dropped_total);
}

/* A program may write what it likes into its page; what is traced stays finite and moves on. */
TEST_F(trace, counters_turned_back)
{
	ASSERT_EQ(0, trace("ronbus", true));
	count(&self->s.m.self->lost, 100);
	ASSERT_EQ(0, fd_poll(self->s.m.fd, POLLIN));
	RB_WRITE(&self->s.m.self->lost, 10);
	ASSERT_EQ(0, fd_poll(self->s.m.fd, POLLIN));
	RB_WRITE(&self->s.m.self->lost, 12);
	ASSERT_EQ(0, fd_poll(self->s.m.fd, POLLIN));
	trace_look(self);
	EXPECT_EQ(102, sum_of(self->text, "lag", self->id, "lost", -2));
}

/* A mapping does not survive fork(): the child joins by itself. */
static int keep_busy(int bus, const bool *stop)
{
	struct publisher pub;
	struct subscriber s;
	struct message msg;

	if (publisher_join(&pub, bus, RONBUS_PUBLISHER_MAPPED) ||
	    subscriber_join(&s, bus, RONBUS_START_LATEST, 0))
		return 2;
	while (!RB_READ(stop)) {
		fd_poll(s.m.fd, POLLIN);
		if (publish_number(&pub, 1) != 1)
			return 1;
		while (subscriber_read(&s, &msg) == 1)
			;
	}
	return 0;
}

/* Switched on and off while it runs. */
TEST_F(trace, switched_under_load)
{
	bool *stop = shared_memory(sizeof(*stop));
	pid_t pid;
	int i;

	ASSERT_NE(NULL, stop);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(keep_busy(self->bus, stop));
	for (i = 0; i < 6; i++) {
		EXPECT_EQ(0, trace(i % 2 ? "ronbus/ronbus_wake" : "ronbus", true));
		nap();
		EXPECT_EQ(0, trace("ronbus", false));
	}
	EXPECT_EQ(0, trace("ronbus/ronbus_wake", true));
	EXPECT_TRUE(wait_until(({
		trace_look(self);
		count_events(self->text, "wake", self->id) > 0;
	})));
	RB_WRITE(stop, true);
	EXPECT_EQ(0, child_status(pid));
}

TEST_HARNESS_MAIN
