// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * embedded.c - a bus in the memory of this process
 *
 * The ring is the same code as everywhere. What the kernel does for a bus on the device is done
 * here by a small stand-in with the same rules and the same errors: membership under a mutex,
 * sleeping by futex, polling by eventfd. It promises nothing across processes. A publisher that has
 * to wake others does not wait for the mutex: if it is taken, its holder wakes them.
 */
#include "internal.h"

#include "../common/arm.h"
#include "../common/blocks_queue.h"
#include "../common/counters.h"
#include "../common/create.h"
#include "../common/member.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ACCESS_ALL ((__u32)(RONBUS_ACCESS_SUBSCRIBE | RONBUS_ACCESS_PUBLISH))
#define BASE_ALIGN 128UL /* two lines, as the mappings of the device have it */

struct embedded_pub;
struct embedded_sub;

/**
 * struct embedded_bus - what the kernel has of a bus
 * @info: the info page
 * @ring: the ring
 * @memory: what @ring lies in, for free()
 * @next: in the table of buses, under its lock
 * @refs: handles of any kind, under the lock of the table
 * @lock: of all below, and of whatever changes @info but the armed word; for bus_lock() and
 *	bus_unlock()
 * @notify_set: the subscribers that publishers want woken
 * @notify_calls: how often publishers asked since somebody woke them; in the upper half how many of
 *	these are calls on the device
 * @mode: mode
 * @name: name, empty for none
 * @joins: how often somebody subscribed: a futex
 * @subs: subscribers by index
 * @pubs: publishers
 * @ids: set of publisher ids in use
 * @publishers: how many @pubs there are
 * @autotuned_for: subscribers that the capacity was chosen for, or 0
 * @past: counters of members that have left, and the kernel's own
 * @blocks: the blocks, with RONBUS_F_BLOCKS
 * @blocks_memory: what they lie in, for free()
 * @blocks_queue: which of them is next
 */
struct embedded_bus {
	struct ronbus_info_page info;
	struct ronbus_ring ring;
	void *memory;
	struct embedded_bus *next;
	unsigned int refs;
	__u64 id;
	pthread_mutex_t lock;
	__u64 notify_set;
	__u64 notify_calls;
	__u32 mode;
	char name[RONBUS_NAME_SIZE];
	__u32 joins;
	struct embedded_sub *subs[RONBUS_SUBSCRIBERS_MAX];
	struct embedded_pub *pubs;
	__u64 ids;
	__u32 publishers;
	__u32 autotuned_for;
	struct ronbus_counters past;
	struct ronbus_blocks blocks;
	void *blocks_memory;
	struct ronbus_blocks_queue blocks_queue;
};

struct embedded_handle {
	struct ronbus base;
	struct embedded_bus *bus;
	__u32 access;
};

/**
 * struct embedded_pub - a publisher
 * @base: its handle
 * @bus: its bus
 * @next: in the list of publishers
 * @inner: who publishes in the place of the kernel, where the publisher does so "by system call", or
 *	the bus has blocks
 * @self: its own page
 */
struct embedded_pub {
	struct ronbus_publisher_handle base;
	struct embedded_bus *bus;
	struct embedded_pub *next;
	struct embedded_pub *inner;
	struct ronbus_self self __attribute__((aligned(64)));
};

/**
 * struct coalescing - for how many messages a subscriber is woken, under the lock of its bus
 * @backlog: what waits for it
 * @expires: when the timer expires, or 0
 * @alarm: when @thread looks at @expires next
 * @thread: the timer, if @started, of this process
 * @pid: the process
 * @changes: grows when @thread is to look again: a futex
 * @closing: it is to end
 */
struct coalescing {
	struct ronbus_backlog backlog;
	__u64 expires;
	__u64 alarm;
	pthread_t thread;
	pid_t pid;
	__u32 changes;
	bool started;
	bool closing;
};

/**
 * struct embedded_sub - a subscriber
 * @base: its handle
 * @bus: its bus
 * @start: where it began
 * @seq: grows with each wake: the futex
 * @sleepers: whether it sleeps on @seq
 * @arming: serialises those that arm it; of who coalesces the lock of the bus does
 * @polled: it armed for an fd, and so stays armed when a sleep ends without data
 * @relies: it was told that it is armed: an fd that it has made behind that must be signalled, too
 * @own_fd: the eventfd of ronbus_sub_fd(), or -1
 * @user_fd: a duplicate of the eventfd of ronbus_set_eventfd(), or -1; both change under the
 *	lock of the bus
 * @coalesce: for how many messages it is woken
 * @kernel: the counters that are the kernel's on the device
 * @self: its own page
 */
struct embedded_sub {
	struct ronbus_subscriber_handle base;
	struct embedded_bus *bus;
	__u64 start;
	__u32 seq;
	__u32 sleepers;
	__u32 polled;
	bool relies;
	pthread_mutex_t arming;
	int own_fd;
	int user_fd;
	struct coalescing coalesce;
	struct ronbus_counters kernel;
	struct ronbus_self self __attribute__((aligned(64)));
};

static struct {
	pthread_mutex_t lock;
	struct embedded_bus *first;
	__u64 last_id;
	__u32 buses; /* made so far: a futex */
} table = { .lock = PTHREAD_MUTEX_INITIALIZER };

static __u64 bit(__u32 index)
{
	return 1ULL << index;
}

static int futex_until(const __u32 *word, __u32 value, __u64 deadline)
{
	struct timespec until = ronbus_timespec(deadline);
	long ret = syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value,
			   deadline == RONBUS_WAIT_FOREVER ? NULL : &until, NULL,
			   FUTEX_BITSET_MATCH_ANY);

	return ret ? -errno : 0;
}

/* The same, where the thread can be cancelled. */
static int futex_wait(const __u32 *word, __u32 value, __u64 deadline)
{
	int was = ronbus_cancel_asleep();
	int err = futex_until(word, value, deadline);

	ronbus_cancel_awake(was);
	return err;
}

