// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * case_events.c - compact events against straightforward ones, on the recorded stream of the demo
 *
 * What kernel_demo published once is parsed, and then, in every sample, made into messages,
 * published, received and understood again, in one of these layouts:
 *
 *	compact	ronbus_events.h; the application's own events as the demo has them
 *	naive	one structure of 256 bytes for every event, with names in it: what is written down
 *		first. Its type and its words are strings, its numbers are numbers
 *	plain	the same with numbers for type and words: how much of the difference is size alone
 *
 * All say the same: what readers add up is compared. The longest lines of the kernel log are cut to
 * what the structures hold.
 */
#include <ronbus/ronbus_events.h>

#include "bus.h"
#include "cases.h"

#define BURST 200U /* as in the demo */
#define CAPACITY 256U
#define PAYLOAD 224U /* of the demo, for the compact ones */
#define EVENT_LOG RONBUS_EVENT_USER
#define EVENT_BURST (RONBUS_EVENT_USER + 1)
#define LOG_HEAD 8U
#define TEXT_SIZE 200U

/* What happened, in no layout. */
struct fact {
	__u8 tag;
	unsigned int topic;
	union ronbus_event event;
	__u64 number; /* of a burst */
	__u8 level; /* of a line of the log */
	char text[TEXT_SIZE];
};

/* What readers add up. */
struct sums {
	__u64 messages[4];
	__u64 healthy;
	__u64 rss;
	__u64 numbers;
	__u64 by_signal;
	__u64 codes;
	__u64 text;
};

enum {
	SUM_HEALTH,
	SUM_OPERATIONS,
	SUM_LOG,
	SUM_BURST
};

struct naive {
	char type[16];
	char service[16];
	__u32 pid;
	__u32 code;
	__u64 number;
	__u64 cpu_ns;
	char text[TEXT_SIZE];
};

struct plain {
	__u32 type;
	__u32 service;
	__u32 word;
	__u32 pid;
	__u32 code;
	__u32 reserved[5];
	__u64 number;
	__u64 cpu_ns;
	char text[TEXT_SIZE];
};

_Static_assert(sizeof(struct naive) == 256 && sizeof(struct plain) == 256, "as the names say");

static const char *const services[] = { "meter", "walker", "hasher" };
static const char *const health_words[] = { "ok", "degraded", "down" };
static const char *const crash_words[] = { "exit", "signal", "timeout" };

/* ---- the stream ----------------------------------------------------------------------- */

static const struct recorded {
	unsigned int count;
	unsigned int topic;
	const char *hex;
} recording[] = {
#define EVENT(count, topic, hex) { count, topic, hex },
#include "demo_stream.h"
#undef EVENT
};

static struct fact *facts;
static unsigned int nr_facts;
static struct sums expected;

static unsigned int bytes_of(const char *hex, unsigned char *to, size_t size)
{
	size_t len = strlen(hex) / 2, i;
	unsigned int byte;

	if (len > size)
		die("demo_stream.h: a message of %zu bytes", len);
	for (i = 0; i < len; i++) {
		if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
			die("demo_stream.h: not hexadecimal: %s", hex);
		to[i] = (unsigned char)byte;
	}
	return (unsigned int)len;
}

static void add_fact(const struct recorded *line, unsigned int nth)
{
	struct fact *fact = &facts[nr_facts++];
	unsigned char message[PAYLOAD];
	unsigned int len = bytes_of(line->hex, message, sizeof(message));

	*fact = (struct fact){ .topic = line->topic, .tag = ronbus_event_tag(message, len) };
	if (ronbus_event_decode(&fact->event, message, len))
		return;
	if (fact->tag == EVENT_BURST) {
		fact->number = ronbus_event_get64(message + 8) + nth;
	} else if (fact->tag == EVENT_LOG) {
		fact->level = message[1];
		snprintf(fact->text, sizeof(fact->text), "%.*s", (int)(len - LOG_HEAD),
			 (const char *)message + LOG_HEAD);
	} else {
		die("demo_stream.h: what is tag %u?", fact->tag);
	}
}

