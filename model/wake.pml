/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * wake.pml - a thread that sleeps is woken: arm, re-check, NOTIFY
 *
 * Mirrors:
 *
 *	publisher	claim, commit	__ronbus_publish_to(), ronbus_pub_put_message(); the ring is but a list here
 *			look		__ronbus_must_notify(), __ronbus_published(), ronbus_pub_notify_audience()
 *			notify		ronbus_bus_notify(): notify_all()
 *			died		ronbus_pub_repair() (-DDEATH)
 *	waiter		recv		ronbus_try_recv(), ronbus_sub_take_record()
 *			wait, asleep	ronbus_sub_wait(), ronbus_sub_poll()
 *			arm, disarm	ronbus_sub_arm(): ronbus_sub_arm_for_any(); ronbus_backlog_arm(), disarm()
 *
 * cancel.pml has the sleep itself.
 *
 * Two publishers, two subscribers with a thread each. -DSHARED: the two threads wait for one
 * subscriber, and the second one may leave the reading to the first any time it is woken.
 * -DWAITERS=3: a second thread waits for the first subscriber. -DMSGS=n messages each.
 *
 * Shows: no lost wake-up. When nothing moves any more, no thread sleeps for a subscriber that has
 * something to see at its cursor, be it a message or a hole. That holds too
 *
 *  - if publisher 1 dies at any step and is repaired (-DDEATH);
 *  - if it stops for ever at any step (-DSTOP), but for this: if it stops when its message is
 *    visible and NOTIFY not yet called, and nobody has looked at armed since, a subscriber may be
 *    asleep with that message at its cursor, and with later ones that became visible
 *    earlier. Its bit is still set then, and whoever looks next wakes it. So a stopped publisher
 *    delays its own message and those that had to wait for it in the order, and no later one.
 *
 * A store is not visible at once: a READY, and a bit set in armed, wait in a buffer of one entry
 * until memory() drains it at any time. Full barriers wait for that. System calls are finished:
 * neither death nor stop comes between the steps of notify.
 *
 * Mutations, of which each must fail:
 *
 *	MUT_D		barrier D: look at armed before READY is visible
 *	MUT_D2		barrier D': look at the ring before the bit is visible
 *	MUT_RECHECK	no look at the ring after the bit is set
 *	MUT_DISARM	a thread that disarms leaves other sleepers alone (-DSHARED)
 *	MUT_Q		barrier Q: it looks for other sleepers before its bit is cleared (-DSHARED)
 *	MUT_Q2		barrier Q': the bit is set before the thread is in the queue
 *	MUT_CLEAR	notify wakes first, then clears the bit
 *	MUT_REPAIR	the death of a publisher wakes nobody (-DDEATH)
 */
#ifndef MSGS
#define MSGS 1
#endif
#ifndef WAITERS
#define WAITERS 2
#endif
#define PUBS 2

#define FREE 0
#define BUSY 1
#define READY 2
#define HOLE 3

byte kind[PUBS * MSGS + 1];
byte tail; /* first position that is not claimed */
byte cursor[2]; /* of the subscribers */

byte armed; /* a bit a subscriber */
byte queued; /* a bit a thread: it sleeps, or is about to */

byte ready[PUBS + 1]; /* a publisher's store buffer: the position to be READY, plus 1 */
bool set[WAITERS]; /* a waiter's store buffer: its bit is to be set in armed */

bool killed; /* publisher 1 does not get on */
bool inside; /* it is in a system call */
bool owes; /* its message is visible, and nobody has looked at armed since */
bool stuck;

#ifdef SHARED
#define SUB(w) 0
#define THREADS(s) ((s) == 0 -> 3 : 0)
#else
#define SUB(w) ((w) & 1)
#define THREADS(s) ((s) == 0 -> 5 : 2)
#endif
#define BIT(i) (1 << (i))

#define READABLE(s) (kind[cursor[s]] >= READY)

active proctype memory()
{
end:
	do
	:: atomic { ready[1] != 0 -> kind[ready[1] - 1] = READY; ready[1] = 0; owes = true }
	:: atomic { ready[2] != 0 -> kind[ready[2] - 1] = READY; ready[2] = 0 }
	:: atomic { set[0] -> set[0] = false; armed = armed | BIT(SUB(0)) }
	:: atomic { set[1] -> set[1] = false; armed = armed | BIT(SUB(1)) }
#if WAITERS > 2
	:: atomic { set[2] -> set[2] = false; armed = armed | BIT(SUB(2)) }
#endif
	od
}

