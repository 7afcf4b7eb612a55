/* What is due is published: routed as it comes, stored in the stream that takes
 * its type, and its row deleted in the same transaction. */
#include "broker/engine/internal.h"

#define RECORDS_MAX 1024u /* published in one turn */
#define AGAIN_MS    500   /* after a read that failed */
#define REFUSED_MS  1000  /* until what a stream refuses is tried again */

/* ---- one event ---- */

/* It cannot be read: it is lost, and said so. */
static void lose(struct td_engine *e, const struct td_due *due)
{
    struct td_schedule *s = &e->streams.schedule;

    td_log(&e->options.log, TD_LOG_ERROR, "SCHEDULED-DAMAGED",
           "scheduled event %llu cannot be read",
           (unsigned long long)due->number);
    s->late -= due->when_ms != due->due_ms;
    td_dues_remove(&s->dues, due);
    e->streams.lost_states++;
}

/* Nobody takes it now, or it cannot leave: then it was routed. Many such are
 * tried less often. */
static void put_off(struct td_engine *e, const struct td_due *due, bool routed)
{
    struct td_schedule *s = &e->streams.schedule;
    struct td_due later = *due;

    later.routed = due->routed || routed;
    s->late += due->when_ms == due->due_ms;
    td_due_put_off(&later,
                   td_engine_unix_ms(e) + REFUSED_MS + (int64_t)s->late);
    td_dues_remove(&s->dues, due);
    td_dues_add(&s->dues, &later);
}

/* Its batch in e->batches, of the broker's own numbering: its publisher's may be
 * further on, and who sees it there would take it for one seen before. False:
 * it is none. */
static bool read_row(struct td_engine *e, const struct td_record *record,
                     struct td_batch *out, struct td_str *body)
{
    struct td_schedule_row row;
    const char *why;

    if (record->damaged || !td_schedule_row_read(record->value, &row) ||
        !td_scan(row.table.data, row.table.len, &td_scan_control) ||
        td_batches_decode(&e->batches, row.table,
                          (const uint8_t *)row.body.data, row.body.len, &why) ||
        e->batches.len != 1 || e->batches.events != 1)
        return false;
    *out = e->batches.batch[0];
    *body = row.body;
    e->batches.runs[0].first = ++e->advised;
    out->producer =
        (struct td_str){(const char *)e->producer, sizeof(e->producer)};
    td_buf_reset(&e->cut);
    td_batch_pack(&e->cut, out);
    out->wire = (struct td_str){(const char *)e->cut.data, e->cut.len};
    return true;
}

/* 0: it is stored, or there is no stream for it. */
static tidings_err store(struct td_engine *e, const struct td_due *due,
                         const struct td_batch *batch, struct td_body *body,
                         size_t offset)
{
    struct td_route *route =
        td_routes_find(&e->routes, &e->trie, batch->runs[0].type);
    struct td_stream *stream = route ? td_stream_of(e, route) : NULL;

    if (!route || e->cut.failed)
        return TIDINGS_ENOMEM;
    if (!stream) {
        e->streams.schedule.unstored += !due->routed;
        return TIDINGS_OK;
    }
    if (due->routed && !td_stream_is_on_disk(stream))
        return TIDINGS_OK; /* only the row's end has failed */
    return td_append_own(e, stream, batch, body, offset);
}

static void publish(struct td_engine *e, const struct td_due *due,
                    const struct td_record *record, struct td_body *bytes)
{
    struct td_batch batch;
    struct td_str body;
    size_t offset;

    if (!read_row(e, record, &batch, &body)) {
        lose(e, due);
        return;
    }
    offset = (size_t)((const uint8_t *)body.data - bytes->data);
    if (store(e, due, &batch, bytes, offset)) {
        put_off(e, due, false);
        return;
    }
    if (!due->routed)
        td_publish_own(e, &batch, bytes, offset);
    if (td_schedule_leave(e, due, TD_GOING_OUT))
        return;
    e->streams.txn.failed = true; /* nor is it stored */
    put_off(e, due, true);
}

/* ---- those that are due ---- */

static void on_due(struct td_engine *e, void *owner,
                   const struct td_store_answer *answer)
{
    struct td_schedule *s = &e->streams.schedule;
    int64_t now_ms = td_engine_unix_ms(e);
    const struct td_due *due;

    (void)owner;
    s->read = NULL;
    if (answer->err) {
        s->failed_ms = e->now_ms + AGAIN_MS;
        return;
    }
    for (uint32_t i = 0; i < answer->records_len; i++) {
        uint64_t number;
        int64_t due_ms;

        if (!td_place_read_due(answer->records[i].key, &due_ms, &number))
            continue;
        due = td_dues_find(&s->dues, number); /* or it was cancelled */
        if (due && due->due_ms == due_ms && due->when_ms <= now_ms)
            publish(e, due, &answer->records[i], answer->bytes);
    }
    due = td_dues_find(&s->dues, s->reading);
    if (due && due->when_ms <= now_ms)
        lose(e, due); /* it was asked for, and is not there */
}

static bool may_publish(const struct td_engine *e)
{
    const struct td_streams *st = &e->streams;

    return !st->schedule.read && !st->full && !td_commit_refuses(e) &&
           e->now_ms >= st->again_ms && e->now_ms >= st->schedule.failed_ms;
}

/* From the one that comes first: others that are due follow it, but for those
 * that were put off. */
static void ask(struct td_engine *e, const struct td_due *due, int64_t now_ms)
{
    struct td_schedule *s = &e->streams.schedule;
    struct td_place from = td_place_due(due->due_ms, due->number);
    struct td_place to = td_place_due(now_ms + 1, 0);

    s->reading = due->number;
    s->read = td_read_ask(e, &from, &to, false, RECORDS_MAX, TD_READ_BYTES,
                          on_due, NULL);
    if (!s->read)
        s->failed_ms = e->now_ms + AGAIN_MS;
}

int64_t td_schedule_tick(struct td_engine *e)
{
    struct td_schedule *s = &e->streams.schedule;
    const struct td_due *due = td_dues_first(&s->dues);
    int64_t now_ms = td_engine_unix_ms(e);

    if (!due || e->streams.loading || e->draining)
        return TD_NEVER;
    if (due->when_ms > now_ms)
        return e->now_ms + (due->when_ms - now_ms < TD_SCHEDULE_LOOK_MS
                                ? due->when_ms - now_ms
                                : TD_SCHEDULE_LOOK_MS);
    if (may_publish(e))
        ask(e, due, now_ms);
    return s->read ? TD_NEVER : e->now_ms + AGAIN_MS;
}
