/* Which version of a service gets how many of its requests. */
#include "broker/engine/internal.h"

#include <stdlib.h>
#include <string.h>

uint32_t td_weight_of(const struct td_service *service, const char *version)
{
    uint32_t i = service->weights_len;

    while (i > 1 && strcmp(service->weights[i - 1].version, version) != 0)
        i--;
    return i > 1 ? i - 1 : 0;
}

/* The others share what is left; all begin anew. */
static void spread(struct td_service *service)
{
    struct td_instance *instance;
    uint32_t left = 100;

    for (uint32_t i = 1; i < service->weights_len; i++) {
        struct td_weight *w = &service->weights[i];

        left -= w->percent;
        w->weighted = (struct td_weighted){.weight = w->percent};
    }
    if (service->weights_len > 0)
        service->weights[0].weighted = (struct td_weighted){.weight = left};
    DL_FOREACH2(service->instances, instance, service_next)
    {
        instance->weight = td_weight_of(service, instance->version);
    }
}

static void forget(struct td_engine *e, struct td_service *service, uint32_t at)
{
    if (at == 0)
        return;
    service->weights_len--;
    memmove(&service->weights[at], &service->weights[at + 1],
            (service->weights_len - at) * sizeof(*service->weights));
    if (service->weights_len == 1) /* that of the others */
        service->weights_len = 0;
    spread(service);
    td_service_drop(e, service);
}

/* The place of a new one; 0: no memory. */
static uint32_t add(struct td_service *service, const char *version)
{
    uint32_t at = service->weights_len ? service->weights_len : 1;
    struct td_weight *weights =
        realloc(service->weights, (at + 1) * sizeof(*weights));

    if (!weights)
        return 0;
    service->weights = weights;
    memset(&weights[at], 0, sizeof(*weights));
    if (at == 1)
        memset(&weights[0], 0, sizeof(*weights));
    memcpy(weights[at].version, version, strlen(version));
    service->weights_len = at + 1;
    return at;
}

tidings_err td_weight_set(struct td_engine *e, struct td_service *service,
                          const char *version, uint32_t percent)
{
    uint32_t at = td_weight_of(service, version);
    uint32_t sum = percent;

    if (percent == TD_NO_WEIGHT) {
        forget(e, service, at);
        return TIDINGS_OK;
    }
    for (uint32_t i = 1; i < service->weights_len; i++)
        sum += i == at ? 0 : service->weights[i].percent;
    if (percent > 100 || sum > 100)
        return TIDINGS_EINVAL;
    if (at == 0 && service->weights_len > TD_WEIGHTS_MAX)
        return TIDINGS_ELIMIT;
    if (at == 0)
        at = add(service, version);
    if (at == 0)
        return TIDINGS_ENOMEM;
    service->weights[at].percent = percent;
    spread(service);
    return TIDINGS_OK;
}
