// SPDX-License-Identifier: GPL-2.0
/*
 * icount.c - instructions of the kernel's paths, counted in a guest
 *
 * Made for bench/icount: QEMU counts instructions and the guest's time stamp counter tells how
 * many there were. An operation is done in a window between two readings of it; timer ticks make
 * some windows longer, so the least of many windows counts. There is one CPU. The thread that
 * wakes others has a real-time priority below which sleepers run later, so that a window ends
 * with the wake-up; for the windows called "_run" it is the other way around, and the window ends
 * when the sleeper is back in user space.
 *
 * Rows: name and least count.
 */
#include <linux/futex.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include "guest.h"

const char bench_name[] = "icount";

#define CAPACITY 64U
#define PAYLOAD 32U
#define BATCH 64U
#define WINDOWS_MOST 400U

#define PRIORITY_MAIN 50
#define PRIORITY_EAGER 60

/* ---- a bus ------------------------------------------------------------------------------ */

static struct {
	int bus;
	int by_call; /* publisher by system call */
	int mapped; /* and by mapping */
	int subs[RONBUS_SUBSCRIBERS_MAX]; /* the first is the one that sleeps */
	unsigned int nr_subs;
	__u32 id;
	struct ronbus_ring ring;
	const struct ronbus_info_page *info;
	struct ronbus_self *self; /* of the first subscriber */
	int event; /* eventfd that it has registered, or that is written to */
	int epoll;
	__u32 futex;
	__u64 message[PAYLOAD / sizeof(__u64)];
	struct ronbus_vec vec[BATCH];
	struct ronbus_publish publish;
	struct ronbus_notify notify;
} rig;

static void add_subscriber(void)
{
	struct ronbus_subscribe args = { .topics = ~0ULL };

	rig.subs[rig.nr_subs++] = must(ioctl(rig.bus, RONBUS_IOC_SUBSCRIBE, &args), "SUBSCRIBE");
}

static void bus_open(void)
{
	struct ronbus_create create = {
		.features = RONBUS_F_EDGE_NOTIFY | RONBUS_F_BATCH,
		.capacity = CAPACITY,
		.payload = PAYLOAD,
	};
	struct ronbus_publisher by_call = { 0 }, mapped = { .flags = RONBUS_PUBLISHER_MAPPED };
	int control = must(open("/dev/ronbus", O_RDWR | O_CLOEXEC), "/dev/ronbus");
	struct ronbus_info info;
	unsigned int i;

	rig.bus = must(ioctl(control, RONBUS_IOC_CREATE, &create), "CREATE");
	close(control);
	rig.by_call = must(ioctl(rig.bus, RONBUS_IOC_PUBLISHER, &by_call), "PUBLISHER");
	rig.mapped = must(ioctl(rig.bus, RONBUS_IOC_PUBLISHER, &mapped), "PUBLISHER, mapped");
	rig.id = mapped.id;
	add_subscriber();
	must(ioctl(rig.subs[0], RONBUS_IOC_INFO, &info), "INFO");
	rig.info = map(rig.subs[0], info.info_bytes, PROT_READ, RONBUS_MMAP_INFO);
	rig.self = map(rig.subs[0], info.self_bytes, PROT_READ | PROT_WRITE, RONBUS_MMAP_SELF);
	ronbus_ring_view(&rig.ring,
			 map(rig.mapped, info.ring_bytes, PROT_READ | PROT_WRITE, RONBUS_MMAP_RING),
			 CAPACITY, PAYLOAD, 0);

	for (i = 0; i < BATCH; i++)
		rig.vec[i] = (struct ronbus_vec){ (uintptr_t)rig.message, sizeof(rig.message), 0 };
	rig.publish = (struct ronbus_publish){ .vec = (uintptr_t)rig.vec, .count = 1 };
	rig.notify.subscribers = 1;
}

/* Everything has been read. */
static void catch_up(void)
{
	RB_WRITE(&rig.self->cursor, ronbus_ring_tail(&rig.ring));
}

/* A message through the mapping, without the NOTIFY that ought to follow. */
static void write_message(void)
{
	struct ronbus_claim claim = { .pos = ronbus_ring_hint(&rig.ring) };

	if (ronbus_ring_claim(&rig.ring, &claim, rig.id, 4 * CAPACITY))
		die("cannot claim a slot");
	ronbus_ring_write(&rig.ring, claim.pos, rig.info->audience[0], 0, rig.message, PAYLOAD);
	ronbus_ring_commit_last(&rig.ring, claim.pos, rig.id);
	ronbus_ring_advance(&rig.ring, claim.pos + 1);
}

