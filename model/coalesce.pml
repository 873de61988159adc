/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * coalesce.pml - a subscriber that waits for several messages is woken for them, and has a timer
 *
 * Mirrors:
 *
 *	publisher	look		wake_due() of userlib/publish.c, ronbus_pub_notify_audience()
 *			notify		ronbus_bus_notify(), ronbus_coalesce_notify(): ronbus_backlog_wakes()
 *	subscriber	ready		ronbus_coalesce_readable(), ronbus_embedded_coalesced():
 *					ronbus_backlog_look_for_many()
 *			arm		ronbus_sub_arm(), ronbus_sub_arm_coalescing() of both:
 *					ronbus_backlog_arm_for_many()
 *	timer				expired(), run_timer(): ronbus_backlog_expire()
 *	settle(), count_on(), enough()	ronbus_backlog_settle(), ronbus_backlog_count_on(),
 *					ronbus_backlog_ready()
 *	closer				ronbus_bus_end_if_due(), ronbus_embedded_end_if_due()
 *	leave				ronbus_sub_end(), ronbus_sub_free() (-DLEAVE)
 *
 * Two publishers of MSGS messages, a subscriber that waits for K of them or its timer, and reads
 * one or all of what is there. Counting is the subscriber's: without a lock it counts what is there,
 * then stores that and settles, under its lock; publishers go on from what is stored.
 *
 * -DOTHERS: the messages of one publisher are for others. -DBUDGET: whoever goes on counting under
 * the lock may have to stop anywhere. -DCLOSE: the bus ends at any time; nothing is published after
 * that. -DTWO: two threads wait for the subscriber, and either may leave the reading to the other
 * when it has waited; -DEVENTFD: the second asks to be armed, and then waits for the eventfd.
 * -DLEAVE: a first subscriber, armed or deferred, leaves at any time, and the modelled one takes its
 * index. The embedded transport has one lock where the module has several, so that fewer steps come
 * between those of another: what holds here holds there.
 *
 * Shows: when nothing moves any more, and before the timer has its turn, no thread sleeps with K
 * messages in front of it, nor with any if no timer runs, nor at the end of the bus. With the timer,
 * not with any message at all; and never with one of those it was woken for. A timer that runs for
 * a message is not begun again while the message is the first (delayed). Nobody looks at a subscriber
 * that is freed (touched), or does anything to the bits of the next one with its index. And the bit
 * in blocked stands only for a message that is being written (bothered).
 *
 * The time that passes is no time: the timer goes off at any moment while it runs (-DTIMER), or
 * never, which is what shows that K alone is enough.
 *
 * A store is not visible at once: READY, wake_next and the bit in armed wait in a buffer of one
 * entry until memory() drains it. Full barriers wait for that. With two threads, or two subscribers,
 * they are visible at once, to have fewer states.
 *
 * Mutations, of which each must fail:
 *
 *	MUT_D		barrier D: the look at armed and wake_next before READY is visible
 *	MUT_D2		barrier D': the second look before they are visible
 *	MUT_RECHECK	no second look
 *	MUT_NEXT	publishers do not look at wake_next
 *	MUT_BUSY	where there may be enough does not heed a message that is being written
 *	MUT_START	a timer is started by notifications only, not by what arming finds
 *	MUT_CLAIMED	the second look does not mind a message that is being written since the first
 *	MUT_LATE	the timer wakes nobody (-DTIMER)
 *	MUT_DUE		what was there when it was woken is no longer due when one of it is read
 *	MUT_CLOSE	the end of the bus wakes only those that are armed (-DCLOSE)
 *	MUT_ENDED	the end is not enough of a reason (-DCLOSE)
 *	MUT_STICKY	the bit in blocked is set, and never cleared: 0.1.0 (-DOTHERS)
 *	MUT_BEYOND	a publisher that cannot go on counting puts it off (-DBUDGET)
 *	MUT_CANCEL	a publisher that cannot go on counting cancels the timer, as when there is
 *			enough (-DBUDGET)
 *	MUT_CURSOR	the timer is told by the cursor, not by the first message (-DOTHERS -DBUDGET)
 *	MUT_STALE	a count that is older than the one that is stored replaces it (-DTWO)
 *	MUT_RELIED	a thread that finds enough messages wakes nobody (-DTWO)
 *	MUT_QUEUE	a thread that finds enough messages does not signal the eventfd: 0.1.0
 *			(-DEVENTFD)
 *	MUT_FREE	a subscriber that leaves is freed at once: 0.1.0 (-DLEAVE)
 *	MUT_DEAD	a subscriber that leaves is deferred and armed all the same: 0.1.0 (-DLEAVE)
 *	MUT_TIMER	the timer is cancelled before it cannot be started any more (-DLEAVE -DTIMER)
 */
