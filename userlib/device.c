// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * device.c - a bus in the kernel, reached through /dev/ronbus
 *
 * The kernel's mappings do not pass to a child of fork(). A handle the child inherited has an fd
 * to close, but of the addresses it says nothing: others may live there by now. So each handle
 * remembers whose it is.
 */
#include "internal.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

struct device_bus {
	struct ronbus base;
	int fd;
};

/* An fd of a member, and what it has mapped. */
struct member {
	int fd;
	pid_t pid;
	struct ronbus_info info;
	void *info_page;
	void *ring;
	void *self;
	void *blocks;
};

struct device_pub {
	struct ronbus_publisher_handle base;
	struct member member;
};

/**
 * struct device_sub - a subscriber
 * @base: its handle
 * @member: its fd, and what is mapped
 * @wait: what the kernel is asked to wait for, which a cancel changes
 */
struct device_sub {
	struct ronbus_subscriber_handle base;
	struct member member;
	struct ronbus_wait wait;
};

/* Leaves errno alone, since it may be called in a signal handler. */
static int call(int fd, unsigned long request, void *arg)
{
	int saved = errno, ret = ioctl(fd, request, arg);

	if (ret < 0) {
		ret = -errno;
		errno = saved;
	}
	return ret;
}

static int open_device(const char *where, struct ronbus_query *query)
{
	int was = ronbus_cancel_hold(), fd = open(where, O_RDWR | O_CLOEXEC);
	int err = fd < 0 ? -errno : call(fd, RONBUS_IOC_QUERY, query);

	ronbus_cancel_release(was);
	if (!err && query->abi_version != RONBUS_ABI_VERSION)
		err = -EPROTO;
	if (!err)
		return fd;
	ronbus_why_doing(RONBUS_AT_DEVICE);
	if (fd >= 0)
		ronbus_fd_close(fd);
	return err;
}

static int device_query(const char *where, struct ronbus_query *query)
{
	int fd = open_device(where, query);

	if (fd < 0)
		return fd;
	ronbus_fd_close(fd);
	return 0;
}

/* ---- mappings ------------------------------------------------------------------------- */

static int map(int fd, size_t length, bool writable, unsigned long offset, void **at)
{
	int prot = PROT_READ | (writable ? PROT_WRITE : 0);
	void *p = mmap(NULL, length, prot, MAP_SHARED, fd, (off_t)offset);

	if (p == MAP_FAILED) {
		/* Where all that is mapped is locked, EAGAIN says that this would be too much. */
		ronbus_why_doing(errno == EAGAIN ? RONBUS_AT_LOCKED : RONBUS_AT_MAP);
		return errno == EAGAIN ? -ENOMEM : -errno;
	}
	*at = p;
	return 0;
}

static void unmap(void *at, size_t length)
{
	if (at)
		munmap(at, length);
}

static void member_close(struct member *member)
{
	if (member->pid == getpid()) {
		unmap(member->blocks, member->info.blocks_bytes);
		unmap(member->self, member->info.self_bytes);
		unmap(member->ring, member->info.ring_bytes);
		unmap(member->info_page, member->info.info_bytes);
	}
	ronbus_fd_close(member->fd);
}

/* The inlines compute with this: better to refuse it here. */
static int check_info(const struct ronbus_info *info)
{
	if (info->capacity < RONBUS_CAPACITY_MIN || info->capacity > RONBUS_CAPACITY_MAX ||
	    info->capacity & (info->capacity - 1) || !info->payload ||
	    info->payload > RONBUS_PAYLOAD_MAX || info->payload & 7)
		return -EPROTO;
	/* A newer module may have features that say where things are. */
	if (info->features & ~RONBUS_FEATURES_KNOWN)
		return -EPROTO;
	if (info->ring_bytes < ronbus_ring_bytes(info->capacity, info->payload, info->features) ||
	    info->ring_bytes > SIZE_MAX || info->info_bytes < sizeof(struct ronbus_info_page) ||
	    info->self_bytes < sizeof(struct ronbus_self))
		return -EPROTO;
	if (info->features & RONBUS_F_BLOCKS &&
	    (!info->blocks || info->blocks > RONBUS_BLOCKS_MAX ||
	     info->block_size > RONBUS_BLOCK_SIZE_MAX || info->blocks_bytes > SIZE_MAX ||
	     info->blocks_bytes < ronbus_blocks_bytes(info->blocks, info->block_size)))
		return -EPROTO;
	return 0;
}

