/* PUBLISH: check a message, skip what was taken before, and queue each batch
 * where it belongs.
 *
 * A batch has many runs and a run many subscriptions. Subscriptions that get
 * the same runs share one item: they are found by refinement, as a list of
 * classes that every run splits into those it matches and the others. */
#include "broker/engine/internal.h"

#include "proto/type.h"

#include <stdlib.h>
#include <string.h>

struct match_class {
    uint32_t parent;   /* the class it was split from */
    uint32_t run;      /* by this run: what it has and the parent has not */
    uint32_t depth;    /* runs it has in all */
    uint32_t split_by; /* run + 1 that splits it now; 0: none */
    uint32_t split_to;
    struct td_item *item;
};

struct td_router {
    struct match_class *classes; /* [0] has no runs */
    uint32_t classes_len;
    uint32_t classes_cap;
    struct td_sub **subs; /* all that any run matches */
    uint32_t subs_len;
    uint32_t subs_cap;
    uint64_t stamp; /* of the batch at hand */
    uint64_t unmatched;
    size_t offsets[TD_RUNS_MAX]; /* of each run in the body */
    struct td_run runs[TD_RUNS_MAX];
    struct td_buf table;
};

void td_router_free(struct td_router *r)
{
    if (!r)
        return;
    free(r->classes);
    free(r->subs);
    td_buf_fini(&r->table);
    free(r);
}

static bool grow(void **array, uint32_t *cap, uint32_t len, size_t size)
{
    uint32_t more = *cap ? *cap * 2 : 16;
    void *grown;

    if (len < *cap)
        return true;
    grown = realloc(*array, more * size);
    if (!grown)
        return false;
    *array = grown;
    *cap = more;
    return true;
}

/* ---- finding who gets what ---- */

static bool class_add(struct td_router *r, uint32_t parent, uint32_t run)
{
    struct match_class *c;

    if (!grow((void **)&r->classes, &r->classes_cap, r->classes_len,
              sizeof(*r->classes)))
        return false;
    c = &r->classes[r->classes_len++];
    memset(c, 0, sizeof(*c));
    c->parent = parent;
    c->run = run;
    if (r->classes_len > 1)
        c->depth = r->classes[parent].depth + 1;
    return true;
}

static bool sub_touch(struct td_router *r, struct td_sub *sub)
{
    if (sub->route_stamp == r->stamp)
        return true;
    if (!grow((void **)&r->subs, &r->subs_cap, r->subs_len, sizeof(*r->subs)))
        return false;
    sub->route_stamp = r->stamp;
    sub->route_class = 0;
    r->subs[r->subs_len++] = sub;
    return true;
}

/* Moves the subscription into the part of its class that run matches. */
static bool refine(struct td_router *r, struct td_sub *sub, uint32_t run)
{
    uint32_t from;

    if (!sub_touch(r, sub))
        return false;
    from = sub->route_class;
    if (r->classes[from].split_by != run + 1) {
        if (!class_add(r, from, run))
            return false;
        r->classes[from].split_by = run + 1;
        r->classes[from].split_to = r->classes_len - 1;
    }
    sub->route_class = r->classes[from].split_to;
    return true;
}

static bool find_classes(struct td_engine *e, const struct td_batch *batch,
                         size_t offset)
{
    struct td_router *r = e->router;

    r->stamp++;
    r->classes_len = r->subs_len = 0;
    r->unmatched = 0;
    if (!class_add(r, 0, 0))
        return false;
    for (uint32_t run = 0; run < batch->runs_len; run++) {
        const struct td_route *route =
            td_routes_find(&e->routes, &e->trie, batch->runs[run].type);

        if (!route)
            return false;
        if (route->len == 0)
            r->unmatched += batch->runs[run].count;
        for (uint32_t i = 0; i < route->len; i++) {
            if (!refine(r, (struct td_sub *)route->entries[i], run))
                return false;
        }
        r->offsets[run] = offset;
        offset += batch->runs[run].bytes;
    }
    return true;
}

/* ---- making items ---- */

