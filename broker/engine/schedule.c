/* What is scheduled: taken in, and what the store says of it. */
#include "broker/engine/internal.h"

#include "broker/engine/pack.h"
#include "proto/id.h"

#include <string.h>

/* After a commit that failed. */
#define AGAIN_MS 500

const struct td_stream td_schedule_stream = {
    .id = UINT32_MAX, /* no stream's */
    .options = {.name = {TD_SCHEDULE_NAME, sizeof(TD_SCHEDULE_NAME) - 1}},
};

void td_schedule_init(struct td_schedule *s)
{
    s->going.size = sizeof(struct td_going);
    s->next = 1;
}

void td_schedule_fini(struct td_schedule *s)
{
    td_read_forget(s->read);
    td_dues_fini(&s->dues);
    td_fifo_fini(&s->going);
}

/* ---- what becomes of it ---- */

static void tell(struct td_engine *e, struct td_session *s,
                 const struct td_batch *batch, uint64_t ticket,
                 const struct td_confirm *as)
{
    struct td_confirm row = *as;
    /* it is full itself, or it is the disk, which has no name here */
    bool full = row.code == TIDINGS_EFULL && !td_commit_refuses(e);

    for (uint32_t i = 0; i < batch->runs_len; i++) {
        row.first = batch->runs[i].first;
        row.count = batch->runs[i].count;
        td_confirm(e, s, ticket,
                   row.sequence || full ? &td_schedule_stream : NULL, &row);
        row.sequence += row.sequence ? row.count : 0;
    }
}

static void refuse(struct td_engine *e, struct td_session *s,
                   const struct td_batch *batch, tidings_err code)
{
    const struct td_confirm row = {.code = code};

    for (uint32_t i = 0; i < batch->runs_len; i++) {
        const struct td_run *run = &batch->runs[i];

        td_stored_lose(&s->producer->stored, run->first,
                       run->first + run->count - 1);
    }
    tell(e, s, batch, 0, &row);
}

/* What was accepted is written. */
static unsigned level_of(unsigned asked)
{
    return asked > TD_LEVEL_OS ? asked : TD_LEVEL_OS;
}

/* A run of it; false: it lies, where bodies are not walked. */
static bool run_again(struct td_engine *e, struct td_session *s,
                      struct td_run run, const uint8_t *data, unsigned level)
{
    const uint8_t *end = data + run.bytes;

    while (run.count > 0) {
        struct td_again again = td_again_of(s->producer, &run, data);
        struct td_confirm row = {.first = run.first,
                                 .count = again.events,
                                 .code = again.code,
                                 .level = again.code ? 0 : level_of(level),
                                 .duplicate = !again.code};

        td_confirm(e, s, td_commit_last(e), NULL, &row);
        data = td_events_skip(data, end, again.events);
        if (!data)
            return false;
        run.bytes = (uint32_t)(end - data);
        run.first += again.events;
        run.count -= again.events;
    }
    return true;
}

void td_schedule_again(struct td_engine *e, struct td_session *s,
                       const struct td_batch *batch, struct td_body *body,
                       size_t offset, unsigned level)
{
    for (uint32_t i = 0; i < batch->runs_len; i++) {
        const struct td_run *run = &batch->runs[i];

        if (!run_again(e, s, *run, body->data + offset, level))
            return;
        offset += run->bytes;
    }
}

/* ---- one event ---- */

/* Its attributes with an id of its own, in e->table: what is read of it later
 * is not read with its batch. False: there is no room for one. */
static bool pack_attrs(struct td_engine *e, const struct td_batch *batch,
                       uint64_t sequence, struct td_str attrs)
{
    struct td_reader r = td_reader_of(attrs.data, attrs.len);
    char id[TD_ID_TEXT_BYTES + 1];
    uint32_t pairs = 0;
    msgpack_packer pk;

    if (attrs.len > 0 && !td_read_map(&r, &pairs))
        return false;
    td_id_format(id, (const uint8_t *)batch->producer.data, sequence);
    td_buf_reset(&e->table);
    msgpack_packer_init(&pk, &e->table, td_buf_pack_write);
    msgpack_pack_map(&pk, pairs + 1);
    td_pack_str(&pk, "id", td_str_of(id));
    td_buf_append(&e->table, r.p, (size_t)(r.end - r.p));
    return pairs < TD_ATTRS_MAX && e->table.len <= TD_ATTRS_BYTES_MAX;
}

/* An event that lies where bodies are not walked, or has too many attributes to
 * be given another. */
