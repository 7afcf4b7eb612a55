/* tidings stats: the broker's counters and rows (PROTOCOL.md 7) as tables or
 * JSON, once or again and again.
 *
 * Counters are printed as they come, so a broker that counts more needs no
 * newer command; only the columns of the rows are named, in sample.c. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/cli/connect.h"
#include "client/cli/out.h"
#include "client/cli/sample.h"
#include "client/cli/span.h"
#include "client/cli/stop.h"
#include "client/cli/table.h"
#include "tidings/json.h"

#define NAME_BYTES 128 /* of a counter */

struct stats {
    const struct td_settings *settings;
    const struct td_kind *kind;
    tidings_bus *bus;
    struct td_sample now;
    struct td_sample before; /* --watch: none at first */
    bool repaint;            /* --watch on a terminal */
    bool silent;             /* the broker did not answer, the user was told */
};

/* ---- tables ---- */

static void add_number(struct td_table *t, uint64_t number)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64, number);
    td_table_add(t, text);
}

static void add_rate(struct td_table *t, bool known, double rate)
{
    char text[TD_SPAN_BYTES];

    td_table_add(t, known ? td_amount(text, rate) : "");
}

/* A scalar; what is neither number nor text has no counter. */
static void add_value(struct td_table *t, struct tidings_value value)
{
    const char *text;
    size_t len;
    uint64_t number;

    if (!tidings_as_uint(&number, value))
        add_number(t, number);
    else if (!tidings_as_string(&text, &len, value))
        td_table_add_n(t, text, len);
    else
        td_table_add(t, "?");
}

static void add_counter(struct td_table *t, const struct stats *s,
                        const char *name, struct tidings_value value)
{
    double rate = 0;
    bool known;

    td_table_add(t, name);
    add_value(t, value);
    if (s->settings->watch) {
        known = td_sample_total_rate(&rate, &s->now, &s->before, name);
        add_rate(t, known, rate);
    }
}

/* "dropped.slow" for those in a map; lists are left out. */
static void add_counters(struct td_table *t, const struct stats *s,
                         struct tidings_value map, const char *before)
{
    struct tidings_value key, value;

    for (size_t i = 0; !tidings_pair_at(&key, &value, map, i); i++) {
        enum tidings_kind kind = tidings_value_kind(value);
        char name[NAME_BYTES];
        const char *text = "?";
        size_t len = 1;

        tidings_as_string(&text, &len, key);
        snprintf(name, sizeof(name), "%s%.*s", before,
                 (int)(len < 50 ? len : 50), text);
        if (kind == TIDINGS_KIND_MAP && !*before) {
            strcat(name, ".");
            add_counters(t, s, value, name);
        } else if (kind != TIDINGS_KIND_ARRAY && kind != TIDINGS_KIND_MAP) {
            add_counter(t, s, name, value);
        }
    }
}

static void fill_counters(struct td_table *t, const struct stats *s)
{
    bool watch = s->settings->watch;

    td_table_column(t, watch ? "counter" : "", false);
    td_table_column(t, watch ? "total" : "", true);
    if (watch)
        td_table_column(t, "per s", true);
    add_counters(t, s, td_pages_totals(&s->now.pages), "");
}

static void fill_rows(struct td_table *t, const struct stats *s)
{
    const struct td_kind *kind = s->kind;
    bool known = s->before.kind != NULL;

    for (size_t i = 0; kind->fields[i].key; i++) {
        td_table_column(t, kind->fields[i].key, kind->fields[i].number);
        if (s->settings->watch && kind->fields[i].rated)
            td_table_column(t, "/s", true);
    }
    for (size_t r = 0; r < s->now.len; r++) {
        const struct td_row *row = &s->now.rows[r];

        for (size_t i = 0; kind->fields[i].key; i++) {
            if (kind->fields[i].number)
                add_number(t, row->cells[i].number);
            else
                td_table_add_n(t, row->cells[i].text, row->cells[i].text_len);
            if (s->settings->watch && kind->fields[i].rated)
                add_rate(t, known, row->cells[i].rate);
        }
    }
}

