#include "client/discovery.h"

#include "client/bus.h"
#include "proto/batch.h"
#include "proto/option.h"

#include <stdlib.h>
#include <string.h>

#define PATTERN "$service.*"

static void end_listing(struct td_bus *b)
{
    struct td_discovery *d = &b->discovery;

    if (!d->listing)
        return;
    d->listing = false;
    td_client_withdraw(&b->client, &d->question);
    free(d->question.result);
    td_registry_fini(&d->next);
}

void td_discovery_fini(struct td_bus *b)
{
    struct td_discovery *d = &b->discovery;

    end_listing(b);
    td_registry_fini(&d->copy);
    td_buf_fini(&d->options);
    free(d->tables);
}

tidings_err td_discovery_begin(struct td_bus *b)
{
    static const struct tidings_sub_options defaults;
    struct td_discovery *d = &b->discovery;

    if (d->sub && d->sub->state == TD_CSUB_REFUSED) {
        td_client_forget(&b->client, d->sub); /* it may do better now */
        d->sub = NULL;
    }
    if (d->sub)
        return TIDINGS_OK;
    if (!d->tables)
        d->tables = malloc(sizeof(*d->tables));
    if (!d->tables)
        return TIDINGS_ENOMEM;
    return td_client_subscribe(&b->client, &d->sub, PATTERN, &defaults);
}

/* ---- the list ---- */

static void ask(struct td_bus *b)
{
    struct td_discovery *d = &b->discovery;
    msgpack_packer pk;

    td_buf_reset(&d->options);
    msgpack_packer_init(&pk, &d->options, td_buf_pack_write);
    msgpack_pack_map(&pk, 1);
    td_option_pack_uint(&pk, "from", d->from);
    if (d->options.failed)
        return; /* at the next step */
    d->question.name = "service.list";
    d->question.options.data = (const char *)d->options.data;
    d->question.options.len = d->options.len;
    d->listing = true;
    td_client_question(&b->client, &d->question, TD_CALL);
    td_bus_touched(b);
}

static tidings_err put_rows(struct td_registry *to, struct td_reader *rows,
                            uint32_t len)
{
    tidings_err err = TIDINGS_OK;
    struct td_str map;

    while (!err && len-- > 0)
        err =
            td_read_raw(rows, &map) ? td_registry_put(to, map) : TIDINGS_EPROTO;
    return err;
}

/* What a page says besides its rows. */
struct page {
    uint64_t revision;
    uint64_t total;
    struct td_reader rows;
    uint32_t len;
};

static bool read_page(const struct td_question *q, struct page *page)
{
    struct td_str map = {q->result, q->result_len};
    struct td_str list;

    page->revision = page->total = 0;
    if (!td_map_uint(map, "revision", &page->revision) ||
        !td_map_uint(map, "services_total", &page->total) ||
        !td_map_find(map, "services", &list))
        return false;
    page->rows = td_reader_of(list.data, list.len);
    return td_read_array(&page->rows, &page->len);
}

static void finish(struct td_discovery *d)
{
    td_registry_fini(&d->copy);
    d->copy = d->next;
    memset(&d->next, 0, sizeof(d->next));
    d->whole = d->fresh = true;
}

/* Pages of several revisions are none of one registry: it begins anew. */
static tidings_err take_page(struct td_bus *b, struct td_question *q)
{
    struct td_discovery *d = &b->discovery;
    tidings_err err = q->code;
    struct page page;

    if (!err && !read_page(q, &page))
        err = TIDINGS_EPROTO;
    if (err)
        return err;
    if (d->from == 0)
        d->next.revision = page.revision;
    if (d->next.revision != page.revision) {
        td_registry_fini(&d->next);
        d->from = 0;
        return TIDINGS_OK;
    }
    err = put_rows(&d->next, &page.rows, page.len);
    if (err)
        return err;
    d->from += page.len;
    if (page.len > 0 && d->from < page.total)
        return TIDINGS_OK;
    d->from = 0;
    if (d->seen > d->next.revision) /* that event was not to come before */
        td_registry_fini(&d->next);
    else
        finish(d);
    return TIDINGS_OK;
}

