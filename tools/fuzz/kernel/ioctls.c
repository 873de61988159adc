// SPDX-License-Identifier: GPL-2.0
/*
 * ioctls.c - ioctls and their arguments, as the description has them (../describe)
 */
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#include "moves.h"

#include "calls.h"

_Static_assert(ARRAY_SIZE(fields_ronbus_create) < ARGUMENTS, "members, and one more");

#define NAMES (sizeof(names_ronbus_name) / sizeof(names_ronbus_name[0]))
#define SOON_NS 3000000ULL
#define NEWCOMERS 16U

unsigned int ioctls_count(void)
{
	return ARRAY_SIZE(ioctls);
}

const char *ioctl_name(unsigned int n)
{
	return ioctls[n].name;
}

enum role ioctl_takes(unsigned int n)
{
	return ioctls[n].takes;
}

enum role ioctl_gives(unsigned int n)
{
	return ioctls[n].gives;
}

uint64_t region_offset(unsigned int region)
{
	return mappings[region];
}

unsigned int regions_count(void)
{
	return ARRAY_SIZE(mappings);
}

/* ---- arguments for the kernel ---------------------------------------------------------- */

uint64_t make_vectors(uint64_t which, unsigned int count)
{
	struct ronbus_vec *vec = (struct ronbus_vec *)(arena + ARENA / 2);
	unsigned int i;

	if (which % 16 < 4)
		return (uint64_t)pointer(which, sizeof(*vec) * (count % RONBUS_BATCH_MAX));
	for (i = 0; i < count && i < RONBUS_BATCH_MAX; i++) {
		uint64_t odd = (which + i) * 0x9e3779b97f4a7c15ULL;
		/* Mostly good ones, or a batch would never get far. */
		uint64_t where = odd >> 32 & 15 ? 5 + (odd >> 8 & 7) : odd >> 8;

		vec[i].len = odd >> 40 & 31 ? (odd >> 16) % 33 : (uint32_t)(odd >> 16);
		vec[i].data = (uint64_t)pointer(where, vec[i].len);
		vec[i].pad = odd >> 48 & 255 ? 0 : 1;
	}
	return (uint64_t)vec;
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000ULL + (uint64_t)time.tv_nsec;
}

/* Small numbers are from now on. For one thread alone nothing takes long. */
static uint64_t deadline(uint64_t value)
{
	if (value > 1 && value <= SOON_NS)
		return now() + value;
	return alone && value > SOON_NS ? now() + SOON_NS / 8 : value;
}

static void set(char *to, size_t size, uint64_t value)
{
	memcpy(to, &value, size < sizeof(value) ? size : sizeof(value));
}

static void fill(char *to, const struct field *field, const struct call *call, unsigned int i)
{
	uint64_t value = call->argument[i];
	size_t length;

	switch (field->kind) {
	case NAME:
		if (value >= NAMES) { /* no NUL at its end */
			memset(to, 'x', field->size);
			break;
		}
		length = strlen(names_ronbus_name[value]);
		memcpy(to, names_ronbus_name[value], length);
		break;
	case VECTOR:
		/* Its length is the next member. */
		set(to, field->size, make_vectors(value, (unsigned int)call->argument[i + 1]));
		break;
	case BYTES:
		set(to, field->size, (uint64_t)pointer(value, 64));
		break;
	case EVENTFD:
		set(to, field->size, (uint64_t)(int64_t)file_get(value % FILES));
		break;
	default:
		if (!strcmp(field->name, "deadline"))
			value = deadline(value);
		set(to, field->size, value);
	}
}

/*
 * A newcomer has asked for nothing yet: what was there before it is not its own. To look costs as
 * much as joining, so that some are looked at.
 */
static void look_at_newcomer(int fd, uint32_t index)
{
	static unsigned int newcomers;
	const struct ronbus_info_page *page;

	if (newcomers++ % NEWCOMERS)
		return;
	page = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, RONBUS_MMAP_INFO);
	if (page == MAP_FAILED)
		return;
	if ((page->armed | page->blocked) >> index & 1)
		say_wrong("a new subscriber is armed, or blocked");
	munmap((void *)page, PAGE);
}

static int make(const struct call *call, const struct description *this, int fd, void *argument)
{
	const struct ronbus_publisher *publisher = argument;
	const struct ronbus_subscribe *subscribe = argument;
	int err;

	if (fd >= 0 && alone && this->cmd == RONBUS_IOC_SUBSCRIBE)
		look_at_newcomer(fd, subscribe->index);
	err = file_put(call->out, fd, this->gives);
	if (!err && this->cmd == RONBUS_IOC_PUBLISHER)
		file_set_token(call->out, publisher->token);
	return err;
}

int ioctl_run(unsigned int n, const struct call *call)
{
	const struct description *this = &ioctls[n];
	uint64_t odd = call->argument[ARGUMENTS - 1];
	unsigned int cmd = this->cmd, i;
	char argument[sizeof(struct ronbus_stats) + 64] __attribute__((aligned(8))) = { 0 };
	void *at = argument;
	int ret;

	for (i = 0; i < this->count; i++)
		fill(argument + this->fields[i].offset, &this->fields[i], call, i);
	if (odd % 16 == 1) /* another size than it has */
		cmd = (cmd & ~IOCSIZE_MASK) | (odd / 16 % sizeof(argument)) << IOCSIZE_SHIFT;
	else if (odd % 16 == 2)
		at = pointer(odd / 16, this->size);
	else if (odd % 16 == 3) /* grown, and what is new not zero */
		argument[this->size + odd / 16 % 64] = 1, cmd = (cmd & ~IOCSIZE_MASK) |
								(unsigned int)sizeof(argument)
									<< IOCSIZE_SHIFT;
	ret = done(ioctl(file_get(call->in), cmd, at));
	return ret >= 0 && this->gives != ROLE_NONE ? make(call, this, ret, argument) : ret;
}

