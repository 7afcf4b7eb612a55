/* The link and the time: opening, greeting, losing, trying again; and where
 * each message goes. */
#include "client/session_internal.h"

#include "client/session_service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

void td_client_init(struct td_client *c,
                    const struct td_client_options *options, int64_t now_ms)
{
    memset(c, 0, sizeof(*c));
    c->options = *options;
    c->now_ms = c->retry_ms = now_ms;
    c->credit_ms = c->settle_ms = c->beat_ms = TD_CLIENT_NEVER;
    c->random = options->seed | 1;
    c->last_err = TIDINGS_EUNREACH;
    snprintf(c->last_text, sizeof(c->last_text), "not connected yet");
    td_packer_init(&c->packer, options->producer, td_str_of(options->source));
    td_publisher_init(&c->publisher);
    td_wheel_begin(&c->requests.wheel, now_ms);
    td_budget_init(&c->requests.budget, TD_REQUEST_RETRY_PERCENT,
                   TD_REQUEST_RETRIES);
}

void td_client_fini(struct td_client *c)
{
    uint32_t from = 0;

    while (c->subs)
        td_client_forget(c, c->subs);
    while (c->services)
        td_client_service_forget(c, c->services);
    td_answers_fini(&c->answers);
    while (td_client_take_request(c, &from))
        ;
    free(c->requests.slots);
    td_packer_fini(&c->packer);
    td_publisher_fini(&c->publisher);
    td_buf_fini(&c->control);
    td_buf_fini(&c->scratch);
    td_buf_fini(&c->rows);
}

/* ---- the link ---- */

void td_client_enter(struct td_client *c, enum td_client_state state)
{
    c->state = state;
    c->ready = state == TD_CLIENT_READY;
    c->link = c->ready ? c->connects : 0;
    c->idle = false; /* until pumping has found nothing to send */
}

void td_client_status(struct td_client *c, enum tidings_status_kind kind,
                      tidings_err err, const char *text, uint64_t count)
{
    const struct td_client_port *port = &c->options.port;

    port->status(port->ctx, kind, err, text, NULL, count);
}

static void set_last(struct td_client *c, tidings_err err, const char *text)
{
    c->last_err = err;
    snprintf(c->last_text, sizeof(c->last_text), "%s",
             text && *text ? text : tidings_err_text(err));
}

uint64_t td_client_random(struct td_client *c)
{
    c->random ^= c->random << 13; /* xorshift64 */
    c->random ^= c->random >> 7;
    c->random ^= c->random << 17;
    return c->random;
}

/* Doubled at each failure, between a half and all of it, so that clients that
 * were cut off together do not come back together. */
static int64_t backoff_ms(struct td_client *c)
{
    int64_t ms = TD_RETRY_MIN_MS;

    for (unsigned i = 1; i < c->failures && ms < TD_RETRY_MAX_MS; i++)
        ms *= 2;
    if (ms > TD_RETRY_MAX_MS)
        ms = TD_RETRY_MAX_MS;
    return ms / 2 + (int64_t)(td_client_random(c) % (uint64_t)(ms / 2 + 1));
}

/* A session that the broker ended, or that cannot be trusted, is over; any
 * other is away, and may be resumed. */
void td_client_lost(struct td_client *c, tidings_err err, const char *text,
                    int64_t now_ms)
{
    const struct td_client_port *port = &c->options.port;
    bool was_ready = c->state == TD_CLIENT_READY;

    c->now_ms = now_ms;
    if (c->state == TD_CLIENT_DOWN)
        return;
    port->close(port->ctx);
    c->asked = 0;
    td_client_enter(c, TD_CLIENT_DOWN);
    c->broken = false;
    c->credit_ms = c->settle_ms = TD_CLIENT_NEVER;
    if (err == TIDINGS_EPROTO)
        c->resumable = false;
    /* Thrown out right after the greeting is a failure like any other: else
     * it would come back at once, for ever. */
    if (was_ready && now_ms - c->welcomed_ms >= TD_RETRY_MAX_MS)
        c->failures = 0;
    c->failures++;
    c->retry_ms = now_ms + backoff_ms(c);
    set_last(c, err, text);
    td_client_subs_lost(c);
    td_client_questions_lost(c);
    td_client_services_lost(c);
    td_client_requests_lost(c);
    if (was_ready)
        td_client_status(c, TIDINGS_DOWN, err, c->last_text, 0);
}

void td_client_break(struct td_client *c, const char *why)
{
    c->broken = true;
    c->broken_by = why;
    c->resumable = false;
}