#ifndef MSGS
#define MSGS 1
#endif
#ifndef K
#define K 2
#endif
#ifdef EVENTFD
#define TWO
#endif
#ifdef TWO
#define THREADS 2
#else
#define THREADS 1
#endif
#ifdef LEAVE
#define SUBS 2
#else
#define SUBS 1
#endif
#if !defined(TWO) && !defined(LEAVE)
#define BUFFERED
#endif
#define MAIN (SUBS - 1) /* the one that is modelled */
#define PUBS 2
#define MAX (PUBS * MSGS + 1)
#define NEVER 255

#define BUSY 1
#define READY 2

byte kind[MAX];
bool want[MAX];
byte tail;
bool armed, blocked, ended;
byte wake_next = NEVER;
byte owner = 1; /* of the bit: 0 nobody, or a subscriber, plus 1 */

/* Of a subscriber. */
byte cursor[SUBS];
bool locked[SUBS], dead[SUBS];
byte wake_at[SUBS] = NEVER;
byte due[SUBS], from[SUBS], upto[SUBS], have[SUBS];
bool more[SUBS];
bool running[SUBS], calling[SUBS]; /* its timer, and what the timer calls */
byte timed[SUBS];

bool asleep[THREADS]; /* in the queue */
bool waits; /* for the eventfd */
bool event; /* signalled */

byte ready[PUBS]; /* store buffers: a position to be READY, plus 1 */
bool arming, moving; /* and of whoever has the lock: armed to be set, wake_next to become next */
byte next;

/* For the proof. */
bool stuck, untimed, unread, delayed, touched, bothered;
byte clock[SUBS]; /* the message that the timer was last started for, plus 1 */
byte gone; /* publishers that have left */
bool inside[PUBS]; /* between looking a subscriber up and having done with it */
bool freed[SUBS];

#define TOUCH touched = freed[s]; assert(!touched)

#define LOCK \
	atomic { !locked[s] -> locked[s] = true; TOUCH }
#define UNLOCK locked[s] = false

#define COUNT(n, at)                                                           \
	do                                                                    \
	:: at < MAX && kind[at] == READY && n < K -> n = n + want[at]; at++      \
	:: else -> break                                                      \
	od

/* ronbus_sub_wake() of s. */
#ifdef TWO
#define WAKE_QUEUE asleep[0] = asleep[0] && s != MAIN; asleep[1] = asleep[1] && s != MAIN
#else
#define WAKE_QUEUE asleep[0] = asleep[0] && s != MAIN
#endif
#define WAKE WAKE_QUEUE; event = event || s == MAIN

#ifdef BUFFERED
#define DRAINED !moving && !arming
#define NEXT (moving -> next : wake_next)
#define MOVE(to) next = to; moving = true
#define ARM arming = true
#else
#define DRAINED skip
#define NEXT wake_next
#define MOVE(to) wake_next = to
#define ARM armed = true
#endif

#ifdef MUT_ENDED
#define ENDED false
#else
#define ENDED ended
#endif

