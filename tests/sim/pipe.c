#include "tests/sim/pipe.h"

#include <stdlib.h>
#include <string.h>

void sim_pipe_init(struct sim_pipe *pipe)
{
    memset(pipe, 0, sizeof(*pipe));
    pipe->tail = &pipe->head;
}

void sim_message_free(struct sim_message *m)
{
    if (!m)
        return;
    td_body_unref(m->body);
    free(m);
}

bool sim_pipe_put(struct sim_pipe *pipe, int64_t at_ms, unsigned frames,
                  const void *control, size_t len, struct td_body *body)
{
    struct sim_message *m;

    if (pipe->hole)
        return true;
    m = calloc(1, sizeof(*m) + len);
    if (!m)
        return false;
    if (at_ms < pipe->last_ms)
        at_ms = pipe->last_ms;
    if (at_ms < pipe->stall_ms)
        at_ms = pipe->stall_ms;
    pipe->last_ms = m->at_ms = at_ms;
    m->frames = frames;
    m->len = len;
    if (len)
        memcpy(m->control, control, len);
    m->body = body ? td_body_ref(body) : NULL;
    *pipe->tail = m;
    pipe->tail = &m->next;
    pipe->len++;
    return true;
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
    return pipe->head ? pipe->head->at_ms : INT64_MAX;
}

void sim_pipe_cut(struct sim_pipe *pipe, uint64_t keep)
{
    struct sim_message **at = &pipe->head;

    while (*at && keep-- > 0)
        at = &(*at)->next;
    while (*at) {
        struct sim_message *m = *at;

        *at = m->next;
        sim_message_free(m);
        pipe->len--;
    }
    pipe->tail = at;
}
