/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * interest.pml - which subscribers are woken, and for what, when they choose topics and change them
 *
 * Mirrors:
 *
 *	publisher	audience, look	ronbus_publish(), __ronbus_published(); ronbus_wake_mask()
 *	subscriber	recv		scan(), for_us(); ronbus_ring_wanted(); ronbus_sub_take_record()
 *			change		ronbus_sub_set_topics(), ronbus_sub_set_topics()
 *			arm, take back	ronbus_backlog_arm(), ronbus_backlog_look()
 *			leave, enrol	ronbus_sub_leave(), ronbus_sub_enrol() (-DREUSE)
 *
 * Two publishers with a message each (-DMSGS=n), of topic 1 and of topic 2. One subscriber that is
 * modelled, and whose choice changes at any time from topic 1 to topic 2; another one wants
 * everything, so that all is written.
 *
 * -DREUSE: two subscribers of one bit instead, the second with the other topic, in the place of the
 * first; it begins with what is there. -DSPARE: the first one leaves its bit in blocked. That holds as
 * well, since whoever arms writes it.
 *
 * -DTWO: two threads wait for the subscriber, which keeps to topic 1, and either may leave the reading
 * to the other when it has waited. -DEVENTFD: the second one asks to be armed, is told that it is, and
 * then waits for the eventfd.
 *
 * Shows: what a subscriber is delivered is what was addressed to it, and nothing it never asked for;
 * what was there when it joined it gets by topic. When nothing moves any more, it has had all of
 * that: no thread sleeps with a message for the subscriber anywhere ahead. In particular not
 *
 *  - if the message is addressed to it, and its choice has changed before the publisher looks which
 *    subscribers to wake;
 *  - if the message became visible after one that was being written, for others, whose publisher
 *    has no reason of his own to wake it;
 *  - if another thread arms, or finds that it need not, at any step of it.
 *
 * And the bit in blocked is set when a thread goes to sleep only if there is something being written
 * in its way: otherwise every publisher would call NOTIFY for nothing.
 *
 * Sequentially consistent; wake.pml has the barriers of arming.
 *
 * Mutations, of which each must fail:
 *
 *	MUT_NOW		the subscribers to wake are taken only from the audience after the commit
 *	MUT_BLOCKED	nobody is woken for a message that was in his way
 *	MUT_STICKY	the bit in blocked is set, and never cleared
 *	MUT_D2		barrier D': no look after the bits in blocked and armed are set
 *	MUT_CHOICE	what is delivered goes by topic
 *	MUT_I		barrier I: the audience changes before what is asked for
 *	MUT_I2		barrier I': what is asked for is looked at before the message
 *	MUT_FORMER	what is addressed to the bit is delivered, whoever had it then (-DREUSE)
 *	MUT_HISTORY	older messages go by the subscribers that they were addressed to (-DREUSE)
 *	MUT_LOCK	the threads arm without a lock (-DTWO)
 *	MUT_CLEAR	first armed, then blocked cleared without another look, and no lock: 0.1.0 (-DTWO)
 *	MUT_CLAIMED	the second look does not mind that the position has been claimed since the first
 *	MUT_RELIED	a thread that takes the bit back wakes nobody (-DTWO)
 *	MUT_QUEUE	a thread that takes the bit back wakes the queue, and does not signal the
 *			eventfd (-DEVENTFD)
 */
#ifndef MSGS
#define MSGS 1
#endif
#define PUBS 2
#define MAX (PUBS * MSGS + 1)
#ifdef EVENTFD
#define TWO
#endif
#ifdef TWO
#define THREADS 2
#else
#define THREADS 1
#endif

#define BUSY 1
#define READY 2

byte kind[MAX];
byte topic[MAX];
bool ready[MAX]; /* is it addressed to the bit */
byte tail;
byte cursor;

bool audience[3]; /* whether the bit is set in that of topics 1 and 2 */
byte choice, asked; /* sets of topics, as bits 1 and 2 */
byte joined;
bool armed, blocked;
bool asleep[THREADS]; /* in the queue */
bool waits; /* for the eventfd */
bool event; /* signalled */
bool locked; /* the subscriber's lock */

/* For the proof. */
bool second;
bool stuck, stranger, missed, bothered;

#define HAS(set, t) (((set) & (1 << (t))) != 0)

/* ronbus_ring_wanted() */
#if defined(MUT_CHOICE)
#define WANTED(p) HAS(choice, topic[p])
#elif defined(MUT_FORMER)
#define WANTED(p) ((p) < joined -> HAS(choice, topic[p]) : ready[p])
#elif defined(MUT_HISTORY)
#define WANTED(p) (ready[p] && HAS(asked, topic[p]))
#elif defined(MUT_I2)
#define WANTED(p) ((p) < joined -> HAS(choice, topic[p]) : (ready[p] && HAS(before, topic[p])))
#else
#define WANTED(p) ((p) < joined -> HAS(choice, topic[p]) : (ready[p] && HAS(asked, topic[p])))
#endif

/* What it ought to be delivered. */
#define TRULY(p) ((p) < joined -> HAS(choice, topic[p]) : (ready[p] && HAS(asked, topic[p])))

/* What it is armed for; in this mutation it is recv alone that goes by what was asked for before. */
#ifdef MUT_I2
#define SEEN(p) TRULY(p)
#else
#define SEEN(p) WANTED(p)
#endif

/* ronbus_sub_wake() */
#ifdef TWO
#define WAKE_QUEUE asleep[0] = false; asleep[1] = false
#else
#define WAKE_QUEUE asleep[0] = false
#endif
#define WAKE WAKE_QUEUE; event = true

