#include "client/cli/rows.h"

#include <inttypes.h>

#include "client/cli/out.h"

void td_rows_column(struct td_table *t, const char *title)
{
    td_table_column(t, title + (*title == '#'), *title == '#');
}

void td_rows_text(struct td_table *t, struct tidings_value row, const char *key)
{
    size_t len;
    const char *text = td_row_text(&len, row, key);

    td_table_add_n(t, text, len);
}

void td_rows_count(struct td_table *t, uint64_t n)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64, n);
    td_table_add(t, text);
}

void td_rows_pair(struct td_table *t, struct tidings_value row,
                  const char *name, const char *key)
{
    uint64_t n;

    td_table_add(t, name);
    if (tidings_get_uint(&n, row, key))
        td_rows_text(t, row, key);
    else
        td_rows_count(t, n);
}

static bool put_json(void *arg, struct tidings_value row)
{
    int *code = arg;

    *code = td_row_json(row);
    return *code == TD_EXIT_DONE && td_out_open();
}

int td_rows_json(const struct td_list *list)
{
    int code = TD_EXIT_DONE;

    td_list_each(list, put_json, &code);
    return code == TD_EXIT_DONE ? td_flush_out() : code;
}

int td_rows_table(const struct td_list *list, const char *const *columns,
                  size_t columns_len,
                  bool (*add)(void *arg, struct tidings_value row))
{
    struct td_table t = {0};
    bool put;

    for (size_t i = 0; i < columns_len; i++)
        td_rows_column(&t, columns[i]);
    td_list_each(list, add, &t);
    put = td_table_put(&t, stdout, SIZE_MAX, "\n");
    td_table_fini(&t);
    return put ? td_flush_out() : TD_EXIT_FAILED;
}

/* ---- groups ---- */

const char *td_rows_state(struct tidings_value group)
{
    static const char *const outage[] = {"parked", "probing", "ramping"};

    if (td_row_bool(group, "paused"))
        return "paused";
    for (size_t i = 0; i < sizeof(outage) / sizeof(outage[0]); i++) {
        if (td_row_is(group, "state", outage[i]))
            return outage[i];
    }
    if (td_row_uint(group, "members") == 0)
        return "no members";
    if (td_row_bool(group, "full"))
        return "window full";
    return td_row_uint(group, "lag") + td_row_uint(group, "in_flight") +
                       td_row_uint(group, "waiting") >
                   0
               ? "behind"
               : "up to date";
}

static bool add_group(void *arg, struct tidings_value row)
{
    static const char *const counts[] = {"members", "lag", "in_flight",
                                         "waiting", "dead"};
    struct td_table *t = arg;

    td_rows_text(t, row, "stream");
    td_rows_text(t, row, "group");
    td_rows_text(t, row, "pattern");
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        td_rows_count(t, td_row_uint(row, counts[i]));
    td_table_add(t, td_rows_state(row));
    return true;
}

int td_rows_groups(const struct td_list *groups)
{
    static const char *const columns[] = {"stream",   "group", "takes",
                                          "#members", "#lag",  "#in flight",
                                          "#waiting", "#dead", "state"};

    return td_rows_table(groups, columns, sizeof(columns) / sizeof(columns[0]),
                         add_group);
}

/* ---- one of them ---- */

struct wanted {
    const char *key;
    const char *name;
    struct tidings_value row;
};

static bool is_other(void *arg, struct tidings_value row)
{
    struct wanted *wanted = arg;

    if (!td_row_is(row, wanted->key, wanted->name))
        return true;
    wanted->row = row;
    return false;
}

static tidings_err find(struct td_found *out, const char *key, const char *name)
{
    struct wanted wanted = {.key = key, .name = name};

    if (!td_list_each(&out->list, is_other, &wanted)) {
        out->row = wanted.row;
        return TIDINGS_OK;
    }
    td_list_fini(&out->list);
    return TIDINGS_ENOTFOUND;
}

tidings_err td_rows_stream(struct td_found *out, struct td_ask *a,
                           const char *name)
{
    tidings_err err =
        td_list_fetch(&out->list, a, "stream.list", "streams", NULL);

    if (!err && out->list.rows_len == 0) { /* "events" is always there */
        td_list_fini(&out->list);
        tidings_set_detail(TD_ROWS_NO_STORE);
        return TIDINGS_ENOTSUP;
    }
    if (!err && (err = find(out, "name", name)) != TIDINGS_OK)
        tidings_set_detail("no such stream");
    return err;
}

tidings_err td_rows_group(struct td_found *out, struct td_ask *a,
                          const char *stream, const char *group)
{
    tidings_err err =
        td_list_fetch(&out->list, a, "group.list", "groups", stream);

    if (!err && (err = find(out, "group", group)) != TIDINGS_OK)
        tidings_set_detail("no such group of this stream");
    return err;
}