static bool armed(void)
{
	return RB_READ(&rig.info->armed) & 1;
}

static void must_be_armed(bool wanted)
{
	if (armed() != wanted)
		die("the subscriber is %sarmed", wanted ? "not " : "");
}

/* ---- the sleeper ------------------------------------------------------------------------ */

static void sleep_in_wait(void)
{
	struct ronbus_wait wait = { .deadline = RONBUS_WAIT_FOREVER };

	must(ioctl(rig.subs[0], RONBUS_IOC_WAIT, &wait), "WAIT");
}

static void sleep_in_read(void)
{
	uint64_t count;

	must((int)read(rig.event, &count, sizeof(count)), "read");
}

static void sleep_in_epoll(void)
{
	struct epoll_event event;

	must(epoll_wait(rig.epoll, &event, 1, -1), "epoll_wait");
}

static void sleep_in_futex(void)
{
	syscall(SYS_futex, &rig.futex, FUTEX_WAIT, RB_READ(&rig.futex), NULL, NULL, 0);
}

static void drain_event(void)
{
	uint64_t count;

	must((int)read(rig.event, &count, sizeof(count)), "read");
}

static struct {
	pthread_t thread;
	void (*sleep)(void);
	void (*settle)(void);
	volatile uint64_t woke; /* when it was back */
	volatile unsigned int times;
	volatile bool stop;
} sleeper;

static void *sleeper_main(void *arg)
{
	while (!sleeper.stop) {
		sleeper.sleep();
		sleeper.woke = tsc();
		if (sleeper.settle)
			sleeper.settle();
		sleeper.times++;
	}
	return arg;
}

static void sleeper_start(void (*sleep)(void), void (*settle)(void), bool eager)
{
	struct sched_param eager_param = { .sched_priority = PRIORITY_EAGER };
	struct sched_param other_param = { 0 };
	pthread_attr_t attr;

	sleeper.sleep = sleep;
	sleeper.settle = settle;
	sleeper.stop = false;
	pthread_attr_init(&attr);
	pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
	pthread_attr_setschedpolicy(&attr, eager ? SCHED_FIFO : SCHED_OTHER);
	pthread_attr_setschedparam(&attr, eager ? &eager_param : &other_param);
	errno = pthread_create(&sleeper.thread, &attr, sleeper_main, NULL);
	if (errno)
		die("pthread_create: %s", strerror(errno));
	pthread_attr_destroy(&attr);
}

/* Let the sleeper go to sleep: with one CPU it is there once we have slept. */
static void sleeper_rest(void)
{
	nap(200000);
	nap(200000);
}

/* ---- what is counted -------------------------------------------------------------------- */

static void do_nothing(void)
{
}

static void do_getppid(void)
{
	syscall(SYS_getppid);
}

static void do_event_write(void)
{
	uint64_t one = 1;

	if (write(rig.event, &one, sizeof(one)) != sizeof(one))
		die("write to the eventfd: %s", strerror(errno));
}

