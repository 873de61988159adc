/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a test asks of the machine: processes and what they share, the kernel's figures, tracefs,
 * cgroups, the module. Part of ronbus_kselftest.h.
 */
#ifndef RONBUS_MACHINE_H
#define RONBUS_MACHINE_H

/* ---- processes -------------------------------------------------------------------------- */

/* Exit status of a child, or minus the signal that ended it. */
static inline int child_status(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1000 - errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Memory that a test shares with its children; zeroed. */
static inline void *shared_memory(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static inline int send_fd(int socket, int fd)
{
	char control[CMSG_SPACE(sizeof(fd))] = { 0 };
	char byte = 0;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	return sendmsg(socket, &msg, 0) == 1 ? 0 : -errno;
}

static inline int recv_fd(int socket)
{
	int fd = -1;
	char control[CMSG_SPACE(sizeof(fd))] = { 0 };
	char byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg;

	if (recvmsg(socket, &msg, MSG_CMSG_CLOEXEC) != 1)
		return -errno;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (!cmsg || cmsg->cmsg_type != SCM_RIGHTS)
		return -ENOMSG;
	memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
	return fd;
}

/* The fd that the next call gets: one that has leaked, or is only reserved, is in its way. */
static inline int fd_next(void)
{
	int fd = fcntl(STDERR_FILENO, F_DUPFD, 0);

	close(fd);
	return fd;
}

/* A value of /proc/self/fdinfo/@fd, or of any file of "key:\tvalue" lines. */
static inline int fdinfo_value(int fd, const char *key, u64 *value)
{
	char path[64], line[256];
	size_t len = strlen(key);
	int ret = -ENOENT;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "r");
	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file)) {
		char *end;

		if (strncmp(line, key, len) || strncmp(line + len, ":\t", 2))
			continue;
		*value = strtoull(line + len + 2, &end, 0);
		ret = end > line + len + 2 && *end == '\n' ? 0 : -EPROTO;
		break;
	}
	fclose(file);
	return ret;
}

/* ---- the kernel's own figures ----------------------------------------------------------- */

static inline long read_number(const char *path)
{
	char buf[64] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	return n > 0 ? strtol(buf, NULL, 10) : -EIO;
}

/*
 * Areas of kernel address space that the module has given to buses and members: none where there is
 * no bus. They are freed a moment after the last close: what was counted before a test began may be
 * of the one before.
 */
static inline long vmalloc_areas(void)
{
	char line[512];
	FILE *file = fopen("/proc/vmallocinfo", "r");
	long n = 0;

	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file))
		n += strstr(line, "[ronbus]") != NULL;
	fclose(file);
	return n;
}

/* ---- tracing ---------------------------------------------------------------------------- */

#define TRACEFS "/sys/kernel/tracing"

static inline int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC), ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

/* For tests of the library: is its transport @where not to be had? */
static inline bool no_device(const char *where)
{
	return strcmp(where, "embedded:") && access(where, F_OK);
}

#define NO_TIME_NAMESPACES 77

/*
 * What is forked from now on has a CLOCK_MONOTONIC that is moved by @offset seconds. 0,
 * NO_TIME_NAMESPACES, or another number.
 */
static inline int time_namespace_make(long offset)
{
	char text[64];

	if (unshare(CLONE_NEWTIME))
		return errno == EINVAL ? NO_TIME_NAMESPACES : 1;
	snprintf(text, sizeof(text), "monotonic %ld 0", offset);
	return write_file("/proc/self/timens_offsets", text) ? 2 : 0;
}

static inline int tracefs_mount(void)
{
	if (!access(TRACEFS "/instances", F_OK))
		return 0;
	return mount("tracefs", TRACEFS, "tracefs", 0, NULL) ? -errno : 0;
}

/* What a task does, as /proc/PID/stat says: 'S' sleeps, 'T' is stopped; 0: there is none. */
static inline char task_state(pid_t task)
{
	char path[64], line[256] = "", *name;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", task);
	file = fopen(path, "r");
	if (!file)
		return 0;
	name = fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;
	fclose(file);
	return name && name[1] ? name[2] : 0;
}

/* ---- groups of processes ---------------------------------------------------------------- */

#define CGROUPS "/sys/fs/cgroup"

static inline int cgroup_write(const char *group, const char *file, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", group, file);
	return write_file(path, text);
}

/* Is that so of a group: "frozen 1"? */
static inline bool cgroup_is(const char *group, const char *event)
{
	char path[128], line[64];
	bool is = false;
	FILE *file;

	snprintf(path, sizeof(path), "%s/cgroup.events", group);
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = 0;
		is |= !strcmp(line, event);
	}
	if (file)
		fclose(file);
	return is;
}

/* A group of that name with so much memory and no swap; its path is filled in. */
static inline int cgroup_make(char *group, size_t size, const char *name, unsigned long bytes)
{
	char path[128], text[32];
	int err;

	snprintf(group, size, CGROUPS "/%s", name);
	err = write_file(CGROUPS "/cgroup.subtree_control", "+memory");
	if (!err && mkdir(group, 0755) && errno != EEXIST)
		err = -errno;
	if (err)
		return err;
	snprintf(text, sizeof(text), "%lu", bytes);
	err = cgroup_write(group, "memory.max", text);
	snprintf(path, sizeof(path), "%s/memory.swap.max", group);
	return err ? err : access(path, F_OK) ? 0 : write_file(path, "0");
}

/* 0 stands for the caller. */
static inline int cgroup_add(const char *group, pid_t process)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", process);
	return cgroup_write(group, "cgroup.procs", text);
}

static inline int cgroup_enter(const char *group)
{
	return cgroup_add(group, 0);
}

/* A process that ended leaves it a moment later. */
static inline int cgroup_remove(const char *group)
{
	return wait_until(!rmdir(group) || errno != EBUSY) && access(group, F_OK) ? 0 : -EBUSY;
}

/* ---- the module ------------------------------------------------------------------------- */

static inline int module_unload(void)
{
	return syscall(SYS_delete_module, "ronbus", O_NONBLOCK) ? -errno : 0;
}

static inline int module_load(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	ret = syscall(SYS_finit_module, fd, "", 0) ? -errno : 0;
	close(fd);
	return ret;
}

#endif /* RONBUS_MACHINE_H */
