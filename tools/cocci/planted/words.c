// SPDX-License-Identifier: GPL-2.0
/* For ../words.cocci: what it has to find, and what not. */

static u32 bad_slot(const struct ronbus_slot *slot)
{
	return READ_ONCE(slot->meta.topic); /* found */
}

static bool bad_words(const struct ronbus_ring *ring, u64 pos, u64 bit)
{
	struct ronbus_words at = ronbus_ring_at(ring, pos);

	return READ_ONCE(*at.ready) & bit; /* found */
}

static u64 bad_at_once(const struct ronbus_ring *ring, u64 pos)
{
	return READ_ONCE(*ronbus_ring_at(ring, pos).state); /* found */
}

static u64 bad_address(const struct ronbus_ring *ring, u64 pos)
{
	return *(u64 *)(ring->slots + pos * ring->stride); /* found */
}

static u32 bad_made(const struct ronbus_ring *ring, u64 pos, u64 state)
{
	struct ronbus_seen seen;

	seen.state = state; /* found */
	return ronbus_ring_unchanged(ring, pos, seen);
}

static u32 bad_unchecked(const struct ronbus_ring *ring, u64 pos, struct ronbus_seen seen)
{
	const struct ronbus_words at = ronbus_ring_at(ring, pos);

	return ronbus_words_topic(&at, seen); /* found */
}

static int good_checked(const struct ronbus_ring *ring, u64 pos, struct ronbus_seen seen)
{
	const struct ronbus_words at = ronbus_ring_at(ring, pos);
	u32 topic = ronbus_words_topic(&at, seen);

	if (!ronbus_ring_unchanged(ring, pos, seen))
		return -EAGAIN;
	return topic;
}

static bool good_asked(const struct ronbus_ring *ring, u64 pos)
{
	return ronbus_ring_claimed(ring, pos);
}
