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
    if (str->len > 0)
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
    item->sequence = 0;
    item->cost = size + batch->bytes;
    item->share = (size + batch->events - 1) / batch->events;
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

/* ---- pieces ---- */

struct td_piece td_piece_of(struct td_item *item)
{
    const struct td_piece piece = {
        .item = item,
        .events = item->batch.events,
        .bytes = item->batch.bytes,
    };

    return piece;
}

bool td_piece_is_whole(const struct td_piece *piece)
{
    return piece->events == piece->item->batch.events;
}

const uint8_t *td_piece_data(const struct td_piece *piece)
{
    const struct td_item *item = piece->item;

    return item->body->data + item->offset + piece->offset;
}

uint64_t td_piece_cost(const struct td_piece *piece)
{
    return piece->bytes + (uint64_t)piece->events * piece->item->share;
}

/* Where a walk over an item's events stands. */
struct place {
    uint32_t run;
    uint32_t event;
    uint32_t offset;
    uint32_t run_end; /* offset of the run's last byte and one */
};

static struct place place_of(const struct td_piece *piece)
{
    const struct td_batch *batch = &piece->item->batch;
    struct place at = {piece->run, piece->event, piece->offset, 0};

    for (uint32_t i = 0; i <= piece->run; i++)
        at.run_end += batch->runs[i].bytes;
    return at;
}

static void next_run(struct place *at, const struct td_batch *batch)
{
    at->offset = at->run_end;
    at->event = 0;
    if (++at->run < batch->runs_len)
        at->run_end += batch->runs[at->run].bytes;
}

/* Events of the run at hand that fit, one by one; moves past them. */
static uint32_t walk(struct place *at, const struct td_piece *piece,
                     uint32_t count, uint64_t events, uint64_t bytes)
{
    const uint8_t *data = piece->item->body->data + piece->item->offset;
    const uint8_t *end = data + at->run_end;
    const uint8_t *from = data + at->offset;
    const uint8_t *p = from;
    uint32_t n = 0;

    while (n < count && n < events) {
        const uint8_t *next = td_events_skip(p, end, 1);

        if (!next || (uint64_t)(next - from) > bytes)
            break;
        p = next;
        n++;
    }
    at->event += n;
    at->offset += (uint32_t)(p - from);
    return n;
}

bool td_piece_cut(const struct td_piece *piece, uint64_t events, uint64_t bytes,
                  uint32_t runs, struct td_piece *front, struct td_piece *rest)
{
    const struct td_batch *batch = &piece->item->batch;
    struct place at;

    *front = *rest = *piece;
    rest->events = rest->bytes = 0;
    if (piece->events <= events && piece->bytes <= bytes &&
        batch->runs_len - piece->run <= runs)
        return true;

    at = place_of(piece);
    front->events = 0;
    while (front->events < piece->events && runs-- > 0) {
        uint32_t left = piece->events - front->events;
        uint32_t count = batch->runs[at.run].count - at.event;
        uint32_t size = at.run_end - at.offset;
        uint32_t used = at.offset - piece->offset;

        if (count <= left && front->events + count <= events &&
            used + size <= bytes) {
            front->events += count;
            next_run(&at, batch);
            continue;
        }
        count = count < left ? count : left;
        front->events +=
            walk(&at, piece, count, events - front->events, bytes - used);
        break;
    }
    front->bytes = at.offset - piece->offset;
    rest->run = at.run;
    rest->event = at.event;
    rest->offset = at.offset;
    rest->index += front->events;
    rest->events = piece->events - front->events;
    rest->bytes = piece->bytes - front->bytes;
    if (rest->events > 0 && at.run < batch->runs_len &&
        at.event == batch->runs[at.run].count) { /* stands at a run's end */
        rest->run++;
        rest->event = 0;
    }
    return front->events > 0;
}

uint32_t td_piece_runs(const struct td_piece *piece, struct td_run *runs,
                       uint32_t max)
{
    const struct td_batch *batch = &piece->item->batch;
    struct place at = place_of(piece);
    uint32_t end = piece->offset + piece->bytes;
    uint32_t events = piece->events;
    uint32_t n = 0;

    while (events > 0 && n < max) {
        struct td_run *run = &runs[n++];

        *run = batch->runs[at.run];
        run->count -= at.event;
        run->first += at.event;
        run->bytes = (at.run_end < end ? at.run_end : end) - at.offset;
        if (run->count > events)
            run->count = events;
        events -= run->count;
        next_run(&at, batch);
    }
    return n;
}