static int map_info(struct member *member)
{
	const struct ronbus_info_page *page;
	int err = map(member->fd, member->info.info_bytes, false, RONBUS_MMAP_INFO,
		      &member->info_page);

	if (err)
		return err;
	page = member->info_page;
	return page->abi_version == RONBUS_ABI_VERSION ? 0 : -EPROTO;
}

static int map_ring(struct member *member, bool writable)
{
	int err =
		map(member->fd, member->info.ring_bytes, writable, RONBUS_MMAP_RING, &member->ring);

	if (!err)
		err = map(member->fd, member->info.self_bytes, true, RONBUS_MMAP_SELF,
			  &member->self);
	return err;
}

/* What a new member maps: every member can see which subscribers there are. */
enum mapping {
	MAP_INFO,
	MAP_TO_READ,
	MAP_TO_WRITE
};

/* Take over the fd of a new member; on failure it is closed. */
static int member_open(struct member *member, int fd, enum mapping mapping)
{
	int err;

	member->fd = fd;
	member->pid = getpid();
	err = call(fd, RONBUS_IOC_INFO, &member->info);
	if (!err)
		err = check_info(&member->info);
	if (!err)
		err = map_info(member);
	if (!err && mapping != MAP_INFO)
		err = map_ring(member, mapping == MAP_TO_WRITE);
	if (!err && mapping == MAP_TO_READ && member->info.features & RONBUS_F_BLOCKS)
		err = map(fd, member->info.blocks_bytes, false, RONBUS_MMAP_BLOCKS,
			  &member->blocks);
	if (err)
		member_close(member);
	return err;
}

/* ---- buses ---------------------------------------------------------------------------- */

static int check_abi(int fd)
{
	struct ronbus_query query = { 0 };
	int err = call(fd, RONBUS_IOC_QUERY, &query);

	return err ? err : query.abi_version == RONBUS_ABI_VERSION ? 0 : -EPROTO;
}

int ronbus_device_adopt(int fd, struct ronbus **bus)
{
	struct ronbus_info info = { 0 };
	struct device_bus *device;
	int err = call(fd, RONBUS_IOC_INFO, &info);

	if (err)
		return err;
	if (info.role != RONBUS_ROLE_BUS)
		return -EINVAL;
	err = check_abi(fd);
	if (err)
		return err;
	device = ronbus_zalloc(sizeof(*device));
	if (!device)
		return -ENOMEM;
	device->base.transport = &ronbus_device_transport;
	device->base.features = info.features;
	device->fd = fd;
	*bus = &device->base;
	return 0;
}

static int make_bus(const char *where, unsigned long request, const void *arg, struct ronbus **bus)
{
	struct ronbus_query query = { 0 };
	int control = open_device(where, &query);
	int fd, err;

	if (control < 0)
		return control;
	fd = call(control, request, (void *)arg);
	ronbus_fd_close(control);
	if (fd < 0)
		return fd;
	err = ronbus_device_adopt(fd, bus);
	if (err)
		ronbus_fd_close(fd);
	return err;
}

static int device_create(const char *where, struct ronbus_create *req, struct ronbus **bus)
{
	return make_bus(where, RONBUS_IOC_CREATE, req, bus);
}

static int device_attach(const char *where, const struct ronbus_attach *req, struct ronbus **bus)
{
	return make_bus(where, RONBUS_IOC_ATTACH, req, bus);
}

