// SPDX-License-Identifier: GPL-2.0
/*
 * Bugs, one for each thing that a debug kernel watches: vm/test loads this with bug=NAME, and the
 * rig must notice.
 */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/timer.h>

static char *bug = "none";
module_param(bug, charp, 0);

static DEFINE_MUTEX(lock_a);
static DEFINE_MUTEX(lock_b);
static DEFINE_SPINLOCK(spinlock);

static void in_order(struct mutex *first, struct mutex *second)
{
	mutex_lock(first);
	mutex_lock(second);
	mutex_unlock(second);
	mutex_unlock(first);
}

static void deadlock(void)
{
	in_order(&lock_a, &lock_b);
	in_order(&lock_b, &lock_a);
}

static void use_after_free(void)
{
	int *p = kmalloc(64, GFP_KERNEL);

	kfree(p);
	OPTIMIZER_HIDE_VAR(p);
	READ_ONCE(*p);
}

static void out_of_bounds(void)
{
	static int array[4];
	int i = 5;

	OPTIMIZER_HIDE_VAR(i);
	if (IS_ENABLED(CONFIG_UBSAN))
		WRITE_ONCE(array[i], 1);
}

static void leak(void)
{
	void *p = kmalloc(64, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(p);
}

static void sleep_in_atomic(void)
{
	spin_lock(&spinlock);
	msleep(1);
	spin_unlock(&spinlock);
}

static void no_timer(struct timer_list *timer)
{
}

static void active_free(void)
{
	struct timer_list *timer = kmalloc(sizeof(*timer), GFP_KERNEL);

	timer_setup(timer, no_timer, 0);
	mod_timer(timer, jiffies + 1000 * HZ);
	kfree(timer);
}

static int shared;
static DECLARE_COMPLETION(raced);

static int racer(void *arg)
{
	int i;

	for (i = 0; i < 2000000; i++) {
		shared++;
		barrier();
		if (!(i % 1024))
			cond_resched();
	}
	complete(&raced);
	return 0;
}

static void race(void)
{
	kthread_run(racer, NULL, "racer0");
	kthread_run(racer, NULL, "racer1");
	wait_for_completion(&raced);
	wait_for_completion(&raced);
}

static const struct {
	const char *name;
	void (*fn)(void);
} bugs[] = {
	{ "deadlock", deadlock },
	{ "use_after_free", use_after_free },
	{ "out_of_bounds", out_of_bounds },
	{ "leak", leak },
	{ "sleep_in_atomic", sleep_in_atomic },
	{ "active_free", active_free },
	{ "race", race },
};

static int __init planted_init(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(bugs); i++) {
		if (strcmp(bugs[i].name, bug))
			continue;
		bugs[i].fn();
		return 0;
	}
	return strcmp(bug, "none") ? -EINVAL : 0;
}
module_init(planted_init);

static void __exit planted_exit(void)
{
}
module_exit(planted_exit);

MODULE_DESCRIPTION("Bugs, for the rig to notice");
MODULE_LICENSE("GPL");