/* A page has come: the next one, or the end. */
static void on_page(struct td_bus *b)
{
    struct td_discovery *d = &b->discovery;

    td_client_withdraw(&b->client, &d->question);
    d->listing = false;
    d->err = take_page(b, &d->question);
    free(d->question.result);
    d->question.result = NULL;
    if (d->err == TIDINGS_EPROTO || d->err == TIDINGS_ELIMIT)
        td_client_break(&b->client, "the broker sent a malformed registry");
    if (d->err) {
        td_registry_fini(&d->next);
        d->from = 0;
    }
}

static void set_lost(struct td_bus *b)
{
    struct td_discovery *d = &b->discovery;

    end_listing(b);
    d->err = TIDINGS_OK; /* another broker may have another answer */
    d->from = 0;
    d->fresh = false;
    d->connects = b->client.connects;
}

void td_discovery_step(struct td_bus *b)
{
    struct td_discovery *d = &b->discovery;
    bool ready = b->client.state == TD_CLIENT_READY;

    if (!d->sub)
        return;
    if (!ready || d->connects != b->client.connects)
        set_lost(b);
    if (d->listing && d->question.done)
        on_page(b);
    if (ready && !d->fresh && !d->listing && !d->err &&
        d->sub->state == TD_CSUB_LIVE) {
        if (d->from == 0)
            d->seen = 0;
        ask(b);
    }
    td_registry_set_stale(&d->copy, !d->fresh);
}

bool td_discovery_is_true(const struct td_bus *b)
{
    return b->discovery.fresh && b->client.state == TD_CLIENT_READY &&
           b->discovery.connects == b->client.connects;
}

void td_discovery_missed(struct td_bus *b)
{
    end_listing(b);
    b->discovery.from = 0;
    b->discovery.fresh = false;
}

/* ---- events ---- */

enum change {
    CHANGE_NONE, /* of the registry */
    CHANGE_PUT,
    CHANGE_REMOVE
};

static enum change change_of(struct td_str type)
{
    if (td_bytes_equal(type, td_str_of("$service.down")))
        return CHANGE_REMOVE;
    if (td_bytes_equal(type, td_str_of("$service.up")) ||
        td_bytes_equal(type, td_str_of("$service.health")))
        return CHANGE_PUT;
    return CHANGE_NONE;
}

static void apply(struct td_bus *b, enum change change, struct td_str map)
{
    struct td_discovery *d = &b->discovery;
    uint64_t revision = 0;
    tidings_err err = TIDINGS_EPROTO;

    if (td_scan(map.data, map.len, &td_scan_data) &&
        td_map_uint(map, "revision", &revision) && revision > 0)
        err = TIDINGS_OK;
    if (!err && !d->fresh) {
        d->seen = revision > d->seen ? revision : d->seen;
        return;
    }
    if (!err && revision <= d->copy.revision)
        return; /* the list had it */
    if (!err && revision == d->copy.revision + 1) {
        err = change == CHANGE_PUT ? td_registry_put(&d->copy, map)
                                   : td_registry_remove(&d->copy, map);
        d->copy.revision = revision;
        if (!err)
            return;
    }
    td_discovery_missed(b);
}

/* One run; false: it is malformed. */
static bool take_run(struct td_bus *b, const struct td_run *run,
                     const uint8_t **p, const uint8_t *end)
{
    enum change change = change_of(run->type);
    struct td_event event;

    for (uint32_t i = 0; i < run->count; i++) {
        if (!td_event_open(&event, p, end))
            return false;
        if (change != CHANGE_NONE)
            apply(b, change, event.data);
    }
    return *p == end;
}

static bool take_batches(struct td_bus *b, const struct td_delivery *d)
{
    struct td_batches *tables = b->discovery.tables;
    const uint8_t *p = (const uint8_t *)d->body.data;
    const char *why;

    if (td_batches_read(tables, d->batches, d->body.len, &why))
        return false;
    for (uint32_t i = 0; i < tables->len; i++) {
        const struct td_batch *batch = &tables->batch[i];

        for (uint32_t k = 0; k < batch->runs_len; k++) {
            if (!take_run(b, &batch->runs[k], &p, p + batch->runs[k].bytes))
                return false;
        }
    }
    return true;
}

void td_discovery_take(struct td_bus *b, const struct td_delivery *d)
{
    if (!take_batches(b, d))
        td_client_break(&b->client, "the broker sent a malformed batch");
    td_client_handled(&b->client, d->sub, b->client.incarnation, d->events,
                      d->body.len);
}
