/* tidings stats: the broker's counters (PROTOCOL.md 7) as tables.
 *
 * Counters are printed as they come, so a broker that counts more needs no
 * newer command; only the columns of the subscriptions are named here. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/cli/connect.h"
#include "client/cli/escape.h"
#include "client/cli/out.h"
#include "tidings/json.h"

#define CELL_BYTES 320 /* a pattern of 255 bytes and more */

/* The columns of the subscriptions' table: key, right-aligned. */
static const struct column {
    const char *key;
    bool number;
} columns[] = {
    {"session", true},  {"subscription", true}, {"name", false},
    {"pattern", false}, {"matched", true},      {"delivered", true},
    {"pending", true},  {"dropped", true},      {"blocked_ms", true},
};

#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

/* A scalar as text; a map as the sum of its counters; else "?". */
static void cell(char out[CELL_BYTES], struct tidings_value value)
{
    const char *string;
    size_t len;
    uint64_t number, sum = 0;
    struct tidings_value key, item;

    if (!tidings_as_uint(&number, value)) {
        snprintf(out, CELL_BYTES, "%" PRIu64, number);
    } else if (!tidings_as_string(&string, &len, value)) {
        snprintf(out, CELL_BYTES, "%.*s", (int)(len < 300 ? len : 300), string);
    } else if (tidings_value_kind(value) == TIDINGS_KIND_MAP) {
        for (size_t i = 0; !tidings_pair_at(&key, &item, value, i); i++)
            sum += tidings_as_uint(&number, item) ? 0 : number;
        snprintf(out, CELL_BYTES, "%" PRIu64, sum);
    } else {
        snprintf(out, CELL_BYTES, "?");
    }
    if (!*out)
        snprintf(out, CELL_BYTES, "-");
}

static void put_padded(const char *text, size_t widest, bool right)
{
    size_t len = strlen(text);
    size_t wide = td_escaped_columns(text, len);
    int gap = wide < widest ? (int)(widest - wide) : 0;

    if (right)
        printf("%*s", gap, "");
    td_put_escaped(stdout, text, len);
    if (!right)
        printf("%*s", gap, "");
}

/* ---- counters ---- */

/* Calls each(arg, name, value) for every counter, "dropped.slow" for those in
 * a map; lists are left out. */
static void walk(struct tidings_value map, const char *before,
                 void (*each)(void *arg, const char *name,
                              struct tidings_value value),
                 void *arg)
{
    struct tidings_value key, value;

    for (size_t i = 0; !tidings_pair_at(&key, &value, map, i); i++) {
        enum tidings_kind kind = tidings_value_kind(value);
        char name[CELL_BYTES], text[CELL_BYTES];

        cell(text, key);
        snprintf(name, sizeof(name), "%.100s%.100s", before, text);
        if (kind == TIDINGS_KIND_MAP && !*before) {
            strcat(name, ".");
            walk(value, name, each, arg);
        } else if (kind != TIDINGS_KIND_ARRAY) {
            each(arg, name, value);
        }
    }
}

struct widths {
    size_t name;
    size_t value;
};

static void measure(void *arg, const char *name, struct tidings_value value)
{
    struct widths *widest = arg;
    char text[CELL_BYTES];
    size_t columns_of_name = td_escaped_columns(name, strlen(name));
    size_t columns_of_value;

    cell(text, value);
    columns_of_value = td_escaped_columns(text, strlen(text));
    if (columns_of_name > widest->name)
        widest->name = columns_of_name;
    if (columns_of_value > widest->value)
        widest->value = columns_of_value;
}

static void put_counter(void *arg, const char *name, struct tidings_value value)
{
    const struct widths *widest = arg;
    char text[CELL_BYTES];

    cell(text, value);
    put_padded(name, widest->name, false);
    fputs("  ", stdout);
    put_padded(text, widest->value, true);
    fputs("\n", stdout);
}

/* ---- subscriptions ---- */

static void row_cell(char out[CELL_BYTES], struct tidings_value row,
                     const struct column *column)
{
    struct tidings_value value;

    if (tidings_get(&value, row, column->key))
        snprintf(out, CELL_BYTES, "-");
    else
        cell(out, value);
}

static void put_subscriptions(struct tidings_value list)
{
    size_t widest[COLUMNS];
    struct tidings_value row;
    char text[CELL_BYTES];

    for (size_t c = 0; c < COLUMNS; c++)
        widest[c] = strlen(columns[c].key);
    for (size_t i = 0; !tidings_at(&row, list, i); i++) {
        for (size_t c = 0; c < COLUMNS; c++) {
            size_t wide;

            row_cell(text, row, &columns[c]);
            wide = td_escaped_columns(text, strlen(text));
            if (wide > widest[c])
                widest[c] = wide;
        }
    }

    for (size_t c = 0; c < COLUMNS; c++) {
        fputs(c ? "  " : "\n", stdout);
        put_padded(columns[c].key, widest[c], columns[c].number);
    }
    fputs("\n", stdout);
    for (size_t i = 0; !tidings_at(&row, list, i); i++) {
        for (size_t c = 0; c < COLUMNS; c++) {
            row_cell(text, row, &columns[c]);
            fputs(c ? "  " : "", stdout);
            put_padded(text, widest[c], columns[c].number);
        }
        fputs("\n", stdout);
    }
}

/* The broker sends a bounded number of rows; say what is not among them. */
static void put_rest(struct tidings_value map, size_t rows)
{
    uint64_t total;

    if (!tidings_get_uint(&total, map, "subscriptions_total") && total > rows)
        printf("... and %" PRIu64 " more\n", total - rows);
}

static int put_tables(const void *data, size_t len)
{
    struct tidings_value map, list;
    struct widths widest = {0};

    if (tidings_value_read(&map, data, len) ||
        tidings_value_kind(map) != TIDINGS_KIND_MAP) {
        td_complain("the broker's counters could not be read");
        return TD_EXIT_FAILED;
    }
    walk(map, "", measure, &widest);
    walk(map, "", put_counter, &widest);
    if (!tidings_get(&list, map, "subscriptions") &&
        tidings_value_count(list) > 0) {
        put_subscriptions(list);
        put_rest(map, tidings_value_count(list));
    }
    return td_flush_out();
}

static int put_json(const void *data, size_t len)
{
    char *json = NULL;
    tidings_err err = tidings_data_to_json(&json, data, len);

    if (err)
        return td_complain_err(err, "the broker's counters");
    puts(json);
    tidings_free(json);
    return td_flush_out();
}

int td_cli_stats(const struct td_settings *settings)
{
    struct tidings_options options = {.name = "tidings-stats",
                                      .close_timeout_ms = -1};
    tidings_bus *bus = NULL;
    void *data = NULL;
    size_t len = 0;
    tidings_err err;
    int code;

    if (settings->words_len > 0) {
        td_complain("stats takes no \"%s\"; the broker is named by --url",
                    settings->words[0]);
        return TD_EXIT_USAGE;
    }
    code = td_connect(&bus, settings, &options);
    if (code != TD_EXIT_DONE)
        return code;
    err = tidings_stats(&data, &len, bus, td_timeout_ms(settings));
    if (err)
        code = td_complain_err(err, "stats");
    else
        code = settings->json ? put_json(data, len) : put_tables(data, len);
    tidings_free(data);
    tidings_close(bus);
    return code;
}
