/* tidings stream: what the broker keeps. */
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "client/cli/ask.h"
#include "client/cli/connect.h"
#include "client/cli/joined.h"
#include "client/cli/out.h"
#include "client/cli/rows.h"
#include "client/cli/span.h"
#include "client/cli/stop.h"
#include "client/cli/table.h"
#include "client/cli/when.h"

/* ---- rows ---- */

/* "order.*, user.>" */
static void add_patterns(struct td_table *t, struct tidings_value row)
{
    struct tidings_value list, pattern;
    struct td_joined out = {.len = 0};

    if (tidings_get(&list, row, "patterns"))
        list = (struct tidings_value){0};
    for (size_t i = 0; !tidings_at(&pattern, list, i); i++) {
        const char *at;
        size_t len;

        if (!tidings_as_string(&at, &len, pattern))
            td_join(&out, ", ", "%.*s", (int)len, at);
    }
    td_table_add(t, out.text);
}

/* "30 d 0 h" or, without a bound, nothing. */
static void add_age(struct td_table *t, uint64_t ms)
{
    char text[TD_SPAN_BYTES];

    td_table_add(t, ms ? td_span(text, ms) : "");
}

static void add_size(struct td_table *t, uint64_t bytes)
{
    char text[TD_SPAN_BYTES];

    td_table_add(t, td_size(text, bytes));
}

/* How long ago. */
static void add_ago(struct td_table *t, uint64_t stored_ms)
{
    int64_t ago_ms = td_wall_ms() - (int64_t)stored_ms;
    char text[TD_SPAN_BYTES];

    td_table_add(t, stored_ms == 0
                        ? ""
                        : td_span(text, ago_ms < 0 ? 0 : (uint64_t)ago_ms));
}

static bool add_row(void *arg, struct tidings_value row)
{
    struct td_table *t = arg;
    static const char *const counts[] = {"events", "first", "last", "groups"};

    td_rows_text(t, row, "name");
    add_patterns(t, row);
    td_rows_text(t, row, "storage");
    add_size(t, td_row_uint(row, "bytes"));
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        td_rows_count(t, td_row_uint(row, counts[i]));
    add_ago(t, td_row_uint(row, "stored_ms"));
    return true;
}

static int put_table(const struct td_list *list)
{
    static const char *const columns[] = {"stream", "takes",   "storage",
                                          "#bytes", "#events", "#first",
                                          "#last",  "#groups", "newest"};

    return td_rows_table(list, columns, sizeof(columns) / sizeof(columns[0]),
                         add_row);
}

int td_cli_stream_list(const struct td_settings *settings)
{
    struct td_list list = {0};
    struct td_ask a;
    tidings_err err;
    int code = td_no_words(settings, "stream list");

    if (code == TD_EXIT_DONE)
        code = td_ask_open(&a, settings);
    if (code != TD_EXIT_DONE)
        return code;
    err = td_list_fetch(&list, &a, "stream.list", "streams", NULL);
    if (err)
        code = td_refused(settings, err, "streams");
    else
        code = settings->json ? td_rows_json(&list) : put_table(&list);
    if (!err && list.rows_len == 0)
        td_complain(TD_ROWS_NO_STORE);
    td_list_fini(&list);
    td_ask_close(&a);
    return code;
}

/* ---- one of them ---- */

static int refused(const struct td_ask *a, tidings_err err, const char *name)
{
    char what[100];

    snprintf(what, sizeof(what), "stream %.70s", name);
    return td_refused(a->settings, err, what);
}

static void put_or(struct td_table *t, const char *name, uint64_t value,
                   void (*add)(struct td_table *t, uint64_t value),
                   const char *none)
{
    td_table_add(t, name);
    if (value)
        add(t, value);
    else
        td_table_add(t, none);
}

static void put_bound(struct td_table *t, const char *name, uint64_t value,
                      void (*add)(struct td_table *t, uint64_t value))
{
    put_or(t, name, value, add, "no bound");
}

