/* Links: two queues of messages, each in order, each with delays of its own;
 * and the ways in which a link ends. */
#include "tests/sim/world.h"

#include <stdlib.h>
#include <string.h>

/* As libzmq names peers; now and then as long as a name may be. */
static void link_name(struct sim_link *link)
{
    link->id_len = link->number % 7 == 6 ? sizeof(link->id) : 5;
    memset(link->id, 0, sizeof(link->id));
    for (int i = 0; i < 4; i++)
        link->id[1 + i] = (uint8_t)(link->number >> (24 - 8 * i));
}

struct sim_link *sim_link_new(struct sim *sim, struct sim_client *client,
                              bool evil)
{
    struct sim_link *link = calloc(1, sizeof(*link));

    if (!link || sim->links_len == SIM_LINKS_MAX) {
        SIM_CHECK(sim, false, "out of memory, or too many links");
        free(link);
        return NULL;
    }
    sim_pipe_init(&link->up);
    sim_pipe_init(&link->down);
    link->number = sim->links_len;
    link->client = client;
    link->evil = evil;
    link->active = true;
    link->shut_ms = link->tell_client_ms = link->tell_broker_ms = SIM_NEVER;
    link->producer = UINT32_MAX;
    link_name(link);
    sim->all_links[sim->links_len++] = link;
    DL_APPEND(sim->links, link);
    return link;
}

struct sim_link *sim_link_of(struct sim *sim, struct td_str peer)
{
    uint32_t number = 0;

    for (int i = 0; i < 4; i++)
        number = number << 8 | (uint8_t)peer.data[1 + i];
    return sim->all_links[number];
}

void sim_link_free(struct sim_link *link)
{
    sim_pipe_cut(&link->up, 0);
    sim_pipe_cut(&link->down, 0);
    free(link);
}

void sim_send(struct sim *sim, struct sim_pipe *pipe, unsigned frames,
              const void *control, size_t len, struct td_body *body)
{
    const struct sim_config *cf = &sim->config;
    int64_t at = sim->now_ms +
                 sim_between(&sim->random, cf->delay_min_ms, cf->delay_max_ms);

    SIM_CHECK(sim, sim_pipe_put(pipe, at, frames, control, len, body),
              "out of memory");
}

void sim_pipe_lose(struct sim *sim, struct sim_pipe *pipe)
{
    sim_pipe_cut(pipe, sim_below(&sim->random, pipe->len + 1));
}

void sim_link_close(struct sim *sim, struct sim_link *link, bool clean)
{
    struct sim_random *r = &sim->random;

    link->client = NULL;
    link->tell_client_ms = SIM_NEVER;
    sim_pipe_cut(&link->down, 0);
    link->down.hole = true;
    if (!clean)
        sim_pipe_lose(sim, &link->up);
    link->broker_may_complain = true;
    if (link->shut_ms == SIM_NEVER && !sim_chance(r, 300))
        link->shut_ms = link->up.last_ms + sim_between(r, 0, 20);
    if (link->tell_broker_ms == SIM_NEVER && sim_chance(r, 300))
        link->tell_broker_ms = link->up.last_ms + sim_between(r, 0, 20);
}

void sim_links_sweep(struct sim *sim)
{
    struct sim_link *link;
    struct sim_link *next;

    DL_FOREACH_SAFE(sim->links, link, next)
    {
        if (link->client || link == sim->raw || link->up.head ||
            link->tell_broker_ms != SIM_NEVER)
            continue;
        DL_DELETE(sim->links, link);
        link->active = false;
    }
}
