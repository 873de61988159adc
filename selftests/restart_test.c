// SPDX-License-Identifier: GPL-2.0
/*
 * Publishers and subscribers that start in any order, and again: names and their owners, waiting
 * for a bus, restarts. On both transports, where both have it.
 */
#include <pthread.h>

#include "restart.h"

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

TEST_HARNESS_MAIN
