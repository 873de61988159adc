// SPDX-License-Identifier: MIT
/*
 * say.c - lines of output: the time, the process, the text
 *
 * Several processes write to one terminal. Each line is one write(), so none is torn.
 */
#include "demo.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static bool coloured;
static const char *self = "demo";
static unsigned int self_hue;
static __u64 began;

__u64 now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (__u64)now.tv_sec * 1000 + (__u64)now.tv_nsec / 1000000;
}

void say_setup(enum colour when)
{
	const char *term = getenv("TERM");
	const char *no = getenv("NO_COLOR");

	began = now_ms();
	coloured = when == COLOUR_ALWAYS;
	if (when == COLOUR_AUTO)
		coloured = isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") && !(no && *no);
}

/* From here on this process is called @name. */
void say_as(const char *name, unsigned int hue)
{
	self = name;
	self_hue = hue;
}

static void say_in(const char *style, const char *format, va_list args)
{
	__u64 at = now_ms() - began;
	char hue[16] = "", line[512];
	size_t len;
	int n;

	if (coloured && self_hue)
		snprintf(hue, sizeof(hue), "\033[%um", self_hue);
	n = snprintf(line, sizeof(line), "%3llu.%03llu  %s%-7s%s %s", at / 1000, at % 1000, hue,
		     self, *hue ? "\033[0m" : "", coloured ? style : "");
	len = (size_t)n;
	n = vsnprintf(line + len, sizeof(line) - len - 8, format, args);
	if (n < 0)
		return;
	len = strlen(line);
	if (coloured && *style)
		len += (size_t)snprintf(line + len, sizeof(line) - len, "\033[0m");
	line[len++] = '\n';
	if (write(STDOUT_FILENO, line, len) < 0)
		exit(1); /* nobody reads it any more */
}

#define SAY_IN(style)                        \
	do {                                 \
		va_list args;                \
		va_start(args, format);      \
		say_in(style, format, args); \
		va_end(args);                \
	} while (0)

void say(const char *format, ...)
{
	SAY_IN("");
}

void say_loud(const char *format, ...)
{
	SAY_IN("\033[1m");
}

void say_bad(const char *format, ...)
{
	SAY_IN("\033[1;31m");
}
