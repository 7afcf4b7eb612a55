/* CALL: producers that have a name. The broker remembers them for good, so
 * somebody has to be able to look at them and to make room. */
#include "broker/engine/call.h"

#include "broker/engine/pack.h"
#include "proto/id.h"

#include <stdlib.h>
#include <string.h>

#define ROWS_MAX 200u

static bool has_store(struct td_engine *e, const struct td_asked *a)
{
    if (!e->streams.store)
        td_asked_fail(e, a, TIDINGS_ENOTSUP,
                      "the broker knows no names of producers: start it with "
                      "--data DIR");
    return e->streams.store;
}

/* ---- the list ---- */

static void pack_named(const struct td_engine *e, msgpack_packer *pk,
                       const struct td_producer *p)
{
    const struct td_session *s = p->session;

    msgpack_pack_map(pk, 6);
    td_pack_str(pk, "name", td_str_of(p->naming->name));
    td_pack_uint(pk, "stored", td_naming_last(p->naming, &p->stored));
    td_pack_uint(pk, "term", p->naming->term);
    td_pack_uint(pk, "session", s ? s->number : 0);
    td_pack_str(pk, "client", td_str_of(s ? s->name : ""));
    td_pack_uint(pk, "idle_ms", s ? 0 : (uint64_t)(e->now_ms - p->ended_ms));
}

void td_operate_producer_list(struct td_engine *e, const struct td_asked *a)
{
    uint64_t from = 0;
    uint32_t rows;
    msgpack_packer pk;

    if (!has_store(e, a))
        return;
    if (!td_map_uint(a->options, "from", &from)) {
        td_asked_fail(e, a, TIDINGS_EINVAL, "from is a number of rows");
        return;
    }
    rows = from < e->names_len ? e->names_len - (uint32_t)from : 0;
    if (rows > ROWS_MAX)
        rows = ROWS_MAX;
    td_buf_reset(&e->table);
    msgpack_packer_init(&pk, &e->table, td_buf_pack_write);
    msgpack_pack_map(&pk, 2);
    td_pack_uint(&pk, "producers_total", e->names_len);
    td_pack_key(&pk, "producers");
    msgpack_pack_array(&pk, rows);
    for (struct td_producer *p = e->producers; p && rows > 0; p = p->hh.next) {
        if (!p->naming)
            continue;
        if (from > 0) {
            from--;
            continue;
        }
        pack_named(e, &pk, p);
        rows--;
    }
    td_asked_result(e, a->session, a->request);
}

/* ---- deleting ---- */

/* NULL: it is answered. */
static struct td_producer *asked_name(struct td_engine *e,
                                      const struct td_asked *a)
{
    uint8_t id[TD_PRODUCER_BYTES];
    struct td_str name = td_no_str;
    struct td_producer *p;

    if (!td_map_str(a->options, "name", &name) || name.len == 0) {
        td_asked_fail(e, a, TIDINGS_EINVAL, "name the producer");
        return NULL;
    }
    td_producer_named(id, name);
    p = td_producer_find(e, (struct td_str){(const char *)id, sizeof(id)});
    if (p && p->naming)
        return p;
    td_asked_fail(e, a, TIDINGS_ENOTFOUND, "no producer has that name");
    return NULL;
}

static void refuse_held(struct td_engine *e, const struct td_asked *a,
                        const struct td_session *holder)
{
    char text[96 + TD_NAME_BYTES_MAX];

    snprintf(text, sizeof(text), "session %llu%s%s has it%s",
             (unsigned long long)holder->number, *holder->name ? ", " : "",
             holder->name,
             holder->away ? ", and may come back within its grace time" : "");
    td_asked_fail(e, a, TIDINGS_EEXIST, text);
}

void td_operate_producer_delete(struct td_engine *e, const struct td_asked *a)
{
    struct td_producer *p = has_store(e, a) ? asked_name(e, a) : NULL;
    struct td_undo *undo;

    if (!p)
        return;
    if (p->session) {
        refuse_held(e, a, p->session);
        return;
    }
    if (!td_commit_is_written(e, p->stored_ticket)) {
        td_asked_fail(e, a, TIDINGS_ELIMIT,
                      "its last events are being written still: ask again");
        return;
    }
    undo = td_asked_undo(e, a, TD_UNDO_NAME);
    if (!undo)
        return;
    undo->naming = malloc(sizeof(*undo->naming));
    if (!undo->naming) {
        td_undo_free(undo);
        td_asked_fail(e, a, TIDINGS_ENOMEM, "broker is out of memory");
        return;
    }
    *undo->naming = *p->naming;
    undo->stored = p->stored;
    td_producer_delete(e, p);
    td_asked_done(e, a, undo);
}
