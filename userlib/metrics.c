// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * metrics.c - RONBUS_F_METRICS_BUF: counters per thread, flushed now and then
 *
 * A thread has a few entries, found by the serial number of the publisher handle. The inlines
 * count into them with plain stores. Their values only grow while an entry belongs to a handle;
 * what has been flushed of them is kept beside, under the thread's lock, so that whoever flushes
 * (the thread itself, one that closes the handle, the end of the process) adds just what is
 * new, and nobody has to stop the thread for it.
 *
 * Locks: all_threads.lock, then a thread's. To forget a handle takes both, so an entry never
 * outlives its handle; to forget a thread too, so the list never outlives a thread's memory.
 */
#include "internal.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define THRESHOLD_VARIABLE "RON_TLS_FLUSH_THRESHOLD"
#define THRESHOLD_DEFAULT 64
#define THRESHOLD_MAX (1U << 30)

/* What has been flushed of one entry, and where to. */
struct flushed {
	struct ronbus_publisher_handle *pub;
	__u64 calls;
	__u64 addressed;
	__u64 no_receivers;
};

struct thread {
	struct thread *next;
	struct thread **link; /* what points here */
	struct ronbus_thread_counters *counters;
	pthread_mutex_t lock;
	struct flushed flushed[RONBUS_THREAD_COUNTERS];
	bool enlisted; /* ever; only the thread itself asks */
	bool exiting;
};

#define THREAD_LOCAL __thread __attribute__((tls_model("initial-exec")))

THREAD_LOCAL struct ronbus_thread_counters __ronbus_thread_counters[RONBUS_THREAD_COUNTERS];

static THREAD_LOCAL struct thread this_thread;

static struct {
	pthread_mutex_t lock;
	pthread_once_t once;
	pthread_key_t key;
	bool usable;
	pid_t pid; /* a child of fork() has neither these threads nor the mappings */
	struct thread *first;
} all_threads = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.once = PTHREAD_ONCE_INIT,
};

int ronbus_metrics_threshold(__u32 *threshold)
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

static void count_directly(struct ronbus_self *self, __u64 written, __u64 addressed,
			   __u64 no_receivers)
{
	if (written)
		__atomic_fetch_add(&self->published, written, __ATOMIC_RELAXED);
	if (addressed)
		__atomic_fetch_add(&self->addressed, addressed, __ATOMIC_RELAXED);
	if (no_receivers)
		__atomic_fetch_add(&self->no_receivers, no_receivers, __ATOMIC_RELAXED);
}

/* With the thread's lock. The thread itself may be counting on meanwhile. */
static void flush(struct ronbus_thread_counters *entry, struct flushed *flushed)
{
	__u64 calls = RB_READ(&entry->calls);
	__u64 addressed = RB_READ(&entry->addressed);
	__u64 no_receivers = RB_READ(&entry->no_receivers);
	struct ronbus_self *self;

	if (calls == flushed->calls)
		return;
	self = flushed->pub->pub.self;
	count_directly(self, calls - flushed->calls - (no_receivers - flushed->no_receivers),
		       addressed - flushed->addressed, no_receivers - flushed->no_receivers);
	__atomic_fetch_add(&self->flushes, 1, __ATOMIC_RELAXED);
	flushed->calls = calls;
	flushed->addressed = addressed;
	flushed->no_receivers = no_receivers;
}

static void unbind(struct ronbus_thread_counters *entry, struct flushed *flushed)
{
	if (!flushed->pub)
		return;
	flush(entry, flushed);
	RB_WRITE(&entry->serial, 0);
	flushed->pub = NULL;
}

static void bind(struct ronbus_thread_counters *entry, struct flushed *flushed,
		 struct ronbus_publisher_handle *pub)
{
	unbind(entry, flushed);
	*flushed = (struct flushed){ .pub = pub };
	RB_WRITE(&entry->calls, 0);
	RB_WRITE(&entry->addressed, 0);
	RB_WRITE(&entry->no_receivers, 0);
	entry->flush_at = pub->flush_threshold;
	RB_WRITE(&entry->serial, pub->pub.serial);
}

