#include "client/publisher.h"

#include <string.h>

void td_publisher_init(struct td_publisher *p)
{
    memset(p, 0, sizeof(*p));
}

void td_publisher_fini(struct td_publisher *p)
{
    while (p->head) {
        struct td_outgoing *next = p->head->next;

        td_outgoing_free(p->head);
        p->head = next;
    }
}

static void append(struct td_publisher *p, struct td_outgoing *out)
{
    out->next = NULL;
    out->prev = p->tail;
    if (p->tail)
        p->tail->next = out;
    else
        p->head = out;
    p->tail = out;
}

void td_publisher_add(struct td_publisher *p, struct td_outgoing *list)
{
    if (list && td_outgoing_first(list) <= p->taken)
        p->taken = td_outgoing_first(list) - 1;
    if (!p->unsent)
        p->unsent = list;
    if (!p->untaken)
        p->untaken = list;
    while (list) {
        struct td_outgoing *next = list->next;

        p->unsent_bytes += list->bytes;
        append(p, list);
        list = next;
    }
}

void td_publisher_sent(struct td_publisher *p)
{
    p->unsent->was_sent = true;
    if (p->unsent->last > p->sent)
        p->sent = p->unsent->last;
    p->unsent_bytes -= p->unsent->bytes;
    p->unsent = p->unsent->next;
}

uint64_t td_publisher_sent_here(const struct td_publisher *p)
{
    const struct td_outgoing *next = p->unsent;

    return !next      ? p->sent
           : next->at ? next->at - 1
                      : td_outgoing_first(next) - 1;
}

/* ---- letting go ---- */

static void let_go(struct td_publisher *p, struct td_outgoing *out)
{
    if (p->unsent == out)
        td_publisher_sent(p); /* taken in an earlier session */
    if (p->near == out)
        p->near = out->next;
    if (out->prev)
        out->prev->next = out->next;
    else
        p->head = out->next;
    if (out->next)
        out->next->prev = out->prev;
    else
        p->tail = out->prev;
    p->done_events += out->events;
    p->done_bytes += out->bytes + TD_OUTGOING_BYTES;
    td_outgoing_free(out);
}

void td_publisher_taken(struct td_publisher *p, uint64_t sequence)
{
    while (p->untaken && p->untaken->last <= sequence) {
        struct td_outgoing *out = p->untaken;

        p->untaken = out->next;
        p->taken = out->last;
        p->taken_events += out->events;
        if (out->left == 0)
            let_go(p, out);
    }
}

struct td_outgoing *td_publisher_find(struct td_publisher *p, uint64_t sequence)
{
    struct td_outgoing *out = p->near ? p->near : p->head;

    while (out && td_outgoing_first(out) > sequence)
        out = out->prev;
    while (out && out->last < sequence)
        out = out->next;
    if (!out || td_outgoing_first(out) > sequence)
        return NULL;
    p->near = out;
    return out;
}

uint32_t td_publisher_tell(struct td_publisher *p, struct td_outgoing *out,
                           struct td_stretch s)
{
    uint32_t fresh = td_outgoing_tell(out, s);

    if (out->left == 0)
        let_go(p, out);
    return fresh;
}

uint32_t td_publisher_give_up(struct td_publisher *p, struct td_outgoing *out)
{
    uint32_t unknown = out->level ? out->left : out->events;

    if (p->untaken == out)
        p->untaken = out->next;
    let_go(p, out);
    return unknown;
}

void td_publisher_begin(struct td_publisher *p, uint64_t taken)
{
    p->sent = p->taken = taken;
}

uint64_t td_publisher_done(const struct td_publisher *p)
{
    return p->head && p->head != p->untaken ? td_outgoing_first(p->head) - 1
                                            : p->taken;
}

void td_publisher_called(struct td_publisher *p, size_t waiters)
{
    p->done_bytes += waiters * TD_WAITER_BYTES;
}

/* ---- again ---- */

uint64_t td_publisher_rewind(struct td_publisher *p)
{
    uint64_t again = 0;
    uint64_t bytes = 0;

    for (struct td_outgoing *out = p->head; out; out = out->next) {
        out->at = 0;
        bytes += out->bytes;
        again += out->was_sent ? td_outgoing_events(out) : 0;
    }
    p->unsent = p->head;
    p->unsent_bytes = bytes;
    return again;
}
