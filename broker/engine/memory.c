/* What all queues may hold together, and those of one session; requests and
 * answers have a part of it, which queues do without while it is in use. */
#include "broker/engine/internal.h"

/* What is kept for it, as if nobody shared the items. */
static uint64_t kept(const struct td_sub *sub)
{
    uint64_t bytes = sub->own.bytes + sub->flight.bytes;

    return sub->group->name_len ? bytes : bytes + sub->group->queue.bytes;
}

uint64_t td_session_queued(const struct td_session *s)
{
    uint64_t bytes = 0;

    for (const struct td_sub *sub = s->subs; sub; sub = sub->hh.next)
        bytes += kept(sub);
    return bytes;
}

static struct td_sub *largest_of(const struct td_session *s)
{
    struct td_sub *found = NULL;

    for (struct td_sub *sub = s->doomed ? NULL : s->subs; sub;
         sub = sub->hh.next) {
        if (!found || kept(sub) > kept(found))
            found = sub;
    }
    return found && kept(found) > 0 ? found : NULL;
}

static struct td_sub *largest(struct td_engine *e)
{
    struct td_sub *found = NULL;

    for (struct td_session *s = e->sessions; s; s = s->hh.next) {
        struct td_sub *sub = largest_of(s);

        if (sub && (!found || kept(sub) > kept(found)))
            found = sub;
    }
    return found;
}

static struct td_group *largest_named(struct td_engine *e)
{
    struct td_group *found = NULL;

    for (struct td_named *named = e->named; named; named = named->hh.next) {
        struct td_group *g = named->group;

        if (!found || td_group_waiting_bytes(g) > td_group_waiting_bytes(found))
            found = g;
    }
    return found;
}

/* Of what has no credit. */
static void halve(struct td_engine *e, struct td_group *g)
{
    td_group_serve(e, g);
    td_group_drop(e, g, TD_DROP_MEMORY, UINT64_MAX,
                  td_group_waiting_bytes(g) / 2);
}

static bool is_unread(const struct td_engine *e, const struct td_session *s)
{
    return s->messages_out > s->messages_seen &&
           e->now_ms - s->unread_ms >= TD_HEARTBEAT_MS;
}

/* What waits for it is dropped first. Then what was sent is not kept any more, so
 * that its session cannot be resumed; one that does not read what it is sent,
 * or whose keys hang on it, ends. */
static void relieve(struct td_engine *e, struct td_sub *sub)
{
    struct td_session *s = sub->session;
    bool unread = is_unread(e, s);

    if (sub->from->len > 0 && sub->group->consumer) {
        td_consumer_unfeed(e, sub->group->consumer, sub->from);
    } else if (sub->from->len > 0) {
        halve(e, sub->group);
    } else if (!unread && !s->away && sub->group->share != TD_BY_KEY) {
        td_queue_fini(&sub->flight);
        sub->flight_first = sub->sent;
    } else {
        td_session_doom(e, s, TD_DROP_MEMORY, TIDINGS_ENOMEM,
                        "too much was sent to you and never taken: the "
                        "broker's memory is at its bound");
    }
}

/* The durable group that was fed most and has not sent it; NULL: none. */
static struct td_consumer *fullest(struct td_engine *e)
{
    struct td_consumer *found = NULL;
    struct td_consumer *c;

    DL_FOREACH(e->streams.consumers, c)
    {
        if (td_consumer_is_durable(c) && c->group->queue.len > 0 &&
            (!found || c->group->queue.bytes > found->group->queue.bytes))
            found = c;
    }
    return found;
}

size_t td_memory_bound(const struct td_engine *e)
{
    size_t bytes = td_bundling_bytes(e);
    size_t most = td_bundling_bytes_max(e);

    return e->options.memory_bytes - (bytes < most ? bytes : most);
}

static size_t bundled(const struct td_session *s)
{
    return s->bundles.bytes + s->bundles.out_bytes;
}

/* Of those who read nothing the one that most is kept for; NULL: none. */
static struct td_session *laziest(struct td_engine *e)
{
    struct td_session *found = NULL;

    for (struct td_session *s = e->sessions; s; s = s->hh.next) {
        if (!s->doomed && is_unread(e, s) &&
            bundled(s) > (found ? bundled(found) : 0))
            found = s;
    }
    return found;
}

/* Requests and answers: who reads is only told to wait. */
static void keep_bundles(struct td_engine *e)
{
    struct td_session *s;

    while (td_bundling_bytes(e) > td_bundling_bytes_max(e) &&
           (s = laziest(e))) {
        td_session_doom(e, s, TD_DROP_MEMORY, TIDINGS_ENOMEM,
                        "too many requests and answers were sent to you and "
                        "never read");
        td_session_reap(e);
    }
}

void td_memory_keep(struct td_engine *e)
{
    struct td_consumer *c;

    keep_bundles(e);
    /* That is in its stream still. */
    while (e->held_bytes > td_memory_bound(e) && (c = fullest(e)))
        td_consumer_unfeed(e, c, &c->group->queue);
    while (e->held_bytes > td_memory_bound(e)) {
        struct td_group *g = largest_named(e);
        struct td_sub *sub = largest(e);

        if (g && td_group_waiting(g) > 0 &&
            (!sub || td_group_waiting_bytes(g) >= kept(sub)))
            halve(e, g);
        else if (sub)
            relieve(e, sub);
        else
            return;
        td_session_reap(e);
    }
}

void td_memory_keep_sessions(struct td_engine *e)
{
    /* What one keeps as if nobody shared may be more than all keep; that
     * costs nobody anything, so it is not looked for. */
    if (e->held_bytes <= e->options.session_bytes)
        return;
    for (struct td_session *s = e->sessions; s; s = s->hh.next) {
        while (!s->doomed && td_session_queued(s) > e->options.session_bytes)
            relieve(e, largest_of(s));
    }
}
