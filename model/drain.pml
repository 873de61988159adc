/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * drain.pml - one wake-up for many messages: the disciplined drain, and coalescing
 *
 * Mirrors:
 *
 *	publisher	ronbus_publish(), __ronbus_published(), ronbus_bus_notify(); wake.pml has the details
 *	consumer	a program's loop: poll, ronbus_drain() with a budget and without a timeout,
 *			ronbus_arm()
 *	drainer		ronbus_drain() with a timeout, again and again (-DDRAIN)
 *	batcher		WAIT with RONBUS_F_COALESCE (-DCOALESCE): as specified, not yet in the code
 *
 * The consumer serves two subscriptions with one thread, and is told by edges only: EPOLLET on
 * ronbus_sub_fd(), or a registered eventfd. It takes the edges there are, then serves every
 * subscription that may have something, each with a budget: receive until there is nothing; arm;
 * if that says there is something after all, serve it again later. Only with nothing left to
 * serve does it sleep.
 *
 * The drainer has one subscription and nothing else to do: ronbus_drain() receives up to its budget,
 * and only if there was nothing at all does it sleep, in WAIT, which arms and looks again.
 *
 * The batcher wants to be woken for K messages, or T after the first, whichever comes first. It
 * sleeps in the kernel with its bit set, and what wakes it looks at the ring: K messages, return;
 * at least one, start the clock unless it runs; none, sleep on.
 *
 * Shows:
 *
 *  - no message is left unread: when nothing moves any more and the consumer sleeps, there is
 *    nothing to read in either subscription;
 *  - nobody starves: once a subscription has been signalled, at most twice the budget is taken from
 *    the other one, namely the rest of this round and all of the next one, before it is served;
 *  - a signal for each time it was armed, however many messages were published;
 *  - coalescing strands nothing: fewer than K messages are there only as long as the clock runs.
 *
 * Mutations, of which each must fail:
 *
 *	MUT_ARM		the consumer sleeps without arming
 *	MUT_RECHECK	arming does not look at the ring again
 *	MUT_CLEAR_AFTER_SCAN	the edge is cleared after the scan instead of before it
 *	MUT_BUDGET	the end of the budget is taken for the end of the messages
 *	MUT_STARVE	no budget
 *	MUT_STRAND	the clock is started by wake-ups only, not by what arming finds (-DCOALESCE)
 *	MUT_CLOCK	no clock (-DCOALESCE)
 */
#define BUDGET 2
#define K 2

byte there[2]; /* messages to be read */
bool armed[2];
bool edge[2]; /* signalled, and not yet taken */
byte arms[2], signals[2];

byte serve; /* a bit a subscription: may have something */
byte missed[2]; /* messages taken from the other one since this one was signalled */
bool asleep, stranded, starved, chatty;

bool clock, rung; /* -DCOALESCE */

#define BIT(s) (1 << (s))

proctype publisher(byte s, messages)
{
	do
	:: messages == 0 -> break
	:: messages > 0 ->
		there[s]++;
		if
		:: !armed[s]
		:: armed[s] -> /* NOTIFY */
			atomic {
				if
				:: armed[s] ->
					armed[s] = false;
					edge[s] = true;
					signals[s]++;
					chatty = signals[s] > arms[s];
					assert(!chatty)
				:: else
				fi
			}
		fi;
		messages--
	od
}

/* ronbus_arm(): falls through if there is nothing. */
inline arm(s)
{
	atomic { armed[s] = true; arms[s]++ };
#ifndef MUT_RECHECK
	if
	:: there[s] == 0
	:: there[s] > 0 -> armed[s] = false; goto again
	fi
#endif
}

#ifdef DRAIN
proctype drainer()
{
	byte left;

call:
	left = BUDGET;
	do
	:: atomic { there[0] > 0 && left > 0 -> there[0]--; left-- }
	:: left == 0 -> goto call
	:: there[0] == 0 ->
		if
		:: left < BUDGET -> goto call
		:: left == BUDGET -> break
		fi
	od;
	atomic { armed[0] = true; arms[0]++ };
#ifndef MUT_RECHECK
	if
	:: there[0] > 0 -> armed[0] = false; goto call
	:: there[0] == 0
	fi;
#endif
end:
	atomic { edge[0] -> edge[0] = false; goto call }
}

#elif !defined(COALESCE)
proctype consumer()
{
	byte s, left;

poll:
	/* Without anything to serve, this sleeps. */
	asleep = serve == 0;
end:
	atomic {
		serve != 0 || edge[0] || edge[1] ->
		asleep = false;
		serve = serve | (edge[0] -> 1 : 0) | (edge[1] -> 2 : 0);
#ifndef MUT_CLEAR_AFTER_SCAN
		edge[0] = false;
		edge[1] = false;
#endif
		s = 0
	};
	do
	:: s < 2 && !(serve & BIT(s)) -> s++
	:: s < 2 && (serve & BIT(s)) ->
		left = BUDGET;
drain:
		do
		:: atomic {
			there[s] > 0 && left > 0 ->
			there[s]--;
			missed[s] = 0;
			if
			:: edge[1 - s] || (serve & BIT(1 - s)) -> missed[1 - s]++
			:: else
			fi;
			starved = missed[1 - s] > 2 * BUDGET;
			assert(!starved);
#ifndef MUT_STARVE
			left--
#endif
		}
		:: there[s] > 0 && left == 0 ->
#ifdef MUT_BUDGET
			serve = serve & ~BIT(s);
#endif
			goto again
		:: there[s] == 0 -> missed[s] = 0; break
		od;
#ifndef MUT_ARM
		arm(s);
#endif
#ifdef MUT_CLEAR_AFTER_SCAN
		edge[s] = false;
#endif
		serve = serve & ~BIT(s);
again:
		atomic { s++; left = 0 }
	:: s == 2 -> break
	od;
	goto poll
}

#else
proctype batcher()
{
	bool woken;

again:
	atomic { armed[0] = true; arms[0]++ };
	atomic {
		if
		:: there[0] >= K || (there[0] > 0 && rung) ->
			armed[0] = false;
			goto take
#ifdef MUT_STRAND
		:: there[0] > 0 && there[0] < K && !rung && woken -> clock = true
		:: there[0] > 0 && there[0] < K && !rung && !woken
#elif defined(MUT_CLOCK)
		:: there[0] > 0 && there[0] < K && !rung
#else
		:: there[0] > 0 && there[0] < K && !rung -> clock = true
#endif
		:: there[0] == 0
		fi;
		asleep = true
	};
end:
	atomic {
		edge[0] || rung ->
		edge[0] = false;
		asleep = false;
		woken = true;
		goto again
	};
take:
	atomic {
		there[0] = 0;
		clock = false;
		rung = false;
		edge[0] = false;
		woken = false;
		goto again
	}
}

proctype ticker()
{
end:
	do
	:: atomic { clock -> clock = false; rung = true }
	od
}
#endif

active proctype judge()
{
	atomic {
		timeout ->
		stranded = there[0] > 0 || there[1] > 0;
		assert(!stranded)
	}
}

init {
	atomic {
#if defined(DRAIN)
		run publisher(0, 4);
		run publisher(0, 3);
		run drainer()
#elif defined(COALESCE)
		run publisher(0, 4);
		run publisher(0, 3);
		run batcher();
		run ticker()
#else
		serve = 3; /* a loop begins by looking */
		run publisher(0, 5);
		run publisher(1, 2);
		run consumer()
#endif
	}
}
