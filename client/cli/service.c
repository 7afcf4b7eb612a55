/* tidings service list, info: who is there, and what they answer. */
#include "client/cli/service.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/connect.h"
#include "client/cli/escape.h"
#include "client/cli/joined.h"
#include "client/cli/out.h"
#include "client/cli/span.h"
#include "tidings/json.h"

#define TYPES_SHOWN 3 /* of an instance, in a list */

/* ---- what others use ---- */

const char *td_service_name(const struct td_settings *settings)
{
    return settings->words_len > 0 ? settings->words[0] : NULL;
}

int td_service_refused(const struct td_settings *settings, tidings_err err)
{
    const char *name = td_service_name(settings);
    char what[120];

    if (name)
        snprintf(what, sizeof(what), "service %.64s", name);
    else
        snprintf(what, sizeof(what), "services");
    return td_refused(settings, err, what);
}

tidings_err td_service_fetch(struct td_list *out, struct td_ask *a,
                             const char *call)
{
    const char *name = td_service_name(a->settings);
    const char *id = a->settings->service.id;
    const struct td_list_option options[] = {{"name", name}, {"id", id}};
    tidings_err err = td_list_fetch_with(out, a, call, "services", options, 2);

    if (err || out->rows_len > 0 || !(name || id))
        return err;
    td_list_fini(out);
    tidings_set_detail(id ? "no instance has that id"
                          : "no instance has that name");
    return TIDINGS_ENOTFOUND;
}

int td_service_run(const struct td_settings *settings, const char *command,
                   const char *call, int (*put)(const struct td_list *list),
                   int (*put_json)(const struct td_list *list))
{
    struct td_list list = {0};
    struct td_ask a;
    tidings_err err;
    int code =
        td_names(settings, command, td_service_name(settings) ? "NAME" : "");

    if (code == TD_EXIT_DONE)
        code = td_ask_open(&a, settings);
    if (code != TD_EXIT_DONE)
        return code;
    err = td_service_fetch(&list, &a, call);
    if (err)
        code = td_service_refused(settings, err);
    else
        code = settings->json ? put_json(&list) : put(&list);
    td_list_fini(&list);
    td_ask_close(&a);
    return code;
}

const char *td_service_state(struct tidings_value row)
{
    static const char *const names[] = {"?",        "starting", "running",
                                        "degraded", "stopping", "down"};
    uint64_t state = td_row_uint(row, "state");

    if (td_row_bool(row, "draining") &&
        (state == TIDINGS_RUNNING || state == TIDINGS_DEGRADED))
        return "draining";
    return names[state < sizeof(names) / sizeof(names[0]) ? state : 0];
}

const char *td_service_paint(const char *state)
{
    static const struct {
        const char *state;
        const char *code;
    } codes[] = {
        {"running", "\033[32m"},  {"starting", "\033[36m"},
        {"degraded", "\033[33m"}, {"draining", "\033[33m"},
        {"stopping", "\033[33m"}, {"down", "\033[31m"},
        {"closed", "\033[32m"},   {"half_open", "\033[33m"},
        {"open", "\033[31m"},
    };

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (strcmp(state, codes[i].state) == 0)
            return codes[i].code;
    }
    return NULL;
}

static tidings_err add_json(FILE *line, struct tidings_value value)
{
    char *json = NULL;
    tidings_err err = tidings_data_to_json(&json, value.bytes, value.len);

    if (!err)
        fputs(json, line);
    tidings_free(json);
    return err;
}

static tidings_err add_pair(FILE *line, struct tidings_value row,
                            struct tidings_value key,
                            struct tidings_value value)
{
    const char *name;
    size_t len;
    tidings_err err = tidings_as_string(&name, &len, key);

    if (!err)
        err = add_json(line, key);
    if (err)
        return err;
    fputs(":", line);
    if (len != strlen("state") || memcmp(name, "state", len) != 0)
        return add_json(line, value);
    fprintf(line, "\"%s\"", td_service_state(row));
    return TIDINGS_OK;
}

static tidings_err add_pairs(FILE *line, struct tidings_value row)
{
    struct tidings_value key, value;
    tidings_err err = TIDINGS_OK;

    fputs("{", line);
    for (size_t i = 0; !err && !tidings_pair_at(&key, &value, row, i); i++) {
        fputs(i > 0 ? "," : "", line);
        err = add_pair(line, row, key, value);
    }
    fputs("}", line);
    return err;
}

/* All of a row, or nothing of one that cannot be said. */
static bool put_json(void *arg, struct tidings_value row)
{
    int *code = arg;
    char *text = NULL;
    size_t len = 0;
    FILE *line = open_memstream(&text, &len);
    tidings_err err = line ? add_pairs(line, row) : TIDINGS_ENOMEM;

    if (line && fclose(line) != 0)
        err = TIDINGS_ENOMEM;
    if (err)
        *code = td_complain_err(err, "the broker's answer");
    else
        puts(text);
    free(text);
    return !err && td_out_open();
}

int td_service_json(const struct td_list *list)
{
    int code = TD_EXIT_DONE;

    td_list_each(list, put_json, &code);
    return code == TD_EXIT_DONE ? td_flush_out() : code;
}

/* ---- the list ---- */

