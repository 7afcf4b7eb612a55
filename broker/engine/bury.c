/* Dead letters: events that failed too often, or that a handler wanted never
 * again. The dead letter is the settlement: where it is written, the event is
 * done with, also if the broker is killed before it has written anything else. */
#include "broker/engine/internal.h"

#include "proto/plural.h"

#include <stdlib.h>

#define AGAIN_MS 500 /* after a commit that failed */

/* ---- burying ---- */

static void pack_row(struct td_engine *e, const struct td_piece *piece,
                     const struct td_retry *retry)
{
    struct td_batch batch = piece->item->batch;
    struct td_dead_row row = {
        .why = (enum td_death)retry->why,
        .sequence = retry->sequence,
        .deliveries = retry->deliveries,
        .first_ms = retry->first_ms,
        .last_ms = retry->last_ms,
        .error = td_reason_text(retry->reason),
        .handler = td_reason_handler(retry->reason),
    };

    batch.runs = e->slice;
    batch.runs_len = td_piece_runs(piece, e->slice, 1);
    td_buf_reset(&e->record_table);
    td_batches_begin(&e->record_table, 1);
    td_batch_pack(&e->record_table, &batch);
    row.table = (struct td_str){(const char *)e->record_table.data,
                                e->record_table.len};
    row.body =
        (struct td_str){(const char *)td_piece_data(piece), piece->bytes};
    td_buf_reset(&e->streams.value);
    td_dead_row_pack(&e->streams.value, &row);
    if (e->record_table.failed)
        e->streams.value.failed = true;
}

static void advise(struct td_engine *e, struct td_consumer *c,
                   const struct td_retry *retry)
{
    struct td_str error = td_reason_text(retry->reason);

    td_log(&e->options.log, TD_LOG_WARN, "DEAD",
           "sequence %llu of stream %.*s is dead for group %.*s after %u "
           "%s: %.*s",
           (unsigned long long)retry->sequence,
           (int)c->stream->options.name.len, c->stream->options.name.data,
           (int)c->options.group.len, c->options.group.data, retry->deliveries,
           td_plural(retry->deliveries, "delivery", "deliveries"),
           (int)error.len, error.len > 0 ? error.data : "");
}

void td_bury_nothing(struct td_engine *e, struct td_consumer *c,
                     const struct td_retry *retry)
{
    c->count.dead++;
    advise(e, c, retry);
}

void td_bury(struct td_engine *e, struct td_consumer *c,
             const struct td_piece *piece, const struct td_retry *retry)
{
    struct td_redriven *r = td_redriven_find(c, retry->sequence);
    struct td_burial *burial;
    struct td_place key;

    td_bury_nothing(e, c, retry);
    if (!td_consumer_is_kept(c)) { /* nothing of it is */
        td_consumer_done(e, c, retry->sequence, 1);
        return;
    }
    if (r && r->number == 0) { /* it was purged meanwhile */
        td_consumer_done(e, c, retry->sequence, 1);
        return;
    }
    key = td_place_two(TD_TABLE_DEAD, c->id, r ? r->number : c->dead_next);
    pack_row(e, piece, retry);
    td_commit_put(e, &key, &e->streams.value, NULL, 0, 0);
    td_commit_raise(e, TD_LEVEL_DISK);
    c->dead_next += !r;
    c->dead_len += !r;
    td_consumer_dirty(e, c);
    burial = td_fifo_push(&c->burials);
    if (!burial)
        return; /* settled by its dead letter, once the broker is started anew */
    burial->ticket = td_commit_ticket(e);
    burial->retry = *retry;
    burial->retry.count = 1;
    burial->retry.reason = td_reason_ref(retry->reason);
    burial->again = r;
    if (r)
        r->dying = true;
}

void td_bury_written(struct td_engine *e, struct td_consumer *c)
{
    while (c->burials.len > 0) {
        struct td_burial *burial = td_fifo_nth(&c->burials, 0);
        struct td_redriven *r;

        if (!td_commit_is_written(e, burial->ticket))
            return;
        r = td_redriven_find(c, burial->retry.sequence);
        if (r && burial->again) {
            HASH_DELETE(hh, c->redriven, r);
            free(r);
        }
        td_reason_unref(burial->retry.reason);
        /* The letter may be on its way again before this is known. */
        if (!burial->forgotten)
            td_consumer_settled(e, c, burial->retry.sequence, 1);
        td_fifo_pop(&c->burials, 1);
    }
}

uint64_t td_dead_len(const struct td_consumer *c)
{
    uint64_t unwritten = 0;

    for (uint32_t i = 0; i < c->burials.len; i++) {
        const struct td_burial *burial = td_fifo_nth(&c->burials, i);

        unwritten += !burial->again;
    }
    /* one that is purged already is not among either */
    return c->dead_len > unwritten ? c->dead_len - unwritten : 0;
}

void td_bury_take_back(struct td_engine *e, struct td_consumer *c)
{
    for (; c->burials.len > 0; td_fifo_pop(&c->burials, 1)) {
        struct td_burial *burial = td_fifo_nth(&c->burials, 0);
        struct td_redriven *r = td_redriven_find(c, burial->retry.sequence);

        if (r)
            r->dying = false;
        c->count.dead--;
        c->dead_len -= !burial->again && c->dead_len > 0;
        burial->retry.due_ms = e->now_ms + AGAIN_MS;
        burial->retry.ticket = 0;
        if (!burial->forgotten && td_retries_add(&c->retries, &burial->retry))
            td_consumer_wake_at(e, c, burial->retry.due_ms);
        else
            td_reason_unref(burial->retry.reason);
    }
}

