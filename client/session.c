#include "client/session.h"

#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* Half a window, or this many messages: then CREDIT is due at once. */
#define CREDIT_MESSAGES 64u
/* How much may wait unsent on a living link before publishing waits too. */
#define UNSENT_BYTES_MAX (2u << 20)
/* Single events that are this far apart are not batched. */
#define SPARSE_US 500u
/* How much packing threads may close before they wait for the session. */
#define CLOSED_BYTES_MAX (512u << 10)

void td_client_init(struct td_client *c,
                    const struct td_client_options *options, int64_t now_ms)
{
    memset(c, 0, sizeof(*c));
    c->options = *options;
    c->now_ms = c->retry_ms = now_ms;
    c->credit_ms = TD_CLIENT_NEVER;
    c->random = options->seed | 1;
    c->last_err = TIDINGS_EUNREACH;
    snprintf(c->last_text, sizeof(c->last_text), "not connected yet");
    td_packer_init(&c->packer, options->producer, td_str_of(options->source));
    td_publisher_init(&c->publisher);
}

void td_client_fini(struct td_client *c)
{
    while (c->subs)
        td_client_forget(c, c->subs);
    td_packer_fini(&c->packer);
    td_publisher_fini(&c->publisher);
    td_buf_fini(&c->control);
    td_buf_fini(&c->scratch);
}

/* ---- sending ---- */

static bool send_frame(struct td_client *c, const struct td_frame *frame,
                       struct td_body *body)
{
    const struct td_client_port *port = &c->options.port;

    td_buf_reset(&c->control);
    td_frame_encode(&c->control, frame);
    if (c->broken || c->control.failed ||
        !port->send(port->ctx, c->control.data, c->control.len, body)) {
        c->broken = true;
        return false;
    }
    c->sent = true;
    return true;
}

static void send_hello(struct td_client *c)
{
    struct td_frame f = {.op = TD_HELLO};

    f.u.hello.magic = td_str_of(TD_PROTOCOL_MAGIC);
    f.u.hello.version_min = TD_PROTOCOL_VERSION;
    f.u.hello.version_max = TD_PROTOCOL_VERSION;
    f.u.hello.producer.data = (const char *)c->options.producer;
    f.u.hello.producer.len = TD_PRODUCER_BYTES;
    f.u.hello.name = td_str_of(c->options.name);
    f.u.hello.options = td_empty_map;
    send_frame(c, &f, NULL);
}

/* ---- publishing ---- */

static void set_state(struct td_client *c, enum td_client_state state)
{
    c->state = state;
    c->ready = state == TD_CLIENT_READY;
    c->idle = false; /* until pumping has found nothing to send */
}

/* Whether an answer is wanted at once, so that what is published until then
 * makes one batch. Not for a batch that comes long after the one before: its
 * answer would only get in the way of its delivery. */
static bool asks(struct td_client *c, const struct td_outgoing *out)
{
    uint64_t since_us = (uint64_t)out->base_us - (uint64_t)c->sent_base_us;

    c->sent_base_us = out->base_us;
    return !c->asked && (since_us < SPARSE_US || out->events > 1);
}

static bool send_batch(struct td_client *c, const struct td_outgoing *out)
{
    struct td_frame f = {.op = TD_PUBLISH};
    bool ask = asks(c, out);

    f.u.publish.flags = ask ? TD_PUBLISH_ASK : 0;
    f.u.publish.batches.data = (const char *)out->wire;
    f.u.publish.batches.len = out->wire_len;
    if (!send_frame(c, &f, out->body))
        return false;
    if (ask)
        c->asked = out->last;
    return true;
}

static bool has_credit(const struct td_client *c, const struct td_outgoing *out)
{
    return c->events_out + out->events <= c->events_limit &&
           c->bytes_out + out->bytes <= c->bytes_limit;
}

