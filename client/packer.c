#include "client/packer.h"

#include "proto/type.h"

#include <stdlib.h>
#include <string.h>

#define CAP_MIN         512u
#define OPEN_EVENTS_MAX (TD_EVENTS_MAX / 4)
#define OPEN_RUNS_MAX   (TD_RUNS_MAX / 2)
#define WAITERS_MIN     8u

void td_packer_init(struct td_packer *p,
                    const uint8_t producer[TD_PRODUCER_BYTES],
                    struct td_str source)
{
    memset(p, 0, sizeof(*p));
    memcpy(p->producer, producer, sizeof(p->producer));
    p->source = source;
    p->closed_tail = &p->closed;
    p->cap_hint = CAP_MIN;
}

void td_packer_fini(struct td_packer *p)
{
    while (p->closed) {
        struct td_outgoing *next = p->closed->next;

        td_outgoing_free(p->closed);
        p->closed = next;
    }
    td_body_unref(p->body);
    free(p->runs);
    free(p->waiters);
    td_buf_fini(&p->types);
    td_buf_fini(&p->table);
    memset(p, 0, sizeof(*p));
}

/* ---- packing ---- */

static bool room_in_body(struct td_packer *p, size_t size)
{
    size_t cap = p->cap ? p->cap : p->cap_hint;
    struct td_body *body;
    uint8_t *data;

    if (size <= p->cap - p->len)
        return true;
    while (cap < p->len + size)
        cap *= 2;
    body = td_body_new(cap, &data);
    if (!body)
        return false;
    if (p->len)
        memcpy(data, p->data, p->len);
    td_body_unref(p->body);
    p->body = body;
    p->data = data;
    p->cap = cap;
    return true;
}

static bool continues(const struct td_packer *p, struct td_str type,
                      uint32_t flags)
{
    const struct td_open_run *run;

    if (p->runs_len == 0)
        return false;
    run = &p->runs[p->runs_len - 1];
    return run->type_len == type.len && run->flags == flags &&
           memcmp(p->types.data + run->type_at, type.data, type.len) == 0;
}

static bool begin_run(struct td_packer *p, struct td_str type, uint32_t flags)
{
    struct td_open_run *run;

    if (p->runs_len == p->runs_cap) {
        uint32_t cap = p->runs_cap ? p->runs_cap * 2 : 8;
        struct td_open_run *runs = realloc(p->runs, cap * sizeof(*runs));

        if (!runs)
            return false;
        p->runs = runs;
        p->runs_cap = cap;
    }
    run = &p->runs[p->runs_len];
    memset(run, 0, sizeof(*run));
    run->type_at = (uint32_t)p->types.len;
    run->type_len = (uint32_t)type.len;
    run->flags = flags;
    run->first = p->sequence + 1;
    td_buf_append(&p->types, type.data, type.len);
    if (p->types.failed) {
        p->types.failed = false;
        return false;
    }
    p->runs_len++;
    return true;
}

static bool room_for_waiter(struct td_packer *p)
{
    size_t cap = p->waiters_cap ? p->waiters_cap * 2 : p->waiters_hint;
    struct td_waiter *waiters;

    if (p->waiters_len < p->waiters_cap)
        return true;
    if (cap < WAITERS_MIN)
        cap = WAITERS_MIN;
    waiters = realloc(p->waiters, cap * sizeof(*waiters));
    if (!waiters)
        return false;
    p->waiters = waiters;
    p->waiters_cap = cap;
    return true;
}

static void put_waiter(struct td_packer *p, const struct td_packing *e)
{
    struct td_waiter *w = &p->waiters[p->waiters_len++];

    w->sequence = p->sequence;
    w->call = e->on_confirm;
    w->arg = e->arg;
    p->packed_bytes += TD_WAITER_BYTES;
}

static void put(struct td_packer *p, const struct td_packing *e, int64_t dt,
                size_t size)
{
    struct td_open_run *run = &p->runs[p->runs_len - 1];

    td_event_put(p->data + p->len, dt, e->data, e->len, e->attrs);
    p->len += size;
    p->events++;
    p->sequence++;
    run->count++;
    run->bytes += (uint32_t)size;
    p->packed_events++;
    p->packed_bytes += size;
    if (e->on_confirm)
        put_waiter(p, e);
}

/* false: without memory it cannot be closed, and the event is of another. */
static bool is_level(struct td_packer *p, enum tidings_level level)
{
    if (level != p->level && p->events > 0)
        td_packer_close(p);
    if (p->events == 0)
        p->level = level;
    return p->level == level;
}

/* The same for its sequence. */
static bool is_next(struct td_packer *p, uint64_t sequence)
{
    if (sequence == 0 || sequence == p->sequence + 1)
        return true;
    td_packer_close(p);
    if (p->events > 0)
        return false;
    p->sequence = sequence - 1;
    return true;
}

