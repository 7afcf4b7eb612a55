/* tidings dlq list, dlq show: looking at dead letters changes nothing. */
#include <inttypes.h>
#include <string.h>

#include "client/cli/ask.h"
#include "client/cli/connect.h"
#include "client/cli/dlq.h"
#include "client/cli/option_values.h"
#include "client/cli/out.h"
#include "client/cli/rows.h"
#include "client/cli/show.h"
#include "client/cli/stop.h"
#include "client/cli/when.h"
#include "tidings/json.h"

#define ROWS_MAX 1000000u /* in a table: more is nothing to read */

int td_dlq_open(struct td_dlq *d, const struct td_settings *settings,
                const char *command, const char *words)
{
    int code = td_names(settings, command, words);

    if (code == TD_EXIT_DONE)
        code = td_ask_open(&d->ask, settings);
    if (code != TD_EXIT_DONE)
        return code;
    d->stream = settings->words[0];
    d->group = settings->words[1];
    return TD_EXIT_DONE;
}

int td_dlq_refused(const struct td_dlq *d, tidings_err err)
{
    char what[220];

    snprintf(what, sizeof(what), "dead letters of group %.70s of stream %.70s",
             d->group, d->stream);
    return td_refused(d->ask.settings, err, what);
}

void td_dlq_begin(struct td_dlq *d, uint32_t more)
{
    const struct td_durable_settings *settings = &d->ask.settings->durable;

    td_ask_map(&d->ask, 2 + more + (settings->patterns_len > 0));
    if (settings->patterns_len > 0)
        td_ask_string(&d->ask, "type", settings->patterns[0]);
    td_ask_string(&d->ask, "stream", d->stream);
    td_ask_string(&d->ask, "group", d->group);
}

tidings_err td_dlq_page(struct td_dlq *d, uint64_t from, uint64_t limit,
                        bool data)
{
    tidings_err err;

    td_dlq_begin(d, 3);
    td_ask_uint(&d->ask, "from", from);
    td_ask_uint(&d->ask, "limit",
                limit && limit < TD_DLQ_PAGE ? limit : TD_DLQ_PAGE);
    tidings_put_string(d->ask.options, "data");
    tidings_put_bool(d->ask.options, data);
    err = td_ask_call(&d->ask, "dlq.list");
    d->total = err ? 0 : td_row_uint(d->ask.answer, "dead_total");
    d->next = err ? 0 : td_row_uint(d->ask.answer, "next");
    if (!err && tidings_get(&d->rows, d->ask.answer, "dead"))
        err = TIDINGS_EPROTO;
    return err;
}

/* ---- the list ---- */

static void add_row(struct td_table *t, struct tidings_value row, bool here)
{
    char moment[TD_MOMENT_BYTES];

    td_rows_count(t, td_row_uint(row, "number"));
    td_rows_count(t, td_row_uint(row, "sequence"));
    td_rows_text(t, row, "type");
    td_rows_text(t, row, "reason");
    td_rows_count(t, td_row_uint(row, "deliveries"));
    td_rows_text(t, row, "handler");
    td_table_add(t,
                 td_moment(moment, (int64_t)td_row_uint(row, "last_ms"), here));
    td_table_add(t, td_row_bool(row, "redriven") ? "yes" : "no");
    td_rows_text(t, row, "error");
}

/* One page: as JSON lines, or into the table. @return the exit code */
static int take_page(struct td_dlq *d, struct td_table *t, uint64_t *left)
{
    bool here = td_is_terminal(stdout);
    struct tidings_value row;
    int code = TD_EXIT_DONE;

    for (size_t i = 0;
         code == TD_EXIT_DONE && *left > 0 && !tidings_at(&row, d->rows, i);
         i++) {
        (*left)--;
        if (d->ask.settings->json)
            code = td_row_json(row);
        else
            add_row(t, row, here);
    }
    return code;
}

static int list(struct td_dlq *d, struct td_table *t)
{
    const struct td_durable_settings *settings = &d->ask.settings->durable;
    uint64_t next = settings->first;
    uint64_t left = settings->limit ? settings->limit : UINT64_MAX;
    tidings_err err;
    int code = TD_EXIT_DONE;

    if (!d->ask.settings->json && left > ROWS_MAX)
        left = ROWS_MAX;
    do {
        err = td_dlq_page(d, next, left, false);
        if (!err)
            code = take_page(d, t, &left);
        next = d->next;
    } while (!err && code == TD_EXIT_DONE && left > 0 && next > 0 &&
             !td_stopped() && td_out_open());
    return err ? td_dlq_refused(d, err) : code;
}

int td_cli_dlq_list(const struct td_settings *settings)
{
    static const char *const columns[] = {"#number", "#sequence",   "type",
                                          "reason",  "#deliveries", "handler",
                                          "last",    "redriven",    "error"};
    struct td_table t = {0};
    struct td_dlq d = {0};
    int code = td_dlq_open(&d, settings, "dlq list", "STREAM GROUP");

    if (code != TD_EXIT_DONE)
        return code;
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
        td_rows_column(&t, columns[i]);
    code = list(&d, &t);
    if (code == TD_EXIT_DONE && !settings->json &&
        !td_table_put(&t, stdout, SIZE_MAX, "\n"))
        code = TD_EXIT_FAILED;
    td_table_fini(&t);
    td_ask_close(&d.ask);
    return code == TD_EXIT_DONE ? td_flush_out() : code;
}

/* ---- one of them ---- */

