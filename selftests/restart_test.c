// SPDX-License-Identifier: GPL-2.0
/*
 * Publishers and subscribers that start in any order, and again: names and their owners, waiting
 * for a bus and for a subscriber, messages that are kept for a later subscriber. On both transports,
 * where both have it.
 */
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "libronbus.h"
#include "ronbus_kselftest.h"

#define LEN 8U
#define SLOTS 8U
#define READ_WRITE (RONBUS_ACCESS_SUBSCRIBE | RONBUS_ACCESS_PUBLISH)
#define NOBODY 65534

FIXTURE(restart)
{
	const char *where;
};

FIXTURE_VARIANT(restart)
{
	const char *where;
};

FIXTURE_VARIANT_ADD(restart, device){ RONBUS_DEVICE };
FIXTURE_VARIANT_ADD(restart, embedded){ RONBUS_EMBEDDED };

FIXTURE_SETUP(restart)
{
	if (strcmp(variant->where, RONBUS_EMBEDDED))
		close(OPEN_CONTROL());
	self->where = variant->where;
}

FIXTURE_TEARDOWN(restart)
{
}

static int make_bus(const char *where, const char *name, u32 flags, struct ronbus **bus)
{
	const struct ronbus_options opts = {
		.name = name,
		.capacity = SLOTS,
		.payload = LEN,
		.flags = flags,
	};

	return ronbus_create(where, &opts, bus);
}

static u64 bus_number(struct ronbus *bus)
{
	struct ronbus_info info;

	return ronbus_bus_info(bus, &info) ? 0 : info.id;
}

static int send_number(struct ronbus_pub *pub, unsigned int topic, u64 number)
{
	return ronbus_publish(pub, topic, &number, sizeof(number));
}

/* The number of the next message; or -1 at the end, -2 for nothing yet, -3 for anything else. */
static long next_number(struct ronbus_sub *sub, int64_t timeout_ns)
{
	struct ronbus_msg msg;
	u64 number;
	int ret = ronbus_recv(sub, &number, sizeof(number), &msg, timeout_ns);

	if (ret == RONBUS_MESSAGE)
		return (long)number;
	return ret == RONBUS_CLOSED ? -1 : ret == -ETIMEDOUT ? -2 : -3;
}

/* ---- names ------------------------------------------------------------------------------ */

/* Whoever still has the old bus open: its name is the new one's, and what is left in it is read. */
TEST_F(restart, an_ended_bus_gives_up_its_name)
{
	const struct ronbus_sub_options oldest = { .start = RONBUS_START_OLDEST };
	struct ronbus *bus, *other, *last, *next;
	struct ronbus_pub *pub;
	struct ronbus_sub *sub;
	u64 number;

	ASSERT_EQ(0, make_bus(self->where, "restart", 0, &bus));
	ASSERT_EQ(0, ronbus_publisher(bus, 0, &pub));
	ASSERT_EQ(0, ronbus_attach(self->where, "restart", READ_WRITE, &other));
	ASSERT_EQ(0, ronbus_subscribe(other, &oldest, &sub));
	ASSERT_EQ(1, send_number(pub, 0, 7));
	EXPECT_EQ(-EEXIST, make_bus(self->where, "restart", 0, &next));
	number = bus_number(bus);
	ronbus_pub_close(pub);
	ronbus_close(bus);

	EXPECT_EQ(-ENOENT, ronbus_attach(self->where, "restart", READ_WRITE, &next));
	ASSERT_EQ(0, ronbus_attach_last(self->where, "restart", READ_WRITE, &last));
	EXPECT_EQ(number, bus_number(last));
	EXPECT_EQ(-ESHUTDOWN, ronbus_publisher(last, 0, &pub));
	ronbus_close(last);

	ASSERT_EQ(0, make_bus(self->where, "restart", 0, &next));
	EXPECT_LT(number, bus_number(next));
	ASSERT_EQ(0, ronbus_attach(self->where, "restart", READ_WRITE, &last));
	EXPECT_EQ(bus_number(next), bus_number(last));
	ronbus_close(last);
	ASSERT_EQ(0, ronbus_attach_last(self->where, "restart", READ_WRITE, &last));
	EXPECT_EQ(bus_number(next), bus_number(last));
	ronbus_close(last);

	EXPECT_EQ(7, next_number(sub, 0));
	EXPECT_EQ(-1, next_number(sub, 0));
	ronbus_sub_close(sub);
	ronbus_close(other);
	ronbus_close(next);
	EXPECT_EQ(-ENOENT, ronbus_attach_last(self->where, "restart", READ_WRITE, &last));
}

/* So that a publisher that hangs holds up no successor, its bus being sealed. */
TEST_F(restart, a_sealed_bus_gives_up_its_name)
{
	struct ronbus_pub *hangs, *pub;
	struct ronbus *bus, *next;
	struct ronbus_sub *sub;

	ASSERT_EQ(0, make_bus(self->where, "sealed", RONBUS_BUS_EXCLUSIVE, &bus));
	ASSERT_EQ(0, ronbus_publisher(bus, 0, &hangs));
	ASSERT_EQ(0, ronbus_subscribe(bus, NULL, &sub));
	ASSERT_EQ(0, ronbus_seal(bus));
	ASSERT_EQ(0, make_bus(self->where, "sealed", RONBUS_BUS_EXCLUSIVE, &next));
	ASSERT_EQ(0, ronbus_publisher(next, 0, &pub));
	/* The old one goes on for those that have it. */
	ASSERT_EQ(1, send_number(hangs, 0, 1));
	EXPECT_EQ(1, next_number(sub, 0));
	EXPECT_EQ(-2, next_number(sub, 0));
	ronbus_pub_close(hangs);
	EXPECT_EQ(-1, next_number(sub, 0));
	ronbus_sub_close(sub);
	ronbus_pub_close(pub);
	ronbus_close(bus);
	ronbus_close(next);
}

