/* Handing events to handlers: one message at a time, event by event, without
 * the lock; credit goes back when the handlers are done. */
#include "client/bus.h"

#include "client/handle.h"
#include "proto/id.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Handlers run for so long before credit is returned for what they did. */
#define SECTION_MS    20
#define SECTION_CHECK 16u /* events between looks at the clock */

/* ---- notices ---- */

bool td_in_handler(const struct td_bus *b)
{
    return b->dispatching && pthread_equal(b->dispatcher, pthread_self());
}

bool td_has_notices(const struct td_bus *b)
{
    return b->notices || b->cursor->notice;
}

void td_push_notice(struct td_bus *b, struct td_notice *n)
{
    const uint64_t one = 1;

    n->next = NULL;
    *b->notices_tail = n;
    b->notices_tail = &n->next;
    if (b->dispatch_fd >= 0 && write(b->dispatch_fd, &one, sizeof(one)) < 0)
        return; /* the counter is full: readable all the same */
}

static struct td_notice *pop_notice(struct td_bus *b)
{
    struct td_notice *n = b->notices;

    if (!n)
        return NULL;
    b->notices = n->next;
    if (!b->notices)
        b->notices_tail = &b->notices;
    return n;
}

static void notice_free(struct td_notice *n)
{
    if (!n)
        return;
    td_message_free(n->message);
    free(n);
}

void td_notices_free(struct td_bus *b)
{
    struct td_notice *n;

    while ((n = pop_notice(b)))
        notice_free(n);
}

void td_cursor_free(struct td_cursor *cursor)
{
    if (!cursor)
        return;
    notice_free(cursor->notice);
    td_buf_fini(&cursor->scratch.strings);
    free(cursor);
}

/* ---- walking a delivery ---- */

static void copy_text(char *to, struct td_str from)
{
    memcpy(to, from.data, from.len);
    to[from.len] = '\0';
}

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
        copy_text(cur->source, batch->source);
    copy_text(cur->type, run->type);
    td_id_format(cur->id, (const uint8_t *)batch->producer.data, run->first);
    cur->event = 0;
    cur->p = cur->end;
    cur->end += run->bytes;
}

static tidings_err enter(struct td_cursor *cur, struct td_notice *n)
{
    const struct td_body *body = n->message->body;
    const char *why;
    tidings_err err =
        td_batches_read(&cur->batches, n->batches, body->len, &why);

    if (err)
        return err;
    cur->notice = n;
    cur->batch = cur->run = 0;
    cur->end = body->data;
    memset(&cur->view, 0, sizeof(cur->view));
    cur->has_attrs = false;
    enter_run(cur);
    return TIDINGS_OK;
}

