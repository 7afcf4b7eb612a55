#include "client/here.h"

#include "client/bus.h"
#include "client/detail.h"
#include "client/parked.h"
#include "client/view.h"

#include <string.h>
#include <utlist.h>

static _Thread_local struct td_here *innermost;

void td_here_enter(struct td_here *h)
{
    h->detail = td_detail_bytes();
    h->outer = innermost;
    h->parks = false;
    innermost = h;
}

void td_here_leave(struct td_here *h)
{
    innermost = h->outer;
}

struct td_here *td_here_of(const struct tidings_event *event)
{
    struct td_here *h = innermost;

    while (h && (!event || h->event != event))
        h = h->outer;
    return h;
}

/* ---- where it stands ---- */

static void rewind_spans(struct td_spans *s)
{
    s->rest = td_reader_of(s->list.data, s->list.len);
    s->at = s->first;
    s->span = (struct td_span){0};
    if (!td_read_array(&s->rest, &s->left))
        s->left = 0;
}

void td_here_at(struct td_here *h, struct td_bus *b, struct td_bus_sub *sub,
                uint64_t incarnation, uint64_t first, struct td_str spans)
{
    if (h->sub == sub && h->incarnation == incarnation &&
        h->spans.first == first && h->spans.list.data == spans.data)
        return;
    if (h->outcomes && h->incarnation != incarnation)
        h->outcomes->len = 0; /* of a session that is over */
    h->bus = b;
    h->sub = sub;
    h->incarnation = incarnation;
    h->spans.first = first;
    h->spans.list = spans;
    rewind_spans(&h->spans);
}

/* The session has seen that they add up. */
void td_here_span(struct td_here *h, uint64_t *sequence, uint32_t *deliveries)
{
    struct td_spans *s = &h->spans;

    if (h->tag < s->at)
        rewind_spans(s);
    while (h->tag >= s->at + s->span.count && s->left > 0) {
        s->at += s->span.count;
        s->left--;
        if (!td_span_read(&s->rest, &s->span))
            s->left = 0;
    }
    *sequence = s->span.sequence + (h->tag - s->at);
    *deliveries = s->span.deliveries > UINT32_MAX
                      ? UINT32_MAX
                      : (uint32_t)s->span.deliveries;
}

/* ---- handling ---- */

static unsigned verb_of(tidings_err err)
{
    switch (err) {
    case TIDINGS_OK:
        return TD_ACK;
    case TIDINGS_ERELEASE:
        return TD_RELEASE;
    case TIDINGS_ETERM:
        return TD_TERM;
    case TIDINGS_EBREAKER:
        return TD_PARK;
    case TIDINGS_ELATER:
        return TD_OUTCOME_LATER;
    default:
        return TD_NAK;
    }
}

static uint64_t key_of(const struct td_view *view)
{
    return td_parked_hash(tidings_event_attr(&view->event, "partitionkey"));
}

static bool waits_by_key(struct td_bus_sub *sub)
{
    return sub->parked &&
           atomic_load_explicit(&sub->by_key, memory_order_relaxed);
}

/* Not for the handler: it is delivered again anyway, or in its turn. */
static bool is_passed(struct td_here *h, const struct td_view *view, bool keyed)
{
    struct td_bus_sub *sub = h->sub;

    if (atomic_load_explicit(&sub->incarnation, memory_order_relaxed) >
        h->incarnation)
        return true;
    if (!h->parks && h->tag > atomic_load(&sub->given_back) &&
        (!keyed || !sub->parked ||
         !td_parked_holds(sub->parked, key_of(view), h->tag)))
        return false;
    td_outcomes_add(h->outcomes, TD_RELEASE, h->tag, "");
    return true;
}

/* What is to become of it. */
static void note_verb(struct td_here *h, const struct td_view *view,
                      unsigned verb, const char *reason, bool keyed)
{
    if (verb == TD_PARK)
        td_outcomes_park(h->outcomes, h->tag, td_guarded_left_ms(&h->guarded),
                         reason);
    else
        td_outcomes_add(h->outcomes, verb, h->tag, reason);
    h->parks = h->parks || verb == TD_PARK;
    if (keyed && waits_by_key(h->sub) && td_verb_comes_again(verb))
        td_parked_add(h->sub->parked, key_of(view), h->tag);
}

/* The handler did not say that all is well. */
static bool note(struct td_here *h, struct td_call *call,
                 const struct td_view *view, tidings_err err, bool keyed)
{
    char reason[TD_REASON_BYTES_MAX + 1] = "";
    unsigned verb = verb_of(err);
    bool failed = verb == TD_NAK || verb == TD_TERM;

    if (failed || verb == TD_PARK)
        td_reason_take(reason, h->detail); /* before on_status says more */
    if (td_guarded_end(&h->guarded, err) && verb == TD_NAK)
        verb = TD_PARK; /* and the event's failures are not more */
    note_verb(h, view, verb, reason, keyed);
    if (failed)
        td_call_failed(call, h->bus, h->sub, view, err);
    return failed;
}

