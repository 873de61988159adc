/* SPDX-License-Identifier: GPL-2.0 */
/* exit_event.h - the map that exit_event.c fills and exit_event.bpf.c reads */
#ifndef _EXIT_EVENT_H
#define _EXIT_EVENT_H

#include <linux/types.h>

#define EXIT_EVENT_COMM 16

/**
 * struct exit_event_key - name of a process
 * @comm: it, NUL to its end
 */
struct exit_event_key {
	char comm[EXIT_EVENT_COMM];
};

/**
 * struct exit_event_service - a service
 * @token: of the publisher to publish as, which was made with RONBUS_PUBLISHER_BPF
 * @number: its number in the event
 * @pad: zero
 */
struct exit_event_service {
	__u64 token;
	__u16 number;
	__u16 pad[3];
};

#endif /* _EXIT_EVENT_H */
