// SPDX-License-Identifier: GPL-2.0
/*
 * bpf.c - publishing and counting from BPF programs
 *
 * They are loaded once, by the first process, and used by all of them.
 */
#include <string.h>
#include <sys/ioctl.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "moves.h"
#include "fuzz_bpf.h"
#include "fuzz.skel.h"

static struct fuzz_bpf *programs;
static atomic_uint used; /* slots of from_irq that this process wrote, as bits */

static int be_silent(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
	return 0;
}

bool bpf_begin(void)
{
	libbpf_set_print(be_silent);
	programs = fuzz_bpf__open_and_load();
	if (programs && fuzz_bpf__attach(programs)) {
		fuzz_bpf__destroy(programs);
		programs = NULL;
	}
	return programs;
}

static uint64_t bus_of(int fd)
{
	struct ronbus_info info = { 0 };

	ioctl(fd, RONBUS_IOC_INFO, &info);
	return info.id;
}

/* A publisher for interrupts, or none from now on. */
static int set_irq(const struct call *call)
{
	unsigned int slot = call->argument[1] % FUZZ_BPF_SLOTS;

	atomic_fetch_or(&used, 1U << slot);
	programs->bss->from_irq[slot] = call->argument[2] % 4 ? file_token(call->in) : 0;
	return 0;
}

int run_bpf(const struct call *call)
{
	struct fuzz_bpf_call args = {
		.token = file_token(call->in),
		.topic = (uint32_t)(call->argument[1] % 8 ? call->argument[1] % 3 : 65),
		.len = (uint32_t)(call->argument[2] % 4 ? call->argument[2] % 33
							: call->argument[2] % 257),
		.which = call->argument[1] % 4 ? RONBUS_STATS_BUS : (uint32_t)call->argument[1],
	};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &args, .ctx_size_in = sizeof(args));
	unsigned int kind = call->argument[0] % 8;

	if (!programs)
		return -ENOSYS;
	if (kind == 0)
		return set_irq(call);
	if (kind == 1)
		args.bus = bus_of(file_get(call->in));
	if (bpf_prog_test_run_opts(bpf_program__fd(kind == 1 ? programs->progs.count
							     : programs->progs.publish),
				   &opts))
		return -errno;
	return (int)opts.retval;
}

void bpf_end(void)
{
	unsigned int slots = atomic_exchange(&used, 0), slot;

	for (slot = 0; slot < FUZZ_BPF_SLOTS; slot++)
		if (slots >> slot & 1)
			programs->bss->from_irq[slot] = 0;
}