static void send_closed(struct td_client *c)
{
    struct td_publisher *p = &c->publisher;

    while (p->unsent && has_credit(c, p->unsent)) {
        if (!send_batch(c, p->unsent))
            return;
        c->events_out += p->unsent->events;
        c->bytes_out += p->unsent->bytes;
        td_publisher_sent(p);
    }
}

static void guard(struct td_client *c, bool on)
{
    const struct td_client_port *port = &c->options.port;

    if (port->guard)
        port->guard(port->ctx, on);
}

/* While an answer is out the open batch goes on filling, so that load makes
 * batches. */
void td_client_pump(struct td_client *c)
{
    struct td_outgoing *list;

    do {
        bool quiet;

        if (c->state == TD_CLIENT_READY)
            send_closed(c);
        quiet =
            c->state == TD_CLIENT_READY && !c->asked && !c->publisher.unsent;
        guard(c, true);
        if (quiet)
            td_packer_close(&c->packer);
        list = td_packer_take(&c->packer);
        /* With the guard, so that the next event to be packed sees it. */
        c->idle = quiet && !list;
        c->lean = c->idle && c->packer.events > 0;
        guard(c, false);
        td_publisher_add(&c->publisher, list);
    } while (list);
}

static uint64_t held_bytes(const struct td_client *c)
{
    return c->packer.packed_bytes - c->publisher.taken_bytes;
}

uint64_t td_client_unconfirmed(const struct td_client *c)
{
    return c->packer.packed_events - c->publisher.taken_events;
}

static uint64_t unsent_bytes(const struct td_client *c)
{
    return c->publisher.unsent_bytes + c->packer.closed_bytes;
}

tidings_err td_client_pack(struct td_client *c, const struct td_packing *event)
{
    tidings_err err;

    if (td_client_unconfirmed(c) >= c->options.unconfirmed_events ||
        held_bytes(c) >= c->options.unconfirmed_bytes ||
        (c->ready && unsent_bytes(c) >= UNSENT_BYTES_MAX))
        return TIDINGS_EFULL;
    err = td_packer_pack(&c->packer, event);
    if (!err && td_packer_is_full(&c->packer))
        td_packer_close(&c->packer); /* without memory it goes on growing */
    return err;
}

enum td_pump td_client_wants_pump(const struct td_client *c)
{
    if (c->idle || c->packer.closed_bytes >= CLOSED_BYTES_MAX)
        return TD_PUMP_NOW;
    return c->packer.closed ? TD_PUMP_SOON : TD_PUMP_NOT;
}

/* Half free: so that a publisher that had to wait does not wait again at the
 * very next event. */
bool td_client_has_room(const struct td_client *c)
{
    return td_client_unconfirmed(c) <= c->options.unconfirmed_events / 2 &&
           held_bytes(c) <= c->options.unconfirmed_bytes / 2 &&
           (!c->ready || unsent_bytes(c) <= UNSENT_BYTES_MAX / 2);
}

tidings_err td_client_publish(struct td_client *c,
                              const struct td_packing *event)
{
    tidings_err err = td_client_pack(c, event);

    if (err == TIDINGS_EFULL) { /* perhaps the batch had to be closed */
        td_client_pump(c);
        err = td_client_pack(c, event);
    }
    if (!err && td_client_wants_pump(c))
        td_client_pump(c);
    return err;
}

void td_client_ask(struct td_client *c)
{
    struct td_frame f = {.op = TD_PING};

    td_client_pump(c);
    /* A PING is answered with TAKEN first, if there is any to tell; what was
     * sent before it has then been taken. */
    if (c->state == TD_CLIENT_READY && !c->asked && c->publisher.head &&
        c->publisher.head != c->publisher.unsent && send_frame(c, &f, NULL))
        c->asked = c->publisher.sent;
}

static tidings_err set_taken(struct td_client *c, uint64_t taken)
{
    if (taken > c->publisher.sent)
        return TIDINGS_EPROTO;
    td_publisher_taken(&c->publisher, taken);
    if (c->asked && taken >= c->asked)
        c->asked = 0;
    return TIDINGS_OK;
}

