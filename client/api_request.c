/* Requests: with somebody who waits for the answer, and without. */
#include "client/api.h"
#include "client/asked.h"
#include "client/detail.h"

#include <stdlib.h>
#include <string.h>

/* What a reply's memory holds. */
struct memory {
    struct td_message *message; /* NULL: none */
    char instance[TD_INSTANCE_BYTES_MAX + 1];
    char text[];
};

void tidings_reply_fini(struct tidings_reply *reply)
{
    struct memory *memory = reply ? reply->memory : NULL;

    if (!reply)
        return;
    if (memory && memory->message)
        td_message_unref(memory->message);
    free(memory);
    memset(reply, 0, sizeof(*reply));
}

/* ---- arguments ---- */

tidings_err td_check_request_timeout(int *timeout_ms)
{
    if (*timeout_ms == 0)
        *timeout_ms = TD_REQUEST_TIMEOUT_MS;
    if (*timeout_ms > 0 && *timeout_ms <= TIDINGS_TIMEOUT_MAX_MS)
        return TIDINGS_OK;
    return td_fail(TIDINGS_EINVAL, "timeout_ms: 1 to %d",
                   TIDINGS_TIMEOUT_MAX_MS);
}

static tidings_err check_attempts(const struct tidings_request_options *o)
{
    if (o->attempts > TD_REQUEST_ATTEMPTS_MAX)
        return td_fail(TIDINGS_EINVAL, "attempts is %u; at most %u",
                       o->attempts, TD_REQUEST_ATTEMPTS_MAX);
    if (o->attempt_timeout_ms < 0 ||
        o->attempt_timeout_ms > TIDINGS_TIMEOUT_MAX_MS)
        return td_fail(TIDINGS_EINVAL, "attempt_timeout_ms is %d; 0 to %d",
                       o->attempt_timeout_ms, TIDINGS_TIMEOUT_MAX_MS);
    return TIDINGS_OK;
}

/* Makes a request of it: with its deadline, that runs from now on. */
static tidings_err prepare(struct td_request *r, struct td_buf *buf,
                           const struct tidings_event *event,
                           const struct tidings_request_options *o)
{
    const struct td_request_how how = {.service = o->service,
                                       .version = o->version,
                                       .instance = o->instance,
                                       .balance = o->balance};
    int timeout_ms = o->timeout_ms;
    tidings_err err = td_check_request_timeout(&timeout_ms);

    if (!err)
        err = check_attempts(o);
    if (!err)
        err = td_request_init(r, buf, event, &how);
    if (err)
        return err;
    r->idempotent = o->idempotent;
    r->attempts_max = !o->idempotent ? 1
                      : o->attempts  ? o->attempts
                                     : TD_REQUEST_ATTEMPTS;
    r->attempt_ms = o->attempt_timeout_ms;
    return td_request_deadline(r, timeout_ms);
}

/* ---- what came of it ---- */

tidings_err td_not_asked(struct td_bus *b, const struct td_request *r,
                         tidings_err err)
{
    const struct td_requests *q = &b->client.requests;

    if (err == TIDINGS_EFENCED)
        return td_is_fenced(b);
    if (err == TIDINGS_ECLOSED)
        return td_fail(err, "the bus is being closed");
    if (err == TIDINGS_EFULL)
        return td_fail(err,
                       "%llu requests of this bus wait for their answers, with "
                       "%zu bytes that are kept, and on_reply has not heard "
                       "%zu bytes of answers: hear some first",
                       (unsigned long long)(q->info.in_flight + q->uncalled),
                       q->held, q->kept);
    return td_request_no_memory(r->type);
}

/* What may help, after the text of those that come without advice. */
static const char *advice_of(tidings_err code)
{
    switch ((int)code) {
    case TIDINGS_ENORESPONDER:
        return "; is its service running? \"tidings service list\" says";
    case TIDINGS_ETIMEDOUT:
    case TIDINGS_ELOST:
        return "; repeat it only if that does no harm";
    default:
        return "";
    }
}

