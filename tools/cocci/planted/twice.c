// SPDX-License-Identifier: GPL-2.0
/* For ../twice.cocci: what it has to find, and what not. */

static bool bad_cursor(struct ronbus_sub *sub)
{
	if (READ_ONCE(sub->self->cursor) > sub->start)
		return false;
	return look(sub, READ_ONCE(sub->self->cursor)); /* found */
}

static u64 bad_at_hand(const struct ronbus_sub *sub)
{
	const struct ronbus_self *self = sub->self;
	u64 lost = READ_ONCE(self->lost);

	if (!lost)
		return 0;
	return READ_ONCE(self->lost); /* found */
}

static int bad_command(struct io_uring_cmd *cmd)
{
	const struct ronbus_wait *args = ronbus_uring_payload(cmd);

	if (READ_ONCE(args->flags))
		return -EINVAL;
	return wait_with(READ_ONCE(args->flags)); /* found */
}

static u64 bad_plain(const struct ronbus_sub *sub)
{
	return sub->self->cursor; /* found */
}

static void bad_plain_at_hand(struct ronbus_self *self)
{
	self->delivered++; /* found */
}

static int bad_copies(struct ronbus_args *args, const void __user *from)
{
	if (copy_from_user(args, from, sizeof(*args)))
		return -EFAULT;
	if (!args->size)
		return -EINVAL;
	return copy_from_user(args->data, from, sizeof(*args)) ? -EFAULT : 0; /* found */
}

static int bad_gets(u32 __user *from)
{
	u32 size, again;

	if (get_user(size, from) || size > SIZE_MAX)
		return -EFAULT;
	return get_user(again, from); /* found */
}

static u64 good_cursor(struct ronbus_sub *sub)
{
	u64 cursor = READ_ONCE(sub->self->cursor);

	WRITE_ONCE(sub->self->cursor, cursor + 1);
	ronbus_counter_add(&sub->self->delivered, 1);
	return max(cursor, sub->start);
}

static u64 good_words(const struct ronbus_self *self)
{
	return READ_ONCE(self->lost) + READ_ONCE(self->lags) + READ_ONCE(self->messages_for[3]);
}

static int good_command(struct io_uring_cmd *cmd)
{
	const struct ronbus_wait *args = ronbus_uring_payload(cmd);
	u64 deadline = READ_ONCE(args->deadline);

	if (READ_ONCE(args->flags) || READ_ONCE(args->pad))
		return -EINVAL;
	return wait_until(deadline);
}

static int good_copies(struct ronbus_vec *vec, const void __user *from, void *to)
{
	if (copy_from_user(vec, from, sizeof(*vec)))
		return -EFAULT;
	return copy_from_user(to, u64_to_user_ptr(vec->data), vec->len) ? -EFAULT : 0;
}
