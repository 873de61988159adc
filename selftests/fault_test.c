// SPDX-License-Identifier: GPL-2.0
/*
 * Faults put into every call: memory that is not to be had, user memory that cannot be copied.
 *
 * The kernel can be told to fail the n-th step of a thread that may fail. For n = 1, 2, ... until
 * the call gets by without, each step of it fails once. The call then has failed as its manual page
 * says, with nothing changed, or it has succeeded; and another bus has noticed nothing.
 */
#include <liburing.h>
#include <linux/capability.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "ronbus_kselftest.h"

#define NAME "fault"
#define LEN 32U
#define FEATURES (RONBUS_F_EDGE_NOTIFY | RONBUS_F_BATCH | RONBUS_F_INTEREST)
#define STEPS_MAX 2000U /* more than any call here has */
#define REFCNT "/sys/module/ronbus/refcnt"
#define DEBUGFS "/sys/kernel/debug/"

enum role {
	CONTROL,
	BUS,
	PUB,
	MAPPED,
	SUB,
	FDS
};

/**
 * struct world - what the calls are made on
 * @fd: one of each kind, all of one bus, but for the control device
 * @info: of the same
 * @fdinfo: /proc/self/fdinfo of the same
 * @next: number of the next message
 * @seen: and of the next one to be read
 * @notified: NOTIFY calls that succeeded
 * @met: the first of its errors that a call can meet has been
 * @eventfd: one
 * @epoll: one that waits for nothing
 * @ring: of io_uring
 * @scratch: an fd that a call is given
 * @map: a mapping that it is given, or has made
 * @buf: what it reads or writes
 * @other: a bus that nothing is done to
 * @other_sub: its subscriber
 * @other_pub: its publisher
 * @nth: fail-nth of this thread
 * @always: make-it-fail of this process
 */
struct world {
	int fd[FDS];
	struct ronbus_info info[FDS];
	int fdinfo[FDS];
	u64 next;
	u64 seen;
	u64 notified;
	bool met;
	int eventfd;
	int epoll;
	struct io_uring ring;
	int scratch;
	void *map;
	unsigned char buf[8192];
	int other;
	struct subscriber other_sub;
	struct publisher other_pub;
	int nth;
	int always;
};

/**
 * struct act - a call
 * @name: for the log
 * @before: gets ready, if there is something to do
 * @act: the call, with faults: its result or -errno
 * @after: says whether all is as the result says, 0 or -errno; and tidies up
 * @role: the fd that it is made on
 * @arg: an argument
 * @result: without a fault: 0 for no error, or the error
 * @errors: with one; the first it is bound to meet
 * @steadfast: it may well have no step that can fail
 */
struct act {
	const char *name;
	int (*before)(struct world *w, const struct act *act);
	long (*act)(struct world *w, const struct act *act);
	int (*after)(struct world *w, const struct act *act, long ret);
	enum role role;
	unsigned long arg;
	int result;
	int errors[4];
	bool steadfast;
};

/* ---- messages --------------------------------------------------------------------------- */

static int send_some(struct world *w, u32 n)
{
	unsigned char data[8][LEN];
	struct ronbus_vec vec[8] = { 0 };
	u32 i;
	int ret;

	for (i = 0; i < n; i++) {
		message_fill(data[i], LEN, w->next + i);
		vec[i].data = (uintptr_t)data[i];
		vec[i].len = LEN;
	}
	ret = fd_publish(w->fd[PUB], 0, vec, n, NULL);
	if (ret > 0)
		w->next += (u64)ret;
	return ret;
}

/* Are these the next messages, all of them whole? */
static int check_records(struct world *w, const unsigned char *buf, long bytes)
{
	const size_t size = sizeof(struct ronbus_record) + LEN;
	struct ronbus_record record;

	for (; bytes > 0; bytes -= (long)size, buf += size) {
		memcpy(&record, buf, sizeof(record));
		if (bytes < (long)size || record.len != LEN || record.lost ||
		    !message_whole(buf + sizeof(record), LEN, w->seen))
			return -EPROTO;
		w->seen++;
	}
	return 0;
}

/* What has been published is there, and no more. */
static int drain(struct world *w)
{
	long ret;

	while ((ret = fd_read(w->fd[SUB], w->buf, sizeof(w->buf))) > 0)
		if (check_records(w, w->buf, ret))
			return -EPROTO;
	if (ret != -EAGAIN)
		return ret ? (int)ret : -EPIPE;
	return w->seen == w->next ? 0 : -ENODATA;
}

