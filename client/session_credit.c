/* What arrives for subscriptions, and the credit that goes back for it. */
#include "client/session_internal.h"

#include "proto/option.h"
#include "proto/plural.h"

#include <stdio.h>
#include <utlist.h>

/* Half a window, or this many messages: then CREDIT is due at once. */
#define CREDIT_MESSAGES 64u

/* ---- credit ---- */

/* Whether the broker has it, so that its totals are news there. */
static bool has_row(const struct td_csub *sub)
{
    return sub->state == TD_CSUB_LIVE || sub->state == TD_CSUB_ENDING;
}

static void append_row(struct td_client *c, struct td_csub *sub)
{
    const struct td_credit row = {sub->number, sub->taken, td_client_limit(sub),
                                  sub->taken_bytes + sub->window_bytes};

    td_credit_append(&c->scratch, &row);
    if (sub->paced)
        sub->limit = row.events_limit;
    sub->told = sub->taken;
    sub->told_bytes = sub->taken_bytes;
}

void td_client_send_credit(struct td_client *c)
{
    struct td_frame f = {.op = TD_CREDIT};
    struct td_csub *sub;
    uint32_t rows = 0;

    td_client_send_settled(c); /* the broker hears first what was settled */
    DL_FOREACH2(c->dirty, sub, dirty_next)
    {
        rows += has_row(sub);
    }
    td_buf_reset(&c->scratch);
    td_credit_begin(&c->scratch, rows);
    while ((sub = c->dirty)) {
        if (has_row(sub))
            append_row(c, sub);
        td_client_sub_dirty(c, sub, false);
    }
    f.u.credit.messages = c->messages;
    f.u.credit.list = td_client_scratch(c);
    c->messages_told = c->messages;
    c->messages_bytes = 0;
    c->credit_ms = TD_CLIENT_NEVER;
    td_client_send_scratch(c, &f);
}

static void credit_later(struct td_client *c)
{
    if (c->credit_ms == TD_CLIENT_NEVER)
        c->credit_ms = c->now_ms + TD_LAZY_MS;
}

void td_client_count_message(struct td_client *c, size_t bytes)
{
    c->messages++;
    c->messages_bytes += bytes;
    if (c->messages - c->messages_told >= CREDIT_MESSAGES ||
        c->messages_bytes >= TD_BUNDLES_SEEN_BYTES)
        td_client_send_credit(c);
    else
        credit_later(c);
}

/* Where a group is dealt by what its members have not handled yet, they say at
 * once that they are done with all they have. */
static bool is_credit_due(const struct td_csub *sub)
{
    if (sub->paced &&
        td_client_limit(sub) - sub->limit >= (sub->window_events + 1) / 2)
        return true;
    return sub->taken - sub->told >= (sub->window_events + 1) / 2 ||
           sub->taken_bytes - sub->told_bytes >= sub->window_bytes / 2 ||
           (sub->weighed && sub->taken == sub->received);
}

void td_client_handled(struct td_client *c, struct td_csub *sub,
                       uint64_t incarnation, uint64_t events, uint64_t bytes)
{
    if (incarnation != c->incarnation ||
        (sub->state != TD_CSUB_LIVE && sub->state != TD_CSUB_AWAY))
        return;
    sub->taken += events;
    sub->taken_bytes += bytes;
    td_client_sub_taken(c, sub);
}

void td_client_sub_taken(struct td_client *c, struct td_csub *sub)
{
    td_client_sub_dirty(c, sub, true);
    if (sub->state == TD_CSUB_AWAY)
        return; /* told when the session is resumed */
    if (is_credit_due(sub))
        td_client_send_credit(c);
    else
        credit_later(c);
}

void td_client_want(struct td_client *c, struct td_csub *sub, uint64_t events)
{
    uint64_t limit = sub->received + events;

    if (sub->limit == limit ||
        (sub->state != TD_CSUB_LIVE && sub->state != TD_CSUB_AWAY))
        return; /* the broker has it, or knows nothing of it yet */
    sub->limit = limit;
    td_client_sub_dirty(c, sub, true);
    if (sub->state == TD_CSUB_LIVE)
        td_client_send_credit(c);
}

