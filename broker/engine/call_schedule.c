/* CALL: what waits for its time. Its events are read from the store, so the
 * answer to a list comes later. */
#include "broker/engine/call.h"

#include "broker/engine/pack.h"
#include "proto/type.h"

#include <stdlib.h>
#include <string.h>

#define READ_ROWS  1000u /* looked at by one call */
#define ASKING_MAX 32u   /* calls at once that wait for the store */

/* ---- the list ---- */

/* Who asked, until the store has answered. */
struct waiting {
    uint64_t session;
    uint64_t request;
    uint32_t limit;
    size_t pattern_len; /* 0: all types */
    char pattern[TD_TYPE_BYTES_MAX];
};

/* A row of the answer. */
struct listed {
    uint64_t number;
    int64_t due_ms;
    const struct td_batch *batch; /* of one event … */
    struct td_str body;           /* … this one */
};

static struct td_str id_of(struct td_str body)
{
    const uint8_t *p = (const uint8_t *)body.data;
    struct td_event event;
    struct td_str id = td_no_str;

    if (td_event_open(&event, &p, p + body.len))
        td_map_str(event.attrs, "id", &id);
    return id;
}

static void pack_listed(msgpack_packer *pk, const struct listed *row)
{
    msgpack_pack_map(pk, 6);
    td_pack_uint(pk, "number", row->number);
    td_pack_uint(pk, "due_ms", (uint64_t)row->due_ms);
    td_pack_str(pk, "type", row->batch->runs[0].type);
    td_pack_str(pk, "id", id_of(row->body));
    td_pack_str(pk, "source", row->batch->source);
    td_pack_uint(pk, "bytes", row->body.len);
}

/* False: it does not wait any more, cannot be read, or is of another type. */
static bool read_listed(struct td_engine *e, const struct waiting *w,
                        const struct td_record *record, struct listed *out)
{
    struct td_schedule_row row;
    struct td_str type;
    const char *why;

    if (!td_place_read_due(record->key, &out->due_ms, &out->number) ||
        !td_dues_find(&e->streams.schedule.dues, out->number) ||
        record->damaged || !td_schedule_row_read(record->value, &row) ||
        !td_scan(row.table.data, row.table.len, &td_scan_control) ||
        td_batches_read(&e->batches, row.table, row.body.len, &why))
        return false;
    type = e->batches.runs[0].type;
    if (w->pattern_len > 0 &&
        !td_pattern_match(w->pattern, w->pattern_len, type.data, type.len))
        return false;
    out->batch = &e->batches.batch[0];
    out->body = row.body;
    return true;
}

/* Rows of the answer, packed unless pk is NULL; *looked: records that were
 * looked at for them. */
static uint32_t list(struct td_engine *e, const struct waiting *w,
                     const struct td_store_answer *answer, uint32_t *looked,
                     msgpack_packer *pk)
{
    struct listed row;
    uint32_t rows = 0;
    uint32_t i = 0;

    for (; i < answer->records_len && rows < w->limit; i++) {
        if (!read_listed(e, w, &answer->records[i], &row))
            continue;
        if (pk)
            pack_listed(pk, &row);
        rows++;
    }
    *looked = i;
    return rows;
}

/* Where another call goes on: behind the last record looked at. */
static void pack_next(msgpack_packer *pk, const struct td_store_answer *answer,
                      uint32_t looked)
{
    bool more = looked < answer->records_len || answer->more;
    uint64_t number = 0;
    int64_t due_ms = 0;

    if (more && looked > 0)
        td_place_read_due(answer->records[looked - 1].key, &due_ms, &number);
    td_pack_uint(pk, "next_ms", (uint64_t)due_ms);
    td_pack_uint(pk, "next", number ? number + 1 : 0);
}

