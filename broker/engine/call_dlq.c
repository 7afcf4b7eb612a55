/* CALL: dead letters. They are read from the store, so the answer comes later. */
#include "broker/engine/call.h"

#include "broker/engine/pack.h"
#include "proto/type.h"

#include <stdlib.h>
#include <string.h>

#define ROWS_BYTES (192u << 10) /* events in one answer: half a control frame */
#define PAGE_ROWS  1000u /* looked at by one call, whatever it wants … */
#define FEW_ROWS   100u  /* … or by one that wants less than that */
#define ASKING_MAX 32u   /* calls at once that wait for the store */

/* Who asked, until the store has answered. */
struct waiting {
    uint64_t session;
    uint64_t request;
    uint32_t group;
    bool data;
    uint32_t limit; /* rows of the answer, or events that are dealt with … */
    uint32_t look;  /* … and so many letters are looked at for that */
    char type[TD_TYPE_BYTES_MAX];
    size_t type_len; /* 0: whatever its type is */
    /* False: nothing was to be done. */
    bool (*each)(struct td_engine *e, struct td_consumer *c, uint64_t number,
                 const struct td_record *record);
};

static struct td_session *asker(struct td_engine *e, const struct waiting *w)
{
    struct td_session *s;

    HASH_FIND(hh, e->sessions, &w->session, sizeof(w->session), s);
    return s && !s->doomed ? s : NULL;
}

/* Takes w over. */
static void ask(struct td_engine *e, const struct td_asked *a,
                struct td_consumer *c, const struct waiting *as, uint64_t first,
                uint64_t last,
                void (*done)(struct td_engine *e, void *owner,
                             const struct td_store_answer *answer))
{
    struct td_place from = td_place_two(TD_TABLE_DEAD, c->id, first);
    struct td_place to = last == UINT64_MAX
                             ? td_place_two(TD_TABLE_DEAD, c->id + 1, 0)
                             : td_place_two(TD_TABLE_DEAD, c->id, last + 1);
    struct waiting *w = NULL;

    if (e->streams.asking >= ASKING_MAX) {
        td_asked_fail(e, a, TIDINGS_ELIMIT,
                      "too much is being read already: ask again");
        return;
    }
    w = malloc(sizeof(*w));
    if (w) {
        *w = *as;
        w->session = a->session->number;
        w->request = a->request;
        w->group = c->id;
    }
    if (!w ||
        !td_read_ask(e, &from, &to, false, as->look, TD_READ_BYTES, done, w)) {
        free(w);
        td_asked_fail(e, a, TIDINGS_ENOMEM, "broker is out of memory");
        return;
    }
    e->streams.asking++;
}

static bool find(struct td_engine *e, const struct td_asked *a,
                 struct td_consumer **c)
{
    if (!td_asked_group(e, a, c))
        return false;
    if (td_consumer_is_kept(*c))
        return true;
    td_asked_fail(e, a, TIDINGS_ENOTSUP,
                  "a stream in memory keeps no dead letters");
    return false;
}

/* ---- rows ---- */

static struct td_str type_of(struct td_engine *e, const struct td_dead_row *row)
{
    const char *why;

    if (!td_scan(row->table.data, row->table.len, &td_scan_control) ||
        td_batches_read(&e->batches, row->table, row->body.len, &why))
        return td_no_str;
    return e->batches.runs[0].type;
}

static bool read_row(const struct td_record *record, uint64_t *number,
                     struct td_dead_row *row)
{
    uint32_t id;

    return !record->damaged &&
           td_place_read_two(record->key, TD_TABLE_DEAD, &id, number) &&
           td_dead_row_read(record->value, row);
}

/* Its type is asked for. */
static bool is_wanted(struct td_engine *e, const struct waiting *w,
                      const struct td_record *record)
{
    struct td_dead_row row;
    struct td_str type;
    uint64_t number;

    if (w->type_len == 0)
        return true;
    if (!read_row(record, &number, &row))
        return false;
    type = type_of(e, &row);
    return td_pattern_match(w->type, w->type_len, type.data, type.len);
}

/* The option; false: it is answered. */
static bool read_type(struct td_engine *e, const struct td_asked *a,
                      struct waiting *w)
{
    struct td_str type;

    if (!td_map_find(a->options, "type", &type))
        return true;
    if (!td_map_str(a->options, "type", &type) ||
        !td_pattern_valid(type.data, type.len)) {
        td_asked_fail(e, a, TIDINGS_EINVAL, "type is a pattern of types");
        return false;
    }
    memcpy(w->type, type.data, type.len);
    w->type_len = type.len;
    return true;
}

