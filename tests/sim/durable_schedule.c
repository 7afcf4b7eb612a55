/* What is true of the schedule: what waits in it leaves it once, when it is due
 * and into its stream, or because somebody has cancelled it. */
#include "tests/sim/durable_world.h"

#include "broker/store/model_inside.h"

static bool is_known(const struct dur *d, const struct dur_event *event)
{
    return dur_is_known(d, &d->streams[event->stream], event->producer,
                        event->sequence);
}

/* ---- what the store has ---- */

/* The event of a row; 0: it is none. */
static uint32_t event_of(struct dur *d, struct td_str value)
{
    struct td_schedule_row row;
    const struct td_batch *batch = &d->batches.batch[0];
    const uint8_t *events;
    const char *why;
    bool own;

    if (!td_schedule_row_read(value, &row) ||
        !td_scan(row.table.data, row.table.len, &td_scan_control) ||
        td_batches_decode(&d->batches, row.table,
                          (const uint8_t *)row.body.data, row.body.len, &why) ||
        batch->events != 1) {
        dur_fail(d, __FILE__, __LINE__, "a row of the schedule is bad");
        return 0;
    }
    events = (const uint8_t *)row.body.data;
    return dur_event_met(d, batch, &batch->runs[0], 0, &events, &own);
}

/* As it is accepted. */
static void look_at(struct dur *d, struct td_str value, int64_t due_ms,
                    uint64_t number)
{
    uint32_t is = event_of(d, value);
    struct dur_event *event = dur_event_nth(d, is);

    while (d->numbered_len < number) {
        d->numbered = sim_grow(d->numbered, d->numbered_len, &d->numbered_cap,
                               sizeof(*d->numbered));
        d->numbered[d->numbered_len++] = 0;
    }
    d->numbered[number - 1] = is;
    if (!event)
        return;
    DUR_CHECK(d, event->due_ms > 0 && due_ms - DUR_EPOCH_MS >= event->due_ms,
              "schedule: %llu is due at %lld, not at %lld", (ull)number,
              (long long)(due_ms - DUR_EPOCH_MS), (long long)event->due_ms);
    DUR_CHECK(d, !event->told || !event->err || !is_known(d, event),
              "schedule: %llu was refused (%s)", (ull)number,
              tidings_err_name(event->err));
    if (event->number == 0)
        dur_named_stored(d, event);
    event->number = number;
    dur_seen(d, DUR_SEEN_SCHEDULED);
}

static void on_row(struct dur *d, struct td_str key, struct td_str value)
{
    struct dur_event *event;
    uint64_t number = 0;
    int64_t due_ms;

    if (!td_place_read_due(key, &due_ms, &number)) {
        dur_fail(d, __FILE__, __LINE__, "a key of the schedule is bad");
        return;
    }
    if (number == 0)
        return; /* which number comes next */
    if (number > d->numbered_len || d->numbered[number - 1] == 0)
        look_at(d, value, due_ms, number);
    event = dur_event_nth(d, d->numbered[number - 1]);
    if (!event)
        return;
    DUR_CHECK(d, !event->waits || !is_known(d, event),
              "schedule: %llu is there twice", (ull)number);
    event->waits = true;
    d->waiting = sim_grow(d->waiting, d->waiting_len, &d->waiting_cap,
                          sizeof(*d->waiting));
    d->waiting[d->waiting_len++] = d->numbered[number - 1];
}

static void read_rows(struct dur *d)
{
    const struct td_records *map = &d->model->current->map;
    struct td_place from = td_place_table(TD_TABLE_SCHEDULE);
    struct td_place to = td_place_table((enum td_table)(TD_TABLE_SCHEDULE + 1));
    uint32_t end = td_records_find(map, td_place_str(&to));

    for (uint32_t i = 0; i < d->waiting_len; i++)
        dur_event_nth(d, d->waiting[i])->waits = false;
    d->waiting_len = 0;
    for (uint32_t i = td_records_find(map, td_place_str(&from));
         i < end && !d->failed; i++)
        on_row(d, map->records[i]->key, map->records[i]->value);
}

void dur_schedule_read(struct dur *d)
{
    uint32_t *rows = d->waited;
    uint64_t cap = d->waited_cap;

    d->waited = d->waiting;
    d->waited_len = d->waiting_len;
    d->waited_cap = d->waiting_cap;
    for (uint64_t i = 0; i < d->waited_len; i++)
        dur_event_nth(d, d->waited[i])->waits = false;
    d->waiting = rows;
    d->waiting_len = 0;
    d->waiting_cap = cap;
    read_rows(d);
}

/* The transaction that has taken it off has stored it, or somebody wanted it. */
static void left(struct dur *d, struct dur_event *event)
{
    if (event->waits || event->at > 0)
        return;
    if (event->uncertain) {
        event->cancelled = true;
        dur_seen(d, DUR_SEEN_CANCELLED);
        return;
    }
    DUR_CHECK(d, dur_may_vanish(&d->streams[event->stream]),
              "schedule: producer %u, %llu waits no more, and is not stored",
              event->producer, (ull)event->sequence);
}

