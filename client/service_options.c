#include "client/service_options.h"

#include "client/detail.h"
#include "proto/utf8.h"
#include "proto/frame.h"
#include "proto/limits.h"
#include "proto/option.h"
#include "proto/service.h"
#include "proto/type.h"
#include "tidings/tidings.h"

#include <msgpack.h>
#include <stdio.h>
#include <string.h>

/* ---- checks ---- */

static tidings_err check_endpoint(const struct tidings_endpoint *e)
{
    if (tidings_pattern_check(e->type))
        return TIDINGS_EINVAL;
    if (td_type_is_system(e->type, strlen(e->type)))
        return td_fail(TIDINGS_EINVAL,
                       "endpoint %s: types beginning with '$' are the system's",
                       e->type);
    if (!e->handler)
        return td_fail(TIDINGS_EINVAL, "endpoint %s: handler is NULL", e->type);
    if (e->name && !td_service_name_valid(e->name, strlen(e->name)))
        return td_fail(TIDINGS_EINVAL,
                       "endpoint %s: a name is 1 to %u of [A-Za-z0-9_-]",
                       e->type, TD_SERVICE_BYTES_MAX);
    if (e->group && !td_group_valid(e->group, strlen(e->group)))
        return td_fail(TIDINGS_EINVAL,
                       "endpoint %s: a group is 1 to %u of [A-Za-z0-9_.-]",
                       e->type, TD_GROUP_BYTES_MAX);
    if ((unsigned)e->balance > TIDINGS_BALANCE_LATENCY)
        return td_fail(TIDINGS_EINVAL,
                       "endpoint %s: balance is %d; none of its names", e->type,
                       (int)e->balance);
    if (e->max_in_flight > TD_TASKS_OUT_MAX)
        return td_fail(TIDINGS_EINVAL,
                       "endpoint %s: max_in_flight is %u; at most %u", e->type,
                       e->max_in_flight, TD_TASKS_OUT_MAX);
    return TIDINGS_OK;
}

static tidings_err check_endpoints(const struct tidings_service_options *o)
{
    tidings_err err = TIDINGS_OK;

    if (o->endpoints_len > TD_ENDPOINTS_MAX ||
        (o->endpoints_len > 0 && !o->endpoints))
        return td_fail(TIDINGS_EINVAL, "endpoints: at most %u, and not NULL",
                       TD_ENDPOINTS_MAX);
    for (size_t i = 0; !err && i < o->endpoints_len; i++)
        err = check_endpoint(&o->endpoints[i]);
    return err;
}

/* Encoded; too much for what is too long anyway. */
static size_t pair_bytes(const char *key, const char *value)
{
    const size_t len[] = {strlen(key), strlen(value)};
    size_t bytes = 0;

    for (unsigned i = 0; i < 2; i++)
        bytes += len[i] + (len[i] < 32 ? 1u : len[i] < 256 ? 2u : 3u);
    return bytes;
}

static size_t metadata_bytes(const struct tidings_service_options *o)
{
    size_t bytes = 3; /* the map's head, at most */

    for (size_t i = 0; i < o->metadata_len; i++)
        bytes += pair_bytes(o->metadata[i].key, o->metadata[i].value);
    return bytes;
}

static tidings_err check_metadata(const struct tidings_service_options *o)
{
    size_t bytes;

    if (o->metadata_len > TD_METADATA_MAX ||
        (o->metadata_len > 0 && !o->metadata))
        return td_fail(TIDINGS_EINVAL, "metadata: at most %u pairs",
                       TD_METADATA_MAX);
    for (size_t i = 0; i < o->metadata_len; i++) {
        const struct tidings_pair *p = &o->metadata[i];

        if (!p->key || !p->value || !*p->key || !td_utf8_valid(p->key) ||
            !td_utf8_valid(p->value))
            return td_fail(TIDINGS_EINVAL,
                           "metadata: a key and a value, both UTF-8");
        for (size_t k = 0; k < i; k++) {
            if (strcmp(o->metadata[k].key, p->key) == 0)
                return td_fail(TIDINGS_EINVAL, "metadata: %s is there twice",
                               p->key);
        }
    }
    bytes = metadata_bytes(o);
    if (bytes > TD_METADATA_BYTES_MAX)
        return td_fail(TIDINGS_EINVAL, "metadata of %zu bytes; at most %u",
                       bytes, TD_METADATA_BYTES_MAX);
    return TIDINGS_OK;
}

