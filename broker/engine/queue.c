#include "broker/engine/queue.h"

#include <stdlib.h>
#include <string.h>

/* ---- items ---- */

static size_t strings_size(const struct td_batch *batch)
{
    size_t size = batch->producer.len + batch->source.len + batch->wire.len;

    for (uint32_t i = 0; i < batch->runs_len; i++)
        size += batch->runs[i].type.len;
    return size;
}

static void keep(struct td_str *str, char **to)
{
    memcpy(*to, str->data, str->len);
    str->data = *to;
    *to += str->len;
}

struct td_item *td_item_new(const struct td_batch *batch, struct td_body *body,
                            size_t offset, size_t *held)
{
    size_t runs_size = batch->runs_len * sizeof(struct td_run);
    size_t size = sizeof(struct td_item) + runs_size + strings_size(batch);
    struct td_item *item = malloc(size);
    struct td_run *runs = (struct td_run *)(item + 1);
    char *strings = (char *)runs + runs_size;

    if (!item)
        return NULL;
    item->refs = 1;
    item->batch = *batch;
    item->batch.runs = runs;
    keep(&item->batch.producer, &strings);
    keep(&item->batch.source, &strings);
    keep(&item->batch.wire, &strings);
    memcpy(runs, batch->runs, runs_size);
    for (uint32_t i = 0; i < batch->runs_len; i++)
        keep(&runs[i].type, &strings);
    item->body = td_body_ref(body);
    item->offset = offset;
    item->cost = size + batch->bytes;
    item->held = held;
    *held += item->cost;
    return item;
}

void td_item_unref(struct td_item *item)
{
    if (!item || --item->refs > 0)
        return;
    *item->held -= item->cost;
    td_body_unref(item->body);
    free(item);
}

/* ---- the ring ---- */

static struct td_item *item_at(const struct td_queue *q, uint32_t nth)
{
    return q->ring[(q->head + nth) & (q->cap - 1)];
}

static bool grow(struct td_queue *q)
{
    uint32_t cap = q->cap ? q->cap * 2 : 8;
    struct td_item **ring = malloc(cap * sizeof(struct td_item *));

    if (!ring)
        return false;
    for (uint32_t i = 0; i < q->len; i++)
        ring[i] = item_at(q, i);
    free(q->ring);
    q->ring = ring;
    q->cap = cap;
    q->head = 0;
    return true;
}

tidings_err td_queue_push(struct td_queue *q, struct td_item *item)
{
    if (q->len == q->cap && !grow(q))
        return TIDINGS_ENOMEM;
    item->refs++;
    q->ring[(q->head + q->len++) & (q->cap - 1)] = item;
    q->events += item->batch.events;
    q->bytes += item->cost;
    return TIDINGS_OK;
}

static void pop(struct td_queue *q)
{
    struct td_item *item = item_at(q, 0);

    q->events -= item->batch.events - q->taken;
    q->bytes -= item->cost;
    q->run = q->event = q->offset = q->taken = 0;
    q->head = (q->head + 1) & (q->cap - 1);
    q->len--;
    td_item_unref(item);
}

void td_queue_fini(struct td_queue *q)
{
    while (q->len > 0)
        pop(q);
    free(q->ring);
    memset(q, 0, sizeof(*q));
}

uint64_t td_queue_drop(struct td_queue *q, uint64_t events, uint64_t bytes)
{
    uint64_t before = q->events;
    struct td_slice slice;
    struct td_run runs[1];

    while (q->len > 0 && q->bytes > bytes)
        pop(q);
    while (q->len > 0 &&
           q->events >= events + (item_at(q, 0)->batch.events - q->taken))
        pop(q);
    /* The rest is part of one item: run by run. */
    while (q->events > events &&
           td_queue_slice(q, &slice, runs, 1, q->events - events, UINT64_MAX))
        td_queue_advance(q, &slice);
    return before - q->events;
}

/* ---- taking ---- */

/* The part of a run that fits: fewer events, and their bytes. */
static bool cut(struct td_run *run, uint32_t skip, uint32_t skipped_bytes,
                const uint8_t *data, uint64_t events, uint64_t bytes)
{
    const uint8_t *end;
    const uint8_t *p = data;
    uint32_t n = 0;

    run->count -= skip;
    run->bytes -= skipped_bytes;
    run->first += skip;
    if (run->count <= events && run->bytes <= bytes)
        return true;

    end = data + run->bytes;
    while (n < run->count && n < events) {
        const uint8_t *next = td_events_skip(p, end, 1);

        if (!next || (uint64_t)(next - data) > bytes)
            break;
        p = next;
        n++;
    }
    run->count = n;
    run->bytes = (uint32_t)(p - data);
    return n > 0;
}

/* Bytes of the runs before the one where the queue stands. */
static uint32_t runs_before(const struct td_item *item, uint32_t run)
{
    uint32_t bytes = 0;

    for (uint32_t i = 0; i < run; i++)
        bytes += item->batch.runs[i].bytes;
    return bytes;
}

bool td_queue_slice(const struct td_queue *q, struct td_slice *out,
                    struct td_run *runs, uint32_t runs_max, uint64_t events,
                    uint64_t bytes)
{
    struct td_item *item = item_at(q, 0);
    uint32_t run = q->run;
    uint32_t skip = q->event;
    uint32_t skipped = skip ? q->offset - runs_before(item, run) : 0;

    memset(out, 0, sizeof(*out));
    out->item = item;
    out->runs = runs;
    out->data = item->body->data + item->offset + q->offset;
    while (run < item->batch.runs_len && out->runs_len < runs_max) {
        struct td_run *to = &runs[out->runs_len];
        uint32_t had;

        *to = item->batch.runs[run];
        had = to->count - skip;
        if (events == out->events ||
            !cut(to, skip, skipped, out->data + out->bytes,
                 events - out->events, bytes - out->bytes))
            break;
        out->runs_len++;
        out->events += to->count;
        out->bytes += to->bytes;
        if (to->count < had)
            break;
        skip = skipped = 0;
        run++;
    }
    out->whole = out->events == item->batch.events;
    out->ends = q->taken + out->events == item->batch.events;
    return out->events > 0;
}

void td_queue_advance(struct td_queue *q, const struct td_slice *slice)
{
    const struct td_item *item = slice->item;

    for (uint32_t i = 0; i < slice->runs_len; i++) {
        q->event += slice->runs[i].count;
        if (q->event == item->batch.runs[q->run].count) {
            q->run++;
            q->event = 0;
        }
    }
    q->taken += slice->events;
    q->offset += slice->bytes;
    q->events -= slice->events;
    if (q->taken == item->batch.events)
        pop(q);
}
