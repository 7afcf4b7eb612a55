/* tidings top: what the broker is busy with, on the whole screen; or once, as
 * a table. */
#include <stdlib.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/cli/connect.h"
#include "client/cli/out.h"
#include "client/cli/stop.h"
#include "client/cli/top.h"

static enum td_sort sort_of(const struct td_settings *settings)
{
    const char *sort = settings->sort ? settings->sort : "rate";

    return strcmp(sort, "pending") == 0 ? TD_SORT_PENDING
           : strcmp(sort, "drops") == 0 ? TD_SORT_DROPS
                                        : TD_SORT_RATE;
}

static int put_once(const struct td_top *top, const struct td_sample *now,
                    const struct td_sample *before)
{
    const struct td_row **rows = calloc(now->len + 1, sizeof(*rows));
    struct td_table t = {0};
    char totals[TD_TOTALS_BYTES];
    bool put;

    if (!rows) {
        td_complain("out of memory");
        return TD_EXIT_FAILED;
    }
    td_view_totals(totals, now, before);
    printf("%s\n\n", totals);
    td_view_sort(rows, now, top->sort);
    td_view_fill(&t, now->kind, rows, now->len);
    put = td_table_put(&t, stdout, SIZE_MAX, "\n");
    td_table_fini(&t);
    free(rows);
    return put ? td_flush_out() : TD_EXIT_FAILED;
}

/* Two looks: rates need them. A signal cuts the wait between them short. */
static int once(const struct td_top *top)
{
    struct td_sample before = {0}, now = {0};
    int timeout_ms = td_timeout_ms(top->settings);
    tidings_err err = td_sample_take(&before, top->bus, top->kind, timeout_ms);
    int code;

    if (!err) {
        td_sleep_until(before.at_us + top->interval_us);
        err = td_sample_take(&now, top->bus, top->kind, timeout_ms);
    }
    if (err) {
        code = td_complain_err(err, "top");
    } else {
        td_sample_rates(&now, &before);
        code = put_once(top, &now, &before);
    }
    td_sample_fini(&before);
    td_sample_fini(&now);
    return code;
}

static int full_screen(struct td_top *top)
{
    int code;

    if (!td_top_start(top))
        return TD_EXIT_FAILED;
    code = td_screen_run(top);
    td_top_stop(top);
    return code;
}

int td_cli_top(const struct td_settings *settings)
{
    double interval_s =
        settings->interval_s > 0 ? settings->interval_s : TD_CLI_WATCH_S;
    struct td_top top = {
        .settings = settings,
        .interval_us = (int64_t)(interval_s * 1e6),
        .sort = sort_of(settings),
        .kind = td_kind_of(settings->rows ? settings->rows : "types"),
    };
    struct tidings_options options = {.name = "tidings-top",
                                      .close_timeout_ms = -1};
    int code = td_no_words(settings, "top");

    if (code == TD_EXIT_DONE && !settings->once &&
        !(td_is_terminal(stdin) && td_is_terminal(stdout))) {
        td_complain("top wants a terminal");
        td_advise("tidings top --once prints one table");
        code = TD_EXIT_USAGE;
    }
    if (code == TD_EXIT_DONE)
        code = td_connect(&top.bus, settings, &options);
    if (code != TD_EXIT_DONE)
        return code;
    code = settings->once ? once(&top) : full_screen(&top);
    tidings_close(top.bus); /* NULL: it is closed */
    return code;
}
