// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * screen.c - ronbus-top on a terminal
 */
#include "top.h"

#include <errno.h>
#include <ncurses.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define HEAD 3 /* lines above the rows */
#define KEY_ESCAPE 27

/**
 * struct screen - the terminal
 * @view: what is shown
 * @rows: as they are shown
 * @open: the number of the bus whose subscribers are shown, or 0
 * @at: the row that the cursor is on
 * @first: the row at the top
 * @help: keys are shown
 */
struct screen {
	struct view *view;
	struct rows rows;
	__u64 open;
	size_t at;
	size_t first;
	bool help;
};

static const char *const help[] = {
	"up, down, page up, page down   move",
	"enter                          subscribers of the bus",
	"escape, backspace, left        back to the buses",
	"s                              sort by the next column",
	"i n m r w u l d g              by id, name, messages, reads, wakes, suppressed, lost,",
	"                               drops, lag",
	"v                              the other way round",
	"space                          look now",
	"control-l                      draw all anew",
	"q                              quit",
};

static const struct {
	int key;
	enum order order;
} order_keys[] = {
	{ 'i', ORDER_ID },    { 'n', ORDER_NAME },  { 'm', ORDER_MESSAGES },
	{ 'r', ORDER_READS }, { 'w', ORDER_WAKES }, { 'u', ORDER_SUPPRESSED },
	{ 'l', ORDER_LOST },  { 'd', ORDER_DROPS }, { 'g', ORDER_LAG },
};

/* ---- drawing -------------------------------------------------------------------------- */

static size_t room(void)
{
	return LINES > HEAD ? (size_t)(LINES - HEAD) : 0;
}

/* Cut off at the edge, filled up to it. */
static void draw_line(int y, attr_t how, const char *text)
{
	int length = (int)strlen(text);

	if (y >= LINES)
		return;
	attrset(how);
	mvaddnstr(y, 0, text, length < COLS ? length : COLS);
	if (length < COLS)
		hline(' ' | how, COLS);
	attrset(A_NORMAL);
}

static void draw_head(const struct screen *screen)
{
	const struct view *view = screen->view;
	const struct bus_sample *bus = snapshot_find(&view->now, screen->open);
	char line[ROW_WIDTH];

	if (!screen->open)
		snprintf(line, sizeof(line), "ronbus-top  buses: %zu  source: %s  by %s%s",
			 view->now.count, view->now.source, order_name(view->order),
			 view->reverse ? ", reversed" : "");
	else
		snprintf(line, sizeof(line), "ronbus-top  bus %llu %s%s  source: %s  by %s%s",
			 (unsigned long long)screen->open, bus ? bus->name : "",
			 bus ? "" : "(gone)", view->now.source, order_name(view->order),
			 view->reverse ? ", reversed" : "");
	draw_line(0, A_BOLD, line);
	if (view->err)
		snprintf(line, sizeof(line), "cannot read all counters: %s",
			 ronbus_why(NULL, view->err));
	else
		snprintf(line, sizeof(line), "%s",
			 "q quit  ? help  s sort  enter open  escape back");
	draw_line(1, view->err ? A_BOLD : A_DIM, line);
	rows_title(screen->open, line);
	draw_line(2, A_REVERSE, line);
}

static void draw_rows(const struct screen *screen)
{
	char line[ROW_WIDTH];
	size_t i;

	for (i = 0; i < room() && screen->first + i < screen->rows.count; i++) {
		row_format(&screen->rows.row[screen->first + i], line);
		draw_line(HEAD + (int)i, screen->first + i == screen->at ? A_STANDOUT : A_NORMAL,
			  line);
	}
}

static void draw(const struct screen *screen)
{
	size_t i;

	erase();
	draw_head(screen);
	if (!screen->help)
		draw_rows(screen);
	for (i = 0; screen->help && i < sizeof(help) / sizeof(help[0]); i++)
		draw_line(HEAD + (int)i, A_NORMAL, help[i]);
	refresh();
}