static void futex_wake(const __u32 *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static void bus_lock(struct embedded_bus *bus);
static void bus_unlock(struct embedded_bus *bus);

/* ---- the life of a bus ---------------------------------------------------------------- */

/* All of it but the lock, which in a child of fork() may be held, by nobody. */
static void bus_free_memory(struct embedded_bus *bus)
{
	free(bus->memory);
	free(bus->blocks_memory);
	free(bus->blocks_queue.order);
	free(bus);
}

static void bus_free(struct embedded_bus *bus)
{
	pthread_mutex_destroy(&bus->lock);
	bus_free_memory(bus);
}

static bool blocks_alloc(struct embedded_bus *bus, const struct ronbus_create *req)
{
	uintptr_t base;
	__u32 *order;

	if (!req->blocks)
		return true;
	order = calloc(req->blocks, sizeof(*order));
	if (!order)
		return false;
	ronbus_blocks_queue_fill(&bus->blocks_queue, order, req->blocks);
	bus->blocks_memory =
		calloc(1, ronbus_blocks_bytes(req->blocks, req->block_size) + BASE_ALIGN - 1);
	if (!bus->blocks_memory)
		return false;
	base = ((uintptr_t)bus->blocks_memory + BASE_ALIGN - 1) & ~(BASE_ALIGN - 1);
	ronbus_blocks_view(&bus->blocks, (void *)base, req->blocks, req->block_size);
	return true;
}

/* For a child that has inherited it. */
static void bus_abandon(struct embedded_bus *bus)
{
	bool last;

	pthread_mutex_lock(&table.lock);
	last = !--bus->refs;
	pthread_mutex_unlock(&table.lock);
	if (last)
		bus_free_memory(bus);
}

void ronbus_embedded_before_fork(void)
{
	pthread_mutex_lock(&table.lock);
}

/* A child begins without a bus: those of its parent are of no use to it. */
void ronbus_embedded_after_fork(bool child)
{
	if (child)
		table.first = NULL;
	pthread_mutex_unlock(&table.lock);
}

static struct embedded_bus *bus_alloc(const struct ronbus_create *req)
{
	struct embedded_bus *bus = ronbus_zalloc(sizeof(*bus));
	uintptr_t base;

	if (!bus)
		return NULL;
	pthread_mutex_init(&bus->lock, NULL);
	/* calloc() leaves the pages of a large ring untouched until they are used. */
	bus->memory = calloc(1, ronbus_ring_bytes(req->capacity, req->payload, req->features) +
					BASE_ALIGN - 1);
	if (!bus->memory || !blocks_alloc(bus, req)) {
		bus_free(bus);
		return NULL;
	}
	base = ((uintptr_t)bus->memory + BASE_ALIGN - 1) & ~(BASE_ALIGN - 1);
	ronbus_ring_view(&bus->ring, (void *)base, req->capacity, req->payload, req->features);
	ronbus_ring_reset(&bus->ring);

	ronbus_create_info_page(req, &bus->info);
	bus->mode = req->mode;
	memcpy(bus->name, req->name, sizeof(bus->name));
	return bus;
}

static void bus_get(struct embedded_bus *bus)
{
	pthread_mutex_lock(&table.lock);
	bus->refs++;
	pthread_mutex_unlock(&table.lock);
}

static void bus_put(struct embedded_bus *bus)
{
	struct embedded_bus **link = &table.first;
	bool last;

	pthread_mutex_lock(&table.lock);
	last = !--bus->refs;
	if (last) {
		while (*link != bus)
			link = &(*link)->next;
		*link = bus->next;
	}
	pthread_mutex_unlock(&table.lock);
	if (last)
		bus_free(bus);
}

/* It gives up its name when it is sealed or ends, whoever still has it open. */
static bool has_name(const struct embedded_bus *bus)
{
	return !(RB_READ(&bus->info.status) & RONBUS_STATUS_OVER);
}

/* With the lock of the table, in which the last one is the first. */
static struct embedded_bus *find_bus(const char *name, __u32 flags)
{
	struct embedded_bus *bus;

	for (bus = table.first; bus; bus = bus->next)
		if (*name && !strcmp(bus->name, name) &&
		    (flags & RONBUS_ATTACH_LAST || has_name(bus)))
			break;
	return bus;
}

static struct embedded_handle *handle_alloc(__u32 access)
{
	struct embedded_handle *handle = ronbus_zalloc(sizeof(*handle));

	if (handle) {
		handle->base.transport = &ronbus_embedded_transport;
		handle->access = access;
	}
	return handle;
}

static void handle_bind(struct embedded_handle *handle, struct embedded_bus *bus)
{
	handle->bus = bus;
	handle->base.features = bus->info.features;
}

/* With the lock of the bus, unless it is still being made. Once a bus, for each reason. */
static void autotune_warn(struct embedded_bus *bus, enum ronbus_autotune_reason reason)
{
	static const char *const words[] = {
		[RONBUS_AUTOTUNE_CAPACITY] = "its readers' cache does not hold so many",
		[RONBUS_AUTOTUNE_SUBSCRIBERS] = "chosen for fewer subscribers than it has",
	};
	int was;

	if (bus->past.autotune_warn_total[reason])
		return;
	bus->past.autotune_warn_total[reason] = 1;
	was = ronbus_cancel_hold();
	fprintf(stderr, "libronbus: bus \"%s\": %u slots: %s\n", bus->name, bus->info.capacity,
		words[reason]);
	ronbus_cancel_release(was);
}

static int embedded_create(const char *where, struct ronbus_create *req, struct ronbus **bus)
{
	__u32 tuned_for = ronbus_create_complete(req);
	struct embedded_handle *handle;
	struct embedded_bus *new;
	int err;

	(void)where;
	err = ronbus_create_check(req);
	if (err)
		return err;
	handle = handle_alloc(ACCESS_ALL);
	if (!handle)
		return -ENOMEM;
	new = bus_alloc(req);
	if (!new) {
		err = -ENOMEM;
		goto free_handle;
	}
	new->autotuned_for = tuned_for;
	if (!tuned_for && req->features & RONBUS_F_AUTOTUNE_CAP &&
	    req->capacity > RONBUS_CAPACITY_WARN)
		autotune_warn(new, RONBUS_AUTOTUNE_CAPACITY);

	pthread_mutex_lock(&table.lock);
	if (find_bus(new->name, 0)) {
		pthread_mutex_unlock(&table.lock);
		err = -EEXIST;
		goto free_bus;
	}
	new->refs = 1;
	new->id = ++table.last_id;
	new->next = table.first;
	table.first = new;
	RB_WRITE(&table.buses, table.buses + 1);
	pthread_mutex_unlock(&table.lock);
	futex_wake(&table.buses);

	handle_bind(handle, new);
	*bus = &handle->base;
	return 0;

free_bus:
	bus_free(new);
free_handle:
	free(handle);
	return err;
}

static int attach_now(const struct ronbus_attach *req, struct embedded_bus **found, __u32 *buses)
{
	struct embedded_bus *bus;
	__u32 allowed = 0;
	int err = -ENOENT;

	pthread_mutex_lock(&table.lock);
	*buses = table.buses;
	bus = find_bus(req->name, req->flags);
	if (bus) {
		/* One process, one owner. */
		allowed |= bus->mode & 0400 ? RONBUS_ACCESS_SUBSCRIBE : 0;
		allowed |= bus->mode & 0200 ? RONBUS_ACCESS_PUBLISH : 0;
		err = req->access & ~allowed ? -EACCES : 0;
	}
	if (!err) {
		bus->refs++;
		*found = bus;
	}
	pthread_mutex_unlock(&table.lock);
	return err;
}

static int attach_until(const struct ronbus_attach *req, struct embedded_bus **found)
{
	__u32 buses;
	int err;

	for (;;) {
		err = attach_now(req, found, &buses);
		if (err != -ENOENT || !req->deadline)
			return err;
		err = futex_until(&table.buses, buses, req->deadline);
		if (err == -ETIMEDOUT || err == -EINTR)
			return err;
	}
}

static int embedded_attach(const char *where, const struct ronbus_attach *req, struct ronbus **bus)
{
	struct embedded_handle *handle;
	struct embedded_bus *found = NULL;
	int err;

	(void)where;
	if (!req->access || req->access & ~ACCESS_ALL || !*req->name ||
	    !ronbus_name_valid(req->name))
		return -EINVAL;
	handle = handle_alloc(req->access);
	if (!handle)
		return -ENOMEM;
	err = attach_until(req, &found);
	if (err) {
		free(handle);
		return err;
	}
	handle_bind(handle, found);
	*bus = &handle->base;
	return 0;
}

static void embedded_bus_close(struct ronbus *base)
{
	struct embedded_handle *handle = (struct embedded_handle *)base;

	bus_put(handle->bus);
	free(handle);
}

static void embedded_bus_abandon(struct ronbus *base)
{
	bus_abandon(((struct embedded_handle *)base)->bus);
	free(base);
}

static int embedded_query(const char *where, struct ronbus_query *query)
{
	(void)where;
	*query = ronbus_query_limits();
	query->page_size = (__u32)sysconf(_SC_PAGESIZE);
	query->buses_max = UINT32_MAX;
	return 0;
}

static int embedded_bus_fd(const struct ronbus *base)
{
	(void)base;
	return -EOPNOTSUPP;
}

/* With the lock of the bus. */
static __u64 members(const struct embedded_bus *bus)
{
	__u64 set = 0;
	__u32 i;

	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++)
		if (bus->subs[i])
			set |= bit(i);
	return set;
}

