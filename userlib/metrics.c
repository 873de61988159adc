// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * metrics.c - RONBUS_F_METRICS_BUF: counters per thread, flushed now and then
 *
 * A thread has a few entries, each for the messages of one publisher handle for one number of
 * receivers, and with INTEREST of subscribers that they are not for. The inlines count into them
 * with plain stores. Their values only grow. How much of a value has been flushed, or belonged to
 * another handle, is kept beside it under the thread's lock. So a flush, by the thread itself, by
 * one that closes the handle or at the end of the process, adds just what is new, without stopping
 * the thread.
 *
 * A flush is due every so many messages of the thread, and when the last one is an interval ago.
 * The clock costs more than all the counting, so the inlines do not look at it: they come here
 * every few messages, every one if messages are rare. A thread that sleeps for messages wakes up
 * once for what it has not flushed; one that wakes a subscriber has a system call to make anyway.
 *
 * A thread may publish in a signal handler, which may have interrupted the thread anywhere, also
 * here. So publishing only tries the locks, and counts in the publisher's page at once if one is
 * taken, perhaps by the same thread. While a thread counts it is marked (__RONBUS_COUNTING), and a
 * handler that finds the mark gives no entry to another handle.
 *
 * Locks: all_threads.lock, then a thread's. To forget a handle takes both, so an entry never
 * outlives its handle; to forget a thread too, so the list never outlives a thread's memory.
 */
#include "internal.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define THRESHOLD_VARIABLE "RON_TLS_FLUSH_THRESHOLD"
#define THRESHOLD_DEFAULT 64
#define THRESHOLD_MAX (1U << 30)

#define INTERVAL_NS 200000000ULL

/* Messages between two looks at the clock: at most so many, and only while they are this quick. */
#define LOOK_MOST 64U
#define LOOK_QUICK_NS (INTERVAL_NS / 8)

/* Whose an entry is, and what has been flushed of it. */
struct flushed {
	struct ronbus_publisher_handle *pub;
	__u64 key;
	__u64 messages;
};

struct thread {
	struct thread *next;
	struct thread **link; /* what points here */
	struct ronbus_thread_counters *counters;
	pthread_mutex_t lock;
	struct flushed flushed[RONBUS_THREAD_ENTRIES];
	__u64 flush_time; /* of the last flush, on the coarse clock */
	__u64 look_time;
	__u32 step; /* messages to the next look */
	bool enlisted; /* ever; only the thread itself asks */
	bool exiting;
};

/*
 * Not of the memory that threads have from their beginning: a library that is loaded later gets of
 * that what is left, or nothing on musl, and could not be loaded then.
 */
__thread struct ronbus_thread_counters __ronbus_thread_counters;

static __thread struct thread this_thread;

static struct {
	pthread_mutex_t lock;
	pthread_once_t once;
	pthread_key_t key;
	bool usable;
	pid_t pid; /* a child of a bare fork has neither these threads nor the mappings */
	struct thread *first;
} all_threads = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.once = PTHREAD_ONCE_INIT,
};

static int read_threshold(__u32 *threshold)
{
	const char *text = secure_getenv(THRESHOLD_VARIABLE);
	unsigned long value;
	char *end;

	*threshold = THRESHOLD_DEFAULT;
	if (!text)
		return 0;
	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || *end || *text < '0' || *text > '9' || !value || value > THRESHOLD_MAX) {
		fprintf(stderr,
			"libronbus: " THRESHOLD_VARIABLE "=\"%s\" is not a number from 1 to %u; "
			"unset it for the default of %u\n",
			text, THRESHOLD_MAX, THRESHOLD_DEFAULT);
		return -EINVAL;
	}
	*threshold = (__u32)value;
	return 0;
}

/* A few milliseconds late, and cheap. */
static __u64 coarse_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (__u64)now.tv_sec * 1000000000ULL + (__u64)now.tv_nsec;
}

/* Messages not flushed, of the thread that asks. */
static __u64 pending(const struct thread *thread)
{
	__u64 sum = 0;
	unsigned int i;

	for (i = 0; i < RONBUS_THREAD_ENTRIES; i++)
		sum += thread->counters->entry[i].messages - RB_READ(&thread->flushed[i].messages);
	return sum;
}

