/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * blocks.pml - blocks that messages name: taken in turn, pinned, used again, whoever dies
 *
 * Mirrors:
 *
 *	publisher	take		ronbus_block_take(), block_take() of the embedded transport
 *			write, open	put_now(), ronbus_embedded_publish_block()
 *			done		ronbus_block_give_back(), block_done()
 *	subscriber	pin, unpin	ronbus_blocks_pin(), ronbus_blocks_unpin()
 *			leave		ronbus_sub_leave(), ronbus_embedded_sub_close()
 *
 * Publishers with a few messages each share fewer blocks. The kernel, and the embedded transport
 * likewise, chooses a block with the lock and marks it as being written, for it is out of the queue
 * then; closes it, looks for pins and fills it without the lock, and puts it back if it is pinned. A
 * subscriber takes any message that was ever published, which is all that lapping can do to it, pins
 * its block, reads it twice, and lets go; at any step it may die, that is, leave with its pins as they are. A publisher that cannot copy
 * its data gives its block back.
 *
 * Shows: what is pinned does not change (torn); no block is written by two (twice); a message is
 * given up only if every block that was looked at was pinned or being written (waited); and when
 * all have gone, every block can be taken (leaked). For that
 *
 *  - a reader stores its pin and then looks whether the block still is its message's, and a
 *    publisher that takes a block closes it and then looks for pins;
 *  - nothing else keeps a block. Were it kept until all have read it (MUT_WAIT), a subscriber that
 *    stops would end publishing: the ring would never come around, for want of blocks.
 *
 * Sequentially consistent. Mutations, of which each must fail:
 *
 *	MUT_P		barrier P: the generation is looked at, then the pin is stored
 *	MUT_P2		barrier P': pins are looked at, then the block is closed
 *	MUT_R		barrier R: the pin goes before the last look at the data
 *	MUT_R2		barrier R': the block is written before pins are looked at
 *	MUT_CHECK	a reader does not look at the generation
 *	MUT_SCAN	nobody looks for pins
 *	MUT_WRITTEN	a block that is being written is taken
 *	MUT_MARK	a block is marked as being written only when no pin was found
 *	MUT_DONE	a block that could not be filled is not given back
 *	MUT_PASS	a block that is pinned is not let go
 *	MUT_LEAVE	pins of a reader that has left count
 *	MUT_WAIT	a block is kept until all have read it
 */
#ifndef PUBS
#define PUBS 2
#endif
#ifndef MSGS
#define MSGS 2
#endif
#ifndef BLOCKS
#define BLOCKS 2
#endif
#ifndef SUBS
#define SUBS 1
#endif
#define PINS 2
#define ALL (PUBS * MSGS)
#define TORN 255

byte generation[BLOCKS];
byte content[BLOCKS]; /* of which message, from 1 */
bool written[BLOCKS];
byte writers[BLOCKS]; /* how many publishers write it, whatever the mark says */
byte next_block;
byte pins[SUBS * PINS]; /* the block and 1 */
bool member[SUBS] = true;
bool unread[BLOCKS];
bool locked;

/* Messages in the order in which they were published: what readers may come by, from 1. */
byte ref_block[ALL + 1];
byte ref_generation[ALL + 1];
byte ref_message[ALL + 1];
byte published;

byte gone; /* publishers that are through */
bool torn, twice, waited, leaked;

inline lock() { atomic { !locked -> locked = true } }
inline unlock() { locked = false }

/* Is the block pinned? Word by word, as others go on. */
inline scan(block, found) {
	found = false;
#ifndef MUT_SCAN
	w = 0;
	do
	:: w < SUBS * PINS ->
		atomic {
#ifdef MUT_LEAVE
			found = found || pins[w] == block + 1; /* barrier R' */
#else
			found = found || (member[w / PINS] && pins[w] == block + 1); /* barrier R' */
#endif
			w++
		}
	:: else -> break
	od
#endif
}

inline close(block) {
	atomic { generation[block] = generation[block] + generation[block] % 2 } /* barrier P' */
}

