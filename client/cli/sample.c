#include "client/cli/sample.h"

#include <stdlib.h>
#include <string.h>

#include "client/cli/stop.h"

#define NAME_BYTES 64 /* of a map among the totals */

const struct td_kind td_kinds[TD_KINDS] = {
    {"types",
     1,
     {{"type", false, false},
      {"published", true, true},
      {"routed", true, true},
      {"unmatched", true, true},
      {"duplicates", true, true},
      {"bytes", true, true},
      {NULL, false, false}}},
    {"subscriptions",
     2,
     {{"session", true, false},
      {"subscription", true, false},
      {"name", false, false},
      {"pattern", false, false},
      {"group", false, false},
      {"policy", false, false},
      {"matched", true, true},
      {"delivered", true, true},
      {"pending", true, false},
      {"dropped", true, true},
      {"blocked_ms", true, false},
      {NULL, false, false}}},
    {"groups",
     2,
     {{"pattern", false, false},
      {"group", false, false},
      {"group_policy", false, false},
      {"policy", false, false},
      {"members", true, false},
      {"matched", true, true},
      {"delivered", true, true},
      {"pending", true, false},
      {"dropped", true, true},
      {"blocked_ms", true, false},
      {NULL, false, false}}},
    {"sessions",
     1,
     {{"session", true, false},
      {"name", false, false},
      {"subscriptions", true, false},
      {"away_ms", true, false},
      {"published", true, true},
      {"pending", true, false},
      {"queued_bytes", true, false},
      {"blocked_ms", true, false},
      {"withheld_ms", true, false},
      {NULL, false, false}}},
    {"streams",
     1,
     {{"stream", false, false},
      {"first", true, false},
      {"last", true, true},
      {"events", true, false},
      {"bytes", true, false},
      {"groups", true, false},
      {NULL, false, false}}},
    {"consumers",
     2,
     {{"stream", false, false},
      {"group", false, false},
      {"state", false, false},
      {"members", true, false},
      {"delivered", true, true},
      {"redelivered", true, true},
      {"acked", true, true},
      {"failed", true, true},
      {"lag", true, false},
      {"in_flight", true, false},
      {"waiting", true, false},
      {"dead", true, false},
      {"parks", true, false},
      {NULL, false, false}}},
};

const struct td_kind *td_kind_of(const char *name)
{
    for (size_t i = 0; i < TD_KINDS; i++) {
        if (strcmp(td_kinds[i].name, name) == 0)
            return &td_kinds[i];
    }
    return NULL;
}

size_t td_field_of(const struct td_kind *kind, const char *key)
{
    for (size_t i = 0; kind->fields[i].key; i++) {
        if (strcmp(kind->fields[i].key, key) == 0)
            return i;
    }
    return TD_FIELDS_MAX;
}

void td_sample_fini(struct td_sample *sample)
{
    td_pages_fini(&sample->pages);
    free(sample->rows);
    free(sample->by_name);
    *sample = (struct td_sample){0};
}

/* ---- taking ---- */

/* What a row does not say is 0 or "". */
static bool read_row(void *arg, struct tidings_value map)
{
    struct td_sample *s = arg;
    struct td_row *row = &s->rows[s->len++];

    for (size_t i = 0; s->kind->fields[i].key; i++) {
        struct tidings_value value;

        if (s->kind->fields[i].number)
            td_count(&row->cells[i].number, map, s->kind->fields[i].key);
        else if (!tidings_get(&value, map, s->kind->fields[i].key))
            tidings_as_string(&row->cells[i].text, &row->cells[i].text_len,
                              value);
    }
    return s->len < s->pages.rows_len;
}

static const struct td_kind *compared; /* of the rows that qsort() has */

static int compare(const void *left, const void *right)
{
    const struct td_row *a = *(struct td_row *const *)left;
    const struct td_row *b = *(struct td_row *const *)right;
    int order = 0;

    for (size_t i = 0; i < compared->names && order == 0; i++) {
        size_t a_len = a->cells[i].text_len, b_len = b->cells[i].text_len;
        size_t len = a_len < b_len ? a_len : b_len;

        if (compared->fields[i].number)
            order = (a->cells[i].number > b->cells[i].number) -
                    (a->cells[i].number < b->cells[i].number);
        else if (len)
            order = memcmp(a->cells[i].text, b->cells[i].text, len);
        if (order == 0)
            order = (a_len > b_len) - (a_len < b_len);
    }
    return order;
}

