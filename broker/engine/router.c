/* Where the runs of a batch go, and to whom.
 *
 * A batch has many runs and a run many groups (a plain subscription is one of
 * its own). Those that get the same runs share one item: they are found by
 * refinement, as a list of classes that every run splits into those it matches
 * and the others. */
#include "broker/engine/internal.h"

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
    struct td_group **groups; /* all that any run matches */
    uint32_t groups_len;
    uint32_t groups_cap;
    uint64_t stamp;              /* of the batch at hand */
    size_t offsets[TD_RUNS_MAX]; /* of each run in the body */
    struct td_run runs[TD_RUNS_MAX];
    struct td_buf table;
};

bool td_router_make(struct td_engine *e)
{
    if (!e->router)
        e->router = calloc(1, sizeof(*e->router));
    return e->router;
}

void td_router_free(struct td_router *r)
{
    if (!r)
        return;
    free(r->classes);
    free(r->groups);
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

static bool touch(struct td_router *r, struct td_group *g)
{
    if (g->route_stamp == r->stamp)
        return true;
    if (!grow((void **)&r->groups, &r->groups_cap, r->groups_len,
              sizeof(*r->groups)))
        return false;
    g->route_stamp = r->stamp;
    g->route_class = 0;
    r->groups[r->groups_len++] = g;
    return true;
}

/* Moves the group into the part of its class that run matches. */
static bool refine(struct td_router *r, struct td_group *g, uint32_t run)
{
    uint32_t from;

    if (!touch(r, g))
        return false;
    from = g->route_class;
    if (r->classes[from].split_by != run + 1) {
        if (!class_add(r, from, run))
            return false;
        r->classes[from].split_by = run + 1;
        r->classes[from].split_to = r->classes_len - 1;
    }
    g->route_class = r->classes[from].split_to;
    return true;
}

/* Counts a run, for its type and in total; uint64_t wraps, so that times -1 it
 * is taken back. */
static void count(struct td_engine *e, struct td_type_count *type,
                  const struct td_run *run, bool routed, uint64_t times)
{
    uint64_t events = run->count * times;

    type->published += events;
    type->bytes += run->bytes * times;
    e->counters.published += events;
    if (routed) {
        type->routed += events;
        e->counters.routed += events;
    } else {
        type->unmatched += events;
        e->counters.unmatched += events;
    }
}

static bool find_run(struct td_engine *e, const struct td_batch *batch,
                     uint32_t run)
{
    struct td_route *route =
        td_routes_find(&e->routes, &e->trie, batch->runs[run].type);

    if (!route)
        return false;
    for (uint32_t i = 0; i < route->len; i++) {
        if (!refine(e->router, (struct td_group *)route->entries[i], run))
            return false;
    }
    e->taking[run] = td_stream_of(e, route);
    count(e, &route->count, &batch->runs[run], route->len > 0, 1);
    return true;
}

/* There was no memory for all of the batch, so none of it is taken. */
static void uncount(struct td_engine *e, const struct td_batch *batch,
                    uint32_t runs)
{
    while (runs-- > 0) {
        const struct td_run *run = &batch->runs[runs];
        bool routed;
        struct td_type_count *type =
            td_routes_counted(&e->routes, &e->trie, run->type, &routed);

        count(e, type, run, routed, (uint64_t)-1);
    }
}

static bool find_classes(struct td_engine *e, const struct td_batch *batch,
                         size_t offset)
{
    struct td_router *r = e->router;

    r->stamp++;
    r->classes_len = r->groups_len = 0;
    if (!class_add(r, 0, 0))
        return false;
    for (uint32_t run = 0; run < batch->runs_len; run++) {
        if (!find_run(e, batch, run)) {
            uncount(e, batch, run);
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
                 size_t offset, struct td_group *g)
{
    struct td_router *r = e->router;
    struct match_class *c = &r->classes[g->route_class];
    /* A body is kept whole, so only for what is most of it: otherwise a few
     * bytes that wait would hold a megabyte that nobody counts. */
    bool keeps = batch->bytes >= body->len / 2;

    if (!c->item && c->depth == batch->runs_len && keeps)
        c->item = td_item_new(batch, body, offset, &e->held_bytes);
    else if (!c->item)
        c->item = gather(e, batch, body, g->route_class);
    if (c->item)
        td_group_push(e, g, s, c->item);
    else
        td_group_lose(e, g, class_events(r, batch, g->route_class));
}

static tidings_err route_all(struct td_engine *e, struct td_session *s,
                             const struct td_batch *batch, struct td_body *body,
                             size_t offset)
{
    struct td_router *r = e->router;

    if (!find_classes(e, batch, offset))
        return TIDINGS_ENOMEM; /* and nothing has been queued */
    for (uint32_t i = 0; i < r->groups_len; i++)
        push(e, s, batch, body, offset, r->groups[i]);
    for (uint32_t i = 0; i < r->classes_len; i++)
        td_item_unref(r->classes[i].item);
    return TIDINGS_OK;
}

/* What is left of a batch, in which runs have other places, was routed: those
 * that have expired count as nobody's, and streams take them all the same. */
static void count_expired(struct td_engine *e, const struct td_batch *batch,
                          const struct td_batch *left)
{
    uint32_t at = 0;

    for (uint32_t i = 0; i < batch->runs_len; i++) {
        struct td_run gone = batch->runs[i];
        uint64_t end = gone.first + gone.count;
        struct td_route *route;

        for (; at < left->runs_len && left->runs[at].first < end; at++) {
            gone.count -= left->runs[at].count;
            gone.bytes -= left->runs[at].bytes;
        }
        count(e, td_routes_count(&e->routes, &e->trie, gone.type), &gone, false,
              1);
        e->counters.expirytime += gone.count;
        route = td_routes_find(&e->routes, &e->trie, gone.type);
        e->taking[i] = route ? td_stream_of(e, route) : NULL;
    }
}

tidings_err td_router_take(struct td_engine *e, struct td_session *s,
                           const struct td_batch *batch, struct td_body *body,
                           size_t offset)
{
    struct td_unexpired left;
    tidings_err err = TIDINGS_OK;

    if (!td_expiry_leave_out(e, batch, body, offset, &left))
        return route_all(e, s, batch, body, offset);
    if (left.batch.runs_len > 0)
        err = route_all(e, s, &left.batch, left.body, 0);
    if (!err)
        count_expired(e, batch, &left.batch);
    td_body_unref(left.body);
    return err;
}
