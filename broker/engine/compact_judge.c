/* Compaction: which events of a record are not kept, and whether to cut them out.
 *
 * What is left becomes records, and what is not becomes gaps, which take room as
 * well: a record is left as it is when they would take more than is gained. But
 * then an old tombstone whose name has older events left may not go, or these
 * would be the newest: it waits, and the next pass cuts them out first, whatever
 * that gains. */
#include "broker/engine/looking.h"

/* What the store adds to each record: its key, a checksum, LMDB's node, and the
 * part of a page that stays empty when one is split. */
#define STORE_BYTES 48

/* The last of those events is its name's newest: whether it has no data, and
 * may go now. */
static bool is_old_tombstone(struct td_looking *l,
                             const struct td_newest_walk *w)
{
    struct td_compact *c = &l->stream->compact;
    int64_t due_ms =
        l->head.stored_ms + (int64_t)l->stream->options.tombstone_ms;

    if (!td_newest_is_last_empty(w))
        return false;
    if (due_ms <= td_engine_unix_ms(l->e))
        return true;
    if (c->due_ms == 0 || due_ms < c->due_ms)
        c->due_ms = due_ms;
    return false;
}

void td_looking_begin(const struct td_looking *l, struct td_newest_walk *w)
{
    const struct td_piece whole = td_piece_of(l->item);

    td_newest_begin(w, l->stream, &l->item->batch, td_piece_data(&whole),
                    l->first);
}

struct td_verdict td_looking_judge(struct td_looking *l,
                                   const struct td_newest_walk *w)
{
    struct td_lasts *lasts = &l->stream->lasts;
    struct td_verdict v = {.number = td_last_find(lasts, w->hash)};
    uint64_t last = w->sequence + w->events - 1;
    const struct td_last *name;

    if (!v.number)
        return v;
    name = td_last_at(lasts, v.number);
    if (name->kept > last) {
        v.gone = w->events;
    } else if (name->kept == last && last > 0) {
        bool old = is_old_tombstone(l, w);

        v.dies = old && !name->left;
        v.waits = old && name->left;
        v.gone = v.dies ? w->events : w->events - 1;
    }
    return v;
}

/* ---- what is gained ---- */

/* Whether a gap that this record begins with is one with that before it. */
static bool joins(const struct td_looking *l)
{
    const struct td_gap_record *gap = &l->stream->compact.gap;

    return gap->events > 0 && gap->first + gap->events == l->first &&
           gap->events < TD_GAP_EVENTS_MAX;
}

/* What a record takes beside its events, each more of one that is cut up. */
static int64_t record_bytes(struct td_looking *l)
{
    struct td_buf *table = &l->e->record_table;
    struct td_batch batch = l->item->batch;

    batch.runs_len = 1; /* that in which it is cut */
    td_buf_reset(table);
    td_batches_begin(table, 1);
    td_batch_pack(table, &batch);
    return (int64_t)table->len + TD_RECORD_GONE_BYTES + STORE_BYTES;
}

/* Of the first so many events of a step. */
static int64_t bytes_of(const struct td_newest_walk *w, uint32_t events)
{
    const uint8_t *end =
        events < w->events ? td_events_skip(w->from, w->at, events) : w->at;

    return end ? end - w->from : 0;
}

enum td_yield td_looking_weigh(struct td_looking *l)
{
    struct td_newest_walk w;
    bool in_gap = joins(l);
    bool in_record = false;
    int64_t records = 0;
    int64_t gained = 0;
    bool any = false;
    bool must = false;

    td_looking_begin(l, &w);
    while (td_newest_step(&w)) {
        const struct td_verdict v = td_looking_judge(l, &w);

        any = any || v.gone > 0 || v.waits;
        if (v.gone > 0) {
            must =
                must || v.dies || td_last_at(&l->stream->lasts, v.number)->ends;
            gained += bytes_of(&w, v.gone);
            gained -= in_gap ? 0 : TD_RECORD_GONE_BYTES + STORE_BYTES;
            in_gap = true;
            in_record = false;
        }
        if (v.gone < w.events) {
            records += !in_record;
            in_record = true;
            in_gap = false;
        }
    }
    if (!any)
        return TD_YIELD_NONE;
    if (records == 0)
        return TD_YIELD_ALL;
    gained -= (records - 1) * record_bytes(l);
    return must || gained > 0 ? TD_YIELD_MUCH : TD_YIELD_LITTLE;
}

/* ---- what is left ---- */

void td_looking_note(struct td_looking *l, bool left)
{
    struct td_compact *c = &l->stream->compact;
    struct td_newest_walk w;

    td_looking_begin(l, &w);
    while (td_newest_step(&w)) {
        const struct td_verdict v = td_looking_judge(l, &w);
        struct td_last *name =
            v.number ? td_last_at(&l->stream->lasts, v.number) : NULL;

        if (v.waits) {
            name->left = false;
            name->ends = true;
            c->due_ms = l->head.stored_ms;
        } else if (v.gone > 0 && left) {
            name->left = true;
        }
    }
}
