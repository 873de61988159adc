// SPDX-License-Identifier: GPL-2.0
/*
 * A bus: creation, names, permissions, end.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/anon_inodes.h>
#include <linux/atomic.h>
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/stringhash.h>
#include <linux/swait.h>
#include <linux/user_namespace.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "../common/create.h"
#include "../common/member.h"
#include "bus.h"
#include "compat.h"
#include "ioctl.h"
#include "stats.h"
#include "trace.h"
#include "wake.h"

/* All buses by number, which grows. */
static DEFINE_XARRAY(buses);
static unsigned int nr_buses;
static u64 last_id;
static DEFINE_MUTEX(ronbus_registry);

/* Names of the same hash. A new bus does not wake programs that wait for names of another one. */
struct name_place {
	u64 given; /* how often one of them was given to a bus */
	struct swait_queue_head queue; /* programs that wait for one */
	/* Wakes them, since there may be any number, at no cost for the creator of a bus. */
	struct work_struct work;
};

static struct name_place name_places[RONBUS_NAME_PLACES];

static unsigned int user_buses = RONBUS_USER_BUSES;
module_param(user_buses, uint, 0644);
MODULE_PARM_DESC(user_buses, "buses that a user without CAP_SYS_RESOURCE may have at once");

/*
 * Say that a capacity does not suit what the bus is used for. The lock of the bus is held, unless
 * it is still being made. Each reason is counted once a bus, and logged while there have been few.
 */
void ronbus_bus_autotune_warn(struct ronbus_bus *bus, enum ronbus_autotune_reason reason)
{
	static const char *const words[] = {
		[RONBUS_AUTOTUNE_CAPACITY] = "its readers' cache does not hold so many",
		[RONBUS_AUTOTUNE_SUBSCRIBERS] = "chosen for fewer subscribers than it has",
	};
	static atomic_t left = ATOMIC_INIT(RONBUS_WARNINGS_MAX);

	if (bus->autotune_warned[reason])
		return;
	bus->autotune_warned[reason] = true;
	if (atomic_add_unless(&left, -1, 0))
		pr_warn("bus \"%s\": %u slots: %s\n", bus->name, bus->ring.mask + 1, words[reason]);
}

/* A bus that is over gives up its name at once, held or not: its successor has it. */
static bool ronbus_bus_has_name(const struct ronbus_bus *bus)
{
	return !(READ_ONCE(bus->page->status) & RONBUS_STATUS_OVER);
}

static struct ronbus_bus *ronbus_bus_find(const char *name, const struct ipc_namespace *ns,
					  u32 flags)
{
	struct ronbus_bus *bus, *last = NULL;
	unsigned long id;

	lockdep_assert_held(&ronbus_registry);

	xa_for_each(&buses, id, bus)
		if (bus->ipc_ns == ns && !strcmp(bus->name, name) &&
		    (flags & RONBUS_ATTACH_LAST || ronbus_bus_has_name(bus)))
			last = bus;
	return last;
}

/*
 * The user that the caller's buses are counted for. The owner of a user namespace has as many uids
 * there as it likes: they all count for the user that made the outermost namespace.
 */
static kuid_t ronbus_bus_accountable_uid(void)
{
	const struct user_namespace *ns = current_user_ns();
	kuid_t uid = current_uid();

	for (; ns != &init_user_ns; ns = ns->parent)
		uid = ns->owner;
	return uid;
}

static bool ronbus_bus_quota_used(kuid_t user)
{
	struct ronbus_bus *bus;
	unsigned int n = 0;
	unsigned long id;

	lockdep_assert_held(&ronbus_registry);

	xa_for_each(&buses, id, bus)
		n += uid_eq(bus->user, user);
	return n >= READ_ONCE(user_buses) && !capable(CAP_SYS_RESOURCE);
}

static void ronbus_name_wake_queue(struct work_struct *work)
{
	swake_up_all(&container_of(work, struct name_place, work)->queue);
}

void ronbus_names_init(void)
{
	struct name_place *place;

	for (place = name_places; place < name_places + RONBUS_NAME_PLACES; place++) {
		init_swait_queue_head(&place->queue);
		INIT_WORK(&place->work, ronbus_name_wake_queue);
	}
}

/* Without the address of the namespace a program cannot tell which names share a place. */
static struct name_place *ronbus_name_place(const char *name, const struct ipc_namespace *ns)
{
	return &name_places[full_name_hash(ns, name, strlen(name)) % RONBUS_NAME_PLACES];
}

