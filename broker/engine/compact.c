/* Compaction: a pass over the records of a stream, page by page, from the
 * oldest to the one before the newest. A record with events that are not the
 * newest of their names is cut up, if that gains anything: what is left becomes
 * records of its own, and what is not becomes gaps, joined with those beside
 * them. Sequences stay as they
 * are, and each record names its predecessor, so that the one behind a change
 * is written anew with it. All of a page is in one transaction; the first record
 * of the next page is put right with that one, or in the next pass (keyspace.h).
 *
 * While the store has no room only records of which nothing is left become gaps,
 * each of its own: nothing else is written anew.
 *
 * An event without data is a tombstone: it goes after tombstone_ms, and its name
 * is forgotten with it. A pass begins when as many events have come as there are
 * names, and many: so a stream has about twice what is live in it, at most. What
 * is less waits a while for more, if some of it makes an event go at all; of a
 * stream that is large it waits on, but for tombstones. Those that are due share
 * a pass, once in an eighth of tombstone_ms or in that while. */
#include "broker/engine/looking.h"

#include <string.h>

#define PAGE_BYTES (256u << 10)
/* … while the store has no room: a transaction of it is a small one. */
#define LEAN_BYTES TD_STORE_SMALL_BYTES
#define AGAIN_MS   1000  /* after a failure */
#define FAILED_MS  10000 /* after a commit that failed, and others with it */

bool td_compact_is_moving(struct td_engine *e, const struct td_stream *stream)
{
    return stream->compact.ticket > 0 &&
           !td_commit_is_written(e, stream->compact.ticket);
}

void td_compact_anew(struct td_stream *stream)
{
    struct td_compact *c = &stream->compact;

    td_read_forget(c->read);
    memset(c, 0, sizeof(*c));
}

void td_compact_take_back(struct td_engine *e, struct td_stream *stream)
{
    struct td_compact *c = &stream->compact;
    const struct td_compact was = *c;
    bool failed = td_compact_is_moving(e, stream);

    td_compact_anew(stream);
    c->swept = was.swept;
    c->swept_ms = was.swept_ms;
    c->failed_ms = failed ? e->now_ms + FAILED_MS : was.failed_ms;
}

void td_compact_purged(struct td_stream *stream)
{
    uint64_t ticket = stream->compact.ticket;

    td_compact_anew(stream);
    stream->compact.ticket = ticket;
}

void td_compact_note(struct td_stream *stream, const struct td_newest_walk *w)
{
    struct td_compact *c = &stream->compact;
    uint64_t last = w->sequence + w->events - 1;
    uint32_t number = td_last_find(&stream->lasts, w->hash);

    if (td_newest_is_last_empty(w))
        c->stirred = c->tombstone = last;
    else if (w->events > 1 ||
             (number && td_last_at(&stream->lasts, number)->head > 0))
        c->stirred = last;
}

/* ---- a page ---- */

/* Where records begin is known to nobody any more. */
static void forget_places(struct td_engine *e, struct td_stream *stream)
{
    struct td_consumer *c;

    td_retain_unread(stream);
    td_entries_drop(stream, stream->compact.at);
    DL_FOREACH2(stream->consumers, c, stream_next)
    {
        if (c->locating)
            continue;
        td_read_forget(c->read);
        c->read = NULL;
        c->read_next = 0;
        td_consumer_ready(e, c);
    }
    td_stream_dirty(e, stream);
}

static void end_pass(struct td_stream *stream)
{
    struct td_compact *c = &stream->compact;

    c->at = 0;
    c->gap.events = 0;
    c->linked = false;
}

static void on_page(struct td_engine *e, void *owner,
                    const struct td_store_answer *answer)
{
    struct td_looking l = {.e = e,
                           .stream = owner,
                           .bytes = answer->bytes,
                           .frugal = e->streams.no_room};
    struct td_compact *c = &l.stream->compact;
    uint64_t ticket = c->ticket;
    bool ok = !answer->err;

    c->read = NULL;
    c->ticket = 0;
    if (c->at < l.stream->oldest.from || c->gap.first < l.stream->oldest.from) {
        c->gap.events = 0; /* retention has taken it */
        c->linked = c->linked && c->at >= l.stream->oldest.from;
    }
    for (uint32_t i = 0; i < answer->records_len && ok; i++)
        ok = td_looking_at(&l, &answer->records[i]);
    td_looking_put_gap(&l);
    if (!ok && c->ticket) /* half of a record is not one */
        e->streams.txn.failed = true;
    if (c->ticket)
        forget_places(e, l.stream);
    else
        c->ticket = ticket;
    if (!ok) {
        end_pass(l.stream);
        c->done = c->end = 0;
        c->failed_ms = e->now_ms + AGAIN_MS;
    } else if (answer->records_len == 0 || c->at > c->end) {
        end_pass(l.stream);
    }
}

static void read_page(struct td_engine *e, struct td_stream *stream)
{
    struct td_compact *c = &stream->compact;
    struct td_place from = td_place_two(TD_TABLE_RECORD, stream->id, c->at);
    struct td_place to = td_place_two(TD_TABLE_RECORD, stream->id, c->end + 1);

    c->read = td_read_ask(e, &from, &to, false, UINT32_MAX,
                          e->streams.no_room ? LEAN_BYTES : PAGE_BYTES, on_page,
                          stream);
    if (!c->read)
        c->failed_ms = e->now_ms + AGAIN_MS;
}

/* ---- passes ---- */