static void put_attr(struct td_table *t, const struct tidings_attr *attr)
{
    char text[32];

    td_table_add(t, attr->name);
    switch (attr->kind) {
    case TIDINGS_ATTR_STRING:
        td_table_add(t, attr->string);
        return;
    case TIDINGS_ATTR_INTEGER:
        snprintf(text, sizeof(text), "%" PRId32, attr->integer);
        break;
    case TIDINGS_ATTR_BOOLEAN:
        snprintf(text, sizeof(text), "%s", attr->boolean ? "true" : "false");
        break;
    case TIDINGS_ATTR_BINARY:
        snprintf(text, sizeof(text), "(%zu bytes)", attr->binary_len);
        break;
    }
    td_table_add(t, text);
}

static void add_text(struct td_table *t, const char *name, const char *text)
{
    if (!text)
        return;
    td_table_add(t, name);
    td_table_add(t, text);
}

static void fill_event(struct td_table *t, const struct tidings_event *event)
{
    char moment[TD_MOMENT_BYTES];

    add_text(t, "id", event->id);
    add_text(t, "source", event->source);
    add_text(t, "time",
             td_moment(moment, event->time_us / 1000, td_is_terminal(stdout)));
    add_text(t, "subject", event->subject);
    add_text(t, "datacontenttype", event->datacontenttype);
    add_text(t, "dataschema", event->dataschema);
    for (size_t i = 0; i < event->attrs_len; i++)
        put_attr(t, &event->attrs[i]);
}

static void add_moment(struct td_table *t, struct tidings_value row,
                       const char *name, const char *key)
{
    char moment[TD_MOMENT_BYTES];

    td_table_add(t, name);
    td_table_add(t, td_moment(moment, (int64_t)td_row_uint(row, key),
                              td_is_terminal(stdout)));
}

/* event NULL: the broker did not send it. */
static bool put_fields(struct tidings_value row,
                       const struct tidings_event *event)
{
    struct td_table t = {0};
    bool put;

    td_table_column(&t, "", false);
    td_table_column(&t, "", false);
    td_rows_pair(&t, row, "number", "number");
    td_rows_pair(&t, row, "stream", "stream");
    td_rows_pair(&t, row, "sequence", "sequence");
    td_rows_pair(&t, row, "type", "type");
    td_rows_pair(&t, row, "reason", "reason");
    td_rows_pair(&t, row, "error", "error");
    td_rows_pair(&t, row, "handler", "handler");
    td_rows_pair(&t, row, "deliveries", "deliveries");
    add_moment(&t, row, "first", "first_ms");
    add_moment(&t, row, "last", "last_ms");
    add_text(&t, "redriven", td_row_bool(row, "redriven") ? "yes" : "no");
    if (event)
        fill_event(&t, event);
    put = td_table_put(&t, stdout, SIZE_MAX, "\n");
    td_table_fini(&t);
    if (put && event) {
        fputs("\n", stdout);
        td_show_data(event);
        fputs("\n", stdout);
    }
    return put;
}

/* What the row has but for the bytes of the event, which stands there as
 * CloudEvents JSON. */
static tidings_err put_json(struct tidings_value row,
                            const struct tidings_event *event)
{
    struct tidings_value key, value;
    const char *before = "{";
    tidings_err err = TIDINGS_OK;
    char *json = NULL;

    for (size_t i = 0; !err && !tidings_pair_at(&key, &value, row, i); i++) {
        if (tidings_value_kind(value) == TIDINGS_KIND_BINARY)
            continue;
        fputs(before, stdout);
        before = ",";
        for (int part = 0; !err && part < 2; part++) {
            struct tidings_value one = part ? value : key;

            err = tidings_data_to_json(&json, one.bytes, one.len);
            if (!err)
                printf("%s%s", part ? ":" : "", json);
            tidings_free(json);
            json = NULL;
        }
    }
    if (!err && event)
        err = tidings_event_to_json(&json, event);
    if (!err && event)
        printf("%s\"event\":%s", before, json);
    tidings_free(json);
    fputs("}\n", stdout);
    return err;
}

static int show(struct td_dlq *d, uint64_t number)
{
    struct tidings_value row;
    struct tidings_event *event = NULL;
    tidings_err err = td_dlq_page(d, number, 1, true);
    int code = TD_EXIT_DONE;

    if (!err && (tidings_at(&row, d->rows, 0) ||
                 td_row_uint(row, "number") != number)) {
        tidings_set_detail("there is none of this number");
        err = TIDINGS_ENOTFOUND;
    }
    if (err)
        return td_dlq_refused(d, err);
    err = tidings_dead_event(&event, row);
    if (err == TIDINGS_ENOTFOUND) {
        td_complain("the event is too large to be shown");
        td_advise("tidings tail STREAM --start SEQUENCE --count 1 prints it as "
                  "long as its stream keeps it");
        code = TD_EXIT_FAILED;
    } else if (err)
        code = td_complain_err(err, "the event");
    if (d->ask.settings->json)
        err = put_json(row, event);
    else
        err = put_fields(row, event) ? TIDINGS_OK : TIDINGS_ENOMEM;
    tidings_free(event);
    if (err && code == TD_EXIT_DONE)
        code = td_complain_err(err, "the dead letter");
    return code == TD_EXIT_DONE ? td_flush_out() : code;
}

int td_cli_dlq_show(const struct td_settings *settings)
{
    struct td_dlq d = {0};
    uint64_t number = 0;
    const char *wanted = NULL;
    int code;

    if (settings->words_len == 3)
        wanted = td_read_whole(&number, settings->words[2]);
    if (wanted) {
        td_complain("dlq show: NUMBER \"%s\": wants %s", settings->words[2],
                    wanted);
        return TD_EXIT_USAGE;
    }
    code = td_dlq_open(&d, settings, "dlq show", "STREAM GROUP NUMBER");
    if (code != TD_EXIT_DONE)
        return code;
    code = show(&d, number);
    td_ask_close(&d.ask);
    return code;
}
