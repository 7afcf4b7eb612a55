/* Changes of the registry as events of the broker's (PROTOCOL.md 11.2), and
 * what each endpoint has done. */
#include "broker/engine/internal.h"

#include "broker/engine/latency.h"
#include "broker/engine/pack.h"
#include "broker/engine/service_beat.h"
#include "broker/engine/service_pack.h"

#include <stdlib.h>

/* ---- events ---- */

static const char *const types[] = {
    [TD_SERVICE_UP] = "$service.up",
    [TD_SERVICE_HEALTH] = "$service.health",
    [TD_SERVICE_DOWN] = "$service.down",
};

void td_service_changed(struct td_engine *e, struct td_instance *instance,
                        enum td_service_change change, const char *reason)
{
    struct td_buf data = {0};
    msgpack_packer pk;

    e->serving.revision++;
    if (change != TD_SERVICE_DOWN)
        td_beat_begins(e, instance);
    if (!td_advise_wanted(e, types[change]))
        return;
    msgpack_packer_init(&pk, &data, td_buf_pack_write);
    td_instance_pack(e, &data, &pk, instance, TD_SERVICE_LIST, 2);
    td_pack_uint(&pk, "revision", e->serving.revision);
    td_pack_str(&pk, "reason", td_str_of(reason));
    td_advise_publish(e, types[change], &data);
    td_buf_fini(&data);
}

void td_breaker_changed(struct td_engine *e, struct td_service *service,
                        struct td_instance *instance)
{
    const char *type = "$service.breaker";
    const struct td_breaker *b =
        instance ? &instance->breaker : &service->breaker;
    struct td_buf data = {0};
    msgpack_packer pk;

    if (b->state == TD_BREAKER_OPEN)
        instance ? instance->opened++ : service->opened++;
    if (!td_advise_wanted(e, type))
        return;
    msgpack_packer_init(&pk, &data, td_buf_pack_write);
    msgpack_pack_map(&pk, 6);
    td_pack_uint(&pk, "revision", e->serving.revision);
    td_pack_str(&pk, "service", td_str_of(service->name));
    td_pack_str(&pk, "id", td_str_of(instance ? instance->id : ""));
    td_pack_str(&pk, "breaker", td_str_of(td_breaker_state_name(b->state)));
    td_pack_uint(&pk, "failures", b->failures);
    td_pack_uint(&pk, "open_ms",
                 b->state == TD_BREAKER_OPEN
                     ? (uint64_t)td_breaker_left_ms(b, e->now_ms)
                     : 0);
    td_advise_publish(e, type, &data);
    td_buf_fini(&data);
}

/* ---- counts ---- */

void td_task_begun(struct td_engine *e, struct td_endpoint *endpoint)
{
    (void)e;
    endpoint->count.requests++;
}

/* "503 the disk is full"; without memory the one before stays. */
static void keep_error(struct td_endpoint *endpoint,
                       const struct td_answer_row *row)
{
    size_t size = row->text.len + 8;
    char *text = malloc(size);

    if (!text)
        return;
    if (row->code == TIDINGS_EREMOTE)
        snprintf(text, size, "%u %.*s", (unsigned)row->status,
                 (int)row->text.len, row->text.data);
    else
        snprintf(text, size, "%.*s", (int)row->text.len, row->text.data);
    free(endpoint->last_error);
    endpoint->last_error = text;
}

static void count_times(struct td_endpoint *endpoint,
                        const struct td_answer_row *row)
{
    struct td_endpoint_counts *n = &endpoint->count;

    n->answers++;
    n->held_us += row->held_us;
    n->took_us += row->took_us;
    if (row->took_us > n->took_max_us)
        n->took_max_us = row->took_us;
    if (!endpoint->latency) /* without memory it is not counted */
        endpoint->latency = calloc(1, sizeof(*endpoint->latency));
    if (endpoint->latency)
        td_latency_count(endpoint->latency, row->took_us);
}

void td_task_done(struct td_engine *e, struct td_endpoint *endpoint,
                  const struct td_answer_row *row)
{
    struct td_endpoint_counts *n = &endpoint->count;

    (void)e;
    switch (row->code) {
    case TIDINGS_OK:
        count_times(endpoint, row);
        break;
    case TIDINGS_EREMOTE:
        n->errors++;
        keep_error(endpoint, row);
        count_times(endpoint, row);
        break;
    case TIDINGS_ETIMEDOUT:
        n->timeouts++;
        break;
    case TIDINGS_ELOST:
        n->lost++;
        break;
    default: /* EFULL */
        n->refused++;
        break;
    }
}