static int put_fields(struct tidings_value row)
{
    struct td_table t = {0};
    bool put;

    td_table_column(&t, "", false);
    td_table_column(&t, "", false);
    td_rows_pair(&t, row, "stream", "name");
    td_table_add(&t, "takes");
    add_patterns(&t, row);
    td_rows_pair(&t, row, "storage", "storage");
    td_table_add(&t, "keyed");
    td_table_add(&t, td_row_bool(row, "keyed") ? "yes" : "no");
    if (td_row_bool(row, "compact")) {
        td_table_add(&t, "compact, tombstones");
        add_age(&t, td_row_uint(row, "tombstone_ms"));
    }
    put_bound(&t, "max age", td_row_uint(row, "max_age_ms"), add_age);
    put_bound(&t, "max bytes", td_row_uint(row, "max_bytes"), add_size);
    put_bound(&t, "max events", td_row_uint(row, "max_events"), td_rows_count);
    td_rows_pair(&t, row, "when full", "on_full");
    put_or(&t, "dedup", td_row_uint(row, "dedup_ms"), add_age, "off");
    put_or(&t, "dedup events", td_row_uint(row, "dedup_events"), td_rows_count,
           "off");
    td_rows_pair(&t, row, "state", "state");
    td_rows_pair(&t, row, "repeats", "repeats");
    td_rows_pair(&t, row, "events", "events");
    td_table_add(&t, "size");
    add_size(&t, td_row_uint(row, "bytes"));
    td_rows_pair(&t, row, "first", "first");
    td_rows_pair(&t, row, "last", "last");
    td_table_add(&t, "newest, ago");
    add_ago(&t, td_row_uint(row, "stored_ms"));
    td_rows_pair(&t, row, "groups", "groups");
    put = td_table_put(&t, stdout, SIZE_MAX, "\n");
    td_table_fini(&t);
    return put ? TD_EXIT_DONE : TD_EXIT_FAILED;
}

static int put_groups(struct td_ask *a, const char *name)
{
    struct td_list groups = {0};
    tidings_err err = td_list_fetch(&groups, a, "group.list", "groups", name);
    int code = TD_EXIT_DONE;

    if (err)
        return refused(a, err, name);
    if (groups.rows_len > 0) {
        fputs("\n", stdout);
        code = td_rows_groups(&groups);
    }
    td_list_fini(&groups);
    return code;
}

static int show(struct td_ask *a, const char *name, bool groups)
{
    struct td_found found = {0};
    tidings_err err = td_rows_stream(&found, a, name);
    int code;

    if (err)
        return refused(a, err, name);
    if (a->settings->json) {
        code = td_row_json(found.row);
    } else {
        code = put_fields(found.row);
        if (code == TD_EXIT_DONE && groups)
            code = put_groups(a, name);
    }
    td_list_fini(&found.list);
    return code == TD_EXIT_DONE ? td_flush_out() : code;
}

/* code: what of the command line was wrong before. */
static int on_stream(const struct td_settings *settings, int code,
                     int (*run)(struct td_ask *a, const char *name))
{
    struct td_ask a;

    if (code == TD_EXIT_DONE)
        code = td_ask_open(&a, settings);
    if (code != TD_EXIT_DONE)
        return code;
    code = run(&a, settings->words[0]);
    td_ask_close(&a);
    return code;
}

static int show_all(struct td_ask *a, const char *name)
{
    return show(a, name, true);
}

int td_cli_stream_show(const struct td_settings *settings)
{
    return on_stream(settings, td_names(settings, "stream show", "NAME"),
                     show_all);
}

static int add(struct td_ask *a, const char *name)
{
    const struct td_durable_settings *d = &a->settings->durable;
    struct tidings_stream_options options = d->stream;
    tidings_err err;

    options.name = name;
    options.patterns = d->patterns;
    options.patterns_len = d->patterns_len;
    err = tidings_stream_add(a->bus, &options, td_timeout_ms(a->settings));
    return err ? refused(a, err, name) : show(a, name, false);
}

int td_cli_stream_add(const struct td_settings *settings)
{
    int code = td_names(settings, "stream add", "NAME");

    if (code == TD_EXIT_DONE && settings->durable.patterns_len == 0) {
        td_complain("stream add wants --pattern: what the stream takes");
        td_advise("for example --pattern 'order.>'");
        return TD_EXIT_USAGE;
    }
    return on_stream(settings, code, add);
}

/* ---- other bounds ---- */

#define BOUND(bit, of)                                                         \
    {                                                                          \
        bit, #of, offsetof(struct tidings_stream_options, of)                  \
    }

