/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A life: a process whose threads call the module at random, on fds and memory that they share,
 * until somebody kills it. What it does is in the table of operations at the end; a storm says
 * which groups of them, on which buses.
 *
 * An operation may do anything but depend on an answer: whatever it is told is fine, as long as it
 * is told something. What must be true all the same is for chaos_test.c to say.
 */
#ifndef CHAOS_H
#define CHAOS_H

#include <assert.h>
#include <dirent.h>
#include <liburing.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/uio.h>

#include "ronbus_blocks.h"
#include "ronbus_kselftest.h"

#define PAGE 4096UL
#define BUSES_MOST 4
#define THREADS_MOST 6
#define OPS_MOST 64
#define STALL_BYTES (4 * PAGE)

/* What an operation is about: a storm chooses among these. */
enum group {
	G_JOIN = 1 << 0, /* members come and go */
	G_BUS = 1 << 1, /* buses of one's own, names, the end */
	G_PUBLISH = 1 << 2,
	G_NOTIFY = 1 << 3,
	G_WAIT = 1 << 4, /* every way to sleep, and to end others' sleep */
	G_READ = 1 << 5, /* read(2), with and without O_NONBLOCK */
	G_COALESCE = 1 << 6,
	G_VISIT = 1 << 7, /* join, coalesce, arm, and leave at once */
	G_TOPICS = 1 << 8,
	G_ASK = 1 << 9, /* STATS, INFO, QUERY, fdinfo */
	G_MAP = 1 << 10, /* mapping, and all that can be done to a mapping */
	G_MAPPED = 1 << 11, /* publishing through a mapping, slowly, sometimes not to the end */
	G_SCRIBBLE = 1 << 12, /* any word of the ring, and whole rings of nonsense */
	G_CURSOR = 1 << 13, /* any word of one's own page */
	G_URING = 1 << 14,
	G_FLOOD = 1 << 15, /* as many pending waits as there may be */
	G_PIN = 1 << 16, /* ways to hold pages of a mapping */
	G_FORK = 1 << 17,
	G_BPF = 1 << 18,
	G_BLOCK = 1 << 19,
	G_STALL = 1 << 20, /* data whose page faults do not end: such a life cannot be frozen */
};

#define G_ALL ((1U << 21) - 1)

/* The topics of the honest, of which what is not for their subscriber is for nobody in particular. */
#define WANTED 61U
#define UNWANTED 62U
/* Topics that lives publish; there are some that nobody does. */
#define TOPICS 48U

/**
 * struct storm - what lives do; shared by all of them
 * @control: the control device
 * @buses: the buses they meet on
 * @nr_buses: how many
 * @groups: set of &enum group
 * @heavy: those of them that are done more often
 * @threads: of each life
 * @stay: members stay that have joined
 * @hungry: subscribers want much of what is rare, from far back
 * @drop_uid: some lives are nobody's
 * @bpf_token: where BPF programs are told the publisher to publish as, or NULL
 * @done: how often each operation was done
 * @answered: and was told no error
 */
struct storm {
	int control;
	int buses[BUSES_MOST];
	unsigned int nr_buses;
	u32 groups, heavy;
	unsigned int threads;
	bool stay;
	bool hungry;
	bool drop_uid;
	volatile __u64 *bpf_token;
	u64 done[OPS_MOST];
	u64 answered[OPS_MOST];
};

static u64 say_since;

static inline void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "# %3llu s: ", (unsigned long long)((now_ns() - say_since) / SEC));
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
}

/* ---- chance ------------------------------------------------------------------------------- */

static __thread u64 chance;

static inline u64 draw(void)
{
	chance = random_next(chance);
	return chance >> 24;
}

static inline u64 below(u64 n)
{
	return draw() % n;
}

static inline bool one_in(u64 n)
{
	return !below(n);
}

/* A number that somebody may have forgotten to think of. */
static inline u64 odd_number(void)
{
	switch (below(8)) {
	case 0:
		return 0;
	case 1:
		return ~0ULL - below(3);
	case 2:
		return 1ULL << below(64);
	case 3:
		return (1ULL << below(64)) - 1;
	case 4:
		return below(300);
	}
	return draw() ^ draw() << 32;
}

/* A word that a ring might have, or be hurt by. */
static inline u64 odd_word(u64 near, u32 capacity)
{
	u64 lap = near / capacity + below(3);

	switch (below(8)) {
	case 0:
		return RONBUS_STATE(lap, below(64), RONBUS_KIND_READY);
	case 1:
		return RONBUS_STATE(lap, below(64), RONBUS_KIND_BUSY);
	case 2:
		return RONBUS_STATE(lap, below(64), RONBUS_KIND_HOLE);
	case 3:
		return near + below(2 * capacity);
	case 4:
		return near - below(2 * capacity);
	}
	return odd_number();
}

/* A deadline that is soon, now and then past, and rarely never. */
static inline u64 odd_deadline(void)
{
	if (one_in(16))
		return RONBUS_WAIT_FOREVER;
	return now_ns() + below(1ULL << below(23)) - 10000;
}

/* ---- what the threads of a life share ----------------------------------------------------- */

/* Fds of one kind. The thread that takes one out closes it; others may be using it. */
struct pool {
	int fd[24];
};

#define POOL_SIZE (sizeof(((struct pool *)0)->fd) / sizeof(int))

enum area_kind {
	AREA_INFO,
	AREA_RING,
	AREA_SELF,
	AREA_BLOCKS,
	AREA_KINDS
};

/**
 * struct area - a mapping
 * @at: where, or NULL
 * @len: bytes
 * @kind: of what
 * @writable: it is
 * @fd: the member's
 * @info: what RONBUS_IOC_INFO said
 */