static tidings_err pack(struct td_packer *p, const struct td_packing *e)
{
    int64_t dt;
    size_t size;

    if (!is_next(p, e->sequence) || !is_level(p, e->level))
        return TIDINGS_ENOMEM;
    dt = p->events ? e->time_us - p->base_us : 0;
    size = td_event_size(dt, e->len, e->attrs.len);
    if (p->len + size > TD_BODY_BYTES_MAX || p->events == TD_EVENTS_MAX ||
        p->runs_len == TD_RUNS_MAX)
        return TIDINGS_EFULL;
    if (!room_in_body(p, size) || (e->on_confirm && !room_for_waiter(p)))
        return TIDINGS_ENOMEM;
    if (!continues(p, e->type, e->flags)) { /* if it does, it was checked */
        if (!td_type_valid(e->type.data, e->type.len) ||
            td_type_is_system(e->type.data, e->type.len))
            return TIDINGS_EINVAL;
        if (!begin_run(p, e->type, e->flags))
            return TIDINGS_ENOMEM;
    }
    if (p->events == 0) {
        p->base_us = e->time_us;
        p->packed_bytes += TD_OUTGOING_BYTES;
    }
    put(p, e, dt, size);
    return TIDINGS_OK;
}

tidings_err td_packer_pack(struct td_packer *p, const struct td_packing *e)
{
    uint64_t before = p->sequence;
    tidings_err err = pack(p, e);

    if (err)
        p->sequence = before;
    return err;
}

/* The open batch is as if it had never been begun. */
static void discard(struct td_packer *p)
{
    p->sequence -= p->events;
    p->packed_events -= p->events;
    if (p->events > 0)
        p->packed_bytes -=
            p->len + TD_OUTGOING_BYTES + p->waiters_len * TD_WAITER_BYTES;
    p->len = p->events = p->runs_len = 0;
    p->waiters_len = 0;
    td_buf_reset(&p->types);
}

tidings_err td_packer_pack_apart(struct td_packer *p,
                                 const struct td_packing *events, size_t len,
                                 const struct td_apart *apart)
{
    uint64_t before = p->sequence;
    tidings_err err = TIDINGS_OK;
    struct td_outgoing **tail;

    td_packer_close(p);
    if (p->events > 0)
        return TIDINGS_ENOMEM;
    for (size_t i = 0; i < len && !err; i++)
        err = td_packer_pack(p, &events[i]);
    tail = p->closed_tail;
    if (!err)
        td_packer_close(p);
    if (!err && p->events > 0)
        err = TIDINGS_ENOMEM;
    if (err) {
        discard(p);
        p->sequence = before;
        return err == TIDINGS_EFULL ? TIDINGS_ELIMIT : err;
    }
    (*tail)->atomic = true;
    (*tail)->expects = apart->expects;
    (*tail)->expected = apart->expected;
    (*tail)->of_key = apart->of_key;
    (*tail)->due = apart->due;
    return TIDINGS_OK;
}

bool td_packer_is_full(const struct td_packer *p)
{
    return p->len >= TD_BATCH_BYTES || p->events >= OPEN_EVENTS_MAX ||
           p->runs_len >= OPEN_RUNS_MAX;
}

/* ---- closing ---- */

static bool pack_table(struct td_packer *p)
{
    struct td_run *runs = malloc(p->runs_len * sizeof(*runs));
    struct td_batch batch = {
        .producer = {(const char *)p->producer, sizeof(p->producer)},
        .source = p->source,
        .base_us = p->base_us,
        .runs = runs,
        .runs_len = p->runs_len,
    };

    if (!runs)
        return false;
    for (uint32_t i = 0; i < p->runs_len; i++) {
        const struct td_open_run *from = &p->runs[i];

        runs[i].type.data = (const char *)p->types.data + from->type_at;
        runs[i].type.len = from->type_len;
        runs[i].count = from->count;
        runs[i].bytes = from->bytes;
        runs[i].first = from->first;
        runs[i].flags = from->flags;
    }
    td_buf_reset(&p->table);
    td_batches_begin(&p->table, 1);
    td_batch_pack(&p->table, &batch);
    free(runs);
    return !p->table.failed;
}

/* The open body at its true size: copied when most of it is empty. */
static struct td_body *closed_body(struct td_packer *p)
{
    if (p->len < p->cap / 2)
        return td_body_copy(p->data, p->len);
    p->body->len = p->len;
    return td_body_ref(p->body);
}

static void begin_batch(struct td_packer *p)
{
    p->cap_hint = p->len + p->len / 16;
    if (p->cap_hint < CAP_MIN)
        p->cap_hint = CAP_MIN;
    td_body_unref(p->body);
    p->body = NULL;
    p->data = NULL;
    p->len = p->cap = 0;
    p->events = p->runs_len = 0;
    p->waiters_hint = p->waiters_len;
    p->waiters = NULL; /* the batch has them */
    p->waiters_len = p->waiters_cap = 0;
    td_buf_reset(&p->types);
}

void td_packer_close(struct td_packer *p)
{
    struct td_outgoing *out;

    if (p->events == 0 || !pack_table(p))
        return;
    out = td_outgoing_new(p->events, p->level, p->table.len);
    if (!out)
        return;
    out->body = closed_body(p);
    if (!out->body) {
        td_outgoing_free(out);
        return;
    }
    out->last = p->sequence;
    out->base_us = p->base_us;
    out->bytes = (uint32_t)p->len;
    out->waiters = p->waiters;
    out->waiters_len = p->waiters_len;
    memcpy(out->wire, p->table.data, p->table.len);
    *p->closed_tail = out;
    p->closed_tail = &out->next;
    p->closed_bytes += p->len;
    begin_batch(p);
}

struct td_outgoing *td_packer_take(struct td_packer *p)
{
    struct td_outgoing *list = p->closed;

    p->closed = NULL;
    p->closed_tail = &p->closed;
    p->closed_bytes = 0;
    return list;
}
