/* CONFIRM: what has become of what was published, told to who asked, when its
 * transaction is written or has failed. */
#include "broker/engine/internal.h"

#include <string.h>

#define ROWS_MAX                                                               \
    1000u /* of one CONFIRM: within the bounds of a control frame */

/* ---- rows of a session ---- */

static void send_rows(struct td_engine *e, struct td_session *s)
{
    struct td_frame f = {.op = TD_CONFIRM};

    if (s->confirm_rows == 0)
        return;
    td_buf_reset(&e->table);
    td_list_begin(&e->table, s->confirm_rows);
    td_buf_append(&e->table, s->confirms.data, s->confirms.len);
    s->confirm_rows = 0;
    if (e->table.failed || s->confirms.failed) {
        td_session_doom(e, s, TD_DROP_SESSION_LOST, TIDINGS_ENOMEM,
                        "broker is out of memory");
        return;
    }
    f.u.confirm.list =
        (struct td_str){(const char *)e->table.data, e->table.len};
    td_buf_reset(&s->confirms);
    td_engine_send(e, s, &f, NULL);
}

/* The last row is not in the list yet: others may be joined to it. */
static void close_row(struct td_engine *e, struct td_session *s)
{
    if (s->confirm.count == 0)
        return;
    td_confirm_append(&s->confirms, &s->confirm);
    s->confirm.count = 0;
    if (++s->confirm_rows >= ROWS_MAX)
        send_rows(e, s);
}

static bool goes_on(const struct td_confirm *a, const struct td_confirm *b)
{
    return a->count > 0 && a->first + a->count == b->first &&
           a->code == b->code && a->level == b->level &&
           a->duplicate == b->duplicate && a->stream.data == b->stream.data &&
           (a->code || a->sequence == 0
                ? a->sequence == b->sequence
                : a->sequence + a->count == b->sequence);
}

static void add(struct td_engine *e, struct td_session *s,
                const struct td_confirm *row)
{
    if (goes_on(&s->confirm, row)) {
        s->confirm.count += row->count;
        return;
    }
    close_row(e, s);
    s->confirm = *row;
    if (!s->confirming)
        DL_APPEND2(e->streams.confirming, s, confirm_prev, confirm_next);
    s->confirming = true;
}

void td_confirm_send(struct td_engine *e)
{
    while (e->streams.confirming) {
        struct td_session *s = e->streams.confirming;

        DL_DELETE2(e->streams.confirming, s, confirm_prev, confirm_next);
        s->confirming = false;
        close_row(e, s);
        send_rows(e, s);
    }
}

void td_confirm_forget(struct td_engine *e, struct td_session *s)
{
    if (s->confirming)
        DL_DELETE2(e->streams.confirming, s, confirm_prev, confirm_next);
    s->confirming = false;
    s->confirm.count = 0;
    s->confirm_rows = 0;
    td_buf_fini(&s->confirms);
}

void td_confirm_anew(struct td_engine *e, struct td_session *s)
{
    struct td_fifo *owed = &e->streams.owed;

    td_confirm_forget(e, s);
    for (uint32_t i = 0; i < owed->len; i++) {
        struct td_owed_confirm *one = td_fifo_nth(owed, i);

        if (one->session == s->number)
            one->session = 0;
    }
}

/* ---- rows that wait ---- */

static bool waits_on(const struct td_owed_confirm *a,
                     const struct td_owed_confirm *b)
{
    return a && a->ticket == b->ticket && a->session == b->session &&
           a->stream == b->stream && goes_on(&a->row, &b->row);
}

void td_confirm(struct td_engine *e, struct td_session *s, uint64_t ticket,
                const struct td_stream *stream, const struct td_confirm *row)
{
    struct td_streams *st = &e->streams;
    struct td_owed_confirm owed = {ticket, s->number, stream ? stream->id : 0,
                                   *row};
    struct td_owed_confirm *last = td_fifo_back(&st->owed);

    owed.row.stream = stream ? stream->options.name : td_no_str;
    if (td_commit_is_written(e, ticket)) {
        add(e, s, &owed.row);
        return;
    }
    owed.row.stream = td_no_str; /* it may be deleted meanwhile */
    if (waits_on(last, &owed)) {
        last->row.count += row->count;
        return;
    }
    last = td_fifo_push(&st->owed);
    if (last)
        *last = owed;
    else
        td_session_doom(e, s, TD_DROP_SESSION_LOST, TIDINGS_ENOMEM,
                        "broker is out of memory");
}

/* NULL: its session is over. */
static const struct td_stored *stored_of(struct td_engine *e,
                                         const struct td_owed_confirm *owed)
{
    struct td_session *s;

    HASH_FIND(hh, e->sessions, &owed->session, sizeof(owed->session), s);
    return s && s->producer ? &s->producer->stored : NULL;
}

static void tell(struct td_engine *e, struct td_owed_confirm *owed)
{
    const struct td_stream *stream = owed->stream == td_schedule_stream.id
                                         ? &td_schedule_stream
                                         : td_stream_by_id(e, owed->stream);
    struct td_session *s;

    HASH_FIND(hh, e->sessions, &owed->session, sizeof(owed->session), s);
    if (!s || s->doomed || s->away)
        return; /* it asks again when it is back */
    if (stream && !owed->row.code)
        owed->row.stream = stream->options.name;
    add(e, s, &owed->row);
}

void td_confirm_written(struct td_engine *e, uint64_t ticket)
{
    struct td_fifo *owed = &e->streams.owed;

    while (owed->len > 0) {
        struct td_owed_confirm *first = td_fifo_nth(owed, 0);

        if (first->ticket > ticket)
            return;
        tell(e, first);
        td_fifo_pop(owed, 1);
    }
}

/* Of what had been stored before, it may be still. */
static void tell_failed(struct td_engine *e, struct td_owed_confirm *owed,
                        tidings_err err)
{
    const struct td_stored *stored = stored_of(e, owed);
    uint64_t left = owed->row.count;

    while (stored && left > 0) {
        struct td_owed_confirm part = *owed;

        part.row.count = owed->row.duplicate
                             ? td_stored_alike(stored, part.row.first, left)
                             : left;
        if (!owed->row.duplicate || !td_stored_has(stored, part.row.first)) {
            part.row.code = err == TIDINGS_EIO ? TIDINGS_EIO : TIDINGS_EFULL;
            part.row.sequence = part.row.level = 0;
            part.row.duplicate = false;
        }
        tell(e, &part);
        owed->row.first += part.row.count;
        left -= part.row.count;
    }
}

void td_confirm_failed(struct td_engine *e, tidings_err err)
{
    struct td_fifo *owed = &e->streams.owed;

    for (; owed->len > 0; td_fifo_pop(owed, 1))
        tell_failed(e, td_fifo_nth(owed, 0), err);
}