struct area {
	char *at;
	size_t len;
	enum area_kind kind;
	bool writable;
	int fd;
	struct ronbus_info info;
};

static struct {
	struct storm *storm;
	struct pool buses, pubs, subs, eventfds, epolls;
	pthread_mutex_t areas_lock;
	struct area areas[16];
	pthread_t threads[THREADS_MOST];
	char *stall; /* memory whose faults userfaultfd delays */
	char *flicker; /* and such that comes, and goes again at once */
	int uffd;
	int memory; /* a file of whole pages, for what io_uring and pipes move */
} life;

static char life_data[1 << 16];

static inline void pool_clear(struct pool *pool)
{
	unsigned int i;

	for (i = 0; i < POOL_SIZE; i++)
		pool->fd[i] = -1;
}

static inline int pool_put(struct pool *pool, int fd)
{
	int *place = &pool->fd[below(POOL_SIZE)], old = -1;

	if (fd < 0)
		return fd;
	if (!life.storm->stay)
		old = __atomic_exchange_n(place, fd, __ATOMIC_SEQ_CST);
	else if (!__atomic_compare_exchange_n(place, &old, fd, false, __ATOMIC_SEQ_CST,
					      __ATOMIC_SEQ_CST))
		old = fd; /* the place is taken */
	if (old >= 0)
		close(old);
	return 0;
}

static inline int pool_take(struct pool *pool)
{
	return __atomic_exchange_n(&pool->fd[below(POOL_SIZE)], -1, __ATOMIC_SEQ_CST);
}

/* One of them, or -1; two looks, so that half empty pools are no waste of time. */
static inline int pool_pick(struct pool *pool)
{
	int fd = RB_READ(&pool->fd[below(POOL_SIZE)]);

	return fd >= 0 ? fd : RB_READ(&pool->fd[below(POOL_SIZE)]);
}

static inline u32 any_topic(void)
{
	return one_in(16) ? WANTED : (u32)below(TOPICS);
}

static inline u64 any_topics(void)
{
	switch (life.storm->hungry ? 1 + 2 * below(2) : below(5)) {
	case 0:
		return ~0ULL;
	case 1:
		return 1ULL << WANTED;
	case 2:
		return 1ULL << below(TOPICS);
	case 3: /* of which there is never one */
		return 1ULL << (TOPICS + below(WANTED - TOPICS));
	}
	return odd_number();
}

static inline int any_sub(void)
{
	return pool_pick(&life.subs);
}

static inline int any_pub(void)
{
	return pool_pick(&life.pubs);
}

/* Mostly one that all lives share. */
static inline int any_bus(void)
{
	if (life.storm->groups & G_BUS && one_in(6))
		return pool_pick(&life.buses);
	return life.storm->buses[below(life.storm->nr_buses)];
}

/* What a system call is to read: now and then from where nothing is, or where it takes long. */
static inline const void *any_data(void)
{
	if (life.stall && one_in(4))
		return life.stall + below(STALL_BYTES - 64);
	if (one_in(64))
		return (void *)odd_number();
	return life_data + below(1024);
}

/* ---- memory that may go away under us ------------------------------------------------------ */

static __thread sigjmp_buf fault_jump;
static __thread bool fault_guard;

static inline void on_fault(int sig)
{
	if (fault_guard)
		siglongjmp(fault_jump, 1);
	signal(sig, SIG_DFL); /* a fault of the test itself */
}

/* Run @what; 0, or -EFAULT if it touched what is not there. It must take no lock. */
#define guarded(what)                            \
	({                                       \
		int __err = -EFAULT;             \
		if (!sigsetjmp(fault_jump, 0)) { \
			fault_guard = true;      \
			what;                    \
			__err = 0;               \
		}                                \
		fault_guard = false;             \
		__err;                           \
	})

/* A copy of an area of some kind, if chance finds one; others may unmap it meanwhile. */
static inline bool area_pick(enum area_kind kind, bool writable, struct area *area)
{
	unsigned int tries;
	bool found = false;

	pthread_mutex_lock(&life.areas_lock);
	for (tries = 0; tries < 4 && !found; tries++) {
		*area = life.areas[below(ARRAY_SIZE(life.areas))];
		found = area->at && (kind == AREA_KINDS || area->kind == kind) &&
			(!writable || area->writable);
	}
	pthread_mutex_unlock(&life.areas_lock);
	return found;
}

static inline int area_unmap(unsigned int i)
{
	struct area old;

	pthread_mutex_lock(&life.areas_lock);
	old = life.areas[i];
	life.areas[i].at = NULL;
	pthread_mutex_unlock(&life.areas_lock);
	return old.at ? munmap(old.at, old.len) : -ENOENT;
}

/* ---- joining and leaving ------------------------------------------------------------------ */

static int op_publisher(void)
{
	u32 flags = one_in(2) ? RONBUS_PUBLISHER_MAPPED : 0;

	return pool_put(&life.pubs, fd_publisher(any_bus(), flags, NULL));
}

static int op_bpf_publisher(void)
{
	u64 token = 0;
	int fd = fd_publisher_bpf(any_bus(), &token);

	if (fd >= 0 && life.storm->bpf_token)
		*life.storm->bpf_token = token;
	return pool_put(&life.pubs, fd);
}

static int subscribe_at(int bus, u32 start, u64 topics)
{
	struct ronbus_subscribe args = {
		.start = start,
		.position = start == RONBUS_START_AT ? odd_number() : 0,
		.topics = topics,
	};
	int fd = do_ioctl(bus, RONBUS_IOC_SUBSCRIBE, &args);

	/* On a bus without INTEREST it has to be all of them. */
	if (fd == -EINVAL) {
		args.topics = ~0ULL;
		fd = do_ioctl(bus, RONBUS_IOC_SUBSCRIBE, &args);
	}
	return fd;
}

