// SPDX-License-Identifier: MIT
/*
 * supervisor.c - starts processes, watches them, and publishes what it sees
 *
 * One thread, one epoll set: a pidfd for each child, a signalfd, a timer for the rounds of
 * health, inotify on the directory of the configuration, and the kernel log.
 */
#include "demo.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define HEALTH_MS_DEFAULT 1000
#define HEALTH_MS_MIN 50
#define HEALTH_MS_MAX 60000
#define RESTART_MS 250 /* doubled with every start */
#define LOG_LINES 32 /* at a time: a flood of them must not keep us from the rest */

/* ---- publishing ----------------------------------------------------------------------- */

static int publish(struct supervisor *sup, enum kind kind, unsigned int topic, const void *data,
		   size_t len)
{
	int ret;

	if (!sup->pub) /* it has left the bus */
		return 0;
	ret = ronbus_publish(sup->pub, topic, data, len);
	if (ret < 0)
		say_bad("cannot publish: %s", ronbus_why(sup->options->where, ret));
	else if (ret > 0)
		sup->sent[kind]++;
	return ret;
}

int supervisor_publish(struct supervisor *sup, enum kind kind, const union ronbus_event *event)
{
	unsigned int topic = kind == KIND_HEALTH ? RONBUS_TOPIC_HEALTH : RONBUS_TOPIC_OPERATIONS;
	char message[sizeof(*event)];
	__u32 len = ronbus_event_encode(message, sizeof(message), event);

	return publish(sup, kind, topic, message, len);
}

/* ---- waiting -------------------------------------------------------------------------- */

static int watch(struct supervisor *sup, struct source *source, int fd,
		 void (*ready)(struct supervisor *sup, struct source *source))
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = source };

	if (fd < 0)
		return -errno;
	source->fd = fd;
	source->ready = ready;
	if (epoll_ctl(sup->epoll, EPOLL_CTL_ADD, fd, &event))
		return -errno;
	return 0;
}

/* Children have copies of the fd: closing ours would not take it out of the set. */
static void unwatch(struct supervisor *sup, struct source *source)
{
	if (source->fd < 0)
		return;
	epoll_ctl(sup->epoll, EPOLL_CTL_DEL, source->fd, NULL);
	close(source->fd);
	source->fd = -1;
}

/* ---- children ------------------------------------------------------------------------- */

static void child_ended(struct supervisor *sup, struct source *source)
{
	struct child *child = (struct child *)source;
	siginfo_t info = { 0 };

	if (waitid(P_PIDFD, (id_t)source->fd, &info, WEXITED | WNOHANG) || !info.si_pid)
		return;
	unwatch(sup, source);
	child->pid = 0;
	child->code = info.si_code;
	child->status = info.si_status;
	if (child->ended)
		child->ended(sup, child);
}

/*
 * What the child inherited and has no use for. The handles of the bus cannot be used across
 * fork(), and as long as anybody holds the publisher's fd the bus does not end.
 */
static void forget_supervisor(struct supervisor *sup)
{
	sigset_t none;

	ronbus_pub_close(sup->pub);
	ronbus_close(sup->bus);
	close(sup->epoll);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGALRM, SIG_DFL);
	signal(SIGINT, SIG_IGN); /* of the terminal; the supervisor sees to it that we end */
}

int child_start(struct supervisor *sup, struct child *child, const char *name,
		int (*run)(const void *arg), const void *arg)
{
	pid_t parent = getpid(), pid;

	if (child->pid)
		return -EBUSY;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		prctl(PR_SET_NAME, name);
		forget_supervisor(sup);
		exit(run(arg));
	}
	child->name = name;
	child->pid = pid;
	child->stopped = false;
	return watch(sup, &child->source, pidfd_open(pid, 0), child_ended);
}

void child_kill(const struct child *child, int sig)
{
	if (child->pid)
		pidfd_send_signal(child->source.fd, sig, NULL, 0);
}

