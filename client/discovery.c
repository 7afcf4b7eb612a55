#include "client/discovery.h"

#include "client/bus.h"
#include "proto/batch.h"
#include "proto/option.h"

#include <stdlib.h>
#include <string.h>

#define PATTERN "$service.*"

static void end_question(struct td_bus *b)
{
    struct td_discovery *d = &b->discovery;

    if (!d->listing)
        return;
    d->listing = false;
    td_client_withdraw(&b->client, &d->question);
    free(d->question.result);
    d->question.result = NULL;
}

static void end_listing(struct td_bus *b)
{
    end_question(b);
    td_pages_fini(&b->discovery.next);
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
    td_option_pack_uint(&pk, "from", d->next.from);
    if (d->options.failed)
        return; /* at the next step */
    d->question.name = "service.list";
    d->question.options.data = (const char *)d->options.data;
    d->question.options.len = d->options.len;
    d->listing = true;
    d->moved_ms = b->client.now_ms;
    td_client_question(&b->client, &d->question, TD_CALL);
    td_bus_touched(b);
}

static void finish(struct td_discovery *d)
{
    td_registry_fini(&d->copy);
    d->copy = d->next.known;
    d->copy.revision = d->next.seen;
    memset(&d->next, 0, sizeof(d->next));
    d->whole = d->fresh = true;
}

/* What was learnt of it has come to something, or to nothing. */
static void look(struct td_bus *b, tidings_err err)
{
    struct td_discovery *d = &b->discovery;

    if (err == TIDINGS_EPROTO || err == TIDINGS_ELIMIT)
        td_client_break(&b->client, "the broker sent a malformed registry");
    if (err)
        td_pages_fini(&d->next);
    else if (td_pages_whole(&d->next))
        finish(d);
    d->moved_ms = b->client.now_ms;
}

/* A page has come. */
static void on_page(struct td_bus *b)
{
    struct td_discovery *d = &b->discovery;
    struct td_question *q = &d->question;

    td_client_withdraw(&b->client, q);
    d->listing = false;
    d->err = q->code;
    if (!d->err)
        d->err =
            td_pages_take(&d->next, (struct td_str){q->result, q->result_len});
    free(q->result);
    q->result = NULL;
    look(b, d->err);
    if (d->err == TIDINGS_ELOST)
        d->err = TIDINGS_OK;
}

/* Events that are long in coming will not come. */
static bool may_ask(struct td_bus *b)
{
    struct td_discovery *d = &b->discovery;

    if (b->client.state != TD_CLIENT_READY || d->fresh || d->listing ||
        d->err || d->sub->state != TD_CSUB_LIVE)
        return false;
    if (td_pages_wait(&d->next) &&
        b->client.now_ms - d->moved_ms >= TD_HEARTBEAT_MS)
        td_pages_fini(&d->next);
    return !td_pages_wait(&d->next);
}

static void set_lost(struct td_bus *b)
{
    struct td_discovery *d = &b->discovery;

    end_listing(b);
    d->err = TIDINGS_OK; /* another broker may have another answer */
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
    if (may_ask(b))
        ask(b);
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
    b->discovery.fresh = false;
}

/* ---- events ---- */

static const struct {
    const char *type;
    enum td_change change;
} changes[] = {
    {"$service.up", TD_CHANGE_UP},
    {"$service.health", TD_CHANGE_HEALTH},
    {"$service.down", TD_CHANGE_DOWN},
};

/* false: not of the registry. */
static bool change_of(enum td_change *out, struct td_str type)
{
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        if (td_bytes_equal(type, td_str_of(changes[i].type))) {
            *out = changes[i].change;
            return true;
        }
    }
    return false;
}

/* To a list that is being read. */
static void learn(struct td_bus *b, enum td_change change, uint64_t revision,
                  struct td_str map)
{
    struct td_discovery *d = &b->discovery;
    bool begun = d->next.begun;

    look(b, td_pages_change(&d->next, change, revision, map));
    if (begun && !d->next.begun)
        end_question(b); /* for a page of a list that is over */
}

/* false: something is missing, or malformed. */
static bool follow(struct td_registry *copy, enum td_change change,
                   uint64_t revision, struct td_str map)
{
    if (revision <= copy->revision)
        return true; /* the list had it */
    if (revision != copy->revision + 1)
        return false;
    copy->revision = revision;
    return !td_change_apply(copy, change, map);
}

static void apply(struct td_bus *b, enum td_change change, struct td_str map)
{
    struct td_discovery *d = &b->discovery;
    uint64_t revision = 0;

    if (!td_scan(map.data, map.len, &td_scan_data) ||
        !td_map_uint(map, "revision", &revision) || revision == 0)
        td_discovery_missed(b);
    else if (!d->fresh)
        learn(b, change, revision, map);
    else if (!follow(&d->copy, change, revision, map))
        td_discovery_missed(b);
}

/* One run; false: it is malformed. */
static bool take_run(struct td_bus *b, const struct td_run *run,
                     const uint8_t **p, const uint8_t *end)
{
    struct td_event event;
    enum td_change change = TD_CHANGE_UP;
    bool is_change = change_of(&change, run->type);

    for (uint32_t i = 0; i < run->count; i++) {
        if (!td_event_open(&event, p, end))
            return false;
        if (is_change)
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