static int op_subscribe(void)
{
	int fd = subscribe_at(any_bus(), (u32)below(3), any_topics());

	if (fd >= 0 && one_in(2))
		fd_nonblock(fd);
	return pool_put(&life.subs, fd);
}

static int op_leave(void)
{
	int fd = life.storm->stay ? -1 : pool_take(one_in(2) ? &life.subs : &life.pubs);

	return fd < 0 ? fd : close(fd);
}

static int op_dup(void)
{
	struct pool *pool = one_in(2) ? &life.subs : &life.pubs;

	return pool_put(pool, dup(pool_pick(pool)));
}

/* A subscriber that wants many, says so, and is gone: with publishers that notify it on its heels. */
static int op_visit(void)
{
	struct ronbus_coalesce coalesce = {
		.messages = 2 + (u32)below(1 << below(10)),
		.delay_ns = 1000 + below(1ULL << below(34)) % RONBUS_COALESCE_DELAY_MAX,
	};
	int fd = subscribe_at(any_bus(), (u32)below(2), any_topics());

	if (fd < 0)
		return fd;
	do_ioctl(fd, RONBUS_IOC_COALESCE, &coalesce);
	if (one_in(4))
		fd_poll(fd, POLLIN);
	else
		fd_arm(fd);
	if (one_in(4))
		usleep((useconds_t)below(300));
	return close(fd);
}

/* ---- buses of one's own --------------------------------------------------------------------- */

static int op_create(void)
{
	struct ronbus_create args = {
		.features = below(RONBUS_FEATURES_KNOWN + 1),
		.flags = (u32)below(16),
		.capacity = 4U << below(9),
		.payload = 8 * (1 + (u32)below(16)),
	};

	if (args.flags & RONBUS_BUS_MAP_NONE)
		args.flags &= ~RONBUS_BUS_MAP_ALL;
	if (args.features & RONBUS_F_BLOCKS) {
		args.blocks = 1 + (u32)below(16);
		args.block_size = 64U << below(8);
		args.payload += 16;
	}
	if (one_in(4))
		snprintf(args.name, sizeof(args.name), "chaos-%u", (u32)below(4));
	return pool_put(&life.buses, bus_create(life.storm->control, args));
}

static int op_attach(void)
{
	char name[RONBUS_NAME_SIZE];

	snprintf(name, sizeof(name), "chaos-%u", (u32)below(4));
	return pool_put(&life.buses, bus_attach(life.storm->control, name, 1 + (u32)below(3)));
}

/* Those that all lives share go on: others count on them. */
static int op_seal(void)
{
	return bus_seal(pool_pick(&life.buses));
}

static int op_bus_close(void)
{
	int fd = pool_take(&life.buses);

	return fd < 0 ? fd : close(fd);
}

/* ---- publishing ----------------------------------------------------------------------------- */

static int op_publish(void)
{
	struct ronbus_vec vec = { .data = (uintptr_t)any_data(), .len = 8 * (u32)below(16) };

	return fd_publish(any_pub(), any_topic(), &vec, 1, NULL);
}

static int op_publish_batch(void)
{
	struct ronbus_vec vec[64];
	u32 i, count = 1 + (u32)below(ARRAY_SIZE(vec));

	for (i = 0; i < count; i++)
		vec[i] = (struct ronbus_vec){ .data = (uintptr_t)any_data(),
					      .len = 8 * (u32)below(4) };
	return fd_publish(any_pub(), any_topic(), vec, count, NULL);
}

static int op_publish_block(void)
{
	struct ronbus_publish_block args = {
		.data = (uintptr_t)any_data(),
		.len = 1 + (u32)below(one_in(4) ? 3 * PAGE : 512),
		.topic = any_topic(),
	};

	/* From page to page, and the first may be gone again when the last one is there. */
	if (life.stall && !one_in(4)) {
		args.data = (uintptr_t)(one_in(2) ? life.stall : life.flicker);
		args.len = STALL_BYTES;
	}
	return do_ioctl(any_pub(), RONBUS_IOC_PUBLISH_BLOCK, &args);
}

static int op_notify(void)
{
	return fd_notify(any_pub(), one_in(2) ? ~0ULL : odd_number(), NULL);
}

/*
 * As a publisher that maps the ring does it, but with time in between, and now and then it does not
 * finish at all: then the position stays claimed until the mapping goes.
 */
static void publish_by_mapping(const struct area *area, u32 owner)
{
	const struct ronbus_info *info = &area->info;
	struct ronbus_claim claim = { 0 };
	struct ronbus_ring ring;
	u32 topic = any_topic();

	ronbus_ring_view(&ring, area->at, info->capacity, info->payload, info->features);
	claim.pos = ronbus_ring_hint(&ring);
	if (ronbus_ring_claim(&ring, &claim, owner, 256))
		return;
	if (one_in(8))
		usleep((useconds_t)below(1 << below(12)));
	if (one_in(100))
		return;
	ronbus_ring_write(&ring, claim.pos, odd_number(), topic, life_data, 8);
	ronbus_ring_commit_last(&ring, claim.pos, owner);
	ronbus_ring_advance(&ring, claim.pos + 1);
}

static int op_publish_mapped(void)
{
	struct area area;
	int err;

	if (!area_pick(AREA_RING, true, &area))
		return -ENOENT;
	err = guarded(publish_by_mapping(&area, area.info.member));
	if (one_in(2))
		fd_notify(area.fd, ~0ULL, NULL);
	return err;
}

