#include "client/publisher.h"

#include <stdlib.h>
#include <string.h>

#define CAP_MIN 512u
/* A closed batch keeps memory beside its body: counted, so that many tiny
 * batches meet the bound too. */
#define OVERHEAD_BYTES 256u
#define OPEN_EVENTS_MAX (TD_EVENTS_MAX / 4)
#define OPEN_RUNS_MAX (TD_RUNS_MAX / 2)

void td_publisher_init(struct td_publisher *p,
                       const uint8_t producer[TD_PRODUCER_BYTES],
                       struct td_str source, uint64_t events_max,
                       uint64_t bytes_max)
{
    memset(p, 0, sizeof(*p));
    memcpy(p->producer, producer, sizeof(p->producer));
    p->source = source;
    p->tail = &p->head;
    p->cap_hint = CAP_MIN;
    p->events_max = events_max;
    p->bytes_max = bytes_max;
}

static void outgoing_free(struct td_outgoing *out)
{
    td_body_unref(out->body);
    free(out);
}

void td_publisher_fini(struct td_publisher *p)
{
    while (p->head) {
        struct td_outgoing *next = p->head->next;

        outgoing_free(p->head);
        p->head = next;
    }
    td_body_unref(p->body);
    free(p->runs);
    td_buf_fini(&p->types);
    td_buf_fini(&p->table);
    memset(p, 0, sizeof(*p));
}

/* ---- packing ---- */

static bool room_in_body(struct td_publisher *p, size_t size)
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

static bool continues(const struct td_publisher *p, struct td_str type,
                      uint32_t flags)
{
    const struct td_open_run *run;

    if (p->runs_len == 0)
        return false;
    run = &p->runs[p->runs_len - 1];
    return run->type_len == type.len && run->flags == flags &&
           memcmp(p->types.data + run->type_at, type.data, type.len) == 0;
}

static bool begin_run(struct td_publisher *p, struct td_str type,
                      uint32_t flags)
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

tidings_err td_publisher_pack(struct td_publisher *p, struct td_str type,
                              uint32_t flags, int64_t time_us,
                              const void *data, size_t len,
                              struct td_str attrs)
{
    int64_t dt = p->events ? time_us - p->base_us : 0;
    size_t size = td_event_size(dt, len, attrs.len);
    struct td_open_run *run;

    if (p->held_events >= p->events_max || p->held_bytes >= p->bytes_max)
        return TIDINGS_EFULL;
    if (p->len + size > TD_BODY_BYTES_MAX) {
        tidings_err err = td_publisher_close(p);

        if (err)
            return err;
        dt = 0;
        size = td_event_size(dt, len, attrs.len);
    }
    if (!room_in_body(p, size) ||
        (!continues(p, type, flags) && !begin_run(p, type, flags)))
        return TIDINGS_ENOMEM;

    if (p->events == 0)
        p->base_us = time_us;
    td_event_put(p->data + p->len, dt, data, len, attrs);
    p->len += size;
    p->events++;
    p->sequence++;
    run = &p->runs[p->runs_len - 1];
    run->count++;
    run->bytes += (uint32_t)size;
    p->held_events++;
    p->held_bytes += size;
    return TIDINGS_OK;
}

bool td_publisher_is_full(const struct td_publisher *p)
{
    return p->len >= TD_BATCH_BYTES || p->events >= OPEN_EVENTS_MAX ||
           p->runs_len >= OPEN_RUNS_MAX;
}

/* ---- closing ---- */

static bool pack_table(struct td_publisher *p)
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
static struct td_body *closed_body(struct td_publisher *p)
{
    if (p->len < p->cap / 2)
        return td_body_copy(p->data, p->len);
    p->body->len = p->len;
    return td_body_ref(p->body);
}

static void begin_batch(struct td_publisher *p)
{
    p->cap_hint = p->len < CAP_MIN          ? CAP_MIN
                  : p->len < TD_BATCH_BYTES ? p->len + p->len / 4
                                            : TD_BATCH_BYTES + p->len / p->events;
    td_body_unref(p->body);
    p->body = NULL;
    p->data = NULL;
    p->len = p->cap = 0;
    p->events = p->runs_len = 0;
    td_buf_reset(&p->types);
}

tidings_err td_publisher_close(struct td_publisher *p)
{
    struct td_outgoing *out;

    if (p->events == 0)
        return TIDINGS_OK;
    if (!pack_table(p))
        return TIDINGS_ENOMEM;
    out = malloc(sizeof(*out) + p->table.len);
    if (!out)
        return TIDINGS_ENOMEM;
    memset(out, 0, sizeof(*out));
    out->body = closed_body(p);
    if (!out->body) {
        free(out);
        return TIDINGS_ENOMEM;
    }
    out->last = p->sequence;
    out->events = p->events;
    out->bytes = (uint32_t)p->len;
    out->wire_len = p->table.len;
    memcpy(out->wire, p->table.data, p->table.len);
    p->held_bytes += OVERHEAD_BYTES;
    p->unsent_bytes += out->bytes;
    *p->tail = out;
    p->tail = &out->next;
    if (!p->unsent)
        p->unsent = out;
    begin_batch(p);
    return TIDINGS_OK;
}

void td_publisher_sent(struct td_publisher *p)
{
    p->unsent->was_sent = true;
    if (p->unsent->last > p->sent)
        p->sent = p->unsent->last;
    p->unsent_bytes -= p->unsent->bytes;
    p->unsent = p->unsent->next;
}

void td_publisher_taken(struct td_publisher *p, uint64_t sequence)
{
    while (p->head && p->head->last <= sequence) {
        struct td_outgoing *out = p->head;

        if (p->unsent == out)
            td_publisher_sent(p); /* taken in an earlier session */
        p->taken = out->last;
        p->held_events -= out->events;
        p->held_bytes -= out->bytes + OVERHEAD_BYTES;
        p->head = out->next;
        if (!p->head)
            p->tail = &p->head;
        outgoing_free(out);
    }
}

uint64_t td_publisher_rewind(struct td_publisher *p)
{
    uint64_t again = 0;

    p->unsent = p->head;
    p->unsent_bytes = 0;
    for (struct td_outgoing *out = p->head; out; out = out->next) {
        p->unsent_bytes += out->bytes;
        again += out->was_sent ? out->events : 0;
    }
    return again;
}