/* ronbus_bus_notify(): clear each bit; the caller that finds it set wakes the threads. */
inline notify_all()
{
	do
	:: atomic {
		mask != 0 ->
		inside = inside || me == 1;
		s = (mask & 1 -> 0 : 1);
		mask = mask & ~BIT(s);
		won = (armed & BIT(s)) != 0;
#ifndef MUT_CLEAR
		armed = armed & ~BIT(s)
#endif
	};
	atomic {
		queued = (won -> queued & ~THREADS(s) : queued);
		won = false
	};
#ifdef MUT_CLEAR
	armed = armed & ~BIT(s)
#endif
	:: mask == 0 -> break
	od
}

proctype publisher(byte me)
{
	byte mine; /* position held, plus 1 */
	byte mask, s, sent;
	bool won;

	{ do
	:: true ->
claim:
		atomic { kind[tail] = BUSY; tail++; mine = tail };
commit:
		atomic { ready[me] == 0 -> ready[me] = mine; mine = 0 };
#ifndef MUT_D
		ready[me] == 0; /* barrier D */
#endif
look:
		atomic { mask = armed; owes = owes && me == 1 && mask != 0 };
notify:
		notify_all();
		atomic {
			owes = owes && me != 1;
			inside = inside && me != 1;
			s = 0;
			sent++;
			if
			:: sent == MSGS -> break
			:: else
			fi
		}
	od } unless { me == 1 && killed && !inside -> goto died };
	goto end;

died:
#ifdef DEATH
	ready[me] == 0;
	atomic {
		if
		:: mine != 0 -> kind[mine - 1] = HOLE; mine = 0
		:: else
		fi
	};
#ifndef MUT_REPAIR
	mask = 3;
	notify_all();
#endif
#endif
end:
	skip
}

proctype waiter(byte w)
{
	bool won;
#ifdef MUT_Q
	byte others;
#endif

recv:
	do
	:: atomic { READABLE(SUB(w)) -> cursor[SUB(w)]++ }
#ifdef MUT_Q2
	:: !READABLE(SUB(w)) -> break
#else
	:: atomic { !READABLE(SUB(w)) -> queued = queued | BIT(w); break }
#endif
	od;
wait:
	atomic {
		if
		:: READABLE(SUB(w)) -> goto awake
		:: else
		fi
	};
arm:
	set[w] = true; /* barrier Q' */
#ifndef MUT_D2
	!set[w]; /* barrier D' */
#endif
#ifndef MUT_RECHECK
	atomic {
		if
		:: READABLE(SUB(w))
#ifdef MUT_Q2
		:: else -> queued = queued | BIT(w); goto asleep
#else
		:: else -> goto asleep
#endif
		fi
	};
disarm:
#ifdef MUT_Q
	others = queued & THREADS(SUB(w));
#endif
	atomic {
		won = set[w] || (armed & BIT(SUB(w))) != 0;
		set[w] = false;
		armed = armed & ~BIT(SUB(w))
	};
#ifdef MUT_Q
	atomic { queued = (won -> queued & ~others : queued); won = false; others = 0 };
#elif !defined(MUT_DISARM)
	/* barrier Q */
	atomic { queued = (won -> queued & ~THREADS(SUB(w)) : queued); won = false };
#endif
	goto awake;
#endif

asleep:
end:
	!(queued & BIT(w));
awake:
	atomic {
		queued = queued & ~BIT(w);
		if
		:: goto recv
#ifdef SHARED
		:: w == 1 /* it has other things to do, and does not come back */
#endif
		fi
	}
}

#ifdef STOP
#define EXCUSED(s) (owes && (armed & BIT(s)))
#else
#define EXCUSED(s) false
#endif
#define SLEEPS_ON(s) ((queued & THREADS(s)) && READABLE(s) && !EXCUSED(s))

/* Nothing moves any more. */
active proctype judge()
{
	atomic {
		timeout ->
		stuck = SLEEPS_ON(0) || SLEEPS_ON(1);
		assert(!stuck)
	}
}

init {
	atomic {
		run publisher(1);
		run publisher(2);
		run waiter(0);
#if WAITERS > 2
		run waiter(2);
#endif
		run waiter(1)
	};
#if defined(DEATH) || defined(STOP)
	killed = true
#endif
}