/* ---- waiting -------------------------------------------------------------------------------- */

static int op_wait(void)
{
	return fd_wait(any_sub(), odd_deadline());
}

static int op_arm(void)
{
	return fd_arm(any_sub());
}

static int op_cancel(void)
{
	return do_ioctl(any_sub(), RONBUS_IOC_CANCEL, NULL);
}

static int op_poll(void)
{
	struct pollfd fds[3];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = (struct pollfd){ .fd = any_sub(), .events = POLLIN };
	return poll(fds, 1 + below(ARRAY_SIZE(fds)), one_in(16) ? -1 : (int)below(3));
}

static int op_epoll(void)
{
	struct epoll_event event = { .events = EPOLLIN | (one_in(2) ? EPOLLET : 0) };
	int epoll = pool_pick(&life.epolls);

	if (one_in(3))
		event.events |= one_in(2) ? EPOLLEXCLUSIVE : EPOLLONESHOT;
	epoll_ctl(epoll, (int)(EPOLL_CTL_ADD + below(3)),
		  one_in(3) ? pool_pick(&life.eventfds) : any_sub(), &event);
	return epoll_wait(epoll, &event, 1, one_in(32) ? -1 : (int)below(2));
}

static int op_eventfd(void)
{
	u64 count;

	if (one_in(2))
		return fd_set_eventfd(any_sub(), one_in(4) ? -1 : pool_pick(&life.eventfds));
	return (int)fd_read(pool_pick(&life.eventfds), &count, sizeof(count));
}

/* Another thread shall not sleep for ever: its call is interrupted, or begun again. */
static int op_prod(void)
{
	return -pthread_kill(life.threads[below(life.storm->threads)],
			     one_in(2) ? SIGUSR1 : SIGUSR2);
}

static int op_read(void)
{
	char buf[8192];
	int fd = any_sub();

	if (one_in(8))
		fcntl(fd, F_SETFL, one_in(2) ? O_NONBLOCK : 0);
	return (int)fd_read(fd, one_in(64) ? (void *)odd_number() : buf, below(sizeof(buf)));
}

static int op_readv(void)
{
	char buf[2][512];
	struct iovec vec[2] = { { buf[0], below(512) }, { buf[1], below(512) } };
	ssize_t ret = readv(any_sub(), vec, 2);

	return ret < 0 ? -errno : (int)ret;
}

static int op_coalesce(void)
{
	struct ronbus_coalesce args = {
		.messages = (u32)below(1 << below(11)),
		.delay_ns = 1000 + below(1ULL << below(34)) % RONBUS_COALESCE_DELAY_MAX,
	};

	if (life.storm->hungry) {
		args.messages = 1 + (u32)below(RONBUS_COALESCE_MAX);
		args.delay_ns = RONBUS_COALESCE_DELAY_MAX;
	}
	return do_ioctl(any_sub(), RONBUS_IOC_COALESCE, &args);
}

static int op_topics(void)
{
	struct ronbus_topics args = { .topics = any_topics() };

	return do_ioctl(any_sub(), RONBUS_IOC_SET_TOPICS, &args);
}

/* ---- asking --------------------------------------------------------------------------------- */

static int any_member(void)
{
	switch (below(3)) {
	case 0:
		return any_bus();
	case 1:
		return any_pub();
	}
	return any_sub();
}

static int op_stats(void)
{
	struct ronbus_stats stats;

	return fd_stats(any_member(), one_in(2) ? RONBUS_STATS_BUS : (u32)below(70), &stats);
}

static int op_info(void)
{
	struct ronbus_query query;
	struct ronbus_info info;

	if (one_in(4))
		return do_ioctl(any_member(), RONBUS_IOC_QUERY, &query);
	return fd_info(any_member(), &info);
}

static int op_fdinfo(void)
{
	u64 value;

	return fdinfo_value(any_member(), "ino", &value);
}

/* A structure of another size, or an ioctl that is not for this fd. */
static int op_wrong_ioctl(void)
{
	static const unsigned long cmds[] = {
		RONBUS_IOC_QUERY,	  RONBUS_IOC_CREATE,	 RONBUS_IOC_ATTACH,
		RONBUS_IOC_PUBLISHER,	  RONBUS_IOC_STATS,	 RONBUS_IOC_PUBLISH,
		RONBUS_IOC_NOTIFY,	  RONBUS_IOC_SUBSCRIBE,	 RONBUS_IOC_WAIT,
		RONBUS_IOC_PUBLISH_BLOCK, RONBUS_IOC_CANCEL,	 RONBUS_IOC_SET_EVENTFD,
		RONBUS_IOC_COALESCE,	  RONBUS_IOC_SET_TOPICS,
	};
	unsigned long cmd = cmds[below(ARRAY_SIZE(cmds))];
	u64 args[64];
	unsigned int i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(args); i++)
		args[i] = one_in(3) ? odd_number() : 0;
	if (one_in(2))
		cmd = cmd_sized(cmd, (u32)below(sizeof(args)));
	ret = do_ioctl(any_member(), cmd, one_in(8) ? (void *)odd_number() : args);
	/* It may have been right after all. */
	if (_IOC_NR(cmd) == _IOC_NR(RONBUS_IOC_PUBLISHER))
		return pool_put(&life.pubs, ret);
	if (_IOC_NR(cmd) == _IOC_NR(RONBUS_IOC_SUBSCRIBE))
		return pool_put(&life.subs, ret);
	return ret;
}

/* ---- mappings ------------------------------------------------------------------------------- */

