/* What waits for the dispatcher, in order of arrival: deliveries, which credit
 * bounds, and news, of which a program that never looks keeps the latest
 * TD_NOTICES_MAX. Guarded by the bus's lock. */
#ifndef TD_NOTICE_H
#define TD_NOTICE_H

#include <stdbool.h>
#include <stdint.h>

#include "client/link.h"
#include "proto/limits.h"
#include "proto/scan.h"
#include "tidings/tidings.h"

struct td_bus_sub;

#define TD_NOTICE_TEXT_MAX 159u /* bytes: what is longer is cut */

enum td_notice_what {
    TD_NOTICE_EVENTS, /* a delivery */
    TD_NOTICE_GAP,    /* a call of on_gap: count events, text is the reason */
    TD_NOTICE_STATUS  /* a call of on_status */
};

struct td_notice {
    struct td_notice *next;
    uint64_t order; /* of arrival */
    enum td_notice_what what;
    struct td_bus_sub *sub; /* counted; NULL: a status of the bus */
    /* of a delivery */
    struct td_message *message;
    struct td_str batches; /* in the message … */
    struct td_str body;    /* … and their events */
    struct td_str spans;   /* of a stream */
    uint64_t tag;          /* of the first event */
    uint64_t incarnation;  /* td_client's when it arrived */
    uint64_t events;       /* not yet handled */
    /* of news */
    enum tidings_status_kind kind;
    tidings_err err;
    uint64_t count;
    uint64_t first; /* of a gap: struct td_gap */
    uint64_t last;
    char text[]; /* at most TD_NOTICE_TEXT_MAX, and a NUL */
};

struct td_notice_list {
    struct td_notice *head;
    struct td_notice **tail;
};

struct td_notices {
    struct td_notice_list events;
    struct td_notice_list news;
    uint32_t news_len;
    uint64_t order;
    uint64_t lost; /* news that went unseen, since it was last told */
};

void td_notices_init(struct td_notices *list);
bool td_notices_any(const struct td_notices *list);

/* The last news, if it was the last thing to arrive: more of the same may be
 * added to it. */
struct td_notice *td_notices_latest(const struct td_notices *list);

/* Adds one; returns the oldest news, taken off, when there are too many. */
struct td_notice *td_notices_push(struct td_notices *list,
                                  struct td_notice *notice);
/* The oldest; NULL: none. */
struct td_notice *td_notices_pop(struct td_notices *list);

#endif
