// SPDX-License-Identifier: GPL-2.0
/*
 * bounds.c - what one member of a bus can make another pay, counted in a guest
 *
 * Made for bench/bounds: QEMU counts instructions. In each case some members do the worst that we
 * could think of, and the instructions of one call of another member are counted. There is one CPU.
 * The program has a real-time priority, so that the threads that it wakes run later, as they would on
 * other CPUs.
 *
 * Each case is a process of its own. A row is its name, and the count: of several rounds the least,
 * since timer ticks make some longer. A case that does not end has no count but "never", and one
 * that the kernel cannot have has "none".
 */
#include <limits.h>
#include <liburing.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <ronbus/ronbus_blocks.h>

#include "guest.h"

const char bench_name[] = "bounds";

#define PRIORITY 50
#define ROUNDS 5U
#define NEVER UINT64_MAX
#define REST 300000L /* nanoseconds in which a few go to sleep */
#define LONG_REST (100 * REST) /* and as many as there can be */
#define CASE_SECONDS 4U /* of the guest's time */

#define EDGE RONBUS_F_EDGE_NOTIFY
#define INTEREST (RONBUS_F_EDGE_NOTIFY | RONBUS_F_INTEREST)
#define COALESCE (INTEREST | RONBUS_F_COALESCE)

/* ---- a bus ------------------------------------------------------------------------------ */

static struct {
	int bus;
	int victim; /* publishes by system call */
	int hostile; /* publishes through a mapping */
	__u32 id;
	__u64 features;
	struct ronbus_info info;
	struct ronbus_ring ring;
	const struct ronbus_info_page *page;
	int subs[RONBUS_SUBSCRIBERS_MAX];
	struct ronbus_self *selves[RONBUS_SUBSCRIBERS_MAX];
	unsigned int nr_subs;
	struct ronbus_claim held; /* a position that the hostile one writes at */
} rig;

static int create(const struct ronbus_create *args)
{
	int control = must(open("/dev/ronbus", O_RDWR | O_CLOEXEC), "/dev/ronbus");
	int bus = must(ioctl(control, RONBUS_IOC_CREATE, args), "CREATE");

	close(control);
	return bus;
}

static int publisher(__u32 flags, __u32 *id)
{
	struct ronbus_publisher args = { .flags = flags };
	int fd = must(ioctl(rig.bus, RONBUS_IOC_PUBLISHER, &args), "PUBLISHER");

	*id = args.id;
	return fd;
}

static void open_bus(__u64 features, __u32 capacity, __u32 blocks)
{
	const struct ronbus_create args = {
		.features = features,
		.flags = RONBUS_BUS_PERSISTENT,
		.capacity = capacity,
		.payload = 64,
		.block_size = blocks ? 4096 : 0,
		.blocks = blocks,
	};
	__u32 none;

	rig.features = features;
	rig.bus = create(&args);
	rig.victim = publisher(0, &none);
	rig.hostile = publisher(RONBUS_PUBLISHER_MAPPED, &rig.id);
	must(ioctl(rig.bus, RONBUS_IOC_INFO, &rig.info), "INFO");
	rig.page = map(rig.hostile, rig.info.info_bytes, PROT_READ, RONBUS_MMAP_INFO);
	ronbus_ring_view(&rig.ring,
			 map(rig.hostile, rig.info.ring_bytes, PROT_READ | PROT_WRITE,
			     RONBUS_MMAP_RING),
			 capacity, rig.info.payload, features);
}

static void subscribe(unsigned int count, __u64 topics, __u32 start)
{
	while (count--) {
		struct ronbus_subscribe args = { .topics = topics, .start = start };
		int fd = must(ioctl(rig.bus, RONBUS_IOC_SUBSCRIBE, &args), "SUBSCRIBE");

		must(ioctl(fd, RONBUS_IOC_INFO, &rig.info), "INFO");
		rig.subs[rig.nr_subs] = fd;
		rig.selves[rig.nr_subs++] =
			map(fd, rig.info.self_bytes, PROT_READ | PROT_WRITE, RONBUS_MMAP_SELF);
	}
}

/* It waits for a position that is never reached, so that each wake-up of it is for nothing. */
static void subscribe_to_nothing(void)
{
	subscribe(1, ~0ULL, RONBUS_START_LATEST);
	RB_WRITE(&rig.selves[rig.nr_subs - 1]->cursor, 1ULL << 40);
}

static void coalesce(unsigned int sub, __u32 messages)
{
	struct ronbus_coalesce args = { .messages = messages, .delay_ns = 10000000000ULL };

	must(ioctl(rig.subs[sub], RONBUS_IOC_COALESCE, &args), "COALESCE");
}