proctype publisher(byte first)
{
	byte block, w, tries, message = first;
	bool found, spared;

next:
	if
	:: message == first + MSGS -> goto end
	:: else
	fi;
	tries = 0;
	spared = true;
take:
	if
	:: tries == BLOCKS ->
		/* Each block had to be left alone, for a reason. */
		waited = !spared;
		assert(!waited);
		message++;
		goto next
	:: else
	fi;
	lock();
	atomic {
		block = next_block;
		w = 0;
		do
#ifndef MUT_WRITTEN
		:: w < BLOCKS && written[block] -> block = (block + 1) % BLOCKS; w++
		:: !(w < BLOCKS && written[block]) -> break
#else
		:: break
#endif
		od;
		tries++
	}
	if
	:: w == BLOCKS -> unlock(); message++; goto next
	:: else
	fi;
	next_block = (block + 1) % BLOCKS;
#ifndef MUT_MARK
	written[block] = true;
#endif
	unlock();
#ifdef MUT_WAIT
	if
	:: unread[block] -> spared = false; goto pass
	:: else
	fi;
#endif
#if defined(MUT_P2)
	scan(block, found);
	close(block);
#elif defined(MUT_R2)
	close(block);
	content[block] = TORN;
	scan(block, found);
#else
	close(block);
	scan(block, found);
#endif
	if
	:: found ->
#ifdef MUT_WAIT
pass:
#endif
#ifndef MUT_PASS
		lock();
		written[block] = false;
		unlock();
#endif
		goto take
	:: else
	fi;
#ifdef MUT_MARK
	written[block] = true;
#endif
	atomic { twice = writers[block] > 0; assert(!twice); writers[block]++ };

	content[block] = TORN;
	if
	:: content[block] = message;
	:: lock(); /* it cannot be copied */
		writers[block]--;
#ifndef MUT_DONE
		atomic {
			written[block] = false;
			if
			:: next_block == (block + 1) % BLOCKS -> next_block = block
			:: else
			fi
		};
#endif
		unlock();
		message++;
		goto next
	fi;
	atomic {
		generation[block]++;
		unread[block] = true;
		published++;
		ref_block[published] = block;
		ref_generation[published] = generation[block];
		ref_message[published] = message;
		message++
	};
	lock();
	writers[block]--;
	written[block] = false;
	unlock();
	goto next;
end:
	gone++
}

proctype subscriber(byte me)
{
	byte ref, saw, block;
	byte pin;

recv:
	atomic {
		/* One that has been published; or nothing more. */
		if
		:: published > 0 ->
			ref = 1;
			do
			:: ref < published -> ref++
			:: break
			od
		:: goto leave
		fi;
		block = ref_block[ref];
		/* Another word each time, as it may be. */
		pin = (pin + 1) % PINS
	};
	unread[block] = false;
#ifdef MUT_P
	saw = generation[block];
#endif
	pins[me * PINS + pin] = block + 1; /* barrier P, barrier R */
#if !defined(MUT_P)
	saw = generation[block];
#endif
#ifndef MUT_CHECK
	if
	:: saw != ref_generation[ref] -> pins[me * PINS + pin] = 0; goto more
	:: else
	fi;
#endif
	/* It is of the right message, and stays so. */
	saw = content[block];
#ifdef MUT_R
	pins[me * PINS + pin] = 0;
#endif
	atomic {
		torn = saw != ref_message[ref] || saw != content[block];
		assert(!torn)
	};
	if
	:: pins[me * PINS + pin] = 0 /* barrier R */
	:: goto leave /* it dies */
	fi;
more:
	if
	:: goto recv
	:: skip
	fi;
leave:
	lock();
	member[me] = false;
	unlock()
}

active proctype judge()
{
	byte block, w;

	atomic {
		timeout ->
		assert(gone == PUBS);
		block = 0;
		do
		:: block < BLOCKS ->
			leaked = leaked || written[block];
			w = 0;
			do
			:: w < SUBS * PINS ->
#ifdef MUT_LEAVE
				leaked = leaked || pins[w] == block + 1;
#else
				leaked = leaked || (member[w / PINS] && pins[w] == block + 1);
#endif
				w++
			:: else -> break
			od;
			block++
		:: else -> break
		od;
		assert(!leaked)
	}
}

init {
	byte i;

	atomic {
		i = 0;
		do
		:: i < PUBS -> run publisher(1 + i * MSGS); i++
		:: else -> break
		od;
		i = 0;
		do
		:: i < SUBS -> run subscriber(i); i++
		:: else -> break
		od;
		i = 0
	}
}