static void send_credit(struct td_client *c);

/* ---- subscribing ---- */

static void pack_option(msgpack_packer *pk, const char *name, uint64_t value)
{
    msgpack_pack_str(pk, strlen(name));
    msgpack_pack_str_body(pk, name, strlen(name));
    msgpack_pack_uint64(pk, value);
}

static void send_subscribe(struct td_client *c, struct td_csub *sub)
{
    struct td_frame f = {.op = TD_SUBSCRIBE};
    msgpack_packer pk;

    td_buf_reset(&c->scratch);
    msgpack_packer_init(&pk, &c->scratch, td_buf_pack_write);
    msgpack_pack_map(&pk, 4);
    pack_option(&pk, "events", sub->window_events);
    pack_option(&pk, "bytes", sub->window_bytes);
    pack_option(&pk, "queue_events", sub->queue_events);
    pack_option(&pk, "queue_bytes", sub->queue_bytes);
    sub->request = ++c->next_request;
    sub->taken = sub->taken_bytes = sub->told = sub->told_bytes = 0;
    sub->dirty = false;
    f.u.subscribe.request = sub->request;
    f.u.subscribe.subscription = sub->number;
    f.u.subscribe.pattern.data = sub->pattern;
    f.u.subscribe.pattern.len = sub->pattern_len;
    f.u.subscribe.options.data = (const char *)c->scratch.data;
    f.u.subscribe.options.len = c->scratch.len;
    sub->state = TD_CSUB_ASKED;
    if (c->scratch.failed)
        c->broken = true;
    else
        send_frame(c, &f, NULL);
}

static uint64_t or_default(uint64_t value, uint64_t fallback)
{
    return value ? value : fallback;
}

tidings_err td_client_subscribe(struct td_client *c, struct td_csub **out,
                                const char *pattern,
                                const struct tidings_sub_options *options)
{
    size_t len = strlen(pattern);
    struct td_csub *sub;

    if (c->subs_len >= TD_SUBSCRIPTIONS_MAX)
        return TIDINGS_ELIMIT;
    sub = calloc(1, sizeof(*sub) + len);
    if (!sub)
        return TIDINGS_ENOMEM;
    sub->number = ++c->next_sub;
    sub->window_events = or_default(options->window_events, TD_WINDOW_EVENTS);
    sub->window_bytes = or_default(options->window_bytes, TD_WINDOW_BYTES);
    sub->queue_events = or_default(options->queue_events, TD_QUEUE_EVENTS);
    sub->queue_bytes = or_default(options->queue_bytes, TD_QUEUE_BYTES);
    sub->pattern_len = len;
    memcpy(sub->pattern, pattern, len);
    DL_APPEND(c->subs, sub);
    c->subs_len++;
    if (c->state == TD_CLIENT_READY)
        send_subscribe(c, sub);
    *out = sub;
    return TIDINGS_OK;
}

void td_client_unsubscribe(struct td_client *c, struct td_csub *sub)
{
    struct td_frame f = {.op = TD_UNSUBSCRIBE};

    if (c->state != TD_CLIENT_READY ||
        (sub->state != TD_CSUB_LIVE && sub->state != TD_CSUB_ASKED)) {
        sub->state = TD_CSUB_ENDED;
        return;
    }
    if (sub->dirty)
        send_credit(c); /* what was handled is to count as delivered */
    sub->state = TD_CSUB_ENDING;
    sub->request = ++c->next_request;
    f.u.unsubscribe.request = sub->request;
    f.u.unsubscribe.subscription = sub->number;
    send_frame(c, &f, NULL);
}

void td_client_forget(struct td_client *c, struct td_csub *sub)
{
    DL_DELETE(c->subs, sub);
    c->subs_len--;
    free(sub);
}

static struct td_csub *sub_find(struct td_client *c, uint64_t number)
{
    struct td_csub *sub;