inline count_on()
{
	TOUCH;
	if
	:: cursor[s] != from[s] ->
		from[s] = cursor[s];
		upto[s] = cursor[s];
		have[s] = 0;
		more[s] = false
	:: else
	fi;
	do
#ifdef BUDGET
	:: kind[upto[s]] == READY && have[s] < K -> more[s] = true; break
#endif
	:: kind[upto[s]] == READY && have[s] < K -> have[s] = have[s] + want[upto[s]]; upto[s]++
	:: else -> break
	od
}

/* Sets @is. */
inline enough()
{
	if
	:: ENDED -> is = true
#ifndef MUT_BEYOND
	:: !ENDED && more[s] -> is = true
	:: !ENDED && !more[s] && have[s] == 0 -> is = false
#else
	:: !ENDED && have[s] == 0 -> is = false
#endif
	:: else ->
		due[s] = (have[s] >= K -> upto[s] : due[s]);
#ifdef MUT_DUE
		is = have[s] >= K
#else
		is = from[s] < due[s]
#endif
	fi
}

/* To @until. */
inline set_wake_at()
{
	if
	:: wake_at[s] != until ->
		old = wake_at[s];
		wake_at[s] = until;
		if
		:: until < NEXT -> MOVE(until)
		:: until > old && old == NEXT ->
			MOVE((owner != 0 -> wake_at[(owner + SUBS - 1) % SUBS] : NEVER))
		:: else
		fi;
		old = 0
	:: else
	fi;
	until = 0
}

inline start_timer()
{
	first = from[s];
	do
	:: want[first] -> break
	:: else -> first++
	od;
	if
#ifdef MUT_START
	:: !notified
#endif
#ifdef MUT_CURSOR
	:: running[s] && timed[s] == from[s]
#else
	:: running[s] && timed[s] == first
#endif
	:: else ->
#ifdef MUT_CURSOR
		timed[s] = from[s];
#else
		timed[s] = first;
#endif
		running[s] = true;
		delayed = s == MAIN && clock[s] == first + 1 && !calling[s];
		assert(!delayed);
		clock[s] = first + 1
	fi;
	first = 0
}

/* Sets @is. With the lock. */
inline settle()
{
	atomic { count_on(); enough() };
	do
	:: is -> break
	:: else ->
		atomic { edge = upto[s]; busy = kind[edge] != 0 }; /* ronbus_ring_claimed() */
		if
		:: have[s] > 0 ->
			atomic {
#ifdef MUT_BUSY
				until = edge + K - have[s];
#else
				until = (busy -> edge + 1 : edge + K - have[s]);
#endif
				set_wake_at();
				start_timer()
			}
		:: else ->
			atomic { until = NEVER; set_wake_at() };
#ifdef MUT_STICKY
			blocked = blocked || busy;
#else
			blocked = busy;
#endif
			DRAINED;
			ARM
		fi;
#ifndef MUT_D2
		DRAINED; /* barrier D' */
#endif
#ifdef MUT_RECHECK
		is = false;
		break;
#else
		atomic { count_on(); enough() };
		atomic {
			if
#ifdef MUT_CLAIMED
			:: !is && upto[s] == edge -> break
#else
			:: !is && upto[s] == edge && (kind[edge] != 0) == busy ->
#if defined(OTHERS) && !defined(LEAVE)
				bothered = wake_at[s] == NEVER && armed && blocked && kind[edge] == 0;
				assert(!bothered);
#endif
				break
#endif
			:: else
			fi
		};
		DRAINED;
		atomic {
			if
			:: wake_at[s] == NEVER && !armed -> is = false; break
			:: wake_at[s] == NEVER && armed -> armed = false
			:: else
			fi
		}
#endif
	od;
	if
	:: is ->
		DRAINED;
		atomic {
			until = NEVER; set_wake_at();
#ifdef MUT_CANCEL
			running[s] = false
#else
			running[s] = running[s] && more[s]
#endif
		}
	:: else
	fi;
	atomic { edge = 0; busy = false }
}

