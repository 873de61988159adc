// SPDX-License-Identifier: GPL-2.0
/*
 * Chaos: many processes that call the module at random, all features mixed, on few buses; killed,
 * stopped, frozen and traced meanwhile (chaos.h has what they do). What must be true all the same:
 *
 *  - the kernel has nothing to complain about (vm/run looks at its log);
 *  - a process that is killed dies, and one that is frozen stands still, within a bounded time;
 *  - a bus beside it, whose members behave, notices nothing: its subscriber accounts for every
 *    position, and is always woken;
 *  - a subscriber of the very bus is woken for its message, if nobody can write that bus's ring;
 *  - what members do costs a publisher no more than what they are there for;
 *  - when it is quiet again, a message wakes no subscriber that does not want it, and a message that
 *    is in the ring has its block;
 *  - nothing is left.
 *
 * RONBUS_SECONDS makes each case run so long; RONBUS_SEED repeats its decisions, not their timing.
 */
#include "chaos.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/klog.h>

#include "bpf_test.skel.h"

#define LIVES 3
#define THREADS 4U
#define SLOTS 64U
#define LEN 32U

/* ---- where they are ------------------------------------------------------------------------- */

/* What /proc says of a thread, all lines or those that begin with @only. Returns how many. */
static int say_file(pid_t pid, const char *thread, const char *name, const char *only)
{
	char path[320], line[512];
	int lines = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%s/%s", pid, thread, name);
	file = fopen(path, "r");
	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, only, strlen(only)))
			continue;
		say("  %.*s", (int)strcspn(line, "\n"), line);
		lines++;
	}
	fclose(file);
	return lines;
}

static bool runs(pid_t pid, const char *thread)
{
	char path[320], state = '?';
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%s/stat", pid, thread);
	file = fopen(path, "r");
	if (file) {
		if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
			state = '?';
		fclose(file);
	}
	return state == 'R';
}

/* While it runs a thread has no stack for others, but it is preempted now and then. */
static void say_stack(pid_t pid, const char *thread)
{
	u64 end = now_ns() + 2 * SEC;
	int seen = 0;

	do {
		seen += say_file(pid, thread, "stack", "") > 0;
		usleep(3000);
	} while (seen < 3 && runs(pid, thread) && now_ns() < end);
}

/* Where all threads of a process are, and whether they get any further. */
static void say_stacks(pid_t pid)
{
	struct dirent *entry;
	char path[320];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		say("thread %s of %d:", entry->d_name, pid);
		say_stack(pid, entry->d_name);
		say_file(pid, entry->d_name, "syscall", "");
		say_file(pid, entry->d_name, "stat", "");
		say_file(pid, entry->d_name, "status", "SigPnd");
		say_file(pid, entry->d_name, "status", "ShdPnd");
		say_file(pid, entry->d_name, "status", "nonvoluntary");
	}
	if (dir)
		closedir(dir);
}

/* ---- an honest pair ------------------------------------------------------------------------- */

/**
 * struct pair - a publisher and a subscriber that behave, and what they saw; shared
 * @bus: where
 * @alone: nobody else publishes there: position and number go together
 * @stop: the publisher is to leave
 * @sent: number of the newest message for the subscriber
 * @got: number of the newest it has
 * @received: messages it has had
 * @lost: positions it has lost, as its publisher asked last
 * @told: of these it was told, with the message after them
 * @missing: messages for it that it did not get
 * @way: how it waits, or waited last
 * @wrong: what went wrong, if something did
 * @pids: publisher, subscriber
 */
struct pair {
	int bus;
	bool alone;
	u32 stop;
	u64 sent, got, received, lost, told, missing;
	u32 way;
	char wrong[160];
	pid_t pids[2];
};

#define MAGIC 0x60d5e4b2c3a19f70ULL

struct letter {
	u64 magic, number, check;
};

static bool pair_wanted(u64 number)
{
	/* Prime to the number of slots: each slot has each topic. */
	return number * 7 % 5 < 3;
}

__attribute__((format(printf, 2, 3))) static void pair_wrong(struct pair *pair, const char *format,
							     ...)
{
	va_list args;

	if (pair->wrong[0])
		return;
	va_start(args, format);
	vsnprintf(pair->wrong, sizeof(pair->wrong), format, args);
	va_end(args);
}

static int pair_send(struct publisher *p, const struct pair *pair, u64 number)
{
	struct letter letter = { MAGIC ^ pair->alone, number, random_next(number) };
	struct ronbus_vec vec = { .data = (uintptr_t)&letter, .len = sizeof(letter) };
	bool wanted = pair_wanted(number);

	return publisher_send(p, wanted ? WANTED : UNWANTED, &vec, 1);
}

/* Its publisher asks for what the subscriber has lost: that may wait on, in a read that lost it. */
static u64 pair_lost(struct pair *pair)
{
	struct ronbus_stats stats;

	/* It was the first to join. */
	if (!fd_stats(pair->bus, 0, &stats))
		RB_WRITE(&pair->lost, stats.counters.overflow_dropped_total);
	return pair->lost;
}

/* Has the subscriber got it, or lost something, since it had lost @lost? */
static bool pair_settled(struct pair *pair, u64 lost)
{
	return RB_READ(&pair->got) >= RB_READ(&pair->sent) || pair_lost(pair) != lost ||
	       pair->wrong[0];
}

/* Where the subscriber is, and what the ring has there. */
static void pair_explain(const struct pair *pair)
{
	struct ronbus_stats stats;
	struct subscriber s;
	u64 pos;

	say_stacks(pair->pids[1]);
	if (fd_stats(pair->bus, 0, &stats) ||
	    subscriber_join(&s, pair->bus, RONBUS_START_LATEST, 0))
		return;
	say("asleep at %llu, tail %llu, delivered %llu, filtered %llu, holes %llu, lost %llu",
	    (unsigned long long)stats.cursor, (unsigned long long)stats.tail,
	    (unsigned long long)stats.counters.delivered_total,
	    (unsigned long long)stats.counters.filtered_total,
	    (unsigned long long)stats.counters.holes_total,
	    (unsigned long long)stats.counters.overflow_dropped_total);
	for (pos = stats.tail - SLOTS; pos < stats.tail + 2; pos++) {
		const struct ronbus_words at = ronbus_ring_at(&s.m.ring, pos);
		struct ronbus_seen seen = ronbus_words_see(&at);
		struct letter letter;

		memcpy(&letter, ronbus_words_payload(&at, seen), sizeof(letter));
		say("%llu: lap %llu of %llu, kind %u, hole %llu, ready %#llx, topic %u, len %u%s %llu",
		    (unsigned long long)pos, (unsigned long long)ronbus_state_lap(seen.state),
		    (unsigned long long)ronbus_ring_lap(&s.m.ring, pos),
		    ronbus_state_kind(seen.state), (unsigned long long)RB_READ(at.hole),
		    (unsigned long long)ronbus_words_ready(&at, seen),
		    ronbus_words_topic(&at, seen), ronbus_words_len(&at, seen),
		    letter.magic == (MAGIC ^ pair->alone) ? " number" : ", word",
		    (unsigned long long)letter.number);
	}
	subscriber_leave(&s);
}

