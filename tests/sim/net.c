/* Links: two queues of messages, each in order, each with delays of its own;
 * and the ways in which a link ends. */
#include "tests/sim/world.h"

#include <stdlib.h>
#include <string.h>

static void pipe_init(struct sim_pipe *pipe)
{
    memset(pipe, 0, sizeof(*pipe));
    pipe->tail = &pipe->head;
}

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
    pipe_init(&link->up);
    pipe_init(&link->down);
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
    sim_pipe_clear(&link->up);
    sim_pipe_clear(&link->down);
    free(link);
}

void sim_message_free(struct sim_message *m)
{
    if (!m)
        return;
    td_body_unref(m->body);
    free(m);
}

void sim_pipe_put(struct sim *sim, struct sim_pipe *pipe, unsigned frames,
                  const void *control, size_t len, struct td_body *body)
{
    const struct sim_config *cf = &sim->config;
    int64_t at = sim->now_ms +
                 sim_between(&sim->random, cf->delay_min_ms, cf->delay_max_ms);
    struct sim_message *m;

    if (pipe->hole)
        return;
    m = calloc(1, sizeof(*m) + len);
    if (!m) {
        SIM_CHECK(sim, false, "out of memory");
        return;
    }
    if (at < pipe->last_ms)
        at = pipe->last_ms;
    if (at < pipe->stall_ms)
        at = pipe->stall_ms;
    pipe->last_ms = m->at_ms = at;
    m->frames = frames;
    m->len = len;
    if (len)
        memcpy(m->control, control, len);
    m->body = body ? td_body_ref(body) : NULL;
    *pipe->tail = m;
    pipe->tail = &m->next;
    pipe->len++;
}

struct sim_message *sim_pipe_get(struct sim_pipe *pipe, int64_t now_ms)
{
    struct sim_message *m = pipe->head;

    if (!m || m->at_ms > now_ms)
        return NULL;
    pipe->head = m->next;
    if (!pipe->head)
        pipe->tail = &pipe->head;
    pipe->len--;
    return m;
}

int64_t sim_pipe_next_ms(const struct sim_pipe *pipe)
{
    return pipe->head ? pipe->head->at_ms : SIM_NEVER;
}

static void pipe_cut(struct sim_pipe *pipe, size_t keep)
{
    struct sim_message **at = &pipe->head;

    for (size_t i = 0; i < keep; i++)
        at = &(*at)->next;
    while (*at) {
        struct sim_message *m = *at;

        *at = m->next;
        sim_message_free(m);
        pipe->len--;
    }
    pipe->tail = at;
}

void sim_pipe_clear(struct sim_pipe *pipe)
{
    pipe_cut(pipe, 0);
}

void sim_pipe_lose(struct sim *sim, struct sim_pipe *pipe)
{
    pipe_cut(pipe, sim_below(&sim->random, pipe->len + 1));
}

void sim_link_close(struct sim *sim, struct sim_link *link, bool clean)
{
    struct sim_random *r = &sim->random;

    link->client = NULL;
    link->tell_client_ms = SIM_NEVER;
    sim_pipe_clear(&link->down);
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