static int bus_fd(const struct ronbus *bus)
{
	return ((const struct device_bus *)bus)->fd;
}

static int device_share(const struct ronbus *bus, __u32 access)
{
	struct ronbus_share req = { .access = access };

	return call(bus_fd(bus), RONBUS_IOC_SHARE, &req);
}

static int device_bus_info(struct ronbus *bus, struct ronbus_info *info)
{
	return call(bus_fd(bus), RONBUS_IOC_INFO, info);
}

static int device_seal(struct ronbus *bus)
{
	return call(bus_fd(bus), RONBUS_IOC_SEAL, NULL);
}

static int device_stats(struct ronbus *bus, struct ronbus_stats *stats)
{
	return call(bus_fd(bus), RONBUS_IOC_STATS, stats);
}

static void device_bus_close(struct ronbus *bus)
{
	ronbus_fd_close(bus_fd(bus));
	free(bus);
}

/* ---- publishers ----------------------------------------------------------------------- */

/* Mapped if this caller may, unless @flags say otherwise. */
static int join(int bus, unsigned int flags, struct ronbus_publisher *req)
{
	int fd;

	if (!(flags & RONBUS_PUB_SYSCALL)) {
		*req = (struct ronbus_publisher){ .flags = RONBUS_PUBLISHER_MAPPED };
		fd = call(bus, RONBUS_IOC_PUBLISHER, req);
		if (flags & RONBUS_PUB_MAPPED_ONLY || (fd != -EPERM && fd != -ENOSPC))
			return fd;
	}
	*req = (struct ronbus_publisher){ 0 };
	return call(bus, RONBUS_IOC_PUBLISHER, req);
}

static void fill_pub(struct device_pub *device, const struct ronbus_publisher *req)
{
	const struct member *member = &device->member;
	struct ronbus_pub *pub = &device->base.pub;

	pub->ring.payload = member->info.payload;
	pub->id = req->id;
	pub->info = member->info_page;
	if (member->info.flags & RONBUS_BUS_EXCLUSIVE)
		pub->how |= RONBUS_HOW_EXCLUSIVE;
	if (member->info.flags & RONBUS_BUS_RETAIN)
		pub->how |= RONBUS_HOW_RETAIN;
	if (member->info.flags & RONBUS_BUS_COARSE_TIME)
		pub->how |= RONBUS_HOW_COARSE;
	if (!(req->flags & RONBUS_PUBLISHER_MAPPED)) {
		pub->how |= RONBUS_HOW_SYSCALL;
		return;
	}
	ronbus_ring_view(&pub->ring, member->ring, member->info.capacity, member->info.payload,
			 member->info.features);
	pub->ring.clock_offset = req->clock_offset;
	pub->self = member->self;
	pub->pos = ronbus_ring_tail(&pub->ring);
}

static int device_publisher(struct ronbus *bus, unsigned int flags,
			    struct ronbus_publisher_handle **pub)
{
	struct device_pub *device = ronbus_zalloc(sizeof(*device));
	struct ronbus_publisher req;
	enum mapping mapping;
	int fd, err;

	if (!device)
		return -ENOMEM;
	fd = join(bus_fd(bus), flags, &req);
	mapping = req.flags & RONBUS_PUBLISHER_MAPPED ? MAP_TO_WRITE : MAP_INFO;
	err = fd < 0 ? fd : member_open(&device->member, fd, mapping);
	if (err) {
		free(device);
		return err;
	}
	fill_pub(device, &req);
	*pub = &device->base;
	return 0;
}

static int device_pub_fd(const struct ronbus_publisher_handle *pub)
{
	return ((const struct device_pub *)pub)->member.fd;
}