static int service_start(struct supervisor *sup, struct service *service)
{
	int err;

	service->restart_at = 0;
	err = child_start(sup, &service->child, service_name(service->number), service_run,
			  service);
	if (err)
		return err;
	service->starts++;
	say("%s service %s, pid %d", service->starts > 1 ? "restarted" : "started",
	    service->child.name, service->child.pid);
	return 0;
}

static void service_ended(struct supervisor *sup, struct child *child)
{
	struct service *service = (struct service *)child;
	unsigned int doublings = service->starts < 6 ? service->starts - 1 : 5;
	union ronbus_event event = {
		.service_crashed = {
			.tag = RONBUS_EVENT_SERVICE_CRASHED,
			.reason = child->code == CLD_EXITED ? RONBUS_CRASH_EXIT :
							      RONBUS_CRASH_SIGNAL,
			.service = (__u16)service->number,
			.code = (__u32)child->status,
		},
	};

	if (sup->stopping)
		return;
	service->restart_at = now_ms() + (RESTART_MS << doublings);
	supervisor_publish(sup, KIND_CRASH, &event);
}

int supervisor_start_services(struct supervisor *sup)
{
	unsigned int i;
	int err;

	for (i = 0; i < SERVICES; i++) {
		sup->services[i].number = i;
		sup->services[i].child.ended = service_ended;
		err = service_start(sup, &sup->services[i]);
		if (err)
			return err;
	}
	return 0;
}

void supervisor_stop_services(struct supervisor *sup)
{
	unsigned int i;

	sup->stopping = true;
	for (i = 0; i < SERVICES; i++) {
		sup->services[i].restart_at = 0;
		child_kill(&sup->services[i].child, SIGTERM);
	}
}

static void restart_services(struct supervisor *sup)
{
	unsigned int i;

	for (i = 0; i < SERVICES; i++) {
		struct service *service = &sup->services[i];

		if (service->restart_at && now_ms() >= service->restart_at &&
		    service_start(sup, service))
			service->restart_at = now_ms() + RESTART_MS;
	}
}

/* ---- health --------------------------------------------------------------------------- */

/* From /proc/PID/stat; the name in it may hold anything, even a ")". */
static bool look_at_process(pid_t pid, struct ronbus_event_health *health)
{
	__u64 tick_ns = 1000000000ULL / (__u64)sysconf(_SC_CLK_TCK);
	char path[32], text[1024];
	unsigned long long user, system;
	const char *rest;
	size_t len;
	long rss;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	len = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[len] = '\0';
	rest = strrchr(text, ')');
	/* Fields 3 to 24; see proc(5). */
	if (!rest || sscanf(rest + 1,
			    " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu "
			    "%*d %*d %*d %*d %*d %*d %*u %*u %ld",
			    &user, &system, &rss) != 3)
		return false;
	health->cpu_ns = (user + system) * tick_ns;
	health->rss = (__u64)rss * (__u64)sysconf(_SC_PAGESIZE);
	return true;
}

static void publish_health(struct supervisor *sup, struct source *source)
{
	unsigned int i;
	__u64 rounds;

	if (read(source->fd, &rounds, sizeof(rounds)) != sizeof(rounds) || sup->stopping)
		return;
	for (i = 0; i < SERVICES; i++) {
		pid_t pid = sup->services[i].child.pid;
		union ronbus_event event = {
			.health = {
				.tag = RONBUS_EVENT_HEALTH,
				.status = RONBUS_HEALTH_DOWN,
				.service = (__u16)i,
			},
		};

		if (!sup->services[i].starts)
			continue;
		if (pid && look_at_process(pid, &event.health)) {
			event.health.status = RONBUS_HEALTH_OK;
			event.health.pid = (__u32)pid;
		}
		supervisor_publish(sup, KIND_HEALTH, &event);
	}
}

