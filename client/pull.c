#include "client/pull.h"

#include "client/bus.h"

#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

struct td_pull *td_pull_new(void)
{
    return calloc(1, sizeof(struct td_pull));
}

void td_pull_free(struct td_pull *pull)
{
    struct td_job *job;
    struct td_job *next;

    if (!pull)
        return;
    DL_FOREACH_SAFE(pull->jobs, job, next)
    {
        td_job_free(job);
    }
    td_view_fini(&pull->view);
    free(pull);
}

/* ---- what arrives ---- */

bool td_pull_push(struct td_bus *b, struct td_bus_sub *sub,
                  struct td_message *m, const struct td_delivery *d)
{
    struct td_pull *pull = sub->pull;
    struct td_job *job;
    tidings_err err = td_job_new(&job, sub, m, d, false, &pull->tables);

    if (err == TIDINGS_ENOMEM)
        return false;
    if (err) { /* whoever sent this breaks the rules everywhere */
        td_client_break(&b->client, "the broker sent a malformed batch");
        return true;
    }
    job->incarnation = b->client.incarnation;
    sub->arrived += job->left;
    b->waiting_events += job->left;
    pull->events += job->left;
    DL_APPEND(pull->jobs, job);
    return true;
}

void td_pull_ask(struct td_bus *b, struct td_bus_sub *sub)
{
    const struct td_pull *pull = sub->pull;

    if (sub->csub)
        td_client_want(&b->client, sub->csub,
                       pull->asked > pull->events ? pull->asked - pull->events
                                                  : 0);
    td_bus_touched(b);
}

/* ---- what is fetched ---- */

/* So many events of a job do not wait any more. */
static void gone(struct td_bus *b, struct td_bus_sub *sub, struct td_job *job,
                 uint64_t events)
{
    job->left -= events;
    sub->pull->events -= events;
    b->waiting_events -= events;
}

static void drop_job(struct td_bus *b, struct td_bus_sub *sub,
                     struct td_job *job)
{
    sub->arrived -= job->left;
    gone(b, sub, job, job->left);
    DL_DELETE(sub->pull->jobs, job);
    sub->pull->run = NULL;
    sub->pull->here.sub = NULL; /* nothing of another's is of use */
    td_job_free(job);
}

/* The first with something to fetch; NULL: none. What a durable group delivered
 * in a session that is over is delivered again. */
static struct td_job *first_job(struct td_bus *b, struct td_bus_sub *sub)
{
    struct td_job *job;

    while ((job = sub->pull->jobs) && sub->durable &&
           job->incarnation != b->client.incarnation)
        drop_job(b, sub, job);
    return job;
}

static void set_view(struct td_pull *pull, const struct td_piece *piece)
{
    const struct td_job_run *run = piece->run;

    if (pull->run != run) {
        td_view_batch(&pull->view, run->source, run->base_us);
        td_view_run(&pull->view, run->type, run->flags);
        pull->run = run;
    }
    td_view_at(&pull->view, run->producer, piece->first);
}

/* The event at hand is settled without being handed out. */
static void refuse(struct td_bus *b, struct td_bus_sub *sub,
                   const struct td_piece *piece, tidings_err err)
{
    const struct td_client_port *port = &b->client.options.port;
    bool lean = err == TIDINGS_ENOMEM;
    const struct td_settle how = {
        .verb = lean ? TD_NAK : TD_TERM,
        .first = piece->tag,
        .last = piece->tag + piece->count - 1,
        .reason =
            td_str_of(lean ? "no memory to read it" : "it cannot be read"),
    };
    char text[TD_NOTICE_TEXT_MAX + 1];

    snprintf(text, sizeof(text), "%.40s %s: %s", sub->pull->view.type,
             sub->pull->view.id,
             lean ? "no memory to read it: skipped"
                  : "it cannot be read: skipped");
    if (sub->durable)
        td_client_settle(&b->client, sub->csub, piece->job->incarnation, &how);
    td_call_add(&sub->call.unreadable, piece->count);
    port->status(port->ctx, TIDINGS_BAD_EVENT, err, text, sub->csub,
                 piece->count);
}

/* It came too late: nobody is to have it. */
static void pass_over(struct td_bus *b, struct td_bus_sub *sub,
                      const struct td_piece *piece)
{
    const struct td_settle done = {.verb = TD_ACK,
                                   .first = piece->tag,
                                   .last = piece->tag,
                                   .reason = td_str_of("")};

    if (sub->durable)
        td_client_settle(&b->client, sub->csub, piece->job->incarnation, &done);
    td_call_expired(&sub->call);
}

static void place(struct td_bus *b, struct td_bus_sub *sub,
                  const struct td_piece *piece, struct tidings_delivery *out)
{
    struct td_here *here = &sub->pull->here;
    const struct td_job *job = piece->job;

    td_here_at(here, b, sub, job->incarnation, job->tag, job->spans);
    here->tag = piece->tag;
    out->sub = td_bus_sub_handle(b, sub);
    out->tag = piece->tag;
    out->incarnation = job->incarnation;
    td_here_span(here, &out->sequence, &out->deliveries);
}

/* One event, or some that none of can be read. */
static bool take_piece(struct td_bus *b, struct td_bus_sub *sub,
                       const struct td_piece *piece,
                       struct tidings_fetched *out)
{
    struct td_pull *pull = sub->pull;
    const uint8_t *p = piece->p;
    tidings_err err;

    if (piece->tag + piece->count - 1 <= atomic_load(&sub->given_back)) {
        td_call_add(&sub->call.passed, piece->count);
        td_call_add(&sub->call.returned, piece->count);
        return false;
    }
    set_view(pull, piece);
    err = td_view_open(&pull->view, &p, piece->end);
    if (!err && piece->count > 1)
        err = TIDINGS_EPROTO;
    if (!err && td_view_is_expired(&pull->view)) {
        pass_over(b, sub, piece);
        return false;
    }
    if (!err)
        err = tidings_event_copy(&out->event, &pull->view.event);
    td_call_add(&sub->call.passed, piece->count);
    if (err) {
        refuse(b, sub, piece, err);
        return false;
    }
    place(b, sub, piece, &out->delivery);
    if (sub->durable)
        td_client_settle_later(&b->client, sub->csub, piece->job->incarnation,
                               piece->tag, piece->tag);
    b->delivered++;
    return true;
}

size_t td_pull_take(struct td_bus *b, struct td_bus_sub *sub,
                    struct tidings_fetched *out, size_t max)
{
    struct td_piece piece;
    struct td_job *job;
    size_t n = 0;

    sub->pull->steps++;
    while (n < max && (job = first_job(b, sub)) && td_job_cut(job, 1, &piece)) {
        n += take_piece(b, sub, &piece, &out[n]);
        gone(b, sub, job, piece.count);
        if (!sub->durable)
            td_client_handled(&b->client, sub->csub, job->incarnation,
                              piece.count, (uint64_t)(piece.end - piece.p));
        if (job->left == 0)
            drop_job(b, sub, job);
    }
    return n;
}

void td_pull_drop(struct td_bus *b, struct td_bus_sub *sub)
{
    while (sub->pull && sub->pull->jobs)
        drop_job(b, sub, sub->pull->jobs);
}