static void pair_publish(struct pair *pair)
{
	struct publisher p;
	u64 number = 0, lost;
	int ret;

	ret = publisher_join(&p, pair->bus, pair->alone ? RONBUS_PUBLISHER_MAPPED : 0);
	if (ret)
		pair_wrong(pair, "its publisher cannot join: %d", ret);
	while (!RB_READ(&pair->stop) && !pair->wrong[0]) {
		lost = pair_lost(pair);
		if (pair_wanted(number))
			RB_WRITE(&pair->sent, number);
		ret = pair_send(&p, pair, number);
		if (ret == -EAGAIN && !pair->alone)
			continue; /* all slots were being written */
		if (ret != 1)
			pair_wrong(pair, "publishing: %d", ret);
		/* Mostly it finds the subscriber asleep. */
		if (pair_wanted(number) && !one_in(4) && !wait_until(pair_settled(pair, lost))) {
			pair_explain(pair);
			pair_wrong(pair,
				   "asleep on message %llu (way %u): armed %#llx, blocked %#llx",
				   (unsigned long long)number, pair->way,
				   (unsigned long long)RB_READ(&p.m.page->armed),
				   (unsigned long long)RB_READ(&p.m.page->blocked));
		}
		number++;
	}
	/* On a bus that goes on there is no end to be told of: a last message instead. */
	while (!pair_wanted(number))
		number++;
	while (!pair->alone && pair_send(&p, pair, number) == -EAGAIN)
		nap();
	publisher_leave(&p);
}

/**
 * struct waiter - what a subscriber that behaves needs to wait in every way
 * @fd: the subscriber
 * @epoll: with the subscriber, or edge-triggered
 * @event: its eventfd
 * @ring: of io_uring
 */
struct waiter {
	int fd;
	int epoll[2];
	int event;
	struct io_uring ring;
	bool has_ring;
};

static int wait_by_wait(struct waiter *w)
{
	return fd_wait(w->fd, RONBUS_WAIT_FOREVER);
}

static int wait_by_poll(struct waiter *w)
{
	struct pollfd p = { .fd = w->fd, .events = POLLIN };

	return poll(&p, 1, -1) == 1 ? 0 : -errno;
}

static int wait_by_epoll(struct waiter *w)
{
	struct epoll_event event;

	return epoll_wait(w->epoll[0], &event, 1, -1) == 1 ? 0 : -errno;
}

/* Edges and eventfds tell a subscriber that has armed. */
static int wait_by_edge(struct waiter *w)
{
	struct epoll_event event;

	if (fd_arm(w->fd))
		return 0;
	return epoll_wait(w->epoll[1], &event, 1, -1) == 1 ? 0 : -errno;
}

static int wait_by_eventfd(struct waiter *w)
{
	u64 count;

	if (fd_arm(w->fd))
		return 0;
	return fd_read(w->event, &count, sizeof(count)) > 0 ? 0 : -errno;
}

/* Blocking read(2) with no room: it waits like any other, and takes nothing. */
static int wait_by_read(struct waiter *w)
{
	char nothing[1];
	int ret;

	fcntl(w->fd, F_SETFL, 0);
	ret = (int)fd_read(w->fd, nothing, sizeof(nothing));
	fcntl(w->fd, F_SETFL, O_NONBLOCK);
	return ret == -EINVAL || !ret ? 0 : ret;
}

static int wait_by_uring(struct waiter *w)
{
	struct io_uring_sqe *sqe = w->has_ring ? io_uring_get_sqe(&w->ring) : NULL;
	struct io_uring_cqe *cqe;
	int ret;

	if (!sqe)
		return wait_by_wait(w);
	if (one_in(2))
		prep_wait(sqe, w->fd, RONBUS_WAIT_FOREVER);
	else
		io_uring_prep_poll_add(sqe, w->fd, POLLIN);
	if (io_uring_submit(&w->ring) < 0 || io_uring_wait_cqe(&w->ring, &cqe))
		return -EIO;
	ret = cqe->res < 0 ? cqe->res : 0;
	io_uring_cqe_seen(&w->ring, cqe);
	return ret;
}

static int (*const ways[])(struct waiter *w) = {
	wait_by_wait,	 wait_by_poll, wait_by_epoll, wait_by_edge,
	wait_by_eventfd, wait_by_read, wait_by_uring,
};

static int waiter_init(struct waiter *w, int fd)
{
	static const u32 events[] = { EPOLLIN, EPOLLIN | EPOLLET };
	unsigned int i;

	w->fd = fd;
	w->event = eventfd(0, EFD_CLOEXEC);
	if (fd_set_eventfd(fd, w->event) || fd_nonblock(fd))
		return -errno;
	for (i = 0; i < 2; i++) {
		struct epoll_event event = { .events = events[i] };

		w->epoll[i] = epoll_create1(EPOLL_CLOEXEC);
		if (epoll_ctl(w->epoll[i], EPOLL_CTL_ADD, fd, &event))
			return -errno;
	}
	w->has_ring = !io_uring_queue_init(8, &w->ring, 0);
	return 0;
}

/* Messages for it between two that it got: all of them are missing. */
static u64 pair_missing(u64 first, u64 end)
{
	u64 missing = 0;

	for (; first < end; first++)
		missing += pair_wanted(first);
	return missing;
}

static void pair_account(struct pair *pair, const struct ronbus_record *record, u64 *next)
{
	struct letter letter;

	pair->told += record->lost;
	if (record->topic != WANTED)
		pair_wrong(pair, "topic %u, which it does not want", record->topic);
	memcpy(&letter, record + 1, sizeof(letter));
	if (record->len != sizeof(letter) || letter.magic != (MAGIC ^ pair->alone)) {
		if (pair->alone)
			pair_wrong(pair, "a message that nobody published");
		return; /* somebody else's */
	}
	if (letter.check != random_next(letter.number) || !pair_wanted(letter.number) ||
	    letter.number < *next)
		pair_wrong(pair, "message %llu, after %llu", (unsigned long long)letter.number,
			   (unsigned long long)*next);
	if (pair->alone && record->position != SLOTS + letter.number)
		pair_wrong(pair, "message %llu at %llu", (unsigned long long)letter.number,
			   (unsigned long long)record->position);
	pair->missing += pair_missing(*next, letter.number);
	if (pair->missing > pair->told)
		pair_wrong(pair, "%llu messages missing up to %llu, told of %llu",
			   (unsigned long long)pair->missing, (unsigned long long)letter.number,
			   (unsigned long long)pair->told);
	*next = letter.number + 1;
	RB_WRITE(&pair->received, pair->received + 1);
	RB_WRITE(&pair->got, letter.number);
}

/* As much as there is room for; some is left over for the look after the last record. */
static int pair_read(struct pair *pair, int fd, u64 *next)
{
	u64 buf[64 + sizeof(struct letter) / sizeof(u64)] = { 0 };
	int got = (int)fd_read(fd, buf, 64 * sizeof(u64)), at = 0;

	while (at < got) {
		const struct ronbus_record *record = (void *)((char *)buf + at);

		at += (int)sizeof(*record) + (int)((record->len + 7) & ~7U);
		if (record->len > LEN || at > got)
			return -EPROTO;
		pair_account(pair, record, next);
	}
	return got;
}

static void pair_coalesce(int fd)
{
	struct ronbus_coalesce args = {
		.messages = one_in(2) ? 0 : 2 + (u32)below(8),
		.delay_ns = 100000 + below(20000000),
	};

	do_ioctl(fd, RONBUS_IOC_COALESCE, &args); /* not every bus has it */
}