tidings_err td_sample_take(struct td_sample *out, tidings_bus *bus,
                           const struct td_kind *kind, int timeout_ms)
{
    struct td_sample s = {.kind = kind};
    tidings_err err = td_pages_fetch(&s.pages, bus, kind->name, timeout_ms);

    if (err)
        return err;
    s.at_us = td_clock_us();
    s.rows = calloc(s.pages.rows_len + 1, sizeof(*s.rows));
    s.by_name = calloc(s.pages.rows_len + 1, sizeof(*s.by_name));
    if (!s.rows || !s.by_name) {
        td_sample_fini(&s);
        return TIDINGS_ENOMEM;
    }
    if (s.pages.rows_len)
        td_pages_each(&s.pages, read_row, &s);
    for (size_t i = 0; i < s.len; i++)
        s.by_name[i] = &s.rows[i];
    compared = kind;
    qsort(s.by_name, s.len, sizeof(*s.by_name), compare);
    *out = s;
    return TIDINGS_OK;
}

/* ---- rates ---- */

static double seconds_between(const struct td_sample *now,
                              const struct td_sample *before)
{
    if (!before->kind || before->pages.epoch != now->pages.epoch)
        return 0;
    return (double)(now->at_us - before->at_us) / 1e6;
}

void td_sample_rates(struct td_sample *now, const struct td_sample *before)
{
    double seconds = seconds_between(now, before);

    if (seconds <= 0 || before->kind != now->kind)
        return;
    compared = now->kind;
    for (size_t r = 0; r < now->len; r++) {
        struct td_row *row = &now->rows[r];
        struct td_row **old =
            bsearch(&row, before->by_name, before->len, sizeof(row), compare);

        for (size_t i = 0; now->kind->fields[i].key; i++) {
            uint64_t was = old ? (*old)->cells[i].number : 0;
            uint64_t is = row->cells[i].number;

            if (now->kind->fields[i].rated && is > was)
                row->cells[i].rate = (double)(is - was) / seconds;
        }
    }
}

static bool only_grows(const char *key)
{
    static const char *const others[] = {"epoch",
                                         "uptime_ms",
                                         "sessions",
                                         "away",
                                         "pending",
                                         "_bytes",
                                         "types_cached",
                                         "withheld",
                                         "_total",
                                         "kept_events",
                                         "lag",
                                         "unsettled",
                                         "dead",
                                         "parked",
                                         "requests",
                                         "requests.in_flight",
                                         "requests.instances"};
    size_t len = strlen(key);

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        size_t tail = strlen(others[i]);

        if (strcmp(key, others[i]) == 0 ||
            (others[i][0] == '_' && len > tail &&
             strcmp(key + len - tail, others[i]) == 0))
            return false;
    }
    return true;
}

tidings_err td_sample_total(uint64_t *out, const struct td_sample *sample,
                            const char *key)
{
    struct tidings_value map = td_pages_totals(&sample->pages);
    const char *dot = strchr(key, '.');
    char name[NAME_BYTES];
    tidings_err err;

    if (!dot)
        return td_count(out, map, key);
    if ((size_t)(dot - key) >= sizeof(name))
        return TIDINGS_ENOTFOUND;
    memcpy(name, key, (size_t)(dot - key));
    name[dot - key] = '\0';
    err = tidings_get(&map, map, name);
    return err ? err : td_count(out, map, dot + 1);
}

bool td_sample_total_rate(double *out, const struct td_sample *now,
                          const struct td_sample *before, const char *key)
{
    double seconds = seconds_between(now, before);
    uint64_t is, was;

    if (seconds <= 0 || !only_grows(key) || td_sample_total(&is, now, key) ||
        td_sample_total(&was, before, key) || is < was)
        return false;
    *out = (double)(is - was) / seconds;
    return true;
}