static int set_timer(struct supervisor *sup)
{
	struct timespec period = {
		.tv_sec = sup->health_ms / 1000,
		.tv_nsec = sup->health_ms % 1000 * 1000000,
	};
	struct itimerspec timer = { .it_interval = period, .it_value = period };

	return timerfd_settime(sup->timer.fd, 0, &timer, NULL) ? -errno : 0;
}

/* ---- configuration -------------------------------------------------------------------- */

/* "health_ms = N"; empty lines and comments. */
static bool read_config(const char *path, unsigned int *health_ms)
{
	FILE *f = fopen(path, "re");
	char line[256];
	bool good = true;

	if (!f)
		return false;
	*health_ms = HEALTH_MS_DEFAULT;
	while (fgets(line, sizeof(line), f)) {
		char *text = line + strspn(line, " \t\n");
		char more;

		if (!*text || *text == '#')
			continue;
		if (sscanf(text, "health_ms = %u %c", health_ms, &more) != 1 ||
		    *health_ms < HEALTH_MS_MIN || *health_ms > HEALTH_MS_MAX)
			good = false;
	}
	fclose(f);
	return good;
}

/* As a careful program does it: into a new file, which then takes the place of the old. */
bool config_replace(const char *name, unsigned int health_ms)
{
	char new_name[PATH_MAX];
	FILE *f;

	snprintf(new_name, sizeof(new_name), "%s.new", name);
	f = fopen(new_name, "we");
	if (!f)
		return false;
	fprintf(f, "# How often services are looked at.\nhealth_ms = %u\n", health_ms);
	return !fclose(f) && !rename(new_name, name);
}

static void load_config(struct supervisor *sup)
{
	union ronbus_event event = {
		.config_updated = {
			.tag = RONBUS_EVENT_CONFIG_UPDATED,
			.version = sup->config_version + 1,
		},
	};
	unsigned int health_ms;

	if (!read_config(sup->options->config, &health_ms)) {
		say_bad("%s wants a line \"health_ms = N\", N from %d to %d; nothing changes",
			sup->options->config, HEALTH_MS_MIN, HEALTH_MS_MAX);
		return;
	}
	sup->config_version++;
	sup->health_ms = health_ms;
	set_timer(sup);
	supervisor_publish(sup, KIND_CONFIG, &event);
	say("configuration version %llu: a round of health every %u ms", sup->config_version,
	    health_ms);
}

/* Editors replace a file rather than write into it, so the directory is what is watched. */
static void config_changed(struct supervisor *sup, struct source *source)
{
	_Alignas(struct inotify_event) char buffer[sizeof(struct inotify_event) + NAME_MAX + 1];
	const struct inotify_event *event = (const struct inotify_event *)buffer;
	const char *p;
	ssize_t len;

	len = read(source->fd, buffer, sizeof(buffer));
	for (p = buffer; p < buffer + len; p += sizeof(*event) + event->len) {
		event = (const struct inotify_event *)p;
		if (event->len && !strcmp(event->name, sup->config_name))
			load_config(sup);
	}
}

static int watch_config(struct supervisor *sup)
{
	const char *config = sup->options->config, *slash = strrchr(config, '/');
	char dir[PATH_MAX] = ".";
	int err;

	sup->config_name = slash ? slash + 1 : config;
	if (slash)
		snprintf(dir, sizeof(dir), "%.*s", (int)(slash - config) + 1, config);
	err = watch(sup, &sup->inotify, inotify_init1(IN_NONBLOCK | IN_CLOEXEC), config_changed);
	if (err)
		return err;
	if (inotify_add_watch(sup->inotify.fd, dir, IN_CLOSE_WRITE | IN_MOVED_TO) < 0)
		return -errno;
	return 0;
}

/* ---- kernel log ----------------------------------------------------------------------- */