static int before_messages(struct world *w, const struct act *act)
{
	return send_some(w, (u32)act->arg) == (int)act->arg ? 0 : -EIO;
}

static int after_messages(struct world *w, const struct act *act, long ret)
{
	return drain(w);
}

/* ---- calls ------------------------------------------------------------------------------ */

static int after_close(struct world *w, const struct act *act, long ret)
{
	return ret >= 0 && close((int)ret) ? -errno : 0;
}

static long act_open(struct world *w, const struct act *act)
{
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static long act_ioctl(struct world *w, const struct act *act)
{
	return do_ioctl(w->fd[act->role], act->arg, w->buf);
}

static long act_create(struct world *w, const struct act *act)
{
	return bus_create(w->fd[CONTROL],
			  (struct ronbus_create){
				  .features = RONBUS_FEATURES_RECOMMENDED | RONBUS_F_BLOCKS,
				  .capacity = 1024,
				  .payload = LEN,
				  .blocks = 4, /* it may charge no more than 96 pages */
			  });
}

/* A program with a larger structure than ours, and a name that must be free again. */
static long act_create_sized(struct world *w, const struct act *act)
{
	struct ronbus_create args = { .name = "again" };

	memset(w->buf, 0, sizeof(w->buf));
	memcpy(w->buf, &args, sizeof(args));
	return do_ioctl(w->fd[CONTROL], cmd_sized(RONBUS_IOC_CREATE, sizeof(args) + 64), w->buf);
}

static int after_create_sized(struct world *w, const struct act *act, long ret)
{
	if (ret >= 0)
		close((int)ret);
	ret = bus_create(w->fd[CONTROL], (struct ronbus_create){ .name = "again" });
	return ret < 0 ? (int)ret : after_close(w, act, ret);
}

static long act_attach(struct world *w, const struct act *act)
{
	return bus_attach(w->fd[CONTROL], NAME, RONBUS_ACCESS_SUBSCRIBE | RONBUS_ACCESS_PUBLISH);
}

static long act_share(struct world *w, const struct act *act)
{
	return bus_share(w->fd[BUS], RONBUS_ACCESS_SUBSCRIBE);
}

static long act_publisher(struct world *w, const struct act *act)
{
	return fd_publisher(w->fd[BUS], (u32)act->arg, NULL);
}

static long act_subscribe(struct world *w, const struct act *act)
{
	return fd_subscribe(w->fd[BUS], RONBUS_START_LATEST, 0, NULL);
}

/* A member that has not joined is not there, and has not ended the bus by leaving it. */
static int after_join(struct world *w, const struct act *act, long ret)
{
	const struct ronbus_info *was = &w->info[BUS];
	struct ronbus_info info;

	if (ret >= 0)
		close((int)ret);
	if (fd_info(w->fd[BUS], &info))
		return -EIO;
	return info.publishers == was->publishers && info.subscribers == was->subscribers &&
			       info.status == was->status
		       ? 0
		       : -EUCLEAN;
}

/* A bus of its own, whose only publisher never gets to the program: it must not end by that. */
static int before_lonely(struct world *w, const struct act *act)
{
	w->scratch = bus_create(w->fd[CONTROL], (struct ronbus_create){ 0 });
	return w->scratch < 0 ? w->scratch : 0;
}

static long act_lonely(struct world *w, const struct act *act)
{
	return fd_publisher(w->scratch, 0, NULL);
}

static int after_lonely(struct world *w, const struct act *act, long ret)
{
	struct ronbus_info info;
	int err = 0;

	if (ret >= 0)
		close((int)ret);
	if (fd_info(w->scratch, &info) || info.publishers ||
	    info.status != (ret >= 0 ? RONBUS_STATUS_ENDED : 0))
		err = -EUCLEAN;
	close(w->scratch);
	return err;
}

static long act_seal(struct world *w, const struct act *act)
{
	return bus_seal(w->scratch);
}

static int after_scratch(struct world *w, const struct act *act, long ret)
{
	return close(w->scratch) ? -errno : 0;
}

static long act_stats(struct world *w, const struct act *act)
{
	struct ronbus_stats stats;

	return fd_stats(w->fd[act->role], (u32)act->arg, &stats);
}

static long act_publish(struct world *w, const struct act *act)
{
	return send_some(w, (u32)act->arg);
}

/* A bus with blocks, whose only one the call is to fill. */
static int blocks_bus, blocks_sub;

static int before_block(struct world *w, const struct act *act)
{
	blocks_bus = bus_create(w->fd[CONTROL],
				(struct ronbus_create){ .features = RONBUS_F_BLOCKS, .blocks = 1 });
	blocks_sub = fd_subscribe(blocks_bus, RONBUS_START_LATEST, 0, NULL);
	w->scratch = fd_publisher(blocks_bus, 0, NULL);
	return blocks_sub < 0 || w->scratch < 0 ? -EIO : 0;
}

static long act_block(struct world *w, const struct act *act)
{
	struct ronbus_publish_block args = {
		.data = (uintptr_t)w->buf,
		.len = RONBUS_BLOCK_SIZE_DEFAULT,
		.event = (uintptr_t)w->buf,
		.event_len = 8,
	};

	return do_ioctl(w->scratch, RONBUS_IOC_PUBLISH_BLOCK, &args);
}

/* There is one message with a block, or none; and the block can be had. */
static int after_block(struct world *w, const struct act *act, long ret)
{
	struct ronbus_stats stats;
	int err = -EIO;

	if (!fd_stats(blocks_bus, RONBUS_STATS_BUS, &stats))
		err = stats.counters.published_total == !ret &&
				      stats.counters.blocks_published_total == !ret
			      ? (int)act_block(w, act)
			      : -EUCLEAN;
	close(w->scratch);
	close(blocks_sub);
	close(blocks_bus);
	return err;
}

static long act_notify(struct world *w, const struct act *act)
{
	return fd_notify(w->fd[PUB], ~0ULL, NULL);
}

/* Counted are those that the caller knows of, and no others. */
static int after_notify(struct world *w, const struct act *act, long ret)
{
	struct ronbus_stats stats;

	w->notified += !ret;
	if (fd_stats(w->fd[BUS], RONBUS_STATS_BUS, &stats))
		return -EIO;
	return stats.counters.notify_calls_total == w->notified ? 0 : -EUCLEAN;
}

static long act_wait(struct world *w, const struct act *act)
{
	return fd_wait(w->fd[SUB], act->arg ? RONBUS_WAIT_FOREVER : now_ns() + 1000000);
}

static long act_eventfd(struct world *w, const struct act *act)
{
	return fd_set_eventfd(w->fd[SUB], act->arg ? w->eventfd : -1);
}

static long act_topics(struct world *w, const struct act *act)
{
	struct ronbus_topics args = { .topics = act->arg };

	return do_ioctl(w->fd[SUB], RONBUS_IOC_SET_TOPICS, &args);
}

/* Publishers see what the caller was told. */
static int after_topics(struct world *w, const struct act *act, long ret)
{
	const struct ronbus_topics all = { .topics = ~0ULL };
	const struct ronbus_info *info = &w->info[SUB];
	struct ronbus_info_page *page = fd_map(w->fd[SUB], info->info_bytes, PROT_READ, 0);
	bool wanted;

	if (page == MAP_FAILED)
		return -errno;
	wanted = page->audience[1] >> info->member & 1;
	munmap(page, info->info_bytes);
	if (wanted != (ret != 0))
		return -EUCLEAN;
	return do_ioctl(w->fd[SUB], RONBUS_IOC_SET_TOPICS, &all);
}

/* Some of the messages may have been read, and then no error is told. */
static long act_read(struct world *w, const struct act *act)
{
	return fd_read(w->fd[SUB], w->buf, sizeof(w->buf));
}

static int after_read(struct world *w, const struct act *act, long ret)
{
	int err = ret > 0 ? check_records(w, w->buf, ret) : 0;

	return err ? err : drain(w);
}

static long act_fdinfo(struct world *w, const struct act *act)
{
	long ret = pread(w->fdinfo[act->role], w->buf, sizeof(w->buf), 0);

	return ret < 0 ? -errno : ret;
}

static long act_poll(struct world *w, const struct act *act)
{
	return fd_poll(w->fd[SUB], POLLIN);
}

static int epoll_do(struct world *w, int op)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };

	return epoll_ctl(w->epoll, op, w->fd[SUB], &event) ? -errno : 0;
}

