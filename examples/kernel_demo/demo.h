/* SPDX-License-Identifier: MIT */
/*
 * demo.h - what the files of kernel_demo share
 *
 * The processes: a supervisor, which publishes; services, which it supervises and which know
 * nothing of the bus; subscribers; and publishers that come and go. All begin with fork(), and
 * all but the services find the bus by its name.
 */
#ifndef KERNEL_DEMO_H
#define KERNEL_DEMO_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <stdbool.h>
#include <sys/types.h>

#include <libronbus.h>
#include <ronbus/ronbus_events.h>

#define CAPACITY 256
#define PAYLOAD 224 /* a slot is four cache lines then, and a line of the kernel log fits */
#define BURST 200 /* fits the ring: a subscriber that keeps up loses nothing */

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* What was given on the command line. */
struct options {
	const char *where;
	const char *name;
	const char *config;
	const char *observe; /* a shell command, or NULL */
	const char *record; /* a file, or NULL */
	int watch; /* a role, or -1 */
	bool interactive;
};

/* ---- the application's own events ----------------------------------------------------- */

enum {
	EVENT_LOG = RONBUS_EVENT_USER,
	EVENT_BURST,
};

enum {
	TOPIC_LOG = RONBUS_TOPIC_USER,
	TOPIC_BURST,
};

/* A line of the kernel log: the text, without a final NUL, is what follows. */
struct log_event {
	__u8 tag;
	__u8 level;
	__u8 cut; /* it was longer */
	__u8 reserved[5];
};

/* One of many. */
struct burst_event {
	__u8 tag;
	__u8 reserved[7];
	__u64 number;
};

/* Events by kind, for counting. */
enum kind {
	KIND_HEALTH,
	KIND_CONFIG,
	KIND_CRASH,
	KIND_SHUTDOWN,
	KIND_LOG,
	KIND_BURST,
	KIND_OTHER,
	KINDS,
};

/* ---- say.c: lines of output ----------------------------------------------------------- */

enum colour {
	COLOUR_AUTO,
	COLOUR_ALWAYS,
	COLOUR_NEVER,
};

void say_setup(enum colour when);
void say_as(const char *name, unsigned int hue);
__attribute__((format(printf, 1, 2))) void say(const char *format, ...);
__attribute__((format(printf, 1, 2))) void say_loud(const char *format, ...);
__attribute__((format(printf, 1, 2))) void say_bad(const char *format, ...);
__u64 now_ms(void);

/* ---- service.c ------------------------------------------------------------------------ */

enum {
	SERVICE_METER,
	SERVICE_WALKER,
	SERVICE_HASHER,
	SERVICES,
};

const char *service_name(unsigned int service);
int service_run(const void *service);

/* ---- subscriber.c --------------------------------------------------------------------- */

enum role {
	ROLE_HEALTH,
	ROLE_OPS,
	ROLE_LOG,
	ROLE_SLOW,
	ROLES,
};

/* What a subscriber has seen. The supervisor looks at it to see whether it is right. */
struct tally {
	__u32 joined;
	__u32 ended;
	__u32 index;
	__u32 marks; /* lines of the kernel log that hold the mark */
	__u64 seen[KINDS];
	__u64 lags;
	__u64 lost;
	__u64 disorder; /* positions that did not grow */
	__u64 config_version;
	char mark[32]; /* in; empty for none */
};

#define TALLY_GET(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define TALLY_SET(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
#define TALLY_ADD(p, v) ((void)__atomic_fetch_add(p, v, __ATOMIC_RELEASE))

struct subscriber_args {
	const struct options *options;
	enum role role;
	struct tally *tally; /* NULL: nobody looks, and nobody says when to leave */
};

const char *role_name(unsigned int role);
int subscriber_run(const void *args);

/* ---- publisher.c, victim.c, observer.c ------------------------------------------------ */

int burst_run(const void *options);
int observer_run(const void *options);
int victim_run(const void *options);

/* ---- supervisor.c --------------------------------------------------------------------- */

struct supervisor;

/* Something to wait for. */
struct source {
	int fd;
	void (*ready)(struct supervisor *sup, struct source *source);
};

struct child {
	struct source source; /* its pidfd; must be first */
	const char *name;
	pid_t pid; /* 0: it does not run */
	bool stopped;
	int code, status; /* si_code and si_status of how it ended */
	void (*ended)(struct supervisor *sup, struct child *child);
};

struct service {
	struct child child; /* must be first */
	unsigned int number;
	unsigned int starts;
	__u64 restart_at; /* 0: no */
};

struct supervisor {
	const struct options *options;
	struct ronbus *bus;
	struct ronbus_pub *pub;
	int epoll;
	struct source signals, timer, inotify, kmsg;
	int kmsg_err; /* why there is no kmsg */
	struct service services[SERVICES];
	struct child subscribers[ROLES];
	struct child publisher; /* or another one that comes and goes */
	struct tally *tallies; /* one a role, in memory shared with them */
	const char *config_name; /* without its directory */
	unsigned int health_ms;
	__u64 config_version;
	__u64 sent[KINDS]; /* published by this process */
	bool stopping; /* services that end do so because they should */
	bool interrupted;
};

int supervisor_open(struct supervisor *sup, const struct options *options);
void supervisor_close(struct supervisor *sup);
int supervisor_start_services(struct supervisor *sup);
void supervisor_stop_services(struct supervisor *sup);
int supervisor_publish(struct supervisor *sup, enum kind kind, const union ronbus_event *event);
void supervisor_step(struct supervisor *sup, int timeout_ms);
int child_start(struct supervisor *sup, struct child *child, const char *name,
		int (*run)(const void *arg), const void *arg);
void child_kill(const struct child *child, int sig);
bool config_replace(const char *name, unsigned int health_ms);

/* Go on supervising until something is so: whether it became so in time. */
#define RUN_UNTIL(sup, cond, ms)                                                    \
	({                                                                          \
		__u64 until_ = now_ms() + (ms);                                     \
		bool so_;                                                           \
		while (!(so_ = (cond)) && now_ms() < until_ && !(sup)->interrupted) \
			supervisor_step(sup, 10);                                   \
		so_;                                                                \
	})

/* ---- report.c: what has to hold, and the counters ------------------------------------- */

__attribute__((format(printf, 3, 4))) void expect(const struct supervisor *sup, bool holds,
						  const char *format, ...);
int verdict(const struct supervisor *sup);
void report(const struct supervisor *sup);
void check(const struct supervisor *sup, __u64 burst);

/* ---- script.c ------------------------------------------------------------------------- */

void script_run(struct supervisor *sup);
void script_interactive(struct supervisor *sup);

#endif /* KERNEL_DEMO_H */