static int embedded_share(const struct ronbus *base, __u32 access)
{
	(void)base;
	(void)access;
	return -EOPNOTSUPP;
}

static int embedded_bus_info(struct ronbus *base, struct ronbus_info *info)
{
	struct embedded_handle *handle = (struct embedded_handle *)base;
	struct embedded_bus *bus = handle->bus;

	info->features = bus->info.features;
	info->flags = bus->info.flags;
	info->capacity = bus->info.capacity;
	info->payload = bus->info.payload;
	info->role = RONBUS_ROLE_BUS;
	info->access = handle->access | RONBUS_ACCESS_END; /* of its own process */
	info->mode = bus->mode;
	info->ring_bytes = ronbus_ring_bytes(info->capacity, info->payload, info->features);
	info->info_bytes = sizeof(bus->info);
	info->block_size = bus->blocks.size;
	info->blocks = bus->blocks.count;
	if (info->blocks)
		info->blocks_bytes = ronbus_blocks_bytes(info->blocks, info->block_size);
	memcpy(info->name, bus->name, sizeof(info->name));
	info->id = bus->id;
	bus_lock(bus);
	info->publishers = bus->publishers;
	info->subscribers = members(bus);
	info->status = bus->info.status;
	bus_unlock(bus);
	return 0;
}

/* ---- waking --------------------------------------------------------------------------- */

/* Publishers must not wait, not even for somebody who filled his eventfd up. */
static void eventfd_signal(int fd)
{
	struct pollfd room = { .fd = fd, .events = POLLOUT };
	const __u64 one = 1;
	int was;

	if (fd < 0)
		return;
	was = ronbus_cancel_hold();
	if (poll(&room, 1, 0) == 1 && room.revents & POLLOUT)
		(void)!write(fd, &one, sizeof(one));
	ronbus_cancel_release(was);
}

/*
 * The last signal, for who waits with EPOLLEXCLUSIVE too: each write wakes one more. There is no
 * telling how many there are.
 */
static void signal_end(const struct embedded_sub *sub)
{
	int i;

	for (i = 0; sub->own_fd >= 0 && i < (int)RONBUS_WAITERS_MAX; i++)
		eventfd_signal(sub->own_fd);
	eventfd_signal(sub->user_fd);
}

static void signal_fds(const struct embedded_sub *sub)
{
	eventfd_signal(sub->own_fd);
	eventfd_signal(sub->user_fd);
}

/*
 * Either the sleeper's futex call finds that seq has changed, or we find the sleeper. And who reads
 * the new seq sees what it was changed for.
 */
static void wake_sleeper(struct embedded_sub *sub)
{
	/* barrier G, with G' in sleep_until(): cancel.pml */
	__atomic_fetch_add(&sub->seq, 1, __ATOMIC_SEQ_CST);
	RB_MB(); /* barrier F, with F' in arm_bit(): cancel.pml */
	if (RB_READ(&sub->sleepers))
		futex_wake(&sub->seq);
}

/* With the lock of the bus, by the one who took the armed bit away. */
static void wake(struct embedded_sub *sub, enum ronbus_wake_cause cause)
{
	sub->kernel.wakes_total[cause]++;
	RB_WRITE(&sub->polled, 0);
	wake_sleeper(sub);
	if (cause == RONBUS_WAKE_CLOSE)
		signal_end(sub);
	else
		signal_fds(sub);
}

/* With the lock of the bus. Returns the set of those that were armed, and no longer are. */
static __u64 take_armed(struct embedded_bus *bus, __u64 set)
{
	RB_MB(); /* barrier D, with D' in arm_bit(), for callers that had none: wake.pml */
	/* Of those who had: barrier D, with D' in arm_bit(): wake.pml */
	return __atomic_fetch_and(&bus->info.armed, ~set, __ATOMIC_SEQ_CST) & set;
}

/* ---- arming and coalescing: the mechanisms of common/arm.h ------------------------------- */

static struct embedded_sub *sub_of(struct ronbus_backlog *backlog)
{
	return (struct embedded_sub *)(void *)((char *)backlog -
					       offsetof(struct embedded_sub, coalesce.backlog));
}

static bool take_own(struct embedded_sub *sub)
{
	__u64 mine = bit(sub->base.index);

	/*
	 * Then a sleeper is woken, or the caller looks again: barrier Q, with Q' in
	 * ronbus_backlog_set_armed(): wake.pml
	 */
	return __atomic_fetch_and(&sub->bus->info.armed, ~mine, __ATOMIC_SEQ_CST) & mine;
}

bool ronbus_backlog_take_armed(struct ronbus_backlog *backlog)
{
	return take_own(sub_of(backlog));
}

bool ronbus_backlog_set_armed(struct ronbus_backlog *backlog, bool busy)
{
	struct embedded_sub *sub = sub_of(backlog);
	__u64 mine = bit(sub->base.index), *blocked = &sub->bus->info.blocked;
	bool was;

	if (busy && !(RB_READ(blocked) & mine))
		__atomic_fetch_or(blocked, mine, __ATOMIC_RELAXED);
	else if (!busy && RB_READ(blocked) & mine)
		__atomic_fetch_and(blocked, ~mine, __ATOMIC_RELAXED);
	/* After polled: barrier Q', with Q in take_own(): wake.pml */
	was = __atomic_fetch_or(&sub->bus->info.armed, mine, __ATOMIC_SEQ_CST) & mine;
	/*
	 * barriers D' and F', with D in commit_last() or take_armed() and F in wake_sleeper():
	 * wake.pml, interest.pml, coalesce.pml, cancel.pml
	 */
	RB_MB();
	return was;
}

void ronbus_backlog_move_wake_at(struct ronbus_backlog *backlog, __u64 wake_at)
{
	struct embedded_bus *bus = sub_of(backlog)->bus;
	__u64 least = RONBUS_NOT_DEFERRED;
	int i;

	if (!ronbus_backlog_set_wake_at(backlog, wake_at))
		return;
	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++)
		if (bus->subs[i] && bus->subs[i]->coalesce.backlog.wake_at < least)
			least = bus->subs[i]->coalesce.backlog.wake_at;
	RB_WRITE(&bus->info.wake_next, least);
}