/* Moves to the next event's place; false: there is none. */
static bool advance(struct td_cursor *cur)
{
    if (++cur->event < run_of(cur)->count) {
        td_id_increment(cur->id);
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

/* Opens the event at the cursor; false: it cannot be read. */
static bool open_event(struct td_cursor *cur)
{
    struct tidings_event *view = &cur->view;
    struct td_event event;

    if (!td_event_open(&event, &cur->p, cur->end))
        return false;
    if (cur->has_attrs || event.attrs.len) /* also fields like subject */
        memset(view, 0, sizeof(*view));
    cur->has_attrs = event.attrs.len > 0;
    view->type = cur->type;
    view->id = cur->id;
    view->source = cur->source;
    view->time_us = (int64_t)((uint64_t)cur->batches.batch[cur->batch].base_us +
                              (uint64_t)event.dt_us); /* defined, if hostile */
    view->data = event.data.data;
    view->data_len = event.data.len;
    if (!td_event_is_time(view->time_us))
        return false;
    return event.attrs.len == 0 ||
           td_event_decode(view, &cur->scratch, event.attrs) == TIDINGS_OK;
}

/* ---- telling ---- */

static void tell(struct td_bus *b, const struct tidings_status *status)
{
    if (b->on_status)
        b->on_status(b->on_status_arg, status);
}

static void tell_event(struct td_bus *b, enum tidings_status_kind kind,
                       tidings_err err, const char *text, uint32_t sub)
{
    const struct tidings_status status = {
        .kind = kind,
        .err = err,
        .text = text,
        .sub = td_handle_sub(b->handle, sub),
        .count = 1,
        .event_type = b->cursor->type,
        .event_id = b->cursor->view.id ? b->cursor->view.id : b->cursor->id,
    };

    tell(b, &status);
}

static void tell_notice(struct td_bus *b, const struct td_notice *n)
{
    const struct tidings_status status = {
        .kind = n->kind,
        .err = n->err,
        .text = n->text,
        .sub = n->sub ? td_handle_sub(b->handle, n->sub) : NULL,
        .count = n->count,
    };

    tell(b, &status);
}

/* ---- calling ---- */

struct section {
    size_t calls;    /* events handed to the handler */
    size_t failed;   /* of those */
    uint64_t events; /* passed, whether handed over or not */
    uint64_t bytes;
    bool over; /* the delivery is */
};

static void call_one(struct td_bus *b, struct td_bus_sub *sub,
                     struct section *s)
{
    tidings_err err;

    if (!open_event(b->cursor)) {
        b->cursor->view.id = NULL;
        tell_event(b, TIDINGS_BAD_EVENT, TIDINGS_EPROTO,
                   "event cannot be read: skipped", sub->number);
        return;
    }
    err = sub->handler(sub->arg, &b->cursor->view);
    s->calls++;
    if (err) {
        s->failed++;
        tell_event(b, TIDINGS_HANDLER_FAILED, err, tidings_err_text(err),
                   sub->number);
    }
}

/* Without the lock. */
static void run_section(struct td_bus *b, struct td_bus_sub *sub, size_t max,
                        struct section *s)
{
    struct td_cursor *cur = b->cursor;
    int64_t end_ms = td_now_ms() + SECTION_MS;

    while (s->calls < max && !s->over) {
        const uint8_t *from = cur->p;
        const uint8_t *end = cur->end;
        bool last;

        if (atomic_load_explicit(&sub->ended, memory_order_acquire)) {
            s->over = true;
            return;
        }
        call_one(b, sub, s);
        s->events++;
        last = cur->event + 1 == run_of(cur)->count;
        s->bytes += (uint64_t)((last ? end : cur->p) - from);
        s->over = !advance(cur);
        if (s->events % SECTION_CHECK == 0 && td_now_ms() >= end_ms)
            return;
    }
}

/* Without the lock: begins with a delivery, and goes on with it. */
static tidings_err run(struct td_bus *b, struct td_notice *n,
                       struct td_bus_sub *sub, size_t max, struct section *s)
{
    tidings_err err = TIDINGS_OK;

    if (!b->cursor->notice)
        err = enter(b->cursor, n);
    if (!err)
        run_section(b, sub, max, s);
    return err;
}

/* The delivery is over; what is left of it is not handled any more. */
static void leave(struct td_bus *b, struct td_notice *n)
{
    b->waiting_events -= n->events;
    b->cursor->notice = NULL;
    notice_free(n);
}

/* With the lock, which is let go while handlers run. */
static size_t deliver(struct td_bus *b, struct td_notice *n, size_t max)
{
    struct td_bus_sub *sub = td_bus_sub_find(b, n->sub);
    struct section s = {0};
    tidings_err err;

    if (!sub || atomic_load(&sub->ended)) {
        leave(b, n);
        return 0;
    }
    sub->refs++;
    b->running = sub;
    pthread_mutex_unlock(b->lock);
    err = run(b, n, sub, max, &s);
    pthread_mutex_lock(b->lock);
    b->running = NULL;
    b->delivered += s.calls;
    b->failed += s.failed;
    n->events -= s.events;
    b->waiting_events -= s.events;
    if (err) /* whoever sent this breaks the rules everywhere */
        td_client_break(&b->client, "the broker sent a malformed batch");
    else if (sub->csub)
        td_client_handled(&b->client, sub->csub, n->session, s.events, s.bytes);
    td_bus_sub_unref(sub);
    if (err || s.over)
        leave(b, n);
    td_bus_touched(b);
    td_bus_changed(b);
    return s.calls;
}

static void tell_now(struct td_bus *b, struct td_notice *n)
{
    pthread_mutex_unlock(b->lock);
    tell_notice(b, n);
    pthread_mutex_lock(b->lock);
    notice_free(n);
}

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
    while (n < max && !b->stop && td_has_notices(b)) {
        struct td_notice *next =
            b->cursor->notice ? b->cursor->notice : pop_notice(b);

        if (next->message)
            n += deliver(b, next, max - n);
        else
            tell_now(b, next);
    }
    b->dispatching = false;
    clear_dispatch_fd(b);
    td_bus_changed(b);
    return n;
}
