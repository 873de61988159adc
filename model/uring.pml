/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * uring.pml - a wait that is pending in io_uring
 *
 * Mirrors kmod/uring.c, of kernels where a wait can be pending (RONBUS_URING_PENDING):
 *
 *	task		ronbus_uring_begin_wait(); then task work: ronbus_uring_look_again()
 *			finish, outcome	ronbus_uring_finish(), ronbus_uring_outcome(), ronbus_sub_arm()
 *	publisher	its message, NOTIFY, ronbus_uring_woken(), ronbus_uring_kick()
 *	timer		ronbus_uring_expired(), ronbus_uring_kick()
 *	ring_exit	ronbus_sub_uring_cmd() with IO_URING_F_CANCEL
 *	canceler	ronbus_sub_cancel()
 *	thief		another thread that reads for the same subscriber, once
 *
 * One wait, with or without a deadline; two publishers with up to a message each. The kernel's part is as
 * in 6.12: issuing, task work and the cancelling of commands hold the lock of the ring; callbacks of
 * the queue hold the queue's; hrtimer_cancel() waits for a callback that runs; a command that is
 * done is in no list, and must not be touched. -DUNLOCKED: task work runs without the lock of the
 * ring, and takes it to be done, as in 6.7 to 6.9.
 *
 * Shows:
 *
 *  - the wait is touched by nobody once it is freed, and is freed once; its command is completed
 *    once, has one task work queued at a time, and none when it is complete;
 *  - nothing is lost: when nothing moves any more, no wait is pending that would return if somebody
 *    looked, be it for a message, its deadline, a cancel, or the end of its ring.
 *
 * Sequentially consistent; MUT_U stands for the lack of the barrier. Mutations, of which each must
 * fail:
 *
 *	MUT_CLEAR	finish() does not clear KICKED
 *	MUT_U		barrier U: KICKED is cleared after the look instead of before it
 *	MUT_U2		barrier U': kick() looks at KICKED before what it kicks for is visible
 *	MUT_LAST	finish() frees without the last test_and_set_bit()
 *	MUT_KICK	kick() does not test: every one queues task work
 *	MUT_QUEUE	the wait enters the queue after the first look
 *	MUT_STAY	the wait is freed in the queue
 *	MUT_TIMER	the timer is not cancelled
 *	MUT_TRY		a timer's callback that runs is not waited for
 *	MUT_CANCELABLE	the command is made cancelable before the first look
 *	MUT_FREE	the wait is freed before its command is done (-DUNLOCKED)
 */
#define PUBS 2

/* Of the wait. */
bool freed, kicked, expired, canceled;
bool queued; /* in the subscriber's queue */
byte seen; /* cancels when it began */
mtype = { OFF, ON, RUNS };
mtype timer = OFF;

/* Of its command. */
bool cancelable;
bool work; /* task work is queued */
bool done;

/* Of the subscriber, and locks. */
byte there; /* messages */
bool armed;
byte cancels;
bool queue_lock, ring_lock;

bool touched, twice, lost;

#define TOUCH touched = freed; assert(!touched)
#define LOCK(l) atomic { !l -> l = true }
#define UNLOCK(l) l = false

/* The caller holds what keeps the wait from being freed. */
inline kick()
{
	atomic {
		TOUCH;
		mine = !kicked;
#ifdef MUT_KICK
		mine = true;
#endif
		kicked = true /* barrier U' */
	};
	atomic {
		if
		:: mine ->
			TOUCH;
			twice = work || done;
			assert(!twice);
			work = true
		:: else
		fi;
		mine = false
	}
}

inline wake()
{
	LOCK(queue_lock);
	if
	:: queued -> kick()
	:: else
	fi;
	UNLOCK(queue_lock)
}

/* ronbus_sub_arm(), and what is to be said with nothing there. */
inline outcome()
{
	if
	:: there > 0 -> over = true
	:: else ->
		armed = true; /* barrier D' */
		if
		:: there > 0 ->
			atomic { won = armed; armed = false };
			if
			:: won -> won = false; wake()
			:: else
			fi;
			over = true
		:: else -> atomic { TOUCH; over = canceled || cancels != seen || expired }
		fi
	fi
}

