/* The answers of the store: what was submitted is kept, or taken back. */
#include "broker/engine/internal.h"

#include <stdlib.h>

/* After a commit that failed: until what groups have to write is tried again. */
#define AGAIN_MS 500

static void keep_stored(struct td_engine *e, uint64_t ticket)
{
    struct td_fifo *carried = &e->streams.carried_stored;

    for (; carried->len > 0; td_fifo_pop(carried, 1)) {
        struct td_carried_stored *first = td_fifo_nth(carried, 0);

        if (first->ticket > ticket)
            return;
        if (first->producer)
            first->producer->kept = first->stored;
    }
}

static void keep(struct td_engine *e, uint64_t ticket)
{
    struct td_streams *st = &e->streams;

    st->written = ticket;
    td_newest_written(e, ticket);
    while (st->carried.len > 0) {
        struct td_carried *carried = td_fifo_nth(&st->carried, 0);

        if (carried->ticket > ticket)
            break;
        if (carried->stream) {
            carried->stream->kept = carried->state;
            td_consumers_wake(e, carried->stream);
        }
        td_fifo_pop(&st->carried, 1);
    }
    keep_stored(e, ticket);
    td_graves_forget(e);
    td_schedule_written(e, ticket);
    td_confirm_written(e, ticket);
    td_operate_written(e, ticket);
    td_holders_written(e, ticket);
    td_consumers_written(e);
}

static void stream_back(struct td_engine *e, struct td_stream *s)
{
    s->head = s->kept;
    td_entries_cut(s, s->kept.next);
    td_dedup_take_back(&s->dedup, s->kept.next);
    td_retain_anew(s); /* what was deleted is there still */
    td_compact_take_back(e, s);
    if (td_commit_is_written(e, s->row_ticket))
        return;
    s->dirty_row = true;
    s->row_ticket = 0;
    td_stream_dirty(e, s);
}

/* All that was given out and not written has failed. */
static void take_back(struct td_engine *e, tidings_err err)
{
    struct td_streams *st = &e->streams;

    td_txn_fini(&st->txn);
    st->turn = 0;
    st->turn_bytes = 0;
    st->stuck = 0;
    st->failing = st->ticket;
    st->again_ms = e->now_ms + AGAIN_MS;
    td_fifo_pop(&st->carried, st->carried.len);
    td_fifo_pop(&st->carried_stored, st->carried_stored.len);
    td_newest_take_back(e);
    td_graves_take_back(e);
    for (struct td_stream *s = st->all; s; s = s->hh.next) {
        if (td_stream_is_on_disk(s))
            stream_back(e, s);
    }
    td_repeat_wake(e);
    td_producers_take_back(e);
    td_consumers_take_back(e);
    td_schedule_take_back(e);
    td_confirm_failed(e, err);
    td_operate_failed(e, err);
    td_holders_failed(e, err);
    if (err == TIDINGS_EFULL)
        td_room_lacked(e);
    else if (!st->broken) /* that is told once */
        td_log(&e->options.log, TD_LOG_ERROR, "STORE-FAILED",
               "a commit failed: %s; nothing of it was confirmed",
               tidings_err_text(err));
}

static void on_written(struct td_engine *e,
                       const struct td_store_answer *answer)
{
    struct td_streams *st = &e->streams;
    const struct td_flown *flown = td_fifo_nth(&st->flown, 0);

    st->flown_bytes -= flown->bytes;
    td_fifo_pop(&st->flown, 1);
    if (answer->err == TIDINGS_OK)
        keep(e, answer->ticket);
    else if (answer->ticket > st->failing)
        take_back(e, answer->err);
}

/* Publishers that waited for the store go on. */
static void ease(struct td_engine *e)
{
    struct td_streams *st = &e->streams;

    if (!st->full || st->flown_bytes > TD_STORE_PENDING_BYTES / 2)
        return;
    st->full = false;
    for (struct td_session *s = e->sessions; s; s = s->hh.next) {
        if (!s->away && !s->doomed && !s->held)
            td_session_owe(e, s, true);
    }
}

void td_commit_answers(struct td_engine *e)
{
    struct td_streams *st = &e->streams;
    struct td_store_answer *answer;

    while (st->store && (answer = st->store->face->next(st->store))) {
        if (answer->kind == TD_STORE_WRITTEN)
            on_written(e, answer);
        else
            td_read_answered(e, answer);
        td_store_answer_free(answer);
        td_room_look(e);
    }
    if (st->stuck && st->flown.len == 0)
        take_back(e, TIDINGS_ENOMEM);
    ease(e);
}
