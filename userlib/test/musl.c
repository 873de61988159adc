// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * musl.c - the library with another C library, which has no harness for tests: see tools/musl
 *
 *	musl PLUGIN	what both kinds of tests share, and a plugin that is loaded and used by threads; TAP
 */
#include "cancel.h"
#include "coalesce.h"

#include <dlfcn.h>
#include <string.h>

#define THREADS 4U
#define FEATURES (RONBUS_F_EDGE_NOTIFY | RONBUS_F_METRICS_BUF)

typedef int play_fn(__u64 features, unsigned int messages);

static int failures;

static void tell(bool ok, const char *what, const char *wrong)
{
	printf("%s - %s%s%s\n", ok ? "ok" : "not ok", what, ok ? "" : ": ", ok ? "" : wrong);
	failures += !ok;
}

static void cases(void)
{
	char wrong[256];
	unsigned int i;

	for (i = 0; i < COALESCE_CASES; i++)
		tell(coalesce_case(RONBUS_EMBEDDED, FEATURES, i, wrong, sizeof(wrong)),
		     coalesce_cases[i].name, wrong);
	tell(coalesce_run(RONBUS_EMBEDDED, FEATURES, 1, 5000, wrong, sizeof(wrong)), "run", wrong);
	for (i = 0; i < THREAD_CANCEL_CASES; i++)
		tell(thread_cancel_case(RONBUS_EMBEDDED, FEATURES, i, wrong, sizeof(wrong)),
		     thread_cancel_cases[i].name, wrong);
}

static void *play_main(void *arg)
{
	play_fn *play;

	memcpy(&play, &arg, sizeof(play));
	return (void *)(intptr_t)play(FEATURES, 1000);
}

static void plugin(const char *path)
{
	void *loaded = dlopen(path, RTLD_NOW), *play, *ret;
	pthread_t threads[THREADS];
	unsigned int i;

	tell(loaded, "load a plugin", dlerror());
	if (!loaded)
		return;
	play = dlsym(loaded, "plugin_play");
	for (i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, play_main, play))
			break;
	tell(i == THREADS, "threads begin", "they do not");
	while (i--) {
		pthread_join(threads[i], &ret);
		tell(!ret, "a thread used it", "it could not");
	}
	tell(!dlclose(loaded), "unload it", "");
}

int main(int argc, char **argv)
{
	cases();
	if (argc > 1)
		plugin(argv[1]);
	return failures != 0;
}
