/* SPDX-License-Identifier: GPL-2.0 */
/* The ioctls and system calls of a bus, each as a function. Part of ronbus_kselftest.h. */
#ifndef RONBUS_CALLS_H
#define RONBUS_CALLS_H

/* Features that every bus of a program has: the Makefile builds some programs once more with SOA. */
#ifndef TEST_FEATURES
#define TEST_FEATURES 0
#endif

static inline int bus_create(int control, struct ronbus_create args)
{
	args.features |= TEST_FEATURES;
	return do_ioctl(control, RONBUS_IOC_CREATE, &args);
}

static inline int bus_attach(int control, const char *name, u32 access)
{
	struct ronbus_attach args = { .access = access };

	strncpy(args.name, name, sizeof(args.name));
	return do_ioctl(control, RONBUS_IOC_ATTACH, &args);
}

static inline int bus_share(int bus, u32 access)
{
	struct ronbus_share args = { .access = access };

	return do_ioctl(bus, RONBUS_IOC_SHARE, &args);
}

static inline int bus_seal(int bus)
{
	return do_ioctl(bus, RONBUS_IOC_SEAL, NULL);
}

static inline int fd_info(int fd, struct ronbus_info *info)
{
	poison(*info);
	return do_ioctl(fd, RONBUS_IOC_INFO, info);
}

static inline int fd_stats(int fd, u32 which, struct ronbus_stats *stats)
{
	poison(*stats);
	stats->which = which;
	stats->flags = 0;
	return do_ioctl(fd, RONBUS_IOC_STATS, stats);
}

static inline int fd_publisher(int bus, u32 flags, u32 *id)
{
	struct ronbus_publisher args = { .flags = flags };
	int fd;

	fd = do_ioctl(bus, RONBUS_IOC_PUBLISHER, &args);
	if (id)
		*id = args.id;
	return fd;
}

/* For BPF programs, which know it by its token. */
static inline int fd_publisher_bpf(int bus, u64 *token)
{
	struct ronbus_publisher args;
	int fd;

	poison(args);
	args.flags = RONBUS_PUBLISHER_BPF;
	fd = do_ioctl(bus, RONBUS_IOC_PUBLISHER, &args);
	*token = args.token;
	return fd;
}

static inline int fd_subscribe(int bus, u32 start, u64 position, struct ronbus_subscribe *out)
{
	struct ronbus_subscribe args = {
		.start = start,
		.position = position,
		.topics = ~0ULL,
	};
	int fd;

	fd = do_ioctl(bus, RONBUS_IOC_SUBSCRIBE, &args);
	if (out)
		*out = args;
	return fd;
}

static inline int fd_notify(int fd, u64 subscribers, u32 *woken)
{
	struct ronbus_notify args;
	int ret;

	poison(args);
	args.subscribers = subscribers;
	args.pad = 0;
	ret = do_ioctl(fd, RONBUS_IOC_NOTIFY, &args);
	if (woken)
		*woken = args.woken;
	return ret;
}

static inline int fd_publish(int fd, u32 topic, const struct ronbus_vec *vec, u32 count,
			     u32 *receivers)
{
	struct ronbus_publish args;
	int ret;

	poison(args);
	args.vec = (uintptr_t)vec;
	args.count = count;
	args.topic = topic;
	args.flags = 0;
	ret = do_ioctl(fd, RONBUS_IOC_PUBLISH, &args);
	if (receivers)
		*receivers = args.receivers;
	return ret;
}

static inline int fd_wait(int fd, u64 deadline)
{
	struct ronbus_wait args = { .deadline = deadline };

	return do_ioctl(fd, RONBUS_IOC_WAIT, &args);
}

static inline int fd_arm(int fd)
{
	return do_ioctl(fd, RONBUS_IOC_ARM, NULL);
}

static inline int fd_set_eventfd(int fd, int eventfd)
{
	struct ronbus_eventfd args = { .fd = eventfd };

	return do_ioctl(fd, RONBUS_IOC_SET_EVENTFD, &args);
}

/* What poll(2) says at once. */
static inline int fd_poll(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };
	int ret = poll(&p, 1, 0);

	return ret < 0 ? -errno : p.revents;
}

/* read(2) itself: some of what it is given here is wrong on purpose. */
static inline long fd_read(int fd, void *buf, size_t size)
{
	long ret = syscall(SYS_read, fd, buf, size);

	return ret < 0 ? -errno : ret;
}

static inline int fd_nonblock(int fd)
{
	return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) ? -errno : 0;
}

#endif /* RONBUS_CALLS_H */