static void do_futex_wake(void)
{
	syscall(SYS_futex, &rig.futex, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void do_publish(void)
{
	if (ioctl(rig.by_call, RONBUS_IOC_PUBLISH, &rig.publish) != (int)rig.publish.count)
		die("PUBLISH: %s", strerror(errno));
}

static void do_notify(void)
{
	if (ioctl(rig.mapped, RONBUS_IOC_NOTIFY, &rig.notify))
		die("NOTIFY: %s", strerror(errno));
}

static void do_arm(void)
{
	if (ioctl(rig.subs[0], RONBUS_IOC_ARM))
		die("ARM: %s", strerror(errno));
}

static void do_wait_ready(void)
{
	struct ronbus_wait wait = { .deadline = RONBUS_WAIT_FOREVER };

	if (ioctl(rig.subs[0], RONBUS_IOC_WAIT, &wait))
		die("WAIT: %s", strerror(errno));
}

/* Before a window. */

static void not_armed(void)
{
	must_be_armed(false);
}

static void one_message(void)
{
	rig.publish.count = 1;
	must_be_armed(false);
}

static void a_batch(void)
{
	rig.publish.count = BATCH;
	must_be_armed(false);
}

static void arm(void)
{
	catch_up();
	do_arm();
	must_be_armed(true);
}

static void disarm(void)
{
	catch_up();
	do_notify();
	must_be_armed(false);
}

static void something_to_read(void)
{
	catch_up();
	write_message();
	must_be_armed(false);
}

/* epoll asks the subscriber anew, finds nothing, and so arms it. */
static void arm_by_epoll(void)
{
	struct epoll_event event;

	catch_up();
	if (epoll_wait(rig.epoll, &event, 1, 0))
		die("epoll_wait found something");
	must_be_armed(true);
}

static void event_drained(void)
{
	struct epoll_event event;

	drain_event();
	do_event_write();
	drain_event();
	epoll_wait(rig.epoll, &event, 1, 0);
}

static void asleep(void)
{
	sleeper_rest();
}

static void asleep_and_armed(void)
{
	sleeper_rest();
	rig.publish.count = 1;
	must_be_armed(true);
}

static void asleep_and_message(void)
{
	asleep_and_armed();
	write_message();
}

static void epoll_of(int fd)
{
	struct epoll_event event = { .events = EPOLLIN };

	rig.epoll = must(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
	must(epoll_ctl(rig.epoll, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

static void new_event(void)
{
	rig.event = must(eventfd(0, EFD_CLOEXEC), "eventfd");
}

static void event_nonzero(void)
{
	new_event();
	do_event_write();
}

static void event_in_epoll(void)
{
	event_nonzero();
	epoll_of(rig.event);
}

static void empty_event_in_epoll(void)
{
	new_event();
	epoll_of(rig.event);
}

static void event_end(void)
{
	close(rig.event);
	if (rig.epoll) {
		close(rig.epoll);
		rig.epoll = 0;
	}
}

static void sub_in_epoll(void)
{
	catch_up();
	epoll_of(rig.subs[0]);
}

static void sub_in_epoll_end(void)
{
	close(rig.epoll);
	rig.epoll = 0;
	disarm();
}

static void registered_event(void)
{
	struct ronbus_eventfd args;

	new_event();
	args = (struct ronbus_eventfd){ .fd = rig.event };
	must(ioctl(rig.subs[0], RONBUS_IOC_SET_EVENTFD, &args), "SET_EVENTFD");
}

static void registered_event_end(void)
{
	struct ronbus_eventfd args = { .fd = -1 };

	must(ioctl(rig.subs[0], RONBUS_IOC_SET_EVENTFD, &args), "SET_EVENTFD");
	close(rig.event);
}

/* The sleeper reads the eventfd, and then everything, and arms again. */
static void catch_up_and_arm(void)
{
	catch_up();
	do_arm();
}

static void registered_and_armed(void)
{
	registered_event();
	arm();
}

static void many_subscribers(void)
{
	while (rig.nr_subs < RONBUS_SUBSCRIBERS_MAX)
		add_subscriber();
}

static void one_subscriber(void)
{
	while (rig.nr_subs > 1)
		close(rig.subs[--rig.nr_subs]);
}

/*
 * name: what is counted
 * begin, end: around all windows
 * before: before each
 * act: in the window
 * sleep, settle: what the sleeper does, if there is one
 * eager: the window ends when the sleeper is back
 */
static const struct op {
	const char *name;
	void (*begin)(void);
	void (*before)(void);
	void (*act)(void);
	void (*end)(void);
	void (*sleep)(void);
	void (*settle)(void);
	bool eager;
} ops[] = {
	{ .name = "getppid", .act = do_getppid },
	{ .name = "eventfd_write", .begin = event_nonzero, .act = do_event_write, .end = event_end },
	{ .name = "eventfd_write_epoll",
	  .begin = event_in_epoll,
	  .before = event_drained,
	  .act = do_event_write,
	  .end = event_end },
	{ .name = "eventfd_write_wakes",
	  .begin = new_event,
	  .before = asleep,
	  .act = do_event_write,
	  .end = event_end,
	  .sleep = sleep_in_read },
	{ .name = "eventfd_write_wakes_run",
	  .begin = new_event,
	  .before = asleep,
	  .act = do_event_write,
	  .end = event_end,
	  .sleep = sleep_in_read,
	  .eager = true },
	{ .name = "eventfd_write_wakes_epoll",
	  .begin = empty_event_in_epoll,
	  .before = asleep,
	  .act = do_event_write,
	  .end = event_end,
	  .sleep = sleep_in_epoll,
	  .settle = drain_event },
	{ .name = "futex_wake", .act = do_futex_wake },
	{ .name = "futex_wake_wakes",
	  .before = asleep,
	  .act = do_futex_wake,
	  .sleep = sleep_in_futex },
	{ .name = "futex_wake_wakes_run",
	  .before = asleep,
	  .act = do_futex_wake,
	  .sleep = sleep_in_futex,
	  .eager = true },
	{ .name = "publish", .begin = disarm, .before = one_message, .act = do_publish },
	{ .name = "publish_64_subscribers",
	  .begin = many_subscribers,
	  .before = one_message,
	  .act = do_publish,
	  .end = one_subscriber },
	{ .name = "publish_batch64", .before = a_batch, .act = do_publish },
	{ .name = "publish_wakes",
	  .begin = catch_up,
	  .before = asleep_and_armed,
	  .act = do_publish,
	  .sleep = sleep_in_wait,
	  .settle = catch_up },
	{ .name = "publish_wakes_run",
	  .begin = catch_up,
	  .before = asleep_and_armed,
	  .act = do_publish,
	  .sleep = sleep_in_wait,
	  .settle = catch_up,
	  .eager = true },
	{ .name = "notify", .begin = disarm, .before = not_armed, .act = do_notify },
	{ .name = "notify_eventfd",
	  .begin = registered_event,
	  .before = arm,
	  .act = do_notify,
	  .end = registered_event_end },
	{ .name = "notify_epoll",
	  .begin = sub_in_epoll,
	  .before = arm_by_epoll,
	  .act = do_notify,
	  .end = sub_in_epoll_end },
	{ .name = "notify_wakes",
	  .begin = catch_up,
	  .before = asleep_and_message,
	  .act = do_notify,
	  .sleep = sleep_in_wait,
	  .settle = catch_up },
	{ .name = "notify_wakes_run",
	  .begin = catch_up,
	  .before = asleep_and_message,
	  .act = do_notify,
	  .sleep = sleep_in_wait,
	  .settle = catch_up,
	  .eager = true },
	{ .name = "notify_wakes_eventfd",
	  .begin = registered_and_armed,
	  .before = asleep_and_message,
	  .act = do_notify,
	  .end = registered_event_end,
	  .sleep = sleep_in_read,
	  .settle = catch_up_and_arm },
	{ .name = "notify_wakes_epoll",
	  .begin = sub_in_epoll,
	  .before = asleep_and_message,
	  .act = do_notify,
	  .end = sub_in_epoll_end,
	  .sleep = sleep_in_epoll,
	  .settle = catch_up },
	{ .name = "arm", .before = disarm, .act = do_arm, .end = disarm },
	{ .name = "wait_ready", .before = something_to_read, .act = do_wait_ready },
};

/* Instructions of one window. */
static uint64_t one_window(const struct op *op)
{
	uint64_t start, end;
	unsigned int times;

	if (op->before)
		op->before();
	times = sleeper.times;
	start = tsc();
	op->act();
	end = tsc();
	if (!op->sleep)
		return end - start;
	if (op->eager == (sleeper.times == times))
		die("%s: the sleeper ran %s", op->name, op->eager ? "late" : "early");
	return (op->eager ? sleeper.woke : end) - start;
}

static void stop_sleeper(const struct op *op)
{
	op->before();
	sleeper.stop = true;
	op->act();
	pthread_join(sleeper.thread, NULL);
}

/* The least of many windows. */
static uint64_t count(const struct op *op, uint64_t floor)
{
	unsigned int i, nr = op->sleep ? WINDOWS_MOST / 4 : WINDOWS_MOST;
	uint64_t least = UINT64_MAX, window;

	if (op->begin)
		op->begin();
	if (op->sleep)
		sleeper_start(op->sleep, op->settle, op->eager);
	for (i = 0; i < 8; i++)
		one_window(op);
	for (i = 0; i < nr; i++) {
		window = one_window(op);
		least = window < least ? window : least;
	}
	if (op->sleep)
		stop_sleeper(op);
	if (op->end)
		op->end();
	return least - floor;
}

int main(void)
{
	static const struct op nothing = { .name = "nothing", .act = do_nothing };
	struct sched_param param = { .sched_priority = PRIORITY_MAIN };
	uint64_t floor;
	size_t i;

	must(mlockall(MCL_CURRENT | MCL_FUTURE), "mlockall");
	must(sched_setscheduler(0, SCHED_FIFO, &param), "sched_setscheduler");
	bus_open();
	floor = count(&nothing, 0);
	for (i = 0; i < ARRAY_SIZE(ops); i++)
		printf("%s\t%llu\n", ops[i].name, (unsigned long long)count(&ops[i], floor));
	return fflush(stdout) ? 1 : 0;
}