static void sum_fact(struct sums *sums, const struct fact *fact)
{
	const union ronbus_event *event = &fact->event;

	switch (fact->tag) {
	case RONBUS_EVENT_HEALTH:
		sums->messages[SUM_HEALTH]++;
		sums->healthy += event->health.status == RONBUS_HEALTH_OK;
		sums->rss += event->health.rss;
		return;
	case RONBUS_EVENT_SERVICE_CRASHED:
		sums->by_signal += event->service_crashed.reason == RONBUS_CRASH_SIGNAL;
		sums->codes += event->service_crashed.code;
		break;
	case RONBUS_EVENT_CONFIG_UPDATED:
		sums->numbers += event->config_updated.version;
		break;
	case EVENT_LOG:
		sums->messages[SUM_LOG]++;
		sums->text += strlen(fact->text);
		return;
	case EVENT_BURST:
		sums->messages[SUM_BURST]++;
		sums->numbers += fact->number;
		return;
	}
	sums->messages[SUM_OPERATIONS]++;
}

static void read_recording(void)
{
	unsigned int i, nth, total = 0;

	if (facts)
		return;
	for (i = 0; i < ARRAY_SIZE(recording); i++)
		total += recording[i].count;
	facts = calloc(total, sizeof(*facts));
	if (!facts)
		die("no memory");
	for (i = 0; i < ARRAY_SIZE(recording); i++)
		for (nth = 0; nth < recording[i].count; nth++)
			add_fact(&recording[i], nth);
	for (i = 0; i < nr_facts; i++)
		sum_fact(&expected, &facts[i]);
}

/* ---- compact -------------------------------------------------------------------------- */

static ALWAYS_INLINE void publish_compact(struct ronbus_pub *pub, const struct fact *fact)
{
	unsigned char message[PAYLOAD];
	size_t len;

	switch (fact->tag) {
	case EVENT_LOG:
		len = strlen(fact->text);
		memset(message, 0, LOG_HEAD);
		message[0] = EVENT_LOG;
		message[1] = fact->level;
		memcpy(message + LOG_HEAD, fact->text, len);
		len += LOG_HEAD;
		break;
	case EVENT_BURST:
		ronbus_event_put64(message, EVENT_BURST);
		ronbus_event_put64(message + 8, fact->number);
		len = 16;
		break;
	default:
		len = ronbus_event_encode(message, sizeof(message), &fact->event);
	}
	ronbus_publish(pub, fact->topic, message, len);
}

static ALWAYS_INLINE void read_compact(struct sums *sums, const void *message, __u32 len)
{
	const unsigned char *byte = message;
	union ronbus_event event;

	switch (ronbus_event_decode(&event, message, len)) {
	case RONBUS_EVENT_HEALTH:
		sums->messages[SUM_HEALTH]++;
		sums->healthy += event.health.status == RONBUS_HEALTH_OK;
		sums->rss += event.health.rss;
		return;
	case RONBUS_EVENT_SERVICE_CRASHED:
		sums->by_signal += event.service_crashed.reason == RONBUS_CRASH_SIGNAL;
		sums->codes += event.service_crashed.code;
		sums->messages[SUM_OPERATIONS]++;
		return;
	case RONBUS_EVENT_CONFIG_UPDATED:
		sums->numbers += event.config_updated.version;
		sums->messages[SUM_OPERATIONS]++;
		return;
	case RONBUS_EVENT_SHUTDOWN:
		sums->messages[SUM_OPERATIONS]++;
		return;
	}
	switch (ronbus_event_tag(message, len)) {
	case EVENT_LOG:
		sums->messages[SUM_LOG]++;
		sums->text += len - LOG_HEAD;
		return;
	case EVENT_BURST:
		sums->messages[SUM_BURST]++;
		sums->numbers += ronbus_event_get64(byte + 8);
		return;
	}
}

/* ---- naive ---------------------------------------------------------------------------- */

static void set(char *to, size_t size, const char *text)
{
	size_t len = strlen(text);

	memcpy(to, text, len < size ? len : size - 1);
}
#define SET(to, text) set(to, sizeof(to), text)