tidings_err td_say_response(const struct td_bus *b,
                            const struct tidings_reply *reply, const char *type)
{
    if (!reply->err)
        return TIDINGS_OK;
    if (reply->err == TIDINGS_EUNREACH)
        return td_fail(reply->err, "%s: no broker at %s in time: %s", type,
                       b->url, b->client.last_text);
    if (reply->err == TIDINGS_EREMOTE)
        return td_fail(reply->err, "%s: instance %s answered status %d: %s",
                       type, reply->instance, reply->status, reply->text);
    return td_fail(reply->err, "%s: %s%s", type, reply->text,
                   advice_of(reply->err));
}

/* Whether its bytes stay in their message: not if that is mostly others', since
 * nobody knows how long the caller keeps it. */
static bool stays(const struct td_asked *a)
{
    size_t len = a->response.data.len;

    return a->message && len > TD_COPY_BYTES &&
           len >= a->message->body->len / 2;
}

static void move_in(struct memory *memory, struct tidings_reply *out,
                    struct td_asked *a, char *to)
{
    memory->message = NULL;
    if (stays(a)) {
        memory->message = a->message;
        return;
    }
    if (out->len > 0)
        out->data = memcpy(to, out->data, out->len);
    td_message_unref(a->message);
}

/* An answer for keeps; its message is taken over. */
static tidings_err keep(struct tidings_reply *out, const struct td_bus *b,
                        struct td_asked *a, const char *type)
{
    struct td_reply_text text;
    const char *said;
    struct memory *memory;
    size_t size;

    td_reply_view(out, &text, &a->response, a->request.attempts);
    td_say_response(b, out, type);
    said =
        out->err && out->err != TIDINGS_EREMOTE ? tidings_detail() : out->text;
    size = strlen(said) + 1;
    memory = malloc(sizeof(*memory) + size + (stays(a) ? 0 : out->len));
    if (!memory) {
        td_message_unref(a->message);
        *out = (struct tidings_reply){.attempts = out->attempts};
        return td_fail(TIDINGS_ENOMEM, "%s: no memory for the answer%s", type,
                       advice_of(TIDINGS_ELOST));
    }
    move_in(memory, out, a, memory->text + size);
    memcpy(memory->instance, text.instance, sizeof(text.instance));
    memcpy(memory->text, said, size);
    out->memory = memory;
    out->instance = memory->instance;
    out->text = memory->text;
    return out->err;
}

/* The call failed by itself: the detail is the text. */
static tidings_err fail(struct tidings_reply *out, tidings_err err)
{
    const char *said = tidings_detail();
    size_t size = strlen(said) + 1;
    struct memory *memory = malloc(sizeof(*memory) + size);

    *out = (struct tidings_reply){.err = err,
                                  .text = tidings_err_text(err),
                                  .instance = "",
                                  .attempts = out->attempts};
    if (!memory)
        return err;
    memory->message = NULL;
    memcpy(memory->text, said, size);
    out->memory = memory;
    out->text = memory->text;
    return err;
}

/* ---- waiting ---- */

static tidings_err ask_locked(struct td_bus *b, struct td_asked *a)
{
    tidings_err err;

    if (td_is_teller(b))
        return td_fail(TIDINGS_EDEADLK,
                       "on_status must not wait: use tidings_request_async()");
    err = td_client_request(&b->client, &a->request, td_now_ms());
    if (err)
        return td_not_asked(b, &a->request, err);
    td_client_send_requests(&b->client, td_now_ms());
    if (td_bus_wait_asked(b, a, TD_CLIENT_NEVER))
        return TIDINGS_OK;
    td_client_withdraw_request(&b->client, &a->request);
    return td_not_asked(b, &a->request, TIDINGS_ECLOSED);
}

void td_asked_init(struct td_asked *a)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&a->told, &attr);
    pthread_condattr_destroy(&attr);
}

static tidings_err ask(struct tidings_reply *out, tidings_bus *bus,
                       struct td_asked *a, const char *type)
{
    tidings_err err;
    struct td_bus *b = td_enter(bus, &err);

    if (!b)
        return err;
    td_asked_init(a);
    err = ask_locked(b, a);
    out->attempts = a->request.attempts;
    if (!err)
        err = keep(out, b, a, type);
    td_exit(b);
    pthread_cond_destroy(&a->told);
    return err;
}

