#include "client/cli/pages.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRIES 3 /* restarts of the broker while it was asked */

void td_pages_fini(struct td_pages *pages)
{
    for (size_t i = 0; i < pages->len; i++)
        tidings_free(pages->list[i].data);
    free(pages->list);
    *pages = (struct td_pages){0};
}

static tidings_err wrong(const char *what)
{
    char text[100];

    snprintf(text, sizeof(text), "the broker's counters lack %s", what);
    tidings_set_detail(text);
    return TIDINGS_EPROTO;
}

/* The list of a kind; a gauge may go by the same name ("sessions"). */
static void find_rows(struct td_page *page, const char *kind)
{
    struct tidings_value key, value;
    const char *name;
    size_t len;

    for (size_t i = 0; !tidings_pair_at(&key, &value, page->map, i); i++) {
        if (!tidings_as_string(&name, &len, key) && len == strlen(kind) &&
            memcmp(name, kind, len) == 0 &&
            tidings_value_kind(value) == TIDINGS_KIND_ARRAY) {
            page->rows = value;
            page->rows_len = tidings_value_count(value);
        }
    }
}

/* Takes data, also when it fails. */
static tidings_err add_page(struct td_pages *p, void *data, size_t len)
{
    struct td_page page = {.data = data};
    struct td_page *list;
    uint64_t epoch;

    if (tidings_value_read(&page.map, data, len) ||
        tidings_get_uint(&epoch, page.map, "epoch")) {
        tidings_free(data);
        return wrong("an epoch");
    }
    find_rows(&page, p->kind);
    list = realloc(p->list, (p->len + 1) * sizeof(*list));
    if (!list) {
        tidings_free(data);
        return TIDINGS_ENOMEM;
    }
    p->list = list;
    p->list[p->len++] = page;
    p->rows_len += page.rows_len;
    if (p->len == 1)
        p->epoch = epoch;
    return epoch == p->epoch ? TIDINGS_OK : TIDINGS_EEXIST;
}

static bool is_last(struct td_pages *p)
{
    const struct td_page *last = &p->list[p->len - 1];
    char key[32];

    snprintf(key, sizeof(key), "%s_total", p->kind);
    if (tidings_get_uint(&p->rows_total, last->map, key))
        p->rows_total = p->rows_len;
    return last->rows_len == 0 || p->rows_len >= p->rows_total ||
           p->rows_len >= TD_ROWS_MAX;
}

/* TIDINGS_EEXIST: another broker answered than at first. */
static tidings_err fetch(struct td_pages *p, tidings_bus *bus, int timeout_ms)
{
    tidings_err err;

    do {
        void *data;
        size_t len;

        err = tidings_stats_rows(&data, &len, bus, p->kind, p->rows_len,
                                 timeout_ms);
        if (!err)
            err = add_page(p, data, len);
    } while (!err && !is_last(p));
    return err;
}

tidings_err td_pages_fetch(struct td_pages *out, tidings_bus *bus,
                           const char *kind, int timeout_ms)
{
    struct td_pages p = {0};
    tidings_err err = TIDINGS_EEXIST;

    for (int i = 0; i < TRIES && err == TIDINGS_EEXIST; i++) {
        td_pages_fini(&p);
        p.kind = kind;
        err = fetch(&p, bus, timeout_ms);
    }
    if (err == TIDINGS_EEXIST) {
        tidings_set_detail("the broker is restarted again and again");
        err = TIDINGS_EUNREACH;
    }
    if (err)
        td_pages_fini(&p);
    else
        *out = p;
    return err;
}

struct tidings_value td_pages_totals(const struct td_pages *pages)
{
    return pages->list[0].map;
}

bool td_pages_each(const struct td_pages *pages,
                   bool (*each)(void *arg, struct tidings_value row), void *arg)
{
    for (size_t i = 0; i < pages->len; i++) {
        const struct td_page *page = &pages->list[i];
        struct tidings_value row;

        for (size_t r = 0; r < page->rows_len; r++) {
            if (!tidings_at(&row, page->rows, r) && !each(arg, row))
                return false;
        }
    }
    return true;
}

tidings_err td_count(uint64_t *out, struct tidings_value map, const char *key)
{
    struct tidings_value value, name, item;
    uint64_t sum = 0, number;
    tidings_err err = tidings_get(&value, map, key);

    if (err || tidings_value_kind(value) != TIDINGS_KIND_MAP)
        return err ? err : tidings_as_uint(out, value);
    for (size_t i = 0; !tidings_pair_at(&name, &item, value, i); i++) {
        err = tidings_as_uint(&number, item);
        if (err)
            return err;
        sum += number;
    }
    *out = sum;
    return TIDINGS_OK;
}