inline finish()
{
#if !defined(MUT_CLEAR) && !defined(MUT_U)
	atomic { TOUCH; kicked = false }; /* barrier U */
#endif
	outcome();
#ifdef MUT_U
	atomic { TOUCH; kicked = false };
#endif
#ifndef MUT_LAST
	atomic {
		if
		:: over -> TOUCH; over = !kicked; kicked = true
		:: else
		fi
	};
#endif
	if
	:: over ->
#ifndef MUT_STAY
		LOCK(queue_lock);
		queued = false;
		UNLOCK(queue_lock);
#endif
#ifdef MUT_TIMER
		skip
#endif
#ifdef MUT_TRY
		timer = (timer == ON -> OFF : timer)
#elif !defined(MUT_TIMER)
		atomic { timer != RUNS -> timer = OFF }
#endif
	:: else
	fi
}

#define FREE atomic { TOUCH; freed = true }

/* io_uring_cmd_done(), or the same by returning. */
inline complete()
{
	atomic {
		twice = done || work;
		assert(!twice);
		done = true
	}
}

active proctype task()
{
	bool over, won, mine;

	LOCK(ring_lock);
	atomic { seen = cancels; kicked = true };
#ifndef MUT_QUEUE
	/* barrier Q' */
	LOCK(queue_lock);
	queued = true;
	UNLOCK(queue_lock);
#endif
#ifdef MUT_CANCELABLE
	cancelable = true;
#endif
	finish();
	if
	:: over -> FREE; complete(); UNLOCK(ring_lock); goto end
	:: else
	fi;
#ifdef MUT_QUEUE
	LOCK(queue_lock);
	queued = true;
	UNLOCK(queue_lock);
#endif
	if
	:: timer = ON
	:: skip /* RONBUS_WAIT_FOREVER */
	fi;
	cancelable = true;
	UNLOCK(ring_lock);

end_pending:
	atomic { work -> work = false };
#ifndef UNLOCKED
	LOCK(ring_lock);
#endif
	finish();
	if
	:: over ->
#ifdef MUT_FREE
		FREE;
#endif
#ifdef UNLOCKED
		LOCK(ring_lock);
#endif
		cancelable = false;
		complete();
		UNLOCK(ring_lock);
#ifndef MUT_FREE
		FREE
#endif
	:: else ->
#ifndef UNLOCKED
		UNLOCK(ring_lock);
#endif
		goto end_pending
	fi;
end:
	skip
}

active [PUBS] proctype publisher()
{
	bool won, mine;

	if
	:: skip
	:: there++; /* barrier D */
		atomic { won = armed; armed = false }; /* NOTIFY */
		if
		:: won -> wake()
		:: else
		fi
	fi
}

active proctype thief()
{
	if
	:: atomic { there > 0 -> there-- }
	:: skip
	fi
}

active proctype clock()
{
	bool mine;

end:
	atomic { timer == ON -> timer = RUNS };
#ifndef MUT_U2
	atomic { TOUCH; expired = true };
#endif
	kick();
#ifdef MUT_U2
	atomic { TOUCH; expired = true };
#endif
	atomic { timer == RUNS -> timer = OFF }
}

active proctype ring_exit()
{
	bool mine;

	if
	:: skip
	:: LOCK(ring_lock);
		if
		:: cancelable ->
			atomic { TOUCH; canceled = true };
			kick()
		:: else
		fi;
		UNLOCK(ring_lock)
	fi
}

active proctype canceler()
{
	bool mine;

	if
	:: skip
	:: cancels++; wake()
	fi
}

/* Nothing moves any more. */
active proctype judge()
{
	atomic {
		timeout ->
		lost = !done && (there > 0 || cancels != seen || canceled || expired);
		assert(!lost)
	}
}