static void on_list(struct td_engine *e, void *owner,
                    const struct td_store_answer *answer)
{
    struct waiting *w = owner;
    struct td_session *s;
    msgpack_packer pk;
    uint32_t looked;
    uint32_t rows;

    e->streams.asking--;
    HASH_FIND(hh, e->sessions, &w->session, sizeof(w->session), s);
    if (s && !s->doomed && answer->err) {
        td_engine_reply(e, s, w->request, answer->err,
                        "the store cannot read it");
    } else if (s && !s->doomed) {
        rows = list(e, w, answer, &looked, NULL);
        td_buf_reset(&e->table);
        msgpack_packer_init(&pk, &e->table, td_buf_pack_write);
        msgpack_pack_map(&pk, 4);
        td_pack_uint(&pk, "scheduled_total",
                     td_schedule_waiting(&e->streams.schedule));
        pack_next(&pk, answer, looked);
        td_pack_key(&pk, "scheduled");
        msgpack_pack_array(&pk, rows);
        list(e, w, answer, &looked, &pk);
        td_asked_result(e, s, w->request);
    }
    free(w);
}

static const char *read_list(struct td_str options, struct waiting *w,
                             uint64_t *from_ms, uint64_t *from)
{
    uint64_t limit = TD_SCHEDULE_ROWS_MAX;
    struct td_str pattern = td_no_str;

    *from_ms = *from = 0;
    if (!td_map_uint(options, "from_ms", from_ms) ||
        !td_map_uint(options, "from", from) ||
        !td_map_uint(options, "limit", &limit) || limit == 0 ||
        limit > TD_SCHEDULE_ROWS_MAX)
        return "from_ms is Unix milliseconds, from a number, limit 1 to 100";
    if (!td_map_str(options, "type", &pattern) ||
        (pattern.len > 0 && !td_pattern_valid(pattern.data, pattern.len)))
        return "type is a pattern";
    w->limit = (uint32_t)limit;
    w->pattern_len = pattern.len;
    memcpy(w->pattern, pattern.data, pattern.len);
    return NULL;
}

static bool has_store(struct td_engine *e, const struct td_asked *a)
{
    if (!e->streams.store)
        td_asked_fail(e, a, TIDINGS_ENOTSUP,
                      "the broker schedules nothing: start it with --data DIR");
    return e->streams.store;
}

void td_operate_schedule_list(struct td_engine *e, const struct td_asked *a)
{
    struct td_place to = td_place_table(TD_TABLE_SCHEDULE + 1);
    struct td_place from;
    struct waiting *w;
    const char *text;
    uint64_t from_ms;
    uint64_t number;

    if (!has_store(e, a))
        return;
    if (e->streams.asking >= ASKING_MAX) {
        td_asked_fail(e, a, TIDINGS_ELIMIT,
                      "too much is being read already: ask again");
        return;
    }
    w = calloc(1, sizeof(*w));
    text = w ? read_list(a->options, w, &from_ms, &number) : NULL;
    if (text) {
        td_asked_fail(e, a, TIDINGS_EINVAL, text);
        free(w);
        return;
    }
    if (w) {
        w->session = a->session->number;
        w->request = a->request;
        /* (0, 0) is no event's */
        from = td_place_due((int64_t)from_ms, from_ms || number ? number : 1);
        if (td_read_ask(e, &from, &to, false, READ_ROWS, TD_READ_BYTES, on_list,
                        w)) {
            e->streams.asking++;
            return;
        }
    }
    free(w);
    td_asked_fail(e, a, TIDINGS_ENOMEM, "broker is out of memory");
}

/* ---- cancelling ---- */

void td_operate_schedule_cancel(struct td_engine *e, const struct td_asked *a)
{
    const struct td_due *due;
    uint64_t number = 0;

    if (!has_store(e, a))
        return;
    if (!td_map_uint(a->options, "number", &number) || number == 0) {
        td_asked_fail(e, a, TIDINGS_EINVAL,
                      "number is that of a scheduled event");
        return;
    }
    due = td_dues_find(&e->streams.schedule.dues, number);
    if (!due)
        td_asked_fail(e, a, TIDINGS_ENOTFOUND,
                      "no such event waits: it was published or cancelled, or "
                      "never was");
    else if (!td_schedule_leave(e, due, TD_GOING_CANCELLED))
        td_asked_fail(e, a, TIDINGS_ENOMEM, "broker is out of memory");
    else
        td_asked_reverting(e, a);
}
