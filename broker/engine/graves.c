/* Rows of the store that are to go: those of a stream, of a group, or a dead
 * letter. They are deleted with the transaction of their turn; if that fails
 * they go with any that comes, so that nothing that takes their name is there
 * before they are gone. */
#include "broker/engine/internal.h"

#include <stdlib.h>

static void delete_rows(struct td_engine *e, const struct td_grave *grave)
{
    static const enum td_table of_stream[] = {TD_TABLE_STREAM, TD_TABLE_STATE,
                                              TD_TABLE_RECORD, TD_TABLE_LAST,
                                              TD_TABLE_DEDUP,  TD_TABLES_END};
    static const enum td_table of_group[] = {TD_TABLE_GROUP, TD_TABLE_FLOOR,
                                             TD_TABLE_CHUNK, TD_TABLE_COUNT,
                                             TD_TABLE_DEAD,  TD_TABLES_END};
    const enum td_table *tables =
        grave->key.kind == TD_GRAVE_STREAM ? of_stream : of_group;
    const uint32_t id = (uint32_t)grave->key.id;
    const struct td_place dead =
        td_place_two(TD_TABLE_DEAD, id, grave->key.number);

    if (grave->key.kind == TD_GRAVE_LETTER) {
        td_commit_delete(e, &dead);
        return;
    }

    for (uint32_t i = 0; tables[i] != TD_TABLES_END; i++) {
        struct td_place from = td_place_one(tables[i], id);
        struct td_place to = td_place_one(tables[i], id + 1);

        td_commit_delete_range(e, &from, &to);
    }
    td_commit_raise(e, TD_LEVEL_DISK);
}

static struct td_grave *find_grave(const struct td_engine *e,
                                   const struct td_grave_key *key)
{
    struct td_grave *grave;

    HASH_FIND(hh, e->streams.graves, key, sizeof(*key), grave);
    return grave;
}

static void bury(struct td_engine *e, const struct td_grave_key *key)
{
    struct td_grave *grave = find_grave(e, key);
    const struct td_grave now = {.key = *key};

    delete_rows(e, &now);
    if (grave) {
        grave->ticket = td_commit_ticket(e);
        return;
    }
    grave = calloc(1, sizeof(*grave));
    if (!grave)
        return;
    grave->key = *key;
    grave->ticket = td_commit_ticket(e);
    HASH_ADD(hh, e->streams.graves, key, sizeof(grave->key), grave);
    if (grave->hh_failed)
        free(grave);
}

void td_commit_bury(struct td_engine *e, bool stream, uint32_t id)
{
    bury(e, &(struct td_grave_key){stream ? TD_GRAVE_STREAM : TD_GRAVE_GROUP,
                                   id, 0});
}

void td_commit_bury_dead(struct td_engine *e, uint32_t group, uint64_t number)
{
    bury(e, &(struct td_grave_key){TD_GRAVE_LETTER, group, number});
}

bool td_commit_is_buried(const struct td_engine *e, uint32_t group,
                         uint64_t number)
{
    return find_grave(e,
                      &(struct td_grave_key){TD_GRAVE_LETTER, group, number});
}

void td_graves_write(struct td_engine *e)
{
    struct td_streams *st = &e->streams;

    if (!st->unburied || (st->turn == 0 && e->now_ms < st->again_ms))
        return;
    st->unburied = false;
    for (struct td_grave *grave = st->graves; grave; grave = grave->hh.next) {
        if (grave->ticket > 0)
            continue;
        grave->ticket = td_commit_ticket(e);
        delete_rows(e, grave);
    }
}

void td_graves_take_back(struct td_engine *e)
{
    struct td_streams *st = &e->streams;

    for (struct td_grave *grave = st->graves; grave; grave = grave->hh.next) {
        if (!td_commit_is_written(e, grave->ticket))
            grave->ticket = 0;
        st->unburied = st->unburied || grave->ticket == 0;
    }
}

void td_graves_forget(struct td_engine *e)
{
    struct td_streams *st = &e->streams;

    /* the first of the reads is the oldest */
    while (!st->reads || st->reads->ticket > st->gone_reads) {
        struct td_grave *grave;

        while ((grave = st->graves) && grave->ticket > 0 &&
               grave->ticket <= st->gone) {
            HASH_DELETE(hh, st->graves, grave);
            free(grave);
        }
        if (st->gone == st->written)
            return;
        st->gone = st->written;
        st->gone_reads = st->read_ticket;
    }
}

void td_graves_fini(struct td_engine *e)
{
    struct td_grave *grave;
    struct td_grave *next;

    HASH_ITER(hh, e->streams.graves, grave, next)
    {
        HASH_DELETE(hh, e->streams.graves, grave);
        free(grave);
    }
}