/* A record reads "level,number,time,flags;text" and perhaps more lines about the device. */
static void publish_log(struct supervisor *sup, char *record)
{
	_Alignas(__u64) char message[PAYLOAD] = { 0 };
	struct log_event *event = (struct log_event *)message;
	char *text = strchr(record, ';');
	size_t len;

	if (!text)
		return;
	len = strcspn(++text, "\n");
	event->tag = EVENT_LOG;
	event->level = strtoul(record, NULL, 10) & 7;
	event->cut = len > sizeof(message) - sizeof(*event);
	if (event->cut)
		len = sizeof(message) - sizeof(*event);
	memcpy(event + 1, text, len);
	publish(sup, KIND_LOG, TOPIC_LOG, message, sizeof(*event) + len);
}

static void log_grew(struct supervisor *sup, struct source *source)
{
	char record[8192];
	unsigned int i;
	ssize_t len;

	for (i = 0; i < LOG_LINES; i++) {
		len = read(source->fd, record, sizeof(record) - 1);
		if (len < 0 && errno == EPIPE) /* the kernel overwrote some: a lossy bus, too */
			continue;
		if (len <= 0)
			return;
		record[len] = '\0';
		publish_log(sup, record);
	}
}

/* It may be forbidden, or not there at all. */
static void watch_log(struct supervisor *sup)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || lseek(fd, 0, SEEK_END) < 0)
		sup->kmsg_err = -errno;
	else
		sup->kmsg_err = watch(sup, &sup->kmsg, fd, log_grew);
}

/* ---- signals -------------------------------------------------------------------------- */

/* pidfds tell of ends. That a child was stopped only SIGCHLD says. */
static void look_for_stopped(struct supervisor *sup)
{
	siginfo_t info = { 0 };

	if (sup->publisher.pid &&
	    !waitid(P_PID, (id_t)sup->publisher.pid, &info, WSTOPPED | WNOHANG) && info.si_pid)
		sup->publisher.stopped = true;
}

static void signalled(struct supervisor *sup, struct source *source)
{
	struct signalfd_siginfo info;

	while (read(source->fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			look_for_stopped(sup);
		else
			sup->interrupted = true;
	}
}

static int watch_signals(struct supervisor *sup)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	return watch(sup, &sup->signals, signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC), signalled);
}

/* ---- the whole ------------------------------------------------------------------------ */

void supervisor_step(struct supervisor *sup, int timeout_ms)
{
	struct epoll_event events[16];
	int i, n = epoll_wait(sup->epoll, events, ARRAY_SIZE(events), timeout_ms);

	for (i = 0; i < n; i++) {
		struct source *source = events[i].data.ptr;

		if (source->fd >= 0)
			source->ready(sup, source);
	}
	restart_services(sup);
}

/* The bus and its publisher are the caller's; the configuration is there. */
int supervisor_open(struct supervisor *sup, const struct options *options)
{
	unsigned int i;
	int err;

	sup->options = options;
	sup->signals.fd = sup->timer.fd = sup->inotify.fd = sup->kmsg.fd = -1;
	sup->publisher.source.fd = -1;
	for (i = 0; i < ROLES; i++)
		sup->subscribers[i].source.fd = -1;
	for (i = 0; i < SERVICES; i++)
		sup->services[i].child.source.fd = -1;

	sup->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (sup->epoll < 0)
		return -errno;
	sup->config_version = 1;
	if (!read_config(options->config, &sup->health_ms))
		sup->health_ms = HEALTH_MS_DEFAULT;
	err = watch_signals(sup);
	if (!err)
		err = watch(sup, &sup->timer,
			    timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC),
			    publish_health);
	if (!err)
		err = set_timer(sup);
	if (!err)
		err = watch_config(sup);
	watch_log(sup);
	return err;
}

void supervisor_close(struct supervisor *sup)
{
	unwatch(sup, &sup->signals);
	unwatch(sup, &sup->timer);
	unwatch(sup, &sup->inotify);
	unwatch(sup, &sup->kmsg);
	close(sup->epoll);
}
