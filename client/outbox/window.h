/* The rows of an outbox that were read, and which of them may be published
 * together: those of one stream, and of each key only such as no earlier one is
 * in the way of. Pure. */
#ifndef OUTBOX_WINDOW_H
#define OUTBOX_WINDOW_H

#include "client/outbox/places.h"
#include "proto/limits.h"
#include "tidings/outbox.h"

struct td_lane;

struct td_outbox_row {
    int64_t number;
    struct tidings_event *event; /* a copy, one block */
    size_t bytes;
    bool done;
    struct td_lane *lane; /* its key, or its type */
    struct td_place *place;
    tidings_err bad; /* it is no event: why, and … */
    char *reason;    /* … in words. Then there is of the event what could be
                        read of type and id; no lane, no place */
};

struct tidings_outbox_rows {
    struct td_outbox_row row[TD_OUTBOX_WINDOW_ROWS];
    size_t len;
    size_t done;
    size_t bad;            /* of those that are not done */
    uint64_t round;        /* of picking */
    struct td_lane *lanes; /* by name */
    struct td_places places;
};

/* What is published at once. */
struct td_outbox_list {
    size_t len;
    int64_t number[TIDINGS_LIST_MAX];
    struct tidings_event event[TIDINGS_LIST_MAX]; /* the rows' own */
    struct td_outbox_row *row[TIDINGS_LIST_MAX];
};

void td_window_init(struct tidings_outbox_rows *w);
/* Forgets the rows; which stream a type goes to is remembered. */
void td_window_clear(struct tidings_outbox_rows *w);
void td_window_fini(struct tidings_outbox_rows *w);

/* The next rows to publish, in their order, at most so many; none: those that
 * are left are held back by a stream that is full. */
void td_window_pick(struct tidings_outbox_rows *w, struct td_outbox_list *out,
                    size_t most, int64_t now_us);
/* The first that can never be published; NULL: there is none. */
struct td_outbox_row *td_window_bad(struct tidings_outbox_rows *w);
/* It need not be published any more, … */
void td_window_drop(struct tidings_outbox_rows *w, struct td_outbox_row *row);
/* … and they. */
void td_window_done(struct tidings_outbox_rows *w,
                    const struct td_outbox_list *list);
/* Their types go to that stream. */
void td_window_learn(struct tidings_outbox_rows *w,
                     const struct td_outbox_list *list, const char *stream);

#endif