/* ---- and digging up ---- */

struct td_redriven *td_redriven_find(const struct td_consumer *c,
                                     uint64_t sequence)
{
    struct td_redriven *r;

    HASH_FIND(hh, c->redriven, &sequence, sizeof(sequence), r);
    return r;
}

void td_redriven_clear(struct td_consumer *c)
{
    struct td_redriven *r;
    struct td_redriven *next;

    HASH_ITER(hh, c->redriven, r, next)
    {
        HASH_DELETE(hh, c->redriven, r);
        free(r);
    }
}

bool td_redrive(struct td_engine *e, struct td_consumer *c, uint64_t number,
                uint64_t sequence)
{
    const struct td_retry retry = {
        .due_ms = e->now_ms,
        .sequence = sequence,
        .count = 1,
    };
    struct td_redriven *r;

    /* Another letter of the same event is on its way; or, in a group that was
     * sent back, the event itself comes. */
    if (td_redriven_find(c, sequence) || !td_settled_has(&c->settled, sequence))
        return false;
    r = calloc(1, sizeof(*r));
    if (!r)
        return false;
    r->sequence = sequence;
    r->number = number;
    HASH_ADD(hh, c->redriven, sequence, sizeof(r->sequence), r);
    if (r->hh_failed) {
        free(r);
        return false;
    }
    if (!td_retries_add(&c->retries, &retry)) {
        HASH_DELETE(hh, c->redriven, r);
        free(r);
        return false;
    }
    c->out++;
    td_consumer_ready(e, c);
    return true;
}

void td_redriven_done(struct td_engine *e, struct td_consumer *c,
                      struct td_redriven *r)
{
    /* it was not purged */
    if (r->number > 0 && !td_commit_is_buried(e, c->id, r->number)) {
        td_commit_bury_dead(e, c->id, r->number);
        c->dead_len -= c->dead_len > 0;
    }
    HASH_DELETE(hh, c->redriven, r);
    free(r);
}

static struct td_item *item_of(struct td_engine *e,
                               const struct td_record *record,
                               struct td_body *bytes, bool *lean)
{
    struct td_dead_row row;
    struct td_item *item;
    const char *why;
    size_t offset;

    if (record->damaged || !td_dead_row_read(record->value, &row) ||
        !td_scan(row.table.data, row.table.len, &td_scan_control) ||
        td_batches_read(&e->batches, row.table, row.body.len, &why) ||
        e->batches.len != 1 || e->batches.events != 1)
        return NULL;
    e->batches.runs[0].flags &=
        ~(uint32_t)TD_RUN_EXPIRY; /* somebody wants it */
    e->batches.batch[0].wire = td_no_str;
    offset = (size_t)((const uint8_t *)row.body.data - bytes->data);
    item = td_item_new(&e->batches.batch[0], bytes, offset, &e->held_bytes);
    if (item)
        item->sequence = row.sequence;
    *lean = !item;
    return item;
}

static void on_dead(struct td_engine *e, void *owner,
                    const struct td_store_answer *answer)
{
    struct td_consumer *c = owner;
    struct td_retry *retry = td_retries_first(&c->retries);
    struct td_item *item = NULL;
    struct td_piece piece;
    bool lean = false; /* there is no memory */

    c->retry_read = NULL;
    if (answer->records_len > 0 && !answer->err)
        item = item_of(e, &answer->records[0], answer->bytes, &lean);
    if (answer->err || lean) {
        td_consumer_wake_at(e, c, e->now_ms + AGAIN_MS);
        return;
    }
    td_consumer_ready(e, c);
    if (!retry || retry->sequence != c->retry_sequence) {
        td_item_unref(item);
        return;
    }
    if (!item || item->sequence != retry->sequence) {
        struct td_redriven *r = td_redriven_find(c, retry->sequence);
        uint64_t sequence = retry->sequence;

        td_retries_shift(&c->retries, 1);
        if (r) /* it was purged, or cannot be read */
            td_consumer_done(e, c, sequence, 1);
        td_item_unref(item);
        return;
    }
    if (!retry->dead && td_outage_room(c) == 0) { /* parked meanwhile */
        td_item_unref(item);
        return;
    }
    piece = td_piece_of(item);
    if (retry->dead) {
        td_bury(e, c, &piece, retry);
        td_retries_shift(&c->retries, 1);
    } else if (!td_queue_push(&c->group->queue, &piece)) {
        td_retries_shift(&c->retries, 1);
    }
    td_item_unref(item);
}

bool td_redriven_feed(struct td_engine *e, struct td_consumer *c,
                      const struct td_redriven *r)
{
    struct td_place from = td_place_two(TD_TABLE_DEAD, c->id, r->number);
    struct td_place to = td_place_two(TD_TABLE_DEAD, c->id, r->number + 1);

    c->retry_sequence = r->sequence;
    c->retry_read = td_read_ask(e, &from, &to, false, 1, 1, on_dead, c);
    if (!c->retry_read)
        td_consumer_wake_at(e, c, e->now_ms + AGAIN_MS);
    return false;
}
