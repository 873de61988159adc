/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * join.pml - a subscriber leaves, and another one takes its bit, while messages are published
 *
 * Mirrors:
 *
 *	publisher	audience, look	ronbus_publish(), __ronbus_wake(); notify_audience()
 *			notify		ronbus_notify()
 *	subscriber	leave, enrol	leave(), enrol() of kmod/subscribe.c
 *			arm		ronbus_sub_arm()
 *
 * Two publishers with a message each; one bit, which belongs first to one subscriber, then to
 * another. Somebody else subscribes all the time, so that every message is written.
 *
 * Shows: when nothing moves any more, the second subscriber does not sleep with something to see
 * at its cursor, wherever it began. For that
 *
 *  - notify clears the bit first, and looks up whose it is then. The other way around, it may have
 *    the first subscriber at hand when it clears the bit of the second, who is then neither awake
 *    nor armed: nobody wakes it any more, ever;
 *  - a publisher takes the audience to wake from behind its commit. The one from before the claim
 *    may lack a subscriber who has begun at the very position that was claimed.
 *
 * Sequentially consistent; wake.pml has the barriers.
 *
 * Mutations, of which each must fail:
 *
 *	MUT_LOOKUP	notify looks up the subscriber, then clears the bit
 *	MUT_AUDIENCE	whom to wake is taken from the audience before the claim
 */
#define PUBS 2

#define BUSY 1
#define READY 2

byte kind[PUBS + 1];
byte tail;
byte cursor;

bool audience = true, armed; /* the bit, in two words */
byte owner = 1; /* whom the table has for it: 0 nobody, or one of the two subscribers */
bool asleep;
bool stuck;

#define READABLE (kind[cursor] == READY)

proctype publisher()
{
	byte pos, to, found;
	bool won;

	to = audience;
	atomic { pos = tail; kind[pos] = BUSY; tail++ };
	kind[pos] = READY;
look:
	if
	:: armed
	:: else -> goto end
	fi;
#ifndef MUT_AUDIENCE
	to = audience;
#endif
	if
	:: to
	:: else -> goto end
	fi;
notify:
#ifdef MUT_LOOKUP
	found = owner;
	if
	:: found != 0
	:: else -> goto end
	fi;
#endif
	atomic { won = armed; armed = false };
	if
	:: won
	:: else -> goto end
	fi;
#ifndef MUT_LOOKUP
	found = owner;
#endif
	if
	:: found == 2 -> asleep = false
	:: else /* the first one does not sleep, and to wake it is no harm */
	fi;
end:
	skip
}

proctype subscriber()
{
	/* The first one may be armed; then it is closed. */
	if
	:: armed = true
	:: skip
	fi;
leave:
	audience = false;
	owner = 0;
	armed = false;

enrol:
	armed = false;
	owner = 2;
	audience = true;
	cursor = tail;

recv:
	atomic {
		asleep = false;
		if
		:: READABLE -> cursor++; goto recv
		:: else -> asleep = true
		fi
	};
arm:
	armed = true;
	if
	:: READABLE -> armed = false; goto recv
	:: else
	fi;
end:
	atomic { !asleep -> goto recv }
}

active proctype judge()
{
	atomic {
		timeout ->
		stuck = asleep && READABLE;
		assert(!stuck)
	}
}

init {
	atomic { run publisher(); run publisher(); run subscriber() }
}