static ALWAYS_INLINE void publish_naive(struct ronbus_pub *pub, const struct fact *fact)
{
	const union ronbus_event *event = &fact->event;
	struct naive message = { 0 };

	switch (fact->tag) {
	case RONBUS_EVENT_HEALTH:
		SET(message.type, "Health");
		SET(message.service, services[event->health.service]);
		SET(message.text, health_words[event->health.status]);
		message.pid = event->health.pid;
		message.number = event->health.rss;
		message.cpu_ns = event->health.cpu_ns;
		break;
	case RONBUS_EVENT_SERVICE_CRASHED:
		SET(message.type, "ServiceCrashed");
		SET(message.service, services[event->service_crashed.service]);
		SET(message.text, crash_words[event->service_crashed.reason]);
		message.code = event->service_crashed.code;
		break;
	case RONBUS_EVENT_CONFIG_UPDATED:
		SET(message.type, "ConfigUpdated");
		message.number = event->config_updated.version;
		break;
	case RONBUS_EVENT_SHUTDOWN:
		SET(message.type, "Shutdown");
		break;
	case EVENT_LOG:
		SET(message.type, "Log");
		SET(message.text, fact->text);
		message.code = fact->level;
		break;
	case EVENT_BURST:
		SET(message.type, "Burst");
		message.number = fact->number;
		break;
	}
	ronbus_publish(pub, fact->topic, &message, sizeof(message));
}

static ALWAYS_INLINE void read_naive(struct sums *sums, const void *bytes, __u32 len)
{
	const struct naive *message = bytes;

	(void)len;
	if (!strcmp(message->type, "Health")) {
		sums->messages[SUM_HEALTH]++;
		sums->healthy += !strcmp(message->text, "ok");
		sums->rss += message->number;
	} else if (!strcmp(message->type, "ServiceCrashed")) {
		sums->messages[SUM_OPERATIONS]++;
		sums->by_signal += !strcmp(message->text, "signal");
		sums->codes += message->code;
	} else if (!strcmp(message->type, "ConfigUpdated")) {
		sums->messages[SUM_OPERATIONS]++;
		sums->numbers += message->number;
	} else if (!strcmp(message->type, "Shutdown")) {
		sums->messages[SUM_OPERATIONS]++;
	} else if (!strcmp(message->type, "Log")) {
		sums->messages[SUM_LOG]++;
		sums->text += strlen(message->text);
	} else if (!strcmp(message->type, "Burst")) {
		sums->messages[SUM_BURST]++;
		sums->numbers += message->number;
	}
}

/* ---- plain ---------------------------------------------------------------------------- */

static ALWAYS_INLINE void publish_plain(struct ronbus_pub *pub, const struct fact *fact)
{
	const union ronbus_event *event = &fact->event;
	struct plain message = { .type = fact->tag };

	switch (fact->tag) {
	case RONBUS_EVENT_HEALTH:
		message.service = event->health.service;
		message.word = event->health.status;
		message.pid = event->health.pid;
		message.number = event->health.rss;
		message.cpu_ns = event->health.cpu_ns;
		break;
	case RONBUS_EVENT_SERVICE_CRASHED:
		message.service = event->service_crashed.service;
		message.word = event->service_crashed.reason;
		message.code = event->service_crashed.code;
		break;
	case RONBUS_EVENT_CONFIG_UPDATED:
		message.number = event->config_updated.version;
		break;
	case EVENT_LOG:
		SET(message.text, fact->text);
		message.word = fact->level;
		break;
	case EVENT_BURST:
		message.number = fact->number;
		break;
	}
	ronbus_publish(pub, fact->topic, &message, sizeof(message));
}

static ALWAYS_INLINE void read_plain(struct sums *sums, const void *bytes, __u32 len)
{
	const struct plain *message = bytes;

	(void)len;
	switch (message->type) {
	case RONBUS_EVENT_HEALTH:
		sums->messages[SUM_HEALTH]++;
		sums->healthy += message->word == RONBUS_HEALTH_OK;
		sums->rss += message->number;
		break;
	case RONBUS_EVENT_SERVICE_CRASHED:
		sums->messages[SUM_OPERATIONS]++;
		sums->by_signal += message->word == RONBUS_CRASH_SIGNAL;
		sums->codes += message->code;
		break;
	case RONBUS_EVENT_CONFIG_UPDATED:
		sums->messages[SUM_OPERATIONS]++;
		sums->numbers += message->number;
		break;
	case RONBUS_EVENT_SHUTDOWN:
		sums->messages[SUM_OPERATIONS]++;
		break;
	case EVENT_LOG:
		sums->messages[SUM_LOG]++;
		sums->text += strlen(message->text);
		break;
	case EVENT_BURST:
		sums->messages[SUM_BURST]++;
		sums->numbers += message->number;
		break;
	}
}

/* ---- measuring ------------------------------------------------------------------------ */