/* The runs of a class, gathered into a body of their own. */
static struct td_item *gather(struct td_engine *e, const struct td_batch *batch,
                              struct td_body *body, uint32_t class)
{
    struct td_router *r = e->router;
    struct td_batch part = *batch;
    struct td_item *item;
    struct td_body *copy;
    uint8_t *to;

    part.runs = r->runs;
    part.runs_len = r->classes[class].depth;
    part.events = part.bytes = 0;
    for (uint32_t i = part.runs_len, c = class; i-- > 0;
         c = r->classes[c].parent) {
        r->runs[i] = batch->runs[r->classes[c].run];
        part.events += r->runs[i].count;
        part.bytes += r->runs[i].bytes;
    }
    td_buf_reset(&r->table);
    td_batch_pack(&r->table, &part);
    part.wire.data = (const char *)r->table.data;
    part.wire.len = r->table.len;
    copy = r->table.failed ? NULL : td_body_new(part.bytes, &to);
    if (!copy)
        return NULL;

    to += part.bytes;
    for (uint32_t c = class; r->classes[c].depth > 0;
         c = r->classes[c].parent) {
        uint32_t run = r->classes[c].run;

        to -= batch->runs[run].bytes;
        memcpy(to, body->data + r->offsets[run], batch->runs[run].bytes);
    }
    item = td_item_new(&part, copy, 0, &e->held_bytes);
    td_body_unref(copy); /* the item has its own reference */
    return item;
}

static uint64_t class_events(const struct td_router *r,
                             const struct td_batch *batch, uint32_t class)
{
    uint64_t events = 0;

    for (uint32_t c = class; r->classes[c].depth > 0; c = r->classes[c].parent)
        events += batch->runs[r->classes[c].run].count;
    return events;
}

static void push(struct td_engine *e, struct td_session *s,
                 const struct td_batch *batch, struct td_body *body,
                 size_t offset, struct td_sub *sub)
{
    struct td_router *r = e->router;
    struct match_class *c = &r->classes[sub->route_class];

    if (!c->item && c->depth == batch->runs_len)
        c->item = td_item_new(batch, body, offset, &e->held_bytes);
    else if (!c->item)
        c->item = gather(e, batch, body, sub->route_class);
    if (c->item)
        td_sub_push(e, sub, s, c->item);
    else
        td_sub_lose(e, sub, class_events(r, batch, sub->route_class));
}

static tidings_err route_batch(struct td_engine *e, struct td_session *s,
                               const struct td_batch *batch,
                               struct td_body *body, size_t offset)
{
    struct td_router *r = e->router;

    if (!find_classes(e, batch, offset))
        return TIDINGS_ENOMEM; /* and nothing has been queued */
    e->counters.unmatched += r->unmatched;
    e->counters.routed += batch->events - r->unmatched;
    for (uint32_t i = 0; i < r->subs_len; i++)
        push(e, s, batch, body, offset, r->subs[i]);
    for (uint32_t i = 0; i < r->classes_len; i++)
        td_item_unref(r->classes[i].item);
    return TIDINGS_OK;
}

/* ---- what was taken before ---- */

/* Cuts events off the front whose sequence is at or below taken; returns how
 * many, and moves *offset past them. What is left may be empty. */
static uint32_t skip_taken(struct td_engine *e, struct td_batch *batch,
                           const struct td_body *body, size_t *offset,
                           uint64_t taken)
{
    uint32_t skipped = 0;
    uint32_t n = 0;

    for (uint32_t i = 0; i < batch->runs_len; i++) {
        struct td_run run = batch->runs[i];
        uint64_t old = run.first > taken ? 0 : taken - run.first + 1;
        const uint8_t *p = body->data + *offset;
        uint32_t cut = old < run.count ? (uint32_t)old : run.count;
        uint32_t bytes = (uint32_t)(td_events_skip(p, p + run.bytes, cut) - p);

        *offset += n == 0 ? bytes : 0;
        skipped += cut;
        run.first += cut;
        run.count -= cut;
        run.bytes -= bytes;
        if (run.count > 0)
            e->runs[n++] = run;
        batch->events -= cut;
        batch->bytes -= bytes;
    }
    batch->runs = e->runs;
    batch->runs_len = n;
    td_buf_reset(&e->cut);
    td_batch_pack(&e->cut, batch);
    batch->wire.data = (const char *)e->cut.data;
    batch->wire.len = e->cut.len;
    return skipped;
}