/*
 * From now on a bus has its name and number, and is found by them. Return 0; -EEXIST for a name in
 * use; -ENOSPC for a bus too many; -ENOMEM.
 */
int ronbus_bus_enrol(struct ronbus_bus *bus)
{
	struct name_place *place = bus->name[0] ? ronbus_name_place(bus->name, bus->ipc_ns) : NULL;
	u64 id;
	int err = 0;

	mutex_lock(&ronbus_registry);
	if (place && ronbus_bus_find(bus->name, bus->ipc_ns, 0)) {
		err = -EEXIST;
	} else if (nr_buses == RONBUS_BUSES_MAX || ronbus_bus_quota_used(bus->user)) {
		err = -ENOSPC;
	} else {
		id = last_id + 1;
		err = xa_insert(&buses, id, bus, GFP_KERNEL_ACCOUNT);
	}
	if (!err) {
		bus->id = id;
		nr_buses++;
		last_id = id;
		if (place)
			WRITE_ONCE(place->given, place->given + 1);
	}
	mutex_unlock(&ronbus_registry);
	if (err)
		return err;
	if (place)
		queue_work(ronbus_workqueue, &place->work);
	trace_ronbus_create(bus);
	if (bus->features & RONBUS_F_AUTOTUNE_CAP && bus->ring.mask >= RONBUS_CAPACITY_WARN)
		ronbus_bus_autotune_warn(bus, RONBUS_AUTOTUNE_CAPACITY);
	return 0;
}

/* By the last holder of its memory: all members together, or a visit. */
static void ronbus_bus_free(struct ronbus_bus *bus)
{
	if (!refcount_dec_and_test(&bus->holders))
		return;
	cancel_work_sync(&bus->join_work);
	ronbus_ipc_ns_put(bus->ipc_ns);
	ronbus_blocks_free(bus);
	ronbus_region_free(&bus->mem);
	ronbus_region_free(&bus->info);
	kfree(bus);
}

static void ronbus_bus_wake_join_queue(struct work_struct *work)
{
	struct ronbus_bus *bus = container_of(work, struct ronbus_bus, join_work);

	/* All of them, even exclusive waiters: it is news for each. */
	__wake_up(&bus->join_queue, TASK_NORMAL, 0, poll_to_key(EPOLLOUT | EPOLLWRNORM));
}

/**
 * ronbus_bus_make() - make a bus that cannot be found yet
 * @args: what the program asked for; what was chosen is filled in
 * @busp: returned, with one reference
 *
 * Return: 0; -EINVAL or -EOPNOTSUPP for what a bus cannot be; -ENOMEM.
 */
int ronbus_bus_make(struct ronbus_create *args, struct ronbus_bus **busp)
{
	u32 tuned_for = ronbus_create_complete(args);
	struct ronbus_bus *bus;
	int err;

	err = ronbus_create_check(args);
	if (err)
		return err;

	bus = kzalloc(sizeof(*bus), GFP_KERNEL_ACCOUNT);
	if (!bus)
		return -ENOMEM;
	kref_init(&bus->ref);
	refcount_set(&bus->holders, 1);
	mutex_init(&bus->lock);
	spin_lock_init(&bus->wake_lock);
	init_waitqueue_head(&bus->join_queue);
	INIT_WORK(&bus->join_work, ronbus_bus_wake_join_queue);
	INIT_LIST_HEAD(&bus->pubs);
	bus->ipc_ns = get_ipc_ns(current->nsproxy->ipc_ns);
	bus->user = ronbus_bus_accountable_uid();
	bus->uid = current_fsuid();
	bus->gid = current_fsgid();
	bus->mode = args->mode;
	bus->features = args->features;
	bus->flags = args->flags;
	bus->autotuned_for = tuned_for;
	memcpy(bus->name, args->name, sizeof(bus->name));

	err = ronbus_region_alloc(&bus->info, sizeof(struct ronbus_info_page));
	if (err)
		goto err_bus;
	err = ronbus_region_alloc(&bus->mem,
				  ronbus_ring_bytes(args->capacity, args->payload, args->features));
	if (err)
		goto err_bus;
	err = ronbus_blocks_alloc(bus, args);
	if (err)
		goto err_bus;
	bus->page = bus->info.addr;
	ronbus_create_info_page(args, bus->page);
	ronbus_ring_view(&bus->ring, bus->mem.addr, args->capacity, args->payload, args->features);
	ronbus_ring_reset(&bus->ring);
	*busp = bus;
	return 0;

err_bus:
	ronbus_bus_free(bus);
	return err;
}

