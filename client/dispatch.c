/* Handing events to handlers: one message at a time, event by event, without
 * the lock; credit goes back when the handlers are done. */
#include "client/asked.h"
#include "client/drive.h"
#include "client/here.h"
#include "client/view.h"
#include "proto/plural.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Handlers run for so long before credit is returned for what they did. */
#define SECTION_MS 20

/* Where the dispatcher is in a delivery; its thread's alone. */
struct td_cursor {
    struct td_notice *notice; /* NULL: in none */
    struct td_batches batches;
    uint32_t batch;
    uint32_t run;       /* in that batch */
    uint32_t event;     /* in that run */
    uint32_t seen;      /* events from here on that were given before */
    const uint8_t *p;   /* the next event */
    const uint8_t *end; /* of its run */
    struct td_view view;
    struct td_here here; /* of a stream's delivery; tag: of the next event */
    struct td_outcomes outcomes;
};

struct td_cursor *td_cursor_new(void)
{
    return calloc(1, sizeof(struct td_cursor));
}

void td_cursor_free(struct td_cursor *cursor)
{
    if (!cursor)
        return;
    td_notice_free(cursor->notice);
    td_view_fini(&cursor->view);
    free(cursor);
}

/* ---- notices ---- */

bool td_has_notices(const struct td_bus *b)
{
    return td_notices_any(&b->notices) || b->cursor->notice || b->confirms ||
           b->replies || td_bus_services_have_work(b);
}

void td_notice_free(struct td_notice *n)
{
    if (!n)
        return;
    if (n->message)
        td_message_unref(n->message);
    td_bus_sub_unref(n->sub);
    free(n);
}

void td_bus_waits(struct td_bus *b)
{
    const uint64_t one = 1;

    if (b->dispatch_fd >= 0 && write(b->dispatch_fd, &one, sizeof(one)) < 0)
        return; /* the counter is full: readable all the same */
}

void td_push_notice(struct td_bus *b, struct td_notice *n)
{
    td_notice_free(td_notices_push(&b->notices, n));
    td_bus_waits(b);
}

/* ---- walking a delivery ---- */

static const struct td_run *run_of(const struct td_cursor *cur)
{
    return &cur->batches.batch[cur->batch].runs[cur->run];
}

/* Each run is read within its own bytes: one that lies about its events
 * harms no other. */
static void enter_run(struct td_cursor *cur)
{
    const struct td_batch *batch = &cur->batches.batch[cur->batch];
    const struct td_run *run = run_of(cur);

    if (cur->run == 0)
        td_view_batch(&cur->view, batch->source, batch->base_us);
    td_view_run(&cur->view, run->type, run->flags);
    td_view_at(&cur->view, batch->producer.data, run->first);
    cur->event = 0;
    cur->seen =
        (uint32_t)td_bus_sub_seen(cur->notice->sub, batch->producer, run);
    cur->p = cur->end;
    cur->end += run->bytes;
}

static tidings_err enter(struct td_bus *b, struct td_notice *n)
{
    struct td_cursor *cur = b->cursor;
    const char *why;
    tidings_err err =
        td_batches_read(&cur->batches, n->batches, n->body.len, &why);

    if (err)
        return err;
    if (n->sub->streamed) {
        cur->here.sub = NULL; /* nothing of another's is of use */
        td_here_at(&cur->here, b, n->sub, n->incarnation, n->tag, n->spans);
        cur->here.tag = n->tag;
        cur->here.outcomes = n->sub->durable ? &cur->outcomes : NULL;
    }
    cur->notice = n;
    cur->batch = cur->run = 0;
    cur->end = (const uint8_t *)n->body.data;
    enter_run(cur);
    return TIDINGS_OK;
}

/* Moves over so many events of the run, to the next one's place; false: there
 * is none. */
static bool advance(struct td_cursor *cur, uint32_t events)
{
    cur->event += events;
    if (cur->event < run_of(cur)->count) {
        if (events == 1)
            td_view_next(&cur->view);
        else
            td_view_at(&cur->view, cur->batches.batch[cur->batch].producer.data,
                       run_of(cur)->first + cur->event);
        return true;
    }
    if (++cur->run == cur->batches.batch[cur->batch].runs_len) {
        cur->run = 0;
        if (++cur->batch == cur->batches.len)
            return false;
    }
    enter_run(cur);
    return true;
}

/* ---- calling ---- */

struct section {
    size_t calls;    /* events handed to the handler */
    size_t failed;   /* of those */
    uint64_t events; /* passed, whether handed over or not */
    uint64_t bytes;
    bool over; /* the delivery is */
};

