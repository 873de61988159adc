// SPDX-License-Identifier: GPL-2.0
//
// Memory of a program is not touched under a lock that others need: the page may be one that its owner
// lets nobody have, for as long as it likes. The lock of one member (pub->lock, sub->read_lock) is its
// own affair. Nor where one may not sleep, nor while a block is held that others could have had.

@bus exists@
expression E;
struct ronbus_bus *B;
symbol ronbus_registry;
identifier copy =~ "^(__)?(copy_(from|to)_user|(get|put|clear)_user|strncpy_from_user|fault_in_readable|fault_in_writeable|get_user_pages|ronbus_(get|put)_args|ronbus_(get|put)_args_sized|ronbus_fd_install|ronbus_fd_reserve)$";
position p;
@@
(
mutex_lock(&B->lock);
|
mutex_lock(&E->bus->lock);
|
mutex_lock(&ronbus_registry);
)
... when != mutex_unlock(&B->lock)
    when != mutex_unlock(&E->bus->lock)
    when != mutex_unlock(&ronbus_registry)
copy@p(...)

@asked exists@
expression E;
struct ronbus_bus *B;
symbol ronbus_registry;
identifier copy =~ "^(__)?(copy_(from|to)_user|(get|put|clear)_user|strncpy_from_user|fault_in_readable|fault_in_writeable|get_user_pages|ronbus_(get|put)_args|ronbus_(get|put)_args_sized|ronbus_fd_install|ronbus_fd_reserve)$";
identifier take =~ "^mutex_(lock_interruptible|lock_killable|trylock)$";
position p;
@@
(
take(&B->lock)
|
take(&E->bus->lock)
|
take(&ronbus_registry)
)
... when != mutex_unlock(&B->lock)
    when != mutex_unlock(&E->bus->lock)
    when != mutex_unlock(&ronbus_registry)
copy@p(...)

@spin exists@
expression L;
identifier copy =~ "^(__)?(copy_(from|to)_user|(get|put|clear)_user|strncpy_from_user|fault_in_readable|fault_in_writeable|get_user_pages|ronbus_(get|put)_args|ronbus_(get|put)_args_sized|ronbus_fd_install|ronbus_fd_reserve)$";
identifier take =~ "^spin_lock(_irq|_bh)?$";
identifier give =~ "^spin_unlock(_irq|_bh)?$";
position p;
@@
take(L);
... when != give(L)
copy@p(...)

@spin_irqsave exists@
expression L;
identifier copy =~ "^(__)?(copy_(from|to)_user|(get|put|clear)_user|strncpy_from_user|fault_in_readable|fault_in_writeable|get_user_pages|ronbus_(get|put)_args|ronbus_(get|put)_args_sized|ronbus_fd_install|ronbus_fd_reserve)$";
position p;
@@
spin_lock_irqsave(L, ...);
... when != spin_unlock_irqrestore(L, ...)
copy@p(...)

@atomic exists@
identifier copy =~ "^(__)?(copy_(from|to)_user|(get|put|clear)_user|strncpy_from_user|fault_in_readable|fault_in_writeable|get_user_pages|ronbus_(get|put)_args|ronbus_(get|put)_args_sized|ronbus_fd_install|ronbus_fd_reserve)$";
position p;
@@
(
rcu_read_lock();
|
preempt_disable();
)
... when != rcu_read_unlock()
    when != preempt_enable()
copy@p(...)

@block exists@
expression E, X;
identifier copy =~ "^(copy_(from|to)_user|(get|put|clear)_user|fault_in_readable|fault_in_writeable)$";
position p;
@@
X = take(E)
... when != done(...)
copy@p(...)

@script:python@
p << block.p;
@@
print("%s:%s: memory of a program, while a block is held" % (p[0].file, p[0].line))

@script:python@
p << bus.p;
@@
print("%s:%s: memory of a program, under a lock that others need" % (p[0].file, p[0].line))

@script:python@
p << asked.p;
@@
print("%s:%s: memory of a program, under a lock that others need" % (p[0].file, p[0].line))

@script:python@
p << spin.p;
@@
print("%s:%s: memory of a program, where one may not sleep" % (p[0].file, p[0].line))

@script:python@
p << spin_irqsave.p;
@@
print("%s:%s: memory of a program, where one may not sleep" % (p[0].file, p[0].line))

@script:python@
p << atomic.p;
@@
print("%s:%s: memory of a program, where one may not sleep" % (p[0].file, p[0].line))
