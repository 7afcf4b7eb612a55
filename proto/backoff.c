#include "proto/backoff.h"

#define TOKEN 100u

uint32_t td_backoff_ms(uint32_t first_ms, uint32_t max_ms, unsigned nth,
                       enum td_jitter jitter, uint64_t random)
{
    uint64_t ms = nth > 32 ? max_ms : (uint64_t)first_ms << (nth - 1);
    uint64_t part; /* of it that is left to chance */

    if (ms > max_ms)
        ms = max_ms;
    if (jitter == TD_JITTER_NONE)
        return (uint32_t)ms;
    part = jitter == TD_JITTER_FULL ? ms : ms / 2;
    return (uint32_t)(ms - random % (part + 1));
}

void td_budget_init(struct td_budget *b, uint32_t percent, uint32_t burst)
{
    b->each = percent;
    b->most = burst * TOKEN;
    b->hundredths = b->most;
}

void td_budget_add(struct td_budget *b)
{
    b->hundredths += b->each;
    if (b->hundredths > b->most)
        b->hundredths = b->most;
}

bool td_budget_take(struct td_budget *b)
{
    if (b->hundredths < TOKEN)
        return false;
    b->hundredths -= TOKEN;
    return true;
}
