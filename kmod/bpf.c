// SPDX-License-Identifier: GPL-2.0
/*
 * Functions for BPF programs. A program that is allowed to run at all sees the whole kernel, so
 * reading counters needs no further permission. Publishing does: a process that may publish on the
 * bus, and load such programs, makes a publisher for it (RONBUS_PUBLISHER_BPF) and gives the
 * program its token. BPF programs of other users cannot guess the token.
 *
 * A program may run in any context, interrupts and NMIs included. The ring takes no locks, and
 * subscribers are woken later, from an interrupt of the publisher's own.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bitops.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/btf_ids.h>
#include <linux/irq_work.h>
#include <linux/printk.h>
#include <linux/random.h>
#include <linux/rcupdate.h>
#include <linux/xarray.h>

#include "bpf.h"
#include "bus.h"
#include "coalesce.h"
#include "compat.h"
#include "pub.h"
#include "stats.h"
#include "trace.h"
#include "wake.h"

/*
 * The low bits of a token are the index of its publisher here, the others are random: so a program
 * that still has an old token reaches no publisher, either.
 */
static DEFINE_XARRAY_ALLOC1(bpf_pubs);
#define INDEX_MASK GENMASK_ULL(15, 0)

static void ronbus_bpf_wake(struct irq_work *work)
{
	struct ronbus_pub *pub = container_of(work, struct ronbus_pub, wake_work);

	/* As a barrier it has no partner: the irq_work orders what its queuers did before this. */
	ronbus_bus_notify(pub->bus, atomic64_xchg(&pub->wake_mask, 0), RONBUS_WAKE_DATA);
}

/* Let BPF programs use a publisher. Return 0 with its token set, -ENOMEM or -ENOSPC. */
int ronbus_bpf_join(struct ronbus_pub *pub)
{
	u32 index;
	int err;

	init_irq_work(&pub->wake_work, ronbus_bpf_wake);
	err = xa_alloc(&bpf_pubs, &index, pub, XA_LIMIT(1, INDEX_MASK), GFP_KERNEL_ACCOUNT);
	if (err)
		return err == -EBUSY ? -ENOSPC : err;
	/* Before this it has token 0, which has no place in the array. */
	WRITE_ONCE(pub->bpf_token, (get_random_u64() & ~INDEX_MASK) | index);
	return 0;
}

/* Once this returns, no BPF program uses the publisher any more. */
void ronbus_bpf_leave(struct ronbus_pub *pub)
{
	if (!pub->bpf_token)
		return;
	xa_erase(&bpf_pubs, pub->bpf_token & INDEX_MASK);
	synchronize_rcu();
	irq_work_sync(&pub->wake_work);
}

static void ronbus_bpf_queue_wake(struct ronbus_pub *pub, u64 mask)
{
	if (!mask && !ronbus_coalesce_due(pub->bus))
		return;
	atomic64_or(mask, &pub->wake_mask);
	irq_work_queue(&pub->wake_work); /* a full barrier, if it is queued already */
}

/**
 * bpf_ronbus_publish() - publish a message
 * @token: of a publisher made with RONBUS_PUBLISHER_BPF
 * @topic: its topic, below RONBUS_TOPICS_MAX
 * @data: the message
 * @data__sz: bytes of it, up to the bus's payload
 *
 * From any context.
 *
 * Return: how many subscribers it is for; -ENOENT: no such publisher; -EINVAL: no such topic;
 * -EMSGSIZE; -EAGAIN: dropped, since every slot is being written.
 */
__bpf_kfunc int bpf_ronbus_publish(u64 token, u32 topic, const void *data, u32 data__sz)
{
	struct ronbus_pub *pub;
	u64 audience;
	bool writes;
	int ret = -ENOENT;

	if (topic >= RONBUS_TOPICS_MAX)
		return -EINVAL;
	rcu_read_lock();
	pub = xa_load(&bpf_pubs, token & INDEX_MASK);
	if (!pub || READ_ONCE(pub->bpf_token) != token)
		goto out;
	ret = -EMSGSIZE;
	if (data__sz > pub->bus->ring.payload)
		goto out;

	audience = ronbus_bus_audience(pub->bus, topic);
	writes = ronbus_bus_writes(pub->bus, audience);
	ret = writes ? ronbus_pub_put_now(pub->bus, audience, topic, data, data__sz) : 0;
	if (ret) {
		ronbus_counter_add_atomic(&pub->self->dropped, 1);
		ronbus_bpf_queue_wake(pub,
				      ~0ULL); /* there may be holes now: see ronbus_pub_give_up() */
		goto out;
	}
	ronbus_bpf_queue_wake(pub, writes ? ronbus_wake_mask(pub->bus, topic, audience) : 0);
	ret = hweight64(audience);
	ronbus_pub_count(pub, 1, audience);
	trace_ronbus_publish(pub, topic, 1, ret);
out:
	rcu_read_unlock();
	return ret;
}

/**
 * bpf_ronbus_counters() - read the counters of a bus
 * @bus: its number, as tracepoints tell it
 * @which: a subscriber's index, or RONBUS_STATS_BUS
 * @counters: filled in
 * @counters__sz: sizeof(struct ronbus_counters)
 *
 * From programs that may sleep.
 *
 * Return: 0; -ENOENT: no such bus or subscriber; -EINVAL: @which is no index, or @counters has
 * another size; -ENOMEM.
 */
__bpf_kfunc int bpf_ronbus_counters(u64 bus, u32 which, void *counters, u32 counters__sz)
{
	if (counters__sz != sizeof(struct ronbus_counters))
		return -EINVAL;
	return ronbus_bus_counters(bus, which, counters);
}

BTF_KFUNCS_START(ronbus_kfuncs)
BTF_ID_FLAGS(func, bpf_ronbus_publish)
BTF_ID_FLAGS(func, bpf_ronbus_counters, KF_SLEEPABLE)
BTF_KFUNCS_END(ronbus_kfuncs)

static const struct btf_kfunc_id_set kfunc_set = {
	.owner = THIS_MODULE,
	.set = &ronbus_kfuncs,
};

/* Offer the functions. Without them all the rest works. */
void ronbus_bpf_init(void)
{
	int err = register_btf_kfunc_id_set(BPF_PROG_TYPE_TRACING, &kfunc_set);

	if (!err)
		err = register_btf_kfunc_id_set(BPF_PROG_TYPE_SYSCALL, &kfunc_set);
	if (err)
		pr_info("no functions for BPF programs (error %d): built without type information\n",
			-err);
}
