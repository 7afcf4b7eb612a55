/* The screen of `tidings top`, with ncurses. */
#include <curses.h>
#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/connect.h"
#include "client/cli/escape.h"
#include "client/cli/out.h"
#include "client/cli/span.h"
#include "client/cli/stop.h"
#include "client/cli/terminfo.h"
#include "client/cli/top.h"

#define HEAD_LINES 4 /* where, totals, what, titles */
#define ESCAPE     27
#define ESCAPE_MS  25 /* how long the rest of a key's code may take */

/* At most `columns` characters of text, which is escaped already. */
static void put_cut(int y, int x, const char *text, int columns)
{
    size_t bytes = 0;

    while (text[bytes]) {
        bool begins = ((unsigned char)text[bytes] & 0xc0) != 0x80;

        if (begins && columns-- <= 0)
            break;
        bytes++;
    }
    if (bytes > 0)
        mvaddnstr(y, x, text, (int)bytes);
}

static void put_text(int y, int x, const char *text)
{
    char escaped[1024];

    td_escape(escaped, sizeof(escaped), text, strlen(text));
    put_cut(y, x, escaped, COLS - x);
}

/* row -1: the titles */
static void put_row(int y, const struct td_table *t, long row)
{
    int x = 0;

    for (size_t c = 0; c < t->columns_len && x < COLS; c++) {
        const char *text =
            row < 0 ? t->columns[c].title : td_table_text(t, (size_t)row, c);
        int widest = (int)t->columns[c].widest;
        int wide = (int)td_escaped_columns(text, strlen(text));
        int at = x + (t->columns[c].number ? widest - wide : 0);

        if (at < COLS)
            put_cut(y, at, text, COLS - at);
        x += widest + 2;
    }
}

static void put_table(const struct td_table *t)
{
    attron(A_REVERSE);
    mvhline(HEAD_LINES - 1, 0, ' ', COLS);
    put_row(HEAD_LINES - 1, t, -1);
    attroff(A_REVERSE);
    for (size_t r = 0; r < td_table_rows(t); r++)
        put_row(HEAD_LINES + (int)r, t, (long)r);
}

static void put_rows(const struct td_top *top)
{
    const struct td_sample *s = &top->sample;
    const struct td_row **rows = calloc(s->len + 1, sizeof(*rows));
    size_t fit = LINES > HEAD_LINES ? (size_t)(LINES - HEAD_LINES) : 0;
    struct td_table t = {0};

    if (!rows)
        return; /* perhaps next time */
    td_view_sort(rows, s, top->sort);
    td_view_fill(&t, s->kind, rows, s->len < fit ? s->len : fit);
    if (!t.failed)
        put_table(&t);
    td_table_fini(&t);
    free(rows);
}

static void put_head(const struct td_top *top)
{
    char line[512], span[TD_SPAN_BYTES], sort[64];
    int len = snprintf(line, sizeof(line), "tidings top  %.200s",
                       td_url(top->settings));

    if (top->sample.kind) /* the broker has answered */
        snprintf(line + len, sizeof(line) - (size_t)len,
                 "  epoch %" PRIu64 "  up %s", top->epoch,
                 td_span(span, top->uptime_ms));
    put_text(0, 0, line);
    put_text(1, 0, top->totals);

    td_view_sort_name(sort, sizeof(sort), top->kind, top->sort);
    snprintf(line, sizeof(line), "%s by %s", top->kind->name, sort);
    attron(A_BOLD);
    put_text(2, 0, line);
    attroff(A_BOLD);
    put_text(2, (int)strlen(line) + 3,
             "Tab next  r rate  p pending  d drops  q quit");
    if (top->trouble[0]) {
        snprintf(line, sizeof(line), " %s ", top->trouble);
        attron(A_REVERSE | A_BOLD);
        mvhline(1, 0, ' ', COLS);
        put_text(1, 0, line);
        attroff(A_REVERSE | A_BOLD);
    }
}

static void draw(struct td_top *top)
{
    pthread_mutex_lock(&top->lock);
    erase();
    put_head(top);
    if (top->sample.kind == top->kind)
        put_rows(top);
    pthread_mutex_unlock(&top->lock);
    refresh();
}

/* ---- keys ---- */

static void next_kind(struct td_top *top, size_t step)
{
    size_t at = (size_t)(top->kind - td_kinds);

    td_top_show(top, &td_kinds[(at + step) % TD_KINDS]);
}

/* @return false: the user wants to quit */
static bool heed(struct td_top *top, int key)
{
    switch (key) {
    case 'q':
    case 'Q':
    case ESCAPE:
        return false;
    case '\t':
    case KEY_RIGHT:
        next_kind(top, 1);
        break;
    case KEY_BTAB:
    case KEY_LEFT:
        next_kind(top, TD_KINDS - 1);
        break;
    case 'r':
        top->sort = TD_SORT_RATE;
        break;
    case 'p':
        top->sort = TD_SORT_PENDING;
        break;
    case 'd':
        top->sort = TD_SORT_DROPS;
        break;
    default: /* KEY_RESIZE: it is drawn anew in any case */
        break;
    }
    return true;
}

static void forget_news(const struct td_top *top)
{
    char bytes[64];

    while (read(top->wake[0], bytes, sizeof(bytes)) > 0)
        ;
}

static int loop(struct td_top *top)
{
    struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                           {.fd = top->wake[0], .events = POLLIN},
                           {.fd = td_stop_fd(), .events = POLLIN}};
    int key;

    while (!td_stopped()) {
        draw(top);
        if (poll(fds, 3, -1) < 0 && errno != EINTR)
            return TD_EXIT_FAILED;
        forget_news(top);
        while ((key = getch()) != ERR) {
            if (!heed(top, key))
                return TD_EXIT_DONE;
        }
        if (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL))
            return TD_EXIT_DONE; /* the terminal is gone */
        fds[0].revents = 0;
    }
    return TD_EXIT_DONE;
}

int td_screen_run(struct td_top *top)
{
    SCREEN *screen = NULL;
    int code;

    setlocale(LC_CTYPE, ""); /* names may be more than ASCII */
    td_stop_hold();
    if (td_terminal_known())
        screen = newterm(NULL, stdout, stdin);
    if (!screen) {
        td_complain("this terminal cannot be painted on: see TERM");
        td_advise("tidings top --once prints one table");
        return TD_EXIT_FAILED;
    }
    set_escdelay(ESCAPE_MS);
    cbreak();
    noecho();
    nonl();
    curs_set(0);
    keypad(stdscr, true);
    nodelay(stdscr, true);
    code = loop(top);
    endwin();
    delscreen(screen);
    return code;
}