static void wake_timer(struct coalescing *c)
{
	RB_WRITE(&c->changes, c->changes + 1);
	futex_wake(&c->changes);
}

bool ronbus_backlog_timer_runs(struct ronbus_backlog *backlog)
{
	return sub_of(backlog)->coalesce.expires;
}

void ronbus_backlog_start_timer(struct ronbus_backlog *backlog)
{
	struct coalescing *c = &sub_of(backlog)->coalesce;

	c->expires = ronbus_now() + backlog->delay;
	if (c->expires < c->alarm)
		wake_timer(c);
}

void ronbus_backlog_cancel_timer(struct ronbus_backlog *backlog)
{
	sub_of(backlog)->coalesce.expires = 0;
}

/* In the subscriber's own thread, and without the lock but for the number of changes. */
static struct ronbus_backlog_count count_ahead(struct embedded_sub *sub, __u32 messages)
{
	__u32 changes;

	bus_lock(sub->bus);
	changes = sub->coalesce.backlog.changes;
	bus_unlock(sub->bus);
	return ronbus_backlog_count(&sub->coalesce.backlog, changes, messages);
}

static void *timer(void *arg)
{
	struct embedded_sub *sub = arg;
	struct coalescing *c = &sub->coalesce;

	/* By default the kernel takes 50 us more than it is told: half of the least delay there is. */
	prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0);
	bus_lock(sub->bus);
	while (!c->closing) {
		__u64 until = c->expires ? c->expires : RONBUS_WAIT_FOREVER;
		__u32 changes = c->changes;

		c->alarm = until;
		if (ronbus_now() >= until) {
			c->expires = 0;
			if (ronbus_backlog_expire(&c->backlog))
				wake(sub, RONBUS_WAKE_TIMER);
			continue;
		}
		bus_unlock(sub->bus);
		futex_until(&c->changes, changes, until);
		bus_lock(sub->bus);
	}
	bus_unlock(sub->bus);
	return NULL;
}

static int have_timer(struct embedded_sub *sub)
{
	struct coalescing *c = &sub->coalesce;
	int err;

	if (c->started)
		return 0;
	c->alarm = 0;
	c->pid = getpid();
	err = pthread_create(&c->thread, NULL, timer, sub);
	c->started = !err;
	return -err;
}

static int embedded_coalesce(struct ronbus_subscriber_handle *base,
			     const struct ronbus_coalesce *req)
{
	struct embedded_sub *sub = (struct embedded_sub *)base;
	int err = ronbus_coalesce_check(&sub->bus->info, req);
	struct ronbus_backlog_count counted;

	if (err)
		return err;
	counted = count_ahead(sub, req->messages);
	bus_lock(sub->bus);
	if (req->messages > 1)
		err = have_timer(sub);
	if (!err && ronbus_backlog_set(&sub->coalesce.backlog, req, &counted))
		wake(sub, RONBUS_WAKE_DATA);
	bus_unlock(sub->bus);
	return err;
}

/* With the lock of the bus: nothing is to be started any more. */
static void stop_timer(struct embedded_sub *sub)
{
	struct coalescing *c = &sub->coalesce;

	c->closing = true;
	wake_timer(c);
}

/* Without it, which the timer needs to end. */
static void end_timer(struct embedded_sub *sub)
{
	struct coalescing *c = &sub->coalesce;
	int was;

	if (!c->started || c->pid != getpid()) /* a child of fork() has no such thread */
		return;
	was = ronbus_cancel_hold();
	pthread_join(c->thread, NULL);
	ronbus_cancel_release(was);
}

static void wake_set(struct embedded_bus *bus, __u64 set, enum ronbus_wake_cause cause)
{
	__u32 i, looks = RONBUS_NOTIFY_LOOKS;
	struct embedded_sub *sub;

	for (; set; set &= set - 1) {
		sub = bus->subs[__builtin_ctzll(set)];
		if (sub && (cause != RONBUS_WAKE_DATA ||
			    ronbus_backlog_wakes(&sub->coalesce.backlog, true, cause, &looks)))
			wake(sub, cause);
	}
	if (!(bus->info.features & RONBUS_F_COALESCE) ||
	    (cause == RONBUS_WAKE_DATA && !ronbus_backlog_reached(&bus->ring, bus->info.wake_next)))
		return;
	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++) {
		sub = bus->subs[i];
		if (sub && ronbus_backlog_concerns(&sub->coalesce.backlog, cause) &&
		    ronbus_backlog_wakes(&sub->coalesce.backlog, false, cause, &looks))
			wake(sub, cause);
	}
}

/*
 * With the lock of the bus. Without EDGE_NOTIFY everybody is signalled, asleep or not: that is the
 * baseline. So is everybody of the end.
 */
static void notify(struct embedded_bus *bus, __u64 set, enum ronbus_wake_cause cause)
{
	__u64 armed = take_armed(bus, set);
	bool edge = bus->info.features & RONBUS_F_EDGE_NOTIFY && cause != RONBUS_WAKE_CLOSE;

	wake_set(bus, edge ? armed : set, cause);
}

/* ---- sleeping --------------------------------------------------------------------------- */

/* With the lock of the bus: what publishers have left to its holder to do. */
static void notify_pending(struct embedded_bus *bus)
{
	__u64 set, calls;

	if (!RB_READ(&bus->notify_calls))
		return;
	/* It has no partner: what is asked for meanwhile is found when the lock is let go. */
	calls = __atomic_exchange_n(&bus->notify_calls, 0, __ATOMIC_SEQ_CST);
	/* It has no partner either. */
	set = __atomic_exchange_n(&bus->notify_set, 0, __ATOMIC_SEQ_CST);
	bus->past.notify_calls_total += calls >> 32;
	notify(bus, set, RONBUS_WAKE_DATA);
}

/* What publishers asked for before is done when this returns. */
static void bus_lock(struct embedded_bus *bus)
{
	pthread_mutex_lock(&bus->lock);
	notify_pending(bus);
}

static void bus_unlock(struct embedded_bus *bus)
{
	do {
		notify_pending(bus);
		pthread_mutex_unlock(&bus->lock);
		RB_MB(); /* barrier N', with N in embedded_notify(): handover.pml */
	} while (RB_READ(&bus->notify_calls) && !pthread_mutex_trylock(&bus->lock));
}

/*
 * A publisher does not wait for the lock: it may run in a signal handler that has interrupted the
 * lock's holder. It notes what is to be done, and then tries the lock. The holder, perhaps this
 * publisher itself, does what is noted before it releases the lock, and looks once more afterwards.
 */
static void embedded_notify(struct ronbus_publisher_handle *base, __u64 set)
{
	struct embedded_bus *bus = ((struct embedded_pub *)base)->bus;
	int saved = errno;

	__atomic_fetch_or(&bus->notify_set, set, __ATOMIC_RELAXED);
	/*
	 * A publisher without an id stands for the kernel, and needs no call. After the set:
	 * barrier N, with N' in bus_unlock(): handover.pml
	 */
	__atomic_fetch_add(&bus->notify_calls, (__u64) !!base->pub.id << 32 | 1, __ATOMIC_SEQ_CST);
	RB_MB(); /* and before the lock: barrier N, with N' in bus_unlock(): handover.pml */
	if (!pthread_mutex_trylock(&bus->lock))
		bus_unlock(bus);
	errno = saved;
}

