// SPDX-License-Identifier: GPL-2.0
/*
 * The probes of the library: found by their notes in this very program, set as uprobes through
 * tracefs, and hit as often as what they tell of happens.
 */
#include <elf.h>
#include <sys/stat.h>

#include "libronbus.h"
#include "ronbus_kselftest.h"

#ifndef RONBUS_USDT
#error "this test is for the probes"
#endif

#define INSTANCE TRACEFS "/instances/ronbus_usdt"
#define SLOTS 8U

/* Add to a file of tracefs, which takes a line a write. */
static int add_line(const char *path, const char *line)
{
	int fd = open(path, O_WRONLY | O_APPEND), ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, line, strlen(line)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

/**
 * struct elf - this program's file
 * @base: all of it
 * @path: its name
 */
struct elf {
	unsigned char *base;
	char path[256];
};

static int elf_open(struct elf *elf)
{
	ssize_t n = readlink("/proc/self/exe", elf->path, sizeof(elf->path) - 1);
	int fd = open("/proc/self/exe", O_RDONLY);
	off_t size;

	if (n < 0 || fd < 0)
		return -errno;
	elf->path[n] = 0;
	size = lseek(fd, 0, SEEK_END);
	elf->base = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	return elf->base == MAP_FAILED ? -errno : 0;
}

/* Where in the file the code of an address is. */
static u64 file_offset(const struct elf *elf, u64 address)
{
	const Elf64_Ehdr *head = (const void *)elf->base;
	const Elf64_Phdr *segment = (const void *)(elf->base + head->e_phoff);
	int i;

	for (i = 0; i < head->e_phnum; i++)
		if (segment[i].p_type == PT_LOAD && address >= segment[i].p_vaddr &&
		    address - segment[i].p_vaddr < segment[i].p_filesz)
			return address - segment[i].p_vaddr + segment[i].p_offset;
	return 0;
}

/* A uprobe for each note of ours; how many there are of this name. */
static int set_probes(struct __test_metadata *_metadata, const struct elf *elf, const char *name)
{
	const Elf64_Ehdr *head = (const void *)elf->base;
	const Elf64_Shdr *section = (const void *)(elf->base + head->e_shoff);
	const char *names = (const char *)elf->base + section[head->e_shstrndx].sh_offset;
	const unsigned char *note, *end;
	char line[512];
	int i, found = 0;

	for (i = 0; i < head->e_shnum; i++)
		if (!strcmp(names + section[i].sh_name, ".note.stapsdt"))
			break;
	if (i == head->e_shnum)
		return 0;
	note = elf->base + section[i].sh_offset;
	end = note + section[i].sh_size;
	while (note < end) {
		const Elf64_Nhdr *nhdr = (const void *)note;
		const unsigned char *desc = note + sizeof(*nhdr) + ((nhdr->n_namesz + 3) & ~3U);
		const char *provider = (const char *)desc + 3 * sizeof(u64);
		u64 address;

		note = desc + ((nhdr->n_descsz + 3) & ~3U);
		if (strcmp(provider, "libronbus") || strcmp(provider + strlen(provider) + 1, name))
			continue;
		memcpy(&address, desc, sizeof(address));
		snprintf(line, sizeof(line), "p:ronbus_usdt/%s_%d %s:%#llx\n", name, found++,
			 elf->path, (unsigned long long)file_offset(elf, address));
		EXPECT_EQ(0, add_line(TRACEFS "/uprobe_events", line)) TH_LOG("%s", line);
	}
	return found;
}

static unsigned int hits(const char *name)
{
	char line[512], word[64];
	unsigned int n = 0;
	FILE *file = fopen(INSTANCE "/trace", "r");

	snprintf(word, sizeof(word), ": %s_", name);
	while (file && fgets(line, sizeof(line), file))
		n += line[0] != '#' && strstr(line, word);
	if (file)
		fclose(file);
	return n;
}

FIXTURE(usdt)
{
	struct ronbus *bus;
	struct ronbus_sub *sub;
	struct ronbus_pub *pub;
	struct elf elf;
};

FIXTURE_SETUP(usdt)
{
	const struct ronbus_options opts = {
		.features = RONBUS_F_METRICS_BUF | RONBUS_F_BATCH,
		.capacity = SLOTS,
	};

	if (tracefs_mount())
		SKIP(return, "this kernel has no tracefs");
	if (access(TRACEFS "/uprobe_events", F_OK))
		SKIP(return, "this kernel has no uprobes");
	if (mkdir(INSTANCE, 0700))
		ASSERT_EQ(EEXIST, errno);
	ASSERT_EQ(0, elf_open(&self->elf));
	ASSERT_EQ(0, ronbus_create(RONBUS_EMBEDDED, &opts, &self->bus));
	ASSERT_EQ(0, ronbus_subscribe(self->bus, NULL, &self->sub));
	ASSERT_EQ(0, ronbus_publisher(self->bus, 0, &self->pub));
}

FIXTURE_TEARDOWN(usdt)
{
	write_file(INSTANCE "/events/ronbus_usdt/enable", "0");
	rmdir(INSTANCE);
	write_file(TRACEFS "/uprobe_events", "");
	ronbus_sub_close(self->sub);
	ronbus_close(self->bus);
}

static int receive_all(struct ronbus_sub *sub)
{
	struct ronbus_msg msg;
	char buf[64];
	int n = 0;

	while (ronbus_try_recv(sub, buf, sizeof(buf), &msg) == RONBUS_MESSAGE)
		n++;
	return n;
}

TEST_F(usdt, hit_as_often_as_it_happens)
{
	const struct iovec vec[3] = {
		{ .iov_base = "a", .iov_len = 1 },
		{ .iov_base = "b", .iov_len = 1 },
		{ .iov_base = "c", .iov_len = 1 },
	};
	struct ronbus_msg msg;
	char buf[64];
	int i;

	EXPECT_LT(0, set_probes(_metadata, &self->elf, "publish"));
	EXPECT_LT(0, set_probes(_metadata, &self->elf, "recv"));
	EXPECT_LT(0, set_probes(_metadata, &self->elf, "lag"));
	EXPECT_LT(0, set_probes(_metadata, &self->elf, "flush"));
	ASSERT_EQ(0, write_file(INSTANCE "/events/ronbus_usdt/enable", "1"));

	for (i = 0; i < 4; i++)
		ASSERT_EQ(1, ronbus_publish(self->pub, 0, "x", 1));
	ASSERT_EQ(3, ronbus_publish_many(self->pub, 0, vec, 3));
	EXPECT_EQ(5, hits("publish"));
	ASSERT_EQ(7, receive_all(self->sub));
	EXPECT_EQ(7, hits("recv"));
	EXPECT_EQ(0, hits("lag"));

	for (i = 0; i < (int)SLOTS + 2; i++)
		ASSERT_EQ(1, ronbus_publish(self->pub, 0, "x", 1));
	ASSERT_EQ(RONBUS_LAGGED, ronbus_try_recv(self->sub, buf, sizeof(buf), &msg));
	EXPECT_EQ(1, hits("lag"));
	EXPECT_EQ(15, hits("publish"));

	ronbus_pub_close(self->pub);
	EXPECT_LT(0, hits("flush"));

	/* Not any more, once nobody wants to know. */
	ASSERT_EQ(0, write_file(INSTANCE "/events/ronbus_usdt/enable", "0"));
	ASSERT_LT(0, receive_all(self->sub));
	EXPECT_EQ(7, hits("recv"));
}

TEST_HARNESS_MAIN