TEST_F(restart, arguments)
{
	struct ronbus_options opts = { 0 };
	struct ronbus *bus;

	EXPECT_EQ(-EINVAL, ronbus_open(self->where, NULL, READ_WRITE, &bus));
	EXPECT_EQ(-EINVAL, ronbus_open(self->where, &opts, READ_WRITE, &bus));
	opts.name = "no/name";
	EXPECT_EQ(-EINVAL, ronbus_open(self->where, &opts, READ_WRITE, &bus));
	EXPECT_EQ(-EINVAL, ronbus_attach_wait(self->where, "no/name", READ_WRITE, 0, &bus));
	EXPECT_EQ(-EINVAL, ronbus_attach_wait(self->where, "name", 0, -1, &bus));
	EXPECT_EQ(-EINVAL, ronbus_attach_last(self->where, "", READ_WRITE, &bus));
}

TEST(attach_flags)
{
	struct ronbus_attach args = { .access = READ_WRITE, .name = "flags" };
	int control = OPEN_CONTROL();

	EXPECT_EQ(-ENOENT, do_ioctl(control, RONBUS_IOC_ATTACH, &args));
	args.flags = RONBUS_ATTACH_LAST;
	EXPECT_EQ(-ENOENT, do_ioctl(control, RONBUS_IOC_ATTACH, &args));
	args.flags = RONBUS_ATTACH_LAST << 1;
	EXPECT_EQ(-EINVAL, do_ioctl(control, RONBUS_IOC_ATTACH, &args));
	args.flags = 0;
	args.deadline = 1; /* long ago */
	EXPECT_EQ(-ETIMEDOUT, do_ioctl(control, RONBUS_IOC_ATTACH, &args));
	close(control);
}

/* ---- waiting for a bus ------------------------------------------------------------------ */

struct seeker {
	const char *where;
	const char *name;
	unsigned int access;
	int64_t timeout_ns;
	struct ronbus *bus;
	int ret;
};

static void *seek(void *arg)
{
	struct seeker *s = arg;

	s->ret = ronbus_attach_wait(s->where, s->name, s->access, s->timeout_ns, &s->bus);
	return NULL;
}

#define SEEKERS 8

/* Many wait for one name, and one for another; buses of no name, and of others, are not theirs. */
TEST_F(restart, waits_for_a_name)
{
	struct seeker all[SEEKERS + 1];
	pthread_t threads[SEEKERS + 1];
	struct ronbus *nameless, *other, *bus;
	int i;

	for (i = 0; i <= SEEKERS; i++) {
		all[i] = (struct seeker){ self->where, i < SEEKERS ? "late" : "never",
					  READ_WRITE,  -1,
					  NULL,	       1 };
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, seek, &all[i]));
	}
	usleep(20000);
	ASSERT_EQ(0, make_bus(self->where, NULL, 0, &nameless));
	ASSERT_EQ(0, make_bus(self->where, "other", 0, &other));
	ASSERT_EQ(0, make_bus(self->where, "late", 0, &bus));
	for (i = 0; i < SEEKERS; i++) {
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
		ASSERT_EQ(0, all[i].ret);
		EXPECT_EQ(bus_number(bus), bus_number(all[i].bus));
		ronbus_close(all[i].bus);
	}
	ronbus_close(bus);
	EXPECT_EQ(1, all[SEEKERS].ret);
	ASSERT_EQ(0, make_bus(self->where, "never", 0, &bus));
	ASSERT_EQ(0, pthread_join(threads[SEEKERS], NULL));
	EXPECT_EQ(0, all[SEEKERS].ret);
	ronbus_close(all[SEEKERS].bus);
	ronbus_close(bus);
	ronbus_close(other);
	ronbus_close(nameless);
}

/* An ended one is not what is waited for. */
TEST_F(restart, waits_no_longer_than_it_shall)
{
	struct ronbus *bus, *ended;
	struct ronbus_pub *pub;
	u64 begin;

	ASSERT_EQ(0, make_bus(self->where, "ended", 0, &ended));
	ASSERT_EQ(0, ronbus_publisher(ended, 0, &pub));
	ronbus_pub_close(pub);
	EXPECT_EQ(-ETIMEDOUT, ronbus_attach_wait(self->where, "ended", READ_WRITE, 0, &bus));
	begin = now_ns();
	EXPECT_EQ(-ETIMEDOUT, ronbus_attach_wait(self->where, "ended", READ_WRITE, 30000000, &bus));
	EXPECT_LE(30000000, now_ns() - begin);
	ronbus_close(ended);
}

static void *make_later(void *arg)
{
	static struct ronbus *bus;
	static const struct ronbus_options opts = { .name = "forbidden", .mode = 0400 };
	const char *where = arg;

	usleep(20000);
	return ronbus_create(where, &opts, &bus) ? NULL : bus;
}

/* A bus of that name which one may not have is an error, and not another thing to wait for. */
TEST_F(restart, waits_for_nothing_forbidden)
{
	struct ronbus *bus;
	pthread_t thread;
	void *made;

	if (strcmp(self->where, RONBUS_EMBEDDED))
		return; /* where root may have everything: the next one */
	ASSERT_EQ(0, pthread_create(&thread, NULL, make_later, (void *)self->where));
	EXPECT_EQ(-EACCES, ronbus_attach_wait(self->where, "forbidden", READ_WRITE, -1, &bus));
	ASSERT_EQ(0, pthread_join(thread, &made));
	ASSERT_NE(NULL, made);
	ronbus_close(made);
}