/* ---- deliveries ---- */

static bool is_wanted(const struct td_csub *sub)
{
    return sub && (sub->state == TD_CSUB_LIVE || sub->state == TD_CSUB_ENDING);
}

tidings_err td_client_on_deliver(struct td_client *c, const struct td_frame *f,
                                 struct td_body *body,
                                 struct td_deliveries *out)
{
    out->parts = td_reader_of(f->u.deliver.parts.data, f->u.deliver.parts.len);
    out->body.data = (const char *)body->data;
    out->body.len = body->len;
    if (!td_read_array(&out->parts, &out->left) || out->left == 0)
        return td_client_breach(c, "delivered nothing");
    td_client_count_message(c, 0); /* windows are those */
    return TIDINGS_OK;
}

/* Takes the next part off; false: it is not well-formed. */
static bool read_part(struct td_deliveries *from, struct td_part *part,
                      struct td_delivery *out)
{
    uint32_t events;
    uint32_t bytes;

    if (!td_part_read(&from->parts, part) ||
        !td_batches_sum(part->batches, &events, &bytes) ||
        bytes > from->body.len || (--from->left == 0 && bytes < from->body.len))
        return false;
    out->batches = part->batches;
    out->spans = part->spans;
    out->tag = part->tag;
    out->events = events;
    out->body.data = from->body.data;
    out->body.len = bytes;
    from->body.data += bytes;
    from->body.len -= bytes;
    return true;
}

/* Whether the spans add up to the part's events; and what they mean. */
static bool read_spans(struct td_csub *sub, const struct td_delivery *d,
                       uint64_t *redelivered, uint64_t *position)
{
    struct td_reader r = td_reader_of(d->spans.data, d->spans.len);
    uint64_t left = d->events;
    struct td_span span;
    uint32_t rows;

    *redelivered = 0;
    *position = sub->position;
    if (d->spans.len == 0 || !td_read_array(&r, &rows))
        return false;
    while (rows-- > 0) {
        if (!td_span_read(&r, &span) || span.count > left ||
            span.sequence == 0 || span.sequence > INT64_MAX - span.count)
            return false;
        left -= span.count;
        *position = span.sequence + span.count;
        if (span.deliveries > 1)
            *redelivered += span.count;
    }
    return left == 0;
}

/* Of a stream. TIDINGS_ENOMEM: it cannot be kept. */
static tidings_err take_streamed(struct td_client *c, struct td_csub *sub,
                                 struct td_delivery *d)
{
    uint64_t redelivered;
    uint64_t position;

    if (!read_spans(sub, d, &redelivered, &position))
        return td_client_breach(c, "sent spans that do not add up");
    if (sub->durable &&
        !td_settling_receive(&sub->settling, d->events, d->body.len))
        return TIDINGS_ENOMEM;
    sub->redelivered += redelivered;
    sub->position = position;
    return TIDINGS_OK;
}

static tidings_err next(struct td_client *c, struct td_deliveries *from,
                        struct td_delivery *out)
{
    struct td_part part;
    struct td_csub *sub;
    tidings_err err;

    if (!read_part(from, &part, out))
        return td_client_breach(c, "sent a malformed delivery");
    sub = td_client_sub_find(c, part.subscription);
    if (!is_wanted(sub))
        return TIDINGS_OK; /* it has just ended */
    if (part.tag != sub->received + 1)
        return td_client_breach(c, "left out a delivery, or repeated one");
    err = sub->streamed ? take_streamed(c, sub, out) : TIDINGS_OK;
    if (err == TIDINGS_ENOMEM) { /* as if it had not arrived */
        td_client_lost(c, err, "out of memory", c->now_ms);
        return TIDINGS_OK;
    }
    if (err)
        return err;
    sub->received += out->events;
    out->sub = sub;
    return TIDINGS_OK;
}