static const struct {
    unsigned bit;
    const char *key;
    size_t at;
} bounds[] = {
    BOUND(TD_BOUND_MAX_AGE, max_age_ms),
    BOUND(TD_BOUND_MAX_BYTES, max_bytes),
    BOUND(TD_BOUND_MAX_EVENTS, max_events),
    BOUND(TD_BOUND_DEDUP, dedup_ms),
    BOUND(TD_BOUND_DEDUP_EVENTS, dedup_events),
    BOUND(TD_BOUND_TOMBSTONE, tombstone_ms),
};

/* What was given, and nothing else. */
static int set(struct td_ask *a, const char *name)
{
    const struct td_durable_settings *d = &a->settings->durable;
    tidings_err err;

    td_ask_map(a, 1 + (uint32_t)__builtin_popcount(d->bounds_given));
    td_ask_string(a, "name", name);
    for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
        uint64_t n =
            *(const uint64_t *)((const char *)&d->stream + bounds[i].at);

        if (d->bounds_given & bounds[i].bit)
            td_ask_uint(a, bounds[i].key, n == TIDINGS_NO_DEDUP ? 0 : n);
    }
    if (d->bounds_given & TD_BOUND_ON_FULL)
        td_ask_string(a, "on_full",
                      d->stream.on_full == TIDINGS_REJECT ? "reject"
                                                          : "discard_old");
    err = td_ask_call(a, "stream.set");
    return err ? refused(a, err, name) : show(a, name, false);
}

int td_cli_stream_set(const struct td_settings *settings)
{
    int code = td_names(settings, "stream set", "NAME");

    if (code == TD_EXIT_DONE && settings->durable.bounds_given == 0) {
        td_complain("stream set wants what is to change");
        td_advise("for example --max-age 7d, or --max-age none");
        return TD_EXIT_USAGE;
    }
    return on_stream(settings, code, set);
}

/* ---- less of it ---- */

/* The stream as it is when what was to go is gone: that may take a moment. */
static tidings_err look_until(struct td_found *found, struct td_ask *a,
                              const char *name, uint64_t before)
{
    int64_t deadline_us =
        td_clock_us() + (int64_t)td_timeout_ms(a->settings) * 1000;
    tidings_err err;

    for (;;) {
        err = td_rows_stream(found, a, name);
        if (err || td_row_uint(found->row, "first") >= before ||
            td_row_uint(found->row, "events") == 0 ||
            td_clock_us() > deadline_us || td_stopped())
            return err;
        td_list_fini(&found->list);
        td_pause(10000);
    }
}

static int purge(struct td_ask *a, const char *name)
{
    uint64_t before = a->settings->durable.before;
    struct td_found found = {0};
    tidings_err err;
    int code = TD_EXIT_DONE;

    td_ask_map(a, before ? 2 : 1);
    td_ask_string(a, "name", name);
    if (before)
        td_ask_uint(a, "before", before);
    err = td_ask_call(a, "stream.purge");
    if (!err)
        err = look_until(&found, a, name, before);
    if (err)
        return refused(a, err, name);
    if (a->settings->json)
        code = td_row_json(found.row);
    else
        printf("stream %s keeps %" PRIu64 " %s, from %" PRIu64 " on\n", name,
               td_row_uint(found.row, "events"),
               td_plural(td_row_uint(found.row, "events"), "event", "events"),
               td_row_uint(found.row, "first"));
    td_list_fini(&found.list);
    return code == TD_EXIT_DONE ? td_flush_out() : code;
}

static int erase(struct td_ask *a, const char *name)
{
    tidings_err err;

    td_ask_map(a, 1);
    td_ask_string(a, "name", name);
    err = td_ask_call(a, "stream.delete");
    if (err)
        return refused(a, err, name);
    printf(a->settings->json ? "{\"deleted\":\"%s\"}\n"
                             : "stream %s is deleted\n",
           name); /* the broker knows it: nothing in it is to be escaped */
    return td_flush_out();
}

static int destroy(const struct td_settings *settings, const char *command,
                   int (*run)(struct td_ask *a, const char *name))
{
    int code = td_names(settings, command, "NAME");

    if (code == TD_EXIT_DONE)
        code = td_sure(settings, command);
    return on_stream(settings, code, run);
}

int td_cli_stream_purge(const struct td_settings *settings)
{
    return destroy(settings, "stream purge", purge);
}

int td_cli_stream_delete(const struct td_settings *settings)
{
    return destroy(settings, "stream delete", erase);
}
