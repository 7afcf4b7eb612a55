/* Who gets the next request: choosers over candidates, and a split by weight
 * over versions.
 *
 * Pure: chance is a number that is handed in, and so is the time. An owner has
 * a td_candidate in each of its instances and hands over an array of pointers
 * to them, in any order: what a chooser remembers is in the candidate, so the
 * array may change between two calls. One thread at a time. */
#ifndef TD_BALANCE_H
#define TD_BALANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/limits.h"

enum td_balance_policy {
    TD_BALANCE_ROUND_ROBIN, /* who was not chosen for longest: totals differ by
                               at most one while the same are eligible */
    TD_BALANCE_RANDOM,      /* any */
    TD_BALANCE_LEAST,       /* the fewest requests in flight; round robin among
                               equals */
    TD_BALANCE_KEY,    /* one for each key: when it goes only its keys move,
                               and who comes takes only its own */
    TD_BALANCE_LATENCY /* the better of two at random, by latency times
                               requests in flight (peak EWMA, as in Finagle) */
};
#define TD_BALANCE_POLICIES 5u

/* hash, version and eligible are the owner's. All else 0 at first: one that
 * joins gets the next turn, and is not made up to the others. */
struct td_candidate {
    uint64_t hash;      /* of its id: TD_BALANCE_KEY */
    uint64_t turn;      /* when it was chosen last; 0: never */
    double cost;        /* latency, microseconds; at once what was slower … */
    int64_t cost_us;    /* … as it was then, and less since */
    uint32_t in_flight; /* requests */
    uint32_t version;
    bool eligible; /* healthy, not draining, its breaker lets a call begin */
    bool measured; /* there is a cost */
};

struct td_balance {
    uint64_t turns; /* given so far */
};

/* What one choice depends on beside the candidates. */
struct td_ask {
    uint32_t version; /* of it, or TD_ANY_VERSION */
    uint64_t key;     /* hash of it: TD_BALANCE_KEY */
    uint64_t random;  /* 64 random bits: TD_BALANCE_RANDOM, _LATENCY */
    int64_t now_us;   /* TD_BALANCE_LATENCY */
};

#define TD_ANY_VERSION UINT32_MAX
#define TD_NOBODY      SIZE_MAX

/* The index of one that is eligible, or TD_NOBODY. It has had its turn; its
 * in_flight is as before. */
size_t td_balance_choose(struct td_balance *b, enum td_balance_policy policy,
                         struct td_candidate *const list[], size_t n,
                         const struct td_ask *ask);

/* A request goes to it. */
void td_candidate_begin(struct td_candidate *c);
/* It is over, and took so long. */
void td_candidate_end(struct td_candidate *c, int64_t now_us,
                      int64_t latency_us);
/* It has failed: what fails at once is not quick, so that it is believed to be
 * no quicker than it was, and slower if this took longer. Whoever leaves that
 * to a breaker calls td_candidate_drop(). */
void td_candidate_fail(struct td_candidate *c, int64_t now_us,
                       int64_t latency_us);
/* It is over, and its latency says nothing. */
void td_candidate_drop(struct td_candidate *c);

/* The latency that it is believed to have now. */
double td_candidate_cost_us(const struct td_candidate *c, int64_t now_us);

/* ---- a split by weight ---- */

/* Smooth weighted round robin, as in nginx: of as many turns as the weights
 * are together each gets exactly its weight, spread evenly. */
struct td_weighted {
    uint32_t weight; /* 0: nothing */
    bool eligible;   /* there is somebody who can take it */
    int64_t credit;  /* 0 at first, and when weights change */
};

/* The index of the next, or TD_NOBODY. What is not eligible is passed over,
 * and not made up for. */
size_t td_weighted_choose(struct td_weighted list[], size_t n);

/* Hash of a key or an id: the same in every broker. */
uint64_t td_balance_hash(const void *bytes, size_t len);

#endif