/* ---- the list ---- */

static void pack_bin(msgpack_packer *pk, const char *key, struct td_str bytes)
{
    td_pack_key(pk, key);
    msgpack_pack_bin(pk, bytes.len);
    msgpack_pack_bin_body(pk, bytes.data, bytes.len);
}

static void pack_dead(struct td_engine *e, msgpack_packer *pk,
                      const struct td_consumer *c, uint64_t number,
                      const struct td_dead_row *row, bool data)
{
    msgpack_pack_map(pk, data ? 13 : 11);
    td_pack_uint(pk, "number", number);
    td_pack_str(pk, "stream", c->stream->options.name);
    td_pack_uint(pk, "sequence", row->sequence);
    td_pack_str(pk, "type", type_of(e, row));
    td_pack_str(pk, "reason", td_str_of(td_death_names[row->why]));
    td_pack_str(pk, "error", row->error);
    td_pack_str(pk, "handler", row->handler);
    td_pack_uint(pk, "deliveries", row->deliveries);
    td_pack_uint(pk, "first_ms", (uint64_t)row->first_ms);
    td_pack_uint(pk, "last_ms", (uint64_t)row->last_ms);
    td_pack_key(pk, "redriven");
    row->redrive ? msgpack_pack_true(pk) : msgpack_pack_false(pk);
    if (!data)
        return;
    pack_bin(pk, "batch", row->table);
    pack_bin(pk, "event", row->body);
}

/* How many rows go into one answer, and the number to go on with; 0: these are
 * all. */
static uint32_t count_rows(struct td_engine *e, const struct waiting *w,
                           const struct td_store_answer *answer, uint64_t *next)
{
    uint64_t number = 0;
    uint32_t n = 0;
    size_t bytes = 0;
    uint32_t id;

    for (uint32_t i = 0; i < answer->records_len; i++) {
        const struct td_record *record = &answer->records[i];
        struct td_dead_row row;

        if (!read_row(record, &number, &row) || !is_wanted(e, w, record))
            continue;
        bytes += w->data ? row.table.len + row.body.len : 0;
        *next = number;
        if (n == w->limit || (n > 0 && bytes > ROWS_BYTES))
            return n;
        n++;
    }
    *next = answer->more && td_place_read_two(
                                answer->records[answer->records_len - 1].key,
                                TD_TABLE_DEAD, &id, &number)
                ? number + 1
                : 0;
    return n;
}

static void on_list(struct td_engine *e, void *owner,
                    const struct td_store_answer *answer)
{
    struct waiting *w = owner;
    struct td_session *s = asker(e, w);
    struct td_consumer *c = td_consumer_by_id(e, w->group);
    uint64_t next = 0;
    uint32_t left = count_rows(e, w, answer, &next);
    struct td_dead_row row;
    uint64_t number;
    msgpack_packer pk;

    e->streams.asking--;
    if (s && (answer->err || !c)) {
        td_engine_reply(e, s, w->request,
                        answer->err ? answer->err : TIDINGS_ENOTFOUND,
                        answer->err ? "the store cannot read it"
                                    : "no such group of this stream");
    } else if (s) {
        td_buf_reset(&e->table);
        msgpack_packer_init(&pk, &e->table, td_buf_pack_write);
        msgpack_pack_map(&pk, 3);
        td_pack_uint(&pk, "dead_total", td_dead_len(c));
        td_pack_uint(&pk, "next", next);
        td_pack_key(&pk, "dead");
        msgpack_pack_array(&pk, left);
        for (uint32_t i = 0; left > 0; i++) {
            if (!read_row(&answer->records[i], &number, &row) ||
                !is_wanted(e, w, &answer->records[i]))
                continue;
            /* one alone that is too large is shown without its event */
            pack_dead(e, &pk, c, number, &row,
                      w->data && row.table.len + row.body.len <= ROWS_BYTES);
            left--;
        }
        td_asked_result(e, s, w->request);
    }
    free(w);
}

void td_operate_dlq_list(struct td_engine *e, const struct td_asked *a)
{
    struct waiting w = {0};
    struct td_consumer *c;
    uint64_t from = 0;
    uint64_t limit = TD_DLQ_ROWS_MAX;

    if (!find(e, a, &c) || !read_type(e, a, &w))
        return;
    if (!td_map_uint(a->options, "from", &from) ||
        !td_map_uint(a->options, "limit", &limit) || limit == 0 ||
        limit > TD_DLQ_ROWS_MAX || !td_map_bool(a->options, "data", &w.data)) {
        td_asked_fail(e, a, TIDINGS_EINVAL,
                      "from is a number, limit 1 to 100, data a bool");
        return;
    }
    w.limit = (uint32_t)limit;
    w.look = w.type_len > 0 ? PAGE_ROWS : w.limit;
    ask(e, a, c, &w, from, UINT64_MAX, on_list);
}

