/* Requests: what is sent together, and the end of one. Their answers are in
 * session_response.c, trying again is in session_retry.c. */
#include "client/session_internal.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "proto/batch.h"

#define SMALL_BYTES 256u /* such data is not worth freeing early */
/* A row without its type and options, at its longest. */
#define ROW_BYTES 64u
/* When there was no memory to send. */
#define LEAN_MS 10

/* ---- how far one is ---- */

static void set_due(struct td_client *c, struct td_request *r, int64_t due_ms)
{
    r->due_ms = due_ms;
    if (!r->timed || (r->timer.slot && r->timer.due_ms == due_ms))
        return;
    td_wheel_remove(&c->requests.wheel, &r->timer);
    td_wheel_add(&c->requests.wheel, &r->timer, due_ms);
}

void td_request_rest(struct td_client *c, struct td_request *r,
                     int64_t until_ms)
{
    r->state = TD_REQUEST_RESTING;
    set_due(c, r, until_ms);
}

static size_t row_bytes(const struct td_request *r)
{
    return ROW_BYTES + r->type.len + r->options.len;
}

static size_t event_bytes(const struct td_request *r)
{
    return td_event_size(INT64_MAX, r->data.len, r->attrs.len);
}

void td_request_unsent(struct td_client *c, struct td_request *r)
{
    struct td_requests *q = &c->requests;

    r->state = TD_REQUEST_UNSENT;
    q->unsent_rows++;
    q->unsent_bytes += event_bytes(r);
    DL_APPEND(q->unsent, r);
    set_due(c, r, r->deadline_ms);
}

static void leave_unsent(struct td_requests *q, struct td_request *r)
{
    q->unsent_rows--;
    q->unsent_bytes -= event_bytes(r);
    DL_DELETE(q->unsent, r);
}

static void leave_state(struct td_requests *q, struct td_request *r)
{
    if (r->state == TD_REQUEST_UNSENT)
        leave_unsent(q, r);
    else if (r->state == TD_REQUEST_SENT)
        q->sent--;
}

void td_request_leave(struct td_client *c, struct td_request *r)
{
    leave_state(&c->requests, r);
    td_requests_renumber(&c->requests, r);
}

/* It counts no more, and what it is in may go. */
static void let_go(struct td_requests *q, struct td_request *r)
{
    q->held -= r->held;
    r->held = 0;
    free(r->owned);
    r->owned = NULL;
}

static void forget(struct td_client *c, struct td_request *r)
{
    struct td_requests *q = &c->requests;

    leave_state(q, r);
    if (r->timed)
        td_wheel_remove(&q->wheel, &r->timer);
    td_requests_remove(q, r);
    let_go(q, r);
    r->state = TD_REQUEST_DONE;
}

/* ---- the end of one ---- */

static uint64_t *counter_of(struct td_requests *q, tidings_err code)
{
    switch ((int)code) {
    case TIDINGS_OK:
        return &q->info.answered;
    case TIDINGS_EREMOTE:
        return &q->info.errors;
    case TIDINGS_ETIMEDOUT:
        return &q->info.timeouts;
    case TIDINGS_ELOST:
        return &q->info.lost;
    default:
        return &q->info.refused;
    }
}

void td_request_end(struct td_client *c, struct td_request *r,
                    const struct td_response *response)
{
    const struct td_client_port *port = &c->options.port;

    forget(c, r);
    ++*counter_of(&c->requests, response->code);
    port->answered(port->ctx, r, response);
}

void td_request_fail(struct td_client *c, struct td_request *r,
                     tidings_err code, const char *text)
{
    const struct td_response response = {
        .code = code, .text = td_str_of(text), .own = true};

    td_request_end(c, r, &response);
}

void td_client_withdraw_request(struct td_client *c, struct td_request *r)
{
    if (r->state == TD_REQUEST_DONE)
        return;
    c->requests.info.withdrawn++;
    forget(c, r);
}

struct td_request *td_client_take_request(struct td_client *c, uint32_t *from)
{
    struct td_requests *q = &c->requests;

    while (*from < q->slots_len && q->info.in_flight > 0) {
        struct td_request *r = q->slots[(*from)++].request;

        if (!r)
            continue;
        td_client_withdraw_request(c, r);
        return r;
    }
    return NULL;
}

/* ---- sending ---- */

/* What one message takes of those that wait: up to one whose deadline has
 * passed, which is never sent. */
struct bundle {
    uint32_t rows;
    size_t bytes;
    int64_t base_us;
};

static int64_t dt_of(const struct bundle *b, const struct td_request *r)
{
    return r->time_us - b->base_us;
}

static struct bundle choose(const struct td_requests *q)
{
    struct bundle b = {.base_us = q->unsent->time_us};
    size_t control = TD_SOURCE_BYTES_MAX + ROW_BYTES;
    const struct td_request *r;

    DL_FOREACH(q->unsent, r)
    {
        size_t bytes = td_event_size(dt_of(&b, r), r->data.len, r->attrs.len);

        control += row_bytes(r);
        if (b.rows > 0 &&
            (b.rows == TD_BUNDLE_ROWS || b.bytes + bytes > TD_BATCH_BYTES ||
             control > TD_CONTROL_BYTES_MAX / 2 || r->deadline_ms <= q->now_ms))
            break;
        b.rows++;
        b.bytes += bytes;
    }
    return b;
}