TEST(waits_for_nothing_forbidden_by_ioctl)
{
	struct ronbus_attach args = {
		.access = RONBUS_ACCESS_PUBLISH,
		.name = "forbidden",
		.deadline = RONBUS_WAIT_FOREVER,
	};
	int control = OPEN_CONTROL(), bus;
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		if (setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY))
			_exit(77);
		_exit(-do_ioctl(control, RONBUS_IOC_ATTACH, &args));
	}
	usleep(20000);
	bus = bus_create(control, (struct ronbus_create){ .name = "forbidden", .mode = 0604 });
	ASSERT_LE(0, bus);
	EXPECT_EQ(EACCES, child_status(pid));
	close(bus);
	close(control);
}

/* A time of the caller's own namespace. */
TEST(deadline_of_a_time_namespace)
{
	struct ronbus_attach args = { .access = READ_WRITE, .name = "nothing" };
	int control = OPEN_CONTROL();
	pid_t pid;

	if (access("/proc/self/timens_offsets", W_OK))
		SKIP(return, "this kernel has no time namespaces");
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		if (time_namespace_make(1000000))
			_exit(NO_TIME_NAMESPACES);
		pid = fork();
		if (pid)
			_exit(child_status(pid));
		alarm(20);
		args.deadline = now_ns() + 20000000;
		_exit(-do_ioctl(control, RONBUS_IOC_ATTACH, &args));
	}
	EXPECT_EQ(ETIMEDOUT, child_status(pid));
	close(control);
}

static pid_t seek_for_ever(int control)
{
	struct ronbus_attach args = {
		.access = READ_WRITE,
		.name = "nothing",
		.deadline = RONBUS_WAIT_FOREVER,
	};
	pid_t pid = fork();

	if (!pid)
		_exit(-do_ioctl(control, RONBUS_IOC_ATTACH, &args));
	return pid;
}

/* One that waits dies when it is killed, stands still when it is frozen, and hears of signals. */
TEST(a_seeker_can_be_ended)
{
	int control = OPEN_CONTROL(), i;
	char group[64];
	pid_t pid[3];

	for (i = 0; i < 3; i++) {
		pid[i] = seek_for_ever(control);
		ASSERT_LE(0, pid[i]);
		ASSERT_TRUE(wait_until(task_state(pid[i]) == 'S'));
	}
	ASSERT_EQ(0, kill(pid[0], SIGKILL));
	EXPECT_EQ(-SIGKILL, child_status(pid[0]));
	ASSERT_EQ(0, kill(pid[1], SIGTERM));
	EXPECT_EQ(-SIGTERM, child_status(pid[1]));

	ASSERT_EQ(0, cgroup_make(group, sizeof(group), "seeker", 64 << 20));
	ASSERT_EQ(0, cgroup_add(group, pid[2]));
	ASSERT_EQ(0, cgroup_write(group, "cgroup.freeze", "1"));
	EXPECT_TRUE(wait_until(cgroup_is(group, "frozen 1")));
	ASSERT_EQ(0, kill(pid[2], SIGKILL));
	EXPECT_EQ(-SIGKILL, child_status(pid[2]));
	EXPECT_EQ(0, cgroup_remove(group));
	close(control);
}

#define OTHERS 32
#define MADE 50

/* How often a child went to sleep. */
static long sleeps_of(pid_t pid)
{
	char path[40], line[80];
	long sleeps = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
		sscanf(line, "voluntary_ctxt_switches: %ld", &sleeps);
	if (file)
		fclose(file);
	return sleeps;
}

/* One that waits for a name sleeps on where buses are made of another name, but for a few names. */
TEST(others_sleep_on)
{
	int control = OPEN_CONTROL(), i, bus;
	long before[OTHERS], woken = 0;
	struct ronbus_attach args = {
		.access = RONBUS_ACCESS_SUBSCRIBE,
		.deadline = RONBUS_WAIT_FOREVER,
	};
	struct ronbus_create made = { .name = "made" };
	pid_t pid[OTHERS];

	for (i = 0; i < OTHERS; i++) {
		snprintf(args.name, sizeof(args.name), "other-%d", i);
		pid[i] = fork();
		ASSERT_LE(0, pid[i]);
		if (!pid[i])
			_exit(do_ioctl(control, RONBUS_IOC_ATTACH, &args) < 0);
		ASSERT_TRUE(wait_until(task_state(pid[i]) == 'S'));
		before[i] = sleeps_of(pid[i]);
	}
	for (i = 0; i < MADE; i++) {
		bus = bus_create(control, made);
		ASSERT_LE(0, bus);
		/* So that the worker that wakes has its turn: the more there is to be seen. */
		nap();
		close(bus);
	}
	for (i = 0; i < OTHERS; i++) {
		woken += sleeps_of(pid[i]) - before[i];
		ASSERT_EQ(0, kill(pid[i], SIGKILL));
		EXPECT_EQ(-SIGKILL, child_status(pid[i]));
	}
	EXPECT_GT(OTHERS * MADE / 8, woken) TH_LOG("%ld", woken);
	close(control);
}

/**
 * struct keeper - a thread that takes the first bus of a name, and keeps it
 * @control: a control fd
 * @bus: the bus, or an error
 */
struct keeper {
	int control;
	int bus;
};

static void *keep(void *arg)
{
	const struct ronbus_attach args = {
		.access = RONBUS_ACCESS_SUBSCRIBE,
		.name = "kept",
		.deadline = RONBUS_WAIT_FOREVER,
	};
	struct keeper *me = arg;

	me->bus = do_ioctl(me->control, RONBUS_IOC_ATTACH, &args);
	return NULL;
}