tidings_err td_client_next(struct td_client *c, struct td_deliveries *from,
                           struct td_delivery *out)
{
    tidings_err err = TIDINGS_OK;

    out->sub = NULL;
    while (!err && !out->sub && from->left > 0 && c->state == TD_CLIENT_READY)
        err = next(c, from, out);
    if (err)
        td_client_lost_breach(c);
    return err;
}

static uint64_t first_sequence(const struct td_delivery *d)
{
    struct td_reader r = td_reader_of(d->spans.data, d->spans.len);
    struct td_span span = {0};
    uint32_t rows;

    return td_read_array(&r, &rows) && td_span_read(&r, &span) ? span.sequence
                                                               : 0;
}

void td_client_lost_delivery(struct td_client *c, const struct td_delivery *d)
{
    struct td_csub *sub = d->sub;
    uint64_t redelivered = 0;
    uint64_t unused;

    sub->received -= d->events;
    if (sub->durable)
        td_settling_take_back(&sub->settling, d->events);
    if (sub->streamed && read_spans(sub, d, &redelivered, &unused)) {
        sub->redelivered -= redelivered;
        sub->position = first_sequence(d);
    }
    td_client_lost(c, TIDINGS_ENOMEM, "out of memory", c->now_ms);
}

/* ---- gaps ---- */

static void put_in_words(char *text, size_t size, const struct td_csub *sub,
                         const struct td_gap *gap)
{
    const char *s = td_plural(gap->events, "", "s");
    bool damaged = td_bytes_equal(gap->reason, td_str_of("damaged"));
    char last[40] = "";

    if (gap->first == 0) {
        snprintf(text, size, "missed %llu event%s: %.*s",
                 (unsigned long long)gap->events, s,
                 (int)(gap->reason.len > 20 ? 20 : gap->reason.len),
                 gap->reason.data);
        return;
    }
    if (gap->last > gap->first)
        snprintf(last, sizeof(last), " to %llu", (unsigned long long)gap->last);
    snprintf(text, size, "lost %llu event%s, sequence%s %llu%s of %s: %s%s",
             (unsigned long long)gap->events, s, *last ? "s" : "",
             (unsigned long long)gap->first, last, sub->stream,
             damaged        ? "damaged in the store"
             : sub->durable ? "retention was faster than group "
                            : "retention was faster than this reader",
             damaged ? "" : sub->group);
}

void td_client_on_gap(struct td_client *c, const struct td_frame *f)
{
    const struct td_client_port *port = &c->options.port;
    struct td_csub *sub = td_client_sub_find(c, f->u.gap.subscription);
    struct td_gap gap = {f->u.gap.events, f->u.gap.reason, f->u.gap.first,
                         f->u.gap.last, NULL};
    char text[320];

    if (sub && sub->durable && gap.events == 0 &&
        td_bytes_equal(gap.reason, td_str_of("full"))) {
        port->status(port->ctx, TIDINGS_GROUP_FULL, TIDINGS_EFULL,
                     "the group is full: no more events come until some are "
                     "settled",
                     sub, 0);
        return;
    }
    if (!is_wanted(sub) || (sub->state == TD_CSUB_ENDING && !sub->wants_rest))
        return; /* nobody wants it any more */
    if (sub->streamed && td_bytes_equal(gap.reason, td_str_of("deleted"))) {
        td_client_sub_over(c, sub);
        return;
    }
    if (!sub->streamed || gap.first == 0 || gap.last < gap.first)
        gap.first = gap.last = 0;
    put_in_words(text, sizeof(text), sub, &gap);
    gap.text = text;
    sub->missed += gap.events;
    c->missed += gap.events;
    if (port->gap)
        port->gap(port->ctx, sub, &gap);
    else
        port->status(port->ctx, TIDINGS_GAP, TIDINGS_EFULL, text, sub,
                     gap.events);
}
