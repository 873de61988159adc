// SPDX-License-Identifier: MIT
/*
 * report.c - what has to hold, and the counters
 */
#include "demo.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static unsigned int expected, failed;

/* @format says what does not hold. */
void expect(const struct supervisor *sup, bool holds, const char *format, ...)
{
	char text[256];
	va_list args;

	if (sup->interrupted)
		return;
	expected++;
	if (holds)
		return;
	failed++;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	say_bad("NOT AS EXPECTED: %s", text);
}

int verdict(const struct supervisor *sup)
{
	if (sup->interrupted) {
		say_loud("interrupted");
		return 130;
	}
	if (failed) {
		say_bad("%u of %u expectations do not hold", failed, expected);
		return 1;
	}
	say_loud("all %u expectations hold: every message is accounted for, nobody got stuck",
		 expected);
	return 0;
}

/* ---- the table ------------------------------------------------------------------------ */

struct snapshot {
	struct ronbus_stats bus;
	struct ronbus_stats subs[ROLES];
};

static struct snapshot snapshot;

static __u64 passed(const struct ronbus_stats *sub)
{
	return sub->cursor - sub->start;
}

struct row {
	const char *name;
	size_t counter; /* its place in struct ronbus_counters */
	const char *meaning;
};

#define COUNTER(name) #name, offsetof(struct ronbus_counters, name)
#define WAKES(cause) offsetof(struct ronbus_counters, wakes_total[cause])

/* Of each subscriber; the bus has their sum. */
static const struct row sub_rows[] = {
	{ COUNTER(delivered_total), "messages read" },
	{ COUNTER(filtered_total), "for others" },
	{ COUNTER(holes_total), "left empty by a publisher that died" },
	{ COUNTER(overflow_dropped_total), "lost by being overtaken" },
	{ COUNTER(receiver_lag_total), "times overtaken" },
	{ COUNTER(waits_total), "times put to sleep" },
	{ "wakes_total{data}", WAKES(RONBUS_WAKE_DATA), "woken by a message" },
	{ "wakes_total{repair}", WAKES(RONBUS_WAKE_REPAIR), "woken since a publisher is gone" },
	{ "wakes_total{close}", WAKES(RONBUS_WAKE_CLOSE), "woken since the bus has ended" },
};

static const struct row bus_rows[] = {
	{ COUNTER(published_total), "messages written" },
	{ COUNTER(no_receivers_total), "for no subscriber; not written" },
	{ COUNTER(dropped_total), "given up, every slot being held" },
	{ COUNTER(addressed_total), "messages x subscribers they were for" },
	{ COUNTER(notify_calls_total), "system calls by which publishers woke" },
	{ COUNTER(notify_sends_total), "subscribers woken by them" },
	{ COUNTER(notify_suppressed_total), "wake-ups that were not needed" },
	{ COUNTER(repairs_total), "slots taken back from the dead" },
};

static __u64 value(const struct ronbus_stats *stats, const struct row *row)
{
	__u64 v;

	memcpy(&v, (const char *)&stats->counters + row->counter, sizeof(v));
	return v;
}

static void show_row(const struct snapshot *s, const struct row *row)
{
	say("  %-23s %8llu %8llu %8llu %8llu  %s", row->name, value(&s->subs[ROLE_HEALTH], row),
	    value(&s->subs[ROLE_OPS], row), value(&s->subs[ROLE_LOG], row),
	    value(&s->subs[ROLE_SLOW], row), row->meaning);
}

static void show_table(const struct snapshot *s)
{
	size_t i;

	say_loud("  %-23s %8s %8s %8s %8s", "of a subscriber", role_name(ROLE_HEALTH),
		 role_name(ROLE_OPS), role_name(ROLE_LOG), role_name(ROLE_SLOW));
	say("  %-23s %8llu %8llu %8llu %8llu  %s", "positions passed",
	    passed(&s->subs[ROLE_HEALTH]), passed(&s->subs[ROLE_OPS]), passed(&s->subs[ROLE_LOG]),
	    passed(&s->subs[ROLE_SLOW]), "the sum of the next four");
	for (i = 0; i < ARRAY_SIZE(sub_rows); i++)
		show_row(s, &sub_rows[i]);
	say_loud("  of the bus");
	for (i = 0; i < ARRAY_SIZE(bus_rows); i++)
		say("  %-23s %8llu  %s", bus_rows[i].name, value(&s->bus, &bus_rows[i]),
		    bus_rows[i].meaning);
}