/* One that waits for a name does not get a bus whose CREATE fails, and with it the name. */
TEST(a_create_that_fails_is_not_found)
{
	struct ronbus_create *args = mmap(NULL, (size_t)getpagesize(), PROT_READ | PROT_WRITE,
					  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct keeper keeper = { .control = OPEN_CONTROL() };
	struct ronbus_info made, found;
	pthread_t thread;
	int i, bus;

	ASSERT_NE(MAP_FAILED, args);
	strcpy(args->name, "kept");
	ASSERT_EQ(0, mprotect(args, (size_t)getpagesize(), PROT_READ));
	ASSERT_EQ(0, pthread_create(&thread, NULL, keep, &keeper));
	for (i = bus = 0; i < 2000 && (!i || bus == -EFAULT); i++)
		bus = do_ioctl(keeper.control, RONBUS_IOC_CREATE, args);
	ASSERT_EQ(-EFAULT, bus) TH_LOG("call %d", i);
	ASSERT_EQ(0, mprotect(args, (size_t)getpagesize(), PROT_READ | PROT_WRITE));
	bus = do_ioctl(keeper.control, RONBUS_IOC_CREATE, args);
	ASSERT_LE(0, bus);
	EXPECT_EQ(0600, args->mode);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	ASSERT_LE(0, keeper.bus);
	ASSERT_EQ(0, fd_info(bus, &made));
	ASSERT_EQ(0, fd_info(keeper.bus, &found));
	EXPECT_EQ(made.id, found.id);
	close(keeper.bus);
	close(bus);
	/* An error leaves what was asked for as it was. */
	bus = bus_create(keeper.control, *args);
	args->mode = 0;
	EXPECT_EQ(-EEXIST, do_ioctl(keeper.control, RONBUS_IOC_CREATE, args));
	EXPECT_EQ(0, args->mode);
	close(bus);
	close(keeper.control);
	munmap(args, (size_t)getpagesize());
}

/* ---- one step --------------------------------------------------------------------------- */

#define OPENERS 6

struct opener {
	const char *where;
	pthread_barrier_t *begin, *end;
	unsigned int rounds;
	unsigned int made;
	u64 numbers[400];
	int wrong;
};

static void *open_rounds(void *arg)
{
	const struct ronbus_options opts = {
		.name = "opened",
		.flags = RONBUS_BUS_PERSISTENT,
		.mode = 0600,
	};
	struct opener *me = arg;
	struct ronbus *bus;
	unsigned int i;
	int ret;

	for (i = 0; i < me->rounds; i++) {
		pthread_barrier_wait(me->begin);
		ret = ronbus_open(me->where, &opts, READ_WRITE, &bus);
		if (ret < 0) {
			me->wrong = ret;
			bus = NULL;
		}
		me->made += ret == 1;
		me->numbers[i] = bus ? bus_number(bus) : 0;
		pthread_barrier_wait(me->end);
		ronbus_close(bus);
	}
	return NULL;
}

/* Of those that open a name at once one makes the bus, and all have the same. */
TEST_F(restart, open_is_one_step)
{
	const unsigned int rounds = 400;
	static struct opener all[OPENERS];
	pthread_t threads[OPENERS];
	pthread_barrier_t begin, end;
	unsigned int i, k, made = 0;

	pthread_barrier_init(&begin, NULL, OPENERS);
	pthread_barrier_init(&end, NULL, OPENERS);
	for (i = 0; i < OPENERS; i++) {
		all[i] = (struct opener){
			.where = self->where,
			.begin = &begin,
			.end = &end,
			.rounds = rounds,
		};
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, open_rounds, &all[i]));
	}
	for (i = 0; i < OPENERS; i++) {
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
		EXPECT_EQ(0, all[i].wrong);
		made += all[i].made;
	}
	for (k = 0; k < rounds; k++)
		for (i = 1; i < OPENERS; i++)
			EXPECT_EQ(all[0].numbers[k], all[i].numbers[k]);
	/* A bus lives on into the next round where somebody has not closed it yet. */
	EXPECT_LE(1, made);
	EXPECT_GE(rounds, made);
}

/* ---- restarts, again and again ----------------------------------------------------------- */

#define RESTARTS 2000U
#define EACH 3U

/**
 * struct restarts - what publishers and the reader share
 * @begun: buses that publishers have begun
 * @refused: times that a publisher could not begin
 * @read: buses that the reader has had
 * @again: times that it had one again
 * @wrong: anything else
 * @stop: the reader may go
 */
struct restarts {
	u64 begun;
	u64 refused;
	u64 read;
	u64 again;
	u64 wrong;
	u64 stop;
};

static void publish_once(struct restarts *r)
{
	const struct ronbus_options opts = { .name = "restarts", .mode = 0604, .capacity = SLOTS };
	struct ronbus_pub *pub;
	struct ronbus *bus;
	u64 i;

	if (ronbus_create(RONBUS_DEVICE, &opts, &bus)) {
		r->refused++;
		return;
	}
	if (ronbus_publisher(bus, 0, &pub)) {
		r->wrong++;
		ronbus_close(bus);
		return;
	}
	r->begun++;
	for (i = 0; i < EACH; i++)
		r->wrong += send_number(pub, 0, i) < 0;
	ronbus_pub_close(pub);
	ronbus_close(bus);
}

/* Reads each bus to its end, if it is quick enough to have it at all, and none twice. */
static void read_for_ever(struct restarts *r, useconds_t pause)
{
	const struct ronbus_sub_options oldest = { .start = RONBUS_START_OLDEST };
	u64 number, last = 0;
	struct ronbus_sub *sub;
	struct ronbus *bus;
	int err;

	while (!__atomic_load_n(&r->stop, __ATOMIC_SEQ_CST)) {
		err = ronbus_attach_wait(RONBUS_DEVICE, "restarts", RONBUS_ACCESS_SUBSCRIBE,
					 10000000, &bus);
		if (err == -ETIMEDOUT)
			continue;
		if (err) {
			__atomic_fetch_add(&r->wrong, 1, __ATOMIC_SEQ_CST);
			continue;
		}
		number = bus_number(bus);
		if (!ronbus_subscribe(bus, &oldest, &sub)) {
			while (next_number(sub, -1) >= 0)
				usleep(pause);
			ronbus_sub_close(sub);
		}
		ronbus_close(bus);
		__atomic_fetch_add(&r->again, number <= last, __ATOMIC_SEQ_CST);
		__atomic_fetch_add(&r->read, number > last, __ATOMIC_SEQ_CST);
		last = number;
	}
}

