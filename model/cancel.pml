/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * cancel.pml - a sleep is ended by a message, by a cancel, or by its deadline
 *
 * Mirrors:
 *
 *	waiter		begin, asleep	ronbus_sub_wait() of kmod/wake.c
 *	publisher	wake		its message, NOTIFY, ronbus_sub_wake()
 *	canceler	cancel, wake	ronbus_sub_cancel()
 *
 * and with -DFUTEX, the embedded transport's stand-in: sleep_until(), wake_sleeper(),
 * ronbus_embedded_cancel().
 *
 * In the kernel the waiter enters the queue and looks then; the waker takes the lock of the queue.
 * With -DFUTEX the waiter says that it sleeps, reads seq, looks, and sleeps only if seq is still the
 * same; the waker changes seq, and looks whether a thread sleeps. Their stores wait in buffers of
 * one entry until memory() drains them; full barriers wait for that.
 *
 * One message, or none; one cancel, or none, at any time; a deadline that may pass any time, or not.
 *
 * Shows, when nothing moves any more:
 *
 *  - a wait that began before the cancel does not sleep on;
 *  - nor does one with a message to see;
 *  - it says ECANCELED only if there was a cancel since it began, and neither that nor ETIMEDOUT if
 *    there was a message before.
 *
 * Mutations, of which each must fail:
 *
 *	MUT_LATE	cancels is read when the sleep is due, not when the wait begins
 *	MUT_BLIND	the waiter does not look at cancels before it sleeps
 *	MUT_FIRST	the cancel wakes, then counts
 *	MUT_OVER	ECANCELED goes before data
 *	MUT_QUEUE	the waiter looks, then enters the queue
 *	MUT_F		barrier F: sleepers is looked at before the new seq is visible (-DFUTEX)
 *	MUT_F2		barrier F': seq is compared before sleepers is visible (-DFUTEX)
 *	MUT_G		barrier G: seq changes before what it stands for is visible (-DFUTEX)
 *	MUT_G2		barrier G': seq is read after the looks (-DFUTEX)
 */
bool there;
byte cancels;
bool queued, asleep;
bool queue_lock;

/* -DFUTEX. */
byte seq;
bool sleepers;
bool new_seq[2]; /* store buffer of the waker: seq is to grow */
bool new_sleepers; /* of the waiter */

/* For the proof. */
bool begun, finished, canceled_since, data_before;
bool stuck, wrong;

#ifdef FUTEX
active proctype memory()
{
end:
	do
	:: atomic { new_seq[0] -> new_seq[0] = false; seq++ }
	:: atomic { new_seq[1] -> new_seq[1] = false; seq++ }
	:: atomic { new_sleepers -> new_sleepers = false; sleepers = true }
	od
}

inline wake(who)
{
	new_seq[who] = true;
#ifndef MUT_F
	!new_seq[who]; /* barrier F */
#endif
	if
	:: atomic { sleepers -> asleep = false }
	:: !sleepers
	fi
}
#else
inline wake(who)
{
	atomic { !queue_lock -> queue_lock = true };
	if
	:: atomic { queued -> queued = false; asleep = false }
	:: !queued
	fi;
	queue_lock = false
}
#endif

active proctype publisher()
{
	if
	:: skip
#ifdef MUT_G
	:: wake(0); there = true
#else
	:: there = true; wake(0) /* barrier G */
#endif
	fi
}

active proctype canceler()
{
	if
	:: skip
	:: true ->
#ifdef MUT_FIRST
		canceled_since = begun;
		wake(1);
		cancels++
#else
		atomic { cancels++; canceled_since = begun };
		wake(1)
#endif
	fi
}

#define END(ret) atomic { finished = true; wrong = (ret); assert(!wrong); goto end }

active proctype waiter()
{
	byte seen, at;
	bool expires;

begin:
	atomic { begun = true; seen = cancels; data_before = there };
	if
	:: expires = true
	:: skip
	fi;
#ifdef FUTEX
	new_sleepers = true;
#endif

	do
	:: true ->
#ifdef FUTEX
#ifndef MUT_G2
		at = seq; /* barrier G' */
#endif
#ifndef MUT_F2
		!new_sleepers; /* barrier F', and D' */
#endif
#else
#ifndef MUT_QUEUE
		atomic { !queue_lock -> queued = true; asleep = true };
#endif
#endif
#ifdef MUT_LATE
		seen = cancels;
#endif
#ifndef MUT_OVER
		if
		:: there -> END(false)
		:: !there
		fi;
#endif
#ifndef MUT_BLIND
		if
		:: cancels != seen -> END(!canceled_since || data_before)
		:: cancels == seen
		fi;
#endif
#ifdef MUT_OVER
		if
		:: there -> END(false)
		:: !there
		fi;
#endif
#ifdef FUTEX
#ifdef MUT_G2
		at = seq;
#endif
		atomic { asleep = seq == at };
#elif defined(MUT_QUEUE)
		atomic { !queue_lock -> queued = true; asleep = true };
#endif
end_asleep:
		if
		:: !asleep
		:: expires -> END(data_before)
		fi
	od;
end:
	skip
}

active proctype judge()
{
	atomic {
		timeout ->
		stuck = !finished && (there || canceled_since);
		assert(!stuck)
	}
}