    DL_FOREACH(c->subs, sub)
    {
        if (sub->number == number)
            return sub;
    }
    return NULL;
}

/* ---- credit ---- */

static void send_credit(struct td_client *c)
{
    struct td_frame f = {.op = TD_CREDIT};
    struct td_csub *sub;
    uint32_t rows = 0;

    DL_FOREACH(c->subs, sub)
    {
        rows += sub->dirty;
    }
    td_buf_reset(&c->scratch);
    td_credit_begin(&c->scratch, rows);
    DL_FOREACH(c->subs, sub)
    {
        struct td_credit row = {sub->number, sub->taken,
                                sub->taken + sub->window_events,
                                sub->taken_bytes + sub->window_bytes};

        if (!sub->dirty)
            continue;
        td_credit_append(&c->scratch, &row);
        sub->dirty = false;
        sub->told = sub->taken;
        sub->told_bytes = sub->taken_bytes;
    }
    f.u.credit.messages = c->messages;
    f.u.credit.list.data = (const char *)c->scratch.data;
    f.u.credit.list.len = c->scratch.len;
    c->messages_told = c->messages;
    c->credit_ms = TD_CLIENT_NEVER;
    if (c->scratch.failed)
        c->broken = true;
    else
        send_frame(c, &f, NULL);
}

static void credit_later(struct td_client *c)
{
    if (c->credit_ms == TD_CLIENT_NEVER)
        c->credit_ms = c->now_ms + TD_LAZY_MS;
}

void td_client_handled(struct td_client *c, struct td_csub *sub,
                       uint64_t session, uint64_t events, uint64_t bytes)
{
    if (c->state != TD_CLIENT_READY || session != c->connects ||
        sub->state != TD_CSUB_LIVE)
        return;
    sub->taken += events;
    sub->taken_bytes += bytes;
    sub->dirty = true;
    if (sub->taken - sub->told >= (sub->window_events + 1) / 2 ||
        sub->taken_bytes - sub->told_bytes >= sub->window_bytes / 2)
        send_credit(c);
    else
        credit_later(c);
}

/* ---- questions ---- */

static void send_question(struct td_client *c, const struct td_question *q)
{
    struct td_frame f = {.op = q->op};

    if (q->op == TD_PING) {
        f.u.ping.token = q->number;
    } else {
        f.u.stats.request = q->number;
        f.u.stats.options = td_empty_map;
    }
    send_frame(c, &f, NULL);
}

void td_client_question(struct td_client *c, struct td_question *q,
                        enum td_op op)
{
    memset(q, 0, sizeof(*q));
    q->op = op;
    q->number = ++c->next_request;
    DL_APPEND(c->questions, q);
    if (c->state == TD_CLIENT_READY)
        send_question(c, q);
}

void td_client_withdraw(struct td_client *c, struct td_question *q)
{
    DL_DELETE(c->questions, q);
}

static struct td_question *question_find(struct td_client *c, enum td_op op,
                                         uint64_t number)
{
    struct td_question *q;

    DL_FOREACH(c->questions, q)
    {
        if (q->op == op && q->number == number && !q->done)
            return q;
    }
    return NULL;
}

/* ---- the link ---- */

static void set_last(struct td_client *c, tidings_err err, const char *text)
{
    c->last_err = err;
    snprintf(c->last_text, sizeof(c->last_text), "%s",
             text && *text ? text : tidings_err_text(err));
}

static uint64_t next_random(struct td_client *c)
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
    return ms / 2 + (int64_t)(next_random(c) % (uint64_t)(ms / 2 + 1));
}