/* Is there enough for a subscriber that coalesces? In its own thread. */
static bool coalesced(struct embedded_sub *sub)
{
	struct ronbus_backlog *backlog = &sub->coalesce.backlog;
	struct ronbus_backlog_count counted = count_ahead(sub, RB_READ(&backlog->messages));
	bool is;

	bus_lock(sub->bus);
	is = ronbus_backlog_look_for_many(backlog, &counted);
	bus_unlock(sub->bus);
	return is;
}

static bool something(struct embedded_sub *sub)
{
	const struct ronbus_backlog *backlog = &sub->coalesce.backlog;
	struct ronbus_scan scan = ronbus_backlog_scan(backlog);

	if (ronbus_backlog_coalesces(backlog))
		return coalesced(sub);
	return ronbus_backlog_look(backlog, &scan);
}

/* Whoever polls an fd for the bit that we have taken must hear of it from us. */
static void tell_polled(struct embedded_sub *sub)
{
	if (RB_READ(&sub->polled)) {
		RB_WRITE(&sub->polled, 0);
		signal_fds(sub);
	}
}

/* Arm or defer, unless there is enough. */
static bool arm_coalescing(struct embedded_sub *sub)
{
	bool relied, is;

	if (coalesced(sub))
		return true;
	__atomic_fetch_add(&sub->kernel.waits_total, 1, __ATOMIC_RELAXED);
	bus_lock(sub->bus);
	is = ronbus_backlog_arm_for_many(&sub->coalesce.backlog, &relied);
	if (is && relied)
		tell_polled(sub);
	bus_unlock(sub->bus);
	return is;
}

/* Arm, unless there is something. */
static bool arm(struct embedded_sub *sub)
{
	struct ronbus_backlog *backlog = &sub->coalesce.backlog;
	struct ronbus_scan scan = ronbus_backlog_scan(backlog);
	bool is, relied = false;

	if (ronbus_backlog_coalesces(backlog))
		return arm_coalescing(sub);
	if (ronbus_backlog_look(backlog, &scan))
		return true;
	__atomic_fetch_add(&sub->kernel.waits_total, 1, __ATOMIC_RELAXED);
	pthread_mutex_lock(&sub->arming);
	is = ronbus_backlog_arm(backlog, &scan, &relied);
	pthread_mutex_unlock(&sub->arming);
	if (is && relied)
		tell_polled(sub);
	return is;
}

/* There is data, or no more patience. */
static void disarm(struct embedded_sub *sub, bool data)
{
	if (!data && RB_READ(&sub->polled))
		return;
	if (!data && ronbus_backlog_coalesces(&sub->coalesce.backlog)) {
		bus_lock(sub->bus);
		ronbus_backlog_undefer(&sub->coalesce.backlog);
		bus_unlock(sub->bus);
	}
	if (take_own(sub))
		tell_polled(sub);
}

static int sleep_until(struct embedded_sub *sub, __u64 deadline, __u32 cancels)
{
	int err;

	for (;;) {
		/* barrier G', with G in wake_sleeper(): cancel.pml */
		__u32 seq = RB_LOAD_ACQUIRE(&sub->seq);

		if (arm(sub))
			return 0;
		if (RB_READ(&sub->base.cancels) != cancels)
			return -ECANCELED;
		err = futex_wait(&sub->seq, seq, deadline);
		if (something(sub))
			return 0;
		if (err == -ETIMEDOUT || err == -EINTR)
			return err;
	}
}

/* Also for a thread that is cancelled in its sleep. */
static void stop_sleeping(void *arg)
{
	struct embedded_sub *sub = arg;

	RB_WRITE(&sub->sleepers, 0);
	disarm(sub, false);
}

static int embedded_wait(struct ronbus_subscriber_handle *base, __u64 deadline, __u32 cancels)
{
	struct embedded_sub *sub = (struct embedded_sub *)base;
	int err;

	if (something(sub))
		return 0;
	if (deadline <= ronbus_now())
		return -ETIMEDOUT;
	RB_WRITE(&sub->sleepers, 1);
	pthread_cleanup_push(stop_sleeping, sub);
	err = sleep_until(sub, deadline, cancels);
	pthread_cleanup_pop(0);
	RB_WRITE(&sub->sleepers, 0);
	disarm(sub, !err);
	return err;
}

static int embedded_cancel(struct ronbus_subscriber_handle *base)
{
	wake_sleeper((struct embedded_sub *)base); /* who sees the new seq sees the new count */
	return 0;
}

/* What was signalled so far. */
static void eventfd_clear(int fd)
{
	int was = ronbus_cancel_hold();
	__u64 count;

	(void)!read(fd, &count, sizeof(count));
	ronbus_cancel_release(was);
}

static int embedded_arm(struct ronbus_subscriber_handle *base)
{
	struct embedded_sub *sub = (struct embedded_sub *)base;

	if (something(sub))
		return 1;
	/* What was signalled for data that is gone; if there is new data, we look for it below. */
	if (sub->own_fd >= 0)
		eventfd_clear(sub->own_fd);
	RB_WRITE(&sub->polled, 1);
	sub->relies = !arm(sub);
	if (sub->relies)
		return 0;
	disarm(sub, true);
	RB_WRITE(&sub->polled, 0);
	return 1;
}

static int embedded_sub_fd(struct ronbus_subscriber_handle *base)
{
	struct embedded_sub *sub = (struct embedded_sub *)base;
	int fd;

	if (sub->own_fd >= 0)
		return sub->own_fd;
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	bus_lock(sub->bus);
	sub->own_fd = fd;
	bus_unlock(sub->bus);
	/* It may have been armed, and woken, before there was an fd; perhaps for what is for others. */
	if ((sub->relies && !RB_READ(&sub->polled)) || something(sub))
		eventfd_signal(fd);
	return fd;
}