static bool is_bound(int value, int least, int most)
{
    return value >= least && value <= most;
}

static tidings_err check_breaker(const char *what,
                                 const struct tidings_breaker_bounds *b)
{
    if (is_bound(b->failures, -1, TD_BREAKER_COUNT_MAX) &&
        is_bound(b->rate_percent, -1, 100) &&
        is_bound(b->window_ms, 0, TIDINGS_TIMEOUT_MAX_MS) &&
        is_bound(b->window_min, 0, TD_BREAKER_COUNT_MAX) &&
        is_bound(b->recovery_ms, 0, TIDINGS_TIMEOUT_MAX_MS) &&
        is_bound(b->recovery_max_ms, 0, TIDINGS_TIMEOUT_MAX_MS))
        return TIDINGS_OK;
    return td_fail(TIDINGS_EINVAL, "%s: a bound is outside its range", what);
}

static bool is_health(enum tidings_health health)
{
    return (unsigned)health <= TIDINGS_SICK;
}

static tidings_err check_rest(const struct tidings_service_options *o)
{
    if (o->description && (!td_utf8_valid(o->description) ||
                           strlen(o->description) > TD_DESCRIPTION_BYTES_MAX))
        return td_fail(TIDINGS_EINVAL, "description: at most %u bytes of UTF-8",
                       TD_DESCRIPTION_BYTES_MAX);
    if (!is_health(o->health))
        return td_fail(TIDINGS_EINVAL, "health is %d; none of its names",
                       (int)o->health);
    if (o->health_ms != 0 && o->health_ms != -1 &&
        !is_bound(o->health_ms, TD_HEALTH_MS_MIN, TIDINGS_TIMEOUT_MAX_MS))
        return td_fail(TIDINGS_EINVAL, "health_ms is %d; -1, or %d to %d",
                       o->health_ms, TD_HEALTH_MS_MIN, TIDINGS_TIMEOUT_MAX_MS);
    if (o->workers > TD_WORKERS_MAX)
        return td_fail(TIDINGS_EINVAL, "%u workers; at most %u", o->workers,
                       TD_WORKERS_MAX);
    return TIDINGS_OK;
}

tidings_err td_service_check(const struct tidings_service_options *o)
{
    tidings_err err;

    if (!o || !o->name || !td_service_name_valid(o->name, strlen(o->name)))
        return td_fail(TIDINGS_EINVAL,
                       "name: a service's is 1 to %u of [A-Za-z0-9_-]",
                       TD_SERVICE_BYTES_MAX);
    if (!o->version || !td_version_valid(o->version, strlen(o->version)))
        return td_fail(TIDINGS_EINVAL,
                       "version: a semantic version, as \"1.2.0\", of at most "
                       "%u bytes",
                       TD_VERSION_BYTES_MAX);
    err = check_endpoints(o);
    if (!err)
        err = check_metadata(o);
    if (!err)
        err = check_breaker("breaker", &o->breaker);
    if (!err)
        err = check_breaker("service_breaker", &o->service_breaker);
    return err ? err : check_rest(o);
}

uint64_t td_service_health_ms(const struct tidings_service_options *o)
{
    return o->health_ms < 0   ? 0
           : o->health_ms > 0 ? (uint64_t)o->health_ms
                              : TD_HEALTH_MS;
}

/* ---- packing ---- */

static void pack_key(msgpack_packer *pk, const char *key)
{
    td_option_pack_one(pk, td_str_of(key));
}

/* The type, in characters that a name may have. */
static void name_of(char name[TD_SERVICE_BYTES_MAX + 1], const char *type)
{
    size_t i;

    for (i = 0; type[i] && i < TD_SERVICE_BYTES_MAX; i++)
        name[i] = td_service_name_valid(&type[i], 1) ? type[i] : '-';
    name[i] = '\0';
}

