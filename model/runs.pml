/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * runs.pml - a reader that passes over a run of messages, each perhaps for it, about to be lapped
 *
 * Mirrors uapi/ronbus_ring_runs.h, one access to shared memory a step:
 *
 *	publisher	claim, write	ronbus_ring_claim() or begin(), ronbus_ring_write()
 *			commit		ronbus_ring_commit()
 *	reader		run		ronbus_ring_run_wanted(), ronbus_ring_run_unwanted()
 *			unchanged	ronbus_ring_run_unchanged()
 *			copy		scan_run(), ronbus_state_unchanged()
 *			lagged		ronbus_ring_look(), ronbus_ring_oldest()
 *
 * One publisher goes around a ring of CAP slots LAPS times; a reader follows, as fast or as slow as
 * may be, and looks at up to RUN positions at a time. Each message is of one of its topics or not, and
 * if it is, addressed to it or not, whatever the lap before was; its payload says its position.
 * -DFORMER: or it is addressed to it and not of its topics, as by a publisher that is slow and means
 * the subscriber that had the bit before.
 *
 * Shows: a message that is passed over as one for others is one (missed); what is delivered is for
 * the reader (stranger), and whole (torn). So everything that is for it is delivered or counted as
 * lost. For that each word of a slot is read between the look at state, which has to say READY, and
 * another one after the reading, which has to say the same.
 *
 * Mutations, of which each must fail:
 *
 *	MUT_TOPIC	the topic is read before state: 0.1.0
 *	MUT_READY	the subscribers that it is for are read before state
 *	MUT_A		barrier A: BUSY is visible only after topic and audience of the next message
 *	MUT_A2		barrier A': the second look at state comes before the last word is read
 *	MUT_B		barrier B: READY is visible before the topic is
 *	MUT_CUT		which of the run are for the reader is believed of those that have changed, too
 *	MUT_LAST	the payload is delivered without another look at state
 */
#ifndef CAP
#define CAP 2
#endif
#ifndef LAPS
#define LAPS 3
#endif
#ifndef RUN
#define RUN 2
#endif
#define LAST (CAP * (LAPS + 1)) /* positions begin at CAP */

#define READY 0
#define BUSY 1
#define STATE(lap, kind) ((lap) << 1 | (kind))
#define LAP(pos) ((pos) / CAP)
#define IX(pos) ((pos) % CAP)

byte state[CAP];
bool ready[CAP], topic[CAP];
byte word[CAP];
byte head = CAP;

/* For the proof: the set of positions whose message is for the reader. */
int ours;
#define TRULY(pos) ((ours & 1 << (pos)) != 0)
bool missed, stranger, torn;

active proctype publisher()
{
	byte pos = CAP;
	bool to, its;

	do
	:: pos < LAST ->
		atomic {
			if
			:: to = true; its = true
			:: to = false; its = true
			:: to = false; its = false
#ifdef FORMER
			:: to = true; its = false
#endif
			fi
		};
#ifndef MUT_A
		state[IX(pos)] = STATE(LAP(pos), BUSY); /* barrier A */
#endif
		ready[IX(pos)] = to;
#ifndef MUT_B
		topic[IX(pos)] = its;
#endif
#ifdef MUT_A
		state[IX(pos)] = STATE(LAP(pos), BUSY);
#endif
		word[IX(pos)] = pos;
		atomic {
			ours = (to && its -> ours | 1 << pos : ours);
			state[IX(pos)] = STATE(LAP(pos), READY) /* barrier B */
		};
#ifdef MUT_B
		topic[IX(pos)] = its;
#endif
		atomic { pos++; head = pos }
	:: else -> break
	od
}

active proctype reader()
{
	byte pos = CAP, i, count, whole, got;
	bool is, its;
	bool wanted[RUN];
#ifdef MUT_A2
	bool early[RUN];
#endif

look:
	atomic { count = 0; whole = 0 };
	do
	:: count < RUN && IX(pos + count) >= IX(pos) ->
#ifdef MUT_TOPIC
		its = topic[IX(pos + count)];
#endif
#ifdef MUT_READY
		is = ready[IX(pos + count)];
#endif
		atomic {
			if
			:: state[IX(pos + count)] != STATE(LAP(pos), READY) -> break /* barrier B' */
			:: else
			fi
		};
#ifdef MUT_A2
		early[count] = state[IX(pos + count)] == STATE(LAP(pos), READY);
#endif
#ifndef MUT_READY
		is = ready[IX(pos + count)];
#endif
#ifndef MUT_TOPIC
		its = topic[IX(pos + count)];
#endif
		atomic { wanted[count] = is && its; count++; is = false; its = false }
	:: else -> break
	od;
	atomic {
		is = false;
		its = false;
		if
		:: count == 0 -> goto nothing
		:: else
		fi
	};

unchanged: /* barrier A' */
	do
	:: atomic {
		whole < count ->
		if
#ifdef MUT_A2
		:: early[whole]
#else
		:: state[IX(pos + whole)] == STATE(LAP(pos), READY)
#endif
		:: else -> break
		fi;
		whole++
	}
	:: whole == count -> break
	od;
#ifdef MUT_CUT
	whole = count;
#endif

pass:
	i = 0;
	do
	:: i < whole && !wanted[i] ->
		atomic {
			missed = TRULY(pos + i);
			assert(!missed);
			i++
		}
	:: i < whole && wanted[i] ->
		got = word[IX(pos + i)];
		atomic {
#ifndef MUT_LAST
			if
			:: state[IX(pos + i)] != STATE(LAP(pos), READY) -> break
			:: else
			fi;
#endif
			stranger = !TRULY(pos + i);
			assert(!stranger);
			torn = got != pos + i;
			assert(!torn);
			i++
		}
	:: i == whole -> break
	od;
	atomic {
		pos = pos + i;
		i = 0;
		got = 0;
		wanted[0] = false;
		wanted[1] = false;
#ifdef MUT_A2
		early[0] = false;
		early[1] = false;
#endif
	};

nothing: /* to read at the first position, or overtaken there, or about to be */
	atomic {
		if
		:: pos < LAST && state[IX(pos)] == STATE(LAP(pos), READY)
		:: pos < LAST && state[IX(pos)] >> 1 > LAP(pos) ->
			pos = (head - CAP > pos -> head - CAP : pos + 1)
		:: pos == LAST -> goto done
		fi;
		goto look
	};
done:
	skip
}