static int duplicate_eventfd(int fd)
{
	static const char eventfd_link[] = "anon_inode:[eventfd]";
	char path[32], link[sizeof(eventfd_link)];
	ssize_t len;
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (copy < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", copy);
	len = readlink(path, link, sizeof(link));
	/* Without /proc there is no telling, and a write to something else does no harm to us. */
	if (len >= 0 &&
	    (len != sizeof(eventfd_link) - 1 || memcmp(link, eventfd_link, (size_t)len))) {
		ronbus_fd_close(copy);
		return -EINVAL;
	}
	return copy;
}

static int embedded_set_eventfd(struct ronbus_subscriber_handle *base, int fd)
{
	struct embedded_sub *sub = (struct embedded_sub *)base;
	int old, copy = -1;

	if (fd != -1) {
		copy = duplicate_eventfd(fd);
		if (copy < 0)
			return copy;
	}
	bus_lock(sub->bus);
	old = sub->user_fd;
	sub->user_fd = copy;
	bus_unlock(sub->bus);
	if (old >= 0)
		ronbus_fd_close(old);
	return 0;
}

/* ---- the end -------------------------------------------------------------------------- */

static void set_status(struct embedded_bus *bus, __u32 status)
{
	/* barrier E, with E' in something() and in readers: end.pml */
	RB_STORE_RELEASE(&bus->info.status, bus->info.status | status);
}

/* With the lock of the bus. All are told, for there is no later occasion. */
static void end_if_due(struct embedded_bus *bus, bool abandoned)
{
	if (!ronbus_end_due(&bus->info, bus->publishers, abandoned))
		return;
	set_status(bus, RONBUS_STATUS_ENDED);
	notify(bus, ~0ULL, RONBUS_WAKE_CLOSE);
}

static int embedded_seal(struct ronbus *base)
{
	struct embedded_handle *handle = (struct embedded_handle *)base;
	struct embedded_bus *bus = handle->bus;

	if (!(handle->access & RONBUS_ACCESS_PUBLISH))
		return -EACCES;
	bus_lock(bus);
	set_status(bus, RONBUS_STATUS_SEALED);
	end_if_due(bus, false);
	bus_unlock(bus);
	return 0;
}

/* ---- counters ------------------------------------------------------------------------- */

/* Add all there is about a subscriber. */
static void add_sub(struct ronbus_counters *to, const struct embedded_sub *sub)
{
	int i;

	ronbus_counters_add_sub(to, &sub->self);
	to->notify_sends_total += sub->kernel.wakes_total[RONBUS_WAKE_DATA];
	to->waits_total += RB_READ(&sub->kernel.waits_total);
	to->coalesce_deferred_total += sub->coalesce.backlog.deferrals;
	for (i = 0; i < RONBUS_WAKE_CAUSES; i++)
		to->wakes_total[i] += sub->kernel.wakes_total[i];
}

static void bus_counters(struct embedded_bus *bus, struct ronbus_counters *to)
{
	struct embedded_pub *pub;
	int i;

	*to = bus->past;
	for (pub = bus->pubs; pub; pub = pub->next)
		ronbus_counters_add_pub(to, &pub->self);
	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX; i++)
		if (bus->subs[i])
			add_sub(to, bus->subs[i]);
	ronbus_counters_suppressed(to, to->addressed_total);
}

static int embedded_stats(struct ronbus *base, struct ronbus_stats *stats)
{
	struct embedded_bus *bus = ((struct embedded_handle *)base)->bus;
	struct embedded_sub *sub = NULL;
	int err = 0;

	if (stats->which != RONBUS_STATS_BUS && stats->which >= RONBUS_SUBSCRIBERS_MAX)
		return -EINVAL;
	bus_lock(bus);
	if (stats->which != RONBUS_STATS_BUS) {
		sub = bus->subs[stats->which];
		if (!sub) {
			err = -ENOENT;
			goto unlock;
		}
	}
	stats->armed = RB_READ(&bus->info.armed);
	stats->subscribers = members(bus);
	stats->tail = ronbus_ring_tail(&bus->ring);
	stats->capacity = bus->info.capacity;
	stats->publishers = bus->publishers;
	if (sub) {
		stats->armed = stats->armed >> stats->which & 1;
		stats->cursor = RB_READ(&sub->self.cursor);
		stats->start = sub->start;
		add_sub(&stats->counters, sub);
		ronbus_counters_suppressed(&stats->counters, stats->counters.delivered_total);
	} else {
		bus_counters(bus, &stats->counters);
	}
unlock:
	bus_unlock(bus);
	return err;
}

/* ---- publishers ----------------------------------------------------------------------- */

static struct embedded_pub *pub_alloc(struct embedded_bus *bus)
{
	struct embedded_pub *pub = ronbus_zalloc(sizeof(*pub));

	if (!pub)
		return NULL;
	pub->bus = bus;
	pub->base.transport = &ronbus_embedded_transport;
	pub->base.pub.ring = bus->ring;
	pub->base.pub.info = &bus->info;
	pub->base.pub.self = &pub->self;
	if (bus->info.flags & RONBUS_BUS_EXCLUSIVE)
		pub->base.pub.how |= RONBUS_HOW_EXCLUSIVE;
	if (bus->info.flags & RONBUS_BUS_RETAIN)
		pub->base.pub.how |= RONBUS_HOW_RETAIN;
	if (bus->info.flags & RONBUS_BUS_COARSE_TIME)
		pub->base.pub.how |= RONBUS_HOW_COARSE;
	return pub;
}

static void pub_free(struct embedded_pub *pub)
{
	if (pub)
		free(pub->inner);
	free(pub);
}

/* What the kernel is for a publisher on the device: owner 0, and no buffer for counters. */
static int pub_have_inner(struct embedded_pub *pub)
{
	struct embedded_pub *inner = pub_alloc(pub->bus);

	if (!inner)
		return -ENOMEM;
	inner->base.pub.self = &pub->self;
	inner->base.pub.pos = pub->base.pub.pos;
	ronbus_pub_number(&inner->base.pub);
	inner->base.pub.how |=
		ronbus_how_of_features(pub->bus->info.features) & ~(__u32)RONBUS_HOW_METRICS;
	pub->inner = inner;
	return 0;
}

/* With the lock of the bus: an id for a mapped publisher, as the kernel gives them. */
static int take_id(struct embedded_bus *bus, __u32 *id)
{
	if (bus->info.flags & RONBUS_BUS_MAP_NONE)
		return -EPERM;
	*id = ronbus_publisher_id(bus->ids, bus->info.capacity);
	if (!*id)
		return -ENOSPC;
	bus->ids |= bit(*id);
	return 0;
}

static int pub_join(struct embedded_pub *pub, unsigned int flags)
{
	struct embedded_bus *bus = pub->bus;
	int err = ronbus_publisher_check(&bus->info, bus->publishers);

	if (err)
		return err;
	pub->base.pub.pos = ronbus_ring_tail(&bus->ring);
	if (!(flags & RONBUS_PUB_SYSCALL))
		err = take_id(bus, &pub->base.pub.id);
	if (err && flags & RONBUS_PUB_MAPPED_ONLY)
		return err;
	if (err || flags & RONBUS_PUB_SYSCALL) {
		pub->base.pub.id = 0;
		pub->base.pub.how |= RONBUS_HOW_SYSCALL;
	}
	if (pub->base.pub.how & RONBUS_HOW_SYSCALL || bus->info.features & RONBUS_F_BLOCKS) {
		err = pub_have_inner(pub);
		if (err)
			return err;
	}
	pub->next = bus->pubs;
	bus->pubs = pub;
	bus->publishers++;
	return 0;
}

static int embedded_publisher(struct ronbus *base, unsigned int flags,
			      struct ronbus_publisher_handle **ret)
{
	struct embedded_handle *handle = (struct embedded_handle *)base;
	struct embedded_bus *bus = handle->bus;
	struct embedded_pub *pub;
	int err;

	if (!(handle->access & RONBUS_ACCESS_PUBLISH))
		return -EACCES;
	pub = pub_alloc(bus);
	if (!pub)
		return -ENOMEM;
	bus_lock(bus);
	err = pub_join(pub, flags);
	bus_unlock(bus);
	if (err) {
		pub_free(pub);
		return err;
	}
	bus_get(bus);
	*ret = &pub->base;
	return 0;
}