/* The newest record stays as it is. */
static bool is_nothing_before_it(const struct td_stream *stream)
{
    return stream->kept.last_record <= stream->kept.first ||
           stream->kept.last_record <= stream->oldest.from;
}

/* How long one waits, so that the reading of a large stream costs no more in a
 * second than that of a small one. */
static int64_t wait_of(const struct td_stream *stream)
{
    uint64_t waits = 1 + stream->kept.bytes / TD_COMPACT_WAIT_BYTES;
    uint64_t most = TD_COMPACT_WAIT_MS_MAX / TD_COMPACT_WAIT_MS;

    return (int64_t)(waits < most ? waits : most) * TD_COMPACT_WAIT_MS;
}

/* When a pass may begin for the sake of tombstones: not at each one's time. */
static int64_t tombstones_due(struct td_engine *e,
                              const struct td_stream *stream)
{
    const struct td_compact *c = &stream->compact;
    int64_t apart_ms = (int64_t)(stream->options.tombstone_ms / 8);
    int64_t at;

    if (c->due_ms == 0)
        return TD_NEVER;
    at = e->now_ms + c->due_ms - td_engine_unix_ms(e);
    apart_ms = apart_ms > wait_of(stream) ? apart_ms : wait_of(stream);
    return c->swept && at < c->swept_ms + apart_ms ? c->swept_ms + apart_ms
                                                   : at;
}

/* Events that no pass has seen. */
static uint64_t come(const struct td_stream *stream)
{
    uint64_t done = stream->compact.done;

    return stream->kept.next -
           (done > stream->kept.first ? done : stream->kept.first);
}

/* Whether the next pass may find something that the last one did not. */
static bool is_stirred(const struct td_stream *stream)
{
    const struct td_compact *c = &stream->compact;

    return c->stirred >= c->end && stream->kept.last_record > c->end &&
           !is_nothing_before_it(stream);
}

/* When what has come has waited long enough for more. */
static int64_t wait_ends(const struct td_stream *stream)
{
    const struct td_compact *c = &stream->compact;
    bool large = stream->kept.bytes > TD_COMPACT_WAIT_BYTES &&
                 come(stream) < stream->lasts.count;
    int64_t wait_ms = wait_of(stream);
    int64_t tombstone_ms = (int64_t)stream->options.tombstone_ms;

    if (c->since_ms == 0)
        return TD_NEVER;
    if (c->end == 0 || !large)
        return c->since_ms + wait_ms;
    if (c->tombstone < c->end)
        return TD_NEVER;
    return c->since_ms + (tombstone_ms > wait_ms ? tombstone_ms : wait_ms);
}

static int64_t next_pass(struct td_engine *e, const struct td_stream *stream)
{
    int64_t tombstones = tombstones_due(e, stream);
    int64_t waited = wait_ends(stream);

    return tombstones < waited ? tombstones : waited;
}

static bool is_due(struct td_engine *e, const struct td_stream *stream)
{
    uint64_t names = stream->lasts.count;
    uint64_t many =
        names > TD_COMPACT_EVENTS_MIN ? names : TD_COMPACT_EVENTS_MIN;

    return come(stream) >= many || next_pass(e, stream) <= e->now_ms;
}

static void begin_pass(struct td_engine *e, struct td_stream *stream)
{
    struct td_compact *c = &stream->compact;

    if (tombstones_due(e, stream) <= e->now_ms) {
        c->swept = true;
        c->swept_ms = e->now_ms;
    }
    if (c->end == 0) /* what is in the newest record is not known */
        c->stirred = c->tombstone = stream->head.next - 1;
    c->at = stream->oldest.from;
    c->end = stream->kept.last_record;
    c->done = stream->kept.next;
    c->due_ms = 0;
    c->since_ms = 0;
    c->put_off = false;
}

/* What there was no room for, and what has come. */
static void look_for_news(struct td_engine *e, struct td_stream *stream)
{
    struct td_compact *c = &stream->compact;

    if (c->put_off && !e->streams.no_room) {
        c->put_off = false;
        c->end = 0;
    }
    if (is_nothing_before_it(stream))
        c->due_ms = 0; /* nor is there a tombstone */
    if (!is_stirred(stream))
        c->since_ms = 0;
    else if (c->since_ms == 0)
        c->since_ms = e->now_ms;
}

/* Returns when to look at it again. */
static int64_t go_on(struct td_engine *e, struct td_stream *stream)
{
    struct td_compact *c = &stream->compact;

    if (c->failed_ms > e->now_ms)
        return c->failed_ms;
    if (c->read || td_compact_is_moving(e, stream))
        return TD_NEVER; /* its answer looks again */
    if (c->at == 0) {
        look_for_news(e, stream);
        if (!is_nothing_before_it(stream) && is_due(e, stream))
            begin_pass(e, stream);
    }
    if (c->at > 0)
        read_page(e, stream);
    if (c->failed_ms > e->now_ms)
        return c->failed_ms;
    return c->at == 0 ? next_pass(e, stream) : TD_NEVER;
}

int64_t td_compact_tick(struct td_engine *e)
{
    struct td_streams *st = &e->streams;
    int64_t next = TD_NEVER;

    if (st->loading || st->full || st->stuck || st->broken || e->draining ||
        e->now_ms < st->again_ms)
        return TD_NEVER;
    for (struct td_stream *s = st->all; s; s = s->hh.next) {
        int64_t at = s->options.compact ? go_on(e, s) : TD_NEVER;

        next = at < next ? at : next;
    }
    return next;
}