/* ---- redriving, purging ---- */

static bool redrive_one(struct td_engine *e, struct td_consumer *c,
                        uint64_t number, const struct td_record *record)
{
    struct td_place key = td_place_two(TD_TABLE_DEAD, c->id, number);
    struct td_dead_row row;

    if (!td_dead_row_read(record->value, &row) || row.redrive ||
        td_commit_is_buried(e, c->id, number) ||
        !td_redrive(e, c, number, row.sequence))
        return false; /* it is on its way */
    row.redrive = true;
    td_buf_reset(&e->streams.value);
    td_dead_row_pack(&e->streams.value, &row);
    td_commit_put(e, &key, &e->streams.value, NULL, 0, 0);
    return true;
}

/* It is on its way; NULL: it is not. */
static struct td_redriven *redriven_of(const struct td_consumer *c,
                                       uint64_t number,
                                       const struct td_record *record)
{
    struct td_redriven *r = NULL;
    struct td_dead_row row;

    if (!record->damaged && td_dead_row_read(record->value, &row))
        r = td_redriven_find(c, row.sequence);
    else
        for (r = c->redriven; r && r->number != number; r = r->hh.next)
            ;
    return r && r->number == number ? r : NULL;
}

static bool purge_one(struct td_engine *e, struct td_consumer *c,
                      uint64_t number, const struct td_record *record)
{
    struct td_redriven *r = redriven_of(c, number, record);

    if (td_commit_is_buried(e, c->id, number))
        return false; /* another was first */
    td_commit_bury_dead(e, c->id, number);
    c->dead_len -= c->dead_len > 0;
    td_consumer_dirty(e, c); /* what the letter settled, it settles no more */
    if (r)
        r->number = 0;
    return true;
}

static void on_page(struct td_engine *e, void *owner,
                    const struct td_store_answer *answer)
{
    struct waiting *w = owner;
    struct td_session *s = asker(e, w);
    struct td_consumer *c = td_consumer_by_id(e, w->group);
    uint32_t len = c && !answer->err ? answer->records_len : 0;
    uint64_t number = 0;
    uint64_t events = 0;
    uint32_t id;
    uint32_t i;

    e->streams.asking--;
    for (i = 0; i < len && events < w->limit; i++) {
        if (!td_place_read_two(answer->records[i].key, TD_TABLE_DEAD, &id,
                               &number))
            continue;
        if (is_wanted(e, w, &answer->records[i]))
            events += w->each(e, c, number, &answer->records[i]);
    }
    if (events > 0)
        td_commit_raise(e, TD_LEVEL_DISK);
    if (s && !answer->err && c)
        td_asked_counted(e, &(struct td_asked){s, w->request, td_no_str},
                         events, i < len || answer->more ? number + 1 : 0);
    else if (s)
        td_engine_reply(e, s, w->request,
                        answer->err ? answer->err : TIDINGS_ENOTFOUND,
                        "the store cannot read it, or the group is gone");
    free(w);
}

static void range(struct td_engine *e, const struct td_asked *a,
                  bool (*each)(struct td_engine *e, struct td_consumer *c,
                               uint64_t number, const struct td_record *record))
{
    struct waiting w = {.each = each};
    struct td_consumer *c;
    uint64_t first = 0;
    uint64_t last = INT64_MAX;
    uint64_t limit = PAGE_ROWS;

    if (!find(e, a, &c) || !read_type(e, a, &w))
        return;
    if (!td_map_uint(a->options, "first", &first) ||
        !td_map_uint(a->options, "last", &last) ||
        !td_map_uint(a->options, "limit", &limit) || limit == 0) {
        td_asked_fail(e, a, TIDINGS_EINVAL,
                      "first and last are numbers of dead letters, limit is "
                      "how many");
        return;
    }
    w.limit = limit < PAGE_ROWS ? (uint32_t)limit : PAGE_ROWS;
    /* some of them may be of other types, or on their way */
    w.look = w.type_len > 0 || w.limit > FEW_ROWS ? PAGE_ROWS : FEW_ROWS;
    ask(e, a, c, &w, first, last, on_page);
}

void td_operate_dlq_redrive(struct td_engine *e, const struct td_asked *a)
{
    range(e, a, redrive_one);
}

void td_operate_dlq_purge(struct td_engine *e, const struct td_asked *a)
{
    range(e, a, purge_one);
}
