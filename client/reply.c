/* Calling on_reply: on the dispatcher's thread and without the lock, for each
 * request once, however its bus ends. What is answered waits in a list of its
 * own, as confirms do: it is bounded, since it still counts among the requests
 * that a bus may have. */
#include "client/asked.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/bus.h"

/* So long, or so many, are called before the lock is taken again, and what
 * they have asked for is sent. */
#define SECTION_US 1000
#define CALLS_MAX  256u

/* ---- an answer, as its asker sees it ---- */

static void copy_text(char *to, size_t size, struct td_str from)
{
    size_t len = from.len < size ? from.len : size - 1;

    if (len > 0)
        memcpy(to, from.data, len);
    to[len] = '\0';
}

void td_reply_view(struct tidings_reply *out, struct td_reply_text *text,
                   const struct td_response *response, unsigned attempts)
{
    bool has_text = response->text.len > 0 || !response->code ||
                    response->code == TIDINGS_EREMOTE;

    copy_text(text->text, sizeof(text->text), response->text);
    copy_text(text->instance, sizeof(text->instance), response->instance);
    *out = (struct tidings_reply){
        .err = response->code,
        .status = response->status,
        .text = has_text ? text->text : tidings_err_text(response->code),
        .data = response->data.len > 0 ? response->data.data : NULL,
        .len = response->data.len,
        .instance = text->instance,
        .attempts = attempts,
        .left = response->left,
    };
}

/* ---- those that are called ---- */

static void push(struct td_bus *b, struct td_asked *a)
{
    const uint64_t one = 1;
    bool first = !b->replies;

    a->next = NULL;
    *b->replies_tail = a;
    b->replies_tail = &a->next;
    b->client.requests.uncalled++;
    if (first && b->dispatch_fd >= 0 &&
        write(b->dispatch_fd, &one, sizeof(one)) < 0)
        return; /* the counter is full: readable all the same */
}

static void call(struct td_asked *a)
{
    struct tidings_reply reply;
    struct td_reply_text text;

    td_reply_view(&reply, &text, &a->response, a->request.attempts);
    a->on_reply(a->arg, &reply);
    td_message_unref(a->message);
    free(a);
}

/* Without the lock; returns how many, and what they kept. */
static size_t call_list(struct td_asked **list, size_t max, size_t *kept)
{
    int64_t end_us = td_now_us() + SECTION_US;
    size_t n = 0;

    *kept = 0;
    while (*list && n < max && (n % 16 != 15 || td_now_us() < end_us)) {
        struct td_asked *a = *list;

        *list = a->next;
        *kept += a->kept;
        call(a);
        n++;
    }
    return n;
}

size_t td_call_replies(struct td_bus *b, size_t max)
{
    struct td_asked *list = b->replies;
    struct td_asked **tail = b->replies_tail;
    struct td_requests *q = &b->client.requests;
    size_t kept;
    size_t n;

    if (!list)
        return 0;
    b->replies = NULL;
    b->replies_tail = &b->replies;
    q->gathering = true;
    pthread_mutex_unlock(b->lock);
    n = call_list(&list, max < CALLS_MAX ? max : CALLS_MAX, &kept);
    pthread_mutex_lock(b->lock);
    q->gathering = false;
    if (list) { /* the rest, before what has come meanwhile */
        *tail = b->replies;
        if (!b->replies)
            b->replies_tail = tail;
        b->replies = list;
    }
    q->uncalled -= n;
    q->kept -= kept;
    if (q->unsent)
        td_client_send_requests(&b->client, td_now_ms());
    td_bus_touched(b);
    td_bus_changed(b);
    return n;
}

void td_end_replies(struct td_bus *b)
{
    static const char closed[] = "the bus was closed";
    struct td_request *r;
    uint32_t from = 0;
    size_t unused;

    while (b->replies)
        call_list(&b->replies, SIZE_MAX, &unused);
    while ((r = td_client_take_request(&b->client, &from))) {
        struct td_asked *a = (struct td_asked *)r;

        a->response = (struct td_response){.code = TIDINGS_ECLOSED,
                                           .text = td_str_of(closed)};
        call(a);
    }
}

/* ---- the session has an answer ---- */

static char *copy(char *to, struct td_str *from)
{
    if (from->len > 0)
        memcpy(to, from->data, from->len);
    from->data = to;
    return to + from->len;
}

static void hear(struct td_bus *b, struct td_asked *a,
                 const struct td_response *response)
{
    size_t len =
        response->text.len + response->instance.len + response->data.len;
    struct td_heard *h = malloc(sizeof(*h) + len);

    if (!h) {
        a->deaf = true;
        return;
    }
    h->next = NULL;
    h->response = *response;
    h->len = len;
    copy(copy(copy(h->bytes, &h->response.text), &h->response.instance),
         &h->response.data);
    b->client.requests.kept += len;
    *a->heard_tail = h;
    a->heard_tail = &h->next;
}

/* Until its callback was called, or by who waits for it for good. */
static void keep(struct td_bus *b, struct td_asked *a)
{
    a->message = td_message_ref(b->taking);
    if (!a->on_reply || b->taking_kept)
        return;
    b->taking_kept = true;
    a->kept = a->message->body->len;
    b->client.requests.kept += a->kept;
}

void td_bus_answered(void *ctx, struct td_request *r,
                     const struct td_response *response)
{
    struct td_bus *b = ctx;
    struct td_asked *a = (struct td_asked *)r;

    if (td_request_is_many(r)) {
        hear(b, a, response);
    } else {
        a->response = *response;
        if (!response->own)
            keep(b, a);
    }
    if (a->on_reply) {
        push(b, a);
        return;
    }
    a->done = r->state == TD_REQUEST_DONE;
    pthread_cond_signal(&a->told);
}