/* It was not handed over, and goes back. */
static enum td_handled pass(struct td_call *call)
{
    td_call_add(&call->passed, 1);
    td_call_add(&call->returned, 1);
    return TD_HANDLED_NOT;
}

static void note_ack(struct td_here *h)
{
    td_guarded_end(&h->guarded, TIDINGS_OK);
    td_outcomes_add(h->outcomes, TD_ACK, h->tag, "");
}

enum td_handled td_here_handle(struct td_here *h, struct td_call *call,
                               const struct td_view *view, bool keyed)
{
    bool failed = false;
    tidings_err err;

    if (h->outcomes)
        td_call_at(call, h->incarnation, h->tag);
    if (h->outcomes && is_passed(h, view, keyed))
        return pass(call);
    if (td_view_is_expired(view)) { /* settled: nobody is to have it */
        if (h->outcomes)
            td_outcomes_add(h->outcomes, TD_ACK, h->tag, "");
        td_call_expired(call);
        return TD_HANDLED_NOT;
    }
    if (!td_guarded_begin(&h->guarded, h->sub->breaker)) {
        note_verb(h, view, TD_PARK, "", keyed);
        return pass(call);
    }
    h->event = &view->event;
    *h->detail = '\0'; /* what is said of this event is said from here on */
    err = td_call_handler(call, h->sub, view);
    h->event = NULL;
    if (!h->outcomes && err)
        failed = td_call_failed(call, h->bus, h->sub, view, err);
    else if (err)
        failed = note(h, call, view, err, keyed);
    else if (h->outcomes)
        note_ack(h);
    return failed ? TD_HANDLED_BADLY : TD_HANDLED_WELL;
}

void td_here_unreadable(struct td_here *h, struct td_call *call,
                        const struct td_view *view, tidings_err err)
{
    if (h->outcomes)
        td_call_at(call, h->incarnation, h->tag);
    if (h->outcomes && err == TIDINGS_ENOMEM)
        td_outcomes_add(h->outcomes, TD_NAK, h->tag, "no memory to read it");
    else if (h->outcomes)
        td_outcomes_add(h->outcomes, TD_TERM, h->tag, "it cannot be read");
    td_call_unreadable(call, h->bus, h->sub, view, err);
}

/* ---- telling the session ---- */

static void settle_row(struct td_bus *b, struct td_bus_sub *sub,
                       uint64_t incarnation, const struct td_outcome *row)
{
    const struct td_settle how = {.verb = row->verb,
                                  .first = row->first,
                                  .last = row->last,
                                  .delay_ms = row->delay_ms,
                                  .reason = {row->reason, row->reason_len}};
    uint64_t ping = b->client.next_request + 1;

    if (row->verb == TD_OUTCOME_LATER)
        td_client_settle_later(&b->client, sub->csub, incarnation, row->first,
                               row->last);
    else if (!td_client_settle(&b->client, sub->csub, incarnation, &how) &&
             row->verb == TD_PARK)
        sub->parks = true;
    if (sub->parked && row->verb != TD_ACK)
        td_parked_told(sub->parked, row->first, row->last, ping);
}

void td_bus_settle(struct td_bus *b, struct td_bus_sub *sub,
                   uint64_t incarnation, struct td_outcomes *outcomes)
{
    bool failures = false;

    for (uint32_t i = 0; sub->csub && i < outcomes->len; i++) {
        settle_row(b, sub, incarnation, &outcomes->row[i]);
        failures = failures || outcomes->row[i].verb != TD_ACK;
    }
    outcomes->len = 0;
    if (failures) /* others wait for those */
        td_client_send_settled(&b->client);
}

void td_here_park(struct td_bus *b, struct td_bus_sub *sub, uint64_t tag)
{
    const struct td_here *h = innermost;
    const char *key;

    while (h && (h->sub != sub || !h->event || h->tag != tag))
        h = h->outer;
    key = h && waits_by_key(sub) ? tidings_event_attr(h->event, "partitionkey")
                                 : NULL;
    if (!key)
        return;
    td_parked_add(sub->parked, td_parked_hash(key), tag);
    td_parked_told(sub->parked, tag, tag, b->client.next_request + 1);
}

void td_here_flush(struct td_bus *b, struct td_bus_sub *sub)
{
    for (struct td_here *h = innermost; h; h = h->outer) {
        if (h->sub == sub && h->outcomes)
            td_bus_settle(b, sub, h->incarnation, h->outcomes);
    }
}

void td_bus_look_settling(struct td_bus *b, uint64_t pong, uint64_t incarnation)
{
    const struct td_client *c = &b->client;
    struct td_bus_sub *sub;

    if (c->pong == pong && c->incarnation == incarnation)
        return;
    DL_FOREACH(b->subs, sub)
    {
        atomic_store_explicit(&sub->incarnation, c->incarnation,
                              memory_order_relaxed);
        if (c->incarnation != incarnation) {
            atomic_store(&sub->given_back, 0);
            sub->held = 0;
        }
        if (!sub->parked || !sub->csub)
            continue;
        if (c->incarnation != incarnation)
            td_parked_clear(sub->parked);
        else
            td_parked_answered(sub->parked, c->pong, sub->csub->received,
                               sub->csub->taken);
    }
}
