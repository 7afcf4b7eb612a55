/* tidings schedule: what waits for its time. */
#include "client/cli/ask.h"
#include "client/cli/connect.h"
#include "client/cli/option_values.h"
#include "client/cli/out.h"
#include "client/cli/rows.h"
#include "client/cli/stop.h"
#include "client/cli/when.h"

#define ROWS_MAX 1000000u /* in a table: more is nothing to read */
#define PAGE     100u     /* of schedule.list */

struct list {
    struct td_ask ask;
    struct tidings_value rows; /* of the last page, in ask's answer */
    uint64_t next_ms;          /* where to go on … */
    uint64_t next;             /* … 0: these are all */
    struct td_table table;     /* without --json */
};

static tidings_err fetch(struct list *l, uint64_t left)
{
    const struct td_durable_settings *d = &l->ask.settings->durable;
    tidings_err err;

    td_ask_map(&l->ask, 3 + (d->patterns_len > 0));
    if (d->patterns_len > 0)
        td_ask_string(&l->ask, "type", d->patterns[0]);
    td_ask_uint(&l->ask, "from_ms", l->next_ms);
    td_ask_uint(&l->ask, "from", l->next);
    td_ask_uint(&l->ask, "limit", left < PAGE ? left : PAGE);
    err = td_ask_call(&l->ask, "schedule.list");
    l->next_ms = err ? 0 : td_row_uint(l->ask.answer, "next_ms");
    l->next = err ? 0 : td_row_uint(l->ask.answer, "next");
    if (!err && tidings_get(&l->rows, l->ask.answer, "scheduled"))
        err = TIDINGS_EPROTO;
    return err;
}

static void add_row(struct td_table *t, struct tidings_value row)
{
    char moment[TD_MOMENT_BYTES];

    td_rows_count(t, td_row_uint(row, "number"));
    td_table_add(t, td_moment(moment, (int64_t)td_row_uint(row, "due_ms"),
                              td_is_terminal(stdout)));
    td_rows_text(t, row, "type");
    td_rows_count(t, td_row_uint(row, "bytes"));
    td_rows_text(t, row, "source");
    td_rows_text(t, row, "id");
}

/* One page: as JSON lines, or into the table. @return the exit code */
static int take_page(struct list *l, uint64_t *left)
{
    struct tidings_value row;
    int code = TD_EXIT_DONE;

    for (size_t i = 0;
         code == TD_EXIT_DONE && *left > 0 && !tidings_at(&row, l->rows, i);
         i++) {
        (*left)--;
        if (l->ask.settings->json)
            code = td_row_json(row);
        else
            add_row(&l->table, row);
    }
    return code;
}

static int list(struct list *l)
{
    const struct td_settings *settings = l->ask.settings;
    uint64_t limit = settings->durable.limit;
    uint64_t left = limit ? limit : UINT64_MAX;
    tidings_err err;
    int code = TD_EXIT_DONE;

    if (!settings->json && left > ROWS_MAX)
        left = ROWS_MAX;
    do {
        err = fetch(l, left);
        if (!err)
            code = take_page(l, &left);
    } while (!err && code == TD_EXIT_DONE && left > 0 && l->next > 0 &&
             !td_stopped() && td_out_open());
    return err ? td_refused(settings, err, "the schedule") : code;
}

int td_cli_schedule_list(const struct td_settings *settings)
{
    static const char *const columns[] = {"#number", "due",    "type",
                                          "#bytes",  "source", "id"};
    struct list l = {0};
    int code = td_names(settings, "schedule list", "");

    if (code == TD_EXIT_DONE)
        code = td_ask_open(&l.ask, settings);
    if (code != TD_EXIT_DONE)
        return code;
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
        td_rows_column(&l.table, columns[i]);
    code = list(&l);
    if (code == TD_EXIT_DONE && !settings->json &&
        !td_table_put(&l.table, stdout, SIZE_MAX, "\n"))
        code = TD_EXIT_FAILED;
    td_table_fini(&l.table);
    td_ask_close(&l.ask);
    return code == TD_EXIT_DONE ? td_flush_out() : code;
}

static int put_cancelled(uint64_t number)
{
    tidings_writer *w = tidings_writer_new();
    struct tidings_value map;
    const void *bytes;
    size_t len;
    tidings_err err;
    int code;

    tidings_put_map(w, 1);
    tidings_put_string(w, "cancelled");
    tidings_put_uint(w, number);
    err = tidings_writer_bytes(w, &bytes, &len);
    if (!err)
        err = tidings_value_read(&map, bytes, len);
    code = err ? td_complain_err(err, "schedule cancel") : td_row_json(map);
    tidings_writer_free(w);
    return code == TD_EXIT_DONE ? td_flush_out() : code;
}

int td_cli_schedule_cancel(const struct td_settings *settings)
{
    const char *wanted;
    uint64_t number;
    struct td_ask a;
    tidings_err err;
    char what[80];
    int code = td_names(settings, "schedule cancel", "NUMBER");

    if (code != TD_EXIT_DONE)
        return code;
    wanted = td_read_whole(&number, settings->words[0]);
    if (wanted) {
        td_complain("schedule cancel: NUMBER \"%s\": wants %s",
                    settings->words[0], wanted);
        return TD_EXIT_USAGE;
    }
    code = td_ask_open(&a, settings);
    if (code != TD_EXIT_DONE)
        return code;
    err = tidings_schedule_cancel(a.bus, number, td_timeout_ms(settings));
    snprintf(what, sizeof(what), "scheduled event %.40s", settings->words[0]);
    td_ask_close(&a);
    if (err)
        return td_refused(settings, err, what);
    return settings->json ? put_cancelled(number) : TD_EXIT_DONE;
}