/* With the thread's lock. The thread itself may be counting on meanwhile. Returns if it had any. */
static bool flush_entry(struct thread *thread, unsigned int i)
{
	struct flushed *flushed = &thread->flushed[i];
	__u64 messages = RB_READ(&thread->counters->entry[i].messages);
	__u64 key = flushed->key, receivers = key & 127;
	__u64 skips = key >> RONBUS_METRICS_SKIPS & 127;

	if (messages == flushed->messages)
		return false;
	if (skips)
		__atomic_fetch_add(&flushed->pub->pub.self->interest_skips,
				   (messages - flushed->messages) * skips, __ATOMIC_RELAXED);
	__atomic_fetch_add(&flushed->pub->pub.self->messages_for[receivers],
			   messages - flushed->messages, __ATOMIC_RELAXED);
	__RONBUS_PROBE(3, flush, &flushed->pub->pub, messages - flushed->messages, receivers);
	RB_WRITE(&flushed->messages, messages);
	return true;
}

/* With the thread's lock. Entries of one handle are one flush, whatever number they are. */
static void flush_thread(struct thread *thread)
{
	struct ronbus_publisher_handle *counted[RONBUS_THREAD_ENTRIES];
	unsigned int i, j, n = 0;

	for (i = 0; i < RONBUS_THREAD_ENTRIES; i++) {
		struct ronbus_publisher_handle *pub = thread->flushed[i].pub;

		if (!flush_entry(thread, i))
			continue;
		for (j = 0; j < n && counted[j] != pub; j++)
			;
		if (j < n)
			continue;
		counted[n++] = pub;
		__atomic_fetch_add(&pub->pub.self->flushes, 1, __ATOMIC_RELAXED);
	}
}