static int embedded_pub_fd(const struct ronbus_publisher_handle *base)
{
	(void)base;
	return -EOPNOTSUPP;
}

static int embedded_pub_wait(struct ronbus_publisher_handle *base, __u64 deadline)
{
	struct embedded_bus *bus = ((struct embedded_pub *)base)->bus;
	__u32 joins;
	int err;

	for (;;) {
		/* It has no partner in a model: futex(2) compares, and what it compares is read first. */
		joins = RB_LOAD_ACQUIRE(&bus->joins);
		if (RB_READ(&bus->info.members))
			return 0;
		err = futex_wait(&bus->joins, joins, deadline);
		if (err == -ETIMEDOUT || err == -EINTR)
			return err;
	}
}

static int embedded_publish(struct ronbus_publisher_handle *base, unsigned int topic,
			    const struct iovec *vec, unsigned int count, __u32 *receivers)
{
	struct ronbus_pub *inner = &((struct embedded_pub *)base)->inner->base.pub;
	int ret;

	*receivers = 0;
	if (count > 1)
		return ronbus_publish_many(inner, topic, vec, count);
	ret = ronbus_publish(inner, topic, vec->iov_base, vec->iov_len);
	if (ret < 0)
		return ret;
	*receivers = (__u32)ret;
	return 1;
}

/* ---- blocks: what the kernel does, as kmod/blocks.c does it ---------------------------- */

static bool block_pinned(struct embedded_bus *bus, __u32 block)
{
	bool pinned = false;
	__u32 i;

	bus_lock(bus);
	for (i = 0; i < RONBUS_SUBSCRIBERS_MAX && !pinned; i++)
		pinned = bus->subs[i] && ronbus_blocks_pinned(&bus->subs[i]->self, block);
	bus_unlock(bus);
	return pinned;
}

static int block_choose(struct embedded_bus *bus)
{
	int block;

	bus_lock(bus);
	block = ronbus_blocks_queue_take(&bus->blocks_queue);
	bus->past.blocks_dropped_total += block < 0;
	bus_unlock(bus);
	return block;
}

/* The block is pinned, and was perhaps the last one that there was to look at. */
static void block_pass_over(struct embedded_bus *bus, __u32 block, bool last)
{
	bus_lock(bus);
	ronbus_blocks_queue_give_back(&bus->blocks_queue, block, true);
	bus->past.blocks_pinned_total++;
	bus->past.blocks_dropped_total += last;
	bus_unlock(bus);
}

/*
 * The oldest block that nobody has pinned, for the caller to write; or -ENOBUFS. Not more are looked
 * at than can be pinned, and the lock is not held meanwhile: others publish, join and leave.
 */
static int block_take(struct embedded_bus *bus)
{
	__u32 left =
		bus->blocks.count < RONBUS_BLOCK_LOOKS ? bus->blocks.count : RONBUS_BLOCK_LOOKS;
	int block;

	for (;;) {
		block = block_choose(bus);
		if (block < 0)
			return block;
		ronbus_blocks_close(&bus->blocks, (__u32)block);
		if (!block_pinned(bus, (__u32)block))
			return block;
		block_pass_over(bus, (__u32)block, !--left);
		if (!left)
			return -ENOBUFS;
	}
}

/*
 * The block was published, and is the newest; or it was not: then nobody needs it, and it is the next.
 * So neither publishes that fail nor one that takes long cost other messages their blocks.
 */
static void block_done(struct embedded_bus *bus, __u32 block, bool published)
{
	if (!published)
		ronbus_blocks_close(&bus->blocks, block);
	bus_lock(bus);
	ronbus_blocks_queue_give_back(&bus->blocks_queue, block, published);
	bus->past.blocks_published_total += published;
	bus_unlock(bus);
}

static int embedded_publish_block(struct ronbus_publisher_handle *base,
				  struct ronbus_publish_block *req)
{
	struct embedded_pub *pub = (struct embedded_pub *)base;
	struct ronbus_pub *inner;
	char message[RONBUS_PAYLOAD_MAX];
	struct embedded_bus *bus = pub->bus;
	bool alternate, retain = bus->info.flags & RONBUS_BUS_RETAIN;
	int block, ret = ronbus_publish_block_check(&bus->blocks, bus->ring.payload, req);

	if (ret)
		return ret;
	inner = &pub->inner->base.pub;
	/* Nobody there: no block has to go for it. */
	if (!retain && !RB_READ(&bus->info.audience[req->topic]))
		return __ronbus_count(inner, req->topic, 0, 0, 0);
	block = block_take(bus);
	if (block < 0)
		return block;
	memcpy(ronbus_blocks_at(&bus->blocks, (__u32)block), (const void *)(uintptr_t)req->data,
	       req->len);
	req->ref.block = (__u32)block;
	req->ref.len = req->len;
	req->ref.generation = ronbus_blocks_open(&bus->blocks, (__u32)block);
	if (req->event_len)
		memcpy(message, (const void *)(uintptr_t)req->event, req->event_len);
	memcpy(message + req->event_len, &req->ref, sizeof(req->ref));
	/* On an exclusive bus the two take turns; on others several threads may be here. */
	alternate = base->pub.how & RONBUS_HOW_EXCLUSIVE && !(base->pub.how & RONBUS_HOW_SYSCALL);
	if (alternate)
		inner->pos = base->pub.pos;
	ret = ronbus_publish(inner, req->topic, message, req->event_len + sizeof(req->ref));
	if (alternate)
		base->pub.pos = inner->pos;
	block_done(bus, (__u32)block, ret > 0 || (!ret && retain));
	if (ret < 0)
		return ret;
	req->receivers = (__u32)ret;
	return 0;
}

static void embedded_pub_close(struct ronbus_publisher_handle *base)
{
	struct embedded_pub *pub = (struct embedded_pub *)base;
	struct embedded_bus *bus = pub->bus;
	struct embedded_pub **link = &bus->pubs;
	__u32 id = base->pub.id, repaired = 0;

	bus_lock(bus);
	while (*link != pub)
		link = &(*link)->next;
	*link = pub->next;
	if (id) {
		repaired = ronbus_ring_repair(&bus->ring, id, 0, bus->info.capacity);
		bus->ids &= ~bit(id);
		notify(bus, ~0ULL, RONBUS_WAKE_REPAIR);
	}
	bus->past.repairs_total += repaired;
	ronbus_counters_add_pub(&bus->past, &pub->self);
	bus->publishers--;
	end_if_due(bus, true);
	bus_unlock(bus);
	pub_free(pub);
	bus_put(bus);
}

static void embedded_pub_abandon(struct ronbus_publisher_handle *base)
{
	struct embedded_pub *pub = (struct embedded_pub *)base;

	bus_abandon(pub->bus);
	pub_free(pub);
}

/* ---- subscribers ---------------------------------------------------------------------- */

