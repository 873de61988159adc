/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * end.pml - the end of a bus: everything is read before it, and nobody sleeps through it
 *
 * Mirrors:
 *
 *	publisher	publish		a message; the ring is but a list here
 *			leave		ronbus_pub_leave(), ronbus_bus_end_if_due()
 *	subscriber	recv		next_once() of userlib/receive.c, ronbus_sub_read(), ronbus_sub_readable()
 *			arm, asleep	ronbus_sub_arm(), ronbus_sub_wait()
 *
 * Two publishers with a message each; the last one to leave ends the bus.
 *
 * Shows: a subscriber that is told that the bus has ended has read all there was, and when nothing
 * moves any more it has been told.
 *
 * Sequentially consistent. Mutations, of which each must fail:
 *
 *	MUT_E		barrier E: the end is visible before the last message
 *	MUT_E2		barrier E': the ring is looked at, then the status
 *	MUT_ARMED	arming does not look at the status again
 *	MUT_QUIET	the end wakes nobody
 */
#define PUBS 2

bool ready[PUBS + 1];
byte tail, cursor;
byte publishers = PUBS;
bool ended;
bool armed, asleep, told;
bool missing, stuck;

#define READABLE ready[cursor]

/* notify for a message, if armed; for the end, whoever it is. */
inline wake(whoever)
{
	atomic {
		asleep = asleep && !(armed || whoever);
		armed = false
	}
}

active [PUBS] proctype publisher()
{
	byte pos;
	bool last;

	atomic { pos = tail; tail++ };
#ifdef MUT_E
	atomic { publishers--; last = publishers == 0 };
	ended = last;
	ready[pos] = true;
#else
	ready[pos] = true;
	wake(false);
leave:
	atomic { publishers--; last = publishers == 0 };
	if
	:: last -> ended = true /* barrier E */
	:: else
	fi;
#endif
#ifndef MUT_QUIET
	if
	:: last -> wake(true)
	:: else
	fi
#endif
}

active proctype subscriber()
{
	bool over;

recv:
#ifndef MUT_E2
	over = ended; /* barrier E' */
#endif
	if
	:: atomic { READABLE -> cursor++; goto recv }
	:: !READABLE
	fi;
#ifdef MUT_E2
	over = ended;
#endif
	if
	:: over ->
		atomic {
			told = true;
			missing = cursor != PUBS;
			assert(!missing);
			goto end
		}
	:: else
	fi;
arm:
	atomic { asleep = true; armed = true };
	if
#ifndef MUT_ARMED
	:: ended -> goto awake
	:: !ended
#else
	:: true
#endif
	fi;
	if
	:: READABLE
	:: atomic { !READABLE -> goto sleep }
	fi;
awake:
	asleep = false;
	goto recv;
sleep:
end_asleep:
	!asleep -> goto recv;
end:
	skip
}

active proctype judge()
{
	atomic {
		timeout ->
		stuck = !told;
		assert(!stuck)
	}
}
