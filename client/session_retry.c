/* What becomes of requests in time, and those that are tried again: only what
 * their askers call idempotent, after a while, and within a budget, so that a
 * service that is down is not hit with more than its callers make of it. */
#include "client/session_internal.h"

#include "proto/limits.h"

/* Whether another attempt may do better. */
static bool is_worth_it(const struct td_request *r,
                        const struct td_response *response)
{
    switch ((int)response->code) {
    case TIDINGS_ELOST:
    case TIDINGS_EFULL:
        return true;
    case TIDINGS_EREMOTE:
        return response->status == TD_STATUS_UNAVAILABLE;
    case TIDINGS_ETIMEDOUT: /* of the attempt: there is a check for time */
        return r->attempt_ms > 0;
    case TIDINGS_ENORESPONDER: /* whoever was there may be back */
        return r->attempts > 1;
    default:
        return false;
    }
}

static int64_t rest_ms(struct td_client *c, const struct td_request *r)
{
    return td_backoff_ms(TD_REQUEST_RETRY_MS, TD_REQUEST_RETRY_MAX_MS,
                         r->attempts, TD_JITTER_HALF, td_client_random(c));
}

static bool pay(struct td_requests *q)
{
    bool paid = td_budget_take(&q->budget);

    if (paid)
        q->info.retries++;
    else
        q->info.retries_cut++;
    return paid;
}

static bool may_again(const struct td_request *r,
                      const struct td_response *response)
{
    return r->idempotent && r->attempts < r->attempts_max &&
           is_worth_it(r, response);
}

bool td_request_again(struct td_client *c, struct td_request *r,
                      const struct td_response *response)
{
    struct td_requests *q = &c->requests;
    int64_t until_ms;

    if (!may_again(r, response))
        return false;
    until_ms = q->now_ms + rest_ms(c, r);
    if (until_ms >= r->deadline_ms || !pay(q))
        return false;
    r->last = response->code;
    td_request_leave(c, r);
    td_request_rest(c, r, until_ms);
    return true;
}

/* ---- in time ---- */

static void attempt_over(struct td_client *c, struct td_request *r)
{
    static const char none[] = "no answer in time: it may have been done, or "
                               "may yet be";
    const struct td_response late = {
        .code = TIDINGS_ETIMEDOUT, .text = td_str_of(none), .own = true};

    if (c->requests.now_ms < r->deadline_ms && td_request_again(c, r, &late))
        return;
    td_request_end(c, r, &late);
}

static void never_sent(struct td_client *c, struct td_request *r)
{
    if (r->attempts == 0)
        td_request_fail(c, r, TIDINGS_EUNREACH,
                        "no broker in time: it was not sent");
    else if (r->last == TIDINGS_ELOST)
        td_request_fail(c, r, TIDINGS_ELOST,
                        "whoever had it was lost, and there was no time to try "
                        "it again: it may have been done");
    else
        td_request_fail(c, r, TIDINGS_ETIMEDOUT,
                        "no time was left to try it again");
}

void td_client_request_due(struct td_client *c, struct td_request *r,
                           int64_t now_ms)
{
    td_requests_at(&c->requests, now_ms);
    if (now_ms < r->due_ms)
        return;
    switch (r->state) {
    case TD_REQUEST_DONE:
        break;
    case TD_REQUEST_UNSENT:
        never_sent(c, r);
        break;
    case TD_REQUEST_SENT:
        attempt_over(c, r);
        break;
    case TD_REQUEST_RESTING:
        td_request_unsent(c, r);
        break;
    }
}

void td_client_requests_tick(struct td_client *c)
{
    struct td_timer *t = td_wheel_take(&c->requests.wheel, c->now_ms);

    while (t) {
        struct td_timer *next = t->next;

        td_client_request_due(c, (struct td_request *)t, c->now_ms);
        t = next;
    }
    if (c->requests.lean_ms <= c->now_ms)
        td_client_send_requests(c, c->now_ms);
}

/* ---- the link ---- */

static void lost(struct td_client *c, struct td_request *r)
{
    static const char gone[] = "the link to the broker was lost: it may have "
                               "been done";

    if (r->idempotent && r->attempts < r->attempts_max &&
        c->requests.now_ms < r->deadline_ms && pay(&c->requests)) {
        r->last = TIDINGS_ELOST;
        td_request_leave(c, r);
        td_request_unsent(c, r); /* it waits for the next link */
        return;
    }
    td_request_fail(c, r, TIDINGS_ELOST, gone);
}

void td_client_requests_lost(struct td_client *c)
{
    struct td_requests *q = &c->requests;

    td_requests_at(q, c->now_ms);
    for (uint32_t i = 0; i < q->slots_len && q->sent > 0; i++) {
        struct td_request *r = q->slots[i].request;

        if (r && r->state == TD_REQUEST_SENT)
            lost(c, r);
    }
}

void td_client_end_requests(struct td_client *c, tidings_err err,
                            const char *text)
{
    struct td_requests *q = &c->requests;

    for (uint32_t i = 0; i < q->slots_len && q->info.in_flight > 0; i++) {
        if (q->slots[i].request)
            td_request_fail(c, q->slots[i].request, err, text);
    }
}
