/* What is true of streams: which event stands where, as the store has it; and
 * what was confirmed. */
#include "tests/sim/durable_world.h"

#include "broker/store/model_inside.h"

#include <stdlib.h>
#include <string.h>

#define SLOWEST_MS 20000 /* a commit may take so long */

struct dur_event *dur_event_at(struct dur *d, const struct dur_stream *s,
                               uint64_t sequence)
{
    if (sequence < 1 || sequence > s->len)
        return NULL;
    return dur_event_nth(d, s->at[sequence - 1].event);
}

struct dur_stream *dur_stream_named(struct dur *d, struct td_str name)
{
    for (uint32_t i = 0; i < d->streams_len; i++) {
        struct dur_stream *s = &d->streams[i];

        if (strlen(s->name) == name.len &&
            memcmp(s->name, name.data, name.len) == 0)
            return s;
    }
    return NULL;
}

void dur_store_walk(struct dur *d, enum td_table table, uint32_t id,
                    uint64_t first,
                    void (*row)(struct dur *d, void *ctx, struct td_str key,
                                struct td_str value),
                    void *ctx)
{
    const struct td_records *map = &d->model->current->map;
    struct td_place from =
        first ? td_place_two(table, id, first) : td_place_one(table, id);
    struct td_place to = td_place_one(table, id + 1);
    uint32_t end = td_records_find(map, td_place_str(&to));

    for (uint32_t i = td_records_find(map, td_place_str(&from)); i < end; i++)
        row(d, ctx, map->records[i]->key, map->records[i]->value);
}

/* ---- what a stream has got ---- */

static void put(struct dur_stream *s, uint32_t number)
{
    s->at = sim_grow(s->at, s->len, &s->cap, sizeof(*s->at));
    s->at[s->len++] = (struct dur_place){.event = number};
}

bool dur_is_known(const struct dur *d, const struct dur_stream *s,
                  uint32_t producer, uint64_t sequence)
{
    return sequence > d->producers[producer].unsure &&
           (!s->memory || d->failures == 0);
}

/* One with its id may be there only if that is long ago. */
static void check_id(struct dur *d, struct dur_stream *s,
                     const struct dur_event *event, bool known)
{
    const struct dur_event *other = dur_event_at(d, s, s->ids[event->id]);

    if (event->id == 0)
        return;
    DUR_CHECK(d,
              !other || !known || s->ids[event->id] < s->purging ||
                  d->now_ms - other->at_ms > TD_DEDUP_MS - SLOWEST_MS,
              "stream %s: %llu has the id of %llu", s->name, (ull)s->len + 1,
              (ull)s->ids[event->id]);
    s->ids[event->id] = s->len + 1;
}

/* Its publisher's order; of what has waited there is none. */
static void check_order(struct dur *d, struct dur_stream *s,
                        const struct dur_event *event, bool known)
{
    uint64_t *last = &s->last[event->producer][event->type];

    DUR_CHECK(
        d, event->sequence > *last || d->failures > 0 || !known || event->err,
        "stream %s: producer %u, %llu of its type follows %llu", s->name,
        event->producer, (ull)event->sequence, (ull)*last);
    *last = event->sequence > *last ? event->sequence : *last;
}

static void check_time(struct dur *d, const struct dur_stream *s,
                       const struct dur_event *event, bool own, bool known,
                       int64_t stored_ms)
{
    DUR_CHECK(d, stored_ms - DUR_EPOCH_MS >= event->due_ms,
              "stream %s: %llu is stored at %lld, and due at %lld", s->name,
              (ull)s->len + 1, (long long)(stored_ms - DUR_EPOCH_MS),
              (long long)event->due_ms);
    DUR_CHECK(d, (!event->waits && !event->cancelled) || !known,
              "stream %s: %llu is stored, and %s", s->name, (ull)s->len + 1,
              event->waits ? "waits still" : "was cancelled");
    DUR_CHECK(d, own, "stream %s: %llu has its publisher's number", s->name,
              (ull)s->len + 1);
    dur_seen(d, DUR_SEEN_FIRED);
}

static void add_event(struct dur *d, struct dur_stream *s, uint32_t number,
                      bool own, int64_t stored_ms)
{
    struct dur_event *event = dur_event_nth(d, number);
    bool known = dur_is_known(d, s, event->producer, event->sequence);

    DUR_CHECK(d, event->at == 0 || !known,
              "stream %s: producer %u, %llu is under %llu and again under "
              "%llu",
              s->name, event->producer, (ull)event->sequence, (ull)event->at,
              (ull)s->len + 1);
    DUR_CHECK(d, &d->streams[event->stream] == s,
              "stream %s takes what is another's", s->name);
    DUR_CHECK(d, !event->told || !event->err || !known,
              "producer %u, %llu was refused (%s) and is stored",
              event->producer, (ull)event->sequence,
              tidings_err_name(event->err));
    if (!own) {
        check_order(d, s, event, known);
        dur_named_stored(d, event);
    }
    if (event->due_ms > 0)
        check_time(d, s, event, own, known, stored_ms);
    check_id(d, s, event, known);
    event->at = s->len + 1;
    event->at_ms = stored_ms - DUR_EPOCH_MS;
    event->cut = false;
    put(s, number);
    dur_names_add(s, event, s->len);
}

