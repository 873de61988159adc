// SPDX-License-Identifier: GPL-2.0
//
// The words of a slot are read by the functions of ronbus_ring*.h only: between an acquire of its state
// and another look at it. Nothing here takes one by its name or its address, says by itself that it
// has seen a state, or forgets the other look.

@by_name@
struct ronbus_slot *L;
struct ronbus_words A;
struct ronbus_words *W;
struct ronbus_meta *D;
identifier fld;
position p;
@@
(
L->fld@p
|
A.fld@p
|
W->fld@p
|
D->fld@p
)

@by_address@
expression E, F;
identifier fld = {state, hole, ready, meta};
position p;
@@
(
ronbus_ring_at(E, F).fld@p
|
ronbus_ring_slot@p(E, F)
|
E.slots@p
|
E->slots@p
)

@made@
struct ronbus_seen S;
expression E;
position p;
@@
(
S.state@p = E
|
  (struct ronbus_seen){ .state@p = E }
)

@looked@
identifier f =~ "^ronbus_words_(ready|len|topic|payload)$";
identifier g =~ "^ronbus_(ring_unchanged|ring_run_unchanged|state_unchanged)$";
position p;
@@
f@p(...)
... when any
g(...)

@bad@
identifier f =~ "^ronbus_words_(ready|len|topic|payload)$";
position p != looked.p;
@@
f@p(...)

@script:python@
p << by_name.p;
@@
print("%s:%s: a word of a slot, not by a function of ronbus_ring*.h" % (p[0].file, p[0].line))

@script:python@
p << by_address.p;
@@
print("%s:%s: a word of a slot, not by a function of ronbus_ring*.h" % (p[0].file, p[0].line))

@script:python@
p << made.p;
@@
print("%s:%s: a state that nobody has seen" % (p[0].file, p[0].line))

@script:python@
p << bad.p;
@@
print("%s:%s: a word of a slot, and no look whether it was still there" % (p[0].file, p[0].line))
