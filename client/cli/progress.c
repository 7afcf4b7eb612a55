#include "client/cli/progress.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#include "client/cli/out.h"
#include "client/cli/stop.h"

#define FIRST_US 500000 /* what is done by then needs no bar */
#define EVERY_US 100000
#define COLUMNS  30

static atomic_bool shown; /* there is a bar to wipe */

void td_progress_start(struct td_progress *p)
{
    p->on = td_is_terminal(stderr);
    p->start_us = td_clock_us();
    p->next_us = p->start_us + FIRST_US;
}

bool td_progress_due(const struct td_progress *p)
{
    return p->on && td_clock_us() >= p->next_us;
}

static void put(struct td_progress *p, const char *line)
{
    p->next_us = td_clock_us() + EVERY_US;
    flockfile(stderr);
    fprintf(stderr, "\r%s \033[K", line);
    shown = true;
    funlockfile(stderr);
}

static void draw(struct td_progress *p, double part, const char *behind)
{
    static const char bar[] = "##############################";
    int full = (int)((part < 0 ? 0 : part > 1 ? 1 : part) * COLUMNS);
    char line[COLUMNS + 120];

    snprintf(line, sizeof(line), "[%-*.*s] %3.0f %%  %s", COLUMNS, full, bar,
             part * 100, behind);
    put(p, line);
}

void td_progress_show(struct td_progress *p, uint64_t done, uint64_t total)
{
    char behind[100];
    double rate;

    if (!td_progress_due(p))
        return;
    rate = (double)done * 1e6 / (double)(td_clock_us() - p->start_us);
    if (total == 0) {
        snprintf(behind, sizeof(behind), "%" PRIu64 "  %.0f/s", done, rate);
        put(p, behind);
        return;
    }
    snprintf(behind, sizeof(behind), "%" PRIu64 " of %" PRIu64 "  %.0f/s", done,
             total, rate);
    draw(p, (double)done / (double)total, behind);
}

void td_progress_part(struct td_progress *p, double part, const char *format,
                      ...)
{
    char behind[100];
    va_list args;

    if (!td_progress_due(p))
        return;
    va_start(args, format);
    vsnprintf(behind, sizeof(behind), format, args);
    va_end(args);
    draw(p, part, behind);
}

void td_progress_wipe(void)
{
    flockfile(stderr);
    if (shown)
        fputs("\r\033[K", stderr);
    shown = false;
    funlockfile(stderr);
}