/* There is something to wake: else it would be cheap. */
static void must_be_armed(unsigned int first)
{
	__u64 wanted = ~0ULL << first & ~0ULL >> (RONBUS_SUBSCRIBERS_MAX - rig.nr_subs);

	if (~RB_READ(&rig.page->armed) & wanted)
		die("not all subscribers are armed");
}

static void arm_from(unsigned int first)
{
	unsigned int i;

	for (i = first; i < rig.nr_subs; i++)
		must(ioctl(rig.subs[i], RONBUS_IOC_ARM), "ARM");
	must_be_armed(first);
}

static void claim(void)
{
	rig.held = (struct ronbus_claim){ .pos = ronbus_ring_hint(&rig.ring) };
	if (ronbus_ring_claim(&rig.ring, &rig.held, rig.id, 64))
		die("cannot claim a slot");
	ronbus_ring_advance(&rig.ring, rig.held.pos + 1);
}

static void commit(__u32 topic)
{
	static const __u64 word;

	ronbus_ring_write(&rig.ring, rig.held.pos, RB_READ(&rig.page->audience[topic]), topic,
			  &word, sizeof(word));
	ronbus_ring_commit_last(&rig.ring, rig.held.pos, rig.id);
}

/* Messages whose publisher tells nobody. */
static void write_messages(unsigned int count, __u32 topic)
{
	while (count--) {
		claim();
		commit(topic);
	}
}

static int publish_topic(__u32 topic)
{
	static const __u64 word;
	struct ronbus_vec vec = { .data = (uintptr_t)&word, .len = sizeof(word) };
	struct ronbus_publish args = { .vec = (uintptr_t)&vec, .count = 1, .topic = topic };

	return ioctl(rig.victim, RONBUS_IOC_PUBLISH, &args);
}

/* ---- what a victim does ----------------------------------------------------------------- */

static void publish(void)
{
	must(publish_topic(1), "PUBLISH");
}

static void publish_or_drop(void)
{
	if (publish_topic(1) < 0 && errno != EAGAIN)
		die("PUBLISH: %s", strerror(errno));
}

static void notify_all(void)
{
	struct ronbus_notify args = { .subscribers = ~0ULL };

	must(ioctl(rig.victim, RONBUS_IOC_NOTIFY, &args), "NOTIFY");
}

static void stats(void)
{
	struct ronbus_stats args = { .which = RONBUS_STATS_BUS };

	must(ioctl(rig.bus, RONBUS_IOC_STATS, &args), "STATS");
}

static void join(void)
{
	struct ronbus_subscribe args = { .topics = ~0ULL };

	rig.subs[0] = must(ioctl(rig.bus, RONBUS_IOC_SUBSCRIBE, &args), "SUBSCRIBE");
}

static void leave(void)
{
	close(rig.subs[0]);
}

static uint64_t window(void (*act)(void))
{
	uint64_t begin = tsc();

	act();
	return tsc() - begin;
}

static uint64_t least(void (*before)(void), void (*act)(void))
{
	uint64_t count, result = NEVER;
	unsigned int i;

	for (i = 0; i < ROUNDS; i++) {
		if (before)
			before();
		count = window(act);
		result = count < result ? count : result;
	}
	return result;
}

/* ---- subscribers that coalesce ---------------------------------------------------------- */

#define MANY 62U

/*
 * Subscribers that want nothing of what is there, which is many messages, wait for a position that
 * another publisher holds: then every publisher is to wake them.
 */
static void coalescing_rig(unsigned int messages)
{
	unsigned int i;

	open_bus(COALESCE, 8192, 0);
	subscribe(1, 1ULL << 1, RONBUS_START_LATEST);
	write_messages(messages, 1);
	subscribe(MANY, 1ULL << 2, RONBUS_START_OLDEST);
	for (i = 1; i <= MANY; i++)
		coalesce(i, 1024);
}

static void armed_behind_a_claim(void)
{
	if (rig.held.pos)
		commit(1);
	claim();
	arm_from(1);
}

/* More than a publisher looks at has come since. */
static void armed_before_many(void)
{
	arm_from(1);
	write_messages(100, 1);
}

static uint64_t publish_coalescing(void)
{
	coalescing_rig(2000);
	return least(armed_behind_a_claim, publish);
}

static uint64_t notify_coalescing(void)
{
	coalescing_rig(2000);
	return least(armed_behind_a_claim, notify_all);
}

static uint64_t notify_coalescing_many(void)
{
	coalescing_rig(1500);
	return least(armed_before_many, notify_all);
}

