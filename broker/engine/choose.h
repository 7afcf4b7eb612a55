/* Who gets a request (PROTOCOL.md 11.3). */
#ifndef TD_CHOOSE_H
#define TD_CHOOSE_H

#include "broker/engine/service.h"

/* What a request says beside its type. */
struct td_wish {
    struct td_str service; /* NULL: any, and so of the next two */
    struct td_str instance;
    struct td_str version;
    bool balances; /* as it says, not as the endpoint does */
    enum td_balance_policy balance;
    bool keyed;
    uint64_t key; /* hash of it */
    size_t bytes; /* that it has */
};

/* Why nobody got it. */
struct td_refusal {
    tidings_err code; /* ENORESPONDER, EBREAKER or EFULL: the last is the most
                         that is said */
    bool shared;     /* EFULL: the caller, or who would answer, has its share */
    int64_t left_ms; /* EBREAKER: until one may be tried; 0: a probe is out, and
                         its result decides */
};

bool td_wish_fits(const struct td_wish *wish,
                  const struct td_instance *instance);

/* Whether it may have one more now; if not, says why in *why. */
bool td_choose_may(struct td_engine *e, struct td_endpoint *endpoint,
                   const struct td_wish *wish, struct td_refusal *why);

/* One of these, or NULL: *why. */
struct td_endpoint *td_choose_one(struct td_engine *e,
                                  struct td_candidate *const list[], uint32_t n,
                                  enum td_balance_policy policy,
                                  const struct td_wish *wish,
                                  struct td_refusal *why);

#endif