/* Lost by what was found out since the last tick. */
static void lost_broken(struct td_client *c)
{
    if (c->broken_by)
        td_client_lost(c, TIDINGS_EPROTO, c->broken_by, c->now_ms);
    else
        td_client_lost(c, TIDINGS_EUNREACH, "the connection was lost",
                       c->now_ms);
}

static void open_link(struct td_client *c)
{
    const struct td_client_port *port = &c->options.port;
    tidings_err err = port->open(port->ctx);

    if (err) {
        c->failures++;
        c->retry_ms = c->now_ms + backoff_ms(c);
        set_last(c, err, "");
        return;
    }
    td_client_enter(c, TD_CLIENT_GREETING);
    c->greeted_by_ms = c->now_ms + TD_GREETING_MS;
    c->heard_ms = c->sent_ms = c->pinged_ms = c->now_ms;
    c->broken = false;
    c->broken_by = NULL;
    td_client_hello(c);
}

/* ---- messages ---- */

tidings_err td_client_breach(struct td_client *c, const char *why)
{
    c->breach = why;
    return TIDINGS_EPROTO;
}

static void on_reply(struct td_client *c, const struct td_frame *f)
{
    /* or an answer that nobody waits for any more */
    if (!td_client_question_on_reply(c, f) && !td_client_service_on_reply(c, f))
        td_client_subs_on_reply(c, f);
}

static void on_ping(struct td_client *c, const struct td_frame *f)
{
    const struct td_frame pong = {.op = TD_PONG,
                                  .u.pong = {.token = f->u.ping.token}};

    td_client_send(c, &pong, NULL);
}

static tidings_err greeting(struct td_client *c, const struct td_frame *f)
{
    return f->op == TD_WELCOME ? td_client_on_welcome(c, f)
                               : td_client_breach(c, "did not greet");
}

static tidings_err ready(struct td_client *c, const struct td_frame *f,
                         struct td_body *body, struct td_deliveries *out)
{
    switch (f->op) {
    case TD_TAKEN:
        return td_client_on_taken(c, f);
    case TD_CONFIRM:
        return td_client_on_confirm(c, f);
    case TD_REPLY:
        on_reply(c, f);
        return TIDINGS_OK;
    case TD_DELIVER:
        return td_client_on_deliver(c, f, body, out);
    case TD_GAP:
        td_client_on_gap(c, f);
        return TIDINGS_OK;
    case TD_PING:
        on_ping(c, f);
        return TIDINGS_OK;
    case TD_PONG:
        td_client_on_pong(c, f);
        return TIDINGS_OK;
    case TD_SETTLED:
        return td_client_on_settled(c, f);
    case TD_HANDLE:
        return td_client_on_handle(c, f, body, out);
    case TD_HEALTH:
        return td_client_on_health(c, f);
    case TD_RESPONSE:
        return td_client_on_response(c, f, body);
    default:
        return td_client_breach(c, "greeted twice");
    }
}

bool td_client_is_named(const struct td_client *c)
{
    return c->options.producer_name && *c->options.producer_name;
}

void td_client_fence(struct td_client *c, const char *text)
{
    const struct td_client_port *port = &c->options.port;

    td_client_lost(c, TIDINGS_EFENCED, text, c->now_ms);
    c->closed = true;
    if (port->guard)
        port->guard(port->ctx, true);
    c->fenced = true;
    td_packer_close(&c->packer);
    td_publisher_add(&c->publisher, td_packer_take(&c->packer));
    if (port->guard)
        port->guard(port->ctx, false);
    td_client_give_up(c, TIDINGS_EFENCED, c->last_text);
    td_client_end_requests(c, TIDINGS_EFENCED,
                           "another process has taken the producer's name");
    td_client_status(c, TIDINGS_FENCED, TIDINGS_EFENCED, c->last_text, 0);
}

/* The session is over, unless the broker only missed us: that one it keeps. */
static void on_bye(struct td_client *c, const struct td_frame *f)
{
    char text[128];
    tidings_err code = (tidings_err)f->u.bye.code;

    if (code != TIDINGS_ETIMEDOUT)
        c->resumable = false;
    if (!code && f->u.bye.text.len == 0)
        snprintf(text, sizeof(text), "the broker said goodbye");
    else
        snprintf(text, sizeof(text), "%.*s", (int)f->u.bye.text.len,
                 f->u.bye.text.data);
    if (code == TIDINGS_EFENCED && td_client_is_named(c)) {
        td_client_fence(c, text);
        return;
    }
    td_client_lost(c, code ? code : TIDINGS_EUNREACH, text, c->now_ms);
}

static tidings_err decode(struct td_client *c, struct td_frame *f,
                          const void *control, size_t len, bool body)
{
    const char *why;

    if (td_frame_decode(f, control, len, false, &why))
        return td_client_breach(c, why);
    if (td_op_has_body(f->op) != body)
        return td_client_breach(c, "body missing, or not asked for");
    return TIDINGS_OK;
}

