/* Calling on_confirm: on the dispatcher's thread and without the lock, for
 * each event once, however its bus ends. What was confirmed waits in a list of
 * its own: it must not be dropped as other news may be, and it is bounded,
 * since what was not called still counts as unconfirmed bytes. */
#include "client/bus.h"

#include <stdlib.h>
#include <unistd.h>

/* So many are called before the lock is taken again. */
#define CALLS_MAX 1024u

void td_push_confirmed(struct td_bus *b, struct td_confirmed *confirmed)
{
    *b->confirms_tail = confirmed;
    b->confirms_tail = &confirmed->next;
    td_bus_waits(b);
}

/* Calls at most max of them, those that follow the ones called before. */
static size_t call(struct td_confirmed *of, size_t max)
{
    struct tidings_confirm confirm = {
        .err = of->err,
        .stream = of->stream,
        .level = of->level,
        .duplicate = of->duplicate,
    };
    size_t n = of->len - of->called;
    const struct td_waiter *w = of->waiters + of->called;

    if (n > max)
        n = max;
    for (size_t i = 0; i < n; i++) {
        if (of->err) /* a conflict names the sequence that there is */
            confirm.sequence = of->sequence;
        else if (of->sequence)
            confirm.sequence = of->sequence + (w[i].sequence - of->first);
        w[i].call(w[i].arg, &confirm);
    }
    of->called += n;
    return n;
}

/* Without the lock: at most CALLS_MAX; who was called all is taken off. */
static size_t call_list(struct td_confirmed **head)
{
    size_t n = 0;

    while (*head && n < CALLS_MAX) {
        struct td_confirmed *of = *head;

        n += call(of, CALLS_MAX - n);
        if (of->called < of->len)
            break;
        *head = of->next;
        free(of);
    }
    return n;
}

bool td_call_confirms(struct td_bus *b)
{
    struct td_confirmed *list = b->confirms;
    struct td_confirmed **tail = b->confirms_tail;
    size_t n;

    if (!list)
        return false;
    b->confirms = NULL;
    b->confirms_tail = &b->confirms;
    pthread_mutex_unlock(b->lock);
    n = call_list(&list);
    pthread_mutex_lock(b->lock);
    if (list) { /* the rest, before what has come meanwhile */
        *tail = b->confirms;
        if (!b->confirms)
            b->confirms_tail = tail;
        b->confirms = list;
    }
    td_publisher_called(&b->client.publisher, n);
    td_bus_changed(b);
    return true;
}

/* ---- the end ---- */

static void call_closed(const struct td_waiter *waiters, size_t len)
{
    const struct tidings_confirm confirm = {.err = TIDINGS_ECLOSED,
                                            .stream = ""};

    for (size_t i = 0; i < len; i++) {
        if (waiters[i].call)
            waiters[i].call(waiters[i].arg, &confirm);
    }
}

static void call_all_closed(const struct td_outgoing *out)
{
    for (; out; out = out->next)
        call_closed(out->waiters, out->waiters_len);
}

void td_end_confirms(struct td_bus *b)
{
    const struct td_packer *packer = &b->client.packer;

    while (b->confirms)
        call_list(&b->confirms);
    call_all_closed(b->client.publisher.head);
    call_all_closed(packer->closed);
    call_closed(packer->waiters, packer->waiters_len);
}
