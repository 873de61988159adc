// SPDX-License-Identifier: GPL-2.0
/*
 * Mappings: which member gets which part with which rights, and what happens to it afterwards.
 */
#include <sys/prctl.h>

#include "mmap.h"

TEST_F(map, rights)
{
	static const int prots[] = {
		PROT_READ,  PROT_READ | PROT_WRITE,
		PROT_WRITE, PROT_READ | PROT_EXEC,
		PROT_EXEC,  PROT_READ | PROT_WRITE | PROT_EXEC,
	};
	int role, region;
	size_t i;

	for (role = 0; role < ROLES; role++) {
		for (region = 0; region < REGIONS; region++) {
			int may = rights[role][region];

			for (i = 0; i < ARRAY_SIZE(prots); i++) {
				/* x86 has no write without read; nothing may be executed. */
				int want = role == BUS		     ? -ENODEV
					   : prots[i] & ~may || !may ? -EACCES
								     : 0;
				int got = try_map(self->fd[role], self->size[region], prots[i],
						  MAP_SHARED, offsets[region]);

				EXPECT_EQ(want, got)
				TH_LOG("%s of a %s, prot %d", region_names[region],
				       role_names[role], prots[i]);
			}
		}
	}
}

/* There is nothing of the control device to map. */
TEST_F(map, control)
{
	int region;

	for (region = 0; region < REGIONS; region++) {
		EXPECT_EQ(-ENODEV, try_map(self->control, self->size[region], PROT_READ, MAP_SHARED,
					   offsets[region]));
	}
}

TEST_F(map, private)
{
	int role, region;

	for (role = PUBLISHER; role < ROLES; role++) {
		for (region = 0; region < REGIONS; region++) {
			if (!rights[role][region])
				continue;
			EXPECT_EQ(-EINVAL, try_map(self->fd[role], self->size[region], PROT_READ,
						   MAP_PRIVATE, offsets[region]));
			EXPECT_EQ(-EINVAL,
				  try_map(self->fd[role], self->size[region],
					  PROT_READ | PROT_WRITE, MAP_PRIVATE, offsets[region]));
		}
	}
}

TEST_F(map, lengths)
{
	int role, region;

	for (role = PUBLISHER; role < ROLES; role++) {
		for (region = 0; region < REGIONS; region++) {
			size_t right = self->size[region];
			size_t wrong[] = { right - PAGE, right / 2, PAGE,     right + PAGE,
					   2 * right,	 1UL << 30, 1UL << 46 };
			size_t i;

			if (!rights[role][region])
				continue;
			for (i = 0; i < ARRAY_SIZE(wrong); i++) {
				int got;

				wrong[i] &= ~(PAGE - 1);
				if (!wrong[i] || wrong[i] == right)
					continue;
				got = try_map(self->fd[role], wrong[i], PROT_READ, MAP_SHARED,
					      offsets[region]);
				/* What does not fit anywhere may be refused earlier. */
				EXPECT_TRUE(got == -EINVAL ||
					    (wrong[i] == 1UL << 46 && got == -ENOMEM))
				TH_LOG("%s of a %s, %zu bytes: %d", region_names[region],
				       role_names[role], wrong[i], got);
			}
			/* A length is rounded up to pages before the module sees it. */
			EXPECT_EQ(0, try_map(self->fd[role], right - 1, PROT_READ, MAP_SHARED,
					     offsets[region]));
			EXPECT_EQ(-EINVAL, try_map(self->fd[role], right + 1, PROT_READ, MAP_SHARED,
						   offsets[region]));
		}
	}
}

TEST_F(map, wrong_offsets)
{
	int role, region;
	size_t i, k;

	for (role = PUBLISHER; role < ROLES; role++) {
		for (region = 0; region < REGIONS; region++) {
			unsigned long wrong[] = {
				offsets[region] + PAGE,
				offsets[region] - PAGE,
				offsets[region] + self->size[region],
				offsets[region] + 0x08000000,
				0x30000000,
				0x40000000,
				1UL << 32,
				offsets[region] | 1UL << 32,
				offsets[region] | 1UL << 44,
				offsets[region] | 1UL << 62,
				1UL << 63,
				-PAGE,
				-self->size[region],
			};

			for (i = 0; i < ARRAY_SIZE(wrong); i++) {
				for (k = 0; k < REGIONS; k++)
					if (wrong[i] == offsets[k])
						break;
				if (k < REGIONS)
					continue;
				/* What a file cannot have, nobody asks the module about. */
				int got = try_map(self->fd[role], self->size[region], PROT_READ,
						  MAP_SHARED, wrong[i]);

				EXPECT_TRUE(got == -EINVAL || got == -EOVERFLOW)
				TH_LOG("offset %#lx: %d", wrong[i], got);
			}
			EXPECT_EQ(-EINVAL, try_map(self->fd[role], self->size[region], PROT_READ,
						   MAP_SHARED, offsets[region] + 1));
		}
	}
}