void td_client_lost_breach(struct td_client *c)
{
    char text[128];

    snprintf(text, sizeof(text), "the broker broke the protocol: %s",
             c->breach);
    td_client_lost(c, TIDINGS_EPROTO, text, c->now_ms);
}

tidings_err td_client_message(struct td_client *c, const void *control,
                              size_t len, struct td_body *body, int64_t now_ms,
                              struct td_deliveries *out)
{
    struct td_frame f;
    tidings_err err;

    memset(out, 0, sizeof(*out));
    c->now_ms = now_ms;
    if (c->state == TD_CLIENT_DOWN)
        return TIDINGS_OK; /* left over from a link that is closed */
    c->heard_ms = now_ms;
    err = decode(c, &f, control, len, body != NULL);
    if (!err && f.op == TD_BYE) {
        on_bye(c, &f);
        return TIDINGS_OK;
    }
    if (!err)
        err = c->state == TD_CLIENT_READY ? ready(c, &f, body, out)
                                          : greeting(c, &f);
    if (err)
        td_client_lost_breach(c);
    return err;
}

/* ---- time ---- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t tick_greeting(struct td_client *c)
{
    if (c->broken) {
        lost_broken(c);
        return c->retry_ms;
    }
    if (c->now_ms >= c->greeted_by_ms) {
        td_client_lost(c, TIDINGS_EUNREACH, "no answer", c->now_ms);
        return c->retry_ms;
    }
    return c->greeted_by_ms;
}

static int64_t tick_ready(struct td_client *c)
{
    if (c->sent)
        c->sent_ms = c->now_ms;
    c->sent = false;
    if (c->broken) {
        lost_broken(c);
        return c->retry_ms;
    }
    if (c->now_ms - c->heard_ms >= TD_DEAD_MS) {
        td_client_lost(c, TIDINGS_EUNREACH, "the broker is silent", c->now_ms);
        return c->retry_ms;
    }
    /* Quiet on either side; asked at most once a heartbeat. */
    if (c->now_ms - earlier(c->sent_ms, c->heard_ms) >= TD_HEARTBEAT_MS &&
        c->now_ms - c->pinged_ms >= TD_HEARTBEAT_MS) {
        td_client_send_ping(c);
        c->pinged_ms = c->sent_ms = c->now_ms;
        c->sent = false;
    }
    if (c->now_ms >= c->credit_ms)
        td_client_send_credit(c);
    if (c->now_ms >= c->settle_ms)
        td_client_send_settled(c);
    if (c->lean)
        td_client_pump(c);
    if (c->now_ms >= c->beat_ms)
        td_client_services_tick(c);
    return earlier(td_client_due_ms(c),
                   c->now_ms + TD_HEARTBEAT_MS / 5); /* look again */
}

static int64_t tick(struct td_client *c)
{
    switch (c->state) {
    case TD_CLIENT_DOWN:
        return c->retry_ms;
    case TD_CLIENT_GREETING:
        return tick_greeting(c);
    case TD_CLIENT_READY:
        return tick_ready(c);
    }
    return TD_CLIENT_NEVER;
}

int64_t td_client_tick(struct td_client *c, int64_t now_ms)
{
    /* Stopped ourselves, for longer than a tick is ever late: it is not the
     * broker who was silent. */
    if (now_ms - c->now_ms > 2 * TD_HEARTBEAT_MS)
        c->heard_ms += now_ms - c->now_ms;
    c->now_ms = now_ms;
    if (c->closed)
        return TD_CLIENT_NEVER;
    td_client_requests_tick(c);
    if (c->state == TD_CLIENT_DOWN && now_ms >= c->retry_ms)
        open_link(c);
    return earlier(tick(c), td_client_requests_due_ms(c));
}

void td_client_close(struct td_client *c)
{
    const struct td_client_port *port = &c->options.port;
    const struct td_frame bye = {.op = TD_BYE,
                                 .u.bye = {.text = td_str_of("closed")}};
    struct td_csub *sub;

    if (c->state == TD_CLIENT_READY) {
        DL_FOREACH(c->subs, sub)
        {
            td_client_release(c, sub);
        }
        td_client_send_settled(c);
        if (c->credit_ms != TD_CLIENT_NEVER)
            td_client_send_credit(c);
        td_client_send(c, &bye, NULL);
    }
    if (c->state != TD_CLIENT_DOWN)
        port->close(port->ctx);
    td_client_enter(c, TD_CLIENT_DOWN);
    c->closed = true;
    c->resumable = false;
    td_client_subs_lost(c);
    td_client_services_lost(c);
}
