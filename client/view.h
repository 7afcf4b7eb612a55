/* One event of a delivery, opened for a handler. A thread that calls handlers
 * has one and uses it for event after event: nothing is allocated for those
 * that are plain. */
#ifndef TD_VIEW_H
#define TD_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "client/event.h"
#include "proto/batch.h"
#include "proto/id.h"
#include "proto/limits.h"

/* Zeroed memory is a view; it borrows from the delivery and from itself. */
struct td_view {
    struct tidings_event event;
    bool has_attrs;  /* the event has, and so fields of its own */
    bool may_expire; /* its run says so */
    bool expires;    /* … and it has an expirytime: this moment */
    int64_t expires_us;
    int64_t base_us;
    struct td_event_scratch scratch;
    char id[TD_ID_TEXT_BYTES + 1];
    char type[TD_TYPE_BYTES_MAX + 1];
    char source[TD_SOURCE_BYTES_MAX + 1];
};

void td_view_fini(struct td_view *v);

/* What events have in common. */
void td_view_batch(struct td_view *v, struct td_str source, int64_t base_us);
void td_view_run(struct td_view *v, struct td_str type, uint32_t flags);

/* The event of this sequence comes next, or the one after the last. */
void td_view_at(struct td_view *v, const char *producer, uint64_t sequence);
void td_view_next(struct td_view *v);
/* That of a request, by its asker's session and number. */
void td_view_request(struct td_view *v, uint64_t session, uint64_t number);

/* Opens the event at *p, which lies before end, and moves *p past it.
 * TIDINGS_EPROTO: it cannot be read; TIDINGS_ENOMEM. */
tidings_err td_view_open(struct td_view *v, const uint8_t **p,
                         const uint8_t *end);

/* Whether its expirytime has passed: it is for nobody any more. */
bool td_view_is_expired(const struct td_view *v);

#endif
