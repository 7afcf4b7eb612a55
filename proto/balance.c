#include "proto/balance.h"

#include <xxhash.h>

#define TRIES 4u /* at random, before candidates are counted */

uint64_t td_balance_hash(const void *bytes, size_t len)
{
    return XXH3_64bits(bytes, len);
}

static bool fits(const struct td_candidate *c, const struct td_ask *ask)
{
    return c->eligible &&
           (ask->version == TD_ANY_VERSION || c->version == ask->version);
}

/* ---- turns ---- */

static size_t round_robin(struct td_candidate *const list[], size_t n,
                          const struct td_ask *ask)
{
    size_t best = TD_NOBODY;
    uint64_t turn = 0;

    for (size_t i = 0; i < n; i++) {
        const struct td_candidate *c = list[i];

        if (fits(c, ask) && (best == TD_NOBODY || c->turn < turn)) {
            best = i;
            turn = c->turn;
        }
    }
    return best;
}

static size_t least(struct td_candidate *const list[], size_t n,
                    const struct td_ask *ask)
{
    size_t best = TD_NOBODY;
    uint32_t in_flight = 0;
    uint64_t turn = 0;

    for (size_t i = 0; i < n; i++) {
        const struct td_candidate *c = list[i];

        if (fits(c, ask) && (best == TD_NOBODY || c->in_flight < in_flight ||
                             (c->in_flight == in_flight && c->turn < turn))) {
            best = i;
            in_flight = c->in_flight;
            turn = c->turn;
        }
    }
    return best;
}

/* ---- keys ---- */

/* All bits depend on all: splitmix64's end. */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Rendezvous: each key ranks the candidates in an order of its own, and has
 * the first that is there. */
static size_t by_key(struct td_candidate *const list[], size_t n,
                     const struct td_ask *ask)
{
    size_t best = TD_NOBODY;
    uint64_t rank = 0;

    for (size_t i = 0; i < n; i++) {
        uint64_t here = mix(ask->key ^ list[i]->hash);

        if ((here > rank || best == TD_NOBODY) && fits(list[i], ask)) {
            best = i;
            rank = here;
        }
    }
    return best;
}

/* ---- chance ---- */

/* 0 .. n - 1, evenly; n is far below 2^32. */
static size_t below(uint64_t *random, size_t n)
{
    *random = mix(*random + 0x9e3779b97f4a7c15u);
    return (size_t)(((*random >> 32) * (uint64_t)n) >> 32);
}

static size_t nth_that_fits(struct td_candidate *const list[], size_t n,
                            const struct td_ask *ask, size_t except,
                            uint64_t *random)
{
    size_t fit = 0;
    size_t left;

    for (size_t i = 0; i < n; i++)
        fit += i != except && fits(list[i], ask);
    if (fit == 0)
        return TD_NOBODY;
    left = below(random, fit);
    for (size_t i = 0; i < n; i++)
        if (i != except && fits(list[i], ask) && left-- == 0)
            return i;
    return TD_NOBODY;
}

/* Any that fits but one, each as likely: where most fit, a few tries find
 * one. */
static size_t any_but(struct td_candidate *const list[], size_t n,
                      const struct td_ask *ask, size_t except, uint64_t *random)
{
    for (unsigned i = 0; n > 0 && i < TRIES; i++) {
        size_t at = below(random, n);

        if (at != except && fits(list[at], ask))
            return at;
    }
    return nth_that_fits(list, n, ask, except, random);
}

static size_t at_random(struct td_candidate *const list[], size_t n,
                        const struct td_ask *ask)
{
    uint64_t random = ask->random;

    return any_but(list, n, ask, TD_NOBODY, &random);
}

/* ---- latency ---- */

/* Half to the power of elapsed / TD_COST_HALF_US: whole halves, and the series
 * of e^-y for the rest, which is exact where it is short. */
static double fade(int64_t elapsed_us)
{
    uint64_t halves;
    double y;

    if (elapsed_us <= 0)
        return 1;
    halves = (uint64_t)elapsed_us / TD_COST_HALF_US;
    if (halves >= 63)
        return 0;
    y = 0.693147180559945 * (double)((uint64_t)elapsed_us % TD_COST_HALF_US) /
        TD_COST_HALF_US;
    return (1 - y * (1 - y / 2 * (1 - y / 3 * (1 - y / 4 * (1 - y / 5))))) /
           (double)(UINT64_C(1) << halves);
}

double td_candidate_cost_us(const struct td_candidate *c, int64_t now_us)
{
    return c->cost * fade(now_us - c->cost_us);
}

void td_candidate_begin(struct td_candidate *c)
{
    c->in_flight++;
}

void td_candidate_drop(struct td_candidate *c)
{
    if (c->in_flight > 0)
        c->in_flight--;
}

void td_candidate_end(struct td_candidate *c, int64_t now_us,
                      int64_t latency_us)
{
    double latency = latency_us > 0 ? (double)latency_us : 0;
    double keep = fade(now_us - c->cost_us);

    c->cost =
        latency > c->cost ? latency : c->cost * keep + latency * (1 - keep);
    c->cost_us = now_us;
    c->measured = true;
    td_candidate_drop(c);
}

void td_candidate_fail(struct td_candidate *c, int64_t now_us,
                       int64_t latency_us)
{
    int64_t was = (int64_t)c->cost;

    td_candidate_end(c, now_us, latency_us > was ? latency_us : was);
}

/* One that nothing is known of gets one request, and no other before that is
 * answered. */
static double load(const struct td_candidate *c, int64_t now_us)
{
    if (!c->measured && c->in_flight > 0)
        return 1e18 + c->in_flight;
    return td_candidate_cost_us(c, now_us) * ((double)c->in_flight + 1);
}

static size_t by_latency(struct td_candidate *const list[], size_t n,
                         const struct td_ask *ask)
{
    uint64_t random = ask->random;
    size_t one = any_but(list, n, ask, TD_NOBODY, &random);
    size_t other =
        one == TD_NOBODY ? TD_NOBODY : any_but(list, n, ask, one, &random);

    if (other == TD_NOBODY)
        return one;
    return load(list[other], ask->now_us) < load(list[one], ask->now_us) ? other
                                                                         : one;
}

/* ---- the table ---- */

size_t td_balance_choose(struct td_balance *b, enum td_balance_policy policy,
                         struct td_candidate *const list[], size_t n,
                         const struct td_ask *ask)
{
    static size_t (*const choosers[])(struct td_candidate *const list[],
                                      size_t n, const struct td_ask *ask) = {
        [TD_BALANCE_ROUND_ROBIN] = round_robin,
        [TD_BALANCE_RANDOM] = at_random,
        [TD_BALANCE_LEAST] = least,
        [TD_BALANCE_KEY] = by_key,
        [TD_BALANCE_LATENCY] = by_latency,
    };
    size_t chosen = choosers[policy](list, n, ask);

    if (chosen != TD_NOBODY)
        list[chosen]->turn = ++b->turns;
    return chosen;
}

size_t td_weighted_choose(struct td_weighted list[], size_t n)
{
    size_t best = TD_NOBODY;
    int64_t total = 0;

    for (size_t i = 0; i < n; i++) {
        struct td_weighted *w = &list[i];

        if (!w->eligible || w->weight == 0)
            continue;
        w->credit += w->weight;
        total += w->weight;
        if (best == TD_NOBODY || w->credit > list[best].credit)
            best = i;
    }
    if (best != TD_NOBODY)
        list[best].credit -= total;
    return best;
}
