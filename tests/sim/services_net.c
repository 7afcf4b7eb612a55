/* Links: two queues of messages, in order, with delays; and how they end. */
#include "tests/sim/services_world.h"

#include <stdlib.h>
#include <string.h>

struct svc_link *svc_link_new(struct svc *w, struct svc_client *client)
{
    struct svc_link *link = sim_alloc(sizeof(*link));

    sim_pipe_init(&link->up);
    sim_pipe_init(&link->down);
    link->number = ++w->links_made;
    link->client = link->owner = client;
    link->shut_ms = link->tell_client_ms = link->tell_broker_ms = SVC_NEVER;
    link->id[0] = 'L';
    memcpy(link->id + 1, &link->number, 4);
    DL_APPEND(w->links, link);
    return link;
}

struct svc_link *svc_link_of(struct svc *w, struct td_str peer)
{
    struct svc_link *link;

    DL_FOREACH(w->links, link)
    {
        if (memcmp(link->id, peer.data, sizeof(link->id)) == 0)
            return link;
    }
    return NULL;
}

void svc_send(struct svc *w, struct sim_pipe *pipe, const void *control,
              size_t len, struct td_body *body)
{
    int64_t at = w->now_ms + sim_between(&w->random, 0, w->config.delay_max_ms);

    if (!sim_pipe_put(pipe, at, body ? 2 : 1, control, len, body))
        abort();
}

void svc_link_close(struct svc *w, struct svc_link *link, bool clean)
{
    struct sim_random *r = &w->random;

    link->client = NULL;
    link->hurt = true;
    link->tell_client_ms = SVC_NEVER;
    sim_pipe_cut(&link->down, 0);
    link->down.hole = true;
    if (!clean)
        sim_pipe_cut(&link->up, sim_below(r, 4));
    /* A link that was silently cut cannot tell that its end is closed. */
    if (link->up.hole)
        return;
    if (link->shut_ms == SVC_NEVER)
        link->shut_ms =
            (link->up.last_ms > w->now_ms ? link->up.last_ms : w->now_ms) +
            sim_between(r, 0, 20);
    if (link->tell_broker_ms == SVC_NEVER && sim_chance(r, 300))
        link->tell_broker_ms = link->shut_ms;
}

void svc_link_lose(struct svc *w, struct svc_link *link, bool silent)
{
    struct sim_random *r = &w->random;

    svc_say(w, "link %u of client %u is cut%s", link->number,
            link->owner->index, silent ? ", and nobody knows" : "");
    link->hurt = true;
    sim_pipe_cut(&link->up, sim_below(r, 4));
    sim_pipe_cut(&link->down, sim_below(r, 4));
    link->up.hole = link->down.hole = true;
    if (silent)
        return;
    if (link->client)
        link->tell_client_ms = w->now_ms + sim_between(r, 0, 100);
    link->shut_ms = w->now_ms + sim_between(r, 0, 100);
    if (sim_chance(r, 500))
        link->tell_broker_ms = link->shut_ms;
}

static void link_free(struct svc *w, struct svc_link *link)
{
    DL_DELETE(w->links, link);
    sim_pipe_cut(&link->up, 0);
    sim_pipe_cut(&link->down, 0);
    free(link);
}

void svc_links_sweep(struct svc *w)
{
    struct svc_link *link;
    struct svc_link *next;

    DL_FOREACH_SAFE(w->links, link, next)
    {
        if (!link->client && !link->up.head &&
            link->tell_broker_ms == SVC_NEVER && !svc_broker_session(w, link))
            link_free(w, link);
    }
}

void svc_links_free(struct svc *w)
{
    while (w->links)
        link_free(w, w->links);
}