/* "user.get user.add +4" */
static void add_types(struct td_table *t, struct tidings_value row)
{
    struct tidings_value list, endpoint, type;
    struct td_joined out = {.len = 0};
    size_t n;

    if (tidings_get(&list, row, "endpoints")) {
        td_table_add(t, "");
        return;
    }
    n = tidings_value_count(list);
    for (size_t i = 0; i < n && i < TYPES_SHOWN; i++) {
        const char *text;
        size_t len;

        if (tidings_at(&endpoint, list, i) || tidings_at(&type, endpoint, 1) ||
            tidings_as_string(&text, &len, type))
            continue;
        td_join(&out, " ", "%.*s", (int)len, text);
    }
    if (n > TYPES_SHOWN)
        td_join(&out, " ", "+%zu", n - TYPES_SHOWN);
    td_table_add(t, out.text);
}

static bool add_row(void *arg, struct tidings_value row)
{
    struct td_table *t = arg;
    char text[TD_SPAN_BYTES];

    td_rows_text(t, row, "service");
    td_rows_text(t, row, "id");
    td_rows_text(t, row, "version");
    td_table_add(t, td_service_state(row));
    td_rows_count(t, td_row_uint(row, "in_flight"));
    td_table_add(t, td_span(text, td_row_uint(row, "since_ms")));
    td_rows_text(t, row, "client");
    add_types(t, row);
    td_rows_text(t, row, "text");
    return true;
}

static int put_list(const struct td_list *list)
{
    static const char *const columns[] = {"service", "id",         "version",
                                          "state",   "#in flight", "#for",
                                          "client",  "answers",    "why"};
    struct td_table t = {.colour = td_wants_colour(stdout)};
    bool put;

    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        td_rows_column(&t, columns[i]);
        if (strcmp(columns[i], "state") == 0)
            td_table_painted(&t, td_service_paint);
    }
    td_list_each(list, add_row, &t);
    put = td_table_put(&t, stdout, SIZE_MAX, "\n");
    td_table_fini(&t);
    return put ? td_flush_out() : TD_EXIT_FAILED;
}

int td_cli_service_list(const struct td_settings *settings)
{
    return td_service_run(settings, "service list", "service.list", put_list,
                          td_service_json);
}

/* ---- each of them ---- */

struct info {
    bool colour;
    bool again; /* one was put before */
    bool failed;
};

static void put_text(const char *name, struct tidings_value row,
                     const char *key)
{
    size_t len;
    const char *text = td_row_text(&len, row, key);

    if (len == 0)
        return;
    printf("  %-12s ", name);
    td_put_escaped(stdout, text, len);
    fputs("\n", stdout);
}

static void put_metadata(struct tidings_value row)
{
    struct tidings_value map, key, value;
    const char *title = "metadata";

    if (tidings_get(&map, row, "metadata"))
        return;
    for (size_t i = 0; !tidings_pair_at(&key, &value, map, i); i++) {
        const char *name, *text;
        size_t name_len, len;

        if (tidings_as_string(&name, &name_len, key) ||
            tidings_as_string(&text, &len, value))
            continue;
        printf("  %-12s ", title);
        td_put_escaped(stdout, name, name_len);
        fputs("=", stdout);
        td_put_escaped(stdout, text, len);
        fputs("\n", stdout);
        title = "";
    }
}

static bool put_endpoints(struct tidings_value row)
{
    static const char *const columns[] = {"  endpoint", "type", "group",
                                          "balance", "#max in flight"};
    struct tidings_value list, endpoint;
    struct td_table t = {0};
    bool put = true;

    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
        td_rows_column(&t, columns[i]);
    if (tidings_get(&list, row, "endpoints"))
        return true;
    for (size_t i = 0; !tidings_at(&endpoint, list, i); i++) {
        char name[80];
        size_t len;
        const char *text = td_row_text(&len, endpoint, "name");

        snprintf(name, sizeof(name), "  %.*s", (int)len, text);
        td_table_add(&t, name);
        td_rows_text(&t, endpoint, "type");
        td_rows_text(&t, endpoint, "group");
        td_rows_text(&t, endpoint, "balance");
        td_rows_count(&t, td_row_uint(endpoint, "max_in_flight"));
    }
    if (td_table_rows(&t) > 0) {
        fputs("\n", stdout);
        put = td_table_put(&t, stdout, SIZE_MAX, "\n");
    }
    td_table_fini(&t);
    return put;
}

static bool put_info(void *arg, struct tidings_value row)
{
    struct info *info = arg;
    const char *state = td_service_state(row);
    const char *code = info->colour ? td_service_paint(state) : NULL;
    size_t len;
    const char *text = td_row_text(&len, row, "service");
    char span[TD_SPAN_BYTES];

    fputs(info->again ? "\n" : "", stdout);
    info->again = true;
    td_put_escaped(stdout, text, len);
    fputs(" ", stdout);
    text = td_row_text(&len, row, "id");
    td_put_escaped(stdout, text, len);
    printf(": %s%s%s\n", code ? code : "", state, code ? "\033[0m" : "");
    put_text("why", row, "text");
    put_text("version", row, "version");
    put_text("description", row, "description");
    put_text("client", row, "client");
    printf("  %-12s %" PRIu64 "\n", "session", td_row_uint(row, "session"));
    printf("  %-12s %s\n", "there for",
           td_span(span, td_row_uint(row, "since_ms")));
    printf("  %-12s %" PRIu64 "\n", "in flight", td_row_uint(row, "in_flight"));
    put_metadata(row);
    info->failed = !put_endpoints(row);
    return !info->failed && td_out_open();
}

static int put_infos(const struct td_list *list)
{
    struct info info = {.colour = td_wants_colour(stdout)};

    td_list_each(list, put_info, &info);
    return info.failed ? TD_EXIT_FAILED : td_flush_out();
}

int td_cli_service_info(const struct td_settings *settings)
{
    return td_service_run(settings, "service info", "service.info", put_infos,
                          td_service_json);
}
