#include "broker/engine/queue.h"

#include <stdlib.h>
#include <string.h>

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
    uint32_t at;

    if (last && joins(last, piece)) {
        last->events += piece->events;
        last->bytes += piece->bytes;
        count(q, piece);
        return TIDINGS_OK;
    }
    at = last ? last->at + last->events : 0;
    if (q->len == q->cap && td_queue_reserve(q, 1))
        return TIDINGS_ENOMEM;
    piece->item->refs++;
    *piece_at(q, q->len) = *piece;
    piece_at(q, q->len++)->at = at;
    count(q, piece);
    return TIDINGS_OK;
}

tidings_err td_queue_push_front(struct td_queue *q,
                                const struct td_piece *piece)
{
    struct td_piece *first = q->len > 0 ? piece_at(q, 0) : NULL;
    uint32_t at = (first ? first->at : 0) - piece->events;

    if (first && joins(piece, first)) {
        struct td_piece both = *piece;

        both.events += first->events;
        both.bytes += first->bytes;
        both.at = at;
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
    piece_at(q, 0)->at = at;
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

uint32_t td_queue_find(const struct td_queue *q, uint64_t before,
                       uint64_t *skip)
{
    uint32_t at = td_queue_front(q)->at;
    uint32_t low = 0;
    uint32_t high = q->len;

    while (high - low > 1) { /* places wrap, what is between two does not */
        uint32_t middle = low + (high - low) / 2;

        if (piece_at(q, middle)->at - at <= before)
            low = middle;
        else
            high = middle;
    }
    *skip = before - (piece_at(q, low)->at - at);
    return low;
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

static void set(struct td_queue *q, uint32_t nth, const struct td_piece *part,
                uint32_t at)
{
    struct td_piece *piece = piece_at(q, nth);

    discount(q, piece);
    *piece = *part;
    piece->at = at;
    count(q, part);
}

void td_queue_set_front(struct td_queue *q, const struct td_piece *part)
{
    const struct td_piece *whole = td_queue_front(q);

    set(q, 0, part, whole->at + whole->events - part->events);
}

void td_queue_set_back(struct td_queue *q, const struct td_piece *part)
{
    set(q, q->len - 1, part, td_queue_back(q)->at);
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