static long act_epoll_add(struct world *w, const struct act *act)
{
	return epoll_do(w, EPOLL_CTL_ADD);
}

static int after_epoll_add(struct world *w, const struct act *act, long ret)
{
	return ret ? 0 : epoll_do(w, EPOLL_CTL_DEL);
}

static int before_epoll_wait(struct world *w, const struct act *act)
{
	int err = epoll_do(w, EPOLL_CTL_ADD);

	return err ? err : before_messages(w, act);
}

static long act_epoll_wait(struct world *w, const struct act *act)
{
	struct epoll_event event;
	int ret = epoll_wait(w->epoll, &event, 1, 0);

	return ret < 0 ? -errno : ret;
}

static int after_epoll_wait(struct world *w, const struct act *act, long ret)
{
	int err = epoll_do(w, EPOLL_CTL_DEL);

	return err ? err : drain(w);
}

/* ---- mappings and ends ------------------------------------------------------------------ */

static size_t map_bytes(const struct world *w, const struct act *act)
{
	const struct ronbus_info *info = &w->info[act->role];

	return act->arg == RONBUS_MMAP_INFO   ? info->info_bytes
	       : act->arg == RONBUS_MMAP_RING ? info->ring_bytes
					      : info->self_bytes;
}

static long act_map(struct world *w, const struct act *act)
{
	bool writable = act->arg == RONBUS_MMAP_SELF || act->role == MAPPED;

	w->map = fd_map(w->fd[act->role], map_bytes(w, act),
			PROT_READ | (writable ? PROT_WRITE : 0), act->arg);
	return w->map == MAP_FAILED ? -errno : 0;
}