/* ---- what is shown -------------------------------------------------------------------- */

/* The cursor stays on the screen, and on a row. */
static void clamp(struct screen *screen)
{
	size_t lines = room() ? room() : 1;

	if (screen->at >= screen->rows.count)
		screen->at = screen->rows.count ? screen->rows.count - 1 : 0;
	if (screen->first > screen->at)
		screen->first = screen->at;
	if (screen->at - screen->first >= lines)
		screen->first = screen->at - lines + 1;
}

static int arrange(struct screen *screen)
{
	struct view *view = screen->view;
	int err;

	rows_clear(&screen->rows);
	if (screen->open)
		err = rows_of_subs(&view->now, &view->before, screen->open, &screen->rows);
	else
		err = rows_of_buses(&view->now, &view->before, &screen->rows);
	if (err)
		return err;
	rows_sort(&screen->rows, view->order, view->reverse);
	clamp(screen);
	return 0;
}

static void move_by(struct screen *screen, long by)
{
	if (by < 0 && screen->at < (size_t)-by)
		screen->at = 0;
	else
		screen->at += (size_t)by;
}

static void open_bus(struct screen *screen)
{
	if (screen->open || screen->at >= screen->rows.count)
		return;
	screen->open = screen->rows.row[screen->at].id;
	screen->at = 0;
	screen->first = 0;
}

static void sort_by_key(struct view *view, int key)
{
	size_t i;

	for (i = 0; i < sizeof(order_keys) / sizeof(order_keys[0]); i++)
		if (order_keys[i].key == key)
			view->order = order_keys[i].order;
}

/* Returns whether it is time to look. */
static bool press(struct screen *screen, int key)
{
	struct view *view = screen->view;
	bool help_was_on = screen->help;

	screen->help = help_was_on && (key == '\f' || key == KEY_RESIZE);
	switch (key) {
	case KEY_UP:
		move_by(screen, -1);
		break;
	case KEY_DOWN:
		move_by(screen, 1);
		break;
	case KEY_PPAGE:
		move_by(screen, -(long)room());
		break;
	case KEY_NPAGE:
		move_by(screen, (long)room());
		break;
	case '\n':
	case '\r':
	case KEY_ENTER:
		open_bus(screen);
		break;
	case KEY_ESCAPE:
	case KEY_BACKSPACE:
	case KEY_LEFT:
	case '\b':
		screen->open = 0;
		break;
	case 's':
		view->order = (view->order + 1) % ORDERS;
		break;
	case 'v':
		view->reverse = !view->reverse;
		break;
	case '?':
	case 'h':
		screen->help = !help_was_on;
		break;
	case '\f':
		clearok(curscr, TRUE);
		break;
	case ' ':
		return true;
	default:
		sort_by_key(view, key);
	}
	return false;
}

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* A key, or ERR when it is time to look. */
static int wait_key(double until)
{
	double left = until - now_s();

	timeout(left > 0 ? (int)(left * 1000) + 1 : 0);
	return getch();
}

static int watch(struct screen *screen)
{
	double next = 0;
	int key, err;

	for (;;) {
		if (now_s() >= next) {
			view_read(screen->view);
			next = now_s() + screen->view->delay;
		}
		err = arrange(screen);
		if (err)
			return err;
		draw(screen);
		key = wait_key(next);
		if (key == 'q')
			return 0;
		/* ncurses follows the size by itself, and says so by a key like any other. */
		if (key != ERR && press(screen, key))
			next = 0;
	}
}

/**
 * screen_run() - show it until somebody presses q
 * @view: what
 *
 * Return: 0 or -errno.
 */
int screen_run(struct view *view)
{
	struct screen screen = { .view = view };
	SCREEN *terminal = newterm(NULL, stdout, stdin);
	int err;

	if (!terminal)
		return -ENOTTY;
	set_escdelay(50);
	cbreak();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	curs_set(0);
	err = watch(&screen);
	endwin();
	delscreen(terminal);
	rows_clear(&screen.rows);
	return err;
}
