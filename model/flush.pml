/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * flush.pml - counters kept by threads and flushed every THRESHOLD messages into a page that
 * outlives the process
 *
 * Mirrors userlib/metrics.c and the inlines of libronbus.h:
 *
 *	thread	publish		ronbus_publish(), ronbus_publish_many()
 *		count		__ronbus_count_inline(), __ronbus_count_thread()
 *		slow		ronbus_metrics_count()
 *		flush		flush(), count_directly()
 *		leave		thread_exits()
 *	closer	flush_all()
 *
 * THREADS threads with CALLS calls each, a call publishing up to BATCH messages, which either have
 * receivers (written) or have none (unwanted). The closer flushes for the others while they count.
 * The process may die at any step: what holds then must hold all the time, and the judge looks at
 * any time.
 *
 * Shows, of both counters in the page:
 *
 *  - never over: they count no message that was not published;
 *  - short by little: at most THRESHOLD messages a thread are missing if messages are published one
 *    by one. With batches, at most THRESHOLD - 1 and the batch that was just published;
 *  - exact, when all threads have left.
 *
 * Mutations, of which each must fail:
 *
 *	MUT_EARLY	a message is counted before it is published
 *	MUT_LOCK	who flushes does not take the thread's lock
 *	MUT_ZERO	who flushes sets the thread's counters to zero
 *	MUT_LATE	a flush one message behind the threshold
 *	MUT_DERIVED	messages written are the calls less the unwanted ones, from two looks
 */
#ifndef THREADS
#define THREADS 2
#endif
#ifndef CALLS
#define CALLS 3
#endif
#ifndef BATCH
#define BATCH 1
#endif
#define THRESHOLD 2

#define WRITTEN 0
#define UNWANTED 1

#define AT(t, kind) ((t) * 2 + (kind))

/* The page. Eight bits, as good as 64: they wrap around in the same way. */
byte page[2];

/* A thread's memory. */
byte counted[THREADS * 2];
byte flushed[THREADS * 2];
byte flush_at[THREADS];
bool locked[THREADS];

/* For the proof: what was published, and how many threads have left. */
byte published[THREADS * 2];
byte left;
bool over, lacking, inexact;

#ifdef MUT_LOCK
#define LOCK(t) skip
#define UNLOCK(t) skip
#else
#define LOCK(t) atomic { !locked[t] -> locked[t] = true }
#define UNLOCK(t) locked[t] = false
#endif

/* flush(), count_directly(): of one counter of thread t, with its lock. */
#ifndef MUT_DERIVED
inline flush_one(t, kind)
{
	seen = counted[AT(t, kind)];
	page[kind] = page[kind] + seen - flushed[AT(t, kind)]; /* atomic */
#ifdef MUT_ZERO
	counted[AT(t, kind)] = 0;
#else
	flushed[AT(t, kind)] = seen;
#endif
	seen = 0
}

inline flush(t)
{
	flush_one(t, WRITTEN);
	flush_one(t, UNWANTED)
}
#else
/* Here counted[WRITTEN] has all calls, and the written ones are what is left of them. */
inline flush(t)
{
	seen = counted[AT(t, WRITTEN)];
	unwanted = counted[AT(t, UNWANTED)];
	if
	:: seen == flushed[AT(t, WRITTEN)]
	:: else ->
		page[WRITTEN] = page[WRITTEN] + (seen - flushed[AT(t, WRITTEN)]) -
				(unwanted - flushed[AT(t, UNWANTED)]);
		page[UNWANTED] = page[UNWANTED] + unwanted - flushed[AT(t, UNWANTED)];
		flushed[AT(t, WRITTEN)] = seen;
		flushed[AT(t, UNWANTED)] = unwanted
	fi;
	seen = 0;
	unwanted = 0
}
#endif

#ifdef MUT_DERIVED
#define CALLED(t) counted[AT(t, WRITTEN)]
#else
#define CALLED(t) (counted[AT(t, WRITTEN)] + counted[AT(t, UNWANTED)])
#endif

/* __ronbus_bump(): a load and a store, but nobody else stores. */
inline bump()
{
#ifdef MUT_DERIVED
	counted[AT(t, WRITTEN)] = counted[AT(t, WRITTEN)] + n;
	if
	:: kind == UNWANTED -> counted[AT(t, UNWANTED)] = counted[AT(t, UNWANTED)] + n
	:: else
	fi
#else
	counted[AT(t, kind)] = counted[AT(t, kind)] + n
#endif
}

inline count()
{
	if
#ifdef MUT_LATE
	:: CALLED(t) + n <= flush_at[t] ->
#else
	:: CALLED(t) + n < flush_at[t] ->
#endif
		bump()
	:: else ->
slow:
		LOCK(t);
		bump();
		flush(t);
		flush_at[t] = CALLED(t) + THRESHOLD;
		UNLOCK(t)
	fi
}

proctype thread(byte t)
{
	byte calls, n, kind, seen;
#ifdef MUT_DERIVED
	byte unwanted;
#endif

	do
	:: calls == CALLS -> break
	:: calls < CALLS ->
		atomic {
			calls++;
			if
			:: n = 1
#if BATCH > 1
			:: n = BATCH
#endif
			fi;
			if
			:: kind = WRITTEN
			:: kind = UNWANTED
			fi
		};
#ifdef MUT_EARLY
		count();
#endif
publish:
		published[AT(t, kind)] = published[AT(t, kind)] + n;
#ifndef MUT_EARLY
		count();
#endif
		atomic { n = 0; kind = 0 }
	od;

leave:
	LOCK(t);
	flush(t);
	UNLOCK(t);
	left++
}

proctype closer()
{
	byte t, seen;
#ifdef MUT_DERIVED
	byte unwanted;
#endif

	do
	:: t == THREADS -> break
	:: t < THREADS ->
		LOCK(t);
		flush(t);
		UNLOCK(t);
		t++
	od;
	left++
}

#if THREADS == 1
#define ALL(kind) published[AT(0, kind)]
#elif THREADS == 2
#define ALL(kind) (published[AT(0, kind)] + published[AT(1, kind)])
#endif

active proctype judge()
{
	atomic {
		over = page[WRITTEN] > ALL(WRITTEN) || page[UNWANTED] > ALL(UNWANTED);
		assert(!over);
		lacking = ALL(WRITTEN) + ALL(UNWANTED) - page[WRITTEN] - page[UNWANTED] >
			  THREADS * (THRESHOLD - 1 + BATCH);
		assert(!lacking);
		inexact = left == THREADS + 1 &&
			  (page[WRITTEN] != ALL(WRITTEN) || page[UNWANTED] != ALL(UNWANTED));
		assert(!inexact)
	}
}

init {
	byte t;

	atomic {
		do
		:: t == THREADS -> break
		:: t < THREADS -> flush_at[t] = THRESHOLD; run thread(t); t++
		od;
		run closer();
		t = 0
	}
}
