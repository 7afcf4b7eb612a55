#include "client/publisher.h"

#include <string.h>

void td_publisher_init(struct td_publisher *p)
{
    memset(p, 0, sizeof(*p));
    p->tail = &p->head;
}

void td_publisher_fini(struct td_publisher *p)
{
    while (p->head) {
        struct td_outgoing *next = p->head->next;

        td_outgoing_free(p->head);
        p->head = next;
    }
}

void td_publisher_add(struct td_publisher *p, struct td_outgoing *list)
{
    if (!p->unsent)
        p->unsent = list;
    *p->tail = list;
    for (; list; list = list->next) {
        p->unsent_bytes += list->bytes;
        p->tail = &list->next;
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

void td_publisher_taken(struct td_publisher *p, uint64_t sequence)
{
    while (p->head && p->head->last <= sequence) {
        struct td_outgoing *out = p->head;

        if (p->unsent == out)
            td_publisher_sent(p); /* taken in an earlier session */
        p->taken = out->last;
        p->taken_events += out->events;
        p->taken_bytes += out->bytes + TD_OUTGOING_BYTES;
        p->head = out->next;
        if (!p->head)
            p->tail = &p->head;
        td_outgoing_free(out);
    }
}

uint64_t td_publisher_rewind(struct td_publisher *p)
{
    uint64_t again = 0;
    uint64_t bytes = 0;

    p->unsent = p->head;
    for (struct td_outgoing *out = p->head; out; out = out->next) {
        bytes += out->bytes;
        again += out->was_sent ? out->events : 0;
    }
    p->unsent_bytes = bytes;
    return again;
}