static int after_map(struct world *w, const struct act *act, long ret)
{
	unsigned char *map = w->map;
	size_t i;

	if (ret)
		return 0;
	for (i = 0; i < map_bytes(w, act); i += 4096)
		RB_READ(map + i); /* all of it is there, or this is the end */
	return munmap(w->map, map_bytes(w, act)) ? -errno : 0;
}

static int before_unmap(struct world *w, const struct act *act)
{
	return (int)act_map(w, act);
}

static long act_unmap(struct world *w, const struct act *act)
{
	return munmap(w->map, map_bytes(w, act)) ? -errno : 0;
}

static int after_unmap(struct world *w, const struct act *act, long ret)
{
	return ret ? (int)act_unmap(w, act) : 0;
}

static int before_close(struct world *w, const struct act *act)
{
	w->scratch = (int)(act->role == BUS   ? act_create(w, act)
			   : act->role == SUB ? act_subscribe(w, act)
					      : act_publisher(w, act));
	return w->scratch < 0 ? w->scratch : 0;
}

static long act_close(struct world *w, const struct act *act)
{
	return close(w->scratch) ? -errno : 0;
}

/* ---- io_uring --------------------------------------------------------------------------- */

static struct io_uring_sqe *command(struct world *w, const struct act *act, const void *payload)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&w->ring);

	if (!sqe)
		abort();
	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, w->fd[act->role], NULL, 0, 0);
	sqe->cmd_op = (u32)act->arg;
	memcpy(sqe->cmd, payload, 16);
	return sqe;
}

static int before_uring_wait(struct world *w, const struct act *act)
{
	const struct ronbus_wait args = { .deadline = now_ns() + 1000 * SEC };

	command(w, act, &args);
	return 0;
}

static int before_uring_cancel(struct world *w, const struct act *act)
{
	static const u64 nothing[2];

	command(w, act, nothing);
	return 0;
}

static int before_uring_publish(struct world *w, const struct act *act)
{
	/* One for each submission queue entry would do; there is one. */
	static unsigned char data[LEN];
	static struct ronbus_vec vec = { .len = LEN };
	const struct ronbus_uring_publish args = { .vec = (uintptr_t)&vec, .count = 1 };

	vec.data = (uintptr_t)data;
	message_fill(data, LEN, w->next);
	command(w, act, &args);
	return 0;
}

static int before_uring_poll(struct world *w, const struct act *act)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&w->ring);

	if (!sqe)
		abort();
	io_uring_prep_poll_add(sqe, w->fd[act->role], POLLIN);
	return 0;
}

