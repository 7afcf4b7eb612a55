/* A set of candidates, for tests of the choosers. */
#ifndef TESTS_UNIT_BALANCE_FIXTURE_H
#define TESTS_UNIT_BALANCE_FIXTURE_H

#include "tests/support/td_test.h"

#include "proto/balance.h"
#include "tests/sim/random.h"

#define CANDIDATES 12u

struct set {
    struct td_balance balance;
    struct td_candidate of[CANDIDATES];
    struct td_candidate *list[CANDIDATES];
    size_t n;
    unsigned chosen[CANDIDATES];
    struct sim_random random;
};

static inline void set_up(struct set *s, size_t n, uint64_t seed)
{
    memset(s, 0, sizeof(*s));
    s->n = n;
    s->random.state = seed;
    for (size_t i = 0; i < n; i++) {
        s->of[i].hash = td_balance_hash(&i, sizeof(i));
        s->of[i].eligible = true;
        s->list[i] = &s->of[i];
    }
}

static inline size_t ask(struct set *s, enum td_balance_policy policy,
                         struct td_ask asked)
{
    asked.random = sim_next(&s->random);
    return td_balance_choose(&s->balance, policy, s->list, s->n, &asked);
}

#endif