void td_client_lost(struct td_client *c, tidings_err err, const char *text,
                    int64_t now_ms)
{
    const struct td_client_port *port = &c->options.port;
    bool was_ready = c->state == TD_CLIENT_READY;
    struct td_csub *sub;
    struct td_csub *next;

    c->now_ms = now_ms;
    if (c->state == TD_CLIENT_DOWN)
        return;
    port->close(port->ctx);
    c->asked = 0;
    set_state(c, TD_CLIENT_DOWN);
    c->broken = false;
    c->credit_ms = TD_CLIENT_NEVER;
    /* Thrown out right after the greeting is a failure like any other: else
     * it would come back at once, for ever. */
    if (was_ready && now_ms - c->welcomed_ms >= TD_RETRY_MAX_MS)
        c->failures = 0;
    c->failures++;
    c->retry_ms = now_ms + backoff_ms(c);
    set_last(c, err, text);
    DL_FOREACH_SAFE(c->subs, sub, next)
    {
        if (sub->state == TD_CSUB_LIVE || sub->state == TD_CSUB_ASKED)
            sub->state = TD_CSUB_WANTED;
        else if (sub->state == TD_CSUB_ENDING)
            sub->state = TD_CSUB_ENDED;
    }
    if (was_ready)
        port->status(port->ctx, TIDINGS_DOWN, err, c->last_text, NULL, 0);
}

void td_client_break(struct td_client *c, const char *why)
{
    c->broken = true;
    c->broken_by = why;
}

static const char *broken_text(const struct td_client *c)
{
    return c->broken_by ? c->broken_by : "link lost";
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
    set_state(c, TD_CLIENT_GREETING);
    c->greeted_by_ms = c->now_ms + TD_GREETING_MS;
    c->heard_ms = c->sent_ms = c->pinged_ms = c->now_ms;
    c->broken = false;
    c->broken_by = NULL;
    send_hello(c);
}

static tidings_err on_welcome(struct td_client *c, const struct td_frame *f)
{
    const struct td_client_port *port = &c->options.port;
    bool new_epoch = c->epoch && c->epoch != f->u.welcome.epoch;
    struct td_csub *sub;
    struct td_question *q;

    if (c->state != TD_CLIENT_GREETING || f->u.welcome.epoch == 0 ||
        f->u.welcome.version != TD_PROTOCOL_VERSION ||
        set_taken(c, f->u.welcome.taken))
        return TIDINGS_EPROTO;
    set_state(c, TD_CLIENT_READY);
    c->epoch = f->u.welcome.epoch;
    c->connects++;
    c->welcomed_ms = c->now_ms;
    c->events_out = c->bytes_out = 0;
    c->events_limit = f->u.welcome.events_limit;
    c->bytes_limit = f->u.welcome.bytes_limit;
    c->messages = c->messages_told = 0;
    c->resent += td_publisher_rewind(&c->publisher);
    port->status(port->ctx, TIDINGS_UP, TIDINGS_OK, "connected", NULL, 0);
    if (new_epoch)
        port->status(port->ctx, TIDINGS_NEW_EPOCH, TIDINGS_OK,
                     "the broker is another than before: live events may be "
                     "missing",
                     NULL, 0);
    DL_FOREACH(c->subs, sub)
    {
        if (sub->state == TD_CSUB_WANTED)
            send_subscribe(c, sub);
    }
    DL_FOREACH(c->questions, q)
    {
        if (!q->done)
            send_question(c, q);
    }
    td_client_pump(c);
    return TIDINGS_OK;
}

/* ---- messages ---- */

static tidings_err on_taken(struct td_client *c, const struct td_frame *f)
{
    if (f->u.taken.events_limit < c->events_limit ||
        f->u.taken.bytes_limit < c->bytes_limit)
        return TIDINGS_EPROTO;
    c->events_limit = f->u.taken.events_limit;
    c->bytes_limit = f->u.taken.bytes_limit;
    if (set_taken(c, f->u.taken.taken))
        return TIDINGS_EPROTO;
    td_client_pump(c);
    return TIDINGS_OK;
}