static void thread_exits(void *arg)
{
	struct thread *thread = arg;
	unsigned int i;

	if (getpid() != all_threads.pid)
		return;
	pthread_mutex_lock(&all_threads.lock);
	pthread_mutex_lock(&thread->lock);
	for (i = 0; i < RONBUS_THREAD_COUNTERS; i++)
		unbind(&thread->counters[i], &thread->flushed[i]);
	thread->exiting = true;
	*thread->link = thread->next;
	if (thread->next)
		thread->next->link = thread->link;
	pthread_mutex_unlock(&thread->lock);
	pthread_mutex_unlock(&all_threads.lock);
}

static void make_key(void)
{
	all_threads.pid = getpid();
	all_threads.usable = !pthread_key_create(&all_threads.key, thread_exits);
}

/* Can this thread have a buffer? Not without being told when it exits, nor after that. */
static bool enlist(struct thread *thread)
{
	if (thread->enlisted)
		return !thread->exiting;
	pthread_once(&all_threads.once, make_key);
	if (!all_threads.usable || getpid() != all_threads.pid ||
	    pthread_setspecific(all_threads.key, thread))
		return false;
	thread->enlisted = true;
	pthread_mutex_init(&thread->lock, NULL);
	thread->counters = __ronbus_thread_counters;
	pthread_mutex_lock(&all_threads.lock);
	thread->next = all_threads.first;
	thread->link = &all_threads.first;
	if (thread->next)
		thread->next->link = &thread->next;
	all_threads.first = thread;
	pthread_mutex_unlock(&all_threads.lock);
	return true;
}

void ronbus_metrics_count(struct ronbus_publisher_handle *pub, __u32 messages, __u32 receivers)
{
	struct thread *thread = &this_thread;
	__u32 i = pub->pub.serial & (RONBUS_THREAD_COUNTERS - 1);
	struct ronbus_thread_counters *entry = &__ronbus_thread_counters[i];
	__u64 addressed = (__u64)messages * receivers;
	__u64 unwanted = receivers ? 0 : messages;

	if (!enlist(thread)) {
		count_directly(pub->pub.self, messages - unwanted, addressed, unwanted);
		return;
	}
	pthread_mutex_lock(&thread->lock);
	if (entry->serial != pub->pub.serial)
		bind(entry, &thread->flushed[i], pub);
	__ronbus_bump(&entry->calls, messages);
	__ronbus_bump(&entry->addressed, addressed);
	__ronbus_bump(&entry->no_receivers, unwanted);
	if (entry->calls >= entry->flush_at) {
		flush(entry, &thread->flushed[i]);
		entry->flush_at = entry->calls + pub->flush_threshold;
	}
	pthread_mutex_unlock(&thread->lock);
}

void ronbus_metrics_forget(struct ronbus_publisher_handle *pub)
{
	__u32 i = pub->pub.serial & (RONBUS_THREAD_COUNTERS - 1);
	struct thread *thread;

	if (getpid() != all_threads.pid)
		return;
	pthread_mutex_lock(&all_threads.lock);
	for (thread = all_threads.first; thread; thread = thread->next) {
		pthread_mutex_lock(&thread->lock);
		if (thread->flushed[i].pub == pub)
			unbind(&thread->counters[i], &thread->flushed[i]);
		pthread_mutex_unlock(&thread->lock);
	}
	pthread_mutex_unlock(&all_threads.lock);
}

/* Handles that a program leaves open at its end are closed by the kernel, after this. */
static __attribute__((destructor)) void flush_all(void)
{
	struct thread *thread;
	unsigned int i;

	if (getpid() != all_threads.pid)
		return;
	pthread_mutex_lock(&all_threads.lock);
	for (thread = all_threads.first; thread; thread = thread->next) {
		pthread_mutex_lock(&thread->lock);
		for (i = 0; i < RONBUS_THREAD_COUNTERS; i++)
			if (thread->flushed[i].pub)
				flush(&thread->counters[i], &thread->flushed[i]);
		pthread_mutex_unlock(&thread->lock);
	}
	pthread_mutex_unlock(&all_threads.lock);
}