static void put_rest(const struct stats *s)
{
    if (s->now.pages.rows_total > TD_ROWS_MAX)
        printf("... and %" PRIu64 " more\n",
               s->now.pages.rows_total - TD_ROWS_MAX);
}

/* All of it, below what was printed before. */
static bool print(const struct stats *s, const struct td_table *counters,
                  const struct td_table *rows)
{
    if (s->before.kind)
        fputs("\n", stdout);
    if (!td_table_put(counters, stdout, SIZE_MAX, "\n"))
        return false;
    if (s->now.len == 0)
        return true;
    fputs("\n", stdout);
    if (!td_table_put(rows, stdout, SIZE_MAX, "\n"))
        return false;
    put_rest(s);
    return true;
}

/* What fits, over what was painted before: counters side by side, and as many
 * rows as there is room for. Lines are cut, not wrapped, meanwhile. */
static bool paint(const struct td_table *counters, const struct td_table *rows)
{
    static const char line_end[] = "\033[K\n";
    size_t lines = td_terminal_lines(stdout);
    size_t others = 5; /* two titles, two "and more", the cursor's */
    size_t high = lines > others ? lines - others : 1;
    struct td_table folded = {0};
    size_t counters_high;
    bool put;

    td_table_fold(&folded, counters, 2);
    counters_high = td_table_rows(&folded);
    if (counters_high > high)
        counters_high = high;
    fputs("\033[?7l\033[H", stdout);
    put = td_table_put(&folded, stdout, counters_high, line_end);
    if (put && td_table_rows(rows) && counters_high + 1 < high) {
        fputs(line_end, stdout);
        put = td_table_put(rows, stdout, high - counters_high - 1, line_end);
    }
    fputs("\033[J\033[?7h", stdout);
    td_table_fini(&folded);
    return put;
}

static int put_tables(const struct stats *s)
{
    struct td_table counters = {0}, rows = {0};
    bool put;

    fill_counters(&counters, s);
    fill_rows(&rows, s);
    put = s->repaint ? paint(&counters, &rows) : print(s, &counters, &rows);
    td_table_fini(&counters);
    td_table_fini(&rows);
    return put ? td_flush_out() : TD_EXIT_FAILED;
}

/* ---- JSON ---- */

static tidings_err put_value(struct tidings_value value)
{
    char *json = NULL;
    tidings_err err = tidings_data_to_json(&json, value.bytes, value.len);

    if (!err)
        fputs(json, stdout);
    tidings_free(json);
    return err;
}

/* Row by row: together they may be more than one value may hold. */
static bool put_row(void *arg, struct tidings_value row)
{
    const char **before = arg;

    fputs(*before, stdout);
    *before = ",";
    return put_value(row) == TIDINGS_OK;
}

static void put_rates(const struct stats *s)
{
    struct tidings_value key, value;
    const char *before = "";

    fputs(",\"rates\":{", stdout);
    for (size_t i = 0;
         !tidings_pair_at(&key, &value, td_pages_totals(&s->now.pages), i);
         i++) {
        char name[NAME_BYTES];
        const char *text;
        size_t len;
        double rate;

        if (tidings_as_string(&text, &len, key) || len >= sizeof(name))
            continue;
        memcpy(name, text, len);
        name[len] = '\0';
        if (!td_sample_total_rate(&rate, &s->now, &s->before, name))
            continue;
        fputs(before, stdout);
        put_value(key);
        printf(":%.1f", rate);
        before = ",";
    }
    fputs("}", stdout);
}

/* Not the list, which is put row by row, nor a gauge by the same name. */
static bool is_counter(struct tidings_value key, struct tidings_value value,
                       const struct td_kind *kind)
{
    const char *name;
    size_t len;

    return tidings_value_kind(value) != TIDINGS_KIND_ARRAY &&
           !tidings_as_string(&name, &len, key) &&
           !(len == strlen(kind->name) && memcmp(name, kind->name, len) == 0);
}

