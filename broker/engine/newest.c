/* Which events of a stream are the newest of their names. What is submitted is
 * noted, and written with its transaction; what is committed is kept, and shown
 * to whoever begins with the newest. A name whose last event retention has taken
 * is forgotten.
 *
 * Where the table has no room for a name, head.indexed moves past its event:
 * nobody knows of those before it whether they are the newest. */
#include "broker/engine/internal.h"

#include <stdlib.h>
#include <string.h>

#define FORGET_MAX 1024u /* names, in one turn */

/* ---- what is submitted ---- */

/* False: no memory, and the transaction fails. */
static bool carry(struct td_engine *e, struct td_stream *stream,
                  uint32_t number)
{
    struct td_last *name = td_last_at(&stream->lasts, number);
    struct td_carried_last *carried;

    if (name->fresh)
        return true;
    carried = td_fifo_push(&e->streams.carried_lasts);
    if (!carried) {
        if (!name->kept && !name->head)
            td_last_remove(&stream->lasts, number);
        e->streams.txn.failed = true;
        return false;
    }
    carried->ticket = td_commit_ticket(e);
    carried->stream = stream;
    carried->number = number;
    name->fresh = true;
    return true;
}

static void note(struct td_engine *e, struct td_stream *stream,
                 const uint8_t *hash, uint64_t sequence)
{
    uint32_t number = td_last_enter(&stream->lasts, hash);

    if (!number) {
        stream->head.indexed = sequence + 1;
        return;
    }
    if (td_stream_is_on_disk(stream)) {
        if (carry(e, stream, number))
            td_last_at(&stream->lasts, number)->head = sequence;
        return;
    }
    td_newest_keep(stream, number, sequence);
    td_last_at(&stream->lasts, number)->head = sequence;
}

void td_newest_note(struct td_engine *e, struct td_stream *stream,
                    const struct td_batch *batch, const uint8_t *events,
                    uint64_t first)
{
    struct td_newest_walk w;

    td_newest_begin(&w, stream, batch, events, first);
    while (td_newest_step(&w)) {
        if (stream->options.compact)
            td_compact_note(stream, &w);
        note(e, stream, w.hash, w.sequence + w.events - 1);
    }
}

/* ---- what is expected ---- */

/* All events have one key. */
static bool one_key(uint8_t hash[TD_LAST_HASH_BYTES],
                    const struct td_batch *batch, const uint8_t *events)
{
    const uint8_t *end = events + batch->bytes;
    uint8_t other[TD_LAST_HASH_BYTES];
    struct td_event event;

    for (uint32_t i = 0; i < batch->runs_len; i++) {
        if (!(batch->runs[i].flags & TD_RUN_KEY))
            return false; /* nobody looks for keys in it */
    }
    for (uint32_t i = 0; i < batch->events; i++) {
        if (!td_event_open(&event, &events, end) ||
            !td_newest_key(i == 0 ? hash : other, &event) ||
            (i > 0 && memcmp(hash, other, sizeof(other)) != 0))
            return false;
    }
    return true;
}

tidings_err td_newest_judge(const struct td_stream *stream,
                            const struct td_batch *batch, const uint8_t *events,
                            uint64_t expected, uint64_t *actual)
{
    const struct td_stream_state *head = &stream->head;
    uint8_t hash[TD_LAST_HASH_BYTES];
    uint32_t number;

    *actual = 0;
    if (!stream->options.keyed || !one_key(hash, batch, events))
        return TIDINGS_EINVAL;
    number = td_last_find(&stream->lasts, hash);
    if (number)
        *actual = td_last_at(&stream->lasts, number)->head;
    else if (head->indexed > head->first)
        return TIDINGS_ELIMIT;
    if (*actual < head->first)
        *actual = 0;
    return *actual == expected ? TIDINGS_OK : TIDINGS_ECONFLICT;
}

/* ---- writing ---- */

/* Where those of this turn begin. */
static uint32_t turn_begin(const struct td_streams *st)
{
    uint32_t from = st->carried_lasts.len;

    for (; from > 0; from--) {
        const struct td_carried_last *carried =
            td_fifo_nth(&st->carried_lasts, from - 1);

        if (carried->ticket != st->turn)
            break;
    }
    return from;
}