static int op_map(void)
{
	static const unsigned long offsets[] = { RONBUS_MMAP_INFO, RONBUS_MMAP_RING,
						 RONBUS_MMAP_SELF, RONBUS_MMAP_BLOCKS };
	struct area new = { .kind = (enum area_kind)below(AREA_KINDS), .writable = !one_in(3) };
	unsigned int i = (unsigned int)below(ARRAY_SIZE(life.areas));
	int err;

	new.fd = one_in(2) ? any_pub() : any_sub();
	err = fd_info(new.fd, &new.info);
	if (err)
		return err;
	new.len = new.kind == AREA_INFO	  ? new.info.info_bytes
		  : new.kind == AREA_RING ? new.info.ring_bytes
		  : new.kind == AREA_SELF ? new.info.self_bytes
					  : new.info.blocks_bytes;
	if (new.kind == AREA_INFO || new.kind == AREA_BLOCKS)
		new.writable = one_in(16);
	new.at = fd_map(new.fd, new.len, PROT_READ | (new.writable ? PROT_WRITE : 0),
			offsets[new.kind]);
	if (new.at == MAP_FAILED)
		return -errno;
	if (!one_in(4))
		madvise(new.at, new.len, MADV_DOFORK);
	area_unmap(i);
	pthread_mutex_lock(&life.areas_lock);
	/* Another thread was faster: it keeps the place. */
	if (life.areas[i].at)
		munmap(new.at, new.len);
	else
		life.areas[i] = new;
	pthread_mutex_unlock(&life.areas_lock);
	return 0;
}

static int op_unmap(void)
{
	return area_unmap((unsigned int)below(ARRAY_SIZE(life.areas)));
}

/* What can be asked of any mapping. */
static int op_remap(void)
{
	static const int advice[] = { MADV_DOFORK,   MADV_DONTFORK, MADV_DONTNEED, MADV_FREE,
				      MADV_WILLNEED, MADV_COLD,	    MADV_DONTDUMP, MADV_DODUMP,
				      MADV_REMOVE,   MADV_HUGEPAGE };
	struct area area;
	size_t part;

	if (!area_pick(AREA_KINDS, false, &area))
		return -ENOENT;
	part = one_in(2) ? area.len : PAGE;
	switch (below(6)) {
	case 0:
	case 1:
		return madvise(area.at, part, advice[below(ARRAY_SIZE(advice))]);
	case 2:
		return mprotect(area.at, part, (int)below(4));
	case 3:
		return mremap(area.at, area.len, part, one_in(2) ? MREMAP_MAYMOVE : 0) ==
		       MAP_FAILED;
	case 4:
		return one_in(2) ? mlock(area.at, part) : munlock(area.at, part);
	}
	return msync(area.at, part, MS_SYNC);
}

/* Not inline: what it writes to may be gone, and then it is left in the middle. */
static __attribute__((noinline)) void scribble(const struct area *area, u64 words)
{
	u64 *to = (u64 *)area->at, near;

	near = RB_READ(&to[0]);
	while (words--)
		RB_WRITE(&to[below(area->len / 8)], odd_word(near, area->info.capacity));
	if (one_in(4))
		RB_WRITE(&to[0], one_in(2) ? near - below(4096) : odd_number());
}

static int op_scribble(void)
{
	struct area area;

	if (!area_pick(AREA_RING, true, &area))
		return -ENOENT;
	return guarded(scribble(&area, 1 + below(64)));
}

static __attribute__((noinline)) void fill(const struct area *area)
{
	u64 *to = (u64 *)area->at, near = RB_READ(&to[0]),
	    word = odd_word(near, area->info.capacity);
	size_t i, n = area->len / 8;
	u64 kind = below(5);

	for (i = 0; i < n; i++) {
		if (kind == 3)
			word = odd_word(near, area->info.capacity);
		RB_WRITE(&to[i], kind < 2 ? ~0ULL : kind == 2 ? 0 : word);
	}
}

/* The whole ring. Then the mapping may go, and with it everybody is woken. */
static int op_fill(void)
{
	struct area area;
	int err;

	if (!area_pick(AREA_RING, true, &area))
		return -ENOENT;
	err = guarded(fill(&area));
	if (one_in(2))
		op_unmap();
	return err;
}

static __attribute__((noinline)) void set_cursor(const struct area *area, u64 tail)
{
	u64 *to = (u64 *)area->at;

	switch (below(8)) {
	case 0:
		RB_WRITE(&to[0], odd_word(tail, area->info.capacity));
		break;
	case 1:
		RB_WRITE(&to[below(area->len / 8)], odd_number());
		break;
	case 2: /* a pin */
		RB_WRITE(&((struct ronbus_self *)to)->pins[below(RONBUS_PINS_MAX)],
			 one_in(2) ? 0 : 1 + below(area->info.blocks + 1));
		break;
	default:
		RB_WRITE(&to[0],
			 tail - below(area->info.capacity / 2) * (life.storm->hungry || one_in(2)));
	}
}

static int op_cursor(void)
{
	struct ronbus_stats stats;
	struct area area;

	if (!area_pick(AREA_SELF, true, &area) || fd_stats(area.fd, RONBUS_STATS_BUS, &stats))
		return -ENOENT;
	return guarded(set_cursor(&area, stats.tail));
}

/* ---- pins ----------------------------------------------------------------------------------- */