static tidings_err put_counters(const struct stats *s)
{
    struct tidings_value totals = td_pages_totals(&s->now.pages), key, value;
    tidings_err err = TIDINGS_OK;

    for (size_t i = 0; !err && !tidings_pair_at(&key, &value, totals, i); i++) {
        if (!is_counter(key, value, s->kind))
            continue;
        err = put_value(key);
        fputs(":", stdout);
        if (!err)
            err = put_value(value);
        fputs(",", stdout);
    }
    return err;
}

static int put_json(const struct stats *s)
{
    const char *before = ""; /* a row */
    tidings_err err;

    fputs("{", stdout);
    err = put_counters(s);
    printf("\"%s\":[", s->kind->name);
    if (!err && !td_pages_each(&s->now.pages, put_row, &before))
        err = TIDINGS_EPROTO;
    fputs("]", stdout);
    if (s->settings->watch)
        put_rates(s);
    fputs("}\n", stdout);
    if (err)
        return td_complain_err(err, "the broker's counters");
    return td_flush_out();
}

/* ---- once, or again and again ---- */

static int put(const struct stats *s)
{
    return s->settings->json ? put_json(s) : put_tables(s);
}

/* A broker that is away may come back; rates then begin anew. */
static int look(struct stats *s)
{
    struct tidings_info info = {0};
    tidings_err err = tidings_info(&info, s->bus);

    if (!err && !info.up)
        err = TIDINGS_EUNREACH;
    if (!err)
        err = td_sample_take(&s->now, s->bus, s->kind,
                             td_timeout_ms(s->settings));
    if (!err) {
        if (s->silent)
            td_complain("the broker answers again");
        s->silent = false;
        td_sample_rates(&s->now, &s->before);
        return put(s);
    }
    if (err != TIDINGS_EUNREACH && err != TIDINGS_ETIMEDOUT)
        return td_complain_err(err, "stats");
    if (!s->silent)
        td_complain("no answer, trying again: %s", tidings_err_text(err));
    s->silent = true;
    return TD_EXIT_DONE;
}

static int watch(struct stats *s)
{
    double interval_s =
        s->settings->interval_s > 0 ? s->settings->interval_s : TD_CLI_WATCH_S;
    int64_t next_us = td_clock_us();
    int code = TD_EXIT_DONE;

    if (s->repaint)
        fputs("\033[2J", stdout);
    while (code == TD_EXIT_DONE && td_sleep_until(next_us) && td_out_open()) {
        code = look(s);
        if (s->now.kind) {
            td_sample_fini(&s->before);
            s->before = s->now;
            s->now = (struct td_sample){0};
        }
        next_us += (int64_t)(interval_s * 1e6);
        if (next_us < td_clock_us())
            next_us = td_clock_us();
    }
    return code;
}

static int once(struct stats *s)
{
    tidings_err err =
        td_sample_take(&s->now, s->bus, s->kind, td_timeout_ms(s->settings));

    return err ? td_complain_err(err, "stats") : put(s);
}

int td_cli_stats(const struct td_settings *settings)
{
    struct stats s = {
        .settings = settings,
        .kind = td_kind_of(settings->rows ? settings->rows : "subscriptions"),
        .repaint = settings->watch && !settings->json && td_paints(stdout),
    };
    struct tidings_options options = {.name = "tidings-stats",
                                      .close_timeout_ms = -1};
    int code = td_no_words(settings, "stats");

    if (code == TD_EXIT_DONE)
        code = td_connect(&s.bus, settings, &options);
    if (code != TD_EXIT_DONE)
        return code;
    code = settings->watch ? watch(&s) : once(&s);
    td_sample_fini(&s.now);
    td_sample_fini(&s.before);
    tidings_close(s.bus);
    return code;
}