static void sub_answered(struct td_client *c, struct td_csub *sub,
                         const struct td_frame *f)
{
    const struct td_client_port *port = &c->options.port;

    if (sub->state == TD_CSUB_ENDING) {
        sub->state = TD_CSUB_ENDED;
        return;
    }
    sub->code = (tidings_err)f->u.reply.code;
    snprintf(sub->text, sizeof(sub->text), "%.*s", (int)f->u.reply.text.len,
             f->u.reply.text.data);
    if (!sub->code) {
        sub->state = TD_CSUB_LIVE;
        sub->renewing = true;
        return;
    }
    sub->state = TD_CSUB_REFUSED;
    if (sub->renewing)
        port->status(port->ctx, TIDINGS_REFUSED, sub->code, sub->text, sub, 0);
}

static tidings_err on_reply(struct td_client *c, const struct td_frame *f)
{
    struct td_csub *sub;
    struct td_question *q = question_find(c, TD_STATS, f->u.reply.request);

    if (q) {
        q->done = true;
        q->code = (tidings_err)f->u.reply.code;
        q->result = malloc(f->u.reply.result.len);
        q->result_len = f->u.reply.result.len;
        if (q->result)
            memcpy(q->result, f->u.reply.result.data, q->result_len);
        else
            q->code = TIDINGS_ENOMEM;
        return TIDINGS_OK;
    }
    DL_FOREACH(c->subs, sub)
    {
        if (sub->request == f->u.reply.request &&
            (sub->state == TD_CSUB_ASKED || sub->state == TD_CSUB_ENDING)) {
            sub_answered(c, sub, f);
            break;
        }
    }
    return TIDINGS_OK; /* or an answer that nobody waits for any more */
}

static tidings_err on_deliver(struct td_client *c, const struct td_frame *f,
                              struct td_delivery *out)
{
    struct td_csub *sub = sub_find(c, f->u.deliver.subscription);

    c->messages++;
    if (c->messages - c->messages_told >= CREDIT_MESSAGES)
        send_credit(c);
    else
        credit_later(c);
    if (!sub || (sub->state != TD_CSUB_LIVE && sub->state != TD_CSUB_ENDING))
        return TIDINGS_OK; /* for one that has just ended */
    out->sub = sub;
    out->batches = f->u.deliver.batches;
    out->tag = f->u.deliver.tag;
    return TIDINGS_OK;
}

static tidings_err on_gap(struct td_client *c, const struct td_frame *f)
{
    const struct td_client_port *port = &c->options.port;
    struct td_csub *sub = sub_find(c, f->u.gap.subscription);
    char text[64];

    if (!sub || (sub->state == TD_CSUB_ENDING && !sub->wants_rest))
        return TIDINGS_OK; /* nobody wants it any more */
    snprintf(text, sizeof(text), "missed %llu events: %.*s",
             (unsigned long long)f->u.gap.events,
             (int)(f->u.gap.reason.len > 20 ? 20 : f->u.gap.reason.len),
             f->u.gap.reason.data);
    c->missed += f->u.gap.events;
    port->status(port->ctx, TIDINGS_GAP, TIDINGS_EFULL, text, sub,
                 f->u.gap.events);
    return TIDINGS_OK;
}

static tidings_err on_ping(struct td_client *c, const struct td_frame *f)
{
    const struct td_frame pong = {.op = TD_PONG,
                                  .u.pong = {.token = f->u.ping.token}};

    send_frame(c, &pong, NULL);
    return TIDINGS_OK;
}

static tidings_err on_pong(struct td_client *c, const struct td_frame *f)
{
    struct td_question *q = question_find(c, TD_PING, f->u.pong.token);

    if (q)
        q->done = true;
    return TIDINGS_OK;
}

static tidings_err ready(struct td_client *c, const struct td_frame *f,
                         struct td_delivery *out)
{
    switch (f->op) {
    case TD_TAKEN:
        return on_taken(c, f);
    case TD_REPLY:
        return on_reply(c, f);
    case TD_DELIVER:
        return on_deliver(c, f, out);
    case TD_GAP:
        return on_gap(c, f);
    case TD_PING:
        return on_ping(c, f);
    case TD_PONG:
        return on_pong(c, f);
    default:
        return TIDINGS_EPROTO;
    }
}

