// SPDX-License-Identifier: GPL-2.0
//
// No word of a ring or of a member's own page makes the kernel go round for ever. A loop that has no
// count of its own, and reads such words, uses up a budget or looks whether its task is to end.
// Of loops that begin with do this version of Coccinelle knows nothing: the check looks at those.

@ends@
expression E, x, y;
statement S;
identifier f =~ "^(signal_pending|fatal_signal_pending|prepare_to_swait_event|ronbus_sub_between_steps|ronbus_pub_retry)$";
position p;
@@
(
while@p (<+... \(f(...)\|x--\|--x\) ...+>) S
|
while@p (E) { <+... \(f(...)\|x--\|--x\|x -= y\|x &= y\) ...+> }
|
while@p (E) x = f(...);
|
for@p (;;) { <+... \(f(...)\|x--\|--x\) ...+> }
)

@bad@
expression E;
statement S;
identifier f =~ "^(ronbus_ring_(look|ready|reached|claimed|hint|tail|unread|unread_more|wanted|unchanged)|ronbus_blocks_pinned|ronbus_pub_try_put|ronbus_sub_take_record|ronbus_sub_take_records|READ_ONCE|smp_load_acquire)$";
position p != ends.p;
@@
(
while@p (<+... f(...) ...+>) S
|
while@p (E) { <+... f(...) ...+> }
|
for@p (;;) { <+... f(...) ...+> }
)

@script:python@
p << bad.p;
@@
print("%s:%s: a loop that words of user space make as long as they like" % (p[0].file, p[0].line))
