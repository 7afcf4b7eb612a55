/* What a SERVE says of an instance (PROTOCOL.md 11.2). */
#include "broker/engine/internal.h"

#include "proto/option.h"
#include "proto/service.h"
#include "proto/type.h"

#include <stdlib.h>
#include <string.h>

/* In the order of enum td_balance_policy. */
const char *const td_balance_names[TD_BALANCE_POLICIES] = {
    "round_robin", "random", "least_in_flight", "by_key", "latency"};

/* ---- endpoints ---- */

/* What one endpoint's map says. */
struct wish {
    struct td_str name;
    struct td_str type;
    struct td_str group;
    unsigned balance;
    uint64_t max_in_flight;
};

static const char *read_wish(struct td_str map, struct wish *w)
{
    if (!td_map_str(map, "name", &w->name) ||
        !td_service_name_valid(w->name.data, w->name.len))
        return "an endpoint has a name: 1 to 64 of A-Z a-z 0-9 _ -";
    if (!td_map_str(map, "type", &w->type) ||
        !td_pattern_valid(w->type.data, w->type.len))
        return "an endpoint has a type, which is a pattern";
    if (td_type_is_system(w->type.data, w->type.len))
        return "types beginning with $ are the system's";
    if (!td_map_str(map, "group", &w->group) ||
        !td_group_valid(w->group.data, w->group.len))
        return "group: 1 to 64 of A-Z a-z 0-9 _ . -";
    if (!td_option_name(map, "balance", td_balance_names, TD_BALANCE_POLICIES,
                        &w->balance))
        return "balance: round_robin, random, least_in_flight, by_key or "
               "latency";
    if (!td_map_uint(map, "max_in_flight", &w->max_in_flight) ||
        w->max_in_flight < 1 || w->max_in_flight > TD_TASKS_OUT_MAX)
        return "max_in_flight: 1 to 65536";
    return NULL;
}

static bool take_wish(struct td_instance *instance, const struct wish *w)
{
    struct td_endpoint *endpoint =
        &instance->endpoints[instance->endpoints_len++];

    endpoint->instance = instance;
    endpoint->number = instance->endpoints_len;
    endpoint->balance = (enum td_balance_policy)w->balance;
    endpoint->max_in_flight = (uint32_t)w->max_in_flight;
    memcpy(endpoint->name, w->name.data, w->name.len);
    endpoint->words = malloc(w->group.len + w->type.len);
    if (!endpoint->words)
        return false;
    memcpy(endpoint->words, w->group.data, w->group.len);
    memcpy(endpoint->words + w->group.len, w->type.data, w->type.len);
    endpoint->group = (struct td_str){endpoint->words, w->group.len};
    endpoint->pattern =
        (struct td_str){endpoint->words + w->group.len, w->type.len};
    return true;
}

/* Two of one pattern and group would be one twice. */
static bool has(const struct td_instance *instance, const struct wish *w)
{
    for (uint32_t i = 0; i < instance->endpoints_len; i++) {
        const struct td_endpoint *endpoint = &instance->endpoints[i];

        if (td_bytes_equal(endpoint->group, w->group) &&
            td_bytes_equal(endpoint->pattern, w->type))
            return true;
    }
    return false;
}

static const char *read_endpoints(struct td_instance *instance,
                                  const struct td_frame *f, tidings_err *err)
{
    struct td_str list;
    struct td_reader r;
    uint32_t n;

    if (!td_map_find(f->u.serve.options, "endpoints", &list))
        return NULL;
    r = td_reader_of(list.data, list.len);
    if (!td_read_array(&r, &n) || n > TD_ENDPOINTS_MAX)
        return "endpoints: a list of at most 64 maps";
    *err = TIDINGS_ENOMEM;
    instance->endpoints = calloc(n ? n : 1, sizeof(*instance->endpoints));
    if (!instance->endpoints)
        return "broker is out of memory";
    while (n-- > 0) {
        struct wish w = {.group = f->u.serve.name,
                         .max_in_flight = TD_TASKS_OUT};
        struct td_str map;
        const char *why = "endpoints: a list of at most 64 maps";

        *err = TIDINGS_EINVAL;
        if (td_read_raw(&r, &map))
            why = read_wish(map, &w);
        if (!why && has(instance, &w))
            why = "two endpoints have one type and group";
        if (why)
            return why;
        *err = TIDINGS_ENOMEM;
        if (!take_wish(instance, &w))
            return "broker is out of memory";
    }
    return NULL;
}

/* ---- breakers ---- */

static bool read_bound(struct td_str map, const char *key, uint64_t max,
                       uint32_t *out)
{
    uint64_t value = *out;

    if (!td_map_uint(map, key, &value) || value > max)
        return false;
    *out = (uint32_t)value;
    return true;
}

/* nil: none. */
static bool read_breaker(struct td_str options, const char *key, bool *breaks,
                         struct td_breaker_limits *l)
{
    struct td_str map;
    struct td_head head;