tidings_err tidings_request_event(struct tidings_reply *out, tidings_bus *bus,
                                  const struct tidings_event *event,
                                  const struct tidings_request_options *options)
{
    const struct tidings_request_options defaults = {0};
    struct td_buf buf = {0};
    struct td_asked a = {0};
    tidings_err err;

    if (!out)
        return td_fail(TIDINGS_EINVAL, "out is NULL");
    memset(out, 0, sizeof(*out));
    tidings_set_detail("");
    err = prepare(&a.request, &buf, event, options ? options : &defaults);
    if (!err)
        err = ask(out, bus, &a, event->type);
    td_buf_fini(&buf);
    return err && !out->memory ? fail(out, err) : err;
}

tidings_err tidings_request(struct tidings_reply *out, tidings_bus *bus,
                            const char *type, const void *data, size_t len,
                            int timeout_ms)
{
    const struct tidings_event event = {
        .type = type, .data = data, .data_len = len};
    /* 0 is no timeout here: it is refused with the rest. */
    const struct tidings_request_options options = {
        .timeout_ms = timeout_ms ? timeout_ms : -1};

    return tidings_request_event(out, bus, &event, &options);
}

/* ---- not waiting ---- */

/* Bytes of one after the other: where this one is now. */
static struct td_str move(uint8_t **to, struct td_str from)
{
    struct td_str moved = {(const char *)*to, from.len};

    if (from.len > 0)
        memcpy(*to, from.data, from.len);
    *to += from.len;
    return moved;
}

/* NULL without memory. */
static struct td_asked *copy_of(const struct td_request *r)
{
    size_t size = r->type.len + r->options.len + r->attrs.len + r->data.len;
    struct td_asked *a = calloc(1, sizeof(*a));
    uint8_t *bytes = a ? malloc(size) : NULL;

    if (!bytes) {
        free(a);
        return NULL;
    }
    a->request = *r;
    a->request.timed = true;
    a->request.owned = bytes;
    a->request.type = move(&bytes, r->type);
    a->request.options = move(&bytes, r->options);
    a->request.attrs = move(&bytes, r->attrs);
    a->request.data = move(&bytes, r->data);
    return a;
}

/* It goes with others, at the next turn of whoever drives; if nobody does, the
 * keeper sees to it. */
static tidings_err send_soon(struct td_bus *b, struct td_asked *a)
{
    int64_t now_ms = td_now_ms();
    tidings_err err = td_client_request(&b->client, &a->request, now_ms);

    if (err)
        return td_not_asked(b, &a->request, err);
    if (b->client.requests.unsent && !b->driving && !b->own_loop)
        td_bus_keep(b, now_ms + 1);
    td_bus_touched(b);
    return TIDINGS_OK;
}

tidings_err tidings_request_async(tidings_bus *bus,
                                  const struct tidings_event *event,
                                  const struct tidings_request_options *options,
                                  tidings_on_reply on_reply, void *arg)
{
    const struct tidings_request_options defaults = {0};
    struct td_buf buf = {0};
    struct td_asked *a = NULL;
    struct td_request r;
    struct td_bus *b;
    tidings_err err;

    err = on_reply ? prepare(&r, &buf, event, options ? options : &defaults)
                   : td_fail(TIDINGS_EINVAL, "on_reply is NULL");
    if (!err) {
        a = copy_of(&r);
        err = a ? TIDINGS_OK : td_request_no_memory(r.type);
    }
    td_buf_fini(&buf);
    b = err ? NULL : td_enter(bus, &err);
    if (b) {
        a->on_reply = on_reply;
        a->arg = arg;
        err = send_soon(b, a);
        td_exit(b);
    }
    if (err && a) {
        free(a->request.owned);
        free(a);
    }
    return err;
}

tidings_err tidings_request_info(struct tidings_request_info *out,
                                 tidings_bus *bus)
{
    tidings_err err = TIDINGS_OK;
    struct td_bus *b = td_enter(bus, &err);

    if (!b)
        return err;
    if (out)
        *out = b->client.requests.info;
    else
        err = td_fail(TIDINGS_EINVAL, "out is NULL");
    td_exit(b);
    return err;
}