static int op_vmsplice(void)
{
	struct iovec vec;
	struct area area;
	int pipes[2];
	ssize_t ret;

	if (!area_pick(AREA_KINDS, false, &area) || pipe2(pipes, O_NONBLOCK))
		return -ENOENT;
	vec = (struct iovec){ area.at, PAGE };
	ret = vmsplice(pipes[1], &vec, 1, one_in(2) ? SPLICE_F_GIFT : 0);
	if (one_in(2))
		op_unmap();
	if (one_in(2))
		op_leave();
	if (ret > 0)
		splice(pipes[0], NULL, life.memory, NULL, (size_t)ret, SPLICE_F_NONBLOCK);
	close(pipes[0]);
	close(pipes[1]);
	return ret < 0 ? -errno : 0;
}

/* As another process would, that may look into this one. */
static int op_process_vm(void)
{
	char buf[256];
	struct iovec to = { buf, sizeof(buf) }, from;
	struct area area;
	ssize_t ret;

	if (!area_pick(AREA_KINDS, false, &area))
		return -ENOENT;
	memset(buf, one_in(2) ? 0xff : 0, sizeof(buf));
	from = (struct iovec){ area.at + below(area.len - 64), below(64) };
	if (one_in(2))
		ret = process_vm_readv(getpid(), &to, 1, &from, 1, 0);
	else
		ret = process_vm_writev(getpid(), &to, 1, &from, 1, 0);
	return ret < 0 ? -errno : 0;
}

static int op_fork(void)
{
	struct area area = { 0 };
	pid_t pid;

	area_pick(AREA_RING, true, &area);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	pid = fork();
	if (pid)
		return pid < 0 ? -errno : 0;
	/* Nothing but system calls here: locks may be held by threads that are not there. */
	fault_guard = false;
	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fd_arm(any_sub());
	fd_notify(any_pub(), ~0ULL, NULL);
	usleep((useconds_t)below(3000));
	/* It has the mapping only if that was marked for it: by a system call, to be told if not. */
	if (area.at && one_in(2))
		(void)!pread(life.memory, area.at, 64, 0);
	fd_wait(any_sub(), now_ns() + below(3000000));
	_exit(0);
}

/* ---- io_uring ------------------------------------------------------------------------------- */

#define RING_ENTRIES 64U

/* The ring of a thread. */
static __thread struct io_uring thread_ring;
static __thread bool thread_has_ring;

static bool ring_restart(void)
{
	static const unsigned int modes[] = {
		0,
		IORING_SETUP_SQPOLL,
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
		IORING_SETUP_COOP_TASKRUN,
		IORING_SETUP_SQE128 | IORING_SETUP_CQE32,
	};
	struct io_uring_params params = {
		.flags = modes[below(ARRAY_SIZE(modes))],
		.sq_thread_idle = 20,
	};

	if (thread_has_ring)
		io_uring_queue_exit(&thread_ring);
	thread_has_ring = !io_uring_queue_init_params(RING_ENTRIES, &thread_ring, &params);
	return thread_has_ring;
}

static struct io_uring_sqe *next_sqe(void)
{
	if (!thread_has_ring && !ring_restart())
		return NULL;
	return io_uring_get_sqe(&thread_ring);
}

static void reap_ring(void)
{
	struct io_uring_cqe *cqe;
	unsigned int n;

	for (n = 0; n < 4 * RING_ENTRIES && !io_uring_peek_cqe(&thread_ring, &cqe); n++)
		io_uring_cqe_seen(&thread_ring, cqe);
}

static void prep_command(struct io_uring_sqe *sqe, int fd, u32 cmd, const void *payload)
{
	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, fd, NULL, 0, 0);
	sqe->cmd_op = cmd;
	memcpy(&sqe->addr3, payload, 16);
}

static void prep_wait(struct io_uring_sqe *sqe, int fd, u64 deadline)
{
	const struct ronbus_wait args = { .deadline = deadline };

	prep_command(sqe, fd, RONBUS_IOC_WAIT, &args);
}

static void prep_publish(struct io_uring_sqe *sqe)
{
	static const struct ronbus_vec vec = { .data = (uintptr_t)life_data, .len = 8 };
	const struct ronbus_uring_publish args = {
		.vec = one_in(32) ? odd_number() : (uintptr_t)&vec,
		.count = 1,
		.topic = any_topic(),
	};

	prep_command(sqe, any_pub(), RONBUS_IOC_PUBLISH, &args);
}

/* One of all that a ring can do with a bus. */
static void prep_any(struct io_uring_sqe *sqe)
{
	static const u64 nothing[2];
	static char buf[4096];

	switch (below(12)) {
	case 0:
	case 1:
	case 2:
		prep_wait(sqe, any_sub(), one_in(2) ? RONBUS_WAIT_FOREVER : odd_deadline());
		break;
	case 3:
		prep_command(sqe, any_sub(), RONBUS_IOC_CANCEL, nothing);
		break;
	case 4:
	case 5:
		prep_publish(sqe);
		break;
	case 6:
		io_uring_prep_poll_add(sqe, any_sub(), POLLIN);
		break;
	case 7:
		io_uring_prep_poll_multishot(sqe, any_sub(), POLLIN);
		break;
	case 8:
		io_uring_prep_read(sqe, any_sub(), buf, (unsigned int)below(sizeof(buf)), 0);
		break;
	case 9:
		io_uring_prep_cancel64(sqe, below(RING_ENTRIES),
				       one_in(2) ? IORING_ASYNC_CANCEL_ALL : 0);
		break;
	case 10: /* a file of the ring's own table: op_register() */
		prep_wait(sqe, (int)below(4), odd_deadline());
		sqe->flags |= IOSQE_FIXED_FILE;
		break;
	case 11:
		io_uring_prep_close(sqe, life.storm->stay ? -1 : pool_take(&life.subs));
		break;
	}
	sqe->user_data = below(RING_ENTRIES);
	if (one_in(6))
		sqe->flags |= IOSQE_ASYNC;
	if (one_in(12))
		sqe->flags |= IOSQE_IO_DRAIN;
}