static void pair_receive(struct pair *pair, struct subscriber *s)
{
	struct waiter waiter;
	u64 next = 0;
	int ret;

	if (waiter_init(&waiter, s->m.fd))
		pair_wrong(pair, "no way to wait");
	while (!pair->wrong[0]) {
		ret = pair_read(pair, s->m.fd, &next);
		if (ret > 0)
			continue;
		if (!ret) /* the end */
			break;
		if (ret != -EAGAIN) {
			pair_wrong(pair, "reading: %d", ret);
			break;
		}
		if (RB_READ(&pair->stop) && !pair->alone)
			break;
		if (one_in(16))
			pair_coalesce(s->m.fd);
		RB_WRITE(&pair->way, (u32)below(ARRAY_SIZE(ways)));
		ret = ways[pair->way](&waiter);
		if (ret)
			pair_wrong(pair, "waiting (way %u): %d", pair->way, ret);
	}
	if (!pair->wrong[0] && !subscriber_identity(s))
		pair_wrong(pair, "the counters do not add up");
}

static int pair_subscribe(struct subscriber *s, const struct pair *pair, u64 topics)
{
	struct ronbus_subscribe args = { .start = RONBUS_START_LATEST, .topics = topics };
	int fd = do_ioctl(pair->bus, RONBUS_IOC_SUBSCRIBE, &args), err;

	if (fd < 0)
		return fd;
	err = member_map(&s->m, fd, PROT_READ);
	s->index = args.index;
	s->start = args.position;
	return err;
}

static void pair_subscriber(struct pair *pair)
{
	struct subscriber s, idle;
	int err = pair_subscribe(&s, pair, 1ULL << WANTED);

	/* The rest is for one that never reads it. */
	err = err ?: pair_subscribe(&idle, pair, 1ULL << UNWANTED | 1ULL << WANTED);
	if (err)
		pair_wrong(pair, "its subscriber cannot join: %d", err);
	RB_WRITE(&pair->got, 0);
	if (!err)
		pair_receive(pair, &s);
}

static pid_t honest_fork(u64 seed)
{
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		chance = seed;
	}
	return pid;
}

/* On a bus with INTEREST that has no other members yet. */
static bool pair_begin(struct pair *pair, int bus, bool alone)
{
	u64 seed = draw();
	struct ronbus_info info;

	pair->bus = bus;
	pair->alone = alone;
	pair->pids[1] = honest_fork(seed);
	if (!pair->pids[1]) {
		pair_subscriber(pair);
		_exit(pair->wrong[0] != 0);
	}
	if (pair->pids[1] < 0 || !wait_until(fd_info(bus, &info) || info.subscribers == 3))
		return false;
	pair->pids[0] = honest_fork(~seed);
	if (!pair->pids[0]) {
		pair_publish(pair);
		_exit(pair->wrong[0] != 0);
	}
	return pair->pids[0] > 0;
}

/* Still there, and getting on. */
static bool pair_well(const struct pair *pair)
{
	u64 received = RB_READ(&pair->received), lost = RB_READ(&pair->lost);

	return !pair->wrong[0] &&
	       wait_until(pair->wrong[0] || RB_READ(&pair->received) > received ||
			  RB_READ(&pair->lost) > lost) &&
	       !pair->wrong[0];
}

static void pair_end(struct pair *pair)
{
	int i;

	RB_WRITE(&pair->stop, 1);
	for (i = 0; i < 2; i++) {
		u64 end = now_ns() + WATCHDOG;
		int status = -1;
		pid_t pid;

		if (pair->pids[i] <= 0)
			continue;
		while (!(pid = waitpid(pair->pids[i], &status, WNOHANG)) && now_ns() < end)
			nap();
		if (pid != pair->pids[i] || status)
			pair_wrong(pair, "its %s does not leave: %d, %#x",
				   i ? "subscriber" : "publisher", pid, (unsigned int)status);
		kill(pair->pids[i], SIGKILL);
		pair->pids[i] = 0;
	}
}

/* ---- lives ---------------------------------------------------------------------------------- */

/**
 * struct life_of - a life, as the test sees it
 * @pid: its first process, whose number its process group has too; 0: none
 * @group: its cgroup, or empty
 */
struct life_of {
	pid_t pid;
	char group[96];
};

static u64 lives_begun, lives_frozen, lives_stopped, strikes;

static void group_make(struct life_of *l, int number)
{
	snprintf(l->group, sizeof(l->group), CGROUPS "/chaos-%d-%d", getpid(), number);
	if (mkdir(l->group, 0755) && errno != EEXIST)
		l->group[0] = 0;
}

static int group_write(const struct life_of *l, const char *file, const char *text)
{
	return l->group[0] ? cgroup_write(l->group, file, text) : -ENOENT;
}

static bool life_begin(struct life_of *l, struct storm *storm, int number, u64 seed)
{
	if (!l->group[0])
		group_make(l, number);
	l->pid = fork();
	if (!l->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setpgid(0, 0);
		if (l->group[0])
			cgroup_enter(l->group);
		live(storm, seed);
	}
	if (l->pid > 0)
		setpgid(l->pid, l->pid);
	lives_begun++;
	return l->pid > 0;
}

static bool has_ronbus_fd(pid_t pid)
{
	char path[64], target[64] = "";
	struct dirent *entry;
	bool has = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, atoi(entry->d_name));
		if (readlink(path, target, sizeof(target) - 1) > 0)
			has |= strstr(target, "ronbus") != NULL;
	}
	if (dir)
		closedir(dir);
	return has;
}

/* A worker of the kernel that takes a ring of io_uring away. */
static bool ends_a_ring(pid_t pid)
{
	char path[64], line[256];
	bool does = false;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stack", pid);
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
		does |= strstr(line, "io_ring_") || strstr(line, "ronbus");
	if (file)
		fclose(file);
	return does;
}

/* All that still have something of ronbus. */
static void say_holders(void)
{
	struct dirent *entry;
	DIR *dir = opendir("/proc");

	while (dir && (entry = readdir(dir))) {
		pid_t pid = atoi(entry->d_name);

		if (pid > 0 && (has_ronbus_fd(pid) || ends_a_ring(pid)))
			say_stacks(pid);
	}
	if (dir)
		closedir(dir);
}

/* What the CPUs do, by the kernel's log: a thread that runs has no stack in /proc. */
static void say_running(void)
{
	static char log[1 << 16];
	char *line = log;
	int len;

	if (write_file("/proc/sysrq-trigger", "l"))
		return;
	usleep(1000000);
	len = klogctl(3 /* SYSLOG_ACTION_READ_ALL */, log, sizeof(log) - 1);
	log[len > 0 ? len : 0] = '\0';
	while (strstr(line + 1, "sysrq: Show backtrace"))
		line = strstr(line + 1, "sysrq: Show backtrace");
	for (line = strtok(line, "\n"); line; line = strtok(NULL, "\n"))
		say("%s", line);
}

/* All that are left of a process group. */
static void say_group(pid_t group)
{
	struct dirent *entry;
	DIR *dir = opendir("/proc");

	while (dir && (entry = readdir(dir))) {
		pid_t pid = atoi(entry->d_name);

		if (pid > 0 && getpgid(pid) == group)
			say_stacks(pid);
	}
	if (dir)
		closedir(dir);
}

