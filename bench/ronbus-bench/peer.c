// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * peer.c - programs that measure other engines in the three shapes
 *
 * A peer is started once for each turn of a cell. What it is asked, and what it prints, is in
 * bench/README.md. Status 77 means that it cannot do that here; it has said why.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cases.h"
#include "peer.h"

#define LIMIT_NS 60000000000ULL
#define SKIPPED 77

extern char **environ;

/* ---- starting and reading ------------------------------------------------------------- */

/**
 * struct child - a peer that runs
 * @pid: its process, leader of a group
 * @out: what it prints
 * @complaints: a file without a name, what it says on standard error
 */
struct child {
	pid_t pid;
	int out;
	int complaints;
};

static const char *path_of(const struct cell *cell, char *path, size_t size)
{
	snprintf(path, size, "%s/%s", settings.peers, cell->engine);
	return path;
}

static int file_without_name(void)
{
	FILE *file = tmpfile();
	int fd = file ? dup(fileno(file)) : -1;

	if (file)
		fclose(file);
	if (fd < 0)
		die("no temporary file: %s", strerror(errno));
	return fd;
}

static void spawn(struct child *child, char **argv)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int fds[2], err;

	child->complaints = file_without_name();
	if (pipe2(fds, O_CLOEXEC))
		die("no pipe: %s", strerror(errno));
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, child->complaints, STDERR_FILENO);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
	err = posix_spawn(&child->pid, argv[0], &actions, &attributes, argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	close(fds[1]);
	child->out = fds[0];
	if (err)
		die("%s cannot be run: %s", argv[0], strerror(err));
}

/* All it prints, ended by a NUL; NULL if it did not come to an end. */
static char *read_all(const struct child *child)
{
	size_t size = 1 << 16, len = 0;
	uint64_t limit = now_ns() + LIMIT_NS;
	char *text = malloc(size);

	while (text) {
		struct pollfd pollfd = { .fd = child->out, .events = POLLIN };
		uint64_t now = now_ns();
		ssize_t some;

		if (now >= limit || poll(&pollfd, 1, (int)((limit - now) / 1000000) + 1) == 0) {
			free(text);
			return NULL;
		}
		some = read(child->out, text + len, size - len - 1);
		if (some < 0 && errno == EINTR)
			continue;
		if (some <= 0)
			break;
		len += (size_t)some;
		if (len + 1 == size) {
			size *= 2;
			text = realloc(text, size);
		}
	}
	if (!text)
		die("no memory");
	text[len] = '\0';
	return text;
}