/* Attaches, and stays for ever: stopped, or a stranger that is idle. */
static void stay(bool stopped)
{
	struct ronbus_sub *sub;
	struct ronbus *bus;
	int err;

	if (!stopped && (setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY)))
		_exit(77);
	err = ronbus_attach_wait(RONBUS_DEVICE, "restarts", RONBUS_ACCESS_SUBSCRIBE, -1, &bus);
	if (!err)
		err = ronbus_subscribe(bus, NULL, &sub);
	if (err)
		_exit(-err);
	if (stopped)
		raise(SIGSTOP);
	for (;;)
		pause();
}

/* A stopped, an idle, a foreign and a slow subscriber hold up no publisher that begins again. */
TEST_F_TIMEOUT(restart, thousands_of_times, 600)
{
	struct restarts *r = shared_memory(sizeof(*r));
	pid_t readers[2], stayers[2];
	unsigned int i, n = 0;
	struct stat device;

	if (strcmp(self->where, RONBUS_DEVICE))
		return; /* it is about processes */
	ASSERT_NE(NULL, r);
	ASSERT_EQ(0, stat(RONBUS_DEVICE, &device));
	ASSERT_EQ(0, chmod(RONBUS_DEVICE, 0666));
	for (i = 0; i < 2; i++) {
		stayers[i] = fork();
		if (!stayers[i])
			stay(i);
		readers[i] = fork();
		if (!readers[i]) {
			read_for_ever(r, i ? 3000 : 0);
			_exit(0);
		}
	}
	while (n++ < RESTARTS)
		publish_once(r);
	/* The last ones, for as long as it takes until both have had some. */
	EXPECT_TRUE(wait_until((publish_once(r), n++, RB_READ(&r->read) >= 20)));
	EXPECT_EQ('T', task_state(stayers[1]));
	EXPECT_EQ('S', task_state(stayers[0]));
	__atomic_store_n(&r->stop, 1, __ATOMIC_SEQ_CST);
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, child_status(readers[i]));
		kill(stayers[i], SIGKILL);
		EXPECT_EQ(-SIGKILL, child_status(stayers[i]));
	}
	ASSERT_EQ(0, chmod(RONBUS_DEVICE, device.st_mode & 07777));
	EXPECT_EQ(n - 1, r->begun + r->refused);
	EXPECT_EQ(0, r->refused);
	EXPECT_EQ(0, r->again);
	EXPECT_EQ(0, r->wrong);
	TH_LOG("%llu restarts, %llu of their buses read", (unsigned long long)r->begun,
	       (unsigned long long)r->read);
}

/* The example does what the guide says, with publishers that crash and hang. */
TEST(supervisor)
{
	int status;

	close(OPEN_CONTROL());
	status = system("./supervisor 8 >/dev/null");
	EXPECT_EQ(0, status);
}

/* ---- which members are there ------------------------------------------------------------ */

static void *subscribe_later(void *arg)
{
	struct ronbus_sub *sub;

	usleep(20000);
	return ronbus_subscribe(arg, NULL, &sub) ? NULL : sub;
}

TEST_F(restart, a_publisher_sees_its_audience)
{
	const struct ronbus_options opts = { .features = RONBUS_F_INTEREST };
	const struct ronbus_sub_options topics = { .topics = 1 << 3 };
	struct ronbus_sub *all, *some;
	struct ronbus_pub *pub[2];
	struct ronbus *bus;
	pthread_t thread;
	void *joined;
	int i;

	ASSERT_EQ(0, ronbus_create(self->where, &opts, &bus));
	ASSERT_EQ(0, ronbus_publisher(bus, 0, &pub[0]));
	ASSERT_EQ(0, ronbus_publisher(bus, RONBUS_PUB_SYSCALL, &pub[1]));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, ronbus_pub_receivers(pub[i], 3));
		EXPECT_EQ(-EINVAL, ronbus_pub_receivers(pub[i], RONBUS_TOPICS_MAX));
		EXPECT_EQ(-ETIMEDOUT, ronbus_pub_wait(pub[i], 0));
		EXPECT_EQ(-ETIMEDOUT, ronbus_pub_wait(pub[i], 10000000));
	}
	ASSERT_EQ(0, ronbus_subscribe(bus, &topics, &some));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(1, ronbus_pub_receivers(pub[i], 3));
		EXPECT_EQ(0, ronbus_pub_receivers(pub[i], 4));
		EXPECT_EQ(0, ronbus_pub_wait(pub[i], 0));
	}
	ASSERT_EQ(0, ronbus_subscribe(bus, NULL, &all));
	EXPECT_EQ(2, ronbus_pub_receivers(pub[0], 3));
	EXPECT_EQ(1, ronbus_pub_receivers(pub[0], 4));
	ronbus_sub_close(all);
	ronbus_sub_close(some);
	EXPECT_EQ(0, ronbus_pub_receivers(pub[0], 3));
	EXPECT_EQ(-ETIMEDOUT, ronbus_pub_wait(pub[0], 0));

	ASSERT_EQ(0, pthread_create(&thread, NULL, subscribe_later, bus));
	EXPECT_EQ(0, ronbus_pub_wait(pub[0], -1));
	EXPECT_EQ(0, ronbus_pub_wait(pub[1], -1));
	ASSERT_EQ(0, pthread_join(thread, &joined));
	ASSERT_NE(NULL, joined);
	ronbus_sub_close(joined);
	ronbus_pub_close(pub[0]);
	ronbus_pub_close(pub[1]);
	ronbus_close(bus);
}

