/* The registry: services, their instances, and the sets of endpoints that types
 * lead to. */
#include "broker/engine/internal.h"

#include "broker/engine/task.h"

#include <stdlib.h>
#include <string.h>

/* ---- sets ---- */

/* Group, NUL, pattern: neither has a NUL. */
static size_t key_of(char key[TD_GROUP_BYTES_MAX + 1 + TD_TYPE_BYTES_MAX],
                     struct td_str group, struct td_str pattern)
{
    memcpy(key, group.data, group.len);
    key[group.len] = '\0';
    memcpy(key + group.len + 1, pattern.data, pattern.len);
    return group.len + 1 + pattern.len;
}

static struct td_endpoint_set *set_new(const char *key, size_t len,
                                       size_t group_len)
{
    struct td_endpoint_set *set = calloc(1, sizeof(*set) + len);

    if (!set)
        return NULL;
    memcpy(set->key, key, len);
    set->key_len = len;
    set->group = (struct td_str){set->key, group_len};
    set->pattern =
        (struct td_str){set->key + group_len + 1, len - group_len - 1};
    return set;
}

static void set_free(struct td_endpoint_set *set)
{
    free(set->members);
    free(set);
}

static void set_drop(struct td_engine *e, struct td_endpoint_set *set)
{
    struct td_serving *sv = &e->serving;

    if (set->members_len > 0)
        return;
    HASH_DELETE(hh, sv->sets, set);
    td_trie_remove(&sv->trie, &set->entry);
    td_routes_changed(&sv->routes);
    set_free(set);
}

/* NULL: no memory. */
static struct td_endpoint_set *set_get(struct td_engine *e, struct td_str group,
                                       struct td_str pattern)
{
    struct td_serving *sv = &e->serving;
    char key[TD_GROUP_BYTES_MAX + 1 + TD_TYPE_BYTES_MAX];
    size_t len = key_of(key, group, pattern);
    struct td_endpoint_set *set;

    HASH_FIND(hh, sv->sets, key, len, set);
    if (set)
        return set;
    set = set_new(key, len, group.len);
    if (!set)
        return NULL;
    HASH_ADD_KEYPTR(hh, sv->sets, set->key, len, set);
    if (!set->hh_failed && td_trie_add(&sv->trie, &set->entry,
                                       set->pattern.data, set->pattern.len)) {
        HASH_DELETE(hh, sv->sets, set);
        set->hh_failed = true;
    }
    if (set->hh_failed) {
        set_free(set);
        return NULL;
    }
    td_routes_changed(&sv->routes);
    return set;
}

/* ---- members ---- */

static bool set_reserve(struct td_endpoint_set *set)
{
    uint32_t cap = set->members_cap ? set->members_cap * 2 : 4;
    struct td_candidate **members;

    if (set->members_len < set->members_cap)
        return true;
    members = realloc(set->members, cap * sizeof(*members));
    if (!members)
        return false;
    set->members = members;
    set->members_cap = cap;
    return true;
}

/* What its youngest member says holds for all. */
static void set_balance(struct td_endpoint_set *set)
{
    const struct td_endpoint *last;

    if (set->members_len == 0)
        return;
    last = td_endpoint_of(set->members[set->members_len - 1]);
    set->balance = last->balance;
}

static bool join(struct td_engine *e, struct td_endpoint *endpoint)
{
    struct td_endpoint_set *set =
        set_get(e, endpoint->group, endpoint->pattern);

    if (!set)
        return false;
    if (!set_reserve(set)) {
        set_drop(e, set);
        return false;
    }
    set->members[set->members_len++] = &endpoint->candidate;
    set_balance(set);
    endpoint->set = set;
    return true;
}

static void leave(struct td_engine *e, struct td_endpoint *endpoint)
{
    struct td_endpoint_set *set = endpoint->set;
    uint32_t i = 0;

    if (!set)
        return;
    while (set->members[i] != &endpoint->candidate)
        i++;
    set->members_len--;
    memmove(set->members + i, set->members + i + 1,
            (set->members_len - i) * sizeof(struct td_candidate *));
    endpoint->set = NULL;
    set_balance(set);
    set_drop(e, set);
}

/* Its pattern and group stay its own. */
static void leave_all(struct td_engine *e, struct td_instance *instance)
{
    for (uint32_t i = 0; i < instance->endpoints_len; i++)
        leave(e, &instance->endpoints[i]);
}

static bool join_all(struct td_engine *e, struct td_instance *instance)
{
    for (uint32_t i = 0; i < instance->endpoints_len; i++) {
        if (!join(e, &instance->endpoints[i])) {
            leave_all(e, instance);
            return false;
        }
    }
    return true;
}

/* ---- names ---- */

struct td_service *td_service_find(struct td_engine *e, struct td_str name)
{
    struct td_service *service;

    HASH_FIND(hh, e->serving.services, name.data, name.len, service);
    return service;
}

struct td_service *td_service_get(struct td_engine *e, struct td_str name,
                                  tidings_err *err)
{
    struct td_serving *sv = &e->serving;
    struct td_service *service = td_service_find(e, name);

    if (service)
        return service;
    *err = TIDINGS_ELIMIT;
    if (HASH_COUNT(sv->services) >= TD_SERVICE_NAMES_MAX)
        return NULL;
    *err = TIDINGS_ENOMEM;
    service = calloc(1, sizeof(*service));
    if (!service)
        return NULL;
    memcpy(service->name, name.data, name.len);
    HASH_ADD(hh, sv->services, name, name.len, service);
    if (service->hh_failed) {
        free(service);
        return NULL;
    }
    return service;
}