static int device_pub_wait(struct ronbus_publisher_handle *pub, __u64 deadline)
{
	struct pollfd member = { .fd = device_pub_fd(pub), .events = POLLOUT };
	__u64 now = ronbus_now();
	struct timespec left = ronbus_timespec(deadline > now ? deadline - now : 0);
	int ret;

	ret = ppoll(&member, 1, deadline == RONBUS_WAIT_FOREVER ? NULL : &left, NULL);
	return ret < 0 ? -errno : ret ? 0 : -ETIMEDOUT;
}

static int device_publish(struct ronbus_publisher_handle *pub, unsigned int topic,
			  const struct iovec *vec, unsigned int count, __u32 *receivers)
{
	struct ronbus_vec messages[RONBUS_BATCH_MAX];
	struct ronbus_publish req = {
		.vec = (uintptr_t)messages,
		.topic = topic,
	};
	unsigned int i;
	int ret;

	/* A message that is too long ends the batch before it. */
	for (i = 0; i < count && vec[i].iov_len <= pub->pub.ring.payload; i++)
		messages[i] = (struct ronbus_vec){
			.data = (uintptr_t)vec[i].iov_base,
			.len = (__u32)vec[i].iov_len,
		};
	if (!i)
		return -EMSGSIZE;
	req.count = i;
	ret = call(device_pub_fd(pub), RONBUS_IOC_PUBLISH, &req);
	*receivers = req.receivers;
	return ret;
}

static int device_publish_block(struct ronbus_publisher_handle *handle,
				struct ronbus_publish_block *req)
{
	struct ronbus_pub *pub = &handle->pub;
	int err = call(device_pub_fd(handle), RONBUS_IOC_PUBLISH_BLOCK, req);

	/* The kernel took a position that was this publisher's next. */
	if (!err && pub->how & RONBUS_HOW_EXCLUSIVE && !(pub->how & RONBUS_HOW_SYSCALL))
		pub->pos = ronbus_ring_tail(&pub->ring);
	return err;
}

static void device_notify(struct ronbus_publisher_handle *pub, __u64 subscribers)
{
	struct ronbus_notify req = { .subscribers = subscribers };

	/* It fails only for arguments that are not these. */
	(void)call(device_pub_fd(pub), RONBUS_IOC_NOTIFY, &req);
}

static void device_pub_close(struct ronbus_publisher_handle *pub)
{
	member_close(&((struct device_pub *)pub)->member);
	free(pub);
}

/* ---- subscribers ---------------------------------------------------------------------- */

static int device_subscribe(struct ronbus *bus, const struct ronbus_subscribe *opts,
			    struct ronbus_subscriber_handle **ret)
{
	struct device_sub *device = ronbus_zalloc(sizeof(*device));
	struct ronbus_subscribe req = *opts;
	struct member *member;
	struct ronbus_sub *sub;
	int fd, err;

	if (!device)
		return -ENOMEM;
	member = &device->member;
	fd = call(bus_fd(bus), RONBUS_IOC_SUBSCRIBE, &req);
	err = fd < 0 ? fd : member_open(member, fd, MAP_TO_READ);
	if (err) {
		free(device);
		return err;
	}
	device->base.index = req.index;
	sub = &device->base.sub;
	ronbus_ring_view(&sub->ring, member->ring, member->info.capacity, member->info.payload,
			 member->info.features);
	sub->ring.clock_offset = req.clock_offset;
	sub->info = member->info_page;
	sub->self = member->self;
	if (member->info.features & RONBUS_F_INTEREST)
		sub->interest = (struct ronbus_interest){
			.bit = 1ULL << (req.index % RONBUS_SUBSCRIBERS_MAX),
			.topics = req.topics,
			.asked = req.topics,
			.joined = req.joined,
		};
	if (member->blocks)
		ronbus_blocks_view(&device->base.blocks, member->blocks, member->info.blocks,
				   member->info.block_size);
	*ret = &device->base;
	return 0;
}

static int device_sub_fd(struct ronbus_subscriber_handle *sub)
{
	return ((struct device_sub *)sub)->member.fd;
}