static tidings_err take_batch(struct td_engine *e, struct td_session *s,
                              struct td_batch *batch, struct td_body *body,
                              size_t offset)
{
    struct td_producer *p = s->producer;
    const struct td_run *last_run = &batch->runs[batch->runs_len - 1];
    uint64_t last = last_run->first + last_run->count - 1;
    uint32_t skipped = 0;
    tidings_err err = TIDINGS_OK;

    if (batch->runs[0].first <= p->taken) {
        skipped = skip_taken(e, batch, body, &offset, p->taken);
        if (e->cut.failed)
            return TIDINGS_ENOMEM;
    }
    if (batch->runs_len > 0)
        err = route_batch(e, s, batch, body, offset);
    if (err)
        return err;
    e->counters.published += skipped + batch->events;
    e->counters.duplicates += skipped;
    if (last > p->taken)
        p->taken = last;
    return TIDINGS_OK;
}

/* ---- the message ---- */

static tidings_err decode(struct td_engine *e, const struct td_frame *f,
                          const struct td_body *body, const char **why)
{
    struct td_str wire = f->u.publish.batches;

    return e->options.trusted
               ? td_batches_read(&e->batches, wire, body->len, why)
               : td_batches_decode(&e->batches, wire, body->data, body->len,
                                   why);
}

/* What the codec cannot know: whose batches these may be. */
static const char *check(const struct td_engine *e, const struct td_session *s)
{
    uint64_t next = 1;

    for (uint32_t i = 0; i < e->batches.len; i++) {
        const struct td_batch *b = &e->batches.batch[i];
        const struct td_run *last = &b->runs[b->runs_len - 1];

        if (memcmp(b->producer.data, s->producer->id, TD_PRODUCER_BYTES) != 0)
            return "batch of another producer than the session's";
        if (b->runs[0].first < next)
            return "sequences do not rise";
        next = last->first + last->count;
    }
    for (uint32_t i = 0; i < e->batches.runs_len; i++) {
        const struct td_str *type = &e->batches.runs[i].type;

        if (td_type_is_system(type->data, type->len))
            return "types beginning with $ are the system's";
    }
    return NULL;
}

static void breach(struct td_engine *e, struct td_session *s, const char *why)
{
    e->counters.breaches++;
    td_session_doom(e, s, TD_DROP_SESSION_LOST, TIDINGS_EPROTO, why);
}

void td_publish(struct td_engine *e, struct td_session *s,
                const struct td_frame *f, struct td_body *body)
{
    const char *why = "unknown PUBLISH flags";
    tidings_err err = TIDINGS_OK;
    size_t offset = 0;

    if (!e->router)
        e->router = calloc(1, sizeof(*e->router));
    if (!e->router) {
        td_session_doom(e, s, TD_DROP_SESSION_LOST, TIDINGS_ENOMEM,
                        "broker is out of memory");
        return;
    }
    if (f->u.publish.flags <= TD_PUBLISH_ASK && !decode(e, f, body, &why))
        why = check(e, s);
    if (why) {
        e->counters.bad_frames++;
        td_session_doom(e, s, TD_DROP_SESSION_LOST, TIDINGS_EPROTO, why);
        return;
    }
    s->events_in += e->batches.events;
    s->bytes_in += e->batches.bytes;
    if (s->events_in > s->events_limit || s->bytes_in > s->bytes_limit) {
        breach(e, s, "published beyond credit");
        return;
    }
    for (uint32_t i = 0; i < e->batches.len && !err; i++) {
        uint32_t bytes = e->batches.batch[i].bytes;

        err = take_batch(e, s, &e->batches.batch[i], body, offset);
        offset += bytes;
    }
    if (err) {
        td_session_doom(e, s, TD_DROP_SESSION_LOST, err,
                        "broker is out of memory");
        return;
    }
    td_session_owe(e, s, f->u.publish.flags & TD_PUBLISH_ASK);
    td_sub_keep_memory(e);
}