static bool is_fit(struct td_engine *e, const struct td_batch *batch,
                   const struct td_run *run, uint64_t sequence,
                   const struct td_event *event)
{
    return (run->flags & TD_RUN_ID) ||
           pack_attrs(e, batch, sequence, event->attrs);
}

/* Its row in e->streams.value. */
static void pack_row(struct td_engine *e, const struct td_batch *batch,
                     const struct td_run *of, uint64_t sequence,
                     const struct td_event *event)
{
    struct td_str attrs = event->attrs;
    struct td_run run = *of;
    struct td_batch one = *batch;
    struct td_schedule_row row = {0};
    struct td_buf *value = &e->streams.value;
    uint8_t *to;

    if (!(run.flags & TD_RUN_ID)) {
        pack_attrs(e, batch, sequence, event->attrs);
        attrs = (struct td_str){(const char *)e->table.data, e->table.len};
    }
    run.flags |= TD_RUN_ID;
    run.first = sequence;
    run.count = 1;
    run.bytes =
        (uint32_t)td_event_size(event->dt_us, event->data.len, attrs.len);
    one.runs = &run;
    one.runs_len = one.events = 1;
    one.bytes = run.bytes;
    td_buf_reset(&e->record_table);
    td_batches_begin(&e->record_table, 1);
    td_batch_pack(&e->record_table, &one);
    row.table = (struct td_str){(const char *)e->record_table.data,
                                e->record_table.len};
    td_buf_reset(value);
    td_schedule_row_pack(value, &row);
    if (!td_buf_reserve(value, run.bytes))
        return;
    to = value->data + value->len;
    value->len += (size_t)(td_event_put(to, event->dt_us, event->data.data,
                                        event->data.len, attrs) -
                           to);
    value->failed = value->failed || e->table.failed || e->record_table.failed;
}

/* ---- a batch ---- */

struct accepting {
    struct td_engine *e;
    const struct td_batch *batch;
    int64_t due_ms;
};

/* Shows each event; false: one is malformed, or each has said so. */
static bool for_each(const struct accepting *a, const uint8_t *p,
                     bool (*each)(const struct accepting *a,
                                  const struct td_run *run, uint64_t sequence,
                                  const struct td_event *event))
{
    for (uint32_t i = 0; i < a->batch->runs_len; i++) {
        const struct td_run *run = &a->batch->runs[i];
        const uint8_t *end = p + run->bytes;

        for (uint32_t n = 0; n < run->count; n++) {
            struct td_event event;

            if (!td_event_open(&event, &p, end) ||
                !each(a, run, run->first + n, &event))
                return false;
        }
    }
    return true;
}

static bool look(const struct accepting *a, const struct td_run *run,
                 uint64_t sequence, const struct td_event *event)
{
    return is_fit(a->e, a->batch, run, sequence, event);
}

static bool put(const struct accepting *a, const struct td_run *run,
                uint64_t sequence, const struct td_event *event)
{
    struct td_streams *st = &a->e->streams;
    struct td_schedule *s = &st->schedule;
    struct td_due due = {
        .when_ms = a->due_ms, .due_ms = a->due_ms, .number = s->next++};
    struct td_place key = td_place_due(due.due_ms, due.number);
    struct td_going *going = td_fifo_push(&s->going);

    pack_row(a->e, a->batch, run, sequence, event);
    td_commit_put(a->e, &key, &st->value, NULL, 0, 0);
    if (going)
        *going = (struct td_going){td_commit_ticket(a->e), TD_GOING_IN, due};
    else
        st->txn.failed = true;
    return true;
}

static void put_next(struct td_engine *e)
{
    const struct td_schedule_row row = {.next = e->streams.schedule.next};
    struct td_place key = td_place_due(0, 0);

    td_buf_reset(&e->streams.value);
    td_schedule_row_pack(&e->streams.value, &row);
    td_commit_put(e, &key, &e->streams.value, NULL, 0, 0);
}

/* Whether streams on disk take its types; 0: they do. */
static tidings_err judge_types(struct td_engine *e,
                               const struct td_batch *batch)
{
    for (uint32_t i = 0; i < batch->runs_len; i++) {
        struct td_route *route =
            td_routes_find(&e->routes, &e->trie, batch->runs[i].type);
        struct td_stream *stream = route ? td_stream_of(e, route) : NULL;

        if (!route)
            return TIDINGS_EFULL;
        if (!stream)
            return TIDINGS_ENOSTREAM;
        if (!td_stream_is_on_disk(stream))
            return TIDINGS_ENOTSUP;
    }
    return TIDINGS_OK;
}