/* Each is deferred, with a timer. */
static void deferred(void)
{
	subscribe(1, 1ULL << 1, RONBUS_START_LATEST);
	rig.nr_subs = 0;
	coalesce(0, 100);
	write_messages(10, 1);
	if (ioctl(rig.subs[0], RONBUS_IOC_ARM) || RB_READ(&rig.page->armed))
		die("it is not deferred");
	munmap(rig.selves[0], rig.info.self_bytes);
}

static uint64_t close_coalescing(void)
{
	open_bus(COALESCE, 4096, 0);
	return least(deferred, leave);
}

/* ---- many that wait for one subscriber --------------------------------------------------- */

#define CROWD 1000U
#define CROWD_OF_EPOLLS 500U /* as many as the kernel lets poll an epoll that polls another fd */

static void rest(void)
{
	nap(LONG_REST);
	must_be_armed(0);
}

static void *wait_for_nothing(void *arg)
{
	struct ronbus_wait args = { .deadline = RONBUS_WAIT_FOREVER };

	ioctl(rig.subs[(uintptr_t)arg], RONBUS_IOC_WAIT, &args);
	return NULL;
}

static void run_others(unsigned int count, void *(*fn)(void *), bool numbered)
{
	struct sched_param param = { 0 };
	pthread_attr_t attr;
	pthread_t thread;
	uintptr_t i;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, PTHREAD_STACK_MIN);
	pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
	pthread_attr_setschedpolicy(&attr, SCHED_OTHER);
	pthread_attr_setschedparam(&attr, &param);
	for (i = 0; i < count; i++) {
		errno = pthread_create(&thread, &attr, fn, numbered ? (void *)i : NULL);
		if (errno)
			die("pthread_create: %s", strerror(errno));
	}
	pthread_attr_destroy(&attr);
	nap(LONG_REST);
}

static uint64_t publish_threads(void)
{
	open_bus(EDGE, 64, 0);
	subscribe_to_nothing();
	run_others(CROWD, wait_for_nothing, false);
	return least(rest, publish);
}

/* One sleeper each, the least that waking can be. */
static uint64_t publish_sleepers(void)
{
	unsigned int i;

	open_bus(EDGE, 64, 0);
	for (i = 0; i < MANY; i++)
		subscribe_to_nothing();
	run_others(MANY, wait_for_nothing, true);
	return least(rest, publish);
}

static void *wait_by_uring(void *arg)
{
	const struct ronbus_wait wait = { .deadline = RONBUS_WAIT_FOREVER };
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	struct io_uring ring;
	unsigned int i;

	if (io_uring_queue_init(CROWD, &ring, 0))
		die("io_uring_queue_init");
	for (i = 0; i < CROWD; i++) {
		sqe = io_uring_get_sqe(&ring);
		if (!sqe)
			die("io_uring_get_sqe");
		memset(sqe, 0, sizeof(*sqe));
		sqe->opcode = IORING_OP_URING_CMD;
		sqe->fd = rig.subs[0];
		sqe->cmd_op = RONBUS_IOC_WAIT;
		memcpy(sqe->cmd, &wait, sizeof(wait));
	}
	io_uring_submit(&ring);
	/* A command that is woken looks at the ring again, in this thread. */
	for (;;) {
		struct __kernel_timespec time = { .tv_nsec = 100000 };

		if (!io_uring_wait_cqe_timeout(&ring, &cqe, &time))
			io_uring_cqe_seen(&ring, cqe);
	}
	return arg;
}

static uint64_t publish_uring(void)
{
	open_bus(EDGE, 64, 0);
	subscribe_to_nothing();
	run_others(1, wait_by_uring, false);
	return least(rest, publish);
}

static int epolls[CROWD_OF_EPOLLS];

