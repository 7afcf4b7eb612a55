#include "client/guarded.h"

#include "proto/limits.h"

static enum tidings_breaker_state look(const struct td_guarded *g,
                                       int64_t *left_ms)
{
    struct tidings_breaker_info info = {.state = TIDINGS_BREAKER_CLOSED};

    tidings_breaker_info(&info, g->breaker);
    *left_ms = info.left_ms;
    return info.state;
}

bool td_guarded_begin(struct td_guarded *g, tidings_breaker *breaker)
{
    int64_t left_ms;

    *g = (struct td_guarded){.breaker = breaker};
    if (!breaker)
        return true;
    if (tidings_breaker_allow(breaker, &g->ticket))
        return false;
    g->probe = look(g, &left_ms) == TIDINGS_BREAKER_HALF_OPEN;
    return true;
}

bool td_guarded_end(struct td_guarded *g, tidings_err err)
{
    int64_t left_ms;

    if (!g->breaker)
        return false;
    tidings_breaker_done(g->breaker, g->ticket, err);
    return g->probe && err && look(g, &left_ms) == TIDINGS_BREAKER_OPEN;
}

uint64_t td_guarded_left_ms(const struct td_guarded *g)
{
    int64_t left_ms;

    if (!g->breaker)
        return 0;
    switch (look(g, &left_ms)) {
    case TIDINGS_BREAKER_CLOSED:
        return 0;
    case TIDINGS_BREAKER_OPEN:
        return left_ms > 0 ? (uint64_t)left_ms : 1;
    case TIDINGS_BREAKER_HALF_OPEN: /* who is at it will know soon */
        break;
    }
    return TD_PARK_PROBED_MS;
}
