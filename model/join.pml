/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * join.pml - a subscriber leaves, and another one takes its bit, while messages are published
 *
 * Mirrors:
 *
 *	publisher	audience, look	ronbus_publish(), __ronbus_published(); ronbus_pub_notify_audience()
 *			notify		ronbus_bus_notify()
 *	subscriber	leave, enrol	ronbus_sub_leave(), ronbus_sub_enrol(); sub_join() of the embedded transport
 *			arm		ronbus_sub_arm()
 *
 * Two publishers with a message each; one bit, which belongs first to one subscriber, then to
 * another. Somebody else subscribes all the time, so that every message is written.
 *
 * Shows: when nothing moves any more, the second subscriber does not sleep with something to see
 * at its cursor, wherever it began. For that
 *
 *  - notify clears the bit first, and looks up whose it is then. The other way around, it may have
 *    the first subscriber at hand when it clears the bit of the second, which is then neither awake
 *    nor armed: nobody wakes it any more, ever;
 *  - a publisher reads the audience to wake after its commit. The one from before the claim
 *    may lack a subscriber that has begun at the very position that was claimed.
 *
 * And of where it begins: it is entered in the audience first, so the publisher of whatever stands
 * at its start or after it finds it in the audience when it looks which ones to wake.
 *
 * Sequentially consistent; wake.pml has the barriers of arming. -DSPARE: without barrier J', the
 * audience to wake is looked at before armed. That holds, too: a subscriber that is not in it yet
 * has its full barrier D' still to come, and finds the message.
 *
 * Mutations, of which each must fail:
 *
 *	MUT_LOOKUP	notify looks up the subscriber, then clears the bit
 *	MUT_AUDIENCE	the subscribers to wake are taken from the audience before the claim
 *	MUT_J		barrier J: the tail is looked at before the audience is visible
 */
#define PUBS 2

#define BUSY 1
#define READY 2

byte kind[PUBS + 1];
byte tail;
byte cursor;

byte audience = 1; /* whose bit is set in it: 0 nobody's, or one of the two subscribers' */
bool armed;
byte owner = 1; /* what the table has for it: 0 for none, or one of the two subscribers */
bool asleep;

/*
 * For the proof: where the second one began; positions whose publisher did not find it after its
 * commit.
 */
byte start;
byte missed;
bool stuck, unseen;

#define BIT(pos) (1 << (pos))

#define READABLE (kind[cursor] == READY)

proctype publisher()
{
	byte pos, to, found;
	bool won;

	to = audience;
	atomic { pos = tail; kind[pos] = BUSY; tail++ };
	kind[pos] = READY; /* barrier D */
	atomic { missed = (audience == 2 -> missed : missed | BIT(pos)) };
look:
#ifdef SPARE
	to = audience;
#endif
	if
	:: armed
	:: else -> goto end
	fi;
#if !defined(MUT_AUDIENCE) && !defined(SPARE)
	to = audience; /* barrier J' */
#endif
	if
	:: to != 0
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
	audience = 0;
	owner = 0;
	armed = false;

enrol:
	armed = false;
	owner = 2;
#ifdef MUT_J
	atomic { start = tail; cursor = start };
	audience = 2;
#else
	audience = 2; /* barrier J */
	atomic { start = tail; cursor = start };
#endif

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
		assert(!stuck);
		unseen = missed >> start != 0;
		assert(!unseen)
	}
}

init {
	atomic { run publisher(); run publisher(); run subscriber() }
}