TEST_F(map, mprotect)
{
	int role, region;

	for (role = PUBLISHER; role < ROLES; role++) {
		for (region = 0; region < REGIONS; region++) {
			size_t size = self->size[region];
			char *p;

			if (!rights[role][region])
				continue;
			p = MAP(role, region, PROT_READ);
			if (!(rights[role][region] & PROT_WRITE)) {
				EXPECT_EQ(-EACCES, try_protect(p, size, RW));
			}
			EXPECT_EQ(-EACCES, try_protect(p, size, PROT_READ | PROT_EXEC));
			EXPECT_EQ(-EACCES, try_protect(p, size, PROT_EXEC));
			EXPECT_EQ(-EACCES, try_protect(p, size, RW | PROT_EXEC));
			/* Less is always to be had, and back again. */
			EXPECT_EQ(0, try_protect(p, size, PROT_NONE));
			EXPECT_EQ(0, try_protect(p, size, PROT_READ));
			EXPECT_EQ(0, munmap(p, size));

			if (!(rights[role][region] & PROT_WRITE))
				continue;
			p = MAP(role, region, RW);
			EXPECT_EQ(0, try_protect(p, size, PROT_READ));
			EXPECT_EQ(0, try_protect(p, size, RW));
			EXPECT_EQ(-EACCES, try_protect(p, size, RW | PROT_EXEC));
			EXPECT_EQ(0, munmap(p, size));
		}
	}
}

/* Not even with the legacy that lets reading mean executing. */
TEST_F(map, read_implies_exec)
{
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		/* READ_IMPLIES_EXEC */
		ASSERT_EQ(0, syscall(SYS_personality, 0x0400000) < 0);
		/* The kernel asks for execution on our behalf: refused, or left out. */
		char line[256], *p = fd_map(self->fd[SUBSCRIBER], self->size[INFO], PROT_READ,
					    RONBUS_MMAP_INFO);
		FILE *file;

		if (p == MAP_FAILED) {
			EXPECT_EQ(EACCES, errno);
			_exit(0);
		}
		file = fopen("/proc/self/maps", "r");
		ASSERT_NE(NULL, file);
		while (fgets(line, sizeof(line), file))
			if (strtoul(line, NULL, 16) == (unsigned long)p) {
				EXPECT_EQ(NULL, strstr(line, "r-xs"));
			}
		_exit(0);
	}
	EXPECT_EQ(0, child_status(pid));
}

/* A store through a read-only mapping ends the process, not the bus. */
TEST_F(map, stores)
{
	int role, region;

	for (role = PUBLISHER; role < ROLES; role++) {
		for (region = 0; region < REGIONS; region++) {
			int may = rights[role][region];
			pid_t pid;

			if (!may)
				continue;
			pid = fork();
			ASSERT_LE(0, pid);
			if (!pid) {
				volatile u64 *p = fd_map(self->fd[role], self->size[region], may,
							 offsets[region]);

				p[self->size[region] / 8 - 1] = 1;
				_exit(0);
			}
			EXPECT_EQ(may & PROT_WRITE ? 0 : -SIGSEGV, child_status(pid));
		}
	}
}

