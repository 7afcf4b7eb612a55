/* Beginning with the newest: a consumer that passes over all else. */
#include "broker/engine/internal.h"

static void go_on_from(struct td_consumer *c, uint32_t number)
{
    struct td_lasts *l = &c->stream->lasts;

    if (c->at == number)
        return;
    if (c->at)
        td_last_at(l, c->at)->pins--;
    if (number)
        td_last_at(l, number)->pins++;
    c->at = number;
}

uint64_t td_newest_next(struct td_consumer *c)
{
    const struct td_stream *stream = c->stream;
    const struct td_lasts *l = &stream->lasts;
    const struct td_last *name = NULL;
    uint32_t at = c->at ? c->at : l->oldest;

    if (c->cursor < stream->kept.indexed || c->cursor >= c->newest_to)
        return c->cursor;
    while (at && (name = td_last_at(l, at))->kept < c->cursor)
        at = name->newer;
    while (at && (name = td_last_at(l, at))->older &&
           td_last_at(l, name->older)->kept >= c->cursor)
        at = name->older;
    go_on_from(c, at);
    return at && name->kept < c->newest_to ? name->kept : c->newest_to;
}

void td_newest_end(struct td_consumer *c)
{
    go_on_from(c, 0);
    c->newest_to = 0;
    c->newest_was = 0;
}