static long act_uring(struct world *w, const struct act *act)
{
	return io_uring_submit(&w->ring);
}

static bool allowed(const struct act *act, long ret)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(act->errors); i++)
		if (ret == act->errors[i])
			return true; /* 0 is in it, too */
	return ret > 0 || ret == act->result;
}

static void note(struct world *w, const struct act *act, long ret)
{
	w->met |= act->errors[0] && ret == act->errors[0];
}

static int after_uring(struct world *w, const struct act *act, long ret)
{
	struct __kernel_timespec timeout = { .tv_sec = WATCHDOG / SEC };
	struct io_uring_cqe *cqe;
	int res;

	/* io_uring had no memory for itself: the entry is still there. */
	if (ret < 0 && io_uring_submit(&w->ring) != 1)
		return -EIO;
	/* What waits gets something to see. */
	if (act->role == SUB && send_some(w, 1) != 1)
		return -EIO;
	res = io_uring_wait_cqe_timeout(&w->ring, &cqe, &timeout);
	if (res)
		return res;
	res = cqe->res;
	io_uring_cqe_seen(&w->ring, cqe);
	note(w, act, res);
	if (act->role == PUB && res > 0)
		w->next += (u64)res;
	return allowed(act, res) ? drain(w) : res;
}

/* ---- all of them ------------------------------------------------------------------------ */

#define MEMORY          \
	{               \
		-ENOMEM \
	}
#define COPY            \
	{               \
		-EFAULT \
	}
#define BOTH                     \
	{                        \
		-ENOMEM, -EFAULT \
	}
#define COPY_FIRST               \
	{                        \
		-EFAULT, -ENOMEM \
	}