/* May a caller that has only the name of a bus have this access? As SysV IPC decides. */
static bool ronbus_bus_permitted(const struct ronbus_bus *bus, u32 access)
{
	umode_t mode = bus->mode;

	if (uid_eq(current_fsuid(), bus->uid))
		mode >>= 6;
	else if (in_group_p(bus->gid))
		mode >>= 3;
	if ((!(access & RONBUS_ACCESS_SUBSCRIBE) || mode & 04) &&
	    (!(access & RONBUS_ACCESS_PUBLISH) || mode & 02))
		return true;
	return ns_capable(bus->ipc_ns->user_ns, CAP_IPC_OWNER);
}

static int ronbus_bus_try_attach(const struct ronbus_attach *args, struct ronbus_bus **busp,
				 const struct name_place *place, u64 *given)
{
	struct ronbus_bus *bus;
	int err = 0;

	/* Under the lock a bus in the list has a reference left: see ronbus_bus_put(). */
	mutex_lock(&ronbus_registry);
	*given = place->given;
	bus = ronbus_bus_find(args->name, current->nsproxy->ipc_ns, args->flags);
	if (!bus)
		err = -ENOENT;
	else if (!ronbus_bus_permitted(bus, args->access))
		err = -EACCES;
	else
		*busp = ronbus_bus_get(bus);
	mutex_unlock(&ronbus_registry);
	return err;
}

/*
 * Sleep until a name is given after @given was read. The count changes before the queue is woken,
 * and that takes the lock under which sleepers enter the queue.
 */
static int ronbus_name_wait(struct name_place *place, u64 given, u64 deadline)
{
	DECLARE_SWAITQUEUE(wait);
	bool late = false;
	int err;

	for (;;) {
		err = prepare_to_swait_event(&place->queue, &wait,
					     TASK_INTERRUPTIBLE | TASK_FREEZABLE);
		/* A signal first: other names of the place may be given again and again. */
		if (err || READ_ONCE(place->given) != given)
			break;
		if (late) {
			err = -ETIMEDOUT;
			break;
		}
		late = ronbus_sleep_until(deadline);
	}
	finish_swait(&place->queue, &wait);
	return err;
}

/**
 * ronbus_bus_attach() - find a bus by name
 * @args: name and access
 * @busp: returned, with one reference
 *
 * Return: 0, -EINVAL or -EACCES; -ENOENT, or with a deadline -ETIMEDOUT or -ERESTARTSYS.
 */
int ronbus_bus_attach(const struct ronbus_attach *args, struct ronbus_bus **busp)
{
	struct name_place *place;
	u64 given;
	int err;

	if (args->flags & ~RONBUS_ATTACH_LAST || !args->access ||
	    args->access & ~(RONBUS_ACCESS_SUBSCRIBE | RONBUS_ACCESS_PUBLISH) || !args->name[0] ||
	    !ronbus_name_valid(args->name))
		return -EINVAL;
	place = ronbus_name_place(args->name, current->nsproxy->ipc_ns);
	do {
		err = ronbus_bus_try_attach(args, busp, place, &given);
		if (err != -ENOENT || !args->deadline)
			return err;
		err = ronbus_name_wait(place, given, ronbus_deadline_here(args->deadline));
	} while (!err);
	return err;
}

struct ronbus_bus *ronbus_bus_get(struct ronbus_bus *bus)
{
	kref_get(&bus->ref);
	return bus;
}

static void ronbus_bus_last_put(struct kref *ref)
{
	struct ronbus_bus *bus = container_of(ref, struct ronbus_bus, ref);
	bool enrolled = bus->id;

	if (enrolled) {
		xa_erase(&buses, bus->id);
		nr_buses--;
	}
	mutex_unlock(&ronbus_registry);
	if (enrolled)
		ronbus_trace_bus_ends(bus);
	ronbus_bus_free(bus);
}

/* Let go of a bus. The last call frees it and its name. */
void ronbus_bus_put(struct ronbus_bus *bus)
{
	kref_put_mutex(&bus->ref, ronbus_bus_last_put, &ronbus_registry);
}

