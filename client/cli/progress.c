#include "client/cli/progress.h"

#include <inttypes.h>
#include <stdio.h>

#include "client/cli/out.h"
#include "client/cli/stop.h"

#define FIRST_US 500000 /* what is done by then needs no bar */
#define EVERY_US 100000
#define COLUMNS  30

void td_progress_start(struct td_progress *p)
{
    p->on = td_is_terminal(stderr);
    p->shown = false;
    p->start_us = td_clock_us();
    p->next_us = p->start_us + FIRST_US;
}

void td_progress_show(struct td_progress *p, uint64_t done, uint64_t total)
{
    static const char bar[] = "##############################";
    int64_t now_us;
    double part, seconds;
    int full;

    if (!p->on)
        return;
    now_us = td_clock_us();
    if (now_us < p->next_us)
        return;
    p->next_us = now_us + EVERY_US;

    part = (double)done / (double)total;
    seconds = (double)(now_us - p->start_us) / 1e6;
    full = (int)(part * COLUMNS);
    fprintf(stderr,
            "\r[%-*.*s] %3.0f %%  %" PRIu64 " of %" PRIu64 "  %.0f/s \033[K",
            COLUMNS, full, bar, part * 100, done, total,
            (double)done / seconds);
    p->shown = true;
}

void td_progress_end(struct td_progress *p)
{
    if (p->shown)
        fputs("\r\033[K", stderr);
    p->shown = false;
}
