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

/* ---- the ring ---- */

static struct td_piece *piece_at(const struct td_queue *q, uint32_t nth)
{
    return &q->ring[(q->head + nth) & (q->cap - 1)];
}

static tidings_err grow(struct td_queue *q, uint32_t cap)
{
    struct td_piece *ring = malloc(cap * sizeof(*ring));

    if (!ring)
        return TIDINGS_ENOMEM;
    for (uint32_t i = 0; i < q->len; i++)
        ring[i] = *piece_at(q, i);
    free(q->ring);
    q->ring = ring;
    q->cap = cap;
    q->head = 0;
    return TIDINGS_OK;
}

tidings_err td_queue_reserve(struct td_queue *q, uint32_t pieces)
{
    uint32_t cap = q->cap ? q->cap : 1; /* there are many, and mostly of one */

    while (cap - q->len < pieces)
        cap = cap == 1 ? 4 : cap * 2;
    return cap == q->cap ? TIDINGS_OK : grow(q, cap);
}

static void count(struct td_queue *q, const struct td_piece *piece)
{
    uint64_t bytes = td_piece_cost(piece);

    q->events += piece->events;
    q->data += piece->bytes;
    q->bytes += bytes;
    if (!q->sum)
        return;
    q->sum->events += piece->events;
    q->sum->bytes += bytes;
}

static void discount(struct td_queue *q, const struct td_piece *piece)
{
    uint64_t bytes = td_piece_cost(piece);

    q->events -= piece->events;
    q->data -= piece->bytes;
    q->bytes -= bytes;
    if (!q->sum)
        return;
    q->sum->events -= piece->events;
    q->sum->bytes -= bytes;
}

/* The same item, and the next byte of it. */
static bool joins(const struct td_piece *first, const struct td_piece *second)
{
    return first->item == second->item &&
           first->offset + first->bytes == second->offset;
}

tidings_err td_queue_push(struct td_queue *q, const struct td_piece *piece)
{
    struct td_piece *last = q->len > 0 ? piece_at(q, q->len - 1) : NULL;

    if (last && joins(last, piece)) {
        last->events += piece->events;
        last->bytes += piece->bytes;
        count(q, piece);
        return TIDINGS_OK;
    }
    if (q->len == q->cap && td_queue_reserve(q, 1))
        return TIDINGS_ENOMEM;
    piece->item->refs++;
    *piece_at(q, q->len++) = *piece;
    count(q, piece);
    return TIDINGS_OK;
}

tidings_err td_queue_push_front(struct td_queue *q,
                                const struct td_piece *piece)
{
    struct td_piece *first = q->len > 0 ? piece_at(q, 0) : NULL;

    if (first && joins(piece, first)) {
        struct td_piece both = *piece;

        both.events += first->events;
        both.bytes += first->bytes;
        count(q, piece);
        *first = both;
        return TIDINGS_OK;
    }
    if (q->len == q->cap && td_queue_reserve(q, 1))
        return TIDINGS_ENOMEM;
    piece->item->refs++;
    q->head = (q->head - 1) & (q->cap - 1);
    q->len++;
    *piece_at(q, 0) = *piece;
    count(q, piece);
    return TIDINGS_OK;
}

const struct td_piece *td_queue_front(const struct td_queue *q)
{
    return piece_at(q, 0);
}

const struct td_piece *td_queue_back(const struct td_queue *q)
{
    return piece_at(q, q->len - 1);
}

const struct td_piece *td_queue_nth(const struct td_queue *q, uint32_t nth)
{
    return piece_at(q, nth);
}

void td_queue_pop(struct td_queue *q)
{
    struct td_piece *piece = piece_at(q, 0);

    discount(q, piece);
    q->head = (q->head + 1) & (q->cap - 1);
    q->len--;
    td_item_unref(piece->item);
}

void td_queue_pop_back(struct td_queue *q)
{
    struct td_piece *piece = piece_at(q, q->len - 1);

    discount(q, piece);
    q->len--;
    td_item_unref(piece->item);
}

static void set(struct td_queue *q, uint32_t nth, const struct td_piece *part)
{
    discount(q, piece_at(q, nth));
    *piece_at(q, nth) = *part;
    count(q, part);
}

void td_queue_set_front(struct td_queue *q, const struct td_piece *part)
{
    set(q, 0, part);
}

void td_queue_set_back(struct td_queue *q, const struct td_piece *part)
{
    set(q, q->len - 1, part);
}

void td_queue_fini(struct td_queue *q)
{
    while (q->len > 0)
        td_queue_pop(q);
    free(q->ring);
    memset(q, 0, sizeof(*q));
}

/* ---- from queue to queue ---- */

/* The first piece loses its front; nothing is left of it: it goes. */
static void advance(struct td_queue *q, const struct td_piece *rest)
{
    if (rest->events > 0)
        td_queue_set_front(q, rest);
    else
        td_queue_pop(q);
}

uint64_t td_queue_move(struct td_queue *to, struct td_queue *from,
                       uint64_t events, uint64_t bytes)
{
    uint64_t moved = 0;
    struct td_piece front;
    struct td_piece rest;

    while (from->len > 0 && moved < events &&
           td_piece_cut(td_queue_front(from), events - moved, bytes, UINT32_MAX,
                        &front, &rest) &&
           td_queue_push(to, &front) == TIDINGS_OK) {
        moved += front.events;
        bytes -= front.bytes;
        advance(from, &rest);
    }
    return moved;
}

uint64_t td_queue_return(struct td_queue *to, struct td_queue *from,
                         uint64_t events)
{
    uint64_t bytes = 0;

    while (events > 0) {
        struct td_piece last = *td_queue_back(from);
        struct td_piece stays = last;
        struct td_piece goes = last;

        stays.events = 0;
        if (last.events > events &&
            !td_piece_cut(&last, last.events - events, UINT64_MAX, UINT32_MAX,
                          &stays, &goes))
            break; /* its publisher lied, where bodies are not walked */
        td_queue_push_front(to, &goes);
        events -= goes.events;
        bytes += goes.bytes;
        if (stays.events > 0)
            td_queue_set_back(from, &stays);
        else
            td_queue_pop_back(from);
    }
    return bytes;
}

uint64_t td_queue_drop(struct td_queue *q, uint64_t events, uint64_t bytes,
                       void (*gone)(void *ctx, const struct td_piece *piece),
                       void *ctx)
{
    uint64_t before = q->events;

    while (q->len > 0 && (q->events > events || q->bytes > bytes)) {
        struct td_piece front = *td_queue_front(q);
        struct td_piece rest = front;

        rest.events = 0;
        if (q->bytes <= bytes && q->events - events < front.events &&
            !td_piece_cut(td_queue_front(q), q->events - events, UINT64_MAX,
                          UINT32_MAX, &front, &rest)) {
            front = *td_queue_front(q); /* cannot be cut: all of it */
            rest.events = 0;
        }
        if (gone)
            gone(ctx, &front);
        advance(q, &rest);
    }
    return before - q->events;
}