static int op_uring(void)
{
	static struct __kernel_timespec limit = { .tv_nsec = 300000 };
	struct io_uring_sqe *sqe;
	u64 n = 1 + below(4);
	int ret;

	while (n-- && (sqe = next_sqe())) {
		prep_any(sqe);
		if (!one_in(8))
			continue;
		sqe->flags |= IOSQE_IO_LINK;
		sqe = next_sqe();
		if (sqe)
			io_uring_prep_link_timeout(sqe, &limit, 0);
	}
	if (!thread_has_ring)
		return -ENOSYS;
	ret = io_uring_submit(&thread_ring);
	io_uring_get_events(&thread_ring);
	reap_ring();
	return ret;
}

static int op_uring_wait(void)
{
	struct __kernel_timespec limit = { .tv_nsec = (long long)below(2000000) };
	struct io_uring_cqe *cqe;

	if (!thread_has_ring)
		return -ENOENT;
	return io_uring_wait_cqe_timeout(&thread_ring, &cqe, &limit);
}

static int op_uring_restart(void)
{
	return ring_restart() ? 0 : -ENOSYS;
}

static int op_flood(void)
{
	struct io_uring_sqe *sqe;
	int sub = any_sub(), n = 0;

	while (n < 2 * (int)RING_ENTRIES && (sqe = next_sqe())) {
		prep_wait(sqe, sub, RONBUS_WAIT_FOREVER);
		if (++n % (int)RING_ENTRIES == 0 && io_uring_submit(&thread_ring) < 0)
			break;
	}
	reap_ring();
	return n;
}

static int op_register(void)
{
	struct io_uring_sqe *sqe;
	struct iovec vec;
	struct area area;
	int files[4], i;

	if (!thread_has_ring)
		return -ENOENT;
	switch (below(5)) {
	case 0:
		for (i = 0; i < 4; i++)
			files[i] = any_sub();
		io_uring_unregister_files(&thread_ring);
		return io_uring_register_files(&thread_ring, files, 4);
	case 1:
		io_uring_unregister_eventfd(&thread_ring);
		return io_uring_register_eventfd(&thread_ring, pool_pick(&life.eventfds));
	case 2:
		return io_uring_unregister_buffers(&thread_ring);
	}
	/* Pages of a mapping as a buffer, and something written there, now or when it is gone. */
	if (!area_pick(AREA_KINDS, true, &area))
		return -ENOENT;
	vec = (struct iovec){ area.at, PAGE };
	i = io_uring_register_buffers(&thread_ring, &vec, 1);
	if (one_in(2))
		op_unmap();
	sqe = next_sqe();
	if (i || !sqe)
		return i;
	io_uring_prep_read_fixed(sqe, life.memory, area.at, 64, below(8) * 64, 0);
	return io_uring_submit(&thread_ring);
}

/* ---- page faults that take as long as they like ---------------------------------------------- */

static void stall_fill(u64 at)
{
	struct uffdio_copy copy = {
		.dst = at,
		.src = (uintptr_t)life_data & ~(PAGE - 1),
		.len = PAGE,
	};

	ioctl(life.uffd, UFFDIO_COPY, &copy);
}

/* Serves the faults, late; takes pages away; and leaves some for good. */
static void *stall_main(void *arg)
{
	u64 held[32];
	unsigned int n = 0;

	chance = (uintptr_t)arg;
	for (;;) {
		struct pollfd p = { .fd = life.uffd, .events = POLLIN };
		struct uffd_msg msg;

		if (poll(&p, 1, 1 + (int)below(20)) == 1 &&
		    read(life.uffd, &msg, sizeof(msg)) == sizeof(msg) && n < ARRAY_SIZE(held))
			held[n++] = msg.arg.pagefault.address & ~(PAGE - 1);
		while (n && (n == ARRAY_SIZE(held) || one_in(3)))
			stall_fill(held[--n]);
		if (one_in(2))
			madvise(life.stall + PAGE * below(STALL_BYTES / PAGE), PAGE, MADV_DONTNEED);
	}
	return NULL;
}

static void *flicker_main(void *arg)
{
	(void)arg;
	for (;;)
		madvise(life.flicker + STALL_BYTES - PAGE, PAGE, MADV_DONTNEED);
	return NULL;
}

