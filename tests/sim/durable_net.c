/* Links: two queues of messages, in order, with delays; and how they end. */
#include "tests/sim/durable_world.h"

#include <stdlib.h>
#include <string.h>

struct dur_link *dur_link_new(struct dur *d, struct dur_client *client)
{
    struct dur_link *link = dur_alloc(sizeof(*link));

    link->up.tail = &link->up.head;
    link->down.tail = &link->down.head;
    link->number = ++d->links_made;
    link->client = client;
    link->tell_client_ms = link->tell_broker_ms = DUR_NEVER;
    link->id[0] = 'L';
    memcpy(link->id + 1, &link->number, 4);
    DL_APPEND(d->links, link);
    return link;
}

struct dur_link *dur_link_of(struct dur *d, struct td_str peer)
{
    struct dur_link *link;

    DL_FOREACH(d->links, link)
    {
        if (memcmp(link->id, peer.data, sizeof(link->id)) == 0)
            return link;
    }
    return NULL;
}

void dur_message_free(struct dur_message *m)
{
    td_body_unref(m->body);
    free(m);
}

void dur_pipe_put(struct dur *d, struct dur_pipe *pipe, unsigned frames,
                  const void *control, size_t len, struct td_body *body)
{
    int64_t at = d->now_ms + sim_between(&d->random, 0, d->config.delay_max_ms);
    struct dur_message *m;

    if (pipe->hole)
        return;
    m = dur_alloc(sizeof(*m) + len);
    pipe->last_ms = m->at_ms = at < pipe->last_ms ? pipe->last_ms : at;
    m->frames = frames;
    m->len = len;
    memcpy(m->control, control, len);
    m->body = body ? td_body_ref(body) : NULL;
    *pipe->tail = m;
    pipe->tail = &m->next;
}

struct dur_message *dur_pipe_get(struct dur_pipe *pipe, int64_t now_ms)
{
    struct dur_message *m = pipe->head;

    if (!m || m->at_ms > now_ms)
        return NULL;
    pipe->head = m->next;
    if (!pipe->head)
        pipe->tail = &pipe->head;
    return m;
}

int64_t dur_pipe_next_ms(const struct dur_pipe *pipe)
{
    return pipe->head ? pipe->head->at_ms : DUR_NEVER;
}

/* All but the first so many. */
static void cut(struct dur_pipe *pipe, uint64_t keep)
{
    struct dur_message **at = &pipe->head;

    while (*at && keep-- > 0)
        at = &(*at)->next;
    while (*at) {
        struct dur_message *m = *at;

        *at = m->next;
        dur_message_free(m);
    }
    pipe->tail = at;
}

void dur_pipe_clear(struct dur_pipe *pipe)
{
    cut(pipe, 0);
}

void dur_link_close(struct dur *d, struct dur_link *link, bool clean)
{
    struct sim_random *r = &d->random;

    link->client = NULL;
    link->tell_client_ms = DUR_NEVER;
    dur_pipe_clear(&link->down);
    link->down.hole = true;
    if (!clean)
        cut(&link->up, sim_below(r, 4));
    if (link->tell_broker_ms == DUR_NEVER && sim_chance(r, 700))
        link->tell_broker_ms = link->up.last_ms + sim_between(r, 0, 20);
}

void dur_link_lose(struct dur *d, struct dur_link *link, bool silent)
{
    struct sim_random *r = &d->random;

    cut(&link->up, sim_below(r, 4));
    cut(&link->down, sim_below(r, 4));
    link->up.hole = link->down.hole = true;
    if (!silent && link->client)
        link->tell_client_ms = d->now_ms + sim_between(r, 0, 100);
    if (!silent && sim_chance(r, 800))
        link->tell_broker_ms = d->now_ms + sim_between(r, 0, 100);
}

static void link_free(struct dur *d, struct dur_link *link)
{
    DL_DELETE(d->links, link);
    dur_pipe_clear(&link->up);
    dur_pipe_clear(&link->down);
    free(link);
}

void dur_links_sweep(struct dur *d)
{
    struct dur_link *link;
    struct dur_link *next;

    DL_FOREACH_SAFE(d->links, link, next)
    {
        if (!link->client && !link->up.head &&
            link->tell_broker_ms == DUR_NEVER && !dur_broker_session(d, link))
            link_free(d, link);
    }
}

void dur_links_free(struct dur *d)
{
    while (d->links)
        link_free(d, d->links);
}
