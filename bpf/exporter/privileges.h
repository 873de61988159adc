/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * privileges.h - what each thread can do without
 */
#ifndef RONBUS_PRIVILEGES_H
#define RONBUS_PRIVILEGES_H

/**
 * enum privileges - what a thread keeps, of what it has
 * @PRIVILEGES_ATTACH: what it takes to attach BPF programs: CAP_BPF, CAP_PERFMON, and CAP_SYS_ADMIN
 *	to look up the types of a module
 * @PRIVILEGES_READ: what it takes to read their maps: CAP_BPF and CAP_PERFMON
 */
enum privileges {
	PRIVILEGES_ATTACH,
	PRIVILEGES_READ,
};

int privileges_keep(enum privileges what);

#endif /* RONBUS_PRIVILEGES_H */
