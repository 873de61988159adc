// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * plugin_test.c - the library in a plugin that is loaded, used by threads, and unloaded
 *
 * Threads end, and processes fork, when the plugin that they used is gone. Everything is done twice,
 * with a plugin that has libronbus.a in it, and one that brings libronbus.so along.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "test.h"

#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#define FEATURES (RONBUS_F_EDGE_NOTIFY | RONBUS_F_METRICS_BUF | RONBUS_F_COALESCE)
#define THREADS 4U

#ifdef RB_TSAN
#define ROUNDS 20
#else
#define ROUNDS 200
#endif

typedef int play_fn(__u64 features, unsigned int messages);

static const char *const plugins[] = { "plugin.so", "plugin_shared.so" };

struct user {
	pthread_t thread;
	play_fn *play;
	unsigned int messages;
	int ret;
	int played; /* and it may go on to its end when it is set to 2 */
};

static void *try_load(const char *name)
{
	char path[PATH_MAX];

	assert_true(readlink("/proc/self/exe", path, sizeof(path) - 32) > 0);
	strcpy(strrchr(path, '/') + 1, name);
	return dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

static void *load(const char *name)
{
	void *plugin = try_load(name);

	if (!plugin)
		fail_msg("%s", dlerror());
	return plugin;
}

static play_fn *play_of(void *plugin)
{
	play_fn *play;
	void *symbol = dlsym(plugin, "plugin_play");

	assert_non_null(symbol);
	memcpy(&play, &symbol, sizeof(play));
	return play;
}

static void *user_main(void *arg)
{
	struct user *me = arg;

	me->ret = me->play(FEATURES, me->messages);
	__atomic_store_n(&me->played, 1, __ATOMIC_SEQ_CST);
	while (me->messages > 1 && __atomic_load_n(&me->played, __ATOMIC_SEQ_CST) != 2)
		sched_yield();
	return NULL;
}

static void begin(struct user *user, void *plugin, unsigned int messages)
{
	memset(user, 0, sizeof(*user));
	user->play = play_of(plugin);
	user->messages = messages;
	assert_int_equal(pthread_create(&user->thread, NULL, user_main, user), 0);
}

static void wait_for(const int *word, int value)
{
	while (__atomic_load_n(word, __ATOMIC_SEQ_CST) != value)
		sched_yield();
}

static void end(struct user *user)
{
	assert_int_equal(pthread_join(user->thread, NULL), 0);
	assert_int_equal(user->ret, 0);
}

/* The thread returns when the plugin has been unloaded. */
static void unload_before_threads_end(const char *name)
{
	struct user users[THREADS];
	unsigned int i;
	void *plugin;

	for (int round = 0; round < ROUNDS / 10; round++) {
		plugin = load(name);
		for (i = 0; i < THREADS; i++) {
			begin(&users[i], plugin, 100);
			wait_for(&users[i].played, 1);
		}
		assert_int_equal(dlclose(plugin), 0);
		for (i = 0; i < THREADS; i++) {
			__atomic_store_n(&users[i].played, 2, __ATOMIC_SEQ_CST);
			end(&users[i]);
		}
	}
}

/* It returns just then, and another plugin round begins. */
static void unload_while_threads_end(const char *name)
{
	struct user users[THREADS];
	unsigned int i;
	void *plugin;

	for (int round = 0; round < ROUNDS; round++) {
		plugin = load(name);
		for (i = 0; i < THREADS; i++)
			begin(&users[i], plugin, 1);
		for (i = 0; i < THREADS; i++)
			wait_for(&users[i].played, 1);
		assert_int_equal(dlclose(plugin), 0);
		for (i = 0; i < THREADS; i++)
			end(&users[i]);
	}
}

/* Each time it is loaded it would take a key of the few that there are. */
static void load_again_and_again(const char *name)
{
	struct user user;
	pthread_key_t key;
	void *plugin;

	for (int round = 0; round < PTHREAD_KEYS_MAX + 100; round++) {
		plugin = load(name);
		begin(&user, plugin, 1);
		end(&user);
		assert_int_equal(dlclose(plugin), 0);
	}
	assert_int_equal(pthread_key_create(&key, NULL), 0);
	pthread_key_delete(key);
}

static int status_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* A fork when it has been unloaded; and it is loaded and unloaded in the child. */
static void fork_around(const char *name)
{
	struct user user;
	void *plugin;
	pid_t pid;

	for (int round = 0; round < 20; round++) {
		plugin = load(name);
		begin(&user, plugin, 100);
		wait_for(&user.played, 1);
		if (round & 1)
			assert_int_equal(dlclose(plugin), 0);
		pid = fork();
		assert_int_not_equal(pid, -1);
		if (!pid) {
			if (round & 1)
				plugin = load(name);
			/* Without a timer: ThreadSanitizer lets a child have no threads. */
			if (play_of(plugin)(FEATURES & ~(__u64)RONBUS_F_COALESCE, 10))
				_exit(1);
			_exit(dlclose(plugin) ? 2 : 0);
		}
		assert_int_equal(status_of(pid), 0);
		if (!(round & 1))
			assert_int_equal(dlclose(plugin), 0);
		__atomic_store_n(&user.played, 2, __ATOMIC_SEQ_CST);
		end(&user);
		pid = fork();
		if (!pid)
			_exit(0);
		assert_int_equal(status_of(pid), 0);
	}
}

/* Others were loaded before, and have taken what memory there was for those that want it at once. */
static void load_as_the_last(const char *name)
{
	static const unsigned int sizes[] = { 1024, 512, 256, 128, 64, 32, 16, 8 };
	struct user user;
	char greedy[32];
	void *plugin;

	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
		snprintf(greedy, sizeof(greedy), "greedy_%u.so", sizes[i]);
		try_load(greedy);
	}
	/* There is none left. */
	assert_null(try_load("greedy_2048.so"));
	plugin = load(name);
	begin(&user, plugin, 100);
	wait_for(&user.played, 1);
	__atomic_store_n(&user.played, 2, __ATOMIC_SEQ_CST);
	end(&user);
}

static void (*const cases[])(const char *name) = {
	unload_before_threads_end, unload_while_threads_end, load_again_and_again, fork_around,
	load_as_the_last,
};

/* In a process of its own: what one leaves loaded is no matter of the next. */
static void test_apart(void **state)
{
	char number[16];
	pid_t pid = fork();

	assert_int_not_equal(pid, -1);
	if (!pid) {
		snprintf(number, sizeof(number), "%zu", (size_t)(uintptr_t)*state);
		execl("/proc/self/exe", "plugin_test", number, NULL);
		_exit(127);
	}
	assert_int_equal(status_of(pid), 0);
}

#define CASE(name, i)                                                                       \
	{ name ", the library in it", test_apart, NULL, NULL, (void *)(2 * i) },            \
	{                                                                                   \
		name ", the library beside it", test_apart, NULL, NULL, (void *)(2 * i + 1) \
	}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE("unloaded, then threads end", 0UL),
		CASE("unloaded while threads end", 1UL),
		CASE("loaded again and again", 2UL),
		CASE("fork", 3UL),
		CASE("loaded when others have taken the memory", 4UL),
	};

	if (argc > 1) { /* outside of a test, what is wrong ends the process */
		size_t i = strtoul(argv[1], NULL, 10);

		cases[i / 2](plugins[i % 2]);
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