static tidings_err judge(const struct accepting *a, const uint8_t *data)
{
    struct td_schedule *s = &a->e->streams.schedule;
    uint64_t len = (uint64_t)s->dues.len + s->going.len + a->batch->events;
    tidings_err err = judge_types(a->e, a->batch);

    if (!err)
        err = td_commit_refuses(a->e);
    if (!err && (len > TD_SCHEDULED_MAX || !td_dues_reserve(&s->dues, len)))
        err = TIDINGS_EFULL;
    if (!err && !for_each(a, data, look))
        err = TIDINGS_EINVAL;
    return err;
}

void td_schedule_accept(struct td_engine *e, struct td_session *s,
                        const struct td_batch *batch, struct td_body *body,
                        size_t offset, unsigned level, int64_t due_ms)
{
    const struct accepting a = {e, batch, due_ms > 0 ? due_ms : 1};
    struct td_producer *p = s->producer;
    struct td_confirm row = {
        .level = level_of(level),
        .sequence = e->streams.schedule.next,
    };
    tidings_err err = judge(&a, body->data + offset);

    if (err) {
        refuse(e, s, batch, err);
        return;
    }
    for_each(&a, body->data + offset, put);
    put_next(e);
    td_commit_raise(e, (enum td_level)row.level);
    td_producer_storing(e, p);
    td_prints_add(p, batch, body->data + offset);
    for (uint32_t i = 0; i < batch->runs_len; i++) {
        const struct td_run *run = &batch->runs[i];

        td_stored_add(&p->stored, run->first, run->first + run->count - 1);
    }
    tell(e, s, batch, td_commit_ticket(e), &row);
}

/* ---- in and out ---- */

bool td_schedule_leave(struct td_engine *e, const struct td_due *due,
                       enum td_going_where where)
{
    struct td_schedule *s = &e->streams.schedule;
    struct td_place key = td_place_due(due->due_ms, due->number);
    struct td_going *going = td_fifo_push(&s->going);

    if (!going)
        return false;
    *going = (struct td_going){td_commit_ticket(e), where, *due};
    going->due.routed = due->routed || where == TD_GOING_OUT;
    s->late -= due->when_ms != due->due_ms;
    td_dues_remove(&s->dues, due);
    td_commit_delete(e, &key);
    td_commit_raise(e, TD_LEVEL_DISK);
    return true;
}

uint64_t td_schedule_waiting(const struct td_schedule *s)
{
    uint64_t events = s->dues.len;

    for (uint32_t i = 0; i < s->going.len; i++) {
        const struct td_going *going = td_fifo_nth(&s->going, i);

        events += going->where != TD_GOING_IN;
    }
    return events;
}

bool td_schedule_load(struct td_engine *e, int64_t due_ms, uint64_t number)
{
    struct td_schedule *s = &e->streams.schedule;
    const struct td_due due = {
        .when_ms = due_ms, .due_ms = due_ms, .number = number};

    if (!td_dues_reserve(&s->dues, (uint64_t)s->dues.len + 1))
        return false;
    td_dues_add(&s->dues, &due);
    if (number >= s->next)
        s->next = number + 1;
    return true;
}

void td_schedule_written(struct td_engine *e, uint64_t ticket)
{
    struct td_schedule *s = &e->streams.schedule;

    for (; s->going.len > 0; td_fifo_pop(&s->going, 1)) {
        const struct td_going *going = td_fifo_nth(&s->going, 0);

        if (going->ticket > ticket)
            return;
        if (going->where == TD_GOING_IN)
            td_dues_add(&s->dues, &going->due); /* there is room: judge() */
        s->accepted += going->where == TD_GOING_IN;
        s->published += going->where == TD_GOING_OUT;
        s->cancelled += going->where == TD_GOING_CANCELLED;
    }
}

void td_schedule_take_back(struct td_engine *e)
{
    struct td_schedule *s = &e->streams.schedule;

    for (; s->going.len > 0; td_fifo_pop(&s->going, 1)) {
        struct td_going *going = td_fifo_nth(&s->going, 0);

        if (going->where == TD_GOING_IN)
            continue;
        if (going->where == TD_GOING_OUT)
            td_due_put_off(&going->due, td_engine_unix_ms(e) + AGAIN_MS);
        s->late += going->due.when_ms != going->due.due_ms;
        td_dues_add(&s->dues, &going->due);
    }
}
