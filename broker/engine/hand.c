/* Handing a request to those who are to answer it. */
#include "broker/engine/internal.h"

#include "broker/engine/hand.h"
#include "broker/engine/task.h"
#include "proto/option.h"

#include <stdlib.h>

#define PING "$service.ping"

bool td_type_is_ping(struct td_str type)
{
    return td_bytes_equal(type, td_str_of(PING));
}

/* endpoint NULL: a ping. */
static void hand(struct td_taking *t, struct td_instance *instance,
                 struct td_endpoint *endpoint)
{
    struct td_engine *e = t->e;
    struct td_task *task = td_task_begin(e, t->asking, instance, endpoint);
    struct td_handle_row row = {
        .service = instance->number,
        .endpoint = endpoint ? endpoint->number : 0,
        .type = t->row->type,
        .flags = t->row->flags,
        .left_ms = t->row->left_ms,
        .bytes = t->row->bytes,
        .session = t->asking->session,
        .number = t->row->number,
        .source = t->f->u.request.source,
        .time_us = t->f->u.request.time_us,
    };

    if (task) {
        row.task = task->number;
        if (td_bundle_handle(e, instance->session, &row, t->body, t->offset)) {
            if (endpoint)
                td_task_begun(e, endpoint);
            return;
        }
        td_task_cancel(e, task);
    }
    t->why.shared = !task;
    t->why.code = TIDINGS_EFULL;
}

/* ---- one of each group ---- */

static struct td_endpoint_set *set_at(const struct td_route *route, uint32_t i)
{
    return (struct td_endpoint_set *)(void *)route->entries[i];
}

static bool found_reserve(struct td_serving *sv, uint32_t len)
{
    struct td_candidate **found;
    uint32_t cap = sv->found_cap ? sv->found_cap : 64;

    if (len <= sv->found_cap)
        return true;
    while (cap < len)
        cap *= 2;
    found = realloc(sv->found, cap * sizeof(*found));
    if (!found)
        return false;
    sv->found = found;
    sv->found_cap = cap;
    return true;
}

/* The sets of a group stand beside one another: those that do, from begin on. */
struct span {
    const struct td_route *route;
    uint32_t begin;
    uint32_t end;
};

static struct span span_at(const struct td_route *route, uint32_t i)
{
    struct span span = {route, i, i + 1};

    while (span.end < route->len &&
           set_at(route, span.end)->group == set_at(route, i)->group)
        span.end++;
    return span;
}

/* The members of all its sets: of an instance that is in several the first. */
static bool gather(struct td_taking *t, const struct span *span, uint32_t *n)
{
    struct td_serving *sv = &t->e->serving;
    uint64_t round = ++sv->rounds;

    *n = 0;
    for (uint32_t i = span->begin; i < span->end; i++) {
        const struct td_endpoint_set *set = set_at(span->route, i);

        if (!found_reserve(sv, *n + set->members_len))
            return false;
        for (uint32_t k = 0; k < set->members_len; k++) {
            struct td_instance *instance =
                td_endpoint_of(set->members[k])->instance;

            if (instance->round != round)
                sv->found[(*n)++] = set->members[k];
            instance->round = round;
        }
    }
    return true;
}

static void hand_to_one(struct td_taking *t, const struct span *span)
{
    const struct td_endpoint_set *set = set_at(span->route, span->begin);
    struct td_candidate **list = set->members;
    uint32_t n = set->members_len;
    struct td_endpoint *endpoint;

    if (span->end - span->begin > 1) {
        if (!gather(t, span, &n)) {
            t->why.code = TIDINGS_EFULL;
            return;
        }
        list = t->e->serving.found;
    }
    endpoint = td_choose_one(t->e, list, n, set->balance, &t->wish, &t->why);
    if (endpoint)
        hand(t, endpoint->instance, endpoint);
}

/* ---- many ---- */

/* How many have it then, of those in this state: also by another group. */
static uint32_t hand_in_state(struct td_taking *t,
                              const struct td_endpoint_set *s,
                              enum td_health state)
{
    uint32_t have = 0;

    for (uint32_t k = 0; k < s->members_len; k++) {
        struct td_endpoint *endpoint = td_endpoint_of(s->members[k]);
        struct td_instance *instance = endpoint->instance;

        if (instance->state != state)
            continue;
        if (instance->round != t->round) {
            if (!td_wish_fits(&t->wish, instance) ||
                !td_choose_may(t->e, endpoint, &t->wish, &t->why))
                continue;
            instance->round = t->round;
            hand(t, instance, endpoint);
        }
        have++;
    }
    return have;
}

/* The degraded of a group only where no other is. */
static void hand_to_all(struct td_taking *t, const struct span *span)
{
    static const enum td_health states[] = {TD_HEALTH_RUNNING,
                                            TD_HEALTH_DEGRADED};
    uint32_t have = 0;

    for (unsigned s = 0; s < 2 && have == 0; s++) {
        for (uint32_t i = span->begin; i < span->end; i++)
            have += hand_in_state(t, set_at(span->route, i), states[s]);
    }
}

static void ping_one(struct td_taking *t, struct td_instance *instance)
{
    if (td_wish_fits(&t->wish, instance) && !instance->session->doomed)
        hand(t, instance, NULL);
}

static void ping(struct td_taking *t)
{
    struct td_serving *sv = &t->e->serving;
    struct td_service *service;
    struct td_instance *instance;
    struct td_instance *next;

    if (t->wish.instance.data) {
        instance = td_instance_find(t->e, t->wish.instance);
        if (instance)
            ping_one(t, instance);
        return;
    }
    if (t->wish.service.data) {
        service = td_service_find(t->e, t->wish.service);
        DL_FOREACH2(service ? service->instances : NULL, instance, service_next)
        {
            ping_one(t, instance);
        }
        return;
    }
    HASH_ITER(hh, sv->instances, instance, next)
    {
        ping_one(t, instance);
    }
}

bool td_hand_out(struct td_taking *t)
{
    struct td_serving *sv = &t->e->serving;
    const struct td_route *route;
    struct span span = {.end = 0};

    if (td_type_is_ping(t->row->type)) {
        ping(t);
        return true;
    }
    route = td_routes_find(&sv->routes, &sv->trie, t->row->type);
    if (!route)
        return false;
    t->round = ++sv->rounds;
    sv->count.crowded += route->left_out > 0;
    while (span.end < route->len) {
        span = span_at(route, span.end);
        if (t->asking->many)
            hand_to_all(t, &span);
        else
            hand_to_one(t, &span);
    }
    return true;
}

struct td_service *td_hand_meant(const struct td_taking *t)
{
    struct td_serving *sv = &t->e->serving;
    const struct td_instance *instance = NULL;
    const struct td_route *route;

    if (t->wish.service.data)
        return td_service_find(t->e, t->wish.service);
    if (t->wish.instance.data) {
        instance = td_instance_find(t->e, t->wish.instance);
    } else if (!td_type_is_ping(t->row->type)) {
        route = td_routes_find(&sv->routes, &sv->trie, t->row->type);
        if (route && route->len > 0)
            instance = td_endpoint_of(set_at(route, 0)->members[0])->instance;
    }
    return instance ? instance->service : NULL;
}