static int compare(const void *a, const void *b)
{
    const struct td_carried_last *p = a;
    const struct td_carried_last *q = b;

    return (p->sequence > q->sequence) - (p->sequence < q->sequence);
}

/* Into the order in which they are kept: that of the stream. */
static bool sort_from(struct td_fifo *f, uint32_t from, struct td_buf *scratch)
{
    uint32_t n = f->len - from;
    struct td_carried_last *sorted;

    if (n < 2)
        return true;
    td_buf_reset(scratch);
    for (uint32_t i = 0; i < n; i++)
        td_buf_append(scratch, td_fifo_nth(f, from + i), f->size);
    if (scratch->failed)
        return false;
    sorted = (struct td_carried_last *)(void *)scratch->data;
    qsort(sorted, n, sizeof(*sorted), compare);
    for (uint32_t i = 0; i < n; i++)
        memcpy(td_fifo_nth(f, from + i), &sorted[i], sizeof(*sorted));
    return true;
}

static void write_row(struct td_engine *e, struct td_carried_last *carried)
{
    struct td_last *name = td_last_at(&carried->stream->lasts, carried->number);
    struct td_place key = td_place_last(carried->stream->id, name->hash);

    name->fresh = false;
    carried->sequence = name->head;
    td_buf_reset(&e->streams.value);
    td_last_row_pack(&e->streams.value, name->head);
    td_commit_put(e, &key, &e->streams.value, NULL, 0, 0);
}

void td_newest_write(struct td_engine *e)
{
    struct td_streams *st = &e->streams;
    uint32_t from = turn_begin(st);

    for (uint32_t i = from; i < st->carried_lasts.len; i++) {
        struct td_carried_last *carried = td_fifo_nth(&st->carried_lasts, i);

        if (carried->stream && !carried->gone)
            write_row(e, carried);
    }
    if (!sort_from(&st->carried_lasts, from, &st->value))
        st->txn.failed = true;
}

/* ---- what is committed ---- */

/* Whoever goes on from it goes on from the next one: it moves. */
static void unpin(struct td_stream *stream, uint32_t number)
{
    struct td_last *name = td_last_at(&stream->lasts, number);
    struct td_consumer *c;

    if (!name->pins)
        return;
    DL_FOREACH2(stream->consumers, c, stream_next)
    {
        if (c->at != number)
            continue;
        c->at = name->newer;
        if (c->at)
            td_last_at(&stream->lasts, c->at)->pins++;
    }
    name->pins = 0;
}

void td_newest_keep(struct td_stream *stream, uint32_t number,
                    uint64_t sequence)
{
    unpin(stream, number);
    td_last_keep(&stream->lasts, number, sequence);
}

static void forget_name(struct td_engine *e, struct td_stream *stream,
                        uint32_t number)
{
    struct td_last *name = td_last_at(&stream->lasts, number);
    struct td_place key = td_place_last(stream->id, name->hash);

    if (td_stream_is_on_disk(stream))
        td_commit_delete(e, &key);
    unpin(stream, number);
    td_last_remove(&stream->lasts, number);
}

/* Its row went with its event, unless it has a newer one: that is on its way,
 * and may fail. */
static void forget_gone(const struct td_carried_last *carried)
{
    struct td_stream *stream = carried->stream;
    const struct td_last *name = td_last_at(&stream->lasts, carried->number);
    bool newer = name->head != name->kept;

    if (!name->used || name->kept != carried->sequence)
        return;
    td_newest_keep(stream, carried->number, 0);
    if (!newer)
        td_last_remove(&stream->lasts, carried->number);
}

void td_newest_written(struct td_engine *e, uint64_t ticket)
{
    struct td_fifo *lasts = &e->streams.carried_lasts;

    for (; lasts->len > 0; td_fifo_pop(lasts, 1)) {
        const struct td_carried_last *carried = td_fifo_nth(lasts, 0);

        if (carried->ticket > ticket)
            return;
        if (carried->stream && carried->gone)
            forget_gone(carried);
        else if (carried->stream)
            td_newest_keep(carried->stream, carried->number, carried->sequence);
    }
}

/* All that is carried has failed. A name may be there several times: it is
 * removed the last time. */
