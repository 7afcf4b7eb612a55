/* Links: two queues of messages, in order, with delays; and how they end. */
#include "tests/sim/durable_world.h"

#include <stdlib.h>
#include <string.h>

struct dur_link *dur_link_new(struct dur *d, struct dur_client *client)
{
    struct dur_link *link = sim_alloc(sizeof(*link));

    sim_pipe_init(&link->up);
    sim_pipe_init(&link->down);
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

void dur_send(struct dur *d, struct sim_pipe *pipe, unsigned frames,
              const void *control, size_t len, struct td_body *body)
{
    int64_t at = d->now_ms + sim_between(&d->random, 0, d->config.delay_max_ms);

    if (!sim_pipe_put(pipe, at, frames, control, len, body))
        abort();
}

void dur_link_close(struct dur *d, struct dur_link *link, bool clean)
{
    struct sim_random *r = &d->random;

    link->client = NULL;
    link->tell_client_ms = DUR_NEVER;
    sim_pipe_cut(&link->down, 0);
    link->down.hole = true;
    if (!clean)
        sim_pipe_cut(&link->up, sim_below(r, 4));
    if (link->tell_broker_ms == DUR_NEVER && sim_chance(r, 700))
        link->tell_broker_ms = link->up.last_ms + sim_between(r, 0, 20);
}

void dur_link_lose(struct dur *d, struct dur_link *link, bool silent)
{
    struct sim_random *r = &d->random;

    sim_pipe_cut(&link->up, sim_below(r, 4));
    sim_pipe_cut(&link->down, sim_below(r, 4));
    link->up.hole = link->down.hole = true;
    if (!silent && link->client)
        link->tell_client_ms = d->now_ms + sim_between(r, 0, 100);
    if (!silent && sim_chance(r, 800))
        link->tell_broker_ms = d->now_ms + sim_between(r, 0, 100);
}

static void link_free(struct dur *d, struct dur_link *link)
{
    DL_DELETE(d->links, link);
    sim_pipe_cut(&link->up, 0);
    sim_pipe_cut(&link->down, 0);
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