/*
 * After SIGKILL all of it is gone, and soon: orphans come to us. A life does not end by itself; what
 * it forks may.
 */
static bool life_end(struct life_of *l)
{
	u64 end = now_ns() + WATCHDOG;
	int status, first = SIGKILL;
	pid_t pid = l->pid, gone;

	if (pid <= 0)
		return true;
	if (one_in(2))
		group_write(l, "cgroup.kill", "1");
	kill(-pid, SIGKILL);
	while ((gone = waitpid(-pid, &status, WNOHANG)) >= 0 && now_ns() < end) {
		if (gone == pid)
			first = status;
		if (!gone)
			nap();
	}
	l->pid = 0;
	if (gone >= 0) {
		say("killed, and still there after %llu s:", WATCHDOG / SEC);
		say_group(pid);
		say_running();
		return false;
	}
	if (first != SIGKILL)
		say("a life ended with status %#x", (unsigned int)first);
	return first == SIGKILL;
}

static void life_thaw(struct life_of *l)
{
	group_write(l, "cgroup.freeze", "0");
}

/*
 * More than once: a thread of io_uring that ends may wait for others of it that are frozen or stopped
 * by then, and so be in the way. What cannot be frozen at all is so each time.
 */
static bool life_freeze(struct life_of *l)
{
	u64 end = now_ns() + WATCHDOG, again;

	if (l->pid <= 0 || group_write(l, "cgroup.freeze", "1"))
		return true;
	lives_frozen++;
	while (now_ns() < end) {
		again = now_ns() + WATCHDOG / 8;
		while (now_ns() < again) {
			if (cgroup_is(l->group, "frozen 1"))
				return true;
			nap();
		}
		life_thaw(l);
		kill(-l->pid, SIGCONT);
		usleep(100000);
		group_write(l, "cgroup.freeze", "1");
	}
	say("not frozen after %llu s:", WATCHDOG / SEC);
	say_group(l->pid);
	return false;
}

static void life_bury(struct life_of *l)
{
	if (l->group[0])
		cgroup_remove(l->group);
	l->group[0] = 0;
}

/* ---- tracing and BPF ------------------------------------------------------------------------ */

#define INSTANCE TRACEFS "/instances/chaos"

static bool traced;

static void trace_begin(void)
{
	traced = !tracefs_mount() && (!mkdir(INSTANCE, 0755) || errno == EEXIST);
}

/* One of them: to switch all takes the kernel a while. */
static void trace_toggle(void)
{
	static const char *const events[] = { "arm",  "ready",	"wake",	  "publish", "notify",
					      "join", "create", "repair", "leave" };
	char path[128];

	if (!traced)
		return;
	snprintf(path, sizeof(path), INSTANCE "/events/ronbus/ronbus_%s/enable",
		 events[below(ARRAY_SIZE(events))]);
	write_file(path, one_in(2) ? "1" : "0");
	if (one_in(16))
		write_file(INSTANCE "/trace", "");
}

static void trace_end(void)
{
	if (!traced)
		return;
	write_file(INSTANCE "/events/ronbus/enable", "0");
	rmdir(INSTANCE);
	traced = false;
}

static int be_silent(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
	return 0;
}

/* Programs that publish from where subscribers arm, and from timers. */
static struct bpf_test *bpf_begin(void)
{
	struct bpf_test *skel;

	libbpf_set_print(be_silent);
	skel = bpf_test__open_and_load();
	if (!skel)
		return NULL;
	skel->bss->topic = WANTED;
	skel->bss->most = ~0ULL;
	skel->links.from_arm = bpf_program__attach(skel->progs.from_arm);
	skel->links.from_hardirq = bpf_program__attach(skel->progs.from_hardirq);
	return skel;
}

/* ---- preemption ------------------------------------------------------------------------------ */

/*
 * Where the kernel can be told to, it is preempted anywhere: in the middle of the module, too, and
 * for as long as it takes others to do all that they can.
 */
#define PREEMPT "/sys/kernel/debug/sched/preempt"

static char preempt_before[16];

static void preempt_begin(void)
{
	char line[64] = "", *mode;
	FILE *file = fopen(PREEMPT, "r");

	if (!file)
		return;
	/* As in "none (voluntary) full" */
	if (fgets(line, sizeof(line), file) && (mode = strchr(line, '(')))
		sscanf(mode, "(%15[a-z])", preempt_before);
	fclose(file);
	write_file(PREEMPT, "full");
}

static void preempt_end(void)
{
	if (preempt_before[0])
		write_file(PREEMPT, preempt_before);
}

/* This thread on a CPU of those there are; and before all others there, if it can be. */
static void stay_on(unsigned int cpu, int priority)
{
	struct sched_param param = { .sched_priority = priority };
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu % (unsigned int)sysconf(_SC_NPROCESSORS_ONLN), &set);
	sched_setaffinity(0, sizeof(set), &set);
	sched_setscheduler(0, priority ? SCHED_FIFO : SCHED_OTHER, &param);
}

/* ---- the fixture ---------------------------------------------------------------------------- */

FIXTURE(chaos)
{
	int control;
	u64 seed;
	struct storm *storm;
	struct pair *pairs; /* beside, and among members that misbehave */
	struct life_of lives[LIVES];
	struct bpf_test *bpf;
};

#define BESIDE_FEATURES (RONBUS_F_EDGE_NOTIFY | RONBUS_F_INTEREST | RONBUS_F_COALESCE)

FIXTURE_SETUP(chaos)
{
	int bus;

	self->control = OPEN_CONTROL();
	ASSERT_TRUE(wait_until(!vmalloc_areas()));
	self->seed = random_seed();
	say_since = now_ns();
	chance = self->seed;
	self->storm = shared_memory(sizeof(*self->storm));
	self->pairs = shared_memory(2 * sizeof(*self->pairs));
	ASSERT_NE(NULL, self->storm);
	ASSERT_NE(NULL, self->pairs);
	/* Orphans of lives are ours. */
	ASSERT_EQ(0, prctl(PR_SET_CHILD_SUBREAPER, 1));
	preempt_begin();
	self->storm->control = self->control;
	self->storm->threads = THREADS;
	bus = bus_create(self->control, (struct ronbus_create){ .features = BESIDE_FEATURES,
								.capacity = SLOTS,
								.payload = LEN });
	ASSERT_LE(0, bus);
	ASSERT_TRUE(pair_begin(&self->pairs[0], bus, true)) TH_LOG("%s", self->pairs[0].wrong);
	close(bus);
}

static void say_operations(const struct storm *storm)
{
	u64 done = 0, answered = 0;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		done += storm->done[i];
		answered += storm->answered[i];
		if (storm->done[i] && !storm->answered[i])
			say("%s: %llu times, and never without an error", ops[i].name,
			    (unsigned long long)storm->done[i]);
	}
	say("%llu operations, %llu without an error; %llu strikes, %llu lives, %llu frozen, "
	    "%llu stopped",
	    (unsigned long long)done, (unsigned long long)answered, (unsigned long long)strikes,
	    (unsigned long long)lives_begun, (unsigned long long)lives_frozen,
	    (unsigned long long)lives_stopped);
}