static void add_batch(struct dur *d, struct dur_stream *s,
                      const struct td_batch *batch, const uint8_t *events,
                      uint64_t first, int64_t stored_ms)
{
    while (s->len + 1 < first)
        put(s, 0); /* retention was faster */
    for (uint32_t i = 0; i < batch->runs_len; i++) {
        const struct td_run *run = &batch->runs[i];

        for (uint32_t n = 0; n < run->count; n++, first++) {
            bool own;
            uint32_t number = dur_event_met(d, batch, run, n, &events, &own);

            if (number == 0)
                return;
            if (first > s->len)
                add_event(d, s, number, own, stored_ms);
            DUR_CHECK(
                d,
                s->at[first - 1].event == number || s->at[first - 1].event == 0,
                "stream %s: %llu is not what it was", s->name, (ull)first);
        }
    }
}

struct reading {
    struct dur_stream *s;
    bool *present;     /* by sequence; NULL: nobody asks */
    uint64_t next;     /* sequence */
    uint64_t previous; /* record */
};

static void on_record(struct dur *d, void *ctx, struct td_str key,
                      struct td_str value)
{
    struct reading *r = ctx;
    struct td_record_head head;
    const char *why;
    uint64_t first = 0;
    uint32_t id;

    if (!td_place_read_two(key, TD_TABLE_RECORD, &id, &first) ||
        !td_record_read(value, &head) ||
        (!head.gone &&
         (!td_scan(head.table.data, head.table.len, &td_scan_control) ||
          td_batches_decode(&d->batches, head.table,
                            (const uint8_t *)head.body.data, head.body.len,
                            &why)))) {
        dur_fail(d, __FILE__, __LINE__, "a record of %s is bad", r->s->name);
        return;
    }
    DUR_CHECK(d, r->next == 0 || first == r->next,
              "stream %s: a record begins at %llu, not %llu", r->s->name,
              (ull)first, (ull)r->next);
    /* compaction goes page by page: between two it names what was there */
    DUR_CHECK(d,
              r->next == 0 || head.previous == r->previous ||
                  (r->s->compact && head.previous < first),
              "stream %s: record %llu names %llu as the one before, not %llu",
              r->s->name, (ull)first, (ull)head.previous, (ull)r->previous);
    r->next = first + head.events;
    r->previous = first;
    DUR_CHECK(d, !head.gone || r->s->compact, "stream %s has a hole at %llu",
              r->s->name, (ull)first);
    if (head.gone)
        return;
    for (uint64_t n = first; r->present && n < r->next; n++)
        r->present[n <= r->s->len ? n : 0] = true;
    if (first + head.events > r->s->len + 1 || r->present)
        add_batch(d, r->s, &d->batches.batch[0],
                  (const uint8_t *)head.body.data, first, head.stored_ms);
}

static bool state_of(struct dur *d, const struct dur_stream *s,
                     struct td_stream_state *out)
{
    struct td_place key = td_place_one(TD_TABLE_STATE, s->id);
    const struct td_kept_record *record =
        td_records_get(&d->model->current->map, td_place_str(&key));
    const struct td_stream_state none = {.first = 1, .next = 1};

    *out = none;
    return record &&
           td_state_read((struct td_str){record->value.data, record->value.len},
                         out);
}

static void read_disk(struct dur *d, struct dur_stream *s)
{
    struct reading r = {.s = s};
    struct td_stream_state state;

    if (!state_of(d, s, &state) || state.next == s->len + 1)
        return;
    DUR_CHECK(d, state.next > s->len, "stream %s goes back from %llu to %llu",
              s->name, (ull)s->len, (ull)state.next - 1);
    dur_store_walk(d, TD_TABLE_RECORD, s->id, s->len + 1, on_record, &r);
    while (s->len + 1 < state.next)
        put(s, 0);
    DUR_CHECK(d, s->len + 1 == state.next && r.next <= state.next,
              "stream %s: state says %llu, records %llu", s->name,
              (ull)state.next, (ull)r.next);
    if (state.first > 1)
        dur_seen(d, DUR_SEEN_BACKLOG);
}

void dur_book_read_memory(struct dur *d, struct dur_stream *s)
{
    const struct td_stream *stream =
        d->broker.engine ? td_stream_find(d->broker.engine, td_str_of(s->name))
                         : NULL;

    for (uint32_t i = 0; stream && i < stream->entries.len; i++) {
        const struct td_entry *entry = td_fifo_nth(&stream->entries, i);

        if (entry->first + entry->events > s->len + 1)
            add_batch(d, s, &entry->item->batch,
                      entry->item->body->data + entry->item->offset,
                      entry->first, entry->stored_ms);
        dur_seen(d, DUR_SEEN_MEMORY_STREAM);
    }
}

