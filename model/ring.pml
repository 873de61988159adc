/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * ring.pml - the ring protocol: publishers, a reader, death and repair
 *
 * Mirrors uapi/ronbus_ring_publish.h and ronbus_ring_read.h, one access to shared memory a step:
 *
 *	publisher  hint		ronbus_ring_hint()
 *	           claim	ronbus_ring_claim(), with pass, take and second
 *	           begin	ronbus_ring_begin() (-DEXCLUSIVE)
 *	           write	ronbus_ring_write()
 *	           commit	ronbus_ring_commit(), ronbus_ring_commit_last()
 *	           advance	ronbus_ring_advance()
 *	           wake		__ronbus_must_notify(), __ronbus_published(), ronbus_bus_notify() (-DSLEEP)
 *	           died		ronbus_ring_repair(), ronbus_pub_repair() (-DDEATH)
 *	reader     look		ronbus_ring_look(), ronbus_ring_ready(), with again and held
 *	           lagged	ronbus_ring_oldest()
 *	           copy		ronbus_copy_out()
 *	           unchanged	ronbus_ring_unchanged()
 *	           nothing	ronbus_sub_arm(), ronbus_sub_wait() (-DSLEEP)
 *
 * Shows, for every order of steps:
 *
 *  - never torn: what is delivered is whole, and is the message of that position. A reader only
 *    goes forward, so nothing is delivered twice or out of order.
 *  - never late: a position that a reader skipped as a hole is not published later.
 *  - never hasty: a reader that was overtaken goes on at a position T such that T + CAP - 1 has
 *    been claimed or passed by, so it gives up nothing but what has been or can be overwritten.
 *    What it jumps over may yet be published; it is lost, and the jump counts it. So positions
 *    passed = delivered + holes + lost, and every message that the reader has passed is one of the
 *    delivered or of the lost.
 *  - never stuck: when the publishers have finished, the reader is beyond all that was claimed or
 *    passed by, also if a publisher died on the way and was repaired.
 *  - a publisher that stops for ever and is not repaired (-DSTOP) stops no other. The reader is
 *    held up at no position but one that it holds BUSY, and there only until somebody comes to the
 *    position one lap ahead.
 *  - no runaway: positions do not grow without messages, since a claim gives up.
 *  - no waiting (pan -l): no publisher does something over and over until another one gets on.
 *
 * With -DSLEEP the reader sleeps where it else polls, and is not left asleep with a message to
 * read. What makes it go on, be it a commit, a hole in place of a claim, or the mark of a lapper, is
 * followed by a look at armed, also if the publisher gives up. An exception is a publisher that
 * stops for ever between the two: then the reader may sleep, armed, until anybody looks at armed.
 *
 * -DPUBS=n publishers, -DMSGS=n messages each, -DCAP=n slots. -DDEATH: publisher 1 dies at any
 * step, or does not, and is repaired. -DSTOP: it is not repaired. -DBUDGET: a claim may give up
 * after any look, as when its budget is used up.
 *
 * Sequentially consistent, but for MUT_A and MUT_C, where the BUSY of a claim waits in a store
 * buffer of one entry. Mutations, of which each must fail:
 *
 *	MUT_A		barrier A: BUSY is visible only after the first word of the payload
 *	MUT_A2		barrier A': the second look at state comes before the last word is read
 *	MUT_B		barrier B: READY is visible before the last word of the payload
 *	MUT_B2		barrier B': the first word is read before state
 *	MUT_C		barrier C: BUSY is visible only after the look at hole
 *	MUT_C2		barrier C': the second look at state comes before the look at hole
 *	MUT_SECOND	a claim does not look at hole again
 *	MUT_BOUND	a claim does not give up
 *	MUT_WAIT	a claim waits for a held slot in place of passing it by
 *	MUT_SAMEWORD	a lapper marks the state word, where the holder stores over it
 *	MUT_STAY	a reader at a BUSY position does not ask if it was overtaken
 *	MUT_FAR		a reader that was overtaken goes on after the newest position
 *	MUT_REPAIR	a publisher that died is not repaired
 *	MUT_QUIET	a publisher that gives up does not look at armed
 */