static const struct act acts[] = {
	{ "open", NULL, act_open, after_close, .errors = BOTH },
	{ "query", NULL, act_ioctl, NULL, CONTROL, RONBUS_IOC_QUERY, .errors = COPY },
	{ "create", NULL, act_create, after_close, .errors = BOTH },
	{ "create, a larger structure", NULL, act_create_sized, after_create_sized,
	  .errors = BOTH },
	{ "attach", NULL, act_attach, after_close, .errors = BOTH },
	{ "share", NULL, act_share, after_close, .errors = BOTH },
	{ "publisher", NULL, act_publisher, after_join, .errors = BOTH },
	{ "publisher, mapped", NULL, act_publisher, after_join, BUS, RONBUS_PUBLISHER_MAPPED,
	  .errors = BOTH },
	{ "publisher, for BPF", NULL, act_publisher, after_join, BUS, RONBUS_PUBLISHER_BPF,
	  .errors = BOTH },
	{ "publisher, the first", before_lonely, act_lonely, after_lonely, .errors = BOTH },
	{ "subscribe", NULL, act_subscribe, after_join, .errors = BOTH },
	{ "seal", before_lonely, act_seal, after_scratch, .steadfast = true },
	{ "info of a bus", NULL, act_ioctl, NULL, BUS, RONBUS_IOC_INFO, .errors = COPY },
	{ "info of a publisher", NULL, act_ioctl, NULL, PUB, RONBUS_IOC_INFO, .errors = COPY },
	{ "info of a subscriber", NULL, act_ioctl, NULL, SUB, RONBUS_IOC_INFO, .errors = COPY },
	{ "stats of a bus", NULL, act_stats, NULL, BUS, RONBUS_STATS_BUS, .errors = BOTH },
	{ "stats of a subscriber", NULL, act_stats, NULL, SUB, 0, .errors = BOTH },
	{ "publish", NULL, act_publish, after_messages, PUB, 4, .errors = COPY },
	{ "publish a block", before_block, act_block, after_block, .errors = COPY_FIRST },
	{ "notify", NULL, act_notify, after_notify, .errors = COPY },
	{ "wait, with a message", before_messages, act_wait, after_messages, SUB, 1,
	  .errors = COPY },
	{ "wait, nothing comes", NULL, act_wait, NULL, SUB, 0, .result = -ETIMEDOUT,
	  .errors = COPY },
	{ "arm", NULL, act_ioctl, NULL, SUB, RONBUS_IOC_ARM, .steadfast = true },
	{ "cancel", NULL, act_ioctl, NULL, SUB, RONBUS_IOC_CANCEL, .steadfast = true },
	{ "set an eventfd", NULL, act_eventfd, NULL, SUB, 1, .errors = COPY },
	{ "set no eventfd", NULL, act_eventfd, NULL, SUB, 0, .errors = COPY },
	{ "set topics", NULL, act_topics, after_topics, SUB, 1, .errors = COPY },
	{ "read", before_messages, act_read, after_read, SUB, 3, .errors = COPY },
	{ "read, nothing there", NULL, act_read, NULL, SUB, 0, .result = -EAGAIN,
	  .steadfast = true },
	{ "fdinfo of a bus", NULL, act_fdinfo, NULL, BUS, .errors = COPY_FIRST },
	{ "fdinfo of a publisher", NULL, act_fdinfo, NULL, PUB, .errors = COPY_FIRST },
	{ "fdinfo of a subscriber", NULL, act_fdinfo, NULL, SUB, .errors = COPY_FIRST },
	{ "poll", before_messages, act_poll, after_messages, SUB, 1, .errors = COPY_FIRST },
	{ "epoll, add", NULL, act_epoll_add, after_epoll_add, SUB, .errors = BOTH },
	{ "epoll, wait", before_epoll_wait, act_epoll_wait, after_epoll_wait, SUB, 1,
	  .steadfast = true },
	{ "map the info page", NULL, act_map, after_map, SUB, RONBUS_MMAP_INFO, .errors = MEMORY },
	{ "map the ring", NULL, act_map, after_map, SUB, RONBUS_MMAP_RING, .errors = MEMORY },
	{ "map the own page", NULL, act_map, after_map, PUB, RONBUS_MMAP_SELF, .errors = MEMORY },
	{ "map the ring, writable", NULL, act_map, after_map, MAPPED, RONBUS_MMAP_RING,
	  .errors = MEMORY },
	{ "unmap the ring, writable", before_unmap, act_unmap, after_unmap, MAPPED,
	  RONBUS_MMAP_RING, .errors = MEMORY, .steadfast = true },
	{ "close a bus", before_close, act_close, NULL, BUS, .steadfast = true },
	{ "close a publisher", before_close, act_close, NULL, PUB, .steadfast = true },
	{ "close a publisher for BPF", before_close, act_close, NULL, PUB, RONBUS_PUBLISHER_BPF,
	  .steadfast = true },
	{ "close a subscriber", before_close, act_close, NULL, SUB, .steadfast = true },
	{ "io_uring: wait", before_uring_wait, act_uring, after_uring, SUB, RONBUS_IOC_WAIT,
	  .errors = { -ENOMEM, -EAGAIN } },
	{ "io_uring: cancel", before_uring_cancel, act_uring, after_uring, SUB, RONBUS_IOC_CANCEL,
	  .errors = { -ENOMEM, -EAGAIN }, .steadfast = true },
	{ "io_uring: publish", before_uring_publish, act_uring, after_uring, PUB,
	  RONBUS_IOC_PUBLISH, .errors = { -EFAULT, -ENOMEM, -EAGAIN } },
	{ "io_uring: poll", before_uring_poll, act_uring, after_uring, SUB,
	  .errors = { -ENOMEM, -EAGAIN }, .steadfast = true },
};

/* ---- faults ----------------------------------------------------------------------------- */

static const char *const kinds[] = { "failslab", "fail_page_alloc", "fail_usercopy" };

static int set_fault(const char *kind, const char *what, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), DEBUGFS "%s/%s", kind, what);
	return write_file(path, value);
}

/* Whatever may fail does, whether it could wait for memory or not; and nothing is printed. */
static int arm_faults(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		if (set_fault(kinds[i], "verbose", "0") || set_fault(kinds[i], "probability", "0"))
			return -1;
	return set_fault("failslab", "ignore-gfp-wait", "N") ||
	       set_fault("failslab", "cache-filter", "N") ||
	       set_fault("fail_page_alloc", "ignore-gfp-wait", "N") ||
	       set_fault("fail_page_alloc", "ignore-gfp-highmem", "N") ||
	       set_fault("fail_page_alloc", "min-order", "0");
}

/* From here on the @n-th step of this thread fails that can, or each of the kind that is set. */
static int inject(const struct world *w, unsigned int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", n);

	if (!n)
		return pwrite(w->always, "1", 1, 0) == 1 ? 0 : -errno;
	return pwrite(w->nth, text, (size_t)len, 0) == len ? 0 : -errno;
}