/* ---- the expectations ----------------------------------------------------------------- */

static void check_sub(const struct supervisor *sup, const struct snapshot *s, unsigned int role,
		      const __u64 sent[KINDS])
{
	const struct ronbus_stats *stats = &s->subs[role];
	const struct ronbus_counters *c = &stats->counters;
	const struct tally *tally = &sup->tallies[role];
	const char *name = role_name(role);
	__u64 seen = 0;
	unsigned int i;

	expect(sup,
	       passed(stats) == c->delivered_total + c->filtered_total + c->holes_total +
					c->overflow_dropped_total,
	       "%s: the positions it passed are not the sum of what became of them", name);
	expect(sup, stats->cursor == s->bus.tail, "%s: it stopped at %llu, the bus at %llu", name,
	       stats->cursor, s->bus.tail);
	expect(sup,
	       tally->lost == c->overflow_dropped_total && tally->lags == c->receiver_lag_total,
	       "%s: it was told of %llu lost, the counter says %llu", name, tally->lost,
	       c->overflow_dropped_total);
	expect(sup, !tally->disorder, "%s: %llu messages came out of order", name, tally->disorder);
	/* None twice, and none missing that was not reported as lost. */
	for (i = 0; i < KINDS; i++) {
		seen += tally->seen[i];
		expect(sup, tally->seen[i] <= sent[i] && tally->seen[i] + tally->lost >= sent[i],
		       "%s: of %llu messages of kind %u it read %llu and lost %llu", name, sent[i],
		       i, tally->seen[i], tally->lost);
	}
	expect(sup, seen == c->delivered_total, "%s: it read %llu messages, the counter says %llu",
	       name, seen, c->delivered_total);
	/* Every position is a message or a hole, so the others give the number of lost ones. */
	expect(sup,
	       passed(stats) == s->bus.counters.published_total + s->bus.counters.repairs_total,
	       "%s: it passed %llu positions, %llu were taken", name, passed(stats),
	       s->bus.counters.published_total + s->bus.counters.repairs_total);
	if (role == ROLE_SLOW)
		expect(sup, tally->lags && tally->lost, "%s: it was never overtaken", name);
	else if (sent[KIND_LOG] < CAPACITY - BURST) /* a flood of them may overtake anybody */
		expect(sup, !tally->lost, "%s: it lost %llu messages though it kept reading", name,
		       tally->lost);
}

static void check_bus(const struct supervisor *sup, const struct snapshot *s,
		      const __u64 sent[KINDS])
{
	const struct ronbus_counters *c = &s->bus.counters;
	__u64 published = 0;
	unsigned int i;

	for (i = 0; i < KINDS; i++)
		published += sent[i];
	expect(sup, c->published_total == published, "%llu messages were published, %llu counted",
	       published, c->published_total);
	/* Somebody else may be watching. */
	expect(sup, c->addressed_total >= published * ROLES,
	       "%llu messages for %d subscribers are not %llu", published, ROLES,
	       c->addressed_total);
	expect(sup, c->no_receivers_total == 1, "one message was for nobody, not %llu",
	       c->no_receivers_total);
	expect(sup, c->repairs_total == 1, "one slot had to be repaired, not %llu",
	       c->repairs_total);
	expect(sup, !c->dropped_total, "%llu messages were given up", c->dropped_total);
}

/* Read and show the counters. */
void report(const struct supervisor *sup)
{
	unsigned int i;
	int err;

	err = ronbus_stats(sup->bus, RONBUS_STATS_BUS, &snapshot.bus);
	for (i = 0; i < ROLES && !err; i++)
		err = ronbus_stats(sup->bus, sup->tallies[i].index, &snapshot.subs[i]);
	expect(sup, !err, "no counters: %s", ronbus_why(sup->options->where, err));
	if (!err)
		show_table(&snapshot);
}

/* @burst: messages of that kind, which other processes published. */
void check(const struct supervisor *sup, __u64 burst)
{
	__u64 sent[KINDS];
	unsigned int i;

	memcpy(sent, sup->sent, sizeof(sent));
	sent[KIND_BURST] = burst;
	for (i = 0; i < ROLES; i++)
		check_sub(sup, &snapshot, i, sent);
	check_bus(sup, &snapshot, sent);
}
