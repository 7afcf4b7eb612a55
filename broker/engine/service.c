/* The registry: services and their instances. What these answer is in sets.c. */
#include "broker/engine/internal.h"

#include "broker/engine/task.h"

#include <stdlib.h>
#include <string.h>

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
    s->serving.endpoints_len += instance->endpoints_len;
    e->serving.instances_len++;
    e->serving.endpoints_len += instance->endpoints_len;
}

static void unlink_session(struct td_engine *e, struct td_instance *instance)
{
    struct td_session *s = instance->session;

    DL_DELETE2(s->serving.instances, instance, session_prev, session_next);
    s->serving.instances_len--;
    s->serving.endpoints_len -= instance->endpoints_len;
    e->serving.instances_len--;
    e->serving.endpoints_len -= instance->endpoints_len;
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
    if (!instance->hh_failed && !td_sets_join(e, instance)) {
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
    instance->silent_ms = TD_NEVER;
    service->refs++;
    service->instances_len++;
    service_breaker(service, instance);
    instance->weight = td_weight_of(service, instance->version);
    DL_APPEND2(service->instances, instance, service_prev, service_next);
    link_session(e, instance);
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
    td_sets_leave(e, instance);
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

    td_sets_init(sv);
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
