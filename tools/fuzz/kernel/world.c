// SPDX-License-Identifier: GPL-2.0
/* world.c - what a program works on: files, mappings, memory that may not be there */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "world.h"

/* Far below where the kernel puts mappings of its own choice: no address is ever used twice. */
#define WINDOWS ((char *)0x10000000000)
#define WINDOW (4UL << 20)

static struct {
	atomic_int fd;
	_Atomic enum role role;
	_Atomic uint64_t token;
	atomic_uint changes;
} files[FILES];

struct mapping maps[MAPS];
int control = -1;
uint64_t features_here;
char *arena;
bool alone;

static atomic_bool *wrong; /* children tell their parent */

void say_wrong(const char *what)
{
	if (alone)
		say_wrong_anyway(what);
}

void say_wrong_anyway(const char *what)
{
	dprintf(STDOUT_FILENO, "WRONG: %s\n", what);
	atomic_store(wrong, true);
}

bool anything_wrong(void)
{
	return atomic_load(wrong);
}

/* ---- files ----------------------------------------------------------------------------- */

int file_get(unsigned int n)
{
	return atomic_load(&files[n].fd);
}

unsigned int file_changes(unsigned int n)
{
	return atomic_load(&files[n].changes);
}

enum role file_role(unsigned int n)
{
	return atomic_load(&files[n].role);
}

uint64_t file_token(unsigned int n)
{
	return atomic_load(&files[n].token);
}

void file_set_token(unsigned int n, uint64_t token)
{
	atomic_store(&files[n].token, token);
}

int file_put(unsigned int n, int fd, enum role role)
{
	int old;

	if (fd < 0)
		return -errno;
	atomic_fetch_add(&files[n].changes, 1);
	old = atomic_exchange(&files[n].fd, fd);
	atomic_store(&files[n].role, role);
	if (old >= 0 && old != control)
		close(old);
	return 0;
}

int file_close(unsigned int n)
{
	int fd;

	if (!n)
		return -EBADF;
	atomic_fetch_add(&files[n].changes, 1);
	fd = atomic_exchange(&files[n].fd, -1);
	atomic_store(&files[n].role, ROLE_NONE);
	return done(fd == control ? 0 : close(fd));
}

/* ---- memory ---------------------------------------------------------------------------- */

static __thread sigjmp_buf landing;
static __thread volatile sig_atomic_t may_fault;

static void on_fault(int number)
{
	if (may_fault)
		siglongjmp(landing, 1);
	signal(number, SIG_DFL);
	raise(number);
}

bool touch(void (*fn)(void *arg), void *arg)
{
	bool good = false;

	if (!sigsetjmp(landing, 0)) {
		may_fault = 1;
		fn(arg);
		good = true;
	}
	may_fault = 0;
	return good;
}

struct word {
	uint64_t *at;
	uint64_t value;
};

static void store_word(void *arg)
{
	const struct word *word = arg;

	__atomic_store_n(word->at, word->value, __ATOMIC_RELAXED);
}

bool store(uint64_t *at, uint64_t value)
{
	struct word word = { at, value };

	return touch(store_word, &word);
}

size_t map_room(void)
{
	return WINDOW - 2 * PAGE;
}

char *map_at(const struct mapping *map)
{
	return WINDOWS + (size_t)(map - maps) * WINDOW;
}

void *pointer(uint64_t which, size_t bytes)
{
	struct mapping *map = &maps[which / 16 % MAPS];

	switch (which % 16) {
	case 0:
		return NULL;
	case 1:
		return (void *)0xffffffff81000000;
	case 2: /* half of it is not there */
		return arena + ARENA - bytes / 2;
	case 3:
		return (void *)0x7ffffffff000;
	case 4: /* in the ring itself, or the own page */
		return map_at(map);
	default:
		return arena + which / 16 % 64 * 8 + which % 3;
	}
}

/* ---- begin and end --------------------------------------------------------------------- */

static void must(bool good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(2);
}

void world_begin(void)
{
	struct sigaction fault = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };
	size_t bytes = MAPS * WINDOW + ARENA + PAGE;
	char *room = mmap(WINDOWS, bytes, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	struct ronbus_query query;
	unsigned int i;

	must(room == WINDOWS, "mmap");
	munmap(room, MAPS * WINDOW);
	wrong = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(wrong != MAP_FAILED, "mmap");
	arena = room + MAPS * WINDOW;
	must(!mprotect(arena, ARENA, PROT_READ | PROT_WRITE), "mprotect");
	control = open("/dev/ronbus", O_RDWR | O_CLOEXEC);
	must(control >= 0, "/dev/ronbus");
	must(!ioctl(control, RONBUS_IOC_QUERY, &query), "RONBUS_IOC_QUERY");
	features_here = query.features;
	control = fcntl(control, F_DUPFD_CLOEXEC, 10);
	for (i = 0; i < FILES; i++)
		atomic_store(&files[i].fd, i ? -1 : control);
	atomic_store(&files[0].role, ROLE_RONBUS);
	sigaction(SIGSEGV, &fault, NULL);
	sigaction(SIGBUS, &fault, NULL);
	signal(SIGPIPE, SIG_IGN);
}

void world_clear(void)
{
	unsigned int i;

	for (i = 1; i < FILES; i++) {
		if (file_get(i) >= 0)
			file_close(i);
	}
	/* Mappings hold their files: they go last here, and first when a program says so. */
	for (i = 0; i < MAPS; i++) {
		if (atomic_exchange(&maps[i].bytes, 0))
			munmap(map_at(&maps[i]), WINDOW);
	}
}