/* ---- likely ones ----------------------------------------------------------------------- */

/* Of flags several together, of other values one: the first ones are the likelier. */
static uint64_t one_of(const struct field *field)
{
	uint64_t value = 0;
	unsigned int n;

	for (n = 0; n < field->count && field->set[n] && !(field->set[n] & (field->set[n] - 1));
	     n++)
		;
	if (n < field->count)
		return field->set[dice_below(dice_below(32) ? 1 + field->count / 2 : field->count)];
	switch (dice_below(8)) {
	case 0:
		return 0;
	case 1:
	case 2:
		return field->set[dice_below(field->count)];
	default:
		for (n = 0; n < field->count; n++)
			value |= dice_below(3) ? field->set[n] : 0;
		return value;
	}
}

static uint64_t member(const struct field *field)
{
	uint64_t value;

	switch (field->kind) {
	case SET:
		if (!strcmp(field->name, "deadline") && dice_below(2))
			return 2 + dice_below(SOON_NS);
		/* Buses that publishers and BPF programs cannot use are dull. */
		if (!strcmp(field->name, "flags") && dice_below(4))
			return dice_below(3) ? field->set[dice_below(field->count)] : 0;
		value = one_of(field);
		/* What this module does not have is refused soon enough. */
		if (!strcmp(field->name, "features") && dice_below(64))
			value &= features_here;
		return value;
	case RANGE:
		if (field->lo == 0 && dice_below(2))
			return dice_below(5);
		return dice_below(2) ? field->lo : field->lo + dice() % (field->hi - field->lo + 1);
	case LENGTH:
		return dice_below(12) ? 1 + dice_below(9) : dice_below(2 * RONBUS_BATCH_MAX);
	case NAME:
		return dice_below(3) ? 0 : dice_below(NAMES + 1);
	case VECTOR:
	case BYTES:
		return dice_below(10) ? dice() | 8 : dice();
	case EVENTFD:
		return dice_below(FILES);
	case ANY:
		return dice_below(2) ? ~0ULL : dice_value();
	default:
		return 0;
	}
}

/* A member by its name; there is room for one that the ioctl does not have. */
static uint64_t *find(const struct description *this, uint64_t argument[ARGUMENTS],
		      const char *name)
{
	static uint64_t none;
	unsigned int i;

	for (i = 0; i < this->count; i++)
		if (!strcmp(this->fields[i].name, name))
			return &argument[i];
	return &none;
}

static void mend_create(const struct description *this, uint64_t argument[ARGUMENTS])
{
	uint64_t features = *find(this, argument, "features");

	if (!(features & RONBUS_F_AUTOTUNE_CAP))
		*find(this, argument, "subscribers") = 0;
	if (!(features & RONBUS_F_BLOCKS))
		*find(this, argument, "block_size") = *find(this, argument, "blocks") = 0;
	if (*find(this, argument, "flags") & RONBUS_BUS_MAP_ALL)
		*find(this, argument, "flags") &= ~(uint64_t)RONBUS_BUS_MAP_NONE;
}

static void mend_coalesce(const struct description *this, uint64_t argument[ARGUMENTS])
{
	uint64_t *delay = find(this, argument, "delay_ns");

	if (*find(this, argument, "messages") > 1 && *delay < RONBUS_COALESCE_DELAY_MIN)
		*delay = RONBUS_COALESCE_DELAY_MIN;
}

static void mend_subscribe(const struct description *this, uint64_t argument[ARGUMENTS])
{
	if (*find(this, argument, "start") != RONBUS_START_AT)
		*find(this, argument, "position") = 0;
	if (dice_below(2))
		*find(this, argument, "topics") = ~0ULL;
}

/* The leaving of one for BPF programs waits for all CPUs: not so many of them. */
static void mend_publisher(const struct description *this, uint64_t argument[ARGUMENTS])
{
	uint64_t *flags = find(this, argument, "flags");

	if (*flags & RONBUS_PUBLISHER_BPF && dice_below(3))
		*flags = RONBUS_PUBLISHER_MAPPED;
}

/* Members that do not go together are refused, and nothing comes of it. */
void ioctl_mend(unsigned int n, uint64_t argument[ARGUMENTS])
{
	const struct description *this = &ioctls[n];

	switch (this->cmd) {
	case RONBUS_IOC_CREATE:
		return mend_create(this, argument);
	case RONBUS_IOC_PUBLISHER:
		return mend_publisher(this, argument);
	case RONBUS_IOC_COALESCE:
		return mend_coalesce(this, argument);
	case RONBUS_IOC_SUBSCRIBE:
		return mend_subscribe(this, argument);
	}
}

uint64_t ioctl_argument(unsigned int n, unsigned int i)
{
	const struct description *this = &ioctls[n];
	const struct field *field;

	if (i == ARGUMENTS - 1)
		return dice_below(30) ? 0 : dice();
	if (i >= this->count)
		return 0;
	field = &this->fields[i];
	if (field->kind != VECTOR && field->kind != BYTES && !dice_below(80))
		return dice_value();
	return member(field);
}
