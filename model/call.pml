/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * call.pml - a call that waits several times is ended by a cancel, wherever that falls
 *
 * Mirrors, on the device:
 *
 *	caller		begin		ronbus_recv(), ronbus_drain(), ronbus_dispatch_run()
 *			inner wait	device_wait(), and ronbus_sub_wait_ioctl()
 *	canceler	cancel		ronbus_cancel(), device_cancel(), ronbus_sub_cancel()
 *
 * What a sleep is and how it ends is in cancel.pml; here a sleep is one step. It may end for a message
 * that is for others: then the caller waits again. A cancel may fall between two of its waits, when
 * the kernel knows of none. So the library has a count of its own, and the deadline lies where
 * ronbus_cancel() can take it away. An earlier cancel may come that far late.
 *
 * The reason is what a program sets before it cancels, such as that a dispatch is to stop. The caller
 * looks at it when it has begun.
 *
 * Shows, when nothing moves any more: a call that began before a cancel, or did not see its reason,
 * does not sleep on; and none ends without a cancel.
 *
 * Mutations, of which each must fail:
 *
 *	MUT_NOTE	the count is noted by each wait, not when the call begins
 *	MUT_V		barrier V: the count grows before the reason is there
 *	MUT_V2		barrier V': the reason is looked at before the count is noted
 *	MUT_W		barrier W: the count is looked at before the deadline is there
 *	MUT_W2		barrier W': the deadline is taken away before the count grows
 *	MUT_Y		barrier Y: the kernel is asked before the deadline is taken away
 *	MUT_Y2		barrier Y': the kernel takes the deadline over before it notes its count
 */
byte count; /* of the library */
byte asked; /* the kernel's count */
bool deadline; /* there is one to come */
bool reason;
byte others = 2; /* messages for others that wake the caller */

/* For the proof. */
bool begun, finished, tried, canceled_since, saw_reason;
bool stuck, wrong;

inline cancel()
{
	tried = true;
#ifdef MUT_V
	count++;
	reason = true;
	deadline = false;
	asked++;
#elif defined(MUT_W2)
	reason = true; /* barrier V */
	deadline = false;
	count++;
	asked++;
#elif defined(MUT_Y)
	reason = true; /* barrier V */
	count++;
	asked++;
	deadline = false;
#else
	reason = true; /* barrier V */
	count++;
	deadline = false; /* barrier W': after the count */
	asked++; /* barrier Y: after the deadline */
#endif
	canceled_since = begun
}

/* Twice, so that the first may be an old one. */
active proctype canceler()
{
	if
	:: cancel()
	:: skip
	fi;
	if
	:: cancel()
	:: skip
	fi
}

active proctype caller()
{
	byte noted, kernel;
	bool till;

#ifdef MUT_V2
	saw_reason = reason;
	atomic { noted = count; begun = true };
#else
	atomic { noted = count; begun = true }; /* barrier V' */
	saw_reason = reason;
#endif
	if
	:: saw_reason -> goto end
	:: !saw_reason
	fi;

	do
	:: true ->
#ifdef MUT_NOTE
		noted = count;
#endif
#ifdef MUT_W
		if
		:: count != noted -> till = false
		:: count == noted -> till = true
		fi;
		deadline = till;
#else
		deadline = true; /* barrier W */
		if
		:: count != noted -> deadline = false
		:: count == noted
		fi;
#endif
		/* In the kernel. */
#ifdef MUT_Y2
		till = deadline;
		kernel = asked;
#else
		kernel = asked; /* barrier Y' */
		till = deadline;
#endif
		if
		:: !till -> /* it only looks */
			if
			:: count != noted -> break
			:: count == noted
			fi
		:: till ->
end_asleep:
			if
			:: asked != kernel -> break
			:: atomic { others > 0 -> others-- }
			fi
		fi
	od;
	/* The count grew, or the kernel was asked. */
	wrong = !tried;
	assert(!wrong);
end:
	finished = true
}

active proctype judge()
{
	atomic {
		timeout ->
		stuck = begun && !finished && canceled_since;
		assert(!stuck)
	}
}