/* Has it? Reading the number and writing it has steps of its own, after the others. */
static bool injected(const struct world *w, unsigned int n)
{
	char text[16] = "";
	bool yes;

	if (!n)
		return pwrite(w->always, "0", 1, 0) == 1;
	yes = pread(w->nth, text, sizeof(text) - 1, 0) > 0 && atoi(text) == 0;
	while (pwrite(w->nth, "0", 1, 0) != 1)
		;
	return yes;
}

static int drop_ipc_lock(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data))
		return -errno;
	data[CAP_IPC_LOCK / 32].effective &= ~(1U << CAP_IPC_LOCK % 32);
	return syscall(SYS_capset, &header, data) ? -errno : 0;
}

/* Buses there is still room for, of the memory that this user may lock. */
static int room(const struct world *w)
{
	int fd[64], n, i;

	for (n = 0; n < 64; n++) {
		fd[n] = bus_create(w->fd[CONTROL], (struct ronbus_create){ .capacity = 4 });
		if (fd[n] < 0)
			break;
	}
	for (i = 0; i < n; i++)
		close(fd[i]);
	return n;
}

FIXTURE(fault)
{
	struct world w;
	int room;
	long areas;
	long refs;
	unsigned int calls;
	unsigned int faults;
	unsigned int failures;
};

FIXTURE_SETUP(fault)
{
	const struct rlimit limit = { 96 * 4096, 96 * 4096 };
	struct world *w = &self->w;
	char path[64];
	int i;

	w->fd[CONTROL] = OPEN_CONTROL();
	w->nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	w->always = open("/proc/self/make-it-fail", O_RDWR | O_CLOEXEC);
	if (w->nth < 0)
		SKIP(return, "this kernel injects no faults: vm/kernel debug is one that does");
	if (geteuid())
		SKIP(return, "needs root, to have faults injected");
	ASSERT_EQ(0, arm_faults());

	/* None of our own page faults may be what fails. */
	ASSERT_EQ(0, mlockall(MCL_CURRENT));
	/* What is charged is counted from here on. */
	ASSERT_EQ(0, drop_ipc_lock());
	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));

	ASSERT_TRUE(wait_until(!vmalloc_areas()));
	w->fd[BUS] = bus_create(w->fd[CONTROL], (struct ronbus_create){
							.name = NAME,
							.features = FEATURES,
							.flags = RONBUS_BUS_PERSISTENT,
							.capacity = 256,
							.payload = LEN,
						});
	ASSERT_LE(0, w->fd[BUS]);
	w->fd[PUB] = fd_publisher(w->fd[BUS], 0, NULL);
	ASSERT_LE(0, w->fd[PUB]);
	w->fd[MAPPED] = fd_publisher(w->fd[BUS], RONBUS_PUBLISHER_MAPPED, NULL);
	ASSERT_LE(0, w->fd[MAPPED]);
	w->fd[SUB] = fd_subscribe(w->fd[BUS], RONBUS_START_LATEST, 0, NULL);
	ASSERT_LE(0, w->fd[SUB]);
	ASSERT_EQ(0, fd_nonblock(w->fd[SUB]));
	for (i = BUS; i < FDS; i++) {
		ASSERT_EQ(0, fd_info(w->fd[i], &w->info[i]));
		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", w->fd[i]);
		w->fdinfo[i] = open(path, O_RDONLY | O_CLOEXEC);
		ASSERT_LE(0, w->fdinfo[i]);
	}
	w->eventfd = eventfd(0, EFD_CLOEXEC);
	ASSERT_LE(0, w->eventfd);
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	ASSERT_LE(0, w->epoll);
	ASSERT_EQ(0, io_uring_queue_init(8, &w->ring, 0));

	w->other = bus_create(w->fd[CONTROL], (struct ronbus_create){ .features = FEATURES });
	ASSERT_LE(0, w->other);
	ASSERT_EQ(0, publisher_join(&w->other_pub, w->other, 0));
	ASSERT_EQ(0, subscriber_join(&w->other_sub, w->other, RONBUS_START_LATEST, 0));

	self->room = room(w);
	ASSERT_LT(4, self->room);
	ASSERT_GT(64, self->room);
	self->areas = vmalloc_areas();
	self->refs = read_number(REFCNT);
	ASSERT_LT(0, self->refs);
}