/* The first bus from number @id on; its memory is held until ronbus_bus_free() ends the visit. */
static struct ronbus_bus *ronbus_bus_visit(unsigned long id, unsigned long last)
{
	struct ronbus_bus *bus;

	mutex_lock(&ronbus_registry);
	bus = xa_find(&buses, &id, last, XA_PRESENT);
	if (bus)
		refcount_inc(&bus->holders);
	mutex_unlock(&ronbus_registry);
	return bus;
}

/*
 * Visit all buses: @fn may take the lock of its bus. Programs create, attach and leave meanwhile: a
 * bus whose members go during the visit gives up its name at once, and its memory after the visit.
 */
void ronbus_bus_each(void (*fn)(struct ronbus_bus *bus, struct ronbus_stats *stats),
		     struct ronbus_stats *stats)
{
	struct ronbus_bus *bus;
	u64 next = 0;

	while ((bus = ronbus_bus_visit(next, ULONG_MAX))) {
		fn(bus, stats);
		next = bus->id + 1;
		ronbus_bus_free(bus);
		cond_resched();
	}
}

/* The counters of a bus, or of one subscriber of it. Return 0, -EINVAL, -ENOENT or -ENOMEM. */
int ronbus_bus_counters(u64 id, u32 which, struct ronbus_counters *counters)
{
	struct ronbus_stats *stats = kmalloc(sizeof(*stats), GFP_KERNEL);
	struct ronbus_bus *bus;
	int err = -ENOENT;

	if (!stats)
		return -ENOMEM;
	bus = ronbus_bus_visit(id, id);
	if (bus) {
		mutex_lock(&bus->lock);
		if (ronbus_bus_has_users(bus))
			err = ronbus_stats_gather_locked(bus, which, stats);
		mutex_unlock(&bus->lock);
		ronbus_bus_free(bus);
	}
	if (!err)
		*counters = stats->counters;
	kfree(stats);
	return err;
}

/* May the caller publish through a mapping? */
bool ronbus_bus_may_map(const struct ronbus_bus *bus)
{
	if (bus->flags & RONBUS_BUS_MAP_NONE)
		return false;
	return bus->flags & RONBUS_BUS_MAP_ALL || uid_eq(current_fsuid(), bus->uid) ||
	       ns_capable(bus->ipc_ns->user_ns, CAP_SYS_ADMIN);
}

/* Tell the subscribers if there will be no more messages. */
void ronbus_bus_end_if_due(struct ronbus_bus *bus)
{
	u32 status = bus->page->status;

	lockdep_assert_held(&bus->lock);

	if (!ronbus_end_due(bus->page, bus->publishers, bus->abandoned))
		return;
	/* After all that was ever published: barrier E, with E' where status is read: end.pml */
	smp_store_release(&bus->page->status, status | RONBUS_STATUS_ENDED);
	ronbus_bus_notify(bus, ~0ULL, RONBUS_WAKE_CLOSE);
}

static long ronbus_bus_seal_ioctl(struct ronbus_bus *bus, u32 access)
{
	if (!(access & RONBUS_ACCESS_PUBLISH))
		return -EACCES;
	if (!(access & RONBUS_ACCESS_END))
		return -EPERM;

	mutex_lock(&bus->lock);
	WRITE_ONCE(bus->page->status, bus->page->status | RONBUS_STATUS_SEALED);
	ronbus_bus_end_if_due(bus);
	mutex_unlock(&bus->lock);
	return 0;
}

static long ronbus_bus_publisher_ioctl(struct ronbus_bus *bus, u32 access, unsigned int cmd,
				       void __user *arg)
{
	struct ronbus_publisher args;
	struct file *file;
	int err, fd;

	err = ronbus_get_args(&args, sizeof(args), cmd, arg);
	if (err)
		return err;
	file = ronbus_pub_join(bus, access, &args);
	fd = ronbus_fd_reserve(file, cmd, arg, &args, sizeof(args));
	if (fd < 0)
		return fd;
	ronbus_pub_joined(file);
	fd_install(fd, file);
	return fd;
}

static long ronbus_bus_subscribe_ioctl(struct ronbus_bus *bus, u32 access, unsigned int cmd,
				       void __user *arg)
{
	struct ronbus_subscribe args;
	struct file *file;
	int err;

	err = ronbus_get_args(&args, sizeof(args), cmd, arg);
	if (err)
		return err;
	file = ronbus_sub_join(bus, access, &args);
	return ronbus_fd_install(file, cmd, arg, &args, sizeof(args));
}