FIXTURE_TEARDOWN(chaos)
{
	unsigned int i;

	for (i = 0; i < LIVES; i++) {
		life_thaw(&self->lives[i]);
		EXPECT_TRUE(life_end(&self->lives[i]));
		life_bury(&self->lives[i]);
	}
	trace_end();
	preempt_end();
	if (self->bpf)
		bpf_test__destroy(self->bpf);
	EXPECT_TRUE(pair_well(&self->pairs[0]));
	for (i = 0; i < 2; i++) {
		pair_end(&self->pairs[i]);
		EXPECT_EQ(0, self->pairs[i].wrong[0])
		TH_LOG("the pair %s: %s", i ? "among them" : "beside", self->pairs[i].wrong);
	}
	for (i = 0; i < self->storm->nr_buses; i++)
		close(self->storm->buses[i]);
	EXPECT_TRUE(wait_until(!vmalloc_areas()))
	{
		TH_LOG("%ld areas are left", vmalloc_areas());
		say_holders();
	}
	close(self->control);
	say_operations(self->storm);
	say("beside: %llu received, %llu lost; among: %llu received, %llu lost",
	    (unsigned long long)self->pairs[0].received, (unsigned long long)self->pairs[0].lost,
	    (unsigned long long)self->pairs[1].received, (unsigned long long)self->pairs[1].lost);
	if (_metadata->exit_code == KSFT_FAIL)
		TH_LOG("to repeat it: RONBUS_SEED=%llu", (unsigned long long)self->seed);
}

/* One more bus for the storm, which lives as long as the test. */
static int storm_bus(FIXTURE_DATA(chaos) * self, struct ronbus_create args)
{
	struct storm *storm = self->storm;
	int bus;

	args.flags |= RONBUS_BUS_PERSISTENT;
	args.payload = LEN;
	bus = bus_create(self->control, args);
	storm->buses[storm->nr_buses++] = bus;
	return bus;
}

#define STORM_BUS(slots, ...)                                                                      \
	({                                                                                         \
		int __bus =                                                                        \
			storm_bus(self, (struct ronbus_create){ .capacity = slots, __VA_ARGS__ }); \
		ASSERT_LE(0, __bus);                                                               \
		__bus;                                                                             \
	})

/* ---- a storm -------------------------------------------------------------------------------- */

static bool storm_fill(FIXTURE_DATA(chaos) * self)
{
	int i;

	for (i = 0; i < LIVES; i++)
		if (!self->lives[i].pid && !life_begin(&self->lives[i], self->storm, i, draw()))
			return false;
	return true;
}

static void storm_stop(struct life_of *l, int signal)
{
	kill(-l->pid, signal);
	lives_stopped += signal == SIGSTOP;
}

/* Something happens to one of them. False if it does not take it as it must. */
static bool storm_strike(FIXTURE_DATA(chaos) * self)
{
	struct life_of *l = &self->lives[below(LIVES)];
	bool well = true;

	strikes++;
	switch (below(self->storm->groups & G_STALL ? 5 : 8)) {
	case 0:
		storm_stop(l, SIGSTOP);
		break;
	case 1:
	case 2:
		storm_stop(l, SIGCONT);
		break;
	case 3:
		well = life_end(l);
		break;
	case 4:
		storm_stop(l, SIGSTOP);
		well = life_end(l);
		break;
	case 5: /* killed while it is frozen */
		well = life_freeze(l) && life_end(l);
		life_thaw(l);
		break;
	case 6:
		well = life_freeze(l);
		life_thaw(l);
		break;
	}
	return well;
}

/* All at once, so that what the last one wrote into a ring stays there. */
static bool storm_end(FIXTURE_DATA(chaos) * self)
{
	bool well = true;
	int i;

	for (i = 0; i < LIVES; i++)
		if (self->lives[i].pid > 0)
			kill(-self->lives[i].pid, SIGKILL);
	for (i = 0; i < LIVES; i++)
		well &= life_end(&self->lives[i]);
	return well;
}

/* Run it until @end; @meanwhile is done between two strikes. */
static bool storm_run(FIXTURE_DATA(chaos) * self, u64 end,
		      bool (*meanwhile)(FIXTURE_DATA(chaos) * self))
{
	bool well = true;

	while (well && now_ns() < end) {
		well = storm_fill(self);
		usleep(20000 + (useconds_t)below(300000));
		if (self->bpf)
			self->bpf->bss->on = one_in(2);
		if (one_in(4))
			trace_toggle();
		well = well && storm_strike(self);
		if (well && one_in(6))
			well = storm_end(self);
		if (well && meanwhile)
			well = meanwhile(self);
		well = well && pair_well(&self->pairs[0]);
		if (well && self->pairs[1].bus)
			well = pair_well(&self->pairs[1]);
	}
	return storm_end(self) && well;
}

/* ---- when it is quiet again ------------------------------------------------------------------ */

/**
 * struct quiet - what wakes sleepers that want nothing, where nobody does anything wrong any more
 * @joined: subscribers there were
 * @busy: of them told that there is something
 * @due: set of those that a message for others would have woken
 * @wakes: times they were woken
 */
struct quiet {
	int joined, busy;
	u64 due, wakes;
};

#define QUIET_TOPIC 7U
#define OTHER_TOPIC 8U

/*
 * On a bus that nobody uses any more: sleepers in all places, asleep on a topic that nobody
 * publishes (until there are @messages of it), and messages of another topic. The subscriber
 * that had a place before left nothing there.
 */
static int quiet_look(int bus, u32 messages, struct quiet *quiet)
{
	int fds[RONBUS_SUBSCRIBERS_MAX], other, pub, n, i;
	const struct ronbus_coalesce coalesce = { .messages = messages,
						  .delay_ns = RONBUS_COALESCE_DELAY_MAX };
	struct ronbus_vec vec = { .data = (uintptr_t)life_data, .len = 8 };
	struct ronbus_stats before, after;
	struct member m;

	memset(quiet, 0, sizeof(*quiet));
	pub = fd_publisher(bus, 0, NULL);
	if (pub < 0 || member_map(&m, pub, 0))
		return pub;
	other = subscribe_at(bus, RONBUS_START_LATEST, 1ULL << OTHER_TOPIC);
	for (n = 0; n < RONBUS_SUBSCRIBERS_MAX; n++) {
		fds[n] = subscribe_at(bus, RONBUS_START_LATEST, 1ULL << QUIET_TOPIC);
		if (fds[n] < 0)
			break;
		do_ioctl(fds[n], RONBUS_IOC_COALESCE, &coalesce);
		quiet->busy += fd_arm(fds[n]) != 0;
	}
	quiet->joined = n;
	quiet->due = RB_READ(&m.page->armed) & RB_READ(&m.page->blocked);
	if (fd_stats(bus, RONBUS_STATS_BUS, &before))
		n = 0;
	for (i = 0; i < 16; i++)
		fd_publish(pub, OTHER_TOPIC, &vec, 1, NULL);
	if (!fd_stats(bus, RONBUS_STATS_BUS, &after))
		quiet->wakes = after.counters.wakes_total[RONBUS_WAKE_DATA] -
			       before.counters.wakes_total[RONBUS_WAKE_DATA];
	while (n--)
		close(fds[n]);
	member_unmap(&m);
	close(other);
	close(pub);
	return 0;
}