FIXTURE_TEARDOWN(fault)
{
	struct world *w = &self->w;
	int i;

	if (w->nth < 0)
		return;
	EXPECT_EQ(self->room, room(w));
	EXPECT_TRUE(wait_until(self->areas == vmalloc_areas()));
	EXPECT_EQ(self->refs, read_number(REFCNT));
	for (i = 0; i < (int)ARRAY_SIZE(kinds); i++)
		set_fault(kinds[i], "probability", "0");
	io_uring_queue_exit(&w->ring);
	subscriber_leave(&w->other_sub);
	publisher_leave(&w->other_pub);
	for (i = 0; i < FDS; i++)
		close(w->fd[i]);
	TH_LOG("%u calls, %u faults, %u calls failed", self->calls, self->faults, self->failures);
}

/* A bus that had nothing to do with it works. */
static int other_works(struct world *w)
{
	struct message msg;
	u64 number = w->other_sub.m.self->delivered;
	int ret = publish_number(&w->other_pub, number);

	if (ret < 0)
		return ret;
	ret = subscriber_read(&w->other_sub, &msg);
	if (ret != 1)
		return ret ? ret : -EPIPE;
	return msg.lost || !message_whole(msg.data, msg.len, number) ? -EPROTO : 0;
}

/* One call with a fault at step @n, or with all of them if that is 0. Was there one? */
static bool try_act(struct __test_metadata *_metadata, FIXTURE_DATA(fault) * self,
		    const struct act *act, unsigned int n)
{
	struct world *w = &self->w;
	int fd = fd_next();
	bool hit;
	long ret;

	if (act->before) {
		ASSERT_EQ(0, act->before(w, act)) TH_LOG("%s, before step %u", act->name, n);
	}
	ASSERT_EQ(0, inject(w, n));
	ret = act->act(w, act);
	hit = injected(w, n);

	note(w, act, ret);
	self->calls++;
	self->faults += hit;
	self->failures += hit && ret < 0 && ret != act->result;
	if (hit) {
		EXPECT_TRUE(allowed(act, ret)) TH_LOG("%s: %ld at step %u", act->name, ret, n);
	} else {
		EXPECT_TRUE(act->result ? ret == act->result : ret >= 0)
		TH_LOG("%s: %ld without a fault", act->name, ret);
	}
	if (act->after) {
		ASSERT_EQ(0, act->after(w, act, ret))
		TH_LOG("%s: %ld, and not all is so, at step %u", act->name, ret, n);
	}
	EXPECT_EQ(fd, fd_next()) TH_LOG("%s: an fd is left, at step %u", act->name, n);
	EXPECT_EQ(self->refs, read_number(REFCNT))
	TH_LOG("%s: a reference is left or lost, at step %u", act->name, n);
	EXPECT_EQ(0, other_works(w)) TH_LOG("%s: another bus broke, at step %u", act->name, n);
	return hit;
}

/*
 * What one call leaves in a cache the next has no need to allocate, and has fewer steps: so the
 * first call is without a fault, and the error that a call is bound to meet must have been met.
 */
TEST_F(fault, each_step)
{
	const struct act *act;
	unsigned int n;

	for (act = acts; act < acts + ARRAY_SIZE(acts); act++) {
		EXPECT_FALSE(try_act(_metadata, self, act, STEPS_MAX))
		TH_LOG("%s: no end of it", act->name);
		self->w.met = false;
		for (n = 1; n < STEPS_MAX && try_act(_metadata, self, act, n); n++)
			;
		EXPECT_TRUE(act->steadfast || self->w.met)
		TH_LOG("%s: %u faults, none of which it failed of", act->name, n - 1);
	}
}

/* No memory at all, of one kind or the other. */
TEST_F(fault, no_memory)
{
	const struct act *act;
	int i;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, set_fault(kinds[i], "task-filter", "Y"));
		ASSERT_EQ(0, set_fault(kinds[i], "times", "-1"));
		ASSERT_EQ(0, set_fault(kinds[i], "probability", "100"));
		for (act = acts; act < acts + ARRAY_SIZE(acts); act++)
			try_act(_metadata, self, act, 0);
		ASSERT_EQ(0, set_fault(kinds[i], "probability", "0"));
	}
	EXPECT_LT(0, self->failures);
}

TEST_HARNESS_MAIN