void td_service_drop(struct td_engine *e, struct td_service *service)
{
    if (service->refs > 0 || service->weights_len > 0)
        return;
    HASH_DELETE(hh, e->serving.services, service);
    free(service->weights);
    free(service);
}

/* As the youngest instance wants it. */
static void service_breaker(struct td_service *service,
                            const struct td_instance *instance)
{
    bool before = service->breaks;

    service->breaks = instance->service_breaks;
    service->limits = instance->service_limits;
    if (service->breaks && !before)
        td_breaker_init(&service->breaker, &service->limits);
}

/* ---- instances ---- */

struct td_instance *td_instance_find(struct td_engine *e, struct td_str id)
{
    struct td_instance *instance;

    HASH_FIND(hh, e->serving.instances, id.data, id.len, instance);
    return instance;
}

struct td_instance *td_instance_of(struct td_session *s, uint64_t number)
{
    struct td_instance *instance = s->serving.instances;

    while (instance && (!instance->there || instance->number != number))
        instance = instance->session_next;
    return instance;
}

bool td_instance_is_fit(const struct td_instance *instance)
{
    return instance->there && !instance->draining &&
           !instance->session->doomed &&
           (instance->state == TD_HEALTH_RUNNING ||
            instance->state == TD_HEALTH_DEGRADED);
}

static void link_session(struct td_engine *e, struct td_instance *instance)
{
    struct td_session *s = instance->session;

    if (!s->serving.instances)
        DL_APPEND2(e->serving.sessions, s, serving.prev, serving.next);
    DL_APPEND2(s->serving.instances, instance, session_prev, session_next);
    s->serving.instances_len++;
}

static void unlink_session(struct td_engine *e, struct td_instance *instance)
{
    struct td_session *s = instance->session;

    DL_DELETE2(s->serving.instances, instance, session_prev, session_next);
    s->serving.instances_len--;
    if (!s->serving.instances)
        DL_DELETE2(e->serving.sessions, s, serving.prev, serving.next);
}

tidings_err td_instance_add(struct td_engine *e, struct td_instance *instance,
                            struct td_str name)
{
    struct td_serving *sv = &e->serving;
    tidings_err err;
    struct td_service *service = td_service_get(e, name, &err);

    if (!service)
        return err;
    HASH_ADD_STR(sv->instances, id, instance);
    if (!instance->hh_failed && !join_all(e, instance)) {
        HASH_DELETE(hh, sv->instances, instance);
        instance->hh_failed = true;
    }
    if (instance->hh_failed) {
        td_service_drop(e, service);
        return TIDINGS_ENOMEM;
    }
    for (uint32_t i = 0; i < instance->endpoints_len; i++)
        instance->endpoints[i].candidate.hash =
            td_balance_hash(instance->id, strlen(instance->id));
    instance->service = service;
    instance->there = true;
    service->refs++;
    service->instances_len++;
    service_breaker(service, instance);
    instance->weight = td_weight_of(service, instance->version);
    DL_APPEND2(service->instances, instance, service_prev, service_next);
    link_session(e, instance);
    sv->instances_len++;
    td_service_changed(e, instance, TD_SERVICE_UP, "");
    return TIDINGS_OK;
}

void td_instance_remove(struct td_engine *e, struct td_instance *instance,
                        const char *reason)
{
    struct td_service *service = instance->service;

    if (!instance->there)
        return;
    instance->there = false;
    leave_all(e, instance);
    HASH_DELETE(hh, e->serving.instances, instance);
    DL_DELETE2(service->instances, instance, service_prev, service_next);
    service->instances_len--;
    td_service_changed(e, instance, TD_SERVICE_DOWN, reason);
    if (!instance->tasks)
        td_instance_free(e, instance);
}

void td_instance_free(struct td_engine *e, struct td_instance *instance)
{
    if (!instance)
        return;
    if (instance->service) {
        unlink_session(e, instance);
        e->serving.instances_len--;
        instance->service->refs--;
        td_service_drop(e, instance->service);
    }
    for (uint32_t i = 0; i < instance->endpoints_len; i++) {
        free(instance->endpoints[i].words);
        free(instance->endpoints[i].last_error);
        free(instance->endpoints[i].latency);
    }
    free(instance->endpoints);
    td_buf_fini(&instance->metadata);
    free(instance);
}

/* ---- the end ---- */

void td_serving_leave(struct td_engine *e, struct td_session *s)
{
    struct td_instance *instance;

    td_askings_orphan(e, s);
    while ((instance = s->serving.instances)) {
        if (instance->there)
            td_instance_remove(e, instance, s->reason ? s->reason : "");
        else
            td_task_lost(e, instance->tasks); /* the last one frees it */
    }
    td_bundles_drop(e, s);
}

void td_serving_init(struct td_engine *e)
{
    struct td_serving *sv = &e->serving;

    sv->tasks.size = sizeof(struct td_task);
    sv->askings.size = sizeof(struct td_asking);
    sv->tasks.max = sv->askings.max = TD_TASKS_MAX;
}

void td_serving_fini(struct td_engine *e)
{
    struct td_serving *sv = &e->serving;
    struct td_service *service;
    struct td_service *next;

    /* Sessions have gone, and all their instances. */
    HASH_ITER(hh, sv->services, service, next)
    {
        service->weights_len = 0;
        td_service_drop(e, service);
    }
    td_routes_fini(&sv->routes);
    td_trie_fini(&sv->trie);
    td_tasks_fini(e);
    td_bundling_fini(e);
}