/* Called by the thread that took the bit of s, or found s deferred until now. */
inline put_off(took)
{
	LOCK;
	if
#ifndef MUT_DEAD
	:: dead[s]
	:: !dead[s] && (took || wake_at[s] != NEVER) ->
#else
	:: took || wake_at[s] != NEVER ->
#endif
		settle();
		atomic {
			if
			:: is -> WAKE
			:: else
			fi;
			is = false
		}
	:: else
	fi;
	UNLOCK
}

#ifdef BUFFERED
active proctype memory()
{
end:
	do
	:: atomic { ready[0] != 0 -> kind[ready[0] - 1] = READY; ready[0] = 0 }
	:: atomic { ready[1] != 0 -> kind[ready[1] - 1] = READY; ready[1] = 0 }
	:: atomic { moving -> wake_next = next; moving = false }
	:: atomic { arming -> armed = true; arming = false }
	od
}
#endif

proctype publisher(byte me)
{
	byte sent, pos, edge, until, old, first, s;
	bool is, busy, won, due_now, notified = true;

	do
	:: sent < MSGS ->
		atomic {
			pos = tail;
			kind[pos] = BUSY;
#ifdef OTHERS
			want[pos] = me == 0;
#else
			want[pos] = true;
#endif
			tail++
		};
#ifdef BUFFERED
		ready[me] = pos + 1;
#ifndef MUT_D
		ready[me] == 0; /* barrier D */
#endif
#else
		kind[pos] = READY;
#endif
		won = armed;
#ifdef OTHERS
		won = won && (want[pos] || blocked);
#endif
#ifndef MUT_NEXT
		due_now = pos + 1 >= wake_next;
#endif
		if
		:: won || due_now ->
			inside[me] = true;
			atomic { won = won && armed; armed = armed && !won };
			atomic { s = owner; won = won && s != 0; s = (s != 0 -> s - 1 : 0) };
			if
			:: won -> put_off(true)
			:: else
			fi;
#ifndef MUT_NEXT
			atomic { due_now = owner != 0; s = (owner != 0 -> owner - 1 : 0) };
			due_now = due_now && wake_at[s] != NEVER && tail >= wake_at[s];
			if
			:: due_now -> put_off(false)
			:: else
			fi;
#endif
			inside[me] = false
		:: else
		fi;
		atomic { sent++; won = false; due_now = false; pos = 0; s = 0 }
	:: else -> break
	od;
	atomic { ready[me] == 0 -> gone++ }
}

/* Counts without the lock, and stores that: ronbus_coalesce_readable(). Sets @is. */
inline look_ahead()
{
	atomic { begun = cursor[s]; at = begun; n = 0; COUNT(n, at) };
	LOCK;
	atomic {
		if
#ifdef MUT_STALE
		:: true ->
#else
		:: begun == cursor[s] && (begun != from[s] || at >= upto[s]) ->
#endif
			from[s] = begun;
			upto[s] = at;
			have[s] = n;
			more[s] = false
#ifndef MUT_STALE
		:: else -> count_on()
#endif
		fi;
		enough();
		if
		:: !is && have[s] > 0 -> start_timer()
		:: else
		fi;
		begun = 0;
		at = 0;
		n = 0
	};
	UNLOCK
}