static void pack_endpoint(msgpack_packer *pk, const struct tidings_endpoint *e)
{
    char name[TD_SERVICE_BYTES_MAX + 1];

    name_of(name, e->type);
    msgpack_pack_map(pk, 2u + !!e->group + !!e->balance + !!e->max_in_flight);
    td_option_pack_str(pk, "name", td_str_of(e->name ? e->name : name));
    td_option_pack_str(pk, "type", td_str_of(e->type));
    if (e->group)
        td_option_pack_str(pk, "group", td_str_of(e->group));
    if (e->balance)
        td_option_pack_str(pk, "balance",
                           td_str_of(tidings_balance_name(e->balance)));
    if (e->max_in_flight)
        td_option_pack_uint(pk, "max_in_flight", e->max_in_flight);
}

static bool has_key(const struct tidings_service_options *o, const char *key)
{
    for (size_t i = 0; i < o->metadata_len; i++) {
        if (strcmp(o->metadata[i].key, key) == 0)
            return true;
    }
    return false;
}

/* A pair of ours goes along if the user has none of that name, and has left it
 * room. */
static bool adds(const struct tidings_service_options *o, const char *key,
                 const char *value, size_t *pairs, size_t *bytes)
{
    size_t more = pair_bytes(key, value);

    if (!*value || has_key(o, key) || *pairs >= TD_METADATA_MAX ||
        *bytes + more > TD_METADATA_BYTES_MAX)
        return false;
    ++*pairs;
    *bytes += more;
    return true;
}

static void pack_metadata(msgpack_packer *pk,
                          const struct tidings_service_options *o,
                          const char *host, long pid)
{
    size_t pairs = o->metadata_len;
    size_t bytes = metadata_bytes(o);
    bool adds_pid;
    bool adds_host;
    char digits[24];

    snprintf(digits, sizeof(digits), "%ld", pid);
    adds_pid = adds(o, "pid", digits, &pairs, &bytes);
    adds_host = adds(o, "host", host, &pairs, &bytes);
    pack_key(pk, "metadata");
    msgpack_pack_map(pk, pairs);
    for (size_t i = 0; i < o->metadata_len; i++)
        td_option_pack_str(pk, o->metadata[i].key,
                           td_str_of(o->metadata[i].value));
    if (adds_host)
        td_option_pack_str(pk, "host", td_str_of(host));
    if (adds_pid)
        td_option_pack_str(pk, "pid", td_str_of(digits));
}

struct bound {
    const char *key;
    int value; /* 0: the default; -1: off */
};

/* false: all are the defaults. */
static bool pack_breaker(msgpack_packer *pk, const char *key,
                         const struct tidings_breaker_bounds *b)
{
    const struct bound bounds[] = {
        {"failures", b->failures},
        {"rate_percent", b->rate_percent},
        {"window_ms", b->window_ms},
        {"window_min", b->window_min},
        {"recovery_ms", b->recovery_ms},
        {"recovery_max_ms", b->recovery_max_ms},
    };
    const size_t len = sizeof(bounds) / sizeof(bounds[0]);
    size_t n = 0;

    for (size_t i = 0; i < len; i++)
        n += bounds[i].value != 0;
    if (n == 0)
        return false;
    pack_key(pk, key);
    msgpack_pack_map(pk, n);
    for (size_t i = 0; i < len; i++) {
        if (bounds[i].value != 0)
            td_option_pack_uint(
                pk, bounds[i].key,
                bounds[i].value < 0 ? 0 : (uint64_t)bounds[i].value);
    }
    return true;
}

uint32_t td_service_pack(struct td_buf *out,
                         const struct tidings_service_options *o,
                         const char *host, long pid)
{
    uint32_t pairs = 3;
    msgpack_packer pk;

    msgpack_packer_init(&pk, out, td_buf_pack_write);
    pack_key(&pk, "endpoints");
    msgpack_pack_array(&pk, o->endpoints_len);
    for (size_t i = 0; i < o->endpoints_len; i++)
        pack_endpoint(&pk, &o->endpoints[i]);
    pack_metadata(&pk, o, host, pid);
    td_option_pack_uint(&pk, "health_ms", td_service_health_ms(o));
    if (o->description) {
        td_option_pack_str(&pk, "description", td_str_of(o->description));
        pairs++;
    }
    pairs += pack_breaker(&pk, "breaker", &o->breaker);
    pairs += pack_breaker(&pk, "service_breaker", &o->service_breaker);
    return pairs;
}
