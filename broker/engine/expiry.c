#include "broker/engine/internal.h"

#include "proto/expiry.h"

#include <string.h>

static int64_t now_us(const struct td_engine *e)
{
    const struct td_port *port = &e->options.port;

    return port->unix_us ? port->unix_us(port->ctx) : 0;
}

/* Whether the event at *p has expired; *p is past it. One that cannot be read
 * has not: that is for its reader to say. */
static bool is_past(const uint8_t **p, const uint8_t *end, int64_t us)
{
    struct td_event event;
    int64_t expires_us;

    return td_event_open(&event, p, end) && td_expiry_of(&expires_us, &event) &&
           expires_us < us;
}

/* ---- of a stream ---- */

/* How many events stand before the first run that is flagged. */
static uint64_t unflagged(const struct td_piece *piece, uint64_t max)
{
    const struct td_batch *batch = &piece->item->batch;
    uint64_t n = 0;

    for (uint32_t i = piece->run; i < batch->runs_len && n < max; i++) {
        if (batch->runs[i].flags & TD_RUN_EXPIRY)
            return n;
        n += batch->runs[i].count - (i == piece->run ? piece->event : 0);
    }
    return max;
}

uint32_t td_expiry_alike(struct td_engine *e, const struct td_piece *piece,
                         uint64_t max, bool *expired)
{
    const struct td_run *run = &piece->item->batch.runs[piece->run];
    const uint8_t *p = td_piece_data(piece);
    const uint8_t *end = p + piece->bytes;
    uint64_t n = max < piece->events ? max : piece->events;
    int64_t us;

    *expired = false;
    if (!(run->flags & TD_RUN_EXPIRY))
        return (uint32_t)unflagged(piece, n);
    if (n > run->count - piece->event)
        n = run->count - piece->event;
    us = now_us(e);
    for (uint32_t i = 0; i < n; i++) {
        bool past = is_past(&p, end, us);

        if (i == 0)
            *expired = past;
        else if (past != *expired)
            return i;
    }
    return (uint32_t)n;
}

/* ---- live ---- */

struct leaving_out {
    struct td_engine *e;
    struct td_unexpired *out;
    uint8_t *to;
    int64_t us;
};

/* One event of a run: it goes on with the last run that is kept, or begins one.
 */
static void keep(struct leaving_out *l, const struct td_run *run, uint64_t nth,
                 const uint8_t *from, uint32_t bytes)
{
    struct td_batch *batch = &l->out->batch;
    struct td_run *last = l->e->slice + batch->runs_len - 1;

    if (batch->runs_len == 0 || last->type.data != run->type.data ||
        last->flags != run->flags ||
        last->first + last->count != run->first + nth) {
        last = l->e->slice + batch->runs_len++;
        *last = *run;
        last->first = run->first + nth;
        last->count = last->bytes = 0;
    }
    last->count++;
    last->bytes += bytes;
    batch->events++;
    batch->bytes += bytes;
    memcpy(l->to, from, bytes);
    l->to += bytes;
}

/* One more run than there is room for ends it: false. */
static bool sift(struct leaving_out *l, const struct td_run *run,
                 const uint8_t *p)
{
    const uint8_t *end = p + run->bytes;

    for (uint32_t i = 0; i < run->count; i++) {
        const uint8_t *from = p;
        const uint8_t *after = td_events_skip(p, end, 1);

        if (!after || l->out->batch.runs_len == TD_RUNS_MAX)
            return false;
        if ((run->flags & TD_RUN_EXPIRY) && is_past(&p, end, l->us))
            l->out->expired++;
        else
            keep(l, run, i, from, (uint32_t)(after - from));
        p = after;
    }
    return true;
}

static bool is_flagged(const struct td_batch *batch)
{
    for (uint32_t i = 0; i < batch->runs_len; i++) {
        if (batch->runs[i].flags & TD_RUN_EXPIRY)
            return true;
    }
    return false;
}

bool td_expiry_leave_out(struct td_engine *e, const struct td_batch *batch,
                         const struct td_body *body, size_t offset,
                         struct td_unexpired *out)
{
    struct leaving_out l = {.e = e, .out = out};
    const uint8_t *p = body->data + offset;
    bool whole = true;

    if (!is_flagged(batch))
        return false;
    l.us = now_us(e);
    *out = (struct td_unexpired){.batch = *batch};
    out->batch.runs = e->slice;
    out->batch.runs_len = out->batch.events = out->batch.bytes = 0;
    out->body = td_body_new(batch->bytes, &l.to);
    for (uint32_t i = 0; out->body && whole && i < batch->runs_len; i++) {
        whole = sift(&l, &batch->runs[i], p);
        p += batch->runs[i].bytes;
    }
    td_buf_reset(&e->left);
    if (out->body && whole && out->expired > 0)
        td_batch_pack(&e->left, &out->batch);
    if (out->body && whole && out->expired > 0 && !e->left.failed) {
        out->batch.wire =
            (struct td_str){(const char *)e->left.data, e->left.len};
        out->body->len = out->batch.bytes;
        return true;
    }
    td_body_unref(out->body);
    return false;
}
