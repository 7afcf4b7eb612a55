/* What handlers have said of deliveries of durable groups, on its way to the
 * broker: PROTOCOL.md 10.2. */
#include "client/session_internal.h"

#include "proto/plural.h"

#include <stdio.h>
#include <utlist.h>

/* ---- what is to be sent ---- */

void td_client_sub_settles(struct td_client *c, struct td_csub *sub,
                           bool settles)
{
    if (sub->settles == settles)
        return;
    sub->settles = settles;
    if (settles)
        DL_APPEND2(c->settles, sub, settles_prev, settles_next);
    else
        DL_DELETE2(c->settles, sub, settles_prev, settles_next);
}

/* Whether the broker has it, and a link it can be told over. */
static bool can_tell(const struct td_csub *sub)
{
    return sub->state == TD_CSUB_LIVE || sub->state == TD_CSUB_ENDING;
}

static void send_later(struct td_client *c, struct td_csub *sub)
{
    if (!can_tell(sub) || !td_settling_has_unsent(&sub->settling))
        return; /* if it is away, when the session is resumed */
    td_client_sub_settles(c, sub, true);
    if (sub->settling.acks >= (sub->window_events + 1) / 2)
        td_client_send_settled(c);
    else if (c->settle_ms == TD_CLIENT_NEVER)
        c->settle_ms = c->now_ms + 1;
}

/* Something was settled: more may be taken by now. */
static void settled(struct td_client *c, struct td_csub *sub)
{
    send_later(c, sub);
    if (sub->taken == sub->settling.taken && !sub->paced)
        return;
    sub->taken = sub->settling.taken;
    sub->taken_bytes = sub->settling.taken_bytes;
    td_client_sub_taken(c, sub);
}

/* Deliveries of it that arrived in this incarnation are still known. */
static bool is_settled_here(const struct td_client *c,
                            const struct td_csub *sub, uint64_t incarnation)
{
    return sub->durable && incarnation == c->incarnation &&
           (sub->state == TD_CSUB_LIVE || sub->state == TD_CSUB_AWAY);
}

/* What cannot be kept is as good as lost: the session ends, and the broker
 * delivers again what was not settled. */
static void give_up(struct td_client *c)
{
    c->broken = true;
    c->resumable = false;
}

tidings_err td_client_settle(struct td_client *c, struct td_csub *sub,
                             uint64_t incarnation, const struct td_settle *how)
{
    tidings_err err;

    if (!is_settled_here(c, sub, incarnation))
        return TIDINGS_ENOTFOUND;
    err = td_settling_settle(&sub->settling, how);
    if (err == TIDINGS_ENOMEM)
        give_up(c);
    if (!err)
        settled(c, sub);
    return err;
}

void td_client_settle_later(struct td_client *c, struct td_csub *sub,
                            uint64_t incarnation, uint64_t first, uint64_t last)
{
    if (!is_settled_here(c, sub, incarnation))
        return;
    td_settling_later(&sub->settling, first, last);
    if (sub->paced)
        td_client_sub_taken(c, sub);
}

void td_client_progress(struct td_client *c, struct td_csub *sub, uint64_t tag)
{
    if (sub->durable && sub->state == TD_CSUB_LIVE &&
        td_settling_progress(&sub->settling, tag))
        send_later(c, sub);
}

void td_client_hold(struct td_client *c, struct td_csub *sub,
                    const struct td_at *at, unsigned at_len)
{
    if (sub->durable && sub->state == TD_CSUB_LIVE &&
        td_settling_hold(&sub->settling, at, at_len))
        send_later(c, sub);
}

void td_client_give_back(struct td_client *c, struct td_csub *sub,
                         uint64_t last, const struct td_at *at, unsigned at_len)
{
    if (!is_settled_here(c, sub, c->incarnation))
        return;
    if (td_settling_give_back(&sub->settling, last, at, at_len)) {
        give_up(c);
        return;
    }
    settled(c, sub);
    if (!can_tell(sub))
        return; /* it is said, and asked, when the session is resumed */
    td_client_send_settled(c);
    td_client_send_ping(c);
}

void td_client_release(struct td_client *c, struct td_csub *sub)
{
    if (!sub->durable || !can_tell(sub))
        return;
    if (td_settling_release_all(&sub->settling))
        give_up(c);
    else
        settled(c, sub);
}

int64_t td_client_due_ms(const struct td_client *c)
{
    int64_t at_ms = c->settle_ms < c->credit_ms ? c->settle_ms : c->credit_ms;
    int64_t due_ms = td_client_requests_due_ms(c);

    if (c->beat_ms < at_ms)
        at_ms = c->beat_ms;
    return due_ms < at_ms ? due_ms : at_ms;
}