/* How long whoever has it has for it. */
static int64_t left_ms(const struct td_requests *q, const struct td_request *r)
{
    int64_t left = r->deadline_ms - q->now_ms;

    if (left > r->timeout_ms)
        left = r->timeout_ms;
    if (td_request_is_many(r))
        left -= left / 8 < TD_MANY_SLACK_MS ? left / 8 : TD_MANY_SLACK_MS;
    if (r->attempt_ms > 0 && r->attempt_ms < left)
        left = r->attempt_ms;
    return left > 0 ? left : 1; /* its deadline is looked at elsewhere */
}

static void pack(struct td_client *c, const struct bundle *b, uint8_t *p)
{
    const struct td_request *r = c->requests.unsent;

    td_buf_reset(&c->scratch);
    td_list_begin(&c->scratch, b->rows);
    for (uint32_t i = 0; i < b->rows; i++, r = r->next) {
        struct td_request_row row = {
            .number = r->number,
            .type = r->type,
            .flags = r->flags,
            .left_ms = (uint64_t)left_ms(&c->requests, r),
            .bytes = td_event_size(dt_of(b, r), r->data.len, r->attrs.len),
            .options = r->options,
        };

        td_request_append(&c->scratch, &row);
        p = td_event_put(p, dt_of(b, r), r->data.data, r->data.len, r->attrs);
    }
}

static void was_sent(struct td_client *c, struct td_request *r)
{
    struct td_requests *q = &c->requests;

    leave_unsent(q, r);
    r->state = TD_REQUEST_SENT;
    r->attempts++;
    q->sent++;
    if (!r->idempotent) {
        q->held -= r->held;
        r->held = 0;
    }
    if (!r->idempotent && r->owned && r->data.len > SMALL_BYTES)
        let_go(q, r);
    if (r->attempt_ms > 0 && q->now_ms + r->attempt_ms < r->deadline_ms)
        set_due(c, r, q->now_ms + r->attempt_ms);
}

/* false: no memory, or the link takes nothing; they wait. */
static bool send_bundle(struct td_client *c)
{
    struct td_requests *q = &c->requests;
    struct td_frame f = {.op = TD_REQUEST};
    struct bundle b = choose(q);
    uint8_t *data;
    struct td_body *body = td_body_new(b.bytes, &data);
    bool sent = false;

    if (!body)
        return false;
    pack(c, &b, data);
    f.u.request.source = td_str_of(c->options.source);
    f.u.request.time_us = b.base_us;
    f.u.request.list = td_client_scratch(c);
    if (!c->scratch.failed)
        sent = td_client_send(c, &f, body);
    td_body_unref(body);
    while (sent && b.rows-- > 0)
        was_sent(c, q->unsent);
    return sent;
}

void td_client_send_requests(struct td_client *c, int64_t now_ms)
{
    struct td_requests *q = &c->requests;

    td_requests_at(q, now_ms);
    while (c->state == TD_CLIENT_READY && !c->broken && q->unsent) {
        if (q->unsent->deadline_ms <= q->now_ms) {
            td_client_request_due(c, q->unsent, q->now_ms);
        } else if (!send_bundle(c)) {
            q->lean_ms = q->now_ms + LEAN_MS;
            return;
        }
    }
    q->lean_ms = 0;
}

static bool has_room(const struct td_requests *q, const struct td_request *r,
                     size_t bytes)
{
    return q->info.in_flight + q->uncalled < TD_REQUESTS_MAX &&
           q->held + bytes <= TD_REQUESTS_BYTES &&
           (!r->timed || q->kept < TD_RESPONSES_BYTES);
}

tidings_err td_client_request(struct td_client *c, struct td_request *r,
                              int64_t now_ms)
{
    struct td_requests *q = &c->requests;
    size_t bytes = r->type.len + r->options.len + r->attrs.len + r->data.len;
    tidings_err err = TIDINGS_OK;

    if (c->fenced)
        return TIDINGS_EFENCED;
    if (!has_room(q, r, bytes))
        return TIDINGS_EFULL;
    if (!q->free)
        err = td_requests_grow(q);
    if (err)
        return err;
    td_requests_add(q, r);
    r->held = bytes;
    r->attempts = 0;
    r->last = TIDINGS_OK;
    q->held += bytes;
    q->info.requests++;
    td_budget_add(&q->budget);
    td_request_unsent(c, r);
    if ((q->sent == 0 && !q->gathering) || q->unsent_rows >= TD_BUNDLE_ROWS ||
        q->unsent_bytes >= TD_BATCH_BYTES)
        td_client_send_requests(c, now_ms);
    return TIDINGS_OK;
}

int64_t td_client_requests_due_ms(const struct td_client *c)
{
    const struct td_requests *q = &c->requests;
    int64_t due_ms = q->wheel.next_ms;

    if (q->unsent && c->state == TD_CLIENT_READY && q->lean_ms < due_ms)
        due_ms = q->lean_ms;
    return due_ms;
}