/* One mapping is one piece. */
TEST_F(map, pieces)
{
	size_t size = self->size[RING], at;
	void *hole;
	char *p, *whole;
	int role;

	for (role = PUBLISHER; role <= SUBSCRIBER; role++) {
		p = MAP(role, RING, rights[role][RING]);
		for (at = 0; at < size; at += PAGE) {
			EXPECT_EQ(-1, munmap(p + at, PAGE));
			EXPECT_EQ(EINVAL, errno);
			EXPECT_EQ(-EINVAL, try_protect(p + at, PAGE, PROT_NONE));
			/* Something else in its middle. */
			hole = mmap(p + at, PAGE, PROT_READ,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
			EXPECT_EQ(MAP_FAILED, hole);
			EXPECT_TRUE(errno == EINVAL || errno == ENOMEM);
		}
		EXPECT_EQ(-1, munmap(p, size - PAGE));
		EXPECT_EQ(-1, munmap(p + PAGE, size - PAGE));
		/* All of it is still there. */
		for (at = 0; at < size; at += PAGE)
			(void)*(volatile char *)(p + at);
		EXPECT_EQ(0, munmap(p, size));
	}

	/* All of it at once may go, even under something else that begins before. */
	whole = mmap(NULL, size + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, whole);
	p = mmap(whole + PAGE, size, RW, MAP_SHARED | MAP_FIXED, self->fd[MAPPED],
		 RONBUS_MMAP_RING);
	ASSERT_EQ(whole + PAGE, p);
	hole = mmap(whole, size + 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		    0);
	EXPECT_EQ(whole, hole);
	EXPECT_EQ(0, munmap(whole, size + 2 * PAGE));
}

static int try_remap(void *p, size_t from, size_t to, int flags, void *at)
{
	void *q = mremap(p, from, to, flags, at);

	return q == MAP_FAILED ? -errno : 1;
}

TEST_F(map, mremap)
{
	int role;

	for (role = PUBLISHER; role <= SUBSCRIBER; role++) {
		size_t size = self->size[RING];
		char *p = MAP(role, RING, rights[role][RING]);
		char *away = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		u64 head = *(volatile u64 *)p;

		ASSERT_NE(MAP_FAILED, away);
		/* Larger, smaller, elsewhere, twice. */
		EXPECT_EQ(-EFAULT, try_remap(p, size, size + PAGE, 0, NULL));
		EXPECT_EQ(-EFAULT, try_remap(p, size, size + PAGE, MREMAP_MAYMOVE, NULL));
		EXPECT_EQ(-EFAULT, try_remap(p, size, 2 * size, MREMAP_MAYMOVE, NULL));
		EXPECT_EQ(-EINVAL, try_remap(p, size, size - PAGE, 0, NULL));
		EXPECT_EQ(-EINVAL, try_remap(p, size, PAGE, MREMAP_MAYMOVE, NULL));
		EXPECT_EQ(-EINVAL, try_remap(p, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, away));
		EXPECT_EQ(-EINVAL, try_remap(p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, away));
		EXPECT_EQ(-EINVAL,
			  try_remap(p, size, size, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL));
		/* An old size of zero asks for a second mapping of shared memory. */
		EXPECT_GT(0, try_remap(p, 0, size, MREMAP_MAYMOVE, NULL));
		EXPECT_GT(0, try_remap(p, 0, PAGE, MREMAP_MAYMOVE, NULL));
		/* It is where it was. */
		EXPECT_EQ(head, *(volatile u64 *)p);
		EXPECT_EQ(*(volatile u64 *)(p + size - 8), 0);
		EXPECT_EQ(0, munmap(p, size));
	}
}

/* A move that fails leaves the count of mappings as it was: its end is still seen. */
TEST_F(map, mremap_and_repair)
{
	struct ronbus_stats stats;
	struct ronbus_claim claim;
	struct publisher p;
	char *away;
	int i;

	ASSERT_EQ(0, publisher_join(&p, self->fd[BUS], RONBUS_PUBLISHER_MAPPED));
	away = mmap(NULL, self->size[RING], PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, away);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(MAP_FAILED, mremap(p.m.ring.head, self->size[RING], self->size[RING],
					     MREMAP_MAYMOVE | MREMAP_FIXED, away));
	}
	claim.pos = ronbus_ring_hint(&p.m.ring);
	ASSERT_EQ(0, publisher_claim(&p, &claim));
	ASSERT_EQ(0, fd_stats(self->fd[BUS], RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(0, stats.counters.repairs_total);
	publisher_leave(&p);
	ASSERT_EQ(0, fd_stats(self->fd[BUS], RONBUS_STATS_BUS, &stats));
	EXPECT_EQ(1, stats.counters.repairs_total);
}

/* ---- other calls on mappings ------------------------------------------------------------ */

/* Whatever a process says about its mapping concerns nobody else. */
TEST_F(map, advice)
{
	static const int advices[] = {
		MADV_DONTNEED,	MADV_REMOVE,   MADV_FREE,     MADV_COLD,   MADV_PAGEOUT,
		MADV_MERGEABLE, MADV_HUGEPAGE, MADV_WILLNEED, MADV_DODUMP, MADV_POPULATE_WRITE,
	};
	size_t size = self->size[RING], i;
	struct subscriber s;
	struct publisher p;
	struct message msg;

	ASSERT_EQ(0, publisher_join(&p, self->fd[BUS], RONBUS_PUBLISHER_MAPPED));
	ASSERT_EQ(0, subscriber_join(&s, self->fd[BUS], RONBUS_START_LATEST, 0));
	for (i = 0; i < ARRAY_SIZE(advices); i++) {
		pid_t pid = fork();

		ASSERT_LE(0, pid);
		if (!pid) {
			char *ring = fd_map(p.m.fd, size, RW, RONBUS_MMAP_RING);
			char *page = fd_map(s.m.fd, PAGE, RW, RONBUS_MMAP_SELF);

			madvise(ring, size, advices[i]);
			madvise(page, PAGE, advices[i]);
			mlock(ring, size);
			msync(ring, size, MS_SYNC | MS_INVALIDATE);
			munlock(ring, size);
			/* Not even to itself has it done harm. */
			(void)*(volatile char *)ring;
			(void)*(volatile char *)page;
			_exit(0);
		}
		EXPECT_EQ(0, child_status(pid)) TH_LOG("advice %d", advices[i]);
		ASSERT_EQ(1, publish_number(&p, i));
		ASSERT_EQ(1, subscriber_read(&s, &msg));
		EXPECT_TRUE(message_whole(msg.data, msg.len, i));
	}
	EXPECT_EQ(i, s.m.self->delivered);
	subscriber_leave(&s);
	publisher_leave(&p);
}

/* A core file has no messages of others in it. */
TEST_F(map, not_dumped)
{
	char line[256], *p = MAP(SUBSCRIBER, RING, RO);
	bool mine = false, found = false;
	FILE *file = fopen("/proc/self/smaps", "r");

	ASSERT_NE(NULL, file);
	while (fgets(line, sizeof(line), file)) {
		if (strchr(line, '-') && strtoul(line, NULL, 16))
			mine = strtoul(line, NULL, 16) == (unsigned long)p;
		if (!mine || strncmp(line, "VmFlags:", 8))
			continue;
		found = true;
		EXPECT_NE(NULL, strstr(line, " dd")); /* no dump */
		EXPECT_NE(NULL, strstr(line, " de")); /* no growing */
		EXPECT_NE(NULL, strstr(line, " dc")); /* no copy for a child */
		EXPECT_EQ(NULL, strstr(line, " mw")); /* never writable */
		EXPECT_EQ(NULL, strstr(line, " me")); /* never executable */
	}
	fclose(file);
	if (!found)
		SKIP(return, "this kernel shows no VmFlags");
}

/* ---- mappings and fds ------------------------------------------------------------------- */

/* A mapping outlives every fd, and the bus lives as long. */
TEST_F(map, outlives_the_fds)
{
	struct subscriber s;
	struct publisher p;
	struct message msg;
	int bus;

	bus = bus_create(self->control, (struct ronbus_create){ .name = "mmap-close" });
	ASSERT_LE(0, bus);
	ASSERT_EQ(0, publisher_join(&p, bus, RONBUS_PUBLISHER_MAPPED));
	ASSERT_EQ(0, subscriber_join(&s, bus, RONBUS_START_LATEST, 0));
	close(bus);
	close(p.m.fd);
	close(s.m.fd);
	/* Nobody has an fd: the ring still carries messages. */
	EXPECT_EQ(RONBUS_ABI_VERSION, p.m.page->abi_version);
	EXPECT_EQ(1, p.m.page->audience[0]);
	EXPECT_EQ(-EBADF, publish_number(&p, 77)); /* published; it is NOTIFY that fails */
	ASSERT_EQ(1, subscriber_read(&s, &msg));
	EXPECT_TRUE(message_whole(msg.data, msg.len, 77));
	bus = bus_attach(self->control, "mmap-close", 3);
	EXPECT_LE(0, bus);
	close(bus);
	member_unmap(&p.m);
	EXPECT_EQ(RONBUS_STATUS_ENDED, s.m.page->status);
	EXPECT_EQ(0, subscriber_read(&s, &msg));
	member_unmap(&s.m);
	EXPECT_EQ(-ENOENT, bus_attach(self->control, "mmap-close", 3));
}

/* Each member has a page of its own. */
TEST_F(map, own_pages)
{
	volatile u64 *a = MAP(SUBSCRIBER, SELF, RW), *b = MAP(ONLY_SUBSCRIBER, SELF, RW);
	volatile u64 *c = MAP(MAPPED, SELF, RW), *d = MAP(PUBLISHER, SELF, RW);
	volatile u64 *again = MAP(SUBSCRIBER, SELF, RW);
	size_t i;

	for (i = 0; i < PAGE / 8; i++) {
		/* Nothing of anybody else's was in it. */
		if (i) {
			EXPECT_EQ(0, a[i] | b[i] | c[i] | d[i]);
		}
		a[i] = i + 1;
		EXPECT_EQ(0, c[i] | d[i]);
		if (i) {
			EXPECT_EQ(0, b[i]);
		}
		EXPECT_EQ(i + 1, again[i]);
	}
}

/* New memory is empty, whatever was there before it. */
TEST_F(map, zeroed)
{
	u32 round;

	for (round = 0; round < 4; round++) {
		int bus = bus_create(self->control, (struct ronbus_create){ .capacity = 256 });
		struct publisher p;
		u64 *words;
		size_t i;

		ASSERT_LE(0, bus);
		ASSERT_EQ(0, publisher_join(&p, bus, RONBUS_PUBLISHER_MAPPED));
		words = (void *)p.m.ring.head;
		EXPECT_EQ(256, words[0]);
		for (i = 1; i < p.m.info.ring_bytes / 8 && !words[i]; i++)
			;
		EXPECT_EQ(p.m.info.ring_bytes / 8, i);
		memset(words, POISON, p.m.info.ring_bytes);
		words = (void *)p.m.self;
		for (i = 0; i < PAGE / 8 && !words[i]; i++)
			;
		EXPECT_EQ(PAGE / 8, i);
		memset(words, POISON, PAGE);
		publisher_leave(&p);
		close(bus);
	}
}

/* System calls that are given a mapping as their buffer. */
TEST_F(map, as_a_buffer)
{
	char *info = MAP(SUBSCRIBER, INFO, RO), *ring = MAP(MAPPED, RING, RW);
	char *page = MAP(SUBSCRIBER, SELF, RW);
	struct ronbus_vec vec = { .data = (uintptr_t)info, .len = 64 };
	int pipes[2];
	char buf[64];

	/* A message out of a mapping. */
	EXPECT_EQ(1, fd_publish(self->fd[PUBLISHER], 0, &vec, 1, NULL));
	vec.data = (uintptr_t)ring;
	EXPECT_EQ(1, fd_publish(self->fd[PUBLISHER], 0, &vec, 1, NULL));
	/* A record into its own page, over the cursor: the kernel survives it. */
	ASSERT_EQ(0, fd_nonblock(self->fd[SUBSCRIBER]));
	EXPECT_NE(0, fd_read(self->fd[SUBSCRIBER], page, PAGE));
	EXPECT_EQ(-EFAULT, do_ioctl(self->fd[SUBSCRIBER], RONBUS_IOC_INFO, info));
	EXPECT_EQ(0, do_ioctl(self->fd[SUBSCRIBER], RONBUS_IOC_INFO, page));
	/* Pages that somebody else's I/O goes to. */
	ASSERT_EQ(0, pipe(pipes));
	EXPECT_EQ(64, write(pipes[1], info, 64));
	EXPECT_EQ(64, read(pipes[0], buf, 64));
	EXPECT_EQ(0, memcmp(buf, info, 64));
	EXPECT_EQ(64, write(pipes[1], buf, 64));
	EXPECT_EQ(-1, read(pipes[0], info, 64));
	EXPECT_EQ(EFAULT, errno);
	close(pipes[0]);
	close(pipes[1]);
}

TEST_HARNESS_MAIN