/* First such that want several, for the others clear up what they find. */
#define EXPECT_QUIET(bus)                                                    \
	do {                                                                 \
		struct quiet __quiet;                                        \
		u32 __messages;                                              \
		for (__messages = 8; __messages <= 8; __messages -= 8) {     \
			EXPECT_EQ(0, quiet_look(bus, __messages, &__quiet)); \
			EXPECT_LT(8, __quiet.joined);                        \
			EXPECT_EQ(0, __quiet.busy);                          \
			EXPECT_EQ(0, __quiet.due)                            \
			{                                                    \
				TH_LOG("unwanted messages need NOTIFY");     \
			}                                                    \
			EXPECT_EQ(0, __quiet.wakes);                         \
		}                                                            \
	} while (0)

/* ---- what members cost a publisher ----------------------------------------------------------- */

#define SAMPLES 31

/**
 * struct price - what publishes cost by system call, in nanoseconds of the caller's CPU
 * @pub: the publisher
 * @fds: subscribers to wake, on a bus of our own
 * @subscribers: how many
 * @samples: what each publish cost
 * @n: how many
 */
struct price {
	int pub;
	int fds[RONBUS_SUBSCRIBERS_MAX];
	int subscribers;
	u32 samples[SAMPLES];
	unsigned int n;
};

static u64 cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (u64)ts.tv_sec * SEC + (u64)ts.tv_nsec;
}

static int price_begin(struct price *price, int bus, int subscribers)
{
	int i;

	memset(price, 0, sizeof(*price));
	price->pub = fd_publisher(bus, 0, NULL);
	price->subscribers = subscribers;
	for (i = 0; i < subscribers; i++) {
		price->fds[i] = subscribe_at(bus, RONBUS_START_LATEST, 1ULL << WANTED);
		if (price->fds[i] < 0)
			return price->fds[i];
	}
	return price->pub < 0 ? price->pub : 0;
}

static void price_end(struct price *price)
{
	while (price->subscribers)
		close(price->fds[--price->subscribers]);
	close(price->pub);
}

static void price_take(struct price *price)
{
	struct ronbus_vec vec = { .data = (uintptr_t)life_data, .len = 8 };
	u64 began = cpu_ns();

	fd_publish(price->pub, WANTED, &vec, 1, NULL);
	if (price->n < SAMPLES)
		price->samples[price->n++] = (u32)(cpu_ns() - began);
}

static int price_less(const void *a, const void *b)
{
	u32 x = *(const u32 *)a, y = *(const u32 *)b;

	return (x > y) - (x < y);
}

static u64 price_median(struct price *price)
{
	qsort(price->samples, price->n, sizeof(price->samples[0]), price_less);
	return price->n ? price->samples[price->n / 2] : 0;
}

/* How many times the price of a publish beside them is that among them. */
static u64 price_compare(struct price *beside, struct price *among)
{
	u64 usual, paid;
	int i;

	beside->n = among->n = 0;
	for (i = 0; i < SAMPLES; i++) {
		price_take(beside);
		price_take(among);
	}
	usual = price_median(beside);
	paid = price_median(among);
	return paid / (usual ?: 1);
}

/* ---- the cases ------------------------------------------------------------------------------- */

/* Everything at once. The pair is on a bus whose ring nobody can write. */
TEST_F_TIMEOUT(chaos, everything, 28800)
{
	u64 end = now_ns() + test_seconds(12) * SEC;
	struct storm *storm = self->storm;
	int among;

	storm->groups = G_ALL & ~G_STALL;
	storm->drop_uid = true;
	among = STORM_BUS(64, .flags = RONBUS_BUS_MAP_NONE,
			  .features = BESIDE_FEATURES | RONBUS_F_BLOCKS, .blocks = 128);
	STORM_BUS(64, .flags = RONBUS_BUS_MAP_ALL, .features = BESIDE_FEATURES | RONBUS_F_BATCH);
	STORM_BUS(4096, .flags = RONBUS_BUS_MAP_ALL,
		  .features = RONBUS_F_INTEREST | RONBUS_F_COALESCE);
	STORM_BUS(16, .flags = RONBUS_BUS_MAP_ALL | RONBUS_BUS_EXCLUSIVE,
		  .features = RONBUS_F_EDGE_NOTIFY | RONBUS_F_SOA);
	ASSERT_TRUE(pair_begin(&self->pairs[1], among, false)) TH_LOG("%s", self->pairs[1].wrong);
	trace_begin();
	self->bpf = bpf_begin();
	if (self->bpf)
		storm->bpf_token = &self->bpf->bss->token;
	else
		say("no BPF programs here");
	EXPECT_TRUE(storm_run(self, end, NULL));
}

/* Subscribers that coalesce leave while they are notified, for others to have their place. */
TEST_F_TIMEOUT(chaos, leaving, 28800)
{
	u64 end = now_ns() + test_seconds(6) * SEC;
	struct storm *storm = self->storm;
	int edge;

	storm->groups =
		G_JOIN | G_VISIT | G_PUBLISH | G_NOTIFY | G_WAIT | G_COALESCE | G_MAP | G_MAPPED;
	storm->heavy = G_VISIT | G_NOTIFY;
	edge = STORM_BUS(4096, .features = BESIDE_FEATURES);
	STORM_BUS(4096, .features = RONBUS_F_INTEREST | RONBUS_F_COALESCE);
	EXPECT_TRUE(storm_run(self, end, NULL));
	EXPECT_QUIET(edge);
}

/* A ring of nonsense under all that read it: they end when they are told to. */
TEST_F_TIMEOUT(chaos, hostile_ring, 28800)
{
	u64 end = now_ns() + test_seconds(6) * SEC;
	struct storm *storm = self->storm;

	storm->groups = G_JOIN | G_PUBLISH | G_WAIT | G_READ | G_COALESCE | G_ASK | G_MAP |
			G_MAPPED | G_SCRIBBLE | G_CURSOR | G_URING;
	storm->heavy = G_READ | G_SCRIBBLE;
	STORM_BUS(64, .features = RONBUS_F_EDGE_NOTIFY);
	STORM_BUS(64, .features = BESIDE_FEATURES);
	STORM_BUS(1024, .features = RONBUS_F_INTEREST | RONBUS_F_SOA);
	EXPECT_TRUE(storm_run(self, end, NULL));
}

/*
 * Members that coalesce, want what nobody publishes, arm while a message is being written, and turn
 * their cursors back. Then they stand still, so that it is not their running that is measured, nor
 * what they do next, but what each publish has to do on their account as long as they are there:
 * no more than COST_MOST of those that wake one subscriber.
 */
#define COST_SLOTS 4096U
#define COST_MOST 10U

static void signal_all(FIXTURE_DATA(chaos) * self, int signal)
{
	int i;

	for (i = 0; i < LIVES; i++)
		kill(-self->lives[i].pid, signal);
}

/* Something to look over. */
static int publish_unwanted(int bus, u32 n)
{
	int pub = fd_publisher(bus, 0, NULL), sub = subscribe_at(bus, RONBUS_START_LATEST, 1),
	    ret = 0;
	struct ronbus_vec vec = { .data = (uintptr_t)life_data, .len = 8 };

	while (n-- && ret >= 0)
		ret = fd_publish(pub, 0, &vec, 1, NULL);
	close(sub);
	close(pub);
	return ret;
}

