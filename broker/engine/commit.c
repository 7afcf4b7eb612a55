/* What a turn writes is one transaction. Its answer moves what was submitted to
 * what is kept, or takes it back: answers.c. */
#include "broker/engine/internal.h"

/* ---- writing ---- */

uint64_t td_commit_ticket(struct td_engine *e)
{
    struct td_streams *st = &e->streams;

    if (st->turn == 0)
        st->turn = ++st->ticket;
    return st->turn;
}

uint64_t td_commit_last(const struct td_engine *e)
{
    const struct td_streams *st = &e->streams;
    const struct td_flown *last = td_fifo_back(&st->flown);

    if (st->turn > 0)
        return st->turn;
    /* of those that fail nothing is left to wait for */
    return last && last->ticket > st->failing ? last->ticket : st->written;
}

void td_commit_put(struct td_engine *e, const struct td_place *key,
                   const struct td_buf *value, struct td_body *body,
                   size_t offset, size_t len)
{
    struct td_str bytes = {(const char *)value->data, value->len};

    td_commit_ticket(e);
    if (value->failed)
        e->streams.txn.failed = true;
    td_txn_put(&e->streams.txn, td_place_str(key), bytes, body, offset, len);
    e->streams.turn_bytes += key->len + value->len + len;
}

void td_commit_put_twice(struct td_engine *e, const struct td_place *key,
                         const struct td_buf *value)
{
    struct td_place again = td_place_again(key);

    td_commit_put(e, key, value, NULL, 0, 0);
    td_commit_put(e, &again, value, NULL, 0, 0);
}

void td_commit_delete(struct td_engine *e, const struct td_place *key)
{
    td_commit_ticket(e);
    td_txn_delete(&e->streams.txn, td_place_str(key));
    e->streams.turn_bytes += key->len;
}

void td_commit_delete_range(struct td_engine *e, const struct td_place *from,
                            const struct td_place *to)
{
    td_commit_ticket(e);
    td_txn_delete_range(&e->streams.txn, td_place_str(from), td_place_str(to));
    e->streams.turn_bytes += from->len + to->len;
}

void td_commit_raise(struct td_engine *e, enum td_level level)
{
    td_txn_raise(&e->streams.txn, level);
}

bool td_commit_is_written(const struct td_engine *e, uint64_t ticket)
{
    return ticket <= e->streams.written;
}

tidings_err td_commit_refuses(const struct td_engine *e)
{
    if (e->streams.broken)
        return TIDINGS_EIO;
    return e->streams.stuck || e->streams.no_room ? TIDINGS_EFULL : TIDINGS_OK;
}

static void write_options(struct td_engine *e, struct td_stream *stream)
{
    struct td_place key = td_place_one(TD_TABLE_STREAM, stream->id);

    stream->dirty_row = false;
    td_buf_reset(&e->streams.value);
    td_stream_options_pack(&e->streams.value, &stream->options);
    td_commit_put_twice(e, &key, &e->streams.value);
    td_commit_raise(e, TD_LEVEL_DISK);
    stream->row_ticket = e->streams.turn;
}

static void write_state(struct td_engine *e, struct td_stream *stream)
{
    struct td_streams *st = &e->streams;
    struct td_place key = td_place_one(TD_TABLE_STATE, stream->id);
    struct td_carried *carried;

    stream->dirty = false;
    if (!td_stream_is_on_disk(stream)) {
        stream->kept = stream->head;
        td_consumers_wake(e, stream);
        return;
    }
    if (stream->dirty_row)
        write_options(e, stream);
    td_buf_reset(&st->value);
    td_state_pack(&st->value, &stream->head);
    td_commit_put(e, &key, &st->value, NULL, 0, 0);
    carried = td_fifo_push(&st->carried);
    if (!carried) {
        st->txn.failed = true;
        return;
    }
    carried->ticket = st->turn;
    carried->stream = stream;
    carried->state = stream->head;
}