/* ---- sending ---- */

void td_client_send_ping(struct td_client *c)
{
    const struct td_frame f = {.op = TD_PING,
                               .u.ping = {.token = ++c->next_request}};

    td_client_send(c, &f, NULL);
}

/* Rows of a subscription, up to so many in all; true: there are more. */
static bool append_rows(struct td_client *c, struct td_csub *sub,
                        uint32_t *rows, bool *asks)
{
    struct td_settle row;

    while (*rows < TD_SETTLE_ROWS_MAX) {
        if (!td_settling_next(&sub->settling, &row, c->next_request + 1))
            return false;
        row.subscription = sub->number;
        td_settle_append(&c->rows, &row);
        *asks = *asks || (row.verb != TD_ACK && row.verb != TD_PROGRESS);
        ++*rows;
    }
    return true;
}

static void send_rows(struct td_client *c, uint32_t rows)
{
    struct td_frame f = {.op = TD_SETTLE};

    td_buf_reset(&c->scratch);
    td_list_begin(&c->scratch, rows);
    td_buf_append(&c->scratch, c->rows.data, c->rows.len);
    if (c->rows.failed)
        c->broken = true; /* it says too little */
    f.u.settle.list = td_client_scratch(c);
    td_client_send_scratch(c, &f);
}

/* What is no ack is kept until it is known to have arrived: so that is asked. */
bool td_client_send_settled(struct td_client *c)
{
    bool any = c->settles != NULL;
    bool asks = false;

    while (c->settles) {
        uint32_t rows = 0;

        td_buf_reset(&c->rows);
        while (c->settles && !append_rows(c, c->settles, &rows, &asks))
            td_client_sub_settles(c, c->settles, false);
        if (rows > 0)
            send_rows(c, rows);
    }
    if (asks)
        td_client_send_ping(c);
    c->settle_ms = TD_CLIENT_NEVER;
    return any;
}

void td_client_settle_again(struct td_client *c)
{
    struct td_csub *sub;
    bool asks = false;

    DL_FOREACH(c->subs, sub)
    {
        if (!sub->durable || !can_tell(sub))
            continue;
        td_settling_again(&sub->settling,
                          sub->pulls ? UINT64_MAX : td_client_window_max(sub),
                          c->next_request + 1);
        td_client_sub_settles(c, sub, td_settling_has_unsent(&sub->settling));
        asks = true;
    }
    td_client_send_settled(c);
    if (asks)
        td_client_send_ping(c);
}

/* ---- what the broker did not believe ---- */

static void tell_stale(struct td_client *c, struct td_csub *sub, uint64_t code,
                       uint64_t events)
{
    const struct td_client_port *port = &c->options.port;
    char text[80];

    if (events == 0)
        return;
    sub->stale += events;
    snprintf(text, sizeof(text), "%llu %s came too late",
             (unsigned long long)events,
             td_plural(events, "settlement", "settlements"));
    port->status(port->ctx, TIDINGS_STALE, (tidings_err)code, text, sub,
                 events);
}

/* Of a subscription that has just ended nobody wants to know. */
static tidings_err on_row(struct td_client *c, const struct td_settled *row)
{
    const struct td_client_port *port = &c->options.port;
    struct td_csub *sub = td_client_sub_find(c, row->subscription);

    if (!sub || !sub->durable || !can_tell(sub))
        return TIDINGS_OK;
    if (row->last > sub->settling.received)
        return td_client_breach(c, "answered what was never settled");
    sub->settling.lost = 0;
    tell_stale(c, sub, row->code,
               td_settling_refused(&sub->settling, row->first, row->last,
                                   row->code == TIDINGS_EEXIST));
    if (sub->settling.lost && port->lost)
        port->lost(port->ctx, sub, sub->settling.lost);
    return TIDINGS_OK;
}

tidings_err td_client_on_settled(struct td_client *c, const struct td_frame *f)
{
    struct td_reader r =
        td_reader_of(f->u.settled.list.data, f->u.settled.list.len);
    tidings_err err = TIDINGS_OK;
    struct td_settled row;
    uint32_t rows;

    if (!td_read_array(&r, &rows))
        return td_client_breach(c, "sent a malformed SETTLED");
    while (!err && rows-- > 0)
        err = td_settled_read(&r, &row)
                  ? on_row(c, &row)
                  : td_client_breach(c, "sent a malformed SETTLED");
    return err;
}
