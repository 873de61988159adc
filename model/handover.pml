/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * handover.pml - publishers on an embedded bus do not wait for its lock
 *
 * Mirrors:
 *
 *	notifier	ronbus_embedded_pub_notify()
 *	holder		a thread that has the lock of the bus for something else, and ronbus_embedded_unlock()
 *
 * A notifier notes what is to be done, and tries the lock. If the lock is taken, its holder does what is
 * noted before it releases the lock, and looks once more afterwards. Stores of each side wait in a
 * buffer until memory() drains it; a full barrier waits until the buffer is empty. A signal handler
 * that publishes is a notifier that interrupts the holder.
 *
 * Shows: when nothing moves any more, nothing is left to be done, and the lock is free.
 *
 * Mutations, of which each must fail:
 *
 *	MUT_N		barrier N: the lock is tried before what is noted is visible
 *	MUT_N2		barrier N': the second look comes before it is visible that the lock is free
 *	MUT_LOOK	there is no second look
 */
#define NOTIFIERS 2

bool lock;
byte todo;

/* Store buffers: what each notifier has noted; and that the lock is free, of whoever releases it. */
byte new_todo[NOTIFIERS];
bool new_free;

bool left;

active proctype memory()
{
end:
	do
	:: atomic { new_todo[0] > 0 -> todo++; new_todo[0]-- }
	:: atomic { new_todo[1] > 0 -> todo++; new_todo[1]-- }
	:: atomic { new_free -> new_free = false; lock = false }
	od
}

/* With the lock. */
inline unlock()
{
	do
	:: true ->
		todo = 0;
		!new_free; /* one store at a time */
		new_free = true;
#ifndef MUT_N2
		!new_free; /* barrier N' */
#endif
#ifdef MUT_LOOK
		break
#else
		if
		:: todo == 0 -> break
		:: todo > 0 ->
			if
			:: atomic { !lock -> lock = true }
			:: lock -> break
			fi
		fi
#endif
	od
}

active [NOTIFIERS] proctype notifier()
{
	byte me = _pid - 1;

	new_todo[me]++;
#ifndef MUT_N
	new_todo[me] == 0; /* barrier N */
#endif
	if
	:: atomic { !lock -> lock = true };
		unlock()
	:: lock
	fi
}

active proctype holder()
{
	atomic { !lock -> lock = true };
	unlock()
}

active proctype judge()
{
	atomic {
		timeout ->
		left = todo > 0 || lock;
		assert(!left)
	}
}
