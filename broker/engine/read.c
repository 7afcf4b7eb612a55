/* Reading the store: who asked for what. */
#include "broker/engine/internal.h"

#include <stdlib.h>

/* A read that fails is tried again, and told so seldom. */
#define UNREAD_MS 60000

struct td_read *td_read_ask(struct td_engine *e, const struct td_place *from,
                            const struct td_place *to, bool backwards,
                            uint32_t records, size_t bytes,
                            void (*done)(struct td_engine *e, void *owner,
                                         const struct td_store_answer *answer),
                            void *owner)
{
    struct td_streams *st = &e->streams;
    struct td_read *read = calloc(1, sizeof(*read));

    if (!read)
        return NULL;
    read->ticket = ++st->read_ticket;
    read->done = done;
    read->owner = owner;
    HASH_ADD(hh, st->reads, ticket, sizeof(read->ticket), read);
    if (read->hh_failed) {
        free(read);
        return NULL;
    }
    if (st->store->face->read(st->store, td_place_str(from), td_place_str(to),
                              backwards, records, bytes, read->ticket))
        return read;
    HASH_DELETE(hh, st->reads, read);
    free(read);
    return NULL;
}

void td_read_is_large(struct td_engine *e, struct td_read *read)
{
    if (!read)
        return;
    read->large = true;
    e->streams.reading++;
}

void td_read_forget(struct td_read *read)
{
    if (read)
        read->done = NULL;
}

static void tell_unread(struct td_engine *e, tidings_err err)
{
    if (!err || e->now_ms < e->streams.unread_ms)
        return;
    e->streams.unread_ms = e->now_ms + UNREAD_MS;
    td_log(&e->options.log, TD_LOG_ERROR, "READ-FAILED",
           "the data folder cannot be read: %s; what is kept is delivered when "
           "it can",
           tidings_err_text(err));
}

void td_read_answered(struct td_engine *e, const struct td_store_answer *answer)
{
    struct td_read *read;

    tell_unread(e, answer->err);
    HASH_FIND(hh, e->streams.reads, &answer->ticket, sizeof(answer->ticket),
              read);
    if (!read)
        return;
    HASH_DELETE(hh, e->streams.reads, read);
    e->streams.reading -= read->large;
    if (read->done)
        read->done(e, read->owner, answer);
    free(read);
    td_graves_forget(e);
}
