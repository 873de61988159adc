/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * coalesce.pml - who waits for several messages is woken for them, and never without a timer
 *
 * Mirrors:
 *
 *	publisher	look		wake_due() of userlib/publish.c, notify_audience()
 *			notify		ronbus_notify(), ronbus_coalesce_notify(): put_off()
 *	subscriber	arm		ronbus_coalesce_arm()
 *	timer				expired(); go_off() of userlib/embedded.c
 *	settle()			settle(), enough(), expected() of both
 *	closer				ronbus_bus_end_if_due(); end()
 *
 * Two publishers of MSGS messages, a subscriber that waits for K of them or its timer, and reads
 * one or all of what is there. -DCLOSE: the bus ends at any time; nothing is published behind that.
 *
 * Shows: when nothing moves any more, and before the timer has its turn, the subscriber does not
 * sleep with K messages in front of it, nor with any if no timer runs, nor at the end of the bus.
 * With the timer, not with any message at all; and never with one of those it was woken for.
 *
 * The time that passes is no time: the timer goes off at any moment while it runs (-DTIMER), or
 * never, which is what shows that K alone is enough.
 *
 * A store is not visible at once: READY, wake_next and the bit in armed wait in a buffer of one
 * entry until memory() drains it. Full barriers wait for that. settle() has the lock.
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
 *	MUT_CLOSE	the end of the bus wakes only who is armed (-DCLOSE)
 *	MUT_ENDED	the end is not enough of a reason (-DCLOSE)
 */
#ifndef MSGS
#define MSGS 2
#endif
#ifndef K
#define K 2
#endif
#define PUBS 2
#define MAX (PUBS * MSGS + 1)
#define NEVER 255

#define BUSY 1
#define READY 2

byte kind[MAX];
byte tail, cursor;
bool armed, asleep, running, ended;
byte wake_at = NEVER;
byte due;
bool locked;

byte ready[PUBS]; /* store buffers: a position to be READY, plus 1 */
bool arming, moving; /* and of whoever has the lock: armed to be set, wake_at to become next */
byte next;

bool stuck, untimed, unread;
byte gone; /* publishers that have left */

#define COUNT(n, upto)                                                         \
	n = 0;                                                                \
	upto = cursor;                                                         \
	do                                                                    \
	:: upto < MAX && kind[upto] == READY && n < K -> n++; upto++             \
	:: else -> break                                                      \
	od

#ifdef MUT_ENDED
#define ENDED false
#else
#define ENDED ended
#endif

/* enough(): @n and @upto are set, and whether it is. Under the lock. */
inline enough(late)
{
	COUNT(n, upto);
	if
	:: ENDED -> is = true
	:: !ENDED && n == 0 -> is = false
	:: else ->
		due = (n >= K || (late) -> upto : due);
#ifdef MUT_DUE
		is = n >= K || (late)
#else
		is = cursor < due
#endif
	fi
}

/* Sets @is. */
inline settle(late)
{
	do
	:: atomic { enough(late) };
		if
		:: is -> break
		:: else
		fi;
		busy = kind[upto] == BUSY;
		was = n;
		before = upto;
		if
		:: n > 0 ->
#ifdef MUT_BUSY
			next = upto + K - n;
#else
			next = (busy -> upto + 1 : upto + K - n);
#endif
			moving = true;
#ifdef MUT_START
			running = running || notified
#else
			running = true
#endif
		:: else ->
			!moving && !arming;
			next = NEVER;
			moving = true;
			arming = true
		fi;
#ifndef MUT_D2
		!moving && !arming; /* barrier D' */
#endif
#ifdef MUT_RECHECK
		is = false;
		break;
#else
		atomic {
			enough(late);
			if
#ifdef MUT_CLAIMED
			:: !is && upto == before -> break
#else
			:: !is && upto == before && (kind[upto] == BUSY) == busy -> break
#endif
			:: else
			fi
		};
		!moving && !arming;
		atomic {
			if
			:: was == 0 && !armed -> is = false; break
			:: was == 0 && armed -> armed = false
			:: else
			fi
		}
#endif
	od;
	if
	:: is -> !moving && !arming; atomic { wake_at = NEVER; running = false }
	:: else
	fi
}