void td_newest_take_back(struct td_engine *e)
{
    struct td_fifo *lasts = &e->streams.carried_lasts;

    for (uint32_t i = 0; i < lasts->len; i++) {
        const struct td_carried_last *carried = td_fifo_nth(lasts, i);
        struct td_last *name;

        if (!carried->stream || carried->gone)
            continue;
        name = td_last_at(&carried->stream->lasts, carried->number);
        name->head = name->kept;
        name->fresh = false;
    }
    for (; lasts->len > 0; td_fifo_pop(lasts, 1)) {
        const struct td_carried_last *carried = td_fifo_nth(lasts, 0);
        const struct td_last *name =
            carried->stream && !carried->gone
                ? td_last_at(&carried->stream->lasts, carried->number)
                : NULL;

        if (name && name->used && !name->kept)
            td_last_remove(&carried->stream->lasts, carried->number);
    }
}

void td_newest_leave(struct td_engine *e, struct td_stream *stream)
{
    struct td_fifo *lasts = &e->streams.carried_lasts;

    for (uint32_t i = 0; i < lasts->len; i++) {
        struct td_carried_last *carried = td_fifo_nth(lasts, i);

        if (carried->stream == stream)
            carried->stream = NULL;
    }
}

/* ---- what retention has taken ---- */

/* The oldest name's events are gone; one that has others on their way stays. */
static void forget_oldest(struct td_engine *e, struct td_stream *stream)
{
    struct td_lasts *l = &stream->lasts;
    uint32_t number = l->oldest;
    const struct td_last *name = td_last_at(l, number);

    if (name->head != name->kept)
        td_newest_keep(stream, number, 0);
    else
        forget_name(e, stream, number);
}

bool td_newest_bury(struct td_engine *e, struct td_stream *stream,
                    uint32_t number)
{
    struct td_carried_last *carried = td_fifo_push(&e->streams.carried_lasts);
    const struct td_last *name = td_last_at(&stream->lasts, number);
    struct td_place key = td_place_last(stream->id, name->hash);

    if (!carried) {
        e->streams.txn.failed = true;
        return false;
    }
    carried->ticket = td_commit_ticket(e);
    carried->stream = stream;
    carried->number = number;
    carried->gone = true;
    carried->sequence = name->kept;
    if (name->head == name->kept) /* else the row is of a newer one */
        td_commit_delete(e, &key);
    return true;
}

static bool has_old(const struct td_stream *stream)
{
    const struct td_lasts *l = &stream->lasts;

    return l->oldest && td_last_at(l, l->oldest)->kept < stream->kept.first;
}

int64_t td_newest_tick(struct td_engine *e)
{
    struct td_streams *st = &e->streams;
    uint32_t n = 0;

    if (e->now_ms < st->again_ms || st->loading)
        return TD_NEVER; /* what is written next looks again */
    for (struct td_stream *s = st->all; s; s = s->hh.next) {
        while (has_old(s)) {
            if (n++ == FORGET_MAX)
                return e->now_ms;
            forget_oldest(e, s);
        }
    }
    return TD_NEVER;
}

/* ---- when the broker starts ---- */

bool td_newest_load(struct td_stream *stream,
                    const uint8_t hash[TD_LAST_HASH_BYTES], uint64_t sequence)
{
    uint32_t number = td_last_enter(&stream->lasts, hash);

    if (!number)
        return false;
    td_last_keep(&stream->lasts, number, sequence);
    td_last_at(&stream->lasts, number)->head = sequence;
    return true;
}

bool td_newest_loaded(struct td_engine *e)
{
    for (struct td_stream *s = e->streams.all; s; s = s->hh.next) {
        if (!td_lasts_sort(&s->lasts))
            return false;
    }
    return true;
}

void td_newest_check(struct td_stream *stream, const struct td_batch *batch,
                     const uint8_t *events, uint64_t first)
{
    struct td_newest_walk w;

    td_newest_begin(&w, stream, batch, events, first);
    while (td_newest_step(&w)) {
        uint32_t number = td_last_find(&stream->lasts, w.hash);

        if (!number || td_last_at(&stream->lasts, number)->kept <
                           w.sequence + w.events - 1)
            stream->head.indexed = w.sequence + w.events;
    }
}
