/* What is told and counted of services. */
#include "broker/engine/internal.h"

void td_service_changed(struct td_engine *e, struct td_instance *instance,
                        enum td_service_change change, const char *reason)
{
    (void)instance;
    (void)change;
    (void)reason;
    e->serving.revision++;
}

void td_breaker_changed(struct td_engine *e, struct td_service *service,
                        struct td_instance *instance)
{
    const struct td_breaker *b =
        instance ? &instance->breaker : &service->breaker;

    (void)e;
    if (b->state == TD_BREAKER_OPEN)
        *(instance ? &instance->opened : &service->opened) += 1;
}

void td_task_begun(struct td_engine *e, struct td_endpoint *endpoint)
{
    (void)e;
    endpoint->count.requests++;
}

void td_task_done(struct td_engine *e, struct td_endpoint *endpoint,
                  const struct td_answer_row *row)
{
    struct td_endpoint_counts *count = &endpoint->count;

    (void)e;
    count->errors += row->code == TIDINGS_EREMOTE;
    count->timeouts += row->code == TIDINGS_ETIMEDOUT;
    count->lost += row->code == TIDINGS_ELOST;
    count->refused += row->code == TIDINGS_EFULL;
    count->held_us += row->held_us;
    count->took_us += row->took_us;
    if (row->took_us > count->took_max_us)
        count->took_max_us = row->took_us;
}