static bool canceled(const struct ronbus_subscriber_handle *sub, __u32 cancels)
{
	return RB_READ(&sub->cancels) != cancels;
}

/* A thread that is cancelled in here leaves nothing: the kernel has ended the wait by then. */
static int sleep_in_kernel(int fd, struct ronbus_wait *req)
{
	int was = ronbus_cancel_asleep();
	int ret = call(fd, RONBUS_IOC_WAIT, req);

	ronbus_cancel_awake(was);
	return ret;
}

/*
 * The kernel ends the waits that have begun; when ours began it does not know. So a cancel changes
 * the count, takes the deadline away, and asks the kernel, in this order. Then it comes before we
 * look at the count; or before the kernel, which has noted how often it was asked, takes the
 * deadline over, and only looks; or the kernel finds that it was asked once more.
 */
static int device_wait(struct ronbus_subscriber_handle *sub, __u64 deadline, __u32 cancels)
{
	struct ronbus_wait *req = &((struct device_sub *)sub)->wait;
	int ret;

	do {
		RB_WRITE(&req->deadline, deadline);
		RB_MB(); /* barrier W, with W' in device_cancel(): call.pml */
		if (canceled(sub, cancels))
			RB_WRITE(&req->deadline, 0); /* a message goes first */
		ret = sleep_in_kernel(device_sub_fd(sub), req);
		if (ret == -ETIMEDOUT && canceled(sub, cancels))
			return -ECANCELED;
		/* A cancel from before may have come so far only now. */
	} while (ret == -ETIMEDOUT && ronbus_now() < deadline);
	return ret;
}

static int device_arm(struct ronbus_subscriber_handle *sub)
{
	return call(device_sub_fd(sub), RONBUS_IOC_ARM, NULL);
}

static int device_set_eventfd(struct ronbus_subscriber_handle *sub, int fd)
{
	struct ronbus_eventfd req = { .fd = fd };

	return call(device_sub_fd(sub), RONBUS_IOC_SET_EVENTFD, &req);
}

static int device_set_topics(struct ronbus_subscriber_handle *sub, __u64 topics)
{
	struct ronbus_topics req = { .topics = topics };

	return call(device_sub_fd(sub), RONBUS_IOC_SET_TOPICS, &req);
}

static int device_coalesce(struct ronbus_subscriber_handle *sub, const struct ronbus_coalesce *req)
{
	return call(device_sub_fd(sub), RONBUS_IOC_COALESCE, (void *)req);
}

static int device_cancel(struct ronbus_subscriber_handle *sub)
{
	RB_MB(); /* after the new count: barrier W', with W in device_wait(): call.pml */
	RB_WRITE(&((struct device_sub *)sub)->wait.deadline, 0);
	return call(device_sub_fd(sub), RONBUS_IOC_CANCEL, NULL);
}

static void device_sub_close(struct ronbus_subscriber_handle *sub)
{
	member_close(&((struct device_sub *)sub)->member);
	free(sub);
}

const struct ronbus_transport ronbus_device_transport = {
	.uring_commands = true,
	.query = device_query,
	.create = device_create,
	.attach = device_attach,
	.bus_fd = bus_fd,
	.bus_info = device_bus_info,
	.share = device_share,
	.seal = device_seal,
	.stats = device_stats,
	.bus_close = device_bus_close,
	.publisher = device_publisher,
	.pub_fd = device_pub_fd,
	.pub_wait = device_pub_wait,
	.publish = device_publish,
	.publish_block = device_publish_block,
	.notify = device_notify,
	.pub_close = device_pub_close,
	.pub_abandon = device_pub_close,
	.subscribe = device_subscribe,
	.sub_fd = device_sub_fd,
	.wait = device_wait,
	.arm = device_arm,
	.set_topics = device_set_topics,
	.coalesce = device_coalesce,
	.set_eventfd = device_set_eventfd,
	.cancel = device_cancel,
	.sub_close = device_sub_close,
	.sub_abandon = device_sub_close,
};
