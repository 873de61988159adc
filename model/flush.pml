/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * flush.pml - counters kept by threads and flushed now and then into pages that outlive the process
 *
 * Mirrors userlib/metrics.c and the inlines of libronbus_inline.h:
 *
 *	thread	publish		ronbus_publish(), ronbus_publish_many()
 *		count		__ronbus_count_thread()
 *		slow		ronbus_metrics_count(), bind()
 *		look		look(), flush_own()
 *		fork		ronbus_metrics_before_fork(), ronbus_metrics_after_fork() (-DFORK)
 *		leave		thread_exits()
 *	closer	forget		ronbus_metrics_forget(), unbind()
 *
 * THREADS threads with CALLS calls each, a call publishing up to BATCH messages through one of two
 * handles. The one entry of a thread goes from handle to handle, as entries do that share a place;
 * that it is also for a number of receivers makes no difference here. What the clock says at a look
 * is anything: that a flush is due, or not; and that the next look may be far, or must be near.
 *
 * Signal handlers are not modelled. One that publishes while its thread counts gives no entry to another
 * handle, and counts in the publisher's page where a lock is taken; so it is as if it came between two
 * calls. handler_test interrupts each instruction sooner or later.
 *
 * A second closer closes handle 2 when nobody uses it any more, while threads count for the other
 * one. The process may die at any step: what holds then must hold all the time, and the judge looks
 * at any time.
 *
 * Shows, of the counter in each handle's page:
 *
 *  - never over: it counts no message that was not published, and none twice;
 *  - short by little: at most THRESHOLD messages a thread are missing if messages are published one
 *    by one. With batches, at most THRESHOLD - 1 and the batch that was just published;
 *  - exact, when its handle has been closed, or all threads have left;
 *  - untouched, once its handle has been closed.
 *
 * Mutations, of which each must fail:
 *
 *	MUT_EARLY	a message is counted before it is published
 *	MUT_LOCK	a thread that flushes does not take the other thread's lock
 *	MUT_ZERO	a thread that flushes sets the counter to zero
 *	MUT_LATE	the look comes one message after the threshold
 *	MUT_FAR		the next look is as far as the clock allows, whatever the threshold
 *	MUT_REBIND	an entry is given to another handle without being flushed
 *	MUT_FORGET	to close a handle leaves entries as they are
 *	MUT_LEAVE	a thread leaves without flushing
 *	MUT_FORK	fork neither flushes before nor empties the child's entries (-DFORK)
 */
#ifndef THREADS
#define THREADS 2
#endif
#ifndef CALLS
#define CALLS 2
#endif
#ifndef BATCH
#define BATCH 1
#endif
#define THRESHOLD 2

/* The pages, by handle. Eight bits, as good as 64: they wrap around in the same way. */
byte page[3];

/* A thread's memory. */
byte key[THREADS]; /* of its entry: the handle, or 0 for nobody's */
byte messages[THREADS];
byte left[THREADS];
byte flushed_to[THREADS];
byte flushed[THREADS];
bool locked[THREADS];
bool enlisted[THREADS];
bool all_locked;

/* For the proof: what was published, how many threads use handle 2, and how many have left. */
byte published[3];
byte users;
bool closing, closed;
byte gone;
bool over, lacking, inexact, touched;

#ifdef MUT_LOCK
#define LOCK(t) skip
#define UNLOCK(t) skip
#else
#define LOCK(t) atomic { !locked[t] -> locked[t] = true }
#define UNLOCK(t) locked[t] = false
#endif
#define LOCK_ALL atomic { !all_locked -> all_locked = true }
#define UNLOCK_ALL all_locked = false

/* flush_entry(), with the lock of thread t. */
inline flush(t)
{
	seen = messages[t];
	atomic {
		if
		:: flushed_to[t] != 0 && seen != flushed[t] ->
			touched = flushed_to[t] == 2 && closed;
			assert(!touched);
			page[flushed_to[t]] = page[flushed_to[t]] + seen - flushed[t]
		:: else
		fi
	};
#ifdef MUT_ZERO
	messages[t] = 0;
#else
	flushed[t] = seen;
#endif
	seen = 0
}

/* unbind(), with the lock of thread t. */
inline unbind(t)
{
#ifndef MUT_REBIND
	flush(t);
#endif
	key[t] = 0;
	flushed_to[t] = 0
}

