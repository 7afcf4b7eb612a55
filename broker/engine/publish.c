/* PUBLISH: check a message, skip what was taken before, and queue each batch
 * where it belongs. */
#include "broker/engine/internal.h"

#include "proto/type.h"

#include <string.h>

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
        err = td_router_take(e, s, batch, body, offset);
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
        err = td_router_take(e, s, batch, body, offset);
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

void td_publish_own(struct td_engine *e, const struct td_batch *batch,
                    struct td_body *body, size_t offset)
{
    if (td_router_make(e))
        td_router_take(e, NULL, batch, body, offset); /* or it is not told */
}

void td_publish(struct td_engine *e, struct td_session *s,
                const struct td_frame *f, struct td_body *body)
{
    struct asking asking = {0};
    const char *why = "unknown PUBLISH flags";
    tidings_err err = TIDINGS_OK;
    size_t offset = 0;

    if (!td_router_make(e)) {
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
