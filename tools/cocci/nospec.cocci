// SPDX-License-Identifier: GPL-2.0
//
// An index that a program chooses is clamped before it loads from a table, also where a wrong one is
// refused: a CPU may load before it knows. Not of a program's choice are the index of a subscriber,
// a bit of a mask, and what a loop counts.

@clamped@
expression B, C;
idexpression i;
identifier tab = {subs, audience, messages_for, wakes};
position p;
@@
i = array_index_nospec(...)
... when != i = C
B->tab@p[i]

@counted@
expression B, from, most;
idexpression i;
identifier tab = {subs, audience, messages_for, wakes};
position p;
@@
(
for (i = from; i < most; ...) { <+... B->tab@p[i] ...+> }
|
for (i = from; i <= most; ...) { <+... B->tab@p[i] ...+> }
|
for (i = from; i < most && ...; ...) { <+... B->tab@p[i] ...+> }
)

@counted_in_a_line@
expression B, from, most, X;
idexpression i;
identifier f, tab = {subs, audience, messages_for, wakes};
position p;
@@
(
for (i = from; i < most; ...) X += <+... B->tab@p[i] ...+>;
|
for (i = from; i < most; ...) f(...,<+... B->tab@p[i] ...+>,...);
)

@own@
expression B;
struct ronbus_sub *S;
identifier tab = {subs, audience};
position p;
@@
B->tab@p[S->index]

@bit@
expression B, mask;
idexpression i;
identifier f = {__ffs64, __ffs, ffz, hweight64, ilog2};
identifier tab = {subs, audience, messages_for, wakes};
position p;
@@
i = f(mask)
...
B->tab@p[i]

@bit_of_declaration@
expression B, mask;
identifier i;
type T;
identifier f = {__ffs64, __ffs, ffz, hweight64, ilog2};
identifier tab = {subs, audience, messages_for, wakes};
position p;
@@
T i = f(mask);
...
B->tab@p[i]

@known@
expression B;
constant C;
identifier tab = {subs, audience, messages_for, wakes};
position p;
@@
(
B->tab@p[C]
|
B->tab@p[array_index_nospec(...)]
)

@bad@
expression B, i;
identifier tab = {subs, audience, messages_for};
position p != {clamped.p, counted.p, counted_in_a_line.p, own.p, bit.p, bit_of_declaration.p, known.p};
@@
B->tab@p[i]

@script:python@
p << bad.p;
@@
print("%s:%s: an index that may be a program's choice, not clamped by array_index_nospec()" % (p[0].file, p[0].line))
