/* tidings producer: the names under which programs publish. */
#include "client/cli/ask.h"
#include "client/cli/connect.h"
#include "client/cli/out.h"
#include "client/cli/rows.h"
#include "client/cli/span.h"

static bool add_row(void *arg, struct tidings_value row)
{
    struct td_table *t = arg;
    uint64_t session = td_row_uint(row, "session");
    char text[TD_SPAN_BYTES];

    td_rows_text(t, row, "name");
    td_rows_count(t, td_row_uint(row, "stored"));
    if (session)
        td_rows_count(t, session);
    else
        td_table_add(t, "");
    td_rows_text(t, row, "client");
    td_table_add(t, session ? "" : td_span(text, td_row_uint(row, "idle_ms")));
    return true;
}

static int put_table(const struct td_list *list)
{
    static const char *const columns[] = {"name", "#stored", "#session",
                                          "client", "#idle for"};

    return td_rows_table(list, columns, sizeof(columns) / sizeof(columns[0]),
                         add_row);
}

int td_cli_producer_list(const struct td_settings *settings)
{
    struct td_list list = {0};
    struct td_ask a;
    tidings_err err;
    int code = td_names(settings, "producer list", "");

    if (code == TD_EXIT_DONE)
        code = td_ask_open(&a, settings);
    if (code != TD_EXIT_DONE)
        return code;
    err = td_list_fetch(&list, &a, "producer.list", "producers", NULL);
    if (err)
        code = td_refused(settings, err, "producers");
    else
        code = settings->json ? td_rows_json(&list) : put_table(&list);
    td_list_fini(&list);
    td_ask_close(&a);
    return code;
}

int td_cli_producer_delete(const struct td_settings *settings)
{
    struct td_ask a;
    tidings_err err;
    char what[80];
    int code = td_names(settings, "producer delete", "NAME");

    if (code != TD_EXIT_DONE)
        return code;
    snprintf(what, sizeof(what), "producer %.64s", settings->words[0]);
    code = td_sure(settings, "producer delete");
    if (code == TD_EXIT_DONE)
        code = td_ask_open(&a, settings);
    if (code != TD_EXIT_DONE)
        return code;
    td_ask_map(&a, 1);
    td_ask_string(&a, "name", settings->words[0]);
    err = td_ask_call(&a, "producer.delete");
    td_ask_close(&a);
    return err ? td_refused(settings, err, what) : TD_EXIT_DONE;
}