static void run_cost(struct __test_metadata *_metadata, FIXTURE_DATA(chaos) * self, u64 features)
{
	u64 end = now_ns() + test_seconds(4) * SEC, ratio, most = 0;
	struct ronbus_create args = { .features = features,
				      .capacity = COST_SLOTS,
				      .payload = LEN,
				      .flags = RONBUS_BUS_PERSISTENT };
	bool edge = features & RONBUS_F_EDGE_NOTIFY;
	struct storm *storm = self->storm;
	struct price beside, among;
	int quiet, misused;

	storm->groups = G_JOIN | G_NOTIFY | G_WAIT | G_COALESCE | G_TOPICS | G_MAP | G_MAPPED |
			G_CURSOR | G_URING;
	storm->heavy = G_COALESCE | G_WAIT | G_CURSOR | G_MAP | (edge ? G_MAPPED : 0);
	storm->stay = storm->hungry = true;
	misused = STORM_BUS(COST_SLOTS, .features = features);
	quiet = bus_create(self->control, args);
	/* Without EDGE_NOTIFY everybody is woken by each. */
	ASSERT_EQ(0, price_begin(&beside, quiet, edge ? 1 : RONBUS_SUBSCRIBERS_MAX));
	ASSERT_EQ(0, price_begin(&among, misused, 1));
	ASSERT_LE(0, publish_unwanted(misused, COST_SLOTS));
	while (now_ns() < end && most <= COST_MOST) {
		ASSERT_TRUE(storm_fill(self));
		usleep(300000);
		signal_all(self, SIGSTOP);
		usleep(20000);
		ratio = price_compare(&beside, &among);
		most = ratio > most ? ratio : most;
		signal_all(self, SIGCONT);
	}
	EXPECT_GE(COST_MOST, most);
	say("a publish costs up to %llu times as much", (unsigned long long)most);
	EXPECT_TRUE(storm_end(self));
	price_end(&beside);
	price_end(&among);
	close(quiet);
}

TEST_F_TIMEOUT(chaos, cost, 28800)
{
	run_cost(_metadata, self, RONBUS_F_INTEREST | RONBUS_F_COALESCE);
}

TEST_F_TIMEOUT(chaos, cost_edge, 28800)
{
	run_cost(_metadata, self, BESIDE_FEATURES);
}

/* ---- several contexts on one subscriber ------------------------------------------------------- */

#define SLEEPERS 3
#define ARMERS 2
#define CONTEXTS (SLEEPERS + ARMERS)

/**
 * struct context - a thread that waits for the subscriber, or arms it
 * @contexts: all of them
 * @number: which one it is
 * @done: the last round it came to the end of
 */
struct context {
	struct contexts *contexts;
	unsigned int number;
	u64 done;
};

/**
 * struct contexts - threads that share a subscriber, and what they are told
 * @fd: the subscriber
 * @event: its eventfd
 * @round: which one it is; begins when it changes
 * @arming: the threads that arm go on
 * @stop: no more rounds
 * @seed: for their chances
 * @each: the threads
 */
struct contexts {
	int fd;
	int event;
	u64 round;
	u32 arming, stop;
	u64 seed;
	struct context each[CONTEXTS];
};

static void sleep_by_uring(int fd)
{
	struct io_uring_sqe *sqe = next_sqe();
	struct io_uring_cqe *cqe;

	if (!sqe)
		return;
	prep_wait(sqe, fd, RONBUS_WAIT_FOREVER);
	io_uring_submit(&thread_ring);
	if (!io_uring_wait_cqe(&thread_ring, &cqe))
		io_uring_cqe_seen(&thread_ring, cqe);
}

/* A thread that is told "armed" hears of what comes by the eventfd, though others find it first. */
static void sleep_by_eventfd(int fd, int event)
{
	struct pollfd p = { .fd = event, .events = POLLIN };
	u64 count;

	while (fd_read(event, &count, sizeof(count)) > 0)
		;
	if (!fd_arm(fd))
		poll(&p, 1, -1);
}

/*
 * Asleep until there is something, in one way or another. One of them has the eventfd: a thread
 * that reads it takes it from the others.
 */
static void context_sleep(struct contexts *all, bool has_event)
{
	struct pollfd p = { .fd = all->fd, .events = POLLIN };

	switch (below(has_event ? 6 : 3)) {
	case 0:
		fd_wait(all->fd, RONBUS_WAIT_FOREVER);
		break;
	case 1:
		poll(&p, 1, -1);
		break;
	case 2:
		sleep_by_uring(all->fd);
		break;
	default:
		sleep_by_eventfd(all->fd, all->event);
	}
}

/* Armed, or looked, and on. */
static void context_arm(struct contexts *all)
{
	while (RB_READ(&all->arming))
		if (one_in(8))
			fd_poll(all->fd, POLLIN);
		else if (one_in(8))
			fd_wait(all->fd, now_ns() + below(20000));
		else
			fd_arm(all->fd);
}

static void *context_main(void *arg)
{
	struct context *me = arg;
	struct contexts *all = me->contexts;

	chance = random_next(all->seed + me->number);
	stay_on(0, me->number < SLEEPERS ? 2 : 0);
	while (!RB_READ(&all->stop)) {
		u64 round = RB_READ(&all->round);

		if (round == me->done) {
			usleep(50);
			continue;
		}
		if (me->number < SLEEPERS)
			context_sleep(all, !me->number);
		else
			context_arm(all);
		RB_WRITE(&me->done, round);
	}
	if (thread_has_ring)
		io_uring_queue_exit(&thread_ring);
	return NULL;
}

static bool contexts_done(const struct contexts *all, unsigned int first)
{
	for (; first < CONTEXTS; first++)
		if (RB_READ(&all->each[first].done) != all->round)
			return false;
	return true;
}

/*
 * A round. The sleepers sleep. The armers are stopped wherever they are, since this thread goes
 * before them, and the sleepers before this thread. It claims a position, for others, and another
 * publisher publishes after that, for the sleepers: they look, find nothing yet, and sleep again.
 * The armers go on. Then the first position is committed: now there is something, and each sleeper
 * is to be told.
 */
static void contexts_round(struct contexts *all, struct publisher *slow, struct publisher *fast)
{
	const struct ronbus_ring *ring = &slow->m.ring;
	u64 audience = RB_LOAD_ACQUIRE(&slow->m.page->audience[UNWANTED]);
	struct ronbus_claim claim = { .pos = ronbus_ring_hint(ring) };
	struct ronbus_vec vec = { .data = (uintptr_t)life_data, .len = 8 };
	bool claimed;

	RB_WRITE(&all->arming, 1);
	RB_WRITE(&all->round, all->round + 1);
	usleep(100 + (useconds_t)below(300));
	claimed = !one_in(8) && !publisher_claim(slow, &claim);
	publisher_send(fast, WANTED, &vec, 1);
	if (!one_in(4))
		RB_WRITE(&all->arming, 0);
	usleep((useconds_t)below(300));
	if (claimed) {
		ronbus_ring_write(ring, claim.pos, audience, UNWANTED, life_data, 8);
		ronbus_ring_commit_last(ring, claim.pos, slow->id);
		ronbus_ring_advance(ring, claim.pos + 1);
		publisher_wake(slow, UNWANTED, audience, claim.pos + 1);
	}
	RB_WRITE(&all->arming, 0);
}