proctype subscriber(byte me)
{
	byte edge, until, old, first, begun, at, n, s;
	bool is, busy, relied, notified;

#ifdef LEAVE
	/* The first one: armed or deferred, or neither, when it leaves. */
	s = 0;
	look_ahead();
	if
	:: !is ->
		LOCK;
		settle();
		UNLOCK
	:: true
	fi;
	is = false;
	owner = 0;
#ifdef MUT_TIMER
	atomic { !calling[0] -> running[0] = false };
#endif
	LOCK;
	dead[0] = true;
	DRAINED;
	atomic { until = NEVER; set_wake_at() };
	UNLOCK;
#ifndef MUT_TIMER
	atomic { !calling[0] -> running[0] = false };
#endif
	DRAINED;
	armed = false;
	blocked = false;
	run reclaim();
	s = 1;
	atomic { owner = 2; cursor[1] = tail }; /* join.pml has that in steps */
#endif

arm:
#ifdef EVENTFD
	asleep[me] = me == 0; /* in the queue */
	event = event && me == 0;
#else
	asleep[me] = true; /* in the queue */
#endif
	look_ahead();
	if
	:: is -> goto awake
	:: else
	fi;
	LOCK;
	DRAINED;
	atomic { relied = armed || wake_at[s] != NEVER; armed = false };
	settle();
	UNLOCK;
	if
	:: is && relied ->
#if defined(MUT_QUEUE)
		atomic { WAKE_QUEUE };
#elif !defined(MUT_RELIED)
		atomic { WAKE };
#endif
		goto awake
	:: is && !relied -> goto awake
	:: else
	fi;
sleep:
#ifdef EVENTFD
	waits = waits || me == 1;
end:
	(me == 0 && !asleep[me]) || (me == 1 && event);
	waits = waits && me == 0;
#else
end:
	!asleep[me];
#endif
awake:
	/* It reads one, or all there are. If there is none, it goes back to sleep. */
	atomic {
		asleep[me] = false;
		is = false;
		relied = false;
		if
		:: do
			:: cursor[s] < MAX && kind[cursor[s]] == READY -> cursor[s]++
			:: else -> break
			od
		:: kind[cursor[s]] == READY -> cursor[s]++
		:: true
#ifdef TWO
		:: goto done /* it has other things to do, and does not come back */
#endif
		fi
	};
	if
	:: ended && kind[cursor[s]] != READY
	:: else -> goto arm
	fi;
done:
	skip
}

#ifdef LEAVE
/* A thread that found the first subscriber before it left has done with it: a grace period. */
proctype reclaim()
{
#ifndef MUT_FREE
	!inside[0];
	!inside[1];
#endif
	freed[0] = true
}
#endif

#ifdef TIMER
proctype timer(byte s)
{
	byte edge, until, old, first;
	bool is, busy, notified = true;

end:
	do
	:: atomic { running[s] -> running[s] = false; calling[s] = true };
		LOCK;
		if
		:: dead[s]
		:: !dead[s] && cursor[s] >= upto[s] ->
			if
			:: wake_at[s] != NEVER -> settle()
			:: else
			fi
		:: else ->
			atomic { due[s] = (upto[s] > tail -> upto[s] : tail); is = wake_at[s] != NEVER };
			DRAINED;
			atomic { until = NEVER; set_wake_at() }
		fi;
		UNLOCK;
		atomic {
			if
#ifndef MUT_LATE
			:: is -> WAKE
#endif
			:: else
			fi;
			is = false;
			calling[s] = false
		}
	od
}
#endif

#ifdef CLOSE
active proctype closer()
{
	byte until, old, s = MAIN;
	bool won;

end:
	atomic { gone == PUBS -> ended = true };
	atomic { won = armed; armed = false };
#ifdef MUT_CLOSE
	atomic {
		if
		:: won -> WAKE
		:: else
		fi
	};
#else
	atomic { WAKE };
#endif
	LOCK;
	DRAINED;
	atomic { until = NEVER; set_wake_at() };
	UNLOCK
}
#endif

active proctype judge()
{
	byte n, at;

	atomic {
		timeout ->
		at = cursor[MAIN];
		COUNT(n, at);
#if THREADS > 1
#define SLEEPS (asleep[0] || asleep[1] || (waits && !event))
#else
#define SLEEPS asleep[0]
#endif
		stuck = SLEEPS && (n >= K || ended);
		assert(!stuck);
		untimed = SLEEPS && n > 0 && !running[MAIN];
		assert(!untimed);
		unread = SLEEPS && n > 0 && cursor[MAIN] < due[MAIN];
		assert(!unread)
	}
}

init {
	atomic {
#ifdef TIMER
		run timer(MAIN);
#ifdef LEAVE
		run timer(0);
#endif
#endif
		run publisher(0);
		run publisher(1);
#ifdef TWO
		run subscriber(1);
#endif
		run subscriber(0)
	}
}