inline bind()
{
	LOCK(t);
	unbind(t);
	flushed_to[t] = h;
	flushed[t] = 0;
	messages[t] = 0;
	key[t] = h;
	UNLOCK(t)
}

/* Others may flush at the same time, which makes less of what is pending, never more. */
#define PENDING (messages[t] - flushed[t])

inline look()
{
	pending = PENDING;
	if
	:: true ->
		LOCK(t);
		flush(t);
		UNLOCK(t);
		pending = 0
	:: pending < THRESHOLD
	fi;
	atomic {
		if
		:: left[t] = 1
#ifdef MUT_FAR
		:: left[t] = THRESHOLD
#else
		:: left[t] = THRESHOLD - pending
#endif
		fi;
		pending = 0
	}
}

/* The thread enlists with its first message. __ronbus_bump() is a load and a store. */
inline count()
{
	if
#ifdef MUT_LATE
	:: key[t] == h && left[t] >= n ->
#else
	:: key[t] == h && left[t] > n ->
#endif
		left[t] = left[t] - n;
		seen = messages[t];
		messages[t] = seen + n;
		seen = 0
	:: else ->
slow:
		if
		:: !enlisted[t] -> LOCK_ALL; enlisted[t] = true; UNLOCK_ALL
		:: else
		fi;
		if
		:: key[t] != h -> bind()
		:: else
		fi;
		seen = messages[t];
		messages[t] = seen + n;
		seen = 0;
		look()
	fi
}

proctype child(byte copy_to, pending)
{
	if
	:: copy_to != 0 -> page[copy_to] = page[copy_to] + pending
	:: else
	fi
}

proctype thread(byte t)
{
	byte calls, n, h, seen, pending;

	do
	:: calls == CALLS -> break
	:: calls < CALLS ->
#ifdef FORK
		if
		:: t != 0 || calls != CALLS - 1
		:: t == 0 && calls == CALLS - 1 ->
fork:
			LOCK_ALL;
#ifndef MUT_FORK
			do
			:: n < THREADS && enlisted[n] -> LOCK(n); flush(n); UNLOCK(n); n++
			:: n < THREADS && !enlisted[n] -> n++
			:: n == THREADS -> n = 0; break
			od;
			run child(0, 0);
#else
			run child(flushed_to[t], PENDING);
#endif
			UNLOCK_ALL
		fi;
#endif
		atomic {
			calls++;
			if
			:: n = 1
#if BATCH > 1
			:: n = BATCH
#endif
			fi;
			if
			:: h = 1
			:: !closing -> h = 2; users++
			fi
		};
#ifdef MUT_EARLY
		count();
#endif
publish:
		published[h] = published[h] + n;
#ifndef MUT_EARLY
		count();
#endif
		atomic { users = (h == 2 -> users - 1 : users); n = 0; h = 0 }
	od;

leave:
	LOCK_ALL;
#ifndef MUT_LEAVE
	LOCK(t);
	unbind(t);
	UNLOCK(t);
#endif
	enlisted[t] = false;
	UNLOCK_ALL;
	gone++
}

proctype closer()
{
	byte t, seen;

	closing = true;
	users == 0;
#ifndef MUT_FORGET
forget:
	LOCK_ALL;
	do
	:: t < THREADS ->
		if
		:: enlisted[t] ->
			LOCK(t);
			if
			:: flushed_to[t] == 2 -> unbind(t)
			:: else
			fi;
			UNLOCK(t)
		:: else
		fi;
		t++
	:: t == THREADS -> break
	od;
	UNLOCK_ALL;
#endif
	atomic {
		closed = true;
		inexact = page[2] != published[2];
#ifndef MUT_FORGET
		assert(!inexact)
#endif
	};
	gone++
}

active proctype judge()
{
	atomic {
		over = page[1] > published[1] || page[2] > published[2];
		assert(!over);
		lacking = published[1] + published[2] - page[1] - page[2] >
			  THREADS * (THRESHOLD - 1 + BATCH);
		assert(!lacking);
		inexact = gone == THREADS + 1 &&
			  (page[1] != published[1] || page[2] != published[2]);
		assert(!inexact)
	}
}

init {
	byte t;

	atomic {
		do
		:: t == THREADS -> break
		:: t < THREADS -> run thread(t); t++
		od;
		run closer();
		t = 0
	}
}