/* Those that were given before are not given again. */
static uint32_t pass_seen(struct td_cursor *cur, struct td_bus_sub *sub)
{
    uint32_t events = cur->seen;

    cur->seen = 0;
    cur->p = td_events_skip(cur->p, cur->end, events);
    if (!cur->p)
        cur->p = cur->end; /* they are not whole, nor are those after them */
    td_call_add(&sub->call.passed, events);
    td_call_add(&sub->call.duplicates, events);
    return events;
}

static uint32_t pass_streamed(struct td_bus *b, struct td_bus_sub *sub,
                              struct section *s, tidings_err err)
{
    struct td_cursor *cur = b->cursor;
    enum td_handled handled = TD_HANDLED_NOT;

    if (err)
        td_here_unreadable(&cur->here, &sub->call, &cur->view, err);
    else
        handled = td_here_handle(&cur->here, &sub->call, &cur->view,
                                 (run_of(cur)->flags & TD_RUN_KEY) != 0);
    cur->here.tag++;
    s->calls += handled != TD_HANDLED_NOT;
    s->failed += handled == TD_HANDLED_BADLY;
    return 1;
}

static uint32_t pass_one(struct td_bus *b, struct td_bus_sub *sub,
                         struct section *s)
{
    struct td_cursor *cur = b->cursor;
    tidings_err err = td_view_open(&cur->view, &cur->p, cur->end);

    if (sub->streamed)
        return pass_streamed(b, sub, s, err);
    if (err) {
        td_call_unreadable(&sub->call, b, sub, &cur->view, err);
        return 1;
    }
    if (td_view_is_expired(&cur->view)) {
        td_call_expired(&sub->call);
        return 1;
    }
    s->calls++;
    err = td_call_handler(&sub->call, sub, &cur->view);
    if (err)
        s->failed += td_call_failed(&sub->call, b, sub, &cur->view, err);
    return 1;
}

/* Without the lock. */
static void run_section(struct td_bus *b, struct td_bus_sub *sub, size_t max,
                        struct section *s)
{
    struct td_cursor *cur = b->cursor;
    int64_t end_us;

    td_call_begin(&sub->call);
    end_us = sub->call.now_us + SECTION_MS * 1000;
    while (s->calls < max && !s->over && sub->call.now_us < end_us &&
           td_outcomes_room(&cur->outcomes, 1)) {
        const uint8_t *from = cur->p;
        const uint8_t *end = cur->end;
        uint32_t events;
        bool last;

        if (atomic_load_explicit(&sub->ended, memory_order_acquire)) {
            s->over = true;
            break;
        }
        events = cur->seen ? pass_seen(cur, sub) : pass_one(b, sub, s);
        s->events += events;
        last = cur->event + events == run_of(cur)->count;
        s->bytes += (uint64_t)((last ? end : cur->p) - from);
        s->over = !advance(cur, events);
    }
    td_call_end(&sub->call, sub);
}

/* Without the lock: begins with a delivery, and goes on with it. */
static tidings_err run(struct td_bus *b, struct td_notice *n, size_t max,
                       struct section *s)
{
    tidings_err err = TIDINGS_OK;

    if (!b->cursor->notice)
        err = enter(b, n);
    if (err)
        return err;
    td_here_enter(&b->cursor->here);
    run_section(b, n->sub, max, s);
    td_here_leave(&b->cursor->here);
    return TIDINGS_OK;
}

/* The delivery is over; what is left of it is not handled any more. */
static void leave(struct td_bus *b, struct td_notice *n)
{
    b->waiting_events -= n->events;
    n->sub->arrived -= n->events;
    b->cursor->notice = NULL;
    td_notice_free(n);
}

/* From here to done() handlers run, without the lock. */
static void begin(struct td_bus *b, struct td_bus_sub *sub)
{
    b->running = sub;
    if (sub->timeout_ms)
        td_bus_keep(b, td_now_ms() + sub->timeout_ms);
    pthread_mutex_unlock(b->lock);
}

static void done(struct td_bus *b)
{
    pthread_mutex_lock(b->lock);
    td_call_settled(&b->running->call); /* it is, before the lock is let go */
    b->running = NULL;
    b->steps++;
}

/* Of a durable group, in a session that is over: it is delivered again. */
static bool is_void(const struct td_bus *b, const struct td_notice *n)
{
    return n->sub->durable && n->incarnation != b->client.incarnation;
}