/* The first line it has complained with, less its name. */
static void read_complaint(const struct child *child, const char *name, char *text, size_t size)
{
	ssize_t len = pread(child->complaints, text, size - 1, 0);
	size_t prefix = strlen(name);

	text[len > 0 ? len : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (!strncmp(text, name, prefix) && !strncmp(text + prefix, ": ", 2))
		memmove(text, text + prefix + 2, strlen(text + prefix + 2) + 1);
}

/* ---- what it says --------------------------------------------------------------------- */

static bool read_engine(struct cell *cell, const char *line)
{
	if (strncmp(line, "engine\t", 7))
		return false;
	snprintf(cell->version, sizeof(cell->version), "%.*s", (int)strcspn(line + 7, "\n"),
		 line + 7);
	return true;
}

/* Where a word of a peer goes: its name here is what the cells of ronbus call it. */
static struct series *series_for(const struct cell *cell, const char *word, size_t len)
{
	static const char *const words[][2] = {
		{ "sample", "cycle" },	  { "latency", "oneway" },    { "publish", "publish" },
		{ "receive", "receive" }, { "lastwake", "lastwake" }, { "switches", "switches" },
		{ "cpu", "cpu" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(words); i++)
		if (strlen(words[i][0]) == len && !memcmp(words[i][0], word, len))
			return cell_series(cell, words[i][1]);
	return NULL;
}

bool peer_read_line(struct cell *cell, const char *line, struct samples *latencies)
{
	size_t len = strcspn(line, "\t\n");
	struct series *series;
	double value;
	char *end;

	if (*line == '#' || read_engine(cell, line))
		return true;
	series = line[len] == '\t' ? series_for(cell, line, len) : NULL;
	if (!series)
		return false;
	value = strtod(line + len + 1, &end);
	if (end == line + len + 1 || (*end && *end != '\n'))
		return false;
	if (series->histogram)
		samples_add(&latencies[series - cell->series], value);
	else
		samples_add(&series->samples, value);
	return true;
}

static bool read_lines(struct cell *cell, char *text)
{
	struct samples latencies[SERIES_MOST] = { 0 };
	char *line, *rest = text;
	bool good = true;
	unsigned int i;

	while (good && (line = strsep(&rest, "\n"))) {
		good = !*line || peer_read_line(cell, line, latencies);
		if (!good)
			cell_skip(cell, "failed: it printed \"%.60s\"", line);
	}
	for (i = 0; i < cell->nr_series; i++) {
		if (good && latencies[i].count)
			series_add_latencies(&cell->series[i], latencies[i].values,
					     latencies[i].count);
		samples_free(&latencies[i]);
	}
	return good;
}

/* ---- a turn --------------------------------------------------------------------------- */

static bool ended_well(struct cell *cell, const struct child *child, int status)
{
	char complaint[REASON_SIZE / 2];

	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return true;
	read_complaint(child, cell->engine, complaint, sizeof(complaint));
	if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
		cell_skip(cell, "%s", *complaint ? complaint : "it cannot do that here");
	else if (WIFEXITED(status))
		cell_skip(cell, "failed: status %d: %s", WEXITSTATUS(status), complaint);
	else
		cell_skip(cell, "failed: signal %d: %s", WTERMSIG(status), complaint);
	return false;
}

static bool run_peer(struct cell *cell, char **argv)
{
	struct child child;
	char *text;
	bool good;
	int status;

	spawn(&child, argv);
	text = read_all(&child);
	if (!text) {
		kill(-child.pid, SIGKILL);
		cell_skip(cell, "failed: no end after %llu s", LIMIT_NS / 1000000000ULL);
	}
	waitpid(child.pid, &status, 0);
	good = text && ended_well(cell, &child, status) && read_lines(cell, text);
	free(text);
	close(child.out);
	close(child.complaints);
	return good;
}

/* Without pinning there is no CPU to name, and the peer takes its own two. */
static void cpus_of(char *text, size_t size)
{
	const struct cpu_list *cpus = &settings.cpus;

	*text = '\0';
	if (cpus->count)
		snprintf(text, size, "%d,%d", cpus->numbers[0], cpus->numbers[cpus->count > 1]);
}

static bool peer_turn(struct cell *cell, void *state)
{
	char path[4096], shape[2] = { cell->shape }, readers[16], payload[16], samples[16];
	char cpus[32], *argv[16];
	unsigned int n = 0;

	(void)state;
	snprintf(readers, sizeof(readers), "%u", cell->subscribers);
	snprintf(payload, sizeof(payload), "%u", cell->payload);
	snprintf(samples, sizeof(samples), "%u", cell->burst);
	cpus_of(cpus, sizeof(cpus));
	argv[n++] = (char *)path_of(cell, path, sizeof(path));
	argv[n++] = "--shape";
	argv[n++] = shape;
	argv[n++] = "--readers";
	argv[n++] = readers;
	argv[n++] = "--payload";
	argv[n++] = payload;
	argv[n++] = "--samples";
	argv[n++] = samples;
	if (*cpus) {
		argv[n++] = "--cpus";
		argv[n++] = cpus;
	}
	if (cell->shape == 'b' && cell->sleeping)
		argv[n++] = "--sleep";
	argv[n] = NULL;
	return run_peer(cell, argv);
}

static const struct cell_ops peer_ops = {
	.name = "peer",
	.what = "the same shapes, of another engine",
	.turn = peer_turn,
};

/* ---- which there are ------------------------------------------------------------------ */

static int is_program(const struct dirent *entry)
{
	char path[4096];
	struct stat status;

	if (*entry->d_name == '.' || strchr(entry->d_name, '/'))
		return 0;
	snprintf(path, sizeof(path), "%s/%s", settings.peers, entry->d_name);
	return !stat(path, &status) && S_ISREG(status.st_mode) && !access(path, X_OK);
}

static void add_peer(struct cells *cells, const struct cell *ours, const char *engine)
{
	const char *name = strrchr(ours->name, '/');
	struct cell template = *ours, *cell;
	unsigned int i;

	template.engine = engine;
	template.ops = &peer_ops;
	template.features = 0;
	template.features_name = "";
	template.nr_series = 0;
	if (ours->shape == 'a' || ours->shape == SHAPE_APART)
		template.burst = settings.samples_most; /* that is how many it shall take */
	cell = cells_add(cells, &template, "%.*s/%s", (int)(name - ours->name), ours->name, engine);
	for (i = 0; i < ours->nr_series; i++) {
		if (ours->series[i].histogram)
			cell_add_latencies(cell, ours->series[i].name);
		else
			cell_add_series(cell, ours->series[i].name, ours->series[i].unit);
	}
}

void add_peers(struct cells *cells, const char *directory)
{
	struct cells all = { 0 };
	struct dirent **peers;
	size_t i;
	int p, count = directory ? scandir(directory, &peers, is_program, alphasort) : -1;

	if (count < 0)
		return;
	for (i = 0; i < cells->count; i++) {
		/* By value: the table may move while it grows. */
		const struct cell ours = cells->cells[i];

		*cells_add(&all, &ours, "%s", ours.name) = ours;
		if (!ours.shape || strcmp(ours.engine, "ronbus"))
			continue;
		for (p = 0; p < count; p++)
			if (ours.shape != SHAPE_APART || !strcmp(peers[p]->d_name, APART_PEER))
				add_peer(&all, &ours, strdup(peers[p]->d_name));
	}
	for (p = 0; p < count; p++)
		free(peers[p]);
	free(peers);
	free(cells->cells);
	*cells = all;
}
