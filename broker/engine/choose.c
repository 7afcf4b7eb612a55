/* Who gets a request: those who are fit, of which weight and balance choose. */
#include "broker/engine/internal.h"

#include "broker/engine/choose.h"
#include "proto/option.h"

/* ---- who is fit ---- */

static bool is(struct td_str wish, const char *is)
{
    return !wish.data || td_bytes_equal(wish, td_str_of(is));
}

bool td_wish_fits(const struct td_wish *wish,
                  const struct td_instance *instance)
{
    return is(wish->service, instance->service->name) &&
           is(wish->instance, instance->id) &&
           is(wish->version, instance->version);
}

static void say_broken(struct td_refusal *why, const struct td_breaker *b,
                       int64_t now_ms)
{
    int64_t left_ms =
        b->state == TD_BREAKER_HALF_OPEN ? 0 : td_breaker_left_ms(b, now_ms);

    if (why->code == TIDINGS_EFULL)
        return;
    if (why->code != TIDINGS_EBREAKER || left_ms < why->left_ms)
        why->left_ms = left_ms;
    why->code = TIDINGS_EBREAKER;
}

static bool lets_through(const struct td_engine *e, bool breaks,
                         const struct td_breaker *b, struct td_refusal *why)
{
    if (!breaks || td_breaker_ready(b, e->now_ms))
        return true;
    say_broken(why, b, e->now_ms);
    return false;
}

bool td_choose_may(struct td_engine *e, struct td_endpoint *endpoint,
                   const struct td_wish *wish, struct td_refusal *why)
{
    const struct td_instance *instance = endpoint->instance;
    const struct td_service *service = instance->service;

    if (!td_instance_is_fit(instance))
        return false;
    if (!lets_through(e, instance->breaks, &instance->breaker, why) ||
        !lets_through(e, service->breaks, &service->breaker, why))
        return false;
    if (endpoint->candidate.in_flight < endpoint->max_in_flight &&
        td_bundle_has_room(e, instance->session, wish->bytes))
        return true;
    why->code = TIDINGS_EFULL;
    return false;
}

/* Those in this state that may have it: how many. */
static uint32_t mark(struct td_engine *e, struct td_candidate *const list[],
                     uint32_t n, const struct td_wish *wish,
                     enum td_health state, struct td_refusal *why)
{
    uint32_t fit = 0;

    for (uint32_t i = 0; i < n; i++) {
        struct td_endpoint *endpoint = td_endpoint_of(list[i]);
        const struct td_instance *instance = endpoint->instance;

        list[i]->eligible = instance->state == state &&
                            td_wish_fits(wish, instance) &&
                            td_choose_may(e, endpoint, wish, why);
        fit += list[i]->eligible;
    }
    return fit;
}

/* ---- weights ---- */

static uint32_t place_of(const struct td_service *service,
                         const struct td_candidate *c)
{
    const struct td_instance *instance =
        ((const struct td_endpoint *)(const void *)c)->instance;

    return instance->service == service ? instance->weight : 0;
}

/* The place in the service's weights whose turn it is; TD_NOBODY: those who are
 * fit have no share. */
static size_t draw(struct td_service *service,
                   struct td_candidate *const list[], uint32_t n)
{
    struct td_weighted weighted[TD_WEIGHTS_MAX + 1];
    size_t drawn;

    for (uint32_t i = 0; i < service->weights_len; i++) {
        weighted[i] = service->weights[i].weighted;
        weighted[i].eligible = false;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (list[i]->eligible)
            weighted[place_of(service, list[i])].eligible = true;
    }
    drawn = td_weighted_choose(weighted, service->weights_len);
    for (uint32_t i = 0; i < service->weights_len; i++)
        service->weights[i].weighted.credit = weighted[i].credit;
    if (drawn == TD_NOBODY && weighted[0].eligible)
        return 0; /* nobody else is there */
    return drawn;
}

/* False: nobody of them has a share. */
static bool keep_drawn(struct td_candidate *const list[], uint32_t n)
{
    struct td_service *service = NULL;
    size_t drawn;

    for (uint32_t i = 0; i < n && !service; i++) {
        struct td_service *his = td_endpoint_of(list[i])->instance->service;

        if (his->weights_len > 0)
            service = his;
    }
    if (!service)
        return true;
    drawn = draw(service, list, n);
    for (uint32_t i = 0; i < n; i++)
        list[i]->eligible =
            list[i]->eligible && place_of(service, list[i]) == drawn;
    return drawn != TD_NOBODY;
}

/* ---- the choice ---- */

/* Whether one of those in this state may have it: they are marked. */
static bool is_among(struct td_engine *e, struct td_candidate *const list[],
                     uint32_t n, const struct td_wish *wish,
                     enum td_health state, struct td_refusal *why)
{
    return mark(e, list, n, wish, state, why) > 0 &&
           (wish->version.data || wish->instance.data || keep_drawn(list, n));
}

struct td_endpoint *td_choose_one(struct td_engine *e,
                                  struct td_candidate *const list[], uint32_t n,
                                  enum td_balance_policy policy,
                                  const struct td_wish *wish,
                                  struct td_refusal *why)
{
    struct td_ask ask = {.version = TD_ANY_VERSION,
                         .key = wish->key,
                         .now_us = e->now_ms * 1000};
    size_t chosen;

    if (!is_among(e, list, n, wish, TD_HEALTH_RUNNING, why) &&
        !is_among(e, list, n, wish, TD_HEALTH_DEGRADED, why))
        return NULL;
    if (wish->balances)
        policy = wish->balance;
    if (policy == TD_BALANCE_KEY && !wish->keyed)
        policy = TD_BALANCE_ROUND_ROBIN;
    if (policy == TD_BALANCE_RANDOM || policy == TD_BALANCE_LATENCY)
        ask.random = td_engine_random(e);
    chosen = td_balance_choose(&e->serving.balance, policy, list, n, &ask);
    return chosen == TD_NOBODY ? NULL : td_endpoint_of(list[chosen]);
}
