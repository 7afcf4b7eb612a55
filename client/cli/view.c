#include "client/cli/view.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/span.h"

#define COLUMNS_MAX 12

/* Per kind: its columns, and the fields that it is sorted by. */
static const struct view {
    const char *kind;
    struct {
        const char *title; /* NULL: the end */
        const char *key;
        bool rate; /* of the field, not the field */
    } columns[COLUMNS_MAX];
    const char *sorts[3]; /* enum td_sort */
} views[TD_KINDS] = {
    {"types",
     {{"published/s", "published", true},
      {"unmatched/s", "unmatched", true},
      {"bytes/s", "bytes", true},
      {"published", "published", false},
      {"unmatched", "unmatched", false},
      {"type", "type", false}},
     {"published", "bytes", "unmatched"}},
    {"subscriptions",
     {{"matched/s", "matched", true},
      {"delivered/s", "delivered", true},
      {"pending", "pending", false},
      {"dropped/s", "dropped", true},
      {"dropped", "dropped", false},
      {"group", "group", false},
      {"pattern", "pattern", false},
      {"name", "name", false},
      {"session", "session", false},
      {"blocked_ms", "blocked_ms", false}},
     {"matched", "pending", "dropped"}},
    {"groups",
     {{"matched/s", "matched", true},
      {"delivered/s", "delivered", true},
      {"pending", "pending", false},
      {"dropped/s", "dropped", true},
      {"dropped", "dropped", false},
      {"members", "members", false},
      {"group", "group", false},
      {"pattern", "pattern", false},
      {"group_policy", "group_policy", false},
      {"blocked_ms", "blocked_ms", false}},
     {"matched", "pending", "dropped"}},
    {"sessions",
     {{"published/s", "published", true},
      {"published", "published", false},
      {"pending", "pending", false},
      {"blocked_ms", "blocked_ms", false},
      {"withheld_ms", "withheld_ms", false},
      {"away_ms", "away_ms", false},
      {"session", "session", false},
      {"name", "name", false},
      {"subscriptions", "subscriptions", false},
      {"queued_bytes", "queued_bytes", false}},
     {"published", "pending", "withheld_ms"}},
    {"streams",
     {{"stored/s", "last", true},
      {"events", "events", false},
      {"bytes", "bytes", false},
      {"last", "last", false},
      {"groups", "groups", false},
      {"stream", "stream", false}},
     {"last", "bytes", "events"}},
    {"consumers",
     {{"delivered/s", "delivered", true},
      {"acked/s", "acked", true},
      {"lag", "lag", false},
      {"in_flight", "in_flight", false},
      {"waiting", "waiting", false},
      {"dead", "dead", false},
      {"state", "state", false},
      {"members", "members", false},
      {"group", "group", false},
      {"stream", "stream", false}},
     {"delivered", "lag", "failed"}},
};

static const struct view *view_of(const struct td_kind *kind)
{
    const struct view *view = views;

    while (strcmp(view->kind, kind->name) != 0)
        view++; /* there is one for each kind */
    return view;
}

/* ---- order ---- */

static struct {
    size_t field;
    bool rate; /* before the number itself */
} order_by;    /* for qsort(); one thread sorts */

static int compare(const void *left, const void *right)
{
    const struct td_row *a = *(const struct td_row *const *)left;
    const struct td_row *b = *(const struct td_row *const *)right;
    double a_rate = order_by.rate ? a->cells[order_by.field].rate : 0;
    double b_rate = order_by.rate ? b->cells[order_by.field].rate : 0;
    uint64_t a_number = a->cells[order_by.field].number;
    uint64_t b_number = b->cells[order_by.field].number;

    if (a_rate < b_rate || a_rate > b_rate)
        return a_rate < b_rate ? 1 : -1;
    if (a_number != b_number)
        return a_number < b_number ? 1 : -1;
    return a < b ? -1 : a > b; /* rows of one array: as the broker has them */
}

void td_view_sort_name(char *out, size_t size, const struct td_kind *kind,
                       enum td_sort sort)
{
    static const char *const names[] = {"rate", "pending", "drops"};
    static const char *const usual[] = {"matched", "pending", "dropped"};
    const char *key = view_of(kind)->sorts[sort];

    if (strcmp(key, usual[sort]) == 0)
        snprintf(out, size, "%s", names[sort]);
    else
        snprintf(out, size, "%s (%s)", names[sort], key);
}

void td_view_sort(const struct td_row **rows, const struct td_sample *sample,
                  enum td_sort sort)
{
    const struct td_kind *kind = sample->kind;

    order_by.field = td_field_of(kind, view_of(kind)->sorts[sort]);
    order_by.rate = kind->fields[order_by.field].rated;
    for (size_t i = 0; i < sample->len; i++)
        rows[i] = &sample->rows[i];
    qsort(rows, sample->len, sizeof(*rows), compare);
}

/* ---- columns ---- */

static void add_cell(struct td_table *t, const struct td_kind *kind,
                     const struct td_row *row, size_t field, bool rate)
{
    char text[TD_SPAN_BYTES];

    if (!kind->fields[field].number) {
        td_table_add_n(t, row->cells[field].text, row->cells[field].text_len);
    } else if (rate) {
        td_table_add(t, td_amount(text, row->cells[field].rate));
    } else {
        snprintf(text, sizeof(text), "%" PRIu64, row->cells[field].number);
        td_table_add(t, text);
    }
}

void td_view_fill(struct td_table *t, const struct td_kind *kind,
                  const struct td_row *const *rows, size_t len)
{
    const struct view *view = view_of(kind);
    size_t fields[COLUMNS_MAX];

    for (size_t c = 0; view->columns[c].title; c++) {
        fields[c] = td_field_of(kind, view->columns[c].key);
        td_table_column(t, view->columns[c].title,
                        kind->fields[fields[c]].number);
    }
    for (size_t r = 0; r < len; r++) {
        for (size_t c = 0; view->columns[c].title; c++)
            add_cell(t, kind, rows[r], fields[c], view->columns[c].rate);
    }
}

/* ---- totals ---- */

struct part {
    const char *key;
    const char *title;
    bool rate;
};

static size_t put_part(char *out, size_t size, const struct part *part,
                       const struct td_sample *now,
                       const struct td_sample *before, uint64_t number)
{
    char amount[TD_SPAN_BYTES];
    double rate = 0;

    if (part->rate)
        td_sample_total_rate(&rate, now, before, part->key);
    td_amount(amount, part->rate ? rate : (double)number);
    return (size_t)snprintf(out, size, "%s %s%s", part->title, amount,
                            part->rate ? "/s" : "");
}

/* Requests only where there have been some. */
void td_view_totals(char out[TD_TOTALS_BYTES], const struct td_sample *now,
                    const struct td_sample *before)
{
    static const struct part parts[] = {
        {"published", "published", true},
        {"delivered", "delivered", true},
        {"pending", "pending", false},
        {"dropped", "dropped", true},
        {"requests.accepted", "requests", true},
        {"sessions", "sessions", false},
        {"away", "away", false},
    };
    size_t len = 0;

    out[0] = '\0';
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        uint64_t number = 0;

        td_sample_total(&number, now, parts[i].key);
        if (number == 0 && strchr(parts[i].key, '.'))
            continue;
        len += (size_t)snprintf(out + len, TD_TOTALS_BYTES - len, "%s",
                                i ? "  " : "");
        len += put_part(out + len, TD_TOTALS_BYTES - len, &parts[i], now,
                        before, number);
    }
}
