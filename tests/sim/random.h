/* The one source of chance in a simulation: what a seed says, nothing else. */
#ifndef TESTS_SIM_RANDOM_H
#define TESTS_SIM_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct sim_random {
    uint64_t state;
};

static inline uint64_t sim_next(struct sim_random *r)
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15u; /* splitmix64 */

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* 0 .. n - 1; 0 when n is 0. */
static inline uint64_t sim_below(struct sim_random *r, uint64_t n)
{
    return n ? sim_next(r) % n : 0;
}

/* Both ends included. */
static inline int64_t sim_between(struct sim_random *r, int64_t low,
                                  int64_t high)
{
    return low + (int64_t)sim_below(r, (uint64_t)(high - low) + 1);
}

static inline bool sim_chance(struct sim_random *r, unsigned per_mille)
{
    return sim_below(r, 1000) < per_mille;
}

#endif