/* All that poll for a first subscriber are told, in whatever manner they poll. */
TEST(all_that_poll_a_publisher_are_told)
{
	const u32 how[] = { EPOLLEXCLUSIVE, EPOLLEXCLUSIVE, EPOLLET, EPOLLET | EPOLLEXCLUSIVE, 0 };
	int control = OPEN_CONTROL(), bus, pub, sub, epoll[ARRAY_SIZE(how)], round;
	struct epoll_event event;
	unsigned int i;

	bus = bus_create(control, (struct ronbus_create){ .capacity = SLOTS });
	ASSERT_LE(0, bus);
	pub = fd_publisher(bus, 0, NULL);
	ASSERT_LE(0, pub);
	EXPECT_EQ(0, fd_poll(pub, POLLIN | POLLOUT));
	for (i = 0; i < ARRAY_SIZE(how); i++) {
		epoll[i] = epoll_create1(0);
		event.events = EPOLLOUT | how[i];
		ASSERT_EQ(0, epoll_ctl(epoll[i], EPOLL_CTL_ADD, pub, &event));
		EXPECT_EQ(0, epoll_wait(epoll[i], &event, 1, 0));
	}
	for (round = 0; round < 3; round++) {
		sub = fd_subscribe(bus, RONBUS_START_LATEST, 0, NULL);
		ASSERT_LE(0, sub);
		EXPECT_EQ(POLLOUT, fd_poll(pub, POLLIN | POLLOUT));
		for (i = 0; i < ARRAY_SIZE(how); i++) {
			ASSERT_TRUE(wait_until(epoll_wait(epoll[i], &event, 1, 0) == 1))
			TH_LOG("epoll %u, round %d", i, round);
			EXPECT_EQ(EPOLLOUT, event.events);
		}
		close(sub);
		EXPECT_EQ(0, fd_poll(pub, POLLIN | POLLOUT));
		EXPECT_EQ(0, epoll_wait(epoll[4], &event, 1, 0));
	}
	for (i = 0; i < ARRAY_SIZE(how); i++)
		close(epoll[i]);
	close(pub);
	close(bus);
	close(control);
}

TEST_F(restart, a_subscriber_knows_how_far_behind_it_is)
{
	struct ronbus_pub *pub;
	struct ronbus_sub *sub;
	struct ronbus *bus;
	u64 i;

	ASSERT_EQ(0, make_bus(self->where, NULL, 0, &bus));
	ASSERT_EQ(0, ronbus_publisher(bus, 0, &pub));
	ASSERT_EQ(0, ronbus_subscribe(bus, NULL, &sub));
	EXPECT_EQ(0, ronbus_sub_behind(sub));
	for (i = 1; i <= 2 * SLOTS; i++) {
		ASSERT_EQ(1, send_number(pub, 0, i));
		EXPECT_EQ(i, ronbus_sub_behind(sub));
	}
	EXPECT_EQ(-3, next_number(sub, 0)); /* of the loss */
	EXPECT_EQ(SLOTS, ronbus_sub_behind(sub));
	EXPECT_EQ(SLOTS + 1, next_number(sub, 0));
	EXPECT_EQ(SLOTS - 1, ronbus_sub_behind(sub));
	while (next_number(sub, 0) >= 0)
		;
	EXPECT_EQ(0, ronbus_sub_behind(sub));
	ronbus_sub_close(sub);
	ronbus_pub_close(pub);
	ronbus_close(bus);
}

TEST(capacity_for)
{
	EXPECT_EQ(RONBUS_CAPACITY_MIN, ronbus_capacity_for(0, 0));
	EXPECT_EQ(RONBUS_CAPACITY_MIN, ronbus_capacity_for(4, SEC));
	EXPECT_EQ(8, ronbus_capacity_for(5, SEC));
	EXPECT_EQ(64, ronbus_capacity_for(10000, 6400000));
	EXPECT_EQ(128, ronbus_capacity_for(10000, 6400001));
	EXPECT_EQ(1024, ronbus_capacity_for(10000, 100000000));
	EXPECT_EQ(RONBUS_CAPACITY_MAX, ronbus_capacity_for(RONBUS_CAPACITY_MAX, SEC));
	EXPECT_EQ(RONBUS_CAPACITY_MAX, ronbus_capacity_for(~0ULL, ~0ULL));
}

/* ---- members that come later -------------------------------------------------------------- */

FIXTURE(retain)
{
	const char *where;
	struct ronbus *bus;
	struct ronbus_pub *pub;
};

FIXTURE_VARIANT(retain)
{
	const char *where;
	u64 features;
	u32 flags;
	unsigned int pub_flags;
};