/* Handlers that take their time are not to wait for more to come together. */
static void settle(struct td_bus *b, struct td_notice *n)
{
    int64_t now_us = n->sub->call.now_us;

    td_bus_settle(b, n->sub, n->incarnation, &b->cursor->outcomes);
    td_give_back_parked(b, n->sub);
    if (n->sub->csub)
        td_client_pace(&b->client, n->sub->csub, now_us / 1000);
    if (now_us - b->settled_us < SECTION_MS * 1000)
        return;
    b->settled_us = now_us;
    td_client_send_settled(&b->client);
}

/* With the lock, which is let go while handlers run. */
static size_t deliver(struct td_bus *b, struct td_notice *n, size_t max)
{
    struct td_bus_sub *sub = n->sub;
    struct section s = {0};
    tidings_err err;

    if (atomic_load(&sub->ended) || is_void(b, n)) {
        leave(b, n);
        return 0;
    }
    begin(b, sub);
    err = run(b, n, max, &s);
    done(b);
    b->delivered += s.calls;
    b->failed += s.failed;
    n->events -= s.events;
    b->waiting_events -= s.events;
    if (err) /* whoever sent this breaks the rules everywhere */
        td_client_break(&b->client, "the broker sent a malformed batch");
    else if (sub->durable)
        settle(b, n);
    else if (sub->csub)
        td_client_handled(&b->client, sub->csub, n->incarnation, s.events,
                          s.bytes);
    if (err || s.over)
        leave(b, n);
    td_bus_touched(b);
    td_bus_changed(b);
    return s.calls;
}

/* ---- news ---- */

static void call_on_gap(struct td_bus *b, struct td_notice *n)
{
    struct td_bus_sub *sub = n->sub;
    const struct tidings_gap gap = {n->count, n->text, n->first, n->last};

    if (!atomic_load(&sub->ended)) {
        begin(b, sub);
        sub->on_gap(sub->arg, &gap);
        done(b);
    }
    td_notice_free(n);
    td_bus_changed(b);
}

/* Says first what could not be kept. */
static const char *text_of(struct td_bus *b, const struct td_notice *n,
                           char *buffer, size_t size)
{
    if (b->notices.lost == 0)
        return n->text;
    snprintf(buffer, size, "(%llu %s before this one %s dropped) %s",
             (unsigned long long)b->notices.lost,
             td_plural(b->notices.lost, "notice", "notices"),
             td_plural(b->notices.lost, "was", "were"), n->text);
    b->notices.lost = 0;
    return buffer;
}

static void call_on_status(struct td_bus *b, struct td_notice *n)
{
    char buffer[TD_NOTICE_TEXT_MAX + 1 + 64];
    const struct tidings_status status = {
        .kind = n->kind,
        .err = n->err,
        .text = text_of(b, n, buffer, sizeof(buffer)),
        .sub = td_bus_sub_handle(b, n->sub),
        .count = n->count,
        .first = n->first,
        .last = n->last,
    };

    pthread_mutex_unlock(b->lock);
    td_tell(b, NULL, &status);
    pthread_mutex_lock(b->lock);
    td_notice_free(n);
}

/* ---- all of it ---- */

static void clear_dispatch_fd(struct td_bus *b)
{
    uint64_t count;

    if (b->dispatch_fd >= 0 && !td_has_notices(b) &&
        read(b->dispatch_fd, &count, sizeof(count)) < 0)
        return; /* it was clear */
}

size_t td_dispatch(struct td_bus *b, size_t max)
{
    size_t n = 0;

    b->dispatching = true;
    b->dispatcher = pthread_self();
    td_bus_hand_over(b);
    if (b->services.list) { /* what arrives meanwhile: its deadline runs */
        b->dispatched = true;
        td_bus_keep(b, td_now_ms() + TD_AWAY_MS);
    }
    while (n < max && !b->stop && td_has_notices(b)) {
        struct td_notice *next;

        if (td_call_confirms(b))
            continue;
        n += td_call_replies(b, max - n);
        if (n < max && !b->stop && td_bus_services_have_work(b))
            n += td_bus_services_dispatch(b, max - n);
        if (n == max || b->stop)
            break;
        next =
            b->cursor->notice ? b->cursor->notice : td_notices_pop(&b->notices);
        if (!next)
            continue;
        if (next->what == TD_NOTICE_EVENTS)
            n += deliver(b, next, max - n);
        else if (next->what == TD_NOTICE_GAP)
            call_on_gap(b, next);
        else
            call_on_status(b, next);
    }
    b->dispatching = false;
    if (b->own_loop && !td_has_notices(b) && td_client_send_settled(&b->client))
        td_bus_touched(b); /* else when the link has been read */
    clear_dispatch_fd(b);
    td_bus_changed(b);
    return n;
}
