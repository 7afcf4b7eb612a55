/* tidings service stats: what each endpoint has had to do, and how long it
 * took. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/connect.h"
#include "client/cli/joined.h"
#include "client/cli/out.h"
#include "client/cli/service.h"
#include "client/cli/span.h"

/* ---- how long ---- */

/* What a part of all, 0 to 1, took less than, out of rows of [below, count]:
 * no more than the longest, which is known. */
static double below_us(struct tidings_value histogram, double part,
                       uint64_t most_us)
{
    struct tidings_value row, value;
    uint64_t below = 0, count, all = 0, seen = 0;

    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; !tidings_at(&row, histogram, i); i++) {
            if (tidings_at(&value, row, 1) || tidings_as_uint(&count, value))
                continue;
            if (pass == 0) {
                all += count;
                continue;
            }
            seen += count;
            if (!tidings_at(&value, row, 0))
                tidings_as_uint(&below, value);
            if ((double)seen >= part * (double)all)
                return (double)(below < most_us ? below : most_us);
        }
    }
    return (double)most_us;
}

static void add_times(struct td_table *t, struct tidings_value endpoint)
{
    uint64_t most_us = td_row_uint(endpoint, "took_max_us");
    struct tidings_value histogram;
    char text[TD_SPAN_BYTES];

    if (tidings_get(&histogram, endpoint, "histogram") ||
        tidings_value_count(histogram) == 0) {
        for (int i = 0; i < 3; i++)
            td_table_add(t, "");
        return;
    }
    td_table_add(t, td_latency(text, below_us(histogram, 0.5, most_us)));
    td_table_add(t, td_latency(text, below_us(histogram, 0.99, most_us)));
    td_table_add(t, td_latency(text, (double)most_us));
}

/* ---- endpoints ---- */

static const char *const columns[] = {
    "service",   "id",    "endpoint", "#requests",  "#errors",
    "#timeouts", "#lost", "#full",    "#in flight", "#p50",
    "#p99",      "#max",  "breaker",  "#opened",    "last error"};

static bool add_instance(void *arg, struct tidings_value row)
{
    static const char *const counts[] = {"requests", "errors",  "timeouts",
                                         "lost",     "refused", "in_flight"};
    struct tidings_value list, endpoint;
    struct td_table *t = arg;

    if (tidings_get(&list, row, "endpoints"))
        return true;
    for (size_t i = 0; !tidings_at(&endpoint, list, i); i++) {
        td_rows_text(t, row, "service");
        td_rows_text(t, row, "id");
        td_rows_text(t, endpoint, "name");
        for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++)
            td_rows_count(t, td_row_uint(endpoint, counts[c]));
        add_times(t, endpoint);
        td_rows_text(t, row, "breaker");
        td_rows_count(t, td_row_uint(row, "opened"));
        td_rows_text(t, endpoint, "last_error");
    }
    return true;
}

/* ---- names ---- */

/* "2.0.0 5 %" */
static void add_weights(struct td_table *t, struct tidings_value row)
{
    struct tidings_value map, key, value;
    struct td_joined out = {.len = 0};

    if (tidings_get(&map, row, "weights")) {
        td_table_add(t, "");
        return;
    }
    for (size_t i = 0; !tidings_pair_at(&key, &value, map, i); i++) {
        const char *version;
        uint64_t percent;
        size_t len;

        if (tidings_as_string(&version, &len, key) ||
            tidings_as_uint(&percent, value))
            continue;
        td_join(&out, ", ", "%.*s %" PRIu64 " %%", (int)len, version, percent);
    }
    td_table_add(t, out.text);
}

static void add_total(struct td_table *t, struct tidings_value row)
{
    td_rows_text(t, row, "name");
    td_rows_text(t, row, "breaker");
    td_rows_count(t, td_row_uint(row, "opened"));
    td_rows_count(t, td_row_uint(row, "noresponder"));
    td_rows_count(t, td_row_uint(row, "full"));
    add_weights(t, row);
}

/* Each name's totals, which come with the page that its first instance is on. */
static bool each_total(const struct td_list *list,
                       bool (*each)(void *arg, struct tidings_value row),
                       void *arg)
{
    struct tidings_value totals, row;

    for (size_t page = 0; page < list->len; page++) {
        if (tidings_get(&totals, list->pages[page].answer, "totals"))
            continue;
        for (size_t i = 0; !tidings_at(&row, totals, i); i++) {
            if (!each(arg, row))
                return false;
        }
    }
    return true;
}

static bool add_row(void *arg, struct tidings_value row)
{
    add_total(arg, row);
    return true;
}

/* ---- both ---- */

static void add_columns(struct td_table *t, const char *const *titles, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        td_rows_column(t, titles[i]);
        if (strcmp(titles[i], "breaker") == 0)
            td_table_painted(t, td_service_paint);
    }
}

static int put(const struct td_list *list)
{
    static const char *const titles[] = {"service",       "breaker", "#opened",
                                         "#no responder", "#full",   "weights"};
    struct td_table t = {.colour = td_wants_colour(stdout)}, totals = t;
    bool done;

    add_columns(&t, columns, sizeof(columns) / sizeof(columns[0]));
    add_columns(&totals, titles, sizeof(titles) / sizeof(titles[0]));
    td_list_each(list, add_instance, &t);
    each_total(list, add_row, &totals);
    done = td_table_put(&t, stdout, SIZE_MAX, "\n");
    if (done && td_table_rows(&totals) > 0) {
        fputs("\n", stdout);
        done = td_table_put(&totals, stdout, SIZE_MAX, "\n");
    }
    td_table_fini(&t);
    td_table_fini(&totals);
    return done ? td_flush_out() : TD_EXIT_FAILED;
}

static bool put_total(void *arg, struct tidings_value row)
{
    int *code = arg;

    *code = td_row_json(row);
    return *code == TD_EXIT_DONE;
}

/* The instances, and then the totals, as the broker gives them. */
static int put_json(const struct td_list *list)
{
    int code = td_service_json(list);

    if (code == TD_EXIT_DONE)
        each_total(list, put_total, &code);
    return code == TD_EXIT_DONE ? td_flush_out() : code;
}

int td_cli_service_stats(const struct td_settings *settings)
{
    return td_service_run(settings, "service stats", "service.stats", put,
                          put_json);
}
