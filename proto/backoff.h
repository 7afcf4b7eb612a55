/* How long to wait before something is tried again, and a budget that bounds
 * how often. Pure: chance is a number that is handed in. */
#ifndef TD_BACKOFF_H
#define TD_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

enum td_jitter {
    TD_JITTER_FULL, /* anything from nothing to the whole */
    TD_JITTER_HALF, /* from half of it to the whole */
    TD_JITTER_NONE
};

/* Before the nth try again, from 1 on: first_ms, doubled each time up to
 * max_ms, less what jitter takes off it. */
uint32_t td_backoff_ms(uint32_t first_ms, uint32_t max_ms, unsigned nth,
                       enum td_jitter jitter, uint64_t random);

/* Each first try adds a part of a token, each retry takes a whole one: so of
 * all that is tried at most that part is tried again, and what is down is not
 * hit with more than that. Full at first. */
struct td_budget {
    uint32_t hundredths; /* of tokens */
    uint32_t most;
    uint32_t each; /* what a first try adds */
};

/* percent: retries for each hundred first tries; burst: at once, at least 1. */
void td_budget_init(struct td_budget *b, uint32_t percent, uint32_t burst);
/* A first try. */
void td_budget_add(struct td_budget *b);
/* A retry: false: there is nothing left for it. */
bool td_budget_take(struct td_budget *b);

#endif