static void poll_from(int fd)
{
	struct epoll_event event = { .events = EPOLLIN };
	unsigned int i;

	for (i = 0; i < CROWD_OF_EPOLLS; i++) {
		epolls[i] = must(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
		must(epoll_ctl(epolls[i], EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
	}
}

/* None has anything to tell, and all are asked about it. */
static void poll_all(void)
{
	struct epoll_event event;
	unsigned int i;

	nap(REST);
	for (i = 0; i < CROWD_OF_EPOLLS; i++)
		epoll_wait(epolls[i], &event, 1, 0);
}

static void polled(void)
{
	poll_all();
	must_be_armed(0);
}

static uint64_t publish_epolls(void)
{
	open_bus(EDGE, 64, 0);
	subscribe_to_nothing();
	poll_from(rig.subs[0]);
	return least(polled, publish);
}

/* One that is polled itself. */
static uint64_t publish_nested_epolls(void)
{
	struct epoll_event event = { .events = EPOLLIN };
	int middle = must(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");

	open_bus(EDGE, 64, 0);
	subscribe_to_nothing();
	must(epoll_ctl(middle, EPOLL_CTL_ADD, rig.subs[0], &event), "epoll_ctl");
	poll_from(middle);
	return least(polled, publish);
}

static int eventfd_of_crowd;

static void drain_and_arm(void)
{
	uint64_t count;

	poll_all();
	if (read(eventfd_of_crowd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		die("read from the eventfd: %s", strerror(errno));
	poll_all();
	arm_from(0);
}

static uint64_t publish_eventfd(void)
{
	struct ronbus_eventfd args;

	open_bus(EDGE, 64, 0);
	subscribe_to_nothing();
	eventfd_of_crowd = must(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
	args = (struct ronbus_eventfd){ .fd = eventfd_of_crowd };
	must(ioctl(rig.subs[0], RONBUS_IOC_SET_EVENTFD, &args), "SET_EVENTFD");
	poll_from(eventfd_of_crowd);
	return least(drain_and_arm, publish);
}

/* ---- a ring that lies ------------------------------------------------------------------- */

/* Every position is claimed, up to the last lap there can be, and the hint is turned back. */
static void lie(void)
{
	__u32 i;

	for (i = 0; i <= rig.ring.mask; i++)
		RB_WRITE(ronbus_ring_at(&rig.ring, i).state, ~0ULL << RONBUS_STATE_LAP_SHIFT);
	RB_WRITE(&rig.ring.head->head, 0);
}

static uint64_t stats_lied_to(void)
{
	open_bus(EDGE | RONBUS_F_SOA, 1 << 17, 0);
	lie();
	return least(NULL, stats);
}

static uint64_t join_lied_to(void)
{
	open_bus(EDGE | RONBUS_F_SOA, 1 << 17, 0);
	lie();
	join();
	return least(leave, join);
}

/* All slots are held, in a lap after the other: the most that a claim looks at. */
static void hold_all(void)
{
	__u32 i;

	for (i = 0; i <= rig.ring.mask; i++)
		RB_WRITE(ronbus_ring_at(&rig.ring, i).state,
			 RONBUS_STATE(1, rig.id, RONBUS_KIND_BUSY));
	RB_WRITE(&rig.ring.head->head, rig.ring.mask + 1ULL);
}

static uint64_t publish_held(void)
{
	open_bus(EDGE, 1024, 0);
	subscribe(1, ~0ULL, RONBUS_START_LATEST);
	return least(hold_all, publish_or_drop);
}

static void trace(bool on)
{
	int fd = must(open("/sys/kernel/tracing/events/ronbus/ronbus_flush/enable", O_WRONLY),
		      "tracing");

	if (write(fd, on ? "1" : "0", 1) != 1)
		die("tracing: %s", strerror(errno));
	close(fd);
}

static void nap_and_create(void)
{
	const struct ronbus_create args = { .capacity = 64, .payload = 32 };

	nap(1000000);
	close(create(&args));
}

/* How much longer the worst of many takes than the usual one: as long as the tracer looks at others. */
static uint64_t create_while_traced(void)
{
	double windows[600], usual; /* three looks of the tracer, at least */
	unsigned int i;

	open_bus(EDGE | RONBUS_F_SOA, 1 << 14, 0);
	lie();
	subscribe(63, ~0ULL, RONBUS_START_LATEST);
	trace(true);
	for (i = 0; i < ARRAY_SIZE(windows); i++)
		windows[i] = (double)window(nap_and_create);
	trace(false);
	usual = median(windows, ARRAY_SIZE(windows));
	return (uint64_t)(windows[ARRAY_SIZE(windows) - 1] - usual);
}

/* ---- blocks ------------------------------------------------------------------------------ */

static __u32 next_block;

/* Every pin there is, on the blocks that are next. */
static void pin_all(void)
{
	unsigned int i;

	for (i = 0; i < rig.nr_subs * RONBUS_PINS_MAX; i++)
		RB_WRITE(&rig.selves[i / RONBUS_PINS_MAX]->pins[i % RONBUS_PINS_MAX],
			 (next_block + i) % 1024 + 1ULL);
}

static void publish_block(void)
{
	static const char data[4096];
	struct ronbus_publish_block args = { .data = (uintptr_t)data,
					     .len = sizeof(data),
					     .topic = 1 };

	must(ioctl(rig.victim, RONBUS_IOC_PUBLISH_BLOCK, &args), "PUBLISH_BLOCK");
	next_block = (args.ref.block + 1) % 1024;
}

static uint64_t publish_block_pinned(void)
{
	open_bus(EDGE | RONBUS_F_BLOCKS, 64, 1024);
	subscribe(RONBUS_SUBSCRIBERS_MAX, ~0ULL, RONBUS_START_LATEST);
	return least(pin_all, publish_block);
}

/* ---- readers of what makes no sense ------------------------------------------------------- */

static void scribble(void)
{
	memset(rig.ring.head, 0xff, rig.info.ring_bytes);
}

static void read_some(void)
{
	char record[256];

	if (read(rig.subs[0], record, sizeof(record)) < 0 && errno != EAGAIN)
		die("read: %s", strerror(errno));
}

static uint64_t read_nonsense(void)
{
	open_bus(EDGE, 4096, 0);
	subscribe(1, ~0ULL, RONBUS_START_LATEST);
	scribble();
	must(fcntl(rig.subs[0], F_SETFL, O_NONBLOCK), "F_SETFL");
	return least(NULL, read_some);
}

/* From the signal to the end of the process that reads the ring. */
static uint64_t kill_reader(void)
{
	struct sched_param param = { 0 };
	uint64_t begin;
	pid_t reader;

	open_bus(EDGE, 4096, 0);
	subscribe(1, ~0ULL, RONBUS_START_LATEST);
	scribble();
	reader = must(fork(), "fork");
	if (!reader) {
		sched_setscheduler(0, SCHED_OTHER, &param);
		for (;;)
			read_some();
	}
	nap(5000000);
	begin = tsc();
	kill(reader, SIGKILL);
	while (waitpid(reader, NULL, WNOHANG) != reader) {
		if (tsc() - begin > 200000000)
			return NEVER;
		nap(20000);
	}
	return tsc() - begin;
}

/* ---- all of it --------------------------------------------------------------------------- */

static const struct {
	const char *name;
	uint64_t (*count)(void);
} cases[] = {
	{ "publish_coalescing", publish_coalescing },
	{ "notify_coalescing", notify_coalescing },
	{ "notify_coalescing_many", notify_coalescing_many },
	{ "close_coalescing", close_coalescing },
	{ "publish_sleepers", publish_sleepers },
	{ "publish_threads", publish_threads },
	{ "publish_uring", publish_uring },
	{ "publish_epolls", publish_epolls },
	{ "publish_nested_epolls", publish_nested_epolls },
	{ "publish_eventfd", publish_eventfd },
	{ "publish_held", publish_held },
	{ "publish_block_pinned", publish_block_pinned },
	{ "stats_lied_to", stats_lied_to },
	{ "join_lied_to", join_lied_to },
	{ "create_while_traced", create_while_traced },
	{ "read_nonsense", read_nonsense },
	{ "kill_reader", kill_reader },
};

/* In a process of its own: the count, or NEVER. */
static uint64_t count_apart(uint64_t (*count)(void))
{
	uint64_t begin = tsc(), result = NEVER;
	int fds[2], status;
	pid_t child;

	must(pipe(fds), "pipe");
	child = must(fork(), "fork");
	if (!child) {
		result = count();
		if (write(fds[1], &result, sizeof(result)) != sizeof(result))
			_exit(1);
		_exit(0);
	}
	close(fds[1]);
	while (waitpid(child, &status, WNOHANG) != child) {
		nap(1000000);
		if (tsc() - begin < CASE_SECONDS * 1000000000ULL)
			continue;
		kill(child, SIGKILL);
		close(fds[0]);
		return NEVER;
	}
	if (read(fds[0], &result, sizeof(result)) != sizeof(result))
		die("a case failed");
	close(fds[0]);
	return result;
}

int main(int argc, char **argv)
{
	const struct rlimit files = { 4096, 4096 };
	struct sched_param param = { .sched_priority = PRIORITY };
	uint64_t count;
	size_t i;

	must(setrlimit(RLIMIT_NOFILE, &files), "RLIMIT_NOFILE");
	must(sched_setscheduler(0, SCHED_FIFO, &param), "sched_setscheduler");
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		if (argc > 1 && strcmp(argv[1], cases[i].name))
			continue;
		count = count_apart(cases[i].count);
		if (count == NEVER)
			printf("%s\tnever\n", cases[i].name);
		else
			printf("%s\t%llu\n", cases[i].name, (unsigned long long)count);
		fflush(stdout);
	}
	return 0;
}