#define RETAINS(name, ...)                                                        \
	FIXTURE_VARIANT_ADD(retain, device_##name){ RONBUS_DEVICE, __VA_ARGS__ }; \
	FIXTURE_VARIANT_ADD(retain, embedded_##name){ RONBUS_EMBEDDED, __VA_ARGS__ };

#define MOST (RONBUS_F_EDGE_NOTIFY | RONBUS_F_BATCH | RONBUS_F_METRICS_BUF)
RETAINS(plain, 0, 0, 0)
RETAINS(edge, RONBUS_F_EDGE_NOTIFY, 0, 0)
RETAINS(single, RONBUS_F_EDGE_NOTIFY, 0, RONBUS_PUB_SINGLE)
RETAINS(most, MOST, 0, 0)
RETAINS(all, MOST | RONBUS_F_INTEREST | RONBUS_F_COALESCE, 0, 0)
RETAINS(arrays, MOST | RONBUS_F_INTEREST | RONBUS_F_SOA, 0, 0)
RETAINS(exclusive, MOST, RONBUS_BUS_EXCLUSIVE, 0)
RETAINS(exclusive_arrays, MOST | RONBUS_F_SOA, RONBUS_BUS_EXCLUSIVE, 0)
RETAINS(by_call, MOST | RONBUS_F_INTEREST, 0, RONBUS_PUB_SYSCALL)

FIXTURE_SETUP(retain)
{
	const struct ronbus_options opts = {
		.features = variant->features,
		.flags = variant->flags | RONBUS_BUS_RETAIN | RONBUS_BUS_PERSISTENT,
		.capacity = SLOTS,
		.payload = LEN,
	};

	if (strcmp(variant->where, RONBUS_EMBEDDED))
		close(OPEN_CONTROL());
	self->where = variant->where;
	ASSERT_EQ(0, ronbus_create(self->where, &opts, &self->bus));
	ASSERT_EQ(0, ronbus_publisher(self->bus, variant->pub_flags, &self->pub));
}

FIXTURE_TEARDOWN(retain)
{
	ronbus_pub_close(self->pub);
	ronbus_close(self->bus);
}

static const struct ronbus_sub_options oldest = { .start = RONBUS_START_OLDEST };

/* Message by message, and in batches; before anybody is there, and after all have gone. */
TEST_F(retain, messages_wait_for_a_subscriber)
{
	u64 numbers[3] = { 3, 4, 5 }, i;
	struct iovec vec[3] = { { &numbers[0], 8 }, { &numbers[1], 8 }, { &numbers[2], 8 } };
	struct ronbus_stats stats;
	struct ronbus_sub *sub;

	EXPECT_EQ(0, send_number(self->pub, 1, 1));
	EXPECT_EQ(0, send_number(self->pub, 1, 2));
	EXPECT_EQ(3, ronbus_publish_many(self->pub, 1, vec, 3));
	ASSERT_EQ(0, ronbus_subscribe(self->bus, &oldest, &sub));
	for (i = 1; i <= 5; i++)
		EXPECT_EQ((long)i, next_number(sub, 0));
	EXPECT_EQ(-2, next_number(sub, 0));
	EXPECT_EQ(1, send_number(self->pub, 1, 6));
	EXPECT_EQ(6, next_number(sub, 0));
	ronbus_sub_close(sub);

	/* A lap and more that nobody sees. */
	for (i = 7; i < 30; i++)
		EXPECT_EQ(0, send_number(self->pub, 1, i));
	ASSERT_EQ(0, ronbus_subscribe(self->bus, &oldest, &sub));
	for (i = 30 - SLOTS; i < 30; i++)
		EXPECT_EQ((long)i, next_number(sub, 0));
	EXPECT_EQ(-2, next_number(sub, 0));
	ronbus_sub_close(sub);
	ronbus_pub_close(self->pub);
	self->pub = NULL;

	ASSERT_EQ(0, ronbus_stats(self->bus, RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(28, stats.counters.no_receivers_total);
	EXPECT_EQ(1, stats.counters.published_total);
	EXPECT_EQ(14, stats.counters.delivered_total);
}

/* What a subscriber wants it gets, though it was published for others or for nobody. */
TEST_F(retain, topics_choose)
{
	struct ronbus_sub_options two = { .start = RONBUS_START_OLDEST, .topics = 1 << 2 };
	struct ronbus_sub *first, *second;
	u64 i;

	if (!(variant->features & RONBUS_F_INTEREST))
		return;
	for (i = 0; i < 6; i++)
		EXPECT_EQ(0, send_number(self->pub, i % 3, i));
	ASSERT_EQ(0, ronbus_subscribe(self->bus, &two, &first));
	EXPECT_EQ(2, next_number(first, 0));
	EXPECT_EQ(5, next_number(first, 0));
	EXPECT_EQ(-2, next_number(first, 0));
	EXPECT_EQ(0, send_number(self->pub, 1, 6));
	EXPECT_EQ(1, send_number(self->pub, 2, 7));
	/* Before the first reads on, it wants what was published for nobody. */
	ASSERT_EQ(0, ronbus_set_topics(first, 1 << 1));
	EXPECT_EQ(6, next_number(first, 0));
	EXPECT_EQ(-2, next_number(first, 0));
	two.topics = 1 << 0 | 1 << 2;
	ASSERT_EQ(0, ronbus_subscribe(self->bus, &two, &second));
	EXPECT_EQ(0, next_number(second, 0));
	EXPECT_EQ(2, next_number(second, 0));
	EXPECT_EQ(3, next_number(second, 0));
	EXPECT_EQ(5, next_number(second, 0));
	EXPECT_EQ(7, next_number(second, 0));
	EXPECT_EQ(-2, next_number(second, 0));
	ronbus_sub_close(first);
	ronbus_sub_close(second);
}

/*
 * What is enough for a subscriber that coalesces is counted anew when its topics change: before it
 * there are messages that were not for it when it counted.
 */
TEST_F(retain, topics_change_what_is_enough)
{
	struct ronbus_sub_options one = { .start = RONBUS_START_OLDEST, .topics = 1 << 1 };
	struct ronbus_sub *sub;
	u64 i;

	if (~variant->features & (RONBUS_F_INTEREST | RONBUS_F_COALESCE))
		return;
	for (i = 0; i < 6; i++)
		EXPECT_EQ(0, send_number(self->pub, 2, i));
	ASSERT_EQ(0, ronbus_subscribe(self->bus, &one, &sub));
	ASSERT_EQ(0, ronbus_coalesce(sub, 4, RONBUS_COALESCE_DELAY_MAX));
	EXPECT_EQ(-ETIMEDOUT, ronbus_wait(sub, 0));
	EXPECT_EQ(0, ronbus_arm(sub));
	ASSERT_EQ(0, ronbus_set_topics(sub, 1 << 2));
	EXPECT_EQ(1, ronbus_arm(sub));
	EXPECT_EQ(0, ronbus_wait(sub, 0));
	for (i = 0; i < 6; i++)
		EXPECT_EQ((long)i, next_number(sub, 0));
	ronbus_sub_close(sub);
}

/* Of a new topic there may be messages already: whoever waits for the subscriber is told. */
TEST_F(retain, a_new_topic_wakes)
{
	struct ronbus_sub_options one = { .start = RONBUS_START_OLDEST, .topics = 1 << 1 };
	int event = eventfd(0, EFD_NONBLOCK);
	struct ronbus_sub *sub;
	int messages;

	if (!(variant->features & RONBUS_F_INTEREST))
		return;
	for (messages = 1; messages < 5; messages += 3) {
		ASSERT_EQ(0, ronbus_subscribe(self->bus, &one, &sub));
		ASSERT_EQ(0, ronbus_set_eventfd(sub, event));
		ASSERT_LE(0, ronbus_sub_fd(sub));
		if (variant->features & RONBUS_F_COALESCE) {
			ASSERT_EQ(0, ronbus_coalesce(sub, messages, RONBUS_COALESCE_DELAY_MAX));
		}
		EXPECT_EQ(0, send_number(self->pub, 2, 7));
		ASSERT_EQ(0, ronbus_arm(sub));
		ASSERT_EQ(0, ronbus_set_topics(sub, 1 << 1 | 1 << 2));
		EXPECT_EQ(POLLIN, fd_poll(event, POLLIN));
		if (messages == 1) {
			EXPECT_EQ(POLLIN, fd_poll(ronbus_sub_fd(sub), POLLIN));
		}
		EXPECT_EQ(7, next_number(sub, 0));
		ronbus_sub_close(sub);
		close(event);
		event = eventfd(0, EFD_NONBLOCK);
	}
	close(event);
}

/**
 * struct meeting - a message that is published while its only subscriber joins
 * @bus: where
 * @begin: both begin a round
 * @end: both have ended it
 * @got: what the subscriber got
 */
struct meeting {
	struct ronbus *bus;
	pthread_barrier_t begin, end;
	long got;
	bool stop;
};

static void *join_and_read(void *arg)
{
	struct meeting *m = arg;
	struct ronbus_sub *sub;
	long got;

	for (;;) {
		pthread_barrier_wait(&m->begin);
		if (m->stop)
			return NULL;
		m->got = -4;
		if (!ronbus_subscribe(m->bus, &oldest, &sub)) {
			/* To the last: what came before is of earlier rounds, and may be overtaken. */
			do {
				got = next_number(sub, m->got < 0 ? (int64_t)WATCHDOG : 0);
				m->got = got >= 0 ? got : m->got;
			} while (got >= 0 || got == -3);
			ronbus_sub_close(sub);
		}
		pthread_barrier_wait(&m->end);
	}
}

/* However the two fall: the newcomer has the message, and does not sleep in front of it. */
TEST_F(retain, a_newcomer_meets_a_message)
{
	struct meeting m = { .bus = self->bus };
	pthread_t thread;
	long i;

	pthread_barrier_init(&m.begin, NULL, 2);
	pthread_barrier_init(&m.end, NULL, 2);
	ASSERT_EQ(0, pthread_create(&thread, NULL, join_and_read, &m));
	/* The first is there in any case; then each has its own slot to be found in. */
	for (i = 0; i < 300; i++) {
		pthread_barrier_wait(&m.begin);
		ASSERT_LE(0, send_number(self->pub, 0, (u64)i));
		pthread_barrier_wait(&m.end);
		ASSERT_LE(0, m.got);
		/* It may have joined, read and left before this one. */
		ASSERT_TRUE(m.got == i || (i && m.got == i - 1)) TH_LOG("%ld, not %ld", m.got, i);
	}
	m.stop = true;
	pthread_barrier_wait(&m.begin);
	ASSERT_EQ(0, pthread_join(thread, NULL));
}

/* The other ways to publish, which are the module's alone. */
TEST(blocks_are_retained)
{
	const struct ronbus_options opts = {
		.features = RONBUS_F_BLOCKS,
		.flags = RONBUS_BUS_RETAIN | RONBUS_BUS_PERSISTENT,
		.capacity = SLOTS,
		.payload = 64,
	};
	const char *const where[] = { RONBUS_DEVICE, RONBUS_EMBEDDED };
	char data[100] = "block", buf[64];
	unsigned int i;

	close(OPEN_CONTROL());
	for (i = 0; i < ARRAY_SIZE(where); i++) {
		struct ronbus_block block;
		struct ronbus_msg msg;
		struct ronbus_pub *pub;
		struct ronbus_sub *sub;
		struct ronbus *bus;

		ASSERT_EQ(0, ronbus_create(where[i], &opts, &bus));
		ASSERT_EQ(0, ronbus_publisher(bus, 0, &pub));
		EXPECT_EQ(0, ronbus_publish_block(pub, 0, NULL, 0, data, sizeof(data)));
		ASSERT_EQ(0, ronbus_subscribe(bus, &oldest, &sub));
		ASSERT_EQ(RONBUS_MESSAGE, ronbus_try_recv(sub, buf, sizeof(buf), &msg));
		ASSERT_EQ(0, ronbus_block_pin(sub, &msg, &block));
		EXPECT_EQ(sizeof(data), block.len);
		EXPECT_EQ(0, memcmp(block.data, data, sizeof(data)));
		ronbus_block_unpin(sub, &block);
		ronbus_sub_close(sub);
		ronbus_pub_close(pub);
		ronbus_close(bus);
	}
}

TEST_HARNESS_MAIN