#ifndef PUBS
#define PUBS 2
#endif
#ifndef MSGS
#define MSGS 2
#endif
#ifndef CAP
#define CAP 2
#endif

/* A state word: four bits of lap, two of owner, two of kind. */
#define READY 0
#define BUSY 1
#define HOLE 2

#define STATE(lap, owner, kind) ((lap) << 4 | (owner) << 2 | (kind))
#define LAP_OF(st) ((st) >> 4)
#define OWNER_OF(st) ((st) >> 2 & 3)
#define KIND_OF(st) ((st) & 3)

#define LAP(pos) ((pos) / CAP)
#define IX(pos) ((pos) % CAP)
#define POS(lap, pos) ((lap) * CAP + IX(pos))
#define MINE(kind) STATE(LAP(pos), me, kind)

/* The ring. A payload is two words, each saying what position it is for. */
byte state[CAP], hole[CAP], word0[CAP], word1[CAP];
byte head = CAP;

bool armed; /* the reader's bit */
bool woken; /* its sleep is over */

bool killed; /* publisher 1 does not get on */
byte gone; /* publishers that will do nothing more */

/* What follows is for the proof alone. */
bool torn, behind, hasty, stuck, runaway;

/* Publisher 1 has let the reader go on, and nobody has looked at armed since. */
bool owes;
#ifdef SLEEP
#define OWE owes = owes || me == 1
#define PAID owes = false
#else
#define OWE skip
#define PAID skip
#endif

/*
 * The set of positions skipped as holes. When a slot is claimed, what it was in earlier laps is
 * forgotten, since nobody can publish it any more.
 */
int skipped;
#define BIT(pos) (1 << (pos))
#define FORGET skipped = skipped & ~(SLOT_0 << IX(pos) & (BIT(pos) - 1))

#if CAP == 2
#define SLOT_0 1431655765 /* positions 0, 2, 4, ... */
#define ANY(f) (f(0) || f(1))
#elif CAP == 4
#define SLOT_0 286331153 /* positions 0, 4, 8, ... */
#define ANY(f) (f(0) || f(1) || f(2) || f(3))
#endif

/* Of slot i: is a position from pos on claimed or passed by; and is there a message? */
#define CLAIMED_BEYOND(i) (LAP_OF(state[i]) * CAP + (i) >= pos)
#define PASSED_BEYOND(i) (hole[i] * CAP + (i) >= pos)
#define MESSAGE_BEYOND(i) (CLAIMED_BEYOND(i) && KIND_OF(state[i]) == READY)

/* The mutations with a store buffer: a claim owns the slot, but its store is not visible. */
#if defined(MUT_A) || defined(MUT_C)
bool buffered[CAP];
#define BUFFERED buffered[IX(pos)]
#define DRAIN atomic { state[IX(pos)] = MINE(BUSY); buffered[IX(pos)] = false }
#else
#define BUFFERED false
#endif

#ifdef SLEEP
#define ADVANCED goto wake
#else
#define ADVANCED goto next
#endif
#if defined(SLEEP) && !defined(MUT_QUIET)
#define GIVE_UP pos = 0; goto wake
#else
#define GIVE_UP goto next
#endif