/* First the thread no longer counts there, then what has been counted is flushed. */
static void unbind(struct thread *thread, unsigned int i)
{
	struct flushed *flushed = &thread->flushed[i];

	if (!flushed->pub)
		return;
	RB_WRITE(&thread->counters->entry[i].key, 0);
	/* It has no partner: only handlers of this thread need to see these stores in order. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (flush_entry(thread, i))
		__atomic_fetch_add(&flushed->pub->pub.self->flushes, 1, __ATOMIC_RELAXED);
	flushed->pub = NULL;
}

/* By the thread itself, with its lock. */
static void bind(struct thread *thread, unsigned int i, struct ronbus_publisher_handle *pub,
		 __u64 key)
{
	struct flushed *flushed = &thread->flushed[i];

	unbind(thread, i);
	flushed->pub = pub;
	flushed->key = key;
	RB_WRITE(&flushed->messages, RB_READ(&thread->counters->entry[i].messages));
	/* It has no partner: only handlers of this thread need to see these stores in order. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	RB_WRITE(&thread->counters->entry[i].key, key);
}

static void thread_exits(void *arg)
{
	struct thread *thread = arg;
	unsigned int i;

	if (getpid() != all_threads.pid || !thread->enlisted)
		return;
	pthread_mutex_lock(&all_threads.lock);
	pthread_mutex_lock(&thread->lock);
	flush_thread(thread);
	for (i = 0; i < RONBUS_THREAD_ENTRIES; i++)
		unbind(thread, i);
	thread->exiting = true;
	*thread->link = thread->next;
	if (thread->next)
		thread->next->link = thread->link;
	pthread_mutex_unlock(&thread->lock);
	pthread_mutex_unlock(&all_threads.lock);
}

/* With all_threads.lock. */
static void flush_all_threads(void)
{
	struct thread *thread;

	for (thread = all_threads.first; thread; thread = thread->next) {
		pthread_mutex_lock(&thread->lock);
		flush_thread(thread);
		pthread_mutex_unlock(&thread->lock);
	}
}

/* What is pending is the parent's: flushed before, so that neither loses nor doubles it. */
void ronbus_metrics_before_fork(void)
{
	pthread_mutex_lock(&all_threads.lock);
	if (getpid() == all_threads.pid)
		flush_all_threads();
}

void ronbus_metrics_after_fork(bool child)
{
	if (child) {
		all_threads.first = NULL;
		all_threads.pid = getpid();
		memset(&this_thread, 0, sizeof(this_thread));
		memset(&__ronbus_thread_counters, 0, sizeof(__ronbus_thread_counters));
	}
	pthread_mutex_unlock(&all_threads.lock);
}

/* A program without shared libraries has neither, and nothing that could be unloaded. */
#pragma weak dlsym
#pragma weak dladdr

/*
 * Threads that count come here when they end, perhaps just when a plugin that the library is part
 * of is unloaded. So it is kept from now on: a plugin that is loaded again finds it as it was.
 */
static void stay_loaded(void)
{
	void *(*open)(const char *file, int mode);
	Dl_info where;
	void *self;

	if (!dlsym || !dladdr || !dladdr(&all_threads, &where) || !where.dli_fname)
		return;
	/* By name: if it were mentioned, the linker would warn about static linking. */
	*(void **)&open = dlsym(RTLD_DEFAULT, "dlopen");
	if (!open)
		return;
	self = open(where.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
	if (self)
		dlclose(self);
}

static void make_key(void)
{
	stay_loaded();
	all_threads.pid = getpid();
	RB_WRITE(&all_threads.usable, !pthread_key_create(&all_threads.key, thread_exits));
}

int ronbus_metrics_prepare(__u32 *threshold)
{
	int err = read_threshold(threshold);

	if (!err)
		pthread_once(&all_threads.once, make_key);
	return err;
}

/* Can this thread have a buffer? Not without being told when it exits, nor after that. */
static bool enlist(struct thread *thread)
{
	if (RB_READ(&thread->enlisted))
		return !RB_READ(&thread->exiting);
	if (!RB_READ(&all_threads.usable) || getpid() != all_threads.pid ||
	    pthread_mutex_trylock(&all_threads.lock))
		return false;
	/* A handler may have come first. */
	if (!thread->enlisted && !pthread_setspecific(all_threads.key, thread)) {
		pthread_mutex_init(&thread->lock, NULL);
		thread->counters = &__ronbus_thread_counters;
		thread->flush_time = thread->look_time = coarse_now();
		thread->step = 1;
		thread->next = all_threads.first;
		thread->link = &all_threads.first;
		if (thread->next)
			thread->next->link = &thread->next;
		all_threads.first = thread;
		RB_WRITE(&thread->enlisted, true);
	}
	pthread_mutex_unlock(&all_threads.lock);
	return thread->enlisted;
}

/*
 * Not if the lock is taken: by a thread that flushes, or by the code that this handler interrupted.
 */
static bool flush_own(struct thread *thread, __u64 now)
{
	if (pthread_mutex_trylock(&thread->lock))
		return false;
	flush_thread(thread);
	pthread_mutex_unlock(&thread->lock);
	thread->flush_time = now;
	return true;
}

/* By the thread itself: flush if that is due, and say when to look again. */
static void look(struct thread *thread, __u32 threshold)
{
	__u64 now = coarse_now(), count = pending(thread);

	if (count >= threshold || now - thread->flush_time >= INTERVAL_NS)
		count = flush_own(thread, now) ? 0 : threshold - 1;
	if (now - thread->look_time > LOOK_QUICK_NS)
		thread->step = 1;
	else if (thread->step < LOOK_MOST)
		thread->step *= 2;
	thread->look_time = now;
	thread->counters->left =
		thread->step < threshold - count ? thread->step : threshold - count;
}

static void count_at_once(struct ronbus_publisher_handle *pub, __u32 messages, __u32 receivers,
			  __u32 skips)
{
	__atomic_fetch_add(&pub->pub.self->messages_for[receivers], messages, __ATOMIC_RELAXED);
	__atomic_fetch_add(&pub->pub.self->interest_skips, (__u64)messages * skips,
			   __ATOMIC_RELAXED);
}

/* Is the thread in the middle of counting? Then this is a handler that has interrupted it. */
static bool counting(const struct thread *thread)
{
	return (__s64)RB_READ(&thread->counters->left) > (__s64)(__RONBUS_COUNTING / 2);
}

/* Whether entry @i of the thread is that of @key, or could be made so. */
static bool have_entry(struct thread *thread, unsigned int i, struct ronbus_publisher_handle *pub,
		       __u64 key, bool interrupted)
{
	if (RB_LIKELY(RB_READ(&thread->counters->entry[i].key) == key))
		return true;
	if (interrupted || pthread_mutex_trylock(&thread->lock))
		return false;
	bind(thread, i, pub, key);
	pthread_mutex_unlock(&thread->lock);
	return true;
}

/*
 * As __ronbus_count_thread() does; but the entry may still be another handle's, and a flush be due.
 */
void ronbus_metrics_count(struct ronbus_publisher_handle *pub, __u32 messages, __u32 receivers,
			  __u32 skips)
{
	__u64 key = ronbus_metrics_key(&pub->pub, receivers, skips), *left, *counter;
	__u32 i = __ronbus_thread_entry(&pub->pub, receivers);
	struct thread *thread = &this_thread;
	bool interrupted;

	if (!enlist(thread)) {
		count_at_once(pub, messages, receivers, skips);
		return;
	}
	left = &thread->counters->left;
	counter = &thread->counters->entry[i].messages;
	interrupted = counting(thread);
	__ronbus_add_own(left, counter, __RONBUS_COUNTING);
	if (RB_LIKELY(have_entry(thread, i, pub, key, interrupted)))
		__ronbus_add_own(counter, left, messages);
	else
		count_at_once(pub, messages, receivers, skips);
	__ronbus_add_own(left, counter, -(__RONBUS_COUNTING + (__u64)messages));
}

/* Not in a handler that has interrupted the counting: then the mark is in @left. */
void ronbus_metrics_flush_if_due(const struct ronbus_publisher_handle *pub)
{
	struct thread *thread = &this_thread;

	if (!thread->enlisted || thread->exiting)
		return;
	if ((__s64)RB_READ(&thread->counters->left) <= 0)
		look(thread, pub->flush_threshold);
}

void ronbus_metrics_flush_if_old(void)
{
	struct thread *thread = &this_thread;
	__u64 now;

	if (!thread->enlisted || thread->exiting)
		return;
	now = coarse_now();
	if (now - thread->flush_time >= INTERVAL_NS)
		flush_own(thread, now);
}

__u64 ronbus_metrics_due(void)
{
	struct thread *thread = &this_thread;
	__u64 due = RONBUS_WAIT_FOREVER;

	if (thread->enlisted && !thread->exiting && pending(thread))
		due = thread->flush_time + INTERVAL_NS;
	return due;
}

void ronbus_metrics_flush(void)
{
	struct thread *thread = &this_thread;

	if (thread->enlisted && !thread->exiting)
		flush_own(thread, coarse_now());
}

void ronbus_metrics_forget(struct ronbus_publisher_handle *pub)
{
	struct thread *thread;
	unsigned int i;

	if (getpid() != all_threads.pid)
		return;
	pthread_mutex_lock(&all_threads.lock);
	for (thread = all_threads.first; thread; thread = thread->next) {
		pthread_mutex_lock(&thread->lock);
		for (i = 0; i < RONBUS_THREAD_ENTRIES; i++)
			if (thread->flushed[i].pub == pub)
				unbind(thread, i);
		pthread_mutex_unlock(&thread->lock);
	}
	pthread_mutex_unlock(&all_threads.lock);
}

/*
 * Handles that a program leaves open at its end are closed by the kernel, after this. And if a
 * library that could not be kept is unloaded, the key is given back: then no thread that ends comes
 * here.
 */
static __attribute__((destructor)) void flush_at_exit(void)
{
	if (getpid() != all_threads.pid)
		return;
	pthread_mutex_lock(&all_threads.lock);
	flush_all_threads();
	if (all_threads.usable)
		pthread_key_delete(all_threads.key);
	RB_WRITE(&all_threads.usable, false);
	pthread_mutex_unlock(&all_threads.lock);
}
