// SPDX-License-Identifier: GPL-2.0
/*
 * baseline_fuzz.c - ronbus-bench with any file for a baseline, and any line for what a peer prints
 */
#include "input.h"

#include <unistd.h>

#include <sys/mman.h>

#include "cases.h"
#include "frozen.h"
#include "machine.h"
#include "peer.h"
#include "result.h"

const char bench_name[] = "fuzz";
struct settings settings = { .noise = 0.03, .transport = RONBUS_EMBEDDED };

static const struct cell_ops no_ops = { .name = "none", .what = "nothing" };

static void add_cell(struct cells *cells, const char *group, const char *engine, const char *name)
{
	const struct cell template = { .group = group, .engine = engine, .ops = &no_ops };
	struct cell *cell = cells_add(cells, &template, "%s", name);
	unsigned int i;

	cell_add_series(cell, "publish", "ns/msg");
	samples_turn(&cell->series[0].samples);
	for (i = 0; i < 8; i++)
		samples_add(&cell->series[0].samples, 100 + i);
	cell_summarize(cell);
}

/* A baseline as a file: loaded, and compared with a run. */
static void load(const uint8_t *data, size_t size)
{
	json_t *machine = json_pack("{s:s, s:i}", "identity", "this one", "cpus", 2), *frozen;
	struct changes changes = { 0 };
	struct cells cells = { 0 };
	size_t i;
	char path[64];
	int fd = memfd_create("baseline", MFD_CLOEXEC);

	must(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	frozen = frozen_load(path, machine, size % 2);
	close(fd);
	if (frozen) {
		add_cell(&cells, GROUP_REFERENCE, "reference", REFERENCE_CELL);
		add_cell(&cells, GROUP_MATRIX, "ronbus", "m");
		frozen_compare(frozen, "fuzz", &cells, &changes);
		must(changes.count == 2);
		for (i = 0; i < changes.count; i++)
			must(changes.changes[i].cell && changes.changes[i].series);
		changes_regressed(&changes);
		changes_free(&changes);
		cells_free(&cells);
		json_decref(frozen);
	}
	json_decref(machine);
}

static void peer(const uint8_t *data, size_t size)
{
	struct samples latencies[SERIES_MOST] = { 0 };
	const struct cell template = { .group = GROUP_MATRIX, .engine = "peer", .ops = &no_ops };
	struct cells cells = { 0 };
	struct cell *cell = cells_add(&cells, &template, "peer");
	char *line = malloc(size + 1);
	unsigned int i;

	must(line);
	memcpy(line, data, size);
	line[size] = '\0';
	cell_add_series(cell, "cycle", "ns/msg");
	cell_add_latencies(cell, "oneway");
	for (i = 0; i < 4; i++)
		samples_turn(&latencies[i]);
	peer_read_line(cell, line, latencies);
	for (i = 0; i < SERIES_MOST; i++) {
		if (latencies[i].count)
			series_add_latencies(&cell->series[i], latencies[i].values,
					     latencies[i].count);
		samples_free(&latencies[i]);
	}
	free(line);
	cells_free(&cells);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size && data[0] == '{')
		load(data, size);
	else
		peer(data, size);
	return 0;
}

/* What it says of bad baselines is nobody's business here. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}