/* Of a producer that was refused a lot the broker forgets what of it. */
static void read_unsure(struct dur *d)
{
    for (uint32_t i = 0; i < d->producers_len && d->broker.engine; i++) {
        struct dur_producer *p = &d->producers[i];
        const struct td_str id = {(const char *)p->id, sizeof(p->id)};
        const struct td_producer *known =
            td_producer_find(d->broker.engine, id);

        if (known && known->stored.unsure > p->unsure)
            p->unsure = known->stored.unsure;
    }
}

void dur_book_read(struct dur *d)
{
    read_unsure(d);
    dur_schedule_read(d);
    for (uint32_t i = 0; i < d->streams_len; i++) {
        struct dur_stream *s = &d->streams[i];
        const struct td_stream *stream =
            d->broker.engine && d->broker.loaded
                ? td_stream_find(d->broker.engine, td_str_of(s->name))
                : NULL;

        if (stream)
            s->id = stream->id;
        if (s->id && s->memory)
            dur_book_read_memory(d, s);
        else if (s->id)
            read_disk(d, s);
    }
    dur_schedule_left(d);
}

/* All that it has: what is not there may be gone, and what is is as it was. */
static void read_all(struct dur *d, struct dur_stream *s)
{
    struct reading r = {.s = s, .present = sim_alloc(s->len + 1)};
    struct td_stream_state state;

    state_of(d, s, &state);
    dur_store_walk(d, TD_TABLE_RECORD, s->id, 0, on_record, &r);
    DUR_CHECK(d, r.next == 0 ? state.first == state.next : r.next == state.next,
              "stream %s: records end at %llu, not %llu", s->name, (ull)r.next,
              (ull)state.next);
    dur_names_check(d, s, state.first, r.previous, r.present);
    free(r.present);
}

/* ---- after a crash ---- */

bool dur_is_safe(const struct dur_event *event, enum dur_end how)
{
    return event->promised == TD_LEVEL_DISK ||
           (event->promised == TD_LEVEL_OS && how != DUR_POWER);
}

static void take_back(struct dur *d, struct dur_stream *s, uint64_t next,
                      enum dur_end how)
{
    while (s->len >= next) {
        struct dur_event *event = dur_event_at(d, s, s->len);

        DUR_CHECK(d,
                  !event || s->memory ||
                      (!dur_is_safe(event, how) && event->due_ms == 0),
                  "stream %s: producer %u, %llu was confirmed and is lost",
                  s->name, event->producer, (ull)event->sequence);
        if (event && event->at == s->len) {
            dur_named_lost(d, event);
            event->at = 0;
            event->promised = 0;
            event->cut = true;
        }
        s->len--;
    }
    memset(s->last, 0, sizeof(s->last));
    memset(s->ids, 0, sizeof(s->ids));
    dur_names_anew(d, s);
    for (uint64_t n = 1; n <= s->len; n++) {
        const struct dur_event *event = dur_event_at(d, s, n);

        if (event && event->due_ms == 0 &&
            s->last[event->producer][event->type] < event->sequence)
            s->last[event->producer][event->type] = event->sequence;
        if (event && event->id > 0)
            s->ids[event->id] = n;
    }
}

void dur_book_crashed(struct dur *d, enum dur_end how)
{
    dur_schedule_crashed(d);
    for (uint32_t i = 0; i < d->streams_len; i++) {
        struct dur_stream *s = &d->streams[i];
        struct td_stream_state state;

        if (s->memory) {
            take_back(d, s, 1, how);
            continue;
        }
        if (!s->id)
            continue;
        state_of(d, s, &state);
        DUR_CHECK(d, state.next > s->len || how == DUR_POWER,
                  "stream %s: %llu were written, %llu are left", s->name,
                  (ull)s->len, (ull)state.next - 1);
        DUR_CHECK(d, state.first >= s->purged,
                  "stream %s: what was purged is there again", s->name);
        take_back(d, s, state.next, how);
        read_disk(d, s);
        read_all(d, s);
    }
    dur_schedule_survived(d, how);
}

/* ---- the end ---- */

static void check_stream(struct dur *d, struct dur_stream *s)
{
    const struct td_stream *stream =
        td_stream_find(d->broker.engine, td_str_of(s->name));

    if (!stream || s->memory)
        return;
    DUR_CHECK(
        d, stream->kept.next == s->len + 1 && stream->head.next == s->len + 1,
        "stream %s: next is %llu, and %llu were written", s->name,
        (ull)stream->kept.next, (ull)s->len);
    read_all(d, s);
}

void dur_book_final(struct dur *d)
{
    for (uint32_t i = 0; i < d->streams_len; i++)
        check_stream(d, &d->streams[i]);
    for (uint32_t n = 1; n <= d->events_len; n++) {
        const struct dur_event *event = dur_event_nth(d, n);

        /* or retention was faster than the book */
        DUR_CHECK(d,
                  !event->told || event->err || event->cut || event->at > 0 ||
                      event->repeat || event->level == TD_LEVEL_MEMORY ||
                      event->due_ms > 0 ||
                      dur_may_vanish(&d->streams[event->stream]),
                  "producer %u, %llu was confirmed and is nowhere",
                  event->producer, (ull)event->sequence);
        DUR_CHECK(d, !event->cut || event->at == 0, "the book is wrong");
    }
    dur_schedule_final(d);
}