/* With the lock of the bus: the audience of every topic, each in one store. */
static void set_audience(struct embedded_bus *bus, __u32 index, __u64 topics)
{
	struct ronbus_info_page *info = &bus->info;
	int i;

	RB_WRITE(&info->generation, info->generation + 1);
	RB_WMB(); /* It has no partner here: programs read the table. */
	RB_WRITE(&info->members, members(bus));
	/*
	 * Behind what was asked for: barrier I, with I' in ronbus_publish(): interest.pml
	 */
	for (i = 0; i < RONBUS_TOPICS_MAX; i++)
		RB_STORE_RELEASE(&info->audience[i], topics >> i & 1
							     ? info->audience[i] | bit(index)
							     : info->audience[i] & ~bit(index));
	/* It has no partner here either. */
	RB_STORE_RELEASE(&info->generation, info->generation + 1);
}

/* With the lock of the bus: a subscriber is no longer found. */
static void withdraw(struct embedded_sub *sub)
{
	struct embedded_bus *bus = sub->bus;

	bus->subs[sub->base.index] = NULL;
	set_audience(bus, sub->base.index, 0);
	take_armed(bus, bit(sub->base.index));
	__atomic_fetch_and(&bus->info.blocked, ~bit(sub->base.index), __ATOMIC_RELAXED);
}

/*
 * Among the audience first, then where to begin: a message published from here on is either for
 * the newcomer or was on its way before.
 */
static int sub_join(struct embedded_sub *sub, const struct ronbus_subscribe *req)
{
	struct embedded_bus *bus = sub->bus;
	__u32 index;
	__u64 tail;
	int err;

	for (index = 0; index < RONBUS_SUBSCRIBERS_MAX; index++)
		if (!bus->subs[index])
			break;
	if (index == RONBUS_SUBSCRIBERS_MAX)
		return -ENOSPC;
	sub->base.index = index;
	sub->base.sub.interest = ronbus_join_interest(&bus->info, req, index);
	bus->subs[index] = sub;
	set_audience(bus, index, req->topics);
	RB_MB(); /* barrier J, with J' and D in wake_those(): join.pml */

	tail = ronbus_ring_tail(&bus->ring);
	sub->base.sub.interest.joined = ronbus_joined(bus->info.flags, tail);
	err = ronbus_start_position(req, bus->info.capacity, tail, &sub->start);
	if (err) {
		withdraw(sub);
		return err;
	}
	RB_WRITE(&sub->self.cursor, sub->start);
	/* After the members: see embedded_pub_wait(). It has no partner in a model either. */
	RB_STORE_RELEASE(&bus->joins, bus->joins + 1);
	futex_wake(&bus->joins);
	if (bus->autotuned_for && __builtin_popcountll(members(bus)) > (int)bus->autotuned_for)
		autotune_warn(bus, RONBUS_AUTOTUNE_SUBSCRIBERS);
	return 0;
}

static int embedded_subscribe(struct ronbus *base, const struct ronbus_subscribe *req,
			      struct ronbus_subscriber_handle **ret)
{
	struct embedded_handle *handle = (struct embedded_handle *)base;
	struct embedded_bus *bus = handle->bus;
	struct embedded_sub *sub;
	int err;

	if (!(handle->access & RONBUS_ACCESS_SUBSCRIBE))
		return -EACCES;
	err = ronbus_subscribe_check(bus->info.features, req);
	if (err)
		return err;
	sub = ronbus_zalloc(sizeof(*sub));
	if (!sub)
		return -ENOMEM;
	sub->bus = bus;
	sub->own_fd = -1;
	sub->user_fd = -1;
	sub->coalesce.backlog = (struct ronbus_backlog){
		.ring = &sub->base.sub.ring,
		.page = &bus->info,
		.self = &sub->self,
		.interest = &sub->base.sub.interest,
		.wake_at = RONBUS_NOT_DEFERRED,
	};
	pthread_mutex_init(&sub->arming, NULL);
	sub->base.sub.ring = bus->ring;
	sub->base.sub.info = &bus->info;
	sub->base.sub.self = &sub->self;
	sub->base.blocks = bus->blocks;

	bus_lock(bus);
	err = sub_join(sub, req);
	bus_unlock(bus);
	if (err) {
		free(sub);
		return err;
	}
	bus_get(bus);
	*ret = &sub->base;
	return 0;
}

static void close_fds(struct embedded_sub *sub)
{
	if (sub->own_fd >= 0)
		ronbus_fd_close(sub->own_fd);
	if (sub->user_fd >= 0)
		ronbus_fd_close(sub->user_fd);
}

static void embedded_sub_close(struct ronbus_subscriber_handle *base)
{
	struct embedded_sub *sub = (struct embedded_sub *)base;
	struct embedded_bus *bus = sub->bus;

	/* Whoever finds it has the lock of the bus: now nobody will, and its timer has nothing to do. */
	bus_lock(bus);
	stop_timer(sub);
	ronbus_backlog_undefer(&sub->coalesce.backlog);
	withdraw(sub);
	add_sub(&bus->past, sub);
	bus_unlock(bus);
	end_timer(sub);
	pthread_mutex_destroy(&sub->arming);
	close_fds(sub);
	free(sub);
	bus_put(bus);
}

static void embedded_sub_abandon(struct ronbus_subscriber_handle *base)
{
	struct embedded_sub *sub = (struct embedded_sub *)base;

	close_fds(sub);
	bus_abandon(sub->bus);
	free(sub);
}

/*
 * With the lock of the bus. What was counted was counted for other topics. And of a new topic there
 * may be a message already: whoever polls for the subscriber is to look again.
 */
static void look_again(struct embedded_sub *sub, bool added)
{
	bool armed;

	ronbus_backlog_recount(&sub->coalesce.backlog);
	if (!added)
		return;
	armed = take_own(sub);
	if (ronbus_backlog_undefer(&sub->coalesce.backlog) || armed)
		wake(sub, RONBUS_WAKE_DATA);
}

static int embedded_set_topics(struct ronbus_subscriber_handle *base, __u64 topics)
{
	struct embedded_sub *sub = (struct embedded_sub *)base;
	struct ronbus_interest *mine = &base->sub.interest;
	bool added = topics & ~mine->topics;

	bus_lock(sub->bus);
	RB_WRITE(&mine->topics, topics);
	set_audience(sub->bus, base->index, topics);
	look_again(sub, added);
	bus_unlock(sub->bus);
	return 0;
}

const struct ronbus_transport ronbus_embedded_transport = {
	.query = embedded_query,
	.create = embedded_create,
	.attach = embedded_attach,
	.bus_fd = embedded_bus_fd,
	.bus_info = embedded_bus_info,
	.share = embedded_share,
	.seal = embedded_seal,
	.stats = embedded_stats,
	.bus_close = embedded_bus_close,
	.bus_abandon = embedded_bus_abandon,
	.publisher = embedded_publisher,
	.pub_fd = embedded_pub_fd,
	.pub_wait = embedded_pub_wait,
	.publish = embedded_publish,
	.publish_block = embedded_publish_block,
	.notify = embedded_notify,
	.pub_close = embedded_pub_close,
	.pub_abandon = embedded_pub_abandon,
	.subscribe = embedded_subscribe,
	.sub_fd = embedded_sub_fd,
	.wait = embedded_wait,
	.arm = embedded_arm,
	.set_topics = embedded_set_topics,
	.coalesce = embedded_coalesce,
	.set_eventfd = embedded_set_eventfd,
	.cancel = embedded_cancel,
	.sub_close = embedded_sub_close,
	.sub_abandon = embedded_sub_abandon,
};