#define LOOPS(layout, payload)                                                                     \
	static NOINLINE void publish_all_##layout(struct ronbus_pub *pub, const struct fact *fact, \
						  unsigned int count)                              \
	{                                                                                          \
		for (; count; count--, fact++)                                                     \
			publish_##layout(pub, fact);                                               \
	}                                                                                          \
	static NOINLINE unsigned int read_all_##layout(struct ronbus_sub *sub, struct sums *sums)  \
	{                                                                                          \
		__u64 buffer[(payload) / sizeof(__u64)];                                           \
		unsigned int received = 0;                                                         \
		struct ronbus_msg msg;                                                             \
                                                                                                   \
		while (ronbus_try_recv(sub, buffer, payload, &msg) == RONBUS_MESSAGE) {            \
			read_##layout(sums, buffer, msg.len);                                      \
			received++;                                                                \
		}                                                                                  \
		return received;                                                                   \
	}

LOOPS(compact, PAYLOAD)
LOOPS(naive, sizeof(struct naive))
LOOPS(plain, sizeof(struct plain))

static const struct layout {
	const char *name;
	unsigned int payload;
	void (*publish)(struct ronbus_pub *pub, const struct fact *fact, unsigned int count);
	unsigned int (*read)(struct ronbus_sub *sub, struct sums *sums);
} layouts[] = {
	{ "compact", PAYLOAD, publish_all_compact, read_all_compact },
	{ "naive", sizeof(struct naive), publish_all_naive, read_all_naive },
	{ "plain", sizeof(struct plain), publish_all_plain, read_all_plain },
};

static const unsigned int audiences[] = { 1, 4, 16 };

static const struct layout *layout_of(const struct cell *cell)
{
	const char *name = strrchr(cell->name, '/') + 1;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(layouts); i++)
		if (!strcmp(layouts[i].name, name))
			return &layouts[i];
	die("%s: which layout?", cell->name);
}

static void *events_setup(struct cell *cell)
{
	read_recording();
	return bus_open(cell);
}

static void events_teardown(struct cell *cell, void *state)
{
	bus_close(cell, state);
}

static double since(uint64_t start)
{
	return (double)(now_ns() - start) - settings.clock_ns;
}

static void events_sample(struct cell *cell, void *state, double *values)
{
	const struct layout *layout = layout_of(cell);
	struct sums sums[RONBUS_SUBSCRIBERS_MAX] = { 0 };
	double publish = 0, receive = 0;
	struct bus *bus = state;
	unsigned int at, some, i;
	uint64_t start;

	for (at = 0; at < nr_facts; at += some) {
		some = nr_facts - at < BURST ? nr_facts - at : BURST;
		start = now_ns();
		layout->publish(bus->pub, facts + at, some);
		publish += since(start);
		start = now_ns();
		for (i = 0; i < bus->nr_subs; i++)
			if (layout->read(bus->subs[i], &sums[i]) != some)
				die("%s: a subscriber lost messages", cell->name);
		receive += since(start);
	}
	for (i = 0; i < bus->nr_subs; i++)
		if (memcmp(&sums[i], &expected, sizeof(expected)))
			die("%s: not what was recorded was understood", cell->name);
	values[0] = publish / nr_facts;
	values[1] = (publish + receive) / nr_facts;
}

static const struct cell_ops events_ops = {
	.name = "events",
	.what = "one thread: a recorded stream made into messages, published, read and understood",
	.setup = events_setup,
	.sample = events_sample,
	.teardown = events_teardown,
};

void add_events(struct cells *cells)
{
	size_t a, l;

	for (a = 0; a < ARRAY_SIZE(audiences); a++) {
		for (l = 0; l < ARRAY_SIZE(layouts); l++) {
			const struct cell template = {
				.group = GROUP_GATES,
				.engine = "ronbus",
				.ops = &events_ops,
				.features = RONBUS_FEATURES_RECOMMENDED,
				.features_name = "recommended",
				.capacity = CAPACITY,
				.payload = layouts[l].payload,
				.subscribers = audiences[a],
				.publishers = 1,
				.burst = BURST,
				.turns = settings.quick ? 16 : 40,
			};
			struct cell *cell = cells_add(cells, &template, "gates/B5/subs%u/%s",
						      audiences[a], layouts[l].name);

			cell_add_series(cell, "publish", "ns/msg");
			cell_add_series(cell, "cycle", "ns/msg");
		}
	}
}
