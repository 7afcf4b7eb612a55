/* Instances that are to say how they are, and do not. */
#include "broker/engine/service_beat.h"

/* When it is down, unless it is heard of; TD_NEVER: it need not say anything,
 * or is taken for down already. */
static int64_t due_ms(const struct td_instance *instance)
{
    if (instance->health_ms == 0 || instance->state == TD_HEALTH_DOWN)
        return TD_NEVER;
    return instance->beat_ms + TD_HEALTH_MISSED * (int64_t)instance->health_ms;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

void td_beat_begins(struct td_engine *e, const struct td_instance *instance)
{
    struct td_serving *sv = &e->serving;

    sv->beat_ms = earlier(sv->beat_ms, due_ms(instance));
}

static void missed(struct td_engine *e, struct td_instance *instance)
{
    char text[TD_HEALTH_TEXT_BYTES_MAX];

    snprintf(text, sizeof(text), "nothing was heard of it for %lld ms",
             (long long)(e->now_ms - instance->beat_ms));
    td_log(&e->options.log, TD_LOG_WARN, "SERVICE-SILENT",
           "instance %s of service %s is down: %s", instance->id,
           instance->service->name, text);
    td_instance_set_state(e, instance, TD_HEALTH_DOWN, td_str_of(text),
                          "it was silent for too long");
}

int64_t td_beat_tick(struct td_engine *e)
{
    struct td_serving *sv = &e->serving;
    struct td_instance *instance;
    int64_t next = TD_NEVER;

    if (e->now_ms < sv->beat_ms)
        return sv->beat_ms;
    for (instance = sv->instances; instance; instance = instance->hh.next) {
        if (e->now_ms >= due_ms(instance))
            missed(e, instance);
        next = earlier(next, due_ms(instance));
    }
    sv->beat_ms = next;
    return next;
}

void td_beat_forgive(struct td_engine *e)
{
    struct td_serving *sv = &e->serving;
    struct td_instance *instance;

    for (instance = sv->instances; instance; instance = instance->hh.next)
        instance->beat_ms = e->now_ms;
}
