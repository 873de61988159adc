// SPDX-License-Identifier: GPL-2.0
//
// What publishers find under RCU is freed after a grace period. A subscriber, and all it has, goes in
// a callback: a function that gets nothing but the work, or the rcu_head. And what a function takes
// out of a table that is read under RCU it does not free itself, unless it waits in between.

@initialize:python@
@@
callbacks = set()

@work@
identifier fn, w;
@@
fn(struct work_struct *w) { ... }

@head@
identifier fn, h;
@@
fn(struct rcu_head *h) { ... }

@script:python@
fn << work.fn;
@@
callbacks.add(str(fn))

@script:python@
fn << head.fn;
@@
callbacks.add(str(fn))

@of_a_subscriber@
identifier fld;
struct ronbus_sub *S;
position p;
@@
(
kfree@p(S)
|
kvfree@p(S)
|
kfree@p(S->fld)
|
kvfree@p(S->fld)
|
ronbus_region_free@p(&S->fld)
)

@taken_out exists@
expression E, T, X;
identifier f =~ "^(kfree|kvfree|vfree|kfree_sensitive|ronbus_region_free)$";
position p;
@@
(
RCU_INIT_POINTER(E, NULL);
|
rcu_assign_pointer(E, NULL);
|
xa_erase(T, ...);
|
idr_remove(T, ...);
|
list_del_rcu(E);
)
... when != synchronize_rcu()
    when != rcu_barrier()
f@p(X)

@script:python@
p << of_a_subscriber.p;
@@
if p[0].current_element not in callbacks:
	print("%s:%s: a subscriber, or what it has, is freed without a grace period" % (p[0].file, p[0].line))

@script:python@
p << taken_out.p;
@@
print("%s:%s: freed without a grace period, and readers under RCU may have found it" % (p[0].file, p[0].line))