static void on_bye(struct td_client *c, const struct td_frame *f)
{
    char text[128];
    tidings_err code = (tidings_err)f->u.bye.code;

    snprintf(text, sizeof(text), "%.*s", (int)f->u.bye.text.len,
             f->u.bye.text.data);
    td_client_lost(c, code ? code : TIDINGS_EUNREACH, text, c->now_ms);
}

tidings_err td_client_message(struct td_client *c, const void *control,
                              size_t len, struct td_body *body, int64_t now_ms,
                              struct td_delivery *out)
{
    struct td_frame f;
    const char *why;
    tidings_err err;

    memset(out, 0, sizeof(*out));
    c->now_ms = now_ms;
    if (c->state == TD_CLIENT_DOWN)
        return TIDINGS_OK; /* left over from a link that is closed */
    c->heard_ms = now_ms;
    err = td_frame_decode(&f, control, len, false, &why);
    if (!err && td_op_has_body(f.op) != (body != NULL))
        err = TIDINGS_EPROTO;
    if (!err && f.op == TD_BYE) {
        on_bye(c, &f);
        return TIDINGS_OK;
    }
    if (!err && c->state == TD_CLIENT_READY)
        err = ready(c, &f, out);
    else if (!err)
        err = f.op == TD_WELCOME ? on_welcome(c, &f) : TIDINGS_EPROTO;
    if (err)
        td_client_lost(c, err, "the broker broke the protocol", now_ms);
    return err;
}

/* ---- time ---- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t tick_greeting(struct td_client *c)
{
    if (c->broken || c->now_ms >= c->greeted_by_ms) {
        td_client_lost(c, TIDINGS_EUNREACH,
                       c->broken ? broken_text(c) : "no answer", c->now_ms);
        return c->retry_ms;
    }
    return c->greeted_by_ms;
}

static int64_t tick_ready(struct td_client *c)
{
    const struct td_frame ping = {.op = TD_PING};

    if (c->sent)
        c->sent_ms = c->now_ms;
    c->sent = false;
    if (c->broken || c->now_ms - c->heard_ms >= TD_DEAD_MS) {
        td_client_lost(c, TIDINGS_EUNREACH,
                       c->broken ? broken_text(c) : "the broker is silent",
                       c->now_ms);
        return c->retry_ms;
    }
    /* Quiet on either side; asked at most once a heartbeat. */
    if (c->now_ms - earlier(c->sent_ms, c->heard_ms) >= TD_HEARTBEAT_MS &&
        c->now_ms - c->pinged_ms >= TD_HEARTBEAT_MS) {
        send_frame(c, &ping, NULL);
        c->pinged_ms = c->sent_ms = c->now_ms;
        c->sent = false;
    }
    if (c->now_ms >= c->credit_ms)
        send_credit(c);
    if (c->lean)
        td_client_pump(c);
    return earlier(c->credit_ms,
                   c->now_ms + TD_HEARTBEAT_MS / 5); /* look again */
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
    if (c->state == TD_CLIENT_DOWN && now_ms >= c->retry_ms)
        open_link(c);
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

void td_client_close(struct td_client *c)
{
    const struct td_client_port *port = &c->options.port;
    const struct td_frame bye = {.op = TD_BYE,
                                 .u.bye = {.text = td_str_of("closed")}};

    if (c->state == TD_CLIENT_READY) {
        if (c->credit_ms != TD_CLIENT_NEVER)
            send_credit(c);
        send_frame(c, &bye, NULL);
    }
    if (c->state != TD_CLIENT_DOWN)
        port->close(port->ctx);
    set_state(c, TD_CLIENT_DOWN);
    c->closed = true;
}
