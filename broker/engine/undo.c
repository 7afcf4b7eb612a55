/* What an operator's call has done before it was written, and how that is taken
 * back when it cannot be: who was told that nothing was done can rely on it. */
#include "broker/engine/call.h"

#include "proto/id.h"

#include <stdlib.h>

struct td_undo *td_undo_new(enum td_undo_kind kind)
{
    struct td_undo *undo = calloc(1, sizeof(*undo));

    if (undo)
        undo->kind = kind;
    return undo;
}

void td_undo_free(struct td_undo *undo)
{
    if (!undo)
        return;
    td_settled_fini(&undo->place.settled);
    td_counts_fini(&undo->place.counts);
    free(undo->naming);
    free(undo);
}

static void stream_added(struct td_engine *e, struct td_undo *undo)
{
    struct td_stream *stream = td_stream_by_id(e, undo->id);

    if (stream)
        td_stream_delete(e, stream);
}

/* Not what they have let go of meanwhile: ids that are in no window. */
static void stream_changed(struct td_engine *e, struct td_undo *undo)
{
    struct td_stream *stream = td_stream_by_id(e, undo->id);

    if (stream)
        td_stream_change(e, stream, &undo->bounds);
}

/* Whoever has joined it meanwhile has made it too. */
static void group_added(struct td_engine *e, struct td_undo *undo)
{
    struct td_consumer *c = td_consumer_by_id(e, undo->id);

    if (c && c->group->members_len == 0)
        td_consumer_delete(e, c);
}

static void member_joined(struct td_engine *e, struct td_undo *undo)
{
    struct td_session *s;
    struct td_sub *sub;

    HASH_FIND(hh, e->sessions, &undo->session, sizeof(undo->session), s);
    sub = s ? td_sub_find(s, undo->subscription) : NULL;
    if (sub && sub->group->consumer && sub->group->consumer->id == undo->id)
        td_sub_end(e, sub, TD_DROP_UNSUBSCRIBED);
    if (undo->began)
        group_added(e, undo);
}

static void group_paused(struct td_engine *e, struct td_undo *undo)
{
    struct td_consumer *c = td_consumer_by_id(e, undo->id);

    if (!c)
        return;
    c->paused = undo->paused;
    c->paused_until_ms = undo->paused_until_ms;
    c->dirty_row = true;
    td_consumer_dirty(e, c);
    td_consumer_wake_at(e, c, e->now_ms);
    td_consumer_ready(e, c);
}

static void group_moved(struct td_engine *e, struct td_undo *undo)
{
    struct td_consumer *c = td_consumer_by_id(e, undo->id);

    if (c)
        td_consumer_put_back(e, c, &undo->place);
}

/* Whoever has taken it meanwhile was not greeted, and is sent away. */
static void name_deleted(struct td_engine *e, struct td_undo *undo)
{
    uint8_t id[TD_PRODUCER_BYTES];

    td_producer_named(id, td_str_of(undo->naming->name));
    td_producer_load_named(e, (struct td_str){(const char *)id, sizeof(id)},
                           &undo->stored, undo->naming);
}

void td_undo(struct td_engine *e, struct td_undo *undo)
{
    static void (*const how[])(struct td_engine * e, struct td_undo * undo) = {
        [TD_UNDO_STREAM] = stream_added, [TD_UNDO_BOUNDS] = stream_changed,
        [TD_UNDO_GROUP] = group_added,   [TD_UNDO_MEMBER] = member_joined,
        [TD_UNDO_PAUSE] = group_paused,  [TD_UNDO_SEEK] = group_moved,
        [TD_UNDO_NAME] = name_deleted,
    };

    how[undo->kind](e, undo);
}
