/* Requests on the bus's side: who waits for the answer, or is to be called with
 * it; and answers as their askers see them. */
#ifndef TD_ASKED_H
#define TD_ASKED_H

#include <pthread.h>
#include <stdbool.h>

#include "client/link.h"
#include "client/request.h"
#include "proto/limits.h"
#include "tidings/tidings.h"

struct td_bus;

/* One answer of many: a copy, so that it keeps no more than itself. */
struct td_heard {
    struct td_heard *next;
    struct td_response response;
    size_t len; /* of what it is in */
    char bytes[];
};

/* Of one that waits it is on its stack; else allocated, and ours. */
struct td_asked {
    struct td_request request; /* first */
    struct td_response response;
    struct td_message *message; /* that this is in; NULL: in none */
    size_t kept; /* bytes that count until it is called: of the message, if it
                    is the first there */
    /* who waits */
    pthread_cond_t told;
    bool done;
    bool deaf;              /* there was no memory for what was heard of many */
    struct td_heard *heard; /* oldest first */
    struct td_heard **heard_tail;
    /* who is called; NULL: somebody waits */
    tidings_on_reply on_reply;
    void *arg;
    struct td_asked *prev; /* with next: of those that wait … */
    struct td_asked *next; /* … or alone: of those that are to be called */
};

/* api_request.c: of one that waits; ended with pthread_cond_destroy(). */
void td_asked_init(struct td_asked *a);

/* reply.c: what the session has for the bus. */
void td_bus_answered(void *ctx, struct td_request *r,
                     const struct td_response *response);

/* With the lock, which is let go while on_reply is called. */

/* Calls some of those that are answered, at most max; returns how many. */
size_t td_call_replies(struct td_bus *b, size_t max);
/* The bus is closed, no thread of it runs: calls all that are left. */
void td_end_replies(struct td_bus *b);

/* api_many.c: whether this thread is inside on_reply of tidings_request_many(). */
bool td_in_many(const struct td_bus *b);

/* What a reply's texts are in. */
struct td_reply_text {
    char text[TD_ANSWER_TEXT_BYTES_MAX + 1];
    char instance[TD_INSTANCE_BYTES_MAX + 1];
};

/* The answer as its asker sees it; borrows all of them. */
void td_reply_view(struct tidings_reply *out, struct td_reply_text *text,
                   const struct td_response *response, unsigned attempts);

#endif