static bool stall_begin(u64 seed)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range;
	pthread_t thread;

	life.uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (life.uffd < 0 || ioctl(life.uffd, UFFDIO_API, &api))
		return false;
	life.stall =
		mmap(NULL, STALL_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	life.flicker =
		mmap(NULL, STALL_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	range = (struct uffdio_register){
		.range = { (uintptr_t)life.stall, STALL_BYTES },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	return life.stall != MAP_FAILED && life.flicker != MAP_FAILED &&
	       !ioctl(life.uffd, UFFDIO_REGISTER, &range) &&
	       !pthread_create(&thread, NULL, stall_main, (void *)(uintptr_t)seed) &&
	       !pthread_create(&thread, NULL, flicker_main, NULL);
}

/* ---- the table ------------------------------------------------------------------------------ */

static const struct op {
	const char *name;
	int (*go)(void);
	u32 group;
	u32 weight;
} ops[] = {
	{ "publisher", op_publisher, G_JOIN, 4 },
	{ "bpf_publisher", op_bpf_publisher, G_BPF, 1 },
	{ "subscribe", op_subscribe, G_JOIN, 6 },
	{ "leave", op_leave, G_JOIN, 4 },
	{ "dup", op_dup, G_JOIN, 1 },
	{ "visit", op_visit, G_VISIT, 4 },
	{ "create", op_create, G_BUS, 2 },
	{ "attach", op_attach, G_BUS, 1 },
	{ "seal", op_seal, G_BUS, 1 },
	{ "bus_close", op_bus_close, G_BUS, 1 },
	{ "publish", op_publish, G_PUBLISH, 8 },
	{ "publish_batch", op_publish_batch, G_PUBLISH, 4 },
	{ "publish_block", op_publish_block, G_BLOCK, 4 },
	{ "publish_mapped", op_publish_mapped, G_MAPPED, 8 },
	{ "notify", op_notify, G_NOTIFY, 8 },
	{ "wait", op_wait, G_WAIT, 4 },
	{ "arm", op_arm, G_WAIT, 8 },
	{ "cancel", op_cancel, G_WAIT, 2 },
	{ "poll", op_poll, G_WAIT, 4 },
	{ "epoll", op_epoll, G_WAIT, 6 },
	{ "eventfd", op_eventfd, G_WAIT, 3 },
	{ "prod", op_prod, G_WAIT | G_READ, 3 },
	{ "read", op_read, G_READ, 8 },
	{ "readv", op_readv, G_READ, 1 },
	{ "coalesce", op_coalesce, G_COALESCE, 6 },
	{ "topics", op_topics, G_TOPICS, 3 },
	{ "stats", op_stats, G_ASK, 3 },
	{ "info", op_info, G_ASK, 1 },
	{ "fdinfo", op_fdinfo, G_ASK, 1 },
	{ "wrong_ioctl", op_wrong_ioctl, G_ASK, 2 },
	{ "map", op_map, G_MAP, 6 },
	{ "unmap", op_unmap, G_MAP, 2 },
	{ "remap", op_remap, G_MAP, 1 },
	{ "scribble", op_scribble, G_SCRIBBLE, 4 },
	{ "fill", op_fill, G_SCRIBBLE, 1 },
	{ "cursor", op_cursor, G_CURSOR, 6 },
	{ "vmsplice", op_vmsplice, G_PIN, 1 },
	{ "process_vm", op_process_vm, G_PIN, 1 },
	{ "register", op_register, G_PIN, 2 },
	{ "fork", op_fork, G_FORK, 1 },
	{ "uring", op_uring, G_URING, 10 },
	{ "uring_wait", op_uring_wait, G_URING, 2 },
	{ "uring_restart", op_uring_restart, G_URING, 1 },
	{ "flood", op_flood, G_FLOOD, 1 },
};

static_assert(ARRAY_SIZE(ops) <= OPS_MOST, "each is counted");

static u32 op_weight(const struct storm *storm, const struct op *op)
{
	if (!(op->group & storm->groups))
		return 0;
	return op->group & storm->heavy ? 8 * op->weight : op->weight;
}

static unsigned int op_choose(const struct storm *storm, u32 sum)
{
	u64 at = below(sum);
	unsigned int i;

	for (i = 0; at >= op_weight(storm, &ops[i]); i++)
		at -= op_weight(storm, &ops[i]);
	return i;
}

/* ---- the life itself ------------------------------------------------------------------------ */

static void *life_thread(void *arg)
{
	struct storm *storm = life.storm;
	unsigned int i;
	u32 sum = 0;

	chance = random_next((uintptr_t)arg);
	for (i = 0; i < ARRAY_SIZE(ops); i++)
		sum += op_weight(storm, &ops[i]);
	for (;;) {
		i = op_choose(storm, sum);
		__atomic_fetch_add(&storm->done[i], 1, __ATOMIC_RELAXED);
		if (ops[i].go() >= 0)
			__atomic_fetch_add(&storm->answered[i], 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void on_prod(int sig)
{
	(void)sig;
}

static void life_signals(void)
{
	struct sigaction prod = { .sa_handler = on_prod };
	struct sigaction fault = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };

	sigaction(SIGUSR1, &prod, NULL);
	prod.sa_flags = SA_RESTART;
	sigaction(SIGUSR2, &prod, NULL);
	sigaction(SIGSEGV, &fault, NULL);
	sigaction(SIGBUS, &fault, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static void life_fds(void)
{
	unsigned int i;

	pool_clear(&life.buses);
	pool_clear(&life.pubs);
	pool_clear(&life.subs);
	pool_clear(&life.eventfds);
	pool_clear(&life.epolls);
	for (i = 0; i < 4; i++) {
		pool_put(&life.eventfds, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
		pool_put(&life.epolls, epoll_create1(EPOLL_CLOEXEC));
	}
	life.memory = (int)syscall(SYS_memfd_create, "chaos", 0);
	if (ftruncate(life.memory, PAGE))
		_exit(78);
}

/* Until it is killed. It has a process group of its own, and all that it forks is in there. */
static void live(struct storm *storm, u64 seed)
{
	unsigned int i;

	chance = random_next(seed);
	life.storm = storm;
	pthread_mutex_init(&life.areas_lock, NULL);
	life_signals();
	life_fds();
	if (storm->groups & G_STALL && !stall_begin(draw()))
		_exit(77);
	if (storm->drop_uid && one_in(4) && setresuid(65534, 65534, 65534))
		_exit(78);
	/* The ids first: op_prod() takes any of them. */
	for (i = 0; i < storm->threads; i++)
		life.threads[i] = pthread_self();
	for (i = 0; i < storm->threads; i++)
		if (pthread_create(&life.threads[i], NULL, life_thread, (void *)(uintptr_t)draw()))
			_exit(78);
	for (;;) {
		usleep(200 + (useconds_t)below(2000));
		op_prod();
	}
}

#endif /* CHAOS_H */