proctype publisher(byte me)
{
	byte pos, st, stalls, sent;

	{ do
	:: true ->
hint:
		pos = head;

#ifdef EXCLUSIVE
begin:
#ifdef MUT_A
		word0[IX(pos)] = pos;
#endif
		state[IX(pos)] = MINE(BUSY);
#else
claim:
		atomic {
			if
			:: true
#ifdef BUDGET
			:: GIVE_UP
#endif
			fi;
			st = state[IX(pos)];
			if
			:: LAP_OF(st) >= LAP(pos) -> /* taken */
				pos = POS(LAP_OF(st), pos) + 1;
				st = 0;
				goto claim
			:: LAP_OF(st) < LAP(pos) && KIND_OF(st) == BUSY -> /* held */
#ifdef MUT_WAIT
				goto claim;
#endif
				goto pass
			:: LAP_OF(st) < LAP(pos) && KIND_OF(st) != BUSY
			fi
		};
		atomic {
			if
			:: hole[IX(pos)] >= LAP(pos) -> /* passed by already */
				pos++;
				st = 0;
				goto claim
			:: hole[IX(pos)] < LAP(pos) -> goto take
			fi
		};

		/*
		 * The load and the CAS in one step: if hole changes in between, the CAS fails and
		 * everything begins anew, as if we had come later.
		 */
pass:
		atomic {
#ifdef MUT_SAMEWORD
			if
			:: state[IX(pos)] == st ->
				state[IX(pos)] = STATE(LAP(pos), OWNER_OF(st), HOLE)
			:: else ->
				st = 0;
				goto claim
			fi;
#else
			if
			:: hole[IX(pos)] < LAP(pos) -> hole[IX(pos)] = LAP(pos); OWE
			:: else
			fi;
#endif
			st = 0;
			pos++;
			stalls++;
			runaway = LAP(pos) == 15;
			assert(!runaway);
			if
#ifndef MUT_BOUND
			:: stalls == CAP -> GIVE_UP
#endif
			:: else -> goto claim
			fi
		};

take:
		atomic {
			if
			:: state[IX(pos)] == st && !BUFFERED ->
#if defined(MUT_A) || defined(MUT_C)
				buffered[IX(pos)] = true;
#else
				state[IX(pos)] = MINE(BUSY); /* barriers A and C */
#endif
				FORGET;
				st = 0
			:: else ->
				st = 0;
				goto claim
			fi
		};
second:
#ifndef MUT_SECOND
		atomic {
			if
			:: hole[IX(pos)] < LAP(pos) -> goto write
			:: hole[IX(pos)] >= LAP(pos)
			fi
		};
#if defined(MUT_A) || defined(MUT_C)
		DRAIN;
#endif
		atomic { state[IX(pos)] = MINE(HOLE); OWE; pos++; goto claim };
#endif
#endif

write:
#ifdef MUT_C
		DRAIN;
#endif
		word0[IX(pos)] = pos;
#if defined(MUT_A) && !defined(EXCLUSIVE)
		DRAIN;
#endif
#ifndef MUT_B
		word1[IX(pos)] = pos;
#endif

commit:
		atomic {
#ifndef MUT_SAMEWORD
			assert(state[IX(pos)] == MINE(BUSY));
#endif
			behind = (skipped & BIT(pos)) != 0;
			assert(!behind);
			state[IX(pos)] = MINE(READY); /* barrier B */
			OWE
		};
#ifdef MUT_B
		word1[IX(pos)] = pos;
#endif

advance:
		atomic {
			if
			:: head <= pos
			:: head > pos -> ADVANCED
			fi
		};
#ifdef SLEEP
		head = pos + 1;
wake:
		atomic {
			if
			:: armed
			:: !armed -> PAID; goto next
			fi
		};
		atomic {
			woken = woken || armed;
			armed = false;
			PAID;
#else
		atomic {
			head = pos + 1;
#endif
next:
			pos = 0;
			stalls = 0;
			sent++;
			if
			:: sent < MSGS
			:: else -> gone++; break
			fi
		}
	od } unless { me == 1 && killed -> goto died };
	goto end;

died:
	atomic { pos = 0; st = 0; stalls = 0; sent = 0 };
#if defined(DEATH) && !defined(MUT_REPAIR)
	do
	:: atomic {
		pos < CAP ->
		if
		:: KIND_OF(state[pos]) == BUSY && OWNER_OF(state[pos]) == me ->
			state[pos] = STATE(LAP_OF(state[pos]), me, HOLE)
		:: else
		fi;
		pos++
	}
	:: atomic { pos == CAP -> pos = 0; break }
	od;
#ifdef SLEEP
	atomic { woken = woken || armed; armed = false };
#endif
#endif
	gone++;
end:
	skip
}

/* What a look makes of the state word st. It goes on after this if that is of an older lap. */
#define JUDGE \
	if \
	:: LAP_OF(st) < LAP(pos) -> st = 0 \
	:: LAP_OF(st) == LAP(pos) && KIND_OF(st) == READY -> goto copy \
	:: LAP_OF(st) == LAP(pos) && KIND_OF(st) == BUSY -> st = 0; goto held \
	:: LAP_OF(st) == LAP(pos) && KIND_OF(st) == HOLE -> st = 0; SKIP \
	:: LAP_OF(st) > LAP(pos) -> newest = LAP_OF(st); st = 0; goto lagged \
	fi

#define SKIP \
	skipped = skipped | BIT(pos); \
	pos++; \
	goto found

proctype reader()
{
	byte pos = CAP, st, newest;
	bool last, arming;

look:
#ifdef MUT_B2
	torn = word0[IX(pos)] != pos;
#endif
	atomic {
		last = (gone == PUBS);
		st = state[IX(pos)]; /* barrier B' */
		JUDGE
	};
#ifdef MUT_C2
	atomic { st = state[IX(pos)]; JUDGE };
#endif
	atomic {
		if
		:: hole[IX(pos)] >= LAP(pos)
		:: hole[IX(pos)] < LAP(pos) -> goto nothing
		fi
	};
	/* barrier C' */
again:
#ifndef MUT_C2
	atomic { st = state[IX(pos)]; JUDGE; SKIP };
#else
	atomic { SKIP };
#endif

held:
#ifdef MUT_STAY
	goto nothing;
#endif
	atomic {
		newest = hole[IX(pos)];
		if
		:: newest > LAP(pos)
		:: newest <= LAP(pos) -> newest = 0; goto nothing
		fi
	};
lagged:
	atomic {
		newest = POS(newest, pos);
		newest = (head > newest + 1 -> head : newest + 1);
#ifndef MUT_FAR
		newest = newest - CAP;
#endif
		newest = (newest > pos -> newest : pos + 1);
		pos = newest + CAP - 1;
		hasty = !ANY(CLAIMED_BEYOND) && !ANY(PASSED_BEYOND);
		assert(!hasty);
		pos = newest;
		newest = 0;
		goto found
	};

copy:
#ifndef MUT_B2
	torn = word0[IX(pos)] != pos;
#endif
#ifndef MUT_A2
	torn = torn || word1[IX(pos)] != pos;
#endif
	/* barrier A' */
unchanged:
	atomic {
		if
		:: state[IX(pos)] != st -> torn = false; st = 0; goto look
		:: state[IX(pos)] == st -> st = 0
		fi;
#ifdef MUT_A2
	};
	atomic {
		torn = torn || word1[IX(pos)] != pos;
#endif
		assert(!torn);
		pos++
	};

found:
#ifdef SLEEP
	if
	:: !arming
	:: atomic { arming -> armed = false; arming = false }
	fi;
#endif
	goto look;

nothing:
#ifdef SLEEP
	if
	:: atomic { !arming -> woken = false; armed = true; arming = true; goto look }
	:: atomic { arming && woken -> woken = false; arming = false; goto look }
	:: atomic { arming && !woken && gone == PUBS -> arming = false }
	fi;
#else
progress:
	if
	:: !last -> goto look
	:: last
	fi;
#endif
	/* Nobody will do anything more, and here the reader is. */
	atomic {
#ifdef SLEEP
		stuck = ANY(MESSAGE_BEYOND);
#else
		stuck = ANY(CLAIMED_BEYOND) || ANY(PASSED_BEYOND);
#endif
#ifdef STOP
		st = state[IX(pos)];
		newest = LAP(pos);
		pos = pos + CAP;
		stuck = stuck && !(owes && armed) &&
			(st != STATE(newest, 1, BUSY) || ANY(CLAIMED_BEYOND) || ANY(PASSED_BEYOND));
#endif
		assert(!stuck)
	}
}

init {
	byte i = 1;

	atomic {
		do
		:: i <= PUBS -> run publisher(i); i++
		:: else -> break
		od;
		run reader();
		i = 0
	};
#if defined(DEATH) || defined(STOP)
	killed = true
#endif
}