    *breaks = true;
    if (!td_map_find(options, key, &map))
        return true;
    head = td_head_at((const uint8_t *)map.data,
                      (const uint8_t *)map.data + map.len);
    *breaks = head.kind != TD_KIND_NIL;
    if (!*breaks)
        return true;
    if (head.kind != TD_KIND_MAP ||
        !read_bound(map, "failures", TD_BREAKER_COUNT_MAX, &l->failures) ||
        !read_bound(map, "rate_percent", 100, &l->rate_percent) ||
        !read_bound(map, "window_ms", TD_TIMEOUT_MS_MAX, &l->window_ms) ||
        !read_bound(map, "window_min", TD_BREAKER_COUNT_MAX, &l->window_min) ||
        !read_bound(map, "recovery_ms", TD_TIMEOUT_MS_MAX, &l->recovery_ms) ||
        !read_bound(map, "recovery_max_ms", TD_TIMEOUT_MS_MAX,
                    &l->recovery_max_ms))
        return false;
    td_breaker_limits_fit(l);
    return true;
}

static const char *read_breakers(struct td_instance *instance,
                                 struct td_str options)
{
    instance->limits = instance->service_limits = td_breaker_defaults;
    instance->service_limits.failures = 0;
    if (!read_breaker(options, "breaker", &instance->breaks,
                      &instance->limits) ||
        !read_breaker(options, "service_breaker", &instance->service_breaks,
                      &instance->service_limits))
        return "breaker and service_breaker: nil or a map, failures and "
               "window_min at most 1000000, rate_percent at most 100, "
               "the others at most 86400000 ms";
    if (instance->breaks)
        td_breaker_init(&instance->breaker, &instance->limits);
    return NULL;
}

/* ---- the rest ---- */

/* Whether it is a map of str to str. */
static bool is_metadata(struct td_str map)
{
    struct td_reader r = td_reader_of(map.data, map.len);
    struct td_str str;
    uint32_t pairs;

    if (map.len > TD_METADATA_BYTES_MAX || !td_read_map(&r, &pairs) ||
        pairs > TD_METADATA_MAX)
        return false;
    for (uint32_t i = 0; i < 2 * pairs; i++) {
        if (!td_read_str(&r, &str))
            return false;
    }
    return true;
}

static const char *read_metadata(struct td_instance *instance,
                                 struct td_str options, tidings_err *err)
{
    struct td_str map;

    if (!td_map_find(options, "metadata", &map))
        return NULL;
    if (!is_metadata(map))
        return "metadata: a map of str to str, at most 32 pairs and 4096 bytes";
    td_buf_append(&instance->metadata, map.data, map.len);
    if (!instance->metadata.failed)
        return NULL;
    *err = TIDINGS_ENOMEM;
    return "broker is out of memory";
}

/* out: zeroed, of max + 1 bytes. */
static bool read_text(struct td_str options, const char *key, char *out,
                      size_t max)
{
    struct td_str text = {NULL, 0};

    if (!td_map_str(options, key, &text) || text.len > max)
        return false;
    td_text_keep(out, text, max);
    return true;
}

static bool read_id(struct td_str options, char *out)
{
    struct td_str id = {NULL, 0};

    if (!td_map_str(options, "id", &id))
        return false;
    if (!id.data)
        return true;
    if (!td_instance_id_valid(id.data, id.len))
        return false;
    memcpy(out, id.data, id.len);
    return true;
}

static const char *read_state(struct td_instance *instance,
                              struct td_str options)
{
    uint64_t state = TD_HEALTH_STARTING;

    if (!td_map_uint(options, "state", &state) || state < TD_HEALTH_STARTING ||
        state >= TD_HEALTHS_END)
        return "state: 1 to 5";
    instance->state = (enum td_health)state;
    if (!td_map_uint(options, "health_ms", &instance->health_ms) ||
        instance->health_ms > TD_TIMEOUT_MS_MAX ||
        (instance->health_ms > 0 && instance->health_ms < TD_HEALTH_MS_MIN))
        return "health_ms: 0, or 100 to 86400000";
    return NULL;
}

static const char *read_all(struct td_instance *instance,
                            const struct td_frame *f, tidings_err *err)
{
    struct td_str options = f->u.serve.options;
    const struct td_str *version = &f->u.serve.version;
    const char *why;

    if (!td_service_name_valid(f->u.serve.name.data, f->u.serve.name.len))
        return "not a service's name: 1 to 64 of A-Z a-z 0-9 _ -";
    if (!td_version_valid(version->data, version->len))
        return "version: a semantic version, as 1.0.0";
    memcpy(instance->version, version->data, version->len);
    if (!read_id(options, instance->id))
        return "id: 1 to 32 of A-Z a-z 0-9 _ . -";
    if (!read_text(options, "description", instance->description,
                   TD_DESCRIPTION_BYTES_MAX))
        return "description: a str of at most 255 bytes";
    if (!read_text(options, "text", instance->text, TD_HEALTH_TEXT_BYTES_MAX))
        return "text: a str of at most 255 bytes";
    why = read_state(instance, options);
    if (!why)
        why = read_breakers(instance, options);
    if (!why)
        why = read_metadata(instance, options, err);
    return why ? why : read_endpoints(instance, f, err);
}

struct td_instance *td_serve_read(struct td_engine *e, const struct td_frame *f,
                                  tidings_err *err, const char **why)
{
    struct td_instance *instance = calloc(1, sizeof(*instance));

    *err = TIDINGS_ENOMEM;
    *why = "broker is out of memory";
    if (!instance)
        return NULL;
    *err = TIDINGS_EINVAL;
    *why = read_all(instance, f, err);
    if (!*why)
        return instance;
    td_instance_free(e, instance);
    return NULL;
}
