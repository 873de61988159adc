/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * interest.pml - who is woken, and for what, when subscribers choose topics and change their choice
 *
 * Mirrors:
 *
 *	publisher	audience, look	ronbus_publish(), __ronbus_wake(); ronbus_sleepers()
 *	subscriber	recv		scan(), for_us(); ronbus_ring_wanted(); take_record()
 *			change		set_topics(), ronbus_set_topics()
 *			arm, behind	ronbus_sub_arm(), look_behind(); look_armed()
 *			leave, enrol	leave(), enrol() of kmod/subscribe.c (-DREUSE)
 *
 * Two publishers with a message each (-DMSGS=n), of topic 1 and of topic 2. One subscriber that is
 * modelled, and whose choice changes at any time from topic 1 to topic 2; another one wants
 * everything, so that all is written. -DREUSE: two subscribers of one bit instead, the second with
 * the other topic, in the place of the first; it begins with what is there.
 *
 * Shows: what a subscriber is delivered is what was addressed to it, and nothing it never asked for;
 * what was there when it joined it gets by topic. When nothing moves any more, it has had all of
 * that: it does not sleep with a message for it anywhere ahead. In particular not
 *
 *  - if the message is addressed to it, and its choice has changed before the publisher looks whom
 *    to wake;
 *  - if the message became visible behind one that was being written, for others, whose publisher
 *    has no reason of his own to wake it.
 *
 * Sequentially consistent; wake.pml has the barriers of arming.
 *
 * Mutations, of which each must fail:
 *
 *	MUT_NOW		whom to wake is taken from the audience as it is behind the commit only
 *	MUT_BLOCKED	nobody is woken for a message that was in his way
 *	MUT_D2		barrier D': no look behind the bit in blocked
 *	MUT_CHOICE	what is delivered goes by topic
 *	MUT_I		barrier I: the audience changes before what is asked for
 *	MUT_I2		barrier I': what is asked for is looked at before the message
 *	MUT_FORMER	what is addressed to the bit is delivered, whoever had it then (-DREUSE)
 *	MUT_HISTORY	what was there goes by whom it was addressed to (-DREUSE)
 */
#ifndef MSGS
#define MSGS 1
#endif
#define PUBS 2
#define MAX (PUBS * MSGS + 1)

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
bool armed, blocked, asleep;

/* For the proof. */
bool second;
bool stuck, stranger, missed;

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

proctype publisher(byte mine)
{
	byte pos, n;
	bool to, found;

	do
	:: n < MSGS ->
		to = audience[mine]; /* barrier I' */
		atomic { pos = tail; kind[pos] = BUSY; tail++ };
		atomic { topic[pos] = mine; ready[pos] = to; kind[pos] = READY };
look:
		if
		:: armed ->
#ifdef MUT_NOW
			found = audience[mine];
#else
			found = to || audience[mine];
#endif
#ifndef MUT_BLOCKED
			found = found || blocked;
#endif
			atomic {
				if
				:: found && armed -> armed = false; asleep = false
				:: else
				fi;
				found = false
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

proctype subscriber()
{
#ifdef MUT_I2
	byte before;
#endif
#ifdef REUSE
	/* The first one, of topic 1, leaves at any time. */
	atomic { audience[1] = false; armed = false; blocked = false };
	choice = 4;
	asked = 4;
	second = true;
	audience[2] = true;
	joined = tail;
#endif

recv:
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
arm:
	armed = true;
	atomic {
		if
		:: kind[cursor] == READY -> armed = false; goto recv
		:: kind[cursor] == 0 -> blocked = false; asleep = true; goto sleep
		:: else
		fi
	};
behind:
	blocked = true; /* barrier D' */
	atomic {
		if
#ifndef MUT_D2
		:: kind[cursor] == READY -> armed = false; goto recv
#endif
		:: else -> asleep = true
		fi
	};
sleep:
end:
	/* Between arming and sleep it may have been woken: armed says so. */
	atomic { !asleep || !armed -> asleep = false; goto recv }
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
#ifndef REUSE
		run changes();
#endif
		run subscriber()
	}
}
