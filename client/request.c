/* Making a request of an event and its options. */
#include "client/request.h"

#include <msgpack.h>
#include <string.h>

#include "client/bus.h"
#include "client/deadline.h"
#include "client/detail.h"
#include "client/event.h"
#include "proto/expiry.h"
#include "proto/limits.h"

static const char *const balances[] = {
    [TIDINGS_BALANCE_DEFAULT] = "default",
    [TIDINGS_BALANCE_ROUND_ROBIN] = "round_robin",
    [TIDINGS_BALANCE_RANDOM] = "random",
    [TIDINGS_BALANCE_LEAST_IN_FLIGHT] = "least_in_flight",
    [TIDINGS_BALANCE_KEY] = "by_key",
    [TIDINGS_BALANCE_LATENCY] = "latency",
};

const char *tidings_balance_name(enum tidings_balance balance)
{
    return (unsigned)balance < sizeof(balances) / sizeof(balances[0])
               ? balances[balance]
               : "?";
}

/* ---- options ---- */

#define OPTIONS 5

struct option {
    const char *name;
    struct td_str value; /* data NULL: not given */
};

static struct td_str or_none(const char *text)
{
    return text ? td_str_of(text) : (struct td_str){NULL, 0};
}

/* The longest is cut: whoever has it has the same of the others with it. */
static struct td_str key_of(const struct tidings_event *event)
{
    struct td_str key = or_none(tidings_event_attr(event, "partitionkey"));

    if (key.len > TD_REQUEST_KEY_BYTES_MAX)
        key.len = TD_REQUEST_KEY_BYTES_MAX;
    if (key.len == 0)
        key.data = NULL;
    return key;
}

static void pack_str(msgpack_packer *pk, struct td_str str)
{
    msgpack_pack_str(pk, str.len);
    msgpack_pack_str_body(pk, str.data, str.len);
}

/* Appends a map of those that are given; nothing, if none is. */
static void pack_options(struct td_buf *buf, const struct option *options)
{
    msgpack_packer pk;
    size_t given = 0;

    for (size_t i = 0; i < OPTIONS; i++)
        given += options[i].value.data != NULL;
    if (given == 0)
        return;
    msgpack_packer_init(&pk, buf, td_buf_pack_write);
    msgpack_pack_map(&pk, given);
    for (size_t i = 0; i < OPTIONS; i++) {
        if (!options[i].value.data)
            continue;
        pack_str(&pk, td_str_of(options[i].name));
        pack_str(&pk, options[i].value);
    }
}

static tidings_err check_text(const char *name, const char *text, size_t max)
{
    size_t len = text ? strlen(text) : 1;

    if (len >= 1 && len <= max)
        return TIDINGS_OK;
    return td_fail(TIDINGS_EINVAL, "%s of %zu bytes; 1 to %zu, or NULL for any",
                   name, len, max);
}

static tidings_err check_how(const struct td_request_how *how)
{
    tidings_err err = check_text("service", how->service, TD_SERVICE_BYTES_MAX);

    if (!err)
        err = check_text("version", how->version, TD_VERSION_BYTES_MAX);
    if (!err)
        err = check_text("instance", how->instance, TD_INSTANCE_BYTES_MAX);
    if (!err && (unsigned)how->balance > TIDINGS_BALANCE_LATENCY)
        err = td_fail(TIDINGS_EINVAL, "balance is %d: see enum tidings_balance",
                      (int)how->balance);
    return err;
}

/* One of the system's is a request too. */
static tidings_err check_type(const char *type, size_t len)
{
    return type && strcmp(type, "$service.ping") == 0
               ? TIDINGS_OK
               : td_event_check_type(type, len);
}

static tidings_err check(const struct tidings_event *event,
                         const struct td_request_how *how)
{
    tidings_err err;

    if (!event)
        return td_fail(TIDINGS_EINVAL, "event is NULL");
    err = check_type(event->type, event->type ? strlen(event->type) : 0);
    if (!err)
        err = td_event_check_data(event->data, event->data_len);
    return err ? err : check_how(how);
}

tidings_err td_request_no_memory(struct td_str type)
{
    return td_fail(TIDINGS_ENOMEM,
                   "%.*s: no memory for the request: it was not sent; free "
                   "some, and ask again",
                   (int)type.len, type.data);
}

tidings_err td_request_init(struct td_request *r, struct td_buf *buf,
                            const struct tidings_event *event,
                            const struct td_request_how *how)
{
    tidings_err err = check(event, how);
    uint32_t flags;
    size_t attrs_len;

    memset(r, 0, sizeof(*r));
    if (!err)
        err = td_event_encode(buf, &flags, event);
    if (err)
        return err == TIDINGS_ENOMEM
                   ? td_request_no_memory(td_str_of(event->type))
                   : err;
    attrs_len = buf->len;
    pack_options(buf,
                 (const struct option[OPTIONS]){
                     {"key", key_of(event)},
                     {"service", or_none(how->service)},
                     {"version", or_none(how->version)},
                     {"instance", or_none(how->instance)},
                     {"balance",
                      or_none(how->balance ? balances[how->balance] : NULL)}});
    if (buf->failed)
        return td_request_no_memory(td_str_of(event->type));
    r->type = td_str_of(event->type);
    r->attrs = (struct td_str){(const char *)buf->data, attrs_len};
    r->options = (struct td_str){(const char *)buf->data + attrs_len,
                                 buf->len - attrs_len};
    r->data = (struct td_str){event->data, event->data_len};
    r->time_us = event->time_us ? event->time_us : td_unix_us();
    r->flags = (flags & TD_RUN_ID ? TD_REQUEST_ID : 0) |
               (how->many ? TD_REQUEST_MANY : 0);
    r->attempts_max = 1;
    return TIDINGS_OK;
}

/* ---- when it is over ---- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

tidings_err td_request_deadline(struct td_request *r, int timeout_ms)
{
    const struct td_event event = {.attrs = r->attrs};
    int64_t left_us =
        earlier((int64_t)timeout_ms * 1000, td_deadline_left_us());
    int64_t expires_us;

    if (left_us < 1000)
        return td_fail(TIDINGS_ETIMEDOUT,
                       "%.*s: the deadline of what this thread is handling "
                       "has passed: it was not sent",
                       (int)r->type.len, r->type.data);
    if (td_expiry_of(&expires_us, &event))
        left_us = earlier(left_us, expires_us - td_unix_us());
    if (left_us < 1000)
        return td_fail(TIDINGS_ETIMEDOUT,
                       "%.*s: its expirytime has passed: it was not sent",
                       (int)r->type.len, r->type.data);
    r->timeout_ms = left_us / 1000;
    r->deadline_ms = (td_now_us() + left_us + 999) / 1000; /* not before */
    return TIDINGS_OK;
}
