/* Room on the disk of the data folder. While there is none but the store's
 * reserve, what is published is refused and all else goes on; that is told once,
 * and once more when it is over. */
#include "broker/engine/internal.h"

#define LOOK_MS 1000
#define BACK_MS 1000 /* of room in a row, before it is said to be there again */

void td_room_look(struct td_engine *e)
{
    struct td_store_info info;

    e->streams.store->face->info(e->streams.store, &info);
    e->streams.no_room = info.free_bytes == 0;
    if (info.failed && !e->streams.broken)
        td_log(&e->options.log, TD_LOG_ERROR, "STORE-READ-ONLY",
               "the data folder can be written no more: streams take nothing "
               "until the broker is started anew; look at it with `tidings "
               "store verify` first");
    e->streams.broken = info.failed;
}

void td_room_lacked(struct td_engine *e)
{
    e->streams.room.lacked = true;
}

bool td_room_is_told(const struct td_engine *e)
{
    return e->streams.room.told;
}

/* What is refused for want of room asks the store for nothing, and the store
 * looks anew when it commits: something has to be committed now and then. */
static int64_t look_again(struct td_engine *e)
{
    struct td_streams *st = &e->streams;

    if (e->now_ms >= st->room.look_ms) {
        st->room.look_ms = e->now_ms + LOOK_MS;
        if (st->flown.len == 0)
            td_commit_ticket(e);
    }
    return st->room.look_ms;
}

static void tell(struct td_engine *e, bool full)
{
    struct td_store_info info;

    e->streams.store->face->info(e->streams.store, &info);
    if (full)
        td_log(&e->options.log, TD_LOG_WARN, "STORE-FULL",
               "no room on the disk of the data folder: %llu bytes are left, "
               "and %llu are a reserve for settlements, deletes and shutdown, "
               "which go on. Streams on disk take no events (EFULL) until "
               "there is room: free some of that disk, or `tidings stream "
               "purge`",
               (unsigned long long)info.left_bytes,
               (unsigned long long)info.reserve_bytes);
    else
        td_log(&e->options.log, TD_LOG_INFO, "STORE-OK",
               "there is room on the disk of the data folder again: %llu "
               "bytes beside the reserve. Streams take events",
               (unsigned long long)info.free_bytes);
    td_advise_room(e, full, &info);
}

/* Returns when to look at that again. */
static int64_t tell_news(struct td_engine *e, bool full)
{
    struct td_room *room = &e->streams.room;

    if (full) {
        room->back_ms = e->now_ms + BACK_MS;
        if (!room->told && e->now_ms >= room->tell_ms) {
            room->told = true;
            room->tell_ms = e->now_ms + TD_ROOM_TELL_MS;
            tell(e, true);
        }
    } else if (room->told && e->now_ms >= room->back_ms) {
        room->told = false;
        tell(e, false);
    }
    return room->told ? room->back_ms : TD_NEVER;
}

int64_t td_room_tick(struct td_engine *e)
{
    struct td_streams *st = &e->streams;
    int64_t next;

    if (st->broken)
        return TD_NEVER; /* that was told */
    next = tell_news(e, st->no_room || st->room.lacked);
    st->room.lacked = false;
    return st->no_room ? look_again(e) : next;
}