static const struct file_operations bus_fops, creator_fops;

/*
 * Others may publish, but the end of a bus is for good: only its owner and the holders of the
 * creator's fd may end it. A missing capability is not for the audit log, since every member that
 * joins is asked.
 */
static bool ronbus_bus_may_end(const struct file *file)
{
	const struct ronbus_bus *bus = file->private_data;

	return file->f_op == &creator_fops || uid_eq(current_fsuid(), bus->uid) ||
	       ns_capable_noaudit(bus->ipc_ns->user_ns, CAP_IPC_OWNER);
}

static u32 ronbus_bus_file_access(const struct file *file)
{
	return (file->f_mode & FMODE_READ ? RONBUS_ACCESS_SUBSCRIBE : 0) |
	       (file->f_mode & FMODE_WRITE ? RONBUS_ACCESS_PUBLISH : 0) |
	       (ronbus_bus_may_end(file) ? RONBUS_ACCESS_END : 0);
}

/*
 * Make a file of a bus, which takes over the caller's reference; @access is to subscribe or to
 * publish at least. Return the file, or -ENFILE or -ENOMEM.
 */
struct file *ronbus_bus_file(struct ronbus_bus *bus, u32 access)
{
	int mode = !(access & RONBUS_ACCESS_PUBLISH)	 ? O_RDONLY
		   : !(access & RONBUS_ACCESS_SUBSCRIBE) ? O_WRONLY
							 : O_RDWR;
	struct file *file;

	file = anon_inode_getfile(
		"[ronbus]", access & RONBUS_ACCESS_END ? &creator_fops : &bus_fops, bus, mode);
	if (IS_ERR(file))
		ronbus_bus_put(bus);
	return file;
}

static long ronbus_bus_share_ioctl(const struct file *file, unsigned int cmd, void __user *arg)
{
	struct ronbus_bus *bus = file->private_data;
	struct ronbus_share args;
	int err;

	err = ronbus_get_args(&args, sizeof(args), cmd, arg);
	if (err)
		return err;
	if (args.pad || !args.access || args.access & ~RONBUS_ACCESS_ALL ||
	    (args.access & RONBUS_ACCESS_END && !(args.access & RONBUS_ACCESS_PUBLISH)))
		return -EINVAL;
	if (args.access & ~ronbus_bus_file_access(file))
		return -EACCES;
	return ronbus_fd_install(ronbus_bus_file(ronbus_bus_get(bus), args.access), cmd, NULL, NULL,
				 0);
}

static long ronbus_bus_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct ronbus_bus *bus = file->private_data;
	void __user *uarg = (void __user *)arg;

	switch (RONBUS_CMD(cmd)) {
	case RONBUS_CMD(RONBUS_IOC_PUBLISHER):
		return ronbus_bus_publisher_ioctl(bus, ronbus_bus_file_access(file), cmd, uarg);
	case RONBUS_CMD(RONBUS_IOC_SUBSCRIBE):
		return ronbus_bus_subscribe_ioctl(bus, ronbus_bus_file_access(file), cmd, uarg);
	case RONBUS_CMD(RONBUS_IOC_SEAL):
		return ronbus_bus_seal_ioctl(bus, ronbus_bus_file_access(file));
	case RONBUS_CMD(RONBUS_IOC_SHARE):
		return ronbus_bus_share_ioctl(file, cmd, uarg);
	}
	return ronbus_common_ioctl(bus, RONBUS_ROLE_BUS, 0, ronbus_bus_file_access(file), cmd,
				   uarg);
}

static int ronbus_bus_release(struct inode *inode, struct file *file)
{
	ronbus_bus_put(file->private_data);
	return 0;
}

#define BUS_FOPS                                                                                 \
	.owner = THIS_MODULE, .release = ronbus_bus_release, .unlocked_ioctl = ronbus_bus_ioctl, \
	.compat_ioctl = compat_ptr_ioctl, .show_fdinfo = ronbus_show_bus

/* Of the bus fd that ATTACH returns, and of the one from CREATE, which can end the bus. */
static const struct file_operations bus_fops = { BUS_FOPS };
static const struct file_operations creator_fops = { BUS_FOPS };