#if defined(MUT_LOCK) || defined(MUT_CLEAR)
#define LOCK skip
#define UNLOCK skip
#else
#define LOCK atomic { !locked -> locked = true }
#define UNLOCK locked = false
#endif

proctype publisher(byte mine)
{
	byte pos, n;
	bool to, whom;

	do
	:: n < MSGS ->
		to = audience[mine]; /* barrier I' */
		atomic { pos = tail; kind[pos] = BUSY; tail++ };
		atomic { topic[pos] = mine; ready[pos] = to; kind[pos] = READY };
look:
		if
		:: armed ->
#ifdef MUT_NOW
			whom = audience[mine];
#else
			whom = to || audience[mine];
#endif
#ifndef MUT_BLOCKED
			whom = whom || blocked;
#endif
			atomic {
				if
				:: whom && armed -> armed = false; WAKE
				:: else
				fi;
				whom = false
			}
		:: else
		fi;
		n++
	:: else -> break
	od
}

/* The kernel's part of RONBUS_IOC_SET_TOPICS; the reader may be in the middle of anything. */
proctype changes()
{
#ifndef MUT_I
	asked = 6;
#endif
	choice = 4;
	if
	:: audience[1] = false; audience[2] = true
	:: audience[2] = true; audience[1] = false
	fi;
#ifdef MUT_I
	asked = 6;
#endif
}

/* The first position at which nothing is yet, or whether there is something for us before it. */
#define FIND(p) \
	p = cursor; \
	do \
	:: kind[p] == READY && !SEEN(p) -> p++ \
	:: kind[p] == READY && SEEN(p) -> is = true; break \
	:: else -> is = false; break \
	od

proctype subscriber(byte me)
{
	byte pos, again;
	bool is, busy, relied, won;
#ifdef MUT_I2
	byte before;
#endif
#ifdef REUSE
	/* The first one, of topic 1, leaves at any time, and may have been armed. */
	if
	:: blocked = true; armed = true
	:: skip
	fi;
	audience[1] = false;
	armed = false;
#ifndef SPARE
	blocked = false;
#endif
	choice = 4;
	asked = 4;
	second = true;
	audience[2] = true;
	joined = tail;
#endif

recv:
	event = event && me == 0;
	do
#ifdef MUT_I2
	:: before = asked;
#else
	::
#endif
		atomic {
			if
			:: kind[cursor] == READY ->
				/* Of history the choice decides, which nobody else knows. */
				stranger = WANTED(cursor) && !TRULY(cursor);
				assert(!stranger);
				missed = !WANTED(cursor) && (TRULY(cursor) ||
					(ready[cursor] && cursor >= joined && !second));
				assert(!missed);
				cursor++
			:: else -> break
			fi
		}
	od;
#ifdef EVENTFD
	asleep[me] = me == 0;
#else
	asleep[me] = true;
#endif

arm:
	LOCK;
#ifdef MUT_CLEAR
	armed = true;
	atomic { FIND(pos) };
	if
	:: is -> goto back
	:: !is && kind[pos] == 0 -> blocked = false; goto sleep
	:: else -> blocked = true
	fi;
	atomic {
		FIND(pos);
		if
		:: is -> goto back
		:: else -> goto sleep
		fi
	};
#else
	atomic {
		FIND(pos);
		if
		:: is -> goto found
		:: else
		fi
	};
	relied = armed;
	do
	:: busy = kind[pos] != 0; /* ronbus_ring_claimed() */
#ifdef MUT_STICKY
		blocked = blocked || busy;
#else
		blocked = busy;
#endif
		armed = true; /* barrier D' */
#ifdef MUT_D2
		break;
#endif
		atomic {
			FIND(again);
			if
			:: is -> goto back
			:: else
			fi
		};
		atomic {
			if
#ifdef MUT_CLAIMED
			:: again == pos -> break
#else
			:: again == pos && (kind[pos] != 0) == busy ->
				bothered = armed && blocked && kind[pos] == 0;
				assert(!bothered);
				break
#endif
			:: else -> pos = again
			fi
		}
	od;
	atomic { relied = false; busy = false; again = 0; pos = 0 };
	UNLOCK;
	goto sleep;
#endif

back:
	atomic { won = armed; armed = false };
#ifndef MUT_RELIED
	atomic {
		if
#ifdef MUT_CLEAR
		:: won -> WAKE_QUEUE
#elif defined(MUT_QUEUE)
		:: won && relied -> WAKE_QUEUE
#else
		:: won && relied -> WAKE
#endif
		:: else
		fi
	};
#endif
found:
	atomic { won = false; relied = false; busy = false; again = 0; pos = 0; is = false };
	UNLOCK;
	goto awake;

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
	atomic {
		asleep[me] = false;
		if
		:: goto recv
		#ifdef TWO
		:: true /* it has other things to do, and does not come back */
#endif
		fi
	}
}

active proctype judge()
{
	byte p;

	atomic {
		timeout ->
		p = cursor;
		do
		:: p < tail -> stuck = stuck || TRULY(p); p++
		:: else -> break
		od;
#if THREADS > 1
		stuck = stuck && (asleep[0] || asleep[1] || (waits && !event));
#else
		stuck = stuck && asleep[0];
#endif
		assert(!stuck)
	}
}

init {
	atomic {
		audience[1] = true;
		choice = 2;
		asked = 2;
		run publisher(1);
		run publisher(2);
#ifdef TWO
		run subscriber(1);
#elif !defined(REUSE)
		run changes();
#endif
		run subscriber(0)
	}
}
