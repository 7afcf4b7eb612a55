/* PUBLISH: check a message, skip what was taken before, and queue each batch
 * where it belongs.
 *
 * A batch has many runs and a run many groups (a plain subscription is one of
 * its own). Those that get the same runs share one item: they are found by refinement, as a list of
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
    struct td_group **groups; /* all that any run matches */
    uint32_t groups_len;
    uint32_t groups_cap;
    uint64_t stamp;              /* of the batch at hand */
    size_t offsets[TD_RUNS_MAX]; /* of each run in the body */
    struct td_run runs[TD_RUNS_MAX];
    struct td_buf table;
};

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

static tidings_err route_batch(struct td_engine *e, struct td_session *s,
                               const struct td_batch *batch,
                               struct td_body *body, size_t offset)
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

/* What a PUBLISH asks for beside being taken. */
struct asking {
    unsigned level;
    struct td_condition condition;
    bool later; /* it waits until … */
    int64_t due_ms;
};

/* ---- what was taken before ---- */

/* How many of a run's events were taken before. */
static uint32_t old_events(const struct td_run *run, uint64_t taken)
{
    uint64_t old = run->first > taken ? 0 : taken - run->first + 1;

    return old < run->count ? (uint32_t)old : run->count;
}

static void count_duplicates(struct td_engine *e, const struct td_run *runs,
                             uint32_t runs_len, uint64_t taken)
{
    for (uint32_t i = 0; i < runs_len; i++) {
        uint32_t events = old_events(&runs[i], taken);
        struct td_type_count *type;

        if (events == 0)
            continue;
        type = td_routes_count(&e->routes, &e->trie, runs[i].type);
        type->published += events;
        type->duplicates += events;
        e->counters.published += events;
        e->counters.duplicates += events;
    }
}

/* Cuts events off the front whose sequence is at or below taken, and moves
 * *offset past them. What is left may be empty. */
static void skip_taken(struct td_engine *e, struct td_batch *batch,
                       const struct td_body *body, size_t *offset,
                       uint64_t taken)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < batch->runs_len; i++) {
        struct td_run run = batch->runs[i];
        const uint8_t *p = body->data + *offset;
        uint32_t cut = old_events(&run, taken);
        const uint8_t *end = td_events_skip(p, p + run.bytes, cut);
        uint32_t bytes = end ? (uint32_t)(end - p) : run.bytes;

        if (!end)
            cut = run.count; /* it lies, where bodies are not walked */
        *offset += n == 0 ? bytes : 0;
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
}

/* Of a batch that is taken as a whole or not at all a part was seen before, and
 * not the rest: to store it would store that part twice. */
static bool is_partly_old(const struct td_producer *p,
                          const struct td_batch *batch, uint64_t last)
{
    uint64_t first = batch->runs[0].first;

    return (first <= p->taken && last > p->taken) ||
           (!td_stored_has(&p->stored, last) &&
            (td_stored_has(&p->stored, first) ||
             td_stored_alike(&p->stored, first, last - first + 1) <
                 last - first + 1));
}

/* What is stored of it stays so. */
static void refuse_partly_old(struct td_engine *e, struct td_session *s,
                              const struct td_batch *batch, unsigned level)
{
    struct td_producer *p = s->producer;
    const struct td_run *run = &batch->runs[batch->runs_len - 1];
    uint64_t last = run->first + run->count - 1;

    for (uint32_t i = 0; i < batch->runs_len && level > 0; i++) {
        struct td_confirm row = {.first = batch->runs[i].first,
                                 .count = batch->runs[i].count,
                                 .code = TIDINGS_ECONFLICT};

        td_confirm(e, s, 0, NULL, &row);
    }
    if (last > p->taken) {
        td_stored_lose(&p->stored, p->taken + 1, last);
        p->taken = last;
    }
}

/* It was not taken before, or is not stored; the condition is judged. */
static tidings_err take_conditional(struct td_engine *e, struct td_session *s,
                                    struct td_batch *batch,
                                    struct td_body *body, size_t offset,
                                    const struct asking *asking)
{
    struct td_producer *p = s->producer;
    const struct td_run *run = &batch->runs[batch->runs_len - 1];
    uint64_t last = run->first + run->count - 1;
    bool before = last <= p->taken;
    tidings_err err = TIDINGS_OK;
    tidings_err judged;

    if (before && td_stored_has(&p->stored, last)) {
        td_append_again(e, s, batch, body, offset, p->taken, asking->level);
        count_duplicates(e, batch->runs, batch->runs_len, p->taken);
        return TIDINGS_OK;
    }
    judged = td_append_judge(e, s, batch, body, offset, asking->level,
                             &asking->condition);
    if (judged == TIDINGS_EEXIST)
        count_duplicates(e, batch->runs, batch->runs_len, last);
    if (!judged && !before)
        err = route_batch(e, s, batch, body, offset);
    if (!judged && !err)
        td_append(e, s, batch, body, offset, asking->level);
    if (!err && last > p->taken)
        p->taken = last;
    return err;
}

/* It was not accepted before, or not all of it; nothing is routed now. */
static tidings_err take_scheduled(struct td_engine *e, struct td_session *s,
                                  struct td_batch *batch, struct td_body *body,
                                  size_t offset, const struct asking *asking)
{
    struct td_producer *p = s->producer;
    const struct td_run *run = &batch->runs[batch->runs_len - 1];
    uint64_t last = run->first + run->count - 1;

    if (last <= p->taken && td_stored_has(&p->stored, last)) {
        td_schedule_again(e, s, batch, body, offset, asking->level);
        count_duplicates(e, batch->runs, batch->runs_len, p->taken);
    } else {
        td_schedule_accept(e, s, batch, body, offset, asking->level,
                           asking->due_ms);
    }
    if (last > p->taken)
        p->taken = last;
    return TIDINGS_OK;
}