static void run_contexts(struct __test_metadata *_metadata, FIXTURE_DATA(chaos) * self,
			 u32 messages)
{
	u64 end = now_ns() + test_seconds(5) * SEC;
	int bus = STORM_BUS(COST_SLOTS, .features = BESIDE_FEATURES), other;
	struct ronbus_coalesce coalesce = { .messages = messages, .delay_ns = 2000000 };
	struct publisher slow, fast;
	struct contexts all = { 0 };
	pthread_t threads[CONTEXTS];
	struct subscriber sub;
	unsigned int i;

	other = subscribe_at(bus, RONBUS_START_LATEST, 1ULL << UNWANTED);
	ASSERT_LE(0, other);
	ASSERT_EQ(0, publisher_join(&slow, bus, RONBUS_PUBLISHER_MAPPED));
	ASSERT_EQ(0, publisher_join(&fast, bus, 0));
	all.fd = subscribe_at(bus, RONBUS_START_LATEST, 1ULL << WANTED);
	ASSERT_LE(0, all.fd);
	all.event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ASSERT_EQ(0, fd_set_eventfd(all.fd, all.event));
	ASSERT_EQ(0, member_map(&sub.m, all.fd, PROT_READ));
	ASSERT_EQ(0, do_ioctl(all.fd, RONBUS_IOC_COALESCE, &coalesce));
	all.seed = draw();
	for (i = 0; i < CONTEXTS; i++) {
		all.each[i].contexts = &all;
		all.each[i].number = i;
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, context_main, &all.each[i]));
	}
	stay_on(0, 1);
	while (now_ns() < end) {
		contexts_round(&all, &slow, &fast);
		ASSERT_TRUE(wait_until(contexts_done(&all, SLEEPERS)));
		ASSERT_TRUE(wait_until(contexts_done(&all, 0)))
		TH_LOG("round %llu: asleep on a message: armed %#llx, blocked %#llx",
		       (unsigned long long)all.round,
		       (unsigned long long)RB_READ(&slow.m.page->armed),
		       (unsigned long long)RB_READ(&slow.m.page->blocked));
		/* All that there is has been seen. */
		RB_WRITE(&sub.m.self->cursor, ronbus_ring_tail(&slow.m.ring));
	}
	say("%llu rounds", (unsigned long long)all.round);
	RB_WRITE(&all.stop, 1);
	for (i = 0; i < CONTEXTS; i++)
		pthread_join(threads[i], NULL);
	member_unmap(&sub.m);
	close(all.event);
	close(all.fd);
	close(other);
	publisher_leave(&slow);
	publisher_leave(&fast);
	EXPECT_QUIET(bus);
}

TEST_F_TIMEOUT(chaos, contexts, 28800)
{
	run_contexts(_metadata, self, 0);
}

TEST_F_TIMEOUT(chaos, contexts_coalescing, 28800)
{
	run_contexts(_metadata, self, 3);
}

/* ---- blocks ----------------------------------------------------------------------------------- */

/**
 * struct kept - the messages in a ring, and their blocks
 * @messages: that name a block
 * @stale: whose block is somebody else's by now
 */
struct kept {
	unsigned int messages, stale;
};

/* Nobody publishes. */
static int blocks_look(int bus, struct kept *kept)
{
	struct ronbus_block_ref ref;
	struct ronbus_blocks blocks;
	struct subscriber s;
	u64 tail, pos;
	void *mapped;
	int err;

	memset(kept, 0, sizeof(*kept));
	err = subscriber_join(&s, bus, RONBUS_START_LATEST, 0);
	if (err)
		return err;
	mapped = fd_map(s.m.fd, s.m.info.blocks_bytes, PROT_READ, RONBUS_MMAP_BLOCKS);
	if (mapped == MAP_FAILED)
		return -errno;
	ronbus_blocks_view(&blocks, mapped, s.m.info.blocks, s.m.info.block_size);
	tail = ronbus_ring_tail(&s.m.ring);
	/* Before the first position there never was one. */
	pos = tail - s.m.info.capacity;
	if (pos < s.m.info.capacity)
		pos = s.m.info.capacity;
	for (; pos < tail; pos++) {
		const struct ronbus_words at = ronbus_ring_at(&s.m.ring, pos);
		union ronbus_found found;

		if (ronbus_ring_look(&s.m.ring, pos, &found) != RONBUS_LOOK_READY)
			continue;
		memcpy(&ref,
		       (const char *)ronbus_words_payload(&at, found.seen) +
			       ronbus_words_len(&at, found.seen) - sizeof(ref),
		       sizeof(ref));
		kept->messages++;
		if (ronbus_blocks_named(&blocks, &ref) &&
		    RB_READ(&blocks.generations[ref.block]) == ref.generation)
			continue;
		kept->stale++;
		say("%llu before the tail, block %u: %llu, and not %llu",
		    (unsigned long long)(tail - pos), ref.block,
		    (unsigned long long)RB_READ(&blocks.generations[ref.block % blocks.count]),
		    (unsigned long long)ref.generation);
	}
	munmap(mapped, s.m.info.blocks_bytes);
	subscriber_leave(&s);
	return 0;
}

static int blocks_publish(int pub)
{
	struct ronbus_publish_block args = { .data = (uintptr_t)life_data, .len = 64 };

	return do_ioctl(pub, RONBUS_IOC_PUBLISH_BLOCK, &args);
}

static int blocks_pubs[2];

/* Nobody pins anything, so a block is to be had sooner or later, whichever publisher stalls. */
static bool blocks_go_on(FIXTURE_DATA(chaos) * self)
{
	bool well = true;
	int i;

	(void)self;
	for (i = 0; i < 2; i++)
		well &= wait_until(!blocks_publish(blocks_pubs[i]));
	if (!well)
		say("publishers that stall keep all blocks to themselves");
	return well;
}

/* More than are being written at a time. */
#define SPARE 16U

static_assert(SPARE > LIVES * THREADS, "each may be writing one");

/*
 * Publishers whose page faults take as long as they like, or fail. There are as many blocks as
 * there are slots and can be written at a time, or few.
 */
TEST_F_TIMEOUT(chaos, blocks, 28800)
{
	u64 end = now_ns() + test_seconds(5) * SEC;
	struct storm *storm = self->storm;
	struct kept kept;
	int subs[2], i;

	storm->groups = G_BLOCK | G_JOIN | G_STALL;
	storm->heavy = G_BLOCK;
	for (i = 0; i < 2; i++) {
		int bus = STORM_BUS(SLOTS, .flags = RONBUS_BUS_MAP_NONE,
				    .blocks = i ? 4 : SLOTS + SPARE, .block_size = STALL_BYTES,
				    .features = RONBUS_F_BLOCKS | RONBUS_F_EDGE_NOTIFY);

		blocks_pubs[i] = fd_publisher(bus, 0, NULL);
		subs[i] = fd_subscribe(bus, RONBUS_START_LATEST, 0, NULL);
		ASSERT_LE(0, blocks_pubs[i]);
		ASSERT_LE(0, subs[i]);
	}
	while (now_ns() < end) {
		bool well = storm_run(self, now_ns() + SEC, blocks_go_on);

		EXPECT_TRUE(well);
		EXPECT_EQ(0, blocks_look(storm->buses[0], &kept));
		EXPECT_LT(0, kept.messages);
		EXPECT_EQ(0, kept.stale) TH_LOG("of %u", kept.messages);
		if (!well || kept.stale)
			break;
	}
	for (i = 0; i < 2; i++) {
		close(blocks_pubs[i]);
		close(subs[i]);
	}
}

TEST_HARNESS_MAIN
