/* A request: what is to be sent, and how far it has come. In memory of the
 * asker's, who has it back when it is answered. */
#ifndef TD_CLIENT_REQUEST_H
#define TD_CLIENT_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/wheel.h"
#include "proto/backoff.h"
#include "proto/frame.h"
#include "tidings/service.h"

struct td_buf;
struct td_client;

enum td_request_state {
    TD_REQUEST_DONE,   /* the session does not know it */
    TD_REQUEST_UNSENT, /* it waits for others to go with, or for a link */
    TD_REQUEST_SENT,   /* an answer is to come */
    TD_REQUEST_RESTING /* it is sent again when it is due */
};

/*            td_client_request()          link, room          answered
 *   DONE ------------------------> UNSENT ----------> SENT ------------> DONE
 *                                    ^  ^ link lost    |  ^ deadline, from all
 *                                    |  +--------------+
 *                                    |     to be tried again
 *                                    +--------- RESTING <---+
 */
struct td_request {
    struct td_timer timer;   /* first; of those that nobody waits for */
    struct td_request *prev; /* while unsent */
    struct td_request *next;
    /* set by the asker, all borrowed until it is done */
    struct td_str type;
    struct td_str options; /* a map; empty: none */
    struct td_str attrs;   /* the same */
    struct td_str data;
    int64_t time_us; /* Unix */
    uint32_t flags;  /* of TD_REQUEST_FLAGS_ALL */
    bool timed;      /* the session looks at the time, else the asker does */
    bool idempotent;
    unsigned attempts_max;
    int attempt_ms;      /* 0: all that is left */
    int64_t deadline_ms; /* rounded up: it is not over before … */
    int64_t timeout_ms; /* … rounded down: who has it has no more than that */
    void *owned; /* what the above is in: freed when it is of no more use */
    /* of the session */
    enum td_request_state state;
    uint64_t number; /* of this attempt: never another's */
    int64_t due_ms;  /* when td_client_request_due() is to be called */
    unsigned attempts;
    tidings_err last; /* why it is tried again */
    size_t held;      /* bytes that count */
};

static inline bool td_request_is_many(const struct td_request *r)
{
    return r->flags & TD_REQUEST_MANY;
}

/* What came of it. All borrowed, text of a message or static. */
struct td_response {
    tidings_err code;
    int status; /* of TIDINGS_EREMOTE */
    struct td_str text;
    struct td_str data;
    struct td_str instance;
    uint64_t left; /* more of them are to come: of many */
    bool own;      /* the session says so: all of it is static */
};

/* request.c: the checks, and the asker's part but for its deadline. What is
 * not borrowed of the event and the options is written to buf: attrs, then the
 * options. TIDINGS_EINVAL, TIDINGS_ENOMEM, with the detail. */
struct td_request_how {
    const char *service;
    const char *version;
    const char *instance;
    enum tidings_balance balance;
    bool many;
};
tidings_err td_request_init(struct td_request *r, struct td_buf *buf,
                            const struct tidings_event *event,
                            const struct td_request_how *how);

/* TIDINGS_ENOMEM, in words: there was none for a request of that type. */
tidings_err td_request_no_memory(struct td_str type);

/* When it is over at the latest: in timeout_ms, or when the thread's deadline
 * or the event's expirytime is before. TIDINGS_ETIMEDOUT: that is past. */
tidings_err td_request_deadline(struct td_request *r, int timeout_ms);

/* ---- those of a session ---- */

struct td_request_slot {
    struct td_request *request; /* NULL: free */
    uint64_t number;            /* the last one, whose low bits are the slot */
    uint32_t next_free;         /* plus 1; 0: it is the last */
};

struct td_requests {
    struct td_request_slot *slots;
    uint32_t slots_len;
    uint32_t free;  /* the first free slot plus 1 */
    uint32_t sent;  /* whose answers are to come */
    bool gathering; /* more are about to be made, so the first waits too */
    uint32_t unsent_rows;
    size_t unsent_bytes;
    struct td_request *unsent;
    struct td_wheel wheel;
    int64_t lean_ms; /* there was no memory to send: then it is tried again */
    int64_t now_ms;
    uint64_t uncalled;       /* answered, but the asker has not been told */
    size_t held;             /* bytes of all */
    size_t kept;             /* and of answers that wait with those, or for who
                                hears many */
    struct td_budget budget; /* of retries */
    struct tidings_request_info info; /* in_flight: those that have a slot */
};

/* request_slots.c */

/* More slots; TIDINGS_ENOMEM. */
tidings_err td_requests_grow(struct td_requests *q);
/* It has a slot and a number; there must be one free. */
void td_requests_add(struct td_requests *q, struct td_request *r);
void td_requests_remove(struct td_requests *q, const struct td_request *r);
/* What comes for the number it had is for nobody any more. */
void td_requests_renumber(struct td_requests *q, struct td_request *r);
/* Whose answer is to come. NULL: nobody's; *asked: but somebody's it was. */
struct td_request *td_requests_find(struct td_requests *q, uint64_t number,
                                    bool *asked);

#endif