static tidings_err take_batch(struct td_engine *e, struct td_session *s,
                              struct td_batch *batch, struct td_body *body,
                              size_t offset, const struct asking *asking)
{
    struct td_producer *p = s->producer;
    unsigned level = asking->level;
    const struct td_run *last_run = &batch->runs[batch->runs_len - 1];
    uint64_t last = last_run->first + last_run->count - 1;
    const struct td_run *runs = batch->runs;
    uint32_t runs_len = batch->runs_len;
    tidings_err err = TIDINGS_OK;

    if ((asking->later || asking->condition.set) &&
        is_partly_old(p, batch, last)) {
        refuse_partly_old(e, s, batch, level);
        return TIDINGS_OK;
    }
    if (asking->later)
        return take_scheduled(e, s, batch, body, offset, asking);
    if (asking->condition.set)
        return take_conditional(e, s, batch, body, offset, asking);
    if (runs[0].first <= p->taken) {
        if (level > 0)
            td_append_again(e, s, batch, body, offset, p->taken, level);
        skip_taken(e, batch, body, &offset, p->taken);
        if (e->cut.failed)
            return TIDINGS_ENOMEM;
    }
    if (batch->runs_len > 0)
        err = route_batch(e, s, batch, body, offset);
    if (err)
        return err;
    if (batch->runs_len > 0 && (e->streams.all || level > 0))
        td_append(e, s, batch, body, offset, level);
    count_duplicates(e, runs, runs_len, p->taken);
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

/* The level of confirms, and the condition. A text when they cannot be. */
static const char *read_asking(const struct td_engine *e,
                               const struct td_frame *f, struct asking *out)
{
    struct td_str options = f->u.publish.options;
    struct td_condition *c = &out->condition;
    struct td_str value;
    const char *key;

    out->level = (unsigned)(f->u.publish.flags >> TD_PUBLISH_LEVEL_SHIFT) & 3;
    c->of_key = td_map_find(options, "expect_key", &value);
    key = c->of_key ? "expect_key" : "expect";
    c->expects = td_map_find(options, key, &value);
    c->set = c->expects || (f->u.publish.flags & TD_PUBLISH_ATOMIC);
    if (!c->set)
        return NULL;
    if (!td_map_uint(options, key, &c->expected))
        return "expect and expect_key are sequences";
    if (c->of_key && td_map_find(options, "expect", &value))
        return "expect or expect_key, not both";
    if (out->level == 0 || e->batches.len != 1)
        return "a condition is for one batch, and for a confirm";
    return NULL;
}

/* When it is to be published. A text when that cannot be. */
static const char *read_due(struct td_engine *e, const struct td_frame *f,
                            struct asking *out)
{
    struct td_str options = f->u.publish.options;
    struct td_str value;
    bool after = td_map_find(options, "after_ms", &value);
    uint64_t ms = 0;

    out->later = after || td_map_find(options, "at_ms", &value);
    if (!out->later)
        return NULL;
    if (!td_map_uint(options, after ? "after_ms" : "at_ms", &ms) ||
        ms > TD_DUE_MS_MAX)
        return "at_ms and after_ms are milliseconds, to the year 9999 at most";
    if (out->level == 0 || e->batches.len != 1)
        return "at_ms and after_ms are for one batch, and for a confirm";
    if (out->condition.expects)
        return "at_ms and after_ms go with no other condition than atomic";
    out->due_ms = (int64_t)ms + (after ? td_engine_unix_ms(e) : 0);
    if (out->due_ms > TD_DUE_MS_MAX)
        out->due_ms = TD_DUE_MS_MAX;
    return NULL;
}

static void breach(struct td_engine *e, struct td_session *s, const char *why)
{
    e->counters.breaches++;
    td_session_doom(e, s, TD_DROP_SESSION_LOST, TIDINGS_EPROTO, why);
}

static bool has_router(struct td_engine *e)
{
    if (!e->router)
        e->router = calloc(1, sizeof(*e->router));
    return e->router;
}

void td_publish_own(struct td_engine *e, const struct td_batch *batch,
                    struct td_body *body, size_t offset)
{
    if (has_router(e))
        route_batch(e, NULL, batch, body, offset); /* or it is not told */
}

void td_publish(struct td_engine *e, struct td_session *s,
                const struct td_frame *f, struct td_body *body)
{
    struct asking asking = {0};
    const char *why = "unknown PUBLISH flags";
    tidings_err err = TIDINGS_OK;
    size_t offset = 0;

    if (!has_router(e)) {
        td_session_doom(e, s, TD_DROP_SESSION_LOST, TIDINGS_ENOMEM,
                        "broker is out of memory");
        return;
    }
    if (f->u.publish.flags <= TD_PUBLISH_FLAGS_ALL && !decode(e, f, body, &why))
        why = check(e, s);
    if (!why)
        why = read_asking(e, f, &asking);
    if (!why)
        why = read_due(e, f, &asking);
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

        err = take_batch(e, s, &e->batches.batch[i], body, offset, &asking);
        offset += bytes;
    }
    if (err) {
        td_session_doom(e, s, TD_DROP_SESSION_LOST, err,
                        "broker is out of memory");
        return;
    }
    s->published += e->batches.events;
    td_session_owe(e, s, f->u.publish.flags & TD_PUBLISH_ASK);
    td_memory_keep(e);
}