void dur_schedule_left(struct dur *d)
{
    for (uint64_t i = 0; i < d->waited_len && !d->failed; i++)
        left(d, dur_event_nth(d, d->waited[i]));
    d->waited_len = 0;
}

/* ---- after a crash ---- */

void dur_schedule_crashed(struct dur *d)
{
    /* what a power cut has taken back is not known by its number any more */
    for (uint64_t i = 0; i < d->numbered_len; i++)
        d->numbered[i] = 0;
    dur_schedule_read(d);
    if (d->waiting_len > 0)
        dur_seen(d, DUR_SEEN_SCHEDULED_CRASH);
    for (uint64_t i = 0; i < d->waiting_len; i++) {
        const struct dur_event *event = dur_event_nth(d, d->waiting[i]);

        DUR_CHECK(d, !event->cancelled && event->at == 0,
                  "schedule: producer %u, %llu waits again", event->producer,
                  (ull)event->sequence);
    }
}

void dur_schedule_survived(struct dur *d, enum dur_end how)
{
    for (uint64_t i = 0; i < d->waited_len; i++) {
        struct dur_event *event = dur_event_nth(d, d->waited[i]);

        if (how != DUR_POWER || event->waits || event->at > 0 ||
            event->uncertain ||
            dur_may_vanish(
                &d->streams[event->stream])) /* it was stored, and deleted */
            continue;
        DUR_CHECK(d, !dur_is_safe(event, how),
                  "schedule: producer %u, %llu was confirmed and is lost",
                  event->producer, (ull)event->sequence);
        event->cut = true;
        event->promised = 0;
        event->number = 0;
        dur_named_lost(d, event);
        d->waited[i] = d->waited[--d->waited_len];
        i--;
    }
    dur_schedule_left(d);
}

/* ---- what is said of it ---- */

void dur_schedule_told(struct dur *d, const struct td_confirmed *told,
                       uint64_t sequence, struct dur_event *event)
{
    uint64_t number =
        told->sequence ? told->sequence + (sequence - told->first) : 0;
    uint8_t level =
        event->level > TD_LEVEL_OS ? event->level : (uint8_t)TD_LEVEL_OS;
    uint32_t known =
        number > 0 && number <= d->numbered_len ? d->numbered[number - 1] : 0;

    DUR_CHECK(d, number > 0 || told->duplicate,
              "producer %u, %llu is confirmed without its number",
              event->producer, (ull)sequence);
    DUR_CHECK(d, known == 0 || dur_event_nth(d, known) == event,
              "schedule: %llu is confirmed as producer %u, %llu, and is not",
              (ull)number, event->producer, (ull)sequence);
    DUR_CHECK(d, (uint8_t)told->level >= level,
              "schedule: %llu is confirmed at another level", (ull)number);
    DUR_CHECK(d,
              event->waits || event->at > 0 || event->cancelled || event->cut ||
                  dur_may_vanish(&d->streams[event->stream]),
              "producer %u, %llu is confirmed, and does not wait",
              event->producer, (ull)sequence);
    if (event->promised < level)
        event->promised = level;
}

void dur_schedule_cancel(struct dur *d, msgpack_packer *pk)
{
    struct sim_random *r = &d->random;

    d->cancelling = 1 + sim_below(r, d->numbered_len + 1);
    for (uint64_t n = d->numbered_len; n > 0 && sim_chance(r, 900); n--) {
        struct dur_event *event = dur_event_nth(d, d->numbered[n - 1]);

        if (event && event->waits)
            d->cancelling = n;
    }
    msgpack_pack_map(pk, 1);
    td_pack_uint(pk, "number", d->cancelling);
}

void dur_schedule_asked(struct dur *d, struct td_str options)
{
    uint64_t number = 0;
    struct dur_event *event;

    if (!td_map_uint(options, "number", &number) || number < 1 ||
        number > d->numbered_len)
        return;
    event = dur_event_nth(d, d->numbered[number - 1]);
    if (event)
        event->uncertain = true;
}

void dur_schedule_cancelled(struct dur *d, tidings_err code)
{
    const struct dur_event *event =
        d->cancelling <= d->numbered_len
            ? dur_event_nth(d, d->numbered[d->cancelling - 1])
            : NULL;

    if (code == TIDINGS_ENOTFOUND)
        dur_seen(d, DUR_SEEN_CANCEL_LATE);
    else if (code)
        dur_seen(d, DUR_SEEN_CANCEL_FAILED);
    else
        DUR_CHECK(d, !event || event->cancelled,
                  "schedule: %llu was cancelled, and is %s", (ull)d->cancelling,
                  event->waits ? "there" : "stored");
}

void dur_schedule_final(struct dur *d)
{
    for (uint32_t n = 1; n <= d->events_len; n++) {
        const struct dur_event *event = dur_event_nth(d, n);

        DUR_CHECK(d,
                  event->due_ms == 0 || !event->told || event->err ||
                      event->cut || event->at > 0 || event->cancelled ||
                      dur_may_vanish(&d->streams[event->stream]),
                  "schedule: producer %u, %llu was confirmed and is nowhere",
                  event->producer, (ull)event->sequence);
    }
}
