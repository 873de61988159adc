// SPDX-License-Identifier: GPL-2.0
//
// A word that user space can write is read once, bounded, then used: read a second time in the same
// function it may be another one. Words of a member's own page, of a command of io_uring, and what a
// pointer of user space points to.

@own_page exists@
expression M;
identifier fld;
position p1, p2;
@@
READ_ONCE@p1(M->self->fld)
...
READ_ONCE@p2(M->self->fld)

@at_hand exists@
identifier me = self, fld;
position p1, p2;
@@
READ_ONCE@p1(me->fld)
...
READ_ONCE@p2(me->fld)

@command exists@
identifier A, fld;
position p1, p2;
expression E;
@@
(
const struct ronbus_wait *A = ronbus_uring_payload(E);
|
const struct ronbus_uring_publish *A = ronbus_uring_payload(E);
|
A = ronbus_uring_payload(E);
)
...
READ_ONCE@p1(A->fld)
...
READ_ONCE@p2(A->fld)

@bare@
struct ronbus_self *P;
expression E;
identifier fld;
position p;
@@
(
READ_ONCE(P->fld)
|
READ_ONCE(P->fld[E])
|
WRITE_ONCE(P->fld, E)
|
  &P->fld
|
  &P->fld[E]
|
P->fld@p
)

@bare_in@
expression M, E;
identifier fld;
position p;
@@
(
READ_ONCE(M->self->fld)
|
READ_ONCE(M->self->fld[E])
|
WRITE_ONCE(M->self->fld, E)
|
  &M->self->fld
|
  &M->self->fld[E]
|
sizeof(M->self->fld)
|
M->self->fld@p
)

@copied exists@
expression E, from, size;
position p1, p2;
@@
copy_from_user@p1(..., from, size)
... when != from = E
copy_from_user@p2(..., from, size)

@got exists@
expression E, from;
position p1, p2;
@@
get_user@p1(..., from)
... when != from = E
get_user@p2(..., from)

@script:python@
p1 << own_page.p1;
p2 << own_page.p2;
@@
if (p1[0].line, p1[0].column) < (p2[0].line, p2[0].column):
	print("%s:%s: a word of user space, read a second time" % (p2[0].file, p2[0].line))

@script:python@
p1 << at_hand.p1;
p2 << at_hand.p2;
@@
if (p1[0].line, p1[0].column) < (p2[0].line, p2[0].column):
	print("%s:%s: a word of user space, read a second time" % (p2[0].file, p2[0].line))

@script:python@
p1 << command.p1;
p2 << command.p2;
@@
if (p1[0].line, p1[0].column) < (p2[0].line, p2[0].column):
	print("%s:%s: a word of a command, read a second time" % (p2[0].file, p2[0].line))

@script:python@
p << bare.p;
@@
print("%s:%s: a word of user space, neither by READ_ONCE() nor by WRITE_ONCE()" % (p[0].file, p[0].line))

@script:python@
p << bare_in.p;
@@
print("%s:%s: a word of user space, neither by READ_ONCE() nor by WRITE_ONCE()" % (p[0].file, p[0].line))

@script:python@
p1 << copied.p1;
p2 << copied.p2;
@@
if p1[0].line < p2[0].line:
	print("%s:%s: copied from user space a second time" % (p2[0].file, p2[0].line))

@script:python@
p1 << got.p1;
p2 << got.p2;
@@
if p1[0].line < p2[0].line:
	print("%s:%s: read from user space a second time" % (p2[0].file, p2[0].line))