static void write_producer(struct td_engine *e, struct td_producer *p)
{
    struct td_place key = td_place_producer(p->id);
    struct td_carried_stored *carried;

    p->dirty = false;
    td_buf_reset(&e->streams.value);
    if (p->naming)
        td_naming_pack(&e->streams.value, p->naming, &p->stored);
    else
        td_stored_pack(&e->streams.value, &p->stored);
    td_commit_put(e, &key, &e->streams.value, NULL, 0, 0);
    carried = td_fifo_push(&e->streams.carried_stored);
    if (!carried) {
        e->streams.txn.failed = true;
        return;
    }
    carried->ticket = e->streams.turn;
    carried->producer = p;
    carried->stored = p->stored;
}

void td_commit_forget_producer(struct td_engine *e, const struct td_producer *p)
{
    struct td_fifo *carried = &e->streams.carried_stored;

    for (uint32_t i = 0; i < carried->len; i++) {
        struct td_carried_stored *c = td_fifo_nth(carried, i);

        if (c->producer == p)
            c->producer = NULL;
    }
}

/* ---- a turn ---- */

/* Those whose row was not written wait a while, or for something to go with. */
static void write_streams(struct td_engine *e)
{
    struct td_streams *st = &e->streams;
    struct td_stream **at = &st->dirty;
    bool waits = st->turn == 0 && e->now_ms < st->again_ms && !e->draining;

    while (*at) {
        struct td_stream *stream = *at;

        if (waits && td_stream_is_on_disk(stream)) {
            at = &stream->dirty_next;
            continue;
        }
        *at = stream->dirty_next;
        write_state(e, stream);
    }
}

static void write_dirty(struct td_engine *e)
{
    struct td_streams *st = &e->streams;

    write_streams(e);
    while (st->dirty_producers) {
        struct td_producer *p = st->dirty_producers;

        st->dirty_producers = p->dirty_next;
        write_producer(e, p);
    }
    td_newest_write(e);
    td_graves_write(e);
    if (e->now_ms >= st->again_ms || e->draining ||
        st->txn.len > 0) /* a ticket is for all */
        td_consumers_write(e);
}

/* There was no memory for all of it. Those before it may be kept; what comes
 * after it may not, so nothing is appended until they are answered. */
static void give_up(struct td_engine *e)
{
    struct td_streams *st = &e->streams;

    td_txn_fini(&st->txn);
    st->stuck = st->turn;
    st->turn = 0;
    st->turn_bytes = 0;
}

/* A ticket was given out for what groups have to write, and they do not yet. */
static bool waits(struct td_engine *e)
{
    const struct td_streams *st = &e->streams;
    const struct td_place nothing = td_place_two(TD_TABLE_DEAD, 0, 0);

    if (st->txn.len > 0 || st->txn.failed)
        return false;
    if (st->dirty_consumers)
        return true;
    td_commit_delete(e, &nothing); /* so that the ticket has an answer */
    return false;
}

void td_commit_flush(struct td_engine *e)
{
    struct td_streams *st = &e->streams;
    struct td_flown *flown;

    if (st->stuck)
        return; /* a ticket that is written says that all before it are */
    write_dirty(e);
    if (st->turn == 0 || waits(e))
        return;
    flown = td_fifo_push(&st->flown);
    if (!flown || st->txn.failed || st->txn.len == 0) {
        if (flown)
            td_fifo_pop_back(&st->flown);
        give_up(e);
        td_commit_answers(e);
        return;
    }
    flown->ticket = st->turn;
    flown->bytes = st->turn_bytes;
    st->flown_bytes += st->turn_bytes;
    st->full = st->full || st->flown_bytes > TD_STORE_PENDING_BYTES;
    st->store->face->submit(st->store, &st->txn, st->turn);
    st->turn = 0;
    st->turn_bytes = 0;
    td_room_look(e);
}
