#include "client/pages.h"

#include <string.h>

#include "proto/frame.h"
#include "proto/option.h"

void td_pages_fini(struct td_pages *p)
{
    td_registry_fini(&p->known);
    memset(p, 0, sizeof(*p));
}

bool td_pages_whole(const struct td_pages *p)
{
    return p->begun && p->seen == p->revision && p->known.len == p->total;
}

bool td_pages_wait(const struct td_pages *p)
{
    return p->ended && p->seen < p->revision;
}

/* ---- pages ---- */

/* What a page says besides its rows. */
struct page {
    uint64_t revision;
    uint64_t total;
    struct td_reader rows;
    uint32_t len;
};

static bool read_page(struct page *page, struct td_str map)
{
    struct td_str list;

    page->revision = page->total = 0;
    if (!td_map_uint(map, "revision", &page->revision) ||
        !td_map_uint(map, "services_total", &page->total) ||
        !td_map_find(map, "services", &list))
        return false;
    page->rows = td_reader_of(list.data, list.len);
    return td_read_array(&page->rows, &page->len);
}

static tidings_err put_rows(struct td_registry *to, struct page *page)
{
    tidings_err err = TIDINGS_OK;
    struct td_str map;

    for (uint32_t i = 0; !err && i < page->len; i++)
        err = td_read_raw(&page->rows, &map) ? td_registry_put(to, map)
                                             : TIDINGS_EPROTO;
    return err;
}

/* No event comes before a page that did not know it, and pages come in order. */
static tidings_err check_order(struct td_pages *p, uint64_t revision)
{
    if (revision < p->seen || revision < p->revision)
        return TIDINGS_ELOST;
    if (!p->begun)
        p->seen = revision;
    p->begun = true;
    if (p->from == 0)
        p->pass = revision;
    return TIDINGS_OK;
}

/* While nothing changes one pass has all of it. */
static tidings_err end_pass(struct td_pages *p)
{
    bool quiet = p->pass == p->revision && p->seen == p->revision;
    tidings_err err = TIDINGS_OK;

    p->from = 0;
    p->ended = true;
    if (quiet && !td_pages_whole(p))
        err = p->again ? TIDINGS_ELOST : TIDINGS_EPROTO;
    p->again = true;
    return err;
}

tidings_err td_pages_take(struct td_pages *p, struct td_str map)
{
    struct page page;
    tidings_err err;

    if (!read_page(&page, map))
        return TIDINGS_EPROTO;
    err = check_order(p, page.revision);
    if (!err)
        err = put_rows(&p->known, &page);
    if (err)
        return err;
    p->revision = page.revision;
    p->total = page.total;
    p->ended = false;
    p->from += page.len;
    return page.len == 0 || p->from >= page.total ? end_pass(p) : TIDINGS_OK;
}

/* ---- events ---- */

tidings_err td_change_apply(struct td_registry *r, enum td_change change,
                            struct td_str map)
{
    return change == TD_CHANGE_DOWN ? td_registry_remove(r, map)
                                    : td_registry_put(r, map);
}

static void count(struct td_pages *p, enum td_change change)
{
    if (change == TD_CHANGE_UP)
        p->total++;
    else if (change == TD_CHANGE_DOWN && p->total > 0)
        p->total--;
}

tidings_err td_pages_change(struct td_pages *p, enum td_change change,
                            uint64_t revision, struct td_str map)
{
    tidings_err err;

    if (!p->begun) {
        p->seen = revision > p->seen ? revision : p->seen;
        return TIDINGS_OK; /* the first page has it, or is too old */
    }
    if (revision <= p->seen)
        return TIDINGS_OK;
    if (revision != p->seen + 1)
        return TIDINGS_ELOST;
    err = td_change_apply(&p->known, change, map);
    if (err)
        return err;
    p->seen = revision;
    if (revision > p->revision) { /* else the page has counted it */
        p->revision = revision;
        count(p, change);
    }
    return TIDINGS_OK;
}
