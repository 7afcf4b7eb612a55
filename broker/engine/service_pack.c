#include "broker/engine/service_pack.h"

#include "broker/engine/latency.h"
#include "broker/engine/pack.h"

/* Pairs of an instance's map, and fields of one of its endpoints. */
static const struct {
    uint32_t pairs;
    uint32_t fields;
} shapes[] = {
    [TD_SERVICE_LIST] = {12, 3},
    [TD_SERVICE_INFO] = {13, 5},
    [TD_SERVICE_STATS] = {14, 14},
};

/* With more endpoints their histograms are coarse, so that one instance fits
 * into one message. */
#define FINE_ENDPOINTS 32u

static unsigned join_of(const struct td_instance *instance)
{
    return instance->endpoints_len > FINE_ENDPOINTS ? TD_LATENCY_STEPS : 1;
}

size_t td_instance_nodes(const struct td_instance *instance,
                         enum td_service_detail detail)
{
    size_t rows = TD_LATENCY_BUCKETS / join_of(instance);
    size_t endpoint = detail == TD_SERVICE_LIST
                          ? 1 + shapes[detail].fields
                          : 1 + 2 * (size_t)shapes[detail].fields;

    if (detail == TD_SERVICE_STATS)
        endpoint += 3 * rows;
    return 1 + 2 * (size_t)shapes[detail].pairs + 2 * TD_METADATA_MAX +
           endpoint * instance->endpoints_len;
}

size_t td_service_nodes(const struct td_service *service)
{
    return 13 + 2 * (size_t)service->weights_len;
}

/* One that has been open for long enough is half open, though nobody has asked
 * it since. */
const char *td_breaker_word(bool breaks, const struct td_breaker *b,
                            int64_t now_ms)
{
    enum td_breaker_state state = b->state;

    if (state == TD_BREAKER_OPEN && now_ms >= b->until_ms)
        state = TD_BREAKER_HALF_OPEN;
    return breaks ? td_breaker_state_name(state) : "";
}

/* ---- endpoints ---- */

static void pack_names(msgpack_packer *pk, const struct td_endpoint *p)
{
    td_pack_str(pk, "name", td_str_of(p->name));
    td_pack_str(pk, "type", p->pattern);
    td_pack_str(pk, "group", p->group);
}

static void pack_counts(msgpack_packer *pk, const struct td_endpoint *p)
{
    const struct td_endpoint_counts *n = &p->count;

    td_pack_uint(pk, "in_flight", p->candidate.in_flight);
    td_pack_uint(pk, "requests", n->requests);
    td_pack_uint(pk, "errors", n->errors);
    td_pack_uint(pk, "timeouts", n->timeouts);
    td_pack_uint(pk, "lost", n->lost);
    td_pack_uint(pk, "refused", n->refused);
    td_pack_str(pk, "last_error",
                td_str_of(p->last_error ? p->last_error : ""));
    td_pack_uint(pk, "took_us", n->took_us);
    td_pack_uint(pk, "took_max_us", n->took_max_us);
    td_pack_uint(pk, "held_us", n->held_us);
    td_pack_key(pk, "histogram");
    td_latency_pack(p->latency, join_of(p->instance), pk);
}

static void pack_endpoint(msgpack_packer *pk, const struct td_endpoint *p,
                          enum td_service_detail detail)
{
    switch (detail) {
    case TD_SERVICE_LIST:
        msgpack_pack_array(pk, shapes[detail].fields);
        td_pack_text(pk, td_str_of(p->name));
        td_pack_text(pk, p->pattern);
        td_pack_text(pk, p->group);
        break;
    case TD_SERVICE_INFO:
        msgpack_pack_map(pk, shapes[detail].fields);
        pack_names(pk, p);
        td_pack_str(pk, "balance", td_str_of(td_balance_names[p->balance]));
        td_pack_uint(pk, "max_in_flight", p->max_in_flight);
        break;
    case TD_SERVICE_STATS:
        msgpack_pack_map(pk, shapes[detail].fields);
        pack_names(pk, p);
        pack_counts(pk, p);
        break;
    }
}

/* ---- instances ---- */

static void pack_bool(msgpack_packer *pk, const char *key, bool value)
{
    td_pack_key(pk, key);
    value ? msgpack_pack_true(pk) : msgpack_pack_false(pk);
}

static void pack_state(const struct td_engine *e, msgpack_packer *pk,
                       const struct td_instance *i)
{
    int64_t since_ms = e->now_ms - i->since_ms;

    td_pack_str(pk, "service", td_str_of(i->service->name));
    td_pack_str(pk, "id", td_str_of(i->id));
    td_pack_str(pk, "version", td_str_of(i->version));
    td_pack_uint(pk, "state", i->state);
    td_pack_str(pk, "text", td_str_of(i->text));
    pack_bool(pk, "draining", i->draining);
    td_pack_uint(pk, "session", i->session->number);
    td_pack_str(pk, "client", td_str_of(i->session->name));
    td_pack_uint(pk, "since_ms", since_ms > 0 ? (uint64_t)since_ms : 0);
    td_pack_uint(pk, "in_flight", i->in_flight);
}

void td_instance_pack(struct td_engine *e, struct td_buf *b, msgpack_packer *pk,
                      const struct td_instance *instance,
                      enum td_service_detail detail, uint32_t more)
{
    msgpack_pack_map(pk, shapes[detail].pairs + more);
    pack_state(e, pk, instance);
    td_pack_key(pk, "metadata");
    if (instance->metadata.len > 0)
        td_buf_append(b, instance->metadata.data, instance->metadata.len);
    else
        msgpack_pack_map(pk, 0);
    if (detail == TD_SERVICE_INFO)
        td_pack_str(pk, "description", td_str_of(instance->description));
    if (detail == TD_SERVICE_STATS) {
        td_pack_str(pk, "breaker",
                    td_str_of(td_breaker_word(instance->breaks,
                                              &instance->breaker, e->now_ms)));
        td_pack_uint(pk, "opened", instance->opened);
    }
    td_pack_key(pk, "endpoints");
    msgpack_pack_array(pk, instance->endpoints_len);
    for (uint32_t n = 0; n < instance->endpoints_len; n++)
        pack_endpoint(pk, &instance->endpoints[n], detail);
}

/* ---- names ---- */

void td_service_pack_totals(const struct td_engine *e, msgpack_packer *pk,
                            const struct td_service *service)
{
    msgpack_pack_map(pk, 6);
    td_pack_str(pk, "name", td_str_of(service->name));
    td_pack_str(pk, "breaker",
                td_str_of(td_breaker_word(service->breaks, &service->breaker,
                                          e->now_ms)));
    td_pack_uint(pk, "opened", service->opened);
    td_pack_uint(pk, "noresponder", service->noresponder);
    td_pack_uint(pk, "full", service->full);
    td_pack_key(pk, "weights");
    msgpack_pack_map(pk,
                     service->weights_len > 0 ? service->weights_len - 1 : 0);
    for (uint32_t i = 1; i < service->weights_len; i++)
        td_pack_uint(pk, service->weights[i].version,
                     service->weights[i].percent);
}