#define LOCK atomic { !locked -> locked = true }
#define UNLOCK locked = false

active proctype memory()
{
end:
	do
	:: atomic { ready[0] != 0 -> kind[ready[0] - 1] = READY; ready[0] = 0 }
	:: atomic { ready[1] != 0 -> kind[ready[1] - 1] = READY; ready[1] = 0 }
	:: atomic { moving -> wake_at = next; moving = false }
	:: atomic { arming -> armed = true; arming = false }
	od
}

proctype publisher(byte me)
{
	byte sent, pos, n, upto, was, before;
	bool is, won, busy, notified = true;

	do
	:: sent < MSGS ->
		atomic { pos = tail; kind[pos] = BUSY; tail++ };
		ready[me] = pos + 1;
#ifndef MUT_D
		ready[me] == 0; /* barrier D */
#endif
		won = armed;
#ifdef MUT_NEXT
		is = false;
#else
		is = pos + 1 >= wake_at;
#endif
		if
		:: won || is ->
			atomic { won = armed; armed = false };
			LOCK;
			if
			:: won || (wake_at != NEVER && tail >= wake_at) ->
				settle(false);
				atomic { asleep = asleep && !is }
			:: else
			fi;
			UNLOCK
		:: else
		fi;
		atomic { sent++; is = false; won = false; busy = false; n = 0; upto = 0; was = 0; before = 0; pos = 0 }
	:: else -> break
	od;
	atomic { ready[me] == 0 -> gone++ }
}

proctype subscriber()
{
	byte n, upto, was, before;
	bool is, busy, notified;

arm:
	atomic { asleep = true }; /* in the queue */
	LOCK;
	armed = false;
	settle(false);
	UNLOCK;
	asleep = asleep && !is;
sleep:
end:
	!asleep;
	/* It reads one, or all there are; there may be none. */
	if
	:: atomic {
		do
		:: cursor < MAX && kind[cursor] == READY -> cursor++
		:: else -> break
		od
	}
	:: atomic { kind[cursor] == READY -> cursor++ }
	fi;
	atomic { n = 0; upto = 0; was = 0; before = 0; is = false; busy = false };
	if
	:: ended && kind[cursor] != READY
	:: else -> goto arm
	fi
}

#ifdef TIMER
active proctype timer()
{
	byte n, upto, was, before;
	bool is, busy, notified;

end:
	do
	:: atomic { running && !locked -> running = false; locked = true };
		if
		:: wake_at != NEVER ->
#ifdef MUT_LATE
			skip;
#else
			settle(true);
#endif
			atomic { asleep = asleep && !is }
		:: else -> atomic { enough(true) }
		fi;
		UNLOCK;
		atomic { n = 0; upto = 0; was = 0; before = 0; is = false; busy = false }
	od
}
#endif

#ifdef CLOSE
active proctype closer()
{
	bool won;

end:
	atomic { gone == PUBS -> ended = true };
	atomic { won = armed; armed = false };
#ifdef MUT_CLOSE
	asleep = asleep && !won;
#else
	asleep = false;
#endif
	LOCK;
	wake_at = NEVER;
	UNLOCK
}
#endif

active proctype judge()
{
	byte n, upto;

	atomic {
		timeout ->
		COUNT(n, upto);
		stuck = asleep && (n >= K || ended);
		assert(!stuck);
		untimed = asleep && n > 0 && !running;
		assert(!untimed);
		unread = asleep && n > 0 && cursor < due;
		assert(!unread)
	}
}

init {
	atomic {
		run publisher(0);
		run publisher(1);
		run subscriber()
	}
}
