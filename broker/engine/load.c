/* Reading the store when the broker starts: table after table, page after page.
 * Records are not read: what a stream has, its state says (recover.c: if that is
 * lost). */
#include "broker/engine/internal.h"

#include <string.h>

#define PAGE_BYTES (1u << 20)

/* Rows that are to be there twice and are not: one was damaged, or who wrote
 * them did not know. */
static void write_again(struct td_engine *e)
{
    struct td_consumer *c;

    for (struct td_stream *s = e->streams.all; s; s = s->hh.next) {
        if (s->twice)
            continue;
        s->dirty_row = true;
        td_stream_dirty(e, s);
    }
    DL_FOREACH(e->streams.consumers, c)
    {
        if (c->twice)
            continue;
        c->dirty_row = true;
        td_consumer_dirty(e, c);
    }
}

void td_load_end(struct td_engine *e, tidings_err err)
{
    struct td_consumer *c;

    if (!err && !td_newest_loaded(e))
        err = TIDINGS_ENOMEM;
    e->streams.loading = false;
    e->streams.load_err = err;
    if (err)
        return;
    write_again(e);
    DL_FOREACH(e->streams.consumers, c)
    {
        if (c->newest_to > c->stream->head.next)
            c->newest_to = c->stream->head.next;
        /* seldom: it was killed while its start was being looked for */
        if (c->locating)
            td_locate(e, c,
                      &(struct td_start){.kind = TD_START_TIME,
                                         .time_ms = c->sought_ms});
        else if (!c->placed)
            td_locate(e, c, &c->options.start);
        c->cursor = td_settled_next(&c->settled, c->cursor);
        td_consumer_ready(e, c);
        td_consumer_wake_at(e, c, e->now_ms); /* a pause may end some day */
    }
    if (!e->options.declares)
        e->streams.load_err = td_stream_add_default(e);
}

static void on_page(struct td_engine *e, void *owner,
                    const struct td_store_answer *answer);

static void ask(struct td_engine *e, const struct td_place *from)
{
    struct td_place to =
        td_place_table(td_load_tables[e->streams.load_table].table + 1);

    if (!td_read_ask(e, from, &to, false, UINT32_MAX, PAGE_BYTES, on_page,
                     NULL))
        td_load_end(e, TIDINGS_ENOMEM);
}

/* A row that cannot be read costs what it held, not the broker. */
static tidings_err take(struct td_engine *e, const struct td_record *record)
{
    tidings_err err = record->damaged
                          ? TIDINGS_EIO
                          : td_load_tables[e->streams.load_table].row(
                                e, record->key, record->value);

    if (err != TIDINGS_EIO)
        return err;
    e->streams.lost_states++;
    td_load_lose(e, record->key);
    td_log(&e->options.log, TD_LOG_ERROR, "ROW-DAMAGED",
           "%s cannot be read from the store, and is left out if it is not "
           "there twice",
           td_load_tables[e->streams.load_table].name);
    return TIDINGS_OK;
}

static void on_page(struct td_engine *e, void *owner,
                    const struct td_store_answer *answer)
{
    struct td_place next;
    tidings_err err = answer->err;

    (void)owner;
    for (uint32_t i = 0; i < answer->records_len && !err; i++)
        err = take(e, &answer->records[i]);
    if (err) {
        td_load_end(e, err);
        return;
    }
    if (answer->more && answer->records_len > 0) {
        struct td_str last = answer->records[answer->records_len - 1].key;

        next.len =
            last.len < TD_PLACE_BYTES - 1 ? last.len : TD_PLACE_BYTES - 1;
        memcpy(next.bytes, last.data, next.len);
        next.bytes[next.len++] = 0;
    } else if (++e->streams.load_table == TD_LOAD_TABLES) {
        td_recover(e);
        return;
    } else {
        next = td_place_table(td_load_tables[e->streams.load_table].table);
    }
    ask(e, &next);
}

void td_load_begin(struct td_engine *e)
{
    struct td_place from = td_place_table(td_load_tables[0].table);

    e->streams.loading = true;
    ask(e, &from);
}
