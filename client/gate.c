#include "client/gate.h"

static void raise_peak(uint32_t *peak, uint32_t value)
{
    if (*peak < value)
        *peak = value;
}

enum td_gate_turn td_gate_enter(struct td_gate *g, bool may_wait)
{
    /* Who waits comes first. */
    if (g->running < g->running_max && g->waiting == 0) {
        g->running++;
        g->entered++;
        raise_peak(&g->running_peak, g->running);
        return TD_GATE_IN;
    }
    if (!may_wait || g->waiting >= g->waiting_max) {
        g->refused++;
        return TD_GATE_FULL;
    }
    g->waiting++;
    raise_peak(&g->waiting_peak, g->waiting);
    return TD_GATE_WAIT;
}

bool td_gate_leave(struct td_gate *g)
{
    if (g->running == 0)
        return false; /* it was not in */
    if (g->waiting == 0) {
        g->running--;
        return false;
    }
    g->waiting--;
    g->entered++;
    g->waited++;
    return true;
}

void td_gate_give_up(struct td_gate *g)
{
    g->waiting--;
    g->gave_up++;
}
